// Calls of WASI preview 1 made directly, each with the errno it must give. One case per run: its name is argv[1]; the
// program works in the preopened "/" (fd 3), which must be empty and writable. Exit code 0: all held.
#include "check.h"

static void read_write(void) {
  __wasi_fd_t fd;
  __wasi_size_t n;
  __wasi_filesize_t at;
  __wasi_fdstat_t st;
  touch("file");
  OK(open_at(ROOT, 0, "file", 0, R, 0, &fd));
  OK(__wasi_fd_fdstat_get(fd, &st));
  CHECK(st.fs_filetype == __WASI_FILETYPE_REGULAR_FILE && (st.fs_rights_base & R) && !(st.fs_rights_base & W));
  OK(get(fd, 10, &n));
  CHECK(n == 0);
  ERRNO(put(fd, "x", &n), BADF);
  OK(__wasi_fd_close(fd));
  ERRNO(__wasi_fd_close(fd), BADF);
  OK(open_at(ROOT, 0, "file", 0, W, 0, &fd));
  ERRNO(get(fd, 10, &n), BADF);
  OK(put(fd, "hello world", &n));
  CHECK(n == 11);
  OK(__wasi_fd_close(fd));
  OK(open_at(ROOT, 0, "file", 0, R | W, 0, &fd));
  OK(__wasi_fd_seek(fd, -5, __WASI_WHENCE_END, &at));
  CHECK(at == 6);
  OK(get(fd, 10, &n));
  CHECK(n == 5 && !memcmp(buffer, "world", 5));
  OK(__wasi_fd_tell(fd, &at));
  CHECK(at == 11);
  ERRNO(__wasi_fd_seek(fd, -12, __WASI_WHENCE_CUR, &at), INVAL);
  OK(__wasi_fd_seek(fd, 2, __WASI_WHENCE_SET, &at));
  OK(__wasi_fd_seek(fd, 1, __WASI_WHENCE_CUR, &at));
  CHECK(at == 3);
  OK(__wasi_fd_close(fd));
}

static void vectors(void) {
  __wasi_fd_t fd;
  __wasi_size_t n;
  __wasi_filesize_t at;
  char a[3], b[4];
  OK(open_at(ROOT, 0, "file", __WASI_OFLAGS_CREAT, R | W, 0, &fd));
  __wasi_ciovec_t out[3] = {{(uint8_t *)"abc", 3}, {0, 0}, {(uint8_t *)"defg", 4}};
  OK(__wasi_fd_write(fd, out, 3, &n));
  CHECK(n == 7);
  OK(__wasi_fd_pwrite(fd, out, 1, 10, &n));
  __wasi_iovec_t in[2] = {{(uint8_t *)a, 3}, {(uint8_t *)b, 4}};
  OK(__wasi_fd_pread(fd, in, 2, 0, &n));
  CHECK(n == 7 && !memcmp(a, "abc", 3) && !memcmp(b, "defg", 4));
  OK(__wasi_fd_pread(fd, in, 2, 9, &n));
  CHECK(n == 4 && !memcmp(a, "\0ab", 3) && b[0] == 'c');
  OK(__wasi_fd_tell(fd, &at));
  CHECK(at == 7);
  OK(__wasi_fd_write(fd, out, 0, &n));
  CHECK(n == 0);
  OK(__wasi_fd_close(fd));
}

static void append(void) {
  __wasi_fd_t fd;
  __wasi_size_t n;
  __wasi_filesize_t at;
  __wasi_filestat_t st;
  OK(open_at(ROOT, 0, "file", __WASI_OFLAGS_CREAT, R | W, __WASI_FDFLAGS_APPEND, &fd));
  OK(put(fd, "aaaa", &n));
  OK(__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &at));
  OK(put(fd, "bbbb", &n));
  OK(__wasi_fd_filestat_get(fd, &st));
  CHECK(st.size == 8);
  OK(__wasi_fd_fdstat_set_flags(fd, 0));
  OK(__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &at));
  OK(put(fd, "cc", &n));
  OK(__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &at));
  OK(get(fd, 20, &n));
  CHECK(n == 8 && !memcmp(buffer, "ccaabbbb", 8));
  OK(__wasi_fd_close(fd));
}

