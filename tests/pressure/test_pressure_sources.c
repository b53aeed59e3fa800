/* SPDX-License-Identifier: MIT */
/*
 * The sources of memory pressure, each against a system made of files, sockets and FIFOs, and
 * "auto" among them.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/contract.h"
#include "support/fake_system.h"

#include "area/pressure_last.h"
#include "pressure/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int is_readable(struct ashmem_pressure *pressure)
{
	struct pollfd fd = {.fd = ashmem_pressure_fd(pressure), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void expect_last(uint32_t level, const char *source)
{
	const char *name = NULL;
	uint32_t last = 99;

	pressure_last(&last, &name);
	expect_eq(last, level);
	expect_str(name, source);
}

/* -- base64 -- */

static int64_t decode(const char *text, const char *want)
{
	unsigned char bytes[64];
	int64_t length = source_service_base64(text, bytes, sizeof bytes);

	if (length > 0)
		expect(memcmp(bytes, want, (size_t)length) == 0);
	return length;
}

CONTRACT_TEST(pressure_sources, base64_gives_bytes_with_nuls_or_an_error)
{
	unsigned char two[2];

	expect_eq(decode("", ""), 0);
	expect_eq(decode("Zg==", "f"), 1);
	expect_eq(decode("Zm8=", "fo"), 2);
	expect_eq(decode("Zm9v", "foo"), 3);
	expect_eq(decode("Zm9vYg", "foob"), 4);
	expect_eq(decode("c29tZSAyMDAwMDAgMjAwMDAwMAA=", "some 200000 2000000\0"), 20);
	expect_eq(decode("AP8A+/8=", "\0\377\0\373\377"), 5);
	expect_eq(decode("Z", ""), -EBADMSG);
	expect_eq(decode("Zg=", ""), -EBADMSG);
	expect_eq(decode("Zh==", ""), -EBADMSG);
	expect_eq(decode("Zg==Zg==", ""), -EBADMSG);
	expect_eq(decode("Zm9v====", ""), -EBADMSG);
	expect_eq(decode("Zm9*", ""), -EBADMSG);
	expect_eq(source_service_base64("Zm9v", two, 2), -E2BIG);
}

/* -- the service manager -- */

