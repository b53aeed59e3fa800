/* SPDX-License-Identifier: MIT */
/*
 * Habits of programs that were written for /dev/ashmem: what survives exec and a socket, mappings
 * that are cut and moved, numbers that are used again, streams on a descriptor. As answers.c, one
 * line for each question; habits.txt holds what the driver of Linux 5.10 printed.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "say.h"
#include "send.h"

extern char **environ;

static char self[4096], path_of_system[5000];

static int map(int fd, size_t pages, int prot, int flags, size_t first)
{
	void *mapped = mmap(NULL, pages * page, prot, flags, fd, (off_t)(first * page));

	return mapped == MAP_FAILED ? -1 : munmap(mapped, pages * page);
}

static void wait_for(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	say("child", status);
}

/* -- what goes along -- */

/* Everything that a descriptor is. */
static void describe(int fd)
{
	char name[256] = "", byte = 0;

	SAY(fcntl(fd, F_GETFD));
	SAY(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	SAY(fcntl(fd, F_GETSIG));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	printf("name: %s\n", name);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(4 * page));
	SAY(ioctl(fd, ASHMEM_GET_PROT_MASK));
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 1, 1));
	SAY(range_call(fd, ASHMEM_GET_PIN_STATUS, 2, 1));
	SAY(lseek(fd, 0, SEEK_CUR));
	SAY(read(fd, &byte, 1));
	SAY(pread(fd, &byte, 1, 0));
	lseek(fd, 77, SEEK_SET); /* D12 */
	SAY(write(fd, "x", 1));
	SAY(ftruncate(fd, 1));
	SAY(map(fd, 1, PROT_NONE, MAP_SHARED, 0));
	SAY(map(fd, 1, PROT_READ, MAP_SHARED, 0));
	SAY(map(fd, 1, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	SAY(map(fd, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0));
	SAY(map(fd, 1, PROT_READ | PROT_EXEC, MAP_SHARED, 0));
	SAY(ioctl(fd, ASHMEM_SET_NAME, "late"));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ | PROT_WRITE | PROT_EXEC));
}

/* This program anew, with a descriptor. */
static int after_exec(int fd, const char *what)
{
	if (fcntl(fd, F_GETFD) < 0)
		SAY(fcntl(fd, F_GETFD));
	else
		describe(fd);
	if (strcmp(what, "again") != 0)
		return 0;
	char word[16];
	snprintf(word, sizeof(word), "%d", fd);
	fflush(stdout);
	execl(self, self, word, "last", NULL);
	return 1;
}

static void exec_with(int fd, const char *what)
{
	char word[16];

	snprintf(word, sizeof(word), "%d", fd);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		execl(self, self, word, what, NULL);
		_exit(127);
	}
	wait_for(child);
}

static int prepared(int flags, int mask)
{
	int fd = fresh(flags);

	ioctl(fd, ASHMEM_SET_NAME, "prepared");
	ioctl(fd, ASHMEM_SET_SIZE, 4 * page);
	ioctl(fd, ASHMEM_SET_PROT_MASK, mask);
	map(fd, 1, mask & PROT_READ, MAP_SHARED, 0);
	range_call(fd, ASHMEM_UNPIN, 1, 1);
	lseek(fd, 77, SEEK_SET);
	return fd;
}

