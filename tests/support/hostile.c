/* SPDX-License-Identifier: MIT */
/* Calls on areas whose shared state may say anything: see hostile.h. */
#define _GNU_SOURCE 1
#include "support/hostile.h"
#include "support/areas.h"
#include "support/contract.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * Whether an answer is a success or one of the common errors; EINVAL because sizes may have
 * changed.
 */
static int is_documented(int64_t result)
{
	return result >= 0 || result == -EUCLEAN || result == -ETIMEDOUT || result == -EINVAL ||
		result == -EACCES || result == -ENOTSUP || result == -EBADF || result == -EPERM ||
		result == -ENXIO || result == -EOVERFLOW;
}

int damage_reports;

static int note(const char *call, int64_t result)
{
	damage_reports += result == -EUCLEAN;
	expect_msg(is_documented(result), "%s answers %d", call, (int)result);
	return result == -ETIMEDOUT;
}

/*
 * Memory within the size that the library reports must be there: a missing page would be a
 * SIGBUS.
 */
static int touch_all(struct ashmem_area *area)
{
	uint64_t size = ashmem_get_size(area);
	void *base = NULL;
	volatile unsigned char *bytes;
	int result;

	if (size == 0 || size > (uint64_t)1 << 30)
		return 0;
	result = ashmem_map(area, 0, (size_t)size, PROT_READ, MAP_SHARED, &base);
	if (result == 0) {
		bytes = base;
		(void)bytes[0];
		(void)bytes[size - 1];
		expect_eq(ashmem_unmap(base, (size_t)size), 0);
	}
	return note("map", result);
}

static int exercise_reading(struct ashmem_area *area)
{
	char bytes[64];

	return note("seek", ashmem_seek(area, 0, SEEK_SET)) ||
		note("seek for data", ashmem_seek(area, 0, SEEK_DATA)) ||
		note("read", ashmem_read(area, bytes, sizeof bytes)) ||
		note("pread", ashmem_pread(area, bytes, sizeof bytes, page_bytes()));
}

/* However the list is knotted, a walk as area.h describes it comes to an end. */
static int walk_ranges(struct ashmem_area *area)
{
	uint64_t offset = 0, length = 0, from = 0, steps = 0;
	uint64_t pages = ashmem_get_size(area) / page_bytes() + 2;
	uint32_t state = 0;
	int result;

	while ((result = ashmem_find_unpinned(area, from, &offset, &length, &state)) == 1) {
		if (offset + length <= from)
			break;
		from = offset + length;
		if (++steps > pages)
			break;
	}
	expect(steps <= pages);
	return note("find_unpinned", result);
}

static int exercise_pins(struct ashmem_area *area)
{
	uint64_t page = page_bytes();

	return note("status", ashmem_get_pin_status(area, 0, 0)) ||
		note("pin", ashmem_pin(area, page, page)) ||
		note("unpin", ashmem_unpin(area, 0, 2 * page)) ||
		note("unpin", ashmem_unpin(area, 4 * page, page)) || walk_ranges(area) ||
		note("pin", ashmem_pin(area, 0, 0)) || note("unpin", ashmem_unpin(area, 0, 0));
}

static int exercise_purging(struct ashmem_area *area)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof stats};
	struct ashmem_process_stats process = {.struct_size = sizeof process};

	(void)ashmem_shrink_count();
	return note("shrink", ashmem_shrink(1)) || note("purge_all", ashmem_purge_all()) ||
		note("stats", ashmem_area_get_stats(area, &stats)) ||
		note("process stats", ashmem_process_get_stats(&process));
}

int exercise_area(struct ashmem_area *area)
{
	char name[ASHMEM_NAME_LEN];

	memset(name, '#', sizeof name);
	if (ashmem_get_name(area, name, sizeof name) == 0)
		expect(memchr(name, '\0', sizeof name) != NULL);
	return note("get_prot", ashmem_get_prot(area)) || touch_all(area) ||
		exercise_reading(area) || exercise_pins(area) || exercise_purging(area) ||
		note("set_prot", ashmem_set_prot(area, PROT_RW)) ||
		note("set_prot", ashmem_set_prot(area, PROT_READ));
}
