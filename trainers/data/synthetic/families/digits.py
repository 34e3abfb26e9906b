"""Digits, bases and bits."""

from trainers.data.synthetic.family import Draw, FunctionSpec, family


@family(tier=1)
def digit_figure(draw: Draw) -> FunctionSpec:
    kind = draw.choose("u32", "u64")
    base = draw.choose(10, 10, 2, 3, 5, 7, 8, 16)
    keep = draw.choose("all", "even", "odd", "large")
    figure = draw.choose("sum", "count", "max", "sum of squares")
    test = {
        "all": lambda d: True,
        "even": lambda d: d % 2 == 0,
        "odd": lambda d: d % 2 == 1,
        "large": lambda d: 2 * d >= base,
    }[keep]
    condition = {"all": "", "even": "digit % 2 == 0", "odd": "digit % 2 == 1", "large": f"2 * digit >= {base}"}[keep]
    which = {
        "all": "digits",
        "even": "even digits",
        "odd": "odd digits",
        "large": f"digits that are at least half of {base}",
    }[keep]
    step = {
        "sum": "total += digit;",
        "count": "total += 1;",
        "max": "total = total.max(digit);",
        "sum of squares": "total += digit * digit;",
    }[figure]
    said = {"sum": "sum", "count": "number", "max": "largest", "sum of squares": "sum of the squares"}[figure]
    inner = f"if {condition} {{\n        {step}\n    }}" if condition else step

    def oracle(n: int) -> int:
        digits = []
        while n:
            digits.append(n % base)
            n //= base
        chosen = [d for d in digits if test(d)]
        return {
            "sum": sum(chosen),
            "count": len(chosen),
            "max": max(chosen, default=0),
            "sum of squares": sum(d * d for d in chosen),
        }[figure]

    the = "" if figure == "count" else "the "
    scale = "decimal" if base == 10 else f"base-{base}"
    return FunctionSpec(
        name=draw.style("digit", "digits")
        + "_"
        + figure.replace(" ", "_")
        + draw.style("", f"_base_{base}", f"_{keep}"),
        parameters={"n": kind},
        returns=kind,
        words=[
            f"Returns the {said} of {the}{scale} {which} of `n`, or 0 if there are none. The number 0 has no digits.",
            f"Splits `n` into its {scale} digits and returns the {said} of {the}{which}. Returns 0 if there are none; the number 0 has no digits.",
            f"Computes the {said} of {the}{which} in the {scale} representation of `n`, or 0 if there are none. The number 0 is treated as having no digits.",
        ],
        forms=[
            f"""
            let mut rest = n;
            let mut total = 0;
            while rest > 0 {{
                let digit = rest % {base};
                {inner.replace(chr(10) + "    ", chr(10) + " " * 16)}
                rest /= {base};
            }}
            total
            """,
            f"""
            let mut total = 0;
            let mut rest = n;
            loop {{
                if rest == 0 {{
                    return total;
                }}
                let digit = rest % {base};
                rest /= {base};
                {inner.replace(chr(10) + "    ", chr(10) + " " * 16)}
            }}
            """,
            f"""
            std::iter::successors(Some(n), |&rest| Some(rest / {base}))
                .take_while(|&rest| rest > 0)
                .map(|rest| rest % {base})
                {f".filter(|&digit| {condition})" if condition else ""}
                {{'sum': '.sum()', 'count': '.count() as ' + kind, 'max': '.max().unwrap_or(0)', 'sum of squares': '.map(|digit| digit * digit).sum()'}}
            """.replace(
                "{'sum': '.sum()', 'count': '.count() as ' + kind, 'max': '.max().unwrap_or(0)', 'sum of squares': '.map(|digit| digit * digit).sum()'}",
                {
                    "sum": ".sum()",
                    "count": f".count() as {kind}",
                    "max": ".max().unwrap_or(0)",
                    "sum of squares": ".map(|digit| digit * digit).sum()",
                }[figure],
            ),
        ],
        oracle=oracle,
        inputs=lambda: (
            draw.arguments.choice((0, 7, draw.arguments.randint(0, 99), draw.arguments.randint(100, 99999))),
        ),
    )


