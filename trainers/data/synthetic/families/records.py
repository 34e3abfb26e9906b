"""Functions that parse numbers and records and return `Result`."""

import re
from typing import Any

from trainers.data.synthetic.families.options import fits, negation
from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.literals import INTEGERS, Err, Ok


def _parsed(text: str, kind: str) -> int | None:
    """Return the result of `str::parse`."""
    sign = "[+-]?" if kind[0] == "i" else "[+]?"
    return int(text) if re.fullmatch(sign + "[0-9]+", text) and fits(int(text), kind) else None


def _number_text(draw: Draw, kind: str) -> str:
    """Generate a text that is usually a number."""
    pick = draw.arguments
    low = -30 if kind[0] == "i" else 0
    return pick.choice((str(pick.randint(low, 60)), str(pick.randint(low, 60)), str(pick.randint(low, 12)), f" {pick.randint(0, 60)} ", "x", "", "4a", "7 5"))


@family(tier=2)
def validated_number(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    trimmed, altered, empty = draw.choose(True, False), draw.choose(True, False), draw.choose(True, False)
    thing = draw.choose("number", "weight", "port", "level", "quantity", "temperature", "score", "rank")
    parse = f"{'text.trim()' if trimmed else 'text'}.parse::<{kind}>()"
    value = mapping.on("value") if altered else "value"
    blank = [f"if {'text.trim()' if trimmed else 'text'}.is_empty() {{", f'    return Err("no {thing}".to_string());', "}"] if empty else []
    quoted = draw.style('format!("not a {}: {{}}", text)', 'format!("not a {}: {{text}}")', 'String::from("not a {}: ") + text').format(thing)
    refused = draw.style('format!("{} rejected: {{}}", value)', 'format!("{} rejected: {{value}}")').format(thing)

    def oracle(text: str) -> Ok | Err:
        number = _parsed(text.strip() if trimmed else text, kind)
        if empty and not (text.strip() if trimmed else text):
            return Err(f"no {thing}")
        if number is None:
            return Err(f"not a {thing}: {text}")
        return Ok(mapping(number) if altered else number) if keep(number) else Err(f"{thing} rejected: {number}")

    check = [f"if {negation(keep.on('value'))} {{", f"    return Err({refused});", "}", f"Ok({value})"]
    spaces = " Spaces around it are allowed." if trimmed else " Spaces are not allowed."
    more = f' For an empty text{" (or only spaces)" if trimmed else ""}, the error is "no {thing}".' if empty else ""
    result = f" {mapping.participle}" if altered else ""
    return FunctionSpec(
        name=draw.style(f"parse_{thing}", f"read_{thing}", f"validate_{thing}", "parse_checked"), parameters={"text": "&str"}, returns=f"Result<{kind}, String>", oracle=oracle,
        forms=["\n".join([*blank, f"let value = {parse}.map_err(|_| {quoted})?;", *check]), "\n".join([*blank, f"let Ok(value) = {parse} else {{", f"    return Err({quoted});", "};", *check]),
               "\n".join([*blank, f"match {parse} {{", f"    Ok(value) if {keep.on('value')} => Ok({value}),", f"    Ok(value) => Err({refused}),", f"    Err(_) => Err({quoted}),", "}"])],
        inputs=lambda: (_number_text(draw, kind),),
        words=[f'Parses `text` as a {thing} of type `{kind}`. If the number {keep.clause}, returns it{result}.{spaces} If `text` is not a number, returns the error "not a {thing}: " followed by `text`; if the number is not accepted, returns "{thing} rejected: " followed by the number.{more}',
               f'Parses and validates a {thing} of type `{kind}`, which is valid if it {keep.clause}. Returns the number{result}.{spaces} The errors are "not a {thing}: .." with the unchanged text and "{thing} rejected: .." with the parsed number.{more}'],
    )


@family(tier=2)
def collected_results(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64", "u32", "u64")
    wanted, mapping, altered = draw.choose("values", "sum", "option", "split", "flags"), draw.integer_mapping(kind), draw.choose(True, False)
    mark = draw.choose("bad number", "invalid", "cannot read", "not a number", "wrong entry")
    value = mapping.on("value") if altered else "value"
    error = 'format!("{mark}: {{}}", text)'.replace("{mark}", mark).replace("{{}}", "{}")
    each = "for text in texts {"

    def oracle(texts: list[str]) -> object:
        numbers = [_parsed(text, kind) for text in texts]
        good = [mapping(n) if altered else n for n in numbers if n is not None]
        bad = [text for text, n in zip(texts, numbers, strict=True) if n is None]
        whole = Err(f"{mark}: {bad[0]}") if bad else None
        return {"values": whole or Ok(good), "sum": whole or Ok(sum(good)), "option": None if bad else good, "split": (good, bad), "flags": (sum(good), len(bad))}[wanted]

    to_error = f".map_err(|_| {error})"
    mapped = f"\n            .map(|value| {value})" if altered else ""
    returns, said, forms = {
        "values": (f"Result<Vec<{kind}>, String>", f'the numbers, or the error "{mark}: .." with the first text that is not a number', [
            f"let mut values = Vec::with_capacity(texts.len());\n{each}\n    let value: {kind} = text.parse(){to_error}?;\n    values.push({value});\n}}\nOk(values)",
            f"texts\n    .iter()\n    .map(|text| {{\n        text.parse::<{kind}>(){mapped}\n            {to_error}\n    }})\n    .collect()"]),
        "sum": (f"Result<{kind}, String>", f'the sum of the numbers, or the error "{mark}: .." with the first text that is not a number', [
            f"let mut total = 0;\n{each}\n    match text.parse::<{kind}>() {{\n        Ok(value) => total += {value},\n        Err(_) => return Err({error}),\n    }}\n}}\nOk(total)",
            f"texts\n    .iter()\n    .map(|text| {{\n        text.parse::<{kind}>(){mapped}\n            {to_error}\n    }})\n    .sum()"]),
        "option": (f"Option<Vec<{kind}>>", "the numbers, or `None` if any text is not a number", [
            f"let mut values = Vec::new();\n{each}\n    let value: {kind} = text.parse().ok()?;\n    values.push({value});\n}}\nSome(values)",
            f"texts\n    .iter()\n    .map(|text| {{\n        text.parse::<{kind}>(){mapped}\n            .ok()\n    }})\n    .collect()"]),
        "split": (f"(Vec<{kind}>, Vec<String>)", "the numbers and, separately, the texts that are not numbers", [
            f"let mut values = Vec::new();\nlet mut bad = Vec::new();\n{each}\n    match text.parse::<{kind}>() {{\n        Ok(value) => values.push({value}),\n        Err(_) => bad.push(text.to_string()),\n    }}\n}}\n(values, bad)",
            f"let mut values = Vec::new();\nlet mut bad = Vec::new();\n{each}\n    if let Ok(value) = text.parse::<{kind}>() {{\n        values.push({value});\n    }} else {{\n        bad.push(String::from(*text));\n    }}\n}}\n(values, bad)"]),
        "flags": (f"({kind}, usize)", "the sum of the numbers and how many of the texts are not numbers", [
            f"let mut total = 0;\nlet mut failed = 0;\n{each}\n    match text.parse::<{kind}>() {{\n        Ok(value) => total += {value},\n        Err(_) => failed += 1,\n    }}\n}}\n(total, failed)",
            f"texts.iter().fold((0, 0), |(total, failed), text| match text.parse::<{kind}>() {{\n    Ok(value) => (total + {value.replace('-value', '(-value)')}, failed),\n    Err(_) => (total, failed + 1),\n}})"]),
    }[wanted]
    return FunctionSpec(
        name=draw.style("parse_all", "read_numbers", f"parse_{wanted}", "collect_numbers"), parameters={"texts": "&[&str]"}, returns=returns, forms=forms, oracle=oracle,
        words=[f"Parses each of `texts` as `{kind}`{' and each number is then ' + mapping.participle if altered else ''}. Returns {said}.", f"Parses all `texts` as numbers of type `{kind}`{', each ' + mapping.participle if altered else ''}. Returns {said}."],
        inputs=lambda: ([_number_text(draw, kind) if draw.arguments.random() < 0.4 else str(draw.arguments.randint(0, 40)) for _ in range(draw.arguments.randint(0, 4))],),
    )


@family(tier=4)
def parsed_record(draw: Draw) -> FunctionSpec:
    (first, second, sign), kind = draw.choose(("hours", "minutes", ":"), ("width", "height", "x"), ("low", "high", "-"), ("row", "column", ","), ("amount", "price", "@"), ("major", "minor", ".")), draw.choose("u32", "u64")
    failure, limits, wanted = draw.choose("option", "error"), (draw.integer(10, 60), draw.integer(10, 60)), draw.choose("pair", "combined", "ordered")
    p, q = draw.integer(1, 60), draw.integer(1, 9)
    part = draw.style("parse_part", "read_part", "bounded_number", "parse_below")
    option = failure == "option"
    outer = (lambda inner: f"Option<{inner}>") if option else (lambda inner: f"Result<{inner}, String>")
    good = "Some" if option else "Ok"

    def parse(text: str, limit: int) -> Any:
        value = _parsed(text.strip(), kind)
        valid = value is not None and value < limit
        return (value if valid else None) if option else Ok(value) if valid else Err(f"bad part: {text}")

    def oracle(text: str) -> object:
        if sign not in text:
            return None if option else Err(f"no {sign} in {text}")
        parts = [parse(each, limit) for each, limit in zip(text.split(sign, 1), limits, strict=True)]
        failed = [each for each in parts if each is None or isinstance(each, Err)]
        if failed:
            return failed[0]
        a, b = parts if option else [each.value for each in parts]
        value = {"pair": (a, b), "combined": a * p + b * q, "ordered": (min(a, b), max(a, b))}[wanted]
        return value if option else Ok(value)

    def record() -> tuple:
        def number():
            return draw.arguments.choice((str(draw.arguments.randint(0, 30)), str(draw.arguments.randint(0, 9)), str(draw.arguments.randint(0, 80)), f" {draw.arguments.randint(0, 9)}", "a", ""))

        return (number() + draw.arguments.choice((sign, sign, sign, sign, "/")) + number(),)

    result = {"pair": f"({first}, {second})", "combined": " + ".join(n if k == 1 else f"{n} * {k}" for n, k in ((first, p), (second, q))), "ordered": f"({first}.min({second}), {first}.max({second}))"}[wanted]
    missing, quoted = ("None", "") if option else (f'Err(format!("no {sign} in {{}}", text))', f".ok_or_else(|| format!(\"no {sign} in {{}}\", text))")
    reads = f"let {first} = {part}(left, {limits[0]})?;\nlet {second} = {part}(right, {limits[1]})?;\n{good}({result})"
    bad = "None" if option else 'Err(format!("bad part: {}", text))'
    convert = "text.trim().parse().ok()?" if option else 'text\n    .trim()\n    .parse()\n    .map_err(|_| format!("bad part: {}", text))?'
    told = {"pair": f"`({first}, {second})`", "combined": f"`{result}`", "ordered": "the two numbers with the smaller one first"}[wanted]
    fails = "Returns `None` for anything else." if option else f'The errors are "no {sign} in .." with the whole text and "bad part: .." with the first invalid part.'
    helper = FunctionSpec(
        name=part, parameters={"text": "&str", "limit": kind}, returns=outer(kind), oracle=parse, inputs=lambda: (_number_text(draw, kind), draw.arguments.randint(10, 60)),
        forms=[f"let value: {kind} = {convert};\nif value < limit {{\n    {good}(value)\n}} else {{\n    {bad}\n}}", f"match text.trim().parse::<{kind}>() {{\n    Ok(value) if value < limit => {good}(value),\n    _ => {bad},\n}}"],
        words=["Parses a number that is less than `limit`. Spaces around it are allowed." + (" Returns `None` for anything else." if option else ' Otherwise, the error is "bad part: .." with the unchanged text.')],
    )
    return FunctionSpec(
        name=draw.style(f"parse_{first}_{second}", f"read_{first}_and_{second}", "parse_record", "parse_entry"), parameters={"text": "&str"}, returns=outer(kind if wanted == "combined" else f"({kind}, {kind})"),
        forms=[f"let (left, right) = text.split_once('{sign}'){quoted}?;\n{reads}", f"let Some((left, right)) = text.split_once('{sign}') else {{\n    return {missing};\n}};\n{reads}", f"match text.split_once('{sign}') {{\n    None => {missing},\n    Some((left, right)) => {{\n        " + reads.replace("\n", "\n        ") + "\n    }\n}"],
        oracle=oracle, inputs=record, parts=[helper],
        words=[f"Parses a `{first}` less than {limits[0]} and a `{second}` less than {limits[1]}, separated by `{sign}`, and returns {told}. {fails}", f"Parses a text such as \"3{sign}7\", where the first number (`{first}`) is at most {limits[0] - 1} and the second (`{second}`) is at most {limits[1] - 1}. Returns {told}. {fails}"],
    )


@family(tier=0)
def fallback_choice(draw: Draw) -> FunctionSpec:
    kind, source, fallback = draw.choose(*INTEGERS), draw.choose("two", "three", "get", "first", "parse"), draw.integer(0, 40)
    mapping, altered = draw.integer_mapping(kind), draw.choose(True, False)
    value = mapping.on("value") if altered else "value"
    parameters, begin, take, said = {
        "two": ({"a": f"Option<{kind}>", "b": f"Option<{kind}>"}, "a.or(b)", lambda a, b: b if a is None else a, "the number in `a` or, if it is `None`, the number in `b`"),
        "three": ({"a": f"Option<{kind}>", "b": f"Option<{kind}>", "c": f"Option<{kind}>"}, "a.or(b).or(c)", lambda a, b, c: next((v for v in (a, b, c) if v is not None), None), "the first number that is present among `a`, `b` and `c`"),
        "get": ({"values": f"&[{kind}]", "index": "usize"}, "values.get(index).copied()", lambda values, index: values[index] if index < len(values) else None, "the element of `values` at `index`"),
        "first": ({"values": f"&[{kind}]"}, "values.first().copied()", lambda values: values[0] if values else None, "the first element of `values`"),
        "parse": ({"text": "&str"}, f"text.parse::<{kind}>().ok()", lambda text: _parsed(text, kind), f"`text` parsed as `{kind}`"),
    }[source]

    def oracle(*arguments: object) -> int:
        found = take(*arguments)
        return fallback if found is None else mapping(found) if altered else found

    forms = [f"{begin}.map(|value| {value}).unwrap_or({fallback})", f"{begin}.map_or({fallback}, |value| {value})"] if altered else [f"{begin}.unwrap_or({fallback})"]
    forms += [f"match {begin} {{\n    Some(value) => {value},\n    None => {fallback},\n}}", f"if let Some(value) = {begin} {{\n    {value}\n}} else {{\n    {fallback}\n}}", f"let Some(value) = {begin} else {{\n    return {fallback};\n}};\n{value}"]
    which = f"{said}, {mapping.participle}" if altered else said
    absent = "`text` is not a valid number" if source == "parse" else "there is none"
    return FunctionSpec(
        name=draw.style("value_or", "or_default", "pick_value", f"or_{fallback}", "with_fallback"), parameters=parameters, returns=kind, forms=forms, oracle=oracle,
        inputs={"parse": lambda: (_number_text(draw, kind),), "get": lambda: (draw.value(f"[{kind}]"), draw.arguments.randint(0, 6))}.get(source),
        words=[f"Returns {which}, or {fallback} if {absent}.", f"Determines {which}. If {absent}, the result is {fallback} instead.", f"Returns {which}. If {absent}, returns {fallback} instead."],
    )
