#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks what the Bazel Central Registry and OSS-Fuzz are told of this project against what is here.

usage: bcr_check.py [--release]
With --release, what a person must fill in has been filled in. Needs PyYAML. Exit code: 0, 2 where
something is wrong, 77 where PyYAML is missing.
"""

import json
import pathlib
import re
import sys

try:
    import yaml
except ImportError:
    print("skipped: on Debian: apt-get install python3-yaml")
    sys.exit(77)

WORKSPACE = pathlib.Path(__file__).resolve().parents[2]
METADATA = {"homepage", "maintainers", "repository", "versions", "yanked_versions"}
MAINTAINER = {"name", "github", "github_user_id"}
PROJECT = {"homepage", "main_repo", "primary_contact", "language"}
FILLED_IN = (".bcr/metadata.template.json", ".clusterfuzzlite/project.yaml", ".github/workflows/publish.yml")
PLACEHOLDER = r"\bINSERT_\w+"


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


def parse(path):
    try:
        return json.loads(read(path)) if path.endswith(".json") else yaml.safe_load(read(path))
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise Error(f"{path}: {error}") from error


def read_module(path="MODULE.bazel"):
    """Returns the name and the version of a module."""
    match = re.search(r'^module\(\s*name = "([^"]*)",\s*version = "([^"]*)",\s*\)', read(path), re.M)
    demand(match, path, "no module() with a name and a version, and nothing else")
    return match.groups()


def check_metadata(path, name):
    metadata = parse(path)
    demand(set(metadata) == METADATA, path, f"has not exactly {sorted(METADATA)}")
    demand(metadata["maintainers"], path, "names no maintainer")
    for maintainer in metadata["maintainers"]:
        demand(set(maintainer) == MAINTAINER, path, f"a maintainer has not exactly {sorted(MAINTAINER)}")
        number = maintainer["github_user_id"]
        demand(isinstance(number, int) or re.fullmatch(PLACEHOLDER, str(number)), path,
               f"github_user_id is a number, not {number!r}")
    demand(metadata["versions"] == [], path, "versions are the workflow's to fill in")
    for repository in metadata["repository"] + [metadata["homepage"]]:
        demand(re.search(rf"[:/][\w-]+/{name}$", repository), path, f"{repository} is no {name}")


def check_source(path, name, instructions):
    source = parse(path)
    demand(set(source) == {"integrity", "strip_prefix", "url"}, path, "unknown or missing keys")
    demand(source["integrity"] == "", path, "integrity is the workflow's to fill in")
    values = {"OWNER": "OWNER", "REPO": name, "TAG": "vVERSION", "VERSION": "VERSION"}
    try:
        prefix, url = (source[key].format_map(values) for key in ("strip_prefix", "url"))
    except (KeyError, ValueError) as error:
        raise Error(f"{path}: {error} is not substituted") from error
    folder, _, archive = url.rpartition("/")
    # What GitHub generates elsewhere may change, and is refused.
    demand(folder == f"https://github.com/OWNER/{name}/releases/download/vVERSION", path,
           f"{url} is no file of a release")
    command = f"git archive --prefix={prefix}/ --output={archive} vVERSION"
    demand(command in read(instructions), instructions, f"does not say: {command}")


def check_project(path):
    missing = PROJECT - set(parse(path) or ())
    demand(not missing, path, f"OSS-Fuzz needs {sorted(missing)}")


def check_tasks(path, part):
    demand(part["tasks"], path, "no tasks")
    for name, task in part["tasks"].items():
        for key in ("platform", "bazel"):
            demand(task[key] == "${{ %s }}" % key and part["matrix"][key], path,
                   f"{name} has no {key} from its matrix")


def check_presubmit(path, name, version):
    presubmit = parse(path)
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


def placeholders():
    """Returns what nobody has filled in yet, a line for each."""
    return [f"{path}:{number}: {word} stands for what you must fill in"
            for path in FILLED_IN
            for number, line in enumerate(read(path).splitlines(), 1)
            for word in re.findall(PLACEHOLDER, line)]


def main():
    if sys.argv[1:] not in ([], ["--release"]):
        print("usage: bcr_check.py [--release]", file=sys.stderr)
        return 2
    try:
        name, version = read_module()
        check_metadata(".bcr/metadata.template.json", name)
        check_source(".bcr/source.template.json", name, "docs/releasing.md")
        check_project(".clusterfuzzlite/project.yaml")
        check_presubmit(".bcr/presubmit.yml", name, version)
        check_dependency("README.md", name, version)
        check_dependency("docs/embedding.md", name, version)
        missing = placeholders() if sys.argv[1:] else []
    except Error as error:
        print(f"bcr_check.py: {error}", file=sys.stderr)
        return 2
    for line in missing:
        print(f"bcr_check.py: {line}", file=sys.stderr)
    if missing:
        return 2
    print(f"the templates name what is here: {name} {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
