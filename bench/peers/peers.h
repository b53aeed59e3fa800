/* SPDX-License-Identifier: MIT */
/*
 * What `make bench-peers` measures: a cache of this library beside what people use instead on one
 * machine. Each peer keeps keys and values; it is opened, filled, read and closed.
 */
#ifndef ASHMEM_BENCH_PEERS_H
#define ASHMEM_BENCH_PEERS_H

#include <stddef.h>
#include <stdint.h>

enum { KEY_MOST = 251, VALUE_MOST = 1 << 20, BATCH_MOST = 16 };

struct peer {
	const char *name;
	/* NULL, or why it is skipped. */
	const char *(*open)(void);
	/* In a child of fork: a way of its own to the same values. NULL: it has none. */
	void (*join)(void);
	/*
	 * Forget all and give the memory back, where new values go to new memory while old ones
	 * are there. Or NULL: they go where the key's old value was.
	 */
	void (*clear)(void);
	void (*put)(const char *key, const char *value, size_t bytes);
	int64_t (*get)(const char *key, char *value); /* the value's bytes, or below 0 */
	/* So many values of so many bytes at once; NULL: one by one. */
	void (*get_many)(const char *const *keys, int count, size_t bytes, char *value);
	void (*close)(void);
};

extern const struct peer library_peer, map_peer;
extern const struct peer memcached_peer, redis_peer, lmdb_peer, sqlite_peer;

_Noreturn void die(const char *what);
/* A file in the benchmark's own directory; valid until the next call. */
const char *path_of(const char *file);

/* splitmix64: the same numbers in every run. */
uint64_t random_of(uint64_t *state);

/* Numbers below `count`; the n-th comes 1 / n^exponent times as often as the first. */
struct zipf {
	uint32_t count;
	double *sums;
};
struct zipf zipf_make(uint32_t count, double exponent);
uint32_t zipf_next(const struct zipf *zipf, uint64_t *state);

/* hits.c: the hit ratios, as a table. */
void print_hits(void);

#endif
