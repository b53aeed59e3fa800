/* SPDX-License-Identifier: MIT */
/*
 * Small services: the clock, random numbers that a seed reproduces, and an orderly end on Ctrl-C.
 */
#include "system.h"

#include <signal.h>
#include <time.h>

static volatile sig_atomic_t caught_signal;

uint64_t system_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A Weyl sequence (every 64-bit value once) whose values are then mixed well. */
uint64_t system_random(uint64_t *state)
{
	uint64_t value = *state += 0x9e3779b97f4a7c15u;

	for (int round = 0; round < 3; round++) {
		value ^= value >> 32;
		value *= 0xd6e8feb86659fd93u;
	}
	return value ^ value >> 32;
}

static void catch_signal(int number)
{
	caught_signal = number;
}

void system_catch_signals(void)
{
	/* No SA_RESTART: calls that wait return with EINTR, and the loops ask. */
	struct sigaction action = {.sa_handler = catch_signal};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool system_interrupted(void)
{
	return caught_signal != 0;
}

/* By the signal itself and not by exit(), so that the shell that waits for us sees it. */
void system_die_of_signal(void)
{
	signal(caught_signal, SIG_DFL);
	raise(caught_signal);
}
