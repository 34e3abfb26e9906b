"""Generic functions and types."""

from collections.abc import Sequence
from typing import Any

from trainers.data.synthetic.family import Case, Draw, FunctionSpec, Items, family


def _elements(draw: Draw, kind: str, least: int = 1, most: int = 7) -> list:
    pick = draw.arguments
    one = {"i32": lambda: pick.randint(-5, 12), "i64": lambda: pick.randint(-5, 12), "u32": lambda: pick.randint(0, 9), "char": lambda: pick.choice("abcxyz"),
           "f64": lambda: pick.randint(-9, 12) / 2, "&str": lambda: pick.choice(("tea", "sun", "oak", "fox", "map")), "bool": lambda: pick.random() < 0.5}[kind]
    return [one() for _ in range(pick.randint(least, most))]


@family(tier=1)
def generic_extreme(draw: Draw) -> FunctionSpec:
    kind, wanted, returns = draw.choose("i32", "u32", "char", "f64", "&str"), draw.choose("largest", "smallest"), draw.choose("value", "reference", "index", "count", "both")
    ties, bound = draw.choose("first", "last") if returns == "index" else "first", draw.choose("PartialOrd + Copy", "PartialOrd + Clone", "PartialOrd")
    bound = "PartialOrd + Copy" if returns in ("both", "value") and bound == "PartialOrd" else bound
    copied, sign = "*{}" if "Copy" in bound else "{}.clone()", {"largest": ">", "smallest": "<"}[wanted]
    better = f"{sign}=" if ties == "last" else sign

    def oracle(values: list) -> object:
        best = max(values) if wanted == "largest" else min(values)
        indices = [i for i, v in enumerate(values) if v == best]
        return {"value": best, "reference": best, "index": indices[0 if ties == "first" else -1], "count": len(indices), "both": (min(values), max(values))}[returns]

    get = copied.format("best").replace("best", "{}")
    loop = f"let mut best = values.first()?;\nfor value in &values[1..] {{\n    if value {sign} best {{\n        best = value;\n    }}\n}}\n"
    forms = {
        "value": [f"{loop}Some({get.format('best')})", f"let mut best = {copied.format('values.first()?').replace('.clone()', '.clone()')};\nfor value in values {{\n    if *value {sign} best {{\n        best = {copied.format('value')};\n    }}\n}}\nSome(best)",
                  f"values\n    .iter()\n    .reduce(|best, value| if value {sign} best {{ value }} else {{ best }})\n    .{'copied' if 'Copy' in bound else 'cloned'}()"],
        "reference": [f"{loop}Some(best)", f"values\n    .iter()\n    .reduce(|best, value| if value {sign} best {{ value }} else {{ best }})", f"let mut values = values.iter();\nlet first = values.next()?;\nSome(values.fold(first, |best, value| if value {sign} best {{ value }} else {{ best }}))"],
        "index": [f"if values.is_empty() {{\n    return None;\n}}\nlet mut best = 0;\nfor index in 1..values.len() {{\n    if values[index] {better} values[best] {{\n        best = index;\n    }}\n}}\nSome(best)",
                  f"let mut best: Option<usize> = None;\nfor (index, value) in values.iter().enumerate() {{\n    match best {{\n        Some(held) if !(*value {better} values[held]) => {{}}\n        _ => best = Some(index),\n    }}\n}}\nbest"],
        "count": [f"let mut best = values.first()?;\nlet mut count = 0;\nfor value in values {{\n    if value {sign} best {{\n        best = value;\n        count = 1;\n    }} else if value == best {{\n        count += 1;\n    }}\n}}\nSome(count)", f"{loop}Some(values.iter().filter(|value| *value == best).count())"],
        "both": [f"let mut low = {copied.format('values.first()?')};\nlet mut high = {'low' if 'Copy' in bound else 'low.clone()'};\nfor value in values {{\n    if *value < low {{\n        low = {copied.format('value')};\n    }}\n    if *value > high {{\n        high = {copied.format('value')};\n    }}\n}}\nSome((low, high))",
                 f"let mut low = values.first()?;\nlet mut high = low;\nfor value in values.iter().skip(1) {{\n    if value < low {{\n        low = value;\n    }} else if value > high {{\n        high = value;\n    }}\n}}\nSome(({copied.format('low')}, {copied.format('high')}))"],
    }[returns]
    told = {"value": f"the {wanted} element", "reference": f"a reference to the {wanted} element (the first one in case of a tie)", "index": f"the index of the {wanted} element (the {ties} one in case of a tie)", "count": f"the number of elements that are equal to the {wanted} one", "both": "the smallest and the largest element"}[returns]
    return FunctionSpec(
        name=draw.style(wanted, f"{wanted}_{returns}", f"find_{wanted}", "extreme"), generics=f"<T: {bound}>", types={"T": kind}, parameters={"values": "&[T]"},
        returns={"value": "Option<T>", "reference": "Option<&T>", "both": "Option<(T, T)>"}.get(returns, "Option<usize>"), forms=forms, oracle=oracle, inputs=lambda: (_elements(draw, kind),),
        words=[f"Returns {told}, or `None` for an empty slice.", f"Determines {told} of `values`, whose elements can be compared. Returns `None` if there are no elements."],
    )


