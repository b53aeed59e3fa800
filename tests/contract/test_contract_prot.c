/* SPDX-License-Identifier: MIT */
/*
 * Contract, rule 6 and what rule 7 says about masks: set_prot only removes, map keeps to the mask,
 * and the kernel enforces a mask without WRITE through the descriptor.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <unistd.h>

/* Rule 6 */

CONTRACT_TEST(prot, mask_can_only_lose_bits)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	expect_eq(ashmem_get_prot(area), PROT_RW);
	expect_eq(ashmem_set_prot(area, PROT_RWX), -EINVAL);
	expect_eq(ashmem_set_prot(area, PROT_READ | PROT_EXEC), -EINVAL);
	expect_eq(ashmem_get_prot(area), PROT_RW);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_set_prot(area, PROT_WRITE), -EINVAL);
	expect_eq(ashmem_get_prot(area), PROT_READ);
	ashmem_close(area);
}

CONTRACT_TEST(prot, same_mask_again_is_fine)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_set_prot(area, PROT_RWX), 0);
	expect_eq(ashmem_get_prot(area), PROT_RWX);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_get_prot(area), PROT_READ);
	ashmem_close(area);
}

static void set_the_same_mask(void *area)
{
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_get_prot(area), PROT_READ);
	expect_eq(ashmem_set_prot(area, PROT_RW), -EINVAL);
}

CONTRACT_TEST(prot, d9_same_mask_is_fine_at_every_age_of_an_area)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	set_the_same_mask(area);
	expect(ashmem_fd(area) >= 0);
	set_the_same_mask(area);
	run_child(set_the_same_mask, area);
	ashmem_close(area);
}

CONTRACT_TEST(prot, unknown_bits_are_refused)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_set_prot(area, PROT_READ | 0x8), -EINVAL);
	expect_eq(ashmem_set_prot(area, PROT_READ | PROT_GROWSDOWN), -EINVAL);
	expect_eq(ashmem_set_prot(area, -1), -EINVAL);
	expect_eq(ashmem_get_prot(area), PROT_RWX);
	ashmem_close(area);
}

CONTRACT_TEST(prot, empty_mask_forbids_every_mapping_but_an_inaccessible_one)
{
	struct ashmem_area *area = area_of_pages(1);
	void *base = NULL;

	expect_eq(ashmem_set_prot(area, PROT_NONE), 0);
	expect_eq(ashmem_get_prot(area), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_READ, MAP_SHARED, &base), -EPERM);
	expect_eq(ashmem_map(area, 0, 1, PROT_EXEC, MAP_PRIVATE, &base), -EPERM);
	expect(base == NULL);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_NONE, MAP_SHARED, &base), 0);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(prot, mask_can_shrink_after_materialising)
{
	struct view view = view_make(1);

	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	expect_eq(ashmem_get_prot(view.area), PROT_READ);
	view_drop(&view);
}

CONTRACT_TEST(prot, null_area_is_refused)
{
	expect_eq(ashmem_set_prot(NULL, PROT_READ), -EINVAL);
	expect_eq(ashmem_get_prot(NULL), -EINVAL);
}

static void read_mask_under_personality(void *unused)
{
	struct ashmem_area *area = area_of_pages(1);
	struct ashmem_area *unreadable = area_of_pages(1);

	(void)unused;
	expect(personality(READ_IMPLIES_EXEC) >= 0);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_get_prot(area), PROT_READ | PROT_EXEC);
	expect_eq(ashmem_set_prot(unreadable, PROT_WRITE), 0);
	expect_eq(ashmem_get_prot(unreadable), PROT_WRITE);
}

CONTRACT_TEST(prot, read_brings_exec_along_under_read_implies_exec)
{
	run_child(read_mask_under_personality, NULL);
}

static void map_under_personality(void *unused)
{
	struct ashmem_area *without = area_of_pages(1), *with = area_of_pages(1);
	void *base = NULL;

	(void)unused;
	expect_eq(ashmem_set_prot(without, PROT_READ), 0);
	expect(personality(READ_IMPLIES_EXEC) >= 0);
	expect_eq(ashmem_map(without, 0, 1, PROT_READ, MAP_SHARED, &base), -EPERM);
	expect(base == NULL);
	expect_eq(ashmem_map(with, 0, 1, PROT_READ, MAP_SHARED, &base), 0);
}

CONTRACT_TEST(prot, read_mapping_asks_for_exec_under_read_implies_exec)
{
	run_child(map_under_personality, NULL);
}

/* Rule 7: the mask and mappings */

static void expect_map(struct ashmem_area *area, int prot, int map_flags, int want)
{
	void *base = NULL;
	int result = ashmem_map(area, 0, page_bytes(), prot, map_flags, &base);

	expect_msg(result == want, "map with protection %d, flags %d gives %d, not %d", prot,
		map_flags, result, want);
	if (result == 0)
		expect_eq(ashmem_unmap(base, page_bytes()), 0);
	else
		expect(base == NULL);
}

