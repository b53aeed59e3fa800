/* SPDX-License-Identifier: MIT */
/*
 * Registered shrinkers: how ashmem_shrink() asks them, and that they can come and go at any time.
 * The areas are those of the memfd backend; on the driver they count nothing.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CALLS_MAX = 64 };

/* A cache that is a number of pages, and what it was asked. */
struct cache {
	struct ashmem_shrinker *shrinker;
	uint64_t pages;
	uint64_t asked[CALLS_MAX];
	int counts, scans, releases;
	int64_t answer; /* not 0: instead of freeing */
	int chances;    /* so many scans free nothing first */
	void (*within)(struct cache *cache);
	void (*within_count)(struct cache *cache);
	void *context;
};

static uint64_t cache_count(void *userdata)
{
	struct cache *cache = userdata;

	cache->counts++;
	if (cache->within_count)
		cache->within_count(cache);
	return cache->pages;
}

static int64_t cache_scan(void *userdata, uint64_t nr_to_scan)
{
	struct cache *cache = userdata;
	uint64_t freed = nr_to_scan < cache->pages ? nr_to_scan : cache->pages;

	if (cache->scans < CALLS_MAX)
		cache->asked[cache->scans] = nr_to_scan;
	cache->scans++;
	if (cache->within)
		cache->within(cache);
	if (cache->answer)
		return cache->answer;
	if (cache->chances-- > 0)
		return 0;
	cache->pages -= freed;
	return (int64_t)freed;
}

static void cache_release(void *userdata)
{
	struct cache *cache = userdata;

	cache->releases++;
}

static struct ashmem_shrinker_options options_of(struct cache *cache)
{
	return (struct ashmem_shrinker_options){
		.struct_size = sizeof(struct ashmem_shrinker_options),
		.count = cache_count,
		.scan = cache_scan,
		.release = cache_release,
		.userdata = cache,
	};
}

static void begin(struct cache *cache, uint64_t pages, uint32_t seeks)
{
	struct ashmem_shrinker_options options = options_of(cache);

	memset(cache, 0, sizeof *cache);
	cache->pages = pages;
	options.seeks = seeks;
	expect_eq(ashmem_shrinker_register(&options, &cache->shrinker), 0);
}

static void end(struct cache *cache)
{
	ashmem_shrinker_unregister(cache->shrinker);
	expect_eq(cache->releases, 1);
}

static struct ashmem_shrinker_stats shrinker_stats(uint32_t index)
{
	struct ashmem_shrinker_stats stats = {.struct_size = sizeof stats};

	expect_eq(ashmem_shrinker_get_stats(index, &stats), 0);
	return stats;
}

/* Unpinned pages in ranges of one each. */
static struct view loose_view(uint64_t pages)
{
	struct view view = view_make(pages);

	fill_pages(&view, 0, pages, 0x11);
	for (uint64_t page = 0; page < pages; page++)
		unpin_pages(view.area, page, 1);
	return view;
}

/* -- registering -- */

CONTRACT_TEST(shrinkers, arguments_are_checked)
{
	struct cache cache = {.pages = 1};
	struct ashmem_shrinker_options options = options_of(&cache);
	struct ashmem_shrinker *shrinker = NULL;
	struct {
		struct ashmem_shrinker_options known;
		uint64_t unknown;
	} newer = {.unknown = 0};

	expect_eq(ashmem_shrinker_register(NULL, &shrinker), -EINVAL);
	expect_eq(ashmem_shrinker_register(&options, NULL), -EINVAL);
	options.struct_size = sizeof(size_t) - 1;
	expect_eq(ashmem_shrinker_register(&options, &shrinker), -EINVAL);
	options = options_of(&cache);
	options.count = NULL;
	expect_eq(ashmem_shrinker_register(&options, &shrinker), -EINVAL);
	options = options_of(&cache);
	options.scan = NULL;
	expect_eq(ashmem_shrinker_register(&options, &shrinker), -EINVAL);
	options = options_of(&cache);
	options.seeks = 65536;
	expect_eq(ashmem_shrinker_register(&options, &shrinker), -EINVAL);
	newer.known = options_of(&cache);
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
	struct ashmem_shrinker_options options = options_of(&cache);

	options.batch_pages = options.seeks = 77;
	options.struct_size = offsetof(struct ashmem_shrinker_options, batch_pages);
	expect_eq(ashmem_shrinker_register(&options, &cache.shrinker), 0);
	expect_eq(shrinker_stats(1).seeks, ASHMEM_SHRINKER_SEEKS_DEFAULT);
	expect_eq(shrinker_stats(1).batch_pages, ASHMEM_SHRINKER_BATCH_DEFAULT);
	end(&cache);
}

