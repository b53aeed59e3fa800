/* SPDX-License-Identifier: MIT */
/*
 * Segments; see segment.h.
 *
 * Each handle has a segment of each class to append to. Between two puts it stays held only if the
 * handle has one of the leases, of which there is one for sixteen segments: so idle writers keep at
 * most an eighth of the cache from being purged. Who has none holds its segment anew for each put,
 * and looks whether it is still the same.
 *
 * Which ones are taken says choose.c. A run for an entry that is larger than a segment is taken at
 * once, and belongs to no log. Its segments get numbers of taking in a row, by which they are known
 * as one run: if one of them is taken for something else, it is none any more.
 */
#include <errno.h>
#include <unistd.h>

#include "base/lock.h"
#include "cache/choose.h"
#include "cache/owner.h"
#include "cache/segment.h"
#include "memfd/take.h"

static int hold(struct ashmem_cache *cache, int fd, uint32_t segment)
{
	return memfd_hold_by(cache->memfd, fd, cache_first_page(cache, segment),
		cache_last_page(cache, segment));
}

static void let_go(struct ashmem_cache *cache, int fd, uint32_t segment)
{
	memfd_let_go(cache->memfd, fd, cache_first_page(cache, segment),
		cache_last_page(cache, segment));
}

/* -- taking -- */

struct taking {
	struct ashmem_cache *cache;
	struct choosing choosing;
	uint32_t segment, count;
	struct choose_rank rank; /* as it was when they were chosen */
	uint64_t epoch;
	enum cache_class class;
	uint64_t generation; /* the new one of the first, and of all together */
	uint64_t generations;
};

/* The number of the next taking; under the area's lock. */
static void give_number(struct ashmem_cache *cache, struct cache_segment *at)
{
	uint64_t sequence = SHARED_LOAD(cache->shared->sequence) + 1;

	SHARED_STORE(cache->shared->sequence, sequence);
	SHARED_STORE(at->sequence, sequence);
}

/* One segment's old contents end; it is the one after so many others of its run. */
static void begin_segment(const struct taking *taking, uint32_t before)
{
	struct ashmem_cache *cache = taking->cache;
	struct cache_segment *at = &cache->table[taking->segment + before];

	/* Before everything else that follows: find.c. */
	__atomic_store_n(&at->generation, SHARED_LOAD(at->generation) + 1, __ATOMIC_RELEASE);
	CRASH_BARRIER();
	if (SHARED_LOAD(at->sequence) != 0)
		__atomic_fetch_add(&cache->shared->evictions, 1, __ATOMIC_RELAXED);
	SHARED_STORE(at->used, CACHE_FIRST_OFFSET);
	SHARED_STORE(at->is_main, taking->class == CACHE_MAIN);
	SHARED_STORE(at->before, (uint16_t)before);
	SHARED_STORE(at->epoch, taking->epoch);
	give_number(cache, at);
}

/* Called by memfd_take(), under the area's lock. */
static int begin_anew(void *context)
{
	struct taking *taking = context;

	/* Another one was faster, and what it has put is worth more. */
	if (!choose_is_still(taking->cache, &taking->choosing, taking->segment, taking->count,
		    &taking->rank))
		return -EBUSY;
	for (uint32_t i = 0; i < taking->count; i++)
		begin_segment(taking, i);
	taking->generation = cache_generation(taking->cache, taking->segment, 1);
	taking->generations = cache_generation(taking->cache, taking->segment, taking->count);
	return 0;
}

static struct memfd_taking pages_of(struct taking *taking)
{
	struct ashmem_cache *cache = taking->cache;

	return (struct memfd_taking){
		.first = cache_first_page(cache, taking->segment),
		.last = cache_last_page(cache, taking->segment + taking->count - 1),
		.priority = ASHMEM_PRIORITY_NORMAL + (taking->class == CACHE_MAIN),
		.lock_fd = cache->room_fd,
		.context = taking,
	};
}

/* Called by memfd_keep(), under the area's lock. */
static int begin_again(void *context)
{
	struct taking *taking = context;
	struct cache_segment *at = &taking->cache->table[taking->segment];

	for (uint32_t i = 0; i < taking->count; i++) {
		SHARED_STORE(at[i].is_main, 1);
		give_number(taking->cache, &at[i]);
	}
	return 0;
}

