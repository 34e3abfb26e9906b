"""Traits: default methods, constants, conversions, extension traits, supertraits and errors."""

import textwrap

from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import INTEGERS, SIGNED, literal
from trainers.data.synthetic.writing import braced, items

# What a trait is about: its name, its method, and types with the field that the method looks at.
SUBJECTS = (
    ("Priced", "price", (("Ticket", "zones"), ("Meal", "courses"), ("Ride", "kilometers"))),
    ("Weighed", "weight", (("Crate", "bottles"), ("Barrel", "liters"), ("Sack", "scoops"))),
    ("Scored", "score", (("Quiz", "answers"), ("Race", "laps"), ("Puzzle", "moves"))),
    ("Timed", "duration", (("Song", "verses"), ("Film", "scenes"), ("Lecture", "slides"))),
    ("Powered", "watts", (("Lamp", "bulbs"), ("Heater", "stages"), ("Fan", "blades"))),
    ("Attacker", "damage", (("Archer", "arrows"), ("Knight", "level"), ("Dragon", "heads"))),
    ("Payable", "wage", (("Cook", "shifts"), ("Driver", "tours"), ("Guard", "nights"))),
    ("Measured", "length", (("Rope", "knots"), ("Train", "wagons"), ("Fence", "posts"))),
    ("Rated", "rating", (("Hotel", "stars"), ("Book", "reviews"), ("Camera", "lenses"))),
    ("Storage", "capacity", (("Shelf", "boards"), ("Drive", "platters"), ("Depot", "halls"))),
)


def linear(rate: int, base: int, field: str) -> str:
    return f"self.{field}" + (f" * {rate}" if rate > 1 else "") + (f" + {base}" if base else "")


@family(tier=3)
def default_method(draw: Draw) -> Items:
    trait, method, ((first, its), (second, other), _) = draw.choose(*SUBJECTS)
    kind = draw.choose("i32", "i64")
    rate, base, rate2, base2 = draw.integer(2, 9), draw.integer(0, 12), draw.integer(2, 9), draw.integer(1, 12)
    change, override = draw.integer_mapping(kind), draw.choose(True, False, False)
    derived = draw.style("adjusted", "effective", "final", "modified", "derived") + "_" + method
    n, m = draw.arguments.randint(1, 9), draw.arguments.randint(10, 19)
    formula = draw.style(linear(rate, base, its), f"let own = {linear(rate, base, its)};\nown")
    told = draw.style(f"Returns the {method} {change.participle}.", f"Returns the result of `{method}`, {change.participle}.", f"Computes the {method} and returns it {change.participle}.")
    body = draw.style(f"let {method} = self.{method}();\n{change.on(method)}", f"let value = self.{method}();\n{change.on('value')}")
    plain = draw.style(f"/// Returns the {method}.", f"/// Returns the unmodified {method}.", f"/// Returns the plain {method}.")
    code = items(
        f"/// {draw.style('Anything that has a', 'A type with a', 'Something that has a', 'Implemented by every type with a')} {method}.\n"
        + braced(f"pub trait {trait}", f"{plain}\nfn {method}(&self) -> {kind};", f"/// {told}\n" + braced(f"fn {derived}(&self) -> {kind}", body)),
        f"/// {draw.style('Counts', 'Has', 'Stores a number of')} {its}; the {method} is {rate} for each{f' plus {base}' if base else ''}.\n"
        + braced(f"pub struct {first}", f"pub {its}: {kind},"),
        braced(f"impl {trait} for {first}", braced(f"fn {method}(&self) -> {kind}", formula)),
        f"/// The {method} of a {second.lower()} is {base2} plus {rate2} for each of its {other}.\npub struct {second}(pub {kind});",
        braced(
            f"impl {trait} for {second}",
            braced(f"fn {method}(&self) -> {kind}", draw.style(f"{base2} + {rate2} * self.0", f"self.0 * {rate2} + {base2}")),
            f"/// Returns the {method} minus {base2}.\n" + braced(f"fn {derived}(&self) -> {kind}", f"self.{method}() - {base2}") if override else "",
        ),
    )
    a, b = n * rate + base, m * rate2 + base2
    return Items(code, [
        Case(f"{first} {{ {its}: {n} }}.{method}()", str(a)), Case(f"{first} {{ {its}: {n} }}.{derived}()", str(change(a))),
        Case(f"{second}({m}).{method}()", str(b)), Case(f"{second}({m}).{derived}()", str(b - base2 if override else change(b))),
        Case(f"{first} {{ {its}: {m} }}.{method}()", str(m * rate + base)),
    ])


