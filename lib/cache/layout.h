/* SPDX-License-Identifier: MIT */
/*
 * A cache as it lies in its area, and the numbers that describe it.
 *
 *   | cache_shared | segment table | buckets of the index | segments ...             |
 *     pinned         pinned          pinned                 unpinned once in use
 *
 * A slot of the index says where an entry is; the entry's head says by its check that it is what
 * the slot means. An entry that is larger than a segment has a *run* of them, next to each other,
 * for itself: it begins in the first as if that one were larger.
 *
 * Everything here can be written by a peer: what is used as an index or a length is checked against
 * the private copy (struct cache_layout) first.
 *
 * Includes base alone, takes no lock.
 */
#ifndef ASHMEM_LIB_CACHE_LAYOUT_H
#define ASHMEM_LIB_CACHE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <ashmem/cache.h>

#include "base/shared.h"

#define CACHE_VERSION 3u
#define CACHE_SLOTS 15u
#define CACHE_STRIPES 16u
#define CACHE_LEASES 64u
#define CACHE_CLAIMS 256u
#define CACHE_SEGMENTS_MOST 65536u
/* What 20 bits of eight bytes reach. */
#define CACHE_SEGMENT_MOST (8u << 20)
/* Bytes of the largest value of any cache. */
#define CACHE_VALUE_MOST (1u << 30)
/* No entry lies at 0, so that no slot in use is 0. */
#define CACHE_FIRST_OFFSET 8u

/* Why a read found nothing; the order of the members in struct cache_stripe. */
enum cache_miss { CACHE_NEVER, CACHE_PURGED, CACHE_EXPIRED, CACHE_DROPPED, CACHE_MISSES };

/* Counts of some of the processes. */
struct cache_stripe {
	uint64_t hits, misses[CACHE_MISSES], puts, removes, carried;
};

/*
 * The lock guards changes of the slots (base/lock.h); two bits a slot count its reads, to 3. They
 * come first: most reads then need one cache line of it.
 */
struct cache_bucket {
	uint32_t lock;
	uint32_t reads;
	uint64_t slot[CACHE_SLOTS];
} __attribute__((aligned(8)));

/* Changed under the area's lock, but for `epoch` and `used`, which are the writer's. */
struct cache_segment {
	uint64_t generation; /* of the contents */
	uint64_t sequence;   /* of the takings; 0: never taken */
	uint64_t epoch;      /* of the last entry */
	uint32_t used;       /* bytes from the start that have entries */
	uint16_t is_main;
	uint16_t before; /* segments of the same run before this one */
};

struct cache_shared {
	unsigned char magic[8];
	uint32_t version, segments, segment_bytes, buckets;
	uint64_t value_most;
	uint64_t secret[4]; /* keys the hash and the checks against values made by clients */
	uint64_t epoch;     /* of the entries that count: each clear adds one */
	uint64_t sequence;  /* of the last taking */
	uint64_t tickets;   /* given to processes: owner.h */
	uint64_t evictions;
	uint64_t unused[4];
	struct cache_stripe stripe[CACHE_STRIPES];
	uint64_t leases[CACHE_LEASES];
	uint64_t claims[CACHE_CLAIMS];
} __attribute__((aligned(8)));

_Static_assert(sizeof(struct cache_bucket) == 128, "shared layout");
_Static_assert(sizeof(struct cache_segment) == 32, "shared layout");
_Static_assert(sizeof(struct cache_stripe) == 64, "shared layout");
_Static_assert(offsetof(struct cache_shared, stripe) == 128, "shared layout");
_Static_assert(sizeof(struct cache_shared) <= 4096, "a page of any system");

/* A private copy of what never changes, and what follows from it. Offsets are the area's. */
struct cache_layout {
	uint32_t segments, segment_bytes, buckets;
	uint64_t value_most;
	uint64_t table_at, buckets_at, segments_at, bytes;
};

/* Choose a layout: 0, -EINVAL, -E2BIG or -EFBIG. `options` may be NULL. */
int cache_layout_choose(struct cache_layout *layout, const struct ashmem_cache_options *options);
/* Write it, with magic and secret, into an area that nobody else has. */
void cache_layout_write(const struct cache_layout *layout, struct cache_shared *shared);
/* Read and check that of an area of so many bytes: 0, -EPROTO: no cache, -EUCLEAN. */
int cache_layout_read(struct cache_layout *layout, const struct cache_shared *shared,
	uint64_t area_bytes);

/* -- slots: tag 12, generation 16, segment 16, offset / 8 20 -- */

static inline uint64_t slot_make(uint64_t hash, uint64_t generation, uint32_t segment,
	uint32_t offset)
{
	return (hash >> 52) << 52 | (generation & 0xffff) << 36 | (uint64_t)segment << 20 |
		offset / 8;
}

static inline int slot_has_tag(uint64_t slot, uint64_t hash)
{
	return ((slot ^ hash) >> 52) == 0;
}

static inline uint32_t slot_generation(uint64_t slot)
{
	return (uint32_t)(slot >> 36) & 0xffff;
}

