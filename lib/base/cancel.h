/* SPDX-License-Identifier: MIT */
/*
 * No public call is a cancellation point (pthreads(7)). A thread that ended in the middle of one
 * would leave mutexes locked, descriptors open and a purge unfinished, and the process would hang.
 *
 * So each public call that may come to a cancellation point of libc, or to a function of the
 * program, begins with CANCEL_OFF. A pin, an unpin and a status with nothing in their way come to
 * none and do without; the functions on their slow ways have it. The fault test fails where libc is
 * called without (tests/faults/calls.c). Asynchronous cancellation is not provided for.
 */
#ifndef ASHMEM_LIB_BASE_CANCEL_H
#define ASHMEM_LIB_BASE_CANCEL_H

#include <pthread.h>

#ifdef PTHREAD_CANCEL_DISABLE
static inline int cancel_disable(void)
{
	int before = PTHREAD_CANCEL_ENABLE;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

static inline void cancel_restore(const int *before)
{
	int ours;

	pthread_setcancelstate(*before, &ours);
}

/* A declaration: from here to the end of the block the thread cannot be cancelled. */
#define CANCEL_OFF \
	const int cancel_before __attribute__((cleanup(cancel_restore), unused)) = cancel_disable()
#else
#define CANCEL_OFF ((void)0)
#endif

#endif /* ASHMEM_LIB_BASE_CANCEL_H */
