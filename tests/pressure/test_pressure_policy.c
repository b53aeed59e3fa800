/* SPDX-License-Identifier: MIT */
/*
 * The policy alone: levels and amounts as a function of what is observed when.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"

#include <ashmem/ashmem.h>

#include "pressure/policy.h"

#define MIB ((uint64_t)1 << 20)
#define MS ((uint64_t)1000000)

static const struct pressure_settings settings = {.percent = {0, 6, 25, 50},
	.hold_ns = 1000 * MS,
	.step_ns = 100 * MS,
	.reserve_percent = 25};

/* The reserve adapts. */
static const struct pressure_settings adapting = {
	.percent = {0, 6, 25, 50}, .hold_ns = 1000 * MS, .step_ns = 100 * MS};

/* Stalls of a level at a time, with 1000 pages to purge. */
static struct pressure_decision stalled(struct pressure_policy *policy, uint64_t now_ms,
	uint32_t level)
{
	struct pressure_observation o = {.now_ns = now_ms * MS,
		.stall_level = level,
		.evictable_pages = 1000,
		.page_bytes = 4096};
	struct pressure_decision decision;

	policy_decide(policy, &settings, &o, &decision);
	return decision;
}

/* So much free of 96 MiB, at a time. */
static struct pressure_decision left_with(const struct pressure_settings *with, int must_poll,
	struct pressure_policy *policy, uint64_t now_ms, uint64_t free_bytes)
{
	struct pressure_observation o = {.now_ns = now_ms * MS,
		.headroom_known = 1,
		.free_bytes = free_bytes,
		.limit_bytes = 96 * MIB,
		.must_poll = must_poll,
		.evictable_pages = 1000000,
		.page_bytes = 4096};
	struct pressure_decision decision;

	policy_decide(policy, with, &o, &decision);
	return decision;
}

static struct pressure_decision left(struct pressure_policy *policy, uint64_t now_ms,
	uint64_t free_bytes)
{
	return left_with(&settings, 0, policy, now_ms, free_bytes);
}

CONTRACT_TEST(pressure_policy, thresholds_are_shares_of_small_limits_and_amounts_of_large_ones)
{
	const struct pressure_settings bounded = {.reserve_percent = 50, .reserve_most_bytes = MIB};

	expect_eq(policy_reserve(&settings, 96 * MIB, 0), 24 * MIB);
	expect_eq(policy_reserve(&settings, 96 * MIB, 1), 24 * MIB);
	expect_eq(policy_reserve(&settings, (uint64_t)1 << 40, 0), 512 * MIB);
	expect_eq(policy_reserve(&settings, UINT64_MAX, 0), 512 * MIB);
	expect_eq(policy_reserve(&bounded, 96 * MIB, 0), MIB);
	expect_eq(policy_reserve(&bounded, MIB + 2, 0), MIB / 2 + 1);
	expect_eq(policy_level_begins(24 * MIB, ASHMEM_PRESSURE_SOME), 24 * MIB);
	expect_eq(policy_level_begins(24 * MIB, ASHMEM_PRESSURE_HIGH), 12 * MIB);
	expect_eq(policy_level_begins(24 * MIB, ASHMEM_PRESSURE_CRITICAL), 6 * MIB);
	expect_eq(policy_level_ends(24 * MIB, ASHMEM_PRESSURE_SOME), 30 * MIB);
}

CONTRACT_TEST(pressure_policy,
	a_reserve_that_adapts_is_a_third_while_calm_and_no_less_than_bursts_take)
{
	const struct pressure_settings bounded = {.reserve_most_bytes = 9 * MIB};

	expect_eq(policy_reserve(&adapting, 96 * MIB, 0), 8 * MIB);
	expect_eq(policy_reserve(&adapting, 96 * MIB, 1), 24 * MIB);
	expect_eq(policy_reserve(&adapting, (uint64_t)1 << 40, 0), 512 * MIB / 3);
	expect_eq(policy_reserve(&adapting, 24 * MIB, 0), 4 * MIB);
	expect_eq(policy_reserve(&adapting, 24 * MIB, 1), 6 * MIB);
	expect_eq(policy_reserve(&adapting, 12 * MIB, 0), 3 * MIB);
	expect_eq(policy_reserve(&bounded, 96 * MIB, 0), 4 * MIB);
	expect_eq(policy_reserve(&bounded, 96 * MIB, 1), 9 * MIB);
}

CONTRACT_TEST(pressure_policy, nothing_observed_is_no_pressure)
{
	struct pressure_policy policy = {.level = 0};
	struct pressure_decision decision = stalled(&policy, 0, ASHMEM_PRESSURE_NONE);

	expect_eq(decision.level, ASHMEM_PRESSURE_NONE);
	expect_eq(decision.purge_pages, 0);
}

