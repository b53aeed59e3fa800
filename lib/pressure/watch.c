/* SPDX-License-Identifier: MIT */
/*
 * The watch on memory pressure: opening, dispatching, purging, telling. Its sources are chosen in
 * choose.c.
 *
 * The public descriptor is an epoll set of the sources' descriptors and one timer. Watch 0 is the
 * source; watch 1 is the headroom beside it, if "auto" found a limit. The timer runs fast while
 * there is pressure that purging can relieve, slowly if a source has no events, else not at all.
 *
 * Locks: `busy` lets one dispatch work at a time, the others do not wait. `mutex` is a leaf.
 * Purging and the subscriber run with neither of the library's mutexes held.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <ashmem/shrinker.h>

#include "area/pressure_last.h"
#include "base/fork.h"
#include "base/structs.h"
#include "base/sys.h"
#include "pressure/relief.h"
#include "pressure/watch.h"

#define FAST_NS (20 * PRESSURE_MS)
#define FASTEST_NS (2 * PRESSURE_MS)
#define SLOW_NS (250 * PRESSURE_MS) /* there is pressure, but nothing to purge */
#define BYTES_PER_NS 2              /* so fast a program may come nearer to the limit */
#define HOLD_MS 1000
#define HOLD_MAX_MS 3600000
#define RESERVE_MAX_PERCENT 50
#define TIMER_ID UINT32_MAX

/* Before the mutex is taken: in a child, a thread that is not there may have it for ever. */
int pressure_check(const struct ashmem_pressure *pressure)
{
	if (!pressure)
		return -EINVAL;
	return pressure->owner == getpid() ? 0 : -ESTALE;
}

void pressure_add_guard(struct ashmem_pressure_status *status, const struct guard_counts *counts)
{
	status->purges += counts->purges;
	status->headroom_purges += counts->purges;
	status->unpin_purges += counts->call_purges;
	status->wanted_pages += counts->wanted_pages;
	status->purged_pages += counts->purged_pages;
	status->purge_ns += counts->purge_ns;
}

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

	for (int i = 0; i < PRESSURE_WATCHES; i++) {
		uint64_t own = p->watches[i].source ? p->watches[i].idle_poll_ms * PRESSURE_MS : 0;
		if (own && (!period_ns || own < period_ns))
			period_ns = own;
	}
	return period_ns;
}

static uint64_t between(uint64_t least, uint64_t value, uint64_t most)
{
	return value < least ? least : value > most ? most : value;
}

/* No pressure: seldom where the limit is far away; not at all if nothing has to be looked for. */
static uint64_t calm_period(const struct ashmem_pressure *p, const struct pressure_observation *o)
{
	uint64_t idle = idle_period(p),
		 threshold = pressure_reserve(&p->settings, o->limit_bytes, 1);

	if (!o->headroom_known || !o->must_poll)
		return idle;
	return between(PRESSURE_POLL_NS,
		o->free_bytes > threshold ? (o->free_bytes - threshold) / BYTES_PER_NS : 0, idle);
}

/* Pressure: what is free must not be used up before the next look. */
static uint64_t hot_period(const struct ashmem_pressure *p, const struct pressure_observation *o)
{
	if (o->evictable_pages == 0)
		return SLOW_NS;
	if (!o->headroom_known || p->futile) /* nothing could be purged: do not run hot for it */
		return FAST_NS;
	return between(FASTEST_NS, o->free_bytes / BYTES_PER_NS, FAST_NS);
}

static uint64_t next_period(const struct ashmem_pressure *p, const struct pressure_observation *o)
{
	uint64_t calm = calm_period(p, o), hot = hot_period(p, o);
	int in_window = o->now_ns < p->watches[0].window_ends_ns;

	if (p->policy.level == ASHMEM_PRESSURE_NONE && !in_window)
		return calm;
	return calm && calm < hot ? calm : hot;
}

/* -- dispatching -- */

/*
 * Whether an answer says that the source is gone, and not that the kernel is short of memory, which
 * is when it is needed.
 */
static int is_gone(int r)
{
	return r < 0 && r != -ENOMEM;
}

