/* SPDX-License-Identifier: MIT */
/*
 * The verdict on what a dead process has left behind. Others take the locks, which must be free or
 * marked: nobody waits. Then
 *   - every list is valid, and has what it had before the operation or what it has after it; what
 *     was once done stays done;
 *   - a purge may be half done: marks in order of age, freed pages marked, counts of live pages
 *     right;
 *   - pinned pages have their data, freed ones carry a mark;
 *   - a fresh process and one with memories see the same, and random operations end as the naive
 *     lists say.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "crash.h"
#include "memfd/area.h"
#include "range/tree.h"

static struct list now[AREAS_MAX], again[AREAS_MAX];

/* -- reading -- */

static int read_list(struct control_map *map, struct list *list)
{
	uint32_t page = 0;
	int r = control_lock(map);

	list->count = 0;
	if (r < 0)
		return complain("the lock answers %d", r);
	r = range_validate(&map->list);
	if (r < 0)
		complain("the list is not valid");
	while (r == 0 && page < map->list.pages && list->count < RANGES_MAX - 1) {
		struct range *range = &list->range[list->count];
		int found = range_find(&map->list, page, range);
		if (found < 0)
			r = complain("range_find answers %d", found);
		if (found <= 0)
			break;
		list->count++;
		page = range->start + range->pages;
	}
	uint32_t start, end;
	memset(list->lost, 0, sizeof(list->lost));
	for (page = 0; page < map->list.pages &&
		control_next_lost(map, page, map->list.pages - 1, &start, &end);
		page = end)
		memset(list->lost + start, 1, end - start);
	control_unlock(map, 0);
	return r;
}

void read_lists(struct world *world, struct list *lists)
{
	for (int a = 0; a < world->areas; a++)
		read_list(control_of(&world->area[a]), &lists[a]);
}

/* With a mapping of its own, as a process that has just got the descriptor. */
static int read_fresh(const struct area *area, struct list *list)
{
	struct control_map map;
	struct stat status;

	if (fstat(area->fd, &status) < 0)
		die("fstat");
	int r = control_attach(&map, area->fd, &status);
	if (r != 0)
		return complain("control_attach answers %d", r);
	r = read_list(&map, list);
	control_detach(&map);
	return r;
}

/* Whether a key is of an unpin after `stamp`. */
static int is_newer(uint64_t key, uint64_t stamp)
{
	uint64_t renewed = purge_key_renew(key, stamp);

	/* The later a last-in-first-out range is unpinned, the smaller its key. */
	return key >> PURGE_KEY_CLASS_SHIFT & 1 ? key > renewed : key < renewed;
}

/* Keys that the operation has given count as one. */
static void forget_new_stamps(struct list *list, uint64_t last_stamp)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (is_newer(list->range[i].stamp, last_stamp))
			list->range[i].stamp = NEW_KEY(list->range[i].stamp);
}

/* -- before and after -- */

void rules_make(struct verdict_rules *rules, const struct crash_case *c,
	const struct world *originals)
{
	const struct control *first = originals->area[0].control;

	memset(rules, 0, sizeof(*rules));
	rules->c = c;
	for (int a = 0; a < originals->areas; a++) {
		if (read_fresh(&originals->area[a], &rules->before[a]) < 0)
			die("the areas to begin with are not valid");
		rules->after[a] = rules->before[a];
		rules->last_stamp[a] = originals->area[a].control->last_stamp;
	}
	op_naive(&c->op, rules->after, originals->areas);
	rules->position = rules->position_after = first->position;
	rules->prot = rules->prot_after = first->prot;
	if (c->op.kind == OP_READ)
		rules->position_after += c->op.pages;
	if (c->op.kind == OP_SEEK)
		rules->position_after = c->op.pages;
	if (c->op.kind == OP_SET_PROT)
		rules->prot_after = c->op.pages;
}

static const char *first_difference(const struct list *a, const struct list *b)
{
	static char text[200];

	for (uint32_t i = 0; i < a->count || i < b->count; i++) {
		struct range none = {.start = 0};
		struct range x = i < a->count ? a->range[i] : none,
			     y = i < b->count ? b->range[i] : none;
		if (memcmp(&x, &y, sizeof(x)) == 0)
			continue;
		snprintf(text, sizeof(text),
			"entry %u: %u+%u live %u flags %u stamp %" PRIu64
			", not %u+%u live %u flags %u stamp %" PRIu64,
			i, x.start, x.pages, x.live, x.flags, x.stamp, y.start, y.pages, y.live,
			y.flags, y.stamp);
		return text;
	}
	return "the same";
}

static int check_whole_or_nothing_of_others(const struct verdict_rules *rules,
	const struct world *world)
{
	for (int other = 0; other < world->areas; other++)
		if (other != rules->c->op.area && !lists_equal(&now[other], &rules->before[other]))
			return complain(
				"area %d, which the operation is not about, has changed: %s", other,
				first_difference(&now[other], &rules->before[other]));
	return 0;
}