CONTRACT_TEST(shrinkers, more_than_255_are_refused)
{
	static struct cache caches[255];
	struct cache more = {.pages = 1};
	struct ashmem_shrinker_options options = options_of(&more);

	for (int i = 0; i < 255; i++)
		begin(&caches[i], 1, 0);
	expect_eq(ashmem_shrinker_register(&options, &more.shrinker), -ENOSPC);
	expect_eq(ashmem_shrink_count(), 255);
	expect_eq(ashmem_shrink(1000), 255);
	for (int i = 0; i < 255; i++)
		end(&caches[i]);
	expect_eq(ashmem_shrinker_register(&options, &more.shrinker), 0);
	end(&more);
}

/* -- counting and sharing -- */

CONTRACT_TEST(shrinkers, counts_add_up)
{
	struct cache one, two;
	struct view view = {.area = NULL};

	begin(&one, 30, 0);
	begin(&two, 12, 0);
	if (!backend_is_kernel())
		view = loose_view(5);
	expect_eq(ashmem_shrink_count(), backend_is_kernel() ? 42 : 47);
	one.pages = UINT64_MAX;
	expect_eq(ashmem_shrink_count(), -1); /* UINT64_MAX */
	end(&one);
	end(&two);
	expect_eq(ashmem_shrink_count(), backend_is_kernel() ? 0 : 5);
	if (view.area)
		view_drop(&view);
}

CONTRACT_TEST(shrinkers, the_work_is_shared_by_count_and_cost)
{
	struct cache cheap, dear, large;

	begin(&cheap, 1000, 1);
	begin(&dear, 1000, 10);
	begin(&large, 4000, 10);
	expect_eq(ashmem_shrink(150), 150);
	expect_eq(cheap.pages, 1000 - 100);
	expect_eq(dear.pages, 1000 - 10);
	expect_eq(large.pages, 4000 - 40);
	end(&cheap);
	end(&dear);
	end(&large);
}

CONTRACT_TEST(shrinkers, areas_are_one_among_them)
{
	struct cache cache;
	struct view view;

	skip_on_kernel("the driver's areas take no part");
	view = loose_view(100);
	begin(&cache, 100, 0);
	expect_eq(ashmem_shrink(50), 50);
	expect_eq(cache.pages, 75);
	expect(pages_hold(&view, 0, 25, 0));
	expect(pages_hold(&view, 25, 75, 0x11));
	expect_str(shrinker_stats(0).name, "areas");
	expect_eq(shrinker_stats(0).freed_pages, 25);
	expect_eq(shrinker_stats(0).seeks, 2);
	end(&cache);
	view_drop(&view);
}

CONTRACT_TEST(shrinkers, what_costs_nothing_goes_first)
{
	struct cache cache, free_one;
	struct view view = {.area = NULL};

	if (!backend_is_kernel())
		view = loose_view(100);
	begin(&cache, 100, 1);
	begin(&free_one, 40, ASHMEM_SHRINKER_FREE);
	expect_eq(ashmem_shrink(40), 40);
	expect_eq(free_one.pages, 0);
	expect_eq(cache.pages, 100);
	expect_eq(shrinker_stats(2).seeks, 0);
	if (view.area)
		expect(pages_hold(&view, 0, 100, 0x11));
	end(&cache);
	end(&free_one);
	if (view.area)
		view_drop(&view);
}

CONTRACT_TEST(shrinkers, single_pages_are_taken_in_turns)
{
	struct cache one, two;

	begin(&one, 1000, 2);
	begin(&two, 1000, 2);
	for (int i = 0; i < 100; i++)
		expect_eq(ashmem_shrink(1), 1);
	expect_eq(one.pages, 950);
	expect_eq(two.pages, 950);
	end(&one);
	end(&two);
}

CONTRACT_TEST(shrinkers, whole_ranges_of_areas_leave_less_for_others)
{
	struct cache cache;
	struct view view;

	skip_on_kernel("the driver's areas take no part");
	view = view_make(100);
	fill_pages(&view, 0, 100, 0x11);
	unpin_pages(view.area, 0, 100);
	begin(&cache, 100, 0);
	expect_eq(ashmem_shrink(50), 100);
	expect_eq(cache.scans, 0);
	end(&cache);
	view_drop(&view);
}

CONTRACT_TEST(shrinkers, purge_all_is_about_areas)
{
	struct cache cache;
	struct view view;

	skip_on_kernel("needs privilege there");
	view = loose_view(3);
	begin(&cache, 100, 0);
	expect_eq(ashmem_purge_all(), 3);
	expect_eq(cache.counts + cache.scans, 0);
	end(&cache);
	view_drop(&view);
}

