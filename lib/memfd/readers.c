/* SPDX-License-Identifier: MIT */
/*
 * Pins of peers that cannot write, and holds of any process: a read lock of the kernel on the bytes
 * of the pages, fcntl(2) F_OFD_SETLK.
 *
 * A purge looks for such locks before it marks a range, under the area's lock, and passes over the
 * range if there is one. A reader takes its lock first and then reads the state, which waits until
 * the area's lock is free. So either the purge has seen the lock, or it had the area's lock by then
 * and its mark is seen: also if it has died, since the area's lock is not free before somebody has
 * recovered. A pin that found no mark therefore keeps its pages while its lock is held. The lock
 * ends with its open file description: at the latest when the process dies. Each handle has a
 * description of its own, opened through /proc; without /proc it is the one that was imported,
 * shared by all processes with a duplicate of it.
 *
 * Purges look for locks only if the control block says that there are readers (`has_readers`), so
 * without that no pin is promised.
 *
 * Locks: file_locks_mutex of the area comes after the table's, and guards `lock_fd`, `file_locks`
 * and the locks on the file.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/context.h"
#include "base/lock.h"
#include "base/shared.h"
#include "base/stamp.h"
#include "base/sys.h"
#include "base/wait.h"
#include "memfd/area.h"
#include "memfd/descriptors.h"
#include "memfd/file.h"
#include "memfd/readers.h"

#define PAUSE_NS 100000

/*
 * The description that has this handle's locks. file_locks_mutex is held. Never `fd` if we can
 * write: purges look through that one, and it does not show its own locks.
 */
static int get_lock_fd(struct memfd_area *area)
{
	int r = descriptor_check(area->lock_fd >= 0 ? area->lock_fd : area->fd, &area->file);

	if (r < 0)
		return r; /* the locks ended with the description, if it was closed */
	if (area->lock_fd >= 0)
		return area->lock_fd;
	int fd = memfd_file_reopen(area->fd, &area->file);
	if (fd == -ENOTSUP && !area->control.writable)
		fd = area->fd;
	if (fd >= 0)
		area->lock_fd = fd;
	return fd;
}

/*
 * Take the read lock. No call of the library has a write lock there; a peer that takes one by
 * itself makes us wait.
 */
static int lock_pages(const struct memfd_area *area, int fd, uint64_t start, uint64_t end,
	struct wait *wait)
{
	uint32_t shift = area->control.page_shift;
	int r;

	while ((r = sys_lock_range(fd, SYS_LOCK_READ, start << shift, (end - start) << shift)) ==
		-EAGAIN) {
		r = wait_pause(wait, PAUSE_NS);
		if (r < 0)
			break;
	}
	/* Pairs with the fence of a purge that has not seen this lock: we see its lock, or mark. */
	FENCE(__ATOMIC_SEQ_CST);
	return r;
}

/*
 * Release the locks on pages that are not in `file_locks`. If the kernel has no memory for it,
 * pages stay longer than they must: until the next such call, or the end of the handle.
 */
static void unlock_gaps(struct memfd_area *area, uint64_t start, uint64_t end)
{
	uint32_t shift = area->control.page_shift;
	uint64_t gap_start, gap_end;

	if (descriptor_check(area->lock_fd, &area->file) < 0)
		return; /* closed by somebody else, and so there are no locks */
	if (area->locks_left) {
		start = 0;
		end = area->control.list.pages;
	}
	area->locks_left = 0;
	while (file_locks_find_gap(&area->file_locks, start, end, &gap_start, &gap_end)) {
		if (sys_lock_range(area->lock_fd, SYS_LOCK_NONE, gap_start << shift,
			    (gap_end - gap_start) << shift) < 0)
			area->locks_left = 1;
		start = gap_end;
	}
}

/* A call failed: close the description that it opened, if it has no other locks. */
static void drop_lock_fd(struct memfd_area *area)
{
	if (area->lock_fd >= 0 && area->lock_fd != area->fd && area->file_locks.count == 0)
		memfd_forget_locks(area);
}

