/* SPDX-License-Identifier: MIT */
/*
 * Areas in more than one process and thread: forked, executed, sent over sockets, before and after
 * they have memory. As answers.c, one line for each question.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "say.h"
#include "send.h"

extern char **environ;

static char self[4096];

/* -- fork -- */

static void child_pins(int fd)
{
	char *base = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(4 * page));
	SAY(strcmp(base, "of the parent"));
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 1, 1));
	SAY(range_call(fd, ASHMEM_PIN, 1, 1));
	SAY(range_call(fd, ASHMEM_UNPIN, 3, 1));
	strcpy(base, "of the child");
	SAY(lseek(fd, 5, SEEK_SET));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ));
}

static void child_makes(int fd)
{
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	SAY(ioctl(fd, ASHMEM_SET_NAME, "by the child"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 2 * page));
	char *base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	SAY(base != MAP_FAILED);
	strcpy(base, "made in a child");
}

static void child_closes(int fd)
{
	SAY(close(fd));
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
}

static void forks(void)
{
	char *base, name[256];
	int fd = made("fork", 4, &base);

	part("fork");
	strcpy(base, "of the parent");
	SAY(range_call(fd, ASHMEM_UNPIN, 1, 1));
	in_child(child_pins, fd);
	SAY(strcmp(base, "of the child"));
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 1, 1));
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 3, 1));
	SAY(lseek(fd, 0, SEEK_CUR));
	SAY(ioctl(fd, ASHMEM_GET_PROT_MASK));
	SAY(mmap(NULL, page, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	in_child(child_closes, fd);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(4 * page));
	close(fd);

	fd = fresh(O_RDWR);
	in_child(child_makes, fd);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(2 * page));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strcmp(name, "by the child"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, page));
	base = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(strcmp(base, "made in a child"));
	close(fd);
}

/* -- exec -- */

/* This program, run anew with a descriptor. */
static int after_exec(int fd)
{
	char *base;

	SAY(fcntl(fd, F_GETFD));
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(2 * page));
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 0, 1));
	base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	SAY(base != MAP_FAILED);
	if (base != MAP_FAILED)
		strcpy(base, "after exec");
	SAY(range_call(fd, ASHMEM_UNPIN, 1, 1));
	return 0;
}

static char fd_word[16];
static char *const words[] = {self, "after-exec", fd_word, NULL};
static char *const no_environment[] = {NULL};

static void by_execv(int fd)
{
	(void)fd;
	execv(self, words);
}

static void by_execve(int fd)
{
	(void)fd;
	execve(self, words, no_environment);
}

static void by_execl(int fd)
{
	(void)fd;
	execl(self, self, "after-exec", fd_word, NULL);
}

static void by_execle(int fd)
{
	(void)fd;
	execle(self, self, "after-exec", fd_word, NULL, no_environment);
}

static void by_vfork(int fd)
{
	int status = -1, null = open("/dev/null", O_RDWR);
	pid_t child = vfork();

	if (child == 0) {
		/* What a shell does, in memory that it shares. */
		dup2(null, 70);
		close(70);
		close(fd + 100);
		execve(self, words, no_environment);
		_exit(127);
	}
	waitpid(child, &status, 0);
	say("child of vfork", status);
	/* The child's descriptors are its own. */
	child = vfork();
	if (child == 0) {
		close(fd);
		_exit(0);
	}
	waitpid(child, &status, 0);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(2 * page));
	close(null);
}

static void by_spawn(int fd)
{
	int status = -1;
	pid_t child;

	(void)fd;
	fflush(stdout);
	int r = posix_spawn(&child, self, NULL, NULL, words, no_environment);
	waitpid(child, &status, 0);
	say("spawned", r);
	say("its status", status);
}

static void execs(void)
{
	void (*const ways[])(int) = {by_execv, by_execve, by_execl, by_execle, by_vfork, by_spawn};
	static const char *const names[] = {
		"execv", "execve with no environment", "execl", "execle", "vfork", "posix_spawn"};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		char *base;
		int fd = made("exec", 2, &base);

		part(names[i]);
		snprintf(fd_word, sizeof(fd_word), "%d", fd);
		SAY(range_call(fd, ASHMEM_UNPIN, 0, 1));
		in_child(ways[i], fd);
		SAY(strcmp(base, "after exec"));
		SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 1, 1));
		close(fd);
	}

	part("exec before there is memory");
	int fd = fresh(O_RDWR);
	snprintf(fd_word, sizeof(fd_word), "%d", fd);
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 2 * page));
	in_child(by_execv, fd);
	char *base = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(strcmp(base, "after exec"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, page));
	close(fd);

	part("close-on-exec");
	fd = open(ASHMEM_NODE, O_RDWR | O_CLOEXEC);
	snprintf(fd_word, sizeof(fd_word), "%d", fd);
	in_child(by_execv, fd);
	close(fd);
}

/* -- sockets -- */

static int pair[2];

static void child_receives(int unused)
{
	int fd = receive_fd(pair[1]);
	char name[256];

	(void)unused;
	SAY(fd >= 0);
	SAY(fcntl(fd, F_GETFD));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strcmp(name, "sent"));
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(2 * page));
	char *base = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(base != MAP_FAILED);
	SAY(range_call(fd, ASHMEM_UNPIN, 0, 1));
	SAY(range_call(fd, ASHMEM_PIN, 0, 1));
	SAY(range_call(fd, ASHMEM_UNPIN, 1, 1));
	SAY(mprotect(base, page, PROT_READ | PROT_WRITE));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ | PROT_WRITE));
}

