/* SPDX-License-Identifier: MIT */
/*
 * Levels and amounts; the rules are in policy.h.
 */
#include <ashmem/pressure.h>

#include "pressure/policy.h"

#define WARY_PERCENT 25
/* Of that: with a half, a cache that nearly fits was purged twice as much as needed. */
#define CALM_PART 3
#define CALM_LEAST ((uint64_t)4 << 20) /* bursts are no slower where the limit is small */
/* Of the calm reserve, where exceeding the limit only slows down. */
#define SOFT_PART 4
#define SOFT_LEAST ((uint64_t)1 << 20)
#define RESERVE_MOST ((uint64_t)512 << 20)

static uint64_t at_most(uint64_t value, uint64_t most)
{
	return value < most ? value : most;
}

/*
 * A share of a small limit, a fixed amount below a large one: a quarter of 64 GiB is not pressure.
 */
uint64_t policy_reserve(const struct pressure_settings *settings, uint64_t limit_bytes, int is_wary)
{
	uint32_t percent = settings->reserve_percent ? settings->reserve_percent : WARY_PERCENT;
	uint64_t most = settings->reserve_most_bytes ? settings->reserve_most_bytes : RESERVE_MOST;
	uint64_t share = limit_bytes / 100 * percent + limit_bytes % 100 * percent / 100;
	uint64_t reserve = share < most ? share : most;

	if (is_wary || settings->reserve_percent || reserve < CALM_LEAST)
		return reserve;
	return reserve / CALM_PART > CALM_LEAST ? reserve / CALM_PART : CALM_LEAST;
}

uint64_t policy_soft_reserve(const struct pressure_settings *settings, uint64_t limit_bytes)
{
	uint64_t reserve = policy_reserve(settings, limit_bytes, 0);

	if (settings->reserve_percent)
		return reserve;
	return reserve / SOFT_PART > SOFT_LEAST ? reserve / SOFT_PART
						: at_most(reserve, SOFT_LEAST);
}

uint64_t policy_level_begins(uint64_t reserve_bytes, uint32_t level)
{
	return reserve_bytes >> (level - ASHMEM_PRESSURE_SOME);
}

uint64_t policy_level_ends(uint64_t reserve_bytes, uint32_t level)
{
	uint64_t threshold = policy_level_begins(reserve_bytes, level);

	return threshold + threshold / 4;
}

/* How much of the reserve was taken since the last look. */
static uint64_t taken_since(const struct pressure_policy *policy, uint64_t free_bytes,
	uint64_t reserve_bytes)
{
	uint64_t before = reserve_bytes;

	if (policy->has_looked && policy->free_bytes < before)
		before = policy->free_bytes;
	return before > free_bytes ? before - free_bytes : 0;
}

/* Shared memory became less, and not by this process: others purge, so they find the limit near. */
static int others_purge(const struct pressure_policy *policy, const struct pressure_observation *o,
	uint64_t calm)
{
	return policy->shared_bytes > o->shared_bytes && o->shared_bytes > 0 &&
		policy->shared_bytes - o->shared_bytes > calm / 8;
}

/* Rule 7: a calm reserve, or half of it. */
static uint64_t yielding(struct pressure_policy *policy, const struct pressure_observation *o,
	uint64_t calm)
{
	uint64_t half = calm / 2 > CALM_LEAST ? calm / 2 : CALM_LEAST;

	if (half >= calm)
		return calm;
	if (o->free_bytes < half || taken_since(policy, o->free_bytes, calm) > calm / 4 ||
		others_purge(policy, o, calm))
		policy->whole_until_ns = o->now_ns + PRESSURE_WHOLE_NS;
	return o->now_ns < policy->whole_until_ns ? calm : half;
}

/* Rules 6 to 8: what is kept free now. */
static uint64_t adapt(struct pressure_policy *policy, const struct pressure_settings *settings,
	const struct pressure_observation *o)
{
	uint64_t calm = policy_reserve(settings, o->limit_bytes, 0);
	uint64_t wary = policy_reserve(settings, o->limit_bytes, 1);
	int is_wary = o->now_ns < policy->wary_until_ns;

	if (o->is_soft)
		return policy_soft_reserve(settings, o->limit_bytes);
	if (calm >= wary || o->is_system)
		return wary;
	if (taken_since(policy, o->free_bytes, is_wary ? wary : calm) > calm / 2) {
		policy->bursts += !is_wary;
		policy->wary_until_ns = o->now_ns + PRESSURE_WARY_NS;
		policy->whole_until_ns = policy->wary_until_ns + PRESSURE_WHOLE_NS;
		is_wary = 1;
	}
	return is_wary ? wary : yielding(policy, o, calm);
}

static uint64_t reserve_now(struct pressure_policy *policy,
	const struct pressure_settings *settings, const struct pressure_observation *o)
{
	if (!o->headroom_known)
		return 0;
	uint64_t reserve_bytes = adapt(policy, settings, o);
	policy->has_looked = 1;
	policy->free_bytes = o->free_bytes;
	if (policy->shared_bytes < o->shared_bytes)
		policy->shared_bytes = o->shared_bytes;
	return reserve_bytes;
}

