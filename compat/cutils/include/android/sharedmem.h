/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_ANDROID_SHAREDMEM_H
#define ASHMEM_ANDROID_SHAREDMEM_H

/**
 * @file
 * @brief Android's NDK calls on shared memory, for programs that are ported.
 *
 * Link with `pkg-config --libs libashmem-cutils`. Regions are descriptors, and work with the calls
 * of <cutils/ashmem.h> too; what is said there of threads, forks, memory and common errors holds
 * here. ASharedMemory_dupFromJava() is left out.
 */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Make a region, which may be mapped to read, write and execute.
 *
 * @param name  Name for `/proc/PID/maps`, cut after 255 bytes; NULL for none.
 * @param size  Bytes, not 0; pages round up.
 * @return The descriptor, close-on-exec; the caller owns it and ends the region with close(2).
 *   -EINVAL if the size is 0; else -1, and `errno` as of ashmem_create_region().
 * @since 1.0
 */
int ASharedMemory_create(const char *name, size_t size);

/**
 * @brief Read a region's size.
 *
 * @param fd  Any number.
 * @return The bytes that it was made with; 0 if the descriptor is not a region's.
 * @since 1.0
 */
size_t ASharedMemory_getSize(int fd);

/**
 * @brief Remove bits from what later mappings may do. Bits cannot come back.
 *
 * When PROT_WRITE goes, a region of ASharedMemory_create() is sealed: no new mapping can write,
 * through any duplicate, in any process; mappings that exist keep their rights. The price: it is
 * never purged again. A region of ashmem_create_region(), and any region before Linux 5.1, is
 * restricted as ashmem_set_prot_region() does it: through this descriptor alone, and it can still
 * be purged.
 *
 * @param fd    A region.
 * @param prot  The new mask, of PROT_READ, PROT_WRITE, PROT_EXEC.
 * @return 0; or -1, and `errno` as of ashmem_set_prot_region().
 * @since 1.0
 */
int ASharedMemory_setProt(int fd, int prot);

#ifdef __cplusplus
}
#endif

#endif /* ASHMEM_ANDROID_SHAREDMEM_H */
