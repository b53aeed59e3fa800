/* SPDX-License-Identifier: MIT */
/*
 * A crash at every store of an operation on a range list.
 *
 * A child does the operation one instruction at a time. Whenever the shared memory has changed, it
 * is copied, and range_recover() runs on the copy: the list is then valid, and is either what it
 * was before the operation or what it is after it. Another view of the copy, which remembers the
 * list from before, as a living process would, sees the same and can do the operation.
 */
#ifndef TESTS_SUPPORT_RANGE_CRASH_H
#define TESTS_SUPPORT_RANGE_CRASH_H

#include "support/range_arena.h"

/*
 * Crash `operate` everywhere; it must not draw random numbers. `before` is given up. After every
 * `again_every` stores (0: never) the recovery is crashed everywhere as well.
 */
void crash_everywhere(struct arena *before, void (*operate)(struct range_list *list),
	uint64_t again_every);

#endif
