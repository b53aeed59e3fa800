/* SPDX-License-Identifier: MIT */
/*
 * Lost pages of an area: the bitmap (range/lost_bitmap.h) as it lies in the control block.
 *
 * Small areas have it in struct control, so that it takes no page of its own. In larger areas it
 * lies before the nodes, at the beginning of the block, and is a hole in the file until something
 * is purged. Reading a hole through a mapping would allocate it; so a search over many of its pages
 * asks the file first which of them exist, and whole ones are cleared by freeing them.
 *
 * Order that makes a crash harmless: bits are set before pages are freed, after a note of that, and
 * recovery sets those of all notes; bits are cleared when the range that carried the
 * mark has left the list, and recovery clears all bits outside of marked ranges. The lock is held,
 * except for control_next_lost(), which only reads.
 */
#include <errno.h>

#include "base/sys.h"
#include "memfd/control.h"
#include "range/lost_bitmap.h"

/* Pages of data whose bits fill a page. */
static uint64_t bits_a_page(const struct control_map *map)
{
	return UINT64_C(8) << map->page_shift;
}

static int is_in_pages(const struct control_map *map)
{
	return map->list.pages > CONTROL_LOST_INLINE;
}

/* Set those of first..last that are within the area. */
void control_set_lost(struct control_map *map, uint32_t first, uint32_t last)
{
	lost_bitmap_set(map->lost, first, last);
}

int control_allocate_lost(struct control_map *map, uint32_t first, uint32_t last)
{
	uint64_t page = UINT64_C(1) << map->page_shift;
	uint64_t begin = map->data_bytes + first / 8 / page * page;
	uint64_t end = map->data_bytes + (last / 8 / page + 1) * page;

	return is_in_pages(map) ? sys_allocate(map->fd, begin, end - begin) : 0;
}

/* The bits from `first` on, whole pages of them; else by hand, if the kernel refuses. */
static void clear_pages(struct control_map *map, uint64_t first, uint64_t end)
{
	if (control_check_fd(map) < 0 ||
		sys_punch(map->fd, map->data_bytes + first / 8, (end - first) / 8) < 0)
		lost_bitmap_clear(map->lost, (uint32_t)first, (uint32_t)(end - 1));
}

void control_clear_lost(struct control_map *map, uint32_t first, uint32_t last)
{
	uint64_t a_page = bits_a_page(map), end = (uint64_t)last + 1;
	uint64_t from = (first + a_page - 1) / a_page * a_page, to = end / a_page * a_page;

	if (!is_in_pages(map) || from >= to) {
		lost_bitmap_clear(map->lost, first, last);
		return;
	}
	if (from > first)
		lost_bitmap_clear(map->lost, first, (uint32_t)(from - 1));
	clear_pages(map, from, to);
	if (to < end)
		lost_bitmap_clear(map->lost, (uint32_t)to, last);
}

/*
 * The first page from `page` on whose bit can be set because the file has memory there; UINT64_MAX:
 * none.
 */
static uint64_t skip_holes(const struct control_map *map, uint64_t page)
{
	uint64_t at = map->data_bytes + page / 8;

	if (control_check_fd(map) < 0)
		return page;
	uint64_t data = sys_find_data(map->fd, at);
	return data == UINT64_MAX ? data : data > at ? (data - map->data_bytes) * 8 : page;
}

int control_next_lost(const struct control_map *map, uint32_t first, uint32_t last, uint32_t *start,
	uint32_t *end)
{
	uint64_t a_page = bits_a_page(map), at = first, wanted = (uint64_t)last - first + 1;
	int may_ask = is_in_pages(map) && wanted > a_page;

	while (at <= last) {
		/* Not in the middle of a page: a system call for each run would be too many. */
		if (may_ask && at % a_page == 0)
			at = skip_holes(map, at);
		if (at > last)
			return 0;
		uint64_t to = may_ask ? at / a_page * a_page + a_page - 1 : last;
		to = to < last ? to : last;
		if (lost_bitmap_find(map->lost, (uint32_t)at, (uint32_t)to, 1, start)) {
			/* Past the first one always: a peer may clear its bit now. */
			if (*start == last ||
				!lost_bitmap_find(map->lost, *start + 1, last, 0, end))
				*end = last + 1;
			return 1;
		}
		at = to + 1;
	}
	return 0;
}

int control_sweep_lost(struct control_map *map)
{
	uint64_t pages = map->list.pages, at = 0;
	uint32_t start, end;

	/* Each round passes a range, or a gap between ranges. */
	while (at < pages &&
		control_next_lost(map, (uint32_t)at, (uint32_t)pages - 1, &start, &end)) {
		struct range range;
		int r = range_find(control_list(map), start, &range);
		if (r < 0)
			return r;
		uint64_t range_end = (uint64_t)range.start + range.pages;
		/* Changed while we looked for it: each round must advance. */
		if (r > 0 && range_end <= start)
			return -EUCLEAN;
		if (r > 0 && range.start <= start && (range.flags & RANGE_PURGED)) {
			at = range_end;
			continue;
		}
		at = r == 0 ? pages : range.start <= start ? range_end : range.start;
		control_clear_lost(map, start, (uint32_t)(at - 1));
	}
	return 0;
}
