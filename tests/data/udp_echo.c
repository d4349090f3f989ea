/* Answers each datagram that comes to the port of its first argument with what was in it. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int count, char **words) {
    int echo = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(count > 1 ? words[1] : "7"))}, from;
    if (bind(echo, (struct sockaddr *)&here, sizeof here)) return 1;
    for (;;) {
        char data[2048];
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(echo, data, sizeof data, 0, (struct sockaddr *)&from, &size);
        if (got < 0) return 2;
        sendto(echo, data, got, 0, (struct sockaddr *)&from, size);
    }
}
