"""Functions of texts and their characters."""

import re
from collections.abc import Sequence
from typing import TypeVar

from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.pieces import MappingPiece, Predicate, char_predicate

Piece = TypeVar("Piece", Predicate, MappingPiece)


def _mixed(draw: Draw, signs: str = "aeiostnrAEKZ01 -!") -> str:
    """Generate a text of words or of random characters."""
    pick = draw.arguments
    return "".join(pick.choice(signs) for _ in range(pick.randint(0, 12))) if pick.random() < 0.6 else draw.text()


def _repetitive(draw: Draw) -> str:
    pick = draw.arguments
    return "".join(pick.choice("aabcxZ01 -") * pick.choice((1, 1, 2, 3, 4)) for _ in range(pick.randint(0, 5)))


def recorded(draw: Draw, pieces: Sequence[Piece]) -> Piece:
    """Choose one of the pieces and record it as a part of the meaning."""
    chosen = draw.meaning.choice(pieces)
    draw.parameters.append(chosen.rust)
    return chosen


def negated(condition: str) -> str:
    """Return the negation of a condition in Rust."""
    if condition.startswith("!"):
        return condition[1:]
    if " != " in condition:
        return condition.replace(" != ", " == ")
    return f"!({condition})" if re.search(" [<>=]+ ", condition) else f"!{condition}"


def _char_mapping(draw: Draw) -> MappingPiece:
    pick = draw.meaning
    holds, sign, c, d = char_predicate(pick), pick.choice("*#_.?x"), pick.choice("aeirst"), pick.choice("ouxyz")
    return recorded(draw, (MappingPiece("{x}.to_ascii_uppercase()", str.upper, "upper", "every letter is converted to uppercase"),
        MappingPiece(f"if {{x}} == '{c}' {{{{ '{d}' }}}} else {{{{ {{x}} }}}}", lambda x: d if x == c else x, f"{c}_to_{d}", f"every `{c}` is replaced with `{d}`"),
        MappingPiece(f"match {{x}} {{{{\n    '{c}' => '{d}',\n    '{d}' => '{c}',\n    other => other,\n}}}}", lambda x: {c: d, d: c}.get(x, x), f"swap_{c}{d}", f"every `{c}` is replaced with `{d}` and every `{d}` with `{c}`"),
        MappingPiece("if {x}.is_ascii_uppercase() {{\n    {x}.to_ascii_lowercase()\n}} else {{\n    {x}.to_ascii_uppercase()\n}}", str.swapcase, "swapped", "uppercase letters are converted to lowercase and vice versa"),
        *[MappingPiece(f"if {holds.rust} {{{{ '{sign}' }}}} else {{{{ {{x}} }}}}", lambda x: sign if holds(x) else x, f"mask_{holds.slug}" + ("_x" if sign == "x" else ""), f"each character that {holds.clause} is replaced with `{sign}`")] * 4,
    ))


def _indented(code: str, depth: int) -> str:
    """Return the code with all lines but the first indented."""
    return code.replace("\n", "\n" + " " * depth)


