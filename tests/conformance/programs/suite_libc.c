// What the C and AssemblyScript programs of wasi-testsuite ask, asked anew: a case per program of theirs, under its name,
// which is the first argument. Without any argument it is args_sizes_get-no-arguments.
// https://github.com/WebAssembly/wasi-testsuite/tree/main/tests/c/src
// https://github.com/WebAssembly/wasi-testsuite/tree/main/tests/assemblyscript
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

// A file of those bytes, made and closed.
static void have(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void args_get(void) {
  __wasi_size_t count, size;
  const char *wanted[] = {"first", "the \"second\"", "3"};
  OK(__wasi_args_sizes_get(&count, &size));
  CHECK(count == 5);
  char *pointers[8];
  OK(__wasi_args_get((uint8_t **)pointers, (uint8_t *)buffer));
  for (int i = 0; i < 3; i++) CHECK(!strcmp(pointers[2 + i], wanted[i]));
}
static void args_sizes_get(void) {
  __wasi_size_t count, size;
  OK(__wasi_args_sizes_get(&count, &size));
  CHECK(count == 5);
  OK(__wasi_args_get((uint8_t **)(buffer + 4096), (uint8_t *)buffer));
  CHECK(size == strlen(buffer) + 1 + sizeof "args_sizes_get-multiple-arguments" + sizeof "first" +
                    sizeof "the \"second\"" + sizeof "3");
}
static void no_arguments(void) {
  __wasi_size_t count, size;
  OK(__wasi_args_sizes_get(&count, &size));
  OK(__wasi_args_get((uint8_t **)(buffer + 4096), (uint8_t *)buffer));
  CHECK(count == 1 && size == strlen(buffer) + 1);
}
static void environ_get(void) {
  const char *wanted[] = {"a=text", "b=escap \" ing", "c=new\nline"};
  char *pointers[8];
  __wasi_size_t count, size;
  OK(__wasi_environ_sizes_get(&count, &size));
  CHECK(count == 3 && size == sizeof "a=text" + sizeof "b=escap \" ing" + sizeof "c=new\nline");
  OK(__wasi_environ_get((uint8_t **)pointers, (uint8_t *)buffer));
  for (int i = 0; i < 3; i++) CHECK(!strcmp(pointers[i], wanted[i]));
}
static void no_variables(void) {
  __wasi_size_t count, size;
  OK(__wasi_environ_sizes_get(&count, &size));
  CHECK(count == 0 && size == 0);
}
static void invalid_fd(void) {
  __wasi_size_t n;
  ERRNO(__wasi_fd_write(-31337, 0, 0, &n), BADF);
}
static void to_stdout(void) {
  __wasi_size_t n;
  OK(put(1, "hello", &n));
  CHECK(n == 5);
}
static void exit_33(void) { __wasi_proc_exit(33); }
static void exit_0(void) { __wasi_proc_exit(failures); }
static void random_some(void) {
  uint8_t bytes[256] = {0}, any = 0;
  OK(__wasi_random_get(bytes, sizeof bytes));
  for (unsigned i = 0; i < sizeof bytes; i++) any |= bytes[i];
  CHECK(any);
}
static void random_none(void) { OK(__wasi_random_get((uint8_t *)buffer, 0)); }

static void resolution(clockid_t clock) {
  struct timespec t = {0};
  CHECK(clock_getres(clock, &t) == 0);
  CHECK(t.tv_sec > 0 || t.tv_nsec > 0);
}
static void getres_monotonic(void) { resolution(CLOCK_MONOTONIC); }
static void getres_realtime(void) { resolution(CLOCK_REALTIME); }
static void gettime_monotonic(void) {
  struct timespec one, two;
  CHECK(clock_gettime(CLOCK_MONOTONIC, &one) == 0 && clock_gettime(CLOCK_MONOTONIC, &two) == 0);
  CHECK(two.tv_sec > one.tv_sec || (two.tv_sec == one.tv_sec && two.tv_nsec >= one.tv_nsec));
}
static void gettime_realtime(void) {
  struct timespec t = {0};
  CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0);
  CHECK(t.tv_sec > 1600000000);
}

