/* SPDX-License-Identifier: BSD-2-Clause */
/* What the library is asked for while its calls fail: every filter, in each way in which a registration is made. */
#ifndef KQ_TESTS_SCENARIO_H
#define KQ_TESTS_SCENARIO_H

/* What this system has; once, before the first. */
void	scenario_look_around(void);

/* Goes through it, in a directory of its own.  Ends the process if it finds something wrong, and says what. */
void	scenario(const char *place);

/* How many calls have failed, as they may. */
int	scenario_failures(void);

#endif
