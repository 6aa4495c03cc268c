/* base: what every other room is made of.
 *
 * Slices, bounded buffers, arenas, maps, lists, text, JSON, crypto and the log. Nothing in here
 * does I/O (but for the log's own descriptor), knows the time (but for the clock the log is given)
 * or has heard of libuv. This is the only room that may include yyjson and mbedTLS's hashes and
 * AEAD.
 *
 * The door is this file; it opens onto five shelves, each short enough to be read at one sitting.
 */
#ifndef SLUICE_BASE_H
#define SLUICE_BASE_H

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/json.h"
#include "base/crypto.h"
#include "base/log.h"

#endif
