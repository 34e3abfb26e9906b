"""Types that implement operators: arithmetic, assignment, indexing and sums."""

import math
from collections.abc import Sequence

from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.pieces import quotient
from trainers.data.synthetic.writing import blocks, fill

TUPLES = (
    ("Point|Position", "a point in the plane", "x y"), ("Vector|Vec3", "a vector in space", "x y z"), ("Money|Amount", "an amount of money", "euros cents"), ("Offset|Shift", "an offset in a grid", "rows columns"),
    ("Resources|Goods", "the resources of a player", "wood stone gold"), ("Score|Result", "the score of a match", "home away"), ("Nutrition|Food", "the nutrients of a meal", "protein fat sugar"), ("Effort|Cost", "the effort for a task", "hours money"),
    ("Color|Tint", "a change of color", "red green blue"), ("Force|Thrust", "a force on a body", "along across"), ("Stats|Skills", "the skills of a hero", "strength speed wits"), ("Charge|Load", "a load on a beam", "left right"), ("Medals|Trophies", "the medals of a country", "gold silver bronze"),
)
SYMBOLS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Rem": "%"}
COMPUTE = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": quotient, "%": lambda a, b: a - b * quotient(a, b)}


class Shape:
    """A struct with some fields of the same type: named ones or a tuple."""

    def __init__(self, draw: Draw, kinds: tuple[str, ...] = ("i32", "i64"), more: str = ", Copy"):
        names, self.said, fields = draw.choose(*TUPLES)
        self.name, self.kind = draw.style(*names.split("|")), draw.choose(*kinds)
        self.tuple = draw.style(False, False, True)
        self.fields = [str(i) for i in range(len(fields.split()))] if self.tuple else fields.split()
        derived = draw.style("Debug, Clone, PartialEq", "Clone, Debug, PartialEq", "Debug, Clone, PartialEq, Eq")
        body = f"({', '.join(f'pub {self.kind}' for _ in self.fields)});" if self.tuple else " {\n" + "".join(f"    pub {each}: {self.kind},\n" for each in self.fields) + "}"
        order = f" ({', '.join(fields.split())})" if self.tuple else ""
        self.code = f"/// {self.said[0].upper()}{self.said[1:]}{order}.\n#[derive({derived}{more})]\npub struct {self.name}{body}"

    def made(self, values: Sequence[object], name: str = "") -> str:
        """Return an expression of the struct with these values."""
        name = name or self.name
        if self.tuple:
            return f"{name}({', '.join(map(str, values))})"
        return f"{name} {{ {', '.join(f'{field}: {value}' for field, value in zip(self.fields, values, strict=True))} }}"

    def drawn(self, draw: Draw, low: int = -9, high: int = 20) -> list[int]:
        """Generate values for the fields."""
        return [draw.arguments.randint(low, high) for _ in self.fields]


def implement(trait: str, name: str, function: str, body: str, output: str = "", argument: str = "", says: str = "") -> str:
    """Return the implementation of an operator."""
    generic = f"<{argument}>" if argument else ""
    members = blocks(f"type Output = {output};" if output else "", fill("fn $function {\n    $body\n}", function=function, body=body))
    return fill("$says\nimpl $trait$generic for $name {\n    $members\n}", says=f"/// {says}" if says else "", trait=trait, generic=generic, name=name, members=members)


def imported(draw: Draw, *traits: str) -> str:
    """Return the `use` lines for operators."""
    chosen = sorted(set(traits))
    together = f"use std::ops::{{{', '.join(chosen)}}};" if len(chosen) > 1 else f"use std::ops::{chosen[0]};"
    return draw.style(together, together, "\n".join(f"use std::ops::{each};" for each in chosen))


