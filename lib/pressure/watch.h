/* SPDX-License-Identifier: MIT */
/*
 * A watch on memory pressure: the public handle, as the files of this room share it. watch.c opens,
 * closes and reports; thread.c runs a thread; dispatch.c looks and purges; choose.c opens sources.
 *
 * A handle belongs to the process that opened it: watch_check() comes before anything else, also
 * before its lock, which in a child a thread that is not there may have for ever.
 *
 * One dispatch works at a time; others do not wait for it. Purging and the subscriber run with no
 * lock of the library held.
 */
#ifndef ASHMEM_LIB_PRESSURE_WATCH_H
#define ASHMEM_LIB_PRESSURE_WATCH_H

#include <errno.h>
#include <pthread.h>
#include <sys/types.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#include "pressure/relief.h"
#include "pressure/source.h"

#define WATCH_SOURCES 2           /* one, and one that reports free bytes beside it */
#define WATCH_TIMER_ID UINT32_MAX /* of the timer's events; sources have their place in `sources` */

struct ashmem_pressure {
	pid_t owner;
	int epoll_fd;
	int timer_fd;
	/* Linux has one inode for all of these, so this tells them from files only. */
	struct descriptor_file epoll_file, timer_file;
	const struct source_kind *wanted; /* NULL: auto */
	uint32_t priority;                /* of the thread; 0: as the one that starts it */
	struct relief *relief;
	char *cgroup; /* for the relief's settings; NULL: the process's */

	/* Of the thread that has `busy`: exchanged with acquire, given back with release. */
	uint32_t busy;
	struct open_source sources[WATCH_SOURCES];
	uint64_t timer_ns; /* what the timer is set to; 0: not at all */
	int gone;          /* no source is left */
	int futile;        /* the last purge freed nothing */

	uint32_t level; /* atomic: the last one that was reported; a dispatch returns it if busy */

	/* `handle_lock` guards the rest, and is never held while something else is called. */
	pthread_mutex_t handle_lock;
	const char *source_name;
	char explanation[1024];
	char thread_says[96]; /* what priority it got; "" if none was asked for */
	int has_code;         /* the library's code is locked in memory for it */
	ashmem_pressure_fn fn;
	void *userdata;
	struct ashmem_pressure_status status; /* but for what relief counts */
	int runs;
	int stop_fd;
	struct descriptor_file stop_file;
	pthread_t thread;
};

/* Whether the handle is this process's: 0, -EINVAL or -ESTALE. */
static inline int watch_check(const struct ashmem_pressure *pressure)
{
	if (!pressure)
		return -EINVAL;
	return pressure->owner == getpid() ? 0 : -ESTALE;
}

/* Keep what epoll_create1() and the like return: 0 and `*kept`, or a negative errno. */
static inline int watch_keep(int fd, int *kept, struct descriptor_file *file)
{
	fd = descriptor_above_std(fd);
	if (fd < 0)
		return -errno;
	int r = descriptor_learn(fd, file);
	if (r < 0)
		close(fd);
	else
		*kept = fd;
	return r;
}

/* -- dispatch.c -- */

/* Set the timer for the first look. */
void dispatch_begin(struct ashmem_pressure *p);

/* -- choose.c: by the thread that opens or closes the handle, or the one that has `busy` -- */

/* The source of this name, or NULL. */
const struct source_kind *choose_by_name(const char *name);

/* Whether it is of a cgroup, so that one can be named. */
int choose_is_of_cgroup(const struct source_kind *source);

/*
 * Open the sources that were wanted. -ENODEV if "auto" finds none; no source is open then, nor
 * after another failure.
 */
int choose_sources(struct ashmem_pressure *p);

/* A source is gone: close all, and choose again unless it was named. */
int choose_again(struct ashmem_pressure *p);

/* Close all. */
void choose_nothing(struct ashmem_pressure *p);

#endif /* ASHMEM_LIB_PRESSURE_WATCH_H */
