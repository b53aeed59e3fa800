/* SPDX-License-Identifier: MIT */
/*
 * The life of a cache's handle: made with a new area, or from a descriptor; closed. It lives until
 * its last entry is released, so that a value in place, room or a claim stays good for whoever has
 * it.
 *
 * A cache is made whole before anybody else can have it. No lock is held on entry.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "area/area.h"
#include "base/cancel.h"
#include "base/lock.h"
#include "cache/handles.h"
#include "cache/owner.h"
#include "cache/segment.h"
#include "cache/stats.h"
#include "memfd/backend.h"
#include "memfd/take.h"

static void dispose(struct ashmem_cache *cache)
{
	if (cache->base)
		munmap(cache->base, cache->layout.bytes);
	free(cache->writers);
	free(cache->views);
	ashmem_close(cache->area);
	free(cache);
}

/* Map the area, which belongs to the handle from here on, whatever comes. */
static int map(struct ashmem_cache *cache, int prot)
{
	void *base = NULL;
	int r = cache->area->backend->map(cache->area->state, 0, (size_t)cache->layout.bytes, prot,
		MAP_SHARED, &base);

	if (r < 0)
		return r == -EAGAIN ? -ENOMEM : r; /* locked memory */
	cache->base = base;
	cache->shared = base;
	cache->table = (struct cache_segment *)(cache->base + cache->layout.table_at);
	cache->buckets = (struct cache_bucket *)(cache->base + cache->layout.buckets_at);
	return 0;
}

/* A handle without layout, or NULL; it takes the area over. */
static struct ashmem_cache *begin(struct ashmem_area *area)
{
	struct ashmem_cache *cache = calloc(1, sizeof(*cache));

	if (!cache) {
		ashmem_close(area);
		return NULL;
	}
	cache->area = area;
	cache->memfd = area->state;
	cache->room_fd = cache->view_fd = cache->child_view_fd = -1;
	for (int i = 0; i < CACHE_CLASSES; i++)
		cache->log[i].segment = CACHE_NO_SEGMENT;
	cache->generation = lock_fork_generation();
	cache->users = 1;
	pthread_mutex_init(&cache->mutex, NULL);
	return cache;
}

/* The rest, once the area is mapped and has a layout. */
static int finish(struct ashmem_cache *cache)
{
	cache->writers = calloc(cache->layout.segments, sizeof(*cache->writers));
	cache->views = calloc(cache->layout.segments, sizeof(*cache->views));
	if (!cache->writers || !cache->views)
		return -ENOMEM;
	memcpy(cache->secret, cache->shared->secret, sizeof(cache->secret));
	cache->lost = cache->memfd->control.lost;
	cache->page_shift = cache->memfd->control.page_shift;
	cache->writable = cache->memfd->control.writable;
	if (!cache->writable)
		return 0;
	int r = memfd_begin_locks(cache->memfd);
	if (r < 0)
		return r;
	/* Now, so that a process without /proc learns it before it relies on the cache. */
	r = memfd_open_locks(cache->memfd);
	if (r < 0)
		return r;
	cache->view_fd = r;
	return owner_begin(cache);
}

static int settle(struct ashmem_cache *cache, int r, struct ashmem_cache **made)
{
	if (r < 0) {
		descriptor_close(cache->view_fd, &cache->memfd->file);
		descriptor_close(cache->room_fd, &cache->memfd->file);
		dispose(cache);
		return r;
	}
	handles_add(cache);
	*made = cache;
	return 0;
}

int ashmem_cache_create(const char *name, const struct ashmem_cache_options *options,
	struct ashmem_cache **cache)
{
	CANCEL_OFF;
	struct cache_layout layout;
	struct ashmem_cache *made;
	struct ashmem_area *area = NULL;

	if (!cache)
		return -EINVAL;
	int r = cache_layout_choose(&layout, options);
	if (r < 0)
		return r;
	if (layout.bytes > SIZE_MAX)
		return -ENOMEM;
	r = backend_memfd.probe(NULL);
	if (r < 0)
		return r;
	r = area_create(&backend_memfd, name, layout.bytes, 0, &area);
	if (r < 0)
		return r;
	made = begin(area);
	if (!made)
		return -ENOMEM;
	made->layout = layout;
	r = ashmem_fd(area); /* memory, and the state: within its budget */
	if (r >= 0)
		r = map(made, PROT_READ | PROT_WRITE);
	if (r >= 0) {
		cache_layout_write(&layout, made->shared);
		r = finish(made);
	}
	return settle(made, r, cache);
}

/* Look at the first page before all is mapped. */
static int read_layout(struct ashmem_cache *cache)
{
	struct cache_shared *shared;
	void *page = NULL;
	uint64_t size = ashmem_get_size(cache->area);

	if (cache->area->backend != &backend_memfd || cache->memfd->plain || size < sizeof(*shared))
		return -EPROTO;
	int r = memfd_establish(cache->memfd);
	if (r == 0)
		r = cache->area->backend->map(cache->area->state, 0, sys_page_size(), PROT_READ,
			MAP_SHARED, &page);
	if (r < 0)
		return r == -EAGAIN ? -ENOMEM : r;
	shared = page;
	r = cache_layout_read(&cache->layout, shared, size);
	munmap(page, sys_page_size());
	return r == 0 && cache->layout.bytes > SIZE_MAX ? -ENOMEM : r;
}

int ashmem_cache_import(int fd, struct ashmem_cache **cache)
{
	CANCEL_OFF;
	struct ashmem_cache *made;
	struct ashmem_area *area = NULL;

	if (!cache)
		return -EINVAL;
	int r = ashmem_import(fd, &area);
	if (r < 0)
		return r;
	made = begin(area);
	if (!made)
		return -ENOMEM;
	r = read_layout(made);
	if (r == 0)
		r = map(made, made->memfd->control.writable ? PROT_READ | PROT_WRITE : PROT_READ);
	if (r == 0)
		r = finish(made);
	return settle(made, r, cache);
}

int ashmem_cache_fd(struct ashmem_cache *cache)
{
	return cache ? ashmem_fd(cache->area) : -EINVAL;
}

struct ashmem_area *ashmem_cache_area(struct ashmem_cache *cache)
{
	return cache ? cache->area : NULL;
}

static void end(struct ashmem_cache *cache)
{
	handles_remove(cache);
	cache_lock(cache);
	stats_flush(cache);
	segment_end(cache);
	descriptor_close(cache->view_fd, &cache->memfd->file);
	cache_unlock(cache);
	pthread_mutex_destroy(&cache->mutex);
	dispose(cache);
}

void cache_use(struct ashmem_cache *cache)
{
	/* Its caller is a user, so it is not the first. */
	__atomic_fetch_add(&cache->users, 1, __ATOMIC_RELAXED);
}

void cache_leave(struct ashmem_cache *cache)
{
	/* Who ends it comes after all that the others did with it. */
	if (__atomic_sub_fetch(&cache->users, 1, __ATOMIC_ACQ_REL) == 0)
		end(cache);
}

void ashmem_cache_close(struct ashmem_cache *cache)
{
	CANCEL_OFF;
	if (cache)
		cache_leave(cache);
}
