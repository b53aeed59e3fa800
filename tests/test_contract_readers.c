/* SPDX-License-Identifier: MIT */
/*
 * ashmem_export_read_only(), and what a peer can do with such a descriptor.
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

/* Exporting */

CONTRACT_TEST(readers, export_leaves_the_area_writable)
{
	struct view view;
	void *base = NULL;
	int fd;

	skip_on_kernel("the driver has no read-only export");
	view = view_make(2);
	fd = ashmem_export_read_only(view.area);
	expect(fd >= 0);
	expect(fd != ashmem_fd(view.area));
	expect_eq(ashmem_get_prot(view.area), PROT_RWX);
	expect_eq(ashmem_map(view.area, 0, page_bytes(), PROT_RW, MAP_SHARED, &base), 0);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	expect_eq(fcntl(ashmem_fd(view.area), F_GETFL) & O_ACCMODE, O_RDWR);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_WAS_PURGED);
	close(fd);
	view_drop(&view);
}

CONTRACT_TEST(readers, kernel_allows_no_writing_through_an_export)
{
	struct view view;
	struct stat status;
	void *base;
	int fd;

	skip_on_kernel("the driver has no read-only export");
	view = view_make(2);
	fill_pages(&view, 0, 2, 'a');
	fd = ashmem_export_read_only(view.area);
	expect(fd >= 0);
	expect_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	expect(mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, fd, 0) == MAP_FAILED);
	expect_eq(errno, EACCES);
	base = mmap(NULL, page_bytes(), PROT_READ, MAP_SHARED, fd, 0);
	expect(base != MAP_FAILED);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(munmap(base, page_bytes()), 0);
	expect_eq(pwrite(fd, "x", 1, 0), -1);
	expect_eq(ftruncate(fd, 0), -1);
	expect_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page_bytes()), -1);
	expect_eq(fstat(fd, &status), 0);
	expect_eq(status.st_mode & 0777, 0444);
	expect(pages_hold(&view, 0, 2, 'a'));
	close(fd);
	view_drop(&view);
}

CONTRACT_TEST(readers, each_export_is_a_description_of_its_own)
{
	struct view view;
	int one, two;

	skip_on_kernel("the driver has no read-only export");
	view = view_make(1);
	one = ashmem_export_read_only(view.area);
	two = ashmem_export_read_only(view.area);
	expect(one >= 0 && two >= 0);
	expect_eq(lseek(one, 100, SEEK_SET), 100);
	expect_eq(lseek(two, 0, SEEK_CUR), 0);
	close(one);
	close(two);
	view_drop(&view);
}

CONTRACT_TEST(readers, export_materialises_and_refuses_what_has_no_size)
{
	struct ashmem_area *area;
	int fd;

	skip_on_kernel("the driver has no read-only export");
	area = area_of_bytes(0);
	expect_eq(ashmem_export_read_only(NULL), -EINVAL);
	expect_eq(ashmem_export_read_only(area), -EINVAL);
	expect_eq(ashmem_set_size(area, page_bytes()), 0);
	fd = ashmem_export_read_only(area);
	expect(fd >= 0);
	expect_eq(ashmem_set_size(area, 1), -EINVAL);
	close(fd);
	ashmem_close(area);
}
