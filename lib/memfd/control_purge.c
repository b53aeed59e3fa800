/* SPDX-License-Identifier: MIT */
/*
 * Purging under the lock of one area (contract rules 14 and 16).
 *
 * The order of steps makes a crash harmless:
 *   1. mark the range as purged;
 *   2. note its pages in `purge`;
 *   3. take it off the LRU: no live pages;
 *   4. record that the pages are lost (control_lost.c), then a fence;
 *   5. free the pages;
 *   6. forget the note.
 * A process that dies after 1 leaves a marked range with live pages, which a later purge takes. If
 * it dies after 2, recovery frees the pages. The lock is held throughout, so that no pin returns
 * while pages of its range are being freed. Who reads pages without the lock, and finds them not
 * lost afterwards, has read what was there: 4 comes before 5.
 *
 * One hold of the lock frees at most about PIECE_PAGES. A longer range is freed in pieces: `cursor`
 * in the control block says how far, and the live count falls with each. A pin between two pieces
 * takes what it wants of the rest and finds the purge mark.
 *
 * If there are peers that pin by locks on the file (`has_readers`), a test for such locks on the
 * whole range comes before 1. If there is one, a peer holds pages of the range, and the range is
 * passed over. The purge takes no lock on the file, which could outlive it: a peer that locks after
 * the test looks at the state only when the area's lock is free again, and then finds the mark
 * (readers.c).
 */
#include <errno.h>
#include <string.h>

#include "base/context.h"
#include "base/shared.h"
#include "base/sys.h"
#include "memfd/control.h"

/* 2 MiB of 4 KiB pages: freeing them takes about 0.4 ms, for which a pin may have to wait. */
#define PIECE_PAGES 512u

/*
 * A test for locks takes a microsecond, but the kernel looks at all locks on the file for it, and a
 * reader can take a great many. A waiting pin waits for about this long, and for one lock.
 */
#define READERS_NS 2000000u

/* What one hold of the lock takes. */
struct batch {
	struct control_extent extent[CONTROL_PURGE_SLOTS]; /* pages to free */
	uint32_t extents;
	uint32_t ranges; /* what they belong to: */
	struct {
		uint32_t start;
		uint32_t live; /* as it was */
	} range[PIECE_PAGES];
	struct purge_iter iter;
	uint64_t pages;
	uint64_t freed;
};

/* How many pages of the range were freed already, from its start on. */
static uint32_t pages_done(const struct control *control, const struct range *range)
{
	uint32_t done = SHARED_LOAD(control->cursor_done);

	if (SHARED_LOAD(control->cursor_start) != range->start ||
		SHARED_LOAD(control->cursor_stamp) != range->stamp || done >= range->pages)
		return 0;
	return done;
}

/*
 * Note pages that are going to be freed. Pages next to the last ones, as of ranges that were
 * unpinned in order, make the last note longer.
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

/*
 * Take the oldest range, or a piece of it, into the batch. Each range of a purge costs this and the
 * freeing.
 */
static int take(struct control_map *map, struct batch *batch, uint64_t *unfinished)
{
	const struct range *range = &batch->iter.range;
	uint32_t done = pages_done(map->shared, range), rest = range->pages - done;
	uint32_t room = PIECE_PAGES - (uint32_t)batch->pages, pages = rest < room ? rest : room;
	uint32_t live = range->live < rest - pages ? range->live : rest - pages;
	int r = purge_iter_mark(&batch->iter);

	if (r < 0)
		return r;
	batch->range[batch->ranges].start = range->start;
	batch->range[batch->ranges].live = range->live;
	batch->ranges++;
	note(map->shared, batch, range->start + done, pages);
	if (pages < rest)
		move_cursor(map->shared, range, done + pages);
	r = purge_iter_set_live(&batch->iter, live);
	if (r < 0)
		return r;
	batch->pages += pages;
	batch->iter.progress->work_done += pages;
	batch->freed += range->live - live;
	*unfinished = live ? range->stamp : RANGE_NO_STAMP;
	return 0;
}

