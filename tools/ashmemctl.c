/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl: see and purge the areas of the processes of this machine, and see what works here. The
 * command line; each command is a file in tools/ashmemctl.
 */
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ashmemctl/ctl.h"

struct ctl_options ctl = {.program = "ashmemctl", .delay_ms = 1000};

static const struct {
	const char *name;
	int (*run)(void);
	const char *options; /* letters of those that it has, beside the common ones */
	const char *help;
} commands[] = {
	{"list", ctl_list, "s",
		"list                    the areas of all processes, one line each"},
	{"show", ctl_show, "r", "show PID|FILE...        areas with counts and a picture of pages"},
	{"top", ctl_top, "sdn", "top                     the list again and again; keys sort it"},
	{"purge", ctl_purge, "ab", "purge PID|FILE...|--all purge unpinned memory, oldest first"},
	{"watch", ctl_watch, "dn", "watch [SOURCE]          the memory pressure seen here"},
	{"doctor", ctl_doctor, "", "doctor                  what works here, and what follows"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* The letter, which is also the short option, and whether all commands have it. */
static const struct option long_options[] = {
	{"json", no_argument, NULL, 'j'},
	{"color", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{"ranges", no_argument, NULL, 'r'},
	{"sort", required_argument, NULL, 's'},
	{"delay", required_argument, NULL, 'd'},
	{"rounds", required_argument, NULL, 'n'},
	{"bytes", required_argument, NULL, 'b'},
	{"all", no_argument, NULL, 'a'},
	{NULL, 0, NULL, 0},
};

static void usage(FILE *out)
{
	fputs("usage: ashmemctl COMMAND [OPTION...] [ARGUMENT...]\n"
	      "See and purge the purgeable memory (libashmem areas) of running processes.\n\n",
		out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %s\n", commands[i].help);
	fputs("\n"
	      "  -r, --ranges       show: list the unpinned ranges too\n"
	      "  -s, --sort=COLUMN  list, top: evictable (default), size, resident, unpinned,\n"
	      "                     purged, users, name or pid\n"
	      "  -d, --delay=MS     top, watch: milliseconds between two looks (1000)\n"
	      "  -n, --rounds=N     top, watch: end after N looks\n"
	      "  -b, --bytes=SIZE   purge: stop when about SIZE is free, such as 64M\n"
	      "  -a, --all          purge: in all areas that may be purged\n"
	      "  -j, --json         JSON in place of text\n"
	      "  -c, --color=WHEN   always, never, or auto (default): on a terminal\n"
	      "  -h, --help         this help\n"
	      "  -V, --version      the version\n",
		out);
}

static int wrong(const char *what, const char *problem)
{
	ctl_complain(what, problem);
	fputs("try: ashmemctl --help\n", stderr);
	return CTL_USAGE;
}

static int set_color(const char *when)
{
	const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");

	if (strcmp(when, "always") == 0)
		ctl.color = 1;
	else if (strcmp(when, "never") == 0)
		ctl.color = 0;
	else if (strcmp(when, "auto") == 0)
		ctl.color = isatty(1) && !(none && *none) &&
			!(terminal && strcmp(terminal, "dumb") == 0);
	else
		return -1;
	return 0;
}

static int set_number(unsigned *number, const char *text, unsigned least)
{
	int64_t value = ctl_parse_size(text);

	if (value < least || value > 86400000)
		return -1;
	*number = (unsigned)value;
	return 0;
}

/* 0, or -1: the value of the option is wrong. */
static int take_option(int letter, const char *value)
{
	int64_t bytes;

	switch (letter) {
	case 'j':
		ctl.json = 1;
		return 0;
	case 'r':
		ctl.ranges = 1;
		return 0;
	case 'a':
		ctl.everything = 1;
		return 0;
	case 's':
		ctl.sort = value;
		return 0;
	case 'c':
		return set_color(value);
	case 'd':
		return set_number(&ctl.delay_ms, value, 10);
	case 'n':
		return set_number(&ctl.rounds, value, 1);
	case 'b':
		bytes = ctl_parse_size(value);
		ctl.bytes = bytes > 0 ? (uint64_t)bytes : 0;
		return bytes > 0 ? 0 : -1;
	default:
		return -1;
	}
}

static int run(unsigned command, int argc, char **argv)
{
	int letter;

	while ((letter = getopt_long(argc, argv, "rs:d:n:b:ajc:hV", long_options, NULL)) != -1) {
		if (letter == '?')
			return fputs("try: ashmemctl --help\n", stderr), CTL_USAGE;
		if (letter == 'h')
			return usage(stdout), CTL_OK;
		if (letter != 'j' && letter != 'c' && !strchr(commands[command].options, letter))
			return wrong(commands[command].name, "has no such option");
		if (take_option(letter, optarg) < 0)
			return wrong(optarg, "not a value of this option");
	}
	ctl.args = argv + optind;
	return commands[command].run();
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	set_color("auto");
	if (argc < 2)
		return usage(stderr), CTL_USAGE;
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		return usage(stdout), CTL_OK;
	if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)
		return printf("ashmemctl, libashmem %s\n", ashmem_version_string()), CTL_OK;
	for (unsigned i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0) {
			argv[1] = argv[0];
			int status = run(i, argc - 1, argv + 1);

			/* A full disk is a problem too. */
			return fflush(stdout) != 0 || ferror(stdout)
				? ctl_complain("standard output", "cannot be written")
				: status;
		}
	return wrong(argv[1], "no such command");
}
