/* SPDX-License-Identifier: MIT */
/*
 * The benchmark: options, the choice of rows, and the order of things.
 *
 * Its exit status says whether it could measure, never whether it was fast: 0, 1 if something
 * failed, 2 for wrong options, 77 if --vs-kernel finds no driver.
 */
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct options options = {.backend = "memfd"};
struct result results[RESULTS_MAX];
unsigned result_count;

static const char *current_section, *shown_section;

/* -- rows -- */

void section(const char *title)
{
	current_section = title;
}

static int is_wanted(const char *name)
{
	for (unsigned i = 0; i < options.patterns; i++) {
		if (fnmatch(options.pattern[i], name, 0) == 0)
			return 1;
	}
	return options.patterns == 0;
}

int row_wanted(const char *format, ...)
{
	char name[sizeof(results->name)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(name, sizeof(name), format, arguments);
	va_end(arguments);
	return !options.list && is_wanted(name);
}

struct result *row_begin(const char *format, ...)
{
	struct result *row = &results[result_count];
	va_list arguments;

	if (result_count == RESULTS_MAX)
		die("too many rows", -ENOSPC);
	*row = (struct result){.section = current_section};
	va_start(arguments, format);
	vsnprintf(row->name, sizeof(row->name), format, arguments);
	va_end(arguments);
	if (!is_wanted(row->name))
		return NULL;
	if (options.list) {
		puts(row->name);
		return NULL;
	}
	result_count++;
	return row;
}

void row_end(struct result *row)
{
	/* The targets are for the library's own state. */
	if (strcmp(options.backend, "memfd") != 0)
		row->target = TARGET_NONE;
	if (options.json)
		return;
	if (shown_section != row->section)
		table_section(row->section);
	shown_section = row->section;
	table_row(row);
}

void row_skip(struct result *row, const char *format, ...)
{
	va_list arguments;

	if (!row)
		return;
	va_start(arguments, format);
	vsnprintf(row->skipped, sizeof(row->skipped), format, arguments);
	va_end(arguments);
	row_end(row);
}

void row_measure(struct result *row, const struct timed *subject, const char *name,
	const struct timed *reference, enum target target, double target_ratio)
{
	struct timed things[] = {*reference, *subject};
	struct series series;

	measure(things, 2, &series);
	row->unit = UNIT_NS;
	row->spread = stats_of(series.ns[1], series.rounds);
	row->ours = row->spread.median;
	row->reference = name;
	row->reference_value = median_of(series.ns[0], series.rounds);
	row->ratio = stats_of_ratio(series.ns[1], series.ns[0], series.rounds);
	row->target = target;
	row->target_ratio = target_ratio;
	row_end(row);
}

/* -- options -- */

static const char USAGE[] =
	"usage: bench [options]\n"
	"  --rows PATTERN     measure only rows of such names (a shell pattern; may be repeated)\n"
	"  --list             show the names of the rows\n"
	"  --quick            about ten seconds instead of a minute\n"
	"  --backend NAME     memfd (default) or kernel\n"
	"  --vs-kernel        compare memfd with the driver; status 77 if there is none\n"
	"  --json             write JSON instead of the table\n"
	"  --plot FILE.svg    draw cost against number of ranges and size of the area\n"
	"  --loop OP,N,COUNT  do only OP COUNT times: pair, status, purge at N ranges;\n"
	"                     cache-read, -miss, -put at N keys\n"
	"Every ratio is ours / reference: less is better for times, more for throughputs.\n";

static void set_defaults(void)
{
	options.rounds = ROUNDS_MAX;
	options.batch_ns = 200e3;
	options.row_ns = options.quick ? 50e6 : 700e6;
}

/* "pair,1000,50000": do it, untimed. */
static int loop(const char *what)
{
	size_t length = strcspn(what, ",");
	char *end = NULL;
	uint64_t count = what[length] ? strtoull(what + length + 1, &end, 10) : 0;
	uint64_t times = end && *end == ',' ? strtoull(end + 1, &end, 10) : 0;
	struct ranges ranges;

	if (!count || !times || *end) {
		fputs(USAGE, stderr);
		return 2;
	}
	if (strncmp(what, "cache-", 6) == 0)
		return caches_loop(what, count, times);
	int r = ranges_open(&ranges, count, 2, SEQUENTIAL);
	if (r < 0)
		die("making ranges", r);
	ranges_order(&ranges, RANDOM);
	if (strncmp(what, "pair,", length + 1) == 0)
		ranges_pairs(&ranges, times);
	else if (strncmp(what, "status,", length + 1) == 0)
		ranges_status(&ranges, times);
	else if (strncmp(what, "purge,", length + 1) == 0)
		ranges_purges(&ranges, times);
	ranges_close(&ranges);
	return 0;
}

static int run_rows(void)
{
	if (options.vs_kernel)
		return rows_kernel();
	rows_pin();
	rows_bulk();
	rows_shared();
	rows_shrink();
	rows_purge();
	rows_life();
	rows_cutils();
	rows_memory();
	return 0;
}

static int run(void)
{
	double begin = now_ns();
	int status;

	if (options.list)
		return run_rows();
	references_start();
	if (!options.json)
		table_heading();
	status = run_rows();
	double seconds = (now_ns() - begin) / 1e9;
	if (status == 0 && result_count == 0) {
		fputs("bench: no row has such a name (--list shows them)\n", stderr);
		return 2;
	}
	if (options.json)
		json_write(stdout, seconds);
	else if (status == 0)
		table_footing(seconds);
	if (status == 0 && options.plot)
		status = plot_write(options.plot);
	if (fflush(stdout) != 0)
		die_errno("writing the results");
	return status;
}

enum {
	OPTION_ROWS,
	OPTION_LIST,
	OPTION_QUICK,
	OPTION_BACKEND,
	OPTION_VS_KERNEL,
	OPTION_JSON,
	OPTION_PLOT,
	OPTION_LOOP,
	OPTION_HELP,
};

static const struct option LONG_OPTIONS[] = {
	{"rows", required_argument, NULL, OPTION_ROWS},
	{"list", no_argument, NULL, OPTION_LIST},
	{"quick", no_argument, NULL, OPTION_QUICK},
	{"backend", required_argument, NULL, OPTION_BACKEND},
	{"vs-kernel", no_argument, NULL, OPTION_VS_KERNEL},
	{"json", no_argument, NULL, OPTION_JSON},
	{"plot", required_argument, NULL, OPTION_PLOT},
	{"loop", required_argument, NULL, OPTION_LOOP},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

/* 0 to go on, 1 if the options are wrong, 2 if help was asked for; `*loop_what` is set by --loop.
 */
static int parse(int argc, char **argv, const char **loop_what)
{
	int option;

	while ((option = getopt_long(argc, argv, "", LONG_OPTIONS, NULL)) != -1) {
		switch (option) {
		case OPTION_ROWS:
			if (options.patterns == PATTERNS_MAX)
				return 1;
			options.pattern[options.patterns++] = optarg;
			break;
		case OPTION_LIST:
			options.list = 1;
			break;
		case OPTION_QUICK:
			options.quick = 1;
			break;
		case OPTION_BACKEND:
			options.backend = optarg;
			break;
		case OPTION_VS_KERNEL:
			options.vs_kernel = 1;
			break;
		case OPTION_JSON:
			options.json = 1;
			break;
		case OPTION_PLOT:
			options.plot = optarg;
			break;
		case OPTION_LOOP:
			*loop_what = optarg;
			break;
		case OPTION_HELP:
			return 2;
		default:
			return 1;
		}
	}
	return optind < argc;
}

int main(int argc, char **argv)
{
	const char *loop_what = NULL;

	if (argc == 2 && strcmp(argv[1], PRELOADED_OPTION) == 0)
		return preloaded_serve();
	int wrong = parse(argc, argv, &loop_what);

	if (wrong) {
		fputs(USAGE, wrong == 2 ? stdout : stderr);
		return wrong == 2 ? 0 : 2;
	}
	set_defaults();
	int r = ashmem_backend_select(options.backend);
	if (r < 0) {
		fprintf(stderr, "bench: backend %s: %s\n", options.backend, strerror(-r));
		return 1;
	}
	return loop_what ? loop(loop_what) : run();
}
