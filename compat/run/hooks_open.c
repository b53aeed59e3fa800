/* SPDX-License-Identifier: MIT */
/*
 * What programs do with the node's name: open it, look at it, ask for access. Everything else goes
 * to libc as it came.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "device.h"
#include "files.h"
#include "node.h"

static int fail(int error)
{
	errno = error;
	return -1;
}

/* -- open -- */

/* A descriptor that libc has made: its number may have been an area's that was closed unseen. */
static int fresh(int fd)
{
	if (fd >= 0 && files_is_known(fd))
		files_set(fd, NULL);
	return fd;
}

static int opened(enum node_kind kind, int flags)
{
	return kind == NODE_BELOW ? fail(ENOTDIR) : device_open(flags);
}

/* The mode comes only with some flags, but reading one that is not there does no harm. */
#define GET_MODE                             \
	va_list list_;                       \
	va_start(list_, flags);              \
	mode_t mode = va_arg(list_, mode_t); \
	va_end(list_)

#define HOOK_OPEN(name)                                                                   \
	RUN_HOOK int name(const char *path, int flags, ...)                               \
	{                                                                                 \
		GET_MODE;                                                                 \
		enum node_kind kind = node_of(AT_FDCWD, path);                            \
		return kind ? opened(kind, flags) : fresh(NEXT(name)(path, flags, mode)); \
	}
#define HOOK_OPENAT(name)                                                                         \
	RUN_HOOK int name(int folder, const char *path, int flags, ...)                           \
	{                                                                                         \
		GET_MODE;                                                                         \
		enum node_kind kind = node_of(folder, path);                                      \
		return kind ? opened(kind, flags) : fresh(NEXT(name)(folder, path, flags, mode)); \
	}
#define HOOK_CREAT(name)                                                 \
	RUN_HOOK int name(const char *path, mode_t mode)                 \
	{                                                                \
		enum node_kind kind = node_of(AT_FDCWD, path);           \
		return kind ? opened(kind, O_CREAT | O_WRONLY | O_TRUNC) \
			    : fresh(NEXT(name)(path, mode));             \
	}
#define HOOK_OPEN_2(name)                                                           \
	RUN_HOOK int name(const char *path, int flags);                             \
	int name(const char *path, int flags)                                       \
	{                                                                           \
		enum node_kind kind = node_of(AT_FDCWD, path);                      \
		return kind ? opened(kind, flags) : fresh(NEXT(name)(path, flags)); \
	}
#define HOOK_OPENAT_2(name)                                                                 \
	RUN_HOOK int name(int folder, const char *path, int flags);                         \
	int name(int folder, const char *path, int flags)                                   \
	{                                                                                   \
		enum node_kind kind = node_of(folder, path);                                \
		return kind ? opened(kind, flags) : fresh(NEXT(name)(folder, path, flags)); \
	}

HOOK_OPEN(open)
HOOK_OPENAT(openat)
HOOK_CREAT(creat)
#ifdef __GLIBC__
HOOK_OPEN(open64)
HOOK_OPENAT(openat64)
HOOK_CREAT(creat64)
HOOK_OPEN_2(__open_2)
HOOK_OPEN_2(__open64_2)
HOOK_OPENAT_2(__openat_2)
HOOK_OPENAT_2(__openat64_2)
#endif

/* -- access -- */

static int may_access(enum node_kind kind, int mode)
{
	if (mode & ~(R_OK | W_OK | X_OK))
		return fail(EINVAL);
	return kind == NODE_BELOW ? fail(ENOTDIR) : mode & X_OK ? fail(EACCES) : 0;
}

#define HOOK_ACCESS(name)                                                      \
	RUN_HOOK int name(const char *path, int mode)                          \
	{                                                                      \
		enum node_kind kind = node_of(AT_FDCWD, path);                 \
		return kind ? may_access(kind, mode) : NEXT(name)(path, mode); \
	}

HOOK_ACCESS(access)
HOOK_ACCESS(eaccess)
HOOK_ACCESS(euidaccess)

RUN_HOOK int faccessat(int folder, const char *path, int mode, int flags)
{
	enum node_kind kind = node_of(folder, path);

	return kind ? may_access(kind, mode) : NEXT(faccessat)(folder, path, mode, flags);
}

/* -- extended attributes, which `ls -l` asks for: the node has none -- */

#define HOOK_GETXATTR(name)                                                                 \
	RUN_HOOK ssize_t name(const char *path, const char *what, void *value, size_t size) \
	{                                                                                   \
		return node_of(AT_FDCWD, path) ? fail(ENODATA)                              \
					       : NEXT(name)(path, what, value, size);       \
	}
#define HOOK_LISTXATTR(name)                                                       \
	RUN_HOOK ssize_t name(const char *path, char *list, size_t size)           \
	{                                                                          \
		return node_of(AT_FDCWD, path) ? 0 : NEXT(name)(path, list, size); \
	}

HOOK_GETXATTR(getxattr)
HOOK_GETXATTR(lgetxattr)
HOOK_LISTXATTR(listxattr)
HOOK_LISTXATTR(llistxattr)

