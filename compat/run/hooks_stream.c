/* SPDX-License-Identifier: MIT */
/*
 * Streams: libc reads and writes them without calling what a program could put in front of it. So a
 * stream on an area is one whose functions are ours; they call the hooks. fileno(3) must know it,
 * for libc does not.
 *
 * Locks: one mutex, for the list; no call is made with it held.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "files.h"
#include "node.h"
#include "stream.h"

struct stream {
	FILE *stream;
	int fd;
	struct stream *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct stream *streams; /* read without the mutex: none makes fileno(3) cheap */

/* Its descriptor, or -1. */
static int find(FILE *stream)
{
	int fd = -1;

	if (!__atomic_load_n(&streams, __ATOMIC_RELAXED))
		return -1;
	pthread_mutex_lock(&mutex);
	for (struct stream *at = streams; at && fd < 0; at = at->next)
		if (at->stream == stream)
			fd = at->fd;
	pthread_mutex_unlock(&mutex);
	return fd;
}

/* -- what libc calls -- */

static ssize_t read_area(void *cookie, char *bytes, size_t length)
{
	return read(((struct stream *)cookie)->fd, bytes, length);
}

static ssize_t write_area(void *cookie, const char *bytes, size_t length)
{
	ssize_t written = write(((struct stream *)cookie)->fd, bytes, length);

#ifdef __GLIBC__
	return written < 0 ? 0 : written; /* it takes no negative answer */
#else
	return written;
#endif
}

static int seek_area(void *cookie, run_offset *offset, int whence)
{
	run_offset at = LARGE(lseek)(((struct stream *)cookie)->fd, *offset, whence);

	if (at >= 0)
		*offset = at;
	return at < 0 ? -1 : 0;
}

static int close_area(void *cookie)
{
	struct stream *ended = cookie, **link = &streams;
	int fd = ended->fd;

	pthread_mutex_lock(&mutex);
	while (*link && *link != ended)
		link = &(*link)->next;
	if (*link)
		*link = ended->next;
	pthread_mutex_unlock(&mutex);
	free(ended);
	return close(fd);
}

static FILE *open_area(int fd, const char *mode)
{
	const cookie_io_functions_t ours = {read_area, write_area, seek_area, close_area};
	struct stream *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	made->fd = fd;
	FILE *stream = made->stream = fopencookie(made, mode, ours);
	if (!stream) {
		free(made);
		return NULL;
	}
	pthread_mutex_lock(&mutex);
	made->next = streams;
	__atomic_store_n(&streams, made, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mutex);
	return stream;
}

/* -- the standard streams, whose numbers can become an area's -- */

#ifdef __GLIBC__
/* Ours, in the place of libc's, which it is to get back; or not in use. */
static struct {
	FILE *ours, *libcs;
} standard[3];

/* Its number is another file's by now: what it still holds goes nowhere. */
static void drop(FILE *ours)
{
	pthread_mutex_lock(&mutex);
	for (struct stream *at = streams; at; at = at->next)
		if (at->stream == ours)
			at->fd = -1;
	pthread_mutex_unlock(&mutex);
	fclose(ours);
}

static void begin_standard(int fd, FILE **place)
{
	FILE *ours = open_area(fd, fd == STDIN_FILENO ? "r" : "w");

	if (!ours)
		return;
	if (fd == STDERR_FILENO)
		setvbuf(ours, NULL, _IONBF, 0);
	standard[fd].ours = ours;
	standard[fd].libcs = *place;
	*place = ours;
}

static void end_standard(int fd, FILE **place)
{
	FILE *ours = standard[fd].ours;

	standard[fd].ours = NULL;
	/* Otherwise the program has closed it, or put another one there. */
	if (find(ours) != fd || *place != ours)
		return;
	*place = standard[fd].libcs;
	drop(ours);
}

void streams_follow(int fd, int is_area)
{
	FILE **const places[] = {&stdin, &stdout, &stderr};
	int error = errno;

	if (fd < 0 || fd > STDERR_FILENO || is_area == (standard[fd].ours != NULL))
		return;
	if (is_area)
		begin_standard(fd, places[fd]);
	else
		end_standard(fd, places[fd]);
	errno = error;
}
#else
void streams_follow(int fd, int is_area)
{
	(void)fd;
	(void)is_area;
}
#endif

