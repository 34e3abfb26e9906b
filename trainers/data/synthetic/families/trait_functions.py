"""Functions of traits and generic structs, whose definition comes before the function."""

from trainers.data.synthetic.families.traits import SUBJECTS
from trainers.data.synthetic.family import Case, Draw, FunctionSpec, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.writing import fill

HOLDERS = (("Shelf", "items"), ("Pile", "cards"), ("Basket", "contents"), ("Deck", "entries"), ("Row", "cells"), ("Bag", "things"), ("Log", "lines"), ("Convoy", "members"))
BOTH = (("Couple", "left", "right"), ("Game", "home", "guest"), ("Edge", "from", "to"), ("Bounds", "low", "high"), ("Swap", "old", "new"), ("Duo", "one", "other"))


def implemented(trait: str, method: str, returns: str, name: str, body: str) -> str:
    """Return a type with one number that implements a trait, for the setup of a case."""
    inner = returns.replace("String", "&'static str")
    return f"struct {name}({inner}); impl {trait} for {name} {{ fn {method}(&self) -> {returns} {{ {body} }} }}"


@family(tier=1)
def trait_total(draw: Draw) -> FunctionSpec:
    trait, method, ((first, _), (second, _), _) = draw.choose(*SUBJECTS)
    kind, passed = draw.choose("i32", "u32", "i64", "u64"), draw.choose("Box", "reference", "generic", "where")
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    wanted = draw.choose("sum", "changed", "largest", "count", "any", "all", "list")
    many, it = draw.style(("items", "item"), ("values", "each"), ("all", "one"))
    value, test = f"{it}.{method}()", holds.on(method)
    returns, said, forms, compute = {
        "sum": (kind, f"the sum of `{method}` of all `{many}`", [f"{many}.iter().map(|{it}| {value}).sum()", f"let mut total = 0;\nfor {it} in {many} {{\n    total += {value};\n}}\ntotal"], sum),
        "changed": (kind, f"the sum of `{method}` of all `{many}`, each {change.participle}", [f"let mut total = 0;\nfor {it} in {many} {{\n    let {method} = {value};\n    total += {change.on(method)};\n}}\ntotal"], lambda a: sum(map(change, a))),
        "largest": (f"Option<{kind}>", f"the largest `{method}`, or `None` if there is none", [f"{many}.iter().map(|{it}| {value}).max()", f"let mut largest = None;\nfor {it} in {many} {{\n    largest = largest.max(Some({value}));\n}}\nlargest"], lambda a: max(a, default=None)),
        "count": ("usize", f"how many of `{many}` have a `{method}` that {holds.clause}", [f"let mut count = 0;\nfor {it} in {many} {{\n    let {method} = {value};\n    if {test} {{\n        count += 1;\n    }}\n}}\ncount", f"{many}\n    .iter()\n    .map(|{it}| {value})\n    .filter(|&{method}| {test})\n    .count()"], lambda a: sum(map(holds, a))),
        "any": ("bool", f"whether `{method}` of any of them {holds.clause}", [f"{many}.iter().map(|{it}| {value}).any(|{method}| {test})", f"for {it} in {many} {{\n    let {method} = {value};\n    if {test} {{\n        return true;\n    }}\n}}\nfalse"], lambda a: any(map(holds, a))),
        "all": ("bool", f"whether `{method}` of all of them {holds.clause}", [f"{many}.iter().map(|{it}| {value}).all(|{method}| {test})"], lambda a: all(map(holds, a))),
        "list": (f"Vec<{kind}>", f"`{method}` of all `{many}`, in order", [f"{many}.iter().map(|{it}| {value}).collect()", f"let mut out = Vec::new();\nfor {it} in {many} {{\n    out.push({value});\n}}\nout"], list),
    }[wanted]
    generics, taken, where = {"Box": ("", f"&[Box<dyn {trait}>]", ""), "reference": ("", f"&[&dyn {trait}]", ""), "generic": (f"<T: {trait}>", "&[T]", ""), "where": ("<T>", "&[T]", f"where T: {trait}")}[passed]
    types = implemented(trait, method, kind, first, "self.0") + ("" if generics else " " + implemented(trait, method, kind, second, "self.0 + 1"))
    call = draw.style(f"{method}_{wanted}", f"overall_{method}", f"{wanted}_of_all", f"summed_{method}" if wanted == "sum" else f"check_{method}")
    cases = []
    for size in (0, 1, 2, 3, 4, 5, 5, 4):
        numbers = [abs(draw.value(kind)) for _ in range(size)]
        own = [bool(generics) or draw.arguments.random() < 0.5 for _ in numbers]
        made = [f"{first}({number})" if one else f"{second}({number})" for number, one in zip(numbers, own, strict=True)]
        built = {"Box": f"Vec::<Box<dyn {trait}>>::from([{', '.join(f'Box::new({each}) as Box<dyn {trait}>' for each in made)}])", "reference": f"[{', '.join(f'&{each} as &dyn {trait}' for each in made)}]"}.get(passed, f"[{', '.join(made)}]")
        if not made and passed != "Box":
            continue
        results = [number if one else number + 1 for number, one in zip(numbers, own, strict=True)]
        cases.append(Case(f"{call}(&{built})", literal(compute(results), returns), types))
    return FunctionSpec(
        name=call, generics=generics, parameters={many: taken}, where_clause=where, returns=returns, words=[f"Returns {said}.", f"Computes {said}."], forms=forms, cases=cases,
        context=f"/// {draw.style('Anything that has a', 'A type with a', 'Something with a')} {method}.\npub trait {trait} {{\n    fn {method}(&self) -> {kind};\n}}",
    )


