/* SPDX-License-Identifier: MIT */
/*
 * Which descriptors of this process are areas: a table by number, and one struct run_file for each
 * open file description that a number names. Looking a number up takes no lock and no system call,
 * so that an ioctl costs little more than the library's call.
 *
 * A number can also be *hidden*: the library within owns it, and the program shall not close it.
 *
 * The table follows what the hooks see. What closes a number unseen (a raw system call) leaves a
 * stale entry, so every call but pins compares the file first: files_get_checked().
 *
 * A child of vfork(2) shares the table, but not the descriptors: its calls leave the table alone.
 * A child that no handler of fork(2) has run in, as of clone(2), is noticed at its first change.
 *
 * Locks: one mutex, for changes. It is held across no call of the library and no hook.
 */
#ifndef ASHMEM_COMPAT_RUN_FILES_H
#define ASHMEM_COMPAT_RUN_FILES_H

#include <fcntl.h>
#include <stdint.h>

#include <ashmem/ashmem.h>

#include "libc.h"

struct run_file {
	uint32_t refs;  /* atomic: numbers of the table, and calls under way; 0: free */
	uint32_t slots; /* numbers of the table; the mutex guards it */
	int access;     /* O_RDONLY, O_WRONLY, O_RDWR as it was opened */
	int shared;     /* another process may have it */
	struct ashmem_area *area;
	struct ashmem_area *former; /* before it was named; other threads may be in a call */
	uint64_t device, inode;
	struct run_file *next_free;
};

/* Linux has a fourth access mode, 3, which allows neither. */
static inline int file_can_read(const struct run_file *file)
{
	return file->access == O_RDONLY || file->access == O_RDWR;
}

static inline int file_can_write(const struct run_file *file)
{
	return file->access == O_WRONLY || file->access == O_RDWR;
}

/* The file that the number names, with a reference, or NULL. */
RUN_HIDDEN struct run_file *files_get(int fd);
/* The same, once the kernel has said that the number still names it. */
RUN_HIDDEN struct run_file *files_get_checked(int fd);
RUN_HIDDEN void files_put(struct run_file *file);
/* Whether the number names an area, also by the kernel's word. */
RUN_HIDDEN int files_is_area(int fd);

/* Whether any number is noted: 0 makes most hooks cheap. */
RUN_HIDDEN int files_is_known(int fd);

/*
 * The memfd below is open for reading and writing, and never for appending, which would move what
 * the library writes. What the program asked for is noted on the open file description, and so goes
 * to other processes with the descriptor: O_APPEND and the access mode.
 */
RUN_HIDDEN void files_note_flags(int fd, int flags);
RUN_HIDDEN int files_noted_flags(int fd);

/*
 * A new file with one reference; it takes the reference to the area. `fd` is its descriptor. NULL:
 * no memory.
 */
RUN_HIDDEN struct run_file *files_new(struct ashmem_area *area, int fd, int access);
/* From now on the number names this file, or NULL: none. What it named before is put. */
RUN_HIDDEN void files_set(int fd, struct run_file *file);
/* After a close: another thread's call may have noted the number anew just before. */
RUN_HIDDEN void files_closed(int fd);
/* Take the number for another one of what `from` names, if that is an area. */
RUN_HIDDEN void files_copy(int from, int to);
/* If the number is a descriptor of an area that is not known yet, know it. 1: it is one. */
RUN_HIDDEN int files_adopt(int fd);
/* Give every number of the file a duplicate of this descriptor. */
RUN_HIDDEN void files_replace(struct run_file *file, int fd);
/* Another process may have what the number names, or all that this one has. */
RUN_HIDDEN void files_share(int fd);
RUN_HIDDEN void files_share_all(void);

RUN_HIDDEN void files_hide(int fd);
RUN_HIDDEN void files_show(int fd);
RUN_HIDDEN int files_is_hidden(int fd);
/* The first hidden number from `fd` to `last`, or -1. */
RUN_HIDDEN int files_next_hidden(unsigned fd, unsigned last);
/* Forget all numbers from `first` to `last`, but for hidden ones. */
RUN_HIDDEN void files_forget(unsigned first, unsigned last);

/* Know what the process inherited. Called once, before main. */
RUN_HIDDEN void files_start(void);

#endif /* ASHMEM_COMPAT_RUN_FILES_H */
