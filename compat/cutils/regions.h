/* SPDX-License-Identifier: MIT */
/*
 * Regions: areas whose handle is a descriptor of the program (regions.c). Every function returns a
 * negative errno on failure.
 */
#ifndef ASHMEM_CUTILS_REGIONS_H
#define ASHMEM_CUTILS_REGIONS_H

#include <stddef.h>
#include <stdint.h>

#include <ashmem/ashmem.h>

struct region;

/* One call at work on a region. */
struct region_use {
	struct ashmem_area *area;
	struct region *region; /* NULL: `area` is this call's own */
};

/* A new region: its descriptor. `flags` as of ashmem_create(). */
int region_create(const char *name, uint64_t size_bytes, uint32_t flags);

/*
 * The region of a descriptor, which region_leave() ends. -ENOTTY if it is none, -EBADF. Imports it
 * if the process does not have it.
 */
int region_enter(int fd, struct region_use *use);
void region_leave(const struct region_use *use);

/* Remove bits of the mask, so that they bind the descriptor, or everybody if it can be sealed. */
int region_set_prot(int fd, int prot);

#endif /* ASHMEM_CUTILS_REGIONS_H */
