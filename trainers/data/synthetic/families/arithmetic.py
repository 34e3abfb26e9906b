"""Divisors, primes, powers and recurrences."""

import math

from trainers.data.synthetic.family import Draw, FunctionSpec, Undefined, family
from trainers.data.synthetic.literals import UNSIGNED


@family(tier=1)
def common_divisor(draw: Draw) -> FunctionSpec:
    kind = draw.choose(*UNSIGNED)
    wanted = draw.choose("gcd", "lcm", "coprime", "reduced")
    returns = {"gcd": kind, "lcm": kind, "coprime": "bool", "reduced": f"({kind}, {kind})"}[wanted]
    result = {"gcd": "x", "lcm": "a / x * b", "coprime": "x == 1", "reduced": "(a / x, b / x)"}[wanted]
    name = {
        "gcd": ("gcd", "greatest_common_divisor", "common_factor"), "lcm": ("lcm", "least_common_multiple"),
        "coprime": ("are_coprime", "is_coprime", "share_no_factor"), "reduced": ("reduce_fraction", "simplify", "lowest_terms"),
    }[wanted]
    words = {
        "gcd": ["Returns the greatest common divisor of `a` and `b`.", "Finds the largest number that divides both `a` and `b` with Euclid's algorithm."],
        "lcm": ["Returns the least common multiple of `a` and `b`. Both numbers are positive.", "Finds the smallest positive number that is divisible by both `a` and `b`, which are positive."],
        "coprime": ["Checks whether `a` and `b` have no common divisor other than 1.", "Returns `true` if the greatest common divisor of `a` and `b` is 1."],
        "reduced": ["Reduces the fraction `a` / `b` to lowest terms and returns its numerator and denominator.", "Divides the numerator `a` and the denominator `b` by their greatest common divisor and returns both results."],
    }[wanted]

    def oracle(a: int, b: int):
        if not a or not b:
            raise Undefined
        divisor = math.gcd(a, b)
        return {
            "gcd": divisor,
            "lcm": a * b // divisor,
            "coprime": divisor == 1,
            "reduced": (a // divisor, b // divisor),
        }[wanted]

    return FunctionSpec(
        name=draw.style(*name),
        parameters={"a": kind, "b": kind},
        returns=returns,
        words=words,
        forms=[
            f"""
            let (mut x, mut y) = (a, b);
            while y != 0 {{
                let remainder = x % y;
                x = y;
                y = remainder;
            }}
            {result}
            """,
            f"""
            let mut x = a;
            let mut y = b;
            while y > 0 {{
                (x, y) = (y, x % y);
            }}
            {result}
            """,
            f"""
            fn divisor(x: {kind}, y: {kind}) -> {kind} {{
                if y == 0 {{
                    x
                }} else {{
                    divisor(y, x % y)
                }}
            }}
            let x = divisor(a, b);
            {result}
            """,
        ],
        oracle=oracle,
        inputs=lambda: (
            draw.arguments.randint(1, 12) * draw.arguments.randint(1, 9),
            draw.arguments.randint(1, 12) * draw.arguments.randint(1, 9),
        ),
    )


@family(tier=1)
def linear_recurrence(draw: Draw) -> FunctionSpec:
    p, q = draw.integer(1, 4), draw.integer(1, 3)
    first, second = draw.integer(0, 3), draw.integer(1, 4)
    known = (p, q, first, second) == (1, 1, 0, 1)

    def oracle(n: int) -> int:
        a, b = first, second
        for _ in range(n):
            a, b = b, p * b + q * a
        return a

    def times(k, name):
        return name if k == 1 else f"{k} * {name}"

    rule = f"{times(p, 'a(n - 1)')} + {times(q, 'a(n - 2)')}"
    step = f"{times(p, 'b')} + {times(q, 'a')}"
    return FunctionSpec(
        name=draw.style("fibonacci", "fib")
        if known
        else draw.style("sequence_term", "recurrence", "nth_term", "term"),
        parameters={"n": "u32"},
        returns="u64",
        words=[
            f"Returns the term a(n) of the sequence with a(0) = {first}, a(1) = {second} and a(n) = {rule}.",
            f"Returns the term at index `n`, counting from 0, of the sequence that starts with {first} and {second} and continues with a(n) = {rule}.",
            f"Computes a(n), where a(0) = {first}, a(1) = {second}, and a(n) = {rule} for every larger n.",
        ],
        forms=[
            f"""
            let mut a = {first};
            let mut b = {second};
            for _ in 0..n {{
                let next = {step};
                a = b;
                b = next;
            }}
            a
            """,
            f"""
            let (mut a, mut b) = ({first}u64, {second}u64);
            for _ in 0..n {{
                (a, b) = (b, {step});
            }}
            a
            """,
            f"(0..n).fold(({first}, {second}), |(a, b), _| (b, {step})).0",
            f"""
            let mut terms = vec![{first}, {second}];
            while terms.len() <= n as usize {{
                let a = terms[terms.len() - 2];
                let b = terms[terms.len() - 1];
                terms.push({step});
            }}
            terms[n as usize]
            """,
        ],
        oracle=oracle,
        inputs=lambda: (draw.arguments.randint(0, 15),),
    )


@family(tier=2)
def primes(draw: Draw) -> FunctionSpec:
    wanted = draw.choose("is_prime", "count", "list", "next", "factors", "largest_factor", "divisors", "proper_sum")
    kind = draw.choose("u32", "u64")
    table = {
        "is_prime": ("bool", ("is_prime", "prime"), ["Checks whether `n` is a prime number.", "Returns `true` if `n` has exactly two divisors, 1 and itself."],
                     ["if n < 2 {\n    return false;\n}\nlet mut divisor = 2;\nwhile divisor * divisor <= n {\n    if n % divisor == 0 {\n        return false;\n    }\n    divisor += 1;\n}\ntrue",
                      "n >= 2 && (2..n).take_while(|d| d * d <= n).all(|d| n % d != 0)"]),
        "count": ("usize", ("count_primes", "primes_up_to", "prime_count"), ["Counts the prime numbers up to and including `n`.", "Returns the number of primes that are less than or equal to `n`."],
                  ["(2..=n).filter(|&m| (2..m).all(|d| m % d != 0)).count()",
                   "let mut count = 0;\nfor candidate in 2..=n {\n    let mut is_prime = true;\n    for divisor in 2..candidate {\n        if candidate % divisor == 0 {\n            is_prime = false;\n            break;\n        }\n    }\n    if is_prime {\n        count += 1;\n    }\n}\ncount"]),
        "list": (f"Vec<{kind}>", ("primes_below", "list_primes", "sieve"), ["Lists all primes below `n` in ascending order.", "Returns the prime numbers less than `n`, from smallest to largest."],
                 ["let mut primes = Vec::new();\nfor candidate in 2..n {\n    if primes.iter().all(|prime| candidate % prime != 0) {\n        primes.push(candidate);\n    }\n}\nprimes",
                  "(2..n).filter(|&m| (2..m).all(|d| m % d != 0)).collect()",
                  f"let size = n as usize;\nlet mut composite = vec![false; size];\nlet mut primes = Vec::new();\nfor number in 2..size {{\n    if composite[number] {{\n        continue;\n    }}\n    primes.push(number as {kind});\n    let mut multiple = number * number;\n    while multiple < size {{\n        composite[multiple] = true;\n        multiple += number;\n    }}\n}}\nprimes"]),
        "next": (kind, ("next_prime", "following_prime"), ["Returns the smallest prime greater than `n`.", "Finds the first prime number after `n`."],
                 ["let mut candidate = n + 1;\nwhile candidate < 2 || (2..candidate).any(|d| candidate % d == 0) {\n    candidate += 1;\n}\ncandidate",
                  "(n + 1..).find(|&m| m > 1 && (2..m).all(|d| m % d != 0)).unwrap()"]),
        "factors": (f"Vec<{kind}>", ("prime_factors", "factorize", "factors"), ["Returns the prime factors of `n` in ascending order, each repeated as often as it divides `n`. The number is positive.", "Factorizes the positive number `n`: returns the primes whose product is `n`, from smallest to largest."],
                    ["let mut rest = n;\nlet mut factors = Vec::new();\nlet mut divisor = 2;\nwhile rest > 1 {\n    while rest % divisor == 0 {\n        factors.push(divisor);\n        rest /= divisor;\n    }\n    divisor += 1;\n}\nfactors"]),
        "largest_factor": (kind, ("largest_prime_factor", "greatest_prime_divisor"), ["Returns the largest prime that divides `n`, or 1 if `n` is 1. The number is positive.", "Finds the greatest prime factor of the positive number `n`. For 1 the result is 1."],
                           ["let mut rest = n;\nlet mut largest = 1;\nlet mut divisor = 2;\nwhile rest > 1 {\n    if rest % divisor == 0 {\n        largest = divisor;\n        rest /= divisor;\n    } else {\n        divisor += 1;\n    }\n}\nlargest"]),
        "divisors": (f"Vec<{kind}>", ("divisors", "divisors_of", "all_divisors"), ["Lists all divisors of the positive number `n` from smallest to largest.", "Returns every number from 1 to `n` that divides `n`, in ascending order."],
                     ["(1..=n).filter(|d| n % d == 0).collect()",
                      "let mut divisors = Vec::new();\nfor candidate in 1..=n {\n    if n % candidate == 0 {\n        divisors.push(candidate);\n    }\n}\ndivisors"]),
        "proper_sum": (kind, ("aliquot_sum", "proper_divisor_sum"), ["Returns the sum of all divisors of `n` that are smaller than `n`. The number is positive.", "Adds up the proper divisors of the positive number `n`, that is, all of its divisors except `n` itself."],
                       ["(1..n).filter(|d| n % d == 0).sum()",
                        "let mut total = 0;\nfor candidate in 1..n {\n    if n % candidate == 0 {\n        total += candidate;\n    }\n}\ntotal"]),
    }
    returns, names, words, forms = table[wanted]

    def oracle(n: int):
        def prime(m):
            return m > 1 and all(m % d for d in range(2, m))

        divisors = [d for d in range(1, n + 1) if n % d == 0]
        if wanted in ("factors", "largest_factor", "divisors", "proper_sum") and n == 0:
            raise Undefined
        factors, rest = [], n
        for d in range(2, n + 1):
            while rest % d == 0:
                factors.append(d)
                rest //= d
        return {
            "is_prime": prime(n), "count": sum(map(prime, range(n + 1))), "list": list(filter(prime, range(n))),
            "next": next(m for m in range(n + 1, 2 * n + 4) if prime(m)), "factors": factors,
            "largest_factor": max(factors, default=1), "divisors": divisors, "proper_sum": sum(divisors[:-1]),
        }[wanted]

    return FunctionSpec(
        name=draw.style(*names), parameters={"n": kind}, returns=returns, words=words, forms=forms, oracle=oracle,
        inputs=lambda: (draw.arguments.randint(1, 60),),
    )


@family(tier=2)
def steps_of_a_rule(draw: Draw) -> FunctionSpec:
    divisor = draw.choose(2, 3, 4)
    k, c = draw.choose((3, 1), (2, 1), (1, 3), (1, 5), (1, 1), (2, 3))
    bound = draw.choose(20, 30, 50, 100)
    growth = f"{k} * n + {c}" if k > 1 else f"n + {c}"

    def oracle(start: int) -> int:
        n, steps = start, 0
        while n > 1 and steps < bound:
            n = n // divisor if n % divisor == 0 else k * n + c
            steps += 1
            if n > 2**50:
                raise Undefined
        return steps

    return FunctionSpec(
        name=draw.style("steps_to_one", "count_steps", "chain_length", "stopping_time"),
        parameters={"start": "u64"},
        returns="usize",
        words=[
            f"Counts how many steps it takes until n, which begins at `start`, is 0 or 1, and stops counting at {bound}. In each step, n is divided by {divisor} if it is a multiple of {divisor}; otherwise it becomes {growth}.",
            f"Starting with n = `start`, each step replaces n by n / {divisor} if it is divisible by {divisor} and by {growth} otherwise. Returns the number of steps until n is 0 or 1, or {bound} if it takes more steps than that.",
        ],
        forms=[
            f"""
            let mut current = start;
            let mut steps = 0;
            while current > 1 && steps < {bound} {{
                if current % {divisor} == 0 {{
                    current /= {divisor};
                }} else {{
                    current = {growth.replace("n", "current")};
                }}
                steps += 1;
            }}
            steps
            """,
            f"""
            let mut current = start;
            for steps in 0..{bound} {{
                if current <= 1 {{
                    return steps;
                }}
                current = if current % {divisor} == 0 {{
                    current / {divisor}
                }} else {{
                    {growth.replace("n", "current")}
                }};
            }}
            {bound}
            """,
        ],
        oracle=oracle,
        inputs=lambda: (draw.arguments.randint(0, 40),),
    )


@family(tier=2)
def power_modulo(draw: Draw) -> FunctionSpec:
    modulus = draw.choose(7, 10, 11, 13, 97, 100, 101, 997, 1000, 1009)
    exponent = draw.choose("given", 2, 3, 4, 5)
    fixed = exponent != "given"
    parameters = {"base": "u64"} if fixed else {"base": "u64", "exponent": "u32"}
    told = f"raised to the power of {exponent}" if fixed else "raised to the power of `exponent`"
    power = str(exponent) if fixed else "exponent"
    return FunctionSpec(
        name=draw.style("power_mod", "pow_mod", "modular_power", f"residue_mod_{modulus}"),
        parameters=parameters,
        returns="u64",
        words=[
            f"Returns the remainder when `base` {told} is divided by {modulus}.",
            f"Computes `base` {told} modulo {modulus}.",
        ],
        forms=[
            f"""
            let mut result = 1 % {modulus};
            for _ in 0..{power} {{
                result = result * (base % {modulus}) % {modulus};
            }}
            result
            """,
            f"(0..{power}).fold(1 % {modulus}, |result, _| result * (base % {modulus}) % {modulus})",
            f"""
            let mut result = 1;
            let mut square = base % {modulus};
            let mut rest: u32 = {power};
            while rest > 0 {{
                if rest % 2 == 1 {{
                    result = result * square % {modulus};
                }}
                square = square * square % {modulus};
                rest /= 2;
            }}
            result
            """,
        ],
        oracle=lambda base, power=exponent: pow(base, power, modulus),
        inputs=lambda: (draw.arguments.randint(0, 30),) + (() if fixed else (draw.arguments.randint(0, 12),)),
    )
