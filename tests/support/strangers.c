/* SPDX-License-Identifier: MIT */
/* Descriptors of areas that this process does not hold: see strangers.h. */
#define _GNU_SOURCE 1
#include "support/strangers.h"
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct order {
	int ends[2];
	int mask;
	uint64_t ranges;
};

static void make_area_and_leave(void *argument)
{
	struct order *order = argument;
	uint64_t page, pages = STRANGER_PAGES + 2 * order->ranges;
	struct ashmem_area *area = NULL;
	struct view view;

	expect_eq(ashmem_create("stranger", pages * page_bytes(), 0, &area), 0);
	view = view_of(area);
	for (page = 0; page < STRANGER_PAGES; page++)
		fill_pages(&view, page, 1, STRANGER_BYTE + (int)page);
	unpin_pages(area, 0, 2);
	expect_eq(purge_everything(), 2);
	unpin_pages(area, 3, 1);
	for (page = 0; page < order->ranges; page++)
		unpin_pages(area, STRANGER_PAGES + 2 * page, 1);
	expect_eq(ashmem_set_prot(area, order->mask), 0);
	expect_eq(ashmem_send(order->ends[1], area), 0);
}

static int stranger(int mask, uint64_t ranges)
{
	struct order order = {.mask = mask, .ranges = ranges};
	int fd;

	make_socket_pair(order.ends);
	run_child(make_area_and_leave, &order);
	fd = receive_descriptor(order.ends[0]);
	close(order.ends[0]);
	close(order.ends[1]);
	return fd;
}

int stranger_fd(int mask)
{
	return stranger(mask, 0);
}

int stranger_fd_with_ranges(uint64_t count)
{
	return stranger(PROT_RWX, count);
}

int reopen_fd(int fd, int flags)
{
	char path[64];
	int reopened;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	reopened = open(path, flags | O_CLOEXEC);
	expect(reopened >= 0);
	return reopened;
}

int foreign_memfd(uint64_t size_bytes)
{
	int fd = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	expect(fd >= 0);
	expect_eq(ftruncate(fd, (off_t)size_bytes), 0);
	return fd;
}

uint64_t fd_bytes(int fd)
{
	struct stat status;

	expect_eq(fstat(fd, &status), 0);
	return (uint64_t)status.st_size;
}

int copied_memfd(int fd, uint64_t length_bytes)
{
	int copy = foreign_memfd(length_bytes);
	char block[4096];
	uint64_t offset = 0;

	while (offset < length_bytes) {
		uint64_t left = length_bytes - offset;
		size_t wanted = left < sizeof block ? (size_t)left : sizeof block;
		ssize_t got = pread(fd, block, wanted, (off_t)offset);

		expect(got > 0);
		expect_eq(pwrite(copy, block, (size_t)got, (off_t)offset), got);
		offset += (uint64_t)got;
	}
	return copy;
}
