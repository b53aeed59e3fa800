/* SPDX-License-Identifier: MIT */
/* The processor's counter as a clock: see stamp_counter.h. */
#include "base/cancel.h"
#include "base/stamp_counter.h"

#ifdef STAMP_COUNTER

#include <pthread.h>
#include <string.h>

#include "base/sys.h"

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
	CANCEL_OFF;
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
static void measure(struct stamp_counter *counter, uint64_t ticks, uint64_t ns)
{
	uint64_t passed_ns = ns - counter->anchor_ns, passed_ticks = ticks - counter->anchor_ticks;

	if (counter->anchor_ns && passed_ns < MEASURE_LEAST_NS)
		return;
	if (counter->anchor_ns && passed_ns <= MEASURE_MOST_NS && passed_ticks < UINT64_MAX / 2 &&
		passed_ticks > 0) {
		uint64_t rate = (passed_ns << 32) / passed_ticks, known = counter->ns_per_tick;
		/* A counter that changes its pace is none. */
		int steady = !known || (rate < known + known / 1000 && rate > known - known / 1000);
		counter->ns_per_tick = steady ? rate : 0;
		if (passed_ns < MEASURE_MOST_NS / 2)
			return;
	}
	counter->anchor_ticks = ticks;
	counter->anchor_ns = ns;
}

uint64_t stamp_counter_calibrate(struct stamp_counter *counter)
{
	uint64_t ticks, ns;

	pthread_once(&once, look_at_clocksource);
	if (!counter_is_clock)
		return sys_now_ns();
	counter->valid_ticks = 0;
	if (!read_both(&ticks, &ns))
		return ns;
	measure(counter, ticks, ns);
	counter->base_ticks = ticks;
	counter->base_ns = ns;
	if (counter->ns_per_tick)
		counter->valid_ticks = ((uint64_t)TRUST_NS << 32) / counter->ns_per_tick;
	return ns;
}

#endif
