"""Functions of the words of a text, and of two texts."""

from collections import Counter

from trainers.data.synthetic.families.strings import negated, recorded
from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.pieces import MappingPiece, Predicate


def _word_condition(draw: Draw) -> Predicate:
    k, c = draw.meaning.randint(2, 6), draw.meaning.choice("abegilnprst")
    return recorded(draw, (
        Predicate(f"{{x}}.len() > {k}", lambda w: len(w) > k, f"longer_than_{k}", f"words longer than {k} characters", f"is longer than {k} characters"),
        Predicate(f"{{x}}.len() <= {k}", lambda w: len(w) <= k, f"up_to_{k}", f"words of at most {k} characters", f"has at most {k} characters"),
        Predicate(f"{{x}}.starts_with('{c}')", lambda w: w.startswith(c), f"starting_with_{c}", f"words that start with `{c}`", f"starts with `{c}`"),
        Predicate(f"{{x}}.ends_with('{c}')", lambda w: w.endswith(c), f"ending_in_{c}", f"words that end with `{c}`", f"ends with `{c}`"),
        Predicate(f"{{x}}.contains('{c}')", lambda w: c in w, f"with_{c}", f"words that contain `{c}`", f"contains `{c}`"),
        Predicate(f"!{{x}}.contains('{c}')", lambda w: c not in w, f"without_{c}", f"words that do not contain `{c}`", f"does not contain `{c}`"),
        Predicate("{x}.len() % 2 == 0", lambda w: len(w) % 2 == 0, "of_even_length", "words of even length", "has an even length"),
        Predicate("{x}.starts_with(char::is_uppercase)", lambda w: w[:1].isupper(), "capitalized", "capitalized words", "starts with an uppercase letter"),
        Predicate("{x}.contains(char::is_uppercase)", lambda w: any(map(str.isupper, w)), "with_capitals", "words that contain an uppercase letter", "contains an uppercase letter"),
        Predicate("{x}.chars().all(char::is_alphabetic)", str.isalpha, "purely_letters", "words that consist only of letters", "consists only of letters")))


def _word_mapping(draw: Draw) -> MappingPiece:
    pick = draw.meaning
    k, c, d, ending = pick.randint(1, 4), pick.choice("aeirstl"), pick.choice("oxzku"), pick.choice(("ay", "ish", "s", "er", "o", "ing"))
    return recorded(draw, (MappingPiece("{x}.chars().rev().collect::<String>()", lambda w: w[::-1], "reversed", "reversed"),
        MappingPiece("{x}.to_uppercase()", str.upper, "upper", "converted to uppercase"), MappingPiece("{x}.to_lowercase()", str.lower, "lower", "converted to lowercase"),
        MappingPiece(f"{{x}}.repeat({k + 1})", lambda w: w * (k + 1), f"repeated_{k + 1}", f"repeated {k + 1} times"),
        MappingPiece(f"{{x}}.chars().take({k}).collect::<String>()", lambda w: w[:k], f"cut_to_{k}", f"truncated to {'its first character' if k == 1 else f'at most {k} characters'}"),
        MappingPiece(f"{{x}}.chars().skip({k}).collect::<String>()", lambda w: w[k:], f"without_first_{k}", f"stripped of its first {'character' if k == 1 else f'{k} characters'}"),
        MappingPiece(f"{{x}}.replace('{c}', \"{d}\")", lambda w: w.replace(c, d), f"{c}_to_{d}", f"changed by replacing every `{c}` with `{d}`"),
        MappingPiece(f'format!("{{{{}}}}{ending}", {{x}})', lambda w: w + ending, f"ending_{ending}", f"followed by `{ending}`"),
        MappingPiece(f'format!("{d}{{{{}}}}", {{x}})', lambda w: d + w, f"beginning_{d}", f"preceded by `{d}`")))


