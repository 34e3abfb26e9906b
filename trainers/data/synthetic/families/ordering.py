"""Functions that move, rank, sort or search the values of a slice."""

from collections.abc import Sequence

from trainers.data.synthetic.family import Draw, FunctionSpec, family
from trainers.data.synthetic.literals import INTEGERS, SIGNED


@family(tier=2)
def reordered(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS, "char")
    shift = draw.integer(1, 6)
    how = draw.choose("left", "right", "reverse_chunks", "every", "interleave_halves")
    names = {
        "left": ("rotate_left", "shift_left"),
        "right": ("rotate_right", "shift_right"),
        "reverse_chunks": ("reverse_in_groups", "flip_chunks"),
        "every": ("every_nth", "sample_every"),
        "interleave_halves": ("drop_and_reverse", "tail_reversed"),
    }[how]
    words = {
        "left": [f"Returns the values rotated to the left by {shift} {'position' if shift == 1 else 'positions'}.", f"Moves the first value to the end {'once' if shift == 1 else f'{shift} times'} and returns the resulting vector."],
        "right": [f"Returns the values rotated to the right by {shift} {'position' if shift == 1 else 'positions'}.", f"Moves the last value to the front {'once' if shift == 1 else f'{shift} times'} and returns the resulting vector."],
        "reverse_chunks": [f"Reverses each consecutive group of {shift + 1} values, the last of which may be shorter, and returns the result."],
        "every": [f"Returns the values at the indices 0, {shift + 1}, {2 * shift + 2} and so on."],
        "interleave_halves": [f"Skips the first {'value' if shift == 1 else f'{shift} values'} and returns the remaining ones in reverse order."],
    }[how]
    forms = {
        "left": [f"let mut result = values.to_vec();\nif !result.is_empty() {{\n    let places = {shift} % result.len();\n    result.rotate_left(places);\n}}\nresult", f"let count = values.len();\n(0..count).map(|index| values[(index + {shift}) % count]).collect()"],
        "right": [f"let mut result = values.to_vec();\nif !result.is_empty() {{\n    let places = {shift} % result.len();\n    result.rotate_right(places);\n}}\nresult", f"let count = values.len();\n(0..count).map(|index| values[(index + count * {shift} - {shift}) % count]).collect()"],
        "reverse_chunks": [f"values\n    .chunks({shift + 1})\n    .flat_map(|chunk| chunk.iter().rev().copied())\n    .collect()", f"let mut result = values.to_vec();\nfor chunk in result.chunks_mut({shift + 1}) {{\n    chunk.reverse();\n}}\nresult"],
        "every": [f"values.iter().step_by({shift + 1}).copied().collect()", f"let mut result = Vec::new();\nfor (index, &value) in values.iter().enumerate() {{\n    if index % {shift + 1} == 0 {{\n        result.push(value);\n    }}\n}}\nresult"],
        "interleave_halves": [f"values.iter().skip({shift}).rev().copied().collect()", f"let mut result = Vec::new();\nfor index in ({shift}..values.len()).rev() {{\n    result.push(values[index]);\n}}\nresult"],
    }[how]

    def oracle(values: list):
        n = len(values)
        if how in ("left", "right") and n:
            k = shift % n if how == "left" else -shift % n
            return values[k:] + values[:k]
        if how == "reverse_chunks":
            return [v for i in range(0, n, shift + 1) for v in values[i : i + shift + 1][::-1]]
        return {
            "left": values,
            "right": values,
            "every": values[:: shift + 1],
            "interleave_halves": values[shift:][::-1],
        }[how]

    return FunctionSpec(
        name=draw.style(*names),
        parameters={"values": f"&[{kind}]"},
        returns=f"Vec<{kind}>",
        words=words,
        forms=forms,
        oracle=oracle,
    )


