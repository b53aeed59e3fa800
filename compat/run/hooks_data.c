/* SPDX-License-Identifier: MIT */
/*
 * Reading, seeking, and what answers an error on an area: writing, sizing, copying between
 * descriptors. A fortified call checks the length of the buffer, as libc's does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "device.h"
#include "files.h"

/* A hook's body: `ours` for an area, else libc's function of that name with these arguments. */
#define HOOK_BODY(type, name, fd, ours, ...)                   \
	do {                                                   \
		struct run_file *file = files_get_checked(fd); \
		if (!file)                                     \
			return NEXT(name)(__VA_ARGS__);        \
		type r = ours;                                 \
		int error = errno;                             \
		files_put(file);                               \
		errno = error;                                 \
		return r;                                      \
	} while (0)

static int invalid(void)
{
	errno = EINVAL;
	return -1;
}

/* -- reading -- */

RUN_HOOK ssize_t read(int fd, void *bytes, size_t length)
{
	HOOK_BODY(ssize_t, read, fd, device_read(file, bytes, length), fd, bytes, length);
}

RUN_HOOK ssize_t readv(int fd, const struct iovec *pieces, int count)
{
	HOOK_BODY(ssize_t, readv, fd, device_readv(file, pieces, count, -1), fd, pieces, count);
}

#define HOOK_PREAD(name, offset_type)                                                              \
	RUN_HOOK ssize_t name(int fd, void *bytes, size_t length, offset_type offset)              \
	{                                                                                          \
		HOOK_BODY(ssize_t, name, fd, device_pread(file, bytes, length, offset), fd, bytes, \
			length, offset);                                                           \
	}
#define HOOK_PREADV(name, offset_type)                                                           \
	RUN_HOOK ssize_t name(int fd, const struct iovec *pieces, int count, offset_type offset) \
	{                                                                                        \
		HOOK_BODY(ssize_t, name, fd,                                                     \
			offset < 0 ? invalid() : device_readv(file, pieces, count, offset), fd,  \
			pieces, count, offset);                                                  \
	}
#define HOOK_PREADV2(name, offset_type)                                                          \
	RUN_HOOK ssize_t name(int fd, const struct iovec *pieces, int count, offset_type offset, \
		int flags)                                                                       \
	{                                                                                        \
		HOOK_BODY(ssize_t, name, fd,                                                     \
			offset < -1 ? invalid() : device_readv(file, pieces, count, offset), fd, \
			pieces, count, offset, flags);                                           \
	}

HOOK_PREAD(pread, off_t)
HOOK_PREADV(preadv, off_t)

/* -- writing -- */

RUN_HOOK ssize_t write(int fd, const void *bytes, size_t length)
{
	HOOK_BODY(ssize_t, write, fd, device_write(file), fd, bytes, length);
}

RUN_HOOK ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	HOOK_BODY(ssize_t, writev, fd, device_write(file), fd, pieces, count);
}

#define HOOK_PWRITE(name, offset_type)                                                        \
	RUN_HOOK ssize_t name(int fd, const void *bytes, size_t length, offset_type offset)   \
	{                                                                                     \
		HOOK_BODY(ssize_t, name, fd, offset < 0 ? invalid() : device_write(file), fd, \
			bytes, length, offset);                                               \
	}
#define HOOK_PWRITEV(name, offset_type)                                                          \
	RUN_HOOK ssize_t name(int fd, const struct iovec *pieces, int count, offset_type offset) \
	{                                                                                        \
		HOOK_BODY(ssize_t, name, fd, offset < 0 ? invalid() : device_write(file), fd,    \
			pieces, count, offset);                                                  \
	}
#define HOOK_PWRITEV2(name, offset_type)                                                         \
	RUN_HOOK ssize_t name(int fd, const struct iovec *pieces, int count, offset_type offset, \
		int flags)                                                                       \
	{                                                                                        \
		HOOK_BODY(ssize_t, name, fd, device_write(file), fd, pieces, count, offset,      \
			flags);                                                                  \
	}

HOOK_PWRITE(pwrite, off_t)
HOOK_PWRITEV(pwritev, off_t)

/* -- position and size -- */

#define HOOK_LSEEK(name, offset_type)                                                            \
	RUN_HOOK offset_type name(int fd, offset_type offset, int whence)                        \
	{                                                                                        \
		HOOK_BODY(offset_type, name, fd, (offset_type)device_seek(file, offset, whence), \
			fd, offset, whence);                                                     \
	}
