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
 * The structures grow at their end in later versions (@ref ashmem_structs): set `struct_size`
 * first. @{
 */

#include <stddef.h>
#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Counts of one area, the same in every process that shares it. */
struct ashmem_area_stats {
	size_t struct_size;       /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t size_pages;      /**< Pages of the area: its size, rounded up. */
	uint64_t unpinned_ranges; /**< Ranges in the range list. */
	uint64_t unpinned_pages;  /**< Pages in those ranges, purged or not. */
	uint64_t evictable_pages; /**< Pages of those that a purge could free now. */
	uint64_t purged_pages;    /**< Pages purged since the area was made, by any process. */
	uint64_t pins_found_purged; /**< Calls of ashmem_pin() that answered ASHMEM_WAS_PURGED. */
	uint64_t recoveries;   /**< Times the state was recovered after a peer died in a call. */
	uint64_t pinned_pages; /**< Pages that are not in a range of the range list. */
	/**
	 * Pages of the data that take memory or swap space, by the kernel's count at this moment.
	 */
	uint64_t resident_pages;
	/** Pages that this process holds (ashmem_hold()) or, on a read-only handle, has pinned. */
	uint64_t held_pages;
	/** Calls that found the area locked by another call and got the lock after a wait. */
	uint64_t lock_waits;
	uint64_t lock_timeouts; /**< Calls that gave up waiting: -ETIMEDOUT. */
	/** 1: there may be read-only peers or holds, so that every purge looks for them; else 0. */
	uint32_t readers;
	/** 1: sealed against writing (ashmem_seal()), so nothing of it can be purged; else 0. */
	uint32_t sealed;
};

/** Counts of the calling process over all areas that it holds. */
struct ashmem_process_stats {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it knows. */
	/**
	 * Areas held; imported twice counts once (but for a read-only and then a writable import).
	 */
	uint64_t areas;
	/**
	 * Pages of them that a purge could free now: ashmem_shrink_count() without registered
	 * shrinkers.
	 */
	uint64_t evictable_pages;
	uint64_t purged_pages; /**< Pages that this process has purged since it began. */
	/* Sums over the areas, as in struct ashmem_area_stats. */
	uint64_t size_pages;      /**< Pages of the areas. */
	uint64_t pinned_pages;    /**< Pages of them that are pinned. */
	uint64_t unpinned_ranges; /**< Ranges in their range lists. */
	uint64_t unpinned_pages;  /**< Pages in those ranges. */
	uint64_t resident_pages;  /**< Pages that take memory or swap space. */
	/** Pages that this process holds, or has pinned through read-only handles. */
	uint64_t held_pages;
	/** Pages purged in these areas since they were made, by any process. */
	uint64_t areas_purged_pages;
	uint64_t pins_found_purged; /**< Pins that answered ASHMEM_WAS_PURGED, of any process. */
	uint64_t lock_waits;        /**< Calls that waited for an area's lock, of any process. */
	uint64_t lock_timeouts;     /**< Calls that gave up waiting, of any process. */
	uint64_t recoveries;        /**< Recoveries after a peer died. */
	uint64_t sealed_areas; /**< Areas that are sealed, so that nothing of them can be purged. */
	/**
	 * Areas that count in `areas` only: of the kernel backend, damaged, or locked for too long.
	 */
	uint64_t unknown_areas;
	/**
	 * What a watch on memory pressure of this process said last: ASHMEM_PRESSURE_NONE and so
	 * on.
	 */
	uint32_t pressure_level;
	uint32_t reserved; /**< 0. */
	/**
	 * The source that said so: a static string of the table in pressure.h, "none" if no watch
	 * has looked.
	 */
	const char *pressure_source;
};

/**
 * @brief Read the counts of an area.
 *
 * @param[in]     area   An area.
 * @param[in,out] stats  `struct_size` says how much of it to fill; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL     @p area or @p stats is NULL, or `struct_size` is too small (@ref
 *   ashmem_structs).
 * @retval -ENOTSUP    The kernel backend: the driver tells none of this.
 * @retval -EACCES     The area's state is not to be had: a read-only descriptor that the library
 *   did not make.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Before the area is materialised only `size_pages` and `pinned_pages` are not 0. Read-only peers
 * can ask as well; what they pin is counted in their own `held_pages` alone, since they cannot
 * write. A foreign memfd has a size and resident pages.
 *
 * Counting costs nothing while nobody asks, but for waits. Asking takes the area's lock for a
 * moment, and three system calls or more for `resident_pages`: some microseconds.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_area_get_stats(struct ashmem_area *area, struct ashmem_area_stats *stats);

/**
 * @brief Read the counts of the process.
 *
 * The sums ask every area, some microseconds each, and are not taken at one moment; who sets
 * `struct_size` to what comes before them gets the first counts without. What is shared by several
 * processes is in the sums of each.
 *
 * @param[in,out] stats  `struct_size` says how much of it to fill; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL  @p stats is NULL, or `struct_size` is too small (@ref ashmem_structs).
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
