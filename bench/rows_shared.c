/* SPDX-License-Identifier: MIT */
/*
 * Rows: two who pin and unpin at the same time, as pairs a second beside those of one thread alone.
 *
 * Each has 1,000 ranges and visits them at random; on one area each has a half of it. Such figures
 * mean something only while two processors are free: a run in which the scheduler took one away is
 * done over, and the row goes without a figure if that hardly ever succeeds. The last row counts
 * processor time instead, and so needs none to be free.
 */
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

#define RANGES_EACH 1000
/* For which they run at a time. */
#define WINDOW_NS 1e6
/* How often a disturbed run is done over. */
#define ATTEMPTS 30

struct pairing {
	struct workers workers;
	int by_cpu_time;
	unsigned runs, disturbed; /* disturbed in every attempt */
};

/* Pairs a second of so many workers together, as ns a pair, which is what struct timed wants. */
static double run_workers(struct pairing *pairing, int active)
{
	struct worker_result answer[WORKERS_MAX];
	double per_ns = 0;
	int disturbed = 1;

	for (int attempt = 0; disturbed && attempt < ATTEMPTS; attempt++) {
		workers_run(&pairing->workers, active, WINDOW_NS, answer);
		disturbed = 0;
		for (int i = 0; i < active && !pairing->by_cpu_time; i++)
			disturbed |= answer[i].disturbed;
	}
	pairing->runs++;
	pairing->disturbed += (unsigned)disturbed;
	for (int i = 0; i < active; i++)
		per_ns += answer[i].operations /
			(pairing->by_cpu_time ? answer[i].cpu_ns : answer[i].wall_ns);
	return 1 / per_ns;
}

static double run_one(void *context, uint64_t count)
{
	(void)count;
	return run_workers(context, 1);
}

static double run_two(void *context, uint64_t count)
{
	(void)count;
	return run_workers(context, 2);
}

/* A view of half of the places of an area: the same area, other ranges. */
static struct ranges half_of(const struct ranges *whole, int which)
{
	struct ranges half = *whole;

	half.count = whole->count / 2;
	half.place_count = half.count * 64;
	half.places = allocate(half.place_count, sizeof(*half.places));
	ranges_order(&half, RANDOM);
	for (uint64_t i = 0; i < half.place_count; i++)
		half.places[i] += (uint32_t)(which * half.count);
	return half;
}

static void measure_scaling(struct result *row, struct pairing *pairing, double target)
{
	struct series series;
	struct timed things[] = {
		{.run = run_one, .context = pairing, .count = 1},
		{.run = run_two, .context = pairing, .count = 1},
	};

	measure(things, 2, &series);
	if (pairing->disturbed > pairing->runs / 4) {
		row_skip(row, "others took processors away in %u of %u runs", pairing->disturbed,
			pairing->runs);
		return;
	}
	row->unit = UNIT_PER_SECOND;
	row->ours = 1e9 / median_of(series.ns[1], series.rounds);
	row->reference = "one alone";
	row->reference_value = 1e9 / median_of(series.ns[0], series.rounds);
	row->ratio = stats_of_ratio(series.ns[0], series.ns[1], series.rounds);
	row->target = target > 0 ? TARGET_AT_LEAST : TARGET_NONE;
	row->target_ratio = target;
	row_end(row);
}

static void row_on_one_area(struct result *row, enum worker_kind kind)
{
	struct pairing pairing = {.by_cpu_time = 0};
	struct ranges area;

	if (!row)
		return;
	int r = ranges_open(&area, 2 * RANGES_EACH, 2, SEQUENTIAL);
	if (r < 0) {
		row_skip(row, "an area: %s", why_not(r));
		return;
	}
	struct ranges halves[2] = {half_of(&area, 0), half_of(&area, 1)};
	struct ranges *const each[] = {&halves[0], &halves[1]};
	workers_start(&pairing.workers, 2, kind, each);
	measure_scaling(row, &pairing, 0);
	workers_stop(&pairing.workers);
	free(halves[0].places);
	free(halves[1].places);
	ranges_close(&area);
}

static void row_on_two_areas(struct result *row, int by_cpu_time)
{
	struct pairing pairing = {.by_cpu_time = by_cpu_time};
	struct ranges areas[2];
	struct ranges *const each[] = {&areas[0], &areas[1]};

	if (!row)
		return;
	for (int i = 0; i < 2; i++) {
		int r = ranges_open(&areas[i], RANGES_EACH, 2, SEQUENTIAL);
		if (r < 0) {
			row_skip(row, "an area: %s", why_not(r));
			if (i > 0)
				ranges_close(&areas[0]);
			return;
		}
		ranges_order(&areas[i], RANDOM);
	}
	workers_start(&pairing.workers, 2, WORKER_THREAD, each);
	measure_scaling(row, &pairing, 1.9);
	workers_stop(&pairing.workers);
	ranges_close(&areas[0]);
	ranges_close(&areas[1]);
}

void rows_shared(void)
{
	section("Two at the same time, pairs a second of both together");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		row_skip(row_begin("2 threads, 2 areas"), "one processor only");
		return;
	}
	row_on_one_area(row_begin("2 threads, 1 area"), WORKER_THREAD);
	row_on_one_area(row_begin("2 processes, 1 area"), WORKER_PROCESS);
	row_on_two_areas(row_begin("2 threads, 2 areas"), 0);
	row_on_two_areas(row_begin("2 threads, 2 areas, CPU time"), 1);
}
