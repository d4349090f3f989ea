/* A handler of wasi:http, without any library: the first words of the path say what it does, well or badly. With
 * -DHELLO it is the smallest one that says hello. The names are the canonical ABI's of wasi:http/proxy. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define VERSION "@0.2.12"
#define HOST(interface, name) __attribute__((import_module("wasi:" interface VERSION), import_name(name)))
#define NONE 0, 0, 0, 0, 0, 0

HOST("http/types", "[constructor]fields") u32 fields_new(void);
HOST("http/types", "[method]fields.append") void fields_append(u32, const void *, u32, const void *, u32, void *);
HOST("http/types", "[method]fields.entries") void fields_entries(u32, void *);
HOST("http/types", "[constructor]outgoing-response") u32 response_new(u32);
HOST("http/types", "[method]outgoing-response.set-status-code") u32 response_status(u32, u32);
HOST("http/types", "[method]outgoing-response.body") void response_body(u32, void *);
HOST("http/types", "[method]outgoing-body.write") void body_write(u32, void *);
HOST("http/types", "[static]outgoing-body.finish") void body_finish(u32, u32, u32, void *);
HOST("http/types", "[resource-drop]outgoing-body") void body_drop(u32);
HOST("http/types", "[resource-drop]outgoing-response") void response_drop(u32);
HOST("http/types", "[resource-drop]fields") void fields_drop(u32);
HOST("http/types", "[static]response-outparam.set")
void outparam_set(u32, u32, u32, u32, u64, u32, u32, u32, u32);
HOST("http/types", "[resource-drop]response-outparam") void outparam_drop(u32);
HOST("http/types", "[method]incoming-request.path-with-query") void request_path(u32, void *);
HOST("http/types", "[method]incoming-request.method") void request_method(u32, void *);
HOST("http/types", "[method]incoming-request.authority") void request_authority(u32, void *);
HOST("http/types", "[method]incoming-request.headers") u32 request_headers(u32);
HOST("http/types", "[method]incoming-request.consume") void request_consume(u32, void *);
HOST("http/types", "[resource-drop]incoming-request") void request_drop(u32);
HOST("http/types", "[method]incoming-body.stream") void incoming_stream(u32, void *);
HOST("http/types", "[static]incoming-body.finish") u32 incoming_finish(u32);
HOST("http/types", "[method]future-trailers.get") void trailers_get(u32, void *);
HOST("http/types", "[method]future-trailers.subscribe") u32 trailers_subscribe(u32);
HOST("http/types", "[resource-drop]future-trailers") void trailers_drop(u32);
HOST("http/types", "[constructor]outgoing-request") u32 outgoing_new(u32);
HOST("http/types", "[method]outgoing-request.set-method") u32 outgoing_method(u32, u32, const void *, u32);
HOST("http/types", "[method]outgoing-request.set-path-with-query") u32 outgoing_path(u32, u32, const void *, u32);
HOST("http/types", "[method]outgoing-request.set-authority") u32 outgoing_authority(u32, u32, const void *, u32);
HOST("http/types", "[method]outgoing-request.set-scheme") u32 outgoing_scheme(u32, u32, u32, const void *, u32);
HOST("http/types", "[method]outgoing-request.body") void outgoing_body(u32, void *);
HOST("http/types", "[constructor]request-options") u32 options_new(void);
HOST("http/types", "[method]request-options.set-connect-timeout") u32 options_connect(u32, u32, u64);
HOST("http/types", "[method]request-options.set-first-byte-timeout") u32 options_first(u32, u32, u64);
HOST("http/types", "[method]request-options.set-between-bytes-timeout") u32 options_between(u32, u32, u64);
HOST("http/outgoing-handler", "handle") void outgoing_handle(u32, u32, u32, void *);
HOST("http/types", "[method]future-incoming-response.subscribe") u32 future_subscribe(u32);
HOST("http/types", "[method]future-incoming-response.get") void future_get(u32, void *);
HOST("http/types", "[resource-drop]future-incoming-response") void future_drop(u32);
HOST("http/types", "[method]incoming-response.status") u32 answer_status(u32);
HOST("http/types", "[method]incoming-response.headers") u32 answer_headers(u32);
HOST("http/types", "[method]incoming-response.consume") void answer_consume(u32, void *);
HOST("http/types", "[resource-drop]incoming-response") void answer_drop(u32);
HOST("io/streams", "[method]input-stream.blocking-read") void stream_read(u32, u64, void *);
HOST("io/streams", "[method]input-stream.read") void stream_read_now(u32, u64, void *);
HOST("io/streams", "[method]input-stream.subscribe") u32 stream_subscribe(u32);
HOST("io/streams", "[resource-drop]input-stream") void input_drop(u32);
HOST("io/streams", "[method]output-stream.blocking-write-and-flush") void stream_write(u32, const void *, u32, void *);
HOST("io/streams", "[method]output-stream.check-write") void stream_check(u32, void *);
HOST("io/streams", "[method]output-stream.write") void stream_put(u32, const void *, u32, void *);
HOST("io/streams", "[method]output-stream.subscribe") u32 output_subscribe(u32);
HOST("io/streams", "[method]output-stream.blocking-flush") void stream_flush(u32, void *);
HOST("io/streams", "[method]output-stream.blocking-splice") void stream_splice(u32, u32, u64, void *);
HOST("io/streams", "[resource-drop]output-stream") void output_drop(u32);
HOST("io/poll", "[method]pollable.block") void pollable_block(u32);
HOST("io/poll", "[resource-drop]pollable") void pollable_drop(u32);
HOST("clocks/monotonic-clock", "subscribe-duration") u32 after(u64);

static u8 arena[4 << 20];
static u32 used;
static u8 area[256] __attribute__((aligned(8)));
static u32 calls;

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
  u32 at = (used + align - 1) & ~(align - 1);
  if (at + size > sizeof arena) __builtin_trap();
  used = at + size;
  for (u32 i = 0; i < old_size && i < size; i++) arena[at + i] = ((u8 *)old)[i];
  return arena + at;
}

static u32 word(u32 offset) { return *(u32 *)(area + offset); }

/* The handle in a result<own<T>>. */
static u32 taken(void) {
  if (area[0]) __builtin_trap();
  return word(4);
}

