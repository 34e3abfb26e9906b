"""
Hidden tests in a separate process: which tests support it, and the Rust code by which the two processes communicate.

The process of the tests has functions of the demanded names and types that send their arguments to the candidate's
process and return its answers. Arguments and results must therefore be plain values that can be serialized: numbers,
strings, collections of them from the standard library, and references to these. `harness_crate/wire.rs` serializes
them.
"""

import re

from tree_sitter import Node

from evaluation.rust.syntax.analysis import COMMENTS
from evaluation.rust.syntax.declarations import Declarations, Function
from evaluation.rust.syntax.nodes import field, node_text, parent_of, walk

BUILT_IN = {"String", "Vec", "Option", "Result", "Box"}
# Not RangeInclusive: its private state of exhaustion cannot be serialized.
PLAIN_TYPES = {
    *(
        f"std::collections::{name}"
        for name in (
            "BTreeMap",
            "BTreeSet",
            "BinaryHeap",
            "HashMap",
            "HashSet",
            "LinkedList",
            "VecDeque",
        )
    ),
    "std::collections::hash_map::HashMap",
    "std::collections::btree_map::BTreeMap",
    "std::borrow::Cow",
    "std::cmp::Ordering",
    "std::cmp::Reverse",
    "std::num::Wrapping",
    "std::ops::Range",
    "std::time::Duration",
    "std::string::String",
    "std::vec::Vec",
    "std::option::Option",
    "std::result::Result",
    "std::boxed::Box",
}
PARTS = COMMENTS | {
    "primitive_type",
    "type_identifier",
    "scoped_type_identifier",
    "generic_type",
    "type_arguments",
    "reference_type",
    "lifetime",
    "identifier",
    "array_type",
    "tuple_type",
    "unit_type",
    "integer_literal",
    "mutable_specifier",
}
MOST_PARTS_OF_A_TUPLE = 8
# The address or the capacity of a value: that of a copy differs.
PLACES = re.compile(r"\b(?:ptr|as_ptr|as_mut_ptr|as_ptr_range|addr_of|capacity|type_name|type_name_of_val)\b")
# Tests that continue after a panic: changes that a call made before its panic are not sent back.
CATCHES = re.compile(r"\b(?:catch_unwind|spawn)\b")


def obstacle(declarations: Declarations, checker: str) -> str | None:
    """Return why tests must share a process with the candidate, or None if they need not."""
    kind = next((f"`{kind} {name}`" for kind, name in declarations.items if kind != "fn"), None)
    if kind is not None:
        return f"the tests use the candidate's own {kind}"
    place = PLACES.search(checker)
    if place:
        return f"the tests use `{place[0]}`, which differs for a copy of a value"
    catch = CATCHES.search(checker)
    if catch and any(_is_mutable(kind.node) for f in declarations.functions for kind in f.parameters):
        return f"the tests use `{catch[0]}`, and could see changes behind `&mut` of a call that panics"
    for function in declarations.functions:
        reason = _obstacle_of(function, declarations.imported)
        if reason:
            return f"`fn {function.name}` {reason}"
    return None


def _obstacle_of(function: Function, imported: dict[str, str]) -> str | None:
    generics = [] if function.type_parameters is None else function.type_parameters.named_children
    if any(node.type not in COMMENTS | {"lifetime_parameter"} for node in generics):
        return "is generic"
    for kind in function.parameters:
        reason = _not_plain(kind.node, imported)
        if reason:
            return reason
        mutable = [node for node in walk(kind.node) if node.type == "mutable_specifier"]
        if mutable and (len(mutable) > 1 or mutable[0].parent != kind.node or not _can_be_updated(kind.node)):
            return f"takes `{kind.text}`"
    if function.result is not None:
        reason = _not_plain(function.result.node, imported)
        if reason:
            return reason
        if any(node.type == "mutable_specifier" for node in walk(function.result.node)):
            return f"returns `{function.result.text}`"
    return None


def _not_plain(kind: Node, imported: dict[str, str]) -> str | None:
    for node in walk(kind, lambda node: node.parent is not None and node.parent.type == "scoped_type_identifier"):
        text = re.sub(r"\s", "", node_text(node))
        if node.is_named and node.type not in PARTS:
            return f"has a type that is no plain value: `{node_text(node)}`"
        if node.type == "type_identifier" and not _is_plain(imported.get(text, text), text, imported):
            return f"has a type that is no plain value of the standard library: `{text}`"
        if node.type == "scoped_type_identifier" and not _is_plain(text.removeprefix("::"), "", imported):
            return f"has a type that is no plain value of the standard library: `{text}`"
        if node.type == "tuple_type" and node.named_child_count > MOST_PARTS_OF_A_TUPLE:
            return f"has a tuple of more than {MOST_PARTS_OF_A_TUPLE} values"
        if node.type == "identifier" and parent_of(node).type != "lifetime":
            return f"has an array of a named length: `{node_text(parent_of(node))}`"
        if node.type == "generic_type" and _name(node) == "Result" and _arguments(node) != 2:
            return f"has a type that is no plain value of the standard library: `{text}`"
    return None


