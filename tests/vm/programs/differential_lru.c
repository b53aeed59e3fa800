/* SPDX-License-Identifier: MIT */
/*
 * The part of the differential test that the driver cannot judge: the order in which ranges are
 * purged, and shrinking by pages. For it the driver has no call; only memory pressure purges
 * (pressure.c). So these traces are carried out by the memfd backend alone, and each answer and
 * each page is compared with tests/support/model.h.
 *
 * A trace begins with operations that always succeed (areas, mappings, contents, processes) and
 * stay when it is shortened. Behind them every process holds every area, arguments are right, and
 * so the model can go ahead of the execution; which it must, for shrinks: see model_shrink().
 *
 * Pages are used only while they are pinned, and hold memory when they are unpinned: the model
 * counts pages and does not know which of them hold memory (D8).
 */
#define _GNU_SOURCE 1
#include "differential.h"

#include <string.h>
#include <sys/mman.h>

/* Pages of the largest area: operations that an unpin needs, besides its own. */
enum { LRU_PAGES = 24, LONGEST_UNPIN = LRU_PAGES + 1 };

struct walk {
	struct model model;
	uint64_t freed[AREAS][MODEL_PAGES]; /* model's count at the last look */
	int written[AREAS][MODEL_PAGES];
};

/* -- making -- */

static struct op *add(struct trace *trace, enum kind kind, uint8_t actor)
{
	struct op *op = &trace->op[trace->count++];

	memset(op, 0, sizeof *op);
	op->kind = (uint8_t)kind;
	op->actor = actor;
	return op;
}

static void add_area(struct trace *trace, uint8_t area, uint64_t bytes)
{
	struct op *op = add(trace, CREATE, 0);

	op->area = area;
	op->offset = bytes;
	op = add(trace, MAP, 0);
	op->area = op->other = area;
	op->length = bytes;
	op->prot = PROT_READ | PROT_WRITE;
	op->flags = MAP_SHARED;
	op = add(trace, WRITE, 0);
	op->area = op->other = area;
	op->length = bytes;
	op->seed = area;
}

/* Before the last operation, an unpin: each of its pages gets memory. The unpin then. */
static struct op *add_writes(struct trace *trace, struct op *unpin, uint64_t first, uint64_t count)
{
	struct op last = *unpin;

	trace->count--;
	for (uint64_t i = first; i < first + count; i++) {
		struct op *op = add(trace, WRITE, last.actor);

		op->area = op->other = last.area;
		op->offset = i * page_size_bytes();
		op->length = page_size_bytes();
		op->seed = (uint32_t)i;
	}
	unpin = add(trace, UNPIN, last.actor);
	*unpin = last;
	return unpin;
}

static void add_any(struct trace *trace, uint64_t *random, uint8_t actor, const uint64_t *pages)
{
	static const uint8_t kinds[] = {PIN, PIN, PIN, PIN, UNPIN, UNPIN, UNPIN, UNPIN, UNPIN,
		UNPIN, STATUS, LOOK, LOOK, LOOK, WRITE, SHRINK, SHRINK, SHRINK_COUNT};
	struct op *op = add(trace, kinds[random_below(random, sizeof kinds)], actor);
	uint64_t page = page_size_bytes(), first, count;

	if (one_in(random, 60))
		op->kind = PURGE_ALL;
	op->area = (uint8_t)random_below(random, AREAS);
	if (op->kind == SHRINK) {
		op->offset = one_in(random, 4) ? random_below(random, 20) : 1;
		return;
	}
	first = random_below(random, pages[op->area]);
	count = 1 + random_below(random, one_in(random, 4) ? pages[op->area] - first : 3);
	if (count > pages[op->area] - first)
		count = pages[op->area] - first;
	if (op->kind == LOOK)
		count = 1;
	if (op->kind == UNPIN)
		op = add_writes(trace, op, first, count);
	op->offset = first * page;
	op->length = count * page;
	if (op->kind == LOOK || op->kind == WRITE) {
		op->other = op->area;
		op->seed = (uint32_t)random_below(random, 255);
	}
}

void lru_trace_make(struct trace *trace, uint64_t seed, uint32_t wanted)
{
	uint64_t random = seed, pages[AREAS];
	uint8_t actors = (uint8_t)(1 + random_below(&random, ACTORS)), actor = 0;

	trace->seed = seed;
	trace->count = 0;
	for (uint8_t area = 0; area < AREAS; area++) {
		pages[area] = 1 + random_below(&random, LRU_PAGES);
		add_area(trace, area, pages[area] * page_size_bytes());
	}
	for (uint8_t other = 1; other < actors; other++)
		add(trace, FORK, 0)->other = other;
	trace->fixed = trace->count;
	while (trace->count + LONGEST_UNPIN < wanted) {
		if (one_in(&random, 8))
			actor = (uint8_t)random_below(&random, actors);
		add_any(trace, &random, actor, pages);
	}
}

