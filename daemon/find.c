/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: find the cgroups with a memory limit, of version 1 and 2, in the mounts that this
 * process sees. It is done again and again: groups come and go, and limits change.
 */
#include "ashmemd.h"

#include "ashmemctl/proc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_DIRECTORIES 20000

/* The hierarchies with a memory controller: where they are mounted, and our own group there. */
static char mounts[3][GROUP_PATH / 4];
static char own_groups[3][GROUP_PATH];

static struct {
	int epoll_fd;
	enum group_kind kind;
	unsigned directories;
	int is_full;
} now;

/* -- where the hierarchies are -- */

/* " - cgroup cgroup rw,memory" of a line of mountinfo, whose fifth word is the place. */
static void take_mount(char *line)
{
	char *kind = strstr(line, " - cgroup"), *place = line;
	int v2;

	if (!kind)
		return;
	v2 = strncmp(kind, " - cgroup2 ", 11) == 0;
	if (!v2 && !(strstr(kind, ",memory") || strstr(kind, " memory")))
		return;
	for (int i = 0; i < 4 && place; i++) {
		place = strchr(place, ' ');
		place += place != NULL;
	}
	if (!place || !strchr(place, ' '))
		return;
	*strchr(place, ' ') = '\0';
	char *mount = mounts[v2 ? GROUP_V2 : GROUP_V1];
	if (mount[0] == '\0' && strlen(place) < sizeof(mounts[0]))
		strcpy(mount, place);
}

static void find_own_group(enum group_kind kind)
{
	char path[GROUP_PATH - sizeof(mounts[0])];

	if (mounts[kind][0] && proc_own_cgroup(kind == GROUP_V2 ? 2 : 1, path, sizeof(path)) == 0)
		snprintf(own_groups[kind], sizeof(own_groups[kind]), "%s%s", mounts[kind],
			strcmp(path, "/") == 0 ? "" : path);
}

static void find_hierarchies(void)
{
	static int is_done;

	if (is_done)
		return;
	is_done = 1;
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	while (file && getline(&line, &size, file) > 0)
		take_mount(line);
	free(line);
	if (file)
		fclose(file);
	find_own_group(GROUP_V1);
	find_own_group(GROUP_V2);
}

/* -- groups -- */

/* Whether a path is another or lies below it. */
static int is_within(const char *path, const char *around)
{
	size_t length = strlen(around);

	return strncmp(path, around, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static struct group *find_group(const char *path)
{
	for (unsigned i = 1; i < GROUPS; i++)
		if (groups[i].is_used && strcmp(groups[i].path, path) == 0)
			return &groups[i];
	return NULL;
}

static unsigned depth_of(const char *path)
{
	unsigned depth = 0;

	while ((path = strchr(path, '/'))) {
		path++;
		depth++;
	}
	return depth;
}

/* A free place, or that of a deeper group: those of users are below those of the system. */
static struct group *find_place(const char *path)
{
	struct group *deepest = NULL;

	for (unsigned i = 1; i < GROUPS; i++) {
		if (!groups[i].is_used)
			return &groups[i];
		if (!deepest || depth_of(groups[i].path) > depth_of(deepest->path))
			deepest = &groups[i];
	}
	if (!now.is_full)
		say("more than %d groups have limits: those further down are not watched",
			GROUPS - 1);
	now.is_full = 1;
	if (depth_of(deepest->path) <= depth_of(path))
		return NULL;
	oom_end(deepest);
	group_close(deepest);
	return deepest;
}

static void add_group(enum group_kind kind, const char *path)
{
	struct group *group = find_group(path);
	const char *own = own_groups[kind];
	int is_soft, r;

	if (group) {
		group->was_seen = 1;
		group_renew(group, now.epoll_fd);
		return;
	}
	/* Our own limit is no concern of others, and nothing of ours can be purged. */
	if (strcmp(path, own) == 0 || group_read_limit(kind, path, &is_soft) >= UNLIMITED)
		return;
	group = find_place(path);
	if (!group)
		return;
	r = group_open(group, kind, path, now.epoll_fd);
	if (r < 0) {
		if (r != -ENOENT && r != -ENODEV)
			say("%s: %s", path, strerror(-r));
		return;
	}
	group->was_seen = 1;
	group->is_around_us = own[0] && is_within(own, path);
	if (group->is_around_us)
		say("%s limits this process too: relief there can come too late", path);
	if (options.verbose)
		say("watching %s, %llu KiB", path, (unsigned long long)group->limit / 1024);
}

/* As a user's own daemon: only what is around or below the user's slice, where there is one. */
static int is_of_user(const char *path)
{
	static char slice[2][GROUP_PATH];

	if (!options.is_user)
		return 1;
	char *of = slice[now.kind == GROUP_V2];
	if (of[0] == '\0') {
		snprintf(of, GROUP_PATH, "%.255s/user.slice/user-%u.slice", mounts[now.kind],
			(unsigned)getuid());
		if (access(of, F_OK) < 0)
			snprintf(of, GROUP_PATH, "%s", mounts[now.kind]);
	}
	return is_within(path, of) || is_within(of, path);
}

static int take_directory(const char *path)
{
	if (!is_of_user(path) || now.directories++ >= MOST_DIRECTORIES)
		return 0;
	add_group(now.kind, path);
	return 1;
}

static void find_all(void)
{
	static char path[GROUP_PATH];

	for (now.kind = GROUP_V1; now.kind <= GROUP_V2; now.kind++)
		if (mounts[now.kind][0])
			group_walk(strcpy(path, mounts[now.kind]), take_directory);
}

static void find_named(const char *path)
{
	char text[32];
	int v1 = read_text_in(path, "memory.limit_in_bytes", text, sizeof(text)) >= 0;

	add_group(v1 ? GROUP_V1 : GROUP_V2, path);
}

void find_groups(int epoll_fd)
{
	find_hierarchies();
	now.epoll_fd = epoll_fd;
	now.directories = 0;
	for (unsigned i = 1; i < GROUPS; i++)
		groups[i].was_seen = 0;
	for (unsigned i = 0; i < options.only_count; i++)
		find_named(options.only[i]);
	if (options.only_count == 0)
		find_all();
	for (unsigned i = 1; i < GROUPS; i++)
		if (groups[i].is_used && (!groups[i].was_seen || groups[i].limit >= UNLIMITED)) {
			oom_end(&groups[i]);
			group_close(&groups[i]);
		}
}
