/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: closing, duplicating, fcntl(2), ioctl(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"
#include "files.h"
#include "reach.h"

/* -- close -- */

RUN_HOOK int close(int fd)
{
	if (files_is_hidden(fd)) {
		errno = EBADF;
		return -1;
	}
	files_set(fd, NULL);
	int r = NEXT(close)(fd);
	files_closed(fd);
	return r;
}

#ifdef __GLIBC__
typedef int close_some(unsigned first, unsigned last, int flags);

/* Leave out hidden numbers. */
static int close_between(unsigned first, unsigned last, int flags, close_some *really)
{
	int stop;

	while ((stop = files_next_hidden(first, last)) >= 0) {
		int r = (unsigned)stop > first ? really(first, (unsigned)stop - 1, flags) : 0;
		if (r < 0)
			return r;
		first = (unsigned)stop + 1;
	}
	return first <= last ? really(first, last, flags) : 0;
}

RUN_HOOK int close_range(unsigned first, unsigned last, int flags);
int close_range(unsigned first, unsigned last, int flags)
{
	const int cloexec = 1 << 2;

	if (first > last || (flags & cloexec))
		return NEXT(close_range)(first, last, flags);
	int r = close_between(first, last, flags, NEXT(close_range));
	if (r == 0)
		files_forget(first, last);
	return r;
}

static int close_from(unsigned first, unsigned last, int flags)
{
	(void)flags;
	if (last == ~0u) {
		NEXT(closefrom)((int)first);
		return 0;
	}
	for (unsigned fd = first; fd <= last; fd++)
		libc_close((int)fd);
	return 0;
}

RUN_HOOK void closefrom(int first)
{
	unsigned from = first < 0 ? 0 : (unsigned)first;

	close_between(from, ~0u, 0, close_from);
	files_forget(from, ~0u);
}
#endif

/* -- duplicates -- */

RUN_HOOK int dup(int fd)
{
	int copy = NEXT(dup)(fd);

	if (copy >= 0)
		files_copy(fd, copy);
	return copy;
}

/* A number that the library within has is none that a program may have. */
static int is_allowed(int copy)
{
	if (!files_is_hidden(copy))
		return 1;
	errno = EBADF;
	return 0;
}

RUN_HOOK int dup2(int fd, int copy)
{
	int r = is_allowed(copy) ? NEXT(dup2)(fd, copy) : -1;

	if (r >= 0)
		files_copy(fd, copy);
	return r;
}

RUN_HOOK int dup3(int fd, int copy, int flags)
{
	int r = is_allowed(copy) ? NEXT(dup3)(fd, copy, flags) : -1;

	if (r >= 0)
		files_copy(fd, copy);
	return r;
}

typedef int control(int fd, int command, ...);

/* What a command's argument is, as the kernel reads it: locks have two forms on 32 bits. */
enum lock_form { NO_LOCK, SHORT_LOCK, LARGE_LOCK };

static enum lock_form form_of_lock(int command, int is_large)
{
	switch (command) {
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
		return SHORT_LOCK;
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return is_large ? LARGE_LOCK : SHORT_LOCK;
#if defined(F_SETLK64) && F_SETLK64 != F_SETLK
	case F_GETLK64:
	case F_SETLK64:
	case F_SETLKW64:
		return LARGE_LOCK;
#endif
	default:
		return NO_LOCK;
	}
}

/* The kernel writes into these locks alone. */
static int is_question(int command)
{
#if defined(F_GETLK64) && F_GETLK64 != F_GETLK
	if (command == F_GETLK64)
		return 1;
#endif
	return command == F_GETLK || command == F_OFD_GETLK;
}

/* A lock from the position on: the file below has a position of its own, which means nothing. */
#define LOCK_FROM_POSITION(name, type)                                                           \
	static int name(const struct run_file *file, int fd, int command, type *lock,            \
		control *really)                                                                 \
	{                                                                                        \
		int64_t position = ashmem_seek(file->area, 0, SEEK_CUR);                         \
		type absolute = *lock;                                                           \
		absolute.l_whence = SEEK_SET;                                                    \
		absolute.l_start += (__typeof__(absolute.l_start))(position < 0 ? 0 : position); \
		int r = really(fd, command, &absolute);                                          \
		if (r == 0 && is_question(command) && absolute.l_type == F_UNLCK)                \
			lock->l_type = F_UNLCK;                                                  \
		else if (r == 0 && is_question(command))                                         \
			*lock = absolute;                                                        \
		return r;                                                                        \
	}

LOCK_FROM_POSITION(short_lock_from_position, struct flock)
LOCK_FROM_POSITION(large_lock_from_position, run_flock)

/* 1 if the lock was one from the position on; then `result` is the call's. */
static int lock_file(const struct run_file *file, int fd, int command, void *lock, int is_large,
	control *really, int *result)
{
	enum lock_form form = form_of_lock(command, is_large);
	struct flock *first = lock; /* l_whence is at the same place in both */

	if (!form ||
		!reach_can_read(lock, form == SHORT_LOCK ? sizeof(*first) : sizeof(run_flock)) ||
		first->l_whence != SEEK_CUR)
		return 0;
	*result = form == SHORT_LOCK ? short_lock_from_position(file, fd, command, lock, really)
				     : large_lock_from_position(file, fd, command, lock, really);
	return 1;
}

/* What nothing below knows is noted: files_note_flags(). */
static int set_flags(const struct run_file *file, int fd, int flags, control *really)
{
	int r = really(fd, F_SETFL, flags & ~O_APPEND);

	if (r == 0)
		files_note_flags(fd, file->access | (flags & O_APPEND));
	return r;
}

static int control_file(const struct run_file *file, int fd, int command, void *argument,
	int is_large, control *really)
{
	int r;

	if (lock_file(file, fd, command, argument, is_large, really, &r))
		return r;
	switch (command) {
	case F_GETFL:
		r = really(fd, command);
		return r < 0 ? r : (r & ~O_ACCMODE) | files_noted_flags(fd);
	case F_SETFL:
		return set_flags(file, fd, (int)(intptr_t)argument, really);
	case F_SETSIG: /* its place is taken; no area sends a signal */
		return (uintptr_t)argument > 64 ? really(fd, command, argument) : 0;
	case F_GETSIG:
		return 0;
	case F_SETLEASE:
	case F_GET_SEALS:
	case F_ADD_SEALS:
		errno = EINVAL;
		return -1;
	default:
		return really(fd, command, argument);
	}
}

static int control_any(int fd, int command, void *argument, int is_large, control *really)
{
	struct run_file *file = files_get_checked(fd);

	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
		int copy = really(fd, command, argument);
		if (copy >= 0)
			files_copy(fd, copy);
		if (file)
			files_put(file);
		return copy;
	}
	if (!file)
		return really(fd, command, argument);
	int r = control_file(file, fd, command, argument, is_large, really);
	files_put(file);
	return r;
}