static int check_whole_or_nothing(struct verdict_rules *rules, const struct world *world)
{
	int a = rules->c->op.area, same = 1;

	if (check_whole_or_nothing_of_others(rules, world) < 0)
		return -1;
	same = lists_equal(&rules->before[a], &rules->after[a]);
	if (lists_equal(&now[a], &rules->after[a])) {
		rules->seen_after = !same;
		return 0;
	}
	if (!lists_equal(&now[a], &rules->before[a]))
		return complain("neither before nor after: %s",
			first_difference(&now[a], &rules->before[a]));
	if (rules->seen_after)
		return complain("what was done is undone");
	return 0;
}

/*
 * A release goes from range to range, each whole or not at all: left of some place the pages are
 * renewed, right of it they are not yet. A mark that stays costs a rebuild, and no more.
 */
static int check_release(struct verdict_rules *rules, const struct world *world)
{
	const struct op *op = &rules->c->op;
	static struct list list;
	uint32_t upto = op->first, end = op->first + op->pages;

	for (;;) {
		list = rules->before[op->area];
		if (upto > op->first)
			naive_release(&list, op->first, upto - op->first, NEW_KEY(op_key(op, 0)));
		if (lists_equal(&now[op->area], &list) && upto >= rules->released) {
			rules->released = upto;
			rules->seen_after |= !lists_equal(&list, &rules->before[op->area]) &&
				lists_equal(&list, &rules->after[op->area]);
			return check_whole_or_nothing_of_others(rules, world);
		}
		if (upto >= end)
			return complain("neither before nor after, nor between: %s",
				first_difference(&now[op->area], &rules->before[op->area]));
		const struct range *range = NULL;
		for (; upto < end && !range; upto++)
			range = naive_find(&rules->before[op->area], upto);
		uint32_t range_end = range ? range->start + range->pages : end;
		upto = range_end < end ? range_end : end;
	}
}

/* What a holder had rebuilt when it died is lost, as long as it is not released. */
static void lose_again(struct world *world, const struct op *op, const struct list *list)
{
	for (uint32_t page = op->first; page < op->first + op->pages; page++)
		if (list->lost[page] &&
			word_of(&world->area[op->area], page) == pattern(op->area, page))
			put_word(&world->area[op->area], page, 0);
}

/* -- half a purge -- */

static int was_touched(const struct range *before, const struct range *now)
{
	return before->live != now->live || before->flags != now->flags;
}

/*
 * Marks grow, live counts fall, and nothing else changes; what is touched is older than what is
 * not. purge_all takes one area after the other, as all of them go: there the order is each area's
 * own.
 */
static int check_purge_order(const struct verdict_rules *rules, const struct world *world)
{
	uint64_t newest_touched = 0, oldest_left = UINT64_MAX;

	for (int a = 0; a < world->areas; a++) {
		const struct list *before = &rules->before[a];
		if (rules->c->op.kind == OP_PURGE_ALL) {
			newest_touched = 0;
			oldest_left = UINT64_MAX;
		}
		if (now[a].count != before->count)
			return complain("area %d: a purge has changed the number of ranges", a);
		for (uint32_t i = 0; i < before->count; i++) {
			const struct range *was = &before->range[i], *is = &now[a].range[i];
			const struct range *limit = &rules->after[a].range[i];
			if (was->start != is->start || was->pages != is->pages ||
				was->stamp != is->stamp || is->live > was->live ||
				(was->flags & ~is->flags))
				return complain("area %d: a purge has changed a range: %s", a,
					first_difference(&now[a], before));
			int touched = was_touched(was, is);
			if (touched && !was_touched(was, limit))
				return complain("area %d range %u: purged, and should not be", a,
					was->start);
			if (touched && was->stamp > newest_touched)
				newest_touched = was->stamp;
			if (!touched && was->live && was->stamp < oldest_left)
				oldest_left = was->stamp;
		}
		if (newest_touched > oldest_left && rules->c->op.kind == OP_PURGE_ALL)
			return complain("area %d: not purged in order of age", a);
	}
	if (newest_touched > oldest_left && rules->c->op.kind != OP_PURGE_ALL)
		return complain("not in order of age: one of %" PRIu64
				" was purged before one of %" PRIu64,
			newest_touched, oldest_left);
	return 0;
}

/* Whatever was left half done can be purged to its end, and is then gone. */
static int check_rest_can_go(struct world *world, struct list *lists)
{
	uint64_t count = naive_evictable(lists, world->areas);
	int64_t got;

	if (ashmem_shrink_count() != count)
		return complain("shrink_count says %" PRIu64 ", not %" PRIu64,
			ashmem_shrink_count(), count);
	got = ashmem_shrink(UINT64_MAX);
	count = naive_shrink(lists, world->areas, UINT64_MAX);
	if (got != (int64_t)count)
		return complain("a shrink frees %" PRId64 " pages, not %" PRIu64, got, count);
	return 0;
}

