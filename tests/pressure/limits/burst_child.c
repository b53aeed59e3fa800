/* SPDX-License-Identifier: MIT */
/*
 * The two processes of a burst. The owner fills a cache of purgeable memory, unpins all of it, has
 * a watch or none, and waits; at the end it says what was purged and compares every word that pin()
 * says was kept. The other one, or a thread of the owner, takes memory as fast as it can.
 *
 * They follow the stages of struct burst_score, which their parent and they themselves advance.
 * Each keeps what it took until the end, since the parent looks at what is free then.
 */
#include "pressure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ashmem/ashmem.h>

#define PART_MIB 4 /* of each process of a fork storm */
#define RANGE ((uint64_t)256 << 10)

enum burst_stage burst_stage(const struct burst_score *score)
{
	/* Acquire: what was written before the stage is seen with it. */
	return (enum burst_stage)__atomic_load_n(&score->stage, __ATOMIC_ACQUIRE);
}

void burst_advance(struct burst_score *score, enum burst_stage stage)
{
	__atomic_store_n(&score->stage, (uint32_t)stage, __ATOMIC_RELEASE);
}

static void await_stage(const struct burst_score *score, enum burst_stage stage)
{
	const struct timespec pause = {.tv_nsec = 500000};

	while (burst_stage(score) < stage)
		nanosleep(&pause, NULL);
}

/* -- taking memory -- */