@family(tier=3)
def associated_constants(draw: Draw) -> Items:
    trait, constant, *types = draw.choose(
        ("Currency", "CENTS", "Euro", "Dinar", "Krone"), ("Unit", "FACTOR", "Meter", "Foot", "Mile"), ("Planet", "MOONS", "Mars", "Saturn", "Neptune"),
        ("Animal", "LEGS", "Spider", "Horse", "Bird"), ("Card", "POINTS", "Ace", "King", "Ten"), ("Paper", "WIDTH", "Letter", "Poster", "Banner"),
        ("Engine", "CYLINDERS", "Diesel", "Racing", "Marine"), ("Level", "ENEMIES", "Forest", "Desert", "Castle"),
    )
    kind, label = draw.choose("u32", "i64", "u64"), draw.choose(True, False)
    values = [draw.integer(2, 40), draw.integer(41, 90), draw.integer(91, 200)]
    sign, compute = draw.choose(("*", lambda c, n: c * n), ("+", lambda c, n: c + n))
    method = draw.style("scaled", "of", "amount_for", "for_count") if sign == "*" else draw.style("increased", "plus", "on_top_of", "raised")
    n, lower = draw.arguments.randint(2, 30), constant.lower()
    body = draw.style(f"T::{constant} {sign} n", f"let {lower} = T::{constant};\n{lower} {sign} n", f"<T as {trait}>::{constant} {sign} n")
    said = f"{lower} of `T` multiplied by `n`" if sign == "*" else f"{lower} of `T` plus `n`"
    about = draw.style(f"A kind of {trait.lower()} with associated constants.", f"Defines the {lower} of every {trait.lower()}.", f"The constants of a {trait.lower()}.")
    impls = [
        braced(f"impl {trait} for {each}", (f'const NAME: &\'static str = "{each.lower()}";\n' if label else "") + f"const {constant}: {kind} = {value};")
        for each, value in zip(types, values, strict=True)
    ]
    code = items(
        f"/// {about}\n" + braced(f"pub trait {trait}", ("const NAME: &'static str;\n" if label else "") + f"const {constant}: {kind};"),
        "\n".join(f"pub struct {each};" for each in types),
        *impls,
        f"/// {draw.style('Returns the', 'Computes the', 'Calculates the')} {said}.\n" + braced(f"pub fn {method}<T: {trait}>(n: {kind}) -> {kind}", body),
        "/// Returns the name and the number, separated by an equals sign.\n" + braced(f"pub fn label<T: {trait}>() -> String", f'format!("{{}}={{}}", T::NAME, T::{constant})') if label else "",
    )
    cases = [Case(f"{method}::<{each}>({n + i})", str(compute(value, n + i))) for i, (each, value) in enumerate(zip(types, values, strict=True))]
    cases.append(Case(f"<{types[2]} as {trait}>::{constant}", str(values[2])))
    return Items(code, cases + ([Case(f"label::<{types[1]}>()", f'"{types[1].lower()}={values[1]}"')] if label else []))


