/* What the parts of the load generator share: what was asked for, and what was seen. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "peer.h"
#include "wire.h"

enum pace { PACE_CLOSED, PACE_OPEN, PACE_HELD, PACE_SHAKE };

struct wish {
    enum pace pace;
    int port, clients;
    int64_t warm_us, run_us;
    long requests; /* > 0: so many, however long they take */
    double rate;   /* a second; open loop and handshakes */
    bool tls;
    const char *pids; /* whose CPU time and memory is read, with commas */
};

/* What is measured lies between begin and end; before is warming up. */
struct watch {
    int64_t begin, end; /* 0: not yet */
    long answers, events, errors;
    int64_t late; /* the most that a request of the open loop was sent after its time */
};

extern struct wish wish;
extern struct watch watch;

/* samples, in us; two series */
enum series { SERIES_LATENCY, SERIES_DELAY, SERIES_N };
void seen_add(enum series which, int64_t us);
void watch_begin(void); /* reads the CPU clocks */
void watch_end(void);
void watch_memory(int which); /* 0: before the connections, 1: with them */
void report_print(int ready);

/* the request that all clients send */
void request_make(int argc, char **argv);
extern char *request;
extern size_t request_n;

#endif
