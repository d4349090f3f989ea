/* Output for tests of logs: argv[1] says which. All of it can be told again by whoever reads it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char block[1 << 20];

static void put(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t done = write(fd, data, size);
        if (done < 0) exit(1);
        data += done;
        size -= done;
    }
}

/* Numbered lines of 64 bytes, in writes of a mebibyte that end wherever they end. */
static void burst(long mebibytes) {
    unsigned long number = 0;
    char line[65];
    for (size_t at = 0; at < sizeof block; at += 64) {
        snprintf(line, sizeof line, "%062lu.\n", number++);
        memcpy(block + at, line, 64);
    }
    for (long done = 0; done < mebibytes; done++) put(1, block, sizeof block);
}

/* Every byte there is, without and with ends of lines, in pieces of odd sizes. */
static void binary(void) {
    static unsigned char all[256 * 300];
    for (size_t at = 0; at < sizeof all; at++) all[at] = (unsigned char)(at * 7 + at / 256);
    for (size_t at = 0; at < sizeof all; at += 1009)
        put(1, (char *)all + at, sizeof all - at < 1009 ? sizeof all - at : 1009);
}

int main(int count, char **words) {
    const char *mode = count > 1 ? words[1] : "";
    if (!strcmp(mode, "burst")) burst(atol(words[2]));
    else if (!strcmp(mode, "binary")) binary();
    else if (!strcmp(mode, "partial")) { put(1, "one ", 4); put(2, "err", 3); put(1, "two\n", 4); put(1, "three", 5); }
    else if (!strcmp(mode, "lines")) for (int n = 0; n < atoi(words[2]); n++) { printf("line %d\n", n); fflush(stdout); }
    else if (!strcmp(mode, "tick")) for (int n = 0;; n++) { printf("tick %d\n", n); fflush(stdout); usleep(2000); }
    return 0;
}
