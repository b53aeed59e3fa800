/* SPDX-License-Identifier: MIT */
/*
 * Fork handlers: no mutex of the library may be held by a thread that the child does not have, and areas that are
 * not materialised must be made shareable before the child exists. See process.h for the order.
 */
#include <errno.h>
#include <pthread.h>

#include "process.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int started; /* atomic; the handlers are there */

static void before_fork(void)
{
	guard_before_fork();
	shrinker_before_fork();
	trap_before_fork();
	areas_before_fork();
	backends_before_fork();
	memfd_before_fork();
	kernel_before_fork();
	notices_before_fork();
}

static void after_fork(void)
{
	notices_after_fork();
	kernel_after_fork();
	memfd_after_fork();
	backends_after_fork();
	areas_after_fork();
	trap_after_fork();
	shrinker_after_fork();
	guard_after_fork();
}

static void after_fork_in_child(void)
{
	notices_after_fork_in_child();
	memfd_after_fork_in_child();
	after_fork();
}

/* No pthread_once: if there was no memory, the next call tries again. */
int process_start(void)
{
	if (__atomic_load_n(&started, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&mutex);
	if (!started && pthread_atfork(before_fork, after_fork, after_fork_in_child) == 0)
		__atomic_store_n(&started, 1, __ATOMIC_RELEASE);
	int r = started ? 0 : -ENOMEM;
	pthread_mutex_unlock(&mutex);
	return r;
}
