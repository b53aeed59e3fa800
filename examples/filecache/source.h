/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_SOURCE_H
#define FILECACHE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What tells one state of a file from another. Lives in shared memory, so the widths are fixed. */
struct stamp {
	uint64_t size_bytes;
	uint64_t mtime_ns;
	uint64_t ctime_ns;
	uint64_t inode;
};

/* Open a regular file for reading. Returns a descriptor, or a negative errno: -ESTALE means
 * that it is no regular file any more. */
int source_open(const char *path, struct stamp *stamp);

/* Read until `length_bytes` are there or the file ends. Returns bytes, or a negative errno. */
int64_t source_read(int fd, void *buf, size_t length_bytes);

/* Whether the open file still is what `stamp` says. */
bool source_unchanged(int fd, const struct stamp *stamp);

bool stamp_equal(const struct stamp *a, const struct stamp *b);

/* Whether the file was written so recently that a further write might get the same time. */
bool stamp_is_fresh(const struct stamp *stamp);

/* Whether an error of source_open() says that the file is gone or is something else now. */
bool source_is_gone(int error);

#endif /* FILECACHE_SOURCE_H */
