"""Functions of enums and boxed types, whose definition comes before the function: matches, measures and recursion."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trainers.data.synthetic.families.enums import EnumValue, declare, draw_enum
from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.literals import INTEGERS, UNSIGNED, Err, Ok, Raw, literal
from trainers.data.synthetic.writing import fill, match_on

# Name, description, and variants with their fields.
CARRIERS = (
    ("Ticket", "a ticket for a zoo", "Child; Group persons; Family adults children"), ("Drink", "a drink of an order", "Water; Tea cups; Punch glasses oranges"),
    ("Errand", "an errand to run", "Rest; Walk meters; Delivery boxes floors"), ("Patch", "a patch of a garden", "Path; Bed side; Lawn length breadth"),
    ("Packet", "a packet on a wire", "Ping; Ack number; Data parts bytes"), ("Delivery", "a delivery to a shop", "Empty; Pallet boxes; Truck pallets boxes"),
    ("Exercise", "an exercise of a training", "Pause; Run laps; Lift weight repeats"), ("Fare", "a fare of a taxi", "Canceled; Flat price; Metered base distance"),
    ("Chore", "a chore at home", "Nothing; Sweep rooms; Wash loads minutes"), ("Melody", "a piece of a melody", "Silence; Note beats; Chord tones beats"),
)  # fmt: skip


@family(tier=0)
def variant_mapped(draw: Draw) -> FunctionSpec:
    name, said, variants = draw_enum(draw)
    wanted, size = draw.choose("next", "previous", "opposite", "swapped"), len(variants)
    pairs = {"next": 1, "previous": -1}
    to = [variants[(i + pairs[wanted]) % size] if wanted in pairs else variants[-1 - i] if wanted == "opposite" else variants[i ^ 1] if i ^ 1 < size else each for i, each in enumerate(variants)]
    described = {"next": "the next variant; the first one follows the last", "previous": "the variant before; the last one comes before the first", "opposite": "the variant at the same place from the end", "swapped": "the other one of each pair of variants" + (f"; `{variants[-1]}` stays" if size % 2 else "")}[wanted]
    it = draw.style(snake(name), "value", "current")
    arms = [(f"{name}::{a}", f"{name}::{b}") for a, b in zip(variants, to, strict=True)]
    same = [(a, b) for a, b in arms if a != b]
    return FunctionSpec(
        name=draw.style(f"{wanted}_{snake(name)}", wanted, f"turn_{snake(name)}"), parameters={it: name}, returns=name, context=declare(draw, name, said, variants),
        words=[f"Returns {described}: " + ", ".join(f"`{a}` gives `{b}`" for a, b in zip(variants, to, strict=True)) + ".", f"Returns {described}."],
        forms=[match_on(it, arms), match_on(it, [*same[:-1], ("_" if len(same) == len(arms) else f"{same[-1][0]}", same[-1][1]), *([] if len(same) == len(arms) else [("_", it)])])],
        oracle=lambda value: Raw(f"{name}::{to[variants.index(value.name)]}"), inputs=lambda: (one_of(draw, name, variants),),
    )


def snake(name: str) -> str:
    """Return a name in camel case as words with underscores."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def one_of(draw: Draw, name: str, variants: Sequence[str]) -> EnumValue:
    """Generate a value of an enum without data."""
    chosen = draw.arguments.choice(variants)
    return EnumValue(f"{name}::{chosen}", chosen, ())