CONTRACT_TEST(pressure_policy, level_rises_at_once_and_falls_after_the_hold)
{
	struct pressure_policy policy = {.level = 0};

	expect_eq(stalled(&policy, 0, ASHMEM_PRESSURE_CRITICAL).level, ASHMEM_PRESSURE_CRITICAL);
	expect_eq(stalled(&policy, 500, ASHMEM_PRESSURE_SOME).level, ASHMEM_PRESSURE_CRITICAL);
	expect_eq(stalled(&policy, 999, ASHMEM_PRESSURE_NONE).level, ASHMEM_PRESSURE_CRITICAL);
	/* The critical second is over, not that of "some". */
	expect_eq(stalled(&policy, 1000, ASHMEM_PRESSURE_NONE).level, ASHMEM_PRESSURE_SOME);
	expect_eq(stalled(&policy, 1499, ASHMEM_PRESSURE_NONE).level, ASHMEM_PRESSURE_SOME);
	expect_eq(stalled(&policy, 1500, ASHMEM_PRESSURE_NONE).level, ASHMEM_PRESSURE_NONE);
}

CONTRACT_TEST(pressure_policy, a_level_that_flickers_is_told_once)
{
	struct pressure_policy policy = {.level = 0};
	uint32_t level = 0;
	int changes = 0;

	for (uint64_t ms = 0; ms < 10000; ms += 50) {
		uint32_t now = stalled(&policy, ms, ms / 50 % 2).level;
		changes += now != level;
		level = now;
	}
	expect_eq(changes, 1);
}

CONTRACT_TEST(pressure_policy, purging_follows_what_is_observed_and_not_the_held_level)
{
	struct pressure_policy policy = {.level = 0};

	expect_eq(stalled(&policy, 0, ASHMEM_PRESSURE_HIGH).purge_pages, 250);
	expect_eq(stalled(&policy, 500, ASHMEM_PRESSURE_NONE).purge_pages, 0);
}

CONTRACT_TEST(pressure_policy, lasting_pressure_gets_twice_as_much_each_step)
{
	struct pressure_policy policy = {.level = 0};
	uint64_t want[] = {60, 120, 240, 480, 960, 1000, 1000, 1000, 1000, 1000};

	for (int i = 0; i < 10; i++) {
		expect_eq(stalled(&policy, (uint64_t)i * 100, ASHMEM_PRESSURE_SOME).purge_pages,
			want[i]);
		expect_eq(stalled(&policy, (uint64_t)i * 100 + 99, ASHMEM_PRESSURE_SOME)
				  .purge_pages,
			0);
	}
	/* Once it was over, it begins anew. */
	expect_eq(stalled(&policy, 5000, ASHMEM_PRESSURE_NONE).level, ASHMEM_PRESSURE_NONE);
	expect_eq(stalled(&policy, 5100, ASHMEM_PRESSURE_SOME).purge_pages, 60);
}

CONTRACT_TEST(pressure_policy, a_rising_level_does_not_wait_for_the_next_step)
{
	struct pressure_policy policy = {.level = 0};

	expect_eq(stalled(&policy, 0, ASHMEM_PRESSURE_SOME).purge_pages, 60);
	expect_eq(stalled(&policy, 1, ASHMEM_PRESSURE_CRITICAL).purge_pages, 1000);
	expect_eq(stalled(&policy, 2, ASHMEM_PRESSURE_CRITICAL).purge_pages, 0);
}

CONTRACT_TEST(pressure_policy, a_share_is_rounded_up_and_cannot_overflow)
{
	struct pressure_observation o = {
		.stall_level = ASHMEM_PRESSURE_SOME, .evictable_pages = 1, .page_bytes = 4096};
	struct pressure_policy first = {.level = 0}, second = {.level = 0};
	struct pressure_decision decision;

	policy_decide(&first, &settings, &o, &decision);
	expect_eq(decision.purge_pages, 1);
	o.evictable_pages = UINT64_MAX;
	policy_decide(&second, &settings, &o, &decision);
	expect(decision.purge_pages / 6 > UINT64_MAX / 101 &&
		decision.purge_pages / 7 < UINT64_MAX / 100);
}

