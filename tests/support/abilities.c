/* SPDX-License-Identifier: MIT */
/* What some tests need of the system: see abilities.h. */
#define _GNU_SOURCE 1
#include "support/abilities.h"
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* What fn exits with, in a child. */
static int status_of(void (*fn)(void *argument), void *argument)
{
	return WEXITSTATUS(child_wait(child_start(fn, argument)));
}

static void tell_first_byte(void *memory)
{
	_exit(*(char *)memory);
}

void skip_without_wiping_on_fork(void)
{
	size_t length = (size_t)sysconf(_SC_PAGESIZE);
	char *memory =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int wiped;

	expect(memory != MAP_FAILED);
	*memory = 7;
	wiped = madvise(memory, length, MADV_WIPEONFORK) == 0 &&
		status_of(tell_first_byte, memory) == 0;
	munmap(memory, length);
	if (!wiped)
		contract_skip("memory is not wiped in children here (qemu-user?)");
}

/* A page where nothing is mapped any more. */
static void *unmapped_page(size_t length)
{
	void *memory = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect(memory != MAP_FAILED);
	munmap(memory, length);
	return memory;
}

void skip_without_populating(void)
{
	size_t length = (size_t)sysconf(_SC_PAGESIZE);

	if (madvise(unmapped_page(length), length, MADV_POPULATE_READ) == 0)
		contract_skip("populating is ignored here (qemu-user?)");
}

void skip_without_unmapping(void)
{
	size_t length = (size_t)sysconf(_SC_PAGESIZE);

	if (madvise(unmapped_page(length), length, MADV_NORMAL) == 0)
		contract_skip("addresses stay reserved when their memory is unmapped (qemu-user?)");
}

static void map_over_the_limit(void *unused)
{
	struct rlimit limit = {(rlim_t)64 << 20, (rlim_t)64 << 20};

	(void)unused;
	if (setrlimit(RLIMIT_AS, &limit) < 0)
		_exit(1);
	_exit(mmap(NULL, (size_t)256 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		MAP_FAILED);
}

void skip_without_address_space_limit(void)
{
	if (status_of(map_over_the_limit, NULL) != 0)
		contract_skip("nothing limits the address space here (qemu-user?)");
}

void skip_without_far_mappings(void)
{
	const off_t far = (off_t)5 << 30;
	size_t length = (size_t)sysconf(_SC_PAGESIZE);
	int fd = memfd_create("probe", MFD_CLOEXEC), shown;
	char *addr;

	expect(fd >= 0);
	expect_eq(pwrite(fd, "f", 1, far), 1);
	expect_eq(ftruncate(fd, far + (off_t)length), 0);
	addr = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, far);
	close(fd);
	shown = addr != MAP_FAILED && *addr == 'f';
	if (addr != MAP_FAILED)
		munmap(addr, length);
	if (!shown)
		contract_skip(
			"mappings behind 4 GiB show other pages here (qemu-user for 32 bits?)");
}

void skip_without_shared_validate(void)
{
	size_t length = (size_t)sysconf(_SC_PAGESIZE);
	int fd = memfd_create("probe", MFD_CLOEXEC);
	void *addr;

	expect(fd >= 0);
	expect_eq(ftruncate(fd, (off_t)length), 0);
	addr = mmap(NULL, length, PROT_READ, MAP_SHARED_VALIDATE, fd, 0);
	close(fd);
	if (addr == MAP_FAILED)
		contract_skip("no MAP_SHARED_VALIDATE here (before Linux 4.15, qemu-user?)");
	munmap(addr, length);
}

/* Takes a message with room for one descriptor; what came is closed. */
static void receive_one(int socket_fd)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec part = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control,
	};
	struct cmsghdr *header;
	size_t at;
	int fd;

	expect_eq(recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC), 1);
	for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
		for (at = 0; CMSG_LEN(at + sizeof fd) <= header->cmsg_len; at += sizeof fd) {
			memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
			close(fd);
		}
}

void skip_without_closing_of_surplus_descriptors(void)
{
	int fds[] = {0, 1, 2}, ends[2];
	struct holdings before, after;

	make_socket_pair(ends);
	before = holdings_now();
	send_descriptors(ends[0], fds, 3);
	receive_one(ends[1]);
	after = holdings_now();
	close(ends[0]);
	close(ends[1]);
	if (after.descriptors != before.descriptors)
		contract_skip("descriptors that do not fit a message stay open here (qemu-user?)");
}
