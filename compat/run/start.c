/* SPDX-License-Identifier: MIT */
/*
 * Starting (start.h). The library within is told to use memfds, for the driver that its own choice
 * would find is ourselves.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <ashmem/ashmem.h>

#include "files.h"
#include "maps.h"
#include "reach.h"
#include "start.h"
#include "watch.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int active, started;
/* A program's own malloc may open files when we call it: the hooks let them pass. */
static RUN_THREAD_LOCAL int starting;

/* A node alone is none: it may be that of a driver that is not loaded, or a file of that name. */
static int is_driver_there(void)
{
	int fd = libc_open("/dev/ashmem", O_RDWR | O_CLOEXEC);
	int answers = fd >= 0 && NEXT(ioctl)(fd, _IO(0x77, 6)) >= 0; /* GET_PROT_MASK */

	if (fd >= 0)
		libc_close(fd);
	return answers;
}

static void begin(void)
{
	const char *backend = secure_getenv("ASHMEM_BACKEND");

	if (!(backend && strcmp(backend, "memfd") == 0) && is_driver_there())
		return;
	if (ashmem_backend_select("memfd") < 0)
		return;
	maps_start();
	active = 1;
	files_start();
	watch_start();
}

int run_is_active(void)
{
	if (starting)
		return 0;
	if (!__atomic_load_n(&started, __ATOMIC_ACQUIRE)) {
		starting = 1;
		pthread_once(&once, begin);
		starting = 0;
		__atomic_store_n(&started, 1, __ATOMIC_RELEASE);
	}
	return active;
}

__attribute__((constructor)) static void start(void)
{
	run_is_active();
}

const char *run_library(void)
{
	Dl_info info;

	return dladdr((void *)(uintptr_t)&start, &info) ? info.dli_fname : NULL;
}

/*
 * For tests that compare with the driver in one program: begin standing in where the driver is. Not
 * to be called twice.
 */
RUN_HOOK void ashmem_run_begin(void);
void ashmem_run_begin(void)
{
	if (run_is_active())
		return;
	setenv("ASHMEM_BACKEND", "memfd", 1);
	begin();
	unsetenv("ASHMEM_BACKEND");
}
