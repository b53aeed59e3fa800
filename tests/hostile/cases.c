/* SPDX-License-Identifier: MIT */
/*
 * The cases: every attack once, on an area at rest, and again and again beside victims in several
 * threads and processes; and those that need a scene of their own. Each runs in a process of its
 * own, which main.c gives a time limit.
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "range/purge_key.h"

static struct party party_of(const struct target *target, uint64_t seed)
{
	return (struct party){
		.area = target->area,
		.page = target->page,
		.pages = target->pages,
		.fd = target->fd,
		.dice = {seed * 2 + 1},
	};
}

/* -- peers: processes that get the area through a socket and have nothing else of it -- */

struct peer {
	struct target *target;
	int fd; /* writable, or read-only */
	int is_reader;
	uint64_t seed;
	unsigned ms;
};

/* Attach anew to whatever the state is now; the answer of the import. */
static int attach(struct peer *peer, struct party *party)
{
	struct ashmem_area *area = NULL;
	int r = ashmem_import(peer->fd, &area);

	if (r < 0)
		must(r == -EUCLEAN || r == -EPROTO || r == -EPERM || r == -ETIMEDOUT ||
			r == -EFBIG);
	*party = party_of(peer->target, peer->seed);
	party->area = area;
	party->fd = peer->fd;
	/* who imports a sealed area has it read-only */
	party->is_reader = peer->is_reader || peer->target->is_sealable;
	return r;
}

/* A peer's size can be another, if the trailer said so. */
static int is_as_expected(const struct party *party)
{
	return ashmem_get_size(party->area) == party->pages * party->page;
}

static int peer_main(void *argument)
{
	struct peer *peer = argument;
	uint64_t end = sys_now_ns() + (uint64_t)peer->ms * 1000000;
	struct party party;

	ashmem_close(peer->target->area); /* what was inherited */
	do {
		if (attach(peer, &party) == 0) {
			if (is_as_expected(&party) && ashmem_unpin(party.area, 0, 0) != -ENOTSUP)
				use_for(&party, peer->ms / 5);
			ashmem_close(party.area);
		}
		peer->seed++;
	} while (sys_now_ns() < end);
	guards_check();
	return 0;
}

static int import_main(void *argument)
{
	struct peer *peer = argument;
	struct party party;

	ashmem_close(peer->target->area);
	int r = attach(peer, &party);
	if (r == 0 && is_as_expected(&party) && ashmem_unpin(party.area, 0, 0) != -ENOTSUP)
		use_all(&party);
	ashmem_close(party.area);
	guards_check();
	return -r;
}

/* Attach in a fresh process; the answer of the import. */
static int import_elsewhere(struct target *target, int fd, int is_reader, uint64_t seed)
{
	struct peer peer = {target, fd, is_reader, seed, 0};
	int status = 0;
	pid_t child = start_process(import_main, &peer);

	must(waitpid(child, &status, 0) == child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 1)
		fail("a fresh process that imported the area ended with status %d", status);
	return -WEXITSTATUS(status);
}

static int wait_for_ever(void *argument)
{
	(void)argument;
	for (;;)
		pause();
	return 0;
}

/* -- one strike, on an area at rest -- */

/* After a recovery pages are lost within marked ranges only. */
static void check_lost(struct control_map *map)
{
	struct range range;
	uint32_t start, end;

	for (uint64_t at = 0; at < map->list.pages; at = end) {
		if (!control_next_lost(map, (uint32_t)at, map->list.pages - 1, &start, &end))
			break;
		for (uint32_t page = start; page < end; page++)
			must(range_find(&map->list, page, &range) == 1 && range.start <= page &&
				(range.flags & RANGE_PURGED));
	}
}

static void check_repaired(struct target *target, int64_t before)
{
	struct control_map map;
	struct stat status;

	must(ashmem_get_pin_status(target->area, 0, 0) == ASHMEM_IS_UNPINNED);
	must(ranges_digest(target->area) == before);
	must(fstat(target->fd, &status) == 0);
	must(control_attach(&map, target->fd, &status) == 0); /* validates all */
	check_lost(&map);
	control_detach(&map);
}

