/* SPDX-License-Identifier: MIT */
/*
 * Rows: bytes a second that a purge frees, beside fallocate punching the same bytes out of a memfd,
 * and what it costs to use purged memory again.
 *
 * Every round touches the pages to be freed anew, mapped either throughout or only while they are
 * touched. The ratio of throughputs is ours / raw. Ranges with gaps are punched one by one by the
 * reference as well; adjacent ones in a single call, which is what the library has to keep up with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define PURGED_BYTES (4ull << 20)

struct layout {
	const char *name;
	uint64_t range_bytes; /* 0: a page */
	int gaps;             /* as large as the ranges */
};

/* An area, or a memfd of the same layout. */
struct store {
	const struct layout *layout;
	uint64_t range_bytes, stride, ranges, bytes;
	int keep_mapped;
	struct ashmem_area *area;
	int fd;
	char *mapped; /* NULL unless it is kept mapped */
};

static char *map_store(const struct store *store)
{
	void *addr = MAP_FAILED;

	if (!store->area)
		addr = mmap(NULL, (size_t)store->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			store->fd, 0);
	else if (ashmem_map(store->area, 0, (size_t)store->bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED, &addr) < 0)
		addr = MAP_FAILED;
	if (addr == MAP_FAILED)
		die_errno("mmap");
	return addr;
}

static void touch_ranges(const struct store *store, char *base)
{
	uint64_t page = page_bytes();

	for (uint64_t i = 0; i < store->ranges; i++) {
		for (uint64_t at = 0; at < store->range_bytes; at += page)
			base[i * store->stride + at] = 1;
	}
}

static void fill_store(const struct store *store)
{
	char *base = store->mapped ? store->mapped : map_store(store);

	touch_ranges(store, base);
	if (!store->mapped)
		munmap(base, (size_t)store->bytes);
}

static void store_open(struct store *store, const struct layout *layout, int keep_mapped,
	int is_area)
{
	*store = (struct store){.layout = layout, .keep_mapped = keep_mapped};
	store->range_bytes = layout->range_bytes ? layout->range_bytes : page_bytes();
	store->stride = store->range_bytes * (layout->gaps ? 2 : 1);
	store->ranges = PURGED_BYTES / store->range_bytes;
	store->bytes = store->ranges * store->stride;
	if (is_area) {
		int r = area_open(store->bytes, &store->area);
		if (r < 0)
			die("an area to purge", r);
		store->fd = ashmem_fd(store->area);
	} else {
		store->fd = memfd_open(store->bytes);
	}
	if (keep_mapped)
		store->mapped = map_store(store);
}

static void store_close(struct store *store)
{
	if (store->mapped)
		munmap(store->mapped, (size_t)store->bytes);
	if (store->area)
		ashmem_close(store->area);
	else
		close(store->fd);
}

static void unpin_ranges(const struct store *store)
{
	for (uint64_t i = 0; i < store->ranges; i++) {
		int r = ashmem_unpin(store->area, i * store->stride, store->range_bytes);
		if (r < 0)
			die("ashmem_unpin", r);
	}
}

static double purge_once(const struct store *store)
{
	uint64_t pages = PURGED_BYTES / page_bytes();
	double begin = busy_ns();
	int64_t freed = ashmem_shrink(pages);
	double took = busy_since(begin);

	if (freed != (int64_t)pages)
		die("ashmem_shrink", freed);
	int r = ashmem_pin(store->area, 0, 0);
	if (r != ASHMEM_WAS_PURGED)
		die("pin of what was purged", r);
	return took;
}

static double punch_once(const struct store *store)
{
	uint64_t length = store->layout->gaps ? store->range_bytes : store->bytes;
	double begin = busy_ns();

	for (uint64_t at = 0; at < store->bytes; at += store->stride) {
		if (fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
			    (off_t)length) < 0)
			die_errno("fallocate");
		if (!store->layout->gaps)
			break;
	}
	return busy_since(begin);
}

static double run_purge(void *context, uint64_t count)
{
	double sum = 0;

	while (count--) {
		fill_store(context);
		unpin_ranges(context);
		sum += purge_once(context);
	}
	return sum;
}

static double run_punch(void *context, uint64_t count)
{
	double sum = 0;

	while (count--) {
		fill_store(context);
		sum += punch_once(context);
	}
	return sum;
}

