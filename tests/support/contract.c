/* SPDX-License-Identifier: MIT */
/*
 * What an expectation does when it fails, and how a test is skipped: in a child, under Criterion,
 * and under the plain runner (which brings its own plain_abandon()).
 */
#define _GNU_SOURCE 1
#include "support/contract.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef PLAIN_RUNNER
#include "support/plain_runner.h"
#endif

int contract_in_child;

void contract_fail(const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (contract_in_child) {
		fprintf(stderr, "%s:%d: in a child: %s\n", file, line, text);
		_exit(1);
	}
#ifdef PLAIN_RUNNER
	fprintf(stderr, "%s:%d: %s\n", file, line, text);
	plain_abandon(PLAIN_FAILED, text);
#else
	cr_assert_fail("%s:%d: %s", file, line, text);
#endif
	abort();
}

void contract_skip(const char *reason)
{
#ifdef PLAIN_RUNNER
	plain_abandon(PLAIN_SKIPPED, reason);
#else
	fprintf(stderr, "[SKIP] %s\n", reason);
	cr_skip("%s", reason);
#endif
	abort();
}

void contract_skip_under_valgrind(const char *reason)
{
	const char *preload = getenv("LD_PRELOAD");

	if (preload && strstr(preload, "vgpreload"))
		contract_skip(reason);
}

/* "-22 (Invalid argument)" tells more than "-22". */
static void describe(intmax_t value, char *text, size_t text_size)
{
	if (value < 0 && value > -200)
		snprintf(text, text_size, "%jd (%s)", value, strerror((int)-value));
	else
		snprintf(text, text_size, "%jd", value);
}

void contract_expect_eq(const char *file, int line, const char *expression, intmax_t got,
	intmax_t want)
{
	char got_text[64];
	char want_text[64];

	if (got == want)
		return;
	describe(got, got_text, sizeof got_text);
	describe(want, want_text, sizeof want_text);
	contract_fail(file, line, "%s is %s, not %s", expression, got_text, want_text);
}

void contract_expect_str(const char *file, int line, const char *expression, const char *got,
	const char *want)
{
	if (got == NULL || strcmp(got, want) != 0)
		contract_fail(file, line, "%s is \"%s\", not \"%s\"", expression,
			got ? got : "(null)", want);
}
