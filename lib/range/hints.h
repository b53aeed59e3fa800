/* SPDX-License-Identifier: MIT */
/*
 * Speed trick: hints for searches in large lists, of some ten thousand ranges and more.
 *
 * A hint says in which leaf a page was found last. So the leaf, which is not in the processor's
 * cache, is fetched while the search is still on its way to it; and a pin has it fetched before it
 * takes the lock, so that waiting for the lock and for memory is one.
 *
 * Gain, measured with bench in turns (2 processors, medians of 6): a pin among a million ranges
 * takes 192 ns instead of 224, among 100,000 76 instead of 79; with less there are no hints.
 *
 * Without hints (range_list.hints is NULL) all works. They are only guesses, which the threads of a
 * process share and change as they like; no answer depends on them. Where ranges lie too close for
 * them they are wrong more often than right, and then nothing is fetched until they are better.
 */
#ifndef ASHMEM_LIB_RANGE_HINTS_H
#define ASHMEM_LIB_RANGE_HINTS_H

#include "base/shared.h"
#include "range/range.h"

/*
 * A list of so many nodes, which some ten thousand ranges have, does not fit the processor's nearer
 * caches.
 */
#define RANGE_LARGE_NODES 1024

/*
 * Small numbers, because the hints compete with the nodes for the processor's cache; more leaves
 * have more pages than hints can tell apart.
 */
#define RANGE_HINTS 65536u
struct range_hints {
	uint16_t leaf[RANGE_HINTS]; /* 0: not known */
	int32_t score;              /* how often they were right lately */
};

static inline int range_is_large(const struct range_list *list)
{
	return SHARED_LOAD(list->root->nodes_used) >= RANGE_LARGE_NODES;
}

/*
 * A large list is faster if its user takes care of its memory: this says when, after a change.
 * `list->fresh` is for the user to see which memory is in use now, and to clear.
 */
static inline int range_wants_care(const struct range_list *list)
{
	return range_is_large(list) && (list->fresh || !list->hints_asked);
}

/*
 * Memory for hints, zeroed, or NULL if there is none to be had. Lists of several threads can share
 * it.
 */
void range_give_hints(struct range_list *list, struct range_hints *hints);

/*
 * Have what a pin of `page` will look at fetched from memory, as far as the hints tell. Changes
 * nothing and looks at nothing of the list, so the lock need not be held yet.
 */
void range_fetch_hinted(struct range_list *list, uint32_t page);

static inline void range_fetch(struct range_list *list, uint32_t page)
{
	if (__builtin_expect(list->hints != NULL, 0))
		range_fetch_hinted(list, page);
}

/* For the search in tree.c, where there are hints: the leaf that is being fetched; 0: none. */
uint32_t hints_fetch(const struct range_list *list, uint32_t page);
/* The search for `page` has ended in this leaf. */
void hints_learn(const struct range_list *list, uint32_t page, uint32_t leaf);

#endif /* ASHMEM_LIB_RANGE_HINTS_H */
