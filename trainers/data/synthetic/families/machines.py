"""State machines with tables of transitions."""

from trainers.data.synthetic.families.enums import EnumValue, declare
from trainers.data.synthetic.family import Case, Draw, FunctionSpec, Items, family
from trainers.data.synthetic.literals import Err, Ok, Raw
from trainers.data.synthetic.writing import blocks, fill, match_on

MACHINES = (
    ("Turnstile|Gate", "a turnstile", "Locked Coin Unlocked, Unlocked Push Locked, Locked Break Broken, Unlocked Break Broken, Broken Repair Locked"),
    ("Door|Hatch", "a door", "Open Shut Closed, Closed Pull Open, Closed Lock Locked, Locked Unlock Closed"),
    ("Order|Purchase", "an order", "Created Pay Paid, Paid Ship Shipped, Shipped Deliver Delivered, Created Cancel Canceled, Paid Cancel Canceled"),
    ("Connection|Socket|Link", "a connection", "Closed Dial Connecting, Connecting Accept Open, Connecting Refuse Closed, Open Hang Closed"),
    ("Player|Recorder", "a media player", "Stopped Play Playing, Playing Pause Paused, Paused Play Playing, Playing Stop Stopped, Paused Stop Stopped"),
    ("Job|Task", "a background job", "Queued Start Running, Running Finish Done, Running Crash Failed, Failed Retry Queued"),
    ("Lamp|Light", "a dimmable lamp", "Off Press Low, Low Press High, High Press Off, Low Hold Off, High Hold Off"),
    ("Kettle|Boiler", "a kettle", "Empty Fill Cold, Cold Heat Hot, Hot Cool Cold, Hot Pour Empty, Cold Pour Empty"),
    ("Article|Post", "an article", "Draft Submit Review, Review Approve Published, Review Reject Draft, Published Retract Draft"),
    ("Elevator|Lift", "an elevator", "Idle Call Moving, Moving Arrive Boarding, Boarding Close Idle, Moving Halt Stuck, Stuck Reset Idle"),
    ("Phone|Handset", "a telephone", "Resting Ring Ringing, Ringing Answer Talking, Talking Hang Resting, Ringing Ignore Resting"),
    ("Plant|Crop", "a plant", "Seed Water Sprout, Sprout Water Flower, Flower Water Fruit, Fruit Pick Seed, Flower Frost Seed"),
    ("Washer|Dishwasher", "a washing machine", "Ready Start Washing, Washing Rinse Rinsing, Rinsing Spin Spinning, Spinning Finish Ready, Washing Stop Ready"),
    ("Parcel|Shipment", "a parcel", "Packed Collect Transit, Transit Arrive Depot, Depot Load Transit, Depot Hand Received"),
    ("Session|Login", "a session", "Guest Login Active, Active Expire Stale, Stale Refresh Active, Active Logout Guest, Stale Logout Guest"),
    ("Drone|Copter", "a drone", "Landed Launch Hovering, Hovering Go Flying, Flying Brake Hovering, Hovering Land Landed"),
    ("Creature|Monster", "a creature in a game", "Asleep Noise Alert, Alert Sight Hunting, Hunting Lose Alert, Alert Calm Asleep"),
)


class Machine:
    """A table of transitions, with names for its two enums."""

    def __init__(self, draw: Draw):
        names, self.said, rows = draw.choose(*MACHINES)
        self.name = draw.style(*names.split("|"))
        self.rows = [tuple(row.split()) for row in rows.split(", ")]
        self.state = draw.style("State", "Status", f"{self.name}State", "Phase")
        self.event = draw.style("Event", "Input", f"{self.name}Event", "Signal")
        self.states = list(dict.fromkeys(each for first, _, last in self.rows for each in (first, last)))
        self.events = list(dict.fromkeys(event for _, event, _ in self.rows))
        self.table = {(first, event): last for first, event, last in self.rows}
        self.context = blocks(declare(draw, self.state, f"a state of {self.said}", self.states), declare(draw, self.event, f"an event for {self.said}", self.events))
        self.told = "; ".join(f"`{event}` leads from `{first}` to `{last}`" for first, event, last in self.rows)

    def arms(self, good: str, rest: str) -> list[tuple[str, str]]:
        """Return the arms of a `match` on the pair of state and event."""
        listed = [(f"({self.state}::{first}, {self.event}::{event})", good.format(f"{self.state}::{last}")) for first, event, last in self.rows]
        return [*listed, ("_", rest)]

    def draw_events(self, draw: Draw, state: str, length: int) -> list[EnumValue]:
        """Generate events, most of which have a transition in their state."""
        events = []
        for _ in range(length):
            possible = [event for first, event in self.table if first == state]
            event = draw.arguments.choice(possible if possible and draw.arguments.random() < 0.75 else self.events)
            state = self.table.get((state, event), state)
            events.append(EnumValue(f"{self.event}::{event}", event, ()))
        return events


