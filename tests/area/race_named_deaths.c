/* SPDX-License-Identifier: MIT */
/*
 * Processes killed before and after each of their system calls, while they publish an area, open
 * one by name or take a name away: afterwards the name is not locked, whoever held the area is
 * found, and where nobody did the name is free. The state of names is in files alone, so nothing
 * but system calls changes it. Exits 0 if all went well, 77 without ptrace(2).
 */
#define _GNU_SOURCE 1
#include "support/stress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* AREA_BYTES: whole pages of any size. */
enum { AREA_BYTES = 65536, STOPS_MOST = 2000 };

static char name[64];

static struct ashmem_area *new_area(void)
{
	struct ashmem_area *area;

	stress_expect(ashmem_create("death", AREA_BYTES, 0, &area) == 0);
	return area;
}

/* -- what is killed -- */

static void publish(void)
{
	stress_expect(ashmem_publish(new_area(), name) != -ENOTSUP);
}

static void open_named(void)
{
	struct ashmem_area *area;

	stress_expect(ashmem_open_named(name, &area) != -ENOTSUP);
}

static void unpublish(void)
{
	ashmem_unpublish(name);
}

static pid_t start_traced(void (*operation)(void))
{
	pid_t child = fork();

	stress_expect(child >= 0);
	if (child > 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	raise(SIGSTOP);
	operation();
	_exit(0);
}

/* Let it go on to its stop number `stops`, and kill it there: 1; 0 if it ended before. */
static int kill_at(pid_t child, int stops)
{
	int status;

	stress_expect(waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return -1;
	for (int i = 0; i < stops; i++) {
		if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) < 0)
			return -1;
		stress_expect(waitpid(child, &status, 0) == child);
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			stress_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			return 0;
		}
	}
	kill(child, SIGKILL);
	stress_expect(waitpid(child, &status, 0) == child);
	return 1;
}

/* -- what must hold then -- */

/* `held` is the area that this process has under the name, NULL if nobody has one. */
static void check(struct ashmem_area *held, int may_be_unknown)
{
	struct ashmem_area *area = NULL;
	struct ashmem_area *fresh = new_area();
	int r = ashmem_open_named(name, &area);

	stress_expect(r != -ETIMEDOUT);
	if (r == -ENOENT)
		stress_expect(!held || may_be_unknown);
	else
		stress_expect(r == 0 && area == held);
	r = ashmem_publish(fresh, name);
	stress_expect(r == (area ? -EEXIST : 0));
	ashmem_close(area);
	ashmem_close(fresh);
}

static int run(const char *what, void (*operation)(void), int is_held, int may_be_unknown)
{
	int stops = 0, r;

	do {
		snprintf(name, sizeof(name), "ashmem-deaths.%d.%s%d%d", (int)getpid(), what,
			is_held, stops);
		struct ashmem_area *held = is_held ? new_area() : NULL;
		if (held)
			stress_expect(ashmem_publish(held, name) == 0);
		r = kill_at(start_traced(operation), stops);
		if (r >= 0)
			check(held, may_be_unknown);
		ashmem_close(held);
	} while (r > 0 && stops++ < STOPS_MOST);
	if (r == 0)
		printf("%s%s: %d deaths\n", what, is_held ? " of a held area" : "", stops);
	if (r == 0 && stops < 20)
		stress_fail("%s: hardly any system call", what);
	return r;
}

int main(void)
{
	if (ashmem_backend_select("memfd") < 0 || access("/proc/self/fd", X_OK) < 0) {
		printf("no memfd backend, or no /proc\n");
		return 77;
	}
	int r = run("publish", publish, 0, 0);
	if (r < 0) {
		printf("no ptrace\n");
		return 77;
	}
	run("publish", publish, 1, 0);
	run("open", open_named, 0, 0);
	run("open", open_named, 1, 0);
	run("unpublish", unpublish, 1, 1);
	return 0;
}
