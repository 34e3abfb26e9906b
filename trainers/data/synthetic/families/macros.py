"""Declarative macros, tested by use."""

import math
import textwrap

from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal

KINDS = ("i32", "i64")


def _block(head: str, *members: str) -> str:
    """`head { members }`, one below the other."""
    return head + " {\n" + textwrap.indent("\n".join(members), "    ") + "\n}"


def _macro(draw: Draw, name: str, words: tuple[str, ...], *rules: tuple[str, str]) -> str:
    exported = draw.style("", "", "#[macro_export]\n")
    written = [_block(f"({pattern}) =>", body) + ";" for pattern, body in rules]
    return f"/// {draw.style(*words)}\n{exported}" + _block(f"macro_rules! {name}", *written) + "\n"


def _numbers(draw: Draw, size: int, low: int = 1, high: int = 40) -> list[int]:
    return [draw.arguments.randint(low, high) for _ in range(size)]


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values))


@family(tier=2)
def extreme_macro(draw: Draw) -> Items:
    pick, word, sign = draw.choose((max, "largest", ">"), (min, "smallest", "<"))
    kind = draw.choose(*KINDS)
    change = draw.integer_mapping(kind)
    name = draw.style(f"{word}_of", word, f"find_{word}", "extreme", pick.__name__ + "_all")
    function, own = draw.style("changed", "figure", "measure"), draw.choose(True, True, False)
    one = f"{function}($first)" if own else "$first"
    two = draw.style(
        f"std::cmp::{pick.__name__}({one}, {name}!($($rest),+))",
        f"{{\n    let first = {one};\n    let rest = {name}!($($rest),+);\n    if first {sign} rest {{\n        first\n    }} else {{\n        rest\n    }}\n}}",
    )
    comma = draw.style("", " $(,)?")
    helper = f"/// Returns `value` {change.participle}.\npub fn {function}(value: {kind}) -> {kind} {{\n    {change.on('value')}\n}}\n\n" if own else ""
    after = f" after `{function}` has been applied to each" if own else ""
    words = (f"Returns the {word} of its arguments{after}.", f"Finds the {word} of the given numbers{after}.", f"Expands to comparisons that find the {word} argument{after}.")
    code = helper + _macro(draw, name, words, (f"$first:expr{comma}", one), ("$first:expr, $($rest:expr),+" + comma, two))
    lists = [_numbers(draw, size) for size in (1, 2, 3, 5)]
    return Items(code, [Case(f"{name}!({', '.join(f'{n}{kind}' for n in v)})", str(pick(change(n) if own else n for n in v))) for v in lists])