CONTRACT_TEST(pressure_policy, headroom_says_exactly_how_much)
{
	struct pressure_policy policy = {.level = 0};
	struct pressure_decision decision = left(&policy, 0, 24 * MIB);

	expect_eq(decision.observed, ASHMEM_PRESSURE_NONE);
	expect_eq(decision.purge_pages, 0);
	decision = left(&policy, 1, 24 * MIB - 1);
	expect_eq(decision.observed, ASHMEM_PRESSURE_SOME);
	expect(decision.by_headroom);
	expect_eq(decision.purge_pages, 6 * MIB / 4096 + 1);
	/* What was freed was used by others: the rest goes at once, and no more than that. */
	decision = left(&policy, 2, 29 * MIB);
	expect_eq(decision.observed, ASHMEM_PRESSURE_SOME);
	expect_eq(decision.purge_pages, MIB / 4096);
	decision = left(&policy, 3, 30 * MIB);
	expect_eq(decision.observed, ASHMEM_PRESSURE_NONE);
	expect_eq(decision.purge_pages, 0);
	/* Hysteresis: it began below 24 and ended at 30; now it takes less than 24 again. */
	expect_eq(left(&policy, 4, 25 * MIB).observed, ASHMEM_PRESSURE_NONE);
}

CONTRACT_TEST(pressure_policy, headroom_has_all_levels)
{
	struct pressure_policy policy = {.level = 0};

	expect_eq(left(&policy, 0, 12 * MIB - 1).observed, ASHMEM_PRESSURE_HIGH);
	expect_eq(left(&policy, 1, 6 * MIB - 1).observed, ASHMEM_PRESSURE_CRITICAL);
	expect_eq(left(&policy, 2, 7 * MIB).observed, ASHMEM_PRESSURE_CRITICAL);
	expect_eq(left(&policy, 3, 8 * MIB).observed, ASHMEM_PRESSURE_HIGH);
	expect_eq(left(&policy, 4, 15 * MIB).observed, ASHMEM_PRESSURE_SOME);
	expect_eq(left(&policy, 5, 0).purge_pages, 30 * MIB / 4096);
}

CONTRACT_TEST(pressure_policy, never_more_is_asked_for_than_can_be_purged)
{
	struct pressure_observation o = {.headroom_known = 1,
		.free_bytes = 0,
		.limit_bytes = 96 * MIB,
		.evictable_pages = 10,
		.page_bytes = 4096};
	struct pressure_policy policy = {.level = 0};
	struct pressure_decision decision;

	policy_decide(&policy, &settings, &o, &decision);
	expect_eq(decision.purge_pages, 10);
}

CONTRACT_TEST(pressure_policy, a_level_that_purges_nothing_still_counts)
{
	const struct pressure_settings none = {
		.percent = {0, 0, 25, 50}, .hold_ns = 1, .step_ns = 1, .reserve_percent = 25};
	struct pressure_observation o = {.headroom_known = 1,
		.free_bytes = 20 * MIB,
		.limit_bytes = 96 * MIB,
		.stall_level = ASHMEM_PRESSURE_SOME,
		.evictable_pages = 100000,
		.page_bytes = 4096};
	struct pressure_policy policy = {.level = 0};
	struct pressure_decision decision;

	policy_decide(&policy, &none, &o, &decision);
	expect_eq(decision.level, ASHMEM_PRESSURE_SOME);
	expect_eq(decision.purge_pages, 0);
	o.free_bytes = 10 * MIB;
	policy_decide(&policy, &none, &o, &decision);
	expect_eq(decision.purge_pages, 20 * MIB / 4096);
}

CONTRACT_TEST(pressure_policy, the_reserve_grows_with_a_burst_and_shrinks_when_it_is_quiet)
{
	struct pressure_policy policy = {.level = 0};
	struct pressure_decision decision = left_with(&adapting, 0, &policy, 0, 8 * MIB);

	expect_eq(decision.observed, ASHMEM_PRESSURE_NONE);
	/* Noticed in time: what brings it back to the small reserve goes, and a quarter of it. */
	decision = left_with(&adapting, 0, &policy, 100, 4 * MIB);
	expect_eq(decision.reserve_bytes, 8 * MIB);
	expect_eq(decision.purge_pages, 6 * MIB / 4096);
	expect_eq(policy.bursts, 0);
	/* More than half of it was gone before anybody looked. */
	expect_eq(left_with(&adapting, 0, &policy, 150, 10 * MIB).purge_pages, 0);
	decision = left_with(&adapting, 0, &policy, 200, 4 * MIB - 1);
	expect_eq(decision.reserve_bytes, 24 * MIB);
	expect_eq(decision.observed, ASHMEM_PRESSURE_CRITICAL);
	expect_eq(decision.purge_pages, 26 * MIB / 4096 + 1);
	expect_eq(policy.bursts, 1);
	/* As deep a dip again: it stays. A shallow one does not make it last. */
	expect_eq(left_with(&adapting, 0, &policy, 300, 30 * MIB).reserve_bytes, 24 * MIB);
	expect_eq(left_with(&adapting, 0, &policy, 2000, 20 * MIB - 1).reserve_bytes, 24 * MIB);
	expect_eq(left_with(&adapting, 0, &policy, 3999, 20 * MIB).reserve_bytes, 24 * MIB);
	expect_eq(policy.bursts, 1);
	decision = left_with(&adapting, 0, &policy, 4000, 20 * MIB);
	expect_eq(decision.reserve_bytes, 8 * MIB);
	expect_eq(decision.observed, ASHMEM_PRESSURE_NONE);
}

