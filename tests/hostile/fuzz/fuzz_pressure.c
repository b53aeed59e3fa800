/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer over what reads text from outside when memory pressure is watched: base64 of
 * MEMORY_PRESSURE_WRITE, /proc/self/cgroup, mountinfo, meminfo, files of PSI and of cgroups, which
 * all lie in a directory of our own here.
 *
 *   byte 0  which file or text; the rest is what it holds. The others hold what they should.
 */
#include "fuzz.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pressure/source.h"

static char root[64], proc[80], mountinfo[400];

static const struct {
	const char *name, *text;
} files[] = {
	{"proc/self/cgroup", "3:cpu,memory:/a\n0::/a\n"},
	{"proc/self/mountinfo", NULL},
	{"proc/meminfo", "MemTotal: 2000000 kB\nMemAvailable: 1000000 kB\n"},
	{"proc/pressure/memory",
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 total=2\n"},
	{"cg2/a/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"},
	{"cg2/a/memory.max", "100000000\n"},
	{"cg2/a/memory.high", "max\n"},
	{"cg2/a/memory.current", "90000000\n"},
	{"cg2/a/memory.stat", "anon 5\nfile 100\nshmem 50\ninactive_file 10\n"},
	{"cg1/a/memory.limit_in_bytes", "100000000\n"},
	{"cg1/a/memory.usage_in_bytes", "90000000\n"},
	{"cg1/a/memory.stat",
		"total_inactive_file 10\ntotal_active_file 10\nhierarchical_memory_limit 5\n"},
};
enum { FILES = sizeof(files) / sizeof(files[0]) };

static void put(unsigned which, const void *text, size_t length)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", root, files[which].name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, text, length) == (ssize_t)length);
	close(fd);
}

static void put_right(unsigned which)
{
	const char *text = files[which].text ? files[which].text : mountinfo;

	put(which, text, strlen(text));
}

static void make_directory(const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	must(mkdir(path, 0700) == 0);
}

static void remove_all(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	must(system(command) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const directories[] = {
		"proc", "proc/self", "proc/pressure", "cg1", "cg1/a", "cg2", "cg2/a"};

	(void)argc, (void)argv;
	strcpy(root, "/tmp/ashmem-fuzz-XXXXXX");
	must(mkdtemp(root));
	atexit(remove_all);
	for (unsigned i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		make_directory(directories[i]);
	snprintf(proc, sizeof(proc), "%s/proc", root);
	snprintf(mountinfo, sizeof(mountinfo),
		"30 25 0:26 / %s/cg2 rw shared:4 - cgroup2 none rw\n"
		"31 25 0:27 / %s/cg1 rw - cgroup none rw,memory\n",
		root, root);
	source_proc = proc;
	for (unsigned i = 0; i < FILES; i++)
		put_right(i);
	unsetenv("MEMORY_PRESSURE_WATCH");
	return 0;
}

static void base64(const uint8_t *data, size_t size)
{
	unsigned char bytes[64];
	char *text = malloc(size + 1);

	must(text);
	memcpy(text, data, size);
	text[size] = '\0';
	int64_t r = source_service_base64(text, bytes, sizeof(bytes));
	must((r >= 0 && r <= (int64_t)sizeof(bytes)) || r == -EBADMSG || r == -E2BIG);
	free(text);
}

static void watch(const char *source)
{
	struct ashmem_pressure_options options = {.struct_size = sizeof(options), .source = source};
	struct ashmem_pressure_status status = {.struct_size = sizeof(status)};
	struct ashmem_pressure *pressure = NULL;
	char text[200];

	if (ashmem_pressure_open(&options, &pressure) < 0) {
		must(pressure == NULL);
		return;
	}
	int level = ashmem_pressure_dispatch(pressure);
	must(level == -ENODEV ||
		(level >= ASHMEM_PRESSURE_NONE && level <= ASHMEM_PRESSURE_CRITICAL));
	must(ashmem_pressure_get_status(pressure, &status) == 0);
	must(ashmem_pressure_explain(pressure, text, sizeof(text)) >= 0);
	ashmem_pressure_close(pressure);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const sources[] = {
		"cgroup-psi", "system-psi", "cgroup-event", "headroom", "available", NULL};

	if (size < 2)
		return 0;
	unsigned which = data[0] % (FILES + 1), source = data[0] / (FILES + 1) % 6;
	if (which == FILES) {
		base64(data + 1, size - 1);
		return 0;
	}
	put(which, data + 1, size - 1);
	watch(sources[source]);
	put_right(which);
	return 0;
}
