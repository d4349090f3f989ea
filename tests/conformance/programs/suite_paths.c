// What the programs of wasi-testsuite ask of paths, asked anew: a case per program of theirs, under its name. Each works
// in a new folder below the preopened "/" (fd 3).
// https://github.com/WebAssembly/wasi-testsuite/tree/main/tests/rust/wasm32-wasip1/src/bin
#include "check.h"

static __wasi_fd_t dir;

#define CREAT __WASI_OFLAGS_CREAT
#define DIRECTORY __WASI_OFLAGS_DIRECTORY

static __wasi_errno_t try_open(int look, const char *path, int oflags) {
  __wasi_fd_t fd;
  __wasi_errno_t errno_ = open_at(dir, look, path, oflags, 0, 0, &fd);
  if (!errno_) {
    CHECK(fd > 2);
    OK(__wasi_fd_close(fd));
  }
  return errno_;
}
static void make(const char *path) { OK(try_open(0, path, CREAT)); }
static int type_of(int look, const char *path) {
  __wasi_filestat_t st = {.filetype = 0xff};
  OK(__wasi_path_filestat_get(dir, look, path, &st));
  return st.filetype;
}
static __wasi_timestamp_t mtim_of(int look, const char *path) {
  __wasi_filestat_t st = {0};
  OK(__wasi_path_filestat_get(dir, look, path, &st));
  return st.mtim;
}

static void dangling_fd(void) {
  make("file");
  OK(try_open(0, "file", 0));
  OK(__wasi_path_unlink_file(dir, "file"));
  make("file");
  OK(__wasi_path_unlink_file(dir, "file"));
  OK(__wasi_path_create_directory(dir, "below"));
  OK(try_open(0, "below", DIRECTORY));
  OK(__wasi_path_remove_directory(dir, "below"));
  OK(__wasi_path_create_directory(dir, "below"));
}

static void dangling_symlink(void) {
  OK(__wasi_path_symlink("target", dir, "link"));
  EITHER(try_open(0, "link", DIRECTORY), NOTDIR, LOOP);
  ERRNO(try_open(0, "link", 0), LOOP);
  OK(__wasi_path_unlink_file(dir, "link"));
}

static void interesting_paths(void) {
  __wasi_fd_t fd;
  OK(__wasi_path_create_directory(dir, "dir"));
  OK(__wasi_path_create_directory(dir, "dir/nested"));
  make("dir/nested/file");
  EITHER(try_open(0, "/dir/nested/file", 0), PERM, NOTCAPABLE);
  OK(try_open(0, "dir/.//nested/../../dir/nested/../nested///./file", 0));
  // The C binding takes no NUL, so the call's own import is asked.
  ANY_OF(raw_path_open(dir, 0, "dir/nested/file", 16, 0, 0, 0, 0, &fd), INVAL, ILSEQ, NOENT);
  EITHER(try_open(0, "dir/nested/file/", 0), NOTDIR, NOENT);
  EITHER(try_open(0, "dir/nested/file///", 0), NOTDIR, NOENT);
  OK(try_open(0, "dir/nested/", 0));
  OK(try_open(0, "dir/nested///", 0));
  EITHER(try_open(0, "dir/nested/../../../wasi-testsuite.cleanup/dir/nested/file", 0), PERM, NOTCAPABLE);
  OK(__wasi_path_unlink_file(dir, "dir/nested/file"));
  OK(__wasi_path_remove_directory(dir, "dir/nested"));
  OK(__wasi_path_remove_directory(dir, "dir"));
}

static void nofollow_errors(void) {
  OK(__wasi_path_create_directory(dir, "target"));
  OK(__wasi_path_symlink("target", dir, "link"));
  EITHER(try_open(0, "link", DIRECTORY), LOOP, NOTDIR);
  EITHER(try_open(0, "link", 0), LOOP, ACCES);
  OK(try_open(FOLLOW, "link", DIRECTORY));
  OK(__wasi_path_unlink_file(dir, "link"));
  OK(__wasi_path_remove_directory(dir, "target"));
  make("target");
  OK(__wasi_path_symlink("target", dir, "link"));
  EITHER(try_open(0, "link", DIRECTORY), LOOP, NOTDIR);
  ERRNO(try_open(0, "link", 0), LOOP);
  ERRNO(try_open(FOLLOW, "link", DIRECTORY), NOTDIR);
}

