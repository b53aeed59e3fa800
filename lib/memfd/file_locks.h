/* SPDX-License-Identifier: MIT */
/*
 * The pages that one handle has locked on its area's file: a sorted list of extents, in the
 * process's own memory. The kernel keeps the locks of a description as a set and not as counts, and
 * does not list them; so they are counted here.
 *
 * A change makes a new list, so that everything that can fail comes before the first change. Pure
 * data: no system call, and the caller holds the mutex.
 */
#ifndef ASHMEM_LIB_MEMFD_FILE_LOCKS_H
#define ASHMEM_LIB_MEMFD_FILE_LOCKS_H

#include <stdint.h>

/* Extents ascend, do not overlap, and each has a pin or a hold. */
struct file_lock {
	uint64_t start, end; /* pages, the end not included */
	uint32_t pinned;     /* 1: by a pin, which is a state and no count */
	uint32_t holds;      /* by so many holds */
};

struct file_locks {
	struct file_lock *at;
	uint32_t count;
};

/* Make `*changed` from `*locks` with `pinned` set or cleared in start..end-1. 0 or -ENOMEM. */
int file_locks_pin(const struct file_locks *locks, uint64_t start, uint64_t end, uint32_t pinned,
	struct file_locks *changed);

/*
 * The same with one hold more (`by` 1) or less (-1) on each page of start..end-1. -EINVAL if a page
 * has none to lose, -EOVERFLOW if it has too many, -ENOMEM.
 */
int file_locks_hold(const struct file_locks *locks, uint64_t start, uint64_t end, int by,
	struct file_locks *changed);

/* The first run of pages from `from` on and before `end` that are not locked: 1, or 0: none. */
int file_locks_find_gap(const struct file_locks *locks, uint64_t from, uint64_t end,
	uint64_t *gap_start, uint64_t *gap_end);

/* How many pages are locked. */
uint64_t file_locks_count(const struct file_locks *locks);

/* `*locks` becomes `*changed`, which is empty afterwards. */
void file_locks_commit(struct file_locks *locks, struct file_locks *changed);
void file_locks_drop(struct file_locks *locks);

#endif /* ASHMEM_LIB_MEMFD_FILE_LOCKS_H */
