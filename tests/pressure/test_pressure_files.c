/* SPDX-License-Identifier: MIT */
/*
 * The files that sources of memory pressure read: contents that are cut off, vanish, may not be
 * read, or are nonsense. Where cgroups are mounted: test_pressure_cgroups.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/contract.h"
#include "support/fake_system.h"

#include "pressure/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_limit_2(const char *directory, unsigned max_mib, unsigned current_mib)
{
	char name[128];

	snprintf(name, sizeof name, "%s/memory.max", directory);
	fake_write(name, "%llu\n", (unsigned long long)max_mib << 20);
	snprintf(name, sizeof name, "%s/memory.current", directory);
	fake_write(name, "%llu\n", (unsigned long long)current_mib << 20);
}

static void make_limit_1(const char *directory, uint64_t max, unsigned current_mib)
{
	char name[128];

	snprintf(name, sizeof name, "%s/memory.limit_in_bytes", directory);
	fake_write(name, "%llu\n", (unsigned long long)max);
	snprintf(name, sizeof name, "%s/memory.usage_in_bytes", directory);
	fake_write(name, "%llu\n", (unsigned long long)current_mib << 20);
	snprintf(name, sizeof name, "%s/cgroup.event_control", directory);
	fake_write(name, "%s", "");
}

/* -- limits -- */

CONTRACT_TEST(pressure_files, a_limit_is_found_in_either_tree_of_a_hybrid_system)
{
	struct ashmem_pressure *pressure;
	char root[256];

	fake_system_begin();
	snprintf(root, sizeof root, "%s", fake_path(""));
	fake_write("proc/self/cgroup", "4:memory:/one\n0::/two\n");
	fake_write("proc/self/mountinfo",
		"30 20 0:30 / %scg1 rw - cgroup cgroup rw,memory\n"
		"31 20 0:31 / %scg2 rw - cgroup2 cgroup2 rw\n",
		root, root);
	make_limit_1("cg1/one", 9223372036854771712u, 40);
	make_limit_2("cg2/two", 96, 90);
	pressure = fake_open("headroom");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_HIGH);
	expect_eq(fake_status(pressure).limit_bytes, 96 * MIB_BYTES);
	ashmem_pressure_close(pressure);
	/*
	 * The memory controller is in one tree only; where that of version 1 limits, it is there.
	 */
	make_limit_1("cg1/one", 64 * MIB_BYTES, 10);
	pressure = fake_open("headroom");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_eq(fake_status(pressure).limit_bytes, 64 * MIB_BYTES);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* -- what goes, or may not be read -- */

CONTRACT_TEST(pressure_files, a_file_that_turns_to_nonsense_is_a_lost_source_and_the_next_is_taken)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_cgroup(2, "/a");
	make_limit_2("cg2/a", 96, 10);
	fake_available(900);
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "headroom");
	fake_write("cg2/a/memory.current", "gone");
	fake_write("cg2/a/memory.max", "gone");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_str(ashmem_pressure_source(pressure), "available");
	expect_eq(fake_status(pressure).lost_sources, 1);
	expect(fake_says(pressure, "headroom: not taken: Bad message\n"));
	fake_available(10);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_CRITICAL);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

static void enter_group(const char *directory)
{
	char name[160];
	FILE *file;

	snprintf(name, sizeof name, "%s/cgroup.procs", directory);
	file = fopen(name, "we");
	expect(file && fputs("0", file) >= 0 && fclose(file) == 0);
}

