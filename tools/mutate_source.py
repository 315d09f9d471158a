# SPDX-License-Identifier: BSD-3-Clause
"""First-order mutants of C files: one small change each, placed by clang's own syntax tree."""

import dataclasses
import json
import pathlib
import re
import subprocess

SWAPPED = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "+": ("-",),
    "-": ("+",),
    "*": ("+",),
    "/": ("*",),
    "%": ("/",),
    "&": ("|",),
    "|": ("&",),
    "^": ("|",),
    "<<": (">>",),
    ">>": ("<<",),
    "&&": ("||",),
    "||": ("&&",),
    "+=": ("-=",),
    "-=": ("+=",),
    "*=": ("/=",),
    "/=": ("*=",),
    "|=": ("&=",),
    "&=": ("|=",),
    "^=": ("|=",),
    "<<=": (">>=",),
    ">>=": ("<<=",),
    "++": ("--",),
    "--": ("++",),
}
# The tree gives no place to a binary operator; it is looked for beside its operands.
OPERATOR = re.compile(r"[-+*/%&|^<>=!]+")
CONDITIONAL = re.compile(r"(if|while)\s*\(")
NUMBER = re.compile(r"0|[1-9]\d*")
POINTERS_AND_NUMBERS = re.compile(
    r".*\*|_Bool|bool|u?int\w*|(un)?signed.*|s?size_t|long.*|char|ptrdiff_t"
)


class Refusal(Exception):
    """Something was asked for that cannot be done."""


@dataclasses.dataclass(frozen=True, order=True)
class Edit:
    """The bytes of a file from begin up to end, and what stands there instead."""

    file: str
    begin: int
    end: int
    text: str


@dataclasses.dataclass(frozen=True)
class Mutant:
    """An edit, and what names it however the rest of the file changes."""

    edit: Edit
    line: int
    column: int
    function: str
    original: str  # the lines that the edit touches, as one
    mutated: str
    ordinal: int  # counts those that agree in all of this, from 1
    statement: int  # the number of the innermost statement that it is in

    def key(self):
        return self.edit.file, self.function, self.original, self.mutated, self.ordinal


def syntax_tree(compiler, flags, source, directory):
    """Returns clang's tree of a file, its places completed."""
    command = [compiler, *flags, "-fsyntax-only", "-Xclang", "-ast-dump=json", source]
    done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Refusal(f"{source} does not compile: {done.stderr.decode(errors='replace')}")
    tree = json.loads(done.stdout)
    _complete(tree)
    return tree


def _complete(tree):
    """Gives each place its file: the tree names it only where it changes."""
    file = None
    rest = [tree]
    while rest:
        node = rest.pop()
        if isinstance(node, list):
            rest += reversed(node)
            continue
        if "offset" in node:
            file = node.setdefault("file", file)
        # What includes the file is told of every place, and is no place itself.
        rest += [
            value
            for key, value in reversed(node.items())
            if isinstance(value, (dict, list)) and key != "includedFrom"
        ]


