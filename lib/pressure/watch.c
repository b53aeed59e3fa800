/* SPDX-License-Identifier: MIT */
/*
 * The handle of a watch on memory pressure: options, opening and closing, the subscriber, source,
 * explanation and status.
 *
 * The highest file of the room: the order of the others is in relief.h. handle_lock is taken for
 * the fields below it in watch.h and nothing else is called with it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/fork.h"
#include "base/structs.h"
#include "pressure/watch.h"

#define HOLD_MS 1000
#define HOLD_MAX_MS 3600000
#define RESERVE_MAX_PERCENT 50
#define PRIORITY_MAX 99 /* of SCHED_FIFO */
#define FLAGS (ASHMEM_PRESSURE_NOT_IN_UNPIN | ASHMEM_PRESSURE_ONLY_TELL)

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

static int read_settings(const struct ashmem_pressure_options *o,
	struct pressure_settings *settings)
{
	uint32_t *percent = settings->percent;

	if (set_percent(&percent[ASHMEM_PRESSURE_SOME], o->some_percent, 6) < 0 ||
		set_percent(&percent[ASHMEM_PRESSURE_HIGH], o->high_percent, 25) < 0 ||
		set_percent(&percent[ASHMEM_PRESSURE_CRITICAL], o->critical_percent, 50) < 0 ||
		o->hold_ms > HOLD_MAX_MS || (o->flags & ~FLAGS) ||
		o->reserve_percent > RESERVE_MAX_PERCENT || o->priority > PRIORITY_MAX ||
		o->reserved != 0)
		return -EINVAL;
	if (o->flags & ASHMEM_PRESSURE_ONLY_TELL)
		memset(settings->percent, 0, sizeof(settings->percent));
	settings->reserve_percent = o->reserve_percent;
	settings->reserve_most_bytes = o->reserve_most_bytes;
	settings->hold_ns = (o->hold_ms ? o->hold_ms : HOLD_MS) * PRESSURE_MS;
	settings->step_ns = PRESSURE_EVENT_NS;
	return 0;
}

static int set_options(struct ashmem_pressure *p, const struct ashmem_pressure_options *o)
{
	struct pressure_settings settings = {.percent = {0}};
	int r = read_settings(o, &settings);

	if (r < 0)
		return r;
	if (o->cgroup) {
		size_t size = strlen(o->cgroup) + 1;
		p->cgroup = malloc(size);
		if (!p->cgroup)
			return -ENOMEM;
		memcpy(p->cgroup, o->cgroup, size);
		settings.cgroup = p->cgroup;
	}
	if (o->source && strcmp(o->source, "auto") != 0) {
		p->wanted = choose_by_name(o->source);
		if (!p->wanted || (o->cgroup && !choose_is_of_cgroup(p->wanted)))
			return -EINVAL;
	}
	p->priority = o->priority;
	/* With either flag nothing is purged there. */
	p->relief = relief_new(&settings, o->flags == 0);
	return p->relief ? 0 : -ENOMEM;
}

static int make_descriptors(struct ashmem_pressure *p)
{
	struct epoll_event event = {
		.events = EPOLLIN, .data = {.u64 = (uint64_t)WATCH_TIMER_ID << 32}};

	int r = watch_keep(epoll_create1(EPOLL_CLOEXEC), &p->epoll_fd, &p->epoll_file);
	if (r == 0)
		r = watch_keep(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
			&p->timer_fd, &p->timer_file);
	if (r < 0)
		return r;
	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->timer_fd, &event) < 0 ? -errno : 0;
}

int ashmem_pressure_open(const struct ashmem_pressure_options *options,
	struct ashmem_pressure **pressure)
{
	CANCEL_OFF;
	struct ashmem_pressure_options wishes;
	struct ashmem_pressure *p;
	int r = pressure ? copy_options(options, &wishes) : -EINVAL;

	if (r == 0)
		r = process_start(); /* relief's lock gets through a fork */
	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->owner = getpid();
	p->epoll_fd = p->timer_fd = p->stop_fd = -1;
	pthread_mutex_init(&p->handle_lock, NULL);
	r = set_options(p, &wishes);
	if (r == 0)
		r = make_descriptors(p);
	if (r == 0)
		r = choose_sources(p);
	if (r < 0) {
		ashmem_pressure_close(p);
		return r;
	}
	dispatch_begin(p);
	*pressure = p;
	return 0;
}

void ashmem_pressure_close(struct ashmem_pressure *pressure)
{
	CANCEL_OFF;
	if (!pressure)
		return;
	ashmem_pressure_stop(pressure); /* in a child there is no thread, and this does nothing */
	if (pressure->relief) {
		choose_nothing(pressure);
		relief_drop(pressure->relief);
	}
	if (pressure->stop_fd >= 0)
		descriptor_close(pressure->stop_fd, &pressure->stop_file);
	if (pressure->timer_fd >= 0)
		descriptor_close(pressure->timer_fd, &pressure->timer_file);
	if (pressure->epoll_fd >= 0)
		descriptor_close(pressure->epoll_fd, &pressure->epoll_file);
	pthread_mutex_destroy(&pressure->handle_lock);
	free(pressure->cgroup);
	free(pressure);
}

/* -- reporting -- */

int ashmem_pressure_fd(struct ashmem_pressure *pressure)
{
	CANCEL_OFF;
	int r = watch_check(pressure);

	return r < 0 ? r : pressure->epoll_fd;
}

int ashmem_pressure_subscribe(struct ashmem_pressure *pressure, ashmem_pressure_fn fn,
	void *userdata)
{
	CANCEL_OFF;
	int r = watch_check(pressure);

	if (r < 0)
		return r;
	pthread_mutex_lock(&pressure->handle_lock);
	pressure->fn = fn;
	pressure->userdata = userdata;
	pthread_mutex_unlock(&pressure->handle_lock);
	return 0;
}

const char *ashmem_pressure_source(struct ashmem_pressure *pressure)
{
	CANCEL_OFF;
	const char *name;

	if (watch_check(pressure) < 0)
		return NULL;
	pthread_mutex_lock(&pressure->handle_lock);
	name = pressure->source_name;
	pthread_mutex_unlock(&pressure->handle_lock);
	return name;
}

int ashmem_pressure_explain(struct ashmem_pressure *pressure, char *buf, size_t buf_size)
{
	CANCEL_OFF;
	int length;

	if (!pressure || (!buf && buf_size > 0))
		return -EINVAL;
	if (watch_check(pressure) < 0)
		return -ESTALE;
	pthread_mutex_lock(&pressure->handle_lock);
	length = snprintf(buf, buf_size, "%s%s", pressure->explanation, pressure->thread_says);
	pthread_mutex_unlock(&pressure->handle_lock);
	return length;
}

int ashmem_pressure_get_status(struct ashmem_pressure *pressure,
	struct ashmem_pressure_status *status)
{
	CANCEL_OFF;
	struct ashmem_pressure_status all;

	if (!pressure || !status || status->struct_size < sizeof(status->struct_size))
		return -EINVAL;
	if (watch_check(pressure) < 0)
		return -ESTALE;
	pthread_mutex_lock(&pressure->handle_lock);
	all = pressure->status;
	pthread_mutex_unlock(&pressure->handle_lock);
	relief_get_counts(pressure->relief, &all);
	struct_copy_out(status, &all, sizeof(all));
	return 0;
}
