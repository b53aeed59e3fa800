/* SPDX-License-Identifier: MIT */
/*
 * Looking at descriptors without importing them: which area of this process one is of, what kind of
 * file it is, and the numbers by which a program can recognise an area's descriptors itself.
 *
 * Nothing is mapped, duplicated or locked but the table's mutex. No lock is held on entry.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "memfd/area.h"
#include "memfd/early.h"
#include "memfd/find.h"
#include "memfd/table.h"

int memfd_find(void *userdata, int fd, void **state)
{
	struct stat status;

	(void)userdata;
	if (fstat(fd, &status) < 0)
		return -errno;
	memfd_table_lock();
	struct memfd_area *area = memfd_table_find_held(&status);
	memfd_table_unlock();
	if (!area)
		return -ENOENT;
	*state = area;
	return 0;
}

int memfd_fd_kind(void *userdata, int fd)
{
	struct stat status;
	int mode = fcntl(fd, F_GETFL);

	(void)userdata;
	if (mode < 0)
		return -EBADF;
	/* Such a descriptor is good for nothing here, whatever the file is. */
	if ((mode & O_PATH) || (mode & O_ACCMODE) == O_WRONLY)
		return -ENOTTY;
	if (fcntl(fd, F_GET_SEALS) < 0 || !sys_is_memfd(fd))
		return -ENOTTY;
	if (fstat(fd, &status) < 0)
		return -errno;
	int r = control_is_there(fd, &status);
	if (r == 0)
		r = early_is_record(fd);
	if (r == 0 || r == -EPERM)
		return ASHMEM_FD_FOREIGN;
	/* Of another version, or damaged: an area all the same. */
	if (r < 0 && r != -EPROTO && r != -EUCLEAN)
		return r;
	return (mode & O_ACCMODE) == O_RDONLY || sys_is_write_sealed(fd) ? ASHMEM_FD_READ_ONLY
									 : ASHMEM_FD_AREA;
}

int memfd_get_id(void *state, uint64_t *device, uint64_t *inode)
{
	struct memfd_area *area = state;
	int r = memfd_newborn_begin(area);

	if (r < 0)
		return r;
	int has_file = r > 0 || area->fd >= 0;
	if (has_file) {
		*device = area->file.device;
		*inode = area->file.inode;
	}
	if (r == 0)
		memfd_newborn_end(area);
	return has_file ? 0 : -EINVAL;
}
