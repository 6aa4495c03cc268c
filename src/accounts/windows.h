/* Windows: what an account has used of its limits, as its replies tell. Opened by accounts.h.
 *
 * Facts only: read from headers, error bodies and usage payloads (pure), remembered
 * newest-seen-first, never guessed. What they mean for choosing is account_status's business
 * (wire/anthropic-ratelimits.md). */
#ifndef SLUICE_ACCOUNTS_WINDOWS_H
#define SLUICE_ACCOUNTS_WINDOWS_H

#include "base/base.h"
#include "http/http.h"

enum window_kind {
    WINDOW_5H,
    WINDOW_7D,
    WINDOW_7D_MODEL, /* of one model class; `family` says which */
    WINDOW_OVERAGE,
    WINDOW_REQUESTS, /* per-minute buckets of an API key */
    WINDOW_TOKENS,
    WINDOW_INPUT,
    WINDOW_OUTPUT,
    WINDOW_KINDS
};
/* "5h", "7d", "7d_model", "overage", "requests", ...; the store's and the API's names. */
const char *window_name(enum window_kind k);
/* "7d_opus" is a 7D_MODEL too: its family stands behind the "7d_". */
bool window_kind_of(struct slice name, enum window_kind *out);
/* How long such a window is, ms; 0 for buckets and overage. */
int64_t window_length(enum window_kind k);

#define WINDOW_FAMILY_MAX 24
struct window {
    bool known, closed; /* closed: refused until resets_at, as the provider says */
    double used;        /* 0..1, may pass 1; -1 = not told */
    int64_t started_at; /* wall ms; 0 = not opened yet */
    int64_t resets_at;  /* wall ms; 0 = not told */
    int64_t seen_at;
    char family[WINDOW_FAMILY_MAX]; /* of 7D_MODEL: "opus", "sonnet", ... "" = not told */
};
/* The family of a model, "opus" of "claude-opus-5-5", "claude-3-opus-20240229" and "Opus"; "" when
 * it has none that could be told. Returns `out`. */
const char *model_family(struct slice model, char out[WINDOW_FAMILY_MAX]);

/* What the reply's own Date says about our clock: how far that is ahead, ms. 0 within a minute (no
 * better than the network), beyond a day (nonsense) and without a Date. Times that a reply tells
 * are brought into our clock by it, so a wrong clock benches nobody for too long or too short. */
int64_t reply_skew(const struct http_head *h, int64_t now);
/* A reset in epoch seconds (or ms, told by their size) or RFC 3339; wall ms. False when it is
 * none. */
bool window_reset_read(struct slice v, int64_t *at);
/* A status by which the provider refuses: "rejected" and its like. */
bool window_word_closes(struct slice status);

/* Every window that one reply speaks of, others left as they are (known = false). Both header
 * families; resets in epoch seconds or RFC 3339; utilisation 0..1 in headers. Returns how many.
 * A window that is used up on a 2xx that was paid from extra usage is not closed. Of several
 * windows of model classes the tightest one is given; "7d_oi" does not tell its family. */
int windows_read_head(const struct http_head *h, int64_t now, struct window out[WINDOW_KINDS]);
/* The usage endpoint's payload, old or new shape (0..100 there). Full is closed, unless extra usage
 * is on. */
int windows_read_usage(struct slice body, int64_t now, struct window out[WINDOW_KINDS]);
/* What the same payload tells of one family's window alone, be it not the tightest; false: nothing.
 */
bool windows_read_usage_of(struct slice body, const char *family, int64_t now, struct window *out);

/* Brings one newer observation into what is known. An older one changes nothing. A reset that moves
 * by up to 60 s is the same window (take the larger use); one that moves further forward is a new
 * window, which began at its reset less its length. Buckets and overage are simply replaced. A
 * closed window is not opened again by a reply of the next 60 s, which was under way when it
 * closed. True when anything changed but seen_at. */
bool window_merge(struct window *known, const struct window *seen, enum window_kind k);
/* Use as of `now`: a window whose reset has passed is empty and open again. -1 = not told. */
double window_used(const struct window *w, int64_t now);
/* Until when it refuses, wall ms; 0 = it does not. Never longer than a window lasts, from when it
 * was seen: whatever the reset and the wall clock say. */
int64_t window_closed_until(const struct window *w, enum window_kind k, int64_t now);
bool window_is_closed(const struct window *w, int64_t now);
/* Use an hour, from its start to what was seen; -1 when it cannot be told. */
double window_burn(const struct window *w, int64_t now);

#endif
