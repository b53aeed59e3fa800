/* SPDX-License-Identifier: MIT */
/*
 * The errors of ashmem_send() and ashmem_recv() that area.h names, each with the socket that
 * provokes it, and that nothing is left open or consumed by a call that fails.
 */
#define _GNU_SOURCE 1
#include "support/abilities.h"
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void close_both(const int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static void expect_send(int socket_fd, int want)
{
	struct ashmem_area *area = area_of_pages(1);
	struct holdings before;

	expect(ashmem_fd(area) >= 0);
	before = holdings_now();
	expect_eq(ashmem_send(socket_fd, area), want);
	expect_holdings(&before);
	ashmem_close(area);
}

static void expect_recv(int socket_fd, int want)
{
	struct holdings before = holdings_now();
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_recv(socket_fd, &area), want);
	expect(area == NULL);
	expect_holdings(&before);
}

/* What is no connected AF_UNIX socket */

CONTRACT_TEST(sockets, null_is_refused_and_takes_no_message)
{
	struct ashmem_area *area = area_of_pages(1);
	struct ashmem_area *received = NULL;
	int ends[2];

	make_socket_pair(ends);
	expect_eq(ashmem_send(ends[0], NULL), -EINVAL);
	expect_eq(ashmem_send(ends[0], area), 0);
	expect_eq(ashmem_recv(ends[1], NULL), -EINVAL);
	expect_eq(ashmem_recv(ends[1], &received), 0);
	expect(received == area);
	ashmem_close(received);
	ashmem_close(area);
	close_both(ends);
}

CONTRACT_TEST(sockets, closed_descriptor_is_a_bad_one)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int closed = fcntl(null, F_DUPFD_CLOEXEC, 200); /* a number that nobody takes soon */

	close(closed);
	close(null);
	expect_send(closed, -EBADF);
	expect_recv(closed, -EBADF);
	expect_send(-1, -EBADF);
	expect_recv(-1, -EBADF);
}

CONTRACT_TEST(sockets, what_is_no_socket_is_refused)
{
	int ends[2];
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	expect_eq(pipe2(ends, O_CLOEXEC), 0);
	expect_send(fd, -ENOTSOCK);
	expect_recv(fd, -ENOTSOCK);
	expect_send(ends[1], -ENOTSOCK);
	expect_recv(ends[0], -ENOTSOCK);
	close(fd);
	close_both(ends);
}

CONTRACT_TEST(sockets, unconnected_socket_is_refused)
{
	int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	expect(stream >= 0 && datagram >= 0);
	expect_send(stream, -ENOTCONN);
	expect_recv(stream, -ENOTCONN);
	expect_send(datagram, -ENOTCONN);
	close(stream);
	close(datagram);
}

CONTRACT_TEST(sockets, other_families_are_refused)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		contract_skip("no AF_INET sockets here");
	expect_send(fd, -EINVAL);
	close(fd);
}

/* Peers that are gone or slow */

CONTRACT_TEST(sockets, sending_to_a_closed_peer_raises_no_signal)
{
	int ends[2];

	make_socket_pair(ends);
	close(ends[1]);
	expect_send(ends[0], -EPIPE);
	close(ends[0]);
}

CONTRACT_TEST(sockets, receiving_from_a_closed_peer_is_a_reset)
{
	int ends[2];

	make_socket_pair(ends);
	close(ends[1]);
	expect_recv(ends[0], -ECONNRESET);
	close(ends[0]);
}

