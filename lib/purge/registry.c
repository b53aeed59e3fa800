/* SPDX-License-Identifier: MIT */
/*
 * The registry of shrinkers.
 *
 * A walk over the shrinkers holds a reference to each (`refs`), which keeps it in memory and in the
 * list and nothing more. Around each call of its functions `running` is raised; the end of a
 * shrinker waits for that alone. So nobody waits for the rest of a walk, and none of the program's
 * functions runs with a lock held:
 *   1. With `ended` set no call begins.
 *   2. `release` is called by the first that sees `ended` and no call running: the thread that ends
 *      the shrinker, or the last call.
 *   3. The memory is freed with the last reference; the registry's own is given back after
 *      `release`.
 *
 * Locks: `registry_mutex` is a leaf: it guards all that changes here, and is held for some
 * instructions only. Which function runs on a thread, and which walks are under way on it, is in
 * its frames (base/context.h).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cancel.h"
#include "base/context.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/shared.h"
#include "base/structs.h"
#include "base/sys.h"
#include "purge/areas.h"
#include "purge/registry.h"

struct ashmem_shrinker {
	struct ashmem_shrinker *prev, *next;
	uint64_t serial; /* grows with every registration */
	ashmem_shrinker_count_fn count;
	ashmem_shrinker_scan_fn scan;
	ashmem_shrinker_release_fn release;
	void *userdata;
	uint64_t batch_pages;
	uint32_t seeks;

	uint32_t refs, running;
	int held; /* the registry's own reference is there */
	int ended, released;
	int ended_within; /* its end did not wait for calls under way */
	int64_t carry;    /* shrink_shares.h */
	struct ashmem_shrinker_stats stats;
};

static uint64_t count_areas(void *userdata)
{
	(void)userdata;
	return areas_evictable();
}

static struct ashmem_shrinker areas = {
	.count = count_areas,
	.batch_pages = UINT64_MAX,
	.seeks = ASHMEM_SHRINKER_SEEKS_AREAS,
	.refs = 1,
	.held = 1,
	.stats = {.name = "areas"},
};

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t call_ended = PTHREAD_COND_INITIALIZER;
static struct ashmem_shrinker *last = &areas; /* the list is walked from `areas` */
static uint32_t registered;                   /* atomic for reading: not ended, without the areas */
static uint64_t serials;

/* -- the list; the mutex is held -- */

static void link_last(struct ashmem_shrinker *shrinker)
{
	shrinker->prev = last;
	last->next = shrinker;
	last = shrinker;
}

static void unlink_shrinker(struct ashmem_shrinker *shrinker)
{
	shrinker->prev->next = shrinker->next;
	if (shrinker->next)
		shrinker->next->prev = shrinker->prev;
	else
		last = shrinker->prev;
}

/* Give up a reference: the shrinker if it was the last, to be freed without the mutex; or NULL. */
static struct ashmem_shrinker *unref(struct ashmem_shrinker *shrinker)
{
	if (--shrinker->refs > 0)
		return NULL;
	unlink_shrinker(shrinker);
	return shrinker;
}

/* Whether the caller is the one that releases it. */
static int is_to_release(struct ashmem_shrinker *shrinker)
{
	if (!shrinker->ended || shrinker->running > 0 || shrinker->released)
		return 0;
	shrinker->released = 1;
	return 1;
}

/* -- fork -- */

void registry_before_fork(void)
{
	pthread_mutex_lock(&registry_mutex);
}

void registry_after_fork(void)
{
	pthread_mutex_unlock(&registry_mutex);
}

static uint32_t times_taken(const struct ashmem_shrinker *shrinker)
{
	uint32_t times = 0;

	for (const struct context *at = context_top; at; at = at->outer) {
		const struct registry_walk *walk = at->walk;
		for (unsigned i = 0; walk && i < walk->count; i++)
			times += walk->taken[i] == shrinker;
	}
	return times;
}

/*
 * Of all calls and walks only those of this thread are here. What other threads were ending is
 * never released; its memory stays.
 */
void registry_after_fork_in_child(void)
{
	call_ended = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
	for (struct ashmem_shrinker *s = &areas; s; s = s->next) {
		s->running = s == context_shrinker();
		s->refs = times_taken(s) + (uint32_t)s->held;
		if (s->refs == 0)
			unlink_shrinker(s);
	}
}

/* -- registering -- */

static int is_cost(uint32_t seeks)
{
	return seeks <= SHRINK_SHARES_SEEKS_MAX || seeks == ASHMEM_SHRINKER_FREE;
}

/* As it is kept: 0 costs nothing. */
static uint32_t cost_of(uint32_t seeks, uint32_t usual)
{
	return seeks == ASHMEM_SHRINKER_FREE ? 0 : seeks ? seeks : usual;
}

