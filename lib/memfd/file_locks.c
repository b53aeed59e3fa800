/* SPDX-License-Identifier: MIT */
/* The extents that one handle has locked: file_locks.h has the rules. */
#include <errno.h>
#include <stdlib.h>

#include "memfd/file_locks.h"

/* Append an extent, or lengthen the last one. The array has room. */
static void append(struct file_locks *locks, struct file_lock lock)
{
	struct file_lock *last = locks->count ? &locks->at[locks->count - 1] : NULL;

	if (lock.start >= lock.end || (!lock.pinned && !lock.holds))
		return;
	if (last && last->end == lock.start && last->pinned == lock.pinned &&
		last->holds == lock.holds)
		last->end = lock.end;
	else
		locks->at[locks->count++] = lock;
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

static int apply(struct file_lock *lock, const struct change *change)
{
	if (change->pinned >= 0)
		lock->pinned = (uint32_t)change->pinned;
	if (change->holds < 0 && lock->holds == 0)
		return -EINVAL;
	if (change->holds > 0 && lock->holds == UINT32_MAX)
		return -EOVERFLOW;
	lock->holds += (uint32_t)change->holds;
	return 0;
}

/* Append what the extents and the gaps between them become within the change. */
static int append_changed(const struct file_locks *locks, const struct change *change,
	struct file_locks *fresh)
{
	uint64_t at = change->start;
	int r = 0;

	for (uint32_t i = 0; i <= locks->count && at < change->end && r == 0; i++) {
		struct file_lock none = {change->end, change->end, 0, 0};
		struct file_lock lock = i < locks->count ? locks->at[i] : none;

		if (lock.end <= at && i < locks->count)
			continue;
		struct file_lock gap = {at, min_u64(lock.start, change->end), 0, 0};
		if (gap.start < gap.end) {
			r = apply(&gap, change);
			append(fresh, gap);
			at = gap.end;
		}
		lock.start = max_u64(lock.start, at);
		lock.end = min_u64(lock.end, change->end);
		if (lock.start < lock.end && r == 0) {
			r = apply(&lock, change);
			append(fresh, lock);
			at = lock.end;
		}
	}
	return r;
}

static int make_changed(const struct file_locks *locks, const struct change *change,
	struct file_locks *changed)
{
	struct file_locks fresh = {.count = 0};

	/* Each extent and the gap before it, the last gap, and two for extents that are cut. */
	fresh.at = malloc((2 * (size_t)locks->count + 3) * sizeof(*fresh.at));
	if (!fresh.at)
		return -ENOMEM;
	for (uint32_t i = 0; i < locks->count; i++) {
		struct file_lock before = locks->at[i];
		before.end = min_u64(before.end, change->start);
		append(&fresh, before);
	}
	int r = append_changed(locks, change, &fresh);
	for (uint32_t i = 0; i < locks->count; i++) {
		struct file_lock after = locks->at[i];
		after.start = max_u64(after.start, change->end);
		append(&fresh, after);
	}
	if (r < 0)
		file_locks_drop(&fresh);
	else
		*changed = fresh;
	return r;
}

int file_locks_pin(const struct file_locks *locks, uint64_t start, uint64_t end, uint32_t pinned,
	struct file_locks *changed)
{
	const struct change change = {start, end, (int)pinned, 0};

	return make_changed(locks, &change, changed);
}

int file_locks_hold(const struct file_locks *locks, uint64_t start, uint64_t end, int by,
	struct file_locks *changed)
{
	const struct change change = {start, end, -1, by};

	return make_changed(locks, &change, changed);
}

int file_locks_find_gap(const struct file_locks *locks, uint64_t from, uint64_t end,
	uint64_t *gap_start, uint64_t *gap_end)
{
	uint32_t i = 0;

	for (; i < locks->count && locks->at[i].start <= from; i++)
		from = max_u64(from, locks->at[i].end);
	if (from >= end)
		return 0;
	*gap_start = from;
	*gap_end = i < locks->count ? min_u64(locks->at[i].start, end) : end;
	return 1;
}

uint64_t file_locks_count(const struct file_locks *locks)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < locks->count; i++)
		pages += locks->at[i].end - locks->at[i].start;
	return pages;
}

void file_locks_commit(struct file_locks *locks, struct file_locks *changed)
{
	free(locks->at);
	*locks = *changed;
	*changed = (struct file_locks){.count = 0};
}

void file_locks_drop(struct file_locks *locks)
{
	free(locks->at);
	*locks = (struct file_locks){.count = 0};
}
