/* SPDX-License-Identifier: MIT */
/*
 * What is written down about a run, in memory that the parent made, so that it neither counts
 * against the limit nor goes with a killed child.
 *
 * How much purging was needed is what an ideal cache would have purged for the same uses in the
 * same order: one that knows what else is in the limit, fills it to the last page, and forgets what
 * was least recently used when, and only when, the next range does not fit. A second one keeps free
 * what the library means to keep free: the difference of the two is the price of that reserve.
 */
#include "pressure.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#include "pressure/policy.h"

uint64_t score_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct score *score_make(void)
{
	struct score *score = mmap(NULL, sizeof *score, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attributes;

	must(score == MAP_FAILED ? -errno : 0, "mmap");
	memset(score, 0, sizeof *score); /* touched here, counted here */
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&score->mutex, &attributes);
	return score;
}

static void lock(struct score *score)
{
	if (pthread_mutex_lock(&score->mutex) == EOWNERDEAD)
		pthread_mutex_consistent(&score->mutex);
}

/* What the library keeps free while it is calm. */
static uint64_t reserve(const struct group *group)
{
	static const struct pressure_settings defaults;

	if (group->place == PLACE_HIGH)
		return policy_soft_reserve(&defaults, group->limit_bytes);
	return policy_reserve(&defaults, group->limit_bytes, group->place == PLACE_GUEST);
}

void score_begin(struct score *score, const struct group *group, uint64_t range_pages)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	score->range_pages = range_pages;
	score->base_bytes = group_used(group, 1);
	score->ideal[IDEAL_LIMIT].room_pages = (group->limit_bytes - score->base_bytes) / page;
	score->ideal[IDEAL_RESERVE].room_pages =
		(group->limit_bytes - score->base_bytes - reserve(group)) / page;
	score->least_free_bytes = group->limit_bytes;
	score->begin_ns = score_now_ns();
}

/* -- the ideal -- */

static void ideal_remove(struct ideal *ideal, uint32_t place, uint64_t pages)
{
	uint32_t older = ideal->ranges[place].older, newer = ideal->ranges[place].newer;

	*(older ? &ideal->ranges[older - 1].newer : &ideal->oldest) = newer;
	*(newer ? &ideal->ranges[newer - 1].older : &ideal->newest) = older;
	ideal->ranges[place].is_in = 0;
	ideal->pages -= pages;
}

static void ideal_add(struct ideal *ideal, uint32_t place, uint64_t pages)
{
	ideal->ranges[place].older = ideal->newest;
	ideal->ranges[place].newer = 0;
	*(ideal->newest ? &ideal->ranges[ideal->newest - 1].newer : &ideal->oldest) = place + 1;
	ideal->newest = place + 1;
	ideal->ranges[place].is_in = 1;
	ideal->pages += pages;
}

static void ideal_fit(struct ideal *ideal, uint64_t pages)
{
	while (ideal->pages > ideal->room_pages && ideal->oldest != ideal->newest) {
		ideal_remove(ideal, ideal->oldest - 1, pages);
		ideal->purged_pages += pages;
	}
}

void score_use(struct score *score, uint32_t range)
{
	lock(score);
	for (int i = 0; i < IDEALS; i++) {
		struct ideal *ideal = &score->ideal[i];
		if (ideal->ranges[range].is_in)
			ideal_remove(ideal, range, score->range_pages);
		ideal_add(ideal, range, score->range_pages);
		ideal_fit(ideal, score->range_pages);
	}
	pthread_mutex_unlock(&score->mutex);
}

void score_other(struct score *score, int64_t pages)
{
	lock(score);
	for (int i = 0; i < IDEALS; i++) {
		score->ideal[i].room_pages -= (uint64_t)pages;
		ideal_fit(&score->ideal[i], score->range_pages);
	}
	pthread_mutex_unlock(&score->mutex);
}

/* -- shortage -- */

void score_sample(struct score *score, const struct group *group, int with_files)
{
	uint64_t used, free_bytes, now;

	lock(score);
	used = group_used(group, with_files);
	now = score_now_ns();
	free_bytes = used < group->limit_bytes ? group->limit_bytes - used : 0;
	if (free_bytes < score->least_free_bytes)
		score->least_free_bytes = free_bytes;
	if (free_bytes < reserve(group)) {
		if (!score->short_since_ns)
			score->short_since_ns = now;
	} else if (score->short_since_ns) {
		if (score->relief_count < RELIEFS_MAX)
			score->relief_ns[score->relief_count++] = now - score->short_since_ns;
		score->short_since_ns = 0;
	}
	pthread_mutex_unlock(&score->mutex);
}
