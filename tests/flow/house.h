/* house: the house under test on the simulated network, put together by the same function as the
 * daemon. The only file of the runner that knows the rooms above net. */
#ifndef FLOW_HOUSE_H
#define FLOW_HOUSE_H

#include "app.h"
#include "script.h"
#include "simnet.h"

struct rig; /* a house with a listener, accounts and keys */

/* A well-formed gateway key that is the same in every run. */
void rig_key_text(struct slice name, char text[KEY_TEXT_MAX]);
/* Where an account's requests go; false: its provider or URL is wrong. */
bool rig_account_host(const struct script_account *a, struct slice *host, uint16_t *port);

/* The script's configuration, loaded once for all runs; NULL with *why filled. */
struct config *rig_config(const struct script *s, char *why, size_t why_size);

/* Starts the house and waits until it listens. NULL with *why filled: a script's mistake. */
struct rig *rig_start(struct loop *l, const struct script *s, const struct config *c, char *why,
                      size_t why_size);
/* Lets go of everything; lingering connections may still need loop time afterwards. */
void rig_stop(struct rig *h);

int64_t rig_in_flight(const struct rig *h); /* exchanges and calls not yet over */
int64_t rig_requests(const struct rig *h);  /* requests that have reached the gateway */
/* Copies the oldest RIG_RECORDS records, oldest first; returns how many there are, -1 on failure.
 * Their static strings live as long as the rig. */
#define RIG_RECORDS 64
int rig_records(struct rig *h, struct record *out /* RIG_RECORDS */);
/* A field of a record or an account as text; false when there is no such field. */
bool rig_record_field(const struct record *r, struct slice field, char *out, size_t size);
bool rig_account_field(struct rig *h, struct slice account, struct slice field, char *out,
                       size_t size);
/* Something an operator does: "drain", "reap", "pause:A", "resume:A", "reset:A", "remove:A",
 * "wall:-1h". */
bool rig_do(struct rig *h, struct slice verb);

#endif