CONTRACT_TEST(pressure_policy, slow_filling_is_no_burst_however_deep_it_gets)
{
	struct pressure_policy policy = {.level = 0};

	for (uint64_t left_mib = 40; left_mib > 0; left_mib--)
		left_with(&adapting, 0, &policy, 40 - left_mib, left_mib * MIB);
	expect_eq(policy.bursts, 0);
}

/* 75 MiB that are pinned and a cache of 16, in 96: it fits. */
CONTRACT_TEST(pressure_policy, a_cache_that_just_fits_is_left_alone)
{
	struct pressure_policy policy = {.level = 0};
	uint64_t purged = 0, ms = 0;

	for (int round = 0; round < 100; round++) {
		uint64_t free_bytes = 21 * MIB;
		for (; free_bytes >= 5 * MIB; free_bytes -= MIB / 2)
			purged += left_with(&adapting, 0, &policy, ms++, free_bytes).purge_pages;
		ms += 1000;
	}
	expect_eq(purged, 0);
	expect_eq(left_with(&adapting, 0, &policy, ms, 5 * MIB).reserve_bytes, 4 * MIB);
}

CONTRACT_TEST(pressure_policy, the_reserve_yields_no_more_once_it_is_touched)
{
	struct pressure_policy policy = {.level = 0};

	expect_eq(left_with(&adapting, 0, &policy, 0, 10 * MIB).reserve_bytes, 4 * MIB);
	expect_eq(left_with(&adapting, 0, &policy, 1, 9 * MIB).reserve_bytes, 4 * MIB);
	/* A cache that does not fit comes to the end of it slowly. */
	for (uint64_t left_mib = 8; left_mib >= 4; left_mib--)
		expect_eq(left_with(&adapting, 0, &policy, 2, left_mib * MIB).purge_pages, 0);
	struct pressure_decision decision = left_with(&adapting, 0, &policy, 3, 4 * MIB - 1);
	expect_eq(decision.reserve_bytes, 8 * MIB);
	expect_eq(decision.purge_pages, 6 * MIB / 4096 + 1);
	expect_eq(left_with(&adapting, 0, &policy, 10002, 8 * MIB).reserve_bytes, 8 * MIB);
	expect_eq(left_with(&adapting, 0, &policy, 10003, 8 * MIB).reserve_bytes, 4 * MIB);
	/* What comes fast meets all of it. */
	expect_eq(left_with(&adapting, 0, &policy, 10004, 6 * MIB - 1).reserve_bytes, 8 * MIB);
	expect_eq(policy.bursts, 0);
}

CONTRACT_TEST(pressure_policy, of_the_system_a_quarter_is_kept)
{
	struct pressure_policy policy = {.level = 0};
	struct pressure_observation o = {.headroom_known = 1,
		.free_bytes = 24 * MIB - 1,
		.limit_bytes = 96 * MIB,
		.is_system = 1,
		.must_poll = 1,
		.evictable_pages = 1000000,
		.page_bytes = 4096};
	struct pressure_decision decision;

	policy_decide(&policy, &adapting, &o, &decision);
	expect_eq(decision.reserve_bytes, 24 * MIB);
	expect_eq(decision.observed, ASHMEM_PRESSURE_SOME);
	expect_eq(policy.bursts, 0);
}

CONTRACT_TEST(pressure_policy, a_limit_that_kills_nobody_has_a_small_reserve)
{
	struct pressure_policy policy = {.level = 0};
	struct pressure_observation o = {.headroom_known = 1,
		.free_bytes = 2 * MIB,
		.limit_bytes = 96 * MIB,
		.is_soft = 1,
		.evictable_pages = 1000000,
		.page_bytes = 4096};
	struct pressure_decision decision;

	policy_decide(&policy, &adapting, &o, &decision);
	expect_eq(decision.reserve_bytes, 2 * MIB);
	expect_eq(decision.purge_pages, 0);
	o.free_bytes = 0; /* whether it came fast or not */
	policy_decide(&policy, &adapting, &o, &decision);
	expect_eq(decision.purge_pages, 5 * MIB / 2 / 4096);
	expect_eq(policy.bursts, 0);
	expect_eq(policy_soft_reserve(&adapting, 12 * MIB), MIB);
	expect_eq(policy_soft_reserve(&adapting, MIB), MIB / 4);
	expect_eq(policy_soft_reserve(&settings, 96 * MIB), 24 * MIB); /* it was set */
}

