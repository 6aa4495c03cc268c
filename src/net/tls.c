/* tls: records in and out of mbedTLS, and the handshake's steps on the thread pool. */
#include "net/tls.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The most plaintext of one record (RFC 8446 section 5.1). */
#define RECORD_MAX 16384
/* Several records that came together reach the owner in one call, and leave in one write. */
#define CLEAR_SIZE 65536
/* Plaintext encrypted between two looks at the socket, and in one turn. At 300 MB/s a turn is
 * held up for less than a millisecond by one connection. */
#define PUSH_CHUNK 65536
#define PUSH_TURN  262144
/* Ciphertext kept for a handshake that is being computed, or an owner that paused. */
#define HOLD_MAX   131072
/* What mbedTLS may produce in one call of ours; far beyond a chunk's records. */
#define TX_MAX     1048576
/* Answers forced on us by a peer that does not read them. */
#define FORCED_MAX 1048576

/* One for the loop: nobody else's callback runs while these are in use. */
struct tls_scratch {
    struct buf tx; /* ciphertext on its way to the socket */
    char clear[CLEAR_SIZE];
    char plain[RECORD_MAX];
};

struct tls {
    mbedtls_ssl_context ssl;
    struct stream *s;
    struct tls_scratch *scratch;
    const struct tls_role *ops;
    void *role;
    tls_done_fn *done;
    void *arg;

    const char *rx; /* what mbedTLS may read, during a call of it only */
    size_t rxn;
    struct buf *tx;  /* where it writes */
    struct buf hold; /* ciphertext it has not seen yet, in order */

    /* The handshake; between uv_queue_work and on_worked these, and ssl, are the thread's. */
    uv_work_t work;
    struct tls_gate *gate; /* NULL: every step goes to a thread at once */
    struct link turn;      /* among the gate's waiting */
    struct buf hs_in, hs_out;
    int result;

    bool busy;         /* a step is with the thread, or waits for its turn at the gate */
    bool answered;     /* something has been sent */
    bool ready;        /* the handshake is over */
    bool orphan;       /* the stream's handle has closed while busy */
    bool eof;          /* the FIN came before the handshake was seen to be over */
    enum err fail_err; /* the connection broke while busy */
    const char *fail_why;
};

/* ---- mbedTLS's two ends ---------------------------------------------------------------------- */

