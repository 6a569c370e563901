#include <string.h>
#include <zlib.h>

// zlib's *Init functions are macros, which Swift does not see.

/// `windowBits`: 15 = zlib's format (RFC 1950), 31 = gzip's (RFC 1952). zlib's status code.
static inline int czlib_inflate_init(z_stream *stream, int windowBits) {
  memset(stream, 0, sizeof(*stream));
  return inflateInit2(stream, windowBits);
}

/// `level`: 1 (fastest) ... 9. The rest as above.
static inline int czlib_deflate_init(z_stream *stream, int level, int windowBits) {
  memset(stream, 0, sizeof(*stream));
  return deflateInit2(stream, level, Z_DEFLATED, windowBits, 8, Z_DEFAULT_STRATEGY);
}
