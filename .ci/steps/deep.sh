# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the library must survive: deaths, failing calls, hostile peers, other kernels and processors.
# Sourced by .ci/run.

step check-vm 24 make check-vm SHORT=1
step check-crash 12 make check-crash
step check-hostile 16 make check-hostile SHORT=1
step check-cross 24 make check-cross SHORT=1
step check-faults 8 make check-faults
step check-model 8 make check-model
