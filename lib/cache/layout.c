/* SPDX-License-Identifier: MIT */
/*
 * Choosing, writing and checking the layout of a cache, and the hash of keys; see layout.h.
 *
 * Segments: a power of two near a 256th of the cache, from 64 KiB to 2 MiB, so that a purge can
 * take little; more where the largest value needs it, or where there would be too many of them. A
 * value of up to a 64th of the cache fits one segment, and the largest one eight, unless they would
 * be larger than a slot can address. All are multiples of 64 KiB, and so of the pages of any
 * system. No lock is held.
 */
#include <errno.h>
#include <string.h>

#include "base/structs.h"
#include "base/sys.h"
#include "cache/layout.h"

static const unsigned char magic[8] = {'a', 's', 'h', 'c', 'a', 'c', '\r', '\n'};

#define ALIGN 65536u
#define MOST_BYTES (UINT64_C(512) << 30)
#define LEAST_BYTES (UINT64_C(1) << 20)
#define LEAST_SEGMENTS 8u
/* Segments for the largest value, and what part of the cache fits one. */
#define RUN_MOST 8u
#define ONE_SEGMENT 64u
/* Entries a bucket on average: one in some hundred then finds no slot. */
#define ENTRIES_A_BUCKET_X2 17u

static uint64_t round_up(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) / to * to;
}

/* Where everything lies, from the counts. */
static void place(struct cache_layout *layout)
{
	layout->table_at = 4096;
	layout->buckets_at = round_up(layout->table_at +
			(uint64_t)layout->segments * sizeof(struct cache_segment),
		128);
	layout->segments_at = round_up(layout->buckets_at +
			(uint64_t)layout->buckets * sizeof(struct cache_bucket),
		ALIGN);
	layout->bytes = layout->segments_at + (uint64_t)layout->segments * layout->segment_bytes;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What the largest entry takes. */
static uint64_t most_needed(uint64_t value_most)
{
	return CACHE_FIRST_OFFSET + entry_bytes(ASHMEM_CACHE_KEY_MOST, value_most);
}

static uint64_t segment_bytes_for(uint64_t most, uint64_t value_most)
{
	uint64_t bytes = ALIGN, need = most_needed(value_most);

	while (bytes < most / 256 && bytes < 2u << 20)
		bytes *= 2;
	if (value_most > most / ONE_SEGMENT)
		need = larger(most / ONE_SEGMENT, need / RUN_MOST + 1);
	if (need > CACHE_SEGMENT_MOST)
		need = CACHE_SEGMENT_MOST;
	bytes = larger(bytes, round_up(need, ALIGN));
	return larger(bytes, round_up(most / (CACHE_SEGMENTS_MOST - 1), ALIGN));
}

int cache_layout_choose(struct cache_layout *layout, const struct ashmem_cache_options *options)
{
	struct ashmem_cache_options wish = {.struct_size = sizeof(wish)};
	int r = options ? struct_copy_in(&wish, sizeof(wish), options) : 0;

	if (r < 0)
		return r;
	if (wish.flags || wish.reserved)
		return -EINVAL;
	uint64_t most = wish.most_bytes ? wish.most_bytes : UINT64_C(64) << 20;
	if (most > MOST_BYTES || wish.entries > UINT32_MAX || wish.value_most_bytes > most / 4 ||
		wish.value_most_bytes > CACHE_VALUE_MOST)
		return -EFBIG;
	most = most < LEAST_BYTES ? LEAST_BYTES : most;
	uint64_t value_most = wish.value_most_bytes ? wish.value_most_bytes : most / 64;
	if (!wish.value_most_bytes && value_most > 1u << 20)
		value_most = 1u << 20;
	uint64_t segment_bytes = segment_bytes_for(most, value_most);
	if (segment_bytes > CACHE_SEGMENT_MOST)
		return -EFBIG;
	uint64_t segments = (most + segment_bytes - 1) / segment_bytes;
	uint64_t entries = wish.entries ? wish.entries : most / 1024;
	uint64_t buckets = entries * 2 / ENTRIES_A_BUCKET_X2 + 1;
	if (buckets > UINT32_MAX / 2)
		return -EFBIG;
	*layout = (struct cache_layout){
		.segments = (uint32_t)(segments < LEAST_SEGMENTS ? LEAST_SEGMENTS : segments),
		.segment_bytes = (uint32_t)segment_bytes,
		.buckets = (uint32_t)buckets,
		.value_most = value_most,
	};
	place(layout);
	return 0;
}

void cache_layout_write(const struct cache_layout *layout, struct cache_shared *shared)
{
	shared->version = CACHE_VERSION;
	shared->segments = layout->segments;
	shared->segment_bytes = layout->segment_bytes;
	shared->buckets = layout->buckets;
	shared->value_most = layout->value_most;
	shared->epoch = 1;
	sys_random(shared->secret, sizeof(shared->secret));
	CRASH_BARRIER(); /* what has the magic is complete */
	memcpy(shared->magic, magic, sizeof(magic));
}

int cache_layout_read(struct cache_layout *layout, const struct cache_shared *shared,
	uint64_t area_bytes)
{
	struct cache_layout read = {
		.segments = SHARED_LOAD(shared->segments),
		.segment_bytes = SHARED_LOAD(shared->segment_bytes),
		.buckets = SHARED_LOAD(shared->buckets),
		.value_most = SHARED_LOAD(shared->value_most),
	};

	if (memcmp(shared->magic, magic, sizeof(magic)) != 0 ||
		SHARED_LOAD(shared->version) != CACHE_VERSION)
		return -EPROTO;
	if (read.segments == 0 || read.segments > CACHE_SEGMENTS_MOST || read.buckets == 0 ||
		read.segment_bytes == 0 || read.segment_bytes > CACHE_SEGMENT_MOST ||
		read.segment_bytes % ALIGN != 0 || read.value_most > CACHE_VALUE_MOST)
		return -EUCLEAN;
	place(&read);
	if (read.bytes != area_bytes ||
		most_needed(read.value_most) > (uint64_t)read.segments * read.segment_bytes)
		return -EUCLEAN;
	*layout = read;
	return 0;
}

/* -- the hash: SipHash with one round a word and three at the end -- */

static inline uint64_t rotate(uint64_t word, unsigned by)
{
	return word << by | word >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint64_t cache_hash(const uint64_t secret[2], const void *key, size_t key_bytes)
{
	uint64_t v[4] = {
		secret[0] ^ UINT64_C(0x736f6d6570736575),
		secret[1] ^ UINT64_C(0x646f72616e646f6d),
		secret[0] ^ UINT64_C(0x6c7967656e657261),
		secret[1] ^ UINT64_C(0x7465646279746573),
	};
	const unsigned char *at = key;
	uint64_t word;
	size_t left = key_bytes;

	for (; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sip_word(v, word);
	}
	word = 0;
	memcpy(&word, at, left);
	sip_word(v, word ^ (uint64_t)key_bytes << 56);
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
