/* SPDX-License-Identifier: MIT */
/*
 * Contract, rule 3, by fork: parent and child share one area with all its state, even if nothing
 * was materialised when they parted. Sockets and import are in test_contract_sharing.c.
 */
#define _GNU_SOURCE 1
#include "support/abilities.h"
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/locks.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A materialised area */

static void change_everything(void *argument)
{
	struct view *view = argument;

	expect(pages_hold(view, 0, 4, 1));
	fill_pages(view, 3, 1, 2);
	unpin_pages(view->area, 0, 2);
	expect(purge_everything() == 2);
	unpin_pages(view->area, 2, 1);
	expect_eq(ashmem_set_prot(view->area, PROT_READ), 0);
}

CONTRACT_TEST(fork, child_changes_the_same_state)
{
	struct view view = view_make(4);

	fill_pages(&view, 0, 4, 1);
	run_child(change_everything, &view);
	expect(pages_hold(&view, 0, 2, 0));
	expect(pages_hold(&view, 3, 1, 2));
	expect_str(pin_picture(view.area, 4), "UUU.");
	expect_eq(ashmem_get_prot(view.area), PROT_READ);
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

struct both {
	struct ashmem_area *area;
	struct gate to_child;
	struct gate to_parent;
};

static struct both both_of(struct ashmem_area *area)
{
	struct both both = {.area = area};

	gate_make(&both.to_child);
	gate_make(&both.to_parent);
	return both;
}

static void see_what_the_parent_does(void *argument)
{
	struct both *both = argument;

	expect_str(pin_picture(both->area, 3), "...");
	gate_open(&both->to_parent);
	gate_wait(&both->to_child);
	expect_str(pin_picture(both->area, 3), "UU.");
	expect_eq(ashmem_get_prot(both->area), PROT_RW);
	expect_eq(pin_pages(both->area, 0, 1), ASHMEM_WAS_PURGED);
}

CONTRACT_TEST(fork, parent_changes_the_same_state)
{
	struct view view = view_make(3);
	struct both both = both_of(view.area);
	pid_t child = child_start(see_what_the_parent_does, &both);

	gate_wait(&both.to_parent);
	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	expect_eq(ashmem_set_prot(view.area, PROT_RW), 0);
	gate_open(&both.to_child);
	child_join(child);
	expect_str(pin_picture(view.area, 3), ".U.");
	view_drop(&view);
}

static void unpin_and_close(void *argument)
{
	struct view *view = argument;

	unpin_pages(view->area, 1, 1);
	view_drop(view);
}

CONTRACT_TEST(fork, closing_in_the_child_does_not_matter_to_the_parent)
{
	struct view view = view_make(3);

	fill_pages(&view, 0, 3, 8);
	run_child(unpin_and_close, &view);
	expect(pages_hold(&view, 0, 3, 8));
	expect_str(pin_picture(view.area, 3), ".U.");
	expect_eq(purge_everything(), 1);
	expect_eq(pin_pages(view.area, 0, 3), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

static void use_after_parent_closed(void *argument)
{
	struct both *both = argument;

	gate_wait(&both->to_child);
	expect_eq(purge_everything(), 2);
	expect_eq(ashmem_pin(both->area, 0, 0), ASHMEM_WAS_PURGED);
}

CONTRACT_TEST(fork, closing_in_the_parent_does_not_matter_to_the_child)
{
	struct view view = view_make(3);
	struct both both = both_of(view.area);
	pid_t child = child_start(use_after_parent_closed, &both);

	unpin_pages(view.area, 1, 2);
	view_drop(&view);
	gate_open(&both.to_child);
	child_join(child);
}

static void work_until_killed(void *argument)
{
	struct both *both = argument;
	uint64_t page;

	gate_open(&both->to_parent);
	for (page = 0;; page = (page + 1) % 32) {
		unpin_pages(both->area, page, 3);
		expect(pin_pages(both->area, page, 2) >= 0);
	}
}

CONTRACT_TEST(fork, killed_child_leaves_the_area_usable)
{
	struct view view;
	int round;

	skip_without_owner_death();
	view = view_make(35);
	for (round = 0; round < 30; round++) {
		struct both both = both_of(view.area);
		pid_t child = child_start(work_until_killed, &both);

		gate_wait(&both.to_parent);
		usleep(100 * (unsigned int)round);
		kill(child, SIGKILL);
		expect(WIFSIGNALED(child_wait(child)));
		expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
		expect_eq(ashmem_get_pin_status(view.area, 0, 0), ASHMEM_IS_PINNED);
		gate_drop(&both.to_child);
		gate_drop(&both.to_parent);
	}
	view_drop(&view);
}

static void unpin_in_grandchild(void *argument)
{
	unpin_pages(argument, 1, 1);
}

static void start_grandchild(void *area)
{
	run_child(unpin_in_grandchild, area);
}

CONTRACT_TEST(fork, grandchildren_share_as_well)
{
	struct view view = view_make(3);

	run_child(start_grandchild, view.area);
	expect_str(pin_picture(view.area, 3), ".U.");
	view_drop(&view);
}

/* An area that is not materialised */

static void name_and_size(void *area)
{
	expect_eq(ashmem_set_name(area, "from the child"), 0);
	expect_eq(ashmem_set_size(area, 3 * page_bytes() - 1), 0);
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
}

CONTRACT_TEST(fork, name_size_and_mask_set_in_the_child_show_in_the_parent)
{
	struct ashmem_area *area = area_of_bytes(0);
	struct view view;
	char line[1024];

	run_child(name_and_size, area);
	expect_name(area, "from the child");
	expect_eq(ashmem_get_size(area), 3 * page_bytes() - 1);
	expect_eq(ashmem_get_prot(area), PROT_RW);
	view = view_of(area);
	expect_eq(view.pages, 3);
	expect(maps_line(view.base, line, sizeof line));
	expect(strstr(line, "/dev/ashmem") != NULL);
	view_drop(&view);
}

static void read_what_the_parent_set(void *argument)
{
	struct both *both = argument;

	gate_wait(&both->to_child);
	expect_name(both->area, "from the parent");
	expect_eq(ashmem_get_size(both->area), 7);
	expect_eq(ashmem_set_size(both->area, page_bytes()), 0);
}

CONTRACT_TEST(fork, name_and_size_set_in_the_parent_show_in_the_child)
{
	struct both both = both_of(area_of_bytes(0));
	pid_t child = child_start(read_what_the_parent_set, &both);

	expect_eq(ashmem_set_name(both.area, "from the parent"), 0);
	expect_eq(ashmem_set_size(both.area, 7), 0);
	gate_open(&both.to_child);
	child_join(child);
	expect_eq(ashmem_get_size(both.area), page_bytes());
	ashmem_close(both.area);
}

static void materialise_fill_unpin(void *area)
{
	struct view view = view_of(area);

	fill_pages(&view, 0, 3, 0x51);
	unpin_pages(area, 2, 1);
}

CONTRACT_TEST(fork, first_map_in_the_child_materialises_for_both)
{
	struct ashmem_area *area = area_of_pages(3);
	struct view view;

	run_child(materialise_fill_unpin, area);
	expect_eq(ashmem_set_name(area, "late"), -EINVAL);
	expect_eq(ashmem_set_size(area, 1), -EINVAL);
	expect_str(pin_picture(area, 3), "..U");
	view = view_of(area);
	expect(pages_hold(&view, 0, 3, 0x51));
	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

static void use_what_the_parent_materialised(void *argument)
{
	struct both *both = argument;
	struct view view;

	gate_wait(&both->to_child);
	expect_eq(ashmem_set_size(both->area, 1), -EINVAL);
	expect_eq(status_pages(both->area, 1, 1), ASHMEM_IS_UNPINNED);
	view = view_of(both->area);
	expect(pages_hold(&view, 0, 2, 0x52));
	fill_pages(&view, 0, 1, 0x53);
}

CONTRACT_TEST(fork, first_map_in_the_parent_materialises_for_both)
{
	struct both both = both_of(area_of_pages(2));
	pid_t child = child_start(use_what_the_parent_materialised, &both);
	struct view view = view_of(both.area);

	fill_pages(&view, 0, 2, 0x52);
	unpin_pages(both.area, 1, 1);
	gate_open(&both.to_child);
	child_join(child);
	expect(pages_hold(&view, 0, 1, 0x53));
	view_drop(&view);
}

static void materialise_at_the_gate(void *argument)
{
	struct both *both = argument;
	struct view view;

	gate_wait(&both->to_child);
	view = view_of(both->area);
	view.base[0] = 1;
	unpin_pages(both->area, 0, 1);
}

CONTRACT_TEST(fork, both_may_materialise_at_once)
{
	int round;

	for (round = 0; round < 50; round++) {
		struct both both = both_of(area_of_pages(2));
		pid_t child = child_start(materialise_at_the_gate, &both);
		struct view view;

		gate_open(&both.to_child);
		view = view_of(both.area);
		view.base[1] = 2;
		unpin_pages(both.area, 1, 1);
		child_join(child);
		expect_eq(view.base[0], 1);
		expect_eq(view.base[1], 2);
		expect_str(pin_picture(both.area, 2), "UU");
		view_drop(&view);
		gate_drop(&both.to_child);
		gate_drop(&both.to_parent);
	}
}

static void materialise_after_parent_closed(void *argument)
{
	struct both *both = argument;
	struct view view;

	gate_wait(&both->to_child);
	expect_name(both->area, "orphan");
	view = view_of(both->area);
	fill_pages(&view, 0, 2, 4);
	unpin_pages(both->area, 0, 0);
	expect_eq(purge_everything(), 2);
	view_drop(&view);
}

CONTRACT_TEST(fork, unmaterialised_area_survives_its_creators_close)
{
	struct both both = both_of(area_of_pages(2));
	pid_t child = child_start(materialise_after_parent_closed, &both);

	expect_eq(ashmem_set_name(both.area, "orphan"), 0);
	ashmem_close(both.area);
	gate_open(&both.to_child);
	child_join(child);
}

static void close_only(void *area)
{
	ashmem_close(area);
}

CONTRACT_TEST(fork, closing_an_unmaterialised_area_in_the_child_changes_nothing)
{
	struct ashmem_area *area = area_of_pages(2);
	struct holdings before;
	struct view view;

	run_child(close_only, area); /* the first fork may make what the two share */
	before = holdings_now();
	run_child(close_only, area);
	expect_eq(ashmem_set_name(area, "still mine"), 0);
	expect_name(area, "still mine");
	expect_holdings(&before);
	view = view_of(area);
	fill_pages(&view, 0, 2, 1);
	view_drop(&view);
}

static void drop_areas_of_the_parent(void *argument)
{
	struct ashmem_area **areas = argument;
	struct holdings before, after;

	before = holdings_now();
	ashmem_close(areas[0]);
	ashmem_close(areas[1]);
	after = holdings_now();
	expect(after.descriptors < before.descriptors);
	expect(after.mappings <= before.mappings);
}

CONTRACT_TEST(fork, child_gives_its_copies_back)
{
	struct ashmem_area *areas[2] = {area_of_pages(1), area_of_pages(2)};

	expect(ashmem_fd(areas[1]) >= 0);
	run_child(drop_areas_of_the_parent, areas);
	expect(ashmem_fd(areas[0]) >= 0);
	ashmem_close(areas[0]);
	ashmem_close(areas[1]);
}

/* ESTALE: a clone that libc did not see cannot share what was not there yet. */

static pid_t clone_behind_libc(void)
{
#ifdef SYS_fork
	return (pid_t)syscall(SYS_fork);
#elif defined(__s390__)
	return (pid_t)syscall(SYS_clone, 0, SIGCHLD, 0, 0, 0);
#else
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

static void expect_stale(struct ashmem_area *area)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof stats};
	char name[ASHMEM_NAME_LEN];
	void *base = NULL;

	expect_eq(ashmem_set_name(area, "x"), -ESTALE);
	expect_eq(ashmem_get_name(area, name, sizeof name), -ESTALE);
	expect_eq(ashmem_set_size(area, 1), -ESTALE);
	expect_eq(ashmem_set_prot(area, PROT_READ), -ESTALE);
	expect_eq(ashmem_get_prot(area), -ESTALE);
	expect_eq(ashmem_map(area, 0, 1, PROT_READ, MAP_SHARED, &base), -ESTALE);
	expect_eq(ashmem_fd(area), -ESTALE);
	expect_eq(ashmem_area_get_stats(area, &stats), -ESTALE);
	expect(base == NULL);
	ashmem_close(area);
}

CONTRACT_TEST(fork, unmaterialised_area_is_stale_in_a_clone_behind_libc)
{
	struct ashmem_area *area;
	struct view view;
	pid_t child;

	skip_on_kernel("the driver's descriptor is shared from the start");
	skip_without_wiping_on_fork();
	area = area_of_pages(1);
	view = view_make(1);
	child = clone_behind_libc();
	if (child == 0) {
		contract_in_child = 1;
		expect_stale(area);
		unpin_pages(view.area, 0, 1);
		_exit(0);
	}
	expect(child > 0);
	child_join(child);
	expect_eq(ashmem_set_name(area, "fresh"), 0);
	expect_name(area, "fresh");
	expect_eq(status_pages(view.area, 0, 1), ASHMEM_IS_UNPINNED);
	ashmem_close(area);
	view_drop(&view);
}
