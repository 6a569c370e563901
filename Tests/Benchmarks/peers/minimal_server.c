/* The least that a C program needs on Quire's libraries (libuv, nghttp2, protobuf-c) to answer
 * /quire.v1.BlockPool/Allocate: what one would write by hand who knows them well, and nothing else. One
 * loop, one pool whose blocks are handed out in order, no limits, no errors but UNIMPLEMENTED. The
 * reference for what Quire's own part of a call costs.
 *
 *   minimal_server BLOCKS     prints its address, then serves until SIGTERM
 *
 * Known means, all used: a read goes to nghttp2 whole and all answers leave in one uv_try_write; header
 * lists are constant and not copied; nghttp2 and the streams take their memory from free lists; a message
 * is unpacked into an arena and packed where DATA is framed from.
 */
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "quire/v1/block_pool.pb-c.h"

/* Memory: blocks of 64 bytes and their multiples, by lists; a header says which. */

enum { GRANULE = 64, LISTS = 17, HEADER = 16 };
static void *lists[LISTS];

static void *pool_malloc(size_t size, void *unused) {
  (void)unused;
  size_t index = (size + HEADER + GRANULE - 1) / GRANULE;
  char *block;
  if (index >= LISTS) {
    block = malloc(size + HEADER);
    index = 0;
    ((size_t *)block)[1] = size;
  } else if (lists[index]) {
    block = lists[index];
    lists[index] = *(void **)block;
  } else {
    block = malloc(index * GRANULE);
  }
  *(size_t *)block = index;
  return block + HEADER;
}

static void pool_free(void *pointer, void *unused) {
  (void)unused;
  if (!pointer) return;
  char *block = (char *)pointer - HEADER;
  size_t index = *(size_t *)block;
  if (index == 0) {
    free(block);
    return;
  }
  *(void **)block = lists[index];
  lists[index] = block;
}

static void *pool_calloc(size_t count, size_t size, void *unused) {
  void *pointer = pool_malloc(count * size, unused);
  return memset(pointer, 0, count * size);
}

static void *pool_realloc(void *pointer, size_t size, void *unused) {
  if (!pointer) return pool_malloc(size, unused);
  size_t *block = (size_t *)((char *)pointer - HEADER);
  size_t usable = block[0] ? block[0] * GRANULE - HEADER : block[1];
  if (size <= usable) return pointer;
  void *moved = memcpy(pool_malloc(size, unused), pointer, usable);
  pool_free(pointer, unused);
  return moved;
}

static nghttp2_mem memory = {NULL, pool_malloc, pool_free, pool_calloc, pool_realloc};

/* One message's arena. */

static char arena[1 << 16] __attribute__((aligned(16)));
static size_t arena_used;

static void *arena_alloc(void *unused, size_t size) {
  (void)unused;
  size_t rounded = (size + 15) & ~(size_t)15;
  if (rounded > sizeof arena - arena_used) return NULL;
  void *place = arena + arena_used;
  arena_used += rounded;
  return place;
}

static void arena_free(void *unused, void *pointer) {
  (void)unused;
  (void)pointer;
}

static ProtobufCAllocator arena_allocator = {arena_alloc, arena_free, NULL};

/* The pool: its free list is the blocks that nobody took yet, in order. */

static uint32_t blocks, taken;
static uint64_t revision;
static uint32_t *free_list;

/* Streams and connections. */

typedef struct Stream {
  struct Stream *next;
  uint8_t *message; /* whole in the slice that is being read, or in `kept` */
  size_t count;
  int is_allocate;
  size_t sent, reply_count;
  uint8_t kept[2048];
  uint8_t reply[8192];
} Stream;

typedef struct {
  uv_tcp_t handle;
  nghttp2_session *session;
  int is_closing;
} Connection;

static Stream *spare;
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;
static uv_loop_t *loop;
static char read_buffer[65536];
static uint8_t output[1 << 20];

