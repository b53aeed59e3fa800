/* SPDX-License-Identifier: MIT */
/* What is done around the backend's calls while hooks are on (around.h). */
#include "area/around.h"
#include "area/debug.h"
#include "handle/backends.h"
#include "pressure/relief.h"
#include "purge/budget.h"

uint32_t hooks;

void hooks_switch(uint32_t which, uint32_t on)
{
	uint32_t was = __atomic_load_n(&hooks, __ATOMIC_RELAXED);

	/* A store into the word costs every thread that looks at it. */
	while ((was & which) != on &&
		!__atomic_compare_exchange_n(&hooks, &was, (was & ~which) | on, 0, __ATOMIC_RELAXED,
			__ATOMIC_RELAXED))
		;
}

/* -- budgets -- */

int hooks_admit(struct ashmem_area *area)
{
	uint64_t size;

	if (!budgets_any() || area_learn_size(area, &size) != 0)
		return 0;
	return budget_admit(area, size);
}

int hooks_settle(struct ashmem_area *area, int result)
{
	if (budgets_any())
		budget_settle(area);
	return result;
}

/* -- pins -- */

int hooked_pin(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	int trap = debug_has(DEBUG_TRAP);

	if (trap)
		trap_begin();
	int r = area->backend->pin(area->state, offset, length);
	if (trap)
		r = trap_end(area, offset, length, r);
	return hooks_settle(area, r);
}

/* A backend that does not know which pages were lost may have lost all. */
static int pin_lost_by_backend(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count)
{
	if (area->backend->capabilities & ASHMEM_BACKEND_CAP_LOST)
		return area->backend->pin_lost(area->state, offset, length, lost, capacity, count);
	int r = area->backend->pin(area->state, offset, length);
	if (r >= 0)
		*count = r == ASHMEM_WAS_PURGED;
	if (r == ASHMEM_WAS_PURGED)
		*lost = (struct ashmem_extent){offset, length};
	return r;
}

int hooked_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count)
{
	int trap = debug_has(DEBUG_TRAP);

	if (trap)
		trap_begin();
	int r = pin_lost_by_backend(area, offset, length, lost, capacity, count);
	if (trap)
		r = trap_end(area, offset, length, r);
	return hooks_settle(area, r);
}

/* -- unpins -- */

/*
 * With a priority and an order only if that is not what a plain unpin has: a backend need not know
 * them.
 */
static int unpin_by_backend(struct ashmem_area *area, uint64_t offset, uint64_t length,
	uint32_t priority, uint32_t order)
{
	if (priority == ASHMEM_PRIORITY_NORMAL && order == ASHMEM_ORDER_FIFO)
		return area->backend->unpin(area->state, offset, length);
	return area->backend->unpin_with(area->state, offset, length, priority, order);
}

int hooked_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order)
{
	int trap = debug_has(DEBUG_TRAP);

	if (trap)
		trap_begin();
	int r = unpin_by_backend(area, offset, length, priority, order);
	if (trap)
		r = trap_end(area, offset, length, r);
	if (r < 0)
		return r;
	/* Memory has become purgeable: to be purged at once, too much of it, or just in time. */
	if (debug_any())
		debug_purge();
	hooks_settle(area, r);
	relief_unpinned(length);
	return r;
}

/* -- holds -- */

int hooked_hold(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	if (!debug_has(DEBUG_TRAP))
		return area->backend->hold(area->state, offset, length);
	trap_begin();
	int r = trap_prepare_hold(area);
	if (r == 0)
		r = area->backend->hold(area->state, offset, length);
	if (r >= 0)
		trap_count_hold(area, offset, length, 1);
	return trap_end(area, offset, length, r);
}

int hooked_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags)
{
	int trap = debug_has(DEBUG_TRAP);

	if (trap)
		trap_begin();
	int r = area->backend->release(area->state, offset, length, flags);
	if (trap) {
		if (r >= 0)
			trap_count_hold(area, offset, length, -1);
		r = trap_end(area, offset, length, r);
	}
	return hooks_settle(area, r);
}
