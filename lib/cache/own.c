/* SPDX-License-Identifier: MIT */
/*
 * What a handle has of its own in one process, and giving it up: at its end, or in a child, whose
 * parent has it.
 */
#include "base/lock.h"
#include "cache/cache.h"

void cache_forget(struct ashmem_cache *cache)
{
	descriptor_close(cache->room_fd, &cache->memfd->file);
	cache->room_fd = -1;
	cache->ticket = 0;
	cache->has_lease = 0;
	for (int i = 0; i < CACHE_CLASSES; i++)
		cache->log[i] = (struct cache_log){.segment = CACHE_NO_SEGMENT};
	memset(cache->writers, 0, cache->layout.segments * sizeof(*cache->writers));
}

static int has_views(const struct ashmem_cache *cache)
{
	uint32_t i = 0;

	while (i < cache->layout.segments && cache->views[i] == 0)
		i++;
	return i < cache->layout.segments;
}

/*
 * A description that is shared would let go in one process what another one holds. Only views that
 * were inherited, and could not be given one of their own, keep it.
 */
static void forget_view_fd(struct ashmem_cache *cache)
{
	if (cache->child_view_fd < 0 && has_views(cache))
		return;
	descriptor_close(cache->view_fd, &cache->memfd->file);
	cache->view_fd = cache->child_view_fd;
	cache->child_view_fd = -1;
}

void cache_forget_parents(struct ashmem_cache *cache)
{
	forget_view_fd(cache);
	cache_forget(cache);
	memset(cache->counts, 0, sizeof(cache->counts));
	cache->generation = lock_fork_generation();
	cache->forks++;
}

void cache_lock(struct ashmem_cache *cache)
{
	pthread_mutex_lock(&cache->mutex);
	if (__builtin_expect(cache->generation != lock_fork_generation(), 0))
		cache_forget_parents(cache);
}

void cache_unlock(struct ashmem_cache *cache)
{
	pthread_mutex_unlock(&cache->mutex);
}
