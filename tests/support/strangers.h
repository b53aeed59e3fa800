/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of areas that this process does not hold: each comes from a child that made the area
 * and is gone, so that importing it attaches anew. Also memfds that no library made, copies of
 * control blocks among them.
 */
#ifndef TESTS_SUPPORT_STRANGERS_H
#define TESTS_SUPPORT_STRANGERS_H

#include <stdint.h>

/*
 * A descriptor of a fresh area of STRANGER_PAGES pages named "stranger", mask as given: page p is
 * filled with STRANGER_BYTE + p, pages 0 and 1 are unpinned and purged, page 3 is unpinned. The
 * caller closes it.
 */
enum { STRANGER_PAGES = 6, STRANGER_BYTE = 0x20 };
int stranger_fd(int mask);

/*
 * The same with `count` more unpinned ranges of one page each, in an area that is larger by that.
 */
int stranger_fd_with_ranges(uint64_t count);

/* A second open file description of the same file, opened with these flags, close-on-exec. */
int reopen_fd(int fd, int flags);

/* A memfd of so many bytes, no seals but allowed. */
int foreign_memfd(uint64_t size_bytes);

/* A memfd with the first `length_bytes` bytes of another; no seals but allowed. */
int copied_memfd(int fd, uint64_t length_bytes);

/* Bytes of the file. */
uint64_t fd_bytes(int fd);

#endif
