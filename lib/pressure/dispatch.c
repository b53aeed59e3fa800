/* SPDX-License-Identifier: MIT */
/*
 * One dispatch: take the events of the sources, look, decide, purge, record, tell the subscriber,
 * and set the timer.
 *
 * The public descriptor is an epoll set of the sources' descriptors and one timer. The timer runs
 * fast while there is pressure that purging can relieve, slowly if a source has no events, else not
 * at all.
 *
 * `busy` lets one thread in. It holds no lock while it reads events, purges or calls the
 * subscriber; relief has a lock of its own for free bytes.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <ashmem/shrinker.h>

#include "area/pressure_last.h"
#include "base/cancel.h"
#include "base/context.h"
#include "base/sys.h"
#include "pressure/watch.h"

#define FAST_NS (20 * PRESSURE_MS)
#define FASTEST_NS (2 * PRESSURE_MS)
#define SLOW_NS (250 * PRESSURE_MS) /* there is pressure, but nothing to purge */
#define BYTES_PER_NS 2              /* so fast a program may come nearer to the limit */
#define LOOKS_IN_BURST 4            /* while one takes all that is free */
#define POLL_LEAST_NS PRESSURE_MS

/* -- the timer -- */

static void set_timer(struct ashmem_pressure *p, uint64_t period_ns)
{
	struct timespec period = {.tv_sec = (time_t)(period_ns / 1000000000u),
		.tv_nsec = (long)(period_ns % 1000000000u)};
	struct itimerspec spec = {.it_value = period, .it_interval = period};

	if (period_ns == p->timer_ns)
		return;
	if (timerfd_settime(p->timer_fd, 0, &spec, NULL) == 0)
		p->timer_ns = period_ns;
}

static uint64_t idle_period(const struct ashmem_pressure *p)
{
	uint64_t period_ns = 0;

	for (int i = 0; i < WATCH_SOURCES; i++) {
		uint64_t own = p->sources[i].kind ? p->sources[i].idle_poll_ms * PRESSURE_MS : 0;
		if (own && (!period_ns || own < period_ns))
			period_ns = own;
	}
	return period_ns;
}

static uint64_t between(uint64_t least, uint64_t value, uint64_t most)
{
	return value < least ? least : value > most ? most : value;
}

/*
 * No pressure: not at all if nothing has to be looked for; else in a part of the time in which a
 * burst would take all that is free. If there is nothing to purge, in time for who is only told.
 */
static uint64_t calm_period(const struct ashmem_pressure *p, const struct pressure_observation *o)
{
	uint64_t idle = idle_period(p);

	if (!o->headroom_known || !o->must_poll)
		return idle;
	return between(o->evictable_pages > 0 ? POLL_LEAST_NS : PRESSURE_POLL_NS,
		o->free_bytes / BYTES_PER_NS / LOOKS_IN_BURST, idle);
}

/* Pressure: what is free must not be used up before the next look. */
static uint64_t hot_period(const struct ashmem_pressure *p, const struct pressure_observation *o)
{
	if (o->evictable_pages == 0)
		return SLOW_NS;
	if (!o->headroom_known || p->futile) /* nothing could be purged: be in no hurry */
		return FAST_NS;
	return between(FASTEST_NS, o->free_bytes / BYTES_PER_NS, FAST_NS);
}

static uint64_t next_period(const struct ashmem_pressure *p, const struct pressure_observation *o,
	uint32_t level)
{
	uint64_t calm = calm_period(p, o), hot = hot_period(p, o);
	int in_window = o->now_ns < p->sources[0].window_ends_ns;

	if (level == ASHMEM_PRESSURE_NONE && !in_window)
		return calm;
	return calm && calm < hot ? calm : hot;
}

void dispatch_begin(struct ashmem_pressure *p)
{
	set_timer(p, between(0, PRESSURE_POLL_NS, idle_period(p)));
}

/* -- looking -- */

/* Take the events that are there; how many, or -ENODEV if a source is gone. */
static int take_events(struct ashmem_pressure *p, uint64_t now_ns)
{
	struct epoll_event events[16];
	uint64_t expirations;
	int count, taken = 0, lost = 0;

	if (descriptor_check(p->epoll_fd, &p->epoll_file) < 0 ||
		descriptor_check(p->timer_fd, &p->timer_file) < 0)
		return -ENODEV; /* the program has closed them */
	count = epoll_wait(p->epoll_fd, events, 16, 0);
	for (int i = 0; i < count; i++) {
		uint32_t id = (uint32_t)(events[i].data.u64 >> 32);
		if (id == WATCH_TIMER_ID) {
			if (read(p->timer_fd, &expirations, sizeof(expirations)) < 0)
				continue; /* reset meanwhile */
			continue;
		}
		struct open_source *source = &p->sources[id];
		if (!source->kind)
			continue;
		taken++;
		lost |= source_is_gone(source->kind->event(source, (uint32_t)events[i].data.u64,
			events[i].events, now_ns));
	}
	return lost ? -ENODEV : taken;
}

