"""Parsing and formatting of numerals, units, versions, ranges and quoted fields."""

import re

from trainers.data.synthetic.families.parsers import Outcome, read_number, spoiled
from trainers.data.synthetic.family import Case, Draw, FunctionSpec, Items, family
from trainers.data.synthetic.literals import Raw


@family(tier=3)
def balanced_brackets(draw: Draw) -> FunctionSpec:
    pairs = draw.choose("()", "[]", "{}", "<>", "()[]", "(){}", "[]{}", "()<>", "()[]{}", "[]<>", "{}<>")
    wanted = draw.choose("test", "depth", "error", "groups", "open")
    opening, closing = pairs[::2], pairs[1::2]
    limit = draw.choose(0, 0, 2, 3, 4)
    arms = "".join(f"        '{b}' => Some('{a}'),\n" for a, b in zip(opening, closing, strict=True))
    opens = " | ".join(f"'{a}'" for a in opening)
    fail, returns, done = {
        "test": ("return false;", "bool", "stack.is_empty()"), "depth": ("return None;", "Option<usize>", "if stack.is_empty() {\n    Some(result)\n} else {\n    None\n}"), "error": ("return Some(index);", "Option<usize>", "None"),
        "groups": ("return None;", "Option<usize>", "if !stack.is_empty() {\n    return None;\n}\nSome(result)"), "open": ("return None;", "Option<String>", "Some(stack.into_iter().collect())"),
    }[wanted]
    index = "index" if wanted == "error" else ""
    head = "for (index, c) in text.chars().enumerate() {" if index else "for c in text.chars() {"
    count = {"depth": "        result = result.max(stack.len());\n", "groups": "        if stack.len() == 1 {\n            result += 1;\n        }\n"}.get(wanted, "")
    deep = f"        if stack.len() > {limit} {{\n            {fail}\n        }}\n" if limit else ""
    setup = "let mut stack = Vec::new();\n" + ("let mut result = 0;\n" if count else "")
    closes = " | ".join(f"'{b}'" for b in closing)
    inner = (count + deep).replace("\n    ", "\n        ")
    inner = "    " + inner if inner else ""
    first = f"{setup}{head}\n    let partner = match c {{\n        {opens} => {{\n            stack.push(c);\n{inner}            None\n        }}\n{arms}        _ => None,\n    }};\n    if partner.is_some() && stack.pop() != partner {{\n        {fail}\n    }}\n}}\n{done}"
    second = f"{setup}{head}\n    if matches!(c, {opens}) {{\n        stack.push(c);\n{count}{deep}    }} else if let Some(kind) = \"{closing}\".find(c) {{\n        if stack.pop() != \"{opening}\".chars().nth(kind) {{\n            {fail}\n        }}\n    }}\n}}\n{done}"
    third = f"{setup}{head}\n    match c {{\n        {opens} => {{\n            stack.push(c);\n{inner}        }}\n        {closes} => match stack.pop() {{\n" + " ".join(f"            Some('{a}') if c == '{b}' => {{}}\n" for a, b in zip(opening, closing, strict=True)).replace("\n ", "\n") + f"            _ => {fail.rstrip(';')},\n        }},\n        _ => {{}}\n    }}\n}}\n{done}"
    shown = " ".join(f"`{a}{b}`" for a, b in zip(opening, closing, strict=True))
    nest = f" and nested at most {limit} deep" if limit else ""
    words = {
        "test": [f"Checks whether the brackets {shown} in `text` are properly balanced{nest}.", f"Returns whether all brackets {shown} in `text` are closed in the right order{nest}. Other characters are ignored."],
        "depth": [f"Returns the maximum nesting depth of the brackets {shown} in `text`, or `None` unless they are balanced{nest}.", f"Computes how deeply the brackets {shown} in `text` are nested. Returns `None` if they are not balanced{f' or the depth exceeds {limit}' if limit else ''}."],
        "error": [f"Returns the character position, counting from 0, of the first closing bracket of {shown} that does not match the innermost open bracket{f', or of the first opening bracket at a depth greater than {limit}, whichever comes first' if limit else ''}. Returns `None` if there is no such position; brackets that are still open at the end are not an error.", f"Finds the first character of `text` at which the brackets {shown} are invalid: a closing bracket that does not match the most recently opened one{f', or an opening bracket that exceeds a depth of {limit}' if limit else ''}. Returns its position in characters, or `None` if there is none."],
        "groups": [f"Counts the top-level groups that are enclosed in the brackets {shown} in `text`, or returns `None` unless the brackets are balanced{nest}.", f"Returns the number of outermost bracket pairs of {shown} in `text`. Returns `None` if the brackets are not balanced{f' or are nested more than {limit} deep' if limit else ''}."], "open": [f"Returns the opening brackets of {shown} that are still open at the end of `text`, outermost first, or `None` if a closing bracket does not match the innermost open one{f' or the depth ever exceeds {limit}' if limit else ''}."],
    }[wanted]

    def oracle(text: str):
        stack, best, groups, wrong = [], 0, 0, False
        for place, c in enumerate(text):
            if c in opening:
                stack.append(c)
                best, groups = max(best, len(stack)), groups + (len(stack) == 1)
                wrong = bool(limit) and len(stack) > limit
            elif c in closing:
                wrong = not stack or stack.pop() != opening[closing.index(c)]
            if wrong:
                return {"test": False, "error": place}.get(wanted)
        fine = not stack
        return {"test": fine, "depth": best if fine else None, "error": None, "groups": groups if fine else None, "open": "".join(stack)}[wanted]

    def argument() -> str:
        pick, text = draw.arguments, ""
        for _ in range(pick.randint(0, 5)):
            place, kind = pick.randint(0, len(text)), pick.randrange(len(opening))
            text = text[:place] + opening[kind] + pick.choice(("", "", "a", text[place:])) + closing[kind] + text[place:]
        return spoiled(draw, text[:24], pairs, 0.45)

    return FunctionSpec(
        name=draw.style(*{"test": ("is_balanced", "brackets_match", "well_nested"), "depth": ("nesting_depth", "bracket_depth", "max_depth"), "error": ("first_mismatch", "find_error", "bracket_error"), "groups": ("count_groups", "top_level_groups"), "open": ("unclosed", "open_brackets", "still_open")}[wanted]),
        parameters={"text": "&str"}, returns=returns, words=words, forms=[first, second, third], oracle=oracle, inputs=lambda: (argument(),))


