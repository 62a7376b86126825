/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of rtnetlink. */
#include "feed.h"

#include "source/rtnetlink.c"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct rtnetlink r = { .r_knotes = 0 };

	feed = (struct feed){ bytes, size };
	rtnetlink_read(NULL, &r);
	return 0;
}
