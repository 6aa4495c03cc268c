/* demo: a small simulated Anthropic API inside the binary, for trying the gateway without an
 * account. Started only by `serve --demo`, on a loopback port of the kernel's choice. It answers
 * what wire/anthropic-messages.md describes: JSON and streamed messages, count_tokens, models. */
#ifndef SLUICE_APP_DEMO_H
#define SLUICE_APP_DEMO_H

#include "http/http.h"
#include "net/net.h"

struct demo;
/* `secret` (borrowed) is the API key it asks for. *port gets where it listens. */
MUST_USE enum err demo_start(struct loop *l, const char *secret, struct demo **out, uint16_t *port);
void demo_stop(struct demo *d);

#endif
