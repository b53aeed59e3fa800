/* SPDX-License-Identifier: MIT */
/*
 * Rows: one call that deals with many ranges. Costs are per range, beside one empty system call,
 * which is the least that a call for each range would cost.
 */
#include "bench.h"

static void unpin_each(struct ranges *ranges)
{
	for (uint64_t i = 0; i < ranges->count; i++) {
		int r = ashmem_unpin(ranges->area, i * ranges->stride_bytes, page_bytes());
		if (r < 0)
			die("ashmem_unpin", r);
	}
}

/* Unpin all: merges every range into one. Then the ranges are made anew, which is not timed. */
static double run_merge(void *context, uint64_t count)
{
	struct ranges *ranges = context;
	double sum = 0;

	while (count--) {
		double begin = busy_ns();
		int r = ashmem_unpin(ranges->area, 0, 0);
		sum += busy_since(begin);
		if (r >= 0)
			r = ashmem_pin(ranges->area, 0, 0);
		if (r < 0)
			die("unpin and pin of an area", r);
		unpin_each(ranges);
	}
	return sum;
}

static double run_pin_all(void *context, uint64_t count)
{
	struct ranges *ranges = context;
	double sum = 0;

	while (count--) {
		double begin = busy_ns();
		int r = ashmem_pin(ranges->area, 0, 0);
		sum += busy_since(begin);
		if (r < 0)
			die("ashmem_pin of an area", r);
		unpin_each(ranges);
	}
	return sum;
}

static void bulk_row(const char *name, double (*run)(void *, uint64_t), uint64_t count)
{
	struct result *row = row_begin("%s %s", name, with_commas(count));
	struct timed reference = reference_syscalls(1);
	struct ranges ranges;

	if (!row)
		return;
	int r = ranges_open(&ranges, count, 2, SEQUENTIAL);
	if (r < 0) {
		row_skip(row, "%s ranges: %s", with_commas(count), why_not(r));
		return;
	}
	struct timed subject = {.run = run, .context = &ranges, .units = (double)count, .count = 1};
	row_measure(row, &subject, "1 syscall", &reference, TARGET_NONE, 0);
	ranges_close(&ranges);
}

void rows_bulk(void)
{
	static const uint64_t COUNTS[] = {100, 1000, 100000, 1000000};

	section("One call over the whole area, per range in it");
	for (unsigned i = 0; i < sizeof(COUNTS) / sizeof(*COUNTS); i++)
		bulk_row("merge of", run_merge, COUNTS[i]);
	for (unsigned i = 0; i < sizeof(COUNTS) / sizeof(*COUNTS); i++)
		bulk_row("pin of all", run_pin_all, COUNTS[i]);
}
