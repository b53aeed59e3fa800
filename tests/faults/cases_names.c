/* SPDX-License-Identifier: MIT */
/*
 * Areas by name: publishing and opening, beside holders that live and that are dead. The names lie
 * in the directory of the user who runs this, one name for each run.
 */
#include <stdio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"

static char name[48];

static void choose_name(struct world *world)
{
	use_memfd(world);
	snprintf(name, sizeof(name), "ashmem-faults.%d", (int)getpid());
}

static void publish(struct world *world)
{
	if (ashmem_publish(world->area[0], name) < 0)
		die("ashmem_publish");
}

static void mapped_with_name(struct world *world)
{
	choose_name(world);
	mapped(world);
	unpin_pages(world, 0, 1, 3);
}

static void newborn_with_name(struct world *world)
{
	choose_name(world);
	newborn(world);
}

static void published(struct world *world)
{
	mapped_with_name(world);
	publish(world);
}

/* Another process, which holds an area of this name until this one ends. */
static pid_t start_holder(void)
{
	struct world other = {.fd = -1};
	int ends[2];
	char byte;

	if (pipe(ends) < 0)
		die("pipe");
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		mapped(&other);
		publish(&other);
		if (write(ends[1], "p", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (child < 0 || read(ends[0], &byte, 1) != 1)
		die("a holder");
	close(ends[0]);
	return child;
}

static void held_elsewhere(struct world *world)
{
	choose_name(world);
	start_holder();
}

static void held_by_a_dead_process(struct world *world)
{
	mapped_with_name(world);
	pid_t holder = start_holder();
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
}

static int64_t do_publish(struct world *world)
{
	return ashmem_publish(world->area[0], name);
}

static int64_t do_open_named(struct world *world)
{
	struct ashmem_area *area = UNTOUCHED;
	int r = ashmem_open_named(name, &area);

	return area_made(world, r, area);
}

/* -- caches -- */

static void cache_elsewhere(struct world *world)
{
	int ends[2];
	char byte;

	choose_name(world);
	if (pipe(ends) < 0)
		die("pipe");
	pid_t child = fork();
	if (child == 0) {
		struct ashmem_cache *cache;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ashmem_cache_open(name, NULL, &cache) < 0 || write(ends[1], "c", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (child < 0 || read(ends[0], &byte, 1) != 1)
		die("a holder");
	close(ends[0]);
}

static int64_t do_open_cache(struct world *world)
{
	struct ashmem_cache *cache = UNTOUCHED;
	int r = ashmem_cache_open(name, NULL, &cache);

	world->touched = r < 0 && cache != UNTOUCHED;
	if (r == 0)
		world->cache = cache;
	return r;
}

static int64_t do_unpublish(struct world *world)
{
	(void)world;
	return ashmem_unpublish(name);
}

const struct fault_case names_cases[] = {
	{"publish", "ashmem_publish", mapped_with_name, do_publish, MAY_ESTABLISH},
	{"publish of a newborn", "ashmem_publish", newborn_with_name, do_publish, MAY_MATERIALISE},
	{"publish once more", "ashmem_publish", published, do_publish, 0},
	{"publish after a dead holder", "ashmem_publish", held_by_a_dead_process, do_publish,
		MAY_ESTABLISH},
	{"open_named", "ashmem_open_named", held_elsewhere, do_open_named, ANY_SUCCESS},
	{"open_named of a known area", "ashmem_open_named", published, do_open_named, 0},
	{"unpublish", "ashmem_unpublish", published, do_unpublish, NO_RETRY},
	{"cache_open, which makes it", "ashmem_cache_open", choose_name, do_open_cache, 0},
	{"cache_open", "ashmem_cache_open", cache_elsewhere, do_open_cache, ANY_SUCCESS},
	{NULL, NULL, NULL, NULL, 0},
};
