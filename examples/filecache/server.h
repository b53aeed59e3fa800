/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_SERVER_H
#define FILECACHE_SERVER_H

#include "cache.h"

#include <stdint.h>
#include <sys/types.h>

#define PASSES_PER_SQUEEZE 2u

/* The squeezes while the reader reads. */
struct server {
	struct cache *cache;
	uint32_t squeezes;   /* wanted */
	uint64_t random;     /* state of the random numbers: the seed */
	uint64_t squeeze_at; /* when so many files have been visited */
	uint32_t squeezes_done;
	uint64_t freed_pages;
	uint64_t squeeze_ns;
};

/* How often the reader is to read all files. */
uint64_t server_passes(const struct server *server);

/* Squeeze memory until the reader has ended. 0 if that ended well, -EINTR after Ctrl-C, -ECHILD if
 * it failed, or another negative errno. */
int server_run(struct server *server, pid_t reader);

#endif /* FILECACHE_SERVER_H */
