/* SPDX-License-Identifier: MIT */
/*
 * Purging over all areas of the process, least recently unpinned first (contract rules 14 and 15).
 *
 * Every area knows the stamp of its own oldest range, and says it without its lock. A purge takes a
 * reference to every area and puts them into a pairing heap by that stamp. The area on top purges,
 * in its own order, what is not younger than the next area's oldest; then its stamp is read again.
 * So k ranges of n in m areas cost O(m + k (log m + log n)), and nothing is allocated when memory
 * is short. Notices of what went (notices.h) are told when the mutex is free; if there are too many
 * to remember, that comes in between, and the purge starts anew. An area gives at most twice what
 * could be freed in it when the purge began, and peers cannot make a purge wait longer for all
 * their areas than a call waits for one: so it ends, whatever they do.
 *
 * Locks: `mutex` lets one purge run at a time and guards the heap links. It comes before the areas'
 * mutex, which is held while the references are taken, and before every control lock.
 */
#include <errno.h>
#include <pthread.h>

#include <ashmem/shrinker.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/sys.h"
#include "handle/backends.h"
#include "handle/handle.h"
#include "purge/areas.h"
#include "purge/budget.h"
#include "purge/notices.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t purged_pages; /* atomic: of this process, ever */

void shrinker_before_fork(void)
{
	pthread_mutex_lock(&mutex);
}

void shrinker_after_fork(void)
{
	pthread_mutex_unlock(&mutex);
}

/* -- a pairing heap of areas, oldest on top -- */

static struct ashmem_area *heap_meld(struct ashmem_area *a, struct ashmem_area *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->heap_stamp < a->heap_stamp) {
		struct ashmem_area *younger = a;
		a = b;
		b = younger;
	}
	b->heap_sibling = a->heap_child;
	a->heap_child = b;
	return a;
}

static struct ashmem_area *heap_add(struct ashmem_area *heap, struct ashmem_area *area,
	uint64_t stamp)
{
	area->heap_stamp = stamp;
	area->heap_child = area->heap_sibling = NULL;
	return heap_meld(heap, area);
}

/* The heap without its top: its children melded in pairs, then the pairs. */
static struct ashmem_area *heap_without_top(struct ashmem_area *top)
{
	struct ashmem_area *child = top->heap_child, *pairs = NULL, *heap = NULL;

	while (child) {
		struct ashmem_area *second = child->heap_sibling;
		struct ashmem_area *rest = second ? second->heap_sibling : NULL;
		child->heap_sibling = NULL;
		if (second)
			second->heap_sibling = NULL;
		child = heap_meld(child, second);
		child->heap_sibling = pairs;
		pairs = child;
		child = rest;
	}
	while (pairs) {
		struct ashmem_area *next = pairs->heap_sibling;
		pairs->heap_sibling = NULL;
		heap = heap_meld(heap, pairs);
		pairs = next;
	}
	return heap;
}

/* -- purging -- */

/* How often an area is asked again that gave nothing. */
#define IDLE_MAX 64

static int has_lru(const struct ashmem_area *area)
{
	return (area->backend->capabilities & ASHMEM_BACKEND_CAP_LRU) != 0;
}

/* The areas of a purge: all, or those of one budget. */
struct collection {
	struct ashmem_budget *budget; /* NULL: all */
	struct ashmem_area *heap;
};

static void collect_area(struct ashmem_area *area, void *context)
{
	struct collection *collection = context;
	uint64_t stamp;

	if (!budget_covers(collection->budget, area))
		return;
	if (has_lru(area) && area->backend->begin_purge)
		area->backend->begin_purge(area->state);
	if (!has_lru(area) || area->backend->oldest(area->state, &stamp) <= 0)
		return;
	area_ref(area);
	area->heap_pages = 2 * area->backend->evictable(area->state);
	area->heap_idle = 0;
	collection->heap = heap_add(collection->heap, area, stamp);
}

/* Purge an area's ranges up to a key; pages freed, or a negative errno. */
static int64_t purge_area(struct ashmem_area *area, uint64_t newest, uint64_t nr_pages)
{
	notices_area_begin(area);
	int64_t freed = area->backend->purge(area->state, newest, nr_pages);
	notices_area_end(freed);

	if (freed > 0)
		__atomic_fetch_add(&purged_pages, (uint64_t)freed, __ATOMIC_RELAXED);
	if (budgets_any())
		budget_note(area);
	return freed;
}

