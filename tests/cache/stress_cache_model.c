/* SPDX-License-Identifier: MIT */
/*
 * The cache against its model, a map that may forget and do nothing else. Several processes make
 * random calls of cache.h on one small cache; they are killed and replaced at random, fork while
 * they look at values, and purge all the time; one has a read-only descriptor.
 *
 * Each key belongs to one worker, who alone changes it; everybody reads all. Before a change the
 * owner writes its number as `begun`, after it as `done`, in memory of the test's own that outlives
 * it. A value carries key, number, length and a checksum, and its bytes follow from these. So a
 * read that began when `done` was D and ended when `begun` was B may miss, or find a whole value of
 * number D to B. The last changes of a key have ticks of one clock, by which values from before a
 * clear are known, and a time after which they must have expired.
 *
 * ASHMEM_STRESS_SECONDS, or 5; ASHMEM_TEST_SEED repeats the choices, not the races.
 */
#define _GNU_SOURCE 1
#include "support/stress.h"

#include <ashmem/cache.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	WORKERS = 4, /* the last one only reads */
	KEYS = 600,
	HOT = 20, /* the first ones are used more than all others */
	CACHE_BYTES = 4 << 20,
	VALUE_MOST = CACHE_BYTES / 4, /* of several segments */
	CHANGES = 8,                  /* of each key, the last ones */
	VIEWS = 4,
	CLAIMS = 16,
	SLACK_MS = 500,
};

enum count {
	HITS,
	MISSES,
	VIEWED,
	PUTS,
	ADDS,
	REPLACES,
	COMMITS,
	ABANDONED,
	REMOVES,
	CLEARS,
	TOUCHES,
	EXPIRIES,
	WALKED,
	BUILDS,
	BUSY,
	FORKS,
	FREED,
	REFUSED,
	COUNTS,
};

static const char *const count_names[COUNTS] = {"hits", "misses", "views", "puts", "adds",
	"replaces", "commits", "abandoned", "removes", "clears", "touches", "expiries", "walked",
	"builds", "busy", "forks", "pages freed", "refused"};

struct change {
	uint64_t number;
	uint64_t tick;    /* when it was done; 0: not yet */
	uint64_t over_ms; /* it must have expired by then; 0: never */
};

struct key_state {
	uint64_t begun, done;
	uint32_t is_removed; /* the last change that was done took the value away */
	uint32_t is_sure;    /* no change was cut off since */
	struct change change[CHANGES];
};

static struct shared {
	struct key_state key[KEYS];
	uint64_t tick;
	uint64_t cleared;        /* the tick at which the last clear that is done had begun */
	int32_t builder[CLAIMS]; /* processes */
	int32_t doomed;          /* the process that is being killed */
	uint64_t counts[COUNTS];
} * shared;

struct view {
	struct ashmem_entry *entry;
	uint32_t key;
	uint64_t done, bytes;
};

static struct ashmem_cache *cache;
static struct random_source chance;
static int self; /* the worker's number */
static struct view views[VIEWS];
static unsigned char buffer[VALUE_MOST];
static const char *doing; /* for messages */

/* -- small things -- */

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static void count(enum count what, uint64_t by)
{
	__atomic_fetch_add(&shared->counts[what], by, __ATOMIC_RELAXED);
}

