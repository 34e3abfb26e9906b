"""Structs that borrow text or slices."""

from trainers.data.synthetic.families.lifetimes import draw_word, text_measure
from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal


@family(tier=3)
def text_iterator(draw: Draw) -> Items:
    wanted, least, sign = draw.choose("words", "fields", "chunks", "runs", "numbers", "pairs"), draw.integer(1, 4), draw.choose(",", ";", "|", "/", ":")
    keep, field = draw.char_predicate(), draw.style("rest", "remaining", "text", "input", "tail")
    name = draw.style(*{"words": ("Words", "Tokens", "Terms"), "fields": ("Fields", "Columns", "Cells"), "chunks": ("Chunks", "Pieces", "Slices"), "runs": ("Runs", "Spans", "Groups"), "numbers": ("Numbers", "Readings", "Amounts"), "pairs": ("Pairs", "Neighbors", "Steps")}[wanted])
    item = {"numbers": "i32", "pairs": "(&'a str, &'a str)"}.get(wanted, "&'a str")
    rest = f"self.{field}"
    cut = [f"let end = {rest}.find('{sign}').unwrap_or({rest}.len());", f"let part = &{rest}[..end];", f"{rest} = {rest}.get(end + 1..).unwrap_or(\"\");"]
    bodies = {
        "words": ["loop {", f"    let start = {rest}.trim_start();", "    if start.is_empty() {", "        return None;", "    }", "    let end = start.find(char::is_whitespace).unwrap_or(start.len());", f"    {rest} = &start[end..];", f"    if end >= {least} {{", "        return Some(&start[..end]);", "    }", "}"],
        "fields": [f"while !{rest}.is_empty() {{", *(f"    {line}" for line in cut), "    let part = part.trim();", f"    if part.len() >= {least} {{", "        return Some(part);", "    }", "}", "None"],
        "chunks": [f"if {rest}.is_empty() {{", "    return None;", "}", f"let (part, rest) = {rest}.split_at({rest}.len().min({least + 1}));", f"{rest} = rest;", "Some(part)"],
        "runs": [f"let start = {rest}.find(|c: char| {keep.on('c')})?;", f"let text = &{rest}[start..];", f"let end = text.find(|c: char| !({keep.on('c')})).unwrap_or(text.len());", f"{rest} = &text[end..];", "Some(&text[..end])"],
        "numbers": [f"while !{rest}.is_empty() {{", *(f"    {line}" for line in cut), "    if let Ok(number) = part.trim().parse::<i32>() {", f"        return Some(number * {least});", "    }", "}", "None"],
        "pairs": ["let mut words = " + rest + ".split_whitespace();", "let first = words.next()?;", f"let second = words.nth({least - 1})?;", f"let start = {rest}.trim_start();", f"{rest} = &start[first.len()..];", "Some((first, second))"],
    }[wanted]
    told = {"words": f"the words of at least {least} {'byte' if least == 1 else 'bytes'}", "fields": f"the trimmed fields separated by `{sign}` that have at least {least} {'byte' if least == 1 else 'bytes'}", "chunks": f"the pieces of {least + 1} bytes of an ASCII text, of which the last may be shorter", "runs": f"the maximal runs of {keep.plural}", "numbers": f"the integers in the fields separated by `{sign}`, each multiplied by {least}, skipping all other fields", "pairs": f"pairs of a word and the word {'after it' if least == 1 else f'{least} positions after it'}"}[wanted]
    made = draw.style("new", "over", "of", "from_text")
    code = (
        f"/// {draw.style('Iterates over', 'Yields', 'An iterator over')} {told}.\n#[derive(Debug, Clone)]\npub struct {name}<'a> {{\n    {field}: &'a str,\n}}\n\nimpl<'a> {name}<'a> {{\n    /// {draw.style('Starts at the beginning of', 'Creates an iterator over', 'Borrows')} `source`.\n    pub fn {made}(source: &'a str) -> Self {{\n        {name} {{ {field}: source }}\n    }}\n\n"
        f"    /// Returns the part of the text that has not been visited yet.\n    pub fn unread(&self) -> &'a str {{\n        self.{field}\n    }}\n}}\n\nimpl<'a> Iterator for {name}<'a> {{\n    type Item = {item};\n\n    fn next(&mut self) -> Option<Self::Item> {{\n" + "".join(f"        {line}\n" for line in bodies) + "    }\n}\n"
    )

    def items(text: str) -> list:
        words = text.split()
        runs = "".join(c if keep(c) else "\0" for c in text).split("\0")
        fields = [each.strip() for each in text.split(sign)]
        return {
            "words": lambda: [w for w in words if len(w) >= least], "fields": lambda: [f for f in fields if len(f) >= least], "chunks": lambda: [text[i : i + least + 1] for i in range(0, len(text), least + 1)], "runs": lambda: [run for run in runs if run],
            "numbers": lambda: [int(f) * least for f in fields if f.lstrip("-").isdigit()], "pairs": lambda: list(zip(words, words[least:], strict=False)),
        }[wanted]()

    def text() -> str:
        pick = draw.arguments

        def entry():
            return pick.choice((str(pick.randint(-9, 60)), draw_word(draw), f" {pick.randint(0, 99)}", str(pick.randint(0, 9))))

        return sign.join(entry() for _ in range(pick.randint(1, 5))) if wanted in ("fields", "numbers") else draw.text(pick.randint(1, 5))

    kind = item.replace("'a ", "")
    cases, seen = [], set()
    for index in range(24):
        source = text()
        found = items(source)
        shown = [Case(f"{name}::{made}({literal(source, '&str')}).collect::<Vec<_>>()", literal(found, f"Vec<{kind}>")), Case(f"{name}::{made}({literal(source, '&str')}).count()", str(len(found))), Case(f"{name}::{made}({literal(source, '&str')}).last()", literal(found[-1] if found else None, f"Option<{kind}>"))][index % 3]
        if shown.expected not in seen:
            seen.add(shown.expected)
            cases.append(shown)
    return Items(code, cases[:6])


