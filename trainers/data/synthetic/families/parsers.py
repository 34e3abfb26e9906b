"""Functions that parse numbers, records, commands and small languages."""

import re

from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.literals import Err, Ok, Raw
from trainers.data.synthetic.pieces import quotient


class Outcome:
    """Failure of a parser: `None`, or an error with a message. In Python, both are None until `answer`."""

    def __init__(self, draw: Draw, *messages: str):
        self.kind, message = draw.choose("Option", "Option", "String", "&'static str"), draw.choose(*messages)
        self.message = message
        value = f'"{message}".to_string()' if self.kind == "String" else f'"{message}"'
        self.fail = "None" if self.kind == "Option" else f"Err({value})"
        self.option = {"Option": "", "String": f".ok_or_else(|| {value})"}.get(self.kind, f".ok_or({value})")
        self.result = ".ok()" if self.kind == "Option" else f".map_err(|_| {value})"
        self.said = "`None`" if self.kind == "Option" else draw.style(f"the error message `{message}`", f"the error `{message}`", f"an `Err` with the message `{message}`")

    def returns(self, kind: str) -> str:
        return f"Option<{kind}>" if self.kind == "Option" else f"Result<{kind}, {self.kind}>"

    def good(self, rust: str) -> str:
        return f"Some({rust})" if self.kind == "Option" else f"Ok({rust})"

    def answer(self, value):
        return value if self.kind == "Option" else Err(self.message) if value is None else Ok(value)


def read_number(text: str, signed: bool = True) -> int | None:
    """Return the result of `str::parse`."""
    return int(text) if re.fullmatch("[+-]?[0-9]+" if signed else "[+]?[0-9]+", text) else None


def spoiled(draw: Draw, text: str, signs: str, share: float = 0.3) -> str:
    """Return the text, sometimes with one character removed, added or changed."""
    pick = draw.arguments
    if pick.random() >= share:
        return text
    place = pick.randint(0, len(text))
    return text[:place] + pick.choice((*signs, "")) + text[place + pick.randint(0, 1) :]


@family(tier=2)
def figure_of_list(draw: Draw) -> FunctionSpec:
    kind, mark = draw.choose("i32", "i64", "u32", "u64"), draw.choose(",", ";", "|", "/", " ")
    what, strict = draw.choose("sum", "count", "largest", "smallest", "list"), draw.choose(True, False)
    holds = draw.integer_predicate(kind) if draw.choose(True, False) else None
    outcome = Outcome(draw, "not a number", "invalid number", "bad input", "cannot read the list") if strict else None
    condition = holds.on("number") if holds else ""
    plural = holds.plural if holds else "numbers"
    returns, start, step = {
        "sum": (kind, "0", "result += number;"), "count": ("usize", "0", "result += 1;"), "list": (f"Vec<{kind}>", "Vec::new()", "result.push(number);"),
        "largest": (f"Option<{kind}>", "None", "result = result.max(Some(number));"), "smallest": (f"Option<{kind}>", "None", f"result = Some(result.map_or(number, |best: {kind}| best.min(number)));"),
    }[what]

    def guarded(depth):
        return f"if {condition} {{\n{' ' * (depth + 4)}{step}\n{' ' * depth}}}" if holds else step

    ending = outcome.good("result") if outcome else "result"
    parts = "text.split_whitespace()" if mark == " " else f"text.split('{mark}')"
    trimmed = "part" if mark == " " else "part.trim()"
    finish = {"sum": ".sum()", "count": ".count()", "largest": ".max()", "smallest": ".min()", "list": ".collect()"}[what]
    chain = f"{parts}\n    .filter_map(|part| {trimmed}.parse::<{kind}>().ok())\n" + (f"    .filter(|&number| {condition})\n" if holds else "") + f"    {finish}"
    loop = f"for part in {parts} {{\n"
    forms = [f"let mut result = {start};\n{loop}    let number: {kind} = {trimmed}.parse(){outcome.result}?;\n    {guarded(4)}\n}}\n{ending}",
        f"let mut result = {start};\n{loop}    match {trimmed}.parse::<{kind}>() {{\n        Ok(number) => {{\n            {guarded(12)}\n        }}\n        Err(_) => return {outcome.fail},\n    }}\n}}\n{ending}",
    ] if outcome else [chain, f"let mut result = {start};\n{loop}    if let Ok(number) = {trimmed}.parse::<{kind}>() {{\n        {guarded(8)}\n    }}\n}}\nresult"]
    said = {"sum": f"the sum of the {plural}", "count": f"the count of {plural}", "largest": f"the largest of the {plural} (`None` if there are none)", "smallest": f"the smallest of the {plural} (`None` if there are none)", "list": f"the {plural}"}[what]
    between = "separated by whitespace" if mark == " " else f"separated by `{mark}`"
    otherwise = f"If any part is not a number, the result is {outcome.said}." if outcome else draw.style("Parts that are not numbers are skipped.", "Everything that is not a number is ignored.")
    otherwise += "" if mark == " " else " Spaces around a number are allowed."

    def oracle(text: str):
        numbers = [read_number(part.strip(), kind[0] == "i") for part in (text.split() if mark == " " else text.split(mark))]
        if outcome and None in numbers:
            return outcome.answer(None)
        kept = [n for n in numbers if n is not None and (holds is None or holds(n))]
        result = {"sum": sum(kept), "count": len(kept), "largest": max(kept, default=None), "smallest": min(kept, default=None), "list": kept}[what]
        return (Ok(result) if outcome.kind != "Option" else Raw(f"Some({'None' if result is None else f'Some({result})'})") if returns.startswith("Option") else result) if outcome else result

    def argument() -> str:
        pick = draw.arguments
        parts = [str(pick.choice((pick.randint(0, 40), pick.randint(-9 if kind[0] == "i" else 0, 9)))) for _ in range(pick.randint(1, 5))]
        return spoiled(draw, (mark + pick.choice(("", "", " "))).join(parts), "x" + mark)

    return FunctionSpec(
        name=draw.style(f"parse_{what}", f"{what}_of_list", f"read_{what}", f"{what}_from_text"), parameters={"text": "&str"}, returns=outcome.returns(returns) if outcome else returns,
        words=[f"Parses numbers of type `{kind}`, {between}, from `text` and returns {said}. {otherwise}", f"Returns {said} in `text`, where numbers (of type `{kind}`) are {between}. {otherwise}"], forms=forms, oracle=oracle, inputs=lambda: (argument(),),
    )