@family(tier=1)
def arithmetic_operators(draw: Draw) -> Items:
    shape = Shape(draw)
    first, second = draw.choose("Add", "Sub"), draw.choose("scale", "divide", "negate", "product", "scale_left", "number")
    factor = draw.arguments.randint(2, 6)
    right = draw.style("other", "rhs", "right")
    symbol = SYMBOLS[first]

    def each(pattern: str) -> str:
        values = [pattern.replace("$", field) for field in shape.fields]
        flat = shape.made(values, draw.style("Self", shape.name))
        return flat if len(flat) < 80 or shape.tuple else f"{flat.partition(' {')[0]} {{\n" + "".join(f"    {field}: {value},\n" for field, value in zip(shape.fields, values, strict=True)) + "}"

    says = draw.style("", f"{'Adds' if first == 'Add' else 'Subtracts'} the values field by field.", "Operates on each field separately.")
    parts = [implement(first, shape.name, f"{first.lower()}(self, {right}: Self) -> {draw.style('Self', 'Self::Output', shape.name)}", each(f"self.$ {symbol} {right}.$"), draw.style("Self", shape.name), says=says)]
    kind = shape.kind
    trait, piece = {
        "scale": ("Mul", implement("Mul", shape.name, f"mul(self, factor: {kind}) -> Self", each("self.$ * factor"), "Self", kind)),
        "divide": ("Div", implement("Div", shape.name, f"div(self, divisor: {kind}) -> Self::Output", each("self.$ / divisor"), shape.name, kind)),
        "negate": ("Neg", implement("Neg", shape.name, "neg(self) -> Self", each("-self.$"), "Self")),
        "product": ("Mul", implement("Mul", shape.name, f"mul(self, {right}: Self) -> {kind}", " + ".join(f"self.{field} * {right}.{field}" for field in shape.fields), kind, says=draw.style("Returns the dot product.", "Returns the sum of the products of the fields."))),
        "scale_left": ("Mul", implement("Mul", kind, f"mul(self, {right}: {shape.name}) -> {shape.name}", each(f"self * {right}.$").replace("Self", shape.name), shape.name, shape.name)),
        "number": (first, implement(first, shape.name, f"{first.lower()}(self, amount: {kind}) -> Self", each(f"self.$ {symbol} amount"), "Self", kind, says=draw.style("Applies the same number to all fields.", "A plain number applies to every field."))),
    }[second]
    code = blocks(imported(draw, first, trait), shape.code, *parts, piece)
    cases = []
    for _ in range(2):
        a, b = shape.drawn(draw), shape.drawn(draw)
        cases.append(Case(f"{shape.made(a)} {symbol} {shape.made(b)}", shape.made([COMPUTE[symbol](x, y) for x, y in zip(a, b, strict=True)])))
    for _ in range(2):
        a, b = shape.drawn(draw), shape.drawn(draw)
        made = shape.made(a)
        cases.append({
            "scale": Case(f"{made} * {factor}", shape.made([x * factor for x in a])), "divide": Case(f"{made} / {factor}", shape.made([quotient(x, factor) for x in a])), "negate": Case(f"-{made}", shape.made([-x for x in a])),
            "product": Case(f"{made} * {shape.made(b)}", str(sum(x * y for x, y in zip(a, b, strict=True)))), "scale_left": Case(f"{factor} * {made}", shape.made([x * factor for x in a])),
            "number": Case(f"{made} {symbol} {factor}", shape.made([COMPUTE[symbol](x, factor) for x in a])),
        }[second])
    return Items(code, cases)


@family(tier=2)
def assigning_operators(draw: Draw) -> Items:
    shape = Shape(draw, ("i32", "i64"))
    first, second = draw.choose("AddAssign", "SubAssign"), draw.choose("MulAssign", "DivAssign", "RemAssign", "AddAssign number")
    limit = draw.choose(None, None, 15, 20, 25)
    low = draw.choose(-10, -5, 0)
    sign, other = SYMBOLS[first[:3]], SYMBOLS[second[:3]]
    bound = f".clamp({low}, {limit})" if limit is not None else ""
    spelled = draw.style(True, False) or bool(bound)
    plain = first[:3].lower()
    trait = second.split()[0]

    def step(field: str) -> str:
        return f"self.{field} = (self.{field} {sign} other.{field}){bound};" if bound else f"self.{field} {sign}= other.{field};" if spelled else f"self.{field} = self.{field} {sign} other.{field};"

    parts = [
        implement(first, shape.name, f"{plain}_assign(&mut self, other: Self)", "\n".join(step(each) for each in shape.fields), says=f"Clamps every field to the range from {low} to {limit}." if bound else draw.style("", "Updates every field.", "Operates field by field.")),
        implement(trait, shape.name, f"{second[:3].lower()}_assign(&mut self, number: {shape.kind})", "\n".join(f"self.{each} {other}= number;" for each in shape.fields), argument=shape.kind, says=draw.style("", "Applies the number to every field.")),
    ]
    shown = [shape.code, *parts]
    traits = [first, trait]
    operator = draw.choose(True, False)
    if operator:
        traits.append(first[:3])
        shown.append(implement(first[:3], shape.name, f"{plain}(mut self, other: Self) -> Self", f"self {sign}= other;\nself", "Self"))
    cases = []
    for _ in range(3):
        a, b, number = shape.drawn(draw), shape.drawn(draw), draw.arguments.randint(1, 7)
        after = [COMPUTE[sign](x, y) for x, y in zip(a, b, strict=True)]
        after = [max(low, min(limit, each)) for each in after] if limit is not None else after
        cases.append(Case("it", shape.made([COMPUTE[other](each, number) for each in after]), f"let mut it = {shape.made(a)}; it {sign}= {shape.made(b)}; it {other}= {number};"))
        if operator:
            cases.append(Case(f"{shape.made(a)} {sign} {shape.made(b)}", shape.made(after)))
    return Items(blocks(imported(draw, *traits), *shown), cases[:4])


