/* SPDX-License-Identifier: MIT */
/* Which entries stay when there is no more room: age.c. No lock is held on entry. */
#ifndef ASHMEM_LIB_CACHE_AGE_H
#define ASHMEM_LIB_CACHE_AGE_H

#include "cache/cache.h"

/* Where a new entry of a key goes. */
enum cache_class age_class_for(const struct ashmem_cache *cache, uint64_t hash);

/*
 * Make so many segments in a row free of entries that are needed: those of them that are used are
 * carried to a main segment, or stay where they are if they have a run for themselves. 1, or 0 if
 * there are none to choose, or no room for the first of those.
 */
int age_evict(struct ashmem_cache *cache, uint32_t segments);

#endif /* ASHMEM_LIB_CACHE_AGE_H */