/* -- hooks -- */

RUN_HOOK FILE *fdopen(int fd, const char *mode)
{
	struct run_file *file = files_get_checked(fd);

	if (!file)
		return NEXT(fdopen)(fd, mode);
	int allowed = (mode[0] == 'r' || file_can_write(file)) &&
		((mode[0] != 'r' && !strchr(mode, '+')) || file_can_read(file)) &&
		(!strchr(mode, '+') || file_can_write(file));
	files_put(file);
	if (allowed)
		return open_area(fd, mode);
	errno = EINVAL;
	return NULL;
}

RUN_HOOK int fileno(FILE *stream)
{
	int fd = find(stream);

	return fd >= 0 ? fd : NEXT(fileno)(stream);
}

RUN_HOOK int fileno_unlocked(FILE *stream)
{
	int fd = find(stream);

	return fd >= 0 ? fd : NEXT(fileno_unlocked)(stream);
}

RUN_HOOK int fclose(FILE *stream)
{
	int error = errno, fd = stream && find(stream) < 0 ? NEXT(fileno)(stream) : -1;

	errno = error;
	files_set(fd, NULL);
	return NEXT(fclose)(stream);
}

static int flags_of_mode(const char *mode)
{
	int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;

	return flags | (strchr(mode, 'e') ? O_CLOEXEC : 0) | (mode[0] == 'a' ? O_APPEND : 0);
}

static FILE *open_stream(enum node_kind kind, const char *mode)
{
	int fd = -1;

	if (kind == NODE_BELOW)
		errno = ENOTDIR;
	else
		fd = device_open(flags_of_mode(mode));
	FILE *stream = fd < 0 ? NULL : open_area(fd, mode);
	if (fd >= 0 && !stream)
		close(fd);
	return stream;
}

#define HOOK_FOPEN(name)                                                        \
	RUN_HOOK FILE *name(const char *path, const char *mode)                 \
	{                                                                       \
		enum node_kind kind = node_of(AT_FDCWD, path);                  \
		return kind ? open_stream(kind, mode) : NEXT(name)(path, mode); \
	}

HOOK_FOPEN(fopen)

/* libc crashes with a stream of ours, and cannot make one. A failure closes the stream. */
#define HOOK_FREOPEN(name)                                                    \
	RUN_HOOK FILE *name(const char *path, const char *mode, FILE *stream) \
	{                                                                     \
		if (find(stream) < 0 && !node_of(AT_FDCWD, path))             \
			return NEXT(name)(path, mode, stream);                \
		fclose(stream);                                               \
		errno = EOPNOTSUPP;                                           \
		return NULL;                                                  \
	}

HOOK_FREOPEN(freopen)

/* 1 if this is an area, and then errno says that it takes no bytes. */
static int refuses_bytes(int fd)
{
	struct run_file *file = files_get_checked(fd);

	if (!file)
		return 0;
	device_write(file);
	int error = errno;
	files_put(file);
	errno = error;
	return 1;
}

RUN_HOOK int vdprintf(int fd, const char *form, va_list list)
{
	return refuses_bytes(fd) ? -1 : NEXT(vdprintf)(fd, form, list);
}

RUN_HOOK int dprintf(int fd, const char *form, ...)
{
	va_list list;

	va_start(list, form);
	int r = vdprintf(fd, form, list);
	va_end(list);
	return r;
}

#ifdef __GLIBC__
HOOK_FOPEN(fopen64)
HOOK_FREOPEN(freopen64)

RUN_HOOK int __vdprintf_chk(int fd, int flag, const char *form, va_list list);
int __vdprintf_chk(int fd, int flag, const char *form, va_list list)
{
	return refuses_bytes(fd) ? -1 : NEXT(__vdprintf_chk)(fd, flag, form, list);
}

RUN_HOOK int __dprintf_chk(int fd, int flag, const char *form, ...);
int __dprintf_chk(int fd, int flag, const char *form, ...)
{
	va_list list;

	va_start(list, form);
	int r = __vdprintf_chk(fd, flag, form, list);
	va_end(list);
	return r;
}
#endif