static int set_options(struct ashmem_shrinker *shrinker, const struct ashmem_shrinker_options *o)
{
	if (!o->count || !o->scan || !is_cost(o->seeks))
		return -EINVAL;
	shrinker->count = o->count;
	shrinker->scan = o->scan;
	shrinker->release = o->release;
	shrinker->userdata = o->userdata;
	shrinker->batch_pages = o->batch_pages ? o->batch_pages : ASHMEM_SHRINKER_BATCH_DEFAULT;
	shrinker->seeks = cost_of(o->seeks, ASHMEM_SHRINKER_SEEKS_DEFAULT);
	if (o->name)
		memcpy(shrinker->stats.name, o->name,
			strnlen(o->name, sizeof(shrinker->stats.name) - 1));
	return 0;
}

int ashmem_shrinker_register(const struct ashmem_shrinker_options *options,
	struct ashmem_shrinker **shrinker)
{
	CANCEL_OFF;
	struct ashmem_shrinker_options wishes = {.struct_size = sizeof(wishes)};
	struct ashmem_shrinker *fresh;
	int r = options && shrinker ? struct_copy_in(&wishes, sizeof(wishes), options) : -EINVAL;

	if (r == 0)
		r = process_start();
	if (r < 0)
		return r;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->refs = 1;
	fresh->held = 1;
	r = set_options(fresh, &wishes);

