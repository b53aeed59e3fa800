/* SPDX-License-Identifier: MIT */
/* A small generator of random numbers: see random.h. */
#include "support/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct random_source random_from(uint64_t seed)
{
	struct random_source source = {seed * 2 + 1};
	int i;

	for (i = 0; i < 4; i++)
		random_next(&source);
	return source;
}

uint64_t random_next(struct random_source *source)
{
	source->state ^= source->state >> 12;
	source->state ^= source->state << 25;
	source->state ^= source->state >> 27;
	return (source->state * UINT64_C(0x2545f4914f6cdd1d)) >> 8;
}

uint64_t random_below(struct random_source *source, uint64_t limit)
{
	return random_next(source) % limit;
}

uint64_t test_seed(const char *what)
{
	const char *text = getenv("ASHMEM_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0)
			     : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;

	fprintf(stderr, "%s: ASHMEM_TEST_SEED=%" PRIu64 "\n", what, seed);
	return seed;
}
