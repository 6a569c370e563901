#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Function-like macros and macro constants, which Swift cannot see.

static inline void copenssl_bio_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void copenssl_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

static inline int copenssl_set_minimum_version(SSL_CTX *context, int version) {
  return SSL_CTX_set_min_proto_version(context, version);
}

// No renegotiation, no compression and no session tickets: every connection is a full handshake, so
// that new certificates and new rules about clients hold for it. Renegotiation and compression are
// attack surface that HTTP/2 forbids (RFC 9113, 9.2.1).
static inline void copenssl_harden(SSL_CTX *context) {
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(
      context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                   SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static inline int copenssl_set_server_name(SSL *ssl, const char *name) {
  return (int)SSL_set_tlsext_host_name(ssl, name);
}

static inline int copenssl_is_system_error(unsigned long error) { return ERR_SYSTEM_ERROR(error); }
static inline int copenssl_reason(unsigned long error) { return ERR_GET_REASON(error); }

// The names in a certificate's subjectAltName. Stacks are typed by macros.
static inline GENERAL_NAMES *copenssl_alternative_names(const X509 *certificate) {
  return (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}
static inline int copenssl_name_count(const GENERAL_NAMES *names) {
  return sk_GENERAL_NAME_num(names);
}
// One name's bytes, not ended by a NUL, and its length; NULL unless it is a URI or a DNS name, which
// `is_uri` tells apart.
static inline const unsigned char *copenssl_name(
    const GENERAL_NAMES *names, int index, int *is_uri, int *length) {
  const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
  if (name->type != GEN_URI && name->type != GEN_DNS) return NULL;
  *is_uri = name->type == GEN_URI;
  *length = ASN1_STRING_length(name->d.ia5);
  return ASN1_STRING_get0_data(name->d.ia5);
}

// The subject as RFC 2253 writes it; to be freed with `OPENSSL_free`, by `copenssl_free`.
static inline char *copenssl_subject(const X509 *certificate, int *length) {
  char *text = NULL;
  BIO *memory = BIO_new(BIO_s_mem());
  *length = 0;
  if (!memory) return NULL;
  if (X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
    char *bytes = NULL;
    long count = BIO_get_mem_data(memory, &bytes);
    if (count > 0) text = OPENSSL_memdup(bytes, (size_t)count);
    if (text) *length = (int)count;
  }
  BIO_free(memory);
  return text;
}
static inline void copenssl_free(void *memory) { OPENSSL_free(memory); }

static inline int copenssl_watch_messages(
    SSL *ssl, void (*callback)(int, int, int, const void *, size_t, SSL *, void *), void *owner) {
  SSL_set_msg_callback(ssl, callback);
  return (int)SSL_set_msg_callback_arg(ssl, owner);
}
