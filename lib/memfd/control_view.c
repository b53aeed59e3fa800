/* SPDX-License-Identifier: MIT */
/*
 * The range list of a control block as one thread uses it, and the care of lists that got large.
 *
 * A thread has one view, of the block that it used last (control.h, struct control_view). What a
 * large list gets, hints for its searches and huge pages for its nodes, makes it faster and changes
 * nothing else. No lock is held for control_care().
 */
#include <sys/mman.h>

#include "base/shared.h"
#include "memfd/control.h"
#include "memfd/huge_pages.h"

THREAD_LOCAL struct control_view control_view;

struct range_list *control_view_change(const struct control_map *map)
{
	struct range_list *list = &control_view.list;

	list->root = map->list.root;
	list->journal_top = map->list.journal_top;
	list->nodes_top = map->list.nodes_top;
	list->max_nodes = map->list.max_nodes;
	list->pages = map->list.pages;
	/* Acquire: pairs with give_hints(). */
	range_give_hints(list, __atomic_load_n(&map->list.hints, __ATOMIC_ACQUIRE));
	list->hints_asked = list->hints != NULL;
	list->fresh = 0;
	list->fetched = 0;
	list->lost = map->list.lost;
	list->freed_count = 0;
	list->path_low = list->path_high = 0;
	control_view.id = map->id;
	return list;
}

static void give_hints(struct control_map *map)
{
	struct range_hints *hints = mmap(NULL, sizeof(*hints), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct range_hints *none = NULL;

	if (hints == MAP_FAILED)
		hints = NULL;
	/* Another thread may be first. Acquire and release: a thread that sees them sees zeroes. */
	if (hints &&
		!__atomic_compare_exchange_n(&map->list.hints, &none, hints, 0, __ATOMIC_ACQ_REL,
			__ATOMIC_ACQUIRE)) {
		munmap(hints, sizeof(*hints));
		hints = none;
	}
	range_give_hints(control_list(map), hints);
}

void control_care(struct control_map *map)
{
	struct range_list *list = control_list(map);
	uint32_t fresh = list->fresh;

	list->fresh = 0;
	if (!list->hints_asked)
		give_hints(map);
	if (fresh > 0 && fresh <= list->max_nodes)
		huge_pages_join(map, fresh - 1);
}