@family(tier=2)
def collection_macro(draw: Draw) -> Items:
    kind = draw.choose(*KINDS)
    change = draw.integer_mapping(kind)
    collection = draw.choose("BTreeMap", "HashMap", "BTreeSet", "HashSet", "VecDeque", "Vec")
    key, new = draw.choose("&'static str", "char", "i32"), draw.style("result", "made", "collection", "filled")
    pairs = collection.endswith("Map")
    name = draw.style("collect", "literal", {"Map": "map", "Set": "set"}.get(collection[-3:], "list"), f"make_{collection[-3:].lower()}", "of")
    path = draw.style(f"std::collections::{collection}", f"::std::collections::{collection}") if collection != "Vec" else "Vec"
    made = change.on("value")
    value = f"{{\n            let value: {kind} = $value;\n            {made}\n        }}"
    adding = {"Map": f"{new}.insert($key, {value});", "Set": f"{new}.insert({value});", "que": f"{new}.push_back({value});", "Vec": f"{new}.push({value});"}[collection[-3:]]
    arrow, pattern = draw.style(("=>", "$($key:expr => $value:expr),* $(,)?"), ("=>", "$($key:expr => $value:expr),*")) if pairs else ("", draw.style("$($value:expr),* $(,)?", "$($value:expr),*"))
    what = f"a `{collection}` of the given {'entries' if pairs else 'values'}"
    words = (f"Creates {what}, with each value {change.participle}.", f"Builds {what}; the values are {change.participle}.", f"Works like `vec!` but creates {what}; each value is {change.participle}.")
    body = f"{{\n    #[allow(unused_mut)]\n    let mut {new} = {path}::new();\n    $(\n        {adding}\n    )*\n    {new}\n}}"
    code = _macro(draw, name, words, (pattern, body))
    cases = []
    keys = {"char": list("kwpzd"), "&'static str": ["oak", "elm", "fir", "ash", "yew"], "i32": [3, 14, 8, 27, 40]}[key]
    kinds = f"{collection}<{key.replace(chr(39) + 'static ', '')}, {kind}>" if pairs else f"{collection}<{kind}>"
    for size in (1, 3, 4):
        values = _numbers(draw, size)
        result = [change(n) for n in values]
        given = _listed(values)
        if pairs:
            given = ", ".join(f"{literal(k, kinds[len(collection) + 1 :].rpartition(',')[0])} {arrow} {n}" for k, n in zip(keys, values, strict=False))
            result = dict(zip(keys, result, strict=False))
        elif collection.endswith("Set"):
            result = set(result)
        cases += [Case(f"{name}![{given}]", literal(result, kinds)), Case(f"{name}![{given}].len()", str(len(result)))]
    return Items(code, cases)


@family(tier=2)
def folding_macro(draw: Draw) -> Items:
    kind = draw.choose(*KINDS)
    holds = draw.integer_predicate(kind)
    name, start, step, said, compute = draw.choose(
        ("sum_if", "0", "total += value;", "sum of the", sum), ("count_if", "0", "total += 1;", "number of", len),
        ("product_if", "1", "total *= value;", "product of the", math.prod), ("last_if", "0", "total = value;", "last one, or 0 if there is none, of the", lambda v: v[-1] if v else 0),
        ("alternate_if", "0", "total = value - total;", "final total, which starts at 0 and becomes `value - total` for each `value` of the", _alternate),
    )
    name = draw.style(name, name.replace("_if", "_of_" + holds.slug), name.replace("_if", "_matching"), "fold_" + name.replace("_if", ""))
    test = _block(f"if {holds.on('value')}", step)
    words = (f"Returns the {said} {holds.plural} among its arguments.", f"Computes the {said} {holds.plural} among the given numbers.", f"Expands to the {said} {holds.plural} among its arguments.")
    total = f"let mut total: {kind} = {start};"
    body = draw.style(
        "{\n    #[allow(unused_mut)]\n    " + total + f"\n    $(\n        let value: {kind} = $value;\n        " + test.replace("\n", "\n        ") + "\n    )*\n    total\n}",
        "{\n    " + total + f"\n    for value in [$($value),*] {{\n        let value: {kind} = value;\n        " + test.replace("\n", "\n        ") + "\n    }\n    total\n}",
    )
    code = _macro(draw, name, words, (draw.style("$($value:expr),+", "$($value:expr),+ $(,)?"), body))
    lists = [_numbers(draw, size, 1, 30) for size in (2, 3, 4)] + [[3, 8, 16, 25], [12, 7]]
    return Items(code, [Case(f"{name}!({_listed(v)})", str(compute([n for n in v if holds(n)]))) for v in lists])


def _alternate(values: list[int]) -> int:
    total = 0
    for value in values:
        total = value - total
    return total


