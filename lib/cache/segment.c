/* SPDX-License-Identifier: MIT */
/*
 * Segments; see segment.h.
 *
 * Each handle has a segment of each class to append to. Between two puts it stays held only if the
 * handle has one of the leases, of which there is one for sixteen segments: so idle writers keep at
 * most an eighth of the cache from being purged. Who has none holds its segment anew for each put,
 * and looks whether it is still the same.
 *
 * Which segment is taken: one that was purged, or never used, or whose entries are not needed any
 * more; else the oldest of the class that gives way (age.c). Those that somebody holds are passed
 * over.
 */
#include <errno.h>
#include <unistd.h>

#include "base/lock.h"
#include "cache/owner.h"
#include "cache/segment.h"
#include "memfd/take.h"

/* Segments looked at for one that nobody holds. */
#define TRIES 64u

static uint32_t first_page(const struct ashmem_cache *cache, uint32_t segment)
{
	return cache_page_of(cache, segment, 0);
}

static uint32_t last_page(const struct ashmem_cache *cache, uint32_t segment)
{
	return cache_page_of(cache, segment, cache->layout.segment_bytes - 1u);
}

static int hold(struct ashmem_cache *cache, int fd, uint32_t segment)
{
	return memfd_hold_by(cache->memfd, fd, first_page(cache, segment),
		last_page(cache, segment));
}

static void let_go(struct ashmem_cache *cache, int fd, uint32_t segment)
{
	memfd_let_go(cache->memfd, fd, first_page(cache, segment), last_page(cache, segment));
}

/* -- choosing -- */

/* What is taken first has the smallest. */
enum kind { PURGED, NEVER_USED, CLEARED, OLDEST, OTHERS };
struct rank {
	enum kind kind;
	uint64_t sequence;
};

/* Which class gives way: probation, while it has more than a tenth of what is in use. */
struct choosing {
	uint64_t epoch;
	int main_gives_way;
	uint32_t free; /* segments without entries */
};

static int comes_before(struct rank a, struct rank b)
{
	return a.kind != b.kind ? a.kind < b.kind : a.sequence < b.sequence;
}

static struct rank rank_of(const struct ashmem_cache *cache, const struct choosing *choosing,
	uint32_t segment)
{
	const struct cache_segment *at = &cache->table[segment];
	uint64_t sequence = SHARED_LOAD(at->sequence);

	if (sequence == 0)
		return (struct rank){NEVER_USED, segment};
	if (cache_is_lost(cache, segment, 0, 1))
		return (struct rank){PURGED, sequence};
	if (SHARED_LOAD(at->epoch) < choosing->epoch)
		return (struct rank){CLEARED, sequence};
	return (struct rank){
		!SHARED_LOAD(at->is_main) == !choosing->main_gives_way ? OLDEST : OTHERS, sequence};
}

static struct choosing begin_choosing(const struct ashmem_cache *cache, uint64_t epoch)
{
	struct choosing choosing = {.epoch = epoch};
	uint32_t in_use = 0, probation = 0;

	for (uint32_t i = 0; i < cache->layout.segments; i++) {
		int is_in_use = rank_of(cache, &choosing, i).kind >= OLDEST;
		in_use += is_in_use;
		probation += is_in_use && !SHARED_LOAD(cache->table[i].is_main);
	}
	choosing.main_gives_way = probation * 10 <= in_use;
	choosing.free = cache->layout.segments - in_use;
	return choosing;
}

/* The next one after `*after` in the order of taking: 1, or 0 if there is none. */
static int choose(const struct ashmem_cache *cache, const struct choosing *choosing,
	const struct rank *after, uint32_t *chosen, struct rank *its_rank)
{
	int found = 0;

	for (uint32_t i = 0; i < cache->layout.segments; i++) {
		struct rank rank = rank_of(cache, choosing, i);
		if (after && !comes_before(*after, rank))
			continue;
		if (found && !comes_before(rank, *its_rank))
			continue;
		*its_rank = rank;
		*chosen = i;
		found = 1;
	}
	return found;
}

int segment_victim(struct ashmem_cache *cache, uint64_t epoch, uint32_t *segment,
	uint64_t *sequence)
{
	struct choosing choosing = begin_choosing(cache, epoch);
	/* After all that has no entries. */
	struct rank rank = {OLDEST, 0};

	for (uint32_t tries = 0; tries < TRIES; tries++) {
		struct rank after = rank;
		if (!choose(cache, &choosing, &after, segment, &rank))
			return 0;
		*sequence = rank.sequence;
		if (!memfd_is_held(cache->memfd, first_page(cache, *segment),
			    last_page(cache, *segment)))
			return 1;
	}
	return 0;
}

