"""Types that order, display, combine or wrap values."""

from typing import Any

from trainers.data.synthetic.families.operators import implement, imported
from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.pieces import WORDS
from trainers.data.synthetic.writing import blocks, fill


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
    said = f"Orders by {'descending' if falling else 'ascending'} {number}{f' divided by {modulus}' if modulus else ''} and then by {{}}".format({"text": f"{text} in alphabetical order", "length": f"the length of the {text}, shortest first", "text backwards": f"{text} in reverse alphabetical order"}[tie])
    make = draw.style("new", "of")
    fields = f"pub {number}: {kind},\n    pub {text}: String,"
    use = draw.style("pub fn sorted(mut items: Vec<$name>) -> Vec<$name> {\n    items.sort();\n    items\n}", "pub fn sorted(items: Vec<$name>) -> Vec<$name> {\n    let mut result = items;\n    result.sort();\n    result\n}")
    equal = f"impl PartialEq for {name} {{\n    fn eq(&self, other: &Self) -> bool {{\n        self.cmp(other) == Ordering::Equal\n    }}\n}}\n\nimpl Eq for {name} {{}}"
    code = blocks(
        "use std::cmp::Ordering;", f"/// A {name.lower()}, ordered by {number} and then {text}.\n#[derive({draw.style('Debug, Clone', 'Clone, Debug')})]\npub struct {name} {{\n    {fields}\n}}",
        fill("impl $name {\n    /// $says\n    pub fn $make($number: $kind, $text: &str) -> Self {\n        Self { $number, $text: $text.to_string() }\n    }\n}", name=name, make=make, number=number, kind=kind, text=text, says=draw.style("Creates a value from its parts.", f"Creates a {name.lower()} from its {number} and {text}.")),
        equal, f"/// {said}.\nimpl Ord for {name} {{\n    fn cmp(&self, other: &Self) -> Ordering {{\n" + "\n".join(f"        {line}" for line in body.split("\n")) + "\n    }\n}",
        f"impl PartialOrd for {name} {{\n    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {{\n        {order}\n    }}\n}}", f"/// {draw.style('Returns the items in ascending order.', 'Sorts the items.')}\n{fill(use, name=name)}",
    )

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
    )
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
        "list": fill("/// $says\npub fn join(items: &[$name]) -> String {\n    $body\n}", name=name, says=f"Joins all items as text with the separator {literal(separator, '&str')}.", body=draw.style(f"items\n    .iter()\n    .map(|item| item.to_string())\n    .collect::<Vec<_>>()\n    .join({literal(separator, '&str')})", f"let mut text = String::new();\nfor (index, item) in items.iter().enumerate() {{\n    if index > 0 {{\n        text.push_str({literal(separator, '&str')});\n    }}\n    text += &item.to_string();\n}}\ntext")),
        "swap": fill("impl $name {\n    /// Returns the same with both values swapped.\n    pub fn swapped(&self) -> Self {\n        Self { $first: self.$second, $second: self.$first }\n    }\n}", name=name, first=first, second=second),
        "parse": fill("impl From<($kind, $kind)> for $name {\n    fn from(pair: ($kind, $kind)) -> Self {\n        $body\n    }\n}", kind=kind, name=name, body=draw.style(f"let ({first}, {second}) = pair;\nSelf {{ {first}, {second} }}", f"Self {{ {first}: pair.0, {second}: pair.1 }}")), "none": "",
    }[extra]
    note = {"zero": f", or as \"{said}\" if both are zero", "equal": f", or as \"{said}\" if both are equal", "big": f", or as \"{said}\" if `{first}` is greater than {limit}"}.get(special, "")
    example = shape.format(7, 5)
    code = blocks(
        imports[0], f"/// {draw.style(f'A {name.lower()} with {first} and {second}.', f'Consists of {first} and {second}.', f'Stores {first} and {second}.')}\n#[derive({draw.style('Debug, Clone, PartialEq', 'Debug, Clone, Copy', 'Clone, Debug')})]\npub struct {name} {{\n    pub {first}: {kind},\n    pub {second}: {kind},\n}}",
        f"/// {draw.style('Formats the value', 'Displays the value', 'Writes the value')} like \"{example}\"{note}.\nimpl {trait} for {name} {{\n    fn fmt(&self, {formatter}: &mut {argument}) -> {draw.style('fmt::Result', 'std::fmt::Result')} {{\n" + "\n".join(f"        {line}" for line in body.split("\n")) + "\n    }\n}", more,
    )

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
    said = {"BitOr": draw.style("Returns the union of both sets.", "Combines the flags of both."), "BitAnd": draw.style("Returns the intersection of both sets.", "Keeps the flags that both have."), "BitXor": "Returns the flags that exactly one of the two has.", "Sub": "Removes the flags of the other set.", "Not": "Returns the flags that are not set."}
    parts = [implement(trait, name, f"{ {'BitOr': 'bitor', 'BitAnd': 'bitand', 'BitXor': 'bitxor', 'Sub': 'sub', 'Not': 'not'}[trait]}(self{'' if trait == 'Not' else ', other: Self'}) -> Self", draw.style(f"Self({formula[trait]})", f"{name}({formula[trait]})"), "Self", says=said[trait]) for trait, _ in chosen]
    constants = "\n".join(f"pub const {flag}: {name} = {name}({bit});" for flag, bit in zip(flags, bits, strict=True))
    methods = fill(
        "impl $name {\n    $constants\n\n    /// $says\n    pub fn $contains(self, other: Self) -> bool {\n        $body\n    }\n\n    /// $what\n    pub fn $count(self) -> u32 {\n        self.0.count_ones()\n    }\n}", name=name, constants=constants, contains=contains, count=count,
        says=draw.style("Returns `true` if all flags of `other` are set.", "Checks whether `other` is a subset of this set."), what=draw.style("Counts the flags that are set.", "Returns the number of flags that are set."), body=draw.style("self.0 & other.0 == other.0", "other.0 & !self.0 == 0"))
    code = blocks(imported(draw, *(trait for trait, _ in chosen)), f"/// {draw.style('A set of ' + name.lower() + '.', 'A set of flags: ' + ', '.join(flags[:2]).lower() + ' and ' + flags[2].lower() + '.')}\n#[derive({draw.style('Debug, Clone, Copy, PartialEq, Eq', 'Clone, Copy, Debug, PartialEq')})]\npub struct {name}(pub {kind});", methods, *parts)
    cases = []
    for trait, symbol in chosen:
        a, b = (sum(draw.arguments.sample(bits, draw.arguments.randint(1, 2))) for _ in range(2))
        value = {"BitOr": a | b, "BitAnd": a & b, "BitXor": a ^ b, "Sub": a & ~b, "Not": ~a & every}[trait]
        cases.append(Case(f"!{name}({a})" if trait == "Not" else f"{name}({a}) {symbol} {name}({b})", f"{name}({value})"))
    one, two, three = draw.arguments.sample(range(3), 3)
    joined = f"({name}::{flags[one]} | {name}::{flags[two]})"
    return Items(code, [*cases, Case(f"{joined}.{count}()", "2"), Case(f"{joined}.{contains}({name}::{flags[three]})", "false"), Case(f"{joined}.{contains}({name}::{flags[two]})", "true")])


