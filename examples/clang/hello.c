// The image needs gen/llvm.core.wasm and gen/llvm-resources.tar of npm's @yowasp/clang beside the Dockerfile. Then:
//   docker run --rm -v .:/work clang clang -O1 -c hello.c
//   docker run --rm -v .:/work clang wasm-ld -L/usr/lib/wasm32-wasip1 /usr/lib/wasm32-wasip1/crt1-command.o hello.o \
//     -lc /usr/lib/wasm32-unknown-wasip1/libclang_rt.builtins.a -o hello.wasm
#include <stdio.h>

int main(void) {
  printf("Hello from C, compiled in a container!\n");
}
