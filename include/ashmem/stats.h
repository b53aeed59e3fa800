/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_STATS_H
#define ASHMEM_STATS_H

/**
 * @file
 * @brief Statistics of an area and of the process: counts that are cheap enough to be always on.
 *
 * @defgroup ashmem_stats Statistics
 * @brief Counts of an area and of the process.
 *
 * Set `struct_size` before the call; the structures grow at their end in later versions
 * (@ref ashmem_structs):
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 * #include <inttypes.h>
 * #include <stdio.h>
 *
 * int main(void)
 * {
 *     struct ashmem_process_stats stats = {.struct_size = sizeof(stats)};
 *
 *     if (ashmem_process_get_stats(&stats) < 0)
 *         return 1;
 *     printf("%" PRIu64 " of %" PRIu64 " pages can be purged\n",
 *         stats.evictable_pages, stats.size_pages);
 *     return 0;
 * }
 * @endcode
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
	size_t struct_size;       /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t size_pages;      /**< Pages of the area: its size, rounded up. */
	uint64_t unpinned_ranges; /**< Ranges in the range list. */
	uint64_t unpinned_pages;  /**< Pages in those ranges, purged or not. */
	uint64_t evictable_pages; /**< Pages in those ranges that a purge could free now. */
	uint64_t purged_pages;    /**< Pages purged since the area was made, by any process. */
	uint64_t pins_found_purged; /**< Pins that returned #ASHMEM_WAS_PURGED. */
	uint64_t recoveries;   /**< Times the state was recovered after a peer died in a call. */
	uint64_t pinned_pages; /**< Pages that are not in a range of the range list. */
	/** Pages of the data that use memory or swap space now, by the kernel's count. */
	uint64_t resident_pages;
	/** Pages that this process holds (ashmem_hold()) or, on a read-only handle, has pinned. */
	uint64_t held_pages;
	/** Calls that found the area locked by another call and got the lock after a wait. */
	uint64_t lock_waits;
	uint64_t lock_timeouts; /**< Calls that gave up waiting: -ETIMEDOUT. */
	/** 1: there may be read-only pins or holds, so every purge looks for them; else 0. */
	uint32_t readers;
	/** 1: sealed against writing (ashmem_seal()), so nothing of it can be purged; else 0. */
	uint32_t sealed;
};

/** Counts of the calling process over all areas that it holds. */
struct ashmem_process_stats {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it knows. */
	/**
	 * Areas held. An area imported twice counts once, unless the first import was read-only and
	 * the second writable.
	 */
	uint64_t areas;
	/**
	 * Pages of those areas that a purge could free now: ashmem_shrink_count() without
	 * registered shrinkers.
	 */
	uint64_t evictable_pages;
	uint64_t purged_pages; /**< Pages that this process has purged since it began. */
	/* Sums over the areas, as in struct ashmem_area_stats. */
	uint64_t size_pages;      /**< Pages of the areas. */
	uint64_t pinned_pages;    /**< Pages of the areas that are pinned. */
	uint64_t unpinned_ranges; /**< Ranges in their range lists. */
	uint64_t unpinned_pages;  /**< Pages in those ranges. */
	uint64_t resident_pages;  /**< Pages that use memory or swap space. */
	/** Pages that this process holds, or has pinned through read-only handles. */
	uint64_t held_pages;
	/** Pages purged in these areas since they were made, by any process. */
	uint64_t areas_purged_pages;
	uint64_t pins_found_purged; /**< Pins that returned #ASHMEM_WAS_PURGED, in any process. */
	uint64_t lock_waits;        /**< Calls that waited for an area's lock, in any process. */
	uint64_t lock_timeouts;     /**< Calls that gave up waiting, in any process. */
	uint64_t recoveries;        /**< Recoveries after a peer died. */
	uint64_t sealed_areas; /**< Areas that are sealed, so that nothing of them can be purged. */
	/**
	 * Areas that only `areas` counts: of the kernel backend, damaged, or locked for too long.
	 */
	uint64_t unknown_areas;
	/**
	 * The last ASHMEM_PRESSURE_ level (#ASHMEM_PRESSURE_NONE and so on) that a pressure watch
	 * of this process found.
	 */
	uint32_t pressure_level;
	uint32_t reserved; /**< 0. */
	/**
	 * The source of that level: a static string (@ref ashmem_pressure_sources), "none" if no
	 * watch has looked.
	 */
	const char *pressure_source;
};

/**
 * @brief Read the counts of an area.
 *
 * Before the area is materialised only `size_pages` and `pinned_pages` are not 0. Read-only peers
 * can read the counts too; their pins are counted only in their own `held_pages`, since they cannot
 * write. A foreign memfd has a size and resident pages.
 *
 * Counting costs nothing unless a call waits. Reading takes the area's lock for a moment, and three
 * or more system calls for `resident_pages`: some microseconds.
 *
 * @param[in]     area   An area.
 * @param[in,out] stats  Filled up to the bytes in `struct_size`; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL     @p area or @p stats is NULL, or `struct_size` is too small (@ref
 *   ashmem_structs).
 * @retval -ENOTSUP    The kernel backend: the driver does not report it.
 * @retval -EACCES     The state cannot be read: the area was imported through a descriptor that was
 *   made read-only without this library.
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_area_get_stats(struct ashmem_area *area, struct ashmem_area_stats *stats);

/**
 * @brief Read the counts of the process.
 *
 * The sums, from `size_pages` on, read every area, some microseconds each, and not at one moment. A
 * `struct_size` that ends before them gets the first counts without this cost. An area that several
 * processes share is in the sums of each.
 *
 * @param[in,out] stats  Filled up to the bytes in `struct_size`; the caller owns it.
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
