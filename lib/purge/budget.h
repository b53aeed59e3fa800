/* SPDX-License-Identifier: MIT */
/*
 * Budgets inside: what each area and each budget counts (budget_count.c), and purging what is over
 * (budget.c).
 *
 * An area's counts are known without its lock. Each handle remembers what it counted last, and a
 * budget's counts are the sum of what its handles remember; so one area is counted anew without a
 * look at the others. In the same way a budget's heap knows which of its areas is the next to
 * purge: a key in it may be too small, so that the area on top has to be looked at, but none is too
 * large.
 *
 * Counts and keys are renewed by every call of this process on the area. The areas for which that
 * is not enough are *restless*: others may have them, or they may take more memory without a call.
 * budget_look() looks at those, and now and then at all.
 */
#ifndef ASHMEM_LIB_PURGE_BUDGET_H
#define ASHMEM_LIB_PURGE_BUDGET_H

#include <stdint.h>

#include <ashmem/budget.h>

#include "handle/handle.h"
#include "handle/switches.h"

/* All of it is guarded by the budgets' mutex. */
struct ashmem_budget {
	uint32_t refs;
	uint32_t flags;
	uint64_t unpinned_limit_bytes, all_limit_bytes; /* UINT64_MAX: none */
	uint64_t unpinned_pages, all_pages, absent_pages, areas;
	uint64_t purges, purged_pages;
	struct area_node *heap; /* its areas that have something to purge: see handle.h */
	uint64_t looks_left;    /* at restless areas alone, before one at all */
};

extern struct ashmem_budget budget_process;

/* Whether any call has to look at budgets. The process's is one if it has a limit. */
static inline int budgets_any(void)
{
	return switches_any(SWITCH_BUDGETS);
}

/* -- counting -- */

/* Count an area anew. */
void budget_note(struct ashmem_area *area);
/* The handle is about to be freed. */
void budget_forget(struct ashmem_area *area);
/* Count all of a budget's areas anew. */
void budget_recount(struct ashmem_budget *budget);
/*
 * The same of those areas that can have changed without a call of this process; once in a while of
 * all, in case that a call was missed: less than one area a look is added by that.
 */
void budget_look(struct ashmem_budget *budget);
/* Other processes are about to have the area. */
void budget_share(struct ashmem_area *area);
/* Look for the area's oldest range. */
void budget_rekey(struct ashmem_area *area);
/* Whether a purge for the budget takes this area; NULL: every purge does. */
int budget_covers(const struct ashmem_budget *budget, const struct ashmem_area *area);
/* Pages to purge so that the limits are kept; at most what can be purged. */
uint64_t budget_excess(struct ashmem_budget *budget);

void budgets_lock(void);
void budgets_unlock(void);
/* From here on to budget_excess_locked() with the lock held. */
void budget_note_locked(struct ashmem_area *area);
void budget_rekey_locked(struct ashmem_area *area);
/* The area's node in the heap of this budget. */
static inline struct area_node *budget_node(const struct ashmem_budget *budget,
	struct ashmem_area *area)
{
	return &area->node[budget != &budget_process];
}
void budget_move(struct ashmem_area *area, struct ashmem_budget *budget);
uint64_t budget_excess_locked(const struct ashmem_budget *budget);
/* The limit in pages; UINT64_MAX: none. */
uint64_t budget_pages(uint64_t limit_bytes);

/* -- keeping within -- */

/* Count an area anew after a call that may exceed, and purge what is over. */
void budget_settle(struct ashmem_area *area);
/*
 * Before an area is materialised with so many bytes: 0, and budget_settle() follows whether or not
 * that worked; or -EDQUOT.
 */
int budget_admit(struct ashmem_area *area, uint64_t size_bytes);

#endif /* ASHMEM_LIB_PURGE_BUDGET_H */
