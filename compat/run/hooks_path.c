/* SPDX-License-Identifier: MIT */
/*
 * What scripts and helpers do with the node's path besides opening it: where it leads, whose it is.
 * The node is root's, and no change of its mode or owner has an effect. The file below a descriptor
 * is the library's own, so its mode and owner are never changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "node.h"
#include "reach.h"

#define NODE "/dev/ashmem"

static int fail(int error)
{
	errno = error;
	return -1;
}

/* -- links -- */

/* A descriptor in /proc/self/fd is the only link among these. */
static ssize_t read_link(enum node_kind kind, char *to, size_t size)
{
	size_t length = strlen(NODE);

	if (size == 0 || kind == NODE_DRIVER)
		return fail(EINVAL);
	if (kind == NODE_BELOW)
		return fail(ENOTDIR);
	length = size < length ? size : length;
	return reach_write(to, NODE, length) < 0 ? fail(EFAULT) : (ssize_t)length;
}

RUN_HOOK ssize_t readlink(const char *path, char *to, size_t size)
{
	enum node_kind kind = node_of(AT_FDCWD, path);

	return kind ? read_link(kind, to, size) : NEXT(readlink)(path, to, size);
}

RUN_HOOK ssize_t readlinkat(int folder, const char *path, char *to, size_t size)
{
	enum node_kind kind = node_of(folder, path);

	return kind ? read_link(kind, to, size) : NEXT(readlinkat)(folder, path, to, size);
}

/* Where it really is: in /dev, by the last part of its path, for it can have the boot's id. */
static char *real_path(enum node_kind kind, const char *path, char *to)
{
	char real[sizeof(NODE) + 64] = NODE;

	if (kind == NODE_BELOW) {
		errno = ENOTDIR;
		return NULL;
	}
	const char *last = strrchr(path, '/');
	if (kind == NODE_DRIVER)
		strcpy(real + strlen("/dev/"), last ? last + 1 : path);
	return to ? strcpy(to, real) : strdup(real);
}

RUN_HOOK char *realpath(const char *path, char *to)
{
	enum node_kind kind = node_of(AT_FDCWD, path);

	return kind ? real_path(kind, path, to) : NEXT(realpath)(path, to);
}

#ifdef __GLIBC__
RUN_HOOK char *canonicalize_file_name(const char *path)
{
	enum node_kind kind = node_of(AT_FDCWD, path);

	return kind ? real_path(kind, path, NULL) : NEXT(canonicalize_file_name)(path);
}

RUN_HOOK ssize_t __readlink_chk(const char *path, char *to, size_t size, size_t room);
ssize_t __readlink_chk(const char *path, char *to, size_t size, size_t room)
{
	return size > room ? NEXT(__readlink_chk)(path, to, size, room) : readlink(path, to, size);
}

RUN_HOOK ssize_t __readlinkat_chk(int folder, const char *path, char *to, size_t size, size_t room);
ssize_t __readlinkat_chk(int folder, const char *path, char *to, size_t size, size_t room)
{
	return size > room ? NEXT(__readlinkat_chk)(folder, path, to, size, room)
			   : readlinkat(folder, path, to, size);
}

RUN_HOOK char *__realpath_chk(const char *path, char *to, size_t room);
char *__realpath_chk(const char *path, char *to, size_t room)
{
	return room < PATH_MAX ? NEXT(__realpath_chk)(path, to, room) : realpath(path, to);
}
#endif

/* -- mode and owner -- */

static int change(enum node_kind kind)
{
	return kind == NODE_BELOW ? fail(ENOTDIR) : geteuid() == 0 ? 0 : fail(EPERM);
}

RUN_HOOK int chmod(const char *path, mode_t mode)
{
	enum node_kind kind = node_of(AT_FDCWD, path);

	return kind ? change(kind) : NEXT(chmod)(path, mode);
}

RUN_HOOK int fchmod(int fd, mode_t mode)
{
	return files_is_area(fd) ? change(NODE_DRIVER) : NEXT(fchmod)(fd, mode);
}

RUN_HOOK int fchmodat(int folder, const char *path, mode_t mode, int flags)
{
	enum node_kind kind = node_at(folder, path, flags);

	return kind ? change(kind) : NEXT(fchmodat)(folder, path, mode, flags);
}

static int give(enum node_kind kind, uid_t owner, gid_t group)
{
	/* To leave both is allowed to everybody. */
	if (kind != NODE_BELOW && owner == (uid_t)-1 && group == (gid_t)-1)
		return 0;
	return change(kind);
}

RUN_HOOK int chown(const char *path, uid_t owner, gid_t group)
{
	enum node_kind kind = node_of(AT_FDCWD, path);

	return kind ? give(kind, owner, group) : NEXT(chown)(path, owner, group);
}

RUN_HOOK int lchown(const char *path, uid_t owner, gid_t group)
{
	enum node_kind kind = node_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);

	return kind ? give(kind, owner, group) : NEXT(lchown)(path, owner, group);
}

RUN_HOOK int fchown(int fd, uid_t owner, gid_t group)
{
	return files_is_area(fd) ? give(NODE_DRIVER, owner, group) : NEXT(fchown)(fd, owner, group);
}

RUN_HOOK int fchownat(int folder, const char *path, uid_t owner, gid_t group, int flags)
{
	enum node_kind kind = node_at(folder, path, flags);

	return kind ? give(kind, owner, group) : NEXT(fchownat)(folder, path, owner, group, flags);
}

/* -- size -- */

#define HOOK_TRUNCATE(name, offset_type)                                  \
	RUN_HOOK int name(const char *path, offset_type length)           \
	{                                                                 \
		enum node_kind kind = node_of(AT_FDCWD, path);            \
		return kind ? fail(kind == NODE_BELOW ? ENOTDIR : EINVAL) \
			    : NEXT(name)(path, length);                   \
	}

HOOK_TRUNCATE(truncate, off_t)
#ifdef __GLIBC__
HOOK_TRUNCATE(truncate64, off64_t)
#endif
