/* SPDX-License-Identifier: MIT */
/*
 * Caches of keys and values whose peer writes anything into them: index, table of segments, heads
 * of entries, words of owners, and the area's state, beside calls of every kind on two handles.
 *
 * What must hold: no crash, no sanitizer report, no access outside the cache (guards.c), answers
 * that cache.h names, outputs no larger than their buffers, every call back within its bound. What
 * values contain is the peer's to say: docs/security.md.
 *
 * A peer reads the secret in the cache, and can make heads whose check is right.
 */
#include "hostile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cache/layout.h"

enum { KEYS = 60, VALUE_MOST = 40000, CALLS = 3000, LOCKED_CALLS = 12 };

/* -- the enemy -- */

struct scribbler {
	int fd;
	uint64_t file_bytes;
	unsigned char *base;
	struct cache_layout layout;
	struct cache_shared *shared;
	struct cache_segment *table;
	struct cache_bucket *buckets;
	struct dice dice;
	void (*strike)(struct scribbler *scribbler);
};

static uint64_t strange_word(struct scribbler *s, uint64_t was)
{
	switch (roll(&s->dice, 4)) {
	case 0:
		return was ^ UINT64_C(1) << roll(&s->dice, 64);
	case 1:
		return was + roll(&s->dice, 5) - 2;
	case 2:
		return roll(&s->dice, 2) ? UINT64_MAX : 0;
	default:
		return roll_bits(&s->dice);
	}
}

static void put_word(struct scribbler *s, void *place)
{
	uint64_t *word = place;

	SHARED_STORE(*word, strange_word(s, SHARED_LOAD(*word)));
}

static struct cache_bucket *any_bucket(struct scribbler *s)
{
	return &s->buckets[roll(&s->dice, s->layout.buckets)];
}

static void strike_index(struct scribbler *s)
{
	struct cache_bucket *bucket = any_bucket(s), *other = any_bucket(s);
	uint64_t *slot = &bucket->slot[roll(&s->dice, CACHE_SLOTS)];

	if (roll(&s->dice, 3))
		put_word(s, slot);
	else
		SHARED_STORE(*slot, SHARED_LOAD(other->slot[roll(&s->dice, CACHE_SLOTS)]));
	SHARED_STORE(bucket->reads, (uint32_t)roll_bits(&s->dice));
}

static void strike_table(struct scribbler *s)
{
	uint64_t *words = (uint64_t *)&s->table[roll(&s->dice, s->layout.segments)];

	put_word(s, &words[roll(&s->dice, sizeof(*s->table) / sizeof(*words))]);
}

static void strike_header(struct scribbler *s)
{
	uint64_t *words = (uint64_t *)s->shared;

	put_word(s, &words[roll(&s->dice, sizeof(*s->shared) / sizeof(*words))]);
}

/* Of one that is there: the lengths are not what they were. */
static void strike_head(struct scribbler *s)
{
	uint64_t slot = SHARED_LOAD(any_bucket(s)->slot[roll(&s->dice, CACHE_SLOTS)]);
	uint64_t at = s->layout.segments_at +
		(uint64_t)slot_segment(slot) * s->layout.segment_bytes + slot_offset(slot);

	if (slot != 0 && at + sizeof(struct entry_head) <= s->layout.bytes)
		put_word(s, s->base + at + 8 * roll(&s->dice, 3));
}

/* One that passes for an entry of a key, and reaches to the end of its segment, or beyond. */
static void strike_forged(struct scribbler *s)
{
	uint32_t key = (uint32_t)roll(&s->dice, KEYS);
	uint32_t segment = (uint32_t)roll(&s->dice, s->layout.segments);
	uint32_t key_bytes = roll(&s->dice, 2) ? sizeof(key) : 1 + (uint32_t)roll(&s->dice, 1024);
	uint32_t left = 8 * (uint32_t)(4 + roll(&s->dice, roll(&s->dice, 2) ? 12 : 5000));
	uint32_t offset = s->layout.segment_bytes - left;
	uint32_t value_bytes = left - entry_value_at(key_bytes) + (uint32_t)roll(&s->dice, 64) - 32;
	uint64_t hash = cache_hash(s->shared->secret, &key, sizeof(key));
	uint64_t generation = SHARED_LOAD(s->table[segment].generation);
	struct entry_head *head = (struct entry_head *)(s->base + s->layout.segments_at +
		(uint64_t)segment * s->layout.segment_bytes + offset);

	if (roll(&s->dice, 4) == 0)
		value_bytes = (uint32_t)roll_bits(&s->dice);
	SHARED_STORE(head->times, entry_times(0, key_bytes));
	SHARED_STORE(head->value_bytes, value_bytes);
	SHARED_STORE(head->check,
		entry_check(s->shared->secret, SHARED_LOAD(s->shared->epoch), generation,
			slot_make(hash, generation, segment, offset), hash,
			(uint64_t)value_bytes << 32 | key_bytes));
	if (left >= 24)
		memcpy((unsigned char *)head + ENTRY_HEAD, &key, sizeof(key));
	SHARED_STORE(s->buckets[bucket_of(&s->layout, hash)].slot[roll(&s->dice, CACHE_SLOTS)],
		slot_make(hash, generation, segment, offset));
}