/* Touching after a purge, and after a raw punch. */
static double run_touch_purged(void *context, uint64_t count)
{
	const struct store *store = context;
	double sum = 0;

	while (count--) {
		unpin_ranges(store);
		purge_once(store);
		double begin = busy_ns();
		touch_ranges(store, store->mapped);
		sum += busy_since(begin);
	}
	return sum;
}

static double run_touch_punched(void *context, uint64_t count)
{
	const struct store *store = context;
	double sum = 0;

	while (count--) {
		punch_once(store);
		double begin = busy_ns();
		touch_ranges(store, store->mapped);
		sum += busy_since(begin);
	}
	return sum;
}

static void throughput_row(struct result *row, const struct layout *layout, int keep_mapped)
{
	struct store area, raw;
	struct series series;

	if (!row)
		return;
	store_open(&area, layout, keep_mapped, 1);
	store_open(&raw, layout, keep_mapped, 0);
	struct timed things[] = {
		{.run = run_punch, .context = &raw, .units = PURGED_BYTES, .count = 1},
		{.run = run_purge, .context = &area, .units = PURGED_BYTES, .count = 1},
	};
	measure(things, 2, &series);
	row->unit = UNIT_BYTES_PER_SECOND;
	row->ours = 1e9 / median_of(series.ns[1], series.rounds);
	row->reference = layout->gaps ? "raw punches" : "1 raw punch";
	row->reference_value = 1e9 / median_of(series.ns[0], series.rounds);
	row->ratio = stats_of_ratio(series.ns[0], series.ns[1], series.rounds);
	row->target = TARGET_AT_LEAST;
	row->target_ratio = 0.95;
	row_end(row);
	store_close(&area);
	store_close(&raw);
}

/*
 * The same with the pages had beforehand, whose time counts; a purge of them as a whole is what
 * follows.
 */
static double run_populate(void *context, uint64_t count)
{
	const struct store *store = context;
	double sum = 0;

	while (count--) {
		unpin_ranges(store);
		purge_once(store);
		double begin = busy_ns();
		int r = ashmem_populate(store->mapped, (size_t)store->bytes);
		touch_ranges(store, store->mapped);
		sum += busy_since(begin);
		if (r < 0 && r != -ENOTSUP)
			die("ashmem_populate", r);
	}
	return sum;
}

static void touch_row(struct result *row, double (*run)(void *context, uint64_t count))
{
	static const struct layout WHOLE = {"", PURGED_BYTES, 0};
	struct store area, raw;

	if (!row)
		return;
	store_open(&area, &WHOLE, 1, 1);
	store_open(&raw, &WHOLE, 1, 0);
	fill_store(&area);
	fill_store(&raw);
	double pages = (double)PURGED_BYTES / (double)page_bytes();
	struct timed reference = {run_touch_punched, &raw, pages, 1};
	struct timed subject = {run, &area, pages, 1};
	row_measure(row, &subject, "raw punch", &reference, TARGET_NONE, 0);
	store_close(&area);
	store_close(&raw);
}

void rows_purge(void)
{
	static const struct layout LAYOUTS[] = {
		{"4 MiB", PURGED_BYTES, 0},
		{"1 MiB gaps", 1 << 20, 1},
		{"64 KiB gaps", 64 << 10, 1},
		{"pages gaps", 0, 1},
		{"64 KiB adjacent", 64 << 10, 0},
		{"pages adjacent", 0, 0},
	};

	section("Purge of 4 MiB of touched pages, in one range or many, with gaps or adjacent");
	if (!purges_here()) {
		row_skip(row_begin("purge"), "the kernel purges the driver's areas");
		return;
	}
	for (int mapped = 1; mapped >= 0; mapped--) {
		for (unsigned i = 0; i < sizeof(LAYOUTS) / sizeof(*LAYOUTS); i++)
			throughput_row(row_begin("purge %s %s", mapped ? "mapped" : "unmapped",
					       LAYOUTS[i].name),
				&LAYOUTS[i], mapped);
	}
	touch_row(row_begin("first touch of a purged page"), run_touch_purged);
	touch_row(row_begin("populate of 4 MiB, a page"), run_populate);
}
