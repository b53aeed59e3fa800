/* SPDX-License-Identifier: MIT */
/*
 * Sending and receiving areas over AF_UNIX sockets: one byte with one descriptor, unix(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ashmem/area.h>

#include "base/cancel.h"
#include "base/descriptor.h"

/*
 * What the program has asked the socket for comes along with every message, before the descriptors:
 * credentials (SO_PASSCRED), a pidfd (SO_PASSPIDFD), a security label (SO_PASSSEC), which is hardly
 * longer than this. Descriptors take the rest, and the kernel cuts off what finds no room.
 */
#define LABEL_MAX 1024
#define CONTROL_BYTES_MAX                                                                \
	(CMSG_SPACE(3 * sizeof(int)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(LABEL_MAX) + \
		CMSG_SPACE(4 * sizeof(int)))

/* unix(7), Linux 6.5 */
#define SCM_PIDFD_TYPE 4

union control_buffer {
	char bytes[CONTROL_BYTES_MAX];
	struct cmsghdr align;
};

/* 0 if the descriptor is an AF_UNIX socket. */
static int check_socket(int socket_fd)
{
	int domain;
	socklen_t length = sizeof(domain);

	if (getsockopt(socket_fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0)
		return -errno;
	return domain == AF_UNIX ? 0 : -EINVAL;
}

int ashmem_send(int socket_fd, struct ashmem_area *area)
{
	CANCEL_OFF;
	union control_buffer control;
	char byte = 'A';
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(sizeof(int)),
	};
	int fd = area ? check_socket(socket_fd) : -EINVAL;

	if (fd == 0)
		fd = ashmem_fd(area);
	if (fd < 0)
		return fd;
	memset(&control, 0, sizeof(control));
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * Close a descriptor that a peer chose. If it is a socket with data that nobody takes, and the last
 * reference to it, closing would wait as long as the peer has asked for (SO_LINGER, socket(7)).
 */
static void close_strange(int fd)
{
	const struct linger none = {.l_onoff = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

/* As descriptor_above_std(), for a descriptor that a peer chose. */
static int move_strange(int fd)
{
	if (fd > STDERR_FILENO)
		return fd;
	int moved = descriptor_duplicate(fd);
	close_strange(fd);
	return moved;
}

/* The first descriptor that was sent; all others are closed. How many were sent. */
static unsigned take_descriptor(struct msghdr *message, int *fd)
{
	unsigned count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
		header = CMSG_NXTHDR(message, header)) {
		int is_sent = header->cmsg_type == SCM_RIGHTS;
		if (header->cmsg_level != SOL_SOCKET ||
			(!is_sent && header->cmsg_type != SCM_PIDFD_TYPE))
			continue;
		size_t bytes = header->cmsg_len - CMSG_LEN(0);
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int its;
			memcpy(&its, CMSG_DATA(header) + at, sizeof(its));
			if (is_sent && count++ == 0)
				*fd = move_strange(its);
			else if (its >= 0) /* instead of a pidfd there can be an error */
				close_strange(its);
		}
	}
	return count;
}

int ashmem_recv(int socket_fd, struct ashmem_area **area)
{
	CANCEL_OFF;
	union control_buffer control;
	char byte;
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int fd = -1, r;

	r = area ? check_socket(socket_fd) : -EINVAL;
	if (r < 0)
		return r;
	ssize_t got = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	/* an AF_UNIX stream that is not connected says EINVAL, other sockets ENOTCONN */
	if (got < 0)
		return errno == EINVAL ? -ENOTCONN : -errno;
	unsigned count = take_descriptor(&message, &fd);
	if (got == 0 && count == 0)
		return -ECONNRESET;
	if (count > 0 && fd < 0)
		return -EMFILE;
	if (count == 1 && !(message.msg_flags & MSG_CTRUNC))
		r = ashmem_import(fd, area);
	else /* the kernel cuts off what finds no free descriptor */
		r = count == 0 && (message.msg_flags & MSG_CTRUNC) ? -EMFILE : -EBADMSG;
	if (count > 0 && r == 0)
		close(fd); /* the area has its own */
	else if (count > 0)
		close_strange(fd);
	return r;
}
