/* SPDX-License-Identifier: MIT */
/*
 * Taking the lock of a control block when it was not simply free, and recovery if its last owner
 * died with it.
 *
 * Recovery: the range list undoes or finishes what was under way, then the pages that were being
 * freed are freed again. Nobody can have pinned them meanwhile, because the lock was not free. If
 * recovery dies too, the lock is marked again and the next owner starts over.
 *
 * A peer may have written everything that is read here: values are checked before use.
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/cancel.h"
#include "base/lock.h"
#include "base/shared.h"
#include "base/sys.h"
#include "memfd/control.h"

/*
 * Pages that the dead process had noted are not freed: the kernel refuses, or a reader holds them.
 * What was marked for it counts as live again, up to all of its range, and is purged another time.
 * To give up the recovery instead would leave the note to a later one, when the pages may be
 * pinned.
 */
static int put_back(struct control_map *map, uint64_t start, uint64_t end)
{
	struct range range;
	int r;

	while (start < end && (r = range_find(control_list(map), (uint32_t)start, &range)) != 0) {
		uint64_t range_end = (uint64_t)range.start + range.pages;
		if (r < 0 || range_end <= start)
			return -EUCLEAN;
		uint64_t from = range.start > start ? range.start : start;
		uint64_t to = range_end < end ? range_end : end;
		if (from >= to)
			break;
		uint64_t live = range.live + (to - from);
		if (range.flags & RANGE_PURGED)
			r = range_set_live(control_list(map), range.start,
				live < range.pages ? (uint32_t)live : range.pages);
		if (r < 0)
			return r;
		start = range_end;
	}
	return 0;
}

/*
 * Free pages of the area, which are lost then; `start` and `pages` may be nonsense. Pages that a
 * reader holds stay: it may have come when the process was dead, and have found them not lost yet.
 */
static int punch(struct control_map *map, uint64_t start, uint64_t pages)
{
	if (start + pages > map->list.pages || pages == 0)
		return -EUCLEAN;
	int r = control_check_fd(map);
	if (r == 0 && control_is_held(map, start, pages))
		return put_back(map, start, start + pages);
	/* If neither the dead process nor we can free them, they are called lost and are not. */
	control_set_lost(map, (uint32_t)start, (uint32_t)(start + pages - 1));
	FENCE(__ATOMIC_SEQ_CST); /* as in a purge: the bits come before the holes */
	if (r == 0 && sys_punch(map->fd, start << map->page_shift, pages << map->page_shift) == 0)
		return 0;
	return put_back(map, start, start + pages);
}

/*
 * Recovery writes to every node that was ever handed out. Those take memory already; if a peer
 * wrote a larger number, recovery must not allocate the rest of them.
 */
static int check_nodes(const struct control_map *map)
{
	uint64_t bytes = (uint64_t)SHARED_LOAD(map->shared->ranges.nodes_used) * RANGE_NODE_BYTES;
	struct stat status;

	/*
	 * A recovery succeeds or returns -EUCLEAN: if it gave up for a passing reason, it would
	 * leave its notes to a later one.
	 */
	if (fstat(map->fd, &status) < 0 || !descriptor_is_file(&status, &map->file))
		return 0;
	return bytes <= (uint64_t)status.st_blocks * 512 + 2 * sys_page_size() ? 0 : -EUCLEAN;
}

static int recover(struct control_map *map)
{
	struct control *control = map->shared;
	uint32_t count = SHARED_LOAD(control->purge_count);
	int r = check_nodes(map);

	if (r == 0)
		r = range_recover(control_list(map));
	if (r == 0 && count > CONTROL_PURGE_SLOTS)
		r = -EUCLEAN;
	for (uint32_t i = 0; r == 0 && i < count; i++)
		r = punch(map, SHARED_LOAD(control->purge[i].start),
			SHARED_LOAD(control->purge[i].pages));
	if (r == 0)
		r = control_sweep_lost(map);
	if (r < 0)
		return r;
	control_notice_seals(map); /* the dead process may have sealed it just before */
	SHARED_STORE(control->purge_count, 0);
	control->recoveries++;
	return 0;
}

int control_lock_slowly(struct control_map *map, int held)
{
	CANCEL_OFF;
	int r = held ? LOCK_ACQUIRED
		     : lock_acquire_slowly(&map->shared->lock, lock_current_thread());

	if (r < 0) {
		if (r == -ETIMEDOUT)
			__atomic_fetch_add(&map->shared->lock_timeouts, 1, __ATOMIC_RELAXED);
		return r;
	}
	control_announce(map->shared);
	if (!held && r == LOCK_ACQUIRED)
		map->shared->lock_waits++;
	if (r == LOCK_OWNER_DIED)
		r = recover(map);
	if (r == 0 && SHARED_LOAD(map->shared->damaged))
		r = -EUCLEAN;
	if (r < 0)
		control_unlock(map, r);
	return r;
}

void control_look_for_seals(struct control_map *map)
{
	if (!map->writable || SHARED_LOAD(map->shared->sealed) || control_lock(map) < 0)
		return;
	control_notice_seals(map);
	control_unlock(map, 0);
}
