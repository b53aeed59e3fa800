/* SPDX-License-Identifier: MIT */
/*
 * Contract, rules 1 and 2 and the errors of ashmem_create(): what a new area is, what materialises
 * it, what can change until then and what works only afterwards. Rule 3 is tested here for one
 * process; test_contract_sharing.c has the rest of it.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Rule 1 */

CONTRACT_TEST(life, new_area_has_size_zero_until_set)
{
	struct ashmem_area *area = area_of_bytes(0);

	expect_eq(ashmem_get_size(area), 0);
	expect_eq(ashmem_set_size(area, 12345), 0);
	expect_eq(ashmem_get_size(area), 12345);
	ashmem_close(area);
}

CONTRACT_TEST(life, new_area_allows_read_write_and_exec)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_get_prot(area), PROT_RWX);
	ashmem_close(area);
}

CONTRACT_TEST(life, new_area_without_name_has_the_default_name)
{
	struct ashmem_area *area = area_of_pages(1);
	char name[ASHMEM_NAME_LEN] = "";

	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, ASHMEM_NAME_DEF);
	ashmem_close(area);
}

CONTRACT_TEST(life, new_area_is_all_pinned)
{
	struct view view = view_make(5);

	expect_eq(ashmem_get_pin_status(view.area, 0, 0), ASHMEM_IS_PINNED);
	expect_str(pin_picture(view.area, 5), ".....");
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(life, new_area_reads_as_zeroes)
{
	struct view view = view_make(3);

	expect(pages_hold(&view, 0, 3, 0));
	view_drop(&view);
}

CONTRACT_TEST(life, descriptor_of_a_created_area_is_close_on_exec)
{
	struct ashmem_area *area = area_of_pages(1);
	int fd = ashmem_fd(area);

	expect(fd >= 0);
	expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ashmem_close(area);
}

enum { FD_LIMIT = 256 };

static void mark_open_descriptors(char *open_fds)
{
	int fd;

	for (fd = 0; fd < FD_LIMIT; fd++)
		open_fds[fd] = fcntl(fd, F_GETFD) >= 0;
}

static void expect_new_descriptors_close_on_exec(const char *open_before)
{
	int fd;

	for (fd = 0; fd < FD_LIMIT; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && !open_before[fd])
			expect_msg(flags & FD_CLOEXEC, "descriptor %d survives exec", fd);
	}
}

CONTRACT_TEST(life, every_descriptor_the_library_opens_is_close_on_exec)
{
	char before[FD_LIMIT];
	struct ashmem_area *read_only, *imported;
	struct view view;
	int copy;

	mark_open_descriptors(before);
	view = view_make(4);
	read_only = area_of_pages(2);
	expect_eq(ashmem_set_prot(read_only, PROT_READ), 0);
	expect(ashmem_fd(read_only) >= 0);
	copy = fcntl(ashmem_fd(view.area), F_DUPFD_CLOEXEC, 0);
	expect_eq(ashmem_import(copy, &imported), 0);
	unpin_pages(view.area, 0, 2);
	purge_everything();
	expect_new_descriptors_close_on_exec(before);
	close(copy);
	ashmem_close(imported);
	ashmem_close(read_only);
	view_drop(&view);
}

/* Rule 2 */

CONTRACT_TEST(life, name_and_size_change_until_materialised)
{
	struct ashmem_area *area = area_of_bytes(1);

	expect_eq(ashmem_set_name(area, "one"), 0);
	expect_eq(ashmem_set_size(area, 2 * page_bytes()), 0);
	expect_eq(ashmem_set_name(area, "two"), 0);
	expect_eq(ashmem_set_size(area, page_bytes()), 0);
	expect_eq(ashmem_get_size(area), page_bytes());
	ashmem_close(area);
}

static void expect_fixed(struct ashmem_area *area, uint64_t size_bytes)
{
	char name[ASHMEM_NAME_LEN] = "";

	expect_eq(ashmem_set_name(area, "other"), -EINVAL);
	expect_eq(ashmem_set_size(area, size_bytes + 1), -EINVAL);
	expect_eq(ashmem_set_size(area, size_bytes), -EINVAL);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, "kept");
	expect_eq(ashmem_get_size(area), size_bytes);
}