static void strike_once(const struct attack *attack, uint64_t seed, int many)
{
	struct target target;
	struct enemy enemy;

	target_make(&target, many, attack->flags & ATTACK_SEALABLE ? ASHMEM_CREATE_ALLOW_SEAL : 0);
	struct party party = party_of(&target, seed);
	int64_t digest = ranges_digest(target.area);
	enemy_map(&enemy, target.fd, target.pages * target.page, seed);
	enemy.victim_tid = sys_gettid();
	enemy.stranger_tid = (uint32_t)getppid();
	if (roll(&party.dice, 2)) /* so that a way into the list is remembered from before */
		use(&party, "get_pin_status");

	attack->strike(&enemy);
	if (attack->flags & ATTACK_REPAIRED)
		check_repaired(&target, digest);
	int answer = import_elsewhere(&target, target.fd, 0, seed);
	if (attack->import)
		must(answer == attack->import);
	/* Its users have marked what they found; the first user here finds the damage itself. */
	enemy.control->damaged = 0;
	if (!(attack->flags & ATTACK_REPAIRED))
		attack->strike(&enemy);
	use_all(&party);
	enemy.control->damaged = 0;
	use_all(&party);
	import_elsewhere(&target, target.read_only, 1, seed);
	bystanders_check();

	/* All is as good as new once the state is what it was. */
	enemy_restore(&enemy);
	if (!(attack->flags & ATTACK_SYSCALL)) {
		must(ashmem_pin(target.area, 0, 0) >= 0);
		must(ashmem_unpin(target.area, 0, 0) == 0);
		must(ashmem_get_pin_status(target.area, 0, 0) == ASHMEM_IS_UNPINNED);
	}
}

void run_once(const struct attack *attack, uint64_t seed)
{
	guards_begin();
	bystanders_make();
	for (unsigned i = 0; i < (attack->flags & ATTACK_LOCK ? 1 : 4); i++)
		strike_once(attack, seed + i, i % 2 == 0);
	guards_check();
}

/* -- again and again, beside victims -- */

struct rage {
	const struct attack *attack;
	struct target *target;
	uint64_t seed;
	uint32_t victim_tid, stranger_tid;
};

static int rage_main(void *argument)
{
	const struct rage *rage = argument;
	struct enemy enemy;

	signal(SIGIO, SIG_IGN);
	enemy_map(&enemy, rage->target->fd, rage->target->pages * rage->target->page, rage->seed);
	enemy.victim_tid = rage->victim_tid;
	enemy.stranger_tid = rage->stranger_tid;
	return enemy_rage(&enemy, rage->attack);
}

struct worker {
	pthread_t thread;
	struct party party;
	unsigned ms;
	int uses_bystanders;
};

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	uint64_t end = sys_now_ns() + (uint64_t)worker->ms * 1000000;

	while (sys_now_ns() < end) {
		if (worker->uses_bystanders)
			bystanders_use(&worker->party.dice);
		else
			use_for(&worker->party, worker->ms);
		if (worker->uses_bystanders && roll(&worker->party.dice, 8) == 0)
			use(&worker->party, roll(&worker->party.dice, 2) ? "pin" : "unpin");
	}
	return NULL;
}

enum { WORKERS = 4 };

static void suffer(struct target *target, const struct rage *rage, uint64_t seed, unsigned ms)
{
	struct worker workers[WORKERS];
	pid_t attacker = start_process(rage_main, (void *)(uintptr_t)rage);
	struct peer writer = {target, target->fd, 0, seed + 10, ms},
		    reader = {target, target->read_only, 1, seed + 11, ms};
	pid_t peers[] = {start_process(peer_main, &writer), start_process(peer_main, &reader)};

	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){
			.party = party_of(target, seed + i), .ms = ms, .uses_bystanders = i == 0};
		workers[i].party.threads = WORKERS;
		must(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) == 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		must(pthread_join(workers[i].thread, NULL) == 0);
	join_process(peers[0]);
	join_process(peers[1]);
	kill_process(attacker);
}

void run_during(const struct attack *attack, uint64_t seed, unsigned ms)
{
	struct target target;
	pid_t stranger = start_process(wait_for_ever, NULL);

	guards_begin();
	bystanders_make();
	target_make(&target, (int)(seed % 2),
		attack->flags & ATTACK_SEALABLE ? ASHMEM_CREATE_ALLOW_SEAL : 0);
	struct rage rage = {attack, &target, seed, sys_gettid(), (uint32_t)stranger};
	suffer(&target, &rage, seed, ms);
	bystanders_check();
	guards_check();
	kill_process(stranger);
}

/* -- scenes of their own -- */

static void begin(struct target *target, struct party *party, struct enemy *enemy, int many,
	uint64_t seed)
{
	guards_begin();
	bystanders_make();
	target_make(target, many, 0);
	*party = party_of(target, seed);
	enemy_map(enemy, target->fd, target->pages * target->page, seed);
}