def _is_plain(path: str, name: str, imported: dict[str, str]) -> bool:
    if name in BUILT_IN and name not in imported:
        return True
    first, _, rest = path.partition("::")
    if first in imported and rest:
        first, _, rest = f"{imported[first]}::{rest}".partition("::")
    return f"{'std' if first in ('core', 'alloc') else first}::{rest}" in PLAIN_TYPES


def _name(generic: Node) -> str:
    return node_text(field(generic, "type")).rpartition("::")[2].strip()


def _arguments(generic: Node) -> int:
    arguments = field(generic, "type_arguments").named_children
    return sum(argument.type not in COMMENTS | {"lifetime"} for argument in arguments)


def _can_be_updated(reference: Node) -> bool:
    """Whether the value behind `&mut` can be overwritten as a whole: it has no references and is no `str`."""
    kinds = [node.type for node in walk(field(reference, "type"))]
    return field(reference, "type").text != b"str" and not {"reference_type", "lifetime"} & set(kinds)


def proxies(declarations: Declarations) -> str:
    """Return the functions for the tests' process, which call those in the candidate's process."""
    return "\n".join(_proxy(number, function) for number, function in enumerate(declarations.functions))


def _proxy(number: int, function: Function) -> str:
    arguments = function.arguments()
    changed = [name for name, kind in zip(arguments, function.parameters, strict=True) if _is_mutable(kind.node)]
    put = " ".join(f"nanochat_call.put(&{name});" for name in arguments)
    update = " ".join(f"nanochat_returned.update({name});" for name in changed)
    return (
        f"#[allow(dead_code)] {function.head()} {{ let mut nanochat_call = nanochat_harness::Call::new({number}); "
        f"{put} let mut nanochat_returned = nanochat_call.ask(); let nanochat_result = nanochat_returned.get(); "
        f"{update} nanochat_result }}"
    )


def server(declarations: Declarations) -> str:
    """Return `nanochat_calls` for the candidate's process, which calls the candidate's functions by number."""
    functions = declarations.functions
    arms = " ".join(f"{number} => {_served(function)}," for number, function in enumerate(functions))
    wrappers = "\n".join(function.wrapper() for function in functions)
    return (
        "pub fn nanochat_calls(nanochat_number: u32, nanochat_question: &mut nanochat_harness::Question, "
        f"nanochat_answer: &mut nanochat_harness::Answer) {{ match nanochat_number {{ {arms} "
        f'_ => unreachable!("a number of a function") }} }}\n{wrappers}\n'
    )


def _served(function: Function) -> str:
    """Return code that reads the arguments, calls the function, and writes the result and the values behind `&mut`."""
    names = function.arguments()
    lines, passed, changed = [], [], []
    for name, kind in zip(names, function.parameters, strict=True):
        borrow, held = _held(kind.node)
        lines.append(f"let {'mut ' if borrow == '&mut ' else ''}{name}: {held} = nanochat_question.get();")
        passed.append(borrow + name)
        if borrow == "&mut ":
            changed.append(f"nanochat_answer.put(&{name});")
    call = f"nanochat_answer.put(&{function.name}({', '.join(passed)}));"
    return f"{{ {' '.join([*lines, call, *changed])} }}"


def _held(kind: Node) -> tuple[str, str]:
    """Return how an argument is passed, and the type that owns it during the call, so that it need not be leaked."""
    if kind.type != "reference_type" or any(child.text == b"'static" for child in kind.children):
        return "", _anonymous(kind)
    inner = field(kind, "type")
    borrow = "&mut " if _is_mutable(kind) else "&"
    if inner.text == b"str":
        return borrow, "::std::string::String"
    if inner.type == "array_type" and inner.child_by_field_name("length") is None:
        return borrow, f"::std::vec::Vec<{_anonymous(field(inner, 'element'))}>"
    return borrow, _anonymous(inner)


def _anonymous(kind: Node) -> str:
    """Return the source of a type with anonymous lifetimes, whose names are only valid in the signature."""
    return re.sub(r"'(?!static\b)\w+", "'_", node_text(kind))


def _is_mutable(kind: Node) -> bool:
    return kind.type == "reference_type" and any(child.type == "mutable_specifier" for child in kind.children)
