/* SPDX-License-Identifier: MIT */
/*
 * Rows: purging the oldest 500 ranges of many, in one area or spread over many, per range purged.
 *
 * Ranges are pages with pinned ones between them, unpinned area by area in turn (so that
 * consecutive ages lie in different areas) and at random places within each. A round purges the
 * oldest 500 and then unpins them anew, which makes them the youngest.
 *
 * The reference punches the same pages of memfds of the same layout, one call for each page, in the
 * same order. Pages that were never touched make the punch cheap; what is left when its cost is
 * subtracted is the library's bookkeeping. "Growth" rows are the cost with 1,000,000 ranges beside
 * that with 1,000, each taken in units of an empty system call of the same round, since the two
 * cannot exist at the same time (a purge goes over all areas of the process).
 *
 * The row of budgets pins and unpins areas of one range at random. The budget lets half of them
 * stay, so that every second unpin purges one. The reference does that with few areas.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <unistd.h>

#include "bench.h"

#define PURGED 500
#define STRIDE 2
#define FEW 1000
#define MANY 1000000
#define FEW_AREAS 10
#define MOST_AREAS 1000
#define SECTION "Purge of the oldest 500 of RANGES/AREAS, per range (own: less the punching)"
/* The name of the row that compares 1,000,000 ranges in 1,000 areas with 1,000 ranges in one. */
#define ACROSS "shrink growth 1 to 1,000 areas"

/* Areas and memfds alike, and the ranges of all in the order of their age. */
struct forest {
	uint64_t areas, per_area, page, area_bytes;
	struct ashmem_area **area;
	char **mapped; /* areas, then memfds; NULL if too large to map */
	int *memfd;
	uint32_t *place;   /* the order within each area */
	uint64_t head, at; /* the oldest range; the next to punch */
	int touch;
};

/* Of one forest, per range: each round, and medians. */
struct cost {
	unsigned rounds;
	double in_calls[ROUNDS_MAX]; /* the whole cost, in empty system calls */
	double bookkeeping_in_calls[ROUNDS_MAX];
	double ns, bookkeeping_ns, call_ns;
};

static uint64_t item_offset(const struct forest *forest, uint64_t item)
{
	return forest->place[item / forest->areas % forest->per_area] * STRIDE * forest->page;
}

static uint64_t advance(const struct forest *forest, uint64_t item, uint64_t by)
{
	return (item + by) % (forest->areas * forest->per_area);
}

static void unpin_item(struct forest *forest, uint64_t item)
{
	int r = ashmem_unpin(forest->area[item % forest->areas], item_offset(forest, item),
		forest->page);

	if (r < 0)
		die("ashmem_unpin", r);
}

static void forest_open(struct forest *forest, uint64_t areas, uint64_t ranges)
{
	*forest = (struct forest){.areas = areas, .per_area = ranges / areas, .page = page_bytes()};
	forest->area_bytes = forest->per_area * STRIDE * forest->page;
	forest->area = allocate(areas, sizeof(*forest->area));
	forest->memfd = allocate(areas, sizeof(*forest->memfd));
	forest->mapped = allocate(2 * areas, sizeof(*forest->mapped));
	forest->place = allocate(forest->per_area, sizeof(*forest->place));
	for (uint64_t i = 0; i < forest->per_area; i++) {
		uint64_t j = random_next() % (i + 1);
		forest->place[i] = forest->place[j];
		forest->place[j] = (uint32_t)i;
	}
	for (uint64_t i = 0; i < areas; i++) {
		int r = area_open(forest->area_bytes, &forest->area[i]);
		if (r < 0)
			die("an area to shrink", r);
		forest->memfd[i] = memfd_open(forest->area_bytes);
	}
	for (uint64_t i = 0; i < areas * forest->per_area; i++)
		unpin_item(forest, i);
}

