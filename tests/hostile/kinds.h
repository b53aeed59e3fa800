/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of every kind that a peer can send, and what ashmem_recv() must answer: for the cases
 * of sockets.c, and the fuzzer.
 */
#ifndef TESTS_HOSTILE_KINDS_H
#define TESTS_HOSTILE_KINDS_H

#include <stdint.h>

struct kind {
	const char *name;
	int (*open)(void); /* a new descriptor; -1: not to be had here */
	int answer;        /* what an import of it says */
};

extern const struct kind kinds[];
extern const unsigned kind_count;

/* A memfd with an area's trailer, and no seals yet; `pages` are those of the data. */
int forged_area(uint64_t pages);
/* Send so many descriptors with so many bytes, if the kernel takes that: 0 or -1. */
int send_kinds(int socket_fd, const int *fds, unsigned count, unsigned bytes);

#endif
