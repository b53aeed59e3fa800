/* SPDX-License-Identifier: MIT */
/*
 * Finds the node of the driver and opens it (node.h).
 *
 * Two names are tried, the one with the boot id first: where it exists, we may have no access to
 * the plain one. The result, also that none works, is remembered, because every new area asks for
 * it. An error that may pass (too many open files, no memory) is not remembered, and a node that
 * can no longer be opened is forgotten.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/fork.h"
#include "base/sys.h"
#include "kernel/abi.h"
#include "kernel/driver.h"
#include "kernel/node.h"

static pthread_mutex_t node_mutex = PTHREAD_MUTEX_INITIALIZER;
/* Atomic: path of the node that works; "" if none does, NULL if not known yet. */
static const char *node;
/* Written once, under the mutex, before `node` can point to it; "" before. */
static char boot_id_node[sizeof(KERNEL_NODE) + KERNEL_BOOT_ID_LEN];

void kernel_node_before_fork(void)
{
	pthread_mutex_lock(&node_mutex);
}

void kernel_node_after_fork(void)
{
	pthread_mutex_unlock(&node_mutex);
}

/* Errors of a process that is out of something, or was interrupted: the next try may succeed. */
static int is_passing(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EAGAIN ||
		error == -EINTR;
}

static int try_node(const char *path)
{
	int fd = descriptor_above_std(open(path, O_RDWR | O_CLOEXEC));

	if (fd < 0)
		return -errno;
	int r = kernel_driver_try(fd);
	close(fd);
	return r;
}

static int try_boot_id_node(void)
{
	char id[KERNEL_BOOT_ID_LEN + 1];

	if (!boot_id_node[0]) {
		int r = sys_read_file(KERNEL_BOOT_ID, id, sizeof(id));
		if (r != KERNEL_BOOT_ID_LEN)
			return r < 0 ? r : -ENODEV;
		strcpy(boot_id_node, KERNEL_NODE);
		strcat(boot_id_node, id);
	}
	return try_node(boot_id_node);
}

/* The path for `node`, or a negative errno that is not to be remembered. The mutex is held. */
static int find_node(const char **path)
{
	int r = try_boot_id_node();

	if (r == 0) {
		*path = boot_id_node;
		return 0;
	}
	if (!is_passing(r))
		r = try_node(KERNEL_NODE);
	if (is_passing(r))
		return r;
	*path = r == 0 ? KERNEL_NODE : "";
	return 0;
}

/* The path of the node, remembered or found; -ENODEV, or an error that may pass. */
static int get_node(const char **path)
{
	int r = 0;

	/* Acquire: pairs with the release below; what the path says is written before. */
	*path = __atomic_load_n(&node, __ATOMIC_ACQUIRE);
	if (!*path) {
		r = process_start();
		if (r < 0)
			return r;
		pthread_mutex_lock(&node_mutex);
		r = find_node(path);
		if (r == 0)
			__atomic_store_n(&node, *path, __ATOMIC_RELEASE);
		pthread_mutex_unlock(&node_mutex);
	}
	if (r < 0)
		return r;
	return **path ? 0 : -ENODEV;
}

int kernel_node_probe(void *userdata)
{
	const char *path;

	(void)userdata;
	return get_node(&path);
}

int kernel_node_open(void)
{
	const char *path;
	int r = get_node(&path);

	if (r < 0)
		return r;
	int fd = descriptor_above_std(open(path, O_RDWR | O_CLOEXEC));
	if (fd >= 0)
		return fd;
	if (is_passing(-errno))
		return -errno;
	/* Gone, or no longer allowed: the next call searches again. Relaxed: NULL is no pointer. */
	__atomic_store_n(&node, NULL, __ATOMIC_RELAXED);
	return -ENODEV;
}
