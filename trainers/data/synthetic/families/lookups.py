"""Functions that look up values in maps and sets."""

from collections import Counter
from typing import Any

from trainers.data.synthetic.families.maps import MAPS, few_numbers, import_of, small_numbers
from trainers.data.synthetic.family import Draw, FunctionSpec, Undefined, family
from trainers.data.synthetic.literals import INTEGERS, Err, Ok


@family(tier=3)
def order_total(draw: Draw) -> FunctionSpec:
    container, kind, missing = draw.choose(*MAPS), draw.choose("u32", "u64", "i64"), draw.choose("skip", "default", "none", "error", "report")
    many, off, fee = draw.integer(3, 9), draw.integer(1, 3), draw.choose(0, 2, 5, 10)
    thing, cost = draw.choose(("item", "price"), ("part", "weight"), ("task", "points"), ("food", "calories"), ("card", "value"))
    discount = draw.choose(True, False)
    default = draw.integer(1, 9) if missing == "default" else 0
    returns = {"none": f"Option<{kind}>", "error": f"Result<{kind}, String>", "report": f"({kind}, Vec<String>)"}.get(missing, kind)
    single = f"if quantity >= {many} {{ each - {off} }} else {{ each }}" if discount else "each"
    add = ([f"let each = {single};"] if discount else []) + ["total += each * quantity;"]
    start = f"let mut total = {fee};" if fee else "let mut total = 0;"
    unknown = {
        "skip": ["continue;"], "none": ["return None;"], "error": [f'return Err(format!("unknown {thing}: {{}}", name));'],
        "report": ["missing.push(name.to_string());", "continue;"],
    }.get(missing, [])
    result = {"none": "Some(total)", "error": "Ok(total)", "report": "(total, missing)"}.get(missing, "total")
    begin = [start, *(["let mut missing = Vec::new();"] if missing == "report" else []), "for &(name, quantity) in order {"]
    if missing == "default":
        lookups = [[f"let each = table.get(name).copied().unwrap_or({default});"], [f"let each = *table.get(name).unwrap_or(&{default});"]]
    else:
        lookups = [
            ["let Some(&each) = table.get(name) else {", *(f"    {line}" for line in unknown), "};"],
            ["let each = match table.get(name) {", "    Some(&each) => each,",
             *([f"    None => {unknown[0].rstrip(';')},"] if len(unknown) == 1 else ["    None => {", *(f"        {line}" for line in unknown), "    }"]), "};"],
        ]
    names = ("bolt", "nut", "gear", "lamp", "cable", "fuse")

    def oracle(order: list, table: dict) -> object:
        total, lost = fee, []
        for name, quantity in order:
            if name not in table and missing != "default":
                if missing == "none":
                    return None
                if missing == "error":
                    return Err(f"unknown {thing}: {name}")
                lost.append(name)
                continue
            each = table.get(name, default)
            if discount and quantity >= many:
                if each < off and kind[0] == "u":
                    raise Undefined
                each -= off
            total += each * quantity
        return {"none": total, "error": Ok(total), "report": (total, lost)}.get(missing, total)

    def inputs() -> tuple:
        pick = draw.arguments
        known = pick.sample(names, pick.randint(3, 6))
        return [(pick.choice(names), pick.randint(0, 12)) for _ in range(pick.randint(0, 4))], {name: pick.randint(4, 40) for name in known}

    handled = {
        "skip": f"A {thing} that is not in `table` is skipped.", "default": f"For a {thing} that is not in `table`, the {cost} is {default}.", "none": f"Returns `None` if any {thing} is not in `table`.",
        "error": f'Returns the error "unknown {thing}: .." with the name of the first {thing} that is not in `table`, if any.', "report": f"The second part of the result lists the name of every {thing} that is not in `table`, in order.",
    }[missing]
    rest = (f" If the quantity is at least {many}, {off} is subtracted from the {cost} of each." if discount else "") + (f" Finally, {fee} is added once to the sum." if fee else "")
    return FunctionSpec(
        name=draw.style(f"total_{cost}", f"order_{cost}", "sum_up", f"{cost}_of_order", "checkout"),
        parameters={"order": f"&[(&str, {kind})]", "table": f"&{container}<String, {kind}>"},
        returns=returns,
        imports=[import_of(container)],
        words=[
            f"Sums up the {cost} of all {thing}s in `order`, each multiplied by its quantity, where `table` contains the {cost} of one {thing}.{rest} {handled}",
            f"Looks up the {cost} of each {thing} of `order` in `table`, multiplies it by the quantity, and returns the total.{rest} {handled}",
        ],
        forms=["\n".join([*begin, *(f"    {line}" for line in [*lookup, *add]), "}", result]) for lookup in lookups],
        oracle=oracle,
        inputs=inputs,
    )


