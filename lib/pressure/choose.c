/* SPDX-License-Identifier: MIT */
/*
 * Which sources a handle has: the first that works, one that reports free bytes beside it, why the
 * others were not taken; another one when one vanishes. Relief looks through the one that reports
 * free bytes.
 *
 * Called by one thread at a time: the one that opens the handle, or the one that has `busy`.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pressure/watch.h"

static const struct source_kind *const sources[] = {
	&source_service,
	&source_cgroup_psi,
	&source_system_psi,
	&source_cgroup_event,
	&source_headroom,
	&source_available,
};
#define SOURCES (sizeof(sources) / sizeof(sources[0]))

const struct source_kind *choose_by_name(const char *name)
{
	for (size_t i = 0; i < SOURCES; i++)
		if (strcmp(sources[i]->name, name) == 0)
			return sources[i];
	return NULL;
}

/* Text being put together for ashmem_pressure_explain(). */
struct explanation {
	char text[1024];
	size_t length;
};

static void explain(struct explanation *e, const char *name, const char *what, const char *why)
{
	size_t left = sizeof(e->text) - e->length;
	int length = snprintf(e->text + e->length, left, "%s: %s%s%s\n", name, what,
		why ? ": " : "", why ? why : "");

	if (length > 0)
		e->length += (size_t)length < left ? (size_t)length : left - 1;
}

static void explain_failure(struct explanation *e, const char *name, int error, const char *why)
{
	explain(e, name, "not taken", why ? why : strerror(-error));
}

static int is_psi(const struct source_kind *source)
{
	return source == &source_cgroup_psi || source == &source_system_psi;
}

int choose_is_of_cgroup(const struct source_kind *source)
{
	return source == &source_cgroup_psi || source == &source_cgroup_event ||
		source == &source_headroom;
}

/* The first that works. One that vanished just now gets another chance like all others. */
static int choose_first(struct ashmem_pressure *p, struct explanation *e)
{
	const char *named = p->relief->settings.cgroup;
	int limited = source_headroom_limited_by_v1(named);
	int r = -ENODEV;

	if (limited < 0)
		return limited;
	for (size_t i = 0; i < SOURCES; i++) {
		const char *why;
		if (r == 0) {
			explain(e, sources[i]->name, "not tried", "one before it works");
		} else if (named && !choose_is_of_cgroup(sources[i])) {
			explain(e, sources[i]->name, "not taken", "a cgroup was named");
		} else if (limited && is_psi(sources[i])) {
			explain(e, sources[i]->name, "not taken",
				"the limit is set by cgroup version 1, of which it knows nothing");
		} else if ((r = source_open(&p->sources[0], sources[i], &p->relief->settings, 0,
				    p->epoll_fd, &why)) < 0) {
			explain_failure(e, sources[i]->name, r, why);
			if (source_is_shortage(r))
				return r;
		} else {
			explain(e, sources[i]->name,
				p->sources[0].kind == &source_off ? "turned watching off" : "used",
				NULL);
		}
	}
	return r < 0 ? -ENODEV : 0;
}

/* A source of free bytes, beside one that does not report them. */
static void choose_beside(struct ashmem_pressure *p, struct explanation *e)
{
	const struct source_kind *source = p->sources[0].kind;
	const char *why;
	int r;

	if (source == &source_off || source->reports_free_bytes)
		return;
	r = source_open(&p->sources[1], &source_headroom, &p->relief->settings, 1, p->epoll_fd,
		&why);
	if (r == 0) {
		explain(e, "headroom beside it", "used", NULL);
		return;
	}
	explain_failure(e, "headroom beside it", r, why);
	if (p->relief->settings.cgroup)
		return;
	r = source_open(&p->sources[1], &source_available, &p->relief->settings, 1, p->epoll_fd,
		&why);
	if (r < 0)
		explain_failure(e, "available beside it", r, why);
	else
		explain(e, "available beside it", "used", NULL);
}

/* Have relief look at free bytes, if an open source reports them. */
static void begin_relief(struct ashmem_pressure *p)
{
	for (int i = 0; i < WATCH_SOURCES; i++)
		if (p->sources[i].kind && p->sources[i].kind->reports_free_bytes)
			relief_set_source(p->relief, &p->sources[i]);
	relief_take_duty(p->relief);
}

/* Relief first: in an unpin it may be looking. */
void choose_nothing(struct ashmem_pressure *p)
{
	relief_set_source(p->relief, NULL);
	for (int i = 0; i < WATCH_SOURCES; i++)
		source_close(&p->sources[i]);
}

int choose_sources(struct ashmem_pressure *p)
{
	struct explanation e = {.length = 0};
	const char *why;
	int r;

	if (p->wanted) {
		r = source_open(&p->sources[0], p->wanted, &p->relief->settings, 0, p->epoll_fd,
			&why);
		if (r < 0)
			explain_failure(&e, p->wanted->name, r, why);
		else
			explain(&e, p->wanted->name, "used", "it was named");
	} else {
		r = choose_first(p, &e);
		if (r == 0)
			choose_beside(p, &e);
	}
	if (r == 0)
		begin_relief(p);
	pthread_mutex_lock(&p->handle_lock);
	p->source_name = r < 0 ? "none" : p->sources[0].kind->name;
	memcpy(p->explanation, e.text, sizeof(e.text));
	pthread_mutex_unlock(&p->handle_lock);
	return r;
}

int choose_again(struct ashmem_pressure *p)
{
	choose_nothing(p);
	pthread_mutex_lock(&p->handle_lock);
	p->status.lost_sources++;
	pthread_mutex_unlock(&p->handle_lock);
	if (p->wanted) {
		pthread_mutex_lock(&p->handle_lock);
		p->source_name = "none";
		snprintf(p->explanation, sizeof(p->explanation),
			"%s: it was named, and has vanished\n", p->wanted->name);
		pthread_mutex_unlock(&p->handle_lock);
		return -ENODEV;
	}
	return choose_sources(p);
}
