/* SPDX-License-Identifier: MIT */
/*
 * Pressure stall information: the time that tasks waited for memory (Linux 4.20; documentation: the
 * kernel's Documentation/accounting/psi.rst). Since 5.2 the kernel can send an event when it
 * exceeds a threshold; without privilege the window must be a multiple of two seconds (6.4). It
 * sends the edge only, once a window. So for one window after it the stall time is measured at each
 * look, which shows how bad it is and when it ends. Where the kernel accepts no trigger, or the
 * file cannot be written, the time is measured always, now and then.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#include "pressure/source.h"

/* 100 ms of 2 s: the threshold from which shares of stalled time count below, too. */
static const char trigger[] = "some 100000 2000000";
#define TRIGGER_US 100000

#define SOME_PERCENT 5
#define HIGH_PERCENT 20
#define CRITICAL_PERCENT 40
#define SAMPLE_NS (10 * PRESSURE_MS) /* shorter times mean nothing */
#define IDLE_POLL_MS 500

static int read_total(struct open_source *source, uint64_t *total_us)
{
	char text[512];
	int r = source_read(source->psi_fd, text, sizeof(text));

	return r < 0 ? r : source_number(text, "total=", total_us); /* the first is of "some" */
}

/* 1 if the kernel sends events, 0 if it cannot, or a negative errno. */
static int set_trigger(struct open_source *source)
{
	int r;

	/* With its terminating NUL, as the kernel documents it. */
	if (write(source->psi_fd, trigger, sizeof(trigger)) < 0)
		return 0;
	r = source_add(source, source->psi_fd, EPOLLPRI, 0);
	return r == -EPERM ? 0 : r < 0 ? r : 1;
}

int source_psi_start(struct open_source *source, int fd)
{
	source->psi_fd = fd;
	source->total_at_ns = source_clock();
	return read_total(source, &source->total_us);
}

static int psi_open(struct open_source *source, const char *path)
{
	int r, fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int writable = fd >= 0;

	if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	fd = source_keep(source, fd);
	if (fd < 0)
		return fd;
	r = source_psi_start(source, fd);
	if (r == 0 && writable)
		r = set_trigger(source);
	if (r < 0)
		return r;
	source->psi_triggers = r;
	source->idle_poll_ms = r ? 0 : IDLE_POLL_MS;
	return 0;
}

static uint32_t level_of_share(uint64_t stalled_us, uint64_t elapsed_ns)
{
	uint64_t elapsed_us = elapsed_ns / 1000, percent;

	/*
	 * More than the time there was is read where time was lost, or nonsense: as bad as can be,
	 * and no overflow.
	 */
	percent = stalled_us < elapsed_us ? stalled_us * 100 / elapsed_us : 100;
	if (percent >= CRITICAL_PERCENT)
		return ASHMEM_PRESSURE_CRITICAL;
	if (percent >= HIGH_PERCENT)
		return ASHMEM_PRESSURE_HIGH;
	return percent >= SOME_PERCENT ? ASHMEM_PRESSURE_SOME : ASHMEM_PRESSURE_NONE;
}

/* The threshold was exceeded: measure for one window. */
static void begin_window(struct open_source *source, uint64_t now_ns)
{
	source->level = ASHMEM_PRESSURE_SOME;
	source->window_ends_ns = now_ns + PRESSURE_WINDOW_NS;
}

int source_psi_event(struct open_source *source, uint32_t tag, uint32_t events, uint64_t now_ns)
{
	(void)tag;
	if (events & EPOLLERR) /* the cgroup is gone */
		return -ENODEV;
	if (events & EPOLLPRI) {
		begin_window(source, now_ns);
		source->total_at_ns = now_ns;
		return read_total(source, &source->total_us);
	}
	return 0;
}

/*
 * The kernel gives an edge once, to the first poll. If the program waits for our epoll set in a
 * poll or epoll of its own, that asks, and our epoll_wait() finds nothing. So the time counts,
 * outside of windows too.
 */
static int look_for_missed_edge(struct open_source *source, uint64_t now_ns)
{
	uint64_t total_us;
	int r = read_total(source, &total_us);

	if (r < 0)
		return r;
	source->level = ASHMEM_PRESSURE_NONE;
	if (total_us > source->total_us && total_us - source->total_us >= TRIGGER_US)
		begin_window(source, now_ns);
	source->total_us = total_us;
	source->total_at_ns = now_ns;
	return 0;
}

int source_psi_look(struct open_source *source, uint64_t now_ns, struct pressure_observation *o)
{
	uint64_t total_us;
	int r;

	if (source->psi_triggers && now_ns >= source->window_ends_ns) {
		r = look_for_missed_edge(source, now_ns);
		if (r < 0)
			return r;
	} else if (now_ns - source->total_at_ns >= SAMPLE_NS) {
		r = read_total(source, &total_us);
		if (r < 0)
			return r;
		source->level = total_us < source->total_us
			? (uint32_t)ASHMEM_PRESSURE_NONE
			: level_of_share(total_us - source->total_us, now_ns - source->total_at_ns);
		source->total_us = total_us;
		source->total_at_ns = now_ns;
		if (source->level > ASHMEM_PRESSURE_NONE)
			source->window_ends_ns = now_ns + PRESSURE_WINDOW_NS;
	}
	if (source->level > o->stall_level)
		o->stall_level = source->level;
	return 0;
}

static int open_cgroup_psi(struct open_source *source, const char **why)
{
	struct pressure_cgroup cgroup;
	int r = source_cgroup_find(&cgroup, 0, source->settings->cgroup);

	if (r < 0) {
		*why = "no cgroup of version 2 is mounted for this process";
		return r;
	}
	if (strlen(cgroup.path) + sizeof("/memory.pressure") > sizeof(cgroup.path))
		return -ENAMETOOLONG;
	strcat(cgroup.path, "/memory.pressure");
	return psi_open(source, cgroup.path);
}

const struct source_kind source_cgroup_psi = {.name = "cgroup-psi",
	.open = open_cgroup_psi,
	.event = source_psi_event,
	.look = source_psi_look};

static int open_system_psi(struct open_source *source, const char **why)
{
	char path[PATH_MAX];

	(void)why;
	snprintf(path, sizeof(path), "%s/pressure/memory", source_proc);
	return psi_open(source, path);
}

const struct source_kind source_system_psi = {.name = "system-psi",
	.open = open_system_psi,
	.event = source_psi_event,
	.look = source_psi_look};
