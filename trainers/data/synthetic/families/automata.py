"""Counters, robots, commands, timers, scanners, delays and vending machines."""

import textwrap

from trainers.data.synthetic.families.enums import declare
from trainers.data.synthetic.family import Case, Draw, FunctionSpec, Items, family
from trainers.data.synthetic.literals import Err, Ok, Raw, literal
from trainers.data.synthetic.writing import blocks, fill, match_on


@family(tier=1)
def wrapping_counter(draw: Draw) -> Items:
    name, small, large = draw.choose(
        ("Odometer", "meters", "kilometers"), ("Clock", "minutes", "hours"), ("Reel", "frames", "seconds"), ("Lap", "steps", "rounds"), ("Calendar", "days", "weeks"), ("Dial", "clicks", "turns"), ("Abacus", "beads", "rows"),
        ("Shelf", "books", "boards"), ("Egg", "eggs", "trays"), ("Ticker", "ticks", "beats"), ("Meter", "pulses", "units"), ("Chapter", "pages", "chapters"),
    )
    kind = draw.choose("u32", "u64", "usize")
    size = draw.choose(5, 6, 7, 8, 10, 12, 16, 20, 24, 25, 30, 50, 60, 100)
    bounded = draw.choose(None, None, 3, 4, 7)
    name += draw.style("", "Counter", "Count")
    tick, add = draw.style("tick", "step", "increment", "click"), draw.style("advance", "add", "forward")
    wrap = f" % {bounded}" if bounded else ""
    again = f", and {large} wrap around after {bounded}" if bounded else ""
    one = draw.style(
        f"self.{small} += 1;\nif self.{small} == {size} {{\n    self.{small} = 0;\n    self.{large} = (self.{large} + 1){wrap};\n}}" if bounded else f"self.{small} += 1;\nif self.{small} == {size} {{\n    self.{small} = 0;\n    self.{large} += 1;\n}}",
        f"self.{small} = (self.{small} + 1) % {size};\nif self.{small} == 0 {{\n    self.{large} = (self.{large} + 1){wrap};\n}}" if bounded else f"self.{small} = (self.{small} + 1) % {size};\nif self.{small} == 0 {{\n    self.{large} += 1;\n}}",
        f"self.{add}(1);",
    )
    carried = f"(self.{large} + total / {size}){wrap}" if bounded else f"self.{large} + total / {size}"
    loop = fill("for _ in 0..amount {\n    self.$tick();\n}", tick=tick)
    many = f"let total = self.{small} + amount;\nself.{small} = total % {size};\nself.{large} = {carried};"
    many = many if one.startswith(f"self.{add}") else draw.style(many, loop)
    code = fill(
        """
        /// $says
        #[derive($derives)]
        pub struct $name {
            pub $small: $kind,
            pub $large: $kind,
        }

        impl $name {
            /// $first
            pub fn $tick(&mut self) {
                $one
            }

            /// $second
            pub fn $add(&mut self, amount: $kind) {
                $many
            }
        }
        """,
        says=draw.style(f"Counts {small} and {large}: {small} wrap around after {size}{again}.", f"Counts {small}, {size} of which make up one of the {large}{f'; the {large} wrap around after {bounded}' if bounded else ''}."),
        derives=draw.style("Debug, Clone, Default, PartialEq", "Debug, Default, PartialEq, Eq", "Clone, Copy, Debug, Default, PartialEq, Eq"), name=name, small=small, large=large, kind=kind, tick=tick, add=add,
        one=one, many=many, first=draw.style(f"Adds 1 to the {small}.", "Advances the counter by one."), second=draw.style(f"Adds `amount` to the {small}.", "Advances the counter by `amount`."),
    )
    cases = []
    for ticks, amount in ((draw.arguments.randint(1, 3), 0), (0, draw.arguments.randint(size, 3 * size)), (draw.arguments.randint(1, 4), draw.arguments.randint(size - 2, 6 * size))):
        total = ticks + amount
        calls = [f"count.{tick}();"] * ticks + ([f"count.{add}({amount});"] if amount else [])
        laps = total // size % bounded if bounded else total // size
        cases.append(Case(f"(count.{small}, count.{large})", f"({total % size}, {laps})", f"let mut count = {name}::default(); {' '.join(calls)}"))
    return Items(code, cases)


