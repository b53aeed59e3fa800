/* SPDX-License-Identifier: MIT */
/*
 * Debug modes inside: what the area layer calls instead of the backend while one is on. debug.c has
 * the modes and the purging ones, trap.c the trap.
 */
#ifndef ASHMEM_LIB_AREA_DEBUG_H
#define ASHMEM_LIB_AREA_DEBUG_H

#include <stdint.h>

#include <ashmem/debug.h>

#include "base/context.h"
#include "handle/handle.h"
#include "handle/switches.h"

#define DEBUG_PURGE_ON_UNPIN 1u
#define DEBUG_PURGE_RANDOM 2u
#define DEBUG_TRAP 4u
_Static_assert((DEBUG_PURGE_ON_UNPIN | DEBUG_PURGE_RANDOM | DEBUG_TRAP) == SWITCH_DEBUG,
	"they are switches");

/* Whether any of these modes is on. They are not changed while others use areas. */
static inline int debug_has(uint32_t modes)
{
	return switches_any(modes);
}

static inline int debug_any(void)
{
	return switches_any(SWITCH_DEBUG);
}

/* The first area comes: read the environment, once. 0, or -ENOMEM. */
int debug_start(void);

/* An unpin is done: purge, if a mode says so and a purge may begin here. No lock is held. */
void debug_purge(void);

/*
 * With DEBUG_TRAP, around what a call does to pages: `trap_begin` locks and pushes the frame, and
 * `trap_end` makes pages accessible or not as they are pinned now if `result` is not an error, and
 * returns it.
 */
void trap_begin(struct context *frame);
int trap_end(struct context *frame, struct ashmem_area *area, uint64_t offset, uint64_t length,
	int result);

/* Around a hold (`by` 1) and a release (-1): 0, or -ENOMEM before anything is done. */
int trap_prepare_hold(struct ashmem_area *area);
void trap_count_hold(struct ashmem_area *area, uint64_t offset, uint64_t length, int by);

/* A mapping was made, with no lock held: 0, or -ENOMEM and it must go. */
int trap_add_mapping(struct ashmem_area *area, void *addr, uint64_t length, uint64_t offset,
	int prot, int map_flags);
/* munmap(2), and forget what it took. */
int trap_unmap(void *addr, size_t length);
/* The area's handle is about to be freed. */
void trap_forget_area(struct ashmem_area *area);
/* The mode ends. */
void trap_stop(void);

#endif /* ASHMEM_LIB_AREA_DEBUG_H */
