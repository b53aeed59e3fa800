/* SPDX-License-Identifier: MIT */
/*
 * Purging over the areas of the process: what the areas do as one shrinker among others, what
 * budgets ask for, what the statistics say.
 */
#ifndef ASHMEM_LIB_PURGE_AREAS_H
#define ASHMEM_LIB_PURGE_AREAS_H

#include <stdint.h>

struct ashmem_area;
struct ashmem_budget;

/*
 * The areas of the process, and the pages of them that a purge could free now. Takes no area's
 * lock.
 */
void areas_count(uint64_t *areas, uint64_t *evictable_pages);
uint64_t areas_evictable(void);
/*
 * Purge the unpinned pages of these bytes of an area, to which the caller has a reference. Pages
 * freed, or a negative errno: -EDEADLK where no purge may begin, else the backend's.
 */
int64_t areas_purge_range(struct ashmem_area *area, uint64_t offset, uint64_t end_offset);
/* Pages that this process has purged since it began. */
uint64_t areas_purged_pages(void);

/*
 * Purge the least recently unpinned ranges until so many pages are freed. Pages freed, or the error
 * if there are none; -EDEADLK where no purge may begin (base/context.h). `patience_ns` is what the
 * call may still wait for locks, LOCK_TIMEOUT_NS at its beginning.
 */
int64_t areas_shrink(uint64_t nr_pages, uint64_t *patience_ns);

/*
 * Purge what is over a budget, of its areas (budget.h). No other purge of the process runs
 * meanwhile. Pages freed, or an error; if there were too many notices of it to remember, more may
 * be left.
 */
int64_t areas_keep_within(struct ashmem_budget *budget, uint64_t *patience_ns);

#endif /* ASHMEM_LIB_PURGE_AREAS_H */
