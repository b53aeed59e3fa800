/* SPDX-License-Identifier: MIT */
/*
 * Areas with many unpinned ranges, and the loops that are timed over them.
 *
 * Every range is one page, with pinned pages between them, so that no two merge. A loop visits the
 * ranges in the order of `places`: ascending, or one random permutation after another (not the same
 * one over and over, which would make each range visited the least recently unpinned one; ascending
 * does, and that is its point).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

#define FILL_LIMIT_NS 20e9
/* Places for areas with few ranges: many permutations, so that no branch predictor learns them. Of
 * many ranges two permutations, in turns. */
#define LEAST_PLACES 65536u
/* Pins timed at a stretch, before as many unpins: more than the level 2 cache keeps warm from one
 * to the other. */
#define STRETCH 16384u

int area_open(uint64_t size_bytes, struct ashmem_area **area)
{
	void *addr;
	int r = ashmem_create("bench", size_bytes, 0, area);

	if (r < 0)
		return r;
	r = ashmem_map(*area, 0, page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, &addr);
	if (r < 0) {
		ashmem_close(*area);
		return r;
	}
	ashmem_unmap(addr, page_bytes());
	return 0;
}

int memfd_open(uint64_t size_bytes)
{
	int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		die_errno("memfd_create");
	if (ftruncate(fd, (off_t)size_bytes) < 0)
		die_errno("ftruncate");
	return fd;
}

int descriptors_suffice(uint64_t count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	if (limit.rlim_cur < count && limit.rlim_max > limit.rlim_cur) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			return 0;
	}
	return limit.rlim_cur >= count;
}

int purges_here(void)
{
	return strcmp(options.backend, "kernel") != 0;
}

const char *with_commas(uint64_t number)
{
	static char buffers[4][32];
	static unsigned turn;
	char *end = buffers[turn++ % 4] + 31;
	unsigned digits = 0;

	*end = '\0';
	do {
		if (digits && digits % 3 == 0)
			*--end = ',';
		*--end = (char)('0' + number % 10);
		number /= 10;
		digits++;
	} while (number);
	return end;
}

void ranges_order(struct ranges *ranges, enum order order)
{
	ranges->order = order;
	ranges->next = 0;
	for (uint64_t block = 0; block < ranges->place_count; block += ranges->count) {
		uint32_t *places = ranges->places + block;
		for (uint64_t i = 0; i < ranges->count; i++) {
			uint64_t j = order == RANDOM ? random_next() % (i + 1) : i;
			places[i] = places[j];
			places[j] = (uint32_t)i;
		}
	}
}

static int fill(struct ranges *ranges)
{
	double begin = busy_ns();

	for (uint64_t i = 0; i < ranges->count; i++) {
		int r = ashmem_unpin(ranges->area, ranges->places[i] * ranges->stride_bytes,
			page_bytes());
		if (r < 0)
			return r;
		if (i % 256 == 0 && busy_ns() - begin > FILL_LIMIT_NS)
			return -ETIME;
	}
	return 0;
}

int ranges_open(struct ranges *ranges, uint64_t count, uint64_t stride_pages, enum order order)
{
	uint64_t blocks = count < LEAST_PLACES ? LEAST_PLACES / count + 1 : 2;

	ranges->count = count;
	ranges->stride_bytes = stride_pages * page_bytes();
	int r = area_open(count * ranges->stride_bytes, &ranges->area);
	if (r < 0)
		return r;
	ranges->place_count = blocks * count;
	ranges->places = allocate(ranges->place_count, sizeof(*ranges->places));
	ranges_order(ranges, order);
	r = fill(ranges);
	if (r < 0)
		ranges_close(ranges);
	return r;
}

const char *why_not(int error)
{
	return error == -ETIME ? "making them takes too long" : strerror(-error);
}

void ranges_close(struct ranges *ranges)
{
	ashmem_close(ranges->area);
	free(ranges->places);
	*ranges = (struct ranges){.area = NULL};
}

/* The next place, as a byte offset. */
static inline uint64_t next_offset(struct ranges *ranges)
{
	uint64_t offset = ranges->places[ranges->next] * ranges->stride_bytes;

	if (++ranges->next == ranges->place_count)
		ranges->next = 0;
	return offset;
}

