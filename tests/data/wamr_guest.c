/* A guest for the tests of WAMR's sockets: one action per command. The imports are those of its wasi_socket_ext.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAMR(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))

typedef struct {
  uint32_t kind; /* 0 IPv4, 1 IPv6 */
  union {
    struct {
      uint8_t bytes[4];
      uint16_t port;
    } ip4;
    struct {
      uint16_t parts[8];
      uint16_t port;
    } ip6;
  };
} address;

typedef struct {
  address at;
  uint32_t type;
} info;

typedef struct {
  uint32_t type, family;
  uint8_t counts;
} hints;

typedef struct {
  void *buffer;
  uint32_t size;
} iovec;

enum { DGRAM = 0, STREAM = 1, INET4 = 0, INET6 = 1, ANY = 2 };

WAMR("sock_open") int32_t sock_open(int32_t pool, int32_t family, int32_t type, int32_t *fd);
WAMR("sock_bind") int32_t sock_bind(int32_t fd, const address *at);
WAMR("sock_listen") int32_t sock_listen(int32_t fd, int32_t backlog);
WAMR("sock_accept") int32_t sock_accept(int32_t fd, int32_t flags, int32_t *connection);
WAMR("sock_connect") int32_t sock_connect(int32_t fd, const address *at);
WAMR("sock_close") int32_t sock_close(int32_t fd);
WAMR("sock_addr_local") int32_t sock_addr_local(int32_t fd, address *at);
WAMR("sock_addr_remote") int32_t sock_addr_remote(int32_t fd, address *at);
WAMR("sock_addr_resolve")
int32_t sock_addr_resolve(const char *name, const char *service, const hints *hints, info *found, uint32_t room,
                          uint32_t *count);
WAMR("sock_recv")
int32_t sock_recv(int32_t fd, const iovec *iovs, int32_t count, int32_t flags, uint32_t *size, uint16_t *roflags);
WAMR("sock_send") int32_t sock_send(int32_t fd, const iovec *iovs, int32_t count, int32_t flags, uint32_t *size);
WAMR("sock_recv_from")
int32_t sock_recv_from(int32_t fd, const iovec *iovs, int32_t count, int32_t flags, address *from, uint32_t *size);
WAMR("sock_send_to")
int32_t sock_send_to(int32_t fd, const iovec *iovs, int32_t count, int32_t flags, const address *to, uint32_t *size);
WAMR("sock_set_reuse_addr") int32_t set_reuse_addr(int32_t fd, int32_t on);
WAMR("sock_get_reuse_addr") int32_t get_reuse_addr(int32_t fd, uint8_t *on);
WAMR("sock_set_recv_timeout") int32_t set_recv_timeout(int32_t fd, uint64_t micro);
WAMR("sock_get_recv_timeout") int32_t get_recv_timeout(int32_t fd, uint64_t *micro);
WAMR("sock_set_linger") int32_t set_linger(int32_t fd, int32_t on, int32_t seconds);
WAMR("sock_get_linger") int32_t get_linger(int32_t fd, uint8_t *on, int32_t *seconds);
WAMR("sock_set_tcp_keep_idle") int32_t set_keep_idle(int32_t fd, int32_t seconds);
WAMR("sock_get_tcp_keep_idle") int32_t get_keep_idle(int32_t fd, uint32_t *seconds);
WAMR("sock_set_tcp_no_delay") int32_t set_no_delay(int32_t fd, int32_t on);
WAMR("sock_get_tcp_no_delay") int32_t get_no_delay(int32_t fd, uint8_t *on);
WAMR("sock_set_ipv6_only") int32_t set_ipv6_only(int32_t fd, int32_t on);
WAMR("sock_get_ip_ttl") int32_t get_ip_ttl(int32_t fd, uint8_t *ttl);
WAMR("sock_set_ip_multicast_loop") int32_t set_loop(int32_t fd, int32_t ipv6, int32_t on);
WAMR("sock_get_ip_multicast_loop") int32_t get_loop(int32_t fd, int32_t ipv6, uint8_t *on);
WAMR("sock_set_ip_add_membership") int32_t add_membership(int32_t fd, const void *group, uint32_t interface);

static void must(const char *what, int32_t error) {
  if (!error) return;
  printf("%s: %d\n", what, (int)error);
  exit(1);
}

static void show(const char *what, const address *at) {
  const uint8_t *b = at->ip4.bytes;
  if (at->kind == INET4) printf("%s %d.%d.%d.%d %d\n", what, b[0], b[1], b[2], b[3], at->ip4.port);
  if (at->kind == INET6) printf("%s ipv6 %x..%x\n", what, at->ip6.parts[0], at->ip6.parts[7]);
}

