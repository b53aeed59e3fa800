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
