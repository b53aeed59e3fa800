/* SPDX-License-Identifier: MIT */
/*
 * Areas of other processes, through /proc/PID/fd. Everything that is found there was chosen by
 * others: names, kinds of files, leases.
 */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

pid_t proc_pid(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > 9 || strspn(text, "0123456789") != length)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

int proc_is_area(int directory, const char *name)
{
	/* Programs that make areas of their own may leave out the slash. */
	static const char *const starts[] = {"/memfd:/dev/ashmem", "/memfd:dev/ashmem"};
	char target[32];
	ssize_t length = readlinkat(directory, name, target, sizeof(target));

	for (unsigned i = 0; i < 2; i++) {
		size_t start = strlen(starts[i]);

		if (length >= (ssize_t)start && memcmp(target, starts[i], start) == 0)
			return 1;
	}
	return 0;
}

int proc_find(int directory, const char *name, struct stat *status)
{
	int r, fd = openat(directory, name, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	r = fstat(fd, status) < 0 ? -errno : S_ISREG(status->st_mode) ? 0 : -ENOTTY;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

int proc_open(int found, int access)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	/* With O_NONBLOCK a lease is broken without waiting for its holder. */
	fd = open(path, access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* "4:cpu,memory:/a/b" or "0::/a/b": the path, or NULL if it is of another hierarchy. */
static char *path_in_line(int version, char *line)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return NULL;
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	if (version == 2)
		return strcmp(line, "0:") == 0 ? path : NULL;
	for (char *rest, *name = strtok_r(controllers + 1, ",", &rest); name;
		name = strtok_r(NULL, ",", &rest))
		if (strcmp(name, "memory") == 0)
			return path;
	return NULL;
}

int proc_cgroup_in(FILE *file, int version, char *path, size_t size)
{
	char *line = NULL;
	size_t room = 0;
	int r = -ENOENT;

	while (r == -ENOENT && getline(&line, &room, file) > 0) {
		const char *found = path_in_line(version, line);
		if (found)
			r = (size_t)snprintf(path, size, "%s", found) < size ? 0 : -ENAMETOOLONG;
	}
	free(line);
	return r;
}

int proc_own_cgroup(int version, char *path, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	int r = file ? proc_cgroup_in(file, version, path, size) : -errno;

	if (file)
		fclose(file);
	return r;
}
