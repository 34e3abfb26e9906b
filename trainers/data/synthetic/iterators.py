"""Iterators: types that are iterators, functions that return them, and what is made of those of slices."""

import textwrap
from collections.abc import Callable

from trainers.data.synthetic.family import Case, Draw, Function, Items, Undefined, family
from trainers.data.synthetic.literals import SIGNED, literal
from trainers.data.synthetic.pieces import quotient

KINDS = ("i32", "i64", "u32", "u64")
ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth"}


def _block(head: str, *members: str) -> str:
    """`head { members }`, with an empty line between members; the body of a function is one."""
    return head + " {\n" + textwrap.indent("\n\n".join(each for each in members if each), "    ") + "\n}"


def _code(*items: str) -> str:
    return "\n\n".join(each for each in items if each) + "\n"


def _slice_function(draw: Draw, kind: str, returns: str, names: tuple, words: list, forms: list, oracle: Callable, longest: int = 9) -> Function:
    """A function of a slice of numbers."""
    parameter = draw.style("values", "numbers", "data", "items")
    low = -15 if kind.startswith("i") else 0
    return Function(
        name=draw.style(*names),
        parameters={parameter: f"&[{kind}]"},
        returns=returns,
        words=[each.replace("`values`", f"`{parameter}`") for each in words],
        forms=[each.replace("values", parameter) for each in forms],
        oracle=oracle,
        inputs=lambda: ([draw.arguments.randint(low, 30) for _ in range(draw.arguments.randint(0, longest))],),
    )


def _one_of(draw: Draw, *options: tuple) -> tuple:
    """One of the options, known by its place: they hold functions, which have no stable text."""
    return options[draw.integer(0, len(options) - 1)]


