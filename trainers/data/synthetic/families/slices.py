"""Functions that select, transform or sum up the numbers of a slice."""

from collections.abc import Sequence

from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.literals import INTEGERS, SIGNED
from trainers.data.synthetic.pieces import quotient, remainder


@family(tier=1)
def filter_map_sum(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    return FunctionSpec(
        name=draw.style(f"sum_{keep.slug}", "filtered_sum", "total_of_selected", f"{keep.slug}_total", "sum_where"),
        parameters={"values": f"&[{kind}]"},
        returns=kind,
        words=[
            f"Returns the sum of the {keep.plural} in `values`, each {mapping.participle}.",
            f"Returns the total of all {keep.plural} in `values`, where each of them is {mapping.participle} before it is added.",
            f"Selects every number of `values` that {keep.clause}; each of them is {mapping.participle}, and the results are added up.",
        ],
        forms=[
            f"""
            let mut total = 0;
            for &value in values {{
                if {keep.on("value")} {{
                    total += {mapping.on("value")};
                }}
            }}
            total
            """,
            f"""
            values
                .iter()
                .copied()
                .filter(|&value| {keep.on("value")})
                .map(|value| {mapping.on("value")})
                .sum()
            """,
            f"""
            values.iter().fold(0, |total, &value| {{
                if {keep.on("value")} {{
                    total + ({mapping.on("value")})
                }} else {{
                    total
                }}
            }})
            """,
            f"""
            let mut total = 0;
            for index in 0..values.len() {{
                let value = values[index];
                if !({keep.on("value")}) {{
                    continue;
                }}
                total += {mapping.on("value")};
            }}
            total
            """,
        ],
        oracle=lambda values: sum(mapping(v) for v in values if keep(v)),
    )


@family(tier=1)
def filter_map_list(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    owned = draw.choose(True, False)
    start = "values.into_iter()" if owned else "values.iter().copied()"
    item = "value" if owned else "&value"
    return FunctionSpec(
        name=draw.style(
            f"select_{keep.slug}", "select_and_map", "pick_and_change", f"transformed_{keep.slug}", "collect_matching"
        ),
        parameters={"values": f"Vec<{kind}>" if owned else f"&[{kind}]"},
        returns=f"Vec<{kind}>",
        words=[
            f"Returns the {keep.plural} of `values`, each {mapping.participle}, in their original order.",
            f"Collects every number of `values` that {keep.clause}, each {mapping.participle}.",
            f"Filters `values` for {keep.plural} and returns them, each {mapping.participle}.",
        ],
        forms=[
            f"""
            {start}
                .filter(|&value| {keep.on("value")})
                .map(|value| {mapping.on("value")})
                .collect()
            """,
            f"""
            let mut result = Vec::new();
            for {item} in values {{
                if {keep.on("value")} {{
                    result.push({mapping.on("value")});
                }}
            }}
            result
            """,
            f"""
            {start}
                .filter_map(|value| {{
                    if {keep.on("value")} {{
                        Some({mapping.on("value")})
                    }} else {{
                        None
                    }}
                }})
                .collect()
            """,
            f"""
            let mut result = Vec::with_capacity(values.len());
            for {item} in values {{
                if !({keep.on("value")}) {{
                    continue;
                }}
                let changed = {mapping.on("value")};
                result.push(changed);
            }}
            result
            """,
        ],
        oracle=lambda values: [mapping(v) for v in values if keep(v)],
    )


@family(tier=1)
def count_matching(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    keep = draw.integer_predicate(kind)
    wanted = draw.choose("count", "any", "all", "none", "first", "last", "where")
    returns = {"count": "usize", "first": f"Option<{kind}>", "last": f"Option<{kind}>", "where": "Option<usize>"}.get(
        wanted, "bool"
    )
    on, off = keep.on("value"), f"!({keep.on('value')})"
    names = {
        "count": (f"count_{keep.slug}", "count_matching", "how_many"), "any": (f"has_{keep.slug}", "any_matches", "contains_match"),
        "all": (f"all_{keep.slug}", "all_match", "every_one_matches"), "none": (f"no_{keep.slug}", "none_matches", "lacks_match"),
        "first": (f"first_of_{keep.slug}", "first_match", "find_first"), "last": (f"last_of_{keep.slug}", "last_match", "find_last"),
        "where": (f"position_of_{keep.slug}", "first_position", "find_index"),
    }[wanted]
    words = {
        "count": [f"Counts the {keep.plural} in `values`.", f"Counts every number in `values` that {keep.clause}."],
        "any": [f"Checks whether any value {keep.clause}.", f"Returns `true` if at least one of the `values` {keep.clause}."],
        "all": [f"Checks whether `values` contains only {keep.plural}.", f"Returns `true` if every value {keep.clause} or there are no values."],
        "none": [f"Checks whether there are no {keep.plural} in `values`.", f"Returns `false` if any value {keep.clause}, and `true` otherwise."],
        "first": [f"Returns the first value that {keep.clause}, if any.", f"Finds the first of the {keep.plural} in `values`, or returns `None` if there are none."],
        "last": [f"Returns the last value that {keep.clause}, if any.", f"Finds the last of the {keep.plural} in `values`, or returns `None` if there are none."],
        "where": [f"Returns the index of the first value that {keep.clause}, if any.", f"Finds the position, counting from 0, of the first of the {keep.plural} in `values`, or returns `None` if there are none."],
    }[wanted]
    loop = "for &value in values {{\n    if {} {{\n        {}\n    }}\n}}\n{}"
    forms = {
        "count": [f"values.iter().filter(|&&value| {on}).count()", "let mut count = 0;\n" + loop.format(on, "count += 1;", "count"), f"values.iter().map(|&value| usize::from({on})).sum()"],
        "any": [f"values.iter().any(|&value| {on})", loop.format(on, "return true;", "false"), f"!values.iter().all(|&value| {off})"],
        "all": [f"values.iter().all(|&value| {on})", loop.format(off, "return false;", "true"), f"!values.iter().any(|&value| {off})"],
        "none": [f"!values.iter().any(|&value| {on})", loop.format(on, "return false;", "true"), f"values.iter().all(|&value| {off})"],
        "first": [f"values.iter().copied().find(|&value| {on})", loop.format(on, "return Some(value);", "None"), f"values.iter().filter(|&&value| {on}).next().copied()"],
        "last": [f"values.iter().copied().rev().find(|&value| {on})", "let mut found = None;\n" + loop.format(on, "found = Some(value);", "found"), f"values.iter().copied().filter(|&value| {on}).last()"],
        "where": [f"values.iter().position(|&value| {on})", f"for (index, &value) in values.iter().enumerate() {{\n    if {on} {{\n        return Some(index);\n    }}\n}}\nNone"],
    }[wanted]

    def oracle(values: Sequence[int]):
        found = [v for v in values if keep(v)]
        return {
            "count": len(found), "any": bool(found), "all": len(found) == len(values), "none": not found,
            "first": found[0] if found else None, "last": found[-1] if found else None,
            "where": values.index(found[0]) if found else None,
        }[wanted]

    return FunctionSpec(
        name=draw.style(*names),
        parameters={"values": f"&[{kind}]"},
        returns=returns,
        words=words,
        forms=forms,
        oracle=oracle,
    )


@family(tier=2)
def extreme_by(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    mapping = draw.integer_mapping(kind)
    largest = draw.choose(True, False)
    word, sign, method = ("largest", ">", "max_by_key") if largest else ("smallest", "<", "min_by_key")
    # Of equal ones max_by_key takes the last and min_by_key the first; so do the loops.
    sign = ">=" if largest else "<"
    tie = "last" if largest else "first"

    def oracle(values: Sequence[int]):
        if not values:
            return None
        best = (max if largest else min)(mapping(v) for v in values)
        found = [v for v in values if mapping(v) == best]
        return found[-1] if largest else found[0]

    return FunctionSpec(
        name=draw.style(f"{word}_by_key", f"{word}_when_mapped", "best_value", "winner", f"argument_of_{word}"),
        parameters={"values": f"&[{kind}]"},
        returns=f"Option<{kind}>",
        words=[
            f"Returns the one of the `values` that is {word} when {mapping.participle} (the {tie} one in case of a tie), or `None` if there are none.",
            f"Computes a key for each value, which is the value {mapping.participle}, and returns the value with the {word} key. In case of a tie, the {tie} one is returned, and `None` for an empty slice.",
        ],
        forms=[
            f"values.iter().copied().{method}(|&value| {mapping.on('value')})",
            f"""
            let mut best: Option<{kind}> = None;
            for &value in values {{
                best = match best {{
                    Some(other) if !({mapping.on("value")} {sign} {mapping.on("other")}) => Some(other),
                    _ => Some(value),
                }};
            }}
            best
            """,
            f"""
            let mut best = *values.first()?;
            for &value in &values[1..] {{
                let candidate = {mapping.on("value")};
                let known = {mapping.on("best")};
                if candidate {sign} known {{
                    best = value;
                }}
            }}
            Some(best)
            """,
        ],
        oracle=oracle,
    )


@family(tier=2)
def sliding_windows(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    width = draw.integer(2, 5)
    figure = draw.choose("sum", "max", "min", "difference", "mean")
    rust = {
        "sum": "window.iter().sum()",
        "max": "*window.iter().max().unwrap()",
        "min": "*window.iter().min().unwrap()",
        "difference": f"window[{width - 1}] - window[0]",
        "mean": f"window.iter().sum::<{kind}>() / {width}",
    }[figure]
    words = {
        "sum": "sum",
        "max": "largest value",
        "min": "smallest value",
        "difference": "difference of the last value minus the first value",
        "mean": "average, rounded toward zero,",
    }[figure]
    start = {
        "sum": "0",
        "max": "values[start]",
        "min": "values[start]",
        "difference": f"values[start + {width - 1}] - values[start]",
        "mean": "0",
    }[figure]
    step = {
        "sum": "figure += values[index];",
        "max": "figure = figure.max(values[index]);",
        "min": "figure = figure.min(values[index]);",
        "mean": "figure += values[index];",
    }.get(figure)
    compute = {
        "sum": sum,
        "max": max,
        "min": min,
        "difference": lambda w: w[-1] - w[0],
        "mean": lambda w: quotient(sum(w), width),
    }[figure]
    inner = (
        f"    let mut figure = {start};\n    for index in start..start + {width} {{\n        {step}\n    }}\n"
        if step
        else f"    let figure = {start};\n"
    )
    last = f"figure / {width}" if figure == "mean" else "figure"
    return FunctionSpec(
        name=draw.style(f"window_{figure}", f"moving_{figure}", f"rolling_{figure}", f"{figure}_of_neighbors"),
        parameters={"values": f"&[{kind}]"},
        returns=f"Vec<{kind}>",
        words=[
            f"Returns the {words} of every window of {width} consecutive values, from left to right.",
            f"Slides a window of {width} values over `values` and returns the {words} at each position. The result is empty if there are fewer values.",
        ],
        forms=[
            f"values.windows({width}).map(|window| {rust}).collect()",
            f"let mut result = Vec::new();\nfor start in 0..(values.len() + 1).saturating_sub({width}) {{\n{inner}    result.push({last});\n}}\nresult",
            f"let mut result = Vec::new();\nfor window in values.windows({width}) {{\n    let figure: {kind} = {rust};\n    result.push(figure);\n}}\nresult",
        ],
        oracle=lambda values: [compute(values[i : i + width]) for i in range(len(values) - width + 1)],
    )


@family(tier=2)
def neighbors(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    gap = draw.integer(1, 9)
    rust, words, test = draw.choose(
        ("right > left", "the second is greater than the first", lambda a, b: b > a), ("right < left", "the second is less than the first", lambda a, b: b < a),
        (f"right - left > {gap}", f"the second exceeds the first by more than {gap}", lambda a, b: b - a > gap), (f"(right - left).abs() <= {gap}", f"the two differ by at most {gap}", lambda a, b: abs(b - a) <= gap),
        ("left % 2 != right % 2", "one is even and the other is odd", lambda a, b: remainder(a, 2) != remainder(b, 2)), (f"left + right > {gap}", f"the sum of the two is greater than {gap}", lambda a, b: a + b > gap),
    )
    wanted = draw.choose("count", "all", "first")
    returns = {"count": "usize", "all": "bool", "first": "Option<usize>"}[wanted]
    pair = "let (left, right) = (pair[0], pair[1]);"
    forms = {
        "count": [f"values\n    .windows(2)\n    .filter(|pair| {{\n        {pair}\n        {rust}\n    }})\n    .count()", f"let mut count = 0;\nfor index in 1..values.len() {{\n    let left = values[index - 1];\n    let right = values[index];\n    if {rust} {{\n        count += 1;\n    }}\n}}\ncount", f"values\n    .iter()\n    .zip(values.iter().skip(1))\n    .filter(|&(&left, &right)| {rust})\n    .count()"],
        "all": [f"values.windows(2).all(|pair| {{\n    {pair}\n    {rust}\n}})", f"for pair in values.windows(2) {{\n    {pair}\n    if !({rust}) {{\n        return false;\n    }}\n}}\ntrue", f"values.iter().zip(values.iter().skip(1)).all(|(&left, &right)| {rust})"],
        "first": [f"values.windows(2).position(|pair| {{\n    {pair}\n    {rust}\n}})", f"for index in 1..values.len() {{\n    let left = values[index - 1];\n    let right = values[index];\n    if {rust} {{\n        return Some(index - 1);\n    }}\n}}\nNone"],
    }[wanted]

    def oracle(values: Sequence[int]):
        found = [i for i in range(len(values) - 1) if test(values[i], values[i + 1])]
        return {
            "count": len(found),
            "all": len(found) == max(0, len(values) - 1),
            "first": found[0] if found else None,
        }[wanted]

    return FunctionSpec(
        name=draw.style(f"{wanted}_changes", f"{wanted}_of_pairs", "compare_neighbors", "scan_pairs"),
        parameters={"values": f"&[{kind}]"}, returns=returns, forms=forms, oracle=oracle,
        words={
            "count": [f"Counts the pairs of consecutive values for which {words}.", f"Looks at each value of `values` together with the value after it, and returns the number of these pairs for which {words}."],
            "all": [f"Checks whether, for every pair of consecutive values, {words}.", f"Looks at each value of `values` together with the value after it. Returns `true` if, for all of these pairs, {words}, or if there are no pairs."],
            "first": [f"Returns the index of the first value in the first pair of consecutive values for which {words}, or `None` if there is no such pair.", f"Looks at each value of `values` together with the value after it, and finds the first pair for which {words}. Returns the index of the first value of that pair, or `None` if there is no such pair."],
        }[wanted],
    )


@family(tier=1)
def running_figure(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    start = draw.integer(-5, 10)
    mapping = draw.integer_mapping(kind)
    figure = draw.choose("sum", "max", "min")
    combine = {
        "sum": f"state + ({mapping.on('value')})",
        "max": f"state.max({mapping.on('value')})",
        "min": f"state.min({mapping.on('value')})",
    }[figure]
    compute = {"sum": lambda s, v: s + v, "max": max, "min": min}[figure]
    said = {"sum": "running total", "max": "running maximum", "min": "running minimum"}[figure]
    each = {"sum": "sum", "max": "maximum", "min": "minimum"}[figure]

    def oracle(values: Sequence[int]):
        state, found = start, []
        for v in values:
            state = compute(state, mapping(v))
            found.append(state)
        return found

    return FunctionSpec(
        name=draw.style(f"running_{figure}", f"cumulative_{figure}", "accumulate", "prefix_figures", "progress"),
        parameters={"values": f"&[{kind}]"},
        returns=f"Vec<{kind}>",
        words=[
            f"Returns the {said} after each value, starting from an initial value of {start}, which is not itself in the result. Every value is first {mapping.participle}.",
            f"Returns, for each position, the {each} of {start} and all values up to and including that position, each {mapping.participle}.",
        ],
        forms=[
            f"let mut state = {start};\nlet mut result = Vec::with_capacity(values.len());\nfor &value in values {{\n    state = {combine};\n    result.push(state);\n}}\nresult",
            f"values\n    .iter()\n    .scan({start}, |total, &value| {{\n        let state: {kind} = *total;\n        *total = {combine};\n        Some(*total)\n    }})\n    .collect()",
            f"let mut state: {kind} = {start};\nvalues\n    .iter()\n    .map(|&value| {{\n        state = {combine};\n        state\n    }})\n    .collect()",
        ],
        oracle=oracle,
    )


@family(tier=2)
def partition_values(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    keep = draw.integer_predicate(kind)
    return FunctionSpec(
        name=draw.style(f"split_{keep.slug}", "partition_values", "separate", "divide", f"{keep.slug}_and_others"),
        parameters={"values": f"&[{kind}]"},
        returns=f"(Vec<{kind}>, Vec<{kind}>)",
        words=[
            f"Separates `values` into the {keep.plural} and all other numbers, both in their original order.",
            f"Partitions `values` into two vectors: every number that {keep.clause}, and all the others.",
        ],
        forms=[
            f"values.iter().copied().partition(|&value| {keep.on('value')})",
            f"let mut kept = Vec::new();\nlet mut others = Vec::new();\nfor &value in values {{\n    if {keep.on('value')} {{\n        kept.push(value);\n    }} else {{\n        others.push(value);\n    }}\n}}\n(kept, others)",
            f"let kept = values.iter().copied().filter(|&value| {keep.on('value')}).collect();\nlet others = values.iter().copied().filter(|&value| !({keep.on('value')})).collect();\n(kept, others)",
        ],
        oracle=lambda values: ([v for v in values if keep(v)], [v for v in values if not keep(v)]),
    )
