/* SPDX-License-Identifier: MIT */
/*
 * Notices of what was purged: noted while locks are held, told when they are not.
 *
 * A purge keeps a struct notices on its stack, since memory is short, and what is below it adds to
 * that without knowing it: it is the thread's. If nobody wants notices nothing is noted. Each
 * notice has a reference to its area.
 */
#ifndef ASHMEM_LIB_PURGE_NOTICES_H
#define ASHMEM_LIB_PURGE_NOTICES_H

#include <stdint.h>

#include <ashmem/notice.h>

#define NOTICES_MAX 192
/* More than one purge of one area adds as a rule; if there is more, notices are widened. */
#define NOTICES_RESERVE 96

struct notices {
	struct notices *outer; /* of this thread: a subscriber may purge */
	struct ashmem_area *area;
	int wanted;
	uint32_t count;
	uint32_t first_of_area; /* those from here on are of the purge under way */
	struct {
		struct ashmem_area *area;
		uint64_t offset, length;
	} notice[NOTICES_MAX];
};

/* A purge begins on this thread. */
void notices_begin(struct notices *notices);
/* Whether there may be no room for what the next purge of an area adds: then tell, and go on. */
int notices_full(const struct notices *notices);
/*
 * Around the purge of one area, of which the caller has a reference; `freed` are the pages that it
 * said.
 */
void notices_area_begin(struct ashmem_area *area);
void notices_area_end(int64_t freed);
/* From below, also with a control lock held: these bytes are gone. */
void notices_add(uint64_t offset, uint64_t length);
/* The purge is over, and no lock is held: tell the subscribers. */
void notices_end(struct notices *notices);

void notices_before_fork(void);
void notices_after_fork(void);
void notices_after_fork_in_child(void); /* before the one above */

#endif /* ASHMEM_LIB_PURGE_NOTICES_H */