static int bio_recv(void *arg, unsigned char *p, size_t n)
{
    struct tls *t = arg;
    if (t->rxn == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (n > t->rxn)
        n = t->rxn;
    memcpy(p, t->rx, n);
    t->rx += n;
    t->rxn -= n;
    return (int)n;
}

/* Takes everything: so mbedTLS never has to be offered the same bytes again. */
static int bio_send(void *arg, const unsigned char *p, size_t n)
{
    struct tls *t = arg;
    return buf_append(t->tx, p, n) == OK ? (int)n : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

static void set_rx(struct tls *t, struct slice bytes)
{
    t->rx = bytes.p;
    t->rxn = bytes.n;
}

static const char handshake_cut[] = "connection closed during the TLS handshake";
static const char records_cut[] = "connection closed without TLS close_notify";

/* ---- handshake ------------------------------------------------------------------------------- */

static void finish_handshake(struct tls *t, enum err e, const char *why)
{
    tls_done_fn *done = t->done;
    assert(done != NULL);
    t->done = NULL;
    if (e != OK)
        t->s->state = STREAM_DEAD;
    done(t->arg, e, why);
}

/* Gives the kernel the whole pages between `from` and `end`, whose bytes nobody wants; they come
 * back as zeros when they are touched. */
static void pages_give(const unsigned char *from, const unsigned char *end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t a = ((uintptr_t)from + page - 1) & ~(page - 1), b = (uintptr_t)end & ~(page - 1);
    if (a < b)
        (void)madvise((void *)a, b - a, MADV_DONTNEED);
}

/* mbedTLS has a buffer for the largest record in each direction, and has written zeros all over it.
 * Most connections never see a large one: after the handshake only its first page stays. */
static void spare_give(const mbedtls_ssl_context *ssl)
{
#ifdef MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH /* a system's library may make them smaller by itself */
    (void)ssl, (void)pages_give;
#else
    const unsigned char *in = ssl->MBEDTLS_PRIVATE(in_buf), *out = ssl->MBEDTLS_PRIVATE(out_buf);
    if (ssl->MBEDTLS_PRIVATE(in_left) == 0)
        pages_give(ssl->MBEDTLS_PRIVATE(in_msg) + ssl->MBEDTLS_PRIVATE(in_msglen),
                   in + MBEDTLS_SSL_IN_CONTENT_LEN);
    if (ssl->MBEDTLS_PRIVATE(out_left) == 0)
        pages_give(ssl->MBEDTLS_PRIVATE(out_msg) + ssl->MBEDTLS_PRIVATE(out_msglen),
                   out + MBEDTLS_SSL_OUT_CONTENT_LEN);
#endif
}

static void on_thread(uv_work_t *work)
{
    struct tls *t = work->data;
    set_rx(t, buf_slice(&t->hs_in));
    size_t before;
    int r;
    /* WANT_READ does not mean that all input was used. */
    do {
        before = t->rxn;
        r = mbedtls_ssl_handshake(&t->ssl);
    } while (r == MBEDTLS_ERR_SSL_WANT_READ && t->rxn > 0 && t->rxn < before);
    if (r == 0)
        spare_give(&t->ssl);
    t->result = r;
}

static void on_worked(uv_work_t *work, int status);

#define GATE_AHEAD 4 /* steps, for each thread, that keep the gate busy */

static void launch(struct tls *t)
{
    assert(t->busy && list_empty(&t->turn));
    if (t->gate != NULL)
        t->gate->running++;
    int r = uv_queue_work(&t->s->loop->uv, &t->work, on_thread, on_worked);
    assert(r == 0);
    (void)r;
}

void tls_gate_init(struct tls_gate *g, int most)
{
    assert(most > 0);
    *g = (struct tls_gate){.most = most};
    list_init(&g->waiting);
}

bool tls_gate_busy(const struct tls_gate *g)
{
    return g->running >= g->most && g->queued >= GATE_AHEAD * g->most;
}

static void gate_wait(struct tls *t)
{
    list_push(&t->gate->waiting, &t->turn);
    t->gate->queued++;
}

static void gate_unwait(struct tls *t)
{
    assert(t->gate->queued > 0);
    list_remove(&t->turn);
    t->gate->queued--;
}

/* A step has come back: the one that has waited for longest goes. */
static void gate_next(struct tls_gate *g)
{
    if (g == NULL)
        return;
    assert(g->running > 0);
    g->running--;
    if (!list_empty(&g->waiting)) {
        struct tls *t = CONTAINER(g->waiting.next, struct tls, turn);
        gate_unwait(t);
        launch(t);
    }
    if (g->ready != NULL)
        task_post(g->loop, g->ready);
}

/* Hands what has come to a thread. */
static void step(struct tls *t)
{
    assert(!t->busy && !t->ready);
    if (buf_append(&t->hs_in, t->hold.p, t->hold.len) != OK) {
        finish_handshake(t, ERR_NOMEM, "out of memory");
        return;
    }
    buf_free(&t->hold);
    t->busy = true;
    t->s->loop->open++;
    if (t->gate != NULL && t->gate->running >= t->gate->most)
        gate_wait(t);
    else
        launch(t);
}

/* The handshake is over: what came behind it is for the owner. */
static void enter(struct tls *t)
{
    t->ready = true;
    t->tx = &t->scratch->tx;
    if (buf_append(&t->hs_in, t->hold.p, t->hold.len) != OK) {
        finish_handshake(t, ERR_NOMEM, "out of memory");
        return;
    }
    buf_free(&t->hold);
    if (t->hs_in.len > 0)
        t->hold = t->hs_in;
    else
        buf_free(&t->hs_in);
    buf_init(&t->hs_in, HOLD_MAX);
    const char *why = NULL;
    enum err e = t->ops->ready(t->role, &t->ssl, &why);
    finish_handshake(t, e, why);
}

static void after_step(struct tls *t)
{
    size_t left = t->rxn, had = t->hs_in.len;
    buf_consume(&t->hs_in, had - left);
    const char *why = t->fail_why;
    enum err e = t->fail_err;
    if (e == OK && t->hs_out.len > 0) /* may be the alert that says what is wrong */
        e = wire_send(t->s, t->hs_out.p, t->hs_out.len, &why);
    t->answered |= t->hs_out.len > 0;
    buf_free(&t->hs_out);
    bool waits = t->result == MBEDTLS_ERR_SSL_WANT_READ || t->result == MBEDTLS_ERR_SSL_WANT_WRITE;
    if (t->result != 0 && !waits)
        e = t->ops->refused(t->role, &t->ssl, t->result, &why);
    if (e != OK && e != ERR_AGAIN) {
        finish_handshake(t, e, why);
        return;
    }
    if (t->result == 0) {
        enter(t);
        return;
    }
    if (t->hold.len > 0)
        step(t);
    else if (t->eof)
        finish_handshake(t, ERR_TLS, handshake_cut);
    else
        stream_arm(t->s);
}

static void on_worked(uv_work_t *work, int status)
{
    struct tls *t = work->data;
    struct stream *s = t->s;
    assert(status == 0 && t->busy);
    (void)status;
    t->busy = false;
    s->loop->open--;
    gate_next(t->gate);
    if (t->orphan) {
        bool freed = tls_free(s);
        assert(freed);
        (void)freed;
        stream_release(s);
    } else if (s->state != STREAM_CLOSED) {
        after_step(t);
    }
}

void tls_broke(struct stream *s, enum err e, const char *why)
{
    struct tls *t = s->tls;
    assert(!t->ready);
    if (t->fail_err != OK || t->done == NULL)
        return;
    t->fail_err = e;
    t->fail_why = why;
    if (!t->busy)
        finish_handshake(t, e, why);
}

static struct tls_scratch *scratch_of(struct loop *l)
{
    if (l->tls == NULL) {
        l->tls = NEW(struct tls_scratch);
        buf_init(&l->tls->tx, TX_MAX);
    }
    return l->tls;
}

void tls_scratch_free(struct tls_scratch *scratch)
{
    if (scratch == NULL)
        return;
    buf_free(&scratch->tx);
    crypto_wipe(scratch, sizeof *scratch);
    mem_free(scratch);
}

enum err tls_start(struct stream *s, const mbedtls_ssl_config *conf,
                   int (*prepare)(void *role, mbedtls_ssl_context *ssl), const struct tls_role *ops,
                   void *role, struct tls_gate *gate, tls_done_fn *done, void *arg)
{
    assert(s->tls == NULL && s->ops == NULL && s->state == STREAM_OPEN);
    struct tls *t = NEW(struct tls);
    t->s = s;
    t->scratch = scratch_of(s->loop);
    t->ops = ops;
    t->role = role;
    t->done = done;
    t->arg = arg;
    t->gate = gate;
    list_init(&t->turn);
    t->work.data = t;
    buf_init(&t->hold, HOLD_MAX);
    buf_init(&t->hs_in, 2 * HOLD_MAX);
    buf_init(&t->hs_out, TX_MAX);
    t->tx = &t->hs_out;
    mbedtls_ssl_init(&t->ssl);
    mbedtls_ssl_set_bio(&t->ssl, t, bio_send, bio_recv, NULL);
    s->tls = t; /* freed with the stream from now on */
    if (mbedtls_ssl_setup(&t->ssl, conf) != 0 || prepare(role, &t->ssl) != 0)
        return ERR_NOMEM;
    if (mbedtls_ssl_conf_get_endpoint(conf) == MBEDTLS_SSL_IS_CLIENT)
        step(t);
    else
        stream_arm(s); /* the client speaks first */
    return OK;
}

bool tls_free(struct stream *s)
{
    struct tls *t = s->tls;
    if (!list_empty(&t->turn)) { /* no thread has seen this step, and none will */
        gate_unwait(t);
        t->busy = false;
        s->loop->open--;
    }
    if (t->busy) {
        t->orphan = true;
        return false;
    }
    mbedtls_ssl_free(&t->ssl);
    t->ops->free(t->role);
    buf_free(&t->hold);
    buf_free(&t->hs_in);
    buf_free(&t->hs_out);
    mem_free(t);
    s->tls = NULL;
    return true;
}

bool tls_ready(const struct tls *t)
{
    return t->ready;
}

bool tls_answered(const struct tls *t)
{
    return t->answered;
}

bool tls_busy(const struct tls *t)
{
    return t->busy;
}

const char *tls_version(const struct tls *t)
{
    return t->ready ? mbedtls_ssl_get_version(&t->ssl) : "";
}

/* ---- reading --------------------------------------------------------------------------------- */

bool tls_hungry(const struct stream *s)
{
    const struct tls *t = s->tls;
    if (!t->ready)
        return t->fail_err == OK && !t->eof && t->hold.len + TLS_READ_SIZE <= HOLD_MAX;
    return s->want && t->hold.len == 0 && !t->eof;
}

bool tls_hiding(const struct stream *s)
{
    return s->tls->ready && (s->tls->hold.len > 0 || s->tls->eof);
}

static enum err record_err(int r, const char **why)
{
    switch (r) {
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        *why = NULL;
        return OK;
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        *why = "the peer sent a fatal TLS alert";
        return ERR_TLS;
    case MBEDTLS_ERR_SSL_INVALID_MAC:
        *why = "a TLS record failed its check";
        return ERR_TLS;
    default:
        *why = "a TLS record could not be read";
        return ERR_TLS;
    }
}

/* What mbedTLS made of the bytes so far. */
enum outcome { MORE, DRY, OVER };

/* Decrypts records into scratch->clear until there is no room for another one (MORE), nothing is
 * left (DRY), or the stream is over, with mbedTLS's reason in *r. */
static enum outcome decrypt(struct tls *t, size_t *n, int *r)
{
    int idle = 0;
    *n = 0;
    while (*n + RECORD_MAX <= CLEAR_SIZE) {
        size_t before = t->rxn;
        *r = mbedtls_ssl_read(&t->ssl, (unsigned char *)t->scratch->clear + *n, CLEAR_SIZE - *n);
        if (*r > 0) {
            *n += (size_t)*r;
            assert(*n <= CLEAR_SIZE);
        } else if (*r == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            t->ops->ticket(t->role, &t->ssl);
        } else if (*r == 0 || *r == MBEDTLS_ERR_SSL_WANT_READ) {
            /* It says so too in the middle of a ticket, or at an empty record, with more at hand.
             */
            idle = t->rxn == before ? idle + 1 : 0;
            if (t->rxn == 0 && (idle > 4 || !mbedtls_ssl_check_pending(&t->ssl)))
                return DRY;
            if (idle > 8)
                return OVER;
        } else {
            return OVER;
        }
    }
    return MORE;
}

/* Sends what mbedTLS answered by itself (alerts). */
static enum err send_forced(struct tls *t, const char **why)
{
    struct stream *s = t->s;
    if (t->tx->len == 0)
        return OK;
    if (uv_stream_get_write_queue_size(&s->h.stream) > FORCED_MAX) {
        *why = "the peer does not read";
        return ERR_RESET;
    }
    enum err e = wire_send(s, t->tx->p, t->tx->len, why);
    buf_clear(t->tx);
    return e == ERR_AGAIN ? OK : e;
}

/* Delivers what t->rx holds, until it is used up or the owner has had enough. */
static void pump(struct stream *s)
{
    struct tls *t = s->tls;
    enum outcome got = MORE;
    while (got == MORE && s->state == STREAM_OPEN && s->want && s->last == LAST_NONE && !s->ended) {
        size_t n;
        int r;
        const char *why;
        buf_clear(t->tx);
        got = decrypt(t, &n, &r);
        enum err e = send_forced(t, &why);
        if (e == OK && got == OVER)
            e = record_err(r, &why);
        bool over = e != OK || got == OVER;
        if (n > 0)
            s->ops->on_read(s->owner, (struct slice){t->scratch->clear, n});
        if (over) {
            t->rxn = 0; /* nothing behind the end counts */
            stream_last(s, e, why);
        }
    }
}

void tls_pump(struct stream *s)
{
    struct tls *t = s->tls;
    assert(t->ready && !t->busy);
    size_t had = t->hold.len;
    set_rx(t, buf_slice(&t->hold));
    pump(s);
    assert(t->hold.len == had);
    buf_consume(&t->hold, had - t->rxn);
    if (t->hold.len > 0)
        return;
    buf_free(&t->hold);
    if (t->eof)
        stream_last(s, ERR_EOF, records_cut);
}

void tls_input(struct stream *s, struct slice bytes)
{
    struct tls *t = s->tls;
    if (t->ready) {
        assert(t->hold.len == 0); /* else it would not have been hungry */
        set_rx(t, bytes);
        pump(s);
        bytes = (struct slice){t->rx, t->rxn};
    }
    if (s->state != STREAM_OPEN || bytes.n == 0)
        return;
    if (buf_append(&t->hold, bytes.p, bytes.n) != OK)
        stream_fail(s, ERR_NOMEM, "out of memory");
    else if (!t->ready && !t->busy)
        step(t);
}

void tls_eof(struct stream *s)
{
    struct tls *t = s->tls;
    /* A server may finish the handshake, answer and hang up at once. */
    t->eof = true;
    if (t->ready)
        stream_last(s, ERR_EOF, records_cut);
    else if (!t->busy)
        tls_broke(s, ERR_TLS, handshake_cut);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Turns up to PUSH_CHUNK bytes of s->rest into records in t->tx. Small slices (a head and its body)
 * share a record. */
static enum err encrypt(struct stream *s, const char **why)
{
    struct tls *t = s->tls;
    int most = mbedtls_ssl_get_max_out_record_payload(&t->ssl);
    size_t record = most > 0 && most < RECORD_MAX ? (size_t)most : RECORD_MAX;
    size_t done = 0;
    buf_clear(t->tx);
    while (s->rest_n > 0 && done < PUSH_CHUNK) {
        bool whole = s->rest[0].n >= record || s->rest_n == 1;
        const char *p = whole ? s->rest[0].p : t->scratch->plain;
        size_t n = whole ? s->rest[0].n : rest_take(s, t->scratch->plain, record);
        if (n > record)
            n = record;
        int r = mbedtls_ssl_write(&t->ssl, (const unsigned char *)p, n);
        if (r < 0 || (size_t)r != n) {
            *why = "a TLS record could not be written";
            return ERR_TLS;
        }
        if (whole)
            rest_drop(s, n);
        done += n;
    }
    return OK;
}

enum err tls_push(struct stream *s, const char **why)
{
    struct tls *t = s->tls;
    assert(t->ready);
    size_t turn = 0;
    while (s->rest_n > 0) {
        enum err e = encrypt(s, why);
        if (e != OK)
            return e;
        turn += PUSH_CHUNK;
        /* After its share of the turn it goes on in the next one, when the queued bytes are gone.
         */
        if (s->rest_n > 0 && turn >= PUSH_TURN)
            e = wire_queue(s, t->tx->p, t->tx->len, why);
        else
            e = wire_send(s, t->tx->p, t->tx->len, why);
        buf_clear(t->tx);
        if (e != OK)
            return e;
    }
    return OK;
}

enum err tls_goodbye(struct stream *s, const char **why)
{
    struct tls *t = s->tls;
    bool more = true;
    while (more) {
        enum err e = encrypt(s, why);
        more = s->rest_n > 0;
        if (e == OK && !more && mbedtls_ssl_close_notify(&t->ssl) < 0) {
            *why = "TLS close_notify failed";
            e = ERR_TLS;
        }
        if (e == OK)
            e = wire_send(s, t->tx->p, t->tx->len, why);
        buf_clear(t->tx);
        if (e != OK && e != ERR_AGAIN)
            return e;
    }
    return OK;
}
