/* SPDX-License-Identifier: MIT */
/*
 * Purging over all areas of the process, least recently unpinned first (contract rules 14 and 15).
 *
 * Every area knows the key of its own oldest range, without its lock. A heap of the areas by those
 * keys is kept from purge to purge (budget.h). If nobody keeps budgets it is renewed when a purge
 * begins, by one look at each area. Then the area on top is looked at again; it purges, in its own
 * order, what is not younger than the next area's oldest; and its key is read again. So k ranges of
 * n in m areas cost O(k (log m + log n)) after that, and nothing is allocated when memory is short.
 * A purge *touches* each area that comes to the top: it has a reference to it from then on, and it
 * alone decides whether the area is in the heap.
 *
 * Subscribers are called (notices.h) once the mutex is free. If there are too many notices to
 * remember, that comes in between, and the purge starts anew. An area gives at most twice what
 * could be freed in it when the purge began, and peers cannot make a purge wait longer for all
 * their areas than a call waits for one: so it ends, whatever they do.
 *
 * An area whose lock is not free after a moment is put aside, and so that many of them cost little,
 * these moments add up to TRIES_NS at most. Relief of memory pressure has no such moments: a thread
 * that has a lock and no processor would hold it up, while others take memory. If nothing else is
 * left, those that were put aside are waited for, each once, with an equal part of what is left of
 * the call's patience.
 *
 * Locks: `purge_mutex` lets one purge run at a time. It comes before the trap's, the table's, the
 * budgets', which guards the heap, and every control lock, and is held while a backend's `purge`
 * runs. An area whose last reference the purge gives back is closed after the mutex is free.
 */
#include <errno.h>
#include <pthread.h>

#include <ashmem/shrinker.h>

#include "base/cancel.h"
#include "base/context.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/sys.h"
#include "handle/backends.h"
#include "handle/handle.h"
#include "purge/areas.h"
#include "purge/budget.h"
#include "purge/heap.h"
#include "purge/notices.h"

static pthread_mutex_t purge_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t purged_pages; /* atomic: of this process, since it began */

void areas_before_fork(void)
{
	pthread_mutex_lock(&purge_mutex);
}

void areas_after_fork(void)
{
	pthread_mutex_unlock(&purge_mutex);
}

/* -- purging -- */

/* How often an area is asked again that gave nothing, while the call has patience. */
#define IDLE_MAX 64
/* How often an area's key may be found too small before it is taken nevertheless. */
#define LOOKS_MAX 1000
/* How much of its patience a call spends on areas that are locked while there are others. */
#define TRIES_NS (LOCK_TIMEOUT_NS / 50)

static int has_lru(const struct ashmem_area *area)
{
	return (area->backend->capabilities & ASHMEM_BACKEND_CAP_LRU) != 0;
}

/* One purge, while the mutex is held and a little longer: see begin() and end(). */
struct purge {
	struct context frame;
	struct notices notices;
	struct ashmem_budget *budget; /* whose areas are purged, the process's for all */
	int is_for_budget;            /* it purges no more than what is over */
	struct ashmem_area *touched;  /* by touched_next */
	struct ashmem_area *locked;   /* put aside, by locked_next */
	uint64_t nr_locked;
	struct ashmem_area *taken; /* from the heap */
	uint64_t next_key;         /* of the area on top of the heap after that */
	struct ashmem_area *ended; /* no reference is left: to be closed, by touched_next */
};

/* `patience_ns` is for all of one call. `budget` NULL: all areas. */
static void begin(struct purge *purge, struct ashmem_budget *budget, uint64_t *patience_ns)
{
	pthread_mutex_lock(&purge_mutex);
	purge->frame = (struct context){.flags = CONTEXT_PURGE, .patience_ns = patience_ns};
	purge->budget = budget ? budget : &budget_process;
	purge->is_for_budget = budget != NULL;
	purge->touched = purge->locked = purge->ended = NULL;
	purge->nr_locked = 0;
	notices_begin(&purge->notices, &purge->frame);
	context_push(&purge->frame);
}

/* Have the area take part in calls and purges to come, and give the reference back. */
static void let_go(struct purge *purge, struct ashmem_area *area)
{
	budgets_lock();
	area->is_touched = 0;
	area->backend->begin_purge(area->state); /* or its key is of this purge only */
	budget_rekey_locked(area);
	budgets_unlock();
	if (!area_unref(area))
		return;
	area->touched_next = purge->ended;
	purge->ended = area;
}

