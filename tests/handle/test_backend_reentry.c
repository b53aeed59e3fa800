/* SPDX-License-Identifier: MIT */
/*
 * backend.h: a backend with the required operations alone, and operations that call the library
 * again. Nothing here may block: each child has an alarm that ends it.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/toy_backend.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define LRU ASHMEM_BACKEND_CAP_LRU
enum { DEADLINE_S = 20 };

/* Registering cannot be undone, so each test works in a child. */
#define REENTRY_TEST(name)                                                \
	static void name##_in_child(void);                                \
	static void name##_with_alarm(__attribute__((unused)) void *none) \
	{                                                                 \
		alarm(DEADLINE_S);                                        \
		name##_in_child();                                        \
	}                                                                 \
	CONTRACT_TEST(backend_reentry, name)                              \
	{                                                                 \
		run_child(name##_with_alarm, NULL);                       \
	}                                                                 \
	static void name##_in_child(void)

static struct ashmem_backend toy, real; /* as registered, and without our operations */

static void use_toy(void)
{
	expect_eq(ashmem_backend_register(&toy), 0);
	expect_eq(ashmem_backend_select("toy"), 0);
}

/* An area of memfd, while the toy is selected. */
static struct view view_of_memfd(unsigned pages)
{
	expect_eq(ashmem_backend_select("memfd"), 0);
	struct view view = view_make(pages);
	expect_eq(ashmem_backend_select("toy"), 0);
	return view;
}

/* -- the required operations alone -- */

static void use_required_operations(void)
{
	struct ashmem_backend all = toy_backend("toy", 0);

	/* What is beyond struct_size is not looked at. */
	memset(&toy, 0xee, sizeof toy);
	toy.struct_size = offsetof(struct ashmem_backend, unpin) + sizeof toy.unpin;
	toy.name = all.name;
	toy.capabilities = 0;
	toy.userdata = all.userdata;
	toy.create = all.create;
	toy.close = all.close;
	toy.get_size = all.get_size;
	toy.map = all.map;
	toy.pin = all.pin;
	toy.unpin = all.unpin;
	use_toy();
}

REENTRY_TEST(required_operations_are_enough)
{
	struct view view;

	use_required_operations();
	view = view_make(4);
	expect_str(ashmem_backend_name(view.area), "toy");
	expect_eq(ashmem_get_size(view.area), 4 * page_bytes());
	view.base[0] = 'x';
	unpin_pages(view.area, 0, 4);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_NOT_PURGED);
	expect_eq(view.base[0], 'x');
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(ashmem_shrink(4), 0);
	expect_eq(ashmem_purge_all(), 0);
	view_drop(&view);
	expect_eq(toy_calls.closes, 1);
}

REENTRY_TEST(optional_operations_have_defaults)
{
	struct ashmem_process_stats stats = {.struct_size = sizeof stats};
	struct ashmem_area *other = NULL;
	char name[ASHMEM_NAME_LEN] = "";
	struct view view;
	int ends[2];

	use_required_operations();
	view = view_make(2);
	expect_eq(ashmem_get_name(view.area, name, sizeof name), 0);
	expect_str(name, ASHMEM_NAME_DEF);
	expect_eq(ashmem_set_name(view.area, "other"), -ENOTSUP);
	expect_eq(ashmem_set_size(view.area, 1), -ENOTSUP);
	expect_eq(ashmem_get_prot(view.area), PROT_RWX);
	expect_eq(ashmem_set_prot(view.area, PROT_READ), -ENOTSUP);
	expect_eq(ashmem_set_prot(view.area, ashmem_get_prot(view.area)), 0); /* D9 */
	expect_eq(ashmem_fd(view.area), -ENOTSUP);
	expect_eq(ashmem_read(view.area, name, 1), -ENOTSUP);
	expect_eq(ashmem_pread(view.area, name, 1, 0), -ENOTSUP);
	expect_eq(ashmem_seek(view.area, 0, SEEK_SET), -ENOTSUP);
	expect_eq(ashmem_get_pin_status(view.area, 0, 0), -ENOTSUP);
	expect_eq(ashmem_seal(view.area), -ENOTSUP);
	expect_eq(ashmem_hold(view.area, 0, 0), -ENOTSUP);
	make_socket_pair(ends);
	expect_eq(ashmem_send(ends[0], view.area), -ENOTSUP);
	/* It knows no descriptor, so the next backend is asked. */
	expect_eq(ashmem_import(ends[0], &other), -EINVAL);
	expect_eq(ashmem_process_get_stats(&stats), 0);
	expect_eq(stats.unknown_areas, 1);
	view_drop(&view);
}

REENTRY_TEST(required_operations_are_enough_in_debug_modes)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof limits, .unpinned_bytes = page_bytes()};
	struct view view;

	use_required_operations();
	expect_eq(ashmem_debug_set("trap-unpinned,purge-on-unpin"), 0);
	expect_eq(ashmem_budget_set_limits(ashmem_budget_process(), &limits), 0);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	view.base[0] = 'x'; /* it does not say what is pinned, so nothing is trapped */
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

