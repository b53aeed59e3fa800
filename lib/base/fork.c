/* SPDX-License-Identifier: MIT */
/*
 * Fork handlers: no mutex of the library may be held by a thread that the child does not have, and
 * areas that are not materialised must be made shareable before the child exists.
 *
 * The one file that knows all rooms, and so calls upward: the locks nest across rooms, and their
 * order has to stand somewhere.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#include "base/cancel.h"
#include "base/fork.h"
#include "base/shared.h"
#include "base/sys.h"

static int started;                 /* atomic; the handlers are there, once or more */
static THREAD_LOCAL unsigned depth; /* of the handlers of this thread's fork */

struct fork_lock {
	void (*before)(void);
	void (*after)(void);
	void (*after_in_child)(void); /* NULL, or called while all are still locked */
};

/* In the order in which a thread may take them; the last four are leaves. */
static const struct fork_lock locks[] = {
	{caches_before_fork, caches_after_fork, caches_after_fork_in_child},
	{relief_before_fork, relief_after_fork, NULL},
	{areas_before_fork, areas_after_fork, NULL},
	{trap_before_fork, trap_after_fork, NULL},
	{table_before_fork, table_after_fork, NULL},
	{budgets_before_fork, budgets_after_fork, NULL},
	{backends_before_fork, backends_after_fork, NULL},
	{memfd_before_fork, memfd_after_fork, memfd_after_fork_in_child},
	{kernel_before_fork, kernel_after_fork, NULL},
	{notices_before_fork, notices_after_fork, notices_after_fork_in_child},
	{queues_before_fork, queues_after_fork, queues_after_fork_in_child},
	{registry_before_fork, registry_after_fork, registry_after_fork_in_child},
	{names_before_fork, names_after_fork, names_after_fork_in_child},
};
#define LOCKS (sizeof(locks) / sizeof(locks[0]))

static void before_fork(void)
{
	CANCEL_OFF;
	if (depth++ > 0)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		locks[i].before();
}

static void after_fork(void)
{
	CANCEL_OFF;
	if (depth == 0 || --depth > 0)
		return;
	for (size_t i = LOCKS; i-- > 0;)
		locks[i].after();
}

static void after_fork_in_child(void)
{
	CANCEL_OFF;
	for (size_t i = 0; depth == 1 && i < LOCKS; i++)
		if (locks[LOCKS - 1 - i].after_in_child)
			locks[LOCKS - 1 - i].after_in_child();
	after_fork();
}

/*
 * No pthread_once, which would remember a failure for want of memory, and no mutex, which a child
 * forked meanwhile would find locked. So two threads may install the handlers twice, and only the
 * first and the last that a fork calls do anything.
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
