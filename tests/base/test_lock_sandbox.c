/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe lock in a sandbox that does not let a thread ask for its robust list: libc has
 * registered the list when the thread began, and the lock finds it without the kernel's help.
 */
#define _GNU_SOURCE 1
#include "support/children.h"
#include "support/contract.h"
#include "support/locks.h"
#include "support/tools.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"

enum { NO_FILTERS = 77 };

/* From now on these two calls are refused. */
static void refuse(long first, long second)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)first, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)second, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
	struct sys_robust_head *head;
	size_t length;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(NO_FILTERS);
	if (syscall(SYS_get_robust_list, 0, &head, &length) == 0)
		_exit(NO_FILTERS); /* an emulator */
}

static void die_in_sandbox(void *argument)
{
	struct shared *shared = argument;

	refuse(SYS_get_robust_list, SYS_set_robust_list);
	for (int i = 0; i < 3; i++) {
		expect_eq(lock_acquire(&shared->other_word), LOCK_ACQUIRED);
		lock_release(&shared->other_word);
	}
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	_exit(0);
}

/* Whether a robust mutex of libc shows where its list is. */
#if defined(__GLIBC__) && defined(__PTHREAD_MUTEX_HAVE_PREV) && __PTHREAD_MUTEX_HAVE_PREV
enum { CAN_FIND_LIST = 1 };
#else
enum { CAN_FIND_LIST = 0 };
#endif

static void expect_noticed(void (*die)(void *))
{
	struct shared *shared;
	int status;

	if (!CAN_FIND_LIST)
		contract_skip("libc's list cannot be found (musl, 32 bits): docs/security.md");
	shared = shared_begin();
	skip_without_owner_death();
	contract_skip_under_valgrind("it keeps robust lists out of sight");
	status = child_wait(child_start(die, shared));
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTERS)
		contract_skip("no seccomp filters here");
	expect_eq(status, 0);
	expect_owner_died(shared);
	shared_end(shared);
}

CONTRACT_TEST(lock_sandbox, a_death_is_noticed_without_get_robust_list)
{
	expect_noticed(die_in_sandbox);
}

/* It may register its list again, though not ask for it. */
static void die_registering(void *argument)
{
	struct shared *shared = argument;

	refuse(SYS_get_robust_list, SYS_get_robust_list);
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	_exit(0);
}

CONTRACT_TEST(lock_sandbox, a_death_is_noticed_where_lists_can_be_registered)
{
	expect_noticed(die_registering);
}
