"""Functions on texts, their characters and their words."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from trainers.data.synthetic.family import Draw, Function, family
from trainers.data.synthetic.pieces import MappingPiece, Predicate, char_predicate

Piece = TypeVar("Piece", Predicate, MappingPiece)


def _mixed(draw: Draw, signs: str = "aeiostnrAEKZ01 -!") -> str:
    """A text, or characters in a row."""
    pick = draw.arguments
    return "".join(pick.choice(signs) for _ in range(pick.randint(0, 12))) if pick.random() < 0.6 else draw.text()


def _repetitive(draw: Draw) -> str:
    pick = draw.arguments
    return "".join(pick.choice("aabcxZ01 -") * pick.choice((1, 1, 2, 3, 4)) for _ in range(pick.randint(0, 5)))


def _recorded(draw: Draw, pieces: Sequence[Piece]) -> Piece:
    """One of the pieces; what tells it from others is part of the meaning."""
    chosen = draw.meaning.choice(pieces)
    draw.parameters.append(chosen.rust)
    return chosen


def _negated(condition: str) -> str:
    """The opposite of a condition in Rust."""
    if condition.startswith("!"):
        return condition[1:]
    if " != " in condition:
        return condition.replace(" != ", " == ")
    return f"!({condition})" if re.search(" [<>=]+ ", condition) else f"!{condition}"


def _word_condition(draw: Draw) -> Predicate:
    k, c = draw.meaning.randint(2, 6), draw.meaning.choice("abegilnprst")
    return _recorded(draw, (
        Predicate(f"{{x}}.len() > {k}", lambda w: len(w) > k, f"longer_than_{k}", f"words of more than {k} characters", f"is longer than {k}"),
        Predicate(f"{{x}}.len() <= {k}", lambda w: len(w) <= k, f"up_to_{k}", f"words of at most {k} characters", f"has at most {k} characters"),
        Predicate(f"{{x}}.starts_with('{c}')", lambda w: w.startswith(c), f"starting_with_{c}", f"words that start with `{c}`", f"starts with `{c}`"),
        Predicate(f"{{x}}.ends_with('{c}')", lambda w: w.endswith(c), f"ending_in_{c}", f"words ending in `{c}`", f"ends in `{c}`"),
        Predicate(f"{{x}}.contains('{c}')", lambda w: c in w, f"with_{c}", f"words with the letter `{c}`", f"contains `{c}`"),
        Predicate(f"!{{x}}.contains('{c}')", lambda w: c not in w, f"without_{c}", f"words without any `{c}`", f"does not contain `{c}`"),
        Predicate("{x}.len() % 2 == 0", lambda w: len(w) % 2 == 0, "of_even_length", "words of even length", "has an even length"),
        Predicate("{x}.starts_with(char::is_uppercase)", lambda w: w[:1].isupper(), "capitalised", "capitalised words", "begins with a capital"),
        Predicate("{x}.contains(char::is_uppercase)", lambda w: any(map(str.isupper, w)), "with_capitals", "words with a capital in them", "has a capital letter"),
        Predicate("{x}.chars().all(char::is_alphabetic)", str.isalpha, "purely_letters", "words made of letters only", "consists of letters")))  # fmt: skip


def _word_mapping(draw: Draw) -> MappingPiece:
    pick = draw.meaning
    k, c, d, ending = pick.randint(1, 4), pick.choice("aeirstl"), pick.choice("oxzku"), pick.choice(("ay", "ish", "s", "er", "o", "ing"))
    return _recorded(draw, (MappingPiece("{x}.chars().rev().collect::<String>()", lambda w: w[::-1], "reversed", "reversed"),
        MappingPiece("{x}.to_uppercase()", str.upper, "upper", "in capitals"), MappingPiece("{x}.to_lowercase()", str.lower, "lower", "in lowercase"),
        MappingPiece(f"{{x}}.repeat({k + 1})", lambda w: w * (k + 1), f"repeated_{k + 1}", f"repeated {k + 1} times"),
        MappingPiece(f"{{x}}.chars().take({k}).collect::<String>()", lambda w: w[:k], f"cut_to_{k}", f"cut to the first {k} characters"),
        MappingPiece(f"{{x}}.chars().skip({k}).collect::<String>()", lambda w: w[k:], f"without_first_{k}", f"without the first {k} characters"),
        MappingPiece(f"{{x}}.replace('{c}', \"{d}\")", lambda w: w.replace(c, d), f"{c}_to_{d}", f"with every `{c}` replaced by `{d}`"),
        MappingPiece(f'format!("{{{{}}}}{ending}", {{x}})', lambda w: w + ending, f"ending_{ending}", f"followed by `{ending}`"),
        MappingPiece(f'format!("{d}{{{{}}}}", {{x}})', lambda w: d + w, f"beginning_{d}", f"preceded by `{d}`")))  # fmt: skip


def _char_mapping(draw: Draw) -> MappingPiece:
    pick = draw.meaning
    holds, sign, c, d = char_predicate(pick), pick.choice("*#_.?x"), pick.choice("aeirst"), pick.choice("ouxyz")
    return _recorded(draw, (MappingPiece("{x}.to_ascii_uppercase()", str.upper, "upper", "every letter is a capital"),
        MappingPiece(f"if {{x}} == '{c}' {{{{ '{d}' }}}} else {{{{ {{x}} }}}}", lambda x: d if x == c else x, f"{c}_to_{d}", f"every `{c}` is replaced by `{d}`"),
        MappingPiece(f"match {{x}} {{{{\n    '{c}' => '{d}',\n    '{d}' => '{c}',\n    other => other,\n}}}}", lambda x: {c: d, d: c}.get(x, x), f"swap_{c}{d}", f"`{c}` and `{d}` change places"),
        MappingPiece("if {x}.is_ascii_uppercase() {{\n    {x}.to_ascii_lowercase()\n}} else {{\n    {x}.to_ascii_uppercase()\n}}", str.swapcase, "swapped", "capitals and small letters are exchanged"),
        *[MappingPiece(f"if {holds.rust} {{{{ '{sign}' }}}} else {{{{ {{x}} }}}}", lambda x: sign if holds(x) else x, f"mask_{holds.slug}" + ("_x" if sign == "x" else ""), f"each character that {holds.clause} is replaced by `{sign}`")] * 4,
    ))  # fmt: skip


def _indented(code: str, depth: int) -> str:
    """The code with its later lines as deep as where it is put."""
    return code.replace("\n", "\n" + " " * depth)


@family(tier=0)
def text_figure(draw: Draw) -> Function:
    k, c = draw.meaning.randint(1, 9), draw.meaning.choice("abegilnoprst")
    figures = (
        ("trimmed_length", "usize", ["Returns the length of `text` without the whitespace around it."], ["text.trim().len()", "let trimmed = text.trim();\ntrimmed.len()"], lambda t: len(t.strip())),
        (f"is_longer_than_{k}", "bool", [f"Tells whether `text` has more than {k} characters."], [f"text.chars().count() > {k}", f"text.chars().nth({k}).is_some()"], lambda t: len(t) > k),
        (f"first_{k}", "String", [f"Returns the first {k} characters, or all if there are fewer.", f"Cuts `text` after {k} characters."], [f"text.chars().take({k}).collect()"], lambda t: t[:k]),
        (f"last_{k}", "String", [f"Returns the last {k} characters of `text`.", f"The end of the text: at most {k} characters."], [f"let count = text.chars().count();\ntext.chars().skip(count.saturating_sub({k})).collect()", f"let end: String = text.chars().rev().take({k}).collect();\nend.chars().rev().collect()"], lambda t: t[-k:]),
        (f"char_at_{k}", "Option<char>", [f"Returns the character at position {k}, counted from 0, or `None`."], [f"text.chars().nth({k})", f"text.chars().skip({k}).next()"], lambda t: t[k] if k < len(t) else None),
        (f"without_{c}", "String", [f"Removes every `{c}` from `text`.", f"Returns the text without the letter `{c}`."], [f"text.replace('{c}', \"\")", f"text.chars().filter(|&x| x != '{c}').collect()"], lambda t: t.replace(c, "")),
        (f"before_{c}", "&str", [f"Returns the part before the first `{c}`, or all of `text` if there is none."], [f"text.split('{c}').next().unwrap_or(text)", f"match text.find('{c}') {{\n    Some(end) => &text[..end],\n    None => text,\n}}"], lambda t: t.split(c)[0]),
        (f"after_{c}", "Option<&str>", [f"Returns what follows the first `{c}` in `text`, or `None` without one."], [f"text.split_once('{c}').map(|(_, rest)| rest)", f"let start = text.find('{c}')? + 1;\nSome(&text[start..])"], lambda t: t.partition(c)[2] if c in t else None),
        (f"occurrences_of_{c}", "usize", [f"Counts how often `{c}` occurs in `text`."], [f"text.matches('{c}').count()", f"text.chars().filter(|&x| x == '{c}').count()", f"text.split('{c}').count() - 1"], lambda t: t.count(c)),
        ("mirrored", "String", ["Returns `text` followed by its reverse."], ["text.chars().chain(text.chars().rev()).collect()", "let reverse: String = text.chars().rev().collect();\nformat!(\"{}{}\", text, reverse)"], lambda t: t + t[::-1]),
        (f"is_{c}_name", "bool", [f"Tells whether `text` starts with `{c}` in either case."], [f"text.to_lowercase().starts_with('{c}')", f"text.starts_with(['{c}', '{c.upper()}'])", f"matches!(text.chars().next(), Some('{c}' | '{c.upper()}'))"], lambda t: t.lower().startswith(c)),
    )  # fmt: skip
    name, returns, words, forms, oracle = draw.meaning.choice(figures)
    draw.parameters.append(name)
    return Function(name=draw.style(name, f"text_{name}", f"{name}_of"), parameters={"text": "&str"}, returns=returns, words=words, forms=forms, oracle=oracle,
        inputs=lambda: (draw.arguments.choice(("", " ")) + _mixed(draw, "abegilnoprstABPX 01"),))  # fmt: skip


@family(tier=1)
def count_chars(draw: Draw) -> Function:
    holds, kind = draw.char_predicate(), draw.choose("usize", "u32", "u64")
    cast = "" if kind == "usize" else f" as {kind}"
    return Function(name=draw.style(f"count_{holds.slug}", f"number_of_{holds.slug}", "count_matching", "count_chars", "tally"),
        parameters={"text": draw.style("&str", "&str", "&str", "String")}, returns=kind, words=[f"Counts the {holds.plural} in `text`.",
            f"Goes through `text` and counts each character that {holds.clause}.", f"The number of {holds.plural} that a text has."], forms=[
            f"text.chars().filter(|&c| {holds.on('c')}).count(){cast}",
            f"let mut count = 0;\nfor c in text.chars() {{\n    if {holds.on('c')} {{\n        count += 1;\n    }}\n}}\ncount",
            f"text\n    .chars()\n    .map(|c| if {holds.on('c')} {{ 1 }} else {{ 0 }})\n    .sum()",
            f"text.chars().fold(0, |count, c| if {holds.on('c')} {{ count + 1 }} else {{ count }})"], oracle=lambda text: sum(map(bool, map(holds, text))),
        inputs=lambda: (_mixed(draw),))  # fmt: skip


@family(tier=1)
def keep_chars(draw: Draw) -> Function:
    holds, kept = draw.char_predicate(), draw.choose(True, False)
    condition = holds.on("c") if kept else _negated(holds.on("c"))
    case = draw.choose("", ".to_ascii_uppercase()", ".to_ascii_lowercase()")
    said = {"": "", ".to_ascii_uppercase()": ", in capitals", ".to_ascii_lowercase()": ", in lowercase"}[case]
    step = f".map(|c| c{case})" if case else ""
    verb = "keep" if kept else "drop"

    def oracle(text: str) -> str:
        left = "".join(c for c in text if bool(holds(c)) == kept)
        return {"": left, ".to_ascii_uppercase()": left.upper(), ".to_ascii_lowercase()": left.lower()}[case]

    return Function(name=draw.style(f"{verb}_{holds.slug}", f"{'only' if kept else 'without'}_{holds.slug}", "clean", "filter_text", "strip_text"),
        parameters={"text": "&str"}, returns="String", words=[
            f"{'Keeps only' if kept else 'Removes'} the {holds.plural} of `text` and returns {'them' if kept else 'the rest'}{said}.",
            f"Returns the characters of `text`{said}, {'but only' if kept else 'except'} each that {holds.clause}."], forms=[
            f"text.chars().filter(|&c| {condition}){step}.collect()",
            f"let mut result = String::new();\nfor c in text.chars() {{\n    if {condition} {{\n        result.push(c{case});\n    }}\n}}\nresult",
            f"let mut result = String::with_capacity(text.len());\nfor c in text.chars() {{\n    if {_negated(condition) if kept else holds.on('c')} {{\n        continue;\n    }}\n    result.push(c{case});\n}}\nresult",
            *([f"let mut result = text.to_string();\nresult.retain(|c| {condition});\nresult"] if not case else [])], oracle=oracle,
        inputs=lambda: (_mixed(draw),))  # fmt: skip


@family(tier=1)
def map_chars(draw: Draw) -> Function:
    mapping = _char_mapping(draw)
    in_place = draw.style(False, False, True)
    code = mapping.on("c")
    collect = f"text.chars().map(|c| {code}).collect()" if "\n" not in code else f"text\n    .chars()\n    .map(|c| {_indented(code, 4)})\n    .collect()"
    collect = collect if len(collect) < 95 or "\n" in code else f"text\n    .chars()\n    .map(|c| {code})\n    .collect()"
    loop = f"let mut result = String::new();\nfor c in text.chars() {{\n    let changed = {_indented(code, 4)};\n    result.push(changed);\n}}\n"

    def oracle(text: list[str] | str) -> str:
        if not in_place:
            return "".join(map(mapping, text))
        text[0] = "".join(map(mapping, text[0]))

    return Function(name=draw.style("transform", "rewrite", "convert", "replace_chars", mapping.slug if mapping.slug[1] != "_" else "substitute"),
        parameters={"text": "&mut String" if in_place else "&str"}, returns=None if in_place else "String",
        words=[f"Changes `text` in place: {mapping.participle}.", f"Rewrites the characters of `text` so that {mapping.participle}."] if in_place else [
            f"Returns a copy of `text` in which {mapping.participle}.", f"Rewrites a text: {mapping.participle}.",
            f"Goes through `text` character by character; {mapping.participle}."],
        forms=[f"*text = {collect};", f"{loop}*text = result;"] if in_place else [collect, f"{loop}result"], oracle=oracle,
        inputs=lambda: ([_mixed(draw)],) if in_place else (_mixed(draw),))  # fmt: skip


@family(tier=2)
def caesar_shift(draw: Draw) -> Function:
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

    places = f"{shift} place{'s' * (shift > 1)} {'back' if back else 'forward'}"
    arms = {"lower": ["lower"], "upper": ["upper"], "both": ["lower", "upper"]}[which]
    ranges = {"lower": ("'a'..='z'", "b'a'"), "upper": ("'A'..='Z'", "b'A'")}
    matched = "".join(f"        {ranges[a][0]} => (({'c'} as u8 - {ranges[a][1]} + {amount}) % 26 + {ranges[a][1]}) as char,\n" for a in arms)
    return Function(name=draw.style("caesar", "shift_letters", f"rotate_{shift}", "encode" if not back else "decode", "cipher"), parameters={"text": "&str"},
        returns="String", words=[f"Moves the {kind} of `text` {places} in the alphabet, around its end; other characters stay.",
            f"A Caesar cipher: each of the {kind} goes {places} and wraps around, everything else is kept.",
            f"Replaces each of the {kind} in `text` by the one {places} in the alphabet."], forms=[
            f"let mut result = String::new();\nfor c in text.chars() {{\n    if !c.{test}() {{\n        result.push(c);\n        continue;\n    }}\n{base}result.push({shifted});\n}}\nresult",
            f"text\n    .chars()\n    .map(|c| match c {{\n{matched}        _ => c,\n    }})\n    .collect()",
            f"let rotate = |c: char, first: u8| ((c as u8 - first + {amount}) % 26 + first) as char;\nlet mut result = String::with_capacity(text.len());\nfor c in text.chars() {{\n    result.push(match c {{\n"
            + "".join(f"        {ranges[a][0]} => rotate(c, {ranges[a][1]}),\n" for a in arms) + "        other => other,\n    });\n}\nresult"], oracle=oracle,
        inputs=lambda: (_mixed(draw, "abmnyzABMNYZ 1!"),))  # fmt: skip


@family(tier=2)
def transform_words(draw: Draw) -> Function:
    mapping, condition = _word_mapping(draw), _word_condition(draw) if draw.choose(True, True, False) else None
    order, mark = draw.choose("same", "same", "reverse"), draw.choose(" ", " ", "-", "_", ", ", "/")
    rev = ".rev()" if order == "reverse" else ""
    one = mapping.on("word")
    what = one if condition is None else f"if {condition.on('word')} {{\n            {one}\n        }} else {{\n            word.to_string()\n        }}"
    closure = f"|word| {one}" if condition is None else f"|word| {{\n        {what}\n    }}"
    push = f"result.push_str(&{one});" if condition is None else f"if {condition.on('word')} {{\n        result.push_str(&{one});\n    }} else {{\n        result.push_str(word);\n    }}"
    which = "every word" if condition is None else f"each word that {condition.clause}"
    tail = f"joined by `{mark}`" if mark != " " else "separated by single spaces"
    turned = ", in reverse order" if rev else ""
    others = "" if condition is None else " Other words stay as they are."

    def oracle(text: str) -> str:
        done = [mapping(w) if condition is None or condition(w) else w for w in text.split()]
        return mark.join(done[::-1] if rev else done)

    return Function(
        name=draw.style("transform_words", "rewrite_words", "change_words", "words_" + (mapping.slug if "!" not in mapping.slug else "changed"), "edit_sentence"),
        parameters={"text": "&str"}, returns="String", words=[
            f"Returns the words of `text`{turned}, {tail}, with {which} {mapping.participle if not mapping.participle.startswith('with ') else 'written ' + mapping.participle}.{others}",
            f"Splits `text` at whitespace and gives back its words{turned}, {tail}; {which} comes {mapping.participle}.{others}"], forms=[
            f"text.split_whitespace()\n{f'    {rev}{chr(10)}' if rev else ''}    .map({closure})\n    .collect::<Vec<_>>()\n    .join(\"{mark}\")",
            f"let mut result = String::new();\nfor (index, word) in text.split_whitespace(){rev}.enumerate() {{\n    if index > 0 {{\n        result.push_str(\"{mark}\");\n    }}\n    {push}\n}}\nresult",
            f"let mut words = Vec::new();\nfor word in text.split_whitespace() {{\n    words.push({what.replace(chr(10) + '    ', chr(10))});\n}}\n{'words.reverse();' + chr(10) if rev else ''}words.join(\"{mark}\")",
        ], oracle=oracle, inputs=lambda: (draw.text(),))  # fmt: skip


@family(tier=2)
def palindrome_figure(draw: Draw) -> Function:
    figure = draw.choose("test", "pairs", "words", "missing")
    least = draw.integer(0, 4)
    kept, keep, said = {"all": ("", lambda c: True, ""), "letters": (".filter(|c| c.is_alphabetic())", str.isalpha, ", looking at letters only"),
        "dense": (".filter(|c| !c.is_whitespace())", lambda c: c != " ", ", leaving out whitespace"),
        "signs": (".filter(|c| c.is_alphanumeric())", str.isalnum, ", where only letters and digits count")}[draw.choose("all", "letters", "dense", "signs")]  # fmt: skip
    case = draw.choose(True, False)
    lower = "" if case else ".map(|c| c.to_ascii_lowercase())"
    said += "" if case else draw.style(", whatever their case", " and ignoring case")
    fold = (lambda t: t) if case else str.lower
    clean = lambda t: fold("".join(filter(keep, t)))  # noqa: E731
    parts = [".chars()", *([kept] if kept else []), *([lower] if lower else [])]
    gather = lambda source, depth: ("" if len(parts) < 3 else "\n" + " " * depth).join([source, *parts, ".collect()"])  # noqa: E731
    chars = f"let chars: Vec<char> = {gather('text', 4)};\n"
    long = f", and has at least {least} characters" if least else ""
    returns, words, forms, oracle = {
        "test": ("bool", [f"Tells whether `text` reads the same backwards{said}{long}.", f"Whether a text is a palindrome{said}{long}."], [
            f"{chars}{f'chars.len() >= {least} && ' if least else ''}chars.iter().eq(chars.iter().rev())",
            f"{chars}{f'if chars.len() < {least} {{{chr(10)}    return false;{chr(10)}}}{chr(10)}' if least else ''}let count = chars.len();\n(0..count / 2).all(|index| chars[index] == chars[count - 1 - index])",
        ], lambda t: clean(t) == clean(t)[::-1] and len(clean(t)) >= least),
        "pairs": ("usize", [f"Counts in how many places `text` differs from a palindrome{said}: pairs of characters at equal distance from both ends that are not the same{f', from pair {least} on' if least else ''}."], [
            f"{chars}let count = chars.len();\n({least}..count / 2).filter(|&i| chars[i] != chars[count - 1 - i]).count()",
            f"{chars}let half = chars.len() / 2;\nchars.iter().zip(chars.iter().rev()).take(half){f'.skip({least})' if least else ''}.filter(|(a, b)| a != b).count()",
        ], lambda t: sum(a != b for a, b in list(zip(clean(t), clean(t)[::-1], strict=True))[: len(clean(t)) // 2][least:])),
        "words": ("usize", [f"Counts the words of `text` that read the same in both directions{said}, {f'and have more than {least} characters' if least else 'and are not empty'}."], [
            f"let mut count = 0;\nfor word in text.split_whitespace() {{\n    let chars: Vec<char> = {gather('word', 8)};\n    if chars.len() > {least} && chars.iter().eq(chars.iter().rev()) {{\n        count += 1;\n    }}\n}}\ncount",
        ], lambda t: sum(clean(w) == clean(w)[::-1] and len(clean(w)) > least for w in t.split())),
        "missing": ("String", [f"Completes `text` to a palindrome by putting its reverse behind it{said}; the last character is not doubled."], [
            f"{chars}chars.iter().chain(chars.iter().rev().skip(1)).collect()",
            f"{chars}let mut result: String = chars.iter().collect();\nfor c in chars.into_iter().rev().skip(1) {{\n    result.push(c);\n}}\nresult",
        ], lambda t: clean(t) + clean(t)[::-1][1:])}[figure]  # fmt: skip

    def argument() -> str:
        pick = draw.arguments
        half = draw.text(1) + pick.choice(("", " ", "!"))
        return pick.choice((half, half + half[::-1], half.lower() + half[::-1][1:], draw.text(2), "noon Level kayak a", "civic radar xy is"))

    return Function(
        name=draw.style(*{"test": ("is_palindrome", "reads_backwards", "is_symmetric"), "pairs": ("mismatches", "palindrome_distance"), "words": ("count_palindromes", "palindromic_words"), "missing": ("complete_palindrome", "to_palindrome")}[figure]),
        parameters={"text": "&str"}, returns=returns, words=words, forms=forms, oracle=oracle, inputs=lambda: (argument(),))  # fmt: skip


@family(tier=1)
def acronym(draw: Draw) -> Function:
    condition, mark = _word_condition(draw) if draw.choose(True, False) else None, draw.choose("", ".", "", "-")
    case = draw.choose("upper", "lower", "given")
    end = draw.choose("first", "last")
    change = {"upper": ".to_ascii_uppercase()", "lower": ".to_ascii_lowercase()", "given": ""}[case]
    take = {"first": "chars().next()", "last": "chars().last()"}[end]
    keep = f"    .filter(|word| {condition.on('word')})\n" if condition else ""
    mapped = f"    .map(|c| c{change})\n" if change else ""
    which = f"of the {condition.plural} in `text`" if condition else "of the words of `text`"
    follow = f", each followed by `{mark}`" if mark else ""
    said = {"upper": " as capitals", "lower": " in lowercase", "given": ""}[case]
    push = f"result.push(c{change});" + (f"\n        result.push('{mark}');" if mark else "")

    def oracle(text: str) -> str:
        letters = [w[0 if end == "first" else -1] for w in text.split() if condition is None or condition(w)]
        return "".join({"upper": c.upper(), "lower": c.lower(), "given": c}[case] + mark for c in letters)

    body = f"if let Some(c) = word.{take} {{\n        {push}\n    }}"
    return Function(name=draw.style("acronym", "initials" if end == "first" else "final_letters", "abbreviate", "short_form"),
        parameters={"text": draw.style("&str", "&str", "String")}, returns="String",
        words=[f"Returns the {end} characters {which}{said}{follow}.", f"Abbreviates: takes the {end} character {which.replace('of the', 'of all', 1)}{said}{follow}."],
        forms=[
            f"text.split_whitespace()\n{keep}    .filter_map(|word| word.{take})\n{mapped}    .collect()" if not mark else f"text.split_whitespace()\n{keep}    .filter_map(|word| word.{take})\n    .map(|c| format!(\"{{}}{mark}\", c{change}))\n    .collect()",
            "let mut result = String::new();\nfor word in text.split_whitespace() {\n" + (f"    if {_negated(condition.on('word'))} {{\n        continue;\n    }}\n" if condition else "") + f"    {body}\n}}\nresult",
        ], oracle=oracle, inputs=lambda: (draw.text(),))  # fmt: skip


@family(tier=2)
def char_runs(draw: Draw) -> Function:
    layout, least = draw.choose("count first", "char first", "count first", "char first", "pairs", "longest", "groups"), draw.integer(1, 4)
    mark = draw.choose("", "*", "x", ":", "=", "/", "~", "^") if layout.endswith("first") else ""
    item = {"count first": (f'format!("{{}}{mark}{{}}", count, c)', lambda c, n: f"{n}{mark}{c}"), "char first": (f'format!("{{}}{mark}{{}}", c, count)', lambda c, n: f"{c}{mark}{n}")}.get(layout)
    returns = {"pairs": "Vec<(char, usize)>", "longest": "usize", "groups": "Vec<String>"}.get(layout, "String")
    example = item[1]("a", 4) if item else ""
    words = {
        "pairs": ["Returns the runs of equal characters in `text` with their lengths", "Lists each character with how often it stands there in a row"], "longest": ["Returns the length of the longest run of one character"],
        "groups": ["Cuts `text` into its runs of equal characters", "Splits a text wherever the next character is another one"],
    }.get(layout, [f"Encodes the runs of equal characters in `text`: four letters a in a row become `{example}`", f"Run-length encoding; a run such as `aaaa` is written `{example}`"])  # fmt: skip
    tail = f"; runs shorter than {least} {'count as 0' if layout == 'longest' else 'are left out' if not item else 'stay as they are'}." if least > 1 else "."
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

    return Function(
        name=draw.style(*{"pairs": ("runs", "run_lengths"), "longest": ("longest_run", "longest_streak"), "groups": ("group_chars", "split_runs")}.get(layout, ("run_length_encode", "compress", "encode_runs", "shorten"))),
        parameters={"text": "&str"}, returns=returns, words=[each + tail for each in words], forms=[
            f"let mut result = {start};\nlet mut rest = text.chars().peekable();\nwhile let Some(c) = rest.next() {{\n    let mut count = 1;\n    while rest.next_if_eq(&c).is_some() {{\n        count += 1;\n    }}\n    {push}\n}}\nresult",
            f"let chars: Vec<char> = text.chars().collect();\nlet mut result = {start};\nlet mut index = 0;\nwhile index < chars.len() {{\n    let c = chars[index];\n    let count = chars[index..].iter().take_while(|&&other| other == c).count();\n    {push}\n    index += count;\n}}\nresult",
        ], oracle=oracle, inputs=lambda: (_repetitive(draw),))  # fmt: skip


@family(tier=1)
def extreme_word(draw: Draw) -> Function:
    longest, last, returns = draw.choose(True, False), draw.choose(True, False), draw.choose("Option<&str>", "&str", "usize")
    condition = _word_condition(draw) if draw.choose(True, True, False) else None
    better = (">" if longest else "<") + ("=" if last else "")
    kept = f"    .filter(|word| {condition.on('word')})\n" if condition else ""
    # `max_by_key` gives the last of several, `min_by_key` the first.
    pick = f"    {'.rev()' + chr(10) + '    ' if longest != last else ''}.{'max' if longest else 'min'}_by_key(|word| word.len())"
    finish, none = {"Option<&str>": ("", "or `None` without any"), "&str": (".unwrap_or(\"\")", "or an empty text"), "usize": (".map_or(0, str::len)", "or 0 without any")}[returns]
    which, several = f"{'longest' if longest else 'shortest'} of the {condition.plural if condition else 'words'} in `text`", f"the {'last' if last else 'first'} if several are equally long"
    skip = f"    if {_negated(condition.on('word'))} {{\n        continue;\n    }}\n" if condition else ""

    def oracle(text: str):
        words = [w for w in text.split() if condition is None or condition(w)][:: -1 if last else 1]
        best = (max if longest else min)(words, key=len, default=None)
        return best if returns == "Option<&str>" else best or "" if returns == "&str" else len(best or "")

    return Function(
        name=draw.style(*(("longest_word", "longest", "longest_of") if longest else ("shortest_word", "shortest", "briefest_word"))) + ("_length" if returns == "usize" else ""),
        parameters={"text": "&str"}, returns=returns,
        words=[f"Returns the length of the {which}, {none}."] if returns == "usize" else [f"Returns the {which}, {several}, {none}.", f"Finds the {which} ({several}), {none}."],
        forms=[f"text.split_whitespace()\n{kept}{pick}" + (f"\n    {finish}" if finish else ""),
            f"let mut best: Option<&str> = None;\nfor word in text.split_whitespace() {{\n{skip}    if best.is_none_or(|other| word.len() {better} other.len()) {{\n        best = Some(word);\n    }}\n}}\nbest{finish}".replace("best.is_none_or(|other| word.len()", "best.map_or(true, |other| word.len()"),
            f"let mut best: Option<&str> = None;\nfor word in text.split_whitespace() {{\n{skip}    match best {{\n        Some(other) if !(word.len() {better} other.len()) => {{}}\n        _ => best = Some(word),\n    }}\n}}\nbest{finish}",
        ], oracle=oracle, inputs=lambda: (draw.text(draw.arguments.randint(0, 6)),))  # fmt: skip


@family(tier=1)
def words_with(draw: Draw) -> Function:
    condition, source = _word_condition(draw), draw.choose("text", "slice", "vector")
    wanted = draw.choose("list", "count", "any", "all", "first", "joined", "positions")
    kind = {"text": "&str", "slice": "&[&str]", "vector": "&[String]"}[source]
    name = {"text": "text", "slice": "words", "vector": "names"}[source]
    each = {"text": "text.split_whitespace()", "slice": "words.iter()", "vector": "names.iter()"}[source]
    test, plural = condition.on("word"), condition.plural
    owned = ".map(|word| word.to_string())" if source == "text" else ".map(|word| word.to_string())" if source == "slice" else ".cloned()"
    loop = lambda start, step, end: f"let mut result = {start};\nfor word in {each.removesuffix('.iter()') if source != 'text' else each} {{\n    if {test} {{\n        {step}\n    }}\n}}\n{end}"  # noqa: E731
    returns, title, words, forms, oracle = {
        "list": ("Vec<String>", "words", [f"Returns the {plural} in `{name}`, in their order.", f"Picks from `{name}` each word that {condition.clause}."], [f"{each}.filter(|word| {test}){owned}.collect()", loop("Vec::new()", "result.push(word.to_string());", "result")], list),
        "count": ("usize", "count", [f"Counts the {plural} in `{name}`.", f"How many words of `{name}` there are such that each {condition.clause}."], [f"{each}.filter(|word| {test}).count()", loop("0", "result += 1;", "result")], len),
        "any": ("bool", "has_words", [f"Tells whether `{name}` has {plural}.", f"Whether some word in `{name}` {condition.clause}."], [f"{each}.any(|word| {test})", loop("false", "result = true;", "result")], lambda found: bool(found)),
        "all": ("bool", "all_words", [f"Tells whether `{name}` has nothing but {plural}."], [f"{each}.all(|word| {test})", f"!{each}.any(|word| {_negated(test)})"], None),
        "first": ("Option<String>", "first_word", [f"Returns the first word in `{name}` that {condition.clause}, if there is one."], [f"{each}.find(|word| {test}){owned}", f"for word in {each} {{\n    if {test} {{\n        return Some(word.to_string());\n    }}\n}}\nNone"], lambda found: found[0] if found else None),
        "joined": ("String", "join_words", [f"Joins the {plural} in `{name}` by commas."], [loop("String::new()", "if !result.is_empty() {\n            result.push(',');\n        }\n        result.push_str(word);", "result"), f"let chosen: Vec<String> = {each}.filter(|word| {test}){owned}.collect();\nchosen.join(\",\")"], ",".join),
        "positions": ("Vec<usize>", "word_positions", [f"Returns the positions of the {plural} in `{name}`, counted from 0."], [f"{each}\n    .enumerate()\n    .filter(|(_, word)| {test})\n    .map(|(index, _)| index)\n    .collect()", f"let mut result = Vec::new();\nfor (index, word) in {each}.enumerate() {{\n    if {test} {{\n        result.push(index);\n    }}\n}}\nresult"], None),
    }[wanted]  # fmt: skip

    def answer(given):
        found = [bool(condition(w)) for w in (given.split() if source == "text" else given)]
        if wanted in ("all", "positions"):
            return all(found) if wanted == "all" else [i for i, each in enumerate(found) if each]
        return oracle([w for w, each in zip(given.split() if source == "text" else given, found, strict=True) if each])

    return Function(
        name=draw.style(title, f"{title}_{condition.slug}", f"find_{condition.slug}", title), parameters={name: kind}, returns=returns, words=words, forms=forms, oracle=answer,
        inputs=lambda: (draw.text() if source == "text" else draw.text().split(),))  # fmt: skip


@family(tier=1)
def join_items(draw: Draw) -> Function:
    kind, mark = draw.choose("&[i32]", "&[u64]", "&[&str]", "&[String]", "&[char]"), draw.choose(", ", "-", " | ", "; ", "/", " ", ":", " -> ", "+")
    last = draw.choose(mark, " and ", " or ", mark)
    opening, closing = draw.choose(("", ""), ("[", "]"), ("(", ")"), ("<", ">"), ("", "."), ("\\\"", "\\\""))
    shown = "`" + (opening + closing).replace("\\", "") + "`"
    around = f", all between {shown[:2]}` and `{shown[-2:]}" if opening else f" and ends it with `{closing}`" if closing else ""
    others = f", but the last two by `{last}`" if last != mark else ""
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

    return Function(
        name=draw.style("join", "join_items", "format_list", "list_text", "enumerate_items", "display_all"), parameters={"items": kind}, returns="String",
        words=[f"Joins the items by `{mark}`{others}{around}.", f"Writes all `items` as one text, separated by `{mark}`{others}{around}."],
        forms=[joined if last == mark else two, f"let mut result = {begin};\nfor (index, item) in items.iter().enumerate() {{\n{between}    result.push_str(&item.to_string());\n}}\n{end}result"],
        oracle=oracle, inputs=lambda: (draw.text().split() if kind in ("&[&str]", "&[String]") else draw.value(kind),))  # fmt: skip


@family(tier=1)
def compare_texts(draw: Draw) -> Function:
    wanted = draw.choose("prefix length", "prefix", "difference", "distance", "suffix length", "equal places", "rest")
    folded, skip = draw.choose(True, False), draw.integer(0, 3)
    test = "x.eq_ignore_ascii_case(&y)" if folded else "x == y"
    pairs = f"a.chars().zip(b.chars()){f'.skip({skip})' if skip else ''}"
    later = f" The first {f'{skip} characters are' if skip > 1 else 'character is'} not looked at." if skip else ""
    case = draw.style(", ignoring case", ", whatever the case of letters") if folded else ""
    loop = lambda start, same, other, end: f"let mut result = {start};\nfor (x, y) in {pairs} {{\n    if {test} {{\n        {same}\n    }} else {{\n        {other}\n    }}\n}}\n{end}"  # noqa: E731
    unlike = f"!{test}" if folded else "x != y"
    returns, words, forms = {
        "prefix length": ("usize", [f"Returns how many characters `a` and `b` have in common at their beginning{case}.", f"The length of the common prefix of two texts{case}."], [f"{pairs}.take_while(|(x, y)| {test}).count()", loop("0", "result += 1;", "break;", "result")]),
        "prefix": ("String", [f"Returns the longest common prefix of `a` and `b`{case}, as `a` has it."], [f"{pairs}\n    .take_while(|(x, y)| {test})\n    .map(|(x, _)| x)\n    .collect()", loop("String::new()", "result.push(x);", "break;", "result")]),
        "difference": ("Option<usize>", [f"Returns the first position in which `a` and `b` have different characters{case}; `None` if one continues the other.", f"Where the two texts first differ{case}, if they do within the shorter one."], [f"{pairs}.position(|(x, y)| {unlike})", f"for (index, (x, y)) in {pairs}.enumerate() {{\n    if {unlike} {{\n        return Some(index);\n    }}\n}}\nNone"]),
        "distance": ("usize", [f"Counts the positions in which the characters of `a` and `b` differ{case}; what is longer does not count.", f"Hamming distance of the common length{case}."], [f"{pairs}.filter(|(x, y)| {unlike}).count()", f"let mut result = 0;\nfor (x, y) in {pairs} {{\n    if {unlike} {{\n        result += 1;\n    }}\n}}\nresult"]),
        "suffix length": ("usize", [f"Returns how many characters `a` and `b` have in common at their end{case}."], [f"{pairs.replace('.chars()', '.chars().rev()')}.take_while(|(x, y)| {test}).count()", loop("0", "result += 1;", "break;", "result").replace(".chars()", ".chars().rev()")]),
        "equal places": ("Vec<usize>", [f"Lists the positions in which `a` and `b` have the same character{case}."], [f"{pairs}\n    .enumerate()\n    .filter(|(_, (x, y))| {test})\n    .map(|(index, _)| index)\n    .collect()", f"let mut result = Vec::new();\nfor (index, (x, y)) in {pairs}.enumerate() {{\n    if {test} {{\n        result.push(index);\n    }}\n}}\nresult"]),
        "rest": ("String", [f"Returns the characters of `b` that differ from those of `a` at the same place{case}."], [f"{pairs}\n    .filter(|(x, y)| {unlike})\n    .map(|(_, y)| y)\n    .collect()", loop("String::new()", "continue;", "result.push(y);", "result")]),
    }[wanted]  # fmt: skip
    counted = draw.style(" Positions are counted from the first that is looked at.", " Position 0 is the first that is looked at.") if skip and returns in ("Option<usize>", "Vec<usize>") else ""

    def oracle(a: str, b: str):
        both = list(zip(a[::-1], b[::-1], strict=False) if wanted == "suffix length" else zip(a, b, strict=False))[skip:]
        same = [x.lower() == y.lower() if folded else x == y for x, y in both]
        head = same.index(False) if False in same else len(same)
        return {"prefix length": head, "suffix length": head, "prefix": "".join(x for x, _ in both[:head]), "difference": head if head < len(same) else None, "distance": same.count(False),
                "equal places": [i for i, each in enumerate(same) if each], "rest": "".join(y for (_, y), each in zip(both, same, strict=True) if not each)}[wanted]  # fmt: skip

    def arguments() -> tuple[str, str]:
        a, b = draw.text(1), draw.text(1)
        return draw.arguments.choice(((a + b, a + b.upper()), (a + "x" + b, a.upper() + "y" + b), (a + b, a), (b + a, "a" + a), (a, b)))

    return Function(
        name=draw.style(*{"prefix length": ("common_prefix_length", "shared_prefix"), "prefix": ("common_prefix", "shared_start"), "difference": ("first_difference", "first_mismatch"), "distance": ("hamming", "count_differences"), "suffix length": ("common_suffix_length", "shared_end"), "equal places": ("equal_positions", "matching_places"), "rest": ("changed_chars", "differing")}[wanted]),
        parameters={"a": "&str", "b": "&str"}, returns=returns, words=[each + (later.replace("first", "last") if wanted == "suffix length" else later) + counted for each in words], forms=forms, oracle=oracle, inputs=arguments,
    )  # fmt: skip


@family(tier=2)
def find_pattern(draw: Draw) -> Function:
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
    mode = "also where they overlap" if overlapping else "each beginning after the end of the one before"
    how = mode + (", in any case" if folded else "")
    words = {
        "count": [f"Counts the occurrences of {said} in `text`, {how}.", f"How often {said} occurs in a text: {how}."], "positions": [f"Returns the positions at which {said} begins in `text`, {how}."], "last": [f"Returns where the last occurrence of {said} in `text` begins, searched from the left and {how}."],
        "gaps": [f"Counts the characters that are passed over in searching `text` from left to right for {said}; the search goes on {'one character after where it was found' if overlapping else 'after its end'}{', and case is ignored' if folded else ''}."],
    }[wanted]  # fmt: skip

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

    return Function(
        name=draw.style(*{"count": ("count_occurrences", "count_pattern", "occurrences"), "positions": ("find_all", "match_positions"), "last": ("last_occurrence", "find_last"), "gaps": ("skipped", "chars_between")}[wanted]),
        parameters={"text": "&str"} | ({} if pattern else {"pattern": "&str"}), returns=returns, words=[each if pattern else each + " The pattern is not empty." for each in words], forms=[search, walk, *([short] if short and not overlapping else [])], oracle=oracle,
        inputs=lambda: (argument(),) + (() if pattern else (draw.arguments.choice(("a", "ab", "aa", "b", "Ba", "aba")),)))  # fmt: skip


@family(tier=3)
def tally_text(draw: Draw) -> Function:
    unit, wanted, least = draw.choose("chars", "words", "lengths", "initials"), draw.choose("map", "most", "repeated", "distinct", "ranking"), draw.integer(1, 3)
    condition = _word_condition(draw) if unit != "chars" and draw.choose(True, False) else draw.char_predicate() if unit == "chars" else None
    kind = {"chars": "char", "words": "String", "lengths": "usize", "initials": "char"}[unit]
    source = "text.chars()" if unit == "chars" else "text.split_whitespace()"
    key = {"chars": "item", "words": "item.to_lowercase()", "lengths": "item.len()", "initials": "item.chars().next().unwrap_or(' ')"}[unit]
    noun = {"chars": "character", "words": "word in lowercase", "lengths": "word length", "initials": "initial of a word"}[unit]
    skip = f"    if {_negated(condition.on('item'))} {{\n        continue;\n    }}\n" if condition else ""
    counting = f"let mut counts: BTreeMap<{kind}, usize> = BTreeMap::new();\nfor item in {source} {{\n{skip}    *counts.entry({key}).or_insert(0) += 1;\n}}\n"
    step = f".filter(|{'&' if unit == 'chars' else ''}item| {condition.on('item')})" if condition else ""
    folding = f"let counts = {source}{step}.fold(BTreeMap::<{kind}, usize>::new(), |mut counts, item| {{\n    *counts.entry({key}).or_default() += 1;\n    counts\n}});\n"
    enough, often = f"{least} time{'s' * (least > 1)}", f"at least {least + 1} times"
    returns, ends, words = {
        "map": (f"BTreeMap<{kind}, usize>", [f"counts.into_iter().filter(|&(_, count)| count >= {least}).collect()", f"let mut counts = counts;\ncounts.retain(|_, count| *count >= {least});\ncounts"], [f"Counts how often each {noun} occurs in `text`; only what occurs at least {enough} is kept."]),
        "most": (f"Option<{kind}>", [f"counts.into_iter().filter(|&(_, count)| count >= {least}).rev().max_by_key(|&(_, count)| count).map(|(key, _)| key)"], [f"Returns the most frequent {noun} of `text` among those that occur at least {enough}; of several, the smallest."]),
        "repeated": (f"Vec<{kind}>", [f"counts.into_iter().filter(|&(_, count)| count > {least}).map(|(key, _)| key).collect()", f"let mut result = Vec::new();\nfor (key, count) in counts {{\n    if count > {least} {{\n        result.push(key);\n    }}\n}}\nresult"], [f"Returns, in order, each {noun} that occurs {often} in `text`."]),
        "distinct": ("usize", [f"counts.values().filter(|&&count| count <= {least}).count()", f"counts.into_values().filter(|&count| count <= {least}).count()"], [f"Returns how many different values of the {noun} occur at most {enough} in `text`."]),
        "ranking": (f"Vec<({kind}, usize)>", [f"let mut result: Vec<({kind}, usize)> = counts.into_iter().collect();\nresult.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));\nresult.truncate({least + 1});\nresult", f"let mut result: Vec<_> = counts.into_iter().collect();\nresult.sort_by_key(|&(_, count)| std::cmp::Reverse(count));\nresult.into_iter().take({least + 1}).collect()"], [f"Returns the {least + 1} most frequent entries, each a {noun}, of `text` with their counts, the most frequent first and equally frequent ones in order."]),
    }[wanted]  # fmt: skip
    only = (f" Only {condition.plural} count." if condition else "") + draw.style("", " Nothing is counted in an empty text.")

    def oracle(text: str):
        items = [c for c in (text if unit == "chars" else text.split()) if condition is None or condition(c)]
        counts = Counter({"chars": str, "words": str.lower, "lengths": len, "initials": lambda w: w[0]}[unit](each) for each in items)
        rank = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        best = [key for key, n in rank if n >= least]
        return {"map": {k: n for k, n in sorted(counts.items()) if n >= least}, "most": best[0] if best else None, "repeated": sorted(k for k, n in rank if n > least), "distinct": sum(n <= least for _, n in rank), "ranking": rank[: least + 1]}[wanted]

    def argument() -> str:
        chosen = draw.text(3).split()
        return " ".join(draw.arguments.choice(chosen) for _ in range(draw.arguments.randint(0, 7)))

    return Function(
        name=draw.style(*{"map": ("tally", "frequencies", f"count_{unit}_by_kind"), "most": ("most_frequent", "most_common"), "repeated": ("repeated", "duplicates"), "distinct": ("rare_entries", "count_rare"), "ranking": ("ranking", "top_entries")}[wanted]),
        parameters={"text": "&str"}, returns=returns, words=[each + only for each in words], forms=[count + end for count in (counting, folding) for end in ends], oracle=oracle, inputs=lambda: (argument(),), imports=["use std::collections::BTreeMap;"],
    )  # fmt: skip


@family(tier=4)
def secret_language(draw: Draw) -> Function:
    rule, suffix, insert = draw.choose("vowels", "first", "swap", "middle"), draw.choose("ay", "way", "ish", "um", "ka", "lo"), draw.choose("p", "b", "f", "lef")
    least, order, mark = draw.integer(1, 5), draw.choose("", ".rev()"), draw.choose(" ", "-", "_", ".")
    helper = draw.style("disguise", "encode_word", "transform_word", "twist")
    bodies, told, change = {
        "vowels": ([f"let mut result = String::new();\nfor c in word.chars() {{\n    result.push(c);\n    if \"aeiou\".contains(c) {{\n        result.push_str(\"{insert}\");\n        result.push(c);\n    }}\n}}\nresult", f"word.chars()\n    .map(|c| match c {{\n        'a' | 'e' | 'i' | 'o' | 'u' => format!(\"{{}}{insert}{{}}\", c, c),\n        _ => c.to_string(),\n    }})\n    .collect()"], f"Doubles each lowercase vowel of `word` with `{insert}` in between.", lambda w: "".join(c + insert + c if c in "aeiou" else c for c in w)),
        "first": ([f"let mut rest = word.chars();\nmatch rest.next() {{\n    Some(first) => format!(\"{{}}{{}}{suffix}\", rest.as_str(), first),\n    None => String::new(),\n}}", f"let Some(first) = word.chars().next() else {{\n    return String::new();\n}};\nlet mut result: String = word.chars().skip(1).collect();\nresult.push(first);\nresult + \"{suffix}\""], f"Moves the first letter of `word` to the end and adds `{suffix}`; an empty word stays empty.", lambda w: w[1:] + w[0] + suffix if w else ""),
        "swap": ([f"let mut chars: Vec<char> = word.chars().collect();\nlet count = chars.len();\nif count > 1 {{\n    chars.swap(0, count - 1);\n}}\nchars.into_iter().collect::<String>() + \"{suffix}\""], f"Exchanges the first and the last letter of `word` and adds `{suffix}`.", lambda w: (w[-1] + w[1:-1] + w[0] if len(w) > 1 else w) + suffix),
        "middle": ([f"let half = word.chars().count() / 2;\nlet start: String = word.chars().take(half).collect();\nlet end: String = word.chars().skip(half).collect();\nformat!(\"{{}}{insert}{{}}\", start, end)", f"let half = word.chars().count() / 2;\nlet mut result = String::new();\nfor (index, c) in word.chars().enumerate() {{\n    if index == half {{\n        result.push_str(\"{insert}\");\n    }}\n    result.push(c);\n}}\nif word.is_empty() {{\n    result.push_str(\"{insert}\");\n}}\nresult"], f"Puts `{insert}` into the middle of `word`; if its length is odd, before the middle letter.", lambda w: w[: len(w) // 2] + insert + w[len(w) // 2 :]),
    }[rule]  # fmt: skip
    part = Function(name=helper, parameters={"word": "&str"}, returns="String", words=[told], forms=bodies, oracle=change, inputs=lambda: (draw.text(draw.arguments.choice((0, 1, 1, 1))),))
    which = f"every word of more than {least} characters" if least > 1 else "every word of at least two characters"
    turned = ", the last word first" if order else ""
    return Function(
        name=draw.style("secret_language", "encode_text", "disguise_text", "translate", "to_play_language"), parameters={"text": "&str"}, returns="String", parts=(part,),
        words=[f"Translates {which} of `text` by `{helper}`, keeps the other words, and joins them by `{mark}`{turned}.", f"Returns the words of `text`, joined by `{mark}`{turned}; `{helper}` is applied to {which}."],
        forms=[
            f"text.split_whitespace()\n{'    .rev()' + chr(10) if order else ''}    .map(|word| {{\n        if word.chars().count() > {least} {{\n            {helper}(word)\n        }} else {{\n            word.to_string()\n        }}\n    }})\n    .collect::<Vec<_>>()\n    .join(\"{mark}\")",
            f"let mut words = Vec::new();\nfor word in text.split_whitespace(){order} {{\n    match word.chars().count() {{\n        0..={least} => words.push(word.to_string()),\n        _ => words.push({helper}(word)),\n    }}\n}}\nwords.join(\"{mark}\")",
        ], oracle=lambda text: mark.join([change(w) if len(w) > least else w for w in text.split()][:: -1 if order else 1]), inputs=lambda: (draw.text(),))  # fmt: skip
