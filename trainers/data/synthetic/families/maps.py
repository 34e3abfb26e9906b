"""Functions that count and group by key."""

from collections import Counter

from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.literals import INTEGERS

MAPS = ("BTreeMap", "HashMap")


def import_of(name: str) -> str:
    return f"use std::collections::{name};"


def few_numbers(draw: Draw, low: int, high: int, most: int = 9) -> list[int]:
    """Generate numbers with duplicates."""
    return [draw.arguments.randint(low, high) for _ in range(draw.arguments.randint(0, most))]


def small_numbers(draw: Draw, kind: str, most: int = 9) -> list[int]:
    return few_numbers(draw, -5 if kind[0] == "i" else 0, 12, most)


@family(tier=2)
def frequency_of_chars(draw: Draw) -> FunctionSpec:
    container, number, folded = draw.choose(*MAPS), draw.choose("usize", "u32", "u64"), draw.choose(False, True)
    keep = draw.char_predicate()
    key = "c.to_ascii_lowercase()" if folded else "c"
    said = ", converting each counted character to lowercase" if folded else ""
    return FunctionSpec(
        name=draw.style("char_counts", "frequencies", "letter_frequency", f"count_{keep.slug}", "histogram"),
        parameters={"text": "&str"},
        returns=f"{container}<char, {number}>",
        imports=[import_of(container)],
        words=[
            f"Counts how often each of the {keep.plural} occurs in `text`{said}.",
            f"Builds a map from each character of `text` that {keep.clause} to its number of occurrences{said}.",
            f"Counts the {keep.plural} of `text` by character{said}. Other characters are skipped.",
        ],
        forms=[
            f"""
            let mut counts = {container}::new();
            for c in text.chars() {{
                if {keep.on("c")} {{
                    *counts.entry({key}).or_insert(0) += 1;
                }}
            }}
            counts
            """,
            f"""
            let mut counts = {container}::new();
            for c in text.chars().filter(|&c| {keep.on("c")}) {{
                *counts.entry({key}).or_default() += 1;
            }}
            counts
            """,
            f"""
            text.chars().fold({container}::new(), |mut counts, c| {{
                if {keep.on("c")} {{
                    *counts.entry({key}).or_insert(0) += 1;
                }}
                counts
            }})
            """,
            f"""
            let mut counts: {container}<char, {number}> = {container}::new();
            for c in text.chars() {{
                if !({keep.on("c")}) {{
                    continue;
                }}
                let key = {key};
                let count = counts.get(&key).copied().unwrap_or(0);
                counts.insert(key, count + 1);
            }}
            counts
            """,
        ],
        oracle=lambda text: dict(Counter(c.lower() if folded else c for c in text if keep(c))),
        inputs=lambda: (draw.text(),),
    )


@family(tier=2)
def frequency_of_numbers(draw: Draw) -> FunctionSpec:
    container, kind = draw.choose(*MAPS), draw.choose(*INTEGERS)
    keyed = draw.choose(False, True)
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    key = mapping.on("value") if keyed else "value"
    said = f" {mapping.participle}" if keyed else ""
    return FunctionSpec(
        name=draw.style("tally", "occurrences", "count_by_value", "frequency_table", f"tally_{keep.slug}"),
        parameters={"values": f"&[{kind}]"},
        returns=f"{container}<{kind}, usize>",
        imports=[import_of(container)],
        words=[
            f"Counts how often each of the {keep.plural} occurs" + (f". The keys of the map are these numbers{said}." if keyed else "."),
            f"Returns a map with the number of {keep.plural} in `values` for each key, where the key is the number{said or ' itself'}.",
            f"Counts every number in `values` that {keep.clause}, grouped by the number{said or ' itself'}.",
        ],
        forms=[
            f"""
            let mut counts = {container}::new();
            for &value in values {{
                if {keep.on("value")} {{
                    *counts.entry({key}).or_insert(0) += 1;
                }}
            }}
            counts
            """,
            f"""
            let mut counts = {container}::new();
            for value in values.iter().copied().filter(|&value| {keep.on("value")}) {{
                counts
                    .entry({key})
                    .and_modify(|count| *count += 1)
                    .or_insert(1);
            }}
            counts
            """,
            f"""
            let mut counts = {container}::new();
            values.iter().for_each(|&value| {{
                if {keep.on("value")} {{
                    *counts.entry({key}).or_default() += 1;
                }}
            }});
            counts
            """,
        ],
        oracle=lambda values: dict(Counter(mapping(v) if keyed else v for v in values if keep(v))),
        inputs=lambda: (small_numbers(draw, kind),) if draw.arguments.random() < 0.6 else (draw.value(f"[{kind}]"),),
    )


