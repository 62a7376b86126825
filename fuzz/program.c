/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs for the model: the library must do as it says.  "model FILE" prints what is found as C. */
#include "run.h"

#include <stdlib.h>
#include <unistd.h>

int	LLVMFuzzerInitialize(int *argc, char ***argv);
int	LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static char dir[] = "/tmp/kq-fuzz.XXXXXX";

static void
remove_dir(void)
{
	rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (mkdtemp(dir) == NULL || atexit(remove_dir) != 0)
		abort();
	run_init(dir);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct outcome o = { 0 };

	if (!run((const struct op *)(const void *)bytes, size / sizeof(struct op), &o, NULL)) {
		fprintf(stderr, "operation %d: %s\n", o.o_at, o.o_why);
		abort();
	}
	return 0;
}