static int one_in(uint64_t n)
{
	return random_below(&chance, n) == 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t next_tick(void)
{
	return __atomic_add_fetch(&shared->tick, 1, __ATOMIC_SEQ_CST);
}

/* -- keys and values -- */

/* Of 5 to 1,024 bytes, told apart by the first four; some keys share long beginnings. */
static size_t make_key(uint32_t number, unsigned char key[ASHMEM_CACHE_KEY_MOST])
{
	size_t bytes = number % 50 == 0 ? ASHMEM_CACHE_KEY_MOST : 5 + number % 40;

	memset(key, 'k', bytes);
	memcpy(key, &number, sizeof(number));
	return bytes;
}

static uint32_t read_key(const unsigned char *key, size_t bytes)
{
	unsigned char want[ASHMEM_CACHE_KEY_MOST];
	uint32_t number;

	stress_expect(bytes > sizeof(number));
	memcpy(&number, key, sizeof(number));
	stress_expect(number < KEYS && make_key(number, want) == bytes);
	stress_expect(memcmp(key, want, bytes) == 0);
	return number;
}

/* Values without a byte tell nothing but that they are there. */
static int is_empty(uint32_t key)
{
	return key % 16 == 15;
}

struct value_head {
	uint64_t number;
	uint32_t key, bytes;
	uint64_t sum;
};

static uint64_t fill(unsigned char *value, uint32_t key, uint64_t number, size_t bytes, int check)
{
	struct random_source random = random_from(number * KEYS + key + 1);
	uint64_t sum = bytes;

	for (size_t at = sizeof(struct value_head); at < bytes; at += 8) {
		uint64_t word = random_next(&random);
		size_t part = bytes - at < 8 ? bytes - at : 8;
		if (!check)
			memcpy(value + at, &word, part);
		else if (memcmp(value + at, &word, part) != 0)
			stress_fail("key %u, number %llu of %zu bytes: wrong at byte %zu", key,
				(unsigned long long)number, bytes, at);
		sum = sum * 31 + word;
	}
	return sum;
}

static void make_value(unsigned char *value, uint32_t key, uint64_t number, size_t bytes)
{
	struct value_head head = {.number = number, .key = key, .bytes = (uint32_t)bytes};

	head.sum = fill(value, key, number, bytes, 0);
	memcpy(value, &head, sizeof(head));
}

static size_t choose_bytes(uint32_t key)
{
	if (is_empty(key))
		return 0;
	/* What is used much is large, so that purges and reuse meet copies and views under way. */
	uint64_t most = one_in(40) ? VALUE_MOST : one_in(4) || key < HOT ? 40000 : 700;
	return sizeof(struct value_head) + random_below(&chance, most - sizeof(struct value_head));
}

/* -- what a read may find -- */

struct moment {
	uint64_t done, cleared, begun_ms;
	uint32_t is_removed, is_sure;
};

static struct moment moment_before(uint32_t key)
{
	const struct key_state *state = &shared->key[key];
	struct moment moment = {.begun_ms = now_ms()};

	doing = "read";
	moment.cleared = load(&shared->cleared);
	moment.done = load(&state->done);
	return moment;
}

static const struct change *change_of(uint32_t key, uint64_t number)
{
	const struct change *change = &shared->key[key].change[number % CHANGES];

	return load(&change->number) == number ? change : NULL;
}

/* The change may be overwritten while we look: then it is a later one's, and not judged. */
static void judge_age(uint32_t key, uint64_t number, const struct moment *moment)
{
	const struct change *change = change_of(key, number);

	if (!change)
		return;
	uint64_t tick = load(&change->tick), over_ms = load(&change->over_ms);
	if (change_of(key, number) != change)
		return;
	if (tick && tick < moment->cleared)
		stress_fail("key %u, number %llu outlived a clear", key,
			(unsigned long long)number);
	if (over_ms && moment->begun_ms > over_ms + SLACK_MS)
		stress_fail("key %u, number %llu should have expired", key,
			(unsigned long long)number);
}

static void judge(uint32_t key, const unsigned char *value, uint64_t bytes,
	const struct moment *moment)
{
	struct value_head head;

	if (is_empty(key)) {
		stress_expect(bytes == 0);
		return;
	}
	stress_expect(bytes >= sizeof(head));
	memcpy(&head, value, sizeof(head));
	if (head.key != key || head.bytes != bytes)
		stress_fail("%s of key %u: found %llu bytes, which are those of key %u, %u bytes",
			doing, key, (unsigned long long)bytes, head.key, head.bytes);
	stress_expect(fill((unsigned char *)(uintptr_t)value, key, head.number, bytes, 1) ==
		head.sum);
	uint64_t begun = load(&shared->key[key].begun);
	if (head.number < moment->done || head.number > begun)
		stress_fail("key %u: found number %llu, not %llu to %llu", key,
			(unsigned long long)head.number, (unsigned long long)moment->done,
			(unsigned long long)begun);
	judge_age(key, head.number, moment);
}

static uint32_t any_key(void)
{
	/* a few are used much */
	return (uint32_t)random_below(&chance, one_in(2) ? HOT : KEYS);
}

static void do_read(void)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	uint32_t number = any_key();
	size_t key_bytes = make_key(number, key);
	struct moment moment = moment_before(number);
	int64_t r = ashmem_cache_read(cache, key, key_bytes, buffer, sizeof(buffer));

	count(r < 0 ? MISSES : HITS, 1);
	if (r >= 0)
		judge(number, buffer, (uint64_t)r, &moment);
	else
		stress_expect(r == -ENOENT);
}

