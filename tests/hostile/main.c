/* SPDX-License-Identifier: MIT */
/*
 * Runs the cases, each in a process group of its own with a time limit.
 *
 * usage: hostile [--seed N] [--ms N] [--rounds N] [--list] [NAME...]
 *
 * NAME chooses cases whose name contains it; --ms is how long each attack goes on beside victims;
 * --seed repeats a run as far as chance goes (processes and threads come in another order each
 * time). Ends with `N passed, N failed, N skipped`.
 */
#include "hostile.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t roll_bits(struct dice *dice)
{
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return (dice->state * UINT64_C(0x2545f4914f6cdd1d)) >> 4;
}

uint64_t roll(struct dice *dice, uint64_t below)
{
	return below ? roll_bits(dice) % below : 0;
}

static char case_name[160];

void fail(const char *format, ...)
{
	char text[300];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "hostile: %s: %s\n", case_name, text);
	_exit(1);
}

void sleep_ms(unsigned ms)
{
	const struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

pid_t start_process(int (*fn)(void *argument), void *argument)
{
	pid_t parent = getpid(), child;

	fflush(NULL);
	child = fork();
	must(child >= 0);
	if (child > 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	_exit(fn(argument));
}

void join_process(pid_t child)
{
	int status;

	must(waitpid(child, &status, 0) == child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail("a process ended with status %#x", status);
}

void kill_process(pid_t child)
{
	int status;

	/* Had it failed, it would be gone. */
	pid_t gone = waitpid(child, &status, WNOHANG);
	if (gone == child)
		fail("a process that goes on for ever ended with status %#x", status);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
}

/* -- cases -- */

struct plan {
	uint64_t seed;
	unsigned ms;
	int is_list;
	char **names;
	int name_count;
	unsigned passed, failed;
};

static int is_chosen(const struct plan *plan, const char *name)
{
	for (int i = 0; i < plan->name_count; i++)
		if (strstr(name, plan->names[i]))
			return 1;
	return plan->name_count == 0;
}

/* Wait for a case and whatever it started; its status, or -1 if it had to be killed. */
static int wait_for(pid_t child)
{
	uint64_t end = sys_now_ns() + (uint64_t)CASE_SECONDS * 1000000000;
	int status = 0;

	while (waitpid(child, &status, WNOHANG) == 0) {
		if (sys_now_ns() > end) {
			kill(-child, SIGKILL);
			waitpid(child, &status, 0);
			return -1;
		}
		sleep_ms(2);
	}
	kill(-child, SIGKILL);
	return status;
}

enum kind { ONCE, DURING, SPECIAL };

static void run_case(struct plan *plan, enum kind kind, unsigned index)
{
	static const char *const forms[] = {"%s (once)", "%s (all the time)", "%s"};
	/* A case has the same seed whatever else is run. */
	uint64_t seed = plan->seed * 1000003 + index * 8 + kind;

	snprintf(case_name, sizeof(case_name), forms[kind],
		kind == SPECIAL ? specials[index].name : attacks[index].name);
	if (!is_chosen(plan, case_name))
		return;
	if (plan->is_list) {
		puts(case_name);
		return;
	}
	fflush(NULL);
	pid_t child = fork();
	must(child >= 0);
	if (child == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (kind == ONCE)
			run_once(&attacks[index], seed);
		else if (kind == DURING)
			run_during(&attacks[index], seed, plan->ms);
		else
			specials[index].run(seed);
		_exit(0);
	}
	setpgid(child, child);
	int status = wait_for(child);
	if (status == 0) {
		plan->passed++;
		return;
	}
	plan->failed++;
	printf("FAILED: %s: %s (status %#x); again: --seed %" PRIu64 " '%s'\n", case_name,
		status == -1 ? "no end within its time" : "see above", (unsigned)status, plan->seed,
		case_name);
}

int main(int argc, char **argv)
{
	struct plan plan = {.seed = (uint64_t)time(NULL), .ms = 200};
	int rounds = 1, at = 1;

	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
		if (strcmp(argv[at], "--list") == 0)
			plan.is_list = 1;
		else if (strcmp(argv[at], "--seed") == 0 && at + 1 < argc)
			plan.seed = strtoull(argv[++at], NULL, 0);
		else if (strcmp(argv[at], "--ms") == 0 && at + 1 < argc)
			plan.ms = (unsigned)atoi(argv[++at]);
		else if (strcmp(argv[at], "--rounds") == 0 && at + 1 < argc)
			rounds = atoi(argv[++at]);
		else
			return fprintf(stderr, "hostile: unknown option %s\n", argv[at]), 2;
	}
	plan.names = argv + at;
	plan.name_count = argc - at;
	setvbuf(stdout, NULL, _IOLBF, 0);
	ashmem_backend_select("memfd");
	victims_prepare();
	for (; rounds > 0; rounds--, plan.seed++) {
		if (!plan.is_list)
			printf("hostile: --seed %" PRIu64 "\n", plan.seed);
		for (unsigned i = 0; i < special_count; i++)
			run_case(&plan, SPECIAL, i);
		for (unsigned i = 0; i < attack_count; i++)
			run_case(&plan, ONCE, i);
		for (unsigned i = 0; i < attack_count; i++)
			run_case(&plan, DURING, i);
	}
	if (plan.is_list)
		return 0;
	if (plan.passed + plan.failed == 0)
		plan.failed++;
	printf("hostile: %u passed, %u failed, 0 skipped\n", plan.passed, plan.failed);
	return plan.failed != 0;
}
