/* SPDX-License-Identifier: MIT */
/*
 * What ports of Android code do around the driver: init scripts and helpers that handle the node by
 * its path, services that serve other users, programs that libc starts by itself, and heaps and
 * windows that are shared for reading. As answers.c, one line for each question; ports.txt holds
 * what the driver of Linux 5.10 printed. Run by root or another user, it prints the same.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "say.h"
#include "send.h"

enum { NOBODY = 65534 };

static char self[4096];

/* From now on another user, if this one may become one. */
static void be_nobody(void)
{
	if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
		perror("setresuid");
}

/* -- the node by its path -- */

/* What root may do, others may not: then these are not asked. */
static int by_root(int r)
{
	return geteuid() == 0 ? r : 0;
}

static void say_link(const char *path)
{
	char to[200] = "";
	ssize_t length = readlink(path, to, sizeof(to) - 1);

	say("readlink", length);
	printf("to: %s\n", to);
}

static void say_real(const char *path)
{
	char *real = realpath(path, NULL);

	say("realpath", real ? 0 : -1);
	printf("is: %s\n", real ? real : "");
	free(real);
}

static void links(int fd, int dev)
{
	char text[100] = "", path[64];

	part("links");
	say_link(ASHMEM_NODE);
	say_link("/dev/../dev/ashmem");
	say_link("/dev/ashmem/below");
	SAY(readlinkat(dev, "ashmem", text, sizeof(text)));
	SAY(readlink(ASHMEM_NODE, text, 0));
	SAY(readlink("/dev/fd", text, sizeof(text)) > 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	say_link(path);
	SAY(readlink(path, text, 4));
	SAY(strncmp(text, "/dev", 4));
	SAY(readlinkat(AT_FDCWD, path, text, sizeof(text)));
	say_real(ASHMEM_NODE);
	say_real("/dev/shm/.././ashmem");
	say_real("/dev/ashmem/below");
	say_real(path);
	char *real = canonicalize_file_name("//dev//ashmem");
	SAY(real && strcmp(real, ASHMEM_NODE) == 0);
	free(real);
}

static void others(int fd)
{
	be_nobody();
	SAY(chmod(ASHMEM_NODE, 0666));
	SAY(fchmod(fd, 0666));
	SAY(fchmodat(AT_FDCWD, ASHMEM_NODE, 0666, 0));
	SAY(chown(ASHMEM_NODE, 0, 0));
	SAY(lchown(ASHMEM_NODE, 0, 0));
	SAY(fchown(fd, NOBODY, (gid_t)-1));
	SAY(fchownat(AT_FDCWD, ASHMEM_NODE, 0, 0, 0));
	SAY(chown(ASHMEM_NODE, (uid_t)-1, (gid_t)-1));
	SAY(chmod("/dev/ashmem/below", 0666));
}

static void modes(int fd, int dev)
{
	struct stat status;

	part("modes and owners");
	SAY(by_root(chmod(ASHMEM_NODE, 0666)));
	SAY(by_root(fchmod(fd, 0666)));
	SAY(by_root(fchmodat(dev, "ashmem", 0666, 0)));
	SAY(by_root(chown(ASHMEM_NODE, 0, 0)));
	SAY(by_root(lchown(ASHMEM_NODE, 0, 0)));
	SAY(by_root(fchown(fd, 0, 0)));
	SAY(by_root(fchownat(dev, "ashmem", 0, 0, AT_SYMLINK_NOFOLLOW)));
	SAY(stat(ASHMEM_NODE, &status) == 0 && status.st_uid == 0 && status.st_gid == 0);
	SAY(status.st_mode == (S_IFCHR | 0666));
	SAY(truncate(ASHMEM_NODE, 0));
	in_child(others, fd);
	/* What the owner of the file below could spoil. */
	SAY(by_root(fchmod(fd, 0666)));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ));
	SAY(mmap(NULL, page, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	SAY(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
}

/* -- other users -- */

static void narrow(int fd)
{
	char *base;

	be_nobody();
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ));
	SAY(ioctl(fd, ASHMEM_GET_PROT_MASK));
	SAY(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	base = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(base != MAP_FAILED);
	SAY(mprotect(base, page, PROT_READ | PROT_WRITE));
	SAY(range_call(fd, ASHMEM_UNPIN, 0, 1));
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 0, 1));
	SAY(range_call(fd, ASHMEM_PIN, 0, 0));
}

static void make_and_narrow(int fd)
{
	be_nobody();
	SAY(ioctl(fd, ASHMEM_SET_NAME, "another's"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 2 * page));
	narrow(fd);
}

static int pair[2];

static void receive_and_narrow(int unused)
{
	(void)unused;
	be_nobody();
	narrow(receive_fd(pair[1]));
}

static void other_users(void)
{
	char *base;
	int fd = made("of a service", 2, &base);

	part("another user narrows it");
	in_child(narrow, fd);
	SAY(ioctl(fd, ASHMEM_GET_PROT_MASK));
	SAY(mmap(NULL, page, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	close(fd);
	part("another user makes it");
	fd = fresh(O_RDWR);
	in_child(make_and_narrow, fd);
	SAY(ioctl(fd, ASHMEM_GET_PROT_MASK));
	SAY(mmap(NULL, page, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	close(fd);
	part("another user receives it");
	fd = made("of a service", 2, &base);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || send_fds(pair[0], &fd, 1) < 0)
		return;
	in_child(receive_and_narrow, fd);
	SAY(ioctl(fd, ASHMEM_GET_PROT_MASK));
	close(fd);
}

/* -- programs that libc starts -- */

/* This program anew: wait until it is told, then say the area's name. */
static int say_name(int fd)
{
	char name[256] = "", line[8];

	SAY(read(STDIN_FILENO, line, 1));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	printf("name: %s\n", name);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) / (int)page);
	return 0;
}

static int cloned(void *argument)
{
	int fd = *(int *)argument;
	char name[256] = "", byte;

	SAY(read(pair[1], &byte, 1));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	printf("name: %s\n", name);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) / (int)page);
	fflush(stdout);
	_exit(0);
}

