/* SPDX-License-Identifier: MIT */
/*
 * Cases of ashmemd that are no burst beside an owner: what it is like, what it leaves alone, and
 * how it ends.
 */
#include "relief.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define USER 65534 /* nobody */
#define FELLOWS 8
/* Hits of the best by those of the worst of processes that are alike, in percent. */
#define MOST_RATIO 150

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
	struct stage stage;

	stage_begin_group(&stage, (uint64_t)count * 2 * MIB);
	for (int i = 0; i < count; i++)
		owners[i] = process_start(&stage.group, owner_work, &owner);
	stage_begin_daemon(&stage, OPTIONS("--reserve=2G")); /* a quarter of the limit */
	report(stage_wait(&stage, "scans"), name, "it scans", 0);
	printf("  scan of %d processes with %d areas: %llu us each\n", count, count * 10,
		(unsigned long long)(stage_count(&stage, "scan_us") /
			stage_count(&stage, "scans")));
	pid_t pid = stage.daemon.pid;
	report(entries(pid, "fd") < 20, name, "%llu descriptors", entries(pid, "fd"));
	report(entries(pid, "map_files") < 40, name, "%llu mappings", entries(pid, "map_files"));
	report(resident_kib(pid) < 24 << 10, name, "%llu KiB", resident_kib(pid));
	for (int i = 0; i < count; i++)
		must(process_end(owners[i]) == 0 ? 0 : -ECHILD, "an owner");
	free(owners);
	stage_end(&stage);
}

static void run_calm(const char *name)
{
	struct owner owner = {.bytes = 20 * MIB};
	struct stage stage;

	stage_begin(&stage, LIMIT, owner_work, &owner, NULL);
	while (stage_count(&stage, "looks") < 3)
		sleep_ms(100);
	report(stage_count(&stage, "scans") == 0, name, "%llu scans while memory is not short",
		stage_count(&stage, "scans"));
	stage_end(&stage);
}

/* SIGUSR1 purges all that it watches. */
static void run_purge_all(const char *name)
{
	struct owner owner = {.bytes = 20 * MIB};
	struct stage stage;

	stage_begin(&stage, LIMIT, owner_work, &owner, NULL);
	kill(stage.daemon.pid, SIGUSR1);
	stage_wait(&stage, "purge_alls");
	report(stage_purged_bytes(&stage) == 20 * MIB, name, "SIGUSR1: %llu bytes purged",
		stage_purged_bytes(&stage));
	stage_end(&stage);
}

/* What no process has a descriptor of is not found, and left as it is. */
static void run_mapped(const char *name)
{
	uint64_t bytes = 20 * MIB, used;
	struct stage stage;

	stage_begin(&stage, LIMIT, mapped_work, &bytes, NULL);
	used = group_used(&stage.group);
	kill(stage.daemon.pid, SIGUSR1);
	stage_wait(&stage, "purge_alls");
	report(used >= bytes && stage_purged_bytes(&stage) == 0, name,
		"%llu bytes purged of an area that is only mapped", stage_purged_bytes(&stage));
	stage_end(&stage);
}

/*
 * Areas that are as costly as can be, one honest one, and memory that is short: all that can be
 * purged is purged, and how long a round takes is told.
 */
static void run_costly(const char *name)
{
	struct owner owner = {.bytes = 60 * MIB};
	uint32_t ranges = runs > 5 ? 1000000 : 200000;
	struct stage stage;

	stage_begin_group(&stage, 512 * MIB);
	pid_t costly = process_start(&stage.group, costly_work, &ranges);
	stage_begin_process(&stage, owner_work, &owner);
	stage_begin_daemon(&stage, OPTIONS("--reserve=512M")); /* a quarter of the limit */
	kill(stage.daemon.pid, SIGUSR1);
	report(stage_wait(&stage, "purge_alls"), name, "it ends a round", 0);
	report(stage_purged_bytes(&stage) >= owner.bytes, name, "%llu bytes purged",
		stage_purged_bytes(&stage));
	printf("  a scan beside %u ranges and the largest area: %llu us\n", ranges,
		(unsigned long long)(stage_count(&stage, "scan_us") /
			stage_count(&stage, "scans")));
	printf("  purging all of it: %llu us\n",
		(unsigned long long)stage_count(&stage, "purge_all_us"));
	report(process_end(costly) == 0 && stage_end(&stage) == 0, name, "all ended well", 0);
}

