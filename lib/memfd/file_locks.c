/* SPDX-License-Identifier: MIT */
/* The extents that one handle keeps; see file_locks.h. */
#include <errno.h>
#include <stdlib.h>

#include "memfd/file_locks.h"

/* Append an extent, or lengthen the last one. The array has room. */
static void append(struct keeps *keeps, struct keep keep)
{
	struct keep *last = keeps->count ? &keeps->at[keeps->count - 1] : NULL;

	if (keep.start >= keep.end || (!keep.pinned && !keep.holds))
		return;
	if (last && last->end == keep.start && last->pinned == keep.pinned &&
		last->holds == keep.holds)
		last->end = keep.end;
	else
		keeps->at[keeps->count++] = keep;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A change of some pages: of the pin, or of the count of holds. */
struct change {
	uint64_t start, end;
	int pinned; /* -1: stays */
	int holds;
};

static int apply(struct keep *keep, const struct change *change)
{
	if (change->pinned >= 0)
		keep->pinned = (uint32_t)change->pinned;
	if (change->holds < 0 && keep->holds == 0)
		return -EINVAL;
	if (change->holds > 0 && keep->holds == UINT32_MAX)
		return -EOVERFLOW;
	keep->holds += (uint32_t)change->holds;
	return 0;
}

/* Append what the extents and the gaps between them become within the change. */
static int append_changed(const struct keeps *keeps, const struct change *change,
	struct keeps *fresh)
{
	uint64_t at = change->start;
	int r = 0;

	for (uint32_t i = 0; i <= keeps->count && at < change->end && r == 0; i++) {
		struct keep none = {change->end, change->end, 0, 0};
		struct keep keep = i < keeps->count ? keeps->at[i] : none;

		if (keep.end <= at && i < keeps->count)
			continue;
		struct keep gap = {at, min_u64(keep.start, change->end), 0, 0};
		if (gap.start < gap.end) {
			r = apply(&gap, change);
			append(fresh, gap);
			at = gap.end;
		}
		keep.start = max_u64(keep.start, at);
		keep.end = min_u64(keep.end, change->end);
		if (keep.start < keep.end && r == 0) {
			r = apply(&keep, change);
			append(fresh, keep);
			at = keep.end;
		}
	}
	return r;
}

static int make_changed(const struct keeps *keeps, const struct change *change,
	struct keeps *changed)
{
	struct keeps fresh = {.count = 0};

	/* An extent and the gap before it each, one behind them, and two that are cut. */
	fresh.at = malloc((2 * (size_t)keeps->count + 3) * sizeof(*fresh.at));
	if (!fresh.at)
		return -ENOMEM;
	for (uint32_t i = 0; i < keeps->count; i++) {
		struct keep before = keeps->at[i];
		before.end = min_u64(before.end, change->start);
		append(&fresh, before);
	}
	int r = append_changed(keeps, change, &fresh);
	for (uint32_t i = 0; i < keeps->count; i++) {
		struct keep behind = keeps->at[i];
		behind.start = max_u64(behind.start, change->end);
		append(&fresh, behind);
	}
	if (r < 0)
		keeps_drop(&fresh);
	else
		*changed = fresh;
	return r;
}

int keeps_pin(const struct keeps *keeps, uint64_t start, uint64_t end, uint32_t pinned,
	struct keeps *changed)
{
	const struct change change = {start, end, (int)pinned, 0};

	return make_changed(keeps, &change, changed);
}

int keeps_hold(const struct keeps *keeps, uint64_t start, uint64_t end, int by,
	struct keeps *changed)
{
	const struct change change = {start, end, -1, by};

	return make_changed(keeps, &change, changed);
}

int keeps_find_gap(const struct keeps *keeps, uint64_t from, uint64_t end, uint64_t *gap_start,
	uint64_t *gap_end)
{
	uint32_t i = 0;

	for (; i < keeps->count && keeps->at[i].start <= from; i++)
		from = max_u64(from, keeps->at[i].end);
	if (from >= end)
		return 0;
	*gap_start = from;
	*gap_end = i < keeps->count ? min_u64(keeps->at[i].start, end) : end;
	return 1;
}

uint64_t keeps_count(const struct keeps *keeps)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < keeps->count; i++)
		pages += keeps->at[i].end - keeps->at[i].start;
	return pages;
}

void keeps_commit(struct keeps *keeps, struct keeps *changed)
{
	free(keeps->at);
	*keeps = *changed;
	*changed = (struct keeps){.count = 0};
}

void keeps_drop(struct keeps *keeps)
{
	free(keeps->at);
	*keeps = (struct keeps){.count = 0};
}