static void over_exec(void)
{
	static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE};
	static const char *const names[] = {"read-only", "write-only", "both", "neither"};
	int fd;

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		part(names[i]);
		fd = prepared(modes[i], PROT_READ | PROT_WRITE);
		describe(fd);
		part("after exec, twice");
		exec_with(fd, "again");
		close(fd);
	}
	part("with flags, read-only by its mask");
	fd = prepared(O_RDWR | O_APPEND, PROT_READ);
	SAY(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
	exec_with(fd, "once");
	close(fd);
	part("a duplicate made by fcntl, and close-on-exec");
	fd = prepared(O_RDONLY, PROT_READ);
	int copy = fcntl(fd, F_DUPFD, 40), kept_back = fcntl(fd, F_DUPFD_CLOEXEC, 50);
	SAY(copy);
	SAY(kept_back);
	exec_with(copy, "once");
	exec_with(kept_back, "once");
	SAY(fcntl(copy, F_SETFD, FD_CLOEXEC));
	exec_with(copy, "once");
	SAY(fcntl(kept_back, F_SETFD, 0));
	exec_with(kept_back, "once");
	close(copy);
	close(kept_back);
	close(fd);
	part("flags set before the name");
	fd = fresh(O_RDONLY);
	SAY(fcntl(fd, F_SETFL, O_NONBLOCK));
	SAY(fcntl(fd, F_SETFD, FD_CLOEXEC));
	SAY(ioctl(fd, ASHMEM_SET_NAME, "named afterwards"));
	SAY(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	SAY(fcntl(fd, F_GETFD));
	SAY(fcntl(fd, F_SETSIG, 10));
	SAY(fcntl(fd, F_SETSIG, 1000));
	close(fd);
}

static int empty_handed(int fd)
{
	char name[256];

	SAY(fcntl(fd, F_GETFL) & O_ACCMODE);
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strcmp(name, "dev/ashmem"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, page));
	return map(fd, 1, PROT_WRITE, MAP_SHARED, 0);
}

/* -- sockets -- */

static void through_sockets(void)
{
	int ends[2], fds[SENT_MOST], got[SENT_MOST];

	part("four descriptors in a message");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return;
	fds[0] = prepared(O_RDONLY, PROT_READ | PROT_WRITE);
	fds[1] = open("/dev/null", O_RDWR);
	fds[2] = fresh(O_WRONLY);
	fds[3] = prepared(O_RDWR, PROT_READ);
	SAY(send_fds(ends[0], fds, SENT_MOST));
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		SAY(receive_fds(ends[1], got, SENT_MOST, 0));
		describe(got[0]);
		SAY(ioctl(got[1], ASHMEM_GET_SIZE));
		SAY(empty_handed(got[2]));
		describe(got[3]);
		fflush(stdout);
		_exit(0);
	}
	wait_for(child);
	/* In the same process, at other numbers, with the first ones closed. */
	SAY(send_fds(ends[0], fds, SENT_MOST));
	for (int i = 0; i < SENT_MOST; i++)
		close(fds[i]);
	SAY(receive_fds(ends[1], got, SENT_MOST, MSG_CMSG_CLOEXEC));
	describe(got[0]);
	SAY(empty_handed(got[2]));
	SAY(write(got[1], "x", 1));
	for (int i = 0; i < SENT_MOST; i++)
		SAY(close(got[i]));
	/* Thrown away, unread. */
	fds[0] = prepared(O_RDWR, PROT_READ);
	fds[1] = fds[2] = fds[3] = fds[0];
	SAY(send_fds(ends[0], fds, SENT_MOST));
	close(ends[0]);
	close(ends[1]);
	describe(fds[0]);
	close(fds[0]);
}

/* -- mappings -- */

