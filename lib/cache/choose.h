/* SPDX-License-Identifier: MIT */
/*
 * Which segments are taken for new entries, and which entries give way: choose.c.
 */
#ifndef ASHMEM_LIB_CACHE_CHOOSE_H
#define ASHMEM_LIB_CACHE_CHOOSE_H

#include "cache/cache.h"

/* Segments of one entry, or one alone. */
struct cache_run {
	uint32_t first, count;
	uint64_t sequence; /* of the first; the others' follow */
};

/* What is taken first has the smallest. */
enum choose_kind { CHOOSE_PURGED, CHOOSE_UNUSED, CHOOSE_CLEARED, CHOOSE_OLDEST, CHOOSE_OTHERS };
struct choose_rank {
	enum choose_kind kind;
	uint64_t sequence;
};

/* Segments that are looked at for some that nobody holds. */
#define CHOOSE_TRIES 64u

struct choosing {
	uint64_t epoch;
	/* Which class gives way: probation, while it has more than a tenth of what is in use. */
	int main_gives_way;
	uint32_t free;  /* segments without entries */
	uint32_t count; /* of segments that are wanted, next to each other */
	enum choose_kind least;
	uint32_t held[CHOOSE_TRIES]; /* segments that cannot be had */
	uint32_t tries;              /* how many of them */
};

/* Of a segment, as it is for this epoch; CHOOSE_OLDEST: it has entries, whatever its class. */
enum choose_kind choose_kind_of(const struct ashmem_cache *cache, uint32_t segment, uint64_t epoch);

/* Begin to choose so many segments in a row. */
void choose_begin(const struct ashmem_cache *cache, uint64_t epoch, uint32_t count,
	struct choosing *choosing);
/*
 * The first ones in the order of taking that are not passed over; of several, what the last of them
 * has counts. 1, or 0 if there are none.
 */
int choose_next(const struct ashmem_cache *cache, const struct choosing *choosing, uint32_t *chosen,
	struct choose_rank *its_rank);
/* Whether nobody holds them at the moment; if somebody does, they are passed over from now on. */
int choose_is_free(struct ashmem_cache *cache, struct choosing *choosing, uint32_t segment);
void choose_pass_over(struct choosing *choosing, uint32_t segment);

/* Whether none of so many segments is worth more by now than when they were chosen. */
int choose_is_still(const struct ashmem_cache *cache, const struct choosing *choosing,
	uint32_t segment, uint32_t count, const struct choose_rank *rank);

/*
 * Those whose entries are to give way; of several, some may have none. 1, or 0: there are none.
 * Nobody holds them at the moment; who has a view of one looks whether it is still as good.
 */
int choose_victims(struct ashmem_cache *cache, struct choosing *choosing, uint32_t *segment,
	struct choose_rank *rank);
/* The run that a segment belongs to; it stays that if the caller has a view of it. */
struct cache_run choose_run_of(const struct ashmem_cache *cache, uint32_t segment);
/* Its entries are not needed any more: it is taken before others. The caller has a view of it. */
void choose_give_up(struct ashmem_cache *cache, const struct cache_run *run);

#endif /* ASHMEM_LIB_CACHE_CHOOSE_H */
