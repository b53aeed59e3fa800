/* SPDX-License-Identifier: MIT */
/* What stands around the backend's calls while something is on; see around.h. */
#include "area/around.h"
#include "area/debug.h"
#include "base/context.h"
#include "handle/backends.h"
#include "handle/switches.h"
#include "purge/budget.h"

/* -- the guard -- */

static void (*guard)(uint64_t bytes); /* atomic */

void around_set_guard(void (*function)(uint64_t bytes))
{
	__atomic_store_n(&guard, function, __ATOMIC_RELEASE);
}

static void tell_guard(uint64_t bytes)
{
	/* Acquire: pairs with the release above; the switch itself is read relaxed. */
	void (*function)(uint64_t bytes) = __atomic_load_n(&guard, __ATOMIC_ACQUIRE);

	if (function && context_may_purge())
		function(bytes);
}

/* -- budgets -- */

int around_admit(struct ashmem_area *area)
{
	uint64_t size;

	if (!budgets_any() || area_learn_size(area, &size) != 0)
		return 0;
	return budget_admit(area, size);
}

int around_settle(struct ashmem_area *area, int result)
{
	if (budgets_any())
		budget_settle(area);
	return result;
}

/* -- pins -- */

int around_pin(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	int trap = debug_has(DEBUG_TRAP);
	struct context frame;

	if (trap)
		trap_begin(&frame);
	int r = area->backend->pin(area->state, offset, length);
	if (trap)
		r = trap_end(&frame, area, offset, length, r);
	return around_settle(area, r);
}

/* A backend that does not know which pages it lost may have lost all. */
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

int around_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count)
{
	int trap = debug_has(DEBUG_TRAP);
	struct context frame;

	if (trap)
		trap_begin(&frame);
	int r = pin_lost_by_backend(area, offset, length, lost, capacity, count);
	if (trap)
		r = trap_end(&frame, area, offset, length, r);
	return around_settle(area, r);
}

/* -- unpins -- */

void around_made_purgeable(struct ashmem_area *area, uint64_t length)
{
	/* To be purged at once, too much of it, or just in time. */
	if (debug_any())
		debug_purge();
	around_settle(area, 0);
	if (switches_any(SWITCH_GUARD))
		tell_guard(length);
}

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

int around_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order)
{
	int trap = debug_has(DEBUG_TRAP);
	struct context frame;

	if (trap)
		trap_begin(&frame);
	int r = unpin_by_backend(area, offset, length, priority, order);
	if (trap)
		r = trap_end(&frame, area, offset, length, r);
	if (r >= 0)
		around_made_purgeable(area, length);
	return r;
}

/* -- holds -- */

int around_hold(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	struct context frame;

	if (!debug_has(DEBUG_TRAP))
		return area->backend->hold(area->state, offset, length);
	trap_begin(&frame);
	int r = trap_prepare_hold(area);
	if (r == 0)
		r = area->backend->hold(area->state, offset, length);
	if (r >= 0)
		trap_count_hold(area, offset, length, 1);
	return trap_end(&frame, area, offset, length, r);
}

int around_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags)
{
	int trap = debug_has(DEBUG_TRAP);
	struct context frame;

	if (trap)
		trap_begin(&frame);
	int r = area->backend->release(area->state, offset, length, flags);
	if (trap) {
		if (r >= 0)
			trap_count_hold(area, offset, length, -1);
		r = trap_end(&frame, area, offset, length, r);
	}
	return around_settle(area, r);
}
