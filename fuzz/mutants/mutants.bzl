# SPDX-License-Identifier: BSD-3-Clause
"""Mutants: the library with one fault each, which the committed corpora must find.

A mutant is a file DRIVER/FILE/NAME.patch, or NAME.asan.patch where only AddressSanitizer can see
the fault: a patch of src/FILE, to be found by the fuzz test DRIVER. Of each mutant only what its
patch changes is compiled; all else is the same for all, and is linked from the same archives.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library")
load("//tools:sanitizers.bzl", "SANITIZERS", "sanitized")
load("//tools:scripts.bzl", "alias_executable", "here", "write_launcher")

# A corpus must find nothing in this one, of which nothing is patched.
_CONTROL = "control"

_MutantInfo = provider("A mutant as it can be run.", fields = ["binary", "driver", "name", "patch"])

# The directory with what is compiled gets the file, or where that is a header, all files.
_PATCH = """
set -eu
patch=$1 file=$2 directory=$3
shift 3
if [ "$(sed -n 's|^+++ b/\\([^[:space:]]*\\).*|\\1|p' "$patch")" != "src/$file" ]; then
    echo "$patch must change src/$file, and nothing else" >&2
    exit 1
fi
cp "$@" "$directory"
chmod u+w "$directory"/*
patch --quiet --forward --no-backup-if-mismatch --reject-file=- \\
    "$directory/$file" "$patch" >&2 || {
    echo "$patch does not apply to src/$file any longer" >&2
    exit 1
}
"""

def _patched_impl(ctx):
    copied = [
        source
        for source in ctx.files.sources
        if source.dirname.endswith("src") and (ctx.attr.file.endswith(".h") or source.basename == ctx.attr.file)
    ]
    if ctx.attr.file not in [source.basename for source in copied]:
        fail("%s: there is no src/%s" % (ctx.file.patch.path, ctx.attr.file))
    outputs = [ctx.actions.declare_file(ctx.label.name + "/" + source.basename) for source in copied]
    ctx.actions.run_shell(
        inputs = copied + [ctx.file.patch],
        outputs = outputs,
        command = _PATCH,
        arguments = [ctx.file.patch.path, ctx.attr.file, outputs[0].dirname] + [source.path for source in copied],
        mnemonic = "Patch",
    )
    return DefaultInfo(files = depset(outputs))

_patched = rule(
    implementation = _patched_impl,
    doc = "The sources that a patch changes.",
    attrs = {
        "file": attr.string(mandatory = True),
        "patch": attr.label(allow_single_file = True, mandatory = True),
        "sources": attr.label(default = "//:sources"),
    },
)

def _mutant_transition_impl(settings, attr):
    return sanitized(settings, attr.sanitizer, attr.is_fuzzing)

_mutant_transition = transition(
    implementation = _mutant_transition_impl,
    inputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
    outputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
)

def _mutant_impl(ctx):
    executable = alias_executable(ctx, ctx.attr.binary[0][DefaultInfo])
    return [
        DefaultInfo(executable = executable),
        _MutantInfo(
            binary = executable,
            driver = ctx.attr.driver,
            name = ctx.attr.mutant,
            patch = ctx.file.patch,
        ),
    ]

_mutant = rule(
    implementation = _mutant_impl,
    doc = "A mutant's binary: a replay, or one that fuzzes.",
    attrs = {
        "binary": attr.label(cfg = _mutant_transition, executable = True, mandatory = True),
        "driver": attr.string(mandatory = True),
        "is_fuzzing": attr.bool(mandatory = True),
        "mutant": attr.string(mandatory = True),
        "patch": attr.label(allow_single_file = True),
        "sanitizer": attr.string(values = [""] + SANITIZERS.keys()),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)

# What the scripts are told of the mutants; a control has no patch.
def _manifest(ctx):
    mutants = [mutant[_MutantInfo] for mutant in ctx.attr.mutants]
    manifest = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(
        output = manifest,
        content = struct(mutants = [
            struct(
                name = mutant.name,
                driver = mutant.driver,
                binary = mutant.binary.short_path,
                patch = mutant.patch.short_path if mutant.patch else "",
            )
            for mutant in mutants
        ]).to_json(),
    )
    files = [manifest] + [mutant.binary for mutant in mutants]
    return manifest, files + [mutant.patch for mutant in mutants if mutant.patch]

def _mutants_script_impl(ctx):
    manifest, files = _manifest(ctx)
    words = ["python3", here(ctx.file.src.short_path), '"--root=$here"', "--manifest=" + here(manifest.short_path)]
    return DefaultInfo(
        executable = write_launcher(ctx, words),
        runfiles = ctx.runfiles(files = files + [ctx.file.src] + ctx.files.data),
    )

_ATTRIBUTES = {
    "data": attr.label_list(allow_files = True),
    "mutants": attr.label_list(mandatory = True, providers = [_MutantInfo]),
    "src": attr.label(allow_single_file = [".py"], mandatory = True),
}

_mutants_test = rule(
    implementation = _mutants_script_impl,
    doc = "A test that is a script over mutants.",
    attrs = _ATTRIBUTES,
    test = True,
)

_mutants_run = rule(
    implementation = _mutants_script_impl,
    doc = "An executable that is a script over mutants.",
    attrs = _ATTRIBUTES,
    executable = True,
)

def _library(name, **kwargs):
    cc_library(name = name, testonly = True, tags = ["manual"], **kwargs)

def _define_mutant(name, mutant, driver, sanitizer, patch = None, file = None):
    """Defines a mutant's `name`_replay and `name`_fuzz."""
    sources = []
    if patch:
        sources = [name]
        _patched(name = name, file = file, patch = patch, tags = ["manual"], testonly = True)
    for role in ["replay", "fuzz"]:
        engine = [":replay"] if role == "replay" else []
        cc_binary(
            name = name + "_%s_raw" % role,
            testonly = True,
            srcs = sources,
            copts = [
                # A fault may well be one that compilers warn of.
                "-w",
                "-iquotesrc",
            ],
            tags = ["manual"],
            # A driver refers to the harness, and that to the library: in this order.
            deps = engine + [
                ":%s_of_mutants" % driver,
                ":sources_of_mutants",
                ":harness",
            ],
        )
        _mutant(
            name = name + "_" + role,
            testonly = True,
            binary = name + "_%s_raw" % role,
            driver = driver,
            is_fuzzing = role == "fuzz",
            mutant = mutant,
            patch = patch,
            sanitizer = sanitizer,
            tags = ["manual"],
        )

def _control_of(driver, sanitizer):
    return "_".join([_CONTROL, driver] + ([sanitizer] if sanitizer else []))

def mutants(name, patches, drivers):
    """Defines the test `name`, which demands that the corpora find each mutant, and `hunt`.

    Args:
      name: the test's name; its tag is "mutants".
      patches: files as described above, by their paths from the package.
      drivers: the fuzz tests, in whose corpora the mutants are to be found.
    """
    _library("sources_of_mutants", textual_hdrs = ["//:sources"], deps = ["//:cork_mempool"])
    for driver in drivers:
        _library(driver + "_of_mutants", srcs = [driver + ".c"], alwayslink = True, deps = [":harness"])
        for sanitizer in ["", "asan"]:
            _define_mutant(_control_of(driver, sanitizer), _CONTROL, driver, sanitizer)

    names = []
    for patch in patches:
        path = patch.split("/")
        parts = path[-1].split(".")
        if len(path) != 4 or path[1] not in drivers or parts[1:] not in [["patch"], ["asan", "patch"]]:
            fail("%s is not mutants/DRIVER/FILE/NAME.patch or NAME.asan.patch" % patch)
        names.append("mutant_" + parts[0])
        _define_mutant(names[-1], parts[0], path[1], parts[1] if len(parts) == 3 else "", patch, path[2])

    _mutants_test(
        name = name,
        size = "medium",
        src = "mutants/mutants_test.py",
        data = [driver + "_corpus" for driver in drivers],
        mutants = [
            _control_of(driver, sanitizer) + "_replay"
            for driver in drivers
            for sanitizer in ["", "asan"]
        ] + [mutant + "_replay" for mutant in names],
        tags = ["mutants"],
    )
    _mutants_run(
        name = "hunt",
        testonly = True,
        src = "mutants/hunt.py",
        data = [
            "mutants/hunt_plot.py",
            "//tools:fuzz_run.py",
            "//tools:plotting.py",
        ],
        mutants = [mutant + "_fuzz" for mutant in names],
        tags = ["manual"],
    )