@family(tier=1)
def generic_equality(draw: Draw) -> FunctionSpec:
    kind, wanted = draw.choose("i32", "u32", "char", "&str", "bool"), draw.choose("equal", "different", "runs", "longest run", "distinct", "after", "before", "between", "nth", "until", "exactly")
    least, base = draw.integer(1, 6), draw.choose(0, 1)
    least = min(least, 3) if wanted in ("equal", "runs", "nth", "exactly") and kind != "bool" else least
    needs_target = wanted not in ("runs", "longest run", "distinct")

    def runs(values: list) -> list[int]:
        lengths = []
        for i, v in enumerate(values):
            if i and values[i - 1] == v:
                lengths[-1] += 1
            else:
                lengths.append(1)
        return lengths

    def oracle(values: list, target: object = None) -> int | bool | None:
        places = [i for i, v in enumerate(values) if v == target]
        return {
            "equal": lambda: len(places) >= least, "different": lambda: len(values) - len(places) + base, "runs": lambda: sum(n >= least for n in runs(values)),
            "longest run": lambda: max(runs(values), default=0) + base, "distinct": lambda: len({str(v) for v in values}) + base,
            "nth": lambda: places[least - 1] + base if len(places) >= least else None, "until": lambda: min(places[0] if places else len(values), least), "exactly": lambda: len(places) == least,
            "after": lambda: len(values) - places[0] - 1 if places else None, "before": lambda: places[-1] + base if places else None, "between": lambda: places[-1] - places[0] + base if places else None,
        }[wanted]()

    plus = f" + {base}" if base else ""
    more = f"{base} plus " if base else ""
    count = "values.iter().filter(|&value| {} target).count()"
    first, last = "values.iter().position(|value| value == target)?", "values.iter().rposition(|value| value == target)?"
    returns, told, forms = {
        "equal": ("bool", f"whether at least {least} {'element equals' if least == 1 else 'elements equal'} `target`", [count.format("value ==") + f" >= {least}", f"let mut count = 0;\nfor value in values {{\n    if value == target {{\n        count += 1;\n        if count == {least} {{\n            return true;\n        }}\n    }}\n}}\nfalse", f"values.iter().filter(|value| *value == target).nth({least - 1}).is_some()"]),
        "nth": ("Option<usize>", f"the index, counting from {base}, of the {('first', 'second', 'third', 'fourth', 'fifth', 'sixth')[least - 1]} occurrence of `target`, or `None` if there is no such occurrence", [f"let mut count = 0;\nfor (index, value) in values.iter().enumerate() {{\n    if value == target {{\n        count += 1;\n        if count == {least} {{\n            return Some(index{plus});\n        }}\n    }}\n}}\nNone", f"values\n    .iter()\n    .enumerate()\n    .filter(|(_, value)| *value == target)\n    .map(|(index, _)| index{plus})\n    .nth({least - 1})"]),
        "until": ("usize", f"the number of elements before the first one that equals `target` (all elements if none does), but at most {least}", [f"values\n    .iter()\n    .take({least})\n    .take_while(|&value| value != target)\n    .count()", f"let mut count = 0;\nwhile count < values.len().min({least}) && values[count] != *target {{\n    count += 1;\n}}\ncount"]),
        "exactly": ("bool", f"whether `target` occurs exactly {least} time{'s' * (least > 1)}", [count.format("value ==") + f" == {least}", f"let mut left = {least};\nfor value in values {{\n    if value != target {{\n        continue;\n    }}\n    if left == 0 {{\n        return false;\n    }}\n    left -= 1;\n}}\nleft == 0"]),
        "different": ("usize", f"{more}the number of elements that differ from `target`", [count.format("value !=") + plus, f"let mut count = {base};\nfor value in values {{\n    if value != target {{\n        count += 1;\n    }}\n}}\ncount"]),
        "runs": ("usize", f"the number of maximal runs of {'' if least == 1 else f'at least {least} '}equal consecutive elements{', where a single element is a run as well' if least == 1 else ''}", [f"values\n    .chunk_by(|a, b| a == b)\n    .filter(|run| run.len() >= {least})\n    .count()", f"let mut count = 0;\nlet mut length = 0;\nfor index in 0..values.len() {{\n    if index > 0 && values[index] == values[index - 1] {{\n        length += 1;\n    }} else {{\n        length = 1;\n    }}\n    if length == {least} {{\n        count += 1;\n    }}\n}}\ncount"]),
        "longest run": ("usize", f"{more}the length of the longest run of equal consecutive elements", [f"let mut best = 0;\nlet mut length = 0;\nlet mut previous: Option<&T> = None;\nfor value in values {{\n    length = if previous == Some(value) {{ length + 1 }} else {{ 1 }};\n    best = best.max(length);\n    previous = Some(value);\n}}\nbest{plus}", f"values\n    .chunk_by(|a, b| a == b)\n    .map(|run| run.len())\n    .max()\n    .unwrap_or(0){plus and chr(10) + '    ' + plus.strip()}"]),
        "distinct": ("usize", f"{more}the number of distinct elements", [f"let mut seen: Vec<&T> = Vec::new();\nfor value in values {{\n    if !seen.contains(&value) {{\n        seen.push(value);\n    }}\n}}\nseen.len(){plus}", f"let mut count = {base};\nfor (index, value) in values.iter().enumerate() {{\n    if !values[..index].contains(value) {{\n        count += 1;\n    }}\n}}\ncount"]),
        "after": ("Option<usize>", "the number of elements after the first one that equals `target`, or `None` if none does", [f"let index = {first};\nSome(values.len() - index - 1)", "values\n    .iter()\n    .position(|value| value == target)\n    .map(|index| values.len() - index - 1)"]),
        "before": ("Option<usize>", f"the index, counting from {base}, of the last element that equals `target`, or `None` if none does", [f"let index = {last};\nSome(index{plus})", f"let mut result = None;\nfor (index, value) in values.iter().enumerate() {{\n    if value == target {{\n        result = Some(index{plus});\n    }}\n}}\nresult"]),
        "between": ("Option<usize>", f"{more}the difference between the indices of the last and the first element that equal `target`, or `None` if none does", [f"let first = {first};\nlet last = {last};\nSome(last - first{plus})"]),
    }[wanted]
    return FunctionSpec(
        name=draw.style(f"{wanted.replace(' ', '_')}_elements", "compare_all", f"figure_{wanted.replace(' ', '_')}", "inspect"), generics="<T: PartialEq>", types={"T": kind},
        parameters={"values": "&[T]", "target": "&T"} if needs_target else {"values": "&[T]"}, returns=returns, forms=forms, oracle=oracle,
        inputs=lambda: (_elements(draw, kind), *([_elements(draw, kind, 1, 1)[0]] if needs_target else [])), words=[f"Returns {told}.", f"For elements of any type that can be compared for equality, returns {told}."],
    )


