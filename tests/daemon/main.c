/* SPDX-License-Identifier: MIT */
/*
 * Tests of ashmemd under real limits, for tests/daemon/check: bursts beside an owner here, all else
 * in cases.c. What counts is who was killed and what was purged, never how long it took.
 *
 *   relief DAEMON RUNS [CASE...]
 */
#include "relief.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int runs;
static int passed, failed;

void report(int is_good, const char *name, const char *format, uint64_t number)
{
	printf("%s%s: ", is_good ? "  " : "FAIL: ", name);
	printf(format, (unsigned long long)number);
	printf("\n");
	fflush(stdout);
	*(is_good ? &passed : &failed) += 1;
}

uint64_t bearable_kills(void)
{
	return runs < 20 ? (uint64_t)runs / 2 : 0;
}

/* -- a burst beside an owner -- */

struct scene {
	const char *name;
	struct owner owner;
	struct burst burst;
	void (*others)(void *argument); /* a further process, started before the owner */
	int others_argument;
	int no_daemon, stopped, dies, late;
	int no_kill;         /* --no-kill */
	int is_wary;         /* before the burst: wait until it has looked for areas */
	const char *reserve; /* NULL: 4 MiB */
};

struct score {
	uint64_t kills, failures, purged, needed;
};

static void begin_daemon(struct stage *stage, const struct scene *scene)
{
	stage_begin_daemon(stage,
		OPTIONS(scene->reserve ? scene->reserve : "--reserve=4M", "--verbose",
			scene->no_kill ? "--no-kill" : NULL));
}

/* The daemon must have seen the owner, who came late, or have looked for areas. */
static void prepare(struct stage *stage, const struct scene *scene)
{
	stage_begin_process(stage, owner_work, (void *)&scene->owner);
	if (scene->late)
		sleep_ms(100);
	else if (!scene->no_daemon)
		begin_daemon(stage, scene);
	if (scene->is_wary)
		stage_wait(stage, "scans");
	if (scene->stopped)
		kill(stage->pid, SIGSTOP);
	if (scene->dies) {
		kill(stage->pid, SIGKILL);
		process_wait(stage->pid);
		stage->pid = 0;
	}
}

static void add_daemon(struct stage *stage, struct score *score)
{
	score->purged += stage_purged_bytes(stage);
	if (group_kills(&stage->group) > 0) /* what led to it */
		fprintf(stderr, "%s\n", stage->daemon.text);
}

static void play(const struct scene *scene, struct score *score)
{
	struct stage stage;
	pid_t other = 0;
	int number = scene->others_argument;
	uint64_t used;

	stage_begin_group(&stage, LIMIT);
	if (scene->late)
		begin_daemon(&stage, scene);
	if (scene->others)
		other = process_start(&stage.group, scene->others, &number);
	prepare(&stage, scene);
	used = group_used(&stage.group);
	score->failures +=
		process_wait(process_start(&stage.group, burst_work, (void *)&scene->burst)) != 0;
	score->kills += group_kills(&stage.group);
	if (used + scene->burst.bytes > LIMIT)
		score->needed += used + scene->burst.bytes - LIMIT;
	if (stage.has_daemon)
		add_daemon(&stage, score);
	if (other)
		score->failures += process_end(other) != 0;
	score->failures += stage_end(&stage) != 0;
}

static void run_scene(const struct scene *scene)
{
	struct score score = {0};
	char name[64];

	if (scene->no_kill && group_is_version_2())
		return; /* there is no such switch */
	for (int i = 0; i < runs; i++)
		play(scene, &score);
	snprintf(name, sizeof(name), "%s, %d runs", scene->name, runs);
	if (scene->no_daemon) {
		report(score.kills >= (uint64_t)runs, name, "%llu killed, as it must be",
			score.kills);
		return;
	}
	report(score.kills <= bearable_kills() && score.failures <= bearable_kills(), name,
		"%llu killed", score.kills ? score.kills : score.failures);
	/* Relief goes on to the reserve and a quarter; a batch may be under way then. */
	uint64_t reserve = 4 * MIB;
	if (scene->reserve)
		reserve = strncmp(scene->reserve, "--reserve=", 10) == 0
			? (uint64_t)atoi(scene->reserve + 10) * MIB
			: LIMIT / 12; /* the largest that it takes by itself */
	uint64_t most = score.needed + score.needed / 10 +
		(uint64_t)runs * (reserve + reserve / 4 + 2 * MIB);
	if (score.needed > 0)
		report(score.purged <= most, name, "purged %llu %% of what was needed",
			score.purged * 100 / score.needed);
}

static const struct scene scenes[] = {
	{.name = "nothing",
		.owner = {.bytes = 60 * MIB},
		.burst = {.bytes = 60 * MIB},
		.no_daemon = 1},
	{.name = "no watch", .owner = {.bytes = 60 * MIB}, .burst = {.bytes = 60 * MIB}},
	{.name = "stopped",
		.owner = {.bytes = 60 * MIB},
		.burst = {.bytes = 60 * MIB},
		.stopped = 1},
	{.name = "huge pages",
		.owner = {.bytes = 60 * MIB},
		.burst = {.bytes = 60 * MIB, .huge = 1}},
	{.name = "half pinned",
		.owner = {.bytes = 64 * MIB, .pinned_bytes = 32 * MIB},
		.burst = {.bytes = 48 * MIB}},
	/* The look-up takes a part of the burst, and opening each area as long as purging it. */
	{.name = "small areas",
		.owner = {.bytes = 128 << 10, .number = 400},
		.burst = {.bytes = 60 * MIB, .urgent = 1}},
	{.name = "small areas, no --reserve",
		.owner = {.bytes = 128 << 10, .number = 400},
		.burst = {.bytes = 60 * MIB, .urgent = 1},
		.reserve = "--verbose"},
	{.name = "pinned owner dies",
		.owner = {.bytes = 60 * MIB, .pinned_bytes = 60 * MIB},
		.burst = {.bytes = 60 * MIB},
		.dies = 1},
	{.name = "late joiner",
		.owner = {.bytes = 60 * MIB},
		.burst = {.bytes = 60 * MIB},
		.late = 1},
	{.name = "1000 locked areas",
		.owner = {.bytes = 60 * MIB},
		.burst = {.bytes = 60 * MIB},
		.others = locked_work,
		.others_argument = 1000,
		.is_wary = 1,
		.reserve = "--reserve=8M"},
	{.name = "hostile areas",
		.owner = {.bytes = 60 * MIB},
		.burst = {.bytes = 60 * MIB},
		.others = hostile_work},
	{.name = "--no-kill",
		.owner = {.bytes = 60 * MIB},
		.burst = {.bytes = 60 * MIB, .huge = 1},
		.no_kill = 1},
};

static int is_wanted(char **cases, const char *name)
{
	if (!*cases)
		return 1;
	for (; *cases; cases++)
		if (strcmp(*cases, name) == 0)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	const char *obstacle = group_obstacle();

	if (argc < 3)
		return 2;
	if (obstacle) {
		fprintf(stderr, "skipped: %s\n", obstacle);
		return 77;
	}
	daemon_program = argv[1];
	runs = atoi(argv[2]);
	for (unsigned i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++)
		if (is_wanted(argv + 3, scenes[i].name))
			run_scene(&scenes[i]);
	for (const struct other_case *other = other_cases; other->name; other++)
		if (is_wanted(argv + 3, other->name))
			other->run(other->name);
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
