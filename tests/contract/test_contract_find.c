/* SPDX-License-Identifier: MIT */
/*
 * Looking at descriptors and areas without importing them: ashmem_find(), ashmem_fd_kind(),
 * ashmem_get_id(), ashmem_is_materialised(), ashmem_ref(), ashmem_export(); and what an import
 * makes of a file that somebody sealed.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

/* References */

CONTRACT_TEST(references, each_needs_its_own_close)
{
	struct view view = view_make(1);

	expect_eq(ashmem_ref(view.area), 0);
	ashmem_close(view.area);
	expect_eq(ashmem_get_size(view.area), page_bytes());
	expect_eq(ashmem_unpin(view.area, 0, 0), 0);
	view_drop(&view);
	expect_eq(ashmem_ref(NULL), -EINVAL);
}

CONTRACT_TEST(references, materialised_is_asked_without_materialising)
{
	struct ashmem_area *area = area_of_pages(1);
	void *at;

	expect_eq(ashmem_is_materialised(area), 0);
	expect_eq(ashmem_set_name(area, "still free"), 0);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, &at), 0);
	expect_eq(ashmem_is_materialised(area), 1);
	expect_eq(ashmem_unmap(at, page_bytes()), 0);
	expect_eq(ashmem_is_materialised(area), 1);
	expect_eq(ashmem_is_materialised(NULL), -EINVAL);
	ashmem_close(area);
}

/* Descriptors that the caller owns */

CONTRACT_TEST(exported, outlives_the_area_and_is_close_on_exec)
{
	struct view view = view_make(2);
	int fd = ashmem_export(view.area);

	expect(fd > STDERR_FILENO);
	expect(fd != ashmem_fd(view.area));
	expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fill_pages(&view, 0, 2, 0x5a);
	view_drop(&view);
	view = view_of(import_area(fd));
	expect(pages_hold(&view, 0, 2, 0x5a));
	view_drop(&view);
	expect_eq(close(fd), 0);
}

CONTRACT_TEST(exported, follows_the_mask_and_needs_a_size)
{
	struct ashmem_area *area = area_of_bytes(0);

	expect_eq(ashmem_export(NULL), -EINVAL);
	expect_eq(ashmem_export(area), -EINVAL);
	expect_eq(ashmem_set_size(area, page_bytes()), 0);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	int fd = ashmem_export(area);
	expect(fd >= 0);
	expect_eq(ashmem_is_materialised(area), 1);
	expect(mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, fd, 0) == MAP_FAILED);
	close(fd);
	ashmem_close(area);
}

/* Finding */

CONTRACT_TEST(find, knows_the_areas_of_the_process_by_any_of_their_descriptors)
{
	struct view view = view_make(1), other = view_make(1);
	int fd = ashmem_export(view.area), copy = dup(fd);
	struct ashmem_area *found = NULL;
	int r = ashmem_find(fd, &found);

	if (r == -ENOENT && backend_is_kernel())
		contract_skip("the kernel does not compare descriptors (kcmp)");
	expect_eq(r, 0);
	expect(found == view.area);
	ashmem_close(found);
	expect_eq(ashmem_find(copy, &found), 0);
	expect(found == view.area);
	ashmem_close(found);
	expect_eq(ashmem_find(ashmem_fd(other.area), &found), 0);
	expect(found == other.area);
	ashmem_close(found);
	view_drop(&other);
	view_drop(&view);
	expect_eq(ashmem_find(fd, &found), -ENOENT);
	expect_eq(ashmem_find(copy, &found), -ENOENT);
	close(copy);
	close(fd);
}

CONTRACT_TEST(find, counts_as_a_reference_and_opens_nothing)
{
	struct view view = view_make(1);
	int fd = ashmem_export(view.area);
	struct holdings before = holdings_now();
	struct ashmem_area *found = NULL;

	if (ashmem_find(fd, &found) == -ENOENT && backend_is_kernel())
		contract_skip("the kernel does not compare descriptors (kcmp)");
	expect_holdings(&before);
	ashmem_close(view.area);
	expect_eq(ashmem_unpin(found, 0, 0), 0);
	expect_eq(ashmem_pin(found, 0, 0), ASHMEM_NOT_PURGED);
	ashmem_close(found);
	expect_eq(ashmem_find(fd, &found), -ENOENT);
	ashmem_unmap(view.base, page_bytes());
	close(fd);
}

