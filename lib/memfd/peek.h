/* SPDX-License-Identifier: MIT */
/* An area by its descriptor alone: peek.c. */
#ifndef ASHMEM_LIB_MEMFD_PEEK_H
#define ASHMEM_LIB_MEMFD_PEEK_H

#include <stdint.h>

#include <ashmem/peek.h>

/* ashmem_peek() of a whole structure. */
int memfd_peek(int fd, struct ashmem_peek_result *peek);

/* ashmem_purge_fd(), within a bound on waiting. A lock that is not free is -ETIMEDOUT here. */
int64_t memfd_purge_by_descriptor(int fd, const struct ashmem_purge_fd_options *options);

#endif /* ASHMEM_LIB_MEMFD_PEEK_H */