CONTRACT_TEST(prot, map_is_refused_outside_of_each_mask)
{
	int mask, prot;

	for (mask = 0; mask <= PROT_RWX; mask++) {
		struct ashmem_area *area = area_of_pages(1);

		expect_eq(ashmem_set_prot(area, mask), 0);
		for (prot = 0; prot <= PROT_RWX; prot++) {
			int want = prot & ~mask ? -EPERM : 0;

			expect_map(area, prot, MAP_SHARED, want);
			expect_map(area, prot, MAP_PRIVATE, want);
		}
		ashmem_close(area);
	}
}

CONTRACT_TEST(prot, write_mapping_is_refused_after_the_mask_shrank)
{
	struct view view = view_make(1);

	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	expect_map(view.area, PROT_WRITE, MAP_SHARED, -EPERM);
	expect_map(view.area, PROT_RW, MAP_PRIVATE, -EPERM);
	expect_map(view.area, PROT_READ, MAP_SHARED, 0);
	view_drop(&view);
}

/* Rule 7: a private mapping would else become a way around the mask's enforcement. */
static void expect_private_stays_unwritable(struct ashmem_area *area, int byte)
{
	unsigned char *base;
	void *mapped = NULL;

	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_PRIVATE, &mapped), 0);
	base = mapped;
	expect_eq(base[0], byte);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(errno, EACCES);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
}

CONTRACT_TEST(prot, private_mapping_cannot_be_raised_to_write_either)
{
	struct ashmem_area *newborn = area_of_pages(1), *imported;
	struct view view = view_make(1);
	int fd;

	expect_eq(ashmem_set_prot(newborn, PROT_READ), 0);
	expect_private_stays_unwritable(newborn, 0); /* and materialises it */
	expect_private_stays_unwritable(newborn, 0);
	ashmem_close(newborn);
	view.base[0] = 'a';
	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	expect_private_stays_unwritable(view.area, 'a');
	view_drop(&view);
	skip_on_kernel("the driver has no read-only descriptors");
	fd = stranger_fd(PROT_READ);
	imported = import_area(fd);
	expect_private_stays_unwritable(imported, 0);
	ashmem_close(imported);
	close(fd);
}

CONTRACT_TEST(prot, private_mapping_without_write_shows_later_changes)
{
	struct view view = view_make(1);
	void *base = NULL;

	view.base[0] = 'a';
	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	expect_eq(ashmem_map(view.area, 0, page_bytes(), PROT_READ, MAP_PRIVATE, &base), 0);
	view.base[0] = 'b';
	expect_eq(*(unsigned char *)base, 'b');
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	view_drop(&view);
}

CONTRACT_TEST(prot, mapping_cannot_be_raised_to_write_later)
{
	struct ashmem_area *area = area_of_pages(2);
	unsigned char *base;

	expect_eq(ashmem_set_prot(area, PROT_READ | PROT_EXEC), 0);
	base = map_whole(area, PROT_READ);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(errno, EACCES);
	expect_eq(mprotect(base, page_bytes(), PROT_WRITE), -1);
	expect_eq(errno, EACCES);
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(prot, mapping_without_write_can_be_raised_while_the_mask_has_it)
{
	struct ashmem_area *area = area_of_pages(1);
	unsigned char *base = map_whole(area, PROT_READ);

	expect_eq(mprotect(base, page_bytes(), PROT_RW), 0);
	base[0] = 1;
	expect_eq(base[0], 1);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(prot, existing_mappings_keep_their_rights)
{
	struct view view = view_make(2);
	unsigned char *reader;

	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	fill_pages(&view, 0, 2, 0x44);
	reader = map_whole(view.area, PROT_READ);
	expect_eq(reader[page_bytes()], 0x44);
	fill_pages(&view, 1, 1, 0x45);
	expect_eq(reader[page_bytes()], 0x45);
	expect_eq(ashmem_unmap(reader, 2 * page_bytes()), 0);
	view_drop(&view);
}

CONTRACT_TEST(prot, descriptor_of_a_read_only_area_cannot_be_mapped_writable)
{
	struct ashmem_area *before = area_of_pages(1);
	struct view after = view_make(1);
	int refusal = backend_is_kernel() ? EPERM : EACCES;
	void *base;

	expect_eq(ashmem_set_prot(before, PROT_READ), 0);
	expect_eq(ashmem_set_prot(after.area, PROT_READ), 0);
	base = mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, ashmem_fd(before), 0);
	expect(base == MAP_FAILED);
	expect_eq(errno, refusal);
	base = mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, ashmem_fd(after.area), 0);
	expect(base == MAP_FAILED);
	expect_eq(errno, refusal);
	ashmem_close(before);
	view_drop(&after);
}

