/* SPDX-License-Identifier: MIT */
/*
 * The page map of the cache's area: one character for many pages.
 *
 * ashmem_find_unpinned() walks an area's range list: what it does not name is pinned. The reader
 * goes on meanwhile, so this is no snapshot: each range is right at the moment when it is found.
 * Pinned are the index and what was never used.
 */
#include "picture.h"
#include "screen.h"

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#define COLUMNS 64u
#define ROWS 4u
#define CELLS (ROWS * COLUMNS)

/* The pages behind one character. */
struct cell {
	uint64_t pages;
	uint64_t unpinned;
	uint64_t purged;
};

enum look { PINNED, UNPINNED, SOME_PURGED, MOST_PURGED, PURGED, LOOKS };

static const struct {
	char letter;
	const char *colour;
	const char *meaning;
} looks[LOOKS] = {
	[PINNED] = {'#', "\033[30;43m", "some pinned"},
	[UNPINNED] = {'o', "\033[30;42m", "unpinned"},
	[SOME_PURGED] = {'+', "\033[30;46m", "some purged"},
	[MOST_PURGED] = {':', "\033[37;44m", "most purged"},
	[PURGED] = {'.', "\033[37;100m", "purged"},
};

static uint64_t cell_start(uint64_t pages, uint64_t column)
{
	return pages * column / CELLS;
}

/* Count the pages [start, end) of an area in the cells that they belong to. */
static void count_range(struct cell *cells, uint64_t pages, uint64_t start, uint64_t end,
	bool purged)
{
	uint64_t column = start * CELLS / pages;

	for (; column < CELLS && cell_start(pages, column) < end; column++) {
		uint64_t from = cell_start(pages, column);
		uint64_t to = cell_start(pages, column + 1);

		from = from > start ? from : start;
		to = to < end ? to : end;
		if (from >= to)
			continue;
		if (purged)
			cells[column].purged += to - from;
		else
			cells[column].unpinned += to - from;
	}
}

static int count_area(struct ashmem_area *area, uint64_t page_bytes, uint64_t pages,
	struct cell *cells)
{
	uint64_t offset = 0;
	uint64_t length = 0;
	uint32_t state;
	int found;

	for (uint64_t i = 0; i < CELLS; i++)
		cells[i] = (struct cell){.pages = cell_start(pages, i + 1) - cell_start(pages, i)};
	while ((found = ashmem_find_unpinned(area, offset + length, &offset, &length, &state)) > 0)
		count_range(cells, pages, offset / page_bytes, (offset + length) / page_bytes,
			state & ASHMEM_RANGE_PURGED);
	return found;
}

static enum look look_of(const struct cell *cell)
{
	if (cell->unpinned + cell->purged < cell->pages)
		return PINNED;
	if (!cell->purged)
		return UNPINNED;
	if (!cell->unpinned)
		return PURGED;
	return cell->unpinned < cell->purged ? MOST_PURGED : SOME_PURGED;
}

static void print_row(const struct cell *cells)
{
	bool colour = screen_has_colour();
	enum look last = LOOKS;

	screen_print("  ");
	for (uint32_t i = 0; i < COLUMNS; i++) {
		enum look look = look_of(&cells[i]);

		if (!cells[i].pages)
			continue; /* fewer pages than columns */
		if (colour && look != last)
			screen_print("%s", looks[look].colour);
		screen_print("%c", looks[look].letter);
		last = look;
	}
	screen_print("%s\n", colour ? "\033[0m" : "");
}

static void print_legend(uint64_t pages_each)
{
	bool colour = screen_has_colour();

	screen_print("  legend ");
	for (int i = 0; i < LOOKS; i++)
		screen_print(" %s%c%s %s ", colour ? looks[i].colour : "", looks[i].letter,
			colour ? "\033[0m" : "", looks[i].meaning);
	screen_print(" (each: up to %llu pages)\n\n", (unsigned long long)pages_each);
}

int picture_print(struct ashmem_area *area)
{
	struct cell cells[CELLS];
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t pages = ashmem_get_size(area) / page_bytes;
	int error = count_area(area, page_bytes, pages, cells);

	if (error)
		return error;
	for (uint32_t row = 0; row < ROWS; row++)
		print_row(&cells[row * COLUMNS]);
	print_legend((pages + CELLS - 1) / CELLS);
	return 0;
}
