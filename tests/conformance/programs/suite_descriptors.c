// What the programs of wasi-testsuite ask of open descriptors, clocks and randomness, asked anew: a case per program of
// theirs, under its name. Each works in a new folder below the preopened "/" (fd 3).
// https://github.com/WebAssembly/wasi-testsuite/tree/main/tests/rust/wasm32-wasip1/src/bin
#include <unistd.h>

#include "check.h"

static __wasi_fd_t dir;

// A file of the folder, open; failing that is a failed check.
static __wasi_fd_t file(const char *name, int oflags, __wasi_rights_t rights, int fdflags) {
  __wasi_fd_t fd = 0;
  OK(open_at(dir, 0, name, oflags, rights, fdflags, &fd));
  CHECK(fd > 2);
  return fd;
}

#define CREAT __WASI_OFLAGS_CREAT
#define SIZE(fd, wanted) \
  do { \
    __wasi_filestat_t st; \
    OK(__wasi_fd_filestat_get(fd, &st)); \
    CHECK(st.size == (wanted)); \
  } while (0)
#define SEEK(fd, delta, whence, wanted) \
  do { \
    __wasi_filesize_t at = 0; \
    OK(__wasi_fd_seek(fd, delta, whence, &at)); \
    CHECK(at == (wanted)); \
  } while (0)
#define WROTE(fd, data, size) \
  do { \
    __wasi_size_t n = 0; \
    __wasi_ciovec_t iov = {(const uint8_t *)(data), size}; \
    OK(__wasi_fd_write(fd, &iov, 1, &n)); \
    CHECK(n == (size)); \
  } while (0)
#define READ(fd, size, wanted) \
  do { \
    __wasi_size_t n = 0; \
    OK(get(fd, size, &n)); \
    CHECK(n == (wanted)); \
  } while (0)

static void big_random_buf(void) {
  uint8_t *big = calloc(1, 1024), any = 0;
  OK(__wasi_random_get(big, 1024));
  for (int i = 0; i < 1024; i++) any |= big[i];
  CHECK(any);
}

static void clock_time_get(void) {
  __wasi_timestamp_t first, second;
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &first));
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &first));
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &second));
  CHECK(first <= second);
}

static void close_preopen(void) {
  __wasi_fdstat_t st;
  OK(__wasi_fd_close(ROOT));
  OK(__wasi_fd_fdstat_get(dir, &st));
  CHECK(st.fs_filetype == __WASI_FILETYPE_DIRECTORY);
  ERRNO(__wasi_fd_fdstat_get(ROOT, &st), BADF);
}

static void overwrite_preopen(void) {
  __wasi_filestat_t before, after;
  __wasi_fdstat_t st;
  OK(__wasi_fd_filestat_get(dir, &before));
  OK(__wasi_fd_renumber(dir, ROOT));
  OK(__wasi_fd_filestat_get(ROOT, &after));
  CHECK(before.dev == after.dev && before.ino == after.ino);
  ERRNO(__wasi_fd_fdstat_get(dir, &st), BADF);
  OK(__wasi_fd_close(ROOT));
}

static void dir_fd_op_failures(void) {
  __wasi_filestat_t st;
  __wasi_prestat_t pre;
  __wasi_size_t n;
  __wasi_filesize_t at;
  __wasi_iovec_t in = {(uint8_t *)buffer, 128};
  __wasi_ciovec_t out = {(uint8_t *)buffer, 128};
  OK(__wasi_fd_filestat_get(dir, &st));
  CHECK(st.filetype == __WASI_FILETYPE_DIRECTORY);
  OK(__wasi_fd_prestat_get(ROOT, &pre));
  EITHER(__wasi_fd_prestat_dir_name(ROOT, (uint8_t *)buffer, 0), INVAL, NAMETOOLONG);
  OK(__wasi_fd_prestat_dir_name(ROOT, (uint8_t *)buffer, pre.u.dir.pr_name_len + 1));
  ANY_OF(__wasi_fd_read(dir, &in, 1, &n), ISDIR, BADF, NOTCAPABLE);
  ANY_OF(__wasi_fd_pread(dir, &in, 1, 0, &n), ISDIR, BADF, NOTCAPABLE);
  ANY_OF(__wasi_fd_write(dir, &out, 1, &n), ISDIR, BADF, NOTCAPABLE);
  ANY_OF(__wasi_fd_pwrite(dir, &out, 1, 0, &n), ISDIR, BADF, NOTCAPABLE);
  for (int whence = 0; whence < 3; whence++) ANY_OF(__wasi_fd_seek(dir, 0, whence, &at), ISDIR, BADF, NOTCAPABLE);
  ANY_OF(__wasi_fd_tell(dir, &at), ISDIR, BADF, NOTCAPABLE);
  ANY_OF(__wasi_fd_allocate(dir, 0, 1), ISDIR, BADF, NOTCAPABLE);
  int got = __wasi_fd_filestat_set_size(dir, 0);
  CHECK(got == __WASI_ERRNO_ISDIR || got == __WASI_ERRNO_INVAL || got == __WASI_ERRNO_BADF);
}

