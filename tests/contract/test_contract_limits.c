/* SPDX-License-Identifier: MIT */
/*
 * Contract, section 4: what the memfd backend promises less, L1 to L4, pinned down so that nobody
 * mistakes it for more, and next to each limit what holds nevertheless. With the driver the tests
 * show its side where there is one.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void skip_unless_memfd(const char *why)
{
	if (backend_is_kernel())
		contract_skip(why);
}

/* L1 */

CONTRACT_TEST(limits, l1_exec_dropped_from_the_mask_binds_map_alone)
{
	struct ashmem_area *area;
	unsigned char *base;
	void *refused = NULL;

	skip_unless_memfd("L1: the driver enforces its whole mask");
	area = area_of_pages(1);
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_READ | PROT_EXEC, MAP_SHARED, &refused), -EPERM);
	base = map_whole(area, PROT_RW);
	expect_eq(mprotect(base, page_bytes(), PROT_READ | PROT_EXEC), 0);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(limits, l1_read_dropped_from_the_mask_binds_map_alone)
{
	struct ashmem_area *area;
	void *base = NULL;

	skip_unless_memfd("L1: the driver enforces its whole mask");
	area = area_of_pages(1);
	expect_eq(ashmem_set_prot(area, PROT_WRITE), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_READ, MAP_SHARED, &base), -EPERM);
	base = mmap(NULL, page_bytes(), PROT_READ, MAP_SHARED, ashmem_fd(area), 0);
	expect(base != MAP_FAILED);
	expect_eq(munmap(base, page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(limits, l1_dropping_write_is_enforced_by_the_kernel)
{
	struct ashmem_area *area = area_of_pages(1);
	unsigned char *base;

	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	base = map_whole(area, PROT_READ);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(errno, EACCES);
	expect(mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, ashmem_fd(area), 0) == MAP_FAILED);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

/* L2 */

CONTRACT_TEST(limits, l2_descriptor_handed_out_before_keeps_its_rights)
{
	struct ashmem_area *area = area_of_pages(1);
	int early = fcntl(ashmem_fd(area), F_DUPFD_CLOEXEC, 0);
	void *base;

	expect(early >= 0);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	base = mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, early, 0);
	if (backend_is_kernel()) {
		expect(base == MAP_FAILED);
	} else {
		expect(base != MAP_FAILED);
		*(char *)base = 'w';
		expect_eq(munmap(base, page_bytes()), 0);
	}
	close(early);
	ashmem_close(area);
}

CONTRACT_TEST(limits, l2_mapping_handed_out_before_keeps_its_rights)
{
	struct ashmem_area *area = area_of_pages(1);
	unsigned char *base = map_whole(area, PROT_RW);

	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	base[0] = 3;
	expect_eq(base[0], 3);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

static void expect_mask_binds_here(void *argument)
{
	struct ashmem_area *area = argument;
	void *base = NULL;

	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_RW, MAP_SHARED, &base), -EPERM);
}

CONTRACT_TEST(limits, l2_mask_binds_the_library_in_every_process_all_the_same)
{
	struct view view = view_make(1);
	void *base = NULL;

	run_child(expect_mask_binds_here, view.area);
	expect_eq(ashmem_get_prot(view.area), PROT_READ);
	expect_eq(ashmem_map(view.area, 0, 1, PROT_RW, MAP_SHARED, &base), -EPERM);
	view_drop(&view);
}

/* L3 */

struct strangers {
	struct gate unpinned;
	struct gate purged;
};

static void hold_an_area_of_its_own(void *argument)
{
	struct strangers *strangers = argument;
	struct view view = view_make(3);
	int reached = backend_is_kernel();

	fill_pages(&view, 0, 3, 7);
	unpin_pages(view.area, 0, 3);
	gate_open(&strangers->unpinned);
	gate_wait(&strangers->purged);
	expect(pages_hold(&view, 0, 3, reached ? 0 : 7));
	expect_eq(pin_pages(view.area, 0, 3), reached ? ASHMEM_WAS_PURGED : ASHMEM_NOT_PURGED);
}

CONTRACT_TEST(limits, l3_purge_all_reaches_only_the_areas_that_the_process_holds)
{
	struct strangers strangers;
	pid_t child;

	gate_make(&strangers.unpinned);
	gate_make(&strangers.purged);
	child = child_start(hold_an_area_of_its_own, &strangers);
	gate_wait(&strangers.unpinned);
	expect_eq(ashmem_purge_all(), backend_is_kernel() ? 3 : 0);
	gate_open(&strangers.purged);
	child_join(child);
}

CONTRACT_TEST(limits, l3_closed_area_is_out_of_reach_even_while_mapped)
{
	struct view view;

	skip_unless_memfd("L3: the driver reaches the whole system");
	view = view_make(2);
	fill_pages(&view, 0, 2, 7);
	unpin_pages(view.area, 0, 2);
	expect_eq(ashmem_shrink_count(), 2);
	ashmem_close(view.area);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(ashmem_purge_all(), 0);
	expect_eq(ashmem_shrink(2), 0);
	expect(pages_hold(&view, 0, 2, 7));
	expect_eq(ashmem_unmap(view.base, 2 * page_bytes()), 0);
}

CONTRACT_TEST(limits, l3_shrinking_leaves_the_drivers_areas_alone)
{
	struct view view;

	if (!backend_is_kernel())
		contract_skip("only the kernel shrinks the driver's areas");
	view = view_make(2);
	unpin_pages(view.area, 0, 2);
	expect_eq(ashmem_shrink(2), 0);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

/* L4 */

CONTRACT_TEST(limits, l4_fstat_shows_data_and_control_block)
{
	struct ashmem_area *area;
	struct stat status;

	skip_unless_memfd("L4: the driver's descriptor is a device");
	area = area_of_bytes(3 * page_bytes() + 5);
	expect_eq(fstat(ashmem_fd(area), &status), 0);
	expect((uint64_t)status.st_size > 4 * page_bytes());
	expect_eq(ashmem_get_size(area), 3 * page_bytes() + 5);
	ashmem_close(area);
}

/*
 * What DESIGN and area.h promise instead: data from offset 0, and seals that keep every mapping
 * safe.
 */
CONTRACT_TEST(limits, data_start_at_offset_zero_of_the_descriptor)
{
	struct view view = view_make(2);
	unsigned char *base;

	fill_pages(&view, 1, 1, 0x77);
	base = mmap(NULL, 2 * page_bytes(), PROT_READ, MAP_SHARED, ashmem_fd(view.area), 0);
	expect((void *)base != MAP_FAILED);
	expect_eq(base[0], 0);
	expect_eq(base[page_bytes()], 0x77);
	munmap(base, 2 * page_bytes());
	view_drop(&view);
}

CONTRACT_TEST(limits, descriptor_is_sealed_against_resizing_and_further_seals)
{
	struct ashmem_area *area;
	int seals;

	skip_unless_memfd("a device has no seals");
	area = area_of_pages(1);
	seals = fcntl(ashmem_fd(area), F_GET_SEALS);
	expect(seals >= 0);
	expect(seals & F_SEAL_SHRINK);
	expect(seals & F_SEAL_GROW);
	expect(seals & F_SEAL_SEAL);
	expect(!(seals & F_SEAL_WRITE));
	expect(ftruncate(ashmem_fd(area), 0) < 0);
	expect(ftruncate(ashmem_fd(area), (off_t)1 << 24) < 0);
	expect(fcntl(ashmem_fd(area), F_ADD_SEALS, F_SEAL_WRITE) < 0);
	ashmem_close(area);
}