int segment_keep(struct ashmem_cache *cache, const struct cache_run *run)
{
	struct taking taking = {
		.cache = cache,
		.segment = run->first,
		.count = run->count,
		.class = CACHE_MAIN,
	};
	struct memfd_taking pages = pages_of(&taking);

	pages.invalidate = begin_again;
	return memfd_keep(cache->memfd, &pages) == 0;
}

/* Called by memfd_keep(), under the area's lock: whether all entries are of an earlier epoch. */
static int is_cleared(void *context)
{
	const struct taking *taking = context;

	return choose_kind_of(taking->cache, taking->segment, taking->epoch) == CHOOSE_CLEARED
		? 0
		: -EBUSY;
}

void segment_cleared(struct ashmem_cache *cache, uint64_t epoch)
{
	struct taking taking = {.cache = cache, .count = 1, .epoch = epoch};
	int r = 0;

	for (; taking.segment < cache->layout.segments && (r == 0 || r == -EBUSY);
		taking.segment++) {
		struct memfd_taking pages = pages_of(&taking);
		pages.priority = ASHMEM_PRIORITY_FIRST;
		pages.invalidate = is_cleared;
		r = is_cleared(&taking);
		if (r == 0)
			r = memfd_keep(cache->memfd, &pages);
	}
}

static int may_take(const struct choosing *choosing, const struct choose_rank *rank,
	enum cache_take how)
{
	if (how == TAKE_ANY)
		return 1;
	return rank->kind < CHOOSE_OLDEST && (how == TAKE_LAST || choosing->free > choosing->count);
}

/* A log whose segment was not held may have lost it. */
static void forget_logs_in(struct ashmem_cache *cache, const struct taking *taking)
{
	for (int i = 0; i < CACHE_CLASSES; i++)
		if (cache->log[i].segment - taking->segment < taking->count)
			cache->log[i] = (struct cache_log){.segment = CACHE_NO_SEGMENT};
}

/* Take so many segments in a row. */
static int take(struct taking *taking, enum cache_take how)
{
	struct ashmem_cache *cache = taking->cache;
	struct choosing *choosing = &taking->choosing;
	int r = -EBUSY;

	choose_begin(cache, taking->epoch, taking->count, choosing);
	while (r == -EBUSY && choosing->tries < CHOOSE_TRIES) {
		if (!choose_next(cache, choosing, &taking->segment, &taking->rank) ||
			!may_take(choosing, &taking->rank, how))
			break;
		if (!choose_is_free(cache, choosing, taking->segment))
			continue;
		struct memfd_taking pages = pages_of(taking);
		pages.invalidate = begin_anew;
		r = memfd_take(cache->memfd, &pages);
		if (r == -EBUSY)
			choose_pass_over(choosing, taking->segment);
	}
	if (r >= 0)
		forget_logs_in(cache, taking);
	return r == -EBUSY && how == TAKE_ANY ? -EAGAIN : r;
}

/* Append to another segment from now on. */
static int take_next(struct ashmem_cache *cache, uint64_t epoch, enum cache_class class,
	enum cache_take how)
{
	struct taking taking = {.cache = cache, .count = 1, .epoch = epoch, .class = class};
	int r = take(&taking, how);

	if (r < 0)
		return r;
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
		!cache_is_lost(cache, cache_at(cache, log->segment, 0),
			cache_at(cache, log->segment + 1, 0));
}

/* Have a segment with so much room. One with entries that were cleared is used no more. */
static int prepare_log(struct ashmem_cache *cache, uint64_t bytes, uint64_t epoch,
	enum cache_class class, enum cache_take how, uint32_t *taken)
{
	struct cache_log *log = &cache->log[class];

	*taken = 0;
	if (log->segment != CACHE_NO_SEGMENT && bytes <= cache->layout.segment_bytes - log->used &&
		SHARED_LOAD(cache->table[log->segment].epoch) >= epoch &&
		hold_log_again(cache, log))
		return 0;
	end_log(cache, log);
	if (!cache->has_lease)
		try_lease(cache);
	int r = take_next(cache, epoch, class, how);
	*taken = r == 0;
	return r;
}

/* Room in the segment that is appended to. */
static int room_in_log(struct ashmem_cache *cache, uint64_t bytes, uint64_t epoch,
	enum cache_class class, enum cache_take how, struct cache_room *room)
{
	int r = prepare_log(cache, bytes, epoch, class, how, &room->taken);