@family(tier=2)
def set_operation(draw: Draw) -> FunctionSpec:
    kind, wanted, order = draw.choose(*INTEGERS), draw.choose("common", "only", "either", "all"), draw.choose("ascending", "descending")
    keep, filtered = draw.integer_predicate(kind), draw.choose(True, False)
    method, holds, said = {
        "common": ("intersection", lambda v, a, b: v in a and v in b, "both in `a` and in `b`"),
        "only": ("difference", lambda v, a, b: v in a and v not in b, "in `a` but not in `b`"),
        "either": ("symmetric_difference", lambda v, a, b: (v in a) != (v in b), "in exactly one of `a` and `b`"),
        "all": ("union", lambda v, a, b: True, "in `a` or `b`"),
    }[wanted]
    which = keep.plural if filtered else "numbers"
    condition = {"common": "b.contains(value)", "only": "!b.contains(value)"}.get(wanted)
    sort = ["result.sort();"] if order == "ascending" else ["result.sort_by(|x, y| y.cmp(x));"]
    only = [f"result.retain(|&value| {keep.on('value')});"] if filtered else []
    sets = [f"let {name}: BTreeSet<{kind}> = {name}.iter().copied().collect();" for name in "ab"]
    hashed = [line.replace("BTreeSet", "HashSet") for line in sets]
    collect = f"let mut result: Vec<{kind}> = a.{method}(&b).copied().collect();"
    forms = ["\n".join([*hashed, collect, *only, *sort, "result"])]
    if order == "ascending" and not filtered:
        forms += ["\n".join([*sets, f"a.{method}(&b).copied().collect()"])]
    elif order == "ascending":
        forms += ["\n".join([*sets, f"a.{method}(&b)", "    .copied()", f"    .filter(|&value| {keep.on('value')})", "    .collect()"])]
    else:
        forms += ["\n".join([*sets, collect, *only, "result.reverse();", "result"])]
    if condition:
        collect = [f"let mut result: Vec<{kind}> = a", "    .iter()", f"    .filter(|value| {condition})", "    .copied()", "    .collect();"]
        forms += ["\n".join([*collect, *only, *sort, "result.dedup();", "result"])]
        loop = ["let mut result = Vec::new();", "for value in a {", f"    if {condition} && !result.contains(value) {{", "        result.push(*value);", "    }", "}"]
        forms += ["\n".join([*loop, *only, *sort, "result"])]
    return FunctionSpec(
        name=draw.style(f"{wanted}_numbers", wanted, method, f"sorted_{method}"),
        parameters={"a": f"&[{kind}]", "b": f"&[{kind}]"},
        returns=f"Vec<{kind}>",
        body_imports=[import_of("BTreeSet"), import_of("HashSet")],
        words=[
            f"Returns the {which} that are {said}, without duplicates and in {order} order.",
            f"Finds all {which} that occur {said}. Each appears only once in the result, which is in {order} order.",
        ],
        forms=forms,
        oracle=lambda a, b: sorted({v for v in [*a, *b] if holds(v, a, b) and (not filtered or keep(v))}, reverse=order == "descending"),
        inputs=lambda: (small_numbers(draw, kind), small_numbers(draw, kind)),
    )


