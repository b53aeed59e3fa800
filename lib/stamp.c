/* SPDX-License-Identifier: MIT */
/*
 * Stamps from the processor's counter, measured anew against CLOCK_MONOTONIC every ten milliseconds.
 *
 * Reading the clock is the dearest part of an unpin. Where the kernel itself derives the clock from the counter (its clocksource is
 * "tsc", so the counter is constant and the same on all processors) we do as it does, with a rate that each thread measures
 * over at least a millisecond. Extrapolated over ten milliseconds with a rate that is off by a few millionths, a
 * stamp is off by some tens of nanoseconds, which is less than two processes need to tell each other anything. On other
 * systems and processors the clock is read each time.
 */
#include <pthread.h>
#include <string.h>

#include "stamp.h"

THREAD_LOCAL struct stamp_clock stamp_clock;

#ifdef __x86_64__

#define MEASURE_LEAST_NS 1000000u
#define MEASURE_MOST_NS 1000000000u
#define TRUST_NS 10000000u

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int counter_is_clock;

static void look_at_clocksource(void)
{
	char name[8];

	counter_is_clock = sys_read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource",
				   name, sizeof(name)) > 0 &&
			   strcmp(name, "tsc\n") == 0;
}

/* Nanoseconds a tick, times 2^32, from two readings; 0 if they cannot be right. */
static uint64_t measure(uint64_t ticks, uint64_t ns, uint64_t known)
{
	if (ns < MEASURE_LEAST_NS || ns > MEASURE_MOST_NS || ticks == 0 || ticks > UINT64_MAX / 2)
		return 0;
	uint64_t rate = (ns << 32) / ticks;
	/* A counter that changed its pace is none. */
	if (known && (rate > known + known / 1000 || rate < known - known / 1000))
		return 0;
	return rate;
}

uint64_t stamp_calibrate(struct stamp_clock *clock)
{
	uint64_t ticks = __builtin_ia32_rdtsc(), ns = sys_now_ns();
	uint64_t passed_ns = ns - clock->base_ns, passed_ticks = ticks - clock->base_ticks;

	pthread_once(&once, look_at_clocksource);
	if (!counter_is_clock || (clock->base_ns && passed_ns < MEASURE_LEAST_NS))
		return ns;
	uint64_t rate = measure(passed_ticks, passed_ns, clock->ns_per_tick);
	int idle = clock->ns_per_tick && passed_ns > MEASURE_MOST_NS;
	if (!idle)
		clock->ns_per_tick = rate;
	clock->valid_ticks = clock->ns_per_tick
				     ? ((uint64_t)TRUST_NS << 32) / clock->ns_per_tick
				     : 0;
	clock->base_ticks = ticks;
	clock->base_ns = ns;
	return ns;
}

#else

uint64_t stamp_calibrate(struct stamp_clock *clock)
{
	(void)clock;
	return sys_now_ns();
}

#endif
