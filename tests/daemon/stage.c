/* SPDX-License-Identifier: MIT */
/*
 * What nearly every case begins with, and how it ends.
 */
#include "relief.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

void stage_begin_group(struct stage *stage, uint64_t limit)
{
	stage->pid = 0;
	stage->has_daemon = 0;
	group_make(&stage->group, limit);
}

void stage_begin_process(struct stage *stage, void (*work)(void *argument), void *argument)
{
	stage->pid = process_start(&stage->group, work, argument);
}

void stage_begin_daemon(struct stage *stage, const char *const *options)
{
	daemon_start(&stage->daemon, &stage->group, options);
	stage->has_daemon = 1;
}

void stage_begin(struct stage *stage, uint64_t limit, void (*work)(void *argument), void *argument,
	const char *const *options)
{
	stage_begin_group(stage, limit);
	if (work)
		stage_begin_process(stage, work, argument);
	stage_begin_daemon(stage, options);
}

void stage_kill_daemon(struct stage *stage)
{
	kill(stage->daemon.pid, SIGKILL);
	process_wait(stage->daemon.pid);
	close(stage->daemon.output);
	stage->has_daemon = 0;
}

int stage_end(struct stage *stage)
{
	int r = 0;

	if (stage->has_daemon)
		daemon_stop(&stage->daemon);
	if (stage->pid)
		r = process_end(stage->pid);
	group_drop(&stage->group);
	return r;
}

uint64_t stage_count(struct stage *stage, const char *name)
{
	return daemon_count(&stage->daemon, name);
}

uint64_t stage_purged_bytes(struct stage *stage)
{
	return stage_count(stage, "purged_pages") * (uint64_t)sysconf(_SC_PAGESIZE);
}

int stage_wait(struct stage *stage, const char *name)
{
	for (int i = 0; i < 10000; i++) {
		if (stage_count(stage, name) > 0)
			return 1;
		sleep_ms(1);
	}
	return 0;
}
