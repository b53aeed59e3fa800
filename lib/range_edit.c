/* SPDX-License-Identifier: MIT */
/*
 * Changing the tree below the range list: some entries of one leaf are replaced by others, as one transaction.
 *
 * The tree is mended upwards from there: a leaf that overflows gives up its pinned entries, or gives some to a neighbour with room, or
 * is split; a poor node takes from its neighbour or is merged with it. Every node is touched (range_journal.c) before it is
 * changed. The caller holds the area's lock.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "range_tree.h"

void tree_index_keys(struct range_node *node, uint32_t from, uint32_t count, uint32_t level)
{
	for (uint32_t i = from; i < count; i++)
		node->key[i] = tree_key_of(node, i, level);
}

/* A node has `count` entries now, those from `from` on new or moved. */
static void set_entries(struct range_node *node, uint32_t from, uint32_t count, uint32_t level)
{
	tree_index_keys(node, from, count, level);
	SHARED_STORE(node->count, (uint16_t)count);
}

/* -- splitting -- */

static int on_right_spine(const struct tree_path *path, uint32_t level)
{
	while (++level <= path->height)
		if (path->at[level].slot + 1 < path->at[level].count)
			return 0;
	return 1;
}

/*
 * How many entries of a full node and one more, at `slot`, the left node keeps: those before it, so that entries that come in order,
 * ascending or descending, leave full nodes behind; but neither node may be poor.
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

static int new_root(struct range_list *list, struct tree_path *path, const struct range_child *right)
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
	set_entries(node, 0, 2, level);
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
		int r = tree_touch(list, path->at[level].index, count, level);
		if (r < 0)
			return r;
		struct range_node *below = path->at[level - 1].node;
		SHARED_STORE(node->child[slot - 1].age,
			tree_node_age(below, SHARED_LOAD(below->count), level - 1));
		if (count < INNER_MAX) {
			memmove(&node->child[slot + 1], &node->child[slot],
				(count - slot) * sizeof(right));
			node->child[slot] = right;
			set_entries(node, slot, count + 1, level);
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
		set_entries(node, 0, keep, level);
		set_entries(twin, 0, rest, level);
		right = (struct range_child){
			.start = all[keep].start,
			.node = index,
			.age = tree_node_age(twin, rest, level),
		};
	}
	return new_root(list, path, &right);
}

/* -- mending poor nodes -- */

static int is_poor(const struct tree_path *path, uint32_t level, uint32_t count)
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

static void erase_child(struct range_node *parent, uint32_t *count, uint32_t slot, uint32_t level)
{
	memmove(&parent->child[slot], &parent->child[slot + 1],
		(*count - slot - 1) * sizeof(struct range_child));
	set_entries(parent, slot, --*count, level);
}

/* Two neighbours, `right` the second: merge into the first if they fit (1), or share their entries evenly (0). */
static int merge_or_share(struct range_node *left, uint32_t left_count, struct range_node *right,
	uint32_t right_count, uint32_t level, struct range_child *right_entry)
{
	unsigned char all[2 * RANGE_NODE_BYTES];
	size_t size = tree_entry_bytes(level);
	uint32_t total = left_count + right_count, keep;
	void *l = level ? (void *)left->child : (void *)left->range;
	void *r = level ? (void *)right->child : (void *)right->range;

	memcpy(all, l, left_count * size);
	memcpy(all + left_count * size, r, right_count * size);
	if (level) /* the bound of a first child is not looked at; it is no longer the first */
		memcpy(all + left_count * size, &right_entry->start, sizeof(right_entry->start));

	keep = total <= (level ? (uint32_t)INNER_MAX : (uint32_t)LEAF_MAX) ? total : total / 2;
	memcpy(l, all, keep * size);
	set_entries(left, 0, keep, level);
	if (keep == total)
		return 1;
	memcpy(r, all + keep * size, (total - keep) * size);
	set_entries(right, 0, total - keep, level);
	right_entry->start = level ? right->child[0].start : right->range[0].start;
	right_entry->age = tree_node_age(right, total - keep, level);
	return 0;
}

