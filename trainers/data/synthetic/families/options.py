"""Functions that return `Option` or `Result`."""

from typing import Any

from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.literals import BITS, INTEGERS, SIGNED, Err, Ok
from trainers.data.synthetic.pieces import quotient, remainder

OPERATIONS = {
    "add": ("+", lambda a, b: a + b), "sub": ("-", lambda a, b: a - b), "mul": ("*", lambda a, b: a * b),
    "div": ("/", quotient), "rem": ("%", remainder),
}


def fits(value: int, kind: str) -> bool:
    bits = BITS[kind]
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1) if kind[0] == "i" else 0 <= value < 1 << bits


def negation(condition: str) -> str:
    if " " in condition:
        return f"!({condition})"
    return condition[1:] if condition.startswith("!") else f"!{condition}"


@family(tier=1)
def checked_formula(draw: Draw) -> FunctionSpec:
    kind = draw.choose("u8", "i8", "u16", "i16", "i32", "u32", "i64", "u64")
    first, second = draw.choose("add", "sub", "mul", "div", "rem"), draw.choose("add", "sub", "mul")
    by, fallback = draw.integer(2, 9), draw.choose(None, None, "zero", "max")
    (sign, compute), (then, combine) = OPERATIONS[first], OPERATIONS[second]
    steps = f"a.checked_{first}(b)", f"checked_{second}({by})"
    formula = f"(`a` {sign} `b`) {then} {by}"
    end = {"zero": ".unwrap_or(0)", "max": f".unwrap_or({kind}::MAX)"}.get(fallback, "")
    otherwise = {"zero": "0", "max": f"{kind}::MAX"}.get(fallback, "None")

    def oracle(a: int, b: int) -> int | None:
        missing = {"zero": 0, "max": (1 << (BITS[kind] - (kind[0] == "i"))) - 1}.get(fallback)
        if first in ("div", "rem") and (b == 0 or not fits(quotient(a, b), kind)):
            return missing
        middle = compute(a, b)
        result = combine(middle, by)
        return result if fits(middle, kind) and fits(result, kind) else missing

    def number() -> int:
        pick, bits = draw.arguments, BITS[kind]
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)
        return pick.choice((0, 1, pick.randint(0, 12), pick.randint(0, 12), pick.randint(low, high), high - pick.randint(0, 9)))

    forms = [f"{steps[0]}.and_then(|result| result.{steps[1]}){end}",
             f"match {steps[0]} {{\n    Some(result) => result.{steps[1]}{end},\n    None => {otherwise},\n}}",
             f"let Some(result) = {steps[0]} else {{\n    return {otherwise};\n}};\nresult.{steps[1]}{end}"]
    if not fallback:
        forms += [f"{steps[0]}?.{steps[1]}", f"let result = {steps[0]}?;\nlet result = result.{steps[1]}?;\nSome(result)"]
    said = f"`{otherwise}`" if fallback != "zero" else "0"
    zero = " or `b` is zero" if first in ("div", "rem") else ""
    return FunctionSpec(
        name=draw.style("checked_formula", "try_compute", f"checked_{first}_{second}", "safe_compute", "compute"), parameters={"a": kind, "b": kind},
        returns=kind if fallback else f"Option<{kind}>", forms=forms, oracle=oracle, inputs=lambda: (number(), number()),
        words=[f"Computes {formula}. Returns {said} if an intermediate or final result does not fit into `{kind}`{zero}.", f"Returns {formula}, or {said} if any step overflows{zero and ' or divides by zero'}."],
    )


