/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that travel over sockets: what arrives is looked at, what leaves is shared from then
 * on. The messages themselves pass as they are.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "files.h"

static void each_descriptor(const struct msghdr *message, void (*visit)(int fd))
{
	struct msghdr *readable = (struct msghdr *)(uintptr_t)message;
	int error = errno;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(readable); header;
		header = CMSG_NXTHDR(readable, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
			header->cmsg_len < CMSG_LEN(0))
			continue;
		size_t bytes = header->cmsg_len - CMSG_LEN(0);
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;
			memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
			visit(fd);
		}
	}
	errno = error;
}

static void arrived(int fd)
{
	files_set(fd, NULL); /* a new number, whatever it named before */
	files_adopt(fd);
}

RUN_HOOK ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t got = NEXT(recvmsg)(fd, message, flags);

	if (got >= 0)
		each_descriptor(message, arrived);
	return got;
}

#ifdef __GLIBC__
typedef int message_flags;
#else
typedef unsigned message_flags;
#endif

RUN_HOOK int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, message_flags flags,
	struct timespec *timeout)
{
	int got = NEXT(recvmmsg)(fd, messages, count, flags, timeout);

	for (int i = 0; i < got; i++)
		each_descriptor(&messages[i].msg_hdr, arrived);
	return got;
}

RUN_HOOK ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if ((uintptr_t)message >= 4096 && message->msg_controllen > 0)
		each_descriptor(message, files_share);
	return NEXT(sendmsg)(fd, message, flags);
}

RUN_HOOK int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, message_flags flags)
{
	for (unsigned i = 0; i < count && (uintptr_t)messages >= 4096; i++)
		each_descriptor(&messages[i].msg_hdr, files_share);
	return NEXT(sendmmsg)(fd, messages, count, flags);
}

#if defined(__GLIBC__) && defined(__TIMESIZE) && __TIMESIZE == 32
RUN_HOOK ssize_t __recvmsg64(int fd, struct msghdr *message, int flags);
ssize_t __recvmsg64(int fd, struct msghdr *message, int flags)
{
	ssize_t got = NEXT(__recvmsg64)(fd, message, flags);

	if (got >= 0)
		each_descriptor(message, arrived);
	return got;
}

RUN_HOOK int __recvmmsg64(int fd, struct mmsghdr *messages, unsigned count, int flags,
	void *timeout);
int __recvmmsg64(int fd, struct mmsghdr *messages, unsigned count, int flags, void *timeout)
{
	int got = NEXT(__recvmmsg64)(fd, messages, count, flags, timeout);

	for (int i = 0; i < got; i++)
		each_descriptor(&messages[i].msg_hdr, arrived);
	return got;
}
#endif