@family(tier=2)
def number_in_base(draw: Draw) -> FunctionSpec:
    base, prefix, gap = draw.choose(2, 3, 4, 5, 6, 7, 8, 9, 12, 16), draw.choose("", "", "#", "0x", "$", "%", "&"), draw.choose("", "_", "", "'", " ")
    outcome, kind = Outcome(draw, "invalid digit", "not a number", "malformed number", "empty number"), draw.choose("u32", "u64")
    prefix = {2: "0b", 8: "0o"}.get(base, prefix) if prefix == "0x" and base != 16 else prefix
    quoted = "'\\''" if gap == "'" else f"'{gap}'"
    rest, begin = (f"let digits = text.strip_prefix(\"{prefix}\"){outcome.option}?;\n", "digits") if prefix else ("", "text")
    skip = f"    if c == {quoted} {{\n        continue;\n    }}\n" if gap else ""
    source = f"{begin}.chars().filter(|&c| c != {quoted})" if gap else f"{begin}.chars()"
    empty = f"if !{begin}.contains(|c: char| c.is_digit({base})) {{\n    return {outcome.fail};\n}}\n" if gap else f"if {begin}.is_empty() {{\n    return {outcome.fail};\n}}\n"
    name = {2: "binary", 8: "octal", 16: "hex", 12: "dozenal", 3: "ternary"}.get(base, f"base_{base}")
    told = f"a number in base {base}" + (f" with the required prefix `{prefix}`" if prefix else "") + ({"": "", " ": ", ignoring any spaces between or around its digits"}.get(gap, f", ignoring any `{gap}` between or around its digits")) + (". Letter digits can be uppercase or lowercase" if base > 10 else "")

    def oracle(text: str):
        digits = text.removeprefix(prefix).replace(gap, "") if gap else text.removeprefix(prefix)
        fine = text.startswith(prefix) and digits and all(c in "0123456789abcdef"[:base] for c in digits.lower())
        return outcome.answer(int("".join(digits), base) if fine and base <= 36 else None)

    def argument() -> str:
        pick = draw.arguments
        digits = "".join(pick.choice("0123456789abcdef"[:base]) + (gap if pick.random() < 0.15 else "") for _ in range(pick.randint(1, 6)))
        return spoiled(draw, prefix + (digits.upper() if pick.random() < 0.3 else digits), "9gz-", 0.3)

    return FunctionSpec(
        name=draw.style(f"parse_{name}", f"from_{name}", f"read_{name}", "parse_digits"), parameters={"text": "&str"}, returns=outcome.returns(kind),
        words=[f"Parses {told}. Returns {outcome.said} if there are no digits or any other character occurs.", f"Parses `text` as {told}. Returns {outcome.said} for any other text."],
        forms=[
            f"{rest}{empty}let mut result: {kind} = 0;\nfor c in {begin}.chars() {{\n{skip}    let digit = c.to_digit({base}){outcome.option}?;\n    result = result * {base} + {'digit' if kind == 'u32' else 'u64::from(digit)'};\n}}\n{outcome.good('result')}",
            f"{rest}{empty}let mut result = 0;\nfor c in {source} {{\n    match c.to_digit({base}) {{\n        Some(digit) => result = result * {base} + digit as {kind},\n        None => return {outcome.fail},\n    }}\n}}\n{outcome.good('result')}",
            f"{rest}{empty}{source}.try_fold(0, |result: {kind}, c| {{\n    let digit = c.to_digit({base}){outcome.option}?;\n    {outcome.good(f'result * {base} + digit as {kind}')}\n}})",
        ], oracle=oracle, inputs=lambda: (argument(),))


