/* SPDX-License-Identifier: MIT */
/* Areas for the programs that were written for the driver; they set `page` first. */
#ifndef TESTS_RUN_AREA_H
#define TESTS_RUN_AREA_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "driver.h"

static size_t page;

static inline int fresh(int flags)
{
	int fd = open(ASHMEM_NODE, flags);

	if (fd < 0) {
		perror(ASHMEM_NODE);
		exit(1);
	}
	return fd;
}

/* An area of some pages that has been mapped; the mapping stays. `name` may be NULL. */
static inline int made(const char *name, size_t pages, char **base)
{
	int fd = fresh(O_RDWR);

	if (name)
		ioctl(fd, ASHMEM_SET_NAME, name);
	ioctl(fd, ASHMEM_SET_SIZE, pages * page);
	*base = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return fd;
}

static inline int range_call(int fd, unsigned long number, size_t first, size_t pages)
{
	struct ashmem_range range = {(uint32_t)(first * page), (uint32_t)(pages * page)};

	return ioctl(fd, number, &range);
}

#endif /* TESTS_RUN_AREA_H */
