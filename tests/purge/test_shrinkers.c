/* SPDX-License-Identifier: MIT */
/*
 * Registered shrinkers: what registering checks, how ashmem_shrink() shares the work among them and
 * asks them, and their statistics. That they come and go is in test_shrinkers_life.c. The areas are
 * those of the memfd backend; on the driver they count nothing.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/caches.h"
#include "support/contract.h"

#include <errno.h>
#include <string.h>

/* -- registering -- */

CONTRACT_TEST(shrinkers, arguments_are_checked)
{
	struct cache cache = {.pages = 1};
	struct ashmem_shrinker_options options = cache_options(&cache);
	struct ashmem_shrinker *shrinker = NULL;
	struct {
		struct ashmem_shrinker_options known;
		uint64_t unknown;
	} newer = {.unknown = 0};

	expect_eq(ashmem_shrinker_register(NULL, &shrinker), -EINVAL);
	expect_eq(ashmem_shrinker_register(&options, NULL), -EINVAL);
	options.struct_size = sizeof(size_t) - 1;
	expect_eq(ashmem_shrinker_register(&options, &shrinker), -EINVAL);
	options = cache_options(&cache);
	options.count = NULL;
	expect_eq(ashmem_shrinker_register(&options, &shrinker), -EINVAL);
	options = cache_options(&cache);
	options.scan = NULL;
	expect_eq(ashmem_shrinker_register(&options, &shrinker), -EINVAL);
	options = cache_options(&cache);
	options.seeks = 65536;
	expect_eq(ashmem_shrinker_register(&options, &shrinker), -EINVAL);
	newer.known = cache_options(&cache);
	newer.known.struct_size = sizeof newer;
	newer.unknown = 1;
	expect_eq(ashmem_shrinker_register(&newer.known, &shrinker), -E2BIG);
	expect(shrinker == NULL);
	newer.unknown = 0;
	expect_eq(ashmem_shrinker_register(&newer.known, &shrinker), 0);
	ashmem_shrinker_unregister(shrinker);
	ashmem_shrinker_unregister(NULL);
	expect_eq(ashmem_shrink(1), 0);
	expect_eq(cache.scans, 0);
}

CONTRACT_TEST(shrinkers, an_older_programs_options_get_the_defaults)
{
	struct cache cache = {.pages = 1000};
	struct ashmem_shrinker_options options = cache_options(&cache);

	options.batch_pages = options.seeks = 77;
	options.struct_size = offsetof(struct ashmem_shrinker_options, batch_pages);
	expect_eq(ashmem_shrinker_register(&options, &cache.shrinker), 0);
	expect_eq(shrinker_stats(1).seeks, ASHMEM_SHRINKER_SEEKS_DEFAULT);
	expect_eq(shrinker_stats(1).batch_pages, ASHMEM_SHRINKER_BATCH_DEFAULT);
	cache_end(&cache);
}

CONTRACT_TEST(shrinkers, more_than_255_are_refused)
{
	static struct cache caches[255];
	struct cache more = {.pages = 1};
	struct ashmem_shrinker_options options = cache_options(&more);

	for (int i = 0; i < 255; i++)
		cache_begin(&caches[i], 1, 0);
	expect_eq(ashmem_shrinker_register(&options, &more.shrinker), -ENOSPC);
	expect_eq(ashmem_shrink_count(), 255);
	expect_eq(ashmem_shrink(1000), 255);
	for (int i = 0; i < 255; i++)
		cache_end(&caches[i]);
	expect_eq(ashmem_shrinker_register(&options, &more.shrinker), 0);
	cache_end(&more);
}

/* -- counting and sharing -- */

CONTRACT_TEST(shrinkers, counts_add_up)
{
	struct cache one, two;
	struct view view = {.area = NULL};

	cache_begin(&one, 30, 0);
	cache_begin(&two, 12, 0);
	if (!backend_is_kernel())
		view = loose_view(5);
	expect_eq(ashmem_shrink_count(), backend_is_kernel() ? 42 : 47);
	one.pages = UINT64_MAX;
	expect_eq(ashmem_shrink_count(), -1); /* UINT64_MAX */
	cache_end(&one);
	cache_end(&two);
	expect_eq(ashmem_shrink_count(), backend_is_kernel() ? 0 : 5);
	if (view.area)
		view_drop(&view);
}

CONTRACT_TEST(shrinkers, the_work_is_shared_by_count_and_cost)
{
	struct cache cheap, dear, large;

	cache_begin(&cheap, 1000, 1);
	cache_begin(&dear, 1000, 10);
	cache_begin(&large, 4000, 10);
	expect_eq(ashmem_shrink(150), 150);
	expect_eq(cheap.pages, 1000 - 100);
	expect_eq(dear.pages, 1000 - 10);
	expect_eq(large.pages, 4000 - 40);
	cache_end(&cheap);
	cache_end(&dear);
	cache_end(&large);
}

