"""Functions that take or return closures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainers.data.synthetic.family import Case, Draw, FunctionSpec, family
from trainers.data.synthetic.literals import INTEGERS, Raw, literal
from trainers.data.synthetic.pieces import quotient


@dataclass(frozen=True)
class Closure(Raw):
    """A closure as an argument; called, it computes in Python."""

    compute: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.compute(*arguments)


def _number_closure(draw: Draw) -> Closure:
    k = draw.arguments.randint(2, 6)
    return draw.arguments.choice((
        Closure(f"|x| x + {k}", lambda x: x + k), Closure(f"|x| x - {k}", lambda x: x - k), Closure(f"|x| x * {k}", lambda x: x * k),
        Closure(f"|x| {k} - x", lambda x: k - x), Closure(f"|x| x / {k}", lambda x: quotient(x, k)),
    ))


def _test_closure(draw: Draw, reference: str) -> Closure:
    k = draw.arguments.randint(2, 6)
    return draw.arguments.choice((
        Closure(f"|{reference}x| x > {k}", lambda x: x > k), Closure(f"|{reference}x| x % 2 == 0", lambda x: x % 2 == 0), Closure(f"|{reference}x| x < {k}", lambda x: x < k),
        Closure(f"|{reference}x| x % {k} == 0", lambda x: x % k == 0), Closure(f"|{reference}x| x != {k}", lambda x: x != k),
    ))


@family(tier=2)
def repeated_application(draw: Draw) -> FunctionSpec:
    kind, wanted, times = draw.choose("i32", "i64"), draw.choose("times", "stages", "while", "last different", "twice"), draw.integer(2, 6)
    keep, given = draw.integer_predicate(kind), draw.choose(True, False)
    given = given and wanted == "times"
    generic = wanted in ("times", "stages") and draw.choose(True, False)
    value = "T" if generic else kind
    clone = "value.clone()" if generic else "value"
    bound = draw.style("Fn", "FnMut") if generic or wanted != "twice" else "Fn"
    amount = "n" if given else str(times)

    def oracle(start: int, *rest: Any) -> object:
        f, n = rest[-1], rest[0] if given else times
        stages = [start]
        for _ in range(n):
            if wanted == "while" and not keep(stages[-1]):
                break
            stages.append(f(stages[-1]))
        return {"times": stages[-1], "stages": stages, "while": stages[-1], "last different": (stages[-1], len(set(stages))), "twice": stages[-1] if keep(start) else f(start)}[wanted]

    returns, told, forms = {
        "times": (value, f"applies `f` {'`n`' if given else times} times, each time to the previous result", [f"let mut value = start;\nfor _ in 0..{amount} {{\n    value = f(value);\n}}\nvalue", f"(0..{amount}).fold(start, |value, _| f(value))"]),
        "stages": (f"Vec<{value}>", f"applies `f` {times} times and returns a vector of the start value followed by all results", [f"let mut value = start;\nlet mut result = vec![{clone}];\nfor _ in 0..{times} {{\n    value = f(value);\n    result.push({clone});\n}}\nresult", f"let mut result = Vec::with_capacity({times + 1});\nlet mut value = start;\nwhile result.len() < {times} {{\n    result.push({clone});\n    value = f(value);\n}}\nresult.push(value);\nresult"]),
        "while": (value, f"applies `f` as long as the value {keep.clause}, but at most {times} times", [f"let mut value = start;\nlet mut count = 0;\nwhile count < {times} && ({keep.on('value')}) {{\n    value = f(value);\n    count += 1;\n}}\nvalue", f"let mut value = start;\nfor _ in 0..{times} {{\n    let go_on = {keep.on('value')};\n    if !go_on {{\n        break;\n    }}\n    value = f(value);\n}}\nvalue"]),
        "last different": (f"({value}, usize)", f"applies `f` {times} times and returns the final value and the number of distinct values seen, including the start value", [f"let mut seen = vec![start];\nlet mut value = start;\nfor _ in 0..{times} {{\n    value = f(value);\n    if !seen.contains(&value) {{\n        seen.push(value);\n    }}\n}}\n(value, seen.len())"]),
        "twice": (value, f"applies `f` once, or {times} times in a row if `start` {keep.clause}", [f"let times = if {keep.on('start')} {{ {times} }} else {{ 1 }};\nlet mut value = start;\nfor _ in 0..times {{\n    value = f(value);\n}}\nvalue", f"let mut value = f(start);\nif {keep.on('start')} {{\n    for _ in 1..{times} {{\n        value = f(value);\n    }}\n}}\nvalue"]),
    }[wanted]
    bounds = f"F: {bound}({value}) -> {value}"
    where = draw.style(True, False) and not generic
    names = [*(["T"] if generic else []), "F"]
    clone_bound = "T: Clone" if generic and wanted == "stages" else "T" if generic else None
    generics = "<" + ", ".join(names) + ">" if where else "<" + ", ".join([*([clone_bound] if clone_bound else []), bounds]) + ">"
    clauses = ", ".join([*(["T: Clone"] if clone_bound == "T: Clone" else []), bounds])
    mutable = "mut f" if bound == "FnMut" else "f"
    return FunctionSpec(
        name=draw.style("apply_n", "iterate", "repeat_apply", f"apply_{wanted.replace(' ', '_')}", "run"), generics=generics, where_clause=f"where {clauses}" if where else "", types={"T": kind} if generic else {},
        parameters={"start": value} | ({"n": "usize"} if given else {}) | {mutable: "F"}, returns=returns, forms=forms, oracle=oracle,
        inputs=lambda: (draw.arguments.randint(-4, 12), *([draw.arguments.randint(0, 5)] if given else []), _number_closure(draw)),
        words=[f"Starting with `start`, {told}.", f"{told[0].upper()}{told[1:]}, beginning with `start`."],
    )


@family(tier=2)
def returned_closure(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    wanted = draw.choose("maker", "filter", "compose", "conditional", "pipeline", "boxed")
    mapping, other, keep = draw.integer_mapping(kind), draw.integer_mapping(kind), draw.integer_predicate(kind)
    add = draw.choose(True, False)
    sign, compute = ("+", lambda x, n: x + n) if add else ("*", lambda x, n: x * n)
    pick = draw.arguments

    def number():
        return pick.randint(-9 if kind[0] == "i" else 0, 30)

    function = f"impl Fn({kind}) -> {kind}"
    name = draw.style(f"make_{mapping.slug}", "make_function", "closure_for", "build", f"{wanted}_function")
    y = mapping.on("x")
    parameters, returns, told, forms, call, result = {
        "maker": ({"n": kind}, function, f"takes a number and returns it {mapping.participle} and finally {'increased by' if add else 'multiplied by'} `n`", [f"move |x| ({y}) {sign} n", f"move |x| {{\n    let result = {y};\n    result {sign} n\n}}"], lambda n, x: (str(n), str(x)), lambda n, x: compute(mapping(x), n)),
        "filter": ({"limit": kind}, f"impl Fn({kind}) -> bool", f"returns whether its argument {keep.clause} and is {'less' if add else 'greater'} than `limit`", [f"move |x| ({keep.on('x')}) && x {'<' if add else '>'} limit", f"move |x| {{\n    if x {'>=' if add else '<='} limit {{\n        return false;\n    }}\n    {keep.on('x')}\n}}"], lambda n, x: (str(n), str(x)), lambda n, x: keep(x) and (x < n if add else x > n)),
        "compose": ({"f": function}, function, f"applies `f` to its argument {mapping.participle}" if add else f"applies `f` to its argument and returns the result {mapping.participle}", [f"move |x| f({y})", f"move |x| {{\n    let first = {y};\n    f(first)\n}}"] if add else [f"move |x| {{\n    let x = f(x);\n    {y}\n}}"], lambda n, x: (f"|v| v + {n}", str(x)), lambda n, x: mapping(x) + n if add else mapping(x + n)),
        "conditional": ({"f": function}, function, f"returns `f(x)` if its argument x {keep.clause}, and otherwise x {mapping.participle}", [f"move |x| {{\n    if {keep.on('x')} {{\n        f(x)\n    }} else {{\n        {y}\n    }}\n}}", f"move |x| match {keep.on('x')} {{\n    true => f(x),\n    false => {y},\n}}"], lambda n, x: (f"|v| v + {n}", str(x)), lambda n, x: x + n if keep(x) else mapping(x)),
        "pipeline": ({"f": function, "g": function}, function, f"applies `f` to its argument and then applies `g` to that result {mapping.participle}", [f"move |x| {{\n    let x = f(x);\n    g({y})\n}}"], lambda n, x: (f"|v| v + {n}, |v| v * 2", str(x)), lambda n, x: 2 * mapping(x + n)),
        "boxed": ({"swap": "bool"}, f"Box<dyn Fn({kind}) -> {kind}>", f"returns its argument {mapping.participle}, or {other.participle} if `swap` is true", [f"if swap {{\n    Box::new(|x| {other.on('x')})\n}} else {{\n    Box::new(|x| {y})\n}}", f"match swap {{\n    true => Box::new(|x| {other.on('x')}),\n    false => Box::new(|x| {y}),\n}}"], lambda n, x: (str(n % 2 == 0).lower(), str(x)), lambda n, x: other(x) if n % 2 == 0 else mapping(x)),
    }[wanted]
    expected = "bool" if wanted == "filter" else kind
    cases = {}
    for _ in range(14):
        n, x = abs(number()), number()
        first, second = call(n, x)
        cases[f"{name}({first})({second})"] = Case(f"{name}({first})({second})", literal(result(n, x), expected))
    return FunctionSpec(
        name=name, parameters=parameters, returns=returns, forms=forms, cases=list(cases.values()),
        words=[f"Returns a function that {told}.", f"Creates a closure that {told}."],
    )


@family(tier=2)
def by_closure(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64")
    wanted, keep = draw.choose("split", "first k", "while", "count", "zip", "scan", "reduce", "best", "map kept", "all"), draw.integer_predicate(kind)
    mapping, k = draw.integer_mapping(kind), draw.integer(1, 9)
    unary, binary = wanted in ("split", "first k", "while", "count", "all"), wanted in ("zip", "scan", "reduce")
    condition, mapped = keep.on("value"), mapping.on("value")
    both = f"({condition}) && f(&value)"

    def oracle(values: list[int], f: Closure) -> object:
        kept = [v for v in values if keep(v)]
        if wanted == "scan":
            sums = [k]
            for v in kept:
                sums.append(f(sums[-1], v))
            return sums[1:]
        if wanted == "reduce":
            total = k
            for v in values:
                total = f(total, mapping(v))
            return total
        return {
            "split": lambda: ([v for v in kept if f(v)], [v for v in kept if not f(v)]), "first k": lambda: [mapping(v) for v in values if f(v)][:k],
            "while": lambda: [mapping(v) for v in values[: next((i for i, v in enumerate(values) if not f(v)), len(values))]], "count": lambda: sum(keep(v) and f(v) for v in values) >= k,
            "zip": lambda: [f(a, mapping(b)) for a, b in zip(values, values[1:], strict=False)], "best": lambda: max(kept, key=f, default=None), "map kept": lambda: [f(v) if keep(v) else v + k for v in values],
            "all": lambda: all(f(v) for v in kept),
        }[wanted]()

    returns, told, forms = {
        "split": (f"(Vec<{kind}>, Vec<{kind}>)", f"the {keep.plural} for which `f` returns `true` and, separately, the {keep.plural} for which it returns `false`", [f"values\n    .iter()\n    .copied()\n    .filter(|&value| {condition})\n    .partition(|value| f(value))", f"let mut accepted = Vec::new();\nlet mut refused = Vec::new();\nfor &value in values {{\n    if {condition} {{\n        if f(&value) {{\n            accepted.push(value);\n        }} else {{\n            refused.push(value);\n        }}\n    }}\n}}\n(accepted, refused)"]),
        "first k": (f"Vec<{kind}>", f"the first {'element' if k == 1 else f'{k} elements'} for which `f` returns `true`, {'' if k == 1 else 'each '}{mapping.participle}", [f"values\n    .iter()\n    .copied()\n    .filter(|value| f(value))\n    .take({k})\n    .map(|value| {mapped})\n    .collect()", f"let mut result = Vec::new();\nfor &value in values {{\n    if result.len() == {k} {{\n        break;\n    }}\n    if f(&value) {{\n        result.push({mapped});\n    }}\n}}\nresult"]),
        "while": (f"Vec<{kind}>", f"the elements before the first one for which `f` returns `false`, each {mapping.participle}", [f"values\n    .iter()\n    .take_while(|value| f(value))\n    .map(|&value| {mapped})\n    .collect()", f"let mut result = Vec::new();\nfor &value in values {{\n    if !f(&value) {{\n        return result;\n    }}\n    result.push({mapped});\n}}\nresult"]),
        "count": ("bool", f"whether `f` returns `true` for at least {k} of the {keep.plural}", [f"values.iter().filter(|&&value| {both}).count() >= {k}", f"let mut count = 0;\nfor &value in values {{\n    if {both} {{\n        count += 1;\n    }}\n}}\ncount >= {k}"]),
        "zip": (f"Vec<{kind}>", f"the results of calling `f` with each element but the last and the element after it, where the second argument is {mapping.participle} first", [f"values\n    .iter()\n    .zip(values.iter().skip(1))\n    .map(|(&first, &value)| f(first, {mapped}))\n    .collect()", f"let mut result = Vec::new();\nfor pair in values.windows(2) {{\n    let value = pair[1];\n    result.push(f(pair[0], {mapped}));\n}}\nresult"]),
        "scan": (f"Vec<{kind}>", f"all intermediate results of folding the {keep.plural} with `f`, starting from the initial value {k}, which is not included", [f"let mut total = {k};\nlet mut result = Vec::new();\nfor &value in values {{\n    if {condition} {{\n        total = f(total, value);\n        result.push(total);\n    }}\n}}\nresult", f"values\n    .iter()\n    .filter(|&&value| {condition})\n    .scan({k}, |total, &value| {{\n        *total = f(*total, value);\n        Some(*total)\n    }})\n    .collect()"]),
        "reduce": (kind, f"the result of folding the elements, each {mapping.participle}, with `f`, starting from {k}", [f"values.iter().fold({k}, |total, &value| f(total, {mapped}))", f"let mut total = {k};\nfor &value in values {{\n    total = f(total, {mapped});\n}}\ntotal"]),
        "best": (f"Option<{kind}>", f"the one of the {keep.plural} for which `f` returns the largest value (the first one in case of a tie), or `None` if there are none", [f"values\n    .iter()\n    .copied()\n    .filter(|&value| {condition})\n    .rev()\n    .max_by_key(|&value| f(value))", f"let mut best: Option<{kind}> = None;\nfor &value in values {{\n    if {condition} {{\n        best = match best {{\n            Some(held) if f(held) >= f(value) => Some(held),\n            _ => Some(value),\n        }};\n    }}\n}}\nbest"]),
        "map kept": (f"Vec<{kind}>", f"the elements with `f` applied to the {keep.plural} and {k} added to all others", [f"values\n    .iter()\n    .map(|&value| if {condition} {{ f(value) }} else {{ value + {k} }})\n    .collect()", f"let mut result = Vec::with_capacity(values.len());\nfor &value in values {{\n    if {condition} {{\n        result.push(f(value));\n    }} else {{\n        result.push(value + {k});\n    }}\n}}\nresult"]),
        "all": ("bool", f"whether `f` returns `true` for all of the {keep.plural}", [f"values.iter().all(|&value| !({condition}) || f(&value))", f"values.iter().filter(|&&value| {condition}).all(f)", f"for value in values.iter().copied() {{\n    if ({condition}) && !f(&value) {{\n        return false;\n    }}\n}}\ntrue"]),
    }[wanted]
    signature = f"Fn(&{kind}) -> bool" if unary else f"Fn({kind}, {kind}) -> {kind}" if binary else f"Fn({kind}) -> {kind}"
    pairs = (Closure("|a, b| a + b", lambda a, b: a + b), Closure("|a, b| a - b", lambda a, b: a - b), Closure("|a, b| b - a", lambda a, b: b - a), Closure("|a, b| a.max(b)", max), Closure("|a, b| a.min(b)", min))
    generic = draw.style("impl", "where", "bound")

    def closure():
        return _test_closure(draw, "&") if unary else draw.arguments.choice(pairs) if binary else _number_closure(draw)

    return FunctionSpec(
        name=draw.style(f"{wanted.replace(' ', '_')}_by", "process", f"{wanted.replace(' ', '_')}_with", "apply"), generics={"impl": "", "where": "<F>", "bound": f"<F: {signature}>"}[generic], where_clause=f"where F: {signature}" if generic == "where" else "",
        parameters={"values": f"&[{kind}]", "f": f"impl {signature}" if generic == "impl" else "F"}, returns=returns, forms=forms, oracle=oracle,
        inputs=lambda: ([draw.arguments.randint(-6, 25) for _ in range(draw.arguments.randint(0, 7))], closure()), words=[f"Returns {told}.", f"Collects {told}. The order of `values` is preserved." if returns.startswith("Vec") else f"Determines {told}."],
    )
