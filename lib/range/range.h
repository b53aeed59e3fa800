/* SPDX-License-Identifier: MIT */
/*
 * The range list: which pages of an area are unpinned, in which order they were unpinned, and what
 * was purged.
 *
 * A pure data structure over memory that the caller supplies: it takes no lock, allocates nothing
 * and makes no system call. It speaks of page numbers only. All of it lives in index-addressed
 * memory without pointers, because several processes map it at different addresses, and it trusts
 * nothing that it reads there: every index and count is loaded once, checked, then used, and every
 * loop is bounded. Where a call finds damage, it returns -EUCLEAN.
 *
 * The caller holds the area's lock around every call, except the range_peek_ functions.
 */
#ifndef ASHMEM_LIB_RANGE_H
#define ASHMEM_LIB_RANGE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of a tree node and of a journal slot. */
#define RANGE_NODE_BYTES 1024
/*
 * Levels of the highest tree: 16 entries a leaf and 16 children a node at the least hold 2^32
 * ranges in 9.
 */
#define RANGE_MAX_HEIGHT 9
/* A transaction changes at most two nodes a level. */
#define RANGE_JOURNAL_SLOTS (2 * RANGE_MAX_HEIGHT)
/*
 * Most pages of an area, so that a page number and a count of pages each fit 32 bits, and three
 * values mean something else.
 */
#define RANGE_MAX_PAGES (UINT32_MAX - 3)

/*
 * A stamp, here and above, is what ranges are ordered by: the key of purge_key.h, made of the time
 * of the unpin, its priority and its order. "Older" means a smaller key. This layer only compares
 * keys, and asks purge_key.h for the key of what is made fresh.
 */

/* Instead of the stamp of the oldest evictable range, where there is none. */
#define RANGE_NO_STAMP UINT64_MAX

/* flags of a range */
#define RANGE_PURGED 1u
/*
 * Pinned again, and no longer in the list. The entry stays where it is, because caches unpin the
 * same range again, and then nothing needs to move. It is removed when another unpin overlaps it
 * or when its leaf is full. Callers never see one.
 */
#define RANGE_PINNED 2u

/*
 * One unpinned range. `live` is an upper bound of its pages that were not purged; 0 means that the
 * range is not evictable: all of it was purged, or, without the mark, it was found to hold no
 * memory.
 */
struct range {
	uint32_t start;
	uint32_t pages;
	uint32_t live;
	uint32_t flags;
	uint64_t stamp;
} __attribute__((aligned(8)));

/* A change of several leaves, written down so that recovery can finish it. */
struct range_intent {
	uint32_t active; /* 0, or 1: erase what overlaps first..last, then insert `with` */
	uint32_t first;
	uint32_t last;
	uint32_t with_count;
	struct range with[3];
} __attribute__((aligned(8)));

/*
 * The root, in shared memory. All zeroes is an empty list. What every call needs comes first, in
 * one cache line.
 */
struct range_root {
	uint32_t root;       /* node index */
	uint32_t height;     /* levels above the leaves: 0, the root is a leaf */
	uint32_t free_head;  /* 1 + index of the first free node; 0: none */
	uint32_t nodes_used; /* nodes handed out so far; node 0 counts from the start */
	uint64_t version; /* changes with every change of structure: a path found before is void */
	uint64_t age;     /* of the oldest evictable range: see AGE_ in tree.h */
	uint64_t evictable_pages;
	uint64_t unpinned_pages;
	uint64_t ranges;
	uint32_t journal_count; /* slots in use; not 0: a transaction is under way */
	uint32_t journal_root;  /* `root` and `height` before it */
	uint32_t journal_height;
	uint32_t journal_node[RANGE_JOURNAL_SLOTS];
	uint32_t empty_pages; /* of ranges without the mark that hold no memory */
	struct range_intent intent;
} __attribute__((aligned(8)));

/* A way from a leaf (level 0) to the root, with the counts that were checked on the way. */
struct tree_path {
	uint32_t height;
	struct {
		struct range_node *node;
		uint32_t index;
		uint32_t count;
		uint32_t slot;
	} at[RANGE_MAX_HEIGHT];
};

