/* SPDX-License-Identifier: MIT */
/*
 * Threads and processes that pin and unpin at the same time.
 *
 * A worker waits on a pipe for an order (when to begin and to end), follows it, and answers on
 * another pipe with what it did. So an idle worker costs nothing, a dead one is an end of file, and
 * threads and processes are driven alike.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* Time for the last worker to wake up before the first begins. */
#define HEAD_START_NS 200000
/* One that begins later than that did not run beside the other all the time. */
#define LATE_NS 50000
/* Pairs between two looks at the clock. */
#define PAIRS 64

struct order_to_run {
	double begin_ns, end_ns;
};

struct own {
	int command_fd, answer_fd;
	struct ranges *ranges;
	pthread_t thread;
};

/* How often the scheduler took the processor away from this thread; not how often it waited. */
static long preemptions(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

static struct worker_result work(struct ranges *ranges, const struct order_to_run *order)
{
	struct worker_result result = {.operations = 0};
	double begin, now;
	long before = preemptions();

	do
		begin = now_ns();
	while (begin < order->begin_ns);
	double cpu_begin = busy_ns();
	do {
		ranges_pairs(ranges, PAIRS);
		result.operations += PAIRS;
		now = now_ns();
	} while (now < order->end_ns);
	result.cpu_ns = busy_ns() - cpu_begin;
	result.wall_ns = now - begin;
	result.disturbed = begin > order->begin_ns + LATE_NS || preemptions() != before;
	return result;
}

static void *worker_main(void *argument)
{
	struct own *own = argument;
	struct order_to_run order;
	/* A copy on the stack of its own: the other's may be in the same cache line. */
	struct ranges ranges = *own->ranges;

	while (read(own->command_fd, &order, sizeof(order)) == (ssize_t)sizeof(order)) {
		struct worker_result result = work(&ranges, &order);
		if (write(own->answer_fd, &result, sizeof(result)) != (ssize_t)sizeof(result))
			break;
	}
	return NULL;
}

static void start_process(struct workers *workers, struct worker *worker, struct own *own)
{
	fflush(stdout);
	worker->pid = fork();
	if (worker->pid < 0)
		die_errno("fork");
	if (worker->pid > 0) {
		close(own->command_fd);
		close(own->answer_fd);
		return;
	}
	/* The ends of the pipes that are the parent's, of those who came before as well: else no
	 * end of file would come. */
	for (struct worker *each = workers->worker; each <= worker; each++) {
		close(each->command_fd);
		close(each->answer_fd);
	}
	worker_main(own);
	_exit(0);
}

void workers_start(struct workers *workers, int count, enum worker_kind kind,
	struct ranges *const *ranges)
{
	*workers = (struct workers){.count = count};
	for (int i = 0; i < count; i++) {
		struct worker *worker = &workers->worker[i];
		struct own *own = allocate(1, sizeof(*own));
		int command[2], answer[2];
		if (pipe(command) < 0 || pipe(answer) < 0)
			die_errno("pipe");
		*own = (struct own){command[0], answer[1], ranges[i], 0};
		*worker = (struct worker){command[1], answer[0], 0, ranges[i], own};
		if (kind == WORKER_PROCESS) {
			start_process(workers, worker, own);
			continue;
		}
		int error = pthread_create(&own->thread, NULL, worker_main, own);
		if (error)
			die("pthread_create", -error);
	}
}

void workers_run(struct workers *workers, int active, double duration_ns,
	struct worker_result *answers)
{
	struct order_to_run order = {.begin_ns = now_ns() + HEAD_START_NS};

	order.end_ns = order.begin_ns + duration_ns;
	for (int i = 0; i < active; i++) {
		if (write(workers->worker[i].command_fd, &order, sizeof(order)) < 0)
			die_errno("write to a worker");
	}
	for (int i = 0; i < active; i++) {
		ssize_t got = read(workers->worker[i].answer_fd, &answers[i], sizeof(answers[i]));
		if (got != (ssize_t)sizeof(answers[i]))
			die("a worker ended early", got < 0 ? -errno : (int64_t)got);
	}
}

void workers_stop(struct workers *workers)
{
	for (int i = 0; i < workers->count; i++) {
		struct worker *worker = &workers->worker[i];
		struct own *own = worker->own;
		close(worker->command_fd);
		if (worker->pid) {
			waitpid(worker->pid, NULL, 0);
		} else {
			pthread_join(own->thread, NULL);
			close(own->command_fd);
			close(own->answer_fd);
		}
		close(worker->answer_fd);
		free(own);
	}
}
