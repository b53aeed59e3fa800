/* SPDX-License-Identifier: MIT */
/*
 * Rows: making, importing and sending areas, beside the system calls that cannot be avoided.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define SIZE_BYTES (1 << 20)

static void need_ok(const char *what, int r)
{
	if (r < 0)
		die(what, r);
}

static double run_create(void *context, uint64_t count)
{
	double begin = busy_ns();

	(void)context;
	while (count--) {
		struct ashmem_area *area;
		void *addr;
		need_ok("ashmem_create", ashmem_create("bench", SIZE_BYTES, 0, &area));
		need_ok("ashmem_map",
			ashmem_map(area, 0, SIZE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &addr));
		ashmem_unmap(addr, SIZE_BYTES);
		ashmem_close(area);
	}
	return busy_since(begin);
}

static double run_raw_create(void *context, uint64_t count)
{
	double begin = busy_ns();

	(void)context;
	while (count--) {
		int fd = memfd_open(SIZE_BYTES);
		void *addr = mmap(NULL, SIZE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (addr == MAP_FAILED)
			die_errno("mmap");
		munmap(addr, SIZE_BYTES);
		close(fd);
	}
	return busy_since(begin);
}

static double run_create_only(void *context, uint64_t count)
{
	double begin = busy_ns();

	(void)context;
	while (count--) {
		struct ashmem_area *area;
		need_ok("ashmem_create", ashmem_create("bench", SIZE_BYTES, 0, &area));
		ashmem_close(area);
	}
	return busy_since(begin);
}

static double run_raw_create_only(void *context, uint64_t count)
{
	double begin = busy_ns();

	(void)context;
	while (count--)
		close(memfd_open(SIZE_BYTES));
	return busy_since(begin);
}

/* The context is the descriptor. */
static double run_import(void *context, uint64_t count)
{
	double begin = busy_ns();

	while (count--) {
		struct ashmem_area *area;
		need_ok("ashmem_import", ashmem_import(*(int *)context, &area));
		ashmem_close(area);
	}
	return busy_since(begin);
}

/* What an import cannot do without: a descriptor of its own, its size, and a look at two pages of
 * state. */
static double run_raw_import(void *context, uint64_t count)
{
	size_t state = 2 * (size_t)page_bytes();
	double begin = busy_ns();

	while (count--) {
		struct stat status;
		int fd = fcntl(*(int *)context, F_DUPFD_CLOEXEC, 0);
		if (fd < 0 || fstat(fd, &status) < 0)
			die_errno("fcntl and fstat");
		void *addr = mmap(NULL, state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (addr == MAP_FAILED)
			die_errno("mmap");
		*(volatile char *)addr;
		munmap(addr, state);
		close(fd);
	}
	return busy_since(begin);
}

static double run_raw_dup(void *context, uint64_t count)
{
	double begin = busy_ns();

	while (count--) {
		struct stat status;
		int fd = fcntl(*(int *)context, F_DUPFD_CLOEXEC, 0);
		if (fd < 0 || fstat(fd, &status) < 0)
			die_errno("fcntl and fstat");
		close(fd);
	}
	return busy_since(begin);
}

struct mail {
	int socket[2];
	struct ashmem_area *area;
	int fd;
};

static double run_send(void *context, uint64_t count)
{
	struct mail *mail = context;
	double begin = busy_ns();

	while (count--) {
		struct ashmem_area *received;
		need_ok("ashmem_send", ashmem_send(mail->socket[0], mail->area));
		need_ok("ashmem_recv", ashmem_recv(mail->socket[1], &received));
		ashmem_close(received);
	}
	return busy_since(begin);
}

static void send_raw(int socket_fd, int fd)
{
	char byte = 0;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	memset(&control, 0, sizeof(control));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	if (sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0)
		die_errno("sendmsg");
}

static int receive_raw(int socket_fd)
{
	char byte;
	int fd;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};

	if (recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		die_errno("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

static double run_raw_send(void *context, uint64_t count)
{
	struct mail *mail = context;
	double begin = busy_ns();

	while (count--) {
		send_raw(mail->socket[0], mail->fd);
		close(receive_raw(mail->socket[1]));
	}
	return busy_since(begin);
}

static void create_rows(void)
{
	struct timed create = {.run = run_create}, raw_create = {.run = run_raw_create};
	struct timed only = {.run = run_create_only}, raw_only = {.run = run_raw_create_only};
	struct result *row = row_begin("create+map+unmap+close 1 MiB");

	if (row)
		row_measure(row, &create, "raw memfd", &raw_create, TARGET_AT_MOST, 1.5);
	row = row_begin("create+close, never mapped");
	if (row)
		row_measure(row, &only, "raw memfd", &raw_only, TARGET_NONE, 0);
}

static void import_rows(struct ashmem_area *area)
{
	int held = ashmem_fd(area), fd = fcntl(held, F_DUPFD_CLOEXEC, 0);
	struct timed import = {.run = run_import, .context = &fd};
	struct timed raw_dup = {.run = run_raw_dup, .context = &fd};
	struct timed raw_import = {.run = run_raw_import, .context = &fd};
	struct result *row = row_begin("import+close of an area held");

	if (fd < 0)
		die_errno("dup of an area's descriptor");
	if (row)
		row_measure(row, &import, "raw dup", &raw_dup, TARGET_NONE, 0);
	/* From here on only the descriptor is left. */
	ashmem_close(area);
	row = row_begin("import+close of a new area");
	if (row)
		row_measure(row, &import, "raw dup+mmap", &raw_import, TARGET_NONE, 0);
	close(fd);
}

static void send_row(struct result *row, struct ashmem_area *area)
{
	struct mail mail = {.area = area, .fd = ashmem_fd(area)};
	struct timed subject = {.run = run_send, .context = &mail};
	struct timed reference = {.run = run_raw_send, .context = &mail};

	if (!row)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, mail.socket) < 0)
		die_errno("socketpair");
	row_measure(row, &subject, "raw sendmsg", &reference, TARGET_NONE, 0);
	close(mail.socket[0]);
	close(mail.socket[1]);
}

void rows_life(void)
{
	struct ashmem_area *area;

	section("Making and sharing areas");
	create_rows();
	need_ok("an area", area_open(SIZE_BYTES, &area));
	send_row(row_begin("send+receive+close"), area);
	import_rows(area);
}
