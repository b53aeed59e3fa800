/* SPDX-License-Identifier: MIT */
/*
 * Many processes on a few areas, one of which is killed every few milliseconds, wherever it is.
 * Each pins, unpins, uses and checks pages of its own (stress.h); its successor finds what the dead
 * one knew of them on a board that all share, and every page that was not in doubt must be as that
 * says. Nobody may ever wait in vain for a lock. Half of the successors are forked and know the
 * areas; half are executed anew, and import them.
 *
 * ASHMEM_STRESS_SECONDS (5) says how long. Exits 0 if all went well, 77 where the kernel tells
 * nobody of dead owners.
 */
#define _GNU_SOURCE 1
#include "support/stress.h"
#include "support/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"

enum { WORKERS = 5 };
/* What an executed worker is told: its own number, the board's descriptor, the areas'. */
enum { NUMBERS = 2 + STRESS_AREAS };

/* What all share, and what outlives each: a memfd, so that executed successors find it. */
struct board {
	uint32_t stop, probe;
	uint64_t seed, steps, purged, kept, imported;
	struct stress_page pages[WORKERS][STRESS_AREAS][STRESS_STRIPE];
};

static struct board *board;
static int board_fd;
static struct stress_worker own;
static pid_t workers[WORKERS];

static struct board *map_board(int fd)
{
	void *memory = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	stress_expect(memory != MAP_FAILED);
	return memory;
}

/* -- workers -- */

__attribute__((noreturn)) static void work(int number)
{
	uint64_t life = __atomic_add_fetch(&board->seed, 1, __ATOMIC_RELAXED);

	own.number = number;
	own.pages = board->pages[number];
	own.random = random_from(0x9e3779b97f4a7c15u * (life + 1));
	stress_take_over(&own);
	while (!__atomic_load_n(&board->stop, __ATOMIC_RELAXED)) {
		stress_step(&own);
		if (own.steps % 64 == 0) {
			__atomic_add_fetch(&board->steps, 64, __ATOMIC_RELAXED);
			__atomic_add_fetch(&board->purged, own.purged, __ATOMIC_RELAXED);
			__atomic_add_fetch(&board->kept, own.kept, __ATOMIC_RELAXED);
			own.purged = own.kept = 0;
		}
	}
	stress_take_over(&own);
	_exit(0);
}

/* An executed worker: the descriptors are numbers in its arguments. */
static void work_from_arguments(char **arguments)
{
	board = map_board(atoi(arguments[1]));
	own.stripes = WORKERS;
	for (int i = 0; i < STRESS_AREAS; i++) {
		int r = ashmem_import(atoi(arguments[2 + i]), &own.area[i]);
		if (r != 0)
			stress_fail("import answers %d", r);
	}
	stress_map_areas(&own);
	__atomic_add_fetch(&board->imported, 1, __ATOMIC_RELAXED);
	work(atoi(arguments[0]));
}

static void execute(int number)
{
	char numbers[NUMBERS][16], program[4096], mode[] = "--worker";
	char *arguments[2 + NUMBERS + 1] = {program, mode};
	/* The link's text, since valgrind's own program is behind the link itself. */
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

	stress_expect(length > 0);
	program[length] = '\0';
	snprintf(numbers[0], sizeof(numbers[0]), "%d", number);
	snprintf(numbers[1], sizeof(numbers[1]), "%d", dup(board_fd));
	for (int i = 0; i < STRESS_AREAS; i++)
		snprintf(numbers[2 + i], sizeof(numbers[2 + i]), "%d", dup(ashmem_fd(own.area[i])));
	for (int i = 0; i < NUMBERS; i++)
		arguments[2 + i] = numbers[i];
	execv(program, arguments);
	stress_fail("exec: %s", strerror(errno));
}

static void start_worker(int number, int anew)
{
	pid_t parent = getpid(), child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		alarm((unsigned)stress_seconds() + 30);
		if (anew)
			execute(number);
		work(number);
	}
	stress_expect(child > 0);
	workers[number] = child;
}

/* A worker ended: killed by us, or well. */
static void bury(int number)
{
	int status = 0;

	while (waitpid(workers[number], &status, 0) < 0)
		stress_expect(errno == EINTR);
	if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status) != 0)
		stress_fail("worker %d ended with wait status %#x", number, (unsigned)status);
}

/* -- the parent -- */

/* Emulators of user programs do not do what the kernel does when a lock's owner dies. */
static int deaths_are_told(void)
{
	pid_t child = fork();

	if (child == 0) {
		lock_acquire(&board->probe);
		_exit(0);
	}
	stress_expect(child > 0);
	stress_expect(waitpid(child, NULL, 0) == child);
	return board->probe == LOCK_DEAD;
}

static uint64_t kill_and_replace(double deadline)
{
	/* Long enough for some steps before most of the kills; valgrind has to start first. */
	const uint64_t longest_ns = under_valgrind() ? 400000000 : 6000000;
	uint64_t kills = 0;

	while (seconds_now() < deadline) {
		int number = (int)stress_random(&own, WORKERS);
		struct timespec pause = {0, (long)stress_random(&own, longest_ns)};

		nanosleep(&pause, NULL);
		kill(workers[number], SIGKILL);
		bury(number);
		start_worker(number, (int)stress_random(&own, 2));
		kills++;
		if (kills % 16 == 0) {
			int64_t r = ashmem_purge_all();
			if (r < 0)
				stress_fail("purge_all answers %" PRId64, r);
		}
	}
	return kills;
}

static uint64_t recoveries(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < STRESS_AREAS; i++) {
		struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
		stress_expect(ashmem_area_get_stats(own.area[i], &stats) == 0);
		sum += stats.recoveries;
	}
	return sum;
}

int main(int count, char **arguments)
{
	uint64_t kills;

	/* With any argument this is a worker, and never one that starts others. */
	if (count > 1) {
		stress_expect(count == 2 + NUMBERS && strcmp(arguments[1], "--worker") == 0);
		work_from_arguments(arguments + 2);
	}
	board_fd = memfd_create("stress board", MFD_CLOEXEC);
	stress_expect(board_fd >= 0 && ftruncate(board_fd, sizeof(struct board)) == 0);
	board = map_board(board_fd);
	if (!deaths_are_told()) {
		puts("nobody tells of dead owners here (qemu-user?)");
		return 77;
	}
	own.random = random_from((uint64_t)getpid() * 0x9e3779b97f4a7c15u);
	stress_make_areas(&own, WORKERS);
	for (int i = 0; i < WORKERS; i++)
		start_worker(i, i % 2);

	kills = kill_and_replace(seconds_now() + stress_seconds());
	__atomic_store_n(&board->stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < WORKERS; i++)
		bury(i);
	/* Whoever comes last finds every stripe as the board says. */
	for (int i = 0; i < WORKERS; i++) {
		own.number = i;
		own.pages = board->pages[i];
		stress_take_over(&own);
	}
	printf("%" PRIu64 " steps of %d processes, %" PRIu64 " killed, %" PRIu64
	       " imported, %" PRIu64 " recoveries; pages found whole %" PRIu64 ", purged %" PRIu64
	       "\n",
		board->steps, WORKERS, kills, board->imported, recoveries(), board->kept,
		board->purged);
	stress_check_areas(&own);
	stress_expect(kills > 0 && board->purged > 0 && board->kept > 0);
	return 0;
}
