/* platform: the calls that differ between systems. Private to net.
 *
 * Linux first; each function in platform.c has a POSIX fallback beside it. Functions that return an
 * int give 0 or more on success and -errno on failure. */
#ifndef SLUICE_NET_PLATFORM_H
#define SLUICE_NET_PLATFORM_H

#include "net/addr.h"

/* A listening socket, non-blocking, closed on exec. `shared`: with other processes, see net.h. */
int platform_listen_tcp(const union sock *at, bool shared);
int platform_listen_unix(const char *path, bool shared);
/* Whether it is a stream socket that listens. */
bool platform_is_listening(int fd);
/* Makes a listening socket of somebody else's making like our own. */
int platform_adopt(int fd);
/* -EAGAIN when nobody waits. The descriptor is non-blocking, closed on exec and tuned. */
int platform_accept(int fd, bool tcp, struct sockaddr_storage *peer);
/* Whose process is at the other end of a unix socket. False: this system does not tell. */
bool platform_peer(int fd, int64_t *uid, int64_t *pid);
/* No Nagle; a peer that vanished is noticed after two minutes of silence. */
void platform_tune(int fd);
/* The socket is readable only when so many bytes are there, or no more will come. */
void platform_want(int fd, size_t n);
/* The error that waits on a socket, taken off it; 0 when none does. */
int platform_error(int fd);
/* The memory of the process that is in RAM, in bytes: asked for again and again by what the first
 * one gives (-1: nobody tells). *limit: how much it may have, by its container or its machine. */
int platform_memory_open(int64_t *limit);
int64_t platform_memory(int fd);
void platform_memory_close(int fd);
void platform_name_thread(const char *name);

#endif
