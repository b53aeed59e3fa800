/* SPDX-License-Identifier: MIT */
/*
 * Choosing segments; see choose.h.
 *
 * First comes one that was purged, or never used, or whose entries are not needed any more; then
 * the oldest of the class that gives way (age.c). Those that somebody holds are passed over. Of
 * several in a row the last choice among them counts: they are the ones whose youngest is oldest.
 *
 * Nothing is locked, so all that is found may be different at once. What is done with it finds out.
 */
#include "cache/choose.h"
#include "memfd/take.h"

static int comes_before(struct choose_rank a, struct choose_rank b)
{
	return a.kind != b.kind ? a.kind < b.kind : a.sequence < b.sequence;
}

enum choose_kind choose_kind_of(const struct ashmem_cache *cache, uint32_t segment, uint64_t epoch)
{
	const struct cache_segment *at = &cache->table[segment];

	if (SHARED_LOAD(at->sequence) == 0)
		return CHOOSE_UNUSED;
	if (cache_is_lost(cache, cache_at(cache, segment, 0), cache_at(cache, segment, 1)))
		return CHOOSE_PURGED;
	return SHARED_LOAD(at->epoch) < epoch ? CHOOSE_CLEARED : CHOOSE_OLDEST;
}

static struct choose_rank rank_of(const struct ashmem_cache *cache, const struct choosing *choosing,
	uint32_t segment)
{
	const struct cache_segment *at = &cache->table[segment];
	uint64_t sequence = SHARED_LOAD(at->sequence);
	enum choose_kind kind = choose_kind_of(cache, segment, choosing->epoch);

	if (kind == CHOOSE_OLDEST && !SHARED_LOAD(at->is_main) != !choosing->main_gives_way)
		kind = CHOOSE_OTHERS;
	return (struct choose_rank){kind, kind == CHOOSE_UNUSED ? segment : sequence};
}

void choose_begin(const struct ashmem_cache *cache, uint64_t epoch, uint32_t count,
	struct choosing *choosing)
{
	uint32_t in_use = 0, probation = 0;

	choosing->epoch = epoch;
	choosing->count = count;
	choosing->least = CHOOSE_PURGED;
	choosing->tries = 0;
	for (uint32_t i = 0; i < cache->layout.segments; i++)
		if (choose_kind_of(cache, i, epoch) == CHOOSE_OLDEST) {
			in_use++;
			probation += !SHARED_LOAD(cache->table[i].is_main);
		}
	choosing->main_gives_way = probation * 10 <= in_use;
	choosing->free = cache->layout.segments - in_use;
}

static int is_passed_over(const struct choosing *choosing, uint32_t segment)
{
	uint32_t i = 0;

	while (i < choosing->tries && choosing->held[i] != segment)
		i++;
	return i < choosing->tries;
}

int choose_next(const struct ashmem_cache *cache, const struct choosing *choosing, uint32_t *chosen,
	struct choose_rank *its_rank)
{
	struct choose_rank last = {CHOOSE_PURGED, 0};
	uint32_t in_a_row = 0;
	int found = 0;

	for (uint32_t i = 0; i < cache->layout.segments; i++) {
		struct choose_rank rank = rank_of(cache, choosing, i);
		if (rank.kind < choosing->least || (found && !comes_before(rank, *its_rank)) ||
			is_passed_over(choosing, i)) {
			in_a_row = 0;
			continue;
		}
		if (in_a_row == 0 || comes_before(last, rank))
			last = rank;
		if (++in_a_row < choosing->count)
			continue;
		*its_rank = last;
		*chosen = i + 1 - choosing->count;
		found = 1;
		/* Only without the last choice among these is there a better one. */
		i = *chosen;
		in_a_row = 0;
	}
	return found;
}

void choose_pass_over(struct choosing *choosing, uint32_t segment)
{
	choosing->held[choosing->tries++] = segment;
}

int choose_is_free(struct ashmem_cache *cache, struct choosing *choosing, uint32_t segment)
{
	uint32_t i = segment, end = segment + choosing->count;

	while (i < end &&
		!memfd_is_held(cache->memfd, cache_first_page(cache, i), cache_last_page(cache, i)))
		i++;
	if (i < end)
		choose_pass_over(choosing, i);
	return i == end;
}

int choose_is_still(const struct ashmem_cache *cache, const struct choosing *choosing,
	uint32_t segment, uint32_t count, const struct choose_rank *rank)
{
	uint32_t i = segment, end = segment + count;

	while (i < end && !comes_before(*rank, rank_of(cache, choosing, i)))
		i++;
	return i == end;
}

int choose_victims(struct ashmem_cache *cache, struct choosing *choosing, uint32_t *segment,
	struct choose_rank *rank)
{
	if (choosing->count == 1)
		choosing->least = CHOOSE_OLDEST;
	while (choosing->tries < CHOOSE_TRIES && choose_next(cache, choosing, segment, rank))
		if (choose_is_free(cache, choosing, *segment))
			return 1;
	return 0;
}

struct cache_run choose_run_of(const struct ashmem_cache *cache, uint32_t segment)
{
	uint64_t sequence = SHARED_LOAD(cache->table[segment].sequence);
	uint32_t before = SHARED_LOAD(cache->table[segment].before);
	const struct cache_run alone = {segment, 1, sequence};

	if (before > segment)
		return alone;
	struct cache_run run = {segment - before, 1, sequence - before};
	if (SHARED_LOAD(cache->table[run.first].sequence) != run.sequence)
		return alone;
	for (; run.count < cache->layout.segments - run.first; run.count++) {
		const struct cache_segment *next = &cache->table[run.first + run.count];
		if (SHARED_LOAD(next->before) != run.count ||
			SHARED_LOAD(next->sequence) != run.sequence + run.count)
			break;
	}
	return run.count > before ? run : alone;
}

void choose_give_up(struct ashmem_cache *cache, const struct cache_run *run)
{
	for (uint32_t i = 0; i < run->count; i++)
		SHARED_STORE(cache->table[run->first + i].epoch, 0);
}
