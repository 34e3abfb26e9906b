"""Other ways to write the same: loops and iterators, `match` and `if let`, early returns and `else`.

Each form looks at one node and gives the edits that rewrite it, or none. What it gives means the same wherever it
compiles; the compiler has the last word on types and borrows.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from evaluation.rust.syntax import COMMENTS
from trainers.data.rewriting.bindings import parse, text, walk
from trainers.data.rewriting.renaming import apply_edits

LEAVING = {"return_expression", "try_expression", "await_expression", "yield_expression"}
LOOPS = {"for_expression", "while_expression", "loop_expression"}
# What a method can be called on without parentheses.
POSTFIX = {
    "identifier", "call_expression", "field_expression", "index_expression", "parenthesized_expression", "self",
    "macro_invocation", "scoped_identifier", "array_expression", "string_literal",
}  # fmt: skip
INTEGER = re.compile(r"[iu](?:8|16|32|64|128|size)")


@dataclass(frozen=True)
class Rewrite:
    """One place written in another way."""

    form: str
    start: int
    end: int
    new: str


def alternative_forms(code: str, pick: random.Random, most: int = 2) -> str | None:
    """
    The code with up to `most` places written in another form; None where there is none.

    Raises:
        ValueError: The code does not parse.
    """
    found = list(find_rewrites(code))
    pick.shuffle(found)
    chosen: list[Rewrite] = []
    for rewrite in found:
        if len(chosen) < most and all(rewrite.end <= each.start or each.end <= rewrite.start for each in chosen):
            chosen.append(rewrite)
    return apply_edits(code, [(each.start, each.end, each.new) for each in chosen]) if chosen else None


def find_rewrites(code: str) -> Iterator[Rewrite]:
    """Every place that has another form, with that form."""
    root = parse(code)
    names = {text(node) for node in walk(root) if not node.child_count}
    for node in walk(root):
        for form in FORMS.get(node.type, ()):
            rewrite = form(node, names)
            if rewrite is not None:
                yield rewrite


def _rewrite(form: str, first: Node, last: Node, new: str) -> Rewrite:
    return Rewrite(form, first.start_byte, last.end_byte, new)


def _for_to_for_each(node: Node, names: set[str]) -> Rewrite | None:
    """`for p in e { .. }` is `e.into_iter().for_each(|p| { .. })` when nothing in it leaves the loop."""
    body, value, pattern = (node.child_by_field_name(name) for name in ("body", "value", "pattern"))
    if _label(node) is not None or _leaves(body) or not _is_statement(node) or _keeps_borrows(body):
        return None
    new = f"{_receiver(value)}.into_iter().for_each(|{text(pattern)}| {text(body)});"
    return _rewrite("for_to_iterator", node, node, new)


def _push_loop_to_extend(node: Node, names: set[str]) -> Rewrite | None:
    """`for p in e { v.push(x); }` is `v.extend(e.into_iter().map(|p| x))`."""
    body, value, pattern = (node.child_by_field_name(name) for name in ("body", "value", "pattern"))
    inner = _only(body)
    if _label(node) is not None or inner is None or _leaves(body) or not _is_statement(node):
        return None
    condition = None
    if inner.type == "if_expression" and inner.child_by_field_name("alternative") is None:
        condition = inner.child_by_field_name("condition")
        inner = _only(inner.child_by_field_name("consequence"))
    pushed = _method_call(inner, "push") if inner is not None else None
    if pushed is None or pushed[0].type != "identifier":
        return None
    target, (item,) = pushed
    rest = [value, item] + ([condition] if condition is not None else [])
    if any(text(each) == text(target) for part in rest for each in walk(part)):
        return None
    if condition is None:
        mapped = f"map(|{text(pattern)}| {text(item)})"
    else:
        mapped = f"filter_map(|{text(pattern)}| if {text(condition)} {{ Some({text(item)}) }} else {{ None }})"
    new = f"{text(target)}.extend({_receiver(value)}.into_iter().{mapped});"
    return _rewrite("loop_to_chain", node, node, new)


def _search_loop_to_chain(node: Node, names: set[str]) -> Rewrite | None:
    """`for p in e { if c { return true; } } false`, at the end of a function, is `e.into_iter().any(|p| c)`."""
    tail = _next_code(node.parent) if node.parent.type == "expression_statement" else _next_code(node)
    inner = _only(node.child_by_field_name("body"))
    if tail is None or not _is_function_tail(tail) or inner is None or inner.type != "if_expression":
        return None
    condition, consequence = inner.child_by_field_name("condition"), inner.child_by_field_name("consequence")
    if inner.child_by_field_name("alternative") is not None or condition.type in ("let_condition", "let_chain"):
        return None
    returned = {"true": "false", "false": "true"}.get(text(tail))
    if returned is None or re.sub(r"\s|;", "", text(consequence)) != f"{{return{returned}}}" or _leaves(condition):
        return None
    pattern, value = text(node.child_by_field_name("pattern")), _receiver(node.child_by_field_name("value"))
    test = f"any(|{pattern}| {text(condition)})" if returned == "true" else f"all(|{pattern}| !({text(condition)}))"
    return _rewrite("loop_to_chain", node, tail, f"{value}.into_iter().{test}")


def _chain_to_loop(node: Node, names: set[str]) -> Rewrite | None:
    """A chain that ends a function becomes a loop: `any`, `all`, `count`, `sum`, `fold`, `collect` to a vector."""
    if not _is_function_tail(node):
        return None
    function = _function_of(node)
    returned = re.sub(r"\s", "", text(function.child_by_field_name("return_type")))
    call = node.child_by_field_name("function")
    if call.type == "generic_function":
        call = call.child_by_field_name("function")
    if call.type != "field_expression":
        return None
    method, chain = text(call.child_by_field_name("field")), call.child_by_field_name("value")
    arguments = node.child_by_field_name("arguments").named_children
    if chain.type != "call_expression" or _leaves(node):
        return None
    margin = _margin(node)
    source = text(chain)

    def loop(before: str, pattern: str, inside: str, after: str, over: str = source) -> Rewrite:
        new = f"{before}for {pattern} in {over} {{\n{margin}    {inside}\n{margin}}}\n{margin}{after}"
        return _rewrite("chain_to_loop", node, node, new)

    if method in ("any", "all") and returned == "bool":
        closure = _closure(arguments, 1)
        if closure is None:
            return None
        (pattern,), body = closure
        test, result = (body, "true") if method == "any" else (f"!({body})", "false")
        other = "false" if result == "true" else "true"
        return loop("", pattern, f"if {test} {{\n{margin}        return {result};\n{margin}    }}", other)
    if method == "count" and returned == "usize":
        name = _fresh("count", names)
        return loop(f"let mut {name} = 0;\n{margin}", "_", f"{name} += 1;", name)
    if method == "sum" and (INTEGER.fullmatch(returned) or returned in ("f32", "f64")):
        name, each, zero = _fresh("total", names), _fresh("each", names), "0.0" if returned[0] == "f" else "0"
        mapped = _mapped(chain)
        if mapped is not None:
            over, pattern, body = mapped
            return loop(f"let mut {name} = {zero};\n{margin}", pattern, f"{name} += {body};", name, over)
        return loop(f"let mut {name} = {zero};\n{margin}", each, f"{name} += {each};", name)
    if method == "collect" and returned.startswith("Vec<"):
        name, each = _fresh("collected", names), _fresh("each", names)
        mapped = _mapped(chain)
        if mapped is not None:
            over, pattern, body = mapped
            return loop(f"let mut {name} = Vec::new();\n{margin}", pattern, f"{name}.push({body});", name, over)
        return loop(f"let mut {name} = Vec::new();\n{margin}", each, f"{name}.push({each});", name)
    if method == "fold" and len(arguments) == 2:
        closure = _closure(arguments[1:], 2)
        if closure is None or not closure[0][0].isidentifier():
            return None
        (state, pattern), body = closure
        kind = f": {returned}" if INTEGER.fullmatch(returned) else ""
        before = f"let mut {state}{kind} = {text(arguments[0])};\n{margin}"
        return loop(before, pattern, f"{state} = {body};", state)
    return None


def _for_each_to_for(node: Node, names: set[str]) -> Rewrite | None:
    """`e.for_each(|p| x);` is `for p in e { x; }`."""
    called = _method_call(node, "for_each")
    if called is None or node.parent.type != "expression_statement":
        return None
    closure = _closure(called[1], 1)
    if closure is None:
        return None
    (pattern,), body = closure
    block = body if body.startswith("{") else f"{{\n{_margin(node)}    {body};\n{_margin(node)}}}"
    return _rewrite("iterator_to_for", node.parent, node.parent, f"for {pattern} in {text(called[0])} {block}")


def _match_to_if_let(node: Node, names: set[str]) -> Rewrite | None:
    """A `match` of two arms, of which one takes all that the other does not, is `if let .. else`."""
    arms = [each for each in node.child_by_field_name("body").named_children if each.type not in COMMENTS]
    if len(arms) != 2 or any(each.type != "match_arm" for each in arms):
        return None
    patterns = [each.child_by_field_name("pattern") for each in arms]
    if any(each.child_by_field_name("condition") is not None for each in patterns):
        return None
    first, second = map(text, patterns)
    rests = {"Some": "None", "Ok": "Err(_)", "Err": "Ok(_)"}
    rest_of = [rests.get(each.partition("(")[0]) for each in (first, second)]
    if second == "_" or (rest_of[0] is not None and second == rest_of[0]):
        chosen, other = arms
    elif rest_of[1] is not None and first == rest_of[1]:
        other, chosen = arms
    else:
        return None
    value, margin = node.child_by_field_name("value"), _margin(node)
    if first == "_" or value.type == "struct_expression":
        return None
    taken, left = (_as_block(each.child_by_field_name("value"), margin) for each in (chosen, other))
    pattern = text(chosen.child_by_field_name("pattern"))
    if re.fullmatch(r"true|false", pattern):
        return None
    new = f"if let {pattern} = {text(value)} {taken} else {left}"
    return _rewrite("match_to_if_let", node, node, new if _may_stand_bare(node) else f"({new})")


def _if_let_to_match(node: Node, names: set[str]) -> Rewrite | None:
    """`if let p = e { a } else { b }` is `match e { p => a, _ => b }`."""
    condition, alternative = node.child_by_field_name("condition"), node.child_by_field_name("alternative")
    if condition.type != "let_condition" or node.parent.type == "else_clause":
        return None
    pattern = condition.child_by_field_name("pattern")
    if pattern.type == "identifier" and text(pattern)[0].islower():
        return None
    margin = _margin(node)
    other = "{}" if alternative is None else _dedented_block(text(alternative.named_children[-1]))
    taken = text(node.child_by_field_name("consequence"))
    arms = "".join(
        f"{margin}    {arm},\n".replace("\n", "\n    ").removesuffix("    ")
        for arm in (f"{text(pattern)} => {taken}", f"_ => {other}")
    )
    new = f"match {text(condition.child_by_field_name('value'))} {{\n{arms}{margin}}}"
    return _rewrite("if_let_to_match", node, node, new)


def _return_to_else(node: Node, names: set[str]) -> Rewrite | None:
    """`if c { return a; } b`, in the body of a function, is `if c { a } else { b }`."""
    statement = node.parent if node.parent.type == "expression_statement" else node
    block, consequence = statement.parent, node.child_by_field_name("consequence")
    if node.child_by_field_name("alternative") is not None or not _is_function_body(block):
        return None
    last = _last_code(consequence)
    leaving = None if last is None else last.named_child(0) if last.type == "expression_statement" else last
    following = _next_code(statement)
    if leaving is None or leaving.type != "return_expression" or following is None:
        return None
    final = _last_code(block)
    value = leaving.named_child(0) if leaving.named_child_count else None
    returns = block.parent.child_by_field_name("return_type") is not None
    has_value = final.type not in ("let_declaration", "empty_statement") and not text(final).endswith(";")
    if returns != (value is not None) or (returns and not has_value):
        return None
    kept = consequence.text[: last.start_byte - consequence.start_byte].decode().rstrip()
    margin = _margin(statement)
    inner = f"{kept}\n{margin}    {text(value)}\n{margin}}}" if value is not None else f"{kept}\n{margin}}}"
    rest = block.text[following.start_byte - block.start_byte : final.end_byte - block.start_byte].decode()
    rest = rest.replace("\n", "\n    ")
    condition = text(node.child_by_field_name("condition"))
    new = f"if {condition} {inner} else {{\n{margin}    {rest}\n{margin}}}"
    return _rewrite("return_to_else", statement, final, new)


def _else_to_return(node: Node, names: set[str]) -> Rewrite | None:
    """`if c { a } else { b }` at the end of a function is `if c { return a; } b`."""
    alternative, consequence = node.child_by_field_name("alternative"), node.child_by_field_name("consequence")
    statement = node.parent if node.parent.type == "expression_statement" else node
    if alternative is None or text(statement).endswith(";") or not _is_function_tail(statement):
        return None
    tail = _last_code(consequence)
    if _function_of(node).child_by_field_name("return_type") is None or tail is None:
        return None
    if tail.type in ("let_declaration", "empty_statement") or text(tail).endswith(";"):
        return None
    margin = _margin(node)
    kept = consequence.text[: tail.start_byte - consequence.start_byte].decode()
    other = alternative.named_children[-1]
    rest = _inside(text(other), margin) if other.type == "block" else text(other)
    condition = text(node.child_by_field_name("condition"))
    new = f"if {condition} {kept}return {text(tail)};\n{margin}}}\n{margin}{rest}"
    return _rewrite("else_to_return", node, node, new)


def _label(loop: Node) -> Node | None:
    return next((child for child in loop.children if child.type == "label"), None)


def _leaves(node: Node) -> bool:
    """Whether something in it ends the function, or a loop around it; what is in closures and items does not."""
    waiting = [(node, False)]
    while waiting:
        current, in_loop = waiting.pop()
        if current.type in LEAVING or (current.type == "macro_invocation" and _mentions_leaving(current)):
            return True
        if current.type in ("break_expression", "continue_expression") and (not in_loop or _label(current)):
            return True
        if current.type in ("closure_expression", "function_item"):
            continue
        inside = in_loop or current.type in LOOPS
        waiting += [(child, inside) for child in current.named_children]
    return False


def _keeps_borrows(body: Node) -> bool:
    """Whether it gives an outer variable what a closure could not: a mutable borrow, or its own value moved."""
    for node in walk(body):
        if node.type == "assignment_expression":
            left, right = text(node.child_by_field_name("left")), node.child_by_field_name("right")
            if re.search(r"&mut\b|\.(?:entry|as_mut|iter_mut|next|take)\(", text(right)):
                return True
            if right.type == "binary_expression" and text(right).startswith(f"{left} + ") and "&" in text(right):
                return True
    return False


def _mentions_leaving(macro: Node) -> bool:
    return bool(re.search(r"\b(?:return|break|continue|await)\b|\?", text(macro)))


def _is_statement(node: Node) -> bool:
    """Whether it stands for itself, and not for a value."""
    return node.parent.type in ("expression_statement", "block") and not (
        node.parent.type == "block" and _last_code(node.parent) == node and not _returns_nothing(node.parent)
    )


def _returns_nothing(block: Node) -> bool:
    return block.parent.type == "function_item" and block.parent.child_by_field_name("return_type") is None


def _receiver(node: Node) -> str:
    return text(node) if node.type in POSTFIX else f"({text(node)})"


def _code(block: Node) -> list[Node]:
    return [each for each in block.named_children if each.type not in COMMENTS and each.type != "empty_statement"]


def _only(block: Node) -> Node | None:
    """The only statement of a block, without its `;`."""
    inner = _code(block)
    if len(inner) != 1 or len(block.named_children) != 1:
        return None
    return inner[0].named_child(0) if inner[0].type == "expression_statement" else inner[0]


def _last_code(block: Node) -> Node | None:
    inner = _code(block)
    return inner[-1] if inner else None


def _next_code(node: Node) -> Node | None:
    following = node.next_named_sibling
    while following is not None and following.type in COMMENTS:
        following = following.next_named_sibling
    return following


def _is_function_body(block: Node) -> bool:
    return block.type == "block" and block.parent.type == "function_item"


def _is_function_tail(node: Node) -> bool:
    return _is_function_body(node.parent) and _last_code(node.parent) == node


def _function_of(node: Node) -> Node:
    while node.type != "function_item":
        node = node.parent
    return node


def _margin(node: Node) -> str:
    """The white space before the line on which a node begins."""
    root = node
    while root.parent is not None:
        root = root.parent
    start = node.start_byte - node.start_point[1]
    line = root.text[start - root.start_byte :].split(b"\n", 1)[0].decode()
    return line[: len(line) - len(line.lstrip())]


def _method_call(node: Node, name: str) -> tuple[Node, list[Node]] | None:
    """Receiver and arguments of a call of this method."""
    if node.type != "call_expression":
        return None
    function = node.child_by_field_name("function")
    if function.type != "field_expression" or text(function.child_by_field_name("field")) != name:
        return None
    return function.child_by_field_name("value"), node.child_by_field_name("arguments").named_children


def _closure(arguments: list[Node], count: int) -> tuple[list[str], str] | None:
    """The patterns and the body of the only argument, if it is a closure that only computes."""
    if len(arguments) != 1 or arguments[0].type != "closure_expression":
        return None
    closure = arguments[0]
    parameters = closure.child_by_field_name("parameters").named_children
    if len(parameters) != count or any(each.type == "parameter" for each in parameters):
        return None
    body = closure.child_by_field_name("body")
    if any(node.type in LEAVING for node in walk(body)) or closure.child_by_field_name("return_type") is not None:
        return None
    return [text(each) for each in parameters], text(body)


def _mapped(chain: Node) -> tuple[str, str, str] | None:
    """What `.map(|p| e)` is called on, p, and e."""
    called = _method_call(chain, "map")
    closure = None if called is None else _closure(called[1], 1)
    return None if closure is None else (text(called[0]), closure[0][0], closure[1])


def _as_block(node: Node, margin: str) -> str:
    if node.type == "block":
        return _dedented_block(text(node))
    return f"{{\n{margin}    {text(node)}\n{margin}}}"


def _dedented_block(block: str) -> str:
    """A block that stood one level deeper."""
    return block.replace("\n    ", "\n")


def _inside(block: str, margin: str) -> str:
    """What is between the braces, one level further out."""
    return block[1:-1].strip("\n").strip().replace("\n    ", "\n")


def _may_stand_bare(node: Node) -> bool:
    """Whether `if` may stand there without parentheses."""
    return node.parent.type in (
        "block", "expression_statement", "let_declaration", "match_arm", "return_expression", "arguments",
        "assignment_expression", "field_initializer", "closure_expression", "tuple_expression", "else_clause",
    )  # fmt: skip


def _fresh(name: str, names: set[str]) -> str:
    while name in names:
        name += "_"
    return name


Form = Callable[[Node, set[str]], Rewrite | None]
FORMS: dict[str, tuple[Form, ...]] = {
    "for_expression": (_push_loop_to_extend, _search_loop_to_chain, _for_to_for_each),
    "call_expression": (_chain_to_loop, _for_each_to_for),
    "match_expression": (_match_to_if_let,),
    "if_expression": (_if_let_to_match, _return_to_else, _else_to_return),
}
