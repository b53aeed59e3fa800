/* SPDX-License-Identifier: MIT */
/*
 * The differences that the two worlds of a differential test may show: each is a rule with a name
 * and a condition on what is known of the state, and decides about one answer at a time. What no
 * rule allows is a failure.
 *
 * D2, D4, D5 and D6 of the contract change no answer; L2 and L4 are about descriptors, which the
 * traces do not use directly.
 */
#define _GNU_SOURCE 1
#include "differential_state.h"

#include <errno.h>
#include <sys/mman.h>

/* -- what rules ask -- */

static int some_area_is_out_of_reach(const struct state *state)
{
	for (int i = 0; i < AREAS; i++)
		if (state->area[i].exists && state->area[i].out_of_reach)
			return 1;
	return 0;
}

/* Purges that reached other pages, or reported other counts: exactly what the two models say. */
static int counts_as_the_models(const struct op *op, const struct expected *expected,
	const struct result *first, const struct result *second)
{
	return op->kind == PURGE_ALL && expected->value[0] != expected->value[1] &&
		first->value == expected->value[0] && second->value == expected->value[1];
}

static const struct area_state *area_read(const struct state *state, const struct op *op)
{
	int area = op->kind == LOOK ? mapping_of(state, op)->area : op->area;

	return &state->area[area];
}

/* Bytes read from a page that a purge freed in one world only, and that was not written since. */
static int read_a_page_that_differs(const struct state *state, const struct op *op,
	const struct result *first, const struct result *second)
{
	const struct area_state *area = area_read(state, op);
	uint64_t page = 0, pages = pages_read(state, op, first->value, &page);

	if (op->kind == LOOK && mapping_of(state, op)->is_private)
		return 0; /* rule "private read" */
	if (first->value != second->value)
		return 0;
	for (; pages > 0 && page < MODEL_PAGES; page++, pages--)
		if (area->page[page].contents[0] != area->page[page].contents[1])
			return 1;
	return 0;
}

/* -- the rules -- */

typedef int rule_applies(const struct state *state, const struct op *op,
	const struct expected *expected, const struct result *first, const struct result *second);

static int rule_d1(const struct state *state, const struct op *op, const struct expected *expected,
	const struct result *first, const struct result *second)
{
	if (op->kind == PURGE_ALL)
		return !some_area_is_out_of_reach(state) &&
			counts_as_the_models(op, expected, first, second);
	return !area_read(state, op)->out_of_reach &&
		read_a_page_that_differs(state, op, first, second);
}

static int rule_l3(const struct state *state, const struct op *op, const struct expected *expected,
	const struct result *first, const struct result *second)
{
	if (op->kind == PURGE_ALL)
		return some_area_is_out_of_reach(state) &&
			counts_as_the_models(op, expected, first, second);
	return area_read(state, op)->out_of_reach &&
		read_a_page_that_differs(state, op, first, second);
}

static int rule_d3(const struct state *state, const struct op *op, const struct expected *expected,
	const struct result *first, const struct result *second)
{
	uint64_t a, b;

	(void)expected;
	if (first->value != -EOVERFLOW || second->value != LEFT_OUT)
		return 0;
	if (op->kind == CREATE || op->kind == SET_SIZE)
		return op->offset > ((uint64_t)1 << 32) - page_size_bytes();
	return range_classify(state->area[op->area].size_bytes, op->offset, op->length, &a, &b) ==
		RANGE_OVER_32_BITS;
}

static int rule_l1(const struct state *state, const struct op *op, const struct expected *expected,
	const struct result *first, const struct result *second)
{
	const struct mapping_state *mapping = mapping_of(state, op);
	int beyond_mask = op->prot & ~mapping->mask;

	(void)expected;
	if (op->kind != PROTECT || first->value != -EACCES || second->value != 0)
		return 0;
	return (beyond_mask & (PROT_READ | PROT_EXEC)) && !(beyond_mask & PROT_WRITE);
}

static int rule_private_writable(const struct state *state, const struct op *op,
	const struct expected *expected, const struct result *first, const struct result *second)
{
	const struct mapping_state *mapping = mapping_of(state, op);
	int beyond_mask = op->prot & ~mapping->mask;

	(void)expected;
	return op->kind == PROTECT && first->value == -EACCES && second->value == 0 &&
		mapping->is_private && (beyond_mask & PROT_WRITE);
}

