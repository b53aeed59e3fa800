/* SPDX-License-Identifier: MIT */
/*
 * A death at every instruction of every call on a cache (ashmem/cache.h).
 *
 * As in run.c: a child is stepped through one call on a cache that the supervisor has no handle of.
 * After each step that changed a byte of the file, data or state, the file is copied to another
 * cache, as it would be if the child had been killed then, and judged there through a fresh handle.
 * Then the child is killed for real, after some steps at random and around system calls, and the
 * original is judged.
 *
 * The judge is a map that may only forget: the key of the call has its old value, or the new one,
 * or none; all others have theirs, or none where the call may drop them; nothing is torn or of
 * another key. Then every call works at once (a wait for a dead process would end with an error),
 * and a purge takes everything: no hold is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash.h"

/* RUN: of more than one segment. */
enum { LARGE = 40000, RUN = 100000, KEYS = 8, REAL_DEATHS = 6, STEPS_MOST = 2000000 };

/* A cache as a file: no handle has it. */
struct file {
	int fd;
	size_t bytes;
	unsigned char *base;
	ino_t inode;
};

/* What the call may drop: the value that is large, as all others are carried, or any. */
enum drops { NOTHING, THE_LARGE_ONE, ANYTHING };

/* What may be found: first bytes of the value of the call's key, '-' for none. */
struct cache_case {
	const char *name;
	void (*before)(void);  /* what is there, beside the keys that always are; may be NULL */
	void (*after)(void);   /* the same, once those are there; may be NULL */
	void (*prepare)(void); /* in the child, before it is stepped; may be NULL */
	void (*run)(void);
	const char *key, *outcomes;
	enum drops drops;
};

static struct ashmem_cache *cache; /* the child's, or the judge's */
static struct ashmem_entry *held;
static char large[LARGE], value[RUN + 1];

/* -- calls on the cache -- */

static int put(const char *key, const char *text)
{
	return ashmem_cache_put(cache, key, strlen(key), text, strlen(text), 0);
}

static int put_large(const char *key)
{
	return ashmem_cache_put(cache, key, strlen(key), large, LARGE, 0);
}

static void do_put(void)
{
	put("a", "NNN");
}

static void do_put_new(void)
{
	put("n", "NNN");
}

static void do_add(void)
{
	(void)!ashmem_cache_put_with(cache, "n", 1, "NNN", 3, 1000000, ASHMEM_PUT_ADD);
}

static void do_reserve_large(void)
{
	struct ashmem_entry *entry;

	/* Not written: that would be most of the instructions. */
	if (ashmem_cache_reserve(cache, "a", 1, LARGE, 0, &entry) == 0)
		ashmem_entry_release(entry);
}

/* Of any bytes. */
static void do_build_run(void)
{
	struct ashmem_entry *entry;

	if (ashmem_cache_reserve(cache, "r", 1, RUN, 0, &entry) < 0)
		return;
	(void)!ashmem_entry_commit(entry);
	ashmem_entry_release(entry);
}

static void do_remove(void)
{
	ashmem_cache_remove(cache, "a", 1);
}

static void do_read(void)
{
	(void)!ashmem_cache_read(cache, "a", 1, value, sizeof(value));
}

static void do_get(void)
{
	if (ashmem_cache_get(cache, "large", 5, &held) == 0)
		ashmem_entry_release(held);
}

static void do_get_only(void)
{
	(void)!ashmem_cache_get(cache, "large", 5, &held);
}

static void do_build(void)
{
	struct ashmem_entry *entry;

	if (ashmem_cache_reserve(cache, "a", 1, 3, 0, &entry) < 0)
		return;
	memcpy(ashmem_entry_room(entry, NULL), "NNN", 3);
	(void)!ashmem_entry_commit(entry);
	ashmem_entry_release(entry);
}

static void do_claim(void)
{
	struct ashmem_entry *entry;

	if (ashmem_cache_claim(cache, "n", 1, 0, &entry) != ASHMEM_CLAIM_BUILD)
		return;
	put("n", "NNN");
	ashmem_entry_release(entry);
}

static void do_touch(void)
{
	ashmem_cache_touch(cache, "a", 1, 1000000);
}

static void do_clear(void)
{
	ashmem_cache_clear(cache);
}

static void do_shrink(void)
{
	(void)!ashmem_shrink(20);
}

static void do_import(void)
{
	struct ashmem_cache *another;

	if (ashmem_cache_import(ashmem_cache_fd(cache), &another) == 0)
		ashmem_cache_close(another);
}

static void do_walk(void)
{
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};
	uint64_t position = 0;
	size_t bytes;

	(void)!ashmem_cache_next(cache, &position, value, sizeof(value), &bytes, NULL);
	(void)!ashmem_cache_get_ttl(cache, "a", 1);
	ashmem_cache_get_stats(cache, &stats);
}