static void directory_seek(void) {
  __wasi_fdstat_t st;
  __wasi_filesize_t at;
  OK(__wasi_path_create_directory(dir, "below"));
  __wasi_fd_t fd = file("below", __WASI_OFLAGS_DIRECTORY, __WASI_RIGHTS_FD_SEEK, 0);
  ANY_OF(__wasi_fd_seek(fd, 0, __WASI_WHENCE_CUR, &at), ISDIR, BADF, NOTCAPABLE);
  OK(__wasi_fd_fdstat_get(fd, &st));
  CHECK(st.fs_filetype == __WASI_FILETYPE_DIRECTORY && !(st.fs_rights_base & __WASI_RIGHTS_FD_SEEK));
  OK(__wasi_fd_close(fd));
  OK(__wasi_path_remove_directory(dir, "below"));
}

static void fd_advise(void) {
  __wasi_fd_t fd = file("file", CREAT, R | W, 0);
  SIZE(fd, 0);
  OK(__wasi_fd_filestat_set_size(fd, 100));
  OK(__wasi_fd_advise(fd, 10, 50, __WASI_ADVICE_NORMAL));
  SIZE(fd, 100);
  OK(__wasi_fd_allocate(fd, 100, 100));
  SIZE(fd, 200);
  OK(__wasi_fd_close(fd));
}

static void file_allocate(void) {
  __wasi_fd_t fd = file("file", CREAT, R | W, 0);
  SIZE(fd, 0);
  OK(__wasi_fd_allocate(fd, 0, 100));
  SIZE(fd, 100);
  OK(__wasi_fd_allocate(fd, 10, 10));
  SIZE(fd, 100);
  OK(__wasi_fd_allocate(fd, 90, 20));
  SIZE(fd, 110);
  OK(__wasi_fd_close(fd));
}

static void fd_fdstat_set_rights(void) {
  const __wasi_rights_t both = R | W, more = both | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL;
  __wasi_fdstat_t st;
  __wasi_size_t n;
  __wasi_fd_t fd = file("file", CREAT, more, 0);
  WROTE(fd, "\0\1\2\3", 4);
  SEEK(fd, 0, __WASI_WHENCE_SET, 0);
  READ(fd, 4, 4);
  CHECK(!memcmp(buffer, "\0\1\2\3", 4));
  OK(__wasi_fd_fdstat_get(fd, &st));
  OK(__wasi_fd_fdstat_set_rights(fd, st.fs_rights_base & ~both, st.fs_rights_inheriting));
  OK(__wasi_fd_fdstat_get(fd, &st));
  CHECK(!(st.fs_rights_base & both) && (st.fs_rights_base & __WASI_RIGHTS_FD_SEEK));
  EITHER(get(fd, 4, &n), BADF, NOTCAPABLE);
  EITHER(put(fd, "x", &n), BADF, NOTCAPABLE);
  ERRNO(__wasi_fd_fdstat_set_rights(fd, st.fs_rights_base | more, st.fs_rights_inheriting | more), NOTCAPABLE);
  OK(__wasi_fd_close(fd));
}

static void fd_filestat_set(void) {
  __wasi_filestat_t before, after;
  __wasi_fd_t fd = file("file", CREAT, R | W, 0);
  SIZE(fd, 0);
  OK(__wasi_fd_filestat_set_size(fd, 100));
  OK(__wasi_fd_filestat_get(fd, &before));
  CHECK(before.size == 100);
  __wasi_timestamp_t wanted = before.mtim - 100;
  OK(__wasi_fd_filestat_set_times(fd, wanted, wanted, __WASI_FSTFLAGS_MTIM));
  OK(__wasi_fd_filestat_get(fd, &after));
  CHECK(after.size == 100 && after.mtim == wanted && after.atim == before.atim);
  OK(__wasi_fd_close(fd));
}

