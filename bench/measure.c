/* SPDX-License-Identifier: MIT */
/*
 * The clock, rounds and statistics.
 *
 * Machines drift: other programs come and go, and clock rates change. So nothing is measured alone.
 * Reference and subject run in turns, and every round gives one ratio; what a row shows is the
 * median of the ratios with their quartiles. A turn is much shorter than the few milliseconds for
 * which a scheduler lets a program run. (With turns of that length the two fall in step with the
 * scheduler, and one of them pays for every interruption.) What one thread does is counted in its
 * processor time, which is the same as time on an idle machine and leaves out other programs on a
 * busy one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define LEAST_ROUNDS 5

double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double busy_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* From one reading of a clock to the next; of many, since a clock may tick in coarse steps. */
static double reading_cost(double (*clock)(void))
{
	double costs[51];
	const unsigned count = sizeof(costs) / sizeof(*costs);

	for (unsigned i = 0; i < count; i++) {
		double begin = clock(), end = begin;
		for (unsigned k = 0; k < 100; k++)
			end = clock();
		costs[i] = (end - begin) / 100;
	}
	return median_of(costs, count);
}

double clock_ns(void)
{
	static double cost = -1;

	if (cost < 0)
		cost = reading_cost(now_ns);
	return cost;
}

double busy_since(double begin)
{
	static double cost = -1;
	double end = busy_ns();

	if (cost < 0)
		cost = reading_cost(busy_ns);
	return end - begin > cost ? end - begin - cost : 0;
}

/* The smallest step of the clock: large where it ticks (emulators without a better one). */
static double clock_step_ns(void)
{
	static double step;

	for (unsigned i = 0; step == 0 || i < 100; i++) {
		double before = now_ns(), delta = now_ns() - before;
		if (delta > 0 && (step == 0 || delta < step))
			step = delta;
	}
	return step;
}

uint64_t page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t random_next(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

_Noreturn void die(const char *what, int64_t error)
{
	fflush(stdout);
	if (error < 0)
		fprintf(stderr, "bench: %s: %s\n", what, strerror((int)-error));
	else
		fprintf(stderr, "bench: %s: unexpected answer %lld\n", what, (long long)error);
	_exit(1);
}

_Noreturn void die_errno(const char *what)
{
	die(what, -errno);
}

void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		die("calloc", -ENOMEM);
	return memory;
}

/* -- statistics -- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The value below which `part` of the sorted values lie, between two of them if need be. */
static double quantile(const double *sorted, unsigned count, double part)
{
	double place = part * (count - 1);
	unsigned below = (unsigned)place;
	double rest = place - below;

	return below + 1 < count ? sorted[below] * (1 - rest) + sorted[below + 1] * rest
				 : sorted[below];
}

struct stats stats_of(const double *values, unsigned count)
{
	double *sorted;

	if (count == 0)
		return (struct stats){.median = 0};
	sorted = allocate(count, sizeof(*sorted));
	memcpy(sorted, values, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	struct stats stats = {
		.median = quantile(sorted, count, 0.5),
		.q1 = quantile(sorted, count, 0.25),
		.q3 = quantile(sorted, count, 0.75),
		.min = sorted[0],
		.max = sorted[count - 1],
	};
	free(sorted);
	return stats;
}

double median_of(const double *values, unsigned count)
{
	return stats_of(values, count).median;
}

struct stats stats_of_ratio(const double *numerator, const double *denominator, unsigned count)
{
	double ratios[ROUNDS_MAX + 1] = {0};

	for (unsigned i = 0; i < count; i++)
		ratios[i] = denominator[i] > 0 ? numerator[i] / denominator[i] : 0;
	return stats_of(ratios, count);
}

/* -- rounds -- */

/* How often to do it so that it takes a batch's time, set-up included. Warms up on the way. */
static uint64_t calibrate(const struct timed *thing)
{
	double batch = options.batch_ns;
	uint64_t count = 1;

	if (batch < 50 * clock_step_ns())
		batch = 50 * clock_step_ns();
	for (;;) {
		double before = now_ns();
		thing->run(thing->context, count);
		double took = now_ns() - before;
		if (took >= batch / 4) {
			double wanted = (double)count * batch / took;
			return wanted < 1 ? 1 : (uint64_t)wanted;
		}
		count *= 2;
	}
}

static double run_once(const struct timed *thing, uint64_t count)
{
	double units = thing->units > 0 ? thing->units : 1;

	return thing->run(thing->context, count) / (double)count / units;
}

void measure(const struct timed *things, unsigned count, struct series *series)
{
	uint64_t batch[THINGS_MAX] = {0};
	unsigned round = 0;

	for (unsigned i = 0; i < count; i++)
		batch[i] = things[i].count ? things[i].count : calibrate(&things[i]);
	double begin = now_ns();
	while (round < options.rounds &&
		(round < LEAST_ROUNDS || now_ns() - begin < options.row_ns)) {
		for (unsigned i = 0; i < count; i++)
			series->ns[i][round] = run_once(&things[i], batch[i]);
		round++;
	}
	series->rounds = round;
	series->ns[0][round] = run_once(&things[0], batch[0]);
	for (unsigned i = 0; i < round; i++)
		series->ns[0][i] = (series->ns[0][i] + series->ns[0][i + 1]) / 2;
}
