/* SPDX-License-Identifier: MIT */
/*
 * The process's cgroup and the limits around it where the kernel shows them: as root, with groups,
 * mounts and namespaces like those of container engines, version 1 and 2. The same forms in files:
 * test_pressure_cgroups.c.
 */
#define _GNU_SOURCE 1
#include "support/children.h"
#include "support/contract.h"
#include "support/fake_system.h"

#include "pressure/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Groups BASE/ashmem-PID/pod/ct, where the child is, and BASE/ashmem-PID/pod/other. */
struct world {
	int version;
	const char *base; /* where the hierarchy is mounted */
	char top[100], pod[110], ct[120], other[120], aside[64];
	struct stat ct_status, pod_status, other_status;
};

static int must(int r)
{
	expect_msg(r >= 0, "errno %d", errno);
	return r;
}

static void write_to(const char *directory, const char *name, const char *text)
{
	char path[200];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	int fd = must(open(path, O_WRONLY | O_CLOEXEC));
	expect_eq(write(fd, text, strlen(text)), (int64_t)strlen(text));
	close(fd);
}

static int make_world(struct world *world, int version)
{
	const char *base = version == 1 ? "/sys/fs/cgroup/memory"
		: access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0
		? "/sys/fs/cgroup/unified"
		: "/sys/fs/cgroup";

	world->version = version;
	world->base = base;
	snprintf(world->top, sizeof world->top, "%s/ashmem-%d", base, getpid());
	snprintf(world->pod, sizeof world->pod, "%s/pod", world->top);
	snprintf(world->ct, sizeof world->ct, "%s/ct", world->pod);
	snprintf(world->other, sizeof world->other, "%s/other", world->pod);
	strcpy(world->aside, "/tmp/ashmem-aside-XXXXXX");
	if (access(base, F_OK) < 0 || mkdir(world->top, 0755) < 0)
		return 0;
	must(mkdir(world->pod, 0755));
	must(mkdir(world->ct, 0755));
	must(mkdir(world->other, 0755));
	if (version == 1)
		write_to(world->top, "memory.limit_in_bytes", "100663296");
	must(stat(world->pod, &world->pod_status));
	must(stat(world->ct, &world->ct_status));
	must(stat(world->other, &world->other_status));
	expect(mkdtemp(world->aside) != NULL);
	return 1;
}

static void end_world(struct world *world)
{
	const char *const groups[] = {world->ct, world->other, world->pod, world->top};

	for (int i = 0; i < 4; i++)
		for (int tries = 0; rmdir(groups[i]) < 0 && tries < 200; tries++)
			usleep(10000);
	rmdir(world->aside);
}

/* The child's groups and mounts are its own. */
static void enter(struct world *world, int flags)
{
	write_to(world->ct, "cgroup.procs", "0");
	must(unshare(CLONE_NEWNS | flags));
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount("none", world->aside, "tmpfs", 0, NULL));
}

static const char *in_aside(struct world *world, const char *name)
{
	static char path[2][200];
	static int which;

	which = !which;
	snprintf(path[which], sizeof path[which], "%s/%s", world->aside, name);
	return path[which];
}

/* A group's directory over another, or at a name of its own. */
static void bind(const char *from, const char *to)
{
	mkdir(to, 0755);
	must(mount(from, to, NULL, MS_BIND, NULL));
}

static void mount_new(struct world *world)
{
	int is_1 = world->version == 1;

	must(mount("none", world->base, is_1 ? "cgroup" : "cgroup2", 0, is_1 ? "memory" : NULL));
}

static void expect_is(const char *path, const struct stat *wanted)
{
	struct stat status;

	expect_msg(stat(path, &status) == 0, "%s is not there", path);
	expect_msg(status.st_ino == wanted->st_ino && status.st_dev == wanted->st_dev,
		"%s is another group", path);
}

