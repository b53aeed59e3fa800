/* SPDX-License-Identifier: MIT */
/*
 * Rows: what a pin, an unpin and the two together cost, by the number of ranges in the area and by
 * its size.
 *
 * The reference is what any design pays that asks the kernel: an empty system call for each call.
 */
#include <stdio.h>

#include "bench.h"

static const uint64_t COUNTS[] = {1, 10, 100, 1000, 10000, 100000, 1000000};

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

/* An area is made when the first row wants it. */
static int need(struct result *row, struct ranges *ranges, uint64_t count, uint64_t stride_pages)
{
	if (ranges->area)
		return 1;
	int r = ranges_open(ranges, count, stride_pages, SEQUENTIAL);
	if (r < 0)
		row_skip(row, "%s ranges: %s", with_commas(count), why_not(r));
	return r >= 0;
}

static void on_curve(struct result *row, enum panel panel, const char *curve, double x)
{
	if (!row)
		return;
	row->panel = panel;
	row->curve = curve;
	row->x = x;
}

struct kind {
	const char *name;
	double (*run)(void *context, uint64_t count);
	unsigned calls;
	int changes; /* the ranges */
	const char *reference;
	const char *curve[2]; /* by order */
};

static const struct kind PAIR = {
	"pair", ranges_pairs, 2, 1, "2 syscalls", {"pin + unpin, in order", "pin + unpin, random"}};
static const struct kind PIN = {"pin", ranges_pins, 1, 1, "1 syscall", {NULL, "pin, random"}};
static const struct kind UNPIN = {
	"unpin", ranges_unpins, 1, 1, "1 syscall", {NULL, "unpin, random"}};
static const struct kind STATUS = {"status", ranges_status, 1, 0, "1 syscall", {NULL, NULL}};
static const struct kind SUBSUMED = {
	"subsumed unpin", ranges_subsumed_unpins, 1, 0, "1 syscall", {NULL, NULL}};
static const struct kind PINNED = {
	"pin of pinned", ranges_pinned_pins, 1, 0, "1 syscall", {NULL, NULL}};

static double target_of(const struct kind *kind, uint64_t count, enum order order)
{
	if (kind != &PAIR)
		return 0;
	if (count == 1)
		return 0.10;
	if (count == 1000 && order == RANDOM)
		return 0.20;
	return count == 1000000 && order == RANDOM ? 0.60 : 0;
}

static void row_of_kind(const struct kind *kind, struct ranges *ranges, uint64_t count,
	enum order order)
{
	static const char *const ORDER[] = {" sequential", " random"};
	struct result *row = row_begin("%s %s%s", kind->name, with_commas(count),
		kind->changes ? ORDER[order] : "");

	if (!row || !need(row, ranges, count, 2))
		return;
	if (ranges->order != order)
		ranges_order(ranges, order);
	if (kind->curve[order])
		on_curve(row, PANEL_RANGES, kind->curve[order], (double)count);
	struct timed subject = {.run = kind->run, .context = ranges};
	struct timed reference = reference_syscalls(kind->calls);
	double target = target_of(kind, count, order);
	row_measure(row, &subject, kind->reference, &reference,
		target > 0 ? TARGET_AT_MOST : TARGET_NONE, target);
}

static void rows_by_count(void)
{
	static const struct kind *const KINDS[] = {&PAIR, &PIN, &UNPIN};

	for (unsigned i = 0; i < LENGTH(COUNTS); i++) {
		struct ranges ranges = {.area = NULL};
		for (unsigned k = 0; k < LENGTH(KINDS); k++) {
			row_of_kind(KINDS[k], &ranges, COUNTS[i], SEQUENTIAL);
			row_of_kind(KINDS[k], &ranges, COUNTS[i], RANDOM);
		}
		if (ranges.area)
			ranges_close(&ranges);
	}
}

