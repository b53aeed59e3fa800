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

/* -- the hash -- */

static inline uint64_t load_64(const unsigned char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint64_t load_32(const unsigned char *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Sixteen bytes a step. In each product both factors contain what only the secret tells. */
uint64_t cache_hash(const uint64_t secret[2], const void *key, size_t key_bytes)
{
	const unsigned char *at = key, *end = at + key_bytes;
	uint64_t hash = secret[0], first, last;

	for (; end - at > 16; at += 16)
		hash = fold(load_64(at) ^ secret[1], load_64(at + 8) ^ hash);
	size_t left = (size_t)(end - at);
	if (left >= 8) {
		first = load_64(at);
		last = load_64(end - 8);
	} else if (left >= 4) {
		first = load_32(at);
		last = load_32(end - 4);
	} else {
		first = at[0] | (uint64_t)at[left / 2] << 8 | (uint64_t)end[-1] << 16;
		last = 0;
	}
	hash = fold(first ^ secret[1], last ^ hash);
	return fold(hash ^ secret[0], UINT64_C(0x9e3779b97f4a7c15) ^ key_bytes);
}
