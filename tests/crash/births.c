/* SPDX-License-Identifier: MIT */
/*
 * Areas that are shared before their control block exists, and whose maker dies while making it.
 *
 *   born     created, then forked: parent and child share a newborn, and the child maps it first
 *   seal     ashmem_seal(), which nobody can take back
 *   written  mapped, then cloned behind the library's back: parent and child share a memfd, and the
 *            child is the first to unpin
 * The child is killed for real, behind steps at random and around every system call. Then another
 * child of the same parent must be able to go on: the area is what it was, or has what the dead one
 * did, and works.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "handle/handle.h"
#include "crash.h"
#include "memfd/area.h"
#include "base/sys.h"

enum { BIRTH_PAGES = 12, MOST_CALLS = 100 };

#define BYTES(pages) ((uint64_t)(pages)*sys_page_size())

struct birth_case {
	const char *name;
	int mapped; /* before it is shared */
	int bare;   /* shared without the fork handlers */
};

static struct ashmem_area *area;

static pid_t start_child(const struct birth_case *c, void (*fn)(void *argument))
{
	if (!c->bare)
		return spawn(fn, NULL);
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child < 0)
		die("clone");
	if (child > 0)
		return child;
	fn(NULL);
	_exit(0);
}

static int64_t map_and_unpin(void)
{
	void *addr = NULL;
	int r = ashmem_map(area, 0, BYTES(BIRTH_PAGES), PROT_READ | PROT_WRITE, MAP_SHARED, &addr);

	return r < 0 ? r : ashmem_unpin(area, BYTES(2), BYTES(5));
}

static void die_early(void *argument)
{
	(void)argument;
	stop_before();
	stage->result = map_and_unpin();
	stop_behind();
}

/*
 * The area is all right, whatever the dead one has done to it, and can be worked with. `first`:
 * nobody else has, since then.
 */
static int check_area(int first)
{
	static struct list list;
	struct world world = {.areas = 1};
	char name[ASHMEM_NAME_LEN];
	struct ashmem_area *other;
	void *addr = NULL;

	if (ashmem_get_size(area) != BYTES(BIRTH_PAGES))
		return complain("the size is %" PRIu64, ashmem_get_size(area));
	int r = ashmem_map(area, 0, BYTES(BIRTH_PAGES), PROT_READ | PROT_WRITE, MAP_SHARED, &addr);
	if (r < 0)
		return complain("map answers %d", r);
	if (ashmem_get_name(area, name, sizeof(name)) != 0 || name[0] != 'b')
		return complain("the name is gone");
	if (ashmem_get_prot(area) != (PROT_READ | PROT_WRITE | PROT_EXEC))
		return complain("the mask is %d", ashmem_get_prot(area));
	int fd = ashmem_fd(area);
	if (fd < 0 || ashmem_import(fd, &other) < 0)
		return complain("the descriptor cannot be had, or not be imported");
	ashmem_close(other);
	world.area[0] = (struct area){.fd = fd, .pages = BIRTH_PAGES, .base = addr, .handle = area};
	world.area[0].control = control_of(&world.area[0])->shared;
	if (world.area[0].control->lock & LOCK_TID)
		return complain("the lock is held by a dead process");
	read_lists(&world, &list);
	if (first && list.count > 0 &&
		(list.count > 1 || list.range[0].start != 2 || list.range[0].pages != 5))
		return complain("%u ranges, neither before nor after", list.count);
	for (uint32_t page = 0; first && page < BIRTH_PAGES; page++)
		*page_word(&world.area[0], page) = pattern(0, page);
	int agrees = trace_agrees(&world, &list, 8);
	ashmem_unmap(addr, BYTES(BIRTH_PAGES));
	return agrees;
}

static void judge_area(void *argument)
{
	(void)argument;
	alarm(60);
	_exit(check_area(1) < 0);
}

/* -- a death within ashmem_seal() -- */

static void seal_early(void *argument)
{
	(void)argument;
	stop_before();
	stage->result = ashmem_seal(area);
	stop_behind();
}

/*
 * Sealed, and everybody knows it; or not sealed, and it can be done now. Pins tell the truth in
 * both cases.
 */
static int check_seal(void)
{
	int fd = ashmem_fd(area), mask = (ashmem_get_pin_status(area, 0, 0), ashmem_get_prot(area));
	int sealed = (fcntl(fd, F_GET_SEALS) & F_SEAL_FUTURE_WRITE) != 0;

	if (mask < 0 || sealed == ((mask & PROT_WRITE) != 0))
		return complain("it is%s sealed, and the mask is %d", sealed ? "" : " not", mask);
	if (sealed && ashmem_shrink_count() != 0)
		return complain("it is sealed, and %" PRIu64 " pages count as evictable",
			ashmem_shrink_count());
	if (ashmem_seal(area) != 0 || ashmem_shrink(UINT64_MAX) != 0)
		return complain("it cannot be sealed, or a sealed one is purged");
	if (ashmem_get_prot(area) & PROT_WRITE)
		return complain("the mask is %d", ashmem_get_prot(area));
	if (ashmem_pin(area, 0, 0) != ASHMEM_NOT_PURGED)
		return complain("a pin says that it was purged");
	return 0;
}

