/* SPDX-License-Identifier: MIT */
/*
 * Processes put, read and remove in one small cache while others purge it and all are killed: no
 * byte that was not put, and nothing older than what a finished put or remove left.
 *
 * Each key has one writer at a time. It notes the number of its change before it begins it and
 * after it is done, in memory of the test's own; the value is made from key and number. A reader
 * takes `done` before the read and `begun` after it: a value's number lies in between.
 */
#define _GNU_SOURCE 1
#include <ashmem/ashmem.h>
#include <ashmem/cache.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The largest values need several segments. */
enum { WORKERS = 4, KEYS = 400, SOME = 30000, VALUE_MOST = 250000 };

struct key_state {
	uint64_t begun, done;
};

static struct shared {
	struct key_state key[KEYS];
	uint64_t hits, misses, puts, removes, freed, fails;
	char complaint[200];
} * shared;

static struct ashmem_cache *cache;

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void complain(const char *what, uint64_t key, uint64_t got, uint64_t low, uint64_t high)
{
	if (__atomic_add_fetch(&shared->fails, 1, __ATOMIC_SEQ_CST) == 1)
		snprintf(shared->complaint, sizeof(shared->complaint),
			"%s: key %llu got %llu, not in %llu..%llu", what, (unsigned long long)key,
			(unsigned long long)got, (unsigned long long)low, (unsigned long long)high);
}

static void add(uint64_t *counter, uint64_t by)
{
	__atomic_add_fetch(counter, by, __ATOMIC_RELAXED);
}

/* -- values -- */

static size_t value_bytes(uint64_t key, uint64_t number)
{
	uint64_t state = key * 77 + number * 1000003 + 1;

	random_next(&state);
	uint64_t size = random_next(&state);
	return size % 4 ? size % 600 : size % 64 ? size % SOME : size % VALUE_MOST;
}