void segment_give_up(struct ashmem_cache *cache, uint32_t segment)
{
	SHARED_STORE(cache->table[segment].epoch, 0);
}

/* -- taking -- */

struct taking {
	struct ashmem_cache *cache;
	const struct choosing *choosing;
	uint32_t segment;
	struct rank rank; /* as it was when it was chosen */
	uint64_t epoch;
	enum cache_class class;
	uint64_t generation; /* the new one */
};

/* Called by memfd_take(), under the area's lock: the old contents end. */
static int begin_anew(void *context)
{
	struct taking *taking = context;
	struct ashmem_cache *cache = taking->cache;
	struct cache_segment *at = &cache->table[taking->segment];

	/* Another one was faster, and what it has put is worth more. */
	if (comes_before(taking->rank, rank_of(cache, taking->choosing, taking->segment)))
		return -EBUSY;
	taking->generation = SHARED_LOAD(at->generation) + 1;
	/* Before everything else that follows: find.c. */
	__atomic_store_n(&at->generation, taking->generation, __ATOMIC_RELEASE);
	CRASH_BARRIER();
	if (SHARED_LOAD(at->sequence) != 0)
		__atomic_fetch_add(&cache->shared->evictions, 1, __ATOMIC_RELAXED);
	SHARED_STORE(at->used, CACHE_FIRST_OFFSET);
	SHARED_STORE(at->is_main, taking->class == CACHE_MAIN);
	SHARED_STORE(at->epoch, taking->epoch);
	uint64_t sequence = SHARED_LOAD(cache->shared->sequence) + 1;
	SHARED_STORE(cache->shared->sequence, sequence);
	SHARED_STORE(at->sequence, sequence);
	return 0;
}

static int take(struct ashmem_cache *cache, struct taking *taking)
{
	const struct memfd_taking pages = {
		.first = first_page(cache, taking->segment),
		.last = last_page(cache, taking->segment),
		.priority = ASHMEM_PRIORITY_NORMAL + (taking->class == CACHE_MAIN),
		.lock_fd = cache->room_fd,
		.invalidate = begin_anew,
		.context = taking,
	};

	return memfd_take(cache->memfd, &pages);
}

static int may_take(const struct choosing *choosing, const struct rank *rank, enum cache_take how)
{
	if (how == TAKE_ANY)
		return 1;
	return rank->kind < OLDEST && (how == TAKE_LAST || choosing->free > 1);
}

/* Append to another segment from now on. */
static int take_next(struct ashmem_cache *cache, uint64_t epoch, enum cache_class class,
	enum cache_take how)
{
	struct choosing choosing = begin_choosing(cache, epoch);
	struct taking taking = {
		.cache = cache, .choosing = &choosing, .epoch = epoch, .class = class};
	int r = -EBUSY;

	for (uint32_t tries = 0; tries < TRIES && r == -EBUSY; tries++) {
		struct rank after = taking.rank;
		if (!choose(cache, &choosing, tries ? &after : NULL, &taking.segment,
			    &taking.rank) ||
			!may_take(&choosing, &taking.rank, how))
			break;
		if (cache->writers[taking.segment] || cache->views[taking.segment])
			continue;
		r = take(cache, &taking);
	}
	if (r < 0)
		return r == -EBUSY && how == TAKE_ANY ? -EAGAIN : r;
	cache->log[class] = (struct cache_log){
		.segment = taking.segment,
		.used = CACHE_FIRST_OFFSET,
		.generation = taking.generation,
		.is_held = 1,
	};
	return 0;
}

/* -- the segment that is appended to -- */

static void try_lease(struct ashmem_cache *cache)
{
	uint32_t leases = (cache->layout.segments + 15) / 16;

	leases = leases < CACHE_LEASES ? leases : CACHE_LEASES;
	for (uint32_t i = 0; i < leases && !cache->has_lease; i++)
		cache->has_lease = owner_claim(cache, &cache->shared->leases[i], cache->ticket);
}