static u32 length(const char *text) {
  u32 n = 0;
  while (text[n]) n++;
  return n;
}

static int same(const char *text, const u8 *data, u32 size) {
  u32 n = length(text);
  if (n != size) return 0;
  for (u32 i = 0; i < n; i++)
    if ((u8)text[i] != data[i]) return 0;
  return 1;
}

static u32 append(u32 fields, const char *name, const char *value) {
  fields_append(fields, name, length(name), value, length(value), area);
  return area[0];
}

static u32 stream_of(u32 body) {
  body_write(body, area);
  return taken();
}

static u32 say(u32 stream, const void *data, u32 size) {
  stream_write(stream, data, size, area);
  return area[0];
}

static void text(u32 stream, const char *words) { say(stream, words, length(words)); }

static void number(u32 stream, u32 value) {
  u8 digits[10];
  u32 at = 10;
  do {
    digits[--at] = '0' + value % 10;
    value /= 10;
  } while (value);
  say(stream, digits + at, 10 - at);
}

/* Answers, and gives the body. */
static u32 answer(u32 out, u32 status, u32 header) {
  u32 response = response_new(header);
  response_status(response, status);
  response_body(response, area);
  u32 body = taken();
  outparam_set(out, 0, response, NONE);
  return body;
}

static void finish(u32 body) { body_finish(body, 0, 0, area); }

static void whole(u32 out, u32 status, const char *words) {
  u32 header = fields_new();
  append(header, "content-type", "text/plain");
  u32 body = answer(out, status, header), stream = stream_of(body);
  text(stream, words);
  output_drop(stream);
  finish(body);
}

#ifdef HELLO

__attribute__((export_name("wasi:http/incoming-handler" VERSION "#handle"))) void handle(u32 request, u32 out) {
  whole(out, 200, "Hello from a component!\n");
}

#else

static u32 body_of(u32 request) {
  request_consume(request, area);
  return taken();
}

static u32 input_of(u32 body) {
  incoming_stream(body, area);
  return taken();
}

/* All of one stream to another; what a list is lifted into is used again each time. */
static void copy(u32 from, u32 to) {
  u32 mark = used;
  for (;;) {
    used = mark;
    stream_read(from, 65536, area);
    if (area[0]) return;
    u8 *data = (u8 *)word(4);
    u32 size = word(8);
    while (size) {
      u32 part = size < 4096 ? size : 4096;
      if (say(to, data, part)) return;
      data += part, size -= part;
    }
  }
}

/* The same as copy in pieces as large as the host takes. */
static void pour(u32 from, u32 to) {
  u32 mark = used, wait = output_subscribe(to);
  for (;;) {
    used = mark;
    stream_read(from, 65536, area);
    if (area[0]) break;
    u8 *data = (u8 *)word(4);
    u32 size = word(8);
    while (size) {
      pollable_block(wait);
      stream_check(to, area);
      if (area[0]) break;
      u32 room = word(8) < size ? word(8) : size;
      stream_put(to, data, room, area);
      if (area[0]) break;
      data += room, size -= room;
    }
  }
  pollable_drop(wait);
  stream_flush(to, area);
}