@family(tier=0)
def trait_pair(draw: Draw) -> FunctionSpec:
    trait, method, ((first, _), _, _) = draw.choose(*SUBJECTS)
    kind, passed = draw.choose("i32", "u32", "i64", "u64", "f64"), draw.choose("dyn", "impl", "generic")
    k, wanted = draw.integer(2, 9), draw.choose("sum", "larger", "more", "times", "product")
    point = ".0" if kind == "f64" else ""
    a, b = draw.style(("first", "second"), ("a", "b"), ("one", "other"), ("left", "right"))
    x, y = f"{a}.{method}()", f"{b}.{method}()"
    returns, said, rust, compute = {
        "sum": (kind, f"the sum of `{method}` of both", f"{x} + {y}", lambda x, y: x + y), "larger": (kind, f"the larger `{method}` of the two", f"{x}.max({y})", max), "more": ("bool", f"whether `{a}` has a larger `{method}` than `{b}`", f"{x} > {y}", lambda x, y: x > y),
        "times": (kind, f"{k} times the `{method}` of `{a}`, plus that of `{b}`", f"{x} * {k}{point} + {y}", lambda x, y: x * k + y), "product": (kind, f"the product of `{method}` of both", f"{x} * {y}", lambda x, y: x * y),
    }[wanted]
    generics, taken = {"dyn": ("", f"&dyn {trait}"), "impl": ("", f"&impl {trait}"), "generic": (f"<T: {trait}>", "&T")}[passed]
    call = draw.style(f"{wanted}_{method}", f"combined_{method}", f"{method}_of_both", "compare" if wanted == "more" else "together")
    bound = f"let {a} = {x};\nlet {b} = {y};\n{rust.replace(x, a).replace(y, b)}"
    types = implemented(trait, method, kind, first, "self.0")
    cases = []
    for _ in range(10):
        numbers = [abs(draw.value(kind)) for _ in range(2)]
        given = ", ".join(f"&{first}({literal(number, kind)})" for number in numbers)
        cases.append(Case(f"{call}({given})", literal(compute(*numbers), returns), types))
    return FunctionSpec(
        name=call, generics=generics, parameters={a: taken, b: taken}, returns=returns, words=[f"Returns {said}.", f"Returns {said}, whatever they are."], forms=[rust, rust, bound], cases=cases,
        context=f"/// {draw.style('Anything that has a', 'A type with a', 'Something with a')} {method}.\npub trait {trait} {{\n    fn {method}(&self) -> {kind};\n}}",
    )


