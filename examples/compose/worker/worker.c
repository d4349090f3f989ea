/* A worker: it writes a line to its log's folder and to stdout, again and again. With `check` it says how it does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const FILE_NAME = "/log/worker";

static int check(void) {
  FILE *file = fopen(FILE_NAME, "r");
  if (!file) return puts("nothing was done yet"), 1;
  fclose(file);
  return puts("at work"), 0;
}

int main(int count, char **words) {
  const char *greeting = getenv("GREETING");
  if (count > 1 && !strcmp(words[1], "check")) return check();
  for (int number = 1;; number++, usleep(100000)) {
    FILE *file = fopen(FILE_NAME, "a");
    if (!file) return perror(FILE_NAME), 1;
    fprintf(file, "%d\n", number);
    fclose(file);
    printf("%s %d\n", greeting ? greeting : "hello", number);
    fflush(stdout);
  }
}