/* -- stat -- */

#define LOOK(kind, status)                    \
	do {                                  \
		if (kind == NODE_BELOW)       \
			return fail(ENOTDIR); \
		if (kind) {                   \
			NODE_FILL(status);    \
			return 0;             \
		}                             \
	} while (0)

#define HOOK_STAT(name, type)                                  \
	RUN_HOOK int name(const char *path, type *status)      \
	{                                                      \
		enum node_kind kind = node_of(AT_FDCWD, path); \
		LOOK(kind, status);                            \
		return NEXT(name)(path, status);               \
	}
#define HOOK_LSTAT(name, type)                                 \
	RUN_HOOK int name(const char *path, type *status)      \
	{                                                      \
		enum node_kind kind = node_of(AT_FDCWD, path); \
		if (kind == NODE_LINK)                         \
			kind = NODE_NONE;                      \
		LOOK(kind, status);                            \
		return NEXT(name)(path, status);               \
	}
#define HOOK_FSTAT(name, type)                   \
	RUN_HOOK int name(int fd, type *status)  \
	{                                        \
		LOOK(files_is_area(fd), status); \
		return NEXT(name)(fd, status);   \
	}
#define HOOK_FSTATAT(name, type)                                                 \
	RUN_HOOK int name(int folder, const char *path, type *status, int flags) \
	{                                                                        \
		enum node_kind kind = node_at(folder, path, flags);              \
		LOOK(kind, status);                                              \
		return NEXT(name)(folder, path, status, flags);                  \
	}

HOOK_STAT(stat, struct stat)
HOOK_LSTAT(lstat, struct stat)
HOOK_FSTAT(fstat, struct stat)
HOOK_FSTATAT(fstatat, struct stat)

#ifdef __GLIBC__
HOOK_STAT(stat64, struct stat64)
HOOK_LSTAT(lstat64, struct stat64)
HOOK_FSTAT(fstat64, struct stat64)
HOOK_FSTATAT(fstatat64, struct stat64)

/* Programs linked before glibc 2.33. */
#define HOOK_XSTAT(name, type, flags)                                   \
	RUN_HOOK int name(int version, const char *path, type *status); \
	int name(int version, const char *path, type *status)           \
	{                                                               \
		enum node_kind kind = node_at(AT_FDCWD, path, flags);   \
		LOOK(kind, status);                                     \
		return NEXT(name)(version, path, status);               \
	}
#define HOOK_FXSTAT(name, type)                               \
	RUN_HOOK int name(int version, int fd, type *status); \
	int name(int version, int fd, type *status)           \
	{                                                     \
		LOOK(files_is_area(fd), status);              \
		return NEXT(name)(version, fd, status);       \
	}
#define HOOK_FXSTATAT(name, type)                                                              \
	RUN_HOOK int name(int version, int folder, const char *path, type *status, int flags); \
	int name(int version, int folder, const char *path, type *status, int flags)           \
	{                                                                                      \
		enum node_kind kind = node_at(folder, path, flags);                            \
		LOOK(kind, status);                                                            \
		return NEXT(name)(version, folder, path, status, flags);                       \
	}

HOOK_XSTAT(__xstat, struct stat, 0)
HOOK_XSTAT(__lxstat, struct stat, AT_SYMLINK_NOFOLLOW)
HOOK_FXSTAT(__fxstat, struct stat)
HOOK_FXSTATAT(__fxstatat, struct stat)
HOOK_XSTAT(__xstat64, struct stat64, 0)
HOOK_XSTAT(__lxstat64, struct stat64, AT_SYMLINK_NOFOLLOW)
HOOK_FXSTAT(__fxstat64, struct stat64)
HOOK_FXSTATAT(__fxstatat64, struct stat64)
#endif

#ifdef STATX_BASIC_STATS
static void fill_extended(struct statx *to)
{
	struct stat status;

	NODE_FILL(&status);
	memset(to, 0, sizeof(*to));
	to->stx_mask = STATX_BASIC_STATS;
	to->stx_blksize = (uint32_t)status.st_blksize;
	to->stx_nlink = 1;
	to->stx_mode = (uint16_t)status.st_mode;
	to->stx_ino = status.st_ino;
	to->stx_rdev_major = major(status.st_rdev);
	to->stx_rdev_minor = minor(status.st_rdev);
	to->stx_dev_major = major(status.st_dev);
	to->stx_dev_minor = minor(status.st_dev);
	to->stx_atime.tv_sec = to->stx_mtime.tv_sec = to->stx_ctime.tv_sec = status.st_mtime;
}

RUN_HOOK int statx(int folder, const char *path, int flags, unsigned mask, struct statx *status)
{
	enum node_kind kind = node_at(folder, path, flags);

	if (kind == NODE_BELOW)
		return fail(ENOTDIR);
	if (!kind)
		return NEXT(statx)(folder, path, flags, mask, status);
	fill_extended(status);
	return 0;
}
#endif