static void fill(unsigned char *value, size_t bytes, uint64_t key, uint64_t number)
{
	uint64_t state = (key + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ number << 20 ^ 1;
	uint64_t word = number;

	for (size_t i = 0; i < bytes; i += 8) {
		memcpy(value + i, &word, bytes - i < 8 ? bytes - i : 8);
		word = random_next(&state);
	}
}

static void make_key(char *text, uint64_t key)
{
	snprintf(text, 40, "key %0*llu", (int)(key % 20) + 1, (unsigned long long)key);
}

/* -- what workers do -- */

static unsigned char buffer[VALUE_MOST + 8], expected[VALUE_MOST + 8];

static void check_value(const unsigned char *value, size_t bytes, uint64_t key, uint64_t low,
	uint64_t high)
{
	uint64_t number = 0;

	if (bytes >= 8)
		memcpy(&number, value, 8);
	else
		for (number = low; number < high; number++)
			if (value_bytes(key, number) == bytes)
				break;
	if (number < low || number > high) {
		complain("stale or wrong", key, number, low, high);
		return;
	}
	if (bytes >= 8 && value_bytes(key, number) != bytes) {
		complain("wrong length", key, bytes, low, high);
		return;
	}
	fill(expected, bytes, key, number);
	if (bytes >= 8 && memcmp(value, expected, bytes) != 0)
		complain("wrong bytes", key, number, low, high);
}

/* The value as it is while it is held. */
static int64_t get_copy(const char *text)
{
	struct ashmem_entry *entry;
	uint64_t bytes;
	int r = ashmem_cache_get(cache, text, strlen(text), &entry);

	if (r < 0)
		return r;
	const void *value = ashmem_entry_value(entry, &bytes);
	memcpy(buffer, value, bytes);
	ashmem_entry_release(entry);
	return (int64_t)bytes;
}

/* The same put, built in place. */
static int build(const char *text, const unsigned char *value, size_t bytes)
{
	struct ashmem_entry *entry;
	int r = ashmem_cache_reserve(cache, text, strlen(text), bytes, 0, &entry);

	if (r < 0)
		return r;
	memcpy(ashmem_entry_room(entry, NULL), value, bytes);
	r = ashmem_entry_commit(entry);
	ashmem_entry_release(entry);
	return r;
}

static void read_one(uint64_t key, int in_place)
{
	char text[40];
	uint64_t low = __atomic_load_n(&shared->key[key].done, __ATOMIC_SEQ_CST);

	make_key(text, key);
	int64_t bytes = in_place
		? get_copy(text)
		: ashmem_cache_read(cache, text, strlen(text), buffer, sizeof(buffer));
	uint64_t high = __atomic_load_n(&shared->key[key].begun, __ATOMIC_SEQ_CST);
	if (bytes >= 0)
		check_value(buffer, (size_t)bytes, key, low, high);
	else if (bytes != -ENOENT)
		complain("read failed", key, (uint64_t)-bytes, low, high);
	add(bytes >= 0 ? &shared->hits : &shared->misses, 1);
}

static void change_one(uint64_t key, int is_remove)
{
	char text[40];
	struct key_state *state = &shared->key[key];
	uint64_t number = __atomic_add_fetch(&state->begun, 1, __ATOMIC_SEQ_CST);
	int r;

	make_key(text, key);
	if (is_remove) {
		r = ashmem_cache_remove(cache, text, strlen(text));
		r = r == -ENOENT ? 0 : r;
	} else {
		size_t bytes = value_bytes(key, number);
		fill(buffer, bytes, key, number);
		r = number % 4 ? ashmem_cache_put(cache, text, strlen(text), buffer, bytes, 0)
			       : build(text, buffer, bytes);
	}
	if (r == 0)
		__atomic_store_n(&state->done, number, __ATOMIC_SEQ_CST);
	else if (r != -EAGAIN)
		complain(is_remove ? "remove failed" : "put failed", key, (uint64_t)-r, 0, 0);
	add(is_remove ? &shared->removes : &shared->puts, r == 0);
}

static void work(uint64_t worker, uint64_t seed, int is_reader)
{
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + worker + 1;

	if (is_reader) {
		int fd = ashmem_export_read_only(ashmem_cache_area(cache));
		struct ashmem_cache *reader;
		/* As long as the process has it writable, an import finds that. */
		ashmem_cache_close(cache);
		if (fd < 0 || ashmem_cache_import(fd, &reader) < 0 ||
			ashmem_cache_put(reader, "k", 1, "v", 1, 0) != -EACCES)
			_exit(3);
		cache = reader;
	}
	for (;;) {
		uint64_t what = random_next(&state) % 1000, key = random_next(&state) % KEYS;
		if (is_reader || what < 600)
			read_one(key, what % 4 == 0);
		else if (what < 992)
			change_one(key / WORKERS * WORKERS + worker, what >= 900);
		else
			add(&shared->freed, (uint64_t)ashmem_shrink(1 + what % 8 * 16));
	}
}

static pid_t start(uint64_t worker, uint64_t seed)
{
	pid_t pid = fork();

	if (pid == 0)
		work(worker % WORKERS, seed, worker >= WORKERS);
	return pid;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 3;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = 1 << 20,
		.entries = KEYS,
		.value_most_bytes = VALUE_MOST,
	};
	pid_t pids[WORKERS + 1];
	uint64_t kills = 0, state = seed * 2 + 1;
	struct timespec now, end;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	int r = ashmem_cache_create("stress", &options, &cache);
	if (r == -ENOTSUP || r == -ENODEV) {
		puts("skipped: no caches here");
		return 77;
	}
	if (r < 0 || shared == MAP_FAILED)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &end);
	uint64_t end_ns = (uint64_t)end.tv_sec * 1000000000 + (uint64_t)end.tv_nsec +
		(uint64_t)(seconds * 1e9);
	for (uint64_t i = 0; i <= WORKERS; i++)
		pids[i] = start(i, random_next(&state));
	do {
		uint64_t i = random_next(&state) % (WORKERS + 1);
		usleep((useconds_t)(random_next(&state) % 20000));
		int status;
		kill(pids[i], SIGKILL);
		if (waitpid(pids[i], &status, 0) < 0 || !WIFSIGNALED(status) ||
			WTERMSIG(status) != SIGKILL) {
			complain("a worker ended by itself", i, (uint64_t)status, 0, 0);
			break;
		}
		kills++;
		pids[i] = start(i, random_next(&state));
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!__atomic_load_n(&shared->fails, __ATOMIC_SEQ_CST) &&
		(uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec < end_ns);
	for (uint64_t i = 0; i <= WORKERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	printf("seed %llu: %llu hits, %llu misses, %llu puts, %llu removes, %llu kills, %llu pages "
	       "purged, %llu failures %s\n",
		(unsigned long long)seed, (unsigned long long)shared->hits,
		(unsigned long long)shared->misses, (unsigned long long)shared->puts,
		(unsigned long long)shared->removes, (unsigned long long)kills,
		(unsigned long long)shared->freed, (unsigned long long)shared->fails,
		shared->complaint);
	ashmem_cache_close(cache);
	return shared->fails || !shared->hits || !shared->puts || !shared->freed;
}