@family(tier=0)
def variant_tested(draw: Draw) -> FunctionSpec:
    name, said, variants = draw_enum(draw)
    chosen = [variants[index] for index in sorted(draw.choose((0, 1), (0, 2), (1, 2), (0,), (1,), (2,)))]
    kind, borrowed, inner = draw.choose(*INTEGERS), draw.choose(True, False), draw.choose(True, False)
    number, low = draw.style("count", "number", "level", "size"), draw.integer(2, 12)
    high = low + draw.integer(3, 12)
    it = draw.style(snake(name), "value", "item")
    listed = " | ".join(f"{name}::{each}" for each in chosen)
    told = " or ".join(f"`{each}`" for each in chosen)
    other = [(f"{name}::{each}", f"{number} < {high}") for each in variants if each not in chosen]
    forms = [match_on(it, [(listed, f"{number} < {low}"), ("_", f"{number} < {high}")]), match_on(it, [(listed, f"{number} < {low}"), *other]), f"if matches!({it}, {listed}) {{\n    {number} < {low}\n}} else {{\n    {number} < {high}\n}}"]
    if inner:
        forms = [f"matches!({it}, {listed}) && {number} >= {low}", match_on(it, [(listed, f"{number} >= {low}"), ("_", "false")])]
    if not borrowed and inner:
        forms.append(f"({' || '.join(f'{it} == {name}::{each}' for each in chosen)}) && {number} >= {low}")

    def oracle(value: EnumValue, count: int) -> bool:
        if inner:
            return value.name in chosen and count >= low
        return count < (low if value.name in chosen else high)

    whole = f"`{number}` is at least {low} and `{it}` is {told}" if inner else f"`{number}` is less than {low} for {told}, or less than {high} for anything else"
    return FunctionSpec(
        name=draw.style(f"is_{chosen[0].lower()}", f"accepts_{snake(name)}", f"check_{snake(name)}", "allowed"), parameters={it: f"&{name}" if borrowed else name, number: kind}, returns="bool",
        context=declare(draw, name, said, variants), words=[f"Returns `true` if {whole}.", f"Returns whether {whole}."], forms=forms, oracle=oracle,
        inputs=lambda: (passed(one_of(draw, name, variants), borrowed), draw.arguments.randint(0, high + 4)),
    )


def passed(value: EnumValue, borrowed: bool) -> EnumValue:
    """Return the value, or a reference to it."""
    return replace(value, rust=f"&{value.rust}") if borrowed else value


@family(tier=0)
def variant_number(draw: Draw) -> FunctionSpec:
    name, said, variants = draw_enum(draw)
    kind, k, borrowed = draw.choose(*INTEGERS), draw.integer(1, 9), draw.choose(True, False)
    numbers = {each: draw.integer(2, 40) for each in variants}
    it = draw.style(snake(name), "value", "item")
    by = draw.choose("plain", "times", "plus")
    matched = match_on(it, numbers.items()).replace("    ", f"    {name}::")
    rust, compute = {"plain": (matched, lambda n, _: n), "times": (f"let each = {matched};\neach * amount", lambda n, amount: n * amount), "plus": (f"let base = {matched};\nbase + amount * {k}", lambda n, amount: n + amount * k)}[by]
    told = ", ".join(f"{value} for `{each}`" for each, value in numbers.items())
    more = {"plain": "", "times": " The number is multiplied by `amount`.", "plus": f" {k} times `amount` is added." if k > 1 else " `amount` is added."}[by]
    rust = rust.replace("amount * 1", "amount")
    return FunctionSpec(
        name=draw.style(f"{snake(name)}_value", "points_of", "number_for", f"rate_{snake(name)}"), parameters={it: f"&{name}" if borrowed else name, **({} if by == "plain" else {"amount": kind})}, returns=kind, context=declare(draw, name, said, variants),
        words=[f"Returns a number for each variant: {told}.{more}", f"Returns {told}.{more}"], forms=[rust],
        oracle=lambda value, amount=0: compute(numbers[value.name], amount), inputs=lambda: (passed(one_of(draw, name, variants), borrowed), *([] if by == "plain" else [draw.arguments.randint(0, 9)])),
    )