/* -- values in place -- */

static void check_view(const struct view *view)
{
	struct moment moment = {.done = view->done};
	uint64_t bytes;
	const void *value = ashmem_entry_value(view->entry, &bytes);

	doing = "view";
	stress_expect(value != NULL && bytes == view->bytes);
	judge(view->key, value, bytes, &moment);
}

static void drop_view(struct view *view)
{
	if (!view->entry)
		return;
	check_view(view);
	ashmem_entry_release(view->entry);
	view->entry = NULL;
}

static void keep_view(struct ashmem_entry *entry, uint32_t key, const struct moment *moment)
{
	struct view *view = &views[random_below(&chance, VIEWS)];
	uint64_t bytes;
	const void *value = ashmem_entry_value(entry, &bytes);

	stress_expect(value != NULL);
	doing = "get";
	judge(key, value, bytes, moment);
	drop_view(view);
	*view = (struct view){.entry = entry, .key = key, .done = moment->done, .bytes = bytes};
	count(VIEWED, 1);
}

/* What others are in the way of: allowed, and counted. */
static int is_refused(int r)
{
	if (r != -EAGAIN && r != -ETIMEDOUT)
		return 0;
	count(REFUSED, 1);
	return 1;
}

static void do_get(void)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	struct ashmem_entry *entry;
	uint32_t number = any_key();
	size_t key_bytes = make_key(number, key);
	struct moment moment = moment_before(number);
	int r = ashmem_cache_get(cache, key, key_bytes, &entry);

	if (r == 0)
		keep_view(entry, number, &moment);
	else
		stress_expect(r == -ENOENT || is_refused(r));
}

/* A child looks at what its parent held, after the parent may have let go. */
static void do_fork(void)
{
	pid_t child = fork();

	stress_expect(child >= 0);
	if (child == 0) {
		usleep((useconds_t)random_below(&chance, 3000));
		for (int i = 0; i < VIEWS; i++)
			drop_view(&views[i]);
		do_read();
		_exit(0);
	}
	for (int i = 0; i < VIEWS; i++)
		drop_view(&views[i]);
	int status;
	stress_expect(waitpid(child, &status, 0) == child && status == 0);
	count(FORKS, 1);
}

/* -- changes -- */

static uint32_t own_key(void)
{
	uint32_t key;

	do
		key = any_key();
	while (key % (WORKERS - 1) != (uint32_t)self);
	return key;
}

static uint64_t change_begin(uint32_t key)
{
	struct key_state *state = &shared->key[key];
	uint64_t number = load(&state->begun) + 1;
	struct change *change = &state->change[number % CHANGES];

	store(&change->number, 0);
	store(&change->tick, 0);
	store(&change->over_ms, 0);
	store(&change->number, number);
	__atomic_store_n(&state->is_sure, 0, __ATOMIC_SEQ_CST);
	store(&state->begun, number);
	return number;
}

/* It is done: from now on nothing older may be found. */
static void change_done(uint32_t key, uint64_t number, int is_removed, uint64_t ttl_ms)
{
	struct key_state *state = &shared->key[key];
	struct change *change = &state->change[number % CHANGES];

	store(&change->over_ms, ttl_ms ? now_ms() + ttl_ms : 0);
	store(&change->tick, next_tick());
	state->is_removed = (uint32_t)is_removed;
	store(&state->done, number);
	__atomic_store_n(&state->is_sure, 1, __ATOMIC_SEQ_CST);
}

/* Nothing was changed: the number is not used, and what was known before is known. */
static void change_undone(uint32_t key, uint32_t was_sure)
{
	__atomic_store_n(&shared->key[key].is_sure, was_sure, __ATOMIC_SEQ_CST);
}

static uint64_t choose_ttl(void)
{
	return one_in(4) ? 1 + random_below(&chance, 300) : 0;
}

