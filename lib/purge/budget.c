/* SPDX-License-Identifier: MIT */
/*
 * Budgets: the public calls, and purging what is over. What is counted, and the locks:
 * budget_count.c.
 *
 * A call on an area first does its work and then counts the area anew. Only if that is over a limit
 * are all areas of the budget counted and ranges purged, with the purge's mutex held, so that of
 * several threads each purges only what is still over. The budgets' mutex is not held meanwhile; a
 * reference keeps the budget.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cancel.h"
#include "base/context.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/shared.h"
#include "base/structs.h"
#include "base/sys.h"
#include "handle/backends.h"
#include "purge/areas.h"
#include "purge/budget.h"

/* -- keeping within the limits -- */

static void unref(struct ashmem_budget *budget)
{
	budgets_lock();
	int last = --budget->refs == 0;
	budgets_unlock();
	if (last && budget != &budget_process) /* which keeps a reference to itself */
		free(budget);
}

/* However many purges it takes, they wait for locked areas no longer than one would. */
static void purge_what_is_over(struct ashmem_budget *budget)
{
	uint64_t patience_ns = LOCK_TIMEOUT_NS, left = UINT64_MAX;
	int is_first = 1;

	while (left > 0) {
		int64_t freed = areas_keep_within(budget, &patience_ns);
		/*
		 * Nothing is over; or what is left is held, or an area is damaged or stuck; or no
		 * purge may begin here, and the next call on an area comes back to it.
		 */
		if (freed <= 0)
			return;
		budgets_lock();
		budget->purges++;
		budget->purged_pages += (uint64_t)freed;
		/*
		 * Others may unpin as fast as we purge: it ends when as much as was there is gone.
		 */
		left = is_first ? budget->unpinned_pages
				: left - ((uint64_t)freed < left ? (uint64_t)freed : left);
		is_first = 0;
		budgets_unlock();
	}
}

/* The caller has a reference. */
static void keep_within(struct ashmem_budget *budget)
{
	struct context frame = {.budget = budget};

	/*
	 * What subscribers unpin meanwhile is over again, and purged by the purge under way: else
	 * one would come within the other until the stack ends.
	 */
	if (context_keeps_within(budget))
		return;
	context_push(&frame);
	purge_what_is_over(budget);
	context_pop(&frame);
}

/* If it is over, a reference to the budget, else NULL. The lock is held. */
static struct ashmem_budget *ref_if_over(struct ashmem_budget *budget)
{
	if (!budget || budget_excess_locked(budget) == 0)
		return NULL;
	budget->refs++;
	return budget;
}

void budget_settle(struct ashmem_area *area)
{
	struct ashmem_budget *over[2];

	budgets_lock();
	area->counted_ahead = 0;
	budget_note_locked(area);
	over[0] = ref_if_over(area->budget);
	over[1] = ref_if_over(&budget_process);
	budgets_unlock();
	for (int i = 0; i < 2; i++) {
		if (!over[i])
			continue;
		keep_within(over[i]);
		unref(over[i]);
	}
}

/* Whether so many more pages fit, if all that is unpinned were purged. The lock is held. */
static int fits(const struct ashmem_budget *budget, uint64_t pages)
{
	uint64_t limit, pinned;

	if (!budget || !(budget->flags & ASHMEM_BUDGET_REFUSE))
		return 1;
	limit = budget_pages(budget->all_limit_bytes);
	pinned = budget->all_pages > budget->unpinned_pages
		? budget->all_pages - budget->unpinned_pages
		: 0;
	return pinned <= limit && pages <= limit - pinned;
}

int budget_admit(struct ashmem_area *area, uint64_t size_bytes)
{
	uint64_t page = sys_page_size(), pages = size_bytes / page + (size_bytes % page != 0);
	int r = 0;

	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_LRU))
		return 0;
	budget_look(&budget_process); /* and with it at every group */
	budgets_lock();
	if (area->counted_all == 0 && (!fits(area->budget, pages) || !fits(&budget_process, pages)))
		r = -EDQUOT;
	if (r == 0) {
		area->counted_ahead = pages; /* or two calls at once would both fit */
		budget_note_locked(area);
	}
	budgets_unlock();
	return r;
}

/* -- public calls -- */

static int copy_options(const struct ashmem_budget_options *from, struct ashmem_budget_options *to)
{
	int r;

	*to = (struct ashmem_budget_options){.struct_size = sizeof(*to)};
	r = from ? struct_copy_in(to, sizeof(*to), from) : 0;
	return r == 0 && (to->flags & ~ASHMEM_BUDGET_REFUSE) ? -EINVAL : r;
}

static int has_limit(const struct ashmem_budget *budget)
{
	return budget->unpinned_limit_bytes != UINT64_MAX || budget->all_limit_bytes != UINT64_MAX;
}