/* Takes the lock as the library does, and stops there. */
static int stop_with_the_lock(void *argument)
{
	struct target *target = argument;
	struct control_map map;
	struct stat status;

	must(fstat(target->fd, &status) == 0);
	must(control_attach(&map, target->fd, &status) == 0);
	must(control_lock(&map) == 0);
	raise(SIGSTOP);
	control_unlock(&map, 0);
	return 0;
}

static void stopped_owner(uint64_t seed)
{
	struct target target;
	struct party party;
	struct enemy enemy;
	int status;

	begin(&target, &party, &enemy, 1, seed);
	int64_t digest = ranges_digest(target.area);
	pid_t owner = start_process(stop_with_the_lock, &target);
	must(waitpid(owner, &status, WUNTRACED) == owner && WIFSTOPPED(status));
	static const char *const waiting[] = {"pin", "unpin", "get_pin_status", "hold", "read",
		"seek", "set_prot", "find_unpinned", "area_get_stats"};
	for (unsigned i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++) {
		uint64_t begun = sys_now_ns();
		must(use(&party, waiting[i]) == -ETIMEDOUT);
		must(sys_now_ns() - begun >= WAIT_TIMEOUT_NS / 2);
	}
	must(use(&party, "shrink") != 0);
	must(use(&party, "get_name") == 0);
	must(use(&party, "map") == 0);
	must(import_elsewhere(&target, target.fd, 0, seed) == -ETIMEDOUT);
	/* what needs the lock times out */
	must(import_elsewhere(&target, target.read_only, 1, seed) == 0);
	bystanders_check();
	/* It goes on, and all is well. */
	must(kill(owner, SIGCONT) == 0);
	join_process(owner);
	must(ashmem_get_pin_status(target.area, 0, 0) == ASHMEM_IS_UNPINNED);
	must(ranges_digest(target.area) == digest || digest == -1);
	must(import_elsewhere(&target, target.fd, 0, seed) == 0);
	use_all(&party);
	must(party.damages == 0);
	bystanders_check();
}

/* Holds the lock nearly as long as others wait, lets it go for a moment, and so on. */
static int hold_again_and_again(void *argument)
{
	struct enemy *enemy = argument;

	for (;;) {
		uint32_t free_word = 0;
		for (uint64_t n = 0; !lock_try(&enemy->control->lock, &free_word, LOCK_TID - 5);
			n++)
			free_word = 0;
		sleep_ms((unsigned)(WAIT_TIMEOUT_NS / 1000000 * 3 / 4));
		__atomic_store_n(&enemy->control->lock, 0, __ATOMIC_RELAXED);
		sys_futex_wake(&enemy->control->lock, 100);
		for (volatile int i = 0; i < 2000; i++)
			;
	}
	return 0;
}

static void lock_again_and_again(uint64_t seed)
{
	struct target target;
	struct enemy enemy;

	guards_begin();
	bystanders_make();
	target_make_huge(&target, 1 << 18);
	must(ashmem_unpin(target.area, 0, 0) == 0); /* one range, purged in pieces */
	struct party party = party_of(&target, seed);
	enemy_map(&enemy, target.fd, target.pages * target.page, seed);
	pid_t attacker = start_process(hold_again_and_again, &enemy);
	sleep_ms(50);
	use(&party, "purge_all");
	use(&party, "shrink");
	kill_process(attacker);
	bystanders_check();
}

static void many_areas_locked(uint64_t seed)
{
	enum { AREAS = 60 };
	struct target targets[AREAS];
	struct enemy enemy;

	guards_begin();
	bystanders_make();
	for (int i = 0; i < AREAS; i++)
		target_make(&targets[i], 0, 0);
	for (int i = 0; i < AREAS; i++) {
		enemy_map(&enemy, targets[i].fd, targets[i].pages * targets[i].page, seed);
		enemy.control->lock = LOCK_TID - 1;
	}
	struct party party = party_of(&targets[0], seed);
	must(use(&party, "purge_all") == -ETIMEDOUT);
	bystanders_check();
}

/*
 * A budget makes a call purge until its limit is kept. One area is locked for ever, and claims
 * much; in another one, each time that a page is freed, there is another, which has memory.
 */
