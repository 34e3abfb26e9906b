"""Structs that contain several values: bounded, keyed, with a cursor, and sliding windows."""

from trainers.data.synthetic.families.structs import method, struct
from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.pieces import WORDS, quotient
from trainers.data.synthetic.writing import blocks


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
        says = draw.style(f"Adds `value` and returns the oldest value if it had to be removed to keep at most {capacity}.", "Appends `value` and returns the value that was evicted to make room, if any.")
    else:
        returned = f"Result<(), {kind}>"
        adding = draw.style(f"if self.{field}.len() == {capacity} {{\n    return Err(value);\n}}\nself.{field}.{at_end}(value);\nOk(())", f"if self.{field}.len() < {capacity} {{\n    self.{field}.{at_end}(value);\n    Ok(())\n}} else {{\n    Err(value)\n}}")
        says = draw.style("Adds `value`, or returns it as an error if the collection is full.", f"Appends `value`, or returns `Err(value)` if there are already {capacity} values.")
    total = {"stack": "last in, first out", "queue": "first in, first out", "ring": "keeping the newest"}[order]
    main = struct(
        draw, name, draw.style(f"Holds up to {capacity} values, {total}.", f"A collection of at most {capacity} values, {total}."), f"{field}: {owned}<{kind}>,",
        method(draw.style("Creates an empty collection.", "Starts empty."), "new() -> Self", f"Self {{ {field}: {owned}::new() }}"), method(says, f"{push}(&mut self, value: {kind}) -> {returned}", adding),
        method({"stack": "Removes and returns the value that was added last.", "queue": "Removes and returns the value that has waited longest.", "ring": "Removes and returns the oldest value."}[order], f"{pop}(&mut self) -> Option<{kind}>", f"self.{field}.{from_end}()"),
        method("Returns the number of values.", "len(&self) -> usize", f"self.{field}.len()") if draw.choose(True, False) else method("Returns `true` if another value fits.", "has_room(&self) -> bool", f"self.{field}.len() < {capacity}"),
    )
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
                              f"let Some(count) = self.{field}.get_mut(name) else {{\n    return false;\n}};\nif *count < amount {{\n    return false;\n}}\n*count -= amount;\n{clean}true")
        getting = draw.style(f"self.{field}.get(name).copied().unwrap_or(0)", f"match self.{field}.get(name) {{\n    Some(count) => *count,\n    None => 0,\n}}")
        ranking = f"self.{field}\n    .iter()\n    .max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)))\n    .map(|(name, _)| name.as_str())"
    get = draw.style("get", "count", "of", "amount_of")
    code = blocks(f"use std::collections::{store};" if store != "Vec" else "", struct(
        draw, name, draw.style(f"Keeps a count for each name{f', limited to {limit}' if limit else ''}.", f"Stores an amount for every name{f', at most {limit}' if limit else ''}."), f"{field}: {typed},",
        method(draw.style("Adds `amount` to the count of `name`" + (f", which is capped at {limit}." if limit else "."), f"Increases the amount of `name` by `amount`{f', but not beyond {limit}' if limit else ''}."), f"{add}(&mut self, name: &str, amount: {kind})", adding),
        method("Subtracts `amount` from the amount of `name` and returns `true`, or changes nothing and returns `false` if it is smaller or there is no such name" + (". Names whose amount reaches 0 are removed." if gone == "drop" else "."), f"{remove}(&mut self, name: &str, amount: {kind}) -> bool", removing),
        method(draw.style("Returns the amount of `name`, or 0 if it is not present.", "Looks up the amount stored for `name`; unknown names have 0."), f"{get}(&self, name: &str) -> {kind}", getting),
        method(draw.style("Returns the name with the largest amount, or the alphabetically first one in case of a tie.", "Finds the name that has the most. Ties go to the alphabetically first name."), f"{best}(&self) -> Option<&str>", ranking), more=", Default",
    ))
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
def playlist_cursor(draw: Draw) -> Items:
    name, one = draw.choose(("Playlist", "song"), ("Slideshow", "slide"), ("Tour", "stop"), ("Menu", "choice"), ("Tabs", "tab"), ("Deck", "card"), ("Quiz", "question"), ("Recipe", "step"), ("Carousel", "picture"), ("Rota", "person"), ("Tutorial", "lesson"))
    ends, extra, field = draw.choose("wrap", "stop"), draw.choose("jump", "remove", "remaining", "none"), draw.style("position", "current", "cursor", "index")
    many = f"{one}s"
    forth, back, now = draw.style("next", "forward", "advance"), draw.style("previous", "back", "rewind"), draw.style("selected", f"{one}", "shown")
    skip = draw.integer(1, 3)
    ahead = {"wrap": f"if !self.{many}.is_empty() {{\n    self.{field} = (self.{field} + {skip}) % self.{many}.len();\n}}", "stop": f"let last = self.{many}.len().saturating_sub(1);\nself.{field} = (self.{field} + {skip}).min(last);"}[ends]
    behind = {"wrap": f"self.{field} = if self.{field} == 0 {{\n    self.{many}.len().saturating_sub(1)\n}} else {{\n    self.{field} - 1\n}};", "stop": draw.style(f"self.{field} = self.{field}.saturating_sub(1);", f"if self.{field} > 0 {{\n    self.{field} -= 1;\n}}")}[ends]
    others = {
        "jump": method(f"Moves to the first {one} with this text and returns whether there is one.", "jump(&mut self, text: &str) -> bool", draw.style(f"match self.{many}.iter().position(|each| each == text) {{\n    Some(index) => {{\n        self.{field} = index;\n        true\n    }}\n    None => false,\n}}", f"if let Some(index) = self.{many}.iter().position(|each| each == text) {{\n    self.{field} = index;\n    return true;\n}}\nfalse")),
        "remove": method(f"Removes and returns the current {one}. The next one becomes current, or the new last one if there is no next.", "remove(&mut self) -> Option<String>", f"if self.{many}.is_empty() {{\n    return None;\n}}\nlet removed = self.{many}.remove(self.{field});\nif self.{field} == self.{many}.len() {{\n    self.{field} = self.{field}.saturating_sub(1);\n}}\nSome(removed)"),
        "remaining": method(f"Returns the number of {many} after the current one.", "remaining(&self) -> usize", f"self.{many}.len().saturating_sub(self.{field} + 1)"), "none": "",
    }[extra]
    said = {"wrap": "wrapping around at the ends", "stop": "stopping at the ends"}[ends]
    code = struct(
        draw, name, draw.style(f"The {many} of a {name.lower()}, one of which is current.", f"A cursor that moves through {many}, {said}."), f"{many}: Vec<String>,\n{field}: usize,",
        method(draw.style(f"Starts at the first {one}.", f"Starts at the first of the `{many}`."), f"new({many}: &[&str]) -> Self", f"Self {{\n    {many}: {many}.iter().map(|each| each.to_string()).collect(),\n    {field}: 0,\n}}"),
        method(draw.style(f"Returns the current {one}.", f"Returns the current {one}, or `None` if there are no {many}."), f"{now}(&self) -> Option<&str>", f"self.{many}.get(self.{field}).map({draw.style('|each| each.as_str()', 'String::as_str')})"),
        method(f"Moves forward by {skip}, {said}.", f"{forth}(&mut self)", ahead), method(f"Moves back by one, {said}.", f"{back}(&mut self)", behind), others,
    )
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
        "contains": (f"contains(&self, value: {kind}) -> bool", draw.style(f"self.{low} <= value && value {inside} self.{high}", f"(self.{low}..{'=' if closed else ''}self.{high}).contains(&value)", f"!(value < self.{low} || value {'>' if closed else '>='} self.{high})"), "Returns `true` if `value` lies in this range."),
        "shifted": (f"shifted(&self, by: {kind}) -> Self", made.format(f"self.{low} + by", f"self.{high} + by"), "Returns this range with both ends increased by `by`."),
        "overlaps": (f"overlaps(&self, other: &{name}) -> bool", draw.style(f"self.{low} {inside} other.{high} && other.{low} {inside} self.{high}", f"{later} {inside} {earlier}"), "Returns `true` if some number lies in both ranges."),
        "touches": (f"touches(&self, other: &{name}) -> bool", f"self.{high}{' + 1' if closed else ''} == other.{low} || other.{high}{' + 1' if closed else ''} == self.{low}", "Returns `true` if one range begins directly after the end of the other."),
        "intersection": (f"intersection(&self, other: &{name}) -> Option<{name}>", draw.style(f"let low = {later};\nlet high = {earlier};\nif low {inside} high {{\n    Some({name} {{ {low}: low, {high}: high }})\n}} else {{\n    None\n}}", f"let common = {made.format(later, earlier)};\n(common.{low} {inside} common.{high}).then_some(common)"), "Returns the part that both ranges share, or `None` if there is none."),
        "hull": (f"hull(&self, other: &{name}) -> {name}", f"{name} {{\n    {low}: self.{low}.min(other.{low}),\n    {high}: self.{high}.max(other.{high}),\n}}", "Returns the smallest range that contains both."),
        "gap": (f"gap(&self, other: &{name}) -> {kind}", f"let low = {later};\nlet high = {earlier};\nif low > high {{\n    low - high{' - 1' if closed else ''}\n}} else {{\n    0\n}}", "Returns the size of the gap between the two ranges, or 0 if there is none."),
    }
    size = draw.style("length", "len", "size", "duration")
    code = struct(
        draw, name, draw.style(f"The range from `{low}` to `{high}`, {'both ends included' if closed else f'where `{high}` itself is excluded'}.", f"A range between two numbers, {'both of which are included' if closed else 'the second of which is excluded'}."), f"{low}: {kind},\n{high}: {kind},",
        method(f"Returns `None` unless `{low}` is {'less than' if least == '<' else 'at most'} `{high}`.", f"new({low}: {kind}, {high}: {kind}) -> Option<Self>", draw.style(f"if {low} {least} {high} {{\n    Some(Self {{ {low}, {high} }})\n}} else {{\n    None\n}}", f"({low} {least} {high}).then_some(Self {{ {low}, {high} }})")),
        method(draw.style("Returns how many integers lie in the range.", "Returns the length of the range."), f"{size}(&self) -> {kind}", length), *(method(contents[each][2], contents[each][0], contents[each][1]) for each in wanted),
    )
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
            }[each]
            cases.append(Case(f"{show(a, b)}.{call}", result))
    a, b = pick(0, 9), pick(10, 25)
    return Items(code, [*cases, Case(f"{name}::new({a}, {b}).map(|it| it.{size}())", f"Some({b - a + one})")])


