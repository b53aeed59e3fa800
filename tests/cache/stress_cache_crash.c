/* SPDX-License-Identifier: MIT */
/*
 * A process killed at every instruction of a call on a cache, and what the others find then: the
 * key of the call has its old value, or the new one, or none where it may be dropped; all other
 * keys have theirs; and every call works at once.
 *
 * A child stops before the call, makes so many instructions of it under ptrace, and is killed; the
 * next one makes some more. ASHMEM_CRASH_DEATHS (6) says how many die in each call; with a large
 * number it is one at every instruction. Exits with 77 where a process cannot be stepped.
 */
#define _GNU_SOURCE 1
#include <ashmem/ashmem.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/tools.h"

/* The second one is larger than a segment. */
enum { LARGE = 40000, LARGER = 150000, OTHERS = 8 };

static struct ashmem_cache *cache;
static char large[LARGER], buffer[LARGER];
static const char *doing;
static unsigned long at;

#define EXPECT(condition) ((condition) ? (void)0 : failed(__LINE__, #condition))

static void failed(int line, const char *what)
{
	fprintf(stderr, "%s, killed after %lu instructions: line %d: %s\n", doing, at, line, what);
	exit(1);
}

static int put(const char *key, const char *value)
{
	return ashmem_cache_put(cache, key, strlen(key), value, strlen(value), 0);
}

/* What the key has: the value's first byte, or 0 for none. */
static int value_of(const char *key)
{
	int64_t got = ashmem_cache_read(cache, key, strlen(key), buffer, sizeof(buffer));

	EXPECT(got == -ENOENT || got == 3 || got == LARGE || got == LARGER);
	if (got < 0)
		return 0;
	for (int64_t i = 1; i < got; i++)
		EXPECT(buffer[i] == buffer[0]);
	return buffer[0];
}

/* -- the calls; each with its child's preparation -- */

static void nothing(void)
{
}

static void warm(void)
{
	EXPECT(put("warm", "www") == 0);
}

static void op_put(void)
{
	put("a", "NNN");
}

static void op_put_new(void)
{
	put("n", "NNN");
}

/* Its segment has no room for another one of these. */
static void fill_segment(void)
{
	EXPECT(ashmem_cache_put(cache, "large", 5, large, LARGE, 0) == 0);
}

/* Without the copy, which would be most of the instructions. */
static void op_take(void)
{
	struct ashmem_entry *entry;

	if (ashmem_cache_reserve(cache, "a", 1, LARGE, 0, &entry) == 0)
		ashmem_entry_release(entry);
}

/* A run of segments, where others give way; without the copy too. */
static void op_take_run(void)
{
	struct ashmem_entry *entry;

	if (ashmem_cache_reserve(cache, "a", 1, LARGER, 0, &entry) < 0)
		return;
	/* What its room had before is no value of ours. */
	ashmem_entry_release(entry);
}

/* What was built is seen whole or not at all. */
static struct ashmem_entry *room;

static void build_run(void)
{
	EXPECT(ashmem_cache_reserve(cache, "a", 1, LARGER, 0, &room) == 0);
	memset(ashmem_entry_room(room, NULL), 'N', LARGER);
}

static void op_commit_run(void)
{
	(void)!ashmem_entry_commit(room);
	ashmem_entry_release(room);
}

static void put_run(void)
{
	memset(large, 'l', LARGER);
	EXPECT(ashmem_cache_put(cache, "large", 5, large, LARGER, 0) == 0);
}

static void op_remove(void)
{
	ashmem_cache_remove(cache, "a", 1);
}

static void op_read(void)
{
	(void)!ashmem_cache_read(cache, "a", 1, buffer, sizeof(buffer));
}

static void op_get(void)
{
	struct ashmem_entry *entry;

	if (ashmem_cache_get(cache, "large", 5, &entry) == 0)
		ashmem_entry_release(entry);
}

static void op_build(void)
{
	struct ashmem_entry *entry;

	if (ashmem_cache_reserve(cache, "a", 1, 3, 0, &entry) < 0)
		return;
	memcpy(ashmem_entry_room(entry, NULL), "NNN", 3);
	(void)!ashmem_entry_commit(entry);
	ashmem_entry_release(entry);
}

static void op_claim(void)
{
	struct ashmem_entry *entry;

	if (ashmem_cache_claim(cache, "n", 1, 0, &entry) != ASHMEM_CLAIM_BUILD)
		return;
	put("n", "NNN");
	ashmem_entry_release(entry);
}

static void op_touch(void)
{
	ashmem_cache_touch(cache, "a", 1, 1000000);
}

static void op_clear(void)
{
	ashmem_cache_clear(cache);
}

static void op_purge(void)
{
	(void)!ashmem_shrink(UINT64_MAX);
}

static void op_close(void)
{
	ashmem_cache_close(cache);
}

enum { MAY_DROP = 1, MAY_DROP_ALL = 2, OF_LARGE = 4 };