@family(tier=3)
def struct_macro(draw: Draw) -> Items:
    name, one, two, three = draw.choose(
        ("Point", "x", "y", "z"), ("Item", "price", "stock", "weight"), ("Player", "level", "coins", "lives"), ("Box3", "width", "height", "depth"), ("Clock", "hours", "minutes", "seconds"),
        ("Trip", "distance", "stops", "cost"), ("Recipe", "eggs", "flour", "sugar"), ("Tower", "floors", "rooms", "windows"), ("Signal", "volume", "pitch", "length"),
    )
    kind = draw.choose("i32", "u32", "i64", "u64")
    extra = draw.choose("sum", "array", "scaled")
    k, fields = draw.integer(2, 9), draw.choose(2, 3)
    macro = draw.style("record", "define", "plain_struct", "make_struct", "with_constructor")
    typed = draw.choose("by the macro", "each")
    method, returns, formula, said = {
        "sum": (draw.style("total", "sum"), kind, "[$(self.$field),*].iter().sum()", "returns the sum of its fields"),
        "array": (draw.style("fields", "names"), "Vec<&'static str>", "vec![$(stringify!($field)),*]", "returns the names of its fields"),
        "scaled": (draw.style(f"times_{k}", "scaled"), "Self", f"Self {{ $($field: self.$field * {k}),* }}", f"multiplies every field by {k}"),
    }[extra]
    if typed == "by the macro":
        fields_code, arguments = "$(pub $field: " + kind + "),*", "$($field: " + kind + "),*"
        pattern = "$name:ident => $($field:ident),*"
    else:
        fields_code, arguments = "$(pub $field: $kind),*", "$($field: $kind),*"
        pattern = "$name:ident { $($field:ident: $kind:ty),* $(,)? }"
    body = "\n".join([
        "#[derive(Debug, Clone, PartialEq)]", _block("pub struct $name", fields_code), "",
        "impl $name {", f"    pub fn new({arguments}) -> Self {{\n        Self {{ $($field),* }}\n    }}", "", f"    pub fn {method}(&self) -> {returns} {{\n        {formula}\n    }}", "}",
    ])
    names = (one, two, three)[:fields]
    use = f"{macro}!({name} {{ {', '.join(f'{each}: {kind}' for each in names)} }});" if typed == "each" else f"{macro}!({name} => {', '.join(names)});"
    words = (f"Defines a struct with a constructor and a method that {said}.", f"Defines a struct of numbers with the function `new` and a method `{method}` that {said}.", f"Defines a struct whose method `{method}` {said}.")
    code = _macro(draw, macro, words, (pattern, body)) + f"\n{use}\n"
    a, b = _numbers(draw, fields), _numbers(draw, fields)

    def show(v):
        return f"{name} {{ {', '.join(f'{f}: {n}' for f, n in zip(names, v, strict=True))} }}"

    result = {"sum": lambda v: str(sum(v)), "array": lambda v: "vec![" + ", ".join(f'"{each}"' for each in names) + "]", "scaled": lambda v: show([n * k for n in v])}[extra]
    return Items(code, [Case(f"{name}::new({_listed(a)})", show(a)), Case(f"{name}::new({_listed(b)}).{two}", str(b[1])), Case(f"{name}::new({_listed(b)}).{method}()", result(b)), Case(f"{show(a)}.{method}()", result(a))])


@family(tier=2)
def mapped_vec_macro(draw: Draw) -> Items:
    kind = draw.choose("i32", "i64", "u32", "u64")
    change = draw.integer_mapping(kind)
    index = draw.choose("plain", "reversed", "twice", "numbered")
    name = draw.style("mapped", "changed", "each", "table", "vec_of", "all_" + change.slug)
    one = f"{{\n        let value: {kind} = $value;\n        {change.on('value')}\n    }}"
    loop = f"for value in [$($value),*] {{\n        let value: {kind} = value;\n        "
    pushed = {"plain": f"result.push({change.on('value')});", "reversed": f"result.insert(0, {change.on('value')});", "twice": f"result.push(value);\n        result.push({change.on('value')});", "numbered": f"let index = result.len() as {kind};\n        result.push(index + ({change.on('value')}));"}[index]
    body = "{\n    let mut result = Vec::new();\n    " + loop + pushed + "\n    }\n    result\n}"
    if index == "plain":
        body = draw.style(body, f"vec![$({one}),*]", f"[$($value),*].into_iter().map(|value: {kind}| {change.on('value')}).collect::<Vec<_>>()")
    said = {"plain": "", "reversed": ", in reverse order", "twice": ", preceded by the original number", "numbered": ", plus its position, counting from 0"}[index]
    words = (f"Creates a vector of the numbers, each {change.participle}{said}.", f"Works like `vec!` but with each number {change.participle}{said}.", f"Creates a `Vec<{kind}>` that contains each argument {change.participle}{said}.")
    compute = {"plain": lambda v: [change(n) for n in v], "reversed": lambda v: [change(n) for n in v][::-1], "twice": lambda v: [x for n in v for x in (n, change(n))], "numbered": lambda v: [i + change(n) for i, n in enumerate(v)]}[index]
    lists = [_numbers(draw, size, 9, 50) for size in (1, 3, 4)]
    return Items(_macro(draw, name, words, (draw.style("$($value:expr),+", "$($value:expr),+ $(,)?"), body)), [Case(f"{name}![{_listed(v)}]", literal(compute(v), f"Vec<{kind}>")) for v in lists])


