/* SPDX-License-Identifier: MIT */
/*
 * Rows: pin and unpin of one range through each door: the library's own calls, and those of
 * libashmem-cutils, which have to find the area by its descriptor.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cutils/ashmem.h>

#include "bench.h"

#define PAGES 16
#define MANY 1000

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

static void pair_row(const char *name, double (*run)(void *, uint64_t), struct door *door)
{
	struct result *row = row_begin("%s", name);
	const struct timed pair = {.run = run, .context = door};
	const struct timed syscalls = reference_syscalls(2);

	if (row)
		row_measure(row, &pair, "2 syscalls", &syscalls, TARGET_NONE, 0);
}

void rows_cutils(void)
{
	struct door door = {.fd = -1};
	int others[MANY], r;

	section("pin + unpin through each door");
	if (!row_wanted("direct: pair") && !row_wanted("cutils: pair") &&
		!row_wanted("cutils: pair, 1,000 regions"))
		return;
	r = ashmem_create("bench", PAGES * page_bytes(), 0, &door.area);
	door.fd = r < 0 ? r : ashmem_export(door.area);
	if (door.fd < 0)
		die("an area with a descriptor", door.fd);
	pair_row("direct: pair", run_direct, &door);
	pair_row("cutils: pair", run_cutils, &door);
	for (r = 0; r < MANY; r++) {
		others[r] = ashmem_create_region("other", (size_t)page_bytes());
		if (others[r] < 0)
			break;
	}
	if (r == MANY)
		pair_row("cutils: pair, 1,000 regions", run_cutils, &door);
	else
		row_skip(row_begin("cutils: pair, 1,000 regions"), "too few descriptors");
	while (r > 0)
		close(others[--r]);
	close(door.fd);
	ashmem_close(door.area);
}
