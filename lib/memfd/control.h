/* SPDX-License-Identifier: MIT */
/*
 * The control block: the state of a memfd area, in the same memfd as its data, shared by all who
 * map it.
 *
 *   file offset 0  pages_round_up(size)                                          end of file
 *   | data ...     | -> lost pages | nodes of the range list <- | <- journal | struct control |
 *                      (sparse)      (sparse)
 *
 * Nodes and journal grow downwards from struct control, which ends the file, so that an area with
 * few ranges touches two pages only and the fixed trailer (struct control_id) is found from the
 * file's size.
 *
 * Every process with the descriptor can write here. So control_attach() checks all that is used as
 * an index or length, keeps its own copies of what does not change (size, pages), and everything
 * else is checked where it is used.
 *
 * Lock order: the control lock comes after every process-local mutex; a thread holds one control
 * lock at a time.
 */
#ifndef ASHMEM_LIB_MEMFD_CONTROL_H
#define ASHMEM_LIB_MEMFD_CONTROL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <ashmem/area.h>

#include "base/descriptor.h"
#include "base/lock.h"
#include "base/shared.h"
#include "base/stamp.h"
#include "base/wait.h"
#include "range/hints.h"
#include "range/purge_iter.h"
#include "range/range.h"

#define CONTROL_VERSION 4
/* Bytes of struct control; a page of any system holds it. */
#define CONTROL_BYTES 2048
/* Pages of the largest area whose bitmap of lost pages lies in struct control. */
#define CONTROL_LOST_INLINE 4096
/* Ranges purged under one hold of the lock. */
#define CONTROL_PURGE_SLOTS 64

/* control_attach() returns it for a memfd without a control block. Never leaves the library. */
#define CONTROL_NONE 1

struct control_extent {
	uint32_t start;
	uint32_t pages;
};

/* The end of the file: what the rest can be found by. Constant once the area is materialised. */
struct control_id {
	uint64_t size_bytes;
	uint64_t serial[2]; /* tells areas apart whose inode numbers collide */
	uint32_t page_size;
	uint32_t version;
	uint32_t byte_order; /* 0x01020304 as the maker stores it */
	uint32_t control_pages;
	unsigned char magic[8];
} __attribute__((aligned(8)));

struct control {
	uint32_t lock;    /* base/lock.h */
	uint32_t damaged; /* not 0: somebody found nonsense here; every call returns -EUCLEAN */
	uint32_t prot;    /* the protection mask */
	/* slots of `purge` in use: pages being freed, to be freed by recovery after a crash */
	uint32_t purge_count;
	uint64_t position;   /* the file position, bytes */
	uint64_t last_stamp; /* of the last unpin */
	uint64_t changes;    /* grows with every taking of the lock: see control_read.c */
	/*
	 * not 0: somebody may pin by locks on the file, which a purge must look for. Never goes
	 * back
	 */
	uint32_t has_readers;
	/* not 0: the file is sealed against writing, and so against purging. Never goes back */
	uint32_t sealed;
	uint64_t recoveries, purged_pages;
	/*
	 * What a pin or an unpin needs is above this line, or in the first 64 bytes after it: two
	 * cache lines, besides the leaf's.
	 */
	struct range_root ranges;
	uint64_t pins_found_purged;
	uint64_t lock_waits;                     /* acquisitions that found it taken */
	uint64_t lock_timeouts;                  /* atomic: counted without the lock */
	uint64_t lost[CONTROL_LOST_INLINE / 64]; /* of small areas: control_lost.c */
	char name[ASHMEM_NAME_LEN];
	struct control_extent purge[CONTROL_PURGE_SLOTS];
	unsigned char unused[CONTROL_BYTES - 88 - CONTROL_LOST_INLINE / 8 -
		sizeof(struct range_root) - ASHMEM_NAME_LEN -
		CONTROL_PURGE_SLOTS * sizeof(struct control_extent) - sizeof(struct control_id)];
	struct control_id id;
} __attribute__((aligned(8)));

_Static_assert(sizeof(struct control) == CONTROL_BYTES, "shared layout");
_Static_assert(offsetof(struct control, ranges) == 64, "a cache line of its own");
_Static_assert(offsetof(struct range_root, journal_count) <= 64, "one cache line");

/* What one process knows of a control block. */
struct control_map {
	struct control *shared;
	uint64_t id; /* no other control block of this process has it, or ever had */
	uint32_t page_shift;
	int writable; /* 0: mapped read-only, nothing of it can be locked or changed */
	/* borrowed; for freeing pages, and for locking them meanwhile: control_check_fd() first */
	int fd;
	/* What a pin or an unpin needs is above this line. */
	struct range_list list; /* where it lies; work is done on control_list() */
	uint64_t *lost;         /* the bitmap: control_lost.c */
	void *base;             /* of the mapping */
	size_t bytes;
	uint64_t size_bytes;
	uint64_t data_bytes; /* size_bytes rounded up to pages */
	uint64_t serial[2];
	struct descriptor_file file; /* of `fd` */
	int no_huge;                 /* atomic: the kernel has no huge pages for the nodes */
};

