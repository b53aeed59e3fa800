/* SPDX-License-Identifier: MIT */
/*
 * What one handle keeps of an area by locks on its file: a sorted list of extents, in the process's
 * own memory. The kernel keeps the locks of a description as a set and not as counts, and does not
 * tell a description its own; so they are counted here.
 *
 * A change makes a new list, so that everything that can fail comes before the first change. The
 * caller has a mutex.
 */
#ifndef ASHMEM_LIB_MEMFD_FILE_LOCKS_H
#define ASHMEM_LIB_MEMFD_FILE_LOCKS_H

#include <stdint.h>

/* Extents do not overlap, ascend, and keep something each. */
struct keep {
	uint64_t start, end; /* pages, the end not included */
	uint32_t pinned;     /* 1: by a pin, which is a state */
	uint32_t holds;      /* by so many holds */
};

struct keeps {
	struct keep *at;
	uint32_t count;
};

/* Make `*changed` from `*keeps` with `pinned` set or cleared in start..end-1. 0 or -ENOMEM. */
int keeps_pin(const struct keeps *keeps, uint64_t start, uint64_t end, uint32_t pinned,
	struct keeps *changed);

/*
 * The same with one hold more (`by` 1) or less (-1) on each page of start..end-1. -EINVAL if a page
 * has none to lose, -EOVERFLOW if it has too many, -ENOMEM.
 */
int keeps_hold(const struct keeps *keeps, uint64_t start, uint64_t end, int by,
	struct keeps *changed);

/*
 * The first run of pages at or behind `from` and before `end` that are not kept: 1, or 0 if there
 * is none.
 */
int keeps_find_gap(const struct keeps *keeps, uint64_t from, uint64_t end, uint64_t *gap_start,
	uint64_t *gap_end);

/* How many pages are kept. */
uint64_t keeps_count(const struct keeps *keeps);

/* `*keeps` becomes `*changed`, which is empty afterwards. */
void keeps_commit(struct keeps *keeps, struct keeps *changed);
void keeps_drop(struct keeps *keeps);

#endif /* ASHMEM_LIB_MEMFD_FILE_LOCKS_H */
