/* links: base netcore http codec accounts */
/* Settings into policies: peak hours, accounts, groups; what is refused, and in which words. */
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int64_t at(const char *time)
{
    int64_t ms = 0;
    assert_true(text_rfc3339(slice_of(time), &ms));
    return ms;
}

/* ---- peak hours ------------------------------------------------------------------------------ */

static void test_peak_read(void **state)
{
    static const struct {
        const char *text;
        int days, from, to, zone;
    } rows[] = {
        {"14:00-18:00", 0x7f, 840, 1080, 0},
        {"9:05-9:06", 0x7f, 545, 546, 0},
        {"00:00-24:00", 0x7f, 0, 1440, 0},
        {"22:00-06:00", 0x7f, 1320, 360, 0},
        {"22:00-00:00", 0x7f, 1320, 1440, 0},
        {"14:00-18:00 +08:00", 0x7f, 840, 1080, 480},
        {"14:00-18:00 UTC+8", 0x7f, 840, 1080, 480},
        {"14:00-18:00 utc", 0x7f, 840, 1080, 0},
        {"14:00-18:00 GMT-5", 0x7f, 840, 1080, -300},
        {"14:00-18:00 -0330", 0x7f, 840, 1080, -210},
        {"14:00-18:00 +14:00", 0x7f, 840, 1080, 840},
        {"14:00-18:00 +530", 0x7f, 840, 1080, 330},
        {"Mon-Fri 14:00-18:00", 0x1f, 840, 1080, 0},
        {"sat,SUN 14:00-18:00 +08:00", 0x60, 840, 1080, 480},
        {"Fri-Mon 14:00-18:00", 0x71, 840, 1080, 0},
        {"Mon,Wed-Thu 14:00-18:00", 0x0d, 840, 1080, 0},
        {"Sun-Sun 14:00-18:00", 0x40, 840, 1080, 0},
        {"  Tue   14:00-18:00   UTC  ", 0x02, 840, 1080, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct peak_hours p;
        if (peak_hours_read(slice_of(rows[i].text), &p) != OK)
            fail_msg("\"%s\" is refused", rows[i].text);
        assert_true(p.set);
        assert_int_equal(p.days, rows[i].days);
        assert_int_equal(p.from, rows[i].from);
        assert_int_equal(p.to, rows[i].to);
        assert_int_equal(p.zone, rows[i].zone);
    }
}

static void test_peak_refused(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "14:00",
        "14:00-",
        "-18:00",
        "14:00-14:00",
        "00:00-00:00",
        "24:00-06:00",
        "14:00-24:01",
        "25:00-26:00",
        "14:60-18:00",
        "14:0-18:00",
        "14-18",
        "014:00-18:00",
        "14:00-18:00-20:00",
        "14:00 - 18:00",
        "Mon",
        "Mon-Fri",
        "Mon- 14:00-18:00",
        "Mon, 14:00-18:00",
        ",Mon 14:00-18:00",
        "Mon,,Tue 14:00-18:00",
        "Mon-Tue-Wed 14:00-18:00",
        "Mo 14:00-18:00",
        "Monday 14:00-18:00",
        "Mon Tue 14:00-18:00",
        "14:00-18:00 08:00",
        "14:00-18:00 +15:00",
        "14:00-18:00 +14:01",
        "14:00-18:00 +8:60",
        "14:00-18:00 +",
        "14:00-18:00 +:",
        "14:00-18:00 +8:",
        "14:00-18:00 +12345",
        "14:00-18:00 Europe/Berlin",
        "14:00-18:00 UTC UTC",
        "14:00-18:00 UTC8",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct peak_hours p = {.from = 77};
        if (peak_hours_read(slice_of(rows[i]), &p) != ERR_SYNTAX)
            fail_msg("\"%s\" is taken", rows[i]);
        assert_int_equal(p.from, 77); /* left alone */
    }
}

