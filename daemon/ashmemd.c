/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: purges unpinned memory of all processes when memory is short. The command line.
 */
#include "ashmemd.h"

#include <ashmem/ashmem.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USAGE 2

struct daemon_options options;
struct daemon_counts counts;

static const struct option long_options[] = {
	{"user", no_argument, NULL, 'u'},
	{"cgroup", required_argument, NULL, 'g'},
	{"no-system", no_argument, NULL, 's'},
	{"reserve", required_argument, NULL, 'r'},
	{"no-kill", no_argument, NULL, 'k'},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static void usage(FILE *out)
{
	fputs("usage: ashmemd [OPTION...]\n"
	      "Purge unpinned memory of all processes when memory is short.\n\n"
	      "  -u, --user         for the processes of one user: watch the groups of that user\n"
	      "  -g, --cgroup=DIR   watch this cgroup, and no others but those named so\n"
	      "  -s, --no-system    do not watch the memory of the whole system\n"
	      "  -r, --reserve=SIZE keep so much free in each group, such as 8M\n"
	      "  -k, --no-kill      cgroup version 1: processes wait for relief, not killed\n"
	      "  -v, --verbose      tell of each batch\n"
	      "  -h, --help         this help\n"
	      "  -V, --version      the version\n\n"
	      "SIGUSR1 purges everything; SIGUSR2 prints counts.\n",
		out);
}

/* "8M" in bytes; 0: it is no size. */
static uint64_t parse_size(const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t bytes;

	errno = 0;
	bytes = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno || bytes > UNLIMITED >> 40)
		return 0;
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (unit && end[1] == '\0')
		return bytes << (10 * (unit - units + 1));
	return *end == '\0' ? bytes : 0;
}

static int wrong(const char *what, const char *problem)
{
	fprintf(stderr, "ashmemd: %s: %s\ntry: ashmemd --help\n", what, problem);
	return USAGE;
}

/* 0, or the exit status. */
static int take_option(int letter, const char *value)
{
	switch (letter) {
	case 'u':
		options.is_user = 1;
		return 0;
	case 'g':
		if (value[0] != '/' || options.only_count >= GROUPS - 1)
			return wrong(value, "not the whole path of a directory");
		options.only[options.only_count++] = value;
		return 0;
	case 's':
		options.no_system = 1;
		return 0;
	case 'r':
		options.reserve_bytes = parse_size(value);
		return options.reserve_bytes ? 0 : wrong(value, "not a size");
	case 'k':
		options.no_kill = 1;
		return 0;
	case 'v':
		options.verbose = 1;
		return 0;
	default:
		return fputs("try: ashmemd --help\n", stderr), USAGE;
	}
}

int main(int argc, char **argv)
{
	int letter, r = 0;

	while ((letter = getopt_long(argc, argv, "ug:sr:kvhV", long_options, NULL)) != -1) {
		if (letter == 'h')
			return usage(stdout), 0;
		if (letter == 'V')
			return printf("ashmemd, libashmem %s\n", ashmem_version_string()), 0;
		r = take_option(letter, optarg);
		if (r)
			return r;
	}
	if (optind < argc)
		return wrong(argv[optind], "no argument is taken");
	r = loop();
	if (r < 0)
		say("cannot start: %s", strerror(-r));
	return r < 0;
}