@family(tier=3)
def key_values(draw: Draw) -> FunctionSpec:
    mark, sign = draw.choose(";", ",", "&", "|", "\n"), draw.choose("=", ":", "->", "~")
    kind, strict = draw.choose("i32", "u64", "String", "bool"), draw.choose(True, False)
    wanted = draw.choose("map", "list", "lookup", "keys")
    outcome = Outcome(draw, "missing value", "invalid pair", "bad entry", "malformed line") if strict else None
    default = draw.choose("first", "last") if wanted == "lookup" else "last"
    value_of = "value.trim().to_string()" if kind == "String" else f"value.trim().parse::<{kind}>()"
    shown = {"\n": "\\n"}.get(mark, mark)
    parts = "text.lines()" if mark == "\n" else f"text.split('{shown}')"
    inner, start, keep = {
        "map": (f"BTreeMap<String, {kind}>", "BTreeMap::new()", "result.insert(key.trim().to_string(), value);"), "list": (f"Vec<(String, {kind})>", "Vec::new()", "result.push((key.trim().to_string(), value));"),
        "keys": ("Vec<String>", "Vec::new()", "result.push(key.trim().to_string());"),
        "lookup": (f"Option<{kind}>", "None", "if key.trim() == name" + (" && result.is_none()" if default == "first" else "") + " {\n        result = Some(value);\n    }"),
    }[wanted]
    unused = "_" if wanted == "keys" else ""
    fallible = outcome and (f"let (key, value) = part.split_once(\"{sign}\"){outcome.option}?;\n    let {unused}value = {value_of}{outcome.result + '?' if kind != 'String' else ''};\n    {keep}")
    forms = [f"let mut result = {start};\nfor part in {parts} {{\n    if part.trim().is_empty() {{\n        continue;\n    }}\n    {fallible}\n}}\n{outcome.good('result')}"] if outcome else [
        f"let mut result = {start};\nfor part in {parts} {{\n    let Some((key, value)) = part.split_once(\"{sign}\") else {{\n        continue;\n    }};\n" + (f"    let {unused}value = {value_of};\n" if kind == "String" else f"    let Ok({unused}value) = {value_of} else {{\n        continue;\n    }};\n") + f"    {keep}\n}}\nresult",
        f"let mut result = {start};\nfor (key, value) in {parts}.filter_map(|part| part.split_once(\"{sign}\")) {{\n" + (f"    let {unused}value = {value_of};\n    {keep}\n" if kind == "String" else f"    if let Ok({unused}value) = {value_of} {{\n        {keep.replace(chr(10), chr(10) + '    ')}\n    }}\n") + "}\nresult",
    ]
    values = {"i32": "signed integers", "u64": "unsigned integers", "String": "any text", "bool": "`true` or `false`"}[kind]
    entries = f"entries of the form `key{sign}value`, one on each line" if mark == "\n" else f"entries of the form `key{sign}value`, separated by `{mark}`"
    gives = {"map": "a map from keys to values, where the last value of a repeated key wins", "list": "the pairs in order", "keys": "the keys in order", "lookup": f"the value of the key `name` (the {default} one if there are several), or `None` if there is no such key"}[wanted]
    otherwise = f"Blank entries are skipped; any other entry that is not of this form gives {outcome.said}." if outcome else draw.style("Entries that are not of this form are skipped.", "All other entries are ignored.")
    otherwise += " Spaces around keys and values are ignored, and a key may be empty."

    def read(value: str):
        value = value.strip()
        return value if kind == "String" else {"true": True, "false": False}.get(value) if kind == "bool" else read_number(value, kind[0] == "i")

    def oracle(text: str, name: str = ""):
        pairs = []
        for part in text.split(mark):
            key, found, value = part.partition(sign)
            if found and read(value) is not None:
                pairs.append((key.strip(), read(value)))
            elif outcome and part.strip():
                return outcome.answer(None)
        hits = [value for key, value in pairs if key == name]
        result = {"map": dict(pairs), "list": pairs, "keys": [key for key, _ in pairs], "lookup": (hits[0 if default == "first" else -1] if hits else None)}[wanted]
        if wanted == "lookup" and outcome and outcome.kind == "Option":
            shown = {"String": f'"{result}".to_string()', "bool": str(result).lower()}.get(kind, result)
            return Raw("Some(None)" if result is None else f"Some(Some({shown}))")
        return Ok(result) if outcome and outcome.kind != "Option" else result

    def argument() -> tuple[str, ...]:
        pick = draw.arguments
        value = {"i32": lambda: pick.randint(-9, 90), "u64": lambda: pick.randint(0, 500), "String": lambda: draw.text(1), "bool": lambda: pick.choice(("true", "false"))}[kind]
        pairs = [f"{pick.choice(('a', 'b', 'size', 'color', 'level'))}{sign}{pick.choice(('', '', ' '))}{value()}" for _ in range(pick.randint(0, 4))]
        text = spoiled(draw, mark.join(pairs), mark + sign[0], 0.25)
        return (text, pick.choice(("a", "b", "size", "level"))) if wanted == "lookup" else (text,)

    return FunctionSpec(
        name=draw.style(*{"map": ("parse_settings", "parse_map", "read_options"), "list": ("parse_pairs", "read_entries", "split_pairs"), "keys": ("parse_keys", "list_keys", "names_of"), "lookup": ("find_value", "lookup", "get_setting")}[wanted]),
        parameters={"text": "&str", "name": "&str"} if wanted == "lookup" else {"text": "&str"}, returns=outcome.returns(inner) if outcome else inner,
        words=[f"Parses {entries}, whose values are {values}, and returns {gives}. {otherwise}", f"Parses `text`, which consists of {entries}; values can be {values}. Returns {gives}. {otherwise}"],
        forms=forms, oracle=oracle, inputs=argument, imports=["use std::collections::BTreeMap;"] if wanted == "map" else [])


