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

#include <errno.h>
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
	uint32_t page_shift;
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
static inline int cache_check_key(const struct ashmem_cache *cache, const void *key,
	size_t key_bytes)
{
	if (!cache || !key || key_bytes == 0)
		return -EINVAL;
	return key_bytes > ASHMEM_CACHE_KEY_MOST ? -EFBIG : 0;
}

/* The same for calls that write: -EACCES too. */
static inline int cache_check_writer(const struct ashmem_cache *cache, const void *key,
	size_t key_bytes)
{
	int r = cache_check_key(cache, key, key_bytes);

	return r == 0 && !cache->writable ? -EACCES : r;
}

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

/* Where a byte of a segment lies in the area; segments are whole pages. */
static inline uint64_t cache_at(const struct ashmem_cache *cache, uint32_t segment, uint64_t offset)
{
	return cache->layout.segments_at + (uint64_t)segment * cache->layout.segment_bytes + offset;
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
	return (uint32_t)(cache_at(cache, segment, 0) >> cache->page_shift);
}

static inline uint32_t cache_last_page(const struct ashmem_cache *cache, uint32_t segment)
{
	return cache_first_page(cache, segment + 1) - 1;
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

/* -- lost pages; acquire is the caller's -- */

/* Up to where in the area no page is lost, from the one of this byte on; not always all the way. */
static inline uint64_t cache_kept_until(const struct ashmem_cache *cache, uint64_t at)
{
	uint64_t page = at >> cache->page_shift;
	uint64_t lost = SHARED_LOAD(cache->lost[page / 64]) >> page % 64;
	uint64_t next = __builtin_expect(lost == 0, 1) ? (page | 63) + 1
						       : page + (uint64_t)__builtin_ctzll(lost);

	return next << cache->page_shift;
}

/* cache_is_lost(), where one look does not say it. */
static inline int cache_is_lost_slowly(const struct ashmem_cache *cache, uint64_t at, uint64_t end)
{
	uint64_t kept;

	while ((kept = cache_kept_until(cache, at)) > at && kept < end)
		at = kept;
	return kept <= at;
}

/* Whether any of the bytes at..end-1 of the area lies on a lost page. */
static inline int cache_is_lost(const struct ashmem_cache *cache, uint64_t at, uint64_t end)
{
	return __builtin_expect(end > cache_kept_until(cache, at), 0) &&
		cache_is_lost_slowly(cache, at, end);
}

#endif /* ASHMEM_LIB_CACHE_CACHE_H */
