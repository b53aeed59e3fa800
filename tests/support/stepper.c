/* SPDX-License-Identifier: MIT */
/* Running a function one machine instruction at a time: see stepper.h. */
#define _GNU_SOURCE 1
#include "support/stepper.h"
#include "support/contract.h"
#include "support/tools.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void do_nothing(void *argument)
{
	(void)argument;
}

static pid_t start_stopped(void (*prepare)(void *argument), void (*fn)(void *argument),
	void *argument)
{
	pid_t child;
	int status = 0;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		contract_in_child = 1;
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			_exit(77);
		prepare(argument);
		raise(SIGSTOP);
		fn(argument);
		raise(SIGSTOP);
		_exit(0);
	}
	expect(child > 0);
	expect_eq(waitpid(child, &status, 0), child);
	if (!WIFSTOPPED(status))
		return -1;
	ptrace(PTRACE_SETOPTIONS, child, 0, (void *)(uintptr_t)PTRACE_O_EXITKILL);
	return child;
}

static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0)
		expect_eq(errno, EINTR);
}

/* One instruction; 1 if the child stopped behind it, 0 if it came to its end. */
static int step(pid_t child, int *cannot)
{
	int status = 0;

	*cannot = ptrace(PTRACE_SINGLESTEP, child, 0, 0) < 0;
	if (*cannot)
		return 0;
	expect_eq(waitpid(child, &status, 0), child);
	expect_msg(WIFSTOPPED(status), "the child ended, wait status %#x", (unsigned)status);
	if (WSTOPSIG(status) == SIGSTOP)
		return 0;
	expect_eq(WSTOPSIG(status), SIGTRAP);
	return 1;
}

void skip_without_stepping(void)
{
	int cannot = 1;
	pid_t child;

	if (under_valgrind())
		contract_skip("valgrind runs the program's instructions out of sight of ptrace");
	if (UNDER_THREAD_SANITIZER)
		contract_skip("too slow under the thread sanitizer");
	child = start_stopped(do_nothing, do_nothing, NULL);
	if (child > 0) {
		step(child, &cannot);
		end_child(child);
	}
	if (cannot)
		contract_skip("ptrace is not allowed here, or cannot single-step");
}

uint64_t step_through(void (*fn)(void *argument), void *argument, void (*look)(void *context),
	void *context, int *child_id)
{
	pid_t child = start_stopped(do_nothing, fn, argument);
	uint64_t steps = 0;
	int cannot = 0;

	expect(child > 0);
	if (child_id)
		*child_id = child;
	while (step(child, &cannot)) {
		steps++;
		look(context);
	}
	expect(!cannot);
	look(context);
	end_child(child);
	return steps;
}

/* Let it come to its end. */
static void run_to_end(pid_t child)
{
	int status = 0;

	expect_eq(ptrace(PTRACE_CONT, child, 0, 0), 0);
	expect_eq(waitpid(child, &status, 0), child);
	expect_msg(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP,
		"the child ended, wait status %#x", (unsigned)status);
}

uint64_t step_until(void (*prepare)(void *argument), void (*fn)(void *argument),
	enum stepping (*look)(void *argument), void *argument)
{
	pid_t child = start_stopped(prepare, fn, argument);
	enum stepping next = STEP_ON;
	uint64_t steps = 0;
	int cannot = 0;

	expect(child > 0);
	while (next == STEP_ON && step(child, &cannot)) {
		steps++;
		next = look(argument);
	}
	expect(!cannot);
	if (next == STEP_RUN)
		run_to_end(child);
	end_child(child);
	return steps;
}