@family(tier=2)
def repeated_value(draw: Draw) -> FunctionSpec:
    kind, wanted, returns = draw.choose(*INTEGERS), draw.choose("repeat", "unique", "times"), draw.choose("value", "index")
    mapping, keyed = draw.integer_mapping(kind), draw.choose(True, True, False)
    times = draw.integer(2, 3)
    key = mapping.on("value") if keyed else "value"
    given = "Some(value)" if returns == "value" else "Some(index)"
    same = "the same key" if keyed else "the same value"
    said = {
        "repeat": f"the first number that has {same} as an earlier number", "unique": f"the first number that does not have {same} as any other number",
        "times": f"the first number that is the {'second' if times == 2 else 'third'} one with {same}",
    }[wanted]
    loop = "for (index, &value) in values.iter().enumerate() {" if returns == "index" else "for &value in values {"

    def oracle(values: list[int]) -> int | None:
        keys = [mapping(v) if keyed else v for v in values]
        for index, (value, mine) in enumerate(zip(values, keys, strict=True)):
            before = keys[:index].count(mine)
            if {"repeat": before >= 1, "unique": keys.count(mine) == 1, "times": before == times - 1}[wanted]:
                return value if returns == "value" else index
        return None

    forms = {
        "repeat": [
            f"let mut seen = HashSet::new();\n{loop}\n    if !seen.insert({key}) {{\n        return {given};\n    }}\n}}\nNone",
            f"let mut seen = BTreeSet::new();\n{loop}\n    let key = {key};\n    if seen.contains(&key) {{\n        return {given};\n    }}\n    seen.insert(key);\n}}\nNone",
        ],
        "unique": [
            f"let mut counts = HashMap::new();\nfor &value in values {{\n    *counts.entry({key}).or_insert(0) += 1;\n}}\n{loop}\n    if counts[&({key})] == 1 {{\n        return {given};\n    }}\n}}\nNone".replace("&(value)", "&value"),
            f"let keys: Vec<{kind}> = values.iter().map(|&value| {key}).collect();\n{loop}\n    let key = {key};\n    if keys.iter().filter(|&&other| other == key).count() == 1 {{\n        return {given};\n    }}\n}}\nNone",
        ],
        "times": [
            f"let mut counts = HashMap::new();\n{loop}\n    let count = counts.entry({key}).or_insert(0);\n    *count += 1;\n    if *count == {times} {{\n        return {given};\n    }}\n}}\nNone",
            f"let mut counts: BTreeMap<{kind}, u32> = BTreeMap::new();\n{loop}\n    let key = {key};\n    let count = counts.get(&key).map_or(1, |count| count + 1);\n    if count == {times} {{\n        return {given};\n    }}\n    counts.insert(key, count);\n}}\nNone",
        ],
    }[wanted]
    defined = f" The key of a number is that number {mapping.participle}." if keyed else ""
    which = "number" if returns == "value" else "index"
    return FunctionSpec(
        name=draw.style(f"first_{wanted}", f"find_{wanted}", f"{wanted}_{which}", "first_by_count"),
        parameters={"values": f"&[{kind}]"},
        returns=f"Option<{kind if returns == 'value' else 'usize'}>",
        body_imports=[import_of(each) for each in ("BTreeMap", "BTreeSet", "HashMap", "HashSet")],
        words=[
            f"Returns {'the index of ' if returns == 'index' else ''}{said}, or `None` if there is none.{defined}",
            f"Searches `values` for {said}. Returns its {'index' if returns == 'index' else 'value'}, or `None` if there is no such number.{defined}",
        ],
        forms=forms,
        oracle=oracle,
        inputs=lambda: (few_numbers(draw, 0, 6, 8) if draw.arguments.random() < 0.7 else small_numbers(draw, kind),),
    )


