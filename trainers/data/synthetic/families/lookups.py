"""Functions that look things up in maps and sets."""

from collections import Counter

from trainers.data.synthetic.families.maps import MAPS, few_numbers, import_of, small_numbers
from trainers.data.synthetic.family import Draw, Function, Undefined, family
from trainers.data.synthetic.literals import INTEGERS, Err, Ok


@family(tier=3)
def order_total(draw: Draw) -> Function:
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
    }.get(missing)
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
        "skip": f"An unknown {thing} is left out.", "default": f"An unknown {thing} counts {default}.", "none": f"Returns `None` if any {thing} is unknown.",
        "error": f'The first unknown {thing} is an error, "unknown {thing}: .." with its name.', "report": "The second part of the result names what `table` lacks, in order.",
    }[missing]
    rest = (f" From a quantity of {many}, {off} is taken off the {cost} of each." if discount else "") + (f" {fee} is added once." if fee else "")
    return Function(
        name=draw.style(f"total_{cost}", f"order_{cost}", "sum_up", f"{cost}_of_order", "checkout"),
        parameters={"order": f"&[(&str, {kind})]", "table": f"&{container}<String, {kind}>"},
        returns=returns,
        imports=[import_of(container)],
        words=[
            f"Sums the {cost} of all {thing}s of `order`, given with their quantities, by `table`.{rest} {handled}",
            f"Looks up each {thing} in `table`, multiplies its {cost} by the quantity and adds all up.{rest} {handled}",
        ],
        forms=["\n".join([*begin, *(f"    {line}" for line in [*lookup, *add]), "}", result]) for lookup in lookups],
        oracle=oracle,
        inputs=inputs,
    )


@family(tier=2)
def set_operation(draw: Draw) -> Function:
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
    return Function(
        name=draw.style(f"{wanted}_numbers", wanted, method, f"sorted_{method}"),
        parameters={"a": f"&[{kind}]", "b": f"&[{kind}]"},
        returns=f"Vec<{kind}>",
        body_imports=[import_of("BTreeSet"), import_of("HashSet")],
        words=[
            f"Returns the {which} that are {said}, without repetition, in {order} order.",
            f"Finds all {which} that occur {said}; each is given once, and the result is {order}.",
        ],
        forms=forms,
        oracle=lambda a, b: sorted({v for v in [*a, *b] if holds(v, a, b) and (not filtered or keep(v))}, reverse=order == "descending"),
        inputs=lambda: (small_numbers(draw, kind), small_numbers(draw, kind)),
    )