/* Put the extents into file order. */
static void sort_extents(struct batch *batch)
{
	struct control_extent *extent = batch->extent;

	for (uint32_t i = 1; i < batch->extents; i++) {
		struct control_extent moving = extent[i];
		uint32_t j = i;
		for (; j > 0 && extent[j - 1].start > moving.start; j--)
			extent[j] = extent[j - 1];
		extent[j] = moving;
	}
}

/*
 * Say that the batch's pages are lost. The fence pairs with that of a reader without the lock, who
 * looks at these bits after the bytes: it sees the bits, or the bytes were there.
 */
static void set_lost(struct control_map *map, const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->extents; i++)
		control_set_lost(map, batch->extent[i].start,
			batch->extent[i].start + batch->extent[i].pages - 1);
	FENCE(__ATOMIC_SEQ_CST);
}

/* Free the batch's pages: in file order, neighbours in one call. */
static int free_pages(struct control_map *map, struct batch *batch)
{
	struct control_extent *extent = batch->extent;
	int r = 0;

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
		if (r < 0)
			break;
		/* Here, so that what is gone is told also if the next piece cannot be freed. */
		context_note_purged(start << map->page_shift, (end - start) << map->page_shift);
	}
	return r;
}

/*
 * The kernel refused to free the pages, so they are still live. They stay marked and called lost,
 * which at worst costs a rebuild.
 */
static void put_back(struct control_map *map, const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->ranges; i++)
		range_set_live(control_list(map), batch->range[i].start, batch->range[i].live);
	SHARED_STORE(map->shared->cursor_done, 0);
}

int control_is_held(const struct control_map *map, uint64_t start, uint64_t pages)
{
	if (!SHARED_LOAD(map->shared->has_readers))
		return 0;
	/*
	 * Pairs with the fence in lock_pages(): we see a reader's lock on the file, or it sees that
	 * we have the area's.
	 */
	FENCE(__ATOMIC_SEQ_CST);
	return sys_is_range_locked(map->fd, start << map->page_shift, pages << map->page_shift) !=
		0;
}

/*
 * Take ranges into the batch: 1 if some were taken or passed over and there may be more, 0 if not,
 * or a negative errno.
 */
static int collect(struct control_map *map, uint64_t nr_pages, struct batch *batch,
	uint64_t *unfinished)
{
	unsigned passed = 0;
	uint64_t end_ns = SHARED_LOAD(map->shared->has_readers) ? sys_now_ns() + READERS_NS : 0;

	/* Every range has a page at least, so those taken fit the batch. */
	while (batch->extents < CONTROL_PURGE_SLOTS && passed < CONTROL_PURGE_SLOTS &&
		batch->pages < PIECE_PAGES && batch->freed < nr_pages &&
		!(end_ns && passed + batch->ranges > 0 && sys_now_ns() > end_ns)) {
		int r = purge_iter_next(&batch->iter);
		if (r <= 0)
			return r;
		if (control_is_held(map, batch->iter.range.start, batch->iter.range.pages)) {
			purge_iter_pass_over(&batch->iter);
			passed++;
			continue;
		}
		r = take(map, batch, unfinished);
		if (r < 0)
			return r;
	}
	return batch->ranges > 0 || passed > 0;
}

/* Free what the batch holds. */
static int finish(struct control_map *map, struct batch *batch)
{
	sort_extents(batch);
	set_lost(map, batch);
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
	return 1;
}

int control_purge(struct control_map *map, struct purge_progress *progress, uint64_t newest,
	uint64_t nr_pages, uint64_t *freed, uint64_t *unfinished)
{
	struct batch batch;

	*unfinished = RANGE_NO_STAMP;
	int r = control_check_fd(map);
	if (r < 0)
		return r;
	batch.extents = batch.ranges = 0;
	batch.pages = batch.freed = 0;
	purge_iter_begin(&batch.iter, control_list(map), progress, newest);
	r = collect(map, nr_pages, &batch, unfinished);
	int ended = purge_iter_end(&batch.iter);
	/* What was noted is freed, whatever the search for the next range has met. */
	if (r >= 0 && batch.ranges > 0)
		r = finish(map, &batch);
	if (r > 0)
		*freed += batch.freed;
	return r >= 0 && ended < 0 ? ended : r;
}
