/* SPDX-License-Identifier: MIT */
/*
 * A service opens or makes what a name stands for while the user logs in: its process is stopped
 * before and after each of its system calls, the session's directory comes into being, and another
 * process opens the name. Both must get one area, wherever the first was stopped. Where it has the
 * name's lock already, the second waits until it goes on.
 *
 * Needs root, mounts of its own, and ptrace(2); 77 without.
 */
#define _GNU_SOURCE 1
#include "support/stress.h"

#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area/names.h"

/* BYTES: whole pages of any size. */
enum { BYTES = 65536, STOPS_MOST = 2000, LOOKS = 50 };

/* What the two found: the number of the process that made it; -1: an error. */
static struct found {
	int64_t by[2];
	uint32_t over;
} * found;

struct kept {
	struct ashmem_area *area;
	void *base;
};

static int keep(void *userdata, int fd)
{
	struct kept *kept = userdata;
	int r = fd >= 0 ? ashmem_import(fd, &kept->area)
			: ashmem_create("meet", BYTES, 0, &kept->area);

	stress_expect(r == 0);
	stress_expect(ashmem_map(kept->area, 0, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			      &kept->base) == 0);
	if (fd < 0)
		*(int64_t *)kept->base = getpid();
	return ashmem_fd(kept->area);
}

static void open_and_tell(int number)
{
	struct kept kept = {.area = NULL};
	int r = names_open("meet", keep, &kept);

	if (r < 0)
		stress_fail("%d: %s", number, strerror(-r));
	__atomic_store_n(&found->by[number], *(int64_t *)kept.base, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&found->over, __ATOMIC_SEQ_CST))
		usleep(500);
	_exit(0);
}

static int has_told(int number)
{
	return __atomic_load_n(&found->by[number], __ATOMIC_SEQ_CST) != 0;
}

static void wait_for(int number, pid_t child)
{
	while (!has_told(number)) {
		if (waitpid(child, NULL, WNOHANG) != 0)
			stress_fail("process %d ended", number);
		usleep(500);
	}
}

static pid_t start(int number, int is_traced)
{
	pid_t child = fork();

	stress_expect(child >= 0);
	if (child > 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (is_traced) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
	}
	open_and_tell(number);
	_exit(0);
}

/* 1: it is stopped there; 0: it was done before; -1: it cannot be traced. */
static int stop_at(pid_t child, int stops)
{
	int status;

	stress_expect(waitpid(child, &status, 0) == child);
	if (!WIFSTOPPED(status))
		return -1;
	for (int i = 0; i < stops; i++) {
		if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) < 0)
			return -1;
		stress_expect(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
		if (has_told(0))
			return 0;
	}
	return 1;
}

static int make_mounts(void)
{
	umount2("/run/user", MNT_DETACH);
	umount2("/tmp", MNT_DETACH);
	return mount("t", "/run/user", "tmpfs", 0, "mode=755") == 0 &&
			mount("t", "/tmp", "tmpfs", 0, "mode=1777") == 0
		? 0
		: -1;
}

static int meet(int stops)
{
	memset(found, 0, sizeof(*found));
	stress_expect(make_mounts() == 0);
	pid_t service = start(0, 1);
	int r = stop_at(service, stops);
	if (r < 0)
		return r;
	stress_expect(mkdir("/run/user/0", 0700) == 0);
	pid_t login = start(1, 0);
	/* If it does not come now, it waits for the other. */
	for (int i = 0; i < LOOKS && !has_told(1); i++)
		usleep(500);
	ptrace(PTRACE_DETACH, service, NULL, NULL);
	wait_for(0, service);
	wait_for(1, login);
	if (found->by[0] != found->by[1])
		stress_fail("two areas under one name, after %d stops", stops);
	__atomic_store_n(&found->over, 1, __ATOMIC_SEQ_CST);
	waitpid(service, NULL, 0);
	waitpid(login, NULL, 0);
	return r;
}

int main(void)
{
	int stops = 0, r;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		printf("no mounts of its own\n");
		return 77;
	}
	mkdir("/run/user", 0755); /* it is there, or it is needed now */
	found = mmap(NULL, sizeof(*found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	if (found == MAP_FAILED || make_mounts() < 0 || ashmem_backend_select("memfd") < 0) {
		printf("cannot mount here, or no memfd backend\n");
		return 77;
	}
	do
		r = meet(stops++);
	while (r > 0 && stops < STOPS_MOST);
	if (r < 0) {
		printf("no ptrace\n");
		return 77;
	}
	printf("met after each of %d stops\n", stops);
	stress_expect(stops > 20);
	return 0;
}
