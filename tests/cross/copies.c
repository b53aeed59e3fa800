/* SPDX-License-Identifier: MIT */
/*
 * Two copies of the library in one process that share areas: one is libashmem.so, the other one the
 * static archive, hidden in a shared object. Nobody arranges for this; a program and one of its
 * plugins come to it.
 *
 * To each other they are like two processes, with three things in common: thread ids, which are in
 * the locks; the threads' robust list; and open file descriptions, to which locks on ranges belong.
 * The tests are about these.
 *
 * Each test runs in a child of its own. Prints PASS or FAIL for each, and `N passed, N failed, N
 * skipped`.
 */
#define _GNU_SOURCE 1
#include "copies.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 16u
#define SECONDS 60u

static const struct copy *copies[2];
static uint64_t page;

static void fail(int line, const char *what, long long got)
{
	printf("copies.c:%d: %s (%lld)\n", line, what, got);
	fflush(stdout);
	_exit(1);
}

#define expect(condition) ((condition) ? (void)0 : fail(__LINE__, #condition, 0))
#define expect_eq(got, want)                                       \
	do {                                                       \
		long long value_ = (long long)(got);               \
		if (value_ != (long long)(want))                   \
			fail(__LINE__, #got " == " #want, value_); \
	} while (0)

/* An area made by one copy and imported by the other. */
struct pair {
	const struct copy *a, *b;
	struct ashmem_area *in_a, *in_b;
	char *bytes;
};

static struct pair pair_of(int first)
{
	struct pair pair = {.a = copies[first], .b = copies[!first]};
	void *addr;

	expect_eq(pair.a->create("shared", PAGES * page, 0, &pair.in_a), 0);
	expect_eq(pair.a->map(pair.in_a, 0, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED,
			  &addr),
		0);
	expect_eq(pair.b->import(pair.a->fd(pair.in_a), &pair.in_b), 0);
	pair.bytes = addr;
	memset(pair.bytes, 'x', PAGES * page);
	return pair;
}

/* -- what each test does, once with either copy as the first -- */

static void each_copy_has_its_own_areas(int first)
{
	struct pair pair = pair_of(first);
	struct ashmem_area *again;

	expect(pair.a->create != pair.b->create);
	expect_eq(pair.b->import(pair.b->fd(pair.in_b), &again), 0);
	expect(again == pair.in_b);
	pair.b->close(again);
	expect(pair.in_a != pair.in_b);
	expect_eq(pair.a->unpin(pair.in_a, 0, 0), 0);
	expect_eq(pair.a->shrink_count(), PAGES);
	expect_eq(pair.b->shrink_count(), PAGES);
	pair.a->close(pair.in_a);
	expect_eq(pair.a->shrink_count(), 0);
	expect_eq(pair.b->shrink_count(), PAGES);
	expect_eq(pair.b->shrink(1), PAGES);
	expect_eq(pair.b->pin(pair.in_b, 0, 0), ASHMEM_WAS_PURGED);
	expect_eq(pair.bytes[0], 0);
}

static void pins_and_purges_are_seen_by_both(int first)
{
	struct pair pair = pair_of(first);

	expect_eq(pair.a->unpin(pair.in_a, 0, 4 * page), 0);
	expect_eq(pair.b->get_pin_status(pair.in_b, 0, page), ASHMEM_IS_UNPINNED);
	expect_eq(pair.b->pin(pair.in_b, page, page), ASHMEM_NOT_PURGED);
	expect_eq(pair.b->purge_all(), 3);
	expect_eq(pair.a->purge_all(), 0);
	expect_eq(pair.a->pin(pair.in_a, 0, page), ASHMEM_WAS_PURGED);
	expect_eq(pair.b->pin(pair.in_b, 0, 0), ASHMEM_WAS_PURGED);
	expect_eq(pair.bytes[0] | pair.bytes[2 * page] | pair.bytes[3 * page], 0);
	expect_eq(pair.bytes[page], 'x');
}

/*
 * The locks of one copy keep out the other, which has the same process and a duplicate of the same
 * descriptor.
 */
static void holds_keep_out_the_other_copy(int first)
{
	struct pair pair = pair_of(first);

	expect_eq(pair.a->hold(pair.in_a, 0, 4 * page), ASHMEM_NOT_PURGED);
	expect_eq(pair.b->hold(pair.in_b, 2 * page, 4 * page), ASHMEM_NOT_PURGED);
	expect_eq(pair.b->unpin(pair.in_b, 0, 4 * page), 0);
	expect_eq(pair.a->unpin(pair.in_a, 4 * page, 4 * page), 0);
	expect_eq(pair.a->shrink(100), 0);
	expect_eq(pair.b->shrink(100), 0);
	expect_eq(pair.a->release(pair.in_a, 0, 4 * page, 0), 0);
	/* the other's hold of two pages of it */
	expect_eq(pair.a->shrink(100) + pair.b->shrink(100), 0);
	expect_eq(pair.b->release(pair.in_b, 2 * page, 4 * page, 0), 0);
	expect_eq(pair.a->shrink(100), 8);
}

/*
 * A copy that has the area writable already answers with that handle; so this one has it read-only
 * alone.
 */
static void read_only_pins_keep_out_the_other_copy(int first)
{
	struct pair pair = pair_of(first);
	struct ashmem_area *reader;
	int fd = pair.a->export_read_only(pair.in_a);

	expect(fd >= 0);
	pair.b->close(pair.in_b);
	expect_eq(pair.b->import(fd, &reader), 0);
	expect_eq(pair.b->pin(reader, 0, page), ASHMEM_NOT_PURGED);
	expect_eq(pair.a->unpin(pair.in_a, 0, page), 0);
	expect_eq(pair.a->shrink(100), 0);
	expect_eq(pair.b->unpin(reader, 0, page), 0);
	expect_eq(pair.a->shrink(100), 1);
	expect_eq(pair.b->pin(reader, 0, page), ASHMEM_WAS_PURGED);
	close(fd);
}

/*
 * Closing a file in a process ends its record locks, and close() in one copy must not end what the
 * other holds.
 */
static void closing_in_one_copy_leaves_the_others_holds(int first)
{
	struct pair pair = pair_of(first);

	expect_eq(pair.a->hold(pair.in_a, 0, 0), ASHMEM_NOT_PURGED);
	expect_eq(pair.a->unpin(pair.in_a, 0, 0), 0);
	pair.b->close(pair.in_b);
	expect_eq(pair.b->import(pair.a->fd(pair.in_a), &pair.in_b), 0);
	expect_eq(pair.b->shrink(100), 0);
	expect_eq(pair.a->release(pair.in_a, 0, 0, 0), 0);
	expect_eq(pair.b->shrink(100), PAGES);
}

static void areas_go_through_sockets_between_copies(int first)
{
	struct pair pair = pair_of(first);
	struct ashmem_area *received;
	char name[ASHMEM_NAME_LEN];
	int ends[2];

	expect_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	expect_eq(pair.a->send(ends[0], pair.in_a), 0);
	expect_eq(pair.b->recv(ends[1], &received), 0);
	expect(received == pair.in_b);
	expect(pair.b->get_name(received, name, sizeof name) >= 0);
	expect_eq(strcmp(name, "shared"), 0);
	pair.b->close(received);
	expect_eq(pair.b->unpin(pair.in_b, 0, 0), 0);
}

/* -- at the same time -- */

struct worker {
	pthread_t thread;
	const struct copy *copy;
	struct ashmem_area *area;
	char *bytes;
	unsigned from, rounds;
	int stop;
};

/* Has pages of its own: what it did not lose must be what it wrote. */
static void *work(void *argument)
{
	struct worker *worker = argument;
	uint64_t offset = worker->from * page, length = 2 * page;
	char *bytes = worker->bytes + offset;

	for (unsigned round = 0; round < worker->rounds; round++) {
		int r = worker->copy->pin(worker->area, offset, length);
		expect(r >= 0);
		if (round > 0 && r == ASHMEM_NOT_PURGED)
			expect(bytes[0] == (char)round && bytes[length - 1] == (char)round);
		memset(bytes, (int)(round + 1), length);
		expect_eq(worker->copy->unpin(worker->area, offset, length), 0);
	}
	return NULL;
}

static void *purge(void *argument)
{
	struct worker *worker = argument;

	while (!__atomic_load_n(&worker->stop, __ATOMIC_RELAXED))
		expect(worker->copy->shrink(1) >= 0);
	return NULL;
}

static void threads_of_both_copies_lose_nothing(int first)
{
	struct pair pair = pair_of(first);
	struct worker workers[6];

	for (unsigned i = 0; i < 6; i++) {
		struct worker *worker = &workers[i];
		int of_b = i % 2;
		*worker = (struct worker){
			.copy = of_b ? pair.b : pair.a,
			.area = of_b ? pair.in_b : pair.in_a,
			.bytes = pair.bytes,
			.from = 2 * i,
			.rounds = 20000,
		};
		expect_eq(pthread_create(&worker->thread, NULL, i < 4 ? work : purge, worker), 0);
	}
	for (unsigned i = 0; i < 6; i++) {
		if (i == 4) {
			__atomic_store_n(&workers[4].stop, 1, __ATOMIC_RELAXED);
			__atomic_store_n(&workers[5].stop, 1, __ATOMIC_RELAXED);
		}
		expect_eq(pthread_join(workers[i].thread, NULL), 0);
	}
}

/* -- fork: both copies have handlers, and areas that are not there yet -- */

static void expect_child(pid_t child)
{
	int status;

	expect(child > 0);
	expect_eq(waitpid(child, &status, 0), child);
	expect_eq(status, 0);
}

static void children_share_what_both_copies_have(int first)
{
	struct pair pair = pair_of(first);
	struct ashmem_area *young_a, *young_b;
	char name[ASHMEM_NAME_LEN];
	pid_t child;

	expect_eq(pair.a->create("", page, 0, &young_a), 0);
	expect_eq(pair.b->create("", page, 0, &young_b), 0);
	child = fork();
	if (child == 0) {
		expect_eq(pair.a->set_name(young_a, "a"), 0);
		expect_eq(pair.b->set_name(young_b, "b"), 0);
		expect(pair.a->fd(young_a) >= 0 && pair.b->fd(young_b) >= 0);
		expect_eq(pair.a->unpin(pair.in_a, 0, page), 0);
		expect_eq(pair.b->unpin(young_b, 0, page), 0);
		expect_eq(pair.b->purge_all(), 2);
		_exit(0);
	}
	expect_child(child);
	expect(pair.a->get_name(young_a, name, sizeof name) >= 0);
	expect_eq(strcmp(name, "a"), 0);
	expect(pair.b->get_name(young_b, name, sizeof name) >= 0);
	expect_eq(strcmp(name, "b"), 0);
	expect_eq(pair.b->pin(young_b, 0, 0), ASHMEM_WAS_PURGED);
	expect_eq(pair.b->pin(pair.in_b, 0, 0), ASHMEM_WAS_PURGED);
}

static void forks_under_load_end(int first)
{
	struct pair pair = pair_of(first);
	struct worker workers[2];

	for (unsigned i = 0; i < 2; i++) {
		workers[i] = (struct worker){
			.copy = i ? pair.b : pair.a, .area = i ? pair.in_b : pair.in_a};
		expect_eq(pthread_create(&workers[i].thread, NULL, purge, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 50; i++) {
		pid_t child = fork();
		if (child == 0) {
			expect(pair.a->pin(pair.in_a, 0, page) >= 0);
			expect_eq(pair.b->unpin(pair.in_b, 0, page), 0);
			expect(pair.b->shrink(1) >= 0);
			_exit(0);
		}
		expect_child(child);
	}
	for (unsigned i = 0; i < 2; i++) {
		__atomic_store_n(&workers[i].stop, 1, __ATOMIC_RELAXED);
		expect_eq(pthread_join(workers[i].thread, NULL), 0);
	}
}

static void turn_for_ever(struct pair *pair)
{
	for (;;) {
		pair->a->pin(pair->in_a, 0, 3 * page);
		pair->b->unpin(pair->in_b, 0, 3 * page);
		pair->b->pin(pair->in_b, page, page);
		pair->a->unpin(pair->in_a, page, page);
		pair->a->shrink(1);
		pair->b->shrink(1);
	}
}

/*
 * One robust list serves both copies' locks: wherever a process is killed, the next one finds the
 * lock.
 */
static void the_killed_leave_the_locks_of_both_copies(int first)
{
	struct pair pair = pair_of(first);

	for (unsigned i = 0; i < 60; i++) {
		int status;
		pid_t child = fork();
		if (child == 0)
			turn_for_ever(&pair);
		expect(child > 0);
		usleep(1000 + 137 * i);
		kill(child, SIGKILL);
		expect_eq(waitpid(child, &status, 0), child);
		expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		expect(pair.b->pin(pair.in_b, 0, 0) >= 0);
		expect_eq(pair.a->get_pin_status(pair.in_a, 0, 0), ASHMEM_IS_PINNED);
		expect_eq(pair.a->unpin(pair.in_a, 0, 0), 0);
		expect_eq(pair.b->purge_all(), PAGES);
		expect_eq(pair.a->pin(pair.in_a, 0, 0), ASHMEM_WAS_PURGED);
	}
}

static const struct {
	const char *name;
	void (*run)(int first);
} TESTS[] = {
#define TEST(name)          \
	{                   \
#name, name \
	}
	TEST(each_copy_has_its_own_areas),
	TEST(pins_and_purges_are_seen_by_both),
	TEST(holds_keep_out_the_other_copy),
	TEST(read_only_pins_keep_out_the_other_copy),
	TEST(closing_in_one_copy_leaves_the_others_holds),
	TEST(areas_go_through_sockets_between_copies),
	TEST(threads_of_both_copies_lose_nothing),
	TEST(children_share_what_both_copies_have),
	TEST(forks_under_load_end),
	TEST(the_killed_leave_the_locks_of_both_copies),
};

int main(void)
{
	unsigned passed = 0, failed = 0;

	copies[0] = shared_copy();
	copies[1] = hidden_copy();
	page = (uint64_t)sysconf(_SC_PAGESIZE);
	for (unsigned i = 0; i < 2 * sizeof(TESTS) / sizeof(*TESTS); i++) {
		int first = (int)(i % 2), status = -1;
		pid_t child;

		fflush(NULL);
		child = fork();
		if (child == 0) {
			alarm(SECONDS);
			expect_eq(copies[0]->backend_select("memfd"), 0);
			expect_eq(copies[1]->backend_select("memfd"), 0);
			TESTS[i / 2].run(first);
			_exit(0);
		}
		waitpid(child, &status, 0);
		printf("%s %s, first %s\n", status == 0 ? "PASS" : "FAIL", TESTS[i / 2].name,
			copies[first]->name);
		passed += status == 0;
		failed += status != 0;
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
