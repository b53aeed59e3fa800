/* SPDX-License-Identifier: MIT */
/*
 * A pairing heap of areas, the smallest key on top. Its nodes lie in the areas, so that nothing is
 * allocated when memory is short.
 *
 * To put a node in, or to lower its key, takes a constant number of steps; to take one out O(log n)
 * of them on average. No lock: the caller guards heap and nodes.
 */
#ifndef ASHMEM_LIB_PURGE_HEAP_H
#define ASHMEM_LIB_PURGE_HEAP_H

#include "handle/handle.h"

/* Put an area's node in. If it is in already, the smaller of its keys counts. */
void heap_put(struct area_node **heap, struct area_node *node, struct ashmem_area *area,
	uint64_t key);
/* Take a node out, if it is in. */
void heap_take(struct area_node **heap, struct area_node *node);

#endif /* ASHMEM_LIB_PURGE_HEAP_H */
