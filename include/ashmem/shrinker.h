/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_SHRINKER_H
#define ASHMEM_SHRINKER_H

/**
 * @file
 * @brief Giving memory back: purging unpinned ranges, and shrinking caches of the program's own.
 *
 * @defgroup ashmem_shrinker Purging and shrinkers
 * @brief Giving memory back.
 *
 * Give back 40 pages, from the areas and from a cache on the heap:
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 *
 * static uint64_t cached_pages = 100;
 *
 * static uint64_t count(void *userdata)
 * {
 *     (void)userdata;
 *     return cached_pages; // what could be freed; an estimate is enough
 * }
 *
 * static int64_t scan(void *userdata, uint64_t nr_to_scan)
 * {
 *     uint64_t pages = nr_to_scan < cached_pages ? nr_to_scan : cached_pages;
 *
 *     (void)userdata;
 *     cached_pages -= pages; // free() them here; with threads under a trylock
 *     return (int64_t)pages; // what was freed
 * }
 *
 * int main(void)
 * {
 *     struct ashmem_shrinker_options options = {
 *         .struct_size = sizeof(options), .name = "glyphs", .count = count, .scan = scan};
 *     struct ashmem_shrinker *shrinker;
 *
 *     if (ashmem_shrinker_register(&options, &shrinker) < 0)
 *         return 1;
 *     ashmem_shrink(40); // returns the pages freed
 *     ashmem_shrinker_unregister(shrinker);
 *     return 0;
 * }
 * @endcode
 *
 * - A *purge* frees the pages of an unpinned range, in every process and through every mapping.
 *   They then read as zeroes, and the next ashmem_pin() of any of them returns #ASHMEM_WAS_PURGED
 *   (rule 14, docs/architecture.md).
 * - Ranges are purged in the order in which they were unpinned, oldest first (ashmem_unpin_with()
 *   changes that), over all the areas that the process holds, whichever process unpinned them. An
 *   area imported several times counts once.
 * - Pinned pages are never purged (rule 16, docs/architecture.md), nor are held ones.
 * - The program need not call this itself: @ref ashmem_pressure and @ref ashmem_budget do it when
 *   memory is short or a limit is exceeded. Nothing else purges on the memfd backend
 *   (@ref ashmem_who_purges).
 *
 * @section ashmem_shrinkers Shrinkers
 *
 * A *shrinker* makes another cache of the program, on its heap for instance, take part. It is two
 * functions: one *counts* the pages that could be freed, one frees some (*scans*, as kernels call
 * it). ashmem_shrink(), and with it the purging under memory pressure, uses areas and shrinkers
 * alike. The areas are one shrinker among the others, named "areas", with the cost
 * #ASHMEM_SHRINKER_SEEKS_AREAS, or what ashmem_shrinker_set_areas_seeks() sets.
 *
 * **Shares.** ashmem_shrink() works in rounds until enough is freed or nothing more can be. In each
 * round it counts every shrinker, and shares out what is missing, at most the sum of the counts, in
 * proportion to
 *
 *     weight = count / seeks
 *
 * where `seeks` is the cost of making one page again: half the cost, twice the share. The cost of
 * the areas is four times that of a shrinker that names none, as the driver's is among the kernel's
 * caches: beside such a shrinker of the same count they are asked for a fifth, and that for four.
 *
 * - A share is never more than the count. It is whole pages: the fraction is carried into the next
 *   round or call. The pages that rounding leaves over are given one each to the largest
 *   remainders, the earlier registered first among equals.
 * - Shrinkers whose pages cost nothing (#ASHMEM_SHRINKER_FREE) come first: they share everything,
 *   in proportion to count alone, before the others are called.
 * - Areas come before registered shrinkers, these in the order of their registration. The same
 *   counts and results in the same order of calls lead to the same shares. Without registered
 *   shrinkers the areas have it all.
 * - Each share is requested in pieces of at most `batch_pages`, and never more than is still
 *   missing. The areas get theirs in one piece. They purge short ranges whole, which can be more
 *   than their share; the others are then called for less.
 *
 * **Threads.** The functions are called with no lock of the library held, on the thread that calls
 * ashmem_shrink(), ashmem_shrink_count() or ashmem_pressure_dispatch(), on that of
 * ashmem_pressure_run(), and, with a pressure watch, on the one that calls ashmem_unpin() or
 * ashmem_unpin_with() (#ASHMEM_PRESSURE_NOT_IN_UNPIN turns that off). Several threads may call them
 * at once, so a shrinker needs a lock of its own. If scan cannot have that lock at once it returns
 * #ASHMEM_SHRINK_STOP rather than wait: the thread that holds it may be the caller itself.
 *
 * **Recursion.** The functions may make every call of the library. Within them ashmem_shrink() and
 * ashmem_shrink_count() concern the areas alone; no shrinker is called from within a shrinker. A
 * shrinker that is registered meanwhile takes part from the next round of every ashmem_shrink().
 *
 * **Fork.** A child has copies of all shrinkers, on its copies of the caches. A function that runs
 * on another thread at the time of the fork does not run in the child.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of a shrinker's name, with its terminating NUL. */