static void end(struct purge *purge)
{
	while (purge->touched) {
		struct ashmem_area *area = purge->touched;
		purge->touched = area->touched_next;
		let_go(purge, area);
	}
	context_pop(&purge->frame);
	pthread_mutex_unlock(&purge_mutex);
	while (purge->ended) {
		struct ashmem_area *area = purge->ended;
		purge->ended = area->touched_next;
		area_end(area);
	}
	notices_tell(&purge->notices);
}

/* -- taking areas from the heap -- */

static void look_at(struct ashmem_area *area, void *context)
{
	(void)context;
	budget_rekey(area);
}

/*
 * Have all areas in the heap by keys that are not too large. In a purge of a kind of its own more
 * areas have something to purge than is known of them.
 */
static void look_at_all(void)
{
	if (budgets_any() && !context_is_within(CONTEXT_MARK_ALL | CONTEXT_LAST_LOOK))
		budget_look(&budget_process);
	else
		table_visit(look_at, NULL);
}

/* Twice what the area can give. */
static uint64_t most_pages(const struct purge *purge, struct ashmem_area *area)
{
	uint64_t pages;

	if ((purge->frame.flags & CONTEXT_LAST_LOOK) && area_size_pages(area, &pages) == 0)
		return 2 * pages;
	return 2 * area->backend->evictable(area->state);
}

static void touch(struct purge *purge, struct ashmem_area *area)
{
	area_ref(area);
	area->is_touched = 1;
	area->backend->begin_purge(area->state);
	area->purge_pages = most_pages(purge, area);
	area->purge_idle = area->purge_looks = 0;
	area->purge_waited = 0;
	area->touched_next = purge->touched;
	purge->touched = area;
}

/* Look at the area on top. 1: it is the oldest; 0: its key was old, and its place is another. */
static int look_at_top(struct purge *purge, struct area_node **heap)
{
	struct area_node *node = *heap;
	struct ashmem_area *area = node->area;
	uint64_t key, was = node->key;

	if (area->refs == 0) { /* its end is under way */
		heap_take(heap, node);
		return 0;
	}
	if (!area->is_touched)
		touch(purge, area);
	if (purge->is_for_budget)
		budget_note_locked(area);
	int r = area->backend->oldest(area->state, &key);
	/* A peer can make its key grow for ever. */
	if (r > 0 && (key <= was || area->purge_looks++ == LOOKS_MAX)) {
		area->purge_key = key;
		return 1;
	}
	heap_take(heap, node);
	if (r > 0)
		heap_put(heap, node, area, key);
	return 0;
}

static void take_top(void *context)
{
	struct purge *purge = context;
	struct area_node **heap = &purge->budget->heap;

	budgets_lock();
	while (*heap && !look_at_top(purge, heap))
		;
	purge->taken = *heap ? (*heap)->area : NULL;
	if (*heap)
		heap_take(heap, *heap);
	purge->next_key = *heap ? (*heap)->key : UINT64_MAX;
	budgets_unlock();
}

/* Put an area back that was taken, if it is still to be purged. */
static void put_back(struct purge *purge, struct ashmem_area *area, uint64_t key)
{
	budgets_lock();
	if (budget_covers(purge->budget, area))
		heap_put(&purge->budget->heap, budget_node(purge->budget, area), area, key);
	budgets_unlock();
}

/* -- areas that are locked -- */

/* The outermost bound, which also holds here. */
static uint64_t patience_left(void)
{
	return *context_patience();
}

/* How long the purge may wait for the lock of an area. */
static uint64_t longest_wait(const struct purge *purge, const struct ashmem_area *area)
{
	uint64_t left_ns = patience_left();

	if (area->purge_waited) /* it is not counted in nr_locked any more */
		return left_ns / (purge->nr_locked + 1);
	if (context_is_within(CONTEXT_RELIEF))
		return 0;
	return left_ns > LOCK_TIMEOUT_NS - TRIES_NS ? WAIT_STEP_NS : 0;
}

/* The area was locked: whether it has another turn, when nothing else is left. */
static int put_aside(struct purge *purge, struct ashmem_area *area)
{
	if (area->purge_waited)
		return 0;
	area->purge_waited = 1;
	area->locked_next = purge->locked;
	purge->locked = area;
	purge->nr_locked++;
	return 1;
}

/* The next area to purge, in `taken`: 1, or 0 if there is none. */
static int take_area(struct purge *purge)
{
	table_run(take_top, purge);
	if (!purge->taken && purge->locked) {
		purge->taken = purge->locked;
		purge->locked = purge->taken->locked_next;
		purge->nr_locked--;
	}
	return purge->taken != NULL;
}

/* -- purging one area -- */

