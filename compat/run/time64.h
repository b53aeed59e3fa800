/* SPDX-License-Identifier: MIT */
/*
 * What hooks_time64.c needs of the rest, in types that are the same on both sides of _TIME_BITS.
 */
#ifndef ASHMEM_COMPAT_RUN_TIME64_H
#define ASHMEM_COMPAT_RUN_TIME64_H

#include <stdint.h>

struct time64_node {
	uint64_t of, device, inode;
	int64_t time;
	uint32_t mode;
};

#pragma GCC visibility push(hidden)
void time64_get_node(struct time64_node *node);
/* 1: the path means the driver; 0: it does not, or is a link not to be followed; -1 and errno. */
int time64_is_node(int folder, const char *path, int flags);
int time64_is_area(int fd);
void *time64_find(const char *name);
#pragma GCC visibility pop

#endif /* ASHMEM_COMPAT_RUN_TIME64_H */
