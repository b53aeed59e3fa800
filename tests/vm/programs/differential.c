/* SPDX-License-Identifier: MIT */
/*
 * The differential test's program: see differential.h.
 *
 *   differential [--seed N] [--operations N] [--lru-share PERCENT] [--length N] [--trace SEED]
 *                [--worlds FIRST SECOND]
 *   differential --rules
 *
 * Makes one trace after the other, each from a seed of its own that follows from --seed, until so
 * many operations have been put to both backends; a share of further traces goes to memfd alone
 * (differential_lru.c). Ends at the first difference: shortens its trace and prints it. --trace
 * runs the trace of one seed, as a failing run prints it (with --lru for those of memfd alone);
 * --rules explains the differences that are allowed.
 *
 * Exit status: 0, 1 for a difference, 2 for wrong usage or a broken system, 77 without a driver.
 */
#define _GNU_SOURCE 1
#include "differential_state.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct options {
	uint64_t seed, operations, lru_share, length, trace_seed;
	int one_trace, lru;
	const char *worlds[2];
} options = {.seed = 1, .operations = 1000000, .lru_share = 10, .worlds = {"kernel", "memfd"}};

static struct world *worlds[2];
static struct tally tally, lru_tally, ignored;
static struct trace trace;

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* -- one trace -- */

static void run_both(struct trace *of, struct finding *finding, struct tally *to)
{
	world_run(worlds[0], of);
	world_run(worlds[1], of);
	judge_compare(of, worlds[0], worlds[1], finding, to);
}

static void run_lru(struct trace *of, struct finding *finding, struct tally *to)
{
	lru_trace_settle(of);
	world_run(worlds[1], of);
	lru_compare(of, worlds[1], finding, to);
}

static void again_both(struct trace *of, struct finding *finding)
{
	run_both(of, finding, &ignored);
}

static void again_lru(struct trace *of, struct finding *finding)
{
	run_lru(of, finding, &ignored);
}

static void print_trace(const struct finding *finding, int lru)
{
	char call[400], first[120], second[120];

	for (uint32_t i = 0; i < trace.count; i++) {
		op_describe(&trace.op[i], call, sizeof call);
		result_describe(&worlds[1]->result[i], second, sizeof second);
		if (i == finding->at) {
			result_describe(&finding->first, first, sizeof first);
			printf("%4" PRIu32 "  %s\n      => %s: %s; %s: %s\n", i + 1, call,
				lru ? "model" : worlds[0]->backend, first, worlds[1]->backend,
				second);
		} else {
			printf("%4" PRIu32 "  %-70s = %s\n", i + 1, call, second);
		}
	}
}

static void report(struct finding *finding, int lru)
{
	uint32_t before = trace.count, at = finding->at;
	double begin = seconds_now();

	printf("DIFFERENCE at operation %" PRIu32 " of %" PRIu32 ": %s\n", at + 1, before,
		finding->why);
	printf("to see it again: --trace %" PRIu64 "%s%s", trace.seed, lru ? " --lru" : "",
		options.length ? "" : "\n");
	if (options.length)
		printf(" --length %" PRIu64 "\n", options.length);
	fflush(stdout);
	trace_shorten(&trace, finding, lru ? again_lru : again_both);
	if (lru) {
		lru_trace_trim(&trace);
		again_lru(&trace, finding);
	}
	printf("shortest trace: %" PRIu32 " operations (found in %.1f s)\n", trace.count,
		seconds_now() - begin);
	if (finding->found)
		printf("%s:\n", finding->why);
	else
		puts("but it does not come again, so it depends on time:");
	print_trace(finding, lru);
}

/* 1 if a difference was found. */
static int try_seed(uint64_t seed, int lru)
{
	struct finding finding;
	uint64_t random = seed;
	uint32_t length = (uint32_t)options.length;

	if (length == 0)
		length = 60 + (uint32_t)random_below(&random, one_in(&random, 3) ? 1600 : 500);
	if (lru) {
		lru_trace_make(&trace, seed, length);
		run_lru(&trace, &finding, &lru_tally);
	} else {
		trace_make(&trace, seed, length);
		run_both(&trace, &finding, &tally);
	}
	if (finding.found)
		report(&finding, lru);
	return finding.found;
}

/* -- all of them -- */

