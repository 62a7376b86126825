/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * squeeze DIRECTORY: makes a control group and prints the name of its pressure
 * file.  Each line of input puts it under pressure or takes that away again; the
 * end of input is its end.  Exit code 77: it cannot be had here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../pressure.h"

int
main(int argc, char *argv[])
{
	struct pressure p;
	bool on = false;
	int c;

	if (argc != 2 || !pressure_make(&p, argv[1]))
		return 77;
	printf("%s\n", p.file);
	fflush(stdout);
	while ((c = getchar()) != EOF) {
		if (c != '\n')
			continue;
		if (on)
			pressure_off(&p);
		else if (!pressure_on(&p))
			break;
		on = !on;
	}
	pressure_off(&p);
	pressure_remove(&p);
	return 0;
}
