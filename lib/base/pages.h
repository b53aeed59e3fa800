/* SPDX-License-Identifier: MIT */
/*
 * Rounding to pages of the running system, for everybody. Sizes near the end of 64 bits wrap round;
 * callers bound them first.
 */
#ifndef ASHMEM_LIB_BASE_PAGES_H
#define ASHMEM_LIB_BASE_PAGES_H

#include <stdint.h>

#include "base/sys.h"

static inline uint64_t pages_round_up(uint64_t bytes)
{
	uint64_t mask = sys_page_size() - 1;

	return (bytes + mask) & ~mask;
}

/* How many pages hold so many bytes. */
static inline uint64_t pages_for(uint64_t bytes)
{
	return pages_round_up(bytes) / sys_page_size();
}

static inline int pages_are_aligned(uint64_t bytes)
{
	return (bytes & (sys_page_size() - 1)) == 0;
}

#endif /* ASHMEM_LIB_BASE_PAGES_H */