static void take_pages(uint64_t bytes, int is_huge)
{
	const uint64_t huge = 2 * MIB;
	unsigned char *at = mmap(NULL, (size_t)(bytes + huge), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(at == MAP_FAILED ? -errno : 0, "mmap");
	at += huge - (uintptr_t)at % huge;
	if (is_huge)
		madvise(at, (size_t)bytes, MADV_HUGEPAGE);
	for (uint64_t done = 0; done < bytes; done += 4096)
		at[done] = 1;
}

/* A file of a memfd is one in a tmpfs. */
static void take_file(uint64_t bytes)
{
	static unsigned char block[256 << 10];
	int fd = memfd_create("burst", MFD_CLOEXEC);

	must(fd < 0 ? -errno : 0, "memfd");
	for (uint64_t done = 0; done < bytes; done += sizeof block)
		must(write(fd, block, sizeof block) < 0 ? -errno : 0, "write");
}

static void take_part(struct burst_score *score)
{
	take_pages(PART_MIB * MIB, 0);
	__atomic_fetch_add(&score->parts, 1, __ATOMIC_RELAXED);
	await_stage(score, STAGE_END);
	_exit(0);
}

static void take_forks(const struct burst *burst, struct burst_score *score)
{
	const struct timespec pause = {.tv_nsec = 200000};
	uint32_t parts = burst->burst_mib / PART_MIB;

	for (uint32_t i = 0; i < parts; i++) {
		pid_t child = fork();
		must(child < 0 ? -errno : 0, "fork");
		if (child == 0)
			take_part(score);
	}
	/* One that is killed ends this process too, as it would a service. */
	while (__atomic_load_n(&score->parts, __ATOMIC_RELAXED) < parts) {
		if (waitpid(-1, NULL, WNOHANG) > 0)
			_exit(FILL_PEER);
		nanosleep(&pause, NULL);
	}
}

static void take(const struct burst *burst, struct burst_score *score)
{
	uint64_t bytes = burst->burst_mib * MIB;

	score->begin_ns = score_now_ns();
	if (burst->kind == BURST_TMPFS)
		take_file(bytes);
	else if (burst->kind == BURST_FORKS)
		take_forks(burst, score);
	else
		take_pages(bytes, burst->kind == BURST_HUGE);
	score->end_ns = score_now_ns();
	burst_advance(score, STAGE_TAKEN);
}

void burst_take(const struct burst *burst, const struct group *group, struct burst_score *score)
{
	group_enter(group);
	await_stage(score, STAGE_GO);
	take(burst, score);
	await_stage(score, STAGE_END);
	_exit(FILL_OK);
}

/* -- the owner -- */

struct owner {
	const struct burst *burst;
	struct burst_score *score;
	struct ashmem_area *areas[1024];
	uint64_t *bases[1024];
	uint64_t area_bytes, range_bytes;
};

static uint64_t word_at(uint32_t area, uint64_t i)
{
	return ((uint64_t)(area + 1) << 32) + i + 1;
}

static void fill_area(struct owner *o, uint32_t i)
{
	void *base;

	must(ashmem_create("burst", o->area_bytes, 0, &o->areas[i]), "create");
	must(ashmem_map(o->areas[i], 0, o->area_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &base),
		"map");
	o->bases[i] = base;
	for (uint64_t word = 0; word < o->area_bytes / 8; word++)
		o->bases[i][word] = word_at(i, word);
	/* Every second range first: neighbours would become one. */
	for (uint64_t at = 0; at < o->area_bytes; at += 2 * o->range_bytes)
		must(ashmem_unpin(o->areas[i], at, o->range_bytes), "unpin");
	for (uint64_t at = o->range_bytes; at < o->area_bytes; at += 2 * o->range_bytes)
		must(ashmem_unpin(o->areas[i], at, o->range_bytes), "unpin");
}

static void fill_all(struct owner *o)
{
	o->area_bytes = o->burst->cache_mib * MIB / o->burst->areas;
	o->range_bytes = o->area_bytes < RANGE ? o->area_bytes : RANGE;
	if (o->burst->areas > 1024)
		must(-E2BIG, o->burst->name);
	for (uint32_t i = 0; i < o->burst->areas; i++)
		fill_area(o, i);
}

static void check_range(struct owner *o, uint32_t i, uint64_t at)
{
	int answer = ashmem_pin(o->areas[i], at, o->range_bytes);

	must(answer, "pin");
	if (answer == ASHMEM_WAS_PURGED) {
		o->score->lost++;
		return;
	}
	for (uint64_t word = at / 8; word < (at + o->range_bytes) / 8; word++)
		if (o->bases[i][word] != word_at(i, word)) {
			o->score->wrong++;
			return;
		}
	o->score->kept++;
}

static void check_all(struct owner *o)
{
	for (uint32_t i = 0; i < o->burst->areas; i++)
		for (uint64_t at = 0; at < o->area_bytes; at += o->range_bytes)
			check_range(o, i, at);
}

/* What was purged and what is free, of one moment: relief may still be at work. */
static void count(const struct group *group, struct burst_score *score)
{
	struct ashmem_process_stats stats = {.struct_size = sizeof stats}, after = stats;

	do {
		must(ashmem_process_get_stats(&stats), "stats");
		uint64_t used = group_used(group, 0);
		score->free_bytes = used < group->limit_bytes ? group->limit_bytes - used : 0;
		must(ashmem_process_get_stats(&after), "stats");
	} while (stats.purged_pages != after.purged_pages);
	score->purged_bytes = after.purged_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct ashmem_pressure *watch(const struct burst *burst)
{
	struct ashmem_pressure_options options = {.struct_size = sizeof options,
		.priority = burst->priority,
		.reserve_percent = burst->reserve_percent};
	struct ashmem_pressure *pressure;

	must(ashmem_pressure_open(&options, &pressure), "pressure");
	must(ashmem_pressure_run(pressure), "run");
	return pressure;
}

static void *take_in_thread(void *argument)
{
	struct owner *o = argument;

	take(o->burst, o->score);
	return NULL;
}

void burst_own(const struct burst *burst, const struct group *group, struct burst_score *score)
{
	static struct owner o;
	struct ashmem_pressure *pressure = NULL;
	pthread_t thread;

	o = (struct owner){.burst = burst, .score = score};
	group_enter(group);
	if (burst->owner != OWNER_UNWATCHED)
		pressure = watch(burst);
	fill_all(&o);
	burst_advance(score, STAGE_READY);
	await_stage(score, STAGE_GO);
	if (burst->owner == OWNER_MAKES_ROOM)
		must(ashmem_pressure_make_room(pressure, burst->burst_mib * MIB), "make_room");
	if (burst->is_own) {
		must(-pthread_create(&thread, NULL, take_in_thread, &o), "thread");
		pthread_join(thread, NULL);
	}
	await_stage(score, STAGE_COUNT);
	count(group, score);
	burst_advance(score, STAGE_COUNTED);
	await_stage(score, STAGE_END);
	ashmem_pressure_close(pressure);
	check_all(&o);
	_exit(score->wrong ? FILL_WRONG : FILL_OK);
}
