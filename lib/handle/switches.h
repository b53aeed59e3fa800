/* SPDX-License-Identifier: MIT */
/*
 * One word that says what is on in this process beside the areas themselves: debug modes, the guard
 * against memory pressure, budgets. So a call in a process that uses none of it asks once.
 *
 * Each bit belongs to a room above, which switches it; this room only keeps the word. No lock.
 */
#ifndef ASHMEM_LIB_HANDLE_SWITCHES_H
#define ASHMEM_LIB_HANDLE_SWITCHES_H

#include <stdint.h>

#define SWITCH_DEBUG 7u   /* the modes that are on: area/debug.h */
#define SWITCH_GUARD 8u   /* free bytes are looked at: pressure/relief.h */
#define SWITCH_BUDGET 16u /* so much for each budget in use, in all higher bits: purge/budget.h */
#define SWITCH_BUDGETS (~(SWITCH_BUDGET - 1))
#define SWITCH_ALL UINT32_MAX

extern uint32_t switches; /* atomic */

/*
 * Whether any of `which` is on, which is the rare case. Relaxed: a call that began before something
 * was switched on need not see it, and what is switched on has locks of its own.
 */
static inline int switches_any(uint32_t which)
{
	return __builtin_expect((__atomic_load_n(&switches, __ATOMIC_RELAXED) & which) != 0, 0);
}

/* Of `which`, these are on from now, and no others. */
void switches_set(uint32_t which, uint32_t on);

#endif /* ASHMEM_LIB_HANDLE_SWITCHES_H */
