/* SPDX-License-Identifier: MIT */
/*
 * The heap; see heap.h.
 *
 * `back` of a first child is its parent, of another child its left sibling, of the top NULL. The
 * top has no sibling.
 */
#include <stddef.h>

#include "purge/heap.h"

static struct area_node *meld(struct area_node *a, struct area_node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->key < a->key) {
		struct area_node *younger = a;
		a = b;
		b = younger;
	}
	b->back = a;
	b->sibling = a->child;
	if (a->child)
		a->child->back = b;
	a->child = b;
	return a;
}

/* Make a node that is not the top one, with what is below it. */
static void cut(struct area_node *node)
{
	if (node->back->child == node)
		node->back->child = node->sibling;
	else
		node->back->sibling = node->sibling;
	if (node->sibling)
		node->sibling->back = node->back;
	node->back = node->sibling = NULL;
}

/* Make the first of a list of siblings a top: what came after it. */
static struct area_node *split(struct area_node *first)
{
	struct area_node *rest = first->sibling;

	first->back = first->sibling = NULL;
	return rest;
}

/* A heap of a list of siblings: melded in pairs, then the pairs. */
static struct area_node *meld_all(struct area_node *list)
{
	struct area_node *pairs = NULL, *heap = NULL;

	while (list) {
		struct area_node *first = list;
		list = split(first);
		if (list) {
			struct area_node *second = list;
			list = split(second);
			first = meld(first, second);
		}
		first->sibling = pairs;
		pairs = first;
	}
	while (pairs) {
		struct area_node *first = pairs;
		pairs = split(first);
		heap = meld(heap, first);
	}
	return heap;
}

void heap_put(struct area_node **heap, struct area_node *node, struct ashmem_area *area,
	uint64_t key)
{
	if (!node->area) {
		*node = (struct area_node){.area = area, .key = key};
	} else if (key < node->key) {
		node->key = key;
		if (node == *heap)
			return;
		cut(node);
	} else {
		return;
	}
	*heap = meld(*heap, node);
}

void heap_take(struct area_node **heap, struct area_node *node)
{
	if (!node->area)
		return;
	struct area_node *rest = meld_all(node->child);
	if (node == *heap) {
		*heap = rest;
	} else {
		cut(node);
		*heap = meld(*heap, rest);
	}
	*node = (struct area_node){.area = NULL};
}
