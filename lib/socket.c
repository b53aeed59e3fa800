/* SPDX-License-Identifier: MIT */
/*
 * Sending and receiving areas over AF_UNIX sockets: one byte with one descriptor, unix(7).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ashmem/area.h>

/* Descriptors that a hostile message can bring along before the kernel cuts it off. */
#define FDS_MAX 4

union control_buffer {
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
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

/* The descriptors of a message; how many. */
static int descriptors_of(struct msghdr *message, int fds[FDS_MAX])
{
	int count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
		header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t bytes = header->cmsg_len - CMSG_LEN(0);
		for (size_t at = 0; at + sizeof(int) <= bytes && count < FDS_MAX; at += sizeof(int))
			memcpy(&fds[count++], CMSG_DATA(header) + at, sizeof(int));
	}
	return count;
}

int ashmem_recv(int socket_fd, struct ashmem_area **area)
{
	union control_buffer control;
	char byte;
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int fds[FDS_MAX], r;

	r = area ? check_socket(socket_fd) : -EINVAL;
	if (r < 0)
		return r;
	ssize_t got = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	if (got < 0) /* an AF_UNIX stream that is not connected says EINVAL, other sockets ENOTCONN */
		return errno == EINVAL ? -ENOTCONN : -errno;
	int count = descriptors_of(&message, fds);
	if (got == 0 && count == 0)
		return -ECONNRESET;
	if (count == 1 && !(message.msg_flags & MSG_CTRUNC))
		r = ashmem_import(fds[0], area);
	else /* the kernel cuts off what finds no free descriptor */
		r = count == 0 && (message.msg_flags & MSG_CTRUNC) ? -EMFILE : -EBADMSG;
	while (count > 0)
		close(fds[--count]);
	return r;
}
