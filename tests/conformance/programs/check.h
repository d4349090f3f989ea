// What the conformance programs share: checks that tell their line and go on, short ways to call WASI, and a main that
// runs the case named by its first argument. Exit code 0: all held.
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#define ROOT 3
static int failures;

#define CHECK(what) \
  do { \
    if (!(what)) { \
      printf("%d: %s\n", __LINE__, #what); \
      failures++; \
    } \
  } while (0)
#define ERRNO(call, name) CHECK_ERRNO(call, __WASI_ERRNO_##name)
#define CHECK_ERRNO(call, wanted) \
  do { \
    int got = (call); \
    if (got != (wanted)) { \
      printf("%d: %s: errno %d, not %d\n", __LINE__, #call, got, (wanted)); \
      failures++; \
    } \
  } while (0)
#define OK(call) CHECK_ERRNO(call, 0)
#define EITHER(call, one, other) \
  do { \
    int got = (call); \
    if (got != __WASI_ERRNO_##one && got != __WASI_ERRNO_##other) { \
      printf("%d: %s: errno %d, not %s or %s\n", __LINE__, #call, got, #one, #other); \
      failures++; \
    } \
  } while (0)
#define ANY_OF(call, one, two, three) \
  do { \
    int got = (call); \
    if (got != __WASI_ERRNO_##one && got != __WASI_ERRNO_##two && got != __WASI_ERRNO_##three) { \
      printf("%d: %s: errno %d, not %s, %s or %s\n", __LINE__, #call, got, #one, #two, #three); \
      failures++; \
    } \
  } while (0)

#define R __WASI_RIGHTS_FD_READ
#define W __WASI_RIGHTS_FD_WRITE
#define FOLLOW __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW

static __wasi_errno_t open_at(__wasi_fd_t dir, int look, const char *path, int oflags, __wasi_rights_t rights, int fdflags,
                              __wasi_fd_t *fd) {
  return __wasi_path_open(dir, look, path, oflags, rights, ~0ull >> 34, fdflags, fd);
}
static void touch(const char *path) {
  __wasi_fd_t fd;
  OK(open_at(ROOT, 0, path, __WASI_OFLAGS_CREAT, R | W, 0, &fd));
  OK(__wasi_fd_close(fd));
}
static __wasi_errno_t put(__wasi_fd_t fd, const char *text, __wasi_size_t *n) {
  __wasi_ciovec_t iov = {(const uint8_t *)text, strlen(text)};
  return __wasi_fd_write(fd, &iov, 1, n);
}
// path_open with the path's length given: with a NUL inside it, say.
__attribute__((import_module("wasi_snapshot_preview1"), import_name("path_open"))) int32_t raw_path_open(
    int32_t dir, int32_t look, const char *path, int32_t length, int32_t oflags, int64_t rights, int64_t inheriting,
    int32_t fdflags, __wasi_fd_t *fd);
// A new folder of the root, open.
static __wasi_fd_t scratch(const char *name) {
  __wasi_fd_t fd = 0;
  OK(__wasi_path_create_directory(ROOT, name));
  OK(open_at(ROOT, 0, name, __WASI_OFLAGS_DIRECTORY, ~0ull >> 34 & ~W, 0, &fd));
  return fd;
}
static char buffer[8192];
static __wasi_errno_t get(__wasi_fd_t fd, __wasi_size_t size, __wasi_size_t *n) {
  __wasi_iovec_t iov = {(uint8_t *)buffer, size};
  return __wasi_fd_read(fd, &iov, 1, n);
}

struct check_case {
  const char *name;
  void (*run)(void);
};

// Exit code 2: there is no such case.
static int run_case(const struct check_case *cases, unsigned count, const char *name) {
  for (unsigned i = 0; i < count; i++)
    if (!strcmp(name, cases[i].name)) {
      cases[i].run();
      fflush(stdout);
      return failures != 0;
    }
  return 2;
}

#define CASES_OF(table) table, sizeof table / sizeof *table