CONTRACT_TEST(shrinkers, areas_are_one_among_them)
{
	struct cache cache;
	struct view view;

	skip_on_kernel("the driver's areas take no part");
	view = loose_view(100);
	cache_begin(&cache, 100, 0);
	expect_eq(ashmem_shrink(50), 50);
	expect_eq(cache.pages, 60);
	expect(pages_hold(&view, 0, 10, 0));
	expect(pages_hold(&view, 10, 90, 0x11));
	expect_str(shrinker_stats(0).name, "areas");
	expect_eq(shrinker_stats(0).freed_pages, 10);
	expect_eq(shrinker_stats(0).seeks, ASHMEM_SHRINKER_SEEKS_AREAS);
	cache_end(&cache);
	view_drop(&view);
}

CONTRACT_TEST(shrinkers, cost_of_the_areas_can_be_set)
{
	struct cache cache;
	struct view view;

	skip_on_kernel("the driver's areas take no part");
	view = loose_view(100);
	cache_begin(&cache, 100, 0);
	expect_eq(ashmem_shrinker_set_areas_seeks(65536), -EINVAL);
	expect_eq(shrinker_stats(0).seeks, ASHMEM_SHRINKER_SEEKS_AREAS);
	expect_eq(ashmem_shrinker_set_areas_seeks(ASHMEM_SHRINKER_SEEKS_DEFAULT), 0);
	expect_eq(ashmem_shrink(20), 20);
	expect_eq(cache.pages, 90);
	expect_eq(ashmem_shrinker_set_areas_seeks(ASHMEM_SHRINKER_FREE), 0);
	expect_eq(shrinker_stats(0).seeks, 0);
	expect_eq(ashmem_shrink(90), 90);
	expect_eq(cache.pages, 90);
	expect_eq(ashmem_shrinker_set_areas_seeks(0), 0);
	expect_eq(shrinker_stats(0).seeks, ASHMEM_SHRINKER_SEEKS_AREAS);
	cache_end(&cache);
	view_drop(&view);
}

CONTRACT_TEST(shrinkers, what_costs_nothing_goes_first)
{
	struct cache cache, free_one;
	struct view view = {.area = NULL};

	if (!backend_is_kernel())
		view = loose_view(100);
	cache_begin(&cache, 100, 1);
	cache_begin(&free_one, 40, ASHMEM_SHRINKER_FREE);
	expect_eq(ashmem_shrink(40), 40);
	expect_eq(free_one.pages, 0);
	expect_eq(cache.pages, 100);
	expect_eq(shrinker_stats(2).seeks, 0);
	if (view.area)
		expect(pages_hold(&view, 0, 100, 0x11));
	cache_end(&cache);
	cache_end(&free_one);
	if (view.area)
		view_drop(&view);
}

CONTRACT_TEST(shrinkers, single_pages_are_taken_in_turns)
{
	struct cache one, two;

	cache_begin(&one, 1000, 2);
	cache_begin(&two, 1000, 2);
	for (int i = 0; i < 100; i++)
		expect_eq(ashmem_shrink(1), 1);
	expect_eq(one.pages, 950);
	expect_eq(two.pages, 950);
	cache_end(&one);
	cache_end(&two);
}

CONTRACT_TEST(shrinkers, whole_ranges_of_areas_leave_less_for_others)
{
	struct cache cache;
	struct view view;

	skip_on_kernel("the driver's areas take no part");
	view = view_make(100);
	fill_pages(&view, 0, 100, 0x11);
	unpin_pages(view.area, 0, 100);
	cache_begin(&cache, 100, 0);
	expect_eq(ashmem_shrink(50), 100);
	expect_eq(cache.scans, 0);
	cache_end(&cache);
	view_drop(&view);
}

CONTRACT_TEST(shrinkers, purge_all_is_about_areas)
{
	struct cache cache;
	struct view view;

	skip_on_kernel("needs privilege there");
	view = loose_view(3);
	cache_begin(&cache, 100, 0);
	expect_eq(ashmem_purge_all(), 3);
	expect_eq(cache.counts + cache.scans, 0);
	cache_end(&cache);
	view_drop(&view);
}

/* -- how a shrinker is asked -- */

CONTRACT_TEST(shrinkers, never_for_more_than_a_batch_nor_than_is_missing)
{
	struct cache cache;
	struct ashmem_shrinker_options options;

	cache_begin(&cache, 1000, 0);
	expect_eq(ashmem_shrink(300), 300);
	expect_eq(cache.scans, 3);
	expect_eq(cache.asked[0], 128);
	expect_eq(cache.asked[1], 128);
	expect_eq(cache.asked[2], 44);
	cache_end(&cache);

	memset(&cache, 0, sizeof cache);
	cache.pages = 1000;
	options = cache_options(&cache);
	options.batch_pages = 7;
	expect_eq(ashmem_shrinker_register(&options, &cache.shrinker), 0);
	expect_eq(ashmem_shrink(16), 16);
	expect_eq(cache.scans, 3);
	expect_eq(cache.asked[0], 7);
	expect_eq(cache.asked[1], 7);
	expect_eq(cache.asked[2], 2);
	cache_end(&cache);

	memset(&cache, 0, sizeof cache);
	cache.pages = 1000;
	options.batch_pages = UINT64_MAX;
	expect_eq(ashmem_shrinker_register(&options, &cache.shrinker), 0);
	expect_eq(ashmem_shrink(900), 900);
	expect_eq(cache.scans, 1);
	cache_end(&cache);
}