@family(tier=1)
def variant_parsed(draw: Draw) -> FunctionSpec:
    name, said, variants = draw_enum(draw)
    failure, folded = draw.choose("option", "error"), draw.choose(True, False)
    good, bad = ("Some({})", "None") if failure == "option" else ("Ok({})", 'Err(format!("unknown: {}", text))')
    words = {each.lower(): each for each in variants}
    subject = f"text.{draw.style('to_lowercase', 'to_ascii_lowercase')}().as_str()" if folded else "text"
    arms = [(f'"{word}"', good.format(f"{name}::{each}")) for word, each in words.items()]
    chain = "\n".join(f'if text{".eq_ignore_ascii_case(" if folded else " == "}"{word}"{")" if folded else ""} {{\n    return {value};\n}}' for (word, _), (_, value) in zip(words.items(), arms, strict=True))

    def oracle(text: str) -> Any:
        each = words.get(text.lower() if folded else text)
        if each is None:
            return None if failure == "option" else Err(f"unknown: {text}")
        return Raw(f"Some({name}::{each})") if failure == "option" else Ok(Raw(f"{name}::{each}"))

    def inputs() -> tuple:
        word = draw.arguments.choice([*words, *words, "other", ""])
        return (draw.arguments.choice((word, word, word.upper(), word.capitalize())),)

    return FunctionSpec(
        name=draw.style(f"parse_{snake(name)}", f"read_{snake(name)}", f"{snake(name)}_from"), parameters={"text": "&str"}, returns=f"Option<{name}>" if failure == "option" else f"Result<{name}, String>", context=declare(draw, name, said, variants),
        words=[f"Returns the variant with the name `text`, written in {'upper or lower case' if folded else 'lowercase letters'}. " + ("Returns `None` if there is none." if failure == "option" else 'Otherwise, the error is "unknown: .." with the text.')],
        forms=[match_on(subject, [*arms, ("_", bad)]), f"{chain}\n{bad}"], oracle=oracle, inputs=inputs,
    )


@family(tier=1)
def variant_counted(draw: Draw) -> FunctionSpec:
    name, said, variants = draw_enum(draw)
    wanted, one = draw.choose("count", "any", "position", "others", "runs"), draw.choose(*variants[:3])
    it = draw.style("item", "each", "value")
    returns, told, forms, compute = {
        "count": ("usize", f"how often `{one}` occurs", [f"items.iter().filter(|{it}| **{it} == {name}::{one}).count()", f"items.iter().filter(|{it}| matches!({it}, {name}::{one})).count()", f"let mut count = 0;\nfor {it} in items {{\n    if *{it} == {name}::{one} {{\n        count += 1;\n    }}\n}}\ncount"], lambda a: a.count(one)),
        "any": ("bool", f"whether `{one}` occurs", [f"items.contains(&{name}::{one})", f"items.iter().any(|{it}| matches!({it}, {name}::{one}))", f"for {it} in items {{\n    if *{it} == {name}::{one} {{\n        return true;\n    }}\n}}\nfalse"], lambda a: one in a),
        "position": ("Option<usize>", f"the index of the first `{one}`, or `None` if there is none", [f"items.iter().position(|{it}| *{it} == {name}::{one})", f"for (index, {it}) in items.iter().enumerate() {{\n    if *{it} == {name}::{one} {{\n        return Some(index);\n    }}\n}}\nNone"], lambda a: a.index(one) if one in a else None),
        "others": (f"Vec<{name}>", f"all but `{one}`, in order", [f"items.iter().copied().filter(|{it}| *{it} != {name}::{one}).collect()", f"let mut rest = Vec::new();\nfor &{it} in items {{\n    if {it} != {name}::{one} {{\n        rest.push({it});\n    }}\n}}\nrest"], lambda a: [Raw(f"{name}::{each}") for each in a if each != one]),
        "runs": ("usize", "how often a variant is followed by the same one", ["items.windows(2).filter(|pair| pair[0] == pair[1]).count()", "let mut count = 0;\nfor index in 1..items.len() {\n    if items[index] == items[index - 1] {\n        count += 1;\n    }\n}\ncount"], lambda a: sum(x == y for x, y in zip(a, a[1:], strict=False))),
    }[wanted]
    return FunctionSpec(
        name=draw.style(f"{wanted}_{snake(one)}", f"{snake(name)}s_{wanted}", f"{wanted}_in", f"look_for_{snake(one)}"), parameters={"items": f"&[{name}]"}, returns=returns, context=declare(draw, name, said, variants),
        words=[f"Returns {told}.", f"Goes through `items` and returns {told}."], forms=forms, oracle=lambda values: compute([each.name for each in values]),
        inputs=lambda: ([one_of(draw, name, variants[:4]) for _ in range(draw.arguments.randint(0, 6))],),
    )


