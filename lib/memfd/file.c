/* SPDX-License-Identifier: MIT */
/*
 * The file of an area, below its state: made, opened once more, mapped. Knows no areas, takes no
 * lock.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ashmem/area.h>

#include "base/map_aligned.h"
#include "base/sys.h"
#include "base/wait.h"
#include "memfd/file.h"

/* A memfd's name holds 249 bytes, memfd_create(2). */
#define MEMFD_NAME_MAX 249

int memfd_file_create(const char *area_name)
{
	/* The slash in front makes /proc/PID/maps show what tools look for: "/dev/ashmem". */
	char name[sizeof("/" ASHMEM_NAME_DEF) + ASHMEM_NAME_LEN];

	strcpy(name, "/" ASHMEM_NAME_DEF);
	if (area_name[0]) {
		strcat(name, "/");
		strcat(name, area_name);
	}
	name[MEMFD_NAME_MAX] = '\0';
	return sys_memfd_create(name);
}

int memfd_file_open_read_only(int fd)
{
	int copy = wait_reopen_read_only(fd);

	/*
	 * Other users must not reopen it for writing. Only the file's owner can do this, and could
	 * undo it.
	 */
	if (copy >= 0 && fchmod(fd, S_IRUSR | S_IRGRP | S_IROTH) < 0 && errno != EPERM) {
		int error = errno;
		close(copy);
		return -error;
	}
	return copy;
}

int memfd_file_map(int fd, struct memfd_mapping *mapping)
{
	void *addr;

	/* Other flags can ask for an address or a size of pages. */
	if (mapping->flags == MAP_SHARED || mapping->flags == MAP_PRIVATE)
		addr = map_aligned(mapping->length, mapping->prot, mapping->flags, fd,
			(off_t)mapping->offset);
	else
		addr = mmap(mapping->addr, mapping->length, mapping->prot, mapping->flags, fd,
			(off_t)mapping->offset);
	if (addr == MAP_FAILED)
		return -errno;
	mapping->addr = addr;
	return 0;
}
