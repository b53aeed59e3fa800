/* SPDX-License-Identifier: MIT */
/*
 * The doors of Android's libcutils and NDK: arguments and results as they are documented there. The
 * work is done by regions.c. No state, no lock.
 */
#include <errno.h>
#include <limits.h>

#include <android/sharedmem.h>
#include <cutils/ashmem.h>

#include "regions.h"

static int told(int result)
{
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

static int64_t size_of(int fd)
{
	struct region_use use;
	int r = region_enter(fd, &use);

	if (r < 0)
		return r;
	uint64_t size_bytes = ashmem_get_size(use.area);
	region_leave(&use);
	return (int64_t)size_bytes;
}

/* -- libcutils -- */

int ashmem_valid(int fd)
{
	int error = errno, kind = ashmem_fd_kind(fd);

	errno = error;
	return kind == ASHMEM_FD_AREA || kind == ASHMEM_FD_READ_ONLY;
}

int ashmem_create_region(const char *name, size_t size)
{
	return told(size ? region_create(name, size, 0) : -EINVAL);
}

int ashmem_set_prot_region(int fd, int prot)
{
	return told(region_set_prot(fd, prot));
}

int ashmem_pin_region(int fd, size_t offset, size_t len)
{
	struct region_use use;
	int r = region_enter(fd, &use);

	if (r == 0) {
		r = ashmem_pin(use.area, offset, len);
		region_leave(&use);
	}
	return told(r);
}

int ashmem_unpin_region(int fd, size_t offset, size_t len)
{
	struct region_use use;
	int r = region_enter(fd, &use);

	if (r == 0) {
		r = ashmem_unpin(use.area, offset, len);
		region_leave(&use);
	}
	return told(r);
}

int ashmem_get_size_region(int fd)
{
	int64_t size_bytes = size_of(fd);

	return told(size_bytes > INT_MAX ? -EOVERFLOW : (int)size_bytes);
}

/* -- NDK -- */

int ASharedMemory_create(const char *name, size_t size)
{
	return size ? told(region_create(name, size, ASHMEM_CREATE_ALLOW_SEAL)) : -EINVAL;
}

size_t ASharedMemory_getSize(int fd)
{
	int error = errno;
	int64_t size_bytes = size_of(fd);

	errno = error;
	return size_bytes > 0 ? (size_t)size_bytes : 0;
}

int ASharedMemory_setProt(int fd, int prot)
{
	return told(region_set_prot(fd, prot));
}
