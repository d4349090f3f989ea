/* Threads in C without a C library: zig has none for wasi-threads yet. Each thread gets a stack of its own, and a word to
 * report in; a lock of atomics and futexes guards a counter that is not atomic itself. Built with shared, imported memory,
 * so that the linker's own start function lays out the data once for all instances. */
typedef unsigned int u32;

__attribute__((import_module("wasi"), import_name("thread-spawn"))) int spawn(void *start);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write"))) int
fd_write(int fd, const void *iovecs, int count, u32 *written);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_exit"), noreturn)) void proc_exit(int code);

enum { THREADS = 16, ROUNDS = 5000, STACK = 4096 };

struct start {
    char *stack_top; /* first: wasi_thread_start below takes it from here */
    int id, sum;
};

static char stacks[THREADS][STACK] __attribute__((aligned(16)));
static struct start starts[THREADS];
static int locked, done, counter = 1000; /* initialised data: laid out once, and not again by each instance */

static void lock(void) {
    while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE)) __builtin_wasm_memory_atomic_wait32(&locked, 1, 1000000);
}

static void unlock(void) {
    __atomic_store_n(&locked, 0, __ATOMIC_RELEASE);
    __builtin_wasm_memory_atomic_notify((void *)&locked, 1);
}

/* Needs some stack, which would be clobbered by another thread's if they had the same. */
__attribute__((noinline)) static int deep(int n, volatile int *above) {
    volatile int here = n;
    int sum = n ? deep(n - 1, &here) : 0;
    return sum + here + *above - *above;
}

void thread_main(int id, struct start *mine) {
    volatile int top = id;
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 500 == 0) mine->sum += deep(20, &top);
        lock();
        counter++;
        unlock();
    }
    mine->id = id;
    __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
    __builtin_wasm_memory_atomic_notify(&done, 1);
}

__asm__(".globaltype __stack_pointer, i32\n"
        ".functype thread_main (i32, i32) -> ()\n"
        ".globl wasi_thread_start\n"
        ".type wasi_thread_start,@function\n"
        ".export_name wasi_thread_start, wasi_thread_start\n"
        "wasi_thread_start:\n"
        "  .functype wasi_thread_start (i32, i32) -> ()\n"
        "  local.get 1\n"
        "  i32.load 0\n"
        "  global.set __stack_pointer\n"
        "  local.get 0\n"
        "  local.get 1\n"
        "  call thread_main\n"
        "  end_function\n");

static void say(const char *text, u32 size) {
    const struct { const char *at; u32 size; } iovec = { text, size };
    u32 written;
    fd_write(1, &iovec, 1, &written);
}

__attribute__((export_name("_start"))) void start(void) {
    int ids[THREADS];
    for (int n = 0; n < THREADS; n++) {
        starts[n].stack_top = stacks[n] + STACK;
        ids[n] = spawn(&starts[n]);
        if (ids[n] <= 0) proc_exit(1);
    }
    for (int now; (now = __atomic_load_n(&done, __ATOMIC_SEQ_CST)) < THREADS;)
        __builtin_wasm_memory_atomic_wait32(&done, now, -1);
    for (int n = 0; n < THREADS; n++)
        if (starts[n].id != ids[n] || starts[n].sum != 2100) proc_exit(2);
    if (counter != 1000 + THREADS * ROUNDS) proc_exit(3);
    say("all met\n", 8);
}
