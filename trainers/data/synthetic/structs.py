"""Types with state: accounts, stacks, buffers, measures, statistics, stores and cursors."""

from trainers.data.synthetic.enums import blocks, fill
from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.pieces import WORDS, quotient


def derive(draw: Draw, more: str = "") -> str:
    """The attribute of a struct."""
    chosen = draw.style("Debug, Clone, PartialEq", "Debug, PartialEq", "Clone, Debug, PartialEq", "Debug, Clone, PartialEq, Eq")
    return f"#[derive({chosen}{more})]"


def method(says: str, signature: str, body: str) -> str:
    """A documented public method."""
    return fill("/// $says\npub fn $signature {\n    $body\n}", says=says, signature=signature, body=body)


def struct(draw: Draw, name: str, says: str, fields: str, *methods: str, more: str = "") -> str:
    """A struct with its methods; fields one on a line."""
    return fill("/// $says\n$derives\npub struct $name {\n    $fields\n}\n\nimpl $name {\n    $methods\n}", says=says, derives=derive(draw, more), name=name, fields=fields, methods=blocks(*methods))


@family(tier=2)
def limited_account(draw: Draw) -> Items:
    name, held, put, take = draw.choose(
        ("Account", "balance", "deposit", "withdraw"), ("Tank", "litres", "pour", "drain"), ("Battery", "charge", "load", "use_up"), ("Wallet", "coins", "earn", "spend"), ("Silo", "grain", "store", "remove"),
        ("Backpack", "weight", "pack", "unpack"), ("Bus", "passengers", "board", "leave"), ("Health", "points", "heal", "hurt"), ("Warehouse", "crates", "receive", "ship"), ("Library", "books", "donate", "lend"),
    )  # fmt: skip
    kind, limit, floor = draw.choose("u32", "u64", "i32", "i64"), draw.choose(20, 25, 30, 40, 50, 60, 80, 100), draw.choose(0, 0, 2, 5)
    answer = draw.choose("bool", "Result", "String")
    good, full, low = {"bool": ("true", "false", "false"), "Result": ("Ok(())", 'Err("too much")', 'Err("not enough")'), "String": (f"Ok(self.{held})", f'Err(String::from("more than {limit}"))', f'Err(format!("only {{}} left", self.{held}))')}[answer]
    returned = {"bool": "bool", "Result": "Result<(), &'static str>", "String": f"Result<{kind}, String>"}[answer]
    more = draw.style(f"if self.{held} + amount > {limit} {{\n    return {full};\n}}\nself.{held} += amount;\n{good}", f"let after = self.{held} + amount;\nif after <= {limit} {{\n    self.{held} = after;\n    {good}\n}} else {{\n    {full}\n}}")
    left = f"amount + {floor}" if floor else "amount"
    less = draw.style(f"if self.{held} < {left} {{\n    return {low};\n}}\nself.{held} -= amount;\n{good}", f"if self.{held} >= {left} {{\n    self.{held} -= amount;\n    {good}\n}} else {{\n    {low}\n}}")
    rule = f"at most {limit}" + (f" and never less than {floor} after one was taken" if floor else "")
    start = draw.integer(floor, 15)
    code = struct(
        draw, name, draw.style(f"Holds {rule} {held}." if not floor else f"Keeps {held}: {rule}.", f"Its {held}: {rule}."), f"{held}: {kind},",
        method(draw.style(f"Begins with {start}.", f"A new one, with {start} {held}."), "new() -> Self", draw.style(f"Self {{ {held}: {start} }}", f"{name} {{ {held}: {start} }}")),
        method(draw.style(f"Adds `amount`, unless it is more than {limit} then.", f"Puts in `amount` if that does not exceed {limit}."), f"{put}(&mut self, amount: {kind}) -> {returned}", more),
        method(draw.style("Takes `amount` away if there is enough.", f"Removes `amount`, unless less than {floor} would be left."), f"{take}(&mut self, amount: {kind}) -> {returned}", less),
        method(draw.style("How much there is.", f"The current {held}."), f"{held}(&self) -> {kind}", f"self.{held}"),
    )  # fmt: skip
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
def bounded_collection(draw: Draw) -> Items:
    order = draw.choose("stack", "queue", "ring")
    name = {"stack": draw.choose("Stack", "Pile", "Undo", "Plates", "Trail"), "queue": draw.choose("Queue", "Line", "Inbox", "Printer", "Tickets"), "ring": draw.choose("Ring", "Recent", "History", "Buffer", "Tail")}[order]
    kind, capacity = draw.choose("i32", "u32", "u64", "i64", "char", "String", "&'static str"), draw.integer(2, 5)
    owned = "VecDeque" if order != "stack" else "Vec"
    field, push, pop = draw.style("items", "values", "entries", "data"), draw.style("push", "add", "put", "insert"), draw.style("pop", "take", "next", "remove")
    at_end = "push" if order == "stack" else "push_back"
    from_end = "pop" if order == "stack" else "pop_front"
    if order == "ring":
        returned = f"Option<{kind}>"
        adding = draw.style(f"let oldest = if self.{field}.len() == {capacity} {{\n    self.{field}.pop_front()\n}} else {{\n    None\n}};\nself.{field}.push_back(value);\noldest", f"self.{field}.push_back(value);\nif self.{field}.len() > {capacity} {{\n    return self.{field}.pop_front();\n}}\nNone")
        says = draw.style(f"Adds `value`; drops and returns the oldest if there are more than {capacity} now.", "Appends `value` and returns the one that had to go for it, if any.")
    else:
        returned = f"Result<(), {kind}>"
        adding = draw.style(f"if self.{field}.len() == {capacity} {{\n    return Err(value);\n}}\nself.{field}.{at_end}(value);\nOk(())", f"if self.{field}.len() < {capacity} {{\n    self.{field}.{at_end}(value);\n    Ok(())\n}} else {{\n    Err(value)\n}}")
        says = draw.style("Adds `value`, or gives it back if there is no room.", f"Appends `value`; fails with it when there are {capacity} already.")
    total = {"stack": "last in, first out", "queue": "first in, first out", "ring": "the newest are kept"}[order]
    main = struct(
        draw, name, draw.style(f"Holds up to {capacity} values, {total}.", f"At most {capacity} values: {total}."), f"{field}: {owned}<{kind}>,",
        method(draw.style("Starts empty.", "An empty one."), "new() -> Self", f"Self {{ {field}: {owned}::new() }}"), method(says, f"{push}(&mut self, value: {kind}) -> {returned}", adding),
        method({"stack": "Removes the one that was added last.", "queue": "Removes the one that waits longest.", "ring": "Removes the oldest."}[order], f"{pop}(&mut self) -> Option<{kind}>", f"self.{field}.{from_end}()"),
        method("How many there are.", "len(&self) -> usize", f"self.{field}.len()") if draw.choose(True, False) else method("Whether there is room for more.", "has_room(&self) -> bool", f"self.{field}.len() < {capacity}"),
    )  # fmt: skip
    code = blocks("use std::collections::VecDeque;" if owned == "VecDeque" else "", main)
    pool = {"char": "xyzabcde", "String": WORDS, "&'static str": WORDS}.get(kind, range(1, 40))
    cases = []
    for length in (1, capacity, capacity + 1, capacity + 2):
        values = draw.arguments.sample(list(pool), length)
        listed, returns = [], ""
        for value in values:
            written = literal(value, kind.replace("'static ", ""))
            if order == "ring":
                returns = f"Some({literal(listed.pop(0), kind)})" if len(listed) == capacity else "None"
                listed.append(value)
            elif len(listed) == capacity:
                returns = f"Err({written})"
            else:
                listed.append(value)
                returns = "Ok(())"
        calls = [f"{push}({literal(value, kind)})" for value in values]
        setup = f"let mut held = {name}::new(); " + " ".join(f"let _ = held.{each};" for each in calls[:-1]) + f" let last = held.{calls[-1]};"
        first = listed[-1] if order == "stack" else listed[0]
        cases.append(Case(f"(last, held.{pop}())", f"({returns}, Some({literal(first, kind)}))", setup))
    return Items(code, cases)


