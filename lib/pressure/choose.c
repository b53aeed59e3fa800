/* SPDX-License-Identifier: MIT */
/*
 * Which sources a watch has: the first that works, what tells free bytes beside it, why the others
 * were not taken; another one when one vanishes. The guard looks through a source of its own, of
 * the kind that was chosen here.
 *
 * Called by one thread at a time: the one that opens the handle, or the one that has `busy`.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pressure/relief.h"
#include "pressure/watch.h"

static const struct pressure_source *const sources[] = {
	&pressure_service,
	&pressure_cgroup_psi,
	&pressure_system_psi,
	&pressure_cgroup_event,
	&pressure_headroom,
	&pressure_available,
};
#define SOURCES (sizeof(sources) / sizeof(sources[0]))

const struct pressure_source *pressure_named(const char *name)
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

static int is_psi(const struct pressure_source *source)
{
	return source == &pressure_cgroup_psi || source == &pressure_system_psi;
}

/* That a descriptor or memory is short says nothing about a source. */
static int is_shortage(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

/* The first that works. One that vanished just now gets another chance like all others. */
static int choose_first(struct ashmem_pressure *p, struct explanation *e)
{
	int limited = pressure_limited_by_version_1();
	int r = -ENODEV;

	for (size_t i = 0; i < SOURCES; i++) {
		const char *why;
		if (r == 0) {
			explain(e, sources[i]->name, "not tried", "one before it works");
		} else if (limited && is_psi(sources[i])) {
			explain(e, sources[i]->name, "not taken",
				"the limit is set by cgroup version 1, of which it knows nothing");
		} else if ((r = pressure_watch_open(&p->watches[0], sources[i], &p->settings, 0,
				    p->epoll_fd, &why)) < 0) {
			explain_failure(e, sources[i]->name, r, why);
			if (is_shortage(r))
				return r;
		} else {
			explain(e, sources[i]->name,
				p->watches[0].source == &pressure_off ? "turned watching off"
								      : "used",
				NULL);
		}
	}
	return r < 0 ? -ENODEV : 0;
}

static int tells_free_bytes(const struct pressure_source *source)
{
	return source == &pressure_headroom || source == &pressure_available;
}

/* Something that tells free bytes, beside a source that does not. */
static void choose_beside(struct ashmem_pressure *p, struct explanation *e)
{
	const struct pressure_source *source = p->watches[0].source;
	const char *why;
	int r;

	if (source == &pressure_off || tells_free_bytes(source))
		return;
	r = pressure_watch_open(&p->watches[1], &pressure_headroom, &p->settings, 1, p->epoll_fd,
		&why);
	if (r == 0) {
		explain(e, "headroom beside it", "used", NULL);
		return;
	}
	explain_failure(e, "headroom beside it", r, why);
	r = pressure_watch_open(&p->watches[1], &pressure_available, &p->settings, 1, p->epoll_fd,
		&why);
	if (r < 0)
		explain_failure(e, "available beside it", r, why);
	else
		explain(e, "available beside it", "used", NULL);
}

void pressure_begin_guard(struct ashmem_pressure *p)
{
	if (p->flags & ASHMEM_PRESSURE_NOT_IN_UNPIN)
		return;
	for (int i = 0; i < PRESSURE_WATCHES; i++)
		if (tells_free_bytes(p->watches[i].source))
			guard_begin(p, p->watches[i].source, &p->settings);
}

/* What it did stays in the status. */
void pressure_end_guard(struct ashmem_pressure *p)
{
	struct guard_counts counts;

	guard_get_counts(p, &counts);
	guard_end(p);
	pthread_mutex_lock(&p->mutex);
	pressure_add_guard(&p->status, &counts);
	pthread_mutex_unlock(&p->mutex);
}

/* Open what was wanted. On failure no watch is open. */
int pressure_choose(struct ashmem_pressure *p)
{
	struct explanation e = {.length = 0};
	const char *why;
	int r;

	if (p->wanted) {
		r = pressure_watch_open(&p->watches[0], p->wanted, &p->settings, 0, p->epoll_fd,
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
		pressure_begin_guard(p);
	pthread_mutex_lock(&p->mutex);
	p->source_name = r < 0 ? "none" : p->watches[0].source->name;
	memcpy(p->explanation, e.text, sizeof(e.text));
	pthread_mutex_unlock(&p->mutex);
	return r;
}

/* A watch is gone: try again to find one, unless it was named. */
int pressure_replace_sources(struct ashmem_pressure *p)
{
	pressure_end_guard(p);
	for (int i = 0; i < PRESSURE_WATCHES; i++)
		pressure_watch_close(&p->watches[i]);
	pthread_mutex_lock(&p->mutex);
	p->status.lost_sources++;
	pthread_mutex_unlock(&p->mutex);
	if (p->wanted) {
		pthread_mutex_lock(&p->mutex);
		p->source_name = "none";
		snprintf(p->explanation, sizeof(p->explanation),
			"%s: it was named, and has vanished\n", p->wanted->name);
		pthread_mutex_unlock(&p->mutex);
		return -ENODEV;
	}
	return pressure_choose(p);
}
