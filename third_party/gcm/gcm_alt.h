/* What mbedTLS's gcm.h includes in place of its own context: AES-GCM from a library that works on
 * many blocks at once, where the CPU has what that needs, else mbedTLS's own code, renamed. The
 * choice is made at run time; the layout is the same in every build. */
#ifndef SLUICE_GCM_ALT_H
#define SLUICE_GCM_ALT_H

struct gcm_engine;

typedef struct mbedtls_gcm_context {
    const struct gcm_engine *engine; /* NULL: everything goes to `soft` */
    void *memory;                    /* what was allocated for the engine's keys, or NULL */
    void *keys;                      /* in it, aligned */
    unsigned int key_bits;
    /* mbedTLS's own, made when first needed: for keys and calls the engine does not know. */
    struct soft_gcm_context *soft;
} mbedtls_gcm_context;

/* For tests and for those who want to know. What this machine can run, best first; the last one,
 * mbedTLS's own, has the name "mbedtls". NULL past the end. */
const char *gcm_engine_name(int i);
/* The engine of keys that are set from now on. */
void gcm_engine_use(int i);

#endif
