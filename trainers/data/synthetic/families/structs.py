"""Types with state: accounts, builders, measures, statistics, times and polynomials."""

from collections.abc import Sequence
from typing import Any

from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.pieces import WORDS, quotient
from trainers.data.synthetic.writing import blocks, fill


def derive(draw: Draw, more: str = "") -> str:
    """Return the derive attribute of a struct."""
    chosen = draw.style("Debug, Clone, PartialEq", "Debug, PartialEq", "Clone, Debug, PartialEq", "Debug, Clone, PartialEq, Eq")
    return f"#[derive({chosen}{more})]"


def method(says: str, signature: str, body: str) -> str:
    """Return a documented public method."""
    return fill("/// $says\npub fn $signature {\n    $body\n}", says=says, signature=signature, body=body)


def struct(draw: Draw, name: str, says: str, fields: str, *methods: str, more: str = "") -> str:
    """Return a struct with its methods and one field per line."""
    return fill("/// $says\n$derives\npub struct $name {\n    $fields\n}\n\nimpl $name {\n    $methods\n}", says=says, derives=derive(draw, more), name=name, fields=fields, methods=blocks(*methods))


@family(tier=2)
def limited_account(draw: Draw) -> Items:
    name, held, put, take = draw.choose(
        ("Account", "balance", "deposit", "withdraw"), ("Tank", "liters", "pour", "drain"), ("Battery", "charge", "load", "use_up"), ("Wallet", "coins", "earn", "spend"), ("Silo", "grain", "store", "remove"),
        ("Backpack", "weight", "pack", "unpack"), ("Bus", "passengers", "board", "leave"), ("Health", "points", "heal", "hurt"), ("Warehouse", "crates", "receive", "ship"), ("Library", "books", "donate", "lend"),
    )
    kind, limit, floor = draw.choose("u32", "u64", "i32", "i64"), draw.choose(20, 25, 30, 40, 50, 60, 80, 100), draw.choose(0, 0, 2, 5)
    answer = draw.choose("bool", "Result", "String")
    good, full, low = {"bool": ("true", "false", "false"), "Result": ("Ok(())", 'Err("too much")', 'Err("not enough")'), "String": (f"Ok(self.{held})", f'Err(String::from("more than {limit}"))', f'Err(format!("only {{}} left", self.{held}))')}[answer]
    returned = {"bool": "bool", "Result": "Result<(), &'static str>", "String": f"Result<{kind}, String>"}[answer]
    more = draw.style(f"if self.{held} + amount > {limit} {{\n    return {full};\n}}\nself.{held} += amount;\n{good}", f"let after = self.{held} + amount;\nif after <= {limit} {{\n    self.{held} = after;\n    {good}\n}} else {{\n    {full}\n}}")
    left = f"amount + {floor}" if floor else "amount"
    less = draw.style(f"if self.{held} < {left} {{\n    return {low};\n}}\nself.{held} -= amount;\n{good}", f"if self.{held} >= {left} {{\n    self.{held} -= amount;\n    {good}\n}} else {{\n    {low}\n}}")
    rule = f"at most {limit}" + (f", of which {floor} cannot be removed" if floor else "")
    start = draw.integer(floor, 15)
    code = struct(
        draw, name, draw.style(f"Holds {rule} {held}." if not floor else f"Stores {held}: {rule}.", f"Keeps track of its {held}, {rule}."), f"{held}: {kind},",
        method(draw.style(f"Starts with {start}.", f"Creates a new one with an initial value of {start} for `{held}`."), "new() -> Self", draw.style(f"Self {{ {held}: {start} }}", f"{name} {{ {held}: {start} }}")),
        method(draw.style(f"Adds `amount`, unless the total would exceed {limit}.", f"Adds `amount` if the result is at most {limit}."), f"{put}(&mut self, amount: {kind}) -> {returned}", more),
        method(draw.style("Subtracts `amount` if enough is available" + (f", leaving at least {floor}." if floor else "."), f"Removes `amount`, unless less than {floor} would be left."), f"{take}(&mut self, amount: {kind}) -> {returned}", less),
        method(draw.style(f"Returns the current value of `{held}`.", f"Returns the current {held}."), f"{held}(&self) -> {kind}", f"self.{held}"),
    )
    cases, amount = [], draw.arguments
    for adds, takes in ((amount.randint(0, 4), limit), (limit + 1, amount.randint(0, start)), (amount.randint(1, limit - start), amount.randint(0, limit)), (limit - start, amount.randint(1, limit))):
        after = start + adds if start + adds <= limit else start
        first = {"bool": str(start + adds <= limit).lower(), "Result": "Ok(())" if start + adds <= limit else 'Err("too much")', "String": f"Ok({after})" if start + adds <= limit else f'Err("more than {limit}".to_string())'}[answer]
        possible = after >= takes + floor
        final = after - takes if possible else after
        second = {"bool": str(possible).lower(), "Result": "Ok(())" if possible else 'Err("not enough")', "String": f"Ok({final})" if possible else f'Err("only {after} left".to_string())'}[answer]
        cases.append(Case(f"(first, second, it.{held}())", f"({first}, {second}, {final})", f"let mut it = {name}::new(); let first = it.{put}({adds}); let second = it.{take}({takes});"))
    return Items(code, cases)


