#include <msgpack/pack.h>
#include <msgpack/sbuffer.h>