@family(tier=1)
def generic_rearranged(draw: Draw) -> FunctionSpec:
    kind, wanted = draw.choose("i32", "char", "&str", "u32"), draw.choose("rotate", "swap ends", "every", "reverse first", "interleave", "repeat", "drop ends", "chunks")
    k = draw.integer(2, 6)
    in_place = wanted in ("swap ends", "reverse first") or wanted == "rotate" and draw.choose(True, False)
    left = draw.choose(True, False)

    def changed(v: list, other: list) -> list:
        turn = (k if left else -k) % len(v) if v else 0
        return {
            "rotate": v[turn:] + v[:turn], "swap ends": v[::-1] if len(v) < 2 * k else v[-k:][::-1] + v[k:-k] + v[:k][::-1], "every": v[::k] if left else v[k - 1 :: k],
            "reverse first": v[:k][::-1] + v[k:] if left else v[: max(0, len(v) - k)] + v[max(0, len(v) - k) :][::-1], "interleave": [x for pair in zip(v, other, strict=False) for x in (pair if left else pair[::-1])],
            "repeat": [x for x in v for _ in range(k)] if left else v * k, "drop ends": v[1 : max(1, len(v) - k + 1)] if left else v[k - 1 : max(k - 1, len(v) - 1)], "chunks": [v[i : i + k] for i in range(0, len(v), k)],
        }[wanted]

    def oracle(values: list, other: list | None = None) -> list | None:
        result = changed(values, other or [])
        if not in_place:
            return result
        values[:] = result
        return None

    ends = "left" if left else "right"
    order = "a.clone(), b.clone()" if left else "b.clone(), a.clone()"
    told, forms = {
        "rotate": (f"the elements rotated to the {ends} by {k} positions", [f"if values.is_empty() {{\n    return;\n}}\nlet steps = {k} % values.len();\nvalues.rotate_{ends}(steps);", f"let length = values.len();\nif length > 0 {{\n    values.rotate_{ends}({k} % length);\n}}"] if in_place else
                   [f"let mut result = values.to_vec();\nif !result.is_empty() {{\n    let steps = {k} % values.len();\n    result.rotate_{ends}(steps);\n}}\nresult", f"let length = values.len();\n(0..length)\n    .map(|index| values[(index + {k if left else f'(length - {k} % length)'}) % length].clone())\n    .collect()"]),
        "swap ends": (f"the first {k} elements swapped with the last {k}, mirrored: the first with the last, the second with the second to last, and so on; a slice of fewer than {2 * k} elements is reversed completely", [f"let length = values.len();\nfor index in 0..{k}.min(length / 2) {{\n    values.swap(index, length - 1 - index);\n}}", f"let mut index = 0;\nwhile index < {k} && index < values.len() / 2 {{\n    let other = values.len() - 1 - index;\n    values.swap(index, other);\n    index += 1;\n}}"]),
        "every": (f"every {('', '', 'second', 'third', 'fourth', 'fifth', 'sixth')[k]} element, starting with the {'first one' if left else f'one at index {k - 1}'}", [f"values.iter(){'' if left else f'.skip({k - 1})'}.step_by({k}).cloned().collect()", f"let mut result = Vec::new();\nlet mut index = {0 if left else k - 1};\nwhile index < values.len() {{\n    result.push(values[index].clone());\n    index += {k};\n}}\nresult"]),
        "reverse first": (f"the {'first' if left else 'last'} {k} elements in reverse order (all elements if there are fewer), the other elements unchanged", [f"let end = values.len().min({k});\nvalues[..end].reverse();" if left else f"let start = values.len().saturating_sub({k});\nvalues[start..].reverse();", f"let count = if values.len() < {k} {{ values.len() }} else {{ {k} }};\nlet start = {0 if left else 'values.len() - count'};\nvalues[start..start + count].reverse();"]),
        "interleave": (f"the elements of both slices alternately, starting with `{'values' if left else 'other'}` and ending when the shorter slice has no more elements", [f"let mut result = Vec::new();\nfor (a, b) in values.iter().zip(other) {{\n    result.extend([{order}]);\n}}\nresult", f"values\n    .iter()\n    .zip(other.iter())\n    .flat_map(|(a, b)| [{order}])\n    .collect()"]),
        "repeat": (f"each element repeated {k} times in a row" if left else f"the whole sequence of elements repeated {k} times", [f"let mut result = Vec::with_capacity(values.len() * {k});\nfor value in values {{\n    for _ in 0..{k} {{\n        result.push(value.clone());\n    }}\n}}\nresult", f"values\n    .iter()\n    .flat_map(|value| std::iter::repeat(value.clone()).take({k}))\n    .collect()"] if left else [f"let mut result = Vec::new();\nfor _ in 0..{k} {{\n    result.extend_from_slice(values);\n}}\nresult", f"values.iter().cloned().cycle().take(values.len() * {k}).collect()"]),
        "drop ends": (f"the elements without the first {'one' if left or k == 2 else k - 1} and the last {'one' if not left or k == 2 else k - 1}", [f"let end = values.len().saturating_sub({k - 1 if left else 1});\nvalues.iter().take(end).skip({1 if left else k - 1}).cloned().collect()", f"if values.len() <= {k} {{\n    return Vec::new();\n}}\nvalues[{1 if left else k - 1}..values.len() - {k - 1 if left else 1}].to_vec()"]),
        "chunks": (f"the elements in consecutive groups of {k}, the last of which may be smaller", [f"values.chunks({k}).map(|chunk| chunk.to_vec()).collect()", f"let mut result: Vec<Vec<T>> = Vec::new();\nfor (index, value) in values.iter().enumerate() {{\n    if index % {k} == 0 {{\n        result.push(Vec::new());\n    }}\n    if let Some(last) = result.last_mut() {{\n        last.push(value.clone());\n    }}\n}}\nresult"]),
    }[wanted]
    return FunctionSpec(
        name=draw.style("arrange", f"{wanted.replace(' ', '_')}_items", f"{wanted.replace(' ', '_')}_{k}", "reorder"), generics="<T>" if in_place else "<T: Clone>", types={"T": kind},
        parameters={"values": "&mut [T]" if in_place else "&[T]"} | ({"other": "&[T]"} if wanted == "interleave" else {}), returns=None if in_place else "Vec<Vec<T>>" if wanted == "chunks" else "Vec<T>", forms=forms, oracle=oracle,
        inputs=lambda: (_elements(draw, kind, 1, 9), *([_elements(draw, kind)] if wanted == "interleave" else [])),
        words=[f"Modifies `values` in place so that it contains {told}.", f"Rearranges `values` in place. Afterward, it contains {told}."] if in_place else [f"Returns {told}.", f"Creates a vector with {told}."],
    )


