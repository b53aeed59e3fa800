/* SPDX-License-Identifier: MIT */
/* Second processes for tests: see children.h. */
#define _GNU_SOURCE 1
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_SECONDS = 50, GATE_SECONDS = 30 };

pid_t child_start(void (*fn)(void *argument), void *argument)
{
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		contract_in_child = 1;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(CHILD_SECONDS);
		fn(argument);
		_exit(0);
	}
	expect(child > 0);
	return child;
}

int child_wait(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0)
		expect_eq(errno, EINTR);
	return status;
}

void child_join(pid_t child)
{
	int status = child_wait(child);

	expect_msg(!WIFSIGNALED(status), "a child was killed by signal %d", WTERMSIG(status));
	expect_eq(WEXITSTATUS(status), 0);
}

void run_child(void (*fn)(void *argument), void *argument)
{
	child_join(child_start(fn, argument));
}

void gate_make(struct gate *gate)
{
	expect_eq(pipe2(gate->ends, O_CLOEXEC), 0);
}

void gate_open(const struct gate *gate)
{
	expect_eq(write(gate->ends[1], "g", 1), 1);
}

void gate_wait(const struct gate *gate)
{
	struct pollfd readable = {gate->ends[0], POLLIN, 0};
	char byte;

	expect_msg(poll(&readable, 1, GATE_SECONDS * 1000) == 1, "the other process did not come");
	expect_eq(read(gate->ends[0], &byte, 1), 1);
}

void gate_drop(const struct gate *gate)
{
	close(gate->ends[0]);
	close(gate->ends[1]);
}

void make_socket_pair(int ends[2])
{
	expect_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

void send_descriptors(int socket_fd, const int *fds, int count)
{
	char byte = 'x';
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (count > 0) {
		memset(&control, 0, sizeof control);
		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, (size_t)count * sizeof(int));
	}
	expect_eq(sendmsg(socket_fd, &message, MSG_NOSIGNAL), 1);
}

int receive_descriptor(int socket_fd)
{
	char byte;
	int fd = -1;
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	message.msg_control = control.room;
	message.msg_controllen = sizeof control.room;
	expect_eq(recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC), 1);
	expect(CMSG_FIRSTHDR(&message) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	expect(fd >= 0);
	return fd;
}

void *shared_memory(size_t length_bytes)
{
	void *memory =
		mmap(NULL, length_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	expect(memory != MAP_FAILED);
	return memory;
}
