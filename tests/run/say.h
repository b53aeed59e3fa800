/* SPDX-License-Identifier: MIT */
/*
 * One line for each question: `question: answer`, with the name of the error where it is one.
 */
#ifndef TESTS_RUN_SAY_H
#define TESTS_RUN_SAY_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAY(call)                              \
	do {                                   \
		errno = 0;                     \
		say(#call, (long long)(call)); \
	} while (0)

/* The names of the errors that occur; libc's own are newer than the guests' libraries may be. */
static inline const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {{EACCES, "EACCES"}, {EBADF, "EBADF"}, {EEXIST, "EEXIST"}, {EFAULT, "EFAULT"},
		{EINVAL, "EINVAL"}, {ENODEV, "ENODEV"}, {ENOENT, "ENOENT"}, {ENOMEM, "ENOMEM"},
		{ENOTDIR, "ENOTDIR"}, {ENOTTY, "ENOTTY"}, {EOPNOTSUPP, "EOPNOTSUPP"},
		{EPERM, "EPERM"}, {ESPIPE, "ESPIPE"}, {EOVERFLOW, "EOVERFLOW"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].error == error)
			return names[i].name;
	return strerror(error);
}

static inline void say(const char *question, long long answer)
{
	if (answer == -1 && errno)
		printf("%s: %s\n", question, error_name(errno));
	else
		printf("%s: %lld\n", question, answer);
}

static inline void part(const char *name)
{
	printf("-- %s\n", name);
}

/* What a child finds comes out before its parent goes on. */
static inline void in_child(void (*work)(int), int fd)
{
	int status = -1;

	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		work(fd);
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
	say("child", status);
}

#endif /* TESTS_RUN_SAY_H */