#define ASHMEM_SHRINKER_NAME_LEN 64
/** The cost of a shrinker that names none. */
#define ASHMEM_SHRINKER_SEEKS_DEFAULT 2
/** The cost of the areas, unless ashmem_shrinker_set_areas_seeks() sets another. */
#define ASHMEM_SHRINKER_SEEKS_AREAS 8
/** struct ashmem_shrinker_options: pages that cost nothing to make again; they are freed first. */
#define ASHMEM_SHRINKER_FREE 4294967295u
/** struct ashmem_shrinker_options: the default of `batch_pages`. */
#define ASHMEM_SHRINKER_BATCH_DEFAULT 128
/** Result of a scan function: nothing can be freed now, do not call again in this shrink. */
#define ASHMEM_SHRINK_STOP (-1)

/** A registered shrinker. Opaque; made by ashmem_shrinker_register(). */
struct ashmem_shrinker;

/**
 * @brief Count the pages that could be freed.
 *
 * Called often, so it must be cheap; an estimate is enough.
 *
 * @param userdata  From the options.
 * @return Pages; 0: the cache is empty.
 */
typedef uint64_t (*ashmem_shrinker_count_fn)(void *userdata);

/**
 * @brief Free pages.
 *
 * @param userdata    From the options.
 * @param nr_to_scan  Pages to free, at least 1; free no more than that. A cache that can only free
 *   larger units rounds up to one unit, and returns what it really freed.
 * @return Pages that were freed. 0: none this time (because all were used recently, say), but
 *   perhaps in the next call; after two rounds in a row without a page the shrinker is not called
 *   again in this ashmem_shrink(). #ASHMEM_SHRINK_STOP or another negative number: not now.
 */
typedef int64_t (*ashmem_shrinker_scan_fn)(void *userdata, uint64_t nr_to_scan);

/**
 * @brief Called once, when a shrinker has ended: no other function of it runs or will run.
 *
 * It is called on the thread of ashmem_shrinker_unregister(), or of the last call that was under
 * way, with no lock of the library held. It may free `userdata`.
 *
 * @param userdata  From the options.
 */
typedef void (*ashmem_shrinker_release_fn)(void *userdata);

/**
 * Options of ashmem_shrinker_register(). Zero is the default of every member but `struct_size`,
 * `count` and `scan`.
 */
struct ashmem_shrinker_options {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it fills in. */
	/** Name for statistics; copied, cut after 63 bytes; NULL means "". */
	const char *name;
	ashmem_shrinker_count_fn count;     /**< Counts what could be freed. */
	ashmem_shrinker_scan_fn scan;       /**< Frees. */
	ashmem_shrinker_release_fn release; /**< Called when it has ended; may be NULL. */
	void *userdata;                     /**< Passed to all three. */
	/** Limit on `nr_to_scan` of one call; 0: #ASHMEM_SHRINKER_BATCH_DEFAULT. */
	uint64_t batch_pages;
	/**
	 * Cost of making a page again, 1 to 65535, or #ASHMEM_SHRINKER_FREE; 0:
	 * #ASHMEM_SHRINKER_SEEKS_DEFAULT.
	 */
	uint32_t seeks;
};

/** What a shrinker has done so far, in all calls of ashmem_shrink(). */
struct ashmem_shrinker_stats {
	size_t struct_size;   /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t scans;       /**< Calls of its scan function. */
	uint64_t asked_pages; /**< Pages wanted from these calls. */
	uint64_t freed_pages; /**< Pages that they freed. */
	uint64_t stops;       /**< Those that returned #ASHMEM_SHRINK_STOP, or failed. */
	uint64_t batch_pages; /**< As registered; UINT64_MAX for the areas. */
	uint64_t seeks;       /**< As registered or set; 0 for #ASHMEM_SHRINKER_FREE. */
	char name[ASHMEM_SHRINKER_NAME_LEN]; /**< As registered; "areas" for the areas. */
};

