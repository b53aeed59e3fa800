/* SPDX-License-Identifier: MIT */
/*
 * stats.h: what is pinned, really in memory, held, sealed and waited for, of an area and of the
 * process; and that read-only peers can ask. The plainer counts are in test_stats.c. The driver
 * tells none of it.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/controls.h"

#include "base/context.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEEDS_COUNTS() skip_on_kernel("the driver tells no counts")

CONTRACT_TEST(area_stats, pinned_and_unpinned_make_the_area)
{
	struct view view;
	struct ashmem_area *area;

	NEEDS_COUNTS();
	area = area_of_pages(7);
	expect_eq(stats_of(area).pinned_pages, 7);
	expect_eq(stats_of(area).resident_pages, 0);
	ashmem_close(area);
	view = view_make(10);
	unpin_pages(view.area, 2, 3);
	expect_eq(stats_of(view.area).pinned_pages, 7);
	expect_eq(stats_of(view.area).unpinned_pages, 3);
	purge_everything();
	expect_eq(stats_of(view.area).pinned_pages, 7);
	view_drop(&view);
}

CONTRACT_TEST(area_stats, resident_pages_are_those_that_take_memory)
{
	NEEDS_COUNTS();
	struct view view = view_make(1000);
	expect_eq(stats_of(view.area).resident_pages, 0); /* not established: no state anywhere */
	fill_pages(&view, 10, 50, 1);
	expect_eq(stats_of(view.area).resident_pages, 50);
	expect_eq(ashmem_unpin(view.area, 0, 20 * page_bytes()), 0);
	expect_eq(stats_of(view.area).resident_pages, 50); /* the state is not counted */
	expect_eq(ashmem_unpin(view.area, 500 * page_bytes(), page_bytes()), 0);
	fill_pages(&view, 900, 7, 2);
	expect_eq(stats_of(view.area).resident_pages, 57);
	expect_eq(ashmem_purge_all(), 21);
	expect_eq(stats_of(view.area).resident_pages, 47);
	fill_pages(&view, 0, 1, 3); /* used without a pin, and so in memory again */
	expect_eq(stats_of(view.area).resident_pages, 48);
	view_drop(&view);
}

/* The state of many ranges takes many pages, none of which is the data's. */
CONTRACT_TEST(area_stats, state_of_many_ranges_is_not_resident_data)
{
	uint64_t page;

	NEEDS_COUNTS();
	struct view view = view_make(4000);
	for (page = 0; page < 4000; page += 2)
		expect_eq(ashmem_unpin(view.area, page * page_bytes(), page_bytes()), 0);
	expect_eq(stats_of(view.area).resident_pages, 0);
	fill_pages(&view, 0, 3, 1);
	expect_eq(stats_of(view.area).resident_pages, 3);
	view_drop(&view);
}

CONTRACT_TEST(area_stats, foreign_memfd_has_size_and_resident_pages)
{
	struct ashmem_area *area = NULL;
	struct ashmem_area_stats stats;
	char byte = 1;
	int fd;

	NEEDS_COUNTS();
	fd = memfd_create("foreign", MFD_CLOEXEC);
	expect(fd >= 0);
	expect_eq(ftruncate(fd, (off_t)(5 * page_bytes())), 0);
	expect_eq(pwrite(fd, &byte, 1, (off_t)(2 * page_bytes())), 1);
	expect_eq(ashmem_import(fd, &area), 0);
	stats = stats_of(area);
	expect_eq(stats.size_pages, 5);
	expect_eq(stats.pinned_pages, 5);
	expect_eq(stats.resident_pages, 1);
	ashmem_close(area);
	close(fd);
}

CONTRACT_TEST(area_stats, sealed_areas_say_so_and_have_nothing_to_purge)
{
	struct ashmem_area *area = NULL;
	uint64_t before;

	NEEDS_COUNTS();
	expect_eq(ashmem_create("sealed", 4 * page_bytes(), ASHMEM_CREATE_ALLOW_SEAL, &area), 0);
	expect(ashmem_fd(area) >= 0);
	unpin_pages(area, 0, 2);
	before = process_stats().sealed_areas;
	expect_eq(stats_of(area).sealed, 0);
	expect_eq(stats_of(area).evictable_pages, 2);
	if (ashmem_seal(area) == -ENOTSUP)
		contract_skip("no F_SEAL_FUTURE_WRITE before Linux 5.1");
	expect_eq(stats_of(area).sealed, 1);
	expect_eq(stats_of(area).evictable_pages, 0);
	expect_eq(stats_of(area).unpinned_pages, 2);
	expect_eq(process_stats().sealed_areas, before + 1);
	ashmem_close(area);
}