@family(tier=2)
def builder(draw: Draw) -> Items:
    name, text, number, flag = draw.choose(
        ("Pizza", "sauce", "slices", "vegan"), ("Server", "host", "port", "secure"), ("Window", "title", "width", "resizable"), ("Email", "subject", "priority", "signed"), ("Character", "class", "strength", "magical"), ("House", "roof", "rooms", "heated"),
        ("Query", "table", "limit", "distinct"), ("Trip", "target", "nights", "refundable"), ("Robot", "model", "arms", "waterproof"), ("Cake", "flavor", "layers", "glazed"), ("Poster", "motif", "copies", "framed"), ("Camera", "lens", "pixels", "mirrorless"),
    )
    default, count, switched = draw.choose("plain", "none", "basic", "standard", "blank"), draw.integer(1, 12), draw.choose(True, False)
    kind, least, fails = draw.choose("u32", "u16", "usize"), draw.integer(1, 4), draw.choose(True, False)
    made = f"{name}Builder"
    setter = draw.style("", "with_")
    chained = draw.style("by value", "by update")
    build = draw.style("build", "finish", "done")

    def set_one(field: str, value: str, argument: str) -> str:
        says = draw.style(f"Sets whether it is {field}.", f"Turns `{field}` on or off.") if field == flag else draw.style(f"Sets the {field}.", f"Changes the {field}.", f"Uses this value for `{field}`.")
        signature = f"{setter}{field}(mut self, {argument}) -> Self" if chained == "by value" else f"{setter}{field}(self, {argument}) -> Self"
        body = f"self.{field} = {value};\nself" if chained == "by value" else f"Self {{ {field}{'' if field == value else f': {value}'}, ..self }}"
        return method(says, signature, body)

    final = f"{name} {{ {text}: self.{text}, {number}: self.{number}, {flag}: self.{flag} }}"
    checked = f'if self.{number} < {least} {{\n    return Err("{number} below {least}".to_string());\n}}\nOk({final})' if fails else final
    fields = f"{text}: String,\n{number}: {kind},\n{flag}: bool,"
    code = blocks(
        fill("/// $says\n$derives\npub struct $name {\n    $fields\n}", says=draw.style(f"The result of a `{made}`.", f"A {name.lower()} with its settings."), derives=derive(draw), name=name, fields="\n".join(f"pub {line}" for line in fields.split("\n"))),
        fill("/// $says\n#[derive(Debug, Clone)]\npub struct $made {\n    $fields\n}", says=f"Collects the settings of a `{name}`.", made=made, fields=fields),
        fill("impl $made {\n    $methods\n}", made=made, methods=blocks(
            method(draw.style("Starts with the default values.", f"Starts with the default values \"{default}\", {count} and {str(switched).lower()}."), "new() -> Self", f"Self {{\n    {text}: \"{default}\".to_string(),\n    {number}: {count},\n    {flag}: {str(switched).lower()},\n}}"),
            set_one(text, f"{text}.to_string()", f"{text}: &str"), set_one(number, number, f"{number}: {kind}"), set_one(flag, flag, f"{flag}: bool"),
            method(draw.style(f"Builds the {name.lower()}", "Returns the finished value") + (f", or an error if `{number}` is less than {least}." if fails else "."), f"{build}(self) -> " + (f"Result<{name}, String>" if fails else name), checked))),
    )
    cases = []
    for chosen in ((), (text,), (number, flag), (text, number), (number,)):
        values: dict[str, Any] = {text: default, number: count, flag: switched}
        calls = ""
        for field in chosen:
            values[field] = {text: draw.arguments.choice(WORDS), number: draw.arguments.randint(0, 30), flag: not switched}[field]
            calls += f".{setter}{field}({literal(values[field], {text: '&str', number: kind, flag: 'bool'}[field])})"
        whole = f"{name} {{ {text}: \"{values[text]}\".to_string(), {number}: {values[number]}, {flag}: {str(values[flag]).lower()} }}"
        expected = whole if not fails else f"Ok({whole})" if values[number] >= least else f'Err("{number} below {least}".to_string())'
        cases.append(Case(f"{made}::new(){calls}.{build}()", expected))
    return Items(code, cases)


