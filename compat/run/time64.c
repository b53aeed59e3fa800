/* SPDX-License-Identifier: MIT */
/*
 * The bridge to hooks_time64.c (time64.h).
 */
#include <errno.h>
#include <fcntl.h>

#include "files.h"
#include "node.h"
#include "time64.h"

void time64_get_node(struct time64_node *node)
{
	struct node_status status;

	node_get_status(&status);
	*node = (struct time64_node){.of = status.of,
		.device = status.device,
		.inode = status.inode,
		.time = status.folder.st_mtime,
		.mode = status.mode};
}

int time64_is_node(int folder, const char *path, int flags)
{
	enum node_kind kind = node_of(folder, path);

	if (kind == NODE_BELOW)
		errno = ENOTDIR;
	if (kind == NODE_LINK)
		return !(flags & AT_SYMLINK_NOFOLLOW);
	return kind == NODE_BELOW ? -1 : kind == NODE_DRIVER;
}

int time64_is_area(int fd)
{
	struct run_file *file = files_get_checked(fd);

	if (file)
		files_put(file);
	return file != NULL;
}

void *time64_find(const char *name)
{
	return libc_find(name);
}
