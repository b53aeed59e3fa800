/* SPDX-License-Identifier: MIT */
/*
 * A call on a cache, and what others do between two of its instructions: a child is stepped through
 * the call, and the test acts, or looks, at each moment. Nothing depends on time.
 */
#include "support/areas.h"
#include "support/stepper.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cache/cache.h"
#include "cache/find.h"

/* VALUE: on two pages. VIEW: looked at in place. */
enum { BEFORE = 3300, VALUE = 1500, VIEW = 20000, FILL = 30000, NEVER = -1 };

/* What the child tells. */
struct report {
	int64_t got;
	int is_wrong;
	unsigned char value[VIEW];
};

struct scene {
	/* The keeper has the only lease, so the others hold what they write to only meanwhile. */
	struct ashmem_cache *keeper, *child_has, *other;
	struct report *report;
	size_t bytes;
	uint32_t segment; /* of the value */
	int64_t steps, purge_at, take_at, copy_begins;
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
	scene->copy_begins = NEVER;
}

static void end(struct scene *scene)
{
	munmap(scene->report, sizeof(*scene->report));
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

static int act(void *context)
{
	struct scene *scene = context;
	int64_t step = scene->steps++;

	if (scene->copy_begins == NEVER && scene->report->value[0])
		scene->copy_begins = step;
	if (scene->purge_at != step && scene->take_at != step)
		return 0;
	if (is_locked(scene->other)) {
		scene->purge_at += scene->purge_at == step;
		scene->take_at += scene->take_at == step;
		return 0;
	}
	if (scene->purge_at == step)
		expect(ashmem_shrink(UINT64_MAX) >= 0);
	if (scene->take_at == step)
		take_segment(scene);
	return 0;
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
	if (purge_at == NEVER)
		expect_eq(report->got, (int64_t)scene->bytes);
	expect_msg(report->got == -ENOENT || report->got == (int64_t)scene->bytes,
		"%lld, purged at %lld, taken at %lld", (long long)report->got, purge, take);
	int is_wrong = call == read_as_child
		? report->got > 0 && !is_value(report->value, report->got)
		: report->is_wrong;
	expect_msg(!is_wrong, "wrong bytes, purged at %lld, taken at %lld", purge, take);
	return scene->steps;
}

/* Each moment would do; so many show every order of the call's looks and what happens meanwhile. */
static void look_at_all(void (*call)(void *scene), size_t bytes, int64_t stride)
{
	struct scene scene = {.bytes = bytes};

	begin(&scene);
	int64_t moments = look(&scene, call, NEVER, NEVER);
	for (int64_t at = 0; at < moments; at += stride) {
		look(&scene, call, at, NEVER);
		look(&scene, call, at, at);
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
	for (int64_t at = copied; at < moments; at++)
		look(&scene, read_as_child, copied, at);
	end(&scene);
}
