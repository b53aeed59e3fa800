/* SPDX-License-Identifier: MIT */
/*
 * The program of `make check-crash`: deaths at random moments, then every case, and areas that are
 * not born yet, by two workers.
 *
 *   crash [NAME...]    only cases whose name begins so
 * DEEP=1 in the environment does more of everything that is sampled; CRASH_SEED repeats a run.
 * Exit: 0, 1, or 77 if ptrace is not allowed.
 */
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

struct totals totals;
int deep;
char here[200];
static uint64_t seed, random_state;

enum { WORKERS = 2, CACHES = 200 };

/* Each case has its own numbers, whichever worker does it. */
static void random_seed(uint64_t number)
{
	random_state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ (number << 32);
	random_state += random_state == 0;
}

uint32_t random_below(uint32_t bound)
{
	/* xorshift64*, Vigna 2016 */
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * UINT64_C(0x2545F4914F6CDD1D) >> 32) % bound);
}

int complain(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "crash: %s: ", here);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	return -1;
}

void die(const char *what)
{
	complain("the test itself: %s", what);
	exit(1);
}

void case_done(const char *name, int failed)
{
	(void)name;
	totals.passed += !failed;
	totals.failed += failed != 0;
}

static void too_long(int signal)
{
	(void)signal;
	complain("takes too long");
	_exit(1);
}

static int is_chosen(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(name, argv[i], strlen(argv[i])) == 0)
			return 1;
	return argc < 2;
}

/* A step is twice as fast if the child and its tracer share a processor. */
static void stay_on_processor(int number)
{
	cpu_set_t set;

	sched_getaffinity(0, sizeof(set), &set);
	number %= CPU_COUNT(&set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && number-- == 0) {
			CPU_ZERO(&set);
			CPU_SET(cpu, &set);
			sched_setaffinity(0, sizeof(set), &set);
			return;
		}
}

/* What the workers share: which cases are taken, and what came of them. */
struct shared {
	uint32_t taken[CACHES + 100];
	struct totals totals[WORKERS];
};

static void do_cases(struct shared *shared, int slow, int argc, char **argv)
{
	for (unsigned i = 0; crash_cases[i].name; i++) {
		const struct crash_case *c = &crash_cases[i];
		if (((c->flags & SLOW) != 0) != slow || !is_chosen(c->name, argc, argv) ||
			__atomic_exchange_n(&shared->taken[i], 1, __ATOMIC_SEQ_CST))
			continue;
		random_seed(i + 1);
		run_case(c);
	}
}

static void do_caches(struct shared *shared, int argc, char **argv)
{
	for (unsigned i = 0; cache_case_name(i); i++) {
		if (!is_chosen(cache_case_name(i), argc, argv) ||
			__atomic_exchange_n(&shared->taken[CACHES + i], 1, __ATOMIC_SEQ_CST))
			continue;
		random_seed(CACHES + i);
		run_cache_case(i);
	}
}

/* The long ones first, so that nobody is left alone with one at the end. */
static void be_worker(struct shared *shared, int number, int argc, char **argv)
{
	stepper_prepare();
	stay_on_processor(number);
	do_cases(shared, 1, argc, argv);
	if ((is_chosen("birth", argc, argv) || is_chosen("seal", argc, argv)) &&
		!__atomic_exchange_n(&shared->taken[199], 1, __ATOMIC_SEQ_CST)) {
		random_seed(199);
		run_births();
	}
	do_caches(shared, argc, argv);
	do_cases(shared, 0, argc, argv);
	shared->totals[number] = totals;
	exit(0);
}

static void run_workers(int argc, char **argv)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t worker[WORKERS];

	if (shared == MAP_FAILED)
		die("mmap");
	for (int i = 0; i < WORKERS; i++) {
		worker[i] = fork();
		if (worker[i] < 0)
			die("fork");
		if (worker[i] == 0) {
			totals = (struct totals){.passed = 0};
			be_worker(shared, i, argc, argv);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		const struct totals *its = &shared->totals[i];
		totals.failed += wait_for(worker[i]) != 0;
		totals.passed += its->passed;
		totals.failed += its->failed;
		totals.points += its->points;
		totals.states += its->states;
		totals.killed += its->killed;
		totals.again += its->again;
		totals.vdso += its->vdso;
	}
}

int main(int argc, char **argv)
{
	const char *wanted = getenv("CRASH_SEED"), *more = getenv("DEEP");
	struct timespec begin, end;

	deep = more && strcmp(more, "1") == 0;
	seed = wanted ? strtoull(wanted, NULL, 0) : (uint64_t)time(NULL);
	printf("crash: seed %" PRIu64 "\n", seed);
	random_seed(0);
	stepper_check();
	stepper_prepare();
	signal(SIGALRM, too_long);
	signal(SIGPIPE, SIG_IGN);
	ashmem_backend_select("memfd");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (is_chosen("storm", argc, argv))
		run_storm();
	fflush(stdout);
	run_workers(argc, argv);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("crash: %" PRIu64 " kill points (%" PRIu64 " steps of operations, %" PRIu64
	       " of recoveries, %" PRIu64 " real kills), %" PRIu64
	       " different states judged, %ld s\n",
		totals.points + totals.again + totals.killed, totals.points, totals.again,
		totals.killed, totals.states, (long)(end.tv_sec - begin.tv_sec));
	printf("crash: every step one instruction, libc's too, but for %" PRIu64
	       " calls into the vdso\n",
		totals.vdso);
	printf("crash: %" PRIu64 " passed, %" PRIu64 " failed, %" PRIu64 " skipped\n",
		totals.passed, totals.failed, totals.skipped);
	return totals.failed != 0 || totals.passed == 0;
}