/* Purge an area's ranges up to a key; pages freed, or a negative errno. */
static int64_t purge_area(struct purge *purge, struct ashmem_area *area, uint64_t newest,
	uint64_t nr_pages)
{
	purge->frame.wait_ns = longest_wait(purge, area);
	notices_begin_area(&purge->notices, area);
	int64_t freed = area->backend->purge(area->state, newest, nr_pages);
	notices_end_area(&purge->notices, freed);

	if (freed > 0)
		__atomic_fetch_add(&purged_pages, (uint64_t)freed, __ATOMIC_RELAXED);
	if (budgets_any())
		budget_note(area);
	return freed;
}

/*
 * Purge the area that was taken up to the next one's age, and put it back if it has more. 0 if it
 * was locked and is put aside.
 */
static int64_t purge_oldest(struct purge *purge, uint64_t nr_pages)
{
	struct ashmem_area *area = purge->taken;
	uint64_t key, evictable = area->backend->evictable(area->state);

	int64_t freed = purge_area(purge, area, purge->next_key, nr_pages);
	if (freed == -ETIMEDOUT && put_aside(purge, area))
		return 0;
	uint64_t left = area->backend->evictable(area->state);
	uint64_t took = left < evictable ? evictable - left : 0; /* ranges without memory too */
	if (freed > 0 && (uint64_t)freed > took)
		took = (uint64_t)freed;
	area->purge_pages -= took < area->purge_pages ? took : area->purge_pages;
	area->purge_idle += took == 0;
	/*
	 * If nothing was freed, its oldest range was pinned meanwhile, and now another is the
	 * oldest. A peer can make it so for ever.
	 */
	uint32_t idle_max = patience_left() > 0 ? IDLE_MAX : 1;
	if (freed >= 0 && area->purge_pages > 0 && area->purge_idle < idle_max &&
		area->backend->oldest(area->state, &key) > 0 &&
		(took > 0 || key != area->purge_key))
		put_back(purge, area, key);
	return freed;
}

/*
 * All of the taken area that was purgeable when we came; what is unpinned meanwhile may stay, so
 * that this ends. It may also be purged first, if its priority is lower: therefore twice as many
 * pages. 0 if it was locked and is put aside.
 */
static int64_t purge_whole(struct purge *purge, uint64_t *left)
{
	struct ashmem_area *area = purge->taken;
	uint64_t pages = 2 * area->backend->evictable(area->state);
	int64_t freed = 1;

	while (pages > 0 && *left > 0 && freed > 0 && !notices_full(&purge->notices)) {
		freed = purge_area(purge, area, UINT64_MAX, pages < *left ? pages : *left);
		uint64_t gone = freed > 0 ? (uint64_t)freed : pages;
		pages -= gone < pages ? gone : pages;
		if (freed > 0)
			*left -= gone < *left ? gone : *left;
	}
	return freed == -ETIMEDOUT && put_aside(purge, area) ? 0 : freed;
}

/* How many of so many pages are wanted still. */
static uint64_t still_wanted(const struct purge *purge, uint64_t nr_pages)
{
	uint64_t excess = purge->is_for_budget ? budget_excess(purge->budget) : UINT64_MAX;

	return nr_pages < excess ? nr_pages : excess;
}

/*
 * Purge until so many pages are freed, or there are as many notices as can be remembered: then 1,
 * and more may be left.
 */
static int purge_pages(struct purge *purge, uint64_t nr_pages, uint64_t *freed, int64_t *error)
{
	while (*freed < nr_pages && !notices_full(&purge->notices)) {
		if (!take_area(purge))
			return 0;
		uint64_t wanted = still_wanted(purge, nr_pages - *freed);
		if (wanted == 0)
			return 0;
		int64_t got = purge_oldest(purge, wanted);
		if (got < 0)
			*error = got;
		else
			*freed += (uint64_t)got;
	}
	return *freed < nr_pages;
}

/*
 * All else is gone. Ranges that were purged or held no memory can do so again, if somebody wrote to
 * unpinned pages or read a hole.
 */
static void purge_what_was_passed(struct purge *purge, uint64_t nr_pages, uint64_t *patience_ns,
	uint64_t *freed, int64_t *error)
{
	begin(purge, NULL, patience_ns);
	purge->frame.flags |= CONTEXT_LAST_LOOK;
	look_at_all();
	purge_pages(purge, nr_pages, freed, error);
	purge->frame.flags &= ~CONTEXT_LAST_LOOK;
	end(purge);
}