@family(tier=3)
def words_by_key(draw: Draw) -> FunctionSpec:
    container, by, least = draw.choose(*MAPS), draw.choose("length", "first", "last", "vowels", "modulo", "capital"), draw.integer(1, 4)
    collected = draw.choose("words", "count", "letters", "longest")
    k = draw.integer(2, 4) if by == "modulo" else 0
    key, key_type, said, compute = {
        "length": ("word.len()", "usize", "length", len),
        "first": ("word.chars().next().unwrap_or_default()", "char", "first character", lambda w: w[0]),
        "last": ("word.chars().last().unwrap_or_default()", "char", "last character", lambda w: w[-1]),
        "vowels": ('word.chars().filter(|&c| "aeiou".contains(c)).count()', "usize", "number of lowercase vowels", lambda w: sum(c in "aeiou" for c in w)),
        "modulo": (f"word.len() % {k}", "usize", f"length modulo {k}", lambda w: len(w) % k),
        "capital": ("word.starts_with(char::is_uppercase)", "bool", "whether it starts with an uppercase letter", lambda w: w[0].isupper()),
    }[by]
    value_type, add, told, finish = {
        "words": ("Vec<String>", ".or_insert_with(Vec::new).push(word.to_string());", "a vector of the words with that key in their original order", list),
        "count": ("usize", "+= 1;", "the number of words with that key", len),
        "letters": ("usize", "+= word.len();", "the sum of the lengths of the words with that key", lambda group: sum(map(len, group))),
        "longest": ("String", "", "the longest word with that key (the first one in case of a tie)", lambda group: max(group, key=len)),
    }[collected]
    if collected == "words":
        put = f"groups.entry(key){add}"
    elif collected == "longest":
        put = "let best: &mut String = groups.entry(key).or_default();\nif word.len() > best.len() {\n    *best = word.to_string();\n}"
    else:
        put = f"*groups.entry(key).or_insert(0) {add}"
    put = put.replace("\n", "\n" + " " * 16)
    deeper = put.replace("\n", "\n    ")
    limit = f" of at least {least} bytes" if least > 1 else ""

    def oracle(text: str) -> dict:
        groups = {}
        for word in text.split():
            if len(word) >= least:
                groups.setdefault(compute(word), []).append(word)
        return {key: finish(group) for key, group in groups.items()}

    plain = f"""
            let mut groups = {container}::new();
            for word in text.split_whitespace() {{
                let key = {key};
                {put}
            }}
            groups
            """
    forms = [
        f"""
            let mut groups = {container}::new();
            for word in text.split_whitespace() {{
                if word.len() < {least} {{
                    continue;
                }}
                let key = {key};
                {put}
            }}
            groups
            """,
        f"""
            let mut groups = {container}::new();
            for word in text.split_whitespace().filter(|word| word.len() >= {least}) {{
                let key = {key};
                {put}
            }}
            groups
            """,
        f"""
            let mut groups = {container}::new();
            for word in text.split_whitespace() {{
                if word.len() >= {least} {{
                    let key = {key};
                    {deeper}
                }}
            }}
            groups
            """,
    ]
    return FunctionSpec(
        name=draw.style("group_words", f"words_by_{by}", "index_words", f"group_by_{by}", "bucket_words"),
        parameters={"text": "&str"},
        returns=f"{container}<{key_type}, {value_type}>",
        imports=[import_of(container)],
        words=[
            f"Groups the words of `text`{limit} by {said.replace('it starts', 'they start') if 'whether' in said else 'their ' + said}. Each key is mapped to {told}.",
            f"Returns a map whose keys say {said.replace('it', 'a word')} and whose values are, for the words of `text`{limit}, {told}." if "whether" in said else f"Maps each {said} of a word{limit} in `text` to {told}.",
            f"Builds a map from the whitespace-separated words of `text`{limit}: a key is {said.replace('whether it', 'whether a word') if 'whether' in said else 'the ' + said + ' of a word'}, and its value is {told}.",
        ],
        forms=forms if least > 1 else [plain],
        oracle=oracle,
        inputs=lambda: (draw.text(draw.arguments.randint(0, 6)),),
    )


