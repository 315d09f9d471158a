# SPDX-License-Identifier: BSD-3-Clause
"""Programs and tests that are scripts, or programs built with other options than the command line's."""

load(":flags.bzl", "ENVIRONMENT", "INSTRUMENTED_ATTRS", "instrumented")

_LAUNCHER = """\
#!/bin/sh
runfiles=$0.runfiles
[ -d "$runfiles" ] || runfiles=$RUNFILES_DIR
case $runfiles in
/*) ;;
*) runfiles=$PWD/$runfiles ;;
esac
here=$runfiles/{workspace}
exec {interpreter} "$here/{script}" "$@"
"""

# By the extension of a script; the launcher finds them on the PATH.
_INTERPRETERS = {
    "py": "python3",
    "sh": "sh",
}

def _impl(ctx):
    file = ctx.files.src[0]
    executable = ctx.actions.declare_file(ctx.label.name)
    if file.extension in _INTERPRETERS:
        launcher = _LAUNCHER.format(
            interpreter = _INTERPRETERS[file.extension],
            script = file.short_path,
            workspace = ctx.workspace_name,
        )
        ctx.actions.write(output = executable, content = launcher, is_executable = True)
    else:
        ctx.actions.symlink(output = executable, target_file = file, is_executable = True)
    runfiles = ctx.runfiles(files = ctx.files.src + ctx.files.data)
    for target in ctx.attr.src + ctx.attr.data:
        runfiles = runfiles.merge(target[DefaultInfo].default_runfiles)
    return [
        DefaultInfo(executable = executable, runfiles = runfiles),
        testing.TestEnvironment(dict(ENVIRONMENT, **ctx.attr.env)),
    ]

def _attrs(cfg, **more):
    return dict(
        more,
        data = attr.label_list(allow_files = True, cfg = cfg),
        env = attr.string_dict(doc = "For tests."),
        src = attr.label(
            allow_files = True,
            cfg = cfg,
            doc = "A script in Python or for the shell, or a program.",
            mandatory = True,
        ),
        _allowlist_function_transition = attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    )

script_binary = rule(
    implementation = _impl,
    doc = "A script that the machine's interpreter runs, or a program; they and their data instrumented.",
    attrs = _attrs(instrumented, **INSTRUMENTED_ATTRS),
    executable = True,
)

script_test = rule(
    implementation = _impl,
    doc = "A test that is such a script or program.",
    attrs = _attrs(instrumented, **INSTRUMENTED_ATTRS),
    test = True,
)

def _without_os_memory_impl(_settings, _attr):
    return {"//:os_memory": False}

_without_os_memory = transition(
    implementation = _without_os_memory_impl,
    inputs = [],
    outputs = ["//:os_memory"],
)

embedded_binary = rule(
    implementation = _impl,
    doc = "A program built with --//:os_memory=false, whatever the command line says.",
    attrs = _attrs(_without_os_memory),
    executable = True,
)