static void test_peak_until(void **state)
{
    static const struct {
        const char *text, *now, *until; /* "": not in it */
    } rows[] = {
        /* 2026-11-20 is a Friday */
        {"14:00-18:00", "2026-11-20T13:59:59Z", ""},
        {"14:00-18:00", "2026-11-20T14:00:00Z", "2026-11-20T18:00:00Z"},
        {"14:00-18:00", "2026-11-20T17:59:59Z", "2026-11-20T18:00:00Z"},
        {"14:00-18:00", "2026-11-20T18:00:00Z", ""},
        /* after midnight: of the day on which it began */
        {"22:00-06:00", "2026-11-20T21:59:59Z", ""},
        {"22:00-06:00", "2026-11-20T22:00:00Z", "2026-11-21T06:00:00Z"},
        {"22:00-06:00", "2026-11-21T05:59:59Z", "2026-11-21T06:00:00Z"},
        {"22:00-06:00", "2026-11-21T06:00:00Z", ""},
        {"Fri 22:00-06:00", "2026-11-21T03:00:00Z", "2026-11-21T06:00:00Z"},
        {"Sat 22:00-06:00", "2026-11-21T03:00:00Z", ""},
        {"Sun 22:00-06:00", "2026-11-23T03:00:00Z", "2026-11-23T06:00:00Z"}, /* into Monday */
        /* days */
        {"Mon-Fri 14:00-18:00", "2026-11-20T15:00:00Z", "2026-11-20T18:00:00Z"},
        {"Mon-Fri 14:00-18:00", "2026-11-21T15:00:00Z", ""},
        {"Mon-Fri 14:00-18:00", "2026-11-22T15:00:00Z", ""},
        {"Mon-Fri 14:00-18:00", "2026-11-23T15:00:00Z", "2026-11-23T18:00:00Z"},
        /* zones: the day is the zone's */
        {"14:00-18:00 +08:00", "2026-11-20T05:59:59Z", ""},
        {"14:00-18:00 +08:00", "2026-11-20T06:00:00Z", "2026-11-20T10:00:00Z"},
        {"14:00-18:00 -03:30", "2026-11-20T17:30:00Z", "2026-11-20T21:30:00Z"},
        {"Sat 01:00-03:00 +08:00", "2026-11-20T18:00:00Z", "2026-11-20T19:00:00Z"},
        {"Fri 01:00-03:00 +08:00", "2026-11-20T18:00:00Z", ""},
        {"Thu 20:00-23:00 -10:00", "2026-11-20T07:00:00Z", "2026-11-20T09:00:00Z"},
        /* no summer time: the same in July, across both switches, and on a leap day */
        {"14:00-18:00 +01:00", "2026-07-20T14:30:00Z", "2026-07-20T17:00:00Z"},
        {"02:00-03:00 +01:00", "2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z"},
        {"02:00-03:00 +01:00", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"},
        {"22:00-06:00", "2028-02-29T01:00:00Z", "2028-02-29T06:00:00Z"},
        {"22:00-00:00", "2028-02-28T23:00:00Z", "2028-02-29T00:00:00Z"},
        /* one that begins where another ends */
        {"Sat,Sun 00:00-24:00", "2026-11-21T12:00:00Z", "2026-11-23T00:00:00Z"},
        {"Mon 00:00-24:00", "2026-11-23T12:00:00Z", "2026-11-24T00:00:00Z"},
        /* before 1970 days are counted downwards */
        {"14:00-18:00", "1969-12-31T15:00:00Z", "1969-12-31T18:00:00Z"},
        {"Wed 14:00-18:00", "1969-12-31T15:00:00Z", "1969-12-31T18:00:00Z"},
    };
    struct peak_hours p, none = {.set = false};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(peak_hours_read(slice_of(rows[i].text), &p), OK);
        int64_t want = rows[i].until[0] == '\0' ? 0 : at(rows[i].until);
        if (peak_hours_until(&p, at(rows[i].now)) != want)
            fail_msg("%s at %s", rows[i].text, rows[i].now);
    }
    assert_int_equal(peak_hours_until(&none, at("2026-11-20T15:00:00Z")), 0);
    /* always on peak: bounded all the same */
    assert_int_equal(peak_hours_read(S("00:00-24:00"), &p), OK);
    int64_t now = at("2026-11-20T15:00:00Z"), until = peak_hours_until(&p, now);
    assert_true(until > now && until - now <= INT64_C(8) * 24 * 3600000);
}