/*
 * The range list for this thread's use. What is remembered of it from call to call (the way to the
 * leaf used last) is relied on, so it must be no other thread's: the lock in shared memory does not
 * keep two threads apart, because a hostile peer can free it at any time.
 */
struct control_view {
	uint64_t id; /* of the control_map; 0: none yet */
	struct range_list list;
};

extern THREAD_LOCAL struct control_view control_view;
struct range_list *control_view_change(const struct control_map *map);

/*
 * With the lock held, or no other: a signal handler must not change the view of the call that it
 * interrupted.
 */
static inline struct range_list *control_list(const struct control_map *map)
{
	if (__builtin_expect(control_view.id != map->id, 0))
		return control_view_change(map);
	return &control_view.list;
}

/* The largest size of an area in bytes. */
uint64_t control_max_size(void);

/* The size of an area's file: data and control block. */
uint64_t control_file_bytes(uint64_t size_bytes);

/* Give an empty memfd the size that data and control block need. No page is allocated. */
int control_reserve(int fd, uint64_t size_bytes);

/* Write a new control block into a memfd of the right size, and map it. */
int control_make(struct control_map *map, int fd, uint64_t size_bytes, int prot, const char *name);

/* The same into a memfd that is not sealed and that a peer has: without mapping it. */
int control_write(int fd, uint64_t size_bytes, int prot, const char *name);

/* Read what it wrote, with its name and size, unchecked otherwise. 0, -EUCLEAN or as pread(2). */
int control_peek(int fd, struct control *control);

/*
 * Whether the file has a control block: 1, 0, or what control_attach() would return.
 */
int control_is_there(int fd, const struct stat *status);

/*
 * Attach to a memfd's control block and check all of it. 0, CONTROL_NONE if there is none, -EPERM
 * without the seals, -EPROTO for another version, -EUCLEAN if damaged, or as mmap(2). `status` is
 * the file's.
 */
int control_attach(struct control_map *map, int fd, const struct stat *status);

/* 0, or -EBADF if the program has closed `fd`, or uses its number for another file. */
static inline int control_check_fd(const struct control_map *map)
{
	return descriptor_check(map->fd, &map->file);
}

/*
 * The same without the look at all of the range list, and without taking the lock: for one who uses
 * little of it, since what is used is checked.
 */
int control_attach_unchecked(struct control_map *map, int fd, const struct stat *status);

/*
 * Read struct control as bytes: what of it the trailer says is checked, the rest is as a peer wrote
 * it. 0, or as control_attach().
 */
int control_read_end(struct control *control, int fd, const struct stat *status,
	uint64_t *data_bytes);

/* Whether the descriptor is of the area that is attached; `status` is the file's. */
int control_is_same(const struct control_map *map, int fd, const struct stat *status);

/*
 * Which area a descriptor is of, whatever version made it; nothing else is looked at. -ENOTSUP if
 * it has no control block. Needs no lock.
 */
int control_read_serial(int fd, uint64_t serial[2]);

void control_detach(struct control_map *map);

/* What range_wants_care() asks for: control_view.c. The lock is not held. */
void control_care(struct control_map *map);

/*
 * control_seal.c, with the lock held. Ask the kernel whether the file is sealed against writing: 1,
 * and the control block says so from now on; or 0.
 */
int control_notice_seals(struct control_map *map);
/* The file was just sealed: write that down. */
void control_say_sealed(struct control_map *map);

/*
 * recover.c: what control_lock() does if the lock was not simply free (then `held` is 0), or the
 * block is damaged.
 */
int control_lock_slowly(struct control_map *map, int held);

/* control_notice_seals() without the lock, if the block can be written to. Also of recover.c. */
void control_look_for_seals(struct control_map *map);

/*
 * A reader without the lock learns from `changes` that it was taken meanwhile. Release: a reader
 * that sees the new number sees the lock taken, or what its owner did; the fence: one that sees any
 * change made under the lock sees the new number.
 */
static inline void control_announce(struct control *shared)
{
	uint64_t changes = __atomic_load_n(&shared->changes, __ATOMIC_RELAXED);

	__atomic_store_n(&shared->changes, changes + 1, __ATOMIC_RELEASE);
	FENCE(__ATOMIC_RELEASE);
}

/*
 * Take the lock, and recover if its owner died. 0, -ETIMEDOUT, -EUCLEAN; -EDEADLK within a signal
 * handler (lock.h); -EACCES if mapped read-only.
 */
static inline int control_lock(struct control_map *map)
{
	if (__builtin_expect(!map->writable, 0))
		return -EACCES;
	if (__builtin_expect(!lock_acquire_at_once(&map->shared->lock), 0))
		return control_lock_slowly(map, 0);
	if (__builtin_expect(__atomic_load_n(&map->shared->damaged, __ATOMIC_RELAXED), 0))
		return control_lock_slowly(map, 1);
	control_announce(map->shared);
	return 0;
}

/*
 * Returns 1 if somebody was waiting. `result` of the work done under the lock: -EUCLEAN marks the
 * block as damaged.
 */
