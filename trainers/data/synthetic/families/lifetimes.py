"""Functions that return references into their arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.literals import INTEGERS, Err, Ok


@dataclass(frozen=True)
class Measure:
    """A number that a text has."""

    rust: str
    compute: Callable[[str], int]
    noun: str
    slug: str

    def at_least(self, least: int) -> str:
        """"at least 3 words", after "with"."""
        counted = self.noun.removeprefix("number of ")
        if self.slug == "length":
            return f"at least {least} {'byte' if least == 1 else 'bytes'}"
        if self.slug.startswith("before_"):
            return f"at least {least} {'byte' if least == 1 else 'bytes'} before the first `{self.slug[-1]}` (or in total if there is no `{self.slug[-1]}`)"
        return f"one or more {counted}" if least == 1 else f"at least {least} {counted}"

    def on(self, name: str) -> str:
        return self.rust.replace("@", name)


def text_measure(draw: Draw) -> Measure:
    keep = draw.char_predicate()
    one = draw.choose("a", "e", "i", "o", "r", "t", "l")
    return draw.choose(
        Measure("@.len()", len, "length in bytes", "length"), Measure("@.split_whitespace().count()", lambda s: len(s.split()), "number of words", "words"),
        *[Measure(f"@.chars().filter(|&c| {keep.on('c')}).count()", lambda s: sum(map(keep, s)), f"number of {keep.plural}", keep.slug)] * 3,
        Measure(f"@.find('{one}').unwrap_or(@.len())", lambda s: s.find(one) if one in s else len(s), f"number of bytes before the first `{one}` (or of all bytes if there is none)", f"before_{one}"),
        Measure(f"@.matches('{one}').count()", lambda s: s.count(one), f"number of `{one}` characters", f"count_{one}"),
    )


def draw_word(draw: Draw) -> str:
    return draw.arguments.choice(("river", "Tea", "stone42", "lamp", "orbit", "A", "green", "level", "Oak7", "x1", "noon", "to", ""))


@family(tier=1)
def preferred_text(draw: Draw) -> FunctionSpec:
    measure, wanted, ties, many = text_measure(draw), draw.choose("more", "less"), draw.choose("first", "last"), draw.choose(2, 2, 3)
    sign = {"more": ">", "less": "<"}[wanted]
    best = {"more": "greatest", "less": "smallest"}[wanted] if many == 3 else {"more": "greater", "less": "smaller"}[wanted]
    keeps = f"{sign}=" if ties == "first" else sign
    beats = sign if ties == "first" else f"{sign}="
    said = measure.noun.replace("`", "'")  # in backticks it would be renamed with the parameter
    a, b = measure.on("a"), measure.on("b")
    names = "abc"[:many]

    def oracle(*texts: str) -> str:
        ordered = texts if ties == "first" else texts[::-1]
        return (max if wanted == "more" else min)(ordered, key=measure.compute)

    if many == 2:
        forms = [f"if {a} {keeps} {b} {{\n    a\n}} else {{\n    b\n}}", f"let first = {a};\nlet second = {b};\nif second {beats} first {{\n    return b;\n}}\na",
                 f"match {a}.cmp(&{b}) {{\n    std::cmp::Ordering::{'Greater' if wanted == 'more' else 'Less'} => a,\n    std::cmp::Ordering::Equal => {'a' if ties == 'first' else 'b'},\n    std::cmp::Ordering::{'Less' if wanted == 'more' else 'Greater'} => b,\n}}"]
    else:
        forms = [f"let mut best = a;\nfor text in [b, c] {{\n    if {measure.on('text')} {beats} {measure.on('best')} {{\n        best = text;\n    }}\n}}\nbest",
                 f"let measure = |text: &str| {measure.on('text')};\nlet best = if measure(b) {beats} measure(a) {{ b }} else {{ a }};\nif measure(c) {beats} measure(best) {{\n    c\n}} else {{\n    best\n}}"]
    which = "the first" if ties == "first" else "the last"
    return FunctionSpec(
        name=draw.style(f"{best}_{measure.slug}", "choose_text", "pick", f"with_{wanted}_{measure.slug}", "prefer"), generics="<'a>", parameters=dict.fromkeys(names, "&'a str"), returns="&'a str", forms=forms, oracle=oracle,
        inputs=lambda: tuple(draw.text() for _ in names), words=[f"Returns the text with the {best} {said}, or {which} one in case of a tie.", f"Compares {'two' if many == 2 else 'three'} texts by their {said} and returns the one for which it is {best}. In case of a tie, {which} one of the tied texts is returned."],
    )


@family(tier=2)
def chosen_from_list(draw: Draw) -> FunctionSpec:
    measure, wanted, source = text_measure(draw), draw.choose("greatest", "smallest", "first", "all", "sorted", "position"), draw.choose("list", "words", "lines")
    limit, limited = draw.integer(1, 4), draw.choose(True, False)
    value, enough = measure.on("part"), f"{measure.on('part')} >= {limit}"
    parameters, iterate, begin = {"list": ({"parts": "&[&'a str]"}, "parts.iter().copied()", list), "words": ({"text": "&'a str"}, "text.split_whitespace()", str.split), "lines": ({"text": "&'a str"}, "text.lines()", str.splitlines)}[source]
    limited = limited or wanted in ("first", "all", "position")
    noun = {"list": "part", "words": "word", "lines": "line"}[source]

    def oracle(given: Any) -> object:
        parts = [part for part in begin(given) if not limited or measure.compute(part) >= limit]
        key = measure.compute
        return {"greatest": lambda: max(parts, key=key, default=None), "smallest": lambda: min(parts, key=key, default=None), "first": lambda: parts[0] if parts else None, "all": lambda: parts, "sorted": lambda: sorted(parts, key=key), "position": lambda: (begin(given).index(parts[0]), parts[0]) if parts else None}[wanted]()

    def inputs() -> tuple:
        many = [draw.text(draw.arguments.randint(1, 3)) if source != "words" else draw_word(draw) for _ in range(draw.arguments.randint(0, 5))]
        return (many if source == "list" else {"words": " ", "lines": "\n"}[source].join(many),)

    chain = [iterate, *([f"    .filter(|part| {enough})"] if limited else [])]
    sign = ">" if wanted == "greatest" else "<"
    skip = [f"    if {measure.on('part')} < {limit} {{", "        continue;", "    }"] if limited else []
    loop = f"for part in {iterate} {{"
    best = ["let mut best: Option<&'a str> = None;", loop, *skip, "    match best {", f"        Some(held) if {measure.on('held')} {sign}= {value} => {{}}", "        _ => best = Some(part),", "    }", "}", "best"]
    kept = ["let mut result = Vec::new();", loop, *(f"    {line}" for line in ([f"if {enough} {{", "    result.push(part);", "}"] if limited else ["result.push(part);"])), "}"]
    collected = [*chain, "    .collect();"] if limited else [f"{iterate}.collect();"]
    gathered = ["let mut result: Vec<&str> = " + collected[0], *collected[1:], f"result.sort_by_key(|part| {value});", "result"]
    forms = {
        "greatest": [best, [*chain, "    .fold(None, |best: Option<&'a str>, part| match best {", f"        Some(held) if {measure.on('held')} >= {value} => Some(held),", "        _ => Some(part),", "    })"]],
        "smallest": [best, [*chain, f"    .min_by_key(|part| {value})"]], "first": [[loop, f"    if {enough} {{", "        return Some(part);", "    }", "}", "None"], [f"{iterate}", f"    .find(|part| {enough})"]],
        "all": [[*chain, "    .collect()"], [*kept, "result"]], "sorted": [gathered, [*kept, f"result.sort_by_key(|part| {value});", "result"]],
        "position": [[loop.replace("for part in ", "for (index, part) in ").replace(" {", ".enumerate() {"), f"    if {enough} {{", "        return Some((index, part));", "    }", "}", "None"], [iterate, "    .enumerate()", f"    .find(|(_, part)| {enough})"]],
    }[wanted]
    only = f" Only {noun}s with {measure.at_least(limit)} are considered." if limited else ""
    told = {"greatest": f"the {noun} with the greatest {measure.noun} (the first one in case of a tie), or `None` if there is none", "smallest": f"the {noun} with the smallest {measure.noun} (the first one in case of a tie), or `None` if there is none", "first": f"the first {noun}, or `None` if there is none", "all": f"all {noun}s in order", "sorted": f"the {noun}s sorted by their {measure.noun} in ascending order, where ties keep their order", "position": f"the index (counting all {noun}s from 0) and the text of the first {noun}, or `None` if there is none"}[wanted]
    given = next(iter(parameters))
    return FunctionSpec(
        name=draw.style(f"{wanted}_{noun}", f"{wanted}_by_{measure.slug}", f"select_{noun}s", f"pick_{noun}"), generics="<'a>", parameters=parameters, returns={"all": "Vec<&'a str>", "sorted": "Vec<&'a str>", "position": "Option<(usize, &'a str)>"}.get(wanted, "Option<&'a str>"),
        forms=["\n".join(form) for form in forms], oracle=oracle, inputs=inputs, words=[f"Returns {told}.{only}", f"Looks at the {noun}s {'in' if source != 'list' else 'of'} `{given}` and returns {told}.{only}"],
    )


@family(tier=1)
def split_around(draw: Draw) -> FunctionSpec:
    wanted, sign = draw.choose("first", "last", "predicate", "middle"), draw.choose(":", "=", ",", "-", ";", "/", "->", "=>", "::", "@", "#")
    keep, trimmed, swapped, failure = draw.char_predicate(), draw.choose(True, False), draw.choose(True, False), draw.choose("none", "whole", "error")
    trim = ".trim()" if trimmed else ""
    quoted = f"'{sign}'" if len(sign) == 1 else f'"{sign}"'

    def oracle(text: str) -> object:
        if wanted == "predicate":
            at = next((i for i, c in enumerate(text) if keep(c)), -1)
            pair = (text[:at], text[at:]) if at >= 0 else None
        elif wanted == "middle":
            pair = (text[: len(text) // 2], text[len(text) // 2 :]) if text else None
        else:
            pair = tuple(text.split(sign, 1) if wanted == "first" else text.rsplit(sign, 1)) if sign in text else None
        if pair is not None:
            pair = tuple(part.strip() for part in pair) if trimmed else pair
            pair = pair[::-1] if swapped else pair
            return Ok(pair) if failure == "error" else pair
        return {"none": None, "whole": (text, ""), "error": Err(text)}[failure]

    good, bad, returns = {"none": ("Some({})", "None", "Option<(&str, &str)>"), "whole": ("{}", '(text, "")', "(&str, &str)"), "error": ("Ok({})", "Err(text)", "Result<(&str, &str), &str>")}[failure]
    pair = good.format(f"(right{trim}, left{trim})" if swapped else f"(left{trim}, right{trim})")
    place = {"first": f"text.find({quoted})", "last": f"text.rfind({quoted})", "predicate": f"text.find(|c: char| {keep.on('c')})"}.get(wanted)
    if wanted == "middle":
        forms = [f"if text.is_empty() {{\n    return {bad};\n}}\nlet (left, right) = text.split_at(text.len() / 2);\n{pair}", f"let middle = text.len() / 2;\nmatch text.len() {{\n    0 => {bad},\n    _ => {{\n        let (left, right) = (&text[..middle], &text[middle..]);\n        {pair}\n    }}\n}}"]
    else:
        width = "" if wanted == "predicate" else f" + {len(sign)}"
        forms = [f"match {place} {{\n    Some(index) => {{\n        let (left, right) = (&text[..index], &text[index{width}..]);\n        {pair}\n    }}\n    None => {bad},\n}}", f"let Some(index) = {place} else {{\n    return {bad};\n}};\nlet left = &text[..index];\nlet right = &text[index{width}..];\n{pair}"]
        if wanted != "predicate":
            once = f"text.{'r' if wanted == 'last' else ''}split_once({quoted})"
            forms += [f"match {once} {{\n    Some((left, right)) => {pair},\n    None => {bad},\n}}", f"let Some((left, right)) = {once} else {{\n    return {bad};\n}};\n{pair}"]
    where = {"first": f"at the first `{sign}`, which belongs to neither part", "last": f"at the last `{sign}`, which belongs to neither part", "predicate": f"before the first character that {keep.clause}", "middle": "in the middle (if the length is odd, the second part is longer; the text is ASCII, and an empty text cannot be split)"}[wanted]
    rest = (", both trimmed" if trimmed else "") + (", with the second part first" if swapped else "")
    otherwise = {"none": "Returns `None` if it cannot be split.", "whole": "If it cannot be split, returns the unchanged text followed by an empty text.", "error": "If it cannot be split, returns the unchanged text as the error."}[failure]
    a = draw.style(True, False)
    return FunctionSpec(
        name=draw.style("split_text", "split_around", "cut", f"split_{wanted}", "halves"), generics="<'a>" if a else "", parameters={"text": "&'a str" if a else "&str"}, returns=returns.replace("&", "&'a ") if a else returns, forms=forms, oracle=oracle,
        inputs=lambda: (draw.arguments.choice(("", " ")).join(draw_word(draw) + draw.arguments.choice(("", sign, sign)) for _ in range(draw.arguments.randint(0, 3))),),
        words=[f"Splits `text` {where}, and returns both parts{rest}. {otherwise}", f"Cuts `text` {where}. Returns the two parts{rest}. {otherwise}"],
    )


@family(tier=1)
def stripped_text(draw: Draw) -> FunctionSpec:
    wanted, side, failure = draw.choose("fixed", "given", "both", "matching", "repeated"), draw.choose("start", "end"), draw.choose("none", "same", "empty")
    mark, keep = draw.choose("#", "//", "re: ", "--", "http://", "0x", "$", ".rs", "!", "> ", "_"), draw.char_predicate()
    left, right = draw.choose(("(", ")"), ("[", "]"), ("<", ">"), ("{", "}"), ("\\\"", "\\\""), ("/*", "*/"))
    trimmed = draw.choose(True, False)
    left_text, right_text = left.replace("\\", ""), right.replace("\\", "")
    start = side == "start"
    total = wanted in ("matching", "repeated")
    word = "prefix" if start else "suffix"

    def oracle(text: str, given: str = "") -> str | None:
        cut = given if wanted == "given" else mark
        if wanted == "both":
            found = text.startswith(left_text) and text[len(left_text) :].endswith(right_text)
            inner = text[len(left_text) : len(text) - len(right_text)]
        elif wanted == "matching":
            kept = [i for i, c in enumerate(text) if not keep(c)]
            found, inner = True, (text[kept[0] :] if start else text[: kept[-1] + 1]) if kept else ""
        elif wanted == "repeated":
            found, inner = True, text
            while inner and (inner.startswith(cut) if start else inner.endswith(cut)):
                inner = inner[len(cut) :] if start else inner[: -len(cut)]
        else:
            found = text.startswith(cut) if start else text.endswith(cut)
            inner = (text[len(cut) :] if start else text[: len(text) - len(cut)]) if found else text
        if found:
            return inner.strip() if trimmed else inner
        return {"none": None, "same": text, "empty": ""}[failure]

    def inputs() -> tuple:
        pick, text = draw.arguments, draw.text()
        given = pick.choice(("ri", "a", "x", "42", text[:2] if start else text[-2:], "T"))
        return {
            "given": (text, given), "both": (pick.choice(("", left_text, left_text)) + text + pick.choice(("", right_text, right_text)),), "matching": (pick.choice(("", "aA", "12 ", "ee")) + text + pick.choice(("", "Ee", "7!", " a")),),
        }.get(wanted, (mark * pick.randint(0, 2) + text if start else text + mark * pick.randint(0, 2),))

    trim = ".trim()" if trimmed else ""
    what = "affix" if wanted == "given" else f'"{mark}"'
    strip = f'text.strip_prefix("{left}").and_then(|rest| rest.strip_suffix("{right}"))' if wanted == "both" else f"text.strip_{word}({what})"
    bad = {"none": "None", "same": "text", "empty": '""'}[failure]
    good = f"Some(rest{trim})" if failure == "none" else f"rest{trim}"
    if wanted == "matching":
        forms = [f"text.trim_{side}_matches(|c: char| {keep.on('c')}){trim}", f"let mut rest = text;\nwhile let Some(c) = rest.chars().{'next()' if start else 'last()'} {{\n    if {keep.on('c')} {{\n        rest = &rest[{'c.len_utf8()..' if start else '..rest.len() - c.len_utf8()'}];\n    }} else {{\n        break;\n    }}\n}}\nrest{trim}"]
    elif wanted == "repeated":
        forms = [f"text.trim_{side}_matches({what}){trim}", f"let mut rest = text;\nwhile let Some(shorter) = rest.strip_{word}({what}) {{\n    rest = shorter;\n}}\nrest{trim}"]
    else:
        forms = [f"match {strip} {{\n    Some(rest) => {good},\n    None => {bad},\n}}", f"if let Some(rest) = {strip} {{\n    {good}\n}} else {{\n    {bad}\n}}"]
        forms += {"none": [f"let rest = {strip}?;\n{good}", f"{strip}.map(|rest| rest.trim())" if trimmed else strip], "same": [strip + (".map_or(text, |rest| rest.trim())" if trimmed else ".unwrap_or(text)")], "empty": [f"{strip}.unwrap_or_default(){trim}"]}[failure]
    place = "beginning" if start else "end"
    told = {"fixed": f"without the {word} \"{mark}\"", "given": f"without `affix` at the {place}", "both": f"without `{left_text}` at the beginning and `{right_text}` at the end", "matching": f"without any {keep.plural} at the {place}", "repeated": f"with all repetitions of \"{mark}\" at the {place} removed"}[wanted]
    missing = {"fixed": f"this {word}", "given": f"this {word}", "both": "both of these"}.get(wanted, "")
    otherwise = "" if total else {"none": f" Returns `None` if it does not have {missing}.", "same": f" If it does not have {missing}, the text is returned unchanged.", "empty": f" Returns an empty text if it does not have {missing}."}[failure]
    two = wanted == "given"
    a = two or draw.style(True, False)
    reference = "&'a str" if a else "&str"
    affix = draw.style("&str", "&'b str")
    return FunctionSpec(
        name=draw.style("strip", f"strip_{wanted}", f"without_{word}", f"remove_{word}", "unwrap_text"), generics=("<'a, 'b>" if two and "'b" in affix else "<'a>") if a else "", parameters={"text": reference} | ({"affix": affix} if two else {}),
        returns=f"Option<{reference}>" if failure == "none" and not total else reference, forms=forms, oracle=oracle, inputs=inputs, words=[f"Returns `text` {told}{' and then trimmed' if trimmed else ''}.{otherwise}", f"Returns the text {told}{'. Whitespace around what remains is removed as well' if trimmed else ''}.{otherwise}"],
    )


@family(tier=2)
def part_of_slice(draw: Draw) -> FunctionSpec:
    kind, wanted = draw.choose(*INTEGERS), draw.choose("prefix", "suffix", "longest run", "window", "after", "between", "middle")
    keep, k, mapping = draw.integer_predicate(kind), draw.integer(1, 4), draw.integer_mapping(kind)
    condition = keep.on("value")

    def oracle(values: list[int]) -> list[int]:
        flags = [keep(v) for v in values]
        marks = [i for i, flag in enumerate(flags) if flag]
        if wanted == "longest run":
            runs = [values[i:j] for i in range(len(values)) for j in range(i + 1, len(values) + 1) if all(flags[i:j])]
            return max(runs, key=len, default=[])
        if wanted == "window":
            return max((values[i : i + k] for i in range(len(values) - k + 1)), key=lambda w: sum(mapping(v) for v in w), default=[])
        misses = [i for i, flag in enumerate(flags) if not flag]
        return {"prefix": lambda: values[: misses[0] if misses else len(values)], "suffix": lambda: values[misses[-1] + 1 if misses else 0 :], "after": lambda: values[marks[0] + 1 :] if marks else [], "between": lambda: values[marks[0] : marks[-1] + 1] if marks else [], "middle": lambda: values[k:-k] if len(values) > 2 * k else []}[wanted]()

    no = f"!({condition})"
    told, forms = {
        "prefix": (f"the longest prefix that contains only {keep.plural}", [f"let end = values\n    .iter()\n    .position(|&value| {no})\n    .unwrap_or(values.len());\n&values[..end]", f"for (index, &value) in values.iter().enumerate() {{\n    if {no} {{\n        return &values[..index];\n    }}\n}}\nvalues"]),
        "suffix": (f"the longest suffix that contains only {keep.plural}", [f"match values.iter().rposition(|&value| {no}) {{\n    Some(index) => &values[index + 1..],\n    None => values,\n}}", f"let mut rest = values;\nwhile let Some((&value, before)) = rest.split_last() {{\n    if {no} {{\n        break;\n    }}\n    rest = before;\n}}\n&values[rest.len()..]"]),
        "longest run": (f"the longest contiguous run of {keep.plural} (the first one in case of a tie)", [f"let mut best = &values[..0];\nlet mut start = 0;\nfor (index, &value) in values.iter().enumerate() {{\n    if {condition} {{\n        if index + 1 - start > best.len() {{\n            best = &values[start..=index];\n        }}\n    }} else {{\n        start = index + 1;\n    }}\n}}\nbest", f"values\n    .split(|&value| {no})\n    .rev()\n    .max_by_key(|run| run.len())\n    .unwrap_or(&[])"]),
        "window": (f"the window of {k} consecutive {'number' if k == 1 else 'numbers'} for which the sum of the numbers, each {mapping.participle}, is largest (the first one in case of a tie), or an empty slice if there are fewer numbers", [f"values\n    .windows({k})\n    .rev()\n    .max_by_key(|window| window.iter().map(|&value| {mapping.on('value')}).sum::<{kind}>())\n    .unwrap_or(&[])", f"let mut best: Option<(&[{kind}], {kind})> = None;\nfor window in values.windows({k}) {{\n    let mut total = 0;\n    for &value in window {{\n        total += {mapping.on('value')};\n    }}\n    match best {{\n        Some((_, held)) if held >= total => {{}}\n        _ => best = Some((window, total)),\n    }}\n}}\nbest.map_or(&[], |(window, _)| window)"]),
        "after": (f"everything after the first of the {keep.plural}, or an empty slice if there are none", [f"match values.iter().position(|&value| {condition}) {{\n    Some(index) => &values[index + 1..],\n    None => &[],\n}}", f"let mut rest = values;\nwhile let [value, others @ ..] = rest {{\n    let value = *value;\n    rest = others;\n    if {condition} {{\n        break;\n    }}\n}}\nrest"]),
        "between": (f"the part from the first to the last of the {keep.plural}, both included, or an empty slice if there are none", [f"let start = values.iter().position(|&value| {condition});\nlet end = values.iter().rposition(|&value| {condition});\nmatch (start, end) {{\n    (Some(start), Some(end)) => &values[start..=end],\n    _ => &[],\n}}"]),
        "middle": (f"the part without the first {'number' if k == 1 else f'{k} numbers'} and the last {'number' if k == 1 else f'{k} numbers'}, or an empty slice if nothing remains", [f"values.get({k}..values.len().saturating_sub({k})).unwrap_or(&[])", f"if values.len() <= {2 * k} {{\n    return &[];\n}}\n&values[{k}..values.len() - {k}]"]),
    }[wanted]
    a = draw.style(True, False)
    reference = f"&'a [{kind}]" if a else f"&[{kind}]"
    return FunctionSpec(
        name=draw.style(wanted.replace(" ", "_"), f"{wanted.replace(' ', '_')}_slice", "part_of", "narrow"), generics="<'a>" if a else "", parameters={"values": reference}, returns=reference, forms=forms, oracle=oracle,
        inputs=lambda: ([draw.arguments.randint(-9 if kind[0] == "i" else 0, 25) for _ in range(draw.arguments.randint(0, 8))],), words=[f"Returns {told}.", f"Returns, as a subslice of `values`, {told}."],
    )


@family(tier=2)
def chosen_references(draw: Draw) -> FunctionSpec:
    kind, wanted = draw.choose(*INTEGERS), draw.choose("best", "kept", "pair", "or else", "matching", "last two")
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    key, condition = mapping.on("value"), keep.on("value")

    def oracle(values: list[int], other: Any = None) -> object:
        kept = [v for v in values if keep(v)]
        return {
            "best": lambda: max(kept, key=mapping, default=None), "kept": lambda: kept, "pair": lambda: (kept[0], kept[-1]) if kept else None, "or else": lambda: kept[0] if kept else other,
            "matching": lambda: [v for v in values if mapping(v) in other], "last two": lambda: tuple(kept[-2:]) if len(kept) > 1 else None,
        }[wanted]()

    returns, told, forms = {
        "best": (f"Option<&'a {kind}>", f"the one of the {keep.plural} that is largest when {mapping.participle} (the first one in case of a tie), or `None` if there are none", [f"let mut best: Option<&'a {kind}> = None;\nfor held in values {{\n    let value = *held;\n    if !({condition}) {{\n        continue;\n    }}\n    let key = {key};\n    let better = match best {{\n        Some(&value) => key > {key},\n        None => true,\n    }};\n    if better {{\n        best = Some(held);\n    }}\n}}\nbest", f"values\n    .iter()\n    .filter(|&&value| {condition})\n    .rev()\n    .max_by_key(|&&value| {key})"]),
        "kept": (f"Vec<&'a {kind}>", f"the {keep.plural}", [f"values.iter().filter(|&&value| {condition}).collect()", f"let mut result = Vec::new();\nfor held in values {{\n    let value = *held;\n    if {condition} {{\n        result.push(held);\n    }}\n}}\nresult"]),
        "pair": (f"Option<(&'a {kind}, &'a {kind})>", f"the first and the last of the {keep.plural} (the same one if there is only one), or `None` if there are none", [f"let first = values.iter().find(|&&value| {condition})?;\nlet last = values.iter().rfind(|&&value| {condition})?;\nSome((first, last))", f"let mut found = values.iter().filter(|&&value| {condition});\nlet first = found.next()?;\nSome((first, found.last().unwrap_or(first)))"]),
        "or else": (f"&'a {kind}", f"the first of the {keep.plural}, or `other` if there are none", [f"values.iter().find(|&&value| {condition}).unwrap_or(other)", f"for held in values {{\n    let value = *held;\n    if {condition} {{\n        return held;\n    }}\n}}\nother"]),
        "matching": (f"Vec<&'a {kind}>", f"those elements that, when {mapping.participle}, occur in `other`", [f"values.iter().filter(|&&value| other.contains(&({key}))).collect()", f"let mut result = Vec::new();\nfor held in values {{\n    let value = *held;\n    let key = {key};\n    if other.contains(&key) {{\n        result.push(held);\n    }}\n}}\nresult"]),
        "last two": (f"Option<(&'a {kind}, &'a {kind})>", f"the last two of the {keep.plural} in order, or `None` if there are fewer than two", [f"let mut found = values.iter().rev().filter(|&&value| {condition});\nlet last = found.next()?;\nlet before = found.next()?;\nSome((before, last))", f"let found: Vec<&{kind}> = values.iter().filter(|&&value| {condition}).collect();\nmatch found[..] {{\n    [.., before, last] => Some((before, last)),\n    _ => None,\n}}"]),
    }[wanted]

    def numbers():
        return [draw.arguments.randint(-6 if kind[0] == "i" else 0, 24) for _ in range(draw.arguments.randint(0, 8))]

    second = {"or else": lambda: (draw.arguments.randint(0, 99),), "matching": lambda: ([mapping(v) for v in numbers()] + numbers(),)}.get(wanted, tuple)
    extra = {"or else": {"other": f"&'a {kind}"}, "matching": {"other": f"&[{kind}]"}}.get(wanted, {})
    return FunctionSpec(
        name=draw.style(f"{wanted.replace(' ', '_')}_{keep.slug}", "find_references", f"borrow_{wanted.replace(' ', '_')}", "select"), generics="<'a>", parameters={"values": f"&'a [{kind}]"} | extra, returns=returns, forms=forms, oracle=oracle,
        inputs=lambda: (numbers(), *second()), words=[f"Returns references to {told}." if wanted in ("kept", "matching") else f"Returns {told}.", f"Borrows from `values`: returns {'references to ' if wanted in ('kept', 'matching') else ''}{told}."],
    )


@family(tier=4)
def borrowed_pairs(draw: Draw) -> FunctionSpec:
    between, within, measure = draw.choose(";", ",", "&", "|", "\\n"), draw.choose("=", ":", "->", "~"), text_measure(draw)
    wanted, least, lost = draw.choose("pairs", "find", "keys", "longest", "count"), draw.integer(1, 3), draw.choose("skip", "empty")
    separator = "\n" if between == "\\n" else between
    part = draw.style("split_pair", "parse_pair", "key_and_value", "parse_entry")

    def split(entry: str) -> tuple | None:
        key, sign, value = entry.partition(within)
        key = key.strip()
        return None if not key or (not sign and lost == "skip") else (key, value.strip())

    def oracle(text: str, key: str = "") -> object:
        pairs = [pair for pair in map(split, text.split(separator)) if pair is not None]
        good = [pair for pair in pairs if measure.compute(pair[1]) >= least]
        return {"pairs": lambda: good, "find": lambda: next((v for k, v in pairs if k == key), None), "keys": lambda: [k for k, _ in good], "longest": lambda: max(pairs, key=lambda p: measure.compute(p[1]), default=None), "count": lambda: (len(pairs), len(good))}[wanted]()

    def entry() -> str:
        pick = draw.arguments
        return pick.choice(("a", "b", "key", " n ", "")) + pick.choice((within, within, within, "")) + pick.choice(("", " ")) + draw.text(pick.randint(0, 2))

    enough = f"{measure.on('value')} >= {least}"
    pairs = f"text.split('{between}').filter_map({part})"
    returns, told, forms = {
        "pairs": ("Vec<(&'a str, &'a str)>", f"the pairs whose value has {measure.at_least(least)}", [f"text.split('{between}')\n    .filter_map({part})\n    .filter(|(_, value)| {enough})\n    .collect()", f"let mut result = Vec::new();\nfor entry in text.split('{between}') {{\n    if let Some((key, value)) = {part}(entry) {{\n        if {enough} {{\n            result.push((key, value));\n        }}\n    }}\n}}\nresult"]),
        "find": ("Option<&'a str>", "the value of the first pair with the given `key`, or `None` if there is none", [f"for (name, value) in {pairs} {{\n    if name == key {{\n        return Some(value);\n    }}\n}}\nNone", f"text.split('{between}')\n    .filter_map({part})\n    .find(|(name, _)| *name == key)\n    .map(|(_, value)| value)"]),
        "keys": ("Vec<&'a str>", f"the keys whose value has {measure.at_least(least)}", [f"let mut keys = Vec::new();\nfor (key, value) in {pairs} {{\n    if {enough} {{\n        keys.push(key);\n    }}\n}}\nkeys", f"text.split('{between}')\n    .filter_map({part})\n    .filter(|(_, value)| {enough})\n    .map(|(key, _)| key)\n    .collect()"]),
        "longest": ("Option<(&'a str, &'a str)>", f"the pair whose value has the greatest {measure.noun} (the first one in case of a tie), or `None` if there are no pairs", [f"let mut best: Option<(&'a str, &'a str)> = None;\nfor (key, value) in {pairs} {{\n    match best {{\n        Some((_, held)) if {measure.on('held')} >= {measure.on('value')} => {{}}\n        _ => best = Some((key, value)),\n    }}\n}}\nbest"]),
        "count": ("(usize, usize)", f"the number of pairs, and the number of those whose value has {measure.at_least(least)}", [f"let mut all = 0;\nlet mut good = 0;\nfor (_, value) in {pairs} {{\n    all += 1;\n    if {enough} {{\n        good += 1;\n    }}\n}}\n(all, good)", f"text.split('{between}')\n    .filter_map({part})\n    .fold((0, 0), |(all, good), (_, value)| (all + 1, good + ({enough}) as usize))"]),
    }[wanted]
    alone = f"Returns `None` if the key is empty or there is no `{within}`." if lost == "skip" else f"Returns `None` if the key is empty. If there is no `{within}`, the whole text is the key and the value is empty."
    bad = "None" if lost == "skip" else '(text, "")'
    begin = [f'let (key, value) = text.split_once("{within}")?;'] if lost == "skip" else [f'let (key, value) = text.split_once("{within}").unwrap_or({bad});']
    other = [f'let (key, value) = match text.split_once("{within}") {{', "    Some(pair) => pair,", "    None => return None," if lost == "skip" else f"    None => {bad},", "};"]
    helper = FunctionSpec(
        name=part, parameters={"text": "&str"}, returns="Option<(&str, &str)>", oracle=split, inputs=lambda: (entry(),), words=[f"Splits `text` at the first `{within}` into a key and a value, both trimmed. {alone}"],
        forms=["\n".join([*begin, "let key = key.trim();", "if key.is_empty() {", "    return None;", "}", "Some((key, value.trim()))"]), "\n".join([*other, "match key.trim() {", '    "" => None,', "    key => Some((key, value.trim())),", "}"])],
    )
    find = wanted == "find"
    return FunctionSpec(
        name=draw.style("settings", f"{wanted}_of_settings", "read_options", f"{wanted}_in_text", "query"), generics="" if wanted == "count" else "<'a>", parameters={"text": "&str" if wanted == "count" else "&'a str"} | ({"key": "&str"} if find else {}), returns=returns, forms=forms, oracle=oracle, parts=[helper],
        inputs=lambda: (separator.join(entry() for _ in range(draw.arguments.randint(0, 4))), *((draw.arguments.choice(("a", "b", "key", "n")),) if find else ())), words=[f"Parses pairs such as \"key{within}value\", separated by `{between}`, and returns {told}.", f"Splits `text` into entries at every `{between}` and each entry into a key and a value at `{within}`. Returns {told}."],
    )