@family(tier=2)
def machine_run(draw: Draw) -> FunctionSpec:
    machine = Machine(draw)
    start, target = draw.choose(*machine.states[:2]), draw.choose(*machine.states[1:])
    wanted = draw.choose("final", "changes", "ignored", "visits", "fails")
    state, event = machine.state, machine.event

    def oracle(events: list[EnumValue]) -> object:
        now, changes, visits = start, 0, 0
        for index, each in enumerate(events):
            after = machine.table.get((now, each.name))
            if after is None and wanted == "fails":
                return Err(index)
            changes += after is not None
            visits += after == target
            now = after or now
        return {"final": Raw(f"{state}::{now}"), "changes": changes, "ignored": len(events) - changes, "visits": visits, "fails": Ok(Raw(f"{state}::{now}"))}[wanted]

    stay = match_on("(state, event)", machine.arms("{}", "state"))
    option = match_on("(state, event)", machine.arms("Some({})", "None"))
    loops = {
        "final": [fill("let mut state = $start;\nfor &event in events {\n    state = $stay;\n}\nstate", start=f"{state}::{start}", stay=stay),
                  fill("events.iter().fold($start, |state, &event| $stay)", start=f"{state}::{start}", stay=stay)],
        "changes": ["if let Some(next) = step {\n    state = next;\n    count += 1;\n}", "let Some(next) = step else {\n    continue;\n};\nstate = next;\ncount += 1;"],
        "ignored": ["match step {\n    Some(next) => state = next,\n    None => count += 1,\n}", "if let Some(next) = step {\n    state = next;\n} else {\n    count += 1;\n}"],
        "visits": [f"if let Some(next) = step {{\n    state = next;\n    if state == {state}::{target} {{\n        count += 1;\n    }}\n}}", f"if step == Some({state}::{target}) {{\n    count += 1;\n}}\nstate = step.unwrap_or(state);"],
        "fails": [fill("let mut state = $start;\nfor (index, &event) in events.iter().enumerate() {\n    state = $arms;\n}\nOk(state)", start=f"{state}::{start}", arms=match_on("(state, event)", machine.arms("{}", "return Err(index)"))),
                  fill("let mut state = $start;\nlet mut index = 0;\nwhile index < events.len() {\n    let event = events[index];\n    let step = $option;\n    match step {\n        Some(next) => state = next,\n        None => return Err(index),\n    }\n    index += 1;\n}\nOk(state)", start=f"{state}::{start}", option=option)],
    }[wanted]
    if wanted in ("changes", "ignored", "visits"):
        loops = [fill("let mut state = $start;\nlet mut count = 0;\nfor &event in events {\n    let step = $option;\n    $after\n}\ncount", start=f"{state}::{start}", option=option, after=each) for each in loops]
    result = {"final": "the final state", "changes": "the number of events that change the state", "ignored": "the number of events that do not change the state", "visits": f"the number of events that lead to `{target}`", "fails": "the final state or, as an error, the index of the first event for which the current state has no transition"}[wanted]
    rest = "" if wanted == "fails" else draw.style(" Other events do not change the state.", " All other events are ignored.")
    return FunctionSpec(
        name={"final": draw.style("run", "final_state", "simulate", "replay"), "changes": draw.style("count_changes", "changes", "transitions"), "ignored": draw.style("count_ignored", "useless_events", "ignored"), "visits": draw.style("count_visits", f"times_{target.lower()}", "visits"), "fails": draw.style("check_events", "try_run", "validate")}[wanted],
        parameters={"events": f"&[{event}]"}, returns={"final": state, "fails": f"Result<{state}, usize>"}.get(wanted, draw.style("usize", "u32")),
        words=[f"Runs {machine.said} that starts in state `{start}` through `events` and returns {result}. The transitions are: {machine.told}.{rest}", f"Simulates {machine.said} that starts in state `{start}` and receives `events`. Returns {result}. {machine.told}.{rest}"],
        forms=loops, oracle=oracle, inputs=lambda: (machine.draw_events(draw, start, draw.arguments.randint(0, 6)),), context=machine.context,
    )