@family(tier=2)
def wrapper_type(draw: Draw) -> Items:
    name, inner, said = draw.choose(("Numbers", "Vec<i32>", "numbers"), ("Names", "Vec<String>", "names"), ("Password", "String", "a password"), ("Marks", "Vec<u32>", "marks"), ("Path", "Vec<i64>", "the heights along a path"), ("Code", "String", "a product code"), ("Line", "String", "a line of text"), ("Samples", "Vec<i64>", "samples"), ("Bag", "Vec<u64>", "weights"), ("Label", "String", "a label"), ("Words", "Vec<String>", "words"), ("Slug", "String", "the name of a page"))
    texts = inner == "String"
    kind = inner[4:-1] if not texts else "String"
    least = draw.integer(1, 5)
    change = draw.choose(*(("trim", "lower", "upper", "spaces") if texts else ("sort", "dedup", "short", "reverse")))
    bodies = {"trim": "let inner = inner.trim().to_string();", "lower": "let inner = inner.to_lowercase();", "upper": "let inner = inner.to_uppercase();", "spaces": "let inner = inner.replace(' ', \"-\");", "sort": "inner.sort();", "dedup": "inner.sort();\ninner.dedup();", "short": f"inner.truncate({least + 2});", "reverse": "inner.reverse();"}
    told = {"trim": "without leading and trailing whitespace", "lower": "in lowercase", "upper": "in uppercase", "spaces": "with hyphens instead of spaces", "sort": "in ascending order", "dedup": "in ascending order and without duplicates", "short": f"truncated to at most {least + 2}", "reverse": "in reverse order"}[change]
    target = draw.choose("Deref", "AsRef")
    aim = draw.style("str", "String") if texts else draw.style(f"[{kind}]", inner)
    checks = draw.choose(True, False)
    returned, wrapped = ("Option<Self>", "Some(Self(inner))") if checks else ("Self", "Self(inner)")
    guard = f"if inner.len() < {least} {{\n    return None;\n}}\n" if checks else ""
    new = f"{bodies[change]}\n{guard}{wrapped}"
    accessor = f"/// Provides the methods of `{aim}`.\nimpl Deref for {name} {{\n    type Target = {aim};\n\n    fn deref(&self) -> &{draw.style('Self::Target', aim)} {{\n        &self.0\n    }}\n}}" if target == "Deref" else f"impl AsRef<{aim}> for {name} {{\n    fn as_ref(&self) -> &{aim} {{\n        &self.0\n    }}\n}}"
    method, result, body, what = draw.choose(("is_long", "bool", "self.0.len() > 2", "Returns `true` if the length is greater than 2."), ("half", "usize", "self.0.len() / 2", "Returns half the length, rounded down."), ("missing", "usize", "10usize.saturating_sub(self.0.len())", "Returns how much shorter than 10 it is, or 0 if it is not shorter."))
    unwrapped = draw.style("into_inner", "take", "unwrap")
    mutable = "" if texts else "mut "
    code = blocks(
        "use std::ops::Deref;" if target == "Deref" else "", f"/// {said[0].upper()}{said[1:]} {told}.\n#[derive({draw.style('Debug, Clone, PartialEq', 'Clone, Debug, PartialEq, Eq')})]\npub struct {name}({inner});",
        fill("impl $name {\n    /// $says\n    pub fn new($mutable_inner: $inner) -> $returned {\n        $new\n    }\n\n    /// $what\n    pub fn $method(&self) -> $result {\n        $body\n    }\n\n    /// $ends\n    pub fn $unwrapped(self) -> $inner {\n        self.0\n    }\n}".replace("$mutable_inner", f"{mutable}inner"),
             name=name, inner=inner, returned=returned, new=new, method=method, result=result, body=body, what=what, unwrapped=unwrapped, says=draw.style("Wraps the value", "Normalizes and wraps the value") + (f", or returns `None` if its length is then less than {least}." if checks else "."), ends=draw.style("Unwraps the inner value.", "Returns the inner value.")), accessor,
    )
    cases = []
    for length in (1, 3, 5):
        words = draw.arguments.sample(WORDS, length)
        value: Any = f"{' ' if change == 'trim' else ''}{' '.join(words[:2]).title()}" if texts else words if kind == "String" else [draw.arguments.randint(0, 9) for _ in range(length)]
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
    small, large, unit, whole, factor = draw.choose(("Minutes", "Hours", "minutes", "hours", 60), ("Cents", "Euros", "cents", "euros", 100), ("Grams", "Kilograms", "grams", "kilograms", 1000), ("Inches", "Feet", "inches", "feet", 12), ("Days", "Weeks", "days", "weeks", 7), ("Eggs", "Dozens", "eggs", "dozens", 12), ("Meters", "Kilometers", "meters", "kilometers", 1000), ("Bits", "Bytes", "bits", "bytes", 8), ("Pence", "Shillings", "pence", "shillings", 12), ("Sheets", "Quires", "sheets", "quires", 24), ("Months", "Years", "months", "years", 12))
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
        f"/// A number of {unit}.\n#[derive({derived})]\npub struct {small}{body}", f"/// {draw.style(f'A number of {whole}, which have {factor} {unit} each', f'A number of {whole} with {factor} {unit} each')}.\n#[derive({derived})]\npub struct {large}{body}",
        fill("impl PartialEq<$large> for $small {\n    fn eq(&self, other: &$large) -> bool {\n        $equality\n    }\n}", large=large, small=small, equality=equality),
        fill("impl PartialEq<$small> for $large {\n    fn eq(&self, other: &$small) -> bool {\n        $back\n    }\n}", large=large, small=small, back=draw.style("other == self", f"self.{field} * {factor} == other.{field}")),
    ]
    extra, use = {
        "PartialOrd": (fill("impl PartialOrd<$large> for $small {\n    fn partial_cmp(&self, other: &$large) -> Option<Ordering> {\n        $body\n    }\n}", large=large, small=small, body=draw.style(f"self.{field}.partial_cmp(&(other.{field} * {factor}))", f"Some(self.{field}.cmp(&(other.{field} * {factor})))")), "use std::cmp::Ordering;"),
        "Add": (implement("Add", small, f"add(self, other: {large}) -> {small}", made(small, f"self.{field} + {factor} * other.{field}"), small, large), "use std::ops::Add;"),
        "Sub": (implement("Sub", large, f"sub(self, other: {large}) -> {small}", made(small, f"(self.{field} - other.{field}) * {factor}"), small), "use std::ops::Sub;"),
        "From": (fill("/// $says\nimpl From<$large> for $small {\n    fn from(other: $large) -> Self {\n        $body\n    }\n}", large=large, small=small, says=f"Converts {whole} to {unit}.", body=made("Self", f"other.{field} * {factor}")), ""),
        "plain": (fill("/// $says\nimpl PartialEq<$kind> for $small {\n    fn eq(&self, other: &$kind) -> bool {\n        self.$field == *other\n    }\n}", kind=kind, small=small, field=field, says=f"Allows comparison with a plain number of {unit}."), ""),
    }[second]
    count, off, other = draw.arguments.randint(1, 9), draw.arguments.randint(1, factor), draw.arguments.randint(10, 20)
    cases = [Case(f"{made(small, count * factor)} == {made(large, count)}", "true"), Case(f"{made(small, count * factor + off)} == {made(large, count)}", "false"), Case(f"{made(large, other)} == {made(small, count * factor)}", "false")]
    cases += {
        "PartialOrd": [Case(f"{made(small, other * factor - off)} < {made(large, other)}", "true"), Case(f"{made(small, other * factor)} < {made(large, other)}", "false")], "Add": [Case(f"{made(small, off)} + {made(large, count)}", made(small, off + count * factor))],
        "Sub": [Case(f"{made(large, other)} - {made(large, count)}", made(small, (other - count) * factor))], "From": [Case(f"{small}::from({made(large, other)})", made(small, other * factor))], "plain": [Case(f"{made(small, other)} == {other}", "true"), Case(f"{made(small, other)} == {other + off}", "false")],
    }[second]
    return Items(blocks(use, *parts, extra), [_grouped(each) for each in cases])


