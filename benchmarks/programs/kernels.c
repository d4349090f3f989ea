// Seven kernels, each the same work natively and as a module: a line per kernel on stderr, its name, nanoseconds of CPU time, and a
// checksum that must be the same in both. The first is a mix after CoreMark's: a linked list, a matrix, a state machine
// and a CRC over what they give.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __wasi__
#include <wasi/api.h>
#endif

static uint32_t random_state = 1;
static uint32_t next_random(void) { return random_state = random_state * 1664525u + 1013904223u; }

struct node {
  struct node *next;
  int16_t key, value;
};
static uint16_t crc16(uint16_t crc, uint16_t value) {
  for (int i = 0; i < 16; i++, value >>= 1) crc = (uint16_t)((crc >> 1) ^ (((crc ^ value) & 1) ? 0xa001 : 0));
  return crc;
}
static struct node *merge(struct node *a, struct node *b) {
  struct node head, *tail = &head;
  while (a && b) {
    struct node **less = a->key <= b->key ? &a : &b;
    tail = tail->next = *less;
    *less = (*less)->next;
  }
  tail->next = a ? a : b;
  return head.next;
}
static struct node *sort_list(struct node *list) {
  if (!list || !list->next) return list;
  struct node *slow = list, *fast = list->next;
  while (fast && fast->next) slow = slow->next, fast = fast->next->next;
  struct node *half = slow->next;
  slow->next = NULL;
  return merge(sort_list(list), sort_list(half));
}
// Numbers as CoreMark's states see them: integer, fraction, exponent, or wrong.
static int classify(const char **text) {
  enum { START, INTEGER, FRACTION, EXPONENT, WRONG } state = START;
  for (; **text && **text != ','; ++*text) {
    char c = **text;
    int digit = c >= '0' && c <= '9';
    switch (state) {
      case START: state = digit || c == '-' || c == '+' ? INTEGER : c == '.' ? FRACTION : WRONG; break;
      case INTEGER: state = digit ? INTEGER : c == '.' ? FRACTION : c == 'e' ? EXPONENT : WRONG; break;
      case FRACTION: state = digit ? FRACTION : c == 'e' ? EXPONENT : WRONG; break;
      case EXPONENT: state = digit || c == '-' || c == '+' ? EXPONENT : WRONG; break;
      case WRONG: break;
    }
  }
  if (**text) ++*text;
  return state;
}
static uint64_t integer_mix(void) {
  static struct node nodes[400];
  static int16_t a[24][24], b[24][24];
  uint16_t crc = 0xffff;
  for (int round = 0; round < 600; round++) {
    for (int i = 0; i < 400; i++) {
      uint32_t r = next_random();
      nodes[i] = (struct node){i + 1 < 400 ? &nodes[i + 1] : NULL, (int16_t)r, (int16_t)(r >> 16)};
    }
    for (struct node *at = sort_list(nodes); at; at = at->next)
      if (at->value & 1) crc = crc16(crc, (uint16_t)at->key);
    for (int i = 0; i < 576; i++) a[i / 24][i % 24] = (int16_t)next_random(), b[i / 24][i % 24] = (int16_t)(next_random() >> 8);
    for (int i = 0; i < 24; i++)
      for (int j = 0; j < 24; j++) {
        int32_t sum = 0;
        for (int k = 0; k < 24; k++) sum += a[i][k] * (b[k][j] >> 4);
        if (i == j) crc = crc16(crc, (uint16_t)(sum >> 2));
      }
    const char *text = "5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,T0.3e-1F,1x";
    while (*text) crc = crc16(crc, (uint16_t)classify(&text));
  }
  return crc;
}

