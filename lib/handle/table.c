/* SPDX-License-Identifier: MIT */
/*
 * The areas of this process: one struct ashmem_area each, however often it is imported. A table
 * finds it by the backend's state.
 *
 * The mutex guards the table, the list and the reference counts, and is not held while a backend
 * works.
 */
#include <pthread.h>
#include <stdlib.h>

#include "area/debug.h"
#include "base/fork.h"
#include "handle/backends.h"
#include "handle/handle.h"

#define BUCKETS 1024

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ashmem_area *areas;
static struct ashmem_area *buckets[BUCKETS];

void areas_before_fork(void)
{
	pthread_mutex_lock(&mutex);
}

void areas_after_fork(void)
{
	pthread_mutex_unlock(&mutex);
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

void areas_visit(void (*visit)(struct ashmem_area *area, void *context), void *context)
{
	/*
	 * may be the first call of all; a fork meanwhile must not leave the child a mutex that is
	 * locked
	 */
	process_start();
	pthread_mutex_lock(&mutex);
	for (struct ashmem_area *area = areas; area; area = area->next)
		visit(area, context);
	pthread_mutex_unlock(&mutex);
}

void areas_visit_each(void (*visit)(struct ashmem_area *area, void *context), void *context)
{
	struct ashmem_area *area;

	pthread_mutex_lock(&mutex);
	area = areas;
	if (area)
		area->refs++;
	pthread_mutex_unlock(&mutex);
	while (area) {
		visit(area, context);
		/* With our reference it is still in the list. */
		pthread_mutex_lock(&mutex);
		struct ashmem_area *next = area->next;
		if (next)
			next->refs++;
		pthread_mutex_unlock(&mutex);
		ashmem_close(area);
		area = next;
	}
}

void area_ref(struct ashmem_area *area)
{
	area->refs++;
}

void area_take(struct ashmem_area *area)
{
	pthread_mutex_lock(&mutex);
	area->refs++;
	pthread_mutex_unlock(&mutex);
}

struct ashmem_area *area_of(const struct ashmem_backend *backend, void *state)
{
	struct ashmem_area *fresh = debug_start() == 0 ? calloc(1, sizeof(*fresh)) : NULL, *known;

	pthread_mutex_lock(&mutex);
	known = find_area(backend, state);
	if (known) {
		known->refs++;
	} else if (fresh) {
		fresh->backend = backend;
		fresh->state = state;
		fresh->refs = 1;
		link_area(fresh);
	}
	pthread_mutex_unlock(&mutex);

	if (known || !fresh)
		backend->close(state);
	if (known)
		free(fresh);
	return known ? known : fresh;
}

int area_unref(struct ashmem_area *area)
{
	pthread_mutex_lock(&mutex);
	int last = --area->refs == 0;
	if (last)
		unlink_area(area);
	pthread_mutex_unlock(&mutex);
	return last;
}