CONTRACT_TEST(find, a_stranger_is_not_found_until_it_is_imported)
{
	skip_on_kernel("needs kcmp there");
	int fd = stranger_fd(PROT_RWX);
	struct ashmem_area *found = NULL, *area;

	expect_eq(ashmem_find(fd, &found), -ENOENT);
	expect(found == NULL);
	area = import_area(fd);
	expect_eq(ashmem_find(fd, &found), 0);
	expect(found == area);
	ashmem_close(found);
	ashmem_close(area);
	expect_eq(ashmem_find(fd, &found), -ENOENT);
	close(fd);
}

CONTRACT_TEST(find, prefers_the_writable_of_two_handles)
{
	skip_on_kernel("the driver's files cannot be opened again");
	int fd = stranger_fd(PROT_RWX);
	struct ashmem_area *reader, *writer, *found;
	int read_only = reopen_fd(fd, O_RDONLY);

	reader = import_area(read_only);
	writer = import_area(fd);
	expect(reader != writer);
	expect_eq(ashmem_find(read_only, &found), 0);
	expect(found == writer);
	ashmem_close(found);
	ashmem_close(writer);
	expect_eq(ashmem_find(fd, &found), 0);
	expect(found == reader);
	ashmem_close(found);
	ashmem_close(reader);
	close(read_only);
	close(fd);
}

CONTRACT_TEST(find, names_what_is_wrong)
{
	struct ashmem_area *found = NULL;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	expect_eq(ashmem_find(-1, &found), -EBADF);
	expect_eq(ashmem_find(null, &found), -ENOENT);
	expect_eq(ashmem_find(null, NULL), -EINVAL);
	expect(found == NULL);
	close(null);
	expect_eq(ashmem_find(null, &found), -EBADF);
}

static void find_in_child(void *argument)
{
	struct view *view = argument;
	struct ashmem_area *found;

	expect_eq(ashmem_find(ashmem_fd(view->area), &found), 0);
	expect(found == view->area);
	ashmem_close(found);
}

CONTRACT_TEST(find, a_child_finds_what_it_inherited)
{
	struct view view = view_make(1);
	struct ashmem_area *found;

	if (ashmem_find(ashmem_fd(view.area), &found) == -ENOENT && backend_is_kernel())
		contract_skip("the kernel does not compare descriptors (kcmp)");
	ashmem_close(found);
	run_child(find_in_child, &view);
	view_drop(&view);
}

/* What a descriptor is */

CONTRACT_TEST(fd_kind, tells_areas_from_other_files)
{
	struct ashmem_area *area = area_of_pages(1);
	int fd = ashmem_export(area), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2];

	make_socket_pair(ends);
	ashmem_close(area);
	expect_eq(ashmem_fd_kind(fd), ASHMEM_FD_AREA);
	expect_eq(ashmem_fd_kind(null), ASHMEM_FD_NONE);
	expect_eq(ashmem_fd_kind(ends[0]), ASHMEM_FD_NONE);
	close(fd);
	expect_eq(ashmem_fd_kind(fd), -EBADF);
	expect_eq(ashmem_fd_kind(-1), -EBADF);
	close(null);
	close(ends[0]);
	close(ends[1]);
}

CONTRACT_TEST(fd_kind, tells_read_only_areas_and_foreign_memfds)
{
	skip_on_kernel("the driver's files cannot be opened again");
	int fd = stranger_fd(PROT_RWX), foreign = foreign_memfd(page_bytes());
	int read_only = reopen_fd(fd, O_RDONLY), path = reopen_fd(fd, O_PATH);
	int forged = copied_memfd(fd, fd_bytes(fd));

	expect_eq(ashmem_fd_kind(fd), ASHMEM_FD_AREA);
	expect_eq(ashmem_fd_kind(read_only), ASHMEM_FD_READ_ONLY);
	expect_eq(ashmem_fd_kind(foreign), ASHMEM_FD_FOREIGN);
	expect_eq(ashmem_fd_kind(forged), ASHMEM_FD_FOREIGN); /* it has no seals */
	expect_eq(ashmem_fd_kind(path), ASHMEM_FD_NONE);
	close(forged);
	close(path);
	close(read_only);
	close(foreign);
	close(fd);
}

