/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_CATALOG_H
#define FILECACHE_CATALOG_H

#include "source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One file to cache. */
struct file {
	char *path;
	struct stamp stamp;
};

struct file_list {
	struct file *file;
	size_t count;
	size_t room;
};

/* The files found below a directory, in a fixed order, and what was left out. Zero it first. */
struct catalog {
	struct file_list files;
	struct file_list large; /* put off until the walk is over */
	uint64_t page_bytes;
	uint64_t limit_pages;
	uint64_t pages;      /* taken by `files` */
	uint64_t device;     /* of the top directory: others are not entered */
	uint64_t unreadable; /* named on standard error */
	uint64_t special;    /* named: neither file, directory nor symbolic link */
	uint64_t links;      /* symbolic links, not followed */
	bool limited;        /* the limit left files out */
};

/* Find files below `directory`, at most `limit_bytes` of them. Returns 0, or a negative errno if
 * the directory cannot be read, no memory is left, or the user interrupts. The caller frees the
 * catalog, also after a failure. */
int catalog_scan(struct catalog *catalog, const char *directory, uint64_t limit_bytes);
void catalog_free(struct catalog *catalog);

#endif /* FILECACHE_CATALOG_H */