static void splice(u32 from, u32 to) {
  for (;;) {
    stream_splice(to, from, 65536, area);
    if (area[0]) return;
  }
}

static void move(u32 request, u32 out, void (*by)(u32, u32)) {
  u32 incoming = body_of(request), from = input_of(incoming);
  u32 body = answer(out, 200, fields_new()), to = stream_of(body);
  by(from, to);
  input_drop(from);
  output_drop(to);
  u32 future = incoming_finish(incoming);
  trailers_get(future, area);
  /* option<result<result<option<trailers>>>>: handed on as they came */
  if (area[0] && !area[8] && !area[16] && area[24])
    body_finish(body, 1, word(28), area);
  else
    finish(body);
}

static void count(u32 request, u32 out) {
  u32 incoming = body_of(request), from = input_of(incoming), total = 0, mark = used;
  for (;;) {
    used = mark;
    stream_read(from, 65536, area);
    if (area[0]) break;
    total += word(8);
  }
  u32 body = answer(out, 200, fields_new()), to = stream_of(body);
  number(to, total);
  output_drop(to);
  finish(body);
}

static void headers(u32 request, u32 out) {
  u32 body = answer(out, 200, fields_new()), to = stream_of(body), from = request_headers(request);
  request_method(request, area);
  u32 method = area[0];
  text(to, "method ");
  number(to, method);
  text(to, "\nauthority ");
  request_authority(request, area);
  if (area[0]) say(to, (void *)word(4), word(8));
  text(to, "\n");
  text(to, append(from, "a", "b") ? "immutable\n" : "mutable\n");
  fields_entries(from, area);
  u32 *entries = (u32 *)word(0), n = word(4);
  for (u32 i = 0; i < n; i++, entries += 4) {
    say(to, (void *)entries[0], entries[1]);
    text(to, "=");
    say(to, (void *)entries[2], entries[3]);
    text(to, "\n");
  }
  output_drop(to);
  finish(body);
}

static void many(u32 out) {
  u32 header = fields_new(), refused = 0;
  for (u32 i = 0; i < 10000; i++) refused += append(header, "x-many", "yes");
  u32 body = answer(out, 200, header), to = stream_of(body);
  number(to, refused);
  output_drop(to);
  finish(body);
}

static void newline(u32 out) {
  u32 header = fields_new();
  u32 bad = append(header, "x-split", "a\r\nset-cookie: evil"), forbidden = append(header, "connection", "close");
  u32 name = append(header, "x split", "a");
  whole(out, bad && forbidden && name ? 200 : 500, bad && forbidden && name ? "refused\n" : "taken\n");
}

static void events(u32 out) {
  u32 body = answer(out, 200, fields_new()), to = stream_of(body);
  for (u32 i = 0; i < 3; i++) {
    text(to, "event ");
    number(to, i);
    text(to, "\n");
    u32 wait = after(100000000);
    pollable_block(wait);
    pollable_drop(wait);
  }
  output_drop(to);
  finish(body);
}

static void trailers(u32 out) {
  u32 body = answer(out, 200, fields_new()), to = stream_of(body), found = fields_new();
  text(to, "body\n");
  output_drop(to);
  append(found, "x-sum", "abc");
  body_finish(body, 1, found, area);
}

static void sized(u32 out, const char *size, const char *words) {
  u32 header = fields_new();
  append(header, "content-length", size);
  u32 body = answer(out, 200, header), to = stream_of(body);
  text(to, words);
  output_drop(to);
  body_finish(body, 0, 0, area);
}

static void late(u32 out) {
  u32 body = answer(out, 200, fields_new()), to = stream_of(body);
  text(to, "begun\n");
  text(to, "more\n");
}

/* /fetch/AUTHORITY/PATH: asks there, with this request's body, and answers with the answer; /fetchs by https, /hasty by
   https and with little patience. */
