/* SPDX-License-Identifier: MIT */
/*
 * The B+tree below the range list: search, edits and their transactions. See range_tree.h for the representation, the
 * invariants and the rule of crash safety. The caller holds the area's lock.
 *
 * An edit changes one leaf and then mends the tree upwards: a full node is split, a poor one takes from a neighbour or is
 * merged with it. Every node is copied into the journal before its first change. Nodes that drop out go to the free
 * list after the commit only, so that a rollback finds them as they were.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "range_tree.h"

int tree_load(const struct range_list *list, uint32_t index, uint32_t level,
	struct range_node **node, uint32_t *count)
{
	struct range_node *n = tree_node(list, index);

	if (!n || SHARED_LOAD(n->level) != level)
		return -EUCLEAN;
	uint32_t c = SHARED_LOAD(n->count);
	if (c > (level ? INNER_MAX : LEAF_MAX) || (level && c == 0))
		return -EUCLEAN;
	*node = n;
	*count = c;
	return 0;
}

/* The last child whose lower bound is at or before `page`; the first child's bound counts as minus infinity. */
static uint32_t child_slot(const struct range_node *node, uint32_t count, uint32_t page)
{
	uint32_t base = 0;

	while (count > 1) {
		uint32_t half = count / 2;
		base += SHARED_LOAD(node->child[base + half].start) <= page ? half : 0;
		count -= half;
	}
	return base;
}

static int step_into(const struct range_list *list, struct tree_path *path, uint32_t level,
	uint32_t index)
{
	path->at[level].index = index;
	const char *lines = (const char *)tree_node(list, index);
	if (lines)
		for (int i = 0; i < RANGE_NODE_BYTES; i += 64)
			__builtin_prefetch(lines + i);
	return tree_load(list, index, level, &path->at[level].node, &path->at[level].count);
}

/* Start list->path at the root: its index. The path is void until descend_end(). */
static int descend_begin(struct range_list *list, uint32_t *index)
{
	uint32_t level = SHARED_LOAD(list->root->height);

	if (level >= RANGE_MAX_HEIGHT)
		return -EUCLEAN;
	*index = SHARED_LOAD(list->root->root);
	list->path.height = level;
	list->path_low = 0;
	list->path_high = 0;
	return 0;
}

/* Go through the child at `slot`, and narrow the pages that the path holds for. */
static uint32_t descend_through(struct range_list *list, uint32_t level, uint32_t slot, uint64_t *high)
{
	struct tree_path *path = &list->path;
	struct range_node *node = path->at[level].node;

	path->at[level].slot = slot;
	if (slot > 0)
		list->path_low = SHARED_LOAD(node->child[slot].start);
	if (slot + 1 < path->at[level].count)
		*high = SHARED_LOAD(node->child[slot + 1].start);
	return SHARED_LOAD(node->child[slot].node);
}

static void descend_end(struct range_list *list, uint64_t high)
{
	list->path_high = high;
	list->path_version = SHARED_LOAD(list->root->version);
}

int tree_descend_anew(struct range_list *list, uint32_t page)
{
	struct tree_path *path = &list->path;
	uint64_t high = UINT64_MAX;
	uint32_t index;
	int r = descend_begin(list, &index);

	if (r < 0)
		return r;
	for (uint32_t level = path->height;; level--) {
		r = step_into(list, path, level, index);
		if (r < 0)
			return r;
		if (level == 0)
			break;
		uint32_t slot = child_slot(path->at[level].node, path->at[level].count, page);
		index = descend_through(list, level, slot, &high);
	}
	path->at[0].slot = leaf_slot(path->at[0].node, path->at[0].count, page);
	descend_end(list, high);
	return 0;
}

/* The slot of the oldest entry of a node. */
static uint32_t oldest_slot(const struct range_node *node, uint32_t count, uint32_t level)
{
	uint64_t oldest = AGE_NONE;
	uint32_t slot = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t age = level ? SHARED_LOAD(node->child[i].age) : range_age(&node->range[i]);
		if (age - 1 < oldest - 1) {
			oldest = age;
			slot = i;
		}
	}
	return slot;
}

int tree_descend_to_oldest(struct range_list *list)
{
	struct tree_path *path = &list->path;
	uint64_t high = UINT64_MAX;
	uint32_t index;
	int r = descend_begin(list, &index);

	if (r < 0)
		return r;
	for (uint32_t level = path->height;; level--) {
		r = step_into(list, path, level, index);
		if (r < 0)
			return r;
		uint32_t slot = oldest_slot(path->at[level].node, path->at[level].count, level);
		if (level == 0) {
			path->at[0].slot = slot;
			break;
		}
		index = descend_through(list, level, slot, &high);
	}
	descend_end(list, high);
	return 0;
}

