/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_NOTICE_H
#define ASHMEM_NOTICE_H

/**
 * @file
 * @brief Being told what this process purged.
 *
 * @defgroup ashmem_notice Notices of purges
 * @brief Being told what this process purged.
 *
 * A program that keeps an index of what its areas hold can forget entries as they go, without
 * pinning them to learn it. A subscriber is called for everything that this process purges: by
 * ashmem_shrink(), ashmem_purge_all(), a watch on memory pressure, and whatever else purges inside
 * the library: while such a watch is open that can be ashmem_unpin(). It is called on the thread
 * that purges, when the purge is done, before that call returns.
 *
 * What *other* processes purge in shared areas is not told here. `purged_pages` of
 * ashmem_area_get_stats() counts it: if that grew, something went, and ashmem_find_unpinned() says
 * what is marked. Nor does the driver tell what it purges, so areas of the kernel backend have no
 * notices.
 * @{
 */

#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief A subscriber: pages were purged.
 *
 * Called with no lock of the library held; it may call everything in it, also pin and rebuild,
 * close the area, purge (which calls subscribers again, before that call returns) and unsubscribe.
 * The handle is valid until the function returns, even if the program has closed it meanwhile.
 *
 * By the time of the call the pages may have been pinned and filled again by others. Some may have
 * been purged before. Notices are not in the order of going. Neighbouring pages are told at once.
 * None is left out; if a registered backend has more to tell in one piece than is remembered, a
 * notice covers what lies between, and pages of a backend that tells nothing are told as the whole
 * area.
 *
 * @param userdata  As given to ashmem_purge_subscribe().
 * @param area      The area; borrowed.
 * @param offset    First byte that went, page aligned.
 * @param length    Bytes, a multiple of the page size.
 */
typedef void (*ashmem_purge_fn)(void *userdata, struct ashmem_area *area, uint64_t offset,
	uint64_t length);

/**
 * @brief Be called for what this process purges from now on.
 *
 * Nothing is allocated for the subscriber, here or later.
 *
 * @param[in] fn        The subscriber. It may be called by several threads at once.
 * @param[in] userdata  Handed to @p fn.
 * @return A number for ashmem_purge_unsubscribe(), 1 or larger.
 * @retval -EINVAL  @p fn is NULL.
 * @retval -ENOSPC  There are eight subscribers.
 * @retval -ENOMEM  No memory to prepare the process for fork, which the first call of the library
 *   does.
 *
 * A child of fork inherits the subscribers.
 *
 * Threads: any thread; also from a subscriber.
 * @since 0.9
 */
int ashmem_purge_subscribe(ashmem_purge_fn fn, void *userdata);

/**
 * @brief Be called no more.
 *
 * Waits until the subscriber has returned on all other threads, so that its `userdata` can go; but
 * called from within any subscriber, it does not wait.
 *
 * @param[in] id  From ashmem_purge_subscribe().
 * @return 0 on success.
 * @retval -ENOENT  There is no such subscriber, or no longer.
 * @retval -EDEADLK  Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread; also from a subscriber. Hold no lock that the subscriber takes.
 * @since 0.9
 */
int ashmem_purge_unsubscribe(int id);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_NOTICE_H */