/* Over three weeks, minute by minute: the same as counting minutes the plain way. */
static void test_peak_property(void **state)
{
    static const char *const texts[] = {"Mon-Fri 14:00-18:00 +08:00", "Sun 23:30-00:30 -11:00",
                                        "Sat,Tue 22:00-21:59 +05:45", "00:00-00:01 +14:00"};
    int64_t from = at("2026-02-20T00:00:00Z");
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct peak_hours p;
        assert_int_equal(peak_hours_read(slice_of(texts[i]), &p), OK);
        int64_t length = p.to > p.from ? p.to - p.from : p.to + 1440 - p.from;
        for (int64_t m = 0; m < 21 * 1440; m++) {
            bool in = false;
            int64_t local = from / 60000 + m + p.zone;
            for (int64_t back = 0; back < length; back++) { /* did it begin so long ago? */
                int64_t begin = local - back;
                in |= begin % 1440 == p.from && (p.days >> (begin / 1440 + 3) % 7 & 1) != 0;
            }
            int64_t until = peak_hours_until(&p, from + m * 60000 + 30000);
            assert_int_equal(until != 0, in);
            assert_true(until == 0 || (until > from + m * 60000 && until % 60000 == 0));
        }
    }
}

/* ---- accounts -------------------------------------------------------------------------------- */

static void test_policy(void **state)
{
    static const char text[] =
        "{\"groups\":[\"premium\",\"b.2\"],\"quota\":\"max@team\",\"concurrency\":7,"
        "\"pause_at\":80,\"pause_on_overage\":true,\"peak_hours\":\"Mon-Fri 14:00-18:00 +08:00\","
        "\"client_id\":\"x\",\"unknown\":[1,{}]}";
    struct account_policy p;
    char why[256] = "";
    (void)state;
    assert_int_equal(account_policy_read(slice_of(text), &p, why, sizeof why), OK);
    assert_int_equal(p.groups, 2);
    assert_string_equal(p.group[0], "premium");
    assert_string_equal(p.group[1], "b.2");
    assert_string_equal(p.quota, "max@team");
    assert_int_equal(p.concurrency, 7);
    assert_int_equal(p.pause_at, 80);
    assert_true(p.pause_on_overage && p.peak.set && p.peak.zone == 480);
    assert_true(account_policy_in(&p, "premium") && account_policy_in(&p, "b.2"));
    assert_false(account_policy_in(&p, "b") || account_policy_in(&p, GROUP_DEFAULT));
    /* nothing said, in all ways to say nothing */
    static const char nulls[] =
        "{\"groups\":null,\"quota\":null,\"concurrency\":null,\"pause_at\":null,"
        "\"pause_on_overage\":null,\"peak_hours\":null}";
    static const char zeros[] = "{\"groups\":[],\"quota\":\"\",\"concurrency\":0,\"pause_at\":0,"
                                "\"peak_hours\":\"\"}";
    static const char *const nothing[] = {"", "{}", nulls, zeros};
    for (size_t i = 0; i < COUNT(nothing); i++) {
        assert_int_equal(account_policy_read(slice_of(nothing[i]), &p, why, sizeof why), OK);
        assert_int_equal(p.groups, 0);
        assert_string_equal(p.quota, "");
        assert_int_equal(p.concurrency, 0);
        assert_int_equal(p.pause_at, 0);
        assert_false(p.pause_on_overage || p.peak.set);
        assert_true(account_policy_in(&p, GROUP_DEFAULT));
        assert_false(account_policy_in(&p, "premium"));
    }
}

