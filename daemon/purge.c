/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: purge a batch in the areas of one group, the least recently unpinned first.
 *
 * An area is opened by a hint, late: what it leads to is checked before it is opened, since to open
 * a FIFO or a file with a lease has effects, and its serial afterwards. Its lock is tried once, and
 * again in the next batches: an owner may just have lost its processor. Areas that could not be
 * purged are forgotten until the next scan.
 */
#include "ashmemd.h"

#include "ashmemctl/proc.h"

#include <ashmem/ashmem.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH_AREAS 64
#define BATCH_BYTES (4 * MIB)
/* So much of one area before others of nearly the same age: more would not be LRU, less is slow. */
#define VISIT_BYTES (2 * MIB)
/* An area is forgotten when it was locked so often in a row. */
#define MOST_LOCKED 8
/* Between two rounds over those that were locked, while everything is purged. */
#define ROUND_NS (5 * NS_PER_MS)

static uint64_t pages_of(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page;
}

/* -- areas whose pages are charged elsewhere -- */

#define ELSEWHERE 1024
#define ELSEWHERE_NS (10000 * NS_PER_MS)
#define ELSEWHERE_BATCHES 8

/* Of group and serial, by a hash: another one may take the place. */
static struct {
	uint64_t serial, until;
	uint32_t batches;
	uint32_t group;
} elsewhere[ELSEWHERE];

static unsigned elsewhere_place(const struct group *group, const struct hint *hint)
{
	unsigned place = (unsigned)((hint->serial[0] ^ (uint64_t)(group - groups)) % ELSEWHERE);

	if (elsewhere[place].serial != hint->serial[0] ||
		elsewhere[place].group != (uint32_t)(group - groups)) {
		elsewhere[place].serial = hint->serial[0];
		elsewhere[place].group = (uint32_t)(group - groups);
		elsewhere[place].until = elsewhere[place].batches = 0;
	}
	return place;
}

static int is_elsewhere(const struct group *group, const struct hint *hint)
{
	return group->kind != GROUP_SYSTEM &&
		elsewhere[elsewhere_place(group, hint)].until > now_ns();
}

/*
 * What areas gave, and whether that was seen in the group: if not, their pages are charged to
 * another, and purging them helps nobody here. Others who take memory at the same moment hide it
 * too, so this takes many batches in a row.
 */
static void judge(const struct group *group, const struct hint *given, unsigned count, int was_seen)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned place = elsewhere_place(group, &given[i]);

		if (was_seen) {
			elsewhere[place].batches = 0;
		} else if (++elsewhere[place].batches >= ELSEWHERE_BATCHES) {
			elsewhere[place].batches = 0;
			elsewhere[place].until = now_ns() + ELSEWHERE_NS;
			counts.elsewhere++;
		}
	}
}

/* -- one area -- */

/* A descriptor of the area that the hint is of, or a negative errno. */
static int open_area(const struct hint *hint)
{
	char path[64];
	struct stat status;
	int fd, found;

	snprintf(path, sizeof(path), "/proc/%u/fd/%u", hint->pid, hint->fd);
	found = proc_find(AT_FDCWD, path, &status);
	if (found < 0)
		return found;
	if (status.st_dev == area_device && status.st_ino == hint->inode)
		fd = proc_open(found, O_RDWR);
	else
		fd = -ESTALE;
	close(found);
	return fd;
}

/* Purge, and see what is left: the hint then says that. Pages, or a negative errno. */
static int64_t visit(struct hint *hint, uint64_t most_pages)
{
	struct ashmem_purge_fd_options wishes = {
		.struct_size = sizeof(wishes),
		.most_pages = most_pages,
		.serial = {hint->serial[0], hint->serial[1]},
	};
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek)};
	int64_t pages;
	int fd = open_area(hint);

	counts.visits++;
	hint->evictable_pages = 0;
	if (fd < 0)
		return fd;
	pages = ashmem_purge_fd(fd, &wishes);
	if (pages > 0 && (uint64_t)pages >= most_pages && ashmem_peek(fd, &peek) == 0 &&
		!peek.damaged && !peek.sealed) {
		hint->evictable_pages = peek.evictable_pages;
		hint->resident_pages = peek.resident_pages;
		hint->key = peek.oldest_key;
		hint->locked = 0;
	}
	close(fd);
	return pages;
}

