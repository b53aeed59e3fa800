/* SPDX-License-Identifier: MIT */
/*
 * Making an area on a certain backend, for rooms above that need what only this one has. No lock is
 * held.
 */
#ifndef ASHMEM_LIB_AREA_AREA_H
#define ASHMEM_LIB_AREA_AREA_H

#include <stdint.h>

#include "handle/handle.h"

/* ashmem_create(), whatever backend is selected; `flags` are checked. */
int area_create(const struct ashmem_backend *backend, const char *name, uint64_t size_bytes,
	uint32_t flags, struct ashmem_area **area);

#endif /* ASHMEM_LIB_AREA_AREA_H */
