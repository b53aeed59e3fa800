/* SPDX-License-Identifier: MIT */
/*
 * Operations on watches of memory pressure. A /proc and cgroups made of plain files stand in for
 * the system's; plain files tell no events, so a FIFO and a socket are the sources that do.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "faults.h"
#include "pressure/source.h"
#include "base/sys.h"

static const char stalls[] = "some avg10=0.00 avg60=0.00 avg300=0.00 total=100\n";
static const char *source; /* NULL: auto */

/* -- a system made of files -- */

static const char *path_of(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", fake_root, name);
	return path;
}

static void put(const char *name, const char *text)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("a fake file");
	close(fd);
}

/* Version 2 or 1, with a limit of 64 MiB, and less than the reserve is left: memory is short. */
static void cgroup(int version)
{
	char mount[300];

	put("proc/self/cgroup", version == 1 ? "3:memory:/job\n" : "0::/job\n");
	snprintf(mount, sizeof(mount), "%d\n", getpid());
	put("cg/job/cgroup.procs", mount);
	snprintf(mount, sizeof(mount), "30 1 0:30 / %s/cg rw - %s\n", fake_root,
		version == 1 ? "cgroup cgroup rw,memory" : "cgroup2 cgroup2 rw");
	put("proc/self/mountinfo", mount);
	if (version == 1) {
		put("cg/job/memory.limit_in_bytes", "67108864\n");
		put("cg/job/memory.usage_in_bytes", "64487424\n");
		put("cg/job/memory.stat", "total_inactive_file 4096\ntotal_active_file 4096\n");
		put("cg/job/memory.pressure_level", "");
		put("cg/job/cgroup.event_control", "");
	} else {
		put("cg/job/memory.max", "67108864\n");
		put("cg/job/memory.high", "max\n");
		put("cg/job/memory.current", "64487424\n");
		put("cg/job/memory.stat", "inactive_file 4096\nactive_file 4096\n");
		put("cg/job/memory.pressure", stalls);
	}
}

static void begin(const char *wanted)
{
	static const char *const directories[] = {
		"proc", "proc/self", "proc/pressure", "cg", "cg/job"};

	ashmem_backend_select("memfd");
	for (int i = 0; i < 5; i++)
		if (mkdir(path_of(directories[i]), 0755) < 0 && errno != EEXIST)
			die("mkdir");
	static char proc[100];
	snprintf(proc, sizeof(proc), "%s/proc", fake_root);
	source_proc = proc;
	put("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 20000 kB\n");
	put("proc/pressure/memory", stalls);
	source = wanted;
	unsetenv("MEMORY_PRESSURE_WATCH");
	unsetenv("MEMORY_PRESSURE_WRITE");
}

static void available(struct world *world)
{
	(void)world;
	begin("available");
}

static void system_psi(struct world *world)
{
	(void)world;
	begin("system-psi");
}

static void cgroup_psi(struct world *world)
{
	(void)world;
	begin("cgroup-psi");
	cgroup(2);
}

static void cgroup_event(struct world *world)
{
	(void)world;
	begin("cgroup-event");
	cgroup(1);
}

static void headroom_1(struct world *world)
{
	(void)world;
	begin("headroom");
	cgroup(1);
}

static void headroom_2(struct world *world)
{
	(void)world;
	begin("headroom");
	cgroup(2);
}

/* Only the host's tree is there, in which the group has to be searched for. */
static void headroom_in_namespace(struct world *world)
{
	char mount[300];

	headroom_2(world);
	put("proc/self/cgroup", "0::/\n");
	snprintf(mount, sizeof(mount), "30 1 0:30 /.. %s/cg rw - cgroup2 cgroup2 rw\n", fake_root);
	put("proc/self/mountinfo", mount);
}

static void automatic(struct world *world)
{
	(void)world;
	begin(NULL);
	cgroup(2);
}

static void service_fifo(struct world *world)
{
	(void)world;
	begin("service");
	if (mkfifo(path_of("fifo"), 0600) < 0 && errno != EEXIST)
		die("mkfifo");
	setenv("MEMORY_PRESSURE_WATCH", path_of("fifo"), 1);
	setenv("MEMORY_PRESSURE_WRITE", "c29tZSAxMDAK", 1);
}

static void service_socket(struct world *world)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	begin("service");
	strcpy(address.sun_path, path_of("socket"));
	unlink(address.sun_path);
	world->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (world->fd < 0 || bind(world->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(world->fd, 8) < 0)
		die("a socket");
	setenv("MEMORY_PRESSURE_WATCH", address.sun_path, 1);
	setenv("MEMORY_PRESSURE_WRITE", "c29tZSAxMDAK", 1);
}

static void open_watch(struct world *world)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof(options), .source = source, .priority = 1};

	add_area(world, 0, PAGES, 0);
	unpin_pages(world, 0, 1, 3);
	unpin_pages(world, 0, 6, 2);
	if (ashmem_pressure_open(&options, &world->pressure) < 0)
		die("ashmem_pressure_open");
}

static void watched_headroom(struct world *world)
{
	headroom_2(world);
	open_watch(world);
}