/* Through the kernel: a cgroup of version 1 that is left and removed under the watch. */
CONTRACT_TEST(pressure_files, a_cgroup_that_is_removed_is_a_lost_source)
{
	static const char *const sources[] = {"cgroup-event", "headroom"};
	struct ashmem_pressure *pressure;
	char directory[128], limit[160];
	FILE *file;

	snprintf(directory, sizeof directory, "/sys/fs/cgroup/memory/ashmem-files-%d", getpid());
	for (int i = 0; i < 2; i++) {
		if (mkdir(directory, 0755) < 0)
			contract_skip("no cgroup of version 1 can be made");
		snprintf(limit, sizeof limit, "%s/memory.limit_in_bytes", directory);
		file = fopen(limit, "we");
		expect(file && fputs("100663296", file) >= 0 && fclose(file) == 0);
		enter_group(directory);
		fake_system_begin();
		fake_write("proc/self/cgroup", "4:memory:%s\n", strrchr(directory, '/'));
		fake_write("proc/self/mountinfo",
			"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
		pressure = fake_open(sources[i]);
		expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
		fake_available(900);
		struct ashmem_pressure *other = fake_open(NULL);
		enter_group("/sys/fs/cgroup/memory");
		expect_eq(rmdir(directory), 0);
		struct pollfd fds[] = {{.fd = ashmem_pressure_fd(pressure), .events = POLLIN},
			{.fd = ashmem_pressure_fd(other), .events = POLLIN}};
		expect_eq(poll(&fds[0], 1, 10000), 1); /* the kernel tells, a moment later */
		expect_eq(poll(&fds[1], 1, 10000), 1);
		expect_eq(ashmem_pressure_dispatch(pressure), -ENODEV); /* it was named */
		expect_eq(ashmem_pressure_dispatch(other), ASHMEM_PRESSURE_NONE);
		expect_str(ashmem_pressure_source(other), "available");
		expect_eq(fake_status(other).lost_sources, 1);
		ashmem_pressure_close(pressure);
		ashmem_pressure_close(other);
		fake_system_end();
	}
}

CONTRACT_TEST(pressure_files, what_may_not_be_read_is_passed_over_and_told)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_cgroup(2, "/a");
	make_limit_2("cg2/a", 96, 10);
	fake_stalls("cg2/a/memory.pressure", 0);
	fake_available(900);
	expect_eq(chmod(fake_path("cg2/a/memory.pressure"), 0), 0);
	expect_eq(chmod(fake_path("cg2/a/memory.current"), 0), 0);
	if (geteuid() == 0)
		expect_eq(seteuid(65534), 0);
	expect_eq(fake_open_answer("cgroup-psi"), -EACCES);
	expect_eq(fake_open_answer("headroom"), -EACCES);
	pressure = fake_open(NULL);
	if (getuid() == 0)
		expect_eq(seteuid(0), 0);
	expect_str(ashmem_pressure_source(pressure), "available");
	expect(fake_says(pressure, "cgroup-psi: not taken: Permission denied\n"));
	expect(fake_says(pressure, "headroom: not taken: Permission denied\n"));
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_files,
	the_service_managers_file_need_not_be_writable_if_nothing_is_to_be_written)
{
	struct ashmem_pressure *pressure;

	if (access("/proc/pressure/memory", R_OK) < 0)
		contract_skip("the kernel offers no pressure stall information");
	fake_system_begin();
	expect_eq(mkfifo(fake_path("fifo"), 0444), 0);
	setenv("MEMORY_PRESSURE_WATCH", fake_path("fifo"), 1);
	setenv("MEMORY_PRESSURE_WRITE", "Zm9v", 1);
	if (geteuid() == 0)
		expect_eq(seteuid(65534), 0);
	expect_eq(fake_open_answer("service"), -EACCES);
	unsetenv("MEMORY_PRESSURE_WRITE");
	pressure = fake_open("service");
	if (getuid() == 0)
		expect_eq(seteuid(0), 0);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	int writer = open(fake_path("fifo"), O_WRONLY | O_CLOEXEC);
	expect_eq(write(writer, "x", 1), 1);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	close(writer);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_files, no_descriptor_left_is_told_as_such)
{
	struct rlimit before, few;
	int last = open("/dev/null", O_RDONLY | O_CLOEXEC);

	fake_system_begin();
	fake_available(900);
	expect_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)last + 3; /* enough for the epoll set and the timer */
	expect_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	int answer = fake_open_answer(NULL);
	expect_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	expect_eq(answer, -EMFILE);
	close(last);
	fake_system_end();
}

/* -- free bytes beside events -- */

