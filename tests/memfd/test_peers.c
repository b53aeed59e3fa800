/* SPDX-License-Identifier: MIT */
/*
 * Peers that misbehave without malice: one that is stopped while it holds an area's lock
 * (ETIMEDOUT, trying again is fine), and one that is killed there. Peers that write nonsense are in
 * test_corrupt.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/locks.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * By the kernel, not by the process: under valgrind the process's own stores would take so much
 * longer than the purges that a stop hardly ever met one.
 */
static void write_pages(const struct view *view)
{
	static unsigned char ones[1 << 20];
	uint64_t bytes = view->pages * page_bytes();
	int fd = ashmem_fd(view->area);

	memset(ones, 1, sizeof ones);
	for (uint64_t at = 0; at < bytes; at += sizeof ones)
		expect_eq(pwrite(fd, ones, sizeof ones, (off_t)at), sizeof ones);
}

static void purge_for_ever(void *argument)
{
	struct view *view = argument;

	for (;;) {
		expect(ashmem_pin(view->area, 0, 0) >= 0);
		write_pages(view);
		unpin_pages(view->area, 0, view->pages);
		expect(ashmem_purge_all() >= 0);
	}
}

static struct gate first_purge_done;

static void purge_once_and_for_ever(void *argument)
{
	alarm(1000); /* children.h gives less than this takes under valgrind on a busy machine */
	expect(ashmem_purge_all() >= 0);
	gate_open(&first_purge_done);
	purge_for_ever(argument);
}

/* Stop the purger at one moment after the other until a call has to give up; the last answer. */
static int stop_until_a_call_gives_up(struct view *view, pid_t purger)
{
	int attempt, status, result = 0;

	/* Mostly some tens are enough; not where the purger writes for long, in emulation. */
	for (attempt = 0; attempt < 4000; attempt++) {
		usleep(500 + 61 * (unsigned int)(attempt % 400));
		expect_eq(kill(purger, SIGSTOP), 0);
		expect_eq(waitpid(purger, &status, WUNTRACED), purger);
		result = status_pages(view->area, 0, 1);
		if (result < 0)
			break;
		expect_eq(kill(purger, SIGCONT), 0);
	}
	return result;
}

CONTRACT_TEST(peers, stopped_lock_holder_makes_calls_give_up_not_hang)
{
	struct view view, other;
	int64_t purgeable;
	pid_t purger;

	skip_on_kernel("the driver's lock is the kernel's");
	view = view_make(16384);
	gate_make(&first_purge_done);
	purger = child_start(purge_once_and_for_ever, &view);
	gate_wait(&first_purge_done);
	gate_drop(&first_purge_done);
	other = view_make(2);
	unpin_pages(other.area, 0, 1);
	expect_eq(stop_until_a_call_gives_up(&view, purger), -ETIMEDOUT);
	/*
	 * Stopped within a purge of the last range, it may have left nothing that could be purged.
	 */
	purgeable = (int64_t)ashmem_shrink_count();
	expect_eq(ashmem_purge_all(), purgeable > 1 ? -ETIMEDOUT : 1);
	expect_eq(pin_pages(other.area, 0, 1), ASHMEM_WAS_PURGED); /* the others are purged */
	expect_eq(kill(purger, SIGCONT), 0);
	expect(status_pages(view.area, 0, 1) >= 0); /* nothing was broken by giving up */
	kill(purger, SIGKILL);
	child_wait(purger);
	expect(ashmem_pin(view.area, 0, 0) >= 0);
	fill_pages(&view, 0, 1, 9);
	expect_eq(purge_everything(), 0);
	expect(pages_hold(&view, 0, 1, 9));
	view_drop(&view);
	view_drop(&other);
}

/* Killed at one moment after the other, mostly within the lock: the next caller finds it free and
 * the list whole. */
CONTRACT_TEST(peers, killed_lock_holder_does_not_keep_the_lock)
{
	struct view view;
	int round;

	skip_on_kernel("the driver's lock is the kernel's");
	skip_without_owner_death();
	view = view_make(4096);
	for (round = 0; round < 25; round++) {
		pid_t purger = child_start(purge_for_ever, &view);

		usleep(1500 + 231 * (unsigned int)round);
		kill(purger, SIGKILL);
		child_wait(purger);
		expect(status_pages(view.area, 0, 1) >= 0);
		unpin_pages(view.area, 0, 4096);
		expect(ashmem_purge_all() >= 0);
		expect(pages_hold(&view, 0, 4096, 0));
		expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_WAS_PURGED);
		expect_eq(ashmem_get_pin_status(view.area, 0, 0), ASHMEM_IS_PINNED);
	}
	view_drop(&view);
}