static void do_close(void)
{
	ashmem_cache_close(cache);
}

static void have_segment(void)
{
	put("warm", "www");
}

static void have_full_segment(void)
{
	put_large("large");
}

static void fill_segments(int from, int to)
{
	char key[16];

	for (int i = from; i < to; i++) {
		snprintf(key, sizeof(key), "fill %d", i);
		put_large(key);
	}
}

/* Every segment has entries. */
static void fill_cache(void)
{
	fill_segments(0, 40);
}

/*
 * The keys that always are there were read, but for the large one, and lie in the oldest segment;
 * one segment has no entries. So they are carried when the next is taken, and none is lost.
 */
static void read_and_fill(void)
{
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};
	uint64_t position = 0;
	char key[16];
	size_t bytes;

	while (ashmem_cache_next(cache, &position, key, sizeof(key), &bytes, NULL) > 0)
		if (bytes != 5)
			(void)!ashmem_cache_read(cache, key, bytes, value, sizeof(value));
	for (int i = 0; ashmem_cache_get_stats(cache, &stats) == 0 &&
		stats.bytes_unused > stats.segment_bytes;
		i++)
		fill_segments(i, i + 1);
}

static void fill_some(void)
{
	fill_segments(0, 3);
}

static void purge_oldest(void)
{
	if (ashmem_shrink(1) <= 0)
		die("nothing to purge");
}

static const struct cache_case cases[] = {
	{"cache: put", NULL, NULL, have_segment, do_put, "a", "oN", NOTHING},
	{"cache: first put of a process", NULL, NULL, NULL, do_put, "a", "oN", NOTHING},
	{"cache: put of a new key", NULL, NULL, have_segment, do_put_new, "n", "-N", NOTHING},
	{"cache: add", NULL, NULL, have_segment, do_add, "n", "-N", NOTHING},
	{"cache: put that takes a purged segment", fill_some, purge_oldest, NULL, do_put, "a", "oN",
		NOTHING},
	{"cache: put that takes another segment", NULL, NULL, have_full_segment, do_reserve_large,
		"a", "o", NOTHING},
	{"cache: put that carries and evicts", NULL, read_and_fill, NULL, do_reserve_large, "a",
		"o", THE_LARGE_ONE},
	{"cache: value of several segments", NULL, NULL, NULL, do_build_run, "r", "-R", NOTHING},
	{"cache: value of several segments that evicts", fill_cache, NULL, NULL, do_build_run, "r",
		"-R", ANYTHING},
	{"cache: remove", NULL, NULL, NULL, do_remove, "a", "o-", NOTHING},
	{"cache: read", NULL, NULL, NULL, do_read, "a", "o", NOTHING},
	{"cache: get and release", NULL, NULL, NULL, do_get, "a", "o", NOTHING},
	{"cache: get", NULL, NULL, NULL, do_get_only, "a", "o", NOTHING},
	{"cache: reserve, commit, release", NULL, NULL, have_segment, do_build, "a", "oN", NOTHING},
	{"cache: claim, put, release", NULL, NULL, have_segment, do_claim, "n", "-N", NOTHING},
	{"cache: touch", NULL, NULL, NULL, do_touch, "a", "o", NOTHING},
	{"cache: clear", NULL, NULL, NULL, do_clear, "a", "o-", ANYTHING},
	{"cache: shrink", NULL, NULL, NULL, do_shrink, "a", "o-", ANYTHING},
	{"cache: import and close", NULL, NULL, NULL, do_import, "a", "o", NOTHING},
	{"cache: next and statistics", NULL, NULL, NULL, do_walk, "a", "o", NOTHING},
	{"cache: close", NULL, NULL, have_segment, do_close, "a", "o", NOTHING},
};

/* -- files -- */

static void file_make(struct file *file)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = 1 << 20,
		.value_most_bytes = RUN,
	};
	struct stat status;

	if (ashmem_cache_create("crash", &options, &cache) < 0)
		die("ashmem_cache_create");
	file->fd = fcntl(ashmem_cache_fd(cache), F_DUPFD_CLOEXEC, 0);
	ashmem_cache_close(cache);
	if (file->fd < 0 || fstat(file->fd, &status) < 0)
		die("the cache's descriptor");
	file->bytes = (size_t)status.st_size;
	file->inode = status.st_ino;
	file->base = mmap(NULL, file->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
	if (file->base == MAP_FAILED)
		die("mmap");
}

static void file_drop(struct file *file)
{
	munmap(file->base, file->bytes);
	close(file->fd);
}

