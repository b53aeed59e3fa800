/* SPDX-License-Identifier: MIT */
/*
 * The attacks by name: each writes one thing that a control block must not hold, at places and with
 * values of chance, or uses a system call that a holder of the descriptor can use.
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/wait.h"

/* Write, and remember what was there. */
#define PUT(e, place, value)                                                              \
	do {                                                                              \
		touch(e, &(place), sizeof(place));                                        \
		__atomic_store_n(&(place), (__typeof__(place))(value), __ATOMIC_RELAXED); \
	} while (0)

static void touch(struct enemy *e, void *place, unsigned size)
{
	if (e->touched_count == TOUCHED_MAX)
		return;
	e->touched[e->touched_count].place = place;
	e->touched[e->touched_count].size = size;
	e->touched[e->touched_count].was = 0;
	memcpy(&e->touched[e->touched_count++].was, place, size);
}

void enemy_undo(struct enemy *e)
{
	while (e->touched_count > 0) {
		e->touched_count--;
		memcpy(e->touched[e->touched_count].place, &e->touched[e->touched_count].was,
			e->touched[e->touched_count].size);
	}
}

void enemy_restore(struct enemy *e)
{
	e->touched_count = 0;
	memcpy(e->base + e->bytes - e->used, e->image, e->used);
}

void enemy_map(struct enemy *e, int fd, uint64_t data_bytes, uint64_t seed)
{
	struct stat status;

	*e = (struct enemy){.fd = fd, .data_bytes = data_bytes, .dice = {seed * 2 + 1}};
	must(fstat(fd, &status) == 0);
	e->bytes = (size_t)((uint64_t)status.st_size - data_bytes);
	e->base = mmap(NULL, e->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)data_bytes);
	must(e->base != MAP_FAILED);
	e->control = (void *)(e->base + e->bytes - CONTROL_BYTES);
	e->root = &e->control->ranges;
	unsigned char *top = (void *)e->control;
	e->list = (struct range_list){.root = e->root, .journal_top = top};
	e->list.nodes_top = top - RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES;
	e->list.max_nodes = (uint32_t)range_nodes_needed(data_bytes / sys_page_size());
	e->list.pages = (uint32_t)(data_bytes / sys_page_size());
	e->lost = e->list.pages > CONTROL_LOST_INLINE ? (void *)e->base : e->control->lost;
	for (uint32_t i = 0; i < e->root->nodes_used && i < NODES_MAX; i++) {
		struct range_node *node = tree_node(&e->list, i);
		if (node->next_free == 0 && node->level > 0)
			e->inner[e->inner_count++] = i;
		else if (node->next_free == 0)
			e->leaf[e->leaf_count++] = i;
	}
	if (e->inner_count == 0)
		e->inner[e->inner_count++] = 0;
	if (e->leaf_count == 0)
		e->leaf[e->leaf_count++] = 0;
	e->used = CONTROL_BYTES +
		(RANGE_JOURNAL_SLOTS + (size_t)e->root->nodes_used + 8) * RANGE_NODE_BYTES;
	if (e->used > e->bytes)
		e->used = e->bytes;
	e->image = malloc(e->used);
	must(e->image);
	memcpy(e->image, e->base + e->bytes - e->used, e->used);
}

int enemy_rage(struct enemy *e, const struct attack *attack)
{
	for (;;) {
		attack->strike(e);
		for (uint64_t n = roll(&e->dice, 4) ? roll(&e->dice, 300) : roll(&e->dice, 20000);
			n > 0; n--)
			__asm__ volatile("" ::: "memory");
		/*
		 * Let the victims go on as if nothing had happened, as a rule: else they give up
		 * early.
		 */
		if (roll(&e->dice, 8))
			enemy_undo(e);
		e->touched_count = 0;
		if (roll(&e->dice, 64) == 0)
			enemy_restore(e);
		if (roll(&e->dice, 16))
			e->control->damaged = 0;
		if ((attack->flags & (ATTACK_LOCK | ATTACK_DEAD)) && roll(&e->dice, 4) == 0) {
			__atomic_store_n(&e->control->lock, 0, __ATOMIC_RELAXED);
			sleep_ms(1);
		}
	}
	return 0;
}

/* -- places and values -- */

static struct range_node *any_node(struct enemy *e, uint32_t index)
{
	struct range_node *node = tree_node(&e->list, index);

	must(node);
	return node;
}