/**
 * @brief Make a cache of the program take part in ashmem_shrink().
 *
 * @param[in]  options   The functions and settings; not used after the call.
 * @param[out] shrinker  The shrinker; the caller ends it with ashmem_shrinker_unregister().
 * @return 0 on success.
 * @retval -EINVAL  @p options or @p shrinker is NULL, `struct_size` is too small (@ref
 *   ashmem_structs), `count` or `scan` is NULL, or `seeks` is another value.
 * @retval -E2BIG   `struct_size` is larger than what this library knows, and the rest is not all
 *   zero.
 * @retval -ENOMEM  No memory.
 * @retval -ENOSPC  There are 255 shrinkers already.
 *
 * Threads: any thread; also from within a shrinker.
 * @since 0.9
 */
int ashmem_shrinker_register(const struct ashmem_shrinker_options *options,
	struct ashmem_shrinker **shrinker);

/**
 * @brief End a shrinker.
 *
 * When this returns, none of its functions runs, and none is called again: what they use can be
 * freed. So it waits until the functions of this shrinker have returned on other threads. Hold no
 * lock that they need.
 *
 * From within one of its own functions it does not wait: the shrinker ends when that function, and
 * those on other threads, have returned. `release` is called then and only then, so it is best to
 * free there what the functions use. Two shrinkers must not end each other at the same time, each
 * from within a function of its own: both would wait.
 *
 * @param[in] shrinker  From ashmem_shrinker_register(); NULL is allowed.
 *
 * Threads: any thread; also from within a shrinker, but not twice for the same one.
 * @since 0.9
 */
void ashmem_shrinker_unregister(struct ashmem_shrinker *shrinker);

/**
 * @brief Set the cost of the areas beside the registered shrinkers (@ref ashmem_shrinkers).
 *
 * It holds for the whole process, from the next round of every ashmem_shrink(). Without registered
 * shrinkers it has no effect.
 *
 * @param[in] seeks  1 to 65535, or #ASHMEM_SHRINKER_FREE; 0: #ASHMEM_SHRINKER_SEEKS_AREAS.
 * @return 0 on success.
 * @retval -EINVAL  @p seeks is another value.
 *
 * Threads: any thread; also from within a shrinker.
 * @since 0.9
 */
int ashmem_shrinker_set_areas_seeks(uint32_t seeks);

/**
 * @brief Read what a shrinker of the process has done.
 *
 * @param[in]     index  0: the areas; from 1 on the registered ones in the order of their
 *   registration.
 * @param[in,out] stats  Filled up to the bytes in `struct_size`; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL  @p stats is NULL, or `struct_size` is too small (@ref ashmem_structs).
 * @retval -ENOENT  No shrinker has this index: the list ends.
 *
 * Threads: any thread; also from within a shrinker.
 * @since 0.9
 */
int ashmem_shrinker_get_stats(uint32_t index, struct ashmem_shrinker_stats *stats);

/**
 * @brief Purge every unpinned range of every area that the process holds.
 *
 * Ranges that hold no memory are marked and counted as well, as the driver does it. Registered
 * shrinkers take no part. On the kernel backend the driver is asked to purge, and it
 * purges the areas of the whole system.
 *
 * @return The number of pages that were evictable before the call (rule 15, docs/architecture.md).
 * @retval -EPERM      The driver is in use and the caller lacks CAP_SYS_ADMIN; nothing was purged.
 * @retval -ETIMEDOUT  Another process kept an area locked for too long; the others were purged.
 * @retval -EUCLEAN    An area's shared state is damaged; the others were purged.
 * @retval -EBADF      The program has closed an area's descriptor (@ref ashmem_descriptors); the
 *   others were purged.
 * @retval -EIO        The kernel refused to free pages of an area, which stay evictable; the others
 *   were purged.
 * @retval -ENODEV, -EMFILE, -ENFILE, -ENOMEM  (kernel backend) The driver's node cannot be opened;
 *   nothing was purged.
 * @retval -EDEADLK    Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread. Waits for another purge of the same process to end. Calls purge subscribers
 * on this thread: hold no lock that they wait for.
 * @since 0.9
 */
int64_t ashmem_purge_all(void);