/* -- how a shrinker is asked -- */

CONTRACT_TEST(shrinkers, never_for_more_than_a_batch_nor_than_is_missing)
{
	struct cache cache;
	struct ashmem_shrinker_options options;

	begin(&cache, 1000, 0);
	expect_eq(ashmem_shrink(300), 300);
	expect_eq(cache.scans, 3);
	expect_eq(cache.asked[0], 128);
	expect_eq(cache.asked[1], 128);
	expect_eq(cache.asked[2], 44);
	end(&cache);

	memset(&cache, 0, sizeof cache);
	cache.pages = 1000;
	options = options_of(&cache);
	options.batch_pages = 7;
	expect_eq(ashmem_shrinker_register(&options, &cache.shrinker), 0);
	expect_eq(ashmem_shrink(16), 16);
	expect_eq(cache.scans, 3);
	expect_eq(cache.asked[0], 7);
	expect_eq(cache.asked[1], 7);
	expect_eq(cache.asked[2], 2);
	end(&cache);

	memset(&cache, 0, sizeof cache);
	cache.pages = 1000;
	options.batch_pages = UINT64_MAX;
	expect_eq(ashmem_shrinker_register(&options, &cache.shrinker), 0);
	expect_eq(ashmem_shrink(900), 900);
	expect_eq(cache.scans, 1);
	end(&cache);
}

CONTRACT_TEST(shrinkers, an_empty_one_is_not_asked)
{
	struct cache empty, cache;

	begin(&empty, 0, 1);
	begin(&cache, 10, 50);
	expect_eq(ashmem_shrink(10), 10);
	expect_eq(empty.scans, 0);
	expect_eq(ashmem_shrink(0), 0);
	expect_eq(ashmem_shrink(10), 0);
	expect_eq(cache.scans, 1);
	end(&empty);
	end(&cache);
}

CONTRACT_TEST(shrinkers, stop_leaves_out_for_the_rest_of_the_call)
{
	struct cache busy, cache;

	begin(&busy, 1000, 1);
	begin(&cache, 1000, 2);
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
	end(&busy);
	end(&cache);
}

CONTRACT_TEST(shrinkers, zero_gets_a_second_chance_and_no_third)
{
	struct cache cache;

	begin(&cache, 100, 0);
	cache.chances = 1;
	expect_eq(ashmem_shrink(10), 10);
	expect_eq(cache.scans, 2);
	cache.scans = 0;
	cache.chances = 1000;
	expect_eq(ashmem_shrink(10), 0);
	expect_eq(cache.scans, 2);
	end(&cache);
}

CONTRACT_TEST(shrinkers, one_that_frees_less_is_asked_again)
{
	struct cache cache;

	begin(&cache, 100, 0);
	cache.answer = 3;
	expect_eq(ashmem_shrink(10), 12); /* an answer counts as it is */
	expect_eq(cache.scans, 4);
	expect_eq(cache.asked[0], 10);
	expect_eq(cache.asked[1], 7);
	expect_eq(cache.asked[2], 4);
	expect_eq(cache.asked[3], 1);
	expect_eq(shrinker_stats(1).asked_pages, 22);
	expect_eq(shrinker_stats(1).freed_pages, 12);
	end(&cache);
}

CONTRACT_TEST(shrinkers, a_count_that_lies_ends_all_the_same)
{
	struct cache cache;

	begin(&cache, UINT64_MAX, 0);
	cache.answer = INT64_MAX;
	expect_eq(ashmem_shrink(UINT64_MAX), INT64_MAX);
	expect(cache.scans <= 3);
	end(&cache);
}

/* -- coming and going -- */

static void unregister_self(struct cache *cache)
{
	ashmem_shrinker_unregister(cache->shrinker);
	expect_eq(cache->releases, 0); /* it runs still */
}

CONTRACT_TEST(shrinkers, ending_from_within_a_scan_takes_effect_when_that_returns)
{
	struct cache cache, other;

	begin(&cache, 1000, 0);
	begin(&other, 1000, 0);
	cache.within = unregister_self;
	expect_eq(ashmem_shrink(1000), 1000);
	expect_eq(cache.scans, 1);
	expect_eq(cache.releases, 1);
	expect_eq(cache.pages, 1000 - 128);
	expect_eq(other.pages, 128);
	expect_eq(ashmem_shrink(1000), 128);
	expect_eq(cache.scans, 1);
	end(&other);
}

