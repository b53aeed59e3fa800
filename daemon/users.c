/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: what each user costs and gives. An area can be locked all the time, damaged, or say that
 * it has pages that it does not have. Such tries cost time in which honest areas wait, so a user
 * who wastes too much of it is left alone for a while. A user is the owner of the memfd, which
 * peers cannot forge.
 */
#include "ashmemd.h"

#include <string.h>

#define USERS 256 /* the last one stands for all that have no place */
#define WINDOW_NS (100 * NS_PER_MS)
#define MOST_WASTED_NS (20 * NS_PER_MS)
#define MOST_WASTED_AREAS 1000
#define BACK_OFF_NS (1000 * NS_PER_MS)
#define BACK_OFF_MOST_NS (60000 * NS_PER_MS)
/* More than the average may be taken from a user before others have given their share. */
#define SHARE_SLACK_PAGES 256

static struct user users[USERS];
static uint64_t all_evictable, all_freed;

struct user *user_of(uint32_t id)
{
	static unsigned last;
	unsigned i;

	if (users[last].is_used && users[last].id == id)
		return &users[last];
	for (i = 0; i < USERS - 1 && users[i].is_used; i++)
		if (users[i].id == id)
			break;
	if (!users[i].is_used)
		users[i] = (struct user){.id = id, .is_used = 1};
	last = i;
	return &users[i];
}

int user_may(struct user *user, uint64_t now)
{
	if (now < user->back_off_until)
		return 0;
	if (now - user->window_at >= WINDOW_NS) {
		user->window_at = now;
		user->wasted_ns = user->wasted_areas = user->fruitful = 0;
	}
	return user->wasted_ns < MOST_WASTED_NS && user->wasted_areas < MOST_WASTED_AREAS;
}

void user_pay(struct user *user, uint64_t now, uint64_t cost_ns, uint64_t freed_pages)
{
	if (freed_pages > 0) {
		user->fruitful++;
		user->back_off_ns = 0;
		return;
	}
	user->wasted_ns += cost_ns;
	user->wasted_areas++;
	if ((user->wasted_ns < MOST_WASTED_NS && user->wasted_areas < MOST_WASTED_AREAS) ||
		user->fruitful > 0)
		return;
	user->back_off_ns = user->back_off_ns == 0 ? BACK_OFF_NS : 2 * user->back_off_ns;
	if (user->back_off_ns > BACK_OFF_MOST_NS)
		user->back_off_ns = BACK_OFF_MOST_NS;
	user->back_off_until = now + user->back_off_ns;
	counts.backed_off++;
}

void users_begin_scan(void)
{
	for (unsigned i = 0; i < USERS; i++)
		users[i].descriptors = 0;
}

void users_begin_shares(void)
{
	for (unsigned i = 0; i < USERS; i++)
		users[i].evictable_pages = users[i].freed_pages = 0;
	all_evictable = all_freed = 0;
}

void users_add_share(uint32_t id, uint64_t evictable_pages)
{
	user_of(id)->evictable_pages += evictable_pages;
	all_evictable += evictable_pages;
}

void users_add_freed(uint32_t id, uint64_t pages)
{
	user_of(id)->freed_pages += pages;
	all_freed += pages;
}

int user_has_given(const struct user *user)
{
	return (double)user->freed_pages * (double)all_evictable >
		(double)(all_freed + SHARE_SLACK_PAGES) * (double)user->evictable_pages;
}
