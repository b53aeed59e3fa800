/* SPDX-License-Identifier: MIT */
/*
 * A service manager, as far as memory pressure goes (https://systemd.io/PRESSURE/): starts a
 * program with a watch in its environment, tells it of pressure, and ends it.
 *
 *   manager fifo|socket PATH PROGRAM [ARGUMENT...]    PATH is made; the program has to purge
 *   manager file PATH PROGRAM [ARGUMENT...]           PATH is a file of the kernel's, which tells
 *   by itself
 *
 * The program says "watching service" when it is ready and "N pages purged" when it has heard. It
 * is ended by SIGTERM, unless it ends by itself then, and has to exit with 0.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* What to write first, and the same in base64. */
static const char wish[] = "some 150000 2000000";
#define WISH_BASE64 "c29tZSAxNTAwMDAgMjAwMDAwMAA="
#define SECONDS 30

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "manager: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		fail("path too long");
	strcpy(address.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 1) < 0)
		fail("socket");
	return fd;
}

static pid_t start(const char *watch, char **arguments, int *output)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		setenv("MEMORY_PRESSURE_WATCH", watch, 1);
		setenv("MEMORY_PRESSURE_WRITE", WISH_BASE64, 1);
		dup2(ends[1], STDOUT_FILENO);
		execv(arguments[0], arguments);
		_exit(127);
	}
	close(ends[1]);
	*output = ends[0];
	return pid;
}

/* Read what the program prints until it has said this. */
static void await(int output, const char *text)
{
	static char said[65536];
	static size_t length;

	while (!strstr(said, text)) {
		struct pollfd fd = {.fd = output, .events = POLLIN};
		if (poll(&fd, 1, SECONDS * 1000) < 1)
			break;
		ssize_t got = read(output, said + length, sizeof(said) - 1 - length);
		if (got <= 0)
			break;
		length += (size_t)got;
	}
	if (strstr(said, text) && !strstr(said, " 0 pages purged"))
		return;
	fprintf(stderr, "manager: the program does not say \"%s\" but:\n%s\n", text, said);
	exit(1);
}

/* The program wrote its settings; an event is any bytes. */
static void tell_by_socket(int listener)
{
	char bytes[sizeof(wish)];
	int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (peer < 0 || recv(peer, bytes, sizeof(bytes), MSG_WAITALL) != (ssize_t)sizeof(bytes) ||
		memcmp(bytes, wish, sizeof(wish)) != 0)
		fail("what the program wrote");
	if (write(peer, "x", 1) != 1)
		fail("write");
}

static void tell_by_fifo(const char *path)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || write(fd, "x", 1) != 1)
		fail("FIFO");
	close(fd);
}

static void end(pid_t pid)
{
	int status = -1;
	pid_t ended = 0;

	for (int i = 0; i < 100 && ended == 0; i++) { /* some end by themselves now */
		usleep(10000);
		ended = waitpid(pid, &status, WNOHANG);
	}
	if (ended == 0 && kill(pid, SIGTERM) == 0)
		ended = waitpid(pid, &status, 0);
	if (ended != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "manager: the program ended with status %d\n", status);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *kind = argc > 3 ? argv[1] : "", *path = argc > 3 ? argv[2] : "";
	int output, listener = -1;

	alarm(4 * SECONDS);
	if (strcmp(kind, "fifo") == 0 && mkfifo(path, 0600) < 0)
		fail("mkfifo");
	if (strcmp(kind, "socket") == 0)
		listener = listen_at(path);
	pid_t pid = start(path, argv + 3, &output);
	await(output, "watching service\n");
	if (listener >= 0)
		tell_by_socket(listener);
	else if (strcmp(kind, "fifo") == 0)
		tell_by_fifo(path);
	if (strcmp(kind, "file") != 0)
		await(output, " pages purged\n");
	end(pid);
	return 0;
}