/* The lock is held. The process's budget is in use while it has a limit, others always. */
static void set_limits(struct ashmem_budget *budget, const struct ashmem_budget_options *options)
{
	int before = budget != &budget_process || has_limit(budget);

	budget->flags = options->flags;
	budget->unpinned_limit_bytes =
		options->unpinned_bytes ? options->unpinned_bytes : UINT64_MAX;
	budget->all_limit_bytes = options->all_bytes ? options->all_bytes : UINT64_MAX;
	/* What happened while there was no limit is not counted. */
	budget->looks_left = budget_process.looks_left = 0;
	int after = budget != &budget_process || has_limit(budget);
	if (after != before)
		__atomic_fetch_add(&switches, after ? SWITCH_BUDGET : -SWITCH_BUDGET,
			__ATOMIC_SEQ_CST);
}

int ashmem_budget_create(const struct ashmem_budget_options *options, struct ashmem_budget **budget)
{
	CANCEL_OFF;
	struct ashmem_budget_options wishes;
	struct ashmem_budget *fresh;
	int r = budget ? copy_options(options, &wishes) : -EINVAL;

	if (r == 0)
		r = process_start();
	if (r < 0)
		return r;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->refs = 1;
	budgets_lock();
	set_limits(fresh, &wishes);
	__atomic_fetch_add(&switches, SWITCH_BUDGET, __ATOMIC_SEQ_CST);
	budgets_unlock();
	*budget = fresh;
	return 0;
}

struct ashmem_budget *ashmem_budget_process(void)
{
	CANCEL_OFF;
	return &budget_process;
}

static void leave(struct ashmem_area *area, void *context)
{
	budgets_lock();
	if (area->budget == context)
		budget_move(area, NULL);
	budgets_unlock();
}

void ashmem_budget_close(struct ashmem_budget *budget)
{
	CANCEL_OFF;
	struct ashmem_budget_options none = {.struct_size = sizeof(none)};

	if (!budget)
		return;
	budgets_lock();
	set_limits(budget, &none); /* from here on calls that are under way find nothing to do */
	budgets_unlock();
	if (budget == &budget_process)
		return;
	table_visit(leave, budget);
	__atomic_fetch_sub(&switches, SWITCH_BUDGET, __ATOMIC_SEQ_CST);
	unref(budget);
}

int ashmem_budget_set_limits(struct ashmem_budget *budget,
	const struct ashmem_budget_options *options)
{
	CANCEL_OFF;
	struct ashmem_budget_options wishes;
	int r = budget && options ? copy_options(options, &wishes) : -EINVAL;

	if (r == 0 && !context_may_purge())
		r = -EDEADLK;
	if (r == 0)
		r = process_start();
	if (r < 0)
		return r;
	budgets_lock();
	set_limits(budget, &wishes);
	budgets_unlock();
	keep_within(budget);
	return 0;
}

int ashmem_budget_add(struct ashmem_budget *budget, struct ashmem_area *area)
{
	CANCEL_OFF;
	if (!budget || budget == &budget_process || !area)
		return -EINVAL;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_LRU))
		return -ENOTSUP;
	budgets_lock();
	struct ashmem_budget *before = area->budget;
	if (!before)
		budget_move(area, budget);
	budgets_unlock();
	if (before)
		return before == budget ? 0 : -EBUSY;
	budget_settle(area);
	return 0;
}

int ashmem_budget_remove(struct ashmem_budget *budget, struct ashmem_area *area)
{
	CANCEL_OFF;
	if (!budget || !area)
		return -EINVAL;
	budgets_lock();
	int is_in = area->budget == budget;
	if (is_in)
		budget_move(area, NULL);
	budgets_unlock();
	return is_in ? 0 : -EINVAL;
}

static uint64_t over_bytes(uint64_t bytes, uint64_t limit_bytes)
{
	return bytes > limit_bytes ? bytes - limit_bytes : 0;
}

int ashmem_budget_get_usage(struct ashmem_budget *budget, struct ashmem_budget_usage *usage)
{
	CANCEL_OFF;
	struct ashmem_budget_usage all = {.struct_size = sizeof(all)};
	uint64_t page = sys_page_size();

	if (!budget || !usage || usage->struct_size < sizeof(usage->struct_size))
		return -EINVAL;
	budget_recount(budget);
	budgets_lock();
	all.unpinned_bytes = budget->unpinned_pages * page;
	all.all_bytes = budget->all_pages * page;
	all.unpinned_limit_bytes = budget->unpinned_limit_bytes;
	all.all_limit_bytes = budget->all_limit_bytes;
	uint64_t unpinned_over = over_bytes(all.unpinned_bytes, all.unpinned_limit_bytes);
	uint64_t all_over =
		over_bytes((budget->all_pages - budget->absent_pages) * page, all.all_limit_bytes);
	all.over_bytes = unpinned_over > all_over ? unpinned_over : all_over;
	all.areas = budget->areas;
	all.purges = budget->purges;
	all.purged_pages = budget->purged_pages;
	budgets_unlock();
	struct_copy_out(usage, &all, sizeof(all));
	return 0;
}