/* Device and inode */

CONTRACT_TEST(id, is_what_fstat_shows)
{
	struct ashmem_area *area = area_of_pages(1), *other = area_of_pages(1);
	uint64_t device = 1, inode = 2, others;
	struct stat status;

	skip_on_kernel("its descriptors all show the node");
	expect_eq(ashmem_get_id(area, &device, &inode), -EINVAL);
	expect(device == 1 && inode == 2);
	expect_eq(fstat(ashmem_fd(area), &status), 0);
	expect_eq(ashmem_get_id(area, &device, &inode), 0);
	expect_eq(device, status.st_dev);
	expect_eq(inode, status.st_ino);
	expect(ashmem_fd(other) >= 0);
	expect_eq(ashmem_get_id(other, &device, &others), 0);
	expect(others != inode);
	expect_eq(ashmem_get_id(NULL, &device, &inode), -EINVAL);
	expect_eq(ashmem_get_id(area, NULL, &inode), -EINVAL);
	expect_eq(ashmem_get_id(area, &device, NULL), -EINVAL);
	ashmem_close(other);
	ashmem_close(area);
}

CONTRACT_TEST(id, the_driver_has_none)
{
	struct ashmem_area *area = area_of_pages(1);
	uint64_t device, inode;

	if (!backend_is_kernel())
		contract_skip("of the kernel backend");
	expect_eq(ashmem_get_id(area, &device, &inode), -ENOTSUP);
	ashmem_close(area);
}

/* Seals that somebody else set */

static int seal_by_hand(struct ashmem_area *area)
{
	int fd = ashmem_export(area);

	if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0)
		contract_skip("the kernel has no F_SEAL_FUTURE_WRITE (Linux 5.1)");
	return fd;
}

static struct ashmem_area *sealable_area(void)
{
	struct ashmem_area *area = NULL;

	skip_on_kernel("the driver has no seals");
	expect_eq(ashmem_create("by hand", 2 * page_bytes(), ASHMEM_CREATE_ALLOW_SEAL, &area), 0);
	return area;
}

CONTRACT_TEST(foreign_seal, an_import_of_a_held_area_notices_it)
{
	struct view view = view_of(sealable_area());
	int fd = seal_by_hand(view.area);

	unpin_pages(view.area, 0, 2);
	struct ashmem_area *again = import_area(fd);
	expect(again == view.area);
	expect_eq(ashmem_get_prot(view.area), PROT_READ | PROT_EXEC);
	expect_eq(ashmem_set_prot(view.area, PROT_READ | PROT_EXEC), 0);
	expect_eq(ashmem_set_prot(view.area, PROT_RWX), -EINVAL);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(purge_everything(), 0);
	ashmem_close(again);
	view_drop(&view);
	close(fd);
}

static void import_sealed(void *argument)
{
	const int *ends = argument;
	int fd = receive_descriptor(ends[1]);
	struct ashmem_area *area = import_area(fd);
	void *at;

	expect_eq(ashmem_get_prot(area), PROT_READ | PROT_EXEC);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED, &at), -EPERM);
	expect_eq(ashmem_set_prot(area, PROT_READ | PROT_EXEC), 0);
	expect_eq(ashmem_fd_kind(fd), ASHMEM_FD_READ_ONLY);
	ashmem_close(area);
}

CONTRACT_TEST(foreign_seal, shows_in_the_mask_of_a_peer_that_imports)
{
	struct ashmem_area *area;
	int ends[2], fd;

	make_socket_pair(ends);
	pid_t child = child_start(import_sealed, ends); /* before the area is there */
	area = sealable_area();
	fd = seal_by_hand(area);
	send_descriptors(ends[0], &fd, 1);
	child_join(child);
	/* Nobody has told the control block: the peer saw the file's seal. */
	expect_eq(ashmem_get_prot(area), PROT_RWX);
	ashmem_close(area);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}
