/* SPDX-License-Identifier: MIT */
/* What the plain runner offers to contract.c: leaving a test early. */
#ifndef TESTS_SUPPORT_PLAIN_RUNNER_H
#define TESTS_SUPPORT_PLAIN_RUNNER_H

/* Verdicts; in fork mode they are exit statuses, so 77 means skipped as everywhere. */
enum plain_verdict { PLAIN_PASSED = 0, PLAIN_FAILED = 1, PLAIN_SKIPPED = 77 };

__attribute__((noreturn)) void plain_abandon(enum plain_verdict verdict, const char *why);

#endif