/* Each area keeps its own id, at the end. */
static size_t copied_bytes(const struct file *file)
{
	return file->bytes - sizeof(struct control) + offsetof(struct control, id);
}

static void file_put(struct file *file, const unsigned char *image)
{
	size_t page = 4096, bytes = copied_bytes(file);

	for (size_t at = 0; at < bytes; at += page) {
		size_t count = bytes - at < page ? bytes - at : page;
		if (memcmp(file->base + at, image + at, count) != 0)
			memcpy(file->base + at, image + at, count);
	}
}

/* Not through the mapping: a look at a hole would give it memory. 1 if anything has changed. */
static int file_look(const struct file *file, unsigned char *image, unsigned char *scratch)
{
	size_t bytes = copied_bytes(file);

	if (pread(file->fd, scratch, bytes, 0) != (ssize_t)bytes)
		die("pread");
	if (memcmp(image, scratch, bytes) == 0)
		return 0;
	memcpy(image, scratch, bytes);
	return 1;
}

/* -- the judge -- */

/* The first byte of what the key has, '-' for none; '!' and a complaint: nothing that was put. */
static int value_of(const char *key)
{
	int64_t got = ashmem_cache_read(cache, key, strlen(key), value, sizeof(value));

	if (got == -ENOENT)
		return '-';
	if (got == RUN)
		return 'R';
	if (got != 3 && got != LARGE)
		return complain("%s: a read answers %" PRId64, key, got), '!';
	for (int64_t i = 1; i < got; i++)
		if (value[i] != value[0])
			return complain("%s: torn at byte %" PRId64, key, i), '!';
	return value[0];
}

static int expect(const char *key, const char *outcomes, int may_drop)
{
	int found = value_of(key);

	/* No value has zeroes, as a hole has: strchr() would find its own end. */
	if ((found && strchr(outcomes, found)) || (may_drop && found == '-'))
		return 0;
	return complain("%s has %#x, not one of %s", key, (unsigned)found, outcomes);
}

static int expect_all(const struct cache_case *c)
{
	char key[8] = "other 0";
	int r = expect(c->key, c->outcomes, c->drops == ANYTHING);
	int before = value_of(c->key);

	for (int i = 0; i < KEYS && r == 0; i++) {
		key[6] = (char)('0' + i);
		r = expect(key, "x", c->drops == ANYTHING);
	}
	if (r == 0)
		r = expect("large", "l", c->drops != NOTHING);
	if (r == 0 && value_of(c->key) != before)
		r = complain("%s changes", c->key);
	return r;
}

/* All that was there can go. */
static int expect_no_holds(void)
{
	char key[8] = "other 0";
	int r;

	if (ashmem_shrink(UINT64_MAX) < 0)
		return complain("a shrink fails");
	r = expect("a", "-", 0);
	if (r == 0)
		r = expect("large", "-", 0);
	for (int i = 0; i < KEYS && r == 0; i++) {
		key[6] = (char)('0' + i);
		r = expect(key, "-", 0);
	}
	return r;
}

static int expect_use(void)
{
	struct ashmem_entry *entry = NULL;
	int r = ashmem_cache_claim(cache, "n", 1, 0, &entry);

	if (r < 0)
		return complain("a claim answers %d", r);
	ashmem_entry_release(entry);
	r = put("a", "ppp");
	if (r < 0)
		return complain("a put answers %d", r);
	if (expect("a", "p", 0) < 0)
		return -1;
	r = ashmem_cache_remove(cache, "a", 1);
	if (r < 0)
		return complain("a remove answers %d", r);
	r = put_large("large");
	if (r == 0)
		r = ashmem_cache_get(cache, "large", 5, &entry);
	if (r < 0)
		return complain("a get answers %d", r);
	ashmem_entry_release(entry);
	return expect("a", "-", 0);
}

static int judge_cache(struct file *file, const struct cache_case *c)
{
	int r = ashmem_cache_import(file->fd, &cache);

	if (r < 0)
		return complain("an import answers %d", r);
	r = expect_all(c);
	if (r == 0)
		r = expect_no_holds();
	if (r == 0)
		r = expect_use();
	ashmem_cache_close(cache);
	return r;
}

/* -- one case -- */

struct cache_run {
	const struct cache_case *c;
	struct file original, copy;
	unsigned char *before, *seen, *scratch;
	struct victim victim;
	uint64_t states;
};

static void play_cache(void *argument)
{
	struct cache_run *run = argument;

	if (ashmem_cache_import(run->original.fd, &cache) < 0)
		_exit(1);
	if (run->c->prepare)
		run->c->prepare();
	stop_before();
	run->c->run();
	stop_behind();
}

static void start(struct cache_run *run)
{
	stage->finished = 0;
	victim_take(&run->victim, spawn(play_cache, run));
}