class Source:
    """The text of a file, and where the parts of its tree stand in it."""

    def __init__(self, directory, file):
        self.file = file
        self.text = pathlib.Path(directory, file).read_bytes().decode("latin-1")

    def _place(self, place, is_end):
        """The offset of a place in this file, or None. What a macro makes is where it is used."""
        is_macro = "expansionLoc" in place
        if is_macro and not place["expansionLoc"].get("isMacroArgExpansion"):
            place = place["expansionLoc"]
        elif is_macro:
            place, is_macro = place["spellingLoc"], False
        if place.get("file") != self.file:
            return None
        if not is_end:
            return place["offset"]
        end = place["offset"] + place["tokLen"]
        arguments = re.compile(r"\s*\(").match(self.text, end) if is_macro else None
        return self.closing(arguments.end()) if arguments else end

    def closing(self, offset):
        """Returns where the parenthesis ends that is open at an offset."""
        depth = 1
        while depth > 0:
            depth += {"(": 1, ")": -1}.get(self.text[offset], 0)
            offset += 1
        return offset

    def begin(self, node):
        return self._place(node["range"]["begin"], False)

    def end(self, node):
        return self._place(node["range"]["end"], True)

    def span(self, node):
        """Returns the begin and end of a node that is written out in this file, or None."""
        begin, end = self.begin(node), self.end(node)
        return None if begin is None or end is None or begin >= end else (begin, end)

    def operator(self, node):
        """Returns the begin and end of a binary operator, or None where a macro made it."""
        left, right = node["inner"]
        after, before = self.end(left), self.begin(right)
        if after is not None:
            after += len(self.text[after:]) - len(self.text[after:].lstrip())
            found = OPERATOR.match(self.text, after)
            # An operand may begin with one: a - -b, a & ~b do, and are told apart by the space.
            if found and found.group() == node["opcode"]:
                return found.span()
        if before is not None:
            head = self.text[:before].rstrip()
            if head.endswith(node["opcode"]):
                return len(head) - len(node["opcode"]), len(head)
        return None


def _is_statement_to_delete(node):
    kind = node.get("kind", "")
    if kind == "ReturnStmt":
        return "inner" not in node
    return kind in ("BreakStmt", "ContinueStmt") or (kind != "" and not kind.endswith("Stmt"))


def _constants(text, value):
    """Returns what to try instead of a constant: its neighbours, 0 and 1."""
    if text in ("true", "false"):
        return ["false" if text == "true" else "true"]
    neighbours = (
        [str(value + 1), str(value - 1) if value > 0 else "(-1)"]
        if NUMBER.fullmatch(text)
        else [f"({text} + 1)", f"({text} - 1)"]
    )
    return [other for other in dict.fromkeys(neighbours + ["0", "1"]) if other != str(value)]