static void fstflags_validate(void) {
  __wasi_fd_t fd = file("file", CREAT, R, 0);
  ERRNO(__wasi_fd_filestat_set_times(fd, 100, 200, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW), INVAL);
  ERRNO(__wasi_fd_filestat_set_times(fd, 100, 200, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW), INVAL);
  OK(__wasi_fd_close(fd));
}

static void fd_flags_set(void) {
  char block[100];
  __wasi_filestat_t st;
  __wasi_fd_t fd = file("file", CREAT, R | W, __WASI_FDFLAGS_APPEND);
  for (int round = 0; round < 2; round++) {
    memset(block, round, sizeof block);
    WROTE(fd, block, 100);
    SEEK(fd, round * 100, __WASI_WHENCE_SET, round * 100);
    READ(fd, 100, 100);
    CHECK(!memcmp(buffer, block, 100));
    SEEK(fd, 0, __WASI_WHENCE_SET, 0);
  }
  OK(__wasi_fd_fdstat_set_flags(fd, 0));
  memset(block, 2, sizeof block);
  WROTE(fd, block, 100);
  SEEK(fd, 0, __WASI_WHENCE_SET, 0);
  READ(fd, 100, 100);
  CHECK(!memcmp(buffer, block, 100));
  OK(__wasi_fd_close(fd));
  OK(__wasi_path_filestat_get(dir, 0, "file", &st));
  CHECK(st.size == 200);
}

struct listed {
  int count;
  __wasi_dircookie_t next[8];
  __wasi_inode_t inode[8];
  char name[8][16];
  uint8_t type[8];
};

// One fd_readdir of 256 bytes; whether it was the last.
static int list(__wasi_dircookie_t from, struct listed *all) {
  __wasi_size_t used = 0, at = 0;
  __wasi_dirent_t entry;
  memset(all, 0, sizeof *all);
  OK(__wasi_fd_readdir(dir, (uint8_t *)buffer, 256, from, &used));
  CHECK(used <= 256);
  for (; at + sizeof entry <= used; all->count++) {
    memcpy(&entry, buffer + at, sizeof entry);
    if (at + sizeof entry + entry.d_namlen > used) break;
    int kept = all->count < 8 ? all->count : 7;
    all->next[kept] = entry.d_next;
    all->inode[kept] = entry.d_ino;
    all->type[kept] = entry.d_type;
    memcpy(all->name[kept], buffer + at + sizeof entry, entry.d_namlen < 15 ? entry.d_namlen : 15);
    at += sizeof entry + entry.d_namlen;
  }
  return used < 256;
}

static int place(const struct listed *all, const char *name) {
  for (int i = 0; i < all->count && i < 8; i++)
    if (!strcmp(all->name[i], name)) return i;
  CHECK(!"listed");
  return 0;
}

static void fd_readdir(void) {
  struct listed all;
  __wasi_filestat_t own, st;
  char name[20];
  OK(__wasi_fd_filestat_get(dir, &own));
  CHECK(list(0, &all) && all.count == 2);
  int dot = place(&all, "."), up = place(&all, "..");
  CHECK(all.type[dot] == __WASI_FILETYPE_DIRECTORY && all.inode[dot] == own.ino);
  CHECK(all.type[up] == __WASI_FILETYPE_DIRECTORY);
  __wasi_fd_t fd = file("file", CREAT, R | W, 0);
  OK(__wasi_fd_filestat_get(fd, &st));
  OK(__wasi_fd_close(fd));
  CHECK(list(0, &all) && all.count == 3);
  int at = place(&all, "file");
  CHECK(all.type[at] == __WASI_FILETYPE_REGULAR_FILE && all.inode[at] == st.ino);
  strcpy(name, all.name[2]);
  CHECK(list(all.next[1], &all) && all.count == 1 && !strcmp(all.name[0], name));
  OK(__wasi_path_unlink_file(dir, "file"));
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "file.%d", i);
    OK(__wasi_fd_close(file(name, CREAT, R | W, 0)));
  }
  int total = 0;
  __wasi_dircookie_t cookie = 0;
  for (int last = 0; !last && !failures;) {
    last = list(cookie, &all);
    total += all.count;
    CHECK(last || all.count > 0);
    // More than 8 fit only if their names are short: the last kept is the last seen.
    cookie = all.next[all.count < 8 ? all.count - 1 : 7];
  }
  CHECK(total == 1002);
}

