/* SPDX-License-Identifier: MIT */
/*
 * The watch on memory pressure (watch.h). A child of fork(2) has no thread and begins anew.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <ashmem/ashmem.h>

#include "watch.h"

int watch_is_due;
static struct ashmem_pressure *watch;

void watch_begin(void)
{
	int error = errno;

	if (!__atomic_exchange_n(&watch_is_due, 0, __ATOMIC_RELAXED))
		return;
	ashmem_pressure_close(watch); /* the parent's */
	watch = NULL;
	if (ashmem_pressure_open(NULL, &watch) == 0 && ashmem_pressure_run(watch) < 0) {
		ashmem_pressure_close(watch);
		watch = NULL;
	}
	errno = error;
}

static void in_child(void)
{
	watch_is_due = 1;
}

void watch_start(void)
{
	const char *wanted = secure_getenv("ASHMEM_RUN_PURGE");

	if (!wanted || strcmp(wanted, "1") != 0)
		return;
	watch_is_due = 1;
	pthread_atfork(NULL, NULL, in_child);
}
