/* SPDX-License-Identifier: MIT */
/*
 * ashmem_hold() and ashmem_release(): counted pins with an owner, beside the pins that are a state.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define NEEDS_HOLDS() skip_on_kernel("the driver knows no holds")

static int hold(struct ashmem_area *area, uint64_t first, uint64_t count)
{
	return ashmem_hold(area, first * page_bytes(), count * page_bytes());
}

static int release(struct ashmem_area *area, uint64_t first, uint64_t count, uint32_t flags)
{
	return ashmem_release(area, first * page_bytes(), count * page_bytes(), flags);
}

CONTRACT_TEST(holds, held_pages_are_not_purged_whoever_unpins)
{
	NEEDS_HOLDS();
	struct view view = view_make(8);
	fill_pages(&view, 0, 8, 'a');
	expect_eq(hold(view.area, 2, 2), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 0, 8);
	expect_eq(status_pages(view.area, 2, 2), ASHMEM_IS_UNPINNED);
	expect_eq(ashmem_shrink(100), 0);
	expect(pages_hold(&view, 0, 8, 'a'));
	expect_eq(release(view.area, 2, 2, 0), 0);
	expect_eq(ashmem_shrink(100), 8);
	view_drop(&view);
}

CONTRACT_TEST(holds, holds_count_page_by_page)
{
	int i;

	NEEDS_HOLDS();
	struct view view = view_make(6);
	unpin_pages(view.area, 1, 1);
	unpin_pages(view.area, 3, 1);
	for (i = 0; i < 3; i++)
		expect_eq(hold(view.area, 0, 6), ASHMEM_NOT_PURGED);
	expect_eq(hold(view.area, 3, 1), ASHMEM_NOT_PURGED);
	for (i = 0; i < 3; i++) {
		expect_eq(ashmem_shrink(100), 0);
		expect_eq(release(view.area, 0, 6, 0), 0);
	}
	expect_eq(ashmem_shrink(100), 1);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_WAS_PURGED);
	expect_eq(release(view.area, 3, 1, 0), 0);
	expect_eq(ashmem_shrink(100), 1);
	view_drop(&view);
}

CONTRACT_TEST(holds, release_of_what_is_not_held_changes_nothing)
{
	NEEDS_HOLDS();
	struct view view = view_make(6);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(release(view.area, 0, 1, 0), -EINVAL);
	expect_eq(hold(view.area, 0, 2), ASHMEM_WAS_PURGED);
	expect_eq(hold(view.area, 4, 1), ASHMEM_NOT_PURGED);
	expect_eq(release(view.area, 0, 3, 0), -EINVAL);
	expect_eq(release(view.area, 0, 5, 0), -EINVAL);
	expect_eq(release(view.area, 0, 2, 2), -EINVAL);
	expect_eq(release(NULL, 0, 1, 0), -EINVAL);
	expect_eq(ashmem_hold(NULL, 0, 0), -EINVAL);
	expect_eq(ashmem_hold(view.area, 1, 0), -EINVAL);
	expect_eq(hold(view.area, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(release(view.area, 0, 1, ASHMEM_RELEASE_LOST), 0);
	expect_eq(release(view.area, 0, 2, ASHMEM_RELEASE_LOST), 0);
	expect_eq(release(view.area, 0, 1, 0), -EINVAL);
	view_drop(&view);
}

CONTRACT_TEST(holds, marks_stay_until_the_contents_are_released)
{
	NEEDS_HOLDS();
	struct view view = view_make(10);
	unpin_pages(view.area, 0, 10);
	expect_eq(ashmem_shrink(1), 10);
	expect_eq(hold(view.area, 4, 2), ASHMEM_WAS_PURGED);
	expect_eq(hold(view.area, 4, 2), ASHMEM_WAS_PURGED);
	expect_eq(release(view.area, 4, 2, ASHMEM_RELEASE_LOST), 0);
	expect_eq(hold(view.area, 4, 2), ASHMEM_WAS_PURGED);
	fill_pages(&view, 4, 2, 'r');
	expect_eq(release(view.area, 4, 2, 0), 0);
	expect_eq(ashmem_shrink_count(), 2);
	expect_eq(ashmem_shrink(100), 0); /* one hold is left */
	expect_eq(release(view.area, 4, 2, 0), 0);
	expect_eq(hold(view.area, 4, 2), ASHMEM_NOT_PURGED);
	expect(pages_hold(&view, 4, 2, 'r'));
	expect_eq(release(view.area, 4, 2, 0), 0);
	/* Left and right of them nothing changed. */
	expect_eq(pin_pages(view.area, 3, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 6, 1), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_shrink(100), 2);
	expect_eq(pin_pages(view.area, 4, 2), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(holds, released_pages_are_the_newest)
{
	NEEDS_HOLDS();
	struct view view = view_make(8);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 4, 2);
	expect_eq(hold(view.area, 0, 2), ASHMEM_NOT_PURGED);
	expect_eq(release(view.area, 0, 2, 0), 0);
	expect_eq(ashmem_shrink(1), 2);
	expect_eq(pin_pages(view.area, 4, 2), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(holds, pins_stay_a_state_and_pinned_pages_stay_pinned)
{
	NEEDS_HOLDS();
	struct view view = view_make(4);
	expect_eq(hold(view.area, 0, 4), ASHMEM_NOT_PURGED);
	expect_str(pin_picture(view.area, 4), "....");
	unpin_pages(view.area, 1, 2);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_NOT_PURGED);
	expect_eq(release(view.area, 0, 4, 0), 0);
	expect_str(pin_picture(view.area, 4), "..U.");
	expect_eq(ashmem_shrink(100), 1);
	view_drop(&view);
}

struct holder {
	int socket_fd;
	struct gate held, leave;
};

static void hold_and_wait(void *argument)
{
	struct holder *holder = argument;
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_recv(holder->socket_fd, &area), 0);
	expect_eq(hold(area, 1, 2), ASHMEM_NOT_PURGED);
	gate_open(&holder->held);
	gate_wait(&holder->leave);
}

