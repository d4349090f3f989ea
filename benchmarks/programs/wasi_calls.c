// Times calls of WASI from inside: a line per kind of call on stderr, its name and nanoseconds for each. Stdout should be
// a pipe that somebody drains; the preopened "/" (fd 3) has "file" of 4 MiB and "folder" with 100 files.
#include <stdio.h>
#include <string.h>
#include <wasi/api.h>

#define ROOT 3
static uint8_t block[8192];
static __wasi_fd_t file, folder;

static void call_fd_write(void) {
  __wasi_size_t n;
  __wasi_ciovec_t iov = {block, 4096};
  __wasi_fd_write(1, &iov, 1, &n);
}
static void call_fd_read(void) {
  __wasi_size_t n;
  __wasi_filesize_t at;
  __wasi_iovec_t iov = {block, 4096};
  __wasi_fd_read(file, &iov, 1, &n);
  if (n < 4096) __wasi_fd_seek(file, 0, __WASI_WHENCE_SET, &at);
}
static void call_path_open(void) {
  __wasi_fd_t fd;
  if (!__wasi_path_open(ROOT, 1, "file", 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd)) __wasi_fd_close(fd);
}
static void call_path_filestat_get(void) {
  __wasi_filestat_t st;
  __wasi_path_filestat_get(ROOT, 1, "file", &st);
}
static void call_fd_readdir(void) {
  __wasi_size_t used;
  __wasi_fd_readdir(folder, block, sizeof block, 0, &used);
}
static void call_clock_time_get(void) {
  __wasi_timestamp_t now;
  __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &now);
}

static const struct {
  const char *name;
  void (*call)(void);
  int count;
} calls[] = {
    {"fd_write", call_fd_write, 4000},       {"fd_read", call_fd_read, 8000},
    {"path_open", call_path_open, 4000},     {"path_filestat_get", call_path_filestat_get, 4000},
    {"fd_readdir", call_fd_readdir, 200},    {"clock_time_get", call_clock_time_get, 8000},
};

int main(void) {
  __wasi_path_open(ROOT, 0, "file", 0, __WASI_RIGHTS_FD_READ, 0, 0, &file);
  __wasi_path_open(ROOT, 0, "folder", __WASI_OFLAGS_DIRECTORY, __WASI_RIGHTS_FD_READDIR, 0, 0, &folder);
  for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
    __wasi_timestamp_t before, after;
    for (int n = 0; n < calls[i].count / 10; n++) calls[i].call();
    __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &before);
    for (int n = 0; n < calls[i].count; n++) calls[i].call();
    __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &after);
    fprintf(stderr, "%s %llu\n", calls[i].name, (after - before) / calls[i].count);
  }
}
