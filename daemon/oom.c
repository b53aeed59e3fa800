/* SPDX-License-Identifier: MIT */
/*
 * ashmemd --no-kill: in groups of cgroup version 1, processes that need memory wait for relief
 * instead of being killed (memory.oom_control).
 *
 * They would wait for ever if nobody relieved them, so there is a way back from everything. Where
 * nothing can be purged, this process gives up, and the kernel kills. If this process dies, or does
 * not get on for two seconds, a second small one gives up for it: it knows the groups by memory
 * that both share.
 */
#include "ashmemd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL "memory.oom_control"
#define LATE_NS (2000 * NS_PER_MS)
#define WATCH_MS 250

/* Both processes write here. */
static struct shared {
	uint64_t beat; /* when the daemon was alive */
	struct {
		char path[GROUP_PATH];
		uint32_t is_set;
	} places[GROUPS];
} * shared;

static int alive_fd = -1; /* its other end is closed when the daemon ends */
static pid_t watchdog;

static void undo(unsigned place)
{
	if (__atomic_exchange_n(&shared->places[place].is_set, 0, __ATOMIC_ACQ_REL))
		write_text_in(shared->places[place].path, CONTROL, "0");
}

static void undo_all(void)
{
	for (unsigned i = 0; i < GROUPS; i++)
		undo(i);
}

/* The second process. */
static void watch(int daemon_fd)
{
	struct pollfd fd = {.fd = daemon_fd, .events = POLLIN};

	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	while (poll(&fd, 1, WATCH_MS) <= 0)
		if (now_ns() - __atomic_load_n(&shared->beat, __ATOMIC_ACQUIRE) > LATE_NS)
			undo_all();
	undo_all();
	_exit(0);
}

int oom_start(void)
{
	int ends[2];
	void *memory = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED || pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	shared = memory;
	shared->beat = now_ns();
	watchdog = fork();
	if (watchdog < 0)
		return -errno;
	if (watchdog == 0) {
		close(ends[1]);
		watch(ends[0]);
	}
	close(ends[0]);
	alive_fd = ends[1];
	return 0;
}

void oom_beat(uint64_t now)
{
	if (shared)
		__atomic_store_n(&shared->beat, now, __ATOMIC_RELEASE);
}

/* Events when the group has no memory left. */
static int add_event(struct group *group, int epoll_fd)
{
	unsigned number = (unsigned)(group - groups);
	struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = number << 8 | 2}};
	char line[64];
	int r, control = open_in(group->path, CONTROL, O_RDONLY);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	r = control < 0 || fd < 0 ? -errno : 0;
	snprintf(line, sizeof(line), "%d %d", fd, control);
	if (r == 0)
		r = write_text_in(group->path, "cgroup.event_control", line);
	if (r == 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		r = -errno;
	if (control >= 0)
		close(control);
	if (r < 0 && fd >= 0)
		close(fd);
	if (r == 0)
		group->event_fd[2] = fd;
	return r;
}

void oom_begin(struct group *group, int epoll_fd)
{
	unsigned place = (unsigned)(group - groups);
	char text[256];
	int is_still_set =
		shared && __atomic_load_n(&shared->places[place].is_set, __ATOMIC_ACQUIRE) != 0;

	/* The watchdog may have given up for us. */
	if (!shared || group->kind != GROUP_V1 || group->is_around_us || is_still_set)
		return;
	/* Somebody else has done it: that is not ours to undo. */
	if (read_text_in(group->path, CONTROL, text, sizeof(text)) < 0 ||
		number_after(text, "oom_kill_disable ", 1) != 0)
		return;
	if (group->event_fd[2] < 0 && add_event(group, epoll_fd) < 0)
		return;
	strcpy(shared->places[place].path, group->path);
	__atomic_store_n(&shared->places[place].is_set, 1, __ATOMIC_RELEASE);
	if (write_text_in(group->path, CONTROL, "1") < 0) {
		__atomic_store_n(&shared->places[place].is_set, 0, __ATOMIC_RELEASE);
		return;
	}
	group->has_no_kill = 1;
}

void oom_give_up(struct group *group)
{
	char text[256];

	if (read_text_in(group->path, CONTROL, text, sizeof(text)) < 0 ||
		number_after(text, "under_oom ", 0) == 0)
		return;
	say("%s: nothing left to purge, the kernel may kill", group->path);
	oom_end(group);
}

void oom_end(struct group *group)
{
	if (!group->has_no_kill)
		return;
	undo((unsigned)(group - groups));
	group->has_no_kill = 0;
}

void oom_stop(void)
{
	if (!shared)
		return;
	undo_all();
	close(alive_fd);
	waitpid(watchdog, NULL, 0);
}
