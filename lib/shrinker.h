/* SPDX-License-Identifier: MIT */
/* What the purge over all areas knows, for the statistics. */
#ifndef ASHMEM_LIB_SHRINKER_H
#define ASHMEM_LIB_SHRINKER_H

#include <stdint.h>

/* The areas of the process, and the pages of them that a purge could free now. Takes no area's lock. */
void shrinker_count(uint64_t *areas, uint64_t *evictable_pages);
/* Pages that this process has purged since it began. */
uint64_t shrinker_purged_pages(void);

#endif /* ASHMEM_LIB_SHRINKER_H */