static void path_exists(void) {
  OK(__wasi_path_create_directory(dir, "below"));
  make("below/file");
  OK(__wasi_path_symlink("below/file", dir, "link1"));
  OK(__wasi_path_symlink("below", dir, "link2"));
  for (int look = 0; look < 2; look++) {
    CHECK(type_of(look, "below") == __WASI_FILETYPE_DIRECTORY);
    CHECK(type_of(look, "below/file") == __WASI_FILETYPE_REGULAR_FILE);
    CHECK(type_of(look, "link1") == (look ? __WASI_FILETYPE_REGULAR_FILE : __WASI_FILETYPE_SYMBOLIC_LINK));
    CHECK(type_of(look, "link2") == (look ? __WASI_FILETYPE_DIRECTORY : __WASI_FILETYPE_SYMBOLIC_LINK));
  }
}

static void path_filestat(void) {
  const int flags = __WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC;
  __wasi_fdstat_t st;
  __wasi_filestat_t stat;
  __wasi_fd_t fd;
  OK(__wasi_fd_fdstat_get(dir, &st));
  CHECK(st.fs_rights_base & __WASI_RIGHTS_PATH_FILESTAT_GET);
  OK(open_at(dir, 0, "file", CREAT, R | W | __WASI_RIGHTS_PATH_FILESTAT_GET, flags, &fd));
  OK(__wasi_fd_fdstat_get(fd, &st));
  CHECK((st.fs_flags & flags) == flags);
  OK(__wasi_path_filestat_get(dir, 0, "file", &stat));
  CHECK(stat.size == 0);
  __wasi_timestamp_t wanted = stat.mtim - 100;
  OK(__wasi_path_filestat_set_times(dir, 0, "file", 0, wanted, __WASI_FSTFLAGS_MTIM));
  CHECK(mtim_of(0, "file") == wanted);
  ERRNO(__wasi_path_filestat_set_times(dir, 0, "file", 0, 1, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW), INVAL);
  CHECK(mtim_of(0, "file") == wanted);
  ERRNO(__wasi_path_filestat_set_times(dir, 0, "file", 0, 0, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW), INVAL);
  OK(__wasi_fd_close(fd));
}

static void same_file(__wasi_fd_t one, __wasi_fd_t other) {
  __wasi_filestat_t a, b;
  __wasi_fdstat_t c, d;
  OK(__wasi_fd_filestat_get(one, &a));
  OK(__wasi_fd_filestat_get(other, &b));
  CHECK(a.dev == b.dev && a.ino == b.ino && a.filetype == b.filetype && a.nlink == b.nlink && a.size == b.size);
  CHECK(a.atim == b.atim && a.mtim == b.mtim && a.ctim == b.ctim);
  OK(__wasi_fd_fdstat_get(one, &c));
  OK(__wasi_fd_fdstat_get(other, &d));
  CHECK(c.fs_flags == d.fs_flags && c.fs_filetype == d.fs_filetype);
  CHECK(c.fs_rights_base == d.fs_rights_base && c.fs_rights_inheriting == d.fs_rights_inheriting);
}

