/* SPDX-License-Identifier: MIT */
/*
 * What the processes in a group do.
 */
#include "relief.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RANGE (256 << 10)
#define STATE_BYTES 2048 /* of the control block, which ends the file; its lock is the first word */

static uint64_t page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

struct ashmem_area *owner_make(uint64_t bytes, uint64_t pinned_bytes, char **at)
{
	struct ashmem_area *area;
	void *address;

	must(ashmem_backend_select("memfd"), "memfd");
	must(ashmem_create("relief", bytes, 0, &area), "ashmem_create");
	must(ashmem_map(area, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &address),
		"ashmem_map");
	for (uint64_t done = 0; done < bytes; done += RANGE) {
		uint64_t length = bytes - done < RANGE ? bytes - done : RANGE;

		memset((char *)address + done, 0x5a, length);
		if (done >= pinned_bytes)
			must(ashmem_unpin(area, done, length), "ashmem_unpin");
	}
	if (at)
		*at = address;
	return area;
}

static volatile sig_atomic_t is_ended;

static void end(int number)
{
	(void)number;
	is_ended = 1;
}

static void wait_for_end(void)
{
	sigset_t blocked, none;

	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	signal(SIGTERM, end);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	ready();
	while (!is_ended)
		sigsuspend(&none);
}

void owner_work(void *argument)
{
	const struct owner *owner = argument;
	struct ashmem_pressure *pressure;
	char *at = NULL;

	become_user(owner->user);
	if (owner->watches) {
		must(ashmem_pressure_open(NULL, &pressure), "ashmem_pressure_open");
		must(ashmem_pressure_run(pressure), "ashmem_pressure_run");
	}
	owner_make(owner->bytes, owner->pinned_bytes, &at);
	for (int i = 1; i < owner->number; i++)
		owner_make(owner->bytes, owner->pinned_bytes, NULL);
	wait_for_end();
	for (uint64_t i = 0; i < owner->pinned_bytes; i++)
		if (at[i] != 0x5a)
			_exit(1);
}

void burst_work(void *argument)
{
	const struct burst *burst = argument;
	char *at = mmap(NULL, burst->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		0);

	must(at == MAP_FAILED ? -errno : 0, "mmap");
	if (burst->huge)
		madvise(at, burst->bytes, MADV_HUGEPAGE);
	/* Where it may not be one, it is slower. */
	if (burst->urgent)
		sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
	ready();
	for (uint64_t i = 0; i < burst->bytes; i += page())
		at[i] = 1;
}

/* -- hostile owners -- */

/* The state of an area, as any peer can map it. */
static uint32_t *map_state(struct ashmem_area *area)
{
	struct stat status;
	int fd = ashmem_fd(area);

	must(fd, "ashmem_fd");
	must(fstat(fd, &status) < 0 ? -errno : 0, "fstat");
	char *at = mmap(NULL, page(), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		status.st_size - (off_t)page());
	must(at == MAP_FAILED ? -errno : 0, "mmap");
	return (uint32_t *)(at + page() - STATE_BYTES);
}

/* Each says that a living thread has its lock: ours. */
void locked_work(void *number)
{
	for (int i = 0; i < *(int *)number; i++) {
		uint32_t *state = map_state(owner_make(page(), 0, NULL));

		*state = (uint32_t)syscall(SYS_gettid);
		munmap((void *)((uintptr_t)state & ~(uintptr_t)(page() - 1)), page());
	}
	wait_for_end();
}

/* A FIFO whose name in /proc is that of an area. */
static void make_fifo(void)
{
	char place[] = "/tmp/ashmemd-XXXXXX", path[128];

	must(mkdtemp(place) ? 0 : -errno, "mkdtemp");
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", place, "tmpfs", 0, "size=1m") < 0) {
		rmdir(place);
		return;
	}
	snprintf(path, sizeof(path), "%s/memfd:", place);
	must(mkdir(path, 0700) < 0 ? -errno : 0, path);
	snprintf(path, sizeof(path), "%s/memfd:/dev", place);
	must(mkdir(path, 0700) < 0 ? -errno : 0, path);
	snprintf(path, sizeof(path), "%s/memfd:/dev/ashmem-fifo", place);
	must(mkfifo(path, 0700) < 0 ? -errno : 0, path);
	must(open(path, O_RDWR | O_NONBLOCK) < 0 ? -errno : 0, path);
	snprintf(path, sizeof(path), "%s/memfd:/dev/ashmem-file", place);
	must(open(path, O_RDWR | O_CREAT, 0600) < 0 ? -errno : 0, path);
}

/* A lease needs that nobody else has opened the file; what made the memfd does not count. */
static void make_lease(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		ashmem_fd(owner_make(4 * page(), 0, NULL)));
	fd = open(path, O_RDWR);
	must(fd < 0 ? -errno : 0, path);
	signal(SIGIO, SIG_IGN);
	must(fcntl(fd, F_SETLEASE, F_WRLCK) < 0 ? -errno : 0, "F_SETLEASE");
}

