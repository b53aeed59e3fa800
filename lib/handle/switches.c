/* SPDX-License-Identifier: MIT */
/* The word; see switches.h. */
#include "handle/switches.h"

uint32_t switches;

void switches_set(uint32_t which, uint32_t on)
{
	uint32_t was = __atomic_load_n(&switches, __ATOMIC_RELAXED);

	/* Only if it changes: a store into the word costs every thread that looks at it. */
	while ((was & which) != on &&
		!__atomic_compare_exchange_n(&switches, &was, (was & ~which) | on, 0,
			__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}