@family(tier=2)
def displayed(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "char", "&str", "u32")
    wanted, (left, right) = draw.choose("join", "limit", "last", "numbered", "padded", "pairs"), draw.choose(("", ""), ("[", "]"), ("(", ")"), ("<", ">"), ("|", "|"))
    sign, k = draw.choose(", ", "; ", " ", "-", " | ", "/", "+"), draw.integer(2, 5)
    word = draw.choose("and", "or", "then")

    def oracle(values: list, other: Sequence = ()) -> str:
        texts = [str(v) for v in values]
        inner = {
            "join": lambda: sign.join(texts), "limit": lambda: sign.join(texts[:k]) + (f"{sign}..{len(texts) - k} more" if len(texts) > k else ""),
            "last": lambda: texts[0] if len(texts) == 1 else sign.join(texts[:-1]) + f" {word} " + texts[-1], "numbered": lambda: sign.join(f"{i}:{t}" for i, t in enumerate(texts, k)),
            "padded": lambda: sign.join(t.rjust(k) for t in texts), "pairs": lambda: sign.join(f"{a}={b}" for a, b in zip(values, other, strict=False)),
        }[wanted]()
        return left + inner + right

    iterate = {"limit": f"values.iter().take({k}).enumerate()", "pairs": "values.iter().zip(other).enumerate()"}.get(wanted, "values.iter().enumerate()")
    pattern, shown = {"pairs": ("(index, (value, partner))", 'format!("{}={}", value, partner)'), "numbered": ("(index, value)", f'format!("{{}}:{{}}", index + {k}, value)'), "padded": ("(index, value)", f'format!("{{:>{k}}}", value.to_string())')}.get(wanted, ("(index, value)", "value.to_string()"))
    separator = f'        result.push_str(if index + 1 == values.len() {{ " {word} " }} else {{ "{sign}" }});' if wanted == "last" else f'        result.push_str("{sign}");'
    begin = f'let mut result = String::from("{left}");' if left else "let mut result = String::new();"
    end = ([f"result.push('{right}');"] if right else []) + ["result"]
    more = [f"if values.len() > {k} {{", f'    result.push_str(&format!("{sign}..{{}} more", values.len() - {k}));', "}"] if wanted == "limit" else []
    loop = "\n".join([begin, f"for {pattern} in {iterate} {{", "    if index > 0 {", separator, "    }", f"    result.push_str(&{shown});", "}", *more, *end])
    collect = {"pairs": "values\n    .iter()\n    .zip(other)\n    .map(|(value, partner)| {})", "numbered": "values\n    .iter()\n    .enumerate()\n    .map(|(index, value)| {})", "limit": f"values\n    .iter()\n    .take({k})\n    .map(|value| {{}})"}.get(wanted, "values\n    .iter()\n    .map(|value| {})").format(shown)
    before, after = (f'format!("{left}{{}}{right}", ', ")") if left else ("", "")
    texts = f"let parts: Vec<String> = {collect}\n    .collect();"
    forms = {
        "last": [loop], "limit": [loop, f'let mut parts: Vec<String> = {collect}\n    .collect();\nif values.len() > {k} {{\n    parts.push(format!("..{{}} more", values.len() - {k}));\n}}\n' + f'{before}parts.join("{sign}"){after}'],
    }.get(wanted, [loop, f"{texts}\n" + f'{before}parts.join("{sign}"){after}'])
    told = {
        "join": f'separated by "{sign}"', "limit": f'separated by "{sign}"; if there are more than {k}, only the first {k} are shown, followed by a last part such as "..2 more" with the number of omitted elements', "last": f'separated by "{sign}", except for the last two, which are separated by " {word} "',
        "numbered": f'separated by "{sign}", each preceded by its position, counting from {k}, and a colon, as in `{k}:x`', "padded": f'separated by "{sign}", each padded with spaces on the left to a width of at least {k} characters', "pairs": f'separated by "{sign}", each as `a=b` where b is the element of `other` at the same index; extra elements of the longer slice are ignored',
    }[wanted]
    around = f" The whole text is enclosed in `{left}` and `{right}`." if left else ""
    bound = draw.style("Display", "ToString") if wanted in ("join", "limit", "last", "padded") else "Display"
    names = ["T", "U"] if wanted == "pairs" else ["T"]
    where = draw.style(True, False)
    return FunctionSpec(
        name=draw.style("join", "show_all", f"show_{wanted}", "format_list", "describe"), generics=f"<{', '.join(names if where else [f'{name}: {bound}' for name in names])}>", where_clause="where " + ", ".join(f"{name}: {bound}" for name in names) if where else "",
        types={"T": kind, "U": "i32"}, imports=["use std::fmt::Display;"] if bound == "Display" else [], parameters={"values": "&[T]"} | ({"other": "&[U]"} if wanted == "pairs" else {}), returns="String", forms=forms, oracle=oracle,
        inputs=lambda: (_elements(draw, kind), *([_elements(draw, "i32")] if wanted == "pairs" else [])), words=[f"Formats the elements of `values` {told}.{around}", f"Returns the elements as text, {told}.{around}"],
    )


