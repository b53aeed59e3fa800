/* SPDX-License-Identifier: MIT */
/*
 * What the file of a name lists: the processes that hold the area, each with the descriptor by
 * which it does. names.h.
 *
 * An area is opened through /proc/PID/fd/N. It is one of this name only if its serial number is the
 * one that is listed: the process may have ended and its number been used again, or the descriptor
 * closed. Before that is known, nothing is opened that could wait or have an effect: O_PATH first,
 * then a memfd alone. Whatever the file says, no more than HOLDERS_MOST entries are looked at.
 *
 * The file is read and written with its lock held. No other lock is needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "area/names.h"
#include "base/descriptor.h"
#include "base/sys.h"
#include "memfd/control.h"

/* Processes that one name lists. Others can hold the area too, and nobody finds it through them. */
#define HOLDERS_MOST 1024
/* Read at once. */
#define CHUNK 16
/* "4294967295." comes before the name. */
#define NAME_BYTES_MAX 200

/* -- this process -- */

int names_file(const char *name, char file[NAME_MAX + 1])
{
	struct stat namespace;
	size_t length = strnlen(name, NAME_BYTES_MAX + 1);

	if (length == 0 || length > NAME_BYTES_MAX || strchr(name, '/'))
		return -EINVAL;
	/* Numbers of processes mean something in their namespace alone: pid_namespaces(7). */
	if (stat("/proc/self/ns/pid", &namespace) < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? -ENOTSUP : -errno;
	snprintf(file, NAME_MAX + 1, "%u.%s", (unsigned)namespace.st_ino, name);
	return 0;
}

/* The number under which /proc knows this process. */
static int own_pid(uint32_t *pid)
{
	char text[16];
	ssize_t length = readlink("/proc/self", text, sizeof(text) - 1);

	if (length < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? -ENOTSUP : -errno;
	text[length] = '\0';
	*pid = (uint32_t)strtoull(text, NULL, 10);
	return *pid ? 0 : -ENOTSUP;
}

/* When a process was started: proc(5), field 22 of stat. 0 if there is none, or it is not told. */
static uint64_t started(uint32_t pid)
{
	char path[32], text[512];

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	if (sys_read_file(path, text, sizeof(text)) < 0)
		return 0;
	char *at = strrchr(text, ')'); /* of field 2, which can hold anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

int names_myself(int fd, struct names_holder *holder)
{
	struct names_holder myself = {.fd = fd};
	int r = control_read_serial(fd, myself.serial);

	if (r == 0)
		r = own_pid(&myself.pid);
	if (r < 0)
		return r;
	myself.started = started(myself.pid);
	*holder = myself;
	return 0;
}

/* -- other processes -- */

/* -ENOENT: no such process or descriptor. -EACCES: it is there, and we may not look at it. */
static int open_path(const struct names_holder *holder)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", holder->pid, holder->fd);
	int fd = descriptor_above_std(open(path, O_PATH | O_CLOEXEC));
	if (fd >= 0)
		return fd;
	int error = errno;
	if (error == EMFILE || error == ENFILE || error == ENOMEM)
		return -error;
	if (error == ENOENT || error == ESRCH)
		return -ENOENT;
	/* Or its number is another user's by now. */
	return holder->started && started(holder->pid) == holder->started ? -EACCES : -ENOENT;
}

/* To read and write; to read if nobody may write. */
static int reopen(int path_fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	fd = descriptor_above_std(fd);
	if (fd >= 0)
		return fd;
	return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : -EACCES;
}

/* The area of a holder, opened anew, or as open_path(). */
static int open_holder(const struct names_holder *holder)
{
	uint64_t serial[2];
	int path_fd = holder->pid ? open_path(holder) : -ENOENT;

	if (path_fd < 0)
		return path_fd;
	int fd = sys_is_memfd(path_fd) ? reopen(path_fd) : -ENOENT;
	close(path_fd);
	if (fd < 0)
		return fd;
	int r = control_read_serial(fd, serial);
	if (r == -ENOTSUP || (r == 0 && memcmp(serial, holder->serial, sizeof(serial)) != 0))
		r = -ENOENT;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* -- the file -- */

/* Entries from the index-th on: how many, 0 at the end, or a negative errno. */
static int read_chunk(int file, uint32_t index, struct names_holder chunk[CHUNK])
{
	if (index >= HOLDERS_MOST)
		return 0;
	int64_t got = sys_read_at(file, chunk, CHUNK * sizeof(*chunk), index * sizeof(*chunk));
	return got < 0 ? (int)got : (int)(got / (int64_t)sizeof(*chunk));
}

int names_find(int file)
{
	struct names_holder chunk[CHUNK];
	int count, result = -ENOENT;

	for (uint32_t index = 0; (count = read_chunk(file, index, chunk)) > 0;
		index += (uint32_t)count)
		for (int i = 0; i < count; i++) {
			int r = open_holder(&chunk[i]);
			if (r >= 0 || (r != -ENOENT && r != -EACCES))
				return r;
			if (r == -EACCES)
				result = r;
		}
	return count < 0 ? count : result;
}

static int is_gone(const struct names_holder *holder)
{
	int fd = open_holder(holder);

	if (fd >= 0)
		close(fd);
	return fd == -ENOENT;
}

/* Where to write: the index, HOLDERS_MOST if it is listed or there is no room, or an errno. */
static int find_room(int file, const struct names_holder *holder)
{
	struct names_holder chunk[CHUNK];
	uint32_t index = 0, room = HOLDERS_MOST;
	int count;

	for (; (count = read_chunk(file, index, chunk)) > 0; index += (uint32_t)count)
		for (int i = 0; i < count; i++) {
			if (memcmp(&chunk[i], holder, sizeof(*holder)) == 0)
				return HOLDERS_MOST;
			if (room == HOLDERS_MOST && is_gone(&chunk[i]))
				room = index + (uint32_t)i;
		}
	return count < 0 ? count : (int)(room < HOLDERS_MOST ? room : index);
}

int names_list(int file, const struct names_holder *holder)
{
	int index = find_room(file, holder);

	if (index < 0 || index >= HOLDERS_MOST)
		return index < 0 ? index : 0;
	return sys_write_at(file, holder, sizeof(*holder), (uint64_t)index * sizeof(*holder));
}