@family(tier=1)
def box_measures(draw: Draw) -> Items:
    name, fields = draw.choose(("Rectangle", "width height"), ("Room", "length breadth"), ("Garden", "rows columns"), ("Carton", "width height depth"), ("Brick", "length height thickness"), ("Screen", "across down"), ("Aquarium", "length width level"), ("Field", "north_south east_west"), ("Crate", "long high deep"), ("Tile", "horizontal vertical"))
    kind, factor, offset = draw.choose("u32", "u64", "i32", "i64"), draw.integer(2, 9), draw.integer(0, 5)
    sides = fields.split()
    flat = len(sides) == 2
    product, total = " * ".join(f"self.{each}" for each in sides), " + ".join(f"self.{each}" for each in sides)
    pairs = [(a, b) for i, a in enumerate(sides) for b in sides[i + 1 :]]
    measures = {
        "size": ("area" if flat else "volume", kind, product, lambda v: literal(_product(v), kind)),
        "around": ("perimeter" if flat else "edges", kind, f"{2 if flat else 4} * ({total})", lambda v: literal((2 if flat else 4) * sum(v), kind)),
        "surface": ("double_area" if flat else "surface", kind, "2 * (" + " + ".join(f"self.{a} * self.{b}" for a, b in pairs) + ")" if not flat else f"2 * {product}", lambda v: literal(2 * sum(v[i] * v[j] for i in range(len(v)) for j in range(i)), kind)),
        "even": ("is_square" if flat else "is_cube", "bool", " && ".join(f"self.{sides[0]} == self.{each}" for each in sides[1:]), lambda v: literal(len(set(v)) == 1, "bool")),
        "longest": ("longest_side", kind, f"self.{sides[0]}" + "".join(f".max(self.{each})" for each in sides[1:]), lambda v: literal(max(v), kind)),
        "price": (draw.style("price", "cost"), kind, f"{factor} * {product}" + (f" + {offset}" if offset else ""), lambda v: literal(factor * _product(v) + offset, kind)),
    }
    chosen = [draw.choose("size", "around"), draw.choose("surface", "even"), draw.choose("longest", "price")]
    said = {"size": draw.style("Returns the area." if flat else "Returns the volume.", f"Returns the product of the {len(sides)} sides."), "around": "Returns the total length of all edges.", "surface": "Returns twice the area." if flat else "Returns the total area of the six faces.", "even": "Returns `true` if all sides are equal.", "longest": "Returns the length of the longest side.", "price": f"Returns the price, which is {factor} per unit of {'area' if flat else 'volume'}" + (f" plus a fixed {offset}." if offset else ".")}
    grown = draw.choose("scaled", "grown", "turned")
    change = {"scaled": (f"by: {kind}", [f"self.{each} * by" for each in sides], "multiplied by `by`"), "grown": (f"by: {kind}", [f"self.{each} + by" for each in sides], "increased by `by`"), "turned": ("", [f"self.{sides[(i + 1) % len(sides)]}" for i in range(len(sides))], "")}[grown]
    changed = f"Self {{ {', '.join(f'{side}: {value}' for side, value in zip(sides, change[1], strict=True))} }}"
    code = struct(
        draw, name, draw.style(f"A {name.lower()} with integer sides.", f"The dimensions of a {name.lower()}.", f"Stores the measurements of a {name.lower()}."), "\n".join(f"pub {each}: {kind}," for each in sides),
        *(method(said[each], f"{measures[each][0]}(&self) -> {measures[each][1]}", draw.style(measures[each][2], f"let result = {measures[each][2]};\nresult")) for each in chosen),
        method(draw.style(f"Returns a copy with every side {change[2]}.", f"Returns a new one with each side {change[2]}.") if change[2] else "Returns a copy whose sides are rotated by one.", f"{grown}(&self{', ' if change[0] else ''}{change[0]}) -> Self", changed),
    )
    cases = []
    for each in chosen:
        values = [draw.arguments.randint(1, 9) for _ in sides]
        for given in (values, [values[0]] * len(sides)) if each == "even" else (values,):
            cases.append(Case(f"{_made(name, sides, given)}.{measures[each][0]}()", measures[each][3](given)))
    values, by = [draw.arguments.randint(1, 9) for _ in sides], draw.arguments.randint(1, 5)
    after = {"scaled": [v * by for v in values], "grown": [v + by for v in values], "turned": values[1:] + values[:1]}[grown]
    return Items(code, [*cases, Case(f"{_made(name, sides, values)}.{grown}({by if change[0] else ''})", _made(name, sides, after))])