#define FIELD(name, value)                                                                         \
  {(uint8_t *)name, (uint8_t *)value, sizeof name - 1, sizeof value - 1,                           \
   NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}

static const nghttp2_nv response[] = {FIELD(":status", "200"),
                                      FIELD("content-type", "application/grpc")};
static const nghttp2_nv ok[] = {FIELD("grpc-status", "0")};
static const nghttp2_nv unimplemented[] = {FIELD(":status", "200"),
                                           FIELD("content-type", "application/grpc"),
                                           FIELD("grpc-status", "12")};
static const char path[] = "/quire.v1.BlockPool/Allocate";

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  (void)user;
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  Stream *stream = spare;
  if (stream) {
    spare = stream->next;
  } else {
    stream = malloc(sizeof *stream);
  }
  stream->count = stream->sent = stream->reply_count = 0;
  stream->is_allocate = 0;
  nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
  return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_count, const uint8_t *value, size_t value_count, uint8_t flags,
                     void *user) {
  (void)flags;
  (void)user;
  if (name_count == 5 && value_count == sizeof path - 1 && memcmp(name, ":path", 5) == 0 &&
      memcmp(value, path, value_count) == 0) {
    Stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream) stream->is_allocate = 1;
  }
  return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t count, void *user) {
  (void)flags;
  (void)user;
  Stream *stream = nghttp2_session_get_stream_user_data(session, id);
  if (!stream) return 0;
  if (stream->count == 0 && count >= 5 && count == 5 + (size_t)(data[3] << 8 | data[4])) {
    stream->message = (uint8_t *)data;
  } else {
    if (stream->count + count > sizeof stream->kept) return NGHTTP2_ERR_CALLBACK_FAILURE;
    stream->message = stream->kept;
    memcpy(stream->kept + stream->count, data, count);
  }
  stream->count += count;
  return 0;
}

static ssize_t read_reply(nghttp2_session *session, int32_t id, uint8_t *place, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *user) {
  (void)user;
  Stream *stream = source->ptr;
  size_t count = stream->reply_count - stream->sent;
  if (count > room) count = room;
  memcpy(place, stream->reply + stream->sent, count);
  stream->sent += count;
  if (stream->sent == stream->reply_count) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(session, id, ok, 1);
  }
  return (ssize_t)count;
}

static int allocate(Stream *stream) {
  if (stream->count < 5) return 0;
  arena_used = 0;
  Quire__V1__AllocateRequest *request = quire__v1__allocate_request__unpack(
      &arena_allocator, stream->count - 5, stream->message + 5);
  if (!request || !request->allocate) return 0;
  uint32_t count = request->allocate->count;
  if (count == 0 || count > blocks - taken || count > 1000) return 0;
  Quire__V1__AllocateReply reply = QUIRE__V1__ALLOCATE_REPLY__INIT;
  reply.revision = ++revision;
  reply.n_block_ids = count;
  reply.block_ids = free_list + taken;
  taken += count;
  reply.available_blocks = blocks - taken;
  size_t size = quire__v1__allocate_reply__get_packed_size(&reply);
  stream->reply[0] = 0;
  for (int byte = 0; byte < 4; byte++) stream->reply[1 + byte] = (uint8_t)(size >> (24 - 8 * byte));
  quire__v1__allocate_reply__pack(&reply, stream->reply + 5);
  stream->reply_count = 5 + size;
  return 1;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  (void)user;
  if (frame->hd.type > NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
  Stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (!stream) return 0;
  if (stream->is_allocate && allocate(stream)) {
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = read_reply};
    nghttp2_submit_response(session, frame->hd.stream_id, response, 2, &provider);
  } else {
    nghttp2_submit_response(session, frame->hd.stream_id, unimplemented, 3, NULL);
  }
  return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
  (void)code;
  (void)user;
  Stream *stream = nghttp2_session_get_stream_user_data(session, id);
  if (!stream) return 0;
  stream->next = spare;
  spare = stream;
  return 0;
}

