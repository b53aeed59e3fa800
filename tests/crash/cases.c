/* SPDX-License-Identifier: MIT */
/*
 * The cases: areas to begin with, and one operation each.
 *
 * A spread area has the ranges 4i+0 .. 4i+2, their ages in mixed order; made in descending or
 * ascending order of pages, its leaves are full or hold 42 and 28. Every seventh range was purged,
 * some were then merged with live pages (D1), some ranges are pinned entries (range.h). The
 * supervisor made all of this, so another process than the one that dies.
 */
#include <unistd.h>

#include "crash.h"
#include "base/sys.h"

#define PAGES(n) ((uint64_t)(n)*sys_page_size())

static struct ashmem_area *handle(struct world *world, int a)
{
	return world->area[a].handle;
}

static void unpin(struct world *world, int a, uint32_t first, uint32_t pages)
{
	if (ashmem_unpin(handle(world, a), PAGES(first), PAGES(pages)) != 0)
		die("unpin while building");
}

static void pin(struct world *world, int a, uint32_t first, uint32_t pages)
{
	if (ashmem_pin(handle(world, a), PAGES(first), PAGES(pages)) == ASHMEM_WAS_PURGED)
		for (uint32_t page = first; page < first + pages; page++)
			*page_word(&world->area[a], page) = pattern(a, page);
}

static void unpin_with(struct world *world, int a, uint32_t first, uint32_t pages,
	uint32_t priority, uint32_t order)
{
	if (ashmem_unpin_with(handle(world, a), PAGES(first), PAGES(pages), priority, order) != 0)
		die("unpin_with while building");
}

/* -- areas to begin with -- */

static void nothing(struct world *world)
{
	(void)world;
}

/* Ranges of three pages in mixed order of age, some of the oldest purged. */
static void spread(struct world *world)
{
	uint32_t ranges = world->area[0].pages / 4;

	for (uint32_t i = 0; i < ranges; i++) /* purged: every seventh */
		if (i % 7 == 3)
			unpin(world, 0, 4 * i, 3);
	ashmem_purge_all();
	for (uint32_t i = 0; i < ranges; i++)
		if (i % 7 != 3 && i % 2)
			unpin(world, 0, 4 * i, 3);
	for (uint32_t i = ranges; i-- > 0;)
		if (i % 7 != 3 && i % 2 == 0)
			unpin(world, 0, 4 * i, 3);
}

/* Full leaves, as they come when ranges are unpinned in ascending order. */
static void full(struct world *world)
{
	uint32_t ranges = world->area[0].pages / 4;

	for (uint32_t i = 0; i < ranges; i++) {
		unpin(world, 0, 4 * i, 3);
		if (i == ranges / 2)
			ashmem_shrink(ranges / 3);
	}
}

/* Leaves with the least that there may be: of the ranges of a full tree, most were merged. */
static void poor(struct world *world)
{
	uint32_t ranges = world->area[0].pages / 4;

	full(world);
	for (uint32_t i = 2; i + 28 < ranges; i += 42)
		unpin(world, 0, 4 * i, 4 * 27);
}

/* Every other range is pinned again and stays as an entry. */
static void entries(struct world *world)
{
	spread(world);
	for (uint32_t i = 0; i < world->area[0].pages / 4; i += 2)
		pin(world, 0, 4 * i, 3);
}

/* One range of one area, with the rest pinned by others. */
static void one(struct world *world)
{
	unpin(world, 0, 2, world->area[0].pages - 4);
}

/* A purged range, merged with pages that are live (D1). */
static void merged(struct world *world)
{
	unpin(world, 0, 4, 6);
	unpin(world, 0, 20, 6);
	ashmem_purge_all();
	unpin(world, 0, 8, 14);
	unpin(world, 0, 30, 5);
}

/* Several areas with ranges, ages interleaved, one merged with purged pages. */
static void several(struct world *world)
{
	for (int a = 0; a < world->areas; a++)
		unpin(world, a, 1, 3);
	ashmem_purge_all();
	for (uint32_t i = 0; i < 6; i++)
		for (int a = world->areas; a-- > 0;)
			unpin(world, a, 8 * i + 3 - (uint32_t)(i == 0), 4);
}