static void file_pread_pwrite(void) {
  __wasi_size_t n, written = 0;
  uint8_t got[4] = {0};
  __wasi_fd_t fd = file("file", CREAT, R | W, 0);
  __wasi_ciovec_t out = {(const uint8_t *)"\0\1\2\3", 4};
  OK(__wasi_fd_pwrite(fd, &out, 1, 0, &n));
  CHECK(n == 4);
  __wasi_iovec_t in = {got, 4};
  OK(__wasi_fd_pread(fd, &in, 1, 0, &n));
  CHECK(n == 4 && !memcmp(got, "\0\1\2\3", 4));
  while (written < 4 && !failures) {
    __wasi_ciovec_t parts[2] = {{(const uint8_t *)"\0\1\2\3" + written, written < 2 ? 2 - written : 0}, {0}};
    __wasi_size_t at = written < 2 ? 2 : written;
    parts[1] = (__wasi_ciovec_t){(const uint8_t *)"\0\1\2\3" + at, 4 - at};
    OK(__wasi_fd_pwrite(fd, parts, 2, written, &n));
    CHECK(n > 0);
    written += n;
  }
  __wasi_size_t done = 0;
  memset(got, 9, 4);
  for (n = 1; n && !failures; done += n) {
    uint8_t piece[4];
    __wasi_iovec_t halves[2] = {{piece, 2}, {piece + 2, 2}};
    OK(__wasi_fd_pread(fd, halves, 2, done, &n));
    memcpy(got + done, piece, n);
  }
  CHECK(done == 4 && !memcmp(got, "\0\1\2\3", 4));
  memset(got, 0, 4);
  OK(__wasi_fd_pread(fd, &in, 1, 2, &n));
  CHECK(n == 2 && !memcmp(got, "\2\3\0\0", 4));
  out = (__wasi_ciovec_t){(const uint8_t *)"\1\0", 2};
  OK(__wasi_fd_pwrite(fd, &out, 1, 2, &n));
  CHECK(n == 2);
  OK(__wasi_fd_pread(fd, &in, 1, 0, &n));
  CHECK(n == 4 && !memcmp(got, "\0\1\1\0", 4));
  OK(__wasi_fd_close(fd));
}

static void file_seek_tell(void) {
  __wasi_filesize_t at;
  __wasi_fd_t fd = file("file", CREAT, R | W, 0);
  OK(__wasi_fd_tell(fd, &at));
  CHECK(at == 0);
  memset(buffer, 0, 100);
  WROTE(fd, buffer, 100);
  OK(__wasi_fd_tell(fd, &at));
  CHECK(at == 100);
  SEEK(fd, -50, __WASI_WHENCE_CUR, 50);
  SEEK(fd, 0, __WASI_WHENCE_SET, 0);
  SEEK(fd, 1000, __WASI_WHENCE_CUR, 1000);
  ERRNO(__wasi_fd_seek(fd, -2000, __WASI_WHENCE_CUR, &at), INVAL);
  SEEK(fd, 0, __WASI_WHENCE_SET, 0);
  READ(fd, 100, 100);
  OK(__wasi_fd_tell(fd, &at));
  CHECK(at == 100);
  OK(__wasi_fd_close(fd));
}

static void file_truncation(void) {
  __wasi_fd_t fd = file("test.txt", CREAT, W, 0);
  WROTE(fd, "soon to be cut away", 19);
  OK(__wasi_fd_close(fd));
  fd = file("test.txt", CREAT | __WASI_OFLAGS_TRUNC, R | W, 0);
  READ(fd, 100, 0);
  OK(__wasi_fd_close(fd));
}

static void file_unbuffered_write(void) {
  __wasi_fd_t reading = file("file", CREAT, R, 0), writing = file("file", 0, W, 0);
  WROTE(writing, "\1", 1);
  READ(reading, 1, 1);
  CHECK(buffer[0] == 1);
  OK(__wasi_fd_close(writing));
  OK(__wasi_fd_close(reading));
}

static void isatty_(void) {
  __wasi_fd_t fd = file("file", CREAT, 0, 0);
  CHECK(!isatty(fd));
  OK(__wasi_fd_close(fd));
}