/* What the library answers before it asks the backend. */
static int64_t answer_to_reader(const struct state *state, const struct op *op)
{
	uint64_t a, b;

	if (op->kind == PIN || op->kind == UNPIN || op->kind == STATUS) {
		enum range_class class = range_classify(state->area[op->area].size_bytes,
			op->offset, op->length, &a, &b);
		if (class == RANGE_WRONG)
			return -EINVAL;
		if (class == RANGE_EMPTY)
			return op->kind == STATUS;
	}
	if (op->kind == SET_PROT && (op->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)))
		return -EINVAL;
	if (op->kind == SET_PROT && op->prot == state->area[op->area].mask)
		return 0; /* D9 */
	if (op->kind == READ && op->other == BUFFER_NULL && op->length > 0)
		return -EINVAL;
	return -EACCES;
}

static int rule_read_only_import(const struct state *state, const struct op *op,
	const struct expected *expected, const struct result *first, const struct result *second)
{
	(void)expected;
	return state->actor[op->actor].read_only[op->area] && first->value == LEFT_OUT &&
		second->value == answer_to_reader(state, op);
}

static int rule_private(const struct state *state, const struct op *op,
	const struct expected *expected, const struct result *first, const struct result *second)
{
	const struct mapping_state *mapping = mapping_of(state, op);
	const struct area_state *area = &state->area[mapping->area];
	uint64_t skipped, first_page, pages;

	(void)expected;
	if (op->kind != LOOK || !mapping->is_private || first->value != second->value)
		return 0;
	pages = pages_read(state, op, first->value, &first_page);
	skipped = mapping->offset / page_size_bytes();
	for (uint64_t page = first_page; page < first_page + pages; page++) {
		uint64_t own = page - skipped;
		if (page >= MODEL_PAGES || own >= MODEL_PAGES || mapping->own_differs[own])
			return 1;
		if (!mapping->own[own] &&
			(area->page[page].changed > mapping->made ||
				area->page[page].contents[0] != area->page[page].contents[1]))
			return 1;
	}
	return 0;
}

static int rule_memory_held(const struct state *state, const struct op *op,
	const struct expected *expected, const struct result *first, const struct result *second)
{
	(void)expected;
	return op->kind == SEEK_DATA_HOLE && state->area[op->area].memory_unsure &&
		(first->value < 0 || first->data == 1) && (second->value < 0 || second->data == 1);
}

static const struct {
	const char *name, *text;
	rule_applies *applies;
} rules[] = {
	{"D1", "purges of ranges merged with a purged one: counts and contents as the models say",
		rule_d1},
	{"L3", "purges reach the areas that a process can purge: counts and contents likewise",
		rule_l3},
	{"D3", "beyond 32 bits the driver's side is refused with EOVERFLOW", rule_d3},
	{"L1", "mprotect of a memfd mapping can add READ and EXEC that the mask lacks", rule_l1},
	{"private write", "mprotect of a private memfd mapping can add WRITE: the copy is its own",
		rule_private_writable},
	{"read-only import",
		"an area received under a mask without WRITE cannot be "
		"narrowed or read at the shared position on memfd: EACCES",
		rule_read_only_import},
	{"private read", "a private mapping need not show what changed in the area after mmap(2)",
		rule_private},
	{"holes",
		"which pages without contents hold memory, after D1, L3, a private mapping, "
		"or MAP_POPULATE under a mask without READ",
		rule_memory_held},
};

int rule_for(const struct state *state, const struct op *op, const struct expected *expected,
	const struct result *first, const struct result *second)
{
	for (int i = 0; i < (int)(sizeof rules / sizeof *rules); i++)
		if (rules[i].applies(state, op, expected, first, second))
			return i;
	return -1;
}

const char *rule_name(int rule)
{
	return rule < (int)(sizeof rules / sizeof *rules) ? rules[rule].name : NULL;
}

const char *rule_text(int rule)
{
	return rules[rule].text;
}