@family(tier=3)
def from_conversion(draw: Draw) -> Items:
    large, small, factor = draw.choose(
        ("Hours", "Minutes", 60), ("Days", "Hours", 24), ("Kilometers", "Meters", 1000), ("Dozens", "Eggs", 12), ("Weeks", "Days", 7), ("Feet", "Inches", 12),
        ("Yards", "Feet", 3), ("Bytes", "Bits", 8), ("Pounds", "Ounces", 16), ("Euros", "Cents", 100), ("Gallons", "Pints", 8), ("Years", "Months", 12),
    )
    kind = draw.choose(*INTEGERS)
    offset, back = draw.choose((0, True), (0, False), (0, True), (1, False), (5, False), (10, False), (30, False))
    field = draw.style("0", "value", "amount")
    derives = draw.style("#[derive(Debug, Clone, Copy, PartialEq)]", "#[derive(Debug, Clone, PartialEq, Eq)]", "#[derive(Debug, PartialEq)]")
    argument = draw.style("from", large.lower(), "whole")
    plus = f" and adds {offset}" if offset else ""

    def make(name: str, value: str | int) -> str:
        return f"{name}({value})" if field == "0" else f"{name} {{ {field}: {value} }}"

    def struct(name: str) -> str:
        return derives + "\n" + (f"pub struct {name}(pub {kind});" if field == "0" else braced(f"pub struct {name}", f"pub {field}: {kind},"))

    made = make(draw.style("Self", small), f"{argument}.{field} * {factor}" + (f" + {offset}" if offset else ""))
    reverse = braced(f"fn from({small.lower()}: {small}) -> Self", make("Self", f"{small.lower()}.{field} / {factor}"))
    code = items(
        f"/// {draw.style(f'A number of {large.lower()}.', f'A quantity in {large.lower()}.', f'Wraps a number of {large.lower()}.')}\n{struct(large)}",
        f"/// {draw.style(f'A number of {small.lower()}.', f'A quantity in {small.lower()}, {factor} of which make up the larger unit.', f'Wraps a number of {small.lower()}.')}\n{struct(small)}",
        f"/// {draw.style(f'Converts each one to {factor} {small.lower()}{plus}.', f'Multiplies by {factor}{plus}.')}\n"
        + braced(f"impl From<{large}> for {small}", braced(f"fn from({argument}: {large}) -> {draw.style('Self', small)}", made)),
        f"/// {draw.style('Rounds toward zero.', 'Drops the remainder.')}\n" + braced(f"impl From<{small}> for {large}", reverse) if back else "",
    )
    n, m = draw.arguments.randint(2, 9), draw.arguments.randint(10, 40)
    cases = [
        Case(f"{small}::from({make(large, n)})", make(small, n * factor + offset)),
        Case("converted", make(small, m * factor + offset), f"let converted: {small} = {make(large, m)}.into();"),
        Case(f"{small}::from({make(large, 0)}).{field}", str(offset)),
    ]
    return Items(code, cases + ([Case(f"{large}::from({make(small, m * factor + factor // 2)})", make(large, m))] if back else []))


@family(tier=3)
def checked_newtype(draw: Draw) -> Items:
    name, what = draw.choose(
        ("Age", "age"), ("Seat", "seat number"), ("Level", "level"), ("Channel", "channel"), ("Grade", "grade"), ("Speed", "speed"), ("PinCode", "code"),
        ("Slot", "slot"), ("Floor", "floor"), ("Batch", "batch size"), ("Volume", "volume"), ("Track", "track"), ("Dose", "dose"), ("Locker", "locker"),
    )
    kind = draw.choose("i32", "i64", "u32", "u64")
    holds = draw.integer_predicate(kind)
    error, made, refused = draw.choose(
        ("String", f'format!("invalid {what}: {{}}", value)', lambda n: f'"invalid {what}: {n}".to_string()'),
        (f"Invalid{name}", f"Invalid{name} {{ value }}", lambda n: f"Invalid{name} {{ value: {n} }}"), (kind, "value", str),
    )
    accepted, getter = draw.style("Ok(Self(value))", f"Ok({name}(value))"), draw.style("get", "value", "number", "as_number")
    body = draw.style(
        f"if {holds.on('value')} {{\n    {accepted}\n}} else {{\n    Err({made})\n}}",
        f"if !({holds.on('value')}) {{\n    return Err({made});\n}}\n{accepted}",
        f"match value {{\n    value if {holds.on('value')} => {accepted},\n    _ => Err({made}),\n}}",
    )
    told = draw.style(f"Returns an error unless the number {holds.clause}.", f"Succeeds if the number {holds.clause}.", f"Checks that `value` {holds.clause}.")
    struct = f"/// {draw.style(f'The error for a number that is not a valid {what}.', 'Contains the rejected number.')}\n#[derive(Debug, Clone, PartialEq)]\n"
    code = items(
        f"/// {draw.style('A', 'A valid', 'A validated')} {what}: a number that {holds.clause}.\n#[derive(Debug, Clone, Copy, PartialEq)]\npub struct {name}({kind});",
        struct + braced(f"pub struct {error}", f"pub value: {kind},") if error.startswith("Invalid") else "",
        braced(f"impl {name}", "/// Returns the number.\n" + braced(f"pub fn {getter}({draw.style('self', '&self')}) -> {kind}", "self.0")),
        braced(
            f"impl TryFrom<{kind}> for {name}",
            f"type Error = {error};",
            f"/// {told}\n" + braced(f"fn try_from(value: {kind}) -> Result<Self, Self::Error>", body),
        ),
    )
    candidates = [draw.arguments.randint(-40 if kind in SIGNED else 0, 60) for _ in range(40)] + [36, 7, 15, 16]
    good = list(dict.fromkeys(n for n in candidates if holds(n)))[:3]
    bad = list(dict.fromkeys(n for n in candidates if not holds(n)))[:2]
    results = {n: f"Ok({n})" for n in good} | {n: f"Err({refused(n)})" for n in bad}
    return Items(code, [Case(f"{name}::try_from({n}{kind}).map(|checked| checked.{getter}())", result) for n, result in results.items()])