@family(tier=2)
def two_part_time(draw: Draw) -> FunctionSpec:
    big, small, first, second = draw.choose(("hours", "minutes", 24, 60), ("minutes", "seconds", 60, 60), ("days", "hours", 7, 24), ("weeks", "days", 52, 7), ("feet", "inches", 100, 12), ("pounds", "ounces", 50, 16), ("years", "months", 120, 12), ("dozens", "pieces", 20, 12))
    mark, strict, kind = draw.choose(":", ".", "-", "/", "h"), draw.choose(True, False), draw.choose("u32", "u64", "usize", "i32")
    outcome = Outcome(draw, "invalid time", "out of range", "malformed", "bad format")
    signed = kind == "i32"
    low = "!(0..{}).contains(&{})" if signed else "{1} >= {0}"
    bad = f"{low.format(first, 'whole')} || {low.format(second, 'part')}"
    digits = f"if before.len() != 2 || after.len() != 2 {{\n    return {outcome.fail};\n}}\n" if strict else ""
    tail = f"if {bad} {{\n    return {outcome.fail};\n}}\n{outcome.good(f'whole * {second} + part')}"
    shape = f"as two numbers{' of exactly two characters each' if strict else ''} with `{mark}` between them"

    def oracle(text: str):
        before, found, after = text.partition(mark)
        whole, part = read_number(before, signed), read_number(after, signed)
        fine = found and whole is not None and part is not None and 0 <= whole < first and 0 <= part < second
        return outcome.answer(whole * second + part if fine and (not strict or len(before) == len(after) == 2) else None)

    def argument() -> str:
        pick = draw.arguments
        width = "02" if strict or pick.random() < 0.3 else ""
        return spoiled(draw, f"{pick.randint(0, first + first // 6):{width}}{mark}{pick.randint(0, second + second // 6):{width}}", "x0" + mark, 0.25)

    return FunctionSpec(
        name=draw.style(f"parse_{big}", f"to_{small}", f"{small}_of", f"parse_{big}_and_{small}", "parse_amount"), parameters={"text": "&str"}, returns=outcome.returns(kind),
        words=[
            f"Converts {big} and {small}, written {shape}, to the total number of {small}. Returns {outcome.said} if `text` does not have this form or if there are {first} or more {big} or {second} or more {small}.",
            f"Parses a text such as `{'03' if strict else '3'}{mark}{'04' if strict else '4'}`, which means {big} (less than {first}) and {small} (less than {second}){', of exactly two characters each' if strict else ''}, and returns the total in {small}. Anything else gives {outcome.said}.",
        ], forms=[
            f"let (before, after) = text.split_once('{mark}'){outcome.option}?;\n{digits}let whole: {kind} = before.parse(){outcome.result}?;\nlet part: {kind} = after.parse(){outcome.result}?;\n{tail}",
            f"let Some((before, after)) = text.split_once('{mark}') else {{\n    return {outcome.fail};\n}};\n{digits}match (before.parse::<{kind}>(), after.parse::<{kind}>()) {{\n    (Ok(whole), Ok(part)) if !({bad}) => {outcome.good(f'whole * {second} + part')},\n    _ => {outcome.fail},\n}}",
        ], oracle=oracle, inputs=lambda: (argument(),))