@family(tier=0)
def text_figure(draw: Draw) -> FunctionSpec:
    k, c = draw.meaning.randint(1, 9), draw.meaning.choice("abegilnoprst")
    s = "s" if k > 1 else ""
    figures = (
        ("trimmed_length", "usize", ["Returns the length of `text` in bytes after removing leading and trailing whitespace."], ["text.trim().len()", "let trimmed = text.trim();\ntrimmed.len()"], lambda t: len(t.strip())),
        (f"is_longer_than_{k}", "bool", [f"Checks whether `text` has more than {k} character{s}."], [f"text.chars().count() > {k}", f"text.chars().nth({k}).is_some()"], lambda t: len(t) > k),
        (f"first_{k}", "String", [f"Returns the first {'character' if k == 1 else f'{k} characters'} of `text`, or the whole text if it is shorter.", f"Truncates `text` to at most {k} character{s} and returns the result."], [f"text.chars().take({k}).collect()"], lambda t: t[:k]),
        (f"last_{k}", "String", [f"Returns the last {'character' if k == 1 else f'{k} characters'} of `text`, or the whole text if it is shorter.", f"Keeps only the last {'character' if k == 1 else f'{k} characters'} of `text`; a shorter text is returned unchanged."], [f"let count = text.chars().count();\ntext.chars().skip(count.saturating_sub({k})).collect()", f"let end: String = text.chars().rev().take({k}).collect();\nend.chars().rev().collect()"], lambda t: t[-k:]),
        (f"char_at_{k}", "Option<char>", [f"Returns the character at position {k} of `text`, counting from 0, or `None` if the text is too short."], [f"text.chars().nth({k})", f"text.chars().skip({k}).next()"], lambda t: t[k] if k < len(t) else None),
        (f"without_{c}", "String", [f"Removes every `{c}` from `text`.", f"Returns the text without the letter `{c}`."], [f"text.replace('{c}', \"\")", f"text.chars().filter(|&x| x != '{c}').collect()"], lambda t: t.replace(c, "")),
        (f"before_{c}", "&str", [f"Returns the part of `text` before the first `{c}`, or the whole text if it does not contain `{c}`."], [f"text.split('{c}').next().unwrap_or(text)", f"match text.find('{c}') {{\n    Some(end) => &text[..end],\n    None => text,\n}}"], lambda t: t.split(c)[0]),
        (f"after_{c}", "Option<&str>", [f"Returns the part of `text` after the first `{c}`, or `None` if it does not contain `{c}`."], [f"text.split_once('{c}').map(|(_, rest)| rest)", f"let start = text.find('{c}')? + 1;\nSome(&text[start..])"], lambda t: t.partition(c)[2] if c in t else None),
        (f"occurrences_of_{c}", "usize", [f"Counts how often `{c}` occurs in `text`."], [f"text.matches('{c}').count()", f"text.chars().filter(|&x| x == '{c}').count()", f"text.split('{c}').count() - 1"], lambda t: t.count(c)),
        ("mirrored", "String", ["Returns `text` followed by its reverse."], ["text.chars().chain(text.chars().rev()).collect()", "let reverse: String = text.chars().rev().collect();\nformat!(\"{}{}\", text, reverse)"], lambda t: t + t[::-1]),
        (f"is_{c}_name", "bool", [f"Checks whether `text` starts with `{c}` or `{c.upper()}`."], [f"text.to_lowercase().starts_with('{c}')", f"text.starts_with(['{c}', '{c.upper()}'])", f"matches!(text.chars().next(), Some('{c}' | '{c.upper()}'))"], lambda t: t.lower().startswith(c)),
    )
    name, returns, words, forms, oracle = draw.meaning.choice(figures)
    draw.parameters.append(name)
    return FunctionSpec(name=draw.style(name, f"text_{name}", f"{name}_of"), parameters={"text": "&str"}, returns=returns, words=words, forms=forms, oracle=oracle,
        inputs=lambda: (draw.arguments.choice(("", " ")) + _mixed(draw, "abegilnoprstABPX 01"),))


@family(tier=1)
def count_chars(draw: Draw) -> FunctionSpec:
    holds, kind = draw.char_predicate(), draw.choose("usize", "u32", "u64")
    cast = "" if kind == "usize" else f" as {kind}"
    return FunctionSpec(name=draw.style(f"count_{holds.slug}", f"number_of_{holds.slug}", "count_matching", "count_chars", "tally"),
        parameters={"text": draw.style("&str", "&str", "&str", "String")}, returns=kind, words=[f"Counts the {holds.plural} in `text`.",
            f"Counts every character of `text` that {holds.clause}.", f"Returns the number of {holds.plural} in a text."], forms=[
            f"text.chars().filter(|&c| {holds.on('c')}).count(){cast}",
            f"let mut count = 0;\nfor c in text.chars() {{\n    if {holds.on('c')} {{\n        count += 1;\n    }}\n}}\ncount",
            f"text\n    .chars()\n    .map(|c| if {holds.on('c')} {{ 1 }} else {{ 0 }})\n    .sum()",
            f"text.chars().fold(0, |count, c| if {holds.on('c')} {{ count + 1 }} else {{ count }})"], oracle=lambda text: sum(map(bool, map(holds, text))),
        inputs=lambda: (_mixed(draw),))


