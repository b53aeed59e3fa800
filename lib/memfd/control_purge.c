/* SPDX-License-Identifier: MIT */
/*
 * Purging under the lock of one area (contract rules 14 and 16, D8).
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
 * One hold of the lock frees at most PIECE_PAGES. A longer range is freed in pieces, and only as
 * many as are wanted: it stays on the LRU with what is left, and the file says where that is. A pin
 * between two pieces takes what it wants of the rest and finds the purge mark.
 *
 * Only memory counts. The file says where a range has data; what lies before or after can hold
 * memory that was allocated and never written. So such a *hole* is punched too, which changes no
 * byte and needs no note. If that freed nothing, a range that is all hole loses its mark again and
 * is off the LRU as one that is empty. A range is marked before any of it is punched, so a process
 * that wrongly writes to unpinned pages is told what it lost.
 *
 * If there are peers that pin by locks on the file (`has_readers`), a test for such locks on the
 * whole range comes before 1. If there is one, a peer holds pages of the range, and the range is
 * passed over. The purge takes no lock on the file, which could outlive it: a peer that locks after
 * the test looks at the state only when the area's lock is free again, and then finds the mark
 * (readers.c).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/context.h"
#include "base/shared.h"
#include "base/sys.h"
#include "memfd/control.h"

/*
 * 2 MiB of 4 KiB pages: freeing them takes about 0.4 ms, for which a pin may have to wait. A range
 * of no more goes whole: what is left of an entry that is lost is of no use to anybody.
 */
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
	int by_place; /* the ranges do not come from the iterator, which only says where they are */
	enum control_purge_kind kind;
	uint32_t holes;      /* that were punched */
	uint64_t pages;      /* to free */
	uint64_t data_pages; /* of them, as far as the file tells: no hole before the first */
	uint64_t wanted;     /* pages that may still be settled: */
	uint64_t settled;    /* that counted as live, and do so no longer */
	uint64_t file_pages; /* that the file took when this was looked at last */
	uint64_t freed;
};

int control_file_pages(const struct control_map *map, uint64_t *pages)
{
	struct stat status;

	if (fstat(map->fd, &status) < 0 || !descriptor_is_file(&status, &map->file))
		return -EBADF;
	*pages = (uint64_t)status.st_blocks * 512 >> map->page_shift;
	return 0;
}

/* How many pages of the range are done already, from its start on. */
static uint32_t pages_done(const struct purge_progress *progress, const struct range *range)
{
	if (progress->cursor_start != range->start || progress->cursor_stamp != range->stamp ||
		progress->cursor_done >= range->pages)
		return 0;
	return progress->cursor_done;
}