CONTRACT_TEST(area_stats, holds_are_counted_in_pages_of_this_process)
{
	NEEDS_COUNTS();
	struct view view = view_make(10);
	expect_eq(stats_of(view.area).readers, 0);
	expect_eq(ashmem_hold(view.area, 0, 4 * page_bytes()), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_hold(view.area, 2 * page_bytes(), 4 * page_bytes()), ASHMEM_NOT_PURGED);
	expect_eq(stats_of(view.area).held_pages, 6);
	expect_eq(stats_of(view.area).readers, 1);
	expect_eq(ashmem_release(view.area, 0, 4 * page_bytes(), 0), 0);
	expect_eq(stats_of(view.area).held_pages, 4);
	expect_eq(process_stats().held_pages, 4);
	expect_eq(ashmem_release(view.area, 2 * page_bytes(), 4 * page_bytes(), 0), 0);
	expect_eq(stats_of(view.area).held_pages, 0);
	view_drop(&view);
}

/* Read-only peers */

struct peer {
	struct view *view;
	int fd;
};

static void look_read_only(void *argument)
{
	struct peer *peer = argument;
	struct ashmem_area *reader = NULL;
	struct ashmem_area_stats stats;

	ashmem_close(peer->view->area); /* the handle that can write */
	expect_eq(ashmem_import(peer->fd, &reader), 0);
	expect_eq(pin_pages(reader, 3, 2), ASHMEM_WAS_PURGED);
	stats = stats_of(reader);
	expect_eq(stats.size_pages, 20);
	expect_eq(stats.unpinned_ranges, 2);
	expect_eq(stats.unpinned_pages, 8);
	expect_eq(stats.evictable_pages, 2);
	expect_eq(stats.purged_pages, 6);
	expect_eq(stats.pins_found_purged, 0); /* a reader cannot count its own */
	expect_eq(stats.resident_pages, 14);
	expect_eq(stats.held_pages, 2);
	expect_eq(stats.readers, 1);
	ashmem_close(reader);
}

CONTRACT_TEST(area_stats, read_only_peers_see_the_counts_of_all)
{
	struct view view;
	struct peer peer = {.view = &view};

	NEEDS_COUNTS();
	view = view_make(20);
	fill_pages(&view, 0, 20, 1);
	peer.fd = ashmem_export_read_only(view.area);
	expect(peer.fd >= 0);
	unpin_pages(view.area, 0, 6);
	expect_eq(ashmem_shrink(1), 6);
	unpin_pages(view.area, 10, 2);
	run_child(look_read_only, &peer);
	expect_eq(stats_of(view.area).held_pages, 0);
	close(peer.fd);
	view_drop(&view);
}

/* Waits */

struct holder {
	int fd;
	struct gate locked;
};

static void lock_for_a_while(void *argument)
{
	struct holder *holder = argument;
	struct control_map map;

	expect_eq(attach(&map, holder->fd), 0);
	expect_eq(control_lock(&map), 0);
	gate_open(&holder->locked);
	usleep(100000);
	control_unlock(&map, 0);
}

static struct holder hold_lock_of(struct ashmem_area *area, pid_t *child)
{
	struct holder holder = {.fd = ashmem_fd(area)};

	gate_make(&holder.locked);
	*child = child_start(lock_for_a_while, &holder);
	gate_wait(&holder.locked);
	return holder;
}

CONTRACT_TEST(area_stats, waits_for_the_lock_are_counted)
{
	struct holder holder;
	pid_t child;
	int i;

	NEEDS_COUNTS();
	struct view view = view_make(4);
	for (i = 0; i < 1000; i++) {
		unpin_pages(view.area, 0, 1);
		expect_eq(pin_pages(view.area, 0, 1), ASHMEM_NOT_PURGED);
	}
	expect_eq(stats_of(view.area).lock_waits, 0);
	holder = hold_lock_of(view.area, &child);
	unpin_pages(view.area, 0, 1);
	child_join(child);
	gate_drop(&holder.locked);
	expect_eq(stats_of(view.area).lock_waits, 1);
	expect_eq(stats_of(view.area).lock_timeouts, 0);
	view_drop(&view);
}

