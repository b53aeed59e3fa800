/* SPDX-License-Identifier: MIT */
/*
 * Calls on areas whose shared state may say anything. Nobody can say what the right answer is then,
 * but only the answers that the headers name are allowed, and every call comes back and touches
 * nothing but the area.
 */
#ifndef TESTS_SUPPORT_HOSTILE_H
#define TESTS_SUPPORT_HOSTILE_H

#include <ashmem/ashmem.h>

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

/*
 * Make every call on an area once, with good arguments. Returns 1 at the first call that answers
 * ETIMEDOUT, because every further one can take as long, else 0.
 */
int exercise_area(struct ashmem_area *area);

/* How many of its calls have answered EUCLEAN in this process. */
extern int damage_reports;

#endif
