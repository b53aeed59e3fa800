/* SPDX-License-Identifier: MIT */
/*
 * Areas by name: the public calls, and the protocol that they share (names.h).
 *
 * A name is locked while one process looks for a holder, opens its area or makes one, and lists
 * itself; so of two that open at once, the second finds what the first has made. The area is
 * imported or made under that lock, and callbacks of the program may run then: such a callback
 * cannot open the same name, and gets -ETIMEDOUT.
 *
 * No lock is held on entry.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <ashmem/names.h>

#include "area/names.h"
#include "base/cancel.h"
#include "base/fork.h"

/* A holder's area, opened: in lock->found. 0, or as names_find(). */
static int find(struct names_lock *lock)
{
	int result = -ENOENT;

	for (int i = 0; i < NAMES_PLACES; i++) {
		if (lock->place[i].file < 0)
			continue;
		int r = names_keep_found(lock, names_find(lock->place[i].file));
		if (r >= 0)
			return 0;
		if (r != -ENOENT)
			result = r;
		if (r != -ENOENT && r != -EACCES)
			break;
	}
	return result;
}

/* In every directory: a process that sees only one of them finds us too. */
static int list(const struct names_lock *lock, int fd)
{
	struct names_holder myself;
	int r = names_myself(fd, &myself);

	for (int i = 0; i < NAMES_PLACES && r == 0; i++)
		if (lock->place[i].file >= 0)
			r = names_list(lock->place[i].file, &myself);
	return r;
}

static int begin(struct names_lock *lock, const char *name)
{
	int r = name ? process_start() : -EINVAL;

	if (r == 0)
		r = names_file(name, lock->file);
	return r < 0 ? r : names_lock(lock);
}

int names_open(const char *name, int (*keep)(void *userdata, int fd), void *userdata)
{
	struct names_lock lock;
	int r = begin(&lock, name);

	if (r < 0)
		return r;
	int found = find(&lock);
	r = found == 0 || found == -ENOENT ? keep(userdata, lock.found) : found;
	if (r >= 0)
		r = list(&lock, r);
	if (r < 0)
		names_remove_empty(&lock);
	names_close_found(&lock);
	names_sweep(&lock);
	names_unlock(&lock);
	return r;
}

/* -- the public calls -- */

static int keep_published(void *userdata, int fd)
{
	struct ashmem_area *area = userdata;
	struct names_holder ours, theirs;
	int ours_fd = ashmem_fd(area);
	int r = ours_fd < 0 ? ours_fd : names_myself(ours_fd, &ours);

	if (r == 0 && fd >= 0)
		r = names_myself(fd, &theirs);
	if (r < 0)
		return r;
	if (fd >= 0 && memcmp(ours.serial, theirs.serial, sizeof(ours.serial)) != 0)
		return -EEXIST;
	return ours_fd;
}

int ashmem_publish(struct ashmem_area *area, const char *name)
{
	CANCEL_OFF;

	return area ? names_open(name, keep_published, area) : -EINVAL;
}

static int keep_opened(void *userdata, int fd)
{
	struct ashmem_area **area = userdata;

	if (fd < 0)
		return -ENOENT;
	int r = ashmem_import(fd, area);
	return r < 0 ? r : ashmem_fd(*area);
}

int ashmem_open_named(const char *name, struct ashmem_area **area)
{
	CANCEL_OFF;
	struct ashmem_area *opened = NULL;
	int r = area ? names_open(name, keep_opened, &opened) : -EINVAL;

	if (r < 0) {
		ashmem_close(opened);
		return r;
	}
	*area = opened;
	return 0;
}

int ashmem_unpublish(const char *name)
{
	CANCEL_OFF;
	struct names_lock lock;
	int r = begin(&lock, name);

	if (r < 0)
		return r;
	r = find(&lock);
	names_close_found(&lock);
	int removed = names_remove(&lock);
	names_unlock(&lock);
	return r == -ENOENT ? r : removed;
}