CONTRACT_TEST(shrinkers, ending_from_within_a_count_takes_effect_when_that_returns)
{
	struct cache cache;

	begin(&cache, 1000, 0);
	cache.within_count = unregister_self;
	expect_eq(ashmem_shrink(10), 0);
	expect_eq(cache.releases, 1);
	expect_eq(cache.counts, 1);
	expect_eq(cache.scans, 0);
	expect_eq(ashmem_shrink_count(), 0);
}

static void unregister_other(struct cache *cache)
{
	struct cache *other = cache->context;

	ashmem_shrinker_unregister(other->shrinker);
	expect_eq(other->releases, 1);
	cache->within = NULL;
}

CONTRACT_TEST(shrinkers, ending_another_from_within)
{
	struct cache one, two;

	begin(&one, 1000, 0);
	begin(&two, 1000, 0);
	one.context = &two;
	one.within = unregister_other;
	expect_eq(ashmem_shrink(100), 100);
	expect_eq(two.scans, 0);
	expect_eq(one.pages, 900);
	end(&one);
}

static void register_other(struct cache *cache)
{
	begin(cache->context, 1000, 0);
	cache->within = NULL;
}

CONTRACT_TEST(shrinkers, one_that_comes_meanwhile_takes_part_from_the_next_round_on)
{
	struct cache one, two;

	begin(&one, 100, 0);
	one.context = &two;
	one.within = register_other;
	expect_eq(ashmem_shrink(300), 300);
	expect_eq(one.pages, 0);
	expect_eq(two.pages, 800);
	end(&one);
	end(&two);
}

/* -- recursion -- */

static void shrink_within(struct cache *cache)
{
	struct view *view = cache->context;

	expect_eq(ashmem_shrink_count(), 10); /* the areas alone */
	expect_eq(ashmem_shrink(4), 4);
	expect(pages_hold(view, 0, 4, 0));
	cache->within = NULL;
}

CONTRACT_TEST(shrinkers, shrinking_from_within_concerns_the_areas_alone)
{
	struct cache cache;
	struct view view;

	skip_on_kernel("the driver's areas take no part");
	view = loose_view(10);
	begin(&cache, 1000, 1);
	cache.context = &view;
	cache.within = shrink_within;
	expect_eq(ashmem_shrink(100), 100);
	expect_eq(cache.scans, 1);
	end(&cache);
	view_drop(&view);
}

static void use_areas_within(struct cache *cache)
{
	struct view *view = cache->context;
	struct view other = view_make(2);

	expect_eq(pin_pages(view->area, 0, 1), ASHMEM_NOT_PURGED);
	unpin_pages(view->area, 0, 1);
	unpin_pages(other.area, 0, 2);
	view_drop(&other);
	expect_eq(shrinker_stats(0).scans, 0);
}

CONTRACT_TEST(shrinkers, areas_can_be_used_from_within)
{
	struct cache cache;
	struct view view = view_make(4);

	unpin_pages(view.area, 0, 4);
	begin(&cache, 1000, ASHMEM_SHRINKER_FREE);
	cache.context = &view;
	cache.within = use_areas_within;
	expect_eq(ashmem_shrink(10), 10);
	expect_eq(cache.scans, 1);
	end(&cache);
	view_drop(&view);
}

/* -- threads -- */

struct meeting {
	struct cache cache;
	pthread_barrier_t inside, go_on;
	int done; /* atomic: the scan has returned, as far as it can say */
};

static int64_t meeting_scan(void *userdata, uint64_t nr_to_scan)
{
	struct meeting *meeting = userdata;

	(void)nr_to_scan;
	pthread_barrier_wait(&meeting->inside);
	pthread_barrier_wait(&meeting->go_on);
	usleep(50000); /* the end waits all this time */
	__atomic_store_n(&meeting->done, 1, __ATOMIC_SEQ_CST);
	return ASHMEM_SHRINK_STOP;
}

static uint64_t meeting_count(void *userdata)
{
	(void)userdata;
	return 10;
}

static void begin_meeting(struct meeting *meeting)
{
	struct ashmem_shrinker_options options = {.struct_size = sizeof options,
		.count = meeting_count,
		.scan = meeting_scan,
		.userdata = meeting};

	memset(meeting, 0, sizeof *meeting);
	pthread_barrier_init(&meeting->inside, NULL, 2);
	pthread_barrier_init(&meeting->go_on, NULL, 2);
	expect_eq(ashmem_shrinker_register(&options, &meeting->cache.shrinker), 0);
}

static void *shrink_ten(void *argument)
{
	(void)argument;
	return ashmem_shrink(10) == 0 ? NULL : (void *)1;
}

