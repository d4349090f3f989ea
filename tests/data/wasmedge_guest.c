/* A guest for the tests of WasmEdge's sockets: one action per command. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wasmedge_all.h"

static void must(const char *what, int32_t error) {
  if (!error) return;
  printf("%s: %d\n", what, (int)error);
  exit(1);
}

static void say(const char *what, int32_t error) { printf("%s: %d\n", what, (int)error); }

static we_storage storage;
static we_address at = {&storage, sizeof storage};

/* The address that `text` spells, of IPv4 only, or of IPv6's :: and ::1. */
static void address(int family, const char *text) {
  memset(&storage, 0, sizeof storage);
  storage.family = (uint16_t)family;
  unsigned a, b, c, d;
  if (family == WE_INET4 && sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d) == 4) {
    uint8_t bytes[] = {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d};
    memcpy(storage.bytes, bytes, 4);
  } else if (family == WE_INET6) {
    storage.bytes[15] = !strcmp(text, "::1");
  } else if (family == WE_UNIX) {
    strcpy((char *)storage.bytes, text);
  }
}

static void show(const char *what, uint32_t port) {
  const uint8_t *b = storage.bytes;
  if (storage.family == WE_INET4) printf("%s %d.%d.%d.%d %u\n", what, b[0], b[1], b[2], b[3], (unsigned)port);
  if (storage.family == WE_INET6) printf("%s ipv6 ..%d %d\n", what, b[15], port > 0);
  if (storage.family == WE_UNIX) printf("%s %s\n", what, b);
}

static int32_t opened(int family, int type) {
  int32_t fd, on = 1;
  must("open", we_open(family, type, &fd));
  if (family != WE_UNIX) must("reuse", we_setsockopt(fd, 0, 0, &on, sizeof on));
  return fd;
}

static int32_t bound(int family, int type, int port) {
  int32_t fd = opened(family, type);
  address(family, "0.0.0.0");
  must("bind", we_bind(fd, &at, port));
  return fd;
}

/* tcp PORT FAMILY: echo one connection until its end */
static void tcp(int port, int family) {
  int32_t fd = bound(family, WE_STREAM, port), connection;
  must("listen", we_listen(fd, 8));
  uint32_t local;
  must("local", we_local(fd, &at, &local));
  printf("ready on %u\n", (unsigned)local);
  fflush(stdout);
  must("accept", we_accept(fd, 0, &connection));
  must("peer", we_peer(connection, &at, &local));
  show("peer", local);
  char buffer[1 << 14];
  for (;;) {
    uint32_t size;
    uint16_t flags;
    we_iovec halves[] = {{buffer, 10}, {buffer + 10, sizeof buffer - 10}};
    must("recv", we_recv(connection, halves, 2, 0, &size, &flags));
    if (!size) break;
    for (uint32_t done = 0, sent; done < size; done += sent) {
      we_iovec rest = {buffer + done, size - done};
      must("send", we_send(connection, &rest, 1, 0, &sent));
    }
  }
  must("shutdown", we_shutdown(connection, 2));
  puts("done");
}

/* udp PORT FAMILY: echo one datagram, of which 8 bytes are taken */
static void udp(int port, int family) {
  int32_t fd = bound(family, WE_DGRAM, port);
  puts("ready");
  fflush(stdout);
  char buffer[8];
  we_iovec all = {buffer, sizeof buffer};
  uint32_t size;
  uint16_t flags, from;
  must("recv_from", we_recv_from(fd, &all, 1, &at, 0, &from, &size, &flags));
  show("from", from);
  printf("%u bytes, flags %d\n", (unsigned)size, flags);
  all.size = size;
  must("send_to", we_send_to(fd, &all, 1, &at, from, 0, &size));
}

static uint32_t resolve(const char *node, const char *service, int family, we_addrinfo *infos, we_sockaddr *addresses,
                        char (*data)[32], uint32_t room) {
  we_addrinfo hints = {.family = (uint8_t)family, .type = WE_STREAM}, *first = infos;
  for (uint32_t i = 0; i < room; i++) {
    addresses[i] = (we_sockaddr){0, 14, data[i]};
    infos[i] = (we_addrinfo){.address = &addresses[i], .next = i + 1 < room ? &infos[i + 1] : NULL};
  }
  uint32_t found = 0;
  must("getaddrinfo", we_getaddrinfo(node, (uint32_t)strlen(node) + 1, service, (uint32_t)strlen(service) + 1, &hints,
                                     &first, room, &found));
  return found;
}

/* resolve NAME SERVICE FAMILY */
static void names(const char *node, const char *service, int family) {
  static we_addrinfo infos[8];
  static we_sockaddr addresses[8];
  static char data[8][32];
  uint32_t found = resolve(node, service, family, infos, addresses, data, 8);
  for (uint32_t i = 0; i < found; i++) {
    const uint8_t *b = addresses[i].data;
    printf("%d %d %d: %u ", infos[i].family, infos[i].type, infos[i].protocol, b[0] * 256u + b[1]);
    if (addresses[i].family == WE_INET4) printf("%d.%d.%d.%d\n", b[2], b[3], b[4], b[5]);
    if (addresses[i].family == WE_INET6) printf("..%d\n", b[21]);
  }
}

