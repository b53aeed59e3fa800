/* SPDX-License-Identifier: MIT */
/*
 * The tree below the range list: a B+tree of 1 KiB nodes, keyed by the first page of a range.
 *
 * Representation
 *   A leaf holds up to 50 ranges in order, 20 bytes each: the first page among the keys, the rest
 *   in an entry. An inner node holds up to 50 children, each with a lower bound of its keys and the
 *   oldest evictable stamp below it. The lower bound of a node's first child is not looked at (it
 *   is minus infinity within the node). Nodes are numbered from 0 and grow downwards from
 *   `nodes_top`; a node of zeroes is an empty leaf.
 * Invariants (range_validate checks each)
 *   1. Entries, pinned ones too, are disjoint, not empty, in ascending order and within the area.
 *      They may touch.
 *   2. An entry's `live` is LIVE_PINNED for a pinned one, whose stamp means nothing; LIVE_FRESH for
 *      a range without the purge mark, all of whose pages are live; LIVE_EMPTY for one without the
 *      mark that was found to hold no memory; else the range carries the mark, and it is the count
 *      of its live pages, at most `pages`.
 *   3. All leaves are at level 0, the root at level `height`.
 *   4. Every child's keys lie between its lower bound and the next child's.
 *   5. Every node but the root and the right spine has at least MIN entries; only a root leaf is
 *      empty.
 *   6. A child's `age` is that of its subtree; the root's totals are the sums over all ranges.
 *   7. Every node below `nodes_used` is in the tree or in the free list, never in both.
 *   8. In an inner node key[i] is the lower bound of child i once more, but 0 for the first.
 * Crash safety
 *   6, 7 and 8 are derived: recovery rebuilds them. The rest changes by transactions, or by one
 *   store, of `live`. tree_touch() copies a node into the journal before its first change;
 *   tree_commit() is one store that empties the journal; recovery copies the images back. A process
 *   dies at an instruction, with all its earlier stores done and no later one, so a barrier for the
 *   compiler is all the order that this needs.
 *   A change of several leaves is written down first (struct range_intent); recovery does it over,
 *   which ends the same.
 * Complexity
 *   Search, edit of one leaf, and oldest: O(log n). Ranges erased from k leaves: O(k log n).
 */
#ifndef ASHMEM_LIB_RANGE_TREE_H
#define ASHMEM_LIB_RANGE_TREE_H

#include <stddef.h>

#include "base/shared.h"
#include "range/range.h"

enum {
	LEAF_MAX = 50,
	LEAF_MIN = 16,
	INNER_MAX = 50,
	INNER_MIN = 16,
	LEAF_ROOMY = 36, /* a leaf with no more takes entries from a full neighbour */
	/*
	 * Keys that a search looks at: a multiple of four, and at least the eight that it ends
	 * with.
	 */
	NODE_KEYS = 52,
};

/* What an entry of a leaf says beside its first page. */
struct range_entry {
	uint32_t pages;
	uint32_t live;
	uint64_t stamp;
} __attribute__((aligned(8)));

/* No counts of pages: RANGE_MAX_PAGES is less. */
#define LIVE_EMPTY UINT32_MAX
#define LIVE_FRESH (UINT32_MAX - 1)
#define LIVE_PINNED (UINT32_MAX - 2)

struct range_child {
	uint32_t start;
	uint32_t node;
	uint64_t age; /* the oldest below */
} __attribute__((aligned(8)));

struct range_node {
	uint16_t count;
	uint16_t level;
	/* 0: in the tree; 1: last in the free list; i + 2: node i is next there */
	uint32_t next_free;
	uint32_t key[NODE_KEYS]; /* side by side for the search */
	uint64_t unused;         /* so that no entry lies in two cache lines */
	union {
		struct range_entry entry[LEAF_MAX];
		struct range_child child[INNER_MAX];
	};
} __attribute__((aligned(8)));

