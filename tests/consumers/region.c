/* SPDX-License-Identifier: MIT */
/* A program for Android's libcutils and NDK, which knows nothing of libashmem. */
#include <android/sharedmem.h>
#include <cutils/ashmem.h>

int main(void)
{
	int fd = ashmem_create_region("region", 1 << 20);

	if (fd < 0 || ashmem_unpin_region(fd, 0, 0) != 0 || ashmem_pin_region(fd, 0, 0) < 0)
		return 10;
	return ASharedMemory_getSize(fd) == 1 << 20 ? 0 : 11;
}
