/* SPDX-License-Identifier: MIT */
/* Memory for range lists in tests: see range_arena.h. */
#define _GNU_SOURCE 1
#include "support/range_arena.h"
#include "support/contract.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "range/purge_key.h"
#include "base/sys.h"

enum { NODES, JOURNAL, ROOT };

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t bytes)
{
	return (bytes + page_size() - 1) / page_size() * page_size();
}

/* Map each part of the file, with a page before and behind it that nobody can touch. */
static void map_parts(struct arena *arena, struct arena_view *view)
{
	size_t total = page_size(), offset = 0;
	unsigned char *at;

	for (int i = 0; i < ARENA_PARTS; i++)
		total += arena->part_bytes[i] + page_size();
	view->reserved =
		mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	expect(view->reserved != MAP_FAILED);
	at = (unsigned char *)view->reserved + page_size();
	for (int i = 0; i < ARENA_PARTS; i++) {
		void *part = mmap(at, arena->part_bytes[i], PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED, arena->fd, (off_t)offset);
		expect(part == at);
		view->part[i] = part;
		offset += arena->part_bytes[i];
		at += arena->part_bytes[i] + page_size();
	}
}

struct range_list *arena_add_view(struct arena *arena)
{
	struct arena_view *view = &arena->view[arena->views++];

	expect(arena->views <= ARENA_VIEWS);
	map_parts(arena, view);
	view->list = (struct range_list){
		.root = (struct range_root *)(view->part[ROOT] + arena->part_bytes[ROOT] -
			sizeof(struct range_root)),
		.journal_top = view->part[JOURNAL] + RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES,
		.nodes_top = view->part[NODES] + arena->part_bytes[NODES],
		.max_nodes = (uint32_t)(arena->part_bytes[NODES] / RANGE_NODE_BYTES),
		.pages = arena->pages,
	};
	view->fresh = view->list;
	return &view->list;
}

struct arena *arena_make(uint32_t pages)
{
	struct arena *arena = calloc(1, sizeof(*arena));

	expect(arena != NULL);
	arena->pages = pages;
	arena->part_bytes[NODES] = round_up(range_nodes_needed(pages) * RANGE_NODE_BYTES);
	arena->part_bytes[JOURNAL] = round_up(RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES);
	arena->part_bytes[ROOT] = round_up(sizeof(struct range_root));
	arena->fd = sys_memfd_create("range-arena");
	expect(arena->fd >= 0);
	expect_eq(ftruncate(arena->fd,
			  (off_t)(arena->part_bytes[NODES] + arena->part_bytes[JOURNAL] +
				  arena->part_bytes[ROOT])),
		0);
	arena->list = arena_add_view(arena);
	return arena;
}

void arena_drop(struct arena *arena)
{
	for (uint32_t i = 0; i < arena->views; i++) {
		size_t total = page_size();
		for (int part = 0; part < ARENA_PARTS; part++)
			total += arena->part_bytes[part] + page_size();
		munmap(arena->view[i].reserved, total);
	}
	close(arena->fd);
	free(arena);
}

/* The bytes at the end of the nodes' part that any node handed out lies in. */
static size_t nodes_in_use(const struct arena *arena)
{
	uint64_t used = arena->list->root->nodes_used;

	if (used >= arena->list->max_nodes)
		return arena->part_bytes[NODES];
	return (size_t)(used + 1) * RANGE_NODE_BYTES;
}

static const unsigned char *part_of(const struct arena *arena, int part, size_t in_use)
{
	return arena->view[0].part[part] + arena->part_bytes[part] - in_use;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t part_in_use(const struct arena *a, const struct arena *b, int part)
{
	expect_eq(a->pages, b->pages);
	return part == NODES ? larger(nodes_in_use(a), nodes_in_use(b)) : a->part_bytes[part];
}

void arena_copy(struct arena *to, const struct arena *from)
{
	arena_copy_memory(to, from);
	for (uint32_t i = 0; i < to->views; i++)
		to->view[i].list = to->view[i].fresh;
}

void arena_copy_memory(struct arena *to, const struct arena *from)
{
	for (int part = 0; part < ARENA_PARTS; part++) {
		size_t bytes = part_in_use(to, from, part);
		memcpy(to->view[0].part[part] + to->part_bytes[part] - bytes,
			part_of(from, part, bytes), bytes);
	}
}

int arena_differs(const struct arena *a, const struct arena *b)
{
	for (int part = ARENA_PARTS - 1; part >= 0; part--) {
		size_t bytes = part_in_use(a, b, part);
		if (memcmp(part_of(a, part, bytes), part_of(b, part, bytes), bytes) != 0)
			return 1;
	}
	return 0;
}

/* -- lists as text -- */

__attribute__((format(printf, 2, 3))) static void append(char *text, const char *format, ...)
{
	size_t length = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + length, 8192 - length, format, arguments);
	va_end(arguments);
}

