/* Private to the drawing of replies: show.c, show_value.c, show_group.c, show_request.c. All texts
 * may come from a peer: they pass out_safe on their way to a terminal. */
#ifndef SLUICE_ADMIN_SHOW_H
#define SLUICE_ADMIN_SHOW_H

#include "admin/inside.h"

/* ---- values (show_value.c) ------------------------------------------------------------------- */

/* The member `key` as a terminated text, "" when absent; returns `out`. */
const char *value_text(const struct json_val *o, const char *key, char *out, size_t size);
void value_ms(char *out, size_t size, int64_t ms);                   /* "812ms", "4m10s" */
void value_count(char *out, size_t size, int64_t n);                 /* "12.3k" */
void value_usd(char *out, size_t size, const struct json_val *v);    /* "$0.0123" */
void value_reason(char *out, size_t size, const struct json_val *a); /* "rate_limited, 4m10s" */
/* The strings of an array, with ", " between them; "" when there are none. */
void value_list(char *out, size_t size, const struct json_val *array);
void cell_time(struct table *t, struct slice s); /* of RFC 3339, "08-22 10:15:04" */
void cell_ms(struct table *t, const struct json_val *v);
void cell_count(struct table *t, int64_t n);
/* "opus -> glm-5.3, gpt-* -> a | b" of a mapping (show_group.c); "" when it is empty. */
void value_models(char *out, size_t size, const struct json_val *models);
/* "name        text" and a line's end; "-" for an empty text. */
void show_row(struct buf *out, const char *name, struct slice text);

/* ---- replies --------------------------------------------------------------------------------- */

typedef void show_fn(const struct json_val *root, const struct look *l, struct buf *out);
show_fn show_group, show_group_list, show_group_gone, show_provider_list; /* show_group.c */
show_fn show_request, show_request_list, show_route_explain;              /* show_request.c */

#endif
