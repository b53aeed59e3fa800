/* SPDX-License-Identifier: MIT */
/* ashmem-inspect: the former name of `ashmemctl show`. */
#include <locale.h>
#include <unistd.h>

#include "ashmemctl/ctl.h"

struct ctl_options ctl = {.program = "ashmem-inspect"};

static void usage(FILE *out)
{
	fputs("usage: ashmem-inspect [-r] PID|FILE...\n"
	      "The former name of: ashmemctl show.\n"
	      "  -r  list unpinned ranges as well\n"
	      "  -h  this help\n"
	      "  -V  the version\n",
		out);
}

int main(int argc, char **argv)
{
	int option;

	setlocale(LC_CTYPE, "");
	while ((option = getopt(argc, argv, "rhV")) != -1) {
		switch (option) {
		case 'r':
			ctl.ranges = 1;
			break;
		case 'h':
			usage(stdout);
			return CTL_OK;
		case 'V':
			printf("ashmem-inspect, libashmem %s\n", ashmem_version_string());
			return CTL_OK;
		default:
			usage(stderr);
			return CTL_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return CTL_USAGE;
	}
	ctl.args = argv + optind;
	return ctl_show();
}
