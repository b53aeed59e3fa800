/* SPDX-License-Identifier: MIT */
/*
 * An area that this process does not hold, by its descriptor: what it is like, and purging in it.
 *
 * A look reads the end of the file, struct control, as bytes: it locks nothing, maps nothing and
 * waits for nobody. A purge maps the state for its own time, and does not check all of it first, as
 * an import does: that takes long for a large list, and a purge checks what it uses.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "memfd/area.h"
#include "memfd/peek.h"
#include "memfd/purges.h"

#define BLOCK_BYTES 512 /* stat(2) */

/* 0, what the file is and its seals; or a negative errno. `access`: O_RDWR if it must be that. */
static int look_at_file(int fd, int access, struct stat *status, int *seals)
{
	int mode = fcntl(fd, F_GETFL);

	if (mode < 0 || (mode & O_PATH) || (mode & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	*seals = fcntl(fd, F_GET_SEALS);
	if (*seals < 0)
		return -ENOTTY;
	if (fstat(fd, status) < 0)
		return -errno;
	if (!S_ISREG(status->st_mode) || !sys_is_memfd_file(fd, status))
		return -ENOTTY;
	if (access == O_RDWR && ((mode & O_ACCMODE) != O_RDWR || (*seals & SYS_WRITE_SEALS)))
		return -EACCES;
	return 0;
}

static uint64_t resident_pages(int fd, const struct stat *status, uint64_t data_bytes)
{
	uint64_t bytes = (uint64_t)status->st_blocks * BLOCK_BYTES;
	uint64_t state_bytes = sys_data_bytes(fd, data_bytes);

	return bytes > state_bytes ? (bytes - state_bytes) / sys_page_size() : 0;
}

static void copy_counts(struct ashmem_peek_result *peek, struct control *control)
{
	const struct range_list list = {.root = &control->ranges};

	peek->unpinned_ranges = control->ranges.ranges;
	peek->unpinned_pages = control->ranges.unpinned_pages;
	peek->evictable_pages = range_peek_evictable(&list);
	peek->oldest_key = range_peek_oldest(&list);
	peek->purged_pages = control->purged_pages;
	peek->prot = control->prot;
	peek->busy = control->lock != 0;
	peek->readers = control->has_readers != 0;
	peek->sealed = control->sealed != 0;
	peek->damaged = control->damaged != 0;
	memcpy(peek->name, control->name, sizeof(peek->name));
	peek->name[sizeof(peek->name) - 1] = '\0';
}

int memfd_peek(int fd, struct ashmem_peek_result *peek)
{
	struct control control;
	struct stat status;
	uint64_t data_bytes;
	int seals, r = look_at_file(fd, O_RDONLY, &status, &seals);

	if (r == 0)
		r = control_read_end(&control, fd, &status, &data_bytes);
	if (r != 0)
		return r == CONTROL_NONE ? -ENOTTY : r;
	copy_counts(peek, &control);
	peek->size_bytes = control.id.size_bytes;
	memcpy(peek->serial, control.id.serial, sizeof(peek->serial));
	peek->sealed |= (seals & SYS_WRITE_SEALS) != 0;
	if (peek->sealed)
		peek->evictable_pages = 0;
	peek->resident_pages = resident_pages(fd, &status, data_bytes);
	return 0;
}

static int has_serial(const struct control_map *map, const uint64_t serial[2])
{
	return (serial[0] == 0 && serial[1] == 0) ||
		(serial[0] == map->serial[0] && serial[1] == map->serial[1]);
}

/* Purge until enough is freed, or there is no more. */
static int64_t purge(struct memfd_area *area, uint64_t most, uint64_t newest)
{
	uint64_t freed = 0;
	int64_t r = 1;

	memfd_begin_purge(area);
	while (freed < most && r > 0) {
		r = memfd_purge(area, newest, most - freed);
		if (r > 0)
			freed += (uint64_t)r;
	}
	return freed ? (int64_t)freed : r;
}

int64_t memfd_purge_by_descriptor(int fd, const struct ashmem_purge_fd_options *options)
{
	struct memfd_area area = {.materialised = 1, .established = 1, .fd = fd};
	struct stat status;
	int seals;
	int64_t r = look_at_file(fd, O_RDWR, &status, &seals);

	if (r < 0)
		return r;
	r = control_attach_unchecked(&area.control, fd, &status);
	if (r != 0)
		return r == CONTROL_NONE ? -ENOTTY : r;
	area.file = descriptor_file_of(&status);
	area.size_bytes = area.control.size_bytes;
	area.read_only_fd = area.lock_fd = -1;
	if (!has_serial(&area.control, options->serial))
		r = -ESTALE;
	else if (SHARED_LOAD(area.control.shared->damaged))
		r = -EUCLEAN;
	else if (SHARED_LOAD(area.control.shared->sealed))
		r = -EACCES;
	else
		r = purge(&area, options->most_pages ? options->most_pages : UINT64_MAX,
			options->newest_key ? options->newest_key : UINT64_MAX - 1);
	control_detach(&area.control);
	return r;
}
