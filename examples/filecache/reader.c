/* SPDX-License-Identifier: MIT */
/*
 * The second process: uses the cache, and checks it.
 *
 * In each pass it visits every file once, in random order. Every other pass has a squeeze; after it
 * the reader waits for that, should it have been faster, so that each squeeze is felt.
 */
#include "reader.h"
#include "server.h"
#include "system.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void shuffle(size_t *order, size_t count, uint64_t *random)
{
	for (size_t i = 0; i < count; i++) {
		size_t j = (size_t)(system_random(random) % (i + 1));

		order[i] = order[j];
		order[j] = i;
	}
}

static void wait_for_squeeze(const struct cache *cache, uint64_t squeezes)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	while (atomic_load(&cache->counts->squeezes) < squeezes)
		nanosleep(&nap, NULL);
}

static int read_all(struct cache *cache, size_t *order, uint64_t passes, uint64_t random)
{
	size_t count = cache->catalog->files.count;

	for (uint64_t pass = 0; pass < passes; pass++) {
		shuffle(order, count, &random);
		for (size_t i = 0; i < count; i++) {
			int error = cache_visit(cache, order[i]);
			if (error)
				return error;
		}
		wait_for_squeeze(cache, (pass + 1) / PASSES_PER_SQUEEZE);
	}
	return 0;
}

int reader_run(struct cache *cache, uint64_t passes, uint64_t seed)
{
	size_t *order = calloc(cache->catalog->files.count + 1, sizeof(*order));
	/* Ctrl-C reaches both processes; the server decides, and ends us. */
	int error = signal(SIGINT, SIG_IGN) != SIG_ERR && order
		? read_all(cache, order, passes, seed)
		: -ENOMEM;

	if (error)
		fprintf(stderr, "filecache: reader: %s\n", strerror(-error));
	free(order);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
