/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Plants failures in long programs and demands that nothing else is left of them.
 */

#include "minimize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "defect.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#endif

/* What each sanitizer makes of a signal. */
#if defined(HAS_ADDRESS_SANITIZER)
#define SIGNAL "AddressSanitizer: SEGV"
#else
#define SIGNAL ""
#endif

#define NOISE                                                                                      \
    "new_many 2 9\nfree_many 2 3 random 7\ncheck 1\nnew 3\nreplace_many 2 17 stride 3\n"           \
    "write 3 77\nfree_null 1\nowns 2 5\nforeach 2 0\nnew_many 1 33\nreinit 1 lifo\nfree 1 9\n"

#define TEXT_SIZE 4096

static struct draft draft;

static void fail(const char *name, const char *expected, const char *seen)
{
    fprintf(stderr, "%s\nexpected:\n%s\nseen:\n%s\n", name, expected, seen);
    exit(1);
}

static void print(const struct draft *printed, char text[TEXT_SIZE])
{
    size_t end = 0;
    if (printed->failing_mask != 0) {
        end += (size_t)snprintf(text, TEXT_SIZE, "mask %llx\n",
                                (unsigned long long)printed->failing_mask);
    }
    end += (size_t)snprintf(text + end, TEXT_SIZE - end, "%s", printed->is_deep ? "deep\n" : "");
    for (size_t i = 0; i < printed->count && end < TEXT_SIZE - OPERATION_TEXT_SIZE; i++) {
        operation_print(&printed->operations[i], text + end);
        strcat(text, "\n");
        end = strlen(text);
    }
}

static const struct planted {
    const char *name;
    const struct driver *driver;
    enum defect defect;
    unsigned seconds;
    enum minimize_result result;
    const char *kind; /* how the kind of failure begins */
    const char *program;
    const char *minimum;
} planted[] = {
    {"a wrong result, beside another failure", &driver_oom, DEFECT_MISALIGNED, 10, MINIMIZE_DONE,
     "expected: objects are aligned",
     "deep\n" NOISE
     "failing 0xff00ff0000000000\ninit_with 0 1000 4096 0x01000000\nnew_many 0 6\n" NOISE
     "init_size 0 999\nnew_many 0 16\nfree 0 13\nfree 0 7\nfree 0 1\ncheck 2\n"
     "trim 0\nfree_null 0\nnew 0\n" NOISE,
     "init_size 0 100\nnew_many 0 3\nfree 0 0\nfree 0 0\ntrim 0\nnew 0\n"},
    {"a signal, of one pool among four", &driver_profiles, DEFECT_CRASH, 10, MINIMIZE_DONE, SIGNAL,
     "deep\n" NOISE NOISE "init_size_ex 3 64 256\nnew 3\nnew_many 3 17\nfree 3 2\nclear 3\n" NOISE,
     "new_many 0 3\nclear 0\n"},
    {"a signal after much work, in a program that may do it for its hash", &driver_model,
     DEFECT_LATE, 10, MINIMIZE_DONE, SIGNAL,
     "write 3 2\nnew_many 2 9\ncheck 1\nreinit 1 lifo\nfree 1 9\nnew_many 0 256\n",
     "deep\nnew_many 0 256\n"},
    {"a hang", &driver_model, DEFECT_HANG, 1, MINIMIZE_DONE, "timeout",
     "init_size 0 64\nnew 0\ncheck 0\nnew 0\nnew 0\n", "new 0\nnew 0\nnew 0\n"},
    {"silence where there is misuse", &driver_misuse, DEFECT_SILENCE, 10, MINIMIZE_DONE,
     "expected: misuse is refused for what it is;  seen: kind 0",
     "deep\n" NOISE "init_with 1 64 4096 0x05800051\nnew_many 1 5\nleak 1\nfree_twice 1 3\n" NOISE,
     "new 0\nfree_twice 0 0\n"},
    {"no failure", &driver_misuse, DEFECT_CRASH, 10, MINIMIZE_PASSES, "",
     "deep\n" NOISE NOISE "new_many 0 256\ncheck 0\n", ""},
#if defined(HAS_ADDRESS_SANITIZER)
    {"what only a sanitizer finds", &driver_misuse, DEFECT_OVERFLOW, 10, MINIMIZE_DONE,
     "AddressSanitizer: heap-buffer-overflow", "deep\n" NOISE "init_size 0 24\nnew_many 0 48\n",
     "new_many 0 2\n"},
#endif
};

static void check(const struct planted *expected)
{
    static struct minimizer minimizer;
    static char text[TEXT_SIZE], again[TEXT_SIZE];
    struct program_error error;
    minimizer = (struct minimizer){.subject = &subject_defective, .seconds = expected->seconds};
    defect = expected->defect;
    for (int i = 0; i < 2; i++) {
        if (!draft_parse(&draft, expected->driver, expected->program, &error)) {
            fail(expected->name, error.expected, expected->program);
        }
        print(&draft, text);
        if (minimize(&minimizer, &draft) != expected->result) {
            fail(expected->name, "another result", minimizer.trial.report);
        }
        if (expected->result != MINIMIZE_DONE) {
            print(&draft, again);
            if (strcmp(text, again) != 0) {
                fail(expected->name, text, again);
            }
            return;
        }
        if (strncmp(minimizer.kind, expected->kind, strlen(expected->kind)) != 0) {
            fail(expected->name, expected->kind, minimizer.kind);
        }
        print(&draft, text);
        if (strcmp(text, expected->minimum) != 0) {
            fail(expected->name, expected->minimum, text);
        }
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof(planted) / sizeof(planted[0]); i++) {
        check(&planted[i]);
        printf("ok: %s\n", planted[i].name);
    }
    return 0;
}