/* Mend the poor node at `level`, whose count is `count`, with its neighbour. `*parent_count` follows. */
static int mend_node(struct range_list *list, struct tree_path *path, uint32_t level,
	uint32_t count, uint32_t *parent_count)
{
	struct range_node *parent = path->at[level + 1].node, *other;
	uint32_t slot = path->at[level + 1].slot, other_count;
	int r = tree_touch(list, path->at[level + 1].index, *parent_count, level + 1);

	if (r < 0)
		return r;
	if (count == 0) {
		erase_child(parent, parent_count, slot, level + 1);
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
	r = tree_touch(list, other_index, other_count, level);
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
		erase_child(parent, parent_count, right_slot, level + 1);
		tree_node_drop(list, slot ? path->at[level].index : other_index);
	} else {
		tree_index_keys(parent, right_slot, right_slot + 1, level + 1);
	}
	return 0;
}

/* Mend the tree from the leaf upwards after entries were taken from it; the leaf has `count` left. */
static int mend(struct range_list *list, struct tree_path *path, uint32_t count)
{
	uint32_t level = 0;

	while (is_poor(path, level, count)) {
		if (level == path->height)
			return shrink_root(list, path, count);
		uint32_t parent_count = path->at[level + 1].count;
		int r = mend_node(list, path, level, count, &parent_count);
		if (r < 0)
			return r;
		count = parent_count;
		level++;
	}
	tree_refresh_ages(list, path, level);
	return 0;
}

/* -- editing -- */

/* Take the pinned entries out; how many are left. */
static uint32_t drop_pinned(struct range *entries, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
		if (!(entries[i].flags & RANGE_PINNED))
			entries[kept++] = entries[i];
	return kept;
}

/* One more entry than a leaf holds, on its way into the tree. */
struct overflow {
	struct range entry[LEAF_MAX + 1];
};

/*
 * Share the entries of a leaf that overflows with its neighbour at `slot` of their parent, if that has room: 1, 0 if not, or a
 * negative errno. Neighbours are filled before leaves are split, which keeps the tree dense whatever the order.
 */
static int share_with(struct range_list *list, struct tree_path *path, uint32_t slot,
	const struct overflow *all)
{
	struct range_node *leaf = path->at[0].node, *parent = path->at[1].node, *other;
	struct range both[2 * LEAF_MAX];
	uint32_t index = SHARED_LOAD(parent->child[slot].node), count;
	int other_first = slot < path->at[1].slot;
	int r = tree_load(list, index, 0, &other, &count);

	if (r < 0 || count > LEAF_ROOMY || other == leaf)
		return r < 0 ? r : 0;
	r = tree_touch(list, path->at[1].index, path->at[1].count, 1);
	if (r == 0)
		r = tree_touch(list, index, count, 0);
	if (r < 0)
		return r;

	uint32_t total = count + LEAF_MAX + 1, keep = total / 2;
	memcpy(&both[other_first ? 0 : LEAF_MAX + 1], other->range, count * sizeof(*both));
	memcpy(&both[other_first ? count : 0], all->entry, sizeof(all->entry));
	struct range_node *left = other_first ? other : leaf, *right = other_first ? leaf : other;
	memcpy(left->range, both, keep * sizeof(*both));
	memcpy(right->range, &both[keep], (total - keep) * sizeof(*both));
	set_entries(left, 0, keep, 0);
	set_entries(right, 0, total - keep, 0);

	uint32_t left_slot = other_first ? slot : path->at[1].slot;
	struct range_child *child = &parent->child[left_slot];
	SHARED_STORE(child[0].age, tree_node_age(left, keep, 0));
	child[1].start = both[keep].start;
	SHARED_STORE(child[1].age, tree_node_age(right, total - keep, 0));
	tree_index_keys(parent, left_slot + 1, left_slot + 2, 1);
	tree_refresh_ages(list, path, 1);
	return 1;
}

/* Split a leaf that overflows by the entry at its slot. */
static int split_leaf(struct range_list *list, struct tree_path *path, uint32_t slot,
	const struct overflow *all)
{
	struct range_node *leaf = path->at[0].node;
	uint32_t index, keep = split_point(path, 0, slot), rest = LEAF_MAX + 1 - keep;
	struct range_node *twin;
	int r = tree_node_alloc(list, 0, &index, &twin);

	if (r < 0)
		return r;
	memcpy(leaf->range, all->entry, keep * sizeof(*all->entry));
	memcpy(twin->range, &all->entry[keep], rest * sizeof(*all->entry));
	set_entries(leaf, 0, keep, 0);
	set_entries(twin, 0, rest, 0);
	return insert_child(list, path, 1,
		(struct range_child){
			.start = all->entry[keep].start,
			.node = index,
			.age = tree_node_age(twin, rest, 0),
		});
}