@family(tier=1)
def carried_number(draw: Draw) -> FunctionSpec:
    name, said, listed = draw.choose(*CARRIERS)
    empty, single, double = (part.split() for part in listed.split("; "))
    kind, named, many = draw.choose("u32", "u64", "i32", "i64", "f64"), draw.choose(True, True, False), draw.choose(True, False, False)
    point = ".0" if kind == "f64" else ""
    fixed, k, product = draw.integer(0, 9), draw.integer(2, 9), draw.choose(True, False)
    sign, two = ("*", "product") if product else ("+", "sum")
    opened, closed = (" { ", " }") if named else ("(", ")")

    def pattern(variant: Sequence[str], values: Sequence[str] = ()) -> str:
        fields = variant[1:]
        if not fields:
            return f"{name}::{variant[0]}"
        inside = (f"{each}: {value}" if named else value for each, value in zip(fields, values, strict=True)) if values else iter(fields)
        return f"{name}::{variant[0]}{opened}{', '.join(inside)}{closed}"

    def one() -> EnumValue:
        variant = draw.arguments.choice((empty, single, double, double))
        values = tuple(draw.arguments.randint(0, 12) for _ in variant[1:])
        return EnumValue(pattern(variant, [literal(each, kind) for each in values]), variant[0], values)

    def worth(value: EnumValue) -> int | float:
        if value.name == empty[0]:
            return fixed
        return value.values[0] * k if value.name == single[0] else value.values[0] * value.values[1] if product else sum(value.values)

    it = draw.style(snake(name), "item", "value")
    x, (y, z) = single[1], double[1:]
    arms = [(pattern(empty), f"{fixed}{point}"), (pattern(single), f"{x} * {k}{point}"), (pattern(double), f"{y} {sign} {z}")]
    matched = match_on(it, draw.style(arms, arms[::-1], [arms[1], arms[0], arms[2]]))
    forms = [matched]
    if many:
        inner = fill("match $it {\n    $arms\n}", it=it, arms="\n".join(f"{a} => {b}," for a, b in arms))
        forms = [fill("let mut total = 0$point;\nfor $it in items {\n    total += $inner;\n}\ntotal", it=it, point=point, inner=inner), fill("items\n    .iter()\n    .map(|$it| $inner)\n    .sum()", it=it, inner=inner)]
    body = "\n".join(f"    {v[0]}{(' { ' + ', '.join(f'{f}: {kind}' for f in v[1:]) + ' }') if named and v[1:] else '(' + ', '.join(kind for _ in v[1:]) + ')' if v[1:] else ''}," for v in (empty, single, double))
    derived = draw.style("Debug, Clone, PartialEq", "Clone, Debug, PartialEq", "Debug, PartialEq")
    context = f"/// {said[0].upper()}{said[1:]}.\n#[derive({derived})]\npub enum {name} {{\n{body}\n}}"
    what = "the total" if many else "a number"
    told = f"{fixed} for `{empty[0]}`, " + (f"{k} times `{x}` for `{single[0]}` and the {two} of `{y}` and `{z}` for `{double[0]}`" if named else f"{k} times its number for `{single[0]}` and the {two} of its numbers for `{double[0]}`")
    return FunctionSpec(
        name=draw.style(f"{snake(name)}_{'total' if many else 'cost'}", "total" if many else "cost", "add_up" if many else f"measure_{snake(name)}", "sum_of_all" if many else f"effort_of_{snake(name)}"), parameters={"items": f"&[{name}]"} if many else {it: f"&{name}"}, returns=kind, context=context,
        words=[f"Returns {what}: {told}.", f"Computes {what}, with {told}."], forms=forms, oracle=(lambda values: sum(map(worth, values))) if many else worth,
        inputs=lambda: ([one() for _ in range(draw.arguments.randint(0, 4))],) if many else (passed(one(), borrowed=True),),
    )


