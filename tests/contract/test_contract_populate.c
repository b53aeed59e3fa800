/* SPDX-License-Identifier: MIT */
/*
 * ashmem_populate(): pages are there before they are touched, hold what they held, and stay
 * purgeable one by one, also where huge pages were made of them.
 */
#define _GNU_SOURCE 1
#include "support/abilities.h"
#include "support/areas.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* So many pages that a whole huge page lies within, with pages of 4 KiB. */
enum { MANY = 1200 };

/* Populate some pages, or skip where the kernel cannot. */
static void populate(struct view *view, uint64_t first, uint64_t pages)
{
	int r = ashmem_populate(view->base + first * page_bytes(), pages * page_bytes());

	if (r == -ENOTSUP)
		contract_skip("MADV_POPULATE_READ is of Linux 5.14");
	expect_eq(r, 0);
}

static uint64_t resident_pages(const struct view *view)
{
	unsigned char *resident = calloc(view->pages, 1);
	uint64_t count = 0;

	expect(resident != NULL);
	expect_eq(mincore(view->base, view->pages * page_bytes(), resident), 0);
	for (uint64_t i = 0; i < view->pages; i++)
		count += resident[i] & 1;
	free(resident);
	return count;
}

CONTRACT_TEST(populate, new_pages_are_there_and_zero)
{
	struct view view;

	skip_without_populating();
	view = view_make(MANY);

	expect_eq(resident_pages(&view), 0);
	populate(&view, 0, MANY);
	expect_eq(resident_pages(&view), MANY);
	expect(pages_hold(&view, 0, MANY, 0));
	view_drop(&view);
}

CONTRACT_TEST(populate, only_the_pages_asked_for)
{
	struct view view;

	skip_without_populating();
	view = view_make(MANY);

	populate(&view, 3, 5);
	expect_eq(resident_pages(&view), 5);
	view_drop(&view);
}

CONTRACT_TEST(populate, contents_stay_and_so_do_ranges)
{
	struct view view = view_make(MANY);

	fill_pages(&view, 10, 700, 0x11);
	unpin_pages(view.area, 20, 5);
	populate(&view, 0, MANY);
	expect(pages_hold(&view, 10, 700, 0x11));
	expect(pages_hold(&view, 710, MANY - 710, 0));
	expect_eq(ashmem_get_pin_status(view.area, 20 * page_bytes(), page_bytes()),
		ASHMEM_IS_UNPINNED);
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(populate, pages_of_a_huge_page_are_purged_one_by_one)
{
	struct view view;

	skip_on_kernel("ashmem_shrink() leaves the driver's areas alone");
	skip_without_populating();
	view = view_make(MANY);
	populate(&view, 0, MANY);
	fill_pages(&view, 0, MANY, 0x11);
	for (uint64_t page = 5; page < MANY; page += 100)
		unpin_pages(view.area, page, 1);
	expect_eq(ashmem_shrink(MANY), MANY / 100);
	for (uint64_t page = 0; page < MANY; page++)
		expect(pages_hold(&view, page, 1, page % 100 == 5 ? 0 : 0x11));
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_WAS_PURGED);
	populate(&view, 0, MANY);
	expect(pages_hold(&view, 6, 99, 0x11));
	expect_eq(resident_pages(&view), MANY);
	view_drop(&view);
}

CONTRACT_TEST(populate, large_mappings_lie_as_huge_pages_do)
{
	size_t page = page_bytes(), huge = page * (page / 8);
	struct ashmem_area *area;
	void *addr;

	skip_on_kernel("the driver maps where it likes");
	skip_without_unmapping();
	expect_eq(ashmem_create("large", 3 * huge, 0, &area), 0);
	for (uint64_t at = 0; at < 3; at++) {
		expect_eq(ashmem_map(area, at * page, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED,
				  &addr),
			0);
		expect_eq((uintptr_t)addr % huge, at * page);
		/* Nothing is left around it: there is something else, or nothing. */
		expect_eq(ashmem_unmap(addr, 2 * huge), 0);
		expect(madvise(addr, page, MADV_NORMAL) < 0 && errno == ENOMEM);
	}
	ashmem_close(area);
}

