/* SPDX-License-Identifier: MIT */
/*
 * The registry of shrinkers, and calling them so that they can be ended at any time. The areas are
 * the first of them, and for good.
 */
#ifndef ASHMEM_LIB_PURGE_REGISTRY_H
#define ASHMEM_LIB_PURGE_REGISTRY_H

#include <stdint.h>

#include <ashmem/shrinker.h>

#include "purge/shrink_shares.h"

/* The areas among them. */
#define SHRINKERS_MAX SHARES_MAX

/*
 * One call of ashmem_shrink() or ashmem_shrink_count(), and those that it asks, in order. They stay
 * in memory until its end.
 */
struct shrinkers_walk {
	struct ashmem_shrinker *taken[SHRINKERS_MAX];
	unsigned count;
	uint64_t last_serial;
	/* of this thread: a shrinker's function may count or shrink */
	struct shrinkers_walk *outer;
};

/*
 * Whether the areas are the only ones, or the only ones that may be asked because a shrinker's
 * function runs on this thread.
 */
int shrinkers_only_areas(void);

void shrinkers_begin(struct shrinkers_walk *walk);
/* Add those that were registered since. */
void shrinkers_take(struct shrinkers_walk *walk);
void shrinkers_end(struct shrinkers_walk *walk);

/*
 * Call the functions, unless the shrinker has ended; then there is nothing, and ASHMEM_SHRINK_STOP.
 */
uint64_t shrinker_count(struct ashmem_shrinker *shrinker);
int64_t shrinker_scan(struct ashmem_shrinker *shrinker, uint64_t nr_pages);

int shrinker_is_areas(const struct ashmem_shrinker *shrinker);
uint64_t shrinker_batch(const struct ashmem_shrinker *shrinker);

/*
 * Divide among those of a walk, whose counts are in `shares`; costs and carries are the shrinkers'.
 */
uint64_t shrinkers_divide(struct shrinkers_walk *walk, struct share *shares, uint64_t want);

#endif /* ASHMEM_LIB_PURGE_REGISTRY_H */