static struct range_node *an_inner(struct enemy *e)
{
	return any_node(e, e->inner[roll(&e->dice, e->inner_count)]);
}

static struct range_node *a_leaf(struct enemy *e)
{
	return any_node(e, e->leaf[roll(&e->dice, e->leaf_count)]);
}

/* An entry of a leaf, and its key. */
static struct range_entry *an_entry(struct enemy *e, uint32_t **key)
{
	struct range_node *leaf = a_leaf(e);
	uint32_t count = leaf->count;
	uint64_t slot = roll(&e->dice, count && count <= LEAF_MAX ? count : LEAF_MAX);

	*key = &leaf->key[slot];
	return &leaf->entry[slot];
}

static struct range_child *a_child(struct enemy *e)
{
	struct range_node *node = an_inner(e);
	uint32_t count = node->count;

	return &node->child[roll(&e->dice, count && count <= INNER_MAX ? count : INNER_MAX)];
}

/* A number at the edge of something. */
static uint32_t edge(struct enemy *e)
{
	const uint32_t liked[] = {0, 1, 2, 3, LEAF_MAX, LEAF_MAX + 1, INNER_MAX, INNER_MAX + 1,
		RANGE_MAX_HEIGHT - 1, RANGE_MAX_HEIGHT, RANGE_JOURNAL_SLOTS,
		RANGE_JOURNAL_SLOTS + 1, CONTROL_PURGE_SLOTS, CONTROL_PURGE_SLOTS + 1, 0x7fffffff,
		0x80000000, UINT32_MAX - 1, UINT32_MAX, e->list.max_nodes - 1, e->list.max_nodes,
		e->list.max_nodes + 1, e->list.pages - 1, e->list.pages, e->list.pages + 1,
		(uint32_t)roll_bits(&e->dice), (uint32_t)roll(&e->dice, e->list.pages)};

	return liked[roll(&e->dice, sizeof(liked) / sizeof(liked[0]))];
}

static uint64_t long_edge(struct enemy *e)
{
	const uint64_t liked[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, INT64_MAX,
		(uint64_t)INT64_MAX + 1, e->data_bytes, e->data_bytes - 1,
		sys_now_ns() + 3600000000000u, sys_now_ns() + 500000, edge(e), roll_bits(&e->dice)};

	return liked[roll(&e->dice, sizeof(liked) / sizeof(liked[0]))];
}

static void owner_dies(struct enemy *e)
{
	PUT(e, e->control->lock, LOCK_DEAD);
}

/* -- the lock -- */

static void lock_of_nobody(struct enemy *e)
{
	PUT(e, e->control->lock, LOCK_TID - 1);
}

static void lock_of_a_stranger(struct enemy *e)
{
	PUT(e, e->control->lock, e->stranger_tid);
}

static void lock_of_the_victim(struct enemy *e)
{
	PUT(e, e->control->lock, e->victim_tid);
}

static void lock_of_the_attacker(struct enemy *e)
{
	PUT(e, e->control->lock, sys_gettid());
}

static void lock_with_waiters(struct enemy *e)
{
	PUT(e, e->control->lock, LOCK_WAITERS | (roll(&e->dice, 2) ? 0 : e->stranger_tid));
}

static void lock_freed(struct enemy *e)
{
	__atomic_store_n(&e->control->lock, 0, __ATOMIC_RELAXED);
}

static void lock_dead_and_owned(struct enemy *e)
{
	PUT(e, e->control->lock,
		LOCK_DEAD | e->stranger_tid | (roll(&e->dice, 2) ? LOCK_WAITERS : 0));
}

static void lock_random(struct enemy *e)
{
	PUT(e, e->control->lock, roll_bits(&e->dice));
}

/* -- flags, numbers, name -- */

static void flag_damaged(struct enemy *e)
{
	PUT(e, e->control->damaged, edge(e) | 1);
}

static void flag_readers(struct enemy *e)
{
	PUT(e, e->control->has_readers, roll(&e->dice, 2) ? 0 : edge(e));
}

static void flag_sealed(struct enemy *e)
{
	PUT(e, e->control->sealed, 1);
}

static void mask_impossible(struct enemy *e)
{
	PUT(e, e->control->prot, 8 | edge(e));
}

static void mask_changing(struct enemy *e)
{
	PUT(e, e->control->prot, roll(&e->dice, 8));
}

