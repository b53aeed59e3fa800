/* SPDX-License-Identifier: MIT */
/*
 * A service that keeps a cache and gives it back when the service manager says so. What to watch
 * comes from the unit (cache-service.service) in the environment, https://systemd.io/PRESSURE/; the
 * library reads it. Without a manager it watches what there is.
 *
 *   cache_service    runs until SIGTERM or SIGINT
 */
#include <ashmem/ashmem.h>

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define ENTRY_BYTES ((size_t)64 << 10) /* a multiple of every page size that Linux systems use */
#define ENTRIES 256

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
	printf("pressure: level %" PRIu32 " (was %" PRIu32 "), %" PRIu64 " pages purged\n", level,
		before, purged_pages);
}

/* The cache: filled, and unpinned entry by entry. */
static struct ashmem_area *open_cache(void)
{
	struct ashmem_area *area;
	void *base;

	check(ashmem_create("cache", ENTRIES * ENTRY_BYTES, 0, &area), "ashmem_create");
	check(ashmem_map(area, 0, ENTRIES * ENTRY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &base),
		"ashmem_map");
	memset(base, 'c', ENTRIES * ENTRY_BYTES);
	for (size_t i = 0; i < ENTRIES; i++)
		check(ashmem_unpin(area, i * ENTRY_BYTES, ENTRY_BYTES), "ashmem_unpin");
	check(ashmem_unmap(base, ENTRIES * ENTRY_BYTES), "ashmem_unmap");
	return area;
}

static int open_signals(void)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fd < 0) {
		perror("signalfd");
		exit(1);
	}
	return fd;
}

int main(void)
{
	struct ashmem_pressure *pressure;
	int signal_fd = open_signals();

	setvbuf(stdout, NULL, _IOLBF, 0); /* the journal gets whole lines at once */
	/* First of all: what the manager wants written is written here. */
	check(ashmem_pressure_open(NULL, &pressure), "ashmem_pressure_open");
	check(ashmem_pressure_subscribe(pressure, on_level, NULL), "ashmem_pressure_subscribe");
	struct ashmem_area *cache = open_cache();
	printf("watching %s\n", ashmem_pressure_source(pressure));

	struct pollfd fds[] = {
		{.fd = signal_fd, .events = POLLIN},
		{.fd = ashmem_pressure_fd(pressure), .events = POLLIN},
	};
	while (poll(fds, 2, -1) < 0 || !(fds[0].revents & POLLIN))
		if (fds[1].revents & POLLIN)
			check(ashmem_pressure_dispatch(pressure), "ashmem_pressure_dispatch");

	printf("ending, %" PRIu64 " pages in the cache\n", ashmem_shrink_count());
	ashmem_close(cache);
	ashmem_pressure_close(pressure);
	close(signal_fd);
	return 0;
}
