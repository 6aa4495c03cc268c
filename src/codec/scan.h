/* Inside the codec room: what the request scans of all dialects share. A scan walks the top level
 * of a body by byte offsets; no tree is made of it. */
#ifndef SLUICE_CODEC_SCAN_H
#define SLUICE_CODEC_SCAN_H

#include "codec/dialect.h"
#include "codec/span.h"

/* All members of `body`, in their order. `member` says a static sentence for the client of one that
 * cannot be. ERR_SYNTAX: no JSON object, or a member was refused; ERR_LIMIT: nested too deep. `why`
 * is set then. Of `out` no_file_ids is set. */
MUST_USE enum err scan_walk(struct slice body, span_each_fn *member, void *arg,
                            struct request_facts *out, const char **why);

/* Members that mean the same everywhere; as `member` above. */
const char *scan_model(struct slice body, struct span v, struct request_facts *out);
const char *scan_stream(struct slice value, struct request_facts *out);
const char *scan_max_tokens(struct slice value, struct request_facts *out);

/* Where the member `key` of the object at `from` begins; what lies behind it is not looked at. */
bool scan_member_at(struct slice body, size_t from, struct slice key, size_t *at);
/* The string member `key` of the object at `from`; false when there is none. */
bool scan_member_text(struct slice body, size_t from, struct slice key, char *out, size_t size);
/* The role of the message at `from`, false when it tells none, and where its content begins, 0 when
 * it has none. What lies behind the two is not looked at. */
#define SCAN_ROLE 16
bool scan_turn(struct slice body, size_t from, char role[SCAN_ROLE], size_t *content);

/* The hash of a talk that has no session id. It must be the same for every turn of the talk, so it
 * is made of what clients leave alone: the beginnings of the texts of the system prompt and of the
 * first user message, as they stand in the body. Whatever else those hold is passed over, for
 * cache_control marks wander from turn to turn. So are the tools: they carry marks too, and a tool
 * added on the way makes no new talk. */
struct scan_talk {
    struct slice body; /* known to be sound JSON, as far as the scanner looks */
    uint64_t hash;
    size_t room; /* what may still go into the hash of this part */
    bool any;
};
void scan_talk_init(struct scan_talk *t, struct slice body);
/* The value at `from`: a string, or parts of which those with a member "text" count. */
void scan_talk_add(struct scan_talk *t, size_t from);
uint64_t scan_talk_hash(const struct scan_talk *t); /* 0: there was nothing to go by */

#endif
