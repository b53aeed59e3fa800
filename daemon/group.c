/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: one group of processes that share a limit: the whole system, or a cgroup of version 1 or
 * 2. How much is free in it, whether that is enough, and when to look again.
 *
 * Pages of files count as free, since the kernel can drop them. Unpinned pages of areas do not: the
 * kernel cannot, without swap space.
 */
#include "ashmemd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LEAST_RESERVE (3 * MIB)
#define LEAST_NEEDED_RESERVE (4 * MIB)
#define LEAST_SOFT_RESERVE (1 * MIB)
#define MOST_RESERVE (128 * MIB)
#define MOST_SYSTEM_RESERVE (256 * MIB)
#define WARY_RESERVES 4
/* To look for 500 areas takes about as long as a burst takes to fill this. */
#define LEAST_WARY (24 * MIB)
/* A burst of 2 GB/s is seen three times before it has taken all. */
#define BURST_BYTES_PER_MS (UINT64_C(2000000) * 3)

struct group groups[GROUPS];

#define LEVELS 32

/* -1: `visit` has ended it. */
static int walk(char path[GROUP_PATH], int (*visit)(const char *path), unsigned levels)
{
	size_t length = strlen(path);
	struct dirent *entry;
	int r = visit(path);
	DIR *directory = r > 0 && levels > 0 ? opendir(path) : NULL;

	while (directory && r >= 0 && (entry = readdir(directory))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(path + length, GROUP_PATH - length, "/%s", entry->d_name) <
			GROUP_PATH - length)
			r = walk(path, visit, levels - 1);
		path[length] = '\0';
	}
	if (directory)
		closedir(directory);
	return r < 0 ? -1 : 0;
}

void group_walk(char path[GROUP_PATH], int (*visit)(const char *path))
{
	walk(path, visit, LEVELS);
}

/*
 * Owners that watch keep a twelfth free, and half of that at the least, but 4 MiB: this stays below
 * it, out of their way. Where it was needed all the same, it is as large as theirs.
 */
static uint64_t reserve_of(const struct group *group, int was_needed)
{
	uint64_t limit = group->limit;
	uint64_t most = group->kind == GROUP_SYSTEM ? MOST_SYSTEM_RESERVE : MOST_RESERVE;
	uint64_t reserve = options.reserve_bytes;

	if (reserve == 0) {
		uint64_t least = was_needed ? LEAST_NEEDED_RESERVE : LEAST_RESERVE;

		reserve = limit / (was_needed ? 12 : 32);
		if (reserve > most)
			reserve = most;
		if (reserve < least)
			reserve = least;
	}
	if (group->is_soft && reserve > LEAST_SOFT_RESERVE)
		reserve = reserve / 4 > LEAST_SOFT_RESERVE ? reserve / 4 : LEAST_SOFT_RESERVE;
	return reserve < limit / 4 ? reserve : limit / 4;
}

uint64_t group_least_reserve(const struct group *group)
{
	return reserve_of(group, 0);
}

uint64_t group_reserve(const struct group *group)
{
	return reserve_of(group, group->needed_us_until > group->looked_at);
}

/* With less than this free, it is known beforehand what could be purged. */
static uint64_t wary_bytes(const struct group *group, uint64_t reserve)
{
	uint64_t least = group->limit / 4 < LEAST_WARY ? group->limit / 4 : LEAST_WARY;

	return WARY_RESERVES * reserve > least ? WARY_RESERVES * reserve : least;
}

static int add_event(struct group *group, unsigned which, int fd, uint32_t events, int epoll_fd)
{
	struct epoll_event event = {.events = events};

	if (fd < 0)
		return fd;
	event.data.u64 = (uint64_t)(group - groups) << 8 | which;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	group->event_fd[which] = fd;
	return 0;
}

/* Stalls of 70 ms in a second: a shortage that free bytes may not show. */
static int add_stalls(struct group *group, unsigned which, const char *directory, const char *name,
	int epoll_fd)
{
	static const char trigger[] = "some 70000 1000000";
	int fd = open_in(directory, name, O_RDWR | O_NONBLOCK);

	if (fd >= 0 && write(fd, trigger, sizeof(trigger)) < 0) {
		close(fd);
		return -EPERM;
	}
	return add_event(group, which, fd, EPOLLPRI, epoll_fd);
}