@family(tier=2)
def compare_versions(draw: Draw) -> FunctionSpec:
    mark, prefix, missing = draw.choose(".", "-", "_", "/", ":"), draw.choose("", "", "v", "r", "#"), draw.choose("zero", "smaller")
    wanted, size = draw.choose("Ordering", "i32", "newer", "same", "larger text"), draw.choose(0, 0, 1, 2, 3)

    def numbers(name):
        return f"{name}{f'.strip_prefix({chr(34)}{prefix}{chr(34)}).unwrap_or({name})' if prefix else ''}.split('{mark}'){f'.take({size})' if size else ''}.map(|part| part.parse().unwrap_or(0)).collect()"

    pad = "let length = first.len().max(second.len());\nfirst.resize(length, 0);\nsecond.resize(length, 0);\n" if missing == "zero" else ""
    mut = "mut " if pad else ""
    setup = f"let {mut}first: Vec<u32> = {numbers('a')};\nlet {mut}second: Vec<u32> = {numbers('b')};\n{pad}"
    read = f"let numbers = |version: &str| -> Vec<u32> {{ {numbers('version')} }};\nlet ({mut}first, {mut}second) = (numbers(a), numbers(b));\n{pad}"
    returns, said, ends = {
        "Ordering": ("Ordering", "Compares the versions `a` and `b`", ["first.cmp(&second)"]), "i32": ("i32", "Returns -1 if version `a` is older than `b`, 0 if they are equal, and 1 if `a` is newer", ["first.cmp(&second) as i32", "match first.cmp(&second) {\n    Ordering::Less => -1,\n    Ordering::Equal => 0,\n    Ordering::Greater => 1,\n}"]),
        "newer": ("bool", "Checks whether version `a` is newer than version `b`", ["first > second", "first.cmp(&second) == Ordering::Greater"]), "same": ("bool", "Checks whether `a` and `b` are equal versions", ["first == second"]),
        "larger text": ("String", "Returns the newer of the versions `a` and `b` exactly as written, or `a` if they are equal", ["if first >= second {\n    a.to_string()\n} else {\n    b.to_string()\n}"]),
    }[wanted]

    optional = (f", with an optional prefix `{prefix}`" if prefix else "") + (f", of which only the first {'number is' if size == 1 else f'{size} numbers are'} compared" if size else "")
    rule = draw.style("Missing numbers count as 0", "The shorter version is padded with zeros") if missing == "zero" else "If one version is a prefix of the other, the shorter one is older"

    def oracle(a: str, b: str):
        first, second = ([read_number(part, False) or 0 for part in version.removeprefix(prefix).split(mark)][: size or None] for version in (a, b))
        length = max(len(first), len(second)) if missing == "zero" else 0
        first, second = (each + [0] * (length - len(each)) for each in (first, second))
        order = (first > second) - (first < second)
        return {"Ordering": Raw(f"std::cmp::Ordering::{('Equal', 'Greater', 'Less')[order]}"), "i32": order, "newer": order > 0, "same": order == 0, "larger text": b if order < 0 else a}[wanted]

    def version() -> str:
        return prefix + mark.join(str(draw.arguments.choice((0, 1, 1, 2, 10))) for _ in range(draw.arguments.randint(1, 4)))

    def argument() -> tuple[str, str]:
        first = version()
        return first, draw.arguments.choice((version(), first, first + mark + draw.arguments.choice("001"), version()))

    return FunctionSpec(
        name=draw.style(*{"newer": ("is_newer", "is_later"), "same": ("same_version", "equal_versions"), "larger text": ("newer_version", "latest")}.get(wanted, ("compare_versions", "version_order", "compare"))), parameters={"a": "&str", "b": "&str"}, returns=returns,
        words=[f"{said}. A version consists of numbers separated by `{mark}`{optional}. {rule}, and a part that is not a number counts as 0.", f"{said}. Versions are numbers with `{mark}` between them{optional}; parts that are not numbers count as 0. {rule}."],
        forms=[start + end for start in (setup, read) for end in ends], oracle=oracle, inputs=argument, imports=["use std::cmp::Ordering;"] if wanted == "Ordering" else [], body_imports=["use std::cmp::Ordering;"],
    )