static void child_makes_sent(int unused)
{
	int fd = receive_fd(pair[1]);

	(void)unused;
	SAY(ioctl(fd, ASHMEM_SET_NAME, "by the receiver"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 3 * page));
	char *base = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	SAY(base != MAP_FAILED);
	strcpy(base, "received");
}

static void sockets(void)
{
	char *base, name[256];
	int fd;

	part("sockets");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return;
	/* As Android's programs do: named, sized, narrowed, sent; the maker never maps it. */
	fd = fresh(O_RDWR);
	SAY(ioctl(fd, ASHMEM_SET_NAME, "sent"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 2 * page));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ));
	send_fds(pair[0], &fd, 1);
	in_child(child_receives, fd);
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 0, 1));
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 1, 1));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, page));
	close(fd);

	/* Sent first, made by the receiver. */
	fd = fresh(O_RDWR);
	send_fds(pair[0], &fd, 1);
	in_child(child_makes_sent, fd);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(3 * page));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strcmp(name, "by the receiver"));
	base = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(strcmp(base, "received"));
	/* To ourselves: the same area under another number. */
	send_fds(pair[0], &fd, 1);
	int again = receive_fd(pair[1]);
	SAY(range_call(fd, ASHMEM_UNPIN, 0, 0));
	SAY(range_call(again, ASHMEM_GET_PIN_STATUS, 0, 0));
	close(fd);
	SAY(range_call(again, ASHMEM_PIN, 0, 0));
	close(again);
	/* Any file but an area passes as it is. */
	fd = open("/dev/null", O_RDWR);
	send_fds(pair[0], &fd, 1);
	again = receive_fd(pair[1]);
	SAY(ioctl(again, ASHMEM_GET_SIZE));
	SAY(write(again, "x", 1));
	close(fd);
	close(again);
}

/* -- threads -- */

enum { THREADS = 4, ROUNDS = 2000 };

struct worker {
	pthread_t thread;
	int fd, number;
	long wrong;
};

static void *pin_one_page(void *argument)
{
	struct worker *worker = argument;
	size_t at = (size_t)worker->number;

	for (int i = 0; i < ROUNDS; i++) {
		worker->wrong += range_call(worker->fd, ASHMEM_UNPIN, at, 1) != 0;
		worker->wrong += range_call(worker->fd, ASHMEM_GET_PIN_STATUS, at, 1) != 0;
		worker->wrong += range_call(worker->fd, ASHMEM_PIN, at, 1) != 0;
		worker->wrong += range_call(worker->fd, ASHMEM_GET_PIN_STATUS, at, 1) != 1;
	}
	return NULL;
}

static void *open_and_close(void *argument)
{
	struct worker *worker = argument;

	for (int i = 0; i < ROUNDS / 10; i++) {
		char *base;
		int fd = made("thread", 1, &base), copy = dup(fd);

		worker->wrong += close(fd) != 0;
		worker->wrong += ioctl(copy, ASHMEM_GET_SIZE) != (int)page;
		worker->wrong += close(copy) != 0;
		worker->wrong += munmap(base, page) != 0;
	}
	return NULL;
}

static void threads(void)
{
	struct worker workers[THREADS + 1];
	char *base;
	int fd = made("threads", THREADS, &base);

	part("threads");
	for (int i = 0; i <= THREADS; i++) {
		workers[i] = (struct worker){.fd = fd, .number = i};
		pthread_create(&workers[i].thread, NULL,
			i < THREADS ? pin_one_page : open_and_close, &workers[i]);
	}
	for (int i = 0; i <= THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		SAY(workers[i].wrong);
	}
	close(fd);
}

/* -- names in /proc -- */

static int lines_with(const char *text)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	int found = 0;

	while (maps && fgets(line, sizeof(line), maps))
		found += strstr(line, text) != NULL;
	if (maps)
		fclose(maps);
	return found;
}

static void shown(void)
{
	char *base;
	int fd = made("a name to show", 1, &base);

	part("what /proc shows");
	/* The library's own mapping of the area's state has the name too. */
	SAY(lines_with("/dev/ashmem/a name to show") > 0);
	munmap(base, page);
	close(fd);
	SAY(lines_with("/dev/ashmem/a name to show"));
	fd = fresh(O_RDWR);
	ioctl(fd, ASHMEM_SET_SIZE, page);
	base = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(lines_with("/dev/ashmem") > 0);
	close(fd);
}

/* -- a program that closes what it does not know -- */

static void child_closes_all(int fd)
{
	char *base;

	for (int i = 3; i < 1024; i++)
		if (i != fd)
			close(i);
	SAY(range_call(fd, ASHMEM_UNPIN, 0, 0));
	SAY(ioctl(fd, ASHMEM_PURGE_ALL_CACHES) >= 2);
	SAY(range_call(fd, ASHMEM_PIN, 0, 0));
	base = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(base != MAP_FAILED);
	int lowest = fd == 3 ? 4 : 3, second = made("second", 1, &base);
	SAY(second - lowest);
	SAY(close_range(3, ~0u, 0));
	SAY(ioctl(second, ASHMEM_GET_SIZE));
	second = made("third", 1, &base);
	SAY(second - 3);
	SAY(range_call(second, ASHMEM_UNPIN, 0, 0));
	closefrom(3);
	SAY(ioctl(second, ASHMEM_GET_SIZE));
	base[0] = 1;
}

int main(int argc, char **argv)
{
	char *base;

	page = (size_t)sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IOLBF, 0);
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (argc > 2 && length > 0)
		return after_exec(atoi(argv[2]));
	(void)argv;
	forks();
	execs();
	sockets();
	threads();
	shown();
	part("closing all");
	in_child(child_closes_all, made("kept", 2, &base));
	return 0;
}
