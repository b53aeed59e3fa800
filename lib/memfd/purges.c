/* SPDX-License-Identifier: MIT */
/*
 * Purging as the backend's operations have it: what of an area can be purged, and purging over as
 * many holds of its lock as it takes (control_purge.c has one). No lock of the library's is held
 * but those of the purge under way, which guards `purge` and what else the area remembers of it.
 *
 * A purge passes ranges that hold no memory, and then they are off the LRU. Two kinds of purge put
 * them back first (control_revive.c), and have the area taken for one with a range until then:
 * CONTEXT_MARK_ALL, and CONTEXT_LAST_LOOK, where the file has changed since the last look.
 */
#include <errno.h>
#include <sched.h>
#include <sys/stat.h>

#include "base/context.h"
#include "base/pages.h"
#include "base/shared.h"
#include "base/sys.h"
#include "memfd/area.h"
#include "memfd/purges.h"

/* Whether the area has a range list that this process can purge from. */
static int is_purgeable(struct memfd_area *area)
{
	return memfd_look_again(area) && !area->plain && area->control.writable &&
		!SHARED_LOAD(area->control.shared->sealed);
}

static int has_done_enough(const struct memfd_area *area)
{
	return purge_has_done_enough(&area->purge, &area->control.list);
}

uint64_t memfd_evictable(void *state)
{
	struct memfd_area *area = state;
	const struct range_list *list = &area->control.list;

	if (!is_purgeable(area))
		return 0;
	uint64_t pages = range_peek_evictable(list);
	if (context_is_within(CONTEXT_MARK_ALL))
		pages += range_peek_empty(list);
	return pages < list->pages ? pages : list->pages;
}

/* Pages that are not purged, of a materialised area whose state can be changed here. */
uint64_t memfd_present(void *state)
{
	struct memfd_area *area = state;
	uint64_t pages = pages_for(area->size_bytes);

	if (!memfd_look_again(area))
		return memfd_is_materialised(area) ? pages : 0;
	if (area->plain || !area->control.writable)
		return 0;
	return area->control.list.pages - range_peek_purged(&area->control.list);
}

/* With the control block's few, as long as nobody asks the file which those are. */
uint64_t memfd_resident(void *state)
{
	struct memfd_area *area = state;
	struct stat status;

	if (!memfd_is_materialised(area))
		return 0;
	if (fstat(area->fd, &status) < 0)
		return UINT64_MAX;
	return (uint64_t)status.st_blocks * 512 / sys_page_size();
}

/*
 * Whether ranges without live pages are worth a look: there are some, and the file takes another
 * number of pages than after the last look.
 */
static int is_worth_a_look(const struct memfd_area *area)
{
	uint64_t pages;

	return range_peek_purged(&area->control.list) > 0 &&
		control_file_pages(&area->control, &pages) == 0 && pages != area->last_look_pages;
}

/* Whether the purge under way is going to put ranges back on the LRU. */
static int is_to_revive(const struct memfd_area *area)
{
	if (area->revived_pages >= area->control.list.pages)
		return 0;
	return context_is_within(CONTEXT_MARK_ALL)
		? range_peek_empty(&area->control.list) > 0
		: context_is_within(CONTEXT_LAST_LOOK) && is_worth_a_look(area);
}

int memfd_oldest(void *state, uint64_t *key)
{
	struct memfd_area *area = state;

	if (!is_purgeable(area) || has_done_enough(area))
		return 0;
	uint64_t oldest = purge_peek_oldest(&area->purge, &area->control.list);
	if (oldest == RANGE_NO_STAMP) {
		if (!is_to_revive(area))
			return 0;
		oldest--; /* the last in its turn, since its own key is not known yet */
	}
	*key = oldest;
	return 1;
}

void memfd_begin_purge(void *state)
{
	struct memfd_area *area = state;

	if (!is_purgeable(area))
		return;
	area->purge = (struct purge_progress){.work_done = 0};
	area->revived_pages = 0;
}