#define GET_ARGUMENT(after)                     \
	va_list list_;                          \
	va_start(list_, after);                 \
	void *argument = va_arg(list_, void *); \
	va_end(list_)

RUN_HOOK int fcntl(int fd, int command, ...)
{
	GET_ARGUMENT(command);
	return control_any(fd, command, argument, 0, NEXT(fcntl));
}

#ifdef __GLIBC__
RUN_HOOK int fcntl64(int fd, int command, ...)
{
	GET_ARGUMENT(command);
	return control_any(fd, command, argument, 1, NEXT(fcntl64));
}
#endif

/* -- ioctl -- */

static inline struct run_file *file_for_ioctl(int fd, unsigned long number)
{
	struct run_file *file = files_get(fd);

	/* It may have come by a way that no hook sees. */
	if (!file && ((number >> 8) & 0xff) == 0x77 && fd >= 0 && files_adopt(fd))
		file = files_get(fd);
	return file;
}

#ifdef __GLIBC__
typedef unsigned long ioctl_number;
#else
typedef int ioctl_number;
#endif

RUN_HOOK int ioctl(int fd, ioctl_number number, ...)
{
	GET_ARGUMENT(number);
	struct run_file *file = file_for_ioctl(fd, (unsigned)number);

	if (!file)
		return NEXT(ioctl)(fd, number, argument);
	int r = device_ioctl(file, fd, (unsigned)number, argument);
	files_put(file);
	return r;
}

/* -- programs of 32 bits with times of 64 -- */

#if defined(__GLIBC__) && defined(__TIMESIZE) && __TIMESIZE == 32
RUN_HOOK int __fcntl_time64(int fd, int command, ...);
int __fcntl_time64(int fd, int command, ...)
{
	GET_ARGUMENT(command);
	return control_any(fd, command, argument, 1, NEXT(__fcntl_time64));
}

RUN_HOOK int __ioctl_time64(int fd, unsigned long number, ...);
int __ioctl_time64(int fd, unsigned long number, ...)
{
	GET_ARGUMENT(number);
	struct run_file *file = file_for_ioctl(fd, number);

	if (!file)
		return NEXT(__ioctl_time64)(fd, number, argument);
	int r = device_ioctl(file, fd, number, argument);
	files_put(file);
	return r;
}
#endif
