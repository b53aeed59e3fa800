/* SPDX-License-Identifier: MIT */
/*
 * The processes of a test: children in a group, and the daemon outside of it.
 */
#include "relief.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 60

const char *daemon_program;
unsigned daemon_user;
static int ready_fd = -1;

void must(int64_t r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror((int)-r));
	_exit(3);
}

void sleep_ms(unsigned ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

void ready(void)
{
	must(write(ready_fd, "r", 1) == 1 ? 0 : -errno, "ready");
	close(ready_fd);
}

void become_user(unsigned user)
{
	if (user == 0)
		return;
	must(setgid(user) < 0 || setuid(user) < 0 ? -errno : 0, "setuid");
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

pid_t process_start(const struct group *group, void (*work)(void *argument), void *argument)
{
	int ends[2];
	char byte;
	pid_t pid;

	must(pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0, "pipe");
	pid = fork();
	must(pid < 0 ? -errno : 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[0]);
		ready_fd = ends[1];
		group_enter(group);
		work(argument);
		_exit(0);
	}
	close(ends[1]);
	/* 0: it ended, or was killed, before it was ready. */
	must(read(ends[0], &byte, 1) < 0 ? -errno : 0, "a child");
	close(ends[0]);
	return pid;
}

int process_wait(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0) < 0 ? -errno : 0, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_end(pid_t pid)
{
	int status;

	kill(pid, SIGCONT);
	if (waitpid(pid, &status, WNOHANG) == pid)
		return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	kill(pid, SIGTERM);
	sleep_ms(0);
	int r = process_wait(pid);
	return r == 128 + SIGTERM ? 0 : r;
}

/* -- the daemon -- */

/* Read on until a line has the text, after `from`; NULL if the daemon is silent so long. */
static const char *wait_for(struct daemon *daemon, size_t from, const char *text, int silence_ms)
{
	struct pollfd fd = {.fd = daemon->output, .events = POLLIN};
	const char *found;

	while (!(found = strstr(daemon->text + from, text)) || !strchr(found, '\n')) {
		if (daemon->length == sizeof(daemon->text) - 1)
			daemon->length = from = 0;
		ssize_t got = poll(&fd, 1, silence_ms) != 1
			? 0
			: read(daemon->output, daemon->text + daemon->length,
				  sizeof(daemon->text) - 1 - daemon->length);
		if (got <= 0)
			return NULL;
		daemon->length += (size_t)got;
		daemon->text[daemon->length] = '\0';
	}
	return found;
}

/* It must say this now; what made it do so can be done again. */
static const char *ask(struct daemon *daemon, int signal, const char *text)
{
	size_t from = daemon->length;

	for (int i = 0; i < PATIENCE_S; i++) {
		must(kill(daemon->pid, signal) < 0 ? -errno : 0, "a signal");
		const char *found = wait_for(daemon, from, text, 1000);
		/* A line is left out where nobody reads, so an answer can be missing. */
		if (found)
			return found;
		if (daemon->length < from)
			from = daemon->length;
	}
	fprintf(stderr, "the daemon does not say '%s':\n%s\n", text, daemon->text);
	must(-ETIMEDOUT, text);
	return NULL;
}

void daemon_start(struct daemon *daemon, const struct group *group, const char *const *options)
{
	char cgroup[PATH_MAX];
	const char *argv[16] = {daemon_program, "--no-system", cgroup};
	int ends[2], count = 3;

	snprintf(cgroup, sizeof(cgroup), "--cgroup=%s", group->path);
	for (; options && *options && count < 15; options++)
		argv[count++] = *options;
	must(pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0, "pipe");
	*daemon = (struct daemon){.output = ends[0]};
	daemon->pid = fork();
	must(daemon->pid < 0 ? -errno : 0, "fork");
	if (daemon->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setsid(); /* as a service is */
		dup2(ends[1], STDERR_FILENO);
		become_user(daemon_user);
		execv(daemon_program, (char **)argv);
		must(-errno, daemon_program);
	}
	close(ends[1]);
	ask(daemon, 0, "ready");
}

void daemon_stop(struct daemon *daemon)
{
	kill(daemon->pid, SIGTERM);
	must(process_wait(daemon->pid) == 0 ? 0 : -ECHILD, "the daemon's end");
	close(daemon->output);
}

uint64_t daemon_count(struct daemon *daemon, const char *name)
{
	char key[64];

	if (daemon->length > sizeof(daemon->text) / 2)
		daemon->length = 0;
	daemon->text[daemon->length] = '\0';
	snprintf(key, sizeof(key), " %s=", name);
	return strtoull(ask(daemon, SIGUSR2, key) + strlen(key), NULL, 10);
}
