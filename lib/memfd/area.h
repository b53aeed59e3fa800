/* SPDX-License-Identifier: MIT */
/*
 * One area of the memfd backend, as one process knows it. It goes through three states:
 *   newborn       no memory: name, size and mask are kept here and can change
 *   materialised  the memfd exists, sealed, and can be mapped; everything is pinned
 *   established   the control block is written into the memfd: the state is there, and others can
 *                 share it
 * The last step comes with the first call on its state, the first hand-out of the descriptor, or a
 * fork: an area that only lives for a mapping costs no more than a memfd. A foreign memfd is a
 * plain area: it has no control block and is established at once.
 *
 * Locks: area.c's mutex guards everything here but `control`, which has its own lock. What is
 * published by `materialised` and by `established` is set before and constant afterwards, except
 * `prot` and `read_only_fd`.
 */
#ifndef ASHMEM_LIB_MEMFD_AREA_H
#define ASHMEM_LIB_MEMFD_AREA_H

#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>

#include "memfd/control.h"
#include "memfd/file_locks.h"

struct birth;

struct memfd_area {
	uint32_t materialised; /* atomic; release when set, acquire when read */
	uint32_t established;  /* likewise */
	int plain;
	int fd; /* -1: none */
	/*
	 * atomic; -1: none; a description of its own, to hand out under a mask without PROT_WRITE
	 */
	int read_only_fd;
	struct control_map control;
	struct purge_progress purge; /* of the purge under way over all areas */

	pthread_mutex_t keeping; /* guards the next three: readers.c */
	int lock_fd;             /* the description that holds the locks; -1: none; can be `fd` */
	struct keeps keeps;
	/* there are locks on pages that it does not keep: the kernel had no memory to end them */
	int locks_left;

	uint32_t refs;
	uint64_t size_bytes;
	int prot;
	char name[ASHMEM_NAME_LEN];
	uint32_t generation; /* lock_fork_generation() of the process that made it */
	int allow_seal;      /* made with ASHMEM_CREATE_ALLOW_SEAL */
	/* shared with children that were forked before the area was materialised; NULL: none */
	struct birth *birth;

	dev_t device;
	ino_t inode;
	struct memfd_area *bucket_next;             /* of the table by inode, once established */
	struct memfd_area *young_prev, *young_next; /* of the list of areas not established */
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

static inline int memfd_is_established(const struct memfd_area *area)
{
	return (int)__atomic_load_n(&area->established, __ATOMIC_ACQUIRE);
}

/* A mapping to make, as mmap(2) takes it. */
struct memfd_mapping {
	void *addr; /* the address wanted, or NULL; then the address that it got */
	size_t length;
	int prot, flags;
	uint64_t offset;
};

/*
 * Materialise if that was not done; the size is not 0. With a `mapping`, make that as well: an area
 * whose first mapping fails stays as it was.
 */
int memfd_materialise(struct memfd_area *area, struct memfd_mapping *mapping);

/*
 * Materialise and establish, both or neither: whoever gets the descriptor then finds the state in
 * it.
 */
int memfd_make_ready(struct memfd_area *area);

/* The descriptor that allows what the mask allows, of a materialised area. */
int memfd_allowed_fd(struct memfd_area *area);

/* Establish a materialised area if that was not done. The first is for when it looks so. */
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

/*
 * A new descriptor of a file that allows no writing: an open file description of its own. Other
 * users cannot reopen it for writing afterwards. -ENOTSUP without /proc.
 */
int memfd_open_read_only(int fd);

/* Irrevocable write protection, and a read-only descriptor for a peer: descriptors.c. */
int memfd_seal(void *state);
int memfd_export_read_only(void *state);

/* Whether the state is mapped read-only, so that pins are locks on the file. */
static inline int memfd_is_reader(const struct memfd_area *area)
{
	return memfd_is_established(area) && !area->plain && !area->control.writable;
}

/* What a pin tells of lost pages. */
struct memfd_report {
	struct ashmem_extent *extent;
	uint32_t capacity, count;
};

/* Pins of such an area: readers.c. `report` may be NULL. */
int memfd_reader_pin(struct memfd_area *area, uint32_t first, uint32_t last,
	struct memfd_report *report);
int memfd_reader_unpin(struct memfd_area *area, uint32_t first, uint32_t last);
int memfd_reader_status(struct memfd_area *area, uint32_t first, uint32_t last);
/* Report the lost pages of first..last, anew. */
void memfd_report_lost(const struct control_map *control, uint32_t first, uint32_t last,
	struct memfd_report *report);
/* Holds, of any area: the same file. */
int memfd_hold(void *state, uint64_t offset, uint64_t length);
int memfd_release(void *state, uint64_t offset, uint64_t length, uint32_t flags);
/* Say in a writable control block that somebody pins by locks, before it does. */
int memfd_announce_readers(struct control_map *control);
/* Give up all locks. The mutex `keeping` is held, or the area is nobody else's. */
void memfd_forget_locks(struct memfd_area *area);

/* The counts of an area: stats.c. */
int memfd_get_stats(void *state, void *stats);

/* The read-only descriptor of a materialised area, made if there is none. */
int memfd_read_only_fd(struct memfd_area *area);

#endif /* ASHMEM_LIB_MEMFD_AREA_H */