static int try_all(void)
{
	uint64_t random = options.seed;
	double begin = seconds_now(), shown = begin;

	while (tally.operations < options.operations || options.lru_share == 100) {
		uint64_t seed = random_next(&random) >> 1;
		int lru = random_below(&random, 100) < options.lru_share;

		if (lru_tally.operations >= options.operations)
			break;
		if (try_seed(seed, lru))
			return 1;
		if (seconds_now() - shown < 20)
			continue;
		shown = seconds_now();
		printf("... %" PRIu64 " operations after %.0f s\n", tally.operations,
			shown - begin);
		fflush(stdout);
	}
	printf("%" PRIu64 " operations in %" PRIu64 " traces on %s and %s, %" PRIu64 " in %" PRIu64
	       " on %s and the model: no difference (%.0f s)\n",
		tally.operations, tally.traces, worlds[0]->backend, worlds[1]->backend,
		lru_tally.operations, lru_tally.traces, worlds[1]->backend, seconds_now() - begin);
	return 0;
}

static void print_rules(void)
{
	fputs("differences that are allowed:", stdout);
	for (int rule = 0; rule_name(rule); rule++)
		printf("%s %s %" PRIu64, rule ? "," : "", rule_name(rule), tally.rule[rule]);
	putchar('\n');
}

static int explain_rules(void)
{
	for (int rule = 0; rule_name(rule); rule++)
		printf("%-18s %s\n", rule_name(rule), rule_text(rule));
	return 0;
}

static int wrong_usage(void)
{
	fputs("usage: differential [--seed N] [--operations N] [--lru-share PERCENT] [--length N]\n"
	      "                    [--trace SEED [--lru]] [--worlds FIRST SECOND]\n"
	      "       differential --rules\n",
		stderr);
	return 2;
}

enum {
	OPTION_SEED,
	OPTION_OPERATIONS,
	OPTION_SHARE,
	OPTION_LENGTH,
	OPTION_TRACE,
	OPTION_LRU,
	OPTION_WORLDS
};

static const struct option long_options[] = {
	{"seed", required_argument, NULL, OPTION_SEED},
	{"operations", required_argument, NULL, OPTION_OPERATIONS},
	{"lru-share", required_argument, NULL, OPTION_SHARE},
	{"length", required_argument, NULL, OPTION_LENGTH},
	{"trace", required_argument, NULL, OPTION_TRACE},
	{"lru", no_argument, NULL, OPTION_LRU},
	{"worlds", required_argument, NULL, OPTION_WORLDS},
	{NULL, 0, NULL, 0},
};

static int parse(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (option == OPTION_SEED) {
			options.seed = number;
		} else if (option == OPTION_OPERATIONS) {
			options.operations = number;
		} else if (option == OPTION_SHARE) {
			options.lru_share = number;
		} else if (option == OPTION_LENGTH) {
			options.length = number;
		} else if (option == OPTION_TRACE) {
			options.trace_seed = number;
			options.one_trace = 1;
		} else if (option == OPTION_LRU) {
			options.lru = 1;
		} else if (option == OPTION_WORLDS && optind < argc) {
			options.worlds[0] = optarg;
			options.worlds[1] = argv[optind++];
		} else {
			return 0;
		}
	}
	return optind == argc && options.length < TRACE_MAX - 200 && options.lru_share <= 100;
}

int main(int argc, char **argv)
{
	int found;

	if (argc == 2 && strcmp(argv[1], "--rules") == 0)
		return explain_rules();
	if (!parse(argc, argv))
		return wrong_usage();
	for (int w = 0; w < 2; w++) {
		int r = ashmem_backend_select(world_backend(options.worlds[w]));
		if (r < 0) {
			fprintf(stderr, "differential: backend %s: %s\n", options.worlds[w],
				strerror(-r));
			return r == -ENODEV ? 77 : 2;
		}
		worlds[w] = world_new(options.worlds[w], options.worlds[!w]);
	}
	ashmem_backend_select("auto");
	if (worlds[1]->is_driver)
		options.lru_share = 0; /* it has no ashmem_shrink() */
	printf("seed %" PRIu64 "\n", options.one_trace ? options.trace_seed : options.seed);
	fflush(stdout);
	found = options.one_trace ? try_seed(options.trace_seed, options.lru) : try_all();
	print_rules();
	return found;
}
