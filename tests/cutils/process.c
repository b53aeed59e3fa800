/* SPDX-License-Identifier: MIT */
/*
 * Several processes and threads: what is inherited, sent, passed through exec; forks while other
 * threads are at work.
 */
#define _GNU_SOURCE 1
#include "regions.h"

#include <ashmem/ashmem.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void unpin_inherited(void *argument)
{
	int fd = *(int *)argument;

	EXPECT(ashmem_unpin_region(fd, 0, 0) == 0);
	EXPECT(areas_now() == 1);
	close(fd);
	close(region_of(1));
	EXPECT(areas_now() == 1);
}

static void a_child_uses_what_it_inherits(void)
{
	int fd = region_of(4);
	unsigned char *base = map_of(fd, 4, RW);

	memset(base, 2, 4 * page_bytes());
	in_child(unpin_inherited, &fd);
	EXPECT(purge_now() == 4);
	EXPECT(base[0] == 0);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_WAS_PURGED);
}

static void receive_and_unpin(void *argument)
{
	int fd = receive_fd(*(int *)argument);

	EXPECT(ashmem_valid(fd) == 1);
	EXPECT(ashmem_get_size_region(fd) == (int)(3 * page_bytes()));
	map_of(fd, 3, RW)[0] = 4;
	EXPECT(ashmem_unpin_region(fd, page_bytes(), page_bytes()) == 0);
	EXPECT(ashmem_unpin_region(fd, page_bytes(), page_bytes()) == 0);
	EXPECT(areas_now() == 1);
}

static void a_region_can_be_sent(void)
{
	int ends[2];

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	pid_t child = fork();
	if (child == 0) {
		receive_and_unpin(&ends[1]);
		_exit(0);
	}
	int fd = region_of(3);
	unsigned char *base = map_of(fd, 3, RW);
	memset(base, 3, 3 * page_bytes());
	send_fd(ends[0], fd);
	expect_exit(child);
	EXPECT(base[0] == 4);
	EXPECT(purge_now() == 1);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_WAS_PURGED);
	EXPECT(base[2 * page_bytes()] == 3);
}

/* The peer first gets a read-only descriptor, then a writable one of the same region. */
static void receive_both(void *argument)
{
	int read_only = receive_fd(*(int *)argument), writable;

	expect_no_map(read_only, 2, RW);
	EXPECT(ashmem_pin_region(read_only, 0, 0) == ASHMEM_NOT_PURGED);
	EXPECT(ashmem_unpin_region(read_only, 0, 0) == 0);
	writable = receive_fd(*(int *)argument);
	memset(map_of(writable, 2, RW), 6, 2 * page_bytes());
	EXPECT(ashmem_unpin_region(writable, 0, 0) == 0);
	EXPECT(purge_now() == 2);
}

static void a_writable_descriptor_counts_after_a_read_only_one(void)
{
	int ends[2];

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	pid_t child = fork();
	if (child == 0) {
		receive_both(&ends[1]);
		_exit(0);
	}
	int fd = region_of(2), writable = dup(fd);
	EXPECT(ashmem_set_prot_region(fd, PROT_READ) == 0);
	send_fd(ends[0], fd);
	send_fd(ends[0], writable);
	expect_exit(child);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_WAS_PURGED);
}

static void a_region_goes_through_exec(void)
{
	int fd = region_of(3);

	memset(map_of(fd, 3, RW), 1, 3 * page_bytes());
	pid_t child = fork();
	if (child == 0) {
		if (fd != 3)
			dup2(fd, 3);
		else
			fcntl(3, F_SETFD, 0);
		execl("/proc/self/exe", "regions", "peer", (char *)NULL);
		_exit(2);
	}
	expect_exit(child);
	EXPECT(purge_now() == 1);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_WAS_PURGED);
}

/* -- threads -- */

enum { THREADS = 4, ROUNDS = 300 };

static int shared_fd;
static atomic_int is_over, wrong;

/* A thread says what is wrong by counting it. */
static void *work(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		int fd = ashmem_create_region("of a thread", 4 * page_bytes());
		wrong += fd < 0;
		wrong += ashmem_unpin_region(fd, 0, 0) != 0;
		wrong += ashmem_pin_region(fd, 0, 0) < 0;
		wrong += ashmem_get_size_region(shared_fd) != (int)(8 * page_bytes());
		wrong += ashmem_unpin_region(shared_fd, 0, page_bytes()) != 0;
		wrong += ashmem_pin_region(shared_fd, 0, page_bytes()) < 0;
		if (i % 3 == 0)
			wrong += ashmem_set_prot_region(fd, PROT_READ) != 0;
		wrong += close(fd) != 0;
	}
	return NULL;
}

static void start(pthread_t *threads, void *(*run)(void *))
{
	for (int i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&threads[i], NULL, run, NULL) == 0);
}

static void join(const pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		EXPECT(pthread_join(threads[i], NULL) == 0);
}

static void threads_do_not_disturb_each_other(void)
{
	pthread_t threads[THREADS];

	shared_fd = region_of(8);
	start(threads, work);
	join(threads);
	EXPECT(wrong == 0);
	close(region_of(1));
	EXPECT(areas_now() <= 2 + THREADS);
	EXPECT(ashmem_valid(shared_fd) == 1);
}

static void *work_until_over(void *unused)
{
	while (!is_over)
		work(unused);
	return NULL;
}

/* The library's lock is held most of the time: it looks at many regions. */
static void *sweep_until_over(void *unused)
{
	(void)unused;
	while (!is_over)
		ashmem_shrink_count();
	return NULL;
}

static void use_all(void *unused)
{
	int fd = region_of(2);

	(void)unused;
	EXPECT(ashmem_unpin_region(fd, 0, 0) == 0);
	EXPECT(ashmem_pin_region(shared_fd, 0, 0) >= 0);
	close(fd);
	close(region_of(1));
}

static void forks_while_threads_are_at_work(void)
{
	pthread_t threads[THREADS];

	shared_fd = region_of(8);
	start(threads, work_until_over);
	for (int i = 0; i < 40; i++)
		in_child(use_all, NULL);
	is_over = 1;
	join(threads);
	EXPECT(wrong == 0);
}

static void forks_while_the_table_is_locked(void)
{
	pthread_t threads[THREADS];

	shared_fd = region_of(8);
	for (int i = 0; i < 200; i++)
		region_of(1);
	start(threads, sweep_until_over);
	for (int i = 0; i < 40; i++)
		in_child(use_all, NULL);
	is_over = 1;
	join(threads);
}

const struct region_case process_cases[] = {
	{"a_child_uses_what_it_inherits", a_child_uses_what_it_inherits},
	{"a_region_can_be_sent", a_region_can_be_sent},
	{"a_writable_descriptor_counts_after_a_read_only_one",
		a_writable_descriptor_counts_after_a_read_only_one},
	{"a_region_goes_through_exec", a_region_goes_through_exec},
	{"threads_do_not_disturb_each_other", threads_do_not_disturb_each_other},
	{"forks_while_threads_are_at_work", forks_while_threads_are_at_work},
	{"forks_while_the_table_is_locked", forks_while_the_table_is_locked},
	{NULL, NULL},
};