/* Nobody of this handle writes there any more, or appends to it. */
static void let_go_if_idle(struct ashmem_cache *cache, uint32_t segment)
{
	if (cache->writers[segment])
		return;
	for (int i = 0; i < CACHE_CLASSES; i++) {
		struct cache_log *log = &cache->log[i];
		if (log->segment != segment)
			continue;
		if (!cache->has_lease && log->is_held) {
			let_go(cache, cache->room_fd, segment);
			log->is_held = 0;
		}
		return;
	}
	let_go(cache, cache->room_fd, segment);
}

static void end_log(struct ashmem_cache *cache, struct cache_log *log)
{
	uint32_t segment = log->segment;
	int is_held = log->is_held;

	log->segment = CACHE_NO_SEGMENT;
	log->is_held = 0;
	if (segment != CACHE_NO_SEGMENT && is_held)
		let_go_if_idle(cache, segment);
}

/* Hold the segment again that was let go after the last put: 1, or 0 if it is not the same. */
static int hold_log_again(struct ashmem_cache *cache, struct cache_log *log)
{
	if (log->is_held)
		return 1;
	if (hold(cache, cache->room_fd, log->segment) < 0)
		return 0;
	log->is_held = 1;
	return __atomic_load_n(&cache->table[log->segment].generation, __ATOMIC_ACQUIRE) ==
		log->generation &&
		!cache_is_lost(cache, log->segment, 0, cache->layout.segment_bytes);
}

/* Have a segment with so much room. */
static int prepare_log(struct ashmem_cache *cache, uint32_t bytes, uint64_t epoch,
	enum cache_class class, enum cache_take how, int *taken)
{
	struct cache_log *log = &cache->log[class];

	*taken = 0;
	if (log->segment != CACHE_NO_SEGMENT && bytes <= cache->layout.segment_bytes - log->used &&
		hold_log_again(cache, log))
		return 0;
	end_log(cache, log);
	if (!cache->has_lease)
		try_lease(cache);
	int r = take_next(cache, epoch, class, how);
	*taken = r == 0;
	return r;
}

int segment_room(struct ashmem_cache *cache, uint32_t bytes, uint64_t epoch, enum cache_class class,
	enum cache_take how, struct cache_room *room)
{
	cache_lock(cache);
	int r = owner_begin(cache);
	if (r == 0)
		r = prepare_log(cache, bytes, epoch, class, how, &room->taken);
	if (r == 0) {
		struct cache_log *log = &cache->log[class];
		struct cache_segment *at = &cache->table[log->segment];
		room->segment = log->segment;
		room->offset = log->used;
		room->generation = log->generation;
		room->forks = cache->forks;
		log->used += bytes;
		cache->writers[log->segment]++;
		SHARED_STORE(at->used, log->used);
		if (SHARED_LOAD(at->epoch) < epoch)
			SHARED_STORE(at->epoch, epoch);
	}
	cache_unlock(cache);
	return r;
}

void segment_done(struct ashmem_cache *cache, const struct cache_room *room)
{
	cache_lock(cache);
	/* In a child the count is not ours, and there is no lock. */
	if (room->forks == cache->forks) {
		cache->writers[room->segment]--;
		let_go_if_idle(cache, room->segment);
	}
	cache_unlock(cache);
}

/* -- looking -- */

int segment_view(struct ashmem_cache *cache, uint32_t segment)
{
	int r = 0;

	cache_lock(cache);
	if (cache->view_fd < 0) {
		r = memfd_open_locks(cache->memfd);
		if (r >= 0)
			cache->view_fd = r;
	}
	/* Under the mutex, so that a second view waits until the first one's hold is in force. */
	if (r >= 0 && cache->views[segment] == 0)
		r = hold(cache, cache->view_fd, segment);
	if (r >= 0)
		cache->views[segment]++;
	cache_unlock(cache);
	return r < 0 ? r : 0;
}

void segment_leave(struct ashmem_cache *cache, uint32_t segment)
{
	cache_lock(cache);
	if (--cache->views[segment] == 0)
		let_go(cache, cache->view_fd, segment);
	cache_unlock(cache);
}

void segment_hold_for(struct ashmem_cache *cache, int fd, uint32_t segment)
{
	memfd_lock_by(cache->memfd, fd, first_page(cache, segment), last_page(cache, segment));
}

void segment_end(struct ashmem_cache *cache)
{
	for (uint32_t i = 0; i < CACHE_LEASES && cache->has_lease; i++)
		owner_yield(&cache->shared->leases[i], cache->ticket);
	cache_forget(cache);
}
