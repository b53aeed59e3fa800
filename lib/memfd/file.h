/* SPDX-License-Identifier: MIT */
/* The file of an area: file.c. Every function returns a negative errno on failure. */
#ifndef ASHMEM_LIB_MEMFD_FILE_H
#define ASHMEM_LIB_MEMFD_FILE_H

#include <stddef.h>
#include <stdint.h>

/* A new empty memfd. /proc/PID/maps shows the area's name, which can be "". */
int memfd_file_create(const char *area_name);

/*
 * A new descriptor of a file that allows no writing: an open file description of its own. Other
 * users cannot reopen it for writing afterwards. -ENOTSUP without /proc.
 */
int memfd_file_open_read_only(int fd);

/* A mapping to make, as mmap(2) takes it. */
struct memfd_mapping {
	void *addr; /* the address wanted, or NULL; then the address that it got */
	size_t length;
	int prot, flags;
	uint64_t offset;
};

int memfd_file_map(int fd, struct memfd_mapping *mapping);

#endif /* ASHMEM_LIB_MEMFD_FILE_H */
