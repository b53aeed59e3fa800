/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_DEBUG_H
#define ASHMEM_DEBUG_H

/**
 * @file
 * @brief Debug modes that find the use of unpinned memory, for tests.
 *
 * @defgroup ashmem_debug Debug modes
 * @brief Finding the use of unpinned memory in tests.
 *
 * A program that uses unpinned memory fails only after a purge, so tests rarely notice. Run them
 * with the environment variable `ASHMEM_DEBUG` set, or call ashmem_debug_set():
 *
 *     ASHMEM_DEBUG=trap-unpinned,purge-on-unpin ./my_tests
 *
 * One or more of these words, separated by commas:
 *
 * - `purge-on-unpin`: every unpin purges at once all that is unpinned, as ashmem_purge_all() does.
 *   Each later pin returns #ASHMEM_WAS_PURGED and finds zeroes.
 * - `purge-random=SEED` or `purge-random=SEED:PERCENT`: after PERCENT of the unpins (1 to 100;
 *   default 25) some of what is unpinned is purged in order, from one page up to all. The same
 *   SEED, a number, gives the same purges in a program that does the same.
 * - `trap-unpinned`: pages that the process has unpinned become inaccessible in the mappings that
 *   ashmem_map() made, so that each use without a pin raises SIGSEGV at the place of the mistake. A
 *   pin restores the rights of the mapping.
 *
 * The variable is read once, when the process makes or imports its first area, and ignored in
 * set-user-ID programs (secure_getenv(3)). Unknown or wrong words are ignored and nothing is
 * printed; ashmem_debug_get() returns the modes in effect.
 *
 * **Purging modes.** On the kernel backend `purge-on-unpin` needs CAP_SYS_ADMIN and reaches the
 * whole system, else it has no effect there; `purge-random` never has. Held pages are not purged.
 * Purge subscribers are called within the unpin; what they unpin purges nothing.
 *
 * **trap-unpinned** follows the calls of this process, on every backend:
 * - It covers shared mappings only. The pages that a private mapping has written are its own.
 * - It covers all shared mappings of an area, also those made while pages are unpinned. End them,
 *   or parts of them, by ashmem_unmap(): the mode does not notice munmap(2), mremap(2) and mmap(2)
 *   over them, and would remove rights from what is there then. Nor does it notice mprotect(2): a
 *   pin restores the rights that ashmem_map() was asked for.
 * - Pins and unpins by *other* processes are not followed until this process pins or unpins itself.
 *   A program that uses pages which another process has pinned for it traps: let it pin too.
 * - Held pages (ashmem_hold()) are accessible until their last release by this process.
 * - A child of fork starts with the state of its parent.
 * - When the last handle of an area is closed its mappings become accessible.
 * - System calls do not trap: read(2) into such pages fails with EFAULT. ashmem_pread() still reads
 *   them.
 * - If a pin cannot restore the rights of single pages, because the process has too many mappings,
 *   it restores those of the whole mapping.
 * @{
 */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Turn debug modes on or off, in place of `ASHMEM_DEBUG`.
 *
 * Set them before the first mapping: `trap-unpinned` covers the mappings that are made while it is
 * on. Turning it off makes all of them accessible.
 *
 * @param[in] modes  Words of the list above (@ref ashmem_debug), separated by commas; "" or NULL
 *   for none.
 * @return 0 on success.
 * @retval -EINVAL  A word is unknown, or its number is wrong; nothing has changed.
 * @retval -ENOMEM  No memory to prepare the process for fork, which the first call of the library
 *   does.
 *
 * Threads: any thread, but not while other threads use areas.
 * @since 0.9
 */
int ashmem_debug_set(const char *modes);

/**
 * @brief Read the debug modes in effect.
 *
 * @param[out] buf       Receives them as ashmem_debug_set() takes them, with a NUL, cut off if they
 *   do not fit; "" if there are none. The caller owns it.
 * @param[in]  buf_size  Bytes of @p buf; 0 to ask for the length; 128 is always enough.
 * @return The length of the whole text without its NUL.
 * @retval -EINVAL  @p buf is NULL and @p buf_size is not 0.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_debug_get(char *buf, size_t buf_size);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_DEBUG_H */
