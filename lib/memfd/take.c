/* SPDX-License-Identifier: MIT */
/*
 * Taking pages of an area for new contents, and holding them, for a user that writes a log of
 * segments into it (lib/cache).
 *
 * A taking is one hold of the area's lock: nobody holds the pages (the same test as a purge makes:
 * control_purge.c); then the lock on the file comes, so that from here on no purge takes them; then
 * the user makes the old contents invalid; then marks and bits of lost pages go. The order matters:
 * who reads without a lock looks at the bits and then at what the user changed, so with the bits
 * cleared the change must be seen. A process that dies in between leaves invalid contents, and at
 * worst pinned pages, which the next taking finds.
 *
 * The area's lock is taken here, no other is held but the user's.
 */
#include <errno.h>
#include <unistd.h>

#include <ashmem/area.h>

#include "base/shared.h"
#include "base/sys.h"
#include "base/wait.h"
#include "memfd/area.h"
#include "memfd/descriptors.h"
#include "memfd/file.h"
#include "memfd/take.h"
#include "range/purge_key.h"

#define PAUSE_NS 100000

static int lock_pages(struct memfd_area *area, int lock_fd, enum sys_range_lock kind,
	uint32_t first, uint32_t last)
{
	uint32_t shift = area->control.page_shift;
	int r = descriptor_check(lock_fd, &area->file);

	return r < 0 ? r
		     : sys_lock_range(lock_fd, kind, (uint64_t)first << shift,
			       ((uint64_t)last - first + 1) << shift);
}

enum contents { CONTENTS_KEPT, CONTENTS_NEW };

/* The pages become one fresh range. */
static int renew(struct memfd_area *area, const struct memfd_taking *taking, uint64_t now,
	enum contents contents)
{
	struct control_map *control = &area->control;
	struct range_list *list = control_list(control);
	int r = range_pin(list, taking->first, taking->last);

	if (r < 0)
		return r;
	if (contents == CONTENTS_NEW)
		control_clear_lost(control, taking->first, taking->last);
	return range_unpin(list, taking->first, taking->last,
		purge_key_of(taking->priority, ASHMEM_ORDER_FIFO,
			control_next_stamp(control, &stamp_clock, now)));
}

/* The area's lock is held. */
static int take(struct memfd_area *area, const struct memfd_taking *taking, uint64_t now)
{
	int r = control_check_fd(&area->control);

	if (r < 0)
		return r;
	if (control_is_held(&area->control, taking->first,
		    (uint64_t)taking->last - taking->first + 1))
		return -EBUSY;
	r = lock_pages(area, taking->lock_fd, SYS_LOCK_READ, taking->first, taking->last);
	if (r < 0)
		return r == -EAGAIN ? -EBUSY : r;
	r = taking->invalidate(taking->context);
	if (r >= 0) {
		/* Who sees what follows, here or in the new contents, sees the old ones invalid. */
		FENCE(__ATOMIC_SEQ_CST);
		r = renew(area, taking, now, CONTENTS_NEW);
	}
	if (r < 0)
		lock_pages(area, taking->lock_fd, SYS_LOCK_NONE, taking->first, taking->last);
	return r;
}

int memfd_take(struct memfd_area *area, const struct memfd_taking *taking)
{
	uint64_t now = stamp_now(&stamp_clock);
	int r = memfd_lock(area);

	if (r < 0)
		return r;
	r = take(area, taking, now);
	control_unlock(&area->control, r);
	return r;
}

int memfd_keep(struct memfd_area *area, const struct memfd_taking *pages)
{
	uint64_t now = stamp_now(&stamp_clock);
	int r = memfd_lock(area);

	if (r < 0)
		return r;
	r = control_check_fd(&area->control);
	if (r >= 0)
		r = pages->invalidate(pages->context);
	if (r >= 0)
		r = renew(area, pages, now, CONTENTS_KEPT);
	control_unlock(&area->control, r);
	return r;
}

int memfd_open_locks(struct memfd_area *area)
{
	return memfd_file_reopen(area->fd, &area->file);
}

int memfd_begin_locks(struct memfd_area *area)
{
	int r = control_allocate_lost(&area->control, 0, area->control.list.pages - 1);

	return r < 0 ? r : memfd_announce_readers(&area->control);
}

int memfd_hold_by(struct memfd_area *area, int lock_fd, uint32_t first, uint32_t last)
{
	struct wait wait;
	int r;

	wait_begin(&wait, WAIT_TIMEOUT_NS);
	while ((r = lock_pages(area, lock_fd, SYS_LOCK_READ, first, last)) == -EAGAIN) {
		r = wait_pause(&wait, PAUSE_NS);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	/* Pairs with the fences of a purge and of a taking that have not seen this lock. */
	FENCE(__ATOMIC_SEQ_CST);
	r = memfd_lock(area);
	if (r < 0) {
		lock_pages(area, lock_fd, SYS_LOCK_NONE, first, last);
		return r;
	}
	control_unlock(&area->control, 0);
	return 0;
}

int memfd_is_held(struct memfd_area *area, uint32_t first, uint32_t last)
{
	return control_check_fd(&area->control) == 0 &&
		control_is_held(&area->control, first, (uint64_t)last - first + 1);
}

int memfd_lock_by(struct memfd_area *area, int lock_fd, uint32_t first, uint32_t last)
{
	return lock_pages(area, lock_fd, SYS_LOCK_READ, first, last);
}

void memfd_let_go(struct memfd_area *area, int lock_fd, uint32_t first, uint32_t last)
{
	lock_pages(area, lock_fd, SYS_LOCK_NONE, first, last);
}