RESULTS = {"difference": "difference (the first minus the second)", "quotient": "quotient (the first divided by the second, rounded toward zero)", "larger": "larger of the two", "smaller": "smaller of the two", "distance": "absolute difference"}


@family(tier=4)
def evaluate_operations(draw: Draw) -> FunctionSpec:
    kind, notation = draw.choose("i32", "i64"), draw.choose("infix", "postfix")
    every = {
        "sum": (("+", "plus", "add"), "a + b", lambda a, b: a + b), "difference": (("-", "minus", "sub"), "a - b", lambda a, b: a - b), "product": (("*", "times", "mul", "x"), "a * b", lambda a, b: a * b),
        "quotient": (("/", "over", "div"), None, lambda a, b: quotient(a, b) if b else None), "larger": ((">", "max", "or"), "a.max(b)", max), "smaller": (("<", "min", "and"), "a.min(b)", min),
        "distance": (("~", "to", "dist"), "(a - b).abs()", lambda a, b: abs(a - b))}
    chosen = sorted(draw.meaning.sample(sorted(every), 3))
    level = draw.integer(0, 2)
    sign = {what: every[what][0][level] for what in chosen}
    draw.parameters.extend(chosen)
    outcome = Outcome(draw, "syntax error", "unknown operator", "cannot evaluate", "stack error")
    wrap = outcome.good
    arms = "".join(f'    "{sign[w]}" => {wrap(every[w][1] or "a / b")},\n' if every[w][1] else f'    "{sign[w]}" if b != 0 => {wrap("a / b")},\n' for w in chosen)
    helper, told = draw.style("apply", "calculate", "operate", "combine"), ", ".join(f"`{sign[w]}` returns the {RESULTS.get(w, w)}" for w in chosen)
    zero = " Division by zero fails as well." if "quotient" in chosen else ""
    branches = "".join(f'if operator == "{sign[w]}"' + (" && b != 0" if not every[w][1] else "") + f" {{\n    return {wrap(every[w][1] or 'a / b')};\n}}\n" for w in chosen)

    def apply(operator: str, a: int, b: int) -> int | None:
        found = [every[w][2](a, b) for w in chosen if sign[w] == operator]
        return found[0] if found else None

    def oracle(text: str):
        tokens = text.split()
        stack: list[int] = []
        if notation == "infix":
            first, rest = read_number(tokens[0]) if tokens else None, tokens[1:]
            if first is None or len(rest) % 2:
                return outcome.answer(None)
            stack.append(first)
            tokens = [each for pair in zip(rest[1::2], rest[::2], strict=True) for each in pair]
            if None in map(read_number, tokens[::2]):
                return outcome.answer(None)
        for token in tokens:
            number = read_number(token)
            if number is None and len(stack) >= 2:
                b, a = stack.pop(), stack.pop()
                number = apply(token, a, b)
            if number is None:
                return outcome.answer(None)
            stack.append(number)
        return outcome.answer(stack[0] if len(stack) == 1 else None)

    def argument() -> str:
        pick = draw.arguments
        parts = [str(pick.randint(0, 12))]
        for _ in range(pick.randint(0, 3)):
            pair = [pick.choice(list(sign.values())), str(pick.randint(-3, 12))]
            parts += pair if notation == "infix" else pair[::-1]
        return " ".join(each for each in parts if pick.random() < 0.97)

    how = "from left to right without operator precedence" if notation == "infix" else "in postfix notation, where each operator follows its two operands"
    example = f"`1 {sign[chosen[0]]} 2`" if notation == "infix" else f"`1 2 {sign[chosen[0]]}`"
    forms = [
        f"let mut tokens = text.split_whitespace();\nlet first = tokens.next(){outcome.option}?;\nlet mut total: {kind} = first.parse(){outcome.result}?;\nwhile let Some(operator) = tokens.next() {{\n    let operand = tokens.next(){outcome.option}?;\n    total = {helper}(operator, total, operand.parse(){outcome.result}?)?;\n}}\n{wrap('total')}",
        f"let tokens: Vec<&str> = text.split_whitespace().collect();\nlet Some((first, rest)) = tokens.split_first() else {{\n    return {outcome.fail};\n}};\nlet mut total = first.parse(){outcome.result}?;\nfor pair in rest.chunks(2) {{\n    let [operator, operand] = pair else {{\n        return {outcome.fail};\n    }};\n    let number = operand.parse(){outcome.result}?;\n    total = {helper}(operator, total, number)?;\n}}\n{wrap('total')}",
    ] if notation == "infix" else [
        f"let mut stack: Vec<{kind}> = Vec::new();\nfor token in text.split_whitespace() {{\n    if let Ok(number) = token.parse() {{\n        stack.push(number);\n        continue;\n    }}\n    let b = stack.pop(){outcome.option}?;\n    let a = stack.pop(){outcome.option}?;\n    stack.push({helper}(token, a, b)?);\n}}\nmatch stack[..] {{\n    [result] => {wrap('result')},\n    _ => {outcome.fail},\n}}",
        f"let mut stack = Vec::new();\nfor token in text.split_whitespace() {{\n    let value = match token.parse::<{kind}>() {{\n        Ok(number) => number,\n        Err(_) => {{\n            let b = stack.pop(){outcome.option}?;\n            let a = stack.pop(){outcome.option}?;\n            {helper}(token, a, b)?\n        }}\n    }};\n    stack.push(value);\n}}\nif stack.len() != 1 {{\n    return {outcome.fail};\n}}\n{wrap('stack[0]')}",
    ]
    part = FunctionSpec(
        name=helper, parameters={"operator": "&str", "a": kind, "b": kind}, returns=outcome.returns(kind), words=[f"Applies `operator` to `a` and `b`: {told}. Any other operator gives {outcome.said}.{zero}"],
        forms=[f"match operator {{\n{arms}    _ => {outcome.fail},\n}}", f"{branches}{outcome.fail}"], oracle=lambda operator, a, b: outcome.answer(apply(operator, a, b)),
        inputs=lambda: (draw.arguments.choice((*sign.values(), *sign.values(), "?")), draw.arguments.randint(-9, 40), draw.arguments.randint(-2, 9)))
    return FunctionSpec(
        name=draw.style("evaluate", "calculate_line", "eval_text", "compute", "run_calculation"), parameters={"text": "&str"}, returns=outcome.returns(kind),
        words=[f"Evaluates numbers and operators that are separated by whitespace, {how}. Returns {outcome.said} if the expression is invalid.", f"Computes the value of an expression such as {example}, which is evaluated {how}. Returns {outcome.said} if that fails."],
        forms=forms, oracle=oracle, inputs=lambda: (argument(),), parts=(part,))