CONTRACT_TEST(area_stats, given_up_waits_are_counted)
{
	struct view view;
	struct holder holder;
	uint64_t patience_ns = 0; /* of five seconds nothing is left */
	struct context frame = {.patience_ns = &patience_ns};
	pid_t child;

	NEEDS_COUNTS();
	view = view_make(4);
	expect_eq(ashmem_unpin(view.area, 0, page_bytes()), 0);
	holder = hold_lock_of(view.area, &child);
	context_push(&frame);
	expect_eq(ashmem_pin(view.area, 0, 0), -ETIMEDOUT);
	context_pop(&frame);
	child_join(child);
	gate_drop(&holder.locked);
	expect_eq(stats_of(view.area).lock_timeouts, 1);
	expect_eq(process_stats().lock_timeouts, 1);
	view_drop(&view);
}

/* The process */

CONTRACT_TEST(process_stats, sums_are_those_of_the_areas)
{
	struct ashmem_process_stats before, after;
	struct view views[2];
	struct ashmem_area *newborn;

	NEEDS_COUNTS();
	before = process_stats();
	views[0] = view_make(10);
	views[1] = view_make(20);
	newborn = area_of_pages(30);
	fill_pages(&views[0], 0, 10, 1);
	fill_pages(&views[1], 5, 5, 1);
	unpin_pages(views[0].area, 0, 4);
	unpin_pages(views[1].area, 0, 1);
	unpin_pages(views[1].area, 2, 1);
	expect_eq(ashmem_shrink(4), 4);
	expect_eq(pin_pages(views[0].area, 3, 1), ASHMEM_WAS_PURGED);
	after = process_stats();
	expect_eq(after.areas - before.areas, 3);
	expect_eq(after.unknown_areas - before.unknown_areas, 0);
	expect_eq(after.size_pages - before.size_pages, 60);
	expect_eq(after.unpinned_pages - before.unpinned_pages, 5);
	expect_eq(after.unpinned_ranges - before.unpinned_ranges, 3);
	expect_eq(after.pinned_pages - before.pinned_pages, 55);
	/* 15 were filled, two more unpinned, and 4 of them went. */
	expect_eq(after.resident_pages - before.resident_pages, 13);
	expect_eq(after.areas_purged_pages - before.areas_purged_pages, 4);
	expect_eq(after.purged_pages - before.purged_pages, 4);
	expect_eq(after.pins_found_purged - before.pins_found_purged, 1);
	expect_eq(after.evictable_pages - before.evictable_pages, 2);
	ashmem_close(newborn);
	view_drop(&views[0]);
	view_drop(&views[1]);
}

CONTRACT_TEST(process_stats, who_does_not_know_of_sums_gets_none)
{
	struct ashmem_process_stats stats = {.size_pages = 77};
	struct view view = view_make(4);

	stats.struct_size = offsetof(struct ashmem_process_stats, size_pages);
	expect_eq(ashmem_process_get_stats(&stats), 0);
	expect(stats.areas > 0);
	expect_eq(stats.size_pages, 77);
	view_drop(&view);
}

CONTRACT_TEST(process_stats, pressure_is_what_a_watch_said_last)
{
	struct ashmem_process_stats stats = process_stats();

	expect_eq(stats.pressure_level, ASHMEM_PRESSURE_NONE);
	expect_str(stats.pressure_source, "none");
	expect_eq(stats.reserved, 0);
}

CONTRACT_TEST(process_stats, driver_areas_are_unknown)
{
	struct ashmem_process_stats before, after;
	struct view view;

	if (!backend_is_kernel())
		contract_skip("for the kernel backend");
	before = process_stats();
	view = view_make(4);
	after = process_stats();
	expect_eq(after.areas - before.areas, 1);
	expect_eq(after.unknown_areas - before.unknown_areas, 1);
	expect_eq(after.size_pages - before.size_pages, 0);
	view_drop(&view);
}

/* Threads that open and close areas while others count. */
static void *open_and_close(void *stop)
{
	while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED)) {
		struct ashmem_area *area = NULL;

		if (ashmem_create("short", page_bytes(), 0, &area) < 0 || ashmem_fd(area) < 0)
			return stop;
		ashmem_close(area);
	}
	return NULL;
}

CONTRACT_TEST(process_stats, areas_may_come_and_go_meanwhile)
{
	struct ashmem_area *held[3];
	pthread_t threads[2];
	int stop = 0, i;
	void *failed;

	NEEDS_COUNTS();
	for (i = 0; i < 3; i++)
		held[i] = area_of_pages(2);
	for (i = 0; i < 2; i++)
		expect_eq(pthread_create(&threads[i], NULL, open_and_close, &stop), 0);
	for (i = 0; i < 2000; i++)
		expect(process_stats().size_pages >= 6);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++) {
		expect_eq(pthread_join(threads[i], &failed), 0);
		expect(failed == NULL);
	}
	for (i = 0; i < 3; i++)
		ashmem_close(held[i]);
}