@family(tier=2)
def builder(draw: Draw) -> Items:
    name, text, number, flag = draw.choose(
        ("Pizza", "sauce", "slices", "vegan"), ("Server", "host", "port", "secure"), ("Window", "title", "width", "resizable"), ("Email", "subject", "priority", "signed"), ("Character", "class", "strength", "magical"), ("House", "roof", "rooms", "heated"),
        ("Query", "table", "limit", "distinct"), ("Trip", "target", "nights", "refundable"), ("Robot", "model", "arms", "waterproof"), ("Cake", "flavour", "layers", "glazed"), ("Poster", "motif", "copies", "framed"), ("Camera", "lens", "pixels", "mirrorless"),
    )  # fmt: skip
    default, count, switched = draw.choose("plain", "none", "basic", "standard", "blank"), draw.integer(1, 12), draw.choose(True, False)
    kind, least, fails = draw.choose("u32", "u16", "usize"), draw.integer(1, 4), draw.choose(True, False)
    made = f"{name}Builder"
    setter = draw.style("", "with_")
    chained = draw.style("by value", "by update")
    build = draw.style("build", "finish", "done")

    def set_one(field: str, value: str, argument: str) -> str:
        says = draw.style(f"Chooses whether it is {field}.", f"Switches `{field}` on or off.") if field == flag else draw.style(f"Sets the {field}.", f"Chooses the {field}.", f"With this value for `{field}`.")
        signature = f"{setter}{field}(mut self, {argument}) -> Self" if chained == "by value" else f"{setter}{field}(self, {argument}) -> Self"
        body = f"self.{field} = {value};\nself" if chained == "by value" else f"Self {{ {field}{'' if field == value else f': {value}'}, ..self }}"
        return method(says, signature, body)

    final = f"{name} {{ {text}: self.{text}, {number}: self.{number}, {flag}: self.{flag} }}"
    checked = f'if self.{number} < {least} {{\n    return Err("{number} below {least}".to_string());\n}}\nOk({final})' if fails else final
    fields = f"{text}: String,\n{number}: {kind},\n{flag}: bool,"
    code = blocks(
        fill("/// $says\n$derives\npub struct $name {\n    $fields\n}", says=draw.style(f"What a `{made}` makes.", f"A {name.lower()} with its settings."), derives=derive(draw), name=name, fields="\n".join(f"pub {line}" for line in fields.split("\n"))),
        fill("/// $says\n#[derive(Debug, Clone)]\npub struct $made {\n    $fields\n}", says=f"Collects the settings of a `{name}`.", made=made, fields=fields),
        fill("impl $made {\n    $methods\n}", made=made, methods=blocks(
            method(draw.style("Starts with the defaults.", f"The defaults: \"{default}\", {count} and {str(switched).lower()}."), "new() -> Self", f"Self {{\n    {text}: \"{default}\".to_string(),\n    {number}: {count},\n    {flag}: {str(switched).lower()},\n}}"),
            set_one(text, f"{text}.to_string()", f"{text}: &str"), set_one(number, number, f"{number}: {kind}"), set_one(flag, flag, f"{flag}: bool"),
            method(draw.style("Makes it", "The finished value") + (f", unless `{number}` is below {least}." if fails else "."), f"{build}(self) -> " + (f"Result<{name}, String>" if fails else name), checked))),
    )  # fmt: skip
    cases = []
    for chosen in ((), (text,), (number, flag), (text, number), (number,)):
        values = {text: default, number: count, flag: switched}
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
    }  # fmt: skip
    chosen = [draw.choose("size", "around"), draw.choose("surface", "even"), draw.choose("longest", "price")]
    said = {"size": draw.style("What it covers." if flat else "What it contains.", f"The product of its {len(sides)} sides."), "around": "The length of all its edges.", "surface": "Twice the area." if flat else "The area of its six faces.", "even": "Whether all sides are equal.", "longest": "Its longest side.", "price": f"What it costs: {factor} for each unit" + (f", and {offset} for all." if offset else ".")}
    grown = draw.choose("scaled", "grown", "turned")
    change = {"scaled": (f"by: {kind}", [f"self.{each} * by" for each in sides], "times `by`"), "grown": (f"by: {kind}", [f"self.{each} + by" for each in sides], "longer by `by`"), "turned": ("", [f"self.{sides[(i + 1) % len(sides)]}" for i in range(len(sides))], "")}[grown]
    changed = f"Self {{ {', '.join(f'{side}: {value}' for side, value in zip(sides, change[1], strict=True))} }}"
    code = struct(
        draw, name, draw.style(f"{name} with whole-numbered sides.", f"A {name.lower()}.", f"The measures of a {name.lower()}."), "\n".join(f"pub {each}: {kind}," for each in sides),
        *(method(said[each], f"{measures[each][0]}(&self) -> {measures[each][1]}", draw.style(measures[each][2], f"let result = {measures[each][2]};\nresult")) for each in chosen),
        method(draw.style(f"A copy with every side {change[2]}.", f"The same, each side {change[2]}.") if change[2] else "The same with its sides exchanged in turn.", f"{grown}(&self{', ' if change[0] else ''}{change[0]}) -> Self", changed),
    )  # fmt: skip
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