@family(tier=1)
def trait_texts(draw: Draw) -> FunctionSpec:
    trait, method = draw.choose(("Named", "name"), ("Titled", "title"), ("Labeled", "label"), ("Tagged", "tag"), ("Signed", "signature"), ("Greeting", "greet"), ("Motto", "motto"), ("Printed", "line"))
    boxed, wanted, sign = draw.choose(True, False), draw.choose("joined", "listed", "longest", "found"), draw.choose(", ", "-", "; ", " ", "/")
    it = draw.style("item", "each", "one")
    returns, said, forms = {
        "joined": ("String", f'all `{method}`, joined by "{sign}"', [f'let texts: Vec<String> = items.iter().map(|{it}| {it}.{method}()).collect();\ntexts.join("{sign}")', f'let mut text = String::new();\nfor (index, {it}) in items.iter().enumerate() {{\n    if index > 0 {{\n        text.push_str("{sign}");\n    }}\n    text.push_str(&{it}.{method}());\n}}\ntext']),
        "listed": ("Vec<String>", f"all `{method}`, in order", [f"items.iter().map(|{it}| {it}.{method}()).collect()", f"let mut texts = Vec::new();\nfor {it} in items {{\n    texts.push({it}.{method}());\n}}\ntexts"]),
        "longest": ("usize", f"the length in bytes of the longest `{method}`, or 0 if there is none", [f"items.iter().map(|{it}| {it}.{method}().len()).max().unwrap_or(0)", f"let mut longest = 0;\nfor {it} in items {{\n    longest = longest.max({it}.{method}().len());\n}}\nlongest"]),
        "found": ("bool", f"whether some `{method}` is equal to `wanted`", [f"items.iter().any(|{it}| {it}.{method}() == wanted)", f"for {it} in items {{\n    if {it}.{method}() == wanted {{\n        return true;\n    }}\n}}\nfalse"]),
    }[wanted]
    call = draw.style(f"{method}s", f"{wanted}_{method}s", f"all_{method}s", f"collect_{method}s" if wanted != "found" else f"has_{method}")
    given = {"items": f"&[Box<dyn {trait}>]" if boxed else "&[T]", **({"wanted": "&str"} if wanted == "found" else {})}
    types = implemented(trait, method, "String", "Sample", "self.0.to_string()")
    cases = []
    for size in (1, 2, 3, 4, 4, 3, 2):
        texts = [draw.text(1) for _ in range(size)]
        asked = draw.arguments.choice((texts[-1], "absent"))
        built = ", ".join(f'Box::new(Sample("{each}")) as Box<dyn {trait}>' if boxed else f'Sample("{each}")' for each in texts)
        result = {"joined": sign.join(texts), "listed": texts, "longest": max(map(len, texts)), "found": asked in texts}[wanted]
        more = f", {literal(asked, '&str')}" if wanted == "found" else ""
        cases.append(Case(f"{call}(&[{built}]{more})", literal(result, returns), types))
    return FunctionSpec(
        name=call, generics="" if boxed else f"<T: {trait}>", parameters=given, returns=returns, words=[f"Returns {said}.", f"Goes through `items` and returns {said}."], forms=forms, cases=cases,
        context=f"/// {draw.style('Has a text.', f'Something with a {method}.', 'Can be described.')}\npub trait {trait} {{\n    fn {method}(&self) -> String;\n}}",
    )


