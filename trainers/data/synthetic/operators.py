"""Types with operators: arithmetic, assignment, indexing, orders, texts, flags, sums, wrappers."""

import math

from trainers.data.synthetic.enums import blocks, fill
from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.pieces import WORDS, quotient

TUPLES = (
    ("Point|Position", "a point in the plane", "x y"), ("Vector|Vec3", "a vector in space", "x y z"), ("Money|Amount", "an amount of money", "euros cents"), ("Offset|Shift", "how far something moved", "rows columns"),
    ("Resources|Goods", "what a player owns", "wood stone gold"), ("Score|Result", "the score of a match", "home away"), ("Nutrition|Food", "what a meal contains", "protein fat sugar"), ("Effort|Cost", "what a task takes", "hours money"),
    ("Colour|Tint", "a change of colour", "red green blue"), ("Force|Thrust", "a force on a body", "along across"), ("Stats|Skills", "the skills of a hero", "strength speed wits"), ("Charge|Load", "a load on a beam", "left right"), ("Medals|Trophies", "what a country won", "gold silver bronze"),
)  # fmt: skip
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

    def made(self, values: list[object], name: str = "") -> str:
        """An expression for it with these values."""
        name = name or self.name
        if self.tuple:
            return f"{name}({', '.join(map(str, values))})"
        return f"{name} {{ {', '.join(f'{field}: {value}' for field, value in zip(self.fields, values, strict=True))} }}"

    def drawn(self, draw: Draw, low: int = -9, high: int = 20) -> list[int]:
        """Values for its fields."""
        return [draw.arguments.randint(low, high) for _ in self.fields]


def implement(trait: str, name: str, function: str, body: str, output: str = "", argument: str = "", says: str = "") -> str:
    """An implementation of an operator."""
    generic = f"<{argument}>" if argument else ""
    members = blocks(f"type Output = {output};" if output else "", fill("fn $function {\n    $body\n}", function=function, body=body))
    return fill("$says\nimpl $trait$generic for $name {\n    $members\n}", says=f"/// {says}" if says else "", trait=trait, generic=generic, name=name, members=members)


def imported(draw: Draw, *traits: str) -> str:
    """The `use` lines for operators."""
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

    says = draw.style("", f"{'Adds' if first == 'Add' else 'Subtracts'} field by field.", "Works on every field for itself.")
    parts = [implement(first, shape.name, f"{first.lower()}(self, {right}: Self) -> {draw.style('Self', 'Self::Output', shape.name)}", each(f"self.$ {symbol} {right}.$"), draw.style("Self", shape.name), says=says)]
    kind = shape.kind
    trait, piece = {
        "scale": ("Mul", implement("Mul", shape.name, f"mul(self, factor: {kind}) -> Self", each("self.$ * factor"), "Self", kind)),
        "divide": ("Div", implement("Div", shape.name, f"div(self, divisor: {kind}) -> Self::Output", each("self.$ / divisor"), shape.name, kind)),
        "negate": ("Neg", implement("Neg", shape.name, "neg(self) -> Self", each("-self.$"), "Self")),
        "product": ("Mul", implement("Mul", shape.name, f"mul(self, {right}: Self) -> {kind}", " + ".join(f"self.{field} * {right}.{field}" for field in shape.fields), kind, says=draw.style("The scalar product.", "The sum of the products of the fields."))),
        "scale_left": ("Mul", implement("Mul", kind, f"mul(self, {right}: {shape.name}) -> {shape.name}", each(f"self * {right}.$").replace("Self", shape.name), shape.name, shape.name)),
        "number": (first, implement(first, shape.name, f"{first.lower()}(self, amount: {kind}) -> Self", each(f"self.$ {symbol} amount"), "Self", kind, says=draw.style("The same number for all fields.", "A plain number counts for every field."))),
    }[second]  # fmt: skip
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
        }[second])  # fmt: skip
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
        implement(first, shape.name, f"{plain}_assign(&mut self, other: Self)", "\n".join(step(each) for each in shape.fields), says=f"Keeps every field between {low} and {limit}." if bound else draw.style("", "Changes every field.", "Field by field.")),
        implement(trait, shape.name, f"{second[:3].lower()}_assign(&mut self, number: {shape.kind})", "\n".join(f"self.{each} {other}= number;" for each in shape.fields), argument=shape.kind, says=draw.style("", "The number is for every field.")),
    ]  # fmt: skip
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
        after = [max(low, min(limit, each)) for each in after] if bound else after
        cases.append(Case("it", shape.made([COMPUTE[other](each, number) for each in after]), f"let mut it = {shape.made(a)}; it {sign}= {shape.made(b)}; it {other}= {number};"))
        if operator:
            cases.append(Case(f"{shape.made(a)} {sign} {shape.made(b)}", shape.made(after)))
    return Items(blocks(imported(draw, *traits), *shown), cases[:4])


