/* provider: who speaks which dialects, where, with what credential and which models. Opened by
 * accounts.h. Data, one row each, and pure functions over it; facts: wire/compat-providers.md and
 * the pages of the clouds.
 *
 * A provider has one or more *doors*: ways to talk to it that cost the same account. A client is
 * led to the door of its own dialect, where its bytes pass untouched; only if there is none its
 * request is translated for another one. */
#ifndef SLUICE_ACCOUNTS_PROVIDER_H
#define SLUICE_ACCOUNTS_PROVIDER_H

#include "accounts/cloud.h"
#include "accounts/oauth.h"
#include "accounts/sign.h"
#include "codec/codec.h"
#include "http/http.h"
#include "store/store.h"

/* What a client may want of a door. */
enum api {
    API_CHAT,    /* the dialect's main call */
    API_COUNT,   /* count the tokens of one */
    API_COMPACT, /* Responses: compact a conversation */
    API_MODELS,
    API_EMBEDDINGS,
    API_OTHER, /* any other path, as the client wrote it */
    API_KINDS
};

/* A value of anthropic-beta that a door takes. What is not in its list does not go there: a
 * client's next release has betas that nobody has heard of, and an unknown one is a 400 for each of
 * its requests. So one goes that is not sure to be known only with a body that would be refused
 * without it. */
struct beta_rule {
    const char *beta;
    const char *as;   /* what it is called there; NULL = the same */
    const char *with; /* only with a body that holds this text; NULL = with any */
};
struct beta_bound { /* a top-level member that is refused unless one of these betas goes with it */
    const char *member;
    const char *const *betas; /* NULL-terminated */
};

#define PROVIDER_DOORS 3
struct provider_door {
    enum dialect dialect;
    /* "{NAME}" stands for the account's setting NAME (region, project, resource, ...), which is
     * then required, "{NAME=VALUE}" for one that may lack; "{host}" of vertex-ai follows from the
     * region. NULL: the account must have one. */
    const char *base_url;
    const char *under; /* behind the base, be it the account's own; settings as there; NULL = "" */
    /* Behind these, per call; "{model}" is the model, percent-encoded. NULL: not offered.
     * API_OTHER: "" = the client's path as it is; "/v1" = the client's path without that beginning,
     * which is in the base already. */
    const char *path[API_KINDS];
    const char *stream_path; /* of a streamed CHAT; NULL: as CHAT */
    enum framing stream;     /* of its reply */
    enum auth_scheme auth;
    struct ask_target target; /* what its bodies may hold; .model is not looked at */
    bool keep_query;          /* the client's query passes (?beta=true); else it is dropped */
    const char *query;        /* is appended, settings as above; NULL = none */
    bool beta_in_body;        /* anthropic-beta travels in the body as anthropic_beta */
    /* NULL-terminated, or NULL: top-level members that it refuses and that are taken out of a body
     * that otherwise passes. */
    const char *const *drop;
    /* Likewise the only ones that it takes; NULL: all. These three are for bodies of other
     * interfaces: clients of its own know best what it takes. */
    const char *const *keep;
    const struct beta_rule *betas;  /* ends with a .beta of NULL; NULL: any */
    const struct beta_bound *bound; /* ends with a .member of NULL; NULL: none */
    bool by_choice; /* not known from the vendor's own pages: only if the setting "dialect" names it
                     */
};

enum limits_style { /* how its replies tell of limits, beside what all do (retry-after, status) */
                    LIMITS_ANTHROPIC,
                    LIMITS_OPENAI,  /* x-ratelimit-* with durations; insufficient_quota */
                    LIMITS_ZAI,     /* bodies with a code and a time in UTC+8 */
                    LIMITS_MINIMAX, /* base_resp in a 200 */
                    LIMITS_GOOGLE,  /* google.rpc.RetryInfo */
                    LIMITS_AWS,     /* x-amzn-errortype, no times */
};
enum usage_style {
    USAGE_NONE,
    USAGE_ANTHROPIC,
    USAGE_ZAI,
    USAGE_MINIMAX,
    USAGE_NANOGPT,
    USAGE_KIMI
};

enum claude_names {            /* how it calls Claude's models, told from Anthropic's own names */
                    NAMES_OWN, /* as they are */
                    NAMES_ROUTER, /* "anthropic/claude-opus-5.5" */
                    NAMES_AWS,    /* "global.anthropic.claude-..."; the setting "inference_profile"
                                     for another one than global, "none" for none */
                    NAMES_MANTLE, /* "anthropic.claude-..." */
                    NAMES_GOOGLE, /* the date behind '@' */
};

