/* SPDX-License-Identifier: MIT */
/*
 * Looking at free bytes and purging, for dispatches and from within ashmem_unpin() (relief.h).
 *
 * One purge at a time with a relief. A thread that comes meanwhile goes on, but waits a little
 * where memory is very short, for filling on would overtake the purge. It does not wait for long:
 * what the purge calls may need a lock that the waiting thread has.
 *
 * Dispatch and unpin look through one and the same source. Its `look` only reads files from their
 * beginning, and the lock is held for it, so an open source for each would find the same and take
 * twice the descriptors.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <ashmem/shrinker.h>

#include "area/around.h"
#include "base/context.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/shared.h"
#include "base/sys.h"
#include "handle/switches.h"
#include "pressure/relief.h"

#define STEP_SHARE 16 /* of the free bytes: as many threads can fill at the same time */
#define STEP_MIN ((uint64_t)64 << 10)
#define STEP_MAX ((uint64_t)64 << 20)
/* No thread fills faster. One that unpins faster pins and unpins what was there before. */
#define BYTES_PER_NS 20
#define LOOK_SHARE 8 /* of the time: what looking may cost */
/* Nanoseconds without a look for so many free bytes: two processors fill an eighth of them. */
#define BLIND_SHARE 16
#define WAIT_NS 500000
#define WAITS 400
#define ROUNDS 4 /* of looking and purging in one call */

static pthread_mutex_t relief_lock = PTHREAD_MUTEX_INITIALIZER;
static struct relief *duty; /* looks in ashmem_unpin(); in a child it may be the parent's */

static size_t step_bytes;     /* atomic: a thread looks after so many; 0: nobody has the duty */
static uint64_t next_look_ns; /* atomic: not before that */

static THREAD_LOCAL uint64_t unpinned_bytes; /* since this thread looked */

void relief_before_fork(void)
{
	pthread_mutex_lock(&relief_lock);
}

void relief_after_fork(void)
{
	pthread_mutex_unlock(&relief_lock);
}

/* -- the duty; with the lock -- */

static void switch_unpin(size_t step)
{
	__atomic_store_n(&step_bytes, step, __ATOMIC_RELAXED);
	switches_set(SWITCH_GUARD, step ? SWITCH_GUARD : 0);
}

static void end_duty(void)
{
	duty = NULL;
	switch_unpin(0);
}

/* When a thread looks again, after a look that began then and found so many bytes free. */
static void set_step(uint64_t free_bytes, uint64_t began_ns)
{
	uint64_t now_ns = sys_now_ns(), step = free_bytes / STEP_SHARE, wait_ns;

	step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
	/*
	 * A look takes long also if this thread was not running; that must not blind us for longer
	 * than is safe.
	 */
	wait_ns = (now_ns - began_ns) * LOOK_SHARE;
	if (wait_ns > free_bytes / BLIND_SHARE)
		wait_ns = free_bytes / BLIND_SHARE;
	if (wait_ns < step / BYTES_PER_NS)
		wait_ns = step / BYTES_PER_NS;
	__atomic_store_n(&next_look_ns, now_ns + wait_ns, __ATOMIC_RELAXED);
	switch_unpin((size_t)step);
}

/* -- looking and purging; with the lock -- */

/* What is free, and what to do about it: nothing where that is not known. */
static struct pressure_decision look_at(struct relief *r, struct pressure_observation *o)
{
	uint64_t began_ns = sys_now_ns();
	struct pressure_decision decision = {.purge_pages = 0};

	*o = (struct pressure_observation){.now_ns = source_clock(),
		/* Counting them would cost more than asking for too many. */
		.evictable_pages = UINT64_MAX,
		.page_bytes = sys_page_size()};
	if (!r->source)
		return decision;
	if (r->source->kind->look(r->source, o->now_ns, o) < 0) {
		o->headroom_known = 0;
		if (r == duty) /* the next dispatch takes it again, or finds the source gone */
			end_duty();
		return decision;
	}
	policy_decide_by_headroom(&r->policy, &r->settings, o, &decision);
	if (r == duty) /* no limit any more: there may be one later */
		set_step(o->headroom_known ? o->free_bytes : STEP_MAX * STEP_SHARE, began_ns);
	return decision;
}

static struct pressure_decision look(struct relief *r)
{
	struct pressure_observation unused;

	return look_at(r, &unused);
}

/* Shrinkers are called, so the lock is given up. */
static uint64_t count_purgeable(void)
{
	pthread_mutex_unlock(&relief_lock);
	uint64_t pages = ashmem_shrink_count();
	pthread_mutex_lock(&relief_lock);
	return pages;
}

