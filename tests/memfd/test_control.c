/* SPDX-License-Identifier: MIT */
/*
 * The control block: made by one, attached to by others, and refused when its trailer, its seals or
 * its contents are not what they should be. Purging and stamps are in test_control_purge.c, crashes
 * in test_control_crash.c.
 */
#define _GNU_SOURCE 1
#include "support/children.h"
#include "support/contract.h"
#include "support/controls.h"
#include "support/range_arena.h"
#include "support/tools.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/sys.h"

enum { PAGES = 64, SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

/* -- making and attaching -- */

CONTRACT_TEST(control, what_one_makes_another_finds)
{
	struct block block = block_make(PAGES);
	struct control_map other;

	block_unpin_at(&block.map, 3, 5, 7);
	expect_eq(attach(&other, block.fd), 0);
	expect(other.shared != block.map.shared);
	expect_eq(other.size_bytes, PAGES * sys_page_size());
	expect_eq(other.data_bytes, PAGES * sys_page_size());
	expect_eq(other.list.pages, PAGES);
	expect_eq(other.writable, 1);
	expect_eq(other.shared->prot, PROT_READ | PROT_WRITE);
	expect_str(other.shared->name, "test");
	expect_str(list_text(&other.list), "3-5@7");
	expect_eq(block_pin(&other, 4, 4), 0);
	expect_str(list_text(&block.map.list), "3-3@7 5-5@7");
	control_detach(&other);
	expect(other.base == NULL);
	block_drop(&block);
}

CONTRACT_TEST(control, sizes_are_kept_to_the_byte_and_rounded_to_pages)
{
	static const uint64_t more[] = {1, 2, 100};

	for (int i = 0; i < 3; i++) {
		uint64_t bytes = 2 * sys_page_size() + more[i];
		struct control_map map, other;
		int fd = sys_memfd_create("sizes");

		expect_eq(control_reserve(fd, bytes), 0);
		expect_eq(control_make(&map, fd, bytes, 0, ""), 0);
		expect_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
		expect_eq(map.list.pages, 3);
		expect_eq(attach(&other, fd), 0);
		expect_eq(other.size_bytes, bytes);
		expect_eq(other.data_bytes, 3 * sys_page_size());
		control_detach(&other);
		control_detach(&map);
		close(fd);
	}
}

CONTRACT_TEST(control, a_new_block_has_everything_pinned_and_takes_two_pages_at_most)
{
	struct block block = block_make(100000);
	struct stat status;

	expect_eq(range_validate(&block.map.list), 0);
	expect_eq(range_overlaps(&block.map.list, 0, 99999), 0);
	block_unpin_at(&block.map, 500, 600, 1);
	expect_eq(fstat(block.fd, &status), 0);
	expect((uint64_t)status.st_blocks * 512 <= 4 * sys_page_size());
	block_drop(&block);
}

CONTRACT_TEST(control, the_largest_size_can_be_made)
{
	struct control_map map;
	int fd = sys_memfd_create("largest"), r;

	expect(control_max_size() / sys_page_size() <= UINT32_MAX);
	r = control_reserve(fd, control_max_size());
	if (r == 0)
		r = control_make(&map, fd, control_max_size(), 0, "");
	/* Where the address space is small, or files cannot be that large, it is said so. */
	expect(r == 0 || r == -ENOMEM || r == -EFBIG || (r == -EINVAL && under_valgrind()));
	if (r == 0) {
		uint32_t last = map.list.pages - 1;
		block_unpin_at(&map, last, last, 1);
		expect_eq(range_overlaps(&map.list, last, last), 1);
		control_detach(&map);
	}
	close(fd);
}

CONTRACT_TEST(control, areas_are_told_apart)
{
	struct block a = block_make(PAGES), b = block_make(PAGES);
	struct stat status;
	int copy = dup(a.fd);

	expect_eq(fstat(a.fd, &status), 0);
	expect_eq(control_is_same(&a.map, a.fd, &status), 1);
	expect_eq(control_is_same(&a.map, copy, &status), 1);
	expect_eq(control_is_same(&b.map, a.fd, &status), 0);
	expect_eq(fstat(b.fd, &status), 0);
	expect_eq(control_is_same(&a.map, b.fd, &status), 0);
	close(copy);
	block_drop(&a);
	block_drop(&b);
}

/* -- read-only -- */

static int reopen(int fd, int flags)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

CONTRACT_TEST(control, read_only_descriptor_attaches_and_changes_nothing)
{
	struct block block = block_make(PAGES);
	struct control before = *block.map.shared;
	int fd = reopen(block.fd, O_RDONLY);
	struct control_map map;

	expect(fd >= 0);
	expect_eq(attach(&map, fd), 0);
	expect_eq(map.writable, 0);
	expect_eq(control_lock(&map), -EACCES);
	expect_eq(memcmp(&before, block.map.shared, sizeof(before)), 0);
	control_detach(&map);
	close(fd);
	block_drop(&block);
}

CONTRACT_TEST(control, read_only_descriptor_attaches_while_the_lock_is_held)
{
	struct block block = block_make(PAGES);
	int fd = reopen(block.fd, O_RDONLY);

	expect_eq(control_lock(&block.map), 0);
	expect_eq(attach_answer(fd), 0);
	control_unlock(&block.map, 0);
	close(fd);
	block_drop(&block);
}

CONTRACT_TEST(control, write_sealed_file_attaches_read_only)
{
	struct block block = block_make_sealed(PAGES, SEALS);
	struct control_map map;

	/* F_SEAL_WRITE wants that nobody has it mapped for writing. */
	munmap(block.data, PAGES * sys_page_size());
	control_detach(&block.map);
	expect_eq(fcntl(block.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	expect_eq(attach(&map, block.fd), 0);
	expect_eq(map.writable, 0);
	expect_eq(control_lock(&map), -EACCES);
	control_detach(&map);
	close(block.fd);
}

/* -- what is refused -- */

/* Whoever made the file resizes and seals it between our asking for its size and for its seals. */
CONTRACT_TEST(control, file_resized_before_it_was_sealed_is_refused)
{
	struct block block = block_make_sealed(PAGES, 0);
	struct control_map map;
	struct stat before;

	expect_eq(fstat(block.fd, &before), 0);
	expect_eq(ftruncate(block.fd, before.st_size + (off_t)sys_page_size()), 0);
	expect_eq(fcntl(block.fd, F_ADD_SEALS, SEALS), 0);
	expect_eq(control_attach(&map, block.fd, &before), -EUCLEAN);
	block_drop(&block);
}

/* Change the trailer in the file, see what attaching says, and change it back. */
static void expect_refused(const struct block *block, size_t offset, const void *value, size_t size,
	int answer)
{
	unsigned char *at = (unsigned char *)&block->map.shared->id + offset, kept[16];

	expect(size <= sizeof(kept));
	memcpy(kept, at, size);
	memcpy(at, value, size);
	expect_eq(attach_answer(block->fd), answer);
	memcpy(at, kept, size);
	expect_eq(attach_answer(block->fd), 0);
}

#define expect_field_refused(block, field, value, answer)                                 \
	do {                                                                              \
		__typeof__(((struct control_id *)0)->field) refused_value = (value);      \
		expect_refused(block, offsetof(struct control_id, field), &refused_value, \
			sizeof(refused_value), answer);                                   \
	} while (0)

CONTRACT_TEST(control, another_version_is_eproto)
{
	struct block block = block_make(PAGES);

	expect_field_refused(&block, version, CONTROL_VERSION + 1, -EPROTO);
	expect_field_refused(&block, version, 0, -EPROTO);
	expect_field_refused(&block, version, UINT32_MAX, -EPROTO);
	block_drop(&block);
}

CONTRACT_TEST(control, another_byte_order_is_eproto)
{
	struct block block = block_make(PAGES);

	expect_field_refused(&block, byte_order, 0x04030201, -EPROTO);
	expect_field_refused(&block, byte_order, 0, -EPROTO);
	block_drop(&block);
}

CONTRACT_TEST(control, another_page_size_is_eproto)
{
	struct block block = block_make(PAGES);

	expect_field_refused(&block, page_size, (uint32_t)sys_page_size() * 4, -EPROTO);
	expect_field_refused(&block, page_size, 0, -EPROTO);
	expect_field_refused(&block, page_size, UINT32_MAX, -EPROTO);
	block_drop(&block);
}

CONTRACT_TEST(control, a_size_that_does_not_fit_the_file_is_euclean)
{
	struct block block = block_make(PAGES);
	uint64_t page = sys_page_size();

	expect_field_refused(&block, size_bytes, 0, -EUCLEAN);
	expect_field_refused(&block, size_bytes, (PAGES - 1) * page, -EUCLEAN);
	expect_field_refused(&block, size_bytes, PAGES * page + 1, -EUCLEAN);
	expect_field_refused(&block, size_bytes, (PAGES + 1) * page, -EUCLEAN);
	expect_field_refused(&block, size_bytes, control_max_size(), -EUCLEAN);
	expect_field_refused(&block, size_bytes, control_max_size() + 1, -EUCLEAN);
	expect_field_refused(&block, size_bytes, UINT64_C(1) << 63, -EUCLEAN);
	expect_field_refused(&block, size_bytes, UINT64_MAX, -EUCLEAN);
	expect_field_refused(&block, size_bytes, UINT64_MAX - page, -EUCLEAN);
	block_drop(&block);
}

CONTRACT_TEST(control, another_magic_is_no_control_block)
{
	struct block block = block_make(PAGES);

	for (size_t i = 0; i < sizeof(block.map.shared->id.magic); i++)
		expect_refused(&block, offsetof(struct control_id, magic) + i, "?", 1,
			CONTROL_NONE);
	block_drop(&block);
}

CONTRACT_TEST(control, a_mask_with_unknown_bits_is_euclean)
{
	struct block block = block_make(PAGES);

	block.map.shared->prot = 8;
	expect_eq(attach_answer(block.fd), -EUCLEAN);
	block.map.shared->prot = UINT32_MAX;
	expect_eq(attach_answer(block.fd), -EUCLEAN);
	block.map.shared->prot = PROT_READ | PROT_WRITE | PROT_EXEC;
	expect_eq(attach_answer(block.fd), 0);
	block_drop(&block);
}

CONTRACT_TEST(control, a_damaged_range_list_is_euclean)
{
	struct block block = block_make(PAGES);

	block_unpin_at(&block.map, 3, 5, 7);
	block.map.shared->ranges.ranges++;
	expect_eq(attach_answer(block.fd), -EUCLEAN);
	block.map.shared->ranges.ranges--;
	block.map.shared->ranges.root = UINT32_MAX;
	expect_eq(attach_answer(block.fd), -EUCLEAN);
	block_drop(&block);
}

CONTRACT_TEST(control, missing_seals_are_eperm)
{
	static const int too_few[] = {
		0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SEAL | F_SEAL_SHRINK};

	for (unsigned i = 0; i < sizeof(too_few) / sizeof(too_few[0]); i++) {
		struct block block = block_make_sealed(PAGES, too_few[i]);
		expect_eq(attach_answer(block.fd), -EPERM);
		block_drop(&block);
	}
}

/* A memfd of so many bytes that ends like this area. */
static int with_end_of(const struct block *block, uint64_t bytes)
{
	const struct control *control = block->map.shared;
	int fd = sys_memfd_create("end");

	expect_eq(ftruncate(fd, (off_t)bytes), 0);
	expect_eq(pwrite(fd, control, sizeof(*control), (off_t)(bytes - sizeof(*control))),
		sizeof(*control));
	expect_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	return fd;
}

CONTRACT_TEST(control, a_truncated_or_lengthened_file_is_euclean)
{
	struct block block = block_make(PAGES);
	uint64_t whole = PAGES * sys_page_size() + block.map.bytes;
	const uint64_t bytes[] = {sizeof(struct control), sys_page_size(), whole - sys_page_size(),
		whole - 1, whole + 1, whole + sys_page_size(), 2 * whole};

	for (unsigned i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		int fd = with_end_of(&block, bytes[i]);
		expect_eq(attach_answer(fd), -EUCLEAN);
		close(fd);
	}
	int same = with_end_of(&block, whole);
	expect_eq(attach_answer(same), 0);
	close(same);
	block_drop(&block);
}

CONTRACT_TEST(control, a_file_without_a_trailer_has_no_control_block)
{
	static const off_t bytes[] = {0, 1, 7, CONTROL_BYTES - 1, CONTROL_BYTES, 4096, 100000};

	for (unsigned i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		int fd = sys_memfd_create("plain");
		expect_eq(ftruncate(fd, bytes[i]), 0);
		expect_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
		expect_eq(attach_answer(fd), CONTROL_NONE);
		close(fd);
	}
}

/* Any byte of the trailer may have any value: an answer, and nothing else. */
CONTRACT_TEST(control, no_trailer_crashes_who_attaches)
{
	struct block block = block_make(PAGES);
	unsigned char *id = (unsigned char *)&block.map.shared->id;

	for (size_t i = 0; i < sizeof(struct control_id); i++) {
		unsigned char kept = id[i];
		for (int bit = 0; bit < 8; bit++) {
			id[i] = (unsigned char)(kept ^ 1 << bit);
			int r = attach_answer(block.fd);
			expect(r == 0 || r == CONTROL_NONE || r == -EPROTO || r == -EUCLEAN);
		}
		id[i] = kept;
	}
	expect_eq(attach_answer(block.fd), 0);
	block_drop(&block);
}

/* -- the lock of the block -- */

CONTRACT_TEST(control, damage_found_by_one_is_told_to_all)
{
	struct block block = block_make(PAGES);
	struct control_map other;

	expect_eq(attach(&other, block.fd), 0);
	expect_eq(control_lock(&block.map), 0);
	control_unlock(&block.map, -EUCLEAN);
	expect_eq(control_lock(&block.map), -EUCLEAN);
	expect_eq(control_lock(&other), -EUCLEAN);
	expect_eq(control_lock(&block.map), -EUCLEAN);
	expect_eq(attach_answer(block.fd), -EUCLEAN);
	expect_eq(block.map.shared->lock, 0);
	control_detach(&other);
	block_drop(&block);
}

CONTRACT_TEST(control, other_errors_are_no_damage)
{
	static const int results[] = {0, 1, -EINVAL, -ENOMEM, -ETIMEDOUT, -EPERM};
	struct block block = block_make(PAGES);

	for (unsigned i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		expect_eq(control_lock(&block.map), 0);
		expect_eq(control_unlock(&block.map, results[i]), 0);
	}
	expect_eq(block.map.shared->damaged, 0);
	block_drop(&block);
}

CONTRACT_TEST(control, damage_found_by_an_operation_sticks)
{
	struct block block = block_make(PAGES);

	block_unpin_at(&block.map, 3, 5, 7);
	block.map.shared->ranges.height = 100;
	expect_eq(block_pin(&block.map, 10, 12), -EUCLEAN);
	block.map.shared->ranges.height = 0;
	expect_eq(control_lock(&block.map), -EUCLEAN);
	block_drop(&block);
}

static void die_with_the_lock(void *argument)
{
	expect_eq(control_lock(argument), 0);
	_exit(0);
}

CONTRACT_TEST(control, a_dead_owners_block_is_recovered_by_the_next)
{
	struct block block = block_make(PAGES);

	block_unpin_at(&block.map, 3, 5, 7);
	run_child(die_with_the_lock, &block.map);
	if (block.map.shared->lock != 0x40000000u)
		contract_skip("nobody tells of dead owners here (qemu-user?)");
	expect_eq(control_lock(&block.map), 0);
	control_unlock(&block.map, 0);
	expect_eq(block.map.shared->recoveries, 1);
	expect_str(list_text(&block.map.list), "3-5@7");
	expect_eq(block.map.shared->lock, 0);
	block_drop(&block);
}

CONTRACT_TEST(control, who_attaches_recovers)
{
	struct block block = block_make(PAGES);

	block_unpin_at(&block.map, 3, 5, 7);
	block_abandon(&block.map);
	block.map.shared->ranges.ranges = 77; /* derived: recovery counts anew */
	expect_eq(attach_answer(block.fd), 0);
	expect_eq(block.map.shared->recoveries, 1);
	expect_str(list_text(&block.map.list), "3-5@7");
	expect_sound(&block.map.list);
	block_drop(&block);
}
