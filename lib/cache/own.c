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
	for (uint32_t i = 0; i < cache->layout.segments; i++)
		if (cache->views[i])
			return 1;
	return 0;
}

void cache_forget_parents(struct ashmem_cache *cache)
{
	cache_forget(cache);
	/*
	 * The description that both have keeps what the child locks by it for as long as the parent
	 * lives. Views that were inherited need it, where the child has none of its own.
	 */
	if (cache->child_view_fd >= 0 || !has_views(cache)) {
		descriptor_close(cache->view_fd, &cache->memfd->file);
		cache->view_fd = cache->child_view_fd;
		cache->child_view_fd = -1;
	}
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
