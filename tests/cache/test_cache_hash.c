/* SPDX-License-Identifier: MIT */
/*
 * The hash of keys: alike keys are spread over buckets and tags as by chance, whatever the secret;
 * and programs of 32 and 64 bits, which share caches, agree on it.
 */
#include "support/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "cache/layout.h"

enum { KEYS = 400000, BUCKETS = 20011, TAGS = 4096 };

static int compare(const void *a, const void *b)
{
	uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

	return first < second ? -1 : first > second;
}

/* How far the counts are from KEYS / count each; about `count` if by chance. */
static double chi_square(const uint32_t *counts, uint32_t count)
{
	double expected = (double)KEYS / count, sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += (counts[i] - expected) * (counts[i] - expected) / expected;
	return sum;
}

static void expect_spread(const char *format)
{
	static uint64_t hashes[KEYS];
	static uint32_t buckets[BUCKETS], tags[TAGS];
	const struct cache_layout layout = {.buckets = BUCKETS};
	uint64_t secret[2];
	char key[100];

	sys_random(secret, sizeof(secret));
	memset(buckets, 0, sizeof(buckets));
	memset(tags, 0, sizeof(tags));
	for (uint32_t i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), format, i);
		hashes[i] = cache_hash(secret, key, strlen(key));
		buckets[bucket_of(&layout, hashes[i])]++;
		tags[hashes[i] >> 52]++;
	}
	qsort(hashes, KEYS, sizeof(hashes[0]), compare);
	for (uint32_t i = 1; i < KEYS; i++)
		expect_msg(hashes[i] != hashes[i - 1], "two of \"%s\" have one hash", format);
	/* Ten standard deviations: by chance once in the age of the universe. */
	expect_msg(chi_square(buckets, BUCKETS) < BUCKETS * (1 + 10 * 0.01), "buckets: %s", format);
	expect_msg(chi_square(tags, TAGS) < TAGS * (1 + 10 * 0.0221), "tags: %s", format);
}

CONTRACT_TEST(cache_hash, numbered_keys_are_spread)
{
	expect_spread("%u");
	expect_spread("key-%012u");
	expect_spread("user:%u:profile");
	expect_spread("/a/long/path/with/a/number/%u/in/the/middle/of/it.png");
	expect_spread("%-30ux");
}

CONTRACT_TEST(cache_hash, every_bit_and_the_length_count)
{
	const uint64_t secret[2] = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};
	unsigned char key[100] = {0};
	uint64_t hashes[100 * 9];
	uint32_t count = 0;

	for (size_t bytes = 1; bytes <= sizeof(key); bytes++) {
		hashes[count++] = cache_hash(secret, key, bytes);
		for (int bit = 0; bit < 8; bit++) {
			key[bytes - 1] ^= (unsigned char)(1 << bit);
			hashes[count++] = cache_hash(secret, key, bytes);
			key[bytes - 1] ^= (unsigned char)(1 << bit);
		}
	}
	qsort(hashes, count, sizeof(hashes[0]), compare);
	for (uint32_t i = 1; i < count; i++)
		expect_msg(hashes[i] != hashes[i - 1], "two of the keys have one hash");
}

CONTRACT_TEST(cache_hash, is_the_same_in_every_program)
{
	const uint64_t secret[4] = {UINT64_C(0x123456789abcdef1), UINT64_C(0xfedcba9876543211),
		UINT64_C(0x0f1e2d3c4b5a6978), UINT64_C(0x8796a5b4c3d2e1f0)};
	unsigned char key[ASHMEM_CACHE_KEY_MOST];
	uint64_t all = 0;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (unsigned char)(i * 7 + 1);
	for (size_t bytes = 1; bytes <= sizeof(key); bytes++)
		all = all * 31 + cache_hash(secret, key, bytes);
	/*
	 * As another program computed them, for either order of bytes. With other ones,
	 * CACHE_VERSION must rise.
	 */
	const uint16_t one = 1;
	int is_little = *(const unsigned char *)&one;
	expect(all == (is_little ? UINT64_C(0x9a87b5db1ed63826) : UINT64_C(0x67d5130c333dad2f)));
	expect(entry_check(secret, 1, 0x10002, UINT64_C(0xabc0002003000045),
		       UINT64_C(0x1122334455667788),
		       UINT64_C(1024) << 32 | 16) == UINT64_C(0xd2d3b996f9dad8d5));
}
