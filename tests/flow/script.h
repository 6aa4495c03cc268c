/* script: a scenario file, parsed once and played many times. The language: README.md. */
#ifndef FLOW_SCRIPT_H
#define FLOW_SCRIPT_H

#include "bytes.h"

#define SCRIPT_ACCOUNTS 16
#define SCRIPT_KEYS     8
#define SCRIPT_GROUPS   8
#define SCRIPT_HOSTS    16
#define SCRIPT_CHECKS   48
#define SCRIPT_CLIENTS  64

enum step_kind {
    STEP_SEND,       /* .data */
    STEP_EXPECT,     /* .how, .check */
    STEP_NOTHING,    /* client: no byte of a further answer; upstream: no further request */
    STEP_EOF,        /* .how: the house has ended the connection */
    STEP_STILL_OPEN, /* ... has not */
    STEP_END,        /* .how: close, reset, cut */
    STEP_SHUT,
    STEP_READS,    /* .number: 1 or 0 */
    STEP_VERDICT,  /* .number: enum err of the next dials */
    STEP_DELAY,    /* .number: ms */
    STEP_DIALS,    /* .number */
    STEP_REQUESTS, /* .how: HOW_WHOLE exactly, HOW_SO_FAR fewer than, HOW_BROKEN more; .number */
    STEP_SERVES,   /* .data; empty: no more */
    STEP_UNREAD,   /* .at_least, .number */
    STEP_CLOCK,    /* .number: ms */
    STEP_RECORD,   /* .number: which, 0 = newest; .check */
    STEP_RECORDS,  /* .number */
    STEP_ACCOUNT,  /* .name, .check */
    STEP_SIGNAL,   /* .number */
    STEP_HOUSE     /* .name: a verb of house.h */
};
enum expect_how {
    HOW_WHOLE,   /* the message is complete; it is used up */
    HOW_SO_FAR,  /* what is there of it; it stays */
    HOW_BROKEN,  /* it began, it is incomplete, the connection has ended */
    HOW_ANY_END, /* STEP_EOF: in whatever way */
    HOW_CLEAN,   /* STEP_EOF: after a complete message */
};
enum check_kind {
    CHECK_LINE,       /* status number or request line, with wildcards */
    CHECK_HEADER,     /* name: value; exactly once */
    CHECK_ABSENT,     /* !name */
    CHECK_BODY_IS,    /* body = TEXT */
    CHECK_BODY_SAME,  /* body = @upstream A, body = @client 1 */
    CHECK_BODY_HAS,   /* body ~ TEXT */
    CHECK_BODY_LACKS, /* body !~ TEXT */
    CHECK_BODY_LIKE,  /* body like PATTERN */
    CHECK_JSON,       /* json PATH = PATTERN */
    CHECK_EVENTS,     /* events = NAME NAME * NAME */
    CHECK_EVENT,      /* event NAME ~ TEXT */
    CHECK_FIELD       /* KEY=PATTERN of a record or an account */
};
struct check {
    enum check_kind kind;
    int line;
    struct slice name, value;
};
struct step {
    enum step_kind kind;
    int line;
    int client;            /* 1.., 0 = none */
    struct slice upstream; /* "" = none */
    struct slice from;     /* the address a client comes from */
    struct slice data, name;
    enum expect_how how;
    int64_t number;
    bool at_least;
    struct check *check;
    int checks;
};
struct script_account {
    struct slice name, provider, url, secret, settings;
    struct slice token; /* "" = none: the access token of an account that has one */
    int64_t token_ms;   /* how long it is good */
    int64_t priority, weight;
    bool allow_private, paused;
    int line;
};
struct script_key {
    struct slice name, text, group, settings;
};
struct script_group {
    struct slice name, strategy, settings;
    struct slice routes; /* members of an object, on their way into it */
};
struct script_host { /* an upstream that no account's URL names */
    struct slice name, host;
    uint16_t port;
};
struct script {
    const char *file;
    struct arena arena; /* all text of the script */
    struct script_account account[SCRIPT_ACCOUNTS];
    struct script_key key[SCRIPT_KEYS];
    struct script_group group[SCRIPT_GROUPS];
    struct script_host host[SCRIPT_HOSTS];
    int accounts, keys, hosts, groups;
    struct slice config;
    struct step *step;
    int steps, step_cap;
    bool mode_given, mode[5]; /* by enum mode; all when none is given */
    bool loose_records, loose_bodies;
    bool translated;          /* bodies may have been written anew */
    struct map names, blocks; /* `set` and `define` */
    char error[512];          /* why script_load failed */
};

/* False with s->error set. */
bool script_load(struct script *s, const char *file);
void script_free(struct script *s);

#endif