static void expect_found(struct world *world, const struct stat *wanted)
{
	static struct pressure_cgroup group;

	expect_eq(source_cgroup_find(&group, world->version == 1, NULL), 0);
	expect_is(group.path, wanted);
	if (world->version == 1) { /* of the outermost, whether that is mounted or not */
		struct ashmem_pressure *pressure = fake_open("headroom");
		expect(ashmem_pressure_dispatch(pressure) >= 0);
		expect_eq(fake_status(pressure).limit_bytes, 96 * MIB_BYTES);
		ashmem_pressure_close(pressure);
	}
}

/* The groups around are seen as well. */
static void expect_all_found(struct world *world)
{
	static struct pressure_cgroup group, outer;

	expect_found(world, &world->ct_status);
	expect_eq(source_cgroup_find(&group, world->version == 1, NULL), 0);
	if (group.depth == 0) {
		expect_eq(source_cgroup_find_outer(&outer, &group), 0);
		expect_is(outer.path, &world->pod_status);
	}
}

static void expect_none(struct world *world)
{
	static struct pressure_cgroup group;

	expect_eq(source_cgroup_find(&group, world->version == 1, NULL), -ENOENT);
}

static void in_plain(void *world)
{
	enter(world, 0);
	expect_all_found(world);
}

/* As docker does it without a namespace for groups; the host's tree is there too, or was. */
static void in_own_group_bound(void *argument)
{
	struct world *world = argument;

	enter(world, 0);
	bind(world->base, in_aside(world, "host"));
	bind(world->ct, world->base);
	expect_all_found(world);
	must(umount2(in_aside(world, "host"), MNT_DETACH));
	expect_found(world, &world->ct_status);
}

static void in_anothers_before_and_after(void *argument)
{
	struct world *world = argument;

	enter(world, 0);
	bind(world->other, in_aside(world, "before"));
	bind(world->ct, in_aside(world, "own"));
	bind(world->other, in_aside(world, "after"));
	must(umount2(world->base, MNT_DETACH));
	expect_found(world, &world->ct_status);
}

/* All that is left to see is another container's group. */
static void in_anothers_alone(void *argument)
{
	struct world *world = argument;

	enter(world, 0);
	bind(world->other, world->base);
	expect_none(world);
}

static void in_namespace(void *argument)
{
	struct world *world = argument;
	char other[250];

	enter(world, CLONE_NEWCGROUP);
	bind(world->base, in_aside(world, "host"));
	must(umount2(world->base, MNT_DETACH));
	expect_all_found(world); /* searched for */
	mount_new(world);
	expect_all_found(world);
	snprintf(other, sizeof other, "%s/ashmem-%d/pod/other", in_aside(world, "host"), getppid());
	bind(other, in_aside(world, "after"));
	expect_all_found(world);
	must(umount2(in_aside(world, "host"), MNT_DETACH));
	expect_found(world, &world->ct_status);
}

/* A process that was moved out of its namespace's tree. */
static void in_namespace_but_beside_its_root(void *argument)
{
	struct world *world = argument;

	enter(world, CLONE_NEWCGROUP);
	write_to(world->other, "cgroup.procs", "0");
	expect_found(world, &world->other_status);
	must(umount2(world->base, MNT_DETACH));
	mount_new(world);
	expect_none(world);
}

/* Processes have other numbers in a namespace of their own. */
static void in_namespace_of_processes(void *argument)
{
	struct world *world = argument;

	enter(world, CLONE_NEWCGROUP | CLONE_NEWPID);
	run_child((void (*)(void *))expect_all_found, world);
}

static void in_every_form(int version)
{
	static void (*const forms[])(void *) = {in_plain, in_own_group_bound,
		in_anothers_before_and_after, in_anothers_alone, in_namespace,
		in_namespace_but_beside_its_root, in_namespace_of_processes};
	struct world world;

	if (!make_world(&world, version))
		contract_skip("no cgroup can be made");
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		int status = child_wait(child_start(forms[i], &world));
		if (status != 0)
			end_world(&world);
		expect_msg(status == 0, "form %zu ends with %#x", i, (unsigned)status);
	}
	end_world(&world);
}

CONTRACT_TEST(pressure_containers, groups_of_version_1_are_found_in_every_form)
{
	in_every_form(1);
}

CONTRACT_TEST(pressure_containers, groups_of_version_2_are_found_in_every_form)
{
	in_every_form(2);
}
