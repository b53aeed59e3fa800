/* SPDX-License-Identifier: MIT */
/*
 * filecache - a cache in purgeable memory, shared by two processes, on the real files of a
 * directory.
 *
 * One process, the server, caches files in a few areas of libashmem and squeezes memory now and
 * then, as a system short of memory would. A second one, the reader, got the areas over a socket;
 * it reads all entries in random order and compares every byte with the file on disk. An entry is
 * pinned only while it is used; what was purged meanwhile is rebuilt. One wrong byte and the
 * program says so and exits with 1.
 *
 * Where to look first:
 *   protocol.c  how two processes share entries that vanish: who may pin, who rebuilds, and why
 *   reader.c    using a cache: pin, check for a purge, use, unpin
 *   cache.c     being a cache: areas, entries, rebuilding, squeezing
 *   server.c    the server's loop        picture.c  walking the range list
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

/* Start the second process. It is made before there is any area, so that it can inherit none. */
static pid_t start_reader(int *socket_fd)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		exit(reader_run(pair[1]));
	}
	close(pair[1]);
	*socket_fd = pair[0];
	if (pid < 0)
		close(pair[0]);
	return pid;
}

/* Close the socket, on which the reader ends; or stop it at once. Returns whether it ended well. */
static bool end_reader(pid_t pid, int socket_fd, bool stop)
{
	int status;

	close(socket_fd);
	if (stop)
		kill(pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return false;
	}
	if (!stop && WIFSIGNALED(status))
		screen_warn("the reader died of signal %d", WTERMSIG(status));
	else if (!stop && WEXITSTATUS(status))
		screen_warn("the reader ended with status %d", WEXITSTATUS(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
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
	const struct cache *cache = server->cache;
	const struct tally *tally = &cache->share.index->tally;
	uint64_t page = cache->share.page_bytes;
	struct {
		const char *name;
		uint64_t number;
		const char *meaning;
	} lines[] = {
		{"files", cache->share.index->entries, "in the cache"},
		{"verified", tally->bytes, "bytes, each equal to the one on disk"},
		{"reads", tally->reads, "of whole files in random order"},
		{"hits", tally->hits, "pinned and still there"},
		{"purges", tally->purged, "pinned and found purged"},
		{"rebuilds", cache->rebuilt_on_request + cache->rebuilt_ahead, NULL},
		{"empty", tally->empty, "no page to pin"},
		{"put off", tally->busy, "while the server had the entry"},
		{"changed", cache->changed, "on disk since they were cached, left out"},
		{"unreadable", cache->unreadable, "since they were cached, left out"},
		{"mismatches", cache->mismatches, "files whose bytes are not those on disk"},
	};

	screen_print("\n");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		screen_print("%-10s %12llu  ", lines[i].name, (unsigned long long)lines[i].number);
		if (lines[i].meaning)
			screen_print("%s\n", lines[i].meaning);
		else
			screen_print("%llu for the reader, %llu ahead of it\n",
				(unsigned long long)cache->rebuilt_on_request,
				(unsigned long long)cache->rebuilt_ahead);
	}
	screen_print("%-10s %12u  freed %llu pages, %.1f MiB, in %.1f ms\n", "squeezes",
		server->squeezes_done, (unsigned long long)server->freed_pages,
		screen_mib(server->freed_pages * page), (double)server->squeeze_ns / 1e6);
	screen_print("%-10s %12.1f  seconds\n", "time",
		(double)(system_now_ns() - started_ns) / 1e9);
}

/* Say what the run has shown; the exit status. */
static int judge(const struct server *server)
{
	const struct cache *cache = server->cache;
	const struct tally *tally = &cache->share.index->tally;
	uint64_t rebuilds = cache->rebuilt_on_request + cache->rebuilt_ahead;
	uint64_t expected = (uint64_t)cache->share.index->entries * server->passes;
	int status = EXIT_FAILURE;

	if (cache->mismatches)
		screen_print("FAILED: the cache and the disk differ\n");
	else if (!tally->bytes)
		screen_print("FAILED: no file could be compared\n");
	else if (!cache->changed && !cache->unreadable && tally->reads != expected)
		screen_print("FAILED: the reader left files out\n");
	else if (!rebuilds)
		screen_print("FAILED: nothing was purged and rebuilt, so nothing was shown "
			     "(backend %s)\n",
			ashmem_backend_name(cache->share.area[0]));
	else {
		screen_print("OK: 0 mismatches\n");
		status = EXIT_SUCCESS;
	}
	return status;
}

static bool is_reader_gone(int error)
{
	return error == -ECONNRESET || error == -EPIPE;
}

/* Say what failed, if it is not said elsewhere: the end of the reader, Ctrl-C. Returns `error`. */
static int explain(int error, const char *what)
{
	if (error && error != -EINTR && !is_reader_gone(error))
		screen_warn("%s: %s", what, strerror(-error));
	return error;
}

/* 0, or a negative errno. */
static int fill_and_serve(struct server *server, const struct catalog *catalog)
{
	struct cache *cache = server->cache;
	int error = explain(cache_create(cache, catalog), "cannot make the areas");

	if (error)
		return error;
	screen_print("filecache: areas: %u, pages: %llu of %zu bytes, backend: %s, seed: %llu\n",
		cache->share.index->areas, (unsigned long long)cache->pages,
		cache->share.page_bytes, ashmem_backend_name(cache->share.area[0]),
		(unsigned long long)cache->random);
	error = explain(cache_fill(cache), "cannot fill the cache");
	if (error)
		return error;
	return explain(server_run(server), "cannot serve the reader");
}

static int run(const struct options *options, pid_t reader, int socket_fd)
{
	uint64_t started_ns = system_now_ns();
	struct catalog catalog = {0};
	struct cache cache = {.random = options->seed};
	struct server server = {
		.cache = &cache,
		.socket_fd = socket_fd,
		.squeezes = (uint32_t)options->squeezes,
		.random = ~options->seed,
	};
	int status = EXIT_FAILURE;
	bool scanned = scan(options, &catalog);
	int error = scanned ? fill_and_serve(&server, &catalog) : 0;
	bool stop = !scanned || (error && !is_reader_gone(error));

	if (end_reader(reader, socket_fd, stop) && !stop && !error) {
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
	int socket_fd;
	pid_t reader;

	if (status >= 0)
		return status;
	screen_init();
	reader = start_reader(&socket_fd);
	if (reader < 0) {
		screen_warn("cannot start the reader: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	system_catch_signals();
	status = run(&options, reader, socket_fd);
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