/* What to purge of a decision: this process's part, less what it purged too much for the last. */
static uint64_t choose_pages(struct relief *r, const struct pressure_decision *decision,
	uint64_t evictable_pages, int *is_part)
{
	uint64_t wanted = policy_part(decision, evictable_pages);

	*is_part = wanted < decision->purge_pages && wanted < evictable_pages;
	if (!*is_part)
		r->ahead_pages = 0;
	uint64_t ahead = r->ahead_pages < wanted ? r->ahead_pages : wanted;
	r->ahead_pages -= ahead;
	return wanted - ahead;
}

/*
 * Shrink by the pages of a decision, or by this process's part of them, and count that. The lock is
 * given up meanwhile. `patience_ns` is for all of one call; `*is_part`: others are to purge too.
 */
static uint64_t shrink(struct relief *r, const struct pressure_decision *decision,
	uint64_t *patience_ns, int *is_part)
{
	/* Shrinkers are called, and may unpin. */
	struct context frame = {.flags = CONTEXT_RELIEF, .patience_ns = patience_ns};
	uint64_t wanted = decision->purge_pages, evictable = wanted;
	int64_t purged = 0;

	pthread_mutex_unlock(&relief_lock);
	context_push(&frame);
	uint64_t began_ns = sys_now_ns();
	if (decision->by_headroom)
		evictable = ashmem_shrink_count();
	pthread_mutex_lock(&relief_lock);
	*is_part = 0;
	if (decision->by_headroom)
		wanted = choose_pages(r, decision, evictable, is_part);
	pthread_mutex_unlock(&relief_lock);
	if (wanted > 0)
		purged = ashmem_shrink(wanted);
	uint64_t purge_ns = sys_now_ns() - began_ns;
	context_pop(&frame);
	pthread_mutex_lock(&relief_lock);
	/* Pinned meanwhile, or an area is damaged or stuck: the next look shows which. */
	if (purged <= 0)
		return 0;
	policy_purged(&r->policy);
	if (*is_part && (uint64_t)purged > wanted)
		r->ahead_pages += (uint64_t)purged - wanted;
	r->counts.purges++;
	r->counts.wanted_pages += wanted;
	r->counts.purged_pages += (uint64_t)purged;
	r->counts.purge_ns += purge_ns;
	return (uint64_t)purged;
}

/*
 * Look, and purge what is needed, until a look finds that there is enough: others may take memory
 * meanwhile. Unless memory is very short it goes on only if what was purged shows, for it may count
 * elsewhere. Nobody else purges with this relief.
 */
static uint64_t relieve(struct relief *r, int in_unpin)
{
	struct pressure_observation before, after;
	struct pressure_decision decision = look_at(r, &before);
	uint64_t all = 0, patience_ns = LOCK_TIMEOUT_NS;
	int is_part;

	for (int round = 0; decision.purge_pages > 0 && round < ROUNDS; round++) {
		r->is_purging = 1;
		uint64_t purged = shrink(r, &decision, &patience_ns, &is_part);
		r->is_purging = 0;
		if (purged == 0)
			break;
		all += purged;
		r->counts.headroom_purges++;
		r->counts.unpin_purges += (uint64_t)in_unpin;
		decision = look_at(r, &after);
		if (decision.observed < ASHMEM_PRESSURE_HIGH &&
			(is_part ||
				after.free_bytes <
					before.free_bytes + purged / 2 * before.page_bytes))
			break;
		before = after;
	}
	return all;
}

/* -- without the lock -- */

/* The lock and a reference, until leave(). */
static void enter(struct relief *r)
{
	pthread_mutex_lock(&relief_lock);
	r->references++;
}

static void leave(struct relief *r)
{
	int is_last = --r->references == 0;

	pthread_mutex_unlock(&relief_lock);
	if (is_last)
		free(r);
}

/*
 * Enter this relief, or (NULL) the one with the duty, when nobody purges with it. NULL, and no
 * lock, if there is none or the caller may go on while another thread purges. Where memory is very
 * short it may not: filling on would overtake the purge.
 */
static struct relief *enter_to_purge(struct relief *own)
{
	const struct timespec wait = {.tv_nsec = WAIT_NS};

	for (int i = 0; i < WAITS; i++) {
		pthread_mutex_lock(&relief_lock);
		struct relief *r = own ? own : duty;
		if (r && r->owner != getpid())
			r = NULL;
		if (r && !r->is_purging) {
			r->references++;
			return r;
		}
		int is_urgent = r && look(r).observed >= ASHMEM_PRESSURE_HIGH;
		pthread_mutex_unlock(&relief_lock);
		if (!is_urgent)
			break;
		nanosleep(&wait, NULL);
	}
	return NULL;
}