/*
 * Take the oldest area from the heap, purge it up to the next one's age, and put it back if it has
 * more.
 */
static int64_t purge_oldest(struct ashmem_area **heap, uint64_t nr_pages)
{
	struct ashmem_area *area = *heap;
	uint64_t stamp, was = area->heap_stamp;

	*heap = heap_without_top(area);
	int64_t freed = purge_area(area, *heap ? (*heap)->heap_stamp : UINT64_MAX, nr_pages);
	uint64_t took = freed > 0 ? (uint64_t)freed : 0;
	area->heap_pages -= took < area->heap_pages ? took : area->heap_pages;
	area->heap_idle += freed == 0;
	/*
	 * If nothing went, its oldest range was pinned meanwhile; then its age is another. A peer
	 * can make it so for ever.
	 */
	if (freed >= 0 && area->heap_pages > 0 && area->heap_idle < IDLE_MAX &&
		area->backend->oldest(area->state, &stamp) > 0 && (freed > 0 || stamp != was))
		*heap = heap_add(*heap, area, stamp);
	else
		ashmem_close(area);
	return freed;
}

/*
 * All of an area that was purgeable when we came; what is unpinned meanwhile may stay, so that this
 * ends. It may also go first, if its priority is lower: therefore twice as many pages.
 */
static int64_t purge_whole(struct ashmem_area **heap, const struct notices *notices, uint64_t *left)
{
	struct ashmem_area *area = *heap;
	uint64_t pages = 2 * area->backend->evictable(area->state);
	int64_t freed = 1;

	*heap = heap_without_top(area);
	while (pages > 0 && *left > 0 && freed > 0 && !notices_full(notices)) {
		freed = purge_area(area, UINT64_MAX, pages < *left ? pages : *left);
		uint64_t gone = freed > 0 ? (uint64_t)freed : pages;
		pages -= gone < pages ? gone : pages;
		if (freed > 0)
			*left -= gone < *left ? gone : *left;
	}
	ashmem_close(area);
	return freed;
}

/*
 * Give back what is left of the heap, in no order: its top has no siblings, so its nodes are a list
 * that grows by each one's children.
 */
static void drop_heap(struct ashmem_area *heap)
{
	while (heap) {
		struct ashmem_area *area = heap, *child = area->heap_child;
		heap = area->heap_sibling;
		while (child) {
			struct ashmem_area *next = child->heap_sibling;
			child->heap_sibling = heap;
			heap = child;
			child = next;
		}
		ashmem_close(area);
	}
}

struct count {
	uint64_t areas, evictable_pages;
};

static void count_area(struct ashmem_area *area, void *context)
{
	struct count *count = context;

	count->areas++;
	if (has_lru(area))
		count->evictable_pages += area->backend->evictable(area->state);
}

void areas_count(uint64_t *areas, uint64_t *evictable_pages)
{
	struct count count = {.areas = 0};

	areas_visit(count_area, &count);
	*areas = count.areas;
	*evictable_pages = count.evictable_pages;
}

uint64_t areas_evictable(void)
{
	uint64_t areas, pages;

	areas_count(&areas, &pages);
	return pages;
}

/*
 * Purge until so many pages are freed, of a budget's areas or of all, or there are as many notices
 * as can be remembered: then 1, and more may be left.
 */
static int purge_pages(struct ashmem_budget *budget, uint64_t nr_pages,
	const struct notices *notices, uint64_t *freed, int64_t *error)
{
	struct collection collection = {.budget = budget};
	struct ashmem_area *heap;

	areas_visit(collect_area, &collection);
	heap = collection.heap;
	while (heap && *freed < nr_pages && !notices_full(notices)) {
		int64_t got = purge_oldest(&heap, nr_pages - *freed);
		if (got < 0)
			*error = got;
		else
			*freed += (uint64_t)got;
	}
	int unfinished = heap && *freed < nr_pages;
	drop_heap(heap);
	return unfinished;
}