static int forest_map(struct forest *forest)
{
	if (forest->area_bytes > SIZE_MAX / 4 / forest->areas)
		return 0;
	for (uint64_t i = 0; i < 2 * forest->areas; i++) {
		int fd = i < forest->areas ? ashmem_fd(forest->area[i])
					   : forest->memfd[i - forest->areas];
		void *addr = mmap(NULL, (size_t)forest->area_bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
		if (addr == MAP_FAILED)
			die_errno("mmap");
		forest->mapped[i] = addr;
	}
	return 1;
}

static void forest_close(struct forest *forest)
{
	for (uint64_t i = 0; i < forest->areas; i++) {
		if (forest->mapped[i]) {
			munmap(forest->mapped[i], (size_t)forest->area_bytes);
			munmap(forest->mapped[forest->areas + i], (size_t)forest->area_bytes);
		}
		ashmem_close(forest->area[i]);
		close(forest->memfd[i]);
	}
	free(forest->area);
	free(forest->memfd);
	free(forest->mapped);
	free(forest->place);
}

static void touch_oldest(struct forest *forest, uint64_t from, uint64_t first_mapping)
{
	for (uint64_t i = 0; forest->touch && i < PURGED; i++) {
		uint64_t item = advance(forest, from, i);
		forest->mapped[first_mapping + item % forest->areas][item_offset(forest, item)] = 1;
	}
}

static double run_shrink(void *context, uint64_t count)
{
	struct forest *forest = context;
	double sum = 0;

	while (count--) {
		touch_oldest(forest, forest->head, 0);
		double begin = busy_ns();
		int64_t freed = ashmem_shrink(PURGED);
		sum += busy_since(begin);
		if (freed != PURGED)
			die("ashmem_shrink", freed);
		for (uint64_t i = 0; i < PURGED; i++) {
			uint64_t item = advance(forest, forest->head, i);
			int r = ashmem_pin(forest->area[item % forest->areas],
				item_offset(forest, item), forest->page);
			if (r != ASHMEM_WAS_PURGED)
				die("pin of the oldest", r);
			unpin_item(forest, item);
		}
		forest->head = advance(forest, forest->head, PURGED);
	}
	return sum;
}

static double run_punch(void *context, uint64_t count)
{
	struct forest *forest = context;
	double sum = 0;

	while (count--) {
		touch_oldest(forest, forest->at, forest->areas);
		double begin = busy_ns();
		for (uint64_t i = 0; i < PURGED; i++) {
			uint64_t item = advance(forest, forest->at, i);
			if (fallocate(forest->memfd[item % forest->areas],
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    (off_t)item_offset(forest, item), (off_t)forest->page) < 0)
				die_errno("fallocate");
		}
		sum += busy_since(begin);
		forest->at = advance(forest, forest->at, PURGED);
	}
	return sum;
}

/* Take turns: [0] empty system calls, [1] punches, [2] the library. */
static void forest_measure(struct forest *forest, int touch, struct series *series)
{
	struct timed things[] = {
		reference_syscalls(1),
		{.run = run_punch, .context = forest, .units = PURGED, .count = 1},
		{.run = run_shrink, .context = forest, .units = PURGED, .count = 1},
	};

	forest->touch = touch;
	measure(things, 3, series);
}

static void whole_row(struct result *row, const struct series *series)
{
	if (!row)
		return;
	row->ours = median_of(series->ns[2], series->rounds);
	row->reference = "raw punch";
	row->reference_value = median_of(series->ns[1], series->rounds);
	row->ratio = stats_of_ratio(series->ns[2], series->ns[1], series->rounds);
	row_end(row);
}

static void cost_of(const struct series *series, struct cost *cost)
{
	double bookkeeping[ROUNDS_MAX];

	cost->rounds = series->rounds;
	for (unsigned i = 0; i < series->rounds; i++) {
		double rest = series->ns[2][i] - series->ns[1][i];
		bookkeeping[i] = rest > 0 ? rest : 0;
		cost->in_calls[i] = series->ns[2][i] / series->ns[0][i];
		cost->bookkeeping_in_calls[i] = bookkeeping[i] / series->ns[0][i];
	}
	cost->call_ns = median_of(series->ns[0], series->rounds);
	cost->ns = median_of(series->ns[2], series->rounds);
	cost->bookkeeping_ns = median_of(bookkeeping, series->rounds);
}

static void bookkeeping_row(struct result *row, const struct cost *cost)
{
	if (!row)
		return;
	row->ours = cost->bookkeeping_ns;
	row->reference = "1 syscall";
	row->reference_value = cost->call_ns;
	row->ratio = stats_of(cost->bookkeeping_in_calls, cost->rounds);
	row_end(row);
}

/* What follows from two sizes, without measuring again. */
static void growth_row(struct result *row, const struct cost *many, const struct cost *few,
	int bookkeeping, int has_target)
{
	unsigned rounds = many->rounds < few->rounds ? many->rounds : few->rounds;

	if (!row)
		return;
	if (bookkeeping && few->bookkeeping_ns <= 0) {
		row_skip(row, "too disturbed to tell it from the punching");
		return;
	}
	row->ours = bookkeeping ? many->bookkeeping_ns : many->ns;
	row->reference = "1,000 ranges";
	row->reference_value = bookkeeping ? few->bookkeeping_ns : few->ns;
	row->ratio = bookkeeping
		? stats_of_ratio(many->bookkeeping_in_calls, few->bookkeeping_in_calls, rounds)
		: stats_of_ratio(many->in_calls, few->in_calls, rounds);
	row->target = has_target ? TARGET_AT_MOST : TARGET_NONE;
	row->target_ratio = 4;
	row_end(row);
}

/* Rows of one forest. `needed`: other rows want its cost. */
static void forest_rows(uint64_t areas, uint64_t ranges, int needed, struct cost *cost)
{
	struct result *whole, *bookkeeping, *touched;
	struct forest forest;
	struct series series;

	whole = row_begin("shrink %s/%s", with_commas(ranges), with_commas(areas));
	bookkeeping = row_begin("shrink %s/%s own", with_commas(ranges), with_commas(areas));
	touched = row_begin("shrink %s/%s touched", with_commas(ranges), with_commas(areas));
	if (!whole && !bookkeeping && !touched && !needed)
		return;
	forest_open(&forest, areas, ranges);
	if (whole || bookkeeping || needed) {
		forest_measure(&forest, 0, &series);
		cost_of(&series, cost);
		whole_row(whole, &series);
		bookkeeping_row(bookkeeping, cost);
	}
	if (touched && !forest_map(&forest)) {
		row_skip(touched, "too large to map here");
	} else if (touched) {
		forest_measure(&forest, 1, &series);
		whole_row(touched, &series);
	}
	forest_close(&forest);
}

static int growth_wanted(uint64_t areas)
{
	return row_wanted("shrink growth %s areas", with_commas(areas)) ||
		row_wanted("shrink growth %s areas own", with_commas(areas)) ||
		(areas == MOST_AREAS && row_wanted(ACROSS));
}

static void growth_rows(uint64_t areas, const struct cost *many, const struct cost *few,
	const struct cost *few_in_one)
{
	int has_target = areas == MOST_AREAS;
	const char *name = with_commas(areas);

	growth_row(row_begin("shrink growth %s areas", name), many, few, 0, has_target);
	growth_row(row_begin("shrink growth %s areas own", name), many, few, 1, 0);
	if (has_target)
		growth_row(row_begin(ACROSS), many, few_in_one, 0, 1);
}

/* Areas of one page in a budget for half of them. */
struct crowd {
	uint64_t areas;
	struct ashmem_area **area;
	struct ashmem_budget *budget;
};

static void crowd_open(struct crowd *crowd, uint64_t areas)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof(limits), .unpinned_bytes = areas / 2 * page_bytes()};
	int r = ashmem_budget_create(&limits, &crowd->budget);

	crowd->areas = areas;
	crowd->area = allocate(areas, sizeof(*crowd->area));
	for (uint64_t i = 0; r >= 0 && i < areas; i++) {
		r = area_open(page_bytes(), &crowd->area[i]);
		if (r >= 0)
			r = ashmem_budget_add(crowd->budget, crowd->area[i]);
		if (r >= 0)
			r = ashmem_unpin(crowd->area[i], 0, 0);
	}
	if (r < 0)
		die("areas in a budget", r);
}