@family(tier=2)
def positions_by_value(draw: Draw) -> FunctionSpec:
    source, wanted, container = draw.choose("chars", "numbers"), draw.choose("first", "last", "all", "span"), draw.choose(*MAPS)
    kind = draw.choose("i32", "u32", "i64", "u64")
    base = draw.choose(0, 1)
    keep = draw.char_predicate() if source == "chars" else draw.integer_predicate(kind)
    element = "char" if source == "chars" else kind
    position = "index + 1" if base else "index"
    value, put, said, finish = {
        "first": ("usize", [f"positions.entry(value).or_insert({position});"], "the position of its first occurrence", lambda p: p[0]),
        "last": ("usize", [f"positions.insert(value, {position});"], "the position of its last occurrence", lambda p: p[-1]),
        "all": ("Vec<usize>", [f"positions.entry(value).or_insert_with(Vec::new).push({position});"], "all of its positions", list),
        "span": ("(usize, usize)", [f"let place = {position};", "positions.entry(value).or_insert((place, place)).1 = place;"], "its first and its last position", lambda p: (p[0], p[-1])),
    }[wanted]
    header = "for (index, value) in values.chars().enumerate() {" if source == "chars" else "for (index, &value) in values.iter().enumerate() {"
    skip = [f"    if !({keep.on('value')}) {{", "        continue;", "    }"]
    inside = [f"    if {keep.on('value')} {{", *(f"        {line}" for line in put), "    }"]
    begin = f"let mut positions: {container}<{element}, {value}> = {container}::new();"

    def oracle(values: str | list) -> dict:
        places = {}
        for index, v in enumerate(values, base):
            if keep(v):
                places.setdefault(v, []).append(index)
        return {key: finish(place) for key, place in places.items()}

    noun = "character" if source == "chars" else "number"
    return FunctionSpec(
        name=draw.style("positions", "index_of_values", f"{wanted}_positions", "occurrence_index", "locate"),
        parameters={"values": "&str" if source == "chars" else f"&[{kind}]"},
        returns=f"{container}<{element}, {value}>",
        imports=[import_of(container)],
        words=[
            f"Maps each {noun} that {keep.clause} to {said}. Positions are counted from {base}.",
            f"Builds a map from each of the {keep.plural} in `values` to {said}, counting positions from {base}.",
        ],
        forms=["\n".join([begin, header, *skip, *(f"    {line}" for line in put), "}", "positions"]), "\n".join([begin, header, *inside, "}", "positions"])],
        oracle=oracle,
        inputs=lambda: (draw.text() if source == "chars" else small_numbers(draw, kind),),
    )


@family(tier=4)
def most_frequent(draw: Draw) -> FunctionSpec:
    source, ties, k = draw.choose("words", "chars", "numbers"), draw.choose("smaller", "larger"), draw.integer(1, 4)
    counted, least = draw.choose(True, False), draw.integer(1, 2)
    kind, element, iterate = {"words": ("&str", "String", "text.split_whitespace().map(str::to_string)"), "chars": ("&str", "char", "text.chars()"),
                              "numbers": ("&[i32]", "i32", "text.iter().copied()")}[source]
    counts_type = f"BTreeMap<{element}, usize>"
    count = draw.style("count_each", "tally", "frequencies", "count_occurrences")

    def count_all(text: Any) -> dict:
        return dict(sorted(Counter(text.split() if source == "words" else text).items()))

    def oracle(text: str | list) -> list:
        ranked = sorted(count_all(text).items(), reverse=ties == "larger")
        chosen = [pair for pair in sorted(ranked, key=lambda pair: -pair[1]) if pair[1] >= least][:k]
        return chosen if counted else [each for each, _ in chosen]

    def inputs() -> tuple:
        if source == "words":
            return (" ".join(draw.arguments.choices(("red", "blue", "tea", "sun", "owl"), k=draw.arguments.randint(0, 9))),)
        return ("".join(draw.arguments.choices("abcdx", k=draw.arguments.randint(0, 9))) if source == "chars" else few_numbers(draw, -2, 5, 10),)

    second = "a.0.cmp(&b.0)" if ties == "smaller" else "b.0.cmp(&a.0)"
    rank = f"ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| {second}));"
    begin = f"let mut ranked: Vec<({element}, usize)> = {count}(text).into_iter().collect();"
    keep = [f"ranked.retain(|pair| pair.1 >= {least});"] if least > 1 else []
    stable = ["ranked.reverse();"] if ties == "larger" else []
    end = [f"ranked.truncate({k});", "ranked"] if counted else [f"ranked.into_iter().take({k}).map(|pair| pair.0).collect()"]
    noun = {"words": "word", "chars": "character", "numbers": "number"}[source]
    said = f"the {k} most frequent {noun}s" if k > 1 else f"the most frequent {noun}"
    tied = f"alphabetically {'first' if ties == 'smaller' else 'last'} {noun}" if source == "words" else f"{ties} {noun}"
    only = f" Any {noun} that occurs fewer than {least} times is omitted." if least > 1 else ""
    helper = FunctionSpec(
        name=count, parameters={"text": kind}, returns=counts_type, oracle=count_all, inputs=inputs,
        words=[f"Counts how often each {noun} occurs in `text`.", f"Maps each {noun} of `text` to its number of occurrences."],
        forms=[f"let mut counts = BTreeMap::new();\nfor each in {iterate} {{\n    *counts.entry(each).or_insert(0) += 1;\n}}\ncounts",
               f"let mut counts = BTreeMap::new();\nfor each in {iterate} {{\n    counts.entry(each).and_modify(|n| *n += 1).or_insert(1);\n}}\ncounts"],
    )
    return FunctionSpec(
        name=draw.style(f"top_{noun}s", "most_frequent", f"favorite_{noun}s", f"top_{k}"), parameters={"text": kind},
        returns=f"Vec<({element}, usize)>" if counted else f"Vec<{element}>", imports=[import_of("BTreeMap")],
        words=[
            f"Finds {said}{', with the count' if counted else ''}, {'the most frequent first' if k > 1 else 'as a vector of at most one element'}. Among equally frequent ones, the {tied} comes first.{only}",
            f"Ranks the {noun}s of `text` by descending frequency, where the {tied} wins a tie, and returns the first {f'{k} of them' if k > 1 else 'one'}{(' with their counts' if k > 1 else ' with its count') if counted else ''}.{only}",
        ],
        forms=["\n".join([begin, *keep, rank, *end]), "\n".join([begin, *keep, *stable, "ranked.sort_by_key(|pair| std::cmp::Reverse(pair.1));", *end])],
        oracle=oracle, inputs=inputs, parts=[helper],
    )