static void test_policy_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[]", "not a JSON object"},
        {"{", "not a JSON object"},
        {"nonsense", "not a JSON object"},
        {"{\"groups\":\"a\"}", "list of names"},
        {"{\"groups\":[1]}", "list of names"},
        {"{\"groups\":[\"\"]}", "letters, digits"},
        {"{\"groups\":[\"a b\"]}", "\"a b\""},
        {"{\"groups\":[\"-a\"]}", "begins with a letter"},
        {"{\"groups\":[\"a\\u0000b\"]}", "letters, digits"},
        {"{\"groups\":[\"01234567890123456789012345678901\"]}", "1 to 31"},
        {"{\"groups\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}", "8 groups"},
        {"{\"quota\":3}", "quota"},
        {"{\"quota\":\"a/b\"}", "quota \"a/b\""},
        {"{\"concurrency\":-1}", "concurrency must be a whole number from 0"},
        {"{\"concurrency\":1.5}", "concurrency"},
        {"{\"concurrency\":\"4\"}", "concurrency"},
        {"{\"concurrency\":1e9}", "concurrency"},
        {"{\"pause_at\":101}", "pause_at must be a whole number from 0 to 100"},
        {"{\"pause_at\":true}", "pause_at"},
        {"{\"pause_on_overage\":1}", "pause_on_overage must be true or false"},
        {"{\"peak_hours\":\"2 to 6\"}", "Mon-Fri 14:00-18:00 +08:00"},
        {"{\"peak_hours\":true}", "peak_hours must be a span"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_policy p = {.concurrency = 55};
        char why[256] = "", small[8] = "";
        if (account_policy_read(slice_of(rows[i].text), &p, why, sizeof why) != ERR_SYNTAX)
            fail_msg("%s is taken", rows[i].text);
        if (strstr(why, rows[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].text, why, rows[i].says);
        assert_int_equal(p.concurrency, 55);
        assert_int_equal(account_policy_read(slice_of(rows[i].text), &p, small, sizeof small),
                         ERR_SYNTAX);
        assert_int_equal(strlen(small), 7);
    }
}

/* ---- groups ---------------------------------------------------------------------------------- */

static struct group_row group_row(const char *name, const char *strategy, const char *settings)
{
    struct group_row r = {.version = 3};
    text_copy(r.name, sizeof r.name, slice_of(name));
    text_copy(r.strategy, sizeof r.strategy, slice_of(strategy));
    text_copy(r.settings, sizeof r.settings, slice_of(settings));
    return r;
}

static void test_group(void **state)
{
    static const struct {
        const char *strategy, *settings;
        enum strategy is;
        bool affinity;
    } rows[] = {
        {"session", "", STRATEGY_SESSION, true},
        {"", "{}", STRATEGY_SESSION, true},
        {"least-used", "", STRATEGY_LEAST_USED, true},
        {"round-robin", "", STRATEGY_ROUND_ROBIN, false},
        {"round-robin", "{\"affinity\":true}", STRATEGY_ROUND_ROBIN, true},
        {"weighted", "{\"affinity\":false}", STRATEGY_WEIGHTED, false},
        {"weighted", "{\"affinity\":null,\"routes\":{}}", STRATEGY_WEIGHTED, true},
        {"shuffle", "", STRATEGY_SHUFFLE, false},
        {"failover", "{\"more\":1}", STRATEGY_FAILOVER, true},
        {"least-loaded", "", STRATEGY_LEAST_LOADED, true},
        {"model", "{\"routes\":{\"claude-opus\":\"premium\",\"\":\"default\"}}", STRATEGY_MODEL,
         true},
    };
    char why[256];
    struct group g;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct group_row r = group_row("g", rows[i].strategy, rows[i].settings);
        if (group_read(&r, &g, why, sizeof why) != OK)
            fail_msg("%s %s: %s", rows[i].strategy, rows[i].settings, why);
        assert_string_equal(g.name, "g");
        assert_int_equal(g.strategy, rows[i].is);
        assert_int_equal(g.affinity, rows[i].affinity);
        assert_int_equal(g.version, 3);
    }
    assert_int_equal(g.routes, 2);
    assert_string_equal(g.route[0].prefix, "claude-opus");
    assert_string_equal(g.route[0].group, "premium");
    for (int i = 0; i < STRATEGY_COUNT; i++) { /* every one has its words */
        enum strategy s = STRATEGY_COUNT;
        assert_true(strategy_find(slice_of(strategy_name((enum strategy)i)), &s));
        assert_int_equal(s, i);
        assert_true(strlen(strategy_help((enum strategy)i)) > 20);
    }
    for (int i = 0; i < WHY_COUNT; i++)
        assert_true(why_name((enum why)i)[0] != '\0' && why_text((enum why)i)[0] != '\0');
}

