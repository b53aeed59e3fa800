/* SPDX-License-Identifier: MIT */
/*
 * A test runner in one file, for places without Criterion: compiled to nothing unless
 * -DPLAIN_RUNNER.
 *
 * Each test runs in a child of its own with a time limit, so that one crash or hang is one failure.
 * With PLAIN_INPROCESS=1 the tests run one after the other in this process, for tools that follow
 * one process (thread sanitizer, valgrind); a crash then ends the run.
 *
 * usage: PROGRAM [--list] [PATTERN...]    PATTERN is a glob on "suite/name"
 * PLAIN_TIMEOUT is the seconds that a test may take (300). PLAIN_JOBS is how many tests may run at
 * a time (1): many of them mostly wait. Prints one PASS, FAIL or SKIP line a test, then "N passed,
 * N failed, N skipped". Exits 0 if nothing failed and something ran, else 1.
 */
#ifdef PLAIN_RUNNER

#define _GNU_SOURCE 1

#include "support/plain_runner.h"
#include "support/contract.h"

#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Shared by the workers. */
struct progress {
	atomic_uint next; /* the number of the test that the next free worker takes */
	atomic_int passed, failed, skipped;
};

static struct plain_test *first_test;
static struct plain_test **last_link = &first_test;
static struct plain_test *running;
static int in_process;
static jmp_buf leave_test;

void plain_register(struct plain_test *test)
{
	*last_link = test;
	last_link = &test->next;
}

static void report(const char *verdict, const struct plain_test *test, const char *why)
{
	printf("%s %s/%s%s%s\n", verdict, test->suite, test->name, why[0] ? ": " : "", why);
	fflush(stdout);
}

void plain_abandon(enum plain_verdict verdict, const char *why)
{
	report(verdict == PLAIN_SKIPPED ? "SKIP" : "FAIL", running, why);
	if (!in_process)
		_exit(verdict);
	longjmp(leave_test, verdict);
}

static enum plain_verdict run_in_process(struct plain_test *test)
{
	int verdict = setjmp(leave_test);

	if (verdict == 0)
		test->run();
	else
		return (enum plain_verdict)verdict;
	report("PASS", test, "");
	return PLAIN_PASSED;
}

/* Wait for a child for so many seconds; SIGCHLD is blocked and ends the sleep early. */
static int wait_limited(pid_t child, unsigned int seconds, int *status)
{
	struct timespec limit = {seconds, 0};
	sigset_t child_ended;

	sigemptyset(&child_ended);
	sigaddset(&child_ended, SIGCHLD);
	while (waitpid(child, status, WNOHANG) == 0) {
		if (sigtimedwait(&child_ended, NULL, &limit) < 0 && errno == EAGAIN)
			return 0;
	}
	return 1;
}

static unsigned int number_from(const char *variable, unsigned int otherwise)
{
	const char *text = getenv(variable);
	unsigned int number = text ? (unsigned int)strtoul(text, NULL, 10) : 0;

	return number ? number : otherwise;
}

static enum plain_verdict judge(const struct plain_test *test, int status)
{
	char why[80];

	if (WIFEXITED(status) && WEXITSTATUS(status) == PLAIN_SKIPPED)
		return PLAIN_SKIPPED;
	if (WIFEXITED(status) && WEXITSTATUS(status) == PLAIN_FAILED)
		return PLAIN_FAILED;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		report("PASS", test, "");
		return PLAIN_PASSED;
	}
	if (WIFSIGNALED(status))
		snprintf(why, sizeof why, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
	report("FAIL", test, why);
	return PLAIN_FAILED;
}

static void run_test_in_child(struct plain_test *test, const sigset_t *old_mask)
{
	setpgid(0, 0);
	sigprocmask(SIG_SETMASK, old_mask, NULL);
	test->run();
	fflush(NULL);
	_exit(PLAIN_PASSED);
}

static enum plain_verdict run_forked(struct plain_test *test)
{
	sigset_t child_ended, old_mask;
	pid_t child;
	int status = 0;
	int in_time;

	sigemptyset(&child_ended);
	sigaddset(&child_ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child_ended, &old_mask);
	fflush(NULL);
	child = fork();
	if (child == 0)
		run_test_in_child(test, &old_mask);
	if (child < 0) {
		report("FAIL", test, "cannot fork");
		return PLAIN_FAILED;
	}
	setpgid(child, child);
	in_time = wait_limited(child, number_from("PLAIN_TIMEOUT", 300), &status);
	kill(-child, SIGKILL);
	if (!in_time)
		waitpid(child, &status, 0);
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
	if (in_time)
		return judge(test, status);
	report("FAIL", test, "timed out");
	return PLAIN_FAILED;
}

static int wanted(const struct plain_test *test, char **patterns, int count)
{
	char full_name[256];
	int i;

	snprintf(full_name, sizeof full_name, "%s/%s", test->suite, test->name);
	for (i = 0; i < count; i++) {
		if (fnmatch(patterns[i], full_name, 0) == 0)
			return 1;
	}
	return count == 0;
}

static int list_tests(void)
{
	const struct plain_test *test;

	for (test = first_test; test; test = test->next)
		printf("%s/%s\n", test->suite, test->name);
	return first_test ? 0 : 1;
}

static void run_wanted(struct progress *progress, char **patterns, int count)
{
	unsigned int mine = atomic_fetch_add(&progress->next, 1);
	enum plain_verdict verdict;
	unsigned int number = 0;

	for (running = first_test; running; running = running->next) {
		if (!wanted(running, patterns, count) || number++ != mine)
			continue;
		verdict = in_process ? run_in_process(running) : run_forked(running);
		progress->passed += verdict == PLAIN_PASSED;
		progress->failed += verdict == PLAIN_FAILED;
		progress->skipped += verdict == PLAIN_SKIPPED;
		mine = atomic_fetch_add(&progress->next, 1);
	}
}

static void run_in_workers(struct progress *progress, unsigned int jobs, char **patterns, int count)
{
	unsigned int worker;
	int status;

	for (worker = 0; worker < jobs; worker++) {
		pid_t child = fork();

		if (child == 0) {
			run_wanted(progress, patterns, count);
			fflush(NULL);
			_exit(0);
		}
		progress->failed += child < 0;
	}
	while (wait(&status) > 0)
		progress->failed += status != 0;
}

int main(int argc, char **argv)
{
	const char *mode = getenv("PLAIN_INPROCESS");
	unsigned int jobs = number_from("PLAIN_JOBS", 1);
	struct progress *progress;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return list_tests();
	in_process = mode && strcmp(mode, "1") == 0;
	progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		-1, 0);
	if (progress == MAP_FAILED)
		return 1;
	if (jobs == 1 || in_process)
		run_wanted(progress, argv + 1, argc - 1);
	else
		run_in_workers(progress, jobs, argv + 1, argc - 1);
	printf("%d passed, %d failed, %d skipped\n", progress->passed, progress->failed,
		progress->skipped);
	return progress->failed == 0 && progress->passed + progress->skipped > 0 ? 0 : 1;
}

#else

typedef int plain_runner_is_not_built; /* ISO C wants something in a file */

#endif