/* What belongs to a process as long as it lives belongs to anybody. */
static void strike_owners(struct scribbler *s)
{
	put_word(s, &s->shared->leases[roll(&s->dice, CACHE_LEASES)]);
	put_word(s, &s->shared->claims[roll(&s->dice, CACHE_CLAIMS)]);
	put_word(s, &s->shared->tickets);
}

/* The area's state too, but for its lock and what is sealed in its id. */
static void strike_state(struct scribbler *s)
{
	uint64_t words = (s->file_bytes - s->layout.bytes) / 8;
	uint64_t *place = (uint64_t *)(s->base + s->layout.bytes) + roll(&s->dice, words);
	struct control *control =
		(struct control *)(s->base + s->file_bytes - sizeof(struct control));
	unsigned char *at = (unsigned char *)place;

	if (at >= (unsigned char *)&control->id ||
		(at <= (unsigned char *)&control->lock && at + 8 > (unsigned char *)&control->lock))
		return;
	put_word(s, place);
	strike_index(s);
}

static void strike_all(struct scribbler *s)
{
	static void (*const strikes[])(struct scribbler *) = {strike_index, strike_table,
		strike_header, strike_head, strike_forged, strike_owners};

	strikes[roll(&s->dice, sizeof(strikes) / sizeof(strikes[0]))](s);
}

/* Buckets that somebody has locked who is not there. */
static void strike_locks(struct scribbler *s)
{
	for (uint32_t i = 0; i < s->layout.buckets; i++)
		SHARED_STORE(s->buckets[i].lock, (uint32_t)LOCK_TID - 1);
	sleep_ms(1);
}

static int scribble(void *argument)
{
	struct scribbler *s = argument;

	for (;;) {
		s->strike(s);
		if (roll(&s->dice, 32) == 0)
			sleep_ms(1);
	}
	return 0;
}

static void scribbler_make(struct scribbler *s, int fd, uint64_t cache_bytes, uint64_t seed)
{
	struct stat status;

	must(fstat(fd, &status) == 0);
	s->fd = fd;
	s->file_bytes = (uint64_t)status.st_size;
	s->base = mmap(NULL, s->file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(s->base != MAP_FAILED);
	s->shared = (struct cache_shared *)s->base;
	must(cache_layout_read(&s->layout, s->shared, cache_bytes) == 0);
	s->table = (struct cache_segment *)(s->base + s->layout.table_at);
	s->buckets = (struct cache_bucket *)(s->base + s->layout.buckets_at);
	s->dice.state = seed | 1;
}

/* -- the victim -- */

struct user {
	struct ashmem_cache *cache[2];
	struct dice dice;
	unsigned char buffer[VALUE_MOST + 64];
};

static int is_documented(int64_t answer)
{
	static const int errors[] = {ENOENT, EAGAIN, EFBIG, EBUSY, ETIMEDOUT, EUCLEAN, EBADF,
		EEXIST, ENOTSUP, ENOMEM, EMFILE, ENFILE, ERANGE, EPROTO, EDEADLK};

	for (size_t i = 0; answer < 0 && i < sizeof(errors) / sizeof(errors[0]); i++)
		if (answer == -errors[i])
			return 1;
	return answer >= 0;
}

/* Every byte of it can be read. */
static void touch_entry(struct ashmem_entry *entry)
{
	uint64_t bytes = 0;
	const unsigned char *at = ashmem_entry_value(entry, &bytes);
	volatile unsigned char sum = 0;

	must(!at || bytes < (16u << 20));
	for (uint64_t i = 0; at && i < bytes; i++)
		sum = (unsigned char)(sum + at[i]);
	ashmem_entry_release(entry);
}

static int64_t read_into(struct user *u, struct ashmem_cache *cache, uint32_t key)
{
	size_t room = (size_t)roll(&u->dice, VALUE_MOST);

	memset(u->buffer + room, 0xa5, 64);
	int64_t r = ashmem_cache_read(cache, &key, sizeof(key), u->buffer, room);
	for (size_t i = 0; i < 64; i++)
		must(u->buffer[room + i] == 0xa5);
	return r;
}

static int64_t build(struct user *u, struct ashmem_cache *cache, uint32_t key, size_t bytes)
{
	struct ashmem_entry *entry = NULL;
	int64_t r = ashmem_cache_reserve(cache, &key, sizeof(key), bytes, 0, &entry);

	if (r < 0) {
		must(!entry);
		return r;
	}
	memset(ashmem_entry_room(entry, NULL), 1, bytes);
	if (roll(&u->dice, 4))
		r = ashmem_entry_commit(entry);
	touch_entry(entry);
	return r;
}

static int64_t walk(struct user *u, struct ashmem_cache *cache)
{
	uint64_t position = roll(&u->dice, 4) ? 0 : roll_bits(&u->dice), bytes;
	size_t room = (size_t)roll(&u->dice, ASHMEM_CACHE_KEY_MOST), key_bytes = 0;
	int64_t r = 1;

	for (int i = 0; i < 40 && r == 1; i++) {
		memset(u->buffer + room, 0xa5, 64);
		r = ashmem_cache_next(cache, &position, u->buffer, room, &key_bytes, &bytes);
		must(r != 1 || (key_bytes > 0 && key_bytes <= room));
		for (size_t j = 0; j < 64; j++)
			must(u->buffer[room + j] == 0xa5);
	}
	return r;
}

static int64_t import_again(struct user *u, struct ashmem_cache *cache)
{
	struct ashmem_cache *another;
	int64_t r = ashmem_cache_import(ashmem_cache_fd(cache), &another);

	if (r < 0)
		return r;
	(void)!read_into(u, another, 1);
	ashmem_cache_close(another);
	return r;
}

static int64_t one_call(struct user *u)
{
	struct ashmem_cache *cache = u->cache[roll(&u->dice, 2)];
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};
	struct ashmem_entry *entry = NULL;
	uint32_t key = (uint32_t)roll(&u->dice, KEYS);
	size_t bytes = (size_t)roll(&u->dice, roll(&u->dice, 3) ? 300 : VALUE_MOST);
	int64_t r;

	switch (roll(&u->dice, 14)) {
	case 0:
		/* Rarely, so that entries have to give way too. */
		return roll(&u->dice, 16) ? 0 : ashmem_shrink(1 + roll(&u->dice, 40));
	case 1:
		return ashmem_cache_remove(cache, &key, sizeof(key));
	case 2:
		return build(u, cache, key, bytes);
	case 3:
		r = ashmem_cache_claim(cache, &key, sizeof(key), 0, &entry);
		touch_entry(entry);
		return r;
	case 4:
		return walk(u, cache);
	case 5:
		return ashmem_cache_get_stats(cache, &stats);
	case 6:
		return ashmem_cache_touch(cache, &key, sizeof(key), 1000);
	case 7:
		return import_again(u, cache);
	case 8:
		return roll(&u->dice, 16) ? 0 : ashmem_cache_clear(cache);
	case 9:
		r = ashmem_cache_get(cache, &key, sizeof(key), &entry);
		touch_entry(entry);
		return r;
	case 10:
	case 11:
	case 12:
		return ashmem_cache_put_with(cache, &key, sizeof(key), u->buffer, bytes, 0,
			(uint32_t)roll(&u->dice, 3));
	default:
		return read_into(u, cache, key);
	}
}

