/* SPDX-License-Identifier: MIT */
/*
 * Statistics: of one area, as its backend counts, and of the process, which adds up its areas.
 *
 * Adding up asks every backend with no lock of the area layer held, one area after the other, so
 * that a slow one holds up nobody else. Peers that keep locks make it wait as long for all areas as
 * a call waits for one.
 */
#include <errno.h>
#include <stddef.h>

#include <ashmem/stats.h>

#include "area/pressure_last.h"
#include "base/cancel.h"
#include "base/context.h"
#include "base/lock.h"
#include "base/structs.h"
#include "handle/handle.h"
#include "purge/areas.h"

/* A whole structure: 0, or a negative errno. */
static int area_stats(struct ashmem_area *area, struct ashmem_area_stats *stats)
{
	int r = area_size_pages(area, &stats->size_pages);

	if (r == 0)
		r = area->backend->get_stats(area->state, stats);
	if (r < 0)
		return r;
	uint64_t unpinned = stats->unpinned_pages;
	stats->pinned_pages = stats->size_pages > unpinned ? stats->size_pages - unpinned : 0;
	return 0;
}

int ashmem_area_get_stats(struct ashmem_area *area, struct ashmem_area_stats *stats)
{
	CANCEL_OFF;
	struct ashmem_area_stats all = {.struct_size = sizeof(all)};

	if (!area || !stats || stats->struct_size < sizeof(stats->struct_size))
		return -EINVAL;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_INSPECT))
		return -ENOTSUP;
	int r = area_stats(area, &all);
	if (r < 0)
		return r;
	struct_copy_out(stats, &all, sizeof(all));
	return 0;
}

static void add_area(struct ashmem_area *area, void *context)
{
	struct ashmem_process_stats *sum = context;
	struct ashmem_area_stats one = {.struct_size = sizeof(one)};

	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_INSPECT) ||
		area_stats(area, &one) < 0) {
		sum->unknown_areas++;
		return;
	}
	sum->size_pages += one.size_pages;
	sum->pinned_pages += one.pinned_pages;
	sum->unpinned_ranges += one.unpinned_ranges;
	sum->unpinned_pages += one.unpinned_pages;
	sum->resident_pages += one.resident_pages;
	sum->held_pages += one.held_pages;
	sum->areas_purged_pages += one.purged_pages;
	sum->pins_found_purged += one.pins_found_purged;
	sum->lock_waits += one.lock_waits;
	sum->lock_timeouts += one.lock_timeouts;
	sum->recoveries += one.recoveries;
	sum->sealed_areas += one.sealed;
}

int ashmem_process_get_stats(struct ashmem_process_stats *stats)
{
	CANCEL_OFF;
	struct ashmem_process_stats all = {.struct_size = sizeof(all)};

	if (!stats || stats->struct_size < sizeof(stats->struct_size))
		return -EINVAL;
	areas_count(&all.areas, &all.evictable_pages);
	all.purged_pages = areas_purged_pages();
	pressure_last(&all.pressure_level, &all.pressure_source);
	/* A caller that does not know of sums does not wait for them. */
	if (stats->struct_size > offsetof(struct ashmem_process_stats, size_pages)) {
		uint64_t patience_ns = LOCK_TIMEOUT_NS;
		struct context frame = {.patience_ns = &patience_ns};

		context_push(&frame);
		table_visit_each(add_area, &all);
		context_pop(&frame);
	}
	struct_copy_out(stats, &all, sizeof(all));
	return 0;
}
