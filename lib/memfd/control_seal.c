/* SPDX-License-Identifier: MIT */
/*
 * What the control block says of the file's seal against writing. The seal itself is the truth: a
 * peer can set it without the library, and a purge learns of it when the kernel refuses to free
 * pages. `sealed` never goes back to 0. The control lock is held.
 */
#include <sys/mman.h>

#include "base/shared.h"
#include "base/sys.h"
#include "memfd/control.h"

void control_say_sealed(struct control_map *map)
{
	uint32_t prot = SHARED_LOAD(map->shared->prot);
	SHARED_STORE(map->shared->prot, prot & ~(uint32_t)PROT_WRITE);
	SHARED_STORE(map->shared->sealed, 1);
}

int control_notice_seals(struct control_map *map)
{
	if (control_check_fd(map) < 0 || !sys_is_write_sealed(map->fd))
		return 0;
	control_say_sealed(map);
	return 1;
}
