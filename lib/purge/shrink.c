/* SPDX-License-Identifier: MIT */
/*
 * ashmem_shrink() and ashmem_shrink_count() over areas and registered shrinkers.
 *
 * A shrink works in rounds: count everybody, divide what is missing (shrink_shares.h), ask each for
 * its share in pieces. A shrinker that cannot free is left out for the rest of the call, and so is
 * one that frees nothing in two rounds. So it ends: each round frees a page, or takes a shrinker
 * nearer to being left out. Nothing is allocated, since memory is short: what a call knows of each
 * lies on the stack.
 *
 * No lock is held here. The functions of shrinkers may do anything, also shrink: then the areas
 * alone are asked (base/context.h).
 */
#include <ashmem/shrinker.h>

#include "base/cancel.h"
#include "base/lock.h"
#include "purge/areas.h"
#include "purge/registry.h"
#include "purge/shrink_shares.h"

/* Rounds in a row without a page, after which a shrinker is left out. */
#define EMPTY_ROUNDS 2

struct shrink {
	struct registry_walk walk;
	struct shrink_share share[REGISTRY_MAX];
	unsigned char empty_rounds[REGISTRY_MAX]; /* EMPTY_ROUNDS: left out */
	uint64_t wanted, freed;
	int64_t error; /* of the areas */
};

static uint64_t add_up(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Ask one for its share. */
static void ask(struct shrink *shrink, unsigned i)
{
	struct ashmem_shrinker *shrinker = shrink->walk.taken[i];
	uint64_t batch = registry_batch(shrinker), left = shrink->share[i].pages,
		 freed_before = shrink->freed;

	while (left > 0 && shrink->freed < shrink->wanted) {
		uint64_t missing = shrink->wanted - shrink->freed,
			 piece = left < batch ? left : batch;
		if (piece > missing)
			piece = missing;
		int64_t freed = registry_scan(&shrink->walk, shrinker, piece);
		left -= piece;
		if (freed < 0) {
			if (registry_is_areas(shrinker))
				shrink->error = freed;
			shrink->empty_rounds[i] = EMPTY_ROUNDS;
			return;
		}
		shrink->freed = add_up(shrink->freed, (uint64_t)freed);
	}
	if (shrink->freed > freed_before)
		shrink->empty_rounds[i] = 0;
	else if (left == 0) /* the areas have looked at everything */
		shrink->empty_rounds[i] += registry_is_areas(shrinker) ? EMPTY_ROUNDS : 1;
}

/* 0 if nobody has anything to give. */
static int do_round(struct shrink *shrink)
{
	unsigned before = shrink->walk.count;

	registry_take(&shrink->walk);
	for (unsigned i = before; i < shrink->walk.count; i++)
		shrink->empty_rounds[i] = 0;
	for (unsigned i = 0; i < shrink->walk.count; i++)
		shrink->share[i].count = shrink->empty_rounds[i] < EMPTY_ROUNDS
			? registry_count(shrink->walk.taken[i])
			: 0;
	if (registry_divide(&shrink->walk, shrink->share, shrink->wanted - shrink->freed) == 0)
		return 0;
	for (int is_free = 1; is_free >= 0; is_free--) /* what costs nothing comes first */
		for (unsigned i = 0; i < shrink->walk.count; i++)
			if (shrink->share[i].pages > 0 && (shrink->share[i].seeks == 0) == is_free)
				ask(shrink, i);
	return 1;
}

static int64_t shrink_all(uint64_t nr_pages)
{
	struct shrink shrink; /* large, and most of it not used: no initializer */

	shrink.wanted = nr_pages;
	shrink.freed = 0;
	shrink.error = 0;
	shrink.empty_rounds[0] = 0;
	registry_begin_walk(&shrink.walk);
	while (shrink.freed < shrink.wanted && do_round(&shrink))
		;
	registry_end_walk(&shrink.walk);
	if (shrink.freed == 0 && shrink.error < 0)
		return shrink.error;
	return shrink.freed < INT64_MAX ? (int64_t)shrink.freed : INT64_MAX;
}

int64_t ashmem_shrink(uint64_t nr_pages)
{
	CANCEL_OFF;
	uint64_t patience_ns = LOCK_TIMEOUT_NS;

	if (nr_pages == 0)
		return 0;
	return registry_only_areas() ? areas_shrink(nr_pages, &patience_ns) : shrink_all(nr_pages);
}

uint64_t ashmem_shrink_count(void)
{
	CANCEL_OFF;
	struct registry_walk walk;
	uint64_t pages = 0;

	if (registry_only_areas())
		return areas_evictable();
	registry_begin_walk(&walk);
	registry_take(&walk);
	for (unsigned i = 0; i < walk.count; i++)
		pages = add_up(pages, registry_count(walk.taken[i]));
	registry_end_walk(&walk);
	return pages;
}