/* Move to the neighbouring leaf, by `step` +1 or -1. */
static int neighbour_leaf(const struct range_list *list, struct tree_path *path, int step)
{
	uint32_t level = 1;

	while (level <= path->height && (step > 0 ? path->at[level].slot + 1 >= path->at[level].count
						  : path->at[level].slot == 0))
		level++;
	if (level > path->height)
		return 0;
	path->at[level].slot += (uint32_t)step;
	while (level > 0) {
		uint32_t index = SHARED_LOAD(path->at[level].node->child[path->at[level].slot].node);
		int r = step_into(list, path, --level, index);
		if (r < 0)
			return r;
		uint32_t count = path->at[level].count;
		path->at[level].slot = step > 0 ? 0 : level ? count - 1 : count;
	}
	return 1;
}

int tree_next_leaf(const struct range_list *list, struct tree_path *path)
{
	return neighbour_leaf(list, path, 1);
}

int tree_prev_leaf(const struct range_list *list, struct tree_path *path)
{
	return neighbour_leaf(list, path, -1);
}

int tree_next_ranges(const struct range_list *list, struct tree_path *path)
{
	uint32_t level = 1;

	for (; level <= path->height; level++) {
		struct range_node *node = path->at[level].node;
		uint32_t slot = path->at[level].slot + 1;

		while (slot < path->at[level].count && SHARED_LOAD(node->child[slot].age) == AGE_NONE)
			slot++;
		path->at[level].slot = slot;
		if (slot < path->at[level].count)
			break;
	}
	if (level > path->height)
		return 0;
	while (level > 0) {
		struct range_node *node = path->at[level].node;
		uint32_t index = SHARED_LOAD(node->child[path->at[level].slot].node);
		int r = step_into(list, path, --level, index);
		if (r < 0)
			return r;
		node = path->at[level].node;
		uint32_t slot = 0;
		while (level > 0 && slot < path->at[level].count &&
			SHARED_LOAD(node->child[slot].age) == AGE_NONE)
			slot++;
		if (slot == path->at[level].count) /* damaged: the parent said that there are some */
			return -EUCLEAN;
		path->at[level].slot = slot;
	}
	return 1;
}

static size_t node_bytes(uint32_t count, uint32_t level)
{
	return offsetof(struct range_node, range) +
	       count * (level ? sizeof(struct range_child) : sizeof(struct range));
}

uint64_t tree_node_age(const struct range_node *node, uint32_t count, uint32_t level)
{
	uint32_t most = level ? INNER_MAX : LEAF_MAX;
	uint64_t age = 0;

	for (uint32_t i = 0; i < count && i < most; i++) {
		uint64_t entry = level ? SHARED_LOAD(node->child[i].age)
				       : range_age(&node->range[i]);
		age = older_of(age, entry);
	}
	return age;
}

/* -- transactions -- */

static void *journal_slot(const struct range_list *list, uint32_t slot)
{
	return list->journal_top - (size_t)RANGE_NODE_BYTES * (slot + 1);
}

/* Copy a node's image into the journal, before its first change in a transaction. */
static int tree_touch(struct range_list *list, uint32_t index, uint32_t count, uint32_t level)
{
	struct range_root *root = list->root;
	uint32_t slot = SHARED_LOAD(root->journal_count);

	if (slot >= RANGE_JOURNAL_SLOTS)
		return -EUCLEAN;
	if (slot == 0) {
		SHARED_STORE(root->version, SHARED_LOAD(root->version) + 1);
		root->journal_root = root->root;
		root->journal_height = root->height;
		list->freed_count = 0;
	}
	memcpy(journal_slot(list, slot), tree_node(list, index), node_bytes(count, level));
	root->journal_node[slot] = index;
	CRASH_BARRIER();
	SHARED_STORE(root->journal_count, slot + 1);
	CRASH_BARRIER();
	return 0;
}

