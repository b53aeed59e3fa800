/* SPDX-License-Identifier: MIT */
/* What the tests of the control block share: see controls.h. */
#define _GNU_SOURCE 1
#include "support/controls.h"
#include "support/contract.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/stamp.h"
#include "base/sys.h"

struct block block_make_sealed(uint32_t pages, int seals)
{
	struct block block = {.fd = sys_memfd_create("control-test"), .pages = pages};
	uint64_t bytes = (uint64_t)pages * sys_page_size();

	expect(block.fd >= 0);
	expect_eq(control_reserve(block.fd, bytes), 0);
	expect_eq(control_make(&block.map, block.fd, bytes, PROT_READ | PROT_WRITE, "test"), 0);
	expect_eq(fcntl(block.fd, F_ADD_SEALS, seals), 0);
	block.data = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, block.fd, 0);
	expect(block.data != MAP_FAILED);
	return block;
}

struct block block_make(uint32_t pages)
{
	return block_make_sealed(pages, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

void block_drop(struct block *block)
{
	munmap(block->data, (size_t)block->pages * sys_page_size());
	control_detach(&block->map);
	close(block->fd);
}

int attach(struct control_map *map, int fd)
{
	struct stat status;

	*map = (struct control_map){.fd = -1};
	expect_eq(fstat(fd, &status), 0);
	return control_attach(map, fd, &status);
}

int attach_answer(int fd)
{
	struct control_map map;
	int r = attach(&map, fd);

	if (r == 0)
		control_detach(&map);
	else
		expect(map.base == NULL);
	return r;
}

/* -- data -- */

static int byte_of(uint32_t page)
{
	return (int)(page % 255) + 1;
}

void fill_data(const struct block *block, uint32_t first, uint32_t last)
{
	for (uint32_t page = first; page <= last; page++)
		memset(block->data + (size_t)page * sys_page_size(), byte_of(page),
			sys_page_size());
}

static int page_holds(const struct block *block, uint32_t page, int byte)
{
	const unsigned char *at = block->data + (size_t)page * sys_page_size();

	return at[0] == byte && memcmp(at, at + 1, sys_page_size() - 1) == 0;
}

int page_is_filled(const struct block *block, uint32_t page)
{
	return page_holds(block, page, byte_of(page));
}

int page_is_zero(const struct block *block, uint32_t page)
{
	return page_holds(block, page, 0);
}

uint32_t filled_pages(const struct block *block, uint32_t first, uint32_t last)
{
	uint32_t filled = 0;

	for (uint32_t page = first; page <= last; page++) {
		filled += (uint32_t)page_is_filled(block, page);
		expect(page_is_filled(block, page) || page_is_zero(block, page));
	}
	return filled;
}

/* -- calls -- */

int block_pin(struct control_map *map, uint32_t first, uint32_t last)
{
	expect_eq(control_lock(map), 0);
	int r = range_pin(&map->list, first, last);
	control_unlock(map, r);
	return r;
}

int block_unpin(struct control_map *map, uint32_t first, uint32_t last)
{
	expect_eq(control_lock(map), 0);
	int r = range_unpin(&map->list, first, last,
		control_next_stamp(map, &stamp_clock, stamp_now(&stamp_clock)));
	control_unlock(map, r);
	return r;
}

void block_unpin_at(struct control_map *map, uint32_t first, uint32_t last, uint64_t stamp)
{
	expect_eq(control_lock(map), 0);
	expect_eq(range_unpin(&map->list, first, last, stamp), 0);
	control_unlock(map, 0);
}

int block_purge(struct control_map *map, struct purge_progress *progress, uint64_t newest,
	uint64_t nr_pages, uint64_t *freed)
{
	expect_eq(control_lock(map), 0);
	int r = control_purge(map, progress, newest, nr_pages, CONTROL_FREE_MEMORY, freed);
	expect_eq(range_validate(&map->list), 0);
	expect_eq(map->shared->purge_count, 0);
	control_unlock(map, r);
	return r;
}

void block_abandon(struct control_map *map)
{
	__atomic_store_n(&map->shared->lock, 0x40000000u, __ATOMIC_SEQ_CST);
}
