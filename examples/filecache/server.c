/* SPDX-License-Identifier: MIT */
/*
 * The server while the reader reads: answers its requests, squeezes memory, rebuilds ahead.
 *
 * Everything is read several times. Every other pass has a squeeze, at a random moment while the
 * reader is busy, or at the end of the pass if the reader was faster; the pass after it meets
 * what is still purged. So the last squeeze is always felt, however small the directory.
 *
 * All squeezes but the last are shrinks, of a random part of what could be freed; the last is a
 * purge of everything. After each the server looks at some entries of its own accord and rebuilds
 * those that were purged: the second party that makes ownership of entries necessary (protocol.c).
 */
#include "server.h"
#include "picture.h"
#include "screen.h"
#include "system.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 20
#define PASSES_PER_SQUEEZE 2u
#define REFILL_PART 16u /* look at this part of all entries after a squeeze */

static void print_squeeze(const struct server *server, const struct squeeze *squeeze)
{
	char what[48] = "purge_all()";

	if (squeeze->asked_pages)
		snprintf(what, sizeof(what), "shrink(%llu)",
			(unsigned long long)squeeze->asked_pages);
	screen_print("squeeze %u of %u, in pass %u: %s freed %lld pages in %.1f ms; "
		     "memory held %llu -> %llu KiB\n",
		server->squeezes_done, server->squeezes, server->pass + 1, what,
		(long long)squeeze->freed_pages, (double)squeeze->took_ns / 1e6,
		(unsigned long long)squeeze->held_before / 1024,
		(unsigned long long)squeeze->held_after / 1024);
}

static int squeeze_memory(struct server *server)
{
	uint64_t could = ashmem_shrink_count();
	struct squeeze squeeze = {0};
	uint64_t pages = 0;
	int error;

	/* Between 1/16 and 10/16 of what could go. */
	if (server->squeezes_done + 1 < server->squeezes)
		pages = could * (1 + system_random(&server->random) % 10) / 16 + 1;
	error = cache_squeeze(server->cache, pages, &squeeze);
	if (error) {
		screen_warn("%s: %s (backend %s)", pages ? "shrink" : "purge_all", strerror(-error),
			ashmem_backend_name(server->cache->share.area[0]));
		return error;
	}
	server->squeezes_done++;
	server->freed_pages += (uint64_t)squeeze.freed_pages;
	server->squeeze_ns += squeeze.took_ns;
	server->refills = server->cache->share.index->entries / REFILL_PART + 1;
	print_squeeze(server, &squeeze);
	error = picture_print(&server->cache->share);
	if (error == -ENOTSUP) {
		screen_print("  (backend %s does not tell which pages are unpinned)\n",
			ashmem_backend_name(server->cache->share.area[0]));
		error = 0;
	}
	return error;
}

/* 1 if the pass is over. */
static int handle(struct server *server, const struct message *message)
{
	struct message answer = {.kind = MESSAGE_REBUILT, .entry = message->entry};
	int error;

	switch (message->kind) {
	case MESSAGE_DONE:
		return 1;
	case MESSAGE_REBUILD:
		error = cache_rebuild(server->cache, message->entry);
		return error ? error : message_send(server->socket_fd, &answer);
	case MESSAGE_DROPPED:
		if (message->entry >= server->cache->share.index->entries)
			return -EPROTO;
		cache_drop(server->cache, message->entry, message);
		return 0;
	default:
		return -EPROTO;
	}
}

/* Wait for a message and handle it; use the time if there is none. 1 if the pass is over. */
static int serve_once(struct server *server)
{
	struct pollfd ready = {.fd = server->socket_fd, .events = POLLIN};
	struct message message;
	int got = poll(&ready, 1, server->refills ? 0 : WAIT_MS);

	if (system_interrupted())
		return -EINTR;
	if (got < 0)
		return errno == EINTR ? 0 : -errno;
	if (got > 0) {
		got = message_receive(server->socket_fd, &message);
		return got > 0 ? handle(server, &message) : got < 0 ? got : -ECONNRESET;
	}
	if (server->refills) {
		server->refills--;
		return cache_refill(server->cache);
	}
	return 0;
}

/* Whether it is time: the squeeze belongs into this pass, and the pass has come to its point. */
static bool squeeze_is_due(const struct server *server, uint32_t progress, bool pass_is_over)
{
	return server->squeezes_done < server->squeezes &&
		server->pass >= server->squeezes_done * PASSES_PER_SQUEEZE &&
		(pass_is_over || progress > server->squeeze_at);
}

static int run_pass(struct server *server)
{
	struct index *index = server->cache->share.index;
	struct message start = {.kind = MESSAGE_PASS, .value = system_random(&server->random)};
	uint64_t before = (uint64_t)index->entries * server->pass;
	uint64_t total = (uint64_t)index->entries * server->passes;
	int done;

	server->squeeze_at =
		(uint32_t)(index->entries * (25 + system_random(&server->random) % 50) / 100);
	/* Relaxed, here and below: the number is only looked at. */
	atomic_store_explicit(&index->progress, 0, memory_order_relaxed);
	done = message_send(server->socket_fd, &start);
	while (!done) {
		uint32_t progress;

		done = serve_once(server);
		if (done < 0)
			return done;
		progress = atomic_load_explicit(&index->progress, memory_order_relaxed);
		screen_progress("reading", before + progress, total);
		if (squeeze_is_due(server, progress, done)) {
			int error = squeeze_memory(server);

			if (error)
				return error;
		}
	}
	return done < 0 ? done : 0;
}

int server_run(struct server *server)
{
	int error = share_send(&server->cache->share, server->socket_fd);

	server->passes = server->squeezes * PASSES_PER_SQUEEZE + 1;
	for (server->pass = 0; !error && server->pass < server->passes; server->pass++)
		error = run_pass(server);
	return error;
}
