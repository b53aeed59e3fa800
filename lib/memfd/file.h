/* SPDX-License-Identifier: MIT */
/* The file of an area: file.c. Every function returns a negative errno on failure. */
#ifndef ASHMEM_LIB_MEMFD_FILE_H
#define ASHMEM_LIB_MEMFD_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/descriptor.h"

/*
 * A new empty memfd, which other users cannot open for writing, and which file it is.
 * /proc/PID/maps shows the area's name, which can be "".
 */
int memfd_file_create(const char *area_name, struct descriptor_file *file);

/*
 * A new descriptor that allows no writing: an open file description of its own. -EBADF if `fd` is
 * no longer of this file, -ENOTSUP without /proc.
 */
int memfd_file_reopen(int fd, const struct descriptor_file *file);

/*
 * The same, and other users cannot reopen it for writing afterwards. -EPERM if the file's mode lets
 * them and cannot be changed.
 */
int memfd_file_open_read_only(int fd, const struct descriptor_file *file);

/* A mapping to make, as mmap(2) takes it. */
struct memfd_mapping {
	void *addr; /* the address wanted, or NULL; then the address that it got */
	size_t length;
	int prot, flags;
	uint64_t offset;
};

/*
 * Under a mask without PROT_WRITE a private mapping is made as a shared one: it shows the same, and
 * through a descriptor that is read-only the kernel lets mprotect(2) give it no writing.
 */
void memfd_file_suit_mask(struct memfd_mapping *mapping, int mask);

int memfd_file_map(int fd, struct memfd_mapping *mapping);

#endif /* ASHMEM_LIB_MEMFD_FILE_H */