@family(tier=1)
def in_other_base(draw: Draw) -> FunctionSpec:
    base = draw.choose(2, 3, 4, 5, 6, 7, 8, 9, 16)
    separator = draw.choose("", "", "_", "-")
    digits = "0123456789abcdef"

    def oracle(n: int) -> str:
        found = []
        while n or not found:
            found.append(digits[n % base])
            n //= base
        return separator.join(reversed(found))

    joined = f'digits.join("{separator}")' if separator else "digits.concat()"
    extra = (f", with `{separator}` between the digits" if separator else "") + ("; digits greater than 9 are lowercase letters" if base > 10 else "")
    return FunctionSpec(
        name=draw.style("to_base", "in_base", "digits_in_base") + f"_{base}",
        parameters={"n": "u32"},
        returns="String",
        words=[
            f"Formats `n` in base {base}{extra}.",
            f"Returns the base-{base} digits of `n`, most significant digit first{extra}.",
        ],
        forms=[
            f"""
            let mut rest = n;
            let mut digits = Vec::new();
            loop {{
                digits.push(std::char::from_digit(rest % {base}, {base}).unwrap().to_string());
                rest /= {base};
                if rest == 0 {{
                    break;
                }}
            }}
            digits.reverse();
            {joined}
            """,
            f"""
            let mut digits = Vec::new();
            let mut rest = n;
            while rest > 0 || digits.is_empty() {{
                let digit = std::char::from_digit(rest % {base}, {base}).unwrap_or('?');
                digits.insert(0, digit.to_string());
                rest /= {base};
            }}
            {joined}
            """,
        ],
        oracle=oracle,
        inputs=lambda: (
            draw.arguments.choice((0, 1, draw.arguments.randint(2, 70), draw.arguments.randint(70, 5000))),
        ),
    )


@family(tier=2)
def bit_figure(draw: Draw) -> FunctionSpec:
    kind = draw.choose("u8", "u16", "u32", "u64")
    wanted = draw.choose("ones", "zeros", "masked", "set", "clear", "toggle", "highest", "parity", "swap")
    bit = draw.integer(1, 6)
    mask = draw.integer(3, 63)
    width = int(kind[1:])
    name, returns, words, forms, oracle = {
        "ones": ("count_ones_in", "u32", ["Counts the bits that are set in `n`."], ["n.count_ones()", "let mut rest = n;\nlet mut count = 0;\nwhile rest != 0 {\n    count += (rest & 1) as u32;\n    rest >>= 1;\n}\ncount", f"(0..{width}).filter(|i| n >> i & 1 == 1).count() as u32"], lambda n: n.bit_count()),
        "zeros": ("count_zeros_in", "u32", [f"Counts the zeros among the {width} bits of `n`."], ["n.count_zeros()", f"{width} - n.count_ones()", f"(0..{width}).filter(|i| n >> i & 1 == 0).count() as u32"], lambda n: width - n.bit_count()),
        "masked": (f"low_bits_{mask}", kind, [f"Returns the bitwise AND of `n` and {mask}.", f"Clears every bit of `n` that is not set in the mask {mask} and returns the result."], [f"n & {mask}", f"let mask = {mask};\nn & mask"], lambda n: n & mask),
        "set": (f"set_bit_{bit}", kind, [f"Returns `n` with bit {bit} set, where bit 0 is the least significant bit."], [f"n | 1 << {bit}", f"let mask = 1 << {bit};\nn | mask", f"if n >> {bit} & 1 == 1 {{\n    n\n}} else {{\n    n + (1 << {bit})\n}}"], lambda n: n | 1 << bit),
        "clear": (f"clear_bit_{bit}", kind, [f"Returns `n` with bit {bit} cleared, where bit 0 is the least significant bit."], [f"n & !(1 << {bit})", f"let mask = 1 << {bit};\nn & !mask"], lambda n: n & ~(1 << bit)),
        "toggle": (f"toggle_bit_{bit}", kind, [f"Returns `n` with bit {bit} flipped, where bit 0 is the least significant bit."], [f"n ^ (1 << {bit})", f"let mask = 1 << {bit};\nif n & mask == 0 {{\n    n | mask\n}} else {{\n    n & !mask\n}}"], lambda n: n ^ 1 << bit),
        "highest": ("highest_bit", "Option<u32>", ["Returns the position of the most significant bit that is set in `n`, counting from 0 at the least significant bit, or `None` if `n` is 0."], ["n.checked_ilog2()", f"if n == 0 {{\n    None\n}} else {{\n    Some({width - 1} - n.leading_zeros())\n}}", f"(0..{width}).rev().find(|i| n >> i & 1 == 1)"], lambda n: n.bit_length() - 1 if n else None),
        "parity": ("has_even_parity", "bool", ["Checks whether an even number of bits is set in `n`."], ["n.count_ones() % 2 == 0", "let mut even = true;\nlet mut rest = n;\nwhile rest > 0 {\n    if rest & 1 == 1 {\n        even = !even;\n    }\n    rest >>= 1;\n}\neven"], lambda n: n.bit_count() % 2 == 0),
        "swap": ("swap_halves", kind, [f"Swaps the upper and the lower {width // 2} bits of `n` and returns the result."], [f"n.rotate_left({width // 2})", f"n << {width // 2} | n >> {width // 2}"], lambda n: (n << width // 2 | n >> width // 2) & ((1 << width) - 1)),
    }[wanted]
    return FunctionSpec(
        name=draw.style(name, name + "_of", "bits_" + name), parameters={"n": kind}, returns=returns, words=words, forms=forms, oracle=oracle,
        inputs=lambda: (draw.arguments.choice((0, 1, draw.arguments.randint(0, 255), draw.arguments.getrandbits(width))),),
    )
