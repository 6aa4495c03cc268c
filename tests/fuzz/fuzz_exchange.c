/* links: base config sim http codec store accounts gateway admin app flow */
/* The whole house between a hostile client and a hostile provider, on the simulated net: the
 * judge of the flow tests says what must hold, whatever both have sent.
 *
 * An input: one byte that says who provides (bits 0-1), whether its answers end with the connection
 * (2), whether the client ends its side (3), and how writes are taken (4-6); one byte that says how
 * much the house is given at a read (0: all there is). Behind them, parted by a line "--": what the
 * provider answers to each request, then what the client sends, in as many pieces. */
#include "play.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX  65536 /* more of it finds nothing more, and slowly */
#define PIECES_MAX 8
#define HOST       "https://p.test"

static const struct script_account PROVIDERS[4] = {
    {.name = {"P", 1},
     .provider = {"anthropic", 9},
     .url = {HOST, sizeof HOST - 1},
     .secret = {"sk-ant-api03-0", 14},
     .weight = 1},
    {.name = {"P", 1},
     .provider = {"openai-compatible", 17},
     .url = {HOST "/v1", sizeof HOST + 2},
     .secret = {"sk-0", 4},
     .weight = 1},
    {.name = {"P", 1},
     .provider = {"gemini", 6},
     .url = {HOST, sizeof HOST - 1},
     .secret = {"AIza0", 5},
     .weight = 1},
    {.name = {"P", 1},
     .provider = {"bedrock", 7},
     .url = {HOST, sizeof HOST - 1},
     .secret = {"ABSK0", 5},
     .settings = {"{\"region\":\"eu-west-1\"}", 22},
     .weight = 1},
};

static void step_add(struct script *s, struct step step)
{
    assert(s->steps < s->step_cap);
    s->step[s->steps++] = step;
}

/* The piece in front of the next line "--"; false behind the last. */
static bool piece_cut(struct slice *rest, bool *more, struct slice *out)
{
    static const struct slice line = {"\n--\n", 4};
    if (!*more)
        return false;
    ptrdiff_t at = slice_search(*rest, line);
    *more = at >= 0;
    *out = at < 0 ? *rest : slice_sub(*rest, 0, (size_t)at);
    *rest = at < 0 ? S("") : slice_sub(*rest, (size_t)at + line.n, rest->n);
    return true;
}

static void script_fill(struct script *s, uint8_t how, struct slice rest)
{
    struct slice piece;
    bool more = true;
    s->steps = 0;
    (void)piece_cut(&rest, &more, &piece);
    if (piece.n > 0) /* else it never answers */
        step_add(s, (struct step){.kind = STEP_SERVES, .upstream = S("P"), .data = piece});
    for (int i = 0; i < PIECES_MAX && piece_cut(&rest, &more, &piece); i++)
        step_add(s, (struct step){.kind = STEP_SEND, .client = 1, .data = piece});
    if (how & 4)
        step_add(s, (struct step){.kind = STEP_END, .upstream = S("P"), .how = HOW_WHOLE});
    if (how & 8)
        step_add(s, (struct step){.kind = STEP_SHUT, .client = 1});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    static struct step steps[PIECES_MAX + 4];
    static struct script s = {.file = "input", .accounts = 1, .loose_records = true};
    struct outcome out;
    char why[256];
    if (size < 2 || size > INPUT_MAX)
        return 0;
    s.step = steps;
    s.step_cap = PIECES_MAX + 4;
    s.account[0] = PROVIDERS[data[0] & 3];
    script_fill(&s, data[0], (struct slice){(const char *)data + 2, size - 2});
    if (config == NULL) {
        crypto_init();
        config = rig_config(&s, why, sizeof why);
    }
    assert(config != NULL);
    const struct plan plan = {
        .config = config,
        .mode = MODE_CUT, /* nothing is expected, and all must hold */
        .weather = {.read_max = data[1], .take = (enum sim_take)((data[0] >> 4) % SIM_TAKES)},
        .counted = true};
    play(&s, &plan, NULL, &out);
    if (!out.ok) {
        (void)fprintf(stderr, "%s\n", out.why);
        __builtin_trap();
    }
    outcome_free(&out);
    return 0;
}