#define HOOK_FTRUNCATE(name, offset_type)                        \
	RUN_HOOK int name(int fd, offset_type length)            \
	{                                                        \
		HOOK_BODY(int, name, fd, invalid(), fd, length); \
	}
#define HOOK_FALLOCATE(name, offset_type)                                                          \
	RUN_HOOK int name(int fd, int mode, offset_type offset, offset_type length)                \
	{                                                                                          \
		HOOK_BODY(int, name, fd, device_fallocate(file, offset, length), fd, mode, offset, \
			length);                                                                   \
	}
/* This one returns its error. */
#define HOOK_POSIX_FALLOCATE(name, offset_type)                                                 \
	RUN_HOOK int name(int fd, offset_type offset, offset_type length)                       \
	{                                                                                       \
		struct run_file *file = files_get_checked(fd);                                  \
		if (!file)                                                                      \
			return NEXT(name)(fd, offset, length);                                  \
		int before = errno, r = device_fallocate(file, offset, length) < 0 ? errno : 0; \
		files_put(file);                                                                \
		errno = before;                                                                 \
		return r;                                                                       \
	}

HOOK_LSEEK(lseek, off_t)
HOOK_FTRUNCATE(ftruncate, off_t)
HOOK_FALLOCATE(fallocate, off_t)
HOOK_POSIX_FALLOCATE(posix_fallocate, off_t)

RUN_HOOK int fsync(int fd)
{
	HOOK_BODY(int, fsync, fd, invalid(), fd);
}

RUN_HOOK int fdatasync(int fd)
{
	HOOK_BODY(int, fdatasync, fd, invalid(), fd);
}

/* -- copying between descriptors: the state behind the data must not be seen -- */

#define HOOK_SENDFILE(name, offset_type)                                            \
	RUN_HOOK ssize_t name(int to, int from, offset_type *offset, size_t length) \
	{                                                                           \
		if (files_is_known(to) || files_is_known(from))                     \
			return invalid();                                           \
		return NEXT(name)(to, from, offset, length);                        \
	}

HOOK_SENDFILE(sendfile, off_t)

RUN_HOOK ssize_t splice(int from, run_offset *from_offset, int to, run_offset *to_offset,
	size_t length, unsigned flags)
{
	if (files_is_known(to) || files_is_known(from))
		return invalid();
	return NEXT(splice)(from, from_offset, to, to_offset, length, flags);
}

RUN_HOOK ssize_t copy_file_range(int from, run_offset *from_offset, int to, run_offset *to_offset,
	size_t length, unsigned flags)
{
	if (files_is_known(to) || files_is_known(from))
		return invalid();
	return NEXT(copy_file_range)(from, from_offset, to, to_offset, length, flags);
}

#ifdef __GLIBC__
HOOK_PREAD(pread64, off64_t)
HOOK_PREADV(preadv64, off64_t)
HOOK_PREADV2(preadv2, off_t)
HOOK_PREADV2(preadv64v2, off64_t)
HOOK_PWRITE(pwrite64, off64_t)
HOOK_PWRITEV(pwritev64, off64_t)
HOOK_PWRITEV2(pwritev2, off_t)
HOOK_PWRITEV2(pwritev64v2, off64_t)
HOOK_LSEEK(lseek64, off64_t)
HOOK_FTRUNCATE(ftruncate64, off64_t)
HOOK_FALLOCATE(fallocate64, off64_t)
HOOK_POSIX_FALLOCATE(posix_fallocate64, off64_t)
HOOK_SENDFILE(sendfile64, off64_t)

RUN_HOOK ssize_t __read_chk(int fd, void *bytes, size_t length, size_t room);
ssize_t __read_chk(int fd, void *bytes, size_t length, size_t room)
{
	if (!files_is_known(fd) || length > room)
		return NEXT(__read_chk)(fd, bytes, length, room);
	return read(fd, bytes, length);
}

RUN_HOOK ssize_t __pread_chk(int fd, void *bytes, size_t length, off_t offset, size_t room);
ssize_t __pread_chk(int fd, void *bytes, size_t length, off_t offset, size_t room)
{
	if (!files_is_known(fd) || length > room)
		return NEXT(__pread_chk)(fd, bytes, length, offset, room);
	return pread(fd, bytes, length, offset);
}

RUN_HOOK ssize_t __pread64_chk(int fd, void *bytes, size_t length, off64_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *bytes, size_t length, off64_t offset, size_t room)
{
	if (!files_is_known(fd) || length > room)
		return NEXT(__pread64_chk)(fd, bytes, length, offset, room);
	return pread64(fd, bytes, length, offset);
}
#endif
