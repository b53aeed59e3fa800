/* SPDX-License-Identifier: MIT */
/*
 * Pins of areas whose state is mapped read-only (memfd_is_reader), and holds of any area: locks on
 * the file, readers.c. Pages are numbered from 0, the last one is included.
 */
#ifndef ASHMEM_LIB_MEMFD_READERS_H
#define ASHMEM_LIB_MEMFD_READERS_H

#include <stdint.h>

struct ashmem_extent;
struct control_map;
struct memfd_area;

/* What a pin reports of lost pages. */
struct memfd_report {
	struct ashmem_extent *extent;
	uint32_t capacity, count;
};

/* `report` may be NULL. */
int memfd_reader_pin(struct memfd_area *area, uint32_t first, uint32_t last,
	struct memfd_report *report);
int memfd_reader_unpin(struct memfd_area *area, uint32_t first, uint32_t last);
int memfd_reader_status(struct memfd_area *area, uint32_t first, uint32_t last);

/* Report the lost pages of first..last, anew. */
void memfd_report_lost(const struct control_map *control, uint32_t first, uint32_t last,
	struct memfd_report *report);

/* Operations of the backend. */
int memfd_hold(void *state, uint64_t offset, uint64_t length);
int memfd_release(void *state, uint64_t offset, uint64_t length, uint32_t flags);

#endif /* ASHMEM_LIB_MEMFD_READERS_H */