static void sizes(void) {
  __wasi_fd_t fd;
  __wasi_filestat_t st;
  OK(open_at(ROOT, 0, "file", __WASI_OFLAGS_CREAT, R | W, 0, &fd));
  OK(__wasi_fd_filestat_set_size(fd, 100));
  OK(__wasi_fd_filestat_get(fd, &st));
  CHECK(st.size == 100 && st.nlink == 1 && st.filetype == __WASI_FILETYPE_REGULAR_FILE);
  OK(__wasi_fd_filestat_set_size(fd, 10));
  OK(__wasi_fd_filestat_get(fd, &st));
  CHECK(st.size == 10);
  ERRNO(__wasi_fd_filestat_set_size(fd, ~0ull), INVAL);
  OK(__wasi_fd_close(fd));
  OK(open_at(ROOT, 0, "file", __WASI_OFLAGS_TRUNC, R | W, 0, &fd));
  OK(__wasi_fd_filestat_get(fd, &st));
  CHECK(st.size == 0);
  OK(__wasi_fd_advise(fd, 0, 10, __WASI_ADVICE_WILLNEED));
  OK(__wasi_fd_sync(fd));
  OK(__wasi_fd_datasync(fd));
  OK(__wasi_fd_close(fd));
}

static void times(void) {
  __wasi_fd_t fd;
  __wasi_filestat_t st, now;
  OK(open_at(ROOT, 0, "file", __WASI_OFLAGS_CREAT, R | W, 0, &fd));
  OK(__wasi_fd_filestat_get(fd, &now));
  OK(__wasi_fd_filestat_set_times(fd, 1000000001, 2000000002, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM));
  OK(__wasi_fd_filestat_get(fd, &st));
  CHECK(st.atim == 1000000001 && st.mtim == 2000000002);
  OK(__wasi_fd_filestat_set_times(fd, 0, 5, __WASI_FSTFLAGS_MTIM));
  OK(__wasi_fd_filestat_get(fd, &st));
  CHECK(st.atim == 1000000001 && st.mtim == 5);
  OK(__wasi_path_filestat_set_times(ROOT, 0, "file", 7, 0, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM_NOW));
  OK(__wasi_path_filestat_get(ROOT, 0, "file", &st));
  CHECK(st.atim == 7 && st.mtim >= now.mtim);
  ERRNO(__wasi_fd_filestat_set_times(fd, 1, 1, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW), INVAL);
  ERRNO(__wasi_path_filestat_set_times(ROOT, 0, "file", 1, 1, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW), INVAL);
  OK(__wasi_path_symlink("file", ROOT, "link"));
  OK(__wasi_path_filestat_set_times(ROOT, 0, "link", 0, 9, __WASI_FSTFLAGS_MTIM));
  OK(__wasi_path_filestat_get(ROOT, 0, "link", &st));
  CHECK(st.mtim == 9 && st.filetype == __WASI_FILETYPE_SYMBOLIC_LINK);
  OK(__wasi_path_filestat_get(ROOT, FOLLOW, "link", &st));
  CHECK(st.mtim != 9 && st.filetype == __WASI_FILETYPE_REGULAR_FILE);
  OK(__wasi_path_filestat_set_times(ROOT, FOLLOW, "link", 0, 11, __WASI_FSTFLAGS_MTIM));
  OK(__wasi_fd_filestat_get(fd, &st));
  CHECK(st.mtim == 11);
  OK(__wasi_fd_close(fd));
}