CONTRACT_TEST(pressure_policy, a_reserve_that_was_set_stays_as_it_is)
{
	struct pressure_policy policy = {.level = 0};

	expect_eq(left(&policy, 0, 1).reserve_bytes, 24 * MIB);
	expect_eq(left(&policy, 1, 90 * MIB).reserve_bytes, 24 * MIB);
	expect_eq(policy.bursts, 0);
	expect_eq(stalled(&policy, 2, ASHMEM_PRESSURE_SOME).reserve_bytes, 0);
}

/* So much free of 96 MiB and so much shared, and then others purge down to `after`. */
static struct pressure_decision others_purge(struct pressure_policy *policy, uint64_t free_bytes,
	uint64_t shared, uint64_t after)
{
	struct pressure_observation o = {.headroom_known = 1,
		.free_bytes = free_bytes,
		.limit_bytes = 96 * MIB,
		.shared_bytes = shared,
		.evictable_pages = 1000000,
		.page_bytes = 4096};
	struct pressure_decision decision;

	policy_decide(policy, &adapting, &o, &decision);
	expect_eq(decision.purge_pages, 0);
	o.now_ns = MS;
	o.shared_bytes = after;
	policy_decide(policy, &adapting, &o, &decision);
	return decision;
}

CONTRACT_TEST(pressure_policy, who_sees_others_purge_takes_part)
{
	struct pressure_policy policy = {.level = 0};

	expect_eq(others_purge(&policy, 9 * MIB, 80 * MIB, 78 * MIB).reserve_bytes, 8 * MIB);
	policy = (struct pressure_policy){.level = 0};
	expect_eq(others_purge(&policy, 9 * MIB, 80 * MIB, 78 * MIB).purge_pages, MIB / 4096);
	/* Only if they do, and while there is need. */
	policy = (struct pressure_policy){.level = 0};
	expect_eq(others_purge(&policy, 9 * MIB, 80 * MIB, 80 * MIB).purge_pages, 0);
	policy = (struct pressure_policy){.level = 0};
	expect_eq(others_purge(&policy, 11 * MIB, 80 * MIB, 78 * MIB).purge_pages, 0);
	policy = (struct pressure_policy){.level = 0};
	expect_eq(others_purge(&policy, 9 * MIB, 80 * MIB, 0).purge_pages, 0); /* not known */
}

CONTRACT_TEST(pressure_policy, what_this_process_purged_is_no_purge_of_others)
{
	struct pressure_policy policy = {.level = 0};

	policy.shared_bytes = 90 * MIB;
	policy_purged(&policy);
	expect_eq(others_purge(&policy, 9 * MIB, 80 * MIB, 80 * MIB).purge_pages, 0);
}

CONTRACT_TEST(pressure_policy, processes_purge_in_proportion_and_nobody_waits_where_it_is_urgent)
{
	struct pressure_decision decision = {
		.purge_pages = 800, .urgent_pages = 0, .shared_pages = 10000};

	expect_eq(policy_part(&decision, 10000), 800);
	expect_eq(policy_part(&decision, 5000), 800); /* half of it: the rest may be pinned */
	expect_eq(policy_part(&decision, 2500), 400);
	expect_eq(policy_part(&decision, 1), 1); /* rounded up: it goes on */
	expect_eq(policy_part(&decision, 0), 0);
	decision.urgent_pages = 600;
	expect_eq(policy_part(&decision, 2500), 700);
	expect_eq(policy_part(&decision, 100), 100);
	decision.shared_pages = 0; /* not known: nobody else */
	expect_eq(policy_part(&decision, 2500), 800);
}

CONTRACT_TEST(pressure_policy, what_is_urgent_ends_with_the_second_level)
{
	struct pressure_policy policy = {.level = 0};
	struct pressure_decision decision = left(&policy, 0, 13 * MIB);

	expect_eq(decision.purge_pages, 17 * MIB / 4096);
	expect_eq(decision.urgent_pages, 2 * MIB / 4096);
	expect_eq(left(&policy, 1, 16 * MIB).urgent_pages, 0);
}
