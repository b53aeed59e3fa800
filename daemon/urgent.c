/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: its own priority and memory. Relief that runs after a burst is no relief, so the daemon
 * runs before all ordinary processes; and it must not wait for pages of its own while none are
 * free.
 */
#include "ashmemd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

/*
 * Nice values count within a session alone where the kernel groups processes by session, so that
 * the whole session becomes nice.
 */
static void become_nice(int why)
{
	int best = -20;

	setsid();
	while (best < 0 && setpriority(PRIO_PROCESS, 0, best) < 0)
		best++;
	int r = best < 0 ? write_text_in("/proc/self", "autogroup", "-20") : -EACCES;
	say("no real-time priority (%s): nice %d%s; bursts can be faster than relief",
		strerror(why), best, r == 0 ? ", and its session" : "");
}

static void take_priority(void)
{
	struct sched_param param = {.sched_priority = 1};

	if (sched_setscheduler(0, SCHED_FIFO, &param) == 0)
		say("priority: SCHED_FIFO 1");
	else
		become_nice(errno);
}

void become_urgent(void)
{
	struct rlimit files;

	/* Each group takes up to five descriptors. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max < 8 * GROUPS ? files.rlim_max : 8 * GROUPS;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	take_priority();
	/* Not MCL_FUTURE: a purge maps an area's state, and would fill all of it. */
	if (mlockall(MCL_CURRENT) < 0)
		say("memory is not locked (%s)", strerror(errno));
}
