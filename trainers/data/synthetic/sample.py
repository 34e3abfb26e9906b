"""Generation of samples: Rust code with documentation and tests, and the task of writing it."""

import copy
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tree_sitter import Node

from evaluation.rust.judge.harness import ITEMS
from evaluation.rust.syntax.nodes import field, node_bytes
from trainers.data.rewriting.bindings import parse, text
from trainers.data.rewriting.renaming import Choose, canonical, plausible_names, rename
from trainers.data.synthetic.family import Case, Draw, Family, FunctionSpec, Undefined
from trainers.data.synthetic.literals import OutOfRange, literal

ARGUMENTS = 40  # generated for the cases of a function
MOST_CASES = 12
WIDTH = 96
RENAMED_SHARE = 0.55  # share of the names in a sample that are renamed
ARTICLE = re.compile(r"\b([Aa]) (?=(?!and\b|are\b|on[ce])[aeio]\w\w|id\b)")  # before a vowel


@dataclass(frozen=True)
class FunctionTask:
    """
    Text of a task.

    Attributes:
        prompt: Documentation and signature, up to the opening brace.
        solution: Rest of the code after the prompt.
        signature: Declarations, in the form of `HiddenTests`.
        checker: Statements with `check!(...)`, none of which appear in the prompt.
    """

    prompt: str
    solution: str
    signature: str
    checker: str


@dataclass(frozen=True)
class SyntheticSample:
    """
    A synthetic sample.

    Attributes:
        family: Name of the family.
        group: Name of the group of families.
        tier: 0 to 4.
        parameters: Choices that make up its meaning.
        code: Documented items.
        tests: A test module.
        task: Task of writing it, or None for types, traits and macros.
    """

    family: str
    group: str
    tier: int
    parameters: tuple[str, ...]
    code: str
    tests: str
    task: FunctionTask | None

    @cached_property
    def canonical_tokens(self) -> tuple[str, ...]:
        """Tokens without the names that it binds, comments and layout; distinct for all samples of a data set."""
        return canonical(self.code)

    @property
    def meaning(self) -> tuple[str, ...]:
        """Key that is equal for all ways to write the same function."""
        return (self.family, *self.parameters)


def make_sample(family: Family, seed: str) -> SyntheticSample:
    """
    Generate a sample of a family; equal seeds give equal samples.

    Raises:
        Undefined: The sample cannot be tested, because too few arguments are valid or all give the same result.
    """
    draw = Draw(f"{family.name} {seed}")
    drawn = family.draw(draw)
    names = ("works", "it_works", "behaves_as_documented", "examples", "usual_cases", "basic_use", "small_example")
    if isinstance(drawn, FunctionSpec):
        code, cases, task = _write_function(drawn, draw)
        names = ("works", f"{drawn.name}_works", f"test_{drawn.name}", "small_inputs", "examples", "known_values")
    else:
        code = rename(_with_articles(textwrap.dedent(drawn.code).strip("\n") + "\n"), _names(draw))
        cases, task = drawn.cases, None
        names = (*names, *(f"{name}_works" for name in _defined(code)[:1]))
    tests = write_tests(names, cases, draw)
    return SyntheticSample(family.name, family.group, family.tier, tuple(draw.parameters), code, tests, task)


def _defined(code: str) -> list[str]:
    """Return the names of the types, traits and macros in snake_case."""
    found = re.findall(r"^(?:pub )?(?:struct|enum|trait|macro_rules!) (\w+)", code, re.MULTILINE)
    return [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in found]


def _with_articles(code: str) -> str:
    """Return the code with "an" instead of "a" before a vowel in its documentation."""
    return re.sub(r"(?m)^ *///.*", lambda line: ARTICLE.sub(r"\1n ", line[0]), code)


def _names(draw: Draw) -> Choose:
    return plausible_names(draw.wording, RENAMED_SHARE, any_name=False)