@family(tier=1)
def keep_chars(draw: Draw) -> FunctionSpec:
    holds, kept = draw.char_predicate(), draw.choose(True, False)
    condition = holds.on("c") if kept else negated(holds.on("c"))
    case = draw.choose("", ".to_ascii_uppercase()", ".to_ascii_lowercase()")
    said = {"": "", ".to_ascii_uppercase()": " in uppercase", ".to_ascii_lowercase()": " in lowercase"}[case]
    step = f".map(|c| c{case})" if case else ""
    verb = "keep" if kept else "drop"

    def oracle(text: str) -> str:
        left = "".join(c for c in text if bool(holds(c)) == kept)
        return {"": left, ".to_ascii_uppercase()": left.upper(), ".to_ascii_lowercase()": left.lower()}[case]

    return FunctionSpec(name=draw.style(f"{verb}_{holds.slug}", f"{'only' if kept else 'without'}_{holds.slug}", "clean", "filter_text", "strip_text"),
        parameters={"text": "&str"}, returns="String", words=[
            f"{'Keeps only' if kept else 'Removes'} the {holds.plural} of `text` and returns {'them' if kept else 'the rest'}{said}.",
            f"{'Returns every' if kept else 'Omits every'} character of `text` that {holds.clause}{', converted to' + said.removeprefix(' in') if kept and said else '' if kept else ' and returns the others' + said}."], forms=[
            f"text.chars().filter(|&c| {condition}){step}.collect()",
            f"let mut result = String::new();\nfor c in text.chars() {{\n    if {condition} {{\n        result.push(c{case});\n    }}\n}}\nresult",
            f"let mut result = String::with_capacity(text.len());\nfor c in text.chars() {{\n    if {negated(condition) if kept else holds.on('c')} {{\n        continue;\n    }}\n    result.push(c{case});\n}}\nresult",
            *([f"let mut result = text.to_string();\nresult.retain(|c| {condition});\nresult"] if not case else [])], oracle=oracle,
        inputs=lambda: (_mixed(draw),))


@family(tier=1)
def map_chars(draw: Draw) -> FunctionSpec:
    mapping = _char_mapping(draw)
    in_place = draw.style(False, False, True)
    code = mapping.on("c")
    collect = f"text.chars().map(|c| {code}).collect()" if "\n" not in code else f"text\n    .chars()\n    .map(|c| {_indented(code, 4)})\n    .collect()"
    collect = collect if len(collect) < 95 or "\n" in code else f"text\n    .chars()\n    .map(|c| {code})\n    .collect()"
    loop = f"let mut result = String::new();\nfor c in text.chars() {{\n    let changed = {_indented(code, 4)};\n    result.push(changed);\n}}\n"

    def oracle(text: list[str] | str) -> str | None:
        if isinstance(text, str):
            return "".join(map(mapping, text))
        text[0] = "".join(map(mapping, text[0]))
        return None

    return FunctionSpec(name=draw.style("transform", "rewrite", "convert", "replace_chars", mapping.slug if mapping.slug[1] != "_" else "substitute"),
        parameters={"text": "&mut String" if in_place else "&str"}, returns=None if in_place else "String",
        words=[f"Modifies `text` in place so that {mapping.participle}.", f"Rewrites `text` in place: {mapping.participle}."] if in_place else [
            f"Returns a copy of `text` in which {mapping.participle}.", f"Returns a transformed text: {mapping.participle}. All other characters stay the same.",
            f"Processes `text` character by character: {mapping.participle}. Returns the result."],
        forms=[f"*text = {collect};", f"{loop}*text = result;"] if in_place else [collect, f"{loop}result"], oracle=oracle,
        inputs=lambda: ([_mixed(draw)],) if in_place else (_mixed(draw),))


