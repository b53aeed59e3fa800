/* SPDX-License-Identifier: MIT */
/* Descriptors over sockets, for the programs that were written for the driver. */
#ifndef TESTS_RUN_SEND_H
#define TESTS_RUN_SEND_H

#include <string.h>
#include <sys/socket.h>

enum { SENT_MOST = 4 };

/* In one message, of one byte: what sendmsg(2) returns. */
static inline ssize_t send_fds(int socket, const int *fds, size_t count)
{
	char byte = 'x', space[CMSG_SPACE(SENT_MOST * sizeof(int))] = "";
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	return sendmsg(socket, &message, 0);
}

/* What recvmsg(2) returns; `fds` has room for `count`, and those that did not come are -1. */
static inline ssize_t receive_fds(int socket, int *fds, size_t count, int flags)
{
	char byte, space[CMSG_SPACE(SENT_MOST * sizeof(int))];
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space)};
	ssize_t got = recvmsg(socket, &message, flags);
	struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
	size_t bytes = header ? header->cmsg_len - CMSG_LEN(0) : 0;

	memset(fds, -1, count * sizeof(int));
	if (header)
		memcpy(fds, CMSG_DATA(header),
			bytes < count * sizeof(int) ? bytes : count * sizeof(int));
	return got;
}

static inline int receive_fd(int socket)
{
	int fd;

	receive_fds(socket, &fd, 1, MSG_CMSG_CLOEXEC);
	return fd;
}

#endif /* TESTS_RUN_SEND_H */
