#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <dirent.h>
#include <fcntl.h>
#include <time.h>
#include <errno.h>
#include <sys/stat.h>
extern char **environ;
int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "env")) { for (char **e = environ; *e; e++) puts(*e); return 0; }
    if (!strcmp(what, "exit")) return atoi(argv[2]);
    if (!strcmp(what, "trap")) __builtin_trap();
    if (!strcmp(what, "cat")) { char b[4096]; size_t n; while ((n = fread(b, 1, sizeof b, stdin))) fwrite(b, 1, n, stdout); return 0; }
    if (!strcmp(what, "err")) { fputs("to stderr\n", stderr); return 0; }
    if (!strcmp(what, "sleep")) { struct timespec t = {0, 50000000}; nanosleep(&t, 0); puts("slept"); return 0; }
    if (!strcmp(what, "random")) { unsigned char b[8]; return getentropy(b, 8); }
    if (!strcmp(what, "time")) { printf("%ld\n", (long)time(0)); return 0; }
    if (!strcmp(what, "spin")) for (;;) ;
    if (!strcmp(what, "ls")) { DIR *d = opendir(argv[2]); if (!d) { perror(argv[2]); return 3; } struct dirent *e;
        while ((e = readdir(d))) puts(e->d_name); return 0; }
    if (!strcmp(what, "write")) { FILE *f = fopen(argv[2], argc > 4 ? argv[4] : "w"); if (!f) { perror(argv[2]); return 3; }
        fputs(argv[3], f); return fclose(f); }
    if (!strcmp(what, "read")) { FILE *f = fopen(argv[2], "r"); if (!f) { perror(argv[2]); return 3; } char b[4096]; size_t n;
        while ((n = fread(b, 1, sizeof b, f))) fwrite(b, 1, n, stdout); return 0; }
    if (!strcmp(what, "tree")) {
        struct stat s;
        if (mkdir("/t", 0777) || mkdir("/t/sub", 0777)) return 10;
        FILE *f = fopen("/t/sub/a", "w+"); if (!f) return 11;
        fputs("0123456789", f); fseek(f, 3, SEEK_SET); if (fgetc(f) != '3') return 12; fclose(f);
        if (rename("/t/sub/a", "/t/b")) return 13;
        if (link("/t/b", "/t/c") || symlink("b", "/t/l")) return 14;
        char r[8] = {0}; if (readlink("/t/l", r, 7) != 1 || r[0] != 'b') return 15;
        if (lstat("/t/l", &s) || !S_ISLNK(s.st_mode)) return 16;
        if (stat("/t/l", &s) || s.st_size != 10 || s.st_nlink != 2) return 17;
        if (truncate("/t/b", 4) || stat("/t/c", &s) || s.st_size != 4) return 18;
        struct timespec ts[2] = {{5, 0}, {7, 9}}; if (utimensat(AT_FDCWD, "/t/b", ts, 0) || stat("/t/b", &s) || s.st_mtim.tv_sec != 7) return 19;
        if (unlink("/t/b") || unlink("/t/c") || unlink("/t/l") || rmdir("/t/sub") || rmdir("/t")) return 20;
        if (stat("/t", &s) != -1 || errno != ENOENT) return 21;
        puts("tree is well"); return 0;
    }
    return 99;
}