@family(tier=2)
def robot_walk(draw: Draw) -> FunctionSpec:
    go, left, right, back = draw.choose(("F", "L", "R", "B"), ("f", "l", "r", "b"), ("^", "<", ">", "v"), ("G", "L", "R", "T"), ("W", "A", "D", "S"), ("m", "a", "d", "u"), ("*", "-", "+", "/"))
    wanted, stride = draw.choose("position", "distance", "facing", "steps", "returns"), draw.integer(1, 6)
    first = draw.choose((0, 1), (1, 0), (0, -1), (-1, 0))
    headings = {(0, 1): "north", (1, 0): "east", (0, -1): "south", (-1, 0): "west"}

    def oracle(commands: str) -> object:
        (x, y), (dx, dy), steps = (0, 0), first, 0
        for c in commands:
            if c in (go, back):
                sign = stride if c == go else -1
                x, y, steps = x + dx * sign, y + dy * sign, steps + 1
            elif c == left:
                dx, dy = -dy, dx
            elif c == right:
                dx, dy = dy, -dx
        return {"position": (x, y), "distance": abs(x) + abs(y), "facing": (dx, dy), "steps": steps, "returns": (x, y) == (0, 0)}[wanted]

    moves = f"x += {stride} * dx;\ny += {stride} * dy;" if stride > 1 else "x += dx;\ny += dy;"
    result = {"position": "(x, y)", "distance": "x.abs() + y.abs()", "facing": "(dx, dy)", "steps": "count", "returns": draw.style("x == 0 && y == 0", "(x, y) == (0, 0)")}[wanted]
    needs = wanted not in ("facing", "steps")
    turns = wanted != "steps"
    tally = "count += 1;"
    ahead = moves if needs else tally if wanted == "steps" else ""
    behind = "x -= dx;\ny -= dy;" if needs else ahead
    declared = "\n".join(line for line, used in ((draw.style("let mut x = 0i32;\nlet mut y = 0i32;", "let (mut x, mut y) = (0i32, 0i32);"), needs), (f"let (mut dx, mut dy) = ({first[0]}, {first[1]});", turns), ("let mut count = 0;", not turns)) if used)
    arms = [(f"'{go}'", f"{{\n{textwrap.indent(ahead, ' ' * 8)}\n    }}"), (f"'{back}'", f"{{\n{textwrap.indent(behind, ' ' * 8)}\n    }}")] if ahead else []
    arms += [(f"'{left}'", "(dx, dy) = (-dy, dx)"), (f"'{right}'", "(dx, dy) = (dy, -dx)")] if turns else []
    matched = match_on("command", [*arms, ("_", "{}")])
    chain = [(f"command == '{go}'", ahead), (f"command == '{back}'", behind)] if ahead else []
    chain += [(f"command == '{left}'", "(dx, dy) = (-dy, dx);"), (f"command == '{right}'", "(dx, dy) = (dy, -dx);")] if turns else []
    chained = " else ".join(f"if {condition} {{\n{textwrap.indent(body, '    ')}\n}}" for condition, body in chain)
    loops = [fill("$declared\nfor command in commands.chars() {\n    $body\n}\n$result", declared=declared, body=body, result=result) for body in (matched, chained)]
    if wanted == "steps":
        loops = [f"commands.chars().filter(|c| *c == '{go}' || *c == '{back}').count() as i32", loops[0], f"let mut count = 0;\nfor command in commands.chars() {{\n    if matches!(command, '{go}' | '{back}') {{\n        count += 1;\n    }}\n}}\ncount"]
    final = {"position": "its final position as (x, y)", "distance": "the Manhattan distance of its final position from the start", "facing": "the direction it faces at the end as a unit vector (dx, dy)", "steps": "the number of moves it makes, regardless of their length", "returns": "whether it ends at its starting position"}[wanted]
    what = f"`{go}` moves {stride} forward, `{back}` moves 1 backward, `{left}` turns 90 degrees left and `{right}` turns 90 degrees right"
    begin = f"It starts at (0, 0) facing {headings[first]}; x grows to the east and y to the north"
    return FunctionSpec(
        name={"position": draw.style("walk", "follow", "final_position"), "distance": draw.style("distance_after", "walked_distance", "how_far"), "facing": draw.style("final_direction", "facing", "heading_after"), "steps": draw.style("count_moves", "moves", "steps"), "returns": draw.style("comes_home", "is_closed_walk", "returns_to_start")}[wanted],
        parameters={"commands": "&str"}, returns={"position": "(i32, i32)", "facing": "(i32, i32)", "returns": "bool"}.get(wanted, "i32"),
        words=[f"Moves a robot by `commands` and returns {final}: {what}; other characters are ignored. {begin}.", f"Simulates a robot that follows `commands` and returns {final}. {begin}. {what}; all other characters are ignored."],
        forms=loops, oracle=oracle, inputs=lambda: (draw.arguments.choice(("", go + left, (go + right) * 4 if stride < 3 else (go + left) * 4, "".join(draw.arguments.choice((go, go, left, right, back, " ")) for _ in range(draw.arguments.randint(1, 9))))),),
    )


