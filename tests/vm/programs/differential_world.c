/* SPDX-License-Identifier: MIT */
/*
 * One backend's side of the differential test: processes that carry out a trace together, one
 * operation at a time, each by the process that the trace names. The turn is passed by a futex in
 * shared memory, so a trace runs the same every time.
 *
 * All processes are children of the one that calls world_run(), the later ones by being orphaned:
 * FORK forks twice. So world_run() alone learns who ended and when all memory and descriptors of a
 * process are gone; EXIT passes the turn on only then. A run begins without any area in the world
 * and ends when all processes have ended.
 */
#define _GNU_SOURCE 1
#include "differential.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HANG_SECONDS = 90 };

#define PRELOAD "preload"

/* Of the library of ashmem-run, if it was loaded before this program. */
void ashmem_run_begin(void) __attribute__((weak));

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void *shared_memory(size_t length)
{
	void *memory =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* -- turns -- */

/* The actor that the next operation is for, or -1 at the end. Operations for nobody are passed. */
static int next_actor(struct world *world)
{
	while (world->next < world->count) {
		int actor = actor_for(world, &world->op[world->next]);

		if (actor >= 0)
			return actor;
		world->result[world->next++].value = NOT_THERE;
	}
	return -1;
}

static void everybody_leaves(struct world *world)
{
	__atomic_store_n(&world->done, 1, __ATOMIC_SEQ_CST);
	for (int actor = 0; actor < ACTORS; actor++) {
		__atomic_store_n(&world->go[actor], 1, __ATOMIC_SEQ_CST);
		futex_wake(&world->go[actor]);
	}
}

static void pass_turn(struct world *world)
{
	int actor = next_actor(world);

	if (actor < 0) {
		everybody_leaves(world);
		return;
	}
	__atomic_store_n(&world->go[actor], 1, __ATOMIC_SEQ_CST);
	futex_wake(&world->go[actor]);
}

static void wait_for_turn(struct world *world, int self)
{
	while (!__atomic_load_n(&world->go[self], __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &world->go[self], FUTEX_WAIT, 0, NULL, NULL, 0);
	__atomic_store_n(&world->go[self], 0, __ATOMIC_SEQ_CST);
	if (world->done)
		_exit(0);
}

/* -- actors -- */

/* The process ends as it is, with its handles and mappings. */
__attribute__((noreturn)) static void actor_exit(struct actor *actor)
{
	struct world *world = actor->world;

	for (int i = 0; i < AREAS; i++)
		world->holders[i] -= actor->handle[i].refs > 0;
	for (int i = 0; i < MAPPINGS; i++)
		world->mapped[actor->mapping[i].area] -= actor->mapping[i].base != NULL;
	world->alive[actor->self] = 0;
	world->next++;
	world->phase = 0;
	world->leaving = actor->self + 1;
	_exit(0);
}

__attribute__((noreturn)) static void actor_live(struct actor *actor)
{
	struct world *world = actor->world;

	world->pid[actor->self] = getpid();
	for (;;) {
		wait_for_turn(world, actor->self);
		while (next_actor(world) == actor->self) {
			uint32_t at = world->next;

			if (world->op[at].kind == EXIT)
				actor_exit(actor);
			if (!actor_perform(actor, &world->op[at], &world->result[at])) {
				world->next = at + 1;
				world->phase = 0;
			}
		}
		pass_turn(world);
	}
}

void actor_fork(struct actor *actor, const struct op *op)
{
	struct world *world = actor->world;
	struct result *result = &world->result[world->next];
	pid_t between = fork();
	int status = 0;

	if (between == 0) {
		pid_t child = fork();

		if (child != 0)
			_exit(child < 0);
		actor->self = op->other;
		actor_live(actor);
	}
	if (between < 0 || waitpid(between, &status, 0) != between || status != 0) {
		result->value = status ? status : -errno;
		return;
	}
	for (int i = 0; i < AREAS; i++)
		world->holders[i] += actor->handle[i].refs > 0;
	for (int i = 0; i < MAPPINGS; i++)
		world->mapped[actor->mapping[i].area] += actor->mapping[i].base != NULL;
	world->alive[op->other] = 1;
}

__attribute__((noreturn)) static void first_actor(struct world *world)
{
	static struct actor actor;
	size_t page = (size_t)page_size_bytes(), buffer = BUFFER_PAGES * page;
	int r;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	actor.world = world;
	/* One inaccessible page behind the buffer; behind it the place for fixed mappings. */
	actor.buffer = mmap(NULL, buffer + page + MODEL_PAGES * page, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (actor.buffer == MAP_FAILED ||
		mprotect(actor.buffer, buffer, PROT_READ | PROT_WRITE) < 0)
		_exit(3);
	actor.place = actor.buffer + buffer + page;
	if (strcmp(world->backend, PRELOAD) == 0)
		ashmem_run_begin();
	r = ashmem_backend_select(world_backend(world->backend));
	if (r < 0)
		_exit(-r);
	actor_live(&actor);
}

/* -- a world -- */

const char *world_backend(const char *name)
{
	if (strcmp(name, PRELOAD) != 0)
		return name;
	return ashmem_run_begin ? "kernel" : "none: run it under ashmem-run";
}

struct world *world_new(const char *backend, const char *other)
{
	struct world *world = shared_memory(sizeof *world);
	sigset_t child_ended;

	strncpy(world->backend, backend, sizeof world->backend - 1);
	world->is_kernel = strcmp(backend, "kernel") == 0;
	world->is_driver = strcmp(backend, "memfd") != 0;
	world->has_readers = !world->is_driver || strcmp(other, "memfd") == 0;
	sigemptyset(&child_ended);
	sigaddset(&child_ended, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &child_ended, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		die("subreaper");
	return world;
}

/* The sockets are of three types, as the library takes any. */
static void make_inboxes(struct world *world)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

	for (int i = 0; i < ACTORS; i++)
		if (socketpair(AF_UNIX, types[i % 3] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			    world->inbox[i]) < 0)
			die("socketpair");
}

static void close_inboxes(const struct world *world)
{
	for (int i = 0; i < ACTORS; i++) {
		close(world->inbox[i][0]);
		close(world->inbox[i][1]);
	}
}

static void world_reset(struct world *world, const struct trace *trace)
{
	world->count = trace->count;
	world->next = world->phase = world->done = 0;
	world->leaving = 0;
	world->crash = 0;
	memset(world->go, 0, sizeof world->go);
	memset(world->alive, 0, sizeof world->alive);
	memset(world->holders, 0, sizeof world->holders);
	memset(world->mapped, 0, sizeof world->mapped);
	memset(world->materialised, 0, sizeof world->materialised);
	memcpy(world->op, trace->op, trace->count * sizeof *trace->op);
	memset(world->result, 0, trace->count * sizeof *world->result);
}

/* A process ended. */
static void note_end(struct world *world, pid_t pid, int status)
{
	if (status != 0 && world->crash == 0) {
		world->crash = WIFSIGNALED(status) ? WTERMSIG(status) : 1000 + WEXITSTATUS(status);
		kill(-world->pid[0], SIGKILL);
	} else if (world->leaving && world->pid[world->leaving - 1] == pid) {
		world->leaving = 0;
		pass_turn(world);
	}
}

static void wait_for_all(struct world *world)
{
	struct timespec patience = {HANG_SECONDS, 0};
	sigset_t child_ended;
	int status;

	sigemptyset(&child_ended);
	sigaddset(&child_ended, SIGCHLD);
	for (;;) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid < 0)
			return;
		if (pid > 0) {
			note_end(world, pid, status);
		} else if (sigtimedwait(&child_ended, NULL, &patience) < 0 && errno == EAGAIN) {
			world->crash = -1;
			kill(-world->pid[0], SIGKILL);
		}
	}
}

void world_run(struct world *world, const struct trace *trace)
{
	pid_t first;

	world_reset(world, trace);
	make_inboxes(world);
	fflush(NULL);
	first = fork();
	if (first < 0)
		die("fork");
	if (first == 0)
		first_actor(world);
	setpgid(first, first);
	world->pid[0] = first;
	world->alive[0] = 1;
	pass_turn(world);
	wait_for_all(world);
	close_inboxes(world);
	for (uint32_t i = world->next; i < world->count; i++)
		world->result[i].value = NOT_REACHED;
}