/* Whether purges of this area look for locks, or there are none. */
static int check_readers(const struct memfd_area *area)
{
	const struct control *shared = area->control.shared;

	return SHARED_LOAD(shared->has_readers) || SHARED_LOAD(shared->sealed) ? 0 : -EACCES;
}

void memfd_report_lost(const struct control_map *control, uint32_t first, uint32_t last,
	struct memfd_report *report)
{
	uint32_t start, end;
	uint64_t from = first;

	report->count = 0;
	while (from <= last && control_next_lost(control, (uint32_t)from, last, &start, &end)) {
		struct ashmem_extent *extent =
			&report->extent[report->count - (report->count == report->capacity)];
		if (report->count < report->capacity) {
			extent->offset = (uint64_t)start << control->page_shift;
			report->count++;
		}
		extent->length = ((uint64_t)end << control->page_shift) - extent->offset;
		from = end;
	}
}

struct question {
	uint32_t first, last;
	struct memfd_report *report;
};

static int look_and_report(const struct control_map *control, void *context)
{
	const struct question *question = context;
	int r = control_look_at(control, question->first, question->last);

	question->report->count = 0;
	if (r > 0 && (r & RANGE_SEEN_PURGED))
		memfd_report_lost(control, question->first, question->last, question->report);
	return r;
}

/* What first..last holds, now that no purge can come. */
static int look(struct memfd_area *area, uint32_t first, uint32_t last, struct memfd_report *report,
	struct wait *wait)
{
	struct control_map *control = &area->control;
	struct question question = {first, last, report};

	if (!control->writable && report)
		return control_read(control, look_and_report, &question, wait);
	if (!control->writable)
		return control_look(control, first, last, wait);
	int r = control_lock(control);
	if (r < 0)
		return r;
	r = range_look(control_list(control), first, last);
	control_unlock(control, r);
	return r;
}

/* file_locks_mutex is held, and `changed` is what the handle has locked if this succeeds. */
static int lock_and_look(struct memfd_area *area, uint32_t first, uint32_t last,
	struct file_locks *changed, struct memfd_report *report)
{
	uint64_t end = (uint64_t)last + 1;
	struct wait wait;
	int fd = get_lock_fd(area);

	if (fd < 0)
		return fd;
	wait_begin(&wait, LOCK_TIMEOUT_NS);
	int r = lock_pages(area, fd, first, end, &wait);
	if (r >= 0)
		r = look(area, first, last, report, &wait);
	if (r < 0) {
		unlock_gaps(area, first, end);
		drop_lock_fd(area);
		return r;
	}
	file_locks_commit(&area->file_locks, changed);
	return r & RANGE_SEEN_PURGED ? ASHMEM_WAS_PURGED : ASHMEM_NOT_PURGED;
}

/* Lock pages of the file for a pin, or for one more hold. */
static int lock_for(struct memfd_area *area, uint32_t first, uint32_t last, int is_hold,
	struct memfd_report *report)
{
	uint64_t end = (uint64_t)last + 1;
	struct file_locks changed;

	pthread_mutex_lock(&area->file_locks_mutex);
	int r = is_hold ? file_locks_hold(&area->file_locks, first, end, 1, &changed)
			: file_locks_pin(&area->file_locks, first, end, 1, &changed);
	if (r == 0) {
		r = lock_and_look(area, first, last, &changed, report);
		if (r < 0)
			file_locks_drop(&changed);
	}
	pthread_mutex_unlock(&area->file_locks_mutex);
	return r;
}

int memfd_reader_pin(struct memfd_area *area, uint32_t first, uint32_t last,
	struct memfd_report *report)
{
	CANCEL_OFF;
	int r = check_readers(area);

	return r < 0 ? r : lock_for(area, first, last, 0, report);
}