@family(tier=4)
def machine_with_step(draw: Draw) -> FunctionSpec:
    machine = Machine(draw)
    state, event = machine.state, machine.event
    wanted = draw.choose("path", "reaches", "last")
    goal = draw.choose(*machine.states)
    step = draw.style("next_state", "step", "transition", "after")

    def part_oracle(now: EnumValue, happened: EnumValue) -> Raw | None:
        last = machine.table.get((now.name, happened.name))
        return None if last is None else Raw(f"Some({state}::{last})")

    def oracle(first: EnumValue, events: list[EnumValue]) -> object:
        path = [first.name]
        for each in events:
            path.append(machine.table.get((path[-1], each.name), path[-1]))
        return {"path": [Raw(f"{state}::{each}") for each in path], "reaches": goal in path, "last": Raw(f"Some({state}::{path[-1]})") if path[-1] != goal else None}[wanted]

    def start() -> EnumValue:
        name = draw.arguments.choice(machine.states)
        return EnumValue(f"{state}::{name}", name, ())

    def inputs() -> tuple[EnumValue, list[EnumValue]]:
        first = start()
        return first, machine.draw_events(draw, first.name, draw.arguments.randint(0, 5))

    part = FunctionSpec(
        name=step, parameters={"state": state, "event": event}, returns=f"Option<{state}>",
        words=[f"Returns the state to which `event` leads from `state`, or `None` if there is no such transition: {machine.told}.", f"Returns the state after `event` in `state`. All combinations that are not listed here give `None`: {machine.told}."],
        forms=[match_on("(state, event)", machine.arms("Some({})", "None")), fill("let next = $arms;\nSome(next)", arms=match_on("(state, event)", machine.arms("{}", "return None")))],
        oracle=part_oracle, inputs=lambda: (start(), EnumValue(f"{event}::{(name := draw.arguments.choice(machine.events))}", name, ())),
    )
    forms = {
        "path": [f"let mut path = vec![first];\nlet mut state = first;\nfor &event in events {{\n    state = {step}(state, event).unwrap_or(state);\n    path.push(state);\n}}\npath",
                 f"let mut path = Vec::with_capacity(events.len() + 1);\npath.push(first);\nfor (i, &event) in events.iter().enumerate() {{\n    let before = path[i];\n    match {step}(before, event) {{\n        Some(next) => path.push(next),\n        None => path.push(before),\n    }}\n}}\npath"],
        "reaches": [f"let mut state = first;\nfor &event in events {{\n    if state == {state}::{goal} {{\n        return true;\n    }}\n    if let Some(next) = {step}(state, event) {{\n        state = next;\n    }}\n}}\nstate == {state}::{goal}",
                    f"let mut state = first;\nfirst == {state}::{goal}\n    || events.iter().any(|&event| {{\n        state = {step}(state, event).unwrap_or(state);\n        state == {state}::{goal}\n    }})"],
        "last": [f"let last = events\n    .iter()\n    .fold(first, |state, &event| {step}(state, event).unwrap_or(state));\nSome(last).filter(|&state| state != {state}::{goal})",
                 f"let mut state = first;\nfor &event in events {{\n    if let Some(next) = {step}(state, event) {{\n        state = next;\n    }}\n}}\nif state == {state}::{goal} {{\n    None\n}} else {{\n    Some(state)\n}}"],
    }[wanted]
    said = {"path": "Returns the states of {} that receives `events`, beginning with `first` and followed by the state after each event", "reaches": f"Checks whether {{}} that starts in state `first` and receives `events` is ever in state `{goal}`, including at the start", "last": f"Returns the final state of {{}} that starts in state `first` and receives `events`, or `None` if that state is `{goal}`"}[wanted].format(machine.said)
    return FunctionSpec(
        name={"path": draw.style("trace", "history", "path"), "reaches": draw.style("reaches", f"ever_{goal.lower()}", f"becomes_{goal.lower()}"), "last": draw.style("outcome", "last_state", f"unless_{goal.lower()}")}[wanted],
        parameters={"first": state, "events": f"&[{event}]"}, returns={"path": f"Vec<{state}>", "reaches": "bool", "last": f"Option<{state}>"}[wanted],
        words=[f"{said}. An event without a transition leaves the state unchanged.", f"{said}. The state stays the same for an event that has no transition."], forms=forms, oracle=oracle, inputs=inputs, context=machine.context, parts=(part,),
    )


