# SPDX-License-Identifier: BSD-3-Clause
"""First-order mutants of C files: one small change each, placed by clang's own syntax tree."""

import collections
import json
import pathlib
import re
import subprocess

FLAGS = ("-std=c11", "-fexceptions", "-I.", "-Iinclude", "-Isrc")

# What each operator becomes.
SWAPPED = {
    "<": "<= >=", "<=": "< >", ">": ">= <=", ">=": "> <", "==": "!=", "!=": "==",
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "&": "|", "|": "&", "^": "|", "<<": ">>", ">>": "<<",
    "&&": "||", "||": "&&", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "|=": "&=", "&=": "|=",
    "^=": "|=", "<<=": ">>=", ">>=": "<<=", "++": "--", "--": "++",
}
# The tree does not say where a binary operator stands; it is looked for beside its operands.
OPERATOR = re.compile(r"\s*([-+*/%&|^<>=!]+)")
CONDITIONAL = re.compile(r"(if|while)\s*\(")
# Of what decides or contains: which part is a condition (-1: what stands in parentheses), what it may
# be replaced by besides its negation, and which parts can be deleted.
PARTS = {
    "IfStmt": (-1, "01", slice(1, None)), "ConditionalOperator": (0, "01", slice(0)),
    "WhileStmt": (-1, "0", slice(-1, None)), "ForStmt": (2, "0", slice(4, None)),
    "DoStmt": (1, "0", slice(1)), "CaseStmt": (0, "", slice(1, None)), "DefaultStmt": (0, "", slice(None)),
}
# A named macro's number is no constant of the function that uses the macro.
CONSTANT = re.compile(r"\d|U?INT\d+_C|true$|false$")
NUMBERS = re.compile(r"_Bool|bool|u?int\w*|(un)?signed.*|s?size_t|long.*|char|ptrdiff_t")
# Code that tells AddressSanitizer, MemorySanitizer or Valgrind something, or detects Valgrind.
TOLD = re.compile(r"tools_|valgrind", re.IGNORECASE)

# In file, text stands instead of the bytes from begin up to end. original and mutated are the lines that
# this touches; ordinal counts those that agree in all that names them, from 1. body is the begin and end of
# the function's, statement the innermost one's number; is_told: tools may be told something else.
Mutant = collections.namedtuple(
    "Mutant", "file begin end text line column function original mutated ordinal body statement is_told")


class Refusal(Exception):
    """Something was asked for that cannot be done."""


def describe(mutant):
    ordinal = f"#{mutant.ordinal}" if mutant.ordinal > 1 else ""
    return (f"{mutant.file}:{mutant.line}:{mutant.column}:\n{mutant.file} {mutant.function}\n"
            f"- {mutant.original}\n+{ordinal} {mutant.mutated}\n")


def syntax_tree(compiler, source, directory):
    """Returns clang's tree of a file, with the file of each place: clang names it only where it changes."""
    command = [compiler, *FLAGS, "-fsyntax-only", "-Xclang", "-ast-dump=json", source]
    tree = json.loads(subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, check=True).stdout)
    file, rest = None, [tree]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            if "offset" in node:
                file = node.setdefault("file", file)
            # includedFrom is told of every place, and is not one.
            node = [value for key, value in node.items() if key != "includedFrom"]
        rest += [value for value in reversed(node) if isinstance(value, (dict, list))]
    return tree