static void started_before_the_name(void)
{
	static char stack[1 << 18] __attribute__((aligned(16)));
	char command[5000];
	int fd = fresh(O_RDWR), status = -1;

	part("popen before the name");
	snprintf(command, sizeof(command), "exec '%s' %d", self, fd);
	fflush(stdout);
	FILE *stream = popen(command, "w");
	SAY(ioctl(fd, ASHMEM_SET_NAME, "named later"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 3 * page));
	fputc('x', stream);
	SAY(pclose(stream));
	close(fd);

	part("clone before the name");
	fd = fresh(O_RDWR);
	fflush(stdout);
	pid_t child = clone(cloned, stack + sizeof(stack), SIGCHLD, &fd);
	SAY(ioctl(fd, ASHMEM_SET_NAME, "named late"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 5 * page));
	if (write(pair[0], "x", 1) < 0) /* not said, for the child speaks now */
		perror("write");
	waitpid(child, &status, 0);
	say("child", status);
	close(fd);
}

static void without_environment(int fd)
{
	char command[5000], line[200];

	snprintf(command, sizeof(command), "exec '%s' %d </dev/null", self, fd);
	clearenv();
	fflush(stdout);
	SAY(system(command));
	FILE *stream = popen(command, "r");
	while (stream && fgets(line, sizeof(line), stream))
		fputs(line, stdout);
	SAY(stream ? pclose(stream) : -1);
	SAY(freopen("/dev/null", "r", stdin) != NULL);
	snprintf(line, sizeof(line), "%d", fd);
	execl(self, self, line, NULL);
}

/* -- standard streams -- */

/* This program anew, with an area as its standard input. */
static int say_input(void)
{
	char line[16] = "";

	SAY(fgets(line, sizeof(line), stdin) != NULL);
	SAY(strcmp(line, "one\n"));
	SAY(ftell(stdin) == (long)page);
	return 0;
}

static void use_streams(int unused)
{
	char line[16] = "", *base;
	int fd = made(NULL, 1, &base), out = dup(STDOUT_FILENO);

	(void)unused;
	strcpy(base, "one\ntwo\n");
	dup2(fd, STDIN_FILENO);
	SAY(fgets(line, sizeof(line), stdin) != NULL);
	SAY(strcmp(line, "one\n"));
	SAY(fileno(stdin));
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	int r = puts("to the area") < 0 || fflush(stdout) < 0;
	dprintf(out, "refused: %d, unharmed: %d\n", r, strcmp(base, "one\ntwo\n") == 0);
	dup2(out, STDOUT_FILENO);
	lseek(fd, 0, SEEK_SET);
	execl(self, self, "input", NULL);
}

/* -- threads that open areas while others fork -- */

enum { OPENS = 300, FORKS = 100 };

static void *open_many(void *wrong)
{
	for (int i = 0; i < OPENS; i++) {
		int fd = open(ASHMEM_NODE, O_RDWR | O_CLOEXEC);
		*(long *)wrong += fd < 0 || ioctl(fd, ASHMEM_SET_NAME, "of a thread") != 0 ||
			ioctl(fd, ASHMEM_SET_SIZE, page) != 0;
		void *mapped = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
		*(long *)wrong += mapped == MAP_FAILED || munmap(mapped, page) != 0;
		*(long *)wrong += close(fd) != 0;
	}
	return NULL;
}

static void fork_beside_threads(void)
{
	pthread_t threads[2];
	long wrong[3] = {0, 0, 0};

	part("threads that open areas while another forks");
	fflush(stdout);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, open_many, &wrong[i]);
	for (int i = 0; i < FORKS; i++) {
		int status = -1;
		pid_t child = fork();
		if (child == 0)
			_exit(open(ASHMEM_NODE, O_RDWR) < 0);
		waitpid(child, &status, 0);
		wrong[2] += status != 0;
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		SAY(wrong[i]);
	}
	SAY(wrong[2]);
}

/* -- signals -- */

static volatile sig_atomic_t handled;

/* As profilers and collectors do: memory of its own, while the program changes an area's. */
static void map_in_handler(int number)
{
	void *mapped = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)number;
	mprotect(mapped, page, PROT_NONE);
	munmap(mapped, page);
	handled++;
}

static void signals(int fd)
{
	enum { OFTEN = 300 };
	const struct sigaction action = {.sa_handler = map_in_handler, .sa_flags = SA_RESTART};
	const struct itimerval soon = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	char *base = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	long wrong = 0;

	part("a signal handler that maps memory");
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	while (handled < OFTEN) {
		wrong += mprotect(base, page, PROT_NONE) != 0;
		wrong += mprotect(base, page, PROT_READ) != 0;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	SAY(wrong);
}

int main(int argc, char **argv)
{
	char *base;

	page = (size_t)sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IOLBF, 0);
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (argc > 1 && strcmp(argv[1], "input") == 0)
		return say_input();
	if (argc > 1)
		return say_name(atoi(argv[1]));
	if (length < 0)
		return 1;
	int fd = made("a port", 2, &base), dev = open("/dev", O_PATH);
	links(fd, dev);
	modes(fd, dev);
	close(dev);
	other_users();
	started_before_the_name();
	part("programs started without an environment");
	in_child(without_environment, fd);
	part("standard streams");
	in_child(use_streams, fd);
	fork_beside_threads();
	signals(fd);
	close(fd);
	return 0;
}
