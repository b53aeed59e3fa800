/* SPDX-License-Identifier: MIT */
/*
 * Reading areas of the kernel backend, and the position that goes with it.
 *
 * The driver has two positions: that of the open file, and one of its memory. read starts from the
 * first and moves both, pread moves the second, lseek counts SEEK_CUR from the second and sets
 * both. So after a pread SEEK_CUR must not be left to the driver: see position_of().
 *
 * The driver does not make readers wait for each other either: two that read at once can get the
 * same bytes. Here the threads of a process take turns, under `file_mutex`; processes do not.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "kernel/area.h"

/* The size of a materialised area, whose descriptor is still there. */
static int get_final_size(struct kernel_area *area, uint64_t *size_bytes)
{
	int materialised, r = descriptor_check(area->fd, &area->file);

	if (r < 0)
		return r;
	return kernel_area_get_size(area, size_bytes, &materialised);
}

int64_t kernel_read(void *state, void *buf, size_t length)
{
	struct kernel_area *area = state;
	uint64_t size;
	int r = get_final_size(area, &size);

	if (r < 0)
		return r;
	/* The kernel refuses lengths that no buffer can have, whatever there is to read. */
	if (length > size)
		length = (size_t)size;
	pthread_mutex_lock(&area->file_mutex);
	ssize_t got = read(area->fd, buf, length);
	int error = errno;
	pthread_mutex_unlock(&area->file_mutex);
	/* Position plus length do not fit: far past the end. */
	if (got < 0 && error == EINVAL)
		return 0;
	return got < 0 ? -error : got;
}

int64_t kernel_pread(void *state, void *buf, size_t length, uint64_t offset)
{
	struct kernel_area *area = state;
	uint64_t size;
	int r = get_final_size(area, &size);

	if (r < 0)
		return r;
	if (offset >= size)
		return 0;
	if (length > size - offset)
		length = (size_t)(size - offset);
	ssize_t got = pread(area->fd, buf, length, (off_t)offset);
	return got < 0 ? -errno : got;
}

/*
 * The position that read uses, or a negative errno if others' locks are in the way.
 *
 * No call returns it after a pread. But a lock can be set relative to it and be looked up in
 * absolute terms: the lock belongs to the open file, so it is in the way of the process's own locks
 * (fcntl(2)); its length tells it from locks of others. /proc/self/fdinfo has the number too, but
 * not for a process that changed its user id.
 */
static int64_t position_of(int fd)
{
	const off_t mark_length = ((off_t)1 << 40) + getpid();
	/* -1: the mark lies before the position, where it would not fit after it */
	off_t direction = 1;

	for (int tries = 0; tries < 3; tries++) {
		struct flock mark = {
			.l_type = F_RDLCK, .l_whence = SEEK_CUR, .l_len = direction * mark_length};
		struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		if (fcntl(fd, F_OFD_SETLK, &mark) < 0) {
			if ((errno != EINVAL && errno != EOVERFLOW) || direction < 0)
				return -errno;
			direction = -1;
			continue;
		}
		int r = fcntl(fd, F_GETLK, &found) < 0 ? -errno : 0;
		/* All of the file: the position may have moved meanwhile. */
		mark = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET};
		fcntl(fd, F_OFD_SETLK, &mark);
		if (r < 0)
			return r;
		if (found.l_type == F_RDLCK && found.l_len == mark_length && found.l_pid == -1)
			return direction > 0 ? found.l_start : found.l_start + mark_length;
	}
	return -EAGAIN;
}

static int64_t seek_to(int fd, int64_t offset, int whence)
{
	off_t r = lseek(fd, (off_t)offset, whence);

	return r < 0 ? -errno : r;
}

/* SEEK_CUR. If others' locks hide the position, the driver's: right but after a pread. */
static int64_t seek_from_position(int fd, int64_t offset)
{
	int64_t sum, position = position_of(fd);

	if (position < 0)
		return seek_to(fd, offset, SEEK_CUR);
	/* Only asked: to set what is set would undo what another process reads meanwhile. */
	if (offset == 0)
		return position;
	if (__builtin_add_overflow(position, offset, &sum))
		return -EINVAL;
	return seek_to(fd, sum, SEEK_SET);
}

int64_t kernel_seek(void *state, int64_t offset, int whence)
{
	struct kernel_area *area = state;
	int64_t r = descriptor_check(area->fd, &area->file);

	if (r < 0)
		return r;
	pthread_mutex_lock(&area->file_mutex);
	if (whence == SEEK_CUR)
		r = seek_from_position(area->fd, offset);
	else
		r = seek_to(area->fd, offset, whence);
	pthread_mutex_unlock(&area->file_mutex);
	return r;
}