@family(tier=2)
def repeated_value(draw: Draw) -> Function:
    kind, wanted, returns = draw.choose(*INTEGERS), draw.choose("repeat", "unique", "times"), draw.choose("value", "index")
    mapping, keyed = draw.integer_mapping(kind), draw.choose(True, True, False)
    times = draw.integer(2, 3)
    key = mapping.on("value") if keyed else "value"
    given = "Some(value)" if returns == "value" else "Some(index)"
    same = f"the same value when {mapping.participle}" if keyed else "the same value"
    said = {
        "repeat": f"the first number that has {same} as one before it", "unique": f"the first number that has {same} as no other one",
        "times": f"the first number with which {same} has been met {times} times",
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
    which = "number" if returns == "value" else "index"
    return Function(
        name=draw.style(f"first_{wanted}", f"find_{wanted}", f"{wanted}_{which}", "first_by_count"),
        parameters={"values": f"&[{kind}]"},
        returns=f"Option<{kind if returns == 'value' else 'usize'}>",
        body_imports=[import_of(each) for each in ("BTreeMap", "BTreeSet", "HashMap", "HashSet")],
        words=[
            f"Returns {said}{', by its index' if returns == 'index' else ''}; `None` if there is none.",
            f"Goes through `values` and finds {said}. The result is its {'index' if returns == 'index' else 'value'}, or `None`.",
        ],
        forms=forms,
        oracle=oracle,
        inputs=lambda: (few_numbers(draw, 0, 6, 8) if draw.arguments.random() < 0.7 else small_numbers(draw, kind),),
    )


@family(tier=2)
def positions_by_value(draw: Draw) -> Function:
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
    return Function(
        name=draw.style("positions", "index_of_values", f"{wanted}_positions", "occurrence_index", "locate"),
        parameters={"values": "&str" if source == "chars" else f"&[{kind}]"},
        returns=f"{container}<{element}, {value}>",
        imports=[import_of(container)],
        words=[
            f"Maps each {noun} that {keep.clause} to {said}, counted from {base}.",
            f"For each of the {keep.plural} in `values`, tells {said}. Positions are counted from {base}.",
        ],
        forms=["\n".join([begin, header, *skip, *(f"    {line}" for line in put), "}", "positions"]), "\n".join([begin, header, *inside, "}", "positions"])],
        oracle=oracle,
        inputs=lambda: (draw.text() if source == "chars" else small_numbers(draw, kind),),
    )


@family(tier=4)
def most_frequent(draw: Draw) -> Function:
    source, ties, k = draw.choose("words", "chars", "numbers"), draw.choose("smaller", "larger"), draw.integer(1, 4)
    counted, least = draw.choose(True, False), draw.integer(1, 2)
    kind, element, iterate = {"words": ("&str", "String", "text.split_whitespace().map(str::to_string)"), "chars": ("&str", "char", "text.chars()"),
                              "numbers": ("&[i32]", "i32", "text.iter().copied()")}[source]
    counts_type = f"BTreeMap<{element}, usize>"
    count = draw.style("count_each", "tally", "frequencies", "count_occurrences")

    def count_all(text: str | list) -> dict:
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
    only = f" Those met fewer than {least} times are left out." if least > 1 else ""
    helper = Function(
        name=count, parameters={"text": kind}, returns=counts_type, oracle=count_all, inputs=inputs,
        words=[f"Counts how often each {noun} occurs.", f"Maps each {noun} to the number of its occurrences."],
        forms=[f"let mut counts = BTreeMap::new();\nfor each in {iterate} {{\n    *counts.entry(each).or_insert(0) += 1;\n}}\ncounts",
               f"let mut counts = BTreeMap::new();\nfor each in {iterate} {{\n    counts.entry(each).and_modify(|n| *n += 1).or_insert(1);\n}}\ncounts"],
    )
    return Function(
        name=draw.style(f"top_{noun}s", "most_frequent", f"favourite_{noun}s", f"top_{k}"), parameters={"text": kind},
        returns=f"Vec<({element}, usize)>" if counted else f"Vec<{element}>", imports=[import_of("BTreeMap")],
        words=[
            f"Finds {said}{', with the count' if counted else ''}, {'the most frequent first' if k > 1 else 'in a list of at most one'}; of equally frequent ones the {ties} comes first.{only}",
            f"Ranks the {noun}s of `text` by frequency, ties with the {ties} first, and returns at most {k}{' with their counts' if counted else ''}.{only}",
        ],
        forms=["\n".join([begin, *keep, rank, *end]), "\n".join([begin, *keep, *stable, "ranked.sort_by_key(|pair| std::cmp::Reverse(pair.1));", *end])],
        oracle=oracle, inputs=inputs, parts=[helper],
    )


@family(tier=3)
def merged_maps(draw: Draw) -> Function:
    container, kind, key, target = draw.choose(*MAPS), draw.choose("i32", "i64"), draw.choose("String", "u32", "char"), draw.choose("new", "in place")
    wanted = draw.choose("sum", "larger", "smaller", "difference", "theirs", "product")
    mapping, altered, common = draw.integer_mapping(kind), draw.choose(True, False), draw.choose(True, False)
    rust, compute, said = {
        "sum": ("*mine + {}", lambda a, b: a + b, "are added"), "larger": ("(*mine).max({})", max, "give the larger one"),
        "smaller": ("(*mine).min({})", min, "give the smaller one"), "difference": ("*mine - {}", lambda a, b: a - b, "give the first minus the second"),
        "theirs": ("{}", lambda a, b: b, "give the second"), "product": ("*mine * {}", lambda a, b: a * b, "are multiplied"),
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

    alone = "keys of `b` alone are ignored" if common and target != "new" else "other keys are left out" if common else "other keys are kept"
    changed = f" The values of `b` are first {mapping.participle}." if altered else ""
    shape = f"{container}<{key}, {kind}>"
    return Function(
        name=draw.style("merge", "combine_maps", "join_tables", "update_with", "absorb"), parameters={"a": f"&{shape}" if target == "new" else f"&mut {shape}", "b": f"&{shape}"},
        returns=shape if target == "new" else None, imports=[import_of(container)],
        words=[f"Merges `b` {'with' if target == 'new' else 'into'} `a`: values of the same key {said}, and {alone}.{changed}",
               f"Combines two maps{'' if target == 'new' else ', changing the first'}. Where both have a key, the values {said}; {alone}.{changed}"],
        forms=["\n".join([*begin, header, *(f"    {line}" for line in inner), "}", *end]) for header, inner in zip(loops, bodies, strict=True)],
        oracle=oracle, inputs=lambda: (one(), one()),
    )


@family(tier=2)
def pairs_counted(draw: Draw) -> Function:
    kind, relation, k = draw.choose("i32", "i64"), draw.choose("difference", "sum", "multiple", "product"), draw.integer(1, 12)
    returns, keep = draw.choose("count", "indices", "exists"), draw.integer_predicate(kind)
    filtered, k = draw.choose(True, False), k + 1 if relation == "multiple" else k
    rust, holds, said = {
        "difference": (f"(a - b).abs() == {k}", lambda a, b: abs(a - b) == k, f"differ by {k}"), "sum": (f"a + b == {k}", lambda a, b: a + b == k, f"add up to {k}"),
        "multiple": (f"(a + b) % {k} == 0", lambda a, b: (a + b) % k == 0, f"have a sum divisible by {k}"), "product": (f"a * b == {k}", lambda a, b: a * b == k, f"multiply to {k}"),
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
    first = f" Only pairs whose first element {keep.clause} count." if filtered else ""
    told = {"count": "Counts the pairs of elements that", "indices": "Finds the first pair of indices, by the earlier and then by the later one, whose elements", "exists": "Tells whether there are two elements that"}[returns]
    return Function(
        name=draw.style(f"pairs_with_{relation}", f"{relation}_pairs", "matching_pairs", f"pair_{returns}"), parameters={"values": f"&[{kind}]"}, returns=result,
        body_imports=[import_of("HashMap")], oracle=oracle, forms=forms, inputs=lambda: (few_numbers(draw, -4, 12, 8),),
        words=[f"{told} {said}.{first}", f"Looks at all pairs of places `i < j` in `values`. {told} {said}.{first}"],
    )


@family(tier=2)
def two_sum(draw: Draw) -> Function:
    kind, relation, returns = draw.choose("i32", "i64"), draw.choose("sum", "difference", "mapped"), draw.choose("indices", "values", "second")
    mapping, base = draw.integer_mapping(kind), draw.choose(0, 1)
    base = base if returns == "indices" else 0
    wanted, holds, said = {
        "sum": ("target - value", lambda a, b, t: a + b == t, "add up to `target`"),
        "difference": ("value - target", lambda a, b, t: b - a == t, "are such that the later one exceeds the earlier by `target`"),
        "mapped": (f"target - ({mapping.on('value')})", lambda a, b, t: a + mapping(b) == t, f"add up to `target` if the later one is {mapping.participle}"),
    }[relation]
    plus = " + 1" if base else ""
    give = {"indices": f"(first{plus}, index{plus})", "values": "(values[first], value)", "second": "index"}[returns]
    result = {"indices": "Option<(usize, usize)>", "values": f"Option<({kind}, {kind})>", "second": "Option<usize>"}[returns]
    told = {"indices": f"both indices, counted from {base}", "values": "the two numbers", "second": "the index of the later one"}[returns]

    def oracle(values: list[int], target: int) -> object:
        for j, b in enumerate(values):
            for i, a in enumerate(values[:j]):
                if holds(a, b, target):
                    return {"indices": (i + base, j + base), "values": (a, b), "second": j}[returns]
        return None

    unused = "first" if returns != "second" else "_first"
    forms = [f"let mut seen = {each}::new();\nfor (index, &value) in values.iter().enumerate() {{\n    let wanted = {wanted};\n    if let Some(&{unused}) = seen.get(&wanted) {{\n        return Some({give});\n    }}\n    seen.entry(value).or_insert(index);\n}}\nNone" for each in MAPS]
    forms += [f"for (index, &value) in values.iter().enumerate() {{\n    let wanted = {wanted};\n    if let Some({unused}) = values[..index].iter().position(|&other| other == wanted) {{\n        return Some({give});\n    }}\n}}\nNone"]
    return Function(
        name=draw.style("two_sum", "find_pair", f"pair_with_{relation}", "matching_pair"), parameters={"values": f"&[{kind}]", "target": kind}, returns=result,
        body_imports=[import_of(each) for each in MAPS], forms=forms, oracle=oracle, inputs=lambda: (few_numbers(draw, -3, 10, 7), draw.arguments.randint(-3, 14)),
        words=[f"Finds two elements at different places that {said} and returns {told}, or `None`. Of several pairs the one whose later element comes first is taken, then the earliest partner.",
               f"Takes the first pair of elements that {said} and returns {told}; pairs are ordered by the place of the later, then of the earlier element. `None` if there is none."],
    )