@family(tier=3)
def named_enum_macro(draw: Draw) -> Items:
    name, variants = draw.choose(
        ("Color", "Red Green Blue White"), ("Suit", "Clubs Diamonds Hearts Spades"), ("Direction", "North East South West"), ("Size", "Small Medium Large Huge"), ("State", "Idle Running Paused Done"),
        ("Metal", "Iron Copper Silver Gold"), ("Gear", "Reverse Neutral Low High"), ("Season", "Spring Summer Autumn Winter"), ("Role", "Guest Member Editor Admin"), ("Shape", "Circle Square Cross Star"),
    )
    variants = variants.split()[: draw.choose(3, 4)]
    start, step, wanted = draw.integer(0, 9), draw.choose(1, 2, 5, 10), draw.choose("name", "lower", "upper", "length")
    macro, method, parse, rank = draw.style("named_enum", "enum_with_names", "names", "simple_enum"), draw.style("name", "label", "as_text"), draw.style("parse", "from_name", "find"), draw.style("number", "rank", "code")
    shown, compute, returns = {"name": ("stringify!($variant)", str, "&'static str"), "lower": ("stringify!($variant).to_lowercase()", str.lower, "String"), "upper": ("stringify!($variant).to_uppercase()", str.upper, "String"), "length": ("stringify!($variant).len()", len, "usize")}[wanted]
    position = " as u32" + (f" * {step}" if step > 1 else "") + (f" + {start}" if start else "")
    said = {"name": "the name of the variant", "lower": "the name of the variant in lowercase", "upper": "the name of the variant in uppercase", "length": "the length of the variant's name"}[wanted]
    body = "\n".join([
        "#[derive(Debug, Clone, Copy, PartialEq)]", _block("pub enum $name", "$($variant),*"), "", "impl $name {",
        f"    /// Returns {said}.\n    pub fn {method}(self) -> {returns} {{\n        match self {{\n            $($name::$variant => {shown}),*\n        }}\n    }}", "",
        f"    pub fn {parse}(text: &str) -> Option<Self> {{\n        match text {{\n            $(stringify!($variant) => Some($name::$variant),)*\n            _ => None,\n        }}\n    }}", "",
        f"    pub fn {rank}(self) -> u32 {{\n        self{position}\n    }}", "}",
    ])
    words = ("Defines an enum whose variants can be converted to and from their names.", f"Defines an enum with the functions `{method}`, `{parse}` and `{rank}`.", "Generates an enum and the match expressions over its variants.")
    code = _macro(draw, macro, words, (draw.style("$name:ident { $($variant:ident),* $(,)? }", "$name:ident { $($variant:ident),+ }"), body)) + f"\n{macro}!({name} {{ {', '.join(variants)} }});\n"
    kind = "usize" if wanted == "length" else "&str"
    cases = [Case(f"{name}::{each}.{method}()", literal(compute(each), kind)) for each in variants[:2]]
    cases += [Case(f"{name}::{each}.{rank}()", str(variants.index(each) * step + start)) for each in variants[1:]]
    return Items(code, [*cases, Case(f'{name}::{parse}("{variants[2]}")', f"Some({name}::{variants[2]})"), Case(f'{name}::{parse}("Nothing")', "None")])