static void do_put(void)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	uint32_t number = own_key();
	const struct key_state *state = &shared->key[number];
	size_t key_bytes = make_key(number, key), bytes = choose_bytes(number);
	uint32_t flags = (uint32_t)(one_in(2) ? 0 : random_below(&chance, 3));
	uint32_t was_sure = state->is_sure, was_removed = state->is_removed;
	uint64_t ttl_ms = choose_ttl(), change = change_begin(number);

	if (bytes)
		make_value(buffer, number, change, bytes);
	int r = ashmem_cache_put_with(cache, key, key_bytes, buffer, bytes, ttl_ms, flags);
	if (r == 0) {
		if (flags == ASHMEM_PUT_REPLACE && was_sure && was_removed)
			stress_fail("key %u: replaced a value that was removed", number);
		change_done(number, change, 0, ttl_ms);
		count(flags == ASHMEM_PUT_ADD ? ADDS : flags ? REPLACES : PUTS, 1);
		return;
	}
	if (r == -EEXIST && flags == ASHMEM_PUT_ADD) {
		if (was_sure && was_removed)
			stress_fail("key %u: a value that was removed is there", number);
	} else if (r != -ENOENT || flags != ASHMEM_PUT_REPLACE) {
		if (!is_refused(r))
			stress_fail("put of %zu bytes: %s", bytes, strerror(-r));
	}
	change_undone(number, was_sure);
}

static void do_reserve(void)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	struct ashmem_entry *entry;
	uint32_t number = own_key();
	size_t key_bytes = make_key(number, key), bytes = choose_bytes(number);
	uint32_t was_sure = shared->key[number].is_sure;
	uint64_t room_bytes, ttl_ms = choose_ttl();

	int r = ashmem_cache_reserve(cache, key, key_bytes, bytes, ttl_ms, &entry);
	if (r < 0) {
		stress_expect(is_refused(r));
		return;
	}
	uint64_t change = change_begin(number);
	unsigned char *room = ashmem_entry_room(entry, &room_bytes);
	stress_expect(room != NULL && room_bytes == bytes);
	if (bytes)
		make_value(room, number, change, bytes);
	if (one_in(4))
		do_read();
	r = one_in(4) ? -ECANCELED : ashmem_entry_commit(entry);
	if (r == 0)
		change_done(number, change, 0, ttl_ms);
	else
		change_undone(number, was_sure);
	stress_expect(r == 0 || r == -ECANCELED || is_refused(r));
	count(r == 0 ? COMMITS : ABANDONED, 1);
	ashmem_entry_release(entry);
}

static void do_remove(void)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	uint32_t number = own_key();
	const struct key_state *state = &shared->key[number];
	size_t key_bytes = make_key(number, key);
	uint32_t was_sure = state->is_sure, was_removed = state->is_removed;
	uint64_t change = change_begin(number);
	int r = ashmem_cache_remove(cache, key, key_bytes);

	if (is_refused(r)) {
		change_undone(number, was_sure);
		return;
	}
	stress_expect(r == 0 || r == -ENOENT);
	if (r == 0 && was_sure && was_removed)
		stress_fail("key %u was removed twice", number);
	change_done(number, change, 1, 0);
	count(REMOVES, 1);
	struct moment moment = moment_before(number);
	int64_t got = ashmem_cache_read(cache, key, key_bytes, buffer, sizeof(buffer));
	if (got >= 0)
		stress_fail("key %u is there after its removal (%llu)", number,
			(unsigned long long)moment.done);
}

static void do_clear(void)
{
	uint64_t tick = next_tick(), known = load(&shared->cleared);

	stress_expect(ashmem_cache_clear(cache) == 0);
	while (known < tick &&
		!__atomic_compare_exchange_n(&shared->cleared, &known, tick, 0, __ATOMIC_SEQ_CST,
			__ATOMIC_SEQ_CST))
		;
	count(CLEARS, 1);
}

/* The time of the value that is there is not known until the touch is done. */
static void do_touch(void)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	uint32_t number = own_key();
	struct key_state *state = &shared->key[number];
	struct change *change = &state->change[load(&state->done) % CHANGES];
	size_t key_bytes = make_key(number, key);
	uint64_t ttl_ms = choose_ttl(), before = load(&change->over_ms);

	if (!state->is_sure)
		return;
	store(&change->over_ms, 0);
	int r = ashmem_cache_touch(cache, key, key_bytes, ttl_ms);
	stress_expect(r == 0 || r == -ENOENT || is_refused(r));
	if (r == 0 && state->is_removed)
		stress_fail("key %u was removed, and touched", number);
	store(&change->over_ms, r < 0 ? before : ttl_ms ? now_ms() + ttl_ms : 0);
	count(TOUCHES, 1);
}

