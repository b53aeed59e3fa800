/* SPDX-License-Identifier: MIT */
/*
 * The counts of a memfd area. Those in the control block change under its lock; a process that
 * cannot take it reads them as control_read.c does. The kernel says how much memory the data take:
 * the file's blocks without those of the control block. No lock is held on entry.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include <ashmem/stats.h>

#include "base/shared.h"
#include "base/sys.h"
#include "memfd/area.h"
#include "memfd/stats.h"

#define BLOCK_BYTES 512 /* stat(2): whatever st_blksize says */

static void copy_counts(const struct control *shared, struct ashmem_area_stats *stats)
{
	stats->sealed = SHARED_LOAD(shared->sealed) != 0;
	stats->readers = SHARED_LOAD(shared->has_readers) != 0;
	stats->unpinned_ranges = SHARED_LOAD(shared->ranges.ranges);
	stats->unpinned_pages = SHARED_LOAD(shared->ranges.unpinned_pages);
	stats->evictable_pages = stats->sealed ? 0 : SHARED_LOAD(shared->ranges.evictable_pages);
	stats->purged_pages = SHARED_LOAD(shared->purged_pages);
	stats->pins_found_purged = SHARED_LOAD(shared->pins_found_purged);
	stats->recoveries = SHARED_LOAD(shared->recoveries);
	stats->lock_waits = SHARED_LOAD(shared->lock_waits);
	stats->lock_timeouts = __atomic_load_n(&shared->lock_timeouts, __ATOMIC_RELAXED);
}

static int copy_unlocked(const struct control_map *map, void *context)
{
	copy_counts(map->shared, context);
	return 0;
}

static int get_counts(struct memfd_area *area, struct ashmem_area_stats *stats)
{
	if (memfd_is_reader(area)) {
		struct wait wait;
		wait_begin(&wait, LOCK_TIMEOUT_NS);
		return control_read(&area->control, copy_unlocked, stats, &wait);
	}
	int r = memfd_lock(area);
	if (r < 0)
		return r;
	copy_counts(area->control.shared, stats);
	control_unlock(&area->control, 0);
	return 0;
}

/*
 * Pages that the data take, of a materialised area; others write and purge meanwhile, so this is a
 * guess then.
 */
static uint64_t resident_pages(const struct memfd_area *area, int has_control)
{
	struct stat status;
	uint64_t state_bytes = 0;

	if (fstat(area->fd, &status) < 0 || !descriptor_is_file(&status, &area->file))
		return 0;
	uint64_t bytes = (uint64_t)status.st_blocks * BLOCK_BYTES;
	if (has_control)
		state_bytes = sys_data_bytes(area->fd, area->control.data_bytes);
	return bytes > state_bytes ? (bytes - state_bytes) / sys_page_size() : 0;
}

int memfd_get_stats(void *state, void *stats_out)
{
	struct memfd_area *area = state;
	struct ashmem_area_stats *stats = stats_out;
	int has_control = memfd_look_again(area) && !area->plain;

	if (!memfd_is_materialised(area))
		return 0;
	if (has_control) {
		int r = get_counts(area, stats);
		if (r < 0)
			return r;
		pthread_mutex_lock(&area->file_locks_mutex);
		stats->held_pages = file_locks_count(&area->file_locks);
		pthread_mutex_unlock(&area->file_locks_mutex);
	}
	stats->resident_pages = resident_pages(area, has_control);
	return 0;
}
