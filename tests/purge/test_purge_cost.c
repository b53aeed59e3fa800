/* SPDX-License-Identifier: MIT */
/*
 * What a purge costs where there are many areas: how often it asks an area what it could give. And
 * that it takes the oldest nevertheless, whatever happened since areas were asked last.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/budgets.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/random.h"
#include "support/toy_backend.h"

#include <unistd.h>

enum { FEW = 50, MANY = 500, PURGES = 1000 };

#define NEEDS_SHRINK() skip_on_kernel("only the kernel purges the driver's areas")

/* -- looks at areas, counted by a backend of the test's own -- */

/* One page each, unpinned in this order. */
struct crowd {
	int areas;
	struct ashmem_area *area[MANY];
	int is_purged[MANY];
	uint64_t unpinned_at[MANY]; /* a clock of ours */
	uint64_t clock;
};

static struct crowd crowd_make(int areas)
{
	struct crowd crowd = {.areas = areas};
	void *addr;

	for (int i = 0; i < areas; i++) {
		crowd.area[i] = area_of_pages(1);
		expect_eq(ashmem_map(crowd.area[i], 0, page_bytes(), PROT_RW, MAP_SHARED, &addr),
			0);
		expect_eq(ashmem_unmap(addr, page_bytes()), 0);
		expect_eq(ashmem_unpin(crowd.area[i], 0, page_bytes()), 0);
		crowd.unpinned_at[i] = ++crowd.clock;
	}
	return crowd;
}

static void crowd_drop(struct crowd *crowd)
{
	for (int i = 0; i < crowd->areas; i++)
		ashmem_close(crowd->area[i]);
}

/* The oldest of those that are not purged. */
static int crowd_oldest(const struct crowd *crowd)
{
	int oldest = -1;

	for (int i = 0; i < crowd->areas; i++) {
		if (!crowd->is_purged[i] &&
			(oldest < 0 || crowd->unpinned_at[i] < crowd->unpinned_at[oldest]))
			oldest = i;
	}
	return oldest;
}

/* Pin and unpin one area. 1: it was purged, so one more is unpinned, and the oldest must go. */
static int use(struct crowd *crowd, int i)
{
	int r = pin_pages(crowd->area[i], 0, 1);

	expect_eq(r, crowd->is_purged[i] ? ASHMEM_WAS_PURGED : ASHMEM_NOT_PURGED);
	expect_eq(ashmem_unpin(crowd->area[i], 0, page_bytes()), 0);
	crowd->unpinned_at[i] = ++crowd->clock;
	crowd->is_purged[i] = 0;
	if (r == ASHMEM_WAS_PURGED)
		crowd->is_purged[crowd_oldest(crowd)] = 1;
	return r == ASHMEM_WAS_PURGED;
}

/* With half of so many areas allowed: how often areas are looked at for PURGES purges. */
static int looks_of_budget(int areas, struct ashmem_budget *budget)
{
	struct random_source random = random_from(test_seed("random areas"));
	struct crowd crowd = crowd_make(areas);
	int purges = 0;

	for (int i = 0; budget != ashmem_budget_process() && i < areas; i++)
		expect_eq(ashmem_budget_add(budget, crowd.area[i]), 0);
	budget_set(budget, (uint64_t)areas / 2, NO_LIMIT);
	for (int i = 0; i < areas - areas / 2; i++)
		crowd.is_purged[crowd_oldest(&crowd)] = 1;
	toy_calls.looks = 0;
	while (purges < PURGES)
		purges += use(&crowd, (int)random_below(&random, (uint64_t)areas));
	int looks = toy_calls.looks;
	budget_set(budget, NO_LIMIT, NO_LIMIT);
	crowd_drop(&crowd);
	return looks;
}

CHILD_TEST(purge_cost, purges_for_the_process_do_not_look_at_all_areas)
{
	toy_use(TOY_LRU);
	int few = looks_of_budget(FEW, ashmem_budget_process());
	int many = looks_of_budget(MANY, ashmem_budget_process());
	expect_msg(many < 2 * few, "%d looks with %d areas, %d with %d", few, FEW, many, MANY);
}

CHILD_TEST(purge_cost, purges_for_a_group_do_not_look_at_all_areas)
{
	struct ashmem_budget *group;

	toy_use(TOY_LRU);
	group = budget_of(NO_LIMIT, NO_LIMIT);
	struct crowd others = crowd_make(FEW); /* which no purge for the group concerns */
	int few = looks_of_budget(FEW, group);
	int many = looks_of_budget(MANY - FEW, group);
	expect_msg(many < 2 * few, "%d looks with few areas, %d with many", few, many);
	ashmem_budget_close(group);
	crowd_drop(&others);
}