static int add_threshold(const struct group *group, int fd, uint64_t free_bytes)
{
	char line[64];

	if (free_bytes >= group->limit)
		return 0;
	snprintf(line, sizeof(line), "%d %d %llu", fd, group->usage_fd,
		(unsigned long long)(group->limit - free_bytes));
	return write_text_in(group->path, "cgroup.event_control", line);
}

/*
 * Version 1: the kernel writes to an eventfd whenever the use passes one of these, in quarters of
 * the smaller reserve. States begin there; 43 and 11 are those of the larger reserve.
 */
static int add_thresholds(struct group *group, int epoll_fd)
{
	static const unsigned quarters[] = {43, 16, 11, 8, 6, 4, 2, 1};
	uint64_t reserve = reserve_of(group, 0);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = fd < 0 ? -errno : add_threshold(group, fd, wary_bytes(group, reserve));

	for (unsigned i = 0; i < sizeof(quarters) / sizeof(quarters[0]) && r >= 0; i++)
		r = add_threshold(group, fd, reserve * quarters[i] / 4);
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	return add_event(group, 0, fd, EPOLLIN, epoll_fd);
}

static void close_events(struct group *group)
{
	for (unsigned i = 0; i < GROUP_EVENTS; i++) {
		if (group->event_fd[i] >= 0)
			close(group->event_fd[i]);
		group->event_fd[i] = -1;
	}
}

/* Where there are no events, looking often does. */
static void add_events(struct group *group, int epoll_fd)
{
	if (group->kind == GROUP_SYSTEM) {
		add_stalls(group, 0, "/proc/pressure", "memory", epoll_fd);
	} else if (group->kind == GROUP_V1) {
		if (add_thresholds(group, epoll_fd) == 0)
			group->notified_limit = group->limit;
	} else {
		add_event(group, 0, open_in(group->path, "memory.events", O_RDONLY), EPOLLPRI,
			epoll_fd);
		add_stalls(group, 1, group->path, "memory.pressure", epoll_fd);
	}
}

uint64_t group_read_limit(enum group_kind kind, const char *path, int *is_soft)
{
	uint64_t limit = UINT64_MAX, high = UINT64_MAX;
	char text[512];

	*is_soft = 0;
	if (kind == GROUP_SYSTEM) {
		read_text_in("/proc", "meminfo", text, sizeof(text));
		return number_after(text, "MemTotal:", UINT64_MAX / 1024) * 1024;
	}
	if (kind == GROUP_V1)
		return read_bytes_in(path, "memory.limit_in_bytes", &limit) < 0 ? UINT64_MAX
										: limit;
	read_bytes_in(path, "memory.max", &limit);
	read_bytes_in(path, "memory.high", &high);
	*is_soft = high < limit;
	return *is_soft ? high : limit;
}

static int open_files(struct group *group)
{
	static const char *const usage[] = {"meminfo", "memory.usage_in_bytes", "memory.current"};
	const char *directory = group->kind == GROUP_SYSTEM ? "/proc" : group->path;

	group->usage_fd = open_in(directory, usage[group->kind], O_RDONLY);
	if (group->usage_fd < 0)
		return group->usage_fd;
	if (group->kind != GROUP_SYSTEM)
		group->stat_fd = open_in(directory, "memory.stat", O_RDONLY);
	return 0;
}

int group_open(struct group *group, enum group_kind kind, const char *path, int epoll_fd)
{
	int r;

	if (strlen(path) >= sizeof(group->path))
		return -ENAMETOOLONG;
	*group = (struct group){.kind = kind, .usage_fd = -1, .stat_fd = -1};
	for (unsigned i = 0; i < GROUP_EVENTS; i++)
		group->event_fd[i] = -1;
	strcpy(group->path, path);
	group->limit = group_read_limit(kind, path, &group->is_soft);
	r = group->limit >= UNLIMITED ? -ENODATA : open_files(group);
	if (r < 0)
		return r;
	group->is_used = 1;
	add_events(group, epoll_fd);
	return 0;
}

