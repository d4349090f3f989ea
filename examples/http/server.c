/* An HTTP/1.1 server for WebAssembly: one thread, many kept-alive connections, one poll.
 *
 * By default it makes its own listener on port 80, with WasmEdge's sockets. With -DPREVIEW1 it needs nothing but WASI
 * preview 1: then the host has made the listener and hands it over as descriptor 3.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 256, REQUEST = 8192, PORT = 80 };

typedef struct {
  size_t used;
  char request[REQUEST + 1];
} connection;

/* The listener is the first to be polled; its connection is never used. */
static struct pollfd polled[CONNECTIONS];
static connection *connections[CONNECTIONS];
static nfds_t count;

#ifdef PREVIEW1

static int listener(void) { return 3; }

static int next_connection(int fd) { return accept(fd, NULL, NULL); }

#else
#include "wasmedge.h"

static int listener(void) {
  int32_t fd, on = 1;
  we_storage any = {.family = WE_INET4};
  we_address address = {&any, sizeof any};
  if ((errno = we_open(WE_INET4, WE_STREAM, &fd)) || (errno = we_setsockopt(fd, 0, 0, &on, sizeof on)) ||
      (errno = we_bind(fd, &address, PORT)) || (errno = we_listen(fd, 128))) {
    perror("cannot listen on port 80");
    exit(1);
  }
  return fd;
}

static int next_connection(int fd) {
  int32_t accepted;
  return (errno = we_accept(fd, 0, &accepted)) ? -1 : accepted;
}

#endif

static bool send_all(int fd, const char *data, size_t size) {
  while (size) {
    ssize_t sent = write(fd, data, size);
    if (sent <= 0) return false;
    data += sent;
    size -= (size_t)sent;
  }
  return true;
}

/* Answer one request, of which `head` is the whole head; whether the connection is kept. */
static bool answer(int fd, const char *head) {
  static const char body[] = "Hello from WebAssembly!\n", missing[] = "There is nothing here.\n";
  bool found = !strncmp(head, "GET / ", 6);
  bool keep = strstr(head, "HTTP/1.1") && !strstr(head, "\r\nConnection: close");
  char reply[512];
  int size = snprintf(reply, sizeof reply,
                      "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s",
                      found ? "200 OK" : "404 Not Found", strlen(found ? body : missing),
                      keep ? "keep-alive" : "close", found ? body : missing);
  return send_all(fd, reply, (size_t)size) && keep;
}

/* Read what has come and answer every request that is whole; whether the connection is kept. */
static bool serve(int fd, connection *of) {
  ssize_t size = read(fd, of->request + of->used, REQUEST - of->used);
  if (size <= 0) return false;
  of->used += (size_t)size;
  of->request[of->used] = 0;
  char *end;
  while ((end = strstr(of->request, "\r\n\r\n"))) {
    end[2] = 0;
    if (!answer(fd, of->request)) return false;
    size_t done = (size_t)(end + 4 - of->request);
    of->used -= done;
    memmove(of->request, end + 4, of->used + 1);
  }
  return of->used < REQUEST;
}

static void welcome(void) {
  int fd = next_connection(polled[0].fd);
  if (fd < 0) return;
  if (count == CONNECTIONS || !(connections[count] = calloc(1, sizeof **connections))) {
    close(fd);
    return;
  }
  polled[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void part_with(nfds_t index) {
  close(polled[index].fd);
  free(connections[index]);
  count--;
  polled[index] = polled[count];
  connections[index] = connections[count];
}

int main(void) {
  polled[count++] = (struct pollfd){.fd = listener(), .events = POLLIN};
  /* What is ready by now may be gone when it is accepted: do not wait for the next one then. */
  fcntl(polled[0].fd, F_SETFL, O_NONBLOCK);
  puts("listening on port 80");
  fflush(stdout);
  for (;;) {
    if (poll(polled, count, -1) < 0) {
      perror("poll");
      return 1;
    }
    for (nfds_t index = count; index-- > 1;)
      if (polled[index].revents && !serve(polled[index].fd, connections[index])) part_with(index);
    if (polled[0].revents) welcome();
  }
}