@family(tier=3)
def sequence_iterator(draw: Draw) -> Items:
    kind = draw.choose(*KINDS)
    shape = draw.choose("down", "up", "geometric", "fibonacci", "collatz", "digits", "triangular")
    a, b, end = draw.integer(1, 9), draw.integer(2, 7), draw.integer(60, 400)
    names, said, field, start, stop, advance = {
        "down": (("Countdown", "Falling", "StepsDown"), f"Counts down in steps of {b}; the last number is above {a}", "next", "from", f"next <= {a}", (f"next - {b}", lambda x: x - b)),
        "up": (("Ramp", "Climb", "Stairs"), f"Counts up by {b} for as long as it stays below {end}", "next", "from", f"next >= {end}", (f"next + {b}", lambda x: x + b)),
        "geometric": (("Powers", "Growth", "Geometric"), f"Multiplies by {b}, then adds {a}, and ends before {end}", "next", "from", f"next >= {end}", (f"next * {b} + {a}", lambda x: x * b + a)),
        "collatz": (("Collatz", "Hailstone", "Chain"), f"Halves what is even, makes 3n + 1 of what is odd, until {a} or less", "next", "from", f"next <= {a}", ("if next % 2 == 0 { next / 2 } else { 3 * next + 1 }", lambda x: x // 2 if x % 2 == 0 else 3 * x + 1)),
        "digits": (("Shrink", "Digits", "Quotients"), f"Divides by {b} again and again, as long as it is above {a}", "next", "from", f"next <= {a}", (f"next / {b}", lambda x: x // b)),
        "fibonacci": (("Fibonacci", "Sums", "Rabbits"), f"Every number is the sum of the two before, of which the first is {a}; ends before {end}", "next", "from", f"next >= {end}", None),
        "triangular": (("Triangular", "Widening", "Accelerating"), f"The steps begin with {a} and grow by {b}; ends before {end}", "next", "from", f"next >= {end}", None),
    }[shape]  # fmt: skip
    name = draw.style(*names)
    second = {"fibonacci": "previous", "triangular": "step"}.get(shape)
    update = {"fibonacci": f"self.{field} = next + self.previous;\nself.previous = next;", "triangular": f"self.{field} = next + self.step;\nself.step += {b};"}.get(shape) or f"self.{field} = {advance[0]};"
    body = draw.style(
        f"let next = self.{field};\nif {stop} {{\n    return None;\n}}\n{update}\nSome(next)",
        f"let next = self.{field};\nif {stop} {{\n    None\n}} else {{\n{textwrap.indent(update, '    ')}\n    Some(next)\n}}",
    ) if shape != "down" else f"let next = self.next;\nif {stop} {{\n    return None;\n}}\nself.next = next{draw.style(f'.saturating_sub({b})', f' - {b}.min(next)')};\nSome(next)"  # fmt: skip
    fields = f"{field}: {kind}," + (f"\n{second}: {kind}," if second else "")
    made = f"Self {{ {field}: from{f', {second}: {a}' if second else ''} }}"
    code = _code(
        f"/// {said}.\n" + draw.style("", "#[derive(Debug, Clone)]\n") + _block(f"pub struct {name}", fields),
        _block(f"impl {name}", f"/// {draw.style('Begins with `from`.', 'The first number is `from`.')}\n" + _block(f"pub fn new(from: {kind}) -> Self", made)),
        _block(f"impl Iterator for {name}", f"type Item = {kind};", _block(f"fn next(&mut self) -> Option<{draw.style('Self::Item', kind)}>", body)),
    )

    def run(first: int) -> list[int]:
        found, extra = [], a
        while first > a if stop.startswith("next <=") else first < end:
            found.append(first)
            if shape == "fibonacci":
                first, extra = first + extra, first
            elif shape == "triangular":
                first, extra = first + extra, extra + b
            else:
                first = max(0, first - b) if shape == "down" else advance[1](first)
        return found

    starts = [draw.arguments.randint(1, 4), draw.arguments.randint(10, 30), draw.arguments.randint(31, 55), 52]
    cases = [Case(f"{name}::new({n}).take(12).collect::<Vec<_>>()", literal(run(n)[:12], f"Vec<{kind}>")) for n in starts[:3]]
    return Items(code, [*cases, Case(f"{name}::new({starts[3]}).take(5).sum::<{kind}>()", str(sum(run(starts[3])[:5]))), Case(f"{name}::new({starts[1]}).count()", str(len(run(starts[1]))))])


@family(tier=3)
def borrowing_iterator(draw: Draw) -> Items:
    kind = draw.choose("i32", "u32", "i64")
    change = draw.integer_mapping(kind)
    k = draw.integer(2, 6)
    wanted = draw.choose("cyclic", "pairs", "every", "backwards", "growing")
    names, said, extra, body, run = {
        "cyclic": (("Cyclic", "Wheel", "Rounds"), f"Goes through the numbers {k} times", "rounds", f"if self.index == self.values.len() {{\n    self.index = 0;\n    self.rounds += 1;\n}}\nif self.rounds >= {k} {{\n    return None;\n}}\nlet value = *self.values.get(self.index)?;\nself.index += 1;", lambda v: list(v) * k),
        "pairs": (("Neighbours", "Pairs", "Differences"), f"Sums of each number and the one {k - 1} places further", "", f"let first = *self.values.get(self.index)?;\nlet second = *self.values.get(self.index + {k - 1})?;\nself.index += 1;\nlet value = first + second;", lambda v: [x + y for x, y in zip(v, v[k - 1 :], strict=False)]),
        "every": (("EveryFew", "Strided", "Sparse"), f"Takes every {ORDINALS[k]} number, beginning with the first", "", f"let value = *self.values.get(self.index)?;\nself.index += {k};", lambda v: v[::k]),
        "backwards": (("Backwards", "FromEnd", "Reversed"), f"Goes from the end to the front and stops before the first {k - 1}", "", f"let left = self.values.len() - self.index;\nif left < {k} {{\n    return None;\n}}\nself.index += 1;\nlet value = self.values[left - 1];", lambda v: v[k - 1 :][::-1]),
        "growing": (("RunningTotals", "Partial", "Accumulated"), "Running totals", "total", f"let next = *self.values.get(self.index)?;\nself.index += 1;\nself.total += next;\nlet value = self.total / {k};", lambda v: [quotient(sum(v[: i + 1]), k) for i in range(len(v))]),
    }[wanted]  # fmt: skip
    if wanted == "growing":
        said += f", each divided by {k}"
    name = draw.style(*names)
    typed = {"rounds": "usize", "total": kind}.get(extra)
    made = f"{name} {{ values, index: 0{f', {extra}: 0' if extra else ''} }}"
    build = draw.style("method", "function")
    make = draw.style("new", "over", "of") if build == "method" else draw.style("iterate", "iter_over", "walk")
    lifetime = draw.style("'a", "'s", "'v")
    constructor = f"fn {make}(values: &{{}}[{kind}]) -> "
    built = (
        _block(f"impl<{lifetime}> {name}<{lifetime}>", _block("pub " + constructor.format(lifetime + " ") + "Self", made))
        if build == "method"
        else "/// Begins at the front.\n" + _block("pub " + constructor.format("") + f"{name}<'_>", made)
    )
    code = _code(
        f"/// {said}; all {change.participle}{draw.style('', '. Borrows the numbers')}.\n" + _block(f"pub struct {name}<{lifetime}>", f"values: &{lifetime} [{kind}],\nindex: usize," + (f"\n{extra}: {typed}," if extra else "")),
        built,
        _block(f"impl Iterator for {name}<'_>", f"type Item = {kind};", _block("fn next(&mut self) -> Option<Self::Item>", f"{body}\nSome({change.on('value')})")),
    )  # fmt: skip
    call = f"{name}::{make}" if build == "method" else make
    lists = [[draw.arguments.randint(12, 50) for _ in range(size)] for size in (1, 5, 7, 9)]
    return Items(code, [Case(f"{call}(&{v}).collect::<Vec<_>>()", literal([change(n) for n in run(v)], f"Vec<{kind}>")) for v in lists])


@family(tier=3)
def double_ended_iterator(draw: Draw) -> Items:
    kind = draw.choose("i32", "u32", "i64", "u64")
    step, start = draw.integer(1, 9), draw.integer(0, 12)
    shape, formula, compute, said = _one_of(draw,
        ("linear", f"{start} + {step} * {{}}", lambda i: start + step * i, f"{start}, then always {step} more"), ("squares", f"{{}} * {{}} + {step}", lambda i: i * i + step, f"the squares from 0 on, each plus {step}"),
        ("halves", f"({{}} + {start}) / {step + 1}", lambda i: (i + start) // (step + 1), f"the numbers from {start} on, divided by {step + 1}"), ("rests", f"({{}} * {step} + {start}) % 10", lambda i: (i * step + start) % 10, f"the last digits of {start}, and {step} more each time"),
    )  # fmt: skip
    name = draw.style("Terms", "Span", "Series", "Sequence", "Progression", "Values")
    low, high = draw.style(("front", "back"), ("low", "high"), ("start", "end"), ("from", "to"))
    helper = draw.style(True, False)
    at = lambda x: f"term({x})" if helper else formula.replace("{}", x)  # noqa: E731
    exact = draw.choose(True, False)
    first = draw.style(
        f"if self.{low} == self.{high} {{\n    return None;\n}}\nlet index = self.{low};\nself.{low} += 1;\nSome({at('index')})",
        f"if self.{low} < self.{high} {{\n    let index = self.{low};\n    self.{low} += 1;\n    Some({at('index')})\n}} else {{\n    None\n}}",
    )
    last = draw.style(
        f"if self.{low} == self.{high} {{\n    return None;\n}}\nself.{high} -= 1;\nlet index = self.{high};\nSome({at('index')})",
        f"if self.{low} >= self.{high} {{\n    None\n}} else {{\n    self.{high} -= 1;\n    let index = self.{high};\n    Some({at('index')})\n}}",
    )
    size = _block("fn size_hint(&self) -> (usize, Option<usize>)", f"let left = (self.{high} - self.{low}) as usize;\n(left, Some(left))") if exact else ""
    code = _code(
        f"/// {draw.style('Gives', 'Iterates over')} {said}. Can be taken from both ends.\n" + _block(f"pub struct {name}", f"{low}: {kind},\n{high}: {kind},"),
        _block(f"impl {name}", "/// The first `count` of them.\n" + _block(f"pub fn first(count: {kind}) -> Self", f"{name} {{ {low}: 0, {high}: count }}")),
        _block(f"fn term(index: {kind}) -> {kind}", formula.replace("{}", "index")) if helper else "",
        _block(f"impl Iterator for {name}", f"type Item = {kind};", _block("fn next(&mut self) -> Option<Self::Item>", first), size),
        _block(f"impl DoubleEndedIterator for {name}", _block("fn next_back(&mut self) -> Option<Self::Item>", last)),
        f"impl ExactSizeIterator for {name} {{}}" if exact else "",
    )
    n, m = draw.arguments.randint(3, 6), draw.arguments.randint(4, 8)
    terms = lambda count: [compute(i) for i in range(count)]  # noqa: E731
    cases = [
        Case(f"{name}::first({n}).collect::<Vec<_>>()", literal(terms(n), f"Vec<{kind}>")),
        Case(f"{name}::first({m}).rev().collect::<Vec<_>>()", literal(terms(m)[::-1], f"Vec<{kind}>")),
        Case("(both.next(), both.next_back(), both.count())", f"(Some({compute(0)}), Some({compute(m - 1)}), {m - 2})", f"let mut both = {name}::first({m});"),
        Case(f"{name}::first(0).next_back()", "None"),
    ]
    return Items(code, cases + ([Case(f"{name}::first({n}).len()", str(n))] if exact else []))


@family(tier=3)
def iterable_collection(draw: Draw) -> Items:
    name, item, noun = draw.choose(
        ("Basket", "price", "prices"), ("Playlist", "length", "lengths of songs"), ("Team", "score", "scores"), ("Journal", "mark", "marks"), ("Route", "distance", "distances"),
        ("Station", "reading", "readings"), ("Wallet", "coin", "coins"), ("Library", "page_count", "page counts"), ("Orchard", "yield_of", "yields"),
    )  # fmt: skip
    kind = draw.choose("i32", "u32", "i64", "u64")
    holds = draw.integer_predicate(kind)
    add, field = draw.style("add", "push", "insert", "with"), draw.style("all", "inner", "stored", "entries")
    owned, borrowed, collected = draw.choose((True, True, False), (True, False, True), (False, True, True), (True, True, True))
    chained = add == "with"
    body = f"self.{field}.push({item});"
    filtered = draw.choose(True, False)
    if filtered:
        body = draw.style(f"if {holds.on(item)} {{\n    {body}\n}}", f"if !({holds.on(item)}) {{\n    return{' self' if chained else ''};\n}}\n{body}")
    head = f"pub fn {add}({'mut self' if chained else '&mut self'}, {item}: {kind}){' -> Self' if chained else ''}"
    code = _code(
        f"/// {draw.style('Keeps', 'Holds', 'Collects')} {noun}{f'; only {holds.plural}' if filtered else ''}.\n#[derive(Debug, Default, Clone, PartialEq)]\n" + _block(f"pub struct {name}", f"{field}: Vec<{kind}>,"),
        _block(f"impl {name}", _block("pub fn new() -> Self", draw.style("Self::default()", f"{name} {{ {field}: Vec::new() }}")), f"/// {draw.style('Adds one', 'Puts one more in')}{', if it is to be kept' if filtered else ''}.\n" + _block(head, body + ("\nself" if chained else ""))),
        _block(f"impl IntoIterator for {name}", f"type Item = {kind};\ntype IntoIter = std::vec::IntoIter<{kind}>;", _block("fn into_iter(self) -> Self::IntoIter", f"self.{field}.into_iter()")) if owned else "",
        _block(f"impl<'a> IntoIterator for &'a {name}", f"type Item = &'a {kind};\ntype IntoIter = std::slice::Iter<'a, {kind}>;", _block("fn into_iter(self) -> Self::IntoIter", f"self.{field}.iter()")) if borrowed else "",
        _block(f"impl FromIterator<{kind}> for {name}", _block(f"fn from_iter<I: IntoIterator<Item = {kind}>>(values: I) -> Self", f"let mut made = {name}::new();\nfor value in values {{\n    {'made = ' if chained else ''}made.{add}(value);\n}}\nmade")) if collected else "",
    )  # fmt: skip
    values = [draw.arguments.randint(1, 40) for _ in range(4)]
    kept = [n for n in values if holds(n) or not filtered]
    fill = f"let made = {name}::new(){''.join(f'.{add}({n})' for n in values)};" if chained else f"let mut made = {name}::new(); " + " ".join(f"made.{add}({n});" for n in values)
    cases = []
    if owned:
        cases += [Case("made.into_iter().collect::<Vec<_>>()", literal(kept, f"Vec<{kind}>"), fill), Case(f"made.into_iter().sum::<{kind}>()", str(sum(kept)), fill)]
    if borrowed:
        cases += [Case("(&made).into_iter().count()", str(len(kept)), fill), Case("total", str(sum(n + 1 for n in kept)), f"{fill} let mut total = 0; for value in &made {{ total += *value + 1; }}")]
    if collected:
        reader = "into_iter()" if owned else "into_iter().copied()"
        source = "" if owned else "&"
        reached = [n for n in range(1, 9) if holds(n) or not filtered]
        cases += [Case(f"({source}(1..9).collect::<{name}>()).{reader}.collect::<Vec<{kind}>>()", literal(reached, f"Vec<{kind}>")), Case("made", f"{name}::new()", f"let made: {name} = Vec::new().into_iter().collect();")]
    return Items(code, cases)


@family(tier=2)
def returned_iterator(draw: Draw) -> Items:
    kind = draw.choose("i32", "u32", "i64", "u64")
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    source, skip = draw.choose("slice", "vec", "range"), draw.choose(0, 0, 1, 2)
    v = "value"
    name = draw.style("selected", "changed", "pipeline", "wanted", "kept_and_changed", "stream")
    begin = {"slice": "values.iter().copied()", "vec": "values.into_iter()", "range": "(1..=limit)"}[source]
    parameter = {"slice": f"values: &[{kind}]", "vec": f"values: Vec<{kind}>", "range": f"limit: {kind}"}[source]
    returns = f"impl Iterator<Item = {kind}>" + (" + '_" if source == "slice" else "")
    test, made = holds.on(v), change.on(v)
    skipped = f".skip({skip})" if skip else ""
    forms = [
        f"{begin}\n    .filter(|&value| {test}){skipped and chr(10) + '    ' + skipped}\n    .map(|value| {made})",
        f"{begin}\n    .filter_map(|value| if {test} {{ Some(value) }} else {{ None }}){skipped and chr(10) + '    ' + skipped}\n    .map(|value| {made})",
    ]
    if not skip:
        forms.append(f"{begin}.filter_map(|value| ({test}).then(|| {made}))")
    where = {"slice": "in `values`", "vec": "in `values`", "range": "from 1 to `limit`"}[source]
    less = f", without the first {skip}" if skip else ""
    words = draw.style(f"Iterates over the {holds.plural} {where}{less}, each {change.participle}.", f"Gives the {holds.plural} {where}{less}; each is {change.participle}.", f"An iterator over the {holds.plural} {where}{less}, {change.participle}.")
    code = f"/// {words}\n" + _block(f"pub fn {name}({parameter}) -> {returns}", draw.style(*forms)) + "\n"
    compute = lambda numbers: [change(n) for n in [n for n in numbers if holds(n)][skip:]]  # noqa: E731
    if source == "range":
        return Items(code, [Case(f"{name}({n}).collect::<Vec<_>>()", literal(compute(range(1, n + 1)), f"Vec<{kind}>")) for n in (draw.arguments.randint(5, 20), draw.arguments.randint(21, 40), 33)])
    lists = [[draw.arguments.randint(9, 40) for _ in range(size)] for size in (4, 6)] + [[2, 7, 12, 16, 25, 27, 30, 36]]
    prefix = "&" if source == "slice" else "vec!"
    cases = [Case(f"{name}({prefix}{v}).collect::<Vec<_>>()", literal(compute(v), f"Vec<{kind}>")) for v in lists]
    return Items(code, [*cases, Case(f"{name}({prefix}{lists[2]}).count()", str(len(compute(lists[2]))))])


@family(tier=2)
def scanned(draw: Draw) -> Function:
    kind = draw.choose(*KINDS)
    change = draw.integer_mapping(kind)
    start = draw.integer(0, 12)
    combine, compute, said = _one_of(draw, ("total + {}", lambda a, b: a + b, "sums"), ("total.max({})", max, "maxima"), ("total.min({})", min, "minima"))
    step = combine.format(change.on("value"))

    def oracle(values: list[int]) -> list[int]:
        found, total = [], start
        for n in values:
            total = compute(total, change(n))
            found.append(total)
        return found

    return _slice_function(
        draw, kind, f"Vec<{kind}>", ("running", "accumulate", "running_totals", "prefix_figures", "scan_values"),
        [f"Returns the running {said} of `values`, each {change.participle}, beginning with {start}.", f"For each position the {said[:-1] if said == 'sums' else said[:-1] + 'um'} of {start} and everything so far, each number {change.participle}."],
        [
            f"let mut total = {start};\nvalues\n    .iter()\n    .map(|&value| {{\n        total = {step};\n        total\n    }})\n    .collect()",
            f"values\n    .iter()\n    .scan({start}, |state, &value| {{\n        let total = *state;\n        *state = {step};\n        Some(*state)\n    }})\n    .collect()",
            f"let mut total = {start};\nlet mut result = Vec::with_capacity(values.len());\nfor &value in values {{\n    total = {step};\n    result.push(total);\n}}\nresult",
        ],
        oracle,
    )  # fmt: skip


@family(tier=2)
def prefix_until(draw: Draw) -> Function:
    kind = draw.choose(*KINDS)
    holds = draw.integer_predicate(kind)
    side, figure = draw.choose("take", "skip"), draw.choose("list", "sum", "count", "largest")
    returns, end, finish = {"list": (f"Vec<{kind}>", ".collect()", list), "sum": (kind, ".sum()", sum), "count": ("usize", ".count()", len), "largest": (f"Option<{kind}>", ".max()", lambda v: max(v, default=None))}[figure]
    said = {"list": "the numbers", "sum": "the sum of the numbers", "count": "the number of elements", "largest": "the largest number"}[figure]
    where = f"before the first that {holds.clause}" if side == "take" else f"from the first that {holds.clause} on"

    def oracle(values: list[int]) -> object:
        place = next((i for i, n in enumerate(values) if holds(n)), len(values))
        return finish(values[:place] if side == "take" else values[place:])

    x, taken = holds.on("value"), "[..place]" if side == "take" else "[place..]"
    return _slice_function(
        draw, kind, returns, (f"{side}_until", "leading" if side == "take" else "trailing", f"{figure}_{'before' if side == 'take' else 'from'}_{holds.slug}", "part_of"),
        [f"Returns {said} in `values` {where}.", f"Looks for the first element that {holds.clause}; returns {said} {'before it' if side == 'take' else 'from there on'}. {'All count' if side == 'take' else 'Nothing counts'} if there is none.", f"{said.capitalize()} {where}."],
        [f"values\n    .iter()\n    .copied()\n    .{side}_while(|&value| !({x}))\n    {end}",
         f"let place = values\n    .iter()\n    .position(|&value| {x})\n    .unwrap_or(values.len());\nvalues{taken}.iter().copied(){end}",
         f"let mut place = 0;\nwhile place < values.len() {{\n    let value = values[place];\n    if {x} {{\n        break;\n    }}\n    place += 1;\n}}\nvalues{taken}.iter().copied(){end}"],
        oracle,
    )  # fmt: skip


@family(tier=1)
def weighted_positions(draw: Draw) -> Function:
    kind = draw.choose("i32", "i64")
    first, step, sign = draw.integer(0, 5), draw.integer(1, 6), draw.choose(False, True)
    change = draw.integer_mapping(kind)
    weight = lambda i: f"{f'{first} + ' if first else ''}{f'{step} * ' if step > 1 else ''}{i}"  # noqa: E731
    factor = f"({weight(f'index as {kind}')})"
    term = f"let term = {factor} * ({change.on('value')});"
    turned = "if index % 2 == 0 { term } else { -term }" if sign else "term"
    alternating = ", with alternating signs" if sign else ""
    return _slice_function(
        draw, kind, kind, ("weighted_sum", "checksum", "position_weighted", "weigh", "moment"),
        [f"Adds up the numbers, each {change.participle} and multiplied by its weight{alternating}. Weights begin with {first} and grow by {step}.",
         f"Returns the sum of `values`, each {change.participle}, times {first}, {first + step}, {first + 2 * step} and so on{alternating}{' (the first is added)' if sign else ''}."],
        [f"let mut total = 0;\nfor (index, &value) in values.iter().enumerate() {{\n    {term}\n    total += {turned};\n}}\ntotal",
         f"values\n    .iter()\n    .enumerate()\n    .map(|(index, &value)| {{\n        {term}\n        {turned}\n    }})\n    .sum()",
         f"values.iter().enumerate().fold(0, |total, (index, &value)| {{\n    {term}\n    total + {f'({turned})' if sign else 'term'}\n}})"],
        lambda values: sum((first + step * i) * change(n) * (-1 if sign and i % 2 else 1) for i, n in enumerate(values)),
    )  # fmt: skip


@family(tier=2)
def chunk_figures(draw: Draw) -> Function:
    kind = draw.choose(*KINDS)
    size, cut = draw.integer(2, 5), draw.choose("chunks", "windows", "chunks_exact")
    change = draw.integer_mapping(kind)
    inner, compute, said = _one_of(draw,
        (f"part.iter().copied().sum::<{kind}>()", sum, "sum"), ("part.iter().copied().max().unwrap_or(0)", max, "maximum"), ("part.iter().copied().min().unwrap_or(0)", min, "minimum"),
        ("part[0]", lambda p: p[0], "first number"), ("part[part.len() - 1]", lambda p: p[-1], "last number"), ("part.iter().fold(0, |sum, &each| sum * 2 + each)", _binary, "value, read as digits of base 2,"),
    )  # fmt: skip
    blocks = {"chunks": f"blocks of {size}, of which the last may be shorter", "windows": f"{size} numbers in a row", "chunks_exact": f"whole blocks of {size}; a shorter rest is left out"}[cut]

    def oracle(values: list[int]) -> list[int]:
        starts = range(0, len(values), size) if cut != "windows" else range(len(values))
        parts = [values[i : i + size] for i in starts]
        return [change(compute(p)) for p in parts if cut == "chunks" or len(p) == size]

    made = f"let value = {inner};"
    return _slice_function(
        draw, kind, f"Vec<{kind}>", ("block_figures", f"{cut}_of_{size}", "summarize", "per_block", "by_parts"),
        [f"For {blocks}: the {said}, {change.participle}.", f"Takes {blocks}. Returns the {said} of each, {change.participle}."],
        [f"values\n    .{cut}({size})\n    .map(|part| {{\n        {made}\n        {change.on('value')}\n    }})\n    .collect()",
         f"let mut result = Vec::new();\nfor part in values.{cut}({size}) {{\n    {made}\n    result.push({change.on('value')});\n}}\nresult"],
        oracle, 11,
    )  # fmt: skip


def _binary(part: list[int]) -> int:
    total = 0
    for n in part:
        total = total * 2 + n
    return total


@family(tier=1)
def every_few(draw: Draw) -> Function:
    kind = draw.choose(*KINDS)
    step, start = draw.integer(2, 5), draw.integer(0, 3)
    change = draw.integer_mapping(kind)
    figure, end, finish, returns = _one_of(draw, ("list", ".collect()", list, f"Vec<{kind}>"), ("sum", ".sum()", sum, kind), ("max", ".max()", lambda v: max(v, default=None), f"Option<{kind}>"))
    said = {"list": "Lists", "sum": "Adds up", "max": "Returns the largest of"}[figure]
    order = draw.choose("front", "back")
    back = ".rev()" if order == "back" else ""
    ends = "the end" if back else "the front"
    test = f"index >= {start} && (index - {start}) % {step} == 0" if start else f"index % {step} == 0"
    return _slice_function(
        draw, kind, returns, ("every_few", f"each_{step}", "sampled", "strided", "spread_out"),
        [f"{said} every {ORDINALS[step]} element of `values`, each {change.participle}, {f'after leaving out {start} ' if start else ''}counted from {ends}.",
         f"{said} what is found in steps of {step} from {ends}{f', from index {start} on,' if start else ''}, each {change.participle}."],
        [f"values\n    .iter(){back}\n    .skip({start})\n    .step_by({step})\n    .map(|&value| {change.on('value')})\n    {end}",
         f"values\n    .iter(){back}\n    .enumerate()\n    .filter(|&(index, _)| {test})\n    .map(|(_, &value)| {change.on('value')})\n    {end}"],
        lambda values: finish([change(n) for n in (values[::-1] if back else values)[start::step]]),
    )  # fmt: skip


@family(tier=2)
def zipped(draw: Draw) -> Function:
    kind = draw.choose("i32", "i64")
    p, q = draw.integer(1, 6), draw.integer(1, 6)
    pair, compute, what = _one_of(draw,
        (f"{p} * a + {q} * b", lambda a, b: p * a + q * b, f"{p} times the first plus {q} times the second"), (f"{p} * a - {q} * b", lambda a, b: p * a - q * b, f"{p} times the first minus {q} times the second"),
        (f"a * b + {p}", lambda a, b: a * b + p, f"the product plus {p}"), (f"(a - b).abs() * {q}", lambda a, b: abs(a - b) * q, f"{q} times the distance"), (f"a.max(b) + {p}", lambda a, b: max(a, b) + p, f"the larger plus {p}"), (f"a.min(b) * {q}", lambda a, b: min(a, b) * q, f"{q} times the smaller"),
    )  # fmt: skip
    figure, end, finish, returns = _one_of(draw, ("a vector", ".collect()", list, f"Vec<{kind}>"), ("the sum", ".sum()", sum, kind), ("the maximum", ".max()", lambda v: max(v, default=None), f"Option<{kind}>"))
    back = draw.choose(False, True)
    rev = ".rev()" if back else ""
    left, right = draw.style(("left", "right"), ("first", "second"), ("prices", "amounts"), ("xs", "ys"))
    order = f"; `{right}` is read from its end" if back else ""
    second = f"{right}[{right}.len() - 1 - index]" if back else f"{right}[index]"
    pick = draw.arguments

    return Function(
        name=draw.style("combine", "zip_with", "pairwise", "merge_pairs", "couple"),
        parameters={left: f"&[{kind}]", right: f"&[{kind}]"},
        returns=returns,
        words=[f"Returns {figure} of {what} for each pair from `{left}` and `{right}`, as far as the shorter goes{order}.", f"Pairs up `{left}` and `{right}` and computes {what}; gives {figure} of that. What has no partner is left out{order}."],
        forms=[
            f"{left}\n    .iter()\n    .zip({right}.iter(){rev})\n    .map(|(&a, &b)| {pair})\n    {end}",
            f"let size = {left}.len().min({right}.len());\n(0..size)\n    .map(|index| {{\n        let a = {left}[index];\n        let b = {second};\n        {pair}\n    }})\n    {end}",
        ],
        oracle=lambda xs, ys: finish([compute(a, b) for a, b in zip(xs, ys[::-1] if back else ys, strict=False)]),
        inputs=lambda: tuple([pick.randint(-15, 30) for _ in range(pick.randint(0, 6))] for _ in range(2)),
    )


@family(tier=2)
def flattened(draw: Draw) -> Function:
    kind = draw.choose("i32", "i64", "u32", "u64")
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    least = draw.integer(0, 2)
    x, m = holds.on("value"), change.on("value")
    parameter = draw.style("rows", "lists", "groups", "grid")
    pick = draw.arguments
    which = f" that have more than {least} element{'s' if least > 1 else ''}" if least else ""
    low = -15 if kind.startswith("i") else 0
    return Function(
        name=draw.style("flatten_kept", "all_from_rows", "collect_all", "concatenate", "gather"),
        parameters={parameter: f"&[Vec<{kind}>]"},
        returns=f"Vec<{kind}>",
        words=[f"Collects the {holds.plural} of all `{parameter}`{which}, each {change.participle}.", f"Puts the {holds.plural} from `{parameter}`{which} into one list, each {change.participle}."],
        forms=[
            f"{parameter}\n    .iter()\n" + (f"    .filter(|row| row.len() > {least})\n" if least else "") + f"    .flat_map(|row| row.iter().copied())\n    .filter(|&value| {x})\n    .map(|value| {m})\n    .collect()",
            f"let mut result = Vec::new();\nfor row in {parameter} {{\n" + (f"    if row.len() <= {least} {{\n        continue;\n    }}\n" if least else "") + f"    for &value in row {{\n        if {x} {{\n            result.push({m});\n        }}\n    }}\n}}\nresult",
        ],
        oracle=lambda rows: [change(n) for row in rows if len(row) > least for n in row if holds(n)],
        inputs=lambda: ([[pick.randint(low, 30) for _ in range(pick.randint(0, 5))] for _ in range(pick.randint(0, 4))],),
    )


@family(tier=3)
def peeked_runs(draw: Draw) -> Function:
    kind = draw.choose(*KINDS)
    gap, least = draw.integer(0, 6), draw.integer(1, 2)
    signed = kind.startswith("i")
    same, joined, said = _one_of(draw,
        (f"next.abs_diff(last) <= {gap}", lambda a, b: abs(a - b) <= gap, f"differ by at most {gap}"), (f"next >= last + {gap}", lambda a, b: b >= a + gap, f"rise by at least {gap}"),
        (f"next + {gap} <= last", lambda a, b: b + gap <= a, f"fall by at least {gap}"), (f"next % {gap + 2} == last % {gap + 2}", lambda a, b: a % (gap + 2) == b % (gap + 2), f"leave the same remainder by {gap + 2}"),
    )  # fmt: skip
    if signed and "%" in same:
        same = f"next.rem_euclid({gap + 2}) == last.rem_euclid({gap + 2})"
    figure, compute, kept = _one_of(draw, ("the sum", sum, "total"), ("the length", len, "count"), ("the last number", lambda r: r[-1], "last"))
    returned = "usize" if kept == "count" else kind

    def oracle(values: list[int]) -> list[int]:
        runs: list[list[int]] = []
        for n in values:
            if runs and joined(runs[-1][-1], n):
                runs[-1].append(n)
            else:
                runs.append([n])
        return [compute(run) for run in runs if len(run) >= least]

    grown = "\n        total += next;" if kept == "total" else ""
    begun = "\n    let mut total = first;" if kept == "total" else ""
    final = {"total": "run.iter().sum()", "count": "run.len()", "last": "run[run.len() - 1]"}[kept]
    return _slice_function(
        draw, kind, f"Vec<{returned}>", ("runs", "group_runs", "stretches", "streaks", "run_figures"),
        [f"Splits `values` into runs in which neighbours {said}, and returns {figure} of each run{f' of at least {least}' if least > 1 else ''}.", f"For each longest stretch whose neighbours {said}: {figure}.{f' Stretches shorter than {least} are left out.' if least > 1 else ''}"],
        [f"let mut result = Vec::new();\nlet mut rest = values.iter().copied().peekable();\nwhile let Some(first) = rest.next() {{\n    let mut last = first;\n    let mut count = 1;{begun}\n    while let Some(next) = rest.next_if(|&next| {same}) {{\n        last = next;\n        count += 1;{grown}\n    }}\n    if count >= {least} {{\n        result.push({kept});\n    }}\n}}\nresult",
         f"let mut runs: Vec<Vec<{kind}>> = Vec::new();\nfor &next in values {{\n    match runs.last_mut() {{\n        Some(run) if run.last().is_some_and(|&last| {same}) => run.push(next),\n        _ => runs.push(vec![next]),\n    }}\n}}\nruns.iter()\n    .filter(|run| run.len() >= {least})\n    .map(|run| {final})\n    .collect()"],
        oracle,
    )  # fmt: skip


@family(tier=2)
def merged_sorted(draw: Draw) -> Function:
    kind = draw.choose(*KINDS)
    falling, twice = draw.choose(False, True), draw.choose("all", "once", "common")
    holds = draw.integer_predicate(kind)
    only = draw.choose(True, False)
    sign, sorted_as = (">=", "falling") if falling else ("<=", "rising")
    word = {"all": "", "once": "; what occurs more than once is taken once", "common": "; only what both have, once"}[twice]
    chosen = f" Only {holds.plural} are kept." if only else ""
    final = f"result.retain(|&value| {holds.on('value')});\n" if only else ""
    dedup = "result.dedup();\n" if twice != "all" else ""
    order = "result.sort_by(|a, b| b.cmp(a));\n" if falling else "result.sort();\n"

    def oracle(left: list[int], right: list[int]) -> list[int]:
        found = {"all": left + right, "once": list({*left, *right}), "common": [n for n in {*left} if n in right]}[twice]
        return sorted((n for n in found if holds(n) or not only), reverse=falling)

    loop = f"let mut result = Vec::new();\nlet (mut i, mut j) = (0, 0);\nwhile i < left.len() || j < right.len() {{\n    let from_left = j == right.len() || (i < left.len() && left[i] {sign} right[j]);\n    if from_left {{\n        result.push(left[i]);\n        i += 1;\n    }} else {{\n        result.push(right[j]);\n        j += 1;\n    }}\n}}\n"
    common = f"let mut result = Vec::new();\nlet (mut i, mut j) = (0, 0);\nwhile i < left.len() && j < right.len() {{\n    if left[i] == right[j] {{\n        result.push(left[i]);\n        i += 1;\n        j += 1;\n    }} else if left[i] {sign} right[j] {{\n        i += 1;\n    }} else {{\n        j += 1;\n    }}\n}}\n"
    plain = "let mut result: Vec<_> = left.iter().copied().filter(|value| right.contains(value)).collect();\n" if twice == "common" else f"let mut result = left.to_vec();\nresult.extend_from_slice(right);\n{order}"
    pick = draw.arguments
    return Function(
        name=draw.style("merge", "merge_sorted", "join_sorted", "combine_sorted") if twice != "common" else draw.style("common", "intersect_sorted", "shared"),
        parameters={"left": f"&[{kind}]", "right": f"&[{kind}]"}, returns=f"Vec<{kind}>",
        words=[f"Merges two {sorted_as} lists into one {sorted_as} list{word}.{chosen}", f"`left` and `right` are {sorted_as}; so is the result, which has the numbers of both{word}.{chosen}"],
        forms=[f"{common if twice == 'common' else loop}{dedup}{final}result", f"{plain}{dedup}{final}result"], oracle=oracle,
        inputs=lambda: tuple(sorted((pick.randint(-15 if kind in SIGNED else 0, 30) for _ in range(pick.randint(0, 9))), reverse=falling) for _ in range(2)),
    )  # fmt: skip


@family(tier=3)
def split_at_marker(draw: Draw) -> Function:
    kind = draw.choose("i32", "i64", "u32")
    holds = draw.integer_predicate(kind)
    empty = draw.choose("kept", "left out")
    figure, compute, made, returned = _one_of(draw, ("the sum", sum, f"part.iter().sum::<{kind}>()", kind), ("the length", len, "part.len()", "usize"), ("the numbers", list, "part.to_vec()", f"Vec<{kind}>"))

    def oracle(values: list[int]) -> list:
        if not values:
            raise Undefined
        parts: list[list[int]] = [[]]
        for n in values:
            if holds(n):
                parts.append([])
            else:
                parts[-1].append(n)
        return [compute(part) for part in parts if part or empty == "kept"]

    x = holds.on("value")
    filtered = "" if empty == "kept" else "\n    .filter(|part| !part.is_empty())"
    finish = lambda depth: f"result.push({made});" if empty == "kept" else f"if !part.is_empty() {{\n{depth}    result.push({made});\n{depth}}}"  # noqa: E731
    return _slice_function(
        draw, kind, f"Vec<{returned}>", ("split_by", "parts", "between_markers", "sections", "segments"),
        [f"Splits `values` wherever a number {holds.clause} and returns {figure} of each part. Empty parts are {empty}.", f"Numbers that are {holds.plural} separate parts; gives {figure} of every part (empty ones are {empty}). The list has at least one number."],
        [f"values\n    .split(|&value| {x}){filtered}\n    .map(|part| {made})\n    .collect()",
         f"let mut result = Vec::new();\nlet mut part = Vec::new();\nfor &value in values {{\n    if {x} {{\n        {finish('        ')}\n        part.clear();\n    }} else {{\n        part.push(value);\n    }}\n}}\n{finish('')}\nresult"],
        oracle,
    )  # fmt: skip