static uint32_t level_of_headroom(uint32_t before, const struct pressure_observation *o,
	uint64_t reserve_bytes)
{
	uint32_t level = ASHMEM_PRESSURE_NONE;

	if (!o->headroom_known)
		return ASHMEM_PRESSURE_NONE;
	for (uint32_t l = ASHMEM_PRESSURE_SOME; l <= ASHMEM_PRESSURE_CRITICAL; l++) {
		int begins = o->free_bytes < policy_level_begins(reserve_bytes, l);
		int lasts = before >= l && o->free_bytes < policy_level_ends(reserve_bytes, l);
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

/* Rule 4: pages until a level has ended. */
static uint64_t pages_needed(const struct pressure_observation *o, uint64_t reserve_bytes,
	uint32_t level)
{
	uint64_t goal = policy_level_ends(reserve_bytes, level);

	if (goal <= o->free_bytes)
		return 0;
	return (goal - o->free_bytes + o->page_bytes - 1) / o->page_bytes;
}

/* Rule 5. */
static uint64_t pages_shared(struct pressure_policy *policy,
	const struct pressure_settings *settings, const struct pressure_observation *o)
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
	/* Divided first, so that nothing overflows; rounded up, so that a page is purged. */
	return o->evictable_pages / 100 * percent + (o->evictable_pages % 100 * percent + 99) / 100;
}

/* Rules 2, 4 and 6. The pages may be more than there are. */
static void decide_by_headroom(struct pressure_policy *policy, uint32_t *before,
	const struct pressure_settings *settings, const struct pressure_observation *o,
	struct pressure_decision *decision)
{
	uint64_t reserve_bytes = reserve_now(policy, settings, o);
	/* Others are at it: take part until it is over, though they may have ended the worst. */
	if (*before == ASHMEM_PRESSURE_NONE && others_purge(policy, o, reserve_bytes))
		*before = ASHMEM_PRESSURE_SOME;
	uint32_t level = level_of_headroom(*before, o, reserve_bytes);

	*before = level;
	decision->reserve_bytes = reserve_bytes;
	decision->by_headroom = level > ASHMEM_PRESSURE_NONE && level >= o->stall_level;
	decision->observed = decision->by_headroom ? level : o->stall_level;
	decision->purge_pages = decision->urgent_pages = 0;
	decision->shared_pages = o->page_bytes ? o->shared_bytes / o->page_bytes : 0;
	if (level == ASHMEM_PRESSURE_NONE || settings->percent[decision->observed] == 0)
		return;
	decision->purge_pages = pages_needed(o, reserve_bytes, ASHMEM_PRESSURE_SOME);
	decision->urgent_pages = pages_needed(o, reserve_bytes, ASHMEM_PRESSURE_HIGH);
}

uint64_t policy_part(const struct pressure_decision *decision, uint64_t evictable_pages)
{
	uint64_t all = at_most(decision->purge_pages, evictable_pages);
	uint64_t urgent = at_most(decision->urgent_pages, all), rest = all - urgent;

	if (evictable_pages >= decision->shared_pages / 2)
		return all;
	/* Less than half of shared_pages each, so their product fits where memory is real. */
	return urgent +
		(rest * 2 * evictable_pages + decision->shared_pages - 1) / decision->shared_pages;
}

void policy_purged(struct pressure_policy *policy)
{
	policy->shared_bytes = 0;
}

int64_t policy_room(const struct pressure_observation *o, uint64_t reserve_bytes, uint64_t bytes)
{
	if (bytes > o->limit_bytes)
		return -1;
	/* Where both do not fit, what is asked for comes before the reserve. */
	uint64_t room = o->limit_bytes - bytes;
	uint64_t goal = bytes + (reserve_bytes < room ? reserve_bytes : room);
	if (goal <= o->free_bytes)
		return 0;
	return (int64_t)((goal - o->free_bytes + o->page_bytes - 1) / o->page_bytes);
}

void policy_decide_by_headroom(struct pressure_policy *policy,
	const struct pressure_settings *settings, const struct pressure_observation *o,
	struct pressure_decision *decision)
{
	decide_by_headroom(policy, &policy->relief_level, settings, o, decision);
	decision->level = policy->level;
	decision->purge_pages = at_most(decision->purge_pages, o->evictable_pages);
}

void policy_decide(struct pressure_policy *policy, const struct pressure_settings *settings,
	const struct pressure_observation *o, struct pressure_decision *decision)
{
	uint64_t pages = 0;

	decide_by_headroom(policy, &policy->headroom_level, settings, o, decision);
	if (policy->headroom_level > ASHMEM_PRESSURE_NONE &&
		policy->relief_level == ASHMEM_PRESSURE_NONE)
		policy->relief_level = ASHMEM_PRESSURE_SOME;
	decision->level = policy->level =
		level_held(policy, decision->observed, o->now_ns, settings->hold_ns);
	if (policy->level == ASHMEM_PRESSURE_NONE)
		policy->steps = 0;
	if (o->stall_level > ASHMEM_PRESSURE_NONE && !decision->by_headroom)
		pages = pages_shared(policy, settings, o);
	if (pages < decision->purge_pages)
		pages = decision->purge_pages;
	decision->purge_pages = at_most(pages, o->evictable_pages);
}
