/* Read after mbedTLS's own default configuration: what a TLS 1.2 / 1.3 gateway needs, no more.
 * The choices change struct layouts, so every file that includes an mbedTLS header must see
 * this one (CMake's dep_mbedtls target takes care of that). */

/* handshakes run on worker threads */
#define MBEDTLS_THREADING_C
#define MBEDTLS_THREADING_PTHREAD
/* TLS 1.3 goes through PSA: do not copy every record once more inside it */
#define MBEDTLS_PSA_ASSUME_EXCLUSIVE_BUFFERS
#define MBEDTLS_PLATFORM_MEMORY

/* AES-GCM many blocks at a time, where the machine can: gcm/gcm_alt.c */
#define MBEDTLS_GCM_ALT

/* Half the default saves 8 KiB per connection; longer writes are split. Not smaller: a handshake
 * message (a server's certificate chain) must fit in one. Peers may send 16 KiB, so IN stays. */
#define MBEDTLS_SSL_OUT_CONTENT_LEN 8192
/* TLS 1.3 records would be zero-padded to 16 bytes: up to 15 wasted bytes per streamed token */
#define MBEDTLS_SSL_CID_TLS1_3_PADDING_GRANULARITY 1

/* PSA may not write files of its own making */
#undef MBEDTLS_PSA_CRYPTO_STORAGE_C
#undef MBEDTLS_PSA_ITS_FILE_C

/* Nobody reads its debug texts; asking whether somebody does is a sixth of the instructions of a small
 * record. */
#undef MBEDTLS_DEBUG_C

/* no DTLS */
#undef MBEDTLS_SSL_PROTO_DTLS
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID_COMPAT
#undef MBEDTLS_SSL_DTLS_ANTI_REPLAY
#undef MBEDTLS_SSL_DTLS_HELLO_VERIFY
#undef MBEDTLS_SSL_DTLS_CLIENT_PORT_REUSE
#undef MBEDTLS_SSL_COOKIE_C
#undef MBEDTLS_SSL_CONTEXT_SERIALIZATION

/* key exchanges: forward-secret ECDHE with certificates, and PSK for resumption only */
#undef MBEDTLS_KEY_EXCHANGE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_DHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_DHE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_ECDSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_RSA_ENABLED
#undef MBEDTLS_SSL_RENEGOTIATION
#undef MBEDTLS_SSL_ENCRYPT_THEN_MAC
#undef MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
#undef MBEDTLS_DHM_C

/* primitives nobody offers us */
#undef MBEDTLS_ECP_DP_SECP192R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP192K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP256K1_ENABLED
#undef MBEDTLS_ECP_DP_BP256R1_ENABLED
#undef MBEDTLS_ECP_DP_BP384R1_ENABLED
#undef MBEDTLS_ECP_DP_BP512R1_ENABLED
#undef MBEDTLS_ECP_DP_CURVE448_ENABLED
#undef MBEDTLS_ARIA_C
#undef MBEDTLS_CAMELLIA_C
#undef MBEDTLS_DES_C
#undef MBEDTLS_CCM_C
#undef MBEDTLS_CMAC_C
#undef MBEDTLS_NIST_KW_C
#undef MBEDTLS_RIPEMD160_C
#undef MBEDTLS_ECJPAKE_C
#undef MBEDTLS_LMS_C
#undef MBEDTLS_PKCS7_C
#undef MBEDTLS_SELF_TEST
#undef MBEDTLS_VERSION_FEATURES