CONTRACT_TEST(pressure_files, what_is_available_is_watched_beside_events_where_no_limit_is_set)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_stalls("proc/pressure/memory", 0);
	fake_available(900);
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "system-psi");
	expect(fake_says(pressure, "available beside it: used\n"));
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	fake_available(120);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_HIGH);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* Nothing tells when file pages give way to others, or a limit comes nearer by being changed. */
CONTRACT_TEST(pressure_files, version_1_is_polled_where_thresholds_say_nothing)
{
	struct open_source source;
	struct pressure_observation o = {.now_ns = 0};
	const char *why;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	fake_system_begin();
	fake_cgroup(1, "/a");
	make_limit_1("cg1/a", 96 * MIB_BYTES, 90);
	fake_write("cg1/a/memory.stat", "total_inactive_file 5\ntotal_active_file 0\n");
	expect_eq(source_open(&source, &source_headroom,
			  &(struct pressure_settings){.reserve_percent = 25}, 0, epoll_fd, &why),
		0);
	fake_write("cg1/a/memory.usage_in_bytes", "%u\n", 10u << 20);
	expect_eq(source.kind->look(&source, 0, &o), 0);
	expect_eq(o.must_poll, 0);
	fake_write("cg1/a/memory.usage_in_bytes", "%u\n", 90u << 20);
	expect_eq(source.kind->look(&source, 0, &o), 0);
	expect_eq(o.must_poll, 1);
	o = (struct pressure_observation){.now_ns = 0};
	make_limit_1("cg1/a", 400 * MIB_BYTES, 90);
	expect_eq(source.kind->look(&source, 0, &o), 0);
	expect_eq(o.must_poll, 1);
	source_close(&source);
	close(epoll_fd);
	fake_system_end();
}

CONTRACT_TEST(pressure_files, events_of_version_2_wake_the_headroom_up)
{
	struct open_source source;
	const char *why;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	fake_system_begin();
	fake_cgroup(2, "/a");
	make_limit_2("cg2/a", 96, 90);
	fake_write("cg2/a/memory.events", "low 0\nhigh 3\nmax 0\n");
	expect_eq(source_open(&source, &source_headroom,
			  &(struct pressure_settings){.reserve_percent = 25}, 0, epoll_fd, &why),
		0);
	int fd = source.fds[source.fd_count - 1];
	char link[64], path[512] = "";
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	expect(readlink(link, path, sizeof path - 1) > 0);
	expect(strstr(path, "/memory.events") != NULL);
	expect_eq(source.kind->event(&source, (uint32_t)fd, EPOLLPRI | EPOLLERR, 0), 0);
	source_close(&source);
	close(epoll_fd);
	fake_system_end();
}

/* -- nonsense -- */

static void put(const char *name, const char *bytes, size_t length)
{
	int fd = open(fake_path(name), O_WRONLY | O_CLOEXEC);

	expect(fd >= 0);
	expect_eq(write(fd, bytes, length), (int64_t)length);
	expect_eq(ftruncate(fd, (off_t)length), 0);
	close(fd);
}

#define BIG 70000

/* Piece number `i` of nonsense; its length, or -1 behind the last. */
static int64_t nonsense(int i, char *bytes)
{
	static const char *const texts[] = {"", "\n", " ", "-1\n", "0\n",
		"99999999999999999999999999\n", "0x10\n", "18446744073709551615\n",
		"9223372036854775807\n", "max", "maximal\n", "total=", "total=-5\n",
		"some total=99999999999999999999999\n",
		"some avg10=0.00 total=18446744073709551615\n",
		"MemTotal: 18446744073709551615 kB\nMemAvailable: 18446744073709551615 kB\n",
		"MemTotal: 1 kB\nMemAvailable: 99999999 kB\n", "MemTotal:\nMemAvailable:\n",
		"inactive_file ",
		"inactive_file 18446744073709551615\nactive_file 18446744073709551615\n", ":",
		"::", "0::", "0::/", "0::relative\n", "0:::/x:y\n", "4:memory", "4:memory:\n",
		"4:,memory,:/\n", "-", " - ", " - cgroup2 x rw\n", "1 2 3 4 5 - cgroup2 x rw\n",
		"1 2 3 / /proc - cgroup2 x rw\n", "1 2 3 \\ \\0 - cgroup2 x rw\n",
		"1 2 3 \\777 \\000 rw - cgroup cgroup memory\n"};
	const int count = sizeof texts / sizeof texts[0];
	uint32_t seed = (uint32_t)i;

	if (i < count) {
		strcpy(bytes, texts[i]);
		return (int64_t)strlen(texts[i]);
	}
	if (i == count + 8)
		return -1;
	memset(bytes, "9/:\0 \n\\a"[i - count], BIG);
	if (i - count == 3) /* noise */
		for (int at = 0; at < BIG; at++)
			bytes[at] = (char)((seed = seed * 1103515245 + 12345) >> 16);
	return BIG;
}