@family(tier=1)
def matching_element(draw: Draw) -> FunctionSpec:
    kind, which, result = draw.choose(*INTEGERS), draw.choose("first", "last", "second"), draw.choose("value", "mapped", "index", "pair")
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    condition = keep.on("value")
    returns = {"index": "usize", "pair": f"(usize, {kind})"}.get(result, kind)
    given = {"value": "value", "mapped": mapping.on("value"), "index": "index", "pair": "(index, value)"}[result]
    told = {"value": "the {} element", "mapped": "the {} element", "index": "the index of the {} element", "pair": "the index and the value of the {} element"}[result].format(which)

    then = f" The element found is then {mapping.participle}." if result == "mapped" else ""

    def oracle(values: list[int]) -> object:
        found = [(index, value) for index, value in enumerate(values) if keep(value)][{"first": slice(0, 1), "last": slice(-1, None), "second": slice(1, 2)}[which]]
        return {"value": found[0][1], "mapped": mapping(found[0][1]), "index": found[0][0], "pair": found[0]}[result] if found else None

    indexed = result in ("index", "pair")
    source = ["values", "    .iter()", "    .copied()", *(["    .enumerate()"] if indexed else []), *(["    .rev()"] if which == "last" else [])]
    bound = "(index, value)" if result == "pair" else "(index, _)"
    take = {"second": "nth(1)"}.get(which, "next()")
    chain = [*source, f"    .filter(|&{'(_, value)' if indexed else 'value'}| {condition})", f"    .{take}"]
    chain += {"mapped": [f"    .map(|value| {given})"], "index": [f"    .map(|{bound}| index)"]}.get(result, [])
    header = "for (index, &value) in values.iter().enumerate()" if indexed else "for &value in values"
    if which == "last":
        loops = [f"let mut result = None;\n{header} {{\n    if {condition} {{\n        result = Some({given});\n    }}\n}}\nresult",
                 f"{header}.rev() {{\n    if {condition} {{\n        return Some({given});\n    }}\n}}\nNone".replace("in values.rev", "in values.iter().rev")]
    elif which == "first":
        loops = [f"{header} {{\n    if {condition} {{\n        return Some({given});\n    }}\n}}\nNone",
                 f"{header} {{\n    if {negation(condition)} {{\n        continue;\n    }}\n    return Some({given});\n}}\nNone"]
    else:
        loops = [f"let mut met = false;\n{header} {{\n    if {condition} {{\n        if met {{\n            return Some({given});\n        }}\n        met = true;\n    }}\n}}\nNone",
                 f"let mut count = 0;\n{header} {{\n    if {condition} {{\n        count += 1;\n    }}\n    if count == 2 {{\n        return Some({given});\n    }}\n}}\nNone"]
    return FunctionSpec(
        name=draw.style(f"{which}_{keep.slug}", f"find_{which}", f"{which}_match", "search"), parameters={"values": f"&[{kind}]"}, returns=f"Option<{returns}>",
        forms=["\n".join(chain).replace(".filter(", ".find(").replace("\n    .next()", "") if which != "second" else "\n".join(chain), *loops], oracle=oracle,
        words=[f"Returns {told} that {keep.clause}, or `None` if there is none.{then}", f"Searches `values` for {told} that {keep.clause}. Returns `None` if there is no such element.{then}", f"Returns {told.replace('element', 'one')} of the {keep.plural} in `values`, or `None` if there are too few.{then}"],
    )