@family(tier=2)
def sum_of_products(draw: Draw) -> FunctionSpec:
    kind, (outer, inner) = draw.choose("u32", "u64", "i32", "i64"), draw.choose(("+", "*"), (";", ","), ("|", "&"), ("/", ":"), (",", "x"), ("+", "x"), (" ", "*"), ("\\n", ","))
    fold, each = draw.choose("sum", "largest", "count"), draw.choose("product", "sum")
    strict = draw.choose(True, False)
    outcome = Outcome(draw, "not a number", "bad term", "invalid factor") if strict else None
    step = {"sum": "total += value;", "largest": "total = total.max(value);", "count": "total += 1;"}[fold]
    bound = draw.integer(3, 30) if fold == "count" else 0
    step = f"if value > {bound} {{\n        {step}\n    }}" if bound else step
    begin, update = ("1", "value *= number;") if each == "product" else ("0", "value += number;")
    terms = {" ": "text.split_whitespace()", "\\n": "text.lines()"}.get(outer, f"text.split('{outer}')")
    result = outcome.good("total") if outcome else "total"
    read = f"let number: {kind} = part.trim().parse(){outcome.result}?;\n        {update}" if outcome else f"if let Ok(number) = part.trim().parse::<{kind}>() {{\n            {update}\n        }}"
    read_match = f"match part.trim().parse::<{kind}>() {{\n            Ok(number) => {update.replace(' *=', ' *=').rstrip(';')},\n            Err(_) => {'return ' + outcome.fail + ',' if outcome else '{}'}\n        }}"
    forms = [f"let mut total = 0;\nfor term in {terms} {{\n    let mut value = {begin};\n    for part in term.split('{inner}') {{\n        {how}\n    }}\n    {step}\n}}\n{result}" for how in (read, read_match)]
    said = {"sum": f"returns the total of the {each}s", "largest": f"returns the largest of the {each}s, but at least 0", "count": f"returns how many of the {each}s are greater than {bound}"}[fold]
    groups = {" ": "separated by whitespace", "\\n": "on separate lines"}.get(outer, f"separated by `{outer}`")
    otherwise = f"Returns {outcome.said} if anything is not a number of type `{kind}`." if outcome else "Anything that is not a number is ignored" + (", and the product of no numbers is 1." if each == "product" else ".")

    def oracle(text: str):
        values = []
        for term in text.split() if outer == " " else text.split("\n") if outer == "\\n" and text else [] if outer == "\\n" else text.split(outer):
            numbers = [read_number(part.strip(), kind[0] == "i") for part in term.split(inner)]
            if outcome and None in numbers:
                return outcome.answer(None)
            value = 1 if each == "product" else 0
            for number in numbers:
                value = value if number is None else value * number if each == "product" else value + number
            values.append(value)
        total = {"sum": sum(values), "largest": max([0, *values]), "count": sum(v > bound for v in values)}[fold]
        return outcome.answer(total) if outcome else total

    def argument() -> str:
        pick = draw.arguments
        groups = [inner.join(str(pick.randint(0, 9)) for _ in range(pick.randint(1, 3))) for _ in range(pick.randint(1, 3))]
        return spoiled(draw, outer.replace("\\n", "\n").join(groups), "a.", 0.25)

    return FunctionSpec(
        name=draw.style("evaluate_terms", f"{fold}_of_{each}s", "total", "evaluate_sum" if fold == "sum" else "read_groups", "compute_groups"), parameters={"text": "&str"}, returns=outcome.returns("usize" if fold == "count" else kind) if outcome else "usize" if fold == "count" else kind,
        words=[f"Parses groups of numbers, where groups are {groups} and the numbers in a group are separated by `{inner}`. Computes the {each} of each group and {said}. {otherwise}", f"Splits `text` into groups that are {groups}, and each group into numbers separated by `{inner}`. Computes the {each} of every group and {said}. {otherwise}"],
        forms=forms, oracle=oracle, inputs=lambda: (argument(),))


