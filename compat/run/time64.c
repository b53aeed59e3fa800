/* SPDX-License-Identifier: MIT */
/*
 * The bridge to hooks_time64.c (time64.h).
 */
#include <errno.h>

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
	enum node_kind kind = node_at(folder, path, flags);

	if (kind == NODE_BELOW)
		errno = ENOTDIR;
	return kind == NODE_BELOW ? -1 : kind != NODE_NONE;
}

int time64_is_area(int fd)
{
	return files_is_area(fd);
}

void *time64_find(const char *name)
{
	return libc_find(name);
}
