/* SPDX-License-Identifier: MIT */
/*
 * debug.h: purges at every unpin, purges at random, and traps on unpinned pages; on every backend,
 * as far as it can.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_modes(const char *modes)
{
	expect_eq(ashmem_debug_set(modes), 0);
}

/* In a test itself, not in a child of it: a child cannot skip. */
static void set_trap_modes(const char *modes)
{
	contract_skip_under_valgrind("valgrind reports the traps themselves as mistakes");
	set_modes(modes);
}

static const char *modes_now(void)
{
	static char text[128];
	int length = ashmem_debug_get(text, sizeof text);

	expect_eq(length, strlen(text));
	return text;
}

/* Words */

CONTRACT_TEST(debug_modes, words_are_taken_and_told)
{
	char text[8];

	set_modes("");
	expect_str(modes_now(), "");
	expect_eq(ashmem_debug_get(NULL, 0), 0);
	set_modes("trap-unpinned");
	expect_str(modes_now(), "trap-unpinned");
	set_modes("purge-random=7");
	expect_str(modes_now(), "purge-random=7:25");
	set_modes(",trap-unpinned,,purge-random=0x10:100,purge-on-unpin,");
	expect_str(modes_now(), "purge-on-unpin,purge-random=16:100,trap-unpinned");
	expect_eq(ashmem_debug_get(text, sizeof text), 48);
	expect_str(text, "purge-o");
	expect_eq(ashmem_debug_get(NULL, 5), -EINVAL);
	set_modes(NULL);
	expect_str(modes_now(), "");
}

CONTRACT_TEST(debug_modes, wrong_words_are_refused_and_change_nothing)
{
	static const char *const wrong[] = {"purge", "purge-on-unpin ", " trap-unpinned",
		"trap-unpinned=1", "purge-random", "purge-random=", "purge-random=:5",
		"purge-random=x", "purge-random=1:", "purge-random=1:0", "purge-random=1:101",
		"purge-random=1:5:5", "purge-random=-1", "purge-random= 1",
		"purge-random=99999999999999999999", "purge-random=1;2", "trap-unpinned,nonsense",
		"TRAP-UNPINNED"};
	size_t i;

	set_modes("purge-random=3:50");
	for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		expect_msg(ashmem_debug_set(wrong[i]) == -EINVAL, "\"%s\" was taken", wrong[i]);
	expect_str(modes_now(), "purge-random=3:50");
	set_modes("");
}

/* Only where nothing has asked for the modes before: the environment is read once a process. */
CONTRACT_TEST(debug_modes, environment_is_read_and_what_is_wrong_in_it_passed_over)
{
	expect_eq(setenv("ASHMEM_DEBUG", "nonsense,purge-on-unpin,purge-random=,trap-unpinned", 1),
		0);
	ashmem_close(area_of_pages(1));
	if (modes_now()[0] == '\0')
		contract_skip("the environment was read before");
	expect_str(modes_now(), "purge-on-unpin,trap-unpinned");
	set_modes("");
	ashmem_close(area_of_pages(1));
	expect_str(modes_now(), "");
}

/* Purging */