static void folders(void) {
  __wasi_fd_t fd;
  __wasi_size_t n;
  __wasi_filesize_t at;
  OK(__wasi_path_create_directory(ROOT, "dir"));
  ERRNO(__wasi_path_create_directory(ROOT, "dir"), EXIST);
  ERRNO(__wasi_path_create_directory(ROOT, "no/dir"), NOENT);
  OK(__wasi_path_create_directory(ROOT, "dir/nested/"));
  OK(open_at(ROOT, 0, "dir", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd));
  EITHER(get(fd, 10, &n), BADF, ISDIR);
  EITHER(put(fd, "x", &n), BADF, ISDIR);
  ERRNO(__wasi_fd_seek(fd, 0, __WASI_WHENCE_CUR, &at), BADF);
  ERRNO(__wasi_fd_tell(fd, &at), BADF);
  EITHER(__wasi_fd_filestat_set_size(fd, 0), BADF, ISDIR);
  ERRNO(__wasi_path_remove_directory(ROOT, "dir"), NOTEMPTY);
  ERRNO(__wasi_path_unlink_file(ROOT, "dir"), ISDIR);
  ERRNO(__wasi_path_unlink_file(ROOT, "dir/"), ISDIR);
  OK(__wasi_path_remove_directory(fd, "nested/"));
  OK(__wasi_fd_close(fd));
  OK(__wasi_path_remove_directory(ROOT, "dir"));
  ERRNO(__wasi_path_remove_directory(ROOT, "dir"), NOENT);
  touch("file");
  ERRNO(__wasi_path_remove_directory(ROOT, "file"), NOTDIR);
  ERRNO(__wasi_path_unlink_file(ROOT, "file/"), NOTDIR);
  ERRNO(open_at(ROOT, 0, "file", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd), NOTDIR);
  ERRNO(open_at(ROOT, 0, ".", __WASI_OFLAGS_DIRECTORY, R | W, 0, &fd), ISDIR);
  OK(__wasi_path_unlink_file(ROOT, "file"));
}

static void open_flags(void) {
  __wasi_fd_t fd, other;
  ERRNO(open_at(ROOT, 0, "none", 0, R, 0, &fd), NOENT);
  OK(open_at(ROOT, 0, "file", __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, R | W, 0, &fd));
  CHECK(fd > ROOT);
  ERRNO(open_at(ROOT, 0, "file", __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, R | W, 0, &other), EXIST);
  ERRNO(open_at(fd, 0, "file", 0, R, 0, &other), NOTDIR);
  ERRNO(open_at(99, 0, "file", 0, R, 0, &other), BADF);
  OK(__wasi_fd_close(fd));
}

static void interesting_paths(void) {
  __wasi_fd_t fd;
  __wasi_filestat_t st;
  OK(__wasi_path_create_directory(ROOT, "dir"));
  OK(__wasi_path_create_directory(ROOT, "dir/nested"));
  touch("dir/nested/file");
  ERRNO(open_at(ROOT, 0, "/dir/nested/file", 0, R, 0, &fd), PERM);
  OK(open_at(ROOT, 0, "dir/.//nested/../../dir/nested/../nested///./file", 0, R, 0, &fd));
  OK(__wasi_fd_close(fd));
  EITHER(open_at(ROOT, 0, "dir/nested/file/", 0, R, 0, &fd), NOTDIR, NOENT);
  OK(open_at(ROOT, 0, "dir/nested///", 0, R, 0, &fd));
  OK(__wasi_fd_close(fd));
  ERRNO(open_at(ROOT, 0, "dir/nested/../../../dir", 0, R, 0, &fd), PERM);
  ERRNO(open_at(ROOT, 0, "..", 0, R, 0, &fd), PERM);
  ERRNO(__wasi_path_filestat_get(ROOT, 0, "..", &st), PERM);
  ERRNO(__wasi_path_filestat_get(ROOT, FOLLOW, "dir/../../x", &st), PERM);
  ERRNO(__wasi_path_create_directory(ROOT, "../x"), PERM);
  ERRNO(__wasi_path_unlink_file(ROOT, "dir/../../x"), PERM);
  ERRNO(open_at(ROOT, 0, "", 0, R, 0, &fd), NOENT);
}

