/* SPDX-License-Identifier: MIT */
/*
 * Where names lie (lib/area/names_places.c), and what stands in their files: directories and files
 * that another user controls, a full or read-only disk, no /proc, files full of nonsense, names
 * that are locked. Each test runs in a child with file systems of its own on /tmp and /run/user,
 * which needs root and mounts; it is skipped without.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area/names.h"

#define IN_RUN "/run/user/0/ashmem"
#define IN_TMP "/tmp/ashmem-0"
enum { SOMEBODY = 1 };

static int mount_own(const char *path, const char *options)
{
	return mount("ashmem-test", path, "tmpfs", 0, options);
}

static int own_mounts(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	mkdir("/run/user", 0755); /* it is there, or it is needed now */
	return mount_own("/tmp", "mode=1777") == 0 && mount_own("/run/user", "mode=0755") == 0 ? 0
											       : -1;
}

static void try_mounts(void *unused)
{
	(void)unused;
	_exit(own_mounts() == 0 ? 0 : 77);
}

static void skip_without_mounts(void)
{
	skip_on_kernel("memfd backend alone");
	if (geteuid() != 0)
		contract_skip("needs root");
	if (child_wait(child_start(try_mounts, NULL)) != 0)
		contract_skip("cannot mount here");
}

/* The body runs in a child with its own mounts. */
#define PLACES_TEST(test)                      \
	static void test##_in_child(void);     \
	static void test##_start(void *unused) \
	{                                      \
		(void)unused;                  \
		expect_eq(own_mounts(), 0);    \
		test##_in_child();             \
	}                                      \
	CONTRACT_TEST(named_places, test)      \
	{                                      \
		skip_without_mounts();         \
		run_child(test##_start, NULL); \
	}                                      \
	static void test##_in_child(void)

static int try_open(const char *name)
{
	struct ashmem_area *area = NULL;
	int r = ashmem_open_named(name, &area);

	ashmem_close(area);
	return r;
}

/* Both calls, which leave nothing open. */
static void expect_both(int want_open, int want_publish)
{
	struct ashmem_area *area = area_of_pages(1);

	expect(ashmem_fd(area) >= 0);
	struct holdings before = holdings_now();
	expect_eq(try_open("name"), want_open);
	expect_eq(ashmem_publish(area, "name"), want_publish);
	expect_holdings(&before);
	ashmem_close(area);
}

static void expect_refused(int want)
{
	expect_both(want, want);
}

static void expect_found(const char *name)
{
	expect_eq(try_open(name), 0);
}

static int exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static int files_in(const char *path)
{
	DIR *directory = opendir(path);
	int count = 0;

	expect(directory != NULL);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 2;
}

/* The path of the one name in the directory. */
static const char *only_file(const char *directory)
{
	static char path[512];
	DIR *list = opendir(directory);
	const struct dirent *entry;

	expect(list != NULL);
	path[0] = '\0';
	while ((entry = readdir(list)))
		if (entry->d_name[0] != '.')
			snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
	closedir(list);
	expect(path[0] != '\0');
	return path;
}

static struct ashmem_area *publish(const char *name)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_publish(area, name), 0);
	return area;
}

/* -- which directory -- */

PLACES_TEST(without_a_session_names_lie_in_tmp)
{
	struct stat status;

	ashmem_close(publish("name"));
	expect_eq(lstat(IN_TMP, &status), 0);
	expect_eq(status.st_mode, S_IFDIR | 0700);
	expect(!exists(IN_RUN));
}

PLACES_TEST(with_a_session_names_lie_in_its_directory)
{
	expect_eq(mkdir("/run/user/0", 0700), 0);
	ashmem_close(publish("name"));
	expect(exists(IN_RUN));
	expect(!exists(IN_TMP));
}

PLACES_TEST(service_and_login_shell_meet)
{
	struct ashmem_area *area = publish("name"); /* the service came first */

	expect_eq(mkdir("/run/user/0", 0700), 0);
	expect_found("name");
	expect(!exists(IN_RUN));
	ashmem_close(area);
}

PLACES_TEST(one_that_sees_only_one_directory_is_met_by_one_that_sees_both)
{
	expect_eq(mkdir("/run/user/0", 0700), 0);
	expect_eq(mkdir(IN_RUN, 0700), 0);
	expect_eq(mkdir(IN_TMP, 0700), 0);
	struct ashmem_area *area = publish("name");
	expect_eq(umount2("/run/user", MNT_DETACH), 0);
	expect_found("name");
	ashmem_close(area);
}

