/* SPDX-License-Identifier: MIT */
/* The descriptors of a memfd area, its mask and its seal: descriptors.c. */
#ifndef ASHMEM_LIB_MEMFD_DESCRIPTORS_H
#define ASHMEM_LIB_MEMFD_DESCRIPTORS_H

struct memfd_area;
struct control_map;

/* The descriptor that allows what the mask allows, of a materialised area. */
int memfd_allowed_fd(struct memfd_area *area);

/* Say in a writable control block that somebody pins by locks, before it does. */
int memfd_announce_readers(struct control_map *control);

/* Operations of the backend. */
int memfd_set_prot(void *state, int prot);
int memfd_get_prot(void *state);
int memfd_get_fd(void *state);
int memfd_seal(void *state);
int memfd_export_read_only(void *state);
int memfd_export_early(void *state);

#endif /* ASHMEM_LIB_MEMFD_DESCRIPTORS_H */