@family(tier=2)
def integer_extension(draw: Draw) -> Items:
    kind = draw.choose(*INTEGERS)
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    trait = draw.style("IntegerExt", "NumberExt", "Checks", "MoreMath", "NumberTools", "Arithmetic")
    test = draw.style(f"is_{holds.slug}", "qualifies", "is_special", "is_accepted")
    compute = draw.style(change.slug, "transformed", "adjusted", "converted")
    receiver, value = draw.style(("&self", "let value = *self;"), ("self", "let value = self;"))
    first, second = f"fn {test}({receiver}) -> bool", f"fn {compute}({receiver}) -> {kind}"
    code = items(
        f"/// {draw.style(f'Additional methods for `{kind}`.', f'Extension methods for `{kind}`.', f'Extends integers of type `{kind}`.')}\n"
        + braced(
            f"pub trait {trait}",
            f"/// {draw.style('Returns whether the number', 'Checks whether the number', 'Returns `true` if the number')} {holds.clause}.\n{first};",
            f"/// {draw.style('Returns `self`', 'Returns the number', 'Computes the value')} {change.participle}.\n{second};",
        ),
        braced(f"impl {trait} for {kind}", braced(first, f"{value}\n{holds.on('value')}"), braced(second, f"{value}\n{change.on('value')}")),
    )
    numbers = [draw.arguments.randint(5, 60) for _ in range(3)] + [12, 7]
    cases = [Case(f"{n}{kind}.{test}()", "true" if holds(n) else "false") for n in numbers[:3]]
    return Items(code, cases + [Case(f"{n}{kind}.{compute}()", str(change(n))) for n in (*numbers[:2], 7)])


@family(tier=2)
def text_extension(draw: Draw) -> Items:
    holds, owner = draw.char_predicate(), draw.choose("str", "String")
    trait = draw.style("TextExt", "StrExt", "TextTools", "Inspect", "StringExt")
    c = holds.on("c")
    returns, told, forms, compute, method = draw.choose(
        ("usize", f"Returns the number of {holds.plural}.", [f"self.chars().filter(|&c| {c}).count()", f"let mut count = 0;\nfor c in self.chars() {{\n    if {c} {{\n        count += 1;\n    }}\n}}\ncount"], lambda t: sum(map(holds, t)), "count"),
        ("String", f"Returns only the {holds.plural}.", [f"self.chars().filter(|&c| {c}).collect()", f"let mut result = String::new();\nfor c in self.chars() {{\n    if {c} {{\n        result.push(c);\n    }}\n}}\nresult"], lambda t: "".join(filter(holds, t)), "only"),
        ("String", f"Returns the text without its {holds.plural}.", [f"self.chars().filter(|&c| !({c})).collect()", f"let mut result = String::with_capacity(self.len());\nfor c in self.chars() {{\n    if {c} {{\n        continue;\n    }}\n    result.push(c);\n}}\nresult"], lambda t: "".join(x for x in t if not holds(x)), "without"),
        ("Option<char>", f"Returns the first of the {holds.plural}, if any.", [f"self.chars().find(|&c| {c})", f"for c in self.chars() {{\n    if {c} {{\n        return Some(c);\n    }}\n}}\nNone"], lambda t: next(filter(holds, t), None), "first"),
        ("bool", f"Returns `true` if there are any {holds.plural}.", [f"self.chars().any(|c| {c})", f"for c in self.chars() {{\n    if {c} {{\n        return true;\n    }}\n}}\nfalse"], lambda t: any(map(holds, t)), "has"),
    )
    method += "_" + draw.style(holds.slug, "matching", "chosen")
    code = items(
        f"/// {draw.style('Inspects texts.', f'Additional methods for `{owner}`.', 'An extension trait for text.')}\n"
        + braced(f"pub trait {trait}", f"/// {told}\nfn {method}(&self) -> {returns};"),
        braced(f"impl {trait} for {owner}", braced(f"fn {method}(&self) -> {returns}", draw.style(*forms))),
    )
    texts = [draw.text(2), draw.text(3), "Area 51", "tree_house in Ohio, 7 stars!", ""]
    return Items(code, [Case(f"{literal(t, '&str' if owner == 'str' else 'String')}.{method}()", literal(compute(t), returns)) for t in texts])


