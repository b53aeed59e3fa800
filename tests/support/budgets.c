/* SPDX-License-Identifier: MIT */
/* Budgets for tests: see budgets.h. */
#include "support/budgets.h"
#include "support/areas.h"
#include "support/contract.h"

#include <string.h>

struct ashmem_budget_options budget_limits(uint64_t unpinned_pages, uint64_t all_pages)
{
	return (struct ashmem_budget_options){
		.struct_size = sizeof(struct ashmem_budget_options),
		.unpinned_bytes =
			unpinned_pages == NO_LIMIT ? NO_LIMIT : unpinned_pages * page_bytes(),
		.all_bytes = all_pages == NO_LIMIT ? NO_LIMIT : all_pages * page_bytes(),
	};
}

void budget_set(struct ashmem_budget *budget, uint64_t unpinned_pages, uint64_t all_pages)
{
	struct ashmem_budget_options options = budget_limits(unpinned_pages, all_pages);

	expect_eq(ashmem_budget_set_limits(budget, &options), 0);
}

struct ashmem_budget *budget_of(uint64_t unpinned_pages, uint64_t all_pages)
{
	struct ashmem_budget_options options = budget_limits(unpinned_pages, all_pages);
	struct ashmem_budget *budget = NULL;

	expect_eq(ashmem_budget_create(&options, &budget), 0);
	return budget;
}

struct ashmem_budget_usage budget_usage(struct ashmem_budget *budget)
{
	struct ashmem_budget_usage usage;

	memset(&usage, 0xee, sizeof usage);
	usage.struct_size = sizeof usage;
	expect_eq(ashmem_budget_get_usage(budget, &usage), 0);
	return usage;
}

void expect_usage(struct ashmem_budget *budget, uint64_t unpinned_pages, uint64_t all_pages)
{
	struct ashmem_budget_usage usage = budget_usage(budget);

	expect_eq(usage.unpinned_bytes / page_bytes(), unpinned_pages);
	expect_eq(usage.all_bytes / page_bytes(), all_pages);
}