def _product(values: list[int]) -> int:
    return values[0] * _product(values[1:]) if values else 1


def _made(name: str, fields: Sequence[str], values: list[int]) -> str:
    return f"{name} {{ {', '.join(f'{field}: {value}' for field, value in zip(fields, values, strict=True))} }}"


@family(tier=2)
def running_statistics(draw: Draw) -> Items:
    name, one = draw.choose(("Statistics", "sample"), ("Thermometer", "reading"), ("Scores", "score"), ("Lap", "time"), ("Rainfall", "amount"), ("Votes", "vote"), ("Speeds", "speed"), ("Prices", "price"), ("Sensor", "value"), ("Weights", "weight"))
    kind, floor = draw.choose("i32", "i64"), draw.choose(None, None, -10, 0, 5)
    wanted = [draw.choose("mean", "sum"), draw.choose("range", "above", "largest"), draw.choose("count", "smallest")]
    bound = draw.integer(3, 25)
    add = draw.style("record", "add", "push", "observe", "note")
    fields = {"count": "usize", "total": kind, "smallest": f"Option<{kind}>", "largest": f"Option<{kind}>", "above": "usize"}
    used = ["count", "total"] + [each for each, needs in (("smallest", {"range", "smallest"}), ("largest", {"range", "largest"}), ("above", {"above"})) if needs & set(wanted)]
    steps = {"count": "self.count += 1;", "total": f"self.total += {one};", "above": f"if {one} > {bound} {{\n    self.above += 1;\n}}"}
    for each, how in (("smallest", "min"), ("largest", "max")):
        steps[each] = draw.style(f"self.{each} = Some(self.{each}.map_or({one}, |best| best.{how}({one})));", f"self.{each} = match self.{each} {{\n    Some(best) => Some(best.{how}({one})),\n    None => Some({one}),\n}};")
    guard = f"if {one} < {floor} {{\n    return;\n}}\n" if floor is not None else ""
    readers = {
        "mean": (f"Option<{kind}>", draw.style(f"if self.count == 0 {{\n    None\n}} else {{\n    Some(self.total / self.count as {kind})\n}}", f"(self.count > 0).then(|| self.total / self.count as {kind})"), "Returns the average, rounded toward zero, or `None` if there are no values.", lambda v: literal(quotient(sum(v), len(v)) if v else None, f"Option<{kind}>")),
        "sum": (kind, "self.total", "Returns the sum of all values.", lambda v: literal(sum(v), kind)), "above": ("usize", "self.above", f"Returns the number of values greater than {bound}.", lambda v: str(sum(x > bound for x in v))),
        "range": (f"Option<{kind}>", draw.style("Some(self.largest? - self.smallest?)", "match (self.smallest, self.largest) {\n    (Some(low), Some(high)) => Some(high - low),\n    _ => None,\n}"), "Returns the difference between the largest and the smallest value, if any.", lambda v: literal(max(v) - min(v) if v else None, f"Option<{kind}>")),
        "largest": (f"Option<{kind}>", "self.largest", "Returns the largest value so far, if any.", lambda v: literal(max(v, default=None), f"Option<{kind}>")), "smallest": (f"Option<{kind}>", "self.smallest", "Returns the smallest value so far, if any.", lambda v: literal(min(v, default=None), f"Option<{kind}>")),
        "count": ("usize", "self.count", f"Returns the number of recorded values{f', which are those of at least {floor}' if floor is not None else ''}.", lambda v: str(len(v))),
    }
    code = struct(
        draw, name, draw.style(f"Statistics about every {one} so far, without storing them.", f"Summarizes a stream of values, one {one} at a time."), "\n".join(f"{each}: {fields[each]}," for each in used),
        method(f"Records a {one}" + (f", unless it is less than {floor}." if floor is not None else "."), f"{add}(&mut self, {one}: {kind})", guard + "\n".join(steps[each] for each in used)),
        *(method(readers[each][2], f"{each}(&self) -> {readers[each][0]}", readers[each][1]) for each in wanted), more=", Default",
    )
    cases = []
    for length in (0, 2, 3, 5):
        values = [draw.arguments.randint(-20, 40) for _ in range(length)]
        kept = [each for each in values if floor is None or each >= floor]
        calls = " ".join(f"it.{add}({each});" for each in values)
        cases.append(Case("(" + ", ".join(f"it.{each}()" for each in wanted) + ")", "(" + ", ".join(readers[each][3](kept) for each in wanted) + ")", f"let {'mut ' if values else ''}it = {name}::default(); {calls}"))
    return Items(code, cases)