CONTRACT_TEST(life, map_materialises)
{
	struct ashmem_area *area = area_of_pages(2);
	unsigned char *base;

	expect_eq(ashmem_set_name(area, "kept"), 0);
	base = map_whole(area, PROT_READ);
	expect_fixed(area, 2 * page_bytes());
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(life, materialised_area_stays_so_once_unmapped)
{
	struct ashmem_area *area = area_of_pages(2);
	unsigned char *base;
	char byte = 1;

	expect_eq(ashmem_set_name(area, "kept"), 0);
	base = map_whole(area, PROT_RW);
	base[0] = 77;
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	expect_fixed(area, 2 * page_bytes());
	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_pread(area, &byte, 1, 0), 1);
	expect_eq(byte, 77);
	ashmem_close(area);
}

CONTRACT_TEST(life, handing_out_the_descriptor_materialises)
{
	struct ashmem_area *area = area_of_pages(2);

	expect_eq(ashmem_set_name(area, "kept"), 0);
	expect(ashmem_fd(area) >= 0);
	expect_fixed(area, 2 * page_bytes());
	expect_eq(ashmem_get_pin_status(area, 0, 0), ASHMEM_IS_PINNED);
	ashmem_close(area);
}

CONTRACT_TEST(life, sending_materialises)
{
	struct ashmem_area *area = area_of_pages(2);
	int ends[2];

	make_socket_pair(ends);
	expect_eq(ashmem_set_name(area, "kept"), 0);
	expect_eq(ashmem_send(ends[0], area), 0);
	expect_fixed(area, 2 * page_bytes());
	ashmem_close(area);
	close(ends[0]);
	close(ends[1]);
}

CONTRACT_TEST(life, descriptor_stays_the_same)
{
	struct ashmem_area *area = area_of_pages(1);
	int fd = ashmem_fd(area);

	expect(fd >= 0);
	expect_eq(ashmem_fd(area), fd);
	ashmem_close(area);
}

CONTRACT_TEST(life, failed_map_does_not_materialise)
{
	struct ashmem_area *area = area_of_pages(2);
	void *base = NULL;

	expect_eq(ashmem_map(area, 0, 0, PROT_READ, MAP_SHARED, &base), -EINVAL);
	expect_eq(ashmem_map(area, 0, 3 * page_bytes(), PROT_READ, MAP_SHARED, &base), -EINVAL);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_WRITE, MAP_SHARED, &base), -EPERM);
	expect(base == NULL);
	expect_eq(ashmem_set_name(area, "still free"), 0);
	expect_eq(ashmem_set_size(area, 7), 0);
	ashmem_close(area);
}

CONTRACT_TEST(life, data_calls_fail_before_materialising)
{
	struct ashmem_area *area = area_of_pages(1);
	char byte = 5;

	expect_eq(ashmem_read(area, &byte, 1), -EBADF);
	expect_eq(ashmem_pread(area, &byte, 1, 0), -EBADF);
	expect_eq(ashmem_seek(area, 0, SEEK_SET), -EBADF);
	expect_eq(byte, 5);
	ashmem_close(area);
}

CONTRACT_TEST(life, pin_calls_fail_before_materialising)
{
	struct ashmem_area *area = area_of_pages(1);
	struct ashmem_area *sizeless = area_of_bytes(0);
	uint64_t offset = 3, length = 4;
	uint32_t state = 5;

	expect_eq(ashmem_pin(area, 0, 0), -EINVAL);
	expect_eq(ashmem_unpin(area, 0, 0), -EINVAL);
	expect_eq(ashmem_get_pin_status(area, 0, 0), -EINVAL);
	expect_eq(ashmem_pin(area, 0, page_bytes()), -EINVAL);
	expect_eq(ashmem_pin(sizeless, 0, 0), -EINVAL);
	expect_eq(ashmem_unpin(sizeless, 0, 0), -EINVAL);
	expect_eq(ashmem_get_pin_status(sizeless, 0, 0), -EINVAL);
	if (!backend_is_kernel())
		expect_eq(ashmem_find_unpinned(area, 0, &offset, &length, &state), -EINVAL);
	expect_eq(offset, 3);
	expect_eq(length, 4);
	expect_eq(state, 5);
	ashmem_close(area);
	ashmem_close(sizeless);
}

CONTRACT_TEST(life, sizeless_area_has_no_descriptor)
{
	struct ashmem_area *area = area_of_bytes(0);
	int ends[2];

	make_socket_pair(ends);
	expect_eq(ashmem_fd(area), -EINVAL);
	expect_eq(ashmem_send(ends[0], area), -EINVAL);
	expect_eq(ashmem_set_size(area, 1), 0);
	expect(ashmem_fd(area) >= 0);
	ashmem_close(area);
	close(ends[0]);
	close(ends[1]);
}

/* Rule 3, one process; the end of an area */