def _made(name: str, fields: list[str], values: list[int]) -> str:
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
        "mean": (f"Option<{kind}>", draw.style(f"if self.count == 0 {{\n    None\n}} else {{\n    Some(self.total / self.count as {kind})\n}}", f"(self.count > 0).then(|| self.total / self.count as {kind})"), "The average, rounded towards zero, if there is any.", lambda v: literal(quotient(sum(v), len(v)) if v else None, f"Option<{kind}>")),
        "sum": (kind, "self.total", "All of them added up.", lambda v: literal(sum(v), kind)), "above": ("usize", "self.above", f"How many were above {bound}.", lambda v: str(sum(x > bound for x in v))),
        "range": (f"Option<{kind}>", draw.style("Some(self.largest? - self.smallest?)", "match (self.smallest, self.largest) {\n    (Some(low), Some(high)) => Some(high - low),\n    _ => None,\n}"), "The difference between the largest and the smallest.", lambda v: literal(max(v) - min(v) if v else None, f"Option<{kind}>")),
        "largest": (f"Option<{kind}>", "self.largest", "The largest so far.", lambda v: literal(max(v, default=None), f"Option<{kind}>")), "smallest": (f"Option<{kind}>", "self.smallest", "The smallest so far.", lambda v: literal(min(v, default=None), f"Option<{kind}>")),
        "count": ("usize", "self.count", f"How many were counted{f', which are those from {floor} on' if floor is not None else ''}.", lambda v: str(len(v))),
    }  # fmt: skip
    code = struct(
        draw, name, draw.style(f"Figures about every {one} so far, none of which is kept.", f"Summarizes a stream, one {one} after the other."), "\n".join(f"{each}: {fields[each]}," for each in used),
        method(f"Takes note of a {one}" + (f"; below {floor} it does not count." if floor is not None else "."), f"{add}(&mut self, {one}: {kind})", guard + "\n".join(steps[each] for each in used)),
        *(method(readers[each][2], f"{each}(&self) -> {readers[each][0]}", readers[each][1]) for each in wanted), more=", Default",
    )  # fmt: skip
    cases = []
    for length in (0, 2, 3, 5):
        values = [draw.arguments.randint(-20, 40) for _ in range(length)]
        kept = [each for each in values if floor is None or each >= floor]
        calls = " ".join(f"it.{add}({each});" for each in values)
        cases.append(Case("(" + ", ".join(f"it.{each}()" for each in wanted) + ")", "(" + ", ".join(readers[each][3](kept) for each in wanted) + ")", f"let {'mut ' if values else ''}it = {name}::default(); {calls}"))
    return Items(code, cases)


