/* SPDX-License-Identifier: MIT */
/* The area under attack, and the bystanders. */
#include "hostile.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { TARGET_PAGES = 8192, FEW_PAGES = 96, QUIET_PAGES = 32, BUSY_PAGES = 48 };

static void unpin(struct target *target, uint64_t first, uint64_t count)
{
	must(ashmem_unpin(target->area, first * target->page, count * target->page) == 0);
}

/* Ranges of one to three pages, two in every five; some pinned again, some merged, some purged. */
static void fill_list(struct target *target)
{
	for (uint64_t i = 0; i + 5 < target->pages; i += 5) {
		unpin(target, i, 1 + i % 2);
		unpin(target, i + 3, 1);
	}
	for (uint64_t i = 0; i + 70 < target->pages; i += 70) {
		must(ashmem_pin(target->area, i * target->page, (1 + i % 2) * target->page) >= 0);
		unpin(target, i + 30, 3);
	}
	must(ashmem_shrink(target->pages / 10) >= 0);
	for (uint64_t i = 0; i + 40 < target->pages; i += 400)
		unpin(target, i, 8);
}

static void make(struct target *target, uint64_t pages, uint32_t flags)
{
	*target = (struct target){.page = sys_page_size(), .pages = pages};
	must(ashmem_create("target", pages * target->page, flags, &target->area) == 0);
	target->fd = fcntl(ashmem_fd(target->area), F_DUPFD_CLOEXEC, 0);
	must(target->fd >= 0);
}

void target_make(struct target *target, int many_ranges, uint32_t flags)
{
	void *data = NULL;

	make(target, many_ranges ? TARGET_PAGES : FEW_PAGES, flags);
	target->is_sealable = (flags & ASHMEM_CREATE_ALLOW_SEAL) != 0;
	must(ashmem_map(target->area, 0, target->pages * target->page, PROT_READ | PROT_WRITE,
		     MAP_SHARED, &data) == 0);
	target->data = data;
	for (uint64_t i = 0; i < target->pages; i += 16)
		target->data[i * target->page] = 1;
	fill_list(target);
	target->read_only = ashmem_export_read_only(target->area);
	must(target->read_only >= 0);
}

void target_make_huge(struct target *target, uint64_t pages)
{
	make(target, pages, 0);
	for (uint64_t i = 0; i < 40; i++)
		unpin(target, 3 * i, 2);
	target->read_only = -1;
}

/* -- bystanders -- */

static struct {
	struct ashmem_area *area;
	unsigned char *data;
} quiet, busy;
static uint64_t page;

static unsigned char byte_of(uint64_t index)
{
	return (unsigned char)(0x40 + index % 127);
}

static void fill(unsigned char *data, uint64_t index)
{
	memset(data + index * page, byte_of(index), page);
}

static int is_filled(const unsigned char *data, uint64_t index)
{
	for (uint64_t i = 0; i < page; i++)
		if (data[index * page + i] != byte_of(index))
			return 0;
	return 1;
}

static int is_zero(const unsigned char *data, uint64_t index)
{
	for (uint64_t i = 0; i < page; i++)
		if (data[index * page + i])
			return 0;
	return 1;
}

static void make_bystander(const char *name, uint64_t pages, struct ashmem_area **area,
	unsigned char **data)
{
	void *mapped = NULL;

	must(ashmem_create(name, pages * page, 0, area) == 0);
	must(ashmem_map(*area, 0, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, &mapped) == 0);
	*data = mapped;
	for (uint64_t i = 0; i < pages; i++)
		fill(*data, i);
}

static int is_unpinned_in_quiet(uint64_t index)
{
	return (index >= 4 && index < 8) || index == 20;
}

void bystanders_make(void)
{
	page = sys_page_size();
	make_bystander("quiet", QUIET_PAGES, &quiet.area, &quiet.data);
	make_bystander("busy", BUSY_PAGES, &busy.area, &busy.data);
	for (uint64_t i = 0; i < QUIET_PAGES; i++)
		if (is_unpinned_in_quiet(i))
			must(ashmem_unpin(quiet.area, i * page, page) == 0);
}

/* As a cache does: unpin, pin, rebuild if it was purged. One thread at a time. */
void bystanders_use(struct dice *dice)
{
	uint64_t first = roll(dice, BUSY_PAGES - 4), count = 1 + roll(dice, 4);

	must(ashmem_unpin(busy.area, first * page, count * page) == 0);
	if (roll(dice, 8) == 0)
		sched_yield();
	int r = ashmem_pin(busy.area, first * page, count * page);
	must(r == ASHMEM_NOT_PURGED || r == ASHMEM_WAS_PURGED);
	for (uint64_t i = first; i < first + count; i++) {
		if (!is_filled(busy.data, i) && r == ASHMEM_NOT_PURGED)
			fail("a bystander's page %d was not purged, and is not what it was",
				(int)i);
		fill(busy.data, i);
	}
	must(ashmem_get_pin_status(busy.area, 0, 0) == ASHMEM_IS_PINNED);
}

void bystanders_check(void)
{
	for (uint64_t i = 0; i < BUSY_PAGES; i++)
		must(is_filled(busy.data, i));
	must(ashmem_get_pin_status(busy.area, 0, 0) == ASHMEM_IS_PINNED);
	for (uint64_t i = 0; i < QUIET_PAGES; i++) {
		int unpinned = is_unpinned_in_quiet(i);
		must(ashmem_get_pin_status(quiet.area, i * page, page) ==
			(unpinned ? ASHMEM_IS_UNPINNED : ASHMEM_IS_PINNED));
		must(is_filled(quiet.data, i) || (unpinned && is_zero(quiet.data, i)));
	}
	/* And they are usable: purged when asked for, told once. */
	int64_t purged = ashmem_purge_all();
	must(purged >= 0 || purged == -EUCLEAN || purged == -ETIMEDOUT);
	for (uint64_t i = 0; i < QUIET_PAGES; i++)
		if (is_unpinned_in_quiet(i)) {
			must(is_zero(quiet.data, i));
			must(ashmem_pin(quiet.area, i * page, page) == ASHMEM_WAS_PURGED);
			must(ashmem_pin(quiet.area, i * page, page) == ASHMEM_NOT_PURGED);
			fill(quiet.data, i);
			must(ashmem_unpin(quiet.area, i * page, page) == 0);
		} else {
			must(is_filled(quiet.data, i));
		}
}