_Static_assert(sizeof(struct range) == 24, "shared layout"); /* in an intent */
_Static_assert(sizeof(struct range_entry) == 16, "shared layout");
_Static_assert(sizeof(struct range_child) == 16, "shared layout");
_Static_assert(RANGE_MAX_PAGES < LIVE_PINNED, "no count of pages means something else");
_Static_assert(sizeof(struct range_node) == RANGE_NODE_BYTES, "shared layout");

static inline uint32_t range_last(const struct range *range)
{
	return range->start + range->pages - 1;
}

/*
 * Ages of ranges and subtrees, for finding the oldest: stamp + 1 where there are live pages;
 * AGE_PURGED, larger than any of them, where ranges have none; AGE_NONE, 0 so that zeroed memory
 * means it, where there is no range (but maybe pinned entries).
 */
#define AGE_NONE UINT64_C(0)
#define AGE_PURGED UINT64_MAX

/* Whether a range with this `live` in its entry has no live pages: 0 or LIVE_EMPTY, in one step. */
static inline int is_none_live(uint32_t live)
{
	return live + 1 <= 1;
}

/* `live` as in an entry. */
static inline uint64_t age_of(uint32_t live, uint64_t stamp)
{
	if (live == LIVE_PINNED)
		return AGE_NONE;
	return is_none_live(live) ? AGE_PURGED : stamp + 1;
}

/* Whether a range is one that was found to hold no memory. */
static inline int range_is_empty(const struct range *range)
{
	return range->flags == 0 && range->live == 0;
}

static inline uint64_t range_age(const struct range *range)
{
	return age_of(range->flags & RANGE_PINNED ? LIVE_PINNED : range->live, range->stamp);
}

static inline uint64_t older_of(uint64_t a, uint64_t b)
{
	return a - 1 <= b - 1 ? a : b; /* AGE_NONE - 1 wraps to the youngest */
}

/* The node of an index, or NULL if there is no such node. */
static inline struct range_node *tree_node(const struct range_list *list, uint32_t index)
{
	if (index >= list->max_nodes)
		return NULL;
	return (void *)(list->nodes_top - (uint64_t)RANGE_NODE_BYTES * ((uint64_t)index + 1));
}

/* Load a node and its checked count; 0 or -EUCLEAN. */
int tree_load(const struct range_list *list, uint32_t index, uint32_t level,
	struct range_node **node, uint32_t *count);

/* Two keys at or before `page`, as two bits. */
static inline uint32_t two_keys(const uint32_t *key, uint32_t page)
{
	return (uint32_t)(key[0] <= page) + 2 * (uint32_t)(key[1] <= page);
}

/*
 * How many of a node's sorted keys are at or before `page`. Every eighth key says in which eight
 * the place is, then those are looked at: no branch that cannot be predicted, and no vectors, which
 * emulated processors are slow at. The last eight may overlap those before. Whatever the keys
 * are, the result is at most `count`.
 */
static inline uint32_t count_keys(const uint32_t *key, uint32_t count, uint32_t page)
{
	const uint32_t keys = NODE_KEYS;
	uint32_t from = 0;

#pragma GCC unroll 8
	for (uint32_t i = 8; i < keys; i += 8)
		from += (key[i] <= page) & (i < count);
	from *= 8;
	if (from > keys - 8)
		from = keys - 8;
	key += from;
	/* A bit for each; the lowest that is not set is the first key after the page. */
	uint32_t low = two_keys(key, page) + 4 * two_keys(key + 2, page);
	uint32_t high = two_keys(key + 4, page) + 4 * two_keys(key + 6, page);
	uint32_t found = from + (uint32_t)__builtin_ctz(~(low + 16 * high));
	return found < count ? found : count;
}

/* How many entries of the leaf start at or before `page`. */
static inline uint32_t leaf_slot(const struct range_node *node, uint32_t count, uint32_t page)
{
	return count_keys(node->key, count, page);
}