static void position_anywhere(struct enemy *e)
{
	PUT(e, e->control->position, long_edge(e));
}

static void stamp_in_the_future(struct enemy *e)
{
	PUT(e, e->control->last_stamp,
		sys_now_ns() + (roll(&e->dice, 2) ? 900000 : UINT64_C(1) << roll(&e->dice, 63)));
}

static void changes_running(struct enemy *e)
{
	e->control->changes++;
}

static void counters_at_the_end(struct enemy *e)
{
	PUT(e, e->control->recoveries, UINT64_MAX);
	PUT(e, e->control->purged_pages, UINT64_MAX);
	PUT(e, e->control->pins_found_purged, UINT64_MAX);
}

static void name_without_end(struct enemy *e)
{
	memset(e->control->name, 'n', sizeof(e->control->name));
}

/* -- the trailer -- */

static void trailer_version(struct enemy *e)
{
	PUT(e, e->control->id.version, CONTROL_VERSION + 1 + roll(&e->dice, 5));
}

static void trailer_size(struct enemy *e)
{
	const uint64_t sizes[] = {0, e->data_bytes + 1, e->data_bytes / 2, UINT64_MAX,
		UINT64_MAX - 4095, control_max_size(), control_max_size() + 1, UINT64_C(1) << 63,
		e->data_bytes + sys_page_size()};

	PUT(e, e->control->id.size_bytes, sizes[roll(&e->dice, sizeof(sizes) / sizeof(sizes[0]))]);
}

static void trailer_page_size(struct enemy *e)
{
	PUT(e, e->control->id.page_size, roll(&e->dice, 2) ? 0 : 65536);
}

static void trailer_byte_order(struct enemy *e)
{
	PUT(e, e->control->id.byte_order, 0x04030201);
}

static void trailer_serial(struct enemy *e)
{
	PUT(e, e->control->id.serial[roll(&e->dice, 2)], roll_bits(&e->dice));
}

static void trailer_magic(struct enemy *e)
{
	PUT(e, e->control->id.magic[roll(&e->dice, 8)], 'x');
}

static void trailer_control_pages(struct enemy *e)
{
	PUT(e, e->control->id.control_pages, edge(e));
}

/* -- what a purge leaves behind -- */

static void notes_too_many(struct enemy *e)
{
	const uint32_t counts[] = {
		CONTROL_PURGE_SLOTS + 1, CONTROL_PURGE_SLOTS * 2, 0x10000, 0x7fffffff, UINT32_MAX};

	/* As it would be if each of them was one to free. */
	for (uint32_t i = 0; i < CONTROL_PURGE_SLOTS; i++)
		PUT(e, e->control->purge[i].pages, 1);
	PUT(e, e->control->purge_count, counts[roll(&e->dice, sizeof(counts) / sizeof(counts[0]))]);
	owner_dies(e);
}

static void notes_beyond_the_area(struct enemy *e)
{
	uint32_t slot = (uint32_t)roll(&e->dice, CONTROL_PURGE_SLOTS),
		 start = e->list.pages - (uint32_t)roll(&e->dice, 9);

	PUT(e, e->control->purge[slot].start, roll(&e->dice, 4) ? start : UINT32_MAX);
	PUT(e, e->control->purge[slot].pages,
		roll(&e->dice, 4) ? 1 + e->list.pages - start : UINT32_MAX);
	PUT(e, e->control->purge_count, slot + 1);
	owner_dies(e);
}

static void notes_of_everything(struct enemy *e)
{
	for (uint32_t i = 0; i < CONTROL_PURGE_SLOTS; i++) {
		PUT(e, e->control->purge[i].start, 0);
		PUT(e, e->control->purge[i].pages, e->list.pages);
	}
	PUT(e, e->control->purge_count, CONTROL_PURGE_SLOTS);
	owner_dies(e);
}

/* -- the root -- */

static void root_elsewhere(struct enemy *e)
{
	PUT(e, e->root->root, roll(&e->dice, 2) ? edge(e) : e->leaf[roll(&e->dice, e->leaf_count)]);
}

static void root_height(struct enemy *e)
{
	PUT(e, e->root->height, edge(e));
}

static void root_nodes_used(struct enemy *e)
{
	PUT(e, e->root->nodes_used, roll(&e->dice, 2) ? edge(e) : e->list.max_nodes);
}

static void root_nodes_used_dead(struct enemy *e)
{
	root_nodes_used(e);
	owner_dies(e);
}