static void symlinks(void) {
  __wasi_fd_t fd;
  __wasi_size_t n;
  touch("target");
  OK(__wasi_path_symlink("target", ROOT, "link"));
  memset(buffer, '#', 16);
  OK(__wasi_path_readlink(ROOT, "link", (uint8_t *)buffer, 10, &n));
  CHECK(n == 6 && !memcmp(buffer, "target####", 10));
  OK(__wasi_path_readlink(ROOT, "link", (uint8_t *)buffer, 4, &n));
  CHECK(n == 4);
  ERRNO(__wasi_path_readlink(ROOT, "target", (uint8_t *)buffer, 10, &n), INVAL);
  ERRNO(open_at(ROOT, 0, "link", 0, R, 0, &fd), LOOP);
  OK(open_at(ROOT, FOLLOW, "link", 0, R, 0, &fd));
  OK(__wasi_fd_close(fd));
  ERRNO(__wasi_path_symlink("x", ROOT, "link"), EXIST);
  EITHER(__wasi_path_symlink("/target", ROOT, "absolute"), PERM, NOTCAPABLE);
  OK(__wasi_path_symlink("loop", ROOT, "loop"));
  ERRNO(open_at(ROOT, FOLLOW, "loop", 0, R, 0, &fd), LOOP);
  OK(__wasi_path_symlink("gone", ROOT, "dangling"));
  ERRNO(open_at(ROOT, FOLLOW, "dangling", 0, R, 0, &fd), NOENT);
  EITHER(open_at(ROOT, 0, "dangling", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd), NOTDIR, LOOP);
  EITHER(__wasi_path_symlink("x", ROOT, "new/"), NOENT, NOTDIR);
  OK(__wasi_path_unlink_file(ROOT, "dangling"));
  OK(__wasi_path_symlink("../outside", ROOT, "up"));
  ERRNO(open_at(ROOT, FOLLOW, "up", 0, R, 0, &fd), PERM);
}

static void links(void) {
  __wasi_filestat_t a, b;
  touch("file");
  OK(__wasi_path_link(ROOT, 0, "file", ROOT, "other"));
  OK(__wasi_path_filestat_get(ROOT, 0, "file", &a));
  OK(__wasi_path_filestat_get(ROOT, 0, "other", &b));
  CHECK(a.ino == b.ino && a.dev == b.dev && b.nlink == 2);
  ERRNO(__wasi_path_link(ROOT, 0, "file", ROOT, "other"), EXIST);
  ERRNO(__wasi_path_link(ROOT, 0, "file", ROOT, "new/"), NOENT);
  ERRNO(__wasi_path_link(ROOT, FOLLOW, "file", ROOT, "new"), INVAL);
  OK(__wasi_path_create_directory(ROOT, "dir"));
  EITHER(__wasi_path_link(ROOT, 0, "dir", ROOT, "new"), PERM, ACCES);
  OK(__wasi_path_symlink("gone", ROOT, "link"));
  OK(__wasi_path_link(ROOT, 0, "link", ROOT, "new"));
  OK(__wasi_path_filestat_get(ROOT, 0, "new", &a));
  CHECK(a.filetype == __WASI_FILETYPE_SYMBOLIC_LINK);
}

static void renames(void) {
  __wasi_filestat_t st;
  touch("source");
  OK(__wasi_path_rename(ROOT, "source", ROOT, "target"));
  ERRNO(__wasi_path_filestat_get(ROOT, 0, "source", &st), NOENT);
  OK(__wasi_path_create_directory(ROOT, "dir"));
  ERRNO(__wasi_path_rename(ROOT, "target", ROOT, "dir"), ISDIR);
  ERRNO(__wasi_path_rename(ROOT, "dir", ROOT, "target"), NOTDIR);
  OK(__wasi_path_rename(ROOT, "target", ROOT, "dir/file"));
  OK(__wasi_path_create_directory(ROOT, "empty"));
  ERRNO(__wasi_path_rename(ROOT, "empty", ROOT, "dir"), NOTEMPTY);
  OK(__wasi_path_rename(ROOT, "dir", ROOT, "empty"));
  OK(__wasi_path_filestat_get(ROOT, 0, "empty/file", &st));
  ERRNO(__wasi_path_rename(ROOT, "none", ROOT, "x"), NOENT);
  ERRNO(__wasi_path_rename(ROOT, "empty", ROOT, "empty/below"), INVAL);
}