@family(tier=1)
def matching_macro(draw: Draw) -> Items:
    kind, default = draw.choose("i32", "u32", "i64"), draw.integer(0, 20)
    change = draw.integer_mapping(kind)
    source = draw.choose("option", "result", "text", "pattern")
    name = draw.style("or_default", "value_or", "unwrap_or_fixed", "get_or", "fallback", "pick")
    made = change.on("value")
    pattern = {"option": "Some(value)", "result": "Ok(value)", "text": "Ok(value)"}.get(source)
    subject = f"$value.parse::<{kind}>()" if source == "text" else "$value"
    body = draw.style(f"match {subject} {{\n    {pattern} => {made},\n    _ => {default},\n}}", f"if let {pattern} = {subject} {{\n    {made}\n}} else {{\n    {default}\n}}")
    rules = [("$value:expr", body)]
    if source == "pattern":
        rules = [("$value:expr, $pattern:pat => $result:expr", f"match $value {{\n    $pattern => {{\n        let value: {kind} = $result;\n        {made}\n    }}\n    _ => {default},\n}}")]
    said = {"option": "the value inside an option", "result": "the value inside `Ok`", "text": "the number parsed from a text", "pattern": "the given result"}[source]
    absent = {"option": "it is `None`", "result": "it is an error", "text": "the text is not a number", "pattern": "the pattern does not match"}[source]
    words = (f"Returns {said}, {change.participle}, or {default} if {absent}.", f"Evaluates to {said}, {change.participle}. Falls back to {default} if {absent}.", f"Takes {said} and returns it {change.participle}. If {absent}, returns {default}.")
    n, m = _numbers(draw, 2, 9, 60)
    forms = {
        "option": lambda x: (f"Some({x}{kind})", f"None::<{kind}>"), "result": lambda x: (f"Ok::<{kind}, String>({x})", f'Err::<{kind}, &str>("no")'),
        "text": lambda x: (f'"{x}"', f'"{x}x"'), "pattern": lambda x: (f"Some({x}), Some(n) => n", f"None::<{kind}>, Some(n) => n"),
    }[source]
    return Items(_macro(draw, name, words, *rules), [Case(f"{name}!({forms(n)[0]})", str(change(n))), Case(f"{name}!({forms(m)[0]})", str(change(m))), Case(f"{name}!({forms(m)[1]})", str(default)), Case(f"{name}!({forms(25)[0]})", str(change(25)))])


@family(tier=2)
def chained_comparison_macro(draw: Draw) -> Items:
    (sign, compare, said), distance = draw.choose(("<", lambda a, b: a < b, "in strictly ascending order"), ("<=", lambda a, b: a <= b, "in ascending order"), (">", lambda a, b: a > b, "in strictly descending order"), (">=", lambda a, b: a >= b, "in descending order"), ("!=", lambda a, b: a != b, "each different from the next"), ("==", lambda a, b: a == b, "all equal")), draw.integer(0, 9)
    k = draw.integer(1, 5)
    name = draw.style("ordered", "chain", "in_order", "compare_all", "holds")
    right = "$second" + (f" * {k}" if k > 1 else "") + (f" + {distance}" if distance else "")
    right_side = "b" + (f" * {k}" if k > 1 else "") + (f" + {distance}" if distance else "")
    words = (f"Returns `true` if `a {sign} {right_side}` holds for each argument `a` and the argument `b` after it.", f"Compares each argument `a` to the next argument `b` and returns `true` if `a {sign} {right_side}` holds for all of them.", f"Checks whether all pairs of adjacent arguments `a` and `b` satisfy `a {sign} {right_side}`." if right_side != "b" else f"Checks whether the arguments are {said}.")
    code = _macro(draw, name, words, ("$only:expr", "true"), ("$first:expr, $second:expr $(, $rest:expr)*", draw.style(f"$first {sign} {right} && {name}!($second $(, $rest)*)", f"if $first {sign} {right} {{\n    {name}!($second $(, $rest)*)\n}} else {{\n    false\n}}")))
    pick = draw.arguments.randint
    lists = [[4], [pick(1, 9), pick(1, 9)], [1, 2], [90, 9, 1], [1, 20, 300], [5 * k + distance, 5], [5, 5], [8, 3, 4]]
    cases = [Case(f"{name}!({_listed(v)})", "true" if all(compare(a, b * k + distance) for a, b in zip(v, v[1:], strict=False)) else "false") for v in lists]
    return Items(code.replace("$only:expr", draw.style("$only:expr", "$_only:expr")), cases)


