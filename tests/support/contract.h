/* SPDX-License-Identifier: MIT */
/*
 * The seam between the contract tests and what runs them.
 *
 * Every test of the public interface is written against this header alone. In a normal build it
 * becomes a Criterion test; with -DPLAIN_RUNNER it registers itself in the table that
 * plain_runner.c walks, so that the same files run where Criterion is not: statically linked, in a
 * virtual machine, under the thread sanitizer.
 *
 * An expectation that fails ends the test; in a child made by children.h it ends the child with
 * status 1. A thread other than the one that runs the test must not use expectations: it records,
 * the test checks.
 */
#ifndef TESTS_SUPPORT_CONTRACT_H
#define TESTS_SUPPORT_CONTRACT_H

#include <stdint.h>

#ifdef PLAIN_RUNNER

struct plain_test {
	const char *suite;
	const char *name;
	void (*run)(void);
	struct plain_test *next;
};

void plain_register(struct plain_test *test);

#define CONTRACT_TEST(suite, name)                                               \
	static void suite##_##name(void);                                        \
	static struct plain_test suite##_##name##_entry = {                      \
		#suite, #name, suite##_##name, (void *)0};                       \
	__attribute__((constructor)) static void suite##_##name##_register(void) \
	{                                                                        \
		plain_register(&suite##_##name##_entry);                         \
	}                                                                        \
	static void suite##_##name(void)

#else

#include <criterion/criterion.h>

#define CONTRACT_TEST(suite, name) Test(suite, name, .timeout = 300)

#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Set in children, whose failures must end them by _exit() and nothing else. */
extern int contract_in_child;

__attribute__((noreturn, format(printf, 3, 4))) void contract_fail(const char *file, int line,
	const char *format, ...);

/* End the test as skipped; not from a child. The reason is printed and the skip is counted. */
__attribute__((noreturn)) void contract_skip(const char *reason);

/* The same, under valgrind alone. */
void contract_skip_under_valgrind(const char *reason);

void contract_expect_eq(const char *file, int line, const char *expression, intmax_t got,
	intmax_t want);
void contract_expect_str(const char *file, int line, const char *expression, const char *got,
	const char *want);

#ifdef __cplusplus
}
#endif

#define expect(condition) \
	((condition) ? (void)0 : contract_fail(__FILE__, __LINE__, "%s", #condition))

/* Integers of any type, compared as intmax_t. Write results of calls left, expectations right. */
#define expect_eq(got, want) \
	contract_expect_eq(__FILE__, __LINE__, #got, (intmax_t)(got), (intmax_t)(want))

#define expect_str(got, want) contract_expect_str(__FILE__, __LINE__, #got, got, want)

#define expect_msg(condition, ...) \
	((condition) ? (void)0 : contract_fail(__FILE__, __LINE__, __VA_ARGS__))

#endif