/* Whatever it says: an error, or a watch that answers with a level or that it is gone. */
static void survive(const char *name, const char *bytes, int64_t length)
{
	static const char *const names[] = {
		"auto", "cgroup-psi", "system-psi", "cgroup-event", "headroom", "available"};

	for (int i = 0; i < 6; i++) {
		struct ashmem_pressure_options options = {
			.struct_size = sizeof options, .source = names[i]};
		struct ashmem_pressure *pressure = NULL;
		if (ashmem_pressure_open(&options, &pressure) < 0)
			continue;
		for (int look = 0; look < 2; look++) {
			fake_clock_step(100);
			int answer = ashmem_pressure_dispatch(pressure);
			expect_msg((answer >= 0 && answer <= ASHMEM_PRESSURE_CRITICAL) ||
					answer == -ENODEV,
				"%s answers %d", names[i], answer);
			if (look == 0 && name) /* it turns to that while it is watched */
				put(name, bytes, (size_t)length);
		}
		ashmem_pressure_close(pressure);
	}
}

static void make_all(int version)
{
	fake_cgroup(version, "/a");
	fake_available(900);
	fake_stalls("proc/pressure/memory", 5);
	fake_stalls("cg2/a/memory.pressure", 5);
	make_limit_2("cg2/a", 96, 90);
	fake_write("cg2/a/memory.high", "max\n");
	fake_write("cg2/a/memory.stat", "inactive_file 5\nactive_file 6\n");
	make_limit_1("cg1/a", 96 * MIB_BYTES, 90);
	fake_write("cg1/a/memory.pressure_level", "%s", "");
	fake_write("cg1/a/memory.stat", "total_inactive_file 5\ntotal_active_file 6\n");
}

CONTRACT_TEST(pressure_files, nonsense_is_survived_in_every_file)
{
	static const char *const files[] = {"proc/self/cgroup", "proc/self/mountinfo",
		"proc/meminfo", "proc/pressure/memory", "cg2/a/memory.pressure", "cg2/a/memory.max",
		"cg2/a/memory.high", "cg2/a/memory.current", "cg2/a/memory.stat",
		"cg1/a/memory.limit_in_bytes", "cg1/a/memory.usage_in_bytes", "cg1/a/memory.stat"};
	static char bytes[BIG + 1];
	struct holdings before = holdings_now();
	int64_t length;

	for (size_t file = 0; file < sizeof files / sizeof files[0]; file++) {
		int version = strncmp(files[file], "cg1", 3) == 0 ? 1 : 2;
		fake_system_begin();
		for (int i = 0; (length = nonsense(i, bytes)) >= 0; i++) {
			make_all(version);
			survive(files[file], bytes, length);
			survive(NULL, NULL, 0); /* and if it said so from the beginning */
		}
		fake_system_end();
	}
	expect_holdings(&before);
}

CONTRACT_TEST(pressure_files, a_total_that_jumps_is_critical_and_one_that_falls_is_nothing)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_stalls("proc/pressure/memory", 1000);
	pressure = fake_open("system-psi");
	fake_clock_step(1000);
	fake_stalls("proc/pressure/memory", UINT64_MAX - 5);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_CRITICAL);
	fake_clock_step(5000);
	fake_stalls("proc/pressure/memory", 3);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	ashmem_pressure_close(pressure);
	fake_system_end();
}
