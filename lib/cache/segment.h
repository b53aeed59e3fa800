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

#include "cache/cache.h"

/* Room for one entry, held until segment_done(). */
struct cache_room {
	uint32_t segment, offset;
	uint64_t generation;
	uint32_t forks; /* of the handle, when it was its */
	int taken;      /* 1: a segment was taken, so memory became purgeable */
};

/*
 * Room for so many bytes, which fit a segment. 0; -EAGAIN if every segment is held by somebody; or
 * a negative errno. The mutex is not held.
 */
int segment_room(struct ashmem_cache *cache, uint32_t bytes, uint64_t epoch,
	struct cache_room *room);
/* What was to be written there is written, or never will be. */
void segment_done(struct ashmem_cache *cache, const struct cache_room *room);

/* Hold a segment for looking at it: its contents, once checked, stay. Counted. */
int segment_view(struct ashmem_cache *cache, uint32_t segment);
void segment_leave(struct ashmem_cache *cache, uint32_t segment);
/* A lock of another description, besides that of a view: nothing has to be waited for. */
void segment_hold_for(struct ashmem_cache *cache, int fd, uint32_t segment);

/*
 * With the mutex, or no other thread: a child gives up what it inherited and is its parent's; a
 * handle gives up what it has at its end.
 */
void segment_forget(struct ashmem_cache *cache);
void segment_end(struct ashmem_cache *cache);

#endif /* ASHMEM_LIB_CACHE_SEGMENT_H */