CONTRACT_TEST(pressure_sources, service_without_a_watch_has_no_data)
{
	fake_system_begin();
	expect_eq(fake_open_answer("service"), -ENODATA);
	setenv("MEMORY_PRESSURE_WATCH", "", 1);
	expect_eq(fake_open_answer("service"), -ENODATA);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, service_errors_are_told)
{
	fake_system_begin();
	setenv("MEMORY_PRESSURE_WATCH", "relative", 1);
	expect_eq(fake_open_answer("service"), -EINVAL);
	setenv("MEMORY_PRESSURE_WATCH", fake_path("nothing"), 1);
	expect_eq(fake_open_answer("service"), -ENOENT);
	setenv("MEMORY_PRESSURE_WATCH", fake_path("proc"), 1);
	expect_eq(fake_open_answer("service"), -ENOTSUP);
	expect_eq(mkfifo(fake_path("fifo"), 0600), 0);
	setenv("MEMORY_PRESSURE_WATCH", fake_path("fifo"), 1);
	setenv("MEMORY_PRESSURE_WRITE", "not base64!", 1);
	expect_eq(fake_open_answer("service"), -EBADMSG);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, service_dev_null_turns_all_off)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 1 kB\n");
	setenv("MEMORY_PRESSURE_WATCH", "/dev/null", 1);
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "off");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect(!is_readable(pressure));
	expect(fake_says(pressure, "service: turned watching off"));
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, service_writes_the_bytes_first)
{
	unsigned char bytes[64];

	fake_system_begin();
	fake_write("file", "%s", "");
	setenv("MEMORY_PRESSURE_WATCH", fake_path("file"), 1);
	setenv("MEMORY_PRESSURE_WRITE", "c29tZSAyMDAwMDAgMjAwMDAwMAA=", 1);
	/* A file that is none of the kernel's tells no events. */
	expect_eq(fake_open_answer("service"), -EPERM);
	expect_eq(fake_read("file", bytes, sizeof bytes), 20);
	expect(memcmp(bytes, "some 200000 2000000", 20) == 0);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, service_watches_the_kernels_file)
{
	struct ashmem_pressure *pressure = NULL;
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = "service"};
	int fd = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || write(fd, "some 200000 2000000", 20) < 0)
		contract_skip("the kernel offers no pressure stall information with triggers");
	close(fd);
	fake_system_begin();
	setenv("MEMORY_PRESSURE_WATCH", "/proc/pressure/memory", 1);
	setenv("MEMORY_PRESSURE_WRITE", "c29tZSAyMDAwMDAgMjAwMDAwMAA=", 1);
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	expect(ashmem_pressure_dispatch(pressure) >= 0);
	ashmem_pressure_close(pressure);
	setenv("MEMORY_PRESSURE_WRITE", "Zm9v", 1);
	expect_eq(fake_open_answer("service"), -EINVAL); /* the kernel refuses "foo" */
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, service_fifo_tells_events_but_not_our_own_writing)
{
	struct ashmem_pressure *pressure;
	int writer;

	fake_system_begin();
	expect_eq(mkfifo(fake_path("fifo"), 0600), 0);
	setenv("MEMORY_PRESSURE_WATCH", fake_path("fifo"), 1);
	setenv("MEMORY_PRESSURE_WRITE", "Zm9v", 1);
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "service");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect(!is_readable(pressure));
	for (int round = 0; round < 3; round++) { /* writers come and go */
		writer = open(fake_path("fifo"), O_WRONLY | O_CLOEXEC);
		expect_eq(write(writer, "x", 1), 1);
		close(writer);
		expect(is_readable(pressure));
		expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
		expect(!is_readable(pressure));
		fake_clock_step(100); /* an event is over, its level is held */
		expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
		fake_clock_step(1000);
		expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	}
	expect_eq(fake_status(pressure).lost_sources, 0);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, service_socket_gets_the_bytes_and_tells_events)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ashmem_pressure *pressure;
	char bytes[8];
	int listener, peer;

	fake_system_begin();
	strcpy(address.sun_path, fake_path("socket"));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	expect_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	setenv("MEMORY_PRESSURE_WATCH", fake_path("socket"), 1);
	expect_eq(fake_open_answer("service"), -ECONNREFUSED);
	expect_eq(listen(listener, 1), 0);
	setenv("MEMORY_PRESSURE_WRITE", "AP8A", 1);
	fake_write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 900 kB\n");
	pressure = fake_open(NULL);
	peer = accept(listener, NULL, NULL);
	expect_eq(read(peer, bytes, sizeof bytes), 3);
	expect(memcmp(bytes, "\0\377\0", 3) == 0);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_eq(write(peer, "event", 5), 5);
	expect(is_readable(pressure));
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	expect(!is_readable(pressure));
	expect_eq(fake_status(pressure).events, 1);
	/* The peer goes: the next source. */
	close(peer);
	close(listener);
	expect(is_readable(pressure));
	expect(ashmem_pressure_dispatch(pressure) >= 0);
	expect_str(ashmem_pressure_source(pressure), "available");
	expect_eq(fake_status(pressure).lost_sources, 1);
	expect(fake_says(pressure, "service: not taken: Connection refused"));
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, a_named_source_that_vanishes_is_an_error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ashmem_pressure *pressure;
	int listener;

	fake_system_begin();
	strcpy(address.sun_path, fake_path("socket"));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	expect_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	expect_eq(listen(listener, 1), 0);
	setenv("MEMORY_PRESSURE_WATCH", fake_path("socket"), 1);
	pressure = fake_open("service");
	expect_last(ASHMEM_PRESSURE_NONE, "none"); /* nobody has looked */
	ashmem_pressure_dispatch(pressure);
	expect_last(ASHMEM_PRESSURE_NONE, "service");
	close(listener);
	expect_eq(ashmem_pressure_dispatch(pressure), -ENODEV);
	expect_last(ASHMEM_PRESSURE_NONE, "none");
	expect_eq(ashmem_pressure_dispatch(pressure), -ENODEV);
	expect_str(ashmem_pressure_source(pressure), "none");
	expect(!is_readable(pressure));
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* -- stall times -- */

static void stalls_give_levels(const char *source, const char *name)
{
	struct ashmem_pressure *pressure = fake_open(source);
	uint64_t total = 1000;

	expect_str(ashmem_pressure_source(pressure), source);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	for (uint32_t level = ASHMEM_PRESSURE_SOME; level <= ASHMEM_PRESSURE_CRITICAL; level++) {
		uint64_t share[] = {0, 50, 200, 400};
		fake_clock_step(1000);
		total += share[level] * 1000;
		fake_stalls(name, total);
		expect_eq(ashmem_pressure_dispatch(pressure), level);
	}
	fake_clock_step(1000);
	total += 49000; /* not enough */
	fake_stalls(name, total);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	ashmem_pressure_close(pressure);
}

