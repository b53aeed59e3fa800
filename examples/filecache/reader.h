/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_READER_H
#define FILECACHE_READER_H

#include "cache.h"

/* The second process: reads all files so many times. Returns an exit status. */
int reader_run(struct cache *cache, uint64_t passes, uint64_t seed);

#endif /* FILECACHE_READER_H */
