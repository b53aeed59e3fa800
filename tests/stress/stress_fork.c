/* SPDX-License-Identifier: MIT */
/*
 * Fork in any state: threads are within every call of the interface, purges, holds and a watch's
 * thread among them, while the main thread forks. Children call everything too, each of them on its
 * own, and have children; some are executed anew, by vfork(2), posix_spawn(3) or after fork, with
 * one descriptor left open on purpose and all others closed. A mutex that a child finds locked
 * would hang it until its alarm. ASHMEM_STRESS_SECONDS (5) says how long; exits 0 if all went well.
 */
#define _GNU_SOURCE 1
#include "support/stress.h"
#include "support/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AREAS = 3, AREA_PAGES = 96, CHILD_SECONDS = 60, CALLS_OF_A_CHILD = 60 };

extern char **environ;

static struct ashmem_area *areas[AREAS], *reader, *newborn;
static struct ashmem_pressure *watch;
static uint32_t over;
static uint64_t calls_made, failures_allowed;

struct caller {
	struct random_source random;
	int is_child;
	int sockets[2];
	uint64_t calls, fallbacks;
};

/*
 * 0 or positive, or what may happen when the system is short of something, or somebody was faster.
 */
static int64_t fine(struct caller *caller, int64_t answer, const char *what)
{
	if (answer < 0 && answer != -EMFILE && answer != -ENOMEM && answer != -ETIMEDOUT &&
		answer != -EINVAL)
		stress_fail("%s in a %s: %s", what, caller->is_child ? "child" : "thread",
			strerror((int)-answer));
	caller->fallbacks += answer < 0;
	return answer;
}

#define FINE(call) fine(caller, call, #call)

/* -- every call -- */

static void pins(struct caller *caller, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	FINE(ashmem_unpin(area, offset, length));
	FINE(ashmem_get_pin_status(area, offset, length));
	if (random_below(&caller->random, 2))
		FINE(ashmem_pin(area, offset, length));
	if (FINE(ashmem_hold(area, offset, length)) >= 0)
		FINE(ashmem_release(area, offset, length, 0));
}

static void purges(struct caller *caller)
{
	ashmem_shrink_count();
	FINE(ashmem_shrink(random_below(&caller->random, 40)));
	if (random_below(&caller->random, 4) == 0)
		FINE(ashmem_purge_all());
}

static void memory(struct caller *caller, struct ashmem_area *area)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
	char name[ASHMEM_NAME_LEN], byte;
	void *addr = NULL;

	if (FINE(ashmem_map(area, 0, (size_t)ashmem_get_size(area), PROT_READ, MAP_SHARED,
		    &addr)) == 0)
		FINE(ashmem_unmap(addr, (size_t)ashmem_get_size(area)));
	FINE(ashmem_pread(area, &byte, 1, 0));
	FINE(ashmem_seek(area, 1, SEEK_SET));
	FINE(ashmem_read(area, &byte, 1));
	FINE(ashmem_get_name(area, name, sizeof(name)));
	FINE(ashmem_get_prot(area));
	FINE(ashmem_area_get_stats(area, &stats));
	FINE(ashmem_find_unpinned(area, 0, NULL, NULL, NULL));
}

/* An area of one's own, from its birth to its end. */
static void life(struct caller *caller)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct ashmem_area *area;
	void *addr = NULL;

	if (FINE(ashmem_create("short", page, ASHMEM_CREATE_ALLOW_SEAL, &area)) < 0)
		return;
	FINE(ashmem_set_name(area, "renamed"));
	FINE(ashmem_set_size(area, 4 * page));
	if (FINE(ashmem_map(area, 0, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, &addr)) == 0) {
		FINE(ashmem_unpin(area, page, page));
		FINE(ashmem_unmap(addr, 4 * page));
		if (random_below(&caller->random, 2))
			FINE(ashmem_set_prot(area, PROT_READ));
		else
			FINE(ashmem_seal(area));
	}
	ashmem_close(area);
}

static void sharing(struct caller *caller, struct ashmem_area *area)
{
	struct ashmem_area *other;
	int fd = (int)FINE(ashmem_export_read_only(area));

	if (fd >= 0) {
		if (FINE(ashmem_import(fd, &other)) == 0)
			ashmem_close(other);
		close(fd);
	}
	if (FINE(ashmem_import((int)FINE(ashmem_fd(area)), &other)) == 0)
		ashmem_close(other);
	if (FINE(ashmem_send(caller->sockets[0], area)) == 0 &&
		FINE(ashmem_recv(caller->sockets[1], &other)) == 0)
		ashmem_close(other);
	if (FINE(ashmem_pin(reader, 0, 0)) >= 0)
		FINE(ashmem_unpin(reader, 0, 0));
}

