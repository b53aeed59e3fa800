/* SPDX-License-Identifier: MIT */
/*
 * Counting for budgets; see budget.h.
 *
 * Invariants, with the mutex held: a budget's counts are the sums of the counts that the handles in
 * it remember, the process's of all handles. They are as fresh as the last call of this process on
 * each area, and of this moment after budget_recount().
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

static pthread_mutex_t budgets_mutex = PTHREAD_MUTEX_INITIALIZER;
struct ashmem_budget budget_process = {
	.refs = 1, .unpinned_limit_bytes = UINT64_MAX, .all_limit_bytes = UINT64_MAX};

void budgets_before_fork(void)
{
	pthread_mutex_lock(&budgets_mutex);
}

void budgets_after_fork(void)
{
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

	if (!(backend->capabilities & ASHMEM_BACKEND_CAP_LRU))
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

void budget_note_locked(struct ashmem_area *area)
{
	struct counts counts = measure(area);

	remember(area, &counts);
}

void budget_note(struct ashmem_area *area)
{
	pthread_mutex_lock(&budgets_mutex);
	budget_note_locked(area);
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
	uint64_t areas;
};

static void recount_area(struct ashmem_area *area, void *context)
{
	struct recount *recount = context;

	if (!budget_covers(recount->budget, area))
		return;
	budget_note(area);
	recount->areas += (area->backend->capabilities & ASHMEM_BACKEND_CAP_LRU) != 0;
}

void budget_recount(struct ashmem_budget *budget)
{
	struct recount recount = {.budget = budget};

	table_visit(recount_area, &recount);
	pthread_mutex_lock(&budgets_mutex);
	budget->areas = budget == &budget_process ? recount.areas : budget->areas;
	pthread_mutex_unlock(&budgets_mutex);
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
	budget_recount(budget);
	pthread_mutex_lock(&budgets_mutex);
	uint64_t excess = budget_excess_locked(budget);
	pthread_mutex_unlock(&budgets_mutex);
	return excess;
}