CONTRACT_TEST(pressure_sources, cgroup_psi_gives_levels)
{
	fake_system_begin();
	fake_cgroup(2, "/some/where");
	expect_eq(fake_open_answer("cgroup-psi"), -ENOENT);
	fake_stalls("cg2/some/where/memory.pressure", 1000);
	stalls_give_levels("cgroup-psi", "cg2/some/where/memory.pressure");
	fake_write("cg2/some/where/memory.pressure", "nonsense\n");
	expect_eq(fake_open_answer("cgroup-psi"), -EBADMSG);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, system_psi_gives_levels)
{
	fake_system_begin();
	expect_eq(fake_open_answer("system-psi"), -ENOENT);
	fake_stalls("proc/pressure/memory", 1000);
	stalls_give_levels("system-psi", "proc/pressure/memory");
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, stall_times_are_read_without_permission_to_write)
{
	fake_system_begin();
	fake_stalls("proc/pressure/memory", 1000);
	expect_eq(chmod(fake_path("proc/pressure/memory"), 0444), 0);
	if (geteuid() == 0)
		expect_eq(seteuid(65534), 0);
	expect(open(fake_path("proc/pressure/memory"), O_RDWR | O_CLOEXEC) < 0);
	struct ashmem_pressure *pressure = fake_open("system-psi");
	if (getuid() == 0)
		expect_eq(seteuid(0), 0);
	fake_stalls("proc/pressure/memory", 1000 + 400000);
	fake_clock_step(1000);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_CRITICAL);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* An edge, as the kernel tells it, and one that somebody else's poll took. */
CONTRACT_TEST(pressure_sources, an_edge_is_measured_for_one_window)
{
	struct open_source source;
	struct pressure_observation o = {.now_ns = 0};
	const uint64_t ms = 1000000, at = 1000000000000;
	const char *why;

	fake_system_begin();
	fake_stalls("proc/pressure/memory", 0);
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	expect_eq(source_open(&source, &source_system_psi,
			  &(struct pressure_settings){.reserve_percent = 25}, 0, epoll_fd, &why),
		0);
	source.psi_triggers = 1; /* plain files have none */
	fake_stalls("proc/pressure/memory", 90000);
	expect_eq(source_psi_look(&source, at, &o), 0);
	expect_eq(o.stall_level, ASHMEM_PRESSURE_NONE); /* below the threshold, no event */
	expect_eq(source_psi_event(&source, 0, EPOLLPRI, at + ms), 0);
	expect_eq(source_psi_look(&source, at + ms, &o), 0);
	expect_eq(o.stall_level, ASHMEM_PRESSURE_SOME);
	fake_stalls("proc/pressure/memory", 90000 + 50000);
	o.stall_level = 0;
	expect_eq(source_psi_look(&source, at + 101 * ms, &o), 0);
	expect_eq(o.stall_level, ASHMEM_PRESSURE_CRITICAL); /* half of 100 ms */
	o.stall_level = 0;
	expect_eq(source_psi_look(&source, at + 1000 * ms, &o), 0);
	expect_eq(o.stall_level, ASHMEM_PRESSURE_NONE);
	fake_stalls("proc/pressure/memory", 90000 + 50000 + 100000);
	expect_eq(source_psi_look(&source, at + 9000 * ms, &o), 0);
	expect_eq(o.stall_level, ASHMEM_PRESSURE_SOME); /* the missed edge */
	expect_eq(source_psi_event(&source, 0, EPOLLPRI | EPOLLERR, at + 9000 * ms), -ENODEV);
	source_close(&source);
	close(epoll_fd);
	fake_system_end();
}

/* -- cgroup version 1 -- */

/* The descriptor of ours that the last line written into cgroup.event_control names. */
static int event_fd_told(const char *name, char *argument)
{
	char line[80] = "";
	int event_fd = -1, file_fd = -1;

	expect(fake_read(name, line, sizeof line - 1) > 0);
	expect_eq(sscanf(line, "%d %d %31s", &event_fd, &file_fd, argument), 3);
	expect(fcntl(file_fd, F_GETFD) >= 0);
	return event_fd;
}

