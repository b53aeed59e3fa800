/* SPDX-License-Identifier: MIT */
/*
 * Nodes of the tree with too few entries: each takes from its neighbour, or is merged with it, from
 * the leaf upwards. See edit.h.
 */
#include <errno.h>
#include <string.h>

#include "range/edit.h"

int edit_is_poor(const struct tree_path *path, uint32_t level, uint32_t count)
{
	if (level == path->height)
		return level > 0 && count < 2;
	if (on_right_spine(path, level))
		return count < 1;
	return count < (level ? (uint32_t)INNER_MIN : (uint32_t)LEAF_MIN);
}

/* The root lost its children but one, which takes its place; or all, and is an empty leaf again. */
static int shrink_root(struct range_list *list, struct tree_path *path, uint32_t count)
{
	struct range_root *root = list->root;
	struct range_node *node = path->at[path->height].node, *heir;
	uint32_t heir_index = SHARED_LOAD(node->child[0].node), heir_count;

	if (count == 0) {
		SHARED_STORE(node->level, 0);
		SHARED_STORE(root->height, 0);
		SHARED_STORE(root->age, 0);
		return 0;
	}
	int r = tree_load(list, heir_index, path->height - 1, &heir, &heir_count);
	if (r < 0)
		return r;
	SHARED_STORE(root->root, heir_index);
	SHARED_STORE(root->height, path->height - 1);
	SHARED_STORE(root->age, tree_node_age(heir, heir_count, path->height - 1));
	tree_node_drop(list, path->at[path->height].index);
	return 0;
}

static void erase_child(struct range_node *parent, uint32_t *count, uint32_t slot)
{
	memmove(&parent->child[slot], &parent->child[slot + 1],
		(*count - slot - 1) * sizeof(struct range_child));
	set_children(parent, slot, --*count);
}

static void merge_or_share_leaves(struct range_node *left, uint32_t left_count,
	struct range_node *right, uint32_t right_count, uint32_t keep)
{
	struct range all[2 * LEAF_MAX];

	read_ranges(left, 0, all, left_count);
	read_ranges(right, 0, &all[left_count], right_count);
	set_ranges(left, all, keep);
	set_ranges(right, &all[keep], left_count + right_count - keep);
}

static void merge_or_share_children(struct range_node *left, uint32_t left_count,
	struct range_node *right, uint32_t right_count, uint32_t keep, uint32_t right_start)
{
	struct range_child all[2 * INNER_MAX];
	uint32_t rest = left_count + right_count - keep;

	memcpy(all, left->child, left_count * sizeof(*all));
	memcpy(&all[left_count], right->child, right_count * sizeof(*all));
	/* the bound of a first child is not looked at; it is no longer the first */
	all[left_count].start = right_start;
	memcpy(left->child, all, keep * sizeof(*all));
	set_children(left, 0, keep);
	memcpy(right->child, &all[keep], rest * sizeof(*all));
	set_children(right, 0, rest);
}

/*
 * Two neighbours, `right` the second: merge into the first if they fit (1), or share their entries
 * evenly (0).
 */
static int merge_or_share(struct range_node *left, uint32_t left_count, struct range_node *right,
	uint32_t right_count, uint32_t level, struct range_child *right_entry)
{
	uint32_t total = left_count + right_count;
	uint32_t keep =
		total <= (level ? (uint32_t)INNER_MAX : (uint32_t)LEAF_MAX) ? total : total / 2;

	if (level)
		merge_or_share_children(left, left_count, right, right_count, keep,
			right_entry->start);
	else
		merge_or_share_leaves(left, left_count, right, right_count, keep);
	if (keep == total)
		return 1;
	right_entry->start = level ? right->child[0].start : right->key[0];
	right_entry->age = tree_node_age(right, total - keep, level);
	return 0;
}

/*
 * Rebalance the poor node at `level`, whose count is `count`, with its neighbour. `*parent_count`
 * follows.
 */
static int rebalance_node(struct range_list *list, struct tree_path *path, uint32_t level,
	uint32_t count, uint32_t *parent_count)
{
	struct range_node *parent = path->at[level + 1].node, *other;
	uint32_t slot = path->at[level + 1].slot, other_count;
	int r = tree_touch(list, path->at[level + 1].index, *parent_count);

	if (r < 0)
		return r;
	if (count == 0) {
		erase_child(parent, parent_count, slot);
		tree_node_drop(list, path->at[level].index);
		return 0;
	}
	if (*parent_count < 2) {
		SHARED_STORE(parent->child[slot].age,
			tree_node_age(path->at[level].node, count, level));
		return 0;
	}

	uint32_t other_slot = slot ? slot - 1 : 1, right_slot = slot ? slot : 1;
	uint32_t other_index = SHARED_LOAD(parent->child[other_slot].node);
	r = tree_load(list, other_index, level, &other, &other_count);
	if (r < 0)
		return r;
	if (other == path->at[level].node)
		return -EUCLEAN;
	r = tree_touch(list, other_index, other_count);
	if (r < 0)
		return r;

	struct range_node *node = path->at[level].node;
	struct range_child *right_entry = &parent->child[right_slot];
	int merged = slot ? merge_or_share(other, other_count, node, count, level, right_entry)
			  : merge_or_share(node, count, other, other_count, level, right_entry);
	struct range_node *left = slot ? other : node;
	SHARED_STORE(parent->child[right_slot - 1].age,
		tree_node_age(left, SHARED_LOAD(left->count), level));
	if (merged) {
		erase_child(parent, parent_count, right_slot);
		tree_node_drop(list, slot ? path->at[level].index : other_index);
	} else {
		tree_index_keys(parent, right_slot, right_slot + 1);
	}
	return 0;
}

int edit_rebalance(struct range_list *list, struct tree_path *path, uint32_t count)
{
	uint32_t level = 0;

	while (edit_is_poor(path, level, count)) {
		if (level == path->height)
			return shrink_root(list, path, count);
		uint32_t parent_count = path->at[level + 1].count;
		int r = rebalance_node(list, path, level, count, &parent_count);
		if (r < 0)
			return r;
		count = parent_count;
		level++;
	}
	tree_refresh_ages(list, path, level);
	return 0;
}
