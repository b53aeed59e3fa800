/* SPDX-License-Identifier: MIT */
/*
 * What all sources of memory pressure share: descriptors, events, reading small files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#include "base/sys.h"
#include "pressure/source.h"

const char *source_proc = "/proc";
uint64_t (*source_clock)(void) = sys_now_ns;

int source_open(struct open_source *source, const struct source_kind *kind,
	const struct pressure_settings *settings, uint32_t id, int epoll_fd, const char **why)
{
	int r;

	*source = (struct open_source){
		.kind = kind, .settings = settings, .id = id, .epoll_fd = epoll_fd, .psi_fd = -1};
	*why = NULL;
	r = kind->open(source, why);
	if (r < 0)
		source_close(source);
	return r;
}

/*
 * Closing takes descriptors out of the epoll set: no epoll_ctl(), which would reach a parent's set
 * after a fork.
 */
void source_close(struct open_source *source)
{
	for (unsigned i = 0; i < source->fd_count; i++)
		descriptor_close(source->fds[i], &source->files[i]);
	source->fd_count = 0;
	source->kind = NULL;
}

int source_keep(struct open_source *source, int fd)
{
	int r = -ENOSPC;

	fd = descriptor_above_std(fd);
	if (fd < 0)
		return -errno;
	if (source->fd_count < PRESSURE_FDS)
		r = descriptor_learn(fd, &source->files[source->fd_count]);
	if (r < 0) {
		close(fd);
		return r;
	}
	source->fds[source->fd_count++] = fd;
	return fd;
}

int source_check(const struct open_source *source, int fd)
{
	for (unsigned i = 0; i < source->fd_count; i++)
		if (source->fds[i] == fd)
			return descriptor_check(fd, &source->files[i]);
	return -EBADF;
}

int source_file(const char *directory, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

int source_open_file(struct open_source *source, const char *directory, const char *name)
{
	return source_keep(source, source_file(directory, name));
}

int source_add(struct open_source *source, int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event event = {
		.events = events, .data = {.u64 = ((uint64_t)source->id << 32) | tag}};

	return epoll_ctl(source->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int source_is_gone(int r)
{
	return r < 0 && r != -ENOMEM;
}

int source_is_shortage(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

void source_note(struct open_source *source, uint32_t level, uint64_t now_ns)
{
	if (level > source->level || now_ns >= source->level_ends_ns)
		source->level = level;
	source->level_ends_ns = now_ns + PRESSURE_EVENT_NS;
}

int source_look_events(struct open_source *source, uint64_t now_ns, struct pressure_observation *o)
{
	if (now_ns >= source->level_ends_ns)
		source->level = ASHMEM_PRESSURE_NONE;
	if (source->level > o->stall_level)
		o->stall_level = source->level;
	return 0;
}

int source_read(int fd, char *text, size_t size)
{
	ssize_t got;

	do
		got = pread(fd, text, size - 1, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	text[got] = '\0';
	return (int)got;
}

int source_number(const char *text, const char *key, uint64_t *value)
{
	size_t length = strlen(key);

	for (const char *at = text; (at = strstr(at, key)) != NULL; at += length) {
		if (at != text && at[-1] != '\n' && at[-1] != ' ')
			continue;
		const char *digits = at + length;
		while (*digits == ' ')
			digits++;
		if (*digits < '0' || *digits > '9')
			continue;
		*value = strtoull(digits, NULL, 10);
		return 0;
	}
	return -EBADMSG;
}