static void fetch(u32 request, u32 out, u8 *at, u32 size, u32 scheme, u64 patience) {
  u32 cut = 0;
  while (cut < size && at[cut] != '/') cut++;
  u32 asked = outgoing_new(fields_new());
  request_method(request, area);
  outgoing_method(asked, area[0], 0, 0);
  outgoing_scheme(asked, 1, scheme, 0, 0);
  outgoing_authority(asked, 1, at, cut);
  outgoing_path(asked, 1, cut < size ? at + cut : (u8 *)"/", cut < size ? size - cut : 1);
  outgoing_body(asked, area);
  u32 sent = taken();
  u32 options = patience ? options_new() : 0;
  if (patience) {
    options_connect(options, 1, patience);
    options_first(options, 1, patience);
    options_between(options, 1, patience);
  }
  outgoing_handle(asked, patience != 0, options, area);
  if (area[0]) {
    u32 code = area[8];
    body_drop(sent);
    u32 body = answer(out, 500, fields_new()), to = stream_of(body);
    text(to, "refused ");
    number(to, code);
    output_drop(to);
    finish(body);
    return;
  }
  u32 future = word(8), to = stream_of(sent), incoming = body_of(request), from = input_of(incoming);
  copy(from, to);
  input_drop(from);
  output_drop(to);
  finish(sent);
  u32 wait = future_subscribe(future);
  pollable_block(wait);
  pollable_drop(wait);
  future_get(future, area);
  if (!area[0] || area[8] || area[16]) {
    u32 code = area[24];
    u32 body = answer(out, 502, fields_new()), stream = stream_of(body);
    text(stream, "failed ");
    number(stream, code);
    output_drop(stream);
    finish(body);
    return;
  }
  u32 got = word(24), header = fields_new();
  append(header, "x-fetched", "yes");
  u32 status = answer_status(got);
  answer_consume(got, area);
  u32 theirs = taken(), reading = input_of(theirs);
  u32 body = answer(out, status, header), stream = stream_of(body);
  copy(reading, stream);
  input_drop(reading);
  output_drop(stream);
  u32 end = incoming_finish(theirs);
  trailers_drop(end);
  finish(body);
}

static void twice(u32 out) {
  whole(out, 200, "once\n");
  whole(out, 200, "twice\n");
}

static void wrong(u32 out) {
  /* error-code 38, internal-error(some("my fault")) */
  outparam_set(out, 1, 38, 1, (u64)(u32)"my fault", 8, 0, 0, 0);
}

__attribute__((export_name("wasi:http/incoming-handler" VERSION "#handle"))) void handle(u32 request, u32 out) {
  used = 0;
  calls++;
  request_path(request, area);
  u8 *path = (u8 *)word(4);
  u32 size = 0, all = word(8);
  while (size < all && path[size] != '?' && !(size > 1 && path[size] == '/')) size++;
  if (same("/echo", path, size)) move(request, out, copy);
  else if (same("/pour", path, size)) move(request, out, pour);
  else if (same("/splice", path, size)) move(request, out, splice);
  else if (same("/count", path, size)) count(request, out);
  else if (same("/headers", path, size)) headers(request, out);
  else if (same("/many", path, size)) many(out);
  else if (same("/newline", path, size)) newline(out);
  else if (same("/events", path, size)) events(out);
  else if (same("/trailers", path, size)) trailers(out);
  else if (same("/sized", path, size)) sized(out, "6", "sized\n");
  else if (same("/short", path, size)) sized(out, "100", "short");
  else if (same("/long", path, size)) sized(out, "5", "longer than it said");
  else if (same("/status", path, size)) whole(out, 418, "short and stout\n");
  else if (same("/bad-status", path, size)) {
    u32 response = response_new(fields_new());
    whole(out, response_status(response, 99) && response_status(response, 1000) ? 200 : 500, "refused\n");
  } else if (same("/none", path, size)) finish(answer(out, 204, fields_new()));
  else if (same("/no-body", path, size)) outparam_set(out, 0, response_new(fields_new()), NONE);
  else if (same("/dropped", path, size)) outparam_drop(out);
  else if (same("/silent", path, size)) return;
  else if (same("/trap", path, size)) __builtin_trap();
  else if (same("/late-trap", path, size)) late(out), __builtin_trap();
  else if (same("/late-end", path, size)) late(out);
  else if (same("/error", path, size)) wrong(out);
  else if (same("/twice", path, size)) twice(out);
  else if (same("/after-end", path, size)) {
    u32 body = answer(out, 200, fields_new()), to = stream_of(body);
    text(to, "ended\n");
    finish(body); /* a child is alive: a trap */
    text(to, "more\n");
  } else if (same("/spin", path, size)) for (;;) __asm__ volatile("");
  else if (same("/sleep", path, size)) pollable_block(after(60000000000ull));
  else if (same("/late-spin", path, size)) {
    late(out);
    for (;;) __asm__ volatile("");
  } else if (same("/calls", path, size)) {
    u32 body = answer(out, 200, fields_new()), to = stream_of(body);
    number(to, calls);
    output_drop(to);
    finish(body);
  } else if (same("/fetch", path, size)) fetch(request, out, path + 7, all - 7, 0, 0);
  else if (same("/fetchs", path, size)) fetch(request, out, path + 8, all - 8, 1, 0);
  else if (same("/hasty", path, size)) fetch(request, out, path + 7, all - 7, 1, 300000000);
  else whole(out, 200, "Hello from a component!\n");
}

#endif
