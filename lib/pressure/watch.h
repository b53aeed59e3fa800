/* SPDX-License-Identifier: MIT */
/*
 * A watch on memory pressure, as watch.c (dispatching, purging), choose.c and thread.c share it.
 */
#ifndef ASHMEM_LIB_PRESSURE_WATCH_H
#define ASHMEM_LIB_PRESSURE_WATCH_H

#include <pthread.h>
#include <sys/types.h>

#include <ashmem/pressure.h>

#include "pressure/source.h"

#define PRESSURE_WATCHES 2 /* the source, and what tells free bytes beside it */

struct ashmem_pressure {
	pid_t owner;
	int epoll_fd;
	int timer_fd;
	uint32_t flags;
	const struct pressure_source *wanted; /* NULL: auto */
	struct pressure_settings settings;

	/* Of the thread that has `busy`: exchanged with acquire, given back with release. */
	uint32_t busy;
	struct pressure_watch watches[PRESSURE_WATCHES];
	struct pressure_policy policy;
	uint64_t timer_ns; /* what the timer is set to; 0: not at all */
	int gone;          /* no source is left */
	int futile;        /* the last purge freed nothing */

	uint32_t level; /* atomic: the last one, for those who find it busy */

	/* The mutex guards the rest, and is never held while something else is called. */
	pthread_mutex_t mutex;
	const char *source_name;
	char explanation[1024];
	ashmem_pressure_fn fn;
	void *userdata;
	struct ashmem_pressure_status status;
	int runs;
	int stop_fd;
	pthread_t thread;
};

/* Whether the handle is this process's: 0, -EINVAL or -ESTALE. */
int pressure_check(const struct ashmem_pressure *pressure);

/* The source of this name, or NULL. */
const struct pressure_source *pressure_named(const char *name);

/*
 * Open the sources that were wanted, and begin the guard. -ENODEV if "auto" finds none; no watch is
 * open then, nor after another failure.
 */
int pressure_choose(struct ashmem_pressure *p);

/* A source is gone: close all, and choose again unless it was named. */
int pressure_replace_sources(struct ashmem_pressure *p);

/*
 * Have ashmem_unpin() look, if it may and nobody else has it; end that, and keep what it did in the
 * status.
 */
void pressure_begin_guard(struct ashmem_pressure *p);
void pressure_end_guard(struct ashmem_pressure *p);

struct guard_counts;
void pressure_add_guard(struct ashmem_pressure_status *status, const struct guard_counts *counts);

#endif /* ASHMEM_LIB_PRESSURE_WATCH_H */
