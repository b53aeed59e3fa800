/* SPDX-License-Identifier: MIT */
/*
 * Sharing out pages among shrinkers (lib/purge/shrink_shares.h): the formula, rounding, what is
 * carried, and the bounds.
 */
#include "support/contract.h"
#include "support/random.h"

#include "purge/shrink_shares.h"

#include <string.h>

static struct shrink_share of(uint64_t count, uint32_t seeks)
{
	return (struct shrink_share){.count = count, .seeks = seeks};
}

CONTRACT_TEST(shares, equal_costs_share_by_count)
{
	struct shrink_share s[3] = {of(100, 2), of(300, 2), of(0, 2)};

	expect_eq(shrink_shares_divide(s, 3, 40), 40);
	expect_eq(s[0].pages, 10);
	expect_eq(s[1].pages, 30);
	expect_eq(s[2].pages, 0);
}

CONTRACT_TEST(shares, half_the_cost_is_twice_the_share)
{
	struct shrink_share s[2] = {of(1000, 2), of(1000, 4)};

	expect_eq(shrink_shares_divide(s, 2, 300), 300);
	expect_eq(s[0].pages, 200);
	expect_eq(s[1].pages, 100);
}

CONTRACT_TEST(shares, what_costs_nothing_comes_first)
{
	struct shrink_share s[3] = {of(1000, 1), of(30, 0), of(10, 0)};

	expect_eq(shrink_shares_divide(s, 3, 20), 20);
	expect_eq(s[0].pages, 0);
	expect_eq(s[1].pages, 15);
	expect_eq(s[2].pages, 5);
	expect_eq(shrink_shares_divide(s, 3, 50), 50);
	expect_eq(s[0].pages, 10);
	expect_eq(s[1].pages, 30);
	expect_eq(s[2].pages, 10);
}

CONTRACT_TEST(shares, no_share_is_above_its_count)
{
	struct shrink_share s[2] = {of(10, 1), of(1000, 1000)};

	/* By weight, 10 to 1, the first would get 91 of 100; the rest is for the next round. */
	expect_eq(shrink_shares_divide(s, 2, 100), 20);
	expect_eq(s[0].pages, 10);
	expect_eq(s[1].pages, 10);
	expect_eq(shrink_shares_divide(s, 2, UINT64_MAX), 1010);
	expect_eq(s[0].pages, 10);
	expect_eq(s[1].pages, 1000);
}

CONTRACT_TEST(shares, single_pages_take_turns)
{
	struct shrink_share s[3] = {of(100, 2), of(100, 2), of(200, 2)};
	uint64_t sum[3] = {0};

	for (int i = 0; i < 400; i++) {
		expect_eq(shrink_shares_divide(s, 3, 1), 1);
		for (int j = 0; j < 3; j++)
			sum[j] += s[j].pages;
	}
	expect_eq(sum[0], 100);
	expect_eq(sum[1], 100);
	expect_eq(sum[2], 200);
}

CONTRACT_TEST(shares, the_first_among_equals_gets_the_odd_page)
{
	struct shrink_share s[2] = {of(100, 2), of(100, 2)};

	expect_eq(shrink_shares_divide(s, 2, 1), 1);
	expect_eq(s[0].pages, 1);
	expect_eq(s[1].pages, 0);
	expect_eq(shrink_shares_divide(s, 2, 1), 1);
	expect_eq(s[0].pages, 0);
	expect_eq(s[1].pages, 1);
}

CONTRACT_TEST(shares, nothing_wanted_or_nothing_there_gives_nothing)
{
	struct shrink_share s[2] = {of(0, 2), of(0, 0)};

	expect_eq(shrink_shares_divide(s, 2, 100), 0);
	s[0].count = 5;
	expect_eq(shrink_shares_divide(s, 2, 0), 0);
	expect_eq(s[0].pages, 0);
}

CONTRACT_TEST(shares, the_largest_numbers_do_not_overflow)
{
	static struct shrink_share s[SHRINK_SHARES_MAX];

	for (int i = 0; i < SHRINK_SHARES_MAX; i++)
		s[i] = of(UINT64_MAX, 1);
	expect_eq(shrink_shares_divide(s, SHRINK_SHARES_MAX, SHRINK_SHARES_MAX * 5),
		SHRINK_SHARES_MAX * 5);
	for (int i = 0; i < SHRINK_SHARES_MAX; i++)
		expect_eq(s[i].pages, 5);
	s[0] = of(1, SHRINK_SHARES_SEEKS_MAX);
	expect_eq(shrink_shares_divide(s, 1, UINT64_MAX), 1);
}

/*
 * For any counts and costs: no share above its count, the sum as promised, and over many divisions
 * each gets its part. The seed is one that meets the lower bound of what is carried.
 */
CONTRACT_TEST(shares, random_divisions_keep_the_rules)
{
	struct random_source random = random_from(2);

	for (int round = 0; round < 20000; round++) {
		struct shrink_share s[8];
		unsigned count = 1 + (unsigned)(random_next(&random) % 8);
		uint64_t counts = 0;
		memset(s, 0, sizeof s);
		for (unsigned i = 0; i < count; i++) {
			s[i].count =
				random_next(&random) % (random_next(&random) % 2 ? 10 : 100000);
			s[i].seeks = (uint32_t)(random_next(&random) % 5);
			counts += s[i].count;
		}
		for (int again = 0; again < 4; again++) {
			uint64_t want = random_next(&random) % 2000, sum = 0;
			uint64_t given = shrink_shares_divide(s, count, want);
			for (unsigned i = 0; i < count; i++) {
				expect(s[i].pages <= s[i].count);
				expect(s[i].carry > -((int64_t)1 << 32) &&
					s[i].carry < (int64_t)1 << 32);
				sum += s[i].pages;
			}
			expect_eq(sum, given);
			expect(given <= want && given <= counts);
			expect(given > 0 || want == 0 || counts == 0);
		}
	}
}
