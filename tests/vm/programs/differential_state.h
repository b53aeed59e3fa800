/* SPDX-License-Identifier: MIT */
/*
 * What the judge knows of the two worlds while it walks through a trace: enough to say what the
 * contract answers, and to decide whether a difference is one of those that are allowed. World 0 is
 * the first one, usually the driver's; world 1 is the other.
 */
#ifndef DIFFERENTIAL_STATE_H
#define DIFFERENTIAL_STATE_H

#include "differential.h"

/* A page's contents as a number, in each world: the same number, the same bytes; 0 is zeroes. */
struct page_state {
	uint32_t contents[2];
	uint32_t changed; /* the operation that changed it last, + 1 */
};

struct area_state {
	int exists;
	uint64_t size_bytes;
	int materialised;
	int mask;
	int64_t position;
	/*
	 * World 1 has lost sight of it: nobody has a handle that can purge. Its purges no longer
	 * reach it, those of the driver do.
	 */
	int out_of_reach;
	int memory_unsure; /* the worlds may hold memory for different pages */
	struct page_state page[MODEL_PAGES];
};

struct mapping_state {
	int exists;
	int area;
	int is_private;
	int prot;
	int mask;      /* of the area when it was mapped */
	uint32_t made; /* the operation, + 1 */
	uint64_t offset, length;
	/* Of a private mapping: pages that are its own copies, the same in both worlds or not. */
	uint8_t own[MODEL_PAGES], own_differs[MODEL_PAGES];
};

struct actor_state {
	int alive;
	int reads_execute; /* READ_IMPLIES_EXEC */
	uint32_t refs[AREAS];
	int read_only[AREAS];
	struct mapping_state mapping[MAPPINGS];
};

struct state {
	const struct world *world[2];
	struct area_state area[AREAS];
	struct actor_state actor[ACTORS];
	struct model model[2];
	uint32_t at; /* the operation */
};

/* What the contract says to an operation, where the judge can tell. */
struct expected {
	int known;
	int64_t value[2];
	int data_known;
	uint64_t data[2];
};

/* differential_judge.c */
const struct mapping_state *mapping_of(const struct state *state, const struct op *op);
/* Pages of the area that an operation read, if it answered `value`: how many, the first in *first.
 */
uint64_t pages_read(const struct state *state, const struct op *op, int64_t value, uint64_t *first);

/* differential_follow.c */
uint64_t modelled_pages(const struct area_state *area);
/* The operation succeeded; `before` is the state before a purge. */
void state_follow(struct state *state, const struct op *op, const struct result *result,
	const struct state *before);
/* The same for TRANSFER, which can succeed in part. */
void state_follow_transfer(struct state *state, const struct op *op, const struct result *result);

/* differential_rules.c: which rule allows this difference, or -1. Asked before the state follows.
 */
int rule_for(const struct state *state, const struct op *op, const struct expected *expected,
	const struct result *first, const struct result *second);
const char *rule_name(int rule);
const char *rule_text(int rule);

#endif
