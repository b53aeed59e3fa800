/* SPDX-License-Identifier: MIT */
/*
 * The public calls on pins: arguments are checked once, for all backends, then the backend is
 * called.
 *
 * A pin, an unpin and a status with nothing switched on have to be fast: they are jumps to the
 * backend. What is out of the ordinary has functions of its own, so that the usual way need not
 * make room for it.
 */
#include <errno.h>

#include "area/around.h"
#include "base/cancel.h"
#include "base/pages.h"
#include "handle/backends.h"
#include "handle/handle.h"
#include "handle/switches.h"
#include "purge/areas.h"

/* Contract rule 9 and D2: 1 and the length made explicit; 0 if there is nothing to do; -EINVAL. */
static inline int check_range(struct ashmem_area *area, uint64_t offset, uint64_t *length)
{
	uint64_t size;
	int r = area_learn_size(area, &size);

	if (r < 0)
		return r;
	size = pages_round_up(size);
	if (r == 0 || !pages_are_aligned(offset | *length) || offset > size ||
		*length > size - offset)
		return -EINVAL;
	if (*length == 0)
		*length = size - offset;
	return *length != 0;
}

/* The usual case of check_range(): 1, and it is no other; or 0. */
static inline int is_usual_range(const struct ashmem_area *area, uint64_t offset, uint64_t *length)
{
	if (__builtin_expect(!area || !area_is_fixed(area), 0))
		return 0;
	uint64_t end = area->end_bytes;
	if (__builtin_expect(((offset | *length) & area->page_mask) != 0 || offset >= end ||
			    *length > end - offset,
		    0))
		return 0;
	if (*length == 0)
		*length = end - offset;
	return 1;
}

#define UNUSUAL __attribute__((noinline)) static int

UNUSUAL pin(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	CANCEL_OFF;
	if (!area)
		return -EINVAL;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r < 0 ? r : ASHMEM_NOT_PURGED;
	return around_pin(area, offset, length);
}

int ashmem_pin(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	if (!is_usual_range(area, offset, &length) || switches_any(SWITCH_ALL & ~SWITCH_GUARD))
		return pin(area, offset, length);
	return area->backend->pin(area->state, offset, length);
}

int ashmem_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count)
{
	CANCEL_OFF;
	if (!area || !lost || capacity == 0 || !count)
		return -EINVAL;
	int r = check_range(area, offset, &length);
	if (r < 0)
		return r;
	if (r == 0) {
		*count = 0;
		return ASHMEM_NOT_PURGED;
	}
	return around_pin_lost(area, offset, length, lost, capacity, count);
}

UNUSUAL unpin(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	CANCEL_OFF;
	if (!area)
		return -EINVAL;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r;
	return around_unpin(area, offset, length, ASHMEM_PRIORITY_NORMAL, ASHMEM_ORDER_FIFO);
}

int ashmem_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	if (!is_usual_range(area, offset, &length) || switches_any(SWITCH_ALL))
		return unpin(area, offset, length);
	return area->backend->unpin(area->state, offset, length);
}

int ashmem_unpin_with(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order)
{
	CANCEL_OFF;
	if (!area || priority > ASHMEM_PRIORITY_LAST ||
		(order != ASHMEM_ORDER_FIFO && order != ASHMEM_ORDER_LIFO))
		return -EINVAL;
	if (priority == ASHMEM_PRIORITY_NORMAL && order == ASHMEM_ORDER_FIFO)
		return ashmem_unpin(area, offset, length);
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_PRIORITIES))
		return -ENOTSUP;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r;
	return around_unpin(area, offset, length, priority, order);
}

UNUSUAL status(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	CANCEL_OFF;
	if (!area)
		return -EINVAL;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r < 0 ? r : ASHMEM_IS_PINNED;
	return area->backend->get_pin_status(area->state, offset, length);
}

int ashmem_get_pin_status(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	if (!is_usual_range(area, offset, &length))
		return status(area, offset, length);
	return area->backend->get_pin_status(area->state, offset, length);
}

int ashmem_hold(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	CANCEL_OFF;
	if (!area)
		return -EINVAL;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_HOLDS))
		return -ENOTSUP;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r < 0 ? r : ASHMEM_NOT_PURGED;
	return around_hold(area, offset, length);
}

int ashmem_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags)
{
	CANCEL_OFF;
	if (!area || (flags & ~ASHMEM_RELEASE_LOST))
		return -EINVAL;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_HOLDS))
		return -ENOTSUP;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r;
	return around_release(area, offset, length, flags);
}

int64_t ashmem_purge(struct ashmem_area *area, uint64_t offset_bytes, uint64_t length_bytes)
{
	CANCEL_OFF;
	if (!area)
		return -EINVAL;
	if (!area->backend->purge_range)
		return -ENOTSUP;
	int r = check_range(area, offset_bytes, &length_bytes);
	if (r <= 0)
		return r;
	int64_t freed = areas_purge_range(area, offset_bytes, offset_bytes + length_bytes);
	around_settle(area, 0);
	return freed;
}

int ashmem_find_unpinned(struct ashmem_area *area, uint64_t from, uint64_t *offset,
	uint64_t *length, uint32_t *state)
{
	CANCEL_OFF;
	uint64_t found_offset, found_length, size;
	uint32_t found_state;

	if (!area)
		return -EINVAL;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_INSPECT))
		return -ENOTSUP;
	int r = area_learn_size(area, &size);
	if (r <= 0)
		return r < 0 ? r : -EINVAL;
	r = area->backend->find_unpinned(area->state, from, &found_offset, &found_length,
		&found_state);
	if (r <= 0)
		return r;
	if (offset)
		*offset = found_offset;
	if (length)
		*length = found_length;
	if (state)
		*state = found_state;
	return 1;
}
