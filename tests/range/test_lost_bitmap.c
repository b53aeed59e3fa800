/* SPDX-License-Identifier: MIT */
/* The bitmap of lost pages (lost.h), against one byte a page. */
#define _GNU_SOURCE 1
#include "support/contract.h"

#include <stdlib.h>
#include <string.h>

#include "range/lost_bitmap.h"

enum { PAGES = 700, GUARD = 2 };

static uint64_t words[GUARD + (PAGES + 63) / 64 + GUARD];
static uint64_t *const bits = words + GUARD;
static char model[PAGES];

static void begin(void)
{
	memset(words, 0, sizeof words);
	words[0] = words[1] = UINT64_C(0x5555aaaa5555aaaa);
	words[sizeof words / 8 - 2] = words[sizeof words / 8 - 1] = UINT64_C(0x5555aaaa5555aaaa);
	memset(model, 0, sizeof model);
}

static void expect_same(uint32_t first, uint32_t last)
{
	uint32_t page, count = 0, found = 77777;
	int is_lost;

	for (page = first; page <= last; page++)
		count += (uint32_t)model[page];
	expect_eq(lost_bitmap_count(bits, first, last), count);
	for (is_lost = 0; is_lost < 2; is_lost++) {
		for (page = first; page <= last && model[page] != is_lost; page++)
			;
		found = 77777;
		expect_eq(lost_bitmap_find(bits, first, last, is_lost, &found), page <= last);
		expect_eq(found, page <= last ? page : 77777);
	}
}

static void change(uint32_t first, uint32_t last, int is_lost)
{
	memset(model + first, is_lost, last - first + 1);
	if (is_lost)
		lost_bitmap_set(bits, first, last);
	else
		lost_bitmap_clear(bits, first, last);
}

CONTRACT_TEST(lost_bits, borders_of_words_are_met)
{
	static const uint32_t borders[] = {
		0, 1, 62, 63, 64, 65, 127, 128, 191, 192, PAGES - 2, PAGES - 1};
	enum { BORDERS = sizeof borders / sizeof borders[0] };
	int i, j, k;

	for (i = 0; i < BORDERS; i++) {
		for (j = i; j < BORDERS; j++) {
			begin();
			change(borders[i], borders[j], 1);
			for (k = 0; k < BORDERS; k++)
				expect_same(borders[k], PAGES - 1);
			expect_same(0, borders[i]);
			change(0, PAGES - 1, 1);
			change(borders[i], borders[j], 0);
			expect_same(0, PAGES - 1);
			expect_same(borders[i], borders[j]);
		}
	}
}

CONTRACT_TEST(lost_bits, random_changes_agree_with_bytes)
{
	unsigned seed = 5;
	int step;

	begin();
	for (step = 0; step < 20000; step++) {
		uint32_t first = (uint32_t)rand_r(&seed) % PAGES,
			 last = first + (uint32_t)rand_r(&seed) % (PAGES - first);

		if (rand_r(&seed) % 4)
			last = first + (last - first) % 80;
		if (rand_r(&seed) % 2)
			change(first, last, rand_r(&seed) % 3 > 0);
		else
			expect_same(first, last);
	}
	expect_same(0, PAGES - 1);
	expect(words[0] == UINT64_C(0x5555aaaa5555aaaa) && words[1] == words[0]);
	expect(words[sizeof words / 8 - 1] == words[0] && words[sizeof words / 8 - 2] == words[0]);
}

/* The last page of all there can be: no sum may wrap. */
CONTRACT_TEST(lost_bits, largest_page_number_ends_the_loops)
{
	uint64_t word = 0,
		 *base = (uint64_t *)((uintptr_t)&word - (uintptr_t)(UINT32_MAX / 64) * 8);
	uint32_t found = 0;

	lost_bitmap_set(base, UINT32_MAX - 3, UINT32_MAX);
	expect_eq(lost_bitmap_count(base, UINT32_MAX - 63, UINT32_MAX), 4);
	expect_eq(lost_bitmap_find(base, UINT32_MAX - 63, UINT32_MAX, 1, &found), 1);
	expect_eq(found, UINT32_MAX - 3);
	lost_bitmap_clear(base, UINT32_MAX, UINT32_MAX);
	expect_eq(lost_bitmap_count(base, UINT32_MAX - 63, UINT32_MAX), 3);
}
