/* SPDX-License-Identifier: MIT */
/*
 * The kinds: see kinds.h. Areas are made by the library; files that are nearly areas are copies of
 * one.
 */
#include "kinds.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "memfd/control.h"

enum { PAGES = 5 };
#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static int area_fd(uint32_t flags, int read_only)
{
	struct ashmem_area *area;
	int fd = -1;

	if (ashmem_create("kind", PAGES * sys_page_size(), flags, &area) < 0)
		return -1;
	if (flags & ASHMEM_CREATE_ALLOW_SEAL)
		(void)!ashmem_seal(area);
	else
		ashmem_unpin(area, 0, sys_page_size());
	fd = read_only ? ashmem_export_read_only(area) : fcntl(ashmem_fd(area), F_DUPFD_CLOEXEC, 0);
	ashmem_close(area);
	return fd;
}

static int an_area(void)
{
	return area_fd(0, 0);
}

static int a_read_only_area(void)
{
	return area_fd(0, 1);
}

static int a_sealed_area(void)
{
	return area_fd(ASHMEM_CREATE_ALLOW_SEAL, 0);
}

static int reopened(int fd, int flags)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int copy = open(path, flags | O_CLOEXEC);
	close(fd);
	return copy;
}

static int an_area_to_write(void)
{
	return reopened(area_fd(0, 0), O_WRONLY);
}

static int an_area_by_path(void)
{
	return reopened(area_fd(0, 0), O_PATH);
}

static int memfd(uint64_t bytes, int seals)
{
	int fd = memfd_create("kind", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, (off_t)bytes) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int a_memfd(void)
{
	return memfd(10000, 0);
}

static int a_sealed_memfd(void)
{
	return memfd(10000, SIZE_SEALS | F_SEAL_WRITE | F_SEAL_SEAL);
}

static int an_empty_memfd(void)
{
	return memfd(0, SIZE_SEALS);
}

static int a_memfd_too_large(void)
{
	return memfd(UINT64_C(1) << 62, 0);
}

int forged_area(uint64_t pages)
{
	int area = area_fd(0, 0), fd;
	uint64_t page = sys_page_size(), bytes = control_file_bytes(pages * page);
	struct control_id id;
	struct stat status;

	if (area < 0 || fstat(area, &status) < 0)
		return -1;
	if (pread(area, &id, sizeof(id), status.st_size - (off_t)sizeof(id)) != (ssize_t)sizeof(id))
		return -1;
	close(area);
	id.size_bytes = pages * page;
	fd = memfd(bytes, 0);
	if (fd >= 0 &&
		pwrite(fd, &id, sizeof(id), (off_t)(bytes - sizeof(id))) != (ssize_t)sizeof(id))
		return -1;
	return fd;
}

static int a_forged_area_unsealed(void)
{
	return forged_area(PAGES);
}

static int forged_and_resized(off_t by)
{
	int fd = forged_area(PAGES);
	struct control_id id;
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 ||
		pread(fd, &id, sizeof(id), status.st_size - (off_t)sizeof(id)) !=
			(ssize_t)sizeof(id) ||
		ftruncate(fd, status.st_size + by) < 0 ||
		pwrite(fd, &id, sizeof(id), status.st_size + by - (off_t)sizeof(id)) !=
			(ssize_t)sizeof(id) ||
		fcntl(fd, F_ADD_SEALS, SIZE_SEALS) < 0)
		return -1;
	return fd;
}

static int a_forged_area_too_long(void)
{
	return forged_and_resized((off_t)sys_page_size());
}

static int a_forged_area_too_short(void)
{
	return forged_and_resized(-(off_t)sys_page_size());
}

static int forged_with(size_t offset, const void *bytes, size_t count)
{
	int fd = forged_area(PAGES);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 ||
		pwrite(fd, bytes, count,
			status.st_size - (off_t)sizeof(struct control) + (off_t)offset) !=
			(ssize_t)count ||
		fcntl(fd, F_ADD_SEALS, SIZE_SEALS) < 0)
		return -1;
	return fd;
}

static int a_forged_area_of_no_size(void)
{
	const uint64_t none = 0;

	return forged_with(offsetof(struct control, id.size_bytes), &none, sizeof(none));
}

