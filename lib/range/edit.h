/* SPDX-License-Identifier: MIT */
/*
 * The parts of an edit of the tree: the edit of a leaf (edit.c), what follows if the leaf has too
 * many entries (split.c) or too few (balance.c), and small changes of one node. For lib/range only;
 * the caller holds the area's lock. All happens within a transaction: every node is touched
 * (journal.c) before it is changed, but for those that were just allocated.
 */
#ifndef ASHMEM_LIB_RANGE_EDIT_H
#define ASHMEM_LIB_RANGE_EDIT_H

#include "base/shared.h"
#include "range/tree.h"

/* Write the keys of an inner node's children from `from` on. */
static inline void tree_index_keys(struct range_node *node, uint32_t from, uint32_t count)
{
	for (uint32_t i = from; i < count; i++)
		node->key[i] = tree_key_of(node, i);
}

/* An inner node has `count` children now, those from `from` on new or moved. */
static inline void set_children(struct range_node *node, uint32_t from, uint32_t count)
{
	tree_index_keys(node, from, count);
	SHARED_STORE(node->count, (uint16_t)count);
}

/* Copy ranges of a leaf from `from` on. */
static inline void read_ranges(const struct range_node *leaf, uint32_t from, struct range *ranges,
	uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ranges[i] = range_load(leaf, from + i);
}

/* A leaf gets these ranges and no others. */
static inline void set_ranges(struct range_node *leaf, const struct range *ranges, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		range_store(leaf, i, &ranges[i]);
	SHARED_STORE(leaf->count, (uint16_t)count);
}

/* Whether a node is the last of its level. */
static inline int on_right_spine(const struct tree_path *path, uint32_t level)
{
	while (++level <= path->height)
		if (path->at[level].slot + 1 < path->at[level].count)
			return 0;
	return 1;
}

/* One more entry than a leaf holds, on its way into the tree. */
struct overflow {
	struct range entry[LEAF_MAX + 1];
};

/*
 * A leaf overflows by the entry at its slot. The leaf was touched; all else happens here.
 *
 * Share the entries with the neighbour at `slot` of their parent, if that has room: 1, 0 if not, or
 * -EUCLEAN. Neighbours are filled before leaves are split, which keeps the tree dense whatever the
 * order.
 */
int edit_share_leaf(struct range_list *list, struct tree_path *path, uint32_t slot,
	const struct overflow *all);
/* Split the leaf: 0 or -EUCLEAN. */
int edit_split_leaf(struct range_list *list, struct tree_path *path, uint32_t slot,
	const struct overflow *all);

/* Whether a node of the path with so many entries has too few (invariant 5). */
int edit_is_poor(const struct tree_path *path, uint32_t level, uint32_t count);
/*
 * Entries were taken from the path's leaf, which has `count` left: poor nodes take from their
 * neighbours or are merged with them, from the leaf upwards, and the ages follow. 0 or -EUCLEAN.
 */
int edit_rebalance(struct range_list *list, struct tree_path *path, uint32_t count);

#endif /* ASHMEM_LIB_RANGE_EDIT_H */
