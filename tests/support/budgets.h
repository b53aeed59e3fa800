/* SPDX-License-Identifier: MIT */
/* Budgets for tests, in pages. The calls expect success. */
#ifndef TESTS_SUPPORT_BUDGETS_H
#define TESTS_SUPPORT_BUDGETS_H

#include <ashmem/ashmem.h>

#include <stdint.h>

#define NO_LIMIT UINT64_MAX

/* Limits on unpinned and on all pages. */
struct ashmem_budget_options budget_limits(uint64_t unpinned_pages, uint64_t all_pages);
void budget_set(struct ashmem_budget *budget, uint64_t unpinned_pages, uint64_t all_pages);

/* A new group with these limits. */
struct ashmem_budget *budget_of(uint64_t unpinned_pages, uint64_t all_pages);

struct ashmem_budget_usage budget_usage(struct ashmem_budget *budget);
void expect_usage(struct ashmem_budget *budget, uint64_t unpinned_pages, uint64_t all_pages);

#endif
