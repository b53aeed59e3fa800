/* SPDX-License-Identifier: MIT */
/*
 * Purges beside areas whose locks are not free: what is free is purged at once, and all waiting of
 * one call keeps within the bound of docs/security.md, whatever the number of areas and of rounds.
 */
#define _GNU_SOURCE 1
#include "base/context.h"
#include "base/lock.h"
#include "memfd/control.h"
#include "support/areas.h"
#include "support/contract.h"
#include "support/locks.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define NEEDS_LOCKS() skip_on_kernel("the driver's lock is the kernel's")

/* More ranges than notices of one round. */
enum { MANY_AREAS = 300, FEW_AREAS = 12, RANGES = 1500 };

static uint64_t milliseconds(void)
{
	return sys_now_ns() / 1000000;
}

/* An area with an unpinned page, and its lock as a peer sees it. */
struct lockable {
	struct ashmem_area *area;
	struct control *control;
};

static struct lockable lockable_make(void)
{
	struct lockable made = {.area = area_of_pages(1)};
	struct stat status;
	int fd = ashmem_fd(made.area);

	expect(fd >= 0 && fstat(fd, &status) == 0);
	size_t bytes = (size_t)status.st_size - (size_t)page_bytes();
	void *block = mmap(NULL, bytes, PROT_RW, MAP_SHARED, fd, (off_t)page_bytes());
	expect(block != MAP_FAILED);
	made.control = (struct control *)((char *)block + bytes - CONTROL_BYTES);
	unpin_pages(made.area, 0, 1);
	return made;
}

/* Thread 1 is alive and no thread of ours. */
static void set_locks(struct lockable *some, unsigned count, uint32_t owner)
{
	for (unsigned i = 0; i < count; i++)
		__atomic_store_n(&some[i].control->lock, owner, __ATOMIC_SEQ_CST);
}

static void make_locked(struct lockable *some, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		some[i] = lockable_make();
	set_locks(some, count, 1);
}

static void drop(struct lockable *some, unsigned count)
{
	set_locks(some, count, 0);
	for (unsigned i = 0; i < count; i++)
		ashmem_close(some[i].area);
}

static void unpin_apart(const struct view *view)
{
	for (uint64_t i = 0; i < RANGES; i++)
		unpin_pages(view->area, 2 * (i * 701 % RANGES), 1);
}

static void count_pages(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)area;
	(void)offset;
	*(uint64_t *)userdata += length / page_bytes();
}

CONTRACT_TEST(locked_areas, what_is_free_is_purged_without_waiting)
{
	static struct lockable locked[MANY_AREAS];

	NEEDS_LOCKS();
	make_locked(locked, MANY_AREAS);
	struct view view = view_make(2);
	unpin_pages(view.area, 0, 1); /* the youngest of all */
	uint64_t began = milliseconds();
	expect_eq(ashmem_shrink(1), 1);
	expect(milliseconds() - began < 1500);
	drop(locked, MANY_AREAS);
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

/* Who has a lock may be without a processor for long, while others take memory. */
CONTRACT_TEST(locked_areas, relief_does_not_sleep_while_there_are_others)
{
	struct lockable locked[FEW_AREAS];
	uint64_t patience_ns = LOCK_TIMEOUT_NS;
	struct context relief = {.flags = CONTEXT_RELIEF, .patience_ns = &patience_ns};

	NEEDS_LOCKS();
	make_locked(locked, FEW_AREAS);
	struct view view = view_make(2);
	unpin_pages(view.area, 0, 1); /* the youngest of all */
	context_push(&relief);
	expect_eq(ashmem_shrink(1), 1);
	context_pop(&relief);
	for (unsigned i = 0; i < FEW_AREAS; i++) /* whoever sleeps leaves a mark */
		expect_eq(__atomic_load_n(&locked[i].control->lock, __ATOMIC_SEQ_CST), 1);
	drop(locked, FEW_AREAS);
	view_drop(&view);
}

CONTRACT_TEST(locked_areas, rounds_of_notices_do_not_wait_anew)
{
	static struct lockable locked[FEW_AREAS];
	uint64_t told = 0;

	NEEDS_LOCKS();
	make_locked(locked, FEW_AREAS);
	struct view view = view_make(2 * RANGES);
	int id = ashmem_purge_subscribe(count_pages, &told);
	unpin_apart(&view);
	uint64_t began = milliseconds();
	expect_eq(ashmem_shrink(RANGES), RANGES);
	expect(milliseconds() - began < 1500);
	expect_eq(told, RANGES);

	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_WAS_PURGED);
	unpin_apart(&view);
	began = milliseconds();
	expect_eq(ashmem_purge_all(), -ETIMEDOUT);
	expect(milliseconds() - began < LOCK_TIMEOUT_NS / 1000000 + 1500);
	expect_eq(told, 2 * RANGES);
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	drop(locked, FEW_AREAS);
	view_drop(&view);
}