@family(tier=1)
def generic_comparison(draw: Draw) -> FunctionSpec:
    kind, wanted, strict = draw.choose("i32", "char", "&str", "u32", "f64"), draw.choose("ordered", "between", "clamp", "median", "overlap", "rank", "outer"), draw.choose(True, False)
    upwards, reference = draw.choose(True, False), draw.choose(True, False)
    sign = "<" if strict else "<="
    names = {"ordered": "ab", "between": ("value", "low", "high"), "clamp": ("value", "low", "high"), "median": "abc", "overlap": ("a", "b", "c", "d"), "rank": "abc", "outer": "abc"}[wanted]
    less = (lambda a, b: a < b) if strict else (lambda a, b: a <= b)
    said = "strictly " if strict else ""

    def oracle(*v: Any) -> object:
        if wanted in ("between", "clamp"):
            value, low, high = v[0], *sorted(v[1:])
            inside = less(low, value) and less(value, high)
            return inside == upwards if wanted == "between" else (value, 0) if low <= value <= high else (low, -1 if upwards else 1) if value < low else (high, 1 if upwards else -1)
        if wanted == "overlap":
            return (less(max(v[0], v[2]), min(v[1], v[3]))) == upwards
        return {"ordered": lambda: tuple(sorted(v, reverse=not upwards)), "median": lambda: sorted(v)[1], "rank": lambda: sum(less(x, v[0]) if upwards else less(v[0], x) for x in v[1:]), "outer": lambda: (max(v), min(v)) if upwards else (min(v), max(v))}[wanted]()

    def inputs() -> tuple:
        v = _elements(draw, kind, len(names), len(names))
        return (v[0], *sorted(v[1:])) if wanted in ("between", "clamp") else (*sorted(v[:2]), *sorted(v[2:])) if wanted == "overlap" else tuple(v)

    inside, no = f"low {sign} value && value {sign} high", "" if upwards else "!"
    below, above = ("-1", "1") if upwards else ("1", "-1")
    count = f"[b, c].iter().filter(|&other| *other {sign if upwards else sign.replace('<', '>')} a).count()"
    returns, told, forms = {
        "ordered": ("(T, T)", f"the two values with the {'smaller' if upwards else 'larger'} one first", [f"if a {'<=' if upwards else '>='} b {{\n    (a, b)\n}} else {{\n    (b, a)\n}}", f"if b {'<' if upwards else '>'} a {{\n    return (b, a);\n}}\n(a, b)"]),
        "between": ("bool", f"whether `value` {'lies' if upwards else 'does not lie'} {said}between `low` and `high`{'' if strict else ', both included'}", [f"{inside}" if upwards else f"!({inside})", f"if {inside} {{\n    {str(upwards).lower()}\n}} else {{\n    {str(not upwards).lower()}\n}}", f"let inside = {inside};\n{no}inside"]),
        "clamp": ("(T, i32)", f"`value` clamped to the range from `low` to `high`, together with {below} if it was below that range, {above} if it was above, and 0 otherwise", [f"if value < low {{\n    (low, {below})\n}} else if value > high {{\n    (high, {above})\n}} else {{\n    (value, 0)\n}}", f"match value {{\n    v if v < low => (low, {below}),\n    v if v > high => (high, {above}),\n    v => (v, 0),\n}}"]),
        "median": ("T", "the median of the three values", ["if (b <= a && a <= c) || (c <= a && a <= b) {\n    a\n} else if (a <= b && b <= c) || (c <= b && b <= a) {\n    b\n} else {\n    c\n}", "let (low, high) = if a < b { (a, b) } else { (b, a) };\nif c < low {\n    low\n} else if c > high {\n    high\n} else {\n    c\n}"]),
        "overlap": ("bool", f"whether the {'open' if strict else 'closed'} ranges from `a` to `b` and from `c` to `d` {'overlap' if upwards else 'do not overlap'}, {'so that touching ends do not count as an overlap' if strict else 'where touching ends count as an overlap'}", ["let start = if a > c { a } else { c };\nlet end = if b < d { b } else { d };\n" + (f"start {sign} end" if upwards else f"!(start {sign} end)")]),
        "rank": ("usize", f"how many of the two values `b` and `c` are {'less' if upwards else 'greater'} than{'' if strict else ' or equal to'} `a`", [count, f"let mut rank = 0;\nfor other in [b, c] {{\n    if other {sign if upwards else sign.replace('<', '>')} a {{\n        rank += 1;\n    }}\n}}\nrank"]),
        "outer": ("(T, T)", f"the {'largest and the smallest' if upwards else 'smallest and the largest'} of three values", [f"let mut low = a;\nlet mut high = a;\nfor value in [b, c] {{\n    if value < low {{\n        low = value;\n    }}\n    if value > high {{\n        high = value;\n    }}\n}}\n({'high, low' if upwards else 'low, high'})"]),
    }[wanted]
    copy = reference or wanted in ("median", "rank", "outer", "overlap")
    return FunctionSpec(
        name=draw.style(wanted, f"{wanted}_of", f"compare_{wanted}", f"{wanted}_values"), generics="<T: PartialOrd + Copy>" if copy else "<T: PartialOrd>", types={"T": kind}, parameters=dict.fromkeys(names, "T"), returns=returns, forms=forms, oracle=oracle,
        inputs=inputs, words=[f"Returns {told}.", f"Returns {told}. The values can be of any type with an order."],
    )