/* Whether list->path still leads to the leaf for a page. */
static inline int tree_path_holds(const struct range_list *list, uint32_t page)
{
	return page >= list->path_low && page < list->path_high &&
		list->path_version == SHARED_LOAD(list->root->version);
}

int tree_descend_anew(struct range_list *list, uint32_t page);

/*
 * Find the leaf for a page, into list->path. at[0].slot becomes the number of its entries that
 * start at or before `page`. 0 or -EUCLEAN. The path found last serves as long as it holds.
 */
static inline int tree_descend(struct range_list *list, uint32_t page)
{
	struct tree_path *path = &list->path;

	if (!tree_path_holds(list, page))
		return tree_descend_anew(list, page);
	path->at[0].slot = leaf_slot(path->at[0].node, path->at[0].count, page);
	return 0;
}

/*
 * What lies beside the way to the oldest range. A rank is an age - 1: in the order of age, and
 * AGE_NONE comes last.
 */
struct tree_beside {
	/* of the oldest child, at each level from 1, that the path does not go through */
	uint64_t age[RANGE_MAX_HEIGHT];
	/* the ranges of the leaf up to this rank come before all ranges of other leaves */
	uint64_t rank;
};

/* Set list->path to the leaf with the oldest range of all, as far as the ages tell. */
int tree_descend_to_oldest(struct range_list *list, struct tree_beside *beside);
/*
 * Move to the first slot of the next leaf, or after the last slot of the one before: 1, 0 at the
 * end, or -EUCLEAN.
 */
int tree_next_leaf(const struct range_list *list, struct tree_path *path);
int tree_prev_leaf(const struct range_list *list, struct tree_path *path);
/* Move to the first slot of the next leaf that has ranges, not only pinned entries. */
int tree_next_ranges(const struct range_list *list, struct tree_path *path);

/*
 * Replace `remove` entries from at[0].slot on by `add` ranges, as one transaction. The path is void
 * afterwards.
 */
int tree_edit(struct range_list *list, struct tree_path *path, uint32_t remove,
	const struct range *with, uint32_t add);

/* The image of a node in the journal, in the order of touching. */
void *tree_journal_slot(const struct range_list *list, uint32_t slot);
/*
 * Copy a node into the journal, before its first change; begins the transaction if there is none. 0
 * or -EUCLEAN.
 */
int tree_touch(struct range_list *list, uint32_t index, uint32_t count);
void tree_commit(struct range_list *list);
/* Undo the transaction under way, if there is one; 0 or -EUCLEAN. */
int tree_rollback(struct range_list *list);
/* A node to fill. Its old content needs no journal: nothing points to it. 0 or -EUCLEAN. */
int tree_node_alloc(struct range_list *list, uint32_t level, uint32_t *index,
	struct range_node **allocated);
/* Free a node once the transaction is committed. */
void tree_node_drop(struct range_list *list, uint32_t index);

/* An age left the path's leaf and another came (or AGE_NONE): bring the ancestors up to date. */
void tree_age_changed(struct range_list *list, struct tree_path *path, uint64_t gone,
	uint64_t come);

/* Recompute every age on the path from `level` to the root, after a change of structure below. */
void tree_refresh_ages(struct range_list *list, struct tree_path *path, uint32_t level);

/* The age of a node: its oldest entry's. */
uint64_t tree_node_age(const struct range_node *node, uint32_t count, uint32_t level);

/*
 * Load a range of a leaf, each field once. Whatever is there, its flags are of those that there
 * are.
 */
static inline struct range range_load(const struct range_node *leaf, uint32_t slot)
{
	const struct range_entry *entry = &leaf->entry[slot];
	uint32_t pages = SHARED_LOAD(entry->pages), live = SHARED_LOAD(entry->live);

	return (struct range){
		.start = SHARED_LOAD(leaf->key[slot]),
		.pages = pages,
		.live = live == LIVE_FRESH    ? pages
			: live >= LIVE_PINNED ? 0
					      : live,
		.flags = live == LIVE_PINNED ? RANGE_PINNED
			: live >= LIVE_FRESH ? 0
					     : RANGE_PURGED,
		.stamp = SHARED_LOAD(entry->stamp),
	};
}

