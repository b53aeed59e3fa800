/* SPDX-License-Identifier: MIT */
/* What the stress programs share: see stress.h. */
#define _GNU_SOURCE 1
#include "support/stress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memfd/control.h"

/* Pages come and go whole: a word of every so many says enough, and leaves time for the calls. */
enum { SAMPLE = 64 };

void stress_fail(const char *format, ...)
{
	char text[500];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "process %d: %s\n", (int)getpid(), text);
	_exit(1);
}

double stress_seconds(void)
{
	const char *text = getenv("ASHMEM_STRESS_SECONDS");
	double seconds = text ? strtod(text, NULL) : 0;

	return seconds > 0 ? seconds : 5;
}

uint64_t stress_random(struct stress_worker *worker, uint64_t below)
{
	return random_below(&worker->random, below);
}

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* -- areas -- */

uint64_t stress_area_pages(uint32_t stripes)
{
	return (uint64_t)stripes * STRESS_STRIPE + STRESS_COMMON;
}

void stress_map_areas(struct stress_worker *worker)
{
	for (int i = 0; i < STRESS_AREAS; i++) {
		size_t bytes = (size_t)ashmem_get_size(worker->area[i]);
		void *base = NULL;
		int r = ashmem_map(worker->area[i], 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			&base);
		if (r < 0)
			stress_fail("map answers %d", r);
		worker->base[i] = base;
	}
}

void stress_make_areas(struct stress_worker *worker, uint32_t stripes)
{
	worker->stripes = stripes;
	stress_expect(ashmem_backend_select("memfd") == 0);
	for (int i = 0; i < STRESS_AREAS; i++)
		stress_expect(ashmem_create("stress", stress_area_pages(stripes) * page_size(), 0,
				      &worker->area[i]) == 0);
	stress_map_areas(worker);
}

void stress_check_areas(struct stress_worker *worker)
{
	for (int i = 0; i < STRESS_AREAS; i++) {
		struct control_map map = {.fd = -1};
		struct stat status;
		int fd = ashmem_fd(worker->area[i]), r;

		stress_expect(fstat(fd, &status) == 0);
		r = control_attach(&map, fd, &status);
		if (r != 0)
			stress_fail("area %d cannot be attached to: %d", i, r);
		control_detach(&map);
		r = ashmem_pin(worker->area[i], 0, 0);
		stress_expect(r == ASHMEM_NOT_PURGED || r == ASHMEM_WAS_PURGED);
		stress_expect(ashmem_get_pin_status(worker->area[i], 0, 0) == ASHMEM_IS_PINNED);
	}
}

/* -- pages -- */

static uint32_t *words_of(struct stress_worker *worker, int area, uint32_t page)
{
	uint64_t first = (uint64_t)worker->number * STRESS_STRIPE;

	return (uint32_t *)(void *)(worker->base[area] + (first + page) * page_size());
}

static uint64_t offset_of(const struct stress_worker *worker, uint32_t page)
{
	return ((uint64_t)worker->number * STRESS_STRIPE + page) * page_size();
}

static void fill(struct stress_worker *worker, int area, uint32_t page, uint32_t value)
{
	uint32_t *words = words_of(worker, area, page);

	for (uint64_t i = 0; i < page_size() / sizeof(*words); i += SAMPLE)
		words[i] = value;
}

static int holds(struct stress_worker *worker, int area, uint32_t page, uint32_t value)
{
	const uint32_t *words = words_of(worker, area, page);
	uint32_t differences = 0;

	for (uint64_t i = 0; i < page_size() / sizeof(*words); i += SAMPLE)
		differences |= words[i] ^ value;
	return differences == 0;
}

/* The order of these stores is what a successor relies on; it sees them as this process made them.
 */
static void set_state(struct stress_page *page, enum stress_page_state state)
{
	__atomic_store_n(&page->state, (uint32_t)state, __ATOMIC_SEQ_CST);
}