@family(tier=2)
def counting_macro(draw: Draw) -> Items:
    per, base, unit = draw.integer(1, 9), draw.integer(0, 9), draw.choose("usize", "u32", "i64")
    fragment = draw.choose("expr", "ident", "tt", "literal")
    name = draw.style("count", "count_args", "how_many", "arity", "number_of")
    separated = fragment == "expr" or draw.choose(True, False)
    comma = "," if separated else ""
    rest = f"{name}!(@each $($rest){comma}*)"
    last = (f" * {per}" if per > 1 else "") + (f" + {base}" if base else "")
    loop = [("@each", f"0{unit}"), (f"@each $first:{fragment} $({comma} $rest:{fragment})*", f"1 + {rest}"), (f"$($value:{fragment}){comma}*", f"({name}!(@each $($value){comma}*)){last}")]
    array = [("@unit $value:" + fragment, "()"), (f"$($value:{fragment}){comma}*", f"(<[()]>::len(&[$({name}!(@unit $value)),*]) as {unit}){last}")]
    sum_of = [("@one $value:" + fragment, f"1{unit}"), (f"$($value:{fragment}){comma}*", f"(0{unit} $(+ {name}!(@one $value))*){last}")]
    said = f"the number of arguments{f' times {per}' if per > 1 else ''}{f' plus {base}' if base else ''}"
    words = (f"Expands to {said}.", f"Computes {said} without evaluating any of them.", f"Returns {said}, computed without running the arguments.")
    code = _macro(draw, name, words, *draw.style(loop, array, sum_of))
    words_of = {"expr": ["1 + 1", "2", '"x"', "4 * 2", "true"], "ident": ["red", "green", "blue", "black", "white"], "tt": ["a", "7", "[b]", "+", "d"], "literal": ["3", "'c'", '"text"', "true", "8"]}[fragment]
    joined = ", " if separated else " "
    return Items(code, [Case(f"{name}!({joined.join(words_of[:size])})", str(size * per + base)) for size in (0, 1, draw.arguments.choice((2, 3)), 5)])


