/* SPDX-License-Identifier: MIT */
/* Which entries stay when there is no more room: age.c. No lock is held on entry. */
#ifndef ASHMEM_LIB_CACHE_AGE_H
#define ASHMEM_LIB_CACHE_AGE_H

#include "cache/cache.h"

/* Where a new entry of a key goes. */
enum cache_class age_class_for(const struct ashmem_cache *cache, uint64_t hash);

/*
 * Make one segment free of entries that are needed: those of it that are used are carried to a main
 * segment. 1, or 0 if there is none to choose, or no room for the first of those.
 */
int age_evict(struct ashmem_cache *cache);

#endif /* ASHMEM_LIB_CACHE_AGE_H */