@family(tier=1)
def combined_options(draw: Draw) -> FunctionSpec:
    kind, operation, single = draw.choose("i32", "i64", "u32", "u64"), draw.choose("sum", "product", "max", "min", "pair"), draw.choose("none", "that", "default", "mapped")
    mapping, default = draw.integer_mapping(kind), draw.integer(1, 20)
    single = "none" if operation == "pair" and single in ("that", "mapped") else single
    both, compute = {"sum": ("a + b", lambda a, b: a + b), "product": ("a * b", lambda a, b: a * b), "max": ("a.max(b)", max), "min": ("a.min(b)", min), "pair": ("(a, b)", lambda a, b: (a, b))}[operation]
    alone = {"that": "Some(value)", "mapped": f"Some({mapping.on('value')})"}.get(single, "")
    told = {"sum": "the sum", "product": "the product", "max": "the larger one", "min": "the smaller one", "pair": "the pair"}[operation]

    def oracle(a: int | None, b: int | None) -> object:
        if single == "default":
            return compute(default if a is None else a, default if b is None else b)
        if a is not None and b is not None:
            return compute(a, b)
        value = a if b is None else b
        return None if single == "none" or value is None else mapping(value) if single == "mapped" else value

    if single == "default":
        forms = [f"let a = a.unwrap_or({default});\nlet b = b.unwrap_or({default});\n{both}", f"let (a, b) = (a.unwrap_or({default}), b.unwrap_or({default}));\n{both}",
                 f"let a = match a {{\n    Some(value) => value,\n    None => {default},\n}};\nlet b = match b {{\n    Some(value) => value,\n    None => {default},\n}};\n{both}"]
    elif single == "none":
        forms = [f"let a = a?;\nlet b = b?;\nSome({both})", f"match (a, b) {{\n    (Some(a), Some(b)) => Some({both}),\n    _ => None,\n}}", f"a.zip(b).map(|(a, b)| {both})",
                 f"a.and_then(|a| b.map(|b| {both}))", f"if let (Some(a), Some(b)) = (a, b) {{\n    Some({both})\n}} else {{\n    None\n}}"]
    else:
        forms = [f"match (a, b) {{\n    (Some(a), Some(b)) => Some({both}),\n    (Some(value), None) | (None, Some(value)) => {alone},\n    (None, None) => None,\n}}",
                 f"if let (Some(a), Some(b)) = (a, b) {{\n    return Some({both});\n}}\nlet value = a.or(b)?;\n{alone}", f"if let Some((a, b)) = a.zip(b) {{\n    Some({both})\n}} else {{\n    a.or(b).map(|value| {alone[5:-1]})\n}}"]
    combined = {"sum": "their sum", "product": "their product", "max": "the larger one", "min": "the smaller one", "pair": "a pair"}[operation]
    said = {"none": "Returns `None` unless both are present", "that": "If only one of them is present, returns its value", "default": f"A missing number is replaced by {default}", "mapped": f"If only one of them is present, returns its value {mapping.participle}"}[single] + (", and `None` if both are missing" if single in ("that", "mapped") else "")
    inner = f"({kind}, {kind})" if operation == "pair" else kind

    def option():
        return draw.arguments.choice((None, draw.arguments.randint(-9 if kind in SIGNED else 0, 40), draw.arguments.randint(0, 40)))

    return FunctionSpec(
        name=draw.style("combine", f"{operation}_options", "merge_options", f"optional_{operation}", "join"), parameters={"a": f"Option<{kind}>", "b": f"Option<{kind}>"},
        returns=inner if single == "default" else f"Option<{inner}>", forms=forms, oracle=oracle, inputs=lambda: (option(), option()),
        words=[f"Returns {told} of the numbers in `a` and `b`. {said}.", f"Combines two optional numbers into {combined}. {said}."],
    )


