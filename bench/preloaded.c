/* SPDX-License-Identifier: MIT */
/*
 * The door for unmodified programs: this program runs itself under the preload library of
 * ashmem-run, and has that process pin and unpin by ioctl. The two talk over a socket: a count
 * there, the nanoseconds back, so that what is measured is measured where it happens.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define LIBRARY "../compat/run/ashmem-run.so"
#define PAGES 16

/* The library's; not there if it is not loaded, as in a static program. */
extern void ashmem_run_begin(void) __attribute__((weak));

struct range {
	uint32_t offset, length;
};

#define SET_SIZE _IOW(0x77, 3, size_t)
#define PIN _IOW(0x77, 7, struct range)
#define UNPIN _IOW(0x77, 8, struct range)

/* -- in the process below -- */

static double run_ioctls(int fd, uint64_t count)
{
	struct range range = {0, (uint32_t)page_bytes()};
	double begin = busy_ns();

	while (count--)
		if (ioctl(fd, UNPIN, &range) < 0 || ioctl(fd, PIN, &range) < 0)
			exit(1);
	return busy_since(begin);
}

int preloaded_serve(void)
{
	int fd = ashmem_run_begin ? open("/dev/ashmem", O_RDWR) : -1;
	uint64_t count;

	if (fd < 0 || ioctl(fd, SET_SIZE, PAGES * page_bytes()) < 0 ||
		mmap(NULL, PAGES * page_bytes(), PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
		return 1;
	while (read(STDIN_FILENO, &count, sizeof(count)) == sizeof(count)) {
		double ns = run_ioctls(fd, count);
		if (write(STDIN_FILENO, &ns, sizeof(ns)) != sizeof(ns))
			return 1;
	}
	return 0;
}

/* -- in the benchmark -- */

static const char *find_library(void)
{
	static char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - sizeof(LIBRARY));

	if (length <= 0)
		return NULL;
	path[length] = '\0';
	char *name = strrchr(path, '/') + 1;
	strcpy(name, LIBRARY);
	return access(path, R_OK) == 0 ? path : NULL;
}

static void become(const char *library, int socket)
{
	dup2(socket, STDIN_FILENO);
	setenv("LD_PRELOAD", library, 1);
	setenv("ASHMEM_BACKEND", "memfd", 1); /* also where the driver is */
	execl("/proc/self/exe", "bench", PRELOADED_OPTION, NULL);
	_exit(127);
}

int preloaded_start(struct preloaded *process)
{
	const char *library = find_library();
	int ends[2];

	if (!library)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		die_errno("socketpair");
	process->pid = fork();
	if (process->pid < 0)
		die_errno("fork");
	if (process->pid == 0)
		become(library, ends[1]);
	close(ends[1]);
	process->socket = ends[0];
	if (preloaded_pairs(process, 1) >= 0)
		return 0;
	preloaded_stop(process);
	return -1;
}

double preloaded_pairs(void *context, uint64_t count)
{
	const struct preloaded *process = context;
	double ns;

	if (send(process->socket, &count, sizeof(count), MSG_NOSIGNAL) != sizeof(count) ||
		read(process->socket, &ns, sizeof(ns)) != sizeof(ns))
		return -1;
	return ns;
}

void preloaded_stop(struct preloaded *process)
{
	close(process->socket);
	waitpid(process->pid, NULL, 0);
}