@family(tier=3)
def numbers_by_key(draw: Draw) -> FunctionSpec:
    kind, order = draw.choose(*INTEGERS), draw.choose("order", "sorted", "largest", "sum", "first")
    mapping, keep = draw.integer_mapping(kind), draw.integer_predicate(kind)
    filtered = draw.choose(True, False)
    key = mapping.on("value")
    value_type, put, said, finish = {
        "order": (f"Vec<{kind}>", "groups.entry(key).or_insert_with(Vec::new).push(value);", "all numbers with that key in their original order", list),
        "sorted": (f"Vec<{kind}>", "groups.entry(key).or_insert_with(Vec::new).push(value);", "all numbers with that key in ascending order", sorted),
        "largest": (kind, "let best = groups.entry(key).or_insert(value);\n*best = value.max(*best);", "the largest number with that key", max),
        "sum": (kind, "*groups.entry(key).or_insert(0) += value;", "the sum of all numbers with that key", sum),
        "first": (kind, "groups.entry(key).or_insert(value);", "the first number with that key", lambda group: group[0]),
    }[order]
    inner = [f"let key = {key};", *put.split("\n")]
    skip = [f"if !({keep.on('value')}) {{", "    continue;", "}"] if filtered else []
    begin = f"let mut groups: BTreeMap<{kind}, {value_type}> = BTreeMap::new();"
    end = ["for group in groups.values_mut() {", "    group.sort();", "}", "groups"] if order == "sorted" else ["groups"]

    def build(header: str, body: list[str]) -> str:
        return "\n".join([begin, header, *(f"    {line}" for line in body), "}", *end])

    def oracle(values: list[int]) -> dict:
        groups = {}
        for v in values:
            if not filtered or keep(v):
                groups.setdefault(mapping(v), []).append(v)
        return {key: finish(group) for key, group in groups.items()}

    source = f"values.iter().copied().filter(|&value| {keep.on('value')})" if filtered else "values.iter().copied()"
    which = keep.plural if filtered else "numbers"
    return FunctionSpec(
        name=draw.style("group_numbers", "group_by", "bucket", f"by_{mapping.slug}", "partition_by_key"),
        parameters={"values": f"&[{kind}]"},
        returns=f"BTreeMap<{kind}, {value_type}>",
        imports=[import_of("BTreeMap")],
        words=[
            f"Groups the {which} of `values` by a key, which is the number {mapping.participle}. The map contains, for each key, {said}.",
            f"Uses each of the {which} in `values`, {mapping.participle}, as a key, and maps it to {said}.",
        ],
        forms=[
            build("for &value in values {", [*skip, *inner]),
            build(f"for value in {source} {{", inner),
            build("for value in values {", ["let value = *value;", *skip, *inner]),
        ],
        oracle=oracle,
        inputs=lambda: (small_numbers(draw, kind),),
    )


@family(tier=3)
def inverted_map(draw: Draw) -> FunctionSpec:
    kind, source = draw.choose("u32", "i32", "u64", "i64"), draw.choose("map", "pairs")
    on_clash = draw.choose("all", "first", "last", "count", "longest")
    mapping, altered = draw.integer_mapping(kind), draw.choose(True, False)
    key = mapping.on("number") if altered else "number"
    value, said, put = {
        "all": ("Vec<String>", "a vector of all names that have it, in order", ["inverted.entry(key).or_insert_with(Vec::new).push(name.to_string());"]),
        "first": ("String", "the first name that has it", ["inverted.entry(key).or_insert_with(|| name.to_string());"]),
        "last": ("String", "the last name that has it", ["inverted.insert(key, name.to_string());"]),
        "count": ("usize", "the number of names that have it", ["*inverted.entry(key).or_insert(0) += 1;"]),
        "longest": ("String", "the longest name that has it (the first one in case of a tie)",
                    ["let best: &mut String = inverted.entry(key).or_default();", "if name.len() > best.len() {", "    *best = name.to_string();", "}"]),
    }[on_clash]
    parameter, header = {
        "map": (f"&BTreeMap<String, {kind}>", "for (name, &number) in entries {"),
        "pairs": (f"&[(&str, {kind})]", "for &(name, number) in entries {"),
    }[source]
    body = [f"let key = {key};", *put]

    def oracle(entries: dict | list) -> dict:
        groups = {}
        for name, number in sorted(entries.items()) if isinstance(entries, dict) else entries:
            groups.setdefault(mapping(number) if altered else number, []).append(name)
        finish = {"all": list, "first": lambda g: g[0], "last": lambda g: g[-1], "count": len, "longest": lambda g: max(g, key=len)}[on_clash]
        return {key: finish(group) for key, group in groups.items()}

    def entries() -> tuple:
        names = draw.arguments.sample(("ada", "bob", "cleo", "dan", "eve", "finn", "gustav", "hana"), draw.arguments.randint(0, 5))
        pairs = [(name, draw.arguments.randint(0, 7)) for name in names]
        return (dict(pairs) if source == "map" else pairs,)

    what = draw.style("score", "badge", "room", "team", "number")
    altered_words = f" ({mapping.participle})" if altered else ""
    fold = ["entries.iter().fold(BTreeMap::new(), |mut inverted, " + ("(name, &number)| {" if source == "map" else "&(name, number)| {"),
            *(f"    {line}" for line in body), "    inverted", "})"]
    return FunctionSpec(
        name=draw.style("invert", "names_by_number", "reverse_index", f"by_{what}", "swap_keys"),
        parameters={"entries": parameter},
        returns=f"BTreeMap<{kind}, {value}>",
        imports=[import_of("BTreeMap")],
        words=[
            f"Inverts `entries`: each {what}{altered_words} becomes a key, whose value is {said}.",
            f"Inverts a mapping from names to a {what}. In the result, each key is a {what}{altered_words}, and its value is {said}.",
        ],
        forms=["\n".join(["let mut inverted = BTreeMap::new();", header, *(f"    {line}" for line in body), "}", "inverted"]), "\n".join(fold)],
        oracle=oracle,
        inputs=entries,
    )
