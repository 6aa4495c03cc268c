/* report: samples, the CPU time and memory of those who are measured, one line of JSON. */
#include "load.h"

#define SAMPLES 16000000
#define PIDS    16

struct wish wish;
struct watch watch;

static uint32_t *sample[SERIES_N];
static size_t samples[SERIES_N];
static int64_t cpu_begin, cpu_end;
static long rss[2];

void seen_add(enum series which, int64_t us)
{
    if (sample[which] == NULL && (sample[which] = malloc(SAMPLES * sizeof(uint32_t))) == NULL)
        die("malloc");
    if (samples[which] < SAMPLES)
        sample[which][samples[which]++] = us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int each_pid(long *pid)
{
    int n = 0;
    for (const char *p = wish.pids; p != NULL && *p != 0 && n < PIDS; n++) {
        pid[n] = strtol(p, NULL, 10);
        p = strchr(p, ',');
        p = p != NULL ? p + 1 : NULL;
    }
    return n;
}

/* User and system time of all their threads, to the nanosecond. */
static int64_t cpu_ns(void)
{
    long pid[PIDS];
    int64_t sum = 0;
    for (int i = each_pid(pid) - 1; i >= 0; i--) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid((pid_t)pid[i], &clock) != 0 || clock_gettime(clock, &t) != 0)
            die("the CPU clock of the measured process");
        sum += (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    return sum;
}

void watch_begin(void)
{
    cpu_begin = cpu_ns();
    watch.begin = now_us();
}

void watch_end(void)
{
    watch.end = now_us();
    cpu_end = cpu_ns();
}

void watch_memory(int which)
{
    long pid[PIDS], kib = 0;
    for (int i = each_pid(pid) - 1; i >= 0; i--) {
        char line[128];
        snprintf(line, sizeof line, "/proc/%ld/smaps_rollup", pid[i]);
        FILE *f = fopen(line, "r");
        long n = 0;
        while (f != NULL && fgets(line, sizeof line, f) != NULL)
            if (sscanf(line, "Rss: %ld", &n) == 1)
                kib += n;
        if (f != NULL)
            fclose(f);
    }
    rss[which] = kib;
}

static void print_series(const char *name, enum series which)
{
    static const struct {
        const char *name;
        double at;
    } at[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1.0}};
    size_t n = samples[which];
    if (n == 0)
        return;
    qsort(sample[which], n, sizeof(uint32_t), by_value);
    printf(",\"%s\":{\"n\":%zu", name, n);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        printf(",\"%s\":%u", at[i].name, sample[which][(size_t)(at[i].at * (double)(n - 1))]);
    printf("}");
}

void report_print(int ready)
{
    double took = (double)(watch.end - watch.begin) / 1e6;
    printf("{\"ready\":%d,\"seconds\":%.3f,\"answers\":%ld,\"events\":%ld,\"errors\":%ld,\"late\":%"
           "lld,"
           "\"cpu_ns\":%lld,\"rss_before\":%ld,\"rss\":%ld",
           ready, took, watch.answers, watch.events, watch.errors, (long long)watch.late,
           (long long)(cpu_end - cpu_begin), rss[0], rss[1]);
    print_series("latency", SERIES_LATENCY);
    print_series("delay", SERIES_DELAY);
    printf("}\n");
}