@family(tier=2)
def caesar_shift(draw: Draw) -> FunctionSpec:
    shift, back = draw.integer(1, 25), draw.choose(False, True)
    which = draw.choose("lower", "upper", "both")
    amount = 26 - shift if back else shift
    first = {"lower": "b'a'", "upper": "b'A'"}.get(which, "first")
    kind = {"lower": "lowercase letters", "upper": "uppercase letters", "both": "letters"}[which]
    test = {"lower": "is_ascii_lowercase", "upper": "is_ascii_uppercase", "both": "is_ascii_alphabetic"}[which]
    base = "    let first = if c.is_ascii_uppercase() { b'A' } else { b'a' };\n    " if which == "both" else "    "
    shifted = f"((c as u8 - {first} + {amount}) % 26 + {first}) as char"

    def oracle(text: str) -> str:
        def change(c: str) -> str:
            wanted = c.isascii() and {"lower": c.islower(), "upper": c.isupper(), "both": c.isalpha()}[which]
            start = ord("A" if c.isupper() else "a")
            return chr((ord(c) - start + amount) % 26 + start) if wanted else c

        return "".join(map(change, text))

    places = f"{shift} place{'s' * (shift > 1)} {'backward' if back else 'forward'}"
    arms = {"lower": ["lower"], "upper": ["upper"], "both": ["lower", "upper"]}[which]
    ranges = {"lower": ("'a'..='z'", "b'a'"), "upper": ("'A'..='Z'", "b'A'")}
    matched = "".join(f"        {ranges[a][0]} => (({'c'} as u8 - {ranges[a][1]} + {amount}) % 26 + {ranges[a][1]}) as char,\n" for a in arms)
    return FunctionSpec(name=draw.style("caesar", "shift_letters", f"rotate_{shift}", "encode" if not back else "decode", "cipher"), parameters={"text": "&str"},
        returns="String", words=[f"Shifts the {kind} of `text` {places} in the alphabet, wrapping around at its {'start' if back else 'end'}, and leaves all other characters unchanged.",
            f"Applies a Caesar cipher to `text`: each of the {kind} is shifted {places} in the alphabet and wraps around. Other characters are not changed.",
            f"Replaces each of the {kind} in `text` with the letter {places} in the alphabet, wrapping around at the {'start' if back else 'end'}. Case is preserved, and other characters stay the same."], forms=[
            f"let mut result = String::new();\nfor c in text.chars() {{\n    if !c.{test}() {{\n        result.push(c);\n        continue;\n    }}\n{base}result.push({shifted});\n}}\nresult",
            f"text\n    .chars()\n    .map(|c| match c {{\n{matched}        _ => c,\n    }})\n    .collect()",
            f"let rotate = |c: char, first: u8| ((c as u8 - first + {amount}) % 26 + first) as char;\nlet mut result = String::with_capacity(text.len());\nfor c in text.chars() {{\n    result.push(match c {{\n"
            + "".join(f"        {ranges[a][0]} => rotate(c, {ranges[a][1]}),\n" for a in arms) + "        other => other,\n    });\n}\nresult"], oracle=oracle,
        inputs=lambda: (_mixed(draw, "abmnyzABMNYZ 1!"),))


