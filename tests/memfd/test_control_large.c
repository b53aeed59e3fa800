/* SPDX-License-Identifier: MIT */
/*
 * What the control block does for large lists (control_care): hints for searches, and huge pages
 * for nodes. Neither may change an answer, and the hints may say anything.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/controls.h"
#include "support/random.h"
#include "support/tools.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "range/tree.h"
#include "base/map_aligned.h"
#include "base/sys.h"

/* As many as a list needs to be large, and for its nodes to fill more than a huge page of 2 MiB. */
enum { RANGES = 170000, PAGES = 2 * RANGES };

static struct block block;

/* Unpin a page as the backend does. */
static void unpin_page(uint32_t page, uint64_t stamp)
{
	expect_eq(control_lock(&block.map), 0);
	expect_eq(range_unpin(control_list(&block.map), page, page, stamp), 0);
	int wants_care = range_wants_care(control_list(&block.map));
	control_unlock(&block.map, 0);
	if (wants_care)
		control_care(&block.map);
}

/* Ranges of one page with one between them, in order. */
static void fill_list(void)
{
	for (uint32_t i = 0; i < RANGES; i++)
		unpin_page(2 * i, 1 + i);
	expect_eq(block.map.shared->ranges.ranges, RANGES);
}

static void begin(void)
{
	block = block_make(PAGES);
	fill_list();
}

static void expect_sound_block(void)
{
	expect_eq(range_validate(control_list(&block.map)), 0);
}

/* Pins and unpins of ranges at random; each answers as it should. */
static void visit(struct random_source *source, uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t page = 2 * (uint32_t)random_below(source, RANGES);
		expect_eq(range_pin(control_list(&block.map), page, page), 0);
		expect_eq(range_overlaps(control_list(&block.map), page, page + 1), 0);
		unpin_page(page, 1000000 + i);
		expect_eq(range_overlaps(control_list(&block.map), page, page), 1);
	}
}

CONTRACT_TEST(control_large, hints_are_made_once_and_kept)
{
	begin();
	struct range_hints *hints = block.map.list.hints;
	expect(hints != NULL);
	expect(control_list(&block.map)->hints == hints);
	expect(!range_wants_care(control_list(&block.map)));
	/*
	 * Another area in between: the thread's view of this one begins anew, with the same hints.
	 */
	struct block other = block_make(10);
	expect_eq(range_unpin(control_list(&other.map), 1, 2, 5), 0);
	expect(other.map.list.hints == NULL);
	expect(control_list(&other.map)->hints == NULL);
	expect(control_list(&block.map)->hints == hints);
	block_drop(&other);
	block_drop(&block);
}

CONTRACT_TEST(control_large, hints_learn_where_pages_are)
{
	struct random_source source = random_from(test_seed("hints"));

	begin();
	struct range_hints *hints = block.map.list.hints;
	memset(hints, 0, sizeof(*hints));
	visit(&source, 200000);
	expect_msg(hints->score > 0, "score %d", hints->score);
	expect_sound_block();
	block_drop(&block);
}

CONTRACT_TEST(control_large, hints_full_of_nonsense_change_no_answer)
{
	struct random_source source = random_from(test_seed("false hints"));

	begin();
	struct range_hints *hints = block.map.list.hints;
	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < RANGE_HINTS; i++)
			hints->leaf[i] =
				(uint32_t)random_next(&source) >> random_below(&source, 32);
		hints->score = round % 2 ? 60 : (int32_t)random_next(&source);
		visit(&source, 500);
	}
	expect_sound_block();
	block_drop(&block);
}

/* -- two threads -- */

static void *visit_as_a_thread(void *source)
{
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t page = 2 * (uint32_t)random_below(source, RANGES);
		if (control_lock(&block.map) < 0)
			return "lock";
		if (range_pin(control_list(&block.map), page, page) < 0 ||
			range_unpin(control_list(&block.map), page, page, 2000000 + i) < 0)
			return "pin";
		control_unlock(&block.map, 0);
		if (range_wants_care(control_list(&block.map)))
			control_care(&block.map);
	}
	return NULL;
}

