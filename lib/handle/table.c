/* SPDX-License-Identifier: MIT */
/*
 * The table of areas of this process: one struct ashmem_area each, however often it is imported,
 * found by the backend's state.
 *
 * Locks: `table_mutex` guards the table, the list and the reference counts. With it held only such
 * operations of a backend are called as must not call back (<ashmem/backend.h>).
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/context.h"
#include "base/fork.h"
#include "base/pages.h"
#include "base/sys.h"
#include "handle/handle.h"

#define BUCKETS 1024

static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ashmem_area *areas;
static struct ashmem_area *buckets[BUCKETS];

void table_before_fork(void)
{
	pthread_mutex_lock(&table_mutex);
}

void table_after_fork(void)
{
	pthread_mutex_unlock(&table_mutex);
}

static struct ashmem_area **bucket_of(const void *state)
{
	return &buckets[((uintptr_t)state >> 6) % BUCKETS];
}

static void link_area(struct ashmem_area *area)
{
	struct ashmem_area **bucket = bucket_of(area->state);

	area->bucket_next = *bucket;
	*bucket = area;
	area->next = areas;
	if (areas)
		areas->prev = area;
	areas = area;
}

static void unlink_area(struct ashmem_area *area)
{
	struct ashmem_area **bucket = bucket_of(area->state);

	while (*bucket != area)
		bucket = &(*bucket)->bucket_next;
	*bucket = area->bucket_next;
	if (area->prev)
		area->prev->next = area->next;
	else
		areas = area->next;
	if (area->next)
		area->next->prev = area->prev;
}

static struct ashmem_area *find_area(const struct ashmem_backend *backend, const void *state)
{
	struct ashmem_area *area = *bucket_of(state);

	while (area && (area->state != state || area->backend != backend))
		area = area->bucket_next;
	return area;
}

void table_run(void (*work)(void *context), void *context)
{
	struct context frame = {.flags = CONTEXT_VISIT};

	/*
	 * This may be the first call of all, and a fork meanwhile must not leave the child a mutex
	 * that is locked.
	 */
	process_start();
	pthread_mutex_lock(&table_mutex);
	context_push(&frame);
	work(context);
	context_pop(&frame);
	pthread_mutex_unlock(&table_mutex);
}

struct visits {
	void (*visit)(struct ashmem_area *area, void *context);
	void *context;
};

static void visit_all(void *context)
{
	const struct visits *visits = context;

	for (struct ashmem_area *area = areas; area; area = area->next)
		visits->visit(area, visits->context);
}

void table_visit(void (*visit)(struct ashmem_area *area, void *context), void *context)
{
	struct visits visits = {visit, context};

	table_run(visit_all, &visits);
}

void table_visit_each(void (*visit)(struct ashmem_area *area, void *context), void *context)
{
	struct ashmem_area *area;

	pthread_mutex_lock(&table_mutex);
	area = areas;
	if (area)
		area->refs++;
	pthread_mutex_unlock(&table_mutex);
	while (area) {
		visit(area, context);
		/* With our reference it is still in the list. */
		pthread_mutex_lock(&table_mutex);
		struct ashmem_area *next = area->next;
		if (next)
			next->refs++;
		pthread_mutex_unlock(&table_mutex);
		area_put(area);
		area = next;
	}
}

void area_ref(struct ashmem_area *area)
{
	area->refs++;
}

void area_take(struct ashmem_area *area)
{
	pthread_mutex_lock(&table_mutex);
	area->refs++;
	pthread_mutex_unlock(&table_mutex);
}

struct ashmem_area *area_of(const struct ashmem_backend *backend, void *state,
	void (*forget)(struct ashmem_area *area))
{
	struct ashmem_area *fresh = calloc(1, sizeof(*fresh)), *known;

	pthread_mutex_lock(&table_mutex);
	known = find_area(backend, state);
	if (known) {
		known->refs++;
	} else if (fresh) {
		fresh->backend = backend;
		fresh->state = state;
		fresh->forget = forget;
		fresh->refs = 1;
		link_area(fresh);
	}
	pthread_mutex_unlock(&table_mutex);

	if (known || !fresh)
		backend->close(state);
	if (known)
		free(fresh);
	return known ? known : fresh;
}

struct ashmem_area *area_find(const struct ashmem_backend *backend, const void *state)
{
	pthread_mutex_lock(&table_mutex);
	struct ashmem_area *area = find_area(backend, state);
	if (area)
		area->refs++;
	pthread_mutex_unlock(&table_mutex);
	return area;
}

int area_unref(struct ashmem_area *area)
{
	pthread_mutex_lock(&table_mutex);
	int last = --area->refs == 0;
	if (last)
		unlink_area(area);
	pthread_mutex_unlock(&table_mutex);
	return last;
}

void area_end(struct ashmem_area *area)
{
	area->forget(area);
	area->backend->close(area->state);
	free(area);
}

void area_put(struct ashmem_area *area)
{
	if (area_unref(area))
		area_end(area);
}

/* -- the size -- */

void area_fix(struct ashmem_area *area, uint64_t size_bytes)
{
	__atomic_store_n(&area->size_bytes, size_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&area->end_bytes, pages_round_up(size_bytes), __ATOMIC_RELAXED);
	__atomic_store_n(&area->page_mask, (uint32_t)sys_page_size() - 1, __ATOMIC_RELAXED);
	__atomic_store_n(&area->fixed, 1, __ATOMIC_RELEASE); /* whoever sees it sees the others */
}

int area_size_pages(struct ashmem_area *area, uint64_t *pages)
{
	uint64_t size;
	int r = area_learn_size(area, &size);

	if (r < 0)
		return r;
	*pages = pages_for(size);
	return 0;
}
