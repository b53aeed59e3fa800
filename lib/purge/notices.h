/* SPDX-License-Identifier: MIT */
/*
 * Notices of what was purged: noted while locks are held, told to subscribers when none is.
 *
 * A purge keeps a struct notices on its stack, since memory is short. What is below it adds to that
 * through the frame of the purge (base/context.h). If nobody has subscribed nothing is noted. Each
 * notice has a reference to its area.
 */
#ifndef ASHMEM_LIB_PURGE_NOTICES_H
#define ASHMEM_LIB_PURGE_NOTICES_H

#include <stdint.h>

#include <ashmem/notice.h>

#define NOTICES_MAX 192
/*
 * As many pieces as a backend may free in one purge of one area (backend.h). Ours frees at most
 * CONTROL_PURGE_SLOTS of them at once, and then one at a time while there is room.
 */
#define NOTICES_RESERVE 96

struct context;

struct notices {
	struct ashmem_area *area;
	int wanted;
	uint32_t count;
	uint32_t first_of_area; /* those from here on are of the purge under way */
	struct {
		struct ashmem_area *area;
		uint64_t offset, length;
	} notice[NOTICES_MAX];
};

/* A purge begins, whose frame takes what backends say they freed. */
void notices_begin(struct notices *notices, struct context *frame);
/* Whether there may be no room for what the next purge of an area adds: then tell, and go on. */
int notices_full(const struct notices *notices);
/* Around the purge of one area, to which the caller has a reference; it freed so many pages. */
void notices_begin_area(struct notices *notices, struct ashmem_area *area);
void notices_end_area(struct notices *notices, int64_t freed);
/* The purge is over, and no lock is held: call the subscribers. */
void notices_tell(struct notices *notices);

#endif /* ASHMEM_LIB_PURGE_NOTICES_H */
