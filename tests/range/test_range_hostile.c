/* SPDX-License-Identifier: MIT */
/*
 * Range lists in memory that holds anything: every call comes back with a documented answer and has
 * touched nothing but the list's memory (the arena's guard pages see to that), whether the memory
 * was damaged before the call or is being written to during it. And what range_validate() accepts
 * is a list in order, seen from outside.
 */
#define _GNU_SOURCE 1
#include "support/children.h"
#include "support/contract.h"
#include "support/random.h"
#include "support/range_arena.h"
#include "support/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "range/tree.h"

enum { RANGES = LEAF_MAX * INNER_MAX + 4 * LEAF_MAX };

static struct arena *pristine, *damaged;
static struct random_source source;
static uint64_t seed, step;

/* A list with two levels of inner nodes, free nodes, pinned entries, purged and partly purged
 * ranges; and a copy to damage. */
static void begin(const char *what)
{
	struct range_list *list;

	seed = test_seed(what);
	source = random_from(seed);
	pristine = arena_with_spread(RANGES);
	list = pristine->list;
	for (uint32_t i = 0; i < RANGES; i += 5) {
		expect_eq(range_mark_purged(list, 4 * i), 0);
		expect_eq(range_set_live(list, 4 * i, i % 3), 0);
	}
	for (uint32_t i = 0; i < RANGES; i += 7)
		expect(range_pin(list, 4 * i, 4 * i + 2) >= 0);
	expect_eq(range_unpin(list, 4 * 101, 4 * 200, 2000), 0);
	expect_sound(list);
	damaged = arena_make(pristine->pages);
	arena_copy(damaged, pristine);
	arena_add_view(damaged);
}

static void end(void)
{
	arena_drop(pristine);
	arena_drop(damaged);
}

/* -- damage -- */

/* Where the list's memory is in use: the words that matter most come up as often as all nodes
 * together. */
static uint32_t *draw_word(struct arena *arena)
{
	size_t nodes = ((size_t)pristine->list->root->nodes_used + 2) * RANGE_NODE_BYTES;
	unsigned char *at;
	size_t bytes;

	switch (random_below(&source, 8)) {
	case 0:
	case 1:
	case 2:
		at = (unsigned char *)arena->list->root;
		bytes = sizeof(*arena->list->root);
		break;
	case 3:
		at = arena->list->journal_top - RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES;
		bytes = RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES;
		break;
	default:
		at = arena->list->nodes_top - nodes;
		bytes = nodes;
		break;
	}
	return (uint32_t *)(void *)(at + random_below(&source, bytes / 4) * 4);
}

/* Values that could mean something. */
static uint32_t draw_value(uint32_t present)
{
	const struct range_root *root = pristine->list->root;

	switch (random_below(&source, 9)) {
	case 0:
		return 0;
	case 1:
		return UINT32_MAX - (uint32_t)random_below(&source, 3);
	case 2:
		return present + (uint32_t)random_below(&source, 5) - 2;
	case 3:
		return present ^ (UINT32_C(1) << random_below(&source, 32));
	case 4:
		return (uint32_t)random_below(&source, root->nodes_used + 2);
	case 5:
		return (uint32_t)random_below(&source, pristine->pages + 2);
	case 6: /* the count and the level of a node */
		return (uint32_t)random_below(&source, 34) |
			(uint32_t)random_below(&source, 4) << 16;
	case 7:
		return (uint32_t)random_below(&source, 34) << 16 |
			(uint32_t)random_below(&source, 4);
	default:
		return (uint32_t)random_next(&source);
	}
}

static void damage(uint64_t words)
{
	while (words-- > 0) {
		uint32_t *word = draw_word(damaged);
		*word = draw_value(*word);
	}
}

/* -- calls -- */

static int is_documented(int r)
{
	return r == 0 || r == 1 || r == -EUCLEAN;
}

static void check_found(const struct range *range, int r)
{
	expect_msg(is_documented(r), "seed %" PRIu64 ", step %" PRIu64 ": %d", seed, step, r);
	if (r == 1)
		expect(range->pages > 0 &&
			(uint64_t)range->start + range->pages <= damaged->pages &&
			range->live <= range->pages);
}

/* A sweep; the memory changes meanwhile, one word in `calm` steps, or never. */
static int call_sweep(struct range_list *list, uint32_t calm)
{
	struct range_sweep sweep;
	struct range range = {.pages = 0};
	uint64_t rounds = random_below(&source, 100);
	int r = 1;

	range_sweep_begin(&sweep);
	while (rounds-- > 0 && (r = range_sweep_next(list, &sweep, &range)) > 0) {
		check_found(&range, r);
		if (calm && random_below(&source, calm) == 0)
			damage(1);
		range_sweep_mark(list);
		range_sweep_set_live(list, &sweep, &range, rounds % 8 ? 0 : range.live / 2);
	}
	range_sweep_end(list, &sweep);
	return r;
}

