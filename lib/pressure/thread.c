/* SPDX-License-Identifier: MIT */
/*
 * The thread that a program can ask for: waits on the handle's descriptor and dispatches.
 *
 * `runs`, `thread` and `stop_fd` are guarded by the handle's lock. The caller that stops the
 * thread takes `stop_fd` out of the handle, and closes it when the thread has ended.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/resident.h"
#include "base/sys.h"
#include "pressure/watch.h"

/*
 * So often the thread looks whether it was stopped, in case the program has closed the descriptor
 * by which it would learn of it.
 */
#define LOOK_MS 10000

static int is_stopped(struct ashmem_pressure *p)
{
	pthread_mutex_lock(&p->handle_lock);
	int stopped = p->stop_fd < 0;
	pthread_mutex_unlock(&p->handle_lock);
	return stopped;
}

/*
 * As urgent as it is allowed to be: a real-time thread gets a processor at once when memory becomes
 * short, another one may wait behind those who fill it. It sleeps otherwise.
 */
static void hurry(struct ashmem_pressure *p)
{
	int nice_value, r = sys_become_urgent((int)p->priority, &nice_value);
	const char *code = p->has_code ? "; its code stays in memory" : "";

	pthread_mutex_lock(&p->handle_lock);
	if (r == 0)
		snprintf(p->thread_says, sizeof(p->thread_says),
			"thread: real-time priority %u%s\n", p->priority, code);
	else
		snprintf(p->thread_says, sizeof(p->thread_says),
			"thread: nice value %d, real time is not allowed%s\n", nice_value, code);
	pthread_mutex_unlock(&p->handle_lock);
}

static void *run(void *argument)
{
	CANCEL_OFF;
	struct ashmem_pressure *p = argument;
	struct pollfd fds[2] = {
		{.fd = -1, .events = POLLIN}, {.fd = p->epoll_fd, .events = POLLIN}};

	pthread_mutex_lock(&p->handle_lock);
	fds[0].fd = p->stop_fd;
	pthread_mutex_unlock(&p->handle_lock);
	if (fds[0].fd < 0) /* stopped before it began */
		return NULL;
	if (p->priority > 0) {
		resident_touch_stack();
		hurry(p);
	}
	for (;;) {
		int count = poll(fds, 2, LOOK_MS);
		if (count == 0 && is_stopped(p))
			break;
		if (count == 0)
			continue;
		if (count < 0) {
			if (errno != EINTR && errno != ENOMEM && errno != EAGAIN)
				break;
			/* short of memory, of all times: look at once, and wait again */
			fds[0].revents = 0;
		}
		if (fds[0].revents || ashmem_pressure_dispatch(p) == -ENODEV)
			break;
	}
	return NULL;
}

/* With the lock held. */
static int start(struct ashmem_pressure *p)
{
	sigset_t all, before;
	int r;

	if (p->runs)
		return -EALREADY;
	r = watch_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), &p->stop_fd, &p->stop_file);
	if (r < 0)
		return r;
	if (p->priority > 0)
		p->has_code = resident_lock_code() == 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&p->thread, NULL, run, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0) {
		descriptor_close(p->stop_fd, &p->stop_file);
		p->stop_fd = -1;
		return -EAGAIN;
	}
	p->runs = 1;
	return 0;
}

int ashmem_pressure_run(struct ashmem_pressure *pressure)
{
	CANCEL_OFF;
	int r = watch_check(pressure);

	if (r < 0)
		return r;
	pthread_mutex_lock(&pressure->handle_lock);
	r = start(pressure);
	pthread_mutex_unlock(&pressure->handle_lock);
	return r;
}

int ashmem_pressure_stop(struct ashmem_pressure *pressure)
{
	CANCEL_OFF;
	const uint64_t one = 1;
	pthread_t thread;
	int runs, stop_fd, r = watch_check(pressure);

	if (r < 0)
		return r;
	pthread_mutex_lock(&pressure->handle_lock);
	runs = pressure->runs;
	thread = pressure->thread;
	stop_fd = pressure->stop_fd;
	if (runs && pthread_equal(thread, pthread_self()))
		r = -EDEADLK;
	else if (runs) /* ours now: a second caller finds none */
		pressure->runs = 0, pressure->stop_fd = -1;
	pthread_mutex_unlock(&pressure->handle_lock);
	if (r < 0 || !runs)
		return r;
	while (descriptor_check(stop_fd, &pressure->stop_file) == 0 &&
		write(stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		; /* it would be full only if written before */
	pthread_join(thread, NULL);
	descriptor_close(stop_fd, &pressure->stop_file);
	return 0;
}
