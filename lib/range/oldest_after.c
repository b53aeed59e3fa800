/* SPDX-License-Identifier: MIT */
/*
 * The oldest range after a given one, in the order of age: for a purge that passes over ranges
 * which somebody holds, and goes on to the next.
 *
 * The ages in inner nodes tell the oldest range below, and nothing of the second oldest. So the
 * search goes into every child whose oldest range is not after the given one, and into the best of
 * the others: with h held ranges it looks at O(h log n) nodes. Ranges that a pin has split have one
 * stamp; the first page decides among them. The caller holds the area's lock.
 */
#include <errno.h>

#include "base/shared.h"
#include "range/oldest.h"
#include "range/tree.h"

struct search {
	const struct range_list *list;
	uint64_t age;   /* of the given range */
	uint32_t start; /* its first page */
	/*
	 * the first page that the next entry may hold: leaves come in order, so no way leads to one
	 * twice
	 */
	uint64_t from;
	uint64_t nodes; /* that may still be looked at */
	int found;
	struct range best;
};

/* Whether age and first page come before those of the best range so far. */
static int is_better(const struct search *search, uint64_t age, uint32_t start)
{
	uint64_t best = range_age(&search->best);

	return !search->found || age < best || (age == best && start < search->best.start);
}

static int look_at_leaf(struct search *search, const struct range_node *leaf, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct range range = range_load(leaf, i);
		uint64_t age = range_age(&range);

		if (range.start < search->from)
			return -EUCLEAN;
		search->from = (uint64_t)range.start + 1;
		if (age == AGE_NONE || age == AGE_PURGED || age < search->age ||
			(age == search->age && range.start <= search->start) ||
			!is_better(search, age, range.start))
			continue;
		if (!range_is_sane(search->list, &range, 0))
			return -EUCLEAN;
		search->best = range;
		search->found = 1;
	}
	return 0;
}

/*
 * The child with the oldest range of those that have none at or before the given one, or
 * `count`.
 */
static uint32_t best_young_child(const struct search *search, const struct range_node *node,
	uint32_t count)
{
	uint64_t oldest = AGE_PURGED;
	uint32_t slot = count;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t age = SHARED_LOAD(node->child[i].age);
		if (age > search->age && age < oldest) {
			oldest = age;
			slot = i;
		}
	}
	return slot;
}

static int look_below(struct search *search, uint32_t index, uint32_t level)
{
	struct range_node *node;
	uint32_t count;
	int r = tree_load(search->list, index, level, &node, &count);

	if (r < 0)
		return r;
	if (search->nodes-- == 0 || (count == 0 && search->nodes + 1 < search->list->max_nodes))
		return -EUCLEAN; /* only the root is empty */
	if (level == 0)
		return look_at_leaf(search, node, count);
	uint32_t young = best_young_child(search, node, count);
	for (uint32_t i = 0; i < count && r == 0; i++) {
		uint64_t age = SHARED_LOAD(node->child[i].age);
		if (i == young || (age != AGE_NONE && age <= search->age))
			r = look_below(search, SHARED_LOAD(node->child[i].node), level - 1);
	}
	return r;
}

int range_oldest_after(struct range_list *list, uint64_t stamp, uint32_t start, struct range *found)
{
	struct search search = {
		.list = list, .age = stamp + 1, .start = start, .nodes = list->max_nodes};
	uint32_t height = SHARED_LOAD(list->root->height);

	if (height >= RANGE_MAX_HEIGHT)
		return -EUCLEAN;
	int r = look_below(&search, SHARED_LOAD(list->root->root), height);
	if (r < 0)
		return r;
	if (search.found)
		*found = search.best;
	return search.found;
}