@family(tier=1)
def generic_holder(draw: Draw) -> FunctionSpec:
    name, items = draw.choose(*HOLDERS)
    wanted = draw.choose("first", "last", "size", "add", "contains", "reversed", "longer", "take")
    limit = draw.integer(2, 6)
    it = name.lower()
    generics, parameters, returns, said, forms = {
        "first": ("<T>", {it: f"&{name}<T>"}, "Option<&T>", f"the element at index {limit}, or `None` if there is none", [f"if {it}.{items}.len() <= {limit} {{\n    return None;\n}}\nSome(&{it}.{items}[{limit}])"]),
        "last": ("<T: Clone>", {it: f"&{name}<T>"}, "Option<T>", f"a copy of the element before the last {limit}, or `None` if there is none", [f"let size = {it}.{items}.len();\nif size <= {limit} {{\n    return None;\n}}\nSome({it}.{items}[size - {limit} - 1].clone())"]),
        "size": ("<T>", {it: f"&{name}<T>"}, "usize", f"the number of elements, but at most {limit}", [f"{it}.{items}.len().min({limit})", f"let size = {it}.{items}.len();\nif size > {limit} {{\n    {limit}\n}} else {{\n    size\n}}"]),
        "add": ("<T>", {it: f"&mut {name}<T>", "value": "T"}, "bool", f"whether there were less than {limit} elements; if so, adds `value` at the end", [f"if {it}.{items}.len() >= {limit} {{\n    return false;\n}}\n{it}.{items}.push(value);\ntrue", f"let free = {it}.{items}.len() < {limit};\nif free {{\n    {it}.{items}.push(value);\n}}\nfree"]),
        "contains": ("<T: PartialEq>", {it: f"&{name}<T>", "wanted": "&T"}, "bool", "whether some element equals `wanted`", [f"{it}.{items}.contains(wanted)", f"{it}.{items}.iter().any(|each| each == wanted)", f"for each in &{it}.{items} {{\n    if each == wanted {{\n        return true;\n    }}\n}}\nfalse"]),
        "reversed": ("<T: Clone>", {it: f"&{name}<T>"}, "Vec<T>", "copies of all elements, the last one first", [f"{it}.{items}.iter().rev().cloned().collect()", f"let mut all = {it}.{items}.clone();\nall.reverse();\nall"]),
        "longer": ("<T>", {it: f"&{name}<T>", "other": f"&{name}<T>"}, "bool", "whether the first one has more elements than `other`", [f"{it}.{items}.len() > other.{items}.len()"]),
        "take": ("<T>", {it: f"{name}<T>"}, "Vec<T>", f"the first {limit} elements, or all if there are less", [f"{it}.{items}.into_iter().take({limit}).collect()", f"let mut all = {it}.{items};\nall.truncate({limit});\nall"]),
    }[wanted]
    kind = draw.arguments.choice(("i32", "u8", "i64"))
    call = draw.style(f"{wanted}_of", f"{it}_{wanted}", f"{wanted}_{items}")

    def made(numbers: list[int]) -> str:
        return f"{name} {{ {items}: {literal(numbers, f'Vec<{kind}>')} }}"

    cases = []
    for size in (0, 1, 2, limit - 1, limit, limit + 1, limit + 2, limit + 3):
        numbers = [draw.arguments.randint(0, 40) for _ in range(size)]
        others, asked = [draw.arguments.randint(0, 9) for _ in range(draw.arguments.randint(0, 4))], draw.arguments.choice([*numbers, 7])
        borrowed = f"&{made(numbers)}"
        if wanted == "add":
            fits = size < limit
            cases.append(Case(f"(added, {it}.{items})", f"({literal(fits, 'bool')}, {literal([*numbers, asked] if fits else numbers, f'Vec<{kind}>')})", f"let mut {it} = {made(numbers)}; let added = {call}(&mut {it}, {asked});"))
            continue
        arguments, result = {
            "first": (borrowed, f"Some(&{numbers[limit]})" if size > limit else "None"), "last": (borrowed, literal(numbers[-1 - limit] if size > limit else None, f"Option<{kind}>")), "size": (borrowed, str(min(size, limit))),
            "contains": (f"{borrowed}, &{asked}", literal(asked in numbers, "bool")), "reversed": (borrowed, literal(numbers[::-1], f"Vec<{kind}>")),
            "longer": (f"{borrowed}, &{made(others)}", literal(size > len(others), "bool")), "take": (made(numbers), literal(numbers[:limit], f"Vec<{kind}>")),
        }[wanted]
        cases.append(Case(f"{call}({arguments})", result))
    context = fill("/// $said\npub struct $name<T> {\n    pub $items: Vec<T>,\n}", said=draw.style(f"A {it} of elements.", "Holds some elements.", "A list of elements of any type."), name=name, items=items)
    return FunctionSpec(name=call, generics=generics, parameters=parameters, returns=returns, words=[f"Returns {said}.", f"Returns {said}, for a {it}." if wanted != "add" else f"Returns {said}."], forms=forms, cases=cases, context=context)


