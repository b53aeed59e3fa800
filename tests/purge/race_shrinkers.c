/* SPDX-License-Identifier: MIT */
/*
 * Shrinkers come and go while other threads shrink and count, and one process forks in between: no
 * function of a shrinker runs after its end has returned, or after its release; each is released
 * once. ASHMEM_STRESS_SECONDS, or two.
 */
#define _GNU_SOURCE 1
#include "support/stress.h"
#include "support/tools.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SHRINKING = 2, COMING = 2, KEPT = 6 };

struct cache {
	struct ashmem_shrinker *shrinker;
	int gone;   /* atomic: the end has returned, or the release was called */
	int ending; /* atomic: somebody ends it */
	int ends_itself;
	uint64_t calls; /* atomic */
};

static int stop;                        /* atomic */
static uint64_t made, released, called; /* atomic */

static void must_live(struct cache *cache)
{
	stress_expect(!__atomic_load_n(&cache->gone, __ATOMIC_SEQ_CST));
}

static uint64_t count(void *userdata)
{
	must_live(userdata);
	return 100;
}

static int64_t scan(void *userdata, uint64_t nr_to_scan)
{
	struct cache *cache = userdata;
	uint64_t calls = __atomic_add_fetch(&cache->calls, 1, __ATOMIC_RELAXED);

	must_live(cache);
	__atomic_fetch_add(&called, 1, __ATOMIC_RELAXED);
	if (cache->ends_itself && calls > 3 &&
		!__atomic_exchange_n(&cache->ending, 1, __ATOMIC_SEQ_CST)) {
		ashmem_shrinker_unregister(cache->shrinker);
		must_live(cache); /* not released while this runs */
	}
	return calls % 3 == 0 ? ASHMEM_SHRINK_STOP : (int64_t)nr_to_scan;
}

static void release(void *userdata)
{
	struct cache *cache = userdata;

	stress_expect(!__atomic_exchange_n(&cache->gone, 1, __ATOMIC_SEQ_CST));
	__atomic_fetch_add(&released, 1, __ATOMIC_SEQ_CST);
	free(cache);
}

static struct cache *come(int ends_itself)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	struct ashmem_shrinker_options options = {.struct_size = sizeof options,
		.count = count,
		.scan = scan,
		.release = release,
		.userdata = cache,
		.batch_pages = 3};

	stress_expect(cache != NULL);
	cache->ends_itself = ends_itself;
	/* Its scan may run, and end it, before register returns: the handle must be there. */
	if (ends_itself)
		cache->ending = 1;
	stress_expect(ashmem_shrinker_register(&options, &cache->shrinker) == 0);
	__atomic_fetch_add(&made, 1, __ATOMIC_SEQ_CST);
	if (ends_itself)
		__atomic_store_n(&cache->ending, 0, __ATOMIC_SEQ_CST);
	return cache;
}

static void *coming(void *argument)
{
	struct cache *kept[KEPT] = {NULL};
	unsigned i = 0;

	(void)argument;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		i = (i + 1) % KEPT;
		if (kept[i])
			ashmem_shrinker_unregister(kept[i]->shrinker);
		kept[i] = come(0);
		if (i == 0 &&
			__atomic_load_n(&made, __ATOMIC_SEQ_CST) -
					__atomic_load_n(&released, __ATOMIC_SEQ_CST) <
				100)
			come(1); /* which goes by itself */
	}
	for (i = 0; i < KEPT; i++)
		if (kept[i])
			ashmem_shrinker_unregister(kept[i]->shrinker);
	return NULL;
}

static void *shrinking(void *argument)
{
	(void)argument;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		stress_expect(ashmem_shrink(50) >= 0);
		stress_expect(ashmem_shrink_count() % 100 == 0);
	}
	return NULL;
}

/* A child finds the registry whole, whatever the other threads were doing. */
static void fork_once(void)
{
	int status;
	pid_t child = fork();

	stress_expect(child >= 0);
	if (child == 0) {
		struct cache *cache = come(0);
		stress_expect(ashmem_shrink(500) >= 0);
		ashmem_shrinker_unregister(cache->shrinker);
		_exit(0);
	}
	stress_expect(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
	double end = seconds_now() + (getenv("ASHMEM_STRESS_SECONDS") ? stress_seconds() : 2);
	pthread_t threads[SHRINKING + COMING];

	for (int i = 0; i < SHRINKING + COMING; i++)
		stress_expect(pthread_create(&threads[i], NULL, i < SHRINKING ? shrinking : coming,
				      NULL) == 0);
	while (seconds_now() < end) {
		/*
		 * The first does not follow threads through a fork, the second's allocator can be
		 * locked for good in a child, and to valgrind what the other threads held is lost
		 * there.
		 */
		if (!UNDER_THREAD_SANITIZER && !UNDER_ADDRESS_SANITIZER && !under_valgrind())
			fork_once();
		usleep(1000);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < SHRINKING + COMING; i++)
		pthread_join(threads[i], NULL);
	/* Those that end themselves need a few calls more. */
	while (ashmem_shrink_count() > 0)
		stress_expect(ashmem_shrink(100000) >= 0);
	stress_expect(made == released);
	printf("%llu shrinkers, %llu scans\n", (unsigned long long)made,
		(unsigned long long)called);
	return made > 10 && called > 10 ? 0 : 1;
}
