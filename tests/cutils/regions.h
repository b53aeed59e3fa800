/* SPDX-License-Identifier: MIT */
/*
 * Programs that use libashmem-cutils as a port does, through public headers alone: what the parts
 * of the test share. A case that fails says where and ends its process; main.c runs each in a
 * child.
 */
#ifndef TESTS_CUTILS_REGIONS_H
#define TESTS_CUTILS_REGIONS_H

#include <android/sharedmem.h>
#include <cutils/ashmem.h>

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RW (PROT_READ | PROT_WRITE)

#define EXPECT(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, #condition))
/* -1 and this errno. */
#define EXPECT_ERROR(call, error) (errno = 0, EXPECT((call) == -1), EXPECT(errno == (error)))

__attribute__((noreturn)) void fail(const char *file, int line, const char *what);
/* The case cannot be had here. */
__attribute__((noreturn)) void skip(const char *why);

struct region_case {
	const char *name;
	void (*run)(void);
};

extern const struct region_case basic_cases[], prot_cases[], process_cases[];

size_t page_bytes(void);

/* A region of so many pages; its pages mapped from a descriptor. Both must work. */
int region_of(size_t pages);
unsigned char *map_of(int fd, size_t pages, int prot);
/* A mapping that is refused. */
void expect_no_map(int fd, size_t pages, int prot);

/* What this process has: areas as libashmem counts them, open descriptors. */
uint64_t areas_now(void);
int descriptors_now(void);

/* Purge all that is unpinned: the pages that were. */
int64_t purge_now(void);

/* Run in a child, which must end well. */
void in_child(void (*run)(void *argument), void *argument);
void expect_exit(pid_t child);

void send_fd(int socket_fd, int fd);
int receive_fd(int socket_fd);

#endif /* TESTS_CUTILS_REGIONS_H */
