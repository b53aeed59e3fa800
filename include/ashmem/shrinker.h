/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_SHRINKER_H
#define ASHMEM_SHRINKER_H

/**
 * @file
 * @brief Giving memory back: purge what is unpinned, least recently unpinned first; and caches of
 *   the program's own.
 *
 * @defgroup ashmem_shrinker Purging and shrinkers
 * @brief Giving memory back.
 *
 * A *purge* frees the pages of an unpinned range, in every process and through every mapping; they
 * read as zeroes afterwards and the next ashmem_pin() of any of them answers #ASHMEM_WAS_PURGED
 * (contract rule 14). Ranges go in the order in which they were unpinned, oldest first, over all
 * the areas that the process holds, whichever process unpinned them. An area that was imported
 * several times counts once. Pinned pages are never touched (contract rule 16).
 *
 * @section ashmem_shrinkers Shrinkers
 *
 * A program has other caches too, on its heap for instance. A *shrinker* makes one of them take
 * part: two functions, one that *counts* the pages that could be freed, and one that frees some
 * (*scans*, as kernels call it). ashmem_shrink(), and with it the purging under memory pressure
 * (@ref ashmem_pressure), then asks areas and shrinkers alike. The areas are one shrinker among the
 * others, named "areas", with the cost 2.
 *
 * **How the work is spread.** ashmem_shrink() goes in rounds until enough is freed or nobody can
 * free more. In each round every shrinker is counted, and what is missing, at most the sum of the
 * counts, is shared out in proportion to
 *
 *     weight = count / seeks
 *
 * where `seeks` is the cost of making one page again: half the cost, twice the share. A share is
 * never more than the count. Shares are whole pages: what is left of one is carried into the next
 * round or call, and the pages that rounding leaves over go one each to the largest remainders, the
 * earlier registered first among equals. Shrinkers whose pages cost nothing (#ASHMEM_SHRINKER_FREE)
 * come first: they share everything, in proportion to count alone, before anybody else is asked.
 * Areas come before registered shrinkers, these in the order of their registration. The same counts
 * and answers in the same order of calls lead to the same shares. With no shrinker registered all
 * of it falls to the areas.
 *
 * Each share is asked for in pieces of at most `batch_pages`, and never for more than what is still
 * missing. The areas are asked at one go, and whole ranges are purged there, so that more than
 * their share can go; the others are then asked for less.
 *
 * **Threads.** The functions are called on the thread that called ashmem_shrink(),
 * ashmem_shrink_count(), ashmem_pressure_dispatch(), or, while a pressure watch looks at memory
 * there (#ASHMEM_PRESSURE_NOT_IN_UNPIN), ashmem_unpin() and ashmem_unpin_with(); with no lock of
 * the library held, by several threads at once if several shrink at once: a shrinker has a lock of
 * its own. If it cannot have that lock at once it answers #ASHMEM_SHRINK_STOP rather than wait: the
 * thread that holds it may be the one that called.
 *
 * **Recursion.** From within these functions every call of the library is allowed. There,
 * ashmem_shrink() and ashmem_shrink_count() concern the areas alone; no shrinker is called from
 * within a shrinker. A shrinker that is registered meanwhile takes part from the next round of
 * every ashmem_shrink() on.
 *
 * **Fork.** A child has copies of all shrinkers, on its copies of the caches. What ran on another
 * thread at the time of the fork does not run in the child.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of a shrinker's name, with its terminating NUL. */
#define ASHMEM_SHRINKER_NAME_LEN 64
/** The cost of a shrinker that names none, and of the areas. */
#define ASHMEM_SHRINKER_SEEKS_DEFAULT 2
/** struct ashmem_shrinker_options: making these pages again costs nothing, so they go first. */
#define ASHMEM_SHRINKER_FREE 4294967295u
/**
 * struct ashmem_shrinker_options: the pages that are asked for at once, if the options do not say.
 */
