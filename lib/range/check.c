/* SPDX-License-Identifier: MIT */
/*
 * Walks over a whole range list: to check every invariant (range_validate) and, after a crash, to
 * rebuild what is derived (tree_rebuild). See tree.h for the invariants.
 *
 * The walk is bounded whatever the memory holds: depth by the height, breadth by the counts, and
 * the whole by the rule that ranges ascend, since no node with ranges can be met twice without
 * breaking it. The caller holds the area's lock.
 */
#include <errno.h>
#include <stddef.h>

#include "base/shared.h"
#include "range/edit.h"
#include "range/tree.h"

struct walk {
	struct range_list *list;
	int repair;
	uint64_t from; /* the first page that the next range may hold */
	uint64_t nodes, entries, ranges, unpinned_pages, evictable_pages, empty_pages;
};

/* Mark used while rebuilding: the sweep turns the rest into the free list. */
#define NEXT_FREE_UNSEEN 1u

/* Nodes handed out so far; node 0 is, from the start. */
static uint32_t nodes_used(const struct range_list *list)
{
	uint32_t used = SHARED_LOAD(list->root->nodes_used);

	return used ? used : 1;
}

static int walk_leaf(struct walk *walk, struct range_node *node, uint32_t count, uint64_t low,
	uint64_t high, uint64_t *age)
{
	*age = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct range range = range_load(node, i);

		if (!range_is_sane(walk->list, &range, walk->from) || range.start < low ||
			range.start >= high)
			return -EUCLEAN;
		walk->from = (uint64_t)range.start + range.pages;
		walk->entries++;
		if (range.flags & RANGE_PINNED)
			continue;
		walk->ranges++;
		walk->unpinned_pages += range.pages;
		walk->evictable_pages += range.live;
		walk->empty_pages += range_is_empty(&range) ? range.pages : 0;
		*age = older_of(*age, range_age(&range));
	}
	return 0;
}

/* Invariant 8, checked or restored. */
static int walk_keys(struct walk *walk, struct range_node *node, uint32_t count)
{
	if (walk->repair)
		tree_index_keys(node, 0, count);
	for (uint32_t i = 0; i < count; i++)
		if (SHARED_LOAD(node->key[i]) != tree_key_of(node, i))
			return -EUCLEAN;
	return 0;
}

/* Keys below the node lie in low..high-1; `spine`: the node is the root or on the right spine. */
static int walk_node(struct walk *walk, uint32_t index, uint32_t level, uint64_t low, uint64_t high,
	int spine, uint64_t *age)
{
	struct range_node *node;
	uint32_t count, min = level ? INNER_MIN : LEAF_MIN;
	int r = tree_load(walk->list, index, level, &node, &count);

	if (r < 0)
		return r;
	if (spine)
		min = level == SHARED_LOAD(walk->list->root->height) && level == 0 ? 0 : 1;
	if (count < min || index >= nodes_used(walk->list))
		return -EUCLEAN;
	walk->nodes++;
	if (walk->repair)
		SHARED_STORE(node->next_free, 0);
	else if (SHARED_LOAD(node->next_free) != 0)
		return -EUCLEAN;
	if (level == 0)
		return walk_leaf(walk, node, count, low, high, age);
	r = walk_keys(walk, node, count);
	if (r < 0)
		return r;

	*age = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t start = i ? SHARED_LOAD(node->child[i].start) : low;
		uint64_t next = i + 1 < count ? SHARED_LOAD(node->child[i + 1].start) : high;
		uint64_t below;

		if (start < low || next > high || start >= next)
			return -EUCLEAN;
		r = walk_node(walk, SHARED_LOAD(node->child[i].node), level - 1, start, next,
			spine && i + 1 == count, &below);
		if (r < 0)
			return r;
		if (walk->repair)
			SHARED_STORE(node->child[i].age, below);
		else if (SHARED_LOAD(node->child[i].age) != below)
			return -EUCLEAN;
		*age = older_of(*age, below);
	}
	return 0;
}

static int walk_tree(struct walk *walk, uint64_t *age)
{
	uint32_t height = SHARED_LOAD(walk->list->root->height);

	if (height >= RANGE_MAX_HEIGHT)
		return -EUCLEAN;
	return walk_node(walk, SHARED_LOAD(walk->list->root->root), height, 0, walk->list->pages, 1,
		age);
}

int range_validate(struct range_list *list)
{
	const struct range_root *root = list->root;
	struct walk walk = {.list = list};
	uint64_t age, free_nodes = 0;
	int r = walk_tree(&walk, &age);

	if (r < 0)
		return r;
	if (SHARED_LOAD(root->age) != age || SHARED_LOAD(root->ranges) != walk.ranges ||
		SHARED_LOAD(root->unpinned_pages) != walk.unpinned_pages ||
		SHARED_LOAD(root->evictable_pages) != walk.evictable_pages ||
		SHARED_LOAD(root->empty_pages) != walk.empty_pages ||
		SHARED_LOAD(root->journal_count) || SHARED_LOAD(root->intent.active))
		return -EUCLEAN;

	uint32_t used = nodes_used(list), next = SHARED_LOAD(root->free_head);
	if (used > list->max_nodes)
		return -EUCLEAN;
	while (next) {
		const struct range_node *node = tree_node(list, next - 1);
		if (!node || next - 1 >= used || ++free_nodes > used)
			return -EUCLEAN;
		next = SHARED_LOAD(node->next_free);
		if (next-- == 0)
			return -EUCLEAN;
	}
	return walk.nodes + free_nodes == used ? 0 : -EUCLEAN;
}

int tree_rebuild(struct range_list *list, uint64_t *entries)
{
	struct range_root *root = list->root;
	struct walk walk = {.list = list, .repair = 1};
	uint32_t used = nodes_used(list);
	uint64_t age;

	if (used > list->max_nodes)
		return -EUCLEAN;
	for (uint32_t i = 0; i < used; i++) {
		struct range_node *node = tree_node(list, i);
		if (!node)
			return -EUCLEAN;
		SHARED_STORE(node->next_free, NEXT_FREE_UNSEEN);
	}
	int r = walk_tree(&walk, &age);
	if (r < 0)
		return r;

	uint32_t head = 0;
	for (uint32_t i = used; i-- > 0;) {
		struct range_node *node = tree_node(list, i);
		if (!node || SHARED_LOAD(node->next_free) != NEXT_FREE_UNSEEN)
			continue;
		SHARED_STORE(node->next_free, head + 1);
		head = i + 1;
	}
	*entries = walk.entries;
	SHARED_STORE(root->free_head, head);
	SHARED_STORE(root->age, age);
	SHARED_STORE(root->ranges, walk.ranges);
	SHARED_STORE(root->unpinned_pages, walk.unpinned_pages);
	SHARED_STORE(root->evictable_pages, walk.evictable_pages);
	SHARED_STORE(root->empty_pages, (uint32_t)walk.empty_pages);
	return 0;
}