CONTRACT_TEST(pressure_sources, cgroup_event_gives_levels)
{
	struct ashmem_pressure *pressure;
	char argument[32];
	int event_fd;

	fake_system_begin();
	fake_cgroup(1, "/a");
	expect_eq(fake_open_answer("cgroup-event"), -ENOENT);
	fake_write("cg1/a/memory.pressure_level", "%s", "");
	fake_write("cg1/a/cgroup.event_control", "%s", "");
	pressure = fake_open("cgroup-event");
	event_fd = event_fd_told("cg1/a/cgroup.event_control", argument);
	expect_str(argument, "critical"); /* each write replaced the one before, in a plain file */
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect(!is_readable(pressure));
	expect_eq(eventfd_write(event_fd, 1), 0);
	expect(is_readable(pressure));
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_CRITICAL);
	expect(!is_readable(pressure));
	ashmem_pressure_close(pressure);
	fake_system_end();
}

static void make_limit(const char *directory, uint64_t limit, uint64_t usage, uint64_t file)
{
	char name[128];

	snprintf(name, sizeof name, "%s/memory.limit_in_bytes", directory);
	fake_write(name, "%llu\n", (unsigned long long)limit);
	snprintf(name, sizeof name, "%s/memory.usage_in_bytes", directory);
	fake_write(name, "%llu\n", (unsigned long long)usage);
	snprintf(name, sizeof name, "%s/memory.stat", directory);
	fake_write(name,
		"cache 99\ninactive_file 5\ntotal_inactive_file %llu\ntotal_active_file 0\n",
		(unsigned long long)file);
	snprintf(name, sizeof name, "%s/cgroup.event_control", directory);
	fake_write(name, "%s", "");
}

static void expect_reserve(struct ashmem_pressure *pressure, uint64_t free_bytes, int level,
	uint64_t reserve, uint64_t bursts)
{
	make_limit("cg1/a", 96 * MIB_BYTES, 96 * MIB_BYTES - free_bytes, 0);
	expect_eq(ashmem_pressure_dispatch(pressure), level);
	expect_eq(fake_status(pressure).reserve_bytes, reserve);
	expect_eq(fake_status(pressure).bursts, bursts);
}

CONTRACT_TEST(pressure_sources, reserve_adapts_unless_it_was_set)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = "headroom", .hold_ms = 1};
	struct ashmem_pressure *pressure;
	char argument[32];

	fake_system_begin();
	fake_cgroup(1, "/a");
	make_limit("cg1/a", 96 * MIB_BYTES, 40 * MIB_BYTES, 0);
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	event_fd_told("cg1/a/cgroup.event_control", argument);
	/* the last that is told: critical after a burst */
	expect_eq(strtoull(argument, NULL, 10), 90 * MIB_BYTES);
	expect_reserve(pressure, 8 * MIB_BYTES, ASHMEM_PRESSURE_NONE, 4 * MIB_BYTES, 0);
	expect_reserve(pressure, 3 * MIB_BYTES, ASHMEM_PRESSURE_CRITICAL, 24 * MIB_BYTES, 1);
	fake_clock_step(1999);
	expect_reserve(pressure, 23 * MIB_BYTES, ASHMEM_PRESSURE_SOME, 24 * MIB_BYTES, 1);
	fake_clock_step(1);
	expect_reserve(pressure, 23 * MIB_BYTES, ASHMEM_PRESSURE_NONE, 8 * MIB_BYTES, 1);
	ashmem_pressure_close(pressure);

	options.reserve_percent = 50;
	options.reserve_most_bytes = 40 * MIB_BYTES;
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	expect_reserve(pressure, 40 * MIB_BYTES, ASHMEM_PRESSURE_NONE, 40 * MIB_BYTES, 0);
	expect_reserve(pressure, 39 * MIB_BYTES, ASHMEM_PRESSURE_SOME, 40 * MIB_BYTES, 0);
	expect_reserve(pressure, 0, ASHMEM_PRESSURE_CRITICAL, 40 * MIB_BYTES, 0);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

static void expect_shared(struct ashmem_pressure *pressure, const char *stat, int level)
{
	fake_write("cg1/a/memory.stat", "%s", stat);
	expect_eq(ashmem_pressure_dispatch(pressure), level);
}

