/* SPDX-License-Identifier: MIT */
/*
 * Deaths at random moments: a child works on several areas as fast as it can, until it is killed,
 * wherever it is; often that is within a system call, freeing pages. A fresh process then judges by
 * the invariants alone and goes on. Two children work at the same time, so that locks are
 * contended, and one dies.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

enum { STORM_PAGES = 700, STORM_AREAS = 2 };

static struct world areas;

/*
 * Unpin and purge, mostly much at a time: most of the time goes into freeing. It says what it has
 * pinned until it is written.
 */
static void work(void *argument)
{
	struct world *world = argument;

	world_import(world);
	for (;;) {
		struct op op = {.area = (int)random_below(STORM_AREAS)};
		uint32_t choice = random_below(8);
		op.first = random_below(STORM_PAGES);
		op.pages = 1 + random_below(random_below(3) ? 20 : STORM_PAGES);
		if (op.pages > STORM_PAGES - op.first)
			op.pages = STORM_PAGES - op.first;
		op.kind = choice < 3 ? OP_UNPIN : choice < 5 ? OP_PIN : OP_SHRINK;
		if (op.kind == OP_SHRINK)
			op.pages = 1 + random_below(200);
		if (op.kind == OP_PIN) {
			stage->refill_area = (uint32_t)op.area;
			stage->refill_first = op.first;
			__atomic_store_n(&stage->refill_pages, op.pages, __ATOMIC_SEQ_CST);
		}
		if (op_run(&op, world) == ASHMEM_WAS_PURGED && op.kind == OP_PIN)
			for (uint32_t page = op.first; page < op.first + op.pages; page++)
				*page_word(&world->area[op.area], page) = pattern(op.area, page);
		__atomic_store_n(&stage->refill_pages, 0, __ATOMIC_SEQ_CST);
		stage->rounds++;
	}
}

/* Only takes locks: reads states, so that the other one meets it there. */
static void watch(void *argument)
{
	struct world *world = argument;

	world_import(world);
	for (;;)
		for (int a = 0; a < STORM_AREAS; a++)
			ashmem_get_pin_status(world->area[a].handle, 0, 0);
}

static void judge_areas(void *argument)
{
	alarm(60);
	world_import(argument);
	for (int a = 0; a < STORM_AREAS; a++)
		if (!areas.area[a].handle)
			_exit(complain("a fresh process cannot import area %d", a) < 0);
	_exit(judge_storm(argument) < 0);
}

void run_storm(void)
{
	int rounds = deep ? 5000 : 300, failures = 0;

	snprintf(here, sizeof(here), "storm");
	alarm(deep ? 3600 : 300);
	world_make(&areas, STORM_AREAS, STORM_PAGES);
	world_close(&areas);
	stage->rounds = 0;
	for (int i = 0; i < rounds && failures < 3; i++) {
		struct timespec nap = {.tv_nsec = 200000 + random_below(3000000)};
		snprintf(here, sizeof(here), "storm: death %d", i + 1);
		stage->refill_pages = 0;
		random_below(2); /* a child goes on with the numbers that it finds */
		pid_t watcher = i % 2 ? spawn(watch, &areas) : 0, worker = spawn(work, &areas);
		nanosleep(&nap, NULL);
		kill(worker, SIGKILL);
		wait_for(worker);
		if (watcher) {
			kill(watcher, SIGKILL);
			wait_for(watcher);
		}
		failures += wait_for(spawn(judge_areas, &areas)) != 0;
		totals.killed++;
	}
	printf("%-44s %7" PRIu64 " operations, %d deaths at random moments%s\n", "storm",
		stage->rounds, rounds, failures ? "  FAILED" : "");
	fflush(stdout);
	case_done("storm", failures);
	world_drop(&areas);
}