static void mappings(void)
{
	char *base, *other, *moved;
	int fd = made(NULL, 4, &base);

	part("mappings cut and moved");
	strcpy(base + 2 * page, "third");
	other = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, (off_t)(2 * page));
	SAY(strcmp(other, "third"));
	SAY(map(fd, 1, PROT_READ, MAP_SHARED, 3));
	SAY(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 123) == MAP_FAILED);
	SAY(munmap(base + page, page));
	SAY(mprotect(base, 4 * page, PROT_READ));
	SAY(mprotect(base + 2 * page, 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC));
	SAY(mprotect(base + 1, page, PROT_READ));
	moved = mremap(other, 2 * page, page, 0);
	SAY(moved == other);
	moved = mremap(other, page, 2 * page, MREMAP_MAYMOVE);
	SAY(moved != MAP_FAILED && strcmp(moved, "third") == 0);
	/* Another area over the place of the first. */
	int second = fresh(O_RDONLY);
	ioctl(second, ASHMEM_SET_SIZE, page);
	SAY(mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, second, 0) == base);
	SAY(mprotect(base, page, PROT_READ | PROT_WRITE));
	SAY(mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == base);
	SAY(mprotect(base, page, PROT_READ | PROT_WRITE));
	strcpy(base, "first");
	SAY(madvise(base, page, MADV_DONTNEED));
	SAY(strcmp(base, "first"));
	/* Its own copies are a private mapping's. */
	other = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	strcpy(other, "mine");
	SAY(strcmp(base, "first"));
	SAY(range_call(fd, ASHMEM_UNPIN, 0, 1));
	SAY(ioctl(fd, ASHMEM_PURGE_ALL_CACHES) >= 1);
	SAY(base[0]);
	SAY(strcmp(other, "mine"));
	SAY(range_call(fd, ASHMEM_PIN, 0, 1));
	close(second);
	close(fd);
	/* A mask that is narrowed binds later mappings, and these later changes. */
	fd = made(NULL, 2, &base);
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ | PROT_WRITE));
	other = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ));
	SAY(mprotect(other, page, PROT_READ | PROT_WRITE));
	SAY(mprotect(other, page, PROT_READ | PROT_EXEC));
	other = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	moved = mremap(other, page, 2 * page, MREMAP_MAYMOVE);
	SAY(moved != MAP_FAILED);
	SAY(mprotect(moved, page, PROT_READ | PROT_WRITE));
	SAY(pkey_mprotect(moved, page, PROT_READ | PROT_WRITE, -1));
	close(fd);
}

/* -- numbers -- */

static void numbers(void)
{
	char *base;
	int fd = made(NULL, 2, &base), other = made(NULL, 3, &base),
	    null = open("/dev/null", O_RDWR);

	part("numbers used again");
	SAY(dup2(other, fd) == fd);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(3 * page));
	SAY(close(other));
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(3 * page));
	SAY(range_call(fd, ASHMEM_UNPIN, 0, 1));
	SAY(dup2(null, fd) == fd);
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	SAY(write(fd, "x", 1));
	SAY(dup2(fd, fd) == fd);
	SAY(dup2(99, fd));
	SAY(dup3(fd, fd, 0));
	close(fd);
	/* The area that a mapping alone keeps. */
	base[0] = 1;
	SAY(base[0]);
	fd = made(NULL, 1, &base);
	SAY(dup2(fd, fd) == fd);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)page);
	SAY(dup3(fd, 60, O_CLOEXEC));
	SAY(fcntl(60, F_GETFD));
	close(fd);
	SAY(ioctl(60, ASHMEM_GET_SIZE) == (int)page);
	/* Numbers as int, and with all the upper bits set. */
	int pin = (int)ASHMEM_GET_SIZE, set = (int)ASHMEM_SET_NAME, get = (int)ASHMEM_GET_NAME;
	char name[256];
	SAY(ioctl(60, (unsigned long)(long)pin) == (int)page);
	SAY(ioctl(60, (unsigned long)(long)set, "x"));
	SAY(ioctl(60, (unsigned long)(long)get, name));
	SAY(ioctl(60, (unsigned long)(long)get | ~0xfffffffful, name));
	struct ashmem_range *range = malloc(sizeof(*range));
	*range = (struct ashmem_range){0, 0};
	SAY(ioctl(60, ASHMEM_UNPIN | ~0xfffffffful, range));
	SAY(ioctl(60, ASHMEM_PIN, range));
	SAY(ioctl(60, ASHMEM_PIN, (char *)range + 1) <= 0);
	free(range);
	close(60);
	close(null);
}

/* -- waiting, streams, locks -- */

