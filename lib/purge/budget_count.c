/* SPDX-License-Identifier: MIT */
/*
 * Counting for budgets; see budget.h.
 *
 * Invariants, with the mutex held: a budget's counts are the sums of the counts that the handles in
 * it remember, the process's of all handles. They are as fresh as the last call of this process on
 * each area, and of this moment after budget_recount(). An area with something to purge is in the
 * process's heap, and in its group's, by a key that is not above its oldest range's, as fresh as
 * that; only of an area that a purge has touched, that purge alone decides (areas.c).
 *
 * Locks: `budgets_mutex` guards budgets and what handles remember for them. It comes after the
 * table's mutex, which a recount holds, and before what a backend locks to count (memfd's mutex,
 * for areas that are not established). An area is counted with the mutex held: of two threads the
 * later one sees what both have done.
 */
#include <pthread.h>

#include "base/fork.h"
#include "base/sys.h"
#include "handle/backends.h"
#include "purge/budget.h"
#include "purge/heap.h"

static pthread_mutex_t budgets_mutex = PTHREAD_MUTEX_INITIALIZER;
struct ashmem_budget budget_process = {
	.refs = 1, .unpinned_limit_bytes = UINT64_MAX, .all_limit_bytes = UINT64_MAX};

/* The areas with `restless_next`; a ring, so that none is the first. */
static struct ashmem_area *restless;
static uint64_t restless_areas;
static int has_forked; /* and the areas of that time are not noted as shared yet */

void budgets_before_fork(void)
{
	pthread_mutex_lock(&budgets_mutex);
}

void budgets_after_fork(void)
{
	has_forked = 1;
	pthread_mutex_unlock(&budgets_mutex);
}

void budgets_lock(void)
{
	pthread_mutex_lock(&budgets_mutex);
}

void budgets_unlock(void)
{
	pthread_mutex_unlock(&budgets_mutex);
}

/* -- one area -- */

static int has_lru(const struct ashmem_area *area)
{
	return (area->backend->capabilities & ASHMEM_BACKEND_CAP_LRU) != 0;
}

/* Pages of a materialised area, as far as the backend does not say what is purged. */
static uint64_t whole_pages(struct ashmem_area *area)
{
	uint64_t size_bytes, page = sys_page_size();
	int materialised;

	if (area->backend->get_size(area->state, &size_bytes, &materialised) < 0 || !materialised)
		return 0;
	return size_bytes / page + (size_bytes % page != 0);
}

struct counts {
	uint64_t unpinned, all, absent;
};

static int has_limit_on_all(const struct ashmem_budget *budget)
{
	return budget && budget->all_limit_bytes != UINT64_MAX;
}

static struct counts measure(struct ashmem_area *area)
{
	const struct ashmem_backend *backend = area->backend;
	struct counts counts = {.unpinned = 0};

	if (!has_lru(area))
		return counts;
	counts.unpinned = backend->evictable(area->state);
	counts.all = backend->present ? backend->present(area->state) : whole_pages(area);
	/* A system call, for those who need it. */
	if (backend->resident &&
		(has_limit_on_all(area->budget) || has_limit_on_all(&budget_process))) {
		uint64_t resident = backend->resident(area->state);
		counts.absent = resident < counts.all ? counts.all - resident : 0;
	}
	if (counts.all < area->counted_ahead) {
		counts.absent += area->counted_ahead - counts.all;
		counts.all = area->counted_ahead;
	}
	return counts;
}

static void add_difference(struct ashmem_budget *budget, const struct ashmem_area *area,
	const struct counts *counts)
{
	budget->unpinned_pages += counts->unpinned - area->counted_unpinned;
	budget->all_pages += counts->all - area->counted_all;
	budget->absent_pages += counts->absent - area->counted_absent;
}

static void remember(struct ashmem_area *area, const struct counts *counts)
{
	add_difference(&budget_process, area, counts);
	if (area->budget)
		add_difference(area->budget, area, counts);
	area->counted_unpinned = counts->unpinned;
	area->counted_all = counts->all;
	area->counted_absent = counts->absent;
}

/* Keep the ring: in it are areas that others may have, or that take less memory than they can. */
static void update_restless(struct ashmem_area *area, int is_restless)
{
	if (is_restless == (area->restless_next != NULL))
		return;
	if (is_restless) {
		struct ashmem_area *next = restless ? restless : area;
		area->restless_next = next;
		area->restless_prev = restless ? next->restless_prev : area;
		area->restless_prev->restless_next = next->restless_prev = area;
		restless = area;
		restless_areas++;
		return;
	}
	if (restless == area)
		restless = area->restless_next == area ? NULL : area->restless_next;
	area->restless_prev->restless_next = area->restless_next;
	area->restless_next->restless_prev = area->restless_prev;
	area->restless_prev = area->restless_next = NULL;
	restless_areas--;
}

void budget_rekey_locked(struct ashmem_area *area)
{
	uint64_t key;

	if (area->is_touched || !has_lru(area) || area->backend->oldest(area->state, &key) <= 0)
		return;
	heap_put(&budget_process.heap, &area->node[0], area, key);
	if (area->budget)
		heap_put(&area->budget->heap, &area->node[1], area, key);
}

void budget_rekey(struct ashmem_area *area)
{
	pthread_mutex_lock(&budgets_mutex);
	budget_rekey_locked(area);
	pthread_mutex_unlock(&budgets_mutex);
}

