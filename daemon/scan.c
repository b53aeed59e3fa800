/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: find the areas of a group's processes through /proc/PID/fd, and note what of them could
 * be purged.
 *
 * An area is looked at by reading, without locking or mapping it, and closed at once. What others
 * can make long is bounded: descriptors of one user, and the time until the daemon looks whether
 * something else cannot wait.
 */
#include "ashmemd.h"

#include "ashmemctl/proc.h"

#include <ashmem/ashmem.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* So many descriptors of one user are looked at in one scan: half a second, if all are areas. */
#define MOST_DESCRIPTORS 20000
/* A burst takes some 2 MiB in this time. */
#define CHECK_NS NS_PER_MS

dev_t area_device;

/* The scan under way. */
static struct {
	struct group *group;
	struct hint_list list;
	uint64_t found_pages; /* that the list's areas can give */
	scan_check *check;
	uint64_t check_at;
	enum scan_verdict verdict;
} now;

int scan_start(void)
{
	struct stat status;
	int r, fd = memfd_create("ashmemd", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	r = fstat(fd, &status) < 0 ? -errno : 0;
	close(fd);
	area_device = status.st_dev;
	return r;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Whether the scan has to end. */
static int is_over(void)
{
	uint64_t time = now_ns();

	if (now.verdict == SCAN_ON && time >= now.check_at) {
		now.verdict = now.check(now.group, now.found_pages);
		now.check_at = time + CHECK_NS;
	}
	return now.verdict != SCAN_ON;
}

/* Note an area, if something of it can be purged. `found` is a descriptor of O_PATH. */
static void look_at_area(int found, const struct stat *status, uint32_t pid, uint32_t number)
{
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek)};
	int r, fd = proc_open(found, O_RDONLY);

	if (fd < 0)
		return;
	r = ashmem_peek(fd, &peek);
	close(fd);
	if (r < 0 || peek.damaged || peek.sealed || peek.evictable_pages == 0 ||
		peek.resident_pages == 0)
		return;
	now.found_pages += least(peek.evictable_pages, peek.resident_pages);
	hints_add(&now.list,
		&(struct hint){
			.inode = status->st_ino,
			.serial = {peek.serial[0], peek.serial[1]},
			.key = peek.oldest_key,
			.evictable_pages = peek.evictable_pages,
			.resident_pages = peek.resident_pages,
			.pid = pid,
			.fd = number,
			.user = status->st_uid,
			.is_busy = peek.busy != 0,
		});
}

static void look_at_descriptor(int directory, const char *name, uint32_t pid)
{
	struct stat status;
	int found;

	if (!proc_is_area(directory, name))
		return;
	found = proc_find(directory, name, &status);
	if (found < 0)
		return;
	if (status.st_dev == area_device && !hints_know(status.st_ino))
		look_at_area(found, &status, pid, (uint32_t)strtoul(name, NULL, 10));
	close(found);
}

static void scan_process(pid_t pid)
{
	char path[32];
	struct dirent *entry;
	struct stat status;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	if (!directory)
		return;
	if (fstat(dirfd(directory), &status) == 0) {
		struct user *user = user_of(status.st_uid);

		while (user->descriptors < MOST_DESCRIPTORS && !is_over() &&
			(entry = readdir(directory))) {
			user->descriptors++;
			look_at_descriptor(dirfd(directory), entry->d_name, (uint32_t)pid);
		}
	}
	closedir(directory);
}

/* Opened for each look: a kept cgroup.procs of version 1 goes on showing who was there before. */
static int scan_members(const char *directory)
{
	char path[GROUP_PATH + 64], line[32];
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	file = fopen(path, "re");
	if (!file)
		return 1;
	while (!is_over() && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		pid_t pid = proc_pid(line);
		if (pid > 0) /* 0: of another namespace of processes */
			scan_process(pid);
	}
	fclose(file);
	return now.verdict == SCAN_ON ? 1 : -1;
}

static void scan_system(void)
{
	struct dirent *entry;
	DIR *directory = opendir("/proc");

	while (directory && !is_over() && (entry = readdir(directory))) {
		pid_t pid = proc_pid(entry->d_name);

		if (pid > 0)
			scan_process(pid);
	}
	if (directory)
		closedir(directory);
}

static void count_shares(const struct hint *hint)
{
	users_add_share(hint->user, least(hint->evictable_pages, hint->resident_pages));
}

enum scan_verdict scan_all(struct group *group, uint64_t found_pages)
{
	(void)group;
	(void)found_pages;
	return SCAN_ON;
}

void scan(struct group *group, scan_check *check)
{
	static char path[GROUP_PATH];
	uint64_t begun = now_ns();

	now.group = group;
	now.found_pages = 0;
	now.check = check;
	now.check_at = begun + CHECK_NS;
	now.verdict = SCAN_ON;
	counts.scans++;
	users_begin_scan();
	hints_begin(&now.list);
	if (group->kind == GROUP_SYSTEM)
		scan_system();
	else
		group_walk(strcpy(path, group->path), scan_members);
	hints_end(&now.list);
	group->scanned_at = now_ns();
	group->scan_ns = group->scanned_at - begun;
	counts.scan_ns += group->scan_ns;
	counts.cut_scans += now.verdict != SCAN_ON;
	if (now.verdict == SCAN_DROP) {
		hints_drop(&now.list);
		return;
	}
	struct hint_list old = group->hints;
	group->hints = now.list;
	hints_drop(&old);
	if (group->kind == GROUP_SYSTEM) {
		users_begin_shares();
		hints_each(&group->hints, count_shares);
	}
}
