/* SPDX-License-Identifier: MIT */
/*
 * Runs the cases, each in a process of its own: its name, and what came of it. The last line
 * counts.
 */
#define _GNU_SOURCE 1
#include "regions.h"

#include <ashmem/ashmem.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, LIMIT_SECONDS = 50 };

void fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not %s (errno %d, %s)\n", file, line, what, errno, strerror(errno));
	fflush(NULL);
	_exit(1);
}

void skip(const char *why)
{
	fprintf(stderr, "%s\n", why);
	fflush(NULL);
	_exit(SKIPPED);
}

size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int region_of(size_t pages)
{
	int fd = ashmem_create_region("test", pages * page_bytes());

	EXPECT(fd >= 0);
	return fd;
}

unsigned char *map_of(int fd, size_t pages, int prot)
{
	void *at = mmap(NULL, pages * page_bytes(), prot, MAP_SHARED, fd, 0);

	EXPECT(at != MAP_FAILED);
	return at;
}

void expect_no_map(int fd, size_t pages, int prot)
{
	EXPECT(mmap(NULL, pages * page_bytes(), prot, MAP_SHARED, fd, 0) == MAP_FAILED);
	EXPECT(errno == EACCES || errno == EPERM);
}

uint64_t areas_now(void)
{
	struct ashmem_process_stats stats = {.struct_size = sizeof(stats)};

	EXPECT(ashmem_process_get_stats(&stats) == 0);
	return stats.areas;
}

int descriptors_now(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	EXPECT(directory != NULL);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

int64_t purge_now(void)
{
	return ashmem_purge_all();
}

void expect_exit(pid_t child)
{
	int status;

	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void in_child(void (*run)(void *argument), void *argument)
{
	pid_t child = fork();

	EXPECT(child >= 0);
	if (child == 0) {
		alarm(LIMIT_SECONDS);
		run(argument);
		_exit(0);
	}
	expect_exit(child);
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

void send_fd(int socket_fd, int fd)
{
	union control control = {.bytes = {0}};
	char byte = 0;
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	EXPECT(sendmsg(socket_fd, &message, 0) == 1);
}

int receive_fd(int socket_fd)
{
	union control control;
	char byte;
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	int fd;

	EXPECT(recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC) == 1);
	EXPECT(CMSG_FIRSTHDR(&message) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static int counts[3]; /* passed, failed, skipped */

static void run_case(const struct region_case *one)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		alarm(LIMIT_SECONDS);
		one->run();
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		status = 1;
	int skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED;
	counts[status == 0 ? 0 : skipped ? 2 : 1]++;
	if (status != 0)
		printf("%s: %s (wait status 0x%x)\n", skipped ? "skipped" : "FAIL", one->name,
			status);
	fflush(stdout);
}

/* A program that was started with a region as descriptor 3. */
static int is_peer(void)
{
	return ashmem_valid(3) == 1 && ashmem_get_size_region(3) == (int)(3 * page_bytes()) &&
		ashmem_unpin_region(3, 0, page_bytes()) == 0;
}

int main(int argc, char **argv)
{
	const struct region_case *const lists[] = {basic_cases, prot_cases, process_cases};

	if (argc > 1 && strcmp(argv[1], "peer") == 0)
		return !is_peer();
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		for (const struct region_case *one = lists[i]; one->name; one++)
			if (argc < 2 || strcmp(argv[1], one->name) == 0)
				run_case(one);
	printf("%d passed, %d failed, %d skipped\n", counts[0], counts[1], counts[2]);
	return counts[1] != 0;
}