@family(tier=2)
def transform_words(draw: Draw) -> FunctionSpec:
    mapping, condition = _word_mapping(draw), _word_condition(draw) if draw.choose(True, True, False) else None
    order, mark = draw.choose("same", "same", "reverse"), draw.choose(" ", " ", "-", "_", ", ", "/")
    rev = ".rev()" if order == "reverse" else ""
    one = mapping.on("word")
    what = one if condition is None else f"if {condition.on('word')} {{\n            {one}\n        }} else {{\n            word.to_string()\n        }}"
    closure = f"|word| {one}" if condition is None else f"|word| {{\n        {what}\n    }}"
    push = f"result.push_str(&{one});" if condition is None else f"if {condition.on('word')} {{\n        result.push_str(&{one});\n    }} else {{\n        result.push_str(word);\n    }}"
    which = "every word" if condition is None else f"each word that {condition.clause}"
    tail = f"joined by `{mark}`" if mark != " " else "separated by single spaces"
    turned = " in reverse order" if rev else ""
    others = "" if condition is None else " Other words stay unchanged."

    def oracle(text: str) -> str:
        done = [mapping(w) if condition is None or condition(w) else w for w in text.split()]
        return mark.join(done[::-1] if rev else done)

    return FunctionSpec(
        name=draw.style("transform_words", "rewrite_words", "change_words", "words_" + (mapping.slug if "!" not in mapping.slug else "changed"), "edit_sentence"),
        parameters={"text": "&str"}, returns="String", words=[
            f"Returns the words of `text`{turned}, {tail}, with {which} {mapping.participle}.{others}",
            f"Splits `text` at whitespace and returns its words{turned}, {tail}, where {which} is {mapping.participle}.{others}"], forms=[
            f"text.split_whitespace()\n{f'    {rev}{chr(10)}' if rev else ''}    .map({closure})\n    .collect::<Vec<_>>()\n    .join(\"{mark}\")",
            f"let mut result = String::new();\nfor (index, word) in text.split_whitespace(){rev}.enumerate() {{\n    if index > 0 {{\n        result.push_str(\"{mark}\");\n    }}\n    {push}\n}}\nresult",
            f"let mut words = Vec::new();\nfor word in text.split_whitespace() {{\n    words.push({what.replace(chr(10) + '    ', chr(10))});\n}}\n{'words.reverse();' + chr(10) if rev else ''}words.join(\"{mark}\")",
        ], oracle=oracle, inputs=lambda: (draw.text(),))


@family(tier=1)
def acronym(draw: Draw) -> FunctionSpec:
    condition, mark = _word_condition(draw) if draw.choose(True, False) else None, draw.choose("", ".", "", "-")
    case = draw.choose("upper", "lower", "given")
    end = draw.choose("first", "last")
    change = {"upper": ".to_ascii_uppercase()", "lower": ".to_ascii_lowercase()", "given": ""}[case]
    take = {"first": "chars().next()", "last": "chars().last()"}[end]
    keep = f"    .filter(|word| {condition.on('word')})\n" if condition else ""
    mapped = f"    .map(|c| c{change})\n" if change else ""
    follow = f", each followed by `{mark}`" if mark else ", without a separator"
    said = {"upper": "converted to uppercase", "lower": "converted to lowercase", "given": ""}[case]
    said = f", {said}" if said else ""
    push = f"result.push(c{change});" + (f"\n        result.push('{mark}');" if mark else "")

    def oracle(text: str) -> str:
        letters = [w[0 if end == "first" else -1] for w in text.split() if condition is None or condition(w)]
        return "".join({"upper": c.upper(), "lower": c.lower(), "given": c}[case] + mark for c in letters)

    body = f"if let Some(c) = word.{take} {{\n        {push}\n    }}"
    return FunctionSpec(name=draw.style("acronym", "initials" if end == "first" else "final_letters", "abbreviate", "short_form"),
        parameters={"text": draw.style("&str", "&str", "String")}, returns="String",
        words=[f"Returns the {end} character of each {'word' if condition is None else f'word that {condition.clause}'} in `text`{said}{follow}.", f"Abbreviates `text` by concatenating the {end} character of each {'word' if condition is None else f'word that {condition.clause}'} in `text`{said}{follow}."],
        forms=[
            f"text.split_whitespace()\n{keep}    .filter_map(|word| word.{take})\n{mapped}    .collect()" if not mark else f"text.split_whitespace()\n{keep}    .filter_map(|word| word.{take})\n    .map(|c| format!(\"{{}}{mark}\", c{change}))\n    .collect()",
            "let mut result = String::new();\nfor word in text.split_whitespace() {\n" + (f"    if {negated(condition.on('word'))} {{\n        continue;\n    }}\n" if condition else "") + f"    {body}\n}}\nresult",
        ], oracle=oracle, inputs=lambda: (draw.text(),))