@family(tier=3)
def keyed_store(draw: Draw) -> Items:
    name, add, remove, best = draw.choose(("Inventory", "receive", "ship", "largest_stock"), ("ScoreBoard", "award", "deduct", "leader"), ("Election", "vote", "retract", "front_runner"), ("Pantry", "buy", "cook", "most_of"), ("Timesheet", "work", "correct", "busiest"), ("Bank", "deposit", "withdraw", "richest"), ("Zoo", "welcome", "release", "commonest"), ("Garage", "park", "drive_off", "fullest"), ("Portfolio", "acquire", "sell", "heaviest"), ("Census", "arrive", "depart", "most_populous"))
    store, kind, gone = draw.choose("BTreeMap", "HashMap", "Vec"), draw.choose("u32", "u64", "i32"), draw.choose("drop", "keep")
    limit = draw.choose(None, 10, 15, 20, 30)
    field = draw.style("counts", "entries", "stock", "totals", "by_name")
    counted, summed = (f"(*count + amount).min({limit})", f"(before + amount).min({limit})") if limit else ("*count + amount", "before + amount")
    first = f"amount.min({limit})" if limit else "amount"
    typed = f"{store}<String, {kind}>" if store != "Vec" else f"Vec<(String, {kind})>"
    if store == "Vec":
        clean = f"if self.{field}[index].1 == 0 {{\n    self.{field}.remove(index);\n}}\n" if gone == "drop" else ""
        adding = f"match self.{field}.iter_mut().find(|(key, _)| key == name) {{\n    Some((_, count)) => *count = {counted},\n    None => self.{field}.push((name.to_string(), {first})),\n}}"
        removing = f"let Some(index) = self.{field}.iter().position(|(key, _)| key == name) else {{\n    return false;\n}};\nif self.{field}[index].1 < amount {{\n    return false;\n}}\nself.{field}[index].1 -= amount;\n{clean}true"
        getting = f"self.{field}\n    .iter()\n    .find(|(key, _)| key == name)\n    .map_or(0, |(_, count)| *count)"
        ranking = f"self.{field}\n    .iter()\n    .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))\n    .map(|(name, _)| name.as_str())"
    else:
        clean = f"if *count == 0 {{\n    self.{field}.remove(name);\n}}\n" if gone == "drop" else ""
        adding = draw.style(f"let count = self.{field}.entry(name.to_string()).or_insert(0);\n*count = {counted};", f"let before = self.{field}.get(name).copied().unwrap_or(0);\nself.{field}.insert(name.to_string(), {summed});")
        removing = draw.style(f"match self.{field}.get_mut(name) {{\n    Some(count) if *count >= amount => {{\n        *count -= amount;\n        {clean.replace(chr(10), chr(10) + ' ' * 8)}true\n    }}\n    _ => false,\n}}",
                              f"let Some(count) = self.{field}.get_mut(name) else {{\n    return false;\n}};\nif *count < amount {{\n    return false;\n}}\n*count -= amount;\n{clean}true")  # fmt: skip
        getting = draw.style(f"self.{field}.get(name).copied().unwrap_or(0)", f"match self.{field}.get(name) {{\n    Some(count) => *count,\n    None => 0,\n}}")
        ranking = f"self.{field}\n    .iter()\n    .max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)))\n    .map(|(name, _)| name.as_str())"
    get = draw.style("get", "count", "of", "amount_of")
    code = blocks(f"use std::collections::{store};" if store != "Vec" else "", struct(
        draw, name, draw.style(f"Counts by name{f', each up to {limit}' if limit else ''}.", f"How much there is under every name{f', at most {limit}' if limit else ''}."), f"{field}: {typed},",
        method(draw.style("Adds `amount` for `name`" + (f", as far as there is room up to {limit}." if limit else "."), f"Increases what `name` has by `amount`{f', but not beyond {limit}' if limit else ''}."), f"{add}(&mut self, name: &str, amount: {kind})", adding),
        method("Takes `amount` from `name`, or nothing if there is less" + ("; names with nothing left are forgotten." if gone == "drop" else "."), f"{remove}(&mut self, name: &str, amount: {kind}) -> bool", removing),
        method(draw.style("What `name` has, or 0.", "How much there is for `name`."), f"{get}(&self, name: &str) -> {kind}", getting),
        method(draw.style("The name with the most, the first in the alphabet of equal ones.", "Who has the most; of equals, the alphabetically first."), f"{best}(&self) -> Option<&str>", ranking), more=", Default",
    ))  # fmt: skip
    cases = []
    for length in (0, 3, 4, 5):
        names = draw.arguments.sample([each for each in WORDS if len(each) > 2], 3)
        held: dict[str, int] = {}
        setup = f"let {'mut ' if length else ''}it = {name}::default();"
        for _ in range(length):
            key, amount = draw.arguments.choice(names), draw.arguments.randint(1, 12)
            if draw.arguments.random() < 0.7:
                held[key] = min(held.get(key, 0) + amount, limit or 10**6)
                setup += f' it.{add}("{key}", {amount});'
            else:
                setup += f' it.{remove}("{key}", {amount});'
                if held.get(key, 0) >= amount:
                    held[key] -= amount
                    if not held[key] and gone == "drop":
                        del held[key]
        top = min(held, key=lambda key: (-held[key], key), default=None)
        asked = draw.arguments.choice(names)
        cases.append(Case(f'(it.{get}("{asked}"), it.{best}())', f"({held.get(asked, 0)}, {literal(top, 'Option<&str>')})", setup))
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
        method(f"Of {big} below {turn} and {small} below {size}; `None` for others." if checked else f"What exceeds {turn} or {size} goes around.", f"new({big}: {kind}, {small}: {kind}) -> {'Option<Self>' if checked else 'Self'}", new),
        method(draw.style(f"Counted in {small} from the start.", f"The number of {small} since the start."), f"{total}(&self) -> {kind}", draw.style(f"self.{big} * {size} + self.{small}", f"{size} * self.{big} + self.{small}")),
    ]  # fmt: skip
    methods += [method(draw.style("Later by this much, around the end.", f"Goes on by `{small}`; after the end it starts over."), f"{plus}(&self, {small}: {kind}) -> Self", adding)] if delta != "until" else []
    methods += [method(draw.style(f"How many {small} pass before `other` comes.", f"The {small} from this one to `other`, around the end if need be."), f"{until}(&self, other: &{name}) -> {kind}", waiting)] if delta != "plus" else []
    code = struct(draw, name, draw.style(f"{big.capitalize()} and {small}: {turn} times {size}.", f"One of {turn} times {size}, which go around."), f"pub {big}: {kind},\npub {small}: {kind},", *methods)
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
def playlist_cursor(draw: Draw) -> Items:
    name, one = draw.choose(("Playlist", "song"), ("Slideshow", "slide"), ("Tour", "stop"), ("Menu", "choice"), ("Tabs", "tab"), ("Deck", "card"), ("Quiz", "question"), ("Recipe", "step"), ("Carousel", "picture"), ("Rota", "person"), ("Tutorial", "lesson"))
    ends, extra, field = draw.choose("wrap", "stop"), draw.choose("jump", "remove", "remaining", "none"), draw.style("position", "current", "cursor", "index")
    many = f"{one}s"
    forth, back, now = draw.style("next", "forward", "advance"), draw.style("previous", "back", "rewind"), draw.style("selected", f"{one}", "shown")
    skip = draw.integer(1, 3)
    ahead = {"wrap": f"if !self.{many}.is_empty() {{\n    self.{field} = (self.{field} + {skip}) % self.{many}.len();\n}}", "stop": f"let last = self.{many}.len().saturating_sub(1);\nself.{field} = (self.{field} + {skip}).min(last);"}[ends]
    behind = {"wrap": f"self.{field} = if self.{field} == 0 {{\n    self.{many}.len().saturating_sub(1)\n}} else {{\n    self.{field} - 1\n}};", "stop": draw.style(f"self.{field} = self.{field}.saturating_sub(1);", f"if self.{field} > 0 {{\n    self.{field} -= 1;\n}}")}[ends]
    others = {
        "jump": method(f"Goes to the {one} with this text, if there is one.", "jump(&mut self, text: &str) -> bool", draw.style(f"match self.{many}.iter().position(|each| each == text) {{\n    Some(index) => {{\n        self.{field} = index;\n        true\n    }}\n    None => false,\n}}", f"if let Some(index) = self.{many}.iter().position(|each| each == text) {{\n    self.{field} = index;\n    return true;\n}}\nfalse")),
        "remove": method(f"Removes the current {one}, after which the one behind it is current, or else the new last.", "remove(&mut self) -> Option<String>", f"if self.{many}.is_empty() {{\n    return None;\n}}\nlet removed = self.{many}.remove(self.{field});\nif self.{field} == self.{many}.len() {{\n    self.{field} = self.{field}.saturating_sub(1);\n}}\nSome(removed)"),
        "remaining": method(f"How many come after the current {one}.", "remaining(&self) -> usize", f"self.{many}.len().saturating_sub(self.{field} + 1)"), "none": "",
    }[extra]  # fmt: skip
    said = {"wrap": "around at the ends", "stop": "no farther than the ends"}[ends]
    code = struct(
        draw, name, draw.style(f"The {many} of a {name.lower()}, one of which is current.", f"Moves through {many}, {said}."), f"{many}: Vec<String>,\n{field}: usize,",
        method(draw.style("Begins with the first.", f"Starts at the first of `{many}`."), f"new({many}: &[&str]) -> Self", f"Self {{\n    {many}: {many}.iter().map(|each| each.to_string()).collect(),\n    {field}: 0,\n}}"),
        method(draw.style(f"The current {one}.", f"The {one} it is at, if there is any."), f"{now}(&self) -> Option<&str>", f"self.{many}.get(self.{field}).map({draw.style('|each| each.as_str()', 'String::as_str')})"),
        method(f"Goes on by {skip}, {said}.", f"{forth}(&mut self)", ahead), method(f"Goes back by one, {said}.", f"{back}(&mut self)", behind), others,
    )  # fmt: skip
    cases = []
    for length in (3, 4, 5, 0):
        words = draw.arguments.sample(WORDS, length)
        at, setup = 0, f"let mut list = {name}::new({literal(words, '&[&str]')});"
        for step in (draw.arguments.choice((forth, forth, back)) for _ in range(draw.arguments.randint(2, 5))):
            setup += f" list.{step}();"
            if words:
                at = at + (skip if step == forth else -1)
                at = at % length if ends == "wrap" else max(0, min(length - 1, at))
        call, result = f"list.{now}()", literal(words[at] if words else None, "Option<&str>")
        if extra == "jump" and words:
            target = draw.arguments.choice((*words, "none"))
            at = words.index(target) if target in words else at
            setup += f' let found = list.jump("{target}");'
            call, result = f"(found, list.{now}())", f"({str(target in words).lower()}, Some(\"{words[at]}\"))"
        elif extra == "remaining":
            call, result = f"({call}, list.remaining())", f"({result}, {max(0, length - at - 1)})"
        elif extra == "remove":
            removed = words.pop(at) if words else None
            setup += " let removed = list.remove();"
            current = words[min(at, len(words) - 1)] if words else None
            call, result = f"(removed, {call})", f"({literal(removed, 'Option<String>')}, {literal(current, 'Option<&str>')})"
        cases.append(Case(call, result, setup))
    return Items(code, cases)


