/* SPDX-License-Identifier: MIT */
/*
 * A call on a cache, and what others do between two of its instructions: a child is stepped through
 * the call, and the test acts, or looks, at each moment. Nothing depends on time.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/stepper.h"
#include "support/tools.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/find.h"

/* VALUE: on two pages. VIEW: looked at in place. */
enum { BEFORE = 3300, VALUE = 1500, VIEW = 20000, FILL = 30000 };

#define NEVER INT64_MAX
/* The address sanitizer makes many instructions of one. */
#define COARSE (UNDER_ADDRESS_SANITIZER ? 8 : 1)

/* What the child tells. */
struct report {
	int64_t got;
	int is_wrong;
	pid_t sleeper;
	unsigned char value[VIEW];
};

struct scene {
	/* The keeper has the only lease, so the others hold what they write to only meanwhile. */
	struct ashmem_cache *keeper, *child_has, *other;
	struct report *report;
	size_t bytes;
	uint32_t segment; /* of the value */
	int64_t steps, purge_at, take_at, copy_begins;
	int only_watched;
	int ends[2]; /* of a pipe that lives as long as the test */
};

static unsigned char bytes_of_value[VIEW], bytes_of_others[FILL];

static int is_value(const unsigned char *value, int64_t bytes)
{
	return memcmp(value, bytes_of_value, (size_t)bytes) == 0;
}

static struct ashmem_cache *imported(struct ashmem_cache *from)
{
	struct ashmem_cache *cache = NULL;

	expect_eq(ashmem_cache_import(ashmem_cache_fd(from), &cache), 0);
	return cache;
}

static void put(struct ashmem_cache *cache, const char *key, const void *value, size_t bytes)
{
	expect_eq(ashmem_cache_put(cache, key, strlen(key), value, bytes, 0), 0);
}

/* Where the value lies. */
static struct cache_found found_in(struct ashmem_cache *cache, const char *key)
{
	struct cache_key its_key = cache_key_of(cache, key, strlen(key));
	struct cache_found found;
	enum cache_miss miss;

	expect(cache_find(cache, &its_key, &found, &miss));
	return found;
}

static void begin(struct scene *scene)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options), .most_bytes = 1 << 20, .value_most_bytes = FILL};

	skip_on_kernel("caches are areas of the memfd backend");
	skip_without_stepping();
	memset(bytes_of_value, 'v', sizeof(bytes_of_value));
	memset(bytes_of_others, 'o', sizeof(bytes_of_others));
	expect_eq(ashmem_cache_create("moments", &options, &scene->keeper), 0);
	put(scene->keeper, "kept", bytes_of_others, VIEW);
	scene->child_has = imported(scene->keeper);
	scene->other = imported(scene->keeper);
	scene->report = mmap(NULL, sizeof(*scene->report), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect(scene->report != MAP_FAILED);
	expect_eq(pipe(scene->ends), 0);
}

/* The value lies on two pages of a segment that nobody holds. */
static void put_value(struct scene *scene)
{
	expect(ashmem_shrink(UINT64_MAX) >= 0);
	put(scene->other, "before", bytes_of_others, BEFORE);
	put(scene->other, "key", bytes_of_value, scene->bytes);
	scene->segment = found_in(scene->other, "key").segment;
	memset(scene->report, 0, sizeof(*scene->report));
	scene->steps = 0;
	scene->copy_begins = 0;
}

static void end(struct scene *scene)
{
	munmap(scene->report, sizeof(*scene->report));
	close(scene->ends[0]);
	close(scene->ends[1]);
	ashmem_cache_close(scene->other);
	ashmem_cache_close(scene->child_has);
	ashmem_cache_close(scene->keeper);
}

/* Nobody waits for a lock of the child's: it waits for us. */
static int is_locked(struct ashmem_cache *cache)
{
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek)};

	expect_eq(ashmem_peek(ashmem_cache_fd(cache), &peek), 0);
	return peek.busy != 0;
}

