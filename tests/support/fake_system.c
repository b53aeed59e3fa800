/* SPDX-License-Identifier: MIT */
/* A /proc and cgroups made of plain files: see fake_system.h. */
#define _GNU_SOURCE 1
#include "support/fake_system.h"
#include "support/contract.h"

#include "pressure/source.h"
#include "base/sys.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static uint64_t now_ns;
static char proc[128];

static uint64_t fake_clock(void)
{
	return now_ns;
}

void fake_system_begin(void)
{
	strcpy(directory, "/tmp/ashmem-pressure-XXXXXX");
	expect(mkdtemp(directory) != NULL);
	expect_eq(chmod(directory, 0755), 0);
	snprintf(proc, sizeof proc, "%s/proc", directory);
	expect_eq(mkdir(proc, 0755), 0);
	source_proc = proc;
	source_clock = fake_clock;
	now_ns = 1000000000000;
	unsetenv("MEMORY_PRESSURE_WATCH");
	unsetenv("MEMORY_PRESSURE_WRITE");
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

void fake_system_end(void)
{
	source_proc = "/proc";
	source_clock = sys_now_ns;
	expect_eq(nftw(directory, remove_one, 64, FTW_DEPTH | FTW_PHYS), 0);
}

const char *fake_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	return path;
}

void fake_write(const char *name, const char *format, ...)
{
	char path[512], text[4096];
	va_list arguments;
	int fd, length;

	snprintf(path, sizeof path, "%s", fake_path(name));
	for (char *at = path + strlen(directory) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(path, 0755);
		*at = '/';
	}
	va_start(arguments, format);
	length = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	/* Not O_TRUNC: some file systems write a file to the disk when it is closed after that. */
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	expect(fd >= 0);
	expect_eq(write(fd, text, (size_t)length), length);
	expect_eq(ftruncate(fd, length), 0);
	close(fd);
}

void fake_remove(const char *name)
{
	expect_eq(unlink(fake_path(name)), 0);
}

int64_t fake_read(const char *name, void *bytes, uint64_t size)
{
	int fd = open(fake_path(name), O_RDONLY | O_CLOEXEC);
	ssize_t got;

	expect(fd >= 0);
	got = read(fd, bytes, size);
	close(fd);
	return got;
}

void fake_cgroup(int version, const char *path)
{
	/* As on a system that has both: other hierarchies around it, and names that look alike. */
	fake_write("proc/self/cgroup",
		version == 1 ? "5:memory_not:/x\n4:cpu,memory:%s\n1:name=systemd:/x\n0::/none\n"
			     : "1:name=systemd:/x\n0::%s\n",
		path);
	fake_write("proc/self/mountinfo",
		"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
		"30 20 0:30 / %s/cg%d rw,nosuid shared:9 - %s cgroup %s\n",
		directory, version, version == 1 ? "cgroup" : "cgroup2",
		version == 1 ? "rw,cpu,memory" : "rw,nsdelegate");
}

void fake_stalls(const char *name, uint64_t total_us)
{
	fake_write(name,
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=%llu\n"
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
		(unsigned long long)total_us);
}

void fake_available(uint64_t mib)
{
	fake_write("proc/meminfo", "MemTotal: 1048576 kB\nMemFree: 0 kB\nMemAvailable: %llu kB\n",
		(unsigned long long)mib * 1024);
}

void fake_clock_step(uint64_t milliseconds)
{
	now_ns += milliseconds * 1000000;
}

struct ashmem_pressure *fake_open(const char *source)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = source, .reserve_percent = 25};
	struct ashmem_pressure *pressure = NULL;

	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	expect(pressure != NULL);
	return pressure;
}

int fake_open_answer(const char *source)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = source, .reserve_percent = 25};
	struct ashmem_pressure *pressure = NULL;
	int answer = ashmem_pressure_open(&options, &pressure);

	expect((answer == 0) == (pressure != NULL));
	ashmem_pressure_close(pressure);
	return answer;
}

const char *fake_explanation(struct ashmem_pressure *pressure)
{
	static char text[2048];

	int length = ashmem_pressure_explain(pressure, text, sizeof text);

	expect_eq(length, strlen(text));
	return text;
}

int fake_says(struct ashmem_pressure *pressure, const char *what)
{
	return strstr(fake_explanation(pressure), what) != NULL;
}

struct ashmem_pressure_status fake_status(struct ashmem_pressure *pressure)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof status};

	expect_eq(ashmem_pressure_get_status(pressure, &status), 0);
	return status;
}
