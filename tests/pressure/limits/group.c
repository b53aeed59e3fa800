/* SPDX-License-Identifier: MIT */
/*
 * The limit that a run is under. A cgroup of our own is made inside the one we are in, and removed
 * afterwards.
 */
#include "pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- files -- */

static int64_t write_text(const char *directory, const char *name, const char *text)
{
	char path[2 * PATH_MAX];
	ssize_t written;
	int fd;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	written = write(fd, text, strlen(text));
	if (written < 0)
		written = -errno;
	close(fd);
	return written;
}

static int64_t write_number(const char *directory, const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)number);
	return write_text(directory, name, text);
}

static void read_text(int fd, char *text, size_t size)
{
	ssize_t got = pread(fd, text, size - 1, 0);

	text[got > 0 ? got : 0] = '\0';
}

static int open_text(const char *directory, const char *name)
{
	char path[2 * PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The number behind a word that begins a line; 0 if there is none. */
static uint64_t number_of(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, word, length) == 0)
			return strtoull(line + length, NULL, 10);
	}
	return 0;
}

static uint64_t number_in(const char *directory, const char *name, const char *word)
{
	char text[8192];
	int fd = open_text(directory, name);

	if (fd < 0)
		return 0;
	read_text(fd, text, sizeof text);
	close(fd);
	return number_of(text, word);
}

/* -- where -- */

/* The cgroup that this process is in, as a directory, or "". */
static void own_directory(int version, char *directory, size_t size)
{
	const char *mount = version == 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
	char line[PATH_MAX + 64];
	FILE *file = fopen("/proc/self/cgroup", "re");

	directory[0] = '\0';
	while (file && fgets(line, sizeof line, file)) {
		char *path = strstr(line, version == 1 ? ":memory:/" : "0::/");
		if (!path || (version == 2 && path != line))
			continue;
		path = strchr(path, '/');
		path[strcspn(path, "\n")] = '\0';
		snprintf(directory, size, "%s%s", mount, strcmp(path, "/") ? path : "");
		if (access(directory, W_OK) != 0) /* a container sees its cgroup as the root */
			snprintf(directory, size, "%s", mount);
		break;
	}
	if (file)
		fclose(file);
}

const char *group_obstacle(enum place place)
{
	static char why[PATH_MAX + 128];
	char directory[PATH_MAX], controllers[256];
	int version = place == PLACE_V1 ? 1 : 2, fd;

	if (place == PLACE_GUEST)
		return getenv("PRESSURE_WHOLE_SYSTEM")
			? NULL
			: "only in a virtual machine may all memory be filled";
	own_directory(version, directory, sizeof directory);
	if (!directory[0])
		return version == 1 ? "no memory controller of cgroup version 1"
				    : "no cgroup version 2";
	if (version == 2) {
		fd = open_text(directory, "cgroup.subtree_control");
		if (fd < 0)
			return "no cgroup version 2";
		read_text(fd, controllers, sizeof controllers);
		close(fd);
		if (!strstr(controllers, "memory"))
			return "the memory controller is not on for cgroups of version 2 here";
	}
	snprintf(why, sizeof why, "%s/ashmem-pressure-try", directory);
	if (mkdir(why, 0755) == 0 || errno == EEXIST) {
		rmdir(why);
		return NULL;
	}
	snprintf(why, sizeof why, "no cgroup can be made in %s: %s", directory, strerror(errno));
	return why;
}

static uint64_t memory_info(const char *word)
{
	return number_in("/proc", "meminfo", word) * 1024;
}

static void make_guest(struct group *group)
{
	group->limit_bytes = memory_info("MemTotal:");
	group->usage_fd = open_text("/proc", "meminfo");
	must(group->usage_fd, "/proc/meminfo");
}

static void set_limit(const struct group *group, const char *directory)
{
	static const char *const names[] = {[PLACE_V1] = "memory.limit_in_bytes",
		[PLACE_MAX] = "memory.max",
		[PLACE_HIGH] = "memory.high"};

	must(write_number(directory, names[group->place], group->limit_bytes), names[group->place]);
}

void group_make(struct group *group, enum place place, const struct plan *plan)
{
	static int serial;
	char parent[PATH_MAX / 2];
	int version = place == PLACE_V1 ? 1 : 2;

	*group =
		(struct group){.place = place, .limit_bytes = plan->limit_mib * MIB, .stat_fd = -1};
	if (place == PLACE_GUEST) {
		make_guest(group);
		return;
	}
	own_directory(version, parent, sizeof parent);
	if (plan->nested) {
		snprintf(group->outer, sizeof group->outer, "%s/ashmem-pressure-%d.%d", parent,
			getpid(), ++serial);
		must(mkdir(group->outer, 0755) < 0 ? -errno : 0, group->outer);
		if (version == 2)
			must(write_text(group->outer, "cgroup.subtree_control", "+memory"),
				"subtree_control");
	}
	snprintf(group->path, sizeof group->path, "%s/ashmem-pressure-%d.%d",
		plan->nested ? group->outer : parent, getpid(), ++serial);
	must(mkdir(group->path, 0755) < 0 ? -errno : 0, group->path);
	const char *limited = plan->nested ? group->outer : group->path;
	set_limit(group, limited);
	group->usage_fd =
		open_text(limited, version == 1 ? "memory.usage_in_bytes" : "memory.current");
	group->stat_fd = open_text(limited, "memory.stat");
	must(group->usage_fd, "usage");
	must(group->stat_fd, "memory.stat");
}

void group_enter(const struct group *group)
{
	if (group->place != PLACE_GUEST)
		must(write_text(group->path, "cgroup.procs", "0"), "cgroup.procs");
}

/* A killed process may take a moment to leave. */
static void remove_directory(const char *path)
{
	for (int i = 0; path[0] && rmdir(path) < 0 && errno == EBUSY && i < 5000; i++)
		usleep(1000);
}

void group_drop(struct group *group)
{
	close(group->usage_fd);
	if (group->stat_fd >= 0)
		close(group->stat_fd);
	remove_directory(group->path);
	remove_directory(group->outer);
}

uint64_t group_used(const struct group *group, int with_files)
{
	char text[8192];
	uint64_t used, files;

	read_text(group->usage_fd, text, sizeof text);
	if (group->place == PLACE_GUEST)
		return group->limit_bytes - number_of(text, "MemAvailable:") * 1024;
	used = strtoull(text, NULL, 10);
	if (!with_files)
		return used;
	read_text(group->stat_fd, text, sizeof text);
	files = group->place == PLACE_V1
		? number_of(text, "total_inactive_file ") + number_of(text, "total_active_file ")
		: number_of(text, "inactive_file ") + number_of(text, "active_file ");
	return used - (files < used ? files : used);
}

uint64_t group_oom_kills(const struct group *group)
{
	switch (group->place) {
	case PLACE_GUEST:
		return number_in("/proc", "vmstat", "oom_kill ");
	case PLACE_V1:
		return number_in(group->path, "memory.oom_control", "oom_kill ");
	default:
		return number_in(group->path, "memory.events", "oom_kill ");
	}
}

uint64_t group_failures(const struct group *group)
{
	const char *limited = group->outer[0] ? group->outer : group->path;

	switch (group->place) {
	case PLACE_GUEST:
		return 0;
	case PLACE_V1:
		return number_in(limited, "memory.failcnt", "");
	case PLACE_HIGH:
		return number_in(limited, "memory.events", "high ");
	default:
		return number_in(limited, "memory.events", "max ");
	}
}
