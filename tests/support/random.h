/* SPDX-License-Identifier: MIT */
/* Random numbers for tests, the same everywhere for one seed, and the seed of a run. */
#ifndef TESTS_SUPPORT_RANDOM_H
#define TESTS_SUPPORT_RANDOM_H

#include <stdint.h>

/* A small generator, the same everywhere: xorshift64*, never seeded with 0. */
struct random_source {
	uint64_t state;
};

struct random_source random_from(uint64_t seed);
uint64_t random_next(struct random_source *source);
uint64_t random_below(struct random_source *source, uint64_t limit);

/*
 * The seed of this run: ASHMEM_TEST_SEED, else the time. Printed to stderr with `what`, so that a
 * failure can be repeated.
 */
uint64_t test_seed(const char *what);

#endif