@family(tier=2)
def indexed_type(draw: Draw) -> Items:
    name, field, one = draw.choose(("Board", "cells", "cell"), ("Shelf", "books", "book"), ("Row", "seats", "seat"), ("Wheel", "slots", "slot"), ("Image", "pixels", "pixel"), ("Train", "wagons", "wagon"), ("Calendar", "days", "day"), ("Keyboard", "keys", "key"), ("Garden", "beds", "bed"), ("Hotel", "rooms", "room"))
    kind, how = draw.choose("i32", "u8", "u32", "i64", "char"), draw.choose("around", "back", "grid", "one", "name")
    width = draw.integer(2, 4)
    pool = "abcdxyz" if kind == "char" else range(1, 60)
    size = width * 3 if how == "grid" else draw.integer(3, 6)
    value = {"grid": "(usize, usize)", "name": "&str"}.get(how, "usize")
    place = {"around": f"index % self.{field}.len()", "back": f"self.{field}.len() - 1 - index", "grid": f"index.0 * {width} + index.1", "one": "index - 1", "name": ""}[how]
    says = {"around": f"After the last {one} comes the first again.", "back": f"0 is the last {one}, 1 the one before it.", "grid": f"By row and column, of which there are {width}.", "one": f"The first {one} has the number 1.", "name": "By \"first\" or \"last\"; any other name is the second."}[how]
    named = f'match index {{\n    "first" => 0,\n    "last" => self.{field}.len() - 1,\n    _ => 1,\n}}'
    at = named if how == "name" else place
    inner = draw.style(f"let place = {at};\n&self.{field}[place]", f"&self.{field}[{at}]") if how != "name" else f"let place = {at};\n&self.{field}[place]"
    changed = f"let place = {at};\n&mut self.{field}[place]"
    code = blocks(
        imported(draw, "Index", "IndexMut"), f"/// {draw.style(f'A {name.lower()} with its {field}.', f'The {field} of a {name.lower()}.', f'Every {one} is of type `{kind}`.')}\n#[derive({draw.style('Debug, Clone, PartialEq', 'Clone, Debug')})]\npub struct {name} {{\n    pub {field}: Vec<{kind}>,\n}}",
        implement("Index", name, f"index(&self, index: {value}) -> &{draw.style(kind, 'Self::Output')}", inner, kind, value, says),
        implement("IndexMut", name, f"index_mut(&mut self, index: {value}) -> &mut {kind}", changed, argument=value),
    )  # fmt: skip
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


@family(tier=2)
def custom_order(draw: Draw) -> Items:
    name, number, text = draw.choose(("Task", "priority", "title"), ("Player", "score", "name"), ("File", "size", "path"), ("Runner", "seconds", "name"), ("City", "people", "name"), ("Book", "pages", "title"), ("Bid", "price", "bidder"), ("Song", "plays", "title"), ("Ticket", "urgency", "subject"), ("Planet", "moons", "name"), ("Country", "medals", "code"), ("Word", "uses", "text"))
    kind, falling = draw.choose("u32", "i32", "u64", "i64"), draw.choose(True, False)
    tie = draw.choose("text", "length", "text backwards")
    modulus = draw.choose(None, None, 10, 5)
    left, right = ("other", "self") if falling else ("self", "other")
    mine = f"{left}.{number}" if not modulus else f"({left}.{number} / {modulus})"
    theirs = f"&{right}.{number}" if not modulus else f"&({right}.{number} / {modulus})"
    primary = f"{mine}.cmp({theirs})"
    second = {"text": f"self.{text}.cmp(&other.{text})", "length": f"self.{text}.len().cmp(&other.{text}.len())", "text backwards": f"other.{text}.cmp(&self.{text})"}[tie]
    body = draw.style(f"{primary}.then_with(|| {second})", f"match {primary} {{\n    Ordering::Equal => {second},\n    decided => decided,\n}}", f"let order = {primary};\nif order != Ordering::Equal {{\n    return order;\n}}\n{second}", f"{primary}.then({second})")
    order = draw.style("Some(self.cmp(other))", "Ord::cmp(self, other).into()")
    said = f"By {'falling' if falling else 'rising'} {number}{f', in steps of {modulus}' if modulus else ''}; of equals, {{}} first".format({"text": f"the alphabetically first {text}", "length": f"the shortest {text}", "text backwards": f"the alphabetically last {text}"}[tie])
    make = draw.style("new", "of")
    fields = f"pub {number}: {kind},\n    pub {text}: String,"
    use = draw.style("pub fn sorted(mut items: Vec<$name>) -> Vec<$name> {\n    items.sort();\n    items\n}", "pub fn sorted(items: Vec<$name>) -> Vec<$name> {\n    let mut result = items;\n    result.sort();\n    result\n}")
    equal = f"impl PartialEq for {name} {{\n    fn eq(&self, other: &Self) -> bool {{\n        self.cmp(other) == Ordering::Equal\n    }}\n}}\n\nimpl Eq for {name} {{}}"
    code = blocks(
        "use std::cmp::Ordering;", f"/// A {name.lower()}, ordered by {number} and then {text}.\n#[derive({draw.style('Debug, Clone', 'Clone, Debug')})]\npub struct {name} {{\n    {fields}\n}}",
        fill("impl $name {\n    /// $says\n    pub fn $make($number: $kind, $text: &str) -> Self {\n        Self { $number, $text: $text.to_string() }\n    }\n}", name=name, make=make, number=number, kind=kind, text=text, says=draw.style("From its parts.", f"A {name.lower()} of these.")),
        equal, f"/// {said}.\nimpl Ord for {name} {{\n    fn cmp(&self, other: &Self) -> Ordering {{\n" + "\n".join(f"        {line}" for line in body.split("\n")) + "\n    }\n}",
        f"impl PartialOrd for {name} {{\n    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {{\n        {order}\n    }}\n}}", f"/// {draw.style('Puts them in order.', 'All of them, the first in the order first.')}\n{fill(use, name=name)}",
    )  # fmt: skip

    def key(pair: tuple[int, str]) -> tuple:
        value = pair[0] // modulus if modulus else pair[0]
        return (-value if falling else value, {"text": pair[1], "length": len(pair[1]), "text backwards": tuple(-ord(c) for c in pair[1]) + (1,)}[tie])

    def made(pair: tuple[int, str]) -> str:
        return f'{name}::{make}({pair[0]}, "{pair[1]}")'

    cases = []
    for _ in range(2):
        number_one, number_two = draw.arguments.randint(1, 30), draw.arguments.randint(1, 30)
        a, b = (number_one, draw.arguments.choice(WORDS)), (draw.arguments.choice((number_one, number_two)), draw.arguments.choice(WORDS))
        cases.append(_grouped(Case(f"{made(a)} < {made(b)}", str(key(a) < key(b)).lower())))
        cases.append(Case(f"{made(a)}.cmp(&{made(b)})", "Ordering::" + ("Less" if key(a) < key(b) else "Greater" if key(a) > key(b) else "Equal")))
    many = [(draw.arguments.choice((3, 12, draw.arguments.randint(1, 40))), word) for word in draw.arguments.sample(WORDS, 3)]
    return Items(code, [*cases, Case(f"sorted(vec![{', '.join(map(made, many))}])", f"vec![{', '.join(map(made, sorted(many, key=key)))}]")])