PLACES_TEST(environment_does_not_count)
{
	expect_eq(mkdir("/tmp/else", 0700), 0);
	setenv("TMPDIR", "/tmp/else", 1);
	setenv("XDG_RUNTIME_DIR", "/tmp/else", 1);
	ashmem_close(publish("name"));
	expect_eq(files_in("/tmp/else"), 0);
	expect(exists(IN_TMP));
}

/* -- what another user controls -- */

PLACES_TEST(directory_of_another_user_is_refused)
{
	expect_eq(mkdir(IN_TMP, 0700), 0);
	expect_eq(chown(IN_TMP, SOMEBODY, SOMEBODY), 0);
	expect_refused(-EPERM);
	expect_eq(files_in(IN_TMP), 0);
}

PLACES_TEST(directory_that_others_can_enter_is_refused)
{
	expect_eq(mkdir(IN_TMP, 0700), 0);
	expect_eq(chmod(IN_TMP, 0710), 0);
	expect_refused(-EPERM);
	expect_eq(chmod(IN_TMP, 0700), 0);
	expect_both(-ENOENT, 0);
}

PLACES_TEST(symbolic_link_is_refused)
{
	expect_eq(mkdir("/tmp/ours", 0700), 0);
	expect_eq(symlink("/tmp/ours", IN_TMP), 0);
	expect_refused(-EPERM);
	expect_eq(files_in("/tmp/ours"), 0);
}

PLACES_TEST(file_instead_of_the_directory_is_refused)
{
	expect_eq(mknod(IN_TMP, S_IFREG | 0600, 0), 0);
	expect_refused(-EPERM);
}

PLACES_TEST(parent_in_which_others_replace_files_is_refused)
{
	expect_eq(chmod("/tmp", 0777), 0);
	expect_refused(-EPERM);
	expect(!exists(IN_TMP));
	expect_eq(chmod("/tmp", 01777), 0);
	expect_both(-ENOENT, 0);
	expect_eq(chown("/tmp", SOMEBODY, SOMEBODY), 0);
	expect_refused(-EPERM);
}

PLACES_TEST(unsafe_directory_is_passed_over_where_another_is_safe)
{
	expect_eq(mkdir(IN_TMP, 0700), 0);
	expect_eq(chown(IN_TMP, SOMEBODY, SOMEBODY), 0);
	expect_eq(mkdir("/run/user/0", 0700), 0);
	struct ashmem_area *area = publish("name");
	expect_found("name");
	expect_eq(files_in(IN_TMP), 0);
	ashmem_close(area);
}

static void expect_file_refused(void)
{
	char path[512];

	ashmem_close(publish("name"));
	struct ashmem_area *area = publish("name");
	strcpy(path, only_file(IN_TMP));
	expect_eq(chown(path, SOMEBODY, SOMEBODY), 0);
	expect_refused(-EPERM);
	expect_eq(chown(path, 0, 0), 0);
	expect_eq(chmod(path, 0620), 0);
	expect_refused(-EPERM);
	expect_eq(unlink(path), 0);
	expect_eq(symlink("/tmp/elsewhere", path), 0);
	expect_refused(-EPERM);
	expect(!exists("/tmp/elsewhere"));
	expect_eq(unlink(path), 0);
	expect_eq(mkfifo(path, 0600), 0);
	expect_refused(-EPERM);
	expect_eq(unlink(path), 0);
	expect_eq(mkdir(path, 0700), 0);
	expect_refused(-EPERM);
	ashmem_close(area);
}

PLACES_TEST(file_that_another_user_controls_or_that_is_none_is_refused)
{
	expect_file_refused();
}

