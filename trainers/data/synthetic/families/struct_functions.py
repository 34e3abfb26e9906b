"""Functions of structs, whose definition comes before the function: their fields, updates, selections and totals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from trainers.data.synthetic.family import Draw, FunctionSpec, Undefined, family
from trainers.data.synthetic.literals import INTEGERS, Raw, literal
from trainers.data.synthetic.writing import fill

RECORDS = (
    ("Song|Track", "song", "title|artist", "seconds plays likes"), ("Parcel|Package", "parcel", "sender|town", "grams stamps days"),
    ("River|Stream", "river", "name|land", "length depth bridges"), ("Tool|Gadget", "tool", "label|maker", "price stock weight"),
    ("Flight|Connection", "flight", "code|target", "seats minutes delay"), ("Recipe|Dish", "recipe", "name|author", "minutes portions calories"),
    ("Tower|Building", "tower", "name|town", "floors height windows"), ("Player|Striker", "player", "name|team", "goals fouls points"),
    ("Film|Movie", "film", "title|director", "minutes votes stars"), ("Plant|Flower", "plant", "sort|color", "leaves height price"),
    ("Server|Machine", "server", "host|owner", "cores memory load"), ("Letter|Mail", "letter", "subject|sender", "size replies age"),
    ("Ship|Boat", "ship", "name|harbor", "crew tons decks"), ("Coin|Token", "coin", "label|land", "year value grams"),
    ("Lamp|Bulb", "lamp", "model|room", "watts hours price"), ("Horse|Pony", "horse", "name|stable", "age races wins"),
)  # fmt: skip


@dataclass(frozen=True)
class StructValue(Raw):
    """A value of a struct with its fields, for the oracle."""

    fields: Mapping[str, Any]

    @property
    def borrowed(self) -> "StructValue":
        """A reference to the value."""
        return replace(self, rust=f"&{self.rust}")


@dataclass(frozen=True)
class Struct:
    """
    A struct with a text and some numbers.

    Attributes:
        name: Name of the type.
        noun: Noun for one value.
        label: Name of the field of type `String`.
        numbers: Names of the other fields.
        kind: Their type.
        context: Definition of the struct.
    """

    name: str
    noun: str
    label: str
    numbers: Sequence[str]
    kind: str
    context: str

    def value(self, fields: Mapping[str, Any]) -> StructValue:
        """Return a value with these fields."""
        kinds = {self.label: "String", **dict.fromkeys(self.numbers, self.kind)}
        written = ", ".join(f"{name}: {literal(value, kinds[name])}" for name, value in fields.items())
        return StructValue(f"{self.name} {{ {written} }}", fields)

    def changed(self, value: StructValue, /, **fields: Any) -> StructValue:
        """Return the value with other fields."""
        return self.value({**value.fields, **fields})

    def draw(self, draw: Draw) -> StructValue:
        """Generate a value."""
        numbers = {name: draw.value(self.kind) for name in self.numbers}
        return self.value({self.label: draw.text(draw.arguments.randint(0, 1)), **numbers})

    def draw_some(self, draw: Draw) -> list[StructValue]:
        """Generate up to four values."""
        return [self.draw(draw) for _ in range(draw.arguments.randint(0, 4))]


def draw_struct(draw: Draw, kind: str) -> Struct:
    """Choose a struct with two or three numbers of this type."""
    names, noun, labels, counts = draw.choose(*RECORDS)
    numbers = draw.choose(*permutations(counts.split(), 2), *permutations(counts.split(), 3))
    name, label = draw.style(*names.split("|")), draw.style(*labels.split("|"))
    lines = [f"    pub {label}: String,", *(f"    pub {each}: {kind}," for each in numbers)]
    derived = draw.style("Debug, Clone, PartialEq", "Clone, Debug, PartialEq", "Debug, PartialEq, Clone")
    said = draw.style(f"/// A {noun}.\n", f"/// Describes a {noun}.\n", "", "")
    context = f"{said}#[derive({derived})]\npub struct {name} {{\n" + "\n".join(lines) + "\n}"
    return Struct(name, noun, label, numbers, kind, context)


def binary(draw: Draw, kind: str, a: str, b: str) -> tuple[str, str, Any]:
    """Choose a computation on two fields: Rust with `{x}` and `{y}`, its description, and a Python function."""
    k = draw.integer(2, 9)
    options = [
        ("{x} * {y}", f"the product of `{a}` and `{b}`", lambda x, y: x * y), ("{x} + {y}", f"the sum of `{a}` and `{b}`", lambda x, y: x + y),
        ("{x}.max({y})", f"the larger one of `{a}` and `{b}`", max), ("{x}.min({y})", f"the smaller one of `{a}` and `{b}`", min),
    ]  # fmt: skip
    if kind == "f64":
        options += [(f"{{x}} * {k}.0 + {{y}}", f"{k} times `{a}`, plus `{b}`", lambda x, y: x * k + y), ("{x} - {y}", f"`{a}` minus `{b}`", lambda x, y: x - y), ("({x} + {y}) / 2.0", f"the mean of `{a}` and `{b}`", lambda x, y: (x + y) / 2)]
    else:
        options += [(f"{{x}} * {k} + {{y}}", f"{k} times `{a}`, plus `{b}`", lambda x, y: x * k + y), (f"({{x}} + {{y}}) * {k}", f"{k} times the sum of `{a}` and `{b}`", lambda x, y: (x + y) * k)]
        options += [("{x} - {y}", f"`{a}` minus `{b}`", lambda x, y: x - y)] if kind[0] == "i" else [("{x}.abs_diff({y})", f"the distance between `{a}` and `{b}`", lambda x, y: abs(x - y)), ("{x}.saturating_sub({y})", f"`{a}` minus `{b}`, but not less than 0", lambda x, y: max(x - y, 0))]
    return draw.choose(*options)


@family(tier=0)
def field_arithmetic(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS, "f64", "f64")
    struct = draw_struct(draw, kind)
    a, b = struct.numbers[:2]
    rust, said, compute = binary(draw, kind, a, b)
    it = draw.style(struct.noun, "item", "value")
    return FunctionSpec(
        name=draw.style(f"{struct.noun}_figure", f"{a}_and_{b}", f"{struct.noun}_score", "combined", f"rate_{struct.noun}"), parameters={it: f"&{struct.name}"}, returns=kind, context=struct.context,
        words=[f"Returns {said} of a {struct.noun}.", f"Computes {said}.", f"For a {struct.noun}, returns {said}."],
        forms=[rust.format(x=f"{it}.{a}", y=f"{it}.{b}"), rust.format(x=f"{it}.{a}", y=f"{it}.{b}"), f"let {a} = {it}.{a};\nlet {b} = {it}.{b};\n{rust.format(x=a, y=b)}"],
        oracle=lambda value: compute(value.fields[a], value.fields[b]), inputs=lambda: (struct.draw(draw).borrowed,),
    )


@family(tier=0)
def field_condition(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    struct = draw_struct(draw, kind)
    a, b = struct.numbers[:2]
    holds, wanted = draw.integer_predicate(kind), draw.choose("number", "number", "order", "text", "both")
    it = draw.style(struct.noun, "item", "value")
    label = struct.label
    rust, said, test = {
        "number": (holds.on(f"{it}.{a}"), f"`{a}` {holds.clause}", lambda f: holds(f[a])),
        "order": (f"{it}.{a} > {it}.{b}", f"`{a}` is greater than `{b}`", lambda f: f[a] > f[b]),
        "text": (f"{it}.{label}.is_empty() || {it}.{a} == 0", f"`{label}` is empty or `{a}` is 0", lambda f: not f[label] or f[a] == 0),
        "both": (f"!{it}.{label}.is_empty() && {it}.{a} >= {it}.{b}", f"`{label}` is not empty and `{a}` is at least `{b}`", lambda f: bool(f[label]) and f[a] >= f[b]),
    }[wanted]
    forms = [rust, rust]
    if wanted == "number":
        forms.append(f"let {a} = {it}.{a};\n{holds.on(a)}")
    if wanted == "text":
        forms.append(f"if {it}.{label}.is_empty() {{\n    return true;\n}}\n{it}.{a} == 0")
    if wanted == "both":
        forms.append(f"if {it}.{label}.is_empty() {{\n    return false;\n}}\n{it}.{a} >= {it}.{b}")
    return FunctionSpec(
        name=draw.style(f"is_special_{struct.noun}", f"accepts_{struct.noun}", f"check_{struct.noun}", "fits", "qualifies"), parameters={it: f"&{struct.name}"}, returns="bool", context=struct.context,
        words=[f"Returns `true` if {said} for a {struct.noun}.", f"Returns whether {said}.", f"Checks whether {said} for this {struct.noun}."],
        forms=forms, oracle=lambda value: test(value.fields), inputs=lambda: (struct.draw(draw).borrowed,),
    )


@family(tier=0)
def struct_created(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    struct = draw_struct(draw, kind)
    first, *others = struct.numbers
    label, text = struct.label, draw.choose("&str", "String")
    rest = {each: draw.integer(0, 12) for each in others}
    k, c, computed = draw.integer(2, 9), draw.integer(1, 12), others[0]
    values = {each: f"{first} * {k} + {c}" if each == computed else str(number) for each, number in rest.items()}
    given = f"{label}: {label}.{draw.style('to_string', 'to_owned')}()" if text == "&str" else label
    told = [f"`{each}` is {f'{k} times `{first}`, plus {c}' if each == computed else number}" for each, number in rest.items()]
    made = fill("$name {\n    $given,\n    $first,\n    $rest\n}", name=struct.name, given=given, first=first, rest="\n".join(f"{name}: {value}," for name, value in values.items()))

    def oracle(text: str, number: int) -> StructValue:
        return struct.value({label: text, first: number, **{each: number * k + c if each == computed else value for each, value in rest.items()}})

    return FunctionSpec(
        name=draw.style(f"new_{struct.noun}", f"make_{struct.noun}", f"create_{struct.noun}", f"{struct.noun}_of"), parameters={label: text, first: kind}, returns=struct.name, context=struct.context,
        words=[f"Creates a {struct.noun} with this `{label}` and `{first}`; {' and '.join(told)}.", f"Returns a new {struct.noun}. Its {' and its '.join(told)}."],
        forms=[made, made.replace("\n    ", " ").replace(",\n}", " }"), f"let created = {made};\ncreated"],
        oracle=oracle,
    )


@family(tier=0)
def struct_changed(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    struct = draw_struct(draw, kind)
    (field, other), change, c = struct.numbers[:2], draw.integer_mapping(kind), draw.integer(1, 12)
    owned = draw.choose(True, False)
    it = draw.style(struct.noun, "item", "value")
    rest = it if owned else f"{it}.clone()"
    forms = [
        f"{struct.name} {{ {field}: {change.on(f'{it}.{field}')}, {other}: {it}.{other} + {c}, ..{rest} }}", f"let {field} = {change.on(f'{it}.{field}')};\n{struct.name} {{ {field}, {other}: {it}.{other} + {c}, ..{rest} }}",
        f"let mut changed = {rest};\nchanged.{field} = {change.on(f'changed.{field}' if owned else f'{it}.{field}')};\nchanged.{other} += {c};\nchanged",
    ]
    return FunctionSpec(
        name=draw.style(f"change_{field}", f"with_other_{field}", f"updated_{struct.noun}", f"adjust_{struct.noun}"), parameters={it: struct.name if owned else f"&{struct.name}"}, returns=struct.name, context=struct.context,
        words=[f"Returns the {struct.noun} with its `{field}` {change.participle} and its `{other}` increased by {c}.", f"Returns {'the' if owned else 'a copy of the'} {struct.noun} whose `{field}` is {change.participle} and whose `{other}` is {c} larger; everything else stays the same."],
        forms=forms, oracle=lambda value: struct.changed(value, **{field: change(value.fields[field]), other: value.fields[other] + c}), inputs=lambda: (struct.draw(draw) if owned else struct.draw(draw).borrowed,),
    )


@family(tier=0)
def struct_shown(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    struct = draw_struct(draw, kind)
    label, number = struct.label, struct.numbers[0]
    pattern, said = draw.choose(
        ("{}: {}", "the {a}, a colon, a space and the {b}"), ("{} ({})", "the {a}, a space and the {b} in parentheses"), ("{} - {}", "the {a} and the {b}, separated by ` - `"),
        ("{}, {}", "the {a} and the {b}, separated by a comma and a space"), ("<{}|{}>", "the {a} and the {b} between `<` and `>`, separated by `|`"), (f"{{}} has {{}} {number}", f"the {{a}}, the word `has`, the {{b}} and the word `{number}`"),
        ("{}={}", "the {a}, an equals sign and the {b}"), ("{}/{}", "the {a} and the {b} with a slash between them"),
    )
    swapped = draw.choose(False, False, True)
    shown = (number, label) if swapped and "has" not in pattern else (label, number)
    it = draw.style(struct.noun, "item", "value")
    inline = pattern.replace("{}", f"{{{shown[0]}}}", 1).replace("{}", f"{{{shown[1]}}}", 1)
    lets = "".join(f"let {each} = {'&' if each == label else ''}{it}.{each};\n" for each in shown)
    formatted = f'format!("{pattern}", {it}.{shown[0]}, {it}.{shown[1]})'
    return FunctionSpec(
        name=draw.style(f"show_{struct.noun}", f"describe_{struct.noun}", f"{struct.noun}_line", "as_text", f"format_{struct.noun}"), parameters={it: f"&{struct.name}"}, returns="String", context=struct.context,
        words=[f"Returns {said.format(a=f'`{shown[0]}`', b=f'`{shown[1]}`')} of a {struct.noun}.", f"Describes a {struct.noun}: {said.format(a=f'`{shown[0]}`', b=f'`{shown[1]}`')}."],
        forms=[formatted, formatted, f'{lets}format!("{inline}")'],
        oracle=lambda value: pattern.format(value.fields[shown[0]], value.fields[shown[1]]), inputs=lambda: (struct.draw(draw).borrowed,),
    )


@family(tier=0)
def struct_chosen(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS, "f64")
    struct = draw_struct(draw, kind)
    field, most, text = struct.numbers[0], draw.choose(True, False), draw.choose(True, False, False)
    a, b = draw.style(("first", "second"), ("a", "b"), ("left", "right"), ("one", "other"))
    sign, keeps = (">", "<=") if most else ("<", ">=")
    end = f".{struct.label}" if text else ""
    ref = "&" if text else ""

    def oracle(x: StructValue, y: StructValue) -> Any:
        wins = y.fields[field] > x.fields[field] if most else y.fields[field] < x.fields[field]
        chosen = y if wins else x
        return chosen.fields[struct.label] if text else chosen

    which = f"the {struct.noun} with the {'larger' if most else 'smaller'} `{field}`"
    said = f"the `{struct.label}` of {which}" if text else which
    return FunctionSpec(
        name=draw.style(f"{'more' if most else 'less'}_{field}", f"choose_{struct.noun}", f"preferred_{struct.noun}", "winner" if most else "lowest"), generics="<'a>",
        parameters={a: f"&'a {struct.name}", b: f"&'a {struct.name}"}, returns="&'a str" if text else f"&'a {struct.name}", context=struct.context,
        words=[f"Returns {said}; `{a}` counts if they are equal.", f"Compares two and returns {said}. If both are equal, it is `{a}`."],
        forms=[f"if {b}.{field} {sign} {a}.{field} {{\n    {ref}{b}{end}\n}} else {{\n    {ref}{a}{end}\n}}", f"if {b}.{field} {keeps} {a}.{field} {{\n    {ref}{a}{end}\n}} else {{\n    {ref}{b}{end}\n}}", f"if {b}.{field} {sign} {a}.{field} {{\n    return {ref}{b}{end};\n}}\n{ref}{a}{end}"],
        oracle=oracle, inputs=lambda: (struct.draw(draw).borrowed, struct.draw(draw).borrowed),
    )


@family(tier=1)
def fields_totalled(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    struct = draw_struct(draw, kind)
    a, b = struct.numbers[:2]
    holds, wanted = draw.integer_predicate(kind), draw.choose("sum", "product", "count", "kept", "any", "all")
    many, it = draw.style((f"{struct.noun}s", struct.noun), ("items", "item"), ("values", "each"))
    kept = holds.on(f"{it}.{b}")
    loop = "let mut total = 0;\nfor {it} in {many} {{\n    {step}\n}}\ntotal".format

    def chosen(step: str) -> str:
        return f"if {kept} {{\n        {step};\n    }}"

    returns, said, forms, compute = {
        "sum": (kind, f"the sum of `{a}` of all {struct.noun}s", [f"{many}.iter().map(|{it}| {it}.{a}).sum()", loop(it=it, many=many, step=f"total += {it}.{a};")], lambda all_: sum(f[a] for f in all_)),
        "product": (kind, f"the sum, over all {struct.noun}s, of `{a}` times `{b}`", [f"{many}.iter().map(|{it}| {it}.{a} * {it}.{b}).sum()", loop(it=it, many=many, step=f"total += {it}.{a} * {it}.{b};")], lambda all_: sum(f[a] * f[b] for f in all_)),
        "count": ("usize", f"the number of {struct.noun}s whose `{b}` {holds.clause}", [f"{many}.iter().filter(|{it}| {kept}).count()", loop(it=it, many=many, step=chosen("total += 1"))], lambda all_: sum(holds(f[b]) for f in all_)),
        "kept": (kind, f"the sum of `{a}` of those {struct.noun}s whose `{b}` {holds.clause}", [f"{many}\n    .iter()\n    .filter(|{it}| {kept})\n    .map(|{it}| {it}.{a})\n    .sum()", loop(it=it, many=many, step=chosen(f"total += {it}.{a}"))], lambda all_: sum(f[a] for f in all_ if holds(f[b]))),
        "any": ("bool", f"whether `{b}` of any {struct.noun} {holds.clause}", [f"{many}.iter().any(|{it}| {kept})", f"for {it} in {many} {{\n    if {kept} {{\n        return true;\n    }}\n}}\nfalse"], lambda all_: any(holds(f[b]) for f in all_)),
        "all": ("bool", f"whether `{b}` of every {struct.noun} {holds.clause}", [f"{many}.iter().all(|{it}| {kept})", f"!{many}.iter().any(|{it}| !({kept}))"], lambda all_: all(holds(f[b]) for f in all_)),
    }[wanted]
    return FunctionSpec(
        name=draw.style(f"{struct.noun}s_{wanted}", f"{wanted}_of_{struct.noun}s", f"overall_{a}", f"summary_of_{b}"), parameters={many: f"&[{struct.name}]"}, returns=returns, context=struct.context,
        words=[f"Returns {said}.", f"Goes through all `{many}` and returns {said}."], forms=forms, oracle=lambda values: compute([each.fields for each in values]), inputs=lambda: (struct.draw_some(draw),),
    )


@family(tier=1)
def labels_of_kept(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    struct = draw_struct(draw, kind)
    field, label, holds = struct.numbers[0], struct.label, draw.integer_predicate(kind)
    filtered, ordered, borrowed = draw.choose(True, True, False), draw.choose(True, False), draw.choose(True, False, False)
    many, it = draw.style((f"{struct.noun}s", struct.noun), ("items", "item"), ("values", "each"))
    kept, take = holds.on(f"{it}.{field}"), f"{it}.{label}.as_str()" if borrowed else f"{it}.{label}.{draw.style('clone', 'to_string')}()"
    chain = f"{many}\n    .iter()\n" + (f"    .filter(|{it}| {kept})\n" if filtered else "") + f"    .map(|{it}| {take})\n    .collect()"
    returns = "Vec<&str>" if borrowed else "Vec<String>"
    push = f"found.push({take});"
    inner = f"if {kept} {{\n        {push}\n    }}" if filtered else push
    loop = f"let mut found = Vec::new();\nfor {it} in {many} {{\n    {inner}\n}}\n" + ("found.sort();\n" if ordered else "") + "found"
    forms = [loop, f"let mut found: {returns} = {chain};\nfound.sort();\nfound" if ordered else chain]
    said = f"the `{label}` of each {struct.noun}" + (f" whose `{field}` {holds.clause}" if filtered else "") + (", sorted" if ordered else ", in order")

    def oracle(values: Sequence[StructValue]) -> list[str]:
        found = [each.fields[label] for each in values if not filtered or holds(each.fields[field])]
        return sorted(found) if ordered else found

    return FunctionSpec(
        name=draw.style(f"{label}s", f"list_{label}s", f"{label}s_of_{struct.noun}s", f"chosen_{label}s"), parameters={many: f"&[{struct.name}]"}, returns=returns, context=struct.context,
        words=[f"Returns {said}.", f"Collects {said}.", f"Lists {said}."], forms=forms, oracle=oracle, inputs=lambda: (struct.draw_some(draw),),
    )


@family(tier=1)
def best_struct(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    struct = draw_struct(draw, kind)
    field, most, last = struct.numbers[0], draw.choose(True, False), draw.choose(True, False)
    copied = draw.choose(True, False, False)
    many, it = draw.style((f"{struct.noun}s", struct.noun), ("items", "item"), ("values", "each"))
    end = ".cloned()" if copied else ""
    sign = (">=" if last else ">") if most else ("<=" if last else "<")
    loop = f"let mut best: Option<&{struct.name}> = None;\nfor {it} in {many} {{\n    match best {{\n        Some(current) if !({it}.{field} {sign} current.{field}) => {{}}\n        _ => best = Some({it}),\n    }}\n}}\nbest{end}"
    start = f"let mut best = {many}.first()?;\nfor {it} in {many} {{\n    if {it}.{field} {sign} best.{field} {{\n        best = {it};\n    }}\n}}\nSome(best{'.clone()' if copied else ''})"
    # `max_by_key` returns the last of equal ones and `min_by_key` the first.
    order = "" if most == last else ".rev()"
    keyed = f"{many}.iter(){order}.{'max' if most else 'min'}_by_key(|{it}| {it}.{field}){end}"

    def oracle(values: Sequence[StructValue]) -> Raw:
        if not values:
            return Raw("None")
        target = (max if most else min)(each.fields[field] for each in values)
        found = [each for each in values if each.fields[field] == target][-1 if last else 0]
        return Raw(f"Some({found.rust if copied else found.borrowed.rust})")

    said = f"the {struct.noun} with the {'largest' if most else 'smallest'} `{field}`, the {'last' if last else 'first'} one if several are equal"
    return FunctionSpec(
        name=draw.style(f"{'most' if most else 'least'}_{field}", f"best_{struct.noun}" if most else f"smallest_{struct.noun}", f"pick_{struct.noun}", f"find_{struct.noun}"), parameters={many: f"&[{struct.name}]"},
        returns=f"Option<{struct.name}>" if copied else f"Option<&{struct.name}>", context=struct.context, words=[f"Returns {said}; `None` if there is none.", f"Finds {said}. Returns `None` for an empty slice."],
        forms=[loop, start, keyed, keyed], oracle=oracle, inputs=lambda: (struct.draw_some(draw),),
    )


@family(tier=1)
def structs_kept(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    struct = draw_struct(draw, kind)
    field, holds, change = draw.choose(*struct.numbers[:2]), draw.integer_predicate(kind), draw.integer_mapping(kind)
    wanted, owned = draw.choose("kept", "dropped", "changed"), draw.choose(True, False)
    many, it = draw.style((f"{struct.noun}s", struct.noun), ("items", "item"), ("values", "each"))
    test = holds.on(f"{it}.{field}") if wanted == "kept" else f"!({holds.on(f'{it}.{field}')})"
    begin = f"{many}.into_iter()" if owned else f"{many}.iter()"
    if wanted == "changed":
        whole = it if owned else f"{it}.clone()"
        made = f"{struct.name} {{ {field}: {change.on(f'{it}.{field}')}, ..{whole} }}"
        forms = [f"{begin}.map(|{it}| {made}).collect()", f"let mut out = Vec::new();\nfor {it} in {many} {{\n    out.push({made});\n}}\nout"]
        said = f"all {struct.noun}s with their `{field}` {change.participle}"
    else:
        forms = [f"{begin}.filter(|{it}| {test}){'' if owned else '.cloned()'}.collect()", f"let mut out = Vec::new();\nfor {it} in {many} {{\n    if {test} {{\n        out.push({it}{'' if owned else '.clone()'});\n    }}\n}}\nout"]
        said = f"the {struct.noun}s whose `{field}` {holds.clause}" if wanted == "kept" else f"the {struct.noun}s without those whose `{field}` {holds.clause}"

    def oracle(values: Sequence[StructValue]) -> list[StructValue]:
        if wanted == "changed":
            return [struct.changed(each, **{field: change(each.fields[field])}) for each in values]
        return [each for each in values if holds(each.fields[field]) == (wanted == "kept")]

    return FunctionSpec(
        name=draw.style(f"{wanted}_{struct.noun}s", f"select_{struct.noun}s" if wanted != "changed" else f"update_{struct.noun}s", f"{struct.noun}s_by_{field}"), parameters={many: f"Vec<{struct.name}>" if owned else f"&[{struct.name}]"},
        returns=f"Vec<{struct.name}>", context=struct.context, words=[f"Returns {said}.", f"Returns {said}, in their order.", f"From `{many}`, returns {said}."], forms=forms, oracle=oracle, inputs=lambda: (struct.draw_some(draw),),
    )


@family(tier=1)
def struct_updated(draw: Draw) -> FunctionSpec:
    kind = draw.choose("u32", "u64", "i32", "i64")
    struct = draw_struct(draw, kind)
    field, limit, wanted = struct.numbers[0], draw.integer(10, 60), draw.choose("add", "take", "rename")
    it = draw.style(struct.noun, "item", "value")
    label = struct.label
    if wanted == "rename":
        forms = [f"if {label}.is_empty() {{\n    return false;\n}}\n{it}.{label} = {label}.to_string();\ntrue", f"let valid = !{label}.is_empty();\nif valid {{\n    {it}.{label} = String::from({label});\n}}\nvalid"]
        said = f"Gives the {struct.noun} another `{label}`, unless that is empty. Returns whether it was changed."
        parameters = {it: f"&mut {struct.name}", label: "&str"}
    else:
        condition, sign, unless = (f"{it}.{field} + amount <= {limit}", "+", f"the result exceeds {limit}") if wanted == "add" else (f"{it}.{field} >= amount", "-", f"`{field}` is less")
        refused = f"{it}.{field} + amount > {limit}" if wanted == "add" else f"{it}.{field} < amount"
        forms = [f"if {condition} {{\n    {it}.{field} {sign}= amount;\n    true\n}} else {{\n    false\n}}", f"if {refused} {{\n    return false;\n}}\n{it}.{field} {sign}= amount;\ntrue"]
        said = f"{'Adds `amount` to' if wanted == 'add' else 'Subtracts `amount` from'} `{field}` of the {struct.noun}, unless {unless}. Returns whether it was changed."
        parameters = {it: f"&mut {struct.name}", "amount": kind}

    def oracle(values: list[StructValue], given: Any) -> bool:
        value = values[0]
        if wanted == "rename":
            possible, new = bool(given), {label: given}
        else:
            number = value.fields[field]
            possible = number + given <= limit if wanted == "add" else number >= given
            new = {field: number + given if wanted == "add" else number - given}
        if possible:
            values[0] = struct.changed(value, **new)
        return possible

    def inputs() -> tuple:
        return ([struct.draw(draw)], draw.text(draw.arguments.randint(0, 1)) if wanted == "rename" else draw.arguments.randint(0, limit))

    return FunctionSpec(
        name=draw.style(f"{wanted}_{field}" if wanted != "rename" else f"rename_{struct.noun}", f"update_{struct.noun}", f"try_{wanted}", f"{wanted}_if_possible"), parameters=parameters, returns="bool", context=struct.context,
        words=[said, said.replace("Returns whether it was changed.", "Returns `true` if it was changed.")], forms=forms, oracle=oracle, inputs=inputs,
    )


@family(tier=2)
def totals_by_label(draw: Draw) -> FunctionSpec:
    kind, ordered = draw.choose(*INTEGERS), draw.choose(True, True, False)
    struct = draw_struct(draw, kind)
    field, label, wanted = struct.numbers[0], struct.label, draw.choose("sum", "most", "list", "count")
    holds, filtered = draw.integer_predicate(kind), draw.choose(True, False) or wanted == "list"
    many, it = draw.style((f"{struct.noun}s", struct.noun), ("items", "item"), ("values", "each"))
    outer = "BTreeMap" if ordered else "HashMap"
    entry = f"map.entry({it}.{label}.clone())"
    inner, step, said = {
        "sum": (kind, f"*{entry}.or_insert(0) += {it}.{field};", f"the sum of their `{field}`"),
        "most": (kind, f"let top = {entry}.or_insert({it}.{field});\n    *top = (*top).max({it}.{field});", f"their largest `{field}`"),
        "list": (f"Vec<{kind}>", f"{entry}.or_insert_with(Vec::new).push({it}.{field});", f"a list of their `{field}`"),
        "count": ("usize", f"*{entry}.or_insert(0) += 1;", "how many there are"),
    }[wanted]
    begin = f"let mut map: {outer}<String, {inner}> = {outer}::new();"
    skip = f"if {holds.on(f'{it}.{field}')} {{\n        continue;\n    }}\n    " if filtered else ""

    def oracle(values: Sequence[StructValue]) -> dict[str, Any]:
        lists: dict[str, list[int]] = {}
        for each in values:
            if not filtered or not holds(each.fields[field]):
                lists.setdefault(each.fields[label], []).append(each.fields[field])
        if not ordered and not lists:
            raise Undefined("the type of an empty map would be repeated")
        return {name: {"sum": sum, "most": max, "list": list, "count": len}[wanted](numbers) for name, numbers in lists.items()}

    def inputs() -> tuple:
        some = [struct.draw(draw) for _ in range(draw.arguments.randint(1, 4))]
        shared = [struct.changed(each, **{label: some[0].fields[label]}) if draw.arguments.random() < 0.4 else each for each in some]
        return (shared,)

    omitted = f" Those whose `{field}` {holds.clause} are left out." if filtered else ""
    return FunctionSpec(
        name=draw.style(f"{field}_by_{label}", f"{struct.noun}s_by_{label}", f"group_by_{label}", f"{wanted}_per_{label}"), parameters={many: f"&[{struct.name}]"}, returns=f"{outer}<String, {inner}>",
        imports=[f"use std::collections::{outer};"], context=struct.context, forms=[f"let mut map = {outer}::new();\nfor {it} in {many} {{\n    {skip}{step}\n}}\nmap", f"{begin}\nfor {it} in {many} {{\n    {skip}{step.replace('or_insert_with(Vec::new)', 'or_default()')}\n}}\nmap"],
        words=[f"Groups the {struct.noun}s by `{label}` and returns {said} for each.{omitted}", f"For each `{label}` of the {struct.noun}s, returns {said}.{omitted}"], oracle=oracle, inputs=inputs,
    )
