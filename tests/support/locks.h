/* SPDX-License-Identifier: MIT */
/* What the tests of the lock share: memory with a lock in it, waiters, and what a dead owner
 * leaves. */
#ifndef TESTS_SUPPORT_LOCKS_H
#define TESTS_SUPPORT_LOCKS_H

#include "support/children.h"

#include <stdint.h>

/* What processes share: words, what the first one guards, and gates. */
struct shared {
	uint32_t word, other_word;
	uint64_t a, b; /* equal whenever the lock is free */
	struct gate locked, go;
	uint32_t generation[3];
};

struct shared *shared_begin(void);
void shared_end(struct shared *shared);

void nap(unsigned milliseconds);

/* What the kernel would look at if this thread died now. */
void *pending_word(void);

/* The thread id in a word. */
uint32_t owner_of(const uint32_t *word);

/* End the test as skipped where the kernel tells nobody of dead owners: emulators of user programs.
 */
void skip_without_owner_death(void);

/* The next owner learns of the death, at once, and the lock works as before. */
void expect_owner_died(struct shared *shared);

/* For child_start(): say so by `locked`, wait for the lock, and exit with 2 while holding it. */
void wait_in_child(void *shared);

/* For pthread_create(): wait for the lock, note the result and the time, release it. */
struct waiter {
	struct shared *shared;
	int result;
	double at;
};
void *wait_in_thread(void *waiter);

#endif
