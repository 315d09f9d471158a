# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark: its subjects, and what runs and compares them."""

load("//tools:scripts.bzl", "here", "write_launcher")

def _bench_impl(ctx):
    files = ctx.files.subjects + ctx.files.scripts
    runfiles = ctx.runfiles(files = files)
    for subject in ctx.attr.subjects:
        runfiles = runfiles.merge(subject[DefaultInfo].default_runfiles)
    return DefaultInfo(
        executable = write_launcher(ctx, ["python3", here(ctx.file.main.short_path)]),
        runfiles = runfiles,
    )

bench = rule(
    implementation = _bench_impl,
    doc = "Runs a script that finds its subjects beside itself.",
    attrs = {
        "main": attr.label(allow_single_file = [".py"], mandatory = True),
        "scripts": attr.label_list(allow_files = True),
        "subjects": attr.label_list(mandatory = True),
    },
    executable = True,
)