static void crowd_close(struct crowd *crowd)
{
	for (uint64_t i = 0; i < crowd->areas; i++)
		ashmem_close(crowd->area[i]);
	ashmem_budget_close(crowd->budget);
	free(crowd->area);
}

static double run_pairs(void *context, uint64_t count)
{
	struct crowd *crowd = context;
	double begin = busy_ns();

	while (count--) {
		struct ashmem_area *area = crowd->area[random_next() % crowd->areas];
		int pin = ashmem_pin(area, 0, 0);
		int unpin = ashmem_unpin(area, 0, 0);
		if ((pin | unpin) < 0)
			die("pin and unpin", pin < 0 ? pin : unpin);
	}
	return busy_since(begin);
}

static void budget_row(void)
{
	struct result *row = row_begin("budget pair %s areas", with_commas(MOST_AREAS));
	struct crowd few, many;
	struct series series;

	if (!row)
		return;
	crowd_open(&few, FEW_AREAS);
	crowd_open(&many, MOST_AREAS);
	struct timed things[] = {
		{.run = run_pairs, .context = &few, .units = 1},
		{.run = run_pairs, .context = &many, .units = 1},
	};
	measure(things, 2, &series);
	row->ours = median_of(series.ns[1], series.rounds);
	row->reference = "10 areas";
	row->reference_value = median_of(series.ns[0], series.rounds);
	row->ratio = stats_of_ratio(series.ns[1], series.ns[0], series.rounds);
	row->target = TARGET_AT_MOST;
	row->target_ratio = 10;
	row_end(row);
	crowd_close(&few);
	crowd_close(&many);
}

void rows_shrink(void)
{
	static const uint64_t AREAS[] = {1, 10, MOST_AREAS};
	struct cost few_in_one = {.rounds = 0}, few = few_in_one, many = few_in_one;

	section(SECTION);
	if (!purges_here()) {
		row_skip(row_begin("shrink"), "the kernel purges the driver's areas");
		return;
	}
	if (!descriptors_suffice(2 * MOST_AREAS + 64)) {
		row_skip(row_begin("shrink"), "too few descriptors (ulimit -n)");
		return;
	}
	for (unsigned i = 0; i < sizeof(AREAS) / sizeof(*AREAS); i++) {
		uint64_t areas = AREAS[i];
		int growth = growth_wanted(areas);
		int for_later = areas == 1 && row_wanted(ACROSS);
		forest_rows(areas, FEW, growth || for_later, &few);
		if (areas == 1)
			few_in_one = few;
		forest_rows(areas, MANY, growth, &many);
		growth_rows(areas, &many, &few, &few_in_one);
	}
	budget_row();
}