@family(tier=3)
def setter_macro(draw: Draw) -> Items:
    name, one, two, three = draw.choose(
        ("Request", "retries", "timeout", "port"), ("Window", "width", "height", "border"), ("Cake", "eggs", "sugar", "layers"), ("Robot", "speed", "energy", "arms"), ("House", "rooms", "doors", "floors"),
        ("Report", "pages", "charts", "tables"), ("Car", "seats", "gears", "wheels"), ("Song", "tempo", "bars", "voices"), ("Farm", "cows", "hens", "fields"),
    )
    kind = draw.choose("i32", "u32", "i64", "u64")
    change = draw.integer_mapping(kind)
    k = draw.integer(1, 20)
    macro = draw.style("setters", "builder_methods", "with_methods", "chainable")
    arrow = draw.style("$($field:ident),*", "$($field:ident),* $(,)?")
    body = f"$(\n    pub fn $field(mut self, value: {kind}) -> Self {{\n        self.$field = {change.on('value')};\n        self\n    }}\n)*"
    words = (f"Generates a chainable setter for each field; the given value is {change.participle}.", f"Generates one setter per field, which stores the value {change.participle}.", f"Generates methods that set a field to the given value, {change.participle}, and return `self`.")
    code = _macro(draw, macro, words, (arrow, body)) + "\n#[derive(Debug, Clone, PartialEq)]\n" + _block(f"pub struct {name}", *(f"{field}: {kind}," for field in (one, two, three)))
    code += f"\n\nimpl {name} {{\n    {macro}!({one}, {two});\n\n    pub fn new() -> Self {{\n        {name} {{ {one}: {k}, {two}: {k}, {three}: 1 }}\n    }}\n\n    pub fn total(&self) -> {kind} {{\n        self.{one} + self.{two} + self.{three}\n    }}\n}}\n"
    n, m = _numbers(draw, 2, 9, 60)
    return Items(code, [
        Case(f"{name}::new()", f"{name} {{ {one}: {k}, {two}: {k}, {three}: 1 }}"), Case(f"{name}::new().{one}({n}).{two}({m})", f"{name} {{ {one}: {change(n)}, {two}: {change(m)}, {three}: 1 }}"),
        Case(f"{name}::new().{two}({m}).{two}", str(change(m))), Case(f"{name}::new().{one}({n}).total()", str(change(n) + k + 1)),
    ])