static const struct op {
	const char *name;
	void (*prepare)(void);
	void (*run)(void);
	const char
		*outcomes; /* of "a", or of "n" if there is one of that: first bytes, - for none */
	int flags;
} ops[] = {
	{"put", warm, op_put, "oN", 0},
	{"first put of a child", nothing, op_put, "oN", MAY_DROP_ALL},
	{"put of a new key", warm, op_put_new, "o", 0},
	{"reserve in another segment and release", fill_segment, op_take, "o", MAY_DROP_ALL},
	{"reserve a run of segments and release", nothing, op_take_run, "o", MAY_DROP_ALL},
	{"commit and release a run", build_run, op_commit_run, "oN", MAY_DROP_ALL},
	{"remove", nothing, op_remove, "o-", 0},
	{"read", nothing, op_read, "o", 0},
	{"get and release", nothing, op_get, "o", 0},
	{"get and release of a run", put_run, op_get, "o", MAY_DROP_ALL},
	{"reserve, commit and release", warm, op_build, "oN", 0},
	{"claim, put and release", warm, op_claim, "o", 0},
	{"touch", nothing, op_touch, "o", 0},
	{"clear", nothing, op_clear, "o-", MAY_DROP_ALL},
	{"purge", nothing, op_purge, "o-", MAY_DROP_ALL},
	{"close", warm, op_close, "o", 0},
};

/* -- one death -- */

/* What is there before each. */
static void set_up(void)
{
	char key[8] = "other 0";

	EXPECT(put("a", "ooo") == 0);
	EXPECT(ashmem_cache_remove(cache, "n", 1) == 0 || value_of("n") == 0);
	for (int i = 0; i < OTHERS; i++) {
		key[6] = (char)('0' + i);
		EXPECT(put(key, "xxx") == 0);
	}
	memset(large, 'l', LARGE);
	EXPECT(ashmem_cache_put(cache, "large", 5, large, LARGE, 0) == 0);
}

/* A child that has made so many instructions of the call: 1, 0 if it was done before, -1. */
static int die_after(const struct op *op, unsigned long instructions, unsigned long *made)
{
	int status, r = 1;
	pid_t child = fork();

	if (child == 0) {
		op->prepare();
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			_exit(77);
		raise(SIGSTOP);
		op->run();
		raise(SIGSTOP);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return -1;
	for (unsigned long i = 0; i < instructions && r == 1; i++) {
		if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) < 0 ||
			waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
			r = -1;
		else if (WSTOPSIG(status) != SIGTRAP)
			r = WSTOPSIG(status) == SIGSTOP ? 0 : -1;
		*made = i;
	}
	kill(child, SIGKILL);
	while (waitpid(child, &status, 0) == child && !WIFSIGNALED(status))
		;
	return r;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void check_claim(void)
{
	struct ashmem_entry *entry;
	int r = ashmem_cache_claim(cache, "n", 1, 0, &entry);

	EXPECT(r == ASHMEM_CLAIM_FOUND || r == ASHMEM_CLAIM_BUILD);
	ashmem_entry_release(entry);
}

static void judge(const struct op *op)
{
	char key[8] = "other 0";
	int value = value_of("a");

	EXPECT(strchr(op->outcomes, value ? value : '-') ||
		(value == 0 && (op->flags & MAY_DROP_ALL)));
	EXPECT(value_of("a") == value);
	value = value_of("n");
	EXPECT(value == 0 || value == 'N');
	value = value_of("large");
	EXPECT(value == 'l' || (value == 0 && (op->flags & MAY_DROP_ALL)));
	for (int i = 0; i < OTHERS; i++) {
		key[6] = (char)('0' + i);
		value = value_of(key);
		EXPECT(value == 'x' || (value == 0 && (op->flags & MAY_DROP_ALL)));
	}
	check_claim();
	EXPECT(put("a", "ppp") == 0 && value_of("a") == 'p');
	EXPECT(ashmem_cache_remove(cache, "a", 1) == 0 && value_of("a") == 0);
	EXPECT(ashmem_shrink(1) >= 0);
	EXPECT(value_of("a") == 0);
}

/* Die everywhere in one call, or at so many places. */
static void check(const struct op *op, unsigned long deaths_wanted)
{
	unsigned long total = 0, made = 0, deaths = 0;
	double longest = 0;

	doing = op->name;
	set_up();
	EXPECT(die_after(op, ULONG_MAX, &total) == 0);
	judge(op);
	unsigned long stride = total / deaths_wanted + 1;
	for (at = total % stride; at < total; at += stride, deaths++) {
		set_up();
		EXPECT(die_after(op, at, &made) >= 0);
		double begun = seconds();
		judge(op);
		double took = seconds() - begun;
		longest = took > longest ? took : longest;
	}
	printf("%s: %lu deaths in %lu instructions, longest look afterwards %.3f s\n", doing,
		deaths, total, longest);
	fflush(stdout);
	/* Nobody waits out a bound for a dead process. */
	EXPECT(longest < 4.5);
}

int main(void)
{
	const char *wish = getenv("ASHMEM_CRASH_DEATHS");
	unsigned long deaths = wish ? strtoul(wish, NULL, 0) : 6, made;
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options), .most_bytes = 1 << 20, .value_most_bytes = LARGER};
	int r;

	if (UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER) {
		puts("skipped: nearly every step is the sanitizer's own");
		return 77;
	}
	r = ashmem_cache_create("crash", &options, &cache);
	if (r == -ENOTSUP || r == -ENODEV) {
		puts("skipped: no caches here");
		return 77;
	}
	EXPECT(r == 0);
	if (die_after(&ops[0], 1, &made) != 1) {
		puts("skipped: no process can be stepped here");
		return 77;
	}
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		check(&ops[i], deaths ? deaths : 1);
	ashmem_cache_close(cache);
	return 0;
}