void hostile_work(void *unused)
{
	struct ashmem_area *area;

	(void)unused;
	must(ashmem_backend_select("memfd"), "memfd");
	/* Empty, all of it unpinned. */
	must(ashmem_create("empty", (uint64_t)1 << 40, 0, &area), "ashmem_create");
	must(ashmem_fd(area), "ashmem_fd");
	must(ashmem_unpin(area, 0, 0), "ashmem_unpin");
	map_state(owner_make(page(), 0, NULL))[1] = 1; /* damaged */
	uint32_t *state = map_state(owner_make(4 * page(), 0, NULL));
	memset(state, 0xa5, STATE_BYTES / 2); /* nonsense, but for the end of the file */
	make_lease();
	make_fifo();
	wait_for_end();
}

/* Every second page unpinned: as many ranges. All of it is a hole but the first page. */
static void make_ranges(uint32_t ranges)
{
	struct ashmem_area *area;
	void *at;

	must(ashmem_create("ranges", (uint64_t)ranges * 2 * page(), 0, &area), "ashmem_create");
	must(ashmem_map(area, 0, page(), PROT_READ | PROT_WRITE, MAP_SHARED, &at), "ashmem_map");
	memset(at, 1, page());
	for (uint32_t i = 0; i < ranges; i++)
		must(ashmem_unpin(area, (uint64_t)i * 2 * page(), page()), "ashmem_unpin");
}

/* The largest that can be had here, unpinned, with a page in it. */
static void make_largest(void)
{
	uint64_t bytes = (uint64_t)1 << 46;
	struct ashmem_area *area;
	void *at;

	while (ashmem_create("largest", bytes, 0, &area) < 0 || ashmem_fd(area) < 0)
		bytes /= 2;
	must(ashmem_map(area, 0, page(), PROT_READ | PROT_WRITE, MAP_SHARED, &at), "ashmem_map");
	memset(at, 1, page());
	must(ashmem_unpin(area, 0, 0), "ashmem_unpin");
	fprintf(stderr, "the largest area: %llu GiB\n", (unsigned long long)(bytes >> 30));
}

void costly_work(void *ranges)
{
	must(ashmem_backend_select("memfd"), "memfd");
	make_largest();
	make_ranges(*(uint32_t *)ranges);
	hostile_work(NULL);
}

void mapped_work(void *bytes)
{
	struct ashmem_area *area = owner_make(*(uint64_t *)bytes, 0, NULL);

	ashmem_close(area); /* the mapping stays */
	wait_for_end();
}

void holder_work(void *path)
{
	int fd = open(path, O_RDWR);

	must(fd < 0 ? -errno : 0, path);
	wait_for_end();
}

void busy_work(void *unused)
{
	char *at;
	struct ashmem_area *area = owner_make(16 * MIB, 0, &at);

	(void)unused;
	signal(SIGTERM, end);
	ready();
	while (!is_ended)
		for (uint64_t i = 0; i < 16 * MIB && !is_ended; i += RANGE) {
			int r = ashmem_pin(area, i, RANGE);

			must(r, "ashmem_pin");
			if (r == ASHMEM_WAS_PURGED)
				memset(at + i, 0x5a, RANGE);
			for (uint64_t j = 0; j < RANGE; j += page())
				if (at[i + j] != 0x5a) {
					fprintf(stderr, "a pinned page was purged\n");
					_exit(1);
				}
			must(ashmem_unpin(area, i, RANGE), "ashmem_unpin");
		}
}

/* One use of a random range: 1 if what was in it is still there. */
static int use(struct ashmem_area *area, char *at, uint64_t ranges, unsigned *seed)
{
	uint64_t offset = (uint64_t)rand_r(seed) % ranges * RANGE;
	int r = ashmem_pin(area, offset, RANGE);

	must(r, "ashmem_pin");
	if (r == ASHMEM_WAS_PURGED)
		memset(at + offset, 0x5a, RANGE);
	else
		must(memcmp(at + offset, at + offset + 1, RANGE - 1) ? -EIO : 0, "what is there");
	must(ashmem_unpin(area, offset, RANGE), "ashmem_unpin");
	return r != ASHMEM_WAS_PURGED;
}

void cache_work(void *argument)
{
	const struct cache *cache = argument;
	unsigned seed = (unsigned)getpid();
	uint32_t done = 0, hits = 0;
	char *at;
	struct ashmem_area *area = owner_make(cache->bytes, 0, &at);

	signal(SIGTERM, end);
	ready();
	while (!is_ended && __atomic_load_n(cache->left, __ATOMIC_ACQUIRE) > 0) {
		int hit = use(area, at, cache->bytes / RANGE, &seed);

		if (cache->pause_ms > 0)
			sleep_ms(cache->pause_ms);
		if (!__atomic_load_n(cache->counted, __ATOMIC_ACQUIRE) || done == cache->uses)
			continue;
		hits += (uint32_t)hit;
		if (++done < cache->uses)
			continue;
		*cache->hits = hits;
		__atomic_sub_fetch(cache->left, 1, __ATOMIC_RELEASE);
	}
}