@family(tier=1)
def extreme_word(draw: Draw) -> FunctionSpec:
    longest, last, returns = draw.choose(True, False), draw.choose(True, False), draw.choose("Option<&str>", "&str", "usize")
    condition = _word_condition(draw) if draw.choose(True, True, False) else None
    better = (">" if longest else "<") + ("=" if last else "")
    kept = f"    .filter(|word| {condition.on('word')})\n" if condition else ""
    # `max_by_key` gives the last of several, `min_by_key` the first.
    pick = f"    {'.rev()' + chr(10) + '    ' if longest != last else ''}.{'max' if longest else 'min'}_by_key(|word| word.len())"
    finish, none = {"Option<&str>": ("", "or `None` if there is none"), "&str": (".unwrap_or(\"\")", "or an empty text if there is none"), "usize": (".map_or(0, str::len)", "or 0 if there is none")}[returns]
    which, several = f"{'longest' if longest else 'shortest'} of the {condition.plural if condition else 'words'} in `text`", f"the {'last' if last else 'first'} one in case of a tie"
    skip = f"    if {negated(condition.on('word'))} {{\n        continue;\n    }}\n" if condition else ""

    def oracle(text: str):
        words = [w for w in text.split() if condition is None or condition(w)][:: -1 if last else 1]
        best = (max if longest else min)(words, key=len, default=None)
        return best if returns == "Option<&str>" else best or "" if returns == "&str" else len(best or "")

    return FunctionSpec(
        name=draw.style(*(("longest_word", "longest", "longest_of") if longest else ("shortest_word", "shortest", "briefest_word"))) + ("_length" if returns == "usize" else ""),
        parameters={"text": "&str"}, returns=returns,
        words=[f"Returns the length of the {which}, {none}.", f"Finds the {which} and returns its length, {none}."] if returns == "usize" else [f"Returns the {which} ({several}), {none}.", f"Finds the {which} and returns it, {none}. If several are equally long, the {'last' if last else 'first'} of them is returned."],
        forms=[f"text.split_whitespace()\n{kept}{pick}" + (f"\n    {finish}" if finish else ""),
            f"let mut best: Option<&str> = None;\nfor word in text.split_whitespace() {{\n{skip}    if best.is_none_or(|other| word.len() {better} other.len()) {{\n        best = Some(word);\n    }}\n}}\nbest{finish}".replace("best.is_none_or(|other| word.len()", "best.map_or(true, |other| word.len()"),
            f"let mut best: Option<&str> = None;\nfor word in text.split_whitespace() {{\n{skip}    match best {{\n        Some(other) if !(word.len() {better} other.len()) => {{}}\n        _ => best = Some(word),\n    }}\n}}\nbest{finish}",
        ], oracle=oracle, inputs=lambda: (draw.text(draw.arguments.randint(0, 6)),))


