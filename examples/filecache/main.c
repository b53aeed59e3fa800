/* SPDX-License-Identifier: MIT */
/*
 * filecache - a cache in purgeable memory, shared by two processes, on the real files of a
 * directory.
 *
 * The first process caches the files and squeezes memory now and then, as a system short of memory
 * would. The second one inherits the cache by fork; it visits all files in random order, compares
 * every byte that it finds with the file on disk, and puts again what is gone. One wrong byte and
 * the program says so and exits with 1.
 *
 * Where to look first:
 *   cache.c     using a cache: look, use what is there, put what is not
 *   reader.c    the second process      server.c  the first one: squeezes
 *   picture.c   walking the range list
 *   catalog.c, source.c, screen.c, system.c  files, terminal and other surroundings
 *
 * Exit status: 0 all bytes right; 1 a mismatch, or the run failed, or nothing was ever purged, so
 * that the run shows nothing; 2 usage. Ctrl-C ends it as it ends any program.
 */
#include "catalog.h"
#include "reader.h"
#include "screen.h"
#include "server.h"
#include "system.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define MIB 1048576u
#define DEFAULT_LIMIT_MIB 256u

struct options {
	const char *directory; /* NULL: find one */
	uint64_t limit_mib;
	uint64_t seed;
	uint64_t squeezes;
};

static void print_usage(FILE *out)
{
	fputs("Usage: filecache [OPTION]... [DIRECTORY]\n"
	      "Cache the files of DIRECTORY (default: /usr/lib, /usr or /bin) in purgeable shared\n"
	      "memory, purge it meanwhile, and compare every byte from a second process.\n\n"
	      "  -l, --limit-mib=N  cache at most N MiB (default 256, less if memory is small)\n"
	      "  -s, --seed=N       seed of the random order (default 1)\n"
	      "  -q, --squeezes=N   squeeze memory N times, the last time wholly (default 7)\n"
	      "  -h, --help         show this\n",
		out);
}

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || strchr(text, '-') || value < least || value > most) {
		screen_warn("not a number from %llu to %llu: '%s'", (unsigned long long)least,
			(unsigned long long)most, screen_path(text));
		return false;
	}
	*number = value;
	return true;
}

/* Returns -1 to go on, or an exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"limit-mib", required_argument, NULL, 'l'},
		{"seed", required_argument, NULL, 's'},
		{"squeezes", required_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	bool fine = true;
	int option;

	while (fine && (option = getopt_long(argc, argv, "l:s:q:h", known, NULL)) != -1) {
		if (option == 'l')
			fine = parse_number(optarg, 1, 1u << 20, &options->limit_mib);
		else if (option == 's')
			fine = parse_number(optarg, 0, UINT64_MAX, &options->seed);
		else if (option == 'q')
			fine = parse_number(optarg, 1, 10000, &options->squeezes);
		else if (option == 'h') {
			print_usage(stdout);
			return EXIT_SUCCESS;
		} else
			fine = false;
	}
	if (fine && argc - optind > 1) {
		screen_warn("more than one directory");
		fine = false;
	}
	if (!fine) {
		fputs("Try 'filecache --help'.\n", stderr);
		return EXIT_USAGE;
	}
	options->directory = argv[optind];
	return -1;
}

/* At most 256 MiB, and not more than a quarter of a small machine. */
static uint64_t default_limit_mib(void)
{
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t mib = (uint64_t)sysconf(_SC_PHYS_PAGES) * page_bytes / MIB / 4;

	return mib < 1 ? 1 : mib < DEFAULT_LIMIT_MIB ? mib : DEFAULT_LIMIT_MIB;
}

/* Fill the catalog from the directory given, or from the first default with something in it. */
static bool scan(const struct options *options, struct catalog *catalog)
{
	const char *const defaults[] = {"/usr/lib", "/usr", "/bin", NULL};
	const char *const given[] = {options->directory, NULL};
	const char *const *directory = options->directory ? given : defaults;
	int error = 0;

	for (; *directory; directory++) {
		catalog_free(catalog);
		error = catalog_scan(catalog, *directory, options->limit_mib * MIB);
		if (error == -EINTR || (!error && catalog->pages))
			break;
		if (error)
			screen_warn("%s: %s", screen_path(*directory), strerror(-error));
		else
			screen_warn("%s: no files with contents to cache", screen_path(*directory));
	}
	if (!*directory || error)
		return false;
	screen_print("filecache: %s: files: %zu, %.1f MiB%s; skipped: %llu unreadable, "
		     "%llu special, %llu symbolic links\n",
		screen_path(*directory), catalog->files.count,
		screen_mib(catalog->pages * catalog->page_bytes),
		catalog->limited ? " (as many as the limit allows)" : "",
		(unsigned long long)catalog->unreadable, (unsigned long long)catalog->special,
		(unsigned long long)catalog->links);
	return true;
}