@family(tier=3)
def merged_maps(draw: Draw) -> FunctionSpec:
    container, kind, key, target = draw.choose(*MAPS), draw.choose("i32", "i64"), draw.choose("String", "u32", "char"), draw.choose("new", "in place")
    wanted = draw.choose("sum", "larger", "smaller", "difference", "theirs", "product")
    mapping, altered, common = draw.integer_mapping(kind), draw.choose(True, False), draw.choose(True, False)
    rust, compute, said = {
        "sum": ("*mine + {}", lambda a, b: a + b, "are added"), "larger": ("(*mine).max({})", max, "are replaced by the larger one"),
        "smaller": ("(*mine).min({})", min, "are replaced by the smaller one"), "difference": ("*mine - {}", lambda a, b: a - b, "are subtracted, the value in `b` from the value in `a`"),
        "theirs": ("{}", lambda a, b: b, "are replaced by the value in `b`"), "product": ("*mine * {}", lambda a, b: a * b, "are multiplied"),
    }[wanted]
    value = mapping.on("value") if altered else "value"
    both = rust.format(f"({value})" if altered else "value")
    owned = "key.clone()" if key == "String" else "*key"
    absent = None if common else f"{{}}.insert({owned}, {value});"
    find = [f"if let Some(mine) = {{}}.get{'_mut' if target != 'new' else ''}(key) {{{{"]
    if target == "new" and common:
        begin, end, body = [f"let mut result = {container}::new();"], ["result"], [find[0].format("a"), f"    result.insert({owned}, {both});", "}"]
    else:
        name = "result" if target == "new" else "a"
        begin, end = (["let mut result = a.clone();"], ["result"]) if target == "new" else ([], [])
        rest = ["} else {", "    " + absent.format(name), "}"] if absent else ["}"]
        body = [f"if let Some(mine) = {name}.get_mut(key) {{", f"    *mine = {both};".replace("(*mine * (", "(*mine * ("), *rest]
    loops = ["for (key, &value) in b {", "for (key, value) in b.iter() {"]
    bodies = [body, ["let value = *value;", *body]]

    def oracle(a: dict, b: dict) -> dict | None:
        merged = {} if target == "new" and common else dict(a)
        for name, number in b.items():
            theirs = mapping(number) if altered else number
            if name in a:
                merged[name] = compute(a[name], theirs)
            elif not common:
                merged[name] = theirs
        if target == "new":
            return merged
        a.clear()
        a.update(merged)
        return None

    def one() -> dict:
        names = {"String": ("tea", "milk", "rice", "salt"), "u32": (1, 2, 5, 8), "char": "abxy"}[key]
        return {name: draw.arguments.randint(-9, 20) for name in draw.arguments.sample(names, draw.arguments.randint(0, 4))}

    alone = "keys that occur only in `b` are ignored" if common and target != "new" else "keys that occur in only one map are omitted" if common else "keys that occur in only one map are kept with their value"
    changed = f" Before that, all values of `b` are {mapping.participle}." if altered else ""
    shape = f"{container}<{key}, {kind}>"
    return FunctionSpec(
        name=draw.style("merge", "combine_maps", "join_tables", "update_with", "absorb"), parameters={"a": f"&{shape}" if target == "new" else f"&mut {shape}", "b": f"&{shape}"},
        returns=shape if target == "new" else None, imports=[import_of(container)],
        words=[f"Merges `b` {'with' if target == 'new' else 'into'} `a`: the values of a key that occurs in both maps {said}, and {alone}.{changed}",
               f"Combines two maps{' into a new one' if target == 'new' else ' by modifying `a` in place'}. If both contain a key, its values {said}; {alone}.{changed}"],
        forms=["\n".join([*begin, header, *(f"    {line}" for line in inner), "}", *end]) for header, inner in zip(loops, bodies, strict=True)],
        oracle=oracle, inputs=lambda: (one(), one()),
    )