@family(tier=3)
def command_parser(draw: Draw) -> FunctionSpec:
    name, said, words = draw.choose(
        ("Command", "a robot", "Move Turn Stop"), ("Action", "a game", "Hit Heal Wait"), ("Request", "a bank", "Deposit Withdraw Balance"), ("Order", "a shop", "Buy Sell List"), ("Instruction", "a calculator", "Push Add Clear"),
        ("Message", "a thermostat", "Heat Cool Status"), ("Operation", "an editor", "Insert Delete Undo"), ("Step", "a recipe", "Mix Bake Serve"), ("Cue", "a stage light", "Raise Lower Blackout"), ("Query", "a counter", "Plus Minus Show"),
    )
    first, second, last = words.split()
    kind, limit = draw.choose("u32", "i32", "i64", "u64"), draw.choose(None, 9, 10, 20, 50, 100)
    fails = draw.choose("Option", "String", "str")
    bad = {"Option": "None", "String": 'Err(format!("not a command: {}", text))', "str": 'Err("not a command")'}[fails]
    good = "Some({})" if fails == "Option" else "Ok({})"
    separator = draw.choose(" ", ":", "=")

    def oracle(text: str) -> object:
        head, found, tail = text.partition(separator)
        result = None
        number = tail[1:] if tail[:1] == "+" else tail
        if not found:
            result = Raw(f"{name}::{last}") if head == last.lower() else None
        elif head in (first.lower(), second.lower()) and number.removeprefix("-" if kind[0] == "i" and tail[0] != "+" else " ").isdigit() and (limit is None or int(number) <= limit):
            result = Raw(f"{name}::{head.capitalize()}({int(number)})")
        if fails == "Option":
            return result and Raw(f"Some({result.rust})")
        return Ok(result) if result else Err(f"not a command: {text}" if fails == "String" else "not a command")

    within = f"if value > {limit} {{\n    return {bad};\n}}" if limit else ""
    filtered = f".filter(|value| *value <= {limit})" if limit else ""
    turn = {"Option": "", "String": '.ok_or_else(|| format!("not a command: {}", text))', "str": '.ok_or("not a command")'}[fails]
    parts = fill(
        """
        if text == "$lowest" {
            return $plain;
        }
        let Some((word, rest)) = text.split_once('$separator') else {
            return $bad;
        };
        let Ok(value) = rest.parse::<$kind>() else {
            return $bad;
        };
        $within
        match word {
            "$one" => $made_one,
            "$two" => $made_two,
            _ => $bad,
        }
        """,
        lowest=last.lower(), plain=good.format(f"{name}::{last}"), separator=separator, bad=bad, kind=kind, within=within, one=first.lower(), two=second.lower(),
        made_one=good.format(f"{name}::{first}(value)"), made_two=good.format(f"{name}::{second}(value)"),
    )
    split = fill(
        """
        let parts: Vec<&str> = text.splitn(2, '$separator').collect();
        let command = match parts.as_slice() {
            ["$lowest"] => Some($name::$last),
            [word, rest] => {
                let value = rest.parse::<$kind>().ok()$filtered;
                match *word {
                    "$one" => value.map($name::$first),
                    "$two" => value.map($name::$second),
                    _ => None,
                }
            }
            _ => None,
        };
        command$turn
        """,
        separator=separator, lowest=last.lower(), name=name, last=last, kind=kind, filtered=filtered, one=first.lower(), two=second.lower(), first=first, second=second, turn=turn,
    )
    numbered = f"`{first.lower()}{separator}3`, `{second.lower()}{separator}3` or `{last.lower()}`, with any number of type `{kind}`" + (f" up to {limit}" if limit else "")
    failing = {"Option": "Returns `None` for anything else", "String": 'For anything else, returns the error "not a command: " followed by `text`', "str": 'For anything else, returns the error "not a command"'}[fails]
    return FunctionSpec(
        name=draw.style("parse", f"parse_{name.lower()}", f"read_{name.lower()}", "interpret"), parameters={"text": "&str"}, returns={"Option": f"Option<{name}>", "String": f"Result<{name}, String>", "str": f"Result<{name}, &'static str>"}[fails],
        words=[f"Parses a command for {said}, which has the form {numbered}. {failing}.", f"Parses `text` as `{name}`, which is written as {numbered}. {failing}."], forms=[parts, split], oracle=oracle,
        inputs=lambda: (draw.arguments.choice((last.lower(), last.lower() + separator, f"{first.lower()}{separator}x", first, "", f"{draw.arguments.choice((first, second)).lower()}{separator}{draw.arguments.randint(0, 30)}", f"{second.lower()}{separator}{draw.arguments.randint(0, 200)}", f"{first.lower()}{separator}-{draw.arguments.randint(1, 9)}", f"{last.lower()}{separator}{draw.arguments.randint(1, 9)}")),),
        context=declare(draw, name, f"a command for {said}", [f"{first}({kind})", f"{second}({kind})", last]),
    )


