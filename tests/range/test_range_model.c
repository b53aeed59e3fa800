/* SPDX-License-Identifier: MIT */
/*
 * Random traces of operations on range lists against a naive model: an array that says for each
 * page which range it is in. Every answer is compared, the whole list often. The operations come
 * through several views of one memory, as several processes would make them: none may trust what it
 * remembers of the list.
 *
 * ASHMEM_TEST_SEED repeats a run; ASHMEM_TEST_OPS (200,000) is the length of each trace.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/random.h"
#include "support/range_arena.h"
#include "support/tools.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_PAGES = 5000, VIEWS = 3, PINNED = 0 };

/* The model's ranges have numbers from 1 on, as many as there are pages and one more. */
struct model {
	uint32_t pages;
	uint32_t range_of[MOST_PAGES];
	struct model_range {
		uint64_t stamp;
		uint32_t live;
		uint32_t purged;
	} ranges[MOST_PAGES + 2];
	uint32_t unused[MOST_PAGES + 2];
	uint32_t unused_count;
};

struct trace {
	struct model model;
	struct arena *arena;
	struct random_source random;
	uint64_t seed, step, stamp;
	uint32_t phase;
};

/* -- the model -- */

static void model_begin(struct model *model, uint32_t pages)
{
	model->pages = pages;
	model->unused_count = 0;
	for (uint32_t i = pages + 1; i > 0; i--)
		model->unused[model->unused_count++] = i;
	for (uint32_t page = 0; page < pages; page++)
		model->range_of[page] = PINNED;
}

static uint32_t first_of(const struct model *model, uint32_t page)
{
	while (page > 0 && model->range_of[page - 1] == model->range_of[page])
		page--;
	return page;
}

static uint32_t end_of(const struct model *model, uint32_t page)
{
	uint32_t range = model->range_of[page];

	while (page < model->pages && model->range_of[page] == range)
		page++;
	return page;
}

static struct range describe(const struct model *model, uint32_t page)
{
	const struct model_range *range = &model->ranges[model->range_of[page]];
	uint32_t start = first_of(model, page);

	return (struct range){
		.start = start,
		.pages = end_of(model, page) - start,
		.live = range->live,
		.flags = range->purged ? RANGE_PURGED : 0,
		.stamp = range->stamp,
	};
}

/* Give pages to a range, or PINNED. */
static void assign(struct model *model, uint32_t first, uint32_t end, uint32_t range)
{
	for (uint32_t page = first; page < end; page++)
		model->range_of[page] = range;
}

static uint32_t new_range(struct model *model)
{
	return model->unused[--model->unused_count];
}

static uint32_t at_most(uint32_t live, uint32_t pages)
{
	return live < pages ? live : pages;
}

/* Take first..last out of the range that holds `page`; what is left on each side is a range of its
 * own. */
static void cut(struct model *model, uint32_t page, uint32_t first, uint32_t last)
{
	uint32_t number = model->range_of[page];
	uint32_t start = first_of(model, page), end = end_of(model, page);
	struct model_range old = model->ranges[number];

	assign(model, start, end, PINNED);
	model->unused[model->unused_count++] = number;
	if (start < first) {
		number = new_range(model);
		assign(model, start, first, number);
		model->ranges[number] = old;
		model->ranges[number].live = at_most(old.live, first - start);
	}
	if (end > last + 1) {
		number = new_range(model);
		assign(model, last + 1, end, number);
		model->ranges[number] = old;
		model->ranges[number].live = at_most(old.live, end - last - 1);
	}
}

static int model_pin(struct model *model, uint32_t first, uint32_t last)
{
	int purged = 0;

	for (uint32_t page = first; page <= last; page++) {
		if (model->range_of[page] == PINNED)
			continue;
		purged |= (int)model->ranges[model->range_of[page]].purged;
		cut(model, page, first, last);
	}
	return purged;
}

