/* SPDX-License-Identifier: MIT */
/*
 * A leaf of the tree overflows: it gives entries to a neighbour with room, or is split, and its
 * parents as needed. See edit.h.
 */
#include <errno.h>
#include <string.h>

#include "range/edit.h"

/*
 * Of the entries of a full node and one more, at `slot`, how many the left node keeps: those before
 * the new one, so that entries that come in order, ascending or descending, leave full nodes. But
 * neither node may have too few.
 */
static uint32_t split_point(const struct tree_path *path, uint32_t level, uint32_t slot)
{
	uint32_t max = level ? INNER_MAX : LEAF_MAX, min = level ? INNER_MIN : LEAF_MIN;

	if (slot >= max && on_right_spine(path, level))
		return max;
	if (slot < min)
		return min;
	return slot > max + 1 - min ? max + 1 - min : slot;
}

static int new_root(struct range_list *list, struct tree_path *path,
	const struct range_child *right)
{
	struct range_root *root = list->root;
	uint32_t index, level = path->height + 1;

	if (level >= RANGE_MAX_HEIGHT)
		return -EUCLEAN;
	struct range_node *node, *left = path->at[path->height].node;
	int r = tree_node_alloc(list, level, &index, &node);
	if (r < 0)
		return r;
	node->child[0] = (struct range_child){
		.node = path->at[path->height].index,
		.age = tree_node_age(left, SHARED_LOAD(left->count), level - 1),
	};
	node->child[1] = *right;
	set_children(node, 0, 2);
	SHARED_STORE(root->root, index);
	SHARED_STORE(root->height, level);
	SHARED_STORE(root->age, tree_node_age(node, 2, level));
	return 0;
}

/* Put a new child to the right of the path's child, splitting upwards as needed. */
static int insert_child(struct range_list *list, struct tree_path *path, uint32_t level,
	struct range_child right)
{
	for (; level <= path->height; level++) {
		struct range_node *node = path->at[level].node;
		uint32_t count = path->at[level].count, slot = path->at[level].slot + 1;
		int r = tree_touch(list, path->at[level].index, count);
		if (r < 0)
			return r;
		struct range_node *below = path->at[level - 1].node;
		SHARED_STORE(node->child[slot - 1].age,
			tree_node_age(below, SHARED_LOAD(below->count), level - 1));
		if (count < INNER_MAX) {
			memmove(&node->child[slot + 1], &node->child[slot],
				(count - slot) * sizeof(right));
			node->child[slot] = right;
			set_children(node, slot, count + 1);
			tree_refresh_ages(list, path, level);
			return 0;
		}

		struct range_child all[INNER_MAX + 1];
		uint32_t index, keep = split_point(path, level, slot);
		struct range_node *twin;
		r = tree_node_alloc(list, level, &index, &twin);
		if (r < 0)
			return r;
		memcpy(all, node->child, slot * sizeof(right));
		all[slot] = right;
		memcpy(&all[slot + 1], &node->child[slot], (count - slot) * sizeof(right));

		uint32_t rest = INNER_MAX + 1 - keep;
		memcpy(node->child, all, keep * sizeof(right));
		memcpy(twin->child, &all[keep], rest * sizeof(right));
		set_children(node, 0, keep);
		set_children(twin, 0, rest);
		right = (struct range_child){
			.start = all[keep].start,
			.node = index,
			.age = tree_node_age(twin, rest, level),
		};
	}
	return new_root(list, path, &right);
}

int edit_share_leaf(struct range_list *list, struct tree_path *path, uint32_t slot,
	const struct overflow *all)
{
	struct range_node *leaf = path->at[0].node, *parent = path->at[1].node, *other;
	struct range both[2 * LEAF_MAX];
	uint32_t index = SHARED_LOAD(parent->child[slot].node), count;
	int other_first = slot < path->at[1].slot;
	int r = tree_load(list, index, 0, &other, &count);

	if (r < 0 || count > LEAF_ROOMY || other == leaf)
		return r < 0 ? r : 0;
	r = tree_touch(list, path->at[1].index, path->at[1].count);
	if (r == 0)
		r = tree_touch(list, index, count);
	if (r < 0)
		return r;

	uint32_t total = count + LEAF_MAX + 1, keep = total / 2;
	read_ranges(other, 0, &both[other_first ? 0 : LEAF_MAX + 1], count);
	memcpy(&both[other_first ? count : 0], all->entry, sizeof(all->entry));
	struct range_node *left = other_first ? other : leaf, *right = other_first ? leaf : other;
	set_ranges(left, both, keep);
	set_ranges(right, &both[keep], total - keep);

	uint32_t left_slot = other_first ? slot : path->at[1].slot;
	struct range_child *child = &parent->child[left_slot];
	SHARED_STORE(child[0].age, tree_node_age(left, keep, 0));
	child[1].start = both[keep].start;
	SHARED_STORE(child[1].age, tree_node_age(right, total - keep, 0));
	tree_index_keys(parent, left_slot + 1, left_slot + 2);
	tree_refresh_ages(list, path, 1);
	return 1;
}

int edit_split_leaf(struct range_list *list, struct tree_path *path, uint32_t slot,
	const struct overflow *all)
{
	struct range_node *leaf = path->at[0].node;
	uint32_t index, keep = split_point(path, 0, slot), rest = LEAF_MAX + 1 - keep;
	struct range_node *twin;
	int r = tree_node_alloc(list, 0, &index, &twin);

	if (r < 0)
		return r;
	set_ranges(leaf, all->entry, keep);
	set_ranges(twin, &all->entry[keep], rest);
	return insert_child(list, path, 1,
		(struct range_child){
			.start = all->entry[keep].start,
			.node = index,
			.age = tree_node_age(twin, rest, 0),
		});
}
