/* SPDX-License-Identifier: MIT */
/*
 * Budgets inside: what each area and each budget counts (budget_count.c), and purging what is over
 * (budget.c).
 *
 * An area's counts are known without its lock. Each handle remembers what it counted last, and a
 * budget's counts are the sum of what its handles remember; so one area is counted anew without a
 * look at the others.
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
/* Whether a purge for the budget takes this area; NULL: every purge does. */
int budget_covers(const struct ashmem_budget *budget, const struct ashmem_area *area);
/* Pages to purge so that the limits are kept, after a recount; at most what can be purged. */
uint64_t budget_excess(struct ashmem_budget *budget);

void budgets_lock(void);
void budgets_unlock(void);
/* The next three with the lock held. */
void budget_note_locked(struct ashmem_area *area);
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