def _grouped(case: Case) -> Case:
    """Return the case with its expression in parentheses if the test negates it."""
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
        "Sub": ("Sub", f"sub(self, other: Self) -> Option<{name}>", f"let rest = self.{total}().checked_sub(other.{total}())?;\nSome({name}::{of}(rest))", f"Option<{name}>", "", "Returns `None` if the other value is greater."),
        "Mul": ("Mul", f"mul(self, factor: {kind}) -> {name}", f"{name}::{of}(self.{total}() * factor)", name, kind, "Multiplies the total by a number."), "Div": ("Div", f"div(self, parts: {kind}) -> {name}", f"Self::{of}(self.{total}() / parts)", name, kind, f"Divides the total and rounds down to whole {small}."), "none": None,
    }[wanted]
    first = f"let total = total{cap};\n" if limit else ""
    code = blocks(
        imported(draw, "Add", *([other[0]] if other else [])), f"/// {draw.style(f'A number of {big} and {small}, where {size} {small} are one of the {big}', f'A number of {big} and fewer than {size} {small}')}{f', at most {limit} {big}' if limit else ''}.\n#[derive({draw.style('Debug, Clone, Copy, PartialEq', 'Clone, Copy, Debug, PartialEq, Eq')})]\npub struct {name} {{\n    pub {big}: {kind},\n    pub {small}: {kind},\n}}",
        fill("impl $name {\n    /// $says\n    pub fn $of(total: $kind) -> Self {\n        $body\n    }\n\n    /// $what\n    pub fn $total(self) -> $kind {\n        $whole\n    }\n}", name=name, of=of, total=total, kind=kind, says=draw.style(f"Creates a value from a number of {small}", f"Converts `total` {small}") + (f", which is capped at {limit * size}." if limit else "."), what=draw.style(f"Returns the total in {small}.", f"Converts the whole amount to {small}."),
             body=f"{first}Self {{ {big}: total / {size}, {small}: total % {size} }}", whole=draw.style(f"self.{big} * {size} + self.{small}", f"self.{small} + {size} * self.{big}")),
        implement("Add", name, f"add(self, other: Self) -> {draw.style('Self', name)}", draw.style(*sums), name, says=draw.style(f"Adds both values and carries from {small} to {big}.", "")), implement(other[0], name, *other[1:]) if other else "",
    )

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