static void model_unpin(struct model *model, uint32_t first, uint32_t last, uint64_t stamp)
{
	struct model_range merged = {.stamp = stamp};
	uint32_t number, start = first, end = last + 1;

	if (model->range_of[first] != PINNED && end_of(model, first) > last)
		return;
	for (uint32_t page = first; page <= last; page++) {
		if (model->range_of[page] == PINNED) {
			merged.live++;
			continue;
		}
		struct range part = describe(model, page);
		merged.live += part.live;
		merged.purged |= part.flags & RANGE_PURGED;
		start = part.start < start ? part.start : start;
		end = part.start + part.pages > end ? part.start + part.pages : end;
		page = part.start + part.pages - 1;
		model->unused[model->unused_count++] = model->range_of[page];
	}
	if (!merged.purged)
		merged.live = end - start; /* what held no memory is as if fresh */
	number = new_range(model);
	assign(model, start, end, number);
	model->ranges[number] = merged;
}

/* The first page at or behind `page` that is unpinned, or the end. */
static uint32_t next_unpinned(const struct model *model, uint32_t page)
{
	while (page < model->pages && model->range_of[page] == PINNED)
		page++;
	return page;
}

static uint64_t model_oldest(const struct model *model)
{
	uint64_t oldest = RANGE_NO_STAMP;

	for (uint32_t page = 0; page < model->pages; page++) {
		const struct model_range *range = &model->ranges[model->range_of[page]];
		if (model->range_of[page] != PINNED && range->live && range->stamp < oldest)
			oldest = range->stamp;
	}
	return oldest;
}

/* -- comparing -- */

#define expect_in_trace(trace, got, want)                                                    \
	expect_msg((got) == (want),                                                          \
		"%s is %" PRIi64 ", not %" PRIi64 " (ASHMEM_TEST_SEED=%" PRIu64 ", %" PRIu32 \
		" pages, step %" PRIu64 ")",                                                 \
		#got, (int64_t)(got), (int64_t)(want), (trace)->seed, (trace)->model.pages,  \
		(trace)->step)

static void expect_same_range(const struct trace *trace, const struct range *got,
	const struct range *want)
{
	expect_in_trace(trace, got->start, want->start);
	expect_in_trace(trace, got->pages, want->pages);
	expect_in_trace(trace, got->live, want->live);
	expect_in_trace(trace, got->flags, want->flags);
	expect_in_trace(trace, got->stamp, want->stamp);
}

static void expect_same_list(const struct trace *trace, struct range_list *list)
{
	uint32_t page = 0;
	struct range got;

	for (;;) {
		page = next_unpinned(&trace->model, page);
		if (page == trace->model.pages)
			break;
		struct range want = describe(&trace->model, page);
		expect_in_trace(trace, range_find(list, page, &got), 1);
		expect_same_range(trace, &got, &want);
		page = want.start + want.pages;
	}
	expect_sound(list);
}

/* -- the operations -- */

static void draw_pages(struct trace *trace, uint32_t *first, uint32_t *last)
{
	uint32_t pages = trace->model.pages;
	uint64_t longest = trace->phase == 0 ? 1 + random_below(&trace->random, 2) : 4;

	/* While the list is filled, long ranges would undo it. */
	if (random_below(&trace->random, 10000) < (trace->phase == 0 ? 1 : 200))
		longest = pages;

	*first = (uint32_t)random_below(&trace->random, pages);
	if (random_below(&trace->random, 4) == 0) /* neighbours, again and again */
		*first = (uint32_t)((trace->step / 2) % pages);
	*last = *first + (uint32_t)random_below(&trace->random, longest);
	if (*last >= pages)
		*last = pages - 1;
	/* Often exactly a range that is there: what caches do. */
	if (random_below(&trace->random, 3) == 0 && trace->model.range_of[*first] != PINNED) {
		struct range whole = describe(&trace->model, *first);
		*first = whole.start;
		*last = whole.start + whole.pages - 1;
	}
}

static void do_pin(struct trace *trace, struct range_list *list)
{
	uint32_t first, last;
	int want;

	draw_pages(trace, &first, &last);
	want = model_pin(&trace->model, first, last);
	expect_in_trace(trace, range_pin(list, first, last), want);
	if (random_below(&trace->random, 3) == 0) { /* and back */
		model_unpin(&trace->model, first, last, ++trace->stamp);
		expect_in_trace(trace, range_unpin(list, first, last, trace->stamp), 0);
	}
}

static void do_unpin(struct trace *trace, struct range_list *list)
{
	uint32_t first, last;

	draw_pages(trace, &first, &last);
	model_unpin(&trace->model, first, last, ++trace->stamp);
	expect_in_trace(trace, range_unpin(list, first, last, trace->stamp), 0);
}

