/* SPDX-License-Identifier: MIT */
/*
 * Budgets and others: what other processes, threads, subscribers and read-only handles do counts in
 * one's own budget, or does not; children have copies.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/budgets.h"
#include "support/children.h"
#include "support/contract.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define NEEDS_COUNTS() skip_on_kernel("the driver tells no counts")

/* -- other processes, forks, threads -- */

static void unpin_three(void *argument)
{
	struct view *view = argument;

	unpin_pages(view->area, 0, 1);
	unpin_pages(view->area, 1, 1);
	unpin_pages(view->area, 2, 1);
}

CONTRACT_TEST(budget, what_others_unpin_is_noticed_by_the_next_own_call)
{
	NEEDS_COUNTS();
	struct view view = full_view(8);
	run_child(unpin_three, &view);
	/* The limit is this process's alone. */
	budget_set(ashmem_budget_process(), 4, NO_LIMIT);
	expect_str(purge_picture(&view), "........");
	unpin_pages(view.area, 4, 1);
	expect_str(purge_picture(&view), "........");
	unpin_pages(view.area, 6, 2);
	expect_str(purge_picture(&view), "PP......");
	ashmem_budget_close(ashmem_budget_process());
	view_drop(&view);
}

static void child_has_the_limit(void *argument)
{
	struct view *view = argument;

	expect_usage(ashmem_budget_process(), 1, 6);
	unpin_pages(view->area, 2, 1);
	unpin_pages(view->area, 4, 1);
	expect_str(purge_picture(view), "P.....");
	ashmem_budget_close(ashmem_budget_process());
	unpin_pages(view->area, 5, 1);
	expect_str(purge_picture(view), "P.....");
}

CONTRACT_TEST(budget, a_child_has_copies)
{
	NEEDS_COUNTS();
	struct view view = full_view(6);
	budget_set(ashmem_budget_process(), 2, NO_LIMIT);
	unpin_pages(view.area, 0, 1);
	run_child(child_has_the_limit, &view);
	expect_usage(ashmem_budget_process(), 3, 5); /* the child's; noticed, not purged */
	expect_eq(budget_usage(ashmem_budget_process()).over_bytes, page_bytes());
	unpin_pages(view.area, 1, 1);
	expect_str(purge_picture(&view), "P.P.P.");
	ashmem_budget_close(ashmem_budget_process());
	view_drop(&view);
}

enum { THREADS = 4, ROUNDS = 500, STRIPE = 8 };

struct stripe {
	pthread_t thread;
	struct view *view;
	uint64_t first;
	int wrong;
};

static void *use_stripe(void *argument)
{
	struct stripe *stripe = argument;
	struct ashmem_area *area = stripe->view->area;
	uint64_t page = page_bytes();

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t offset = (stripe->first + (uint64_t)i % STRIPE) * page;
		unsigned char *data = stripe->view->base + offset;
		int r = ashmem_pin(area, offset, page);
		if (r == ASHMEM_WAS_PURGED)
			memset(data, 0x11, page);
		if (r < 0 || data[0] != 0x11 || data[page - 1] != 0x11)
			stripe->wrong = 1;
		if (ashmem_unpin(area, offset, page) < 0)
			stripe->wrong = 1;
	}
	return NULL;
}

CONTRACT_TEST(budget, threads_keep_it_together)
{
	struct ashmem_budget *group = budget_of(10, NO_LIMIT);
	struct stripe stripes[THREADS];
	NEEDS_COUNTS();
	struct view view = full_view(THREADS * STRIPE);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	for (int i = 0; i < THREADS; i++) {
		stripes[i] = (struct stripe){.view = &view, .first = (uint64_t)i * STRIPE};
		pthread_create(&stripes[i].thread, NULL, use_stripe, &stripes[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(stripes[i].thread, NULL);
		expect_eq(stripes[i].wrong, 0);
	}
	expect_eq(budget_usage(group).unpinned_bytes, 10 * page_bytes());
	expect_eq(budget_usage(group).over_bytes, 0);
	view_drop(&view);
	ashmem_budget_close(group);
}

static void *close_group(void *argument)
{
	usleep(2000);
	ashmem_budget_close(argument);
	return NULL;
}

CONTRACT_TEST(budget, it_can_end_while_its_areas_are_in_use)
{
	NEEDS_COUNTS();
	struct view view = full_view(STRIPE);
	for (int round = 0; round < 20; round++) {
		struct ashmem_budget *group = budget_of(3, 6);
		struct stripe stripe = {.view = &view};
		pthread_t closer;
		expect_eq(ashmem_budget_add(group, view.area), 0);
		pthread_create(&stripe.thread, NULL, use_stripe, &stripe);
		pthread_create(&closer, NULL, close_group, group);
		pthread_join(stripe.thread, NULL);
		pthread_join(closer, NULL);
		expect_eq(stripe.wrong, 0);
	}
	view_drop(&view);
}

/* -- read-only handles -- */

static int depth, deepest, told, failed;

static void unpin_again(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)userdata;
	told++;
	depth++;
	deepest = depth > deepest ? depth : deepest;
	failed |= ashmem_pin(area, offset, length) < 0;
	if (told < 2000) /* so that it ends in any case */
		ashmem_unpin_with(area, offset, length, ASHMEM_PRIORITY_FIRST, ASHMEM_ORDER_FIFO);
	depth--;
}

CONTRACT_TEST(budget, a_subscriber_that_unpins_again_comes_to_an_end)
{
	struct ashmem_budget *group;

	NEEDS_COUNTS();
	struct view view = full_view(20);
	group = budget_of(1, NO_LIMIT);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	int id = ashmem_purge_subscribe(unpin_again, NULL);
	expect(id > 0);
	depth = deepest = told = failed = 0;
	for (uint64_t page = 0; page < 20; page += 2)
		expect_eq(ashmem_unpin(view.area, page * page_bytes(), page_bytes()), 0);
	expect(told > 0);
	expect(told < 1000);
	expect_eq(deepest, 1);
	expect_eq(failed, 0);
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	ashmem_budget_close(group);
	view_drop(&view);
}

CONTRACT_TEST(budget, read_only_handles_count_nothing)
{
	struct ashmem_area *reader = NULL;
	int fd;

	NEEDS_COUNTS();
	struct view view = full_view(4);
	fd = ashmem_export_read_only(view.area);
	expect(fd >= 0);
	expect_eq(ashmem_import(fd, &reader), 0);
	expect_usage(ashmem_budget_process(), 0, 4);
	ashmem_close(reader);
	close(fd);
	view_drop(&view);
}