@family(tier=2)
def timed_cycle(draw: Draw) -> Items:
    name, said, phases = draw.choose(
        ("TrafficLight", "a traffic light", "Green Yellow Red"), ("Washer", "a washing machine", "Soak Wash Spin"), ("Sprinkler", "a garden sprinkler", "Front Side Rest"), ("Workout", "a training plan", "Run Walk Rest"), ("Lighthouse", "a lighthouse", "Flash Dark Pulse"),
        ("Oven", "an oven", "Preheat Bake Cool"), ("Tide", "the tide", "Rising High Falling"), ("Pump", "a pump", "Fill Hold Drain"), ("Billboard", "a billboard", "Weather News Ads"), ("Shift", "a watch at sea", "Steering Lookout Sleep"),
    )
    first, second, third = phases.split()
    lengths = [draw.integer(1, 9), draw.integer(1, 6), draw.integer(1, 8)]
    enum, method = draw.style("Phase", "Step", f"{name}Phase", "Stage"), draw.style("tick", "advance", "step", "wait")
    duration = fill("/// $says\npub fn $called(self) -> u32 {\n    $body\n}", called=(called := draw.style("duration", "length", "ticks")), says=draw.style("Returns the duration of this phase in ticks.", "Returns the number of ticks before the next phase."), body=match_on("self", [(f"{enum}::{each}", count) for each, count in zip((first, second, third), lengths, strict=True)]))
    follow = fill("/// $says\npub fn next(self) -> Self {\n    $body\n}", says=draw.style("Returns the phase after this one.", "Returns the next phase."), body=match_on("self", [(f"{enum}::{a}", f"{enum}::{b}") for a, b in ((first, second), (second, third), (third, first))]))
    body = draw.style(
        "self.elapsed += 1;\nif self.elapsed == self.current.$called() {\n    self.elapsed = 0;\n    self.current = self.current.next();\n}",
        "if self.elapsed + 1 < self.current.$called() {\n    self.elapsed += 1;\n} else {\n    self.current = self.current.next();\n    self.elapsed = 0;\n}",
        "self.elapsed = (self.elapsed + 1) % self.current.$called();\nif self.elapsed == 0 {\n    self.current = self.current.next();\n}",
    )
    code = blocks(
        declare(draw, enum, f"a phase of {said}", (first, second, third)), fill("impl $enum {\n    $methods\n}", enum=enum, methods=blocks(duration, follow)),
        f"/// {draw.style(f'Models {said}', f'Controls {said}')}: its phases last {lengths[0]}, {lengths[1]} and {lengths[2]} ticks and repeat forever.\n#[derive(Debug, Clone)]\npub struct {name} {{\n    pub current: {enum},\n    elapsed: u32,\n}}",
        fill("impl $name {\n    /// $says\n    pub fn new() -> Self {\n        $name { current: $enum::$first, elapsed: 0 }\n    }\n\n    /// $what\n    pub fn $method(&mut self) {\n        $body\n    }\n}",
             name=name, enum=enum, first=first, method=method, body=fill(body, called=called), says=f"Starts with `{first}`.", what=draw.style("Advances by one tick.", "Lets one tick pass.", "Advances by one tick, moving to the next phase when the current one is over.")),
    )
    bounds = sum(lengths)
    cases = []
    for ticks in sorted({0, *draw.arguments.sample(range(1, 2 * bounds + 1), 2), lengths[0]}):
        left = ticks % bounds
        now = first if left < lengths[0] else second if left < lengths[0] + lengths[1] else third
        cases.append(Case("cycle.current", f"{enum}::{now}", f"let mut cycle = {name}::new(); for _ in 0..{ticks} {{ cycle.{method}(); }}" if ticks else f"let cycle = {name}::new();"))
    return Items(code, cases)