static void readdir(void) {
  __wasi_fd_t fd;
  __wasi_size_t used;
  __wasi_filestat_t st;
  char name[20];
  OK(open_at(ROOT, 0, ".", __WASI_OFLAGS_DIRECTORY, R, 0, &fd));
  OK(__wasi_fd_filestat_get(fd, &st));
  OK(__wasi_fd_readdir(fd, (uint8_t *)buffer, sizeof buffer, 0, &used));
  CHECK(used == 2 * sizeof(__wasi_dirent_t) + 3);
  __wasi_dirent_t entry;
  memcpy(&entry, buffer, sizeof entry);
  CHECK(entry.d_ino == st.ino && entry.d_namlen == 1 && entry.d_type == __WASI_FILETYPE_DIRECTORY);
  CHECK(buffer[sizeof entry] == '.');
  for (int i = 0; i < 300; i++) {
    snprintf(name, sizeof name, "file.%d", i);
    touch(name);
  }
  // Through a small buffer: an entry that is cut is read again from its cookie.
  int count = 0;
  __wasi_dircookie_t cookie = 0, second = 0;
  for (;;) {
    OK(__wasi_fd_readdir(fd, (uint8_t *)buffer, 100, cookie, &used));
    __wasi_size_t at = 0;
    while (at + sizeof entry <= used) {
      memcpy(&entry, buffer + at, sizeof entry);
      at += sizeof entry + entry.d_namlen;
      if (at > used) break;
      if (++count == 2) second = entry.d_next;
      cookie = entry.d_next;
      CHECK(entry.d_ino != 0);
    }
    if (used < 100 || failures) break;
  }
  CHECK(count == 302);
  OK(__wasi_fd_readdir(fd, (uint8_t *)buffer, sizeof buffer, second, &used));
  memcpy(&entry, buffer, sizeof entry);
  CHECK(entry.d_type == __WASI_FILETYPE_REGULAR_FILE);
  OK(__wasi_fd_readdir(fd, (uint8_t *)buffer, sizeof buffer, cookie, &used));
  CHECK(used == 0);
  touch("one-more");
  OK(__wasi_fd_close(fd));
  OK(open_at(ROOT, 0, "one-more", 0, R, 0, &fd));
  EITHER(__wasi_fd_readdir(fd, (uint8_t *)buffer, 100, 0, &used), NOTDIR, BADF);
}

static void renumber(void) {
  __wasi_fd_t a, b;
  __wasi_size_t n;
  OK(open_at(ROOT, 0, "a", __WASI_OFLAGS_CREAT, R | W, 0, &a));
  OK(open_at(ROOT, 0, "b", __WASI_OFLAGS_CREAT, R | W, 0, &b));
  OK(__wasi_fd_renumber(a, b));
  ERRNO(__wasi_fd_close(a), BADF);
  OK(put(b, "into a", &n));
  __wasi_filestat_t st;
  OK(__wasi_path_filestat_get(ROOT, 0, "a", &st));
  CHECK(st.size == 6);
  ERRNO(__wasi_fd_renumber(b, a), BADF);
  ERRNO(__wasi_fd_renumber(99, b), BADF);
  OK(__wasi_fd_renumber(b, b));
  OK(__wasi_fd_close(b));
}

static void preopens(void) {
  __wasi_prestat_t st;
  __wasi_fdstat_t fdstat;
  OK(__wasi_fd_prestat_get(ROOT, &st));
  CHECK(st.tag == __WASI_PREOPENTYPE_DIR && st.u.dir.pr_name_len == 1);
  ERRNO(__wasi_fd_prestat_dir_name(ROOT, (uint8_t *)buffer, 0), NAMETOOLONG);
  OK(__wasi_fd_prestat_dir_name(ROOT, (uint8_t *)buffer, 1));
  CHECK(buffer[0] == '/');
  ERRNO(__wasi_fd_prestat_get(4, &st), BADF);
  ERRNO(__wasi_fd_prestat_get(0, &st), BADF);
  OK(__wasi_fd_fdstat_get(ROOT, &fdstat));
  CHECK(fdstat.fs_filetype == __WASI_FILETYPE_DIRECTORY && fdstat.fs_flags == 0);
  CHECK(fdstat.fs_rights_base & __WASI_RIGHTS_PATH_OPEN && !(fdstat.fs_rights_base & W));
  CHECK(fdstat.fs_rights_inheriting & W);
  OK(__wasi_fd_close(ROOT));
  ERRNO(__wasi_fd_fdstat_get(ROOT, &fdstat), BADF);
}

static __wasi_errno_t poll(__wasi_subscription_t *in, int count, __wasi_event_t *out, __wasi_size_t *n) {
  return __wasi_poll_oneoff(in, out, count, n);
}

