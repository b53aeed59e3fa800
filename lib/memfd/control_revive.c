/* SPDX-License-Identifier: MIT */
/*
 * Putting ranges without live pages back on the LRU (D8), under the lock of one area.
 *
 * A purge passes ranges that hold no memory at no cost: those that were purged, and those that were
 * found empty. Two callers want some of them back. A purge of all marks what was found empty, as
 * the driver does. And a purge that found everything else gone looks for memory where there should
 * be none: somebody wrote to unpinned pages without a hold, or read a hole, which allocates it.
 * For that the file is asked where it has data, so what it costs follows the memory and not the
 * ranges.
 */
#include <errno.h>
#include <unistd.h>

#include "base/shared.h"
#include "base/sys.h"
#include "memfd/control.h"

/* Ranges, or pieces of data, under one hold of the lock. */
#define STEPS 256

/* The first page from `page` on that has data. */
static uint64_t find_data(const struct control_map *map, uint64_t page)
{
	uint64_t data = sys_find_data(map->fd, page << map->page_shift);

	return data >> map->page_shift;
}

static int revive(struct control_map *map, enum control_purge_kind kind, uint64_t *at)
{
	struct range_list *list = control_list(map);
	struct range range;

	for (unsigned steps = 0; *at < map->list.pages; steps++) {
		if (steps == STEPS)
			return 1;
		if (kind == CONTROL_MARK_ALL && range_peek_empty(list) == 0)
			return 0;
		uint64_t page = kind == CONTROL_MARK_ALL ? *at : find_data(map, *at);
		int r = page < map->list.pages ? range_find(list, (uint32_t)page, &range) : 0;
		if (r <= 0)
			return r;
		uint64_t end = (uint64_t)range.start + range.pages;
		if (end <= page) /* changed while we looked for it: each step goes on */
			return -EUCLEAN;
		*at = range.start > page && kind == CONTROL_FREE_MEMORY ? range.start : end;
		if (*at != end || range.live > 0 ||
			(kind == CONTROL_MARK_ALL && (range.flags & RANGE_PURGED)))
			continue;
		r = range_revive(list, range.start);
		if (r < 0)
			return r;
	}
	return 0;
}

int control_revive(struct control_map *map, enum control_purge_kind kind, uint64_t *at)
{
	off_t position = lseek(map->fd, 0, SEEK_CUR); /* the program's: looking for data moves it */
	int r = revive(map, kind, at);

	lseek(map->fd, position, SEEK_SET);
	return r;
}