static void path_link(void) {
  __wasi_fd_t file, link, below;
  OK(open_at(dir, 0, "file", CREAT, R, 0, &file));
  OK(__wasi_path_link(dir, 0, "file", dir, "link"));
  OK(open_at(dir, 0, "link", 0, R, 0, &link));
  same_file(file, link);
  OK(__wasi_fd_close(link));
  OK(__wasi_path_unlink_file(dir, "link"));
  OK(__wasi_path_create_directory(dir, "below"));
  OK(open_at(dir, 0, "below", DIRECTORY, R, 0, &below));
  OK(__wasi_path_link(dir, 0, "file", below, "link"));
  OK(open_at(below, 0, "link", 0, R, 0, &link));
  same_file(file, link);
  OK(__wasi_fd_close(link));
  OK(__wasi_path_unlink_file(below, "link"));
  OK(__wasi_fd_close(below));
  OK(__wasi_path_remove_directory(dir, "below"));
  make("link");
  ERRNO(__wasi_path_link(dir, 0, "file", dir, "link"), EXIST);
  OK(__wasi_path_unlink_file(dir, "link"));
  ERRNO(__wasi_path_link(dir, 0, "file", dir, "file"), EXIST);
  OK(__wasi_path_create_directory(dir, "link"));
  ERRNO(__wasi_path_link(dir, 0, "file", dir, "link"), EXIST);
  OK(__wasi_path_remove_directory(dir, "link"));
  OK(__wasi_path_create_directory(dir, "below"));
  EITHER(__wasi_path_link(dir, 0, "below", dir, "link"), PERM, ACCES);
  OK(__wasi_path_remove_directory(dir, "below"));
  ERRNO(__wasi_path_link(dir, 0, "file", dir, "link/"), NOENT);
  const char *targets[] = {"target", "symlink"};  // one that dangles, one that is a loop
  for (int i = 0; i < 2; i++) {
    OK(__wasi_path_symlink(targets[i], dir, "symlink"));
    OK(__wasi_path_link(dir, 0, "symlink", dir, "link"));
    OK(__wasi_path_unlink_file(dir, "symlink"));
    OK(__wasi_path_unlink_file(dir, "link"));
  }
  OK(__wasi_path_symlink("target", dir, "symlink"));
  ERRNO(__wasi_path_link(dir, 0, "file", dir, "symlink"), EXIST);
  EITHER(__wasi_path_link(dir, FOLLOW, "symlink", dir, "link"), INVAL, NOENT);
  OK(__wasi_fd_close(file));
}

static void path_open_create_existing(void) {
  make("file");
  ERRNO(try_open(0, "file", CREAT | __WASI_OFLAGS_EXCL), EXIST);
}

static void path_open_dirfd_not_dir(void) {
  __wasi_fd_t file, below;
  OK(open_at(dir, 0, "file", CREAT, 0, 0, &file));
  EITHER(open_at(file, 0, "foo", CREAT, 0, 0, &below), NOTDIR, NOTCAPABLE);
  OK(__wasi_fd_close(file));
}

static void path_open_missing(void) { ERRNO(try_open(0, "file", 0), NOENT); }

static void path_open_nonblock(void) {
  __wasi_fd_t fd;
  OK(open_at(ROOT, 0, ".", 0, 0, __WASI_FDFLAGS_NONBLOCK, &fd));
}