def _write_function(function: FunctionSpec, draw: Draw) -> tuple[str, Sequence[Case], FunctionTask]:
    """Return the code, the cases for its test module, and the task."""
    functions = (function, *function.parts)
    cases = {each.name: find_cases(each, draw) for each in functions}
    examples = _examples(cases[function.name], draw)
    bodies = [draw.style(*each.forms) for each in functions]
    written = [_write(each, body, examples, draw) for each, body in zip(functions, bodies, strict=True)]
    # Helpers come first, so that they are part of the prompt: a completion ends with its function.
    code = rename("\n".join([*_head(function, "".join(bodies)), *written[1:], written[0]]), _names(draw))
    hidden = [case for case in cases[function.name] if case not in examples][:MOST_CASES]
    visible = draw.wording.sample(cases[function.name], min(len(cases[function.name]), draw.style(2, 3, 4, 5)))
    return code, visible, _as_task(function.name, code, hidden)


def _head(function: FunctionSpec, bodies: str) -> list[str]:
    """Return the imports and the items that the function depends on."""
    used = [line for line in function.body_imports if re.search(rf"\b{_imported(line)}\b", bodies)]
    lines = list(dict.fromkeys([*function.imports, *used]))
    context = _with_articles(textwrap.dedent(function.context).strip("\n"))
    return [*lines, *([""] if lines else []), *([context, ""] if context else [])]


def _imported(line: str) -> str:
    return re.split(r"::|\s", line.rstrip(";"))[-1]


def declaration(function: FunctionSpec) -> str:
    """Return the declaration of a function, such as `fn name<T>(values: &[T]) -> T where ..`."""
    parameters = ", ".join(f"{name}: {kind}" for name, kind in function.parameters.items())
    returns = f" -> {function.returns}" if function.returns else ""
    where = f" {function.where_clause}" if function.where_clause else ""
    return f"fn {function.name}{function.generics}({parameters}){returns}{where}"


def _write(function: FunctionSpec, body: str, examples: Sequence[Case], draw: Draw) -> str:
    """Return the function with its documentation."""
    paragraphs = [ARTICLE.sub(r"\1n ", draw.style(*function.words))]
    if function.parts:
        begins = draw.style("Uses the helper", "Calls the helper", "Relies on the helper")
        helpers = [
            f"`{declaration(part)}`, which {_lowered(_described(part, function, draw))}" for part in function.parts
        ]
        paragraphs.append(f"{begins} {' Also uses the helper '.join(helpers)}")
    paragraphs += _shown([case for case in examples if case.actual.startswith(f"{function.name}(")], draw)
    lines = [line for each in paragraphs for line in ("", *textwrap.wrap(each, WIDTH, break_long_words=False))][1:]
    comment = "\n".join(f"/// {line}".rstrip() for line in lines)
    visible = draw.style("pub ", "pub ", "")
    inner = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    return f"{comment}\n{visible}{declaration(function)} {{\n{inner}\n}}\n"


def _described(part: FunctionSpec, function: FunctionSpec, draw: Draw) -> str:
    """Describe a helper function without the names of parameters that its caller has, too."""
    words = draw.style(*part.words)
    for name in part.parameters.keys() & function.parameters.keys():
        words = words.replace(f"`{name}`", "its argument")
    return words


def _lowered(words: str) -> str:
    return words[0].lower() + words[1:]