@family(tier=3)
def default_settings(draw: Draw) -> Items:
    name, first, second, flag = draw.choose(
        ("Settings", "width", "height", "visible"), ("Retry", "attempts", "delay", "enabled"), ("Camera", "zoom", "exposure", "flash"), ("Printer", "copies", "margin", "duplex"),
        ("Game", "lives", "speed", "paused"), ("Oven", "degrees", "minutes", "fan"), ("Alarm", "hour", "volume", "repeats"), ("Player", "health", "armor", "poisoned"),
    )
    kind = draw.choose("u32", "i32", "usize", "u64")
    a, b, c = draw.integer(2, 50), draw.integer(2, 50), draw.choose("true", "false")
    step = draw.integer(2, 9)
    result, formula, said = draw.choose(
        (a * b + step, f"self.{first} * self.{second} + {step}", f"`{first}` times `{second}` plus {step}"), (a * step + b, f"self.{first} * {step} + self.{second}", f"{step} times `{first}` plus `{second}`"),
        (a + b + step, f"self.{first} + self.{second} + {step}", f"`{first}` plus `{second}` plus {step}"), (max(a, b) * step, f"self.{first}.max(self.{second}) * {step}", f"{step} times the larger of `{first}` and `{second}`"),
    )
    method, setter = draw.style("total", "cost", "figure", "combined"), draw.style(f"with_{first}", f"set_{first}")
    setting = draw.style(f"self.{first} = {first};\nself", f"Self {{ {first}, ..self }}")
    code = items(
        f"/// {draw.style('The settings', 'The options', 'The configuration')}, with the defaults {a} for `{first}` and {b} for `{second}`.\n#[derive(Debug, Clone, PartialEq)]\n"
        + braced(f"pub struct {name}", f"pub {first}: {kind},\npub {second}: {kind},\npub {flag}: bool,"),
        braced(f"impl Default for {name}", braced("fn default() -> Self", braced(draw.style("Self", name), f"{first}: {a},\n{second}: {b},\n{flag}: {c},"))),
        braced(
            f"impl {name}",
            f"/// Returns the same settings with `{first}` changed.\n" + braced(f"pub fn {setter}({'mut ' if '=' in setting else ''}self, {first}: {kind}) -> Self", setting),
            f"/// {draw.style('Computes', 'Returns')} {said}.\n" + braced(f"pub fn {method}(&self) -> {kind}", formula),
        ),
    )
    n = draw.arguments.randint(51, 99)
    return Items(code, [
        Case(f"{name}::default()", f"{name} {{ {first}: {a}, {second}: {b}, {flag}: {c} }}"), Case(f"{name}::default().{method}()", str(result)),
        Case(f"{name}::default().{setter}({n})", f"{name} {{ {first}: {n}, ..Default::default() }}"), Case(f"{name}::default().{setter}({n}).{first}", str(n)),
    ])