@family(tier=2)
def function_macro(draw: Draw) -> Items:
    kind = draw.choose("i32", "i64", "u32", "u64")
    names = draw.choose(("double", "shift", "widen"), ("near", "middle", "far"), ("cheap", "usual", "dear"), ("slow", "fast", "faster"), ("low", "medium", "high"), ("tin", "iron", "steel"), ("calm", "breeze", "storm"))
    values = draw.choose((2, 5, 9), (3, 4, 10), (1, 7, 20), (2, 8, 30), (6, 11, 12))
    base = draw.integer(0, 12)
    sign, apply = draw.choose(("*", lambda n, k: n * k), ("+", lambda n, k: n + k), ("/", lambda n, k: n // k), ("%", lambda n, k: n % k))
    macro = draw.style("make_function", "functions", "define_operation", "operation", "generate")
    after = f" + {base}" if base else ""
    one = f"pub fn $name(n: {kind}) -> {kind} {{\n    n {sign} $value{after}\n}}"
    each = draw.style(True, False)
    pattern, body = ("$($name:ident => $value:expr),* $(,)?", "$(\n" + textwrap.indent(one, "    ") + "\n)*") if each else ("$name:ident, $value:expr", one)
    told = f"`n {sign} value{after}`"
    words = (f"Defines functions that compute {told}.", f"Defines {'a function from a name and a value' if not each else 'one function for each pair of a name and a value'}, which computes {told}.", f"Generates functions of one number that return {told}.")
    pairs = list(zip(names, values, strict=True))
    uses = f"{macro}!({', '.join(f'{name} => {value}' for name, value in pairs)});" if each else "\n".join(f"{macro}!({name}, {value});" for name, value in pairs)
    numbers = _numbers(draw, 4, 10, 70)
    return Items(_macro(draw, macro, words, (pattern, body)) + f"\n{uses}\n", [Case(f"{name}({n})", str(apply(n, value) + base)) for n, (name, value) in zip(numbers, [*pairs, pairs[0]], strict=True)])


@family(tier=3)
def implementing_macro(draw: Draw) -> Items:
    trait, method = draw.choose(("Describe", "describe"), ("Area", "area"), ("Cost", "cost"), ("Strength", "strength"), ("Score", "score"), ("Load", "load"), ("Rank", "rank"), ("Noise", "noise"))
    kind = draw.choose("i32", "i64")
    change = draw.integer_mapping(kind)
    types = draw.choose(("u8", "u16", "i16"), ("i8", "u8", "i32"), ("u16", "i32", "u8"), ("bool", "u8", "i16"))
    text = draw.choose(True, False)
    macro = draw.style("implement", f"impl_{method}", "for_types", "derive_for")
    body = f"$(\n    impl {trait} for $kind {{\n        fn {method}(&self) -> {kind} {{\n            let value = *self as {kind};\n            {change.on('value')}\n        }}\n    }}\n)*"
    words = (f"Implements `{trait}` for several primitive types.", f"Generates the same `impl {trait}` for every given type.", f"Implements `{trait}` for the given types.")
    told = draw.style("Returns the value", "Returns `self`", "Returns the number")
    code = f"/// {draw.style('The trait that the macro below implements.', f'A type with the method `{method}`.', 'A trait for numbers of any size.')}\n" + _block(f"pub trait {trait}", f"/// {told} as `{kind}`, {change.participle}.", f"fn {method}(&self) -> {kind};") + "\n\n"
    code += _macro(draw, macro, words, ("$($kind:ty),* $(,)?", body)) + f"\n{macro}!({', '.join(types)});\n"
    if text:
        length = draw.style(f"self.len() as {kind}", f"self.chars().count() as {kind}")
        code += f"\n/// Uses the length of the text.\nimpl {trait} for str {{\n    fn {method}(&self) -> {kind} {{\n        {length}\n    }}\n}}\n"
    numbers = _numbers(draw, 3, 9, 100)
    cases = [Case(f"{'true' if t == 'bool' else f'{n}{t}'}.{method}()", str(change(1 if t == "bool" else n))) for n, t in zip(numbers, types, strict=True)]
    return Items(code, cases + ([Case(f'"{"lantern"[:size]}".{method}()', str(size)) for size in (3, 6)] if text else [Case(f"7{types[1]}.{method}()", str(change(7)))]))


@family(tier=1)
def text_macro(draw: Draw) -> Items:
    separator, before, after = draw.choose(", ", "-", " ", "/", "; ", ""), draw.choose("", "<", "[", "("), draw.choose("", "!", ".", ">")
    wanted, shown, compute = draw.choose(("", "$part.to_string()", str), (" in uppercase", "$part.to_string().to_uppercase()", lambda t: str(t).upper()), (", each written twice", "$part.to_string().repeat(2)", lambda t: str(t) * 2))
    name = draw.style("joined", "concat_all", "line", "text_of", "glue")
    body = draw.style(
        f'{{\n    let parts: Vec<String> = vec![$({shown}),*];\n    format!("{before}{{}}{after}", parts.join("{separator}"))\n}}',
        f'{{\n    let mut text = String::from("{before}");\n    let parts = [$({shown}),*];\n    for (index, part) in parts.iter().enumerate() {{\n        if index > 0 {{\n            text.push_str("{separator}");\n        }}\n        text.push_str(part);\n    }}\n    text.push_str("{after}");\n    text\n}}',
    )
    apart = f"with `{separator}` between them" if separator.strip() else "with a space between them" if separator else "without a separator"
    ends = (f", preceded by `{before}`" if before else "") + (f", followed by `{after}`" if after else "")
    words = (f"Formats all arguments{wanted}, {apart}{ends}.", f"Concatenates the arguments as text{wanted}, {apart}{ends}.", f"Joins all arguments into one `String`{wanted}, {apart}{ends}.")
    lists = [["oak", 7], ["kite"], [draw.arguments.randint(1, 99), "sun", True], ["ab", "cd", "ef", 1]]

    def show(each):
        return f'"{each}"' if isinstance(each, str) else str(each).lower()

    def plain(each):
        return str(each).lower() if isinstance(each, bool) else each

    return Items(_macro(draw, name, words, (draw.style("$($part:expr),+", "$($part:expr),+ $(,)?"), body)), [Case(f"{name}!({', '.join(map(show, v))})", f'"{before}{separator.join(compute(plain(each)) for each in v)}{after}"') for v in lists])
