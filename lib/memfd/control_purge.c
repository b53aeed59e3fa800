/* SPDX-License-Identifier: MIT */
/*
 * Purging under the lock of one area (contract rules 14 and 16).
 *
 * Order that makes a crash harmless: 1. mark the range as purged; 2. note its pages in `purge`; 3.
 * take it off the LRU;
 * 4. free the pages, and say that they are lost (control_lost.c); 5. forget the note. Dead after 1:
 *    a marked range with live pages, purged later. Dead after 2: recovery frees
 * the pages. The lock is held throughout, so that no pin returns while pages of its range are being
 * freed.
 *
 * One hold of the lock frees about PIECE_PAGES at the most. A longer range is freed in pieces:
 * `cursor` says how far, and its live count falls as it goes. A pin between two pieces takes what
 * it wants of the rest and is told that it was purged.
 *
 * If there are peers who pin by locks on the file (`has_readers`), the write lock on the whole
 * range comes before 1 and is kept until 5. If it is refused, somebody holds pages of the range,
 * and it is passed over. All this happens under the area's lock, so it does no harm that the
 * descriptor's locks are shared with processes that have a duplicate of it; what a dead one leaves
 * behind is unlocked by recovery.
 */
#include <errno.h>
#include <string.h>

#include "base/context.h"
#include "base/sys.h"
#include "memfd/control.h"
#include "range/tree.h"

/*
 * 2 MiB of 4 KiB pages: about 0.4 ms of freeing, which is what a waiting pin may have to wait for.
 */
#define PIECE_PAGES 512u

/*
 * Locking a range takes microseconds, but the kernel looks at all locks on the file for it, and a
 * reader can take a great many. What a waiting pin has to wait for stays about this, and one lock.
 */
#define READERS_NS 2000000u

/* What one hold of the lock has collected. */
struct batch {
	struct control_extent extent[CONTROL_PURGE_SLOTS]; /* pages to free */
	uint32_t extents;
	uint32_t ranges; /* what they belong to: */
	struct {
		uint32_t start;
		uint32_t live; /* as it was */
	} range[PIECE_PAGES];
	struct range_sweep sweep;
	uint64_t pages;
	uint64_t freed;
	int locked; /* some of the data, against readers */
};

/* How many pages of the range are freed already, from its start on. */
static uint32_t pages_done(const struct control *control, const struct range *range)
{
	uint32_t done = SHARED_LOAD(control->cursor_done);

	if (SHARED_LOAD(control->cursor_start) != range->start ||
		SHARED_LOAD(control->cursor_stamp) != range->stamp || done >= range->pages)
		return 0;
	return done;
}

/*
 * Note pages that are going to be freed. Neighbours of the last ones, as ranges are that were
 * unpinned in order, make its note longer.
 */
static void note(struct control *control, struct batch *batch, uint32_t start, uint32_t pages)
{
	struct control_extent *last = batch->extents ? &batch->extent[batch->extents - 1] : NULL;

	if (last && (uint64_t)last->start + last->pages == start) {
		last->pages += pages;
		SHARED_STORE(control->purge[batch->extents - 1].pages, last->pages);
	} else {
		batch->extent[batch->extents] = (struct control_extent){start, pages};
		control->purge[batch->extents] = batch->extent[batch->extents];
		CRASH_BARRIER();
		SHARED_STORE(control->purge_count, ++batch->extents);
	}
	CRASH_BARRIER();
}

/* Remember that so many pages of a range are freed and more are to come. */
static void move_cursor(struct control *control, const struct range *range, uint32_t done)
{
	/* Invalid while it changes: with no pages done the range is freed from its start again. */
	SHARED_STORE(control->cursor_done, 0);
	CRASH_BARRIER();
	SHARED_STORE(control->cursor_start, range->start);
	SHARED_STORE(control->cursor_stamp, range->stamp);
	CRASH_BARRIER();
	SHARED_STORE(control->cursor_done, done);
}

/* Mark the range that next_oldest() found. */
static int mark(struct control_map *map, const struct range *range)
{
	if (map->passed_over)
		return range_mark_purged(control_list(map), range->start);
	range_sweep_mark(control_list(map));
	return 0;
}

static int set_live(struct control_map *map, struct batch *batch, const struct range *range,
	uint32_t live)
{
	if (map->passed_over)
		return range_set_live(control_list(map), range->start, live);
	range_sweep_set_live(control_list(map), &batch->sweep, range, live);
	return 0;
}

/*
 * Take the oldest range, or a piece of it, into the batch. This is what each range of a purge
 * costs, but for the freeing.
 */
static int take(struct control_map *map, const struct range *range, struct batch *batch,
	uint64_t *unfinished)
{
	uint32_t done = pages_done(map->shared, range), rest = range->pages - done;
	uint32_t room = PIECE_PAGES - (uint32_t)batch->pages, pages = rest < room ? rest : room;
	uint32_t live = range->live < rest - pages ? range->live : rest - pages;
	int r = mark(map, range);

	if (r < 0)
		return r;
	batch->range[batch->ranges].start = range->start;
	batch->range[batch->ranges].live = range->live;
	batch->ranges++;
	note(map->shared, batch, range->start + done, pages);
	if (pages < rest)
		move_cursor(map->shared, range, done + pages);
	r = set_live(map, batch, range, live);
	if (r < 0)
		return r;
	batch->pages += pages;
	map->attended += pages;
	batch->freed += range->live - live;
	*unfinished = live ? range->stamp : RANGE_NO_STAMP;
	return 0;
}

