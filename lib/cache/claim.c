/* SPDX-License-Identifier: MIT */
/*
 * One builder for a key, in all processes.
 *
 * A claim is a word in shared memory that belongs to its process (owner.h), one for some hundredth
 * of all keys. A dead process has none, whenever it died. Who waits looks again and again, for as
 * long as it was told to. No lock is held on entry, nor while waiting.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/cancel.h"
#include "base/sys.h"
#include "cache/entry.h"
#include "cache/owner.h"
#include "cache/stats.h"

#define PAUSE_NS 100000u
#define PAUSE_MOST_NS 5000000u

/* 1 and the claim, 0: another one has it. */
static int try_claim(struct ashmem_cache *cache, const struct cache_key *key,
	struct ashmem_entry **entry)
{
	struct ashmem_entry *made = entry_new(cache, ENTRY_CLAIM, 0);

	if (!made)
		return -ENOMEM;
	made->claim = &cache->shared->claims[key->hash >> 32 & (CACHE_CLAIMS - 1)];
	cache_lock(cache);
	int r = owner_begin(cache);
	if (r == 0)
		r = owner_claim(cache, made->claim, cache->ticket);
	made->ticket = cache->ticket;
	made->writing.room.forks = cache->forks;
	cache_unlock(cache);
	if (r <= 0)
		free(made);
	else
		*entry = made;
	return r;
}

/* 1 and *found 1 or 0, or 0: not yet, or a negative errno. */
static int try_all(struct ashmem_cache *cache, const struct cache_key *key,
	struct ashmem_entry **entry, int *found)
{
	enum cache_miss miss;
	struct ashmem_entry *value;
	int r = entry_get(cache, key, entry, &miss);

	*found = r > 0;
	if (r != 0)
		return r;
	r = try_claim(cache, key, entry);
	if (r <= 0)
		return r;
	/* The last builder may have put it between the look and the claim. */
	r = entry_get(cache, key, &value, &miss);
	if (r == 0) {
		stats_miss(cache, miss);
		return 1;
	}
	entry_end(*entry);
	if (r > 0)
		*entry = value;
	*found = r > 0;
	return r;
}

static void pause_for(uint64_t ns)
{
	struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)ns};

	nanosleep(&pause, NULL);
}

int ashmem_cache_claim(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	uint32_t wait_ms, struct ashmem_entry **entry)
{
	CANCEL_OFF;
	uint64_t pause_ns = PAUSE_NS, left_ns = wait_ms * UINT64_C(1000000), begun_ns;
	struct ashmem_entry *made;
	int found, r = cache_check_writer(cache, key, key_bytes);

	if (r < 0 || !entry)
		return r < 0 ? r : -EINVAL;
	struct cache_key its_key = cache_key_of(cache, key, key_bytes);
	begun_ns = sys_now_ns();
	while ((r = try_all(cache, &its_key, &made, &found)) == 0) {
		uint64_t waited_ns = sys_now_ns() - begun_ns;
		if (waited_ns >= left_ns)
			return -EBUSY;
		uint64_t rest_ns = left_ns - waited_ns;
		pause_for(pause_ns < rest_ns ? pause_ns : rest_ns);
		pause_ns = pause_ns * 2 < PAUSE_MOST_NS ? pause_ns * 2 : PAUSE_MOST_NS;
	}
	if (r < 0)
		return r;
	cache_use(cache);
	*entry = made;
	return found ? ASHMEM_CLAIM_FOUND : ASHMEM_CLAIM_BUILD;
}
