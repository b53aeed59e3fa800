/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_CACHE_H
#define FILECACHE_CACHE_H

#include "catalog.h"

#include <ashmem/ashmem.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What both processes count. */
struct counts {
	_Atomic uint64_t visits;     /* of files, compared or put again */
	_Atomic uint64_t bytes;      /* compared, and right */
	_Atomic uint64_t hits;       /* pieces found */
	_Atomic uint64_t rebuilds;   /* pieces that were gone, and put again */
	_Atomic uint64_t changed;    /* files that changed or went */
	_Atomic uint64_t unreadable; /* files that could not be read again */
	_Atomic uint64_t mismatches;
	_Atomic uint32_t squeezes;
};

/* The cache as both processes have it. */
struct cache {
	struct ashmem_cache *handle;
	const struct catalog *catalog;
	struct counts *counts; /* shared */
	bool *is_left_out;     /* of each file; each process's own */
};

/* What a squeeze did. */
struct squeeze {
	uint64_t asked_pages; /* 0: everything */
	int64_t freed_pages;
	uint64_t took_ns;
	uint64_t held_before; /* bytes of memory behind the cache, as the kernel counts them */
	uint64_t held_after;
};

/* All of these return 0 or a negative errno. */

/* Make a cache that has room for all files of a catalog. */
int cache_create(struct cache *cache, const struct catalog *catalog);
void cache_close(struct cache *cache);
/* Put all files. */
int cache_fill(struct cache *cache);
/* Compare what is cached of a file with the file, or put it again if it is not there. */
int cache_visit(struct cache *cache, size_t number);
/* Purge at least `pages`, or everything if 0. */
int cache_squeeze(struct cache *cache, uint64_t pages, struct squeeze *squeeze);

#endif /* FILECACHE_CACHE_H */
