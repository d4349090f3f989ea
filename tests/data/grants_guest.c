// Says what each kind of host function answers: its errno as WASI numbers it. Raw imports: libc would hide them.
#include <stdint.h>
#include <stdio.h>

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))

WASI(path_open) int path_open(int fd, int look, const char *path, int size, int oflags, int64_t rights,
                              int64_t inheriting, int flags, int *opened);
WASI(path_filestat_get) int path_filestat_get(int fd, int look, const char *path, int size, void *stat);
WASI(fd_readdir) int fd_readdir(int fd, void *buffer, int size, int64_t cookie, int *used);
WASI(fd_prestat_get) int fd_prestat_get(int fd, void *prestat);
WASI(clock_time_get) int clock_time_get(int id, int64_t precision, int64_t *time);
WASI(random_get) int random_get(void *buffer, int size);
WASI(sock_accept) int sock_accept(int fd, int flags, int *accepted);
WASI(sock_send) int sock_send(int fd, const void *iovs, int count, int flags, int *sent);
WASI(sched_yield) int yield(void);

int main(int count, char **words) {
    static int64_t buffer[64];
    int number;
    if (count > 1) getchar();
    printf("prestat %d\n", fd_prestat_get(3, buffer));
    printf("open %d\n", path_open(3, 0, "guest.wasm", 10, 0, 2, 0, 0, &number));
    printf("stat %d\n", path_filestat_get(3, 0, "guest.wasm", 10, buffer));
    printf("readdir %d\n", fd_readdir(3, buffer, 512, 0, &number));
    printf("clock %d\n", clock_time_get(1, 1, buffer));
    printf("random %d\n", random_get(buffer, 8));
    printf("accept %d\n", sock_accept(3, 0, &number));
    printf("send %d\n", sock_send(1, buffer, 0, 0, &number));
    printf("yield %d\n", yield());
    return 0;
}