/* tcp PORT FAMILY: answer one connection with what it says */
static void tcp(int port, int family) {
  int32_t fd, connection;
  must("open", sock_open(-1, family, STREAM, &fd));
  must("reuse", set_reuse_addr(fd, 1));
  address at = {.kind = (uint32_t)family};
  if (family == INET4) at.ip4.port = (uint16_t)port;
  else at.ip6.port = (uint16_t)port;
  must("bind", sock_bind(fd, &at));
  must("listen", sock_listen(fd, 1));
  must("local", sock_addr_local(fd, &at));
  show("ready", &at);
  fflush(stdout);
  must("accept", sock_accept(fd, 0, &connection));
  must("remote", sock_addr_remote(connection, &at));
  printf("peer %u\n", (unsigned)at.kind);
  char buffer[64];
  uint32_t size;
  uint16_t flags;
  must("recv", sock_recv(connection, &(iovec){buffer, sizeof buffer}, 1, 0, &size, &flags));
  must("send", sock_send(connection, &(iovec){buffer, size}, 1, 0, &size));
  must("close", sock_close(connection));
  must("close", sock_close(fd));
  printf("closed again: %d\n", (int)sock_close(fd));
}

/* udp PORT: answer one datagram */
static void udp(int port) {
  int32_t fd;
  must("open", sock_open(-1, INET4, DGRAM, &fd));
  address at = {.kind = INET4, .ip4 = {.port = (uint16_t)port}};
  must("bind", sock_bind(fd, &at));
  puts("ready");
  fflush(stdout);
  char buffer[64];
  uint32_t size;
  must("recv_from", sock_recv_from(fd, &(iovec){buffer, sizeof buffer}, 1, 0, &at, &size));
  show("from", &at);
  must("send_to", sock_send_to(fd, &(iovec){buffer, size}, 1, 0, &at, &size));
}

/* call NAME PORT FAMILY */
static void call(const char *name, const char *port, uint32_t family) {
  info found[4];
  uint32_t count, size;
  hints wanted = {STREAM, family, 1};
  must("resolve", sock_addr_resolve(name, port, &wanted, found, 4, &count));
  printf("found %u, type %u\n", (unsigned)count, (unsigned)found[0].type);
  show("first", &found[0].at);
  int32_t fd;
  must("open", sock_open(-1, (int32_t)found[0].at.kind, STREAM, &fd));
  must("connect", sock_connect(fd, &found[0].at));
  must("send", sock_send(fd, &(iovec){"hello\n", 6}, 1, 0, &size));
  char buffer[64];
  uint16_t flags;
  must("recv", sock_recv(fd, &(iovec){buffer, sizeof buffer}, 1, 0, &size, &flags));
  fwrite(buffer, 1, size, stdout);
}

static void options(void) {
  int32_t fd, six, datagram, seconds;
  uint8_t on, ttl;
  uint32_t idle;
  uint64_t micro;
  must("open", sock_open(-1, INET4, STREAM, &fd));
  must("open", sock_open(-1, INET6, STREAM, &six));
  must("open", sock_open(-1, INET4, DGRAM, &datagram));
  must("set reuse", set_reuse_addr(fd, 1));
  must("get reuse", get_reuse_addr(fd, &on));
  printf("reuse %d", on);
  must("set timeout", set_recv_timeout(fd, 1500000));
  must("get timeout", get_recv_timeout(fd, &micro));
  printf(" timeout %llu", micro);
  must("set linger", set_linger(fd, 1, 7));
  must("get linger", get_linger(fd, &on, &seconds));
  printf(" linger %d %d", on, (int)seconds);
  must("set idle", set_keep_idle(fd, 42));
  must("get idle", get_keep_idle(fd, &idle));
  printf(" idle %u", (unsigned)idle);
  must("set no delay", set_no_delay(fd, 1));
  must("get no delay", get_no_delay(fd, &on));
  printf(" no delay %d", on);
  must("v6 only", set_ipv6_only(six, 1));
  must("ttl", get_ip_ttl(fd, &ttl));
  printf(" ttl %d", ttl);
  must("set loop", set_loop(datagram, 0, 0));
  must("get loop", get_loop(datagram, 0, &on));
  printf(" loop %d", on);
  address group = {.kind = INET4, .ip4 = {{224, 0, 0, 251}, 0}};
  printf(" member %d\n", (int)add_membership(datagram, &group, 0x0100007f));
}

int main(int argc, char **argv) {
  const char *action = argc > 1 ? argv[1] : "", *first = argc > 2 ? argv[2] : "", *second = argc > 3 ? argv[3] : "";
  if (!strcmp(action, "tcp")) tcp(atoi(first), atoi(second));
  else if (!strcmp(action, "udp")) udp(atoi(first));
  else if (!strcmp(action, "call")) call(first, second, argc > 4 ? (uint32_t)atoi(argv[4]) : ANY);
  else if (!strcmp(action, "options")) options();
  else return 2;
  return 0;
}
