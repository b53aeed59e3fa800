/* SPDX-License-Identifier: MIT */
/* Counting, and the counts: stats.h. */
#include <errno.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/structs.h"
#include "base/sys.h"
#include "cache/choose.h"
#include "cache/index.h"
#include "cache/stats.h"

#define BATCH 256u

static uint32_t next_stripe;
static THREAD_LOCAL uint32_t my_stripe; /* 1 and up; 0: none yet */

static struct cache_stripe *stripe_of(struct ashmem_cache *cache)
{
	if (__builtin_expect(my_stripe == 0, 0))
		my_stripe =
			__atomic_fetch_add(&next_stripe, 1, __ATOMIC_RELAXED) % CACHE_STRIPES + 1;
	return &cache->counts[my_stripe - 1];
}

static void flush_stripe(struct ashmem_cache *cache, struct cache_stripe *stripe)
{
	uint64_t *ours = &stripe->hits;
	uint64_t *shared = &cache->shared->stripe[stripe - cache->counts].hits;

	for (size_t i = 0; i < sizeof(*stripe) / sizeof(*ours); i++) {
		uint64_t count = __atomic_exchange_n(&ours[i], 0, __ATOMIC_RELAXED);
		/* cppcheck-suppress objectIndex ; the counts are members in a row */
		uint64_t *its = &shared[i];
		if (count)
			__atomic_fetch_add(its, count, __ATOMIC_RELAXED);
	}
}

void stats_flush(struct ashmem_cache *cache)
{
	for (uint32_t i = 0; cache->writable && i < CACHE_STRIPES; i++)
		flush_stripe(cache, &cache->counts[i]);
}

static inline void count(struct ashmem_cache *cache, struct cache_stripe *stripe, uint64_t *counter)
{
	uint64_t now = SHARED_LOAD(*counter) + 1;

	SHARED_STORE(*counter, now);
	if (__builtin_expect(now >= BATCH, 0))
		flush_stripe(cache, stripe);
}

#define COUNT(cache, member)                                    \
	do {                                                    \
		struct cache_stripe *stripe = stripe_of(cache); \
		if (__builtin_expect((cache)->writable, 1))     \
			count(cache, stripe, &stripe->member);  \
	} while (0)

void stats_hit(struct ashmem_cache *cache, uint32_t bucket, uint32_t index)
{
	COUNT(cache, hits);
	if (__builtin_expect(cache->writable, 1))
		index_count_read(&cache->buckets[bucket], index);
}

void stats_miss(struct ashmem_cache *cache, enum cache_miss why)
{
	COUNT(cache, misses[why]);
}

void stats_put(struct ashmem_cache *cache)
{
	COUNT(cache, puts);
}

void stats_remove(struct ashmem_cache *cache)
{
	COUNT(cache, removes);
}

void stats_carried(struct ashmem_cache *cache)
{
	COUNT(cache, carried);
}

/* -- the counts -- */

static void add_stripe(struct ashmem_cache_stats *sum, const struct cache_stripe *stripe)
{
	sum->hits += SHARED_LOAD(stripe->hits);
	sum->misses_never += SHARED_LOAD(stripe->misses[CACHE_NEVER]);
	sum->misses_purged += SHARED_LOAD(stripe->misses[CACHE_PURGED]);
	sum->misses_expired += SHARED_LOAD(stripe->misses[CACHE_EXPIRED]);
	sum->misses_dropped += SHARED_LOAD(stripe->misses[CACHE_DROPPED]);
	sum->puts += SHARED_LOAD(stripe->puts);
	sum->removes += SHARED_LOAD(stripe->removes);
	sum->carried += SHARED_LOAD(stripe->carried);
}

static void add_segment(struct ashmem_cache_stats *sum, const struct ashmem_cache *cache,
	uint32_t segment)
{
	/* Before epoch 0 there is none, so what was cleared counts as filled. */
	if (choose_kind_of(cache, segment, 0) == CHOOSE_OLDEST)
		sum->bytes_filled += SHARED_LOAD(cache->table[segment].used);
	else
		sum->bytes_unused += cache->layout.segment_bytes;
}

int ashmem_cache_get_stats(struct ashmem_cache *cache, struct ashmem_cache_stats *stats)
{
	if (!cache || !stats || stats->struct_size < sizeof(stats->struct_size))
		return -EINVAL;
	const struct cache_layout *layout = &cache->layout;
	struct ashmem_cache_stats sum = {
		.evictions = SHARED_LOAD(cache->shared->evictions),
		.segments = layout->segments,
		.segment_bytes = layout->segment_bytes,
		.bytes = layout->bytes - layout->segments_at,
		.bytes_index = layout->segments_at,
		.entries_most = (uint64_t)layout->buckets * CACHE_SLOTS,
	};
	stats_flush(cache);
	for (uint32_t i = 0; i < CACHE_STRIPES; i++)
		add_stripe(&sum, &cache->shared->stripe[i]);
	sum.misses = sum.misses_never + sum.misses_purged + sum.misses_expired + sum.misses_dropped;
	for (uint32_t i = 0; i < layout->segments; i++)
		add_segment(&sum, cache, i);
	struct_copy_out(stats, &sum, sizeof(sum));
	return 0;
}