static void watching(struct caller *caller)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof(status)};
	int r = ashmem_pressure_dispatch(watch);

	if (caller->is_child ? r != -ESTALE : r < 0)
		stress_fail("a dispatch in a %s answers %d", caller->is_child ? "child" : "thread",
			r);
	r = ashmem_pressure_get_status(watch, &status);
	if (r != (caller->is_child ? -ESTALE : 0))
		stress_fail("a status in a %s answers %d", caller->is_child ? "child" : "thread",
			r);
	stress_expect((ashmem_pressure_source(watch) == NULL) == caller->is_child);
}

static void call_something(struct caller *caller)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE),
		 first = random_below(&caller->random, AREA_PAGES);
	struct ashmem_area *area = areas[random_below(&caller->random, AREAS)];

	caller->calls++;
	switch (random_below(&caller->random, 7)) {
	case 0:
	case 1:
		pins(caller, area, first * page,
			(1 + random_below(&caller->random, AREA_PAGES - first)) * page);
		break;
	case 2:
		purges(caller);
		break;
	case 3:
		memory(caller, area);
		break;
	case 4:
		life(caller);
		break;
	case 5:
		sharing(caller, area);
		break;
	default:
		watching(caller);
	}
}

static void caller_begin(struct caller *caller, uint64_t seed, int is_child)
{
	*caller = (struct caller){.random = random_from(seed), .is_child = is_child};
	stress_expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, caller->sockets) == 0);
}

static void caller_end(struct caller *caller)
{
	close(caller->sockets[0]);
	close(caller->sockets[1]);
	__atomic_fetch_add(&calls_made, caller->calls, __ATOMIC_RELAXED);
	__atomic_fetch_add(&failures_allowed, caller->fallbacks, __ATOMIC_RELAXED);
}

static void *call_all(void *argument)
{
	struct caller caller;

	caller_begin(&caller, (uint64_t)(uintptr_t)argument, 0);
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
		call_something(&caller);
	caller_end(&caller);
	return NULL;
}

/* -- executed anew -- */

/*
 * The descriptor that was left open can be imported by its number; no other of the library's is
 * there.
 */
static int be_executed(const char *number)
{
	int fd = atoi(number), others = 0;
	struct ashmem_area *area;
	char path[40], target[200];

	alarm(CHILD_SECONDS);
	for (int other = 3; other < 256; other++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", other);
		ssize_t length = readlink(path, target, sizeof(target) - 1);
		if (length < 0 || other == fd)
			continue;
		target[length] = '\0';
		others += strstr(target, "/dev/ashmem") != NULL;
	}
	if (others)
		stress_fail("%d descriptors of areas came through exec", others);
	stress_expect(ashmem_backend_select("memfd") == 0);
	int r = ashmem_import(fd, &area);
	if (r < 0)
		stress_fail("the executed program cannot import descriptor %d: %s", fd,
			strerror(-r));
	stress_expect(ashmem_unpin(area, 0, 0) == 0 && ashmem_pin(area, 0, 0) >= 0);
	ashmem_close(area);
	return 0;
}

static void wait_for(pid_t child, const char *what)
{
	int status = 0;

	stress_expect(child > 0);
	while (waitpid(child, &status, 0) < 0)
		stress_expect(errno == EINTR);
	if (status != 0)
		stress_fail("%s ended with wait status %#x", what, (unsigned)status);
}

static void execute(uint64_t how)
{
	char number[16];
	char *arguments[] = {"stress_fork", number, NULL};
	pid_t child = -1;
	/*
	 * A duplicate without close-on-exec: for this child, and, by a race, for others that are
	 * executed now.
	 */
	int fd = fcntl(ashmem_fd(areas[0]), F_DUPFD_CLOEXEC, 100);

	stress_expect(fd >= 0);
	snprintf(number, sizeof(number), "%d", fd);
	if (how == 0) {
		posix_spawn_file_actions_t actions;
		posix_spawn_file_actions_init(&actions);
		/* clears the flag, in the child */
		posix_spawn_file_actions_adddup2(&actions, fd, fd);
		stress_expect(posix_spawn(&child, "/proc/self/exe", &actions, NULL, arguments,
				      environ) == 0);
		posix_spawn_file_actions_destroy(&actions);
	} else if (how == 1 && !UNDER_THREAD_SANITIZER) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
		child = vfork();
#pragma GCC diagnostic pop
		if (child == 0) {
			fcntl(fd, F_SETFD, 0); /* the table of descriptors is the child's own */
			execve("/proc/self/exe", arguments, environ);
			_exit(99);
		}
	} else {
		child = fork();
		if (child == 0) {
			fcntl(fd, F_SETFD, 0);
			execve("/proc/self/exe", arguments, environ);
			_exit(99);
		}
	}
	wait_for(child, "an executed program");
	close(fd);
}