class Finder:
    """Finds the edits of one function's body, and the statements of its blocks."""

    def __init__(self, source):
        self.source = source
        self.edits = []
        self.statements = []

    def add(self, span, text):
        if span is not None:
            self.edits.append(Edit(self.source.file, *span, text))

    def visit(self, node):
        method = getattr(self, "visit_" + node.get("kind", ""), None)
        if method is not None:
            method(node)
        for child in self._parts(node):
            self.visit(child)

    @staticmethod
    def _parts(node):
        inner = node.get("inner", [])
        # A case's number has no neighbours that mean anything.
        return inner[1:] if node.get("kind") == "CaseStmt" else inner

    def delete(self, statements):
        for statement in statements:
            if _is_statement_to_delete(statement):
                self.add(self.source.span(statement), "(void)0")

    def decide(self, span, *decisions):
        """Negates a condition, or decides it beforehand."""
        if span is not None:
            condition = self.source.text[slice(*span)]
            for decision in ("!(" + condition + ")",) + decisions:
                self.add(span, decision)

    def in_parentheses(self, node):
        """The span of the condition in parentheses that follows a statement's keyword."""
        begin = self.source.begin(node)
        keyword = begin is not None and CONDITIONAL.match(self.source.text, begin)
        return (keyword.end(), self.source.closing(keyword.end()) - 1) if keyword else None

    def visit_CompoundStmt(self, node):
        span = self.source.span(node)
        # Not one that a macro makes.
        if span is None or self.source.text[span[0]] != "{":
            return
        self.delete(node.get("inner", []))
        for part in node.get("inner", []):
            # What is put before a label would not be passed.
            if part["kind"] not in ("CaseStmt", "DefaultStmt", "LabelStmt"):
                self.statements.append(self.source.span(part))

    def visit_CaseStmt(self, node):
        self.delete(node["inner"][1:])

    def visit_DefaultStmt(self, node):
        self.delete(node["inner"])

    def visit_IfStmt(self, node):
        self.decide(self.in_parentheses(node), "0", "1")
        self.delete(node["inner"][1:])

    def visit_WhileStmt(self, node):
        self.decide(self.in_parentheses(node), "0")
        self.delete(node["inner"][-1:])

    def visit_DoStmt(self, node):
        self.decide(self.source.span(node["inner"][1]), "0")
        self.delete(node["inner"][:1])

    def visit_ForStmt(self, node):
        condition = node["inner"][2]
        if condition:
            self.decide(self.source.span(condition), "0")
        self.delete(node["inner"][4:])

    def visit_ConditionalOperator(self, node):
        self.decide(self.source.span(node["inner"][0]), "0", "1")

    def visit_ReturnStmt(self, node):
        value = node.get("inner", [None])[0]
        if value and POINTERS_AND_NUMBERS.fullmatch(value["type"]["qualType"]):
            span = self.source.span(node)
            if span:
                begin = span[0] + len("return ")
                self.add((begin, span[1]), "0")
                if "*" not in value["type"]["qualType"]:
                    self.add((begin, span[1]), "1")

    def visit_BinaryOperator(self, node):
        place = self.source.operator(node)
        if place is None:
            return
        for other in SWAPPED.get(node["opcode"], ()):
            self.add(place, other)
        if node["opcode"] in ("&&", "||"):
            begin, end = self.source.begin(node), self.source.end(node)
            if begin is not None and end is not None and begin < place[0] < place[1] < end:
                left = self.source.text[begin : place[0]].rstrip()
                right = self.source.text[place[1] : end].lstrip()
                for text in (left, right, f"!({left}) {node['opcode']} {right}"):
                    self.add((begin, end), text)
                self.add((begin, end), f"{left} {node['opcode']} !({right})")

    visit_CompoundAssignOperator = visit_BinaryOperator

    def visit_UnaryOperator(self, node):
        span = self.source.span(node)
        opcode = node["opcode"]
        if span is None:
            return
        if opcode in ("++", "--"):
            begin = span[1] - 2 if node.get("isPostfix") else span[0]
            if self.source.text.startswith(opcode, begin):
                self.add((begin, begin + 2), SWAPPED[opcode][0])
        elif opcode in "!~-" and self.source.text.startswith(opcode, span[0]):
            self.add((span[0], span[0] + 1), "")

    def visit_IntegerLiteral(self, node):
        span = self.source.span(node)
        text = self.source.text[slice(*span)] if span else ""
        # Where a macro has a name of its own, its number is no constant of this function's.
        if re.match(r"\d|U?INT\d+_C|true$|false$", text):
            for other in _constants(text, int(node["value"])):
                self.add(span, other)

    def visit_CharacterLiteral(self, node):
        span = self.source.span(node)
        if span and self.source.text[span[0]] == "'":
            self.add(span, f"({self.source.text[slice(*span)]} + 1)")


def _functions(tree):
    for node in tree["inner"]:
        if node["kind"] == "FunctionDecl":
            for part in node.get("inner", []):
                if part.get("kind") == "CompoundStmt":
                    yield node, part


def _search(source, tree, edits, bodies):
    """Adds a file's edits in a tree that it is part of, and its functions' bodies and statements."""
    for function, body in _functions(tree):
        place = function["loc"]
        place = place.get("expansionLoc", place)
        whole = source.span(body)
        # Nor is it a function like others that is an argument of a macro.
        is_plain = "offset" in body["range"]["begin"]
        if place["file"] != source.file or whole is None or not is_plain:
            continue
        name = source.text[place["offset"] : place["offset"] + place["tokLen"]]
        finder = Finder(source)
        finder.visit(body)
        bodies[whole] = {span for span in finder.statements + [whole] if span}
        for edit in finder.edits:
            # A macro's definition is not part of the functions that use it.
            is_inside = whole[0] < edit.begin and edit.end < whole[1]
            if is_inside and source.text[edit.begin : edit.end] != edit.text:
                edits.setdefault(edit, name)


