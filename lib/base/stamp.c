/* SPDX-License-Identifier: MIT */
/*
 * Stamps from the processor's counter, measured anew against CLOCK_MONOTONIC every five
 * milliseconds.
 *
 * Reading the clock is the dearest part of an unpin. Where the kernel itself derives the clock from
 * the counter (its clocksource is "tsc", so the counter is constant and the same on all processors)
 * we do as it does, with a rate that each thread measures over ten milliseconds to a second. A pair
 * of readings counts only if nothing came between them, so it is right to some tens of nanoseconds,
 * and extrapolated over five milliseconds it stays so: less than two processes need to tell each
 * other anything. On other systems and processors the clock is read each time.
 */
#include <pthread.h>
#include <string.h>

#include "base/shared.h"
#include "base/stamp.h"

THREAD_LOCAL struct stamp_clock stamp_clock;

#ifdef __x86_64__

#define MEASURE_LEAST_NS 10000000u
#define MEASURE_MOST_NS 1000000000u
#define TRUST_NS 5000000u
/*
 * A reading of the clock between two of the counter takes less than this many ticks, unless
 * something comes between.
 */
#define READING_TICKS 400u
#define READING_TRIES 4

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int counter_is_clock;

static void look_at_clocksource(void)
{
	char name[8];

	counter_is_clock =
		sys_read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource",
			name, sizeof(name)) > 0 &&
		strcmp(name, "tsc\n") == 0;
}

/* Read clock and counter together: 1, or 0 if something came between each time. */
static int read_both(uint64_t *ticks, uint64_t *ns)
{
	for (int i = 0; i < READING_TRIES; i++) {
		uint64_t before = __builtin_ia32_rdtsc();
		*ns = sys_now_ns();
		uint64_t took = __builtin_ia32_rdtsc() - before;
		*ticks = before + took / 2;
		if (took < READING_TICKS)
			return 1;
	}
	return 0;
}

/* Measure the rate from the anchor, which follows at a distance. */
static void measure(struct stamp_clock *clock, uint64_t ticks, uint64_t ns)
{
	uint64_t passed_ns = ns - clock->anchor_ns, passed_ticks = ticks - clock->anchor_ticks;

	if (clock->anchor_ns && passed_ns < MEASURE_LEAST_NS)
		return;
	if (clock->anchor_ns && passed_ns <= MEASURE_MOST_NS && passed_ticks < UINT64_MAX / 2 &&
		passed_ticks > 0) {
		uint64_t rate = (passed_ns << 32) / passed_ticks, known = clock->ns_per_tick;
		/* A counter that changes its pace is none. */
		int steady = !known || (rate < known + known / 1000 && rate > known - known / 1000);
		clock->ns_per_tick = steady ? rate : 0;
		if (passed_ns < MEASURE_MOST_NS / 2)
			return;
	}
	clock->anchor_ticks = ticks;
	clock->anchor_ns = ns;
}

uint64_t stamp_calibrate(struct stamp_clock *clock)
{
	uint64_t ticks, ns;

	pthread_once(&once, look_at_clocksource);
	if (!counter_is_clock)
		return sys_now_ns();
	clock->valid_ticks = 0;
	if (!read_both(&ticks, &ns))
		return ns;
	measure(clock, ticks, ns);
	clock->base_ticks = ticks;
	clock->base_ns = ns;
	if (clock->ns_per_tick)
		clock->valid_ticks = ((uint64_t)TRUST_NS << 32) / clock->ns_per_tick;
	return ns;
}

#else

uint64_t stamp_calibrate(struct stamp_clock *clock)
{
	(void)clock;
	return sys_now_ns();
}

#endif
