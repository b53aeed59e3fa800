/* SPDX-License-Identifier: MIT */
/*
 * Speed trick: the processor's counter as a clock, measured anew against CLOCK_MONOTONIC every five
 * milliseconds.
 *
 * Gain, measured with bench in turns (2 processors, medians of 6): an unpin takes 14.4 ns instead
 * of 33.0, a pair on one range 29.4 instead of 44.6, on one of 1,000 60 instead of 77.
 *
 * Without it (other processors, other clocksources) stamp_now() reads the clock each time, and all
 * works. Where the kernel itself derives the clock from the counter (its clocksource is "tsc", so
 * the counter is constant and the same on all processors) we do as it does, with a rate that each
 * thread measures over ten milliseconds to a second. A pair of readings counts only if nothing came
 * between them. So it is right to some tens of nanoseconds, and stays so when extrapolated over
 * five milliseconds: less than two processes need to tell each other anything.
 */
#ifndef ASHMEM_LIB_BASE_STAMP_COUNTER_H
#define ASHMEM_LIB_BASE_STAMP_COUNTER_H

#include <stdint.h>

#ifdef __x86_64__
#define STAMP_COUNTER 1
#endif

/* What a thread knows of the processor's counter. */
struct stamp_counter {
	uint64_t base_ticks, base_ns; /* read together: where we count from */
	uint64_t valid_ticks;         /* how far from the base this is trusted; 0: not at all */
	uint64_t ns_per_tick;         /* times 2^32; 0: not known yet */
	/* read together earlier: what the rate is measured from */
	uint64_t anchor_ticks, anchor_ns;
};

#ifdef STAMP_COUNTER

/* Read the real clock, and measure the counter against it if it can be one. */
uint64_t stamp_counter_calibrate(struct stamp_counter *counter);

static inline uint64_t stamp_counter_now(struct stamp_counter *counter)
{
	uint64_t ticks = __builtin_ia32_rdtsc() - counter->base_ticks;

	if (__builtin_expect(ticks < counter->valid_ticks, 1))
		return counter->base_ns + ((ticks * counter->ns_per_tick) >> 32);
	return stamp_counter_calibrate(counter);
}

#endif

#endif /* ASHMEM_LIB_BASE_STAMP_COUNTER_H */