CONTRACT_TEST(shrinkers, ending_waits_for_a_call_on_another_thread)
{
	struct meeting meeting;
	pthread_t thread;
	void *result;

	begin_meeting(&meeting);
	pthread_create(&thread, NULL, shrink_ten, NULL);
	pthread_barrier_wait(&meeting.inside);
	pthread_barrier_wait(&meeting.go_on);
	ashmem_shrinker_unregister(meeting.cache.shrinker);
	expect_eq(__atomic_load_n(&meeting.done, __ATOMIC_SEQ_CST), 1);
	pthread_join(thread, &result);
	expect(result == NULL);
	expect_eq(ashmem_shrink_count(), 0);
}

static void *shrink_another(void *argument)
{
	struct cache *cache = argument;

	return ashmem_shrink(5) == 5 && cache->pages == 95 ? NULL : (void *)1;
}

CONTRACT_TEST(shrinkers, one_that_takes_long_holds_nobody_up)
{
	struct meeting meeting;
	struct cache cache;
	pthread_t slow, other;
	void *result;

	begin_meeting(&meeting);
	pthread_create(&slow, NULL, shrink_ten, NULL);
	pthread_barrier_wait(&meeting.inside);
	/* While the scan runs: registering, shrinking with what costs nothing, ending. */
	begin(&cache, 100, ASHMEM_SHRINKER_FREE);
	pthread_create(&other, NULL, shrink_another, &cache);
	pthread_join(other, &result);
	expect(result == NULL);
	cache.pages = 0;
	end(&cache);
	pthread_barrier_wait(&meeting.go_on);
	pthread_join(slow, &result);
	expect(result == NULL);
	ashmem_shrinker_unregister(meeting.cache.shrinker);
}

/* -- fork -- */

static void child_uses_copies(void *argument)
{
	struct cache *cache = argument;

	expect_eq(ashmem_shrink_count(), 100);
	expect_eq(ashmem_shrink(30), 30);
	expect_eq(cache->pages, 70);
	end(cache);
	expect_eq(ashmem_shrink_count(), 0);
}

CONTRACT_TEST(shrinkers, a_child_has_copies)
{
	struct cache cache;

	begin(&cache, 100, 0);
	run_child(child_uses_copies, &cache);
	expect_eq(cache.pages, 100);
	expect_eq(ashmem_shrink(10), 10);
	end(&cache);
}

static void child_ends_it(void *argument)
{
	struct meeting *meeting = argument;

	/* the call runs in the parent, not here */
	ashmem_shrinker_unregister(meeting->cache.shrinker);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(ashmem_shrink(10), 0);
}

CONTRACT_TEST(shrinkers, a_child_does_not_wait_for_calls_of_its_parents_threads)
{
	struct meeting meeting;
	pthread_t thread;
	void *result;

	begin_meeting(&meeting);
	pthread_create(&thread, NULL, shrink_ten, NULL);
	pthread_barrier_wait(&meeting.inside);
	run_child(child_ends_it, &meeting);
	pthread_barrier_wait(&meeting.go_on);
	pthread_join(thread, &result);
	expect(result == NULL);
	ashmem_shrinker_unregister(meeting.cache.shrinker);
}

static void fork_within(struct cache *cache)
{
	pid_t child = fork();

	if (child == 0)
		return; /* goes on as the child */
	*(pid_t *)cache->context = child;
	cache->within = NULL;
}

CONTRACT_TEST(shrinkers, a_fork_from_within_goes_on_in_both)
{
	struct cache cache;
	pid_t parent = getpid(), child = 0;

	begin(&cache, 100, 0);
	cache.context = &child;
	cache.within = fork_within;
	int64_t freed = ashmem_shrink(10);
	if (getpid() != parent) {
		int ok = freed == 10 && cache.pages == 90;
		ashmem_shrinker_unregister(cache.shrinker);
		_exit(ok && cache.releases == 1 && ashmem_shrink(1) == 0 ? 0 : 1);
	}
	expect_eq(freed, 10);
	child_join(child);
	end(&cache);
}

/* -- statistics -- */

CONTRACT_TEST(shrinkers, statistics_tell_names_in_order)
{
	struct cache cache = {.pages = 10}, other;
	struct ashmem_shrinker_options options = options_of(&cache);
	struct ashmem_shrinker_stats stats;
	char name[100];

	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = '\0';
	options.name = name;
	options.batch_pages = 9;
	options.seeks = 5;
	begin(&other, 1, 0);
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
	end(&other);
	expect_eq(shrinker_stats(1).batch_pages, 9);
	end(&cache);
}