/* The oldest area of the list. Pages freed; the hint is moved, set aside or removed. */
static uint64_t take_oldest(struct group *group, struct hint *oldest, uint64_t most_pages)
{
	struct user *user = user_of(oldest->user);
	uint64_t begun = used_ns();
	int64_t pages = visit(oldest, most_pages);

	user_pay(user, now_ns(), used_ns() - begun, pages > 0 ? (uint64_t)pages : 0);
	if (pages <= 0)
		counts.purges_failed++;
	else
		counts.purged_pages += (uint64_t)pages;
	if (pages > 0 && group->kind == GROUP_SYSTEM)
		users_add_freed(oldest->user, (uint64_t)pages);
	if (pages > 0 && oldest->evictable_pages > 0 && oldest->resident_pages > 0)
		hints_reorder_oldest(&group->hints);
	else if (pages == -EAGAIN && ++oldest->locked < MOST_LOCKED)
		hints_set_oldest_aside(&group->hints);
	else
		hints_remove_oldest(&group->hints);
	return pages > 0 ? (uint64_t)pages : 0;
}

/* Whether it is this area's turn. */
static int may_take(const struct group *group, const struct hint *hint)
{
	struct user *user = user_of(hint->user);

	if (!user_may(user, now_ns()))
		return 0;
	return group->kind != GROUP_SYSTEM || !user_has_given(user);
}

/* -- a batch -- */

uint64_t purge_batch(struct group *group, uint64_t bytes)
{
	static struct hint given[BATCH_AREAS];
	uint64_t wanted = pages_of(bytes < BATCH_BYTES ? bytes : BATCH_BYTES), freed = 0;
	uint64_t free_before = group->free_bytes, shared_before = group->shared_bytes;
	unsigned tries = 0, givers = 0;
	struct hint *oldest;

	counts.batches++;
	hints_take_back(&group->hints);
	while (freed < wanted && tries < BATCH_AREAS && (oldest = hints_oldest(&group->hints))) {
		if (is_elsewhere(group, oldest)) {
			counts.passed_over++;
			hints_remove_oldest(&group->hints);
			continue;
		}
		if (!may_take(group, oldest)) {
			counts.passed_over++;
			hints_set_oldest_aside(&group->hints);
			continue;
		}
		struct hint before = *oldest;
		uint64_t most = wanted - freed, visit_pages = pages_of(VISIT_BYTES);
		uint64_t pages =
			take_oldest(group, oldest, most < visit_pages ? most : visit_pages);
		tries++;
		freed += pages;
		if (pages > 0 && (givers == 0 || given[givers - 1].inode != before.inode))
			given[givers++] = before;
	}
	/* Less may be hidden by what the kernel counts late. */
	if (group->kind != GROUP_SYSTEM && freed >= pages_of(MIB) && group_look(group) == 0)
		judge(group, given, givers,
			group->free_bytes > free_before || group->shared_bytes < shared_before);
	return freed;
}

static uint64_t purge_all_of(struct group *group)
{
	struct hint *oldest;
	uint64_t freed = 0;

	scan(group, scan_all);
	for (;;) {
		while ((oldest = hints_oldest(&group->hints)))
			freed += take_oldest(group, oldest, UINT64_MAX);
		hints_take_back(&group->hints);
		if (!hints_oldest(&group->hints))
			return freed;
		nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
	}
}

void purge_everything(void)
{
	uint64_t freed = 0, begun = now_ns();

	for (unsigned i = 0; i < GROUPS; i++)
		if (groups[i].is_used) {
			freed += purge_all_of(&groups[i]);
			if (groups[i].kind == GROUP_SYSTEM) /* that was all */
				break;
		}
	counts.purge_alls++;
	counts.purge_all_ns += now_ns() - begun;
	say("purged everything: %llu KiB",
		(unsigned long long)(freed * (uint64_t)sysconf(_SC_PAGESIZE) / 1024));
}