/* The value's segment gets other contents, if nobody holds it. */
static void take_segment(struct scene *scene)
{
	struct cache_segment *at = &scene->other->table[scene->segment];
	uint64_t generation = at->generation;

	for (uint32_t i = 0; i < 40 && at->generation == generation; i++)
		expect_eq(ashmem_cache_put(scene->other, &i, sizeof(i), bytes_of_others,
				  sizeof(bytes_of_others), 0),
			0);
}

static enum stepping act(void *context)
{
	struct scene *scene = context;
	int64_t step = scene->steps++;

	if (scene->copy_begins == 0 && scene->report->value[0])
		scene->copy_begins = step;
	if (scene->purge_at != step && scene->take_at != step)
		return STEP_ON;
	if (is_locked(scene->other)) {
		scene->purge_at += scene->purge_at == step;
		scene->take_at += scene->take_at == step;
		return STEP_ON;
	}
	if (scene->purge_at == step)
		expect(ashmem_shrink(UINT64_MAX) >= 0);
	if (scene->take_at == step)
		take_segment(scene);
	/* Nothing more is done to it. */
	return scene->take_at == step || scene->take_at == NEVER ? STEP_RUN : STEP_ON;
}

/* What a process does but once, such as finding functions of the C library. */
static void warm_up(void *context)
{
	const struct scene *scene = context;
	struct ashmem_entry *entry;

	expect_eq(ashmem_cache_get(scene->child_has, "kept", 4, &entry), 0);
	ashmem_entry_release(entry);
	expect_eq(ashmem_cache_read(scene->child_has, "kept", 4, scene->report->value, 0), VIEW);

	memset(scene->report->value, 0, sizeof(scene->report->value));
}

static void read_as_child(void *context)
{
	struct scene *scene = context;
	struct report *report = scene->report;

	report->got = ashmem_cache_read(scene->child_has, "key", 3, report->value, VIEW);
}

static void get_as_child(void *context)
{
	struct scene *scene = context;
	struct report *report = scene->report;
	struct ashmem_entry *entry;
	uint64_t bytes;

	report->got = ashmem_cache_get(scene->child_has, "key", 3, &entry);
	if (report->got < 0)
		return;
	const unsigned char *value = ashmem_entry_value(entry, &bytes);
	report->got = (int64_t)bytes;
	/* A byte of each page: more would take most of the moments. */
	for (uint64_t i = 0; i < bytes; i += 1024)
		report->is_wrong |= value[i] != bytes_of_value[i];
	ashmem_entry_release(entry);
}

/* One call with a purge and a taking at these moments: how many moments there are. */
static int64_t look(struct scene *scene, void (*call)(void *scene), int64_t purge_at,
	int64_t take_at)
{
	const struct report *report = scene->report;
	long long purge = purge_at, take = take_at;

	put_value(scene);
	scene->purge_at = purge_at;
	scene->take_at = take_at;
	step_until(warm_up, call, act, scene);
	if (purge_at == NEVER && take_at == NEVER)
		expect_eq(report->got, (int64_t)scene->bytes);
	expect_msg(report->got == -ENOENT || report->got == (int64_t)scene->bytes,
		"%lld, purged at %lld, taken at %lld", (long long)report->got, purge, take);
	int is_wrong = call == read_as_child
		? report->got > 0 && !is_value(report->value, report->got)
		: report->is_wrong;
	expect_msg(!is_wrong, "wrong bytes, purged at %lld, taken at %lld", purge, take);
	return scene->steps;
}

/* Each moment around the copy, and so many others as show every order of what happens. */
static void look_at_all(void (*call)(void *scene), size_t bytes, int64_t stride)
{
	struct scene scene = {.bytes = bytes};

	begin(&scene);
	int64_t moments = look(&scene, call, NEVER, NEVER), copied = scene.copy_begins;
	for (int64_t at = 0; at < moments;) {
		look(&scene, call, at, NEVER);
		look(&scene, call, at, at);
		at += COARSE * (copied && at >= copied - 40 && at < copied + 40 ? 1 : stride);
	}
	end(&scene);
}

CONTRACT_TEST(cache_moments, read_is_whole_or_a_miss_whenever_its_segment_is_purged_or_taken)
{
	look_at_all(read_as_child, VALUE, 16);
}