#define ASHMEM_SHRINKER_BATCH_DEFAULT 128
/**
 * Answer of a shrinker's scan function: nothing can be freed now, do not ask again in this call.
 */
#define ASHMEM_SHRINK_STOP (-1)

/** A registered shrinker. Opaque; made by ashmem_shrinker_register(). */
struct ashmem_shrinker;

/**
 * @brief Count the pages that could be freed. Called often: cheap, an estimate will do.
 *
 * @param userdata  What the options said.
 * @return Pages; 0: the cache is empty.
 */
typedef uint64_t (*ashmem_shrinker_count_fn)(void *userdata);

/**
 * @brief Free pages.
 *
 * @param userdata    What the options said.
 * @param nr_to_scan  Pages to free, at least 1; no more than that should go. A cache that can only
 *   free larger units rounds up to one, and answers what
 *                    it really freed.
 * @return Pages that were freed; 0: none this time, all were in use lately, say, and may be freed
 *   when looked at again (after two rounds in a row without a page
 * the shrinker is not asked again in this ashmem_shrink()); #ASHMEM_SHRINK_STOP or another negative
 * number: it cannot be done now.
 */
typedef int64_t (*ashmem_shrinker_scan_fn)(void *userdata, uint64_t nr_to_scan);

/**
 * @brief Called once, when a shrinker is gone: no other function of it runs or will run.
 *
 * On the thread of ashmem_shrinker_unregister(), or of the last call that was under way, with no
 * lock of the library held. Here userdata can be freed.
 *
 * @param userdata  What the options said.
 */
typedef void (*ashmem_shrinker_release_fn)(void *userdata);

/**
 * What ashmem_shrinker_register() is told. Zero is the default of every member but the first,
 * `count` and `scan`.
 */
struct ashmem_shrinker_options {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it fills in. */
	/** For statistics; copied, bytes behind the 63rd are cut off; NULL means "". */
	const char *name;
	ashmem_shrinker_count_fn count;     /**< Counts what could be freed. */
	ashmem_shrinker_scan_fn scan;       /**< Frees. */
	ashmem_shrinker_release_fn release; /**< Told when the shrinker is gone; may be NULL. */
	void *userdata;                     /**< Handed to all three. */
	/** Most pages to ask for at once; 0: #ASHMEM_SHRINKER_BATCH_DEFAULT. */
	uint64_t batch_pages;
	/**
	 * Cost of a page, 1 to 65535, or #ASHMEM_SHRINKER_FREE; 0: #ASHMEM_SHRINKER_SEEKS_DEFAULT.
	 */
	uint32_t seeks;
};

/** What a shrinker has done so far, in all calls of ashmem_shrink(). */
struct ashmem_shrinker_stats {
	size_t struct_size;   /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t scans;       /**< Calls of its scan function. */
	uint64_t asked_pages; /**< Pages that these were asked for. */
	uint64_t freed_pages; /**< Pages that they freed. */
	uint64_t stops;       /**< How many of them answered #ASHMEM_SHRINK_STOP, or failed. */
	uint64_t batch_pages; /**< As registered; UINT64_MAX for the areas. */
	uint64_t seeks;       /**< As registered; 0 for #ASHMEM_SHRINKER_FREE. */
	char name[ASHMEM_SHRINKER_NAME_LEN]; /**< As registered; "areas" for the areas. */
};

/**
 * @brief Make a cache of the program take part in ashmem_shrink().
 *
 * @param[in]  options   What it is; not used after the call.
 * @param[out] shrinker  The shrinker; the caller ends it with ashmem_shrinker_unregister().
 * @return 0 on success.
 * @retval -EINVAL  @p options or @p shrinker is NULL, `struct_size` is too small (@ref
 *   ashmem_structs), `count` or `scan` is NULL, or `seeks` is none of what it can be.
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
 * freed. For that it waits until the functions of this shrinker that other threads are in have
 * returned; so do not hold a lock that they need.
 *
 * From within one of its own functions it waits for nothing: the shrinker is gone when that
 * function, and those that run on other threads, have returned. `release` is called then and only
 * then, so what the functions use is best freed there. Two shrinkers must not end each other at the
 * same time, each from within a function of its own: both would wait.
 *
 * @param[in] shrinker  From ashmem_shrinker_register(); NULL is fine.
 *
 * Threads: any thread; also from within a shrinker, but not twice for the same one.
 * @since 0.9
 */