static void be_somebody_else(void *unused)
{
	(void)unused;
	expect_eq(setresuid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
	expect_eq(try_open("name"), -ENOENT);
	struct ashmem_area *area = publish("name");
	expect_found("name");
	expect(exists("/tmp/ashmem-1"));
	ashmem_close(area);
}

PLACES_TEST(each_user_has_names_of_his_own)
{
	struct ashmem_area *area = publish("name");

	run_child(be_somebody_else, NULL);
	expect_found("name");
	ashmem_close(area);
}

static struct gate ready, over;

static void hold_in_secret(void *unused)
{
	(void)unused;
	expect_eq(setresuid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
	expect_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	struct ashmem_area *area = publish("name");
	expect_eq(prctl(PR_SET_DUMPABLE, 0), 0);
	gate_open(&ready);
	gate_wait(&over);
	ashmem_close(area);
}

static void look_for_the_secret(void *unused)
{
	(void)unused;
	expect_eq(setresuid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
	expect_refused(-EACCES);
}

static void hide_and_seek(void *unused)
{
	(void)unused;
	expect_eq(own_mounts(), 0);
	gate_make(&ready);
	gate_make(&over);
	pid_t holder = child_start(hold_in_secret, NULL);
	gate_wait(&ready);
	run_child(look_for_the_secret, NULL);
	gate_open(&over);
	child_join(holder);
}

/* When a process was started, as /proc says here. */
static unsigned long long started(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[64], text[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	const char *at = strrchr(text, ')'); /* the end of the second field */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at, NULL, 10);
	return ticks;
}

/* An emulator can tell a process another time of itself than others are told. */
static int start_is_told_to_all(void)
{
	unsigned long long mine = started(getpid());
	pid_t parent = getpid(), child = fork();
	int status = 1;

	if (child == 0)
		_exit(started(parent) != mine);
	return waitpid(child, &status, 0) == child && status == 0;
}

CONTRACT_TEST(named_places, holder_that_others_may_not_look_into_is_told_apart_from_a_dead_one)
{
	skip_without_mounts();
	if (!start_is_told_to_all())
		contract_skip("/proc tells each process of another start (qemu-user?)");
	run_child(hide_and_seek, NULL);
}

/* -- a system that cannot -- */

static void expect_nothing_left(const char *directory)
{
	if (exists(directory))
		expect_eq(files_in(directory), 0);
}

PLACES_TEST(full_disk_is_an_error_and_leaves_nothing)
{
	expect_eq(mount_own("/tmp", "mode=1777,nr_blocks=1"), 0);
	expect_eq(mkdir(IN_TMP, 0700), 0);
	int fd = open("/tmp/full", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	static char page[65536];
	while (write(fd, page, sizeof(page)) > 0)
		;
	close(fd);
	expect_both(-ENOENT, -ENOSPC);
	expect_nothing_left(IN_TMP);
	expect_eq(unlink("/tmp/full"), 0);
	expect_both(-ENOENT, 0);
}

PLACES_TEST(disk_without_room_for_a_file_is_an_error)
{
	expect_eq(mount_own("/tmp", "mode=1777,nr_inodes=2"), 0);
	expect_refused(-ENOSPC);
}

PLACES_TEST(read_only_disk_is_an_error)
{
	expect_eq(mount("none", "/tmp", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	expect_refused(-EROFS);
}

PLACES_TEST(without_candidates_there_is_no_entry)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(mkdir("/run/user/proc", 0755), 0);
	expect_eq(mount("none", "/run/user/proc", "proc", 0, NULL), 0);
	expect_eq(chroot("/run/user"), 0);
	expect_eq(ashmem_publish(area, "name"), -ENOENT);
	expect_eq(try_open("name"), -ENOENT);
	ashmem_close(area);
}

PLACES_TEST(without_proc_it_is_not_supported)
{
	struct ashmem_area *area = area_of_pages(1);

	expect(ashmem_fd(area) >= 0);
	expect_eq(mount_own("/proc", "mode=0755"), 0);
	expect_eq(ashmem_publish(area, "name"), -ENOTSUP);
	expect_eq(try_open("name"), -ENOTSUP);
	expect_eq(ashmem_unpublish("name"), -ENOTSUP);
	expect(!exists(IN_TMP));
	ashmem_close(area);
}

static void run_out_of_descriptors(void *unused)
{
	(void)unused;
	struct ashmem_area *area = area_of_pages(1);

	expect(ashmem_fd(area) >= 0);
	limit_descriptors_to_those_open();
	expect_eq(ashmem_publish(area, "name"), -EMFILE);
	expect_eq(try_open("name"), -EMFILE);
	ashmem_close(area);
}

PLACES_TEST(process_without_descriptors_gets_an_error)
{
	struct ashmem_area *area = publish("name");

	run_child(run_out_of_descriptors, NULL);
	expect_found("name");
	ashmem_close(area);
}

/* -- what is left behind -- */

static void publish_many(void *unused)
{
	char name[32];
	struct ashmem_area *area = area_of_pages(1);

	(void)unused;
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "stale%d", i);
		expect_eq(ashmem_publish(area, name), 0);
	}
}

PLACES_TEST(names_that_nobody_holds_are_swept_by_the_next_open)
{
	struct ashmem_area *area = publish("kept");

	run_child(publish_many, NULL);
	expect_eq(files_in(IN_TMP), 21);
	expect_eq(try_open("name"), -ENOENT);
	expect_eq(files_in(IN_TMP), 1);
	expect_found("kept");
	ashmem_close(area);
}

/* Entries that name descriptors of ours that are no area, and processes that are strangers. */
static void write_nonsense(int file, struct random_source *random)
{
	static struct names_holder holder[1100];
	static const uint64_t ours[2];
	int fifo[2];

	expect_eq(pipe2(fifo, O_CLOEXEC), 0);
	for (int i = 0; i < 1100; i++) {
		holder[i] = (struct names_holder){.serial = {ours[0], random_next(random)}};
		switch (random_below(random, 4)) {
		case 0:
			holder[i].pid = (uint32_t)random_next(random);
			holder[i].fd = (int32_t)random_next(random);
			break;
		case 1:
			holder[i].pid = (uint32_t)getpid();
			holder[i].fd = (int32_t)random_below(random, 20);
			break;
		case 2:
			holder[i].pid = (uint32_t)getpid();
			holder[i].fd = fifo[0];
			break;
		default:
			holder[i].pid = 1;
			holder[i].fd = (int32_t)random_below(random, 3);
		}
	}
	expect_eq(pwrite(file, holder, sizeof(holder), 0), sizeof(holder));
}

PLACES_TEST(file_full_of_nonsense_is_one_without_holders)
{
	struct random_source random = random_from(1);
	struct ashmem_area *area = publish("name");
	int file = open(only_file(IN_TMP), O_RDWR | O_CLOEXEC);

	write_nonsense(file, &random);
	expect_eq(try_open("name"), -ENOENT);
	close(file);
	expect_eq(ashmem_publish(area, "name"), 0);
	expect_found("name");
	file = open(only_file(IN_TMP), O_RDWR | O_CLOEXEC);
	expect_eq(ftruncate(file, 17), 0);
	expect_eq(try_open("name"), -ENOENT);
	expect_eq(ftruncate(file, 1 << 30), 0);
	expect_eq(try_open("name"), -ENOENT);
	close(file);
	ashmem_close(area);
}

/* -- names that are locked -- */

static int wait_in_keep(void *userdata, int fd)
{
	(void)userdata, (void)fd;
	gate_open(&ready);
	gate_wait(&over); /* it is killed there */
	return -ENOENT;
}

static void *open_and_wait(void *unused)
{
	return (void *)(intptr_t)names_open("name", wait_in_keep, unused);
}

static void sleep_long(void *unused)
{
	(void)unused;
	prctl(PR_SET_PDEATHSIG, 0);
	gate_open(&ready);
	gate_wait(&over);
}

static void fork_while_locked(void *unused)
{
	pthread_t thread;

	expect_eq(pthread_create(&thread, NULL, open_and_wait, unused), 0);
	gate_wait(&ready);
	child_start(sleep_long, NULL);
	pause();
}

static void expect_unlocked(pid_t holder)
{
	expect_eq(kill(holder, SIGKILL), 0);
	child_wait(holder);
	expect_eq(try_open("name"), -ENOENT);
}

PLACES_TEST(dead_process_leaves_no_name_locked_though_its_child_lives)
{
	int hides = prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0;

	expect_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	if (!hides)
		contract_skip("a process cannot hide here (qemu-user?)");
	gate_make(&ready);
	gate_make(&over);
	pid_t holder = child_start(fork_while_locked, NULL);
	gate_wait(&ready); /* of the grandchild; the thread's was waited for there */
	expect_unlocked(holder);
	gate_open(&over);
}

static void lock_and_wait(void *unused)
{
	open_and_wait(unused);
}

PLACES_TEST(name_that_is_locked_for_long_times_out)
{
	int hides = prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0;

	expect_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	if (!hides)
		contract_skip("a process cannot hide here (qemu-user?)");
	gate_make(&ready);
	gate_make(&over);
	pid_t holder = child_start(lock_and_wait, NULL);
	gate_wait(&ready);
	struct holdings before = holdings_now();
	expect_eq(try_open("name"), -ETIMEDOUT);
	expect_eq(try_open("another"), -ENOENT);
	expect_holdings(&before);
	expect_unlocked(holder);
}

static int fail_to_make(void *userdata, int fd)
{
	*(int *)userdata = fd;
	return -ENODEV;
}

PLACES_TEST(failure_to_make_leaves_no_name)
{
	int got = 0;

	expect_eq(names_open("name", fail_to_make, &got), -ENODEV);
	expect_eq(got, -1);
	expect_nothing_left(IN_TMP);
}