static void waiting(void)
{
	char *base, byte[4] = "";
	int fd = made(NULL, 1, &base), queue = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN};
	struct timeval none = {0, 0};
	fd_set set;

	part("waiting");
	FD_ZERO(&set);
	FD_SET(fd, &set);
	SAY(select(fd + 1, &set, NULL, NULL, &none));
	struct pollfd waited = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};
	SAY(poll(&waited, 1, 0));
	SAY(waited.revents);
	SAY(epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event));
	close(queue);

	part("streams");
	strcpy(base, "abc");
	FILE *stream = fdopen(dup(fd), "r+");
	SAY(stream != NULL);
	if (stream) {
		SAY(fileno(stream) > fd);
		SAY(ioctl(fileno(stream), ASHMEM_GET_SIZE) == (int)page);
		SAY(fread(byte, 1, 3, stream));
		SAY(strcmp(byte, "abc"));
		SAY(fseek(stream, 0, SEEK_END));
		SAY(ftell(stream) == (long)page);
		SAY(fgetc(stream));
		SAY(feof(stream) != 0);
		SAY(fseek(stream, 1, SEEK_SET));
		SAY(fgetc(stream));
		SAY(fclose(stream));
	}
	stream = fdopen(dup(fd), "w");
	setvbuf(stream, NULL, _IONBF, 0);
	SAY(fputc('x', stream));
	SAY(ferror(stream) != 0);
	fclose(stream);
	SAY(dprintf(fd, "%d", 7));
	SAY(strcmp(base, "abc"));
	stream = fopen(ASHMEM_NODE, "r+e");
	SAY(stream != NULL);
	if (stream) {
		SAY(ioctl(fileno(stream), ASHMEM_SET_SIZE, page));
		SAY(fcntl(fileno(stream), F_GETFD));
		SAY(fclose(stream));
	}
	close(fd);

	part("what no file of its kind takes");
	fd = made(NULL, 1, &base);
	SAY(open(ASHMEM_NODE, O_RDWR | O_DIRECT));
	SAY(fcntl(fd, F_SETFL, O_DIRECT));
	SAY(fcntl(fd, F_SETLEASE, F_RDLCK));
	volatile size_t all = SIZE_MAX;
	SAY(sizeof(long) < 8 || (read(fd, base, all) < 0 && errno == EFAULT));
	SAY(sizeof(long) < 8 || (pread(fd, base, all, 0) < 0 && errno == EFAULT));
	close(fd);

	part("locks");
	fd = made(NULL, 3, &base);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	SAY(fcntl(fd, F_SETLK, &lock));
	SAY(fcntl(fd, F_GETLK, &lock));
	SAY(lock.l_type == F_UNLCK);
	SAY(flock(fd, LOCK_SH | LOCK_NB));
	SAY(flock(fd, LOCK_UN));
	SAY(lockf(fd, F_TEST, 0));
	/* From the position on, which a search for data that fails leaves where it is. */
	SAY(lseek(fd, 100, SEEK_SET));
	SAY(lseek(fd, (off_t)page + 5, SEEK_DATA));
	lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 5, .l_len = 10};
	SAY(fcntl(fd, F_SETLK, &lock));
	SAY(lock.l_whence == SEEK_CUR && lock.l_start == 5);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_CUR};
		SAY(fcntl(fd, F_GETLK, &lock));
		SAY(lock.l_type == F_WRLCK);
		SAY(lock.l_whence == SEEK_SET);
		SAY(lock.l_start);
		SAY(lock.l_len);
		fflush(stdout);
		_exit(0);
	}
	wait_for(child);
	close(fd);
}

/* -- looking -- */

static void one_status(const char *what, int r, const struct stat *status)
{
	printf("%s: %d %d %lld\n", what, r, S_ISCHR(status->st_mode), (long long)status->st_size);
}