/* Take the events that are there; how many, or -ENODEV if a source is gone. */
static int take_events(struct ashmem_pressure *p, uint64_t now_ns)
{
	struct epoll_event events[16];
	uint64_t expirations;
	int count, taken = 0, lost = 0;

	count = epoll_wait(p->epoll_fd, events, 16, 0);
	for (int i = 0; i < count; i++) {
		uint32_t id = (uint32_t)(events[i].data.u64 >> 32);
		if (id == TIMER_ID) {
			if (read(p->timer_fd, &expirations, sizeof(expirations)) < 0)
				continue; /* somebody reset it meanwhile */
			continue;
		}
		struct pressure_watch *watch = &p->watches[id];
		if (!watch->source)
			continue;
		taken++;
		lost |= is_gone(watch->source->event(watch, (uint32_t)events[i].data.u64,
			events[i].events, now_ns));
	}
	return lost ? -ENODEV : taken;
}

static int observe(struct ashmem_pressure *p, struct pressure_observation *o)
{
	int lost = 0;

	o->evictable_pages = ashmem_shrink_count();
	o->page_bytes = sys_page_size();
	for (int i = 0; i < PRESSURE_WATCHES; i++)
		if (p->watches[i].source)
			lost |= is_gone(p->watches[i].source->look(&p->watches[i], o->now_ns, o));
	return lost ? -ENODEV : 0;
}

/* Events and observation; if a source is gone, once more with the others. */
static int look(struct ashmem_pressure *p, struct pressure_observation *o, int *events)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		*o = (struct pressure_observation){.now_ns = pressure_clock()};
		*events = take_events(p, o->now_ns);
		if (*events >= 0 && observe(p, o) == 0)
			return 0;
		if (pressure_replace_sources(p) < 0)
			break;
	}
	/* Two in a row: whoever does that is not to be followed any further. */
	pressure_end_guard(p);
	for (int i = 0; i < PRESSURE_WATCHES; i++)
		pressure_watch_close(&p->watches[i]);
	return -ENODEV;
}

static uint64_t purge(const struct ashmem_pressure *p, const struct pressure_decision *decision,
	struct ashmem_pressure_status *status)
{
	uint64_t began_ns = sys_now_ns();
	int64_t purged = -ENOENT;

	if (decision->purge_pages == 0)
		return 0;
	if (decision->by_headroom)
		purged = guard_relieve(p); /* counts by itself */
	if (purged != -ENOENT)
		return purged > 0 ? (uint64_t)purged : 0;
	purged = ashmem_shrink(decision->purge_pages);
	/* pinned meanwhile, or an area is damaged or stuck: the next look will tell */
	if (purged <= 0)
		return 0;
	status->purges = 1;
	status->wanted_pages = decision->purge_pages;
	status->purged_pages = (uint64_t)purged;
	status->purge_ns = sys_now_ns() - began_ns;
	status->headroom_purges = (uint64_t)decision->by_headroom;
	return (uint64_t)purged;
}

/* Add what happened; the subscriber to be told, or NULL. */
static ashmem_pressure_fn record(struct ashmem_pressure *p, const struct pressure_observation *o,
	uint32_t level, const struct ashmem_pressure_status *now, void **userdata)
{
	struct ashmem_pressure_status *all = &p->status;
	ashmem_pressure_fn fn;

	pthread_mutex_lock(&p->mutex);
	all->dispatches++;
	all->level = level;
	all->events += now->events;
	all->purges += now->purges;
	all->wanted_pages += now->wanted_pages;
	all->purged_pages += now->purged_pages;
	all->purge_ns += now->purge_ns;
	all->headroom_purges += now->headroom_purges;
	all->free_bytes = o->headroom_known ? o->free_bytes : 0;
	all->limit_bytes = o->headroom_known ? o->limit_bytes : 0;
	all->reserve_bytes = now->reserve_bytes;
	all->bursts = now->bursts;
	fn = p->fn;
	*userdata = p->userdata;
	pthread_mutex_unlock(&p->mutex);
	return fn;
}

