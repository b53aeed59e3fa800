/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing memory that a program named by a pointer, which may be bad: what the kernel
 * answers with EFAULT must not be a crash here. Pointers into the caller's stack, which is where
 * arguments of ioctls usually are, need no system call. No lock.
 */
#ifndef ASHMEM_COMPAT_RUN_REACH_H
#define ASHMEM_COMPAT_RUN_REACH_H

#include <stddef.h>
#include <stdint.h>

#include "libc.h"

/* The calling thread's stack: from `low` on; none yet: both 0. */
struct reach_stack {
	uintptr_t low, top;
};

#ifdef __GLIBC__
#define RUN_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#else
#define RUN_THREAD_LOCAL __thread
#endif

extern RUN_HIDDEN RUN_THREAD_LOCAL struct reach_stack reach_stack;

/* 1 if all of these bytes can be read, by asking the kernel. Learns where the stack is. */
RUN_HIDDEN int reach_asked(const void *bytes, size_t size);

/* 1 if all of these bytes can be read. */
static inline int reach_can_read(const void *bytes, size_t size)
{
	uintptr_t at = (uintptr_t)bytes, here = (uintptr_t)__builtin_frame_address(0);

	/* The part of the stack that is in use is there. */
	if (at >= here && here >= reach_stack.low && at < reach_stack.top &&
		size <= reach_stack.top - at)
		return 1;
	return reach_asked(bytes, size);
}

/*
 * Read a string up to its NUL, but no more than `size` bytes: how many were read before it, or
 * -EFAULT.
 */
RUN_HIDDEN int reach_read_string(char *to, const char *from, size_t size);

/* Write bytes: 0 or -EFAULT, and then some may be written. */
RUN_HIDDEN int reach_write(void *to, const void *from, size_t size);

#endif /* ASHMEM_COMPAT_RUN_REACH_H */