static void do_expire(void)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	uint32_t number = own_key();
	size_t key_bytes = make_key(number, key), bytes = is_empty(number) ? 0 : 200;
	uint32_t was_sure = shared->key[number].is_sure;
	uint64_t change = change_begin(number);

	if (bytes)
		make_value(buffer, number, change, bytes);
	int r = ashmem_cache_put(cache, key, key_bytes, buffer, bytes, 1);
	if (r < 0) {
		stress_expect(is_refused(r));
		change_undone(number, was_sure);
		return;
	}
	change_done(number, change, 0, 1);
	usleep(30000); /* of the coarsest clock: some ticks */
	if (ashmem_cache_read(cache, key, key_bytes, buffer, sizeof(buffer)) >= 0)
		stress_fail("key %u did not expire", number);
	count(EXPIRIES, 1);
}

/* -- all keys -- */

static void do_walk(void)
{
	static uint64_t begun[KEYS];
	static unsigned char seen[KEYS];
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	size_t key_bytes;
	uint64_t position = 0, steps = 0, value_bytes;
	uint64_t cleared = load(&shared->cleared);
	int r;

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < KEYS; i++)
		begun[i] = load(&shared->key[i].begun);
	while ((r = ashmem_cache_next(cache, &position, key, sizeof(key), &key_bytes,
			&value_bytes)) > 0) {
		if (memcmp(key, "claim", 5) == 0)
			continue;
		uint32_t number = read_key(key, key_bytes);
		stress_expect(is_empty(number) ? value_bytes == 0
					       : value_bytes >= sizeof(struct value_head));
		if (seen[number]++ && load(&shared->key[number].begun) == begun[number] &&
			load(&shared->cleared) == cleared)
			stress_fail("key %u was walked over twice", number);
		const struct key_state *state = &shared->key[number];
		if (number % (WORKERS - 1) == (uint32_t)self && state->is_sure && state->is_removed)
			stress_fail("key %u was removed, and walked over", number);
		stress_expect(++steps < 1000 * KEYS);
	}
	stress_expect(r == 0);
	count(WALKED, steps);
}

/* -- one builder -- */