@family(tier=3)
def split_fields(draw: Draw) -> FunctionSpec:
    mark, escape, quote = draw.choose(",", ";", "|", ":", "\\t", " "), draw.choose("\\\\", "^", "~", "%", ""), draw.choose('"', "'", "`", "/", "")
    escape = escape if escape or quote else "^"
    wanted, blank = draw.choose("Vec<String>", "Vec<String>", "usize", "Option<Vec<String>>"), draw.choose(True, False)
    separator, escaper, quoter = mark.replace("\\t", "\t"), escape.replace("\\\\", "\\"), quote

    def lit(c):
        return "'\\''" if c == "'" else f"'{c}'"

    quote_arm = f"        {lit(quote)} => quoted = !quoted,\n" if quote else ""
    mark_arm = f"        '{mark}'{' if !quoted' if quote else ''} => {'fields.push(std::mem::take(&mut field))' if blank else '{' + chr(10) + ' ' * 12 + 'if !field.is_empty() {' + chr(10) + ' ' * 16 + 'fields.push(std::mem::take(&mut field));' + chr(10) + ' ' * 12 + '}' + chr(10) + ' ' * 8 + '}'}{',' if blank else ''}\n"
    open_end = " || ".join((["quoted"] if quote else []) + (["escaped"] if escape else []))
    last = "fields.push(field);\n" if blank else "if !field.is_empty() {\n    fields.push(field);\n}\n"
    check = f"if {open_end} {{\n    return None;\n}}\n" if wanted.startswith("Option") else ""
    end = {"usize": "fields.len()", "Vec<String>": "fields"}.get(wanted, "Some(fields)")
    flags = ("let mut quoted = false;\n" if quote else "") + ("let mut escaped = false;\n" if escape else "")
    escapes = f"        _ if escaped => {{\n            field.push(c);\n            escaped = false;\n        }}\n        '{escape}' => escaped = true,\n" if escape else ""
    head = "let mut fields: Vec<String> = Vec::new();\nlet mut field = String::new();\n"
    tests = (f"    if escaped {{\n        field.push(c);\n        escaped = false;\n    }} else if c == '{escape}' {{\n        escaped = true;\n    }} else if " if escape else "    if ") + (f"c == {lit(quote)} {{\n        quoted = !quoted;\n    }} else if " if quote else "")
    push = "        fields.push(field.clone());\n        field.clear();\n"
    push = push if blank else "        if !field.is_empty() {\n" + push.replace("        f", "            f") + "        }\n"
    rules = ([f"separators between two {'backticks' if quote == '`' else f'`{quote}`'} are part of the field, and the {'backticks' if quote == '`' else f'`{quote}`'} themselves are dropped"] if quote else []) + ([f"the character after `{escaper}` is taken literally, and the `{escaper}` itself is dropped"] if escape else [])
    shown = {" ": "single spaces", "\\t": "tabs"}.get(mark, f"`{mark}`")
    capital = rules
    extra = ("" if blank else " Empty fields are omitted.") + (f" Returns `None` if the line ends {'inside a quoted part' if quote else ''}{' or ' if quote and escape else ''}{'after an unfinished escape' if escape else ''}." if check else "")

    def oracle(text: str):
        fields, field, quoted, escaped = [], "", False, False
        for c in text:
            if escaped:
                field, escaped = field + c, False
            elif escape and c == escaper:
                escaped = True
            elif quote and c == quoter:
                quoted = not quoted
            elif c == separator and not quoted:
                fields, field = [*fields, field], ""
            else:
                field += c
        fields = [each for each in [*fields, field] if blank or each]
        return None if check and (quoted or escaped) else len(fields) if wanted == "usize" else fields

    return FunctionSpec(
        name=draw.style(*(("count_fields", "number_of_fields") if wanted == "usize" else ("split_fields", "parse_row", "split_line", "fields_of", "split_quoted"))), parameters={"line": "&str"}, returns=wanted,
        words=[f"{'Counts the fields of' if wanted == 'usize' else 'Splits'} `line`{'' if wanted == 'usize' else ' into fields'} separated by {shown}. {' '.join(rule[0].upper() + rule[1:] + '.' for rule in capital)}{extra}", f"{'Returns the number of fields' if wanted == 'usize' else 'Returns the fields'} in `line`. They are separated by {shown}; {'; '.join(rules)}.{extra}"],
        forms=[
            f"{head}{flags}for c in line.chars() {{\n    match c {{\n{escapes}{quote_arm}{mark_arm}        _ => field.push(c),\n    }}\n}}\n{check}{last}{end}",
            f"{head}{flags}for c in line.chars() {{\n{tests}c == '{mark}'{' && !quoted' if quote else ''} {{\n{push}    }} else {{\n        field.push(c);\n    }}\n}}\n{check}{last}{end}",
        ], oracle=oracle, inputs=lambda: ("".join(draw.arguments.choice(("ab", "x", "1", separator, separator, quoter, quoter + "p" + separator + "q" + quoter, escaper, escaper + separator)) for _ in range(draw.arguments.randint(1, 7))),),
    )