CONTRACT_TEST(populate, arguments_are_checked)
{
	struct view view = view_make(4);
	size_t page = page_bytes();

	expect_eq(ashmem_populate(NULL, page), -EINVAL);
	expect_eq(ashmem_populate(view.base + 1, page), -EINVAL);
	expect_eq(ashmem_populate(view.base, 0), -EINVAL);
	expect_eq(ashmem_populate(view.base, SIZE_MAX), -ENOMEM);
	populate(&view, 0, 4);
	expect_eq(ashmem_populate(view.base, 1), 0);
	view_drop(&view);
}

CONTRACT_TEST(populate, memory_that_is_not_mapped_is_an_error)
{
	struct view view;
	unsigned char *base;
	size_t page = page_bytes();

	skip_without_populating();
	view = view_make(4);
	base = view.base;
	populate(&view, 0, 4);
	expect_eq(ashmem_unmap(base + 2 * page, page), 0);
	expect_eq(ashmem_populate(base, 4 * page), -ENOMEM);
	expect_eq(mprotect(base, page, PROT_NONE), 0);
	expect_eq(ashmem_populate(base, page), -ENOTSUP);
	ashmem_unmap(base, page);
	ashmem_close(view.area);
}

/* D11 */

/*
 * Where a touch would end in SIGBUS, populating returns an error. Under strict overcommit that is
 * memory that the system does not have; here it is a page that a foreign memfd has no longer, for
 * which the kernel gives touching and populating the same answer.
 */
CONTRACT_TEST(populate, d11_what_cannot_be_had_is_an_error_and_no_signal)
{
	struct view view;
	int fd, r;

	skip_without_populating();
	fd = foreign_memfd(4 * page_bytes());
	view = view_of(import_area(fd));
	expect_eq(ftruncate(fd, (off_t)page_bytes()), 0);
	populate(&view, 0, 1);
	r = ashmem_populate(view.base, 4 * page_bytes());
	expect_msg(r == -EFAULT || r == -ENOMEM, "populating what is not there: %d", r);
	view_drop(&view);
	close(fd);
}

static int strict_overcommit(void)
{
	FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
	int mode = file ? fgetc(file) : EOF;

	if (file)
		fclose(file);
	return mode == '2';
}

/* The bytes that may still be charged, or -1. */
static int64_t bytes_to_be_charged(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	long long limit = -1, used = -1;
	char line[200];

	while (file && fgets(line, sizeof line, file)) {
		if (sscanf(line, "CommitLimit: %lld", &limit) != 1)
			sscanf(line, "Committed_AS: %lld", &used);
	}
	if (file)
		fclose(file);
	return limit < 0 || used < 0 ? -1 : (limit - used) * 1024;
}

CONTRACT_TEST(populate, d11_more_than_the_system_commits_is_an_error_and_no_signal)
{
	int64_t free_bytes = bytes_to_be_charged();
	struct view view;

	skip_on_kernel("the driver refuses the map");
	skip_without_populating();
	if (!strict_overcommit())
		contract_skip("needs vm.overcommit_memory=2");
	expect(free_bytes > 0);
	view = view_make(((uint64_t)free_bytes + ((uint64_t)1 << 28)) / page_bytes());
	struct view late = view_make(1);
	unpin_pages(view.area, 0, 1); /* from here on it has a state */
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_NOT_PURGED);
	expect(ashmem_populate(view.base, view.pages * page_bytes()) < 0);
	expect_eq(ashmem_unpin(late.area, 0, 0), -ENOMEM); /* no memory for a state */
	unpin_pages(view.area, 0, view.pages);
	expect(ashmem_shrink(view.pages) > 0);
	unpin_pages(late.area, 0, 1);
	view_drop(&late);
	view_drop(&view);
}