static void fdopendir_(void) {
  struct stat st;
  ino_t inodes[2] = {0};
  CHECK(mkdir("folder", 0777) == 0);
  have("folder/file-0", "");
  have("folder/file-1", "");
  int fd = open("folder", O_RDONLY | O_DIRECTORY);
  DIR *folder = fdopendir(fd);
  CHECK(fd >= 0 && folder);
  for (struct dirent *found; folder && (found = readdir(folder));) {
    if (found->d_name[0] == '.') continue;
    CHECK(!strncmp(found->d_name, "file-", 5) && !found->d_name[6]);
    CHECK(fstatat(fd, found->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == found->d_ino);
    inodes[found->d_name[5] & 1] = found->d_ino;
  }
  closedir(folder);
  CHECK(inodes[0] && inodes[1] && inodes[0] != inodes[1]);
}
static void fopen_(void) {
  have("file", "");
  FILE *file = fopen("file", "r");
  CHECK(file && fclose(file) == 0);
}
// Without any preopen it is the libc that answers; a container always has its rootfs.
static void fopen_no_access(void) {
  CHECK(!fopen("fs-tests.dir/file", "r"));
  CHECK(errno == ENOENT || errno == ENOTCAPABLE);
}
static void lseek_(void) {
  char got[4];
  have("lseek.txt", "01234567");
  FILE *file = fopen("lseek.txt", "r");
  int fd = fileno(file);
  CHECK(fread(got, 1, 4, file) == 4);
  fflush(file);
  CHECK(lseek(fd, 0, SEEK_CUR) == 4);
  CHECK(fread(got, 1, 1, file) == 1 && got[0] == '4');
  fflush(file);
  CHECK(lseek(fd, 0, SEEK_CUR) == 5);
  CHECK(lseek(fd, 0, SEEK_SET) == 0);
  CHECK(lseek(fd, 0, SEEK_END) == 8);
  fclose(file);
}
static void pread_(void) {
  char got[16] = {0};
  have("pread.txt", "0123456789abcdef");
  int fd = open("pread.txt", O_RDONLY);
  CHECK(pread(fd, got, 4, 4) == 4 && !memcmp(got, "4567", 4));
  CHECK(lseek(fd, 0, SEEK_CUR) == 0);
  CHECK(read(fd, got, 4) == 4 && !memcmp(got, "0123", 4));
  CHECK(lseek(fd, 0, SEEK_CUR) == 4);
  close(fd);
}
static void pwrite_(void) {
  char got[16];
  CHECK(mkdir("writeable", 0777) == 0);
  CHECK(access("writeable/file", F_OK) != 0);
  int fd = open("writeable/file", O_WRONLY | O_CREAT, 0666);
  CHECK(pwrite(fd, "very long text", 14, 0) == 14);
  CHECK(pwrite(fd, "test", 4, 3) == 4);
  CHECK(close(fd) == 0);
  fd = open("writeable/file", O_RDONLY);
  CHECK(read(fd, got, sizeof got) == 14 && !memcmp(got, "vertestng text", 14));
  CHECK(close(fd) == 0 && remove("writeable/file") == 0);
}
static void pwrite_append(void) {
  int fd = open("pwrite.cleanup", O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0666);
  CHECK(write(fd, "ab", 2) == 2);
  CHECK(lseek(fd, 0, SEEK_SET) == 0);
  CHECK(write(fd, "cd", 2) == 2);
  CHECK(lseek(fd, 0, SEEK_CUR) == 4);
  CHECK(pwrite(fd, "efg", 3, 0) == 3);
  CHECK(lseek(fd, 0, SEEK_CUR) == 4);
  int end = lseek(fd, 0, SEEK_END);
  CHECK(end == 4 || end == 7);  // POSIX has it written at 0, Linux at the end
  close(fd);
}
static void shutdown_invalid_fd(void) { CHECK(shutdown(-1, SHUT_RD) != 0 && errno == EBADF); }
static void shutdown_not_sock(void) { CHECK(shutdown(1, SHUT_RD) != 0 && errno == ENOTSOCK); }
static void stat_dev_ino(void) {
  struct stat one, two;
  have("file", "");
  have("lseek.txt", "");
  CHECK(fstat(open("file", O_RDONLY), &one) == 0 && fstat(open("lseek.txt", O_RDONLY), &two) == 0);
  CHECK(one.st_dev == two.st_dev && one.st_ino != two.st_ino);
}

static const struct check_case cases[] = {
    {"args_get-multiple-arguments", args_get},
    {"args_sizes_get-multiple-arguments", args_sizes_get},
    {"args_sizes_get-no-arguments", no_arguments},
    {"environ_get-multiple-variables", environ_get},
    {"environ_sizes_get-multiple-variables", environ_get},
    {"environ_sizes_get-no-variables", no_variables},
    {"fd_write-to-invalid-fd", invalid_fd},
    {"fd_write-to-stdout", to_stdout},
    {"proc_exit-failure", exit_33},
    {"proc_exit-success", exit_0},
    {"random_get-non-zero-length", random_some},
    {"random_get-zero-length", random_none},
    {"clock_getres-monotonic", getres_monotonic},
    {"clock_getres-realtime", getres_realtime},
    {"clock_gettime-monotonic", gettime_monotonic},
    {"clock_gettime-realtime", gettime_realtime},
    {"fdopendir-with-access", fdopendir_},
    {"fopen-with-access", fopen_},
    {"fopen-with-no-access", fopen_no_access},
    {"lseek", lseek_},
    {"pread-with-access", pread_},
    {"pwrite-with-access", pwrite_},
    {"pwrite-with-append", pwrite_append},
    {"sock_shutdown-invalid_fd", shutdown_invalid_fd},
    {"sock_shutdown-not_sock", shutdown_not_sock},
    {"stat-dev-ino", stat_dev_ino},
};

int main(int argc, char **argv) {
  return run_case(CASES_OF(cases), argc > 1 ? argv[1] : "args_sizes_get-no-arguments");
}
