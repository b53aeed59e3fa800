/* SPDX-License-Identifier: MIT */
/*
 * The memfd areas of this process: the list of newborns, which a fork must make shareable, and the
 * table of established ones by inode, which finds an area again when its descriptor is imported. An
 * area that is materialised and not established is still in the list. A newborn with an early
 * descriptor (early.h) is in both.
 *
 * One mutex guards both, the areas' `refs`, and what area.h says. It comes before any control lock,
 * birth lock or file_locks_mutex. It is held in all functions but memfd_table_lock().
 */
#include <pthread.h>

#include "memfd/area.h"
#include "memfd/table.h"

#define BUCKETS 256

static pthread_mutex_t memfd_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct memfd_area *newborns;
static struct memfd_area *buckets[BUCKETS];

void memfd_table_lock(void)
{
	pthread_mutex_lock(&memfd_mutex);
}

void memfd_table_unlock(void)
{
	pthread_mutex_unlock(&memfd_mutex);
}

void memfd_table_add_newborn(struct memfd_area *area)
{
	area->newborn_prev = NULL;
	area->newborn_next = newborns;
	if (newborns)
		newborns->newborn_prev = area;
	newborns = area;
}

/* Does nothing if the area is not in the list. */
static void unlink_newborn(struct memfd_area *area)
{
	if (area->newborn_prev)
		area->newborn_prev->newborn_next = area->newborn_next;
	else if (newborns == area)
		newborns = area->newborn_next;
	if (area->newborn_next)
		area->newborn_next->newborn_prev = area->newborn_prev;
	area->newborn_prev = area->newborn_next = NULL;
}

static struct memfd_area **bucket_of(ino_t inode)
{
	return &buckets[(size_t)inode % BUCKETS];
}

static void add_to_bucket(struct memfd_area *area)
{
	struct memfd_area **bucket = bucket_of(area->file.inode);

	area->bucket_next = *bucket;
	*bucket = area;
}

void memfd_table_add_early(struct memfd_area *area)
{
	area->early = 1;
	add_to_bucket(area);
}

void memfd_table_publish(struct memfd_area *area)
{
	unlink_newborn(area);
	if (!area->early)
		add_to_bucket(area);
	/* Release: pairs with the acquire in memfd_is_established() and memfd_is_materialised(). */
	__atomic_store_n(&area->established, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&area->materialised, 1, __ATOMIC_RELEASE);
}

void memfd_table_remove(struct memfd_area *area)
{
	struct memfd_area **link = bucket_of(area->file.inode);

	if (!area->established)
		unlink_newborn(area);
	if (!area->established && !area->early)
		return;
	while (*link && *link != area)
		link = &(*link)->bucket_next;
	if (*link)
		*link = area->bucket_next;
}

struct memfd_area *memfd_table_find(int fd, const struct stat *status, int need_writable)
{
	for (struct memfd_area *area = *bucket_of(status->st_ino); area; area = area->bucket_next) {
		if (!area->established || !descriptor_is_file(status, &area->file))
			continue;
		if (need_writable && !area->plain && !area->control.writable)
			continue;
		if (!area->plain && !control_is_same(&area->control, fd, status))
			continue;
		area->refs++;
		return area;
	}
	return NULL;
}

/* Inode numbers may come again after 2^32 files: the length tells most of those apart. */
static int is_held(const struct memfd_area *area, const struct stat *status)
{
	return descriptor_is_file(status, &area->file) &&
		(!area->established || area->plain ||
			(uint64_t)status->st_size == control_file_bytes(area->size_bytes));
}

struct memfd_area *memfd_table_find_held(const struct stat *status)
{
	struct memfd_area *found = NULL;

	for (struct memfd_area *area = *bucket_of(status->st_ino); area; area = area->bucket_next)
		if (is_held(area, status) && (!found || area->control.writable))
			found = area;
	if (found)
		found->refs++;
	return found;
}

void memfd_table_each_newborn(void (*visit)(struct memfd_area *area))
{
	struct memfd_area *next;

	for (struct memfd_area *area = newborns; area; area = next) {
		next = area->newborn_next;
		visit(area);
	}
}

void memfd_table_each_established(void (*visit)(struct memfd_area *area))
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct memfd_area *area = buckets[i]; area; area = area->bucket_next)
			if (area->established)
				visit(area);
}
