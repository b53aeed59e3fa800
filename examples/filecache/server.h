/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_SERVER_H
#define FILECACHE_SERVER_H

#include "cache.h"

#include <stdint.h>

/* The conversation with the reader, and the squeezes meanwhile. */
struct server {
	struct cache *cache;
	int socket_fd;
	uint32_t squeezes;   /* wanted */
	uint64_t random;     /* state of the random numbers: the seed */
	uint32_t passes;     /* in all: some more than squeezes */
	uint32_t pass;       /* from 0; in the end `passes` */
	uint32_t squeeze_at; /* when so many entries of the pass are read */
	uint32_t refills;    /* entries to look at ahead of the reader */
	uint32_t squeezes_done;
	uint64_t freed_pages;
	uint64_t squeeze_ns;
};

/* Hand the cache to the reader, have it read everything in several passes, and squeeze meanwhile.
 * 0, or a negative errno: -EINTR after Ctrl-C, -ECONNRESET if the reader is gone. */
int server_run(struct server *server);

#endif /* FILECACHE_SERVER_H */
