/* SPDX-License-Identifier: MIT */
/*
 * One handle of a cache: what a process knows of it.
 *
 * Everything above the mutex is constant once the handle is made. Lock order: the table of handles,
 * a handle's mutex, then the locks of the rooms below; a bucket's lock (index.h) comes after the
 * mutex has been given back, and within it no other lock is taken. No purge runs under any of
 * these.
 */
#ifndef ASHMEM_LIB_CACHE_CACHE_H
#define ASHMEM_LIB_CACHE_CACHE_H

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/pages.h"
#include "cache/layout.h"
#include "handle/handle.h"
#include "memfd/area.h"

/* A segment that this handle appends to; segment.h. */
struct cache_log {
	uint32_t segment; /* CACHE_NO_SEGMENT: none */
	uint32_t used;
	uint64_t generation;
	int is_held; /* by room_fd */
};
#define CACHE_NO_SEGMENT UINT32_MAX

/* New entries, and those that were kept because they are used: age.h. */
enum cache_class { CACHE_PROBATION, CACHE_MAIN, CACHE_CLASSES };

struct ashmem_cache {
	struct ashmem_area *area;
	struct memfd_area *memfd;
	struct cache_layout layout;
	unsigned char *base; /* the area, mapped */
	struct cache_shared *shared;
	struct cache_segment *table;
	struct cache_bucket *buckets;
	const uint64_t *lost; /* the area's bitmap of lost pages */
	uint64_t secret[4];
	uint32_t page_shift, first_page, segment_pages; /* of the segments */
	int writable;

	/* Of this handle's reads, not yet added to the shared ones: stats.h. */
	struct cache_stripe counts[CACHE_STRIPES];

	pthread_mutex_t mutex; /* guards the rest */
	uint32_t generation;   /* lock_fork_generation() of the process that the rest belongs to */
	uint32_t forks;        /* how often it has come to another process */
	/*
	 * Descriptions of this process's own, which no child keeps: for what it writes (and the
	 * liveness of its ticket), and for what it looks at. -1: none yet.
	 */
	int room_fd, view_fd;
	int child_view_fd;                   /* while a fork is under way: the child's */
	uint64_t ticket;                     /* 0: none yet */
	uint32_t *writers;                   /* of each segment: puts and reservations under way */
	uint32_t *views;                     /* of each segment: entries that look at it */
	struct cache_log log[CACHE_CLASSES]; /* what is appended to */
	int has_lease;
	struct ashmem_cache *prev, *next; /* the table's */

	uint32_t users; /* atomic: the handle's owner, until it closes it, and each entry */
};

/* For public calls: 0, -EINVAL or -EFBIG. */
int cache_check_key(const struct ashmem_cache *cache, const void *key, size_t key_bytes);
/* The same for calls that write: -EACCES too. */
int cache_check_writer(const struct ashmem_cache *cache, const void *key, size_t key_bytes);

/*
 * One more entry of the handle is given out; one is released, or the handle is closed: whatever is
 * the last of these ends it. No lock is held.
 */
void cache_use(struct ashmem_cache *cache);
void cache_leave(struct ashmem_cache *cache);

/* The handle's mutex; a child that was made without fork handlers is put in order. */
void cache_lock(struct ashmem_cache *cache);
void cache_unlock(struct ashmem_cache *cache);

/*
 * With the mutex, or no other thread: give up what the handle has of its own for writing; the same
 * in a child, where it is the parent's.
 */
void cache_forget(struct ashmem_cache *cache);
void cache_forget_parents(struct ashmem_cache *cache);

static inline unsigned char *cache_segment_at(const struct ashmem_cache *cache, uint32_t segment)
{
	return cache->base + cache->layout.segments_at +
		(uint64_t)segment * cache->layout.segment_bytes;
}

/* The page of a byte of a segment; segments are whole pages. */
static inline uint32_t cache_page_of(const struct ashmem_cache *cache, uint32_t segment,
	uint64_t offset)
{
	return cache->first_page + segment * cache->segment_pages +
		(uint32_t)(offset >> cache->page_shift);
}

/* How many segments something takes that begins in the first one and ends there. */
static inline uint32_t cache_segments_for(const struct ashmem_cache *cache, uint64_t end)
{
	uint32_t bytes = cache->layout.segment_bytes;

	return __builtin_expect(end <= bytes, 1) ? 1 : (uint32_t)((end - 1) / bytes) + 1;
}

/*
 * The sum of the generations of so many segments: each only grows, so no two contents of them have
 * the same. Acquire: pairs with the release in which a segment was taken.
 */
static inline uint64_t cache_generation(const struct ashmem_cache *cache, uint32_t segment,
	uint32_t count)
{
	uint64_t sum = __atomic_load_n(&cache->table[segment].generation, __ATOMIC_ACQUIRE);

	for (uint32_t i = 1; __builtin_expect(i < count, 0); i++)
		sum += __atomic_load_n(&cache->table[segment + i].generation, __ATOMIC_ACQUIRE);
	return sum;
}

static inline uint32_t cache_first_page(const struct ashmem_cache *cache, uint32_t segment)
{
	return cache_page_of(cache, segment, 0);
}

static inline uint32_t cache_last_page(const struct ashmem_cache *cache, uint32_t segment)
{
	return cache_page_of(cache, segment, cache->layout.segment_bytes - 1u);
}

static inline uint64_t cache_epoch(const struct ashmem_cache *cache)
{
	/* Acquire: whoever knows that a clear has happened sees it. */
	return __atomic_load_n(&cache->shared->epoch, __ATOMIC_ACQUIRE);
}

static inline uint64_t cache_now_ms(void)
{
	return stamp_now(&stamp_clock) / 1000000u;
}

/* When what is put now expires; 0: never. */
static inline uint64_t cache_expiry(uint64_t ttl_ms)
{
	const uint64_t latest = (UINT64_C(1) << (64 - ENTRY_KEY_BITS)) - 1;
	uint64_t now;

	if (ttl_ms == 0)
		return 0;
	now = cache_now_ms();
	return ttl_ms < latest - now ? now + ttl_ms : latest;
}

/*
 * Whether any of the bytes from..end-1 of a segment lies on a lost page. Acquire is the caller's.
 */
static inline int cache_is_lost(const struct ashmem_cache *cache, uint32_t segment, uint64_t from,
	uint64_t end)
{
	uint32_t first = cache_page_of(cache, segment, from);
	uint32_t last = cache_page_of(cache, segment, end - 1);

	/* Nearly always one word has them all. */
	if (__builtin_expect(first / 64 == last / 64, 1)) {
		uint32_t beyond = 63 - last % 64;
		return (SHARED_LOAD(cache->lost[first / 64]) << beyond) >> (beyond + first % 64) !=
			0;
	}
	for (uint32_t page = first; page <= last; page++)
		if (SHARED_LOAD(cache->lost[page / 64]) >> page % 64 & 1)
			return 1;
	return 0;
}

#endif /* ASHMEM_LIB_CACHE_CACHE_H */
