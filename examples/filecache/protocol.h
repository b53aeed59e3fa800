/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_PROTOCOL_H
#define FILECACHE_PROTOCOL_H

#include "source.h"

#include <ashmem/ashmem.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_AREAS 8

/* Who may touch an entry. */
enum owner {
	OWNER_NOBODY,
	OWNER_SERVER,
	OWNER_READER,
};

/* One entry of the cache: one file. All but `owner` belongs to the owner. */
struct entry {
	_Atomic uint32_t owner; /* enum owner */
	uint32_t dropped;       /* not 0: the file changed or is gone; do not use */
	uint32_t area;
	uint32_t fresh;        /* the file had just been written when it was cached */
	uint64_t offset_bytes; /* in the area, page aligned */
	uint64_t path_offset;  /* in the index, a string */
	struct stamp stamp;    /* of what is cached */
};

/* What the reader counted. It writes them; the server reads them while the reader waits. */
struct tally {
	uint64_t reads; /* entries compared in full, with no difference */
	uint64_t bytes;
	uint64_t hits;   /* pinned and found whole */
	uint64_t purged; /* pinned and found purged */
	uint64_t empty;  /* empty files, which have no pages to pin */
	uint64_t busy;   /* put off because the server had the entry */
};

/* The index area: this, then the paths. Never unpinned. */
struct index {
	uint32_t areas;
	uint32_t entries;
	_Atomic uint32_t progress; /* entries done in this pass, for the progress bar */
	struct tally tally;
	struct entry entry[];
};

enum message_kind {
	MESSAGE_PASS,    /* to the reader: read all entries; value = random seed */
	MESSAGE_DONE,    /* to the server: the pass is over */
	MESSAGE_REBUILD, /* to the server: fill this entry, which I lend you */
	MESSAGE_REBUILT, /* to the reader: the entry is yours again */
	MESSAGE_DROPPED, /* to the server: I dropped this entry; verdict, error, value = offset */
};

enum verdict {
	VERDICT_SAME,
	VERDICT_CHANGED,    /* the file is not what was cached; nobody's fault */
	VERDICT_UNREADABLE, /* `error` says why */
	VERDICT_MISMATCH,   /* the file is unchanged and its bytes differ: a bug */
};

struct message {
	uint32_t kind;  /* enum message_kind */
	uint32_t entry; /* number of an entry */
	uint32_t verdict;
	int32_t error;
	uint64_t value;
};

/* The areas as one process holds them. Zero it first. */
struct share {
	size_t page_bytes;
	struct ashmem_area *index_area;
	struct index *index;
	struct ashmem_area *area[MAX_AREAS];
	unsigned char *base[MAX_AREAS];
};

/* All of these return 0 or a negative errno, if nothing else is said. */
int share_map(struct ashmem_area *area, int prot, void **base);
int share_send(const struct share *share, int socket_fd);
int share_receive(struct share *share, int socket_fd);
void share_close(struct share *share);

const char *entry_path(const struct share *share, const struct entry *entry);
unsigned char *entry_data(const struct share *share, const struct entry *entry);
bool entry_claim(struct entry *entry, enum owner me);
bool entry_is_owned_by(struct entry *entry, enum owner me);
void entry_hand_over(struct entry *entry, enum owner next);
/* ASHMEM_WAS_PURGED, ASHMEM_NOT_PURGED, or a negative errno. */
int entry_pin(const struct share *share, const struct entry *entry);
int entry_unpin(const struct share *share, const struct entry *entry);

int message_send(int socket_fd, const struct message *message);
/* 1: received, 0: the peer is gone. */
int message_receive(int socket_fd, struct message *message);

#endif /* FILECACHE_PROTOCOL_H */
