/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl show: the areas of a process, or of one descriptor, with their state: counts, a picture
 * of the pages, the unpinned ranges.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ctl.h"
#include "proc.h"

/* Characters of the picture. */
#define PICTURE_COLUMNS 64
#define PICTURE_ROWS 4
#define PICTURE_CELLS (PICTURE_COLUMNS * PICTURE_ROWS)

static unsigned shown;

static const char *state_name(uint32_t state)
{
	if (!(state & ASHMEM_RANGE_PURGED))
		return "unpinned";
	return state & ASHMEM_RANGE_EVICTABLE ? "purged in part" : "purged";
}

/* ---------------------------------------------------------------- picture */

/* How many pages of each cell are unpinned, and how many of these in purged ranges. */
struct picture {
	uint64_t pages, cells;
	uint64_t unpinned[PICTURE_CELLS], purged[PICTURE_CELLS];
};

/* The first page of a cell. Whole pages: 2^32 of them times 256 cells fit. */
static uint64_t cell_start(const struct picture *picture, uint64_t cell)
{
	return cell * picture->pages / picture->cells;
}

static void paint(struct picture *picture, uint64_t first, uint64_t count, uint32_t state)
{
	uint64_t end = first + count;

	for (uint64_t cell = first * picture->cells / picture->pages; cell < picture->cells;
		cell++) {
		uint64_t from = cell_start(picture, cell), to = cell_start(picture, cell + 1);

		if (from >= end)
			break;
		from = from < first ? first : from;
		to = to > end ? end : to;
		if (to <= from)
			continue;
		picture->unpinned[cell] += to - from;
		if (state & ASHMEM_RANGE_PURGED)
			picture->purged[cell] += to - from;
	}
}

static char cell_letter(const struct picture *picture, uint64_t cell)
{
	uint64_t pages = cell_start(picture, cell + 1) - cell_start(picture, cell);
	uint64_t unpinned = picture->unpinned[cell], purged = picture->purged[cell];

	if (unpinned == 0)
		return '#';
	if (purged == pages)
		return '_';
	if (unpinned == pages && purged == 0)
		return '.';
	return '%';
}

static void print_picture(struct ashmem_area *area, uint64_t pages)
{
	uint64_t cells = pages < PICTURE_CELLS ? pages : PICTURE_CELLS;
	struct picture picture = {.pages = pages, .cells = cells};
	uint64_t from = 0, offset, length, page = ctl_page();
	uint32_t state;

	if (cells == 0)
		return;
	while (ashmem_find_unpinned(area, from, &offset, &length, &state) == 1) {
		paint(&picture, offset / page, (length + page - 1) / page, state);
		from = offset + length;
	}
	for (uint64_t cell = 0; cell < cells; cell++) {
		if (cell % PICTURE_COLUMNS == 0)
			printf("%s    ", cell ? "\n" : "");
		putchar(cell_letter(&picture, cell));
	}
	printf("\n    # pinned  . unpinned  _ purged  %% mixed; %" PRIu64 "%s\n",
		(pages + cells - 1) / cells,
		pages > cells ? " pages each, or one less" : " page each");
}

/* ---------------------------------------------------------------- text */

static void print_ranges(struct ashmem_area *area)
{
	uint64_t from = 0, offset, length;
	uint32_t state;
	int r;

	while ((r = ashmem_find_unpinned(area, from, &offset, &length, &state)) == 1) {
		printf("    %12" PRIu64 " + %-12" PRIu64 " %s\n", offset, length,
			state_name(state));
		from = offset + length;
	}
	if (r < 0)
		printf("    ranges cannot be read: %s\n", strerror(-r));
}

static void print_state(struct ashmem_area *area)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
	int r = ashmem_area_get_stats(area, &stats);

	if (r < 0) {
		printf("  pin state cannot be read: %s\n", strerror(-r));
		return;
	}
	printf("  unpinned: %" PRIu64 " pages in %" PRIu64 " ranges, of which %" PRIu64
	       " pages can be purged\n",
		stats.unpinned_pages, stats.unpinned_ranges, stats.evictable_pages);
	printf("  so far: %" PRIu64 " pages purged, %" PRIu64 " pins found that, %" PRIu64
	       " recoveries\n",
		stats.purged_pages, stats.pins_found_purged, stats.recoveries);
	printf("  memory: %" PRIu64 " pages resident, %" PRIu64 " pinned%s%s\n",
		stats.resident_pages, stats.pinned_pages,
		stats.readers ? "; may have read-only pins or holds" : "",
		stats.sealed ? "; sealed" : "");
	print_picture(area, stats.size_pages);
	if (ctl.ranges)
		print_ranges(area);
}