static void rewrite(struct stress_worker *worker, int area, uint32_t page)
{
	struct stress_page *record = &worker->pages[area][page];

	set_state(record, STRESS_IN_DOUBT);
	record->value = 1 + (uint32_t)stress_random(worker, UINT32_MAX - 1);
	fill(worker, area, page, record->value);
	set_state(record, STRESS_PINNED);
}

static void complain(struct stress_worker *worker, int area, uint32_t page, const char *what)
{
	stress_fail("worker %d, area %d, page %" PRIu32 " of its stripe: %s (first word %#" PRIx32
		    ", not %#" PRIx32 ")",
		worker->number, area, page, what, words_of(worker, area, page)[0],
		worker->pages[area][page].value);
}

/* A page is pinned now that was in another state; `result` is what the pin said. */
static void check_pinned(struct stress_worker *worker, int area, uint32_t page, uint32_t was,
	int result)
{
	struct stress_page *record = &worker->pages[area][page];
	int whole = holds(worker, area, page, record->value);

	if (whole) {
		worker->kept++;
	} else if (was == STRESS_PINNED) {
		complain(worker, area, page, "a pinned page lost its data");
	} else if (was == STRESS_UNPINNED && result == ASHMEM_NOT_PURGED) {
		complain(worker, area, page, "NOT_PURGED, and the data are lost");
	} else if (was == STRESS_UNPINNED && !holds(worker, area, page, 0)) {
		complain(worker, area, page, "neither whole nor zero");
	} else {
		worker->purged++;
		rewrite(worker, area, page);
	}
	set_state(record, STRESS_PINNED);
}

/* -- steps -- */

static void pin(struct stress_worker *worker, int area, uint32_t first, uint32_t last)
{
	uint32_t was[STRESS_STRIPE];
	int r;

	for (uint32_t page = first; page <= last; page++) {
		was[page] = worker->pages[area][page].state;
		if (was[page] == STRESS_UNPINNED)
			set_state(&worker->pages[area][page], STRESS_IN_DOUBT);
	}
	r = ashmem_pin(worker->area[area], offset_of(worker, first),
		(last - first + 1) * page_size());
	if (r != ASHMEM_NOT_PURGED && r != ASHMEM_WAS_PURGED)
		stress_fail("pin answers %d", r);
	for (uint32_t page = first; page <= last; page++)
		check_pinned(worker, area, page, was[page], r);
}

static void unpin(struct stress_worker *worker, int area, uint32_t first, uint32_t last)
{
	int r;

	for (uint32_t page = first; page <= last; page++)
		set_state(&worker->pages[area][page], STRESS_IN_DOUBT);
	r = ashmem_unpin(worker->area[area], offset_of(worker, first),
		(last - first + 1) * page_size());
	if (r != 0)
		stress_fail("unpin answers %d", r);
	for (uint32_t page = first; page <= last; page++)
		set_state(&worker->pages[area][page], STRESS_UNPINNED);
}

/* Nobody else changes these pages' state, so the answer is known. */
static void ask(struct stress_worker *worker, int area, uint32_t first, uint32_t last)
{
	int want = ASHMEM_IS_PINNED;
	int r = ashmem_get_pin_status(worker->area[area], offset_of(worker, first),
		(last - first + 1) * page_size());

	for (uint32_t page = first; page <= last; page++)
		if (worker->pages[area][page].state == STRESS_UNPINNED)
			want = ASHMEM_IS_UNPINNED;
	if (r != want)
		stress_fail("status answers %d, not %d", r, want);
}

static void use(struct stress_worker *worker, int area, uint32_t first, uint32_t last)
{
	for (uint32_t page = first; page <= last; page++) {
		if (worker->pages[area][page].state != STRESS_PINNED)
			continue;
		check_pinned(worker, area, page, STRESS_PINNED, ASHMEM_NOT_PURGED);
		if (stress_random(worker, 2))
			rewrite(worker, area, page);
	}
}

