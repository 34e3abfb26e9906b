"""Enums: order of variants, codes, parsing, amounts, expression trees and classification."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainers.data.synthetic.family import Case, Draw, FunctionSpec, Items, Undefined, family
from trainers.data.synthetic.literals import Raw, literal
from trainers.data.synthetic.pieces import quotient
from trainers.data.synthetic.writing import blocks, fill, match_on

DOMAINS: tuple[tuple[str, str, str], ...] = (
    ("Direction|Heading|Compass", "a compass direction", "North East South West"), ("Weekday|Day", "a day of the week", "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    ("Season|TimeOfYear", "a season", "Spring Summer Autumn Winter"), ("Light|Signal|TrafficLight", "the color that a traffic light shows", "Red Green Yellow"),
    ("Suit|CardSuit", "the suit of a playing card", "Clubs Diamonds Hearts Spades"), ("Coin|Change", "a coin of the United States", "Penny Nickel Dime Quarter"),
    ("Phase|MoonPhase", "a phase of the moon", "New Waxing Full Waning"), ("Level|Volume", "the volume of a sound", "Silent Quiet Normal Loud"),
    ("Gear|Transmission", "a position of the gear lever", "Park Reverse Neutral Drive"), ("Meal|Course", "a meal of the day", "Breakfast Lunch Snack Dinner"),
    ("Tone|Note", "a note of the scale", "Do Re Mi Fa Sol La Si"), ("Priority|Urgency", "the urgency of a ticket", "Low Medium High Critical"),
    ("Medal|Award", "an award for a competitor", "Bronze Silver Gold Platinum"), ("Size|ShirtSize", "the size of a garment", "Small Medium Large Huge"),
    ("Rank|Title", "a rank in the guild", "Novice Apprentice Journeyman Master"), ("Severity|LogLevel", "the severity of a log line", "Trace Debug Info Warning Error"),
    ("Stage|Growth", "a stage in the life of a butterfly", "Egg Larva Pupa Adult"), ("Mode|FanMode", "the setting of a fan", "Off Breeze Medium Turbo"),
    ("Planet|World", "one of the inner planets", "Mercury Venus Earth Mars"), ("Piece|Chessman", "a chess piece", "Pawn Knight Bishop Rook Queen"),
    ("Roast|Coffee", "the roast of coffee beans", "Blonde Cinnamon City French"), ("Status|Progress", "the progress of a task", "Planned Started Reviewed Done"),
    ("Paper|Stock", "the grain of sandpaper", "Coarse Rough Fine Polishing"), ("Plan|Tier", "the plan that a customer subscribed to", "Free Basic Team Enterprise"),
    ("Belt|Grade", "the belt of a student", "White Orange Blue Brown Black"), ("Terrain|Ground", "the terrain of a map tile", "Sand Grass Rock Snow Water"),
)


def draw_enum(draw: Draw) -> tuple[str, str, list[str]]:
    """Choose an enum: its name, its description and its variants."""
    names, said, variants = draw.choose(*DOMAINS)
    return draw.style(*names.split("|")), said, variants.split()


def declare(draw: Draw, name: str, said: str, variants: Iterable[str], more: str = "", copies: bool = True) -> str:
    """Return the definition of an enum."""
    derived = draw.style("Debug, Clone, Copy, PartialEq, Eq", "Clone, Copy, Debug, Eq, PartialEq", "Debug, PartialEq, Eq, Clone, Copy")
    derived = derived if copies else derived.replace(", Copy", "")
    body = "\n".join(f"    {each}," for each in variants)
    begun = said[0].upper() + said[1:]
    return f"/// {begun}.\n#[derive({derived}{more})]\npub enum {name} {{\n{body}\n}}"


@dataclass(frozen=True)
class EnumValue(Raw):
    """A value of an enum with its data, for the oracle."""

    name: str
    values: tuple[int, ...]


@family(tier=2)
def cyclic_enum(draw: Draw) -> Items:
    name, said, variants = draw_enum(draw)
    wanted = draw.choose("next", "previous", "both", "ends", "advance")
    size = len(variants)
    path = draw.style("Self", name)
    after, before = draw.style(("next", "previous"), ("following", "preceding"), ("succ", "pred"), ("after", "before"))
    listed = ", ".join(f"{name}::{each}" for each in variants)
    table = draw.style(True, False) or wanted == "advance"
    methods, cases = [], []
    if table:
        methods.append(f"/// All variants, in order.\nconst ALL: [{name}; {size}] = [{listed}];")
    steps = {"next": [(after, 1)], "previous": [(before, -1)], "both": [(after, 1), (before, -1)]}.get(wanted, [])
    for method, step in steps:
        says = "next variant, where the last one is followed by the first" if step > 0 else "previous variant, where the first one is preceded by the last"
        jump = step % size
        body = f"Self::ALL[(self as usize + {jump}) % Self::ALL.len()]" if table else match_on(
            "self", [(f"{path}::{each}", f"{path}::{variants[(i + step) % size]}") for i, each in enumerate(variants)])
        methods.append(fill("/// $what\npub fn $method(self) -> $name {\n    $body\n}", what=draw.style(f"Returns the {says}.", f"Returns the variant {'after' if step > 0 else 'before'} this one, wrapping around at the {'end' if step > 0 else 'start'}."), method=method, name=draw.style("Self", name), body=body))
        cases += [Case(f"{name}::{each}.{method}()", f"{name}::{variants[(i + step) % size]}") for i, each in enumerate(variants)]
    if wanted == "ends":
        body = "Self::ALL.get(self as usize + 1).copied()" if table else match_on(
            "self", [(f"{path}::{each}", f"Some({path}::{variants[i + 1]})" if i + 1 < size else "None") for i, each in enumerate(variants)])
        methods.append(fill("/// $what\npub fn $after(self) -> Option<Self> {\n    $body\n}", after=after, body=body, what=draw.style(f"Returns the next variant, or `None` for `{variants[-1]}`.", "Returns the variant that follows, or `None` if this is the last one.")))
        cases = [Case(f"{name}::{each}.{after}()", f"Some({name}::{variants[i + 1]})" if i + 1 < size else "None") for i, each in enumerate(variants)]
    if wanted == "advance":
        method = draw.style("advance", "plus", "skip", "rotated")
        body = draw.style("Self::ALL[(self as usize + steps) % Self::ALL.len()]", f"let index = (self as usize + steps) % {size};\nSelf::ALL[index]")
        methods.append(fill("/// $what\npub fn $method(self, steps: usize) -> Self {\n    $body\n}", method=method, body=body, what=draw.style("Advances by `steps`, wrapping around from the last variant to the first.", "Returns the variant that comes `steps` later, wrapping around at the end.")))
        for _ in range(4):
            start, step = draw.arguments.randrange(size), draw.arguments.randint(0, 12)
            cases.append(Case(f"{name}::{variants[start]}.{method}({step})", f"{name}::{variants[(start + step) % size]}"))
    methods = [each.replace("const ALL: [" + name, "pub const ALL: [" + draw.style(name, "Self")) for each in methods]
    code = blocks(declare(draw, name, said, variants), fill("impl $name {\n    $methods\n}", name=name, methods=blocks(*methods)))
    return Items(code, draw.arguments.sample(cases, min(len(cases), 5)) if wanted != "advance" else cases)


@family(tier=1)
def enum_code(draw: Draw) -> Items:
    name, said, variants = draw_enum(draw)
    kind = draw.choose("u8", "u16", "u32", "i32", "i64")
    start, step = draw.integer(0, 12), draw.choose(1, 2, 3, 5, 10)
    fails = draw.choose("Option", "Result")
    codes = [start + step * i for i in range(len(variants))]
    unknown = codes[-1] + draw.arguments.randint(1, 9) + (step if step > 9 else 0)
    to, of = draw.style(("code", "from_code"), ("id", "from_id"), ("to_number", "from_number"), ("as_" + kind, f"from_{kind}"), ("encode", "decode"))
    path = draw.style("Self", name)
    good, none = ("Some({})", "None") if fails == "Option" else ("Ok({})", 'Err(format!("unknown code {}", code))')
    returned = "Option<Self>" if fails == "Option" else "Result<Self, String>"
    pairs = list(zip(variants, codes, strict=True))
    matched = match_on("code", [*((c, good.format(f"{path}::{v}")) for v, c in pairs), ("_", none)])
    back = draw.style(matched, matched,
                      "\n".join(f"if code == {c} {{\n    return {good.format(f'{path}::{v}')};\n}}" for v, c in pairs) + f"\n{none}")
    forth = match_on("self", [(f"{path}::{v}", c) for v, c in pairs])
    code = blocks(
        declare(draw, name, said, variants),
        fill(
            """
            impl $name {
                /// $first
                pub fn $to(self) -> $kind {
                    $forth
                }

                /// $second
                pub fn $of(code: $kind) -> $returned {
                    $back
                }
            }
            """,
            name=name, to=to, of=of, kind=kind, forth=forth, back=back, returned=returned,
            first=draw.style("Returns the numeric code of this variant.", "Returns the number that is stored for this variant.", f"Encodes the variant: `{variants[0]}` is {codes[0]}, `{variants[1]}` is {codes[1]}, and so on."),
            second=draw.style("Returns the variant with the number `code`, if there is one.", "Converts a number back to its variant; fails for unknown numbers.", "Decodes `code`."),
        ),
    )
    chosen, others = draw.arguments.sample(pairs, 2), draw.arguments.sample(pairs, 2)
    missing = "None" if fails == "Option" else f'Err("unknown code {unknown}".to_string())'
    cases = [Case(f"{name}::{v}.{to}()", str(c)) for v, c in chosen] + [Case(f"{name}::{of}({c})", good.format(f"{name}::{v}")) for v, c in others]
    return Items(code, [*cases, Case(f"{name}::{of}({unknown})", missing)])


@family(tier=3)
def enum_parse(draw: Draw) -> Items:
    name, said, variants = draw_enum(draw)
    exact = draw.choose("lowercase", "any case", "trimmed", "as written")
    fault = draw.choose("String", "unit", "struct")
    path = draw.style("Self", name)
    subject = {"lowercase": "text", "any case": "text.to_lowercase().as_str()", "trimmed": "text.trim()", "as written": "text"}[exact]
    written = [each if exact == "as written" else each.lower() for each in variants]
    failed = f"Parse{name}Error"
    kind, error, wrong = {
        "String": ("String", f'Err(format!("unknown {name.lower()}: {{}}", text))', lambda s: f'Err("unknown {name.lower()}: {s}".to_string())'),
        "unit": ("()", "Err(())", lambda s: "Err(())"),
        "struct": (failed, f"Err({failed}(text.to_string()))", lambda s: f'Err({failed}("{s}".to_string()))'),
    }[fault]
    body = match_on(subject, [*((f'"{w}"', f"Ok({path}::{v})") for w, v in zip(written, variants, strict=True)), ("_", error)])
    extra = f"/// The error for a text that is not the name of any `{name}`, with that text.\n#[derive(Debug, Clone, PartialEq, Eq)]\npub struct {failed}(pub String);" if fault == "struct" else ""
    how = {"lowercase": "in lowercase", "any case": "ignoring case", "trimmed": "in lowercase and possibly surrounded by spaces", "as written": "spelled exactly as in the enum"}[exact]
    code = blocks(
        "use std::str::FromStr;",
        declare(draw, name, said, variants), extra,
        fill(
            """
            impl FromStr for $name {
                type Err = $kind;

                /// $says
                fn from_str(text: &str) -> Result<Self, $error_kind> {
                    $body
                }
            }
            """,
            name=name, kind=kind, body=body, error_kind=draw.style("Self::Err", kind),
            says=draw.style(f"Parses the name of a variant, {how}.", f"Parses a name, {how}.", f"Accepts the name of any variant, {how}."),
        ),
    )
    pairs = list(zip(written, variants, strict=True))
    cases = []
    for word, variant in draw.arguments.sample(pairs, 2):
        text = {"any case": draw.arguments.choice((word.upper(), word, variant)), "trimmed": draw.arguments.choice((word, f" {word}", f"{word}  "))}.get(exact, word)
        cases.append(Case(f'"{text}".parse::<{name}>()', f"Ok({name}::{variant})"))
    odd = draw.arguments.choice(("nothing", "", "x", written[0] + "s", written[-1][1:], variants[0] + "!"))
    cases.append(Case(draw.style(f'"{odd}".parse::<{name}>()', f'{name}::from_str("{odd}")'), wrong(odd)))
    return Items(code, cases)


@family(tier=1)
def band_of_number(draw: Draw) -> FunctionSpec:
    name, variants, what = draw.choose(
        ("Grade", "Fail Pass Good Excellent", "a score"), ("Weather", "Freezing Cold Mild Hot", "a temperature"), ("Load", "Idle Light Busy Overloaded", "a number of requests"),
        ("Category", "Child Teen Adult Senior", "an age"), ("Tide", "Ebb Low High Flood", "a water level"), ("Wind", "Calm Breeze Gale Storm", "a wind speed"),
        ("Risk", "Minor Moderate Severe Extreme", "a rating"), ("Parcel", "Letter Small Medium Bulky", "a weight"), ("League", "Bronze Silver Gold Diamond", "a number of points"),
        ("Stock", "Empty Scarce Enough Plenty", "a number of pieces"), ("Pace", "Stroll Walk Jog Sprint", "a speed"), ("Bill", "Tiny Modest Large Huge", "an amount"),
    )
    kind = draw.choose("u32", "i32", "u64", "i64")
    first, gap, other = draw.integer(0, 8), draw.integer(2, 9), draw.integer(2, 15)
    cuts = [first, first + gap, first + gap + other]
    optional = draw.choose(True, False)
    bands = variants.split()
    if not optional and cuts[0] == 0 and kind[0] == "u":
        raise Undefined
    top = cuts[-1] + draw.integer(4, 20)

    def wrapped(band: str) -> str:
        return f"Some({name}::{band})" if optional else f"{name}::{band}"

    def oracle(n: int) -> Raw | None:
        if optional and (n < 0 or n > top):
            return None
        return Raw(wrapped(bands[sum(n >= cut for cut in cuts)]))

    a, b, c = cuts
    low = [wrapped(each) for each in bands]
    if optional:
        start = [(f"0..={a - 1}", low[0])] if a > 0 else []
        ranged = match_on("n", [*start, (f"{a}..={b - 1}", low[1]), (f"{b}..={c - 1}", low[2]), (f"{c}..={top}", low[3]), ("_", "None")])
        guard = f"if n > {top} {{\n    return None;\n}}" if kind[0] == "u" else f"if n < 0 || n > {top} {{\n    return None;\n}}"
        lower = f"if n < {a} {{\n    {low[0]}\n}} else if" if a > 0 else "if"
        chained = f"{guard}\n{lower} n < {b} {{\n    {low[1]}\n}} else if n < {c} {{\n    {low[2]}\n}} else {{\n    {low[3]}\n}}"
        limits = f"Numbers below 0 or above {top} give `None`" if kind[0] == "i" else f"Numbers above {top} give `None`"
    else:
        ranged = match_on("n", [(f"n if n < {a}", low[0]), (f"{a}..={b - 1}", low[1]), (f"{b}..={c - 1}", low[2]), ("_", low[3])])
        chained = f"if n >= {c} {{\n    {low[3]}\n}} else if n >= {b} {{\n    {low[2]}\n}} else if n >= {a} {{\n    {low[1]}\n}} else {{\n    {low[0]}\n}}"
        limits = "Every number has a class"
    bounds = f"`{bands[1]}` from {a}, `{bands[2]}` from {b} and `{bands[3]}` from {c}"
    return FunctionSpec(
        name=draw.style("classify", f"{name.lower()}_of", f"{name.lower()}_for", "band", "categorize"), parameters={"n": kind}, returns=f"Option<{name}>" if optional else name,
        words=[f"Classifies {what}: {bounds}, and `{bands[0]}` below that. {limits}.", f"Returns the `{name}` for {what} `n`: {bounds}; anything lower is `{bands[0]}`. {limits}."],
        forms=[ranged, chained, ranged], oracle=oracle, context=declare(draw, name, f"the class of {what}", bands),
        inputs=lambda: (draw.arguments.choice((0, a, b, c, top, top + 1, draw.arguments.randint(0, top + 5), draw.arguments.randint(-5 if kind[0] == "i" else 0, c))),),
    )


EFFECTS = (
    ("Transaction", "balance", "Deposit Withdrawal Interest Fee"), ("Move", "position", "Forward Backward Leap Rest"), ("Event", "score", "Goal Foul Bonus Whistle"),
    ("Change", "stock", "Delivery Sale Restock Loss"), ("Tick", "water_level", "Rain Drain Shower Evaporation"), ("Action", "energy", "Eat Run Feast Breathe"),
    ("Step", "altitude", "Climb Descend Flight Drop"), ("Entry", "ledger", "Credit Debit Series Tax"), ("Hit", "health", "Heal Damage Potion Poison"),
    ("Edit", "length", "Insert Delete Repeat Truncate"), ("Trip", "passengers", "Board Leave Group Driver"), ("Turn", "angle", "Left Right Spin Nudge"),
)


@family(tier=2)
def enum_total(draw: Draw) -> FunctionSpec:
    name, figure, variants = draw.choose(*EFFECTS)
    gain, loss, several, fixed = variants.split()
    kind = draw.choose("i32", "i64")
    amount, start = draw.integer(1, 9), draw.choose(0, 0, 10, 25, 100)
    floored = draw.choose(True, False)
    effects: dict[str, Callable[..., int]] = {gain: lambda a: a, loss: lambda a: -a, several: lambda a, b: a * b, fixed: lambda: -amount}

    def one() -> EnumValue:
        picked = draw.arguments.choice((gain, gain, loss, several, fixed))
        values = tuple(draw.arguments.randint(0, 12) for _ in range({several: 2, fixed: 0}.get(picked, 1)))
        return EnumValue(f"{name}::{picked}" + (f"({', '.join(map(str, values))})" if values else ""), picked, values)

    def oracle(values: Sequence[EnumValue]) -> int:
        total = start
        for each in values:
            total += effects[each.name](*each.values)
            total = max(total, 0) if floored else total
        return total

    star = draw.style("*", "")
    arms = [(f"{name}::{gain}(value)", f"{star}value"), (f"{name}::{loss}(value)", f"-{star}value"), (f"{name}::{several}(count, value)", f"{star}count * {star}value"), (f"{name}::{fixed}", f"-{amount}")]
    chosen = match_on("each" if star else "*each", arms)
    stepped = match_on("each", [(arms[0][0], "total += value"), (arms[1][0], "total -= value"), (arms[2][0], "total += count * value"), (arms[3][0], f"total -= {amount}")])
    floor = "\ntotal = total.max(0);" if floored else ""
    loop = fill("let mut total = $start;\nfor each in values {\n    $stepped\n    $floor\n}\ntotal", start=start, stepped=stepped, floor=floor)
    folded = fill("values.iter().fold($start, |total, each| {\n    let change = $chosen;\n    $after\n})", start=start, chosen=chosen, after="(total + change).max(0)" if floored else "total + change")
    figured = "number of passengers" if figure == "passengers" else figure.replace("_", " ")
    begin = f" The {figured} starts at {start}."
    stop = " Whenever it would become negative, it is set to 0 instead." if floored else ""
    context = declare(draw, name, f"something that changes the {figured}", [f"{gain}({kind})", f"{loss}({kind})", f"{several}({kind}, {kind})", fixed])
    said = f"`{gain}` adds its number, `{loss}` subtracts its number, `{several}` adds the product of its two numbers, and `{fixed}` subtracts {amount}"
    return FunctionSpec(
        name=draw.style(f"final_{figure}", figure, f"{figure}_after", "apply_all", "replay"), parameters={"values": f"&[{name}]"}, returns=kind,
        words=[f"Returns the {figured} after applying all of `values` in order: {said}.{begin}{stop}", f"Applies all `values` in order and returns the final {figured}: {said}.{begin}{stop}"],
        forms=[loop, folded, *([] if floored else [fill("let change: $kind = values\n    .iter()\n    .map(|each| $chosen)\n    .sum();\n$added", kind=kind, chosen=chosen, added=f"{start} + change" if start else "change")])],
        oracle=oracle, inputs=lambda: ([one() for _ in range(draw.arguments.randint(0, 5))],), context=context,
    )


@family(tier=3)
def expression_tree(draw: Draw) -> Items:
    name = draw.style("Expr", "Expression", "Node", "Formula", "Tree", "Ast")
    leaf = draw.style("Number", "Literal", "Const", "Value", "Leaf", "Num")
    kind = draw.choose("i32", "i64")
    chosen = sorted(draw.choose(("Add", "Mul"), ("Add", "Sub"), ("Add", "Sub", "Mul"), ("Mul", "Sub"), ("Add", "Max"), ("Max", "Min"), ("Add", "Div"), ("Mul", "Div", "Sub"), ("Add", "Mul", "Min"), ("Add", "Rem")))
    unary = draw.choose("Neg", "Square", "Abs", "Double", None)
    variable = draw.choose(True, False)
    extra = draw.choose("depth", "leaves", "operations", None)
    partial = bool({"Div", "Rem"} & set(chosen))
    rust = {"Add": "{} + {}", "Sub": "{} - {}", "Mul": "{} * {}", "Max": "{}.max({})", "Min": "{}.min({})", "Div": "{}.checked_div({})?", "Rem": "{}.checked_rem({})?"}
    single = {"Neg": "-{}", "Square": "{0} * {0}", "Abs": "{}.abs()", "Double": "2 * {}"}
    evaluate = draw.style("eval", "evaluate", "value", "compute")
    argument, passed = (f"x: {kind}", "x") if variable else ("", "")
    mark = "?" if partial else ""
    path = draw.style("Self", name)
    a, b = f"left.{evaluate}({passed}){mark}", f"right.{evaluate}({passed}){mark}"
    arms = [(f"{path}::{leaf}(value)", "*value")]
    arms += [(f"{path}::X", "x")] if variable else []
    arms += [(f"{path}::{each}(left, right)", rust[each].format(a, b)) for each in chosen]
    if unary:
        inner = f"inner.{evaluate}({passed}){mark}"
        arms.append((f"{path}::{unary}(inner)", f"inner.{evaluate}({passed}){mark}.pow(2)" if unary == "Square" else single[unary].format(inner)))
    figures = {"depth": ("1", "1 + left.{m}().max(right.{m}())", "1 + inner.{m}()"), "leaves": ("1", "left.{m}() + right.{m}()", "inner.{m}()"), "operations": ("0", "1 + left.{m}() + right.{m}()", "1 + inner.{m}()")}
    body = match_on("self", arms)
    body = f"let result = {body};\nSome(result)" if partial else body
    methods = [fill("/// $what\npub fn $evaluate(&self$argument) -> $returns {\n    $body\n}", evaluate=evaluate, argument=f", {argument}" if variable else "", returns=f"Option<{kind}>" if partial else kind, body=body,
                    what=draw.style("Computes the value", "Returns the value of the expression", "Evaluates the expression recursively") + (" for `x`" if variable else "") + (", or `None` in case of a division by zero." if partial else "."))]
    if extra:
        zero, two, under = (each.format(m=extra) for each in figures[extra])
        pairs = " | ".join(f"{path}::{each}(left, right)" for each in chosen)
        rows = [(f"{path}::{leaf}(_)" + (f" | {path}::X" if variable else ""), zero), (pairs, two), *([(f"{path}::{unary}(inner)", under)] if unary else [])]
        says = {"depth": "Returns the number of levels of the tree.", "leaves": "Counts the leaves.", "operations": "Returns the number of operations."}[extra]
        methods.append(fill("/// $says\npub fn $extra(&self) -> usize {\n    $body\n}", says=says, extra=extra, body=match_on("self", rows)))
    variants = [f"{leaf}({kind})", *(["X"] if variable else []), *(f"{each}(Box<{name}>, Box<{name}>)" for each in chosen), *([f"{unary}(Box<{name}>)"] if unary else [])]
    code = blocks(declare(draw, name, draw.style("an arithmetic expression", "a tree of operations on integers", "an expression of numbers"), variants, copies=False), fill("impl $name {\n    $methods\n}", name=name, methods=blocks(*methods)))
    compute: dict[str, Callable[..., int | None]] = {"Add": lambda p, q: p + q, "Sub": lambda p, q: p - q, "Mul": lambda p, q: p * q, "Max": max, "Min": min, "Div": lambda p, q: quotient(p, q) if q else None, "Rem": lambda p, q: p - q * quotient(p, q) if q else None,
               "Neg": lambda p: -p, "Square": lambda p: p * p, "Abs": abs, "Double": lambda p: 2 * p}
    x = draw.arguments.randint(2, 9)

    def grow(levels: int) -> tuple[str, int | None, int, int, int]:
        """Return an expression as Rust code, with its value, depth, and numbers of leaves and operations."""
        if not levels:
            if variable and draw.arguments.random() < 0.4:
                return f"{name}::X", x, 1, 1, 0
            number = draw.arguments.randint(0, 9)
            return f"{name}::{leaf}({number})", number, 1, 1, 0
        operation = draw.arguments.choice((*chosen, unary) if unary else chosen)
        under = [grow(draw.arguments.randint(0, levels - 1)) for _ in range(1 if operation == unary else 2)]
        value = None if any(each[1] is None for each in under) else compute[operation](*(each[1] for each in under))
        written = f"{name}::{operation}({', '.join(f'Box::new({each[0]})' for each in under)})"
        return written, value, 1 + max(each[2] for each in under), sum(each[3] for each in under), 1 + sum(each[4] for each in under)

    cases = []
    for levels in (1, 1, 2, 2):
        tree = grow(levels)
        call = f"tree.{evaluate}({x if variable else ''})"
        expected = literal(tree[1], f"Option<{kind}>" if partial else kind)
        if extra:
            call, expected = f"({call}, tree.{extra}())", f"({expected}, {tree[2 + ('depth', 'leaves', 'operations').index(extra)]})"
        cases.append(Case(call, expected, f"let tree = {tree[0]};"))
    return Items(code, cases)


@family(tier=1)
def ordered_enum(draw: Draw) -> Items:
    name, said, ranks = draw.choose(
        ("Priority", "the urgency of a ticket", "Low Normal High Urgent"), ("Severity", "the severity of a finding", "Note Warning Error Fatal"), ("Role", "the role of a user", "Guest Member Editor Owner"),
        ("Quality", "the quality of a part", "Scrap Usable Good Perfect"), ("Rarity", "the rarity of an item", "Common Uncommon Rare Legendary"), ("Heat", "the heat of a sauce", "Mild Medium Hot Extreme"),
        ("Class", "the class of a ticket", "Economy Premium Business First"), ("Alert", "the alarm level of a plant", "Green Yellow Orange Red"), ("Hand", "a hand of cards", "Pair Straight Flush Poker"),
    )
    variants = ranks.split()
    least, fallback = draw.choose(*variants[1:]), draw.choose(*variants[:2])
    method, wanted = draw.style("is_serious", "qualifies", "counts", "passes"), draw.choose("highest", "lowest", "count")
    function = {"highest": draw.style("highest", "top", "maximum"), "lowest": draw.style("lowest", "weakest", "minimum"), "count": draw.style("count_at_least", "how_many", "tally")}[wanted]
    test = draw.style(f"self >= {name}::{least}", f"self >= Self::{least}", match_on("self", [(" | ".join(f"{name}::{each}" for each in variants[variants.index(least):]), "true"), ("_", "false")]))
    if wanted == "count":
        signature, says = f"{function}(levels: &[{name}], least: {name}) -> usize", draw.style("Counts the `levels` that are not below `least`.", "Returns how many of the `levels` are at least `least`.")
        body = draw.style("levels.iter().filter(|level| **level >= least).count()", "let mut count = 0;\nfor level in levels {\n    if *level >= least {\n        count += 1;\n    }\n}\ncount")
    else:
        pick, sign = ("max", ">") if wanted == "highest" else ("min", "<")
        signature, says = f"{function}(levels: &[{name}]) -> {name}", draw.style(f"Returns the {wanted} of the `levels`, or `{fallback}` if there are none.", f"Returns the {wanted} level, or `{fallback}` for an empty slice.")
        loop = f"let mut best = first;\nfor level in rest {{\n    if level {sign} best {{\n        best = level;\n    }}\n}}\n*best"
        body = draw.style(f"levels.iter().copied().{pick}().unwrap_or({name}::{fallback})", f"match levels.split_first() {{\n    None => {name}::{fallback},\n    Some((first, rest)) => {{\n{textwrap.indent(loop, ' ' * 8)}\n    }}\n}}")
    inner = fill("impl $name {\n    /// $says\n    pub fn $method(self) -> bool {\n        $test\n    }\n}", name=name, method=method, test=test, says=draw.style(f"Returns `true` if this is `{least}` or higher.", f"Checks whether this is at least `{least}`."))
    code = blocks(declare(draw, name, said + draw.style(", from lowest to highest", ", in ascending order", ""), variants, ", PartialOrd, Ord"), inner, fill("/// $says\npub fn $signature {\n    $body\n}", says=says, signature=signature, body=body))
    cases = [Case(f"{name}::{each}.{method}()", str(variants.index(each) >= variants.index(least)).lower()) for each in draw.arguments.sample(variants, 3)]
    for length in (0, 2, 4):
        levels = [draw.arguments.choice(variants) for _ in range(length)]
        order = sorted(levels, key=variants.index)
        passed = f"&[{', '.join(f'{name}::{each}' for each in levels)}]"
        if wanted == "count":
            bound = draw.arguments.choice(variants)
            cases.append(Case(f"{function}({passed}, {name}::{bound})", str(sum(variants.index(each) >= variants.index(bound) for each in levels))))
        else:
            cases.append(Case(f"{function}({passed})", f"{name}::{order[-1 if wanted == 'highest' else 0] if order else fallback}"))
    return Items(code, cases)


@family(tier=1)
def enum_worth(draw: Draw) -> FunctionSpec:
    name, figure, variants = draw.choose(
        ("Coin", "cents", "Penny Nickel Dime Quarter"), ("Fruit", "calories", "Apple Banana Cherry Date"), ("Piece", "points", "Pawn Knight Rook Queen"), ("Brick", "studs", "Tile Plate Block Beam"), ("Task", "minutes", "Email Call Review Report"),
        ("Vehicle", "wheels", "Bicycle Car Truck Tricycle"), ("Tool", "grams", "Hammer Saw Drill Wrench"), ("Spell", "mana", "Spark Frost Flame Storm"), ("Drink", "price", "Water Tea Coffee Juice"), ("Building", "upkeep", "Hut Farm Tower Castle"),
    )
    names, kind = variants.split(), draw.choose("u32", "u64", "i32", "i64")
    worth = {each: draw.integer(1, 30) for each in names}
    wanted = draw.choose("all", "all", "most", "lookup")
    worth_of = match_on("each", [(f"{name}::{each}", value) for each, value in worth.items()])
    said = ", ".join(f"`{each}` = {value}" for each, value in worth.items())
    amount = figure if figure in ("price", "upkeep", "mana") else f"number of {figure}"
    context = declare(draw, name, f"a kind of {name.lower()}", names)
    if wanted == "lookup":
        chain = "".join(f'if word == "{each.lower()}" {{\n    return Some({value});\n}}\n' for each, value in worth.items())
        return FunctionSpec(
            name=draw.style(f"{figure}_by_name", f"find_{figure}", f"lookup_{figure}"), parameters={"word": "&str"}, returns=f"Option<{kind}>",
            words=[f"Returns the {amount} of the {name.lower()} whose lowercase name is `word`, or `None` if there is no such {name.lower()}: {said}.", f"Looks up the {amount} for a name that is given in lowercase: {said}. Any other name gives `None`."],
            forms=[match_on("word", [*((f'"{each.lower()}"', f"Some({value})") for each, value in worth.items()), ("_", "None")]), chain + "None"],
            oracle=lambda word: worth.get(word.capitalize()) if word.islower() else None, inputs=lambda: (draw.arguments.choice((*(each.lower() for each in names), names[0], "", "stone", names[1].lower() + "s")),),
        )
    summed = wanted == "all"
    loop = f"let mut total = 0;\nfor each in values {{\n    {'total += ' if summed else 'let worth = '}{textwrap.indent(worth_of, '    ').lstrip()};\n{'' if summed else '    total = total.max(worth);' + chr(10)}}}\ntotal"
    mapped = fill("values\n    .iter()\n    .map(|each| $worth)\n    .$end", worth=worth_of, end="sum()" if summed else "max()\n.unwrap_or(0)")
    return FunctionSpec(
        name=draw.style(f"total_{figure}", f"sum_{figure}", f"all_{figure}") if summed else draw.style(f"most_{figure}", f"largest_{figure}", f"max_{figure}"), parameters={"values": f"&[{name}]"}, returns=kind,
        words=[f"Adds up the {amount} of all `values`: {said}." if summed else f"Returns the largest {amount} among `values`, or 0 if there are none: {said}.", f"Computes the {'total' if summed else 'largest'} {amount} of {'all `values`' if summed else 'any of the `values`, or 0 if the slice is empty'}: {said}."],
        forms=[loop, mapped], oracle=lambda values: (sum if summed else lambda all_: max(all_, default=0))([worth[each.name] for each in values]), context=context,
        inputs=lambda: ([EnumValue(f"{name}::{each}", each, ()) for each in (draw.arguments.choice(names) for _ in range(draw.arguments.randint(0, 5)))],),
    )
