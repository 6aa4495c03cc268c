/* replay: plays a fuzz target's corpus without libFuzzer, each file once.
 *
 *   fuzz_x FOLDER...
 *
 * Fails when a folder holds nothing: each target has seeds that are kept. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

#define INPUT_MAX (1u << 20)

static uint8_t bytes[INPUT_MAX];

/* A copy of exactly its size, so that what watches memory sees who reads beyond it. */
static int play(const char *path)
{
    size_t n;
    uint8_t *copy;
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return -1;
    }
    n = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    copy = malloc(n > 0 ? n : 1);
    if (copy == NULL)
        return -1;
    memcpy(copy, bytes, n);
    (void)LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    return 0;
}

static int play_folder(const char *folder)
{
    int played = 0;
    const struct dirent *e;
    DIR *d = opendir(folder);
    if (d == NULL) {
        perror(folder);
        return -1;
    }
    while ((e = readdir(d)) != NULL) {
        char path[4096];
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (play(path) != 0) {
            (void)closedir(d);
            return -1;
        }
        played++;
    }
    (void)closedir(d);
    return played;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize != NULL)
        (void)LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        int played = play_folder(argv[i]);
        if (played <= 0) {
            (void)fprintf(stderr, "%s: nothing to play\n", argv[i]);
            return 1;
        }
        (void)printf("%s: %d played\n", argv[i], played);
    }
    return argc > 1 ? 0 : 2;
}