double ranges_pairs(void *context, uint64_t count)
{
	struct ranges *ranges = context;
	uint64_t page = page_bytes();
	double begin = busy_ns();

	for (uint64_t i = 0; i < count; i++) {
		uint64_t offset = next_offset(ranges);
		int pin = ashmem_pin(ranges->area, offset, page);
		int unpin = ashmem_unpin(ranges->area, offset, page);
		if ((pin | unpin) < 0)
			die("pin and unpin", pin < 0 ? pin : unpin);
	}
	return busy_since(begin);
}

/*
 * Pins some, unpins the same, and so on; times the pins or the unpins. At most half of the ranges
 * are pinned at a time, all from one permutation, so that no range comes twice.
 */
static double time_half(struct ranges *ranges, uint64_t count, int time_pins)
{
	uint64_t page = page_bytes(), most = ranges->count / 2;
	double sum = 0;

	most = most < 1 ? 1 : most > STRETCH ? STRETCH : most;
	while (count) {
		uint64_t stretch = count < most ? count : most, at = ranges->next;
		if (at % ranges->count + stretch > ranges->count)
			at = (at / ranges->count + 1) * ranges->count;
		if (at + stretch > ranges->place_count)
			at = 0;
		const uint32_t *places = ranges->places + at;
		int bad = 0;
		double t0 = now_ns();
		for (uint64_t i = 0; i < stretch; i++)
			bad |= ashmem_pin(ranges->area, places[i] * ranges->stride_bytes, page);
		double t1 = now_ns();
		for (uint64_t i = 0; i < stretch; i++)
			bad |= ashmem_unpin(ranges->area, places[i] * ranges->stride_bytes, page);
		double t2 = now_ns();
		if (bad < 0)
			die("pin or unpin", bad);
		sum += (time_pins ? t1 - t0 : t2 - t1) - clock_ns();
		ranges->next = (at + stretch) % ranges->place_count;
		count -= stretch;
	}
	return sum > 0 ? sum : 0;
}

double ranges_pins(void *context, uint64_t count)
{
	return time_half(context, count, 1);
}

double ranges_unpins(void *context, uint64_t count)
{
	return time_half(context, count, 0);
}

double ranges_status(void *context, uint64_t count)
{
	struct ranges *ranges = context;
	uint64_t page = page_bytes();
	double begin = busy_ns();

	for (uint64_t i = 0; i < count; i++) {
		int r = ashmem_get_pin_status(ranges->area, next_offset(ranges), page);
		if (r < 0)
			die("ashmem_get_pin_status", r);
	}
	return busy_since(begin);
}

double ranges_purges(void *context, uint64_t count)
{
	struct ranges *ranges = context;
	double sum = 0;

	while (count > 0) {
		uint64_t some = count < ranges->count ? count : ranges->count;
		/* A shrink frees memory, so there has to be some. */
		for (uint64_t i = 0; i < ranges->count; i++)
			if (pwrite(ashmem_fd(ranges->area), "", 1, (off_t)next_offset(ranges)) < 0)
				die("pwrite", -errno);
		double begin = busy_ns();
		int64_t freed = ashmem_shrink(some);
		sum += busy_since(begin);
		if (freed < (int64_t)some)
			die("ashmem_shrink", freed);
		count -= some;
		for (uint64_t i = 0; i < some; i++) {
			uint64_t offset = next_offset(ranges);
			if (ashmem_pin(ranges->area, offset, page_bytes()) < 0 ||
				ashmem_unpin(ranges->area, offset, page_bytes()) < 0)
				die("pin and unpin", -EINVAL);
		}
	}
	return sum;
}

double ranges_subsumed_unpins(void *context, uint64_t count)
{
	struct ranges *ranges = context;
	uint64_t page = page_bytes();
	double begin = busy_ns();

	for (uint64_t i = 0; i < count; i++) {
		int r = ashmem_unpin(ranges->area, next_offset(ranges), page);
		if (r < 0)
			die("ashmem_unpin", r);
	}
	return busy_since(begin);
}

double ranges_pinned_pins(void *context, uint64_t count)
{
	struct ranges *ranges = context;
	uint64_t page = page_bytes();
	double begin = busy_ns();

	for (uint64_t i = 0; i < count; i++) {
		int r = ashmem_pin(ranges->area, next_offset(ranges) + page, page);
		if (r < 0)
			die("ashmem_pin", r);
	}
	return busy_since(begin);
}