/* The headroom has the word where it said more than the source that it is beside. */
static void publish(const struct ashmem_pressure *p, const struct pressure_decision *decision)
{
	const struct pressure_source *guard = p->watches[1].source, *source = p->watches[0].source;

	pressure_publish(decision->level, (decision->by_headroom && guard ? guard : source)->name);
}

static int dispatch(struct ashmem_pressure *p)
{
	struct ashmem_pressure_status now = {.struct_size = sizeof(now)};
	struct pressure_observation o;
	struct pressure_decision decision;
	uint32_t before = p->policy.level;
	void *userdata;
	int events;

	if (p->gone)
		return -ENODEV;
	if (look(p, &o, &events) < 0) {
		p->gone = 1;
		__atomic_store_n(&p->level, ASHMEM_PRESSURE_NONE, __ATOMIC_RELAXED);
		pressure_publish(ASHMEM_PRESSURE_NONE, "none");
		set_timer(p, 0);
		return -ENODEV;
	}
	guard_share_wariness(p, &p->policy);
	pressure_decide(&p->policy, &p->settings, &o, &decision);
	pressure_begin_guard(p); /* whoever had it may be gone */
	guard_share_wariness(p, &p->policy);
	uint64_t purged = purge(p, &decision, &now);
	p->futile = decision.purge_pages > 0 && purged == 0;
	__atomic_store_n(&p->level, decision.level, __ATOMIC_RELAXED);
	publish(p, &decision);
	set_timer(p, next_period(p, &o));
	now.events = (uint64_t)events;
	now.reserve_bytes = decision.reserve_bytes;
	now.bursts = p->policy.bursts;
	ashmem_pressure_fn fn = record(p, &o, decision.level, &now, &userdata);
	if (fn && decision.level != before)
		fn(userdata, decision.level, before, purged);
	return (int)decision.level;
}

int ashmem_pressure_dispatch(struct ashmem_pressure *pressure)
{
	int r = pressure_check(pressure);

	if (r < 0)
		return r;
	/* Acquire: pairs with the release below, so that we see what the one before us left. */
	if (__atomic_exchange_n(&pressure->busy, 1, __ATOMIC_ACQUIRE))
		return (int)__atomic_load_n(&pressure->level, __ATOMIC_RELAXED);
	r = dispatch(pressure);
	__atomic_store_n(&pressure->busy, 0, __ATOMIC_RELEASE);
	return r;
}

/* -- life -- */

static int copy_options(const struct ashmem_pressure_options *from,
	struct ashmem_pressure_options *to)
{
	*to = (struct ashmem_pressure_options){.struct_size = sizeof(*to)};
	return from ? struct_copy_in(to, sizeof(*to), from) : 0;
}

static int set_percent(uint32_t *percent, uint32_t wish, uint32_t otherwise)
{
	if (wish > 100 && wish != ASHMEM_PRESSURE_PURGE_NOTHING)
		return -EINVAL;
	*percent = wish == 0 ? otherwise : wish == ASHMEM_PRESSURE_PURGE_NOTHING ? 0 : wish;
	return 0;
}

static int set_options(struct ashmem_pressure *p, const struct ashmem_pressure_options *o)
{
	uint32_t *percent = p->settings.percent;

	if (set_percent(&percent[ASHMEM_PRESSURE_SOME], o->some_percent, 6) < 0 ||
		set_percent(&percent[ASHMEM_PRESSURE_HIGH], o->high_percent, 25) < 0 ||
		set_percent(&percent[ASHMEM_PRESSURE_CRITICAL], o->critical_percent, 50) < 0 ||
		o->hold_ms > HOLD_MAX_MS || (o->flags & ~ASHMEM_PRESSURE_NOT_IN_UNPIN) ||
		o->reserve_percent > RESERVE_MAX_PERCENT)
		return -EINVAL;
	p->settings.reserve_percent = o->reserve_percent;
	p->settings.reserve_most_bytes = o->reserve_most_bytes;
	p->flags = o->flags;
	p->settings.hold_ns = (o->hold_ms ? o->hold_ms : HOLD_MS) * PRESSURE_MS;
	p->settings.step_ns = PRESSURE_EVENT_NS;
	if (!o->source || strcmp(o->source, "auto") == 0)
		return 0;
	p->wanted = pressure_named(o->source);
	return p->wanted ? 0 : -EINVAL;
}