@family(tier=1)
def words_with(draw: Draw) -> FunctionSpec:
    condition, source = _word_condition(draw), draw.choose("text", "slice", "vector")
    wanted = draw.choose("list", "count", "any", "all", "first", "joined", "positions")
    kind = {"text": "&str", "slice": "&[&str]", "vector": "&[String]"}[source]
    name = {"text": "text", "slice": "words", "vector": "names"}[source]
    each = {"text": "text.split_whitespace()", "slice": "words.iter()", "vector": "names.iter()"}[source]
    test, plural = condition.on("word"), condition.plural
    owned = ".map(|word| word.to_string())" if source == "text" else ".map(|word| word.to_string())" if source == "slice" else ".cloned()"

    def loop(start, step, end):
        return f"let mut result = {start};\nfor word in {each.removesuffix('.iter()') if source != 'text' else each} {{\n    if {test} {{\n        {step}\n    }}\n}}\n{end}"

    returns, title, words, forms, oracle = {
        "list": ("Vec<String>", "words", [f"Returns the {plural} in `{name}` in their original order.", f"Selects each word from `{name}` that {condition.clause}."], [f"{each}.filter(|word| {test}){owned}.collect()", loop("Vec::new()", "result.push(word.to_string());", "result")], list),
        "count": ("usize", "count", [f"Counts the {plural} in `{name}`.", f"Counts every word in `{name}` that {condition.clause}."], [f"{each}.filter(|word| {test}).count()", loop("0", "result += 1;", "result")], len),
        "any": ("bool", "has_words", [f"Checks whether `{name}` contains any {plural}.", f"Returns `true` if at least one word in `{name}` {condition.clause}."], [f"{each}.any(|word| {test})", loop("false", "result = true;", "result")], lambda found: bool(found)),
        "all": ("bool", "all_words", [f"Checks whether `{name}` contains only {plural}.", f"Returns `true` if every word in `{name}` {condition.clause} or there are no words."], [f"{each}.all(|word| {test})", f"!{each}.any(|word| {negated(test)})"], None),
        "first": ("Option<String>", "first_word", [f"Returns the first word in `{name}` that {condition.clause}, if any.", f"Finds the first of the {plural} in `{name}`, or returns `None` if there are none."], [f"{each}.find(|word| {test}){owned}", f"for word in {each} {{\n    if {test} {{\n        return Some(word.to_string());\n    }}\n}}\nNone"], lambda found: found[0] if found else None),
        "joined": ("String", "join_words", [f"Joins the {plural} in `{name}` with commas, without spaces.", f"Returns the {plural} in `{name}` as one text, separated by `,`."], [loop("String::new()", "if !result.is_empty() {\n            result.push(',');\n        }\n        result.push_str(word);", "result"), f"let chosen: Vec<String> = {each}.filter(|word| {test}){owned}.collect();\nchosen.join(\",\")"], ",".join),
        "positions": ("Vec<usize>", "word_positions", [f"Returns the positions of the {plural} in `{name}`, where words are counted from 0.", f"Lists the index of each word in `{name}` that {condition.clause}, counting all words from 0."], [f"{each}\n    .enumerate()\n    .filter(|(_, word)| {test})\n    .map(|(index, _)| index)\n    .collect()", f"let mut result = Vec::new();\nfor (index, word) in {each}.enumerate() {{\n    if {test} {{\n        result.push(index);\n    }}\n}}\nresult"], None),
    }[wanted]

    def answer(given):
        found = [bool(condition(w)) for w in (given.split() if source == "text" else given)]
        if oracle is None:
            return all(found) if wanted == "all" else [i for i, each in enumerate(found) if each]
        return oracle([w for w, each in zip(given.split() if source == "text" else given, found, strict=True) if each])

    return FunctionSpec(
        name=draw.style(title, f"{title}_{condition.slug}", f"find_{condition.slug}", title), parameters={name: kind}, returns=returns, words=words, forms=forms, oracle=answer,
        inputs=lambda: (draw.text() if source == "text" else draw.text().split(),))