static void give_one_more(void *argument)
{
	struct enemy *enemy = argument;
	struct range_node *leaf = tree_node(&enemy->list, enemy->leaf[0]);
	static uint32_t turn;
	struct range range = {
		.start = turn++ % 2, /* not the page that is about to be freed */
		.pages = 1,
		.live = 1,
		.stamp = purge_key_of_stamp(sys_now_ns()),
	};

	must(pwrite(enemy->fd, "", 1, (off_t)range.start * sysconf(_SC_PAGESIZE)) == 1);
	range_store(leaf, 0, &range);
	leaf->count = 1;
	enemy->root->root = enemy->leaf[0];
	enemy->root->height = 0;
	enemy->root->age = leaf->entry[0].stamp + 1;
	enemy->root->evictable_pages = enemy->root->unpinned_pages = enemy->root->ranges = 1;
}

static void budget_of_a_locked_area(uint64_t seed)
{
	struct ashmem_budget_options limits = {.struct_size = sizeof(limits), .unpinned_bytes = 1};
	struct target locked, giving;
	struct enemy enemy, giver;

	guards_begin();
	target_make(&locked, 0, 0);
	target_make(&giving, 0, 0);
	enemy_map(&enemy, locked.fd, locked.pages * locked.page, seed);
	enemy_map(&giver, giving.fd, giving.pages * giving.page, seed);
	give_one_more(&enemy); /* else there is nothing to wait for */
	enemy.root->evictable_pages = enemy.root->unpinned_pages = locked.pages;
	enemy.control->lock = LOCK_TID - 1;
	give_one_more(&giver);
	before_punch_argument = &giver;
	before_punch = give_one_more;
	uint64_t begun = sys_now_ns();
	must(ashmem_budget_set_limits(ashmem_budget_process(), &limits) == 0);
	uint64_t took = sys_now_ns() - begun;
	if (took > 2 * (uint64_t)WAIT_TIMEOUT_NS + SLACK_NS)
		fail("the limit of a budget takes %" PRIu64 " ms", took / 1000000);
}

/* Makes all ranges younger, and evictable. */
static void renew_once(void *argument)
{
	struct enemy *enemy = argument;
	static uint64_t stamp;

	stamp = stamp ? stamp : sys_now_ns();
	for (uint32_t i = 0; i < enemy->leaf_count; i++) {
		struct range_node *leaf = tree_node(&enemy->list, enemy->leaf[i]);
		for (uint32_t k = 0; k < LEAF_MAX; k++) {
			leaf->entry[k].stamp = ++stamp;
			leaf->entry[k].live = leaf->entry[k].pages; /* marked as purged */
		}
		enemy->root->age = stamp - LEAF_MAX;
		enemy->control->damaged = 0;
	}
}

static int renew_ranges(void *argument)
{
	for (;;)
		renew_once(argument);
	return 0;
}

/*
 * At the moment at which it matters: each time pages are freed, the state is as it was before the
 * purge.
 */
static void restore_before_punch(void *argument)
{
	enemy_restore(argument);
}

static void purge_of_what_comes_back(uint64_t seed)
{
	struct target target;
	struct party party;
	struct enemy enemy;

	begin(&target, &party, &enemy, 1, seed);
	before_punch_argument = &enemy;
	before_punch = restore_before_punch;
	must(ashmem_shrink(UINT64_MAX) != 0);
	use(&party, "purge_all");
	before_punch = NULL;
	bystanders_check();
}

static void purge_against_renewal(uint64_t seed)
{
	struct target target;
	struct party party;
	struct enemy enemy;

	begin(&target, &party, &enemy, 1, seed);
	pid_t attacker = start_process(renew_ranges, &enemy);
	for (int i = 0; i < 20; i++) {
		use(&party, "shrink");
		use(&party, "purge_all");
		must(ashmem_shrink(UINT64_MAX) >= -EUCLEAN);
	}
	kill_process(attacker);
	bystanders_check();
}

/*
 * The same with a read lock on everything, so that nothing can be freed and each range is passed
 * over.
 */
static void purge_past_renewal(uint64_t seed)
{
	struct target target;
	struct party party;
	struct enemy enemy;

	begin(&target, &party, &enemy, 1, seed);
	enemy.control->has_readers = 1;
	must(sys_lock_range(target.read_only, SYS_LOCK_READ, 0, target.pages * target.page) == 0);
	pid_t attacker = start_process(renew_ranges, &enemy);
	for (int i = 0; i < 3; i++) {
		use(&party, "shrink");
		use(&party, "purge_all");
	}
	kill_process(attacker);
	bystanders_check();
}

