/* SPDX-License-Identifier: MIT */
/*
 * Groups of cgroup version 1 with a limit, made inside the one that this process is in.
 */
#include "relief.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char parent[PATH_MAX / 4];

static int write_text(const char *directory, const char *name, const char *text)
{
	char path[PATH_MAX];
	int r = 0, fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static uint64_t read_number(const char *directory, const char *name, const char *word)
{
	char path[PATH_MAX], text[512];
	int fd;
	ssize_t got;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd < 0 ? -errno : 0, path);
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = '\0';
	const char *at = strstr(text, word);
	return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

static void find_parent(void)
{
	char line[PATH_MAX / 8];
	FILE *file = fopen("/proc/self/cgroup", "re");

	strcpy(parent, "/sys/fs/cgroup/memory");
	while (file && fgets(line, sizeof(line), file)) {
		char *path = strstr(line, ":memory:/");
		if (!path)
			continue;
		path += strlen(":memory:");
		path[strcspn(path, "\n")] = '\0';
		if (path[1])
			strcat(parent, path);
	}
	if (file)
		fclose(file);
	if (access(parent, W_OK) < 0) /* a container sees its group as the root */
		strcpy(parent, "/sys/fs/cgroup/memory");
}

const char *group_obstacle(void)
{
	static char why[PATH_MAX];
	char path[PATH_MAX / 2];

	find_parent();
	snprintf(path, sizeof(path), "%s/ashmemd-try-%d", parent, (int)getpid());
	if (mkdir(path, 0755) < 0) {
		snprintf(why, sizeof(why), "no cgroup of version 1 can be made in %s: %s", parent,
			strerror(errno));
		return why;
	}
	int r = access(strcat(path, "/memory.limit_in_bytes"), W_OK);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	return r < 0 ? "no memory controller of cgroup version 1" : NULL;
}

void group_make(struct group *group, uint64_t limit)
{
	static int serial;
	char text[32];

	snprintf(group->path, sizeof(group->path), "%s/ashmemd-%d.%d", parent, (int)getpid(),
		++serial);
	must(mkdir(group->path, 0755) < 0 ? -errno : 0, group->path);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)limit);
	must(write_text(group->path, "memory.limit_in_bytes", text), "a limit");
}

void group_enter(const struct group *group)
{
	must(write_text(group->path, "cgroup.procs", "0"), "cgroup.procs");
}

/* A killed process takes a moment to leave. */
void group_drop(struct group *group)
{
	for (int i = 0; rmdir(group->path) < 0 && errno == EBUSY && i < 5000; i++)
		sleep_ms(1);
}

uint64_t group_used(const struct group *group)
{
	return read_number(group->path, "memory.usage_in_bytes", "");
}

uint64_t group_oom(const struct group *group, const char *word)
{
	return read_number(group->path, "memory.oom_control", word);
}

uint64_t group_kills(const struct group *group)
{
	return group_oom(group, "oom_kill ");
}
