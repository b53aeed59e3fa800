/* SPDX-License-Identifier: MIT */
/*
 * The two ways to the oldest range with live pages, from which purge_iter.c chooses: the sweep,
 * which takes the ranges of a leaf one after the other (oldest.c), and the search for the oldest
 * range after a given one (oldest_after.c). For lib/range only; the caller holds the area's lock.
 *
 * Both know one order: by stamp, and among ranges of one stamp, as a pin that splits a range leaves
 * them, by first page.
 */
#ifndef ASHMEM_LIB_RANGE_OLDEST_H
#define ASHMEM_LIB_RANGE_OLDEST_H

#include "range/range.h"

/* Entries of a leaf. */
#define RANGE_SWEEP_MAX 50

/* Ranges of one leaf that are the oldest of all, in order of age. */
struct range_sweep {
	uint32_t next, count; /* of `turn` */
	uint32_t changed;     /* an entry of the leaf is not what the ages above it say */
	uint64_t evicted;     /* pages that are no longer live, for the totals */
	/* the oldest age of the leaf but for those that wait for their turn */
	uint64_t rest_age;
	uint64_t beside_age[RANGE_MAX_HEIGHT]; /* struct tree_beside */
	struct {
		uint64_t stamp;
		uint32_t slot;
	} turn[RANGE_SWEEP_MAX];
};

/*
 * Under one hold of the lock: range_sweep_begin(); for each range range_sweep_next(),
 * range_sweep_mark() and range_sweep_set_live(); range_sweep_end(). Nothing else changes or
 * searches the list meanwhile. Ages and totals are brought up to date once for all ranges of a
 * leaf, in range_sweep_end() at the latest.
 */
void range_sweep_begin(struct range_sweep *sweep);
/* The oldest range with live pages: 1, 0 if there is none, or -EUCLEAN. */
int range_sweep_next(struct range_list *list, struct range_sweep *sweep, struct range *found);
/*
 * The range that range_sweep_next() found: mark it as purged; say how many pages are live still,
 * which ends its turn.
 */
void range_sweep_mark(struct range_list *list);
void range_sweep_set_live(struct range_list *list, struct range_sweep *sweep,
	const struct range *found, uint32_t live);
/* The same, and it holds no memory: range_set_empty(). */
void range_sweep_set_empty(struct range_list *list, struct range_sweep *sweep,
	const struct range *found);
void range_sweep_end(struct range_list *list, struct range_sweep *sweep);

/*
 * The oldest range with live pages after that of this stamp and first page, in the order of (stamp,
 * first page): 1, 0 if there is none, or -EUCLEAN. Changes nothing.
 */
int range_oldest_after(struct range_list *list, uint64_t stamp, uint32_t start,
	struct range *found);

#endif /* ASHMEM_LIB_RANGE_OLDEST_H */
