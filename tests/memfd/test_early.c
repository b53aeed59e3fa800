/* SPDX-License-Identifier: MIT */
/*
 * Early descriptors when a process dies while it materialises the area: the next one finds name,
 * size and mask, in the record or in the control block, and starts anew.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include "base/sys.h"
#include "handle/handle.h"
#include "memfd/area.h"
#include "memfd/early.h"

#include <string.h>
#include <unistd.h>

static struct memfd_area *memfd_of(struct ashmem_area *area)
{
	return area->state;
}

static struct ashmem_area *early_area(void)
{
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_backend_select("memfd"), 0);
	expect_eq(ashmem_create("survivor", 3 * page_bytes(), 0, &area), 0);
	close(ashmem_export_early(area));
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	return area;
}

static void expect_whole(struct ashmem_area *area)
{
	expect_eq(ashmem_is_materialised(area), 0);
	expect_eq(ashmem_get_size(area), 3 * page_bytes());
	expect_eq(ashmem_get_prot(area), PROT_RW);
	expect_name(area, "survivor");
	struct view view = view_of(area);
	expect(pages_hold(&view, 0, 3, 0));
	expect_eq(ashmem_get_prot(area), PROT_RW);
	fill_pages(&view, 0, 3, 1);
	unpin_pages(area, 0, 3);
	expect_eq(purge_everything(), 3);
	view_drop(&view);
}

static void die_before_the_seals(void *argument)
{
	struct memfd_area *area = memfd_of(argument);

	expect_eq(memfd_newborn_begin(area), 0);
	expect_eq(early_lay_out(area), 0);
	_exit(0); /* with the lock on the file */
}

CONTRACT_TEST(early_deaths, before_the_seals_the_control_block_has_it)
{
	struct ashmem_area *area = early_area();
	char magic[8];

	run_child(die_before_the_seals, area);
	/* The record is gone, and nothing is left of it in the data. */
	expect_eq(sys_read_at(memfd_of(area)->fd, magic, sizeof(magic), 0), sizeof(magic));
	expect(memcmp(magic, "\0\0\0\0\0\0\0\0", sizeof(magic)) == 0);
	expect_whole(area);
}

static void die_before_the_record_goes(void *argument)
{
	struct memfd_area *area = memfd_of(argument);

	expect_eq(memfd_newborn_begin(area), 0);
	expect_eq(control_reserve(area->fd, area->size_bytes), 0);
	expect_eq(control_write(area->fd, area->size_bytes, PROT_READ, "another"), 0);
	_exit(0);
}

CONTRACT_TEST(early_deaths, as_long_as_there_is_a_record_it_counts)
{
	struct ashmem_area *area = early_area();

	run_child(die_before_the_record_goes, area);
	expect_whole(area);
}

static void die_with_a_longer_file(void *argument)
{
	struct memfd_area *area = memfd_of(argument);

	expect_eq(memfd_newborn_begin(area), 0);
	expect_eq(control_reserve(area->fd, 100 * page_bytes()), 0);
	_exit(0);
}

CONTRACT_TEST(early_deaths, what_is_left_of_a_larger_size_goes)
{
	struct ashmem_area *area = early_area();

	run_child(die_with_a_longer_file, area);
	expect_whole(area);
}
