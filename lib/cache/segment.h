/* SPDX-License-Identifier: MIT */
/*
 * Segments: room for entries at the end of the one that this handle appends to, taking another one
 * when it is full, and holding those that are written or looked at: segment.c.
 *
 * Whoever writes into a segment is counted in `writers` from before the first byte until after the
 * last, and while that count is not 0, room_fd has a lock on the segment: it is neither purged nor
 * taken. A thread that is stalled in a put thus never writes into a segment that was taken anew.
 */
#ifndef ASHMEM_LIB_CACHE_SEGMENT_H
#define ASHMEM_LIB_CACHE_SEGMENT_H

#include "cache/choose.h"

/* Room for one entry, held until segment_done(). */
struct cache_room {
	uint32_t segment, segments, offset; /* more than one segment: a run of its own */
	uint32_t forks;                     /* of the handle, when it was its */
	uint64_t generation;                /* of the first, */
	uint64_t generations;               /* and of all together */
	uint32_t taken;                     /* so many segments became purgeable */
};

/* Which segments may be taken for it: */
enum cache_take {
	TAKE_FREE, /* one that has no entries, unless it is the last of these */
	TAKE_LAST, /* that one too */
	TAKE_ANY,  /* or one that has some */
};

/*
 * Room for so many bytes, which fit the cache: at the end of a segment, or if they do not fit one,
 * in a run of them. 0; -EBUSY if there is none but with more freedom to take; -EAGAIN if every
 * segment is held by somebody; or a negative errno. The mutex is not held.
 */
int segment_room(struct ashmem_cache *cache, uint64_t bytes, uint64_t epoch, enum cache_class class,
	enum cache_take how, struct cache_room *room);
/* What was to be written there is written, or never will be. */
void segment_done(struct ashmem_cache *cache, const struct cache_room *room);

/*
 * The entry of a run is needed: from now on it is as old as if it had been put now, and of class
 * main. The caller has a view of it. 1, or 0: that failed.
 */
int segment_keep(struct ashmem_cache *cache, const struct cache_run *run);
/* All entries of earlier epochs are gone: a purge takes them first. As far as that succeeds. */
void segment_cleared(struct ashmem_cache *cache, uint64_t epoch);

/* Hold segments for looking at them: their contents, once checked, stay. Counted. */
int segment_view(struct ashmem_cache *cache, uint32_t segment, uint32_t count);
void segment_leave(struct ashmem_cache *cache, uint32_t segment, uint32_t count);
/* A lock of another description, besides that of a view: nothing has to be waited for. */
void segment_hold_for(struct ashmem_cache *cache, int fd, uint32_t segment);

/* With the mutex: the handle ends. */
void segment_end(struct ashmem_cache *cache);

#endif /* ASHMEM_LIB_CACHE_SEGMENT_H */