/* `patience` is for all of one call. */
static void begin_purging(struct notices *notices, struct lock_patience *patience)
{
	pthread_mutex_lock(&mutex);
	lock_begin_patience(patience);
	notices_begin(notices);
}

static void end_purging(struct notices *notices, struct lock_patience *patience)
{
	lock_end_patience(patience);
	pthread_mutex_unlock(&mutex);
	notices_end(notices);
}

int64_t areas_shrink(uint64_t nr_pages)
{
	struct lock_patience patience = {.left_ns = LOCK_TIMEOUT_NS};
	struct notices notices;
	uint64_t freed = 0, left = UINT64_MAX;
	int64_t error = 0;
	int unfinished;

	do {
		begin_purging(&notices, &patience);
		uint64_t before = freed;
		unfinished =
			purge_pages(NULL, nr_pages, &notices, &freed, &error) && freed > before;
		end_purging(&notices, &patience);
		/* Others may unpin as fast as we purge: it ends when what was there is gone. */
		if (left == UINT64_MAX)
			left = unfinished ? 2 * areas_evictable() : 0;
		else
			left -= freed - before < left ? freed - before : left;
	} while (unfinished && left > 0);
	return freed == 0 && error < 0 ? error : (int64_t)freed;
}

int64_t areas_keep_within(struct ashmem_budget *budget, struct lock_patience *patience)
{
	struct notices notices;
	uint64_t freed = 0;
	int64_t error = 0;

	begin_purging(&notices, patience);
	/* With the mutex, so that two threads do not both purge what one of them sees. */
	uint64_t nr_pages = budget_excess(budget);
	if (nr_pages > 0)
		purge_pages(budget, nr_pages, &notices, &freed, &error);
	end_purging(&notices, patience);
	return freed == 0 && error < 0 ? error : (int64_t)freed;
}

/* The backends that purge for the whole system and are in use here. */
struct purgers {
	const struct ashmem_backend *backend[BACKENDS_MAX];
	unsigned count;
};

static void add_purger(struct purgers *purgers, const struct ashmem_backend *backend)
{
	unsigned i = 0;

	if (!(backend->capabilities & ASHMEM_BACKEND_CAP_PURGE_ALL))
		return;
	while (i < purgers->count && purgers->backend[i] != backend)
		i++;
	if (i == purgers->count && i < BACKENDS_MAX)
		purgers->backend[purgers->count++] = backend;
}

static void add_purger_of(struct ashmem_area *area, void *context)
{
	add_purger(context, area->backend);
}

/* Ask them to purge; the pages that were purgeable, or the first error. */
static int64_t purge_systems(void)
{
	const struct ashmem_backend *chosen;
	struct purgers purgers = {.count = 0};
	int64_t pages = 0;

	if (backend_choose(&chosen) == 0)
		add_purger(&purgers, chosen);
	areas_visit(add_purger_of, &purgers);
	for (unsigned i = 0; i < purgers.count; i++) {
		int64_t got = purgers.backend[i]->purge_all(purgers.backend[i]->userdata);
		if (got < 0)
			return got;
		pages += got;
	}
	return pages;
}

int64_t ashmem_purge_all(void)
{
	uint64_t before = areas_evictable(), left = 2 * before;
	int64_t error = 0, elsewhere = purge_systems();
	struct lock_patience patience = {.left_ns = LOCK_TIMEOUT_NS};
	struct notices notices;
	int unfinished;

	if (elsewhere < 0)
		return elsewhere;
	before += (uint64_t)elsewhere;
	do {
		struct collection collection = {.budget = NULL};
		uint64_t left_before = left;
		begin_purging(&notices, &patience);
		areas_visit(collect_area, &collection);
		while (collection.heap && !notices_full(&notices)) {
			int64_t got = purge_whole(&collection.heap, &notices, &left);
			if (got < 0)
				error = got;
		}
		unfinished = notices_full(&notices) && left > 0 && left < left_before;
		drop_heap(collection.heap);
		end_purging(&notices, &patience);
	} while (unfinished);
	return error < 0 ? error : (int64_t)before;
}

uint64_t areas_purged_pages(void)
{
	return __atomic_load_n(&purged_pages, __ATOMIC_RELAXED);
}
