/* SPDX-License-Identifier: MIT */
/*
 * Areas by name, for the calls of <ashmem/names.h> and for caches by name.
 *
 *   names.c          the protocol: lock the name, look for a holder, open or make, list ourselves
 *   names_places.c   the user's directories, and the locked files in them
 *   names_holders.c  what a file lists: processes that hold the area, and whether they still do
 *
 * What a file lists is a hint and nothing more: whoever opens an area looks at the descriptor that
 * is listed and compares the serial number of the area. So nothing has to be undone when a process
 * dies at any point, and a file full of nonsense is a file without holders.
 *
 * The lock is flock(2) on the name's file. It belongs to the open file description, so it keeps out
 * threads as well as processes, and it ends with the process; a child of fork closes its copy
 * (names_after_fork_in_child()). No mutex is held while a name is locked.
 */
#ifndef ASHMEM_LIB_AREA_NAMES_H
#define ASHMEM_LIB_AREA_NAMES_H

#include <limits.h>
#include <stdint.h>

struct ashmem_area;

/* Candidates for the directory. */
#define NAMES_PLACES 2

/* One process that holds an area. Written into files, of processes of any width. */
struct names_holder {
	uint32_t pid; /* as /proc shows it; 0: nobody */
	int32_t fd;
	uint64_t started; /* when the process was, in ticks */
	uint64_t serial[2];
};

_Static_assert(sizeof(struct names_holder) == 32, "layout of files");

struct names_place {
	int directory; /* -1: there is none */
	int file;      /* locked */
};

/* A name under work, and the descriptors that a child of fork must close. */
struct names_lock {
	struct names_place place[NAMES_PLACES];
	struct names_place swept; /* borrows its directory */
	int found;                /* the area of a holder, opened anew */
	char file[NAME_MAX + 1];
	struct names_lock *next;
};

/*
 * Open or make, and list this process as a holder. With the name locked, `keep` is called once: it
 * gets a descriptor of the area that the name stands for, borrowed, or -1 if no process holds one.
 * It returns the descriptor by which this process holds the area from then on, or a negative errno.
 * If this fails after `keep` succeeded, the caller gives back what `keep` took.
 *
 * 0 or a negative errno, as the header says.
 */
int names_open(const char *name, int (*keep)(void *userdata, int fd), void *userdata);

/* -- names_places.c -- */

/* Lock the file `lock->file` in every directory that there is; make one if there is none. */
int names_lock(struct names_lock *lock);
/* Remove the files of the name. 0 or a negative errno. */
int names_remove(struct names_lock *lock);
/* The same of files that list nobody, which a call that failed leaves behind. */
void names_remove_empty(struct names_lock *lock);
void names_unlock(struct names_lock *lock);
/* Put an open descriptor where a child of fork closes it; returns it. */
int names_keep_found(struct names_lock *lock, int fd);
void names_close_found(struct names_lock *lock);
/* Remove the files of other names of this namespace that no process holds. */
void names_sweep(struct names_lock *lock);

/* -- names_holders.c -- */

/* The name's file; -EINVAL if it is no name, -ENOTSUP without /proc. */
int names_file(const char *name, char file[NAME_MAX + 1]);
/* This process, holding an area by this descriptor. -ENOTSUP if that is not of a memfd area. */
int names_myself(int fd, struct names_holder *holder);
/*
 * The area of the first holder that is there, opened anew; -ENOENT if there is none, -EACCES if all
 * that are left cannot be looked into.
 */
int names_find(int file);
/* Write a holder into the file, in the place of one that is gone. */
int names_list(int file, const struct names_holder *holder);

#endif /* ASHMEM_LIB_AREA_NAMES_H */
