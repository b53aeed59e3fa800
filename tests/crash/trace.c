/* SPDX-License-Identifier: MIT */
/*
 * Life after a death: random operations on areas and on the naive lists, which must agree, and what
 * data may look like.
 *
 * Pages that a pin reports as purged are written again, as a user of the library would do.
 */
#include <inttypes.h>

#include "crash.h"
#include "base/sys.h"

/*
 * What the data of one range may be: what is lost is gone, and nothing else; and no more is there
 * than it says it has live.
 */
static int check_range(const struct world *world, int a, const struct range *range,
	const unsigned char *lost)
{
	uint32_t there = 0;

	for (uint32_t i = 0; i < range->pages; i++) {
		uint64_t word = word_of(&world->area[a], range->start + i);
		if (word != 0 && word != pattern(a, range->start + i))
			return complain("area %d page %u: data are nonsense", a, range->start + i);
		if ((word == 0) != lost[range->start + i])
			return complain("area %d page %u: %s", a, range->start + i,
				word ? "called lost, and is there" : "gone, and not called lost");
		there += word != 0;
	}
	if (!(range->flags & RANGE_PURGED) && there < range->pages)
		return complain(
			"area %d range %u+%u: %u of its pages were freed, and it is not marked", a,
			range->start, range->pages, range->pages - there);
	if (there > range->live)
		return complain(
			"area %d range %u+%u: %u pages are there, but only %u count as live", a,
			range->start, range->pages, there, range->live);
	return 0;
}

/* `exempt`: pages that a dead process had pinned and may not have written again. */
int check_data(const struct world *world, const struct list *lists, const struct op *exempt)
{
	for (int a = 0; a < world->areas; a++) {
		const struct area *area = &world->area[a];
		uint32_t page = 0, i = 0;
		while (page < area->pages) {
			if (i < lists[a].count && lists[a].range[i].start == page) {
				if (check_range(world, a, &lists[a].range[i], lists[a].lost) < 0)
					return -1;
				page += lists[a].range[i++].pages;
				continue;
			}
			int is_exempt = exempt &&
				(exempt->kind == OP_PIN || exempt->kind == OP_PIN_LOST) &&
				exempt->area == a && page >= exempt->first &&
				page - exempt->first < exempt->pages;
			if (is_exempt)
				*page_word(area, page) = pattern(a, page);
			else if (word_of(area, page) != pattern(a, page))
				return complain("area %d page %u: pinned, and its data are gone", a,
					page);
			page++;
		}
	}
	return 0;
}

/*
 * Whether the naive lists do not tell what a shrink frees. Both halves of a split range have one
 * age. A range that was purged in part can hold more than its live pages: looking at the rest has
 * given that memory again, and a short range goes whole.
 */
static int shrink_is_ambiguous(const struct list *lists, int areas)
{
	const struct range *oldest = NULL;
	int ambiguous = 0;

	for (int a = 0; a < areas; a++)
		for (uint32_t i = 0; i < lists[a].count; i++) {
			const struct range *range = &lists[a].range[i];
			if (!range->live)
				continue;
			if (range->live < range->pages)
				return 1;
			if (oldest && range->stamp == oldest->stamp)
				ambiguous = 1;
			if (!oldest || range->stamp < oldest->stamp) {
				oldest = range;
				ambiguous = 0;
			}
		}
	return ambiguous;
}

static struct op random_op(const struct world *world, const struct list *lists)
{
	struct op op = {.area = (int)random_below((uint32_t)world->areas)};
	const struct area *area = &world->area[op.area];
	const struct list *list = &lists[op.area];
	uint32_t choice = random_below(16);

	op.first = random_below(area->pages);
	op.pages = 1 + random_below(random_below(8) ? 6 : area->pages);
	/* exactly a range, or what is left or right of one */
	if (list->count && random_below(3) == 0) {
		const struct range *range = &list->range[random_below(list->count)];
		op.first = range->start;
		op.pages = range->pages;
	}
	if (op.pages > area->pages - op.first)
		op.pages = area->pages - op.first;
	op.priority = random_below(8);
	op.order = random_below(2) ? ASHMEM_ORDER_LIFO : ASHMEM_ORDER_FIFO;
	op.kind = choice < 6  ? OP_PIN
		: choice < 10 ? OP_UNPIN
		: choice < 12 ? OP_UNPIN_WITH
		: choice < 14 ? OP_STATUS
			      : OP_SHRINK;
	if (op.kind == OP_SHRINK) {
		op.pages = 1 + random_below(4);
		if (shrink_is_ambiguous(lists, world->areas) || random_below(16) == 0)
			op.kind = OP_PURGE_ALL;
	}
	return op;
}

/* The last operation in the naive lists, with the stamp that the area has given. */
static int64_t follow(const struct op *op, struct world *world, struct list *lists)
{
	const struct area *area = &world->area[op->area];

	if (op->kind == OP_UNPIN || op->kind == OP_UNPIN_WITH)
		return naive_unpin(&lists[op->area], op->first, op->pages,
			op_key(op, area->control->last_stamp));
	return op_naive(op, lists, world->areas);
}

int trace_agrees(struct world *world, struct list *lists, int rounds)
{
	static struct list now[AREAS_MAX];

	for (int i = 0; i < rounds; i++) {
		struct op op = random_op(world, lists);
		int64_t got = op_run(&op, world), expected = follow(&op, world, lists);
		if (got != expected)
			return complain("afterwards, round %d: operation %d on area %d pages %u+%u "
					"says %" PRId64 ", not %" PRId64,
				i, (int)op.kind, op.area, op.first, op.pages, got, expected);
		if (op.kind == OP_PIN && got == ASHMEM_WAS_PURGED)
			for (uint32_t page = op.first; page < op.first + op.pages; page++)
				*page_word(&world->area[op.area], page) = pattern(op.area, page);
	}
	read_lists(world, now);
	for (int a = 0; a < world->areas; a++)
		if (!lists_equal(&now[a], &lists[a]))
			return complain("afterwards: area %d has other ranges than the naive list",
				a);
	return check_data(world, lists, NULL);
}