@family(tier=3)
def text_holder(draw: Draw) -> Items:
    domain, field = draw.choose("Cursor", "Excerpt", "Highlighter", "Scanner", "Label", "Reader"), draw.style("text", "source", "input", "content")
    measure, k, keep = text_measure(draw), draw.integer(1, 5), draw.char_predicate()
    name = draw.style(domain, {"Cursor": "Position", "Excerpt": "Quote", "Highlighter": "Marker", "Scanner": "Walker", "Label": "Caption", "Reader": "Source"}[domain])
    left, right = draw.choose(("*", "*"), ("[", "]"), ("<b>", "</b>"), ("_", "_"), (">>", "<<"))
    chosen = sorted({draw.choose("measure", "first", "shorten", "mark", "skip", "split", "starts") for _ in range(5)} | {draw.choose("skip", "mark")})
    f, x = f"self.{field}", measure.on(f"self.{field}")
    lower = f"{keep.on('c')}"
    methods = {
        "measure": (f"Returns the {measure.noun}.", "measure(&self) -> usize", [x], "measure()", lambda s: measure.compute(s), "usize"),
        "first": (f"Returns the first {'byte' if k == 1 else f'{k} bytes'} of an ASCII text, or the whole text if it is shorter.", "head(&self) -> &'a str", draw.style([f"{f}.get(..{k}).unwrap_or({f})"], [f"&{f}[..{f}.len().min({k})]"]), "head()", lambda s: s[:k], "&str"),
        "shorten": (f"Returns an ASCII text without its last {'byte' if k == 1 else f'{k} bytes'}, or an empty text if nothing remains.", "shortened(&self) -> &'a str", draw.style([f"let end = {f}.len().saturating_sub({k});", f"&{f}[..end]"], [f"if {f}.len() <= {k} {{", '    return "";', "}", f"&{f}[..{f}.len() - {k}]"]), "shortened()", lambda s: s[:-k], "&str"),
        "mark": (f"Returns the words separated by single spaces, where each word that contains any {keep.plural} is placed between `{left}` and `{right}`.", "marked(&self) -> String", [
            f"let mut words = Vec::new();\nfor word in {f}.split_whitespace() {{\n    if word.chars().any(|c| {lower}) {{\n        words.push(format!(\"{left}{{}}{right}\", word));\n    }} else {{\n        words.push(word.to_string());\n    }}\n}}\nwords.join(\" \")"], "marked()", lambda s: " ".join(left + w + right if any(map(keep, w)) else w for w in s.split()), "String"),
        "skip": (f"Skips the {keep.plural} at the beginning and returns how many there were.", "skip(&mut self) -> usize", draw.style([f"let rest = {f}.trim_start_matches(|c: char| {lower});", f"let count = {f}.len() - rest.len();", f"{f} = rest;", "count"], ["let mut count = 0;", f"while let Some(c) = {f}.chars().next() {{", f"    if !({lower}) {{", "        break;", "    }", f"    {f} = &{f}[c.len_utf8()..];", "    count += 1;", "}", "count"]), "skip()", None, "usize"),
        "split": ("Returns the first word and the rest of the text after the space that follows it, or `None` if there is no word.", "split_word(&self) -> Option<(&'a str, &'a str)>", [f"let text = {f}.trim_start();", "if text.is_empty() {", "    return None;", "}", "Some(text.split_once(' ').unwrap_or((text, \"\")))"], "split_word()", lambda s: None if not s.strip() else tuple((s.strip() + " ").split(" ", 1)) if " " not in s.lstrip() else tuple(s.lstrip().split(" ", 1)), "Option<(&str, &str)>"),
        "starts": (f"Returns `true` if the first character {keep.clause}.", "begins_well(&self) -> bool", [f"{f}.starts_with(|c: char| {lower})"], "begins_well()", lambda s: bool(s) and keep(s[0]), "bool"),
    }
    new = draw.style("new", "over", "of")
    parts = [f"    /// Borrows the text.\n    pub fn {new}({field}: &'a str) -> Self {{\n        Self {{ {field} }}\n    }}"]
    for each in chosen:
        doc, signature, body, *_ = methods[each]
        lines = "\n".join(body).split("\n")
        parts.append(f"    /// {doc}\n    pub fn {signature} {{\n" + "".join(f"        {line}\n" for line in lines) + "    }")
    told = draw.style(f"A {name.lower()} that borrows its text.", f"A view of a text that is not owned, with the methods {', '.join('`' + methods[each][1].partition('(')[0] + '`' for each in chosen)}.", "Holds a reference to a text.")
    code = f"/// {told}\n#[derive(Debug, Clone, Copy, PartialEq)]\npub struct {name}<'a> {{\n    {field}: &'a str,\n}}\n\nimpl<'a> {name}<'a> {{\n" + "\n\n".join(parts) + "\n}\n"
    cases, seen = [], set()
    for index in range(30):
        text = draw.text(draw.arguments.randint(1, 4))
        each = chosen[index % len(chosen)]
        call, compute, kind = methods[each][3:]
        if compute is None:
            rest = text[next((i for i, c in enumerate(text) if not keep(c)), len(text)) :]
            case = Case(f"(it.skip(), it.{field})", literal((len(text) - len(rest), rest), "(usize, &str)"), f"let mut it = {name}::{new}({literal(text, '&str')});")
        else:
            case = Case(f"{name}::{new}({literal(text, '&str')}).{call}", literal(compute(text), kind))
        if (each, case.expected) not in seen:
            seen.add((each, case.expected))
            cases.append(case)
    return Items(code, cases[:8])


