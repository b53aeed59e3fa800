/* SPDX-License-Identifier: MIT */
/*
 * The ranges that a purge takes, oldest first. Under one hold of the area's lock:
 *
 *	purge_iter_begin(&iter, list, progress, newest);
 *	while ((r = purge_iter_next(&iter)) > 0) {
 *		if (somebody holds pages of iter.range)
 *			purge_iter_pass_over(&iter);
 *		else {
 *			purge_iter_mark(&iter);
 *			...
 *			purge_iter_set_live(&iter, live);
 *		}
 *	}
 *	purge_iter_end(&iter);
 *
 * Nothing else changes or searches the list between begin and end. A range that set_live left with
 * live pages has its turn again. One that was passed over has not, in this hold and in those that
 * follow with the same progress.
 *
 * Marks and live counts are stored one by one, in the order of the calls, as crash safety needs it.
 * Ages and totals are derived, and may follow as late as in purge_iter_end().
 */
#ifndef ASHMEM_LIB_RANGE_PURGE_ITER_H
#define ASHMEM_LIB_RANGE_PURGE_ITER_H

#include "range/oldest.h"
#include "range/range.h"

/*
 * How far one purge has come in one list, over all its holds of the lock. All zeroes: it begins.
 * The memory of the process that purges; nothing of it is shared.
 */
struct purge_progress {
	int has_passed_over;   /* some ranges; the last of them, in the order of (stamp, start): */
	uint32_t passed_start; /* its first page */
	uint64_t passed_stamp;
	uint64_t next_stamp; /* of the oldest range after it, or RANGE_NO_STAMP */
	uint64_t work_done;  /* pages freed and ranges passed over; the caller adds the pages */
	/*
	 * The caller's: how far it has come in a range too long for one hold. Of the range with
	 * this start and stamp, so many pages are done; 0: none is begun.
	 */
	uint32_t cursor_start, cursor_done;
	uint64_t cursor_stamp;
};

/*
 * Whether the purge has done more than all that a list can hold, every page freed and every range
 * passed over, twice. Then a peer unpins as fast as the purge frees. This bounds a purge, whatever
 * the shared state says.
 */
static inline int purge_has_done_enough(const struct purge_progress *progress,
	const struct range_list *list)
{
	return progress->work_done > 2 * (uint64_t)list->pages;
}

/* Without the lock: the stamp of the oldest range that is left for the purge, or RANGE_NO_STAMP. */
uint64_t purge_peek_oldest(const struct purge_progress *progress, const struct range_list *list);

struct purge_iter {
	struct range_list *list;
	struct purge_progress *progress;
	uint64_t newest;
	struct range range; /* what purge_iter_next() found */
	struct range_sweep sweep;
};

void purge_iter_begin(struct purge_iter *iter, struct range_list *list,
	struct purge_progress *progress, uint64_t newest);
/* The oldest range left, into iter->range: 1, 0 if it is newer than `newest` or there is none. */
int purge_iter_next(struct purge_iter *iter);
/* Mark it as purged. Before its pages are freed. */
int purge_iter_mark(struct purge_iter *iter);
/* Say how many of its pages are still live. This ends its turn. */
int purge_iter_set_live(struct purge_iter *iter, uint32_t live);
/* Say that it holds no memory, as range_set_empty(): the mark goes. This ends its turn. */
int purge_iter_set_empty(struct purge_iter *iter);
/* Leave it as it is. This ends its turn in the whole purge. */
void purge_iter_pass_over(struct purge_iter *iter);
/* All but begin and pass_over: -EUCLEAN for damage; else 0 where nothing else is said. */
int purge_iter_end(struct purge_iter *iter);

#endif /* ASHMEM_LIB_RANGE_PURGE_ITER_H */
