/* A guest that asks for too much of everything: argv[1] says of what. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile int depth;
static char *volatile kept;
static int recurse(int n) { return n < 0 ? depth : recurse(n + 1) + depth; }

static int all_memory(void) {
    size_t now = __builtin_wasm_memory_size(0);
    size_t before = __builtin_wasm_memory_grow(0, 65536 - now);
    if (before == (size_t)-1) { puts("refused"); return 3; }
    volatile char *last = (char *)(uintptr_t)0xffffffff;
    *last = 1;
    printf("%zu pages\n", __builtin_wasm_memory_size(0));
    return 0;
}

static int files(long most) {
    long count = 0;
    while (count < most && open("/greedy.wasm", O_RDONLY) >= 0) count++;
    printf("%ld files: %s\n", count, count < most ? strerror(errno) : "ok");
    close(3 + 1);
    printf("again: %s\n", open("/greedy.wasm", O_RDONLY) >= 0 ? "ok" : strerror(errno));
    return 0;
}

static int flood(long megabytes) {
    static char block[1 << 20];
    memset(block, '.', sizeof block);
    for (size_t at = 79; at < sizeof block; at += 80) block[at] = '\n';
    for (long n = 0; n < megabytes; n++)
        for (size_t at = 0; at < sizeof block;) {
            ssize_t done = write(1, block + at, sizeof block - at);
            if (done < 0) return 5;
            at += done;
        }
    return 0;
}

/* The same work each time, and how long it took. */
static int burn(void) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned n = 0; n < 2000000000u; n++) depth++;
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%.1f\n", (to.tv_sec - from.tv_sec) + (to.tv_nsec - from.tv_nsec) / 1e9);
    return 0;
}

/* Line by line: how many more megabytes to have. */
static int eat_on_demand(void) {
    char line[64];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        size_t size = (size_t)atol(line) << 20;
        char *block = malloc(size);
        if (block) memset(block, 1, size);
        kept = block;
        puts(block ? "had" : "refused");
        fflush(stdout);
    }
    return 0;
}

/* So many megabytes to the disk, all the way. */
static int store(const char *path, long megabytes) {
    static char block[1 << 20];
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (fd < 0) { perror(path); return 1; }
    for (long n = 0; n < megabytes; n++)
        if (write(fd, block, sizeof block) != sizeof block) { perror(path); return 1; }
    if (fsync(fd)) { perror(path); return 1; }
    puts("stored");
    fflush(stdout);
    sleep(3600);
    return 0;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "memory")) return all_memory();
    if (!strcmp(mode, "files")) return files(atol(argv[2]));
    if (!strcmp(mode, "flood")) return flood(atol(argv[2]));
    if (!strcmp(mode, "recurse")) return recurse(0);
    if (!strcmp(mode, "spin")) { puts("spinning"); fflush(stdout); for (;;) depth++; }
    if (!strcmp(mode, "burn")) return burn();
    if (!strcmp(mode, "store")) return store(argv[2], atol(argv[3]));
    if (!strcmp(mode, "eat")) return eat_on_demand();
    fprintf(stderr, "unknown mode %s\n", mode);
    return 64;
}
