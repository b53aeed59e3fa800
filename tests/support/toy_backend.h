/* SPDX-License-Identifier: MIT */
/*
 * A backend as a third party might add one: the whole ops table over a memfd, with state of one
 * process only. Every unpinned page of an area is one range of one age. Its counters say what the
 * library called.
 */
#ifndef TESTS_SUPPORT_TOY_BACKEND_H
#define TESTS_SUPPORT_TOY_BACKEND_H

#include <ashmem/ashmem.h>

struct toy_calls {
	int creates;
	int imports;
	int closes;
	int probes;
	int pins;
	int purge_alls;
	int looks; /* calls that ask what an area could give, and how old that is */
	int last_userdata_ok;
};

extern struct toy_calls toy_calls;

/* What the operation purge_all answers, whatever there is. */
enum { TOY_PURGE_ALL_PAGES = 1000 };

/* What probe() answers: 0 at first. */
extern int toy_probe_result;

enum {
	TOY_LRU = ASHMEM_BACKEND_CAP_LRU,
	TOY_PURGE_ALL = ASHMEM_BACKEND_CAP_PURGE_ALL,
	TOY_INSPECT = ASHMEM_BACKEND_CAP_INSPECT
};

/* A fresh table named `name` (kept by pointer), with these capabilities and what they call for. */
struct ashmem_backend toy_backend(const char *name, uint32_t capabilities);

/* Register one as "toy", and select it as well. Both expect success, once in a process. */
void toy_register(uint32_t capabilities);
void toy_use(uint32_t capabilities);

#endif
