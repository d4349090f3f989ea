// Pours bytes: "serve MB" sends MB megabytes to everyone who connects to port 80; "log MB" writes that many megabytes in
// lines of 100 bytes to stdout, ten megabytes a second; "lines N" writes so many numbered lines.
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char piece[100000];

static int all(int fd, const char *data, size_t left) {
    while (left) {
        ssize_t n = write(fd, data, left);
        if (n < 0) return -1;
        data += n, left -= n;
    }
    return 0;
}

static int serve(int pieces) {
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(80)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 8)) return 1;
    signal(SIGPIPE, SIG_IGN);
    if (all(1, "ready\n", 6)) return 1;
    for (;;) {
        int client = accept(listener, 0, 0);
        for (int i = 0; client >= 0 && i < pieces && !all(client, piece, sizeof piece); i++) {}
        close(client);
    }
}

static int pour(int pieces) {
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (int i = 0; i < pieces; i++) {
        if (all(1, piece, sizeof piece)) return 1;
        next.tv_nsec += 10000000;
        if (next.tv_nsec >= 1000000000) next.tv_nsec -= 1000000000, next.tv_sec++;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, 0);
    }
    return 0;
}

static int lines(int count) {
    for (int i = 0; i < count; i++) printf("line %07d\n", i);
    return fflush(stdout) != 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    if (!strcmp(argv[1], "lines")) return lines(atoi(argv[2]));
    memset(piece, 'x', sizeof piece);
    for (size_t i = 99; i < sizeof piece; i += 100) piece[i] = '\n';
    int pieces = atoi(argv[2]) * 10;
    return strcmp(argv[1], "serve") ? pour(pieces) : serve(pieces);
}