static void path_open_preopen(void) {
  const __wasi_rights_t folder =
      __WASI_RIGHTS_PATH_CREATE_DIRECTORY | __WASI_RIGHTS_PATH_CREATE_FILE | __WASI_RIGHTS_PATH_LINK_SOURCE |
      __WASI_RIGHTS_PATH_LINK_TARGET | __WASI_RIGHTS_PATH_OPEN | __WASI_RIGHTS_FD_READDIR |
      __WASI_RIGHTS_PATH_READLINK | __WASI_RIGHTS_PATH_RENAME_SOURCE | __WASI_RIGHTS_PATH_RENAME_TARGET |
      __WASI_RIGHTS_PATH_SYMLINK | __WASI_RIGHTS_PATH_REMOVE_DIRECTORY | __WASI_RIGHTS_PATH_UNLINK_FILE |
      __WASI_RIGHTS_PATH_FILESTAT_GET | __WASI_RIGHTS_PATH_FILESTAT_SET_TIMES | __WASI_RIGHTS_FD_FILESTAT_GET |
      __WASI_RIGHTS_FD_FILESTAT_SET_TIMES;
  const __wasi_rights_t file = R | W | __WASI_RIGHTS_FD_DATASYNC | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL |
                               __WASI_RIGHTS_FD_FDSTAT_SET_FLAGS | __WASI_RIGHTS_FD_SYNC | __WASI_RIGHTS_FD_ADVISE |
                               __WASI_RIGHTS_FD_ALLOCATE | __WASI_RIGHTS_FD_FILESTAT_SET_SIZE |
                               __WASI_RIGHTS_POLL_FD_READWRITE;
  __wasi_prestat_t pre;
  __wasi_fdstat_t st;
  __wasi_fd_t fd;
  OK(__wasi_fd_prestat_get(ROOT, &pre));
  CHECK(pre.tag == __WASI_PREOPENTYPE_DIR);
  OK(__wasi_fd_prestat_dir_name(ROOT, (uint8_t *)buffer, pre.u.dir.pr_name_len));
  OK(__wasi_fd_fdstat_get(ROOT, &st));
  CHECK((st.fs_rights_base & folder) == folder);
  CHECK((st.fs_rights_inheriting & (folder | file)) == (folder | file));
  OK(__wasi_path_open(ROOT, 0, ".", 0, st.fs_rights_base, st.fs_rights_inheriting, 0, &fd));
  OK(__wasi_path_open(ROOT, 0, ".", 0, 0, 0, 0, &fd));
  OK(__wasi_path_open(ROOT, 0, ".", DIRECTORY, 0, 0, 0, &fd));
  OK(__wasi_path_open(ROOT, 0, ".", DIRECTORY, R, 0, 0, &fd));
  ERRNO(__wasi_path_open(ROOT, 0, ".", DIRECTORY, R | W, 0, 0, &fd), ISDIR);
}

static void path_open_read_write(void) {
  const __wasi_rights_t modes[] = {R, W, R | W};
  __wasi_fdstat_t st;
  __wasi_filestat_t stat;
  __wasi_size_t n;
  make("file");
  for (int i = 0; i < 3; i++) {
    __wasi_fd_t fd;
    __wasi_ciovec_t out = {(const uint8_t *)buffer, i == 1 ? 50 : 25};
    OK(open_at(dir, 0, "file", 0, modes[i] | __WASI_RIGHTS_FD_FILESTAT_GET, 0, &fd));
    OK(__wasi_fd_fdstat_get(fd, &st));
    CHECK((st.fs_rights_base & (R | W)) == modes[i]);
    if (modes[i] & R) {
      OK(get(fd, 100, &n));
      CHECK(n == (i == 2 ? 50 : 0));
    } else {
      ANY_OF(get(fd, 100, &n), BADF, NOTCAPABLE, ACCES);
    }
    if (modes[i] & W) {
      OK(__wasi_fd_write(fd, &out, 1, &n));
      CHECK(n == out.buf_len);
    } else {
      ANY_OF(__wasi_fd_write(fd, &out, 1, &n), BADF, NOTCAPABLE, ACCES);
    }
    OK(__wasi_fd_filestat_get(fd, &stat));
    OK(__wasi_fd_close(fd));
  }
  CHECK(stat.size == 75);
}

static void path_rename(void) {
  for (int existing = 0; existing < 2; existing++) {
    OK(__wasi_path_create_directory(dir, "source"));
    if (existing) OK(__wasi_path_create_directory(dir, "target"));
    OK(__wasi_path_rename(dir, "source", dir, "target"));
    ERRNO(try_open(0, "source", DIRECTORY), NOENT);
    OK(try_open(0, "target", DIRECTORY));
    OK(__wasi_path_remove_directory(dir, "target"));
  }
  OK(__wasi_path_create_directory(dir, "source"));
  OK(__wasi_path_create_directory(dir, "target"));
  make("target/file");
  ERRNO(__wasi_path_rename(dir, "source", dir, "target"), NOTEMPTY);
  ERRNO(__wasi_path_rename(dir, "source", dir, "target/file"), NOTDIR);
  OK(__wasi_path_unlink_file(dir, "target/file"));
  OK(__wasi_path_remove_directory(dir, "source"));
  OK(__wasi_path_remove_directory(dir, "target"));
  for (int existing = 0; existing < 2; existing++) {
    make("source");
    if (existing) make("target");
    OK(__wasi_path_rename(dir, "source", dir, "target"));
    ERRNO(try_open(0, "source", 0), NOENT);
    OK(try_open(0, "target", 0));
    OK(__wasi_path_unlink_file(dir, "target"));
  }
  make("source");
  OK(__wasi_path_create_directory(dir, "target"));
  ERRNO(__wasi_path_rename(dir, "source", dir, "target"), ISDIR);
}