@family(tier=2)
def displayed_type(draw: Draw) -> Items:
    name, first, second, shape = draw.choose(
        ("Time", "hours", "minutes", "{:02}:{:02}"), ("Score", "home", "away", "{} - {}"), ("Ratio", "top", "bottom", "{}/{}"), ("Version", "major", "minor", "v{}.{}"), ("Point", "x", "y", "({}, {})"), ("Price", "euros", "cents", "{}.{:02} EUR"), ("Seat", "row", "number", "row {}, seat {}"),
        ("Size", "width", "height", "{}x{}"), ("Verse", "chapter", "line", "{}:{}"), ("Span", "start", "end", "[{}..{}]"), ("Angle", "degrees", "arcminutes", "{}d{:02}m"), ("Episode", "season", "part", "S{:02}E{:02}"), ("Height", "feet", "inches", "{}ft {}in"), ("Dice", "count", "sides", "{}d{}"), ("Date", "month", "day", "{:02}-{:02}"),
    )  # fmt: skip
    kind = draw.choose("u32", "u8", "u64", "u16")
    special = draw.choose("none", "zero", "equal", "big")
    limit = draw.choose(10, 20, 50)
    said = {"none": "", "zero": draw.style("nothing", "none", "empty", "-"), "equal": draw.style("even", "balanced", "same"), "big": draw.style("huge", "large", "many")}[special]
    test = {"zero": f"self.{first} == 0 && self.{second} == 0", "equal": f"self.{first} == self.{second}", "big": f"self.{first} > {limit}"}.get(special)
    formatter = draw.style("f", "formatter", "out")
    write = f'write!({formatter}, "{shape}", self.{first}, self.{second})'
    short = draw.style(f'write!({formatter}, "{said}")', f'{formatter}.write_str("{said}")')
    body = write if not test else draw.style(f"if {test} {{\n    return {short};\n}}\n{write}", f"if {test} {{\n    {short}\n}} else {{\n    {write}\n}}")
    extra = draw.choose("parse", "list", "none", "swap")
    imports = draw.style(("use std::fmt;", "fmt::"), ("use std::fmt::{self, Display, Formatter};", ""))
    trait, argument = ("fmt::Display", "fmt::Formatter<'_>") if imports[1] else ("Display", "Formatter<'_>")
    separator = draw.choose(", ", "; ", " | ", "\n")
    more = {
        "list": fill("/// $says\npub fn join(items: &[$name]) -> String {\n    $body\n}", name=name, says=f"All of them as text, with {literal(separator, '&str')} in between.", body=draw.style(f"items\n    .iter()\n    .map(|item| item.to_string())\n    .collect::<Vec<_>>()\n    .join({literal(separator, '&str')})", f"let mut text = String::new();\nfor (index, item) in items.iter().enumerate() {{\n    if index > 0 {{\n        text.push_str({literal(separator, '&str')});\n    }}\n    text += &item.to_string();\n}}\ntext")),
        "swap": fill("impl $name {\n    /// The two exchanged.\n    pub fn swapped(&self) -> Self {\n        Self { $first: self.$second, $second: self.$first }\n    }\n}", name=name, first=first, second=second),
        "parse": fill("impl From<($kind, $kind)> for $name {\n    fn from(pair: ($kind, $kind)) -> Self {\n        $body\n    }\n}", kind=kind, name=name, body=draw.style(f"let ({first}, {second}) = pair;\nSelf {{ {first}, {second} }}", f"Self {{ {first}: pair.0, {second}: pair.1 }}")), "none": "",
    }[extra]  # fmt: skip
    note = {"zero": f"; two zeros are \"{said}\"", "equal": f"; equal numbers are \"{said}\"", "big": f"; \"{said}\" above {limit} {first}"}.get(special, "")
    example = shape.format(7, 5)
    code = blocks(
        imports[0], f"/// {draw.style(f'A {name.lower()} of {first} and {second}.', f'{first.capitalize()} and {second}.', f'Holds {first} and {second}.')}\n#[derive({draw.style('Debug, Clone, PartialEq', 'Debug, Clone, Copy', 'Clone, Debug')})]\npub struct {name} {{\n    pub {first}: {kind},\n    pub {second}: {kind},\n}}",
        f"/// {draw.style('Written', 'Shown', 'Looks')} like \"{example}\"{note}.\nimpl {trait} for {name} {{\n    fn fmt(&self, {formatter}: &mut {argument}) -> {draw.style('fmt::Result', 'std::fmt::Result')} {{\n" + "\n".join(f"        {line}" for line in body.split("\n")) + "\n    }\n}", more,
    )  # fmt: skip

    def text(a: int, b: int) -> str:
        return said if {"zero": a == b == 0, "equal": a == b, "big": a > limit}.get(special) else shape.format(a, b)

    def made(a: int, b: int) -> str:
        return f"{name} {{ {first}: {a}, {second}: {b} }}"

    pick, cases = draw.arguments.randint, []
    for a, b in ((0, 0) if special == "zero" else (pick(1, 9), pick(1, 9)), (pick(0, 60), pick(0, 60)), (limit + pick(1, 9), pick(0, 30)) if special == "big" else (4, 4) if special == "equal" else (pick(1, 99), pick(1, 99))):
        cases.append(Case(f"{name}::from(({a}, {b})).to_string()" if extra == "parse" else draw.style(f"{made(a, b)}.to_string()", f'format!("{{}}", {made(a, b)})'), f'"{text(a, b)}"'))
    a, b, c, d = (pick(1, 30) for _ in range(4))
    cases += [Case(f"join(&[{made(a, b)}, {made(c, d)}])", literal(text(a, b) + separator + text(c, d), "&str"))] if extra == "list" else []
    cases += [Case(f"{made(a, b)}.swapped().to_string()", f'"{text(b, a)}"')] if extra == "swap" else []
    return Items(code, cases)