static void purge(struct stress_worker *worker)
{
	uint64_t kind = stress_random(worker, 8);
	int64_t r = kind == 0 ? ashmem_purge_all() : ashmem_shrink(stress_random(worker, 20));

	if (r < 0)
		stress_fail("purging answers %" PRId64, r);
	(void)ashmem_shrink_count();
}

/* Pages behind the stripes belong to all: what happens to them is nobody's promise. */
static void step_on_common_pages(struct stress_worker *worker, int area)
{
	uint64_t first = (uint64_t)worker->stripes * STRESS_STRIPE;
	uint64_t page = stress_random(worker, STRESS_COMMON);
	uint64_t count = 1 + stress_random(worker, STRESS_COMMON - page);
	uint64_t offset = (first + page) * page_size(), length = count * page_size();
	int r = stress_random(worker, 2) ? ashmem_pin(worker->area[area], offset, length)
					 : ashmem_unpin(worker->area[area], offset, length);

	if (r < 0)
		stress_fail("a call on common pages answers %d", r);
}

/* The list seen from outside is in order at any time. */
static void walk(struct stress_worker *worker, int area)
{
	uint64_t from = 0, size = ashmem_get_size(worker->area[area]), offset, length;
	uint32_t state;
	int r;

	while ((r = ashmem_find_unpinned(worker->area[area], from, &offset, &length, &state)) ==
		1) {
		stress_expect(length > 0 && offset + length > from && offset + length <= size);
		from = offset + length;
	}
	stress_expect(r == 0);
}

static void import_and_close(struct stress_worker *worker, int area)
{
	struct ashmem_area *again = NULL;
	int r = ashmem_import(ashmem_fd(worker->area[area]), &again);

	if (r != 0)
		stress_fail("import answers %d", r);
	stress_expect(again == worker->area[area]);
	ashmem_close(again);
}

static void make_and_close(struct stress_worker *worker)
{
	struct ashmem_area *area = NULL;
	void *base = NULL;
	uint64_t bytes = (1 + stress_random(worker, 5)) * page_size();

	stress_expect(ashmem_create("short life", bytes, 0, &area) == 0);
	stress_expect(ashmem_map(area, 0, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			      &base) == 0);
	*(uint32_t *)base = 1;
	stress_expect(ashmem_unpin(area, 0, 0) == 0);
	if (stress_random(worker, 2))
		purge(worker);
	int r = ashmem_pin(area, 0, 0);
	stress_expect(r >= 0);
	stress_expect(r == ASHMEM_WAS_PURGED || *(uint32_t *)base == 1);
	stress_expect(ashmem_unmap(base, (size_t)bytes) == 0);
	ashmem_close(area);
}

void stress_take_over(struct stress_worker *worker)
{
	for (int area = 0; area < STRESS_AREAS; area++)
		for (uint32_t page = 0; page < STRESS_STRIPE; page++)
			pin(worker, area, page, page);
}

void stress_step(struct stress_worker *worker)
{
	int area = (int)stress_random(worker, STRESS_AREAS);
	uint32_t first = (uint32_t)stress_random(worker, STRESS_STRIPE);
	uint32_t last = first + (uint32_t)stress_random(worker, STRESS_STRIPE - first);
	uint64_t draw = stress_random(worker, 100);

	worker->steps++;
	if (draw < 30)
		pin(worker, area, first, last);
	else if (draw < 60)
		unpin(worker, area, first, last);
	else if (draw < 70)
		ask(worker, area, first, last);
	else if (draw < 80)
		use(worker, area, first, last);
	else if (draw < 86)
		purge(worker);
	else if (draw < 94)
		step_on_common_pages(worker, area);
	else if (draw < 96)
		walk(worker, area);
	else if (draw < 98)
		import_and_close(worker, area);
	else
		make_and_close(worker);
}
