"""Ownership and borrowing: changes in place, taken values, closures with state and `Cow`."""

from trainers.data.synthetic.family import Case, Draw, FunctionSpec, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.writing import braced, items

KINDS = ("i32", "i64", "u32", "u64")


def numbers(draw: Draw, size: int, low: int = 1, high: int = 40) -> list[int]:
    return [draw.arguments.randint(low, high) for _ in range(size)]


def _any_list(draw: Draw, kind: str, longest: int = 8) -> list[int]:
    return numbers(draw, draw.arguments.randint(0, longest), -15 if kind.startswith("i") else 0, 30)


@family(tier=1)
def owned_vector(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    holds, k = draw.integer_predicate(kind), draw.integer(1, 5)
    x = holds.on("value")
    first, after, said = draw.choose(
        ("result.reverse();", lambda v: v[::-1], "reversed"), ("result.sort();", sorted, "sorted"), ("result.dedup();", lambda v: [n for i, n in enumerate(v) if not i or v[i - 1] != n], "with consecutive duplicates removed"),
        (f"result.truncate({k});", lambda v: v[:k], f"truncated to the first {'one' if k == 1 else k}"), (f"result.push({k});", lambda v: [*v, k], f"with {k} appended"), (f"result.insert(0, {k});", lambda v: [k, *v], f"with {k} inserted at the front"), ("result.extend_from_within(..);", lambda v: v + v, "followed by the same numbers again"),
    )
    parameter = draw.style("values", "numbers", "list")
    return FunctionSpec(
        name=draw.style("prepare", "filtered", "cleaned", "into_kept", "consume", "keep_" + holds.slug),
        parameters={parameter: f"Vec<{kind}>"}, returns=f"Vec<{kind}>",
        words=[f"Takes `{parameter}` and returns the {holds.plural}, {said}.", f"Consumes the vector `{parameter}` and returns its {holds.plural}, {said}.", f"Returns only the {holds.plural} of `{parameter}`, {said}."],
        forms=[
            f"let mut result = {parameter};\nresult.retain(|&value| {x});\n{first}\nresult",
            f"let mut result: Vec<{kind}> = {parameter}.into_iter().filter(|&value| {x}).collect();\n{first}\nresult",
            f"let mut result = Vec::new();\nfor value in {parameter} {{\n    if {x} {{\n        result.push(value);\n    }}\n}}\n{first}\nresult",
        ],
        oracle=lambda values: after([n for n in values if holds(n)]), inputs=lambda: (_any_list(draw, kind),),
    )


@family(tier=1)
def changed_in_place(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    counted, target = draw.choose(True, False), draw.choose("[{}]", "Vec<{}>")
    x, m = holds.on("old"), change.on("old")
    parameter = draw.style("values", "data", "numbers")
    begin, step, end = ("let mut count = 0;\n", "\n        count += 1;", "\ncount") if counted else ("", "", "")

    def oracle(values: list[int]) -> int | None:
        chosen = [i for i, n in enumerate(values) if holds(n)]
        for i in chosen:
            values[i] = change(values[i])
        return len(chosen) if counted else None

    forms = [
        f"{begin}for value in {parameter}.iter_mut() {{\n    let old = *value;\n    if {x} {{\n        *value = {m};{step}\n    }}\n}}{end}",
        f"{begin}for index in 0..{parameter}.len() {{\n    let old = {parameter}[index];\n    if {x} {{\n        {parameter}[index] = {m};{step}\n    }}\n}}{end}",
    ]
    if not counted:
        forms.append(f"{parameter}.iter_mut().for_each(|value| {{\n    let old = *value;\n    if {x} {{\n        *value = {m};\n    }}\n}});")
    told = " Returns the number of replaced values." if counted else ""
    return FunctionSpec(
        name=draw.style("adjust", "update_all", "change_matching", "rewrite", f"update_{holds.slug}"),
        parameters={parameter: "&mut " + target.format(kind)}, returns="usize" if counted else None,
        words=[f"Replaces each number in `{parameter}` that {holds.clause} with itself {change.participle}.{told}", f"Modifies `{parameter}` in place: all {holds.plural} are {change.participle}.{told}"],
        forms=forms, oracle=oracle, inputs=lambda: (_any_list(draw, kind),),
    )


@family(tier=2)
def removed_from_vector(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    holds, k = draw.integer_predicate(kind), draw.integer(1, 5)
    x = holds.on("value")
    way = draw.choose("partition", "partition", "from first", "last few", "first few", "first one")
    parameter = draw.style("values", "queue", "stock", "pile")
    v = parameter
    returns = f"Option<{kind}>" if way == "first one" else f"Vec<{kind}>"
    words, forms, split = {
        "partition": ([f"Removes the {holds.plural} from `{v}` and returns them. Both vectors keep the original order.", f"Moves every number that {holds.clause} from `{v}` into the returned vector, preserving the order of both."],
                      [f"let mut removed = Vec::new();\n{v}.retain(|&value| {{\n    let chosen = {x};\n    if chosen {{\n        removed.push(value);\n    }}\n    !chosen\n}});\nremoved",
                       f"let (removed, kept): (Vec<{kind}>, Vec<{kind}>) = {v}.drain(..).partition(|&value| {x});\n*{v} = kept;\nremoved",
                       f"let mut removed = Vec::new();\nlet mut index = 0;\nwhile index < {v}.len() {{\n    let value = {v}[index];\n    if {x} {{\n        removed.push({v}.remove(index));\n    }} else {{\n        index += 1;\n    }}\n}}\nremoved"],
                      lambda a: ([n for n in a if holds(n)], [n for n in a if not holds(n)])),
        "from first": ([f"Splits `{v}` before the first number that {holds.clause}: it keeps the numbers before that, and the rest is returned. If there is no such number, nothing is removed.", f"Removes the first of the {holds.plural} and everything after it from `{v}` and returns the removed numbers, which may be none."],
                       [f"match {v}.iter().position(|&value| {x}) {{\n    Some(index) => {v}.split_off(index),\n    None => Vec::new(),\n}}", f"let index = {v}\n    .iter()\n    .position(|&value| {x})\n    .unwrap_or({v}.len());\n{v}.drain(index..).collect()"],
                       lambda a: (lambda i: (a[i:], a[:i]))(next((i for i, n in enumerate(a) if holds(n)), len(a)))),
        "last few": ([f"Removes the last {'number' if k == 1 else f'{k} numbers'} from `{v}`{'' if k == 1 else ', or all if there are fewer,'} and returns the {holds.plural} among the removed numbers in their original order."],
                     [f"let start = {v}.len().saturating_sub({k});\nlet mut removed = {v}.split_off(start);\nremoved.retain(|&value| {x});\nremoved", f"let start = {v}.len().saturating_sub({k});\n{v}.drain(start..).filter(|&value| {x}).collect()"],
                     lambda a: ([n for n in a[-k:] if holds(n)], a[:-k])),
        "first few": ([f"Removes the first {'number' if k == 1 else f'{k} numbers'} from `{v}`{'' if k == 1 else ', or all if there are fewer,'} and returns the {holds.plural} among the removed numbers in their original order."],
                      [f"let end = {v}.len().min({k});\n{v}.drain(..end).filter(|&value| {x}).collect()", f"let end = {v}.len().min({k});\nlet rest = {v}.split_off(end);\nlet mut removed = std::mem::replace({v}, rest);\nremoved.retain(|&value| {x});\nremoved"],
                      lambda a: ([n for n in a[:k] if holds(n)], a[k:])),
        "first one": ([f"Removes the first number from `{v}` that {holds.clause} and returns it, or returns `None` if there is none.", f"Removes and returns the first of the {holds.plural} in `{v}`, if any."],
                      [f"let index = {v}.iter().position(|&value| {x})?;\nSome({v}.remove(index))", f"for index in 0..{v}.len() {{\n    let value = {v}[index];\n    if {x} {{\n        {v}.remove(index);\n        return Some(value);\n    }}\n}}\nNone"],
                      lambda a: (lambda i: (a[i], a[:i] + a[i + 1 :]) if i < len(a) else (None, a[:]))(next((i for i, n in enumerate(a) if holds(n)), len(a)))),
    }[way]

    def oracle(values: list[int]) -> list[int] | int | None:
        removed, values[:] = split(values)
        return removed

    return FunctionSpec(
        name=draw.style("take_out", "extract", "remove_matching", "pull", "split_away"), parameters={v: f"&mut Vec<{kind}>"}, returns=returns,
        words=words, forms=forms, oracle=oracle, inputs=lambda: (_any_list(draw, kind),),
    )


@family(tier=2)
def emptied_into(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    change, k = draw.integer_mapping(kind), draw.integer(1, 30)
    left, leaves = draw.choose(("std::mem::take(values)", "empty"), (f"std::mem::replace(values, vec![{k}])", f"with only the number {k} in it"), (f"std::mem::replace(values, vec![{k}; 2])", f"with the number {k} twice in it"))
    count = {"e": 0, "w": 2 if "twice" in leaves else 1}[leaves[0]]
    m = change.on("value")
    loop = "let mut result = Vec::new();\nfor value in taken {{\n    {}\n}}\nresult"
    returns, said, end, each, finish = draw.choose(
        (f"Vec<{kind}>", "its original numbers", f"taken.into_iter().map(|value| {m}).collect()", loop.format(f"result.push({m});"), list), (kind, "the sum of its original numbers", f"taken.into_iter().map(|value| {m}).sum()", f"let mut total = 0;\nfor value in taken {{\n    total += {m};\n}}\ntotal", sum),
        (f"Option<{kind}>", "the largest of its original numbers", f"taken.into_iter().map(|value| {m}).max()", f"let mut best = None;\nfor value in taken {{\n    best = best.max(Some({m}));\n}}\nbest", lambda v: max(v, default=None)),
    )

    def oracle(values: list[int]) -> object:
        taken, values[:] = values[:], [k] * count
        return finish([change(n) for n in taken])

    refill = f"values.push({k});\n" * count
    drained = f"let taken: Vec<{kind}> = values.drain(..).collect();\n{refill}"
    return FunctionSpec(
        name=draw.style("flush", "take_all", "empty_out", "harvest", "reset_and_return"), parameters={"values": f"&mut Vec<{kind}>"}, returns=returns,
        words=[f"Leaves `values` {leaves} and returns {said}, each first {change.participle}.", f"Takes all numbers out of `values`, which is left {leaves}, and returns {said}, each first {change.participle}."],
        forms=[f"let taken = {left};\n{draw.style(end, each)}", f"{drained}{draw.style(end, each)}", f"let mut taken = vec![{k}; {count}];\nstd::mem::swap(values, &mut taken);\n{draw.style(end, each)}"],
        oracle=oracle, inputs=lambda: (_any_list(draw, kind),),
    )


@family(tier=2)
def taken_option(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    way = draw.choose("take", "replace", "fill")
    default = draw.integer(1, 40)
    x, m = holds.on("value"), change.on("value")
    words, forms = {
        "take": ([f"Takes the number out of `slot` if it {holds.clause} and returns it {change.participle}. Otherwise leaves `slot` unchanged and returns `None`.", f"Sets `slot` to `None` if its number {holds.clause}, and returns that number {change.participle}. In all other cases, nothing changes and the result is `None`."],
                 [f"match *slot {{\n    Some(value) if {x} => {{\n        *slot = None;\n        Some({m})\n    }}\n    _ => None,\n}}", f"let value = (*slot)?;\nif {x} {{\n    slot.take().map(|value| {m})\n}} else {{\n    None\n}}"]),
        "replace": ([f"Replaces the number in `slot` with {default} if it {holds.clause}. Returns the old number, {change.participle}, if it was replaced, and `None` otherwise.", f"If the number in `slot` {holds.clause}, puts {default} in its place and returns the old number {change.participle}. Otherwise leaves `slot` unchanged and returns `None`."],
                    [f"let value = slot.as_ref().copied()?;\nif {x} {{\n    slot.replace({default}).map(|value| {m})\n}} else {{\n    None\n}}", f"match slot {{\n    Some(inner) => {{\n        let value = *inner;\n        if {x} {{\n            *inner = {default};\n            Some({m})\n        }} else {{\n            None\n        }}\n    }}\n    None => None,\n}}"]),
        "fill": ([f"Puts {default} into `slot` if it is empty. Then returns the number in `slot`, {change.participle}, if that number {holds.clause}, and `None` otherwise. The number stays in `slot`.", f"Fills an empty `slot` with {default}. If the number in `slot` now {holds.clause}, returns it {change.participle} without removing it; otherwise returns `None`."],
                 [f"let value = *slot.get_or_insert({default});\nif {x} {{\n    Some({m})\n}} else {{\n    None\n}}", f"if slot.is_none() {{\n    *slot = Some({default});\n}}\nslot.filter(|&value| {x}).map(|value| {m})"]),
    }[way]

    def oracle(slot: list[int | None]) -> int | None:
        if way == "fill" and slot[0] is None:
            slot[0] = default
        value = slot[0]
        if value is None or not holds(value):
            return None
        if way != "fill":
            slot[0] = None if way == "take" else default
        return change(value)

    low = -15 if kind.startswith("i") else 0
    return FunctionSpec(
        name=draw.style(f"{way}_if", f"{way}_slot", f"{way}_{holds.slug}", f"try_{way}"), parameters={"slot": f"&mut Option<{kind}>"}, returns=f"Option<{kind}>",
        words=words, forms=forms, oracle=oracle, inputs=lambda: ([draw.arguments.choice((None, *range(low, 40)))],),
    )


@family(tier=2)
def split_borrow(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64")
    part = draw.choose("half", "half", 2, 3, 4)
    c, k = draw.integer(0, 9), draw.integer(1, 6)
    plus = f" + {c}" if c else ""
    update, compute, said = draw.choose(
        (f"*b += *a * {k}{plus};", lambda a, b: (a, b + a * k + c), f"the second number is increased by {'' if k == 1 else f'{k} times '}the first{f' plus {c}' if c else ''}"), (f"*a -= *b * {k}{plus};", lambda a, b: (a - b * k - c, b), f"the first number is decreased by {'' if k == 1 else f'{k} times '}the second{f' plus {c}' if c else ''}"),
        (f"std::mem::swap(a, b);\n*a += {c + k};", lambda a, b: (b + c + k, a), f"the two numbers are swapped, and then the first one is increased by {c + k}"),
        (f"if *a > *b + {c} {{\n    std::mem::swap(a, b);\n}}", lambda a, b: (b, a) if a > b + c else (a, b), f"the two numbers are swapped if the first is greater than the second{f' plus {c}' if c else ''}"),
    )

    def oracle(values: list[int]) -> None:
        size = len(values) // 2 if part == "half" else part
        if part == "half":
            pairs = [(i, i + size) for i in range(size)]
        else:
            pairs = [(i, min(i + size, len(values)) - 1) for i in range(0, len(values), size) if min(i + size, len(values)) - i > 1]
        for i, j in pairs:
            values[i], values[j] = compute(values[i], values[j])

    def deep(text: str) -> str:
        return text.replace("\n", "\n    ")

    if part == "half":
        where = "a number in the first half of `values` and the number at the same position in the second half (if the length is odd, the last number has no partner)"
        forms = [
            f"let middle = values.len() / 2;\nlet (left, right) = values.split_at_mut(middle);\nfor (a, b) in left.iter_mut().zip(right) {{\n    {deep(update)}\n}}",
            f"let middle = values.len() / 2;\nfor index in 0..middle {{\n    let (left, right) = values.split_at_mut(middle);\n    let a = &mut left[index];\n    let b = &mut right[index];\n    {deep(update)}\n}}",
        ]
    else:
        where = f"the first and the last number of a block of {part} consecutive numbers in `values`, which is divided into such blocks (the last block may be shorter; a block of a single number is left unchanged)"
        forms = [
            f"for block in values.chunks_mut({part}) {{\n    if let [a, .., b] = block {{\n        {deep(deep(update))}\n    }}\n}}",
            f"for block in values.chunks_mut({part}) {{\n    if let Some((a, rest)) = block.split_first_mut() {{\n        if let Some(b) = rest.last_mut() {{\n            {deep(deep(deep(update)))}\n        }}\n    }}\n}}",
        ]
    return FunctionSpec(
        name=draw.style("mix", "exchange", "update_pairs", "balance", "transfer"), parameters={"values": f"&mut [{kind}]"}, returns=None,
        words=[f"Modifies `values` in place. For each pair of {where}, {said}.", f"Updates pairs of numbers in place, where a pair consists of {where}. In each pair, {said}."], forms=forms, oracle=oracle, inputs=lambda: (_any_list(draw, kind, 9),),
    )


@family(tier=1)
def text_in_place(draw: Draw) -> FunctionSpec:
    holds = draw.char_predicate()
    mark = draw.choose("-", ".", "*", "_", "x", "#")
    x = holds.on("c")
    way, words, forms, compute = draw.choose(
        ("remove", [f"Removes all {holds.plural} from `text` and appends `{mark}`.", f"Deletes the {holds.plural} from `text` in place and then adds one `{mark}` at the end."], [f"text.retain(|c| !({x}));\ntext.push('{mark}');", f"let old = std::mem::take(text);\nfor c in old.chars() {{\n    if !({x}) {{\n        text.push(c);\n    }}\n}}\ntext.push('{mark}');"], lambda t: "".join(c for c in t if not holds(c)) + mark),
        ("replace", [f"Replaces every character of `text` that {holds.clause} with `{mark}`.", f"Substitutes `{mark}` for all {holds.plural} in `text`."], [f"*text = text.chars().map(|c| if {x} {{ '{mark}' }} else {{ c }}).collect();", f"let mut result = String::new();\nfor c in text.chars() {{\n    result.push(if {x} {{ '{mark}' }} else {{ c }});\n}}\n*text = result;"], lambda t: "".join(mark if holds(c) else c for c in t)),
        ("cut", [f"Truncates `text` before the first character that {holds.clause}, if there is one, and in any case appends `{mark}`.", f"Removes everything from the first character of `text` that {holds.clause} to the end, if there is one. Always appends `{mark}`."], [f"if let Some(index) = text.find(|c: char| {x}) {{\n    text.truncate(index);\n}}\ntext.push('{mark}');", f"let kept: String = text.chars().take_while(|&c| !({x})).collect();\n*text = kept;\ntext.push('{mark}');"], lambda t: t[: next((i for i, c in enumerate(t) if holds(c)), len(t))] + mark),
        ("mark", [f"Inserts `{mark}` after every character of `text` that {holds.clause}.", f"Modifies `text` in place by adding `{mark}` directly after each of its {holds.plural}."], [f"let old = std::mem::take(text);\nfor c in old.chars() {{\n    text.push(c);\n    if {x} {{\n        text.push('{mark}');\n    }}\n}}", f"let mut result = String::with_capacity(text.len());\nfor c in text.chars() {{\n    result.push(c);\n    if {x} {{\n        result.push('{mark}');\n    }}\n}}\n*text = result;"], lambda t: "".join(c + mark if holds(c) else c for c in t)),
    )

    def oracle(text: list[str]) -> None:
        text[0] = compute(text[0])

    return FunctionSpec(
        name=draw.style(f"{way}_characters", f"{way}_in_place", f"{way}_{holds.slug}", "clean_up"), parameters={"text": "&mut String"}, returns=None,
        words=words, forms=forms, oracle=oracle, inputs=lambda: ([draw.arguments.choice(("", "42 ", "-- ")) + draw.text()],),
    )


@family(tier=3)
def copied_if_needed(draw: Draw) -> Items:
    holds, mark = draw.char_predicate(), draw.choose("_", "-", "?", "+", "~", "")
    x = holds.on("c")
    name = draw.style("cleaned", "sanitize", "normalized", "escaped", "tidy")
    twice = mark and draw.choose(True, False)
    made = f"'{mark}'" if mark else ""
    change = f"text.chars().filter(|&c| !({x})).collect()" if not mark else f"text.chars().map(|c| if {x} {{ {made} }} else {{ c }}).collect()"

    def compute(t):
        if twice:
            return "".join(c + mark if holds(c) else c for c in t)
        return "".join(c if not holds(c) else mark for c in t)

    if twice:
        change = f"text\n    .chars()\n    .flat_map(|c| std::iter::once(c).chain(({x}).then_some({made})))\n    .collect()"
    owned = f"let result: String = {change};\nCow::Owned(result)"
    inner = owned.replace("\n", "\n    ")
    body = draw.style(f"if !text.chars().any(|c| {x}) {{\n    return Cow::Borrowed(text);\n}}\n{owned}", f"if text.contains(|c: char| {x}) {{\n    {inner}\n}} else {{\n    Cow::Borrowed(text)\n}}", f"match text.find(|c: char| {x}) {{\n    None => text.into(),\n    Some(_) => {{\n        {inner.replace(chr(10), chr(10) + '    ')}\n    }}\n}}")
    what = f"inserts `{mark}` after all {holds.plural}" if twice else f"replaces all {holds.plural} with `{mark}`" if mark else f"removes all {holds.plural}"
    words = draw.style(f"{what[0].upper()}{what[1:]}. The text is copied only if it contains any.", f"{what[0].upper()}{what[1:]}, but borrows `text` if there is nothing to change.", f"{what[0].upper()}{what[1:]}, or returns `text` itself if it has none.")
    returns = draw.style("Cow<str>", "Cow<'_, str>")
    code = items("use std::borrow::Cow;", f"/// {words}\n" + braced(f"pub fn {name}(text: &str) -> {returns}", body))
    texts = list(dict.fromkeys([draw.text(2), "tree_house in Ohio, 7 stars!", "q", draw.text(1) or "river"]))
    cases = [Case(f"{name}({literal(t, '&str')})", literal(compute(t), "&str")) for t in texts]
    return Items(code, cases + [Case(f"matches!({name}({literal(t, '&str')}), Cow::Borrowed(_))", literal(not any(map(holds, t)), "bool")) for t in texts[:3]])


@family(tier=2)
def moved_closure(draw: Draw) -> Items:
    kind = draw.choose(*KINDS)
    change, holds = draw.integer_mapping(kind), draw.integer_predicate(kind)
    way = draw.choose("count", "total", "all")
    boxed = draw.choose(True, False)
    k = draw.integer(0, 20)
    name = draw.style({"count": "counter", "total": "accumulator", "all": "collector"}[way], f"make_{way}", f"{way}_keeper", "remembering")
    state, step, said, returns = {
        "count": (f"let mut count = {k};", f"if {holds.on('value')} {{\n        count += 1;\n    }}\n    count", f"returns {k} plus the number of {holds.plural} among its arguments so far", "usize"),
        "total": (f"let mut total = {k};", f"if {holds.on('value')} {{\n        total += {change.on('value')};\n    }}\n    total", f"returns {k} plus the sum of the {holds.plural} among its arguments so far, each {change.participle}", kind),
        "all": ("let mut seen = Vec::new();", f"if {holds.on('value')} {{\n        seen.push({change.on('value')});\n    }}\n    seen.len() as {kind} + seen.last().copied().unwrap_or({k})", f"remembers the {holds.plural} among its arguments, each {change.participle}, and returns the number of remembered values plus the last of them (or plus {k} if there are none)", kind),
    }[way]
    kept, result = (f"Box<dyn FnMut({kind}) -> {returns}>", "Box::new({})") if boxed else (f"impl FnMut({kind}) -> {returns}", "{}")
    code = f"/// {draw.style('Returns a function that', 'Creates a closure that', 'Returns a stateful closure that')} {said}.\n" + braced(f"pub fn {name}() -> {kept}", state + "\n" + result.format(f"move |value| {{\n    {step}\n}}")) + "\n"

    def run(values: list[int]) -> int:
        chosen = [change(n) for n in values if holds(n)]
        return {"count": k + len(chosen), "total": k + sum(chosen), "all": len(chosen) + (chosen[-1] if chosen else k)}[way]

    lists = [numbers(draw, size, 9, 40) for size in (1, 2, 4)] + [[12, 7, 16, 25, 27, 30]]
    return Items(code, [Case(f"call({v[-1]})", str(run(v)), f"let mut call = {name}(); " + " ".join(f"call({n});" for n in v[:-1])) for v in lists])
