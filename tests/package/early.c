/* SPDX-License-Identifier: BSD-2-Clause */
/* A library whose constructor calls what the library wraps. */
#include <aio.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void
reads_in_the_background(void)
{
	char byte;
	struct aiocb cb = { .aio_fildes = open("/dev/zero", O_RDONLY), .aio_buf = &byte, .aio_nbytes = 1 };
	const struct aiocb *const list[] = { &cb };

	cb.aio_sigevent.sigev_notify = SIGEV_NONE;
	aio_read(&cb);
	aio_suspend(list, 1, NULL);
	if (aio_error(&cb) == 0)
		aio_return(&cb);
	close(cb.aio_fildes);
}

__attribute__((constructor)) static void
early(void)
{
	char true[] = "true";
	char *const argv[] = { true, NULL };
	FILE *stream;
	pid_t pid;
	int fd;

	unsetenv("LD_PRELOAD");
	stream = fopen("/dev/null", "r");
	stream = freopen("/dev/null", "w", stream);
	fclose(stream);
	closedir(opendir("/"));
	fd = fcntl(dup2(dup(0), 30), F_DUPFD, 40);
	close(fd);
	signal(SIGUSR1, SIG_IGN);
	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0)
		waitpid(pid, NULL, 0);
	if (posix_spawnp(&pid, "true", NULL, NULL, argv, environ) == 0)
		waitpid(pid, NULL, 0);
	pclose(popen("true", "r"));
	reads_in_the_background();
	if (system("true") == 0)
		puts("early");
}
