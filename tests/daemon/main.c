/* SPDX-License-Identifier: MIT */
/*
 * Tests of ashmemd under real limits, for tests/daemon/check. What counts is who was killed and
 * what was purged, never how long it took.
 *
 *   relief DAEMON RUNS [CASE...]
 */
#include "relief.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER 65534 /* nobody */

static int passed, failed, runs;

static void report(int is_good, const char *name, const char *format, uint64_t number)
{
	printf("%s%s: ", is_good ? "  " : "FAIL: ", name);
	printf(format, (unsigned long long)number);
	printf("\n");
	fflush(stdout);
	*(is_good ? &passed : &failed) += 1;
}

/* -- a burst beside an owner -- */

struct scene {
	const char *name;
	struct owner owner;
	struct burst burst;
	void (*others)(void *argument); /* a further process, started before the owner */
	int others_argument;
	int no_daemon, stopped, dies, late;
	int no_kill; /* --no-kill */
	const char *reserve;
};

struct score {
	uint64_t kills, failures, purged, needed;
};

static void wait_for_scans(struct daemon *daemon, uint64_t most_ms)
{
	while (daemon_count(daemon, "scans") == 0 && most_ms-- > 0)
		sleep_ms(1);
}

static void play(const struct scene *scene, struct score *score)
{
	struct daemon daemon;
	struct group group;
	pid_t other = 0, owner;
	int number = scene->others_argument;
	uint64_t used;

	group_make(&group, LIMIT);
	if (scene->late)
		daemon_start(&daemon, &group, "--reserve=4M", NULL);
	if (scene->others)
		other = process_start(&group, scene->others, &number);
	owner = process_start(&group, owner_work, (void *)&scene->owner);
	if (scene->late)
		sleep_ms(100);
	else if (!scene->no_daemon)
		daemon_start(&daemon, &group, scene->reserve ? scene->reserve : "--reserve=4M",
			"--verbose", scene->no_kill ? "--no-kill" : NULL, NULL);
	if (scene->reserve) /* so much that it is wary before the burst */
		wait_for_scans(&daemon, 10000);
	if (scene->stopped)
		kill(owner, SIGSTOP);
	if (scene->dies) {
		kill(owner, SIGKILL);
		process_wait(owner);
	}
	used = group_used(&group);
	score->failures +=
		process_wait(process_start(&group, burst_work, (void *)&scene->burst)) != 0;
	score->kills += group_kills(&group);
	if (used + scene->burst.bytes > LIMIT)
		score->needed += used + scene->burst.bytes - LIMIT;
	if (!scene->dies)
		score->failures += process_end(owner) != 0;
	if (other)
		score->failures += process_end(other) != 0;
	if (!scene->no_daemon) {
		score->purged +=
			daemon_count(&daemon, "purged_pages") * (uint64_t)sysconf(_SC_PAGESIZE);
		if (group_kills(&group) > 0) /* what led to it */
			fprintf(stderr, "%s\n", daemon.text);
		daemon_stop(&daemon);
	}
	group_drop(&group);
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
	/* It races: a few runs show that it works, many how well. */
	uint64_t bearable = runs < 20 ? (uint64_t)runs / 2 : 0;
	report(score.kills <= bearable && score.failures <= bearable, name, "%llu killed",
		score.kills ? score.kills : score.failures);
	/* Relief goes on to the reserve and a quarter; a batch may be under way then. */
	uint64_t reserve = scene->reserve ? (uint64_t)atoi(scene->reserve + 10) * MIB : 4 * MIB;
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
	{.name = "small areas",
		.owner = {.bytes = 128 << 10, .number = 400},
		.burst = {.bytes = 60 * MIB},
		.reserve = "--reserve=4M"},
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

/* -- what the daemon itself is like -- */

static uint64_t entries(pid_t pid, const char *what)
{
	char path[64];
	uint64_t count = 0;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	directory = opendir(path);
	must(directory ? 0 : -errno, path);
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static uint64_t resident_kib(pid_t pid)
{
	char path[64], line[256];
	uint64_t kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtoull(line + 6, NULL, 10);
	if (file)
		fclose(file);
	return kib;
}

/* Many owners, a group that is wary: scans find them all and keep nothing of them. */
static void run_bounded(const char *name)
{
	struct owner owner = {.bytes = 64 << 10, .number = 10};
	int count = runs > 5 ? 1000 : 40;
	pid_t *owners = calloc((size_t)count, sizeof(*owners));
	struct daemon daemon;
	struct group group;

	group_make(&group, (uint64_t)count * 2 * MIB);
	for (int i = 0; i < count; i++)
		owners[i] = process_start(&group, owner_work, &owner);
	daemon_start(&daemon, &group, "--reserve=2G", NULL); /* a quarter of the limit */
	wait_for_scans(&daemon, 10000);
	report(daemon_count(&daemon, "scans") > 0, name, "%llu scans",
		daemon_count(&daemon, "scans"));
	printf("  scan of %d processes with %d areas: %llu us each\n", count, count * 10,
		(unsigned long long)(daemon_count(&daemon, "scan_us") /
			daemon_count(&daemon, "scans")));
	report(entries(daemon.pid, "fd") < 20, name, "%llu descriptors", entries(daemon.pid, "fd"));
	report(entries(daemon.pid, "map_files") < 40, name, "%llu mappings",
		entries(daemon.pid, "map_files"));
	report(resident_kib(daemon.pid) < 24 << 10, name, "%llu KiB", resident_kib(daemon.pid));
	daemon_stop(&daemon);
	for (int i = 0; i < count; i++)
		must(process_end(owners[i]) == 0 ? 0 : -ECHILD, "an owner");
	free(owners);
	group_drop(&group);
}

static void run_calm(const char *name)
{
	struct owner owner = {.bytes = 20 * MIB};
	struct daemon daemon;
	struct group group;
	pid_t pid;

	group_make(&group, LIMIT);
	pid = process_start(&group, owner_work, &owner);
	daemon_start(&daemon, &group, NULL);
	while (daemon_count(&daemon, "looks") < 3)
		sleep_ms(100);
	report(daemon_count(&daemon, "scans") == 0, name, "%llu scans while memory is not short",
		daemon_count(&daemon, "scans"));
	daemon_stop(&daemon);
	process_end(pid);
	group_drop(&group);
}

/* SIGUSR1 purges all that it watches. */
static void run_purge_all(const char *name)
{
	struct owner owner = {.bytes = 20 * MIB};
	struct daemon daemon;
	struct group group;
	pid_t pid;

	group_make(&group, LIMIT);
	pid = process_start(&group, owner_work, &owner);
	daemon_start(&daemon, &group, NULL);
	kill(daemon.pid, SIGUSR1);
	while (daemon_count(&daemon, "purge_alls") == 0)
		sleep_ms(1);
	report(daemon_count(&daemon, "purged_pages") * (uint64_t)sysconf(_SC_PAGESIZE) == 20 * MIB,
		name, "SIGUSR1: %llu pages purged", daemon_count(&daemon, "purged_pages"));
	daemon_stop(&daemon);
	process_end(pid);
	group_drop(&group);
}

/* The daemon is killed while it purges: its victim notices nothing. */
static void run_killed(const char *name)
{
	struct daemon daemon;
	struct group group;
	uint64_t deaths = runs > 5 ? 100 : 15, waits = 0;
	pid_t pid;

	/* Always short: whatever is unpinned is purged. */
	group_make(&group, 20 * MIB);
	pid = process_start(&group, busy_work, NULL);
	for (uint64_t i = 0; i < deaths; i++) {
		daemon_start(&daemon, &group, "--reserve=5M", NULL);
		while (daemon_count(&daemon, "purged_pages") == 0 && waits++ < 20000)
			sleep_ms(1);
		usleep((unsigned)(rand() % 3000));
		kill(daemon.pid, SIGKILL);
		process_wait(daemon.pid);
		close(daemon.output);
	}
	report(process_end(pid) == 0, name, "no call of the owner failed in %llu deaths", deaths);
	report(waits < 20000, name, "it had purged before each", 0);
	group_drop(&group);
}

/* With --no-kill, the daemon dies: the group must not wait for ever. */
static void run_way_back(const char *name)
{
	struct owner owner = {.bytes = 60 * MIB};
	struct daemon daemon;
	struct group group;
	pid_t pid;
	int tries = 0;

	if (group_is_version_2())
		return;
	group_make(&group, LIMIT);
	pid = process_start(&group, owner_work, &owner);
	daemon_start(&daemon, &group, "--no-kill", NULL);
	report(group_oom(&group, "oom_kill_disable ") == 1, name, "the kernel does not kill", 0);
	kill(daemon.pid, SIGKILL);
	process_wait(daemon.pid);
	close(daemon.output);
	while (group_oom(&group, "oom_kill_disable ") == 1 && tries++ < 10000)
		sleep_ms(1);
	report(group_oom(&group, "oom_kill_disable ") == 0, name, "the second process took it back",
		0);
	process_end(pid);
	group_drop(&group);
}

/* With --no-kill and nothing that could be purged: the kernel kills after all. */
static void run_giving_up(const char *name)
{
	struct owner owner = {.bytes = 60 * MIB, .pinned_bytes = 60 * MIB};
	struct burst burst = {.bytes = 60 * MIB};
	struct daemon daemon;
	struct group group;
	pid_t pid;

	if (group_is_version_2())
		return;
	group_make(&group, LIMIT);
	pid = process_start(&group, owner_work, &owner);
	daemon_start(&daemon, &group, "--no-kill", NULL);
	process_wait(process_start(&group, burst_work, &burst));
	report(group_kills(&group) > 0, name, "%llu killed, nothing hangs", group_kills(&group));
	daemon_stop(&daemon);
	process_end(pid);
	group_drop(&group);
}

/* Owners that watch keep more free than the daemon does: it has next to nothing to do. */
static void run_watching(const char *name)
{
	struct owner owner = {.bytes = 1 * MIB, .watches = 1, .number = 300};
	struct daemon daemon;
	struct group group;
	pid_t pid;

	group_make(&group, LIMIT);
	daemon_start(&daemon, &group, NULL);
	pid = process_start(&group, owner_work, &owner);
	report(group_kills(&group) == 0 && process_end(pid) == 0, name, "nobody killed", 0);
	report(daemon_count(&daemon, "purged_pages") * (uint64_t)sysconf(_SC_PAGESIZE) < 20 * MIB,
		name, "the daemon purged %llu pages of 300 MiB",
		daemon_count(&daemon, "purged_pages"));
	daemon_stop(&daemon);
	group_drop(&group);
}

/* As a user's own daemon, without any privilege. */
static void run_user(const char *name)
{
	struct owner owner = {.bytes = 80 * MIB, .user = USER};
	struct daemon daemon;
	struct group group;
	pid_t pid;
	int tries = 0;

	group_make(&group, LIMIT);
	pid = process_start(&group, owner_work, &owner);
	daemon_user = USER;
	daemon_start(&daemon, &group, "--user", "--reserve=20M", NULL);
	daemon_user = 0;
	while (daemon_count(&daemon, "purged_pages") == 0 && tries++ < 10000)
		sleep_ms(1);
	report(tries < 10000, name, "it purges areas of its user", 0);
	daemon_stop(&daemon);
	process_end(pid);
	group_drop(&group);
}

/* The path of an area of a process. */
static void find_area(pid_t pid, char path[64])
{
	char target[64];

	for (int i = 0; i < 64; i++) {
		snprintf(path, 64, "/proc/%d/fd/%d", (int)pid, i);
		ssize_t length = readlink(path, target, sizeof(target));
		if (length > 14 && memcmp(target, "/memfd:/dev/as", 14) == 0)
			return;
	}
	must(-ENOENT, path);
}

/*
 * A process of the group holds an area that is charged to another group. To purge it would not help
 * here: after a few tries it is left alone, with most of what is in it.
 */
static void run_elsewhere(const char *name)
{
	struct owner owner = {.bytes = 80 * MIB}, pinned = {.bytes = 90 * MIB};
	struct daemon daemon;
	struct group group, elsewhere;
	pid_t pids[3];
	char path[64];
	int tries = 0;

	pinned.pinned_bytes = pinned.bytes;
	group_make(&group, LIMIT);
	group_make(&elsewhere, LIMIT);
	pids[0] = process_start(&elsewhere, owner_work, &owner);
	find_area(pids[0], path);
	pids[1] = process_start(&group, holder_work, path);
	pids[2] = process_start(&group, owner_work, &pinned);
	daemon_start(&daemon, &group, "--reserve=8M", NULL);
	while (daemon_count(&daemon, "elsewhere") == 0 && tries++ < 10000)
		sleep_ms(1);
	report(tries < 10000, name, "it was noticed", 0);
	report(group_used(&elsewhere) > 16 * MIB, name, "%llu bytes are left",
		group_used(&elsewhere));
	daemon_stop(&daemon);
	for (int i = 0; i < 3; i++)
		must(process_end(pids[i]) == 0 ? 0 : -ECHILD, "a process");
	group_drop(&group);
	group_drop(&elsewhere);
}

static const struct {
	const char *name;
	void (*run)(const char *name);
} others[] = {
	{"user", run_user},
	{"elsewhere", run_elsewhere},
	{"bounded", run_bounded},
	{"calm", run_calm},
	{"purge all", run_purge_all},
	{"daemon killed", run_killed},
	{"way back", run_way_back},
	{"giving up", run_giving_up},
	{"owners watch", run_watching},
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
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (is_wanted(argv + 3, others[i].name))
			others[i].run(others[i].name);
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