@family(tier=2)
def pairs_counted(draw: Draw) -> FunctionSpec:
    kind, relation, k = draw.choose("i32", "i64"), draw.choose("difference", "sum", "multiple", "product"), draw.integer(1, 12)
    returns, keep = draw.choose("count", "indices", "exists"), draw.integer_predicate(kind)
    filtered, k = draw.choose(True, False), k + 1 if relation == "multiple" else k
    rust, holds, said = {
        "difference": (f"(a - b).abs() == {k}", lambda a, b: abs(a - b) == k, f"differ by {k}"), "sum": (f"a + b == {k}", lambda a, b: a + b == k, f"add up to {k}"),
        "multiple": (f"(a + b) % {k} == 0", lambda a, b: (a + b) % k == 0, f"have a sum divisible by {k}"), "product": (f"a * b == {k}", lambda a, b: a * b == k, f"have the product {k}"),
    }[relation]
    only = f"{keep.on('a')}" if filtered else ""
    whole = " && ".join([f"({only})" if "||" in only else only, rust]) if only else rust
    act = {"count": "count += 1;", "indices": "return Some((i, j));", "exists": "return true;"}[returns]
    begin, end, result = {"count": ("let mut count = 0;\n", "count", "usize"), "indices": ("", "None", "Option<(usize, usize)>"), "exists": ("", "false", "bool")}[returns]

    def oracle(values: list[int]) -> object:
        pairs = [(i, j) for i, a in enumerate(values) for j, b in enumerate(values) if i < j and holds(a, b) and (not filtered or keep(a))]
        return {"count": len(pairs), "indices": pairs[0] if pairs else None, "exists": bool(pairs)}[returns]

    forms = [f"{begin}for i in 0..values.len() {{\n    for j in i + 1..values.len() {{\n        let (a, b) = (values[i], values[j]);\n        if {whole} {{\n            {act}\n        }}\n    }}\n}}\n{end}",
             f"{begin}for (i, &a) in values.iter().enumerate() {{\n    for (j, &b) in values.iter().enumerate().skip(i + 1) {{\n        if {whole} {{\n            {act}\n        }}\n    }}\n}}\n{end}"]
    if returns != "indices":
        forms = [forms[0], f"{begin}for (i, &a) in values.iter().enumerate() {{\n    for &b in &values[i + 1..] {{\n        if {whole} {{\n            {act}\n        }}\n    }}\n}}\n{end}"]
    if relation in ("sum", "difference") and returns == "count":
        found = "counts.get(&({k} - b)).copied().unwrap_or(0)".replace("{k}", str(k)) if relation == "sum" else f"[b - {k}, b + {k}].iter().filter_map(|a| counts.get(a)).sum::<usize>()"
        put = "*counts.entry(b).or_insert(0) += 1;"
        stored = f"let a = b;\n    if {only} {{\n        {put}\n    }}" if filtered else put
        forms.append(f"let mut counts: HashMap<{kind}, usize> = HashMap::new();\nlet mut total = 0;\nfor &b in values {{\n    total += {found};\n    {stored}\n}}\ntotal")
    first = f" Only pairs whose first element (the one at the smaller index) {keep.clause} are considered." if filtered else ""
    told = {"count": "Counts the pairs of elements that", "indices": "Finds the first pair of indices, ordered by the smaller and then by the larger index, whose elements", "exists": "Checks whether there are two elements at different positions that"}[returns]
    return FunctionSpec(
        name=draw.style(f"pairs_with_{relation}", f"{relation}_pairs", "matching_pairs", f"pair_{returns}"), parameters={"values": f"&[{kind}]"}, returns=result,
        body_imports=[import_of("HashMap")], oracle=oracle, forms=forms, inputs=lambda: (few_numbers(draw, -4, 12, 8),),
        words=[f"{told} {said}.{first}", f"Looks at all pairs of elements at indices i < j in `values`. {told} {said}.{first}"],
    )


