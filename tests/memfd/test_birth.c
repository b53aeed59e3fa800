/* SPDX-License-Identifier: MIT */
/*
 * Newborns that parent and child share (lib/memfd/birth.c), when the child came half-way: the file
 * is sealed, its state is not written. What the child had set before must be what the state is made
 * from. The model in tests/model/birth.pml found that it was not.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "handle/handle.h"
#include "memfd/area.h"

enum { PAGES_BEFORE = 12, PAGES_SET = 5 };

static struct memfd_area *state_of(struct ashmem_area *area)
{
	return area->state;
}

/* As a process that dies there leaves it. */
static void size_and_seal(struct ashmem_area *area, uint64_t size_bytes)
{
	int fd = state_of(area)->fd;

	expect_eq(control_reserve(fd, size_bytes), 0);
	expect_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
}

static void change_and_die(void *argument)
{
	struct ashmem_area *area = argument;

	expect_eq(ashmem_set_size(area, PAGES_SET * page_bytes()), 0);
	expect_eq(ashmem_set_name(area, "of the child"), 0);
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	size_and_seal(area, PAGES_SET * page_bytes());
}

CONTRACT_TEST(birth, state_is_made_from_what_the_dead_maker_had_set)
{
	struct ashmem_area *area;
	char name[ASHMEM_NAME_LEN];
	unsigned char *base;

	skip_on_kernel("only memfd areas are born");
	area = area_of_pages(PAGES_BEFORE);
	run_child(change_and_die, area);
	base = map_whole(area, PROT_RW);
	expect_eq(ashmem_get_size(area), PAGES_SET * page_bytes());
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, "of the child");
	expect_eq(ashmem_get_prot(area), PROT_RW);
	base[PAGES_SET * page_bytes() - 1] = 1;
	unpin_pages(area, 1, 3);
	expect_eq(purge_everything(), 3);
	expect_eq(pin_pages(area, 0, PAGES_SET), ASHMEM_WAS_PURGED);
	ashmem_unmap(base, PAGES_SET * page_bytes());
	ashmem_close(area);
}

/* The page that both share: a child can write there what it likes. */
static void lie_about_the_size(void *argument)
{
	struct ashmem_area *area = argument;
	unsigned char *birth = (unsigned char *)state_of(area)->birth;
	uint64_t was = PAGES_BEFORE * page_bytes(), lie = 4096 * page_bytes();

	size_and_seal(area, was);
	for (size_t at = 0; at < 64; at += sizeof was)
		if (memcmp(birth + at, &was, sizeof was) == 0)
			memcpy(birth + at, &lie, sizeof lie);
}

CONTRACT_TEST(birth, size_that_the_file_does_not_have_is_damage)
{
	struct ashmem_area *area;
	void *addr = NULL;

	skip_on_kernel("only memfd areas are born");
	area = area_of_pages(PAGES_BEFORE);
	run_child(lie_about_the_size, area);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, &addr), -EUCLEAN);
	expect_eq(ashmem_get_prot(area), -EUCLEAN);
	ashmem_close(area);
}
