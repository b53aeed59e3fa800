/* SPDX-License-Identifier: MIT */
/*
 * One area of the memfd backend, as one process knows it: before it is materialised (memfd_life.c keeps its name, size and
 * mask here) and after (the control block has the state). A foreign memfd is a plain area: it has no control block.
 *
 * Locks: memfd_life.c's mutex guards everything here but `control`, which has its own lock. What is needed without the mutex
 * (`materialised` and all that it publishes) is set before `materialised` and constant afterwards, except `read_only_fd`.
 */
#ifndef ASHMEM_LIB_MEMFD_AREA_H
#define ASHMEM_LIB_MEMFD_AREA_H

#include <stdint.h>
#include <sys/stat.h>

#include "control.h"

struct birth;

struct memfd_area {
	uint32_t materialised; /* atomic; release when set, acquire when read */
	int plain;
	int fd;           /* -1: none */
	int read_only_fd; /* atomic; -1: none; a description of its own, to hand out under a mask without PROT_WRITE */
	struct control_map control;

	uint32_t refs;
	uint64_t size_bytes;
	int prot;
	char name[ASHMEM_NAME_LEN];
	uint32_t generation; /* lock_fork_generation() of the process that made it */
	struct birth *birth; /* shared with children that were forked before the area was materialised; NULL: none */

	dev_t device;
	ino_t inode;
	struct memfd_area *bucket_next;           /* of the table by inode, once materialised */
	struct memfd_area *newborn_prev, *newborn_next; /* of the list of areas not materialised */
};

int memfd_create_area(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
	void **state);
int memfd_import(void *userdata, int fd, void **state);
void memfd_close(void *state);

/* Whether the area is materialised. */
static inline int memfd_is_materialised(const struct memfd_area *area)
{
	return (int)__atomic_load_n(&area->materialised, __ATOMIC_ACQUIRE);
}

/*
 * For work on name, size and mask: 0 and the area is held, not materialised, with these three up to date; memfd_newborn_end()
 * ends it. 1: it is materialised. Else a negative errno.
 */
int memfd_newborn_begin(struct memfd_area *area);
void memfd_newborn_end(struct memfd_area *area);

/* Materialise if that was not done; the size is not 0. */
int memfd_materialise(struct memfd_area *area);

/* The read-only descriptor of a materialised area, made if there is none. */
int memfd_read_only_fd(struct memfd_area *area);

#endif /* ASHMEM_LIB_MEMFD_AREA_H */
