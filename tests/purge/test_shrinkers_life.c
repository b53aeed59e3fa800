/* SPDX-License-Identifier: MIT */
/*
 * Registered shrinkers come and go at any time: from within a call, on other threads, over a fork;
 * and may purge and use areas from within.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/caches.h"
#include "support/children.h"
#include "support/contract.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* -- coming and going -- */

static void unregister_self(struct cache *cache)
{
	ashmem_shrinker_unregister(cache->shrinker);
	expect_eq(cache->releases, 0); /* it runs still */
}

CONTRACT_TEST(shrinkers, ending_from_within_a_scan_takes_effect_when_that_returns)
{
	struct cache cache, other;

	cache_begin(&cache, 1000, 0);
	cache_begin(&other, 1000, 0);
	cache.within = unregister_self;
	expect_eq(ashmem_shrink(1000), 1000);
	expect_eq(cache.scans, 1);
	expect_eq(cache.releases, 1);
	expect_eq(cache.pages, 1000 - 128);
	expect_eq(other.pages, 128);
	expect_eq(ashmem_shrink(1000), 128);
	expect_eq(cache.scans, 1);
	cache_end(&other);
}

CONTRACT_TEST(shrinkers, ending_from_within_a_count_takes_effect_when_that_returns)
{
	struct cache cache;

	cache_begin(&cache, 1000, 0);
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

	cache_begin(&one, 1000, 0);
	cache_begin(&two, 1000, 0);
	one.context = &two;
	one.within = unregister_other;
	expect_eq(ashmem_shrink(100), 100);
	expect_eq(two.scans, 0);
	expect_eq(one.pages, 900);
	cache_end(&one);
}

static void register_other(struct cache *cache)
{
	cache_begin(cache->context, 1000, 0);
	cache->within = NULL;
}

CONTRACT_TEST(shrinkers, one_that_comes_meanwhile_takes_part_from_the_next_round_on)
{
	struct cache one, two;

	cache_begin(&one, 100, 0);
	one.context = &two;
	one.within = register_other;
	expect_eq(ashmem_shrink(300), 300);
	expect_eq(one.pages, 0);
	expect_eq(two.pages, 800);
	cache_end(&one);
	cache_end(&two);
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
	cache_begin(&cache, 1000, 1);
	cache.context = &view;
	cache.within = shrink_within;
	expect_eq(ashmem_shrink(100), 100);
	expect_eq(cache.scans, 1);
	cache_end(&cache);
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
	cache_begin(&cache, 1000, ASHMEM_SHRINKER_FREE);
	cache.context = &view;
	cache.within = use_areas_within;
	expect_eq(ashmem_shrink(10), 10);
	expect_eq(cache.scans, 1);
	cache_end(&cache);
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
	cache_begin(&cache, 100, ASHMEM_SHRINKER_FREE);
	pthread_create(&other, NULL, shrink_another, &cache);
	pthread_join(other, &result);
	expect(result == NULL);
	cache.pages = 0;
	cache_end(&cache);
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
	cache_end(cache);
	expect_eq(ashmem_shrink_count(), 0);
}

CONTRACT_TEST(shrinkers, a_child_has_copies)
{
	struct cache cache;

	cache_begin(&cache, 100, 0);
	run_child(child_uses_copies, &cache);
	expect_eq(cache.pages, 100);
	expect_eq(ashmem_shrink(10), 10);
	cache_end(&cache);
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

	cache_begin(&cache, 100, 0);
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
	cache_end(&cache);
}