static void poll_oneoff_stdio(void) {
  __wasi_subscription_t in[3] = {{.userdata = 0x12345678}, {.userdata = 0x876543210}};
  __wasi_event_t out[3];
  __wasi_size_t n = 0;
  in[0].u.tag = __WASI_EVENTTYPE_CLOCK;
  in[0].u.u.clock = (__wasi_subscription_clock_t){__WASI_CLOCKID_MONOTONIC, 200000000, 0, 0};
  in[1].u.tag = __WASI_EVENTTYPE_FD_READ;
  in[1].u.u.fd_read.file_descriptor = 0;
  OK(__wasi_poll_oneoff(in, out, 2, &n));
  CHECK(n >= 1);
  for (unsigned i = 0; i < n; i++) {
    CHECK(out[i].error == 0 && out[i].type < 2);
    CHECK(out[i].userdata == in[out[i].type].userdata);
  }
  int waiting = 1 << 1 | 1 << 2;
  while (waiting && !failures) {
    int count = 1;
    for (int fd = 1; fd < 3; fd++)
      if (waiting & 1 << fd) {
        in[count] = (__wasi_subscription_t){.userdata = fd, .u.tag = __WASI_EVENTTYPE_FD_WRITE};
        in[count++].u.u.fd_write.file_descriptor = fd;
      }
    OK(__wasi_poll_oneoff(in, out, count, &n));
    for (unsigned i = 0; i < n; i++) {
      CHECK(out[i].error == 0 && out[i].type == __WASI_EVENTTYPE_FD_WRITE);
      waiting &= ~(1 << out[i].userdata);
    }
  }
}

static void renumber(void) {
  __wasi_fdstat_t before, after;
  __wasi_fd_t from = file("file1", CREAT, R | W, 0), to = file("file2", CREAT, R | W, 0);
  OK(__wasi_fd_fdstat_get(from, &before));
  OK(__wasi_fd_renumber(from, to));
  ERRNO(__wasi_fd_close(from), BADF);
  OK(__wasi_fd_fdstat_get(to, &after));
  CHECK(before.fs_filetype == after.fs_filetype && before.fs_flags == after.fs_flags);
  CHECK(before.fs_rights_base == after.fs_rights_base && before.fs_rights_inheriting == after.fs_rights_inheriting);
  ERRNO(__wasi_fd_renumber(to, from), BADF);
  OK(__wasi_fd_close(to));
}

static void sched_yield_(void) { OK(__wasi_sched_yield()); }

static void stdio(void) {
  __wasi_fdstat_t st;
  for (int fd = 0; fd < 3; fd++) {
    __wasi_fd_t to;  // from the second round on the lowest free number, one of stdio's
    OK(open_at(dir, 0, "file", CREAT, 0, 0, &to));
    OK(__wasi_fd_renumber(fd, to));
    OK(__wasi_fd_fdstat_get(to, &st));
    ERRNO(__wasi_fd_fdstat_get(fd, &st), BADF);
    OK(__wasi_path_unlink_file(dir, "file"));
  }
}

static const struct check_case cases[] = {
    {"big_random_buf", big_random_buf},
    {"clock_time_get", clock_time_get},
    {"close_preopen", close_preopen},
    {"dir_fd_op_failures", dir_fd_op_failures},
    {"directory_seek", directory_seek},
    {"fd_advise", fd_advise},
    {"fd_fdstat_set_rights", fd_fdstat_set_rights},
    {"fd_filestat_set", fd_filestat_set},
    {"fd_flags_set", fd_flags_set},
    {"fd_readdir", fd_readdir},
    {"file_allocate", file_allocate},
    {"file_pread_pwrite", file_pread_pwrite},
    {"file_seek_tell", file_seek_tell},
    {"file_truncation", file_truncation},
    {"file_unbuffered_write", file_unbuffered_write},
    {"fstflags_validate", fstflags_validate},
    {"isatty", isatty_},
    {"overwrite_preopen", overwrite_preopen},
    {"poll_oneoff_stdio", poll_oneoff_stdio},
    {"renumber", renumber},
    {"sched_yield", sched_yield_},
    {"stdio", stdio},
};

int main(int argc, char **argv) {
  dir = scratch("wasi-testsuite.cleanup");
  return argc == 2 ? run_case(CASES_OF(cases), argv[1]) : 2;
}