/* fetch NAME PORT: all with the first version */
static void fetch(const char *node, const char *service) {
  static we_addrinfo infos[1];
  static we_sockaddr addresses[1];
  static char data[1][32];
  resolve(node, service, WE_INET4, infos, addresses, data, 1);
  const uint8_t *b = addresses[0].data;
  uint8_t bytes[4] = {b[2], b[3], b[4], b[5]};
  we_address to = {bytes, 4};
  int32_t fd;
  must("open", we1_open(WE_INET4, WE_STREAM, &fd));
  must("connect", we1_connect(fd, &to, b[0] * 256 + b[1]));
  uint32_t type, port;
  must("peer", we1_peer(fd, &to, &type, &port));
  printf("peer %u %u\n", (unsigned)type, (unsigned)port);
  if (write(fd, "hello\n", 6) != 6) must("write", errno);
  char buffer[256];
  for (ssize_t size; (size = read(fd, buffer, sizeof buffer)) > 0;) fwrite(buffer, 1, (size_t)size, stdout);
}

/* rights PORT: what is refused */
static void rights(int port) {
  int32_t fd, error = we_open(WE_INET4, WE_STREAM, &fd);
  say("open", error);
  we_addrinfo hints = {0}, *none = &hints;
  uint32_t count;
  if (error) {
    say("getaddrinfo", we_getaddrinfo("localhost", 9, "", 0, &hints, &none, 1, &count));
    return;
  }
  address(WE_INET4, "0.0.0.0");
  say("bind", we_bind(fd, &at, port));
  say("listen", we_listen(fd, 1));
  must("open", we_open(WE_INET4, WE_DGRAM, &fd));
  say("bind udp", we_bind(fd, &at, port));
  must("open", we_open(WE_INET4, WE_STREAM, &fd));
  address(WE_INET4, "127.0.0.1");
  say("connect", we_connect(fd, &at, 9));
}

/* unix PATH: both ends, without blocking */
static void local(const char *path) {
  int32_t server = opened(WE_UNIX, WE_STREAM), client = opened(WE_UNIX, WE_STREAM), connection;
  address(WE_UNIX, path);
  must("bind", we_bind(server, &at, 0));
  must("listen", we_listen(server, 1));
  must("nonblock", fcntl(server, F_SETFL, O_NONBLOCK) ? errno : 0);
  say("accept", we_accept(server, 0, &connection));
  must("connect", we_connect(client, &at, 0));
  must("accept", we_accept(server, 4, &connection));
  char buffer[8];
  say("read", read(connection, buffer, sizeof buffer) < 0 ? errno : 0);
  if (write(client, "across", 6) != 6) must("write", errno);
  struct pollfd fds[] = {{.fd = connection, .events = POLLIN}, {.fd = server, .events = POLLIN}};
  printf("poll %d", poll(fds, 2, 1000));
  printf(" %d %d\n", fds[0].revents == POLLIN, fds[1].revents);
  ssize_t size = read(connection, buffer, sizeof buffer);
  printf("got %.*s\n", (int)size, buffer);
  uint32_t port;
  must("local", we_local(connection, &at, &port));
  show("at", port);
  int32_t type, error;
  uint32_t length = sizeof type;
  must("type", we_getsockopt(connection, 0, 1, &type, &length));
  length = sizeof error;
  must("error", we_getsockopt(connection, 0, 2, &error, &length));
  printf("type %d error %d\n", (int)type, (int)error);
}

/* refused PORT: a connection without blocking, and what became of it */
static void refused(int port) {
  int32_t fd = opened(WE_INET4, WE_STREAM), error;
  must("nonblock", fcntl(fd, F_SETFL, O_NONBLOCK) ? errno : 0);
  address(WE_INET4, "127.0.0.1");
  int32_t begun = we_connect(fd, &at, port);
  struct pollfd one = {.fd = fd, .events = POLLOUT};
  poll(&one, 1, 5000);
  uint32_t length = sizeof error;
  must("error", we_getsockopt(fd, 0, 2, &error, &length));
  printf("connect %d\n", begun == EINPROGRESS ? (int)error : (int)begun);
}

/* wait PATH: a datagram socket, a file and a clock at once */
static void waits(const char *path) {
  int32_t fd = bound(WE_INET4, WE_DGRAM, 0), file = open(path, O_RDONLY);
  struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = file, .events = POLLIN}};
  printf("with the file %d", poll(fds, 2, 10000));
  printf(" %d %d\n", fds[0].revents, fds[1].revents == POLLIN);
  struct timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  printf("with the clock %d\n", poll(fds, 1, 20));
  clock_gettime(CLOCK_MONOTONIC, &after);
  long passed = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
  printf("waited %d\n", passed >= 20);
}

int main(int argc, char **argv) {
  const char *action = argc > 1 ? argv[1] : "", *first = argc > 2 ? argv[2] : "", *second = argc > 3 ? argv[3] : "";
  if (!strcmp(action, "tcp")) tcp(atoi(first), atoi(second));
  else if (!strcmp(action, "udp")) udp(atoi(first), atoi(second));
  else if (!strcmp(action, "resolve")) names(first, second, argc > 4 ? atoi(argv[4]) : 0);
  else if (!strcmp(action, "fetch")) fetch(first, second);
  else if (!strcmp(action, "rights")) rights(atoi(first));
  else if (!strcmp(action, "unix")) local(first);
  else if (!strcmp(action, "refused")) refused(atoi(first));
  else if (!strcmp(action, "wait")) waits(first);
  else return 2;
  return 0;
}
