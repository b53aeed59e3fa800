/* SPDX-License-Identifier: MIT */
/*
 * A cache of this library beside what people use instead, in one run: reads and puts of several
 * sizes, in empty system calls and as multiples of ours; then the targets that are set for it; hit
 * ratios; memory. All is printed as the tables of docs/performance.md.
 *
 * A figure is the best of several rounds, so that what else the machine does counts less. Values
 * are read whole, and their lengths and first bytes are compared.
 */
#define _GNU_SOURCE 1
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "peers.h"

/* Four times all keys are more than a cache of ours has. */
enum { TURNS = 4, ROUNDS = 15, ORDER = 1 << 16, KEYS_MOST = 100000 };
static const double round_ns = 10e6;

static char directory[] = "/dev/shm/ashmem-peers-XXXXXX";

_Noreturn void die(const char *what)
{
	fprintf(stderr, "peers: %s failed\n", what);
	exit(1);
}

const char *path_of(const char *file)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	return path;
}

uint64_t random_of(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

struct zipf zipf_make(uint32_t count, double exponent)
{
	struct zipf zipf = {count, malloc(count * sizeof(double))};
	double sum = 0;

	if (!zipf.sums)
		die("malloc");
	for (uint32_t i = 0; i < count; i++)
		zipf.sums[i] = sum += pow(i + 1, -exponent);
	return zipf;
}

uint32_t zipf_next(const struct zipf *zipf, uint64_t *state)
{
	double at =
		(double)(random_of(state) >> 11) / 9007199254740992.0 * zipf->sums[zipf->count - 1];
	uint32_t low = 0, high = zipf->count - 1;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (zipf->sums[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* -- what is measured -- */

enum kind { READ, READ_MANY, READ_BY_TWO, MISS, PUT, PUT_NEW };

static const struct row {
	const char *name;
	enum kind kind;
	uint32_t keys;
	int key_bytes;
	size_t bytes;
	int is_zipf;
} rows[] = {
	{"read 64 B", READ, 1000, 16, 64, 0},
	{"read 1 KiB", READ, 1000, 16, 1024, 0},
	{"read 1 KiB, 16 at once, each", READ_MANY, 1000, 16, 1024, 0},
	{"read 1 KiB, by two processes at once", READ_BY_TWO, 1000, 16, 1024, 0},
	{"read 1 KiB, keys of 250 B", READ, 1000, 250, 1024, 0},
	{"read 16 KiB", READ, 1000, 16, 16384, 0},
	{"read 1 MiB, 64 keys", READ, 64, 16, VALUE_MOST, 0},
	{"read 64 B, 100,000 keys, Zipf 0.99", READ, KEYS_MOST, 16, 64, 1},
	{"read 1 KiB, 100,000 keys, Zipf 0.99", READ, KEYS_MOST, 16, 1024, 1},
	{"miss, 100,000 keys", MISS, KEYS_MOST, 16, 1024, 0},
	{"put 1 KiB, 100,000 keys", PUT, KEYS_MOST, 16, 1024, 0},
	{"put 1 KiB, into new memory", PUT_NEW, KEYS_MOST, 16, 1024, 0},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct peer *const peers[] = {
	&library_peer, &memcached_peer, &redis_peer, &lmdb_peer, &sqlite_peer, &map_peer};
enum { OURS, MEMCACHED, REDIS, LMDB, SQLITE, MAP, PEERS, CALL = PEERS };

/* Nanoseconds; 0: not measured. */
static double results[ROWS][PEERS];
static const char *skipped[PEERS];

/* At least so many times ours, or ours at most so many times. */
static const struct target {
	int row, of;
	double limit;
	int is_at_most;
} targets[] = {
	{0, CALL, 0.25, 1},
	{1, CALL, 0.45, 1},
	{7, CALL, 0.9, 1},
	{8, CALL, 1.8, 1},
	{7, MAP, 1.4, 1},
	{8, MAP, 0.8, 1},
	{9, CALL, 0.5, 1},
	{10, CALL, 1.3, 1},
	{0, MEMCACHED, 50, 0},
	{0, REDIS, 60, 0},
	{0, LMDB, 3, 0},
	{0, SQLITE, 30, 0},
	{1, MEMCACHED, 50, 0},
	{1, REDIS, 60, 0},
	{1, LMDB, 3, 0},
	{1, SQLITE, 30, 0},
	{5, MEMCACHED, 12, 0},
	{5, REDIS, 15, 0},
	{5, LMDB, 1, 0},
	{5, SQLITE, 15, 0},
	{2, MEMCACHED, 7, 0},
	{2, REDIS, 12, 0},
};

/* -- measuring -- */

/* Without gaps, so that what is measured is not the way to the keys. */
static char keys[KEYS_MOST * KEY_MOST], none[KEYS_MOST * KEY_MOST];
static size_t key_stride;
static uint32_t order[ORDER];
static char value[VALUE_MOST], got[VALUE_MOST];

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static char *key_at(char *all, uint32_t number)
{
	return all + number * key_stride;
}

static void choose_keys(const struct row *row)
{
	uint64_t state = 1;
	struct zipf zipf = zipf_make(row->keys, 0.99);

	key_stride = (size_t)row->key_bytes + 1;
	for (uint32_t i = 0; i < row->keys; i++) {
		snprintf(key_at(keys, i), key_stride, "key-%0*u", row->key_bytes - 4, i);
		snprintf(key_at(none, i), key_stride, "not-%0*u", row->key_bytes - 4, i);
	}
	for (uint32_t i = 0; i < ORDER; i++)
		order[i] = row->is_zipf ? zipf_next(&zipf, &state)
					: (uint32_t)(random_of(&state) % row->keys);
	free(zipf.sums);
}

static void read_many(const struct peer *peer, const struct row *row, uint32_t at)
{
	const char *batch[BATCH_MOST];

	for (uint32_t i = 0; i < BATCH_MOST; i++)
		batch[i] = key_at(keys, order[(at + i) % ORDER]);
	if (peer->get_many) {
		peer->get_many(batch, BATCH_MOST, row->bytes, got);
		return;
	}
	for (int i = 0; i < BATCH_MOST; i++)
		if (peer->get(batch[i], got) != (int64_t)row->bytes)
			die(peer->name);
}

/* How many were done. */
static uint32_t once(const struct peer *peer, const struct row *row, uint32_t at)
{
	uint32_t key = order[at % ORDER];

	switch (row->kind) {
	case READ:
	case READ_BY_TWO:
		got[0] = 0;
		if (peer->get(key_at(keys, key), got) != (int64_t)row->bytes || got[0] != 'v')
			die(peer->name);
		return 1;
	case READ_MANY:
		read_many(peer, row, at);
		return BATCH_MOST;
	case MISS:
		if (peer->get(key_at(none, key), got) >= 0)
			die(peer->name);
		return 1;
	case PUT:
	case PUT_NEW:
		peer->put(key_at(keys, key), value, row->bytes);
		return 1;
	}
	return 0;
}

static double time_of(const struct peer *peer, const struct row *row, uint32_t *at, uint32_t count)
{
	double begun = now_ns();
	uint32_t done = 0;

	while (done < count)
		done += once(peer, row, *at + done);
	*at += done;
	return (now_ns() - begun) / done;
}

static double best_of(const struct peer *peer, const struct row *row)
{
	uint32_t at = 0;
	double best = time_of(peer, row, &at, 16);
	uint32_t count = best > round_ns / 16 ? 16 : (uint32_t)(round_ns / best);

	for (int i = 0; i < ROUNDS; i++) {
		double ns = time_of(peer, row, &at, count);
		best = ns < best ? ns : best;
	}
	return best;
}

struct meeting {
	int ready, go;
	double ns[2];
};

static void read_as(int which, const struct peer *peer, const struct row *row,
	struct meeting *meeting)
{
	uint32_t at = (uint32_t)which * 1000;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	peer->join();
	__atomic_add_fetch(&meeting->ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&meeting->go, __ATOMIC_SEQ_CST))
		;
	double best = best_of(peer, row);
	meeting->ns[which] = best;
	/* Until the other one is done too. */
	__atomic_add_fetch(&meeting->go, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&meeting->go, __ATOMIC_SEQ_CST) < 3)
		time_of(peer, row, &at, 16);
	_exit(0);
}

/* Nanoseconds for each read of the two together. */
static double by_two(const struct peer *peer, const struct row *row)
{
	struct meeting *meeting = mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	if (meeting == MAP_FAILED)
		die("mmap");
	for (int i = 0; i < 2; i++) {
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0)
			read_as(i, peer, row, meeting);
	}
	while (__atomic_load_n(&meeting->ready, __ATOMIC_SEQ_CST) < 2)
		usleep(1000);
	__atomic_store_n(&meeting->go, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		if (wait(&status) < 0 || status != 0)
			die(peer->name);
	double ns = 1 / (1 / meeting->ns[0] + 1 / meeting->ns[1]);
	munmap(meeting, sizeof(*meeting));
	return ns;
}

static void measure_peer(int which)
{
	const struct peer *peer = peers[which];

	skipped[which] = peer->open();
	for (int i = 0; i < ROWS && !skipped[which]; i++) {
		const struct row *row = &rows[i];
		fprintf(stderr, "\r%s: %s\033[K", peer->name, row->name);
		choose_keys(row);
		if (peer->clear)
			peer->clear();
		/* Most puts are into a cache that is full. */
		int turns = row->kind == PUT && peer->clear ? TURNS : 1;
		for (uint32_t k = 0; k < turns * row->keys; k++)
			peer->put(key_at(keys, k % row->keys), value, row->bytes);
		if (row->kind == PUT_NEW && !peer->clear)
			continue;
		if (row->kind != READ_BY_TWO)
			results[i][which] = best_of(peer, row);
		else if (peer->join)
			results[i][which] = by_two(peer, row);
	}
	fprintf(stderr, "\r\033[K");
	if (!skipped[which])
		peer->close();
}

static double call_ns(void)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		double begun = now_ns();
		for (int k = 0; k < 10000; k++)
			syscall(SYS_getppid);
		double ns = (now_ns() - begun) / 10000;
		best = best == 0 || ns < best ? ns : best;
	}
	return best;
}

/* -- tables -- */

static void print_rows(double call)
{
	printf("| | ours | calls |");
	for (int k = OURS + 1; k < PEERS; k++)
		printf(" %s |", peers[k]->name);
	printf("\n| --- | ---: | ---: |");
	for (int k = OURS + 1; k < PEERS; k++)
		printf(" ---: |");
	for (int i = 0; i < ROWS; i++) {
		double ours = results[i][OURS];
		printf("\n| %s | %.0f ns | %.2f |", rows[i].name, ours, ours / call);
		for (int k = OURS + 1; k < PEERS; k++)
			if (results[i][k] > 0)
				printf(" %.1f |", results[i][k] / ours);
			else
				printf(" - |");
	}
	printf("\n\n");
	for (int k = OURS + 1; k < PEERS; k++)
		if (skipped[k])
			printf("skipped: %s: %s\n\n", peers[k]->name, skipped[k]);
}

static void print_targets(double call)
{
	printf("| target | wanted | measured | |\n| --- | ---: | ---: | --- |\n");
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		const struct target *target = &targets[i];
		double ours = results[target->row][OURS];
		double other = target->of == CALL ? call : results[target->row][target->of];
		double ratio = target->is_at_most ? ours / other : other / ours;
		printf("| %s, %s | %s %g | ", rows[target->row].name,
			target->of == CALL ? "in system calls" : peers[target->of]->name,
			target->is_at_most ? "at most" : "at least", target->limit);
		if (other > 0)
			printf("%.2f | %s |\n", ratio,
				(target->is_at_most ? ratio <= target->limit
						    : ratio >= target->limit)
					? "met"
					: "missed");
		else
			printf("- | skipped |\n");
	}
	double two = results[1][OURS] / results[3][OURS];
	printf("| two processes read 1 KiB, times one | at least 1.8 | %.2f | %s |\n\n", two,
		two >= 1.8 ? "met" : "missed");
}

int main(void)
{
	if (!mkdtemp(directory)) {
		fprintf(stderr, "peers: no /dev/shm\n");
		return 1;
	}
	memset(value, 'v', sizeof(value));
	double call = call_ns();
	for (int i = 0; i < PEERS; i++)
		measure_peer(i);
	rmdir(directory);
	printf("An empty system call: %.0f ns.\n\n", call);
	print_rows(call);
	print_targets(call);
	print_hits();
	return 0;
}