@family(tier=3)
def machine_type(draw: Draw) -> Items:
    machine = Machine(draw)
    name, state, event = machine.name, machine.state, machine.event
    start = draw.choose(*machine.states[:2])
    answer, kept = draw.choose("bool", "Result", "Option"), draw.choose("changes", "rejected", "history", "nothing")
    handle = draw.style("handle", "apply", "on", "fire", "process")
    field = {"changes": draw.style("changes", "steps", "moves"), "rejected": draw.style("rejected", "refused", "errors"), "history": draw.style("history", "visited", "log"), "nothing": ""}[kept]
    kind = f"Vec<{state}>" if kept == "history" else "u32"
    advance = ["self.state = next;", f"self.{field} += 1;" if kept == "changes" else "", f"self.{field}.push(next);" if kept == "history" else ""]
    refuse = f"self.{field} += 1;" if kept == "rejected" else ""
    good = {"bool": "true", "Result": "Ok(next)", "Option": "Some(next)"}[answer]
    wrong = {"bool": "false", "Result": 'Err(format!("{:?} is not possible in {:?}", event, self.state))', "Option": "None"}[answer]
    returned = {"bool": "bool", "Result": f"Result<{state}, String>", "Option": f"Option<{state}>"}[answer]
    advanced = "\n".join(each for each in advance if each)
    taken = draw.style(
        fill("let next = $arms;\n$advanced\n$good", arms=match_on("(self.state, event)", machine.arms("{}", f"{{\n        {refuse}\n        return {wrong};\n    }}" if refuse else f"return {wrong}")), advanced=advanced, good=good),
        fill("let step = $arms;\nmatch step {\n    Some(next) => {\n        $advanced\n        $good\n    }\n    None => $refused,\n}", arms=match_on("(self.state, event)", machine.arms("Some({})", "None")), advanced=advanced, good=good, refused=f"{{\n    {refuse}\n    {wrong}\n}}" if refuse else wrong),
    )
    derives = draw.style("Debug", "Debug, Clone", "Debug, Clone, PartialEq")
    initial = "Vec::new()" if kept == "history" else "0"
    struct = fill("/// $says\n#[derive($derives)]\npub struct $name {\n    state: $state,\n    $field\n}", says=draw.style(f"Models {machine.said}.", f"Models {machine.said} that starts in state `{start}`.", f"A state machine for {machine.said}."), derives=derives, name=name, state=state, field=f"{field}: {kind}," if field else "")
    getter = fill("/// $says\npub fn $field(&self) -> $kind {\n    $body\n}", field=field, kind=f"&[{state}]" if kept == "history" else kind, body=f"&self.{field}" if kept == "history" else f"self.{field}",
                  says={"changes": "Returns the number of transitions so far.", "rejected": "Returns the number of rejected events.", "history": "Returns the states that were entered, in order.", "nothing": ""}[kept]) if field else ""
    constructor = fill("/// $says\npub fn new() -> Self {\n    $body\n}", says=f"Creates a machine in state `{start}`.", body=f"Self {{ state: {state}::{start}, {field}: {initial} }}" if field else f"Self {{ state: {state}::{start} }}")
    handler = fill("/// $says\npub fn $handle(&mut self, event: $event) -> $returned {\n    $taken\n}", handle=handle, event=event, returned=returned, taken=taken,
                   says=draw.style("Handles `event`", "Processes `event`") + {"bool": " and returns whether it caused a transition.", "Result": " and returns the new state, or an error if there is no transition for it.", "Option": " and returns the new state, or `None` if there is no transition for it."}[answer])
    reader = fill("/// $says\npub fn state(&self) -> $state {\n    self.state\n}", says=draw.style("Returns the current state.", "Returns the state the machine is in."), state=state)
    code = blocks(machine.context, struct, fill("impl $name {\n    $methods\n}", name=name, methods=blocks(constructor, handler, reader, getter)))
    cases = []
    for length in (2, 3, 5):
        events, now, changes, path = machine.draw_events(draw, start, length), start, 0, []
        for each in events:
            last = machine.table.get((now, each.name))
            changes += last is not None
            path += [f"{state}::{last}"] if last else []
            before, now = now, last or now
        setup = f"let mut machine = {name}::new();" + "".join(f" machine.{handle}({each.rust});" if answer == "bool" else f" let _ = machine.{handle}({each.rust});" for each in events[:-1])
        final = {"bool": str(last is not None).lower(), "Result": f"Ok({state}::{now})" if last else f'Err("{events[-1].name} is not possible in {before}".to_string())', "Option": f"Some({state}::{now})" if last else "None"}[answer]
        seen = {"changes": str(changes), "rejected": str(length - changes), "history": f"vec![{', '.join(path)}]"}.get(kept)
        owned = f"machine.{field}(){'.to_vec()' if kept == 'history' else ''}"
        cases.append(Case(f"(machine.state(), {owned})" if field else "machine.state()", f"({state}::{now}, {seen})" if field else f"{state}::{now}", f"{setup} let _ = machine.{handle}({events[-1].rust});"))
        cases.append(Case(f"machine.{handle}({events[-1].rust})", final, setup))
    return Items(code, cases)
