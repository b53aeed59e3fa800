/* SPDX-License-Identifier: MIT */
/*
 * Bounded waiting for a peer (wait.h): the count of the time, and the system calls that are tried
 * again until a peer lets them through.
 */
#include <errno.h>
#include <time.h>

#include "base/sys.h"
#include "base/wait.h"

/* Between two tries of a system call. */
#define PAUSE_NS 1000000u

void wait_begin(struct wait *wait, uint64_t bound_ns)
{
	*wait = (struct wait){.left_ns = bound_ns, .looked_ns = sys_now_ns()};
}

int wait_is_over(struct wait *wait)
{
	uint64_t now_ns = sys_now_ns(), passed_ns = now_ns - wait->looked_ns;

	if (passed_ns > WAIT_STEP_NS)
		passed_ns = WAIT_STEP_NS;
	wait->looked_ns = now_ns;
	wait->left_ns -= passed_ns < wait->left_ns ? passed_ns : wait->left_ns;
	return wait->left_ns == 0;
}

int wait_pause(struct wait *wait, uint32_t pause_ns)
{
	const struct timespec pause = {.tv_nsec = (long)pause_ns};

	if (wait_is_over(wait))
		return -ETIMEDOUT;
	nanosleep(&pause, NULL);
	return 0;
}

/* Make a call that returns -EAGAIN while a peer is in the way, until it returns something else. */
static int try_until_free(int (*try)(int fd), int fd)
{
	struct wait wait;
	int r = try(fd), waited = 0;

	wait_begin(&wait, WAIT_TIMEOUT_NS);
	while (r == -EAGAIN && waited == 0) {
		waited = wait_pause(&wait, PAUSE_NS);
		if (waited == 0)
			r = try(fd);
	}
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

int wait_lock_file(int fd)
{
	return try_until_free(sys_lock_file, fd);
}

int wait_reopen_read_only(int fd)
{
	return try_until_free(sys_reopen_read_only, fd);
}
