/* SPDX-License-Identifier: MIT */
/*
 * The driver's node (node.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "files.h"
#include "node.h"
#include "start.h"

#define NODE "/dev/ashmem"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_BYTES 36

/* Drivers of this kind are "misc" devices; the minor number is any. */
#define MISC_MAJOR 10
#define MINOR 119
#define INODE 0x77

static int is_boot_id(const char *text)
{
	char id[BOOT_ID_BYTES];
	int error = errno, fd = libc_open(BOOT_ID, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		errno = error;
		return 0;
	}
	int same =
		NEXT(read)(fd, id, sizeof(id)) == sizeof(id) && memcmp(id, text, sizeof(id)) == 0;
	libc_close(fd);
	errno = error;
	return same;
}

/* What comes behind "/dev/ashmem". */
static enum node_kind kind_of_rest(const char *rest)
{
	if (rest[0] && rest[0] != '/') {
		if (strnlen(rest, BOOT_ID_BYTES) < BOOT_ID_BYTES || !is_boot_id(rest))
			return NODE_NONE;
		rest += BOOT_ID_BYTES;
	}
	return rest[0] == '\0' ? NODE_DRIVER : rest[0] == '/' ? NODE_BELOW : NODE_NONE;
}

/* Whether a path's beginning, up to its last component, is the folder /dev. */
static int is_in_dev(int folder, const char *path, size_t length)
{
	char name[256];
	run_stat dev, status;
	int error = errno, r;

	if (length >= sizeof(name))
		return 0;
	memcpy(name, path, length);
	name[length] = '\0';
	if (length == 0 && folder != AT_FDCWD)
		r = libc_fstat(folder, &status);
	else if (length == 0 || path[0] == '/' || folder == AT_FDCWD)
		r = libc_stat(length ? name : ".", &status);
	else
		r = libc_stat_at(folder, name, &status);
	int same = r == 0 && libc_stat("/dev", &dev) == 0 && dev.st_ino == status.st_ino &&
		dev.st_dev == status.st_dev;

	errno = error;
	return same;
}

/* Whether the number behind the path's prefix is a descriptor of an area. */
static int names_area(const char *number)
{
	char *end;

	if (number[0] < '0' || number[0] > '9')
		return 0;
	long fd = strtol(number, &end, 10);
	return *end == '\0' && fd < 1 << 20 && files_is_known((int)fd);
}

static const char *behind(const char *path, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(path, prefix, length) == 0 ? path + length : NULL;
}

/* What comes behind the names of this process's folder of descriptors, or NULL. */
static const char *behind_descriptors(const char *path)
{
	static const char *const prefixes[] = {
		"/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"};
	const char *rest = NULL;
	char *end;

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes) && !rest; i++)
		rest = behind(path, prefixes[i]);
	if (!rest && (rest = behind(path, "/proc/")) != NULL)
		rest = rest[0] >= '1' && rest[0] <= '9' && strtol(rest, &end, 10) == getpid()
			? behind(end, "/fd/")
			: NULL;
	return rest;
}

/* Any path: its last component says first whether it is worth a look. */
static enum node_kind kind_of_any(int folder, const char *path)
{
	const char *last = strrchr(path, '/');

	last = last ? last + 1 : path;
	if (!behind(last, "ashmem") || !run_is_active())
		return NODE_NONE;
	enum node_kind kind = kind_of_rest(last + strlen("ashmem"));
	return kind && is_in_dev(folder, path, (size_t)(last - path)) ? kind : NODE_NONE;
}

enum node_kind node_of(int folder, const char *path)
{
	const uintptr_t no_pointer = 4096; /* what the kernel shall answer */

	if ((uintptr_t)path < no_pointer)
		return NODE_NONE;
	const char *rest = behind(path, NODE);
	if (rest && run_is_active())
		return kind_of_rest(rest);
	rest = behind_descriptors(path);
	if (rest && names_area(rest))
		return NODE_LINK;
	return kind_of_any(folder, path);
}

enum node_kind node_at(int folder, const char *path, int flags)
{
	const uintptr_t no_pointer = 4096;

	if ((flags & AT_EMPTY_PATH) && ((uintptr_t)path < no_pointer || !path[0]) &&
		files_is_area(folder))
		return NODE_DRIVER;
	enum node_kind kind = node_of(folder, path);
	return kind == NODE_LINK && (flags & AT_SYMLINK_NOFOLLOW) ? NODE_NONE : kind;
}

void node_get_status(struct node_status *status)
{
	int error = errno;

	memset(status, 0, sizeof(*status));
	libc_stat("/dev", &status->folder);
	status->of = status->folder.st_dev;
	status->device = makedev(MISC_MAJOR, MINOR);
	status->inode = INODE;
	status->mode = S_IFCHR | 0666;
	errno = error;
}