@family(tier=2)
def flag_set(draw: Draw) -> Items:
    name, words = draw.choose(("Permissions", "READ WRITE EXECUTE"), ("Toppings", "CHEESE HAM OLIVES"), ("Style", "BOLD ITALIC UNDERLINE"), ("Doors", "NORTH SOUTH EAST"), ("Buttons", "LEFT MIDDLE RIGHT"), ("Features", "WIFI RADIO CAMERA"), ("Days", "FRIDAY SATURDAY SUNDAY"), ("Lamps", "KITCHEN HALL CELLAR"), ("Effects", "POISON SLEEP FIRE"), ("Options", "VERBOSE FORCE DRY"), ("Alarms", "SMOKE WATER MOTION"), ("Keys", "SHIFT CONTROL ALT"))
    kind = draw.choose("u8", "u16", "u32")
    flags = words.split()
    bits = [1 << each for each in draw.choose((0, 1, 2), (0, 1, 3), (1, 2, 4), (0, 2, 4), (2, 1, 0), (3, 4, 5))]
    chosen = [("BitOr", "|"), *draw.choose([("BitAnd", "&")], [("Not", "!")], [("BitXor", "^")], [("Sub", "-")], [("BitAnd", "&"), ("Not", "!")], [("BitXor", "^"), ("Sub", "-")])]
    every = sum(bits)
    contains, count = draw.style("contains", "has", "includes"), draw.style("count", "len", "how_many")
    formula = {"BitOr": "self.0 | other.0", "BitAnd": "self.0 & other.0", "BitXor": "self.0 ^ other.0", "Sub": "self.0 & !other.0", "Not": f"!self.0 & {every}"}
    said = {"BitOr": draw.style("What either has.", "Both together."), "BitAnd": draw.style("What both have.", "What they share."), "BitXor": "What just one of the two has.", "Sub": "Without what the other has.", "Not": "All that are missing."}
    parts = [implement(trait, name, f"{ {'BitOr': 'bitor', 'BitAnd': 'bitand', 'BitXor': 'bitxor', 'Sub': 'sub', 'Not': 'not'}[trait]}(self{'' if trait == 'Not' else ', other: Self'}) -> Self", draw.style(f"Self({formula[trait]})", f"{name}({formula[trait]})"), "Self", says=said[trait]) for trait, _ in chosen]
    constants = "\n".join(f"pub const {flag}: {name} = {name}({bit});" for flag, bit in zip(flags, bits, strict=True))
    methods = fill(
        "impl $name {\n    $constants\n\n    /// $says\n    pub fn $contains(self, other: Self) -> bool {\n        $body\n    }\n\n    /// $what\n    pub fn $count(self) -> u32 {\n        self.0.count_ones()\n    }\n}", name=name, constants=constants, contains=contains, count=count,
        says=draw.style("Whether all of `other` are in it.", "Tells whether `other` is part of it."), what=draw.style("How many there are.", "The number of single flags."), body=draw.style("self.0 & other.0 == other.0", "other.0 & !self.0 == 0"))  # fmt: skip
    code = blocks(imported(draw, *(trait for trait, _ in chosen)), f"/// {draw.style('A set of ' + name.lower() + '.', 'Any of ' + ', '.join(flags[:2]).lower() + ' and ' + flags[2].lower() + '.')}\n#[derive({draw.style('Debug, Clone, Copy, PartialEq, Eq', 'Clone, Copy, Debug, PartialEq')})]\npub struct {name}(pub {kind});", methods, *parts)
    cases = []
    for trait, symbol in chosen:
        a, b = (sum(draw.arguments.sample(bits, draw.arguments.randint(1, 2))) for _ in range(2))
        value = {"BitOr": a | b, "BitAnd": a & b, "BitXor": a ^ b, "Sub": a & ~b, "Not": ~a & every}[trait]
        cases.append(Case(f"!{name}({a})" if trait == "Not" else f"{name}({a}) {symbol} {name}({b})", f"{name}({value})"))
    one, two, three = draw.arguments.sample(range(3), 3)
    joined = f"({name}::{flags[one]} | {name}::{flags[two]})"
    return Items(code, [*cases, Case(f"{joined}.{count}()", "2"), Case(f"{joined}.{contains}({name}::{flags[three]})", "false"), Case(f"{joined}.{contains}({name}::{flags[two]})", "true")])


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
        parts.append(fill("/// $says\nimpl FromIterator<$name> for $name {\n    fn from_iter<I: IntoIterator<Item = $name>>(iter: I) -> Self {\n        $body\n    }\n}", name=shape.name, body=body, says=draw.style("Collecting adds them up.", "The sum of all.")))
        traits = ""
    else:
        traits = f"use std::iter::{figure};"
        if by in ("value", "both"):
            parts.append(fill("/// $says\nimpl $figure for $name {\n    fn $call<I: Iterator<Item = Self>>(iter: I) -> Self {\n        $body\n    }\n}", figure=figure, name=shape.name, call=call, body=fold, says=draw.style(f"The {call} of each field.", f"Field by field; without any it is {0 if figure == 'Sum' else 1} everywhere.")))
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


