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

/* The kernel makes memfds that everybody who can see the descriptor can open for writing. */
#define MODE_OF_OWNER (S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)
#define WRITE_BY_OTHERS (S_IWGRP | S_IWOTH)

int memfd_file_create(const char *area_name, struct descriptor_file *file)
{
	/* The slash in front makes /proc/PID/maps show what tools look for: "/dev/ashmem". */
	char name[sizeof("/" ASHMEM_NAME_DEF) + ASHMEM_NAME_LEN];

	strcpy(name, "/" ASHMEM_NAME_DEF);
	if (area_name[0]) {
		strcat(name, "/");
		strcat(name, area_name);
	}
	name[MEMFD_NAME_MAX] = '\0';
	int fd = sys_memfd_create(name);
	if (fd < 0)
		return fd;
	/*
	 * Now, because later the process may have another user id. Where it is refused, it matters
	 * only to read-only descriptors, which are then refused too.
	 */
	fchmod(fd, MODE_OF_OWNER);
	int r = descriptor_learn(fd, file);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int memfd_file_reopen(int fd, const struct descriptor_file *file)
{
	int copy = wait_reopen_read_only(fd);
	int r = copy < 0 ? copy : descriptor_check(copy, file);

	if (copy >= 0 && r < 0)
		close(copy);
	return r < 0 ? r : copy;
}

/*
 * Make the file one that nobody can open for writing. Only its owner can do this, and could undo
 * it. If it is refused, it is enough that other users cannot.
 */
static int forbid_writing(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	/* The bits of execution stay: they can be sealed. */
	mode_t mode = (status.st_mode & 0111) | S_IRUSR | S_IRGRP | S_IROTH;
	if ((status.st_mode & 07777) == mode || fchmod(fd, mode) == 0)
		return 0;
	int error = errno;
	return (status.st_mode & WRITE_BY_OTHERS) && !sys_is_write_sealed(fd) ? -error : 0;
}

int memfd_file_open_read_only(int fd, const struct descriptor_file *file)
{
	int copy = memfd_file_reopen(fd, file);
	int r = copy < 0 ? copy : forbid_writing(copy);

	if (copy >= 0 && r < 0)
		close(copy);
	return r < 0 ? r : copy;
}

void memfd_file_suit_mask(struct memfd_mapping *mapping, int mask)
{
	if (!(mask & PROT_WRITE) && (mapping->flags & MAP_TYPE) == MAP_PRIVATE)
		mapping->flags = (mapping->flags & ~MAP_TYPE) | MAP_SHARED;
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
