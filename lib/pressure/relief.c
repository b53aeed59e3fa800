/* SPDX-License-Identifier: MIT */
/*
 * The guard: free bytes are looked at, and memory is purged, on the thread that fills it
 * (relief.h).
 *
 * `mutex` guards `guard` and is held for a look, which reads some files of the kernel, never while
 * purging: shrinkers are called then. One purge at a time; whoever comes meanwhile goes on, but
 * waits a little where memory is very short, for filling on would overtake the purge. It does not
 * wait for long: what the purge calls may need a lock that the waiting thread has.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ashmem/pressure.h>
#include <ashmem/shrinker.h>

#include "area/around.h"
#include "base/context.h"
#include "base/fork.h"
#include "base/shared.h"
#include "base/sys.h"
#include "handle/switches.h"
#include "pressure/relief.h"

#define STEP_SHARE 16 /* of the free bytes: as many threads can fill at the same time */
#define STEP_MIN ((uint64_t)64 << 10)
#define STEP_MAX ((uint64_t)64 << 20)
/* no thread fills faster: who unpins faster pins and unpins what was there before */
#define BYTES_PER_NS 20
#define LOOK_SHARE 8 /* of the time: what looking may cost */
/* nanoseconds without a look for so many free bytes: two processors fill an eighth of them */
#define BLIND_SHARE 16
#define WAIT_NS 500000
#define WAITS 400

static struct {
	const void *owner; /* NULL: nobody */
	pid_t pid;         /* of the owner: a child has a copy of all this */
	struct pressure_watch watch;
	struct pressure_settings settings;
	struct pressure_policy policy;
	struct guard_counts counts;
	int purging;
} guard;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t guard_step_bytes; /* atomic; 0: no guard */
static uint64_t next_look_ns;   /* atomic: not before that */

static THREAD_LOCAL uint64_t unpinned_bytes; /* since this thread looked */

void guard_before_fork(void)
{
	pthread_mutex_lock(&mutex);
}

void guard_after_fork(void)
{
	pthread_mutex_unlock(&mutex);
}

/* -- with the mutex held -- */

static void stop(void)
{
	switches_set(SWITCH_GUARD, 0);
	__atomic_store_n(&guard_step_bytes, 0, __ATOMIC_RELAXED);
	pressure_watch_close(&guard.watch);
	memset(&guard, 0, sizeof(guard));
}

static void set_step(uint64_t free_bytes, uint64_t began_ns)
{
	uint64_t now_ns = sys_now_ns(), step = free_bytes / STEP_SHARE, wait_ns;

	step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
	/*
	 * A look takes long also if we were not running; that must not blind us for longer than it
	 * is safe.
	 */
	wait_ns = (now_ns - began_ns) * LOOK_SHARE;
	if (wait_ns > free_bytes / BLIND_SHARE)
		wait_ns = free_bytes / BLIND_SHARE;
	if (wait_ns < step / BYTES_PER_NS)
		wait_ns = step / BYTES_PER_NS;
	__atomic_store_n(&next_look_ns, now_ns + wait_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&guard_step_bytes, (size_t)step, __ATOMIC_RELAXED);
	switches_set(SWITCH_GUARD, SWITCH_GUARD);
}

/* What to do now. `is_short`: somebody found that free bytes are, so the level has begun. */
static struct pressure_decision look(int is_short)
{
	uint64_t began_ns = sys_now_ns();
	struct pressure_observation o = {.now_ns = pressure_clock(),
		/* counting them would cost more than asking for too many */
		.evictable_pages = UINT64_MAX,
		.page_bytes = sys_page_size()};
	struct pressure_decision decision = {.purge_pages = 0};

	/* the watch will find out, too */
	if (guard.watch.source->look(&guard.watch, o.now_ns, &o) < 0) {
		stop();
		return decision;
	}
	if (!o.headroom_known) /* no limit any more; there may be one later */
		o.free_bytes = STEP_MAX * STEP_SHARE;
	if (is_short && guard.policy.headroom_level == ASHMEM_PRESSURE_NONE)
		guard.policy.headroom_level = ASHMEM_PRESSURE_SOME;
	pressure_decide(&guard.policy, &guard.settings, &o, &decision);
	set_step(o.free_bytes, began_ns);
	return decision;
}

static void add(uint64_t wanted, uint64_t purged, uint64_t purge_ns, int in_call)
{
	guard.counts.purges++;
	guard.counts.call_purges += (uint64_t)in_call;
	guard.counts.wanted_pages += wanted;
	guard.counts.purged_pages += purged;
	guard.counts.purge_ns += purge_ns;
}

