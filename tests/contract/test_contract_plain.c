/* SPDX-License-Identifier: MIT */
/*
 * Plain areas: what ashmem_import() makes of memfds that no libashmem made. Always pinned, never
 * purged, and their file can be mapped, read and sought. They come from the memfd backend whatever
 * is selected.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

CONTRACT_TEST(plain_area, foreign_memfd_is_an_area_of_the_files_size)
{
	int fd = foreign_memfd(2 * page_bytes() + 11);
	struct ashmem_area *area = import_area(fd);
	char name[ASHMEM_NAME_LEN] = "";

	expect_eq(ashmem_get_size(area), 2 * page_bytes() + 11);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, ASHMEM_NAME_DEF);
	expect_str(ashmem_backend_name(area), "memfd");
	ashmem_close(area);
	close(fd);
}

CONTRACT_TEST(plain_area, is_always_pinned_and_cannot_be_unpinned)
{
	int fd = foreign_memfd(4 * page_bytes());
	struct ashmem_area *area = import_area(fd);

	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_get_pin_status(area, 0, 0), ASHMEM_IS_PINNED);
	expect_eq(ashmem_unpin(area, 0, 0), -ENOTSUP);
	expect_eq(ashmem_unpin(area, page_bytes(), page_bytes()), -ENOTSUP);
	expect_eq(ashmem_find_unpinned(area, 0, NULL, NULL, NULL), 0);
	expect_eq(ashmem_get_pin_status(area, 0, 0), ASHMEM_IS_PINNED);
	ashmem_close(area);
	close(fd);
}

CONTRACT_TEST(plain_area, arguments_are_checked_all_the_same)
{
	int fd = foreign_memfd(2 * page_bytes());
	struct ashmem_area *area = import_area(fd);

	expect_eq(ashmem_pin(area, 1, 0), -EINVAL);
	expect_eq(ashmem_pin(area, 0, 3 * page_bytes()), -EINVAL);
	expect_eq(ashmem_unpin(area, 0, 1), -EINVAL);
	expect_eq(ashmem_get_pin_status(area, 3 * page_bytes(), 0), -EINVAL);
	ashmem_close(area);
	close(fd);
}

CONTRACT_TEST(plain_area, is_materialised_and_keeps_its_mask)
{
	int fd = foreign_memfd(page_bytes());
	struct ashmem_area *area = import_area(fd);

	expect_eq(ashmem_set_name(area, "mine"), -EINVAL);
	expect_eq(ashmem_set_size(area, 1), -EINVAL);
	expect_eq(ashmem_set_prot(area, PROT_READ), -EACCES);
	expect((ashmem_get_prot(area) & PROT_RW) == PROT_RW);
	expect_eq(ashmem_set_prot(area, ashmem_get_prot(area)), 0); /* D9 */
	ashmem_close(area);
	close(fd);
}

CONTRACT_TEST(plain_area, data_can_be_mapped_read_and_sought)
{
	int fd = foreign_memfd(2 * page_bytes() - 5);
	struct ashmem_area *area = import_area(fd);
	struct view view = view_of(area);
	char bytes[4] = {0};

	view.base[page_bytes()] = 'x';
	expect_eq(pread(fd, bytes, 1, (off_t)page_bytes()), 1);
	expect_eq(bytes[0], 'x');
	expect_eq(ashmem_seek(area, -6, SEEK_END), 2 * page_bytes() - 11);
	expect_eq(ashmem_read(area, bytes, 4), 4);
	expect_eq(ashmem_read(area, bytes, 4), 2);
	expect_eq(ashmem_pread(area, bytes, 4, page_bytes()), 4);
	expect_eq(bytes[0], 'x');
	expect_eq(ashmem_read(area, bytes, 4), 0);
	view_drop(&view);
	close(fd);
}

CONTRACT_TEST(plain_area, is_left_alone_by_purges)
{
	int fd = foreign_memfd(2 * page_bytes());
	struct view view = view_of(import_area(fd));

	fill_pages(&view, 0, 2, 1);
	expect_eq(purge_everything(), 0);
	expect_eq(ashmem_shrink(10), 0);
	expect_eq(ashmem_shrink_count(), 0);
	expect(pages_hold(&view, 0, 2, 1));
	view_drop(&view);
	close(fd);
}

CONTRACT_TEST(plain_area, imported_twice_is_one_area)
{
	int fd = foreign_memfd(page_bytes());
	struct ashmem_area *area = import_area(fd);
	struct ashmem_area *again = import_area(fd);

	expect(again == area);
	close(fd);
	ashmem_close(area);
	expect_eq(ashmem_get_size(again), page_bytes());
	ashmem_close(again);
}

CONTRACT_TEST(plain_area, read_only_memfd_can_be_read_but_not_written)
{
	int fd = foreign_memfd(page_bytes());
	int reader = reopen_fd(fd, O_RDONLY);
	struct ashmem_area *area = import_area(reader);
	void *base = NULL;
	int result = ashmem_map(area, 0, 1, PROT_RW, MAP_SHARED, &base);

	expect(result == -EACCES || result == -EPERM);
	expect_eq(ashmem_set_prot(area, ashmem_get_prot(area)), 0); /* D9 */
	expect_eq(ashmem_map(area, 0, 1, PROT_READ, MAP_SHARED, &base), 0);
	expect_eq(ashmem_unmap(base, 1), 0);
	ashmem_close(area);
	close(reader);
	close(fd);
}

CONTRACT_TEST(plain_area, empty_memfd_has_nothing_to_map)
{
	int fd = foreign_memfd(0);
	struct ashmem_area *area = import_area(fd);
	void *base = NULL;

	expect_eq(ashmem_get_size(area), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_READ, MAP_SHARED, &base), -EINVAL);
	expect_eq(ashmem_pread(area, &base, 1, 0), 0);
	ashmem_close(area);
	close(fd);
}

CONTRACT_TEST(plain_area, file_with_too_many_pages_is_too_large)
{
	struct ashmem_area *area = NULL;
	struct holdings before;
	int fd = foreign_memfd(0);

	if (ftruncate(fd, (off_t)(((uint64_t)1 << 32) + 16) * (off_t)page_bytes()) != 0)
		contract_skip("files cannot be that large here");
	before = holdings_now();
	expect_eq(ashmem_import(fd, &area), -EFBIG);
	expect(area == NULL);
	expect_holdings(&before);
	close(fd);
}
