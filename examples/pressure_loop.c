/* SPDX-License-Identifier: MIT */
/*
 * A program with an epoll loop gives memory back when memory is short: the descriptor of a pressure
 * handle is one more in its loop. Here the other is a timer, at which a cache gets new entries; a
 * real program has sockets.
 *
 *   pressure_loop [ENTRIES]    makes so many entries of 1 MiB (100), then ends
 *
 * Try it where memory is short, for instance: systemd-run --user --scope -p MemoryMax=64M
 * pressure_loop 1000
 */
#include <ashmem/ashmem.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ENTRY_BYTES ((size_t)1 << 20)

static const char *const levels[] = {"none", "some", "high", "critical"};

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-result));
	exit(1);
}

static void on_level(void *userdata, uint32_t level, uint32_t before, uint64_t purged_pages)
{
	(void)userdata;
	printf("pressure: %s (was %s), %" PRIu64 " pages purged\n", levels[level], levels[before],
		purged_pages);
}

/* An entry of the cache: made, and unpinned until somebody needs it. Its area is held for good. */
static void make_entry(int number)
{
	struct ashmem_area *area;
	void *entry;

	check(ashmem_create("entry", ENTRY_BYTES, 0, &area), "ashmem_create");
	check(ashmem_map(area, 0, ENTRY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &entry),
		"ashmem_map");
	memset(entry, number, ENTRY_BYTES);
	check(ashmem_unmap(entry, ENTRY_BYTES), "ashmem_unmap");
	check(ashmem_unpin(area, 0, 0), "ashmem_unpin");
}

static int make_timer(void)
{
	struct timespec millisecond = {.tv_nsec = 1000000};
	struct itimerspec spec = {.it_value = millisecond, .it_interval = millisecond};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) < 0) {
		perror("timerfd");
		exit(1);
	}
	return fd;
}

static void watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		perror("epoll_ctl");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int entries = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100, made = 0;
	struct ashmem_pressure_status status = {.struct_size = sizeof(status)};
	struct ashmem_pressure *pressure;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC), timer_fd = make_timer();

	check(ashmem_pressure_open(NULL, &pressure), "ashmem_pressure_open");
	check(ashmem_pressure_subscribe(pressure, on_level, NULL), "ashmem_pressure_subscribe");
	printf("watching %s\n", ashmem_pressure_source(pressure));
	watch(epoll_fd, timer_fd);
	watch(epoll_fd, ashmem_pressure_fd(pressure));

	while (made < entries) {
		struct epoll_event event;
		uint64_t expirations;
		if (epoll_wait(epoll_fd, &event, 1, -1) < 1)
			continue;
		if (event.data.fd != timer_fd)
			check(ashmem_pressure_dispatch(pressure), "ashmem_pressure_dispatch");
		else if (read(timer_fd, &expirations, sizeof(expirations)) > 0)
			make_entry(made++);
	}

	check(ashmem_pressure_get_status(pressure, &status), "ashmem_pressure_get_status");
	printf("%d entries made, %" PRIu64 " pages purged in %" PRIu64 " purges\n", made,
		status.purged_pages, status.purges);
	ashmem_pressure_close(pressure);
	close(timer_fd);
	close(epoll_fd);
	return 0;
}
