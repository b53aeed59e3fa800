/* SPDX-License-Identifier: MIT */
/*
 * Bursts: a full cache lies there, calm, and then somebody takes 60 MiB at once. The rows say who,
 * how, and who could purge. burst_child.c has the processes; here their parent, outside the limit,
 * looks at what is free, counts kills, and prints the table.
 *
 * `needed` is what had to be purged, to the page: purged less what was free when all had been
 * taken. `over-r` is the same with the reserve, which the library keeps free, counted as needed.
 */
#include "pressure.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pressure/policy.h"

#define LIMIT_MIB 96
#define PATIENCE_MS 60000
#define SETTLE_NS 50000000 /* after a burst, before it is counted */
#define OVER_MAX 1.3
/* A burst that came faster than relief makes the reserve a quarter of the limit. */
#define OVER_LATE 1.8
#define RUNS_LEAST 3

#define BURST .cache_mib = 60, .burst_mib = 60, .areas = 1, .priority = 1

#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif

static const struct burst bursts[] = {
	{BURST, .name = "burst-nobody", .owner = OWNER_UNWATCHED, .is_own = 1,
		.fate = FATE_IS_LOST},
	{BURST, .name = "burst-own-room", .owner = OWNER_MAKES_ROOM, .is_own = 1},
	{BURST, .name = "burst-own", .is_own = 1, .fate = FATE_RACES},
	{BURST, .name = "burst-foreign", .fate = FATE_RACES},
	{BURST, .name = "burst-not-urgent", .priority = 0, .fate = FATE_IS_TOLD},
	{BURST, .name = "burst-huge", .kind = BURST_HUGE, .fate = FATE_RACES},
	{BURST, .name = "burst-tmpfs", .kind = BURST_TMPFS, .fate = FATE_RACES},
	{BURST, .name = "burst-forks", .kind = BURST_FORKS, .fate = FATE_RACES},
	{BURST, .name = "burst-small", .areas = 960, .fate = FATE_RACES},
	{BURST, .name = "burst-4-mib", .reserve_percent = 4, .fate = FATE_RACES},
	{BURST, .name = "burst-unwatched", .owner = OWNER_UNWATCHED, .fate = FATE_IS_LOST},
	{BURST, .name = "burst-stopped", .owner = OWNER_STOPPED, .fate = FATE_IS_LOST},
};

#define BURSTS (sizeof bursts / sizeof bursts[0])

/* What the runs of a row amount to. */
struct sum {
	int finished, killed, broken;
	uint64_t kills, wrong, purged, needed, needed_reserve, least_free, duration_ns;
};

/* -- one run -- */

struct run {
	const struct burst *burst;
	struct group group;
	struct burst_score *score;
	pid_t owner, taker; /* no taker: the owner takes it; -1: has ended */
	int owner_status, taker_status;
	uint64_t kills, least_free;
	FILE *trace;
	uint64_t trace_begin_ns;
};

