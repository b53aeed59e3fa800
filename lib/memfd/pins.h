/* SPDX-License-Identifier: MIT */
/* Pin, unpin and pin status of a memfd area, as operations of the backend: pins.c. */
#ifndef ASHMEM_LIB_MEMFD_PINS_H
#define ASHMEM_LIB_MEMFD_PINS_H

#include <stdint.h>

struct ashmem_extent;

int memfd_pin(void *state, uint64_t offset, uint64_t length);
int memfd_pin_lost(void *state, uint64_t offset, uint64_t length, struct ashmem_extent *lost,
	uint32_t capacity, uint32_t *count);
int memfd_unpin(void *state, uint64_t offset, uint64_t length);
int memfd_unpin_with(void *state, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order);
int memfd_get_pin_status(void *state, uint64_t offset, uint64_t length);

#endif /* ASHMEM_LIB_MEMFD_PINS_H */