CONTRACT_TEST(prot, descriptor_of_a_read_only_area_cannot_be_written)
{
	struct ashmem_area *area = area_of_pages(1);
	char byte = 1;

	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect(pwrite(ashmem_fd(area), &byte, 1, 0) < 0);
	expect(ftruncate(ashmem_fd(area), 0) < 0);
	expect_eq(ashmem_pread(area, &byte, 1, 0), 1);
	expect_eq(byte, 0);
	ashmem_close(area);
}

CONTRACT_TEST(prot, area_stays_purgeable_after_losing_write)
{
	struct view view = view_make(2);

	fill_pages(&view, 0, 2, 3);
	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	unpin_pages(view.area, 0, 1);
	expect(purge_everything() >= 1);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_WAS_PURGED);
	expect(pages_hold(&view, 0, 1, 0));
	expect(pages_hold(&view, 1, 1, 3));
	view_drop(&view);
}

CONTRACT_TEST(prot, descriptor_allows_writing_while_the_mask_does)
{
	struct ashmem_area *area = area_of_pages(1);
	void *base;

	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	base = mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, ashmem_fd(area), 0);
	expect(base != MAP_FAILED);
	*(char *)base = 'w';
	expect_eq(munmap(base, page_bytes()), 0);
	ashmem_close(area);
}

/* ENOTSUP: without /proc there is no way to a read-only descriptor. */

/* Exit status 77 says that /proc would not go away. */
static void lose_proc(void)
{
	if (unshare(CLONE_NEWNS) != 0 ||
		mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
		umount2("/proc", MNT_DETACH) != 0)
		_exit(77);
}

/* Wait for a child that began with lose_proc(); skips the test if it could not. */
static void join_without_proc(pid_t child)
{
	int status = child_wait(child);

	if (status == 77 << 8)
		contract_skip("needs the right to unmount /proc");
	expect_eq(status, 0);
}

static void drop_write_without_proc(void *materialise)
{
	struct ashmem_area *area = area_of_pages(1);

	if (materialise)
		expect(ashmem_fd(area) >= 0);
	lose_proc();
	expect_eq(ashmem_set_prot(area, PROT_READ | PROT_WRITE), 0);
	expect_eq(ashmem_set_prot(area, PROT_READ), -ENOTSUP);
	expect_eq(ashmem_get_prot(area), PROT_RW);
}

CONTRACT_TEST(prot, dropping_write_needs_proc)
{
	skip_on_kernel("the driver enforces its mask itself");
	join_without_proc(child_start(drop_write_without_proc, (void *)1));
	join_without_proc(child_start(drop_write_without_proc, NULL));
}

struct without_proc {
	struct ashmem_area *area;
	struct gate masked;
};

/* The descriptor that would enforce the mask cannot be made here, but nothing changes either. */
static void set_the_same_mask_without_proc(void *argument)
{
	struct without_proc *both = argument;
	struct ashmem_area *newborn = area_of_pages(1);

	expect_eq(ashmem_set_prot(newborn, PROT_READ), 0);
	lose_proc();
	gate_wait(&both->masked);
	set_the_same_mask(newborn);
	set_the_same_mask(both->area);
}

static void use_masked_area_without_proc(void *argument)
{
	struct without_proc *both = argument;
	void *base = NULL;
	char byte;

	lose_proc();
	gate_wait(&both->masked);
	expect_eq(ashmem_fd(both->area), -ENOTSUP);
	expect_eq(ashmem_map(both->area, 0, 1, PROT_READ, MAP_SHARED, &base), -ENOTSUP);
	expect_eq(ashmem_pread(both->area, &byte, 1, 0), 1);
	expect_eq(ashmem_pin(both->area, 0, 0), ASHMEM_NOT_PURGED);
}

static void while_a_peer_drops_write(void (*without_proc)(void *))
{
	struct without_proc both;
	pid_t child;

	skip_on_kernel("the driver enforces its mask itself");
	both.area = area_of_pages(1);
	expect(ashmem_fd(both.area) >= 0);
	gate_make(&both.masked);
	child = child_start(without_proc, &both);
	expect_eq(ashmem_set_prot(both.area, PROT_READ), 0);
	gate_open(&both.masked);
	join_without_proc(child);
	ashmem_close(both.area);
}

CONTRACT_TEST(prot, using_an_area_that_a_peer_made_read_only_needs_proc)
{
	while_a_peer_drops_write(use_masked_area_without_proc);
}

CONTRACT_TEST(prot, d9_same_mask_needs_no_proc)
{
	while_a_peer_drops_write(set_the_same_mask_without_proc);
}
