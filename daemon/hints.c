/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: the table of hints. Each group has a part of it, filled by its last scan. A hint says
 * where an area was, and is not relied on: whoever opens it checks inode and serial.
 *
 * The parts lie one after the other, in any order. A scan fills a new part at the end and then the
 * old one is closed up. Within a part the first `heap` hints are a heap, the oldest first; those
 * that are busy come after all others.
 */
#include "ashmemd.h"

#include <string.h>

static struct hint hints[HINTS];
static uint32_t used; /* of the table */

/* The inodes of the scan under way: numbers of hints plus 1, by a hash. */
#define SLOTS (1u << 18)
static uint32_t slots[SLOTS];
static uint32_t scan_start_at;

_Static_assert(sizeof(struct hint) == 64, "100,000 take 6.1 MiB");
_Static_assert(HINTS < SLOTS / 2, "short ways");

static uint32_t slot_of(uint64_t inode)
{
	return (uint32_t)((inode * UINT64_C(0x9e3779b97f4a7c15)) >> 46) & (SLOTS - 1);
}

/* The slot that has the inode, or the free one where it would be. */
static uint32_t find_slot(uint64_t inode)
{
	uint32_t slot = slot_of(inode);

	while (slots[slot] && hints[slots[slot] - 1].inode != inode)
		slot = (slot + 1) % SLOTS;
	return slot;
}

int hints_know(uint64_t inode)
{
	return slots[find_slot(inode)] != 0;
}

void hints_drop(struct hint_list *list)
{
	uint32_t end = list->start + list->size;

	if (list->size > 0) {
		memmove(&hints[list->start], &hints[end], (used - end) * sizeof(hints[0]));
		used -= list->size;
		for (unsigned i = 0; i < GROUPS; i++)
			if (groups[i].hints.size > 0 && groups[i].hints.start >= end)
				groups[i].hints.start -= list->size;
	}
	*list = (struct hint_list){.start = 0};
}

void hints_begin(struct hint_list *list)
{
	*list = (struct hint_list){.start = used};
	scan_start_at = used;
}

int hints_add(struct hint_list *list, const struct hint *hint)
{
	if (used == HINTS)
		return -1;
	hints[used] = *hint;
	slots[find_slot(hint->inode)] = ++used;
	list->count = ++list->size;
	return 0;
}

static int is_older(const struct hint *a, const struct hint *b)
{
	return a->is_busy != b->is_busy ? a->is_busy < b->is_busy : a->key < b->key;
}

static void swap(struct hint *a, struct hint *b)
{
	struct hint other = *a;

	*a = *b;
	*b = other;
}

static void sink(struct hint *part, uint32_t at, uint32_t size)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= size)
			return;
		if (child + 1 < size && is_older(&part[child + 1], &part[child]))
			child++;
		if (!is_older(&part[child], &part[at]))
			return;
		swap(&part[child], &part[at]);
		at = child;
	}
}

void hints_take_back(struct hint_list *list)
{
	if (list->heap == list->count)
		return;
	list->heap = list->count;
	for (uint32_t i = list->count / 2; i-- > 0;)
		sink(&hints[list->start], i, list->heap);
}

void hints_end(struct hint_list *list)
{
	/* All of one chain are cleared, so no search meets a hole. */
	for (uint32_t i = scan_start_at; i < used; i++) {
		uint32_t slot = slot_of(hints[i].inode);

		for (; slots[slot]; slot = (slot + 1) % SLOTS)
			slots[slot] = 0;
	}
	list->heap = 0;
	hints_take_back(list);
}

void hints_each(const struct hint_list *list, void (*fn)(const struct hint *hint))
{
	for (uint32_t i = 0; i < list->count; i++)
		fn(&hints[list->start + i]);
}

struct hint *hints_oldest(struct hint_list *list)
{
	return list->heap > 0 ? &hints[list->start] : NULL;
}

void hints_reorder_oldest(struct hint_list *list)
{
	sink(&hints[list->start], 0, list->heap);
}

void hints_set_oldest_aside(struct hint_list *list)
{
	struct hint *part = &hints[list->start];

	swap(&part[0], &part[--list->heap]);
	sink(part, 0, list->heap);
}

/* The last of those set aside takes its place. */
void hints_remove_oldest(struct hint_list *list)
{
	struct hint *part = &hints[list->start];

	hints_set_oldest_aside(list);
	part[list->heap] = part[--list->count];
}
