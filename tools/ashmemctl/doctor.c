/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl doctor: what works here, what does not, and what follows from it, in plain words. It
 * tries things rather than reading versions: areas of its own, a watch, a thread's priority.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctl.h"
#include "proc.h"

enum result { GOOD, NOTE, BAD };

static unsigned told, problems;

/*
 * One finding. `advice` is what follows from it, or NULL; `what` is a word for scripts. The text is
 * made of the library's and the kernel's words alone.
 */
__attribute__((format(printf, 4, 5))) static void tell(enum result result, const char *what,
	const char *advice, const char *format, ...)
{
	static const char *const words[] = {"ok", "note", "problem"};
	static const enum ctl_color colors[] = {CTL_GREEN, CTL_YELLOW, CTL_RED};
	char text[512];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	problems += result == BAD;
	if (ctl.json) {
		printf("%s {\"check\":\"%s\",\"result\":\"%s\",\"text\":", told ? ",\n" : "", what,
			words[result]);
		ctl_json_string(text);
		if (advice) {
			printf(",\"advice\":");
			ctl_json_string(advice);
		}
		printf("}");
	} else {
		ctl_color_on(colors[result]);
		printf("%-8s", words[result]);
		ctl_color_off();
		printf("%s\n", text);
		if (advice)
			printf("        %s\n", advice);
	}
	told++;
}

/* The first number in a file; -1 if it cannot be read. */
static int64_t read_number(const char *path)
{
	char text[64];
	int64_t number = -1;
	FILE *file = fopen(path, "re");

	if (!file)
		return -1;
	if (fgets(text, sizeof(text), file))
		number = strtoll(text, NULL, 10);
	fclose(file);
	return number;
}

/* The number after "KEY:" in /proc/self/status; -1 if there is none. */
static int64_t status_number(const char *key)
{
	char line[256];
	int64_t number = -1;
	size_t length = strlen(key);
	FILE *file = fopen("/proc/self/status", "re");

	if (!file)
		return -1;
	while (number < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, key, length) == 0 && line[length] == ':')
			number = strtoll(line + length + 1, NULL, 10);
	fclose(file);
	return number;
}

/* ---------------------------------------------------------------- areas */

static void try_kernel(void)
{
	int r = ashmem_backend_select("kernel");

	if (r == 0)
		tell(GOOD, "kernel", NULL, "the kernel has an ashmem driver: \"auto\" uses it");
	else
		tell(GOOD, "kernel", NULL, "no ashmem driver in the kernel (%s): areas are memfds",
			strerror(-r));
}

/* An area of four pages that is written, unpinned, purged and pinned again. */
static int try_purging(struct ashmem_area *area)
{
	uint64_t size = 4 * ctl_page();
	void *address;
	int64_t freed;
	int r = ashmem_map(area, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, &address);

	if (r < 0)
		return r;
	memset(address, 1, size);
	r = ashmem_unpin(area, 0, size);
	freed = r < 0 ? r : ashmem_shrink(4);
	if (freed >= 0)
		r = ashmem_pin(area, 0, size);
	munmap(address, size);
	if (freed < 0 || r < 0)
		return freed < 0 ? (int)freed : r;
	return r == ASHMEM_WAS_PURGED ? 0 : -EIO;
}

static void try_read_only(struct ashmem_area *area)
{
	int fd = ashmem_export_read_only(area);

	if (fd >= 0) {
		close(fd);
		tell(GOOD, "read-only", NULL, "areas can be shared with peers that may only read");
	} else {
		tell(BAD, "read-only",
			"Dropping PROT_WRITE from a mask and sharing read-only fail. They need "
			"/proc mounted.",
			"areas cannot be shared for reading only: %s", strerror(-fd));
	}
}

