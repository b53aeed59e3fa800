/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_DEBUG_H
#define ASHMEM_DEBUG_H

/**
 * @file
 * @brief Modes that bring out the wrong use of unpinned memory, for tests.
 *
 * @defgroup ashmem_debug Debug modes
 * @brief Finding the use of unpinned memory in tests.
 *
 * The bugs of a program that uses purgeable memory hide as long as nothing is purged. The
 * environment variable `ASHMEM_DEBUG`, or ashmem_debug_set(), turns on one or more of these,
 * separated by commas:
 *
 * | word | effect | | --- | --- | | `purge-on-unpin` | Every unpin purges at once all that is
 * unpinned, as ashmem_purge_all() does. Each later pin answers ASHMEM_WAS_PURGED and finds zeroes.
 * | | `purge-random=SEED` or `purge-random=SEED:PERCENT` | After PERCENT of the unpins (1 to 100;
 * 25 if not given) some of what is unpinned is purged in order, from one page up to all. The same
 * SEED, a number, gives the same purges in a program that does the same. | | `trap-unpinned` |
 * Pages that the process has unpinned become inaccessible in the mappings that ashmem_map() made,
 * so that every use without a pin ends with a signal (SIGSEGV) at the place of the mistake. A pin
 * gives them the rights back that they were mapped with. |
 *
 * The variable is read once, when the process makes or imports its first area, and ignored in
 * set-user-ID programs (secure_getenv(3)). Words that are unknown or wrong are passed over, nothing
 * is printed; ashmem_debug_get() tells which are in effect.
 *
 * **Purging modes.** On the kernel backend `purge-on-unpin` needs CAP_SYS_ADMIN and reaches the
 * whole system, else it does nothing there, and `purge-random` never does. Held pages stay.
 * Subscribers to purges are called within the unpin; what they unpin purges nothing.
 *
 * **trap-unpinned.** It follows the calls of this process, on every backend:
 * - Shared mappings only. The pages that a private mapping has written are its own.
 * - All shared mappings of an area, wherever they are mapped and however many, also those that are
 *   made while pages are unpinned. End them, or parts of them, by ashmem_unmap(): of munmap(2),
 *   mremap(2) and mmap(2) over them the mode does not learn, and would take away rights from what
 *   is there then. Nor does it learn of mprotect(2): a pin gives the rights that ashmem_map() was
 *   asked for.
 * - What *other* processes pin and unpin is not followed until this process does so itself. A
 *   program that uses pages which another process has pinned for it traps: let it pin as well.
 * - Held pages (ashmem_hold()) are accessible until their last release by this process.
 * - A child of fork begins with what its parent had.
 * - When the last handle of an area is closed its mappings are accessible again.
 * - System calls do not trap: read(2) into such pages fails with EFAULT. ashmem_pread() reads them,
 *   as ever.
 * - If a pin cannot give back the rights to single pages, because the process has too many
 *   mappings, it gives them to the whole mapping.
 * @{
 */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Turn debug modes on or off, in place of `ASHMEM_DEBUG`.
 *
 * Set them before the first mapping: `trap-unpinned` knows the mappings that are made while it is
 * on. Turning it off makes all of them accessible.
 *
 * @param[in] modes  Words as in the table above, separated by commas; "" or NULL for none.
 * @return 0 on success.
 * @retval -EINVAL  A word is unknown, or its number is wrong; nothing has changed.
 * @retval -ENOMEM  No memory to prepare the process for fork, which the first call of the library
 *   does.
 *
 * Threads: any thread, but not while others use areas.
 * @since 0.9
 */
int ashmem_debug_set(const char *modes);

/**
 * @brief The debug modes in effect.
 *
 * @param[out] buf       Receives them as ashmem_debug_set() takes them, with a NUL, cut off if they
 *   do not fit; "" if there are none. The caller owns it.
 * @param[in]  buf_size  Bytes of @p buf; 0 to ask for the length; 128 always suffice.
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