@family(tier=2)
def clock_time(draw: Draw) -> Items:
    name, big, small, size, turn = draw.choose(("Time", "hours", "minutes", 60, 24), ("TimeOfDay", "hour", "minute", 60, 24), ("Date", "week", "day", 7, 52), ("Angle", "degrees", "arcminutes", 60, 360), ("Shift", "day", "hour", 24, 7), ("Beat", "bar", "quarter", 4, 16), ("Watch", "minutes", "seconds", 60, 60), ("Season", "episode", "scene", 12, 10), ("Page", "chapter", "section", 8, 20), ("Seat", "row", "place", 30, 15))
    kind = draw.choose("u32", "u64", "usize")
    delta = draw.choose("plus", "until", "both")
    plus, until, total = draw.style("plus", "add", "later", "after"), draw.style("until", "distance_to", "wait_for"), draw.style("total", "index", "as_number", "offset")
    whole = size * turn
    checked = draw.choose(True, False)
    new = draw.style(f"if {big} < {turn} && {small} < {size} {{\n    Some(Self {{ {big}, {small} }})\n}} else {{\n    None\n}}", f"if {big} >= {turn} || {small} >= {size} {{\n    return None;\n}}\nSome({name} {{ {big}, {small} }})") if checked else f"Self {{ {big}: {big} % {turn}, {small}: {small} % {size} }}"
    adding = draw.style(f"let sum = (self.{total}() + {small}) % {whole};\nSelf {{ {big}: sum / {size}, {small}: sum % {size} }}", f"let sum = self.{small} + {small};\nSelf {{\n    {big}: (self.{big} + sum / {size}) % {turn},\n    {small}: sum % {size},\n}}")
    waiting = draw.style(f"(other.{total}() + {whole} - self.{total}()) % {whole}", f"let (start, end) = (self.{total}(), other.{total}());\nif start <= end {{\n    end - start\n}} else {{\n    end + {whole} - start\n}}")
    methods = [
        method(f"Returns `None` unless `{big}` is less than {turn} and `{small}` is less than {size}." if checked else f"Creates a value with `{big}` modulo {turn} and `{small}` modulo {size}.", f"new({big}: {kind}, {small}: {kind}) -> {'Option<Self>' if checked else 'Self'}", new),
        method(draw.style(f"Returns the total, which is `{big}` times {size} plus `{small}`.", f"Converts to a single number, which is {size} times `{big}` plus `{small}`."), f"{total}(&self) -> {kind}", draw.style(f"self.{big} * {size} + self.{small}", f"{size} * self.{big} + self.{small}")),
    ]
    methods += [method(draw.style(f"Adds `{small}` and wraps around at the end.", f"Advances by `{small}`, starting over after the end."), f"{plus}(&self, {small}: {kind}) -> Self", adding)] if delta != "until" else []
    methods += [method(draw.style("Returns the distance to `other`, wrapping around at the end.", f"Returns how much must be added to `{small}` to reach `other`, wrapping around if necessary."), f"{until}(&self, other: &{name}) -> {kind}", waiting)] if delta != "plus" else []
    code = struct(draw, name, draw.style(f"A pair of `{big}` (less than {turn}) and `{small}` (less than {size}).", f"A position in a cycle of {turn} times {size} steps."), f"pub {big}: {kind},\npub {small}: {kind},", *methods)
    pick, cases = draw.arguments.randrange, []
    if checked:
        cases += [Case(f"{name}::new({a}, {b})", f"Some({name} {{ {big}: {a}, {small}: {b} }})" if a < turn and b < size else "None") for a, b in ((pick(turn), pick(size)), (turn, pick(size)))]
    else:
        a, b = pick(3 * turn), pick(2 * size)
        cases.append(Case(f"{name}::new({a}, {b})", f"{name} {{ {big}: {a % turn}, {small}: {b % size} }}"))
    unwrap = ".unwrap()" if checked else ""
    for _ in range(2):
        a, b, c, d, more = pick(turn), pick(size), pick(turn), pick(size), pick(2 * whole)
        start, end = a * size + b, c * size + d
        cases.append(Case(f"{name} {{ {big}: {a}, {small}: {b} }}.{total}()", str(start)))
        if delta != "until":
            cases.append(Case(f"{name}::new({a}, {b}){unwrap}.{plus}({more})", f"{name} {{ {big}: {(start + more) % whole // size}, {small}: {(start + more) % size} }}"))
        if delta != "plus":
            cases.append(Case(f"{name}::new({a}, {b}){unwrap}.{until}(&{name} {{ {big}: {c}, {small}: {d} }})", str((end - start) % whole)))
    return Items(code, cases)