CONTRACT_TEST(life, mapping_outlives_the_handle)
{
	struct view view = view_make(2);

	fill_pages(&view, 0, 2, 0x5a);
	ashmem_close(view.area);
	expect(pages_hold(&view, 0, 2, 0x5a));
	fill_pages(&view, 1, 1, 0x66);
	expect(pages_hold(&view, 1, 1, 0x66));
	expect_eq(ashmem_unmap(view.base, 2 * page_bytes()), 0);
}

CONTRACT_TEST(life, all_mappings_show_the_same_memory)
{
	struct view view = view_make(2);
	unsigned char *second = map_whole(view.area, PROT_READ);

	fill_pages(&view, 0, 2, 0x31);
	expect_eq(second[page_bytes() + 9], 0x31);
	expect_eq(ashmem_unmap(second, 2 * page_bytes()), 0);
	view_drop(&view);
}

CONTRACT_TEST(life, closing_null_is_fine)
{
	struct holdings before = holdings_now();

	ashmem_close(NULL);
	expect_holdings(&before);
}

CONTRACT_TEST(life, close_and_unmap_give_everything_back)
{
	struct view view = view_make(3);
	struct holdings before;
	int round;

	view_drop(&view);
	before = holdings_now();
	for (round = 0; round < 20; round++) {
		view = view_make(3);
		unpin_pages(view.area, 0, 1);
		expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
		expect(ashmem_fd(view.area) >= 0);
		view_drop(&view);
		ashmem_close(area_of_bytes(5));
	}
	expect_holdings(&before);
}

/* ashmem_create(): names, sizes, errors */

CONTRACT_TEST(life, create_takes_name_and_size)
{
	struct ashmem_area *area = NULL;
	char name[ASHMEM_NAME_LEN] = "";

	expect_eq(ashmem_create("cache", 4711, 0, &area), 0);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, "cache");
	expect_eq(ashmem_get_size(area), 4711);
	ashmem_close(area);
	expect_eq(ashmem_create("", 1, 0, &area), 0);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, ASHMEM_NAME_DEF);
	ashmem_close(area);
}

CONTRACT_TEST(life, create_refuses_null_and_reserved_flags)
{
	struct holdings before = holdings_now();
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_create("x", 1, 0, NULL), -EINVAL);
	expect_eq(ashmem_create("x", 1, 0x80000000u, &area), -EINVAL);
	expect(area == NULL);
	expect_holdings(&before);
}

CONTRACT_TEST(life, create_refuses_more_pages_than_can_be_counted)
{
	struct ashmem_area *area = NULL;
	uint64_t limit_bytes = (uint64_t)(UINT32_MAX - 3) * page_bytes();

	expect_eq(ashmem_create("x", limit_bytes + 1, 0, &area), -EFBIG);
	expect_eq(ashmem_create("x", UINT64_MAX, 0, &area), -EFBIG);
	expect(area == NULL);
	skip_on_kernel("D3: the driver's sizes have 32 bits");
	expect_eq(ashmem_create("x", limit_bytes, 0, &area), 0);
	expect_eq(ashmem_get_size(area), limit_bytes);
	ashmem_close(area);
}

static void materialise_without_descriptors(void *unused)
{
	struct ashmem_area *area = area_of_pages(1);
	void *base = NULL;

	(void)unused;
	limit_descriptors_to_those_open();
	expect_eq(ashmem_map(area, 0, 1, PROT_READ, MAP_SHARED, &base), -EMFILE);
	expect_eq(ashmem_fd(area), -EMFILE);
	expect(base == NULL);
	expect_eq(ashmem_set_name(area, "not materialised"), 0);
	ashmem_close(area);
}

CONTRACT_TEST(life, materialising_reports_exhausted_descriptors)
{
	skip_on_kernel("the driver's descriptor is there from the start");
	run_child(materialise_without_descriptors, NULL);
}

/*
 * The library may have opened what it needs before; if not, the call fails and nothing has
 * changed.
 */
static void drop_write_without_descriptors(void *unused)
{
	struct view view = view_make(1);
	int result;

	(void)unused;
	limit_descriptors_to_those_open();
	result = ashmem_set_prot(view.area, PROT_READ);
	expect(result == -EMFILE || result == 0);
	expect_eq(ashmem_get_prot(view.area), result == 0 ? PROT_READ : PROT_RWX);
	expect_eq(fcntl(ashmem_fd(view.area), F_GETFL) & O_ACCMODE,
		result == 0 ? O_RDONLY : O_RDWR);
}

CONTRACT_TEST(life, failing_to_open_the_read_only_descriptor_leaves_the_mask)
{
	skip_on_kernel("the driver needs no second descriptor");
	run_child(drop_write_without_descriptors, NULL);
}
