/* The sockets that WasmEdge adds to WASI preview 1, second version: what a server and a client need of them.
 *
 * All functions answer with an errno of WASI. Ports are in the program's own byte order; addresses are 128 bytes: the
 * family in the first two, then 4 bytes of IPv4, 16 of IPv6, or a path.
 * https://github.com/WasmEdge/WasmEdge/blob/master/lib/host/wasi/wasifunc.cpp
 */
#pragma once
#include <stdint.h>

#define WASMEDGE(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))

enum { WE_INET4 = 1, WE_INET6 = 2, WE_UNIX = 3 };
enum { WE_DGRAM = 1, WE_STREAM = 2 };

typedef struct {
  uint16_t family;
  uint8_t bytes[126];
} we_storage;

typedef struct {
  void *buffer;
  uint32_t size;
} we_address;

WASMEDGE("sock_open_v2") int32_t we_open(int32_t family, int32_t type, int32_t *fd);
WASMEDGE("sock_bind_v2") int32_t we_bind(int32_t fd, const we_address *address, int32_t port);
WASMEDGE("sock_listen_v2") int32_t we_listen(int32_t fd, int32_t backlog);
WASMEDGE("sock_accept_v2") int32_t we_accept(int32_t fd, int32_t fdflags, int32_t *connection);
WASMEDGE("sock_connect_v2") int32_t we_connect(int32_t fd, const we_address *address, int32_t port);
WASMEDGE("sock_setsockopt")
int32_t we_setsockopt(int32_t fd, int32_t level, int32_t name, const void *value, uint32_t size);
