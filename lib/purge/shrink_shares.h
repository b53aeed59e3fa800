/* SPDX-License-Identifier: MIT */
/*
 * Sharing out the pages that a shrink wants among shrinkers, by what they could free and what it
 * costs: the formula of <ashmem/shrinker.h>. Arithmetic alone: no lock, no callback, no floating
 * point, so that it is the same everywhere.
 *
 * 1. What costs nothing is shared out first, in proportion to counts; the rest among the others, in
 *    proportion to count / seeks.
 * 2. No share is above its count. The sum is what is wanted or less; it is not 0 if something is
 *    wanted and counted.
 * 3. Shares are whole pages. What a share lacks or has too much is carried into the next division.
 */
#ifndef ASHMEM_LIB_PURGE_SHRINK_SHARES_H
#define ASHMEM_LIB_PURGE_SHRINK_SHARES_H

#include <stdint.h>

/* Most that can be divided among: the bounds of the arithmetic. */
#define SHRINK_SHARES_MAX 256
#define SHRINK_SHARES_SEEKS_MAX 65535

struct shrink_share {
	uint64_t count; /* pages that could be freed */
	uint32_t seeks; /* the cost of one; 0: nothing; at most SHRINK_SHARES_SEEKS_MAX */
	uint64_t pages; /* out: the share */
	int64_t carry;  /* in and out: what is owed, in units of 2^-32 pages; 0 at first */
	int rounded;    /* inside: one page more or less than the exact part, cut to pages */
};

/* Share out at most `want` pages; the sum of the shares. */
uint64_t shrink_shares_divide(struct shrink_share *shares, unsigned count, uint64_t want);

#endif /* ASHMEM_LIB_PURGE_SHRINK_SHARES_H */