CONTRACT_TEST(locked_areas, budget_waits_no_longer_than_one_purge)
{
	static struct lockable locked[FEW_AREAS];
	struct ashmem_budget_options limit = {.struct_size = sizeof limit};
	uint64_t told = 0;

	NEEDS_LOCKS();
	make_locked(locked, FEW_AREAS);
	struct view view = view_make(2 * RANGES);
	int id = ashmem_purge_subscribe(count_pages, &told);
	unpin_apart(&view);
	limit.unpinned_bytes = page_bytes();
	uint64_t began = milliseconds();
	expect_eq(ashmem_budget_set_limits(ashmem_budget_process(), &limit), 0);
	expect(milliseconds() - began < LOCK_TIMEOUT_NS / 1000000 + 1500);
	expect_eq(told, RANGES);
	began = milliseconds();
	unpin_pages(view.area, 1, 1);
	expect(milliseconds() - began < LOCK_TIMEOUT_NS / 1000000 + 1500);
	ashmem_budget_close(ashmem_budget_process());
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	drop(locked, FEW_AREAS);
	view_drop(&view);
}

static uint64_t count_some(void *userdata)
{
	return *(uint64_t *)userdata;
}

static int64_t give_one(void *userdata, uint64_t nr_pages)
{
	(void)nr_pages;
	return (*(uint64_t *)userdata)-- > 0;
}

CONTRACT_TEST(locked_areas, rounds_beside_shrinkers_do_not_wait_anew)
{
	static struct lockable locked[FEW_AREAS];
	uint64_t cached = 40;
	struct ashmem_shrinker_options options = {.struct_size = sizeof options,
		.count = count_some,
		.scan = give_one,
		.userdata = &cached};
	struct ashmem_shrinker *shrinker;

	NEEDS_LOCKS();
	make_locked(locked, FEW_AREAS);
	expect_eq(ashmem_shrinker_register(&options, &shrinker), 0);
	uint64_t began = milliseconds();
	expect(ashmem_shrink(1000) > 0);
	expect(milliseconds() - began < LOCK_TIMEOUT_NS / 1000000 + 1500);
	ashmem_shrinker_unregister(shrinker);
	drop(locked, FEW_AREAS);
}

static void *unlock_later(void *lockable)
{
	nap(700);
	set_locks(lockable, 1, 0);
	return NULL;
}

CONTRACT_TEST(locked_areas, are_waited_for_when_nothing_else_is_left)
{
	struct lockable locked;
	pthread_t thread;

	NEEDS_LOCKS();
	make_locked(&locked, 1);
	struct view view = view_make(2);
	unpin_pages(view.area, 0, 1);
	expect_eq(pthread_create(&thread, NULL, unlock_later, &locked), 0);
	uint64_t began = milliseconds();
	expect_eq(ashmem_shrink(2), 2);
	expect(milliseconds() - began >= 500);
	expect_eq(pthread_join(thread, NULL), 0);
	expect_eq(stats_of(locked.area).lock_timeouts, 1);
	expect_eq(ashmem_pin(locked.area, 0, 0), ASHMEM_WAS_PURGED);
	drop(&locked, 1);
	view_drop(&view);
}