/* Ranges of every priority and order in several areas, the first to go unpinned last. */
static void ranked(struct world *world)
{
	for (uint32_t i = 0; i < 14; i++)
		for (int a = world->areas; a-- > 0;)
			unpin_with(world, a, 4 * i + 1, 3, 7 - i / 2,
				i % 2 ? ASHMEM_ORDER_LIFO : ASHMEM_ORDER_FIFO);
}

/* Neighbours in mixed order, more of them than a purge notes at one go. */
static void neighbours(struct world *world)
{
	uint32_t ranges = world->area[0].pages / 2;

	for (uint32_t i = 0; i < ranges; i++)
		unpin(world, 0, 2 * (i * 29 % ranges), i % 3 ? 2 : 1);
}

/*
 * Neighbours in the order of pages, in two leaves: a purge makes one note longer and longer. One
 * page between them is pinned.
 */
static void row(struct world *world)
{
	for (uint32_t page = 0; page + 4 < world->area[0].pages; page += page % 3 ? 2 : 1)
		unpin(world, 0, page, page % 3 ? 2 : 1);
	pin(world, 0, 51, 1);
}

/* A range of several pieces, half purged, and an older short one. */
static void long_range(struct world *world)
{
	uint32_t pages = world->area[0].pages;

	unpin(world, 0, 500, 40);
	ashmem_purge_all();
	unpin(world, 0, 1, 3);
	unpin(world, 0, 8, pages - 16);
	unpin(world, 0, pages - 3, 2);
}

/* Two at one go: 300 and 400 pages do not fit into one piece. */
static void two_pieces(struct world *world)
{
	unpin(world, 0, 10, 300);
	unpin(world, 0, 320, 400);
	unpin(world, 0, 730, 5);
}

/* Ranges, of which some are purged, and purges look for the locks of readers. */
static void exported(struct world *world)
{
	merged(world);
	int fd = ashmem_export_read_only(handle(world, 0));
	if (fd < 0)
		die("ashmem_export_read_only");
	close(fd);
}

/* One range and readers. */
static void one_exported(struct world *world)
{
	one(world);
	close(ashmem_export_read_only(handle(world, 0)));
}

/* Purged ranges, a merged one, live ones, gaps between them. */
static void losses(struct world *world)
{
	static const uint32_t gone[] = {2, 8, 12, 20, 30};

	for (uint32_t i = 0; i < 5; i++)
		unpin(world, 0, gone[i], 3);
	ashmem_purge_all();
	unpin(world, 0, 14, 3);
	unpin(world, 0, 25, 4);
	unpin(world, 0, 34, 3);
}

static void losses_exported(struct world *world)
{
	losses(world);
	close(ashmem_export_read_only(handle(world, 0)));
}

/* Losses at the borders of words of the bitmap, which has pages of its own. */
static void losses_far(struct world *world)
{
	uint32_t pages = world->area[0].pages;

	unpin(world, 0, 60, 8);
	unpin(world, 0, 4094, 3);
	unpin(world, 0, pages - 70, 70);
	ashmem_purge_all();
	unpin(world, 0, 2000, 20);
}

#define PIN_AT(n, b, p, f, k, g)                          \
	{                                                 \
		n, b, p, 1, {OP_PIN, 0, f, k, 0, 0, 0}, g \
	}
#define UNPIN_WITH_AT(n, b, p, f, k, u, o)                       \
	{                                                        \
		n, b, p, 1, {OP_UNPIN_WITH, 0, f, k, u, o, 0}, 0 \
	}
#define UNPIN_AT(n, b, p, f, k, g)                          \
	{                                                   \
		n, b, p, 1, {OP_UNPIN, 0, f, k, 0, 0, 0}, g \
	}