static pid_t start(struct run *run,
	void (*child)(const struct burst *, const struct group *, struct burst_score *))
{
	fflush(NULL);
	pid_t pid = fork();

	must(pid < 0 ? -errno : 0, "fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	child(run->burst, &run->group, run->score);
	_exit(FILL_SETUP);
}

static void look(struct run *run)
{
	uint64_t used = group_used(&run->group, 0);
	uint64_t limit = run->group.limit_bytes, free_bytes = used < limit ? limit - used : 0;

	if (free_bytes < run->least_free)
		run->least_free = free_bytes;
	if (run->trace && run->trace_begin_ns)
		fprintf(run->trace, "%s %.3f %.2f\n", run->burst->name,
			(double)(score_now_ns() - run->trace_begin_ns) / 1e6,
			(double)free_bytes / (double)MIB);
}

static void collect(pid_t *pid, int *status)
{
	if (*pid > 0 && waitpid(*pid, status, WNOHANG) == *pid)
		*pid = -1;
}

/* Until a stage is reached; 0 if somebody ended instead, or it takes too long. */
static int reach(struct run *run, enum burst_stage stage)
{
	const struct timespec pause = {.tv_nsec = 200000};

	for (int64_t left_us = (int64_t)PATIENCE_MS * 1000; left_us > 0; left_us -= 200) {
		if (burst_stage(run->score) >= stage)
			return 1;
		collect(&run->owner, &run->owner_status);
		collect(&run->taker, &run->taker_status);
		if (run->owner < 0 || run->taker < 0 || group_oom_kills(&run->group) > run->kills)
			return 0;
		look(run);
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void settle(struct run *run)
{
	const struct timespec pause = {.tv_nsec = 500000};

	for (uint64_t end = score_now_ns() + SETTLE_NS; score_now_ns() < end;) {
		look(run);
		nanosleep(&pause, NULL);
	}
}

static void finish(pid_t *pid, int *status, int by_force)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGCONT);
	if (by_force)
		kill(*pid, SIGKILL);
	waitpid(*pid, status, 0);
	*pid = -1;
}

/* From the owner's first byte until all was counted; 0: somebody was killed, or failed. */
static int play(struct run *run)
{
	run->owner = start(run, burst_own);
	if (!reach(run, STAGE_READY))
		return 0;
	if (!run->burst->is_own)
		run->taker = start(run, burst_take);
	if (run->burst->owner == OWNER_STOPPED)
		kill(run->owner, SIGSTOP);
	run->trace_begin_ns = score_now_ns();
	burst_advance(run->score, STAGE_GO);
	if (!reach(run, STAGE_TAKEN))
		return 0;
	settle(run);
	if (run->burst->owner == OWNER_STOPPED)
		kill(run->owner, SIGCONT);
	burst_advance(run->score, STAGE_COUNT);
	return reach(run, STAGE_COUNTED);
}

static uint64_t reserve(const struct run *run)
{
	struct pressure_settings settings = {.reserve_percent = run->burst->reserve_percent};

	return policy_reserve(&settings, run->group.limit_bytes, 0);
}

static void add(struct sum *sum, const struct run *run)
{
	const struct burst_score *score = run->score;
	uint64_t free_bytes = score->free_bytes, kept = reserve(run), purged = score->purged_bytes;

	sum->wrong += score->wrong;
	sum->purged += purged;
	sum->needed += purged > free_bytes ? purged - free_bytes : 0;
	free_bytes = free_bytes > kept ? free_bytes - kept : 0;
	sum->needed_reserve += purged > free_bytes ? purged - free_bytes : 0;
	sum->duration_ns += score->end_ns - score->begin_ns;
	if (run->least_free < sum->least_free)
		sum->least_free = run->least_free;
}

static int ended_well(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == FILL_OK;
}

static void run_once(const struct burst *burst, enum place place, FILE *trace, struct sum *sum)
{
	struct run run = {.burst = burst, .least_free = UINT64_MAX, .trace = trace};
	const struct plan plan = {.limit_mib = LIMIT_MIB};

	run.score = mmap(NULL, sizeof *run.score, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(run.score == MAP_FAILED ? -errno : 0, "mmap");
	memset(run.score, 0, sizeof *run.score); /* touched here, counted here */
	group_make(&run.group, place, &plan);
	run.kills = group_oom_kills(&run.group);
	int all_there = play(&run);
	burst_advance(run.score, STAGE_END);
	finish(&run.taker, &run.taker_status, !all_there);
	finish(&run.owner, &run.owner_status, !all_there);
	run.kills = group_oom_kills(&run.group) - run.kills;
	sum->kills += run.kills;
	if (run.kills > 0)
		sum->killed++;
	else if (all_there && ended_well(run.owner_status) && ended_well(run.taker_status))
		sum->finished++;
	else
		sum->broken++;
	if (run.kills == 0 && all_there)
		add(sum, &run);
	group_drop(&run.group);
	munmap(run.score, sizeof *run.score);
}

/* -- the table -- */

static double over(uint64_t purged, uint64_t needed)
{
	return needed ? (double)purged / (double)needed : 0;
}

static double speed(const struct burst *burst, const struct sum *sum)
{
	if (!sum->finished || !sum->duration_ns)
		return 0;
	return burst->burst_mib * (double)sum->finished / ((double)sum->duration_ns / 1e9);
}

static int is_good(const struct burst *burst, const struct sum *sum, int runs)
{
	if (burst->fate == FATE_IS_LOST)
		return sum->killed == runs;
	if (sum->broken > 0 || sum->wrong > 0)
		return 0;
	if (burst->fate == FATE_LIVES && sum->killed > 0)
		return 0;
	if (burst->fate == FATE_RACES && runs >= RUNS_LEAST && sum->killed == runs)
		return 0;
	return over(sum->purged, sum->needed_reserve) <= OVER_LATE;
}

static void print_head(void)
{
	printf("%-6s%-17s%5s%7s%8s%8s%8s%8s%8s%8s\n", "limit", "case", "runs", "kills", "MiB/s",
		"least", "purged", "needed", "over", "over-r");
}

/* Why a row is over the goal: the reserve is purged too, after a burst a quarter of the limit. */
static const char *reason(const struct sum *sum)
{
	if (over(sum->purged, sum->needed) <= OVER_MAX)
		return "";
	return over(sum->purged, sum->needed_reserve) <= OVER_MAX ? "  the reserve"
								  : "  relief was late";
}

static void print_row(const struct burst *burst, const char *place, const struct sum *sum, int runs)
{
	double mib = sum->finished ? 1.0 / (double)MIB / sum->finished : 0;

	printf("%-6s%-17s%5d%7d%8.0f%8.1f%8.1f%8.1f%8.2f%8.2f%s\n", place, burst->name, runs,
		sum->killed, speed(burst, sum),
		sum->finished ? (double)sum->least_free / (double)MIB : 0,
		(double)sum->purged * mib, (double)sum->needed * mib,
		over(sum->purged, sum->needed), over(sum->purged, sum->needed_reserve),
		reason(sum));
}

void burst_all(enum place place, const char *place_name, int runs,
	int (*is_wanted)(const char *name), FILE *trace, struct burst_result *result)
{
	int has_head = 0;

	for (size_t i = 0; i < BURSTS; i++) {
		struct sum sum = {.least_free = UINT64_MAX};
		const struct burst *burst = &bursts[i];
		if (!is_wanted(burst->name))
			continue;
		if (!has_head)
			print_head();
		has_head = 1;
		for (int run = 0; run < runs; run++)
			run_once(burst, place, run == 0 ? trace : NULL, &sum);
		print_row(burst, place_name, &sum, runs);
		int good = is_good(burst, &sum, runs);
		result->passed += good;
		result->failed += !good;
		if (!good)
			printf("FAIL %s %s: %d finished, %d killed, %d otherwise; wrong %" PRIu64
			       "\n",
				place_name, burst->name, sum.finished, sum.killed, sum.broken,
				sum.wrong);
	}
}

void burst_largest(enum place place, const char *place_name, int runs)
{
	struct burst burst = {.name = "burst-largest", .cache_mib = 80, .areas = 1, .priority = 1};
	uint32_t most = 0;
	double most_speed = 0;

	for (burst.burst_mib = 20; burst.burst_mib <= LIMIT_MIB; burst.burst_mib += 4) {
		struct sum sum = {.least_free = UINT64_MAX};
		for (int run = 0; run < runs && sum.finished == run; run++)
			run_once(&burst, place, NULL, &sum);
		if (sum.finished < runs)
			break;
		most = burst.burst_mib;
		most_speed = speed(&burst, &sum);
	}
	printf("%-6slargest burst beside a cache of %u MiB that each of %d runs survived: %u MiB "
	       "at %.0f MiB/s\n",
		place_name, burst.cache_mib, runs, most, most_speed);
}
