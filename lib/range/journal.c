/* SPDX-License-Identifier: MIT */
/*
 * Transactions of the tree below the range list, and its nodes: handed out, dropped, free. See
 * "Crash safety" in tree.h.
 *
 * A node is copied into the journal before its first change. The first touch begins the
 * transaction; the commit is the store that empties the journal. Nodes that drop out go to the free
 * list after the commit only, so that a rollback finds them as they were. The caller holds the
 * area's lock.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/shared.h"
#include "range/tree.h"

/* Leaves and inner nodes alike. */
static size_t node_bytes(uint32_t count)
{
	return offsetof(struct range_node, entry) + count * sizeof(struct range_entry);
}

/* -- transactions -- */

void *tree_journal_slot(const struct range_list *list, uint32_t slot)
{
	return list->journal_top - (size_t)RANGE_NODE_BYTES * (slot + 1);
}

/* Copy a node's image into the journal, before its first change in a transaction. */
int tree_touch(struct range_list *list, uint32_t index, uint32_t count)
{
	struct range_root *root = list->root;
	const struct range_node *node = tree_node(list, index);
	uint32_t slot = SHARED_LOAD(root->journal_count);

	if (slot >= RANGE_JOURNAL_SLOTS || !node)
		return -EUCLEAN;
	if (slot == 0) {
		SHARED_STORE(root->version, SHARED_LOAD(root->version) + 1);
		root->journal_root = root->root;
		root->journal_height = root->height;
		list->freed_count = 0;
	}
	memcpy(tree_journal_slot(list, slot), node, node_bytes(count));
	root->journal_node[slot] = index;
	CRASH_BARRIER();
	SHARED_STORE(root->journal_count, slot + 1);
	CRASH_BARRIER();
	return 0;
}

int tree_rollback(struct range_list *list)
{
	struct range_root *root = list->root;
	uint32_t slots = SHARED_LOAD(root->journal_count);

	SHARED_STORE(root->version, SHARED_LOAD(root->version) + 1);
	if (slots == 0)
		return 0;
	if (slots > RANGE_JOURNAL_SLOTS)
		return -EUCLEAN;
	/* Last image first, so that a node touched twice ends as it was at the first touch. */
	for (uint32_t slot = slots; slot-- > 0;) {
		struct range_node *image = tree_journal_slot(list, slot);
		struct range_node *node = tree_node(list, SHARED_LOAD(root->journal_node[slot]));
		uint32_t count = SHARED_LOAD(image->count), level = SHARED_LOAD(image->level);

		if (!node || level >= RANGE_MAX_HEIGHT || count > (level ? INNER_MAX : LEAF_MAX))
			return -EUCLEAN;
		memcpy(node, image, node_bytes(count));
	}
	SHARED_STORE(root->root, root->journal_root);
	SHARED_STORE(root->height, root->journal_height);
	CRASH_BARRIER();
	SHARED_STORE(root->journal_count, 0);
	return 0;
}

static void node_free(struct range_list *list, uint32_t index)
{
	struct range_node *node = tree_node(list, index);

	if (!node)
		return;
	SHARED_STORE(node->next_free, SHARED_LOAD(list->root->free_head) + 1);
	SHARED_STORE(list->root->free_head, index + 1);
}

void tree_commit(struct range_list *list)
{
	CRASH_BARRIER();
	SHARED_STORE(list->root->journal_count, 0);
	CRASH_BARRIER();
	while (list->freed_count > 0)
		node_free(list, list->freed[--list->freed_count]);
}

/* A node to fill. Its old content needs no journal: nothing points to it. */
int tree_node_alloc(struct range_list *list, uint32_t level, uint32_t *index,
	struct range_node **allocated)
{
	struct range_root *root = list->root;
	uint32_t head = SHARED_LOAD(root->free_head);
	struct range_node *node;

	if (head) {
		*index = head - 1;
		node = tree_node(list, *index);
		if (!node)
			return -EUCLEAN;
		uint32_t next = SHARED_LOAD(node->next_free);
		if (next == 0) /* damaged: a node of the tree in the free list */
			return -EUCLEAN;
		SHARED_STORE(root->free_head, next - 1);
		SHARED_STORE(node->next_free, 0);
	} else {
		uint32_t used = SHARED_LOAD(root->nodes_used);
		*index = used ? used : 1; /* node 0 is the first leaf, from the start */
		node = tree_node(list, *index);
		if (!node)
			return -EUCLEAN;
		SHARED_STORE(root->nodes_used, *index + 1);
		list->fresh = *index + 1;
	}
	SHARED_STORE(node->level, (uint16_t)level);
	SHARED_STORE(node->count, 0);
	*allocated = node;
	return 0;
}

void tree_node_drop(struct range_list *list, uint32_t index)
{
	if (list->freed_count < RANGE_JOURNAL_SLOTS)
		list->freed[list->freed_count++] = index;
}
