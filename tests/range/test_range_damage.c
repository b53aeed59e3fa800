/* SPDX-License-Identifier: MIT */
/*
 * Range lists in damaged memory: range_validate() finds each kind of damage, and no call crashes,
 * hangs or reaches outside of its memory, whatever that holds or whoever writes to it meanwhile.
 * The arena's guard pages turn a stray access into a crash.
 *
 * This is the one test that knows the layout of a node, as far as range_tree.h declares it.
 */
#define _GNU_SOURCE 1
#include "support/children.h"
#include "support/contract.h"
#include "support/hostile.h"
#include "support/range_arena.h"
#include "support/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "range/tree.h"

/* Enough for inner nodes below the root. */
enum { RANGES = LEAF_MAX * INNER_MAX + 4 * LEAF_MAX };

static struct arena *pristine, *damaged;
static struct range_list *list;

/* A list with two levels of inner nodes, free nodes, purged and partly purged ranges; and a copy to
 * damage. */
static void begin(void)
{
	pristine = arena_with_spread(RANGES);
	list = pristine->list;
	for (uint32_t i = 0; i < RANGES; i += 5) {
		expect_eq(range_mark_purged(list, 4 * i), 0);
		expect_eq(range_set_live(list, 4 * i, i % 3), 0);
	}
	expect_eq(range_unpin(list, 4 * 101, 4 * 200, 2000), 0);
	expect_sound(list);
	expect_eq(list->root->height, 2);
	expect(list->root->free_head != 0);
	damaged = arena_make(pristine->pages);
	arena_copy(damaged, pristine);
	list = damaged->list;
	expect_eq(range_validate(list), 0);
}

/* -- where things are -- */

static struct range_node *root_node(void)
{
	return tree_node(list, list->root->root);
}

static struct range_node *inner_node(uint32_t slot)
{
	return tree_node(list, root_node()->child[slot].node);
}

/* A leaf that is not on the right spine. */
static struct range_node *leaf(uint32_t slot)
{
	return tree_node(list, inner_node(0)->child[slot].node);
}

static uint32_t a_free_node(void)
{
	return list->root->free_head - 1;
}

/* -- one kind of damage each -- */

static void swapped_ranges(void)
{
	struct range second = range_load(leaf(1), 2), third = range_load(leaf(1), 3);

	range_store(leaf(1), 2, &third);
	range_store(leaf(1), 3, &second);
}

static void swapped_leaves(void)
{
	uint32_t moved = inner_node(0)->child[1].node;

	inner_node(0)->child[1].node = inner_node(0)->child[2].node;
	inner_node(0)->child[2].node = moved;
}

static void swapped_subtrees(void)
{
	struct range_child moved = root_node()->child[0];

	root_node()->child[0] = root_node()->child[1];
	root_node()->child[1] = moved;
}

static void overlapping_ranges(void)
{
	expect_eq(leaf(1)->entry[2].live, LIVE_FRESH);
	leaf(1)->entry[2].pages += 2;
	list->root->unpinned_pages += 2;
	list->root->evictable_pages += 2;
}

static void ranges_that_overlap_across_leaves(void)
{
	struct range_entry *last = &leaf(1)->entry[leaf(1)->count - 1];

	expect_eq(last->live, LIVE_FRESH);
	last->pages += 2;
	list->root->unpinned_pages += 2;
	list->root->evictable_pages += 2;
}

static void empty_range(void)
{
	struct range range = range_load(leaf(1), 2);

	list->root->unpinned_pages -= range.pages;
	list->root->evictable_pages -= range.live;
	leaf(1)->entry[2].pages = 0;
}

static struct range_node *last_leaf(void)
{
	struct range_node *node = root_node();

	while (node->level > 0)
		node = tree_node(list, node->child[node->count - 1].node);
	return node;
}

static struct range_entry *last_entry(void)
{
	return &last_leaf()->entry[last_leaf()->count - 1];
}

static uint32_t *last_key(void)
{
	return &last_leaf()->key[last_leaf()->count - 1];
}

static void range_behind_the_area(void)
{
	*last_key() = damaged->pages;
}

static void range_that_reaches_behind_the_area(void)
{
	expect_eq(last_entry()->live, LIVE_FRESH);
	last_entry()->pages += 2;
	list->root->unpinned_pages += 2;
	list->root->evictable_pages += 2;
}

static void range_whose_end_overflows(void)
{
	uint32_t more = UINT32_MAX - *last_key();

	expect_eq(last_entry()->live, LIVE_FRESH);
	last_entry()->pages += more;
	list->root->unpinned_pages += more;
	list->root->evictable_pages += more;
}