/* -- children -- */

static void be_child(uint64_t seed, int generations)
{
	struct caller caller;
	char name[ASHMEM_NAME_LEN];

	alarm(CHILD_SECONDS);
	caller_begin(&caller, seed, 1);
	/* Shared before it had memory: the same name for all. */
	stress_expect(ashmem_get_name(newborn, name, sizeof(name)) == 0 &&
		strcmp(name, "newborn") == 0);
	for (int i = 0; i < CALLS_OF_A_CHILD; i++) {
		call_something(&caller);
		if (i == CALLS_OF_A_CHILD / 2 && generations > 0) {
			pid_t child = fork();
			if (child == 0) {
				be_child(seed + 1, generations - 1);
				_exit(0);
			}
			wait_for(child, "a grandchild");
		}
	}
	/* What is closed here is the child's own. */
	ashmem_pressure_close(watch);
	ashmem_close(reader);
	ashmem_close(newborn);
	for (int i = 0; i < AREAS; i++)
		ashmem_close(areas[i]);
}

static void make_areas(void)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof(options), .source = "available"};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	stress_expect(ashmem_backend_select("memfd") == 0);
	for (int i = 0; i < AREAS; i++) {
		stress_expect(ashmem_create("stress", AREA_PAGES * page, 0, &areas[i]) == 0);
		stress_expect(ashmem_fd(areas[i]) >= 0);
	}
	/* A read-only handle of an area that this process does not hold otherwise. */
	struct ashmem_area *owner;
	stress_expect(ashmem_create("read", AREA_PAGES * page, 0, &owner) == 0);
	int fd = ashmem_export_read_only(owner);
	ashmem_close(owner);
	stress_expect(fd >= 0 && ashmem_import(fd, &reader) == 0);
	close(fd);
	stress_expect(ashmem_create("newborn", page, 0, &newborn) == 0);
	stress_expect(ashmem_pressure_open(&options, &watch) == 0);
	stress_expect(ashmem_pressure_run(watch) == 0);
}

int main(int argc, char **argv)
{
	enum { THREADS = 5 };
	pthread_t threads[THREADS];
	uint64_t forks = 0, executions = 0;
	double deadline;

	if (argc == 2)
		return be_executed(argv[1]);
	/* To valgrind, what the other threads held is lost in a child. */
	if (under_valgrind()) {
		printf("forks of a process with threads cannot be followed by valgrind\n");
		return 77;
	}
	/*
	 * Another thread may have its allocator's locks at the fork; in the child nobody gives them
	 * back.
	 */
	if (UNDER_ADDRESS_SANITIZER) {
		printf("a child of a process with threads cannot allocate under "
		       "the address sanitizer\n");
		return 77;
	}
	make_areas();
	deadline = seconds_now() + stress_seconds();
	for (uintptr_t i = 0; i < THREADS; i++)
		stress_expect(pthread_create(&threads[i], NULL, call_all, (void *)(i + 1)) == 0);
	while (seconds_now() < deadline) {
		fflush(NULL);
		pid_t child = fork();
		if (child == 0) {
			be_child(forks + 100, 2);
			_exit(0);
		}
		wait_for(child, "a child");
		if (forks++ % 4 == 0)
			execute(executions++ % 3);
	}
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ashmem_pressure_close(watch);
	ashmem_close(reader);
	ashmem_close(newborn);
	for (int i = 0; i < AREAS; i++)
		ashmem_close(areas[i]);
	printf("%" PRIu64 " families of %d forked, %" PRIu64 " programs executed, during %" PRIu64
	       " calls of %d threads; %" PRIu64 " answers that may be\n",
		forks, 3, executions, calls_made, THREADS, failures_allowed);
	stress_expect(forks > 0 && executions > 0);
	return 0;
}