@family(tier=2)
def parse_tuple(draw: Draw) -> FunctionSpec:
    kind, (opening, closing) = draw.choose("i32", "i64", "u32", "u8"), draw.choose(("(", ")"), ("[", "]"), ("<", ">"), ("{", "}"), ("p(", ")"), ("at ", ""), ("#", "#"), ("", "px"))
    mark, size = draw.choose(",", ";", ":", "x", "/"), draw.choose(2, 2, 3)
    domain, names = draw.choose(("point", ("x", "y", "z")), ("size", ("width", "height", "depth")), ("color", ("red", "green", "blue")), ("cell", ("row", "column", "layer")), ("score", ("home", "guest", "draws")))
    outcome = Outcome(draw, f"invalid {domain}", f"not a {domain}", "syntax error", "bad coordinates")
    names = names[:size]
    strip = "".join((f".strip_prefix(\"{opening}\"){outcome.option}?" if opening else "", f".strip_suffix(\"{closing}\"){outcome.option}?" if closing else ""))
    example = opening + mark.join("374"[:size]) + closing
    reads = "".join(f"let {n} = parts.next(){outcome.option}?.trim().parse(){outcome.result}?;\n" for n in names)
    slots = ", ".join(names)
    converted = ", ".join(f"{n}.trim().parse(){outcome.result}?" for n in names)

    def oracle(text: str):
        if not (text.startswith(opening) and text[len(opening) :].endswith(closing)):
            return outcome.answer(None)
        parts = [read_number(p.strip(), kind[0] == "i") for p in text[len(opening) : len(text) - len(closing)].split(mark)]
        numbers = tuple(part for part in parts if part is not None)
        return outcome.answer(numbers if len(parts) == len(numbers) == size and (kind != "u8" or max(numbers) < 256) else None)

    def argument() -> str:
        pick = draw.arguments
        numbers = [pick.choice(("", "", " ")) + str(pick.randint(-20 if kind[0] == "i" else 0, 99)) for _ in range(size)]
        return spoiled(draw, opening + mark.join(numbers) + closing, "k0" + mark, 0.3)

    return FunctionSpec(
        name=draw.style(f"parse_{domain}", f"read_{domain}", f"{domain}_from_text"), parameters={"text": "&str"}, returns=outcome.returns(f"({', '.join([kind] * size)})"),
        words=[f"Parses a {domain} such as `{example}`, which consists of {', '.join(names[:-1])} and {names[-1]}. Spaces around the numbers are allowed. Anything else gives {outcome.said}.", f"Parses the {size} numbers ({', '.join(names)}) of a {domain} that is written like `{example}`, ignoring spaces around a number. Returns {outcome.said} if `text` does not have this form."],
        forms=[
            f"let inner = text{strip};\nlet mut parts = inner.split('{mark}');\n{reads}if parts.next().is_some() {{\n    return {outcome.fail};\n}}\n{outcome.good(f'({slots})')}",
            f"let inner = text{strip};\nlet parts: Vec<&str> = inner.split('{mark}').collect();\nlet [{slots}] = parts[..] else {{\n    return {outcome.fail};\n}};\n{outcome.good(f'({converted})')}",
            f"let parts: Vec<&str> = text{strip}.split('{mark}').collect();\nmatch parts.as_slice() {{\n    [{slots}] => {outcome.good(f'({converted})')},\n    _ => {outcome.fail},\n}}",
        ], oracle=oracle, inputs=lambda: (argument(),))


