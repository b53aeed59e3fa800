/* SPDX-License-Identifier: MIT */
/*
 * Second processes for tests. A child only ever ends by _exit(): a forked child that returned into
 * Criterion would hang its runner. Children die with their parent and after 50 seconds in any case.
 */
#ifndef TESTS_SUPPORT_CHILDREN_H
#define TESTS_SUPPORT_CHILDREN_H

#include <sys/types.h>

/*
 * Run fn(argument) in a new process; it exits 0 when fn returns, 1 when an expectation in it
 * fails.
 */
pid_t child_start(void (*fn)(void *argument), void *argument);

/* Wait for a child and expect that it exited with 0. */
void child_join(pid_t child);

/* Wait for a child; its wait status. */
int child_wait(pid_t child);

/* child_start() and child_join(). */
void run_child(void (*fn)(void *argument), void *argument);

/*
 * A test (contract.h) whose whole body runs in a child, for what a process cannot take back, such
 * as registering a backend.
 */
#define CHILD_TEST(suite, name)                    \
	static void name##_in_child(void *unused); \
	CONTRACT_TEST(suite, name)                 \
	{                                          \
		run_child(name##_in_child, NULL);  \
	}                                          \
	static void name##_in_child(__attribute__((unused)) void *unused)

/*
 * A one-way signal between two processes: made before the fork, opened once or more, waited for
 * as often.
 */
struct gate {
	int ends[2];
};

void gate_make(struct gate *gate);
void gate_open(const struct gate *gate);
void gate_wait(const struct gate *gate);
void gate_drop(const struct gate *gate);

/* A connected pair of AF_UNIX stream sockets, close-on-exec. */
void make_socket_pair(int ends[2]);

/* Plain SCM_RIGHTS with one byte, without the library's help. */
void send_descriptors(int socket_fd, const int *fds, int count);
int receive_descriptor(int socket_fd);

/* Memory that parent and children share, zeroed, outside of any area; ended by munmap(). */
void *shared_memory(size_t length_bytes);

#endif