static inline uint32_t slot_segment(uint64_t slot)
{
	return (uint32_t)(slot >> 20) & 0xffff;
}

static inline uint32_t slot_offset(uint64_t slot)
{
	return ((uint32_t)slot & 0xfffff) * 8;
}

static inline uint32_t bucket_of(const struct cache_layout *layout, uint64_t hash)
{
	return (uint32_t)(((hash & 0xffffffff) * layout->buckets) >> 32);
}

/* -- entries: head, key, value at the next multiple of eight -- */

#define ENTRY_HEAD 20u

struct entry_head {
	uint64_t check;
	uint64_t times; /* milliseconds of CLOCK_MONOTONIC when it expires, or 0; key bytes - 1 */
	uint32_t value_bytes;
	uint32_t key_begins; /* the key: not part of the head */
};
_Static_assert(offsetof(struct entry_head, key_begins) == ENTRY_HEAD, "shared layout");

#define ENTRY_KEY_BITS 10u

static inline uint64_t entry_times(uint64_t expires_ms, size_t key_bytes)
{
	return expires_ms << ENTRY_KEY_BITS | (key_bytes - 1);
}

static inline uint32_t entry_key_bytes(uint64_t times)
{
	return ((uint32_t)times & ((1u << ENTRY_KEY_BITS) - 1)) + 1;
}

static inline uint64_t entry_expires_ms(uint64_t times)
{
	return times >> ENTRY_KEY_BITS;
}

/* Where the value begins, from the start of the entry. */
static inline uint32_t entry_value_at(uint32_t key_bytes)
{
	return (ENTRY_HEAD + key_bytes + 7) & ~7u;
}

/* All bytes of an entry; 64 bits, since `value_bytes` may be nonsense or belong to a run. */
static inline uint64_t entry_bytes(uint32_t key_bytes, uint64_t value_bytes)
{
	return (entry_value_at(key_bytes) + value_bytes + 7) & ~UINT64_C(7);
}

/* -- hash and check -- */

/* The halves of the product, one over the other: each of its bits depends on all of both. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
	uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX), high = (a >> 32) * (b >> 32);
	uint64_t first = (a >> 32) * (b & UINT32_MAX), second = (a & UINT32_MAX) * (b >> 32);
	uint64_t carry = (low >> 32) + (first & UINT32_MAX) + (second & UINT32_MAX);

	high += (first >> 32) + (second >> 32) + (carry >> 32);
	return (carry << 32 | (low & UINT32_MAX)) ^ high;
#endif
}

/* A keyed hash: who does not know the secret cannot choose keys that meet. */
uint64_t cache_hash(const uint64_t secret[2], const void *key, size_t key_bytes);

/*
 * What an entry's head must contain, where its slot says that it lies, and now. The generation: of
 * all its segments together.
 */
static inline uint64_t entry_check(const uint64_t secret[4], uint64_t epoch, uint64_t generation,
	uint64_t slot, uint64_t hash, uint64_t lengths)
{
	/* Without the tag, which is the hash's. */
	uint64_t place = fold(hash ^ secret[2], (slot << 12) ^ secret[3]);
	uint64_t time = fold(generation ^ secret[2], epoch ^ secret[3]);

	return fold(place ^ lengths, time ^ secret[2]);
}

/* -- copies of what others may change meanwhile; the caller looks afterwards whether they did -- */

#if defined(__SANITIZE_THREAD__)
/* The thread sanitizer must see that it is meant. */
static inline void copy_from_shared(void *to, const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((unsigned char *)to)[i] = SHARED_LOAD(((const unsigned char *)from)[i]);
}

static inline void copy_to_shared(void *to, const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		SHARED_STORE(((unsigned char *)to)[i], ((const unsigned char *)from)[i]);
}

static inline int differs_from_shared(const void *ours, const void *shared, size_t bytes)
{
	int differs = 0;

	for (size_t i = 0; i < bytes; i++)
		differs |= ((const unsigned char *)ours)[i] ^
			SHARED_LOAD(((const unsigned char *)shared)[i]);
	return differs;
}
#else
/* Most keys are short: then two words say it. */
static inline int differs_from_shared(const void *ours, const void *shared, size_t bytes)
{
	uint64_t a[2], b[2];

	if (bytes < sizeof(a[0]) || bytes > sizeof(a))
		return memcmp(ours, shared, bytes) != 0;
	memcpy(&a[0], ours, sizeof(a[0]));
	memcpy(&a[1], (const char *)ours + bytes - sizeof(a[1]), sizeof(a[1]));
	memcpy(&b[0], shared, sizeof(b[0]));
	memcpy(&b[1], (const char *)shared + bytes - sizeof(b[1]), sizeof(b[1]));
	return ((a[0] ^ b[0]) | (a[1] ^ b[1])) != 0;
}

#define copy_from_shared(to, from, bytes) ((void)memcpy(to, from, bytes))
#define copy_to_shared(to, from, bytes) ((void)memcpy(to, from, bytes))
#endif

#endif /* ASHMEM_LIB_CACHE_LAYOUT_H */