static void try_memfd(void)
{
	struct ashmem_area *area = NULL;
	int r = ashmem_backend_select("memfd");

	if (r == 0)
		r = ashmem_create("doctor", 4 * ctl_page(), 0, &area);
	if (r == 0)
		r = try_purging(area);
	if (r == 0)
		tell(GOOD, "memfd", NULL, "areas can be made, purged and pinned again");
	else
		tell(BAD, "memfd",
			"Without memfds no area can be made. A sandbox must allow memfd_create, "
			"fallocate, mmap and fcntl.",
			"areas do not work: %s", strerror(-r));
	if (r == 0)
		try_read_only(area);
	ashmem_close(area);
}

static void try_sealing(void)
{
	struct ashmem_area *area = NULL;
	int r = ashmem_create("doctor", ctl_page(), ASHMEM_CREATE_ALLOW_SEAL, &area);

	if (r == 0)
		r = ashmem_seal(area);
	if (r == 0)
		tell(GOOD, "seal", NULL, "areas can be sealed");
	else
		tell(NOTE, "seal", "ashmem_seal() needs Linux 5.1.", "areas cannot be sealed: %s",
			strerror(-r));
	ashmem_close(area);
}

static void check_robust_lists(void)
{
	void *head = NULL;
	size_t length = 0;

	if (syscall(SYS_get_robust_list, 0, &head, &length) == 0 && head)
		tell(GOOD, "robust-list", NULL, "the kernel frees the lock of a process that dies");
	else
		tell(BAD, "robust-list",
			"If a process dies within a call, its peers wait until they time out. "
			"Let the sandbox allow set_robust_list.",
			"no robust list of locks: %s", head ? "" : strerror(errno));
}

/* ---------------------------------------------------------------- memory pressure */

static void tell_headroom(struct ashmem_pressure *pressure)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof(status)};
	char buf[3][8];

	if (ashmem_pressure_dispatch(pressure) < 0 ||
		ashmem_pressure_get_status(pressure, &status) < 0)
		return;
	if (status.limit_bytes)
		tell(GOOD, "limit", NULL, "%s free of %s; a watch keeps %s free",
			ctl_size(status.free_bytes, buf[0]), ctl_size(status.limit_bytes, buf[1]),
			ctl_size(status.reserve_bytes, buf[2]));
	else
		tell(NOTE, "limit",
			"A watch purges by stalls and events alone, which can come too late.",
			"no source reports how much memory is free");
}

static void check_pressure(void)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof(options),
		.flags = ASHMEM_PRESSURE_NOT_IN_UNPIN,
	};
	struct ashmem_pressure *pressure;
	char text[2048], *rest = text, *line;
	int r = ashmem_pressure_open(&options, &pressure);

	if (r < 0) {
		tell(BAD, "pressure",
			"Nothing is purged by itself: call ashmem_shrink(), or limit areas by a "
			"budget.",
			"no source of memory pressure works: %s", strerror(-r));
		return;
	}
	tell(GOOD, "pressure", NULL, "a watch uses the source %s",
		ashmem_pressure_source(pressure));
	if (ashmem_pressure_explain(pressure, text, sizeof(text)) >= 0)
		while ((line = strsep(&rest, "\n")) != NULL)
			if (*line)
				tell(GOOD, "source", NULL, "source %s", line);
	tell_headroom(pressure);
	ashmem_pressure_close(pressure);
}

/* Relief that runs late is no relief: may a thread be more urgent than the rest? */
static void check_priority(void)
{
	struct sched_param normal = {0}, urgent = {.sched_priority = 1};
	int policy = sched_getscheduler(0);

	if (policy == SCHED_OTHER && sched_setscheduler(0, SCHED_FIFO, &urgent) == 0) {
		sched_setscheduler(0, policy, &normal);
		tell(GOOD, "priority", NULL, "a thread may run before others (SCHED_FIFO)");
	} else {
		tell(NOTE, "priority",
			"Under a burst of allocations a watch's thread can run too late. Raise "
			"RLIMIT_RTPRIO, or grant CAP_SYS_NICE.",
			"a thread may not run before others: %s", strerror(errno));
	}
}

