/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_CUTILS_ASHMEM_H
#define ASHMEM_CUTILS_ASHMEM_H

/**
 * @file
 * @brief The six calls of Android's libcutils on ashmem regions, for programs that are ported.
 *
 * A region is a file descriptor. It can be mapped by mmap(2), duplicated, inherited and sent;
 * close(2) ends it. Link with `pkg-config --libs libashmem-cutils`. This header takes nothing from
 * <ashmem/ashmem.h> and can be included beside it and beside <linux/ashmem.h>.
 *
 * - Each call returns -1 and sets `errno` on failure. Common errors: EBADF, the descriptor is not
 *   open; ENOTTY, it is not a region's (also of a memfd that no libashmem made); ENOMEM, EMFILE,
 *   ENFILE; ETIMEDOUT, EUCLEAN as in <ashmem/ashmem.h>.
 * - Any thread may make any call at any time. A forked child uses the descriptors that it
 *   inherited.
 * - Besides the descriptor the library keeps one of its own and a small mapping for each region.
 *   They go after the descriptor was closed: at a later ashmem_create_region(), or before a purge
 *   by ashmem_shrink() or a watch on memory pressure. The memory of the region goes with them.
 * - Nothing is purged by itself, unless the system has the ashmem driver: some process that has the
 *   region must purge, see "Who purges" in <ashmem/ashmem.h> and docs/porting.md.
 * - fstat(2) and lseek(2) see the library's state after the data: ask ashmem_get_size_region().
 */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ASHMEM_NAME_LEN
/** Bytes of the longest name, with its NUL. */
#define ASHMEM_NAME_LEN 256
#endif
#ifndef ASHMEM_NAME_DEF
/** The name of a region that was given none. */
#define ASHMEM_NAME_DEF "dev/ashmem"
#endif
#ifndef ASHMEM_NOT_PURGED
/** ashmem_pin_region(): the contents are unchanged. */
#define ASHMEM_NOT_PURGED 0
#endif
#ifndef ASHMEM_WAS_PURGED
/** ashmem_pin_region(): some of the contents may be lost; rebuild them. */
#define ASHMEM_WAS_PURGED 1
#endif

/**
 * @brief Ask whether a descriptor is a region's.
 *
 * @param fd  Any number.
 * @return 1 if it is, 0 if not; never -1.
 * @since 1.0
 */
int ashmem_valid(int fd);

/**
 * @brief Make a region.
 *
 * @param name  Name for `/proc/PID/maps`, cut after 255 bytes; NULL for none.
 * @param size  Bytes, not 0; pages round up.
 * @return The descriptor, close-on-exec; the caller owns it and ends the region with close(2). -1
 *   and EINVAL: the size is 0; EFBIG: it is too large; ENODEV: no memory can be made here.
 * @since 1.0
 */
int ashmem_create_region(const char *name, size_t size);

/**
 * @brief Remove bits from what later mappings may do.
 *
 * When PROT_WRITE goes, the number `fd` becomes a descriptor through which the kernel allows no
 * writing. The region can still be unpinned and purged. Duplicates made before, and what was sent
 * before, keep writing, so restrict first and then share. (A region of ASharedMemory_create() is
 * sealed instead: <android/sharedmem.h>.) A mask without PROT_READ or PROT_EXEC is not enforced by
 * the kernel.
 *
 * @param fd    A region.
 * @param prot  The new mask, of PROT_READ, PROT_WRITE, PROT_EXEC.
 * @return 0. -1 and EINVAL: a bit that is not in the mask; EACCES: the descriptor came read-only
 *   from another process; EPERM, ENOTSUP: a read-only descriptor cannot be made (no `/proc`).
 * @since 1.0
 */
int ashmem_set_prot_region(int fd, int prot);

/**
 * @brief Pin bytes, before they are used.
 *
 * @param fd      A region.
 * @param offset  First byte, page aligned.
 * @param len     Bytes, whole pages; 0: to the end of the region.
 * @return #ASHMEM_NOT_PURGED or #ASHMEM_WAS_PURGED. -1 and EINVAL: misaligned, or past the end.
 * @since 1.0
 */
int ashmem_pin_region(int fd, size_t offset, size_t len);

/**
 * @brief Unpin bytes: they may be purged from now on.
 *
 * @param fd      A region.
 * @param offset  First byte, page aligned.
 * @param len     Bytes, whole pages; 0: to the end of the region.
 * @return 0. -1 and EINVAL: misaligned, or past the end.
 * @since 1.0
 */
int ashmem_unpin_region(int fd, size_t offset, size_t len);

/**
 * @brief Read a region's size.
 *
 * @param fd  A region.
 * @return The bytes that it was made with. -1 and EOVERFLOW: more than an int holds.
 * @since 1.0
 */
int ashmem_get_size_region(int fd);

#ifdef __cplusplus
}
#endif

#endif /* ASHMEM_CUTILS_ASHMEM_H */
