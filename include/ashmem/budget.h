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
 * A *budget* bounds the memory of areas: what is *unpinned*, and, separately, *all* of it. The call
 * that exceeds a limit purges at once, before it returns: the budget's ranges in the order of
 * ashmem_shrink(), least recently unpinned first within a priority, until the limit is kept or
 * nothing is left to purge. Pinned pages are never touched (contract rule 16). There is one budget
 * for all areas that the process holds, ashmem_budget_process(), and as many for groups of areas as
 * the program makes. An area is in one group at the most. If a call exceeds both, the group is
 * purged first.
 *
 * @section ashmem_budget_counted What is counted
 *
 * Pages, each as a whole, from the areas' own state, so that the same calls lead to the same
 * numbers and the same purges:
 *
 * - *unpinned*: the pages of unpinned ranges that a purge could still free, as
 *   ashmem_shrink_count() counts them.
 * - *all*: the pages of materialised areas that are not purged: the area's size less the pages that
 *   were purged and not pinned since. A pin of purged pages counts them again, because they are
 *   about to be filled.
 *
 * *all* bounds the data's really resident memory from above. Less is resident if pages were never
 * written or are swapped out. The state of an area, a page or two, is not counted, nor are the
 * private copies of a `MAP_PRIVATE` mapping, nor an area that is only mapped and not held any more.
 *
 * Counted are areas whose state this process can change. Areas that were imported read-only and
 * foreign memfds count 0, and the process budget passes over areas of the kernel backend: the
 * driver tells no counts, and the kernel alone purges there.
 *
 * @section ashmem_budget_calls Which calls exceed
 *
 * *unpinned* grows by ashmem_unpin(), ashmem_unpin_with() and ashmem_release(). *all* grows by what
 * materialises an area: the first ashmem_map(), ashmem_fd(), ashmem_send(),
 * ashmem_export_read_only() or ashmem_seal(); and by ashmem_pin(), ashmem_pin_lost() and
 * ashmem_release() of purged pages. Both grow by ashmem_import(), ashmem_recv(),
 * ashmem_budget_add(), and a new limit. Each of these purges what is over when it has done its
 * work, and its answer is the same as without a budget.
 *
 * If what is pinned (or held, ashmem_hold()) exceeds the limit on *all* by itself, all that is
 * unpinned goes and the call succeeds; ashmem_budget_get_usage() says by how much the limit is
 * exceeded. With #ASHMEM_BUDGET_REFUSE the calls that would materialise an area answer -EDQUOT
 * instead, before anything is changed, if its size does not fit beside what is pinned. Pins and
 * imports are never refused.
 *
 * @section ashmem_budget_sharing Other processes, threads, fork
 *
 * A budget belongs to one process and bounds the areas that it holds. A page of a shared area
 * counts in every process that holds the area. What other processes unpin, pin and purge there is
 * noticed by the next call of this process on the same area; and before anything is purged, and by
 * ashmem_budget_get_usage(), all areas of the budget are counted anew. Only calls of this process
 * purge for its budgets.
 *
 * Subscribers (notice.h) that are called while something is purged for a budget may unpin: the
 * purge goes on with that, until as much as was unpinned when it began has gone. What they unpin
 * last may so be over the limit, until the next call.
 *
 * Threads may exceed a budget at the same time: one purges, the others wait and purge what is still
 * over, if anything. A child of fork has copies of all budgets, for its own handles.
 *
 * Without budgets none of this costs anything. With one, an unpin costs a mutex more; a purge looks
 * at all areas that the process holds. @{
 */

#include <stddef.h>
#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct ashmem_budget_options and struct ashmem_budget_usage: no limit. In the options 0 means the
 * same.
 */
#define ASHMEM_BUDGET_UNLIMITED 18446744073709551615u
/**
 * struct ashmem_budget_options: refuse to materialise what does not fit beside the pinned pages
 * (-EDQUOT).
 */
#define ASHMEM_BUDGET_REFUSE 1u

/** A budget. Opaque; made by ashmem_budget_create(). */
struct ashmem_budget;

/** Limits of a budget. Zero is the default of every member but the first: no limit. */
struct ashmem_budget_options {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it fills in. */
	/**
	 * Most bytes of unpinned memory; rounded down to pages, so that 1 keeps nothing; 0: no
	 * limit.
	 */
	uint64_t unpinned_bytes;
	uint64_t all_bytes; /**< Most bytes of all memory; rounded down to pages; 0: no limit. */
	uint32_t flags;     /**< 0 or #ASHMEM_BUDGET_REFUSE. */
};

/** What a budget holds and has done. */
struct ashmem_budget_usage {
	size_t struct_size;      /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t unpinned_bytes; /**< Unpinned memory now. */
	uint64_t all_bytes;      /**< All memory now. */
	/** The limit on it as it was set, or #ASHMEM_BUDGET_UNLIMITED. */
	uint64_t unpinned_limit_bytes;
	/** The limit on it as it was set, or #ASHMEM_BUDGET_UNLIMITED. */
	uint64_t all_limit_bytes;
	/**
	 * By how much a limit is exceeded (the larger of the two), because pages are pinned or
	 * held; else 0.
	 */
	uint64_t over_bytes;
	uint64_t areas;        /**< Areas in it. */
	uint64_t purges;       /**< Times that something was purged for it. */
	uint64_t purged_pages; /**< Pages that were. */
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
	struct ashmem_budget **budget);

/**
 * @brief The budget of all areas that the process holds.
 *
 * It is always there, without limits at first. ashmem_budget_close() does not end it but lifts its
 * limits; areas cannot be added to it or removed.
 *
 * @return The budget, the library's own; never NULL.
 *
 * Threads: any thread.
 * @since 0.9
 */
struct ashmem_budget *ashmem_budget_process(void);

/**
 * @brief End a budget. Its areas are in no group any more; nothing happens to them.
 *
 * @param[in] budget  From ashmem_budget_create() or ashmem_budget_process(); NULL is fine.
 *
 * Threads: any thread, but no other call may be given the budget at the same time or later. Calls
 * on its areas may.
 * @since 0.9
 */
void ashmem_budget_close(struct ashmem_budget *budget);

/**
 * @brief Set the limits of a budget, both of them and the flags; purges what is over.
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
 * Threads: any thread. Waits for another purge of the same process to end.
 * @since 0.9
 */
int ashmem_budget_set_limits(struct ashmem_budget *budget,
	const struct ashmem_budget_options *options);

/**
 * @brief Put an area into a group; purges what is over then.
 *
 * The area leaves the group with the last ashmem_close() of the process, by ashmem_budget_remove(),
 * or when the budget ends.
 *
 * @param[in] budget  A budget.
 * @param[in] area    An area; it need not be materialised.
 * @return 0 on success, also if it is in this group already.
 * @retval -EINVAL   @p budget or @p area is NULL, or @p budget is the process's.
 * @retval -EBUSY    The area is in another group.
 * @retval -ENOTSUP  The kernel backend, or a registered one without #ASHMEM_BACKEND_CAP_LRU.
 *
 * Threads: any thread. Waits for another purge of the same process to end.
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
 * @brief Count a budget's areas.
 *
 * @param[in]     budget  A budget.
 * @param[in,out] usage   `struct_size` says how much of it to fill; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL  @p budget or @p usage is NULL, or `struct_size` is too small (@ref
 *   ashmem_structs).
 *
 * Threads: any thread; takes no area's lock, and purges nothing.
 * @since 0.9
 */
int ashmem_budget_get_usage(struct ashmem_budget *budget, struct ashmem_budget_usage *usage);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_BUDGET_H */