@family(tier=2)
def palindrome_figure(draw: Draw) -> FunctionSpec:
    figure = draw.choose("test", "pairs", "words", "missing")
    least = draw.integer(0, 4)
    kept, keep, said = {"all": ("", lambda c: True, ""), "letters": (".filter(|c| c.is_alphabetic())", str.isalpha, ", considering only letters"),
        "dense": (".filter(|c| !c.is_whitespace())", lambda c: c != " ", ", ignoring whitespace"),
        "signs": (".filter(|c| c.is_alphanumeric())", str.isalnum, ", considering only letters and digits")}[draw.choose("all", "letters", "dense", "signs")]
    skips = f" The outermost {'pair is' if least == 1 else f'{least} pairs are'} not considered." if least else ""
    only = {"": "the characters", ", considering only letters": "the letters", ", ignoring whitespace": "the non-whitespace characters"}.get(said, "the letters and digits")
    case = draw.choose(True, False)
    lower = "" if case else ".map(|c| c.to_ascii_lowercase())"
    said += "" if case else draw.style(" and ignoring case", " and treating uppercase and lowercase letters as equal") if said else draw.style(", ignoring case", ", treating uppercase and lowercase letters as equal")
    fold = (lambda t: t) if case else str.lower

    def clean(t):
        return fold("".join(filter(keep, t)))

    parts = [".chars()", *([kept] if kept else []), *([lower] if lower else [])]

    def gather(source, depth):
        return ("" if len(parts) < 3 else "\n" + " " * depth).join([source, *parts, ".collect()"])

    chars = f"let chars: Vec<char> = {gather('text', 4)};\n"
    long = f" The result is `false` if {'fewer' if least > 1 else 'less'} than {least} {'of these ' if kept else ''}{'character is' if least == 1 else 'characters are'} {'left' if kept else 'present'}." if least else ""
    returns, words, forms, oracle = {
        "test": ("bool", [f"Checks whether `text` reads the same forward and backward{said}.{long}", f"Returns whether `text` is a palindrome{said}.{long}"], [
            f"{chars}{f'chars.len() >= {least} && ' if least else ''}chars.iter().eq(chars.iter().rev())",
            f"{chars}{f'if chars.len() < {least} {{{chr(10)}    return false;{chr(10)}}}{chr(10)}' if least else ''}let count = chars.len();\n(0..count / 2).all(|index| chars[index] == chars[count - 1 - index])",
        ], lambda t: clean(t) == clean(t)[::-1] and len(clean(t)) >= least),
        "pairs": ("usize", [f"Counts the mismatches that prevent `text` from being a palindrome{said}. A mismatch is a pair of different characters at the same distance from the start and from the end.{skips}"], [
            f"{chars}let count = chars.len();\n({least}..count / 2).filter(|&i| chars[i] != chars[count - 1 - i]).count()",
            f"{chars}let half = chars.len() / 2;\nchars.iter().zip(chars.iter().rev()).take(half){f'.skip({least})' if least else ''}.filter(|(a, b)| a != b).count()",
        ], lambda t: sum(a != b for a, b in list(zip(clean(t), clean(t)[::-1], strict=True))[: len(clean(t)) // 2][least:])),
        "words": ("usize", [f"Counts the whitespace-separated words of `text` that read the same in both directions{said}. {f'Only words with more than {least} ' + ('such ' if kept else '') + ('characters' if least > 1 else 'character') + ' are counted.' if least else 'Words without any such characters are not counted.' if kept else 'Every word is considered.'}"], [
            f"let mut count = 0;\nfor word in text.split_whitespace() {{\n    let chars: Vec<char> = {gather('word', 8)};\n    if chars.len() > {least} && chars.iter().eq(chars.iter().rev()) {{\n        count += 1;\n    }}\n}}\ncount",
        ], lambda t: sum(clean(w) == clean(w)[::-1] and len(clean(w)) > least for w in t.split())),
        "missing": ("String", [f"Returns a palindrome that consists of {only} of `text`{'' if case else ' in lowercase'}, followed by the same characters in reverse order except that the last one is not repeated."], [
            f"{chars}chars.iter().chain(chars.iter().rev().skip(1)).collect()",
            f"{chars}let mut result: String = chars.iter().collect();\nfor c in chars.into_iter().rev().skip(1) {{\n    result.push(c);\n}}\nresult",
        ], lambda t: clean(t) + clean(t)[::-1][1:])}[figure]

    def argument() -> str:
        pick = draw.arguments
        half = draw.text(1) + pick.choice(("", " ", "!"))
        return pick.choice((half, half + half[::-1], half.lower() + half[::-1][1:], draw.text(2), "noon Level kayak a", "civic radar xy is"))

    return FunctionSpec(
        name=draw.style(*{"test": ("is_palindrome", "reads_backwards", "is_symmetric"), "pairs": ("mismatches", "palindrome_distance"), "words": ("count_palindromes", "palindromic_words"), "missing": ("complete_palindrome", "to_palindrome")}[figure]),
        parameters={"text": "&str"}, returns=returns, words=words, forms=forms, oracle=oracle, inputs=lambda: (argument(),))


@family(tier=2)
def char_runs(draw: Draw) -> FunctionSpec:
    layout, least = draw.choose("count first", "char first", "count first", "char first", "pairs", "longest", "groups"), draw.integer(1, 4)
    mark = draw.choose("", "*", "x", ":", "=", "/", "~", "^") if layout.endswith("first") else ""
    item = {"count first": (f'format!("{{}}{mark}{{}}", count, c)', lambda c, n: f"{n}{mark}{c}"), "char first": (f'format!("{{}}{mark}{{}}", c, count)', lambda c, n: f"{c}{mark}{n}")}.get(layout)
    returns = {"pairs": "Vec<(char, usize)>", "longest": "usize", "groups": "Vec<String>"}.get(layout, "String")
    example = item[1]("a", 4) if item else ""
    words = {
        "pairs": ["Returns each run of equal characters in `text` as the character and the length of the run", "Splits `text` into runs of equal characters and returns the character and the length of each run"], "longest": ["Returns the length of the longest run of equal characters in `text`", "Finds the longest run of the same character in `text` and returns its length"],
        "groups": ["Splits `text` into runs of equal consecutive characters", "Groups equal consecutive characters of `text` and returns the groups in order"],
    }.get(layout, [f"Encodes each run of equal characters in `text`: for example, four consecutive letters `a` become `{example}`", f"Returns the run-length encoding of `text`, in which a run such as `aaaa` is written as `{example}`"])
    tail = f". {'The result is 0 if no run has a length of at least ' + str(least) if layout == 'longest' else f'Runs shorter than {least} are omitted' if not item else f'Runs shorter than {least} are not encoded and stay unchanged'}." if least > 1 else "."
    guard = f"if count >= {least} {{\n        " if least > 1 else ""
    alone = "\n    } else {\n        result.push_str(&c.to_string().repeat(count));\n    }" if item else "\n    }"
    push = {"pairs": "result.push((c, count));", "longest": "result = result.max(count);", "groups": "result.push(c.to_string().repeat(count));"}.get(layout, f"result.push_str(&{item[0] if item else ''});")
    push = f"{guard}{push}{alone}" if guard else push
    start = {"longest": "0", "String": "String::new()"}.get(layout if layout == "longest" else returns, "Vec::new()")

    def oracle(text: str):
        runs = [(match[1], len(match[0])) for match in re.finditer(r"(.)\1*", text)]
        if item:
            return "".join(item[1](*run) if run[1] >= least else run[0] * run[1] for run in runs)
        kept = [run for run in runs if run[1] >= least]
        return {"pairs": kept, "longest": max((n for _, n in kept), default=0), "groups": [c * n for c, n in kept]}[layout]

    return FunctionSpec(
        name=draw.style(*{"pairs": ("runs", "run_lengths"), "longest": ("longest_run", "longest_streak"), "groups": ("group_chars", "split_runs")}.get(layout, ("run_length_encode", "compress", "encode_runs", "shorten"))),
        parameters={"text": "&str"}, returns=returns, words=[each + tail for each in words], forms=[
            f"let mut result = {start};\nlet mut rest = text.chars().peekable();\nwhile let Some(c) = rest.next() {{\n    let mut count = 1;\n    while rest.next_if_eq(&c).is_some() {{\n        count += 1;\n    }}\n    {push}\n}}\nresult",
            f"let chars: Vec<char> = text.chars().collect();\nlet mut result = {start};\nlet mut index = 0;\nwhile index < chars.len() {{\n    let c = chars[index];\n    let count = chars[index..].iter().take_while(|&&other| other == c).count();\n    {push}\n    index += count;\n}}\nresult",
        ], oracle=oracle, inputs=lambda: (_repetitive(draw),))


@family(tier=1)
def join_items(draw: Draw) -> FunctionSpec:
    kind, mark = draw.choose("&[i32]", "&[u64]", "&[&str]", "&[String]", "&[char]"), draw.choose(", ", "-", " | ", "; ", "/", " ", ":", " -> ", "+")
    last = draw.choose(mark, " and ", " or ", mark)
    opening, closing = draw.choose(("", ""), ("[", "]"), ("(", ")"), ("<", ">"), ("", "."), ("\\\"", "\\\""))
    shown = "`" + (opening + closing).replace("\\", "") + "`"
    around = f", and encloses the result in {shown[:2]}` and `{shown[-2:]}" if opening else f", and appends `{closing}` at the end" if closing else ""
    others = f" (or `{last}` before the last of several items)" if last != mark else ""
    between = f"    if index > 0 {{\n        result.push_str(\"{mark}\");\n    }}\n" if last == mark else f"    if index > 0 && index + 1 == items.len() {{\n        result.push_str(\"{last}\");\n    }} else if index > 0 {{\n        result.push_str(\"{mark}\");\n    }}\n"
    begin = f'String::from("{opening}")' if opening else "String::new()"
    end = f"result.push_str(\"{closing}\");\n" if closing else ""
    texts = "let texts: Vec<String> = items.iter().map(|item| item.to_string()).collect();\n"
    joined = f"{texts}format!(\"{opening}{{}}{closing}\", texts.join(\"{mark}\"))" if opening or closing else f"{texts}texts.join(\"{mark}\")"
    two = f"{texts}match texts.split_last() {{\n    Some((last, rest)) if !rest.is_empty() => {{\n        format!(\"{opening}{{}}{last}{{}}{closing}\", rest.join(\"{mark}\"), last)\n    }}\n    _ => format!(\"{opening}{{}}{closing}\", texts.concat()),\n}}"

    def oracle(items: list) -> str:
        texts = [str(each) for each in items]
        inner = mark.join(texts) if len(texts) < 2 or last == mark else mark.join(texts[:-1]) + last + texts[-1]
        return (opening + inner + closing).replace("\\", "")

    return FunctionSpec(
        name=draw.style("join", "join_items", "format_list", "list_text", "enumerate_items", "display_all"), parameters={"items": kind}, returns="String",
        words=[f"Joins the items with the separator `{mark}`{others}{around}.", f"Formats all `items` as one text, separated by `{mark}`{others}{around}."],
        forms=[joined if last == mark else two, f"let mut result = {begin};\nfor (index, item) in items.iter().enumerate() {{\n{between}    result.push_str(&item.to_string());\n}}\n{end}result"],
        oracle=oracle, inputs=lambda: (draw.text().split() if kind in ("&[&str]", "&[String]") else draw.value(kind),))


@family(tier=2)
def find_pattern(draw: Draw) -> FunctionSpec:
    pattern, wanted = draw.choose("ab", "aa", "aba", "abab", "ba", "bab", "ana", "oo", "101", "--", None), draw.choose("count", "positions", "last", "gaps")
    overlapping, folded = draw.choose(True, False), draw.choose(True, False)
    name = f'"{pattern}"' if pattern else "pattern"
    said = f"`{pattern}`" if pattern else "`pattern`"
    lower = "let text = text.to_lowercase();\n" + ("" if pattern else "let pattern = pattern.to_lowercase();\n") if folded else ""
    needle = f"{'&' if folded and not pattern else ''}{name}"
    step = "1" if overlapping else str(len(pattern)) if pattern else "pattern.len()"
    returns, start, update = {"count": ("usize", "0", "result += 1;"), "positions": ("Vec<usize>", "Vec::new()", "result.push(index);"), "last": ("Option<usize>", "None", "result = Some(index);"), "gaps": ("usize", "0", "result += index - start;")}[wanted]
    search = f"{lower}let mut result = {start};\nlet mut start = 0;\nwhile let Some(offset) = text[start..].find({needle}) {{\n    let index = start + offset;\n    {update}\n    start = index + {step};\n}}\nresult"
    walk = f"{lower}let mut result = {start};\nlet mut start = 0;\nlet mut index = 0;\nwhile index < text.len() {{\n    if text[index..].starts_with({needle}) {{\n        {update}\n        index += {step};\n        start = index;\n    }} else {{\n        index += 1;\n    }}\n}}\nresult" if wanted == "gaps" else f"{lower}let mut result = {start};\nlet mut index = 0;\nwhile index < text.len() {{\n    if text[index..].starts_with({needle}) {{\n        {update}\n        index += {step};\n    }} else {{\n        index += 1;\n    }}\n}}\nresult"
    short = {"count": f"{lower}text.matches({needle}).count()", "positions": f"{lower}text.match_indices({needle}).map(|(index, _)| index).collect()", "last": f"{lower}text.match_indices({needle}).last().map(|(index, _)| index)"}.get(wanted)
    mode = "including overlapping ones" if overlapping else "not including overlapping ones"
    how = mode + (", ignoring case" if folded else "")
    words = {
        "count": [f"Counts the occurrences of {said} in `text`, {how}.", f"Returns the number of occurrences of {said} in `text`, {how}."], "positions": [f"Returns the byte positions of all occurrences of {said} in `text`, {how}."], "last": [f"Returns the byte position of the last occurrence of {said} in `text`, or `None` if there is none, searching from left to right and {how}."],
        "gaps": [f"Searches `text` repeatedly from left to right for {said}{', ignoring case,' if folded else ''} and returns the total number of characters that are skipped before each occurrence. After an occurrence, the search continues {'one character after its beginning' if overlapping else 'directly after its end'}. Characters after the last occurrence are not counted."],
    }[wanted]

    def oracle(text: str, given: str = ""):
        text, part = (text.lower(), (pattern or given).lower()) if folded else (text, pattern or given)
        found, start, passed = [], 0, 0
        while (index := text.find(part, start)) >= 0:
            passed, start = passed + index - start, index + (1 if overlapping else len(part))
            found.append(index)
        return {"count": len(found), "positions": found, "last": found[-1] if found else None, "gaps": passed}[wanted]

    def argument() -> str:
        pieces = (pattern or "ab", (pattern or "ab")[1:], (pattern or "ab").upper(), "a", "b", "o-", "")
        return "".join(draw.arguments.choice(pieces) for _ in range(draw.arguments.randint(0, 6)))

    return FunctionSpec(
        name=draw.style(*{"count": ("count_occurrences", "count_pattern", "occurrences"), "positions": ("find_all", "match_positions"), "last": ("last_occurrence", "find_last"), "gaps": ("skipped", "chars_between")}[wanted]),
        parameters={"text": "&str"} | ({} if pattern else {"pattern": "&str"}), returns=returns, words=[each if pattern else each + " The pattern is never empty." for each in words], forms=[search, walk, *([short] if short and not overlapping else [])], oracle=oracle,
        inputs=lambda: (argument(),) + (() if pattern else (draw.arguments.choice(("a", "ab", "aa", "b", "Ba", "aba")),)))
