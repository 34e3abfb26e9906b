"""Functions of whole slices: runs, pairs of slices, tables and groups."""

from collections.abc import Sequence
from itertools import groupby

from trainers.data.synthetic.family import Draw, FunctionSpec, Undefined, family
from trainers.data.synthetic.literals import INTEGERS, SIGNED


@family(tier=2)
def longest_run(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    by = draw.choose("equal", "predicate", "rising", "step")
    keep = draw.integer_predicate(kind)
    step = draw.integer(1, 5)
    words = {
        "equal": "equal values",
        "predicate": keep.plural,
        "rising": "strictly increasing values",
        "step": f"values in which each value differs from the previous one by at most {step}",
    }[by]
    condition = {
        "equal": "values[index] == values[index - 1]",
        "rising": "values[index] > values[index - 1]",
        "step": f"(values[index] - values[index - 1]).abs() <= {step}",
    }.get(by)

    def oracle(values: Sequence[int]):
        if by == "predicate":
            return max((len(list(group)) for kept, group in groupby(values, keep) if kept), default=0)
        best = length = 0
        for i, v in enumerate(values):
            goes_on = (
                i > 0
                and {"equal": v == values[i - 1], "rising": v > values[i - 1], "step": abs(v - values[i - 1]) <= step}[
                    by
                ]
            )
            length = length + 1 if goes_on else 1
            best = max(best, length)
        return best

    simple = f"let mut best = 0;\nlet mut length = 0;\nfor &value in values {{\n    if {keep.on('value')} {{\n        length += 1;\n        best = best.max(length);\n    }} else {{\n        length = 0;\n    }}\n}}\nbest"
    split = (
        f"values\n    .split(|&value| !({keep.on('value')}))\n    .map(|run| run.len())\n    .max()\n    .unwrap_or(0)"
    )
    pairs = [
        f"let mut best = 0;\nlet mut length = 0;\nfor index in 0..values.len() {{\n    if index > 0 && {condition} {{\n        length += 1;\n    }} else {{\n        length = 1;\n    }}\n    best = best.max(length);\n}}\nbest",
        f"if values.is_empty() {{\n    return 0;\n}}\nlet mut best = 1;\nlet mut length = 1;\nfor index in 1..values.len() {{\n    length = if {condition} {{ length + 1 }} else {{ 1 }};\n    if length > best {{\n        best = length;\n    }}\n}}\nbest",
    ]
    return FunctionSpec(
        name=draw.style("longest_run", "longest_streak", "longest_stretch", f"{by}_run"),
        parameters={"values": f"&[{kind}]"},
        returns="usize",
        words=[
            f"Returns the length of the longest contiguous run of {words}.",
            f"Finds the longest contiguous run of {words} in `values` and returns its length, or 0 if there is none.",
        ],
        forms=[simple, split] if by == "predicate" else pairs,
        oracle=oracle,
        inputs=lambda: (
            [draw.arguments.choice((1, 2, 2, 3, 5, 8, 20, -4)) for _ in range(draw.arguments.randint(0, 9))],
        ),
    )


@family(tier=1)
def two_slices(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    k = draw.integer(2, 6)
    rust, words, compute = draw.choose(
        ("x + y", "sum", lambda x, y: x + y), ("x * y", "product", lambda x, y: x * y), ("(x - y).abs()", "absolute difference", lambda x, y: abs(x - y)),
        ("x.max(y)", "larger one", max), ("x.min(y)", "smaller one", min), (f"x * {k} - y", f"difference {k} * x - y", lambda x, y: x * k - y),
    )
    figure = draw.choose("list", "sum", "max")
    returns = {"list": f"Vec<{kind}>", "sum": kind, "max": f"Option<{kind}>"}[figure]
    end = {"list": ".collect()", "sum": ".sum()", "max": ".max()"}[figure]
    begin, step, last = {
        "list": ("let mut result = Vec::new();", "result.push({});", "result"),
        "sum": ("let mut total = 0;", "total += {};", "total"),
        "max": (f"let mut best: Option<{kind}> = None;", "best = best.max(Some({}));", "best"),
    }[figure]
    finish = {"list": list, "sum": sum, "max": lambda values: max(values, default=None)}[figure]
    return FunctionSpec(
        name=draw.style(f"{figure}_of_pairs", "combine_slices", "pairwise", "zip_values"),
        parameters={"left": f"&[{kind}]", "right": f"&[{kind}]"},
        returns=returns,
        words=[
            {
                "list": f"Returns the {words} for each pair of values x from `left` and y from `right` at the same position.",
                "sum": f"Computes the {words} for each pair of values x from `left` and y from `right` at the same position, and returns the total.",
                "max": f"Computes the {words} for each pair of values x from `left` and y from `right` at the same position, and returns the largest result, or `None` if there are no pairs.",
            }[figure]
            + " Extra values of the longer slice are ignored.",
            f"Iterates over the pairs (x, y) of values from `left` and `right` up to the end of the shorter slice, computes the {words} for each pair, and returns "
            + {"list": "all results.", "sum": "the sum of the results.", "max": "the largest result, if any."}[figure],
        ],
        forms=[
            f"left\n    .iter()\n    .zip(right)\n    .map(|(&x, &y)| {rust})\n    {end}",
            f"{begin}\nfor index in 0..left.len().min(right.len()) {{\n    let (x, y) = (left[index], right[index]);\n    {step.format(rust)}\n}}\n{last}",
            f"{begin}\nfor (&x, &y) in left.iter().zip(right.iter()) {{\n    {step.format(rust)}\n}}\n{last}",
        ],
        oracle=lambda left, right: finish([compute(x, y) for x, y in zip(left, right, strict=False)]),
    )


@family(tier=2)
def rows_and_columns(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    wanted = draw.choose("row_sums", "column_sums", "transpose", "flatten", "max_row", "scale", "count")
    k = draw.integer(2, 9)
    keep = draw.integer_predicate(kind)
    returns = {
        "transpose": f"Vec<Vec<{kind}>>",
        "scale": f"Vec<Vec<{kind}>>",
        "max_row": "Option<usize>",
        "count": "usize",
    }.get(wanted, f"Vec<{kind}>")
    table = {
        "row_sums": (["Returns the sum of each row.", "Computes, for each of the `rows`, the sum of its values."], [f"rows.iter().map(|row| row.iter().sum::<{kind}>() * {k}).collect()", f"let mut result = Vec::new();\nfor row in rows {{\n    let mut total = 0;\n    for value in row {{\n        total += value * {k};\n    }}\n    result.push(total);\n}}\nresult"], lambda rows: [sum(row) * k for row in rows]),
        "column_sums": (["Returns the sum of each column, where all rows have the same length."], [f"let width = rows.first().map_or(0, |row| row.len());\n(0..width).map(|column| rows.iter().map(|row| row[column]).sum::<{kind}>() * {k}).collect()", f"let mut result = vec![0; rows.first().map_or(0, Vec::len)];\nfor row in rows {{\n    for (index, value) in row.iter().enumerate() {{\n        result[index] += value * {k};\n    }}\n}}\nresult"], lambda rows: [sum(column) * k for column in zip(*rows, strict=True)]),
        "transpose": ([f"Transposes the table, in which all rows have the same length, and adds {k} to every value.", f"Swaps the rows and columns of the table and returns it with every value increased by {k}. All rows have the same length."], [f"let width = rows.first().map_or(0, |row| row.len());\n(0..width).map(|column| rows.iter().map(|row| row[column] + {k}).collect()).collect()", f"let mut result = Vec::new();\nlet width = if rows.is_empty() {{ 0 }} else {{ rows[0].len() }};\nfor column in 0..width {{\n    let mut line = Vec::new();\n    for row in rows {{\n        line.push(row[column] + {k});\n    }}\n    result.push(line);\n}}\nresult"], lambda rows: [[v + k for v in column] for column in zip(*rows, strict=True)]),
        "flatten": ([f"Returns the {keep.plural} of all rows, one row after the other.", f"Flattens `rows` into one vector that contains only the {keep.plural}."], [f"rows.iter().flatten().copied().filter(|&value| {keep.on('value')}).collect()", f"let mut result = Vec::new();\nfor row in rows {{\n    for &value in row {{\n        if {keep.on('value')} {{\n            result.push(value);\n        }}\n    }}\n}}\nresult"], lambda rows: [v for row in rows for v in row if keep(v)]),
        "max_row": ([f"Returns the index of the row with the most {keep.plural} (the first one in case of a tie), or `None` if there are no rows."], [f"let mut best = None;\nlet mut most = 0;\nfor (index, row) in rows.iter().enumerate() {{\n    let count = row.iter().filter(|&&value| {keep.on('value')}).count();\n    if best.is_none() || count > most {{\n        best = Some(index);\n        most = count;\n    }}\n}}\nbest", f"(0..rows.len()).rev().max_by_key(|&index| rows[index].iter().filter(|&&value| {keep.on('value')}).count())"], lambda rows: max(range(len(rows)), key=lambda i: (sum(map(keep, rows[i])), -i)) if rows else None),
        "scale": ([f"Returns the table with every value multiplied by {k}."], [f"rows.iter().map(|row| row.iter().map(|value| value * {k}).collect()).collect()", f"let mut result = rows.to_vec();\nfor row in &mut result {{\n    for value in row.iter_mut() {{\n        *value *= {k};\n    }}\n}}\nresult"], lambda rows: [[v * k for v in row] for row in rows]),
        "count": ([f"Counts the {keep.plural} in all rows."], [f"rows.iter().flatten().filter(|&&value| {keep.on('value')}).count()", f"let mut count = 0;\nfor row in rows {{\n    for &value in row {{\n        if {keep.on('value')} {{\n            count += 1;\n        }}\n    }}\n}}\ncount"], lambda rows: sum(keep(v) for row in rows for v in row)),
    }
    words, forms, oracle = table[wanted]
    if wanted.endswith("sums"):
        words = [each.replace("the sum", f"{k} times the sum") for each in words]

    def inputs():
        width = draw.arguments.randint(1, 3)
        return ([[draw.value(kind) for _ in range(width)] for _ in range(draw.arguments.randint(0, 3))],)

    return FunctionSpec(
        name=draw.style(wanted, f"table_{wanted}", f"{wanted}_of"),
        parameters={"rows": f"&[Vec<{kind}>]"},
        returns=returns,
        words=words,
        forms=forms,
        oracle=oracle,
        inputs=inputs,
    )


@family(tier=2)
def group_figures(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    size = draw.integer(2, 5)
    mapping = draw.integer_mapping(kind)
    figure = draw.choose("sum", "max", "first", "count")
    compute = {
        "sum": lambda c: sum(map(mapping, c)),
        "max": lambda c: max(map(mapping, c)),
        "first": lambda c: mapping(c[0]),
        "count": lambda c: len(c),
    }[figure]
    each = mapping.on("value")
    rust = {
        "sum": f"chunk.iter().map(|&value| {each}).sum::<{kind}>()",
        "max": f"chunk.iter().map(|&value| {each}).max().unwrap_or_default()",
        "first": f"{{\n        let value = chunk[0];\n        {each}\n    }}",
        "count": f"chunk.len() as {kind}",
    }[figure]
    said = {
        "sum": f"sum of its values, each {mapping.participle}",
        "max": f"largest of its values, each {mapping.participle}",
        "first": f"first value, {mapping.participle}",
        "count": "number of its values",
    }[figure]
    return FunctionSpec(
        name=draw.style(f"chunk_{figure}", f"{figure}_by_group", "summarize_groups", "grouped"),
        parameters={"values": f"&[{kind}]"},
        returns=f"Vec<{kind}>",
        words=[
            f"Splits the values into consecutive groups of {size}, the last of which may be smaller, and returns, for each group, the {said}.",
            f"Returns, for each consecutive group of {size} values (the last group may be smaller), the {said}.",
        ],
        forms=[
            f"values.chunks({size}).map(|chunk| {rust}).collect()",
            f"let mut result = Vec::new();\nfor chunk in values.chunks({size}) {{\n    let figure = {rust};\n    result.push(figure);\n}}\nresult",
        ],
        oracle=lambda values: [compute(values[i : i + size]) for i in range(0, len(values), size)],
    )


@family(tier=2)
def without_repetition(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS, "char")
    least = draw.integer(2, 4)
    wanted = draw.choose("consecutive", "all", "repeated", "once", "last_seen")
    words = {
        "consecutive": "Returns the values without consecutive duplicates.", "all": "Returns each distinct value once, in the order of their first occurrences.",
        "repeated": f"Returns the values that occur at least {least} times, each only once, in the order of their first occurrences.", "once": "Returns the values that occur exactly once, in their original order.",
        "last_seen": "Returns each distinct value once, in the order of their last occurrences.",
    }[wanted]
    count = "values.iter().filter(|&other| other == value).count()"
    forms = {
        "consecutive": ["let mut result = values.to_vec();\nresult.dedup();\nresult", "let mut result = Vec::new();\nfor &value in values {\n    if result.last() != Some(&value) {\n        result.push(value);\n    }\n}\nresult"],
        "all": ["let mut result = Vec::new();\nfor value in values {\n    if !result.contains(value) {\n        result.push(*value);\n    }\n}\nresult", "values\n    .iter()\n    .enumerate()\n    .filter(|(index, value)| !values[..*index].contains(value))\n    .map(|(_, &value)| value)\n    .collect()"],
        "repeated": [f"let mut result = Vec::new();\nfor value in values {{\n    if {count} >= {least} && !result.contains(value) {{\n        result.push(*value);\n    }}\n}}\nresult"],
        "once": ["values\n    .iter()\n    .filter(|value| values.iter().filter(|other| other == value).count() == 1)\n    .copied()\n    .collect()", f"let mut result = Vec::new();\nfor value in values {{\n    if {count} == 1 {{\n        result.push(*value);\n    }}\n}}\nresult"],
        "last_seen": ["let mut result = Vec::new();\nfor &value in values.iter().rev() {\n    if !result.contains(&value) {\n        result.push(value);\n    }\n}\nresult.reverse();\nresult", "let mut result: Vec<_> = Vec::new();\nfor &value in values {\n    result.retain(|&other| other != value);\n    result.push(value);\n}\nresult"],
    }[wanted]

    def oracle(values: Sequence):
        unique = list(dict.fromkeys(values))
        return {
            "consecutive": [key for key, _ in groupby(values)], "all": unique, "repeated": [v for v in unique if values.count(v) >= least],
            "once": [v for v in values if values.count(v) == 1], "last_seen": list(dict.fromkeys(values[::-1]))[::-1],
        }[wanted]

    def inputs():
        some = [draw.value(kind) for _ in range(3)]
        return ([draw.arguments.choice(some) for _ in range(draw.arguments.randint(0, 9))],)

    return FunctionSpec(
        name=draw.style("deduplicate", "unique", f"{wanted}_values", "without_repetition"),
        parameters={"values": f"&[{kind}]"},
        returns=f"Vec<{kind}>",
        words=[words, words.replace("the values", "the elements of `values`").replace("each distinct value", "each distinct element of `values`")],
        forms=forms,
        oracle=oracle,
        inputs=inputs,
    )


@family(tier=4)
def score_and_rank(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    bonus = draw.integer(1, 9)
    score = draw.style("score", "points_for", "rate", "evaluate", "weigh")
    name = draw.style("best_score", "highest_rated", "top_score", "winning_score")

    def score_of(value: int) -> int:
        return mapping(value) + (bonus if keep(value) else 0)

    def best(values: Sequence[int]):
        return max(map(score_of, values), default=None)

    part = FunctionSpec(
        name=score, parameters={"value": kind}, returns=kind, oracle=score_of,
        words=[f"Returns `value` {mapping.participle}, plus {bonus} if the original value {keep.clause}."],
        forms=[
            f"let result = {mapping.on('value')};\nif {keep.on('value')} {{\n    result + {bonus}\n}} else {{\n    result\n}}",
            f"let bonus = if {keep.on('value')} {{ {bonus} }} else {{ 0 }};\n{mapping.on('value')} + bonus",
        ],
    )
    return FunctionSpec(
        name=name, parameters={"values": f"&[{kind}]"}, returns=f"Option<{kind}>", oracle=best, parts=(part,),
        words=[f"Returns the largest result of `{score}` for any of the `values`, or `None` if there are none.", f"Applies `{score}` to all `values` and returns the largest result, if any."],
        forms=[
            f"values.iter().map(|&value| {score}(value)).max()",
            f"let mut best = None;\nfor &value in values {{\n    let current = {score}(value);\n    if best.is_none() || Some(current) > best {{\n        best = Some(current);\n    }}\n}}\nbest",
        ],
    )


@family(tier=4)
def transform_then_check(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    first, second = draw.integer_mapping(kind), draw.integer_mapping(kind)
    keep = draw.integer_predicate(kind)
    limit = draw.integer(2, 40)
    step, test = (
        draw.style("step", "advance", "update", "change"),
        draw.style("is_done", "reached", "stops_at", "finished"),
    )

    def advance(value: int) -> int:
        return first(value) if keep(value) else second(value)

    def run(start: int, rounds: int) -> int:
        value = start
        for _ in range(rounds):
            if abs(value) > limit:
                break
            value = advance(value)
        if abs(value) > 2**24:
            raise Undefined
        return value

    parts = (
        FunctionSpec(
            name=step, parameters={"value": kind}, returns=kind, oracle=advance,
            words=[f"Returns `value` {first.participle} if it {keep.clause}, and {second.participle} otherwise."],
            forms=[f"if {keep.on('value')} {{\n    {first.on('value')}\n}} else {{\n    {second.on('value')}\n}}", f"if {keep.on('value')} {{\n    return {first.on('value')};\n}}\n{second.on('value')}"],
        ),
        FunctionSpec(
            name=test, parameters={"value": kind}, returns="bool", oracle=lambda value: abs(value) > limit,
            words=[f"Returns `true` if the absolute value of `value` is greater than {limit}."],
            forms=[f"value.abs() > {limit}", f"value > {limit} || value < -{limit}"],
        ),
    )
    return FunctionSpec(
        name=draw.style("run", "simulate", "iterate", "evolve"), parameters={"start": kind, "rounds": "u32"}, returns=kind, oracle=run, parts=parts,
        words=[f"Applies `{step}` repeatedly to a value that begins at `start`, at most `rounds` times, and returns the final value. Before each application, stops if `{test}` returns `true` for the current value.", f"Starting with `start`, replaces the value by the result of `{step}` up to `rounds` times, but stops as soon as `{test}` returns `true` for it. Returns the final value."],
        forms=[
            f"let mut value = start;\nfor _ in 0..rounds {{\n    if {test}(value) {{\n        break;\n    }}\n    value = {step}(value);\n}}\nvalue",
            f"let mut value = start;\nlet mut count = 0;\nwhile count < rounds && !{test}(value) {{\n    value = {step}(value);\n    count += 1;\n}}\nvalue",
            f"(0..rounds).fold(start, |value, _| if {test}(value) {{ value }} else {{ {step}(value) }})",
        ],
        inputs=lambda: (draw.value(kind), draw.arguments.randint(0, 6)),
    )
