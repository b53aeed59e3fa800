/* SPDX-License-Identifier: MIT */
/*
 * Looking at the free bytes from within ashmem_unpin(): whoever fills memory faster than a thread
 * or an event loop gets to run does the purging itself, before the kernel has to kill.
 *
 * One watch of a process has the guard, the first that is open and allows it. Nothing is looked at
 * before so many bytes were unpinned by a thread since its last look that the limit could have come
 * nearer by a part of what was free.
 */
#ifndef ASHMEM_LIB_PRESSURE_RELIEF_H
#define ASHMEM_LIB_PRESSURE_RELIEF_H

#include <stddef.h>
#include <stdint.h>

#include "pressure/source.h"

/* What the guard did for its watch. */
struct guard_counts {
	uint64_t purges, call_purges, wanted_pages, purged_pages, purge_ns;
};

/*
 * Have the guard watch free bytes for `owner`, by a source that tells them. Does nothing if another
 * has it, or if it cannot be.
 */
void guard_begin(const void *owner, const struct pressure_source *source,
	const struct pressure_settings *settings);
void guard_end(const void *owner);

/*
 * Purge what is needed by a look of now, for a watch that found free bytes short. Several at once
 * would each purge all that is needed; here the second finds that it is done. Pages, or -ENOENT if
 * `owner` does not have the guard.
 */
int64_t guard_relieve(const void *owner);

/*
 * What the guard or the watch of `owner` knows of a burst the other learns as well: else one would
 * call for relief that the other sees no need of. The guard's count of bursts goes over to the
 * watch.
 */
void guard_share_wariness(const void *owner, struct pressure_policy *policy);

/* What was done for `owner`; zeroes if it does not have the guard. */
void guard_get_counts(const void *owner, struct guard_counts *counts);

#endif /* ASHMEM_LIB_PRESSURE_RELIEF_H */