@family(tier=2)
def polynomial_type(draw: Draw) -> Items:
    name, field = draw.style(("Polynomial", "coefficients"), ("Poly", "coeffs"), ("Polynomial", "terms"), ("Curve", "factors"))
    kind, first = draw.choose("i32", "i64"), draw.choose("lowest", "highest")
    extra = draw.choose("degree", "derivative", "scaled", "plus")
    by, modulus = draw.integer(2, 9), draw.choose(None, None, 7, 10, 97, 100, 1009)
    evaluate = draw.style("eval", "evaluate", "at", "value_at")
    turned = ".rev()" if first == "lowest" else ""
    step = f"(result * x + factor).rem_euclid({modulus})" if modulus else "result * x + factor"
    source = ".iter()\n    .rev()" if turned else ".iter()"
    horner = draw.style(f"self.{field}\n    {source}\n    .fold(0, |result, factor| {step})", f"let mut result: {kind} = 0;\nfor factor in self.{field}.iter(){turned} {{\n    result = {step};\n}}\nresult")
    remaining = f", modulo {modulus}" if modulus else ""
    zero = f"self.{field}.iter().{'rposition' if first == 'lowest' else 'position'}(|factor| *factor != 0)"
    others = {
        "degree": ("degree(&self) -> Option<usize>", zero if first == "lowest" else f"{zero}\n    .map(|index| self.{field}.len() - 1 - index)".replace(f"self.{field}.iter().position", f"self.{field}\n    .iter()\n    .position", 1), "Returns the highest power with a nonzero coefficient, if there is one."),
        "derivative": ("derivative(&self) -> Self", (f"let {field} = self.{field}\n    .iter()\n    .enumerate()\n    .skip(1)\n    .map(|(power, factor)| power as {kind} * factor)\n    .collect();\nSelf {{ {field} }}" if first == "lowest" else f"let count = self.{field}.len().saturating_sub(1);\nlet {field} = self.{field}[..count]\n    .iter()\n    .enumerate()\n    .map(|(index, factor)| (count - index) as {kind} * factor)\n    .collect();\nSelf {{ {field} }}"), "Returns the derivative."),
        "scaled": (draw.style(f"times_{by}(&self) -> Self", f"times_{by}(&self) -> {name}"), draw.style(f"let {field} = self.{field}.iter().map(|factor| {by} * factor).collect();\nSelf {{ {field} }}", f"let mut result = self.clone();\nfor factor in result.{field}.iter_mut() {{\n    *factor *= {by};\n}}\nresult"), f"Returns the polynomial multiplied by {by}."),
        "plus": (f"plus_{by}(&self) -> Self", f"let mut {field} = self.{field}.clone();\nmatch {field}.{'first' if first == 'lowest' else 'last'}_mut() {{\n    Some(factor) => *factor += {by},\n    None => {field}.push({by}),\n}}\nSelf {{ {field} }}", f"Returns the polynomial plus the constant {by}."),
    }[extra]
    where = "the constant term comes first" if first == "lowest" else "the constant term comes last"
    says = draw.style(f"A polynomial with integer coefficients, where {where}.", f"The coefficients of a polynomial, where {where}.")
    code = fill("/// $says\n#[derive(Debug, Clone, PartialEq)]\npub struct $name {\n    pub $field: Vec<$kind>,\n}\n\nimpl $name {\n    $methods\n}", says=says, name=name, field=field, kind=kind, methods=blocks(method(draw.style(f"Returns the value of the polynomial at `x`{remaining}.", f"Evaluates the polynomial at `x` with Horner's rule{remaining}."), f"{evaluate}(&self, x: {kind}) -> {kind}", horner), method(others[2], others[0], others[1])))
    cases = []
    for length in (0, 2, 3, 4):
        factors, x = [draw.arguments.randint(-5, 7) for _ in range(length)], draw.arguments.randint(-3, 4)
        rising = factors if first == "lowest" else factors[::-1]
        powers = [i for i, each in enumerate(rising) if each]
        after = {"degree": [], "derivative": [i * each for i, each in enumerate(rising)][1:], "scaled": [by * each for each in rising], "plus": [rising[0] + by, *rising[1:]] if rising else [by]}[extra]
        after = after if first == "lowest" else after[::-1]
        call = others[0].partition("(")[0]
        result = literal(max(powers, default=None), "Option<usize>") if extra == "degree" else f"{name} {{ {field}: vec!{after} }}"
        value = sum(each * x**i for i, each in enumerate(rising))
        cases.append(Case(f"(it.{evaluate}({x}), it.{call}())", f"({value % modulus if modulus else value}, {result})", f"let it = {name} {{ {field}: vec!{factors} }};"))
    return Items(code, cases)