static void more_live_pages_than_pages(void)
{
	expect_eq(leaf(1)->entry[1].live, LIVE_FRESH);
	leaf(1)->entry[1].live = leaf(1)->entry[1].pages + 4;
	list->root->evictable_pages += 4;
}

static void absurd_count_of_live_pages(void)
{
	leaf(1)->entry[1].live = LIVE_PINNED - 1;
	list->root->evictable_pages += LIVE_PINNED - 1 - leaf(1)->entry[1].pages;
}

static void moved_bound(void)
{
	inner_node(0)->child[2].start = leaf(2)->key[0] + 1;
}

static void bound_before_the_ranges_of_the_leaf_before(void)
{
	inner_node(0)->child[2].start = leaf(1)->key[3];
}

static void bounds_that_descend(void)
{
	inner_node(0)->child[2].start = inner_node(0)->child[1].start - 1;
}

static void bound_behind_the_parents(void)
{
	struct range_node *node = inner_node(0);

	node->child[node->count - 1].start = root_node()->child[1].start + 1;
}

static void leaf_with_one_range_more(void)
{
	leaf(1)->count++;
}

static void leaf_with_one_range_less(void)
{
	leaf(1)->count--;
}

static void empty_leaf(void)
{
	leaf(1)->count = 0;
}

static void poor_leaf(void)
{
	leaf(1)->count = LEAF_MIN - 1;
}

static void overfull_leaf(void)
{
	leaf(1)->count = LEAF_MAX + 1;
}

static void absurd_leaf(void)
{
	leaf(1)->count = UINT16_MAX;
}

static void inner_node_with_one_child_less(void)
{
	inner_node(0)->count--;
}

static void inner_node_without_children(void)
{
	inner_node(0)->count = 0;
}

static void overfull_inner_node(void)
{
	inner_node(0)->count = INNER_MAX + 1;
}

static void leaf_that_claims_a_level(void)
{
	leaf(1)->level = 1;
}

static void inner_node_that_claims_to_be_a_leaf(void)
{
	inner_node(0)->level = 0;
}

static void root_of_another_level(void)
{
	root_node()->level = 3;
}

static void height_too_small(void)
{
	list->root->height--;
}

static void height_too_large(void)
{
	list->root->height++;
}

static void absurd_height(void)
{
	list->root->height = RANGE_MAX_HEIGHT;
}

static void most_absurd_height(void)
{
	list->root->height = UINT32_MAX;
}

static void root_that_does_not_exist(void)
{
	list->root->root = list->max_nodes;
}

static void most_absurd_root(void)
{
	list->root->root = UINT32_MAX;
}

static void root_that_is_a_leaf(void)
{
	list->root->root = inner_node(0)->child[0].node;
}

static void child_that_does_not_exist(void)
{
	inner_node(0)->child[1].node = list->max_nodes;
}

static void child_never_handed_out(void)
{
	inner_node(0)->child[1].node = list->root->nodes_used;
}

static void child_that_is_its_parent(void)
{
	inner_node(0)->child[1].node = root_node()->child[0].node;
}

static void child_met_twice(void)
{
	inner_node(0)->child[1].node = inner_node(0)->child[2].node;
}

static void child_that_is_free(void)
{
	inner_node(0)->child[1].node = a_free_node();
}

static void wrong_age_of_a_leaf(void)
{
	inner_node(0)->child[1].age++;
}

static void wrong_age_of_a_subtree(void)
{
	root_node()->child[1].age = 0;
}

static void wrong_age_of_all(void)
{
	list->root->age++;
}

static void no_age_of_all(void)
{
	list->root->age = 0;
}

static void one_range_too_many(void)
{
	list->root->ranges++;
}

static void one_unpinned_page_too_many(void)
{
	list->root->unpinned_pages++;
}

static void one_evictable_page_too_few(void)
{
	list->root->evictable_pages--;
}

static void journal_in_use(void)
{
	list->root->journal_count = 1;
}

static void intent_in_use(void)
{
	list->root->intent.active = 1;
}

static void free_list_that_begins_nowhere(void)
{
	list->root->free_head = list->max_nodes + 1;
}

static void free_list_that_begins_in_the_tree(void)
{
	list->root->free_head = inner_node(0)->child[1].node + 1;
}

