// Does what it reads: a line is an operation of WASI, its words are the arguments, and the answer is the errno and what
// came of it, as far as any host must answer the same (no inode, no time that was not set). Descriptors are named by
// slots: slot 0 is the preopened "/", the others are what was opened into them. An empty path is written "-".
#include "check.h"

static __wasi_fd_t slots[8] = {ROOT, 99, 99, 99, 99, 99, 99, 99};
static char *words[10];

static int number(int i) { return atoi(words[i]); }
static __wasi_fd_t slot(int i) { return slots[number(i) & 7]; }
static const char *path(int i) { return strcmp(words[i], "-") ? words[i] : ""; }

// The oracle can't sync a folder, nor change its flags; wherry can.
static int is_folder(__wasi_fd_t fd) {
  __wasi_fdstat_t st;
  return !__wasi_fd_fdstat_get(fd, &st) && st.fs_filetype == __WASI_FILETYPE_DIRECTORY;
}
// Of a path below what is no folder, Linux and wherry say NOTDIR, the oracle sometimes BADF: not asked.
static __wasi_fd_t folder(int i) { return is_folder(slot(i)) ? slot(i) : 99; }
static void say(__wasi_errno_t e) { printf("%s %d\n", words[0], e); }
static void say_bytes(__wasi_errno_t e, __wasi_size_t n) {
  if (e == __WASI_ERRNO_ISDIR) e = __WASI_ERRNO_BADF;  // what the oracle says of reading a folder
  printf("%s %d %u ", words[0], e, e ? 0 : n);
  for (__wasi_size_t i = 0; !e && i < n; i++) printf("%02x", (unsigned char)buffer[i]);
  printf("\n");
}
static void say_stat(__wasi_errno_t e, const __wasi_filestat_t *st) {
  int is_folder = !e && st->filetype == __WASI_FILETYPE_DIRECTORY;
  if (e) say(e);
  else printf("%s 0 type %d size %llu links %llu\n", words[0], st->filetype, is_folder ? 0 : st->size, is_folder ? 0 : st->nlink);
}