/* Look at all sources and decide what to do; -ENODEV if one is gone. */
static int observe_and_decide(struct ashmem_pressure *p, struct pressure_observation *o,
	struct pressure_decision *decision)
{
	int lost = 0;

	o->evictable_pages = ashmem_shrink_count();
	o->page_bytes = sys_page_size();
	for (int i = 0; i < WATCH_SOURCES; i++) {
		struct open_source *source = &p->sources[i];
		if (source->kind && !source->kind->reports_free_bytes)
			lost |= source_is_gone(source->kind->look(source, o->now_ns, o));
	}
	return lost ? -ENODEV : relief_decide(p->relief, o, decision);
}

/* Events, observation, decision; if a source is gone, once more with the others. */
static int look(struct ashmem_pressure *p, struct pressure_observation *o,
	struct pressure_decision *decision, int *events)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		*o = (struct pressure_observation){.now_ns = source_clock()};
		*events = take_events(p, o->now_ns);
		if (*events >= 0 && observe_and_decide(p, o, decision) == 0)
			return 0;
		if (choose_again(p) < 0)
			break;
	}
	choose_nothing(p); /* two in a row vanish: follow such a system no further */
	return -ENODEV;
}

/* No source is left, now or since an earlier dispatch. */
static int give_up(struct ashmem_pressure *p)
{
	if (p->gone)
		return -ENODEV;
	p->gone = 1;
	__atomic_store_n(&p->level, ASHMEM_PRESSURE_NONE, __ATOMIC_RELAXED);
	pressure_publish(ASHMEM_PRESSURE_NONE, "none");
	set_timer(p, 0);
	return -ENODEV;
}

/* -- reporting -- */

/* Add what happened to the status. Returns the subscriber, or NULL. */
static ashmem_pressure_fn record(struct ashmem_pressure *p, const struct pressure_observation *o,
	const struct pressure_decision *decision, int events, void **userdata)
{
	struct ashmem_pressure_status *all = &p->status;
	ashmem_pressure_fn fn;

	pthread_mutex_lock(&p->handle_lock);
	all->dispatches++;
	all->level = decision->level;
	all->events += (uint64_t)events;
	all->free_bytes = o->headroom_known ? o->free_bytes : 0;
	all->limit_bytes = o->headroom_known ? o->limit_bytes : 0;
	all->reserve_bytes = decision->reserve_bytes;
	fn = p->fn;
	*userdata = p->userdata;
	pthread_mutex_unlock(&p->handle_lock);
	return fn;
}

/* With the name of the headroom where its level is the higher one. */
static void publish(const struct ashmem_pressure *p, const struct pressure_decision *decision)
{
	const struct source_kind *beside = p->sources[1].kind, *source = p->sources[0].kind;

	pressure_publish(decision->level,
		(decision->by_headroom && beside ? beside : source)->name);
}

static int dispatch(struct ashmem_pressure *p)
{
	struct pressure_observation o;
	struct pressure_decision decision;
	uint32_t before = __atomic_load_n(&p->level, __ATOMIC_RELAXED);
	void *userdata;
	int events;

	if (p->gone || look(p, &o, &decision, &events) < 0)
		return give_up(p);
	relief_take_duty(p->relief); /* the handle that had it may be closed */
	uint64_t purged = relief_purge(p->relief, &decision);
	p->futile = decision.purge_pages > 0 && purged == 0;
	__atomic_store_n(&p->level, decision.level, __ATOMIC_RELAXED);
	publish(p, &decision);
	set_timer(p, next_period(p, &o, decision.level));
	ashmem_pressure_fn fn = record(p, &o, &decision, events, &userdata);
	if (fn && decision.level != before)
		fn(userdata, decision.level, before, purged);
	return (int)decision.level;
}

int ashmem_pressure_dispatch(struct ashmem_pressure *pressure)
{
	CANCEL_OFF;
	int r = watch_check(pressure);

	if (r < 0)
		return r;
	/* Acquire: pairs with the release below, to see what the one before left. */
	if (__atomic_exchange_n(&pressure->busy, 1, __ATOMIC_ACQUIRE))
		return (int)__atomic_load_n(&pressure->level, __ATOMIC_RELAXED);
	r = dispatch(pressure);
	__atomic_store_n(&pressure->busy, 0, __ATOMIC_RELEASE);
	return r;
}

int64_t ashmem_pressure_make_room(struct ashmem_pressure *pressure, uint64_t bytes)
{
	CANCEL_OFF;
	int r = watch_check(pressure);

	if (r < 0)
		return r;
	return context_may_purge() ? relief_make_room(pressure->relief, bytes) : -EDEADLK;
}
