# SPDX-License-Identifier: BSD-3-Clause
"""The rule of the library's own build settings; whoever embeds the library loads nothing else."""

def _switch_impl(_ctx):
    return []

switch = rule(
    implementation = _switch_impl,
    doc = "A build setting that is true or false.",
    build_setting = config.bool(flag = True),
)