/* -- a purge that calls the library -- */

static struct {
	int calls;
	int subscription;
	int64_t shrink, shrink_count, purge_all;
	int set_limits, unsubscribe;
} seen;

static int64_t purge_and_ask(void *state, uint64_t newest, uint64_t nr_pages)
{
	struct ashmem_budget_options limits = {.struct_size = sizeof limits, .unpinned_bytes = 1};

	if (seen.calls++ > 0)
		return real.purge(state, newest, nr_pages);
	seen.shrink = ashmem_shrink(1);
	seen.shrink_count = (int64_t)ashmem_shrink_count();
	seen.purge_all = ashmem_purge_all();
	seen.set_limits = ashmem_budget_set_limits(ashmem_budget_process(), &limits);
	seen.unsubscribe = ashmem_purge_unsubscribe(seen.subscription);
	return real.purge(state, newest, nr_pages);
}

static void count_notice(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)area;
	(void)offset;
	(void)length;
	++*(int *)userdata;
}

static uint64_t count_thousand(void *userdata)
{
	(void)userdata;
	return 1000;
}

static int64_t free_all(void *userdata, uint64_t nr_pages)
{
	(void)userdata;
	return (int64_t)nr_pages;
}

static void use_toy_that_purges_by(int64_t (*purge)(void *, uint64_t, uint64_t))
{
	toy = real = toy_backend("toy", LRU);
	toy.purge = purge;
	use_toy();
}

REENTRY_TEST(purge_within_a_purge_is_refused)
{
	int notices = 0;
	struct view view;

	use_toy_that_purges_by(purge_and_ask);
	seen.subscription = ashmem_purge_subscribe(count_notice, &notices);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_shrink(1), 4);
	expect_eq(seen.calls, 1);
	expect_eq(seen.shrink, -EDEADLK);
	expect_eq(seen.shrink_count, 4);
	expect_eq(seen.purge_all, -EDEADLK);
	expect_eq(seen.set_limits, -EDEADLK);
	expect_eq(seen.unsubscribe, -EDEADLK);
	expect_eq(notices, 1);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_WAS_PURGED);
	/* Nothing of it has changed the library. */
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_purge_all(), 4);
	expect_eq(notices, 2);
	expect_eq(ashmem_purge_unsubscribe(seen.subscription), 0);
	view_drop(&view);
}

REENTRY_TEST(purge_within_a_purge_of_a_budget_is_refused)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof limits, .unpinned_bytes = page_bytes()};
	struct view view;

	use_toy_that_purges_by(purge_and_ask);
	expect_eq(ashmem_budget_set_limits(ashmem_budget_process(), &limits), 0);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	expect_eq(seen.calls, 1);
	expect_eq(seen.shrink, -EDEADLK);
	expect_eq(seen.set_limits, -EDEADLK);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

REENTRY_TEST(shrinkers_are_not_asked_within_a_purge)
{
	struct ashmem_shrinker_options options = {
		.struct_size = sizeof options, .count = count_thousand, .scan = free_all};
	struct ashmem_shrinker *shrinker;
	struct view view;

	use_toy_that_purges_by(purge_and_ask);
	expect_eq(ashmem_shrinker_register(&options, &shrinker), 0);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_purge_all(), 4);
	expect_eq(seen.shrink, -EDEADLK);
	expect_eq(seen.shrink_count, 4);
	ashmem_shrinker_unregister(shrinker);
	view_drop(&view);
}

static struct view inner;

/* Calls on areas that would each purge on the side. */
static int64_t purge_and_use_areas(void *state, uint64_t newest, uint64_t nr_pages)
{
	struct view own = view_of_memfd(2);

	unpin_pages(own.area, 0, 2);
	expect_eq(ashmem_unpin(inner.area, 0, 0), 0);
	expect_eq(pin_pages(inner.area, 0, 1), ASHMEM_NOT_PURGED);
	view_drop(&own);
	return real.purge(state, newest, nr_pages);
}

REENTRY_TEST(purge_can_use_areas)
{
	struct ashmem_budget_options limits = {.struct_size = sizeof limits};
	struct view view;

	limits.unpinned_bytes = 4 * page_bytes();
	use_toy_that_purges_by(purge_and_use_areas);
	inner = view_of_memfd(8);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_budget_set_limits(ashmem_budget_process(), &limits), 0);
	expect_eq(ashmem_shrink(1), 4);
	expect_eq(ashmem_shrink_count(), 7); /* over, and left to the next call */
	unpin_pages(inner.area, 0, 1);
	expect(ashmem_shrink_count() <= 4);
	view_drop(&view);
	view_drop(&inner);
}

REENTRY_TEST(purge_can_use_areas_in_debug_modes)
{
	struct view view;

	use_toy_that_purges_by(purge_and_use_areas);
	expect_eq(ashmem_debug_set("trap-unpinned,purge-on-unpin"), 0);
	inner = view_of_memfd(4);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_get_pin_status(inner.area, page_bytes(), 0), ASHMEM_IS_UNPINNED);
	view_drop(&view);
	view_drop(&inner);
}