static int a_forged_area_of_another_version(void)
{
	const uint32_t version = CONTROL_VERSION + 1;

	return forged_with(offsetof(struct control, id.version), &version, sizeof(version));
}

static int a_forged_area_with_a_mask_that_is_none(void)
{
	const uint32_t prot = 8;

	return forged_with(offsetof(struct control, prot), &prot, sizeof(prot));
}

static int an_area_that_is_locked(void)
{
	const uint32_t owner = LOCK_TID - 1;

	return forged_with(offsetof(struct control, lock), &owner, sizeof(owner));
}

static int pipe_end(int end)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	close(ends[!end]);
	return ends[end];
}

static int a_pipe_to_read(void)
{
	return pipe_end(0);
}

static int a_pipe_to_write(void)
{
	return pipe_end(1);
}

static int a_directory(void)
{
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int a_null_device(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int a_zero_device(void)
{
	return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

static int a_terminal(void)
{
	return posix_openpt(O_RDWR | O_NOCTTY);
}

static int a_file_in(const char *directory)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/ashmem-kind-XXXXXX", directory);
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	if (fd >= 0 && ftruncate(fd, 8192) < 0)
		return -1;
	return fd;
}

static int a_file(void)
{
	return a_file_in("/tmp");
}

static int a_file_of_tmpfs(void)
{
	return a_file_in("/dev/shm");
}

static int a_file_of_proc(void)
{
	return open("/proc/self/mem", O_RDWR | O_CLOEXEC);
}

static int a_namespace(void)
{
	return open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
}

static int a_socket(void)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	close(ends[1]);
	return ends[0];
}

static int a_socket_of_tcp(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int an_eventfd(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

static int an_epoll_set(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

static int a_timer(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
}

const struct kind kinds[] = {
	{"an area", an_area, 0},
	{"a read-only area", a_read_only_area, 0},
	{"a sealed area", a_sealed_area, 0},
	{"a memfd", a_memfd, 0},
	{"a sealed memfd", a_sealed_memfd, 0},
	{"an empty memfd", an_empty_memfd, 0},
	{"an area to write only", an_area_to_write, -EBADF},
	{"an area by path", an_area_by_path, -EBADF},
	{"a memfd that is too large", a_memfd_too_large, -EFBIG},
	{"a forged area that is not sealed", a_forged_area_unsealed, -EPERM},
	{"a forged area that is too long", a_forged_area_too_long, -EUCLEAN},
	{"a forged area that is too short", a_forged_area_too_short, -EUCLEAN},
	{"a forged area of no size", a_forged_area_of_no_size, -EUCLEAN},
	{"a forged area of another version", a_forged_area_of_another_version, -EPROTO},
	{"a forged area with a mask that is none", a_forged_area_with_a_mask_that_is_none,
		-EUCLEAN},
	{"an area that is locked", an_area_that_is_locked, -ETIMEDOUT},
	{"a pipe to read", a_pipe_to_read, -EINVAL},
	{"a pipe to write", a_pipe_to_write, -EBADF},
	{"a directory", a_directory, -EINVAL},
	{"/dev/null", a_null_device, -EINVAL},
	{"/dev/zero", a_zero_device, -EINVAL},
	{"a terminal", a_terminal, -EINVAL},
	{"a file", a_file, -EINVAL},
	{"a file of tmpfs", a_file_of_tmpfs, -EINVAL},
	{"a file of proc", a_file_of_proc, -EINVAL},
	{"a namespace", a_namespace, -EINVAL},
	{"a socket", a_socket, -EINVAL},
	{"a socket of TCP", a_socket_of_tcp, -EINVAL},
	{"an eventfd", an_eventfd, -EINVAL},
	{"an epoll set", an_epoll_set, -EINVAL},
	{"a timer", a_timer, -EINVAL},
};
const unsigned kind_count = sizeof(kinds) / sizeof(kinds[0]);

int send_kinds(int socket_fd, const int *fds, unsigned count, unsigned bytes)
{
	static const char payload[16];
	union {
		char bytes[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec io = {
		.iov_base = (void *)(uintptr_t)payload, .iov_len = bytes < 16 ? bytes : 16};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};

	if (count > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	}
	return sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}