/*
 * Eight caches that do not fit together, without a watch, each so often used: 0, or 1 if one was
 * killed, and then their hits say nothing. With a pause between two uses all use theirs alike.
 */
static int run_caches(uint32_t uses, uint32_t pause_ms, uint32_t hits[FELLOWS])
{
	uint32_t *shared =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct cache cache = {.bytes = 16 * MIB,
		.uses = uses,
		.pause_ms = pause_ms,
		.counted = &shared[FELLOWS],
		.left = &shared[FELLOWS + 1]};
	pid_t pids[FELLOWS];
	struct stage stage;
	int failures = 0;

	must(shared == MAP_FAILED ? -errno : 0, "mmap");
	stage_begin(&stage, LIMIT, NULL, NULL, OPTIONS("--reserve=12M"));
	*cache.left = FELLOWS;
	for (int i = 0; i < FELLOWS; i++) {
		cache.hits = &shared[i];
		pids[i] = process_start(&stage.group, cache_work, &cache);
	}
	__atomic_store_n(cache.counted, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(cache.left, __ATOMIC_ACQUIRE) > 0 && !group_kills(&stage.group))
		sleep_ms(10);
	__atomic_store_n(cache.left, 0, __ATOMIC_RELEASE);
	for (int i = 0; i < FELLOWS; i++)
		failures += process_end(pids[i]) != 0;
	stage_end(&stage);
	memcpy(hits, shared, FELLOWS * sizeof(*hits));
	munmap(shared, 4096);
	return failures > 0;
}

/* As fast as they can: while one pins, another takes its processor, or the daemon does. */
static void run_greedy(const char *name)
{
	uint32_t hits[FELLOWS];
	uint64_t kills = 0;

	for (int i = 0; i < runs; i++)
		kills += (uint64_t)run_caches(5000, 0, hits);
	report(kills <= bearable_kills(), name, "killed in %llu runs", kills);
}

/* Not as fast as they can: then who runs more often would have younger ranges. */
static void run_fair(const char *name)
{
	uint32_t hits[FELLOWS], least = UINT32_MAX, most = 0;

	report(run_caches(3000, 2, hits) == 0, name, "nobody killed", 0);
	for (int i = 0; i < FELLOWS; i++) {
		least = hits[i] < least ? hits[i] : least;
		most = hits[i] > most ? hits[i] : most;
	}
	printf("  hits of 3000 uses: %u to %u\n", least, most);
	report(100 * most <= MOST_RATIO * least, name, "most hits are %llu %% of fewest",
		100ULL * most / (least ? least : 1));
}

/* The daemon is killed while it purges: its victim notices nothing. */
static void run_killed(const char *name)
{
	struct stage stage;
	uint64_t deaths = runs > 5 ? 100 : 15, had_purged = 0;

	/* Always short: whatever is unpinned is purged. */
	stage_begin_group(&stage, 20 * MIB);
	stage_begin_process(&stage, busy_work, NULL);
	for (uint64_t i = 0; i < deaths; i++) {
		stage_begin_daemon(&stage, OPTIONS("--reserve=5M"));
		had_purged += (uint64_t)stage_wait(&stage, "purged_pages");
		usleep((unsigned)(rand() % 3000));
		stage_kill_daemon(&stage);
	}
	report(stage_end(&stage) == 0, name, "no call of the owner failed in %llu deaths", deaths);
	report(had_purged == deaths, name, "it had purged before %llu", had_purged);
}

static int kernel_may_kill(const struct group *group)
{
	return group_oom(group, "oom_kill_disable ") == 0;
}