static inline int control_unlock(struct control_map *map, int result)
{
	if (__builtin_expect(result == -EUCLEAN, 0))
		__atomic_store_n(&map->shared->damaged, 1, __ATOMIC_RELAXED);
	return lock_release(&map->shared->lock);
}

/* What a purge does with a range that holds no memory. */
enum control_purge_kind {
	/* pass over it: it gets no mark, and does not count as freed (D8) */
	CONTROL_FREE_MEMORY,
	CONTROL_MARK_ALL, /* mark it and count all its pages, as if it were full */
};

/*
 * Purge ranges in order of age, none with a stamp above `newest`, until `nr_pages` are freed, so
 * many were found to hold no memory, or the bounded work of one hold of the lock is done. The lock
 * is held. `*freed` grows by the pages freed. 0 if there was nothing to do, 1 if there was, or a
 * negative errno.
 *
 * Ranges that somebody holds by a lock on the file are passed over, also by the calls that follow
 * with the same `progress`, which is all zeroes when a purge begins. -EBADF if the descriptor is no
 * longer the file's: nothing is changed then.
 */
int control_purge(struct control_map *map, struct purge_progress *progress, uint64_t newest,
	uint64_t nr_pages, enum control_purge_kind kind, uint64_t *freed);

/*
 * The same for exactly first..last, whatever their age; parts of ranges are split off. `*first`
 * grows by what is done. Pages that somebody holds are passed over, and pages that hold no memory.
 */
int control_purge_pages(struct control_map *map, struct purge_progress *progress, uint32_t *first,
	uint32_t last, uint64_t *freed);

/*
 * Ranges without live pages count as live again: those that were found empty, or with `kind`
 * CONTROL_FREE_MEMORY all that hold memory now, because somebody wrote to unpinned pages or looked
 * at a hole. From the page `*at` on, which grows; the lock is held. 1 if there is more to do under
 * another hold, 0 if not, or a negative errno.
 */
int control_revive(struct control_map *map, enum control_purge_kind kind, uint64_t *at);

/* Pages of memory that the file takes; -EBADF if the descriptor is no longer the file's. */
int control_file_pages(const struct control_map *map, uint64_t *pages);

/*
 * Whether a reader holds any of these pages, or may: a process with a lock on the file. Readers
 * have descriptions of their own, whose locks are in the way of the area's. The lock is held, the
 * descriptor checked.
 */
int control_is_held(const struct control_map *map, uint64_t start, uint64_t pages);

/*
 * Without the lock: `look` reads the block, and reads again if it changed meanwhile. What it sees
 * may be half changed, and is then thrown away. Its result, or -ETIMEDOUT if the block is not at
 * rest before the wait is over, or -EUCLEAN.
 */
int control_read(const struct control_map *map,
	int (*look)(const struct control_map *map, void *context), void *context,
	struct wait *wait);

/* Lost pages: control_lost.c. first..last are going to be freed; or are no longer lost. */
void control_set_lost(struct control_map *map, uint32_t first, uint32_t last);
/* Have memory for their bits, which to touch would else raise SIGBUS. -ENOMEM: there is none. */
int control_allocate_lost(struct control_map *map, uint32_t first, uint32_t last);
void control_clear_lost(struct control_map *map, uint32_t first, uint32_t last);
/* The next run of lost pages within first..last, `*end` not included: 1, or 0 if there is none. */
int control_next_lost(const struct control_map *map, uint32_t first, uint32_t last, uint32_t *start,
	uint32_t *end);
/* After a crash: nothing outside of marked ranges is lost any more. 0 or -EUCLEAN. */
int control_sweep_lost(struct control_map *map);

/* What first..last holds (range_look), from within a `look`: the thread's own view is not used. */
int control_look_at(const struct control_map *map, uint32_t first, uint32_t last);

/* The same as a whole control_read(), with its errors. */
int control_look(const struct control_map *map, uint32_t first, uint32_t last, struct wait *wait);

/*
 * Two clocks of one system differ by less. A stamp in shared memory that is further ahead is a
 * peer's nonsense, and must not spoil the stamps that this thread gives in other areas.
 */
#define STAMP_SLACK_NS 1000000u

/*
 * A stamp for an unpin: larger than any before of this thread and of this area. The lock is held.
 */
static inline uint64_t control_next_stamp(struct control_map *map, struct stamp_clock *clock,
	uint64_t now_ns)
{
	uint64_t area_stamp = __atomic_load_n(&map->shared->last_stamp, __ATOMIC_RELAXED);
	uint64_t stamp = now_ns;

	if (stamp <= clock->last_stamp && clock->last_stamp - now_ns < 2 * STAMP_SLACK_NS)
		stamp = clock->last_stamp + 1;
	if (stamp <= area_stamp && area_stamp - now_ns < STAMP_SLACK_NS)
		stamp = area_stamp + 1;
	clock->last_stamp = stamp;
	__atomic_store_n(&map->shared->last_stamp, stamp, __ATOMIC_RELAXED);
	return stamp;
}

#endif /* ASHMEM_LIB_MEMFD_CONTROL_H */
