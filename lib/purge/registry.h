/* SPDX-License-Identifier: MIT */
/*
 * The registry of shrinkers, and calling them so that they can be ended at any time. The areas are
 * the first of them, and stay.
 */
#ifndef ASHMEM_LIB_PURGE_REGISTRY_H
#define ASHMEM_LIB_PURGE_REGISTRY_H

#include <stdint.h>

#include <ashmem/shrinker.h>

#include "base/context.h"
#include "purge/shrink_shares.h"

/* The areas among them. */
#define REGISTRY_MAX SHRINK_SHARES_MAX

/*
 * One call of ashmem_shrink() or ashmem_shrink_count(), and those that it asks, in order. They stay
 * in memory until its end.
 */
struct registry_walk {
	struct ashmem_shrinker *taken[REGISTRY_MAX];
	unsigned count;
	uint64_t last_serial;
	uint64_t patience_ns; /* what is left to wait for the locks of areas, in all rounds */
	struct context frame;
};

/* Whether the areas are the only ones, or the only ones that may be asked (base/context.h). */
int registry_only_areas(void);

void registry_begin_walk(struct registry_walk *walk);
/* Add those that were registered since. */
void registry_take(struct registry_walk *walk);
void registry_end_walk(struct registry_walk *walk);

/* Call the functions. If the shrinker has ended: 0 pages, and ASHMEM_SHRINK_STOP. */
uint64_t registry_count(struct ashmem_shrinker *shrinker);
int64_t registry_scan(struct registry_walk *walk, struct ashmem_shrinker *shrinker,
	uint64_t nr_pages);

int registry_is_areas(const struct ashmem_shrinker *shrinker);
uint64_t registry_batch(const struct ashmem_shrinker *shrinker);

/*
 * Divide among those of a walk, whose counts are in `shares`; costs and carries are the shrinkers'.
 */
uint64_t registry_divide(struct registry_walk *walk, struct shrink_share *shares, uint64_t want);

#endif /* ASHMEM_LIB_PURGE_REGISTRY_H */