def _examples(cases: Sequence[Case], draw: Draw) -> list[Case]:
    """Choose none, one or two cases that are short enough for the documentation; at least half stay hidden."""
    short = [
        each
        for each in cases
        if not each.setup and len(each.actual + each.expected) < 60 and not re.search("to_string|::", each.expected)
    ]
    return draw.wording.sample(short, min(draw.style(0, 0, 0, 1, 1, 2), len(short), len(cases) // 2))


def _shown(examples: Sequence[Case], draw: Draw) -> list[str]:
    if not examples:
        return []
    calls = [(case.actual, case.expected) for case in examples]
    first, *others = calls
    begun = draw.style(
        "For example, `{}` is `{}`",
        "`{}` returns `{}`",
        "For example, `{}` returns `{}`",
        "For instance, `{}` returns `{}`",
        "Example: `{}` == `{}`",
        "Here is an example: `{}` returns `{}`",
    ).format(*first)
    return ["".join([begun, *(f", and `{actual}` is `{expected}`" for actual, expected in others), "."])]


def find_cases(function: FunctionSpec, draw: Draw) -> list[Case]:
    """
    Return test cases of a function with results of its oracle, those with different results first.

    Raises:
        Undefined: There are fewer than three cases, or all have the same result.
    """
    cases = list(function.cases)
    if function.oracle is not None:
        found: dict[tuple[str, str], Case] = {}
        for attempt in range(ARGUMENTS):
            arguments = _arguments(function, draw, attempt)
            try:
                case = _case(function, arguments)
            except (Undefined, OutOfRange):
                continue
            found.setdefault((case.setup, case.actual), case)
        seen: Counter[str] = Counter()
        ranks = {}
        for key, case in found.items():
            ranks[key] = seen[case.expected]
            seen[case.expected] += 1
        cases = [found[key] for key in sorted(found, key=lambda key: ranks[key])][:MOST_CASES]
    if len(cases) < 3 or len({case.expected for case in cases}) < 2:
        raise Undefined(f"{function.name} has {len(cases)} cases")
    return cases


def _arguments(function: FunctionSpec, draw: Draw, attempt: int) -> tuple[Any, ...]:
    if function.inputs is not None:
        return function.inputs()
    kinds = [_instance(kind, function.types) for kind in function.parameters.values()]
    arguments = [[draw.value(kind)] if _is_single(kind) else draw.value(kind) for kind in kinds]
    # First the edge cases: empty arguments, then arguments of one element, then equal arguments.
    if attempt in (2, 3, 4):
        first = dict(reversed(list(zip(kinds, arguments, strict=True))))
        equal = [first[kind] for kind in kinds]
        arguments = equal[: attempt - 1] + arguments[attempt - 1 :]
    if attempt < 2:
        arguments = [each[:attempt] if isinstance(each, list | str) else each for each in arguments]
    return tuple(arguments)


def _instance(kind: str, types: Mapping[str, str]) -> str:
    """Return the type with type parameters replaced."""
    for name, actual in types.items():
        kind = re.sub(rf"\b{name}\b", actual, kind)
    return kind


def _case(function: FunctionSpec, arguments: tuple[Any, ...]) -> Case:
    """Return one case. Raises `Undefined` or `OutOfRange`."""
    assert function.oracle is not None, "its results are computed"
    changed = copy.deepcopy(arguments)
    returned = function.oracle(*changed)
    kinds = {name: _instance(kind, function.types) for name, kind in function.parameters.items()}
    setup, passed, results = [], [], []
    for (name, kind), before, after in zip(kinds.items(), arguments, changed, strict=True):
        if kind.startswith("&mut "):
            owned = re.sub(r"^\[(.+)\]$", r"Vec<\1>", kind.removeprefix("&mut "))
            first, last = (before[0], after[0]) if _is_single(kind) else (before, after)
            setup.append(f"let mut {name} = {literal(first, owned)};")
            passed.append(f"&mut {name}")
            results.append((name, literal(last, owned)))
        else:
            written = literal(before, kind)
            if function.types and re.search(r"\[\]|::new\(\)|\bNone\b", written):
                raise Undefined("the type of an empty argument cannot be inferred")
            passed.append(_plain(written))
    call = f"{function.name}({', '.join(passed)})"
    if function.returns is None:
        return Case(results[0][0], results[0][1], " ".join([*setup, f"{call};"]))
    expected = literal(returned, _instance(function.returns, function.types))
    if function.returns.startswith("&[") and not returned:
        expected = f"&[] as {function.returns}"
    if results:
        setup.append(f"let returned = {call};")
        pairs = [("returned", expected), *results]
        return Case(*(f"({', '.join(part)})" for part in zip(*pairs, strict=True)), " ".join(setup))
    return Case(call, expected)


def _is_single(kind: str) -> bool:
    """Return whether a `&mut` argument is immutable in Python, and thus represented by a list of one element."""
    return kind.startswith("&mut ") and (kind == "&mut String" or kind[5:].isidentifier() or kind[5:8] == "Opt")


def _plain(argument: str) -> str:
    """Return an argument without the type annotation that inference makes unnecessary."""
    return re.sub(r"Vec::<[^()]*?>::new\(\)", "vec![]", argument)


def write_tests(names: Sequence[str], cases: Sequence[Case], draw: Draw) -> str:
    """Return a test module of one or two functions."""
    first, second = draw.wording.sample(list(dict.fromkeys(names)), 2)
    cut = len(cases) // 2 if len(cases) > 3 and draw.style(True, False, False) else len(cases)
    functions = [(first, cases[:cut])] + ([(second, cases[cut:])] if cut < len(cases) else [])
    equality = draw.style("assert_eq", "assert_eq", "assert_eq", "assert")
    written = []
    for name, its in functions:
        body = "\n".join(_assertion(case, equality, many=len(its) > 1) for case in its)
        written.append(f"    #[test]\n    fn {name}() {{\n{textwrap.indent(body, ' ' * 8)}\n    }}")
    return "#[cfg(test)]\nmod tests {\n    use super::*;\n\n" + "\n\n".join(written) + "\n}\n"


def _assertion(case: Case, equality: str, many: bool) -> str:
    if case.expected in ("true", "false"):
        line = f"assert!({'' if case.expected == 'true' else '!'}{case.actual});"
    elif equality == "assert" and not case.expected.startswith("Err"):
        line = f"assert!({case.actual} == {case.expected});"
    else:
        line = f"assert_eq!({case.actual}, {case.expected});"
    if len(line) > WIDTH and line.startswith("assert_eq"):
        line = f"assert_eq!(\n    {case.actual},\n    {case.expected}\n);"
    if not case.setup:
        return line
    statements = [statement for statement in _statements(case.setup)]
    lines = [*statements, line]
    if not many:
        return "\n".join(lines)
    return "{\n" + textwrap.indent("\n".join(lines), "    ") + "\n}"


def _statements(setup: str) -> list[str]:
    root = parse(f"fn f() {{ {setup} }}")
    return [text(each) for each in field(root.named_children[0], "body").named_children]


def _as_task(name: str, code: str, cases: Sequence[Case]) -> FunctionTask:
    """Return the task of writing the named function, the last one."""
    root = parse(code)
    declared, prompt_end = [], None
    encoded = code.encode()
    for node in root.named_children:
        item = node.child_by_field_name("name")
        if node.type == "function_item":
            if text(item) == name:
                prompt_end = field(node, "body").start_byte + 1
                declared.append(_declared(node))
        elif node.type == "use_declaration":
            declared.append(text(node))
        elif node.type in ITEMS and prompt_end is None:
            empty = " {}" if node.type in ("enum_item", "trait_item") else ";"
            declared.append(f"{ITEMS[node.type]} {text(item)}{empty}")
    checks = [f"check!({case.actual} == {_quick(case.expected)});" for case in cases]
    pairs = zip(cases, checks, strict=True)
    blocks = [f"{{ {case.setup} {check} }}" if case.setup else check for case, check in pairs]
    return FunctionTask(
        prompt=encoded[:prompt_end].decode() + "\n",
        solution=encoded[prompt_end:].decode().removeprefix("\n"),
        signature="\n".join(declared),
        checker="\n".join(blocks),
    )


def _quick(expected: str) -> str:
    """Return an equal expression that compiles faster: an array for a vector, a `&str` for a `String`."""
    if expected.startswith("vec!["):
        return expected.removeprefix("vec!")
    return re.sub(r'^("(?:[^"\\]|\\.)*")\.to_string\(\)$', r"\1", expected)


def _declared(function: Node) -> str:
    start = next(child for child in function.children if child.type == "fn").start_byte - function.start_byte
    end = field(function, "body").start_byte - function.start_byte
    return node_bytes(function)[start:end].decode().strip() + ";"
