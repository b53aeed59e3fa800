/* SPDX-License-Identifier: MIT */
/*
 * What the rules of range.c are made of: finding the entries that some pages overlap (span.c,
 * look.c) and putting others in their place (intent.c). For lib/range only; the caller holds the
 * area's lock, except for look_first() and look_next() on behalf of range_look().
 */
#ifndef ASHMEM_LIB_RANGE_SPAN_H
#define ASHMEM_LIB_RANGE_SPAN_H

#include "range/range.h"
#include "range/tree.h"

/* The entries that overlap some pages: ranges, and pinned entries in between. */
struct span {
	struct tree_path *path; /* at the first of them, or where a range would be inserted */
	/* what `path` points to if that is not the leaf for the first page */
	struct tree_path moved;
	uint32_t in_leaf;         /* how many entries lie in the path's leaf */
	int many_leaves;          /* one edit of the path's leaf will not do */
	uint64_t entries, count;  /* of all, and of those that are ranges */
	uint64_t next_page;       /* after the last entry */
	struct range left, right; /* the first range and the last */
	uint64_t pages, live;     /* sums over the ranges */
	uint32_t flags;           /* of all ranges, or-ed */
};

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Whether the entry at a slot of the path's leaf ends at or after the page `first`. */
static inline int slot_reaches(const struct tree_path *path, uint32_t slot, uint32_t first)
{
	struct range range = range_load(path->at[0].node, slot);

	return (uint64_t)range.start + range.pages > first;
}

/*
 * Find the first entry, pinned or not, that overlaps first..last. Returns how many overlap in its
 * leaf, and `*path` is at the first; 0: none, and it is where a range that starts at `first` would
 * be inserted; or -EUCLEAN. The path is list->path, or `*moved` if the entry lies in a neighbour of
 * the leaf for `first`.
 */
int span_locate(struct range_list *list, uint32_t first, uint32_t last, struct tree_path *moved,
	struct tree_path **path);
/* All entries that overlap first..last: 0 or -EUCLEAN. */
int span_find(struct range_list *list, uint32_t first, uint32_t last, struct span *span);

/*
 * The first range, not pinned entry, that overlaps first..last: 1 and `*path` is there, 0 if there
 * is none, or -EUCLEAN. Nothing else is looked at.
 */
int look_first(struct range_list *list, uint32_t first, uint32_t last, struct tree_path *path,
	struct range *found);
/* From the path's slot on, the first range that starts at or before `last`; as look_first(). */
int look_next(const struct range_list *list, uint32_t last, struct tree_path *path,
	struct range *found);

/*
 * Put `with` in place of the span's entries, wholly or not at all; they lie within first..last
 * widened by the span's outermost ranges. 0 or -EUCLEAN.
 */
int intent_replace(struct range_list *list, struct span *span, uint32_t first, uint32_t last,
	const struct range *with, uint32_t with_count);

#endif /* ASHMEM_LIB_RANGE_SPAN_H */