CONTRACT_TEST(shrinkers, an_empty_one_is_not_asked)
{
	struct cache empty, cache;

	cache_begin(&empty, 0, 1);
	cache_begin(&cache, 10, 50);
	expect_eq(ashmem_shrink(10), 10);
	expect_eq(empty.scans, 0);
	expect_eq(ashmem_shrink(0), 0);
	expect_eq(ashmem_shrink(10), 0);
	expect_eq(cache.scans, 1);
	cache_end(&empty);
	cache_end(&cache);
}

CONTRACT_TEST(shrinkers, stop_leaves_out_for_the_rest_of_the_call)
{
	struct cache busy, cache;

	cache_begin(&busy, 1000, 1);
	cache_begin(&cache, 1000, 2);
	busy.answer = ASHMEM_SHRINK_STOP;
	expect_eq(ashmem_shrink(600), 600);
	expect_eq(busy.scans, 1);
	expect_eq(cache.pages, 400);
	expect_eq(shrinker_stats(1).stops, 1);
	expect_eq(shrinker_stats(1).freed_pages, 0);
	busy.answer = -EIO; /* any error is the same */
	expect_eq(ashmem_shrink(1000), 400);
	expect_eq(busy.scans, 2);
	busy.answer = 0;
	expect_eq(ashmem_shrink(10), 10);
	expect_eq(busy.pages, 990);
	cache_end(&busy);
	cache_end(&cache);
}

CONTRACT_TEST(shrinkers, zero_gets_a_second_chance_and_no_third)
{
	struct cache cache;

	cache_begin(&cache, 100, 0);
	cache.chances = 1;
	expect_eq(ashmem_shrink(10), 10);
	expect_eq(cache.scans, 2);
	cache.scans = 0;
	cache.chances = 1000;
	expect_eq(ashmem_shrink(10), 0);
	expect_eq(cache.scans, 2);
	cache_end(&cache);
}

CONTRACT_TEST(shrinkers, one_that_frees_less_is_asked_again)
{
	struct cache cache;

	cache_begin(&cache, 100, 0);
	cache.answer = 3;
	expect_eq(ashmem_shrink(10), 12); /* an answer counts as it is */
	expect_eq(cache.scans, 4);
	expect_eq(cache.asked[0], 10);
	expect_eq(cache.asked[1], 7);
	expect_eq(cache.asked[2], 4);
	expect_eq(cache.asked[3], 1);
	expect_eq(shrinker_stats(1).asked_pages, 22);
	expect_eq(shrinker_stats(1).freed_pages, 12);
	cache_end(&cache);
}

CONTRACT_TEST(shrinkers, a_count_that_lies_ends_all_the_same)
{
	struct cache cache;

	cache_begin(&cache, UINT64_MAX, 0);
	cache.answer = INT64_MAX;
	expect_eq(ashmem_shrink(UINT64_MAX), INT64_MAX);
	expect(cache.scans <= 3);
	cache_end(&cache);
}

/* -- statistics -- */

CONTRACT_TEST(shrinkers, statistics_tell_names_in_order)
{
	struct cache cache = {.pages = 10}, other;
	struct ashmem_shrinker_options options = cache_options(&cache);
	struct ashmem_shrinker_stats stats;
	char name[100];

	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = '\0';
	options.name = name;
	options.batch_pages = 9;
	options.seeks = 5;
	cache_begin(&other, 1, 0);
	expect_eq(ashmem_shrinker_register(&options, &cache.shrinker), 0);
	expect_str(shrinker_stats(0).name, "areas");
	expect_eq(shrinker_stats(0).batch_pages, -1);
	expect_str(shrinker_stats(1).name, "");
	stats = shrinker_stats(2);
	expect_eq(strlen(stats.name), ASHMEM_SHRINKER_NAME_LEN - 1);
	expect_eq(stats.batch_pages, 9);
	expect_eq(stats.seeks, 5);
	stats.struct_size = sizeof stats;
	expect_eq(ashmem_shrinker_get_stats(3, &stats), -ENOENT);
	expect_eq(ashmem_shrinker_get_stats(0, NULL), -EINVAL);
	stats.struct_size = 1;
	expect_eq(ashmem_shrinker_get_stats(0, &stats), -EINVAL);
	cache_end(&other);
	expect_eq(shrinker_stats(1).batch_pages, 9);
	cache_end(&cache);
}
