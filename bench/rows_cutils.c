/* SPDX-License-Identifier: MIT */
/*
 * Rows: pin and unpin of one range through each door: the library's own calls, those of
 * libashmem-cutils, which have to find the area by its descriptor, and ioctls under ashmem-run.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cutils/ashmem.h>

#include "bench.h"

#define PAGES 16
#define MANY 1000

enum { PRELOADED, DIRECT, CUTILS, CUTILS_MANY, DOORS };
static const char *const names[DOORS] = {
	"ashmem-run: pair",
	"direct: pair",
	"cutils: pair",
	"cutils: pair, 1,000 regions",
};

struct door {
	struct ashmem_area *area;
	int fd;
};

static double run_direct(void *context, uint64_t count)
{
	const struct door *door = context;
	double begin = busy_ns();

	while (count--) {
		ashmem_unpin(door->area, 0, page_bytes());
		if (ashmem_pin(door->area, 0, page_bytes()) < 0)
			die("ashmem_pin", -1);
	}
	return busy_since(begin);
}

static double run_cutils(void *context, uint64_t count)
{
	const struct door *door = context;
	size_t length = (size_t)page_bytes();
	double begin = busy_ns();

	while (count--)
		if (ashmem_unpin_region(door->fd, 0, length) < 0 ||
			ashmem_pin_region(door->fd, 0, length) < 0)
			die_errno("ashmem_pin_region");
	return busy_since(begin);
}

static void pair_row(const char *name, double (*run)(void *, uint64_t), void *context)
{
	struct result *row = row_begin("%s", name);
	const struct timed pair = {.run = run, .context = context};
	const struct timed syscalls = reference_syscalls(2);

	if (row)
		row_measure(row, &pair, "2 syscalls", &syscalls, TARGET_NONE, 0);
}

static void row_preloaded(void)
{
	const char *name = names[PRELOADED];
	struct preloaded process;

	if (!row_wanted("%s", name))
		return;
	if (preloaded_start(&process) < 0) {
		row_skip(row_begin("%s", name), "ashmem-run.so cannot be loaded");
		return;
	}
	pair_row(name, preloaded_pairs, &process);
	preloaded_stop(&process);
}

void rows_cutils(void)
{
	struct door door = {.fd = -1};
	int others[MANY], r;

	section("pin + unpin through each door");
	for (int i = 0; i < DOORS && options.list; i++)
		row_begin("%s", names[i]);
	row_preloaded();
	if (!row_wanted("%s", names[DIRECT]) && !row_wanted("%s", names[CUTILS]) &&
		!row_wanted("%s", names[CUTILS_MANY]))
		return;
	r = ashmem_create("bench", PAGES * page_bytes(), 0, &door.area);
	door.fd = r < 0 ? r : ashmem_export(door.area);
	if (door.fd < 0)
		die("an area with a descriptor", door.fd);
	pair_row(names[DIRECT], run_direct, &door);
	pair_row(names[CUTILS], run_cutils, &door);
	for (r = 0; r < MANY; r++) {
		others[r] = ashmem_create_region("other", (size_t)page_bytes());
		if (others[r] < 0)
			break;
	}
	if (r == MANY)
		pair_row(names[CUTILS_MANY], run_cutils, &door);
	else
		row_skip(row_begin("%s", names[CUTILS_MANY]), "too few descriptors");
	while (r > 0)
		close(others[--r]);
	close(door.fd);
	ashmem_close(door.area);
}