CONTRACT_TEST(control_large, threads_share_the_hints)
{
	struct random_source sources[2] = {random_from(1), random_from(2)};
	pthread_t threads[2];

	block = block_make(PAGES);
	for (uint32_t i = 0; i < RANGES; i++) /* nobody takes care yet */
		block_unpin_at(&block.map, 2 * i, 2 * i, 1 + i);
	for (int i = 0; i < 2; i++)
		expect_eq(pthread_create(&threads[i], NULL, visit_as_a_thread, &sources[i]), 0);
	for (int i = 0; i < 2; i++) {
		void *failed;
		expect_eq(pthread_join(threads[i], &failed), 0);
		expect_msg(failed == NULL, "%s", (const char *)failed);
	}
	expect(block.map.list.hints != NULL);
	expect_sound_block();
	block_drop(&block);
}

/* -- huge pages -- */

/* KiB that the kernel maps by huge pages, of what is mapped around an address. */
static uint64_t huge_kib(const void *base)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	uintptr_t from, to, wanted = (uintptr_t)base;
	char line[256];
	uint64_t kib = 0;
	int here = 0;

	expect(smaps != NULL);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			here = from <= wanted && wanted < to;
		if (here && strncmp(line, "ShmemPmdMapped:", 15) == 0)
			kib = strtoull(line + 15, NULL, 10);
	}
	fclose(smaps);
	return kib;
}

/* Whether this kernel makes huge pages of a memfd when it is asked to. */
static int can_collapse(void)
{
	size_t huge = sys_huge_bytes();
	int fd = sys_memfd_create("collapse");

	expect(fd >= 0);
	expect_eq(ftruncate(fd, (off_t)(2 * huge)), 0);
	void *base = map_aligned(2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(base != MAP_FAILED);
	memset(base, 1, huge);
	/* An emulator of user programs says yes to any advice. */
	int can = sys_collapse(base, huge) == 0 && huge_kib(base) > 0;
	munmap(base, 2 * huge);
	close(fd);
	return can;
}

CONTRACT_TEST(control_large, full_nodes_move_into_huge_pages)
{
	if (sys_huge_bytes() != 2 << 20 || !can_collapse())
		contract_skip("the kernel makes no huge pages of 2 MiB here");
	begin();
	expect_msg(huge_kib(block.map.base) >= 2048, "%" PRIu64 " KiB", huge_kib(block.map.base));
	expect_sound_block();
	expect_eq(block_pin(&block.map, 0, PAGES - 1), 0);
	expect_sound_block();
	block_drop(&block);
}

CONTRACT_TEST(control_large, huge_pages_take_no_memory_that_nodes_do_not)
{
	struct stat status;

	block = block_make(PAGES);
	fill_list();
	expect_eq(fstat(block.fd, &status), 0);
	uint64_t used = (uint64_t)status.st_blocks * 512;
	uint64_t nodes = (uint64_t)block.map.shared->ranges.nodes_used * RANGE_NODE_BYTES;
	expect_msg(used <= nodes + 3 * sys_page_size() + RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES,
		"%" PRIu64 " bytes for %" PRIu64 " of nodes", used, nodes);
	block_drop(&block);
}

static unsigned mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned lines = 0;
	int c;

	expect(maps != NULL);
	while ((c = fgetc(maps)) != EOF)
		lines += c == '\n';
	fclose(maps);
	return lines;
}

CONTRACT_TEST(control_large, large_control_blocks_lie_as_huge_pages_do_and_leave_nothing_behind)
{
	size_t huge = sys_huge_bytes();
	/*
	 * A control block of 2 huge pages and more: a node for fifteen pages, whatever their size.
	 */
	uint32_t pages = (uint32_t)(huge / RANGE_NODE_BYTES * 33);
	unsigned before;

	block = block_make(1);
	block_drop(&block);
	before = mappings();
	for (uint32_t more = 0; more < 5; more++) {
		int fd = sys_memfd_create("large");
		struct control_map map;
		uint64_t bytes = (uint64_t)(pages + 77 * more) * sys_page_size();
		expect(fd >= 0);
		expect_eq(control_reserve(fd, bytes), 0);
		expect_eq(control_make(&map, fd, bytes, PROT_READ | PROT_WRITE, "large"), 0);
		expect(map.bytes >= 2 * huge);
		expect_eq((uintptr_t)map.base % huge, map.data_bytes % huge);
		/* The thread sanitizer maps memory of its own for what is mapped. */
		expect(UNDER_THREAD_SANITIZER || mappings() == before + 1);
		control_detach(&map);
		close(fd);
		expect(UNDER_THREAD_SANITIZER || mappings() == before);
	}
}