int tree_rollback(struct range_list *list)
{
	struct range_root *root = list->root;
	uint32_t slots = SHARED_LOAD(root->journal_count);

	SHARED_STORE(root->version, SHARED_LOAD(root->version) + 1);
	if (slots == 0)
		return 0;
	if (slots > RANGE_JOURNAL_SLOTS)
		return -EUCLEAN;
	/* Last image first, so that a node touched twice ends as it was at the first touch. */
	for (uint32_t slot = slots; slot-- > 0;) {
		struct range_node *image = journal_slot(list, slot);
		struct range_node *node = tree_node(list, SHARED_LOAD(root->journal_node[slot]));
		uint32_t count = SHARED_LOAD(image->count), level = SHARED_LOAD(image->level);

		if (!node || level >= RANGE_MAX_HEIGHT || count > (level ? INNER_MAX : LEAF_MAX))
			return -EUCLEAN;
		memcpy(node, image, node_bytes(count, level));
	}
	SHARED_STORE(root->root, root->journal_root);
	SHARED_STORE(root->height, root->journal_height);
	CRASH_BARRIER();
	SHARED_STORE(root->journal_count, 0);
	return 0;
}

static void node_free(struct range_list *list, uint32_t index)
{
	struct range_node *node = tree_node(list, index);

	SHARED_STORE(node->next_free, SHARED_LOAD(list->root->free_head) + 1);
	SHARED_STORE(list->root->free_head, index + 1);
}

static void tree_commit(struct range_list *list)
{
	CRASH_BARRIER();
	SHARED_STORE(list->root->journal_count, 0);
	CRASH_BARRIER();
	while (list->freed_count > 0)
		node_free(list, list->freed[--list->freed_count]);
}

/* A node to fill. Its old content needs no journal: nothing points to it. */
static int node_alloc(struct range_list *list, uint32_t level, uint32_t *index)
{
	struct range_root *root = list->root;
	uint32_t head = SHARED_LOAD(root->free_head);
	struct range_node *node;

	if (head) {
		*index = head - 1;
		node = tree_node(list, *index);
		if (!node)
			return -EUCLEAN;
		uint32_t next = SHARED_LOAD(node->next_free);
		if (next == 0) /* damaged: a node of the tree in the free list */
			return -EUCLEAN;
		SHARED_STORE(root->free_head, next - 1);
		SHARED_STORE(node->next_free, 0);
	} else {
		uint32_t used = SHARED_LOAD(root->nodes_used);
		*index = used ? used : 1; /* node 0 is the first leaf, from the start */
		node = tree_node(list, *index);
		if (!node)
			return -EUCLEAN;
		SHARED_STORE(root->nodes_used, *index + 1);
	}
	SHARED_STORE(node->level, (uint16_t)level);
	SHARED_STORE(node->count, 0);
	return 0;
}

static void node_drop(struct range_list *list, uint32_t index)
{
	if (list->freed_count < RANGE_JOURNAL_SLOTS)
		list->freed[list->freed_count++] = index;
}

/* -- stamps -- */

/* Where the age of the path's node at `level` is kept: with its parent, or in the root. */
static uint64_t *age_place(struct range_list *list, struct tree_path *path, uint32_t level)
{
	if (level == path->height)
		return &list->root->age;
	return &path->at[level + 1].node->child[path->at[level + 1].slot].age;
}

void tree_age_changed(struct range_list *list, struct tree_path *path, uint64_t gone, uint64_t come)
{
	for (uint32_t level = 0; level <= path->height; level++) {
		uint64_t *place = age_place(list, path, level);
		uint64_t was = SHARED_LOAD(*place), now;

		if (gone == was && gone != AGE_NONE)
			now = tree_node_age(path->at[level].node, path->at[level].count, level);
		else
			now = older_of(was, come);
		if (now == was)
			return;
		SHARED_STORE(*place, now);
		gone = was;
		come = now;
	}
}

/* After a change of structure: recompute every stamp on the way from `level` to the root. */
static void refresh_ages(struct range_list *list, struct tree_path *path, uint32_t level)
{
	uint64_t age = 0;

	for (; level <= path->height; level++) {
		struct range_node *node = path->at[level].node;
		uint32_t count = SHARED_LOAD(node->count);

		if (level > 0 && path->at[level].slot < count) {
			struct range_child *child = &node->child[path->at[level].slot];
			struct range_node *below = tree_node(list, SHARED_LOAD(child->node));
			if (below)
				SHARED_STORE(child->age,
					tree_node_age(below, SHARED_LOAD(below->count), level - 1));
		}
		age = tree_node_age(node, count, level);
	}
	SHARED_STORE(list->root->age, age);
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
	int r = node_alloc(list, level, &index);
	if (r < 0)
		return r;
	struct range_node *node = tree_node(list, index), *left = path->at[path->height].node;
	node->child[0] = (struct range_child){
		.node = path->at[path->height].index,
		.age = tree_node_age(left, SHARED_LOAD(left->count), level - 1),
	};
	node->child[1] = *right;
	SHARED_STORE(node->count, 2);
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
			SHARED_STORE(node->count, (uint16_t)(count + 1));
			refresh_ages(list, path, level);
			return 0;
		}

		struct range_child all[INNER_MAX + 1];
		uint32_t index, keep = split_point(path, level, slot);
		r = node_alloc(list, level, &index);
		if (r < 0)
			return r;
		memcpy(all, node->child, slot * sizeof(right));
		all[slot] = right;
		memcpy(&all[slot + 1], &node->child[slot], (count - slot) * sizeof(right));

		struct range_node *twin = tree_node(list, index);
		uint32_t rest = INNER_MAX + 1 - keep;
		memcpy(node->child, all, keep * sizeof(right));
		memcpy(twin->child, &all[keep], rest * sizeof(right));
		SHARED_STORE(node->count, (uint16_t)keep);
		SHARED_STORE(twin->count, (uint16_t)rest);
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
	node_drop(list, path->at[path->height].index);
	return 0;
}

