#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks the templates in .bcr, from which the Bazel Central Registry's app makes an entry, against
what they name here. Needs PyYAML, and ends with 77 where that is missing."""

import json
import pathlib
import re
import sys

try:
    import yaml
except ImportError:
    print("skipped: on Debian: apt-get install python3-yaml")
    sys.exit(77)

WORKSPACE = pathlib.Path(__file__).resolve().parent.parent
METADATA = {"homepage", "maintainers", "repository", "versions", "yanked_versions"}
SUBSTITUTED = {"OWNER", "REPO", "TAG", "VERSION"}


class Error(Exception):
    """What is wrong, and in which file."""


def demand(condition, path, text):
    if not condition:
        raise Error(f"{path}: {text}")


def read(path):
    try:
        return (WORKSPACE / path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Error(f"{path}: {error}") from error


def read_json(path):
    try:
        return json.loads(read(path))
    except json.JSONDecodeError as error:
        raise Error(f"{path}: {error}") from error


def read_module(path="MODULE.bazel"):
    """Returns the name and the version of a module."""
    match = re.search(r'^module\(\s*name = "([^"]*)",\s*version = "([^"]*)",\s*\)', read(path), re.M)
    demand(match, path, "no module() with a name and a version, and nothing else")
    return match.groups()


def check_metadata(path, name):
    metadata = read_json(path)
    demand(set(metadata) == METADATA, path, f"has not exactly {sorted(METADATA)}")
    demand(metadata["maintainers"], path, "names no maintainer")
    demand(metadata["versions"] == [], path, "versions are the app's to fill in")
    for repository in metadata["repository"] + [metadata["homepage"]]:
        demand(re.search(rf"[:/][\w-]+/{name}$", repository), path, f"{repository} is no {name}")


def check_source(path):
    source = read_json(path)
    demand(set(source) == {"integrity", "strip_prefix", "url"}, path, "unknown or missing keys")
    demand(source["integrity"] == "", path, "integrity is the app's to fill in")
    for text in source.values():
        unknown = set(re.findall(r"{(\w*)}", text)) - SUBSTITUTED
        demand(not unknown, path, f"{sorted(unknown)} are not substituted")


def check_tasks(path, part):
    demand(part["tasks"], path, "no tasks")
    for name, task in part["tasks"].items():
        for key in ("platform", "bazel"):
            demand(task[key] == "${{ %s }}" % key and part["matrix"][key], path,
                   f"{name} has no {key} from its matrix")


def check_presubmit(path, name, version):
    try:
        presubmit = yaml.safe_load(read(path))
    except yaml.YAMLError as error:
        raise Error(f"{path}: {error}") from error
    try:
        module = presubmit["bcr_test_module"]
        check_tasks(path, presubmit)
        check_tasks(path, module)
        directory = module["module_path"]
        targets = presubmit["tasks"]["verify_targets"]["build_targets"]
    except (KeyError, TypeError, AttributeError) as error:
        raise Error(f"{path}: {error!r} is missing, or not what it should be") from error
    build = read("BUILD")
    for target in targets:
        label = re.fullmatch(rf"@{name}//:(\w+)", target)
        demand(label and f'name = "{label[1]}"' in build, path, f"{target} is not in BUILD")
    check_dependency(f"{directory}/MODULE.bazel", name, version)
    demand((WORKSPACE / directory / "../..").resolve() == WORKSPACE, path,
           f"{directory} is not where its MODULE.bazel takes it to be")


def check_dependency(path, name, version):
    demand(f'bazel_dep(name = "{name}", version = "{version}")' in read(path), path,
           f"does not depend on {name} {version}, which MODULE.bazel says this is")


def main():
    try:
        name, version = read_module()
        check_metadata(".bcr/metadata.template.json", name)
        check_source(".bcr/source.template.json")
        check_presubmit(".bcr/presubmit.yml", name, version)
        check_dependency("README.md", name, version)
        check_dependency("docs/embedding.md", name, version)
    except Error as error:
        print(f"bcr_check.py: {error}", file=sys.stderr)
        return 2
    print(f"the templates name what is here: {name} {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