static int hold(struct memfd_area *area, uint64_t offset, uint64_t length)
{
	int r = memfd_establish(area);

	if (r < 0 || area->plain)
		return r < 0 ? r : ASHMEM_NOT_PURGED;
	/* From here on every purge looks for locks. */
	r = area->control.writable ? memfd_announce_readers(&area->control) : check_readers(area);
	if (r < 0)
		return r;
	return lock_for(area, (uint32_t)(offset >> area->control.page_shift),
		(uint32_t)((offset + length - 1) >> area->control.page_shift), 1, NULL);
}

int memfd_hold(void *state, uint64_t offset, uint64_t length)
{
	uint64_t patience_ns = LOCK_TIMEOUT_NS;
	struct context frame = {.patience_ns = &patience_ns};

	context_push(&frame);
	int r = hold(state, offset, length);
	context_pop(&frame);
	return r;
}

/* Clear the marks; what is unpinned is as if it were unpinned now. */
static int renew(struct memfd_area *area, uint32_t first, uint32_t last)
{
	struct control_map *control = &area->control;
	struct stamp_clock *clock = &stamp_clock;
	uint64_t now = stamp_now(clock);
	int r = control_lock(control);

	if (r < 0)
		return r;
	int marked = range_look(control_list(control), first, last);
	r = range_release(control_list(control), first, last,
		control_next_stamp(control, clock, now));
	if (r == 0 && marked > 0 && (marked & RANGE_SEEN_PURGED))
		control_clear_lost(control, first, last);
	control_unlock(control, r);
	return r;
}

int memfd_release(void *state, uint64_t offset, uint64_t length, uint32_t flags)
{
	struct memfd_area *area = state;
	uint32_t first, last;
	struct file_locks changed;
	int r = memfd_establish(area);

	if (r < 0 || area->plain)
		return r;
	first = (uint32_t)(offset >> area->control.page_shift);
	last = (uint32_t)((offset + length - 1) >> area->control.page_shift);
	pthread_mutex_lock(&area->file_locks_mutex);
	r = file_locks_hold(&area->file_locks, first, (uint64_t)last + 1, -1, &changed);
	if (r == 0 && area->control.writable && !(flags & ASHMEM_RELEASE_LOST)) {
		r = renew(area, first, last);
		if (r < 0)
			file_locks_drop(&changed);
	}
	if (r == 0) {
		file_locks_commit(&area->file_locks, &changed);
		unlock_gaps(area, first, (uint64_t)last + 1);
	}
	pthread_mutex_unlock(&area->file_locks_mutex);
	return r;
}

int memfd_reader_unpin(struct memfd_area *area, uint32_t first, uint32_t last)
{
	CANCEL_OFF;
	uint64_t end = (uint64_t)last + 1;
	struct file_locks changed;
	int r = check_readers(area);

	if (r < 0)
		return r;
	pthread_mutex_lock(&area->file_locks_mutex);
	r = area->lock_fd < 0 ? 0 : file_locks_pin(&area->file_locks, first, end, 0, &changed);
	if (r == 0 && area->lock_fd >= 0) {
		file_locks_commit(&area->file_locks, &changed);
		unlock_gaps(area, first, end);
	}
	pthread_mutex_unlock(&area->file_locks_mutex);
	return r;
}

int memfd_reader_status(struct memfd_area *area, uint32_t first, uint32_t last)
{
	CANCEL_OFF;
	uint64_t from = first, gap_start, gap_end;
	struct wait wait;
	int r = check_readers(area);

	if (r < 0)
		return r;
	wait_begin(&wait, LOCK_TIMEOUT_NS);
	pthread_mutex_lock(&area->file_locks_mutex);
	while (r == 0 &&
		file_locks_find_gap(&area->file_locks, from, (uint64_t)last + 1, &gap_start,
			&gap_end)) {
		r = control_look(&area->control, (uint32_t)gap_start, (uint32_t)gap_end - 1, &wait);
		from = gap_end;
	}
	pthread_mutex_unlock(&area->file_locks_mutex);
	if (r < 0)
		return r;
	return r ? ASHMEM_IS_UNPINNED : ASHMEM_IS_PINNED;
}
