#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <uv.h>

// Bytes of a socket's that the kernel still has to send or to send again; 0 where there is none.
// `ioctl` is variadic, which Swift does not import.
static inline int cuv_unsent_bytes(int descriptor) {
  int count = 0;
  return ioctl(descriptor, SIOCOUTQ, &count) == 0 ? count : 0;
}

// Bytes that have come for a socket and that nobody has read; 0 where there is none.
static inline int cuv_unread_bytes(int descriptor) {
  int count = 0;
  return ioctl(descriptor, FIONREAD, &count) == 0 ? count : 0;
}
