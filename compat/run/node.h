/* SPDX-License-Identifier: MIT */
/*
 * The name of the driver's node, and what stat(2) says of it. No lock.
 */
#ifndef ASHMEM_COMPAT_RUN_NODE_H
#define ASHMEM_COMPAT_RUN_NODE_H

#include <stddef.h>

#include "libc.h"

/*
 * Whether a path means the driver: /dev/ashmem, with the boot id behind it as Android 10 has it, in
 * any spelling. NODE_LINK is a descriptor of an area in /proc/self/fd, which is a symbolic link;
 * NODE_BELOW, a path that goes on behind the node.
 */
enum node_kind { NODE_NONE, NODE_DRIVER, NODE_LINK, NODE_BELOW };
RUN_HIDDEN enum node_kind node_of(int folder, const char *path);
/* The same with the flags of a call that ends in "at". */
RUN_HIDDEN enum node_kind node_at(int folder, const char *path, int flags);

/* What is the same in every struct stat. */
struct node_status {
	dev_t device, of; /* the node's own, and the one that it lies on */
	ino_t inode;
	mode_t mode;
	run_stat folder; /* of /dev: the times */
};
RUN_HIDDEN void node_get_status(struct node_status *status);

/* Fill any struct stat. */
#define NODE_FILL(to)                                                               \
	do {                                                                        \
		struct node_status node_;                                           \
		node_get_status(&node_);                                            \
		memset((to), 0, sizeof(*(to)));                                     \
		(to)->st_dev = node_.of;                                            \
		(to)->st_ino = node_.inode;                                         \
		(to)->st_mode = node_.mode;                                         \
		(to)->st_nlink = 1;                                                 \
		(to)->st_rdev = node_.device;                                       \
		(to)->st_blksize = (blksize_t)sysconf(_SC_PAGESIZE);                \
		(to)->st_atime = (__typeof__((to)->st_atime))node_.folder.st_mtime; \
		(to)->st_mtime = (__typeof__((to)->st_mtime))node_.folder.st_mtime; \
		(to)->st_ctime = (__typeof__((to)->st_ctime))node_.folder.st_mtime; \
	} while (0)

#endif /* ASHMEM_COMPAT_RUN_NODE_H */
