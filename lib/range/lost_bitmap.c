/* SPDX-License-Identifier: MIT */
/* The bitmap of lost pages; see lost_bitmap.h. The caller holds the area's lock to change it. */
#include "range/lost_bitmap.h"

#include "base/shared.h"

/* The bits of first..last in the word that holds `first`; both are pages. */
static uint64_t mask_of(uint32_t first, uint32_t last)
{
	uint32_t from = first % LOST_WORD_BITS, room = LOST_WORD_BITS - from;
	uint64_t count = (uint64_t)last - first + 1;

	return (count >= room ? UINT64_MAX : (UINT64_C(1) << count) - 1) << from;
}

/* The first page of the next word. */
static uint64_t next_word(uint32_t page)
{
	return ((uint64_t)page / LOST_WORD_BITS + 1) * LOST_WORD_BITS;
}

void lost_bitmap_set(uint64_t *bits, uint32_t first, uint32_t last)
{
	for (uint64_t page = first; page <= last; page = next_word((uint32_t)page)) {
		uint64_t *word = &bits[page / LOST_WORD_BITS];
		SHARED_STORE(*word, SHARED_LOAD(*word) | mask_of((uint32_t)page, last));
	}
}

void lost_bitmap_clear(uint64_t *bits, uint32_t first, uint32_t last)
{
	for (uint64_t page = first; page <= last; page = next_word((uint32_t)page)) {
		uint64_t *word = &bits[page / LOST_WORD_BITS];
		SHARED_STORE(*word, SHARED_LOAD(*word) & ~mask_of((uint32_t)page, last));
	}
}

uint32_t lost_bitmap_count(const uint64_t *bits, uint32_t first, uint32_t last)
{
	uint32_t count = 0;

	for (uint64_t page = first; page <= last; page = next_word((uint32_t)page)) {
		uint64_t word =
			SHARED_LOAD(bits[page / LOST_WORD_BITS]) & mask_of((uint32_t)page, last);
		count += (uint32_t)__builtin_popcountll(word);
	}
	return count;
}

int lost_bitmap_find(const uint64_t *bits, uint32_t first, uint32_t last, int is_lost,
	uint32_t *found)
{
	for (uint64_t page = first; page <= last; page = next_word((uint32_t)page)) {
		uint64_t word = SHARED_LOAD(bits[page / LOST_WORD_BITS]);
		word = (is_lost ? word : ~word) & mask_of((uint32_t)page, last);
		if (word) {
			*found = (uint32_t)(page / LOST_WORD_BITS * LOST_WORD_BITS) +
				(uint32_t)__builtin_ctzll(word);
			return 1;
		}
	}
	return 0;
}
