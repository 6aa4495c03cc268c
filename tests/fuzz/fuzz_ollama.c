/* links: base http codec */
/* The Ollama dialect over hostile bytes: see dialect_play.h. */
#include "dialect_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool levels = size > 1 && (data[1] & 4) != 0;
    play_all(DIALECT_OLLAMA, REPLY_LINES, levels ? S("gpt-oss:20b") : S("qwen3:8b"), data, size);
    return 0;
}
