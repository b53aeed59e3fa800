/* SPDX-License-Identifier: MIT */
/*
 * Rows: memory that an area's state takes, from the blocks of its file. Nothing is written into
 * these areas, so all that the file holds is state.
 *
 * Per range: without the two pages that an area may take besides. The reference is 16 bytes, two
 * 64-bit numbers to say where a range lies, and for areas one page.
 */
#include <sys/stat.h>

#include "bench.h"

#define AREA_PAGES 2
#define LEAST_BYTES 16

static double state_bytes(struct ashmem_area *area)
{
	struct stat status;

	if (fstat(ashmem_fd(area), &status) < 0)
		die_errno("fstat");
	return (double)status.st_blocks * 512;
}

static void memory_row(struct result *row, enum unit unit, double value, double reference,
	double target)
{
	double ratio = value / reference;

	row->unit = unit;
	row->ours = value;
	row->reference = unit == UNIT_PAGES ? "1 page" : "2 x 64 bits";
	row->reference_value = reference;
	row->ratio = (struct stats){ratio, ratio, ratio, ratio, ratio};
	row->target = TARGET_AT_MOST;
	row->target_ratio = target / reference;
	row_end(row);
}

static void area_row(struct result *row, uint64_t size_bytes, int unpinned)
{
	struct ashmem_area *area;

	if (!row)
		return;
	int r = area_open(size_bytes, &area);
	if (r >= 0 && unpinned)
		r = ashmem_unpin(area, 0, 0);
	if (r < 0)
		die("an area", r);
	memory_row(row, UNIT_PAGES, state_bytes(area) / (double)page_bytes(), 1, AREA_PAGES);
	ashmem_close(area);
}

static void range_row(uint64_t count, enum order fill)
{
	struct result *row = row_begin("memory of %s %s", with_commas(count),
		fill == RANDOM ? "random" : "sequential");
	struct ranges ranges;

	if (!row)
		return;
	int r = ranges_open(&ranges, count, 2, fill);
	if (r < 0) {
		row_skip(row, "%s ranges: %s", with_commas(count), why_not(r));
		return;
	}
	double bytes = state_bytes(ranges.area) - AREA_PAGES * (double)page_bytes();
	memory_row(row, UNIT_BYTES, bytes > 0 ? bytes / (double)count : 0, LEAST_BYTES, 48);
	ranges_close(&ranges);
}

void rows_memory(void)
{
	static const uint64_t COUNTS[] = {1000, 100000, 1000000};

	section("Memory for state (a range: what exceeds 2 pages an area)");
	if (!purges_here()) {
		row_skip(row_begin("memory"), "the driver does not tell");
		return;
	}
	area_row(row_begin("memory of area 1 MiB, 0 ranges"), 1 << 20, 0);
	area_row(row_begin("memory of area 1 GiB, 1 range"), 1 << 30, 1);
	for (unsigned i = 0; i < sizeof(COUNTS) / sizeof(*COUNTS); i++) {
		range_row(COUNTS[i], SEQUENTIAL);
		range_row(COUNTS[i], RANDOM);
	}
}
