/* SPDX-License-Identifier: MIT */
/*
 * What the calling thread is in the middle of: a stack of frames, innermost on top.
 *
 * A purge calls functions of the program (subscribers, shrinkers, operations of a backend), and
 * those call the library again. Whatever has to know about that pushes a frame, which lies on the
 * stack of its function, and asks here. These are all rules of re-entrancy, with the query that
 * decides each:
 *
 *  1. While an operation of a backend runs that was called with a lock of the library held, no
 *     purge begins. A call that asks for one returns -EDEADLK; one that would purge on the side
 *     (budget, debug mode, guard) leaves it to the next call. Nor are shrinkers called then, nor
 *     is the end of calls on other threads waited for.     context_may_purge()
 *  2. While a budget is kept within, nothing begins to keep the same budget within: the purge
 *     under way goes on with what its subscribers unpin.   context_keeps_within()
 *  3. Within a purge of a debug mode, an unpin purges nothing by a debug mode.
 *                                                          context_is_within(CONTEXT_DEBUG)
 *  4. Within relief of memory pressure, what is unpinned calls for no relief.
 *                                                          context_is_within(CONTEXT_RELIEF)
 *  5. While a function of a shrinker runs, a shrink asks the areas alone, and the end of that
 *     shrinker does not wait for the call.                 context_shrinker()
 *  6. While a subscriber runs, the end of a subscription does not wait for calls under way.
 *                                                          context_subscribers()
 *  7. The outermost bound on waiting for locks holds for everything within it. A purge bounds the
 *     wait for each lock besides.           context_patience(), context_longest_wait()
 *  8. What a backend says it freed belongs to the purge that called it.
 *                                     context_note_purged(), context_room_for_notes()
 *     Also what kind of purge it is.  context_is_within(CONTEXT_MARK_ALL, CONTEXT_LAST_LOOK)
 *  9. Within the trap's lock, the trap does not take it again.
 *                                                          context_is_within(CONTEXT_TRAP)
 * 10. A child of fork has the frames of the thread that forked, and no others: what other threads
 *     had under way is counted anew from them.             context_subscribers(), context_top
 *
 * Includes nothing above base: what frames point at is opaque here. Takes no lock; a frame belongs
 * to its thread. Frames come and go in the order of a stack.
 */
#ifndef ASHMEM_LIB_BASE_CONTEXT_H
#define ASHMEM_LIB_BASE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/shared.h"

/* With a lock of the library held, operations of a backend are called: */
#define CONTEXT_PURGE 1u /* one purge at a time; without a lock, the purge of a descriptor */
#define CONTEXT_TRAP 2u  /* the trap debug mode's */
#define CONTEXT_VISIT 4u /* the areas' table */
#define CONTEXT_LOCKED (CONTEXT_PURGE | CONTEXT_TRAP | CONTEXT_VISIT)
/* No lock is held: */
#define CONTEXT_DEBUG 8u   /* a debug mode purges */
#define CONTEXT_RELIEF 16u /* memory pressure is relieved */
/* What kind of purge it is, beside CONTEXT_PURGE: */
#define CONTEXT_MARK_ALL 32u  /* ranges without memory are marked and counted too */
#define CONTEXT_LAST_LOOK 64u /* all else is gone: ranges without live pages are looked at again */

/* Of a frame only that is set which applies. */
struct context {
	struct context *outer;
	uint32_t flags;
	uint64_t *patience_ns; /* what is left to wait for locks, of all that is within */
	uint64_t wait_ns;      /* with CONTEXT_PURGE: the longest wait for one lock */
	/* takes what a backend says it freed; NULL if nobody wants to know */
	void (*note)(void *notes, uint64_t offset, uint64_t length);
	/* how many more it can take that are no neighbours */
	uint32_t (*room)(const void *notes);
	void *notes;
	const void *budget;     /* kept within */
	const void *shrinker;   /* a function of it runs */
	const void *subscriber; /* its function runs */
	const void *walk;       /* over shrinkers, with a reference to each */
};

extern THREAD_LOCAL struct context *context_top; /* NULL: nothing is under way */

static inline void context_push(struct context *frame)
{
	frame->outer = context_top;
	context_top = frame;
}

/* The frame that was pushed last. */
static inline void context_pop(struct context *frame)
{
	context_top = frame->outer;
}

int context_find(uint32_t flags);

/* Whether any frame has any of these flags. */
static inline int context_is_within(uint32_t flags)
{
	return __builtin_expect(context_top != NULL, 0) && context_find(flags);
}

static inline int context_may_purge(void)
{
	return !context_is_within(CONTEXT_LOCKED);
}

int context_keeps_within(const void *budget);

/* The shrinker of the innermost frame that has one, or NULL. */
const void *context_shrinker(void);

/* Calls of this subscriber that are under way on this thread; NULL: of all. */
uint32_t context_subscribers(const void *subscriber);

/* What is left of the outermost bound, or NULL if there is none. */
uint64_t *context_patience(void);

/* The longest wait for one lock within the purge under way; UINT64_MAX: no purge is. */
uint64_t context_longest_wait(void);

/* From a backend, also with its locks held: these bytes of the area being purged are gone. */
void context_note_purged(uint64_t offset, uint64_t length);
/* How many separate pieces can be noted yet; UINT32_MAX if nobody wants to know. */
uint32_t context_room_for_notes(void);

#endif /* ASHMEM_LIB_BASE_CONTEXT_H */
