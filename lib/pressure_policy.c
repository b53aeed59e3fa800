/* SPDX-License-Identifier: MIT */
/*
 * Levels and amounts; the rules are in pressure_policy.h.
 */
#include <ashmem/pressure.h>

#include "pressure_policy.h"

#define MIB ((uint64_t)1 << 20)

uint64_t pressure_threshold(uint64_t limit_bytes, uint32_t level)
{
	/* A share of a small limit, a fixed amount below a large one: a quarter of 64 GiB is not pressure. */
	uint64_t share = limit_bytes >> (level + 1);
	uint64_t most = (1024 * MIB) >> level;

	return share < most ? share : most;
}

uint64_t pressure_relief(uint64_t limit_bytes, uint32_t level)
{
	uint64_t threshold = pressure_threshold(limit_bytes, level);

	return threshold + threshold / 4;
}

static uint32_t level_of_headroom(uint32_t before, const struct pressure_observation *o)
{
	uint32_t level = ASHMEM_PRESSURE_NONE;

	if (!o->headroom_known)
		return ASHMEM_PRESSURE_NONE;
	for (uint32_t l = ASHMEM_PRESSURE_SOME; l <= ASHMEM_PRESSURE_CRITICAL; l++) {
		int begins = o->free_bytes < pressure_threshold(o->limit_bytes, l);
		int lasts = before >= l && o->free_bytes < pressure_relief(o->limit_bytes, l);
		if (begins || lasts)
			level = l;
	}
	return level;
}

/* Rule 1. */
static uint32_t level_held(struct pressure_policy *policy, uint32_t observed, uint64_t now_ns,
	uint64_t hold_ns)
{
	uint32_t level = observed;

	for (uint32_t l = ASHMEM_PRESSURE_SOME; l <= ASHMEM_PRESSURE_CRITICAL; l++) {
		if (observed >= l)
			policy->seen_ns[l] = now_ns;
		else if (policy->level >= l && now_ns - policy->seen_ns[l] < hold_ns)
			level = l;
	}
	return level;
}

/* Rule 4. */
static uint64_t pages_needed(const struct pressure_observation *o)
{
	uint64_t goal = pressure_relief(o->limit_bytes, ASHMEM_PRESSURE_SOME);

	if (goal <= o->free_bytes)
		return 0;
	return (goal - o->free_bytes + o->page_bytes - 1) / o->page_bytes;
}

/* Rule 5. */
static uint64_t pages_shared(struct pressure_policy *policy, const struct pressure_settings *settings,
	const struct pressure_observation *o)
{
	uint64_t percent = settings->percent[o->stall_level];

	if (percent == 0)
		return 0;
	if (policy->steps > 0 && o->stall_level <= policy->step_level &&
		o->now_ns - policy->step_ns < settings->step_ns)
		return 0;
	percent <<= policy->steps < 7 ? policy->steps : 7;
	policy->steps++;
	policy->step_level = o->stall_level;
	policy->step_ns = o->now_ns;
	if (percent >= 100)
		return o->evictable_pages;
	/* Divided first, so that nothing overflows; rounded up, so that something goes. */
	return o->evictable_pages / 100 * percent + (o->evictable_pages % 100 * percent + 99) / 100;
}

void pressure_decide(struct pressure_policy *policy, const struct pressure_settings *settings,
	const struct pressure_observation *o, struct pressure_decision *decision)
{
	uint64_t pages = 0;

	policy->headroom_level = level_of_headroom(policy->headroom_level, o);
	decision->by_headroom = policy->headroom_level > ASHMEM_PRESSURE_NONE &&
				policy->headroom_level >= o->stall_level;
	decision->observed = decision->by_headroom ? policy->headroom_level : o->stall_level;
	decision->level = policy->level =
		level_held(policy, decision->observed, o->now_ns, settings->hold_ns);
	if (policy->level == ASHMEM_PRESSURE_NONE)
		policy->steps = 0;
	if (policy->headroom_level > ASHMEM_PRESSURE_NONE && settings->percent[decision->observed] > 0)
		pages = pages_needed(o);
	if (o->stall_level > ASHMEM_PRESSURE_NONE && !decision->by_headroom) {
		uint64_t share = pages_shared(policy, settings, o);
		if (share > pages)
			pages = share;
	}
	decision->purge_pages = pages < o->evictable_pages ? pages : o->evictable_pages;
}
