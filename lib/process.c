/* SPDX-License-Identifier: MIT */
/*
 * Fork handlers: no mutex of the library may be held by a thread that the child does not have, and areas that are
 * not materialised must be made shareable before the child exists. See process.h for the order.
 */
#include <errno.h>
#include <pthread.h>

#include "process.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int result;

static void before_fork(void)
{
	guard_before_fork();
	shrinker_before_fork();
	areas_before_fork();
	backends_before_fork();
	memfd_before_fork();
	kernel_before_fork();
}

static void after_fork(void)
{
	kernel_after_fork();
	memfd_after_fork();
	backends_after_fork();
	areas_after_fork();
	shrinker_after_fork();
	guard_after_fork();
}

static void after_fork_in_child(void)
{
	memfd_after_fork_in_child();
	after_fork();
}

static void start(void)
{
	result = pthread_atfork(before_fork, after_fork, after_fork_in_child) == 0 ? 0 : -ENOMEM;
}

int process_start(void)
{
	pthread_once(&once, start);
	return result;
}