	pthread_mutex_lock(&registry_mutex);
	if (r == 0 && registered + 1 >= REGISTRY_MAX)
		r = -ENOSPC;
	if (r == 0) {
		fresh->serial = ++serials;
		link_last(fresh);
		__atomic_store_n(&registered, registered + 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&registry_mutex);

	if (r < 0) {
		free(fresh);
		return r;
	}
	*shrinker = fresh;
	return 0;
}

int ashmem_shrinker_set_areas_seeks(uint32_t seeks)
{
	if (!is_cost(seeks))
		return -EINVAL;
	process_start(); /* as ashmem_shrinker_get_stats() does */
	pthread_mutex_lock(&registry_mutex);
	areas.seeks = cost_of(seeks, ASHMEM_SHRINKER_SEEKS_AREAS);
	pthread_mutex_unlock(&registry_mutex);
	return 0;
}

/* Call `release` and give up the registry's reference. */
static void release(struct ashmem_shrinker *shrinker)
{
	if (shrinker->release)
		shrinker->release(shrinker->userdata);
	pthread_mutex_lock(&registry_mutex);
	shrinker->held = 0;
	struct ashmem_shrinker *unused = unref(shrinker);
	pthread_mutex_unlock(&registry_mutex);
	free(unused);
}

void ashmem_shrinker_unregister(struct ashmem_shrinker *shrinker)
{
	CANCEL_OFF;
	if (!shrinker)
		return;
	pthread_mutex_lock(&registry_mutex);
	shrinker->ended = 1;
	/* A call that we waited for may wait for a lock that this thread has. */
	shrinker->ended_within = shrinker == context_shrinker() || !context_may_purge();
	__atomic_store_n(&registered, registered - 1, __ATOMIC_RELAXED);
	while (!shrinker->ended_within && shrinker->running > 0)
		pthread_cond_wait(&call_ended, &registry_mutex);
	int mine = is_to_release(shrinker);
	pthread_mutex_unlock(&registry_mutex);
	if (mine)
		release(shrinker);
}

/* -- walking -- */

int registry_only_areas(void)
{
	return __atomic_load_n(&registered, __ATOMIC_RELAXED) == 0 || context_shrinker() ||
		!context_may_purge();
}

void registry_begin_walk(struct registry_walk *walk)
{
	walk->taken[0] = &areas; /* there for good: needs no reference */
	walk->count = 1;
	walk->last_serial = 0;
	walk->patience_ns = LOCK_TIMEOUT_NS;
	walk->frame = (struct context){.walk = walk};
	context_push(&walk->frame);
}

void registry_take(struct registry_walk *walk)
{
	pthread_mutex_lock(&registry_mutex);
	for (struct ashmem_shrinker *s = areas.next; s && walk->count < REGISTRY_MAX; s = s->next) {
		if (s->ended || s->serial <= walk->last_serial)
			continue;
		s->refs++;
		walk->last_serial = s->serial;
		walk->taken[walk->count++] = s;
	}
	pthread_mutex_unlock(&registry_mutex);
}

void registry_end_walk(struct registry_walk *walk)
{
	struct ashmem_shrinker *unused = NULL, *next;

	pthread_mutex_lock(&registry_mutex);
	for (unsigned i = 1; i < walk->count; i++) {
		struct ashmem_shrinker *gone = unref(walk->taken[i]);
		if (gone) {
			gone->next = unused;
			unused = gone;
		}
	}
	context_pop(&walk->frame);
	pthread_mutex_unlock(&registry_mutex);
	for (; unused; unused = next) {
		next = unused->next;
		free(unused);
	}
}

/* -- calling -- */

/* Whether its functions may be called; then end_call() follows. */
static int begin_call(struct ashmem_shrinker *shrinker, struct context *frame)
{
	/* Not the program's: no end to wait for, and shrinking may go on from within. */
	if (shrinker == &areas)
		return 1;
	pthread_mutex_lock(&registry_mutex);
	int may = !shrinker->ended;
	if (may)
		shrinker->running++;
	pthread_mutex_unlock(&registry_mutex);
	if (may)
		context_push(frame);
	return may;
}

static void end_call(struct ashmem_shrinker *shrinker, struct context *frame)
{
	if (shrinker == &areas)
		return;
	context_pop(frame);
	pthread_mutex_lock(&registry_mutex);
	shrinker->running--;
	int mine = 0;
	if (shrinker->ended) {
		/*
		 * A thread that waits for the end of calls releases the shrinker; if its end did
		 * not wait, the last call does.
		 */
		pthread_cond_broadcast(&call_ended);
		mine = shrinker->ended_within && is_to_release(shrinker);
	}
	pthread_mutex_unlock(&registry_mutex);
	if (mine)
		release(shrinker);
}

static void record_scan(struct ashmem_shrinker *shrinker, uint64_t nr_pages, int64_t freed)
{
	pthread_mutex_lock(&registry_mutex);
	shrinker->stats.scans++;
	shrinker->stats.asked_pages += nr_pages;
	if (freed < 0)
		shrinker->stats.stops++;
	else
		shrinker->stats.freed_pages += (uint64_t)freed;
	pthread_mutex_unlock(&registry_mutex);
}

uint64_t registry_count(struct ashmem_shrinker *shrinker)
{
	struct context frame = {.shrinker = shrinker};
	uint64_t pages;

	if (!begin_call(shrinker, &frame))
		return 0;
	pages = shrinker->count(shrinker->userdata);
	end_call(shrinker, &frame);
	return pages;
}

int64_t registry_scan(struct registry_walk *walk, struct ashmem_shrinker *shrinker,
	uint64_t nr_pages)
{
	struct context frame = {.shrinker = shrinker};
	int64_t freed;

	if (!begin_call(shrinker, &frame))
		return ASHMEM_SHRINK_STOP;
	if (shrinker == &areas)
		freed = areas_shrink(nr_pages, &walk->patience_ns);
	else
		freed = shrinker->scan(shrinker->userdata, nr_pages);
	record_scan(shrinker, nr_pages, freed);
	end_call(shrinker, &frame);
	return freed;
}

int registry_is_areas(const struct ashmem_shrinker *shrinker)
{
	return shrinker == &areas;
}

uint64_t registry_batch(const struct ashmem_shrinker *shrinker)
{
	return shrinker->batch_pages;
}

uint64_t registry_divide(struct registry_walk *walk, struct shrink_share *shares, uint64_t want)
{
	pthread_mutex_lock(&registry_mutex);
	for (unsigned i = 0; i < walk->count; i++) {
		shares[i].seeks = walk->taken[i]->seeks;
		shares[i].carry = walk->taken[i]->carry;
	}
	uint64_t given = shrink_shares_divide(shares, walk->count, want);
	for (unsigned i = 0; i < walk->count; i++)
		walk->taken[i]->carry = shares[i].carry;
	pthread_mutex_unlock(&registry_mutex);
	return given;
}

int ashmem_shrinker_get_stats(uint32_t index, struct ashmem_shrinker_stats *stats)
{
	CANCEL_OFF;
	struct ashmem_shrinker_stats all = {.struct_size = sizeof(all)};
	struct ashmem_shrinker *shrinker;

	if (!stats || stats->struct_size < sizeof(stats->struct_size))
		return -EINVAL;
	process_start(); /* as table_visit() does */
	pthread_mutex_lock(&registry_mutex);
	for (shrinker = &areas; shrinker; shrinker = shrinker->next)
		if (!shrinker->ended && index-- == 0)
			break;
	if (shrinker) {
		all = shrinker->stats;
		all.batch_pages = shrinker->batch_pages;
		all.seeks = shrinker->seeks;
	}
	pthread_mutex_unlock(&registry_mutex);
	if (!shrinker)
		return -ENOENT;
	struct_copy_out(stats, &all, sizeof(all));
	return 0;
}