@family(tier=2)
def unit_amount(draw: Draw) -> FunctionSpec:
    units = draw.choose((("d", 24), ("h", 1)), (("h", 60), ("m", 1)), (("h", 3600), ("m", 60), ("s", 1)), (("w", 7), ("d", 1)), (("k", 1000), ("g", 1)), (("M", 1000), ("m", 1)), (("X", 10), ("V", 5), ("I", 1)), (("g", 240), ("s", 12), ("c", 1)), (("b", 50), ("p", 1)), (("y", 12), ("m", 1)), (("G", 1024), ("M", 1)))
    kind, bare, repeat = draw.choose("u32", "u64"), draw.choose("fail", "lowest", "ignored"), draw.choose(True, False)
    outcome = Outcome(draw, "unknown unit", "bad amount", "missing number", "invalid quantity")
    arms = "".join(f"        '{u}' => {f},\n" for u, f in units)
    tail = {"fail": f"if !digits.is_empty() {{\n    return {outcome.fail};\n}}\n", "lowest": f"if !digits.is_empty() {{\n    let rest: {kind} = digits.parse(){outcome.result}?;\n    total += rest;\n}}\n", "ignored": ""}[bare]
    seen = f"    if seen.contains(c) {{\n        return {outcome.fail};\n    }}\n    seen.push(c);\n" if not repeat else ""
    start = f"let mut total: {kind} = 0;\nlet mut digits = String::new();\n" + ("let mut seen = String::new();\n" if seen else "")
    factor = f"    let factor = match c {{\n{arms}        _ => return {outcome.fail},\n    }};\n"
    table = ", ".join(f"('{u}', {f})" for u, f in units)
    find = f"    let (_, factor) = units.iter().find(|(unit, _)| *unit == c){outcome.option}?;\n"
    body = f"    if c.is_ascii_digit() {{\n        digits.push(c);\n        continue;\n    }}\n{{}}{seen}    let number: {kind} = digits.parse(){outcome.result}?;\n    total += number * factor;\n    digits.clear();\n}}\n{tail}{outcome.good('total')}"
    told = ", ".join(f"`{u}` is worth {f}" for u, f in units[:-1]) + f" and `{units[-1][0]}` is worth {units[-1][1]}"
    final = {"fail": " A number without a unit is an error." if outcome.kind != "Option" else " A number without a unit also gives `None`.", "lowest": " A number at the end without a unit is added as is.", "ignored": " Digits at the end without a unit are ignored."}[bare] + ("" if repeat else " No unit may occur twice.")
    example = "".join(f"{n}{u}" for n, (u, _) in zip((3, 2, 5), units, strict=False))

    def oracle(text: str):
        parts, rest = re.findall(r"([0-9]*)([^0-9])", text), next(re.finditer(r"[0-9]*$", text))[0]
        names = [unit for _, unit in parts]
        worth = dict(units)
        if any(not n or u not in worth for n, u in parts) or (bare == "fail" and rest) or (not repeat and len(set(names)) < len(names)):
            return outcome.answer(None)
        return outcome.answer(sum(int(n) * worth[u] for n, u in parts) + (int(rest) if rest and bare == "lowest" else 0))

    def argument() -> str:
        pick = draw.arguments
        return spoiled(draw, "".join(f"{pick.randint(0, 30)}{pick.choice(units)[0]}" for _ in range(pick.randint(1, 3))) + pick.choice(("", "", "", "5")), "z-", 0.15)

    return FunctionSpec(
        name=draw.style("parse_amount", "parse_duration" if units[-1][0] in "hmsd" else "parse_quantity", "total_amount", "read_units", "amount_of"), parameters={"text": "&str"}, returns=outcome.returns(kind),
        words=[f"Parses amounts with units, such as `{example}`, and returns their sum, where {told}. Anything else gives {outcome.said}.{final}", f"Parses numbers that are each followed by a unit and returns the total, where {told}. Returns {outcome.said} if `text` is malformed.{final}"],
        forms=[f"{start}for c in text.chars() {{\n" + body.replace("{}", factor, 1), f"let units = [{table}];\n{start}for c in text.chars() {{\n" + body.replace("{}", find, 1)], oracle=oracle, inputs=lambda: (argument(),),
    )