@family(tier=3)
def slice_view(draw: Draw) -> Items:
    kind, size = draw.choose("i32", "i64", "u32", "u64"), draw.integer(2, 4)
    mapping, keep = draw.integer_mapping(kind), draw.integer_predicate(kind)
    name, field = draw.style("View", "Samples", "Readings", "Track", "Measurements", "Scores", "Document"), draw.style("values", "items", "data", "points")
    chosen = sorted({draw.choose("windows", "at", "best", "kept", "halves", "total") for _ in range(4)} | {draw.choose("windows", "kept")})
    f = f"self.{field}"
    value = mapping.on("value")
    new = draw.style("new", "over", "of")
    methods = {
        "windows": (f"Returns the sums of all windows of {size} consecutive elements, where every element is first {mapping.participle}.", f"sums(&self) -> Vec<{kind}>", [f"{f}", f"    .windows({size})", f"    .map(|window| window.iter().map(|&value| {value}).sum())", "    .collect()"], "sums()", lambda v: [sum(map(mapping, v[i : i + size])) for i in range(len(v) - size + 1)], f"Vec<{kind}>"),
        "at": ("Returns the element at `index`, wrapping around at the end, or `None` if the slice is empty.", f"at(&self, index: usize) -> Option<&'a {kind}>", draw.style([f"if {f}.is_empty() {{", "    return None;", "}", f"{f}.get(index % {f}.len())"], [f"let index = index.checked_rem({f}.len())?;", f"Some(&{f}[index])"]), f"at({size + 3})", lambda v: v[(size + 3) % len(v)] if v else None, f"Option<&{kind}>"),
        "best": (f"Returns the element that is largest when {mapping.participle}, or the first of them in case of a tie.", f"best(&self) -> Option<&'a {kind}>", [f"{f}.iter().rev().max_by_key(|&&value| {value})"], "best()", lambda v: max(v, key=mapping, default=None), f"Option<&{kind}>"),
        "kept": (f"Returns the {keep.plural}.", f"kept(&self) -> Vec<&'a {kind}>", draw.style([f"{f}.iter().filter(|&&value| {keep.on('value')}).collect()"], ["let mut result = Vec::new();", f"for held in {f} {{", "    let value = *held;", f"    if {keep.on('value')} {{", "        result.push(held);", "    }", "}", "result"]), "kept()", lambda v: [x for x in v if keep(x)], f"Vec<&{kind}>"),
        "halves": ("Returns both halves of the slice, of which the second is longer if the length is odd.", f"halves(&self) -> (&'a [{kind}], &'a [{kind}])", draw.style([f"{f}.split_at({f}.len() / 2)"], [f"let middle = {f}.len() / 2;", f"(&{f}[..middle], &{f}[middle..])"]), "halves()", lambda v: (v[: len(v) // 2], v[len(v) // 2 :]), f"(&[{kind}], &[{kind}])"),
        "total": (f"Returns the sum of the {keep.plural}.", f"total(&self) -> {kind}", draw.style([f"{f}.iter().filter(|&&value| {keep.on('value')}).sum()"], ["let mut total = 0;", f"for &value in {f} {{", f"    if {keep.on('value')} {{", "        total += value;", "    }", "}", "total"]), "total()", lambda v: sum(x for x in v if keep(x)), kind),
    }
    parts = [f"    /// {draw.style('Creates a view of', 'Borrows', 'Wraps')} `{field}`.\n    pub fn {new}({field}: &'a [{kind}]) -> Self {{\n        {name} {{ {field} }}\n    }}"]
    parts += [f"    /// {methods[each][0]}\n    pub fn {methods[each][1]} {{\n" + "".join(f"        {line}\n" for line in methods[each][2]) + "    }" for each in chosen]
    code = f"/// {draw.style('A view of numbers that are owned elsewhere.', f'A borrowed slice of `{kind}`.', 'A borrowed slice with some statistics.')}\n#[derive(Debug, Clone, Copy)]\npub struct {name}<'a> {{\n    {field}: &'a [{kind}],\n}}\n\nimpl<'a> {name}<'a> {{\n" + "\n\n".join(parts) + "\n}\n"
    cases, seen = [], set()
    for index in range(24):
        numbers = [draw.arguments.randint(-6 if kind[0] == "i" else 0, 24) for _ in range(draw.arguments.randint(1, 6))]
        each = chosen[index % len(chosen)]
        case = Case(f"{name}::{new}(&{numbers}).{methods[each][3]}", literal(methods[each][4](numbers), methods[each][5]))
        if case.expected not in seen:
            seen.add(case.expected)
            cases.append(case)
    return Items(code, cases[:8])