static uint64_t matrix(void) {
  enum { N = 220 };
  static double a[N][N], b[N][N], c[N][N];
  for (int i = 0; i < N * N; i++) a[i / N][i % N] = i % 7 * 0.5, b[i / N][i % N] = i % 11 * 0.25;
  memset(c, 0, sizeof c);
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++)
      for (int j = 0; j < N; j++) c[i][j] += a[i][k] * b[k][j];
  double sum = 0;
  for (int i = 0; i < N; i++) sum += c[i][i];
  return (uint64_t)sum;
}
static uint64_t sieve(void) {
  enum { N = 4000000 };
  static uint8_t composite[N];
  memset(composite, 0, N);
  uint64_t count = 0;
  for (uint32_t i = 2; i < N; i++) {
    if (composite[i]) continue;
    count++;
    for (uint64_t j = (uint64_t)i * i; j < N; j += i) composite[j] = 1;
  }
  return count;
}
static uint64_t mandelbrot(void) {
  uint64_t inside = 0;
  for (int y = 0; y < 160; y++)
    for (int x = 0; x < 160; x++) {
      double cr = x / 80.0 - 1.5, ci = y / 80.0 - 1.0, r = 0, i = 0;
      int n = 0;
      for (; n < 200 && r * r + i * i < 4; n++) {
        double t = r * r - i * i + cr;
        i = 2 * r * i + ci;
        r = t;
      }
      inside += n == 200;
    }
  return inside;
}
static uint64_t quicksort(void) {
  enum { N = 300000 };
  static int32_t data[N];
  static struct { int low, high; } stack[64];
  for (int i = 0; i < N; i++) data[i] = (int32_t)next_random();
  int depth = 0;
  stack[depth].low = 0, stack[depth++].high = N - 1;
  while (depth) {
    int low = stack[--depth].low, high = stack[depth].high, i = low, j = high;
    int32_t pivot = data[low + (high - low) / 2];
    while (i <= j) {
      while (data[i] < pivot) i++;
      while (data[j] > pivot) j--;
      if (i <= j) {
        int32_t t = data[i];
        data[i++] = data[j], data[j--] = t;
      }
    }
    int left_first = j - low > high - i;
    if (left_first && low < j) stack[depth].low = low, stack[depth++].high = j;
    if (i < high) stack[depth].low = i, stack[depth++].high = high;
    if (!left_first && low < j) stack[depth].low = low, stack[depth++].high = j;
  }
  uint64_t sum = 0;
  for (int i = 0; i < N; i += 1000) sum = sum * 31 + (uint32_t)data[i];
  return sum;
}
static uint64_t blur(void) {
  enum { W = 640, H = 480 };
  static uint8_t from[H][W], to[H][W];
  for (int i = 0; i < W * H; i++) from[i / W][i % W] = (uint8_t)next_random();
  for (int round = 0; round < 12; round++) {
    for (int y = 1; y < H - 1; y++)
      for (int x = 1; x < W - 1; x++)
        to[y][x] = (uint8_t)((from[y - 1][x] + from[y + 1][x] + from[y][x - 1] + from[y][x + 1] + 4 * from[y][x]) >> 3);
    memcpy(from, to, sizeof to);
  }
  uint64_t sum = 0;
  for (int i = 0; i < W * H; i++) sum += to[i / W][i % W];
  return sum;
}
static uint64_t hash(void) {
  static uint8_t data[1 << 20];
  uint64_t value = 14695981039346656037u;
  for (int i = 0; i < 1 << 20; i++) data[i] = (uint8_t)(i * 7);
  for (int round = 0; round < 12; round++)
    for (int i = 0; i < 1 << 20; i++) value = (value ^ data[i]) * 1099511628211u;
  return value;
}

static const struct {
  const char *name;
  uint64_t (*run)(void);
} kernels[] = {{"integer_mix", integer_mix}, {"matrix", matrix},       {"sieve", sieve}, {"mandelbrot", mandelbrot},
               {"quicksort", quicksort},     {"blur", blur},           {"hash", hash}};

// CPU time in nanoseconds, so that what else the machine does is not counted.
static long long now(void) {
#ifdef __wasi__
  __wasi_timestamp_t taken = 0;
  (void)!__wasi_clock_time_get(__WASI_CLOCKID_PROCESS_CPUTIME_ID, 1, &taken);
  return (long long)taken;
#else
  struct timespec taken;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &taken);
  return taken.tv_sec * 1000000000ll + taken.tv_nsec;
#endif
}

int main(void) {
  for (unsigned i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    random_state = 1;
    long long before = now();
    uint64_t sum = kernels[i].run();
    long long taken = now() - before;
    fprintf(stderr, "%s %lld %llu\n", kernels[i].name, taken, (unsigned long long)sum);
  }
}
