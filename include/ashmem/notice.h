/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_NOTICE_H
#define ASHMEM_NOTICE_H

/**
 * @file
 * @brief Notices: being called when this process has purged something.
 *
 * @defgroup ashmem_notice Notices of purges
 * @brief Being called when this process has purged something.
 *
 * A program that keeps an index of the contents of its areas can drop the entries that were purged,
 * without pinning each of them to find out:
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 * #include <inttypes.h>
 * #include <stdio.h>
 *
 * static void purged(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
 * {
 *     (void)userdata, (void)area;
 *     printf("purged: %" PRIu64 " bytes at %" PRIu64 "\n", length, offset);
 * }
 *
 * int main(void)
 * {
 *     int id = ashmem_purge_subscribe(purged, NULL);
 *
 *     if (id < 0)
 *         return 1;
 *     ashmem_purge_all(); // calls purged() for each piece before it returns
 *     return ashmem_purge_unsubscribe(id) < 0;
 * }
 * @endcode
 *
 * - A subscriber is called for everything that **this process** purges: by ashmem_shrink(),
 *   ashmem_purge_all(), a pressure watch, a budget, a debug mode (@ref ashmem_who_purges has the
 *   list of calls; ashmem_unpin() and ashmem_pin() are among them).
 * - It is called on the thread that purges, after the purge, before that call returns, and with no
 *   lock of the library held. So do not make such a call while holding a lock that your subscriber
 *   waits for.
 * - Purges by *other* processes of shared areas give no notice. `purged_pages` of
 *   ashmem_area_get_stats() counts them: if it grew, walk ashmem_find_unpinned(), which reports the
 *   ranges with a purge mark.
 * - Areas of the kernel backend give no notices: the driver does not report what it purges.
 * @{
 */

#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief A subscriber: these pages were purged.
 *
 * It is called with no lock of the library held and may make any call: pin and rebuild, close the
 * area, purge (which calls subscribers again, before that call returns), unsubscribe. The handle is
 * valid until the function returns, even if the program has closed it meanwhile.
 *
 * - At the time of the call other threads or processes may already have pinned and refilled the
 *   pages. Some may have been purged before.
 * - Notices come in no particular order. Neighbouring pages come in one notice.
 * - No purged page is left out, and a notice covers no page that was not purged. Only for areas of a
 *   registered backend it can cover more: the pages between pieces, if the backend purges more than
 *   96 separate ones at once; the whole area, if it does not report its purges.
 *
 * @param userdata  The argument of ashmem_purge_subscribe().
 * @param area      The area; borrowed.
 * @param offset    First purged byte, page aligned.
 * @param length    Bytes, a multiple of the page size.
 */
typedef void (*ashmem_purge_fn)(void *userdata, struct ashmem_area *area, uint64_t offset,
	uint64_t length);

/**
 * @brief Have a function called for what this process purges from now on.
 *
 * Nothing is allocated for the subscriber, here or later. A child of fork inherits the subscribers.
 *
 * @param[in] fn        The subscriber. Several threads may call it at once.
 * @param[in] userdata  Passed to @p fn.
 * @return A number for ashmem_purge_unsubscribe(), 1 or larger.
 * @retval -EINVAL  @p fn is NULL.
 * @retval -ENOSPC  There are already eight subscribers.
 * @retval -ENOMEM  No memory to prepare the process for fork, which the first call of the library
 *   does.
 *
 * Threads: any thread; also from a subscriber.
 * @since 0.9
 */
int ashmem_purge_subscribe(ashmem_purge_fn fn, void *userdata);

/**
 * @brief End a subscription.
 *
 * Waits until the subscriber has returned on all other threads, so that its `userdata` can be
 * freed. Called from within any subscriber, it does not wait.
 *
 * @param[in] id  From ashmem_purge_subscribe().
 * @return 0 on success.
 * @retval -ENOENT  There is no such subscriber, or no longer.
 * @retval -EDEADLK  Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread; also from a subscriber. Hold no lock that the subscriber waits for.
 * @since 0.9
 */
int ashmem_purge_unsubscribe(int id);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_NOTICE_H */