@family(tier=3)
def trait_with_supertrait(draw: Draw) -> Items:
    base, method, derived, longer = draw.choose(
        ("Named", "name", "Greeter", "greet"), ("Titled", "title", "Described", "describe"), ("Labeled", "label", "Printable", "print_line"), ("Coded", "code", "Listed", "entry"),
        ("Tagged", "tag", "Marked", "mark"), ("Identified", "id", "Logged", "log_line"),
    )
    first, second = draw.choose(("Cat", "Dog"), ("Invoice", "Receipt"), ("River", "Lake"), ("Robot", "Drone"), ("Song", "Album"), ("Nurse", "Doctor"), ("Pump", "Valve"))
    before, after = draw.choose(("Hello, ", "!"), ("<", ">"), ("[", "]"), ("* ", ""), ("This is ", "."), ("-- ", " --"), ("#", ":"), ("I am ", ""))
    shown, compute, what = draw.choose(
        (f"self.{method}()", str, method), (f"self.{method}().to_uppercase()", str.upper, f"{method} in uppercase"),
        (f"self.{method}().len()", lambda t: str(len(t)), f"length of the {method}"), (f"self.{method}().repeat(2)", lambda t: t * 2, f"{method} written twice"),
    )
    body = draw.style(f'format!("{before}{{}}{after}", {shown})', f'let shown = {shown};\nformat!("{before}{{shown}}{after}")')
    fixed = draw.choose("anna", "max", "zero", "echo", "nova")
    code = items(
        f"/// {draw.style('Something with a', 'Anything that has a')} {method}.\n" + braced(f"pub trait {base}", f"fn {method}(&self) -> String;"),
        f"/// {draw.style('Requires', 'Builds on', 'Uses')} the {method}.\n"
        + braced(f"pub trait {derived}: {base}", f"/// Returns the {what}{f', preceded by `{before}`' + (f' and followed by `{after}`' if after else '')}.\n" + braced(f"fn {longer}(&self) -> String", body)),
        f"pub struct {first} {{\n    pub {method}: String,\n}}",
        f"/// Always has the {method} \"{fixed}\".\npub struct {second};",
        braced(f"impl {base} for {first}", braced(f"fn {method}(&self) -> String", f"self.{method}.clone()")),
        braced(f"impl {base} for {second}", braced(f"fn {method}(&self) -> String", draw.style(f'"{fixed}".to_string()', f'String::from("{fixed}")'))),
        f"impl {derived} for {first} {{}}\n\nimpl {derived} for {second} {{}}",
    )
    words = [draw.text(1) or "a", draw.text(2)]
    cases = [Case(f'{first} {{ {method}: "{w}".to_string() }}.{longer}()', f'"{before}{compute(w)}{after}"') for w in words]
    return Items(code, [*cases, Case(f"{second}.{longer}()", f'"{before}{compute(fixed)}{after}"')])


@family(tier=4)
def generic_method_trait(draw: Draw) -> Items:
    kind = draw.choose("i32", "i64")
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    trait, listed, span = draw.style(("Source", "Stored", "Counted"), ("Feed", "Batch", "Span"), ("Numbers", "Bag", "Steps"), ("Supply", "Basket", "Ramp"))
    visit, total, count = draw.style("for_each", "visit", "each", "feed"), draw.style("sum_mapped", "total_of", "added_up"), draw.style("count_if", "how_many", "matching")
    bound = draw.style(f"<F: FnMut({kind})>", "F")
    head = f"fn {visit}<F: FnMut({kind})>(&self, mut f: F)" if bound != "F" else f"fn {visit}<F>(&self, mut f: F)\nwhere\n    F: FnMut({kind}),"
    declared = head.replace("mut f", "f").rstrip(",") + ("," if bound == "F" else "") + ";"
    opened = head + ("\n{\n" if bound == "F" else " {\n")
    step = draw.integer(1, 4)
    body = draw.style("for &value in &self.0 {\n    f(value);\n}", "self.0.iter().for_each(|&value| f(value));")
    code = items(
        f"/// {draw.style('Something that provides numbers.', 'Provides its numbers one after another.', 'A source of numbers.')}\n"
        + braced(
            f"pub trait {trait}",
            f"/// Calls `f` for every number{draw.style('', ', in order')}.\n{declared.replace(',;', ';')}",
            f"/// Returns the sum of the numbers, each {change.participle}.\n"
            + braced(f"fn {total}(&self) -> {kind}", f"let mut total = 0;\nself.{visit}(|value| total += {change.on('value')});\ntotal"),
            f"/// Counts the {holds.plural}.\n"
            + braced(f"fn {count}(&self) -> usize", f"let mut count = 0;\nself.{visit}(|value| {{\n    if {holds.on('value')} {{\n        count += 1;\n    }}\n}});\ncount"),
        ),
        f"/// Stores its numbers in a vector.\npub struct {listed}(pub Vec<{kind}>);",
        f"/// The numbers from `from` (included) to `to` (excluded) in steps of {step}.\n" + braced(f"pub struct {span}", f"pub from: {kind},\npub to: {kind},"),
        braced(f"impl {trait} for {listed}", opened + textwrap.indent(body, "    ") + "\n}"),
        braced(f"impl {trait} for {span}", opened + f"    let mut next = self.from;\n    while next < self.to {{\n        f(next);\n        next += {step};\n    }}\n}}"),
    )
    values = [draw.arguments.randint(-9, 40) for _ in range(5)]
    low = draw.arguments.randint(-3, 9)
    reached = range(low, low + 14, step)
    made = [(f"{listed}(vec!{values})", values), (f"{span} {{ from: {low}, to: {low + 14} }}", reached), (f"{listed}(vec![])", [])]
    cases = [Case(f"{each}.{total}()", str(sum(map(change, numbers)))) for each, numbers in made]
    return Items(code, cases + [Case(f"{each}.{count}()", str(sum(map(holds, numbers)))) for each, numbers in made])


