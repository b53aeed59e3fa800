/* SPDX-License-Identifier: MIT */
/*
 * Copies that come and go, in a program that is linked with libashmem.a and exports its functions
 * to all it loads:
 *
 *     loaded LIBASHMEM.SO HIDDEN.SO      (HIDDEN.SO: see copies.h)
 *
 * - A call within libashmem.so must reach libashmem.so, not the program's function of that name:
 *   the handles differ.
 * - What a copy installed goes with it: a fork after it was unloaded must not call its handlers.
 * - libashmem.so stays when it is closed: its pressure thread runs on, and nothing is left behind
 *   by the next one that opens and closes it.
 *
 * Prints PASS or FAIL for each, and `N passed, N failed, N skipped`.
 */
#define _GNU_SOURCE 1
#include "copies.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path_of_so, *path_of_hidden;

static void fail(int line, const char *what)
{
	printf("loaded.c:%d: %s %s\n", line, what, dlerror());
	fflush(stdout);
	_exit(1);
}

#define expect(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

static void *function(void *object, const char *name)
{
	void *found = dlsym(object, name);

	if (!found)
		fail(__LINE__, name);
	return found;
}

static void calls_within_the_shared_library_stay_there(void)
{
	void *object = dlopen(path_of_so, RTLD_NOW | RTLD_LOCAL);
	struct ashmem_area *area, *received, *own;
	int ends[2];

	expect(object);
	int (*create)(const char *, uint64_t, uint32_t, struct ashmem_area **) =
		function(object, "ashmem_create");
	int (*send)(int, struct ashmem_area *) = function(object, "ashmem_send");
	int (*recv)(int, struct ashmem_area **) = function(object, "ashmem_recv");
	void (*close)(struct ashmem_area *) = function(object, "ashmem_close");

	expect(create != ashmem_create);
	expect(ashmem_create("own", 4096, 0, &own) == 0);
	expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	expect(create("loaded", 4096, 0, &area) == 0);
	expect(send(ends[0], area) == 0);
	expect(recv(ends[1], &received) == 0);
	/* A copy that has an area answers with the handle that it has. */
	expect(received == area);
	close(received);
	close(area);
	ashmem_close(own);
}

static void use(const struct copy *copy)
{
	struct ashmem_area *area;
	void *addr;

	expect(copy->create("short", 4096, 0, &area) == 0);
	expect(copy->map(area, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, &addr) == 0);
	expect(copy->unpin(area, 0, 0) == 0);
	expect(copy->hold(area, 0, 0) >= 0);
	expect(copy->shrink(1) == 0);
	expect(copy->unmap(addr, 4096) == 0);
	copy->close(area);
}

static void fork_after_unloading_works(void)
{
	const struct copy *(*hidden)(void);

	for (int round = 0; round < 20; round++) {
		void *object = dlopen(path_of_hidden, RTLD_NOW | RTLD_LOCAL);
		int status;
		pid_t child;

		expect(object);
		hidden = function(object, "hidden_copy");
		use(hidden());
		expect(dlclose(object) == 0);
		child = fork();
		if (child == 0)
			_exit(0);
		expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	}
}

static int mappings_now(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	int lines = 0;

	expect(maps);
	for (int c; (c = getc(maps)) != EOF;)
		lines += c == '\n';
	fclose(maps);
	return lines;
}

static void shared_library_stays_when_closed(void)
{
	int mappings = 0;

	for (int round = 0; round < 20; round++) {
		void *object = dlopen(path_of_so, RTLD_NOW | RTLD_LOCAL);
		struct ashmem_area *area;

		expect(object);
		int (*create)(const char *, uint64_t, uint32_t, struct ashmem_area **) =
			function(object, "ashmem_create");
		int (*fd)(struct ashmem_area *) = function(object, "ashmem_fd");
		void (*close)(struct ashmem_area *) = function(object, "ashmem_close");
		int (*open)(void *, struct ashmem_pressure **) =
			function(object, "ashmem_pressure_open");
		int (*run)(struct ashmem_pressure *) = function(object, "ashmem_pressure_run");
		struct ashmem_pressure *watch;

		expect(create("again", 4096, 0, &area) == 0 && fd(area) >= 0);
		close(area);
		/* Left to run, once: it must not lose the code that it runs in. */
		if (round == 0 && open(NULL, &watch) == 0)
			expect(run(watch) == 0);
		expect(dlclose(object) == 0);
		usleep(2000);
		if (round == 1)
			mappings = mappings_now();
	}
	expect(mappings_now() == mappings);
}

static void hidden_copy_shows_nothing(void)
{
	void *object = dlopen(path_of_hidden, RTLD_NOW | RTLD_GLOBAL);

	expect(object);
	expect(!dlsym(object, "ashmem_create") ||
		dlsym(object, "ashmem_create") == (void *)ashmem_create);
}

static const struct {
	const char *name;
	void (*run)(void);
} TESTS[] = {
#define TEST(name)          \
	{                   \
#name, name \
	}
	TEST(calls_within_the_shared_library_stay_there),
	TEST(fork_after_unloading_works),
	TEST(shared_library_stays_when_closed),
	TEST(hidden_copy_shows_nothing),
};

int main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0;

	if (argc != 3)
		return 2;
	path_of_so = argv[1];
	path_of_hidden = argv[2];
	setenv("ASHMEM_BACKEND", "memfd", 1);
	for (unsigned i = 0; i < sizeof(TESTS) / sizeof(*TESTS); i++) {
		int status = -1;
		pid_t child;

		fflush(NULL);
		child = fork();
		if (child == 0) {
			alarm(60);
			TESTS[i].run();
			_exit(0);
		}
		waitpid(child, &status, 0);
		printf("%s %s\n", status == 0 ? "PASS" : "FAIL", TESTS[i].name);
		passed += status == 0;
		failed += status != 0;
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