/* With --no-kill, the daemon dies: the group must not wait for ever. */
static void run_way_back(const char *name)
{
	struct owner owner = {.bytes = 60 * MIB};
	struct stage stage;
	int tries = 0;

	if (group_is_version_2())
		return;
	stage_begin(&stage, LIMIT, owner_work, &owner, OPTIONS("--no-kill"));
	report(!kernel_may_kill(&stage.group), name, "the kernel does not kill", 0);
	stage_kill_daemon(&stage);
	while (!kernel_may_kill(&stage.group) && tries++ < 10000)
		sleep_ms(1);
	report(kernel_may_kill(&stage.group), name, "the second process took it back", 0);
	stage_end(&stage);
}

/* With --no-kill and nothing that could be purged: the kernel kills after all. */
static void run_giving_up(const char *name)
{
	struct owner owner = {.bytes = 60 * MIB, .pinned_bytes = 60 * MIB};
	struct burst burst = {.bytes = 60 * MIB};
	struct stage stage;

	if (group_is_version_2())
		return;
	stage_begin(&stage, LIMIT, owner_work, &owner, OPTIONS("--no-kill"));
	process_wait(process_start(&stage.group, burst_work, &burst));
	report(group_kills(&stage.group) > 0, name, "%llu killed, nothing hangs",
		group_kills(&stage.group));
	stage_end(&stage);
}

/* Owners that watch keep more free than the daemon does: it has next to nothing to do. */
static void run_watching(const char *name)
{
	struct owner owner = {.bytes = 1 * MIB, .watches = 1, .number = 300};
	struct stage stage;

	stage_begin(&stage, LIMIT, NULL, NULL, NULL);
	stage_begin_process(&stage, owner_work, &owner);
	report(stage_purged_bytes(&stage) < 20 * MIB, name,
		"the daemon purged %llu bytes of 300 MiB", stage_purged_bytes(&stage));
	int kills = (int)group_kills(&stage.group);
	report(stage_end(&stage) == 0 && kills == 0, name, "nobody killed", 0);
}

/* As a user's own daemon, without any privilege. */
static void run_user(const char *name)
{
	struct owner owner = {.bytes = 80 * MIB, .user = USER};
	struct stage stage;

	daemon_user = USER;
	stage_begin(&stage, LIMIT, owner_work, &owner, OPTIONS("--user", "--reserve=20M"));
	daemon_user = 0;
	report(stage_wait(&stage, "purged_pages"), name, "it purges areas of its user", 0);
	stage_end(&stage);
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
	struct stage elsewhere, stage;
	char path[64];

	pinned.pinned_bytes = pinned.bytes;
	stage_begin_group(&elsewhere, LIMIT);
	stage_begin_process(&elsewhere, owner_work, &owner);
	find_area(elsewhere.pid, path);
	stage_begin_group(&stage, LIMIT);
	stage_begin_process(&stage, owner_work, &pinned);
	pid_t holder = process_start(&stage.group, holder_work, path);
	stage_begin_daemon(&stage, OPTIONS("--reserve=8M"));
	report(stage_wait(&stage, "elsewhere"), name, "it was noticed", 0);
	report(group_used(&elsewhere.group) > 16 * MIB, name, "%llu bytes are left",
		group_used(&elsewhere.group));
	int failures = process_end(holder) != 0;
	failures += (stage_end(&stage) != 0) + (stage_end(&elsewhere) != 0);
	report(failures == 0, name, "all ended well", 0);
}

const struct other_case other_cases[] = {
	{"user", run_user},
	{"elsewhere", run_elsewhere},
	{"bounded", run_bounded},
	{"calm", run_calm},
	{"purge all", run_purge_all},
	{"only mapped", run_mapped},
	{"costly areas", run_costly},
	{"greedy", run_greedy},
	{"fair", run_fair},
	{"daemon killed", run_killed},
	{"way back", run_way_back},
	{"giving up", run_giving_up},
	{"owners watch", run_watching},
	{NULL, NULL},
};