static void do_status(struct trace *trace, struct range_list *list)
{
	uint32_t first, last;

	draw_pages(trace, &first, &last);
	expect_in_trace(trace, range_overlaps(list, first, last),
		next_unpinned(&trace->model, first) <= last);
}

static void do_find(struct trace *trace, struct range_list *list)
{
	uint32_t page = (uint32_t)random_below(&trace->random, trace->model.pages);
	uint32_t next = next_unpinned(&trace->model, page);
	struct range got = {.start = UINT32_MAX};

	expect_in_trace(trace, range_find(list, page, &got), next < trace->model.pages);
	if (next < trace->model.pages) {
		struct range want = describe(&trace->model, next);
		expect_same_range(trace, &got, &want);
	} else {
		expect_in_trace(trace, got.start, UINT32_MAX);
	}
}

/* Purge the oldest range, or some of it: what a purger does. */
static void do_purge(struct trace *trace, struct range_list *list)
{
	uint64_t oldest = model_oldest(&trace->model);
	struct range got, want;
	uint32_t live;

	expect_in_trace(trace, range_peek_oldest(list), oldest);
	expect_in_trace(trace, range_oldest(list, &got), oldest != RANGE_NO_STAMP);
	if (oldest == RANGE_NO_STAMP)
		return;
	expect(trace->model.range_of[got.start] != PINNED);
	want = describe(&trace->model, got.start);
	expect_same_range(trace, &got, &want);
	expect_in_trace(trace, got.stamp, oldest);

	struct model_range *range = &trace->model.ranges[trace->model.range_of[got.start]];
	live = (uint32_t)random_below(&trace->random, 3) ? 0 : got.live / 2;
	range->purged = 1;
	range->live = live;
	expect_in_trace(trace, range_mark_purged(list, got.start), 0);
	expect_in_trace(trace, range_set_live(list, got.start, live), 0);
}

/* A range was found to hold no memory; or some again. */
static void do_empty(struct trace *trace, struct range_list *list)
{
	uint32_t page = (uint32_t)random_below(&trace->random, trace->model.pages);
	uint32_t next = next_unpinned(&trace->model, page);

	if (next == trace->model.pages)
		return;
	struct range was = describe(&trace->model, next);
	struct model_range *range = &trace->model.ranges[trace->model.range_of[next]];
	if (random_below(&trace->random, 2)) {
		range->live = was.pages;
		expect_in_trace(trace, range_revive(list, was.start), 0);
		return;
	}
	range->purged = 0;
	range->live = 0;
	expect_in_trace(trace, range_set_empty(list, was.start), 0);
}

/* The same for some ranges on end, as a purge of many does it. */
static void do_sweep(struct trace *trace, struct range_list *list)
{
	uint64_t most = random_below(&trace->random, 60);
	struct range_sweep sweep;
	struct range got, want;

	range_sweep_begin(&sweep);
	while (most-- > 0) {
		uint64_t oldest = model_oldest(&trace->model);
		expect_in_trace(trace, range_sweep_next(list, &sweep, &got),
			oldest != RANGE_NO_STAMP);
		if (oldest == RANGE_NO_STAMP)
			break;
		want = describe(&trace->model, got.start);
		expect_same_range(trace, &got, &want);
		expect_in_trace(trace, got.stamp, oldest);
		struct model_range *range = &trace->model.ranges[trace->model.range_of[got.start]];
		range->live = 0;
		range_sweep_mark(list);
		if (random_below(&trace->random, 4) == 0) {
			range->purged = 0;
			range_sweep_set_empty(list, &sweep, &got);
		} else {
			range->purged = 1;
			range_sweep_set_live(list, &sweep, &got, 0);
		}
	}
	range_sweep_end(list, &sweep);
	expect_same_list(trace, list);
}

/* Recovery of a list that needs none changes nothing. */
static void do_recover(struct trace *trace, struct range_list *list)
{
	expect_in_trace(trace, range_recover(list), 0);
	expect_same_list(trace, list);
}