@family(tier=3)
def scan_outside(draw: Draw) -> FunctionSpec:
    opening, closing, said = draw.choose(("#", "\n", "comments, which start with `#` and end with the line"), ("(", ")", "parentheses"), ("[", "]", "brackets"), ('"', '"', "double quotes"), ("{", "}", "braces"), ("<", ">", "angle brackets"), ("|", "|", "bars"), (";", "\n", "comments, which run from `;` to the end of the line"), ("%", "\n", "comments, which run from `%` to the end of the line"))
    holds = draw.char_predicate()
    where = draw.choose("outside", "inside")
    wanted = draw.choose("count", "collect")

    def oracle(text: str) -> object:
        inside, kept = False, ""
        for c in text:
            if inside and c == closing:
                inside = False
            elif not inside and c == opening:
                inside = True
            elif inside == (where == "inside") and holds(c):
                kept += c
        return len(kept) if wanted == "count" else kept

    shut, begin = literal(closing, "char"), literal(opening, "char")
    push, start, result = ("count += 1", "let mut count = 0;", "count") if wanted == "count" else ("result.push(c)", "let mut result = String::new();", "result")
    mine = "inside" if where == "inside" else "!inside"
    matched = fill("$start\nlet mut inside = false;\nfor c in text.chars() {\n    match (inside, c) {\n        (true, $shut) => inside = false,\n        (false, $begin) => inside = true,\n        _ if $mine && ($holds) => $push,\n        _ => {}\n    }\n}\n$result", start=start, shut=shut, begin=begin, mine=mine, holds=holds.on("c"), push=push, result=result)
    chained = fill("$start\nlet mut inside = false;\nfor c in text.chars() {\n    if inside && c == $shut {\n        inside = false;\n    } else if !inside && c == $begin {\n        inside = true;\n    } else if $mine && ($holds) {\n        $push;\n    }\n}\n$result", start=start, shut=shut, begin=begin, mine=mine, holds=holds.on("c"), push=push, result=result)
    modes = fill("enum Mode {\n    Outside,\n    Inside,\n}\n\n$start\nlet mut mode = Mode::Outside;\nfor c in text.chars() {\n    match mode {\n        Mode::Inside if c == $shut => mode = Mode::Outside,\n        Mode::Outside if c == $begin => mode = Mode::Inside,\n        Mode::$wanted if $holds => $push,\n        _ => {}\n    }\n}\n$result", start=start, shut=shut, begin=begin, wanted=where.capitalize(), holds=holds.on("c"), push=push, result=result)
    asked = f"{holds.plural} {where} {said}"
    return FunctionSpec(
        name=draw.style(f"{wanted}_{where}", f"{wanted}_{holds.slug}_{where}", f"scan_{where}"), parameters={"text": "&str"}, returns="usize" if wanted == "count" else "String",
        words=[f"{'Counts the' if wanted == 'count' else 'Collects the'} {asked}. The delimiters themselves count as neither inside nor outside, and they do not nest: an opening delimiter inside, or a closing one outside, is an ordinary character. A region that is never closed extends to the end of `text`.", f"Scans `text` and returns {'the number of' if wanted == 'count' else 'the'} {asked}{'' if wanted == 'count' else ', in order'}. Delimiters are skipped. They do not nest, so an opening delimiter inside, or a closing one outside, is an ordinary character. An unclosed region extends to the end of the text."],
        forms=[matched, chained, modes], oracle=oracle,
        inputs=lambda: ("".join(draw.arguments.choice((draw.text(1), draw.text(1), opening, closing, " ", "a1", "E o", "-")) for _ in range(draw.arguments.randint(1, 7))),),
    )