void group_close(struct group *group)
{
	hints_drop(&group->hints);
	close_events(group);
	if (group->usage_fd >= 0)
		close(group->usage_fd);
	if (group->stat_fd >= 0)
		close(group->stat_fd);
	group->is_used = 0;
}

void group_renew(struct group *group, int epoll_fd)
{
	int is_soft;
	uint64_t limit = group_read_limit(group->kind, group->path, &is_soft);

	if (limit == group->limit && is_soft == group->is_soft)
		return;
	group->limit = limit;
	group->is_soft = is_soft;
	group->notified_limit = 0;
	group->look_at = 0;
	if (limit >= UNLIMITED)
		return;
	int oom_fd = group->event_fd[2]; /* of oom.c */
	group->event_fd[2] = -1;
	close_events(group);
	group->event_fd[2] = oom_fd;
	add_events(group, epoll_fd);
}

void group_take_event(struct group *group, unsigned which)
{
	char text[512];
	uint64_t count;

	/* Silent until it changes again; a stall needs no reading. */
	if (group->kind == GROUP_V2 && which == 0)
		read_text(group->event_fd[which], text, sizeof(text));
	else if (group->kind == GROUP_V1 &&
		read(group->event_fd[which], &count, sizeof(count)) < 0 && errno != EAGAIN)
		group->notified_limit = 0;
	group->look_at = 0;
}

/* What of the use are pages of files, and what is shared memory. */
static void read_stat(struct group *group)
{
	int v1 = group->kind == GROUP_V1;
	char text[8192];

	if (group->stat_fd < 0 || read_text(group->stat_fd, text, sizeof(text)) < 0)
		return;
	group->file_bytes = number_after(text, v1 ? "total_inactive_file " : "inactive_file ", 0) +
		number_after(text, v1 ? "total_active_file " : "active_file ", 0);
	group->shared_bytes = number_after(text, v1 ? "total_shmem " : "shmem ", 0);
}

static int read_free(struct group *group)
{
	char text[512];
	uint64_t usage;
	int r;

	group->file_bytes = 0;
	if (group->kind == GROUP_SYSTEM) {
		r = read_text(group->usage_fd, text, sizeof(text));
		group->free_bytes = number_after(text, "MemAvailable:", UINT64_MAX / 1024) * 1024;
		return r < 0 ? r : 0;
	}
	r = read_bytes(group->usage_fd, &usage);
	if (r < 0)
		return r;
	group->free_bytes = usage < group->limit ? group->limit - usage : 0;
	if (group->free_bytes < wary_bytes(group, group_reserve(group))) {
		read_stat(group);
		uint64_t used = usage > group->file_bytes ? usage - group->file_bytes : 0;
		group->free_bytes = used < group->limit ? group->limit - used : 0;
	}
	return 0;
}

static uint64_t look_after_ms(const struct group *group, uint64_t reserve)
{
	uint64_t ms = group->free_bytes / BURST_BYTES_PER_MS;

	/* File pages keep the use beyond the thresholds: then none is passed. */
	if (group->kind == GROUP_V1 && group->notified_limit == group->limit &&
		group->file_bytes < reserve / 4)
		return group->free_bytes < 2 * reserve ? 10
			: group->state == GROUP_CALM   ? 1000
						       : 100;
	if (group->free_bytes < 2 * reserve || ms < 1)
		return 1;
	return ms < 1000 ? ms : 1000;
}

int group_look(struct group *group)
{
	int r = read_free(group);
	uint64_t reserve;

	if (r < 0)
		return r;
	counts.looks++;
	group->looked_at = now_ns();
	reserve = group_reserve(group);
	/* Relief goes on a little beyond the reserve, so that it does not begin again at once. */
	if (group->free_bytes < reserve ||
		(group->state == GROUP_SHORT && group->free_bytes < reserve + reserve / 4))
		group->state = GROUP_SHORT;
	else
		group->state =
			group->free_bytes < wary_bytes(group, reserve) ? GROUP_WARY : GROUP_CALM;
	group->look_at = group->looked_at + look_after_ms(group, reserve) * NS_PER_MS;
	return 0;
}