/* Phases that fill, that drain, that purge, and that do all of it. */
static void take_step(struct trace *trace, struct range_list *list)
{
	static const unsigned char pins_of_100[] = {5, 70, 40, 30};
	static const unsigned char unpins_of_100[] = {85, 8, 40, 35};
	uint64_t draw = random_below(&trace->random, 100);
	uint64_t pins = pins_of_100[trace->phase], unpins = unpins_of_100[trace->phase];

	if (draw < pins)
		do_pin(trace, list);
	else if (draw < pins + unpins)
		do_unpin(trace, list);
	else if (draw % 3 == 0)
		do_status(trace, list);
	else if (draw % 3 == 1)
		do_find(trace, list);
	else if (random_below(&trace->random, 4) == 0)
		do_empty(trace, list);
	else if (random_below(&trace->random, 8))
		do_purge(trace, list);
	else
		do_sweep(trace, list);
}

/* Operations across all that was filled. */
static void do_wide(struct trace *trace, struct range_list *list)
{
	uint32_t pages = trace->model.pages,
		 first = (uint32_t)random_below(&trace->random, pages / 4 + 1);
	uint32_t last = pages - 1 - (uint32_t)random_below(&trace->random, pages / 4 + 1);

	if (first > last)
		return;
	if (random_below(&trace->random, 2)) {
		int want = model_pin(&trace->model, first, last);
		expect_in_trace(trace, range_pin(list, first, last), want);
	} else {
		model_unpin(&trace->model, first, last, ++trace->stamp);
		expect_in_trace(trace, range_unpin(list, first, last, trace->stamp), 0);
	}
	expect_same_list(trace, list);
}

/* A list that starts from nothing again: its nodes lie elsewhere, and there are no spare ones. */
static void start_afresh(struct trace *trace, uint32_t pages)
{
	if (trace->arena)
		arena_drop(trace->arena);
	trace->arena = arena_make(pages);
	for (int i = 1; i < VIEWS; i++)
		arena_add_view(trace->arena);
	model_begin(&trace->model, pages);

	/* In order, so that every node is full; and something across them all. */
	for (uint32_t page = 0; trace->step % 3 != 1 && page < pages; page++) {
		model_unpin(&trace->model, page, page, ++trace->stamp);
		expect_in_trace(trace, range_unpin(trace->arena->list, page, page, trace->stamp),
			0);
	}
	do_wide(trace, trace->arena->list);
}

static void run_trace(uint32_t pages)
{
	static struct trace trace;
	uint64_t steps = test_operations(), phase_length = 500 + 4 * pages;
	uint64_t most = 0;

	trace.seed = test_seed("range model");
	trace.random = random_from(trace.seed + pages);
	for (trace.step = 0; trace.step < steps; trace.step++) {
		struct range_list *list;
		if (trace.step % (4 * phase_length) == 0)
			start_afresh(&trace, pages);
		list = &trace.arena->view[random_below(&trace.random, VIEWS)].list;
		if (trace.step % phase_length == 0)
			do_wide(&trace, list);
		trace.phase = (uint32_t)(trace.step / phase_length) % 4;
		take_step(&trace, list);
		if (pages <= 50 || trace.step % (pages / 16) == 0)
			expect_in_trace(&trace, range_validate(list), 0);
		if (trace.step % (pages + 20) == 0)
			expect_same_list(&trace, list);
		if (trace.step % (10 * pages + 777) == 0)
			do_recover(&trace, list);
		if (list->root->ranges > most)
			most = list->root->ranges;
	}
	fprintf(stderr, "%" PRIu64 " operations on %" PRIu32 " pages, up to %" PRIu64 " ranges\n",
		steps, pages, most);
	expect_same_list(&trace, trace.arena->list);
	arena_drop(trace.arena);
}

CONTRACT_TEST(range_model, trace_over_1_page)
{
	run_trace(1);
}

CONTRACT_TEST(range_model, trace_over_2_pages)
{
	run_trace(2);
}

CONTRACT_TEST(range_model, trace_over_7_pages)
{
	run_trace(7);
}

CONTRACT_TEST(range_model, trace_over_50_pages)
{
	run_trace(50);
}

CONTRACT_TEST(range_model, trace_over_300_pages)
{
	run_trace(300);
}

CONTRACT_TEST(range_model, trace_over_5000_pages)
{
	run_trace(5000);
}
