/* SPDX-License-Identifier: MIT */
/*
 * The policy alone: levels and amounts as a function of what is observed when.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"

#include <ashmem/ashmem.h>

#include "pressure_policy.h"

#define MIB ((uint64_t)1 << 20)
#define MS ((uint64_t)1000000)

static const struct pressure_settings settings = {
	.percent = {0, 6, 25, 50}, .hold_ns = 1000 * MS, .step_ns = 100 * MS};

/* Stalls of a level at a time, with 1000 pages to purge. */
static struct pressure_decision stalled(
	struct pressure_policy *policy, uint64_t now_ms, uint32_t level)
{
	struct pressure_observation o = {.now_ns = now_ms * MS,
		.stall_level = level,
		.evictable_pages = 1000,
		.page_bytes = 4096};
	struct pressure_decision decision;

	pressure_decide(policy, &settings, &o, &decision);
	return decision;
}

/* So much free of 96 MiB, at a time. */
static struct pressure_decision left(
	struct pressure_policy *policy, uint64_t now_ms, uint64_t free_bytes)
{
	struct pressure_observation o = {.now_ns = now_ms * MS,
		.headroom_known = 1,
		.free_bytes = free_bytes,
		.limit_bytes = 96 * MIB,
		.evictable_pages = 1000000,
		.page_bytes = 4096};
	struct pressure_decision decision;

	pressure_decide(policy, &settings, &o, &decision);
	return decision;
}

CONTRACT_TEST(pressure_policy, thresholds_are_shares_of_small_limits_and_amounts_of_large_ones)
{
	expect_eq(pressure_threshold(96 * MIB, ASHMEM_PRESSURE_SOME), 24 * MIB);
	expect_eq(pressure_threshold(96 * MIB, ASHMEM_PRESSURE_HIGH), 12 * MIB);
	expect_eq(pressure_threshold(96 * MIB, ASHMEM_PRESSURE_CRITICAL), 6 * MIB);
	expect_eq(pressure_threshold((uint64_t)1 << 40, ASHMEM_PRESSURE_SOME), 512 * MIB);
	expect_eq(pressure_threshold((uint64_t)1 << 40, ASHMEM_PRESSURE_HIGH), 256 * MIB);
	expect_eq(pressure_threshold((uint64_t)1 << 40, ASHMEM_PRESSURE_CRITICAL), 128 * MIB);
	expect_eq(pressure_relief(96 * MIB, ASHMEM_PRESSURE_SOME), 30 * MIB);
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
		expect_eq(stalled(&policy, (uint64_t)i * 100, ASHMEM_PRESSURE_SOME).purge_pages, want[i]);
		expect_eq(stalled(&policy, (uint64_t)i * 100 + 99, ASHMEM_PRESSURE_SOME).purge_pages, 0);
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

	pressure_decide(&first, &settings, &o, &decision);
	expect_eq(decision.purge_pages, 1);
	o.evictable_pages = UINT64_MAX;
	pressure_decide(&second, &settings, &o, &decision);
	expect(decision.purge_pages / 6 > UINT64_MAX / 101 && decision.purge_pages / 7 < UINT64_MAX / 100);
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

	pressure_decide(&policy, &settings, &o, &decision);
	expect_eq(decision.purge_pages, 10);
}

CONTRACT_TEST(pressure_policy, a_level_that_purges_nothing_still_counts)
{
	const struct pressure_settings none = {.percent = {0, 0, 25, 50}, .hold_ns = 1, .step_ns = 1};
	struct pressure_observation o = {.headroom_known = 1,
		.free_bytes = 20 * MIB,
		.limit_bytes = 96 * MIB,
		.stall_level = ASHMEM_PRESSURE_SOME,
		.evictable_pages = 100000,
		.page_bytes = 4096};
	struct pressure_policy policy = {.level = 0};
	struct pressure_decision decision;

	pressure_decide(&policy, &none, &o, &decision);
	expect_eq(decision.level, ASHMEM_PRESSURE_SOME);
	expect_eq(decision.purge_pages, 0);
	o.free_bytes = 10 * MIB;
	pressure_decide(&policy, &none, &o, &decision);
	expect_eq(decision.purge_pages, 20 * MIB / 4096);
}
