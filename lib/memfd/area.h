/* SPDX-License-Identifier: MIT */
/*
 * One area of the memfd backend, as one process knows it. It goes through three states:
 *   newborn       no memory: name, size and mask are kept here and can change
 *   materialised  the memfd exists, sealed, and can be mapped; everything is pinned
 *   established   the control block is written into the memfd: the state is there, and others can
 *                 share it
 * The last step comes with the first call on its state, the first hand-out of the descriptor, or a
 * fork: an area that only lives for a mapping costs no more than a memfd. A foreign memfd is a
 * *plain* area: it has no control block and is established at once.
 *
 * Locks: the table's mutex (table.h) guards everything here but `control`, which has its own lock,
 * and what file_locks_mutex guards. What is published by `materialised` and by `established` is set
 * before and constant afterwards, except `prot` and `read_only_fd`.
 */
#ifndef ASHMEM_LIB_MEMFD_AREA_H
#define ASHMEM_LIB_MEMFD_AREA_H

#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/descriptor.h"
#include "memfd/control.h"
#include "memfd/file_locks.h"

struct birth;
struct memfd_mapping; /* file.h */

struct memfd_area {
	uint32_t materialised; /* atomic; release when set, acquire when read */
	uint32_t established;  /* likewise */
	int plain;
	int early;  /* its descriptor went out before it had memory: early.h */
	int sealed; /* imported after the file was sealed against writing */
	int fd;     /* -1: none */
	/* atomic; -1: none; a description of its own, for a mask without PROT_WRITE */
	int read_only_fd;
	struct control_map control;
	struct purge_progress purge; /* of the purge under way over all areas */

	pthread_mutex_t file_locks_mutex; /* guards the next three: readers.c */
	int lock_fd; /* the description that has the locks; -1: none; can be `fd` */
	struct file_locks file_locks;
	/* There are locks beyond `file_locks`: the kernel had no memory to end them. */
	int locks_left;

	uint32_t refs;
	uint64_t size_bytes;
	int prot;
	char name[ASHMEM_NAME_LEN];
	uint32_t generation; /* lock_fork_generation() of the process that made it */
	int allow_seal;      /* made with ASHMEM_CREATE_ALLOW_SEAL */
	/* shared with children that were forked before the area was materialised; NULL: none */
	struct birth *birth;

	/* Of all descriptors above; known from when `fd` is there. */
	struct descriptor_file file;
	/* the table's: by inode once established, else the list of newborns */
	struct memfd_area *bucket_next;
	struct memfd_area *newborn_prev, *newborn_next;
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
 * For work on name, size and mask: 0 and the area is held, not materialised, with these three up to
 * date; memfd_newborn_end() ends it. 1: it is materialised. Else a negative errno.
 */
int memfd_newborn_begin(struct memfd_area *area);
void memfd_newborn_end(struct memfd_area *area);
/* The same after a change: 0, or a negative errno, and nothing has changed. */
int memfd_newborn_keep(struct memfd_area *area);

static inline int memfd_is_established(const struct memfd_area *area)
{
	return (int)__atomic_load_n(&area->established, __ATOMIC_ACQUIRE);
}

/*
 * Materialise a newborn whose size is not 0, and make its first `mapping` if there is one: both or
 * neither. 0; 1 if the area is materialised already, and then no mapping was made.
 */
int memfd_materialise(struct memfd_area *area, struct memfd_mapping *mapping);

/* Materialise and establish, both or neither: a peer that gets the descriptor finds the state. */
int memfd_make_ready(struct memfd_area *area);

/* Establish a materialised area if that was not done. The first is the slow path. */
int memfd_establish_now(struct memfd_area *area);

static inline int memfd_establish(struct memfd_area *area)
{
	return __builtin_expect(!memfd_is_established(area), 0) ? memfd_establish_now(area) : 0;
}

/*
 * Take the control lock of a materialised area, establishing it first if need be. control_unlock()
 * ends it.
 */
static inline int memfd_lock(struct memfd_area *area)
{
	int r = memfd_establish(area);

	return r < 0 ? r : control_lock(&area->control);
}

/*
 * Whether the area is established; if another process that shares a newborn with us has established
 * it meanwhile, attach to it first. Takes no lock of an area that is established.
 */
int memfd_look_at_birth(struct memfd_area *area);

static inline int memfd_look_again(struct memfd_area *area)
{
	return memfd_is_established(area) || memfd_look_at_birth(area);
}

/* Whether the state is mapped read-only, so that pins are locks on the file. */
static inline int memfd_is_reader(const struct memfd_area *area)
{
	return memfd_is_established(area) && !area->plain && !area->control.writable;
}

/*
 * Give up all locks on the file. file_locks_mutex is held, or no other thread knows the area.
 */
void memfd_forget_locks(struct memfd_area *area);

#endif /* ASHMEM_LIB_MEMFD_AREA_H */