static void looking(void)
{
	struct stat status;
	char *base, path[64];
	int fd = made(NULL, 1, &base), dev = open("/dev", O_PATH);

	part("looking");
	SAY(fchmod(fd, 0666));
	SAY(fstatat(dev, "ashmem", &status, AT_SYMLINK_NOFOLLOW));
	one_status("fstatat", 0, &status);
	one_status("fstat", fstat(fd, &status), &status);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
	one_status("by /proc/PID", stat(path, &status), &status);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	one_status("by /dev/fd", stat(path, &status), &status);
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	one_status("by /proc/thread-self", stat(path, &status), &status);
	one_status("/dev/./ashmem", stat("/dev/./ashmem", &status), &status);
	one_status("/dev//ashmem", stat("/dev//ashmem", &status), &status);
	one_status("//dev/ashmem", stat("//dev/ashmem", &status), &status);
	one_status("/dev/shm/../ashmem", stat("/dev/shm/../ashmem", &status), &status);
	one_status("/proc/../dev/ashmem", stat("/proc/../dev/ashmem", &status), &status);
	SAY(close(open("/dev/../dev/ashmem", O_RDWR)));
	SAY(euidaccess(ASHMEM_NODE, R_OK | W_OK));
	SAY(faccessat(dev, "ashmem", R_OK | W_OK, AT_EACCESS));
	SAY(isatty(fd));
	SAY(syncfs(fd) == 0);
	SAY(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	close(dev);
	close(fd);
}

/* -- children -- */

static void child_uses(int fd)
{
	char *base;
	int own = made(NULL, 1, &base);

	SAY(ioctl(own, ASHMEM_GET_SIZE) == (int)page);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(2 * page));
	SAY(close(fd));
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	SAY(dup2(own, fd) == fd);
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)page);
	fflush(stdout);
	_exit(0);
}

static int cloned(void *fd)
{
	child_uses(*(int *)fd);
	return 1;
}

static void children(void)
{
	static char stack[1 << 18] __attribute__((aligned(16)));
	posix_spawn_file_actions_t actions;
	char *base, word[16];
	pid_t child;
	int fd = made(NULL, 2, &base);

	part("clone");
	fflush(stdout);
	wait_for(clone(cloned, stack + sizeof(stack), SIGCHLD, &fd));
	part("a child by the system call alone");
	fflush(stdout);
	child = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
	if (child == 0)
		child_uses(fd);
	wait_for(child);
	part("in the parent");
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(2 * page));
	close(fd);

	part("posix_spawn with actions");
	fd = prepared(O_RDONLY | O_CLOEXEC, PROT_READ);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 33);
	posix_spawn_file_actions_addclose(&actions, fd);
	snprintf(word, sizeof(word), "%d", 33);
	char *const words[] = {self, word, (char *)(uintptr_t) "once", NULL};
	fflush(stdout);
	int r = posix_spawn(&child, self, &actions, NULL, words, environ);
	wait_for(child);
	SAY(r);
	posix_spawn_file_actions_destroy(&actions);
	part("system");
	snprintf(path_of_system, sizeof(path_of_system), "exec '%s' 34 once", self);
	dup2(fd, 34);
	SAY(system(path_of_system));
	part("popen");
	FILE *stream = popen(path_of_system, "r");
	char line[200];
	while (stream && fgets(line, sizeof(line), stream))
		fputs(line, stdout);
	SAY(stream ? pclose(stream) : -1);
	close(34);
	close(fd);
}

/* -- threads that close while others work -- */

enum { ROUNDS = 300 };
static int contended;

static void *pins(void *result)
{
	long wrong = 0;

	for (int i = 0; i < 20 * ROUNDS; i++) {
		struct ashmem_range range = {0, 0};
		int r = ioctl(contended, i % 2 ? ASHMEM_PIN : ASHMEM_UNPIN, &range);
		/* It may be closed, another file, or new and without memory. */
		wrong += r < 0 && errno != EBADF && errno != ENOTTY && errno != EINVAL;
		wrong += r > 1;
	}
	*(long *)result = wrong;
	return NULL;
}

static void threads(void)
{
	pthread_t thread[2];
	long wrong[2] = {1, 1};
	char *base;

	part("threads that pin what is closed");
	contended = made(NULL, 2, &base);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, pins, &wrong[i]);
	for (int i = 0; i < ROUNDS; i++) {
		munmap(base, 2 * page);
		close(contended);
		contended = made(NULL, 2, &base);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		SAY(wrong[i]);
	}
	close(contended);
}

int main(int argc, char **argv)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	if (argc > 2)
		return after_exec(atoi(argv[1]), argv[2]);
	over_exec();
	through_sockets();
	mappings();
	numbers();
	waiting();
	looking();
	children();
	threads();
	return 0;
}