@family(tier=2)
def retry_delays(draw: Draw) -> FunctionSpec:
    base, factor, cap = draw.integer(1, 12), draw.integer(2, 4), draw.choose(20, 30, 50, 60, 64, 100, 120, 250)
    wanted, kind = draw.choose("list", "total", "failures"), draw.choose("u32", "u64")
    thing = draw.choose("a connection", "a download", "a login", "a job", "a sensor reading", "a payment")
    most = draw.integer(3, 8)

    def delays(count: int) -> list[int]:
        return [min(cap, base * factor**i) for i in range(count)]

    grow = f"delay = (delay * {factor}).min({cap});"
    words = f"the first delay is {min(base, cap)}, and every following delay is {factor} times the previous one, but at most {cap}"
    if wanted == "failures":
        return FunctionSpec(
            name=draw.style("waiting_time", "time_lost", "total_wait", "waited"), parameters={"outcomes": "&[bool]"}, returns=f"Option<{kind}>",
            words=[f"Returns the total delay until {thing} succeeds, given the `outcomes` of the attempts. There is one delay after each failed attempt: {words}. Returns `None` if none of the first {most} attempts succeeds.", f"Returns the sum of the delays before the first `true` in `outcomes`, with one delay after each `false`, or `None` if the first {most} outcomes contain no `true`. When {thing} is retried, {words}."],
            forms=[f"let mut delay = {min(base, cap)};\nlet mut total = 0;\nfor &success in outcomes.iter().take({most}) {{\n    if success {{\n        return Some(total);\n    }}\n    total += delay;\n    {grow}\n}}\nNone",
                   f"let failures = outcomes.iter().take({most}).position(|success| *success)?;\nlet mut delay = {min(base, cap)};\nlet mut total = 0;\nfor _ in 0..failures {{\n    total += delay;\n    {grow}\n}}\nSome(total)"],
            oracle=lambda outcomes: sum(delays(outcomes.index(True))) if True in outcomes[:most] else None, inputs=lambda: ([draw.arguments.random() < 0.25 for _ in range(draw.arguments.randint(0, most + 2))],),
        )
    listed = wanted == "list"
    return FunctionSpec(
        name=draw.style("backoff", "retry_delays", "waits", "delays_for") if listed else draw.style("total_delay", "total_backoff", "waiting_time"), parameters={"attempts": "u32"}, returns=f"Vec<{kind}>" if listed else kind,
        words=[f"Returns the {'delays' if listed else 'sum of the delays'} before `attempts` retries of {thing}, one delay before each retry: {words}.", f"{'Lists' if listed else 'Adds up'} the delays for `attempts` retries of {thing}, one per retry; {words}."],
        forms=[f"let mut delays = Vec::new();\nlet mut delay = {min(base, cap)};\nfor _ in 0..attempts {{\n    delays.push(delay);\n    {grow}\n}}\ndelays", f"std::iter::successors(Some({min(base, cap)}), |delay| Some((delay * {factor}).min({cap})))\n    .take(attempts as usize)\n    .collect()"] if listed
        else [f"let mut total = 0;\nlet mut delay = {min(base, cap)};\nfor _ in 0..attempts {{\n    total += delay;\n    {grow}\n}}\ntotal", f"std::iter::successors(Some({min(base, cap)}), |delay| Some((delay * {factor}).min({cap})))\n    .take(attempts as usize)\n    .sum()"],
        oracle=lambda attempts: delays(attempts) if listed else sum(delays(attempts)), inputs=lambda: (draw.arguments.randint(0, 9),),
    )


