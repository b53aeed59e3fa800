/* SPDX-License-Identifier: MIT */
/* Huge pages for the nodes of a large range list: huge_pages.c. */
#ifndef ASHMEM_LIB_MEMFD_HUGE_PAGES_H
#define ASHMEM_LIB_MEMFD_HUGE_PAGES_H

#include <stdint.h>

struct control_map;

/* A node of the list came into use. The lock is not held. */
void huge_pages_join(struct control_map *map, uint32_t node);

#endif /* ASHMEM_LIB_MEMFD_HUGE_PAGES_H */
