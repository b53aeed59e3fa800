/* SPDX-License-Identifier: MIT */
/*
 * The second process: uses the cache, and checks it.
 *
 * In each pass it takes every entry once, in random order: claims it, pins it, has it rebuilt if it
 * was purged, compares every byte with the file on disk, unpins it, gives it back. (A real user of
 * a cache does the same with its own work in place of the comparison.) The rules are in protocol.c.
 *
 * Its mappings of the data are read-only: that it can pin depends on the descriptor, not on them.
 */
#include "reader.h"
#include "protocol.h"
#include "system.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES 131072u
#define VISIT_BUSY 1 /* the server has the entry: come back later */

struct reader {
	int socket_fd;
	struct share share;
	uint32_t *order; /* entries still to be visited in this pass */
	unsigned char chunk[CHUNK_BYTES];
};

/* Compare an open file with what is cached of it. `*at` is where they differ or the file ends. */
static int compare_bytes(struct reader *reader, const struct entry *entry, int fd, uint64_t *at)
{
	const unsigned char *cached = entry_data(&reader->share, entry);
	uint64_t size = entry->stamp.size_bytes;

	for (*at = 0; *at < size;) {
		size_t want = size - *at < CHUNK_BYTES ? (size_t)(size - *at) : CHUNK_BYTES;
		int64_t got = source_read(fd, reader->chunk, want);
		size_t same = 0;

		if (got < 0)
			return (int)got;
		if ((size_t)got == want && memcmp(reader->chunk, cached + *at, want) == 0) {
			*at += want;
			continue;
		}
		while (same < (size_t)got && reader->chunk[same] == cached[*at + same])
			same++;
		*at += same;
		return VERDICT_MISMATCH;
	}
	return VERDICT_SAME;
}

/* Compare an entry with its file. A verdict, or a negative errno if the file cannot be read. */
static int compare(struct reader *reader, const struct entry *entry, uint64_t *at)
{
	struct stamp stamp;
	int fd = source_open(entry_path(&reader->share, entry), &stamp);
	int verdict;

	if (fd < 0)
		return source_is_gone(fd) ? VERDICT_CHANGED : fd;
	if (!stamp_equal(&stamp, &entry->stamp))
		verdict = VERDICT_CHANGED;
	else
		verdict = compare_bytes(reader, entry, fd, at);
	/* A difference counts only if the file did not change under our hands. */
	if (verdict == VERDICT_MISMATCH && (entry->fresh || !source_unchanged(fd, &stamp)))
		verdict = VERDICT_CHANGED;
	close(fd);
	return verdict;
}

/* Compare an entry, count it, or drop it and tell the server why. */
static int check(struct reader *reader, uint32_t number, struct entry *entry)
{
	struct message message = {.kind = MESSAGE_DROPPED, .entry = number};
	int verdict = compare(reader, entry, &message.value);

	if (verdict == VERDICT_SAME) {
		reader->share.index->tally.reads++;
		reader->share.index->tally.bytes += entry->stamp.size_bytes;
		return 0;
	}
	entry->dropped = 1;
	message.verdict = verdict < 0 ? VERDICT_UNREADABLE : (uint32_t)verdict;
	message.error = verdict < 0 ? verdict : 0;
	return message_send(reader->socket_fd, &message);
}

/* Rule 4 of protocol.c: lend the entry, pinned as it is, and wait until it is back. */
static int have_rebuilt(struct reader *reader, uint32_t number, struct entry *entry)
{
	struct message message = {.kind = MESSAGE_REBUILD, .entry = number};
	int got;

	entry_hand_over(entry, OWNER_SERVER);
	got = message_send(reader->socket_fd, &message);
	if (got < 0)
		return got;
	got = message_receive(reader->socket_fd, &message);
	if (got <= 0)
		return got < 0 ? got : -ECONNRESET;
	if (message.kind != MESSAGE_REBUILT || message.entry != number ||
		!entry_is_owned_by(entry, OWNER_READER))
		return -EPROTO;
	return 0;
}

/* Use an entry that we own and that was not dropped. */
static int use(struct reader *reader, uint32_t number, struct entry *entry)
{
	struct tally *tally = &reader->share.index->tally;
	int pinned = entry_pin(&reader->share, entry);
	int error = 0;

	if (pinned < 0)
		return pinned;
	if (pinned == ASHMEM_WAS_PURGED) {
		tally->purged++;
		error = have_rebuilt(reader, number, entry);
	} else if (entry->stamp.size_bytes) {
		tally->hits++;
	} else {
		tally->empty++;
	}
	if (!error && !entry->dropped)
		error = check(reader, number, entry);
	if (!error)
		error = entry_unpin(&reader->share, entry);
	return error;
}

/* 0, VISIT_BUSY, or a negative errno. */
static int visit(struct reader *reader, uint32_t number)
{
	struct index *index = reader->share.index;
	struct entry *entry = &index->entry[number];
	int error = 0;

	if (!entry_claim(entry, OWNER_READER)) {
		index->tally.busy++;
		return VISIT_BUSY;
	}
	if (!entry->dropped)
		error = use(reader, number, entry);
	if (error)
		return error; /* the run ends; the entry stays ours */
	entry_hand_over(entry, OWNER_NOBODY);
	/* Relaxed: a number to look at, nothing depends on it. */
	atomic_fetch_add_explicit(&index->progress, 1, memory_order_relaxed);
	return 0;
}

static void shuffle(uint32_t *order, uint32_t count, uint64_t seed)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t j = (uint32_t)(system_random(&seed) % (i + 1));

		order[i] = order[j];
		order[j] = i;
	}
}

static int read_all(struct reader *reader, uint64_t seed)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	uint32_t left = reader->share.index->entries;

	shuffle(reader->order, left, seed);
	while (left) {
		uint32_t busy = 0;

		for (uint32_t i = 0; i < left; i++) {
			int result = visit(reader, reader->order[i]);

			if (result < 0)
				return result;
			if (result == VISIT_BUSY)
				reader->order[busy++] = reader->order[i];
		}
		if (busy == left)
			nanosleep(&nap, NULL);
		left = busy;
	}
	return 0;
}

static int serve(struct reader *reader)
{
	struct message message;
	int got;

	while ((got = message_receive(reader->socket_fd, &message)) > 0) {
		int error = message.kind == MESSAGE_PASS ? 0 : -EPROTO;

		if (!error)
			error = read_all(reader, message.value);
		if (error)
			return error;
		message = (struct message){.kind = MESSAGE_DONE};
		error = message_send(reader->socket_fd, &message);
		if (error)
			return error;
	}
	return got;
}

int reader_run(int socket_fd)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	int error;

	/* Ctrl-C reaches both processes; the server decides, and closing the socket ends us. */
	signal(SIGINT, SIG_IGN);
	if (!reader)
		return EXIT_FAILURE;
	reader->socket_fd = socket_fd;
	error = share_receive(&reader->share, socket_fd);
	if (!error) {
		reader->order = calloc(reader->share.index->entries, sizeof(*reader->order));
		error = reader->order ? serve(reader) : -ENOMEM;
	}
	/* A server that is gone needs no message from us: it had its reasons, and gave them. */
	if (error && error != -ECONNRESET && error != -EPIPE)
		fprintf(stderr, "filecache: reader: %s\n", strerror(-error));
	share_close(&reader->share);
	free(reader->order);
	free(reader);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
