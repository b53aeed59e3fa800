/* SPDX-License-Identifier: MIT */
/*
 * The service manager's protocol: it names a file to source in MEMORY_PRESSURE_WATCH, and in
 * MEMORY_PRESSURE_WRITE what to write into it first, as base64 (https://systemd.io/PRESSURE/). A
 * regular file is one of the kernel's PSI files and is never read; a FIFO or a stream socket is
 * read and what comes is discarded. "/dev/null" turns watching off.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#include "pressure/source.h"

#define WRITE_MAX 4096 /* a FIFO or a socket takes so much at once */

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int64_t source_service_base64(const char *text, unsigned char *bytes, size_t size)
{
	uint32_t bits = 0, pending = 0;
	size_t count = 0, digits = 0, padding = 0;

	for (; *text; text++) {
		int digit = digit_of(*text);
		if (*text == ' ' || *text == '\n')
			continue;
		if (*text == '=') {
			padding++;
			continue;
		}
		if (digit < 0 || padding > 0)
			return -EBADMSG;
		digits++;
		bits = (bits << 6) | (uint32_t)digit;
		pending += 6;
		if (pending < 8)
			continue;
		pending -= 8;
		if (count == size)
			return -E2BIG;
		bytes[count++] = (unsigned char)(bits >> pending);
	}
	/* One digit alone is no byte; padding fills up to four; bits left over are zero. */
	if (digits % 4 == 1 || (padding > 0 && (digits + padding) % 4 != 0) || padding > 2 ||
		(bits & ((1u << pending) - 1)) != 0)
		return -EBADMSG;
	return (int64_t)count;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = descriptor_above_std(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		/* too many wait there already */
		int error = errno == EAGAIN ? ECONNREFUSED : errno;
		close(fd);
		return -error;
	}
	if (fd < 0)
		return errno == ENOBUFS ? -ENOMEM : -errno;
	return fd;
}

/*
 * The descriptor for a path and, in `*mode`, what kind of file it is. `writes`: something must be
 * written to it.
 */
static int open_path(const char *path, int writes, mode_t *mode)
{
	struct stat status;
	int fd;

	if (stat(path, &status) < 0)
		return -errno;
	if (S_ISSOCK(status.st_mode)) {
		fd = connect_to(path);
	} else if (S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode)) {
		/* A FIFO that we can write as well never ends, whichever writers come and go. */
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (fd < 0 && (errno == EACCES || errno == EROFS) && !writes)
			fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return -errno;
	} else {
		return -ENOTSUP;
	}
	*mode = status.st_mode;
	return fd;
}

static int write_settings(struct open_source *source, int fd, mode_t mode, const char **why)
{
	unsigned char bytes[WRITE_MAX];
	const char *text = secure_getenv("MEMORY_PRESSURE_WRITE");
	int64_t length;
	ssize_t written;

	if (!text || !*text)
		return 0;
	length = source_service_base64(text, bytes, sizeof(bytes));
	if (length < 0) {
		*why = "MEMORY_PRESSURE_WRITE is not base64, or too long";
		return (int)length;
	}
	do
		written = S_ISSOCK(mode) ? send(fd, bytes, (size_t)length, MSG_NOSIGNAL)
					 : write(fd, bytes, (size_t)length);
	while (written < 0 && errno == EINTR);
	if (written != length) {
		*why = "what MEMORY_PRESSURE_WRITE says could not be written";
		/*
		 * The kernel's errors for its own files are kept. A FIFO or socket that is full or
		 * closed is -EIO.
		 */
		return written < 0 && errno != EAGAIN && errno != ENOSPC && errno != ENOBUFS &&
				errno != EPIPE && errno != ECONNRESET
			? -errno
			: -EIO;
	}
	if (S_ISFIFO(mode))
		source->own_bytes = (uint64_t)length;
	return 0;
}

/*
 * The protocol forbids reading the file that has events. Where it can be opened once more, a
 * descriptor of our own shows how bad the pressure is.
 */
static void measure(struct open_source *source, const char *path)
{
	int fd = source_keep(source, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));

	if (fd < 0 || source_psi_start(source, fd) < 0)
		source->psi_fd = -1;
	else
		source->psi_triggers = 1;
}

static int open_service(struct open_source *source, const char **why)
{
	const char *path = secure_getenv("MEMORY_PRESSURE_WATCH");
	mode_t mode = 0;
	int r;

	if (!path || !*path) {
		*why = "MEMORY_PRESSURE_WATCH is not set";
		return -ENODATA;
	}
	if (strcmp(path, "/dev/null") == 0) {
		source->kind = &source_off;
		return 0;
	}
	if (path[0] != '/') {
		*why = "MEMORY_PRESSURE_WATCH is not an absolute path";
		return -EINVAL;
	}
	const char *text = secure_getenv("MEMORY_PRESSURE_WRITE");
	int fd = open_path(path, text && *text, &mode);
	if (fd == -ENOTSUP)
		*why = "MEMORY_PRESSURE_WATCH names neither a file nor a FIFO nor a socket";
	if (fd < 0)
		return fd;
	r = fd = source_keep(source, fd);
	if (r >= 0)
		r = write_settings(source, fd, mode, why);
	if (r >= 0)
		r = source_add(source, fd, S_ISREG(mode) ? EPOLLPRI : EPOLLIN, S_ISREG(mode));
	if (r >= 0 && S_ISREG(mode))
		measure(source, path);
	if (r == -EPERM)
		*why = "MEMORY_PRESSURE_WATCH names a file that tells no events";
	return r;
}

/*
 * Read and forget what came. Whether it was an event, and not our own writing; fails at the end of
 * a stream.
 */
static int discard(struct open_source *source)
{
	char bytes[WRITE_MAX];
	int is_event = 0, r = source_check(source, source->fds[0]);

	if (r < 0)
		return r;
	/* Bounded: a peer that never stops writing must not keep us here. */
	for (int i = 0; i < 16; i++) {
		ssize_t got = read(source->fds[0], bytes, sizeof(bytes));
		if (got == 0)
			return -ENODEV;
		if (got < 0)
			return errno == EAGAIN || errno == EINTR ? is_event : -errno;
		uint64_t own =
			(uint64_t)got < source->own_bytes ? (uint64_t)got : source->own_bytes;
		source->own_bytes -= own;
		is_event |= (uint64_t)got > own;
	}
	return is_event;
}

static int service_event(struct open_source *source, uint32_t is_psi, uint32_t events,
	uint64_t now_ns)
{
	int r = 1;

	if (is_psi && source->psi_fd >= 0)
		return source_psi_event(source, is_psi, events, now_ns);
	if (is_psi && (events & EPOLLERR)) /* the cgroup is gone */
		return -ENODEV;
	if (!is_psi)
		r = discard(source);
	if (r > 0)
		source_note(source, ASHMEM_PRESSURE_SOME, now_ns);
	return r < 0 ? r : 0;
}

static int service_look(struct open_source *source, uint64_t now_ns, struct pressure_observation *o)
{
	return source->psi_fd >= 0 ? source_psi_look(source, now_ns, o)
				   : source_look_events(source, now_ns, o);
}

const struct source_kind source_service = {
	.name = "service", .open = open_service, .event = service_event, .look = service_look};

static int open_off(struct open_source *source, const char **why)
{
	(void)source, (void)why;
	return 0;
}

const struct source_kind source_off = {
	.name = "off", .open = open_off, .event = service_event, .look = source_look_events};
