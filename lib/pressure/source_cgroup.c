/* SPDX-License-Identifier: MIT */
/*
 * Where the process's cgroup is, and the events of version 1 (the kernel's
 * Documentation/admin-guide/cgroup-v1/memory.rst): an eventfd is written when reclaim has trouble,
 * memory.pressure_level, or when the usage crosses a threshold.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#include "pressure/source.h"

/* -- finding it -- */

/* Whether a comma-separated list has a word. */
static int has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
		if ((at == list || at[-1] == ',') && strchr(",\n", at[length]))
			return 1;
	return 0;
}

/*
 * The part of a line of /proc/self/cgroup after the second colon, if it is of the hierarchy:
 * "ID:CONTROLLERS:PATH".
 */
static char *path_of_line(char *line, int is_version_1)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return NULL;
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	if (is_version_1)
		return has_word(controllers + 1, "memory") ? path : NULL;
	return strncmp(line, "0:", 2) == 0 && controllers[1] == '\0' ? path : NULL;
}

/* "\040" and the like, as mountinfo writes blanks, in place. */
static void decode_octal(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + text[3] - '0');
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/*
 * A line of mountinfo: "36 35 98:0 ROOT MOUNT OPTIONS [FIELDS] - TYPE SOURCE SUPEROPTIONS",
 * proc(5).
 */
static int mount_of_line(char *line, int is_version_1, char **root, char **mount)
{
	char *save = NULL, *field[5], *rest = strstr(line, " - ");

	if (!rest)
		return 0;
	*rest = '\0';
	for (int i = 0; i < 5; i++)
		if (!(field[i] = strtok_r(i ? NULL : line, " ", &save)))
			return 0;
	char *type = strtok_r(rest + 3, " ", &save);
	strtok_r(NULL, " ", &save);
	char *options = strtok_r(NULL, " ", &save);
	if (!type || !options || strcmp(type, is_version_1 ? "cgroup" : "cgroup2") != 0)
		return 0;
	if (is_version_1 && !has_word(options, "memory"))
		return 0;
	*root = field[3];
	*mount = field[4];
	decode_octal(*root);
	decode_octal(*mount);
	return 1;
}

/*
 * The part of a cgroup's path below what is mounted; a namespace can hide where that is, then it is
 * the mount itself.
 */
static const char *below_root(const char *path, const char *root)
{
	size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0') ||
		strstr(path, "/..") || strcmp(path + length, "/") == 0)
		return "";
	return path + length;
}

static int find_path(int is_version_1, char *path, size_t size)
{
	char name[PATH_MAX], *line = NULL, *found = NULL;
	size_t line_size = 0;
	FILE *file;

	snprintf(name, sizeof(name), "%s/self/cgroup", source_proc);
	file = fopen(name, "re");
	if (!file)
		return -errno;
	while (!found && getline(&line, &line_size, file) > 0)
		found = path_of_line(line, is_version_1);
	if (found)
		snprintf(path, size, "%s", found);
	free(line);
	fclose(file);
	return found ? 0 : -ENOENT;
}

int source_cgroup_find(struct pressure_cgroup *cgroup, int is_version_1)
{
	char name[PATH_MAX], path[PATH_MAX] = "", *line = NULL, *root, *mount;
	size_t line_size = 0;
	FILE *file;
	int r = find_path(is_version_1, path, sizeof(path));

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%s/self/mountinfo", source_proc);
	file = fopen(name, "re");
	if (!file)
		return -errno;
	r = -ENOENT;
	while (r == -ENOENT && getline(&line, &line_size, file) > 0) {
		if (!mount_of_line(line, is_version_1, &root, &mount))
			continue;
		int length = snprintf(cgroup->path, sizeof(cgroup->path), "%s%s", mount,
			below_root(path, root));
		r = length < (int)sizeof(cgroup->path) ? 0 : -ENAMETOOLONG;
		cgroup->root_length = strlen(mount);
		cgroup->is_version_1 = is_version_1;
	}
	free(line);
	fclose(file);
	return r;
}

/* -- events of version 1 -- */

int source_cgroup_event_control(struct open_source *source, const char *directory, int file_fd,
	const char *argument)
{
	char path[PATH_MAX], line[80];
	int event_fd, control, length, r = 0;

	if (snprintf(path, sizeof(path), "%s/cgroup.event_control", directory) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	event_fd = source_keep(source, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (event_fd < 0)
		return event_fd;
	control = descriptor_above_std(open(path, O_WRONLY | O_CLOEXEC));
	if (control < 0)
		return -errno;
	length = snprintf(line, sizeof(line), "%d %d %s", event_fd, file_fd, argument);
	if (write(control, line, (size_t)length) < 0)
		r = errno == EAGAIN ? -EIO : -errno;
	close(control);
	if (r == 0)
		r = source_add(source, event_fd, EPOLLIN, (uint32_t)event_fd);
	return r < 0 ? r : event_fd;
}

static int open_cgroup_event(struct open_source *source, const char **why)
{
	static const char *const names[] = {"low", "medium", "critical"};
	struct pressure_cgroup cgroup;
	int r = source_cgroup_find(&cgroup, 1), file_fd;

	if (r < 0) {
		*why = "no memory controller of cgroup version 1 is mounted for this process";
		return r;
	}
	file_fd = source_open_file(source, cgroup.path, "memory.pressure_level");
	for (int i = 0; i < 3 && file_fd >= 0 && r >= 0; i++)
		r = source->level_fd[i] =
			source_cgroup_event_control(source, cgroup.path, file_fd, names[i]);
	return file_fd < 0 ? file_fd : r < 0 ? r : 0;
}

static int cgroup_event(struct open_source *source, uint32_t fd, uint32_t events, uint64_t now_ns)
{
	uint64_t count;
	char text[32];

	(void)events;
	/* The kernel writes when the cgroup is removed, too. */
	if (source_read(source->fds[0], text, sizeof(text)) == -ENODEV)
		return -ENODEV;
	for (uint32_t i = 0; i < 3; i++)
		if (source->level_fd[i] == (int)fd && source_check(source, (int)fd) == 0 &&
			read((int)fd, &count, sizeof(count)) > 0)
			source_note(source, (uint32_t)ASHMEM_PRESSURE_SOME + i, now_ns);
	return 0;
}

const struct source_kind source_cgroup_event = {.name = "cgroup-event",
	.open = open_cgroup_event,
	.event = cgroup_event,
	.look = source_look_events};
