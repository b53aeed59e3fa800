/* SPDX-License-Identifier: MIT */
/*
 * Areas of other processes, through /proc/PID/fd: for ashmemctl and ashmemd. A descriptor is opened
 * anew, as an open file description of its own, so nobody is disturbed; close it soon, or the area
 * lives longer because somebody looked. Every function returns a negative errno on failure. None
 * waits for another process.
 */
#ifndef ASHMEM_TOOLS_PROC_H
#define ASHMEM_TOOLS_PROC_H

#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A process id, or 0 if the text is none. */
pid_t proc_pid(const char *text);

/* Whether a link of /proc/PID/fd has the name of an area. Anybody can give that name. */
int proc_is_area(int directory, const char *name);

/*
 * Find out what a name leads to, without opening it: a descriptor of O_PATH, and its status.
 * -ENOTTY if it is no regular file, which no area is: to open a FIFO or a device has effects.
 */
int proc_find(int directory, const char *name, struct stat *status);

/*
 * Open what proc_find() found, O_RDWR or O_RDONLY. -EAGAIN if somebody has a lease on the file
 * (fcntl(2), F_SETLEASE).
 */
int proc_open(int found, int access);

/*
 * The path of this process's cgroup in the hierarchy with the memory controller of version 1, or in
 * that of version 2. -ENOENT: there is none.
 */
int proc_own_cgroup(int version, char *path, size_t size);
/* The same of a text like that of /proc/self/cgroup. */
int proc_cgroup_in(FILE *file, int version, char *path, size_t size);

#endif /* ASHMEM_TOOLS_PROC_H */