@family(tier=2)
def two_sum(draw: Draw) -> FunctionSpec:
    kind, relation, returns = draw.choose("i32", "i64"), draw.choose("sum", "difference", "mapped"), draw.choose("indices", "values", "second")
    mapping, base = draw.integer_mapping(kind), draw.choose(0, 1)
    base = base if returns == "indices" else 0
    wanted, holds, said = {
        "sum": ("target - value", lambda a, b, t: a + b == t, "add up to `target`"),
        "difference": ("value - target", lambda a, b, t: b - a == t, "differ by `target`, that is, the later one minus the earlier one is `target`"),
        "mapped": (f"target - ({mapping.on('value')})", lambda a, b, t: a + mapping(b) == t, f"add up to `target` after the later one is {mapping.participle}"),
    }[relation]
    plus = " + 1" if base else ""
    give = {"indices": f"(first{plus}, index{plus})", "values": "(values[first], value)", "second": "index"}[returns]
    result = {"indices": "Option<(usize, usize)>", "values": f"Option<({kind}, {kind})>", "second": "Option<usize>"}[returns]
    told = {"indices": f"both indices (counting from {base})", "values": "the two numbers", "second": "the index of the later one"}[returns]

    def oracle(values: list[int], target: int) -> object:
        for j, b in enumerate(values):
            for i, a in enumerate(values[:j]):
                if holds(a, b, target):
                    return {"indices": (i + base, j + base), "values": (a, b), "second": j}[returns]
        return None

    unused = "first" if returns != "second" else "_first"
    forms = [f"let mut seen = {each}::new();\nfor (index, &value) in values.iter().enumerate() {{\n    let wanted = {wanted};\n    if let Some(&{unused}) = seen.get(&wanted) {{\n        return Some({give});\n    }}\n    seen.entry(value).or_insert(index);\n}}\nNone" for each in MAPS]
    forms += [f"for (index, &value) in values.iter().enumerate() {{\n    let wanted = {wanted};\n    if let Some({unused}) = values[..index].iter().position(|&other| other == wanted) {{\n        return Some({give});\n    }}\n}}\nNone"]
    return FunctionSpec(
        name=draw.style("two_sum", "find_pair", f"pair_with_{relation}", "matching_pair"), parameters={"values": f"&[{kind}]", "target": kind}, returns=result,
        body_imports=[import_of(each) for each in MAPS], forms=forms, oracle=oracle, inputs=lambda: (few_numbers(draw, -3, 10, 7), draw.arguments.randint(-3, 14)),
        words=[f"Finds two elements at different positions that {said}, and returns {told}, or `None` if there are none. If several pairs qualify, the one whose later element comes first is chosen, and then the one with the earliest partner.",
               f"Returns {told} of the first pair of elements that {said}. Pairs are ordered by the position of their later element and then by that of their earlier element. Returns `None` if there is no such pair."],
    )