static int take_lease(void *argument)
{
	const struct target *target = argument;
	char path[40];

	signal(SIGIO, SIG_IGN);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", target->fd);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int r = fcntl(fd, F_SETLEASE, F_WRLCK) < 0 ? 3 : 0;
	raise(SIGSTOP);
	return r;
}

/* Opening the file again waits for a lease to be given up, for 45 seconds as a rule. */
static void lease_on_the_file(uint64_t seed)
{
	struct target target = {.page = sys_page_size(), .pages = 16};
	int status;

	guards_begin();
	bystanders_make();
	must(ashmem_create("target", 16 * target.page, 0, &target.area) == 0);
	target.fd = fcntl(ashmem_fd(target.area), F_DUPFD_CLOEXEC, 0);
	struct party party = party_of(&target, seed);
	pid_t attacker = start_process(take_lease, &target);
	must(waitpid(attacker, &status, WUNTRACED) == attacker && WIFSTOPPED(status));
	uint64_t begun = sys_now_ns();
	must(use(&party, "hold") == -ETIMEDOUT);
	must(use(&party, "export_read_only") == -ETIMEDOUT);
	must(ashmem_set_prot(target.area, PROT_READ) == -ETIMEDOUT);
	must(sys_now_ns() - begun < 3 * (uint64_t)WAIT_TIMEOUT_NS + SLACK_NS);
	must(use(&party, "pin") >= 0);
	kill_process(attacker);
	must(use(&party, "hold") >= 0);
	must(use(&party, "export_read_only") >= 0);
	bystanders_check();
}

/* A peer of the same user takes away the right to open the file again; root would not notice. */
static int use_without_right(void *argument)
{
	struct target target = {.page = sys_page_size(), .pages = 16};
	struct party party;

	(void)argument;
	if (geteuid() == 0)
		must(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0 &&
			prctl(PR_SET_DUMPABLE, 1) == 0);
	must(ashmem_create("target", 16 * target.page, 0, &target.area) == 0);
	target.fd = fcntl(ashmem_fd(target.area), F_DUPFD_CLOEXEC, 0);
	party = party_of(&target, 1);
	must(fchmod(target.fd, 0) == 0);
	must(use(&party, "hold") == -ENOTSUP);
	must(use(&party, "pin") == ASHMEM_NOT_PURGED);
	must(use(&party, "export_read_only") == -ENOTSUP);
	must(fchmod(target.fd, 0600) == 0);
	must(use(&party, "export_read_only") >= 0);
	must(use(&party, "hold") >= 0);
	return 0;
}

static void mode_without_rights(uint64_t seed)
{
	(void)seed;
	join_process(start_process(use_without_right, NULL));
}

/*
 * An area's trailer in a memfd of huge pages, whose pages can be missing: nothing to map. Nothing
 * is tested where there are none.
 */
static void huge_pages(uint64_t seed)
{
	uint64_t huge = 2 << 20, page = sys_page_size(), pages = 0, bytes = 1;
	struct ashmem_area *area = NULL;

	(void)seed;
	while (pages < (1 << 22) && bytes % huge != 0) {
		pages += huge / page;
		bytes = (range_nodes_needed(pages) + RANGE_JOURNAL_SLOTS) * RANGE_NODE_BYTES +
			CONTROL_BYTES;
		bytes = (bytes + page - 1) / page * page;
	}
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	if (bytes % huge != 0 || fd < 0 || ftruncate(fd, (off_t)(pages * page + bytes)) < 0)
		return;
	unsigned char *last = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		(off_t)(pages * page + bytes - huge));
	if (last == MAP_FAILED)
		return;
	struct control_id *id = (void *)(last + huge - sizeof(*id));
	*id = (struct control_id){.size_bytes = pages * page,
		.page_size = (uint32_t)page,
		.version = CONTROL_VERSION,
		.byte_order = 0x01020304,
		.control_pages = (uint32_t)(bytes / page)};
	memcpy(id->magic, "ashmem\r\n", 8);
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	must(ashmem_import(fd, &area) == -EPROTO);
}

static uint64_t memory_of(int fd)
{
	struct stat status;

	must(fstat(fd, &status) == 0);
	return (uint64_t)status.st_blocks * 512;
}

