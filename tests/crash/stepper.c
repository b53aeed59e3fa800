/* SPDX-License-Identifier: MIT */
/*
 * A child one machine instruction at a time (ptrace), and what the kernel does at a thread's death.
 *
 * Every instruction is a step, those of libc as well, but calls into the vdso (reading the clock)
 * run through as one: nothing of the shared memory is touched there. The memory looks after a step
 * as it does if the child is killed then, but for what the kernel itself changes: it looks at the
 * word that list_op_pending of the thread's robust list names, and marks it if it has the thread's
 * id. victim_pending() says which word that is, from the child's own registers of the kernel.
 *
 * Code lies at the same addresses here and in the child, because the child is forked: so
 * instructions can be read here.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"

struct stage *stage;

#ifdef __x86_64__
#define REGISTER(name) ((void *)offsetof(struct user_regs_struct, name))
#else
#define REGISTER(name) ((void *)0)
#endif

int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	return status;
}

pid_t spawn(void (*fn)(void *argument), void *argument)
{
	pid_t child;

	fflush(NULL);
	/* others may have used up the processes */
	for (int tries = 0; (child = fork()) < 0; tries++) {
		if (tries == 100)
			die("fork");
		usleep(100000);
	}
	if (child > 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fn(argument);
	fflush(NULL);
	_exit(0);
}

/* -- the child -- */

struct part {
	const struct crash_case *c;
	struct world *world, *copies;
};

void stop_before(void)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
		_exit(77);
	raise(SIGSTOP);
}

void stop_behind(void)
{
	stage->finished = 1;
	raise(SIGSTOP);
}

/* Instead of the handle that can write, one that cannot. */
static void become_reader(struct world *world)
{
	int fd = ashmem_export_read_only(world->area[0].handle);

	world_close(world);
	if (fd < 0 || ashmem_import(fd, &world->area[0].handle) < 0)
		_exit(1);
	close(fd);
}

static void play(void *argument)
{
	struct part *part = argument;
	const struct crash_case *c = part->c;

	if (part->copies)
		world_close(part->copies);
	if (c->op.kind != OP_IMPORT)
		world_import(part->world);
	if (!(c->flags & COLD) && c->op.kind != OP_IMPORT)
		for (int a = 0; a < part->world->areas; a++)
			for (uint32_t page = 0; page < c->pages; page += c->pages / 4 + 1)
				ashmem_get_pin_status(part->world->area[a].handle,
					page * sys_page_size(), sys_page_size());
	if (c->op.kind == OP_RECV)
		ashmem_send(part->world->sockets[1], part->world->area[0].handle);
	if (op_is_reader(&c->op))
		become_reader(part->world);
	if (c->op.kind == OP_READER_UNPIN)
		(void)!ashmem_pin(part->world->area[0].handle, 0, 0);
	op_prepare(c, part->world);
	stop_before();
	stage->result = op_run(&c->op, part->world);
	stop_behind();
}

static int at_call(uintptr_t pc)
{
#ifdef __x86_64__
	unsigned char code[2];

	memcpy(code, (void *)pc, sizeof(code));
	return code[0] == 0x0f && code[1] == 0x05;
#else
	(void)pc;
	return 1;
#endif
}

static void look_at_next(struct victim *victim)
{
	errno = 0;
	long pc = ptrace(PTRACE_PEEKUSER, victim->pid, REGISTER(rip), 0);
	victim->in_call = errno == 0 && at_call((uintptr_t)pc);
}

void victim_take(struct victim *victim, pid_t pid)
{
	void *head = NULL;
	size_t size;

	memset(victim, 0, sizeof(*victim));
	victim->pid = pid;
	int status = wait_for(pid);
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
		die("the child did not stop before its operation");
	ptrace(PTRACE_SETOPTIONS, pid, 0, (void *)(uintptr_t)PTRACE_O_EXITKILL);
	if (syscall(SYS_get_robust_list, pid, &head, &size) < 0)
		die("get_robust_list");
	victim->head = (uintptr_t)head;
	/*
	 * The list lies in the thread's own memory, so the same address holds the same constant
	 * here.
	 */
	victim->futex_offset = head ? ((struct sys_robust_head *)head)->futex_offset : 0;
	victim->pending_area = NONE;
	look_at_next(victim);
}

void victim_start(struct victim *victim, const struct crash_case *c, struct world *world,
	struct world *copies)
{
	struct part part = {c, world, copies};

	stage->finished = 0;
	victim_take(victim, spawn(play, &part));
}

/* -- steps -- */

static int stepped(struct victim *victim)
{
	int status = wait_for(victim->pid);

	if (!WIFSTOPPED(status)) {
		complain("the child ended with wait status %#x", (unsigned)status);
		victim->pid = 0;
		return 0;
	}
	if (WSTOPSIG(status) == SIGSTOP && stage->finished) {
		victim->finished = 1;
		return 0;
	}
	if (WSTOPSIG(status) != SIGTRAP) {
		complain("the child got signal %d", WSTOPSIG(status));
		return 0;
	}
	return 1;
}

#ifdef __x86_64__
static uintptr_t vdso_start, vdso_end;

static void find_vdso(void)
{
	char line[300];
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]") &&
			sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &vdso_start, &vdso_end) != 2)
			vdso_start = vdso_end = 0;
	if (maps)
		fclose(maps);
}