static void move_cursor(struct purge_progress *progress, const struct range *range, uint32_t done)
{
	progress->cursor_start = range->start;
	progress->cursor_stamp = range->stamp;
	progress->cursor_done = done;
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

/* -- holes -- */

/* The first page of at..end-1 that has data, or `end`. */
static uint32_t find_data(const struct control_map *map, uint32_t at, uint32_t end)
{
	uint64_t data = sys_find_data(map->fd, (uint64_t)at << map->page_shift) >> map->page_shift;

	return data < end ? (data > at ? (uint32_t)data : at) : end;
}

static void tell(const struct control_map *map, uint64_t start, uint64_t pages)
{
	context_note_purged(start << map->page_shift, pages << map->page_shift);
}

/*
 * Free what a hole holds though it shows no data. Its range is marked. Whether there was anything;
 * if the kernel refuses, there was not.
 */
static int punch_hole(struct control_map *map, struct batch *batch, uint32_t from, uint32_t end)
{
	uint64_t before = batch->file_pages;

	/* What counts as purged is lost: else a later part of the range counts as live. */
	if (batch->kind == CONTROL_MARK_ALL && control_allocate_lost(map, from, end - 1) == 0) {
		control_set_lost(map, from, end - 1);
		FENCE(__ATOMIC_SEQ_CST);
	}
	sys_punch(map->fd, (uint64_t)from << map->page_shift,
		(uint64_t)(end - from) << map->page_shift);
	control_file_pages(map, &batch->file_pages);
	batch->holes++;
	int is_less = batch->file_pages < before;
	if (is_less)
		batch->freed += before - batch->file_pages;
	if (is_less || batch->kind == CONTROL_MARK_ALL)
		tell(map, from, end - from);
	return is_less;
}

/* -- taking ranges -- */

static int mark(struct batch *batch)
{
	return batch->by_place ? range_mark_purged(batch->iter.list, batch->iter.range.start)
			       : purge_iter_mark(&batch->iter);
}

static int set_live(struct batch *batch, uint32_t live)
{
	return batch->by_place ? range_set_live(batch->iter.list, batch->iter.range.start, live)
			       : purge_iter_set_live(&batch->iter, live);
}

static int set_empty(struct batch *batch)
{
	return batch->by_place ? range_set_empty(batch->iter.list, batch->iter.range.start)
			       : purge_iter_set_empty(&batch->iter);
}

/* So many pages count as live no longer, and so many with data go. */
static void count_settled(struct batch *batch, uint64_t pages, uint64_t data_pages)
{
	uint64_t most = pages > data_pages ? pages : data_pages;

	batch->settled += pages;
	batch->wanted -= most < batch->wanted ? most : batch->wanted;
}

/* What is left of the range, from `at` on, has no data. */
static int take_hole(struct control_map *map, struct batch *batch, uint32_t at)
{
	const struct range *range = &batch->iter.range;
	int r = mark(batch);

	if (r < 0)
		return r;
	int is_empty = !punch_hole(map, batch, at, range->start + range->pages) &&
		!(range->flags & RANGE_PURGED) && batch->kind == CONTROL_FREE_MEMORY;
	count_settled(batch, range->live, 0);
	batch->iter.progress->work_done++;
	batch->iter.progress->cursor_done = 0;
	return is_empty ? set_empty(batch) : set_live(batch, 0);
}

/*
 * How many pages to free of a range that has `rest` left, the first of them a hole; 0: there is not
 * enough room.
 */
static uint32_t piece_of(const struct batch *batch, uint32_t hole, uint32_t rest)
{
	uint32_t room = PIECE_PAGES - (uint32_t)batch->pages;

	if (rest <= PIECE_PAGES)
		return rest <= room ? rest : 0;
	if (hole >= room)
		return 0;
	room -= hole;
	return hole + (batch->wanted < room ? (uint32_t)batch->wanted : room);
}

/*
 * Take the oldest range, or a piece of it, into the batch. Each range of a purge costs this and the
 * freeing. 1, 0 if it is too long for this batch, or a negative errno.
 */
static int take(struct control_map *map, struct batch *batch)
{
	const struct range *range = &batch->iter.range;
	uint32_t at = range->start + pages_done(batch->iter.progress, range);
	uint32_t end = range->start + range->pages, data = find_data(map, at, end);

	if (data == end) {
		int r = take_hole(map, batch, at);
		return r < 0 ? r : 1;
	}
	/* A short hole goes with the data after it: cheaper, and a note is no longer for it. */
	uint32_t from = data - at < PIECE_PAGES ? at : data, rest = end - from;
	uint32_t pages = piece_of(batch, data - from, rest), left = rest - pages;
	if (pages == 0)
		return 0;
	uint32_t live = range->live < left ? range->live : left;
	int r = mark(batch);
	if (r < 0)
		return r;
	if (from > at)
		punch_hole(map, batch, at, from);
	batch->range[batch->ranges].start = range->start;
	batch->range[batch->ranges].live = range->live;
	batch->ranges++;
	note(map->shared, batch, from, pages);
	move_cursor(batch->iter.progress, range, left ? from + pages - range->start : 0);
	count_settled(batch, range->live - live, left ? pages - (data - from) : 0);
	r = set_live(batch, live);
	batch->pages += pages;
	batch->data_pages += pages - (data - from);
	batch->iter.progress->work_done += pages;
	return r < 0 ? r : 1;
}

/* -- freeing -- */

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

/*
 * Whether there is memory for the batch's bits. If not, they are set when the pages are free: who
 * reads without the lock has had memory for all bits before (memfd_begin_locks()).
 */
static int has_room_for_bits(struct control_map *map, const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->extents; i++)
		if (control_allocate_lost(map, batch->extent[i].start,
			    batch->extent[i].start + batch->extent[i].pages - 1) < 0)
			return 0;
	return 1;
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
		tell(map, start, end - start);
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
	batch->iter.progress->cursor_done = 0;
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
 * Free what the batch holds. Pages count as freed by what the file takes less. Somebody may write
 * to other pages meanwhile; where it takes nothing less, because of that or because the kernel does
 * not say, all pages count that had data.
 */
static int finish(struct control_map *map, struct batch *batch)
{
	uint64_t before, after;

	sort_extents(batch);
	int has_room = has_room_for_bits(map, batch);
	if (has_room)
		set_lost(map, batch);
	int r = control_file_pages(map, &before);
	if (r == 0)
		r = free_pages(map, batch);
	if (r == 0 && !has_room)
		set_lost(map, batch);
	if (r < 0) {
		put_back(map, batch);
		SHARED_STORE(map->shared->purge_count, 0);
		/* The file was sealed without the library: nothing here can be purged any more. */
		if (r == -EPERM && control_notice_seals(map))
			return 0;
		return r == -EUCLEAN ? r : -EIO;
	}
	SHARED_STORE(map->shared->purge_count, 0);
	r = control_file_pages(map, &after);
	uint64_t freed = r == 0 && after < before ? before - after : batch->data_pages;
	batch->freed += freed < batch->pages ? freed : batch->pages;
	return 1;
}

/* Whether the batch can take no more. */
static int is_full(const struct batch *batch, uint32_t passed)
{
	return batch->extents + batch->holes >= CONTROL_PURGE_SLOTS ||
		passed >= CONTROL_PURGE_SLOTS || batch->pages >= PIECE_PAGES || batch->wanted == 0;
}

/*
 * Take ranges into the batch: 1 if some were taken or passed over and there may be more, 0 if not,
 * or a negative errno.
 */
static int collect(struct control_map *map, struct batch *batch)
{
	uint32_t passed = 0;
	uint64_t end_ns = SHARED_LOAD(map->shared->has_readers) ? sys_now_ns() + READERS_NS : 0;

	/* Every range has a page at least, so those taken fit the batch. */
	while (!is_full(batch, passed) &&
		!(end_ns && passed + batch->ranges > 0 && sys_now_ns() > end_ns)) {
		int r = purge_iter_next(&batch->iter);
		if (r < 0)
			return r;
		if (r == 0)
			return batch->ranges > 0 || batch->holes > 0;
		const struct range *range = &batch->iter.range;
		if (control_is_held(map, range->start, range->pages)) {
			purge_iter_pass_over(&batch->iter);
			passed++;
			continue;
		}
		r = take(map, batch);
		if (r < 0)
			return r;
		if (r == 0)
			break;
	}
	return batch->ranges > 0 || batch->holes > 0 || passed > 0;
}

/* Begin a hold of the lock: 0 or a negative errno. `*position` is for end(). */
static int begin(struct control_map *map, struct batch *batch, struct purge_progress *progress,
	uint64_t nr_pages, off_t *position)
{
	int r = control_file_pages(map, &batch->file_pages);

	if (r < 0)
		return r;
	batch->extents = batch->ranges = batch->holes = 0;
	batch->pages = batch->data_pages = batch->settled = batch->freed = 0;
	batch->wanted = nr_pages;
	batch->iter.list = control_list(map);
	batch->iter.progress = progress;
	*position = lseek(map->fd, 0, SEEK_CUR); /* the program's: looking for data moves it */
	return 0;
}

/* Free what was noted, whatever the search for the next range has met: `r`. */
static int end(struct control_map *map, struct batch *batch, int r, off_t position, uint64_t *freed)
{
	if (r >= 0 && batch->ranges > 0)
		r = finish(map, batch);
	lseek(map->fd, position, SEEK_SET);
	uint64_t done = batch->kind == CONTROL_MARK_ALL ? batch->settled : batch->freed;
	if (r > 0) {
		map->shared->purged_pages += done;
		*freed += done;
	}
	return r;
}

int control_purge(struct control_map *map, struct purge_progress *progress, uint64_t newest,
	uint64_t nr_pages, enum control_purge_kind kind, uint64_t *freed)
{
	struct batch batch; /* large, and most of it not used: no initializer */
	off_t position;
	int r = begin(map, &batch, progress, nr_pages, &position);

	if (r < 0)
		return r;
	batch.by_place = 0;
	batch.kind = kind;
	purge_iter_begin(&batch.iter, control_list(map), progress, newest);
	r = collect(map, &batch);
	int ended = purge_iter_end(&batch.iter);
	r = end(map, &batch, r, position, freed);
	return r >= 0 && ended < 0 ? ended : r;
}

/* -- exactly these pages -- */

/*
 * The first pages of at..end-1 that nobody holds, if there are readers: 1, or 0 if all are held.
 */
static int find_unheld(const struct control_map *map, uint32_t *at, uint32_t *end)
{
	uint32_t shift = map->page_shift;
	uint64_t start, to, last = (1u << shift) - 1;

	if (!SHARED_LOAD(map->shared->has_readers))
		return 1;
	FENCE(__ATOMIC_SEQ_CST); /* as in control_is_held() */
	while (*at < *end) {
		int r = sys_find_lock(map->fd, (uint64_t)*at << shift,
			(uint64_t)(*end - *at) << shift, &start, &to);
		if (r == 0)
			return 1;
		if (r < 0)
			return 0;
		/* Not always the first lock: what lies before it is asked for again. */
		if (start >> shift > *at)
			*end = (uint32_t)(start >> shift);
		else
			*at = to >= (uint64_t)*end << shift ? *end
							    : (uint32_t)((to + last) >> shift);
	}
	return 0;
}

/* Make *at..*end-1, within the batch's range, a range of its own: into the batch. */
static int isolate(struct batch *batch, uint32_t at, uint32_t end)
{
	struct range *range = &batch->iter.range;
	int r = range_cut(batch->iter.list, at);

	if (r == 0 && end < range->start + range->pages)
		r = range_cut(batch->iter.list, end);
	if (r == 0)
		r = range_find(batch->iter.list, at, range);
	if (r < 0)
		return r;
	return r > 0 && range->start == at && range->pages == end - at ? 0 : -EUCLEAN;
}

/* Take what is unpinned at or after *first: 1, 0 if the batch has no room, or a negative errno. */
static int take_at(struct control_map *map, struct batch *batch, uint32_t *first, uint32_t last)
{
	struct range *range = &batch->iter.range;
	int r = range_find(batch->iter.list, *first, range);

	if (r <= 0 || range->start > last) {
		*first = last + 1;
		return r < 0 ? r : 1;
	}
	uint32_t at = range->start > *first ? range->start : *first;
	uint32_t range_end = range->start + range->pages;
	uint32_t end = range_end <= last ? range_end : last + 1, to = end;
	if (at >= end)
		return -EUCLEAN;
	if (!find_unheld(map, &at, &to) || (range->live == 0 && find_data(map, at, to) == to)) {
		*first = to > at ? to : end;
		return 1;
	}
	r = isolate(batch, at, to);
	if (r == 0 && range->live == 0) {
		r = range_revive(batch->iter.list, at);
		range->live = range->pages;
	}
	if (r == 0)
		r = take(map, batch);
	/* If it is not done with this piece, it is found again. */
	if (r > 0 && batch->iter.progress->cursor_done == 0)
		*first = to;
	return r;
}

int control_purge_pages(struct control_map *map, struct purge_progress *progress, uint32_t *first,
	uint32_t last, uint64_t *freed)
{
	struct batch batch;
	off_t position;
	int r = begin(map, &batch, progress, UINT64_MAX, &position);

	if (r < 0)
		return r;
	batch.by_place = 1;
	batch.kind = CONTROL_FREE_MEMORY;
	r = 1;
	for (uint32_t looks = 0; r > 0 && *first <= last && !is_full(&batch, looks); looks++)
		r = take_at(map, &batch, first, last);
	r = end(map, &batch, r < 0 ? r : 1, position, freed);
	return r;
}
