"""Functions of one or a few numbers."""

from trainers.data.synthetic.family import Draw, FunctionSpec, Undefined, family
from trainers.data.synthetic.literals import INTEGERS, SIGNED, UNSIGNED
from trainers.data.synthetic.pieces import quotient, remainder


@family(tier=0)
def mapped_number(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    mapping = draw.integer_mapping(kind)
    return FunctionSpec(
        name=draw.style("apply", "adjust", "convert", "transform", "map", "rescale")
        + "_"
        + draw.style("value", mapping.slug),
        parameters={"n": kind},
        returns=kind,
        words=[
            f"Returns `n` {mapping.participle}.",
            f"Takes a number and returns it {mapping.participle}.",
            f"Computes the value of `n` {mapping.participle}.",
        ],
        forms=[
            mapping.on("n"),
            f"let result = {mapping.on('n')};\nresult",
            f"return {mapping.on('n')};",
        ],
        oracle=mapping,
    )


@family(tier=0)
def number_test(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    holds = draw.integer_predicate(kind)
    return FunctionSpec(
        name=draw.style(f"is_{holds.slug}", "qualifies", "accepts", "is_wanted", "check_number"),
        parameters={"n": kind},
        returns="bool",
        words=[
            f"Checks whether `n` {holds.clause}.",
            f"Returns `true` if `n` {holds.clause}, and `false` otherwise.",
            f"Returns whether the number {holds.clause}.",
        ],
        forms=[
            holds.on("n"),
            f"if {holds.on('n')} {{\n    true\n}} else {{\n    false\n}}",
            f"let accepted = {holds.on('n')};\naccepted",
            f"if !({holds.on('n')}) {{\n    return false;\n}}\ntrue",
        ],
        oracle=holds,
    )


@family(tier=0)
def clamp_between(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    low = draw.integer(-20, 5) if kind in SIGNED else draw.integer(1, 12)
    high = low + draw.integer(4, 30)
    return FunctionSpec(
        name=draw.style("limit", "clamp_value", "keep_in_range", "bounded", "restrict"),
        parameters={"value": kind},
        returns=kind,
        words=[
            f"Restricts `value` to be at least {low} and at most {high}.",
            f"Clamps `value` to the range from {low} to {high}.",
            f"Returns `value` if it is from {low} to {high}, otherwise the nearer of these two limits.",
        ],
        forms=[
            f"value.clamp({low}, {high})",
            f"value.max({low}).min({high})",
            f"""
            if value < {low} {{
                {low}
            }} else if value > {high} {{
                {high}
            }} else {{
                value
            }}
            """,
            f"""
            match value {{
                v if v < {low} => {low},
                v if v > {high} => {high},
                v => v,
            }}
            """,
        ],
        oracle=lambda value: max(low, min(high, value)),
    )


@family(tier=1)
def sum_up_to(draw: Draw) -> FunctionSpec:
    kind = draw.choose("u32", "u64", "i64")
    keep, mapping = draw.integer_predicate(kind), draw.integer_mapping(kind)
    start = draw.integer(0, 2)

    return FunctionSpec(
        name=draw.style("sum_up_to", "range_sum", "total_up_to", f"sum_{keep.slug}", "accumulate"),
        parameters={"n": kind},
        returns=kind,
        words=[
            f"Adds up the {keep.plural} among the integers from {start} to `n` inclusive, each first {mapping.participle}.",
            f"Takes every integer from {start} to `n` inclusive that {keep.clause}, and returns the sum of these numbers, each {mapping.participle}.",
            f"Iterates from {start} to `n` inclusive and returns the sum of the {keep.plural}, each {mapping.participle} before it is added.",
        ],
        forms=[
            f"""
            let mut total = 0;
            for value in {start}..=n {{
                if {keep.on("value")} {{
                    total += {mapping.on("value")};
                }}
            }}
            total
            """,
            f"""
            ({start}..=n)
                .filter(|&value| {keep.on("value")})
                .map(|value| {mapping.on("value")})
                .sum()
            """,
            f"""
            let mut total = 0;
            let mut value = {start};
            while value <= n {{
                if {keep.on("value")} {{
                    total += {mapping.on("value")};
                }}
                value += 1;
            }}
            total
            """,
            f"""
            ({start}..=n).fold(0, |total, value| {{
                if {keep.on("value")} {{
                    total + ({mapping.on("value")})
                }} else {{
                    total
                }}
            }})
            """,
        ],
        oracle=lambda n: sum(mapping(v) for v in range(start, n + 1) if keep(v)),
        inputs=lambda: (draw.arguments.randint(0, 40),),
    )


@family(tier=1)
def brackets(draw: Draw) -> FunctionSpec:
    kind = draw.choose("u32", "u64", "i64")
    bounds = sorted(draw.meaning.sample(range(5, 60, 5), draw.integer(2, 3)))
    rates = sorted(draw.meaning.sample(range(1, 12), len(bounds) + 1))
    draw.parameters.append(f"{bounds} {rates}")
    subject = draw.style("parcel", "ticket", "order", "parking stay", "delivery")
    cases = list(zip(bounds, rates, strict=False))
    rule = ", ".join(f"{rate} for sizes up to {bound}" if i == 0 else f"{rate} up to {bound}" for i, (bound, rate) in enumerate(cases)) + f", and {rates[-1]} above that"
    chain = " else ".join(f"if size <= {bound} {{\n    {rate}\n}}" for bound, rate in cases)
    arms = "".join(
        f"    0..={bound} => {rate},\n" if i == 0 else f"    {cases[i - 1][0] + 1}..={bound} => {rate},\n"
        for i, (bound, rate) in enumerate(cases)
    )
    returns = "".join(f"if size <= {bound} {{\n    return {rate};\n}}\n" for bound, rate in cases)

    def oracle(size: int) -> int:
        return next((rate for bound, rate in cases if size <= bound), rates[-1])

    return FunctionSpec(
        name=draw.style("fee", "price_for", "rate", "charge", "cost_of") + "_" + draw.style("size", "units", "amount"),
        parameters={"size": kind},
        returns="u32",
        words=[
            f"Returns the price of a {subject} of the given size, which is not negative: {rule}.",
            f"Computes the price of a {subject} from its `size`, which is at least 0: {rule}.",
            f"Looks up the rate for `size`, which is not negative: {rule}.",
        ],
        forms=[
            f"{chain} else {{\n    {rates[-1]}\n}}",
            f"match size {{\n{arms}    _ => {rates[-1]},\n}}",
            f"{returns}{rates[-1]}",
        ],
        oracle=oracle,
        inputs=lambda: (
            draw.arguments.choice(
                (draw.arguments.randint(0, 70), draw.arguments.choice(bounds), draw.arguments.choice(bounds) + 1)
            ),
        ),
    )


@family(tier=1)
def words_for_multiples(draw: Draw) -> FunctionSpec:
    a, b = draw.choose((3, 5), (2, 7), (3, 4), (5, 7), (2, 3), (4, 9), (2, 5))
    one, two = draw.choose(
        ("Fizz", "Buzz"), ("tick", "tock"), ("ping", "pong"), ("red", "blue"), ("foo", "bar"), ("hop", "skip")
    )

    def oracle(n: int) -> str:
        return (one if n % a == 0 else "") + (two if n % b == 0 else "") or str(n)

    return FunctionSpec(
        name=draw.style(f"{one.lower()}_{two.lower()}", "word_for", "say", "label"),
        parameters={"n": "u32"},
        returns="String",
        words=[
            f'Returns "{one}" for multiples of {a}, "{two}" for multiples of {b}, "{one}{two}" for multiples of both, and the number in decimal otherwise.',
            f'Returns "{one}" if `n` is divisible by {a}, "{two}" if it is divisible by {b}, and "{one}{two}" if it is divisible by both. Any other number is returned as decimal text.',
        ],
        forms=[
            f"""
            match (n % {a}, n % {b}) {{
                (0, 0) => "{one}{two}".to_string(),
                (0, _) => "{one}".to_string(),
                (_, 0) => "{two}".to_string(),
                _ => n.to_string(),
            }}
            """,
            f"""
            let mut result = String::new();
            if n % {a} == 0 {{
                result.push_str("{one}");
            }}
            if n % {b} == 0 {{
                result.push_str("{two}");
            }}
            if result.is_empty() {{
                result = n.to_string();
            }}
            result
            """,
            f"""
            if n % {a} == 0 && n % {b} == 0 {{
                String::from("{one}{two}")
            }} else if n % {a} == 0 {{
                String::from("{one}")
            }} else if n % {b} == 0 {{
                String::from("{two}")
            }} else {{
                n.to_string()
            }}
            """,
        ],
        oracle=oracle,
        inputs=lambda: (draw.arguments.choice((a, b, a * b, 2 * a, draw.arguments.randint(1, 60))),),
    )


@family(tier=1)
def rounded_division(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*SIGNED, *UNSIGNED)
    step = draw.integer(2, 25)
    how = draw.choose("down", "up", "nearest")
    signed = kind in SIGNED

    def oracle(n: int) -> int:
        if n < 0:
            raise Undefined
        return {"down": n // step, "up": -(-n // step), "nearest": (n + step // 2) // step}[how] * step

    words = {
        "down": "the largest multiple of {k} that is less than or equal to it",
        "up": "the smallest multiple of {k} that is greater than or equal to it",
        "nearest": "the nearest multiple of {k}, rounding up if two are equally near"
        if step % 2 == 0
        else "the nearest multiple of {k}",
    }[how].format(k=step)
    forms = {
        "down": [f"n / {step} * {step}", f"n - n % {step}", f"let extra = n % {step};\nn - extra"],
        "up": [f"(n + {step - 1}) / {step} * {step}", f"match n % {step} {{\n    0 => n,\n    extra => n + ({step} - extra),\n}}", f"let extra = n % {step};\nif extra == 0 {{\n    n\n}} else {{\n    n - extra + {step}\n}}"],
        "nearest": [f"(n + {step // 2}) / {step} * {step}", f"let extra = n % {step};\nlet lower = n - extra;\nif 2 * extra >= {step} {{\n    lower + {step}\n}} else {{\n    lower\n}}"],
    }[how]
    note = " The number is never negative." if signed else ""
    return FunctionSpec(
        name=draw.style(f"round_{how}", "round_to_multiple", "snap", f"align_{how}"),
        parameters={"n": kind},
        returns=kind,
        words=[f"Rounds `n` to {words}.{note}", f"Returns {words.replace('to it', 'to `n`') if how != 'nearest' else words.replace(str(step), f'{step} to `n`', 1)}.{note}"],
        forms=forms,
        oracle=oracle,
        inputs=lambda: (draw.arguments.randint(0, 90),),
    )


@family(tier=1)
def split_units(draw: Draw) -> FunctionSpec:
    names, sizes = draw.choose(
        (("hours", "minutes", "seconds"), (3600, 60)), (("weeks", "days", "hours"), (168, 24)), (("dozens", "pairs", "single pieces"), (12, 2)),
        (("pounds", "shillings", "pence"), (240, 12)), (("days", "hours", "minutes"), (1440, 60)), (("boxes", "bags", "items"), (50, 10)),
        (("miles", "yards", "feet"), (5280, 3)), (("crates", "trays", "eggs"), (120, 30)),
    )
    kind = draw.choose(*UNSIGNED)
    big, small = sizes
    return FunctionSpec(
        name=draw.style("split", "break_down", "decompose", f"to_{names[0]}", "as_units"),
        parameters={"total": kind},
        returns=f"({kind}, {kind}, {kind})",
        words=[
            f"Splits `total` {names[2]} into whole {names[0]} of {big} {names[2]}, whole {names[1]} of {small} {names[2]}, and the remaining {names[2]}.",
            f"Converts `total` {names[2]} to the tuple ({names[0]}, {names[1]}, {names[2]}), using as many {names[0]} (of {big} {names[2]} each) and then as many {names[1]} (of {small} {names[2]} each) as possible.",
        ],
        forms=[
            f"(total / {big}, total % {big} / {small}, total % {small})"
            if big % small == 0
            else f"(total / {big}, total % {big} / {small}, total % {big} % {small})",
            f"let first = total / {big};\nlet rest = total % {big};\nlet second = rest / {small};\nlet third = rest % {small};\n(first, second, third)",
            f"let mut rest = total;\nlet first = rest / {big};\nrest -= first * {big};\nlet second = rest / {small};\nrest -= second * {small};\n(first, second, rest)",
        ],
        oracle=lambda total: (total // big, total % big // small, total % big % small),
        inputs=lambda: (
            draw.arguments.choice((0, draw.arguments.randint(0, 100), draw.arguments.randint(100, 20000))),
        ),
    )


@family(tier=1)
def pick_of_three(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    wanted = draw.choose("largest", "smallest", "middle", "spread")
    oracle = {
        "largest": max,
        "smallest": min,
        "middle": lambda *v: sorted(v)[1],
        "spread": lambda *v: max(v) - min(v),
    }[wanted]
    words = {
        "largest": ["Returns the largest of three numbers.", "Finds the greatest of `a`, `b` and `c`."],
        "smallest": ["Returns the smallest of three numbers.", "Finds the least of `a`, `b` and `c`."],
        "middle": ["Returns the median of three numbers.", "Returns the one of `a`, `b` and `c` that lies between the other two."],
        "spread": ["Returns the difference between the largest and the smallest of three numbers.", "Computes how far apart the smallest and the largest of `a`, `b` and `c` are."],
    }[wanted]
    forms = {
        "largest": ["a.max(b).max(c)", "if a >= b && a >= c {\n    a\n} else if b >= c {\n    b\n} else {\n    c\n}", "let mut best = a;\nif b > best {\n    best = b;\n}\nif c > best {\n    best = c;\n}\nbest"],
        "smallest": ["a.min(b).min(c)", "if a <= b && a <= c {\n    a\n} else if b <= c {\n    b\n} else {\n    c\n}", "let mut best = a;\nfor other in [b, c] {\n    if other < best {\n        best = other;\n    }\n}\nbest"],
        "middle": ["let mut all = [a, b, c];\nall.sort();\nall[1]", "a.max(b).min(a.min(b).max(c))"],
        "spread": ["a.max(b).max(c) - a.min(b).min(c)", "let largest = a.max(b).max(c);\nlet smallest = a.min(b).min(c);\nlargest - smallest", "let mut all = [a, b, c];\nall.sort();\nall[2] - all[0]"],
    }[wanted]
    return FunctionSpec(
        name=draw.style(f"{wanted}_of_three", f"{wanted}_of", f"find_{wanted}"), parameters={"a": kind, "b": kind, "c": kind}, returns=kind,
        words=words, forms=forms, oracle=oracle,
    )


@family(tier=0)
def two_number_formula(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64")
    p, q, c = draw.integer(1, 7), draw.integer(1, 7), draw.integer(0, 9)
    sign = draw.choose("+", "-")
    first = "a" if p == 1 else f"{p} * a"
    second = "b" if q == 1 else f"{q} * b"
    last = f" + {c}" if c else ""
    formula = f"{first} {sign} {second}{last}"
    said = formula.replace("a", "`a`").replace("b", "`b`")
    return FunctionSpec(
        name=draw.style("combine", "weighted", "score", "formula", "linear", "mix"),
        parameters={"a": kind, "b": kind},
        returns=kind,
        words=[
            f"Computes {said}.",
            f"Returns the value of {said}.",
            f"Combines two numbers into {said}.",
        ],
        forms=[
            formula,
            f"let first = {first};\nlet second = {second};\nfirst {sign} second{last}",
            f"let mut result = {first};\nresult {sign}= {second};\nresult{last}",
        ],
        oracle=lambda a, b: p * a + (q * b if sign == "+" else -q * b) + c,
    )


@family(tier=1)
def checked_difference(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*INTEGERS)
    step = draw.integer(2, 9)
    wanted = draw.choose("abs", "steps", "remainder")
    words, forms, oracle = {
        "abs": ([f"Returns {step} times the distance between `a` and `b`.", f"Computes the absolute difference of `a` and `b`, multiplied by {step}."],
                [f"if a > b {{\n    (a - b) * {step}\n}} else {{\n    (b - a) * {step}\n}}", f"(a.max(b) - a.min(b)) * {step}", f"let difference = match a.cmp(&b) {{\n    std::cmp::Ordering::Less => b - a,\n    _ => a - b,\n}};\ndifference * {step}"],
                lambda a, b: abs(a - b) * step),
        "steps": ([f"Returns the distance between `a` and `b`, divided by {step} and rounded down."],
                  [f"(a.max(b) - a.min(b)) / {step}", f"let distance = if a < b {{ b - a }} else {{ a - b }};\ndistance / {step}"],
                  lambda a, b: abs(a - b) // step),
        "remainder": ([f"Returns the remainder when the distance between `a` and `b` is divided by {step}."],
                      [f"(a.max(b) - a.min(b)) % {step}", f"let distance = if a < b {{ b - a }} else {{ a - b }};\ndistance % {step}"],
                      lambda a, b: remainder(abs(a - b), step)),
    }[wanted]
    return FunctionSpec(
        name=draw.style("distance", "gap", "difference", "spread_between"), parameters={"a": kind, "b": kind}, returns=kind, words=words,
        forms=forms, oracle=oracle,
    )


@family(tier=1)
def average_of_numbers(draw: Draw) -> FunctionSpec:
    kind = draw.choose("i32", "i64", "u32", "u64")
    weight, other = draw.integer(1, 5), draw.integer(1, 5)
    whole = weight + other

    def mine(k, n):
        return n if k == 1 else f"{k} * {n}"

    formula = f"({mine(weight, 'a')} + {mine(other, 'b')}) / {whole}"
    return FunctionSpec(
        name=draw.style("weighted_average", "blend", "mean_of", "average"),
        parameters={"a": kind, "b": kind},
        returns=kind,
        words=[
            f"Returns the average of `a` with weight {weight} and `b` with weight {other}, rounded toward zero.",
            f"Computes the weighted average of `a` (weight {weight}) and `b` (weight {other}) and drops its fractional part.",
        ],
        forms=[formula, f"let sum = {mine(weight, 'a')} + {mine(other, 'b')};\nsum / {whole}"],
        oracle=lambda a, b: quotient(weight * a + other * b, whole),
    )
