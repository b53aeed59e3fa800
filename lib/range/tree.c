/* SPDX-License-Identifier: MIT */
/*
 * The B+tree below the range list: looking for things in it, and the ages that lead to the oldest
 * range. See tree.h for the representation, the invariants and the rule of crash safety. The caller
 * holds the area's lock.
 *
 * Nothing here changes the tree's structure. Whatever is loaded from a node is checked before it is
 * used as an index.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "base/shared.h"
#include "range/hints.h"
#include "range/prefetch.h"
#include "range/tree.h"

static inline int load_node(const struct range_list *list, uint32_t index, uint32_t level,
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

int tree_load(const struct range_list *list, uint32_t index, uint32_t level,
	struct range_node **node, uint32_t *count)
{
	return load_node(list, index, level, node, count);
}

/*
 * The last child whose lower bound is at or before `page`; the first child's bound counts as minus
 * infinity.
 */
static uint32_t child_slot(const struct range_node *node, uint32_t count, uint32_t page)
{
	uint32_t found = count_keys(node->key, count, page);

	return found ? found - 1 : 0; /* key 0 is 0; found is 0 only in damaged memory */
}

static inline int step_into(const struct range_list *list, struct tree_path *path, uint32_t level,
	uint32_t index)
{
	path->at[level].index = index;
	return load_node(list, index, level, &path->at[level].node, &path->at[level].count);
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
static inline uint32_t descend_through(struct range_list *list, uint32_t level, uint32_t slot,
	uint64_t *high)
{
	struct tree_path *path = &list->path;
	struct range_node *node = path->at[level].node;

	assert(slot < path->at[level].count && path->at[level].count <= INNER_MAX);
	path->at[level].slot = slot;
	/* cppcheck thinks that child_slot() can return 50; the assertion says why it cannot. */
	if (slot > 0)
		/* cppcheck-suppress arrayIndexOutOfBoundsCond */
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
	uint32_t index, fetched = list->fetched;
	int r = descend_begin(list, &index);

	if (r < 0)
		return r;
	list->fetched = 0;
	if (list->hints && !fetched)
		fetched = hints_fetch(list, page);
	for (uint32_t level = path->height;; level--) {
		if (level <= 1 && index != fetched && range_is_large(list))
			prefetch_node(list, index);
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
	if (list->hints)
		hints_learn(list, page, path->at[0].index);
	return 0;
}

/* The slot of the child with the oldest range, the first of several; and what lies beside it. */
static uint32_t oldest_child(const struct range_node *node, uint32_t count, uint64_t *beside_age,
	uint64_t *beside_rank)
{
	uint64_t oldest = UINT64_MAX, before = UINT64_MAX, after = UINT64_MAX;
	uint32_t slot = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t rank = SHARED_LOAD(node->child[i].age) - 1;
		if (rank < oldest) {
			before = oldest;
			after = UINT64_MAX;
			oldest = rank;
			slot = i;
		} else if (i > 0 && rank < after) {
			after = rank;
		}
	}
	*beside_age = (before < after ? before : after) + 1;
	/* Of two with one rank, the first has its turn first. */
	*beside_rank = before <= after ? before - 1 : after;
	return slot;
}

int tree_descend_to_oldest(struct range_list *list, struct tree_beside *beside)
{
	struct tree_path *path = &list->path;
	uint64_t high = UINT64_MAX;
	uint32_t index;
	int r = descend_begin(list, &index);

	if (r < 0)
		return r;
	beside->rank = UINT64_MAX;
	for (uint32_t level = path->height;; level--) {
		uint64_t rank;
		if (range_is_large(list)) /* a full node, all of which will be looked at */
			prefetch_node(list, index);
		r = step_into(list, path, level, index);
		if (r < 0)
			return r;
		if (level == 0)
			break;
		uint32_t slot = oldest_child(path->at[level].node, path->at[level].count,
			&beside->age[level], &rank);
		if (rank < beside->rank)
			beside->rank = rank;
		index = descend_through(list, level, slot, &high);
	}
	path->at[0].slot = 0;
	descend_end(list, high);
	return 0;
}

/* Move to the neighbouring leaf, by `step` +1 or -1. */
static int neighbour_leaf(const struct range_list *list, struct tree_path *path, int step)
{
	uint32_t level = 1;

	while (level <= path->height &&
		(step > 0 ? path->at[level].slot + 1 >= path->at[level].count
			  : path->at[level].slot == 0))
		level++;
	if (level > path->height)
		return 0;
	path->at[level].slot += (uint32_t)step;
	while (level > 0) {
		uint32_t index =
			SHARED_LOAD(path->at[level].node->child[path->at[level].slot].node);
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

		while (slot < path->at[level].count &&
			SHARED_LOAD(node->child[slot].age) == AGE_NONE)
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
		/* damaged: the parent said that there are some */
		if (slot == path->at[level].count)
			return -EUCLEAN;
		path->at[level].slot = slot;
	}
	return 1;
}

/* Two at a time, so that one comparison need not wait for the other. */
static uint64_t leaf_age(const struct range_node *leaf, uint32_t count)
{
	uint64_t even = AGE_NONE - 1, odd = AGE_NONE - 1;

	if (count & 1)
		odd = entry_rank(&leaf->entry[--count]);
	for (uint32_t i = 0; i < count; i += 2) {
		even = least_of(even, entry_rank(&leaf->entry[i]));
		odd = least_of(odd, entry_rank(&leaf->entry[i + 1]));
	}
	return least_of(even, odd) + 1;
}

uint64_t tree_node_age(const struct range_node *node, uint32_t count, uint32_t level)
{
	uint64_t rank = AGE_NONE - 1;

	if (level == 0)
		return leaf_age(node, count < LEAF_MAX ? count : LEAF_MAX);
	for (uint32_t i = 0; i < count && i < INNER_MAX; i++)
		rank = least_of(rank, SHARED_LOAD(node->child[i].age) - 1);
	return rank + 1;
}

/* -- ages -- */

/* Where the age of the path's node at `level` is kept: with its parent, or in the root. */
static uint64_t *age_place(struct range_list *list, struct tree_path *path, uint32_t level)
{
	if (level >= path->height)
		return &list->root->age;
	assert(level + 1 < RANGE_MAX_HEIGHT);
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
void tree_refresh_ages(struct range_list *list, struct tree_path *path, uint32_t level)
{
	uint64_t age = 0;

	for (; level <= path->height; level++) {
		struct range_node *node = path->at[level].node;
		uint32_t count = SHARED_LOAD(node->count), slot;

		/*
		 * cppcheck-suppress arrayIndexOutOfBoundsCond ; the height is below
		 * RANGE_MAX_HEIGHT
		 */
		slot = path->at[level].slot;
		if (level > 0 && slot < count && slot < INNER_MAX) {
			struct range_child *child = &node->child[slot];
			struct range_node *below = tree_node(list, SHARED_LOAD(child->node));
			if (below)
				SHARED_STORE(child->age,
					tree_node_age(below, SHARED_LOAD(below->count), level - 1));
		}
		age = tree_node_age(node, count, level);
	}
	SHARED_STORE(list->root->age, age);
}
