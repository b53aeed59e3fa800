/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_BUDGET_H
#define ASHMEM_BUDGET_H

/**
 * @file
 * @brief Budgets: hard limits on the memory of the process's areas, and of groups of them.
 *
 * @defgroup ashmem_budget Budgets
 * @brief Hard limits on the memory of areas.
 *
 * Keep at most 64 MiB of unpinned memory in all areas of the process:
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 *
 * int main(void)
 * {
 *     struct ashmem_budget_options limits = {
 *         .struct_size = sizeof(limits),
 *         .unpinned_bytes = 64 << 20,
 *     };
 *
 *     if (ashmem_budget_set_limits(ashmem_budget_process(), &limits) < 0)
 *         return 1;
 *     // ... an unpin that exceeds the limit now purges the oldest ranges before it returns ...
 *     return 0;
 * }
 * @endcode
 *
 * - A *budget* limits the *unpinned* memory of areas and, separately, *all* of it.
 * - The call that exceeds a limit purges at once, before it returns: ranges of the budget's areas
 *   in the order of ashmem_shrink(), until the limit is kept or nothing is left to purge. Shrinkers
 *   are not called. Pinned pages are never purged (rule 16, docs/architecture.md).
 * - The process has one budget for all areas that it holds, ashmem_budget_process(), and makes as
 *   many as it likes for groups of areas, ashmem_budget_create(). An area is in at most one group.
 *   If a call exceeds both, the group is purged first.
 * - Purge subscribers are called within the call that exceeds, on its thread: hold no lock that
 *   they wait for (@ref ashmem_who_purges).
 *
 * @section ashmem_budget_counted What is counted
 *
 * Whole pages, from the areas' own state, so that the same calls lead to the same numbers and the
 * same purges:
 *
 * - *unpinned*: pages of unpinned ranges that a purge could still free, as ashmem_shrink_count()
 *   counts them.
 * - *all*: pages of materialised areas, less the lost ones (purged and not pinned since). A pin of
 *   lost pages counts them again, because they are about to be filled.
 *
 * The memory of the data is never more than *all*. It is less if pages were never written, and it
 * is what the limit on *all* is compared with: of each area the lesser of the two, so that a large
 * area with little in it purges nothing. Pages in swap space count as memory. What was written
 * since is noticed by the next of the calls below on the same area. Not counted are the state of an
 * area (a page or two), the private copies of a `MAP_PRIVATE` mapping, and an area that is only
 * mapped and no longer held.
 *
 * Only areas whose state this process can change are counted. Areas imported read-only and foreign
 * memfds count 0. The process budget ignores areas of the kernel backend: the driver reports
 * no counts, and only the kernel purges there.
 *
 * @section ashmem_budget_calls Which calls can exceed a budget
 *
 * - *unpinned* grows by ashmem_unpin(), ashmem_unpin_with() and ashmem_release().
 * - *all* grows by the call that materialises an area (the first ashmem_map(), ashmem_fd(),
 *   ashmem_send(), ashmem_export_read_only() or ashmem_seal()), and by ashmem_pin(),
 *   ashmem_pin_lost() and ashmem_release() of lost pages.
 * - Both grow by ashmem_import(), ashmem_recv() and ashmem_budget_add(), and a new limit can be
 *   below what is there.
 *
 * Each of these does its work, purges what exceeds, and returns the same as without a budget.
 *
 * If pinned and held pages alone exceed the limit on *all*, everything unpinned is purged and the
 * call succeeds; `over_bytes` of ashmem_budget_get_usage() is the excess. With
 * #ASHMEM_BUDGET_REFUSE the calls that would materialise an area return -EDQUOT instead, before
 * anything is changed, if its size does not fit together with the pinned pages. Pins and imports
 * are never refused.
 *
 * @section ashmem_budget_sharing Other processes, threads, fork
 *
 * - A budget belongs to one process, and only calls of this process purge for it. A page of a
 *   shared area counts in every process that holds the area.
 * - What other processes unpin, pin and purge is noticed by the next call of this process on the
 *   same area. Before anything is purged, the areas that other processes may have are counted
 *   anew; by ashmem_budget_get_usage(), all of the budget.
 * - Purge subscribers (notice.h) may unpin: the purge goes on with that, until as much is purged as
 *   was unpinned when it began. What they unpin last may exceed the limit until the next call.
 * - Several threads may exceed a budget at once: one purges, the others wait and purge what still
 *   exceeds.
 * - A child of fork has copies of all budgets, for its own handles.
 * - Without budgets this costs nothing. With one, an unpin takes one more mutex, and a purge looks
 *   at the areas that other processes may have and at those that it purges, however many more there
 *   are. (With a limit on *all* also at those that were never filled.)
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct ashmem_budget_options, struct ashmem_budget_usage: no limit. In the options 0 means the
 * same.
 */
#define ASHMEM_BUDGET_UNLIMITED 18446744073709551615u
/**
 * struct ashmem_budget_options: refuse with -EDQUOT to materialise an area that does not fit
 * together with the pinned pages.
 */
#define ASHMEM_BUDGET_REFUSE 1u

/** A budget. Opaque; made by ashmem_budget_create(). */
struct ashmem_budget;