/* One call on the list, with good arguments as its caller would give them. */
static int call(struct range_list *list)
{
	uint32_t pages = damaged->pages, first = (uint32_t)random_below(&source, pages);
	uint32_t count = (uint32_t)random_below(&source, random_below(&source, 4) ? 8 : pages);
	uint32_t last = first + count < pages ? first + count : pages - 1;
	struct range range = {.pages = 0};
	int r;

	switch (random_below(&source, 11)) {
	case 10:
		return call_sweep(list, 0);
	case 0:
	case 1:
		return range_pin(list, first, last);
	case 2:
	case 3:
		return range_unpin(list, first, last, 10000 + step);
	case 4:
		return range_overlaps(list, first, last);
	case 5:
		r = range_find(list, first, &range);
		check_found(&range, r);
		expect_msg(r != 1 || range.start + range.pages > first,
			"seed %" PRIu64 ", step %" PRIu64 ": found before page %" PRIu32, seed,
			step, first);
		return r;
	case 8:
		r = range_look(list, first, last);
		return r < 0 ? r : 0;
	case 9:
		r = range_oldest_after(list, random_below(&source, 12000), first, &range);
		check_found(&range, r);
		return r;
	case 6:
		r = range_mark_purged(list, 4 * (first / 4));
		return r < 0 ? r : range_set_live(list, 4 * (first / 4), count % 4);
	default:
		r = range_oldest(list, &range);
		check_found(&range, r);
		if (r > 0)
			r = range_mark_purged(list, range.start);
		if (r == 0 && range.pages > 0)
			r = range_set_live(list, range.start, range.live / 2);
		return r;
	}
}

static void expect_documented(int r)
{
	expect_msg(is_documented(r), "seed %" PRIu64 ", step %" PRIu64 ": answer %d", seed, step,
		r);
}

CONTRACT_TEST(range_hostile, no_call_is_impressed_by_damage)
{
	uint64_t rounds = test_operations() / 10;

	begin("damage");
	for (step = 0; step < rounds; step++) {
		struct range_list *list = &damaged->view[random_below(&source, 2)].list;
		/* Sometimes a view remembers the way to a leaf from before the damage. */
		arena_copy(damaged, pristine);
		if (step % 2)
			expect_documented(call(list));
		damage(1 + random_below(&source, 4));
		for (int i = 0; i < 6; i++)
			expect_documented(call(list));
	}
	end();
}

CONTRACT_TEST(range_hostile, no_call_is_impressed_by_noise)
{
	uint64_t rounds = test_operations() / 50;

	begin("noise");
	for (step = 0; step < rounds; step++) {
		arena_copy(damaged, pristine);
		damage(100 + random_below(&source, 3000));
		for (int i = 0; i < 6; i++)
			expect_documented(call(damaged->list));
		expect_documented(range_recover(damaged->list));
		expect_documented(range_validate(damaged->list));
	}
	end();
}

/* The calls do what they do in a healthy list, too: a list that is accepted obeys an observer. */
CONTRACT_TEST(range_hostile, what_validate_accepts_is_in_order)
{
	uint64_t rounds = test_operations() / 10, accepted = 0;

	begin("accepted damage");
	for (step = 0; step < rounds; step++) {
		arena_copy(damaged, pristine);
		damage(1);
		if (range_validate(damaged->list) != 0)
			continue;
		accepted++;
		expect_sound(damaged->list);
		for (int i = 0; i < 3; i++) {
			int r = call(damaged->list);
			/* No range starts there: an honest answer. */
			expect_msg(r >= 0 || range_validate(damaged->list) == 0,
				"seed %" PRIu64 ", step %" PRIu64 ": %d", seed, step, r);
		}
		expect_sound(damaged->list);
	}
	expect(accepted > 0);
	end();
}

CONTRACT_TEST(range_hostile, what_recovery_accepts_is_valid)
{
	uint64_t rounds = test_operations() / 10, accepted = 0;

	begin("recovered damage");
	for (step = 0; step < rounds; step++) {
		arena_copy(damaged, pristine);
		damage(1 + random_below(&source, 2));
		int r = range_recover(damaged->list);
		expect_documented(r);
		if (r < 0)
			continue;
		accepted++;
		expect_msg(range_validate(damaged->list) == 0,
			"seed %" PRIu64 ", step %" PRIu64 ": recovered, and not valid", seed, step);
		expect_sound(damaged->list);
	}
	expect(accepted > 0);
	end();
}

/* It would count in the totals, and a pinned entry must not. */
CONTRACT_TEST(range_hostile, an_intent_to_insert_what_is_pinned_is_refused)
{
	begin("pinned intent");
	damaged->list->root->intent = (struct range_intent){
		.active = 1,
		.last = 10,
		.with_count = 1,
		.with = {{.start = 2, .pages = 3, .live = 3, .flags = RANGE_PINNED}},
	};
	expect_eq(range_recover(damaged->list), -EUCLEAN);
	end();
}

