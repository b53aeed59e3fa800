/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_NOTICE_H
#define ASHMEM_NOTICE_H

/**
 * @file
 * @brief Notices: learning what this process has purged, by fetching or by being called.
 *
 * @defgroup ashmem_notice Notices of purges
 * @brief Learning what this process has purged, by fetching or by being called.
 *
 * A program that keeps an index of the contents of its areas can drop the entries that were purged,
 * without pinning each of them to find out. It fetches notices from a *queue*, whenever it likes:
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 * #include <inttypes.h>
 * #include <stdio.h>
 *
 * int main(void)
 * {
 *     struct ashmem_purge_notice notice = {.struct_size = sizeof(notice)};
 *     struct ashmem_purge_queue *queue;
 *
 *     if (ashmem_purge_queue_open(NULL, &queue) < 0)
 *         return 1;
 *     ashmem_purge_all();
 *     while (ashmem_purge_queue_next(queue, &notice) > 0)
 *         printf("purged: %" PRIu64 " bytes at %" PRIu64 "\n", notice.length, notice.offset);
 *     ashmem_purge_queue_close(queue);
 *     return 0;
 * }
 * @endcode
 *
 * - Fetching takes no lock that another call holds while it waits or calls the program. So a
 *   program may fetch while it holds locks of its own, and may purge while it holds them.
 * - The memory of a queue is fixed when it is opened, and a purge adds to it without allocating. If
 *   it is full, the notices of one area become one, of the whole area: no purge is lost without a
 *   notice.
 * - A *subscriber* is a function that is called instead, while the call that purges is under way.
 *   It must not wait for a lock that is held around such a call. Prefer a queue where the index has
 *   a lock.
 *
 * - There are notices of everything that **this process** purges: by ashmem_shrink(),
 *   ashmem_purge_all(), a pressure watch, a budget, a debug mode (@ref ashmem_who_purges has the
 *   list of calls; ashmem_unpin() and ashmem_pin() are among them).
 * - A subscriber is called on the thread that purges, after the purge, before that call returns,
 *   and with no lock of the library held. So do not make such a call while holding a lock that your
 *   subscriber waits for.
 * - Purges by *other* processes of shared areas give no notice. `purged_pages` of
 *   ashmem_area_get_stats() counts them: if it grew, walk ashmem_find_unpinned(), which reports the
 *   ranges with a purge mark.
 * - Areas of the kernel backend give no notices: the driver does not report what it purges.
 * @{
 */

#include <stddef.h>
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
 * - No purged page is left out, and a notice covers no page that was not purged. Only for areas of
 *   a registered backend it can cover more: the pages between pieces, if the backend purges more
 *   than 96 separate ones at once; the whole area, if it does not report its purges.
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
 * Nothing is allocated for the subscriber, here or later. If the subscriber takes a lock that the
 * program also holds around ashmem_unpin() or another call that may purge, the program deadlocks:
 * use a queue there. A child of fork inherits the subscribers.
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

/** struct ashmem_purge_notice: the queue was full, and any pages of the area may be purged. */
#define ASHMEM_PURGE_NOTICE_WHOLE 1u

/** A queue of notices. Opaque; made by ashmem_purge_queue_open(). */
struct ashmem_purge_queue;

/** Options of ashmem_purge_queue_open(). Zero is the default of every member but `struct_size`. */
struct ashmem_purge_queue_options {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it fills in. */
	uint32_t entries;   /**< Notices that the queue can hold, up to 1048576; 0: 256. */
};

/** What was purged. */
struct ashmem_purge_notice {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it knows. */
	/**
	 * The area; borrowed. There are no notices of an area whose last reference the program has
	 * closed, also if it was purged before. So the handle is valid unless the program closes it
	 * at the same time, or between fetching and looking.
	 */
	struct ashmem_area *area;
	uint64_t offset; /**< First purged byte, page aligned. */
	uint64_t length; /**< Bytes, a multiple of the page size. */
	uint32_t flags;  /**< #ASHMEM_PURGE_NOTICE_WHOLE or 0. */
};

/**
 * @brief Open a queue of notices of what this process purges from now on.
 *
 * A child of fork cannot use the queue of its parent: fetching returns -ESTALE there, and the child
 * can only close it. It opens one of its own.
 *
 * @param[in]  options  Settings, or NULL for the defaults; not used after the call.
 * @param[out] queue    The queue; the caller ends it with ashmem_purge_queue_close().
 * @return 0 on success.
 * @retval -EINVAL  @p queue is NULL, `struct_size` is too small (@ref ashmem_structs), or `entries`
 *   is too large.
 * @retval -E2BIG   `struct_size` is larger than what this library knows, and the rest is not all
 *   zero.
 * @retval -ENOMEM  No memory.
 * @retval -EMFILE, -ENFILE  No descriptor left.
 * @retval -ENODEV  The kernel cannot make the descriptor (a sandbox, say).
 * @retval -ENOSPC  There are already eight queues.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_purge_queue_open(const struct ashmem_purge_queue_options *options,
	struct ashmem_purge_queue **queue) ASHMEM_MUST_CHECK;

/**
 * @brief The descriptor of a queue, for poll(2) and event loops.
 *
 * It is readable (POLLIN) while there is a notice to fetch. Do not read from it or close it.
 *
 * @param[in] queue  A queue.
 * @return The descriptor, which the queue owns.
 * @retval -EINVAL  @p queue is NULL.
 * @retval -ESTALE  The queue was opened by the parent, before a fork.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_purge_queue_fd(const struct ashmem_purge_queue *queue);

/**
 * @brief Fetch the next notice.
 *
 * It never waits for a call that purges, and calls nothing of the program. Everything that a call
 * purged can be fetched when that call returns, each piece once per queue. Notices of whole areas
 * come first, others in the order of purging; neighbours may come as one.
 *
 * A notice is about the time of the purge. When it is fetched, another thread or process may have
 * pinned and refilled the pages: ashmem_pin() alone says what is there.
 *
 * @param[in]     queue   A queue.
 * @param[in,out] notice  Filled up to the bytes in `struct_size`; unchanged if there is none.
 * @return 1, or 0 if there is no notice.
 * @retval -EINVAL  @p queue or @p notice is NULL, or `struct_size` is too small (@ref
 *   ashmem_structs).
 * @retval -ESTALE  The queue was opened by the parent, before a fork.
 *
 * Threads: any thread, several at once: each notice goes to one of them.
 * @since 0.9
 */
int ashmem_purge_queue_next(struct ashmem_purge_queue *queue,
	struct ashmem_purge_notice *notice) ASHMEM_MUST_CHECK;

/**
 * @brief Close a queue, with the notices that are left.
 *
 * @param[in] queue  A queue; NULL is allowed. No other thread uses it.
 *
 * Threads: any thread.
 * @since 0.9
 */
void ashmem_purge_queue_close(struct ashmem_purge_queue *queue);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_NOTICE_H */
