/* SPDX-License-Identifier: MIT */
/*
 * Hooks: what may stand between the public calls on areas and their backend. Debug modes and
 * budgets around a call, the pressure guard behind an unpin. One word says what is on, so that a
 * call in a process which uses none of it asks once.
 */
#ifndef ASHMEM_LIB_AREA_AROUND_H
#define ASHMEM_LIB_AREA_AROUND_H

#include <stdint.h>

#include "base/sys.h"
#include "handle/handle.h"

#define HOOKS_DEBUG 7u   /* the modes that are on: debug.h */
#define HOOKS_GUARD 8u   /* free bytes are looked at: pressure/relief.h */
#define HOOKS_BUDGET 16u /* so much for each budget in use, in all higher bits: purge/budget.h */
#define HOOKS_BUDGETS (~(HOOKS_BUDGET - 1))
#define HOOKS_ALL UINT32_MAX

extern uint32_t hooks; /* atomic */

/*
 * Whether any of `which` is on, which is the rare case. Relaxed: a call that began before a hook
 * was switched on need not see it, and what a hook goes by has locks of its own.
 */
static inline int hooks_any(uint32_t which)
{
	return __builtin_expect((__atomic_load_n(&hooks, __ATOMIC_RELAXED) & which) != 0, 0);
}

/* Switch: of `which`, these are on from now, and no others. */
void hooks_switch(uint32_t which, uint32_t on);

/*
 * Calls of the backend with whatever hooks are on; arguments were checked. Only these know hooks
 * that belong around a call.
 */
int hooked_pin(struct ashmem_area *area, uint64_t offset, uint64_t length);
int hooked_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count);
int hooked_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order);
int hooked_hold(struct ashmem_area *area, uint64_t offset, uint64_t length);
int hooked_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags);

/* Before a call that materialises the area: 0, and hooks_settle() follows; or -EDQUOT. */
int hooks_admit(struct ashmem_area *area);
/* The end of a call that may have made memory, or memory purgeable; returns `result`. */
int hooks_settle(struct ashmem_area *area, int result);

#endif /* ASHMEM_LIB_AREA_AROUND_H */