@family(tier=2)
def interval_type(draw: Draw) -> Items:
    name, low, high = draw.choose(("Interval", "start", "end"), ("Range", "low", "high"), ("Booking", "arrival", "departure"), ("Segment", "left", "right"), ("Window", "opens", "closes"), ("Band", "bottom", "top"), ("Meeting", "begins", "ends"), ("Pages", "first", "last"), ("Reign", "crowned", "deposed"))
    kind, closed = draw.choose("i32", "i64", "u32", "u64"), draw.choose(True, False)
    wanted = [draw.choose("contains", "shifted"), draw.choose("overlaps", "touches"), draw.choose("intersection", "hull", "gap")]
    least = draw.choose("<=", "<") if not closed else "<="
    inside, one = ("<=", 1) if closed else ("<", 0)
    length = f"self.{high} - self.{low} + 1" if closed else f"self.{high} - self.{low}"
    made = f"Self {{{{ {low}: {{}}, {high}: {{}} }}}}"
    later, earlier = f"self.{low}.max(other.{low})", f"self.{high}.min(other.{high})"
    contents = {
        "contains": (f"contains(&self, value: {kind}) -> bool", draw.style(f"self.{low} <= value && value {inside} self.{high}", f"(self.{low}..{'=' if closed else ''}self.{high}).contains(&value)", f"!(value < self.{low} || value {'>' if closed else '>='} self.{high})"), "Whether `value` lies in it."),
        "shifted": (f"shifted(&self, by: {kind}) -> Self", made.format(f"self.{low} + by", f"self.{high} + by"), "The same, later by `by`."),
        "overlaps": (f"overlaps(&self, other: &{name}) -> bool", draw.style(f"self.{low} {inside} other.{high} && other.{low} {inside} self.{high}", f"{later} {inside} {earlier}"), "Whether there is something that lies in both."),
        "touches": (f"touches(&self, other: &{name}) -> bool", f"self.{high}{' + 1' if closed else ''} == other.{low} || other.{high}{' + 1' if closed else ''} == self.{low}", "Whether one begins right after the other."),
        "intersection": (f"intersection(&self, other: &{name}) -> Option<{name}>", draw.style(f"let low = {later};\nlet high = {earlier};\nif low {inside} high {{\n    Some({name} {{ {low}: low, {high}: high }})\n}} else {{\n    None\n}}", f"let common = {made.format(later, earlier)};\n(common.{low} {inside} common.{high}).then_some(common)"), "What lies in both, if anything."),
        "hull": (f"hull(&self, other: &{name}) -> {name}", f"{name} {{\n    {low}: self.{low}.min(other.{low}),\n    {high}: self.{high}.max(other.{high}),\n}}", "The smallest that holds both."),
        "gap": (f"gap(&self, other: &{name}) -> {kind}", f"let low = {later};\nlet high = {earlier};\nif low > high {{\n    low - high{' - 1' if closed else ''}\n}} else {{\n    0\n}}", "How much lies between the two."),
    }  # fmt: skip
    size = draw.style("length", "len", "size", "duration")
    code = struct(
        draw, name, draw.style(f"From `{low}` to `{high}`, which {'belongs' if closed else 'does not belong'} to it.", f"What lies between two numbers, {'both included' if closed else 'the second excluded'}."), f"{low}: {kind},\n{high}: {kind},",
        method(f"`None` unless `{low}` is {'below' if least == '<' else 'at most'} `{high}`.", f"new({low}: {kind}, {high}: {kind}) -> Option<Self>", draw.style(f"if {low} {least} {high} {{\n    Some(Self {{ {low}, {high} }})\n}} else {{\n    None\n}}", f"({low} {least} {high}).then_some(Self {{ {low}, {high} }})")),
        method(draw.style("How many numbers it has.", "Its length."), f"{size}(&self) -> {kind}", length), *(method(contents[each][2], contents[each][0], contents[each][1]) for each in wanted),
    )  # fmt: skip
    pick = draw.arguments.randint

    def show(a: int, b: int) -> str:
        return f"{name} {{ {low}: {a}, {high}: {b} }}"

    cases, broken = [], pick(5, 9)
    cases.append(Case(f"{name}::new({broken}, {pick(0, 4)})", "None"))
    for each in wanted:
        for near in (True, False):
            a, b = pick(0, 9), pick(10, 20)
            c, d = (pick(5, 11), pick(12, 30)) if near else (b + one, pick(22, 40))
            value, after = pick(0, 22), max(a, c)
            least_end = min(b, d)
            common = after <= least_end if closed else after < least_end
            call, result = {
                "contains": (f"contains({value})", str(a <= value <= b if closed else a <= value < b).lower()), "shifted": (f"shifted({value})", show(a + value, b + value)), "overlaps": (f"overlaps(&{show(c, d)})", str(common).lower()),
                "touches": (f"touches(&{show(c, d)})", str(b + one == c or d + one == a).lower()), "intersection": (f"intersection(&{show(c, d)})", f"Some({show(after, least_end)})" if common else "None"),
                "hull": (f"hull(&{show(c, d)})", show(min(a, c), max(b, d))), "gap": (f"gap(&{show(c, d)})", str(max(0, after - least_end - one))),
            }[each]  # fmt: skip
            cases.append(Case(f"{show(a, b)}.{call}", result))
    a, b = pick(0, 9), pick(10, 25)
    return Items(code, [*cases, Case(f"{name}::new({a}, {b}).map(|it| it.{size}())", f"Some({b - a + one})")])


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
        "degree": ("degree(&self) -> Option<usize>", zero if first == "lowest" else f"{zero}\n    .map(|index| self.{field}.len() - 1 - index)".replace(f"self.{field}.iter().position", f"self.{field}\n    .iter()\n    .position", 1), "The highest power with a factor other than 0, if there is one."),
        "derivative": ("derivative(&self) -> Self", (f"let {field} = self.{field}\n    .iter()\n    .enumerate()\n    .skip(1)\n    .map(|(power, factor)| power as {kind} * factor)\n    .collect();\nSelf {{ {field} }}" if first == "lowest" else f"let count = self.{field}.len().saturating_sub(1);\nlet {field} = self.{field}[..count]\n    .iter()\n    .enumerate()\n    .map(|(index, factor)| (count - index) as {kind} * factor)\n    .collect();\nSelf {{ {field} }}"), "Its derivative."),
        "scaled": (draw.style(f"times_{by}(&self) -> Self", f"times_{by}(&self) -> {name}"), draw.style(f"let {field} = self.{field}.iter().map(|factor| {by} * factor).collect();\nSelf {{ {field} }}", f"let mut result = self.clone();\nfor factor in result.{field}.iter_mut() {{\n    *factor *= {by};\n}}\nresult"), f"{by} times the polynomial."),
        "plus": (f"plus_{by}(&self) -> Self", f"let mut {field} = self.{field}.clone();\nmatch {field}.{'first' if first == 'lowest' else 'last'}_mut() {{\n    Some(factor) => *factor += {by},\n    None => {field}.push({by}),\n}}\nSelf {{ {field} }}", f"The polynomial plus {by}."),
    }[extra]  # fmt: skip
    where = "the constant comes first" if first == "lowest" else "the constant comes last"
    says = draw.style(f"A polynomial; of its factors, {where}.", f"A sum of powers with factors, where {where}.")
    code = fill("/// $says\n#[derive(Debug, Clone, PartialEq)]\npub struct $name {\n    pub $field: Vec<$kind>,\n}\n\nimpl $name {\n    $methods\n}", says=says, name=name, field=field, kind=kind, methods=blocks(method(draw.style(f"Its value at `x`{remaining}.", f"Evaluates it at `x` by Horner's rule{remaining}."), f"{evaluate}(&self, x: {kind}) -> {kind}", horner), method(others[2], others[0], others[1])))
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