static void path_rename_dir_trailing_slashes(void) {
  OK(__wasi_path_create_directory(dir, "source"));
  OK(__wasi_path_rename(dir, "source/", dir, "target"));
  OK(__wasi_path_rename(dir, "target", dir, "source/"));
  OK(__wasi_path_rename(dir, "source/", dir, "target/"));
  OK(__wasi_path_rename(dir, "target", dir, "source"));
  OK(__wasi_path_remove_directory(dir, "source"));
}

static void path_symlink_trailing_slashes(void) {
  ERRNO(__wasi_path_symlink("source", dir, "target/"), NOENT);
  OK(__wasi_path_symlink("source", dir, "target"));
  OK(__wasi_path_unlink_file(dir, "target"));
  OK(__wasi_path_create_directory(dir, "target"));
  ERRNO(__wasi_path_symlink("source", dir, "target/"), EXIST);
  ERRNO(__wasi_path_symlink("source", dir, "target"), EXIST);
  OK(__wasi_path_remove_directory(dir, "target"));
  make("target");
  EITHER(__wasi_path_symlink("source", dir, "target/"), NOTDIR, EXIST);
  ERRNO(__wasi_path_symlink("source", dir, "target"), EXIST);
}

static void readlink_(void) {
  __wasi_size_t n;
  make("target");
  OK(__wasi_path_symlink("target", dir, "link"));
  memset(buffer, 0, 10);
  OK(__wasi_path_readlink(dir, "link", (uint8_t *)buffer, 10, &n));
  CHECK(n == 6 && !memcmp(buffer, "target\0\0\0\0", 10));
  memset(buffer, 0, 10);
  OK(__wasi_path_readlink(dir, "link", (uint8_t *)buffer, 4, &n));
  CHECK(n == 4 && !memcmp(buffer, "targ\0", 5));
}

static void remove_directory_trailing_slashes(void) {
  OK(__wasi_path_create_directory(dir, "below"));
  OK(__wasi_path_remove_directory(dir, "below"));
  OK(__wasi_path_create_directory(dir, "below"));
  OK(__wasi_path_remove_directory(dir, "below/"));
  make("file");
  ERRNO(__wasi_path_remove_directory(dir, "file"), NOTDIR);
  ERRNO(__wasi_path_remove_directory(dir, "file/"), NOTDIR);
}

static void remove_nonempty_directory(void) {
  OK(__wasi_path_create_directory(dir, "dir"));
  OK(__wasi_path_create_directory(dir, "dir/nested"));
  ERRNO(__wasi_path_remove_directory(dir, "dir"), NOTEMPTY);
  OK(__wasi_path_remove_directory(dir, "dir/nested"));
  OK(__wasi_path_remove_directory(dir, "dir"));
}

static void symlink_create(void) {
  make("target");
  OK(__wasi_path_symlink("target", dir, "link"));
  OK(try_open(FOLLOW, "link", 0));
  OK(__wasi_path_unlink_file(dir, "link"));
  OK(__wasi_path_unlink_file(dir, "target"));
  OK(__wasi_path_create_directory(dir, "target"));
  OK(__wasi_path_symlink("target", dir, "link"));
  OK(try_open(FOLLOW, "link", DIRECTORY));
  OK(__wasi_path_unlink_file(dir, "link"));
  CHECK(__wasi_path_symlink("/", dir, "link") != 0);
}