static void build(uint32_t number, struct ashmem_entry *entry)
{
	int32_t nobody = 0;
	char key[8] = "claim";

	key[5] = (char)('a' + number);
	if (!__atomic_compare_exchange_n(&shared->builder[number], &nobody, getpid(), 0,
		    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
		nobody != __atomic_load_n(&shared->doomed, __ATOMIC_SEQ_CST))
		stress_fail("claim %u: %d builds it, and so does %d", number, getpid(), nobody);
	if (one_in(2))
		usleep((useconds_t)random_below(&chance, 2000));
	int r = one_in(3) ? 0 : ashmem_cache_put(cache, key, 6, "built", 5, 5);
	stress_expect(r == 0 || is_refused(r));
	__atomic_store_n(&shared->builder[number], 0, __ATOMIC_SEQ_CST);
	ashmem_entry_release(entry);
	count(BUILDS, 1);
}

static void do_claim(void)
{
	struct ashmem_entry *entry;
	uint32_t number = (uint32_t)random_below(&chance, CLAIMS);
	char key[8] = "claim";
	uint64_t bytes;

	key[5] = (char)('a' + number);
	int r = ashmem_cache_claim(cache, key, 6, (uint32_t)random_below(&chance, 20), &entry);
	if (r == ASHMEM_CLAIM_BUILD) {
		build(number, entry);
	} else if (r == ASHMEM_CLAIM_FOUND) {
		const void *value = ashmem_entry_value(entry, &bytes);
		stress_expect(value && bytes == 5 && memcmp(value, "built", 5) == 0);
		ashmem_entry_release(entry);
	} else {
		stress_expect(r == -EBUSY || is_refused(r));
		count(BUSY, r == -EBUSY);
	}
}

static void do_purge(void)
{
	int64_t r = one_in(40) ? ashmem_purge_all() : ashmem_shrink(1 + random_below(&chance, 300));

	stress_expect(r >= 0);
	count(FREED, (uint64_t)r);
}

/* -- processes -- */

/*
 * Each process has a mood: 0 does everything; 1 purges and puts; 2 reads and gets, which needs no
 * right to write, so it is all that a reader has.
 */
enum { MOODS = 3 };

static const struct {
	void (*run)(void);
	uint32_t weight[MOODS];
} steps[] = {
	{do_put, {400, 100, 0}},
	{do_reserve, {60, 0, 0}},
	{do_remove, {60, 0, 0}},
	{do_touch, {40, 0, 0}},
	{do_claim, {40, 0, 0}},
	{do_purge, {6, 10, 0}},
	{do_clear, {3, 0, 0}},
	{do_expire, {6, 0, 0}},
	{do_read, {500, 0, 500}},
	{do_get, {150, 0, 150}},
	{do_walk, {2, 0, 1}},
	{do_fork, {4, 0, 1}},
};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

static void step(uint32_t mood)
{
	uint64_t total = 0, chosen;
	uint32_t i = 0;

	for (uint32_t k = 0; k < STEPS; k++)
		total += steps[k].weight[mood];
	chosen = random_below(&chance, total);
	while (chosen >= steps[i].weight[mood])
		chosen -= steps[i++].weight[mood];
	steps[i].run();
}

static void work(int number, uint64_t seed, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	self = number;
	chance = random_from(seed);
	if (fd >= 0) {
		int r = ashmem_cache_import(fd, &cache);
		if (r < 0)
			stress_fail("import: %s", strerror(-r));
	}
	uint32_t mood = number == WORKERS - 1 ? 2 : (uint32_t)random_below(&chance, MOODS);
	for (;;)
		step(mood);
}

static pid_t start(int number, int fd)
{
	uint64_t seed = random_next(&chance);
	pid_t child = fork();

	stress_expect(child >= 0);
	if (child == 0)
		work(number, seed, fd);
	return child;
}

static void bury(pid_t child)
{
	int status;

	stress_expect(waitpid(child, &status, 0) == child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		stress_fail("a worker ended with wait status %#x", (unsigned)status);
	for (int i = 0; i < CLAIMS; i++) {
		int32_t dead = child;
		__atomic_compare_exchange_n(&shared->builder[i], &dead, 0, 0, __ATOMIC_SEQ_CST,
			__ATOMIC_SEQ_CST);
	}
}

static void run(double seconds, int writable_fd, int read_only_fd)
{
	pid_t children[WORKERS];
	uint64_t end_ms = now_ms() + (uint64_t)(seconds * 1000);
	uint32_t deaths = 0;

	for (int i = 0; i < WORKERS; i++)
		children[i] = start(i, i == WORKERS - 1 ? read_only_fd : writable_fd);
	while (now_ms() < end_ms) {
		usleep((useconds_t)random_below(&chance, 30000));
		int i = (int)random_below(&chance, WORKERS);
		__atomic_store_n(&shared->doomed, children[i], __ATOMIC_SEQ_CST);
		kill(children[i], SIGKILL);
		bury(children[i]);
		deaths++;
		children[i] = start(i, i == WORKERS - 1 ? read_only_fd : writable_fd);
	}
	for (int i = 0; i < WORKERS; i++) {
		__atomic_store_n(&shared->doomed, children[i], __ATOMIC_SEQ_CST);
		kill(children[i], SIGKILL);
		bury(children[i]);
	}
	printf("%u deaths", deaths);
}

int main(void)
{
	struct ashmem_cache_options options = {.struct_size = sizeof(options),
		.most_bytes = CACHE_BYTES,
		.value_most_bytes = VALUE_MOST};

	chance = random_from(test_seed("stress_cache_model"));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	stress_expect(shared != MAP_FAILED);
	int r = ashmem_cache_create("model", &options, &cache);
	if (r == -ENODEV || r == -ENOTSUP) {
		printf("no caches here: %s\n", strerror(-r));
		return 77;
	}
	stress_expect(r == 0);
	for (int i = 0; i < KEYS; i++)
		shared->key[i].is_sure = shared->key[i].is_removed = 1;
	int read_only_fd = ashmem_export_read_only(ashmem_cache_area(cache));
	stress_expect(read_only_fd >= 0);
	/* Workers inherit the handle, or import it: both ways. */
	run(stress_seconds() / 2, -1, read_only_fd);
	run(stress_seconds() / 2, ashmem_cache_fd(cache), read_only_fd);
	for (int i = 0; i < COUNTS; i++)
		printf(", %llu %s", (unsigned long long)shared->counts[i], count_names[i]);
	printf("\n");
	static const enum count needed[] = {HITS, VIEWED, PUTS, REMOVES, FREED};
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (shared->counts[needed[i]] == 0)
			stress_fail("nothing was tested: no %s", count_names[needed[i]]);
	ashmem_cache_close(cache);
	return 0;
}