/* 9 MiB are free of 96: more than the reserve, and less than what relief brings back. */
CONTRACT_TEST(pressure_sources, shared_memory_that_others_purge_shows_in_memory_stat)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = "headroom"};
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_cgroup(1, "/a");
	make_limit("cg1/a", 96 * MIB_BYTES, 87 * MIB_BYTES, 0);
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	expect_shared(pressure, "shmem 5\ntotal_shmem 80000000\n", ASHMEM_PRESSURE_NONE);
	expect_shared(pressure, "shmem 4\ntotal_shmem 79900000\n", ASHMEM_PRESSURE_NONE);
	expect_shared(pressure, "shmem 3\ntotal_shmem 78000000\n", ASHMEM_PRESSURE_SOME);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* What looks in unpin has a first look when the handle is opened. */
CONTRACT_TEST(pressure_sources, a_burst_that_was_seen_elsewhere_is_known_to_the_dispatch)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = "headroom"};
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_cgroup(1, "/a");
	make_limit("cg1/a", 96 * MIB_BYTES, 93 * MIB_BYTES, 0);
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	expect_reserve(pressure, 23 * MIB_BYTES, ASHMEM_PRESSURE_SOME, 24 * MIB_BYTES, 1);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, headroom_of_version_1_is_nested_and_without_file_pages)
{
	struct ashmem_pressure *pressure;
	struct ashmem_pressure_status status;
	char argument[32];

	fake_system_begin();
	fake_cgroup(1, "/outer/inner");
	make_limit("cg1", 9223372036854771712u, 500 * MIB_BYTES, 0);
	make_limit("cg1/outer", 9223372036854771712u, 400 * MIB_BYTES, 0);
	make_limit("cg1/outer/inner", 9223372036854771712u, 40 * MIB_BYTES, 0);
	expect_eq(fake_open_answer("headroom"), -ENODATA);
	make_limit("cg1/outer", 400 * MIB_BYTES, 200 * MIB_BYTES, 0);
	make_limit("cg1/outer/inner", 96 * MIB_BYTES, 40 * MIB_BYTES, 0);
	pressure = fake_open("headroom");
	expect_eq(eventfd_write(event_fd_told("cg1/outer/cgroup.event_control", argument), 1), 0);
	/* critical: a sixteenth is left */
	expect_eq(strtoull(argument, NULL, 10), 375 * MIB_BYTES);
	expect(is_readable(pressure));
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect(!is_readable(pressure));
	status = fake_status(pressure);
	expect_eq(status.limit_bytes, 96 * MIB_BYTES);
	expect_eq(status.free_bytes, 56 * MIB_BYTES);
	/* File pages do not count. */
	make_limit("cg1/outer/inner", 96 * MIB_BYTES, 96 * MIB_BYTES, 30 * MIB_BYTES);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_eq(fake_status(pressure).free_bytes, 30 * MIB_BYTES);
	make_limit("cg1/outer/inner", 96 * MIB_BYTES, 96 * MIB_BYTES, 20 * MIB_BYTES);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	/* The outer one is tighter. */
	make_limit("cg1/outer", 400 * MIB_BYTES, 399 * MIB_BYTES, 0);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_CRITICAL);
	expect_eq(fake_status(pressure).free_bytes, MIB_BYTES);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* -- cgroup version 2 -- */

CONTRACT_TEST(pressure_sources, headroom_of_version_2_knows_max_and_high)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_cgroup(2, "/outer/inner");
	fake_write("cg2/outer/inner/memory.max", "max\n");
	fake_write("cg2/outer/inner/memory.high", "max\n");
	fake_write("cg2/outer/inner/memory.current", "%u\n", 90u << 20);
	fake_write("cg2/outer/memory.max", "max\n");
	fake_write("cg2/outer/memory.high", "max\n");
	fake_write("cg2/outer/memory.current", "%u\n", 90u << 20);
	expect_eq(fake_open_answer("headroom"), -ENODATA);
	fake_write("cg2/outer/memory.max", "%u\n", 192u << 20);
	pressure = fake_open("headroom");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_eq(fake_status(pressure).free_bytes, 102 * MIB_BYTES);
	/* Limits that come later are seen. */
	fake_write("cg2/outer/inner/memory.high", "%u\n", 96u << 20);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_HIGH);
	expect_eq(fake_status(pressure).free_bytes, 6 * MIB_BYTES);
	fake_write("cg2/outer/inner/memory.stat", "anon 1\ninactive_file %u\nactive_file %u\n",
		50u << 20, 10u << 20);
	ashmem_pressure_close(pressure);
	pressure = fake_open("headroom");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_eq(fake_status(pressure).free_bytes, 66 * MIB_BYTES);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* -- the system -- */

