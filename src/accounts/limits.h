/* Private to accounts: what judges of replies share. limits.c has the classes that hold for all
 * providers, and Anthropic's; limits_style.c what the others tell in their own way. Pure. */
#ifndef SLUICE_ACCOUNTS_LIMITS_H
#define SLUICE_ACCOUNTS_LIMITS_H

#include "accounts/inside.h"

struct limit_verdict verdict_next(const char *reason);               /* it rests for nothing */
struct limit_verdict verdict_failure(const char *reason);            /* as counted */
struct limit_verdict verdict_cool(const char *reason, int64_t ms);   /* the account rests */
struct limit_verdict verdict_family(const char *reason, int64_t ms); /* the model's family */
struct limit_verdict verdict_login(const char *reason);              /* a person must act */
struct limit_verdict limits_spent(const struct http_head *h, struct slice body, int64_t now);
struct limit_verdict limits_overloaded(const struct http_head *h, int64_t now);
/* "" when it is not there. */
struct slice limits_header(const struct http_head *h, const char *name);
/* What the provider's own style says of an error's status, head and body; false: nothing that the
 * classes for all do not say. */
bool limits_of_style(const struct provider *p, const struct reply_facts *r,
                     const struct observation *o, int64_t now, struct limit_verdict *out);
/* The same of an error that a 2xx tells, where the style gives it a code of its own. */
bool limits_told_of_style(const struct provider *p, const struct reply_facts *r,
                          const struct observation *o, int64_t now, struct limit_verdict *out);

#endif
