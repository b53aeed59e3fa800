/* SPDX-License-Identifier: MIT */
/*
 * stat(2) in programs of 32 bits whose times have 64: glibc gives these calls other names. This
 * file is compiled with _TIME_BITS=64, where struct stat is theirs.
 */
#include <features.h>

#if defined(__GLIBC__) && defined(__USE_TIME_BITS64) && __SIZEOF_LONG__ == 4
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Kept out of libc.h: its struct stat64 is another one here. */
#include "time64.h"

#define HOOK_PATH(name, flags)                                                                   \
	__attribute__((visibility("default"))) int name(const char *path, struct stat *status);  \
	int name(const char *path, struct stat *status)                                          \
	{                                                                                        \
		int r = time64_path(AT_FDCWD, path, status, flags);                              \
		return r <= 0 ? r                                                                \
			      : ((int (*)(const char *, struct stat *))time64_find(#name))(path, \
					status);                                                 \
	}

static void fill(struct stat *status)
{
	struct time64_node node;

	time64_get_node(&node);
	memset(status, 0, sizeof(*status));
	status->st_dev = node.of;
	status->st_ino = node.inode;
	status->st_mode = node.mode;
	status->st_nlink = 1;
	status->st_rdev = node.device;
	status->st_blksize = 4096;
	status->st_atime = status->st_mtime = status->st_ctime = node.time;
}

/* 0 or -1 if the path means the driver, 1 if not. */
static int time64_path(int folder, const char *path, struct stat *status, int flags)
{
	int r = time64_is_node(folder, path, flags);

	if (r > 0)
		fill(status);
	return r > 0 ? 0 : r < 0 ? -1 : 1;
}

HOOK_PATH(__stat64_time64, 0)
HOOK_PATH(__lstat64_time64, AT_SYMLINK_NOFOLLOW)

__attribute__((visibility("default"))) int __fstat64_time64(int fd, struct stat *status);
int __fstat64_time64(int fd, struct stat *status)
{
	if (!time64_is_area(fd))
		return ((int (*)(int, struct stat *))time64_find("__fstat64_time64"))(fd, status);
	fill(status);
	return 0;
}

__attribute__((visibility("default"))) int __fstatat64_time64(int folder, const char *path,
	struct stat *status, int flags);
int __fstatat64_time64(int folder, const char *path, struct stat *status, int flags)
{
	int r = time64_path(folder, path, status, flags);

	if (r <= 0)
		return r;
	return ((int (*)(int, const char *, struct stat *,
		int))time64_find("__fstatat64_time64"))(folder, path, status, flags);
}
#else
typedef int no_time64;
#endif
