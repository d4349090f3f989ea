/* A handler that does what the path says: for tests of the server in front of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static void head(const char *type) { printf("Content-Type: %s\r\n\r\n", type); }

static void environment(int argc, char **argv) {
    head("text/plain");
    for (int i = 0; i < argc; i++) printf("arg %d=%s\n", i, argv[i]);
    for (char **word = environ; *word; word++) puts(*word);
}

static void echo(void) {
    static char buffer[65536];
    ssize_t size;
    write(1, "Content-Type: application/octet-stream\n\n", 40);
    while ((size = read(0, buffer, sizeof buffer)) > 0) write(1, buffer, size);
}

static void count(void) {
    static char buffer[65536];
    long total = 0;
    ssize_t size;
    while ((size = read(0, buffer, sizeof buffer)) > 0) total += size;
    head("text/plain");
    printf("%ld\n", total);
}

static void ticks(void) { /* a line, and only when the client says so the next */
    char letter;
    head("text/event-stream");
    fflush(stdout);
    printf("first\n");
    fflush(stdout);
    while (read(0, &letter, 1) == 1) {
        printf("tick %c\n", letter);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    static int calls;
    const char *path = getenv("PATH_INFO") ? getenv("PATH_INFO") : "";
    if (!strcmp(path, "/env")) environment(argc, argv);
    else if (!strcmp(path, "/echo")) echo();
    else if (!strcmp(path, "/count")) count();
    else if (!strcmp(path, "/ticks")) ticks();
    else if (!strcmp(path, "/calls")) { head("text/plain"); printf("%d\n", ++calls); }
    else if (!strcmp(path, "/trap")) __builtin_trap();
    else if (!strcmp(path, "/late-trap")) { head("text/plain"); puts("begun"); fflush(stdout); puts("x"); fflush(stdout); __builtin_trap(); }
    else if (!strcmp(path, "/spin")) for (;;) __asm__ volatile("");
    else if (!strcmp(path, "/sleep")) for (;;) sleep(1000);
    else if (!strcmp(path, "/late-spin")) { head("text/plain"); puts("begun"); fflush(stdout); puts("x"); fflush(stdout); for (;;) __asm__ volatile(""); }
    else if (!strcmp(path, "/silent")) return 0;
    else if (!strcmp(path, "/no-header")) printf("just words\n");
    else if (!strcmp(path, "/nul")) fwrite("Content-Type: te\0xt\n\nbody", 1, 24, stdout);
    else if (!strcmp(path, "/newline")) printf("Content-Type: text/plain\nX-Bad: a\rb\n\nbody");
    else if (!strcmp(path, "/fold")) printf("Content-Type: text/plain\nX-Bad: a\n b\n\nbody");
    else if (!strcmp(path, "/many")) { for (int i = 0; i < 10000; i++) printf("X-%d: y\n", i); head("text/plain"); }
    else if (!strcmp(path, "/endless-header")) for (;;) printf("X-Y: z\n");
    else if (!strcmp(path, "/status")) printf("Status: 418 I'm a teapot\nContent-Type: text/plain\n\nshort and stout\n");
    else if (!strcmp(path, "/bad-status")) printf("Status: yes\n\n");
    else if (!strcmp(path, "/location")) printf("Location: https://example.com/\n\n");
    else if (!strcmp(path, "/no-content")) printf("Status: 204\n\n");
    else if (!strcmp(path, "/short")) printf("Content-Type: text/plain\nContent-Length: 100\n\nshort");
    else if (!strcmp(path, "/long")) printf("Content-Type: text/plain\nContent-Length: 5\n\nlonger than that");
    else if (!strcmp(path, "/exit")) { head("text/plain"); puts("left with 3"); exit(3); }
    else if (!strcmp(path, "/eat")) { for (;;) if (!calloc(1, 1 << 20)) { head("text/plain"); puts("no more"); return 0; } }
    else if (!strcmp(path, "/leak")) { for (int i = 0; i < 20; i++) fopen("/guest.wasm", "r"); close(0); close(2); head("text/plain"); puts("leaked"); }
    else if (!strcmp(path, "/stderr")) { fputs("said to stderr\n", stderr); head("text/plain"); puts("ok"); }
    else if (!strcmp(path, "/big")) {
        static char block[65536];
        memset(block, 'b', sizeof block);
        write(1, "Content-Type: text/plain\n\n", 26);
        for (int i = 0; i < 1024; i++) write(1, block, sizeof block);
    } else { head("text/plain"); puts("Hello from WAGI!"); }
    return 0;
}

__attribute__((export_name("goodbye"))) void goodbye(void) { head("text/plain"); puts("Goodbye!"); fflush(stdout); }

#ifdef ROUTES
__attribute__((export_name("_routes"))) void routes(void) { puts("/bye goodbye\n/deep/... _start"); fflush(stdout); }
#endif
