/* SPDX-License-Identifier: MIT */
/*
 * Rows: the memfd backend beside the real driver, in turns on one machine (option --vs-kernel). The
 * ratio says how many times faster the library's own state is.
 */
#include <string.h>

#include "bench.h"

/*
 * What the driver takes depends on where a range lies: it goes through the ranges behind it, those
 * of higher pages.
 */
enum place { ANYWHERE, FIRST_PAGES, LAST_PAGES };

/* So many neighbouring ranges are the first or the last ones. */
#define NEIGHBOURS 64
/*
 * With many ranges: so many calls a turn for the driver, since each takes another time; and enough
 * for memfd to outlast what the driver's walks put out of the processor's caches.
 */
#define MANY 1000
#define WALKS 64
#define SEARCHES 2048

static int open_on(const char *backend, struct ranges *ranges, uint64_t count)
{
	int r = ashmem_backend_select(backend);

	if (r == 0)
		r = ranges_open(ranges, count, 2, SEQUENTIAL);
	return r;
}

static void visit(struct ranges *ranges, enum place place)
{
	uint64_t few = ranges->count < NEIGHBOURS ? ranges->count : NEIGHBOURS;
	uint64_t from = place == FIRST_PAGES ? 0 : ranges->count - few;

	ranges_order(ranges, RANDOM);
	for (uint64_t i = 0; i < ranges->place_count && place != ANYWHERE; i++)
		ranges->places[i] = (uint32_t)(from + random_next() % few);
}

static void versus_row(struct result *row, uint64_t count, enum place place, double target)
{
	struct ranges kernel, memfd;
	struct series series;

	if (!row)
		return;
	int r = open_on("kernel", &kernel, count);
	if (r < 0) {
		row_skip(row, "on the driver: %s", why_not(r));
		return;
	}
	r = open_on("memfd", &memfd, count);
	if (r < 0)
		die("ranges on memfd", r);
	visit(&kernel, place);
	visit(&memfd, place);
	struct timed things[] = {
		{.run = ranges_pairs, .context = &kernel, .count = count < MANY ? 0 : WALKS},
		{.run = ranges_pairs, .context = &memfd, .count = count < MANY ? 0 : SEARCHES},
	};
	measure(things, 2, &series);
	row->ours = median_of(series.ns[1], series.rounds);
	row->reference = "driver";
	row->reference_value = median_of(series.ns[0], series.rounds);
	row->ratio = stats_of_ratio(series.ns[0], series.ns[1], series.rounds);
	row->target = target > 0 ? TARGET_AT_LEAST : TARGET_NONE;
	row->target_ratio = target;
	row_end(row);
	ranges_close(&kernel);
	ranges_close(&memfd);
}

int rows_kernel(void)
{
	static const struct {
		uint64_t count;
		double target;
	} CASES[] = {{1, 5}, {64, 0}, {1024, 0}, {8192, 300}};
	int r = ashmem_backend_select("kernel");

	section("Pin + unpin: how many times faster than the driver");
	if (r < 0) {
		row_skip(row_begin("pair"), "no ashmem driver here (%s)", strerror(-r));
		return 77;
	}
	options.row_ns *= 4; /* there are few, and an emulator adds noise of its own */
	for (unsigned i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
		const char *count = with_commas(CASES[i].count);
		versus_row(row_begin("pair %s random", count), CASES[i].count, ANYWHERE,
			CASES[i].target);
		if (CASES[i].count == 1)
			continue;
		versus_row(row_begin("pair %s first pages", count), CASES[i].count, FIRST_PAGES, 0);
		versus_row(row_begin("pair %s last pages", count), CASES[i].count, LAST_PAGES, 0);
	}
	return 0;
}
