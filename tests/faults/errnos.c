/* SPDX-License-Identifier: MIT */
/*
 * Which failures are plausible for a call: those of its manual page that can come without a mistake
 * of the library's (nothing left, interrupted, forbidden by a sandbox), and those of a kernel that
 * does not have it. And which errors the public headers name, which `check` reads from their
 * @retval lines.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"

#define NOT_THERE(error) ((error) | FAULT_ALWAYS)

static const struct {
	const char *name;
	int errors[9];
} calls[CALLS] = {
	[CALL_MALLOC] = {"malloc", {ENOMEM}},
	[CALL_CALLOC] = {"calloc", {ENOMEM}},
	[CALL_REALLOC] = {"realloc", {ENOMEM}},
	[CALL_GETLINE] = {"getline", {ENOMEM, EIO, EINTR}},
	[CALL_FOPEN] = {"fopen", {EMFILE, ENFILE, ENOMEM, ENOENT, EACCES}},
	[CALL_OPENDIR] = {"opendir", {EMFILE, ENFILE, ENOMEM, ENOENT, EACCES}},
	[CALL_FDOPENDIR] = {"fdopendir", {ENOMEM}},
	[CALL_READDIR] = {"readdir", {ENOMEM, ENOENT}},
	[CALL_ACCESS] = {"access", {ENOENT, EACCES, ENOMEM}},
	[CALL_CLOCK_GETTIME] = {"clock_gettime", {EPERM}},
	[CALL_NANOSLEEP] = {"nanosleep", {EINTR}},
	[CALL_CLOSE] = {"close", {EINTR, EIO}},
	[CALL_CONNECT] = {"connect", {ECONNREFUSED, EAGAIN, EACCES, EPERM}},
	[CALL_SOCKET] = {"socket", {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES}},
	[CALL_GETSOCKOPT] = {"getsockopt", {EBADF, ENOTSOCK}},
	[CALL_SETSOCKOPT] = {"setsockopt", {ENOTSOCK, ENOMEM}},
	[CALL_SEND] = {"send", {EAGAIN, EINTR, EPIPE, ENOBUFS, FAULT_SHORT}},
	[CALL_SENDMSG] = {"sendmsg",
		{EAGAIN, EINTR, EPIPE, ENOBUFS, ENOMEM, ECONNRESET, ETOOMANYREFS}},
	[CALL_RECVMSG] = {"recvmsg", {EAGAIN, EINTR, ECONNRESET, ENOMEM, FAULT_CUT}},
	[CALL_EPOLL_CREATE] = {"epoll_create1", {EMFILE, ENFILE, ENOMEM}},
	[CALL_EPOLL_CTL] = {"epoll_ctl", {ENOMEM, ENOSPC}},
	[CALL_EPOLL_WAIT] = {"epoll_wait", {EINTR}},
	[CALL_EVENTFD] = {"eventfd", {EMFILE, ENFILE, ENOMEM}},
	[CALL_TIMERFD_CREATE] = {"timerfd_create", {EMFILE, ENFILE, ENOMEM}},
	[CALL_TIMERFD_SETTIME] = {"timerfd_settime", {EINVAL}},
	[CALL_POLL] = {"poll", {EINTR, ENOMEM}},
	[CALL_PIPE] = {"pipe2", {EMFILE, ENFILE}},
	[CALL_FALLOCATE] = {"fallocate",
		{EINTR, ENOSPC, EIO, EPERM, ENOMEM, EOPNOTSUPP, NOT_THERE(EOPNOTSUPP)}},
	[CALL_FCHMOD] = {"fchmod", {EPERM}},
	[CALL_FSTAT] = {"fstat", {ENOMEM}},
	[CALL_FSTATFS] = {"fstatfs", {ENOMEM, EIO, NOT_THERE(ENOSYS)}},
	[CALL_STAT] = {"stat", {ENOENT, EACCES, ENOMEM}},
	[CALL_FTRUNCATE] = {"ftruncate", {EINTR, EFBIG, ENOMEM}},
	[CALL_LSEEK] = {"lseek", {ENXIO, EINVAL}},
	[CALL_OPEN] = {"open", {EMFILE, ENFILE, ENOMEM, ENOENT, EACCES, EPERM}},
	[CALL_OPENAT] = {"openat", {EMFILE, ENFILE, ENOMEM, ENOENT, EACCES, EPERM, EIO}},
	[CALL_MKDIRAT] = {"mkdirat", {ENOSPC, EDQUOT, EROFS, EACCES, ENOMEM, EPERM}},
	[CALL_UNLINKAT] = {"unlinkat", {EIO, EROFS, ENOMEM, EACCES}},
	[CALL_FLOCK] = {"flock", {EINTR, EWOULDBLOCK, ENOLCK}},
	[CALL_READLINK] = {"readlink", {ENOENT, EACCES, ENOMEM}},
	[CALL_READ] = {"read", {EINTR, EIO, FAULT_SHORT, FAULT_NONE}},
	[CALL_PREAD] = {"pread", {EINTR, EIO, ENOMEM, FAULT_SHORT}},
	[CALL_PWRITE] = {"pwrite", {EINTR, EIO, ENOMEM, ENOSPC, FAULT_SHORT}},
	[CALL_WRITE] = {"write", {EAGAIN, EIO, ENOSPC, FAULT_SHORT}},
	[CALL_WAKE] = {"write to an eventfd", {EINTR}},
	[CALL_MMAP] = {"mmap", {ENOMEM, EAGAIN, ENFILE}},
	[CALL_MUNMAP] = {"munmap", {ENOMEM}},
	[CALL_MPROTECT] = {"mprotect", {ENOMEM, EACCES}},
	[CALL_MADVISE] = {"madvise", {ENOMEM, NOT_THERE(EINVAL)}},
	[CALL_MLOCK] = {"mlock", {ENOMEM, EPERM, EAGAIN}},
	[CALL_PRIORITY] = {"sched_setscheduler, setpriority", {EPERM, EINVAL}},
	[CALL_PERSONALITY] = {"personality", {EPERM, NOT_THERE(ENOSYS)}},
	[CALL_PTHREAD_ATFORK] = {"pthread_atfork", {ENOMEM}},
	[CALL_PTHREAD_CREATE] = {"pthread_create", {EAGAIN, EPERM}},
	[CALL_ROBUST_MUTEX] = {"pthread_mutexattr_init", {ENOMEM}},
	[CALL_GETFL] = {"fcntl(F_GETFL)", {0}},
	[CALL_DUPFD] = {"fcntl(F_DUPFD_CLOEXEC)", {EMFILE}},
	[CALL_GET_SEALS] = {"fcntl(F_GET_SEALS)", {EINVAL}},
	[CALL_ADD_SEALS] = {"fcntl(F_ADD_SEALS)", {EPERM, NOT_THERE(EINVAL)}},
	[CALL_SETLK] = {"fcntl(F_SETLK)", {EAGAIN, EACCES, ENOLCK}},
	[CALL_GETLK] = {"fcntl(F_GETLK)", {ENOLCK, EINVAL}},
	[CALL_OFD_SETLK] = {"fcntl(F_OFD_SETLK)", {EAGAIN, EACCES, ENOLCK, NOT_THERE(EINVAL)}},
	[CALL_OFD_GETLK] = {"fcntl(F_OFD_GETLK)", {NOT_THERE(EINVAL)}},
	[CALL_OTHER_FCNTL] = {"fcntl", {EINVAL}},
	[CALL_IOCTL] = {"ioctl", {EINTR}},
	[CALL_IOCTL_PIN] = {"ioctl of a pin", {EINTR, ENOMEM}},
	[CALL_MEMFD_CREATE] = {"memfd_create",
		{EMFILE, ENFILE, ENOMEM, EPERM, EACCES, EINVAL, NOT_THERE(ENOSYS)}},
	[CALL_FUTEX] = {"futex", {EINTR, EAGAIN, ETIMEDOUT, NOT_THERE(ENOSYS)}},
	[CALL_GET_ROBUST_LIST] = {"get_robust_list", {EPERM, NOT_THERE(ENOSYS)}},
	[CALL_SET_ROBUST_LIST] = {"set_robust_list", {NOT_THERE(ENOSYS)}},
	[CALL_KCMP] = {"kcmp", {EPERM, NOT_THERE(ENOSYS)}},
	[CALL_GETRANDOM] = {"getrandom", {EINTR, NOT_THERE(ENOSYS)}},
};

const char *call_name(enum call kind)
{
	return calls[kind].name;
}

const int *call_errors(enum call kind)
{
	return calls[kind].errors;
}

const char *error_text(int error)
{
	static char text[2][60];
	static int which;

	which = !which;
	switch (error) {
	case FAULT_SHORT:
		return "half of the bytes";
	case FAULT_NONE:
		return "no bytes";
	case FAULT_CUT:
		return "the descriptor cut off";
	default:
		snprintf(text[which], sizeof(text[which]), "%s%s",
			strerrorname_np(error & ~FAULT_ALWAYS),
			error & FAULT_ALWAYS ? " from now on" : "");
		return text[which];
	}
}

/* -- the headers -- */

static const struct {
	const char *function, *error;
} documented[] = {
#include "documented.h"
	{NULL, NULL},
};

int is_documented(const char *function, int64_t error)
{
	/* One number with two names. */
	const char *name = error == -ENOTSUP ? "ENOTSUP" : strerrorname_np((int)-error);

	for (int i = 0; name && documented[i].function; i++)
		if (strcmp(documented[i].function, function) == 0 &&
			strcmp(documented[i].error, name) == 0)
			return 1;
	return 0;
}
