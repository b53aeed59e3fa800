/* SPDX-License-Identifier: MIT */
/*
 * Contract, rule 7 without its masks (those are in test_contract_prot.c): which ranges and flags
 * can be mapped, what private mappings promise, the errors of ashmem_map() and ashmem_unmap().
 */
#define _GNU_SOURCE 1
#include "support/abilities.h"
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

/* Expect a refusal that leaves the output alone. */
static void expect_no_map(struct ashmem_area *area, uint64_t offset, size_t length, int prot,
	int flags, int want)
{
	char mark;
	void *base = &mark;
	int result = ashmem_map(area, offset, length, prot, flags, &base);

	expect_eq(result, want);
	expect(base == &mark);
}

CONTRACT_TEST(map, size_zero_is_refused)
{
	struct ashmem_area *area = area_of_bytes(0);

	expect_no_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, 0, 0, PROT_READ, MAP_SHARED, -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(map, length_zero_is_refused)
{
	struct ashmem_area *area = area_of_pages(2);

	expect_no_map(area, 0, 0, PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, page_bytes(), 0, PROT_READ, MAP_PRIVATE, -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(map, reaching_past_the_aligned_size_is_refused)
{
	struct ashmem_area *area = area_of_bytes(2 * page_bytes() - 100);
	uint64_t page = page_bytes();

	expect_no_map(area, 0, 2 * page + 1, PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, 0, 3 * page, PROT_READ, MAP_PRIVATE, -EINVAL);
	expect_no_map(area, page, page + 1, PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, 2 * page, 1, PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, 64 * page, page, PROT_READ, MAP_SHARED, -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(map, whole_aligned_size_can_be_mapped)
{
	struct ashmem_area *area = area_of_bytes(2 * page_bytes() - 100);
	unsigned char *base = map_whole(area, PROT_RW);

	base[2 * page_bytes() - 1] = 1;
	expect_eq(base[2 * page_bytes() - 1], 1);
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(map, misaligned_offset_is_refused)
{
	struct ashmem_area *area = area_of_pages(3);

	expect_no_map(area, 1, page_bytes(), PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, page_bytes() / 2, page_bytes(), PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, page_bytes() + 8, 8, PROT_READ, MAP_PRIVATE, -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(map, length_needs_no_alignment)
{
	struct ashmem_area *area = area_of_pages(2);
	void *base = NULL;

	expect_eq(ashmem_map(area, page_bytes(), 5, PROT_RW, MAP_SHARED, &base), 0);
	((char *)base)[page_bytes() - 1] = 'e';
	expect_eq(ashmem_unmap(base, 5), 0);
	ashmem_close(area);
}

/* D6, for the parts of it that rule 7 does not say already */
CONTRACT_TEST(map, sum_of_offset_and_length_cannot_overflow)
{
	struct ashmem_area *area = area_of_pages(2);
	uint64_t last_page = UINT64_MAX - page_bytes() + 1;

	expect_no_map(area, last_page, page_bytes(), PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, last_page, 2 * page_bytes(), PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, page_bytes(), SIZE_MAX, PROT_READ, MAP_SHARED, -EINVAL);
	expect_no_map(area, page_bytes(), SIZE_MAX - page_bytes() + 1, PROT_READ, MAP_SHARED,
		-EINVAL);
	expect_no_map(area, 0, SIZE_MAX, PROT_READ, MAP_SHARED, -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(map, offset_selects_the_pages)
{
	struct view view = view_make(4);
	void *base = NULL;
	unsigned char *third;

	fill_pages(&view, 2, 1, 0xc3);
	expect_eq(ashmem_map(view.area, 2 * page_bytes(), page_bytes(), PROT_READ, MAP_SHARED,
			  &base),
		0);
	third = base;
	expect_eq(third[0], 0xc3);
	expect_eq(third[page_bytes() - 1], 0xc3);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	view_drop(&view);
}

CONTRACT_TEST(map, null_is_refused)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_map(area, 0, 1, PROT_READ, MAP_SHARED, NULL), -EINVAL);
	expect_no_map(NULL, 0, 1, PROT_READ, MAP_SHARED, -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(map, unknown_protection_and_kinds_are_refused)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_no_map(area, 0, 1, PROT_READ | 0x8, MAP_SHARED, -EINVAL);
	expect_no_map(area, 0, 1, PROT_READ | PROT_GROWSDOWN, MAP_SHARED, -EINVAL);
	expect_no_map(area, 0, 1, PROT_READ, 0, -EINVAL);
	expect_no_map(area, 0, 1, PROT_READ, MAP_NORESERVE, -EINVAL);
	expect_no_map(area, 0, 1, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -EINVAL);
	expect_no_map(area, 0, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(map, fixed_address_is_taken)
{
	struct ashmem_area *area = area_of_pages(1);
	void *wanted = mmap(NULL, 2 * page_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *base = wanted;

	expect(wanted != MAP_FAILED);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED | MAP_FIXED, &base), 0);
	expect(base == wanted);
	*(char *)base = 'f';
	expect_eq(munmap(wanted, 2 * page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(map, address_in_the_output_is_no_hint_without_map_fixed)
{
	struct ashmem_area *area = area_of_pages(1);
	void *taken = mmap(NULL, page_bytes(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *base = taken;

	expect(taken != MAP_FAILED);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED, &base), 0);
	expect(base != taken);
	base = (void *)3;
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, &base), 0);
	munmap(taken, page_bytes());
	ashmem_close(area);
}

CONTRACT_TEST(map, fixed_noreplace_reports_what_is_there)
{
	struct ashmem_area *area = area_of_pages(1);
	void *taken = mmap(NULL, page_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *base = taken;
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;

	expect(taken != MAP_FAILED);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, flags, &base), -EEXIST);
	expect(base == taken);
	expect_eq(munmap(taken, page_bytes()), 0);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, flags, &base), 0);
	expect(base == taken);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(map, shared_validate_is_a_kind_and_checks_flags)
{
	struct ashmem_area *area = area_of_pages(1);
	void *base = NULL;

	skip_on_kernel("a character device need not support MAP_SHARED_VALIDATE");
	skip_without_shared_validate();
	expect_no_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC,
		-EOPNOTSUPP);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED_VALIDATE, &base), 0);
	*(char *)base = 'v';
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

static void map_beyond_the_address_space_limit(void *unused)
{
	struct ashmem_area *area = area_of_bytes((uint64_t)256 << 20);
	struct rlimit limit = {(rlim_t)64 << 20, (rlim_t)64 << 20};

	(void)unused;
	expect(ashmem_fd(area) >= 0);
	expect_eq(setrlimit(RLIMIT_AS, &limit), 0);
	expect_no_map(area, 0, (size_t)256 << 20, PROT_READ, MAP_SHARED, -ENOMEM);
	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_NOT_PURGED);
}

CONTRACT_TEST(map, no_address_space_is_reported)
{
	skip_without_address_space_limit();
	run_child(map_beyond_the_address_space_limit, NULL);
}

/* MAP_LOCKED over the limit of an unprivileged process: what mmap(2) answers with EAGAIN. */
static void map_more_than_may_be_locked(void *unused)
{
	struct ashmem_area *area = area_of_pages(64);
	struct rlimit limit = {page_bytes(), page_bytes()};

	(void)unused;
	expect(ashmem_fd(area) >= 0);
	expect_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (geteuid() == 0)
		expect_eq(setresuid(65534, 65534, 65534), 0);
	expect_no_map(area, 0, 64 * page_bytes(), PROT_READ, MAP_SHARED | MAP_LOCKED, -EAGAIN);
}

CONTRACT_TEST(map, locking_limit_is_reported_as_mmap_does)
{
	run_child(map_more_than_may_be_locked, NULL);
}

/* Private mappings */

CONTRACT_TEST(map, private_mapping_is_copy_on_write)
{
	struct view view = view_make(2);
	void *base = NULL;
	unsigned char *copy;

	fill_pages(&view, 0, 2, 1);
	expect_eq(ashmem_map(view.area, 0, 2 * page_bytes(), PROT_RW, MAP_PRIVATE, &base), 0);
	copy = base;
	copy[0] = 99;
	expect_eq(view.base[0], 1);
	expect_eq(copy[0], 99);
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	view_drop(&view);
}

CONTRACT_TEST(map, copies_of_a_private_mapping_are_never_purged)
{
	struct view view = view_make(2);
	void *base = NULL;
	unsigned char *copy;

	expect_eq(ashmem_map(view.area, 0, 2 * page_bytes(), PROT_RW, MAP_PRIVATE, &base), 0);
	copy = base;
	copy[0] = 99;
	copy[page_bytes()] = 98;
	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_WAS_PURGED);
	expect_eq(copy[0], 99);
	expect_eq(copy[page_bytes()], 98);
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	view_drop(&view);
}

/* ashmem_unmap() */

CONTRACT_TEST(map, unmap_refuses_nonsense)
{
	struct view view = view_make(1);

	expect_eq(ashmem_unmap(NULL, page_bytes()), -EINVAL);
	expect_eq(ashmem_unmap(view.base + 1, page_bytes()), -EINVAL);
	expect_eq(ashmem_unmap(view.base, 0), -EINVAL);
	fill_pages(&view, 0, 1, 1);
	view_drop(&view);
}

CONTRACT_TEST(map, part_of_a_mapping_can_be_unmapped)
{
	struct view view = view_make(3);
	unsigned char resident;

	fill_pages(&view, 0, 3, 7);
	expect_eq(ashmem_unmap(view.base + page_bytes(), page_bytes()), 0);
	/* Asked at once: whoever allocates memory may be given this page. */
	expect(mincore(view.base + page_bytes(), page_bytes(), &resident) == -1 && errno == ENOMEM);
	expect_eq(view.base[0], 7);
	expect_eq(view.base[2 * page_bytes()], 7);
	expect_eq(ashmem_unmap(view.base, page_bytes()), 0);
	expect_eq(ashmem_unmap(view.base + 2 * page_bytes(), page_bytes()), 0);
	ashmem_close(view.area);
}

static long most_mappings(void)
{
	FILE *setting = fopen("/proc/sys/vm/max_map_count", "re");
	long count = 0;

	if (!setting || fscanf(setting, "%ld", &count) != 1)
		count = 0;
	if (setting)
		fclose(setting);
	return count;
}

enum { NOT_LIMITED = 3 };

static void unmap_when_no_mapping_can_be_split(void *count)
{
	struct view view = view_make(3);
	size_t most = *(long *)count, page = (size_t)page_bytes(), i;
	char *three = mmap(NULL, 3 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *many = mmap(NULL, 2 * most * page, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	expect(three != MAP_FAILED && many != MAP_FAILED);
	for (i = 0; i < most; i++) {
		if (mprotect(many + 2 * i * page, page, PROT_READ) != 0)
			break;
	}
	expect(i < most && errno == ENOMEM);
	if (munmap(three + page, page) == 0)
		_exit(NOT_LIMITED);
	expect_eq(ashmem_unmap(view.base + page, page), -ENOMEM);
	fill_pages(&view, 0, 3, 1);
}

CONTRACT_TEST(map, unmap_reports_too_many_mappings)
{
	long most = most_mappings();
	int status;

	contract_skip_under_valgrind("valgrind keeps limits of its own");
	if (most <= 0 || most > 200000)
		contract_skip("the limit of mappings is unknown or too high to reach");
	status = child_wait(child_start(unmap_when_no_mapping_can_be_split, &most));
	if (WEXITSTATUS(status) == NOT_LIMITED)
		contract_skip("mappings can be split over the limit here (qemu-user?)");
	expect_eq(status, 0);
}

/* Limits of the process */

static void limit_files(void)
{
	const struct rlimit limit = {16 * page_bytes(), 16 * page_bytes()};

	expect_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* SIGXFSZ ends the process by default, and does so with a child of these tests. */
static void need_too_large_a_file(void *unused)
{
	struct ashmem_area *area = area_of_pages(256), *small = area_of_pages(1);
	int ends[2];

	(void)unused;
	make_socket_pair(ends);
	limit_files();
	expect_no_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED, -EFBIG);
	expect_no_map(area, 0, page_bytes(), PROT_RW, MAP_PRIVATE, -EFBIG);
	expect_eq(ashmem_fd(area), -EFBIG);
	expect_eq(ashmem_export_read_only(area), -EFBIG);
	expect_eq(ashmem_send(ends[0], area), -EFBIG);
	expect_eq(ashmem_set_size(area, page_bytes()), 0); /* not materialised */
	expect(ashmem_fd(area) >= 0);
	expect(ashmem_fd(small) >= 0);
}

CONTRACT_TEST(map, file_limit_is_an_error_and_no_signal)
{
	skip_on_kernel("the driver's memory is no file of the process");
	run_child(need_too_large_a_file, NULL);
}

static void make_too_large_a_birth(void *area)
{
	limit_files();
	expect_no_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED, -EFBIG);
}

CONTRACT_TEST(map, file_limit_of_a_child_leaves_the_shared_newborn_to_the_parent)
{
	struct ashmem_area *area;
	struct view view;

	skip_on_kernel("the driver's memory is no file of the process");
	area = area_of_pages(256);
	run_child(make_too_large_a_birth, area);
	view = view_of(area);
	fill_pages(&view, 0, view.pages, 1);
	view_drop(&view);
}

static void purge_under_a_file_limit(void *argument)
{
	struct view *view = argument;

	limit_files();
	unpin_pages(view->area, 0, view->pages);
	expect_eq(purge_everything(), view->pages);
	expect_eq(pin_pages(view->area, 0, view->pages), ASHMEM_WAS_PURGED);
	fill_pages(view, 0, view->pages, 2);
	expect(pages_hold(view, 0, view->pages, 2));
}

CONTRACT_TEST(map, file_limit_set_later_does_not_matter)
{
	struct view view = full_view(64);

	run_child(purge_under_a_file_limit, &view);
	view_drop(&view);
}

enum { LOCKED_MIB = 3, MIB = 1 << 20, CANNOT_LOCK = 78 };

static uint64_t locked_bytes(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	expect(status != NULL);
	while (fgets(line, sizeof line, status))
		if (sscanf(line, "VmLck: %lu", &kib) == 1)
			break;
	fclose(status);
	return (uint64_t)kib * 1024;
}

static struct rlimit lockable;

/* Room for the mapping, and some or all of what it takes to place it for huge pages. */
static void map_locked(void *argument)
{
	struct ashmem_area *area = argument;
	void *base;

	if (geteuid() == 0 && (setresgid(20001, 20001, 20001) || setresuid(20001, 20001, 20001)))
		_exit(CANNOT_LOCK);
	if (mlockall(MCL_FUTURE) < 0)
		_exit(CANNOT_LOCK);
	for (uint64_t more = MIB / 2;; more += MIB / 2) {
		struct rlimit limit = lockable;

		limit.rlim_cur = locked_bytes() + (uint64_t)LOCKED_MIB * MIB + more;
		if (limit.rlim_cur > lockable.rlim_max || more > 6 * MIB)
			break;
		if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0)
			_exit(CANNOT_LOCK);
		base = mmap(NULL, LOCKED_MIB * MIB, PROT_RW, MAP_SHARED, ashmem_fd(area), 0);
		if (base == MAP_FAILED) /* qemu-user needs more */
			_exit(CANNOT_LOCK);
		munmap(base, LOCKED_MIB * MIB);
		base = NULL;
		expect_eq(ashmem_map(area, 0, LOCKED_MIB * MIB, PROT_RW, MAP_SHARED, &base), 0);
		memset(base, 1, LOCKED_MIB * MIB);
		expect_eq(ashmem_unmap(base, LOCKED_MIB * MIB), 0);
	}
}

CONTRACT_TEST(map, locked_memory_needs_no_more_room_than_the_mapping)
{
	struct ashmem_area *area;
	int status;

	contract_skip_under_valgrind("valgrind's own memory counts");
	expect_eq(getrlimit(RLIMIT_MEMLOCK, &lockable), 0);
	if (lockable.rlim_max < (LOCKED_MIB + 4) * MIB)
		contract_skip("so much memory cannot be locked here");
	area = area_of_bytes(LOCKED_MIB * MIB);
	expect(ashmem_fd(area) >= 0);
	status = child_wait(child_start(map_locked, area));
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_LOCK)
		contract_skip("memory cannot be locked here");
	expect_eq(status, 0);
	ashmem_close(area);
}