CONTRACT_TEST(debug_modes, purge_on_unpin_purges_everything_at_once)
{
	struct view views[2];

	views[0] = view_make(8);
	views[1] = view_make(4);
	fill_pages(&views[0], 0, 8, 1);
	fill_pages(&views[1], 0, 4, 1);
	unpin_pages(views[0].area, 0, 2);
	expect(pages_hold(&views[0], 0, 8, 1));
	set_modes("purge-on-unpin");
	if (ashmem_purge_all() == -EPERM)
		contract_skip("the driver purges for the administrator only");
	unpin_pages(views[1].area, 1, 1);
	expect(pages_hold(&views[1], 1, 1, 0) && pages_hold(&views[1], 2, 2, 1));
	expect(pages_hold(&views[0], 0, 2, 0) && pages_hold(&views[0], 2, 6, 1));
	expect_eq(pin_pages(views[0].area, 1, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(views[1].area, 0, 4), ASHMEM_WAS_PURGED);
	set_modes("");
	unpin_pages(views[1].area, 2, 1);
	expect_eq(pin_pages(views[1].area, 2, 1), ASHMEM_NOT_PURGED);
	view_drop(&views[0]);
	view_drop(&views[1]);
}

static void fill_and_unpin(void *userdata, struct ashmem_area *area, uint64_t offset,
	uint64_t length)
{
	int *calls = userdata;

	++*calls;
	if (ashmem_pin(area, offset, length) == ASHMEM_WAS_PURGED)
		ashmem_unpin(area, offset, length);
}

CONTRACT_TEST(debug_modes, subscriber_that_unpins_purges_nothing)
{
	struct view view;
	int calls = 0, id;

	skip_on_kernel("the driver does not tell what it purges");
	view = view_make(8);
	id = ashmem_purge_subscribe(fill_and_unpin, &calls);
	set_modes("purge-on-unpin");
	unpin_pages(view.area, 0, 2);
	expect_eq(calls, 1);
	expect_eq(ashmem_shrink_count(), 2);
	set_modes("");
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	view_drop(&view);
}

/* Which of 200 pins find a purge, as a picture. */
static void purges_of(const char *modes, char picture[201])
{
	struct view view = view_make(8);
	int i;

	set_modes(modes);
	for (i = 0; i < 200; i++) {
		unpin_pages(view.area, (uint64_t)i % 8, 1);
		if (i % 3 == 0)
			unpin_pages(view.area, (uint64_t)(i + 3) % 8, 1);
		picture[i] =
			pin_pages(view.area, (uint64_t)i % 8, 1) == ASHMEM_WAS_PURGED ? 'P' : '.';
	}
	picture[200] = '\0';
	set_modes("");
	view_drop(&view);
}

static int count_purges(const char *picture)
{
	int count = 0;

	for (; *picture; picture++)
		count += *picture == 'P';
	return count;
}

CONTRACT_TEST(debug_modes, random_purges_follow_the_seed)
{
	char first[201], second[201], other[201];

	skip_on_kernel("nobody but the driver purges pages of its areas");
	purges_of("purge-random=1", first);
	purges_of("purge-random=1", second);
	purges_of("purge-random=2", other);
	expect_str(second, first);
	expect(strcmp(other, first) != 0);
	expect(count_purges(first) > 10 && count_purges(first) < 150);
	purges_of("purge-random=1:100", other);
	expect(count_purges(other) > count_purges(first));
	purges_of("purge-random=1:1", other);
	expect(count_purges(other) < count_purges(first));
}

/* Traps */

struct use {
	const unsigned char *byte;
	int write;
};

static void use_byte(void *argument)
{
	const struct use *use = argument;

	signal(SIGSEGV, SIG_DFL);
	if (use->write)
		*(volatile unsigned char *)(uintptr_t)use->byte = 1;
	else
		(void)*(const volatile unsigned char *)use->byte;
}

/* What comes of using the page, in a child: 1 a trap, 0 nothing. */
static int traps_at(const unsigned char *base, uint64_t page, int write)
{
	struct use use = {base + page * page_bytes(), write};
	int status;

	status = child_wait(child_start(use_byte, &use));

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
		return 1;
	expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}

/* Pages that trap, as text. */
static const char *trap_picture(const unsigned char *base, uint64_t pages)
{
	static char picture[33];
	uint64_t page;

	expect(pages < sizeof picture);
	for (page = 0; page < pages; page++)
		picture[page] = traps_at(base, page, 0) ? 'T' : '.';
	picture[pages] = '\0';
	return picture;
}

CONTRACT_TEST(debug_trap, unpinned_pages_trap_until_they_are_pinned)
{
	struct view view;

	set_trap_modes("trap-unpinned");
	view = view_make(8);
	fill_pages(&view, 0, 8, 1);
	unpin_pages(view.area, 2, 4);
	expect_str(trap_picture(view.base, 8), "..TTTT..");
	expect_eq(traps_at(view.base, 3, 1), 1);
	expect_eq(pin_pages(view.area, 3, 1), ASHMEM_NOT_PURGED);
	expect_str(trap_picture(view.base, 8), "..T.TT..");
	expect(pages_hold(&view, 3, 1, 1));
	fill_pages(&view, 3, 1, 2);
	expect_eq(ashmem_unpin(view.area, 0, 0), 0);
	expect_str(trap_picture(view.base, 8), "TTTTTTTT");
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	expect(pages_hold(&view, 0, 3, 1) && pages_hold(&view, 3, 1, 2) &&
		pages_hold(&view, 4, 4, 1));
	view_drop(&view);
	set_modes("");
}

CONTRACT_TEST(debug_trap, failed_calls_change_no_rights)
{
	struct view view;

	set_trap_modes("trap-unpinned");
	view = view_make(4);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_unpin(view.area, page_bytes(), 1), -EINVAL);
	expect_eq(ashmem_pin(view.area, 0, 5 * page_bytes()), -EINVAL);
	expect_str(trap_picture(view.base, 4), "T...");
	view_drop(&view);
	set_modes("");
}