CONTRACT_TEST(cache_moments, view_is_whole_or_a_miss_whenever_its_segment_is_purged_or_taken)
{
	look_at_all(get_as_child, VIEW, 96);
}

CONTRACT_TEST(cache_moments, taking_after_a_purge_does_not_hide_that_half_of_a_copy_was_purged)
{
	struct scene scene = {.bytes = VALUE};

	begin(&scene);
	int64_t moments = look(&scene, read_as_child, NEVER, NEVER);
	int64_t copied = scene.copy_begins;
	expect(copied > 0);
	for (int64_t at = copied; at < moments; at += COARSE)
		look(&scene, read_as_child, copied, at);
	end(&scene);
}

/* -- a purge, and who reads meanwhile -- */

/* Only pages after the first one: the head of the entry stays as it is. */
static void purge_as_child(void *context)
{
	struct scene *scene = context;
	const struct ashmem_cache *cache = scene->child_has;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t segment =
		cache->layout.segments_at + (uint64_t)scene->segment * cache->layout.segment_bytes;

	scene->report->got = ashmem_purge(ashmem_cache_area(scene->child_has), segment + page,
		cache->layout.segment_bytes - page);
}

/* 1: it is there and whole, 0: it is a miss. */
static int has_value(const struct scene *scene, struct ashmem_cache *cache)
{
	static unsigned char value[VIEW];
	int64_t got = ashmem_cache_read(cache, "key", 3, value, sizeof(value));

	expect_msg(got == -ENOENT || got == (int64_t)scene->bytes, "a read gives %lld",
		(long long)got);
	expect_msg(got < 0 || is_value(value, got), "wrong bytes at moment %lld of the purge",
		(long long)scene->steps);
	return got > 0;
}

/* The whole segment. */
static void shrink_as_child(void *context)
{
	struct scene *scene = context;

	scene->report->got = ashmem_shrink(UINT64_MAX);
}

static uint64_t noted_pages(const struct scene *scene)
{
	return SHARED_LOAD(scene->other->memfd->control.shared->purge_count);
}

static enum stepping read_at_each_moment(void *context)
{
	struct scene *scene = context;
	int is_there = scene->only_watched || has_value(scene, scene->other);

	scene->steps++;
	if (scene->purge_at == NEVER && noted_pages(scene))
		scene->purge_at = scene->steps;
	if (noted_pages(scene))
		scene->take_at = scene->steps;
	expect(is_there || scene->purge_at != NEVER);
	return STEP_ON;
}

/* The purger's child lives on, with all descriptions that it inherited, until the test ends. */
static void fork_sleeper(void *context)
{
	struct scene *scene = context;
	char byte;

	warm_up(scene);
	pid_t sleeper = fork();
	expect(sleeper >= 0);
	if (sleeper == 0) {
		close(scene->ends[1]);
		_exit(read(scene->ends[0], &byte, 1) != 0);
	}
	scene->report->sleeper = sleeper;
}

/* `purge_at`, `take_at`: the moments from which and until which pages are noted to be freed. */
static void watch_purge(struct scene *scene, void (*prepare)(void *scene),
	void (*purge)(void *scene))
{
	if (sysconf(_SC_PAGESIZE) > 16384)
		contract_skip("no page but the first has a part of the value");
	scene->bytes = VIEW;
	begin(scene);
	put_value(scene);
	scene->purge_at = NEVER;
	step_until(prepare, purge, read_at_each_moment, scene);
	expect(scene->report->got > 0);
}

CONTRACT_TEST(cache_moments, value_is_whole_or_a_miss_at_each_moment_of_a_purge)
{
	struct scene scene = {.steps = 0};

	watch_purge(&scene, warm_up, purge_as_child);
	expect(!has_value(&scene, scene.other));
	end(&scene);
}

/* -- a purger that is killed -- */

enum { DEATHS = 10 };

/* The process has the cache no more, but for what it opens from here on. */
static void close_all(struct scene *scene)
{
	ashmem_cache_close(scene->other);
	ashmem_cache_close(scene->child_has);
	ashmem_cache_close(scene->keeper);
	scene->keeper = scene->child_has = scene->other = NULL;
}