/* Recovery writes to every node that was handed out; that so many were is a lie. */
static void nodes_that_take_no_memory(uint64_t seed)
{
	struct target target;
	struct enemy enemy;

	guards_begin();
	bystanders_make();
	target_make_huge(&target, 1 << 21);
	enemy_map(&enemy, target.fd, target.pages * target.page, seed);
	uint64_t before = memory_of(target.fd);
	enemy.root->nodes_used = enemy.list.max_nodes;
	enemy.control->lock = LOCK_DEAD;
	struct party party = party_of(&target, seed);
	must(use(&party, "pin") == -EUCLEAN);
	must(memory_of(target.fd) - before < 1 << 20);
	bystanders_check();
}

/*
 * A tree of eight levels, each node's children all the one node below: a number of ways that no
 * call comes to the end of. The leaf has pinned entries and, if `old`, a range.
 */
static void build_maze(struct enemy *enemy, int old)
{
	enum { LEVELS = RANGE_MAX_HEIGHT };
	const uint32_t step = enemy->list.pages / INNER_MAX;

	for (uint32_t level = 0; level < LEVELS; level++) {
		struct range_node *node = tree_node(&enemy->list, level);
		memset(node, 0, sizeof(*node));
		node->level = (uint16_t)level;
		node->count = level ? INNER_MAX : LEAF_MAX;
		for (uint32_t i = 0; i < node->count; i++) {
			if (level == 0)
				node->entry[i] = (struct range_entry){1, LIVE_PINNED, 0};
			else
				node->child[i] = (struct range_child){i * step, level - 1, 4};
			node->key[i] = level ? i * step : 2 * i;
		}
		if (level == 0 && old)
			node->entry[0] = (struct range_entry){1, LIVE_FRESH, 3};
	}
	enemy->root->root = LEVELS - 1;
	enemy->root->height = LEVELS - 1;
	enemy->root->nodes_used = LEVELS;
	enemy->root->free_head = 0;
	enemy->root->age = 4;
	enemy->root->version++;
	enemy->control->damaged = 0;
}

static void maze_of_nodes(uint64_t seed)
{
	static const char *const through[] = {
		"pin", "unpin", "get_pin_status", "find_unpinned", "hold", "shrink", "purge_all"};
	struct target target;
	struct enemy enemy;

	guards_begin();
	bystanders_make();
	/* so that there could be hundreds of millions of nodes */
	target_make_huge(&target, (uint64_t)1 << 31);
	enemy_map(&enemy, target.fd, target.pages * target.page, seed);
	must(sys_lock_range(target.fd, SYS_LOCK_NONE, 0, 0) == 0);
	struct party party = party_of(&target, seed);
	for (int old = 0; old < 2; old++)
		for (unsigned i = 0; i < sizeof(through) / sizeof(through[0]); i++)
			for (unsigned k = 0; k < 3; k++) {
				build_maze(&enemy, old);
				use(&party, through[i]);
			}
	/* Ranges that somebody holds: a purge looks for the next one in age. */
	int reader = ashmem_export_read_only(target.area);
	must(reader >= 0 || reader == -EUCLEAN);
	enemy.control->has_readers = 1;
	if (reader >= 0)
		must(sys_lock_range(reader, SYS_LOCK_READ, 0, 0) == 0);
	for (unsigned k = 0; k < 4; k++) {
		build_maze(&enemy, 1);
		use(&party, k % 2 ? "shrink" : "purge_all");
	}
	build_maze(&enemy, 1);
	enemy.control->lock = LOCK_DEAD;
	use(&party, "pin");
	bystanders_check();
}

/*
 * Every second page of a large area is lost: a pin tells it, page by page, and asks the kernel for
 * no more than pages of the bitmap.
 */
