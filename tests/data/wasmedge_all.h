/* WasmEdge's other functions, first and second version, as these tests' programs import them. */
#pragma once
#include "../../examples/http/wasmedge.h"

typedef struct {
  void *buffer;
  uint32_t size;
} we_iovec;

typedef struct {
  uint8_t family;
  uint32_t size;
  void *data;
} we_sockaddr;

typedef struct we_addrinfo {
  uint16_t flags;
  uint8_t family, type, protocol;
  uint32_t address_size;
  we_sockaddr *address;
  char *name;
  uint32_t name_size;
  struct we_addrinfo *next;
} we_addrinfo;

WASMEDGE("sock_open") int32_t we1_open(int32_t family, int32_t type, int32_t *fd);
WASMEDGE("sock_bind") int32_t we1_bind(int32_t fd, const we_address *address, int32_t port);
WASMEDGE("sock_listen") int32_t we1_listen(int32_t fd, int32_t backlog);
WASMEDGE("sock_accept") int32_t we1_accept(int32_t fd, int32_t *connection);
WASMEDGE("sock_connect") int32_t we1_connect(int32_t fd, const we_address *address, int32_t port);
WASMEDGE("sock_getlocaladdr") int32_t we1_local(int32_t fd, we_address *address, uint32_t *type, uint32_t *port);
WASMEDGE("sock_getpeeraddr") int32_t we1_peer(int32_t fd, we_address *address, uint32_t *type, uint32_t *port);
WASMEDGE("sock_recv_from")
int32_t we1_recv_from(int32_t fd, const we_iovec *iovs, int32_t count, we_address *address, int32_t flags,
                      uint32_t *size, uint16_t *roflags);
WASMEDGE("sock_send_to")
int32_t we1_send_to(int32_t fd, const we_iovec *iovs, int32_t count, const we_address *address, int32_t port,
                    int32_t flags, uint32_t *size);
WASMEDGE("sock_recv")
int32_t we_recv(int32_t fd, const we_iovec *iovs, int32_t count, int32_t flags, uint32_t *size, uint16_t *roflags);
WASMEDGE("sock_send")
int32_t we_send(int32_t fd, const we_iovec *iovs, int32_t count, int32_t flags, uint32_t *size);
WASMEDGE("sock_recv_from_v2")
int32_t we_recv_from(int32_t fd, const we_iovec *iovs, int32_t count, we_address *address, int32_t flags,
                     uint16_t *port, uint32_t *size, uint16_t *roflags);
WASMEDGE("sock_send_to_v2")
int32_t we_send_to(int32_t fd, const we_iovec *iovs, int32_t count, const we_address *address, int32_t port,
                   int32_t flags, uint32_t *size);
WASMEDGE("sock_getlocaladdr_v2") int32_t we_local(int32_t fd, we_address *address, uint32_t *port);
WASMEDGE("sock_getpeeraddr_v2") int32_t we_peer(int32_t fd, we_address *address, uint32_t *port);
WASMEDGE("sock_shutdown") int32_t we_shutdown(int32_t fd, int32_t how);
WASMEDGE("sock_getsockopt") int32_t we_getsockopt(int32_t fd, int32_t level, int32_t name, void *value, uint32_t *size);
WASMEDGE("sock_getaddrinfo")
int32_t we_getaddrinfo(const char *node, uint32_t node_size, const char *service, uint32_t service_size,
                       const we_addrinfo *hints, we_addrinfo **found, uint32_t room, uint32_t *count);