/* Put ranges back on the LRU, as the kind of purge wants it. */
static int revive(struct memfd_area *area)
{
	enum control_purge_kind kind =
		context_is_within(CONTEXT_MARK_ALL) ? CONTROL_MARK_ALL : CONTROL_FREE_MEMORY;
	int r = 1;

	while (r > 0) {
		r = control_lock(&area->control);
		if (r < 0)
			return r;
		r = control_check_fd(&area->control);
		if (r == 0)
			r = control_revive(&area->control, kind, &area->revived_pages);
		if (control_unlock(&area->control, r))
			sched_yield();
	}
	area->revived_pages = area->control.list.pages;
	if (kind == CONTROL_FREE_MEMORY)
		control_file_pages(&area->control, &area->last_look_pages);
	return r;
}

/* Whether a long range is begun, and there is room to tell what another hold frees. */
static int is_going_on(const struct memfd_area *area)
{
	return area->purge.cursor_done > 0 && context_room_for_notes() > CONTROL_PURGE_SLOTS;
}

/* memfd_purge() of an area that can be purged. */
static int purge(struct memfd_area *area, uint64_t newest, uint64_t nr_pages, uint64_t *freed)
{
	struct control_map *control = &area->control;
	enum control_purge_kind kind =
		context_is_within(CONTEXT_MARK_ALL) ? CONTROL_MARK_ALL : CONTROL_FREE_MEMORY;
	const uint64_t *left_ns = context_patience();
	uint64_t deadline_ns = sys_now_ns() + (left_ns ? *left_ns : LOCK_TIMEOUT_NS);
	int r = is_to_revive(area) ? revive(area) : 0;
	uint64_t evictable = range_peek_evictable(&control->list), done = 0;

	if (r < 0)
		return r;
	do {
		r = control_lock(control);
		if (r < 0)
			return r;
		/* A range that is begun goes on here, so that its pieces are told as one. */
		int is_begun = area->purge.cursor_done > 0 && area->purge.cursor_stamp < newest;
		r = control_purge(control, &area->purge,
			is_begun ? area->purge.cursor_stamp : newest, nr_pages - done, kind, freed);
		uint64_t left = range_peek_evictable(&control->list);
		done = left < evictable ? evictable - left : 0; /* ranges without memory too */
		done = *freed > done ? *freed : done;
		if (control_unlock(control, r))
			sched_yield(); /* whoever waits comes before the next piece */
		/* If nothing was freed yet, what was passed over was too much for one go. */
	} while (r > 0 && done < nr_pages && !has_done_enough(area) &&
		(is_going_on(area) || (*freed == 0 && sys_now_ns() < deadline_ns)));
	return r;
}

int64_t memfd_purge(void *state, uint64_t newest, uint64_t nr_pages)
{
	struct memfd_area *area = state;
	uint64_t freed = 0, begun_ns = stamp_now(&stamp_clock);

	if (!is_purgeable(area))
		return 0;
	int r = purge(area, newest, nr_pages, &freed);
	if (freed == 0)
		lock_use_patience(begun_ns);
	return r < 0 && freed == 0 ? r : (int64_t)freed;
}

int64_t memfd_purge_range(void *state, uint64_t *offset, uint64_t end)
{
	struct memfd_area *area = state;
	struct control_map *control = &area->control;
	struct purge_progress progress = {.work_done = 0};
	uint32_t first = (uint32_t)(*offset >> control->page_shift);
	uint32_t last = (uint32_t)((end - 1) >> control->page_shift);
	uint64_t freed = 0;
	int r = memfd_establish(area);

	if (r < 0 || area->plain)
		return r < 0 ? r : -ENOTSUP;
	if (!control->writable || SHARED_LOAD(control->shared->sealed))
		return -EACCES;
	do {
		r = control_lock(control);
		if (r < 0)
			break;
		r = control_purge_pages(control, &progress, &first, last, &freed);
		if (control_unlock(control, r))
			sched_yield();
	} while (r > 0 && first <= last && freed == 0 &&
		!purge_has_done_enough(&progress, &control->list));
	*offset = (uint64_t)first << control->page_shift;
	return r < 0 && freed == 0 ? r : (int64_t)freed;
}