@family(tier=2)
def ranked(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    rank = draw.integer(1, 4)
    largest, distinct = draw.choose(True, False), draw.choose(True, False)
    order = "largest" if largest else "smallest"
    ordinal = {1: "", 2: "second ", 3: "third ", 4: "fourth "}[rank]
    dedup = "sorted.dedup();\n" if distinct else ""
    sort = "sorted.sort_by(|a, b| b.cmp(a));" if largest else "sorted.sort();"
    note = "equal values are counted only once" if distinct else "equal values are counted separately"

    def oracle(values: Sequence[int]):
        found = sorted(set(values) if distinct else values, reverse=largest)
        return found[rank - 1] if len(found) >= rank else None

    return FunctionSpec(
        name=draw.style(
            f"{ordinal.strip() or 'the'}_{order}", f"nth_{order}", f"{order}_number_{rank}", "ranked_value"
        ),
        parameters={"values": f"&[{kind}]"},
        returns=f"Option<{kind}>",
        words=[
            f"Returns the {ordinal}{order} of `values`, where {note}, or `None` if there are too few.",
            f"Finds the {ordinal}{order} value; {note}. Returns `None` if there is no such value.",
        ],
        forms=[
            f"let mut sorted = values.to_vec();\n{sort}\n{dedup}sorted.get({rank - 1}).copied()",
            f"let mut rest: Vec<{kind}> = values.to_vec();\nlet mut found = None;\nfor _ in 0..{rank} {{\n    let best = *rest.iter().{'max' if largest else 'min'}()?;\n    found = Some(best);\n"
            + (
                "    rest.retain(|&value| value != best);\n"
                if distinct
                else "    let index = rest.iter().position(|&value| value == best)?;\n    rest.remove(index);\n"
            )
            + "}\nfound",
        ],
        oracle=oracle,
        inputs=lambda: ([draw.arguments.randint(0, 12) for _ in range(draw.arguments.randint(0, 8))],),
    )


@family(tier=2)
def sorted_by_key(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED)
    mapping = draw.integer_mapping(kind)
    descending = draw.choose(True, False)
    key = mapping.on("value")
    order = "descending" if descending else "ascending"
    return FunctionSpec(
        name=draw.style("sorted_by_key", "order_by", "arrange", "ranked", "in_order"),
        parameters={"values": f"Vec<{kind}>"},
        returns=f"Vec<{kind}>",
        words=[
            f"Sorts the values in {order} order of a key, which is the value {mapping.participle}. Values with equal keys keep their order.",
            f"Returns `values` sorted by key in {order} order, where the key of a value is that value {mapping.participle}. The sort is stable.",
        ],
        forms=[
            "let mut result = values;\n"
            + (
                f"result.sort_by_key(|&value| std::cmp::Reverse({key}));"
                if descending
                else f"result.sort_by_key(|&value| {key});"
            )
            + "\nresult",
            f"let key = |value: {kind}| {key};\nlet mut result = values;\nresult.sort_by(|&a, &b| {'key(b).cmp(&key(a))' if descending else 'key(a).cmp(&key(b))'});\nresult",
            f"fn key(value: {kind}) -> {kind} {{\n    {key}\n}}\nlet mut result = Vec::new();\nfor value in values {{\n    let index = result.iter().take_while(|&&other| key(other) {'>=' if descending else '<='} key(value)).count();\n    result.insert(index, value);\n}}\nresult",
        ],
        oracle=lambda values: (
            sorted(values, key=mapping, reverse=False) if not descending else sorted(values, key=lambda v: -mapping(v))
        ),
    )


@family(tier=3)
def search_sorted(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    wanted = draw.choose("lower", "upper", "exact", "nearest_below", "count_equal", "count_between")
    offset = draw.integer(0, 6)
    target = "target" if not offset else f"target + {offset}"
    parameters = {"sorted": f"&[{kind}]", "target": kind}
    told = "`target`" if not offset else f"`target` + {offset}"
    search = "let mut low = 0;\nlet mut high = sorted.len();\nwhile low < high {{\n    let middle = low + (high - low) / 2;\n    if sorted[middle] {} {} {{\n        low = middle + 1;\n    }} else {{\n        high = middle;\n    }}\n}}\n"
    less, up_to = search.format("<", target), search.format("<=", target)
    table = {
        "lower": ("usize", f"Returns how many values of a sorted slice are less than {told}.", [less + "low", f"sorted.partition_point(|&value| value < {target})", f"sorted.iter().take_while(|&&value| value < {target}).count()"]),
        "upper": ("usize", f"Returns how many values of a sorted slice are at most {told}.", [up_to + "low", f"sorted.partition_point(|&value| value <= {target})"]),
        "exact": ("Option<usize>", f"Returns the index of the first occurrence of {told}, or `None` if it does not occur, in a sorted slice.", [less + f"if low < sorted.len() && sorted[low] == {target} {{\n    Some(low)\n}} else {{\n    None\n}}", f"let index = sorted.partition_point(|&value| value < {target});\nmatch sorted.get(index) {{\n    Some(&value) if value == {target} => Some(index),\n    _ => None,\n}}"]),
        "nearest_below": (f"Option<{kind}>", f"Returns the largest value of a sorted slice that is at most {told}, or `None` if there is no such value.", [up_to + "if low == 0 {\n    None\n} else {\n    Some(sorted[low - 1])\n}", f"sorted.iter().copied().take_while(|&value| value <= {target}).last()"]),
        "count_equal": ("usize", f"Counts how often {told} occurs in a sorted slice.", [f"let first = sorted.partition_point(|&value| value < {target});\nlet end = sorted.partition_point(|&value| value <= {target});\nend - first", f"sorted.iter().filter(|&&value| value == {target}).count()"]),
        "count_between": ("usize", f"Counts the values of a sorted slice from `target` to `target` + {offset}, both included.", [f"let first = sorted.partition_point(|&value| value < target);\nlet end = sorted.partition_point(|&value| value <= {target});\nend - first", f"sorted.iter().filter(|&&value| value >= target && value <= {target}).count()"]),
    }
    returns, words, forms = table[wanted]

    def oracle(values: Sequence[int], target: int):
        t = target + offset
        below, most = [v for v in values if v < t], [v for v in values if v <= t]
        return {
            "lower": len(below), "upper": len(most), "exact": values.index(t) if t in values else None,
            "nearest_below": most[-1] if most else None, "count_equal": values.count(t), "count_between": sum(target <= v <= t for v in values),
        }[wanted]

    return FunctionSpec(
        name=draw.style(f"search_{wanted}", wanted if "_" in wanted else f"{wanted}_bound", "binary_search_for", "locate"),
        parameters=parameters, returns=returns, words=[words, words.replace("of a sorted slice that", "of `sorted`, which is in ascending order, that").replace("of a sorted slice are", "of `sorted`, which is in ascending order, are").replace("of a sorted slice from", "of `sorted`, which is in ascending order, from").replace("in a sorted slice", "in `sorted`, which is in ascending order")], forms=forms, oracle=oracle,
        inputs=lambda: (sorted(draw.arguments.randint(0, 14) for _ in range(draw.arguments.randint(0, 8))), draw.arguments.randint(0, 14)),
    )