static int is_used(const struct trace *trace, const struct op *beginning)
{
	for (uint32_t i = trace->fixed; i < trace->count; i++) {
		const struct op *op = &trace->op[i];

		if (beginning->kind == FORK) {
			if (op->actor == beginning->other)
				return 1;
		} else if (op->kind != SHRINK && op->kind != SHRINK_COUNT &&
			op->kind != PURGE_ALL && op->area == beginning->area) {
			return 1;
		}
	}
	return 0;
}

void lru_trace_trim(struct trace *trace)
{
	for (uint32_t i = trace->fixed; i-- > 0;) {
		if (is_used(trace, &trace->op[i]))
			continue;
		memmove(&trace->op[i], &trace->op[i + 1],
			(trace->count - i - 1) * sizeof *trace->op);
		trace->count--;
		trace->fixed--;
	}
}

/* -- walking -- */

/* Pages that were freed since the last look are zeroes. */
static void walk_follow_purge(struct walk *walk)
{
	for (int a = 0; a < AREAS; a++) {
		for (int page = 0; page < MODEL_PAGES; page++) {
			uint64_t freed = walk->model.area[a].freed[page];

			if (freed != walk->freed[a][page])
				walk->written[a][page] = 0;
			walk->freed[a][page] = freed;
		}
	}
}

static void walk_create(struct walk *walk, const struct op *op)
{
	struct model_area *area = &walk->model.area[op->area];

	area->pages = op->offset / page_size_bytes();
}

static int64_t walk_write(struct walk *walk, const struct op *op)
{
	uint64_t page = page_size_bytes();

	for (uint64_t at = op->offset; at < op->offset + op->length; at += page)
		walk->written[op->other][at / page] = 1;
	return (int64_t)op->length;
}

/* What the model answers. Shrinks ask for as much as `op` says, and what was settled is there. */
static int64_t walk_step(struct walk *walk, struct op *op)
{
	uint64_t page = page_size_bytes(), first = op->offset / page, count = op->length / page;
	int64_t value = 0;

	switch (op->kind) {
	case CREATE:
		walk_create(walk, op);
		break;
	case WRITE:
		value = walk_write(walk, op);
		break;
	case LOOK:
		value = (int64_t)op->length;
		break;
	case PIN:
		value = model_pin(&walk->model, op->area, first, count);
		break;
	case UNPIN:
		value = model_unpin(&walk->model, op->area, first, count);
		break;
	case STATUS:
		value = model_status(&walk->model, op->area, first, count);
		break;
	case SHRINK:
		op->length = op->offset;
		value = (int64_t)model_shrink(&walk->model, &op->length);
		walk_follow_purge(walk);
		break;
	case SHRINK_COUNT:
		value = (int64_t)model_shrink_count(&walk->model);
		break;
	case PURGE_ALL:
		value = (int64_t)model_purge_all(&walk->model);
		walk_follow_purge(walk);
		break;
	default:
		break;
	}
	return value;
}

static void walk_begin(struct walk *walk)
{
	memset(walk, 0, sizeof *walk);
	model_init(&walk->model, AREAS, 0, 0);
}

/* Whether the operation uses pages as a program should. */
static int keeps_rules(const struct walk *walk, const struct op *op)
{
	const struct model_area *area = &walk->model.area[op->area];
	uint64_t page = page_size_bytes();

	if (op->kind != WRITE && op->kind != LOOK && op->kind != UNPIN)
		return 1;
	for (uint64_t i = op->offset / page; i < (op->offset + op->length) / page; i++) {
		int is_pinned = area->range_of[i] == MODEL_PINNED;

		if (op->kind == UNPIN ? is_pinned && !walk->written[op->area][i] : !is_pinned)
			return 0;
	}
	return 1;
}

void lru_trace_settle(struct trace *trace)
{
	static struct walk walk;

	walk_begin(&walk);
	for (uint32_t i = 0; i < trace->count; i++) {
		if (!keeps_rules(&walk, &trace->op[i]))
			trace->op[i].kind = STATUS;
		walk_step(&walk, &trace->op[i]);
	}
}

static int shows_right_bytes(const struct walk *walk, const struct op *op,
	const struct result *result)
{
	uint64_t page = page_size_bytes();
	int zeroes = result->data == hash_zeroes((size_t)page);

	return zeroes == !walk->written[op->other][op->offset / page];
}

void lru_compare(const struct trace *trace, const struct world *world, struct finding *finding,
	struct tally *tally)
{
	static struct walk walk;

	walk_begin(&walk);
	memset(finding, 0, sizeof *finding);
	for (uint32_t i = 0; i < trace->count && !finding->found; i++) {
		struct op op = trace->op[i];
		const struct result *result = &world->result[i];
		int64_t value = walk_step(&walk, &op);
		const char *why = NULL;

		if (world->next <= i)
			why = "a process of the world died, or does not answer";
		else if (result->value != value)
			why = "the model answers something else";
		else if (op.kind == LOOK && !shows_right_bytes(&walk, &op, result))
			why = "purged pages show bytes, or others do not";
		if (why) {
			finding->found = 1;
			finding->at = i;
			finding->first = (struct result){.value = value};
			finding->second = *result;
			snprintf(finding->why, sizeof finding->why, "%s", why);
		}
	}
	tally->operations += trace->count;
	tally->traces++;
}
