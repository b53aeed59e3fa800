/* SPDX-License-Identifier: MIT */
/*
 * Counting: each thread counts in one of the handle's stripes, and every some hundred counts of a
 * stripe go to the shared ones, so that a read writes nothing that another process looks at. Two
 * threads that share a stripe may lose a count. No lock.
 */
#ifndef ASHMEM_LIB_CACHE_STATS_H
#define ASHMEM_LIB_CACHE_STATS_H

#include "cache/cache.h"

/* Of what this slot has; counted there too, for age.c. */
void stats_hit(struct ashmem_cache *cache, uint32_t bucket, uint32_t index);
void stats_miss(struct ashmem_cache *cache, enum cache_miss why);
void stats_put(struct ashmem_cache *cache);
void stats_remove(struct ashmem_cache *cache);
void stats_carried(struct ashmem_cache *cache);

/* Add what the handle has counted to the shared counts. */
void stats_flush(struct ashmem_cache *cache);

#endif /* ASHMEM_LIB_CACHE_STATS_H */
