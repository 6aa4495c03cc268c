/* A store and a clock of integers under a real account set. Included by one test file a program: it
 * holds definitions. Link without the rooms net and store (netcore is fine). */
#ifndef TEST_ACCOUNTS_FAKE_H
#define TEST_ACCOUNTS_FAKE_H

#include "accounts/accounts.h"

#include <string.h>

static struct {
    int64_t wall;
    store_accounts_fn *done; /* of the load that is under way */
    void *done_arg;
    int puts; /* facts written, and the last of them */
    int64_t put_id, put_seen, put_until;
    char put_reason[32];
    int ready;
    enum err ready_err;
} fake;

int64_t loop_wall(const struct loop *l)
{
    (void)l;
    return fake.wall;
}

void store_accounts_load(struct store *s, store_accounts_fn *done, void *arg)
{
    (void)s;
    fake.done = done;
    fake.done_arg = arg;
}

void store_facts_put(struct store *s, int64_t account_id, int64_t seen_at, int64_t cool_until,
                     const char *cool_reason)
{
    (void)s;
    fake.puts++;
    fake.put_id = account_id;
    fake.put_seen = seen_at;
    fake.put_until = cool_until;
    text_copy(fake.put_reason, sizeof fake.put_reason, slice_of(cool_reason));
}

static void fake_ready(void *arg, enum err e)
{
    (void)arg;
    fake.ready++;
    fake.ready_err = e;
}

static struct account_row fake_row(int64_t id, const char *name, int32_t priority, int32_t weight)
{
    struct account_row r = {.id = id,
                            .version = 1,
                            .priority = priority,
                            .weight = weight,
                            .secret = S("sk-ant-api03-x")};
    text_copy(r.name, sizeof r.name, slice_of(name));
    text_copy(r.provider, sizeof r.provider, S("anthropic"));
    return r;
}

static struct account_set *fake_set(const struct account_row *rows, size_t n)
{
    memset(&fake, 0, sizeof fake);
    fake.wall = INT64_C(1795255200000);
    struct account_set *set = accounts_new(NULL, NULL, fake_ready, NULL);
    fake.done(fake.done_arg, OK, rows, n);
    return set;
}

static inline struct slice fake_names(struct account_set *set, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < accounts_count(set); i++)
        n += text_format(out + n, size - n, "%s ", accounts_at(set, i)->name);
    return (struct slice){out, n};
}

#endif