static void erase_child(struct range_node *parent, uint32_t *count, uint32_t slot)
{
	memmove(&parent->child[slot], &parent->child[slot + 1],
		(*count - slot - 1) * sizeof(struct range_child));
	SHARED_STORE(parent->count, (uint16_t)--*count);
}

/* Two neighbours, `right` the second: merge into the first if they fit (1), or share their entries evenly (0). */
static int merge_or_share(struct range_node *left, uint32_t left_count, struct range_node *right,
	uint32_t right_count, uint32_t level, struct range_child *right_entry)
{
	unsigned char all[2 * RANGE_NODE_BYTES];
	size_t size = level ? sizeof(struct range_child) : sizeof(struct range);
	uint32_t total = left_count + right_count, keep;
	unsigned char *l = (unsigned char *)left->range, *r = (unsigned char *)right->range;

	memcpy(all, l, left_count * size);
	memcpy(all + left_count * size, r, right_count * size);
	if (level) /* the bound of a first child is not looked at; it is no longer the first */
		((struct range_child *)(all + left_count * size))->start = right_entry->start;

	keep = total <= (level ? (uint32_t)INNER_MAX : (uint32_t)LEAF_MAX) ? total : total / 2;
	memcpy(l, all, keep * size);
	SHARED_STORE(left->count, (uint16_t)keep);
	if (keep == total)
		return 1;
	memcpy(r, all + keep * size, (total - keep) * size);
	SHARED_STORE(right->count, (uint16_t)(total - keep));
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
		erase_child(parent, parent_count, slot);
		node_drop(list, path->at[level].index);
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
		erase_child(parent, parent_count, right_slot);
		node_drop(list, slot ? path->at[level].index : other_index);
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
	refresh_ages(list, path, level);
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

/* Replace entries of a leaf that overflows by one: pinned entries go, or if there are none the leaf is split. */
static int edit_full_leaf(struct range_list *list, struct tree_path *path, uint32_t remove,
	const struct range *with, uint32_t add)
{
	struct range all[LEAF_MAX + 1];
	struct range_node *leaf = path->at[0].node;
	uint32_t count = path->at[0].count, slot = path->at[0].slot, tail = count - slot - remove;
	uint32_t total = count - remove + add, index;

	memcpy(all, leaf->range, slot * sizeof(*all));
	memcpy(&all[slot], with, add * sizeof(*all));
	memcpy(&all[slot + add], &leaf->range[slot + remove], tail * sizeof(*all));

	uint32_t kept = drop_pinned(all, total);
	if (kept < total) {
		memcpy(leaf->range, all, kept * sizeof(*all));
		SHARED_STORE(leaf->count, (uint16_t)kept);
		return mend(list, path, kept);
	}

	int r = node_alloc(list, 0, &index);
	if (r < 0)
		return r;
	struct range_node *twin = tree_node(list, index);
	uint32_t keep = split_point(path, 0, remove ? LEAF_MAX / 2 : slot), rest = total - keep;
	memcpy(leaf->range, all, keep * sizeof(*all));
	memcpy(twin->range, &all[keep], rest * sizeof(*all));
	SHARED_STORE(leaf->count, (uint16_t)keep);
	SHARED_STORE(twin->count, (uint16_t)rest);
	return insert_child(list, path, 1,
		(struct range_child){
			.start = all[keep].start,
			.node = index,
			.age = tree_node_age(twin, rest, 0),
		});
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
	SHARED_STORE(leaf->count, (uint16_t)total);
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

	assert(slot <= count && remove <= count - slot && add <= 2 && add <= remove + 1);
	int r = tree_touch(list, path->at[0].index, count, 0);
	if (r < 0)
		return r;
	const struct range_node *before = journal_slot(list, 0);
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
