/* SPDX-License-Identifier: MIT */
/*
 * The time for stamps: CLOCK_MONOTONIC in nanoseconds, which all processes of a system share, as
 * cheaply as it can be had.
 */
#ifndef ASHMEM_LIB_BASE_STAMP_H
#define ASHMEM_LIB_BASE_STAMP_H

#include <stdint.h>

#include "base/shared.h"
#include "base/stamp_counter.h"
#include "base/sys.h"

/* What a thread knows of the time, and the last stamp that it gave. */
struct stamp_clock {
	struct stamp_counter counter;
	uint64_t last_stamp;
};

extern THREAD_LOCAL struct stamp_clock stamp_clock;

/* Nanoseconds of CLOCK_MONOTONIC, give or take some tens. */
static inline uint64_t stamp_now(struct stamp_clock *clock)
{
#ifdef STAMP_COUNTER
	return stamp_counter_now(&clock->counter);
#else
	(void)clock;
	return sys_now_ns();
#endif
}

#endif /* ASHMEM_LIB_BASE_STAMP_H */