static int make_descriptors(struct ashmem_pressure *p)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = (uint64_t)TIMER_ID << 32}};

	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0)
		return -errno;
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->timer_fd < 0)
		return -errno;
	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->timer_fd, &event) < 0 ? -errno : 0;
}

int ashmem_pressure_open(const struct ashmem_pressure_options *options,
	struct ashmem_pressure **pressure)
{
	struct ashmem_pressure_options wishes;
	struct ashmem_pressure *p;
	int r = pressure ? copy_options(options, &wishes) : -EINVAL;

	if (r == 0)
		r = process_start(); /* the guard's mutex gets through a fork */
	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->owner = getpid();
	p->epoll_fd = p->timer_fd = p->stop_fd = -1;
	pthread_mutex_init(&p->mutex, NULL);
	r = set_options(p, &wishes);
	if (r == 0)
		r = make_descriptors(p);
	if (r == 0)
		r = pressure_choose(p);
	if (r < 0) {
		ashmem_pressure_close(p);
		return r;
	}
	set_timer(p, between(0, PRESSURE_POLL_NS, idle_period(p))); /* for the first look */
	*pressure = p;
	return 0;
}

void ashmem_pressure_close(struct ashmem_pressure *pressure)
{
	if (!pressure)
		return;
	ashmem_pressure_stop(pressure); /* in a child there is no thread, and this does nothing */
	guard_end(pressure);
	for (int i = 0; i < PRESSURE_WATCHES; i++)
		pressure_watch_close(&pressure->watches[i]);
	if (pressure->stop_fd >= 0)
		close(pressure->stop_fd);
	if (pressure->timer_fd >= 0)
		close(pressure->timer_fd);
	if (pressure->epoll_fd >= 0)
		close(pressure->epoll_fd);
	pthread_mutex_destroy(&pressure->mutex);
	free(pressure);
}

/* -- telling -- */

int ashmem_pressure_fd(struct ashmem_pressure *pressure)
{
	int r = pressure_check(pressure);

	return r < 0 ? r : pressure->epoll_fd;
}

int ashmem_pressure_subscribe(struct ashmem_pressure *pressure, ashmem_pressure_fn fn,
	void *userdata)
{
	int r = pressure_check(pressure);

	if (r < 0)
		return r;
	pthread_mutex_lock(&pressure->mutex);
	pressure->fn = fn;
	pressure->userdata = userdata;
	pthread_mutex_unlock(&pressure->mutex);
	return 0;
}

const char *ashmem_pressure_source(struct ashmem_pressure *pressure)
{
	const char *name;

	if (pressure_check(pressure) < 0)
		return NULL;
	pthread_mutex_lock(&pressure->mutex);
	name = pressure->source_name;
	pthread_mutex_unlock(&pressure->mutex);
	return name;
}

int ashmem_pressure_explain(struct ashmem_pressure *pressure, char *buf, size_t buf_size)
{
	int length;

	if (!pressure || (!buf && buf_size > 0))
		return -EINVAL;
	if (pressure_check(pressure) < 0)
		return -ESTALE;
	pthread_mutex_lock(&pressure->mutex);
	length = snprintf(buf, buf_size, "%s", pressure->explanation);
	pthread_mutex_unlock(&pressure->mutex);
	return length;
}

int ashmem_pressure_get_status(struct ashmem_pressure *pressure,
	struct ashmem_pressure_status *status)
{
	struct ashmem_pressure_status all;
	struct guard_counts counts;

	if (!pressure || !status || status->struct_size < sizeof(status->struct_size))
		return -EINVAL;
	if (pressure_check(pressure) < 0)
		return -ESTALE;
	guard_get_counts(pressure, &counts);
	pthread_mutex_lock(&pressure->mutex);
	all = pressure->status;
	pthread_mutex_unlock(&pressure->mutex);
	pressure_add_guard(&all, &counts);
	struct_copy_out(status, &all, sizeof(all));
	return 0;
}