static void polling(void) {
  __wasi_subscription_t in[3] = {0};
  __wasi_event_t out[3];
  __wasi_size_t n;
  __wasi_timestamp_t before, after;
  in[0].userdata = 11;
  in[0].u.tag = __WASI_EVENTTYPE_CLOCK;
  in[0].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
  in[0].u.u.clock.timeout = 20000000;
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &before));
  OK(poll(in, 1, out, &n));
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &after));
  CHECK(n == 1 && out[0].userdata == 11 && out[0].type == __WASI_EVENTTYPE_CLOCK && out[0].error == 0);
  CHECK(after - before >= 20000000);
  in[0].u.u.clock.flags = __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
  in[0].u.u.clock.timeout = before;
  OK(poll(in, 1, out, &n));
  CHECK(n == 1);
  in[0].u.u.clock.flags = 0;
  in[0].u.u.clock.timeout = 60000000000;
  in[1].userdata = 12;
  in[1].u.tag = __WASI_EVENTTYPE_FD_WRITE;
  in[1].u.u.fd_write.file_descriptor = 1;
  OK(poll(in, 2, out, &n));
  CHECK(n == 1 && out[0].userdata == 12 && out[0].type == __WASI_EVENTTYPE_FD_WRITE && out[0].error == 0);
  __wasi_fd_t fd;
  OK(open_at(ROOT, 0, "file", __WASI_OFLAGS_CREAT, R | W, 0, &fd));
  OK(put(fd, "12345", &n));
  __wasi_filesize_t at;
  OK(__wasi_fd_seek(fd, 2, __WASI_WHENCE_SET, &at));
  in[1].u.tag = __WASI_EVENTTYPE_FD_READ;
  in[1].u.u.fd_read.file_descriptor = fd;
  OK(poll(in, 2, out, &n));
  CHECK(n == 1 && out[0].fd_readwrite.nbytes == 3);
  ERRNO(poll(in, 0, out, &n), INVAL);
}

static void misc(void) {
  __wasi_timestamp_t a, b, resolution;
  uint8_t one[32] = {0}, two[32] = {0};
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &a));
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &b));
  CHECK(b >= a);
  OK(__wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1, &a));
  CHECK(a > 1600000000000000000ull);
  OK(__wasi_clock_res_get(__WASI_CLOCKID_REALTIME, &resolution));
  CHECK(resolution > 0);
  CHECK(__wasi_clock_time_get(77, 1, &a) != 0);
  OK(__wasi_random_get(one, sizeof one));
  OK(__wasi_random_get(two, sizeof two));
  CHECK(memcmp(one, two, sizeof one));
  uint8_t *big = malloc(3 << 20);
  OK(__wasi_random_get(big, 3 << 20));
  CHECK(memcmp(big + (3 << 20) - 32, one, 32));
  OK(__wasi_sched_yield());
  ERRNO(__wasi_sock_shutdown(99, 1), BADF);
  EITHER(__wasi_sock_shutdown(1, 1), NOTSOCK, BADF);
  __wasi_size_t n;
  // Memory that has grown since it was last looked at is there for the host, too.
  char *grown = malloc(40 << 20);
  memset(grown, 'g', 40 << 20);
  __wasi_fd_t fd;
  OK(open_at(ROOT, 0, "big", __WASI_OFLAGS_CREAT, R | W, 0, &fd));
  __wasi_ciovec_t iov = {(uint8_t *)grown, 40 << 20};
  OK(__wasi_fd_write(fd, &iov, 1, &n));
  CHECK(n == 40 << 20);
}

static const struct check_case cases[] = {
    {"read_write", read_write}, {"vectors", vectors},   {"append", append},
    {"sizes", sizes},           {"times", times},       {"folders", folders},
    {"open_flags", open_flags}, {"interesting_paths", interesting_paths},
    {"symlinks", symlinks},     {"links", links},       {"renames", renames},
    {"readdir", readdir},       {"renumber", renumber}, {"preopens", preopens},
    {"polling", polling},       {"misc", misc},
};

int main(int argc, char **argv) { return argc == 2 ? run_case(CASES_OF(cases), argv[1]) : 2; }