CONTRACT_TEST(debug_trap, all_shared_mappings_of_an_area_and_no_private_ones)
{
	struct view view;
	void *second = NULL, *private = NULL;
	size_t page = (size_t)page_bytes();

	set_trap_modes("trap-unpinned");
	view = view_make(6);
	fill_pages(&view, 0, 6, 1);
	expect_eq(ashmem_map(view.area, 2 * page, 3 * page, PROT_READ, MAP_SHARED, &second), 0);
	expect_eq(ashmem_map(view.area, 0, 6 * page, PROT_RW, MAP_PRIVATE, &private), 0);
	unpin_pages(view.area, 1, 3);
	expect_str(trap_picture(view.base, 6), ".TTT..");
	expect_str(trap_picture(second, 3), "TT.");
	expect_str(trap_picture(private, 6), "......");
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	expect_str(trap_picture(second, 3), "...");
	expect_eq(traps_at(second, 0, 1), 1); /* it was mapped for reading */
	expect_eq(traps_at(view.base, 2, 1), 0);
	expect_eq(ashmem_unmap(second, 3 * page), 0);
	expect_eq(ashmem_unmap(private, 6 * page), 0);
	view_drop(&view);
	set_modes("");
}

CONTRACT_TEST(debug_trap, mapping_made_while_pages_are_unpinned_traps_there)
{
	struct view view;
	unsigned char *second;

	set_trap_modes("trap-unpinned");
	view = view_make(6);
	unpin_pages(view.area, 1, 2);
	unpin_pages(view.area, 4, 1);
	second = map_whole(view.area, PROT_RW);
	expect_str(trap_picture(second, 6), ".TT.T.");
	expect_eq(ashmem_unmap(second, (size_t)(6 * page_bytes())), 0);
	view_drop(&view);
	set_modes("");
}

/* What is unmapped in part, from the left, the right, the middle, and mapped over. */
CONTRACT_TEST(debug_trap, parts_of_a_mapping_can_go)
{
	struct view view, other;
	void *over;
	size_t page = (size_t)page_bytes();

	set_trap_modes("trap-unpinned");
	view = view_make(10);
	other = view_make(2);
	expect_eq(ashmem_unmap(view.base, page), 0);
	expect_eq(ashmem_unmap(view.base + 9 * page, page), 0);
	expect_eq(ashmem_unmap(view.base + 4 * page, page), 0);
	/* Somebody else's memory there now: its rights are not ours to change. */
	expect(mmap(view.base + 4 * page, page, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		       -1, 0) != MAP_FAILED);
	over = view.base + 6 * page;
	expect_eq(ashmem_map(other.area, 0, page, PROT_RW, MAP_SHARED | MAP_FIXED, &over), 0);
	expect_eq(ashmem_unpin(view.area, 0, 0), 0);
	expect_str(trap_picture(view.base + page, 8), "TTT.T.TT");
	unpin_pages(other.area, 0, 1);
	expect_str(trap_picture(view.base + page, 8), "TTT.TTTT");
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	expect_str(trap_picture(view.base + page, 8), ".....T..");
	expect_eq(ashmem_unmap(view.base + page, 8 * page), 0);
	ashmem_close(view.area);
	view_drop(&other);
	set_modes("");
}