CONTRACT_TEST(pressure_sources, available_gives_levels)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	expect_eq(fake_open_answer("available"), -ENOENT);
	fake_write("proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 3 kB\n");
	expect_eq(fake_open_answer("available"), -EBADMSG);
	fake_write("proc/meminfo",
		"MemTotal: 1000000 kB\nMemFree: 3 kB\nMemAvailable: 250001 kB\n");
	pressure = fake_open("available");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	fake_write("proc/meminfo",
		"MemTotal: 1000000 kB\nMemFree: 3 kB\nMemAvailable: 249999 kB\n");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	fake_write("proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 3 kB\nMemAvailable: 0 kB\n");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_CRITICAL);
	/* The file turns to nonsense: gone. */
	fake_write("proc/meminfo", "%s", "");
	expect_eq(ashmem_pressure_dispatch(pressure), -ENODEV);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* -- auto -- */

CONTRACT_TEST(pressure_sources, auto_takes_the_first_that_works_and_tells_why)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	expect_eq(fake_open_answer(NULL), -ENODEV);
	expect_eq(fake_open_answer("auto"), -ENODEV);
	fake_write("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "available");
	expect(fake_says(pressure, "service: not taken: MEMORY_PRESSURE_WATCH is not set\n"));
	expect(fake_says(pressure, "system-psi: not taken: No such file or directory\n"));
	expect(fake_says(pressure, "available: used\n"));
	ashmem_pressure_close(pressure);
	fake_stalls("proc/pressure/memory", 0);
	pressure = fake_open("auto");
	expect_str(ashmem_pressure_source(pressure), "system-psi");
	expect(fake_says(pressure, "available: not tried"));
	ashmem_pressure_close(pressure);
	fake_cgroup(2, "/a");
	fake_stalls("cg2/a/memory.pressure", 0);
	pressure = fake_open("auto");
	expect_str(ashmem_pressure_source(pressure), "cgroup-psi");
	expect(fake_says(pressure, "headroom beside it: not taken"));
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, auto_watches_the_limit_beside_the_source)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_cgroup(2, "/a");
	fake_stalls("cg2/a/memory.pressure", 0);
	fake_write("cg2/a/memory.max", "%u\n", 96u << 20);
	fake_write("cg2/a/memory.current", "%u\n", 90u << 20);
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "cgroup-psi");
	expect(fake_says(pressure, "headroom beside it: used"));
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_HIGH);
	expect_last(ASHMEM_PRESSURE_HIGH, "headroom"); /* the one that said so */
	fake_write("cg2/a/memory.current", "%u\n", 1u << 20);
	fake_stalls("cg2/a/memory.pressure", 0); /* the trigger was written over it */
	fake_clock_step(2000);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_last(ASHMEM_PRESSURE_NONE, "cgroup-psi");
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, auto_passes_over_stalls_under_a_limit_of_version_1)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_cgroup(1, "/a");
	fake_stalls("proc/pressure/memory", 0);
	make_limit("cg1/a", 96 * MIB_BYTES, 40 * MIB_BYTES, 0);
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "headroom");
	expect(fake_says(pressure, "system-psi: not taken: the limit is set by cgroup version 1"));
	ashmem_pressure_close(pressure);
	fake_write("cg1/a/memory.pressure_level", "%s", "");
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "cgroup-event");
	expect(fake_says(pressure, "headroom beside it: used"));
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_sources, real_sources_open_or_say_why_not)
{
	const char *names[] = {"cgroup-psi", "system-psi", "cgroup-event", "headroom", "available"};
	struct holdings before = holdings_now();
	struct ashmem_pressure *pressure = NULL;
	int worked = 0;

	for (int i = 0; i < 5; i++) {
		int answer = fake_open_answer(names[i]);
		worked += answer == 0;
		expect_msg(answer == 0 || answer == -ENODATA || answer == -ENOENT ||
				answer == -EACCES || answer == -EPERM || answer == -EOPNOTSUPP ||
				answer == -EROFS,
			"%s: %d", names[i], answer);
	}
	if (!worked)
		contract_skip("no source of memory pressure works on this system");
	expect_eq(ashmem_pressure_open(NULL, &pressure), 0);
	expect(ashmem_pressure_dispatch(pressure) >= 0);
	ashmem_pressure_close(pressure);
	expect_holdings(&before);
}
