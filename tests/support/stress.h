/* SPDX-License-Identifier: MIT */
/*
 * What the stress programs share. They are plain programs, so nothing here knows of a test
 * framework: what goes wrong is printed and ends the process with status 1.
 *
 * A worker owns a stripe of pages in every area, and nobody else pins, unpins or writes these. So
 * it knows what they must hold: its pinned pages keep their data, whoever purges; a pin that says
 * NOT_PURGED finds the data of all its pages; after WAS_PURGED each page is whole or zero. What it
 * knows of a page stands in a record that outlives it, so that a successor can go on.
 */
#ifndef TESTS_SUPPORT_STRESS_H
#define TESTS_SUPPORT_STRESS_H

#include <ashmem/ashmem.h>

#include "support/random.h"

#include <stddef.h>
#include <stdint.h>

enum { STRESS_AREAS = 4, STRESS_STRIPE = 12, STRESS_COMMON = 8 };

/* In doubt while a call or a write is under way, and so for the successor of somebody who died in
 * it. */
enum stress_page_state { STRESS_IN_DOUBT, STRESS_PINNED, STRESS_UNPINNED };

struct stress_page {
	uint32_t state;
	uint32_t value; /* of its words; never 0 but at first */
};

struct stress_worker {
	int number;
	struct random_source random;
	struct ashmem_area *area[STRESS_AREAS];
	unsigned char *base[STRESS_AREAS];
	uint32_t stripes; /* of all workers */
	struct stress_page (*pages)[STRESS_STRIPE];
	uint64_t steps, purged, kept;
};

/* Print what went wrong and end the process. */
__attribute__((noreturn, format(printf, 1, 2))) void stress_fail(const char *format, ...);

#define stress_expect(condition) \
	((condition) ? (void)0 : stress_fail("%s:%d: %s", __FILE__, __LINE__, #condition))

/* ASHMEM_STRESS_SECONDS, or 5. */
double stress_seconds(void);

uint64_t stress_random(struct stress_worker *worker, uint64_t below);

/* Pages of an area for so many workers, and the common ones behind the stripes. */
uint64_t stress_area_pages(uint32_t stripes);

/* Make the areas, of that many pages, and map them. */
void stress_make_areas(struct stress_worker *worker, uint32_t stripes);

/* Map areas that were imported. */
void stress_map_areas(struct stress_worker *worker);

/* Take over a stripe: check what is known of its pages, and pin and fill the rest. */
void stress_take_over(struct stress_worker *worker);

/* One random step on the stripe, on common pages, or on everything there is to purge. */
void stress_step(struct stress_worker *worker);

/* Attach to each area anew, which checks all of it; everything can be pinned then. */
void stress_check_areas(struct stress_worker *worker);

#endif