/* Write an entry. Not at one go: within a transaction, or where nothing points to yet. */
static inline void range_store(struct range_node *leaf, uint32_t slot, const struct range *range)
{
	uint32_t unmarked = range->live ? LIVE_FRESH : LIVE_EMPTY;
	uint32_t live = range->flags & RANGE_PURGED ? range->live : unmarked;

	leaf->key[slot] = range->start;
	leaf->entry[slot] = (struct range_entry){
		.pages = range->pages,
		.live = range->flags & RANGE_PINNED ? LIVE_PINNED : live,
		.stamp = range->stamp,
	};
}

/*
 * Totals are derived: recovery computes them anew. Differences wrap, which is well defined for
 * unsigned numbers.
 */
static inline void change_totals(struct range_root *root, uint64_t live, uint64_t pages,
	uint64_t ranges)
{
	SHARED_STORE(root->evictable_pages, SHARED_LOAD(root->evictable_pages) + live);
	SHARED_STORE(root->unpinned_pages, SHARED_LOAD(root->unpinned_pages) + pages);
	SHARED_STORE(root->ranges, SHARED_LOAD(root->ranges) + ranges);
}

static inline void change_empty(struct range_root *root, uint32_t pages)
{
	SHARED_STORE(root->empty_pages, SHARED_LOAD(root->empty_pages) + pages);
}

/*
 * An entry's age - 1: in the order of age, and AGE_NONE comes last. Without branches, whose ways
 * could not be predicted.
 */
static inline uint64_t entry_rank(const struct range_entry *entry)
{
	uint32_t live = SHARED_LOAD(entry->live);
	uint64_t rank = SHARED_LOAD(entry->stamp);

	rank = is_none_live(live) ? AGE_PURGED - 1 : rank;
	return live == LIVE_PINNED ? AGE_NONE - 1 : rank;
}

static inline uint64_t entry_age(const struct range_entry *entry)
{
	return entry_rank(entry) + 1;
}

static inline uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The entry at the path's slot. */
static inline struct range_entry *entry_at(const struct tree_path *path)
{
	return &path->at[0].node->entry[path->at[0].slot];
}

/* Its first page. */
static inline uint32_t start_at(const struct tree_path *path)
{
	return SHARED_LOAD(path->at[0].node->key[path->at[0].slot]);
}

/*
 * Give a range with live pages the purge mark, if it has none yet. One store, after which it is
 * marked with all its pages live.
 */
static inline void mark_entry(struct range_entry *entry)
{
	if (SHARED_LOAD(entry->live) == LIVE_FRESH)
		SHARED_STORE(entry->live, SHARED_LOAD(entry->pages));
	CRASH_BARRIER();
}

/* Invariants 1 and 2 for one entry; `from` is the first page it may hold. */
static inline int range_is_sane(const struct range_list *list, const struct range *range,
	uint64_t from)
{
	if (range->pages == 0 || range->start < from ||
		(uint64_t)range->start + range->pages > list->pages)
		return 0;
	if (range->flags == RANGE_PINNED)
		return 1;
	return range->live <= range->pages &&
		(range->flags == RANGE_PURGED ||
			(range->flags == 0 && (range->live == range->pages || range->live == 0)));
}

/*
 * The key of a child. A first child's bound is not looked at, and may be larger than the next
 * one's.
 */
static inline uint32_t tree_key_of(const struct range_node *node, uint32_t i)
{
	return i ? SHARED_LOAD(node->child[i].start) : 0;
}

/*
 * Check the invariants and restore the derived ones, 6 to 8; no transaction is under way. Counts
 * the entries. 0 or -EUCLEAN.
 */
int tree_rebuild(struct range_list *list, uint64_t *entries);

#endif /* ASHMEM_LIB_RANGE_TREE_H */