static void root_free_head(struct enemy *e)
{
	PUT(e, e->root->free_head,
		roll(&e->dice, 2) ? edge(e) : e->leaf[roll(&e->dice, e->leaf_count)] + 1);
}

static void free_list_in_a_circle(struct enemy *e)
{
	uint32_t index = e->root->nodes_used; /* of no use yet: else the tree has it as well */

	if (index >= e->list.max_nodes)
		return;
	PUT(e, any_node(e, index)->next_free, index + 2);
	PUT(e, e->root->nodes_used, index + 1);
	PUT(e, e->root->free_head, index + 1);
}

static void root_totals(struct enemy *e)
{
	PUT(e, e->root->evictable_pages, long_edge(e));
	PUT(e, e->root->unpinned_pages, long_edge(e));
	PUT(e, e->root->ranges, long_edge(e));
}

static void root_totals_dead(struct enemy *e)
{
	root_totals(e);
	owner_dies(e);
}

static void root_age(struct enemy *e)
{
	PUT(e, e->root->age, long_edge(e));
}

static void root_version(struct enemy *e)
{
	PUT(e, e->root->version, e->root->version - 1);
}

/* -- journal and intent -- */

static void journal_count(struct enemy *e)
{
	PUT(e, e->root->journal_count, edge(e));
	if (roll(&e->dice, 2))
		owner_dies(e);
}

static void journal_images(struct enemy *e)
{
	uint32_t slots = 1 + (uint32_t)roll(&e->dice, RANGE_JOURNAL_SLOTS);

	for (uint32_t i = 0; i < slots; i++) {
		struct range_node *image = tree_journal_slot(&e->list, i);
		uint32_t index = (uint32_t)roll(&e->dice, e->root->nodes_used + 1);
		PUT(e, e->root->journal_node[i], roll(&e->dice, 8) ? index : edge(e));
		PUT(e, image->count, roll(&e->dice, 4) ? roll(&e->dice, LEAF_MAX + 1) : edge(e));
		PUT(e, image->level, roll(&e->dice, 4) ? roll(&e->dice, 3) : edge(e));
	}
	PUT(e, e->root->journal_count, slots);
	PUT(e, e->root->journal_root, roll(&e->dice, 2) ? e->root->root : edge(e));
	PUT(e, e->root->journal_height, roll(&e->dice, 2) ? e->root->height : edge(e));
	owner_dies(e);
}

static void intent_of_chance(struct enemy *e)
{
	struct range_intent *intent = &e->root->intent;
	uint32_t first = (uint32_t)roll(&e->dice, e->list.pages);

	PUT(e, intent->first, roll(&e->dice, 4) ? first : edge(e));
	PUT(e, intent->last,
		roll(&e->dice, 4) ? first + (uint32_t)roll(&e->dice, e->list.pages - first)
				  : edge(e));
	PUT(e, intent->with_count, roll(&e->dice, 4) ? roll(&e->dice, 4) : edge(e));
	for (uint32_t i = 0; i < 3; i++) {
		PUT(e, intent->with[i].start, roll(&e->dice, 2) ? first + 2 * i : edge(e));
		PUT(e, intent->with[i].pages, roll(&e->dice, 2) ? 1 : edge(e));
		PUT(e, intent->with[i].live, roll(&e->dice, 2) ? 1 : edge(e));
		PUT(e, intent->with[i].flags, roll(&e->dice, 4));
	}
	PUT(e, intent->active, 1);
	owner_dies(e);
}

static void intent_of_too_many(struct enemy *e)
{
	struct range_intent *intent = &e->root->intent;

	PUT(e, intent->first, 0);
	PUT(e, intent->last, e->list.pages - 1);
	PUT(e, intent->with_count, 4 + roll(&e->dice, 1000));
	for (uint32_t i = 0; i < 3; i++) {
		PUT(e, intent->with[i].start, 2 * i);
		PUT(e, intent->with[i].pages, 1);
		PUT(e, intent->with[i].live, 1);
		PUT(e, intent->with[i].flags, 0);
	}
	PUT(e, intent->active, 1);
	owner_dies(e);
}

/* -- nodes -- */

static void node_count(struct enemy *e)
{
	struct range_node *node = roll(&e->dice, 2) ? a_leaf(e) : an_inner(e);

	PUT(e, node->count, roll(&e->dice, 2) ? roll(&e->dice, 64) : edge(e));
}