static void symlink_filestat(void) {
  make("file");
  __wasi_timestamp_t file = mtim_of(0, "file");
  OK(__wasi_path_symlink("file", dir, "link"));
  __wasi_timestamp_t link = mtim_of(0, "link");
  OK(__wasi_path_filestat_set_times(dir, 0, "link", 0, link - 200, __WASI_FSTFLAGS_MTIM));
  CHECK(mtim_of(0, "link") == link - 200);
  CHECK(mtim_of(0, "file") == file);
  CHECK(mtim_of(FOLLOW, "link") == file);
  OK(__wasi_path_filestat_set_times(dir, FOLLOW, "link", 0, link, __WASI_FSTFLAGS_MTIM));
  CHECK(mtim_of(0, "file") == link);
}

static void symlink_loop(void) {
  OK(__wasi_path_symlink("link", dir, "link"));
  ERRNO(try_open(0, "link", 0), LOOP);
  ERRNO(try_open(FOLLOW, "link", 0), LOOP);
}

static void truncation_rights(void) {
  const __wasi_rights_t by_path = __WASI_RIGHTS_PATH_FILESTAT_SET_SIZE, by_fd = __WASI_RIGHTS_FD_FILESTAT_SET_SIZE;
  __wasi_fdstat_t st;
  make("file");
  OK(__wasi_fd_fdstat_get(dir, &st));
  CHECK(st.fs_filetype == __WASI_FILETYPE_DIRECTORY && st.fs_flags == 0 && !(st.fs_rights_base & by_fd));
  CHECK(st.fs_rights_base & by_path && st.fs_rights_inheriting & by_fd);
  OK(try_open(0, "file", __WASI_OFLAGS_TRUNC));
  OK(__wasi_fd_fdstat_set_rights(dir, st.fs_rights_base, st.fs_rights_inheriting & ~by_fd));
  OK(try_open(0, "file", __WASI_OFLAGS_TRUNC));
  OK(__wasi_fd_fdstat_set_rights(dir, st.fs_rights_base & ~by_path, st.fs_rights_inheriting & ~by_fd));
  OK(__wasi_fd_fdstat_get(dir, &st));
  CHECK(!(st.fs_rights_base & by_path));
  EITHER(try_open(0, "file", __WASI_OFLAGS_TRUNC), PERM, NOTCAPABLE);
  OK(__wasi_path_unlink_file(dir, "file"));
}

static void unlink_file_trailing_slashes(void) {
  OK(__wasi_path_create_directory(dir, "dir"));
  ERRNO(__wasi_path_unlink_file(dir, "dir"), ISDIR);
  ERRNO(__wasi_path_unlink_file(dir, "dir/"), ISDIR);
  OK(__wasi_path_remove_directory(dir, "dir"));
  make("file");
  ERRNO(__wasi_path_unlink_file(dir, "file/"), NOTDIR);
  OK(__wasi_path_unlink_file(dir, "file"));
}

static const struct check_case cases[] = {
    {"dangling_fd", dangling_fd},
    {"dangling_symlink", dangling_symlink},
    {"interesting_paths", interesting_paths},
    {"nofollow_errors", nofollow_errors},
    {"path_exists", path_exists},
    {"path_filestat", path_filestat},
    {"path_link", path_link},
    {"path_open_create_existing", path_open_create_existing},
    {"path_open_dirfd_not_dir", path_open_dirfd_not_dir},
    {"path_open_missing", path_open_missing},
    {"path_open_nonblock", path_open_nonblock},
    {"path_open_preopen", path_open_preopen},
    {"path_open_read_write", path_open_read_write},
    {"path_rename", path_rename},
    {"path_rename_dir_trailing_slashes", path_rename_dir_trailing_slashes},
    {"path_symlink_trailing_slashes", path_symlink_trailing_slashes},
    {"readlink", readlink_},
    {"remove_directory_trailing_slashes", remove_directory_trailing_slashes},
    {"remove_nonempty_directory", remove_nonempty_directory},
    {"symlink_create", symlink_create},
    {"symlink_filestat", symlink_filestat},
    {"symlink_loop", symlink_loop},
    {"truncation_rights", truncation_rights},
    {"unlink_file_trailing_slashes", unlink_file_trailing_slashes},
};

int main(int argc, char **argv) {
  dir = scratch("wasi-testsuite.cleanup");
  return argc == 2 ? run_case(CASES_OF(cases), argv[1]) : 2;
}