/* Look and purge; the mutex is given up while purging. The pages that went. */
static int64_t relieve(int is_short, int in_call)
{
	const void *owner = guard.owner;
	uint64_t wanted = look(is_short).purge_pages, evictable, began_ns, purge_ns;
	struct context frame = {.flags = CONTEXT_RELIEF}; /* shrinkers are called, and may unpin */
	int64_t purged;

	if (wanted == 0)
		return 0;
	guard.purging = 1;
	pthread_mutex_unlock(&mutex);
	context_push(&frame);
	began_ns = sys_now_ns();
	evictable = ashmem_shrink_count();
	wanted = wanted < evictable ? wanted : evictable;
	purged = ashmem_shrink(wanted);
	purge_ns = sys_now_ns() - began_ns;
	context_pop(&frame);
	pthread_mutex_lock(&mutex);
	if (guard.owner != owner) /* closed meanwhile */
		return purged;
	guard.purging = 0;
	if (purged <= 0)
		return 0;
	add(wanted, (uint64_t)purged, purge_ns, in_call);
	look(0); /* for the next step */
	return purged;
}

/* -- from outside -- */

/*
 * 1 with the mutex held, and then nobody purges; 0 if the caller may go on while another does.
 * Where memory is very short it may not: filling on would overtake the purge.
 */
static int enter(void)
{
	const struct timespec wait = {.tv_nsec = WAIT_NS};

	for (int i = 0; i < WAITS; i++) {
		pthread_mutex_lock(&mutex);
		if (!guard.purging || guard.pid != getpid())
			return 1;
		int is_urgent = look(0).observed >= ASHMEM_PRESSURE_HIGH;
		pthread_mutex_unlock(&mutex);
		if (!is_urgent)
			break;
		nanosleep(&wait, NULL);
	}
	return 0;
}

static void count_bytes(uint64_t bytes, size_t step_bytes)
{
	unpinned_bytes += bytes;
	if (unpinned_bytes < step_bytes || context_is_within(CONTEXT_RELIEF) ||
		sys_now_ns() < __atomic_load_n(&next_look_ns, __ATOMIC_RELAXED))
		return;
	unpinned_bytes = 0;
	if (!enter())
		return;
	if (guard.owner && guard.pid == getpid())
		relieve(0, 1);
	pthread_mutex_unlock(&mutex);
}

static void unpinned(uint64_t bytes)
{
	/* Relaxed: a thread that sees an old step looks somewhat early or late. */
	size_t step_bytes = __atomic_load_n(&guard_step_bytes, __ATOMIC_RELAXED);

	if (step_bytes)
		count_bytes(bytes, step_bytes);
}

int64_t guard_relieve(const void *owner)
{
	int64_t purged = 0;

	if (!enter())
		return 0;
	if (guard.owner == owner && guard.pid == getpid())
		purged = relieve(1, 0);
	else
		purged = -ENOENT;
	pthread_mutex_unlock(&mutex);
	return purged;
}

void guard_begin(const void *owner, const struct pressure_source *source,
	const struct pressure_settings *settings)
{
	const char *why;

	pthread_mutex_lock(&mutex);
	if (guard.owner && guard.pid != getpid())
		stop(); /* the parent's; that a purge was under way there does not matter here */
	if (!guard.owner)
		guard.settings = *settings;
	if (!guard.owner &&
		pressure_watch_open(&guard.watch, source, &guard.settings, 0, -1, &why) == 0) {
		guard.owner = owner;
		guard.pid = getpid();
		around_set_guard(unpinned);
		look(0);
	}
	pthread_mutex_unlock(&mutex);
}

void guard_share_wariness(const void *owner, struct pressure_policy *policy)
{
	pthread_mutex_lock(&mutex);
	if (guard.owner == owner && guard.pid == getpid()) {
		uint64_t its_ns = guard.policy.wary_until_ns, ours_ns = policy->wary_until_ns;
		guard.policy.wary_until_ns = policy->wary_until_ns =
			its_ns > ours_ns ? its_ns : ours_ns;
		policy->bursts += guard.policy.bursts;
		guard.policy.bursts = 0;
	}
	pthread_mutex_unlock(&mutex);
}

void guard_end(const void *owner)
{
	pthread_mutex_lock(&mutex);
	if (guard.owner == owner)
		stop();
	pthread_mutex_unlock(&mutex);
}

void guard_get_counts(const void *owner, struct guard_counts *counts)
{
	*counts = (struct guard_counts){.purges = 0};
	pthread_mutex_lock(&mutex);
	if (guard.owner == owner)
		*counts = guard.counts;
	pthread_mutex_unlock(&mutex);
}