@family(tier=2)
def letter_numerals(draw: Draw) -> FunctionSpec:
    alphabet, greatest, rule = draw.choose("roman", "lowercase", "invented"), draw.choose(39, 89, 399, 899), draw.choose("subtract", "add")
    letters = {"roman": "IVXLCDM", "lowercase": "ivxlcdm", "invented": "ABCDEFG"}[alphabet]
    to_text, outcome = draw.choose(True, False), Outcome(draw, "not a numeral", "unknown letter", "invalid numeral")
    values = dict(zip(letters, (1, 5, 10, 50, 100, 500, 1000), strict=True))
    values = {c: v for c, v in values.items() if v <= 5 * 10 ** len(str(greatest))}
    table = sorted(((v, c) for c, v in values.items()), reverse=True)
    pairs = [(4, letters[:2]), (9, letters[0] + letters[2]), (40, letters[2:4]), (90, letters[2] + letters[4]), (400, letters[4:6]), (900, letters[4] + letters[6])]
    table = sorted(table + [pair for pair in pairs if pair[1][1] in values], reverse=True) if rule == "subtract" else table
    rows = ", ".join(f'({v}, "{c}")' for v, c in table)
    arms = "".join(f"        '{c}' => {v},\n" for c, v in values.items())
    told = ", ".join(f"`{c}` is {v}" for c, v in values.items())
    told_rule = "a letter directly before a letter of greater value is subtracted, all others are added" if rule == "subtract" else "the values of all letters are added"

    def write(n: int) -> str:
        text = ""
        for value, letter in table:
            text, n = text + letter * (n // value), n % value
        return text

    def read(text: str):
        if any(c not in values for c in text):
            return outcome.answer(None)
        numbers = [values[c] for c in text]
        return outcome.answer(sum(-v if rule == "subtract" and v < after else v for v, after in zip(numbers, [*numbers[1:], 0], strict=False)))

    subtractive = f"The values 4, 9, 40, 90 and so on are written as two letters with the smaller one first, such as `{letters[:2]}` for 4." if rule == "subtract" else "Values are only added, with as few letters as possible."
    if to_text:
        return FunctionSpec(
            name=draw.style("to_numeral", "to_roman" if alphabet != "invented" else "to_letters", "write_numeral", "numeral"), parameters={"n": "u32"}, returns="String",
            words=[f"Converts `n`, which is at most {greatest}, to a numeral whose letters are ordered from the greatest to the smallest value: {told}. {subtractive}", f"Writes the number `n` (at most {greatest}) as a numeral, with the greatest values first, where {told}. {subtractive}"],
            forms=[
                f"let mut rest = n;\nlet mut result = String::new();\nfor (value, letters) in [{rows}] {{\n    while rest >= value {{\n        result.push_str(letters);\n        rest -= value;\n    }}\n}}\nresult",
                f"let table = [{rows}];\nlet mut rest = n as usize;\nlet mut result = String::new();\nfor (value, letters) in table {{\n    result += &letters.repeat(rest / value);\n    rest %= value;\n}}\nresult",
            ], oracle=write, inputs=lambda: (draw.arguments.randint(0, greatest),))
    update = "    if value > previous {\n        total -= 2 * previous;\n    }\n    previous = value;\n" if rule == "subtract" else ""
    back = "    if value < previous {\n        total -= value;\n    } else {\n        total += value;\n    }\n    previous = value;\n" if rule == "subtract" else "    total += value;\n"
    keep = "let mut previous = 0;\n" if rule == "subtract" else ""

    def numeral() -> str:
        return spoiled(draw, write(draw.arguments.randint(1, greatest)), letters[0] + "Z ", 0.2) if draw.arguments.random() < 0.95 else ""

    return FunctionSpec(
        name=draw.style("from_numeral", "parse_roman" if alphabet != "invented" else "parse_letters", "read_numeral", "numeral_value"), parameters={"text": "&str"}, returns=outcome.returns("i32"),
        words=[f"Parses a numeral in which {told}; {told_rule}. Returns {outcome.said} if `text` contains any other character; an empty text is 0.", f"Returns the value of a numeral: {told}, and {told_rule}. An empty numeral is 0. Returns {outcome.said} if any other character occurs."],
        forms=[
            f"let mut total = 0;\n{keep}for c in text.chars() {{\n    let value = match c {{\n{arms}        _ => return {outcome.fail},\n    }};\n{update}    total += value;\n}}\n{outcome.good('total')}",
            f"let mut total = 0;\n{keep}for c in text.chars().rev() {{\n    let value = match c {{\n{arms}        _ => return {outcome.fail},\n    }};\n{back}}}\n{outcome.good('total')}",
        ], oracle=read, inputs=lambda: (numeral(),))


@family(tier=4)
def expand_ranges(draw: Draw) -> FunctionSpec:
    mark, dash, kind = draw.choose(",", ";", " ", "|"), draw.choose("-", "..", ":", "to", "~"), draw.choose("u32", "u64", "usize")
    last, wanted, limit = draw.choose(True, False), draw.choose("list", "sum", "count", "set"), draw.choose(20, 30, 50, 60)
    outcome = Outcome(draw, "bad range", "invalid number", "out of range", "empty range")
    helper = draw.style("parse_range", "read_range", "bounds", "range_of")
    closed = "both ends are included" if last else "the end is excluded"
    start, step = {"list": ("Vec::new()", f"result.extend(first..{'=' * last}last);"), "sum": ("0", f"result += (first..{'=' * last}last).sum::<{kind}>();"), "count": ("0", f"result += (first..{'=' * last}last).count();"), "set": ("BTreeSet::new()", f"for number in first..{'=' * last}last {{\n        result.insert(number);\n    }}")}[wanted]
    returns = {"list": f"Vec<{kind}>", "sum": kind, "count": "usize", "set": f"BTreeSet<{kind}>"}[wanted]
    parts = "text.split_whitespace()" if mark == " " else f"text.split('{mark}')"
    single = outcome.good("(number, number)" if last else "(number, number + 1)")

    def bounds(part: str):
        low, found, high = part.partition(dash)
        first, second = read_number(low.strip(), False), read_number(high.strip(), False) if found else None
        if not found:
            return None if first is None or first > limit else (first, first if last else first + 1)
        return None if first is None or second is None or first > second or second > limit else (first, second)

    def oracle(text: str):
        found = [bounds(part) for part in (text.split() if mark == " " else text.split(mark))]
        if None in found:
            return outcome.answer(None)
        numbers = [n for low, high in found for n in range(low, high + last)]
        return outcome.answer({"list": numbers, "sum": sum(numbers), "count": len(numbers), "set": set(numbers)}[wanted])

    def one() -> str:
        pick = draw.arguments
        low = pick.randint(0, limit - 8)
        return spoiled(draw, pick.choice((str(low), f"{low}{dash}{low + pick.randint(0, 6)}", f"{low}{dash}{low + pick.randint(1, 4)}")), "9x", 0.15)

    said = {"list": "returns all of their numbers in this order", "sum": "returns the sum of all their numbers", "count": "returns how many numbers they contain in total", "set": "returns the set of all their numbers"}[wanted]
    part = FunctionSpec(
        name=helper, parameters={"part": "&str"}, returns=outcome.returns(f"({kind}, {kind})"), inputs=lambda: (one(),), oracle=lambda given: outcome.answer(bounds(given)),
        words=[f"Parses a range such as `3{dash}7` or a single number and returns its two ends, where a single number n gives {'(n, n)' if last else '(n, n + 1)'}. Returns {outcome.said} if `part` is neither, if the range begins after its end, or if a number is greater than {limit}. Spaces around the numbers are allowed."],
        forms=[
            f"let Some((low, high)) = part.split_once(\"{dash}\") else {{\n    let number: {kind} = part.trim().parse(){outcome.result}?;\n    if number > {limit} {{\n        return {outcome.fail};\n    }}\n    return {single};\n}};\nlet first: {kind} = low.trim().parse(){outcome.result}?;\nlet last: {kind} = high.trim().parse(){outcome.result}?;\nif first > last || last > {limit} {{\n    return {outcome.fail};\n}}\n{outcome.good('(first, last)')}",
            f"let read = |text: &str| text.trim().parse::<{kind}>(){outcome.result};\nmatch part.split_once(\"{dash}\") {{\n    Some((low, high)) => match (read(low)?, read(high)?) {{\n        (first, last) if first <= last && last <= {limit} => {outcome.good('(first, last)')},\n        _ => {outcome.fail},\n    }},\n    None => match read(part)? {{\n        number if number <= {limit} => {single},\n        _ => {outcome.fail},\n    }},\n}}",
        ])
    shown = "whitespace" if mark == " " else f"`{mark}`"
    return FunctionSpec(
        name=draw.style("expand_ranges", f"{wanted}_of_ranges", "parse_ranges", "numbers_in", "selection"), parameters={"text": "&str"}, returns=outcome.returns(returns), parts=(part,), oracle=oracle,
        words=[f"Parses numbers and ranges such as `3{dash}7` (where {closed}), separated by {shown}, and {said}. Returns {outcome.said} if any of them is invalid.", f"Expands numbers and ranges that are separated by {shown} and {said}. In a range such as `3{dash}7`, {closed}. Returns {outcome.said} if any part cannot be parsed."],
        forms=[f"let mut result = {start};\nfor part in {parts} {{\n    let (first, last) = {helper}(part)?;\n    {step}\n}}\n{outcome.good('result')}", f"let ranges = {parts}.map({helper}).collect::<{outcome.returns('Vec<_>')}>()?;\nlet mut result = {start};\nfor (first, last) in ranges {{\n    {step}\n}}\n{outcome.good('result')}"],
        inputs=lambda: (mark.join(one() for _ in range(draw.arguments.randint(1, 3))),), imports=["use std::collections::BTreeSet;"] if wanted == "set" else [])


@family(tier=3)
def enum_from_text(draw: Draw) -> Items:
    name, variants = draw.choose(
        ("Direction", ("North", "East", "South", "West")), ("Level", ("Low", "Medium", "High")), ("Suit", ("Clubs", "Diamonds", "Hearts", "Spades")), ("Weather", ("Sunny", "Rainy", "Snowy", "Windy")), ("Priority", ("Urgent", "Normal", "Later")),
        ("Gear", ("Park", "Reverse", "Drive")), ("Status", ("Open", "Closed", "Pending", "Failed")), ("Meal", ("Breakfast", "Lunch", "Dinner")), ("Color", ("Red", "Green", "Blue", "Black")), ("Season", ("Spring", "Summer", "Autumn", "Winter")),
    )
    unit, payload, cased = draw.choose("Custom", "Other", "Level"), draw.choose("u8", "u32", "i32"), draw.choose(True, False)
    mark, short, size = draw.choose(":", "=", "#", " "), draw.choose(True, False), draw.integer(2, len(variants))
    variants, message = sorted(draw.meaning.sample(variants, size)), draw.choose("unknown", "invalid", "no such")
    method = draw.choose("code", "is_custom", "label")
    error = draw.choose("String", "struct")
    words = {v: [v.lower(), *([v[0].lower()] if short and sum(o[0] == v[0] for o in variants) == 1 else [])] for v in variants}
    failed = f"Parse{name}Error" if error == "struct" else "String"
    fail = f"{failed}(text.to_string())" if error == "struct" else f'format!("{message} {name.lower()}: {{}}", text)'
    source = "text" if cased else "text.to_lowercase().as_str()"
    arms = "".join(f"            {' | '.join(chr(34) + w + chr(34) for w in words[v])} => return Ok({draw.style('Self', name)}::{v}),\n" for v in variants)
    inner = {
        "code": ("i64", "Returns a number that identifies the variant.", "".join(f"            {name}::{v} => {i},\n" for i, v in enumerate(variants, 1)) + f"            {name}::{unit}(number) => i64::from(*number) + {10 * size},\n"),
        "is_custom": ("bool", f"Returns `true` for `{unit}` with any number.", f"            {name}::{unit}(_) => true,\n            _ => false,\n"),
        "label": ("String", "Returns the label of the variant.", "".join(f'            {name}::{v} => "{v.upper()}".to_string(),\n' for v in variants) + f'            {name}::{unit}(number) => format!("{unit.lower()}{mark}{{}}", number),\n'),
    }[method]
    tail = draw.style(
        f"        let (_, number) = text\n            .split_once('{mark}')\n            .filter(|(before, _)| *before == \"{unit.lower()}\")\n            .ok_or_else(|| {fail})?;\n        number.parse().map({name}::{unit}).map_err(|_| {fail})\n",
        f"        match text.strip_prefix(\"{unit.lower()}{mark}\").map(|number| number.parse()) {{\n            Some(Ok(number)) => Ok({name}::{unit}(number)),\n            _ => Err({fail}),\n        }}\n",
        f"        if let Some(rest) = text.strip_prefix(\"{unit.lower()}{mark}\") {{\n            if let Ok(number) = rest.parse() {{\n                return Ok(Self::{unit}(number));\n            }}\n        }}\n        Err({fail})\n",
    )
    known = "".join(f"    {v},\n" for v in variants)
    wrong = draw.style("/// The text that could not be parsed.", f"/// The error for a text that is not a valid {name.lower()}.", "/// The error of a failed conversion, with the text.")
    structure = f"{wrong}\n#[derive(Debug, Clone, PartialEq)]\npub struct {failed}(pub String);\n\n" if error == "struct" else ""
    title = draw.style(f"A known {name.lower()} or one that is identified by a number.", f"A {name.lower()} that can be parsed from text.", f"The known kinds of {name.lower()}.")
    reading = draw.style(f"Parses the name of a variant, or `{unit.lower()}{mark}` followed by a number", f"Accepts {'lowercase' if cased else ''} names and `{unit.lower()}{mark}7` with any number".replace("  ", " ")) + ("." if cased else "; the case of names is ignored.")
    code = f"use std::str::FromStr;\n\n/// {title}\n#[derive(Debug, Clone, PartialEq)]\npub enum {name} {{\n{known}    {unit}({payload}),\n}}\n\n{structure}impl FromStr for {name} {{\n    type Err = {failed};\n\n    /// {reading}\n    fn from_str(text: &str) -> Result<Self, Self::Err> {{\n        match {source} {{\n{arms}            _ => {{}}\n        }}\n{tail}    }}\n}}\n\nimpl {name} {{\n    /// {inner[1]}\n    pub fn {method}(&self) -> {inner[0]} {{\n        match self {{\n{inner[2]}        }}\n    }}\n}}\n"
    number, bad = draw.arguments.randint(1, 90), draw.arguments.choice(("", "nothing", f"{unit.lower()}{mark}x", f"{mark}3", variants[0].lower() + "s"))
    result = {"code": str(number + 10 * size), "is_custom": "true", "label": f'"{unit.lower()}{mark}{number}".to_string()'}[method]
    expected = f'Err({failed}("{bad}".to_string()))' if error == "struct" else f'Err("{message} {name.lower()}: {bad}".to_string())'
    cases = [Case(f'"{draw.arguments.choice(words[v]) if cased else v}".parse::<{name}>()', f"Ok({name}::{v})") for v in variants]
    cases += [Case(f'"{unit.lower()}{mark}{number}".parse::<{name}>()', f"Ok({name}::{unit}({number}))"), Case(f'"{bad}".parse::<{name}>()', expected), Case(f"{name}::{unit}({number}).{method}()", result)]
    if cased:
        shout = variants[-1].upper()
        cases.append(Case(f'{name}::from_str("{shout}").is_err()', "true"))
    return Items(code=code, cases=cases)
