/* SPDX-License-Identifier: MIT */
/*
 * Rows: the memfd backend beside the real driver, in turns on one machine (option --vs-kernel). The
 * ratio says how many times faster the library's own state is.
 */
#include <string.h>

#include "bench.h"

/* The driver walks a list of its ranges: with so many, that many calls a turn, since each takes
 * another time. */
#define MANY 1000
#define WALKS 64

static int open_on(const char *backend, struct ranges *ranges, uint64_t count)
{
	int r = ashmem_backend_select(backend);

	if (r == 0)
		r = ranges_open(ranges, count, 2, SEQUENTIAL);
	return r;
}

static void versus_row(struct result *row, uint64_t count, enum order order, double target)
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
	ranges_order(&kernel, order);
	ranges_order(&memfd, order);
	struct timed things[] = {
		{.run = ranges_pairs, .context = &kernel, .count = count < MANY ? 0 : WALKS},
		{.run = ranges_pairs, .context = &memfd},
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
		versus_row(row_begin("pair %s random", count), CASES[i].count,
			RANDOM, CASES[i].target);
		versus_row(row_begin("pair %s sequential", count),
			CASES[i].count, SEQUENTIAL, CASES[i].target);
	}
	return 0;
}