/* Bytes. */

static void closed(uv_handle_t *handle) {
  Connection *connection = (Connection *)handle;
  nghttp2_session_del(connection->session);
  free(connection);
}

static void close_connection(Connection *connection) {
  if (connection->is_closing) return;
  connection->is_closing = 1;
  uv_close((uv_handle_t *)&connection->handle, closed);
}

static void written(uv_write_t *request, int status) {
  Connection *connection = (Connection *)request->handle;
  free(request);
  if (status < 0) close_connection(connection);
}

static void flush(Connection *connection) {
  size_t count = 0;
  for (;;) {
    const uint8_t *frame;
    ssize_t size = nghttp2_session_mem_send(connection->session, &frame);
    if (size < 0 || count + (size_t)size > sizeof output) {
      close_connection(connection);
      return;
    }
    if (size == 0) break;
    memcpy(output + count, frame, (size_t)size);
    count += (size_t)size;
  }
  if (count == 0) return;
  size_t sent = 0;
  if (uv_stream_get_write_queue_size((uv_stream_t *)&connection->handle) == 0) {
    uv_buf_t buffer = uv_buf_init((char *)output, (unsigned)count);
    int status = uv_try_write((uv_stream_t *)&connection->handle, &buffer, 1);
    if (status > 0) sent = (size_t)status;
    if (sent == count) return;
    if (status < 0 && status != UV_EAGAIN) {
      close_connection(connection);
      return;
    }
  }
  uv_write_t *request = malloc(sizeof *request + count - sent);
  memcpy(request + 1, output + sent, count - sent);
  uv_buf_t rest = uv_buf_init((char *)(request + 1), (unsigned)(count - sent));
  uv_write(request, (uv_stream_t *)&connection->handle, &rest, 1, written);
}

static void offer_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
  (void)handle;
  (void)suggested;
  *buffer = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void did_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
  Connection *connection = (Connection *)stream;
  if (count == 0) return;
  if (count < 0 || nghttp2_session_mem_recv(connection->session, (uint8_t *)buffer->base,
                                            (size_t)count) < 0) {
    close_connection(connection);
    return;
  }
  flush(connection);
}

static void did_connect(uv_stream_t *listener, int status) {
  if (status < 0) return;
  Connection *connection = calloc(1, sizeof *connection);
  uv_tcp_init(loop, &connection->handle);
  nghttp2_session_server_new3(&connection->session, callbacks, connection, options, &memory);
  if (uv_accept(listener, (uv_stream_t *)&connection->handle) < 0) {
    close_connection(connection);
    return;
  }
  uv_tcp_nodelay(&connection->handle, 1);
  nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000},
                                       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20},
                                       {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
  nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 3);
  nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0, 16 << 20);
  flush(connection);
  uv_read_start((uv_stream_t *)&connection->handle, offer_buffer, did_read);
}

static void stop(uv_signal_t *handle, int number) {
  (void)number;
  fprintf(stderr, "allocated_blocks=%u\n", taken);
  uv_stop(handle->loop);
}

int main(int count, char **arguments) {
  if (count != 2 || (blocks = (uint32_t)atol(arguments[1])) == 0) {
    fprintf(stderr, "usage: minimal_server BLOCKS\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  free_list = malloc(blocks * sizeof *free_list);
  for (uint32_t id = 0; id < blocks; id++) free_list[id] = id + 1;
  loop = uv_default_loop();
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
  nghttp2_option_new(&options);

  uv_tcp_t listener;
  struct sockaddr_in address;
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_init(loop, &listener);
  uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
  if (uv_listen((uv_stream_t *)&listener, 511, did_connect) < 0) return 1;
  int size = sizeof address;
  uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size);
  uv_signal_t end;
  uv_signal_init(loop, &end);
  uv_signal_start(&end, stop, SIGTERM);
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
