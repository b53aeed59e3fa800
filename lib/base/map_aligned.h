/* SPDX-License-Identifier: MIT */
/* Mapping a file where the kernel can use huge pages: map_aligned.c. */
#ifndef ASHMEM_LIB_BASE_MAP_ALIGNED_H
#define ASHMEM_LIB_BASE_MAP_ALIGNED_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Map a file, as mmap(2) does it at an address of its choice; if it is as long as a huge page, then
 * at an address that lets the kernel use some. MAP_FAILED and errno.
 */
void *map_aligned(size_t length, int prot, int flags, int fd, off_t offset);

#endif /* ASHMEM_LIB_BASE_MAP_ALIGNED_H */