@family(tier=3)
def vending_machine(draw: Draw) -> Items:
    name, item = draw.choose(("VendingMachine", "drinks"), ("Jukebox", "songs"), ("ParkingMeter", "tickets"), ("CoffeeMachine", "cups"), ("StampBox", "stamps"), ("Arcade", "games"), ("SnackBox", "snacks"), ("PhotoBooth", "photos"), ("Laundry", "washes"), ("Telescope", "views"))
    price, stock, kind = draw.integer(2, 30), draw.integer(1, 4), draw.choose("u32", "u64")
    error = draw.choose("String", "&'static str")
    pay, buy, field = draw.style("insert", "pay", "deposit"), draw.style("buy", "take", "press", "dispense"), draw.style("credit", "inserted", "paid")
    missing = f'Err(format!("{{}} missing", {price} - self.{field}))' if error == "String" else 'Err("not enough money")'
    gone = 'Err("sold out".to_string())' if error == "String" else 'Err("sold out")'
    change = draw.style(f"let change = self.{field} - {price};\nself.{field} = 0;", f"let change = std::mem::take(&mut self.{field}) - {price};")
    add = f"self.{field} += amount;"
    code = fill(
        """
        /// $says
        #[derive(Debug)]
        pub struct $name {
            $field: $kind,
            pub $item: $kind,
        }

        impl $name {
            /// $first
            pub fn new($item: $kind) -> Self {
                Self { $field: 0, $item }
            }

            /// $second
            pub fn $pay(&mut self, amount: $kind) -> $kind {
                $add
                self.$field
            }

            /// $third
            pub fn $buy(&mut self) -> Result<$kind, $error> {
                if self.$item == 0 {
                    return $gone;
                }
                if self.$field < $price {
                    return $missing;
                }
                $change
                self.$item -= 1;
                Ok(change)
            }
        }
        """,
        says=draw.style(f"Sells {item} for {price} each.", f"A machine that sells {item} at a price of {price} each."), name=name, field=field, kind=kind, item=item, pay=pay, buy=buy, error=error, gone=gone, missing=missing, change=change, price=price, add=add,
        first=draw.style(f"Creates a machine with the given number of {item}.", f"Creates a machine stocked with {item} and without any credit."), second=draw.style("Accepts money and returns the total amount paid so far.", "Adds `amount` to the amount already paid and returns the sum."),
        third=draw.style("Sells one item and returns the change, or an error if none is left or too little was paid.", f"Sells one of the {item} and returns the change."),
    )
    few, more = draw.arguments.randint(1, price - 1), draw.arguments.randint(0, 20)
    wrap = (lambda text: f'Err("{text}".to_string())') if error == "String" else (lambda text: f'Err("{text}")')
    begin = f"let mut machine = {name}::new({stock});"
    sold = f" machine.{pay}({price}); let _ = machine.{buy}();" * stock
    return Items(code, [
        Case(f"machine.{pay}({more})", str(few + more), f"{begin} machine.{pay}({few});"),
        Case(f"machine.{buy}()", wrap(f"{price - few} missing" if error == "String" else "not enough money"), f"{begin} machine.{pay}({few});"),
        Case(f"(machine.{buy}(), machine.{item})", f"(Ok({more}), {stock - 1})", f"{begin} machine.{pay}({price + more});"),
        Case(f"machine.{buy}()", wrap("sold out"), begin + sold),
    ])