const char *list_text(struct range_list *list)
{
	static char texts[4][8192];
	static int turn;
	char *text = texts[turn++ % 4];
	uint64_t page = 0;
	struct range range;

	text[0] = '\0';
	while (page < list->pages && strlen(text) < 8000) {
		int r = range_find(list, (uint32_t)page, &range);
		if (r < 0)
			append(text, "error %d", r);
		if (r <= 0)
			break;
		append(text, "%s%" PRIu32 "-%" PRIu32 "@%" PRIu64, text[0] ? " " : "", range.start,
			range.start + range.pages - 1,
			range.stamp % (UINT64_C(1) << PURGE_KEY_CLASS_SHIFT));
		if (range.flags & RANGE_PURGED)
			append(text, "p%" PRIu32, range.live);
		else if (range.live == 0)
			append(text, "empty");
		page = (uint64_t)range.start + range.pages;
	}
	return text;
}

int ranges_equal(const struct range *a, const struct range *b)
{
	return a->start == b->start && a->pages == b->pages && a->live == b->live &&
		a->flags == b->flags && a->stamp == b->stamp;
}

uint64_t list_read(struct range_list *list, struct range *ranges, uint64_t limit)
{
	uint64_t page = 0, count = 0;
	struct range range;

	while (page < list->pages) {
		int r = range_find(list, (uint32_t)page, &range);
		expect(r == 0 || r == 1);
		if (r == 0)
			break;
		expect_msg(range.start >= page, "range at %" PRIu32 " found for page %" PRIu64,
			range.start, page);
		page = (uint64_t)range.start + range.pages;
		expect(page > range.start && page <= list->pages);
		if (count < limit)
			ranges[count] = range;
		count++;
	}
	return count;
}

/* -- checks -- */

int range_oldest(struct range_list *list, struct range *found)
{
	struct range_sweep sweep;

	range_sweep_begin(&sweep);
	return range_sweep_next(list, &sweep, found);
}

static void expect_oldest(struct range_list *list, uint64_t oldest)
{
	struct range range = {.stamp = 0};

	expect_eq(range_peek_oldest(list), oldest);
	expect_eq(range_oldest(list, &range), oldest != RANGE_NO_STAMP);
	if (oldest != RANGE_NO_STAMP) {
		expect_eq(range.stamp, oldest);
		expect(range.live > 0);
	}
}

void expect_sound(struct range_list *list)
{
	uint64_t page = 0, ranges = 0, pages = 0, live = 0, empty = 0, oldest = RANGE_NO_STAMP;
	struct range range;

	expect_eq(range_validate(list), 0);
	while (page < list->pages && range_find(list, (uint32_t)page, &range) == 1) {
		expect(range.start >= page && range.pages > 0 && range.live <= range.pages);
		expect(range.flags == (range.flags & RANGE_PURGED));
		expect(range.live == range.pages || range.live == 0 || range.flags == RANGE_PURGED);
		page = (uint64_t)range.start + range.pages;
		ranges++;
		pages += range.pages;
		live += range.live;
		empty += range.live || range.flags ? 0 : range.pages;
		if (range.live && range.stamp < oldest)
			oldest = range.stamp;
	}
	expect_eq(list->root->ranges, ranges);
	expect_eq(list->root->unpinned_pages, pages);
	expect_eq(range_peek_evictable(list), live);
	expect_eq(range_peek_empty(list), empty);
	expect_oldest(list, oldest);
}

/* -- spreads -- */

struct arena *arena_with_spread(uint32_t count)
{
	struct arena *arena = arena_make(4 * count);

	for (uint32_t i = 0; i < count; i++)
		expect_eq(range_unpin(arena->list, 4 * i, 4 * i + 2, i + 1), 0);
	expect_eq(arena->list->root->ranges, count);
	return arena;
}

void expect_spread(struct range_list *list, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++) {
		struct range want = {.start = 4 * i, .pages = 3, .live = 3, .stamp = i + 1};
		struct range got = {.pages = 0};
		expect_eq(range_find(list, 4 * i, &got), 1);
		expect_msg(ranges_equal(&got, &want),
			"range %" PRIu32 " starts at %" PRIu32 ", %" PRIu32 " pages, %" PRIu32
			" live, flags %" PRIu32,
			i, got.start, got.pages, got.live, got.flags);
	}
}
