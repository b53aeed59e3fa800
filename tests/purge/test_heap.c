/* SPDX-License-Identifier: MIT */
/* The heap of areas against an array: whatever goes in and out, the smallest key is on top. */
#include "support/contract.h"
#include "support/random.h"

#include "purge/heap.h"

enum { NODES = 200, STEPS = 20000 };

static void expect_smallest(const struct area_node *heap, const struct ashmem_area *areas)
{
	const struct area_node *smallest = NULL;

	for (int i = 0; i < NODES; i++) {
		const struct area_node *node = &areas[i].node[0];
		if (node->area && (!smallest || node->key < smallest->key))
			smallest = node;
	}
	expect((heap != NULL) == (smallest != NULL));
	if (heap)
		expect_eq(heap->key, smallest->key);
}

CONTRACT_TEST(heap, smallest_key_is_on_top)
{
	static struct ashmem_area areas[NODES];
	struct random_source random = random_from(test_seed("random keys"));
	struct area_node *heap = NULL;

	for (int step = 0; step < STEPS; step++) {
		struct ashmem_area *area = &areas[random_below(&random, NODES)];
		/* In turns it is filled and emptied. */
		if (random_below(&random, 10) < (step / 1000 % 2 ? 3 : 7))
			heap_put(&heap, &area->node[0], area, random_below(&random, 1000));
		else if (heap && random_below(&random, 2))
			heap_take(&heap, heap);
		else
			heap_take(&heap, &area->node[0]);
		expect_smallest(heap, areas);
	}
	while (heap) {
		heap_take(&heap, heap);
		expect_smallest(heap, areas);
	}
}

CONTRACT_TEST(heap, smaller_of_two_keys_counts)
{
	struct ashmem_area a = {.backend = NULL}, b = {.backend = NULL};
	struct area_node *heap = NULL;

	heap_put(&heap, &a.node[0], &a, 5);
	heap_put(&heap, &b.node[0], &b, 7);
	heap_put(&heap, &a.node[0], &a, 9);
	expect(heap->area == &a && heap->key == 5);
	heap_put(&heap, &b.node[0], &b, 3);
	expect(heap->area == &b && heap->key == 3);
	heap_take(&heap, &b.node[0]);
	heap_take(&heap, &b.node[0]);
	expect(heap->area == &a);
	heap_take(&heap, &a.node[0]);
	expect(!heap);
}
