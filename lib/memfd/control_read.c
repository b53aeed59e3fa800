/* SPDX-License-Identifier: MIT */
/*
 * Reading the control block without its lock: what a peer does who has the control block mapped
 * read-only and can take no lock.
 *
 * Everybody who takes the lock makes `changes` grow. If the lock was free and the number the same
 * before and after, nobody changed anything meanwhile, and what was read is a state that there was.
 * Else what was read may be half changed: the range list's functions check each value before they
 * use it, bound their loops, and write nothing; the answer is thrown away. A lock whose owner died
 * is not free: the pages that it was freeing are settled by the next one who can write.
 */
#include <errno.h>
#include <time.h>

#include "base/shared.h"
#include "memfd/control.h"

#define SPINS 100
#define PAUSE_NS 50000

/* Whether the lock is free. Acquire: what its last owner did is seen. */
static int is_free(const struct control *shared)
{
	return __atomic_load_n(&shared->lock, __ATOMIC_ACQUIRE) == 0;
}

/* One try: 1 and the answer, or 0 if somebody was changing the block. */
static int try_to_read(const struct control_map *map,
	int (*look)(const struct control_map *, void *), void *context, int *answer)
{
	const struct control *shared = map->shared;
	/* Acquire: pairs with the release in control_announce(). */
	uint64_t changes = __atomic_load_n(&shared->changes, __ATOMIC_ACQUIRE);

	if (!is_free(shared))
		return 0;
	*answer = SHARED_LOAD(shared->damaged) ? -EUCLEAN : look(map, context);
	/*
	 * Pairs with the fence in control_announce(): who changed what we read is seen to have
	 * come.
	 */
	FENCE(__ATOMIC_ACQUIRE);
	return is_free(shared) && __atomic_load_n(&shared->changes, __ATOMIC_RELAXED) == changes;
}

int control_read(const struct control_map *map, int (*look)(const struct control_map *, void *),
	void *context, struct sys_wait *wait)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	int answer;

	for (unsigned tries = 0; !try_to_read(map, look, context, &answer); tries++) {
		if (tries < SPINS)
			continue;
		if (sys_wait_is_over(wait))
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return answer;
}

struct pages {
	uint32_t first, last;
};

static int look_at_pages(const struct control_map *map, void *context)
{
	const struct pages *pages = context;
	struct range_list list = map->list;

	list.path_low = list.path_high = 0;
	return range_look(&list, pages->first, pages->last);
}

int control_look(const struct control_map *map, uint32_t first, uint32_t last,
	struct sys_wait *wait)
{
	struct pages pages = {first, last};

	return control_read(map, look_at_pages, &pages, wait);
}