@family(tier=2)
def fixed_size_array(draw: Draw) -> FunctionSpec:
    kind, wanted = draw.choose("i32", "i64"), draw.choose("map", "dot", "shift", "differences", "place", "matrix", "maximum", "first sorted")
    mapping, keep, k = draw.integer_mapping(kind), draw.integer_predicate(kind), draw.integer(1, 3)
    size = draw.arguments.randint(2, 4)
    x = mapping.on("x")

    def oracle(values: list, other: Sequence = ()) -> object:
        return {
            "map": lambda: [mapping(v) if keep(v) else v for v in values], "dot": lambda: sum(mapping(a) * b for a, b in zip(values, other, strict=True)), "shift": lambda: [mapping(values[(i + k) % size]) for i in range(size)],
            "differences": lambda: [mapping(a) - b for a, b in zip(values, other, strict=True)], "place": lambda: [i * k if keep(v) else 0 for i, v in enumerate(values)], "matrix": lambda: [mapping(sum(row)) for row in values],
            "maximum": lambda: max((mapping(v) for v in values if keep(v)), default=k), "first sorted": lambda: sorted(mapping(v) for v in values),
        }[wanted]()

    array = f"[{kind}; N]"
    returns, told, forms = {
        "map": (array, f"the array with the {keep.plural} {mapping.participle} and all other elements unchanged", [f"values.map(|x| if {keep.on('x')} {{ {x} }} else {{ x }})", f"let mut result = values;\nfor slot in result.iter_mut() {{\n    let x = *slot;\n    if {keep.on('x')} {{\n        *slot = {x};\n    }}\n}}\nresult"]),
        "dot": (kind, f"the dot product of both arrays after each element of `values` has been {mapping.participle}", [f"let mut total = 0;\nfor i in 0..N {{\n    let x = values[i];\n    total += ({x}) * other[i];\n}}\ntotal", f"values\n    .iter()\n    .zip(other.iter())\n    .map(|(&x, y)| ({x}) * y)\n    .sum()"]),
        "shift": (array, f"the elements, each {mapping.participle}, rotated to the left by {k} {'position' if k == 1 else 'positions'}", [f"let mut result = values.map(|x| {x});\nresult.rotate_left({k} % N);\nresult", f"std::array::from_fn(|i| {{\n    let x = values[(i + {k}) % N];\n    {x}\n}})"]),
        "differences": (array, f"the elements of `values`, each {mapping.participle}, minus the elements of `other` at the same index", [f"let mut result = [0; N];\nfor i in 0..N {{\n    let x = values[i];\n    result[i] = {x} - other[i];\n}}\nresult", f"let mut result = values.map(|x| {x});\nfor (slot, y) in result.iter_mut().zip(other) {{\n    *slot -= y;\n}}\nresult"]),
        "place": ("[usize; N]", f"an array that has, for each element, its index times {k} if the element {keep.clause} and 0 otherwise", [f"let mut result = [0; N];\nfor (i, &x) in values.iter().enumerate() {{\n    if {keep.on('x')} {{\n        result[i] = i * {k};\n    }}\n}}\nresult", f"std::array::from_fn(|i| {{\n    let x = values[i];\n    if {keep.on('x')} {{\n        i * {k}\n    }} else {{\n        0\n    }}\n}})"]),
        "matrix": (f"[{kind}; M]", f"for each row its sum {mapping.participle}", [f"values.map(|row| {{\n    let x: {kind} = row.iter().sum();\n    {x}\n}})", f"let mut result = [0; M];\nfor (slot, row) in result.iter_mut().zip(values.iter()) {{\n    let x = row.iter().sum::<{kind}>();\n    *slot = {x};\n}}\nresult"]),
        "maximum": (kind, f"the largest of the {keep.plural}, each {mapping.participle}, or {k} if there are none", [f"values\n    .into_iter()\n    .filter(|&x| {keep.on('x')})\n    .map(|x| {x})\n    .max()\n    .unwrap_or({k})", f"let mut best = None;\nfor x in values {{\n    if {keep.on('x')} {{\n        best = best.max(Some({x}));\n    }}\n}}\nbest.unwrap_or({k})"]),
        "first sorted": (array, f"the elements, each {mapping.participle}, in ascending order", [f"let mut result = values.map(|x| {x});\nresult.sort();\nresult", f"let mut result = values;\nfor slot in &mut result {{\n    let x = *slot;\n    *slot = {x};\n}}\nresult.sort_unstable();\nresult"]),
    }[wanted]
    two, rows = wanted in ("dot", "differences"), wanted == "matrix"

    def numbers():
        return [draw.arguments.randint(-8, 15) for _ in range(size)]

    return FunctionSpec(
        name=draw.style(f"array_{wanted.replace(' ', '_')}", "convert_array", f"{wanted.replace(' ', '_')}_fixed", "process_array"), generics="<const N: usize, const M: usize>" if rows else "<const N: usize>", types={"N": str(size), "M": "2"},
        parameters={"values": f"[[{kind}; N]; M]" if rows else array} | ({"other": array} if two else {}), returns=returns, forms=forms, oracle=oracle,
        inputs=lambda: ([numbers(), numbers()],) if rows else (numbers(), numbers()) if two else (numbers(),), words=[f"Returns {told}.", f"Computes, for arrays of any size, {told}."],
    )


