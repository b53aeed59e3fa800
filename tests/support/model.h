/* SPDX-License-Identifier: MIT */
/*
 * What the contract says, as the simplest program that says it: an area is an array of pages, each
 * of which is pinned or belongs to one range; a range is an age, a purge mark and a count of pages
 * that a purge could free. Nothing is fast, each rule is a loop over pages. It is the judge of the
 * library in random traces, through the public interface or below it, so it uses nothing of the
 * library.
 *
 * Rules 9 to 16 and D1, D2, D6 of the contract. Ages are drawn from one counter for all areas of a
 * model, so the order of calls is the order of ages; with priorities an age is a rank. Arguments
 * are pages, but for model_check(), which judges bytes.
 *
 * What a purge could free of a range are its pages that were not lost. With `forgets_merged` set
 * the model is the driver of D1: a range with a purge mark is not on the LRU.
 */
#ifndef TESTS_SUPPORT_MODEL_H
#define TESTS_SUPPORT_MODEL_H

#include <stdint.h>

/*
 * A range more than pages: while unpin merges all single pages of an area, their ranges are still
 * there.
 */
enum { MODEL_PAGES = 128, MODEL_RANGES = MODEL_PAGES + 1, MODEL_AREAS = 8, MODEL_PINNED = -1 };

struct model_range {
	int in_use;
	int purged;
	uint64_t age;
};

struct model_area {
	uint64_t pages;
	int range_of[MODEL_PAGES]; /* index into ranges, or MODEL_PINNED */
	struct model_range ranges[MODEL_RANGES];
	uint64_t freed[MODEL_PAGES]; /* how often a purge has freed this page */
	char lost[MODEL_PAGES];      /* and whether it was since it was pinned last */
};

struct model {
	int areas;
	int forgets_merged;
	uint64_t last_age;
	struct model_area area[MODEL_AREAS];
};

void model_init(struct model *model, int areas, uint64_t pages, int forgets_merged);

/* Rule 9 on bytes: 0 and the range in pages (`count` 0 is D2: nothing to do), or -EINVAL. */
int model_check(const struct model_area *area, uint64_t page_size, uint64_t offset, uint64_t length,
	uint64_t *first, uint64_t *count);

/* What the calls answer; the state follows. */
int model_pin(struct model *model, int area, uint64_t first, uint64_t count);
int model_unpin(struct model *model, int area, uint64_t first, uint64_t count);
int model_unpin_with(struct model *model, int area, uint64_t first, uint64_t count,
	unsigned priority, int lifo);
int model_status(const struct model *model, int area, uint64_t first, uint64_t count);
uint64_t model_shrink_count(const struct model *model);
uint64_t model_purge_all(struct model *model);

/*
 * Shrink by a number of pages. Two halves of one split range have one age, and nobody says which
 * goes first, so `nr_pages` is raised until no such choice is left: shrink by *nr_pages afterwards,
 * not by what was asked.
 */
uint64_t model_shrink(struct model *model, uint64_t *nr_pages);

/* The range at or behind a page: 1 and its bounds, or 0. */
int model_find(const struct model_area *area, uint64_t from, uint64_t *first, uint64_t *count,
	int *purged, uint64_t *live_pages);

#endif