/* The id of a process of this name, or 0. Any process may call itself so. */
static pid_t find_process(const char *name)
{
	char path[64], text[32];
	struct dirent *entry;
	pid_t pid = 0;
	DIR *directory = opendir("/proc");

	while (directory && pid == 0 && (entry = readdir(directory)) != NULL) {
		pid_t candidate = proc_pid(entry->d_name);

		snprintf(path, sizeof(path), "/proc/%d/comm", (int)candidate);
		FILE *file = candidate ? fopen(path, "re") : NULL;
		if (!file)
			continue;
		if (fgets(text, sizeof(text), file)) {
			text[strcspn(text, "\n")] = '\0';
			pid = strcmp(text, name) == 0 ? candidate : 0;
		}
		fclose(file);
	}
	if (directory)
		closedir(directory);
	return pid;
}

static void check_daemon(void)
{
	pid_t pid = find_process("ashmemd");

	if (pid == 0)
		tell(NOTE, "daemon",
			"Where a program has no watch, or is stopped, nothing is purged: "
			"ashmemd(8) does it.",
			"ashmemd does not run");
	else if (sched_getscheduler(pid) == SCHED_FIFO)
		tell(GOOD, "daemon", NULL, "ashmemd runs, before others (SCHED_FIFO), process %d",
			(int)pid);
	else
		tell(NOTE, "daemon",
			"A burst of allocations can be faster than relief: grant it CAP_SYS_NICE "
			"or RLIMIT_RTPRIO.",
			"ashmemd runs as an ordinary process, %d", (int)pid);
}

/* ---------------------------------------------------------------- cgroups */

/* The directory of this process's cgroup; 0: there is none, or it cannot be seen. */
static int cgroup_directory(int version, char *directory, size_t size)
{
	const char *mount = version == 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
	char path[PATH_MAX];

	if (proc_own_cgroup(version, path, sizeof(path)) < 0)
		return 0;
	/* A container's own is the root of its mount. */
	int length = snprintf(directory, size, "%s%s", mount, path);
	if (length < 0 || (size_t)length >= size || access(directory, F_OK) != 0)
		snprintf(directory, size, "%s", mount);
	return 1;
}

/* A limit in a file of a cgroup; -1: there is no such file, 0: no limit. */
static int64_t cgroup_limit(const char *directory, const char *name)
{
	char path[PATH_MAX + 64], text[64] = "";

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "re");
	if (!file)
		return -1;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	int64_t limit = strncmp(text, "max", 3) == 0 ? 0 : strtoll(text, NULL, 10);
	return limit >= INT64_MAX / 2 ? 0 : limit;
}

static void check_version_2(const char *directory)
{
	int64_t most = cgroup_limit(directory, "memory.max");
	int64_t high = cgroup_limit(directory, "memory.high");
	char buf[2][8];

	if (most <= 0)
		tell(GOOD, "cgroup", NULL, "cgroup version 2, without a memory limit of its own");
	else if (high <= 0 || high > most)
		tell(NOTE, "cgroup",
			"Above memory.max the kernel kills. Set memory.high (MemoryHigh=) a tenth "
			"below it: then a burst is slowed down until memory was purged.",
			"cgroup version 2: memory.max is %s, memory.high is not set",
			ctl_size((uint64_t)most, buf[0]));
	else
		tell(GOOD, "cgroup", NULL, "cgroup version 2: memory.max is %s, memory.high %s",
			ctl_size((uint64_t)most, buf[0]), ctl_size((uint64_t)high, buf[1]));
}