static void print_cache(const struct ctl_area *found)
{
	const struct ashmem_cache_stats *cache = &found->cache;
	int percent = ctl_hit_percent(found);
	char buf[2][8];

	printf("  cache: %" PRIu64 " hits, %" PRIu64 " misses", cache->hits, cache->misses);
	if (percent >= 0)
		printf(", hit ratio %d %%", percent);
	printf("; %" PRIu64 " misses because of purges; %" PRIu64 " puts; %s of %s filled\n",
		cache->misses_purged, cache->puts, ctl_size(cache->bytes_filled, buf[0]),
		ctl_size(cache->bytes, buf[1]));
}

static void print_area(struct ashmem_area *area, const struct ctl_area *found)
{
	uint64_t size = ashmem_get_size(area), page = ctl_page();
	char name[ASHMEM_NAME_LEN];
	int prot = ashmem_get_prot(area);

	if (ashmem_get_name(area, name, sizeof(name)) < 0)
		strcpy(name, "?");
	ctl_color_on(CTL_BOLD);
	ctl_print_text(stdout, ctl_path(found), 0);
	fputs(": ", stdout);
	ctl_print_text(stdout, name, 0);
	ctl_color_off();
	printf("\n  size: %" PRIu64 " bytes, %" PRIu64 " pages; ", size,
		size / page + (size % page != 0));
	if (prot < 0)
		printf("mask unknown (%s)", strerror(-prot));
	else
		printf("mask %c%c%c", prot & PROT_READ ? 'r' : '-', prot & PROT_WRITE ? 'w' : '-',
			prot & PROT_EXEC ? 'x' : '-');
	puts(found->read_only ? "; read-only descriptor" : "");
	if (found->is_cache)
		print_cache(found);
	print_state(area);
}

/* ---------------------------------------------------------------- JSON */

static void json_ranges(struct ashmem_area *area)
{
	uint64_t from = 0, offset, length;
	uint32_t state;
	int first = 1;

	printf(",\"ranges\":[");
	while (ashmem_find_unpinned(area, from, &offset, &length, &state) == 1) {
		printf("%s{\"offset\":%" PRIu64 ",\"length\":%" PRIu64 ",\"state\":\"%s\"}",
			first ? "" : ",", offset, length, state_name(state));
		first = 0;
		from = offset + length;
	}
	printf("]");
}

static void print_json(struct ashmem_area *area, const struct ctl_area *found)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};

	printf("%s {", shown ? ",\n" : "");
	ctl_json_area(found);
	if (ashmem_area_get_stats(area, &stats) == 0) {
		printf(",\"pinned_bytes\":%" PRIu64 ",\"pins_found_purged\":%" PRIu64
		       ",\"recoveries\":%" PRIu64 ",\"lock_waits\":%" PRIu64
		       ",\"lock_timeouts\":%" PRIu64,
			stats.pinned_pages * ctl_page(), stats.pins_found_purged, stats.recoveries,
			stats.lock_waits, stats.lock_timeouts);
		json_ranges(area);
	}
	printf("}");
}

/* ---------------------------------------------------------------- the command */

/* The area is opened once more, as a peer: its ranges are read under its lock. */
static int show(struct ctl_area *found)
{
	struct ashmem_area *area;
	int r = ctl_import(ctl_path(found), &area, &found->read_only);

	if (r < 0)
		return ctl_complain(ctl_path(found), strerror(-r));
	ctl_look(found);
	if (ctl.json) {
		print_json(area, found);
	} else {
		print_area(area, found);
	}
	shown++;
	ashmem_close(area);
	return CTL_OK;
}

static int show_process(pid_t pid)
{
	struct ctl_areas areas;
	char what[32];
	/* There is no process 0. */
	int failed = 0, r = pid ? ctl_areas_find(pid, &areas) : -ESRCH;

	snprintf(what, sizeof(what), "process %d", (int)pid);
	if (r < 0)
		return ctl_complain(what, strerror(-r));
	for (size_t i = 0; i < areas.count; i++)
		failed |= show(&areas.area[i]);
	if (areas.count == 0 && !ctl.json)
		printf("%s: no areas\n", what);
	ctl_areas_free(&areas);
	return failed;
}

int ctl_show(void)
{
	int failed = 0;

	if (!ctl.args[0]) {
		ctl_complain("show", "give the id of a process, or a file such as /proc/PID/fd/N");
		return CTL_USAGE;
	}
	if (ctl.json)
		puts("[");
	for (char **arg = ctl.args; *arg; arg++) {
		pid_t pid = proc_pid(*arg);

		if (pid || strcmp(*arg, "0") == 0)
			failed |= show_process(pid);
		else
			failed |= show(&(struct ctl_area){.given = *arg});
	}
	if (ctl.json)
		puts(shown ? "\n]" : "]");
	return failed;
}
