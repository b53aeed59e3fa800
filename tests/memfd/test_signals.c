/* SPDX-License-Identifier: MIT */
/*
 * A signal handler that calls the library, which is forbidden, at every instruction of a pin and an
 * unpin: it gets -EDEADLK where the call that it interrupted holds a lock, and that call, its
 * result, and what the kernel would do if its thread died then are as without the handler.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/locks.h"
#include "support/stepper.h"
#include "support/tools.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/sys.h"

#if defined(__x86_64__) && defined(REG_EFL)

#define TRAP_FLAG 0x100 /* of the processor: a SIGTRAP after each instruction */

static struct ashmem_area *interrupted, *other;
static const struct sys_robust_head *head;
static volatile int stepping;
static int steps, refused, allowed, wrong, disturbed;

static void count(int result)
{
	refused += result == -EDEADLK;
	allowed += result >= 0;
	wrong += result < 0 && result != -EDEADLK;
}

static void step_on(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
	const void *pending = head->list_op_pending;

	(void)signal_number, (void)info;
	if (stepping)
		at->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
	else
		at->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	steps++;
	count(pin_pages(other, 1, 1));
	count(ashmem_unpin(other, page_bytes(), page_bytes()));
	count(pin_pages(interrupted, 40, 1));
	disturbed += head->list_op_pending != pending;
}

static void at_every_instruction(void *unused)
{
	struct sigaction action = {.sa_sigaction = step_on, .sa_flags = SA_SIGINFO};
	double begun = seconds_now();
	int unpinned, pinned;
	size_t length;

	(void)unused;
	interrupted = full_view(64).area;
	other = full_view(64).area;
	unpin_pages(interrupted, 20, 4);
	unpin_pages(other, 0, 1);
	expect_eq(purge_everything(), 5);
	expect_eq(syscall(SYS_get_robust_list, 0, &head, &length), 0);
	sigaction(SIGTRAP, &action, NULL);

	stepping = 1;
	raise(SIGTRAP);
	unpinned = ashmem_unpin(interrupted, 10 * page_bytes(), 4 * page_bytes());
	pinned = ashmem_pin(interrupted, 20 * page_bytes(), 4 * page_bytes());
	stepping = 0;
	raise(SIGTRAP);

	expect_eq(unpinned, 0);
	expect_eq(pinned, ASHMEM_WAS_PURGED);
	expect_eq(disturbed, 0);
	expect_eq(wrong, 0);
	expect(steps > 100);
	expect(allowed > 0 && refused > 0);
	expect_eq(status_pages(interrupted, 10, 4), ASHMEM_IS_UNPINNED);
	expect_eq(status_pages(interrupted, 20, 4), ASHMEM_IS_PINNED);
	expect_eq(pin_pages(interrupted, 10, 4), ASHMEM_NOT_PURGED);
	expect_eq(stats_of(interrupted).lock_timeouts, 0);
	expect(seconds_now() - begun < 4); /* no call waited for itself */
}

CONTRACT_TEST(signals, a_handler_at_any_instruction_does_no_harm)
{
	skip_on_kernel("the driver has locks of its own");
	skip_without_stepping();
	skip_without_owner_death();
	run_child(at_every_instruction, NULL);
}

#endif

/* -- and it is said at the lock, for any processor -- */

static struct shared *shared;
static int results[2];
static void *pending[2];

static void take_both(int signal_number)
{
	(void)signal_number;
	results[0] = lock_acquire(&shared->other_word);
	results[1] = lock_acquire(&shared->word);
}

static void die_after_a_handler(void *unused)
{
	(void)unused;
	signal(SIGUSR1, take_both);
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	pending[0] = pending_word();
	raise(SIGUSR1);
	pending[1] = pending_word();
	expect_eq(results[0], -EDEADLK);
	expect_eq(results[1], -EDEADLK);
	expect(pending[0] == &shared->word && pending[1] == &shared->word);
	_exit(0);
}

CONTRACT_TEST(signals, a_death_after_a_handler_is_noticed)
{
	skip_without_owner_death();
	shared = shared_begin();
	run_child(die_after_a_handler, NULL);
	expect_eq(shared->other_word, 0);
	expect_owner_died(shared);
	shared_end(shared);
}

CONTRACT_TEST(signals, a_handler_between_calls_is_as_any_call)
{
	shared = shared_begin();
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	lock_release(&shared->word);
	expect_eq(lock_acquire(&shared->other_word), LOCK_ACQUIRED);
	lock_release(&shared->other_word);
	shared_end(shared);
}