static void node_level(struct enemy *e)
{
	struct range_node *node = roll(&e->dice, 2) ? a_leaf(e) : an_inner(e);

	PUT(e, node->level, roll(&e->dice, 2) ? roll(&e->dice, 3) : edge(e));
}

static void child_beyond(struct enemy *e)
{
	PUT(e, a_child(e)->node, e->list.max_nodes + (roll(&e->dice, 2) ? 0 : edge(e)));
}

static void child_of_itself(struct enemy *e)
{
	uint32_t index = e->inner[roll(&e->dice, e->inner_count)];
	struct range_node *node = any_node(e, index);

	PUT(e, node->child[roll(&e->dice, INNER_MAX)].node,
		roll(&e->dice, 2) ? index : e->root->root);
}

static void children_aliased(struct enemy *e)
{
	struct range_node *node = an_inner(e);
	uint32_t one = node->child[0].node, other = e->leaf[roll(&e->dice, e->leaf_count)];

	for (uint32_t i = 0; i < INNER_MAX; i++)
		PUT(e, node->child[i].node, roll(&e->dice, 8) ? one : other);
	if (roll(&e->dice, 2))
		PUT(e, node->count, INNER_MAX);
}

static void child_starts(struct enemy *e)
{
	struct range_child *child = a_child(e);

	PUT(e, child->start,
		roll(&e->dice, 2) ? edge(e) : child->start + (uint32_t)roll(&e->dice, 9) - 4);
}

static void child_ages(struct enemy *e)
{
	PUT(e, a_child(e)->age, long_edge(e));
}

static void child_ages_dead(struct enemy *e)
{
	child_ages(e);
	owner_dies(e);
}

static void keys(struct enemy *e)
{
	struct range_node *node = roll(&e->dice, 2) ? a_leaf(e) : an_inner(e);

	for (int i = 0; i < 4; i++)
		PUT(e, node->key[roll(&e->dice, NODE_KEYS)],
			roll(&e->dice, 2) ? edge(e) : roll(&e->dice, e->list.pages));
}

/* Those of inner nodes are derived. */
static void child_keys_dead(struct enemy *e)
{
	struct range_node *node = an_inner(e);

	for (int i = 0; i < 4 && node->level > 0; i++)
		PUT(e, node->key[roll(&e->dice, NODE_KEYS)],
			roll(&e->dice, 2) ? edge(e) : roll(&e->dice, e->list.pages));
	owner_dies(e);
}

static void range_start(struct enemy *e)
{
	uint32_t *key;

	an_entry(e, &key);
	PUT(e, *key, roll(&e->dice, 2) ? edge(e) : *key + (uint32_t)roll(&e->dice, 9) - 4);
}

static void range_pages(struct enemy *e)
{
	uint32_t *key;
	struct range_entry *entry = an_entry(e, &key);
	const uint32_t wrap = UINT32_MAX - *key + 1;

	PUT(e, entry->pages, roll(&e->dice, 3) ? edge(e) : wrap + (uint32_t)roll(&e->dice, 3) - 1);
}

static void range_live(struct enemy *e)
{
	uint32_t *key;

	PUT(e, an_entry(e, &key)->live, edge(e));
}

static void range_marks(struct enemy *e)
{
	uint32_t *key;
	struct range_entry *entry = an_entry(e, &key);
	const uint32_t marks[] = {LIVE_EMPTY, LIVE_FRESH, LIVE_PINNED, LIVE_PINNED - 1, 0,
		entry->pages, entry->pages + 1};

	PUT(e, entry->live, marks[roll(&e->dice, sizeof(marks) / sizeof(marks[0]))]);
}

static void range_stamps(struct enemy *e)
{
	uint32_t *key;

	PUT(e, an_entry(e, &key)->stamp, long_edge(e));
}

static void node_swapped(struct enemy *e)
{
	struct range_node *to = roll(&e->dice, 2) ? a_leaf(e) : an_inner(e);
	const struct range_node *from = roll(&e->dice, 2) ? a_leaf(e) : an_inner(e);

	if (to != from)
		memcpy(to, from, sizeof(*to));
}

static void next_free_marks(struct enemy *e)
{
	PUT(e, a_leaf(e)->next_free, edge(e));
}

/* -- the bitmap of lost pages: any bits are good bits, but for what they cost -- */