/**
 * @brief Free exactly these pages of an area now, as far as they are unpinned.
 *
 * For a cache that knows what is of no use any more, because an entry was removed or replaced: it
 * need not wait until the range is the oldest.
 *
 * @code{.unparsed}
 * ashmem_unpin(area, offset, bytes);
 * ashmem_purge(area, offset, bytes); // the entry was removed
 * @endcode
 *
 * Pinned and held pages are passed over (ashmem_hold(), read-only pins), and so are pages that hold
 * no memory. The next pin of what was freed returns #ASHMEM_WAS_PURGED. Of a range that lies only
 * partly within these bytes a part is purged, and the rest stays as it is, with its mark, age and
 * priority: from then on they are ranges of their own. So where entries are purged one by one,
 * unpin them one by one. Other processes and subscribers see it as any other purge.
 *
 * @param[in] area          A materialised area.
 * @param[in] offset_bytes  First byte, a multiple of the page size.
 * @param[in] length_bytes  A multiple of the page size, within the area's size rounded up to whole
 *   pages; 0 means to the end.
 * @return The number of pages freed, as ashmem_shrink() counts them; 0 if there was nothing.
 * @retval -EINVAL     @p area is NULL, not materialised, or the bytes are not whole pages of it.
 * @retval -ENOTSUP    The kernel backend: the driver purges what is oldest or everything, and a
 *   purge from outside would leave no mark, so that a pin would not tell. Also a plain area.
 * @retval -EACCES     The handle is read-only, or the area is sealed.
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors; nothing was freed.
 * @retval -EIO        The kernel refused to free pages, and nothing was freed.
 * @retval -EDEADLK    Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread. Calls purge subscribers on this thread: hold no lock that they wait for.
 * Waits for another purge of the same process to end.
 * @since 1.0
 */
int64_t ashmem_purge(struct ashmem_area *area, uint64_t offset_bytes, uint64_t length_bytes);

/**
 * @brief Free a number of pages: purge the least recently unpinned ranges, and call the shrinkers.
 *
 * Without registered shrinkers the areas free it all; with them it is shared out by count and cost
 * (@ref ashmem_shrinkers). Areas of the kernel backend take no part: only the kernel decides when
 * the driver purges.
 *
 * Only memory counts. Pages of unpinned ranges that hold none (never written, or purged and not
 * filled since) are passed over and get no mark, and a range that is found to hold none is not
 * looked at again until it is pinned. If nothing else is left, memory is looked for where there
 * should be none: a process that writes to unpinned pages, or only reads purged ones through a
 * mapping, gives them memory again. What is freed is measured by the file's blocks. While others
 * write to the same area, that can be less than what went, and then more goes.
 *
 * Ranges of up to 512 pages go whole, so more pages than wanted can be freed. A longer range goes
 * in part: what is left of it stays purgeable, and a pin of any of it returns #ASHMEM_WAS_PURGED.
 *
 * Areas that another process keeps locked are passed over
 * while others have something to give, and then waited for: at most five seconds, for all of them
 * together.
 *
 * @param[in] nr_pages  Pages wanted. 0 purges nothing, and calls no shrinker.
 * @return The number of pages freed; less than @p nr_pages only if no more could be. Ranges that
 *   are unpinned during the call may be left out.
 * @retval -ETIMEDOUT  Another process kept an area locked for too long and nothing could be freed.
 * @retval -EUCLEAN    An area's shared state is damaged and nothing could be freed.
 * @retval -EBADF      The program has closed an area's descriptor (@ref ashmem_descriptors) and
 *   nothing could be freed.
 * @retval -EIO        The kernel refused to free pages, and nothing could be freed; they stay
 *   evictable.
 * @retval -EDEADLK    Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread. Calls purge subscribers and shrinkers on this thread: hold no lock that they
 * wait for. While it purges areas it waits for another purge of the same process to end.
 * @since 0.9
 */
int64_t ashmem_shrink(uint64_t nr_pages);

/**
 * @brief Count the pages that a shrink could free now: an upper bound.
 *
 * Pages that hold no memory are counted until a shrink has looked at their range. Pages that are
 * held (ashmem_hold()), or that read-only peers have pinned, are counted too, though
 * a shrink skips their ranges. Other threads and processes pin and unpin meanwhile, so the number
 * is a snapshot.
 *
 * @return Pages in unpinned, not yet purged ranges of the areas that this process holds, plus the
 *   counts of the registered shrinkers; UINT64_MAX if the sum is more. Never fails.
 *
 * Threads: any thread; takes no area's lock. Calls the count functions of shrinkers on this thread:
 * hold no lock that they wait for.
 * @since 0.9
 */
uint64_t ashmem_shrink_count(void);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_SHRINKER_H */