struct provider {
    const char *name;
    struct provider_door door[PROVIDER_DOORS];
    int doors;
    const char *beta; /* "": none; what anthropic-beta must contain, appended if it is missing */
    /* Not NULL: a person logs in, with these presets; no client_id, which is the operator's own.
     * Whether what that ends in rotates is another matter: see provider_rotates. */
    const struct oauth_config *oauth;
    enum login_mode login;            /* of `oauth` */
    const struct cloud_config *cloud; /* presets of one of a cloud, see cloud.h; else NULL */
    bool no_secret;                   /* may do without one: a server in one's own network */
    enum limits_style limits;
    enum usage_style usage;
    const char *usage_url; /* of the endpoint that tells how full the windows are: a path behind the
                              first door's base, or a URL; NULL = none */
    enum claude_names names;
    /* Beginnings of the names it knows as they are, NULL-terminated; NULL: any, it is asked. */
    const char *const *models;
    /* What stands in for models of the Claude families that it has not; NULL = none. */
    const char *opus, *sonnet, *haiku;
    const char
        *settings;    /* names of settings that it reads, for help: "region project"; "" = none */
    const char *help; /* one line for `account add --help` */
};
const struct provider *provider_find(struct slice name); /* NULL when unknown */
const struct provider *provider_at(int i);               /* NULL behind the last */
bool provider_rotates(const struct provider *p); /* its accounts have a token pair, see oauth.h */
const char *dialect_word(enum dialect d);        /* "anthropic", "openai", "responses", ... */

/* ---- an account's doors ---------------------------------------------------------------------- */

struct account;
struct account_door {
    const struct provider_door *of;
    char base_url[STORE_URL_MAX]; /* effective, settings filled in */
    struct http_target target;    /* slices into base_url */
    struct slice prefix;          /* path prefix of base_url */
    char query[64];               /* settings filled in; "" = none */
    int64_t num_ctx;              /* Ollama: the context a model is loaded with; 0 = its default */
};
/* The doors of an account: the provider's. With a base URL of its own those that share the first
 * one's base, at that address; with the setting "dialect" too, only the one of that dialect; with
 * "num_ctx" only Ollama's own, for no other one can say it.
 * Tolerates a URL that ends in "/", "/v1" or "/v1/messages" where the door brings such an end.
 * Returns how many; 0 with a sentence in `why`. `out` must stay where it is. */
int account_doors_open(const struct provider *p, const struct account_row *row,
                       struct account_door out[PROVIDER_DOORS], char *why, size_t why_size);
/* The door for a client's dialect and call: the one of the same dialect; else, for CHAT and COUNT,
 * the first that can be translated to (COUNT: or estimated for). NULL: this account cannot. */
const struct account_door *account_door_for(const struct account *a, enum dialect client,
                                            enum api call);
/* The path and query to ask for, prefix included, appended to `out`. `path` and `query` are the
 * client's. ERR_NOTFOUND: not offered; ERR_SYNTAX: such a model cannot stand in a path. */
MUST_USE enum err account_door_path(const struct account *a, const struct account_door *d,
                                    enum api call, bool stream, struct slice model,
                                    struct slice path, struct slice query, struct buf *out);

/* ---- models ---------------------------------------------------------------------------------- */

/* A mapping as a person gave it, settings key "models" of an account or a group: an object of
 * pattern -> name, or -> list of names, which are taken in turns. Patterns: a whole name; a family
 * ("opus"); a beginning that ends in '*'; "*". The exact one first, then the family, then the
 * longest beginning. In a group's, a name may be "MODEL@ACCOUNT": then that account alone serves
 * it, see accounts_model_account. */
MUST_USE enum err models_check(struct slice settings, char *why, size_t why_size);
/* True when one matches; `turn` chooses from a list. */
bool models_map(struct slice settings, const char *asked, uint64_t turn, char *out, size_t size);
/* What `asked` is called at the account: its own mapping, else the provider's stand-in for the
 * family, else the name itself. False: it does not have such a model (a name of another vendor's,
 * and nothing stands in for it). Unknown names pass: the provider is asked. */
bool account_model(const struct account *a, const char *asked, uint64_t turn, char *out,
                   size_t size);
bool account_has_model(const struct account *a, const char *asked); /* the same, in few ns */
/* What settings say of models, parsed once: "models", "deployment" (what any model is called that
 * they do not map) and "inference_profile". NULL: nothing, or it cannot be read. */
struct models *models_read(struct slice settings);
void models_free(struct models *m);
/* The mapping as a JSON object, as it was given; {} for none. */
void models_write(const struct models *m, struct jw *w);

#endif
