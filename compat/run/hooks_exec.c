/* SPDX-License-Identifier: MIT */
/*
 * Running other programs: LD_PRELOAD goes along, also where a program makes an environment of its
 * own, for the descriptors go along too.
 *
 * These run in children of vfork(2), so nothing here takes memory from malloc or a lock.
 */
#include <alloca.h>
#include <errno.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "start.h"

#define PRELOAD "LD_PRELOAD="

extern char **environ;

static const char *preload_of(char *const *environment)
{
	for (; *environment; environment++)
		if (strncmp(*environment, PRELOAD, strlen(PRELOAD)) == 0)
			return *environment + strlen(PRELOAD);
	return NULL;
}

static size_t count_of(char *const *words)
{
	size_t count = 0;

	while (words && words[count])
		count++;
	return count;
}

static char *const nothing[] = {NULL};

/* Whether the environment must be made anew; then with so many words and so many bytes. */
static int lacks_us(char *const *environment, size_t *words, size_t *bytes)
{
	const char *library = run_is_active() ? run_library() : NULL;

	if (!library || (uintptr_t)environment < 4096)
		return 0;
	const char *preload = preload_of(environment);
	if (preload && strstr(preload, library))
		return 0;
	*words = count_of(environment) + 2;
	*bytes = strlen(PRELOAD) + strlen(library) + 1 + (preload ? strlen(preload) : 0) + 1;
	return 1;
}

static void fill(char **to, char *text, char *const *environment)
{
	const char *preload = preload_of(environment);

	strcpy(text, PRELOAD);
	strcat(text, run_library());
	if (preload && preload[0]) {
		strcat(text, ":");
		strcat(text, preload);
	}
	*to++ = text;
	for (; *environment; environment++)
		if (strncmp(*environment, PRELOAD, strlen(PRELOAD)) != 0)
			*to++ = *environment;
	*to = NULL;
}

/*
 * Declares `with`: the environment, with us in it. In the caller's frame, for there is no malloc.
 */
#define ADD_US(environment)                                        \
	char *const *with = (environment);                         \
	with = with ? with : nothing; /* as the kernel reads it */ \
	size_t words_, bytes_;                                     \
	files_share_all();                                         \
	if (lacks_us(with, &words_, &bytes_)) {                    \
		char **array_ = alloca(words_ * sizeof(*array_));  \
		fill(array_, alloca(bytes_), with);                \
		with = array_;                                     \
	}

RUN_HOOK int execve(const char *path, char *const *words, char *const *environment)
{
	ADD_US(environment);
	return NEXT(execve)(path, words, with);
}

RUN_HOOK int execv(const char *path, char *const *words)
{
	ADD_US(environ);
	return NEXT(execve)(path, words, with);
}

RUN_HOOK int execvpe(const char *file, char *const *words, char *const *environment)
{
	ADD_US(environment);
	return NEXT(execvpe)(file, words, with);
}

RUN_HOOK int execvp(const char *file, char *const *words)
{
	ADD_US(environ);
	return NEXT(execvpe)(file, words, with);
}

RUN_HOOK int fexecve(int fd, char *const *words, char *const *environment)
{
	ADD_US(environment);
	return NEXT(fexecve)(fd, words, with);
}

/* The words of a call with a list of them, and what follows the list. */
#define GATHER(first)                                         \
	va_list list_;                                        \
	size_t count_ = 1;                                    \
	va_start(list_, first);                               \
	while (va_arg(list_, char *))                         \
		count_++;                                     \
	va_end(list_);                                        \
	char **words = alloca((count_ + 1) * sizeof(*words)); \
	va_start(list_, first);                               \
	words[0] = (char *)(uintptr_t)(first);                \
	for (size_t i_ = 1; i_ <= count_; i_++)               \
	words[i_] = va_arg(list_, char *)

RUN_HOOK int execl(const char *path, const char *first, ...)
{
	GATHER(first);
	va_end(list_);
	return execv(path, words);
}

RUN_HOOK int execlp(const char *file, const char *first, ...)
{
	GATHER(first);
	va_end(list_);
	return execvp(file, words);
}

RUN_HOOK int execle(const char *path, const char *first, ...)
{
	GATHER(first);
	char *const *environment = va_arg(list_, char *const *);
	va_end(list_);
	return execve(path, words, environment);
}

#define HOOK_SPAWN(name)                                                                           \
	RUN_HOOK int name(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, \
		const posix_spawnattr_t *attributes, char *const *words, char *const *environment) \
	{                                                                                          \
		ADD_US(environment ? environment : environ);                                       \
		return NEXT(name)(pid, path, actions, attributes, words, with);                    \
	}

HOOK_SPAWN(posix_spawn)
HOOK_SPAWN(posix_spawnp)

/* -- children that libc starts without these, or without a handler of fork(2) -- */

/* Programs that libc runs by itself get this process's environment. */
static void keep_us(void)
{
	size_t words, bytes;

	files_share_all();
	if (!lacks_us(environ ? environ : nothing, &words, &bytes))
		return;
	char **array = alloca(words * sizeof(*array)), *text = alloca(bytes);
	fill(array, text, environ ? environ : nothing);
	setenv("LD_PRELOAD", text + strlen(PRELOAD), 1);
}

RUN_HOOK int system(const char *command)
{
	keep_us();
	return NEXT(system)(command);
}

RUN_HOOK FILE *popen(const char *command, const char *mode)
{
	keep_us();
	return NEXT(popen)(command, mode);
}

RUN_HOOK int clone(int (*work)(void *), void *stack, int flags, void *argument, ...)
{
	va_list list;

	va_start(list, argument);
	pid_t *parent_id = va_arg(list, pid_t *);
	void *tls = va_arg(list, void *);
	pid_t *child_id = va_arg(list, pid_t *);
	va_end(list);
	files_share_all();
	return NEXT(clone)(work, stack, flags, argument, parent_id, tls, child_id);
}

#ifdef __GLIBC__
RUN_HOOK pid_t _Fork(void);
pid_t _Fork(void)
{
	files_share_all();
	return NEXT(_Fork)();
}
#endif
