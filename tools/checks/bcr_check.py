#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compares what the Bazel Central Registry and OSS-Fuzz are told of this project with what is here.

usage: bcr_check.py [--release]
--release also demands that a person has filled in what only a person knows. Needs PyYAML. Exit code:
0, 2 where something is wrong, 77 where PyYAML is missing.
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
METADATA = ".bcr/metadata.template.json"
SOURCE = ".bcr/source.template.json"
PRESUBMIT = ".bcr/presubmit.yml"
PROJECT = ".clusterfuzzlite/project.yaml"
FILLED_IN = (METADATA, PROJECT, ".github/workflows/publish.yml")
PLACEHOLDER = r"\bINSERT_\w+"

wrong = []


def demand(condition, path, text):
    if not condition:
        wrong.append(f"{path}: {text}")


def read(path):
    return (WORKSPACE / path).read_text(encoding="utf-8")


def demand_keys(path, found, *keys):
    demand(set(found) == set(keys), path, f"has {sorted(found)}, not exactly {sorted(keys)}")


def check_metadata(name):
    metadata = json.loads(read(METADATA))
    demand_keys(METADATA, metadata, "homepage", "maintainers", "repository", "versions", "yanked_versions")
    demand(metadata["maintainers"], METADATA, "names no maintainer")
    for maintainer in metadata["maintainers"]:
        demand_keys(METADATA, maintainer, "name", "github", "github_user_id")
        number = maintainer["github_user_id"]
        demand(isinstance(number, int) or re.fullmatch(PLACEHOLDER, number), METADATA, f"{number!r} is no number")
    demand(metadata["versions"] == [], METADATA, "versions are the workflow's to fill in")
    for repository in metadata["repository"] + [metadata["homepage"]]:
        demand(re.search(rf"[:/][\w-]+/{name}$", repository), METADATA, f"{repository} is no {name}")


def check_source(name):
    source = json.loads(read(SOURCE))
    demand_keys(SOURCE, source, "integrity", "strip_prefix", "url")
    demand(source["integrity"] == "", SOURCE, "integrity is the workflow's to fill in")
    values = {"OWNER": "OWNER", "REPO": name, "TAG": "vVERSION", "VERSION": "VERSION"}
    prefix, url = (source[key].format_map(values) for key in ("strip_prefix", "url"))
    folder, _, archive = url.rpartition("/")
    # The registry refuses the archives that GitHub makes of tags: their bytes may change.
    demand(folder == f"https://github.com/OWNER/{name}/releases/download/vVERSION", SOURCE,
           f"{url} is no file of a release")
    command = f"git archive --prefix={prefix}/ --output={archive} vVERSION"
    demand(command in read("docs/releasing.md"), "docs/releasing.md", f"does not say: {command}")


def check_presubmit(name, version):
    presubmit = yaml.safe_load(read(PRESUBMIT))
    module = presubmit["bcr_test_module"]
    for part in (presubmit, module):
        for task, values in part["tasks"].items():
            for key in ("platform", "bazel"):
                demand(values[key] == "${{ %s }}" % key and part["matrix"][key], PRESUBMIT,
                       f"{task} has no {key} from its matrix")
    for target in presubmit["tasks"]["verify_targets"]["build_targets"]:
        label = re.fullmatch(rf"@{name}//:(\w+)", target)
        demand(label and f'name = "{label[1]}"' in read("BUILD"), PRESUBMIT, f"{target} is not in BUILD")
    embedder = WORKSPACE / module["module_path"]
    demand(embedder.parents[1] == WORKSPACE, PRESUBMIT, f"{embedder} is not where its MODULE.bazel takes it to be")
    for path in (embedder / "MODULE.bazel", "README.md", "docs/embedding.md"):
        demand(f'bazel_dep(name = "{name}", version = "{version}")' in read(path), path,
               f"does not depend on {name} {version}, which MODULE.bazel says this is")


def check(is_release):
    """Returns the name and the version of this module, and adds what is wrong to wrong."""
    pattern = r'^module\(\s*name = "(.*)",\s*version = "(.*)",\s*\)'
    name, version = re.search(pattern, read("MODULE.bazel"), re.M).groups()
    check_metadata(name)
    check_source(name)
    check_presubmit(name, version)
    missing = {"homepage", "main_repo", "primary_contact", "language"} - set(yaml.safe_load(read(PROJECT)))
    demand(not missing, PROJECT, f"OSS-Fuzz needs {sorted(missing)}")
    for path in FILLED_IN if is_release else ():
        for number, line in enumerate(read(path).splitlines(), 1):
            for word in re.findall(PLACEHOLDER, line):
                demand(False, f"{path}:{number}", f"{word} stands for what you must fill in")
    return f"{name} {version}"


def main():
    if sys.argv[1:] not in ([], ["--release"]):
        print("usage: bcr_check.py [--release]", file=sys.stderr)
        return 2
    try:
        module = check(bool(sys.argv[1:]))
    # A template without a key, or of other types, is as wrong as one with other values.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        wrong.append(f"a template is not what it should be: {error!r}")
    for line in wrong:
        print(f"bcr_check.py: {line}", file=sys.stderr)
    if not wrong:
        print(f"the templates name what is here: {module}")
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
