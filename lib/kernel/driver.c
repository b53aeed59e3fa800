/* SPDX-License-Identifier: MIT */
/*
 * One open file of the driver: requests to it, and whether a file is the driver's at all
 * (driver.h).
 *
 * A file is the driver's if it behaves like the driver. Neither names nor device numbers prove
 * anything: the number changes with every boot, and a container may have any node.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <ashmem/area.h>

#include "base/sys.h"
#include "kernel/abi.h"
#include "kernel/driver.h"

#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)

int kernel_driver_ask(int fd, unsigned long request, unsigned long argument)
{
	int r;

	do
		r = ioctl(fd, request, argument);
	while (r == -1 && errno == EINTR);
	return r == -1 ? -errno : r;
}

/*
 * The end must be below 4 GiB: a range that ends there overflows in the driver. Its "to the end"
 * does not help, because in areas that large it is cut to 32 bits.
 */
int kernel_driver_ask_range(int fd, unsigned long request, uint64_t offset, uint64_t length)
{
	struct kernel_range range = {(uint32_t)offset, (uint32_t)length};

	if (offset > UINT32_MAX || length > UINT32_MAX - offset)
		return -EOVERFLOW;
	return kernel_driver_ask(fd, request, (uintptr_t)&range);
}

/* No request returns this, but only areas with memory have pins, and those have a first page. */
int kernel_driver_ask_materialised(int fd)
{
	int r = kernel_driver_ask_range(fd, KERNEL_GET_PIN_STATUS, 0, sys_page_size());

	if (r == -EINVAL)
		return 0;
	return r < 0 ? r : 1;
}

int kernel_driver_materialise(int fd, int charge)
{
	size_t page = sys_page_size();
	/* PROT_NONE is within every mask. */
	void *first = mmap(NULL, page, PROT_NONE, MAP_SHARED | charge, fd, 0);

	if (first == MAP_FAILED) /* EAGAIN: too much locked memory */
		return errno == EAGAIN ? -ENOMEM : -errno;
	munmap(first, page);
	return 0;
}

int kernel_driver_owns(int fd)
{
	char name[KERNEL_NAME_LEN];
	struct stat status;

	/* To other devices these numbers may mean something; spare them where that is easy. */
	if (fstat(fd, &status) < 0 || !S_ISCHR(status.st_mode))
		return 0;
	/* Some devices take any request and do nothing: then no name appears. */
	memset(name, '?', sizeof(name));
	if (kernel_driver_ask(fd, KERNEL_GET_NAME, (uintptr_t)name) != 0 ||
		!memchr(name, '\0', sizeof(name)))
		return 0;
	int prot = kernel_driver_ask(fd, KERNEL_GET_PROT_MASK, 0);
	return prot >= 0 && prot <= PROT_ALL && kernel_driver_ask_materialised(fd) >= 0;
}

int kernel_driver_try(int fd)
{
	size_t page = sys_page_size();

	if (kernel_driver_ask(fd, KERNEL_GET_PROT_MASK, 0) != PROT_ALL ||
		kernel_driver_ask(fd, KERNEL_GET_SIZE, 0) != 0 ||
		kernel_driver_ask(fd, KERNEL_SET_SIZE, page) != 0 ||
		kernel_driver_ask(fd, KERNEL_GET_SIZE, 0) != (int)page ||
		kernel_driver_ask_materialised(fd) != 0)
		return -ENODEV;
	int r = kernel_driver_materialise(fd, MAP_NORESERVE);
	if (r < 0)
		return r;
	r = kernel_driver_ask_range(fd, KERNEL_GET_PIN_STATUS, 0, page);
	return r == ASHMEM_IS_PINNED ? 0 : -ENODEV;
}