@family(tier=4)
def error_conversion(draw: Draw) -> Items:
    what, key = draw.choose(("port", "port"), ("age", "age"), ("temperature", "temp"), ("speed limit", "limit"), ("volume", "vol"), ("page", "page"), ("score", "score"), ("room", "room"))
    kind = draw.choose("i32", "i64", "u32", "u64")
    holds, sign = draw.integer_predicate(kind), draw.choose("=", ":")
    error = draw.style("ReadError", "ParseError", "InputError", f"{key.capitalize()}Error")
    missing, number, refused = draw.style(("Missing", "Number", "Refused"), ("NoValue", "NotANumber", "Forbidden"), ("Incomplete", "BadNumber", "OutOfBounds"))
    name = draw.style(f"read_{key}", f"parse_{key}", f"{key}_from")
    split = draw.style(f"let (_, value) = text.split_once('{sign}').ok_or({error}::{missing})?;", f"let Some((_, value)) = text.split_once('{sign}') else {{\n    return Err({error}::{missing});\n}};")
    check = draw.style(f"if {holds.on('value')} {{\n    Ok(value)\n}} else {{\n    Err({error}::{refused}(value))\n}}", f"if !({holds.on('value')}) {{\n    return Err({error}::{refused}(value));\n}}\nOk(value)")
    no_value, bad = draw.choose("no value", "nothing given", f"no `{sign}` found"), draw.choose("no number", "not a number", "bad number")
    arms = f'{error}::{missing} => write!(f, "{no_value}"),\n    {error}::{number}(error) => write!(f, "{bad}: {{}}", error),\n    {error}::{refused}(value) => write!(f, "{what} {{}} is not allowed", value),'
    code = items(
        "use std::fmt;\nuse std::num::ParseIntError;",
        f"/// {draw.style(f'The reason why a {what} could not be parsed.', 'The possible errors.', f'The errors that can occur when a {what} is parsed.')}\n#[derive(Debug, Clone, PartialEq)]\n" + braced(f"pub enum {error}", f"{missing},\n{number}(ParseIntError),\n{refused}({kind}),"),
        braced(f"impl fmt::Display for {error}", braced("fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result", f"match self {{\n    {arms}\n}}")),
        f"impl std::error::Error for {error} {{}}",
        braced(f"impl From<ParseIntError> for {error}", braced("fn from(error: ParseIntError) -> Self", f"{error}::{number}(error)")),
        f"/// Parses the {what} from a text such as `{key}{sign}12` and checks that it {holds.clause}.\n" + braced(f"pub fn {name}(text: &str) -> Result<{kind}, {error}>", f"{split}\nlet value: {kind} = value.trim().parse()?;\n{check}"),
    )
    values = [draw.arguments.randint(0, 60) for _ in range(4)]
    cases = [Case(f'{name}("{key}{sign}{n}")', f"Ok({n})" if holds(n) else f"Err({error}::{refused}({n}))") for n in values]
    cases += [Case(f'{name}("{key}{sign} {n}").map_err(|error| error.to_string())', f"Ok({n})" if holds(n) else f'Err("{what} {n} is not allowed".to_string())') for n in (12, 25)]
    failures = ((f"{key}", no_value), (f"{key}{sign}ten", f"{bad}: invalid digit found in string"), (f"{key}{sign}", f"{bad}: cannot parse integer from empty string"))
    return Items(code, cases + [Case(f'{name}("{given}").unwrap_err().to_string()', f'"{said}"') for given, said in failures])
