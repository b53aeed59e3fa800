/* SPDX-License-Identifier: MIT */
/*
 * Memory for range lists in tests, and range lists as text.
 *
 * An arena is a memfd that holds the nodes, the journal and the root of one list. Each *view* maps
 * it anew, as another process would, every part between pages that nobody can touch: an access
 * outside of a part ends the test. The nodes fill their pages exactly, so this holds for both their
 * ends.
 */
#ifndef TESTS_SUPPORT_RANGE_ARENA_H
#define TESTS_SUPPORT_RANGE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "range/oldest.h"
#include "range/range.h"

enum { ARENA_PARTS = 3, ARENA_VIEWS = 3 };

/* What a view maps. The lead's control.c puts the same three behind each other. */
struct arena_view {
	struct range_list list, fresh;    /* `fresh`: as `list` was at first */
	unsigned char *part[ARENA_PARTS]; /* nodes, journal, root */
	void *reserved;
};

struct arena {
	uint32_t pages;
	int fd;
	size_t part_bytes[ARENA_PARTS];
	uint32_t views;
	struct arena_view view[ARENA_VIEWS];
	struct range_list *list; /* of the first view */
};

/* An empty list over so many pages, with one view. */
struct arena *arena_make(uint32_t pages);
void arena_drop(struct arena *arena);

/* One more view of the same memory. */
struct range_list *arena_add_view(struct arena *arena);

/* Make the memory of `to`, of the same size, equal to that of `from`; its views start afresh. */
void arena_copy(struct arena *to, const struct arena *from);

/* The same, as a change by another process: what the views of `to` remember of the list stays. */
void arena_copy_memory(struct arena *to, const struct arena *from);

/* Whether the memory of two arenas of the same size differs. */
int arena_differs(const struct arena *a, const struct arena *b);

/*
 * The list as text: "2-5@7 8-8@9p0" are the pages 2 to 5, unpinned at stamp 7, and the purged page
 * 8 with 0 live pages; of keys (key.h) the lower bits. At most some hundred ranges; the answer is
 * static, and stays until the fourth call from then.
 */
const char *list_text(struct range_list *list);

/* Copy out the ranges, at most `limit`; expects that the walk goes well. Returns how many there
 * are. */
uint64_t list_read(struct range_list *list, struct range *ranges, uint64_t limit);
int ranges_equal(const struct range *a, const struct range *b);

/* The oldest range with live pages: 1, or 0 if there is none. Changes nothing. */
int range_oldest(struct range_list *list, struct range *found);

/* range_validate(), and what a walk from outside finds agrees with the totals and with the oldest
 * range. */
void expect_sound(struct range_list *list);

/*
 * `count` ranges of three pages each, range i on the pages 4 i to 4 i + 2 with the stamp i + 1.
 * With a hundred or more of them, they lie in several leaves.
 */
struct arena *arena_with_spread(uint32_t count);

/* Expect that the ranges first..end-1 of a spread are there, unchanged. */
void expect_spread(struct range_list *list, uint32_t first, uint32_t end);

#endif