def _as_one_line(text):
    return " ".join(text.split())


class Sources:
    """The files of src/, and their mutants and statements, both numbered over all files from 0."""

    def __init__(self, compiler, flags, directory):
        names = sorted(f"src/{path.name}" for path in pathlib.Path(directory, "src").glob("*.[ch]"))
        self.files = {name: Source(directory, name) for name in names}
        edits = {name: {} for name in names}
        # Per file and function's body, the statements in it; all by their begins and ends.
        self.bodies = {name: {} for name in names}
        for unit in names:
            if unit.endswith(".c"):
                tree = syntax_tree(compiler, flags, unit, directory)
                for name, source in self.files.items():
                    _search(source, tree, edits[name], self.bodies[name])
        self.statements = {}
        for name in names:
            for spans in self.bodies[name].values():
                for span in sorted(spans):
                    self.statements[(name, *span)] = len(self.statements)
        self.mutants = [mutant for name in names for mutant in self._mutants(name, edits[name])]
        if not self.mutants:
            raise Refusal(f"{directory}/src has nothing to mutate")

    def _mutants(self, name, edits):
        text = self.files[name].text
        counts = {}
        for edit, function in sorted(edits.items()):
            begin = text.rfind("\n", 0, edit.begin) + 1
            end = text.find("\n", edit.end)
            lines = text[begin:end]
            mutated = text[begin : edit.begin] + edit.text + text[edit.end : end]
            named = function, _as_one_line(lines), _as_one_line(mutated)
            counts[named] = counts.get(named, 0) + 1
            line = text.count("\n", 0, edit.begin) + 1
            column = edit.begin - begin + 1
            yield Mutant(edit, line, column, *named, counts[named], self._statement(edit))

    def _body(self, edit):
        bodies = self.bodies[edit.file]
        return next(span for span in bodies if span[0] < edit.begin and edit.end < span[1])

    def _statement(self, edit):
        spans = self.bodies[edit.file][self._body(edit)]
        around = [span for span in spans if span[0] <= edit.begin and edit.end <= span[1]]
        return self.statements[(edit.file, *min(around, key=lambda span: span[1] - span[0]))]

    def mutated(self, mutant):
        """Returns the text of a mutant's file."""
        edit, text = mutant.edit, self.files[mutant.edit.file].text
        return text[: edit.begin] + edit.text + text[edit.end :]

    def _marked(self, name, body):
        """Returns a body in which each statement notes that it is reached."""
        begin, end = body
        text = self.files[name].text
        marks = {}
        for span in self.bodies[name][body]:
            # The body itself begins behind its brace.
            place = span[0] + (span == body)
            note = f" mutate_reached[{self.statements[(name, *span)]}] = 1; "
            marks[place] = marks.get(place, "") + note
        for place in sorted(marks, reverse=True):
            text = text[:place] + marks[place] + text[place:]
        return text[begin : len(text) - (len(self.files[name].text) - end)]

    def schemata(self, name, mutants):
        """Returns the text of a file in which mutate_chosen chooses one of some numbered mutants.

        Each function has a body for each of its mutants. Errors name a mutant as their file.
        """
        text = self.files[name].text
        choices = {body: [] for body in self.bodies[name]}
        for number, mutant in mutants.items():
            if mutant.edit.file == name:
                choices[self._body(mutant.edit)].append(number)
        for begin, end in sorted(choices, reverse=True):
            cases = [f"default:\n{self._marked(name, (begin, end))}\nbreak;\n"]
            for number in choices[begin, end]:
                edit = mutants[number].edit
                original = self.files[name].text
                body = original[begin : edit.begin] + edit.text + original[edit.end : end]
                cases.append(f'case {number}:\n#line 1 "mutant-{number}"\n{body}\nbreak;\n')
            choice = "{\nswitch (mutate_chosen) {\n" + "".join(cases) + "}\n}"
            text = text[:begin] + choice + text[end:]
        return text
