/* SPDX-License-Identifier: MIT */
/*
 * Pin, unpin and pin status: the hot path. Each takes the control lock for a few instructions
 * around the range list. Where the state is mapped read-only, they are locks on the file
 * (readers.h); in a plain area everything is pinned.
 *
 * The instruction counts of these are bounded (`make check-instructions`), so they stay in one file
 * and inline. No lock is held when they are called.
 */
#include <stddef.h>

#include "base/shared.h"
#include "memfd/area.h"
#include "memfd/pins.h"
#include "memfd/readers.h"
#include "range/purge_key.h"

static uint32_t page_at(const struct control_map *control, uint64_t offset)
{
	return (uint32_t)(offset >> control->page_shift);
}

/* The pages have left the list, and some had the purge mark: report what was lost, and clear it. */
static __attribute__((noinline, cold)) void report_and_clear_lost(struct control_map *control,
	uint32_t first, uint32_t last, struct memfd_report *report)
{
	control->shared->pins_found_purged++;
	if (report)
		memfd_report_lost(control, first, last, report);
	control_clear_lost(control, first, last);
}

/* Always inline: a plain pin then knows that it has no report. */
static inline __attribute__((always_inline)) int pin(struct memfd_area *area, uint64_t offset,
	uint64_t length, struct memfd_report *report)
{
	struct control_map *control = &area->control;

	if (area->plain)
		return ASHMEM_NOT_PURGED;
	int r = memfd_establish(area);
	if (r >= 0) {
		/* Without the lock the view is not changed to this area: control_list(). */
		if (__builtin_expect(control_view.id == control->id, 1))
			range_fetch(&control_view.list, page_at(control, offset));
		r = control_lock(control);
	}
	if (r < 0)
		return !memfd_is_reader(area)
			? r
			: memfd_reader_pin(area, page_at(control, offset),
				  page_at(control, offset + length - 1), report);
	r = range_pin(control_list(control), page_at(control, offset),
		page_at(control, offset + length - 1));
	if (r > 0)
		report_and_clear_lost(control, page_at(control, offset),
			page_at(control, offset + length - 1), report);
	control_unlock(control, r);
	return r;
}

int memfd_pin(void *state, uint64_t offset, uint64_t length)
{
	return pin(state, offset, length, NULL);
}

int memfd_pin_lost(void *state, uint64_t offset, uint64_t length, struct ashmem_extent *lost,
	uint32_t capacity, uint32_t *count)
{
	struct memfd_report report = {.extent = lost, .capacity = capacity};
	int r = pin(state, offset, length, &report);

	if (r >= 0)
		*count = report.count;
	return r;
}

/* Always inline: a plain unpin then has constants for priority and order. */
static inline __attribute__((always_inline)) int unpin(struct memfd_area *area, uint64_t offset,
	uint64_t length, uint32_t priority, uint32_t order)
{
	struct control_map *control = &area->control;

	if (area->plain)
		return -ENOTSUP;
	struct stamp_clock *clock = &stamp_clock;
	uint64_t now = stamp_now(clock);
	int r = memfd_lock(area);
	if (r < 0)
		return !memfd_is_reader(area) ? r
					      : memfd_reader_unpin(area, page_at(control, offset),
							page_at(control, offset + length - 1));
	struct range_list *list = control_list(control);
	r = range_unpin(list, page_at(control, offset), page_at(control, offset + length - 1),
		purge_key_of(priority, order, control_next_stamp(control, clock, now)));
	int wants_care = range_wants_care(list);
	control_unlock(control, r);
	if (__builtin_expect(wants_care, 0))
		control_care(control);
	return r;
}

int memfd_unpin(void *state, uint64_t offset, uint64_t length)
{
	return unpin(state, offset, length, ASHMEM_PRIORITY_NORMAL, ASHMEM_ORDER_FIFO);
}

int memfd_unpin_with(void *state, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order)
{
	return unpin(state, offset, length, priority, order);
}

int memfd_get_pin_status(void *state, uint64_t offset, uint64_t length)
{
	struct memfd_area *area = state;
	struct control_map *control = &area->control;

	if (area->plain)
		return ASHMEM_IS_PINNED;
	int r = memfd_lock(area);
	if (r < 0)
		return !memfd_is_reader(area) ? r
					      : memfd_reader_status(area, page_at(control, offset),
							page_at(control, offset + length - 1));
	r = range_overlaps(control_list(control), page_at(control, offset),
		page_at(control, offset + length - 1));
	control_unlock(control, r);
	if (r < 0)
		return r;
	return r ? ASHMEM_IS_UNPINNED : ASHMEM_IS_PINNED;
}