@family(tier=1)
def compare_texts(draw: Draw) -> FunctionSpec:
    wanted = draw.choose("prefix length", "prefix", "difference", "distance", "suffix length", "equal places", "rest")
    folded, skip = draw.choose(True, False), draw.integer(0, 3)
    test = "x.eq_ignore_ascii_case(&y)" if folded else "x == y"
    pairs = f"a.chars().zip(b.chars()){f'.skip({skip})' if skip else ''}"
    later = f" The first {f'{skip} characters' if skip > 1 else 'character'} of both texts {'are' if skip > 1 else 'is'} skipped." if skip else ""
    case = draw.style(", ignoring case", ", treating uppercase and lowercase letters as equal") if folded else ""

    def loop(start, same, other, end):
        return f"let mut result = {start};\nfor (x, y) in {pairs} {{\n    if {test} {{\n        {same}\n    }} else {{\n        {other}\n    }}\n}}\n{end}"

    unlike = f"!{test}" if folded else "x != y"
    returns, words, forms = {
        "prefix length": ("usize", [f"Returns how many characters `a` and `b` have in common at their beginning{case}.", f"Returns the length of the longest common prefix of two texts{case}."], [f"{pairs}.take_while(|(x, y)| {test}).count()", loop("0", "result += 1;", "break;", "result")]),
        "prefix": ("String", [f"Returns the longest common prefix of `a` and `b`{case}{', as it is written in `a`' if folded else ''}.", f"Finds the longest prefix that both texts share{case}, and returns it{' as it is written in `a`' if folded else ''}."], [f"{pairs}\n    .take_while(|(x, y)| {test})\n    .map(|(x, _)| x)\n    .collect()", loop("String::new()", "result.push(x);", "break;", "result")]),
        "difference": ("Option<usize>", [f"Returns the first position at which `a` and `b` have different characters{case}, or `None` if one is a prefix of the other.", f"Finds the position of the first difference between the two texts{case}. Returns `None` if there is no difference within the length of the shorter one."], [f"{pairs}.position(|(x, y)| {unlike})", f"for (index, (x, y)) in {pairs}.enumerate() {{\n    if {unlike} {{\n        return Some(index);\n    }}\n}}\nNone"]),
        "distance": ("usize", [f"Counts the positions at which the characters of `a` and `b` differ{case}. Extra characters of the longer text are ignored.", f"Computes the Hamming distance of two texts{case}, which are compared up to the length of the shorter one."], [f"{pairs}.filter(|(x, y)| {unlike}).count()", f"let mut result = 0;\nfor (x, y) in {pairs} {{\n    if {unlike} {{\n        result += 1;\n    }}\n}}\nresult"]),
        "suffix length": ("usize", [f"Returns how many characters `a` and `b` have in common at their end{case}.", f"Returns the length of the longest common suffix of two texts{case}."], [f"{pairs.replace('.chars()', '.chars().rev()')}.take_while(|(x, y)| {test}).count()", loop("0", "result += 1;", "break;", "result").replace(".chars()", ".chars().rev()")]),
        "equal places": ("Vec<usize>", [f"Returns the positions at which `a` and `b` have the same character{case}.", f"Lists every position at which the characters of both texts are equal{case}."], [f"{pairs}\n    .enumerate()\n    .filter(|(_, (x, y))| {test})\n    .map(|(index, _)| index)\n    .collect()", f"let mut result = Vec::new();\nfor (index, (x, y)) in {pairs}.enumerate() {{\n    if {test} {{\n        result.push(index);\n    }}\n}}\nresult"]),
        "rest": ("String", [f"Returns the characters of `b` that differ from the character of `a` at the same position{case}. Positions beyond the end of `a` are ignored.", f"Compares both texts position by position up to the end of the shorter one{case}, and returns those characters of `b` that differ."], [f"{pairs}\n    .filter(|(x, y)| {unlike})\n    .map(|(_, y)| y)\n    .collect()", loop("String::new()", "continue;", "result.push(y);", "result")]),
    }[wanted]
    counted = draw.style(" Positions are counted from the first character that is not skipped.", " Position 0 is the first character that is not skipped.") if skip and returns in ("Option<usize>", "Vec<usize>") else ""

    def oracle(a: str, b: str):
        both = list(zip(a[::-1], b[::-1], strict=False) if wanted == "suffix length" else zip(a, b, strict=False))[skip:]
        same = [x.lower() == y.lower() if folded else x == y for x, y in both]
        head = same.index(False) if False in same else len(same)
        return {"prefix length": head, "suffix length": head, "prefix": "".join(x for x, _ in both[:head]), "difference": head if head < len(same) else None, "distance": same.count(False),
                "equal places": [i for i, each in enumerate(same) if each], "rest": "".join(y for (_, y), each in zip(both, same, strict=True) if not each)}[wanted]

    def arguments() -> tuple[str, str]:
        a, b = draw.text(1), draw.text(1)
        return draw.arguments.choice(((a + b, a + b.upper()), (a + "x" + b, a.upper() + "y" + b), (a + b, a), (b + a, "a" + a), (a, b)))

    return FunctionSpec(
        name=draw.style(*{"prefix length": ("common_prefix_length", "shared_prefix"), "prefix": ("common_prefix", "shared_start"), "difference": ("first_difference", "first_mismatch"), "distance": ("hamming", "count_differences"), "suffix length": ("common_suffix_length", "shared_end"), "equal places": ("equal_positions", "matching_places"), "rest": ("changed_chars", "differing")}[wanted]),
        parameters={"a": "&str", "b": "&str"}, returns=returns, words=[each + (later.replace("first", "last") if wanted == "suffix length" else later) + counted for each in words], forms=forms, oracle=oracle, inputs=arguments,
    )


