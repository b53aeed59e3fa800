/* SPDX-License-Identifier: MIT */
/*
 * Eight processes under one limit. Each has a cache of its own and a watch, uses its ranges in no
 * order, and fills again what was purged. All together do not fit, so each can have a part. What
 * counts is whether the parts are alike: the hit ratios of the second half of the uses, the best by
 * the worst, in the mean of all runs.
 */
#include "pressure.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ashmem/ashmem.h>

#define PROCESSES 8
#define LIMIT_MIB 96
#define SET_MIB 24
#define RANGE ((uint64_t)64 << 10)
#define RANGES (SET_MIB * MIB / RANGE)
#define USES (RANGES * 16)
/* The goal is 1.5. A crowded machine may be further off; without parts it is 10 to 50. */
#define RATIO_MAX 3

/* Made by the parent, outside the limit. */
struct fair_score {
	uint64_t done, purged_pages; /* atomic: halves that processes have made; of all */
	uint64_t wrong;              /* atomic */
	struct {
		uint64_t uses, hits;
	} process[PROCESSES];
};

struct user {
	struct fair_score *score;
	struct ashmem_area *area;
	uint64_t *base;
	uint32_t number;
	uint64_t seed;
};

static uint64_t word_at(const struct user *u, uint64_t i)
{
	return ((uint64_t)(u->number + 1) << 40) + i + 1;
}

static int is_right(const struct user *u, uint64_t at)
{
	for (uint64_t i = at / 8; i < (at + RANGE) / 8; i++)
		if (u->base[i] != word_at(u, i))
			return 0;
	return 1;
}

static void use(struct user *u, int counts)
{
	u->seed = u->seed * 6364136223846793005u + 1442695040888963407u;
	uint64_t at = (u->seed >> 33) % RANGES * RANGE;
	int answer = ashmem_pin(u->area, at, RANGE);
	int hit = answer == ASHMEM_NOT_PURGED && u->base[at / 8] != 0; /* else never filled */

	must(answer, "pin");
	if (hit && !is_right(u, at))
		__atomic_fetch_add(&u->score->wrong, 1, __ATOMIC_RELAXED);
	if (!hit)
		for (uint64_t i = at / 8; i < (at + RANGE) / 8; i++)
			u->base[i] = word_at(u, i);
	must(ashmem_unpin(u->area, at, RANGE), "unpin");
	if (!counts)
		return;
	u->score->process[u->number].uses++;
	u->score->process[u->number].hits += (uint64_t)hit;
}

static void run_user(const struct group *group, struct fair_score *score, uint32_t number)
{
	struct ashmem_pressure_options options = {.struct_size = sizeof options, .priority = 1};
	struct ashmem_process_stats stats = {.struct_size = sizeof stats};
	struct user u = {.score = score, .number = number, .seed = number + 1};
	struct ashmem_pressure *pressure;
	void *base;

	group_enter(group);
	must(ashmem_create("fair", SET_MIB * MIB, 0, &u.area), "create");
	must(ashmem_map(u.area, 0, SET_MIB * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, &base),
		"map");
	u.base = base;
	must(ashmem_pressure_open(&options, &pressure), "pressure");
	must(ashmem_pressure_run(pressure), "run");
	/* All go on until all have made half, and then until all have made the other half. */
	uint64_t uses[2] = {0, 0};
	for (uint64_t done;
		(done = __atomic_load_n(&score->done, __ATOMIC_RELAXED)) < 2 * PROCESSES;) {
		int counts = done >= PROCESSES;
		use(&u, counts);
		if (++uses[counts] == USES / 2)
			__atomic_fetch_add(&score->done, 1, __ATOMIC_RELAXED);
	}
	ashmem_pressure_close(pressure);
	must(ashmem_process_get_stats(&stats), "stats");
	__atomic_fetch_add(&score->purged_pages, stats.purged_pages, __ATOMIC_RELAXED);
	_exit(FILL_OK);
}

/* Whether all of them ended well. */
static int run_all(const struct group *group, struct fair_score *score)
{
	pid_t children[PROCESSES];
	int status, good = 1;

	fflush(NULL);
	for (uint32_t i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		must(children[i] < 0 ? -errno : 0, "fork");
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			run_user(group, score, i);
		}
	}
	for (uint32_t i = 0; i < PROCESSES; i++)
		good &= waitpid(children[i], &status, 0) == children[i] && status == 0;
	return good;
}

/* The least and the greatest hit ratio. */
static void ratios(const struct fair_score *score, double *least, double *most)
{
	*least = 1;
	*most = 0;
	for (int i = 0; i < PROCESSES; i++) {
		double ratio = score->process[i].uses
			? (double)score->process[i].hits / (double)score->process[i].uses
			: 0;
		*least = ratio < *least ? ratio : *least;
		*most = ratio > *most ? ratio : *most;
	}
}

/* What the runs amount to. */
struct sum {
	int broken;
	uint64_t kills, purged_pages;
	double least, most, times;
};

static void run_once(enum place place, struct sum *sum)
{
	struct fair_score *score = mmap(NULL, sizeof *score, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct plan plan = {.limit_mib = LIMIT_MIB};
	struct group group;
	double least, most;

	must(score == MAP_FAILED ? -errno : 0, "mmap");
	memset(score, 0, sizeof *score);
	group_make(&group, place, &plan);
	uint64_t kills = group_oom_kills(&group);
	sum->broken += !run_all(&group, score) || score->wrong > 0;
	sum->kills += group_oom_kills(&group) - kills;
	ratios(score, &least, &most);
	sum->least += least;
	sum->most += most;
	sum->times += least > 0 ? most / least : 1000;
	sum->purged_pages += score->purged_pages;
	group_drop(&group);
	munmap(score, sizeof *score);
}

int fair_run(enum place place, const char *place_name, int runs)
{
	struct sum sum = {0};

	for (int run = 0; run < runs; run++)
		run_once(place, &sum);
	printf("%-6s%-17s%5s%7s%8s%8s%8s%8s\n%-6s%-17s%5d%7d%8.0f%8.2f%8.2f%8.2f\n", "limit",
		"case", "runs", "kills", "purged", "worst", "best", "times", place_name,
		"eight-processes", runs, (int)sum.kills,
		(double)sum.purged_pages * (double)sysconf(_SC_PAGESIZE) / (double)MIB / runs,
		sum.least / runs, sum.most / runs, sum.times / runs);
	return !sum.broken && !sum.kills && sum.times <= RATIO_MAX * runs;
}