/* What the kernel does at the death of who owns a lock. */
static void mark_lock(struct cache_run *run, int64_t place)
{
	uint32_t *word;

	if (place < 0 || (size_t)place + sizeof(*word) > run->copy.bytes)
		return;
	word = (uint32_t *)(void *)(run->copy.base + place);
	if ((*word & LOCK_TID) == (uint32_t)run->victim.pid)
		*word = (*word & LOCK_WAITERS) | LOCK_DEAD;
}

static int judge_copy(struct cache_run *run)
{
	run->states++;
	file_put(&run->copy, run->seen);
	mark_lock(run, victim_pending_offset(&run->victim, run->original.inode));
	return judge_cache(&run->copy, run->c);
}

static int step_through(struct cache_run *run, uint64_t *calls, int *call_count)
{
	int64_t last_place = -1, place;
	int r;

	start(run);
	file_look(&run->original, run->seen, run->scratch);
	r = judge_copy(run);
	while (r == 0 && victim_step(&run->victim)) {
		snprintf(here, sizeof(here), "%s: as of step %" PRIu64, run->c->name,
			run->victim.steps);
		if (run->victim.was_call && *call_count < REAL_DEATHS)
			calls[(*call_count)++] = run->victim.steps;
		place = victim_pending_offset(&run->victim, run->original.inode);
		if (file_look(&run->original, run->seen, run->scratch) || place != last_place)
			r = judge_copy(run);
		last_place = place;
		if (run->victim.steps > STEPS_MOST)
			r = complain("does not end");
	}
	if (r == 0 && !run->victim.finished)
		r = -1;
	return r;
}

static int has_locks(const struct file *file)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[40];

	/* A description does not see its own locks. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	int own = open(path, O_RDWR | O_CLOEXEC);
	if (own < 0 || fcntl(own, F_OFD_GETLK, &lock) < 0)
		die("a look for locks");
	close(own);
	return lock.l_type != F_UNLCK;
}

static int kill_at(struct cache_run *run, uint64_t step)
{
	file_put(&run->original, run->before);
	start(run);
	while (run->victim.steps < step && victim_step(&run->victim))
		;
	snprintf(here, sizeof(here), "%s: killed behind step %" PRIu64, run->c->name,
		run->victim.steps);
	victim_kill(&run->victim);
	totals.killed++;
	if (has_locks(&run->original))
		return complain("a lock on the file is left");
	return judge_cache(&run->original, run->c);
}

static void build_cache(struct cache_run *run)
{
	char key[8] = "other 0";

	if (ashmem_cache_import(run->original.fd, &cache) < 0)
		die("import while building");
	if (run->c->before)
		run->c->before();
	put("a", "ooo");
	put_large("large");
	for (int i = 0; i < KEYS; i++) {
		key[6] = (char)('0' + i);
		put(key, "xxx");
	}
	if (run->c->after)
		run->c->after();
	ashmem_cache_close(cache);
}

static void run_one(const struct cache_case *c)
{
	struct cache_run run = {.c = c};
	uint64_t calls[REAL_DEATHS], steps;
	int count = 0, r, deaths = deep ? 60 : REAL_DEATHS;

	snprintf(here, sizeof(here), "%s: setting up", c->name);
	alarm(deep ? 3600 : 600);
	file_make(&run.original);
	file_make(&run.copy);
	run.before = calloc(3, run.original.bytes);
	if (!run.before)
		die("calloc");
	run.seen = run.before + run.original.bytes;
	run.scratch = run.seen + run.original.bytes;
	build_cache(&run);
	file_look(&run.original, run.before, run.scratch);
	r = step_through(&run, calls, &count);
	steps = run.victim.steps;
	totals.points += steps;
	totals.states += run.states;
	totals.vdso += run.victim.skipped;
	victim_kill(&run.victim);
	for (int i = 0; i < deaths && r == 0; i++)
		r = kill_at(&run, random_below((uint32_t)steps + 1));
	for (int i = 0; i < count && r == 0; i++) {
		r = kill_at(&run, calls[i] - 1);
		if (r == 0)
			r = kill_at(&run, calls[i]);
	}
	printf("%-44s %7" PRIu64 " steps %5" PRIu64 " states%s\n", c->name, steps, run.states,
		r < 0 ? "  FAILED" : "");
	fflush(stdout);
	case_done(c->name, r < 0);
	free(run.before);
	file_drop(&run.original);
	file_drop(&run.copy);
}

const char *cache_case_name(unsigned number)
{
	return number < sizeof(cases) / sizeof(cases[0]) ? cases[number].name : NULL;
}

void run_cache_case(unsigned number)
{
	memset(large, 'l', sizeof(large));
	run_one(&cases[number]);
}