@family(tier=2)
def option_chain(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    source, end, order = draw.choose("option", "last", "max", "get"), draw.choose("option", "default", "error", "text"), draw.choose("filter first", "map first")
    fallback = draw.integer(0, 20)
    parameters, begin, take, said = {
        "option": ({"value": f"Option<{kind}>"}, "value", lambda value: value, "the given number"),
        "last": ({"values": f"&[{kind}]"}, "values.last().copied()", lambda values: values[-1] if values else None, "the last element"),
        "max": ({"values": f"&[{kind}]"}, "values.iter().copied().max()", lambda values: max(values, default=None), "the largest element"),
        "get": ({"values": f"&[{kind}]", "index": "usize"}, "values.get(index).copied()", lambda values, index: values[index] if index < len(values) else None, "the element at `index`"),
    }[source]
    filter_first = order == "filter first"
    steps = [f"    .filter(|&n| {keep.on('n')})", f"    .map(|n| {mapping.on('n')})"]
    last = {"option": [], "default": [f"    .unwrap_or({fallback})"], "error": [f'    .ok_or("nothing {fallback}")'], "text": ["    .map(|n| n.to_string())", "    .unwrap_or_default()"]}[end]
    returns = {"option": f"Option<{kind}>", "default": kind, "error": f"Result<{kind}, &'static str>", "text": "String"}[end]
    none = {"option": "None", "default": str(fallback), "error": f'Err("nothing {fallback}")', "text": "String::new()"}[end]
    wrap = {"option": "Some({})", "default": "{}", "error": "Ok({})", "text": "{}.to_string()"}[end]
    mapped = mapping.on("n")

    def oracle(*arguments: object) -> object:
        n = take(*arguments)
        if n is not None:
            n = (mapping(n) if keep(n) else None) if filter_first else (mapping(n) if keep(mapping(n)) else None)
        if n is None:
            return {"option": None, "default": fallback, "error": Err(f"nothing {fallback}"), "text": ""}[end]
        return {"option": n, "default": n, "error": Ok(n), "text": str(n)}[end]

    if filter_first:
        final = wrap.format(f"({mapped})" if end == "text" else mapped)
        forms = [f"match {begin} {{\n    Some(n) if {keep.on('n')} => {final},\n    _ => {none},\n}}", f"let Some(n) = {begin} else {{\n    return {none};\n}};\nif {keep.on('n')} {{\n    {final}\n}} else {{\n    {none}\n}}"]
    else:
        forms = [f"if let Some(n) = {begin} {{\n    let n = {mapped};\n    if {keep.on('n')} {{\n        return {wrap.format('n')};\n    }}\n}}\n{none}"]
    chain = "\n".join([begin.replace(".", "\n    ."), *(steps if filter_first else steps[::-1]), *last])
    missing = {"option": "`None`", "default": str(fallback), "error": f'the error "nothing {fallback}"', "text": "an empty text"}[end]
    text = " (as decimal text)" if end == "text" else ""
    which = f"{said} {mapping.participle}{text}, if {'the original number' if filter_first else 'the result'} {keep.clause}"
    return FunctionSpec(
        name=draw.style("pick", "resolve", "process", "evaluate", "derive_value"), parameters=parameters, returns=returns, forms=[chain, *forms], oracle=oracle,
        inputs=(lambda: (draw.value(f"[{kind}]"), draw.arguments.randint(0, 5))) if source == "get" else None,
        words=[f"Returns {which}. Otherwise, or if there is no number, returns {missing}.", f"Computes {which}. In all other cases, including a missing number, the result is {missing}."],
    )


@family(tier=1)
def safe_division(draw: Draw) -> FunctionSpec:
    kind, rounding, failure = draw.choose("i32", "i64", "u32", "u64"), draw.choose("down", "up", "exact", "both", "percent"), draw.choose("option", "error", "text", "fallback")
    mapping, shift = draw.integer_mapping(kind), draw.choose(True, False)
    what = draw.choose("share", "rate", "ratio", "average", "speed")
    rounding = "down" if rounding == "up" and kind[0] == "i" else rounding
    divisor = mapping.on("b") if shift else "b"
    rust, compute, told = {
        "down": ("a / divisor", quotient, "`a` divided by {} and rounded toward zero"), "up": ("a.div_ceil(divisor)", lambda a, b: -(-a // b), "`a` divided by {} and rounded up"),
        "exact": ("a / divisor", quotient, "`a` divided by {}, which must leave no remainder"), "both": ("(a / divisor, a % divisor)", lambda a, b: (quotient(a, b), remainder(a, b)), "the quotient and the remainder of `a` divided by {}"),
        "percent": ("a * 100 / divisor", lambda a, b: quotient(a * 100, b), "`a` as a percentage of {}, rounded toward zero"),
    }[rounding]
    inner = f"({kind}, {kind})" if rounding == "both" else kind
    default = ("(0, 0)", (0, 0)) if rounding == "both" else ("0", 0)
    message = f"no {what}"
    returns, bad, wrap, value = {"option": (f"Option<{inner}>", "None", "Some({})", None), "error": (f"Result<{inner}, &'static str>", f'Err("{message}")', "Ok({})", Err(message)),
                                 "text": (f"Result<{inner}, String>", 'Err(format!("{message} of {}", a))'.replace("{message}", message), "Ok({})", None), "fallback": (inner, default[0], "{}", default[1])}[failure]
    condition = "divisor == 0 || a % divisor != 0" if rounding == "exact" else "divisor == 0"

    def oracle(a: int, b: int) -> object:
        by = mapping(b) if shift else b
        if by == 0 or rounding == "exact" and a % by:
            return Err(f"{message} of {a}") if failure == "text" else value
        return Ok(compute(a, by)) if failure in ("error", "text") else compute(a, by)

    good = wrap.format(rust)
    forms = [f"let divisor = {divisor};\nif {condition} {{\n    {bad}\n}} else {{\n    {good}\n}}", f"let divisor = {divisor};\nif {condition} {{\n    return {bad};\n}}\n{good}"]
    if rounding == "exact":
        forms += [f"match {divisor} {{\n    0 => {bad},\n    divisor if a % divisor != 0 => {bad},\n    divisor => {good},\n}}"]
    else:
        forms += [f"match {divisor} {{\n    0 => {bad},\n    divisor => {good},\n}}"]
    by = f"the divisor (`b` {mapping.participle})" if shift else "`b`"
    cause = " or the division leaves a remainder" if rounding == "exact" else ""
    else_words = {"option": "`None`", "error": f'the error "{message}"', "text": f'the error "{message} of .." with the value of `a`', "fallback": default[0]}[failure]

    def small():
        return draw.arguments.choice((0, 1, draw.arguments.randint(0, 12), draw.arguments.randint(0, 60), draw.arguments.randint(-20 if kind[0] == "i" else 2, 30)))

    return FunctionSpec(
        name=draw.style(what, f"safe_{what}", f"{what}_of", f"try_{what}", "divide"), parameters={"a": kind, "b": kind}, returns=returns, forms=forms, oracle=oracle, inputs=lambda: (small() * draw.arguments.randint(1, 6), small()),
        words=[f"Returns {told.format(by)}. Returns {else_words} instead if the divisor is zero{cause}.", f"Computes {told.format(by)}. If the divisor is zero{cause}, the result is {else_words}."],
    )


@family(tier=2)
def extreme_where(draw: Draw) -> FunctionSpec:
    kind, wanted, by = draw.choose(*INTEGERS), draw.choose("largest", "smallest"), draw.choose("value", "key", "index", "range")
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    condition, key, sign = keep.on("value"), mapping.on("value"), {"largest": ">", "smallest": "<"}[wanted]
    method = {"largest": "max", "smallest": "min"}[wanted]

    def oracle(values: list[int]) -> object:
        kept = [(v, i) for i, v in enumerate(values) if keep(v)]
        best = max if wanted == "largest" else min
        if not kept:
            return None
        if by == "range":
            return min(v for v, _ in kept), max(v for v, _ in kept)
        return {"value": best(kept)[0], "key": best(kept, key=lambda pair: mapping(pair[0]))[0], "index": best(kept, key=lambda pair: pair[0])[1]}[by]

    start = f"let mut best: Option<{kind}> = None;\nfor &value in values {{\n    if {negation(condition)} {{\n        continue;\n    }}\n"
    kept = f"values\n    .iter()\n    .copied()\n    .filter(|&value| {condition})\n"
    forms = {
        "value": [f"{kept}    .{method}()", f"{start}    best = match best {{\n        Some(held) if held {sign}= value => Some(held),\n        _ => Some(value),\n    }};\n}}\nbest",
                  f"{start}    best = Some(best.map_or(value, |held| held.{method}(value)));\n}}\nbest", f"{kept}    .fold(None, |best, value| match best {{\n        None => Some(value),\n        Some(held) => Some(held.{method}(value)),\n    }})"],
        "key": [f"let mut best: Option<({kind}, {kind})> = None;\nfor &value in values {{\n    if {condition} {{\n        let key = {key};\n        match best {{\n            Some((held, _)) if held {sign}= key => {{}}\n            _ => best = Some((key, value)),\n        }}\n    }}\n}}\nbest.map(|pair| pair.1)",
                (f"{kept}    .min_by_key(|&value| {key})" if wanted == "smallest" else f"{kept}    .rev()\n    .max_by_key(|&value| {key})")],
        "index": [f"let mut best: Option<(usize, {kind})> = None;\nfor (index, &value) in values.iter().enumerate() {{\n    if {condition} {{\n        let better = match best {{\n            Some((_, held)) => value {sign} held,\n            None => true,\n        }};\n        if better {{\n            best = Some((index, value));\n        }}\n    }}\n}}\nbest.map(|(index, _)| index)",
                  f"values\n    .iter()\n    .enumerate()\n    .filter(|&(_, &value)| {condition})\n" + ("    .rev()\n    .max_by_key" if wanted == "largest" else "    .min_by_key") + "(|&(_, &value)| value)\n    .map(|(index, _)| index)"],
        "range": [f"let low = {kept}    .min()?;\nlet high = {kept}    .max()?;\nSome((low, high))".replace("\n    .", "\n    ."), f"let mut range: Option<({kind}, {kind})> = None;\nfor &value in values {{\n    if {condition} {{\n        range = match range {{\n            Some((low, high)) => Some((low.min(value), high.max(value))),\n            None => Some((value, value)),\n        }};\n    }}\n}}\nrange"],
    }[by]
    told = {"value": f"the {wanted} of the {keep.plural}", "key": f"the one of the {keep.plural} that is {wanted} when {mapping.participle} (the first one in case of a tie)", "index": f"the index of the {wanted} of the {keep.plural} (the first one in case of a tie)",
            "range": f"the smallest and the largest of the {keep.plural}"}[by]
    return FunctionSpec(
        name=draw.style(f"{wanted}_{keep.slug}" if by != "range" else f"range_of_{keep.slug}", f"{by}_where", "extreme", f"find_{by}"), parameters={"values": f"&[{kind}]"},
        returns={"index": "Option<usize>", "range": f"Option<({kind}, {kind})>"}.get(by, f"Option<{kind}>"), forms=forms, oracle=oracle,
        words=[f"Returns {told}, or `None` if there are none.", f"Searches `values` for {told}. Returns `None` if there is no such number."],
    )


TABLES = (
    ("day", ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")), ("planet", ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn")),
    ("season", ("spring", "summer", "autumn", "winter")), ("note", ("do", "re", "mi", "fa", "so", "la", "ti")), ("suit", ("clubs", "diamonds", "hearts", "spades")),
    ("piece", ("pawn", "knight", "bishop", "rook", "queen", "king")), ("size", ("tiny", "small", "medium", "large", "huge")), ("level", ("trace", "debug", "info", "warn", "error")),
    ("unit", ("bytes", "kilobytes", "megabytes", "gigabytes")), ("direction", ("north", "east", "south", "west")), ("rank", ("private", "corporal", "sergeant", "captain", "major")),
)


@family(tier=1)
def table_lookup(draw: Draw) -> FunctionSpec:
    (thing, table), wanted, base = draw.choose(*TABLES), draw.choose("name", "number", "next", "wrapped", "error", "prefix"), draw.choose(0, 1)
    step = draw.integer(1, 3)
    size, names = len(table), ", ".join(f'"{name}"' for name in table)
    constant = f"const NAMES: [&str; {size}] = [{names}];" if len(names) < 60 else f"const NAMES: [&str; {size}] = [\n    " + names.replace(", ", ",\n    ") + ",\n];"
    less, plus = (f"number.checked_sub({base})", f" + {base}") if base else ("Some(number)", "")
    arms = [f"{index} => Some({name})," for index, name in enumerate(names.split(", "), base)]
    listed = ", ".join(table)
    number_words = f"with the given number, counting from {base}"
    by_name = wanted in ("number", "next", "prefix")
    parameters = {"name": "&str"} if by_name else {"number": "usize"}

    def oracle(given: Any) -> object:
        if wanted == "wrapped":
            return table[(given + step) % size]
        if by_name:
            found = [i for i, name in enumerate(table) if (name.startswith(given) if wanted == "prefix" else name == given)]
            return None if not found else table[(found[0] + step) % size] if wanted == "next" else found[0] + base
        inside = base <= given < base + size
        return (table[given - base] if inside else None) if wanted == "name" else Ok(table[given - base]) if inside else Err(f"no {thing} {given}")

    def inputs() -> tuple:
        name = draw.arguments.choice((*table, thing, "none"))
        return ((name[: draw.arguments.randint(1, 5)] if wanted == "prefix" else name) if by_name else draw.arguments.randint(0, size + 3),)

    find = "NAMES.iter().position(|&each| each == name)"
    returns, told, forms = {
        "name": ("Option<&'static str>", f"the {thing} {number_words}, or `None` if there is no such {thing}", ["match number {\n" + "".join(f"    {arm}\n" for arm in arms) + "    _ => None,\n}",
                 f"{constant}\n{less}.and_then(|index| NAMES.get(index).copied())" if base else f"{constant}\nNAMES.get(number).copied()", f"{constant}\nif number {'== 0 || number > NAMES.len()' if base else '>= NAMES.len()'} {{\n    return None;\n}}\nSome(NAMES[number{' - 1' if base else ''}])"]),
        "error": ("Result<&'static str, String>", f'the {thing} {number_words}, or the error "no {thing} .." with the number', [
                 f"{constant}\nmatch {less}.and_then(|index| NAMES.get(index)) {{\n    Some(name) => Ok(name),\n    None => Err(format!(\"no {thing} {{}}\", number)),\n}}" if base else f"{constant}\nNAMES.get(number)\n    .copied()\n    .ok_or_else(|| format!(\"no {thing} {{}}\", number))",
                 "match number {\n" + "".join(f"    {arm.replace('Some', 'Ok')}\n" for arm in arms) + f"    _ => Err(format!(\"no {thing} {{number}}\")),\n}}"]),
        "number": ("Option<usize>", f"the number of the {thing} called `name`, counting from {base}, or `None` for any other name", [f"{constant}\n{find}" + (f".map(|index| index{plus})" if base else ""),
                   "match name {\n" + "".join(f"    {name} => Some({index}),\n" for index, name in enumerate(names.split(", "), base)) + "    _ => None,\n}", f"{constant}\nfor (index, each) in NAMES.iter().enumerate() {{\n    if *each == name {{\n        return Some(index{plus});\n    }}\n}}\nNone"]),
        "next": ("Option<&'static str>", f"the {thing} that is {'directly' if step == 1 else f'{step} positions'} after the one called `name`, wrapping around at the end, or `None` for any other name", [f"{constant}\nlet index = {find}?;\nSome(NAMES[(index + {step}) % NAMES.len()])", f"{constant}\n{find}.map(|index| NAMES[(index + {step}) % {size}])"]),
        "prefix": ("Option<usize>", f"the number, counting from {base}, of the first {thing} whose name starts with `name`, or `None` if there is none", [f"{constant}\nNAMES.iter().position(|each| each.starts_with(name))" + (f".map(|index| index{plus})" if base else ""), f"{constant}\nlet index = NAMES.iter().position(|each| each.starts_with(name))?;\nSome(index{plus})"]),
        "wrapped": ("&'static str", f"the {thing} at position `number` + {step}, counting from 0 and wrapping around at the end", [f"{constant}\nNAMES[(number + {step}) % NAMES.len()]", f"{constant}\nlet index = (number + {step}) % {size};\nNAMES[index]", f"match (number + {step}) % {size} {{\n" + "".join(f"    {index} => {name},\n" for index, name in enumerate(names.split(", ")[:-1])) + f"    _ => {names.split(', ')[-1]},\n}}"]),
    }[wanted]
    return FunctionSpec(
        name=draw.style(f"{thing}_{wanted}", f"find_{thing}", f"{thing}_lookup", f"to_{thing}"), parameters=parameters, returns=returns, forms=forms, oracle=oracle, inputs=inputs,
        words=[f"Returns {told}. The {thing}s are, in order: {listed}.", f"Returns {told}, where the {thing}s in order are {listed}."],
    )
