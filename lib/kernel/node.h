/* SPDX-License-Identifier: MIT */
/*
 * The driver's node in /dev: node.c finds it and opens it. The mutex of node.c guards the search;
 * no other lock is taken while it is held.
 */
#ifndef ASHMEM_LIB_KERNEL_NODE_H
#define ASHMEM_LIB_KERNEL_NODE_H

/* The operation of the backend: 0, -ENODEV, or an error that says nothing about the node. */
int kernel_node_probe(void *userdata);

/* A new open file of the driver, close-on-exec, or a negative errno. */
int kernel_node_open(void);

void kernel_node_before_fork(void);
void kernel_node_after_fork(void);

#endif /* ASHMEM_LIB_KERNEL_NODE_H */
