/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_SHRINKER_H
#define ASHMEM_SHRINKER_H

/**
 * @file
 * @brief Giving memory back: purge what is unpinned, least recently unpinned first.
 *
 * @defgroup ashmem_shrinker Purging
 * @brief Giving memory back.
 *
 * A *purge* frees the pages of an unpinned range, in every process and through every mapping; they read as
 * zeroes afterwards and the next ashmem_pin() of any of them answers #ASHMEM_WAS_PURGED (contract rule 14).
 * Ranges go in the order in which they were unpinned, oldest first, over all the areas that the process
 * holds, whichever process unpinned them. An area that was imported several times counts once.
 * Pinned pages are never touched (contract rule 16).
 * @{
 */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Purge every unpinned range of every area that the process holds.
 *
 * On the kernel backend the driver is asked to purge, and it purges the whole system's areas.
 *
 * @return The number of pages that were purgeable before the call (contract rule 15).
 * @retval -EPERM      The driver is in use and the caller lacks CAP_SYS_ADMIN; nothing was purged.
 * @retval -ETIMEDOUT  An area stayed locked by another process for too long; the others were purged.
 * @retval -EUCLEAN    An area's shared state is damaged; the others were purged.
 * @retval -EIO        The kernel refused to free pages of an area, which stay evictable; the others were purged.
 * @retval -ENODEV, -EMFILE, -ENFILE, -ENOMEM  (kernel backend) The driver's node cannot be opened; nothing was purged.
 *
 * Threads: any thread. Waits for another purge of the same process to end.
 * @since 0.9
 */
int64_t ashmem_purge_all(void);

/**
 * @brief Purge least recently unpinned ranges until at least a number of pages is free.
 *
 * Whole ranges are purged, so more pages than asked can go; never more ranges than needed.
 * Areas of the kernel backend are left alone: only the kernel decides when the driver purges.
 *
 * @param[in] nr_pages  Pages wanted. 0 purges nothing.
 * Waits for locked areas five seconds at the most, for all of them together.
 *
 * @return The number of pages freed; less than @p nr_pages only if there was nothing more to purge when the call began.
 * @retval -ETIMEDOUT  An area stayed locked by another process for too long and nothing could be freed.
 * @retval -EUCLEAN    An area's shared state is damaged and nothing could be freed.
 * @retval -EIO        The kernel refused to free pages, and nothing could be freed; they stay evictable.
 *
 * Threads: any thread. Waits for another purge of the same process to end.
 * @since 0.9
 */
int64_t ashmem_shrink(uint64_t nr_pages);

/**
 * @brief Number of pages that a shrink could free now.
 *
 * @return Pages in unpinned, not yet purged ranges of the areas that this process holds; never fails. Other
 * threads and processes pin and unpin meanwhile, so the answer is of the moment. Pages that
 * are held (ashmem_hold()), or that read-only peers have pinned, are counted too, though a shrink passes over their ranges.
 *
 * Threads: any thread; takes no area's lock.
 * @since 0.9
 */
uint64_t ashmem_shrink_count(void);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_SHRINKER_H */