/* Free the batch's pages and say that they are lost: in file order, neighbours in one call. */
static int free_pages(struct control_map *map, struct batch *batch)
{
	struct control_extent *extent = batch->extent;
	int r = 0;

	for (uint32_t i = 1; i < batch->extents; i++) {
		struct control_extent moving = extent[i];
		uint32_t j = i;
		for (; j > 0 && extent[j - 1].start > moving.start; j--)
			extent[j] = extent[j - 1];
		extent[j] = moving;
	}
	for (uint32_t i = 0; i < batch->extents && r == 0;) {
		uint64_t start = extent[i].start, end = start;
		while (i < batch->extents && extent[i].start <= end) {
			uint64_t its_end = (uint64_t)extent[i].start + extent[i].pages;
			end = its_end > end ? its_end : end;
			i++;
		}
		if (end > map->list.pages)
			return -EUCLEAN;
		r = sys_punch(map->fd, start << map->page_shift, (end - start) << map->page_shift);
		if (r == 0)
			control_set_lost(map, (uint32_t)start, (uint32_t)(end - 1));
	}
	return r;
}

/*
 * The kernel refused to free them: they are live still. They stay marked, which costs a rebuild at
 * the worst.
 */
static void put_back(struct control_map *map, const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->ranges; i++)
		range_set_live(control_list(map), batch->range[i].start, batch->range[i].live);
	SHARED_STORE(map->shared->cursor_done, 0);
}

/* The next range to purge. */
static int next_oldest(struct control_map *map, struct range_sweep *sweep, struct range *range)
{
	if (!map->passed_over)
		return range_sweep_next(control_list(map), sweep, range);
	return range_oldest_after(control_list(map), map->passed_stamp, map->passed_start, range);
}

/* Keep readers away from a range: 1, or 0 if one holds pages of it. */
static int exclude_readers(struct control_map *map, const struct range *range, struct batch *batch)
{
	if (!SHARED_LOAD(map->shared->has_readers))
		return 1;
	if (sys_lock_range(map->fd, SYS_LOCK_WRITE, (uint64_t)range->start << map->page_shift,
		    (uint64_t)range->pages << map->page_shift) == 0) {
		batch->locked = 1;
		return 1;
	}
	/* from here on ranges are looked for one by one */
	range_sweep_end(control_list(map), &batch->sweep);
	map->passed_over = 1;
	map->attended++;
	map->passed_stamp = range->stamp;
	map->passed_start = range->start;
	return 0;
}

/*
 * Take ranges into the batch. 1 if some were taken or passed over and there may be more, 0 if not,
 * or a negative errno.
 */
static int collect(struct control_map *map, uint64_t newest, uint64_t nr_pages, struct batch *batch,
	uint64_t *unfinished)
{
	struct range range;
	unsigned passed = 0;
	uint64_t end_ns = SHARED_LOAD(map->shared->has_readers) ? sys_now_ns() + READERS_NS : 0;

	/* Every range has a page at least, so those taken fit the batch. */
	while (batch->extents < CONTROL_PURGE_SLOTS && passed < CONTROL_PURGE_SLOTS &&
		batch->pages < PIECE_PAGES && batch->freed < nr_pages &&
		!(end_ns && passed + batch->ranges > 0 && sys_now_ns() > end_ns)) {
		int r = next_oldest(map, &batch->sweep, &range);
		if (r <= 0 || range.stamp > newest)
			return r < 0 ? r : 0;
		if (!exclude_readers(map, &range, batch)) {
			passed++;
			continue;
		}
		r = take(map, &range, batch, unfinished);
		if (r < 0)
			return r;
	}
	return batch->ranges > 0 || passed > 0;
}

/* Free what the batch holds. */
static int finish(struct control_map *map, struct batch *batch)
{
	int r = free_pages(map, batch);

	if (r < 0) {
		put_back(map, batch);
		SHARED_STORE(map->shared->purge_count, 0);
		/* The file was sealed without the library: nothing here can be purged any more. */
		if (r == -EPERM && control_notice_seals(map))
			return 0;
		return r == -EUCLEAN ? r : -EIO;
	}
	SHARED_STORE(map->shared->purge_count, 0);
	map->shared->purged_pages += batch->freed;
	for (uint32_t i = 0; i < batch->extents; i++)
		context_note_purged((uint64_t)batch->extent[i].start << map->page_shift,
			(uint64_t)batch->extent[i].pages << map->page_shift);
	return 1;
}

/* Learn the age of the oldest range behind those passed over. */
static int look_behind_passed(struct control_map *map)
{
	struct range range;
	int r = range_oldest_after(control_list(map), map->passed_stamp, map->passed_start, &range);

	map->next_stamp = r > 0 ? range.stamp : RANGE_NO_STAMP;
	return r < 0 ? r : 0;
}

int control_purge(struct control_map *map, uint64_t newest, uint64_t nr_pages, uint64_t *freed,
	uint64_t *unfinished)
{
	struct batch batch;

	batch.extents = batch.ranges = 0;
	batch.pages = batch.freed = 0;
	batch.locked = 0;
	range_sweep_begin(&batch.sweep);
	*unfinished = RANGE_NO_STAMP;
	int r = collect(map, newest, nr_pages, &batch, unfinished);
	range_sweep_end(control_list(map), &batch.sweep);
	if (r >= 0 && batch.ranges > 0)
		r = finish(map, &batch);
	if (batch.locked)
		sys_lock_range(map->fd, SYS_LOCK_NONE, 0, map->data_bytes);
	if (r > 0)
		*freed += batch.freed;
	if (r >= 0 && map->passed_over) {
		int found = look_behind_passed(map);
		r = found < 0 ? found : r;
	}
	return r;
}