@family(tier=3)
def generic_container(draw: Draw) -> Items:
    shape, bound = draw.choose("Stack", "Queue", "Recent", "Ranked", "Unique", "Ring"), draw.choose(2, 3, 4, 5)
    extras = sorted({draw.choose("contains", "swap", "map", "drain", "count", "largest") for _ in range(3)})
    names = {"Stack": ("Pile", "Stack", "Tower"), "Queue": ("Line", "Fifo", "WaitingLine"), "Recent": ("History", "Latest", "Recent"), "Ranked": ("Sorted", "Ranking", "Ordered"), "Unique": ("Unique", "Collector", "Distinct"), "Ring": ("Ring", "Carousel", "Wheel")}[shape]
    name, field = draw.style(*names), draw.style("items", "entries", "elements", "inner", "data")
    put, take = draw.style("push", "add", "insert", "put"), draw.style("pop", "take", "remove", "next_out")
    adding = {
        "Stack": [f"if self.{field}.len() == {bound} {{", "    return false;", "}", f"self.{field}.push(item);", "true"], "Queue": [f"let room = self.{field}.len() < {bound};", "if room {", f"    self.{field}.push(item);", "}", "room"],
        "Recent": [f"let full = self.{field}.len() == {bound};", "if full {", f"    self.{field}.remove(0);", "}", f"self.{field}.push(item);", "!full"],
        "Ranked": [f"let index = self.{field}.iter().filter(|held| **held <= item).count();", f"self.{field}.insert(index, item);", f"self.{field}.truncate({bound});", f"index < {bound}"],
        "Unique": [f"if self.{field}.contains(&item) || self.{field}.len() >= {bound} {{", "    return false;", "}", f"self.{field}.push(item);", "true"], "Ring": [f"self.{field}.insert(0, item);", f"if self.{field}.len() > {bound} {{", f"    self.{field}.pop();", "    return false;", "}", "true"],
    }[shape]
    front = shape in ("Queue", "Ranked", "Recent")
    taking = [f"if self.{field}.is_empty() {{", "    None", "} else {", f"    Some(self.{field}.remove(0))", "}"] if front else [f"self.{field}.pop()"]
    told = {"Stack": f"A stack of at most {bound} items, last in, first out.", "Queue": f"A queue of at most {bound} items, first in, first out.", "Recent": f"Keeps the {bound} most recent items; adding to a full one drops the oldest.", "Ranked": f"Keeps the {bound} smallest items in ascending order.", "Unique": f"Holds at most {bound} distinct items.", "Ring": f"Keeps {bound} items with the newest in front; the oldest one is dropped."}[shape]
    methods = {
        "contains": ["/// Returns `true` if an equal item is stored.", "pub fn contains(&self, item: &T) -> bool {", f"    self.{field}.iter().any(|held| held == item)", "}"],
        "swap": ["/// Swaps the first and the last item.", "pub fn swap_ends(&mut self) {", f"    let length = self.{field}.len();", "    if length > 1 {", f"        self.{field}.swap(0, length - 1);", "    }", "}"],
        "map": ["/// Applies `f` to all items and returns the results.", "pub fn map<U>(&self, f: impl Fn(&T) -> U) -> Vec<U> {", f"    self.{field}.iter().map(f).collect()", "}"],
        "drain": ["/// Removes all items and returns them in order.", "pub fn drain_all(&mut self) -> Vec<T> {", f"    std::mem::take(&mut self.{field})", "}"],
        "count": ["/// Counts the items that satisfy `test`.", "pub fn count_where<F>(&self, test: F) -> usize", "where", "    F: Fn(&T) -> bool,", "{", f"    self.{field}.iter().filter(|held| test(held)).count()", "}"],
        "largest": ["/// Returns the largest item, if any.", "pub fn largest(&self) -> Option<&T> {", f"    self.{field}.iter().max()", "}"],
    }
    written = [["/// Creates an empty collection.", "pub fn new() -> Self {", f"    {draw.style('Self', name)} {{", f"        {field}: Vec::new(),", "    }", "}"],
               [f"/// {draw.style('Inserts', 'Adds', 'Stores')} an item and returns whether {'no other item had to be removed for it' if shape in ('Recent', 'Ring') else 'it was kept'}.", f"pub fn {put}(&mut self, item: T) -> bool {{", *(f"    {line}" for line in adding), "}"],
               [f"/// Removes and returns the {'first' if front else 'last'} item.", f"pub fn {take}(&mut self) -> Option<T> {{", *(f"    {line}" for line in taking), "}"],
               [f"/// {draw.style('Returns the number of items.', 'Returns how many items are stored.')}", "pub fn len(&self) -> usize {", f"    self.{field}.len()", "}"], *(methods[extra] for extra in extras)]
    body = "\n\n".join("\n".join(f"    {line}" for line in method) for method in written)
    pub, clause = draw.style("pub ", ""), draw.style("<T: Ord>", "<T: Ord + Clone>", "<T: Ord + std::fmt::Debug>")
    code = f"/// {told}\n#[derive(Debug, Clone, PartialEq)]\n{pub}struct {name}<T> {{\n    {field}: Vec<T>,\n}}\n\nimpl{clause} {name}<T> {{\n{body}\n}}\n"

    def case() -> Case:
        held, added = [], []
        for number in _elements(draw, "i32", 2, 7):
            full = len(held) >= bound
            kept = {"Stack": not full, "Queue": not full, "Recent": not full, "Ring": not full, "Ranked": not full or number < max(held), "Unique": not full and number not in held}[shape]
            orders = {"Recent": [*held, number][-bound:], "Ring": [number, *held][:bound], "Ranked": sorted([*held, number])[:bound]}
            held = orders.get(shape, [*held, number] if kept else held)
            added.append((number, kept))
        setup = f"let mut it = {name}::new(); " + " ".join(f"it.{put}({number});" for number, _ in added[:-1])
        checks = [(f"it.{put}({added[-1][0]})", str(added[-1][1]).lower()), ("it.len()", str(len(held)))]
        out = held[0] if front else held[-1]
        more = {"contains": ("it.contains(&2)", str(2 in held).lower()), "map": ("it.map(|x| x * 2)", f"vec!{[2 * v for v in held]}"), "count": ("it.count_where(|x| *x > 1)", str(sum(v > 1 for v in held))), "largest": ("it.largest().copied()", f"Some({max(held)})")}
        checks += [more[extra] for extra in extras if extra in more]
        checks += [(f"it.{take}()", f"Some({out})")]
        if "drain" in extras:
            checks += [("it.drain_all()", f"vec!{held[1:] if front else held[:-1]}" if len(held) > 1 else "Vec::<i32>::new()")]
        return Case(f"({', '.join(c for c, _ in checks)})", f"({', '.join(e for _, e in checks)})", setup)

    cases = {each.setup: each for each in (case() for _ in range(5))}
    return Items(code, list(cases.values()))


