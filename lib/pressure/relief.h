/* SPDX-License-Identifier: MIT */
/*
 * Relief: the part of a pressure handle that looks at free bytes, decides by the policy, purges and
 * counts. Each handle has one. ashmem_pressure_dispatch() uses it, and so does ashmem_unpin(): a
 * program can fill memory faster than a thread or an event loop gets to run, so the thread that
 * fills purges by itself, before the kernel has to kill.
 *
 * One relief in a process has this *duty* in ashmem_unpin(): the first whose handle is open and
 * allows it. Nothing is looked at until a thread has unpinned so many bytes since its last look
 * that the limit could have come nearer by a part of what was free.
 *
 * Locks. One lock guards every relief of the process and the duty. It is held for a look, which
 * reads some files of the kernel, and never while purging, since that calls shrinkers. Nothing else
 * is locked with it. Callers hold no lock of the library.
 *
 * Life. A relief is counted: its handle has one reference, a thread that purges with it another. So
 * closing a handle does not wait for a purge in another thread's ashmem_unpin(), which may need a
 * lock that the closing thread has, or be the closing thread. The purge ends, finds no source to
 * look through, and frees the relief.
 *
 * Fork. The lock is taken around fork. The relief with the duty remembers its process: to a child
 * it is as if nobody had the duty, until a handle of the child's own takes it.
 *
 * The order in this room, an arrow is a call: watch -> thread -> dispatch -> choose -> relief ->
 * source_headroom -> source_cgroup -> source -> policy. No file calls one before it.
 */
#ifndef ASHMEM_LIB_PRESSURE_RELIEF_H
#define ASHMEM_LIB_PRESSURE_RELIEF_H

#include <stdint.h>
#include <sys/types.h>

#include <ashmem/pressure.h>

#include "pressure/source.h"

/* Named as in struct ashmem_pressure_status. */
struct relief_counts {
	uint64_t purges, wanted_pages, purged_pages, purge_ns, headroom_purges, unpin_purges;
};

struct relief {
	/* Never change. */
	pid_t owner;
	int in_unpin; /* it may have the duty */
	struct pressure_settings settings;

	/* The lock guards the rest. */
	unsigned references;
	struct open_source *source; /* the handle's that reports free bytes; NULL: none */
	struct pressure_policy policy;
	struct relief_counts counts;
	int is_purging; /* because of free bytes */
	/* Purged beyond its part, since ranges go whole: the next part is less by it. */
	uint64_t ahead_pages;
};

/* NULL if there is no memory. */
struct relief *relief_new(const struct pressure_settings *settings, int in_unpin);

/* The handle is closed. */
void relief_drop(struct relief *relief);

/*
 * Look at free bytes through this source from now on. NULL: there is none; the duty ends, and the
 * source may be closed afterwards.
 */
void relief_set_source(struct relief *relief, struct open_source *source);

/* Look in ashmem_unpin(), if this relief may, can, and no other one of this process does. */
void relief_take_duty(struct relief *relief);

/*
 * Add the free bytes to an observation, and decide what to do about it. -ENODEV if the source is
 * gone.
 */
int relief_decide(struct relief *relief, struct pressure_observation *o,
	struct pressure_decision *decision);

/*
 * Purge as was decided, and count it; returns the pages that were freed. Where free bytes are short
 * it looks once more: several threads at once would each purge all that is needed, and so the
 * second finds that it is done.
 */
uint64_t relief_purge(struct relief *relief, const struct pressure_decision *decision);

/*
 * Purge until `bytes` can be taken and the reserve stays free; the pages freed, -ENOMEM if there is
 * not enough to purge, -ENODATA if free bytes are not known.
 */
int64_t relief_make_room(struct relief *relief, uint64_t bytes);

/* Set what relief counts in a handle's status. */
void relief_get_counts(struct relief *relief, struct ashmem_pressure_status *status);

#endif /* ASHMEM_LIB_PRESSURE_RELIEF_H */
