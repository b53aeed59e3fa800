/* SPDX-License-Identifier: MIT */
/*
 * Calls on one small range list, each followed by a check of everything. Lists are compared as text
 * (range_arena.h): "2-5@7p1" are the pages 2 to 5, unpinned at stamp 7, purged, with one live page.
 */
#ifndef TESTS_SUPPORT_RANGE_SMALL_H
#define TESTS_SUPPORT_RANGE_SMALL_H

#include "support/contract.h"
#include "support/range_arena.h"

extern struct range_list *list;

/* A new list over so many pages; it lives as long as the process of the test. */
void begin(uint32_t pages);

void unpin(uint32_t first, uint32_t last, uint64_t stamp);
int pin(uint32_t first, uint32_t last);

/* What a purge does to the range that starts there: mark, then say how much is left. */
void purge(uint32_t start, uint32_t live);

/* The stamp of the oldest evictable range, or RANGE_NO_STAMP. */
uint64_t oldest(void);

#define expect_list(text) expect_str(list_text(list), text)

#endif
