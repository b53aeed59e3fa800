/* SPDX-License-Identifier: MIT */
/*
 * Fork handlers: no mutex of the library may be held by a thread that the child does not have, and
 * areas that are not materialised must be made shareable before the child exists. See fork.h for
 * the order.
 */
#include <errno.h>
#include <pthread.h>

#include "base/fork.h"
#include "base/sys.h"

static int started;                 /* atomic; the handlers are there, once or more */
static THREAD_LOCAL unsigned depth; /* of the handlers of this thread's fork */

static void before_fork(void)
{
	if (depth++ > 0)
		return;
	relief_before_fork();
	shrinker_before_fork();
	trap_before_fork();
	areas_before_fork();
	budgets_before_fork();
	backends_before_fork();
	memfd_before_fork();
	kernel_before_fork();
	notices_before_fork();
	shrinkers_before_fork();
}

static void after_fork(void)
{
	if (depth == 0 || --depth > 0)
		return;
	shrinkers_after_fork();
	notices_after_fork();
	kernel_after_fork();
	memfd_after_fork();
	backends_after_fork();
	budgets_after_fork();
	areas_after_fork();
	trap_after_fork();
	shrinker_after_fork();
	relief_after_fork();
}

static void after_fork_in_child(void)
{
	if (depth == 1) {
		notices_after_fork_in_child();
		shrinkers_after_fork_in_child();
		memfd_after_fork_in_child();
	}
	after_fork();
}

/*
 * No pthread_once, which would remember a want of memory for ever, and no mutex, which a child
 * forked meanwhile would find locked. So two threads may install the handlers twice, and only the
 * first and the last of those that a fork calls do something.
 */
int process_start(void)
{
	if (__atomic_load_n(&started, __ATOMIC_ACQUIRE))
		return 0;
	if (pthread_atfork(before_fork, after_fork, after_fork_in_child) != 0)
		return -ENOMEM;
	__atomic_store_n(&started, 1, __ATOMIC_RELEASE);
	return 0;
}