@family(tier=2)
def wrapper_type(draw: Draw) -> Items:
    name, inner, said = draw.choose(("Sorted", "Vec<i32>", "numbers in ascending order"), ("Names", "Vec<String>", "names"), ("Password", "String", "a password"), ("Marks", "Vec<u32>", "marks"), ("Path", "Vec<i64>", "the heights along a path"), ("Code", "String", "a product code"), ("Line", "String", "a line of text"), ("Samples", "Vec<i64>", "samples"), ("Bag", "Vec<u64>", "weights"), ("Label", "String", "a label"), ("Words", "Vec<String>", "words"), ("Slug", "String", "the name of a page"))
    texts = inner == "String"
    kind = inner[4:-1] if not texts else "String"
    least = draw.integer(1, 5)
    change = draw.choose(*(("trim", "lower", "upper", "spaces") if texts else ("sort", "dedup", "short", "reverse")))
    bodies = {"trim": "let inner = inner.trim().to_string();", "lower": "let inner = inner.to_lowercase();", "upper": "let inner = inner.to_uppercase();", "spaces": "let inner = inner.replace(' ', \"-\");", "sort": "inner.sort();", "dedup": "inner.sort();\ninner.dedup();", "short": f"inner.truncate({least + 2});", "reverse": "inner.reverse();"}
    told = {"trim": "without spaces around it", "lower": "in lowercase", "upper": "in capitals", "spaces": "with hyphens for spaces", "sort": "in order", "dedup": "in order, none of them twice", "short": f"of which {least + 2} are kept", "reverse": "from the last to the first"}[change]
    target = draw.choose("Deref", "AsRef")
    aim = draw.style("str", "String") if texts else draw.style(f"[{kind}]", inner)
    checks = draw.choose(True, False)
    returned, wrapped = ("Option<Self>", "Some(Self(inner))") if checks else ("Self", "Self(inner)")
    guard = f"if inner.len() < {least} {{\n    return None;\n}}\n" if checks else ""
    new = f"{bodies[change]}\n{guard}{wrapped}"
    accessor = f"/// Everything that `{aim}` can do.\nimpl Deref for {name} {{\n    type Target = {aim};\n\n    fn deref(&self) -> &{draw.style('Self::Target', aim)} {{\n        &self.0\n    }}\n}}" if target == "Deref" else f"impl AsRef<{aim}> for {name} {{\n    fn as_ref(&self) -> &{aim} {{\n        &self.0\n    }}\n}}"
    method, result, body, what = draw.choose(("is_long", "bool", "self.0.len() > 2", "Whether it is longer than 2."), ("half", "usize", "self.0.len() / 2", "Half its length."), ("missing", "usize", "10usize.saturating_sub(self.0.len())", "How much is missing to 10."))
    unwrapped = draw.style("into_inner", "take", "unwrap")
    mutable = "" if texts else "mut "
    code = blocks(
        "use std::ops::Deref;" if target == "Deref" else "", f"/// {said[0].upper()}{said[1:]}, {told}.\n#[derive({draw.style('Debug, Clone, PartialEq', 'Clone, Debug, PartialEq, Eq')})]\npub struct {name}({inner});",
        fill("impl $name {\n    /// $says\n    pub fn new($mutable_inner: $inner) -> $returned {\n        $new\n    }\n\n    /// $what\n    pub fn $method(&self) -> $result {\n        $body\n    }\n\n    /// $ends\n    pub fn $unwrapped(self) -> $inner {\n        self.0\n    }\n}".replace("$mutable_inner", f"{mutable}inner"),
             name=name, inner=inner, returned=returned, new=new, method=method, result=result, body=body, what=what, unwrapped=unwrapped, says=draw.style("Takes the value over", f"Brings it into form, {told}") + (f"; `None` if it is then shorter than {least}." if checks else "."), ends=draw.style("Gives up the wrapper.", "What is in it.")), accessor,
    )  # fmt: skip
    cases = []
    for length in (1, 3, 5):
        words = draw.arguments.sample(WORDS, length)
        value = f"{' ' if change == 'trim' else ''}{' '.join(words[:2]).title()}" if texts else words if kind == "String" else [draw.arguments.randint(0, 9) for _ in range(length)]
        after = {"trim": lambda v: v.strip(), "lower": str.lower, "upper": str.upper, "spaces": lambda v: v.replace(" ", "-"), "sort": sorted, "dedup": lambda v: sorted(set(v)), "short": lambda v: v[: least + 2], "reverse": lambda v: v[::-1]}[change](value)
        made = f"{name}::new({literal(value, inner)})"
        if checks and len(after) < least:
            cases.append(Case(made, "None"))
            continue
        made += ".unwrap()" if checks else ""
        computed = {"is_long": str(len(after) > 2).lower(), "half": str(len(after) // 2), "missing": str(max(0, 10 - len(after)))}[method]
        reading = "it.len()" if target == "Deref" else f"AsRef::<{aim}>::as_ref(&it).len()"
        cases += [Case(f"({reading}, it.{method}())", f"({len(after)}, {computed})", f"let it = {made};"), Case(f"{made}.{unwrapped}()", literal(after, inner))]
    return Items(code, cases)


@family(tier=2)
def mixed_equality(draw: Draw) -> Items:
    small, large, unit, whole, factor = draw.choose(("Minutes", "Hours", "minutes", "hours", 60), ("Cents", "Euros", "cents", "euros", 100), ("Grams", "Kilograms", "grams", "kilograms", 1000), ("Inches", "Feet", "inches", "feet", 12), ("Days", "Weeks", "days", "weeks", 7), ("Eggs", "Dozens", "eggs", "dozens", 12), ("Metres", "Kilometres", "metres", "kilometres", 1000), ("Bits", "Bytes", "bits", "bytes", 8), ("Pence", "Shillings", "pence", "shillings", 12), ("Sheets", "Quires", "sheets", "quires", 24), ("Months", "Years", "months", "years", 12))
    kind = draw.choose("u32", "u64", "i32", "i64")
    second = draw.choose("PartialOrd", "Add", "From", "Sub", "plain")
    field = draw.style("0", "value", "count", "amount")
    named = field != "0"
    body = f" {{\n    pub {field}: {kind},\n}}" if named else f"(pub {kind});"

    def made(name: str, value: object) -> str:
        return f"{name} {{ {field}: {value} }}" if named else f"{name}({value})"

    derived = draw.style("Debug, Clone, Copy, PartialEq", "Clone, Copy, Debug, PartialEq")
    both = draw.style("converted", "compared")
    equality = f"self.{field} == other.{field} * {factor}" if both == "compared" else f"let same = {factor} * other.{field};\nself.{field} == same"
    parts = [
        f"/// A number of {unit}.\n#[derive({derived})]\npub struct {small}{body}", f"/// {draw.style(f'{whole.capitalize()}, of {factor} {unit} each', f'A number of {whole}, each of {factor} {unit}')}.\n#[derive({derived})]\npub struct {large}{body}",
        fill("impl PartialEq<$large> for $small {\n    fn eq(&self, other: &$large) -> bool {\n        $equality\n    }\n}", large=large, small=small, equality=equality),
        fill("impl PartialEq<$small> for $large {\n    fn eq(&self, other: &$small) -> bool {\n        $back\n    }\n}", large=large, small=small, back=draw.style("other == self", f"self.{field} * {factor} == other.{field}")),
    ]  # fmt: skip
    extra, use = {
        "PartialOrd": (fill("impl PartialOrd<$large> for $small {\n    fn partial_cmp(&self, other: &$large) -> Option<Ordering> {\n        $body\n    }\n}", large=large, small=small, body=draw.style(f"self.{field}.partial_cmp(&(other.{field} * {factor}))", f"Some(self.{field}.cmp(&(other.{field} * {factor})))")), "use std::cmp::Ordering;"),
        "Add": (implement("Add", small, f"add(self, other: {large}) -> {small}", made(small, f"self.{field} + {factor} * other.{field}"), small, large), "use std::ops::Add;"),
        "Sub": (implement("Sub", large, f"sub(self, other: {large}) -> {small}", made(small, f"(self.{field} - other.{field}) * {factor}"), small), "use std::ops::Sub;"),
        "From": (fill("/// $says\nimpl From<$large> for $small {\n    fn from(other: $large) -> Self {\n        $body\n    }\n}", large=large, small=small, says=f"Converts {whole} to {unit}.", body=made("Self", f"other.{field} * {factor}")), ""),
        "plain": (fill("/// $says\nimpl PartialEq<$kind> for $small {\n    fn eq(&self, other: &$kind) -> bool {\n        self.$field == *other\n    }\n}", kind=kind, small=small, field=field, says=f"Also comparable with a plain number of {unit}."), ""),
    }[second]  # fmt: skip
    count, off, other = draw.arguments.randint(1, 9), draw.arguments.randint(1, factor), draw.arguments.randint(10, 20)
    cases = [Case(f"{made(small, count * factor)} == {made(large, count)}", "true"), Case(f"{made(small, count * factor + off)} == {made(large, count)}", "false"), Case(f"{made(large, other)} == {made(small, count * factor)}", "false")]
    cases += {
        "PartialOrd": [Case(f"{made(small, other * factor - off)} < {made(large, other)}", "true"), Case(f"{made(small, other * factor)} < {made(large, other)}", "false")], "Add": [Case(f"{made(small, off)} + {made(large, count)}", made(small, off + count * factor))],
        "Sub": [Case(f"{made(large, other)} - {made(large, count)}", made(small, (other - count) * factor))], "From": [Case(f"{small}::from({made(large, other)})", made(small, other * factor))], "plain": [Case(f"{made(small, other)} == {other}", "true"), Case(f"{made(small, other)} == {other + off}", "false")],
    }[second]  # fmt: skip
    return Items(blocks(use, *parts, extra), [_grouped(each) for each in cases])


def _grouped(case: Case) -> Case:
    """With parentheses, where a test writes `!` before it."""
    return Case(f"({case.actual})", case.expected, case.setup) if case.expected == "false" else case


@family(tier=3)
def carrying_sum(draw: Draw) -> Items:
    name, big, small, size = draw.choose(("Duration", "hours", "minutes", 60), ("Money", "euros", "cents", 100), ("Length", "feet", "inches", 12), ("Weight", "pounds", "ounces", 16), ("Age", "years", "months", 12), ("Stay", "weeks", "days", 7), ("Angle", "degrees", "arcminutes", 60), ("Volume", "gallons", "pints", 8), ("Stock", "boxes", "pieces", 24), ("Distance", "miles", "furlongs", 8), ("Paper", "reams", "sheets", 500), ("Purse", "crowns", "shillings", 5))
    kind, wanted = draw.choose("u32", "u64"), draw.choose("Sub", "Mul", "Div", "none")
    limit = draw.choose(None, None, 10, 50, 100)
    factor = draw.arguments.randint(2, 5)
    of, total = draw.style(f"from_{small}", f"of_{small}", "normalized"), draw.style(f"total_{small}", f"in_{small}", f"as_{small}")
    cap = f".min({limit * size})" if limit else ""
    sums = [f"{name}::{of}(self.{total}() + other.{total}())", f"Self::{of}((self.{big} + other.{big}) * {size} + self.{small} + other.{small})"]
    sums += [f"let sum = self.{small} + other.{small};\n{name} {{\n    {big}: self.{big} + other.{big} + sum / {size},\n    {small}: sum % {size},\n}}"] if not limit else []
    other = {
        "Sub": ("Sub", f"sub(self, other: Self) -> Option<{name}>", f"let rest = self.{total}().checked_sub(other.{total}())?;\nSome({name}::{of}(rest))", f"Option<{name}>", "", "`None` if the other is greater."),
        "Mul": ("Mul", f"mul(self, factor: {kind}) -> {name}", f"{name}::{of}(self.{total}() * factor)", name, kind, "Several times as much."), "Div": ("Div", f"div(self, parts: {kind}) -> {name}", f"Self::{of}(self.{total}() / parts)", name, kind, f"One of equal parts, in whole {small}."), "none": None,
    }[wanted]  # fmt: skip
    first = f"let total = total{cap};\n" if limit else ""
    code = blocks(
        imported(draw, "Add", *([other[0]] if other else [])), f"/// {draw.style(f'{big.capitalize()} and {small}, {size} of which make one of the {big}', f'So many {big} and less than {size} {small}')}{f'; at most {limit} {big}' if limit else ''}.\n#[derive({draw.style('Debug, Clone, Copy, PartialEq', 'Clone, Copy, Debug, PartialEq, Eq')})]\npub struct {name} {{\n    pub {big}: {kind},\n    pub {small}: {kind},\n}}",
        fill("impl $name {\n    /// $says\n    pub fn $of(total: $kind) -> Self {\n        $body\n    }\n\n    /// $what\n    pub fn $total(self) -> $kind {\n        $whole\n    }\n}", name=name, of=of, total=total, kind=kind, says=draw.style(f"From a number of {small}", f"Splits `total` {small}") + (f", of which {limit * size} are the most." if limit else "."), what=draw.style(f"All of it in {small}.", f"The whole as {small}."),
             body=f"{first}Self {{ {big}: total / {size}, {small}: total % {size} }}", whole=draw.style(f"self.{big} * {size} + self.{small}", f"self.{small} + {size} * self.{big}")),
        implement("Add", name, f"add(self, other: Self) -> {draw.style('Self', name)}", draw.style(*sums), name, says=draw.style(f"Carries from {small} to {big}.", "")), implement(other[0], name, *other[1:]) if other else "",
    )  # fmt: skip

    def made(value: int) -> str:
        value = min(value, limit * size) if limit else value
        return f"{name} {{ {big}: {value // size}, {small}: {value % size} }}"

    cases = []
    for _ in range(3):
        a, b = (draw.arguments.randint(1, 7 * size) for _ in range(2))
        cases.append(Case(f"{made(a)} + {made(b)}", made(a + b)))
        if other:
            cases.append({"Sub": Case(f"{made(a)} - {made(b)}", f"Some({made(a - b)})" if a >= b else "None"), "Mul": Case(f"{made(a)} * {factor}", made(a * factor)), "Div": Case(f"{made(a)} / {factor}", made(a // factor))}[wanted])
    return Items(code, cases)


@family(tier=3)
def number_type(draw: Draw) -> Items:
    what, kind = draw.choose("fraction", "complex", "residue", "dual"), draw.choose("i32", "i64")
    modulus = draw.choose(7, 11, 13, 17, 19, 23, 29, 31, 97)
    operators = [draw.choose("Add", "Sub"), draw.choose("Mul", "Neg")]
    name, a, b = {"fraction": draw.style(("Fraction", "top", "bottom"), ("Ratio", "numerator", "denominator"), ("Rational", "num", "den")), "complex": draw.style(("Complex", "re", "im"), ("Gaussian", "real", "imaginary"), ("Complex", "real", "imag")), "residue": draw.style((f"Mod{modulus}", "value", ""), ("Residue", "value", ""), ("Remainder", "number", "")), "dual": draw.style(("Dual", "value", "slope"), ("Dual", "real", "epsilon"))}[what]
    extra = draw.choose("square", "inverse", "none") if what != "residue" else draw.choose("power", "none")
    plain = what != "fraction"
    sign = "+" if operators[0] == "Add" else "-"
    pair = lambda first, second: f"Self {{ {a}: {first}, {b}: {second} }}"  # noqa: E731
    formulas = {
        "fraction": {operators[0]: f"Self::new(self.{a} * other.{b} {sign} other.{a} * self.{b}, self.{b} * other.{b})", "Mul": f"Self::new(self.{a} * other.{a}, self.{b} * other.{b})", "Neg": f"Self::new(-self.{a}, self.{b})"},
        "complex": {operators[0]: pair(f"self.{a} {sign} other.{a}", f"self.{b} {sign} other.{b}"), "Mul": f"Self {{\n    {a}: self.{a} * other.{a} - self.{b} * other.{b},\n    {b}: self.{a} * other.{b} + self.{b} * other.{a},\n}}", "Neg": pair(f"-self.{a}", f"-self.{b}")},
        "residue": {operators[0]: f"Self::new(self.{a} {sign} other.{a})", "Mul": f"Self::new(self.{a} * other.{a})", "Neg": f"Self::new(-self.{a})"},
        "dual": {operators[0]: pair(f"self.{a} {sign} other.{a}", f"self.{b} {sign} other.{b}"), "Mul": f"Self {{\n    {a}: self.{a} * other.{a},\n    {b}: self.{a} * other.{b} + self.{b} * other.{a},\n}}", "Neg": pair(f"-self.{a}", f"-self.{b}")},
    }[what]  # fmt: skip
    constructor = {
        "fraction": f"let divisor = gcd({a}.abs(), {b}.abs()) * {b}.signum();\nSelf {{ {a}: {a} / divisor, {b}: {b} / divisor }}", "residue": f"Self {{ {a}: {a}.rem_euclid({modulus}) }}",
    }.get(what, f"Self {{ {a}, {b} }}")  # fmt: skip
    says = {"fraction": draw.style("Reduces it; `den` must not be zero.".replace("den", b), f"In lowest terms, with a positive `{b}`, which must not be 0."), "residue": draw.style(f"What is left of it modulo {modulus}.", f"Reduces it to 0..{modulus}.")}.get(what, "From its two parts.")
    arguments = f"{a}: {kind}" if what == "residue" else f"{a}: {kind}, {b}: {kind}"
    methods = [fill("/// $says\npub fn new($arguments) -> Self {\n    $body\n}", says=says, arguments=arguments, body=constructor)]
    if extra == "square":
        methods.append("/// Its square.\npub fn square(self) -> Self {\n    " + ("self * self" if "Mul" in operators else {"fraction": f"Self::new(self.{a} * self.{a}, self.{b} * self.{b})", "complex": f"Self::new(self.{a} * self.{a} - self.{b} * self.{b}, 2 * self.{a} * self.{b})", "dual": f"Self::new(self.{a} * self.{a}, 2 * self.{a} * self.{b})"}[what]) + "\n}")
    elif extra == "inverse":
        text = {"fraction": ("inverse(self) -> Option<Self>", f"if self.{a} == 0 {{\n    None\n}} else {{\n    Some(Self::new(self.{b}, self.{a}))\n}}", "One divided by it, if it is not 0."), "complex": ("conjugate(self) -> Self", f"Self {{ {b}: -self.{b}, ..self }}", "The same with the other sign of the second part."), "dual": ("double(self) -> Self", f"Self::new(2 * self.{a}, 2 * self.{b})", "Twice as much.")}[what]
        methods.append(fill("/// $says\npub fn $signature {\n    $body\n}", says=text[2], signature=text[0], body=text[1]))
    elif extra == "power":
        methods.append(fill("/// $says\npub fn pow(self, exponent: u32) -> Self {\n    let mut result = Self::new(1);\n    for _ in 0..exponent {\n        result = Self::new(result.$a * self.$a);\n    }\n    result\n}", says="Multiplies it `exponent` times.", a=a))
    helper = f"fn gcd(a: {kind}, b: {kind}) -> {kind} {{\n" + draw.style("    if b == 0 {\n        a\n    } else {\n        gcd(b, a % b)\n    }\n}", "    let (mut a, mut b) = (a, b);\n    while b != 0 {\n        (a, b) = (b, a % b);\n    }\n    a\n}")
    fields = f"{a}: {kind}," if what == "residue" else f"{a}: {kind},\n    {b}: {kind},"
    said = {"fraction": "A fraction in lowest terms.", "complex": draw.style("A complex number with whole parts.", "A Gaussian integer."), "residue": f"A number modulo {modulus}.", "dual": draw.style("A number with its derivative.", f"A dual number: the square of the second part is 0, so `{b}` is a derivative.")}[what]
    code = blocks(
        imported(draw, *operators), f"/// {said}\n#[derive({draw.style('Debug, Clone, Copy, PartialEq', 'Clone, Copy, Debug, PartialEq, Eq')})]\npub struct {name} {{\n    {fields}\n}}", "" if plain else helper, fill("impl $name {\n    $methods\n}", name=name, methods=blocks(*methods)),
        *(implement(each, name, f"{each.lower()}(self{'' if each == 'Neg' else ', other: Self'}) -> {draw.style('Self', 'Self::Output')}", formulas[each], "Self") for each in operators),
    )  # fmt: skip

    def made(value: tuple[int, ...]) -> str:
        return f"{name}::new({', '.join(map(str, value))})"

    pick, cases = draw.arguments.randint, []
    for _ in range(2):
        x, y = ((pick(-6, 9), pick(1, 8)) if what != "residue" else (pick(0, modulus - 1),) for _ in range(2))
        values = {
            "fraction": {operators[0]: (x[0] * y[-1] + (1 if sign == "+" else -1) * y[0] * x[-1], x[-1] * y[-1]), "Mul": (x[0] * y[0], x[-1] * y[-1]), "Neg": (-x[0], x[-1])},
            "residue": {operators[0]: (COMPUTE[sign](x[0], y[0]) % modulus,), "Mul": (x[0] * y[0] % modulus,), "Neg": (-x[0] % modulus,)},
        }.get(what, {operators[0]: (COMPUTE[sign](x[0], y[0]), COMPUTE[sign](x[-1], y[-1])), "Neg": (-x[0], -x[-1]), "Mul": (x[0] * y[0] - (x[-1] * y[-1] if what == "complex" else 0), x[0] * y[-1] + x[-1] * y[0])})  # fmt: skip
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
