/* A guest for the tests of preview 1's own sockets: its listeners are made by the host, from descriptor 3 on. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
  const char *told = getenv("LISTEN_FDS");
  int listeners = told ? atoi(told) : 0;
  /* The folders are preopened behind the listeners: a libc finds them all the same. */
  FILE *note = fopen("/note", "r");
  char text[64] = "no note\n";
  if (note) fgets(text, sizeof text, note);
  printf("%d listeners, %s", listeners, text);
  fflush(stdout);
  struct pollfd polled[8];
  for (int i = 0; i < listeners; i++) polled[i] = (struct pollfd){.fd = 3 + i, .events = POLLIN};
  while (listeners) {
    if (poll(polled, (nfds_t)listeners, -1) < 0) return perror("poll"), 1;
    for (int i = listeners; i-- > 0;) {
      if (!polled[i].revents) continue;
      int fd = accept(polled[i].fd, NULL, NULL);
      if (fd < 0) return perror("accept"), 1;
      char buffer[64];
      ssize_t size = recv(fd, buffer, sizeof buffer, MSG_PEEK);
      size = recv(fd, buffer, sizeof buffer, 0);
      if (size < 0) return perror("recv"), 1;
      printf("%d: %.*s", polled[i].fd, (int)size, buffer);
      fflush(stdout);
      if (send(fd, "welcome\n", 8, 0) != 8) return perror("send"), 1;
      if (shutdown(fd, SHUT_WR)) return perror("shutdown"), 1;
      close(fd);
      polled[i] = polled[--listeners];
    }
  }
  int bad = accept(9, NULL, NULL);
  printf("no listener: %d %d\n", bad, errno == EBADF);
  return 0;
}
