/* SPDX-License-Identifier: MIT */
/*
 * One area of the kernel backend, and the operations on it: area.c creates, imports and closes
 * areas and knows their size, map.c maps them, read.c reads them, backend.c makes a table of it
 * all. Below them, driver.h talks to an open file and node.h opens a new one.
 *
 * An area is an open file of the driver, which keeps all its state and shares it with every process
 * that has the file. Kept here is the size, which the driver reports in 32 bits only, and what
 * saves a system call.
 *
 * Invariants: the file is open while `refs` is not 0. Once `materialised` is 1 it stays so, and
 * `size_bytes` is the whole size and does not change.
 *
 * Locks: kernel_areas_mutex in area.c guards the list of areas and their `refs`. The `file_mutex`
 * of an area guards its size and the position of its file; it comes after that one. node.c has a
 * mutex of its own. All come after the rest of the library's (base/fork.h).
 */
#ifndef ASHMEM_LIB_KERNEL_AREA_H
#define ASHMEM_LIB_KERNEL_AREA_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/descriptor.h"

struct kernel_area {
	int fd;
	/* What `fd` was opened on: the node, so this does not tell areas apart. */
	struct descriptor_file file;
	uint32_t refs;
	struct kernel_area *prev, *next;

	pthread_mutex_t file_mutex;
	uint64_t size_bytes;   /* before it is materialised: what this process set last */
	uint32_t materialised; /* atomic; release when set, acquire when read for the size */
};

/* Operations of the backend, as <ashmem/backend.h> has them. area.c: */
int kernel_area_create(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
	void **state);
int kernel_area_import(void *userdata, int fd, void **state);
void kernel_area_close(void *state);
int kernel_area_set_name(void *state, const char *name);
int kernel_area_get_name(void *state, char *name);
int kernel_area_set_size(void *state, uint64_t size_bytes);
int kernel_area_get_size(void *state, uint64_t *size_bytes, int *materialised);
int kernel_area_set_prot(void *state, int prot);
int kernel_area_get_prot(void *state);
int kernel_area_get_fd(void *state);
int kernel_area_find(void *userdata, int fd, void **state);
int kernel_area_fd_kind(void *userdata, int fd);
int kernel_area_get_id(void *state, uint64_t *device, uint64_t *inode);
int kernel_area_export_early(void *state);
/* `charge`: kernel_driver_materialise(). */
int kernel_area_materialise(struct kernel_area *area, int charge);

/* map.c: */
int kernel_map(void *state, uint64_t offset, size_t length, int prot, int map_flags, void **addr);

/* read.c: */
int64_t kernel_read(void *state, void *buf, size_t length);
int64_t kernel_pread(void *state, void *buf, size_t length, uint64_t offset);
int64_t kernel_seek(void *state, int64_t offset, int whence);

#endif /* ASHMEM_LIB_KERNEL_AREA_H */