static void bitmap_full_of_losses(uint64_t seed)
{
	enum { PAGES = 1 << 24 };
	struct ashmem_extent lost[3];
	struct target target;
	struct enemy enemy;
	uint32_t count = 0;

	guards_begin();
	bystanders_make();
	target_make_huge(&target, PAGES);
	must(ashmem_pin(target.area, 0, 0) >= 0 && ashmem_unpin(target.area, 0, 0) == 0);
	enemy_map(&enemy, target.fd, PAGES * target.page, seed);
	memset(enemy.lost, 0x55, PAGES / 8);
	must(enemy.root->ranges == 1);
	struct range_node *leaf = tree_node(&enemy.list, enemy.leaf[0]);
	for (uint32_t i = 0; i < leaf->count && i < LEAF_MAX; i++)
		if (leaf->entry[i].live == LIVE_FRESH)
			leaf->entry[i].live = 0; /* marked as purged */
	uint64_t begun = sys_now_ns(), before = seeks;
	must(ashmem_pin_lost(target.area, 0, 0, lost, 3, &count) == ASHMEM_WAS_PURGED);
	must(count == 3 && lost[1].offset == 2 * target.page &&
		lost[2].offset + lost[2].length == (PAGES - 1) * target.page);
	if (seeks - before > PAGES / 8 / target.page + 8)
		fail("%" PRIu64 " system calls to read the bitmap", seeks - before);
	must(sys_now_ns() - begun < SLACK_NS);
	must(ashmem_pin_lost(target.area, 0, 0, lost, 3, &count) == ASHMEM_NOT_PURGED &&
		count == 0);
	/* The same for a recovery, which forgets them all. */
	memset(enemy.lost, 0x55, PAGES / 8);
	enemy.control->lock = LOCK_DEAD;
	begun = sys_now_ns(), before = seeks;
	must(ashmem_get_pin_status(target.area, 0, 0) == ASHMEM_IS_PINNED);
	must(seeks - before <= PAGES / 8 / target.page + 8);
	must(sys_now_ns() - begun < SLACK_NS);
	check_lost(&(struct control_map){.list = enemy.list,
		.lost = enemy.lost,
		.fd = target.fd,
		.data_bytes = enemy.data_bytes,
		.page_shift = (uint32_t)__builtin_ctzll(target.page)});
	bystanders_check();
}

static void *shrink_until_told(void *argument)
{
	while (!__atomic_load_n((int *)argument, __ATOMIC_RELAXED))
		ashmem_shrink(UINT64_MAX);
	return NULL;
}

/*
 * A reader with a great many locks makes each look for locks slow: pins do not wait for a whole
 * purge.
 */
static void locks_that_take_long(uint64_t seed)
{
	struct target target;
	struct party party;
	struct enemy enemy;
	pthread_t purger;
	int end = 0;

	begin(&target, &party, &enemy, 1, seed);
	enemy.control->has_readers = 1;
	must(sys_lock_range(target.read_only, SYS_LOCK_READ, 0, target.pages * target.page) == 0);
	slow_locks_ms = 20;
	must(pthread_create(&purger, NULL, shrink_until_told, &end) == 0);
	for (int i = 0; i < 20; i++) {
		must(ashmem_pin(target.area, 0, target.page) >= 0);
		must(ashmem_unpin(target.area, 0, target.page) == 0);
		sleep_ms(10);
	}
	slow_locks_ms = 0;
	__atomic_store_n(&end, 1, __ATOMIC_RELAXED);
	must(pthread_join(purger, NULL) == 0);
	bystanders_check();
}

/* What is about to be inserted by an intent comes back as fast as it is erased. */
static int refill_leaves(void *argument)
{
	struct enemy *enemy = argument;
	struct range_intent *intent = &enemy->root->intent;

	for (;;) {
		for (uint32_t i = 0; i < enemy->leaf_count; i++)
			tree_node(&enemy->list, enemy->leaf[i])->count = LEAF_MAX;
		memcpy(enemy->base + enemy->bytes - enemy->used + 0, enemy->image,
			(size_t)enemy->root->nodes_used % 64 * RANGE_NODE_BYTES / 2);
		intent->first = 0;
		intent->last = enemy->list.pages - 1;
		intent->active = 1;
		enemy->control->damaged = 0;
		if (roll(&enemy->dice, 4) == 0)
			enemy->control->lock = LOCK_DEAD;
	}
	return 0;
}

static void intent_against_refilling(uint64_t seed)
{
	struct target target;
	struct party party;
	struct enemy enemy;

	begin(&target, &party, &enemy, 1, seed);
	pid_t attacker = start_process(refill_leaves, &enemy);
	for (int i = 0; i < 60; i++) {
		use(&party, "get_pin_status");
		use(&party, "pin");
	}
	kill_process(attacker);
	bystanders_check();
}

/* Lets everybody in, whoever is there already. */
static int free_the_lock(void *argument)
{
	struct enemy *enemy = argument;

	for (uint64_t n = 0;; n++) {
		__atomic_store_n(&enemy->control->lock, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&enemy->control->damaged, 0, __ATOMIC_RELAXED);
		if (n % 4096 == 0)
			enemy_restore(enemy);
	}
	return 0;
}

static void *pin_and_unpin(void *argument)
{
	struct party *party = argument;
	uint64_t end = sys_now_ns() + 3000000000u;

	while (sys_now_ns() < end) {
		use(party, "unpin");
		use(party, "pin");
	}
	return NULL;
}