const struct crash_case crash_cases[] = {
	PIN_AT("pin of one whole range", one, 32, 2, 28, 0),
	PIN_AT("pin of the left part", one, 32, 0, 8, 0),
	PIN_AT("pin of the right part", one, 32, 20, 12, 0),
	PIN_AT("pin of the middle: split", one, 32, 8, 8, 0),
	PIN_AT("pin of a merged range's middle", merged, 40, 10, 6, 0),
	PIN_AT("pin of a purged range", spread, 200, 12, 3, 0),
	PIN_AT("pin of pinned pages", spread, 200, 3, 1, 0),
	PIN_AT("pin of nothing unpinned yet", nothing, 32, 3, 4, 0),
	PIN_AT("pin of a whole range among many", spread, 200, 80, 3, 0),
	PIN_AT("pin of a whole range and more", spread, 200, 79, 5, 0),
	PIN_AT("pin of the border of two ranges", spread, 200, 82, 4, 0),
	PIN_AT("pin of several ranges", spread, 200, 81, 14, 0),
	PIN_AT("pin that splits a full leaf", full, 42 * 4, 81, 1, 0),
	PIN_AT("pin that splits a leaf below the root", full, 100 * 4, 81, 1, 0),
	PIN_AT("pin at the border of leaves", full, 100 * 4, 42 * 4 - 3, 4, 0),
	PIN_AT("pin that empties a poor leaf", poor, 130 * 4, 42 * 4 + 1, 8, 0),
	PIN_AT("pin that merges leaves", full, 100 * 4, 4 * 10 + 1, 4 * 29, 0),
	PIN_AT("pin over several leaves", full, 150 * 4, 4 * 20 + 1, 4 * 90, SLOW),
	PIN_AT("pin of everything", full, 90 * 4, 0, 90 * 4, SLOW),
	PIN_AT("pin over pinned entries", entries, 200, 33, 45, 0),
	PIN_AT("pin of a former range's pages", entries, 200, 16, 3, 0),
	PIN_AT("first pin after a fork", one, 32, 8, 8, COLD),
	PIN_AT("pin, contended", one, 32, 8, 8, CONTENDED),
	UNPIN_AT("first unpin of all", nothing, 32, 4, 5, 0),
	UNPIN_AT("unpin of a gap", spread, 200, 79, 1, 0),
	UNPIN_AT("unpin within a range", spread, 200, 81, 1, 0),
	UNPIN_AT("unpin of a range again", spread, 200, 80, 3, 0),
	UNPIN_AT("unpin that grows a range", spread, 200, 78, 5, 0),
	UNPIN_AT("unpin that merges two", spread, 200, 82, 4, 0),
	UNPIN_AT("unpin that merges several", spread, 200, 79, 22, 0),
	UNPIN_AT("unpin that merges with purged ones", spread, 200, 10, 8, 0),
	UNPIN_AT("unpin that splits a full root leaf", full, 42 * 4, 79, 1, 0),
	UNPIN_AT("unpin that splits a leaf below the root", full, 100 * 4, 79, 1, 0),
	UNPIN_AT("unpin that merges leaves", full, 100 * 4, 4 * 10, 4 * 30, 0),
	UNPIN_AT("unpin over several leaves", full, 150 * 4, 4 * 20 + 1, 4 * 90, SLOW),
	UNPIN_AT("unpin of everything", poor, 100 * 4, 0, 100 * 4, SLOW),
	UNPIN_AT("unpin of a former range", entries, 200, 16, 3, 0),
	UNPIN_AT("unpin over former ranges", entries, 200, 17, 10, 0),
	UNPIN_AT("unpin in a full leaf with former ranges", entries, 42 * 4, 79, 1, 0),
	UNPIN_AT("first unpin after a fork", one, 32, 0, 8, COLD),
	UNPIN_AT("unpin, contended", one, 32, 0, 8, CONTENDED),
	UNPIN_WITH_AT("first unpin of all, to go first", nothing, 32, 4, 5, 0, ASHMEM_ORDER_LIFO),
	UNPIN_WITH_AT("unpin of a former range, to go last", entries, 200, 16, 3, 7,
		ASHMEM_ORDER_FIFO),
	UNPIN_WITH_AT("unpin with a priority that merges several", ranked, 60, 2, 14, 3,
		ASHMEM_ORDER_LIFO),
	PIN_AT("pin that splits a range with a priority", ranked, 60, 6, 1, 0),
	{"pin_lost of one purged range", losses, 40, 1, {OP_PIN_LOST, 0, 2, 3, 0, 0, 0}, 0},
	{"pin_lost over several purged ranges", losses, 40, 1, {OP_PIN_LOST, 0, 3, 29, 0, 0, 0}, 0},
	{"pin_lost in a large area", losses_far, 4200, 1, {OP_PIN_LOST, 0, 61, 4100, 0, 0, 0},
		SLOW},
	{"purge in a large area", losses_far, 4200, 1, {OP_SHRINK, 0, 0, 1, 0, 0, 0}, 0},
	{"unpin that exceeds a budget", several, 60, 3, {OP_UNPIN_WITHIN, 0, 52, 6, 0, 0, 68}, 0},
	{"unpin that exceeds a budget with nothing else", nothing, 32, 1,
		{OP_UNPIN_WITHIN, 0, 4, 9, 0, 0, 5}, 0},
	{"a limit on what is unpinned", several, 60, 3, {OP_SET_LIMIT, 0, 0, 30, 0, 0, 0}, 0},
	{"status", spread, 200, 1, {OP_STATUS, 0, 79, 2, 0, 0, 0}, 0},
	{"find_unpinned", spread, 200, 1, {OP_FIND, 0, 79, 1, 0, 0, 0}, 0},
	{"statistics", spread, 200, 1, {OP_STATS, 0, 0, 0, 0, 0, 0}, 0},
	{"look by descriptor", spread, 200, 1, {OP_PEEK, 0, 0, 0, 0, 0, 0}, 0},
	{"purge of one range", one, 32, 1, {OP_SHRINK, 0, 0, 1, 0, 0, 0}, 0},
	{"purge by descriptor", merged, 40, 1, {OP_PURGE_FD, 0, 0, 9, 0, 0, 0}, 0},
	{"purge of a merged range", merged, 40, 1, {OP_SHRINK, 0, 0, 1, 0, 0, 0}, 0},
	{"purge of everything", merged, 40, 1, {OP_PURGE_ALL, 0, 0, 0, 0, 0, 0}, 0},
	{"purge of a range longer than a piece", long_range, 1100, 1, {OP_SHRINK, 0, 0, 4, 0, 0, 0},
		SLOW},
	{"purge of two that make two pieces", two_pieces, 740, 1, {OP_SHRINK, 0, 0, 301, 0, 0, 0},
		0},
	{"purge of exactly one range", one, 32, 1, {OP_PURGE, 0, 0, 32, 0, 0, 0}, 0},
	{"purge of the middle of a range", one, 32, 1, {OP_PURGE, 0, 8, 8, 0, 0, 0}, 0},
	{"purge of parts of several ranges", merged, 40, 1, {OP_PURGE, 0, 3, 29, 0, 0, 0}, 0},
	{"purge of pages among many ranges", spread, 200, 1, {OP_PURGE, 0, 79, 14, 0, 0, 0}, SLOW},
	{"purge of more ranges than notes", neighbours, 150, 1, {OP_SHRINK, 0, 0, 110, 0, 0, 0},
		SLOW},
	{"purge of neighbours in order", row, 80, 1, {OP_SHRINK, 0, 0, 62, 0, 0, 0}, SLOW},
	{"shrink over several areas", several, 60, 3, {OP_SHRINK, 0, 0, 30, 0, 0, 0}, 0},
	{"purge_all over several areas", several, 60, 3, {OP_PURGE_ALL, 0, 0, 0, 0, 0, 0}, SLOW},
	{"shrink over several areas and priorities", ranked, 60, 3, {OP_SHRINK, 0, 0, 40, 0, 0, 0},
		0},
	{"purge of one range, contended", one, 32, 1, {OP_SHRINK, 0, 0, 1, 0, 0, 0}, CONTENDED},
	{"shrink told to a subscriber", several, 60, 3, {OP_SHRINK, 0, 0, 30, 0, 0, 0}, NOTICED},
	{"counts of the process and of an area", several, 60, 3, {OP_COUNT, 0, 0, 0, 0, 0, 0}, 0},
	{"map, populate, unmap", one, 32, 1, {OP_POPULATE, 0, 0, 20, 0, 0, 0}, 0},
	{"pread", one, 32, 1, {OP_PREAD, 0, 0, 10000, 0, 0, 0}, 0},
	{"read", one, 32, 1, {OP_READ, 0, 0, 10000, 0, 0, 0}, 0},
	{"seek", one, 32, 1, {OP_SEEK, 0, 0, 5000, 0, 0, 0}, 0},
	{"set_prot", one, 32, 1, {OP_SET_PROT, 0, 0, 3, 0, 0, 0}, 0},
	{"set_prot without write", one, 32, 1, {OP_SET_PROT, 0, 0, 1, 0, 0, 0}, 0},
	{"fd", one, 32, 1, {OP_GET_FD, 0, 0, 0, 0, 0, 0}, 0},
	{"import and close", spread, 100, 1, {OP_IMPORT, 0, 0, 0, 0, 0, 0}, 0},
	{"close", several, 60, 3, {OP_CLOSE, 0, 0, 0, 0, 0, 0}, 0},
	{"send", one, 32, 1, {OP_SEND, 0, 0, 0, 0, 0, 0}, 0},
	{"recv", one, 32, 1, {OP_RECV, 0, 0, 0, 0, 0, 0}, 0},
	{"create, first map, first unpin, close", one, 32, 1, {OP_CREATE, 0, 0, 20, 0, 0, 0}, 0},
	{"purge of one range, with readers", one_exported, 32, 1, {OP_SHRINK, 0, 0, 1, 0, 0, 0}, 0},
	{"purge of everything, with readers", exported, 40, 1, {OP_PURGE_ALL, 0, 0, 0, 0, 0, 0}, 0},
	{"first hold of an area", merged, 40, 1, {OP_HOLD, 0, 2, 20, 0, 0, 0}, 0},
	{"hold", exported, 40, 1, {OP_HOLD, 0, 2, 20, 0, 0, 0}, 0},
	{"hold, contended", one_exported, 32, 1, {OP_HOLD, 0, 2, 20, 0, 0, 0}, CONTENDED},
	{"release of a whole range", one_exported, 32, 1, {OP_RELEASE, 0, 0, 32, 0, 0, 0}, 0},
	{"release of a range's middle", one_exported, 32, 1, {OP_RELEASE, 0, 8, 8, 0, 0, 0}, 0},
	{"release of a range's end", one_exported, 32, 1, {OP_RELEASE, 0, 20, 12, 0, 0, 0}, 0},
	{"hold over several purged ranges", losses_exported, 40, 1, {OP_HOLD, 0, 3, 29, 0, 0, 0},
		0},
	{"release over several purged ranges", losses_exported, 40, 1,
		{OP_RELEASE, 0, 3, 29, 0, 0, 0}, 0},
	{"release of everything", losses_exported, 40, 1, {OP_RELEASE, 0, 0, 40, 0, 0, 0}, 0},
	{"release over many ranges", spread, 200, 1, {OP_RELEASE, 0, 9, 120, 0, 0, 0}, SLOW},
	{"release of what is lost still", losses_exported, 40, 1,
		{OP_RELEASE_LOST, 0, 3, 29, 0, 0, 0}, 0},
	{"first export_read_only", merged, 40, 1, {OP_EXPORT, 0, 0, 0, 0, 0, 0}, 0},
	{"pin of a reader", exported, 40, 1, {OP_READER_PIN, 0, 2, 20, 0, 0, 0}, 0},
	{"pin_lost of a reader", losses_exported, 40, 1, {OP_READER_PIN_LOST, 0, 3, 29, 0, 0, 0},
		0},
	{"unpin of a reader", exported, 40, 1, {OP_READER_UNPIN, 0, 2, 20, 0, 0, 0}, 0},
	{NULL, NULL, 0, 0, {OP_CREATE, 0, 0, 0, 0, 0, 0}, 0},
};
