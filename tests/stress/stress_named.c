/* SPDX-License-Identifier: MIT */
/*
 * Many processes open one name at once, or make what it stands for: all that hold it at one time
 * hold the same area, whoever of them is killed at whatever moment, whoever forks, and also while
 * the directory in which names lie comes into being (as root, with mounts of its own). Each round
 * has a name of its own. ASHMEM_STRESS_SECONDS, or 5.
 */
#define _GNU_SOURCE 1
#include "support/stress.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "area/names.h"

/* BYTES: whole pages of any size. */
enum { PROCESSES = 6, ROUND_SECONDS = 40, BYTES = 65536 };

/* What the processes of a round tell each other. */
struct round {
	uint32_t go;               /* atomic */
	uint32_t done;             /* atomic: bits of processes that hold the area */
	uint32_t over;             /* atomic */
	uint64_t found[PROCESSES]; /* the mark in the area that each holds */
	uint64_t makes;            /* atomic */
};

static struct round *round_now;
static char name[64];
static struct random_source random_here;

struct kept {
	struct ashmem_area *area;
	unsigned char *base;
	uint64_t mark;
};

static int keep(void *userdata, int fd)
{
	struct kept *kept = userdata;
	void *base;
	int r = fd >= 0 ? ashmem_import(fd, &kept->area)
			: ashmem_create("stress", BYTES, 0, &kept->area);

	stress_expect(r == 0);
	stress_expect(ashmem_map(kept->area, 0, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &base) ==
		0);
	kept->base = base;
	if (fd < 0) {
		uint64_t mark = __atomic_add_fetch(&round_now->makes, 1, __ATOMIC_SEQ_CST);
		memcpy(base, &mark, sizeof(mark));
	}
	return ashmem_fd(kept->area);
}

static void pause_a_little(uint64_t most_us)
{
	usleep((useconds_t)random_below(&random_here, most_us + 1));
}

/* A child that shares what there is at that moment, and lives on. */
static void fork_a_bystander(void)
{
	if (fork() == 0) {
		while (!__atomic_load_n(&round_now->over, __ATOMIC_SEQ_CST))
			usleep(1000);
		_exit(0);
	}
}

/* A name that nobody holds is removed, while others are about to lock it. */
static void look_before(void)
{
	struct ashmem_area *area;

	for (uint64_t looks = random_below(&random_here, 6); looks > 0; looks--)
		if (ashmem_open_named(name, &area) == 0)
			ashmem_close(area);
}

static void take_part(int number)
{
	struct kept kept = {.area = NULL};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(ROUND_SECONDS);
	while (!__atomic_load_n(&round_now->go, __ATOMIC_SEQ_CST))
		sched_yield();
	look_before();
	int r = names_open(name, keep, &kept);
	if (r < 0)
		stress_fail("open or make: %s", strerror(-r));
	memcpy(&round_now->found[number], kept.base, sizeof(uint64_t));
	if (random_below(&random_here, 3) == 0)
		fork_a_bystander();
	__atomic_fetch_or(&round_now->done, 1u << number, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&round_now->over, __ATOMIC_SEQ_CST))
		usleep(500);
	_exit(0);
}

/* One of them is killed while it opens or after; -1: none. */
static int kill_somebody(const pid_t *children)
{
	int victim = (int)random_below(&random_here, 2 * PROCESSES);

	if (victim >= PROCESSES)
		return -1;
	pause_a_little(2000);
	kill(children[victim], SIGKILL);
	return victim;
}

static void wait_for_all(const pid_t *children, int killed)
{
	uint32_t want = (1u << PROCESSES) - 1;

	if (killed >= 0)
		want &= ~(1u << killed);
	for (int i = 0; i < ROUND_SECONDS * 2000; i++) {
		if ((__atomic_load_n(&round_now->done, __ATOMIC_SEQ_CST) & want) == want)
			return;
		for (int k = 0; k < PROCESSES; k++)
			if (k != killed && waitpid(children[k], NULL, WNOHANG) != 0)
				stress_fail("process %d of the round ended", k);
		usleep(500);
	}
	stress_fail("a process hangs");
}

/* All survivors hold one area, and no more than one was made for each death and one. */
static void check_round(int killed)
{
	uint64_t mark = 0;

	for (int i = 0; i < PROCESSES; i++) {
		if (i == killed)
			continue;
		if (mark && round_now->found[i] != mark)
			stress_fail("two areas under one name");
		mark = round_now->found[i];
	}
	stress_expect(mark > 0 && round_now->makes <= (killed < 0 ? 1 : 2));
}

static void run_round(uint64_t number, int has_mounts)
{
	pid_t children[PROCESSES];

	memset(round_now, 0, sizeof(*round_now));
	snprintf(name, sizeof(name), "ashmem-stress.%d.%d", (int)getpid(), (int)number);
	if (has_mounts) {
		umount2("/run/user", MNT_DETACH);
		umount2("/tmp", MNT_DETACH);
		stress_expect(mount("t", "/run/user", "tmpfs", 0, "mode=755") == 0);
		stress_expect(mount("t", "/tmp", "tmpfs", 0, "mode=1777") == 0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		uint64_t seed = random_next(&random_here);
		children[i] = fork();
		stress_expect(children[i] >= 0);
		if (children[i] == 0) {
			random_here = random_from(seed);
			take_part(i);
		}
	}
	__atomic_store_n(&round_now->go, 1, __ATOMIC_SEQ_CST);
	if (has_mounts && number % 2) {
		pause_a_little(1500);
		mkdir("/run/user/0", 0700);
	}
	int killed = kill_somebody(children);
	wait_for_all(children, killed);
	check_round(killed);
	__atomic_store_n(&round_now->over, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < PROCESSES; i++)
		waitpid(children[i], NULL, 0);
}

static int make_mounts(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 0;
	mkdir("/run/user", 0755);
	return mount("t", "/run/user", "tmpfs", 0, "mode=755") == 0 &&
		mount("t", "/tmp", "tmpfs", 0, "mode=1777") == 0;
}

int main(void)
{
	struct timespec begun, now;
	uint64_t rounds = 0;

	if (access("/proc/self/fd", X_OK) < 0) {
		printf("no /proc\n");
		return 77;
	}
	if (ashmem_backend_select("memfd") < 0) {
		printf("no memfd backend\n");
		return 77;
	}
	random_here = random_from(test_seed("stress_named"));
	round_now = mmap(NULL, sizeof(*round_now), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stress_expect(round_now != MAP_FAILED);
	int has_mounts = make_mounts();
	clock_gettime(CLOCK_MONOTONIC, &begun);
	do {
		run_round(rounds++, has_mounts);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - begun.tv_sec) < stress_seconds());
	printf("%d rounds, %s\n", (int)rounds,
		has_mounts ? "with directories of its own" : "in the user's directory");
	return 0;
}
