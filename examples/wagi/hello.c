/* A web page by CGI: the header, an empty line, the body. */
#include <stdio.h>

int main(void) {
    puts("Content-Type: text/plain\n\nHello from WAGI!");
    return 0;
}