@family(tier=0)
def generic_pair(draw: Draw) -> FunctionSpec:
    name, a, b = draw.choose(*BOTH)
    wanted = draw.choose("ordered", "larger", "contains", "rises", "above", "other")
    kind, borrowed = draw.choose("i32", "u8", "char"), draw.choose(True, False)
    it = draw.style(name.lower(), "pair", "value")
    x, y = f"{it}.{a}", f"{it}.{b}"
    generics, more, returns, said, forms = {
        "ordered": ("<T: PartialOrd + Copy>", {}, "(T, T)", f"`{a}` and `{b}`, the smaller one first", [f"if {x} <= {y} {{\n    ({x}, {y})\n}} else {{\n    ({y}, {x})\n}}", f"if {x} > {y} {{\n    return ({y}, {x});\n}}\n({x}, {y})"]),
        "larger": ("<T: PartialOrd + Copy>", {}, "T", f"the larger one of `{a}` and `{b}`", [f"if {x} > {y} {{\n    {x}\n}} else {{\n    {y}\n}}", f"if {y} > {x} {{\n    return {y};\n}}\n{x}"]),
        "contains": ("<T: PartialEq>", {"wanted": "&T"}, "bool", f"whether `{a}` or `{b}` equals `wanted`", [f"{x} == *wanted || {y} == *wanted", f"&{x} == wanted || &{y} == wanted"]),
        "rises": ("<T: PartialOrd>", {}, "bool", f"whether `{b}` is larger than `{a}`", [f"{x} < {y}", f"{y} > {x}"]),
        "above": ("<T: PartialOrd + Clone>", {"floor": "&T"}, "Vec<T>", f"those of `{a}` and `{b}` that are larger than `floor`", [f"let mut found = Vec::new();\nif {x} > *floor {{\n    found.push({x}.clone());\n}}\nif {y} > *floor {{\n    found.push({y}.clone());\n}}\nfound"]),
        "other": ("<T: PartialEq + Clone>", {"one": "&T"}, "Option<T>", f"`{b}` if `one` equals `{a}`, `{a}` if it equals `{b}`, and otherwise `None`", [f"if {x} == *one {{\n    Some({y}.clone())\n}} else if {y} == *one {{\n    Some({x}.clone())\n}} else {{\n    None\n}}"]),
    }[wanted]
    parameters = {it: f"{'&' if borrowed else ''}{name}<T>", **more}
    call = draw.style(f"{wanted}_{name.lower()}", f"{name.lower()}_{wanted}", f"{wanted}_of_both")
    cases = []
    for _ in range(12):
        values = [draw.arguments.randint(0, 90) if kind == "u8" else draw.value(kind) for _ in range(2)]
        values = [values[0]] * 2 if draw.arguments.random() < 0.2 else values
        given = draw.arguments.choice([*values, values[0], draw.arguments.randint(0, 90) if kind != "char" else "m"])
        found = [each for each in values if each > given]
        low, high = sorted(values)
        result = {"ordered": f"({literal(low, kind)}, {literal(high, kind)})", "larger": literal(high, kind), "contains": literal(given in values, "bool"), "rises": literal(values[0] < values[1], "bool"), "above": literal(found, f"Vec<{kind}>"), "other": literal(values[1] if given == values[0] else values[0] if given == values[1] else None, f"Option<{kind}>")}[wanted]
        passed = f", &{literal(given, kind)}" if more else ""
        built = ", ".join(f"{field}: {literal(each, kind)}" for field, each in zip((a, b), values, strict=True))
        cases.append(Case(f"{call}({'&' if borrowed else ''}{name} {{ {built} }}{passed})", result))
    distinct = list({case.actual: case for case in cases}.values())
    context = fill("/// $said\n#[derive(Debug, PartialEq)]\npub struct $name<T> {\n    pub $a: T,\n    pub $b: T,\n}", said=draw.style("Two values of one type.", f"A {name.lower()} of two values."), name=name, a=a, b=b)
    return FunctionSpec(name=call, generics=generics, parameters=parameters, returns=returns, words=[f"Returns {said}.", f"Returns {said}, for two values of any type."], forms=forms, cases=distinct, context=context)
