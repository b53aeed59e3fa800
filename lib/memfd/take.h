/* SPDX-License-Identifier: MIT */
/*
 * What a user of the area's pages as a log needs: taking unpinned pages that nobody holds for new
 * contents, and locks that hold them, on a description of the user's own: take.c.
 */
#ifndef ASHMEM_LIB_MEMFD_TAKE_H
#define ASHMEM_LIB_MEMFD_TAKE_H

#include <stdint.h>

struct memfd_area;

/* Pages to take; pages are numbered from 0, the last one is included. */
struct memfd_taking {
	uint32_t first, last;
	uint32_t priority; /* of the range that they become: ASHMEM_PRIORITY_ */
	int lock_fd;       /* takes the lock on them, from memfd_open_locks() */
	/*
	 * Called when nobody but `lock_fd` holds the pages, under the area's lock: makes what they
	 * contain invalid. A negative result ends the taking. memfd_keep() calls it too.
	 */
	int (*invalidate)(void *context);
	void *context;
};

/*
 * Take pages: they are held by `lock_fd`, and one unpinned range without purge mark. 0; -EBUSY if
 * somebody holds some; or a negative errno. Nothing has changed then.
 */
int memfd_take(struct memfd_area *area, const struct memfd_taking *taking);

/*
 * Pages become one range as if they had been unpinned now, and keep their contents. None of them is
 * lost, as the caller knows or `invalidate` finds. `lock_fd` is not used.
 */
int memfd_keep(struct memfd_area *area, const struct memfd_taking *pages);

/* A description for locks, close-on-exec. -ENOTSUP without /proc. */
int memfd_open_locks(struct memfd_area *area);

/*
 * Purges look for locks from here on, and set the bits of lost pages before they free pages,
 * however short memory is. The area is established.
 */
int memfd_begin_locks(struct memfd_area *area);

/*
 * Hold pages by a lock of `lock_fd`, and wait until no purge or taking is under way that has not
 * seen it: what is then found there stays. Waits are bounded: -ETIMEDOUT.
 */
int memfd_hold_by(struct memfd_area *area, int lock_fd, uint32_t first, uint32_t last);
/* Whether anybody holds some of the pages, at this moment; without a lock. */
int memfd_is_held(struct memfd_area *area, uint32_t first, uint32_t last);
/* The lock alone, where another one of ours holds the pages already. */
int memfd_lock_by(struct memfd_area *area, int lock_fd, uint32_t first, uint32_t last);
void memfd_let_go(struct memfd_area *area, int lock_fd, uint32_t first, uint32_t last);

#endif /* ASHMEM_LIB_MEMFD_TAKE_H */