/* -- the end of an area that is being purged -- */

static struct ashmem_area *to_close;
static int64_t shrunk_by_close;

static int64_t purge_and_close(void *state, uint64_t newest, uint64_t nr_pages)
{
	int64_t freed = real.purge(state, newest, nr_pages);

	ashmem_close(to_close); /* as another thread might; the purge has the last reference */
	return freed;
}

static void close_and_shrink(void *state)
{
	shrunk_by_close = ashmem_shrink(1);
	real.close(state);
}

REENTRY_TEST(close_is_called_with_no_lock_held)
{
	struct view other;

	toy = real = toy_backend("toy", LRU);
	toy.purge = purge_and_close;
	toy.close = close_and_shrink;
	use_toy();
	struct view view = view_make(4);
	unpin_pages(view.area, 0, 4);
	other = view_of_memfd(2);
	unpin_pages(other.area, 0, 2);
	to_close = view.area;
	expect_eq(ashmem_shrink(1), 4);
	expect_eq(shrunk_by_close, 2);
	expect_eq(toy_calls.closes, 1);
	view_drop(&other);
}

/* -- the end of a shrinker, while its function waits for the purge under way -- */

static struct ashmem_shrinker *shrinker;
static int is_scanning, scanned, released; /* atomic */

static int64_t scan_and_shrink(void *userdata, uint64_t nr_pages)
{
	(void)userdata;
	(void)nr_pages;
	__atomic_store_n(&is_scanning, 1, __ATOMIC_SEQ_CST);
	ashmem_shrink(1); /* of the areas: waits for the purge */
	__atomic_store_n(&scanned, 1, __ATOMIC_SEQ_CST);
	return ASHMEM_SHRINK_STOP;
}

static void release_shrinker(void *userdata)
{
	(void)userdata;
	expect(__atomic_load_n(&scanned, __ATOMIC_SEQ_CST));
	__atomic_fetch_add(&released, 1, __ATOMIC_SEQ_CST);
}

static void *shrink_thread(void *unused)
{
	ashmem_shrink(1);
	return unused;
}

static int64_t purge_and_end_shrinker(void *state, uint64_t newest, uint64_t nr_pages)
{
	static pthread_t thread;

	if (shrinker) {
		expect_eq(pthread_create(&thread, NULL, shrink_thread, NULL), 0);
		pthread_detach(thread);
		while (!__atomic_load_n(&is_scanning, __ATOMIC_SEQ_CST))
			usleep(1000);
		ashmem_shrinker_unregister(shrinker);
		shrinker = NULL;
		expect_eq(__atomic_load_n(&released, __ATOMIC_SEQ_CST), 0);
	}
	return real.purge(state, newest, nr_pages);
}

REENTRY_TEST(shrinker_can_end_within_a_purge)
{
	struct ashmem_shrinker_options options = {.struct_size = sizeof options,
		.count = count_thousand,
		.scan = scan_and_shrink,
		.release = release_shrinker,
		.seeks = ASHMEM_SHRINKER_FREE};
	struct view view;

	use_toy_that_purges_by(purge_and_end_shrinker);
	expect_eq(ashmem_shrinker_register(&options, &shrinker), 0);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_purge_all(), 4);
	while (!__atomic_load_n(&released, __ATOMIC_SEQ_CST))
		usleep(1000);
	usleep(50000);
	expect_eq(__atomic_load_n(&released, __ATOMIC_SEQ_CST), 1);
	view_drop(&view);
}

/* -- pins that call the library, with the trap's lock held -- */

static int64_t shrunk_by_pin;

static int pin_and_use_areas(void *state, uint64_t offset, uint64_t length)
{
	struct view own = view_of_memfd(2);

	unpin_pages(own.area, 0, 2);
	expect_eq(pin_pages(own.area, 0, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(inner.area, 0, 4), ASHMEM_NOT_PURGED);
	shrunk_by_pin = ashmem_shrink(1);
	view_drop(&own);
	return real.pin(state, offset, length);
}

REENTRY_TEST(pin_can_use_areas_in_the_trap_mode)
{
	struct view view;

	toy = real = toy_backend("toy", LRU);
	toy.pin = pin_and_use_areas;
	use_toy();
	expect_eq(ashmem_debug_set("trap-unpinned"), 0);
	inner = view_of_memfd(4);
	unpin_pages(inner.area, 0, 4);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_NOT_PURGED);
	expect_eq(shrunk_by_pin, -EDEADLK);
	inner.base[0] = view.base[0] = 'x'; /* both are pinned */
	expect_eq(ashmem_shrink_count(), 0);
	/* Without the mode no lock is held. */
	expect_eq(ashmem_debug_set(""), 0);
	unpin_pages(view.area, 0, 4);
	unpin_pages(inner.area, 0, 4);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_WAS_PURGED);
	expect(shrunk_by_pin > 0);
	view_drop(&view);
	view_drop(&inner);
}