/* What one process knows of a list: where its memory is, and the way to the leaf used last. */
struct range_list {
	struct range_root *root;
	unsigned char *journal_top; /* slot k lies RANGE_NODE_BYTES * (k + 1) below */
	unsigned char *nodes_top;   /* node i lies RANGE_NODE_BYTES * (i + 1) below */
	uint32_t max_nodes;
	uint32_t pages; /* pages of the area */
	/*
	 * lost_bitmap.h: which pages of ranges with a purge mark are not live; NULL: not known
	 */
	const uint64_t *lost;
	uint32_t freed_count;
	uint32_t freed[RANGE_JOURNAL_SLOTS];
	/* holds for pages path_low..path_high-1 while the version is the same */
	struct tree_path path;
	uint64_t path_low, path_high;
	uint64_t path_version;
	struct range_hints *hints; /* hints.h; NULL: none */
	uint32_t hint_shift;       /* a hint is for so many pages, as a power of two */
	/* the leaf that range_fetch() has fetched for the next search; 0: none */
	uint32_t fetched;
	int hints_asked;
	/*
	 * 1 + the node that came into use last, where none had been; 0: none since this was looked
	 * at
	 */
	uint32_t fresh;
};

/* Nodes that hold any list over so many pages; the memory below nodes_top must hold them. */
uint64_t range_nodes_needed(uint64_t pages);

/*
 * Rules 9 to 13; first <= last < pages. range_pin: 1 if a range that overlaps was purged, else 0.
 */
int range_pin(struct range_list *list, uint32_t first, uint32_t last);
int range_unpin(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp);
/*
 * What is unpinned of first..last becomes fresh: not purged, all live, with a new age. The parts of
 * the ranges left and right of these pages stay. Each range changes wholly or not at all: after a
 * crash, those that were not reached still have their marks.
 */
int range_release(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp);
/* Split the range that holds page - 1 and `page`, if there is one: mark and age of both stay. */
int range_cut(struct range_list *list, uint32_t page);
/* 1 if any page of first..last is unpinned, else 0. */
int range_overlaps(struct range_list *list, uint32_t first, uint32_t last);

/*
 * What first..last holds, RANGE_SEEN_ marks or-ed. May be called without the lock: it writes
 * nothing and ends whatever changes meanwhile; but if something did, the result means nothing.
 */
#define RANGE_SEEN_UNPINNED 1
#define RANGE_SEEN_PURGED 2
int range_look(struct range_list *list, uint32_t first, uint32_t last);

/* The range that holds `page`, or the first one after it: 1, or 0 if there is none. */
int range_find(struct range_list *list, uint32_t page, struct range *found);
/* The ranges to purge, in order of age: purge_iter.h. Of one of them: */
/* Mark the range that starts at `start` as purged. Done before its pages are freed. */
int range_mark_purged(struct range_list *list, uint32_t start);
/* Say how many pages of the range that starts at `start` are still live. */
int range_set_live(struct range_list *list, uint32_t start, uint32_t live);
/*
 * Say that it holds no memory, and was not purged: no mark, and no live pages. What its purge
 * changed meanwhile is forgotten. Merged with another range, or released, it is as if fresh.
 */
int range_set_empty(struct range_list *list, uint32_t start);
/* It may hold memory again: all its pages count as live. The mark, or that there is none, stays. */
int range_revive(struct range_list *list, uint32_t start);

/*
 * Without the lock: the stamp of the oldest evictable range, or RANGE_NO_STAMP; the pages that a
 * purge could free.
 */
uint64_t range_peek_oldest(const struct range_list *list);
uint64_t range_peek_evictable(const struct range_list *list);
/* Pages of ranges without the mark that hold no memory, as far as that is known. */
uint64_t range_peek_empty(const struct range_list *list);
/*
 * Unpinned pages that are not evictable. At most the list's pages; a guess while others change it.
 */
uint64_t range_peek_purged(const struct range_list *list);

/* Check every invariant (tree.h); 0 or -EUCLEAN. Changes nothing. */
int range_validate(struct range_list *list);
/*
 * After a crash: undo the transaction under way, rebuild what is derived, finish the intent. 0 or
 * -EUCLEAN.
 */
int range_recover(struct range_list *list);

#endif /* ASHMEM_LIB_RANGE_H */