/* Words of the bitmap, with those behind the last page that a range could have. */
static uint64_t lost_words(const struct enemy *e)
{
	return e->list.pages > CONTROL_LOST_INLINE ? (e->list.pages + 63) / 64 + 8
						   : CONTROL_LOST_INLINE / 64;
}

static uint64_t *a_lost_word(struct enemy *e)
{
	return &e->lost[roll(&e->dice, lost_words(e))];
}

static void lost_of_chance(struct enemy *e)
{
	for (int i = 0; i < 8; i++) {
		uint64_t *word = a_lost_word(e);
		PUT(e, *word,
			roll(&e->dice, 2) ? roll_bits(&e->dice) << 4
					  : UINT64_C(1) << roll(&e->dice, 64));
	}
}

static void lost_of_chance_dead(struct enemy *e)
{
	lost_of_chance(e);
	owner_dies(e);
}

static void lost_everywhere(struct enemy *e)
{
	for (uint64_t i = 0; i < lost_words(e); i++)
		e->lost[i] = UINT64_MAX;
}

static void lost_nowhere(struct enemy *e)
{
	for (uint64_t i = 0; i < lost_words(e); i++)
		e->lost[i] = 0;
}

static void lost_everywhere_dead(struct enemy *e)
{
	lost_everywhere(e);
	owner_dies(e);
}

/* Every second page, the other ones at the next look. */
static void lost_between_two_reads(struct enemy *e)
{
	for (int round = 0; round < 20; round++) {
		uint64_t *word = a_lost_word(e),
			 bits = round % 2 ? UINT64_C(0x5555555555555555)
					  : ~UINT64_C(0x5555555555555555);
		for (int i = 0; i < 50; i++)
			__atomic_store_n(word, i % 2 ? bits : i % 3 ? 0 : ~bits, __ATOMIC_RELAXED);
	}
}

/*
 * Marked, with live pages, and all lost; not marked, and lost; marked, without live pages, and none
 * lost.
 */
static void lost_against_counts(struct enemy *e)
{
	for (int i = 0; i < 6; i++) {
		uint32_t *key, live[] = {LIVE_EMPTY, LIVE_FRESH, LIVE_PINNED, edge(e), 0};
		struct range_entry *entry = an_entry(e, &key);
		uint32_t start = *key;
		if (start >= e->list.pages)
			continue;
		live[4] = entry->pages;
		PUT(e, entry->live, live[roll(&e->dice, 5)]);
		PUT(e, e->lost[start / 64], roll(&e->dice, 2) ? UINT64_MAX : 0);
	}
}

static void lost_against_counts_dead(struct enemy *e)
{
	lost_against_counts(e);
	owner_dies(e);
}

/* -- noise -- */

static void random_words(struct enemy *e)
{
	for (uint64_t n = 1 + roll(&e->dice, 12); n > 0; n--) {
		uint32_t *word =
			(void *)(e->base + e->bytes - e->used + 4 * roll(&e->dice, e->used / 4));
		PUT(e, *word, roll(&e->dice, 2) ? edge(e) : roll_bits(&e->dice));
	}
}

static void random_words_of_the_root(struct enemy *e)
{
	for (uint64_t n = 1 + roll(&e->dice, 4); n > 0; n--) {
		uint32_t *word =
			(uint32_t *)(void *)e->control + roll(&e->dice, sizeof(*e->root) / 4 + 40);
		PUT(e, *word, roll(&e->dice, 2) ? edge(e) : roll_bits(&e->dice));
	}
}

static void random_bytes(struct enemy *e)
{
	for (uint64_t n = 1 + roll(&e->dice, 64); n > 0; n--) {
		unsigned char *byte = e->base + e->bytes - 1 -
			roll(&e->dice, roll(&e->dice, 4) ? e->used : e->bytes);
		PUT(e, *byte, roll_bits(&e->dice));
	}
}

static void all_ones(struct enemy *e)
{
	memset(e->base + e->bytes - e->used, 0xff, e->used);
}

static void all_zeroes(struct enemy *e)
{
	memset(e->base + e->bytes - e->used, 0, e->used);
}

/* -- system calls -- */

static void punch_control(struct enemy *e)
{
	uint64_t page = sys_page_size(), pages = e->bytes / page, first = roll(&e->dice, pages);

	sys_punch(e->fd, e->data_bytes + first * page, (1 + roll(&e->dice, pages - first)) * page);
}

