# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the library must survive: deaths, failing calls, hostile peers, other kernels and processors,
# real pressure. Sourced by .ci/run.

step check-crash 6 make check-crash
step check-faults 4 make check-faults
step check-model 4 make check-model
step check-hostile 9 make check-hostile SHORT=1
step check-vm 16 bash -c 'make deps-vm >&2 && make check-vm SHORT=1'
step check-pressure 8 bash -c 'make deps-vm >&2 && make check-pressure SHORT=1'
step check-cross 14 bash -c 'make deps-cross >&2 && make check-cross SHORT=1'
