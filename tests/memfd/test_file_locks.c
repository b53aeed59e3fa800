/* SPDX-License-Identifier: MIT */
/* What a handle has locked: random changes against an array with one entry a page. */
#define _GNU_SOURCE 1
#include "support/contract.h"

#include <errno.h>
#include <stdlib.h>

#include "memfd/file_locks.h"

enum { PAGES = 48, STEPS = 20000 };

struct page {
	uint32_t pinned, holds;
};

static void expect_same(const struct file_locks *locks, const struct page *pages)
{
	uint64_t at = 0, start, end, page, i;

	for (i = 0; i < locks->count; i++) {
		const struct file_lock *lock = &locks->at[i];
		expect(lock->start >= at && lock->start < lock->end && lock->end <= PAGES);
		for (; at < lock->start; at++)
			expect(!pages[at].pinned && !pages[at].holds);
		for (; at < lock->end; at++) {
			expect_eq(lock->pinned, pages[at].pinned);
			expect_eq(lock->holds, pages[at].holds);
		}
	}
	for (; at < PAGES; at++)
		expect(!pages[at].pinned && !pages[at].holds);
	for (page = 0; file_locks_find_gap(locks, page, PAGES, &start, &end); page = end) {
		for (; page < start; page++)
			expect(pages[page].pinned || pages[page].holds);
		for (; page < end; page++)
			expect(!pages[page].pinned && !pages[page].holds);
	}
	for (; page < PAGES; page++)
		expect(pages[page].pinned || pages[page].holds);
}

CONTRACT_TEST(file_locks, random_changes_agree_with_an_array)
{
	struct page pages[PAGES] = {{0, 0}};
	struct file_locks locks = {.count = 0}, changed;
	unsigned seed = 4711;

	for (int step = 0; step < STEPS; step++) {
		uint64_t start = (uint64_t)rand_r(&seed) % PAGES, end, page;
		int kind = rand_r(&seed) % 4, r, want = 0;

		end = start + 1 + (uint64_t)rand_r(&seed) % (PAGES - start);
		for (page = start; kind == 3 && page < end; page++)
			if (pages[page].holds == 0)
				want = -EINVAL;
		if (kind < 2)
			r = file_locks_pin(&locks, start, end, (uint32_t)kind, &changed);
		else
			r = file_locks_hold(&locks, start, end, kind == 2 ? 1 : -1, &changed);
		expect_msg(r == want, "step %d: %d, not %d", step, r, want);
		if (r < 0)
			continue;
		for (page = start; page < end; page++) {
			if (kind < 2)
				pages[page].pinned = (uint32_t)kind;
			else
				pages[page].holds += kind == 2 ? 1u : -1u;
		}
		file_locks_commit(&locks, &changed);
		expect_same(&locks, pages);
		/* Now and then it must become empty, or every page ends up held. */
		if (step % 50 == 49) {
			file_locks_drop(&locks);
			for (page = 0; page < PAGES; page++)
				pages[page] = (struct page){0, 0};
			expect_same(&locks, pages);
		}
	}
	file_locks_drop(&locks);
}

CONTRACT_TEST(file_locks, count_of_holds_does_not_wrap)
{
	struct file_lock full = {2, 3, 0, UINT32_MAX};
	struct file_locks locks = {.at = &full, .count = 1}, changed = {.count = 77};

	expect_eq(file_locks_hold(&locks, 1, 5, 1, &changed), -EOVERFLOW);
	expect_eq(changed.count, 77);
	expect_eq(file_locks_hold(&locks, 2, 3, -1, &changed), 0);
	file_locks_drop(&changed);
}
