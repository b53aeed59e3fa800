/* SPDX-License-Identifier: MIT */
/*
 * The files on disk: what the cache is filled from and what the reader compares with.
 *
 * Both processes use these functions, each with descriptors of its own, so that the bytes in the
 * cache and the bytes that they are compared with come from two independent reads.
 *
 * A file can change while the program runs. The stamp (size, both times, inode) tells: ctime is
 * part of it because anybody can set mtime back, and nobody ctime. What no stamp tells is a write
 * through a mapping that was written before, since the kernel notes the time only at the first
 * write after a flush; files of a running database may therefore be reported as mismatches.
 */
#define _FILE_OFFSET_BITS 64 /* large files on 32-bit systems */

#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Coarser than any clock tick that a kernel stamps files with. */
#define FRESH_NS 20000000u

/* Unsigned, so that a file from the year 9999 wraps instead of overflowing. */
static uint64_t nanoseconds(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

static void stamp_from(const struct stat *st, struct stamp *stamp)
{
	stamp->size_bytes = (uint64_t)st->st_size;
	stamp->mtime_ns = nanoseconds(&st->st_mtim);
	stamp->ctime_ns = nanoseconds(&st->st_ctim);
	stamp->inode = st->st_ino;
}

bool stamp_equal(const struct stamp *a, const struct stamp *b)
{
	return a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns &&
		a->ctime_ns == b->ctime_ns && a->inode == b->inode;
}

bool stamp_is_fresh(const struct stamp *stamp)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return nanoseconds(&now) - stamp->ctime_ns < FRESH_NS;
}

int source_open(const char *path, struct stamp *stamp)
{
	/* O_NONBLOCK: should a pipe have taken the file's place, do not wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int error;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		error = -errno;
	else if (!S_ISREG(st.st_mode))
		error = -ESTALE;
	else {
		stamp_from(&st, stamp);
		return fd;
	}
	close(fd);
	return error;
}

int64_t source_read(int fd, void *buf, size_t length_bytes)
{
	size_t done = 0;

	while (done < length_bytes) {
		ssize_t got = read(fd, (char *)buf + done, length_bytes - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (int64_t)done;
}

bool source_unchanged(int fd, const struct stamp *stamp)
{
	struct stamp now;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	stamp_from(&st, &now);
	return stamp_equal(&now, stamp);
}

bool source_is_gone(int error)
{
	return error == -ESTALE || error == -ENOENT || error == -ENOTDIR || error == -ELOOP;
}