CHILD_TEST(purge_cost, a_new_area_is_let_in_without_a_look_at_all)
{
	toy_use(TOY_LRU);
	struct crowd crowd = crowd_make(MANY / 2);
	budget_set(ashmem_budget_process(), NO_LIMIT, MANY);
	toy_calls.looks = 0;
	struct crowd more = crowd_make(MANY / 4);
	expect_msg(toy_calls.looks < 20 * MANY / 4, "%d looks", toy_calls.looks);
	budget_set(ashmem_budget_process(), NO_LIMIT, NO_LIMIT);
	crowd_drop(&crowd);
	crowd_drop(&more);
}

CHILD_TEST(purge_cost, a_shrink_looks_once_at_each_area)
{
	toy_use(TOY_LRU);
	struct crowd crowd = crowd_make(MANY);
	for (int i = 0; i < 10; i++) {
		toy_calls.looks = 0;
		expect_eq(ashmem_shrink(1), 1);
		expect_msg(toy_calls.looks <= MANY + 10, "%d looks", toy_calls.looks);
		expect_eq(pin_pages(crowd.area[i], 0, 1), ASHMEM_WAS_PURGED);
	}
	crowd_drop(&crowd);
}

/* -- what was not a call of this process -- */

static void unpin_what_is_sent(void *argument)
{
	struct ashmem_area *area;
	int *ends = argument;
	char done = 1;

	expect_eq(ashmem_recv(ends[1], &area), 0);
	expect_eq(ashmem_unpin_with(area, 0, page_bytes(), ASHMEM_PRIORITY_FIRST,
			  ASHMEM_ORDER_FIFO),
		0);
	expect_eq(write(ends[1], &done, 1), 1);
	ashmem_close(area);
}

CONTRACT_TEST(purge_cost, what_a_peer_unpins_comes_first_if_it_is_older)
{
	int ends[2];
	char done;

	NEEDS_SHRINK();
	make_socket_pair(ends);
	pid_t child = child_start(unpin_what_is_sent, ends);
	struct view ours = full_view(4), sent = full_view(4);
	budget_set(ashmem_budget_process(), 2, NO_LIMIT);
	unpin_pages(ours.area, 0, 1);
	unpin_pages(ours.area, 2, 1);
	expect_eq(ashmem_send(ends[0], sent.area), 0);
	expect_eq(read(ends[0], &done, 1), 1);
	unpin_pages(ours.area, 3, 1); /* with the peer's that is two too many */
	expect_str(purge_picture(&sent), "P...");
	expect_str(purge_picture(&ours), "P...");
	ashmem_budget_close(ashmem_budget_process());
	child_join(child);
	close(ends[0]);
	close(ends[1]);
	view_drop(&ours);
	view_drop(&sent);
}

CONTRACT_TEST(purge_cost, memory_that_was_filled_without_a_call_counts_when_it_is_purged)
{
	NEEDS_SHRINK();
	budget_set(ashmem_budget_process(), NO_LIMIT, 8);
	struct view filled = view_make(6), unpinned = view_make(9);
	fill_pages(&filled, 0, 6, 0x11);
	fill_pages(&unpinned, 0, 9, 0x11);
	unpin_pages(unpinned.area, 0,
		9); /* all must go: without `filled` it were one page too many */
	struct ashmem_budget_usage usage = budget_usage(ashmem_budget_process());
	expect_msg(usage.over_bytes == 0, "%llu bytes over", (unsigned long long)usage.over_bytes);
	ashmem_budget_close(ashmem_budget_process());
	view_drop(&filled);
	view_drop(&unpinned);
}

CONTRACT_TEST(purge_cost, what_was_unpinned_before_there_was_a_limit_is_known)
{
	NEEDS_SHRINK();
	struct view first = full_view(2), second = full_view(2), third = full_view(4);
	budget_set(ashmem_budget_process(), 4, NO_LIMIT);
	ashmem_budget_close(ashmem_budget_process());
	unpin_pages(second.area, 0, 1);
	unpin_pages(first.area, 0, 1);
	budget_set(ashmem_budget_process(), 3, NO_LIMIT);
	unpin_pages(third.area, 0, 1);
	expect_str(purge_picture(&second), "..");
	unpin_pages(third.area, 2, 1);
	expect_str(purge_picture(&second), "P.");
	unpin_pages(third.area, 3, 1);
	expect_str(purge_picture(&first), "P.");
	ashmem_budget_close(ashmem_budget_process());
	view_drop(&first);
	view_drop(&second);
	view_drop(&third);
}