@family(tier=3)
def tally_text(draw: Draw) -> FunctionSpec:
    unit, wanted, least = draw.choose("chars", "words", "lengths", "initials"), draw.choose("map", "most", "repeated", "distinct", "ranking"), draw.integer(1, 3)
    condition = _word_condition(draw) if unit != "chars" and draw.choose(True, False) else draw.char_predicate() if unit == "chars" else None
    kind = {"chars": "char", "words": "String", "lengths": "usize", "initials": "char"}[unit]
    source = "text.chars()" if unit == "chars" else "text.split_whitespace()"
    key = {"chars": "item", "words": "item.to_lowercase()", "lengths": "item.len()", "initials": "item.chars().next().unwrap_or(' ')"}[unit]
    noun = {"chars": "character", "words": "lowercased word", "lengths": "word length", "initials": "first character of a word"}[unit]
    nouns = noun.replace(" of a word", "") + "s" + " of words" * (unit == "initials")
    skip = f"    if {negated(condition.on('item'))} {{\n        continue;\n    }}\n" if condition else ""
    counting = f"let mut counts: BTreeMap<{kind}, usize> = BTreeMap::new();\nfor item in {source} {{\n{skip}    *counts.entry({key}).or_insert(0) += 1;\n}}\n"
    step = f".filter(|{'&' if unit == 'chars' else ''}item| {condition.on('item')})" if condition else ""
    folding = f"let counts = {source}{step}.fold(BTreeMap::<{kind}, usize>::new(), |mut counts, item| {{\n    *counts.entry({key}).or_default() += 1;\n    counts\n}});\n"
    enough, often = f"{least} time{'s' * (least > 1)}", f"at least {least + 1} times"
    returns, ends, words = {
        "map": (f"BTreeMap<{kind}, usize>", [f"counts.into_iter().filter(|&(_, count)| count >= {least}).collect()", f"let mut counts = counts;\ncounts.retain(|_, count| *count >= {least});\ncounts"], [f"Counts how often each {noun} occurs in `text` and returns the counts{f' of those that occur at least {enough}' if least > 1 else ''}.", f"Returns a map from each {noun} in `text` to its number of occurrences{f', omitting anything that occurs fewer than {least} times' if least > 1 else ''}."]),
        "most": (f"Option<{kind}>", [f"counts.into_iter().filter(|&(_, count)| count >= {least}).rev().max_by_key(|&(_, count)| count).map(|(key, _)| key)"], [f"Returns the most frequent {noun} of `text`{f' among those that occur at least {enough}' if least > 1 else ''} (the smallest one in case of a tie), or `None` if there is none."]),
        "repeated": (f"Vec<{kind}>", [f"counts.into_iter().filter(|&(_, count)| count > {least}).map(|(key, _)| key).collect()", f"let mut result = Vec::new();\nfor (key, count) in counts {{\n    if count > {least} {{\n        result.push(key);\n    }}\n}}\nresult"], [f"Returns each {noun} that occurs {often} in `text`, in ascending order."]),
        "distinct": ("usize", [f"counts.values().filter(|&&count| count <= {least}).count()", f"counts.into_values().filter(|&count| count <= {least}).count()"], [f"Returns how many distinct {nouns} occur {'exactly once' if least == 1 else f'at most {enough}'} in `text`."]),
        "ranking": (f"Vec<({kind}, usize)>", [f"let mut result: Vec<({kind}, usize)> = counts.into_iter().collect();\nresult.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));\nresult.truncate({least + 1});\nresult", f"let mut result: Vec<_> = counts.into_iter().collect();\nresult.sort_by_key(|&(_, count)| std::cmp::Reverse(count));\nresult.into_iter().take({least + 1}).collect()"], [f"Returns the {least + 1} most frequent {nouns} of `text` with their counts, in descending order of the count and, in case of a tie, in ascending order of the {nouns}."]),
    }[wanted]
    only = f" Only {condition.plural} are considered{', before the conversion to lowercase' if unit == 'words' else ''}." if condition else ""

    def oracle(text: str):
        items = [c for c in (text if unit == "chars" else text.split()) if condition is None or condition(c)]
        counts = Counter({"chars": str, "words": str.lower, "lengths": len, "initials": lambda w: w[0]}[unit](each) for each in items)
        rank = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        best = [key for key, n in rank if n >= least]
        return {"map": {k: n for k, n in sorted(counts.items()) if n >= least}, "most": best[0] if best else None, "repeated": sorted(k for k, n in rank if n > least), "distinct": sum(n <= least for _, n in rank), "ranking": rank[: least + 1]}[wanted]

    def argument() -> str:
        chosen = draw.text(3).split()
        return " ".join(draw.arguments.choice(chosen) for _ in range(draw.arguments.randint(0, 7)))

    return FunctionSpec(
        name=draw.style(*{"map": ("tally", "frequencies", f"count_{unit}_by_kind"), "most": ("most_frequent", "most_common"), "repeated": ("repeated", "duplicates"), "distinct": ("rare_entries", "count_rare"), "ranking": ("ranking", "top_entries")}[wanted]),
        parameters={"text": "&str"}, returns=returns, words=[each + only for each in words], forms=[count + end for count in (counting, folding) for end in ends], oracle=oracle, inputs=lambda: (argument(),), imports=["use std::collections::BTreeMap;"],
    )