/* After every unpin, with no lock held: looks and purges when it is time. */
static void relief_unpinned(uint64_t bytes)
{
	/* Relaxed: a thread that sees an old step looks somewhat early or late. */
	size_t step = __atomic_load_n(&step_bytes, __ATOMIC_RELAXED);

	if (step == 0)
		return;
	unpinned_bytes += bytes;
	if (unpinned_bytes < step || context_is_within(CONTEXT_RELIEF) ||
		sys_now_ns() < __atomic_load_n(&next_look_ns, __ATOMIC_RELAXED))
		return;
	unpinned_bytes = 0;
	struct relief *r = enter_to_purge(NULL);
	if (!r)
		return;
	relieve(r, 1);
	leave(r);
}

uint64_t relief_purge(struct relief *relief, const struct pressure_decision *decision)
{
	uint64_t purged, patience_ns = LOCK_TIMEOUT_NS;
	int is_part;

	if (decision->purge_pages == 0)
		return 0;
	if (!decision->by_headroom) {
		enter(relief);
		purged = shrink(relief, decision, &patience_ns, &is_part);
	} else {
		if (!enter_to_purge(relief))
			return 0;
		purged = relieve(relief, 0);
	}
	leave(relief);
	return purged;
}

int64_t relief_make_room(struct relief *relief, uint64_t bytes)
{
	uint64_t sum = 0, left = 0, patience_ns = LOCK_TIMEOUT_NS;
	struct pressure_observation o;
	int64_t missing, r = 0;
	int is_part;

	enter(relief);
	for (int is_first = 1; r == 0; is_first = 0) {
		uint64_t reserve_bytes = look_at(relief, &o).reserve_bytes, purged = 0;
		missing = o.headroom_known ? policy_room(&o, reserve_bytes, bytes) : 0;
		if (missing == 0)
			break;
		/* Others may unpin as fast as we purge: it ends when what was there is gone. */
		if (is_first)
			left = 2 * count_purgeable();
		/* Nobody else is waited for: this process is the one that needs it. */
		const struct pressure_decision all = {
			.by_headroom = 1, .purge_pages = (uint64_t)missing};
		if (missing > 0 && left > 0)
			purged = shrink(relief, &all, &patience_ns, &is_part);
		sum += purged;
		left -= purged < left ? purged : left;
		r = purged == 0 ? -ENOMEM : 0;
	}
	if (!o.headroom_known)
		r = -ENODATA;
	leave(relief);
	return r < 0 ? r : (int64_t)sum;
}

int relief_decide(struct relief *relief, struct pressure_observation *o,
	struct pressure_decision *decision)
{
	int r = 0;

	pthread_mutex_lock(&relief_lock);
	if (relief->source)
		r = relief->source->kind->look(relief->source, o->now_ns, o);
	if (!source_is_gone(r))
		policy_decide(&relief->policy, &relief->settings, o, decision);
	pthread_mutex_unlock(&relief_lock);
	return source_is_gone(r) ? -ENODEV : 0;
}

void relief_take_duty(struct relief *relief)
{
	pthread_mutex_lock(&relief_lock);
	if (duty && duty->owner != getpid())
		end_duty(); /* the parent's */
	if (!duty && relief->in_unpin && relief->source) {
		duty = relief;
		around_set_guard(relief_unpinned);
		look(relief);
	}
	pthread_mutex_unlock(&relief_lock);
}

void relief_get_counts(struct relief *relief, struct ashmem_pressure_status *status)
{
	pthread_mutex_lock(&relief_lock);
	const struct relief_counts *counts = &relief->counts;
	status->purges = counts->purges;
	status->wanted_pages = counts->wanted_pages;
	status->purged_pages = counts->purged_pages;
	status->purge_ns = counts->purge_ns;
	status->headroom_purges = counts->headroom_purges;
	status->unpin_purges = counts->unpin_purges;
	status->bursts = relief->policy.bursts;
	pthread_mutex_unlock(&relief_lock);
}

/* -- life -- */

struct relief *relief_new(const struct pressure_settings *settings, int in_unpin)
{
	struct relief *relief = calloc(1, sizeof(*relief));

	if (!relief)
		return NULL;
	relief->owner = getpid();
	relief->in_unpin = in_unpin;
	relief->settings = *settings;
	relief->references = 1;
	return relief;
}

static void set_source(struct relief *relief, struct open_source *source)
{
	relief->source = source;
	if (!source && duty == relief)
		end_duty();
}

void relief_set_source(struct relief *relief, struct open_source *source)
{
	pthread_mutex_lock(&relief_lock);
	set_source(relief, source);
	pthread_mutex_unlock(&relief_lock);
}

void relief_drop(struct relief *relief)
{
	pthread_mutex_lock(&relief_lock);
	set_source(relief, NULL);
	leave(relief);
}