@family(tier=3)
def default_builder(draw: Draw) -> Items:
    name, all_fields = draw.choose(
        ("Window", ("width", "height", "margin", "layers")), ("Server", ("port", "workers", "timeout", "retries")), ("Robot", ("speed", "arms", "battery", "range")), ("Recipe", ("servings", "minutes", "degrees", "steps")),
        ("Tournament", ("rounds", "players", "prizes", "courts")), ("Cache", ("capacity", "shards", "lifetime", "hits")), ("Garden", ("beds", "trees", "paths", "ponds")), ("Train", ("cars", "seats", "stops", "doors")),
    )
    fields = all_fields[: draw.choose(2, 3, 4)]
    defaults, kind = [draw.integer(0, 20) for _ in fields], draw.choose("u32", "i32", "u64")
    validated, minimum, wrapper = draw.choose(True, False), draw.integer(1, 9), draw.style("Builder", "Options", "Settings")
    mapping = draw.integer_mapping(kind)
    builder, prefix, finish = f"{name}{wrapper}", draw.style("", "with_", "set_"), draw.style("build", "finish", "create")
    first = fields[0]
    setters = "\n\n".join(f"    /// {draw.style('Sets', 'Configures', 'Changes')} the {field}.\n    pub fn {prefix}{field}(mut self, value: {kind}) -> Self {{\n        self.{field} = {'value' if field != fields[-1] else mapping.on('value')};\n        self\n    }}" for field in fields)
    made = f"{name} {{\n            " + ",\n            ".join(f"{field}: self.{field}" for field in fields) + ",\n        }"
    check = f"        if self.{first} < {minimum} {{\n            return Err(format!(\"too few {first}: {{}}\", self.{first}));\n        }}\n        Ok({made})" if validated else f"        {made}"
    result = f"Result<{name}, String>" if validated else name
    declared = "".join(f"    pub {field}: {kind},\n" for field in fields)
    values = "".join(f"            {field}: {value},\n" for field, value in zip(fields, defaults, strict=True))
    code = (
        f"/// A {name.lower()} with its settings.\n#[derive(Debug, Clone, PartialEq)]\npub struct {name} {{\n{declared}}}\n\n/// Builds a [`{name}`] from default values. A given value for `{fields[-1]}` is {mapping.participle}.\n#[derive(Debug, Clone)]\npub struct {builder} {{\n"
        f"{declared.replace('pub ', '')}}}\n\nimpl Default for {builder} {{\n    fn default() -> Self {{\n        Self {{\n{values}        }}\n    }}\n}}\n\nimpl {builder} {{\n{setters}\n\n    /// Builds the {name.lower()}{f', or returns an error if `{first}` is less than {minimum}' if validated else ''}.\n    pub fn {finish}(self) -> {result} {{\n{check}\n    }}\n}}\n"
    )

    def case(chosen: list[str]) -> Case:
        given = {field: draw.arguments.randint(0, 25) for field in chosen}
        held = dict(zip(fields, defaults, strict=True)) | {f: mapping(v) if f == fields[-1] else v for f, v in given.items()}
        calls = "".join(f".{prefix}{field}({value})" for field, value in given.items())
        expected = f"{name} {{ {', '.join(f'{field}: {value}' for field, value in held.items())} }}"
        expected = (f'Err("too few {first}: {held[first]}".to_string())' if held[first] < minimum else f"Ok({expected})") if validated else expected
        return Case(f"{builder}::default(){calls}.{finish}()", expected)

    return Items(code, [case([]), case([fields[-1]]), case([first]), case(list(fields))])
