/* SPDX-License-Identifier: MIT */
/*
 * The bitmap of lost pages: which pages of an area were freed by a purge and not pinned since.
 *
 * The range list keeps one purge mark a range, and unpin merges ranges. So a mark says that
 * something of a range was lost, and a bit says which page. Bits are set only within ranges that
 * carry the mark (but for what a crash leaves until the recovery). Like the range list it is plain
 * memory, shared with peers that may write anything: any bits are good bits, and every loop ends.
 */
#ifndef ASHMEM_LIB_RANGE_LOST_BITMAP_H
#define ASHMEM_LIB_RANGE_LOST_BITMAP_H

#include <stdint.h>

#define LOST_WORD_BITS 64u

void lost_bitmap_set(uint64_t *bits, uint32_t first, uint32_t last);
void lost_bitmap_clear(uint64_t *bits, uint32_t first, uint32_t last);
/* How many of first..last are lost. */
uint32_t lost_bitmap_count(const uint64_t *bits, uint32_t first, uint32_t last);
/* The first of first..last that is lost (`is_lost` 1) or not (0): 1, or 0 if there is none. */
int lost_bitmap_find(const uint64_t *bits, uint32_t first, uint32_t last, int is_lost,
	uint32_t *found);

#endif /* ASHMEM_LIB_RANGE_LOST_BITMAP_H */
