/* sigv4: AWS Signature Version 4 of a request (wire/bedrock.md section 4). Pure, of any service but
 * S3, whose rules for paths differ. Opened by accounts.h. */
#ifndef SLUICE_ACCOUNTS_SIGV4_H
#define SLUICE_ACCOUNTS_SIGV4_H

#include "base/base.h"
#include "http/http.h"

#define AWS_KEY_ID_MAX 128
#define AWS_SECRET_MAX 256 /* today's have 20 and 40 characters */

struct aws_keys {
    struct slice id, secret;
    struct slice token; /* of temporary ones; "" = none */
};
/* "ID:SECRET" or "ID:SECRET:TOKEN", as an account's secret holds it; slices into `text`. All
 * printable, without spaces. */
MUST_USE enum err aws_keys_read(struct slice text, struct aws_keys *out);
/* The same the other way round, appended. */
MUST_USE enum err aws_keys_print(const struct aws_keys *k, struct buf *out);

struct sigv4_request {
    struct slice method;
    struct slice host;  /* as the Host header has it */
    struct slice path;  /* as it is sent: "%3A" in it is signed as "%253A" */
    struct slice query; /* as it is sent, without '?' */
    /* Signed besides host and the ones made here, which are passed over: what the provider gets as
     * it is given, like content-type. Not what a proxy may change. Names in lower case. */
    const struct http_header *header;
    int headers;
    uint8_t body_hash[CRYPTO_SHA256];
    bool tell_hash; /* with x-amz-content-sha256 */
    struct slice region, service;
    struct aws_keys keys;
    int64_t now; /* wall ms; five minutes from AWS's clock are too many */
};
#define SIGV4_HEADERS     4
#define SIGV4_SIGN_MAX    24   /* given headers that can be signed */
#define SIGV4_QUERY_MAX   64   /* parameters */
#define SIGV4_MEMORY      1536 /* enough for names of headers of 512 bytes together */
#define SIGV4_REQUEST_MAX 131072
/* The headers to add: authorization, x-amz-date, with keys that are temporary x-amz-security-token,
 * and with tell_hash x-amz-content-sha256. Their values are in `memory` or `keys`. ERR_LIMIT:
 * `memory` or one of the bounds above is too small for it; ERR_SYNTAX: not such keys. */
MUST_USE enum err sigv4_sign(const struct sigv4_request *r, struct http_header out[SIGV4_HEADERS],
                             int *n, char *memory, size_t size);

/* A segment of a path as AWS wants it sent: all but A-Z a-z 0-9 - . _ ~ is encoded, so ':' and the
 * '/' in an ARN are too. Appended. */
MUST_USE enum err sigv4_encode(struct slice segment, struct buf *out);

#endif
