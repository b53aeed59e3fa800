/* SPDX-License-Identifier: MIT */
/*
 * What may stand between the public calls on areas and their backend: debug modes and budgets
 * around a call, the guard against memory pressure after an unpin. handle/switches.h says what is
 * on.
 *
 * No lock is held on entry. The guard is of a room above, which sets a function for it here.
 */
#ifndef ASHMEM_LIB_AREA_AROUND_H
#define ASHMEM_LIB_AREA_AROUND_H

#include <stdint.h>

#include "handle/handle.h"

/*
 * Calls of the backend with whatever is on around them; arguments were checked. Nothing else knows
 * what belongs around a call.
 */
int around_pin(struct ashmem_area *area, uint64_t offset, uint64_t length);
int around_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count);
int around_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order);
int around_hold(struct ashmem_area *area, uint64_t offset, uint64_t length);
int around_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags);

/* Before a call that materialises the area: 0, and around_settle() follows; or -EDQUOT. */
int around_admit(struct ashmem_area *area);
/* Memory of the area has become purgeable, so many bytes. */
void around_made_purgeable(struct ashmem_area *area, uint64_t length);
/* The end of a call that may have made memory, or memory purgeable; returns `result`. */
int around_settle(struct ashmem_area *area, int result);

/*
 * Have `guard` called with the bytes of every unpin, with no lock held, while SWITCH_GUARD is on.
 * To be set before that is switched on; stays.
 */
void around_set_guard(void (*guard)(uint64_t bytes));

#endif /* ASHMEM_LIB_AREA_AROUND_H */
