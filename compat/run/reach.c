/* SPDX-License-Identifier: MIT */
/*
 * Memory that may not be there (reach.h).
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "reach.h"

RUN_THREAD_LOCAL struct reach_stack reach_stack;

/* A stack that is not the thread's own (sigaltstack(2), coroutines) is simply not found. */
static void learn_stack(void)
{
	pthread_attr_t attributes;
	size_t size;
	void *low;

	reach_stack.low = 1; /* once is enough, also if it fails */
	if (pthread_getattr_np(pthread_self(), &attributes) != 0)
		return;
	if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
		reach_stack.low = (uintptr_t)low;
		reach_stack.top = (uintptr_t)low + size;
	}
	pthread_attr_destroy(&attributes);
}

/*
 * Whether the eight bytes around the address can be read: the kernel copies a set of signals, and
 * only then finds that it is asked for nothing it knows.
 */
static int ask(uintptr_t address)
{
	const long no_such_thing = -1, eight = 8;
	uintptr_t set = address & ~(uintptr_t)(eight - 1);

	if (set == 0) /* to the kernel: no set */
		return 0;
	int error = errno;
	long r = NEXT(syscall)(SYS_rt_sigprocmask, no_such_thing, (long)set, 0L, eight);
	int readable = !(r < 0 && errno == EFAULT);

	errno = error;
	return readable;
}

int reach_asked(const void *bytes, size_t size)
{
	const uintptr_t step = 4096; /* of the smallest pages */
	uintptr_t first = (uintptr_t)bytes, last = first + size - 1;
	int error = errno;

	if (!reach_stack.low)
		learn_stack();
	errno = error;
	if (last < first)
		return 0;
	for (uintptr_t at = first; at < last; at += step)
		if (!ask(at))
			return 0;
	return ask(last);
}

int reach_read_string(char *to, const char *from, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if ((i == 0 || ((uintptr_t)(from + i) & 7) == 0) && !reach_can_read(from + i, 1))
			return -EFAULT;
		to[i] = from[i];
		if (!to[i])
			return (int)i;
	}
	return (int)size;
}

int reach_write(void *to, const void *from, size_t size)
{
	const struct iovec source = {(void *)(uintptr_t)from, size}, target = {to, size};
	int error = errno;
	long r = NEXT(syscall)(SYS_process_vm_writev, (long)getpid(), (long)&source, 1L,
		(long)&target, 1L, 0L);
	int refused = r < 0 && errno != EFAULT;

	errno = error;
	if (refused) /* an emulator, a sandbox */
		memcpy(to, from, size);
	return refused || r == (long)size ? 0 : -EFAULT;
}