static void make_nonblocking(int fd)
{
	expect_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void fill_socket(int fd)
{
	static const char block[4096];

	make_nonblocking(fd);
	while (send(fd, block, sizeof block, MSG_NOSIGNAL) > 0)
		;
	while (send(fd, block, 1, MSG_NOSIGNAL) > 0)
		;
	expect(errno == EAGAIN);
}

CONTRACT_TEST(sockets, nonblocking_socket_without_a_message_says_so)
{
	int ends[2];

	make_socket_pair(ends);
	make_nonblocking(ends[0]);
	expect_recv(ends[0], -EAGAIN);
	close_both(ends);
}

CONTRACT_TEST(sockets, nonblocking_full_socket_says_so)
{
	int ends[2];

	make_socket_pair(ends);
	fill_socket(ends[0]);
	expect_send(ends[0], -EAGAIN);
	close_both(ends);
}

static void ignore_tick(int signal_number)
{
	(void)signal_number;
}

/* A signal every 20 ms, so that none can come too early for good. */
static void start_ticking(void)
{
	struct itimerval often = {{0, 20000}, {0, 20000}};
	struct sigaction action;

	memset(&action, 0, sizeof action);
	action.sa_handler = ignore_tick;
	expect_eq(sigaction(SIGALRM, &action, NULL), 0);
	expect_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void receive_while_ticking(void *argument)
{
	int *ends = argument;

	start_ticking();
	expect_recv(ends[0], -EINTR);
}

static void send_while_ticking(void *argument)
{
	int *ends = argument;
	struct ashmem_area *area = area_of_pages(1);

	fill_socket(ends[0]);
	expect_eq(fcntl(ends[0], F_SETFL, 0), 0);
	expect(ashmem_fd(area) >= 0);
	start_ticking();
	expect_eq(ashmem_send(ends[0], area), -EINTR);
}

CONTRACT_TEST(sockets, signals_interrupt_waiting)
{
	int ends[2];

	make_socket_pair(ends);
	run_child(receive_while_ticking, ends);
	run_child(send_while_ticking, ends);
	close_both(ends);
}

/* Messages that bring more along */

static void expect_received_with(int option, const char *reason)
{
	struct ashmem_area *area = area_of_pages(1);
	struct ashmem_area *received = NULL;
	int ends[2], on = 1;

	make_socket_pair(ends);
	if (setsockopt(ends[1], SOL_SOCKET, option, &on, sizeof on) < 0)
		contract_skip(reason);
	expect_eq(ashmem_send(ends[0], area), 0);
	struct holdings before = holdings_now();
	expect_eq(ashmem_recv(ends[1], &received), 0);
	expect_holdings(&before);
	expect(received == area);
	ashmem_close(received);
	ashmem_close(area);
	close_both(ends);
}

CONTRACT_TEST(sockets, area_is_received_where_credentials_come_along)
{
	expect_received_with(SO_PASSCRED, "no SO_PASSCRED");
}

CONTRACT_TEST(sockets, area_is_received_where_a_pidfd_comes_along_which_is_closed)
{
	expect_received_with(76 /* SO_PASSPIDFD, on most architectures */,
		"no SO_PASSPIDFD: Linux 6.5");
}

/* A TCP socket with data that nobody takes, whose last close waits. -1: no such sockets here. */
static int lingering_socket(int *listener, int *other)
{
	static const char block[65536];
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct linger linger = {1, 60};
	socklen_t length = sizeof place;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || *listener < 0 || bind(*listener, (struct sockaddr *)&place, length) < 0 ||
		listen(*listener, 1) < 0 ||
		getsockname(*listener, (struct sockaddr *)&place, &length) < 0 ||
		connect(fd, (struct sockaddr *)&place, length) < 0)
		return -1;
	*other = accept(*listener, NULL, NULL);
	expect(*other >= 0);
	expect_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
	make_nonblocking(fd);
	while (send(fd, block, sizeof block, MSG_NOSIGNAL) > 0)
		;
	return fd;
}

CONTRACT_TEST(sockets, closing_what_a_peer_sent_does_not_wait)
{
	int ends[2], listener, other;
	int fd = lingering_socket(&listener, &other);

	if (fd < 0)
		contract_skip("no AF_INET sockets here");
	make_socket_pair(ends);
	send_descriptors(ends[0], &fd, 1);
	close(fd);
	time_t begun = time(NULL);
	expect_recv(ends[1], -EINVAL);
	expect(time(NULL) - begun < 40);
	close(listener);
	close(other);
	close_both(ends);
}

/* Messages that are none */

CONTRACT_TEST(sockets, message_without_descriptor_is_bad)
{
	int ends[2];

	make_socket_pair(ends);
	send_descriptors(ends[0], NULL, 0);
	expect_recv(ends[1], -EBADMSG);
	close_both(ends);
}

CONTRACT_TEST(sockets, message_with_two_descriptors_is_bad_and_all_are_closed)
{
	struct ashmem_area *area = area_of_pages(1);
	int fds[200], ends[2];

	skip_without_closing_of_surplus_descriptors();
	for (int i = 0; i < 200; i++)
		fds[i] = i < 2 ? ashmem_fd(area) : i % 3;
	make_socket_pair(ends);
	send_descriptors(ends[0], fds, 2);
	expect_recv(ends[1], -EBADMSG);
	send_descriptors(ends[0], fds, 5);
	expect_recv(ends[1], -EBADMSG);
	send_descriptors(ends[0], fds, 200);
	expect_recv(ends[1], -EBADMSG);
	close_both(ends);
	ashmem_close(area);
}

CONTRACT_TEST(sockets, descriptor_that_is_no_area_is_refused_and_closed)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2];

	make_socket_pair(ends);
	send_descriptors(ends[0], &fd, 1);
	expect_recv(ends[1], -EINVAL);
	send_descriptors(ends[0], &ends[0], 1);
	expect_recv(ends[1], -EINVAL);
	close(fd);
	close_both(ends);
}