@family(tier=3)
def small_matrix(draw: Draw) -> Items:
    name, kind = draw.style("Matrix", "Grid", "Table", "Square"), draw.choose("i32", "i64")
    size, wanted = draw.choose(2, 3), [draw.choose("trace", "transposed", "diagonal"), draw.choose("times", "row_sums", "column_max"), draw.choose("apply", "scaled", "symmetric")]
    factor, cells = draw.integer(2, 9), draw.style("cells", "rows", "data", "values")
    array = f"[[{kind}; {size}]; {size}]"
    swap = draw.style(f"let mut result = [[0; {size}]; {size}];\nfor i in 0..{size} {{\n    for j in 0..{size} {{\n        result[j][i] = self.{cells}[i][j];\n    }}\n}}\nSelf {{ {cells}: result }}", f"Self {{\n    {cells}: std::array::from_fn(|i| std::array::from_fn(|j| self.{cells}[j][i])),\n}}")
    span = range(size)
    bodies = {
        "trace": ("trace(&self)", kind, draw.style(f"(0..{size}).map(|i| self.{cells}[i][i]).sum()", " + ".join(f"self.{cells}[{i}][{i}]" for i in span)), "Returns the sum of the elements on the main diagonal.", lambda m: str(sum(m[i][i] for i in span))),
        "transposed": ("transposed(&self)", "Self", swap, "Returns the matrix with rows and columns swapped.", lambda m: f"{name} {{ {cells}: {[[m[j][i] for j in span] for i in span]} }}"),
        "diagonal": ("diagonal(&self)", f"[{kind}; {size}]", draw.style(f"std::array::from_fn(|i| self.{cells}[i][i])", f"let mut result = [0; {size}];\nfor i in 0..{size} {{\n    result[i] = self.{cells}[i][i];\n}}\nresult"), "Returns the elements on the main diagonal.", lambda m: str([m[i][i] for i in span])),
        "times": (f"times(&self, other: &{name})", "Self", f"let mut result = [[0; {size}]; {size}];\nfor i in 0..{size} {{\n    for j in 0..{size} {{\n        for k in 0..{size} {{\n            result[i][j] += self.{cells}[i][k] * other.{cells}[k][j];\n        }}\n    }}\n}}\n{name} {{ {cells}: result }}", "Returns the matrix product of the two.", lambda m: f"{name} {{ {cells}: {[[sum(m[i][k] * m[k][j] for k in span) for j in span] for i in span]} }}"),
        "row_sums": ("row_sums(&self)", f"Vec<{kind}>", draw.style(f"self.{cells}.iter().map(|row| row.iter().sum()).collect()", f"let mut sums = Vec::new();\nfor row in &self.{cells} {{\n    sums.push(row.iter().sum());\n}}\nsums"), "Returns the sum of every row.", lambda m: f"vec!{[sum(row) for row in m]}"),
        "column_max": ("column_max(&self, column: usize)", f"Option<{kind}>", draw.style(f"if column >= {size} {{\n    return None;\n}}\nself.{cells}.iter().map(|row| row[column]).max()", f"self.{cells}\n    .iter()\n    .filter_map(|row| row.get(column).copied())\n    .max()"), "Returns the largest element of a column, or `None` if there is no such column.", lambda m: f"Some({max(row[1] for row in m)})"),
        "apply": (f"apply(&self, vector: [{kind}; {size}])", f"[{kind}; {size}]", draw.style(f"std::array::from_fn(|i| (0..{size}).map(|j| self.{cells}[i][j] * vector[j]).sum())", f"let mut result = [0; {size}];\nfor (i, row) in self.{cells}.iter().enumerate() {{\n    for (factor, value) in row.iter().zip(vector) {{\n        result[i] += factor * value;\n    }}\n}}\nresult"), "Returns the product of the matrix and a column vector.", lambda m: str([sum(m[i][j] * (j + 1) for j in span) for i in span])),
        "scaled": (f"scaled_by_{factor}(&self)", "Self", f"Self {{\n    {cells}: self.{cells}.map(|row| row.map(|value| {factor} * value)),\n}}", f"Returns the matrix with every element multiplied by {factor}.", lambda m: f"{name} {{ {cells}: {[[factor * v for v in row] for row in m]} }}"),
        "symmetric": ("is_symmetric(&self)", "bool", f"(0..{size}).all(|i| (0..i).all(|j| self.{cells}[i][j] == self.{cells}[j][i]))", "Returns `true` if the matrix equals its transpose.", lambda m: str(all(m[i][j] == m[j][i] for i in span for j in span)).lower()),
    }
    code = struct(draw, name, draw.style(f"A square matrix with {size} rows.", f"A {size} by {size} matrix of integers."), f"pub {cells}: {array},", *(method(bodies[each][3], f"{bodies[each][0]} -> {bodies[each][1]}", bodies[each][2]) for each in wanted))
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
        "mean": (f"Option<{kind}>", f"if {many}.is_empty() {{\n    return None;\n}}\nlet sum: {kind} = {many}.iter().sum();\nSome(sum / {many}.len() as {kind})", "average, rounded toward zero,", lambda v: quotient(sum(v), len(v)) if v else None),
        "max": (f"Option<{kind}>", f"{many}.iter().copied().max()", "largest", lambda v: max(v, default=None)), "min": (f"Option<{kind}>", f"{many}.iter().min().copied()", "smallest", lambda v: min(v, default=None)),
        "rising": ("bool", draw.style(f"{many}.iter().zip({many}.iter().skip(1)).all(|(a, b)| a < b)", f"(1..{many}.len()).all(|i| {many}[i - 1] < {many}[i])"), "every value is greater than the one before it", lambda v: all(a < b for a, b in zip(v, v[1:], strict=False))),
        "sum": (kind, draw.style(f"{many}.iter().sum()", f"{many}.iter().fold(0, |sum, each| sum + each)"), "sum", sum),
        "spread": ("bool", f"match ({many}.iter().min(), {many}.iter().max()) {{\n    (Some(low), Some(high)) => high - low <= {bound},\n    _ => true,\n}}", f"the values differ by at most {bound}", lambda v: not v or max(v) - min(v) <= bound),
    }[wanted]
    call = {"rising": draw.style("is_rising", "rises"), "spread": draw.style("is_stable", "settled")}.get(wanted, draw.style(wanted, f"recent_{wanted}"))
    told = f"Returns `true` if {what}, among the last {window}." if wanted in ("rising", "spread") else f"Returns the {what} of the last {window} values."
    code = blocks("use std::collections::VecDeque;", struct(draw, name, draw.style(f"Remembers the last {window} {said}.", f"A log that keeps the {window} most recent {said}."), f"{field}: VecDeque<{kind}>,", method(draw.style(f"Adds a new `{one}` and drops the oldest value if the log is full.", f"Records a new `{one}`."), f"{add}(&mut self, {one}: {kind})", adding), method(told, f"{call}(&self) -> {returned}", body), more=", Default"))
    cases = []
    for length in (0, 1, window, window + 2, window + 3):
        values = sorted(draw.arguments.sample(range(-10, 30), length)) if wanted == "rising" and length == window else [draw.arguments.randint(-5, 9) for _ in range(length)]
        cases.append(Case(f"log.{call}()", literal(compute(values[-window:]), returned), f"let {'mut ' if values else ''}log = {name}::default(); {' '.join(f'log.{add}({each});' for each in values)}"))
    return Items(code, cases)