/* The pair beside what else one could build it on. */
static void rows_against_locks(void)
{
	static const uint64_t FEW[] = {1, 1000};

	for (unsigned i = 0; i < LENGTH(FEW); i++) {
		struct ranges ranges = {.area = NULL};
		struct timed subject = {.run = ranges_pairs, .context = &ranges};
		struct result *row = row_begin("pair %s against mutexes", with_commas(FEW[i]));
		if (row && need(row, &ranges, FEW[i], 2)) {
			struct timed mutexes = reference_mutexes(2);
			ranges_order(&ranges, RANDOM);
			row_measure(row, &subject, "2 mutex pairs", &mutexes, TARGET_NONE, 0);
		}
		row = row_begin("pair %s against a word", with_commas(FEW[i]));
		if (row && need(row, &ranges, FEW[i], 2)) {
			struct timed word = reference_word();
			ranges_order(&ranges, RANDOM);
			row_measure(row, &subject, "word + clock", &word, TARGET_NONE, 0);
		}
		if (ranges.area)
			ranges_close(&ranges);
	}
}

static void row_with(const char *what, struct ranges *ranges)
{
	struct result *row = row_begin("pair 1,000 with %s", what);

	if (!row || !need(row, ranges, 1000, 2))
		return;
	ranges_order(ranges, RANDOM);
	struct timed subject = {.run = ranges_pairs, .context = ranges};
	struct timed reference = reference_syscalls(2);
	row_measure(row, &subject, "2 syscalls", &reference, TARGET_NONE, 0);
}

/*
 * What a program pays in each pair that lets the library give memory back: a watch looks now and
 * then at what is free, a budget counts.
 */
static void rows_with_hooks(void)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof(limits), .unpinned_bytes = 1ull << 60};
	struct ashmem_budget_options none = {.struct_size = sizeof(none)};
	struct ranges ranges = {.area = NULL};
	struct ashmem_pressure *watch = NULL;

	section("The same while memory is looked after, random");
	int r = ashmem_pressure_open(NULL, &watch);
	if (r == 0)
		row_with("a watch", &ranges);
	else
		row_skip(row_begin("pair 1,000 with a watch"), "%s", why_not(r));
	ashmem_pressure_close(watch);
	ashmem_budget_set_limits(ashmem_budget_process(), &limits);
	row_with("a budget", &ranges);
	ashmem_budget_set_limits(ashmem_budget_process(), &none);
	if (ranges.area)
		ranges_close(&ranges);
}

/* Calls that find nothing to change. */
static void rows_without_change(void)
{
	static const struct kind *const KINDS[] = {&STATUS, &SUBSUMED, &PINNED};
	static const uint64_t SOME[] = {1, 1000, 1000000};

	section("Calls that change nothing, at so many ranges, random");
	for (unsigned i = 0; i < LENGTH(SOME); i++) {
		struct ranges ranges = {.area = NULL};
		for (unsigned k = 0; k < LENGTH(KINDS); k++)
			row_of_kind(KINDS[k], &ranges, SOME[i], RANDOM);
		if (ranges.area)
			ranges_close(&ranges);
	}
}

static void rows_by_size(void)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} SIZES[] = {
		{"8 MiB", 8ull << 20},
		{"64 MiB", 64ull << 20},
		{"1 GiB", 1ull << 30},
		{"16 GiB", 16ull << 30},
		{"256 GiB", 256ull << 30},
		{"4 TiB", 4ull << 40},
	};
	const uint64_t count = 1000;

	section("Size of the area: pin + unpin at 1,000 ranges spread over it, random");
	for (unsigned i = 0; i < LENGTH(SIZES); i++) {
		struct ranges ranges = {.area = NULL};
		struct result *row = row_begin("pair in %s", SIZES[i].name);
		uint64_t stride = SIZES[i].bytes / page_bytes() / count;
		if (!row || !need(row, &ranges, count, stride ? stride : 1))
			continue;
		ranges_order(&ranges, RANDOM);
		on_curve(row, PANEL_SIZE, "pin + unpin, random", (double)SIZES[i].bytes);
		struct timed subject = {.run = ranges_pairs, .context = &ranges};
		struct timed reference = reference_syscalls(2);
		row_measure(row, &subject, "2 syscalls", &reference, TARGET_NONE, 0);
		ranges_close(&ranges);
	}
}

void rows_pin(void)
{
	section("Pin and unpin, by the number of unpinned ranges in the area");
	rows_by_count();
	section("The same beside other locks");
	rows_against_locks();
	rows_with_hooks();
	rows_without_change();
	rows_by_size();
}
