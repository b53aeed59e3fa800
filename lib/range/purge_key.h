/* SPDX-License-Identifier: MIT */
/*
 * The key of an unpinned range, which decides the order of purging: the smallest key is purged
 * first, in an area and over all areas.
 *
 *   63..61 priority   60 first-in-first-out   59..0 the stamp, or for last-in-first-out what is
 *          left of the largest
 *
 * So a lower priority is purged first, whatever its age. Within one priority all ranges of
 * last-in-first-out come first, newest first, then those of first-in-first-out, oldest first. The
 * range list and everything above it only compare keys.
 *
 * Stamps are nanoseconds of CLOCK_MONOTONIC; 60 bits hold 36 years. Later stamps all count as the
 * last of them, so their order is lost, and nothing else. Every key is smaller than RANGE_NO_STAMP,
 * and leaves room for the ages that the tree makes of keys.
 */
#ifndef ASHMEM_LIB_RANGE_PURGE_KEY_H
#define ASHMEM_LIB_RANGE_PURGE_KEY_H

#include <stdint.h>

/* As <ashmem/area.h> numbers them, which the range engine does without (handle/backends.c). */
enum { PURGE_KEY_NORMAL = 4, PURGE_KEY_FIFO = 16, PURGE_KEY_LIFO = 17 };

#define PURGE_KEY_CLASS_SHIFT 60
#define PURGE_KEY_STAMP_MAX ((UINT64_C(1) << PURGE_KEY_CLASS_SHIFT) - 4)

static inline uint64_t purge_key_of(uint32_t priority, uint32_t order, uint64_t stamp)
{
	uint64_t fifo = order == PURGE_KEY_FIFO,
		 place = stamp < PURGE_KEY_STAMP_MAX ? stamp : PURGE_KEY_STAMP_MAX;

	return ((uint64_t)priority * 2 + fifo) << PURGE_KEY_CLASS_SHIFT |
		(fifo ? place : PURGE_KEY_STAMP_MAX - place);
}

/* The key of a plain unpin. */
static inline uint64_t purge_key_of_stamp(uint64_t stamp)
{
	return purge_key_of(PURGE_KEY_NORMAL, PURGE_KEY_FIFO, stamp);
}

/* The key of a range unpinned with `key`, as if it were unpinned again at `stamp`. */
static inline uint64_t purge_key_renew(uint64_t key, uint64_t stamp)
{
	uint32_t class = (uint32_t)(key >> PURGE_KEY_CLASS_SHIFT);

	return purge_key_of(class >> 1, class & 1 ? PURGE_KEY_FIFO : PURGE_KEY_LIFO, stamp);
}

#endif /* ASHMEM_LIB_RANGE_PURGE_KEY_H */
