// Has the cache lines of `count` bytes fetched, as the processor that is compiled for can best prepare for writes.
// Touches nothing: any address is allowed. Swift has no words for it.
static inline void cmemory_prefetch_to_write(const void *start, long count) {
  const char *end = (const char *)start + count;
  for (const char *line = start; line < end; line += 64) __builtin_prefetch(line, 1, 3);
  __builtin_prefetch(end - 1, 1, 3);
}
