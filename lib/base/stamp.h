/* SPDX-License-Identifier: MIT */
/*
 * The time for stamps: CLOCK_MONOTONIC in nanoseconds, which all processes of a system share, as
 * cheaply as it can be had.
 */
#ifndef ASHMEM_LIB_BASE_STAMP_H
#define ASHMEM_LIB_BASE_STAMP_H

#include <stdint.h>

#include "base/shared.h"
#include "base/sys.h"

/* What a thread knows of the processor's time stamp counter, and the last stamp that it gave. */
struct stamp_clock {
	uint64_t last_stamp;
	uint64_t base_ticks, base_ns; /* read together: where we count from */
	uint64_t valid_ticks;         /* how far from the base this is trusted; 0: not at all */
	uint64_t ns_per_tick;         /* times 2^32; 0: not known yet */
	/* read together earlier: what the rate is measured from */
	uint64_t anchor_ticks, anchor_ns;
};

extern THREAD_LOCAL struct stamp_clock stamp_clock;

/* Read the real clock, and measure the counter against it. */
uint64_t stamp_calibrate(struct stamp_clock *clock);

/* Nanoseconds of CLOCK_MONOTONIC, give or take some tens. */
static inline uint64_t stamp_now(struct stamp_clock *clock)
{
#ifdef __x86_64__
	uint64_t ticks = __builtin_ia32_rdtsc() - clock->base_ticks;

	if (__builtin_expect(ticks < clock->valid_ticks, 1))
		return clock->base_ns + ((ticks * clock->ns_per_tick) >> 32);
#endif
	return stamp_calibrate(clock);
}

#endif /* ASHMEM_LIB_BASE_STAMP_H */
