/* SPDX-License-Identifier: MIT */
/*
 * The areas of this process: a handle each, which is a backend and its state, and the table of them
 * all (table.c).
 *
 * A handle has a count of references. The room above says at its birth what has to be forgotten
 * with the last of them, so that any room below it can give one back.
 */
#ifndef ASHMEM_LIB_HANDLE_HANDLE_H
#define ASHMEM_LIB_HANDLE_HANDLE_H

#include <stdint.h>

#include <ashmem/area.h>
#include <ashmem/backend.h>

struct ashmem_budget;
struct ashmem_area;

/* A place in a heap of areas: purge/heap.h. All zeroes: it is in none. */
struct area_node {
	struct ashmem_area *area; /* NULL: in no heap */
	uint64_t key;
	struct area_node *child, *sibling, *back;
};

struct ashmem_area {
	const struct ashmem_backend *backend;
	void *state;
	/* atomic; the area is materialised, so its size is final, and these three are valid: */
	uint32_t fixed;
	uint32_t page_mask; /* of the offset within a page */
	uint64_t size_bytes;
	uint64_t end_bytes; /* the size rounded up to pages */
	uint32_t refs;      /* guarded by the table's mutex, as are the links */
	struct ashmem_area *prev, *next;
	struct ashmem_area *bucket_next;
	void (*forget)(struct ashmem_area *area); /* called before the backend closes it */

	/* The purge's under way (purge/areas.c), guarded by its mutex. */
	uint64_t purge_key; /* of its oldest range, when it was taken last */
	/* pages it may still give: twice what could be freed when it was touched */
	uint64_t purge_pages;
	uint32_t purge_idle;  /* how often it gave nothing */
	uint32_t purge_looks; /* how often its key in the heap was too small */
	int purge_waited;     /* it was found locked, and its second turn came or comes */
	struct ashmem_area *touched_next, *locked_next;

	/* Guarded by the queues' mutex (purge/queue.c): areas that a queue tells as a whole. */
	uint32_t whole_bits; /* one for each such queue */
	struct ashmem_area *whole_prev, *whole_next;

	/*
	 * Guarded by the budgets' mutex. Pages, as counted last for budgets, and those of a call
	 * that is about to materialise it.
	 */
	struct ashmem_budget *budget; /* its group, or NULL; atomic */
	uint64_t counted_unpinned, counted_all, counted_ahead;
	uint64_t counted_absent; /* of counted_all, what takes no memory */
	/* In the heaps of all areas and of its group; no key is above that of its oldest range. */
	struct area_node node[2];
	int is_touched; /* by the purge under way, which alone changes `node` meanwhile */
	int is_shared;  /* atomic: other processes may have it */
	/* the areas whose counts change without a call of this process */
	struct ashmem_area *restless_prev, *restless_next;
};

/*
 * Call `visit` for every area, holding the table's mutex. It takes no mutex of a room above, and
 * calls only those operations of backends that must not call back.
 */
void table_visit(void (*visit)(struct ashmem_area *area, void *context), void *context);
/*
 * The same with a reference to each in turn instead of the mutex, for what takes long: areas that
 * come meanwhile are not visited.
 */
void table_visit_each(void (*visit)(struct ashmem_area *area, void *context), void *context);
/* Call `work` once, as table_visit() calls its function. */
void table_run(void (*work)(void *context), void *context);
/*
 * The handle of a backend's state, with a reference. If there is one already, the state's extra
 * reference is given back. NULL, and the state is closed, if there is no memory.
 */
struct ashmem_area *area_of(const struct ashmem_backend *backend, void *state,
	void (*forget)(struct ashmem_area *area));

/* The handle of a state, with a reference, or NULL if it has none. */
struct ashmem_area *area_find(const struct ashmem_backend *backend, const void *state);

/* Take one more reference, from within a visit or table_run(). */
void area_ref(struct ashmem_area *area);
/* The same, of an area that the caller has a reference to. */
void area_take(struct ashmem_area *area);
/* Give a reference back, with no lock held: with the last one the area ends. */
void area_put(struct ashmem_area *area);
/* The two halves of that: 1 if it was the last, and nobody finds the area any more; the end. */
int area_unref(struct ashmem_area *area);
void area_end(struct ashmem_area *area);

/* The area's size in pages, rounded up. 0 or a negative errno. */
int area_size_pages(struct ashmem_area *area, uint64_t *pages);

/* Acquire: pairs with the release in area_fix(). */
static inline int area_is_fixed(const struct ashmem_area *area)
{
	return __atomic_load_n(&area->fixed, __ATOMIC_ACQUIRE) != 0;
}

/* Its size is final. Other threads may find the same at the same time. */
void area_fix(struct ashmem_area *area, uint64_t size_bytes);

/* The size, and whether the area is materialised: 1, 0, or a negative errno. */
static inline int area_learn_size(struct ashmem_area *area, uint64_t *size_bytes)
{
	int materialised;

	if (area_is_fixed(area)) {
		*size_bytes = area->size_bytes;
		return 1;
	}
	int r = area->backend->get_size(area->state, size_bytes, &materialised);
	if (r < 0)
		return r;
	if (materialised)
		area_fix(area, *size_bytes);
	return materialised;
}

#endif /* ASHMEM_LIB_HANDLE_HANDLE_H */