static void free_list_that_ends_in_the_tree(void)
{
	uint32_t node = a_free_node();

	while (tree_node(list, node)->next_free > 1)
		node = tree_node(list, node)->next_free - 2;
	tree_node(list, node)->next_free = inner_node(0)->child[1].node + 2;
}

static void free_list_that_is_a_circle(void)
{
	tree_node(list, a_free_node())->next_free = a_free_node() + 2;
}

static void free_list_that_leaves_its_memory(void)
{
	tree_node(list, a_free_node())->next_free = UINT32_MAX;
}

static void forgotten_free_nodes(void)
{
	list->root->free_head = 0;
}

static void node_of_the_tree_marked_as_free(void)
{
	leaf(1)->next_free = 1;
}

static void one_node_too_many(void)
{
	list->root->nodes_used++;
}

static void one_node_too_few(void)
{
	list->root->nodes_used--;
}

static void more_nodes_than_there_are(void)
{
	list->root->nodes_used = UINT32_MAX;
}

#define DAMAGE(name)        \
	{                   \
#name, name \
	}
static const struct damage {
	const char *name;
	void (*plant)(void);
} damages[] = {
	DAMAGE(swapped_ranges),
	DAMAGE(swapped_leaves),
	DAMAGE(swapped_subtrees),
	DAMAGE(overlapping_ranges),
	DAMAGE(ranges_that_overlap_across_leaves),
	DAMAGE(empty_range),
	DAMAGE(range_behind_the_area),
	DAMAGE(range_that_reaches_behind_the_area),
	DAMAGE(range_whose_end_overflows),
	DAMAGE(more_live_pages_than_pages),
	DAMAGE(absurd_count_of_live_pages),
	DAMAGE(moved_bound),
	DAMAGE(bound_before_the_ranges_of_the_leaf_before),
	DAMAGE(bounds_that_descend),
	DAMAGE(bound_behind_the_parents),
	DAMAGE(leaf_with_one_range_more),
	DAMAGE(leaf_with_one_range_less),
	DAMAGE(empty_leaf),
	DAMAGE(poor_leaf),
	DAMAGE(overfull_leaf),
	DAMAGE(absurd_leaf),
	DAMAGE(inner_node_with_one_child_less),
	DAMAGE(inner_node_without_children),
	DAMAGE(overfull_inner_node),
	DAMAGE(leaf_that_claims_a_level),
	DAMAGE(inner_node_that_claims_to_be_a_leaf),
	DAMAGE(root_of_another_level),
	DAMAGE(height_too_small),
	DAMAGE(height_too_large),
	DAMAGE(absurd_height),
	DAMAGE(most_absurd_height),
	DAMAGE(root_that_does_not_exist),
	DAMAGE(most_absurd_root),
	DAMAGE(root_that_is_a_leaf),
	DAMAGE(child_that_does_not_exist),
	DAMAGE(child_never_handed_out),
	DAMAGE(child_that_is_its_parent),
	DAMAGE(child_met_twice),
	DAMAGE(child_that_is_free),
	DAMAGE(wrong_age_of_a_leaf),
	DAMAGE(wrong_age_of_a_subtree),
	DAMAGE(wrong_age_of_all),
	DAMAGE(no_age_of_all),
	DAMAGE(one_range_too_many),
	DAMAGE(one_unpinned_page_too_many),
	DAMAGE(one_evictable_page_too_few),
	DAMAGE(journal_in_use),
	DAMAGE(intent_in_use),
	DAMAGE(free_list_that_begins_nowhere),
	DAMAGE(free_list_that_begins_in_the_tree),
	DAMAGE(free_list_that_ends_in_the_tree),
	DAMAGE(free_list_that_is_a_circle),
	DAMAGE(free_list_that_leaves_its_memory),
	DAMAGE(forgotten_free_nodes),
	DAMAGE(node_of_the_tree_marked_as_free),
	DAMAGE(one_node_too_many),
	DAMAGE(one_node_too_few),
	DAMAGE(more_nodes_than_there_are),
};
enum { DAMAGES = sizeof(damages) / sizeof(damages[0]) };

CONTRACT_TEST(range_damage, validate_finds_each_kind_of_damage)
{
	begin();
	for (int i = 0; i < DAMAGES; i++) {
		arena_copy(damaged, pristine);
		expect_msg(range_validate(list) == 0, "before %s", damages[i].name);
		damages[i].plant();
		expect_msg(arena_differs(damaged, pristine), "%s planted nothing", damages[i].name);
		expect_msg(range_validate(list) == -EUCLEAN, "%s is not found", damages[i].name);
	}
}