@family(tier=1)
def boxed_chain(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64", "u32", "u64")
    name, link, end = draw.choose(("Chain", "Link", "End"), ("Train", "Wagon", "Last"), ("Trail", "Step", "Goal"), ("Queue", "Person", "Empty"), ("Path", "Part", "Stop"), ("Sequence", "More", "Done"))
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    wanted = draw.choose("sum", "length", "count", "contains", "list", "last")
    call = draw.style(f"{wanted}_of", f"{snake(name)}_{wanted}", f"{wanted}_along")
    kept = holds.on("value")
    returns, said, base, step, compute = {
        "sum": (kind, f"the sum of all numbers, each {change.participle}", "0", f"{{ let value = *value; {change.on('value')} + {call}(rest) }}", lambda a: sum(map(change, a))),
        "length": ("usize", "the number of elements", "0", f"1 + {call}(rest)", len),
        "count": ("usize", f"how many of the numbers are {holds.plural}", "0", f"{{ let value = *value; if {kept} {{ 1 + {call}(rest) }} else {{ {call}(rest) }} }}", lambda a: sum(map(holds, a))),
        "contains": ("bool", "whether some number equals `wanted`", "false", f"*value == wanted || {call}(rest, wanted)", None),
        "list": (f"Vec<{kind}>", "all numbers, from the first to the last", "Vec::new()", f"{{ let mut all = vec![*value]; all.extend({call}(rest)); all }}", list),
        "last": (f"Option<{kind}>", "the last number, or `None` if there is none", "None", f"{call}(rest).or(Some(*value))", lambda a: a[-1] if a else None),
    }[wanted]
    given = ", wanted" if wanted == "contains" else ""
    recursive = fill("match $it {\n    $name::$end => $base,\n    $name::$link(value, rest) => $step,\n}", it="start", name=name, end=end, link=link, base=base, step=_block(step))
    walk = f"let mut current = start;\n{{before}}while let {name}::{link}(value, rest) = current {{{{\n    {{step}}\n    current = rest;\n}}}}\n{{after}}".format
    loop = {
        "sum": walk(before="let mut total = 0;\n", step=f"let value = *value;\n    total += {change.on('value')};", after="total"), "length": walk(before="let mut count = 0;\n", step="count += 1;", after="count").replace("(value, rest)", "(_, rest)"),
        "count": walk(before="let mut count = 0;\n", step=f"let value = *value;\n    if {kept} {{\n        count += 1;\n    }}", after="count"), "contains": walk(before="", step="if *value == wanted {\n        return true;\n    }", after="false"),
        "list": walk(before="let mut all = Vec::new();\n", step="all.push(*value);", after="all"), "last": walk(before="let mut last = None;\n", step="last = Some(*value);", after="last"),
    }[wanted]
    context = f"/// {draw.style('A linked list.', f'A {snake(name)} of numbers.', 'Numbers, each with the rest behind it.')}\npub enum {name} {{\n" + draw.style(f"    {end},\n    {link}({kind}, Box<{name}>),\n", f"    {link}({kind}, Box<{name}>),\n    {end},\n") + "}"

    def written(numbers: Sequence[int]) -> str:
        return f"{name}::{end}" if not numbers else f"{name}::{link}({numbers[0]}, Box::new({written(numbers[1:])}))"

    def inputs() -> tuple:
        numbers = [draw.value(kind) for _ in range(draw.arguments.randint(0, 4))]
        chain = EnumValue(f"&{written(numbers)}", name, tuple(numbers))
        return (chain, draw.arguments.choice([*numbers, 3])) if given else (chain,)

    return FunctionSpec(
        name=call, parameters={"start": f"&{name}", **({"wanted": kind} if given else {})}, returns=returns, context=context, words=[f"Returns {said}.", f"Returns {said} in a {snake(name)}.", f"Walks along the {snake(name)} and returns {said}."],
        forms=[recursive, loop], oracle=(lambda chain, wanted: wanted in chain.values) if given else (lambda chain: compute(list(chain.values))), inputs=inputs,
    )


def _block(step: str) -> str:
    """Return an arm's expression with the statements of a block on lines of their own."""
    if not step.startswith("{ "):
        return step
    inner = step[2:-2].replace("; ", ";\n")
    return fill("{\n    $inner\n}", inner=inner)


@family(tier=2)
def boxed_tree(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64", "u32", "u64")
    name, leaf, fork = draw.choose(("Branching", "Tip", "Fork"), ("Bush", "Bud", "Twig"), ("Delta", "Sea", "Split"), ("Family", "Nobody", "Parent"), ("Cave", "End", "Junction"), ("Plan", "Finished", "Choice"))
    change, numbered = draw.integer_mapping(kind), draw.choose(True, False)
    wanted = draw.choose("sum", "depth", "leaves", "largest", "nodes") if numbered else draw.choose("sum", "depth", "leaves")
    call = draw.style(f"{wanted}_of", f"{snake(name)}_{wanted}", f"count_{wanted}" if wanted in ("leaves", "nodes") else f"find_{wanted}")
    # Numbers stand in the forks, or in the leaves.
    variants = (f"{leaf}", f"{fork}(Box<{name}>, {kind}, Box<{name}>)") if numbered else (f"{leaf}({kind})", f"{fork}(Box<{name}>, Box<{name}>)")
    a, b = draw.style(("left", "right"), ("first", "second"), ("one", "other"))
    x, y = f"{call}({a})", f"{call}({b})"
    bottom, middle = (f"{name}::{leaf}", f"{name}::{fork}({a}, value, {b})") if numbered else (f"{name}::{leaf}(value)", f"{name}::{fork}({a}, {b})")
    own = f"{{ let value = *value; {x} + ({change.on('value')}) + {y} }}"
    returns, said, base, step = {
        "sum": (kind, f"the sum of all numbers, each {change.participle}", "0" if numbered else f"{{ let value = *value; {change.on('value')} }}", own if numbered else f"{x} + {y}"),
        "depth": ("usize", f"the largest number of `{fork}` between the root and a `{leaf}`", "0", f"1 + {x}.max({y})"), "leaves": ("usize", f"the number of `{leaf}`", "1", f"{x} + {y}"),
        "largest": (f"Option<{kind}>", "the largest number, or `None` if there is none", "None", f"Some(*value).max({x}).max({y})"), "nodes": ("usize", f"the number of `{fork}`", "0", f"{x} + 1 + {y}"),
    }[wanted]
    if "value" not in base:
        bottom = bottom.replace("(value)", "(_)")
    if "value" not in step:
        middle = middle.replace("value", "_")
    arms = [(bottom, _block(base)), (middle, _block(step))]
    context = f"/// {draw.style('A binary tree of numbers.', f'A {snake(name)} that forks.', 'A tree; every fork has two parts.')}\npub enum {name} {{\n    {variants[0]},\n    {variants[1]},\n}}"

    def grown(depth: int) -> tuple[str, Any]:
        if depth == 0 or draw.arguments.random() < 0.3:
            number = draw.value(kind)
            return (f"{name}::{leaf}", None) if numbered else (f"{name}::{leaf}({number})", number)
        (one, first), (other, second), number = grown(depth - 1), grown(depth - 1), draw.value(kind)
        return (f"{name}::{fork}(Box::new({one}), {f'{number}, ' if numbered else ''}Box::new({other}))", (first, number if numbered else None, second))

    def compute(tree: Any) -> Any:
        if not isinstance(tree, tuple):
            return {"sum": 0 if numbered else change(tree) if wanted == "sum" else 0, "depth": 0, "leaves": 1, "largest": None, "nodes": 0}[wanted]
        one, number, other = compute(tree[0]), tree[1], compute(tree[2])
        if wanted == "largest":
            return max(each for each in (one, number, other) if each is not None)
        return {"sum": lambda: one + (change(number) if numbered else 0) + other, "depth": lambda: 1 + max(one, other), "leaves": lambda: one + other, "nodes": lambda: one + 1 + other}[wanted]()

    def inputs() -> tuple:
        rust, tree = grown(draw.arguments.randint(0, 3))
        return (EnumValue(f"&{rust}", name, (tree,)),)

    return FunctionSpec(
        name=call, parameters={"tree": f"&{name}"}, returns=returns, context=context, words=[f"Returns {said}.", f"Returns {said} of a tree.", f"Computes {said}."],
        forms=["match tree {\n" + "".join(f"    {left} => " + right.replace("\n", "\n    ") + ("\n" if right.startswith("{\n") else ",\n") for left, right in draw.style(arms, arms[::-1])) + "}"], oracle=lambda value: compute(value.values[0]), inputs=inputs,
    )


@family(tier=1)
def boxed_node(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*UNSIGNED, "i32", "i64")
    name, field, link = draw.choose(("Wagon", "weight", "next"), ("Page", "number", "next"), ("Item", "price", "tail"), ("Stage", "points", "following"), ("Layer", "height", "below"), ("Ancestor", "age", "parent"))
    holds, wanted = draw.integer_predicate(kind), draw.choose("sum", "length", "count", "list", "largest")
    optional = draw.choose(True, False)
    step = {"sum": f"total += {{it}}.{field};", "length": "count += 1;", "count": f"if {holds.on('{it}.' + field)} {{{{\n    count += 1;\n}}}}", "list": f"all.push({{it}}.{field});", "largest": f"largest = largest.max({{it}}.{field});"}[wanted]
    step = step.format(it="node")
    returns, said, begin, after, compute = {
        "sum": (kind, f"the sum of all `{field}`", "let mut total = 0;", "total", sum), "length": ("usize", "how many there are", "let mut count = 0;", "count", len), "count": ("usize", f"how many have a `{field}` that {holds.clause}", "let mut count = 0;", "count", lambda a: sum(map(holds, a))),
        "list": (f"Vec<{kind}>", f"all `{field}`, from the first to the last", "let mut all = Vec::new();", "all", list), "largest": (kind, f"the largest `{field}`" + (", or 0 if there is none" if optional else ""), "let mut largest = 0;", "largest", lambda a: max([0, *a])),
    }[wanted]
    start = "current = start.as_deref()" if optional else "current = Some(start)"
    loop = fill("$begin\nlet mut $start;\nwhile let Some(node) = current {\n    $step\n    current = node.$link.as_deref();\n}\n$after", begin=begin, start=start, step=step, link=link, after=after)
    context = f"/// {draw.style('A node of a linked list.', f'A {snake(name)} with the one behind it.', 'A part of a chain.')}\npub struct {name} {{\n    pub {field}: {kind},\n    pub {link}: Option<Box<{name}>>,\n}}"

    def written(numbers: Sequence[int]) -> str:
        return f"{name} {{ {field}: {numbers[0]}, {link}: {f'Some(Box::new({written(numbers[1:])}))' if numbers[1:] else 'None'} }}"

    def inputs() -> tuple:
        numbers = [abs(draw.value(kind)) for _ in range(draw.arguments.randint(0 if optional else 1, 4))]
        rust = (f"&Some(Box::new({written(numbers)}))" if numbers else "&None") if optional else f"&{written(numbers)}"
        return (EnumValue(rust, name, tuple(numbers)),)

    return FunctionSpec(
        name=draw.style(f"{wanted}_of_{snake(name)}s", f"{wanted}_from", f"follow_{link}", f"walk_{snake(name)}s"), parameters={"start": f"&Option<Box<{name}>>" if optional else f"&{name}"}, returns=returns, context=context,
        words=[f"Follows `{link}` from the first {snake(name)} and returns {said}.", f"Returns {said}, following `{link}` to the end."], forms=[loop], oracle=lambda chain: compute(list(chain.values)), inputs=inputs,
    )
