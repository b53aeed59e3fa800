/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_STATS_H
#define ASHMEM_STATS_H

/**
 * @file
 * @brief What an area and the process hold: counts that are cheap enough to be always on.
 *
 * @defgroup ashmem_stats Statistics
 * @brief What an area and the process hold.
 *
 * The structures grow at their end in later versions. The caller sets `struct_size` to the size it knows
 * (`sizeof`, or the number its FFI declares); the library fills that many bytes, zeroes what it does not know,
 * and never writes beyond.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Counts of one area, the same in every process that shares it. */
struct ashmem_area_stats {
	size_t struct_size;         /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t size_pages;        /**< Pages of the area: its size, rounded up. */
	uint64_t unpinned_ranges;   /**< Ranges in the range list. */
	uint64_t unpinned_pages;    /**< Pages in those ranges, purged or not. */
	uint64_t evictable_pages;   /**< Pages of those that a purge could free now. */
	uint64_t purged_pages;      /**< Pages purged since the area was made, by any process. */
	uint64_t pins_found_purged; /**< Calls of ashmem_pin() that answered ASHMEM_WAS_PURGED. */
	uint64_t recoveries;        /**< Times the state was recovered after a peer died in a call. */
};

/** Counts of the calling process over all areas that it holds. */
struct ashmem_process_stats {
	size_t struct_size;       /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t areas;           /**< Areas held; imported twice counts once (but for a read-only and then a writable import). */
	uint64_t evictable_pages; /**< What ashmem_shrink_count() would answer. */
	uint64_t purged_pages;    /**< Pages that this process has purged since it began. */
};

/**
 * @brief Read the counts of an area.
 *
 * @param[in]     area   An area.
 * @param[in,out] stats  `struct_size` says how much of it to fill; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL     @p area or @p stats is NULL, or `struct_size` is smaller than itself.
 * @retval -ENOTSUP    The kernel backend: the driver tells none of this.
 * @retval -EACCES     The area was imported through a read-only descriptor.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Before the area is materialised only `size_pages` is not 0.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_area_get_stats(struct ashmem_area *area, struct ashmem_area_stats *stats);

/**
 * @brief Read the counts of the process.
 *
 * @param[in,out] stats  `struct_size` says how much of it to fill; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL  @p stats is NULL, or `struct_size` is smaller than itself.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_process_get_stats(struct ashmem_process_stats *stats);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_STATS_H */