static void open_(void) {  // open SLOT FOLDER PATH LOOK OFLAGS RIGHTS FDFLAGS
  __wasi_fd_t fd = 99;
  const __wasi_rights_t rights[] = {0, R, W, R | W};
  __wasi_errno_t e = open_at(folder(2), number(4), path(3), number(5), rights[number(6) & 3], number(7), &fd);
  int into = number(1) & 7;
  if (!e && into) {
    __wasi_fd_close(slots[into]);
    slots[into] = fd;
  } else if (!e) {
    __wasi_fd_close(fd);
  }
  say(e);
}
static void close_(void) { say(number(1) & 7 ? __wasi_fd_close(slot(1)) : 0); }
static void read_(void) {
  __wasi_size_t n = 0;
  __wasi_iovec_t in = {(uint8_t *)buffer, number(2)};
  __wasi_errno_t e = __wasi_fd_read(slot(1), &in, 1, &n);
  say_bytes(e, n);
}
static void pread_(void) {
  __wasi_size_t n = 0;
  __wasi_iovec_t in = {(uint8_t *)buffer, number(2)};
  __wasi_errno_t e = __wasi_fd_pread(slot(1), &in, 1, number(3), &n);
  say_bytes(e, n);
}
static void write_(void) {
  __wasi_size_t n = 0;
  __wasi_errno_t e = put(slot(1), path(2), &n);
  printf("write %d %u\n", e, e ? 0 : n);
}
static void pwrite_(void) {
  __wasi_size_t n = 0;
  __wasi_ciovec_t out = {(const uint8_t *)path(2), strlen(path(2))};
  __wasi_errno_t e = __wasi_fd_pwrite(slot(1), &out, 1, number(3), &n);
  printf("pwrite %d %u\n", e, e ? 0 : n);
}
static void seek_(void) {
  __wasi_filesize_t at = 0;
  __wasi_errno_t e = __wasi_fd_seek(slot(1), number(2), number(3), &at);
  printf("seek %d %llu\n", e, e ? 0 : at);
}
static void tell_(void) {
  __wasi_filesize_t at = 0;
  __wasi_errno_t e = __wasi_fd_tell(slot(1), &at);
  printf("tell %d %llu\n", e, e ? 0 : at);
}
static void resize(void) { say(__wasi_fd_filestat_set_size(slot(1), number(2))); }
static void sync_(void) { if (!is_folder(slot(1))) say(__wasi_fd_sync(slot(1))); }
static void datasync(void) { if (!is_folder(slot(1))) say(__wasi_fd_datasync(slot(1))); }
static void flags(void) {
  if (!is_folder(slot(1))) say(__wasi_fd_fdstat_set_flags(slot(1), number(2)));
}
static void fdstat(void) {
  __wasi_fdstat_t st = {0};
  __wasi_errno_t e = __wasi_fd_fdstat_get(slot(1), &st);
  printf("fdstat %d %d %d\n", e, st.fs_filetype, st.fs_flags);
}
static void stat_(void) {
  __wasi_filestat_t st = {0};
  __wasi_errno_t e = __wasi_fd_filestat_get(slot(1), &st);
  say_stat(e, &st);
}
static void status(void) {  // status FOLDER PATH LOOK
  __wasi_filestat_t st = {0};
  __wasi_errno_t e = __wasi_path_filestat_get(folder(1), number(3), path(2), &st);
  say_stat(e, &st);
}
static void times(void) {  // times FOLDER PATH LOOK MTIM
  __wasi_filestat_t st = {0};
  int flags = __WASI_FSTFLAGS_MTIM;
  __wasi_errno_t e = __wasi_path_filestat_set_times(folder(1), number(3), path(2), 0, number(4), flags);
  if (!e) e = __wasi_path_filestat_get(folder(1), number(3), path(2), &st);
  printf("times %d %llu\n", e, e ? 0 : st.mtim);
}
static void mkdir_(void) { say(__wasi_path_create_directory(folder(1), path(2))); }
static void rmdir_(void) { say(__wasi_path_remove_directory(folder(1), path(2))); }
static void unlink_(void) { say(__wasi_path_unlink_file(folder(1), path(2))); }
static void rename_(void) { say(__wasi_path_rename(folder(1), path(2), folder(3), path(4))); }
static void link_(void) { say(__wasi_path_link(folder(1), 0, path(2), folder(3), path(4))); }
static void symlink_(void) { say(__wasi_path_symlink(path(1), folder(2), path(3))); }
static void readlink_(void) {
  __wasi_size_t n = 0;
  __wasi_errno_t e = __wasi_path_readlink(folder(1), path(2), (uint8_t *)buffer, number(3), &n);
  say_bytes(e, n);
}
static void renumber(void) {  // only between slots that are both open: what is moved is then in the second
  int from = number(1) & 7, to = number(2) & 7;
  if (!from || !to || from == to) return;
  __wasi_errno_t e = __wasi_fd_renumber(slots[from], slots[to]);
  if (!e) slots[from] = 99;
  say(e);
}
static int by_text(const void *a, const void *b) { return strcmp(a, b); }
static void readdir_(void) {  // names and types in order of names, through a buffer of the given size
  static char names[64][40];
  __wasi_size_t used = 0, size = number(2) < 64 ? 64 : number(2);
  __wasi_dircookie_t cookie = 0;
  int count = 0;
  for (int rounds = 0; rounds < 200; rounds++) {
    __wasi_errno_t e = __wasi_fd_readdir(slot(1), (uint8_t *)buffer, size, cookie, &used);
    if (e) {  // of a file, wherry says NOTDIR and the oracle BADF
      say(e == __WASI_ERRNO_NOTDIR ? __WASI_ERRNO_BADF : e);
      return;
    }
    __wasi_size_t at = 0;
    __wasi_dirent_t entry;
    while (at + sizeof entry <= used) {
      memcpy(&entry, buffer + at, sizeof entry);
      if (at + sizeof entry + entry.d_namlen > used) break;
      if (count < 64) {
        char *name = names[count++];
        snprintf(name, 40, "%.*s:%d", (int)entry.d_namlen, buffer + at + sizeof entry, entry.d_type);
      }
      at += sizeof entry + entry.d_namlen;
      cookie = entry.d_next;
    }
    if (used < size) break;
  }
  qsort(names, count, sizeof names[0], by_text);
  printf("readdir 0");
  for (int i = 0; i < count; i++) printf(" %s", names[i]);
  printf("\n");
}

static const struct check_case operations[] = {
    {"open", open_},       {"close", close_},     {"read", read_},       {"pread", pread_},   {"write", write_},
    {"pwrite", pwrite_},   {"seek", seek_},       {"tell", tell_},       {"resize", resize},  {"sync", sync_},
    {"datasync", datasync}, {"flags", flags},     {"fdstat", fdstat},    {"stat", stat_},     {"status", status},
    {"times", times},      {"mkdir", mkdir_},     {"rmdir", rmdir_},     {"unlink", unlink_}, {"rename", rename_},
    {"link", link_},       {"symlink", symlink_}, {"readlink", readlink_}, {"renumber", renumber},
    {"readdir", readdir_},
};

int main(void) {
  static char text[1 << 16];
  size_t size = fread(text, 1, sizeof text - 1, stdin);
  text[size] = 0;
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    memset(words, 0, sizeof words);
    int count = 0;
    for (char *word = strtok(line, " "); word && count < 10; word = strtok(NULL, " ")) words[count++] = word;
    while (count < 10) words[count++] = "0";
    if (run_case(CASES_OF(operations), words[0]) == 2) return 2;
  }
  return 0;
}