CONTRACT_TEST(sockets, good_message_after_a_bad_one_is_received)
{
	struct ashmem_area *area = area_of_pages(1);
	struct ashmem_area *received = NULL;
	int ends[2];

	make_socket_pair(ends);
	send_descriptors(ends[0], NULL, 0);
	expect_eq(ashmem_send(ends[0], area), 0);
	expect_recv(ends[1], -EBADMSG);
	expect_eq(ashmem_recv(ends[1], &received), 0);
	expect(received == area);
	ashmem_close(received);
	ashmem_close(area);
	close_both(ends);
}

/* Exhaustion */

static void receive_without_descriptors(void *argument)
{
	int *ends = argument;
	struct ashmem_area *area = NULL;

	limit_descriptors_to_those_open();
	expect_eq(ashmem_recv(ends[1], &area), -EMFILE);
	expect(area == NULL);
}

CONTRACT_TEST(sockets, no_descriptor_left_to_receive_is_reported)
{
	struct ashmem_area *area = area_of_pages(1);
	int ends[2];

	make_socket_pair(ends);
	expect_eq(ashmem_send(ends[0], area), 0);
	run_child(receive_without_descriptors, ends);
	ashmem_close(area);
	close_both(ends);
}

enum { DESCRIPTOR_LIMIT = 24 };

/* An unprivileged user may have as many descriptors under way as it may have open. */
static void send_too_many(void *argument)
{
	int *ends = argument;
	struct ashmem_area *area = area_of_pages(1);
	struct rlimit limit = {DESCRIPTOR_LIMIT, DESCRIPTOR_LIMIT};
	int sent, result = 0;

	expect(ashmem_fd(area) >= 0);
	if (geteuid() == 0)
		expect_eq(setresuid(64123, 64123, 64123), 0);
	expect_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (sent = 0; sent < 4 * DESCRIPTOR_LIMIT && result == 0; sent++)
		result = ashmem_send(ends[0], area);
	expect_eq(result, -ETOOMANYREFS);
}

CONTRACT_TEST(sockets, too_many_descriptors_under_way_are_reported)
{
	int ends[2];

	contract_skip_under_valgrind("valgrind keeps limits of its own");
	make_socket_pair(ends);
	run_child(send_too_many, ends);
	close_both(ends);
}
