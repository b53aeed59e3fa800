/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: messages, and text files of the kernel.
 */
#include "ashmemd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void say(const char *format, ...)
{
	char text[512] = "ashmemd: ";
	size_t length = strlen(text);
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	va_list list;
	int more;

	va_start(list, format);
	more = vsnprintf(text + length, sizeof(text) - length - 1, format, list);
	va_end(list);
	length += more < 0 ? 0 : (size_t)more;
	if (length > sizeof(text) - 2)
		length = sizeof(text) - 2;
	for (char *at = text; at < text + length; at++) /* names of groups are others' */
		if ((unsigned char)*at < ' ' || *at == 127)
			*at = '?';
	text[length++] = '\n';
	/* Whoever reads it may be stopped, or itself wait for memory. */
	if (poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) &&
		write(STDERR_FILENO, text, length) < 0)
		return;
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int open_in(const char *directory, const char *name, int flags)
{
	char path[GROUP_PATH + 64];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int read_text(int fd, char *text, size_t size)
{
	ssize_t got = pread(fd, text, size - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	return got < 0 ? -errno : (int)got;
}

int read_text_in(const char *directory, const char *name, char *text, size_t size)
{
	int r, fd = open_in(directory, name, O_RDONLY);

	text[0] = '\0';
	if (fd < 0)
		return fd;
	r = read_text(fd, text, size);
	close(fd);
	return r;
}

int write_text_in(const char *directory, const char *name, const char *text)
{
	int r = 0, fd = open_in(directory, name, O_WRONLY);

	if (fd < 0)
		return fd;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int parse_bytes(const char *text, uint64_t *bytes)
{
	if (strncmp(text, "max", 3) == 0)
		*bytes = UINT64_MAX;
	else if (text[0] >= '0' && text[0] <= '9')
		*bytes = strtoull(text, NULL, 10);
	else
		return -EBADMSG;
	return 0;
}

int read_bytes(int fd, uint64_t *bytes)
{
	char text[32];
	int r = read_text(fd, text, sizeof(text));

	return r < 0 ? r : parse_bytes(text, bytes);
}

int read_bytes_in(const char *directory, const char *name, uint64_t *bytes)
{
	char text[32];
	int r = read_text_in(directory, name, text, sizeof(text));

	return r < 0 ? r : parse_bytes(text, bytes);
}

uint64_t number_after(const char *text, const char *key, uint64_t otherwise)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) == 0)
			return strtoull(line + length, NULL, 10);
	}
	return otherwise;
}
