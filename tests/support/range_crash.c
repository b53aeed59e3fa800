/* SPDX-License-Identifier: MIT */
/* A crash at every store of an operation on a range list: see range_crash.h. */
#define _GNU_SOURCE 1
#include "support/range_crash.h"
#include "support/contract.h"
#include "support/stepper.h"

#include <inttypes.h>
#include <stdio.h>

enum { MOST_RANGES = 4096 };

struct snapshot {
	uint64_t count;
	struct range ranges[MOST_RANGES];
};

/* One operation, and what is known of it. */
struct crash {
	void (*operate)(struct range_list *list);
	struct arena *before;  /* never changed */
	struct arena *running; /* the child works on it */
	struct arena *seen;    /* the child's memory when we looked last */
	struct arena *crashed; /* a copy to recover; its second view is the survivor's */
	struct snapshot was, will_be;
	uint64_t stores, recovered_before, recovered_after;
	uint64_t again_every;
};

static struct crash crash;

/* -- comparing -- */

static void take_snapshot(struct range_list *list, struct snapshot *snapshot)
{
	snapshot->count = list_read(list, snapshot->ranges, MOST_RANGES);
	expect(snapshot->count <= MOST_RANGES);
}

static int snapshots_equal(const struct snapshot *a, const struct snapshot *b)
{
	if (a->count != b->count)
		return 0;
	for (uint64_t i = 0; i < a->count; i++)
		if (!ranges_equal(&a->ranges[i], &b->ranges[i]))
			return 0;
	return 1;
}

/* A recovered list is the one before or the one after the operation. */
static void expect_whole_or_nothing(struct range_list *list)
{
	static struct snapshot now;
	int before, after;

	expect_msg(range_validate(list) == 0, "not valid after store %" PRIu64, crash.stores);
	take_snapshot(list, &now);
	before = snapshots_equal(&now, &crash.was);
	after = snapshots_equal(&now, &crash.will_be);
	expect_msg(before || after, "neither before nor after at store %" PRIu64 ": %s",
		crash.stores, list_text(list));
	crash.recovered_before += (uint64_t)before;
	crash.recovered_after += (uint64_t)after;
}

/* -- crashes -- */

static void recover(void *argument)
{
	(void)argument;
	expect_eq(range_recover(crash.crashed->list), 0);
}

/* What a survivor remembers: the ways to some leaves, last the one that the operation is about. */
static void warm_up(struct range_list *list)
{
	uint32_t pages = crash.before->pages;

	for (uint32_t page = 0; page < pages; page += pages / 4 + 1)
		expect(range_overlaps(list, page, page) >= 0);
	expect(range_overlaps(list, pages / 2, pages / 2) >= 0);
}

/* A crash with the memory in the state that `seen` holds. */
static void crash_here(void)
{
	struct range_list *survivor = &crash.crashed->view[1].list;

	arena_copy(crash.crashed, crash.before);
	warm_up(survivor);
	arena_copy_memory(crash.crashed, crash.seen);
	recover(NULL);
	expect_whole_or_nothing(crash.crashed->list);
	expect_whole_or_nothing(survivor);

	/* Life goes on: both operations end as one would have. */
	crash.operate(survivor);
	expect_eq(range_validate(survivor), 0);
	expect_sound(crash.crashed->list);
}

static void look_at_recovery(void *context)
{
	struct arena *last = context;

	if (!arena_differs(last, crash.crashed))
		return;
	arena_copy_memory(last, crash.crashed);
	/* `last` becomes the copy that the second recovery works on; it must be as we saw it
	 * afterwards. */
	struct arena *again = arena_make(last->pages);
	arena_copy(again, last);
	expect_eq(range_recover(again->list), 0);
	expect_whole_or_nothing(again->list);
	arena_drop(again);
}

/* A crash during the recovery from a crash, at every store. */
static void crash_again(void)
{
	struct arena *last = arena_make(crash.before->pages);

	arena_copy(crash.crashed, crash.seen);
	arena_copy(last, crash.seen);
	step_through(recover, NULL, look_at_recovery, last, NULL);
	expect_whole_or_nothing(crash.crashed->list);
	arena_drop(last);
}

static void look(void *context)
{
	(void)context;
	if (!arena_differs(crash.seen, crash.running))
		return;
	arena_copy_memory(crash.seen, crash.running);
	crash.stores++;
	crash_here();
	if (crash.again_every && crash.stores % crash.again_every == 0)
		crash_again();
}

static void run_operation(void *argument)
{
	(void)argument;
	crash.operate(crash.running->list);
}

static struct arena *copy_of(const struct arena *from)
{
	struct arena *copy = arena_make(from->pages);

	arena_copy(copy, from);
	return copy;
}

void crash_everywhere(struct arena *before, void (*operate)(struct range_list *list),
	uint64_t again_every)
{
	struct arena *after = copy_of(before);
	uint64_t steps;

	crash.operate = operate;
	crash.again_every = again_every;
	crash.before = before;
	crash.running = copy_of(before);
	crash.seen = copy_of(before);
	crash.crashed = copy_of(before);
	arena_add_view(crash.crashed);
	crash.stores = crash.recovered_before = crash.recovered_after = 0;
	take_snapshot(before->list, &crash.was);
	operate(after->list);
	expect_sound(after->list);
	take_snapshot(after->list, &crash.will_be);

	warm_up(crash.running->list);
	steps = step_through(run_operation, NULL, look, NULL, NULL);
	expect(crash.stores > 0 || snapshots_equal(&crash.was, &crash.will_be));
	expect(crash.stores == 0 || crash.recovered_after > 0);
	expect_eq(range_validate(crash.running->list), 0);
	take_snapshot(crash.running->list, &crash.was);
	expect(snapshots_equal(&crash.was, &crash.will_be));
	fprintf(stderr, "%" PRIu64 " instructions, %" PRIu64 " stores\n", steps, crash.stores);

	arena_drop(after);
	arena_drop(crash.before);
	arena_drop(crash.running);
	arena_drop(crash.seen);
	arena_drop(crash.crashed);
}