/* If the child has just been called into the vdso, run it to its return. */
static int skip_vdso(struct victim *victim, uintptr_t pc)
{
	if (pc < vdso_start || pc >= vdso_end)
		return 1;
	uintptr_t sp = (uintptr_t)ptrace(PTRACE_PEEKUSER, victim->pid, REGISTER(rsp), 0);
	uintptr_t back = (uintptr_t)ptrace(PTRACE_PEEKDATA, victim->pid, (void *)sp, 0);
	long code = ptrace(PTRACE_PEEKTEXT, victim->pid, (void *)back, 0);
	if (ptrace(PTRACE_POKETEXT, victim->pid, (void *)back, (void *)((code & ~0xffL) | 0xcc)) <
		0)
		return 1;
	ptrace(PTRACE_CONT, victim->pid, 0, 0);
	int alive = stepped(victim);
	if (victim->pid == 0)
		return 0;
	ptrace(PTRACE_POKETEXT, victim->pid, (void *)back, (void *)code);
	if (alive)
		ptrace(PTRACE_POKEUSER, victim->pid, REGISTER(rip), (void *)back);
	victim->skipped++;
	return alive;
}
#endif

int victim_step(struct victim *victim)
{
	victim->was_call = victim->in_call;
	if (ptrace(PTRACE_SINGLESTEP, victim->pid, 0, 0) < 0)
		die("PTRACE_SINGLESTEP");
	if (!stepped(victim))
		return 0;
	victim->steps++;
#ifdef __x86_64__
	uintptr_t pc = (uintptr_t)ptrace(PTRACE_PEEKUSER, victim->pid, REGISTER(rip), 0);
	if (pc >= vdso_start && pc < vdso_end) {
		if (!skip_vdso(victim, pc))
			return 0;
		pc = (uintptr_t)ptrace(PTRACE_PEEKUSER, victim->pid, REGISTER(rip), 0);
	}
	victim->in_call = at_call(pc);
#else
	look_at_next(victim);
#endif
	return 1;
}

void victim_kill(struct victim *victim)
{
	if (victim->pid == 0)
		return;
	kill(victim->pid, SIGKILL);
	while (!WIFSIGNALED(wait_for(victim->pid)))
		;
	victim->pid = 0;
}

/* -- what the kernel would do -- */

/* Where in the file an address of the child lies, or NONE. */
static int64_t offset_of(pid_t pid, uintptr_t address, ino_t wanted)
{
	char path[40], line[400];
	int64_t found = NONE;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "r");
	while (maps && fgets(line, sizeof(line), maps)) {
		uintptr_t start, end;
		uint64_t offset;
		unsigned long inode;
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %*s %lu", &start, &end,
			    &offset, &inode) == 4 &&
			address >= start && address < end && inode == wanted)
			found = (int64_t)(address - start + offset);
	}
	if (maps)
		fclose(maps);
	return found;
}

/* Which area's lock word lies at an address of the child. */
static int area_at(pid_t pid, uintptr_t address, const struct world *world)
{
	char path[40], line[400];
	int found = NONE;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "r");
	while (maps && fgets(line, sizeof(line), maps)) {
		uintptr_t start, end;
		uint64_t offset;
		unsigned major, minor;
		unsigned long inode;
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %x:%x %lu", &start,
			    &end, &offset, &major, &minor, &inode) != 6 ||
			address < start || address >= end)
			continue;
		for (int a = 0; a < world->areas; a++) {
			const struct area *area = &world->area[a];
			uint64_t place =
				(uint64_t)((unsigned char *)&area->control->lock - area->base);
			if (area->inode == inode && address - start + offset == place)
				found = a;
		}
	}
	if (maps)
		fclose(maps);
	return found;
}

/*
 * The address of the lock word that list_op_pending names, or 0; `*is_new`: it is another one than
 * at the last look.
 */
static uintptr_t pending_word(struct victim *victim, int *is_new)
{
	uintptr_t place = victim->head + offsetof(struct sys_robust_head, list_op_pending);
	uintptr_t pending = (uintptr_t)ptrace(PTRACE_PEEKDATA, victim->pid, (void *)place, 0);

	if (!victim->head || !pending)
		return 0;
	*is_new = pending != victim->known_pending;
	victim->known_pending = pending;
	return pending + (uintptr_t)victim->futex_offset;
}

int victim_pending(struct victim *victim, const struct world *world)
{
	int is_new;
	uintptr_t word = pending_word(victim, &is_new);

	if (word && is_new)
		victim->pending_area = area_at(victim->pid, word, world);
	return word ? victim->pending_area : NONE;
}

int64_t victim_pending_offset(struct victim *victim, ino_t inode)
{
	int is_new;
	uintptr_t word = pending_word(victim, &is_new);

	if (word && is_new)
		victim->pending_offset = offset_of(victim->pid, word, inode);
	return word ? victim->pending_offset : NONE;
}

/* -- whether it works here -- */

static void trace_me(void *argument)
{
	(void)argument;
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
		_exit(77);
	raise(SIGSTOP);
}

void stepper_prepare(void)
{
	stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	if (stage == MAP_FAILED)
		die("mmap");
}

void stepper_check(void)
{
#ifndef __x86_64__
	printf("crash: skipped: single-stepping is written for x86-64 only\n");
	exit(77);
#else
	pid_t child = spawn(trace_me, NULL);
	int status = wait_for(child);
	if (WIFSTOPPED(status)) {
		int cannot = ptrace(PTRACE_SINGLESTEP, child, 0, 0) < 0;
		if (!cannot)
			status = wait_for(child);
		kill(child, SIGKILL);
		wait_for(child);
		if (!cannot && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) {
			find_vdso();
			return;
		}
	}
	printf("crash: skipped: ptrace is not allowed here, or cannot single-step\n");
	exit(77);
#endif
}
