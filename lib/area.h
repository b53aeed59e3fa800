/* SPDX-License-Identifier: MIT */
/*
 * Areas as the library knows them: a backend, its state, and the list of all areas of the process that the shrinker walks.
 */
#ifndef ASHMEM_LIB_AREA_H
#define ASHMEM_LIB_AREA_H

#include <stdint.h>

#include <ashmem/area.h>
#include <ashmem/backend.h>

struct ashmem_budget;

struct ashmem_area {
	const struct ashmem_backend *backend;
	void *state;
	uint64_t size_bytes; /* valid once `fixed` is set */
	uint32_t fixed;      /* atomic; the area is materialised, so its size is final */
	uint32_t refs;       /* guarded by the areas' mutex, as are the links */
	struct ashmem_area *prev, *next;
	struct ashmem_area *bucket_next;

	/* The shrinker's, guarded by its mutex: a heap of areas by the age of their oldest range. */
	uint64_t heap_stamp;
	uint64_t heap_pages; /* that it may still give: twice what could be freed when the purge began */
	uint32_t heap_idle;  /* how often it gave nothing */
	struct ashmem_area *heap_child, *heap_sibling;

	/* Guarded by the budgets' mutex. Pages, as counted last for budgets, and those of a call that is about to materialise it. */
	struct ashmem_budget *budget; /* its group, or NULL; atomic */
	uint64_t counted_unpinned, counted_all, counted_ahead;
};

/* Call `visit` for every area, holding the areas' mutex. */
void areas_visit(void (*visit)(struct ashmem_area *area, void *context), void *context);
/* The same with a reference to each in turn instead of the mutex, for what takes long: areas that come meanwhile are not visited. */
void areas_visit_each(void (*visit)(struct ashmem_area *area, void *context), void *context);
/* The area's size in pages, rounded up. 0 or a negative errno. */
int area_size_pages(struct ashmem_area *area, uint64_t *pages);
/* Take one more reference, from within a visit; given back by ashmem_close(). */
void area_ref(struct ashmem_area *area);
/* The same, of an area that the caller has a reference to. */
void area_take(struct ashmem_area *area);

#endif /* ASHMEM_LIB_AREA_H */
