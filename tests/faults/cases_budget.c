/* SPDX-License-Identifier: MIT */
/*
 * Operations on budgets and shrinkers, calls that a budget makes purge, and populating.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "faults.h"

/* -- what they are done on -- */

static void ranges(struct world *world)
{
	use_memfd(world);
	add_area(world, 0, PAGES, 0);
	unpin_pages(world, 0, 1, 3);
	unpin_pages(world, 0, 6, 2);
	unpin_pages(world, 0, 10, 4);
}

/* Nine pages are unpinned, and as many may be. */
static void in_budget(struct world *world)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof(limits), .unpinned_bytes = BYTES(9)};

	ranges(world);
	if (ashmem_budget_create(&limits, &world->budget) < 0 ||
		ashmem_budget_add(world->budget, world->area[0]) < 0)
		die("a budget");
}

static void beside_budget(struct world *world)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof(limits), .unpinned_bytes = BYTES(5)};

	ranges(world);
	if (ashmem_budget_create(&limits, &world->budget) < 0)
		die("ashmem_budget_create");
}

static uint64_t cached_pages;

static uint64_t count_cache(void *userdata)
{
	(void)userdata;
	return cached_pages;
}

static int64_t scan_cache(void *userdata, uint64_t nr_to_scan)
{
	uint64_t freed = nr_to_scan < cached_pages ? nr_to_scan : cached_pages;

	(void)userdata;
	cached_pages -= freed;
	return (int64_t)freed;
}

static const struct ashmem_shrinker_options cache = {
	.struct_size = sizeof(cache), .name = "cache", .count = count_cache, .scan = scan_cache};

static void with_shrinker(struct world *world)
{
	ranges(world);
	cached_pages = 9;
	if (ashmem_shrinker_register(&cache, &world->shrinker) < 0)
		die("ashmem_shrinker_register");
}

/* -- operations -- */

static int64_t create_budget(struct world *world)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof(limits), .unpinned_bytes = BYTES(5)};
	struct ashmem_budget *budget = UNTOUCHED;
	int r = ashmem_budget_create(&limits, &budget);

	world->touched = r < 0 && budget != UNTOUCHED;
	if (r == 0)
		world->budget = budget;
	return r;
}

static int64_t do_add(struct world *world)
{
	return ashmem_budget_add(world->budget, world->area[0]);
}

static int64_t do_remove(struct world *world)
{
	return ashmem_budget_remove(world->budget, world->area[0]);
}

static int64_t close_budget(struct world *world)
{
	ashmem_budget_close(world->budget);
	world->budget = NULL;
	return 0;
}

static int64_t do_set_limits(struct world *world)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof(limits), .unpinned_bytes = BYTES(5)};

	return ashmem_budget_set_limits(world->budget, &limits);
}

static int64_t do_usage(struct world *world)
{
	struct ashmem_budget_usage usage = {.struct_size = sizeof(usage), .areas = 99};
	int r = ashmem_budget_get_usage(world->budget, &usage);

	world->touched = r < 0 && usage.areas != 99;
	return r < 0 ? r : (int64_t)usage.unpinned_bytes;
}

static int64_t do_process_usage(struct world *world)
{
	struct ashmem_budget_usage usage = {.struct_size = sizeof(usage)};
	int r = ashmem_budget_get_usage(ashmem_budget_process(), &usage);

	(void)world;
	return r < 0 ? r : (int64_t)usage.areas;
}

/* One page more than the budget allows. */
static int64_t do_unpin_over(struct world *world)
{
	return ashmem_unpin(world->area[0], BYTES(15), BYTES(1));
}

static int64_t register_shrinker(struct world *world)
{
	struct ashmem_shrinker *shrinker = UNTOUCHED;
	int r = ashmem_shrinker_register(&cache, &shrinker);

	world->touched = r < 0 && shrinker != UNTOUCHED;
	if (r == 0)
		world->shrinker = shrinker;
	return r;
}

static int64_t do_unregister(struct world *world)
{
	ashmem_shrinker_unregister(world->shrinker);
	world->shrinker = NULL;
	return 0;
}

static int64_t shrink_cache(struct world *world)
{
	uint64_t before = cached_pages;
	int64_t r = ashmem_shrink(6);

	(void)world;
	if (r >= 0 && (uint64_t)r < before - cached_pages)
		snprintf(notes, sizeof(notes),
			"the cache freed more than the %d pages that are told", (int)r);
	return r;
}

static int64_t do_shrinker_stats(struct world *world)
{
	struct ashmem_shrinker_stats stats = {.struct_size = sizeof(stats)};
	int r = ashmem_shrinker_get_stats(1, &stats);

	(void)world;
	return r < 0 ? r : (int64_t)stats.seeks;
}

static int64_t do_set_cost(struct world *world)
{
	(void)world;
	return ashmem_shrinker_set_areas_seeks(0);
}

static int64_t do_populate(struct world *world)
{
	return ashmem_populate(world->base[0], (size_t)BYTES(4));
}

const struct fault_case budget_cases[] = {
	{"budget: create", "ashmem_budget_create", ranges, create_budget, 0},
	{"budget: create, the first call of a process", "ashmem_budget_create", NULL, create_budget,
		0},
	{"budget: add and purge", "ashmem_budget_add", beside_budget, do_add,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"budget: remove", "ashmem_budget_remove", in_budget, do_remove, NO_RETRY},
	{"budget: close", "ashmem_budget_close", in_budget, close_budget, NO_RETRY},
	{"budget: lower limits", "ashmem_budget_set_limits", in_budget, do_set_limits,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"budget: usage", "ashmem_budget_get_usage", in_budget, do_usage, 0},
	{"budget: usage of the process", "ashmem_budget_process", ranges, do_process_usage, 0},
	{"budget: unpin over it", "ashmem_unpin", in_budget, do_unpin_over,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"shrinker: register", "ashmem_shrinker_register", ranges, register_shrinker, 0},
	{"shrinker: register, the first call of a process", "ashmem_shrinker_register", NULL,
		register_shrinker, 0},
	{"shrinker: unregister", "ashmem_shrinker_unregister", with_shrinker, do_unregister,
		NO_RETRY},
	{"shrinker: shrink", "ashmem_shrink", with_shrinker, shrink_cache,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"shrinker: statistics", "ashmem_shrinker_get_stats", with_shrinker, do_shrinker_stats, 0},
	{"shrinker: cost of the areas", "ashmem_shrinker_set_areas_seeks", ranges, do_set_cost, 0},
	{"populate", "ashmem_populate", ranges, do_populate, 0},
	{NULL, NULL, NULL, NULL, 0},
};