@family(tier=3)
def small_matrix(draw: Draw) -> Items:
    name, kind = draw.style("Matrix", "Grid", "Table", "Square"), draw.choose("i32", "i64")
    size, wanted = draw.choose(2, 3), [draw.choose("trace", "transposed", "diagonal"), draw.choose("times", "row_sums", "column_max"), draw.choose("apply", "scaled", "symmetric")]
    factor, cells = draw.integer(2, 9), draw.style("cells", "rows", "data", "values")
    array = f"[[{kind}; {size}]; {size}]"
    swap = draw.style(f"let mut result = [[0; {size}]; {size}];\nfor i in 0..{size} {{\n    for j in 0..{size} {{\n        result[j][i] = self.{cells}[i][j];\n    }}\n}}\nSelf {{ {cells}: result }}", f"Self {{\n    {cells}: std::array::from_fn(|i| std::array::from_fn(|j| self.{cells}[j][i])),\n}}")
    span = range(size)
    bodies = {
        "trace": ("trace(&self)", kind, draw.style(f"(0..{size}).map(|i| self.{cells}[i][i]).sum()", " + ".join(f"self.{cells}[{i}][{i}]" for i in span)), "The sum of the diagonal.", lambda m: str(sum(m[i][i] for i in span))),
        "transposed": ("transposed(&self)", "Self", swap, "Rows and columns exchanged.", lambda m: f"{name} {{ {cells}: {[[m[j][i] for j in span] for i in span]} }}"),
        "diagonal": ("diagonal(&self)", f"[{kind}; {size}]", draw.style(f"std::array::from_fn(|i| self.{cells}[i][i])", f"let mut result = [0; {size}];\nfor i in 0..{size} {{\n    result[i] = self.{cells}[i][i];\n}}\nresult"), "What is on the diagonal.", lambda m: str([m[i][i] for i in span])),
        "times": (f"times(&self, other: &{name})", "Self", f"let mut result = [[0; {size}]; {size}];\nfor i in 0..{size} {{\n    for j in 0..{size} {{\n        for k in 0..{size} {{\n            result[i][j] += self.{cells}[i][k] * other.{cells}[k][j];\n        }}\n    }}\n}}\n{name} {{ {cells}: result }}", "The product of the two.", lambda m: f"{name} {{ {cells}: {[[sum(m[i][k] * m[k][j] for k in span) for j in span] for i in span]} }}"),
        "row_sums": ("row_sums(&self)", f"Vec<{kind}>", draw.style(f"self.{cells}.iter().map(|row| row.iter().sum()).collect()", f"let mut sums = Vec::new();\nfor row in &self.{cells} {{\n    sums.push(row.iter().sum());\n}}\nsums"), "Adds up every row.", lambda m: f"vec!{[sum(row) for row in m]}"),
        "column_max": ("column_max(&self, column: usize)", f"Option<{kind}>", draw.style(f"if column >= {size} {{\n    return None;\n}}\nself.{cells}.iter().map(|row| row[column]).max()", f"self.{cells}\n    .iter()\n    .filter_map(|row| row.get(column).copied())\n    .max()"), "The largest of a column, if there is such a column.", lambda m: f"Some({max(row[1] for row in m)})"),
        "apply": (f"apply(&self, vector: [{kind}; {size}])", f"[{kind}; {size}]", draw.style(f"std::array::from_fn(|i| (0..{size}).map(|j| self.{cells}[i][j] * vector[j]).sum())", f"let mut result = [0; {size}];\nfor (i, row) in self.{cells}.iter().enumerate() {{\n    for (factor, value) in row.iter().zip(vector) {{\n        result[i] += factor * value;\n    }}\n}}\nresult"), "The product with a column vector.", lambda m: str([sum(m[i][j] * (j + 1) for j in span) for i in span])),
        "scaled": (f"scaled_by_{factor}(&self)", "Self", f"Self {{\n    {cells}: self.{cells}.map(|row| row.map(|value| {factor} * value)),\n}}", f"Every cell {factor} times as large.", lambda m: f"{name} {{ {cells}: {[[factor * v for v in row] for row in m]} }}"),
        "symmetric": ("is_symmetric(&self)", "bool", f"(0..{size}).all(|i| (0..i).all(|j| self.{cells}[i][j] == self.{cells}[j][i]))", "Whether it equals its transpose.", lambda m: str(all(m[i][j] == m[j][i] for i in span for j in span)).lower()),
    }  # fmt: skip
    code = struct(draw, name, draw.style(f"{size} rows of {size} numbers.", f"A matrix of {size} by {size}."), f"pub {cells}: {array},", *(method(bodies[each][3], f"{bodies[each][0]} -> {bodies[each][1]}", bodies[each][2]) for each in wanted))
    cases = []
    for each in wanted:
        numbers = [[draw.arguments.randint(-6, 9) for _ in span] for _ in span]
        given = {"times": "&it", "column_max": "1", "apply": str([j + 1 for j in span])}.get(each, "")
        cases.append(Case(f"it.{bodies[each][0].partition('(')[0]}({given})", bodies[each][4](numbers), f"let it = {name} {{ {cells}: {numbers} }};"))
    return Items(code, cases)


