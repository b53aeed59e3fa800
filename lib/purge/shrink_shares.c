/* SPDX-License-Identifier: MIT */
/*
 * The division; its rules are in shrink_shares.h.
 */
#include <stddef.h>

#include "purge/shrink_shares.h"

/* Weights count in these, so that a costly page still has one: seeks are at most SCALE - 1. */
#define SCALE 65536u
/* More pages than any system has; SHRINK_SHARES_MAX weights of so many, scaled, stay below 2^62. */
#define COUNT_MAX ((uint64_t)1 << 38)
/* A page in the units of `carry`. */
#define ONE ((int64_t)1 << 32)

/* 0: it takes no part in this class. */
static uint64_t weight_of(const struct shrink_share *share, int is_free)
{
	uint64_t count = share->count < COUNT_MAX ? share->count : COUNT_MAX;

	if ((share->seeks == 0) != is_free)
		return 0;
	return is_free ? count : count * SCALE / share->seeks;
}

/*
 * a * b / c, and in `*fraction` what is left, in units of 2^-32. b <= c, 0 < c < 2^62. Bit by bit:
 * no type holds a * b everywhere.
 */
static uint64_t part_of(uint64_t a, uint64_t b, uint64_t c, int64_t *fraction)
{
	uint64_t whole = 0, rest = 0, bits = 0;

	for (int i = 63; i >= 0; i--) {
		whole <<= 1;
		rest = rest * 2 + ((a >> i) & 1 ? b : 0);
		for (; rest >= c; rest -= c)
			whole++;
	}
	for (int i = 0; i < 32; i++) {
		rest *= 2;
		bits = bits * 2 + (rest >= c);
		rest -= rest >= c ? c : 0;
	}
	*fraction = (int64_t)bits;
	return whole;
}

/* The exact part with what was carried, cut to whole pages. */
static void give_whole_pages(struct shrink_share *share, uint64_t want, uint64_t weight,
	uint64_t weights)
{
	int64_t fraction;

	share->pages = part_of(want, weight, weights, &fraction);
	share->carry += fraction;
	share->rounded = 0;
	if (share->carry >= ONE) {
		share->pages++;
		share->carry -= ONE;
	} else if (share->carry < 0 && share->pages > 0) {
		share->pages--;
		share->carry += ONE;
	}
	if (share->pages > share->count) {
		share->pages = share->count;
		share->carry = 0;
	}
}

/*
 * The one to get a page more (`step` 1: the largest remainder) or less (-1: the smallest); the
 * first among equals. NULL: none.
 */
static struct shrink_share *next_to_change(struct shrink_share *shares, unsigned count, int is_free,
	int step)
{
	struct shrink_share *best = NULL;

	for (unsigned i = 0; i < count; i++) {
		struct shrink_share *share = &shares[i];
		if (!weight_of(share, is_free) || share->rounded ||
			(step > 0 ? share->pages >= share->count : share->pages == 0))
			continue;
		if (!best || (step > 0 ? share->carry > best->carry : share->carry < best->carry))
			best = share;
	}
	return best;
}

/*
 * One page more or less. Nobody owes or is owed as much as a page, so that all stay in the running.
 */
static void change(struct shrink_share *share, int step)
{
	share->rounded = 1;
	share->pages += (uint64_t)step;
	share->carry -= step * ONE;
	if (share->carry <= -ONE)
		share->carry = 1 - ONE;
	if (share->carry >= ONE)
		share->carry = ONE - 1;
}

static uint64_t divide_class(struct shrink_share *shares, unsigned count, uint64_t want,
	int is_free)
{
	uint64_t weights = 0, counts = 0, given = 0;
	struct shrink_share *changed;

	for (unsigned i = 0; i < count; i++) {
		uint64_t weight = weight_of(&shares[i], is_free);
		weights += weight;
		if (weight && __builtin_add_overflow(counts, shares[i].count, &counts))
			counts = UINT64_MAX;
	}
	if (weights == 0)
		return 0;
	if (want >= counts) { /* all of it */
		for (unsigned i = 0; i < count; i++) {
			if (!weight_of(&shares[i], is_free))
				continue;
			shares[i].pages = shares[i].count;
			shares[i].carry = 0;
		}
		return counts;
	}
	for (unsigned i = 0; i < count; i++) {
		uint64_t weight = weight_of(&shares[i], is_free);
		if (!weight)
			continue;
		give_whole_pages(&shares[i], want, weight, weights);
		given += shares[i].pages;
	}
	/* Rounding leaves less than a page each; what counts have cut off is for the next round. */
	for (unsigned i = 0; i < count && given != want; i++) {
		int step = given < want ? 1 : -1;
		changed = next_to_change(shares, count, is_free, step);
		if (!changed)
			break;
		change(changed, step);
		given += (uint64_t)step;
	}
	return given;
}

uint64_t shrink_shares_divide(struct shrink_share *shares, unsigned count, uint64_t want)
{
	for (unsigned i = 0; i < count; i++)
		shares[i].pages = 0;
	uint64_t given = divide_class(shares, count, want, 1);
	if (given < want)
		given += divide_class(shares, count, want - given, 0);
	return given;
}