@family(tier=2)
def indexed_type(draw: Draw) -> Items:
    name, field, one = draw.choose(("Board", "cells", "cell"), ("Shelf", "books", "book"), ("Document", "seats", "seat"), ("Wheel", "slots", "slot"), ("Image", "pixels", "pixel"), ("Train", "wagons", "wagon"), ("Calendar", "days", "day"), ("Keyboard", "keys", "key"), ("Garden", "beds", "bed"), ("Hotel", "rooms", "room"))
    kind, how = draw.choose("i32", "u8", "u32", "i64", "char"), draw.choose("around", "back", "grid", "one", "name")
    width = draw.integer(2, 4)
    pool = "abcdxyz" if kind == "char" else range(1, 60)
    size = width * 3 if how == "grid" else draw.integer(3, 6)
    value = {"grid": "(usize, usize)", "name": "&str"}.get(how, "usize")
    place = {"around": f"index % self.{field}.len()", "back": f"self.{field}.len() - 1 - index", "grid": f"index.0 * {width} + index.1", "one": "index - 1", "name": ""}[how]
    says = {"around": f"Indices wrap around after the last {one}.", "back": f"Index 0 is the last {one}, index 1 is the one before it, and so on.", "grid": f"Indexed by row and column; each row has {width} {field}.", "one": f"The first {one} has index 1.", "name": f"The name \"first\" or \"last\" selects that {one}; any other name selects the second one."}[how]
    named = f'match index {{\n    "first" => 0,\n    "last" => self.{field}.len() - 1,\n    _ => 1,\n}}'
    at = named if how == "name" else place
    inner = draw.style(f"let place = {at};\n&self.{field}[place]", f"&self.{field}[{at}]") if how != "name" else f"let place = {at};\n&self.{field}[place]"
    changed = f"let place = {at};\n&mut self.{field}[place]"
    code = blocks(
        imported(draw, "Index", "IndexMut"), f"/// {draw.style(f'A {name.lower()} with its {field}.', f'Holds the {field} of a {name.lower()}.', f'A {name.lower()} whose {field} are of type `{kind}`.')}\n#[derive({draw.style('Debug, Clone, PartialEq', 'Clone, Debug')})]\npub struct {name} {{\n    pub {field}: Vec<{kind}>,\n}}",
        implement("Index", name, f"index(&self, index: {value}) -> &{draw.style(kind, 'Self::Output')}", inner, kind, value, says),
        implement("IndexMut", name, f"index_mut(&mut self, index: {value}) -> &mut {kind}", changed, argument=value),
    )
    values = [draw.arguments.choice(list(pool)) for _ in range(size)]
    begin = f"let mut it = {name} {{ {field}: vec![{', '.join(literal(each, kind) for each in values)}] }};"
    numbers = {"around": [draw.arguments.randrange(3 * size) for _ in range(3)], "grid": [draw.arguments.randrange(size) for _ in range(3)], "name": [0, 1, size - 1]}.get(how, draw.arguments.sample(range(size), 3))
    cases = []
    for number in numbers:
        written, real = {"around": (str(number), number % size), "back": (str(number), size - 1 - number), "grid": (str((number // width, number % width)), number), "one": (str(number + 1), number), "name": ({0: '"first"', size - 1: '"last"'}.get(number, '"other"'), number)}[how]
        cases.append(Case(f"it[{written}]", literal(values[real], kind), begin.replace("let mut", "let")))
        last = (written, real)
    new = draw.arguments.choice(list(pool))
    values[last[1]] = new
    return Items(code, [*cases, Case(f"it.{field}", f"vec![{', '.join(literal(each, kind) for each in values)}]", f"{begin} it[{last[0]}] = {literal(new, kind)};")])


@family(tier=3)
def summed_type(draw: Draw) -> Items:
    shape = Shape(draw)
    by = draw.choose("value", "both", "reference")
    figure = draw.choose("Sum", "Product", "FromIterator")
    start = shape.made([1 if figure == "Product" else 0 for _ in shape.fields])
    symbol, operator, sign = ("mul", "Mul", "*") if figure == "Product" else ("add", "Add", "+")
    joined = shape.made([f"self.{each} {sign} other.{each}" for each in shape.fields], "Self")
    parts = [implement(operator, shape.name, f"{symbol}(self, other: Self) -> Self", joined, "Self")]
    call = "sum" if figure == "Sum" else "product"
    fold = draw.style(f"iter.fold({start}, |total, each| total {sign} each)", f"let mut total = {start};\nfor each in iter {{\n    total = total {sign} each;\n}}\ntotal")
    if figure == "FromIterator":
        body = draw.style(f"let mut total = {start};\nfor each in iter {{\n    total = total + each;\n}}\ntotal", f"iter.into_iter().fold({start}, |total, each| total + each)")
        parts.append(fill("/// $says\nimpl FromIterator<$name> for $name {\n    fn from_iter<I: IntoIterator<Item = $name>>(iter: I) -> Self {\n        $body\n    }\n}", name=shape.name, body=body, says=draw.style("Collecting an iterator returns the sum of its items.", "Computes the sum of all items.")))
        traits = ""
    else:
        traits = f"use std::iter::{figure};"
        if by in ("value", "both"):
            parts.append(fill("/// $says\nimpl $figure for $name {\n    fn $call<I: Iterator<Item = Self>>(iter: I) -> Self {\n        $body\n    }\n}", figure=figure, name=shape.name, call=call, body=fold, says=draw.style(f"Computes the {call} of each field.", f"Operates field by field; for no items, every field is {0 if figure == 'Sum' else 1}.")))
        if by in ("reference", "both"):
            body = f"iter.copied().{call}()" if by == "both" else fold.replace(f"{sign} each", f"{sign} *each")
            parts.append(fill("impl<'a> $figure<&'a $name> for $name {\n    fn $call<I: Iterator<Item = &'a $name>>(iter: I) -> Self {\n        $body\n    }\n}", figure=figure, name=shape.name, call=call, body=body))
    wanted = draw.choose("all", "positive", "first")
    code = blocks(f"use std::ops::{operator};", traits, shape.code, *parts)
    cases = []
    for length in (0, 1, 2, 3, 4):
        rows = [shape.drawn(draw, -6, 9) for _ in range(length)]
        kept = {"all": rows, "positive": [row for row in rows if row[0] > 0], "first": rows[:2]}[wanted]
        totals = [(math.prod if figure == "Product" else sum)(row[i] for row in kept) for i in range(len(shape.fields))]
        narrow = {"all": "", "positive": f".filter(|each| each.{shape.fields[0]} > 0)", "first": ".take(2)"}[wanted]
        values = f"let values: [{shape.name}; {length}] = [{', '.join(shape.made(row) for row in rows)}];"
        source = "values.iter()" if by == "reference" and figure != "FromIterator" else draw.style("values.into_iter()", "values.iter().copied()")
        ending = f".collect::<{shape.name}>()" if figure == "FromIterator" else f".{call}::<{shape.name}>()"
        cases.append(Case(f"{source}{narrow}{ending}", shape.made(totals), values))
    return Items(code, cases[1:] if draw.style(True, False) else cases)


@family(tier=3)
def number_type(draw: Draw) -> Items:
    what, kind = draw.choose("fraction", "complex", "residue", "dual"), draw.choose("i32", "i64")
    modulus = draw.choose(7, 11, 13, 17, 19, 23, 29, 31, 97)
    operators = [draw.choose("Add", "Sub"), draw.choose("Mul", "Neg")]
    name, a, b = {"fraction": draw.style(("Fraction", "top", "bottom"), ("Ratio", "numerator", "denominator"), ("Rational", "num", "den")), "complex": draw.style(("Complex", "re", "im"), ("Gaussian", "real", "imaginary"), ("Complex", "real", "imag")), "residue": draw.style((f"Mod{modulus}", "value", ""), ("Residue", "value", ""), ("Remainder", "number", "")), "dual": draw.style(("Dual", "value", "slope"), ("Dual", "real", "epsilon"))}[what]
    extra = draw.choose("square", "inverse", "none") if what != "residue" else draw.choose("power", "none")
    plain = what != "fraction"
    sign = "+" if operators[0] == "Add" else "-"

    def pair(first, second):
        return f"Self {{ {a}: {first}, {b}: {second} }}"

    formulas = {
        "fraction": {operators[0]: f"Self::new(self.{a} * other.{b} {sign} other.{a} * self.{b}, self.{b} * other.{b})", "Mul": f"Self::new(self.{a} * other.{a}, self.{b} * other.{b})", "Neg": f"Self::new(-self.{a}, self.{b})"},
        "complex": {operators[0]: pair(f"self.{a} {sign} other.{a}", f"self.{b} {sign} other.{b}"), "Mul": f"Self {{\n    {a}: self.{a} * other.{a} - self.{b} * other.{b},\n    {b}: self.{a} * other.{b} + self.{b} * other.{a},\n}}", "Neg": pair(f"-self.{a}", f"-self.{b}")},
        "residue": {operators[0]: f"Self::new(self.{a} {sign} other.{a})", "Mul": f"Self::new(self.{a} * other.{a})", "Neg": f"Self::new(-self.{a})"},
        "dual": {operators[0]: pair(f"self.{a} {sign} other.{a}", f"self.{b} {sign} other.{b}"), "Mul": f"Self {{\n    {a}: self.{a} * other.{a},\n    {b}: self.{a} * other.{b} + self.{b} * other.{a},\n}}", "Neg": pair(f"-self.{a}", f"-self.{b}")},
    }[what]
    constructor = {
        "fraction": f"let divisor = gcd({a}.abs(), {b}.abs()) * {b}.signum();\nSelf {{ {a}: {a} / divisor, {b}: {b} / divisor }}", "residue": f"Self {{ {a}: {a}.rem_euclid({modulus}) }}",
    }.get(what, f"Self {{ {a}, {b} }}")
    says = {"fraction": draw.style(f"Creates a fraction in lowest terms; `{b}` must not be zero.", f"Creates a reduced fraction with a positive `{b}`; the given `{b}` must not be 0."), "residue": draw.style(f"Reduces the number modulo {modulus}.", f"Reduces the number to the range `0..{modulus}`.")}.get(what, "Creates a number from its two parts.")
    arguments = f"{a}: {kind}" if what == "residue" else f"{a}: {kind}, {b}: {kind}"
    methods = [fill("/// $says\npub fn new($arguments) -> Self {\n    $body\n}", says=says, arguments=arguments, body=constructor)]
    if extra == "square":
        methods.append("/// Returns the square.\npub fn square(self) -> Self {\n    " + ("self * self" if "Mul" in operators else {"fraction": f"Self::new(self.{a} * self.{a}, self.{b} * self.{b})", "complex": f"Self::new(self.{a} * self.{a} - self.{b} * self.{b}, 2 * self.{a} * self.{b})", "dual": f"Self::new(self.{a} * self.{a}, 2 * self.{a} * self.{b})"}[what]) + "\n}")
    elif extra == "inverse":
        text = {"fraction": ("inverse(self) -> Option<Self>", f"if self.{a} == 0 {{\n    None\n}} else {{\n    Some(Self::new(self.{b}, self.{a}))\n}}", "Returns the reciprocal, or `None` if the fraction is 0."), "complex": ("conjugate(self) -> Self", f"Self {{ {b}: -self.{b}, ..self }}", "Returns the complex conjugate, which has the opposite imaginary part."), "dual": ("double(self) -> Self", f"Self::new(2 * self.{a}, 2 * self.{b})", "Returns this number multiplied by 2.")}[what]
        methods.append(fill("/// $says\npub fn $signature {\n    $body\n}", says=text[2], signature=text[0], body=text[1]))
    elif extra == "power":
        methods.append(fill("/// $says\npub fn pow(self, exponent: u32) -> Self {\n    let mut result = Self::new(1);\n    for _ in 0..exponent {\n        result = Self::new(result.$a * self.$a);\n    }\n    result\n}", says="Raises the number to the power of `exponent`.", a=a))
    helper = f"fn gcd(a: {kind}, b: {kind}) -> {kind} {{\n" + draw.style("    if b == 0 {\n        a\n    } else {\n        gcd(b, a % b)\n    }\n}", "    let (mut a, mut b) = (a, b);\n    while b != 0 {\n        (a, b) = (b, a % b);\n    }\n    a\n}")
    fields = f"{a}: {kind}," if what == "residue" else f"{a}: {kind},\n    {b}: {kind},"
    said = {"fraction": "A fraction in lowest terms.", "complex": draw.style("A complex number with integer parts.", "A Gaussian integer."), "residue": f"A number modulo {modulus}.", "dual": draw.style("A number with its derivative.", f"A dual number: the square of the second part is 0, so `{b}` is a derivative.")}[what]
    code = blocks(
        imported(draw, *operators), f"/// {said}\n#[derive({draw.style('Debug, Clone, Copy, PartialEq', 'Clone, Copy, Debug, PartialEq, Eq')})]\npub struct {name} {{\n    {fields}\n}}", "" if plain else helper, fill("impl $name {\n    $methods\n}", name=name, methods=blocks(*methods)),
        *(implement(each, name, f"{each.lower()}(self{'' if each == 'Neg' else ', other: Self'}) -> {draw.style('Self', 'Self::Output')}", formulas[each], "Self") for each in operators),
    )

    def made(value: tuple[int, ...]) -> str:
        return f"{name}::new({', '.join(map(str, value))})"

    pick, cases = draw.arguments.randint, []

    def number() -> tuple[int, ...]:
        return (pick(-6, 9), pick(1, 8)) if what != "residue" else (pick(0, modulus - 1),)

    for _ in range(2):
        x, y = number(), number()
        results: dict[str, dict[str, tuple[int, ...]]] = {
            "fraction": {operators[0]: (x[0] * y[-1] + (1 if sign == "+" else -1) * y[0] * x[-1], x[-1] * y[-1]), "Mul": (x[0] * y[0], x[-1] * y[-1]), "Neg": (-x[0], x[-1])},
            "residue": {operators[0]: (COMPUTE[sign](x[0], y[0]) % modulus,), "Mul": (x[0] * y[0] % modulus,), "Neg": (-x[0] % modulus,)},
        }
        values = results.get(what, {operators[0]: (COMPUTE[sign](x[0], y[0]), COMPUTE[sign](x[-1], y[-1])), "Neg": (-x[0], -x[-1]), "Mul": (x[0] * y[0] - (x[-1] * y[-1] if what == "complex" else 0), x[0] * y[-1] + x[-1] * y[0])})
        if what == "fraction":
            values = {key: (n // math.gcd(n, d), d // math.gcd(n, d)) for key, (n, d) in values.items()}
        cases += [Case(f"-{made(x)}" if each == "Neg" else f"{made(x)} {SYMBOLS[each]} {made(y)}", made(values[each])) for each in operators]
    if extra == "power":
        exponent = pick(0, 6)
        cases.append(Case(f"{made(x)}.pow({exponent})", made((pow(x[0], exponent, modulus),))))
    elif extra == "square":
        cases.append(Case(f"{made(x)}.square()", made({"fraction": (x[0] ** 2, x[1] ** 2), "complex": (x[0] ** 2 - x[1] ** 2, 2 * x[0] * x[1]), "dual": (x[0] ** 2, 2 * x[0] * x[1])}[what])))
    elif extra == "inverse":
        cases.append({"fraction": Case(f"{made(x)}.inverse()", f"Some({made((x[1], x[0]))})" if x[0] else "None"), "complex": Case(f"{made(x)}.conjugate()", made((x[0], -x[1]))), "dual": Case(f"{made(x)}.double()", made((2 * x[0], 2 * x[1])))}[what])
    return Items(code, cases)