void ashmem_shrinker_unregister(struct ashmem_shrinker *shrinker);

/**
 * @brief Read what the shrinkers of the process have done, one after the other.
 *
 * @param[in]     index  0: the areas; from 1 on the registered ones in the order of their
 *   registration.
 * @param[in,out] stats  `struct_size` says how much of it to fill; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL  @p stats is NULL, or `struct_size` is too small (@ref ashmem_structs).
 * @retval -ENOENT  There are no more than @p index.
 *
 * Threads: any thread; also from within a shrinker.
 * @since 0.9
 */
int ashmem_shrinker_get_stats(uint32_t index, struct ashmem_shrinker_stats *stats);

/**
 * @brief Purge every unpinned range of every area that the process holds.
 *
 * Registered shrinkers take no part: this is about areas.
 *
 * On the kernel backend the driver is asked to purge, and it purges the whole system's areas.
 *
 * @return The number of pages that were purgeable before the call (contract rule 15).
 * @retval -EPERM      The driver is in use and the caller lacks CAP_SYS_ADMIN; nothing was purged.
 * @retval -ETIMEDOUT  An area stayed locked by another process for too long; the others were
 *   purged.
 * @retval -EUCLEAN    An area's shared state is damaged; the others were purged.
 * @retval -EIO        The kernel refused to free pages of an area, which stay evictable; the others
 *   were purged.
 * @retval -ENODEV, -EMFILE, -ENFILE, -ENOMEM  (kernel backend) The driver's node cannot be opened;
 *   nothing was purged.
 * @retval -EDEADLK    Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread. Waits for another purge of the same process to end.
 * @since 0.9
 */
int64_t ashmem_purge_all(void);

/**
 * @brief Purge least recently unpinned ranges, and have the program's shrinkers free, until at
 *   least a number of pages is free.
 *
 * Without registered shrinkers all of it falls to the areas; with them it is shared out by count
 * and cost (@ref ashmem_shrinkers). In areas whole ranges are purged, so more pages than asked can
 * go; never more ranges than needed. Areas of the kernel backend are left alone: only the kernel
 * decides when the driver purges. It waits for locked areas five seconds at the most, for all of
 * them together.
 *
 * @param[in] nr_pages  Pages wanted. 0 purges nothing, and asks no shrinker.
 * @return The number of pages freed; less than @p nr_pages only if nobody could free more. Ranges
 *   that are unpinned during the call may
 * be left alone.
 * @retval -ETIMEDOUT  An area stayed locked by another process for too long and nothing could be
 *   freed.
 * @retval -EUCLEAN    An area's shared state is damaged and nothing could be freed.
 * @retval -EIO        The kernel refused to free pages, and nothing could be freed; they stay
 *   evictable.
 * @retval -EDEADLK    Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread; with shrinkers it calls their functions, so hold no lock that they wait for.
 * While it purges areas it waits for another purge of the same process to end.
 * @since 0.9
 */
int64_t ashmem_shrink(uint64_t nr_pages);

/**
 * @brief Number of pages that a shrink could free now.
 *
 * @return Pages in unpinned, not yet purged ranges of the areas that this process holds, and what
 *   the registered shrinkers count; never
 * fails, and answers UINT64_MAX if the sum were more. Other threads and processes pin and unpin
 * meanwhile, so the answer is of the moment. Pages that are held (ashmem_hold()), or that read-only
 * peers have pinned, are counted too, though a shrink passes over their ranges.
 *
 * Threads: any thread; takes no area's lock. Calls the count functions of shrinkers.
 * @since 0.9
 */
uint64_t ashmem_shrink_count(void);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_SHRINKER_H */
