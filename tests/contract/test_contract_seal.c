/* SPDX-License-Identifier: MIT */
/*
 * ashmem_seal(): writing is over for everybody, for good, and so is purging; and what happens when
 * a peer seals an area without the library.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

static struct view sealable(uint64_t pages)
{
	struct ashmem_area *area = NULL;

	skip_on_kernel("the driver has no seals");
	expect_eq(ashmem_create("sealable", pages * page_bytes(), ASHMEM_CREATE_ALLOW_SEAL, &area),
		0);
	return view_of(area);
}

/* A running kernel before 5.1 cannot do it. */
static void seal_or_skip(struct ashmem_area *area)
{
	int r = ashmem_seal(area);

	if (r == -ENOTSUP)
		contract_skip("the kernel has no F_SEAL_FUTURE_WRITE (Linux 5.1)");
	expect_eq(r, 0);
}

CONTRACT_TEST(seal, needs_the_flag_at_creation)
{
	struct view view;
	struct ashmem_area *newborn = area_of_pages(1);

	skip_on_kernel("the driver has no seals");
	view = view_make(2);
	expect_eq(ashmem_seal(view.area), -EPERM);
	expect_eq(ashmem_seal(newborn), -EPERM);
	expect_eq(ashmem_set_name(newborn, "still young"), 0);
	expect_eq(ashmem_get_prot(view.area), PROT_RWX);
	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	view_drop(&view);
	ashmem_close(newborn);
}

CONTRACT_TEST(seal, refuses_null_and_areas_without_size)
{
	struct ashmem_area *area = NULL;

	skip_on_kernel("the driver has no seals");
	expect_eq(ashmem_seal(NULL), -EINVAL);
	expect_eq(ashmem_create("empty", 0, ASHMEM_CREATE_ALLOW_SEAL, &area), 0);
	expect_eq(ashmem_seal(area), -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(seal, ends_writing_through_every_descriptor)
{
	struct view view = sealable(2);
	int before = fcntl(ashmem_fd(view.area), F_DUPFD_CLOEXEC, 0);
	void *base = NULL;

	fill_pages(&view, 0, 2, 'a');
	seal_or_skip(view.area);
	expect_eq(ashmem_seal(view.area), 0);
	expect_eq(ashmem_get_prot(view.area), PROT_READ | PROT_EXEC);
	expect_eq(ashmem_map(view.area, 0, 1, PROT_RW, MAP_SHARED, &base), -EPERM);
	expect(mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, before, 0) == MAP_FAILED);
	expect_eq(errno, EPERM);
	expect_eq(pwrite(before, "x", 1, 0), -1);
	expect_eq(fallocate(before, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  (off_t)page_bytes()),
		-1);
	base = map_whole(view.area, PROT_READ);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	/* The mapping from before keeps its right. */
	fill_pages(&view, 0, 1, 'b');
	expect(pages_hold(&view, 0, 1, 'b') && pages_hold(&view, 1, 1, 'a'));
	close(before);
	view_drop(&view);
}

CONTRACT_TEST(seal, ends_purging_and_keeps_marks)
{
	struct view view = sealable(4);
	struct ashmem_area_stats stats = {.struct_size = sizeof stats};
	uint64_t offset, length;
	uint32_t state;

	fill_pages(&view, 0, 4, 'a');
	unpin_pages(view.area, 0, 1);
	expect_eq(purge_everything(), 1);
	unpin_pages(view.area, 2, 2);
	expect_eq(ashmem_shrink_count(), 2);
	seal_or_skip(view.area);

	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(ashmem_shrink(100), 0);
	expect_eq(purge_everything(), 0);
	expect_eq(ashmem_area_get_stats(view.area, &stats), 0);
	expect_eq(stats.evictable_pages, 0);
	expect_eq(stats.unpinned_pages, 3);
	expect_eq(ashmem_find_unpinned(view.area, 2 * page_bytes(), &offset, &length, &state), 1);
	expect_eq(state, 0);
	expect(pages_hold(&view, 2, 2, 'a'));
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 2, 2), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_shrink(100), 0);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

struct hand_over {
	int socket_fd;
	int seal_first;
};

static void send_sealed(void *argument)
{
	struct hand_over *order = argument;
	struct view view = sealable(3);
	int fd;

	fill_pages(&view, 0, 3, 's');
	expect(ashmem_fd(view.area) >= 0);
	fd = fcntl(ashmem_fd(view.area), F_DUPFD_CLOEXEC, 0); /* writable as it was opened */
	if (order->seal_first)
		expect_eq(ashmem_seal(view.area), 0);
	send_descriptors(order->socket_fd, &fd, 1);
}