/* An unpin, and then a purge of what it has made too much. */
static int check_unpin_within(struct verdict_rules *rules, const struct world *world)
{
	static struct verdict_rules purge;
	int is_before = 1;

	for (int a = 0; a < world->areas; a++)
		is_before &= lists_equal(&now[a], &rules->before[a]);
	if (is_before)
		return rules->seen_after ? complain("what was done is undone") : 0;
	rules->seen_after = 1;
	purge = *rules;
	op_naive_unpin(&rules->c->op, purge.before);
	return check_purge_order(&purge, world);
}

/*
 * Ranges may be split, so page by page: all stay unpinned and keep their age; marks come, and only
 * within the pages asked for, and with them what is lost.
 */
static int check_purge_of_pages(struct verdict_rules *rules, const struct world *world)
{
	const struct op *op = &rules->c->op;

	rules->seen_after |= !lists_equal(&now[op->area], &rules->before[op->area]);
	for (int a = 0; a < world->areas; a++)
		for (uint32_t page = 0; page < world->area[a].pages; page++) {
			const struct range *was = naive_find(&rules->before[a], page);
			const struct range *is = naive_find(&now[a], page);
			int may =
				a == op->area && page >= op->first && page - op->first < op->pages;
			if (!was != !is || (was && was->stamp != is->stamp))
				return complain("area %d: page %u is in another range", a, page);
			if (was && is->flags != was->flags && (!may || was->flags))
				return complain("area %d: page %u has another mark", a, page);
			if (now[a].lost[page] != rules->before[a].lost[page] &&
				(!may || !now[a].lost[page]))
				return complain("area %d: page %u is lost, or no longer", a, page);
		}
	return 0;
}

static int check_lists(struct verdict_rules *rules, const struct world *world)
{
	const struct op *op = &rules->c->op;

	if (op->kind == OP_UNPIN_WITHIN)
		return check_unpin_within(rules, world);
	if (op->kind == OP_RELEASE)
		return check_release(rules, world);
	if (op->kind == OP_PURGE)
		return check_purge_of_pages(rules, world);
	return op_is_purge(op) ? check_purge_order(rules, world)
			       : check_whole_or_nothing(rules, world);
}

/* -- all of it -- */

static int check_fields(const struct verdict_rules *rules, const struct world *world)
{
	for (int a = 0; a < world->areas; a++) {
		const struct control *control = world->area[a].control;
		if (control->damaged)
			return complain("area %d is marked as damaged", a);
		if (control->purge_count)
			return complain("area %d still has notes of pages to free", a);
	}
	const struct control *first = world->area[0].control;
	if (first->position != rules->position && first->position != rules->position_after)
		return complain("the position is %" PRIu64, first->position);
	if (first->prot != rules->prot && first->prot != rules->prot_after)
		return complain("the mask is %u", first->prot);
	return 0;
}

static int check_locks(const struct world *world)
{
	for (int a = 0; a < world->areas; a++)
		if (world->area[a].control->lock & LOCK_TID)
			return complain(
				"area %d: the lock is held by %u, who is dead, and not marked", a,
				world->area[a].control->lock & LOCK_TID);
	return 0;
}

static int look_from_both_sides(struct world *world, const struct verdict_rules *rules,
	int fresh_first)
{
	for (int round = 0; round < 2; round++)
		for (int a = 0; a < world->areas; a++) {
			int fresh = round == !fresh_first;
			struct list *list = round == 0 ? &now[a] : &again[a];
			int r = fresh ? read_fresh(&world->area[a], list)
				      : read_list(control_of(&world->area[a]), list);
			if (r < 0)
				return r;
			if (round == 1 && !lists_equal(&now[a], &again[a]))
				return complain(
					"a survivor and a fresh process see different ranges");
		}
	if (rules)
		for (int a = 0; a < world->areas; a++)
			forget_new_stamps(&now[a], rules->last_stamp[a]);
	return 0;
}

int judge(struct world *world, struct verdict_rules *rules, int fresh_first)
{
	const struct op *op = &rules->c->op;

	if (check_locks(world) < 0 || look_from_both_sides(world, rules, fresh_first) < 0 ||
		check_fields(rules, world) < 0)
		return -1;
	int r = check_lists(rules, world);
	if (r < 0)
		return r;
	memcpy(now, again, sizeof(now)); /* with their stamps */
	if (op->kind == OP_RELEASE)
		lose_again(world, op, &now[op->area]);
	if (check_data(world, now, rules->seen_after ? op : NULL) < 0)
		return -1;
	if (op_is_purge(op) && random_below(2) && check_rest_can_go(world, now) < 0)
		return -1;
	return trace_agrees(world, now, 8);
}

int judge_storm(struct world *world)
{
	struct op refill = {
		.kind = OP_PIN,
		.area = (int)stage->refill_area,
		.first = stage->refill_first,
		.pages = stage->refill_pages,
	};

	if (check_locks(world) < 0 || look_from_both_sides(world, NULL, 1) < 0)
		return -1;
	memcpy(now, again, sizeof(now));
	if (check_data(world, now, refill.pages ? &refill : NULL) < 0)
		return -1;
	return trace_agrees(world, now, 20);
}
