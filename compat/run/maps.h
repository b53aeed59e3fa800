/* SPDX-License-Identifier: MIT */
/*
 * The mappings of areas in this process: what mprotect(2) may make of each, as the driver fixes it
 * when the mapping is made, and how far mremap(2) may stretch it. The kernel below knows neither of
 * a memfd.
 *
 * Other calls can unmap unseen; the next mapping at the place forgets what was there.
 *
 * Locks: one mutex of its own, held across system calls but across no call of the library.
 */
#ifndef ASHMEM_COMPAT_RUN_MAPS_H
#define ASHMEM_COMPAT_RUN_MAPS_H

#include <stddef.h>
#include <stdint.h>

#include "libc.h"

/* Room for one more mapping: 0 or -ENOMEM. Comes before the mapping is made. */
RUN_HIDDEN int maps_reserve(void);
/*
 * Note a mapping. `prot_most` is what it can ever be; `limit` are the bytes from its start to the
 * end of the area.
 */
RUN_HIDDEN void maps_add(void *addr, size_t length, int prot_most, size_t limit);
/* Something else is there now, or nothing. */
RUN_HIDDEN void maps_forget(void *addr, size_t length);

/* mprotect(2), -1 and EACCES for what a mapping of an area cannot be. */
RUN_HIDDEN int maps_protect(void *addr, size_t length, int prot,
	int (*really)(void *, size_t, int));

/*
 * For mremap(2): 1 and what was noted of the mapping of which these are the bytes; 0: it is none of
 * an area.
 */
RUN_HIDDEN int maps_find(const void *addr, int *prot_most, size_t *limit);

RUN_HIDDEN void maps_start(void);

#endif /* ASHMEM_COMPAT_RUN_MAPS_H */