static void threads_let_in_at_once(uint64_t seed)
{
	enum { THREADS = 6 };
	pthread_t threads[THREADS];
	struct party parties[THREADS];
	struct target target;
	struct enemy enemy;

	begin(&target, &parties[0], &enemy, 1, seed);
	pid_t attacker = start_process(free_the_lock, &enemy);
	for (unsigned i = 0; i < THREADS; i++) {
		parties[i] = party_of(&target, seed + i);
		must(pthread_create(&threads[i], NULL, pin_and_unpin, &parties[i]) == 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		must(pthread_join(threads[i], NULL) == 0);
	kill_process(attacker);
	bystanders_check();
	guards_check();
}

/* Every attack in turns, on one area. */
static int rage_of_all(void *argument)
{
	const struct rage *rage = argument;
	struct enemy enemy;

	enemy_map(&enemy, rage->target->fd, rage->target->pages * rage->target->page, rage->seed);
	enemy.victim_tid = rage->victim_tid;
	enemy.stranger_tid = rage->stranger_tid;
	for (;;) {
		const struct attack *attack = &attacks[roll(&enemy.dice, attack_count)];
		if (attack->flags & (ATTACK_LOCK | ATTACK_SEALABLE))
			continue;
		attack->strike(&enemy);
		for (uint64_t n = roll(&enemy.dice, 400); n > 0; n--)
			__asm__ volatile("" ::: "memory");
		if (roll(&enemy.dice, 4))
			enemy_undo(&enemy);
		enemy.touched_count = 0;
		if (roll(&enemy.dice, 16) == 0)
			enemy_restore(&enemy);
		if (roll(&enemy.dice, 8))
			enemy.control->damaged = 0;
	}
	return 0;
}

static void storm(uint64_t seed)
{
	struct target target;
	pid_t stranger = start_process(wait_for_ever, NULL);

	guards_begin();
	bystanders_make();
	target_make(&target, (int)(seed % 3 != 0), 0);
	struct rage rage = {NULL, &target, seed, sys_gettid(), (uint32_t)stranger};
	pid_t attacker = start_process(rage_of_all, &rage);
	static const struct attack freed = {"lock freed under its owner", NULL, 0, 0};
	for (unsigned i = 0; i < attack_count; i++)
		if (strcmp(attacks[i].name, freed.name) == 0)
			rage.attack = &attacks[i];
	suffer(&target, &rage, seed, 1500);
	kill_process(attacker);
	bystanders_check();
	guards_check();
	kill_process(stranger);
}

const struct special specials[] = {
	{"the lock's owner is stopped, and goes on", stopped_owner},
	{"the lock is taken again and again", lock_again_and_again},
	{"many areas are locked", many_areas_locked},
	{"ranges come back while they are purged", purge_against_renewal},
	{"ranges come back each time that some are freed", purge_of_what_comes_back},
	{"ranges that are held get younger", purge_past_renewal},
	{"a lease on the file", lease_on_the_file},
	{"the right to open the file is taken away", mode_without_rights},
	{"huge pages", huge_pages},
	{"nodes that take no memory", nodes_that_take_no_memory},
	{"a maze of nodes", maze_of_nodes},
	{"an intent that is fed", intent_against_refilling},
	{"threads that are let in at once", threads_let_in_at_once},
	{"descriptors of every kind", descriptors_of_every_kind},
	{"more descriptors than one", more_descriptors_than_one},
	{"no room for descriptors", no_room_for_descriptors},
	{"a socket that lingers", a_socket_that_lingers},
	{"a bitmap full of losses", bitmap_full_of_losses},
	{"a budget of an area that is locked", budget_of_a_locked_area},
	{"locks that take long", locks_that_take_long},
	{"cache: a strange index", cache_with_a_strange_index},
	{"cache: a strange table of segments", cache_with_a_strange_table},
	{"cache: a strange header", cache_with_a_strange_header},
	{"cache: strange heads of entries", cache_with_strange_heads},
	{"cache: forged entries", cache_with_forged_entries},
	{"cache: strange owners", cache_with_strange_owners},
	{"cache: a strange state of the area", cache_with_a_strange_state},
	{"cache: everything strange", cache_with_everything_strange},
	{"cache: an index that is locked", cache_whose_index_is_locked},
	{"storm", storm},
};
const unsigned special_count = sizeof(specials) / sizeof(specials[0]);
