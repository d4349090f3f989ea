/* Writes as many megabytes as it is told to its stdout. */
#include <stdlib.h>
#include <unistd.h>

static char block[65536];

int main(int argc, char **argv) {
  long left = (argc > 1 ? atol(argv[1]) : 1) << 20;
  while (left > 0) {
    ssize_t wrote = write(1, block, left < (long)sizeof block ? (size_t)left : sizeof block);
    if (wrote <= 0) return 1;
    left -= wrote;
  }
  return 0;
}
