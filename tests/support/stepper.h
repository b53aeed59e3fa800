/* SPDX-License-Identifier: MIT */
/*
 * Running a function one machine instruction at a time, in a child, to look at what it has done to
 * shared memory after each: the states that a crash could leave behind.
 */
#ifndef TESTS_SUPPORT_STEPPER_H
#define TESTS_SUPPORT_STEPPER_H

/*
 * Tests that step take this header for contract.h: they are Criterion tests only (see the
 * Makefile's CONTRACT_SRC).
 */
#include "support/contract.h"

#include <stdint.h>

/* End the test as skipped where a child cannot be stepped through. */
void skip_without_stepping(void);

/*
 * Run fn(argument) in a child; after each instruction, and once when it is done, call look(context)
 * here. Returns the number of instructions. The child has the address space of a fork, so shared
 * memory is at the same place in both. `child`, if not NULL, receives the child's id before the
 * first look.
 */
uint64_t step_through(void (*fn)(void *argument), void *argument, void (*look)(void *context),
	void *context, int *child);

/*
 * The same with one argument for all, until look() says that the child is to be killed there, or to
 * run to its end unseen. The child first does what prepare() does at full speed, for what a process
 * does but once.
 */
enum stepping { STEP_ON, STEP_KILL, STEP_RUN };
uint64_t step_until(void (*prepare)(void *argument), void (*fn)(void *argument),
	enum stepping (*look)(void *argument), void *argument);

#endif