static int descriptor_from_child(int seal_first)
{
	struct hand_over order = {.seal_first = seal_first};
	int ends[2], fd;

	make_socket_pair(ends);
	order.socket_fd = ends[1];
	run_child(send_sealed, &order);
	fd = receive_descriptor(ends[0]);
	close(ends[0]);
	close(ends[1]);
	return fd;
}

CONTRACT_TEST(seal, sealed_area_is_imported_read_only)
{
	struct view probe = sealable(1);
	struct ashmem_area *area = NULL, *again = NULL;
	unsigned char *base;
	void *other = NULL;
	int fd;

	seal_or_skip(probe.area);
	fd = descriptor_from_child(1);
	expect_eq(ashmem_import(fd, &area), 0);
	expect_eq(ashmem_import(fd, &again), 0);
	expect(again == area);
	expect_eq(ashmem_get_size(area), 3 * page_bytes());
	expect_eq(ashmem_get_prot(area), PROT_READ | PROT_EXEC);
	expect_eq(ashmem_map(area, 0, 1, PROT_RW, MAP_SHARED, &other), -EPERM);
	base = map_whole(area, PROT_READ);
	expect_eq(base[0], 's');
	expect_eq(ashmem_seal(area), 0);
	expect_eq(ashmem_unmap(base, 3 * page_bytes()), 0);
	ashmem_close(area);
	ashmem_close(again);
	close(fd);
	view_drop(&probe);
}

/* A peer with a writable descriptor does not need the library for it. */
CONTRACT_TEST(seal, purge_copes_with_a_peer_that_seals_by_itself)
{
	struct view sealed = sealable(4), other = view_make(2);
	int fd = ashmem_fd(sealed.area);

	fill_pages(&sealed, 0, 4, 'a');
	unpin_pages(sealed.area, 0, 2);
	unpin_pages(other.area, 0, 2);
	unpin_pages(sealed.area, 3, 1);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0)
		contract_skip("the kernel has no F_SEAL_FUTURE_WRITE (Linux 5.1)");
	expect_eq(ashmem_shrink_count(), 5);
	expect_eq(ashmem_shrink(100), 2); /* of the other one */
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(purge_everything(), 0);
	expect(pages_hold(&sealed, 0, 4, 'a'));
	expect(!(ashmem_get_prot(sealed.area) & PROT_WRITE));
	expect(pin_pages(sealed.area, 0, 4) >= 0);
	expect_eq(ashmem_seal(sealed.area), 0);
	view_drop(&sealed);
	view_drop(&other);
}

CONTRACT_TEST(seal, peer_that_forbids_seals_is_reported)
{
	struct view view = sealable(1);

	expect_eq(fcntl(ashmem_fd(view.area), F_ADD_SEALS, F_SEAL_SEAL), 0);
	expect_eq(ashmem_seal(view.area), -EPERM);
	expect_eq(ashmem_get_prot(view.area), PROT_RWX);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_shrink(1), 1);
	view_drop(&view);
}

CONTRACT_TEST(seal, read_only_importer_and_foreign_memfd_cannot_seal)
{
	struct ashmem_area *area = NULL;
	int fd, plain;

	skip_on_kernel("the driver has no seals");
	fd = stranger_fd(PROT_READ);
	plain = foreign_memfd(page_bytes());
	expect_eq(ashmem_import(fd, &area), 0);
	expect_eq(ashmem_seal(area), -EACCES);
	ashmem_close(area);
	expect_eq(ashmem_import(plain, &area), 0);
	expect_eq(ashmem_seal(area), -EACCES);
	ashmem_close(area);
	close(fd);
	close(plain);
}

CONTRACT_TEST(seal, kernel_backend_says_that_it_cannot)
{
	struct ashmem_area *area = NULL;

	if (!backend_is_kernel())
		contract_skip("for the kernel backend");
	expect_eq(ashmem_create("x", page_bytes(), ASHMEM_CREATE_ALLOW_SEAL, &area), -ENOTSUP);
	area = area_of_pages(1);
	expect_eq(ashmem_seal(area), -ENOTSUP);
	expect_eq(ashmem_export_read_only(area), -ENOTSUP);
	ashmem_close(area);
}