@family(tier=4)
def secret_language(draw: Draw) -> FunctionSpec:
    rule, suffix, insert = draw.choose("vowels", "first", "swap", "middle"), draw.choose("ay", "way", "ish", "um", "ka", "lo"), draw.choose("p", "b", "f", "lef")
    least, order, mark = draw.integer(1, 5), draw.choose("", ".rev()"), draw.choose(" ", "-", "_", ".")
    helper = draw.style("disguise", "encode_word", "transform_word", "twist")
    bodies, told, change = {
        "vowels": ([f"let mut result = String::new();\nfor c in word.chars() {{\n    result.push(c);\n    if \"aeiou\".contains(c) {{\n        result.push_str(\"{insert}\");\n        result.push(c);\n    }}\n}}\nresult", f"word.chars()\n    .map(|c| match c {{\n        'a' | 'e' | 'i' | 'o' | 'u' => format!(\"{{}}{insert}{{}}\", c, c),\n        _ => c.to_string(),\n    }})\n    .collect()"], f"Returns `word` with each lowercase vowel written twice and `{insert}` inserted between the two.", lambda w: "".join(c + insert + c if c in "aeiou" else c for c in w)),
        "first": ([f"let mut rest = word.chars();\nmatch rest.next() {{\n    Some(first) => format!(\"{{}}{{}}{suffix}\", rest.as_str(), first),\n    None => String::new(),\n}}", f"let Some(first) = word.chars().next() else {{\n    return String::new();\n}};\nlet mut result: String = word.chars().skip(1).collect();\nresult.push(first);\nresult + \"{suffix}\""], f"Moves the first character of `word` to the end and appends `{suffix}`. An empty word stays empty.", lambda w: w[1:] + w[0] + suffix if w else ""),
        "swap": ([f"let mut chars: Vec<char> = word.chars().collect();\nlet count = chars.len();\nif count > 1 {{\n    chars.swap(0, count - 1);\n}}\nchars.into_iter().collect::<String>() + \"{suffix}\""], f"Swaps the first and the last character of `word` and appends `{suffix}`.", lambda w: (w[-1] + w[1:-1] + w[0] if len(w) > 1 else w) + suffix),
        "middle": ([f"let half = word.chars().count() / 2;\nlet start: String = word.chars().take(half).collect();\nlet end: String = word.chars().skip(half).collect();\nformat!(\"{{}}{insert}{{}}\", start, end)", f"let half = word.chars().count() / 2;\nlet mut result = String::new();\nfor (index, c) in word.chars().enumerate() {{\n    if index == half {{\n        result.push_str(\"{insert}\");\n    }}\n    result.push(c);\n}}\nif word.is_empty() {{\n    result.push_str(\"{insert}\");\n}}\nresult"], f"Inserts `{insert}` in the middle of `word`, which is before the middle character if the length is odd.", lambda w: w[: len(w) // 2] + insert + w[len(w) // 2 :]),
    }[rule]
    part = FunctionSpec(name=helper, parameters={"word": "&str"}, returns="String", words=[told], forms=bodies, oracle=change, inputs=lambda: (draw.text(draw.arguments.choice((0, 1, 1, 1))),))
    which = f"every word of more than {least} characters" if least > 1 else "every word of at least two characters"
    joint = "single spaces" if mark == " " else f"`{mark}`"
    turned = " in reverse order" if order else ""
    return FunctionSpec(
        name=draw.style("secret_language", "encode_text", "disguise_text", "translate", "to_play_language"), parameters={"text": "&str"}, returns="String", parts=(part,),
        words=[f"Applies `{helper}` to {which} of `text`, keeps all other words unchanged, and joins the words{turned} with {joint}.", f"Returns the words of `text`{turned}, joined with {joint}, after applying `{helper}` to {which}. All other words stay the same."],
        forms=[
            f"text.split_whitespace()\n{'    .rev()' + chr(10) if order else ''}    .map(|word| {{\n        if word.chars().count() > {least} {{\n            {helper}(word)\n        }} else {{\n            word.to_string()\n        }}\n    }})\n    .collect::<Vec<_>>()\n    .join(\"{mark}\")",
            f"let mut words = Vec::new();\nfor word in text.split_whitespace(){order} {{\n    match word.chars().count() {{\n        0..={least} => words.push(word.to_string()),\n        _ => words.push({helper}(word)),\n    }}\n}}\nwords.join(\"{mark}\")",
        ], oracle=lambda text: mark.join([change(w) if len(w) > least else w for w in text.split()][:: -1 if order else 1]), inputs=lambda: (draw.text(),))
