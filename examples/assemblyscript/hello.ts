// npx asc hello.ts -O --use abort= -o hello.wasm
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, iovs: usize, count: i32, written: usize): i32;
@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, size: usize): i32;

const place = memory.data(16);

export function _start(): void {
  args_sizes_get(place, place + 4);
  const text = String.UTF8.encode(`Hello from AssemblyScript! ${load<u32>(place) - 1} arguments\n`);
  store<u32>(place, changetype<usize>(text));
  store<u32>(place + 4, text.byteLength);
  fd_write(1, place, 1, place + 8);
}