static void watched_fifo(struct world *world)
{
	service_fifo(world);
	open_watch(world);
	int fifo = open(path_of("fifo"), O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (fifo < 0 || write(fifo, "event", 5) != 5)
		die("an event");
	close(fifo);
}

static void watched_automatic(struct world *world)
{
	automatic(world);
	open_watch(world);
	/* The trigger is written over a plain file's text; more than 10 ms later that is read. */
	put("cg/job/memory.pressure", stalls);
}

static void running(struct world *world)
{
	watched_headroom(world);
	if (ashmem_pressure_run(world->pressure) < 0)
		die("ashmem_pressure_run");
}

/* -- operations -- */

static int64_t do_open(struct world *world)
{
	struct ashmem_pressure_options options = {.struct_size = sizeof(options), .source = source};
	struct ashmem_pressure *pressure = UNTOUCHED;
	/* What it writes there is a plain file's text now. */
	put("proc/pressure/memory", stalls);
	if (source && strcmp(source, "cgroup-psi") == 0)
		put("cg/job/memory.pressure", stalls);
	int r = ashmem_pressure_open(&options, &pressure);

	world->touched = r < 0 && pressure != UNTOUCHED;
	if (r == 0)
		world->pressure = pressure;
	return r;
}

static int64_t close_watch(struct world *world)
{
	ashmem_pressure_close(world->pressure);
	world->pressure = NULL;
	return 0;
}

static int64_t do_dispatch(struct world *world)
{
	int r = ashmem_pressure_dispatch(world->pressure);

	if (r < 0 && fault.hits > 0 && fault.error == ENOMEM)
		snprintf(notes, sizeof(notes), "a passing shortage of memory loses the source");
	return r;
}

static int64_t do_run(struct world *world)
{
	return ashmem_pressure_run(world->pressure);
}

/* The thread lives on, and purges when the pressure is there. */
static int64_t do_run_and_purge(struct world *world)
{
	int r = ashmem_pressure_run(world->pressure);

	for (int tries = 0; r == 0 && tries < 2000 && ashmem_shrink_count() > 0 &&
		!(fault.hits > 0 && (fault.error == EIO || fault.error & FAULT_ALWAYS));
		tries++)
		usleep(1000);
	fault_disarm();
	/*
	 * A source that cannot be read is lost, and nothing helps where the kernel never frees
	 * anything.
	 */
	int is_lost = fault.hits > 0 && (fault.error == EIO || (fault.error & FAULT_ALWAYS));
	if (ashmem_shrink_count() > 0 && !is_lost)
		snprintf(notes, sizeof(notes), "the thread purges no more");
	ashmem_pressure_stop(world->pressure);
	return r;
}

static int64_t do_stop(struct world *world)
{
	return ashmem_pressure_stop(world->pressure);
}

static int64_t do_make_room(struct world *world)
{
	int64_t r = ashmem_pressure_make_room(world->pressure, 8192);

	/* What is purged does not show in plain files, so there is never room enough. */
	return r == -ENOMEM ? 0 : r;
}

static int64_t do_explain(struct world *world)
{
	char text[1000];

	return ashmem_pressure_explain(world->pressure, text, sizeof(text)) > 0;
}

static int64_t subscribe_watch(struct world *world)
{
	return ashmem_pressure_subscribe(world->pressure, NULL, NULL);
}

static int64_t watch_fd(struct world *world)
{
	return ashmem_pressure_fd(world->pressure) < 0;
}

const struct fault_case pressure_cases[] = {
	{"pressure: open of available", "ashmem_pressure_open", available, do_open, 0},
	{"pressure: open of system-psi", "ashmem_pressure_open", system_psi, do_open, 0},
	{"pressure: open of cgroup-psi", "ashmem_pressure_open", cgroup_psi, do_open, 0},
	{"pressure: open of cgroup-event", "ashmem_pressure_open", cgroup_event, do_open, 0},
	{"pressure: open of headroom, version 1", "ashmem_pressure_open", headroom_1, do_open, 0},
	{"pressure: open of headroom, version 2", "ashmem_pressure_open", headroom_2, do_open, 0},
	{"pressure: open of headroom, in a namespace", "ashmem_pressure_open",
		headroom_in_namespace, do_open, 0},
	{"pressure: open of a service's FIFO", "ashmem_pressure_open", service_fifo, do_open, 0},
	{"pressure: open of a service's socket", "ashmem_pressure_open", service_socket, do_open,
		0},
	{"pressure: open of auto", "ashmem_pressure_open", automatic, do_open, ANY_SUCCESS},
	{"pressure: dispatch and purge", "ashmem_pressure_dispatch", watched_headroom, do_dispatch,
		PART_MAY_BE_DONE | NO_RETRY | ANY_SUCCESS},
	{"pressure: dispatch of an event", "ashmem_pressure_dispatch", watched_fifo, do_dispatch,
		PART_MAY_BE_DONE | NO_RETRY | ANY_SUCCESS},
	{"pressure: dispatch of auto", "ashmem_pressure_dispatch", watched_automatic, do_dispatch,
		PART_MAY_BE_DONE | NO_RETRY | ANY_SUCCESS},
	{"pressure: make room", "ashmem_pressure_make_room", watched_headroom, do_make_room,
		PART_MAY_BE_DONE | NO_RETRY | ANY_SUCCESS},
	{"pressure: run", "ashmem_pressure_run", watched_headroom, do_run, MARKS_MAY_STAY},
	{"pressure: the thread", "ashmem_pressure_run", watched_headroom, do_run_and_purge,
		OTHER_THREADS | MARKS_MAY_STAY | ANY_SUCCESS},
	{"pressure: stop", "ashmem_pressure_stop", running, do_stop, MARKS_MAY_STAY | ANY_SUCCESS},
	{"pressure: close", "ashmem_pressure_close", running, close_watch,
		NO_RETRY | MARKS_MAY_STAY | ANY_SUCCESS},
	{"pressure: subscribe, fd, explain", "ashmem_pressure_subscribe", watched_headroom,
		subscribe_watch, 0},
	{"pressure: fd", "ashmem_pressure_fd", watched_headroom, watch_fd, 0},
	{"pressure: explain", "ashmem_pressure_explain", watched_headroom, do_explain, 0},
	{NULL, NULL, NULL, NULL, 0},
};
