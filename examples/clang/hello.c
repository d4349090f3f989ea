#include <stdio.h>

int main(void) {
  printf("Hello from C, compiled in a container!\n");
}