/* Replace entries of a leaf that overflows by one: pinned entries go, or a neighbour takes some, or the leaf is split. */
static int edit_full_leaf(struct range_list *list, struct tree_path *path, uint32_t remove,
	const struct range *with, uint32_t add)
{
	struct range_node *leaf = path->at[0].node;
	uint32_t count = path->at[0].count, slot = path->at[0].slot, tail = count - slot - remove;
	struct overflow all;
	int r = 0;

	memcpy(all.entry, leaf->range, slot * sizeof(*with));
	memcpy(&all.entry[slot], with, add * sizeof(*with));
	memcpy(&all.entry[slot + add], &leaf->range[slot + remove], tail * sizeof(*with));

	uint32_t kept = drop_pinned(all.entry, LEAF_MAX + 1);
	if (kept <= LEAF_MAX) {
		memcpy(leaf->range, all.entry, kept * sizeof(*with));
		set_entries(leaf, 0, kept, 0);
		return mend(list, path, kept);
	}
	if (path->height > 0 && path->at[1].slot > 0)
		r = share_with(list, path, path->at[1].slot - 1, &all);
	if (r == 0 && path->height > 0 && path->at[1].slot + 1 < path->at[1].count)
		r = share_with(list, path, path->at[1].slot + 1, &all);
	if (r != 0)
		return r < 0 ? r : 0;
	return split_leaf(list, path, remove ? LEAF_MAX / 2 : slot, &all);
}

/* The totals and the oldest stamps follow an edit. They are derived: recovery computes them anew. */
static void account(struct range_root *root, const struct range *gone, uint32_t gone_count,
	const struct range *with, uint32_t add)
{
	uint64_t evictable = root->evictable_pages, unpinned = root->unpinned_pages;
	uint64_t ranges = root->ranges + add;

	for (uint32_t i = 0; i < gone_count; i++) {
		if (gone[i].flags & RANGE_PINNED)
			continue;
		evictable -= gone[i].live;
		unpinned -= gone[i].pages;
		ranges--;
	}
	for (uint32_t i = 0; i < add; i++) {
		evictable += with[i].live;
		unpinned += with[i].pages;
	}
	SHARED_STORE(root->evictable_pages, evictable);
	SHARED_STORE(root->unpinned_pages, unpinned);
	SHARED_STORE(root->ranges, ranges);
}

static uint64_t age_of_all(const struct range *ranges, uint32_t count)
{
	uint64_t age = 0;

	for (uint32_t i = 0; i < count; i++)
		age = older_of(age, range_age(&ranges[i]));
	return age;
}

/* The edit itself, within a transaction. `gone` is where the journal keeps the ranges that are replaced. */
static int edit_leaf(struct range_list *list, struct tree_path *path, const struct range *gone,
	uint32_t remove, const struct range *with, uint32_t add)
{
	struct range_node *leaf = path->at[0].node;
	uint32_t count = path->at[0].count, slot = path->at[0].slot;
	uint32_t total = count - remove + add;

	if (total > LEAF_MAX)
		return edit_full_leaf(list, path, remove, with, add);
	if (remove != add)
		memmove(&leaf->range[slot + add], &leaf->range[slot + remove],
			(count - slot - remove) * sizeof(*with));
	for (uint32_t i = 0; i < add; i++)
		leaf->range[slot + i] = with[i];
	set_entries(leaf, slot, total, 0);
	if (is_poor(path, 0, total))
		return mend(list, path, total);
	path->at[0].count = total;
	tree_age_changed(list, path, age_of_all(gone, remove), age_of_all(with, add));
	return 0;
}

int tree_edit(struct range_list *list, struct tree_path *path, uint32_t remove,
	const struct range *with, uint32_t add)
{
	uint32_t count = path->at[0].count, slot = path->at[0].slot;

	assert(slot <= count && remove <= count - slot);
	if (add > remove + 1) /* what the caller saw is not there any more */
		return -EUCLEAN;
	int r = tree_touch(list, path->at[0].index, count, 0);
	if (r < 0)
		return r;
	const struct range_node *before = tree_journal_slot(list, 0);
	const struct range *gone = &before->range[slot];

	r = edit_leaf(list, path, gone, remove, with, add);
	if (r < 0) {
		tree_rollback(list);
		return r;
	}
	account(list->root, gone, remove, with, add);
	tree_commit(list);
	return 0;
}
