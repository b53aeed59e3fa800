/* SPDX-License-Identifier: MIT */
/*
 * The first process while the second one reads: squeezes memory, as a system short of it would.
 *
 * Every other pass of the reader has a squeeze, at a random moment; the pass after it meets what
 * is gone. All but the last are shrinks of a random part of what could be freed; the last is a
 * purge of everything. They know nothing of caches: a cache is an area like others.
 */
#include "server.h"
#include "picture.h"
#include "screen.h"
#include "system.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

uint64_t server_passes(const struct server *server)
{
	return (uint64_t)server->squeezes * PASSES_PER_SQUEEZE + 1;
}

static void print_squeeze(const struct server *server, const struct squeeze *squeeze)
{
	char what[48] = "purge_all()";

	if (squeeze->asked_pages)
		snprintf(what, sizeof(what), "shrink(%llu)",
			(unsigned long long)squeeze->asked_pages);
	screen_print("squeeze %u of %u: %s freed %lld pages in %.1f ms; memory held %llu -> %llu "
		     "KiB\n",
		server->squeezes_done, server->squeezes, what, (long long)squeeze->freed_pages,
		(double)squeeze->took_ns / 1e6, (unsigned long long)squeeze->held_before / 1024,
		(unsigned long long)squeeze->held_after / 1024);
}

static int squeeze_memory(struct server *server)
{
	struct squeeze squeeze = {0};
	uint64_t pages = 0;
	int error;

	/* Between 1/16 and 10/16 of what could go. */
	if (server->squeezes_done + 1 < server->squeezes)
		pages = ashmem_shrink_count() * (1 + system_random(&server->random) % 10) / 16 + 1;
	error = cache_squeeze(server->cache, pages, &squeeze);
	if (error) {
		screen_warn("%s: %s", pages ? "shrink" : "purge_all", strerror(-error));
		return error;
	}
	server->squeezes_done++;
	atomic_store(&server->cache->counts->squeezes, server->squeezes_done);
	server->freed_pages += (uint64_t)squeeze.freed_pages;
	server->squeeze_ns += squeeze.took_ns;
	print_squeeze(server, &squeeze);
	return picture_print(ashmem_cache_area(server->cache->handle));
}

/* Somewhere in the middle half of the next pass that has a squeeze. */
static void choose_moment(struct server *server)
{
	uint64_t files = server->cache->catalog->files.count;

	server->squeeze_at = files * PASSES_PER_SQUEEZE * server->squeezes_done +
		files * (25 + system_random(&server->random) % 50) / 100;
}

static int squeeze_if_due(struct server *server)
{
	uint64_t visits = atomic_load(&server->cache->counts->visits);
	int error;

	screen_progress("reading", visits,
		server->cache->catalog->files.count * server_passes(server));
	if (server->squeezes_done == server->squeezes || visits < server->squeeze_at)
		return 0;
	error = squeeze_memory(server);
	choose_moment(server);
	return error;
}

static int how_it_ended(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		screen_warn("the reader died of signal %d", WTERMSIG(status));
	return -ECHILD;
}

int server_run(struct server *server, pid_t reader)
{
	const struct timespec nap = {.tv_nsec = 2000000};
	int error = 0, status;

	choose_moment(server);
	while (!error) {
		pid_t ended = waitpid(reader, &status, WNOHANG);
		if (ended == reader)
			return how_it_ended(status);
		error = ended < 0 && errno != EINTR ? -errno : squeeze_if_due(server);
		if (!error && system_interrupted())
			error = -EINTR;
		nanosleep(&nap, NULL);
	}
	kill(reader, SIGKILL);
	waitpid(reader, &status, 0);
	return error;
}
