/* SPDX-License-Identifier: MIT */
/*
 * What a peer can send over a socket: descriptors of every kind, none, and too many. Nothing of it
 * may stay open, or wait.
 */
#include "hostile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kinds.h"

enum { SURPLUS_MAX = 253 };

static int open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	must(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void connect_to_self(int ends[2])
{
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
}

/* Receive what was sent: the answer is this one, and nothing stays. */
static void receive(int socket_fd, const char *what, int answer, int open_before)
{
	struct ashmem_area *area = NULL;
	uint64_t begun = sys_now_ns();
	int r = ashmem_recv(socket_fd, &area);

	if (r != answer)
		fail("%s: recv answers %d, not %d", what, r, answer);
	must(sys_now_ns() - begun < WAIT_TIMEOUT_NS + SLACK_NS);
	must((area != NULL) == (r == 0));
	ashmem_close(area);
	if (open_descriptors() != open_before)
		fail("%s: %d descriptors stay open", what, open_descriptors() - open_before);
}

void descriptors_of_every_kind(uint64_t seed)
{
	int ends[2], warm_up, had = 0;

	(void)seed;
	guards_begin();
	bystanders_make();
	connect_to_self(ends);
	warm_up = kinds[0].open(); /* what the library opens once and keeps */
	for (unsigned i = 0; i < kind_count; i++) {
		int fd = kinds[i].open(), before;
		if (fd < 0)
			continue;
		had++;
		must(send_kinds(ends[0], &fd, 1, 1) == 0);
		close(fd);
		before = open_descriptors();
		receive(ends[1], kinds[i].name, kinds[i].answer, before);
	}
	must(had > 20);
	close(warm_up);
	bystanders_check();
	guards_check();
}

void more_descriptors_than_one(uint64_t seed)
{
	static const unsigned counts[] = {0, 2, 3, 4, 5, 6, 100, SURPLUS_MAX};
	int ends[2], fds[SURPLUS_MAX], before;
	struct dice dice = {seed * 2 + 1};

	guards_begin();
	connect_to_self(ends);
	for (unsigned i = 0; i < SURPLUS_MAX; i++)
		do
			fds[i] = kinds[roll(&dice, kind_count)].open();
		while (fds[i] < 0);
	before = open_descriptors();
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		must(send_kinds(ends[0], fds, counts[i], 1) == 0);
		receive(ends[1], "many descriptors", -EBADMSG, before);
	}
	/* Longer than it should be, or with no byte at all: the area counts. */
	int area = kinds[0].open();
	before = open_descriptors();
	for (unsigned bytes = 0; bytes < 3; bytes++) {
		must(send_kinds(ends[0], &area, 1, bytes) == 0);
		receive(ends[1], "a message of another length", 0, before);
	}
	guards_check();
}

/* The kernel cuts off what finds no number. */
void no_room_for_descriptors(uint64_t seed)
{
	struct rlimit limit;
	int ends[2], fds[3], before;

	(void)seed;
	connect_to_self(ends);
	for (unsigned i = 0; i < 3; i++)
		fds[i] = kinds[0].open();
	int next = 0;
	for (int i = 0; i < 100 || next < 300; i++) /* so that no numbers below are free */
		next = dup(0);
	must(next >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
	close(next);
	before = open_descriptors();
	for (unsigned room = 0; room < 3; room++)
		for (unsigned count = 1; count <= 3; count++) {
			must(send_kinds(ends[0], fds, count, 1) == 0);
			limit.rlim_cur = (rlim_t)next + room;
			must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
			struct ashmem_area *area = NULL;
			int r = ashmem_recv(ends[1], &area);
			limit.rlim_cur = limit.rlim_max;
			must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
			int want = room == 0 ? -EMFILE
				: count > 1  ? -EBADMSG
				: room == 1  ? -EMFILE
					     : 0;
			if (r != want)
				fail("%u descriptors with room for %u: %d, not %d", count, room, r,
					want);
			ashmem_close(area);
			must(open_descriptors() == before);
		}
}

/*
 * The last close of a TCP socket waits, if it has data that nobody takes and its maker wants that.
 */
void a_socket_that_lingers(uint64_t seed)
{
	static const char block[65536];
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct linger linger = {1, 3600};
	socklen_t length = sizeof(place);
	int ends[2], listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)seed;
	if (listener < 0 || bind(listener, (struct sockaddr *)&place, length) < 0 ||
		listen(listener, 1) < 0 ||
		getsockname(listener, (struct sockaddr *)&place, &length) < 0 ||
		connect(fd, (struct sockaddr *)&place, length) < 0)
		return; /* nothing is tested where there is no network */
	connect_to_self(ends);
	must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
	must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
		;
	const int twice[2] = {fd, fd};
	must(send_kinds(ends[0], twice, 1, 1) == 0 && send_kinds(ends[0], twice, 2, 1) == 0);
	close(fd);
	int before = open_descriptors();
	receive(ends[1], "a socket that lingers", -EINVAL, before);
	receive(ends[1], "a socket that lingers, twice", -EBADMSG, before);
}