static void check_cgroup(void)
{
	char directory[PATH_MAX], buf[8];
	int64_t limit;

	if (cgroup_directory(1, directory, sizeof(directory)) &&
		(limit = cgroup_limit(directory, "memory.limit_in_bytes")) >= 0) {
		if (limit > 0)
			tell(GOOD, "cgroup", NULL, "cgroup version 1, with a limit of %s",
				ctl_size((uint64_t)limit, buf));
		else
			tell(GOOD, "cgroup", NULL,
				"cgroup version 1, without a memory limit of its own");
	} else if (cgroup_directory(2, directory, sizeof(directory)) &&
		access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0) {
		check_version_2(directory);
	} else {
		tell(NOTE, "cgroup",
			"A limit that is set from outside is not seen: mount the hierarchy, "
			"read-only is enough.",
			"no cgroup with the memory controller can be seen");
	}
}

/* ---------------------------------------------------------------- limits */

static void check_limit(int which, const char *what, rlim_t enough, const char *advice)
{
	struct rlimit limit;

	if (getrlimit((__typeof__(RLIMIT_NOFILE))which, &limit) < 0)
		return;
	if (limit.rlim_cur == RLIM_INFINITY)
		tell(GOOD, what, NULL, "%s is unlimited", what);
	else if (limit.rlim_cur >= enough)
		tell(GOOD, what, NULL, "%s is %" PRIu64, what, (uint64_t)limit.rlim_cur);
	else
		tell(NOTE, what, advice, "%s is %" PRIu64, what, (uint64_t)limit.rlim_cur);
}

static void check_limits(void)
{
	int64_t maps = read_number("/proc/sys/vm/max_map_count");

	check_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", 4096,
		"An area needs one or two descriptors: calls fail with EMFILE above that.");
	check_limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", RLIM_INFINITY, "A larger area fails with EFBIG.");
	check_limit(RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", (rlim_t)1 << 20,
		"An urgent watch cannot keep the library's code in memory: it may be read from a "
		"disk when memory is short.");
	if (maps >= 0)
		tell(maps >= 65530 ? GOOD : NOTE, "max_map_count",
			maps >= 65530 ? NULL : "Mapping many areas fails with ENOMEM.",
			"vm.max_map_count is %" PRId64, maps);
	if (read_number("/proc/sys/vm/overcommit_memory") == 2)
		tell(NOTE, "overcommit",
			"Filling an area can end in SIGBUS: call ashmem_populate() first.",
			"vm.overcommit_memory is 2");
	else
		tell(GOOD, "overcommit", NULL, "memory is not committed strictly");
}

static void check_sandbox(void)
{
	int64_t mode = status_number("Seccomp");

	if (access("/proc/self/fd", R_OK | X_OK) < 0)
		tell(BAD, "proc",
			"Read-only sharing, holds, and finding limits need /proc. Mount it.",
			"/proc/self/fd cannot be used: %s", strerror(errno));
	else
		tell(GOOD, "proc", NULL, "/proc is there");
	if (mode > 0)
		tell(NOTE, "seccomp",
			"What is denied shows in the checks here only if this command ran in the "
			"same sandbox.",
			"system calls are filtered (seccomp mode %" PRId64 ")", mode);
	else
		tell(GOOD, "seccomp", NULL, "system calls are not filtered");
	if (read_number("/proc/sys/vm/memfd_noexec") == 2)
		tell(NOTE, "memfd_noexec", "PROT_EXEC mappings of areas fail.",
			"vm.memfd_noexec is 2");
}

int ctl_doctor(void)
{
	if (ctl.args[0]) {
		ctl_complain(ctl.args[0], "doctor takes no argument");
		return CTL_USAGE;
	}
	if (ctl.json)
		puts("[");
	tell(GOOD, "version", NULL, "libashmem %s", ashmem_version_string());
	try_kernel();
	try_memfd();
	try_sealing();
	check_robust_lists();
	check_sandbox();
	check_cgroup();
	check_pressure();
	check_priority();
	check_daemon();
	check_limits();
	if (ctl.json)
		puts("\n]");
	else
		printf("%u problem%s\n", problems, problems == 1 ? "" : "s");
	return problems ? CTL_PROBLEM : CTL_OK;
}
