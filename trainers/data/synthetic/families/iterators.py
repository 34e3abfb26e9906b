"""Types that implement `Iterator`, and functions that return iterators."""

import textwrap

from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.pieces import quotient
from trainers.data.synthetic.writing import braced, items

KINDS = ("i32", "i64", "u32", "u64")
ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth"}


@family(tier=3)
def sequence_iterator(draw: Draw) -> Items:
    kind = draw.choose(*KINDS)
    shape = draw.choose("down", "up", "geometric", "fibonacci", "collatz", "digits", "triangular")
    a, b, end = draw.integer(1, 9), draw.integer(2, 7), draw.integer(60, 400)
    names, said, field, start, stop, advance = {
        "down": (("Countdown", "Falling", "StepsDown"), f"Counts down in steps of {b} as long as the numbers are greater than {a}", "next", "from", f"next <= {a}", (f"next - {b}", lambda x: x - b)),
        "up": (("Ramp", "Climb", "Stairs"), f"Counts up in steps of {b} as long as the numbers are less than {end}", "next", "from", f"next >= {end}", (f"next + {b}", lambda x: x + b)),
        "geometric": (("Powers", "Growth", "Geometric"), f"Multiplies by {b} and adds {a} in every step, as long as the numbers are less than {end}", "next", "from", f"next >= {end}", (f"next * {b} + {a}", lambda x: x * b + a)),
        "collatz": (("Collatz", "Hailstone", "Chain"), f"Halves even numbers and replaces odd numbers n by 3n + 1, as long as they are greater than {a}", "next", "from", f"next <= {a}", ("if next % 2 == 0 { next / 2 } else { 3 * next + 1 }", lambda x: x // 2 if x % 2 == 0 else 3 * x + 1)),
        "digits": (("Shrink", "Digits", "Quotients"), f"Divides repeatedly by {b}, rounding down, as long as the numbers are greater than {a}", "next", "from", f"next <= {a}", (f"next / {b}", lambda x: x // b)),
        "fibonacci": (("Fibonacci", "Sums", "Rabbits"), f"Yields numbers less than {end} that are each the sum of the two before, where the first number is taken to be preceded by {a}", "next", "from", f"next >= {end}", None),
        "triangular": (("Triangular", "Widening", "Accelerating"), f"Counts up in steps that begin with {a} and grow by {b}, as long as the numbers are less than {end}", "next", "from", f"next >= {end}", None),
    }[shape]
    name = draw.style(*names)
    second = {"fibonacci": "previous", "triangular": "step"}.get(shape)
    update = {"fibonacci": f"self.{field} = next + self.previous;\nself.previous = next;", "triangular": f"self.{field} = next + self.step;\nself.step += {b};"}.get(shape, "")
    if advance is not None:
        update = f"self.{field} = {advance[0]};"
    body = draw.style(
        f"let next = self.{field};\nif {stop} {{\n    return None;\n}}\n{update}\nSome(next)",
        f"let next = self.{field};\nif {stop} {{\n    None\n}} else {{\n{textwrap.indent(update, '    ')}\n    Some(next)\n}}",
    ) if shape != "down" else f"let next = self.next;\nif {stop} {{\n    return None;\n}}\nself.next = next{draw.style(f'.saturating_sub({b})', f' - {b}.min(next)')};\nSome(next)"
    fields = f"{field}: {kind}," + (f"\n{second}: {kind}," if second else "")
    made = f"Self {{ {field}: from{f', {second}: {a}' if second else ''} }}"
    code = items(
        f"/// {said}.\n" + draw.style("", "#[derive(Debug, Clone)]\n") + braced(f"pub struct {name}", fields),
        braced(f"impl {name}", f"/// {draw.style('Creates an iterator that starts with `from`.', 'Starts with `from`.')}\n" + braced(f"pub fn new(from: {kind}) -> Self", made)),
        braced(f"impl Iterator for {name}", f"type Item = {kind};", braced(f"fn next(&mut self) -> Option<{draw.style('Self::Item', kind)}>", body)),
    )

    def run(first: int) -> list[int]:
        found, extra = [], a
        while first > a if stop.startswith("next <=") else first < end:
            found.append(first)
            if shape == "fibonacci":
                first, extra = first + extra, first
            elif shape == "triangular":
                first, extra = first + extra, extra + b
            elif shape == "down":
                first = max(0, first - b)
            elif advance is not None:
                first = advance[1](first)
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
        "cyclic": (("Cyclic", "Wheel", "Rounds"), f"Iterates over the numbers {k} times", "rounds", f"if self.index == self.values.len() {{\n    self.index = 0;\n    self.rounds += 1;\n}}\nif self.rounds >= {k} {{\n    return None;\n}}\nlet value = *self.values.get(self.index)?;\nself.index += 1;", lambda v: list(v) * k),
        "pairs": (("Neighbors", "Pairs", "Sums"), f"Yields the sum of each number and the number {'after it' if k == 2 else f'{k - 1} positions after it'}", "", f"let first = *self.values.get(self.index)?;\nlet second = *self.values.get(self.index + {k - 1})?;\nself.index += 1;\nlet value = first + second;", lambda v: [x + y for x, y in zip(v, v[k - 1 :], strict=False)]),
        "every": (("EveryFew", "Strided", "Sparse"), f"Yields every {ORDINALS[k]} number, starting with the first", "", f"let value = *self.values.get(self.index)?;\nself.index += {k};", lambda v: v[::k]),
        "backwards": (("Backwards", "FromEnd", "Reversed"), f"Iterates backward and omits the first {'number' if k == 2 else f'{k - 1} numbers'}", "", f"let left = self.values.len() - self.index;\nif left < {k} {{\n    return None;\n}}\nself.index += 1;\nlet value = self.values[left - 1];", lambda v: v[k - 1 :][::-1]),
        "growing": (("RunningTotals", "Partial", "Accumulated"), "Yields the running totals", "total", f"let next = *self.values.get(self.index)?;\nself.index += 1;\nself.total += next;\nlet value = self.total / {k};", lambda v: [quotient(sum(v[: i + 1]), k) for i in range(len(v))]),
    }[wanted]
    if wanted == "growing":
        said += f", each divided by {k} and rounded toward zero"
    name = draw.style(*names)
    typed = {"rounds": "usize", "total": kind}.get(extra)
    made = f"{name} {{ values, index: 0{f', {extra}: 0' if extra else ''} }}"
    build = draw.style("method", "function")
    make = draw.style("new", "over", "of") if build == "method" else draw.style("iterate", "iter_over", "walk")
    lifetime = draw.style("'a", "'s", "'v")
    constructor = f"fn {make}(values: &{{}}[{kind}]) -> "
    built = (
        braced(f"impl<{lifetime}> {name}<{lifetime}>", braced("pub " + constructor.format(lifetime + " ") + "Self", made))
        if build == "method"
        else "/// Creates an iterator over `values`.\n" + braced("pub " + constructor.format("") + f"{name}<'_>", made)
    )
    code = items(
        f"/// {said}. Every result is {change.participle}{draw.style('', '. Borrows the numbers')}.\n" + braced(f"pub struct {name}<{lifetime}>", f"values: &{lifetime} [{kind}],\nindex: usize," + (f"\n{extra}: {typed}," if extra else "")),
        built,
        braced(f"impl Iterator for {name}<'_>", f"type Item = {kind};", braced("fn next(&mut self) -> Option<Self::Item>", f"{body}\nSome({change.on('value')})")),
    )
    call = f"{name}::{make}" if build == "method" else make
    lists = [[draw.arguments.randint(12, 50) for _ in range(size)] for size in (1, 5, 7, 9)]
    return Items(code, [Case(f"{call}(&{v}).collect::<Vec<_>>()", literal([change(n) for n in run(v)], f"Vec<{kind}>")) for v in lists])


@family(tier=3)
def double_ended_iterator(draw: Draw) -> Items:
    kind = draw.choose("i32", "u32", "i64", "u64")
    step, start = draw.integer(1, 9), draw.integer(0, 12)
    shape, formula, compute, said = draw.choose(
        ("linear", f"{start} + {step} * {{}}", lambda i: start + step * i, f"the arithmetic sequence that starts with {start} and increases by {step}"), ("squares", f"{{}} * {{}} + {step}", lambda i: i * i + step, f"the squares of 0, 1, 2 and so on, each plus {step}"),
        ("halves", f"({{}} + {start}) / {step + 1}", lambda i: (i + start) // (step + 1), f"the consecutive integers from {start} on, each divided by {step + 1} and rounded down"), ("rests", f"({{}} * {step} + {start}) % 10", lambda i: (i * step + start) % 10, f"the last digits of the arithmetic sequence that starts with {start} and increases by {step}"),
    )
    name = draw.style("Terms", "Span", "Series", "Sequence", "Progression", "Values")
    low, high = draw.style(("front", "back"), ("low", "high"), ("start", "end"), ("from", "to"))
    helper = draw.style(True, False)

    def at(x):
        return f"term({x})" if helper else formula.replace("{}", x)

    exact = draw.choose(True, False)
    first = draw.style(
        f"if self.{low} == self.{high} {{\n    return None;\n}}\nlet index = self.{low};\nself.{low} += 1;\nSome({at('index')})",
        f"if self.{low} < self.{high} {{\n    let index = self.{low};\n    self.{low} += 1;\n    Some({at('index')})\n}} else {{\n    None\n}}",
    )
    last = draw.style(
        f"if self.{low} == self.{high} {{\n    return None;\n}}\nself.{high} -= 1;\nlet index = self.{high};\nSome({at('index')})",
        f"if self.{low} >= self.{high} {{\n    None\n}} else {{\n    self.{high} -= 1;\n    let index = self.{high};\n    Some({at('index')})\n}}",
    )
    size = braced("fn size_hint(&self) -> (usize, Option<usize>)", f"let left = (self.{high} - self.{low}) as usize;\n(left, Some(left))") if exact else ""
    code = items(
        f"/// {draw.style('Yields', 'Iterates over')} {said}. Supports iteration from both ends.\n" + braced(f"pub struct {name}", f"{low}: {kind},\n{high}: {kind},"),
        braced(f"impl {name}", "/// Creates an iterator over the first `count` terms.\n" + braced(f"pub fn first(count: {kind}) -> Self", f"{name} {{ {low}: 0, {high}: count }}")),
        braced(f"fn term(index: {kind}) -> {kind}", formula.replace("{}", "index")) if helper else "",
        braced(f"impl Iterator for {name}", f"type Item = {kind};", braced("fn next(&mut self) -> Option<Self::Item>", first), size),
        braced(f"impl DoubleEndedIterator for {name}", braced("fn next_back(&mut self) -> Option<Self::Item>", last)),
        f"impl ExactSizeIterator for {name} {{}}" if exact else "",
    )
    n, m = draw.arguments.randint(3, 6), draw.arguments.randint(4, 8)

    def terms(count):
        return [compute(i) for i in range(count)]

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
    )
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
    code = items(
        f"/// {draw.style('Stores', 'Holds', 'Collects')} {noun}{f' that are {holds.plural}' if filtered else ''}.\n#[derive(Debug, Default, Clone, PartialEq)]\n" + braced(f"pub struct {name}", f"{field}: Vec<{kind}>,"),
        braced(f"impl {name}", braced("pub fn new() -> Self", draw.style("Self::default()", f"{name} {{ {field}: Vec::new() }}")), f"/// {draw.style('Adds', 'Inserts')} a value{f' if it {holds.clause}' if filtered else ''}.\n" + braced(head, body + ("\nself" if chained else ""))),
        braced(f"impl IntoIterator for {name}", f"type Item = {kind};\ntype IntoIter = std::vec::IntoIter<{kind}>;", braced("fn into_iter(self) -> Self::IntoIter", f"self.{field}.into_iter()")) if owned else "",
        braced(f"impl<'a> IntoIterator for &'a {name}", f"type Item = &'a {kind};\ntype IntoIter = std::slice::Iter<'a, {kind}>;", braced("fn into_iter(self) -> Self::IntoIter", f"self.{field}.iter()")) if borrowed else "",
        braced(f"impl FromIterator<{kind}> for {name}", braced(f"fn from_iter<I: IntoIterator<Item = {kind}>>(values: I) -> Self", f"let mut made = {name}::new();\nfor value in values {{\n    {'made = ' if chained else ''}made.{add}(value);\n}}\nmade")) if collected else "",
    )
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
    less = f", skipping the first {'one' if skip == 1 else skip}" if skip else ""
    words = draw.style(f"Iterates over the {holds.plural} {where}{less}, each {change.participle}.", f"Yields the {holds.plural} {where}{less}; each is {change.participle}.", f"Returns an iterator over the {holds.plural} {where}{less}, each {change.participle}.")
    code = f"/// {words}\n" + braced(f"pub fn {name}({parameter}) -> {returns}", draw.style(*forms)) + "\n"

    def compute(numbers):
        return [change(n) for n in [n for n in numbers if holds(n)][skip:]]

    if source == "range":
        return Items(code, [Case(f"{name}({n}).collect::<Vec<_>>()", literal(compute(range(1, n + 1)), f"Vec<{kind}>")) for n in (draw.arguments.randint(5, 20), draw.arguments.randint(21, 40), 33)])
    lists = [[draw.arguments.randint(9, 40) for _ in range(size)] for size in (4, 6)] + [[2, 7, 12, 16, 25, 27, 30, 36]]
    prefix = "&" if source == "slice" else "vec!"
    cases = [Case(f"{name}({prefix}{v}).collect::<Vec<_>>()", literal(compute(v), f"Vec<{kind}>")) for v in lists]
    return Items(code, [*cases, Case(f"{name}({prefix}{lists[2]}).count()", str(len(compute(lists[2]))))])
