/* SPDX-License-Identifier: MIT */
/* The extents that one handle keeps; see keeps.h. */
#include <errno.h>
#include <stdlib.h>

#include "keeps.h"

/* Append an extent, or lengthen the last one. The array has room. */
static void append(struct keeps *keeps, uint64_t start, uint64_t end, uint32_t pinned)
{
	struct keep *last = keeps->count ? &keeps->at[keeps->count - 1] : NULL;

	if (start >= end || !pinned)
		return;
	if (last && last->end == start && last->pinned == pinned)
		last->end = end;
	else
		keeps->at[keeps->count++] = (struct keep){start, end, pinned};
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

int keeps_pin(const struct keeps *keeps, uint64_t start, uint64_t end, uint32_t pinned,
	struct keeps *changed)
{
	struct keeps fresh = {.count = 0};
	uint32_t i;

	/* An extent is cut in two at the most, and one comes. */
	fresh.at = malloc(((size_t)keeps->count + 2) * sizeof(*fresh.at));
	if (!fresh.at)
		return -ENOMEM;
	for (i = 0; i < keeps->count && keeps->at[i].start < start; i++)
		append(&fresh, keeps->at[i].start, min_u64(keeps->at[i].end, start), keeps->at[i].pinned);
	append(&fresh, start, end, pinned);
	for (i = 0; i < keeps->count; i++)
		append(&fresh, max_u64(keeps->at[i].start, end), keeps->at[i].end, keeps->at[i].pinned);
	*changed = fresh;
	return 0;
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