@family(tier=3)
def run_commands(draw: Draw) -> FunctionSpec:
    domain, state, verbs = draw.choose(
        ("robot", "position", ("forward", "back", "turn", "home")), ("account", "balance", ("deposit", "withdraw", "fee", "close")), ("elevator", "floor", ("up", "down", "skip", "ground")), ("tank", "level", ("fill", "drain", "leak", "empty")),
        ("cart", "quantity", ("add", "remove", "return", "clear")), ("dial", "angle", ("right", "left", "nudge", "zero")), ("player", "health", ("heal", "hit", "poison", "die")), ("counter", "count", ("inc", "dec", "drop", "reset")),
    )
    plus, minus, twice, zero = verbs
    start, factor, floor = draw.integer(0, 20), draw.integer(2, 5), draw.choose(True, False)
    mark, strict = draw.choose(";", ",", "\\n", "|"), draw.choose(True, False)
    third, reset = draw.choose(True, False), draw.choose(True, False)
    outcome = Outcome(draw, "unknown command", "bad command", "cannot run") if strict else None

    def down(n):
        return f"({state} - {n}).max(0)" if floor else f"{state} - {n}"

    arms = [f"(\"{plus}\", Some(n)) => {state} += n,", f"(\"{minus}\", Some(n)) => {state} = {down('n')},"]
    arms += [f"(\"{twice}\", Some(n)) => {state} = {down(f'{factor} * n')},"] if third else []
    arms += [f"(\"{zero}\", None) => {state} = 0,"] if reset else []
    arms += [f"_ => return {outcome.fail}," if outcome else "_ => {}"]
    split = "text.lines()" if mark == "\\n" else f"text.split('{mark}')"
    result = outcome.good(state) if outcome else state

    def indented(depth):
        return "".join(f"{' ' * depth}{arm}\n" for arm in arms)

    rules = [f"`{plus} N` adds N", f"`{minus} N` subtracts N"] + ([f"`{twice} N` subtracts {factor} times N"] if third else []) + ([f"`{zero}` sets it to 0"] if reset else [])
    rule = ", ".join(rules[:-1]) + f" and {rules[-1]}" + ("; a subtraction never goes below 0" if floor else "")
    otherwise = f"Any other command gives {outcome.said}." if outcome else draw.style("Other commands are ignored.", "Anything else has no effect.")

    def oracle(text: str):
        now = start
        for command in (text.split("\n") if text else []) if mark == "\\n" else text.split(mark):
            words = command.split()
            number = read_number(words[1]) if len(words) == 2 else None
            verb = words[0] if words and (number is not None or len(words) == 1) else ""
            low = 0 if floor else -(10**9)
            if number is not None and verb in ((plus, minus, twice) if third else (plus, minus)):
                now = now + number if verb == plus else max(low, now - (number if verb == minus else factor * number))
            elif reset and verb == zero and len(words) == 1:
                now = 0
            elif outcome:
                return outcome.answer(None)
        return outcome.answer(now) if outcome else now

    def argument() -> str:
        pick = draw.arguments
        lines = [pick.choice((zero,) if reset and pick.random() < 0.2 else (f"{pick.choice((plus, plus, minus, twice if third else minus))} {pick.randint(0, 12)}",)) for _ in range(pick.randint(1, 4))]
        return spoiled(draw, mark.replace("\\n", "\n").join(lines), "x" + mark[0], 0.15)

    numbered = "let number = words.next().map(|word| word.parse::<i32>());"
    return FunctionSpec(
        name=draw.style(f"run_{domain}", f"{state}_after", "run_commands", f"drive_{domain}", "execute", f"final_{state}"), parameters={"text": "&str"}, returns=outcome.returns("i32") if outcome else "i32",
        words=[f"Executes the commands for a {domain} in `text`, {'one on each line' if mark == chr(92) + 'n' else f'separated by `{mark}`'}, and returns the final {state}, which starts at {start}: {rule}. {otherwise}", f"Returns the {state} of a {domain} that starts at {start} and follows the commands in `text`, {'one per line' if mark == chr(92) + 'n' else f'with `{mark}` between them'}: {rule}. {otherwise}"],
        forms=[
            f"let mut {state}: i32 = {start};\nfor command in {split} {{\n    let words: Vec<&str> = command.split_whitespace().collect();\n    let (verb, number) = match words[..] {{\n        [verb] => (verb, None),\n        [verb, number] => match number.parse::<i32>() {{\n            Ok(n) => (verb, Some(n)),\n            Err(_) => (\"\", None),\n        }},\n        _ => (\"\", None),\n    }};\n    match (verb, number) {{\n{indented(8)}    }}\n}}\n{result}",
            f"let mut {state}: i32 = {start};\nfor command in {split} {{\n    let mut words = command.split_whitespace();\n    let verb = words.next().unwrap_or(\"\");\n    {numbered}\n    if words.next().is_some() || matches!(number, Some(Err(_))) {{\n        {f'return {outcome.fail};' if outcome else 'continue;'}\n    }}\n    match (verb, number.and_then(Result::ok)) {{\n{indented(8)}    }}\n}}\n{result}",
        ], oracle=oracle, inputs=lambda: (argument(),))