static void test_group_refused(void **state)
{
    static const struct {
        const char *name, *strategy, *settings, *says;
    } rows[] = {
        {"", "session", "", "a name has 1 to 31"},
        {"a b", "session", "", "\"a b\""},
        {"g", "sesion", "", "did you mean \"session\"?"},
        {"g", "fastest-of-all", "", "there are session, least-used, round-robin, weighted"},
        {"g", "Session", "", "did you mean \"session\"?"},
        {"g", "session", "[]", "not a JSON object"},
        {"g", "session", "{\"affinity\":\"no\"}", "affinity must be true or false"},
        {"g", "session", "{\"routes\":{\"\":\"a\"}}", "routes need the strategy \"model\""},
        {"g", "session", "{\"routes\":3}", "routes need the strategy"},
        {"g", "model", "", "needs routes, from prefixes of models to groups, like {\"claude-opus"},
        {"g", "model", "{\"routes\":{}}", "needs routes"},
        {"g", "model", "{\"routes\":[\"a\"]}", "needs routes"},
        {"g", "model", "{\"routes\":{\"x\":1}}", "route \"x\" must name a group"},
        {"g", "model", "{\"routes\":{\"x\":\"a b\"}}", "\"a b\""},
        {"g", "model", "{\"routes\":{\"x\":\"g\"}}", "leads back to group g itself"},
        {"g", "model", "{\"routes\":{\"x\":\"a\",\"x\":\"b\"}}", "given twice"},
    };
    char why[256];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct group g = {.version = 9};
        struct group_row r = group_row(rows[i].name, rows[i].strategy, rows[i].settings);
        if (group_read(&r, &g, why, sizeof why) != ERR_SYNTAX)
            fail_msg("%s %s %s is taken", rows[i].name, rows[i].strategy, rows[i].settings);
        if (strstr(why, rows[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", why, rows[i].says);
        assert_int_equal(g.version, 9);
    }
    char long_one[400] = "{\"routes\":{\"";
    memset(long_one + 12, 'x', 200);
    memcpy(long_one + 212, "\":\"a\"}}", 8);
    struct group g;
    struct group_row r = group_row("g", "model", long_one);
    assert_int_equal(group_read(&r, &g, why, sizeof why), ERR_SYNTAX);
    assert_non_null(strstr(why, "95 characters"));
}

/* ---- in the set ------------------------------------------------------------------------------ */

static void names(const struct account_set *set, char out[200])
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; accounts_group_at(set, i) != NULL; i++)
        n += text_format(out + n, 200 - n, "%s ", accounts_group_at(set, i)->name);
}

static void test_groups_of_set(void **state)
{
    char got[200];
    (void)state;
    struct account_set *set = fake_set(NULL, 0);
    names(set, got);
    assert_string_equal(got, "default ");
    assert_int_equal(accounts_group(set, GROUP_DEFAULT)->strategy, STRATEGY_SESSION);
    assert_true(accounts_group(set, GROUP_DEFAULT)->affinity);
    assert_null(accounts_group(set, "premium"));
    static const char *const add[] = {"premium", "alpha", "zeta", "delta"};
    for (size_t i = 0; i < COUNT(add); i++) {
        struct group_row r = group_row(add[i], "failover", "");
        accounts_group_apply(set, &r);
    }
    names(set, got);
    assert_string_equal(got, "alpha default delta premium zeta ");
    /* the default is stored, changed, and built in again when its row goes */
    struct group_row r = group_row(GROUP_DEFAULT, "shuffle", "");
    accounts_group_apply(set, &r);
    names(set, got);
    assert_string_equal(got, "alpha default delta premium zeta ");
    assert_int_equal(accounts_group(set, GROUP_DEFAULT)->strategy, STRATEGY_SHUFFLE);
    accounts_group_drop(set, GROUP_DEFAULT);
    assert_int_equal(accounts_group(set, GROUP_DEFAULT)->strategy, STRATEGY_SESSION);
    /* a pointer to one stays good while others come and go */
    const struct group *kept = accounts_group(set, "delta");
    accounts_group_drop(set, "alpha");
    accounts_group_drop(set, "unknown");
    r = group_row("delta", "weighted", "");
    accounts_group_apply(set, &r);
    assert_ptr_equal(accounts_group(set, "delta"), kept);
    assert_int_equal(kept->strategy, STRATEGY_WEIGHTED);
    names(set, got);
    assert_string_equal(got, "default delta premium zeta ");
    r = group_row("delta", "of-next-year", ""); /* a newer version's: the old one holds */
    accounts_group_apply(set, &r);
    assert_int_equal(kept->strategy, STRATEGY_WEIGHTED);
    accounts_free(set);
}