static void print_summary(const struct server *server, uint64_t started_ns)
{
	const struct counts *counts = server->cache->counts;
	struct {
		const char *name;
		uint64_t number;
		const char *meaning;
	} lines[] = {
		{"files", server->cache->catalog->files.count, "in the catalog"},
		{"verified", counts->bytes, "bytes, each equal to the one on disk"},
		{"visits", counts->visits, "of whole files in random order"},
		{"hits", counts->hits, "pieces found in the cache"},
		{"rebuilds", counts->rebuilds, "pieces not found any more, and put again"},
		{"changed", counts->changed, "on disk since they were found, left out"},
		{"unreadable", counts->unreadable, "or too long a path, left out"},
		{"mismatches", counts->mismatches, "pieces whose bytes are not those on disk"},
	};

	screen_print("\n");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		screen_print("%-10s %12llu  %s\n", lines[i].name,
			(unsigned long long)lines[i].number, lines[i].meaning);
	screen_print("%-10s %12u  freed %llu pages in %.1f ms\n", "squeezes", server->squeezes_done,
		(unsigned long long)server->freed_pages, (double)server->squeeze_ns / 1e6);
	screen_print("%-10s %12.1f  seconds\n", "time",
		(double)(system_now_ns() - started_ns) / 1e9);
}

/* Say what the run has shown; the exit status. */
static int judge(const struct server *server)
{
	const struct counts *counts = server->cache->counts;
	uint64_t expected = server->cache->catalog->files.count * server_passes(server);

	if (counts->mismatches)
		screen_print("FAILED: the cache and the disk differ\n");
	else if (!counts->bytes)
		screen_print("FAILED: no file could be compared\n");
	else if (counts->visits != expected)
		screen_print("FAILED: the reader left files out\n");
	else if (!counts->rebuilds)
		screen_print("FAILED: nothing was purged and put again, so nothing was shown\n");
	else {
		screen_print("OK: 0 mismatches\n");
		return EXIT_SUCCESS;
	}
	return EXIT_FAILURE;
}

/* Say what failed, if it is not said elsewhere: Ctrl-C, the end of the reader. Returns `error`. */
static int explain(int error, const char *what)
{
	if (error && error != -EINTR && error != -ECHILD)
		screen_warn("%s: %s", what, strerror(-error));
	return error;
}

/* 0, or a negative errno. */
static int fill_and_serve(struct server *server, const struct catalog *catalog)
{
	struct cache *cache = server->cache;
	int error = explain(cache_create(cache, catalog), "cannot make the cache");
	pid_t reader;

	if (!error)
		error = explain(cache_fill(cache), "cannot fill the cache");
	if (error)
		return error;
	fflush(NULL);
	reader = fork();
	if (reader == 0)
		exit(reader_run(cache, server_passes(server), server->random));
	if (reader < 0)
		return explain(-errno, "cannot start the reader");
	return explain(server_run(server, reader), "cannot squeeze the cache");
}

static int run(const struct options *options)
{
	uint64_t started_ns = system_now_ns();
	struct catalog catalog = {0};
	struct cache cache = {0};
	struct server server = {
		.cache = &cache,
		.squeezes = (uint32_t)options->squeezes,
		.random = options->seed,
	};
	int status = EXIT_FAILURE;

	if (scan(options, &catalog) && fill_and_serve(&server, &catalog) == 0) {
		print_summary(&server, started_ns);
		status = judge(&server);
	}
	cache_close(&cache);
	catalog_free(&catalog);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {.limit_mib = default_limit_mib(), .seed = 1, .squeezes = 7};
	int status = parse_options(argc, argv, &options);

	if (status >= 0)
		return status;
	screen_init();
	system_catch_signals();
	status = run(&options);
	if (system_interrupted()) {
		screen_warn("interrupted");
		system_die_of_signal();
	}
	if (fflush(stdout) || ferror(stdout)) {
		screen_warn("standard output: %s", strerror(errno));
		status = EXIT_FAILURE;
	}
	return status;
}