	if (r < 0)
		return r;
	struct cache_log *log = &cache->log[class];
	struct cache_segment *at = &cache->table[log->segment];
	room->segment = log->segment;
	room->segments = 1;
	room->offset = log->used;
	room->generation = room->generations = log->generation;
	log->used += (uint32_t)bytes;
	SHARED_STORE(at->used, log->used);
	return 0;
}

/* A run of segments, for what is too large for one. */
static int room_of_run(struct ashmem_cache *cache, uint64_t bytes, uint64_t epoch,
	enum cache_class class, enum cache_take how, struct cache_room *room)
{
	uint64_t end = CACHE_FIRST_OFFSET + bytes, segment_bytes = cache->layout.segment_bytes;
	struct taking taking = {
		.cache = cache,
		.count = cache_segments_for(cache, end),
		.epoch = epoch,
		.class = class,
	};

	int r = take(&taking, how);
	if (r < 0)
		return r;
	room->segment = taking.segment;
	room->segments = room->taken = taking.count;
	room->offset = CACHE_FIRST_OFFSET;
	room->generation = taking.generation;
	room->generations = taking.generations;
	for (uint32_t i = 0; i < taking.count; i++, end -= segment_bytes)
		SHARED_STORE(cache->table[taking.segment + i].used,
			(uint32_t)(end < segment_bytes ? end : segment_bytes));
	return 0;
}

int segment_room(struct ashmem_cache *cache, uint64_t bytes, uint64_t epoch, enum cache_class class,
	enum cache_take how, struct cache_room *room)
{
	cache_lock(cache);
	int r = owner_begin(cache);
	if (r == 0) {
		if (__builtin_expect(bytes <= cache->layout.segment_bytes - CACHE_FIRST_OFFSET, 1))
			r = room_in_log(cache, bytes, epoch, class, how, room);
		else
			r = room_of_run(cache, bytes, epoch, class, how, room);
	}
	if (r == 0) {
		room->forks = cache->forks;
		for (uint32_t i = 0; i < room->segments; i++)
			cache->writers[room->segment + i]++;
	}
	cache_unlock(cache);
	return r;
}

void segment_done(struct ashmem_cache *cache, const struct cache_room *room)
{
	cache_lock(cache);
	/* In a child the count is not ours, and there is no lock. */
	for (uint32_t i = 0; i < room->segments && room->forks == cache->forks; i++) {
		cache->writers[room->segment + i]--;
		let_go_if_idle(cache, room->segment + i);
	}
	cache_unlock(cache);
}

/* -- looking -- */

static void leave(struct ashmem_cache *cache, uint32_t segment, uint32_t count)
{
	for (uint32_t i = segment; i < segment + count; i++)
		if (--cache->views[i] == 0)
			let_go(cache, cache->view_fd, i);
}

int segment_view(struct ashmem_cache *cache, uint32_t segment, uint32_t count)
{
	uint32_t held = 0;
	int r = 0;

	cache_lock(cache);
	if (cache->view_fd < 0) {
		r = memfd_open_locks(cache->memfd);
		if (r >= 0)
			cache->view_fd = r;
	}
	/* Under the mutex, so that a second view waits until the first one's hold is in force. */
	while (r >= 0 && held < count) {
		if (cache->views[segment + held] == 0)
			r = hold(cache, cache->view_fd, segment + held);
		if (r >= 0)
			cache->views[segment + held++]++;
	}
	if (r < 0)
		leave(cache, segment, held);
	cache_unlock(cache);
	return r < 0 ? r : 0;
}

void segment_leave(struct ashmem_cache *cache, uint32_t segment, uint32_t count)
{
	cache_lock(cache);
	leave(cache, segment, count);
	cache_unlock(cache);
}

void segment_hold_for(struct ashmem_cache *cache, int fd, uint32_t segment)
{
	memfd_lock_by(cache->memfd, fd, cache_first_page(cache, segment),
		cache_last_page(cache, segment));
}

void segment_end(struct ashmem_cache *cache)
{
	for (uint32_t i = 0; i < CACHE_LEASES && cache->has_lease; i++)
		owner_yield(&cache->shared->leases[i], cache->ticket);
	cache_forget(cache);
}