CONTRACT_TEST(debug_trap, held_pages_are_accessible_until_the_last_release)
{
	struct view view;
	uint64_t page = page_bytes();

	skip_on_kernel("the driver knows no holds");
	set_trap_modes("trap-unpinned");
	view = view_make(6);
	unpin_pages(view.area, 0, 6);
	expect_eq(ashmem_hold(view.area, page, 3 * page), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_hold(view.area, 2 * page, 3 * page), ASHMEM_NOT_PURGED);
	expect_str(trap_picture(view.base, 6), "T....T");
	expect_eq(ashmem_release(view.area, page, 3 * page, 0), 0);
	expect_str(trap_picture(view.base, 6), "TT...T");
	unpin_pages(view.area, 2, 1);
	expect_str(trap_picture(view.base, 6), "TT...T");
	expect_eq(pin_pages(view.area, 4, 1), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_release(view.area, 2 * page, 3 * page, 0), 0);
	expect_str(trap_picture(view.base, 6), "TTTT.T");
	view_drop(&view);
	set_modes("");
}

CONTRACT_TEST(debug_trap, purged_pages_are_accessible_again_and_empty)
{
	struct view view;

	set_trap_modes("trap-unpinned,purge-on-unpin");
	view = view_make(4);
	fill_pages(&view, 0, 4, 1);
	unpin_pages(view.area, 1, 2);
	if (pin_pages(view.area, 1, 2) == ASHMEM_WAS_PURGED)
		expect(pages_hold(&view, 1, 2, 0));
	expect_str(trap_picture(view.base, 4), "....");
	view_drop(&view);
	set_modes("");
}

static void pin_in_child(void *argument)
{
	struct view *view = argument;

	expect_str(trap_picture(view->base, 4), "TT..");
	expect_eq(pin_pages(view->area, 0, 1), ASHMEM_NOT_PURGED);
	expect_str(trap_picture(view->base, 4), ".T..");
}

CONTRACT_TEST(debug_trap, child_of_fork_begins_as_its_parent_was)
{
	struct view view;

	set_trap_modes("trap-unpinned");
	view = view_make(4);
	unpin_pages(view.area, 0, 2);
	run_child(pin_in_child, &view);
	/* The child's pin holds for us, and we are told of it by our own. */
	expect_str(trap_picture(view.base, 4), "TT..");
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_NOT_PURGED);
	expect_str(trap_picture(view.base, 4), ".T..");
	view_drop(&view);
	set_modes("");
}

CONTRACT_TEST(debug_trap, ends_with_the_mode_and_with_the_last_handle)
{
	struct view view;

	set_trap_modes("trap-unpinned");
	view = view_make(4);
	unpin_pages(view.area, 0, 2);
	set_modes("");
	expect_str(trap_picture(view.base, 4), "....");
	view_drop(&view);

	set_trap_modes("trap-unpinned");
	view = view_make(4);
	unpin_pages(view.area, 0, 2);
	expect_str(trap_picture(view.base, 4), "TT..");
	ashmem_close(view.area);
	expect_str(trap_picture(view.base, 4), "....");
	expect_eq(ashmem_unmap(view.base, (size_t)(4 * page_bytes())), 0);
	set_modes("");
}

/* Threads with pages of their own: nobody is trapped on what it has pinned. */

struct worker {
	struct view *view;
	uint64_t first;
	int failed;
};

static void *pin_use_unpin(void *argument)
{
	struct worker *worker = argument;
	int i;

	for (i = 0; i < 2000; i++) {
		uint64_t page = worker->first + (uint64_t)i % 4;

		worker->failed |= pin_pages(worker->view->area, page, 1) < 0;
		fill_pages(worker->view, page, 1, i);
		worker->failed |=
			ashmem_unpin(worker->view->area, page * page_bytes(), page_bytes()) < 0;
	}
	return NULL;
}

CONTRACT_TEST(debug_trap, threads_use_what_they_have_pinned)
{
	struct view view;
	struct worker workers[2];
	pthread_t threads[2];
	int i;

	set_trap_modes("trap-unpinned,purge-random=5");
	view = view_make(8);
	for (i = 0; i < 2; i++) {
		workers[i] = (struct worker){&view, 4 * (uint64_t)i, 0};
		expect_eq(pthread_create(&threads[i], NULL, pin_use_unpin, &workers[i]), 0);
	}
	for (i = 0; i < 2; i++) {
		expect_eq(pthread_join(threads[i], NULL), 0);
		expect_eq(workers[i].failed, 0);
	}
	expect_str(trap_picture(view.base, 8), "TTTTTTTT");
	view_drop(&view);
	set_modes("");
}