static void run_against(void (*strike)(struct scribbler *), int calls, uint64_t seed)
{
	static struct user user;
	static struct scribbler scribbler;
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = 1 << 20,
		.entries = 400,
		.value_most_bytes = VALUE_MOST,
	};

	guards_begin();
	must(ashmem_cache_create("victim", &options, &user.cache[0]) == 0);
	must(ashmem_cache_import(ashmem_cache_fd(user.cache[0]), &user.cache[1]) == 0);
	user.dice.state = seed * 2 + 1;
	scribbler = (struct scribbler){.strike = strike};
	scribbler_make(&scribbler, ashmem_cache_fd(user.cache[0]),
		ashmem_get_size(ashmem_cache_area(user.cache[0])), seed);
	for (uint32_t key = 0; key < KEYS; key++)
		(void)!ashmem_cache_put(user.cache[0], &key, sizeof(key), user.buffer, 100 * key,
			0);
	pid_t enemy = start_process(scribble, &scribbler);
	for (int i = 0; i < calls; i++) {
		uint64_t begun = sys_now_ns();
		int64_t r = one_call(&user);
		if (!is_documented(r))
			fail("a call answers %" PRId64, r);
		if (sys_now_ns() - begun > 4 * (uint64_t)WAIT_TIMEOUT_NS + SLACK_NS)
			fail("a call takes %" PRIu64 " ms", (sys_now_ns() - begun) / 1000000);
	}
	kill_process(enemy);
	ashmem_cache_close(user.cache[1]);
	ashmem_cache_close(user.cache[0]);
	guards_check();
}

void cache_with_a_strange_index(uint64_t seed)
{
	run_against(strike_index, CALLS, seed);
}

void cache_with_a_strange_table(uint64_t seed)
{
	run_against(strike_table, CALLS, seed);
}

void cache_with_a_strange_header(uint64_t seed)
{
	run_against(strike_header, CALLS, seed);
}

void cache_with_strange_heads(uint64_t seed)
{
	run_against(strike_head, CALLS, seed);
}

void cache_with_forged_entries(uint64_t seed)
{
	run_against(strike_forged, CALLS, seed);
}

void cache_with_strange_owners(uint64_t seed)
{
	run_against(strike_owners, CALLS, seed);
}

void cache_with_a_strange_state(uint64_t seed)
{
	run_against(strike_state, CALLS / 4, seed);
}

void cache_with_everything_strange(uint64_t seed)
{
	run_against(strike_all, CALLS, seed);
}

void cache_whose_index_is_locked(uint64_t seed)
{
	run_against(strike_locks, LOCKED_CALLS, seed);
}
