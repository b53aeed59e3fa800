/* SPDX-License-Identifier: MIT */
/*
 * memcached and Redis over a Unix socket. A server is started here, on a socket in the benchmark's
 * own directory, and ends with it; one that is not installed is skipped.
 */
#define _GNU_SOURCE 1
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peers.h"

static pid_t server;
static int connection = -1;
static char socket_path[100];
static char text[VALUE_MOST + BATCH_MOST * 4096];

static int connect_to_server(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, socket_path, sizeof(socket_path));
	connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(connection, (struct sockaddr *)&address, sizeof(address)) == 0)
		return 1;
	close(connection);
	return 0;
}

static const char *start(char *const *arguments)
{
	fflush(NULL); /* or the child would print it too */
	server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(127);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	for (int tries = 0; tries < 1000; tries++) {
		if (connect_to_server())
			return NULL;
		if (waitpid(server, NULL, WNOHANG) != 0)
			break;
		usleep(10000);
	}
	return "not installed, or does not start";
}

static void join(void)
{
	if (!connect_to_server())
		die("connect");
}

static void stop(void)
{
	close(connection);
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	unlink(socket_path);
}

static void send_all(const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t sent = send(connection, bytes, count, MSG_NOSIGNAL);
		if (sent <= 0)
			die("send");
		bytes += sent;
		count -= (size_t)sent;
	}
}

/* Receive until there are so many bytes in `text`, or more. */
static void receive(size_t *length, size_t want)
{
	while (*length < want) {
		ssize_t got = recv(connection, text + *length, sizeof(text) - *length, 0);
		if (got <= 0)
			die("recv");
		*length += (size_t)got;
	}
}

/* The end of the line that begins at `from`: behind its \n. */
static size_t receive_line(size_t *length, size_t from)
{
	const char *end;

	while (!(end = memchr(text + from, '\n', *length - from)))
		receive(length, *length + 1);
	return (size_t)(end + 1 - text);
}

/* "HEAD BYTES\r\n", the value and "\r\n" at `*at`: the value's bytes, or -1 if it has none. */
static int64_t receive_value(size_t *length, size_t *at, const char *format, char *value)
{
	long long bytes = -1;
	size_t from = receive_line(length, *at);

	if (sscanf(text + *at, format, &bytes) != 1 || bytes < 0)
		return -1;
	receive(length, from + (size_t)bytes + 2);
	memcpy(value, text + from, (size_t)bytes);
	*at = from + (size_t)bytes + 2;
	return bytes;
}

static void send_value(size_t head, const char *value, size_t bytes)
{
	memcpy(text + head, value, bytes);
	memcpy(text + head + bytes, "\r\n", 2);
	send_all(text, head + bytes + 2);
}

static void expect_line(const char *want)
{
	size_t length = 0, end = receive_line(&length, 0);

	if (end != strlen(want) || memcmp(text, want, end) != 0)
		die("put");
}

/* -- memcached -- */

static const char *memcached_open(void)
{
	char *arguments[] = {
		"memcached", "-s", socket_path, "-u", "root", "-m", "1024", "-I", "2m", NULL};

	snprintf(socket_path, sizeof(socket_path), "%s", path_of("memcached"));
	return start(arguments);
}

static void memcached_put(const char *key, const char *value, size_t bytes)
{
	send_value((size_t)sprintf(text, "set %s 0 0 %zu\r\n", key, bytes), value, bytes);
	expect_line("STORED\r\n");
}

static const char memcached_head[] = "VALUE %*s %*d %lld";

static int64_t memcached_get(const char *key, char *value)
{
	size_t length = 0, at = 0;

	send_all(text, (size_t)sprintf(text, "get %s\r\n", key));
	int64_t bytes = receive_value(&length, &at, memcached_head, value);
	if (bytes >= 0)
		receive_line(&length, at); /* END */
	return bytes;
}

static void memcached_get_many(const char *const *keys, int count, size_t bytes, char *value)
{
	size_t length = 0, at = 0;
	int end = sprintf(text, "get");

	for (int i = 0; i < count; i++)
		end += sprintf(text + end, " %s", keys[i]);
	memcpy(text + end, "\r\n", 2);
	send_all(text, (size_t)end + 2);
	for (int i = 0; i < count; i++)
		if (receive_value(&length, &at, memcached_head, value) != (int64_t)bytes)
			die("get of many");
	receive_line(&length, at);
}

const struct peer memcached_peer = {"memcached", memcached_open, join, NULL, memcached_put,
	memcached_get, memcached_get_many, stop};

/* -- Redis -- */

static const char *redis_open(void)
{
	char *arguments[] = {"redis-server", "--port", "0", "--unixsocket", socket_path, "--save",
		"", "--appendonly", "no", NULL};

	snprintf(socket_path, sizeof(socket_path), "%s", path_of("redis"));
	return start(arguments);
}

static void redis_put(const char *key, const char *value, size_t bytes)
{
	int head =
		sprintf(text, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, bytes);

	send_value((size_t)head, value, bytes);
	expect_line("+OK\r\n");
}

static int64_t redis_get(const char *key, char *value)
{
	size_t length = 0, at = 0;

	send_all(text,
		(size_t)sprintf(text, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(key), key));
	return receive_value(&length, &at, "$%lld", value);
}

static void redis_get_many(const char *const *keys, int count, size_t bytes, char *value)
{
	size_t length = 0;
	int end = sprintf(text, "*%d\r\n$4\r\nMGET\r\n", count + 1);

	for (int i = 0; i < count; i++)
		end += sprintf(text + end, "$%zu\r\n%s\r\n", strlen(keys[i]), keys[i]);
	send_all(text, (size_t)end);
	size_t at = receive_line(&length, 0);
	for (int i = 0; i < count; i++)
		if (receive_value(&length, &at, "$%lld", value) != (int64_t)bytes)
			die("get of many");
}

const struct peer redis_peer = {
	"Redis", redis_open, join, NULL, redis_put, redis_get, redis_get_many, stop};