CONTRACT_TEST(holds, death_of_the_holder_releases)
{
	struct holder holder;
	struct view view;
	int ends[2];
	pid_t child;

	NEEDS_HOLDS();
	make_socket_pair(ends);
	gate_make(&holder.held);
	gate_make(&holder.leave);
	holder.socket_fd = ends[1];
	child = child_start(hold_and_wait, &holder);
	view = view_make(4);
	fill_pages(&view, 0, 4, 'a');
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_send(ends[0], view.area), 0);
	gate_wait(&holder.held);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 1, 1);
	expect_eq(ashmem_shrink(100), 1); /* of [0], [1], [2-3] the first */
	expect_eq(hold(view.area, 1, 1), ASHMEM_NOT_PURGED);
	expect_eq(release(view.area, 1, 1, 0), 0); /* ours, not the child's */
	expect_eq(ashmem_shrink(100), 0);
	expect(pages_hold(&view, 1, 3, 'a'));
	expect_eq(kill(child, SIGKILL), 0);
	child_wait(child);
	expect_eq(ashmem_shrink(100), 3);
	view_drop(&view);
}

static void release_nothing(void *argument)
{
	struct view *view = argument;

	expect_eq(release(view->area, 0, 1, 0), -EINVAL);
	expect_eq(hold(view->area, 1, 1), ASHMEM_NOT_PURGED);
	expect_eq(release(view->area, 1, 1, 0), 0);
}

CONTRACT_TEST(holds, forked_child_inherits_none)
{
	NEEDS_HOLDS();
	struct view view = view_make(2);
	unpin_pages(view.area, 0, 1);
	expect_eq(hold(view.area, 0, 1), ASHMEM_NOT_PURGED);
	run_child(release_nothing, &view);
	expect_eq(ashmem_shrink(1), 0);
	expect_eq(release(view.area, 0, 1, 0), 0);
	expect_eq(ashmem_shrink(1), 1);
	view_drop(&view);
}

CONTRACT_TEST(holds, closing_gives_up_all_holds)
{
	struct holdings before;
	struct view view, again;
	int fd;

	NEEDS_HOLDS();
	before = holdings_now();
	view = view_make(2);
	fd = fcntl(ashmem_fd(view.area), F_DUPFD_CLOEXEC, 0);
	unpin_pages(view.area, 0, 2);
	expect_eq(hold(view.area, 0, 1), ASHMEM_NOT_PURGED);
	view_drop(&view);
	expect_eq(ashmem_import(fd, &again.area), 0);
	expect_eq(ashmem_shrink(1), 2);
	ashmem_close(again.area);
	close(fd);
	expect_holdings(&before);
}

CONTRACT_TEST(holds, kernel_backend_says_that_it_cannot)
{
	struct view view;

	if (!backend_is_kernel())
		contract_skip("for the kernel backend");
	view = view_make(1);
	expect_eq(hold(view.area, 0, 1), -ENOTSUP);
	expect_eq(release(view.area, 0, 1, 0), -ENOTSUP);
	view_drop(&view);
}
