/* SPDX-License-Identifier: MIT */
/* The handles of caches in this process, for forks: handles.c. */
#ifndef ASHMEM_LIB_CACHE_HANDLES_H
#define ASHMEM_LIB_CACHE_HANDLES_H

#include "cache/cache.h"

void handles_add(struct ashmem_cache *cache);
void handles_remove(struct ashmem_cache *cache);

#endif /* ASHMEM_LIB_CACHE_HANDLES_H */
