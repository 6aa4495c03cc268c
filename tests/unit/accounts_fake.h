/* A store and a clock of integers under a real account set. Included by one test file a program: it
 * holds definitions. Link without the rooms net and store (netcore is fine). */
#ifndef TEST_ACCOUNTS_FAKE_H
#define TEST_ACCOUNTS_FAKE_H

#include "accounts/accounts.h"

#include <string.h>

static struct {
    int64_t wall, step;      /* step: how far the wall clock was set ahead of the other one */
    store_accounts_fn *done; /* of the load that is under way */
    store_tokens_fn *tokens;
    store_windows_fn *windows;
    store_groups_fn *groups; /* asked for and held, if hold_groups */
    bool hold_groups;
    void *done_arg;
    int puts; /* facts written, and the last of them */
    int64_t put_id, put_seen, put_until;
    char put_reason[32];
    int window_puts;
    struct window_row window[64]; /* put, the newest last */
    int ready;
    enum err ready_err;
} fake;

static struct loop *fake_loop; /* NULL will do where no account has a timer */

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

int64_t loop_now(const struct loop *l)
{
    (void)l;
    return fake.wall - fake.step;
}

void store_windows_load(struct store *s, store_windows_fn *done, void *arg)
{
    (void)s;
    fake.windows = done;
    fake.done_arg = arg;
}

void store_window_put(struct store *s, const struct window_row *row)
{
    (void)s;
    fake.window[fake.window_puts++ % 64] = *row;
}

/* No group is stored. */
void store_groups_load(struct store *s, store_groups_fn *done, void *arg)
{
    (void)s;
    if (fake.hold_groups)
        fake.groups = done;
    else
        done(arg, OK, NULL, 0);
}

/* ---- what only accounts with tokens use: none here, see test_accounts_token.c ---------------- */

void store_tokens_load(struct store *s, store_tokens_fn *done, void *arg)
{
    (void)s;
    fake.tokens = done;
    fake.done_arg = arg;
}

void store_token_swap(struct store *s, int64_t expect, const struct token_row *row,
                      store_tokens_fn *done, void *arg)
{
    (void)s, (void)expect, (void)row, (void)done, (void)arg;
    assert(!"no token is swapped here");
}

void store_token_note(struct store *s, int64_t account_id, int64_t generation, int64_t at,
                      store_done_fn *done, void *arg)
{
    (void)s, (void)account_id, (void)generation, (void)at, (void)done, (void)arg;
    assert(!"no refresh is noted here");
}

void store_lease_take(struct store *s, struct slice name, struct slice holder, int64_t now,
                      int64_t ttl_ms, store_done_fn *done, void *arg)
{
    (void)s, (void)name, (void)holder, (void)now, (void)ttl_ms, (void)done, (void)arg;
    assert(!"no lease is taken here");
}

void store_lease_drop(struct store *s, struct slice name, struct slice holder)
{
    (void)s, (void)name, (void)holder;
    assert(!"no lease is dropped here");
}

struct http_request *http_request_start(struct http_client *c, const struct http_target *t,
                                        enum http_method method, struct slice path_and_query,
                                        const struct http_header *h, int n, struct slice body,
                                        const struct http_request_ops *ops, void *owner)
{
    (void)c, (void)t, (void)method, (void)path_and_query, (void)h, (void)n, (void)body;
    (void)ops, (void)owner;
    assert(!"nothing is sent here");
    return NULL;
}

void http_request_abort(struct http_request *r)
{
    (void)r;
    assert(!"nothing was sent here");
}

struct worker *worker_new(struct loop *l, const char *name)
{
    (void)l, (void)name;
    assert(!"nothing is worked at here");
    return NULL;
}

void worker_post(struct worker *w, struct job *j)
{
    (void)w, (void)j;
    assert(!"nothing is worked at here");
}

void worker_free(struct worker *w)
{
    (void)w;
    assert(!"nothing was worked at here");
}

static void fake_ready(void *arg, enum err e)
{
    (void)arg;
    fake.ready++;
    fake.ready_err = e;
}

static inline struct account_row fake_row(int64_t id, const char *name, int32_t priority,
                                          int32_t weight)
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

static struct account_set *fake_set_with(const struct account_row *rows, size_t n,
                                         const struct window_row *windows, size_t windows_n)
{
    memset(&fake, 0, sizeof fake);
    fake.wall = INT64_C(1795255200000);
    struct account_set *set = accounts_new(fake_loop, NULL, fake_ready, NULL);
    fake.done(fake.done_arg, OK, rows, n);
    fake.tokens(fake.done_arg, OK, NULL, 0);
    fake.windows(fake.done_arg, OK, windows, windows_n);
    return set;
}

static inline struct account_set *fake_set(const struct account_row *rows, size_t n)
{
    return fake_set_with(rows, n, NULL, 0);
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
