# SPDX-License-Identifier: BSD-3-Clause
"""Executables that are another target's, or a command line over files of the build, wherever it starts."""

_LAUNCHER = """\
#!/bin/sh
runfiles=$0.runfiles
[ -d "$runfiles" ] || runfiles=$RUNFILES_DIR
case $runfiles in
/*) ;;
*) runfiles=$PWD/$runfiles ;;
esac
here=$runfiles/{workspace}
exec {command} "$@"
"""

def here(path):
    """Returns the shell's word for a file or directory, given by its short_path."""
    return '"$here/%s"' % path

def write_launcher(ctx, words):
    """Writes the rule's executable and returns it.

    Args:
      ctx: the rule's context.
      words: the command line, each word as the shell is to read it.
    """
    launcher = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        output = launcher,
        content = _LAUNCHER.format(command = " ".join(words), workspace = ctx.workspace_name),
        is_executable = True,
    )
    return launcher

def alias_executable(ctx, target):
    """Links the rule's executable to another target's and returns it.

    Args:
      ctx: the rule's context.
      target: the DefaultInfo of the other target, in whatever configuration it is built.
    """
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(
        output = executable,
        target_file = target.files_to_run.executable,
        is_executable = True,
    )
    return executable

# By the extensions of scripts; both are found on the PATH.
_INTERPRETERS = {
    "py": "python3",
    "sh": "sh",
}

def _script_impl(ctx):
    runfiles = ctx.runfiles(files = ctx.files.data + [ctx.file.src])
    for data in ctx.attr.data:
        runfiles = runfiles.merge(data[DefaultInfo].default_runfiles)
    interpreter = _INTERPRETERS[ctx.file.src.extension]
    return DefaultInfo(
        executable = write_launcher(ctx, [interpreter, here(ctx.file.src.short_path)]),
        runfiles = runfiles,
    )

_ATTRS = {
    "data": attr.label_list(allow_files = True),
    "src": attr.label(
        allow_single_file = ["." + extension for extension in _INTERPRETERS],
        mandatory = True,
    ),
}

script_binary = rule(
    implementation = _script_impl,
    doc = "A program that is one script, in Python or for the shell, run by the machine's interpreter.",
    attrs = _ATTRS,
    executable = True,
)

script_test = rule(
    implementation = _script_impl,
    doc = "A test that is such a script.",
    attrs = _ATTRS,
    test = True,
)
