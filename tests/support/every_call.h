/* SPDX-License-Identifier: MIT */
/*
 * Every function of the library by name, each in a short piece of work that leaves behind what it
 * found, so that it can be done again: for tests of what holds for all of them.
 *
 * `make check-exports` fails where a function has no piece (a CALL in every_call.c).
 */
#ifndef TESTS_SUPPORT_EVERY_CALL_H
#define TESTS_SUPPORT_EVERY_CALL_H

#include <stdint.h>

#include <ashmem/ashmem.h>

#include "support/areas.h"

enum { EVERY_PAGES = 64 };

/* What the pieces of work use. */
struct every_world {
	struct view view;            /* some pages unpinned */
	struct ashmem_area *reader;  /* the same area through a descriptor that only reads */
	int read_only_fd;            /* that descriptor */
	int sockets[2];              /* one pair, datagrams */
	struct ashmem_budget *group; /* has no area */
	struct ashmem_cache *cache;  /* has "a"; NULL: this system permits none */
	struct ashmem_pressure *watch;
	struct ashmem_shrinker *shrinker;
	int subscription;
};

struct every_call {
	const char *name; /* of the function */
	void (*run)(struct every_world *world);
};

/* All of them; `*count` is how many. */
const struct every_call *every_call(uint32_t *count);

/*
 * Make the world. The subscriber and the shrinker call `in_callback`. Expects success; a watch that
 * this system does not permit is NULL.
 */
void every_world_make(struct every_world *world, void (*in_callback)(void));

#endif
