"""Functions of slices that use iterator methods."""

from collections.abc import Callable

from trainers.data.synthetic.families.iterators import KINDS, ORDINALS
from trainers.data.synthetic.family import Draw, FunctionSpec, Undefined, family
from trainers.data.synthetic.literals import SIGNED


def _slice_function(draw: Draw, kind: str, returns: str, names: tuple, words: list, forms: list, oracle: Callable, longest: int = 9) -> FunctionSpec:
    """Return the specification of a function of a slice of numbers."""
    parameter = draw.style("values", "numbers", "data", "items")
    low = -15 if kind.startswith("i") else 0
    return FunctionSpec(
        name=draw.style(*names),
        parameters={parameter: f"&[{kind}]"},
        returns=returns,
        words=[each.replace("`values`", f"`{parameter}`") for each in words],
        forms=[each.replace("values", parameter) for each in forms],
        oracle=oracle,
        inputs=lambda: ([draw.arguments.randint(low, 30) for _ in range(draw.arguments.randint(0, longest))],),
    )


@family(tier=2)
def scanned(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    change = draw.integer_mapping(kind)
    start = draw.integer(0, 12)
    combine, compute, said = draw.choose(("total + {}", lambda a, b: a + b, "sums"), ("total.max({})", max, "maxima"), ("total.min({})", min, "minima"))
    step = combine.format(change.on("value"))

    def oracle(values: list[int]) -> list[int]:
        found, total = [], start
        for n in values:
            total = compute(total, change(n))
            found.append(total)
        return found

    return _slice_function(
        draw, kind, f"Vec<{kind}>", ("running", "accumulate", "running_totals", "prefix_figures", "scan_values"),
        [f"Returns the running {said} of `values`, each first {change.participle}, starting from an initial value of {start}, which is not itself part of the result.", f"Returns, for each position, the {'sum' if said == 'sums' else said[:-1] + 'um'} of {start} and all numbers up to and including that position, each of them {change.participle}."],
        [
            f"let mut total = {start};\nvalues\n    .iter()\n    .map(|&value| {{\n        total = {step};\n        total\n    }})\n    .collect()",
            f"values\n    .iter()\n    .scan({start}, |state, &value| {{\n        let total = *state;\n        *state = {step};\n        Some(*state)\n    }})\n    .collect()",
            f"let mut total = {start};\nlet mut result = Vec::with_capacity(values.len());\nfor &value in values {{\n    total = {step};\n    result.push(total);\n}}\nresult",
        ],
        oracle,
    )


@family(tier=2)
def prefix_until(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    holds = draw.integer_predicate(kind)
    side, figure = draw.choose("take", "skip"), draw.choose("list", "sum", "count", "largest")
    returns, end, finish = {"list": (f"Vec<{kind}>", ".collect()", list), "sum": (kind, ".sum()", sum), "count": ("usize", ".count()", len), "largest": (f"Option<{kind}>", ".max()", lambda v: max(v, default=None))}[figure]
    said = {"list": "the numbers", "sum": "the sum of the numbers", "count": "the number of elements", "largest": "the largest of the numbers"}[figure]
    where = f"before the first one that {holds.clause}" if side == "take" else f"starting with the first one that {holds.clause}"

    def oracle(values: list[int]) -> object:
        place = next((i for i, n in enumerate(values) if holds(n)), len(values))
        return finish(values[:place] if side == "take" else values[place:])

    x, taken = holds.on("value"), "[..place]" if side == "take" else "[place..]"
    return _slice_function(
        draw, kind, returns, (f"{side}_until", "leading" if side == "take" else "trailing", f"{figure}_{'before' if side == 'take' else 'from'}_{holds.slug}", "part_of"),
        [f"Returns {said} in `values` {where}. If there is none, {'this includes all numbers' if side == 'take' else 'this includes no numbers'}.", f"Finds the first element that {holds.clause} and returns {said} {'before it' if side == 'take' else 'from that element to the end'}. If there is no such element, {'all elements are included' if side == 'take' else 'no elements are included'}.", f"Determines {said} {where}. If there is no such number, {'all' if side == 'take' else 'no'} numbers are included."],
        [f"values\n    .iter()\n    .copied()\n    .{side}_while(|&value| !({x}))\n    {end}",
         f"let place = values\n    .iter()\n    .position(|&value| {x})\n    .unwrap_or(values.len());\nvalues{taken}.iter().copied(){end}",
         f"let mut place = 0;\nwhile place < values.len() {{\n    let value = values[place];\n    if {x} {{\n        break;\n    }}\n    place += 1;\n}}\nvalues{taken}.iter().copied(){end}"],
        oracle,
    )


@family(tier=1)
def weighted_positions(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64")
    first, step, sign = draw.integer(0, 5), draw.integer(1, 6), draw.choose(False, True)
    change = draw.integer_mapping(kind)

    def weight(i):
        return f"{f'{first} + ' if first else ''}{f'{step} * ' if step > 1 else ''}{i}"

    factor = f"({weight(f'index as {kind}')})"
    term = f"let term = {factor} * ({change.on('value')});"
    turned = "if index % 2 == 0 { term } else { -term }" if sign else "term"
    alternating = ", with alternating signs (the first term is added, the second subtracted)" if sign else ""
    return _slice_function(
        draw, kind, kind, ("weighted_sum", "checksum", "position_weighted", "weigh", "moment"),
        [f"Adds up the numbers, each {change.participle} and finally multiplied by its weight{alternating}. The first weight is {first}, and each following weight is {step} larger than the one before.",
         f"Returns the weighted sum of `values`, each first {change.participle}, with the weights {first}, {first + step}, {first + 2 * step} and so on{alternating}."],
        [f"let mut total = 0;\nfor (index, &value) in values.iter().enumerate() {{\n    {term}\n    total += {turned};\n}}\ntotal",
         f"values\n    .iter()\n    .enumerate()\n    .map(|(index, &value)| {{\n        {term}\n        {turned}\n    }})\n    .sum()",
         f"values.iter().enumerate().fold(0, |total, (index, &value)| {{\n    {term}\n    total + {f'({turned})' if sign else 'term'}\n}})"],
        lambda values: sum((first + step * i) * change(n) * (-1 if sign and i % 2 else 1) for i, n in enumerate(values)),
    )


@family(tier=2)
def chunk_figures(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    size, cut = draw.integer(2, 5), draw.choose("chunks", "windows", "chunks_exact")
    change = draw.integer_mapping(kind)
    inner, compute, said = draw.choose(
        (f"part.iter().copied().sum::<{kind}>()", sum, "sum"), ("part.iter().copied().max().unwrap_or(0)", max, "maximum"), ("part.iter().copied().min().unwrap_or(0)", min, "minimum"),
        ("part[0]", lambda p: p[0], "first number"), ("part[part.len() - 1]", lambda p: p[-1], "last number"), ("part.iter().fold(0, |sum, &each| sum * 2 + each)", _binary, "value of the numbers as base-2 digits (most significant first)"),
    )
    blocks = {"chunks": f"consecutive blocks of {size} numbers, the last of which may be shorter", "windows": f"all overlapping windows of {size} consecutive numbers", "chunks_exact": f"consecutive blocks of exactly {size} numbers, ignoring a shorter rest at the end"}[cut]

    def oracle(values: list[int]) -> list[int]:
        starts = range(0, len(values), size) if cut != "windows" else range(len(values))
        parts = [values[i : i + size] for i in starts]
        return [change(compute(p)) for p in parts if cut == "chunks" or len(p) == size]

    made = f"let value = {inner};"
    return _slice_function(
        draw, kind, f"Vec<{kind}>", ("block_figures", f"{cut}_of_{size}", "summarize", "per_block", "by_parts"),
        [f"Returns the {said}, {change.participle}, of each of the parts of `values`: {blocks}.", f"Splits `values` into {blocks}. Returns the {said} of each part, {change.participle}."],
        [f"values\n    .{cut}({size})\n    .map(|part| {{\n        {made}\n        {change.on('value')}\n    }})\n    .collect()",
         f"let mut result = Vec::new();\nfor part in values.{cut}({size}) {{\n    {made}\n    result.push({change.on('value')});\n}}\nresult"],
        oracle, 11,
    )


def _times(factor: int, what: str) -> str:
    return what if factor == 1 else f"{factor} times {what}"


def _binary(part: list[int]) -> int:
    total = 0
    for n in part:
        total = total * 2 + n
    return total


@family(tier=1)
def every_few(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    step, start = draw.integer(2, 5), draw.integer(0, 3)
    change = draw.integer_mapping(kind)
    figure, end, finish, returns = draw.choose(("list", ".collect()", list, f"Vec<{kind}>"), ("sum", ".sum()", sum, kind), ("max", ".max()", lambda v: max(v, default=None), f"Option<{kind}>"))
    said = {"list": "Returns the elements", "sum": "Adds up the elements", "max": "Returns the largest of the elements"}[figure]
    order = draw.choose("front", "back")
    back = ".rev()" if order == "back" else ""
    ends = "the end" if back else "the start"
    skipped = "" if not start else " element" if start == 1 else f" {start} elements"
    begin = "starting with the first element" if not start else f"after skipping the first{skipped}"
    if back:
        begin = "going backward from the last element" if not start else f"going backward after skipping the last{skipped}"
    listed = " The result is in the same backward order." if back and figure == "list" else ""
    test = f"index >= {start} && (index - {start}) % {step} == 0" if start else f"index % {step} == 0"
    return _slice_function(
        draw, kind, returns, ("every_few", f"each_{step}", "sampled", "strided", "spread_out"),
        [f"{said} at every {ORDINALS[step]} position of `values`, {begin}, each {change.participle}.{listed}",
         f"{said} at the positions {start}, {start + step}, {start + 2 * step} and so on, counting from 0 at {ends} of `values`, each {change.participle}.{listed}"],
        [f"values\n    .iter(){back}\n    .skip({start})\n    .step_by({step})\n    .map(|&value| {change.on('value')})\n    {end}",
         f"values\n    .iter(){back}\n    .enumerate()\n    .filter(|&(index, _)| {test})\n    .map(|(_, &value)| {change.on('value')})\n    {end}"],
        lambda values: finish([change(n) for n in (values[::-1] if back else values)[start::step]]),
    )


@family(tier=2)
def zipped(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64")
    p, q = draw.integer(1, 6), draw.integer(1, 6)
    pair, compute, what = draw.choose(
        (f"{p} * a + {q} * b", lambda a, b: p * a + q * b, f"{_times(p, 'the first')} plus {_times(q, 'the second')}"), (f"{p} * a - {q} * b", lambda a, b: p * a - q * b, f"{_times(p, 'the first')} minus {_times(q, 'the second')}"),
        (f"a * b + {p}", lambda a, b: a * b + p, f"the product of the two plus {p}"), (f"(a - b).abs() * {q}", lambda a, b: abs(a - b) * q, f"{q} times the absolute difference" if q > 1 else "the absolute difference"), (f"a.max(b) + {p}", lambda a, b: max(a, b) + p, f"the larger of the two plus {p}"), (f"a.min(b) * {q}", lambda a, b: min(a, b) * q, f"{q} times the smaller of the two" if q > 1 else "the smaller of the two"),
    )
    figure, end, finish, returns = draw.choose(("a vector", ".collect()", list, f"Vec<{kind}>"), ("the sum", ".sum()", sum, kind), ("the maximum", ".max()", lambda v: max(v, default=None), f"Option<{kind}>"))
    back = draw.choose(False, True)
    rev = ".rev()" if back else ""
    left, right = draw.style(("left", "right"), ("first", "second"), ("prices", "amounts"), ("xs", "ys"))
    order = f"; `{right}` is traversed from its end to its start" if back else ""
    second = f"{right}[{right}.len() - 1 - index]" if back else f"{right}[index]"
    pick = draw.arguments

    return FunctionSpec(
        name=draw.style("combine", "zip_with", "pairwise", "merge_pairs", "couple"),
        parameters={left: f"&[{kind}]", right: f"&[{kind}]"},
        returns=returns,
        words=[f"Returns {figure} of the results of computing {what} for each pair of elements from `{left}` and `{right}`, up to the length of the shorter slice{order}.", f"Pairs up the elements of `{left}` and `{right}`, computes {what} for each pair, and returns {figure} of the results. Elements without a partner are ignored{order}."],
        forms=[
            f"{left}\n    .iter()\n    .zip({right}.iter(){rev})\n    .map(|(&a, &b)| {pair})\n    {end}",
            f"let size = {left}.len().min({right}.len());\n(0..size)\n    .map(|index| {{\n        let a = {left}[index];\n        let b = {second};\n        {pair}\n    }})\n    {end}",
        ],
        oracle=lambda xs, ys: finish([compute(a, b) for a, b in zip(xs, ys[::-1] if back else ys, strict=False)]),
        inputs=lambda: tuple([pick.randint(-15, 30) for _ in range(pick.randint(0, 6))] for _ in range(2)),
    )


@family(tier=2)
def flattened(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64", "u32", "u64")
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    least = draw.integer(0, 2)
    x, m = holds.on("value"), change.on("value")
    parameter = draw.style("rows", "lists", "groups", "grid")
    pick = draw.arguments
    which = f" that have more than {least} element{'s' if least > 1 else ''}" if least else ""
    low = -15 if kind.startswith("i") else 0
    return FunctionSpec(
        name=draw.style("flatten_kept", "all_from_rows", "collect_all", "concatenate", "gather"),
        parameters={parameter: f"&[Vec<{kind}>]"},
        returns=f"Vec<{kind}>",
        words=[f"Collects the {holds.plural} of all inner vectors of `{parameter}`{which}, each {change.participle}.", f"Flattens all inner vectors of `{parameter}`{which} into one vector that contains only the {holds.plural}, each {change.participle}."],
        forms=[
            f"{parameter}\n    .iter()\n" + (f"    .filter(|row| row.len() > {least})\n" if least else "") + f"    .flat_map(|row| row.iter().copied())\n    .filter(|&value| {x})\n    .map(|value| {m})\n    .collect()",
            f"let mut result = Vec::new();\nfor row in {parameter} {{\n" + (f"    if row.len() <= {least} {{\n        continue;\n    }}\n" if least else "") + f"    for &value in row {{\n        if {x} {{\n            result.push({m});\n        }}\n    }}\n}}\nresult",
        ],
        oracle=lambda rows: [change(n) for row in rows if len(row) > least for n in row if holds(n)],
        inputs=lambda: ([[pick.randint(low, 30) for _ in range(pick.randint(0, 5))] for _ in range(pick.randint(0, 4))],),
    )


@family(tier=3)
def peeked_runs(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    gap, least = draw.integer(0, 6), draw.integer(1, 2)
    signed = kind.startswith("i")
    same, joined, said = draw.choose(
        (f"next.abs_diff(last) <= {gap}", lambda a, b: abs(a - b) <= gap, (f"differ by at most {gap}" if gap else "are equal")), (f"next >= last + {gap}", lambda a, b: b >= a + gap, (f"rise by at least {gap}" if gap else "never fall")),
        (f"next + {gap} <= last", lambda a, b: b + gap <= a, (f"fall by at least {gap}" if gap else "never rise")), (f"next % {gap + 2} == last % {gap + 2}", lambda a, b: a % (gap + 2) == b % (gap + 2), f"have the same {'non-negative ' if signed else ''}remainder modulo {gap + 2}"),
    )
    if signed and "%" in same:
        same = f"next.rem_euclid({gap + 2}) == last.rem_euclid({gap + 2})"
    figure, compute, kept = draw.choose(("the sum", sum, "total"), ("the length", len, "count"), ("the last number", lambda r: r[-1], "last"))
    returned = "usize" if kept == "count" else kind

    def oracle(values: list[int]) -> list[int]:
        runs: list[list[int]] = []
        for n in values:
            if runs and joined(runs[-1][-1], n):
                runs[-1].append(n)
            else:
                runs.append([n])
        return [compute(run) for run in runs if len(run) >= least]

    grown = "\n        total += next;" if kept == "total" else ""
    begun = "\n    let mut total = first;" if kept == "total" else ""
    final = {"total": "run.iter().sum()", "count": "run.len()", "last": "run[run.len() - 1]"}[kept]
    return _slice_function(
        draw, kind, f"Vec<{returned}>", ("runs", "group_runs", "stretches", "streaks", "run_figures"),
        [f"Splits `values` into maximal runs in which consecutive numbers {said}, and returns {figure} of each run{f' of at least {least} numbers' if least > 1 else ''}.", f"Returns {figure} of each maximal run of `values` in which consecutive numbers {said}.{f' Runs of fewer than {least} numbers are ignored.' if least > 1 else ' A single number can be a run.'}"],
        [f"let mut result = Vec::new();\nlet mut rest = values.iter().copied().peekable();\nwhile let Some(first) = rest.next() {{\n    let mut last = first;\n    let mut count = 1;{begun}\n    while let Some(next) = rest.next_if(|&next| {same}) {{\n        last = next;\n        count += 1;{grown}\n    }}\n    if count >= {least} {{\n        result.push({kept});\n    }}\n}}\nresult",
         f"let mut runs: Vec<Vec<{kind}>> = Vec::new();\nfor &next in values {{\n    match runs.last_mut() {{\n        Some(run) if run.last().is_some_and(|&last| {same}) => run.push(next),\n        _ => runs.push(vec![next]),\n    }}\n}}\nruns.iter()\n    .filter(|run| run.len() >= {least})\n    .map(|run| {final})\n    .collect()"],
        oracle,
    )


@family(tier=2)
def merged_sorted(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*KINDS)
    falling, twice = draw.choose(False, True), draw.choose("all", "once", "common")
    holds = draw.integer_predicate(kind)
    only = draw.choose(True, False)
    sign, sorted_as = (">=", "descending") if falling else ("<=", "ascending")
    word = {"all": ", keeping duplicates", "once": " without duplicates", "common": " that contains only the numbers present in both, without duplicates"}[twice]
    chosen = f" The result contains only {holds.plural}." if only else ""
    final = f"result.retain(|&value| {holds.on('value')});\n" if only else ""
    dedup = "result.dedup();\n" if twice != "all" else ""
    order = "result.sort_by(|a, b| b.cmp(a));\n" if falling else "result.sort();\n"

    def oracle(left: list[int], right: list[int]) -> list[int]:
        found = {"all": left + right, "once": list({*left, *right}), "common": [n for n in {*left} if n in right]}[twice]
        return sorted((n for n in found if holds(n) or not only), reverse=falling)

    loop = f"let mut result = Vec::new();\nlet (mut i, mut j) = (0, 0);\nwhile i < left.len() || j < right.len() {{\n    let from_left = j == right.len() || (i < left.len() && left[i] {sign} right[j]);\n    if from_left {{\n        result.push(left[i]);\n        i += 1;\n    }} else {{\n        result.push(right[j]);\n        j += 1;\n    }}\n}}\n"
    common = f"let mut result = Vec::new();\nlet (mut i, mut j) = (0, 0);\nwhile i < left.len() && j < right.len() {{\n    if left[i] == right[j] {{\n        result.push(left[i]);\n        i += 1;\n        j += 1;\n    }} else if left[i] {sign} right[j] {{\n        i += 1;\n    }} else {{\n        j += 1;\n    }}\n}}\n"
    plain = "let mut result: Vec<_> = left.iter().copied().filter(|value| right.contains(value)).collect();\n" if twice == "common" else f"let mut result = left.to_vec();\nresult.extend_from_slice(right);\n{order}"
    pick = draw.arguments
    return FunctionSpec(
        name=draw.style("merge", "merge_sorted", "join_sorted", "combine_sorted") if twice != "common" else draw.style("common", "intersect_sorted", "shared"),
        parameters={"left": f"&[{kind}]", "right": f"&[{kind}]"}, returns=f"Vec<{kind}>",
        words=[f"Merges two slices in {sorted_as} order into one vector in {sorted_as} order{word}.{chosen}", f"Combines `left` and `right`, which are both in {sorted_as} order, into a vector in {sorted_as} order{word}.{chosen}"],
        forms=[f"{common if twice == 'common' else loop}{dedup}{final}result", f"{plain}{dedup}{final}result"], oracle=oracle,
        inputs=lambda: tuple(sorted((pick.randint(-15 if kind in SIGNED else 0, 30) for _ in range(pick.randint(0, 9))), reverse=falling) for _ in range(2)),
    )


@family(tier=3)
def split_at_marker(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64", "u32")
    holds = draw.integer_predicate(kind)
    empty = draw.choose("kept", "omitted")
    figure, compute, made, returned = draw.choose(("the sum", sum, f"part.iter().sum::<{kind}>()", kind), ("the length", len, "part.len()", "usize"), ("the numbers", list, "part.to_vec()", f"Vec<{kind}>"))

    def oracle(values: list[int]) -> list:
        if not values:
            raise Undefined
        parts: list[list[int]] = [[]]
        for n in values:
            if holds(n):
                parts.append([])
            else:
                parts[-1].append(n)
        return [compute(part) for part in parts if part or empty == "kept"]

    x = holds.on("value")
    filtered = "" if empty == "kept" else "\n    .filter(|part| !part.is_empty())"

    def finish(depth):
        return f"result.push({made});" if empty == "kept" else f"if !part.is_empty() {{\n{depth}    result.push({made});\n{depth}}}"

    return _slice_function(
        draw, kind, f"Vec<{returned}>", ("split_by", "parts", "between_markers", "sections", "segments"),
        [f"Splits `values` at every number that {holds.clause} and returns {figure} of each part, without the separating numbers themselves. Empty parts are {empty}. There is at least one number in `values`.", f"Treats the {holds.plural} in `values` as separators and returns {figure} of each part between them, where empty parts are {empty}. The slice contains at least one number."],
        [f"values\n    .split(|&value| {x}){filtered}\n    .map(|part| {made})\n    .collect()",
         f"let mut result = Vec::new();\nlet mut part = Vec::new();\nfor &value in values {{\n    if {x} {{\n        {finish('        ')}\n        part.clear();\n    }} else {{\n        part.push(value);\n    }}\n}}\n{finish('')}\nresult"],
        oracle,
    )
