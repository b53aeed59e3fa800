/* SPDX-License-Identifier: MIT */
/* What the tests of the control block share: areas without a backend around them. */
#ifndef TESTS_SUPPORT_CONTROLS_H
#define TESTS_SUPPORT_CONTROLS_H

#include <stdint.h>

#include "memfd/control.h"

/* A memfd with a control block, attached; its data mapped. */
struct block {
	int fd;
	struct control_map map;
	unsigned char *data;
	uint32_t pages;
};

/* A new one, sealed as areas are; or with other seals. */
struct block block_make(uint32_t pages);
struct block block_make_sealed(uint32_t pages, int seals);
void block_drop(struct block *block);

/* Attach to a descriptor as somebody new does; the answer of control_attach(). */
int attach(struct control_map *map, int fd);

/* The answer of an attempt to attach, which is given up at once. */
int attach_answer(int fd);

/* Fill pages with a byte each of which says which page it is; whether a page is so, or all zeroes.
 */
void fill_data(const struct block *block, uint32_t first, uint32_t last);
int page_is_filled(const struct block *block, uint32_t page);
int page_is_zero(const struct block *block, uint32_t page);

/* How many of these pages are filled, and that the others are zeroes. */
uint32_t filled_pages(const struct block *block, uint32_t first, uint32_t last);

/* The calls as a backend makes them: under the lock, which they expect to get. */
int block_pin(struct control_map *map, uint32_t first, uint32_t last);
int block_unpin(struct control_map *map, uint32_t first, uint32_t last);
int block_purge(struct control_map *map, struct purge_progress *progress, uint64_t newest,
	uint64_t nr_pages, uint64_t *freed);

/* Unpin with a stamp of the test's choice. */
void block_unpin_at(struct control_map *map, uint32_t first, uint32_t last, uint64_t stamp);

/* Leave the lock as a dead owner would. */
void block_abandon(struct control_map *map);

#endif