static void test_settings_of_account(void **state)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    (void)state;
    text_copy(row.settings, sizeof row.settings, S("{\"concurrency\":3,\"groups\":[\"x\"]}"));
    struct account_set *set = fake_set(&row, 1);
    struct account_facts *f = &accounts_at(set, 0)->facts;
    assert_int_equal(f->policy.concurrency, 3);
    assert_true(account_policy_in(&f->policy, "x"));
    text_copy(row.settings, sizeof row.settings, S("")); /* taken away again */
    row.version++;
    accounts_apply(set, &row);
    assert_int_equal(f->policy.concurrency, 0);
    assert_true(account_policy_in(&f->policy, GROUP_DEFAULT));
    assert_false(f->paused);
    /* what nobody can read binds nobody: the account serves no one until it is mended */
    text_copy(row.settings, sizeof row.settings, S("{\"groups\":7}"));
    accounts_apply(set, &row);
    assert_int_equal(account_status(f, fake.wall).state, ACCOUNT_PAUSED);
    text_copy(row.settings, sizeof row.settings, S("{}"));
    accounts_apply(set, &row);
    assert_int_equal(account_status(f, fake.wall).state, ACCOUNT_READY);
    char why[256];
    text_copy(row.settings, sizeof row.settings, S("{\"pause_at\":200}"));
    assert_int_equal(account_check(&row, why, sizeof why), ERR_SYNTAX);
    assert_non_null(strstr(why, "pause_at"));
    accounts_free(set);
}

/* They come last, and the set is not ready without them. */
static void test_loading(void **state)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    struct group_row groups[] = {group_row("g", "weighted", ""), group_row("bad", "?", "")};
    (void)state;
    for (int round = 0; round < 3; round++) {
        memset(&fake, 0, sizeof fake);
        fake.hold_groups = true;
        struct account_set *set = accounts_new(NULL, NULL, fake_ready, NULL);
        fake.done(fake.done_arg, OK, &row, 1);
        fake.tokens(fake.done_arg, OK, NULL, 0);
        fake.windows(fake.done_arg, OK, NULL, 0);
        assert_int_equal(fake.ready, 0);
        if (round == 2)
            accounts_free(set); /* freed while the store owes them */
        fake.groups(fake.done_arg, round == 1 ? ERR_IO : OK, groups, round == 1 ? 0 : 2);
        assert_int_equal(fake.ready, round < 2);
        if (round == 2)
            continue;
        assert_int_equal(fake.ready_err, round == 1 ? ERR_IO : OK);
        assert_int_equal(accounts_group(set, "g") != NULL, round == 0);
        assert_null(accounts_group(set, "bad"));
        accounts_free(set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peak_read),     cmocka_unit_test(test_peak_refused),
        cmocka_unit_test(test_peak_until),    cmocka_unit_test(test_peak_property),
        cmocka_unit_test(test_policy),        cmocka_unit_test(test_policy_refused),
        cmocka_unit_test(test_group),         cmocka_unit_test(test_group_refused),
        cmocka_unit_test(test_groups_of_set), cmocka_unit_test(test_settings_of_account),
        cmocka_unit_test(test_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
