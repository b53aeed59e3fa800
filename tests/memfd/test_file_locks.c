/* SPDX-License-Identifier: MIT */
/* What a handle keeps by locks: random changes against an array with one entry a page. */
#define _GNU_SOURCE 1
#include "support/contract.h"

#include <errno.h>
#include <stdlib.h>

#include "memfd/file_locks.h"

enum { PAGES = 48, STEPS = 20000 };

struct page {
	uint32_t pinned, holds;
};

static void expect_same(const struct keeps *keeps, const struct page *pages)
{
	uint64_t at = 0, start, end, page, i;

	for (i = 0; i < keeps->count; i++) {
		const struct keep *keep = &keeps->at[i];
		expect(keep->start >= at && keep->start < keep->end && keep->end <= PAGES);
		for (; at < keep->start; at++)
			expect(!pages[at].pinned && !pages[at].holds);
		for (; at < keep->end; at++) {
			expect_eq(keep->pinned, pages[at].pinned);
			expect_eq(keep->holds, pages[at].holds);
		}
	}
	for (; at < PAGES; at++)
		expect(!pages[at].pinned && !pages[at].holds);
	for (page = 0; keeps_find_gap(keeps, page, PAGES, &start, &end); page = end) {
		for (; page < start; page++)
			expect(pages[page].pinned || pages[page].holds);
		for (; page < end; page++)
			expect(!pages[page].pinned && !pages[page].holds);
	}
	for (; page < PAGES; page++)
		expect(pages[page].pinned || pages[page].holds);
}

CONTRACT_TEST(keeps, random_changes_agree_with_an_array)
{
	struct page pages[PAGES] = {{0, 0}};
	struct keeps keeps = {.count = 0}, changed;
	unsigned seed = 4711;

	for (int step = 0; step < STEPS; step++) {
		uint64_t start = (uint64_t)rand_r(&seed) % PAGES, end, page;
		int kind = rand_r(&seed) % 4, r, want = 0;

		end = start + 1 + (uint64_t)rand_r(&seed) % (PAGES - start);
		for (page = start; kind == 3 && page < end; page++)
			if (pages[page].holds == 0)
				want = -EINVAL;
		if (kind < 2)
			r = keeps_pin(&keeps, start, end, (uint32_t)kind, &changed);
		else
			r = keeps_hold(&keeps, start, end, kind == 2 ? 1 : -1, &changed);
		expect_msg(r == want, "step %d: %d, not %d", step, r, want);
		if (r < 0)
			continue;
		for (page = start; page < end; page++) {
			if (kind < 2)
				pages[page].pinned = (uint32_t)kind;
			else
				pages[page].holds += kind == 2 ? 1u : -1u;
		}
		keeps_commit(&keeps, &changed);
		expect_same(&keeps, pages);
		/* Now and then it must become empty, or every page ends up held. */
		if (step % 50 == 49) {
			keeps_drop(&keeps);
			for (page = 0; page < PAGES; page++)
				pages[page] = (struct page){0, 0};
			expect_same(&keeps, pages);
		}
	}
	keeps_drop(&keeps);
}

CONTRACT_TEST(keeps, count_of_holds_does_not_wrap)
{
	struct keep full = {2, 3, 0, UINT32_MAX};
	struct keeps keeps = {.at = &full, .count = 1}, changed = {.count = 77};

	expect_eq(keeps_hold(&keeps, 1, 5, 1, &changed), -EOVERFLOW);
	expect_eq(changed.count, 77);
	expect_eq(keeps_hold(&keeps, 2, 3, -1, &changed), 0);
	keeps_drop(&changed);
}
