/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* cfmakeraw */

/*
 * The first process of a machine of tools/vm.py: runs the command that stands in /command, word by
 * word behind null characters, and says between two lines what became of it; then the machine is
 * turned off.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAX_WORDS 64

static char command[65536];
static char *words[MAX_WORDS + 1];

static _Noreturn void power_off(void)
{
    fflush(stdout);
    tcdrain(STDOUT_FILENO);
    reboot(RB_POWER_OFF);
    abort(); /* the kernel panics */
}

/* What cannot be done is told to whoever reads the console, who finds no status. */
static void demand(int is_done, const char *what)
{
    if (!is_done) {
        printf("vm: %s: %s\n", what, strerror(errno));
        power_off();
    }
}

static void mount_at(const char *directory, const char *type)
{
    mkdir(directory, 0755);
    demand(mount(type, directory, type, 0, NULL) == 0, directory);
}

/* The console shall pass on what is written as it is written. */
static void make_raw(void)
{
    struct termios terminal;

    if (tcgetattr(STDOUT_FILENO, &terminal) == 0) {
        cfmakeraw(&terminal);
        tcsetattr(STDOUT_FILENO, TCSANOW, &terminal);
    }
}

static void read_command(void)
{
    FILE *file = fopen("/command", "r");
    size_t count = 0;
    size_t next = 0;

    demand(file != NULL, "/command");
    const size_t size = fread(command, 1, sizeof(command) - 1, file);

    fclose(file);
    for (; next < size && count < MAX_WORDS; next += strlen(command + next) + 1) {
        words[count++] = command + next;
    }
    errno = E2BIG;
    demand(next == size && size < sizeof(command) - 1, "/command");
}

static int run(void)
{
    int status;
    const pid_t child = fork();

    demand(child >= 0, "fork");
    if (child == 0) {
        const int nothing = open("/dev/null", O_RDONLY);

        demand(nothing >= 0, "/dev/null");
        dup2(nothing, STDIN_FILENO);
        execv(words[0], words);
        fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
        _exit(127);
    }
    /* Whoever lost its parent is waited for here too. */
    for (pid_t ended; (ended = wait(&status)) != child;) {
        demand(ended > 0, "wait");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void)
{
    mount_at("/proc", "proc");
    mount_at("/dev", "devtmpfs");
    mkdir("/tmp", 0755);
    chmod("/tmp", 01777);
    make_raw();
    read_command();
    demand(chdir("/root") == 0, "/root");
    setenv("PATH", "/root", 1);
    setenv("TMPDIR", "/tmp", 1);
    printf("\nvm: begin\n");
    fflush(stdout);

    const int status = run();

    printf("\nvm: status %d\n", status);
    power_off();
}