@family(tier=2)
def sliding_log(draw: Draw) -> Items:
    name, one, said = draw.choose(("TemperatureLog", "reading", "temperatures"), ("LoadMonitor", "load", "loads"), ("PulseMeter", "beat", "pulse rates"), ("PriceTape", "price", "prices"), ("SpeedLog", "speed", "speeds"), ("Barometer", "pressure", "pressures"), ("ScaleLog", "weight", "weights"), ("Traffic", "cars", "cars per minute"))
    kind, window, wanted = draw.choose("i32", "i64"), draw.integer(2, 5), draw.choose("mean", "max", "min", "rising", "sum", "spread")
    bound = draw.integer(1, 9)
    field, add = draw.style("window", "recent", "latest"), draw.style("record", "push", "add", "log")
    adding = draw.style(f"if self.{field}.len() == {window} {{\n    self.{field}.pop_front();\n}}\nself.{field}.push_back({one});", f"self.{field}.push_back({one});\nif self.{field}.len() > {window} {{\n    self.{field}.pop_front();\n}}", f"self.{field}.push_back({one});\nwhile self.{field}.len() > {window} {{\n    self.{field}.pop_front();\n}}")
    many = f"self.{field}"
    returned, body, what, compute = {
        "mean": (f"Option<{kind}>", f"if {many}.is_empty() {{\n    return None;\n}}\nlet sum: {kind} = {many}.iter().sum();\nSome(sum / {many}.len() as {kind})", "average, rounded towards zero", lambda v: quotient(sum(v), len(v)) if v else None),
        "max": (f"Option<{kind}>", f"{many}.iter().copied().max()", "largest", lambda v: max(v, default=None)), "min": (f"Option<{kind}>", f"{many}.iter().min().copied()", "smallest", lambda v: min(v, default=None)),
        "rising": ("bool", draw.style(f"{many}.iter().zip({many}.iter().skip(1)).all(|(a, b)| a < b)", f"(1..{many}.len()).all(|i| {many}[i - 1] < {many}[i])"), "whether they rise", lambda v: all(a < b for a, b in zip(v, v[1:], strict=False))),
        "sum": (kind, draw.style(f"{many}.iter().sum()", f"{many}.iter().fold(0, |sum, each| sum + each)"), "sum", sum),
        "spread": ("bool", f"match ({many}.iter().min(), {many}.iter().max()) {{\n    (Some(low), Some(high)) => high - low <= {bound},\n    _ => true,\n}}", f"whether they differ by at most {bound}", lambda v: not v or max(v) - min(v) <= bound),
    }[wanted]  # fmt: skip
    call = {"rising": draw.style("is_rising", "rises"), "spread": draw.style("is_stable", "settled")}.get(wanted, draw.style(wanted, f"recent_{wanted}"))
    told = f"{what[0].upper()}{what[1:]}, of the last {window}." if wanted in ("rising", "spread") else f"The {what} of the last {window}."
    code = blocks("use std::collections::VecDeque;", struct(draw, name, draw.style(f"Remembers the last {window} {said}.", f"A log of {said} that forgets all but {window}."), f"{field}: VecDeque<{kind}>,", method(draw.style(f"Adds a {one} and forgets the oldest if need be.", f"Takes a {one} into the window."), f"{add}(&mut self, {one}: {kind})", adding), method(told.replace("Whether they", "Whether the values").replace(", of", " in") if wanted in ("rising", "spread") else told, f"{call}(&self) -> {returned}", body), more=", Default"))
    cases = []
    for length in (0, 1, window, window + 2, window + 3):
        values = sorted(draw.arguments.sample(range(-10, 30), length)) if wanted == "rising" and length == window else [draw.arguments.randint(-5, 9) for _ in range(length)]
        cases.append(Case(f"log.{call}()", literal(compute(values[-window:]), returned), f"let {'mut ' if values else ''}log = {name}::default(); {' '.join(f'log.{add}({each});' for each in values)}"))
    return Items(code, cases)