static enum stepping die_at_its_time(void *context)
{
	struct scene *scene = context;

	if (scene->steps++ == 0)
		close_all(scene);
	return scene->steps == scene->purge_at ? STEP_KILL : STEP_ON;
}

/* Between any two of the instructions with which it notes pages, frees them and says so. */
static int64_t death(const struct scene *watched, int64_t i)
{
	int64_t first = watched->purge_at - 20, last = watched->take_at + 20;

	return first + (last - first) * i / (DEATHS - 1);
}

static void die_while_somebody_only_reads(int64_t moment)
{
	struct scene scene = {.bytes = VIEW};
	struct ashmem_cache *reader;
	struct ashmem_entry *entry;

	begin(&scene);
	put_value(&scene);
	int fd = ashmem_export_read_only(ashmem_cache_area(scene.other));
	expect(fd >= 0);
	scene.purge_at = moment;
	step_until(warm_up, purge_as_child, die_at_its_time, &scene);
	expect_eq(ashmem_cache_import(fd, &reader), 0);
	expect_eq(ashmem_cache_put(reader, "key", 3, "", 0, 0), -EACCES);
	int is_there = has_value(&scene, reader);
	int r = ashmem_cache_get(reader, "key", 3, &entry);
	expect_eq(r, is_there ? 0 : -ENOENT);
	if (r == 0)
		ashmem_entry_release(entry);
	expect_eq(has_value(&scene, reader), is_there);
	expect_eq(ashmem_cache_read(reader, "no key", 6, NULL, 0), -ENOENT);
	ashmem_cache_close(reader);
	close(fd);
	end(&scene);
}

CONTRACT_TEST(cache_moments, readers_go_on_when_a_purger_was_killed_and_nobody_can_recover)
{
	struct scene scene = {.only_watched = 1};

	watch_purge(&scene, warm_up, purge_as_child);
	end(&scene); /* before the others: a purge looks at all caches of the process */
	for (int64_t i = 0; i < DEATHS; i++)
		die_while_somebody_only_reads(death(&scene, i));
}

static void expect_no_lock(struct ashmem_cache *cache, int fd)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)cache->layout.segments_at,
		.l_len = (off_t)(cache->layout.bytes - cache->layout.segments_at),
	};

	expect_eq(fcntl(fd, F_OFD_GETLK, &lock), 0);
	expect_eq(lock.l_type, F_UNLCK);
}

static void die_while_a_child_sleeps(int64_t moment)
{
	struct scene scene = {.bytes = VIEW};
	struct ashmem_entry *entry;
	char path[64];

	begin(&scene);
	put_value(&scene);
	int number = ashmem_cache_fd(scene.child_has);
	scene.purge_at = moment;
	step_until(fork_sleeper, shrink_as_child, die_at_its_time, &scene);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)scene.report->sleeper, number);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	expect(fd >= 0);
	expect_eq(ashmem_cache_import(fd, &scene.other), 0);
	expect_no_lock(scene.other, fd);
	/* Whoever waited for the dead one's lock would get -ETIMEDOUT. */
	int r = ashmem_cache_get(scene.other, "key", 3, &entry);
	expect(r == 0 || r == -ENOENT);
	if (r == 0)
		ashmem_entry_release(entry);
	has_value(&scene, scene.other);
	put(scene.other, "key", bytes_of_value, VIEW);
	expect_eq(ashmem_cache_get(scene.other, "key", 3, &entry), 0);
	ashmem_entry_release(entry);
	expect(has_value(&scene, scene.other));
	close(fd);
	end(&scene);
}

CONTRACT_TEST(cache_moments, nobody_waits_for_a_killed_purger_whose_child_sleeps)
{
	struct scene scene = {.only_watched = 1};

	watch_purge(&scene, fork_sleeper, shrink_as_child);
	end(&scene); /* before the others: a purge looks at all caches of the process */
	for (int64_t i = 0; i < DEATHS; i++)
		die_while_a_child_sleeps(death(&scene, i));
}