int64_t areas_shrink(uint64_t nr_pages, uint64_t *patience_ns)
{
	uint64_t freed = 0, left = UINT64_MAX;
	struct purge purge; /* large, and most of it not used: no initializer */
	int64_t error = 0;
	int unfinished = 0;

	if (!context_may_purge())
		return -EDEADLK;
	do {
		begin(&purge, NULL, patience_ns);
		look_at_all();
		uint64_t before = freed;
		unfinished = purge_pages(&purge, nr_pages, &freed, &error) && freed > before;
		end(&purge);
		/* Others may unpin as fast as we purge: it ends when what was there is gone. */
		if (left == UINT64_MAX)
			left = unfinished ? 2 * areas_evictable() : 0;
		else
			left -= freed - before < left ? freed - before : left;
	} while (unfinished && left > 0);
	if (!unfinished && freed < nr_pages && error == 0)
		purge_what_was_passed(&purge, nr_pages, patience_ns, &freed, &error);
	return freed == 0 && error < 0 ? error : (int64_t)freed;
}

int64_t areas_keep_within(struct ashmem_budget *budget, uint64_t *patience_ns)
{
	struct purge purge;
	uint64_t freed = 0;
	int64_t error = 0;

	if (!context_may_purge())
		return -EDEADLK;
	begin(&purge, budget, patience_ns);
	/* With the mutex, so that two threads do not both purge what one of them sees. */
	budget_look(budget);
	uint64_t nr_pages = budget_excess(budget);
	if (nr_pages > 0)
		purge_pages(&purge, nr_pages, &freed, &error);
	end(&purge);
	return freed == 0 && error < 0 ? error : (int64_t)freed;
}

/* -- counting -- */

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

	table_visit(count_area, &count);
	*areas = count.areas;
	*evictable_pages = count.evictable_pages;
}

uint64_t areas_evictable(void)
{
	uint64_t areas, pages;

	areas_count(&areas, &pages);
	return pages;
}

/* -- purging all -- */

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
	table_visit(add_purger_of, &purgers);
	for (unsigned i = 0; i < purgers.count; i++) {
		int64_t got = purgers.backend[i]->purge_all(purgers.backend[i]->userdata);
		if (got < 0)
			return got;
		pages += got;
	}
	return pages;
}

/* With ranges that a purge of less than all has found to hold no memory. */
static uint64_t evictable_for_all(void)
{
	struct context frame = {.flags = CONTEXT_MARK_ALL};

	context_push(&frame);
	uint64_t pages = areas_evictable();
	context_pop(&frame);
	return pages;
}

int64_t ashmem_purge_all(void)
{
	CANCEL_OFF;
	uint64_t patience_ns = LOCK_TIMEOUT_NS;
	struct purge purge;
	int64_t error = 0;
	int unfinished;

	if (!context_may_purge())
		return -EDEADLK;
	uint64_t before = evictable_for_all(), left = 2 * before;
	int64_t elsewhere = purge_systems();
	if (elsewhere < 0)
		return elsewhere;
	before += (uint64_t)elsewhere;
	do {
		uint64_t left_before = left;
		begin(&purge, NULL, &patience_ns);
		purge.frame.flags |= CONTEXT_MARK_ALL;
		look_at_all();
		while (!notices_full(&purge.notices) && take_area(&purge)) {
			int64_t got = purge_whole(&purge, &left);
			if (got < 0)
				error = got;
		}
		unfinished = notices_full(&purge.notices) && left > 0 && left < left_before;
		purge.frame.flags &= ~CONTEXT_MARK_ALL;
		end(&purge);
	} while (unfinished);
	return error < 0 ? error : (int64_t)before;
}

/* -- purging exactly some pages -- */

int64_t areas_purge_range(struct ashmem_area *area, uint64_t offset, uint64_t end_offset)
{
	uint64_t patience_ns = LOCK_TIMEOUT_NS, freed = 0;
	struct purge purge;
	int64_t got = 0;

	if (!context_may_purge())
		return -EDEADLK;
	while (offset < end_offset && got >= 0) {
		uint64_t before = offset;
		begin(&purge, NULL, &patience_ns);
		purge.frame.wait_ns = patience_ns;
		do {
			notices_begin_area(&purge.notices, area);
			got = area->backend->purge_range(area->state, &offset, end_offset);
			notices_end_area(&purge.notices, got);
			freed += got > 0 ? (uint64_t)got : 0;
		} while (got > 0 && offset < end_offset && !notices_full(&purge.notices));
		end(&purge);
		if (got == 0 && offset == before) /* a peer changes the area all the time */
			break;
	}
	__atomic_fetch_add(&purged_pages, freed, __ATOMIC_RELAXED);
	return freed == 0 && got < 0 ? got : (int64_t)freed;
}

uint64_t areas_purged_pages(void)
{
	return __atomic_load_n(&purged_pages, __ATOMIC_RELAXED);
}