/** Limits of a budget. Zero is the default of every member but the first: no limit. */
struct ashmem_budget_options {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it fills in. */
	/**
	 * Limit on unpinned memory in bytes; rounded down to pages, so that 1 keeps nothing; 0: no
	 * limit.
	 */
	uint64_t unpinned_bytes;
	uint64_t all_bytes; /**< Limit on all memory in bytes; rounded down to pages; 0: none. */
	uint32_t flags;     /**< 0 or #ASHMEM_BUDGET_REFUSE. */
};

/** What a budget's areas hold, and what was done for it. */
struct ashmem_budget_usage {
	size_t struct_size;      /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t unpinned_bytes; /**< Unpinned memory now. */
	uint64_t all_bytes;      /**< All memory now. */
	/** The limit on unpinned memory as it was set, or #ASHMEM_BUDGET_UNLIMITED. */
	uint64_t unpinned_limit_bytes;
	/** The limit on all memory as it was set, or #ASHMEM_BUDGET_UNLIMITED. */
	uint64_t all_limit_bytes;
	/**
	 * Bytes by which a limit is exceeded (the larger of the two), because pages are pinned or
	 * held; else 0. For all memory what was never written does not count.
	 */
	uint64_t over_bytes;
	uint64_t areas;        /**< Areas in the budget. */
	uint64_t purges;       /**< Times that something was purged for it. */
	uint64_t purged_pages; /**< Pages purged for it. */
};

/**
 * @brief Make a budget for a group of areas.
 *
 * @param[in]  options  The limits; NULL: none yet. Not used after the call.
 * @param[out] budget   The budget; the caller ends it with ashmem_budget_close().
 * @return 0 on success.
 * @retval -EINVAL  @p budget is NULL, `struct_size` is too small (@ref ashmem_structs), or `flags`
 *   has another bit.
 * @retval -E2BIG   `struct_size` is larger than what this library knows, and the rest is not all
 *   zero.
 * @retval -ENOMEM  No memory.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_budget_create(const struct ashmem_budget_options *options,
	struct ashmem_budget **budget) ASHMEM_MUST_CHECK;

/**
 * @brief The budget of all areas that the process holds.
 *
 * It always exists, without limits at first. ashmem_budget_close() does not end it but removes its
 * limits; areas cannot be added or removed.
 *
 * @return The budget, the library's own; never NULL.
 *
 * Threads: any thread.
 * @since 0.9
 */
struct ashmem_budget *ashmem_budget_process(void);

/**
 * @brief End a budget.
 *
 * Its areas are in no group any more; nothing else happens to them.
 *
 * @param[in] budget  From ashmem_budget_create() or ashmem_budget_process(); NULL is allowed.
 *
 * Threads: any thread, but no other call may use the budget at the same time or later. Calls on its
 * areas may run.
 * @since 0.9
 */
void ashmem_budget_close(struct ashmem_budget *budget);

/**
 * @brief Set both limits and the flags of a budget, and purge what exceeds them.
 *
 * @param[in] budget   A budget.
 * @param[in] options  The limits; not used after the call.
 * @return 0 on success.
 * @retval -EINVAL  @p budget or @p options is NULL, `struct_size` is too small (@ref
 *   ashmem_structs), or `flags` has another bit.
 * @retval -E2BIG   `struct_size` is larger than what this library knows, and the rest is not all
 *   zero.
 * @retval -EDEADLK  Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread. Waits for another purge of the same process to end. Purge subscribers are
 * called on this thread: hold no lock that they wait for.
 * @since 0.9
 */
int ashmem_budget_set_limits(struct ashmem_budget *budget,
	const struct ashmem_budget_options *options);

/**
 * @brief Put an area into a group, and purge what then exceeds its limits.
 *
 * The area leaves the group with the last ashmem_close() of the process, by ashmem_budget_remove(),
 * or when the budget ends.
 *
 * @param[in] budget  A budget.
 * @param[in] area    An area; it need not be materialised.
 * @return 0 on success, also if it is in this group already.
 * @retval -EINVAL   @p budget or @p area is NULL, or @p budget is ashmem_budget_process().
 * @retval -EBUSY    The area is in another group.
 * @retval -ENOTSUP  The kernel backend, or a registered one without #ASHMEM_BACKEND_CAP_LRU.
 *
 * Threads: any thread. Waits for another purge of the same process to end. Purge subscribers are
 * called on this thread: hold no lock that they wait for.
 * @since 0.9
 */
int ashmem_budget_add(struct ashmem_budget *budget, struct ashmem_area *area);

/**
 * @brief Take an area out of a group.
 *
 * @param[in] budget  A budget.
 * @param[in] area    An area of its group.
 * @return 0 on success.
 * @retval -EINVAL  @p budget or @p area is NULL, or the area is not in this group.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_budget_remove(struct ashmem_budget *budget, struct ashmem_area *area);

/**
 * @brief Count the memory of a budget's areas.
 *
 * @param[in]     budget  A budget.
 * @param[in,out] usage   Filled up to the bytes in `struct_size`; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL  @p budget or @p usage is NULL, or `struct_size` is too small (@ref
 *   ashmem_structs).
 *
 * Threads: any thread. Takes no area's lock and purges nothing.
 * @since 0.9
 */
int ashmem_budget_get_usage(struct ashmem_budget *budget, struct ashmem_budget_usage *usage);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_BUDGET_H */