class Source:
    """The text of a file, where the parts of its tree stand in it, and what may stand there instead."""

    def __init__(self, directory, file):
        self.file = file
        self.text = pathlib.Path(directory, file).read_bytes().decode("latin-1")
        # Per begin, end and new text: the function's name and its body. Per body: its statements, and
        # their numbers. Bodies and statements are given by their begins and ends.
        self.edits, self.bodies = {}, {}

    def add(self, function, body):
        """Adds the edits and statements of a function, if it is one of this file."""
        place, whole = function["loc"].get("expansionLoc", function["loc"]), self._span(body)
        # Leave out functions that a macro's argument defines.
        if place["file"] == self.file and whole is not None and "offset" in body["range"]["begin"]:
            name = self.text[place["offset"] : place["offset"] + place["tokLen"]]
            self.function, self.bodies[whole] = (name, whole), {whole: 0}
            self._visit(body)

    def _offset(self, place, is_end=False):
        """The offset of a place in this file, or None. What a macro makes is where it is used."""
        is_macro = "expansionLoc" in place and not place["expansionLoc"].get("isMacroArgExpansion")
        place = place["expansionLoc"] if is_macro else place.get("spellingLoc", place)
        if place.get("file") != self.file or not is_end:
            return place["offset"] if place.get("file") == self.file else None
        end = place["offset"] + place["tokLen"]
        arguments = re.compile(r"\s*\(").match(self.text, end) if is_macro else None
        return self._closing(arguments.end()) if arguments else end

    def _closing(self, offset):
        """Returns where the parenthesis ends that is open at an offset."""
        depth = 1
        while depth > 0:
            depth += {"(": 1, ")": -1}.get(self.text[offset], 0)
            offset += 1
        return offset

    def _span(self, node):
        """Returns the begin and end of a node that is written out in this file, or None."""
        if "range" not in node:
            return None
        begin, end = self._offset(node["range"]["begin"]), self._offset(node["range"]["end"], True)
        return None if begin is None or end is None or begin >= end else (begin, end)

    def _parenthesized(self, node):
        """Returns the begin and end of what stands in parentheses behind if or while, or None."""
        begin = self._offset(node["range"]["begin"])
        keyword = begin is not None and CONDITIONAL.match(self.text, begin)
        return (keyword.end(), self._closing(keyword.end()) - 1) if keyword else None

    def _operator(self, node):
        """Returns the begin and end of a binary operator, or None where a macro made it."""
        left, right, operator = *(part["range"] for part in node["inner"]), node["opcode"]
        after, before = self._offset(left["end"], True), self._offset(right["begin"])
        found = after is not None and OPERATOR.match(self.text, after)
        # An operand may begin with one: a - -b, a & ~b do, and are told apart by the space.
        if found and found[1] == operator:
            return found.span(1)
        head = "" if before is None else self.text[:before].rstrip()
        return (len(head) - len(operator), len(head)) if head.endswith(operator) else None

    def _edit(self, span, *texts):
        _, body = self.function
        for text in texts if span is not None else ():
            # A macro's definition is not part of the functions that use it.
            if body[0] < span[0] and span[1] < body[1] and self.text[slice(*span)] != text:
                self.edits.setdefault((*span, text), self.function)

    def _visit(self, node):
        kind, inner, span = node.get("kind", ""), node.get("inner", []), self._span(node)
        # A macro may make a block, too.
        if kind == "CompoundStmt" and span and self.text[span[0]] == "{":
            self._delete(inner)
            # What is put before a label would not be passed; and what is empty may be so for macros only.
            spans = [self._span(part) for part in inner
                     if part["kind"] not in ("CaseStmt", "DefaultStmt", "LabelStmt", "NullStmt")]
            self.bodies[self.function[1]].update((span, 0) for span in spans if span is not None)
        elif kind in PARTS:
            condition, decisions, parts = PARTS[kind]
            place = self._span(inner[condition]) if condition >= 0 else self._parenthesized(node)
            if place and decisions:
                self._edit(place, f"!({self.text[slice(*place)]})", *decisions)
            self._delete(inner[parts])
        elif kind == "ReturnStmt" and inner and span:
            result = inner[0]["type"]["qualType"]
            if NUMBERS.fullmatch(result) or result.endswith("*"):
                self._edit((span[0] + len("return "), span[1]), "0", *([] if "*" in result else ["1"]))
        else:
            self._visit_expression(kind, node, span)
        # Leave out the number of a case: its neighbours mean nothing.
        for child in inner[kind == "CaseStmt" :]:
            self._visit(child)

    def _delete(self, nodes):
        """Deletes those of a statement's parts that are expressions or jumps."""
        for node in nodes:
            kind = node.get("kind", "Stmt")
            is_jump = kind in ("BreakStmt", "ContinueStmt") or kind == "ReturnStmt" and "inner" not in node
            if is_jump or not kind.endswith("Stmt"):
                self._edit(self._span(node), "(void)0")

    def _visit_expression(self, kind, node, span):
        text, operator = self.text[slice(*span)] if span else "", node.get("opcode")
        if kind in ("BinaryOperator", "CompoundAssignOperator") and (place := self._operator(node)):
            self._edit(place, *SWAPPED.get(operator, "").split())
            if operator in ("&&", "||") and span and span[0] < place[0] < place[1] < span[1]:
                left = self.text[span[0] : place[0]].rstrip()
                right = self.text[place[1] : span[1]].lstrip()
                self._edit(span, left, right, f"!({left}) {operator} {right}",
                           f"{left} {operator} !({right})")
        elif kind == "UnaryOperator" and span:
            begin = span[1] - 2 if node.get("isPostfix") else span[0]
            if operator in ("++", "--", "!", "~", "-") and self.text.startswith(operator, begin):
                self._edit((begin, begin + len(operator)), SWAPPED[operator] if len(operator) == 2 else "")
        elif kind == "IntegerLiteral" and CONSTANT.match(text):
            value = int(node["value"])
            others = f"({text} + 1)", f"({text} - 1)", "0", "1"
            if text in ("true", "false"):
                others = ["false" if text == "true" else "true"]
            elif re.fullmatch(r"0|[1-9]\d*", text):
                others = str(value + 1), str(value - 1) if value > 0 else "(-1)", "0", "1"
            self._edit(span, *(other for other in others if other != str(value)))
        elif kind == "CharacterLiteral" and text.startswith("'"):
            self._edit(span, f"({text} + 1)")

    def mutants(self):
        text, counts = self.text, collections.Counter()
        for (begin, end, new), (function, body) in sorted(self.edits.items()):
            first, last = text.rfind("\n", 0, begin) + 1, text.find("\n", end)
            named = (function, " ".join(text[first:last].split()),
                     " ".join((text[first:begin] + new + text[end:last]).split()))
            counts[named] += 1
            around = [span for span in self.bodies[body] if span[0] <= begin and end <= span[1]]
            innermost = min(around, key=lambda span: span[1] - span[0])
            is_told = self.file == "src/tools.h" or TOLD.search(text, *innermost) is not None
            yield Mutant(self.file, begin, end, new, text.count("\n", 0, begin) + 1, begin - first + 1,
                         *named, counts[named], body, self.bodies[body][innermost], is_told)

    def _marked(self, body):
        """Returns a body in which each statement notes that it is reached."""
        (begin, end), result, notes = body, "", collections.defaultdict(str)
        for span, number in self.bodies[body].items():
            # The body itself begins behind its brace.
            notes[span[0] + (span == body)] += f" mutate_reached[{number}] = 1; "
        for place in sorted(notes):
            result += self.text[begin:place] + notes[place]
            begin = place
        return result + self.text[begin:end]

    def schemata(self, mutants):
        """Returns the text in which each function has a body for each of its mutants, of which
        mutate_chosen chooses one by its number. Errors name a mutant as their file."""
        text = self.text
        for begin, end in sorted(self.bodies, reverse=True):
            cases = f"default:\n{self._marked((begin, end))}\nbreak;\n"
            for number, mutant in mutants.items():
                if (mutant.file, mutant.body) == (self.file, (begin, end)):
                    body = self.text[begin : mutant.begin] + mutant.text + self.text[mutant.end : end]
                    cases += f'case {number}:\n#line 1 "mutant-{number}"\n{body}\nbreak;\n'
            text = text[:begin] + "{\nswitch (mutate_chosen) {\n" + cases + "}\n}" + text[end:]
        return text


class Sources:
    """The files of src/, by their names, and their mutants; statements are numbered over all files."""

    def __init__(self, compiler, directory):
        names = sorted(f"src/{path.name}" for path in pathlib.Path(directory, "src").glob("*.[ch]"))
        self.files = {name: Source(directory, name) for name in names}
        self.units = [name for name in names if name.endswith(".c")]
        for unit in self.units:
            for function in syntax_tree(compiler, unit, directory)["inner"]:
                parts = function.get("inner", []) if function["kind"] == "FunctionDecl" else []
                for body in [part for part in parts if part.get("kind") == "CompoundStmt"]:
                    for source in self.files.values():
                        source.add(function, body)
        bodies = [statements for source in self.files.values() for statements in source.bodies.values()]
        self.statement_count = sum(map(len, bodies))
        for number, (statements, span) in enumerate((body, span) for body in bodies for span in body):
            statements[span] = number
        self.mutants = [mutant for source in self.files.values() for mutant in source.mutants()]
