/* A guest that looks at its sandbox from inside, and that misbehaves in every way a guest can: argv[1] says how. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile int depth;
static char *volatile kept; /* so that no compiler leaves the eating out */
static int recurse(int n) { depth = n; return recurse(n + 1) + depth; }

static int look(char **paths) {
    for (; *paths; paths++) {
        FILE *file = fopen(*paths, "r");
        char line[256] = "";
        if (file && fgets(line, sizeof line, file)) printf("%s: %s", *paths, line);
        else printf("%s: %s\n", *paths, file ? "empty" : strerror(errno));
        if (file) fclose(file);
    }
    return 0;
}

static int put(char **paths) {
    for (; *paths; paths++) {
        FILE *file = fopen(*paths, "w");
        if (file) { fputs("written\n", file); fclose(file); }
        printf("%s: %s\n", *paths, file ? "ok" : strerror(errno));
    }
    return 0;
}

static int list(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    if (!folder) { perror(path); return 1; }
    while ((entry = readdir(folder))) if (entry->d_name[0] != '.') puts(entry->d_name);
    closedir(folder);
    return 0;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "exit")) return atoi(argv[2]);
    if (!strcmp(mode, "look")) return look(argv + 2);
    if (!strcmp(mode, "put")) return put(argv + 2);
    if (!strcmp(mode, "list")) return list(argv[2]);
    if (!strcmp(mode, "env")) { const char *v = getenv(argv[2]); puts(v ? v : "(unset)"); return 0; }
    if (!strcmp(mode, "trap")) { fflush(stdout); __builtin_trap(); }
    if (!strcmp(mode, "recurse")) return recurse(0);
    if (!strcmp(mode, "spin")) { puts("spinning"); fflush(stdout); for (;;) depth++; }
    if (!strcmp(mode, "eat")) {
        for (size_t total = 0;; total += 1 << 20) {
            char *block = malloc(1 << 20);
            if (!block) { printf("no more after %zu MB\n", total >> 20); return 3; }
            memset(block, 1, 1 << 20);
            kept = block;
        }
    }
    if (!strcmp(mode, "fill")) {
        static char block[1 << 20];
        int fd = open(argv[2], O_WRONLY | O_CREAT, 0600);
        while (write(fd, block, sizeof block) > 0) depth++;
        printf("no more after %d MB\n", depth);
        return 4;
    }
    if (!strcmp(mode, "tty")) {
        char line[64];
        printf("tty %d %d\n", isatty(0), isatty(1));
        fflush(stdout);
        while (fgets(line, sizeof line, stdin)) { printf("got %s", line); fflush(stdout); }
        return 5;
    }
    if (!strcmp(mode, "links")) {
        printf("outside: %s\n", symlink("/etc/passwd", "/out") ? strerror(errno) : "made");
        printf("up: %s\n", open("../../../../etc/passwd", O_RDONLY) < 0 ? strerror(errno) : "opened");
        return 0;
    }
    fprintf(stderr, "unknown mode %s\n", mode);
    return 64;
}