/* A leaf that stands in another's place has ranges before the page that led there. */
CONTRACT_TEST(range_hostile, a_walk_over_leaves_that_repeat_ends)
{
	begin("repeated leaves");
	unsigned char *first_leaf = damaged->list->nodes_top - RANGE_NODE_BYTES;

	for (uint32_t node = 1; node < damaged->list->root->nodes_used; node++) {
		unsigned char *at = first_leaf - (size_t)RANGE_NODE_BYTES * node;
		if (((struct range_node *)(void *)at)->level == 0 && node % 3)
			memcpy(at, first_leaf, RANGE_NODE_BYTES);
	}
	struct range range;
	uint64_t from = 0;
	int r;
	while (from < damaged->pages &&
		(r = range_find(damaged->list, (uint32_t)from, &range)) == 1) {
		uint64_t end = (uint64_t)range.start + range.pages;
		expect_msg(end > from,
			"asked from page %" PRIu64 ", found one that ends at %" PRIu64, from, end);
		from = end;
	}
	expect_eq(r, -EUCLEAN);
	end();
}

/* -- and what a single word can do, each word of the root with each nasty value -- */

CONTRACT_TEST(range_hostile, no_sweep_is_impressed_by_damage_on_its_way)
{
	uint64_t rounds = test_operations() / 20;

	begin("damaged sweeps");
	for (step = 0; step < rounds; step++) {
		arena_copy(damaged, pristine);
		expect_documented(call_sweep(damaged->list, 1 + (uint32_t)(step % 20)));
	}
	end();
}

static void try_value(uint32_t word, uint32_t value)
{
	static const uint32_t first[] = {0, 401, 1700, 3590};
	struct range range;

	arena_copy(damaged, pristine);
	((uint32_t *)(void *)damaged->list->root)[word] = value;
	for (int i = 0; i < 4; i++) {
		expect_documented(range_overlaps(damaged->list, first[i], first[i] + 2));
		expect_documented(range_pin(damaged->list, first[i], first[i] + 1));
		expect_documented(range_unpin(damaged->list, first[i], first[i] + 5, 9999));
	}
	int seen = range_look(damaged->list, 0, damaged->pages - 1);
	expect_documented(seen < 0 ? seen : 0);
	expect_documented(range_oldest_after(damaged->list, 3, 5, &range));
	expect_documented(range_oldest(damaged->list, &range));
	expect_documented(range_validate(damaged->list));
	expect_documented(range_recover(damaged->list));
	expect_documented(range_unpin(damaged->list, 0, damaged->pages - 1, 9999));
}

CONTRACT_TEST(range_hostile, no_word_of_the_root_can_hang_or_crash_a_call)
{
	static const uint32_t values[] = {0, 1, 2, 10, 11, 21, 22, 23, 31, 32, 1000, 0x7fffffff,
		0x80000000, 0xfffffffe, 0xffffffff};
	double begun;

	begin("root words");
	for (uint32_t word = 0; word < sizeof(struct range_root) / 4; word++) {
		begun = seconds_now();
		for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++)
			try_value(word, values[i]);
		expect_msg(seconds_now() - begun < 20, "word %" PRIu32 " costs %.1f s", word,
			seconds_now() - begun);
	}
	end();
}

/* A circle in the free list, and a count of nodes that allows to go round for ever. */
CONTRACT_TEST(range_hostile, cyclic_free_list_is_found_at_once)
{
	struct range_root *root;
	double begun;

	begin("circle");
	root = damaged->list->root;
	expect_eq(range_unpin(damaged->list, 0, damaged->pages - 1, 9999), 0);
	expect(root->free_head != 0);
	for (uint32_t used = 1; used != 0; used *= 2) {
		struct arena *copy = arena_make(damaged->pages);
		unsigned char *node;

		arena_copy(copy, damaged);
		node = copy->list->nodes_top - (size_t)RANGE_NODE_BYTES * root->free_head;
		copy->list->root->nodes_used = used | 0x80000000u;
		memcpy(node + 4, &(uint32_t){root->free_head + 1}, 4);
		begun = seconds_now();
		expect_eq(range_validate(copy->list), -EUCLEAN);
		expect_documented(range_recover(copy->list));
		expect(seconds_now() - begun < 1);
		arena_drop(copy);
	}
	end();
}

/* -- while somebody writes -- */

static void scribble(void *argument)
{
	(void)argument;
	source = random_from(seed + 1);
	for (;;)
		damage(1);
}

CONTRACT_TEST(range_hostile, no_call_is_impressed_by_a_peer_that_writes_meanwhile)
{
	uint64_t rounds = test_operations() / 10;
	double slowest = 0, begun;
	pid_t peer;

	begin("scribbler");
	peer = child_start(scribble, NULL);
	for (step = 0; step < rounds; step++) {
		struct range_list *list = &damaged->view[step % 2].list;
		if (step % 4 == 0)
			arena_copy_memory(damaged, pristine);
		begun = seconds_now();
		expect_documented(call(list));
		if (step % 16 == 0)
			expect_documented(range_validate(list));
		if (step % 64 == 0)
			expect_documented(range_recover(list));
		slowest = seconds_now() - begun > slowest ? seconds_now() - begun : slowest;
	}
	kill(peer, SIGKILL);
	child_wait(peer);
	expect_msg(slowest < 5, "a call took %.1f s", slowest);
	end();
}
