/* SPDX-License-Identifier: MIT */
/*
 * Reading the control block without its lock: a process that has it mapped read-only can take no
 * lock.
 *
 * Every owner of the lock makes `changes` grow. If the lock was free and the number the same before
 * and after, nobody changed anything meanwhile, and what was read is a state that existed. Else it
 * may be half changed: the range list's functions check each value before they use it, bound their
 * loops, and write nothing; the result is thrown away. A lock whose owner died is not free: the
 * next process that can write settles the pages that were being freed.
 */
#include <errno.h>

#include "base/shared.h"
#include "memfd/control.h"

#define SPINS 100
#define PAUSE_NS 50000

/* Whether the lock is free. Acquire: what its last owner did is seen. */
static int is_free(const struct control *shared)
{
	return __atomic_load_n(&shared->lock, __ATOMIC_ACQUIRE) == 0;
}

/* One try: 1 and the result, or 0 if somebody was changing the block. */
static int try_to_read(const struct control_map *map,
	int (*look)(const struct control_map *, void *), void *context, int *result)
{
	const struct control *shared = map->shared;
	/* Acquire: pairs with the release in control_announce(). */
	uint64_t changes = __atomic_load_n(&shared->changes, __ATOMIC_ACQUIRE);

	if (!is_free(shared))
		return 0;
	*result = SHARED_LOAD(shared->damaged) ? -EUCLEAN : look(map, context);
	/* Pairs with the fence in control_announce(): a change that we read shows in `changes`. */
	FENCE(__ATOMIC_ACQUIRE);
	return is_free(shared) && __atomic_load_n(&shared->changes, __ATOMIC_RELAXED) == changes;
}

int control_read(const struct control_map *map, int (*look)(const struct control_map *, void *),
	void *context, struct wait *wait)
{
	int result;

	for (unsigned tries = 0; !try_to_read(map, look, context, &result); tries++) {
		if (tries < SPINS)
			continue;
		int r = wait_pause(wait, PAUSE_NS);
		if (r < 0)
			return r;
	}
	return result;
}

int control_look_at(const struct control_map *map, uint32_t first, uint32_t last)
{
	struct range_list list = map->list;

	list.path_low = list.path_high = 0;
	return range_look(&list, first, last);
}

struct pages {
	uint32_t first, last;
};

static int look_at_pages(const struct control_map *map, void *context)
{
	const struct pages *pages = context;

	return control_look_at(map, pages->first, pages->last);
}

int control_look(const struct control_map *map, uint32_t first, uint32_t last, struct wait *wait)
{
	struct pages pages = {first, last};

	return control_read(map, look_at_pages, &pages, wait);
}