static void judge_seal(void *argument)
{
	(void)argument;
	alarm(60);
	_exit(check_seal() < 0);
}

static void run_seal(void)
{
	static const struct birth_case c = {"seal", 1, 0};
	uint64_t calls[MOST_CALLS], killed = totals.killed, most = 0;
	int count = 0, failures = 0, sample = deep ? 1000 : 60;

	alarm(deep ? 3600 : 300);
	for (int i = -1; i < 3 * count + sample && failures < 3; i++) {
		struct victim victim;
		void *addr = NULL;
		uint64_t step = i < 0   ? UINT64_MAX
			: i < 3 * count ? calls[i / 3] - 1 + (uint64_t)(i % 3)
					: random_below((uint32_t)most);
		if (ashmem_create("born", BYTES(BIRTH_PAGES), ASHMEM_CREATE_ALLOW_SEAL, &area) <
				0 ||
			ashmem_map(area, 0, BYTES(BIRTH_PAGES), PROT_READ | PROT_WRITE, MAP_SHARED,
				&addr) < 0 ||
			ashmem_unpin(area, BYTES(2), BYTES(5)) < 0)
			die("no area");
		stage->finished = 0;
		victim_take(&victim, start_child(&c, seal_early));
		while (victim.steps < step && victim_step(&victim))
			if (i < 0 && victim.was_call && count < MOST_CALLS)
				calls[count++] = victim.steps;
		if (i < 0)
			most = victim.steps;
		snprintf(here, sizeof(here), "seal: killed behind step %" PRIu64, victim.steps);
		victim_kill(&victim);
		failures += wait_for(start_child(&c, judge_seal)) != 0;
		failures += check_seal() < 0;
		totals.killed++;
		ashmem_unmap(addr, BYTES(BIRTH_PAGES));
		ashmem_close(area);
	}
	printf("%-44s %7" PRIu64 " steps %3d calls %13" PRIu64 " killed%s\n", c.name, most, count,
		totals.killed - killed, failures ? "  FAILED" : "");
	fflush(stdout);
	case_done(c.name, failures);
}

/* One death; the number of steps until then. */
static uint64_t die_behind(const struct birth_case *c, uint64_t step, uint64_t *calls, int *count,
	int *failures)
{
	struct victim victim;
	void *addr = NULL;

	if (ashmem_create("born", BYTES(BIRTH_PAGES), 0, &area) < 0 ||
		(c->mapped &&
			ashmem_map(area, 0, BYTES(BIRTH_PAGES), PROT_READ, MAP_SHARED, &addr) < 0))
		die("no area");
	stage->finished = 0;
	victim_take(&victim, start_child(c, die_early));
	while (victim.steps < step && victim_step(&victim))
		if (calls && victim.was_call && *count < MOST_CALLS)
			calls[(*count)++] = victim.steps;
	if (victim.finished && stage->result != 0)
		*failures += complain("it answers %" PRId64, stage->result) < 0;
	snprintf(here, sizeof(here), "%s: killed behind step %" PRIu64, c->name, victim.steps);
	victim_kill(&victim);
	*failures += wait_for(start_child(c, judge_area)) != 0;
	*failures += check_area(0) < 0; /* the parent too, after that */
	totals.killed++;
	if (addr)
		ashmem_unmap(addr, BYTES(BIRTH_PAGES));
	ashmem_close(area);
	return victim.steps;
}

static void run_birth(const struct birth_case *c)
{
	uint64_t calls[MOST_CALLS], killed = totals.killed;
	int count = 0, failures = 0, sample = deep ? 1000 : 40;

	snprintf(here, sizeof(here), "%s", c->name);
	alarm(deep ? 3600 : 300);
	uint64_t steps = die_behind(c, UINT64_MAX, calls, &count, &failures);
	for (int i = 0; i < count && failures < 3; i++)
		for (uint64_t step = calls[i] - 1; step <= calls[i] + 1; step++)
			die_behind(c, step, NULL, NULL, &failures);
	for (int i = 0; i < sample && failures < 3; i++)
		die_behind(c, random_below((uint32_t)steps), NULL, NULL, &failures);
	printf("%-44s %7" PRIu64 " steps %3d calls %13" PRIu64 " killed%s\n", c->name, steps, count,
		totals.killed - killed, failures ? "  FAILED" : "");
	fflush(stdout);
	case_done(c->name, failures);
}

void run_births(void)
{
	static const struct birth_case cases[] = {
		{"birth: shared by fork before the first map", 0, 0},
		{"birth: shared by fork after the first map", 1, 0},
		{"birth: shared by clone before the first unpin", 1, 1},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run_birth(&cases[i]);
	run_seal();
}
