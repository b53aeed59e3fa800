/* SPDX-License-Identifier: MIT */
/*
 * One area of the kernel backend, and what its files offer each other: driver.c asks an open
 * file of the driver, node.c finds the node to open, area.c keeps the areas,
 * map.c maps them, read.c reads them, backend.c makes a backend of it all.
 *
 * An area is an open file of the driver, which keeps all its state and shares it with every process
 * that has the file. Here is only what saves a question, and the size, which the driver does not
 * tell whole.
 *
 * Invariants: the file is open as long as `refs` is not 0. Once `materialised` is 1 it stays so,
 * and `size_bytes` is the whole size and does not change.
 *
 * Locks: area.c's mutex guards the list of areas and their `refs`. An area's own mutex
 * guards its size and the position of its file; it comes after that one. node.c's mutex
 * guards the search for the node; no other lock is taken with it. All come after the rest of the
 * library's (base/fork.h).
 */
#ifndef ASHMEM_LIB_KERNEL_AREA_H
#define ASHMEM_LIB_KERNEL_AREA_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct kernel_area {
	int fd;
	uint32_t refs;
	struct kernel_area *prev, *next;

	pthread_mutex_t mutex;
	uint64_t size_bytes;   /* before it is materialised: what this process set last */
	uint32_t materialised; /* atomic; release when set, acquire when read for the size */
};

/* -- driver.c: every function takes an open file, returns a negative errno on failure -- */

/* ioctl(2); `request` and `argument` as abi.h has them. */
int kernel_ask(int fd, unsigned long request, unsigned long argument);

/* A request about a range of bytes. -EOVERFLOW if the driver cannot address it. */
int kernel_ask_range(int fd, unsigned long request, uint64_t offset, uint64_t length);

/* Whether the area is materialised, 1 or 0. Changes nothing. */
int kernel_ask_materialised(int fd);

/* Materialise; does nothing if that was done. */
int kernel_materialise(int fd);

/* Whether a file is the driver's, 1 or 0. Changes nothing in the driver. */
int kernel_is_driver(int fd);

/*
 * Whether a file that was just opened works as the driver's do: 0, -ENODEV, or an error that does
 * not tell. The file is materialised then, and good for nothing else.
 */
int kernel_try_driver(int fd);

/* -- node.c -- */

int kernel_probe(void *userdata);

/* A new open file of the driver, close-on-exec, or a negative errno. */
int kernel_open_node(void);

void kernel_node_before_fork(void);
void kernel_node_after_fork(void);

/* -- operations of the backend, as <ashmem/backend.h> has them -- */

/* area.c */
int kernel_create(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
	void **state);
int kernel_import(void *userdata, int fd, void **state);
void kernel_close(void *state);
int kernel_set_name(void *state, const char *name);
int kernel_get_name(void *state, char *name);
int kernel_set_size(void *state, uint64_t size_bytes);
int kernel_get_size(void *state, uint64_t *size_bytes, int *materialised);
int kernel_set_prot(void *state, int prot);
int kernel_get_prot(void *state);

/* map.c */
int kernel_get_fd(void *state);
int kernel_map(void *state, uint64_t offset, size_t length, int prot, int map_flags, void **addr);

/* read.c */
int64_t kernel_read(void *state, void *buf, size_t length);
int64_t kernel_pread(void *state, void *buf, size_t length, uint64_t offset);
int64_t kernel_seek(void *state, int64_t offset, int whence);

#endif /* ASHMEM_LIB_KERNEL_AREA_H */