void budget_note_locked(struct ashmem_area *area)
{
	struct counts counts = measure(area);

	remember(area, &counts);
	budget_rekey_locked(area);
	update_restless(area, has_lru(area) && (area->is_shared || counts.absent > 0));
}

void budget_note(struct ashmem_area *area)
{
	pthread_mutex_lock(&budgets_mutex);
	budget_note_locked(area);
	pthread_mutex_unlock(&budgets_mutex);
}

void budget_share(struct ashmem_area *area)
{
	/* Relaxed: only this function, and a recount, set it, and both have the lock for it. */
	if (__atomic_load_n(&area->is_shared, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&budgets_mutex);
	__atomic_store_n(&area->is_shared, 1, __ATOMIC_RELAXED);
	update_restless(area, has_lru(area));
	pthread_mutex_unlock(&budgets_mutex);
}

void budget_move(struct ashmem_area *area, struct ashmem_budget *budget)
{
	struct ashmem_budget *before = area->budget;

	if (before) {
		before->unpinned_pages -= area->counted_unpinned;
		before->all_pages -= area->counted_all;
		before->absent_pages -= area->counted_absent;
		before->areas--;
		heap_take(&before->heap, &area->node[1]);
	}
	if (budget) {
		budget->unpinned_pages += area->counted_unpinned;
		budget->all_pages += area->counted_all;
		budget->absent_pages += area->counted_absent;
		budget->areas++;
	}
	/*
	 * Atomic for budget_covers(), which has no lock: a purge that begins meanwhile may see
	 * either.
	 */
	__atomic_store_n(&area->budget, budget, __ATOMIC_RELAXED);
}

void budget_forget(struct ashmem_area *area)
{
	pthread_mutex_lock(&budgets_mutex);
	budget_move(area, NULL);
	budget_process.unpinned_pages -= area->counted_unpinned;
	budget_process.all_pages -= area->counted_all;
	budget_process.absent_pages -= area->counted_absent;
	heap_take(&budget_process.heap, &area->node[0]);
	update_restless(area, 0);
	pthread_mutex_unlock(&budgets_mutex);
}

/* -- all areas of a budget -- */

int budget_covers(const struct ashmem_budget *budget, const struct ashmem_area *area)
{
	return !budget || budget == &budget_process ||
		__atomic_load_n(&area->budget, __ATOMIC_RELAXED) == budget;
}

struct recount {
	struct ashmem_budget *budget;
	int has_forked;
	uint64_t areas, visited;
};

static void recount_area(struct ashmem_area *area, void *context)
{
	struct recount *recount = context;

	recount->visited++;
	if (recount->has_forked)
		budget_share(area);
	if (!budget_covers(recount->budget, area))
		return;
	budget_note(area);
	recount->areas += has_lru(area);
}

/* All areas but those that were made since are in the other process as well. */
static int take_fork(void)
{
	pthread_mutex_lock(&budgets_mutex);
	int forked = has_forked;
	has_forked = 0;
	pthread_mutex_unlock(&budgets_mutex);
	return forked;
}

void budget_recount(struct ashmem_budget *budget)
{
	struct recount recount = {.budget = budget, .has_forked = take_fork()};

	table_visit(recount_area, &recount);
	pthread_mutex_lock(&budgets_mutex);
	budget->areas = budget == &budget_process ? recount.areas : budget->areas;
	budget->looks_left = recount.visited;
	pthread_mutex_unlock(&budgets_mutex);
}

/* How many restless areas there are, or UINT64_MAX if it is time to look at all areas. */
static uint64_t areas_to_look_at(struct ashmem_budget *budget)
{
	pthread_mutex_lock(&budgets_mutex);
	uint64_t areas = has_forked || budget->looks_left == 0 ? UINT64_MAX : restless_areas;
	budget->looks_left -= budget->looks_left > 0;
	pthread_mutex_unlock(&budgets_mutex);
	return areas;
}

void budget_look(struct ashmem_budget *budget)
{
	uint64_t areas = areas_to_look_at(budget);

	if (areas == UINT64_MAX) {
		budget_recount(budget);
		return;
	}
	/* The mutex is free in between, for those who wait to pin. Areas may come and go then. */
	while (areas-- > 0) {
		pthread_mutex_lock(&budgets_mutex);
		struct ashmem_area *area = restless;
		if (area) {
			restless = area->restless_next;
			if (budget_covers(budget, area))
				budget_note_locked(area);
		}
		pthread_mutex_unlock(&budgets_mutex);
	}
}

/* -- against the limits -- */

uint64_t budget_pages(uint64_t limit_bytes)
{
	return limit_bytes == UINT64_MAX ? UINT64_MAX : limit_bytes / sys_page_size();
}

static uint64_t above(uint64_t pages, uint64_t limit_bytes)
{
	uint64_t limit = budget_pages(limit_bytes);

	return pages > limit ? pages - limit : 0;
}

uint64_t budget_excess_locked(const struct ashmem_budget *budget)
{
	uint64_t unpinned = above(budget->unpinned_pages, budget->unpinned_limit_bytes);
	uint64_t all = above(budget->all_pages - budget->absent_pages, budget->all_limit_bytes);
	uint64_t excess = unpinned > all ? unpinned : all;

	return excess < budget->unpinned_pages ? excess : budget->unpinned_pages;
}

uint64_t budget_excess(struct ashmem_budget *budget)
{
	pthread_mutex_lock(&budgets_mutex);
	uint64_t excess = budget_excess_locked(budget);
	pthread_mutex_unlock(&budgets_mutex);
	return excess;
}