static void punch_data(struct enemy *e)
{
	uint64_t page = sys_page_size(), first = roll(&e->dice, e->list.pages);

	sys_punch(e->fd, first * page, (1 + roll(&e->dice, e->list.pages - first)) * page);
}

static void write_file(struct enemy *e)
{
	unsigned char bytes[512];
	uint64_t at = roll(&e->dice, e->bytes - sizeof(bytes));

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)roll_bits(&e->dice);
	must(pwrite(e->fd, bytes, 1 + roll(&e->dice, sizeof(bytes)), (off_t)(e->data_bytes + at)) >
		0);
}

static void resize(struct enemy *e)
{
	uint64_t size = roll(&e->dice, 2 * e->data_bytes);

	/* The size is sealed: it can be set to what it is. */
	must(ftruncate(e->fd, (off_t)size) < 0 || size == e->data_bytes + e->bytes);
	must(fcntl(e->fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0);
}

static void seal_writing(struct enemy *e)
{
	if (roll(&e->dice, 2))
		fcntl(e->fd, F_ADD_SEALS, F_SEAL_WRITE); /* refused while somebody has it mapped */
	fcntl(e->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
	if (roll(&e->dice, 2))
		fcntl(e->fd, F_ADD_SEALS, F_SEAL_SEAL);
}

static int reopen(struct enemy *e, int flags)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", e->fd);
	return open(path, flags | O_CLOEXEC | O_NONBLOCK);
}

/* Its pages go, and come back, while others ask the file where they are. */
static void punch_lost(struct enemy *e)
{
	uint64_t page = sys_page_size();

	if (e->list.pages <= CONTROL_LOST_INLINE)
		return;
	for (int i = 0; i < 4; i++) {
		sys_punch(e->fd, e->data_bytes, (lost_words(e) * 8 + page - 1) / page * page);
		*a_lost_word(e) = roll_bits(&e->dice);
	}
}

/* On a description of its own, as another process would. */
static void lock_ranges(struct enemy *e)
{
	static int fd = -1;
	uint64_t page = sys_page_size(), first = roll(&e->dice, e->list.pages);

	if (fd < 0)
		fd = reopen(e, O_RDWR);
	sys_lock_range(fd, (enum sys_range_lock)roll(&e->dice, 3), first * page,
		roll(&e->dice, 4) ? (1 + roll(&e->dice, 8)) * page : 0);
	PUT(e, e->control->has_readers, 1);
}

static void lock_all_for_reading(struct enemy *e)
{
	static int fd = -1;

	if (fd < 0)
		fd = reopen(e, O_RDWR);
	sys_lock_range(fd, SYS_LOCK_READ, 0, e->data_bytes);
	e->control->has_readers = 1;
}

static void lock_record(struct enemy *e)
{
	must(wait_lock_file(e->fd) <= 0);
}

static void mode_of_the_file(struct enemy *e)
{
	fchmod(e->fd, (mode_t)roll(&e->dice, 01000));
}

#define DEAD ATTACK_DEAD
#define REPAIRED (ATTACK_DEAD | ATTACK_REPAIRED)
#define LOCK ATTACK_LOCK
#define SYSTEM ATTACK_SYSCALL

const struct attack attacks[] = {
	{"lock held by nobody", lock_of_nobody, LOCK, 0},
	{"lock held by a live stranger", lock_of_a_stranger, LOCK, 0},
	{"lock held by the victim itself", lock_of_the_victim, LOCK, 0},
	{"lock held by the attacker", lock_of_the_attacker, LOCK, 0},
	{"lock with waiters", lock_with_waiters, LOCK, 0},
	{"lock freed under its owner", lock_freed, 0, 0},
	{"lock of a dead owner that has an id", lock_dead_and_owned, LOCK, 0},
	{"lock of a dead owner", owner_dies, REPAIRED, 0},
	{"lock random", lock_random, LOCK, 0},
	{"flag: damaged", flag_damaged, 0, -EUCLEAN},
	{"flag: readers", flag_readers, 0, 0},
	{"flag: sealed", flag_sealed, 0, 0},
	{"mask impossible", mask_impossible, 0, -EUCLEAN},
	{"mask changing", mask_changing, 0, 0},
	{"position anywhere", position_anywhere, 0, 0},
	{"stamp of the area in the future", stamp_in_the_future, 0, 0},
	{"number of changes running", changes_running, 0, 0},
	{"counters at their end", counters_at_the_end, 0, 0},
	{"name without an end", name_without_end, 0, 0},
	{"trailer: version", trailer_version, 0, -EPROTO},
	{"trailer: size", trailer_size, 0, 0},
	{"trailer: page size", trailer_page_size, 0, -EPROTO},
	{"trailer: byte order", trailer_byte_order, 0, -EPROTO},
	{"trailer: serial number", trailer_serial, 0, 0},
	{"trailer: magic", trailer_magic, 0, 0},
	{"trailer: control pages", trailer_control_pages, 0, 0},
	{"purge notes: too many", notes_too_many, DEAD, -EUCLEAN},
	{"purge notes: beyond the area", notes_beyond_the_area, DEAD, -EUCLEAN},
	{"purge notes: everything", notes_of_everything, DEAD, 0},
	{"root: another node", root_elsewhere, 0, 0},
	{"root: height", root_height, 0, 0},
	{"root: nodes used", root_nodes_used, 0, 0},
	{"root: nodes used, owner dead", root_nodes_used_dead, DEAD, 0},
	{"root: free list", root_free_head, 0, 0},
	{"root: free list in a circle", free_list_in_a_circle, 0, -EUCLEAN},
	{"root: totals", root_totals, 0, 0},
	{"root: totals, owner dead", root_totals_dead, REPAIRED, 0},
	{"root: age", root_age, 0, 0},
	{"root: version goes back", root_version, 0, 0},
	{"journal: count", journal_count, 0, 0},
	{"journal: images", journal_images, DEAD, 0},
	{"intent of chance", intent_of_chance, DEAD, 0},
	{"intent of too many ranges", intent_of_too_many, DEAD, -EUCLEAN},
	{"node: count", node_count, 0, 0},
	{"node: level", node_level, 0, 0},
	{"child out of range", child_beyond, 0, 0},
	{"child in a circle", child_of_itself, 0, 0},
	{"children aliased", children_aliased, 0, 0},
	{"child: start", child_starts, 0, 0},
	{"child: age", child_ages, 0, 0},
	{"child: age, owner dead", child_ages_dead, REPAIRED, 0},
	{"keys", keys, 0, 0},
	{"child: keys, owner dead", child_keys_dead, REPAIRED, 0},
	{"range: start", range_start, 0, 0},
	{"range: pages", range_pages, 0, 0},
	{"range: live pages", range_live, 0, 0},
	{"range: marks", range_marks, 0, 0},
	{"range: stamp", range_stamps, 0, 0},
	{"node in two places", node_swapped, 0, 0},
	{"node said to be free", next_free_marks, 0, 0},
	{"lost pages of chance", lost_of_chance, 0, 0},
	{"lost pages of chance, owner dead", lost_of_chance_dead, REPAIRED, 0},
	{"lost pages: all, and behind the area", lost_everywhere, 0, 0},
	{"lost pages: all, owner dead", lost_everywhere_dead, REPAIRED, 0},
	{"lost pages: none", lost_nowhere, 0, 0},
	{"lost pages that change between two reads", lost_between_two_reads, 0, 0},
	{"lost pages against marks and counts", lost_against_counts, 0, 0},
	{"lost pages against marks and counts, owner dead", lost_against_counts_dead, DEAD, 0},
	{"random words", random_words, 0, 0},
	{"random words of the root", random_words_of_the_root, 0, 0},
	{"random bytes", random_bytes, 0, 0},
	{"all ones", all_ones, LOCK, 0},
	{"all zeroes", all_zeroes, 0, 0},
	{"punch the state", punch_control, SYSTEM, 0},
	{"punch the data", punch_data, SYSTEM, 0},
	{"punch the bitmap of lost pages", punch_lost, SYSTEM, 0},
	{"write to the file", write_file, SYSTEM | LOCK, 0},
	{"resize the file", resize, SYSTEM, 0},
	{"seal against writing", seal_writing, SYSTEM | ATTACK_SEALABLE, 0},
	{"locks on ranges", lock_ranges, SYSTEM, 0},
	{"read lock on everything", lock_all_for_reading, SYSTEM, 0},
	{"record lock", lock_record, SYSTEM, 0},
	{"mode of the file", mode_of_the_file, SYSTEM, 0},
};
const unsigned attack_count = sizeof(attacks) / sizeof(attacks[0]);
