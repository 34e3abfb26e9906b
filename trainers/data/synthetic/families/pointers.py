"""Types on the heap: shared state, lists, trees and copy-on-write."""

import textwrap

from trainers.data.synthetic.families.ownership import KINDS, numbers
from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.writing import braced, items


@family(tier=4)
def shared_state(draw: Draw) -> Items:
    shared, handle, verb, field = draw.choose(
        ("Account", "Card", "spend", "balance"), ("Tank", "Tap", "draw_water", "liters"), ("Journal", "Writer", "record", "entries"), ("Budget", "Department", "use_up", "money"),
        ("Battery", "Device", "run", "charge"), ("Scoreboard", "Player", "report", "points"), ("Kitchen", "Cook", "serve", "plates"), ("Counter", "Button", "press", "clicks"),
    )
    kind, start, limit = draw.choose("i32", "i64"), draw.integer(0, 60), draw.integer(20, 90)
    rate, guard = draw.integer(1, 6), draw.choose("none", "limit", "even")
    grow = draw.choose("+", "-")
    update = f"shared.{field} {grow}= amount{f' * {rate}' if rate > 1 else ''};\nshared.uses += 1;"
    test = {"none": "", "limit": f"if amount > {limit} {{\n    return false;\n}}\n", "even": "if amount % 2 != 0 {\n    return false;\n}\n"}[guard]
    rule = {"none": "", "limit": f" Amounts greater than {limit} are rejected.", "even": " Odd amounts are rejected."}[guard]
    borrow = draw.style("let mut shared = self.shared.borrow_mut();", "let mut shared = RefCell::borrow_mut(&self.shared);")
    clone = draw.style("Rc::clone(shared)", "shared.clone()")
    code = items(
        "use std::cell::RefCell;\nuse std::rc::Rc;",
        f"/// {draw.style('The shared state.', f'State that is shared by every {handle.lower()}.', 'Data with several owners.')}\n#[derive(Debug, Default)]\n" + braced(f"pub struct {shared}", f"pub {field}: {kind},\npub uses: usize,"),
        f"/// {draw.style('A handle to the shared state.', f'Refers to a {shared.lower()} that is shared with others.')}\n" + braced(f"pub struct {handle}", f"shared: Rc<RefCell<{shared}>>,"),
        braced(
            f"impl {handle}",
            braced(f"pub fn new(shared: &Rc<RefCell<{shared}>>) -> Self", f"{handle} {{ shared: {clone} }}"),
            f"/// {'Adds' if grow == '+' else 'Subtracts'} {f'{rate} times ' if rate > 1 else ''}the amount and returns whether it was accepted.{rule}\n" + braced(f"pub fn {verb}(&self, amount: {kind}) -> bool", f"{test}{borrow}\n{update}\ntrue"),
        ),
        f"/// Creates the shared state with an initial value of {start}.\n" + braced(f"pub fn opened() -> Rc<RefCell<{shared}>>", f"Rc::new(RefCell::new({shared} {{ {field}: {start}, uses: 0 }}))"),
    )
    amounts = [*numbers(draw, 3, 1, 40), limit + 1]
    done = [n for n in amounts if guard == "none" or (n <= limit if guard == "limit" else n % 2 == 0)]
    final = start + sum(done) * rate * (1 if grow == "+" else -1)
    make = f"let shared = opened(); let one = {handle}::new(&shared); let two = {handle}::new(&shared);"
    play = " ".join(f"{who}.{verb}({n});" for who, n in zip(("one", "two", "one", "two"), amounts, strict=True))
    return Items(code, [
        Case(f"shared.borrow().{field}", str(start), make), Case(f"shared.borrow().{field}", str(final), f"{make} {play}"), Case("shared.borrow().uses", str(len(done)), f"{make} {play}"),
        Case(f"two.{verb}({amounts[0]})", "true" if amounts[0] in done else "false", make), Case("Rc::strong_count(&shared)", "2", f"{make} drop(one);"),
    ])


@family(tier=4)
def linked_list(draw: Draw) -> Items:
    kind = draw.choose(*KINDS)
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    name, node = draw.style(("Stack", "Node"), ("List", "Cell"), ("Chain", "Link"), ("Pile", "Plate"))
    extra = draw.choose("sum", "count", "reverse", "last", "contains")
    v, m = holds.on("value"), change.on("value")
    walk = "let mut current = &self.head;\nwhile let Some(node) = current {{\n    let value = node.value;\n    {}\n    current = &node.next;\n}}\n"
    own = node.lower()
    walk = walk.replace("(node)", f"({own})").replace("node.", f"{own}.")
    returns, said, body, compute = {
        "sum": (kind, f"Returns the sum of all values, each {change.participle}.", "let mut total = 0;\n" + walk.format(f"total += {m};") + "total", lambda a: str(sum(map(change, a)))),
        "count": ("usize", f"Counts the {holds.plural} among the values.", "let mut count = 0;\n" + walk.format(f"if {v} {{\n        count += 1;\n    }}") + "count", lambda a: str(sum(map(holds, a)))),
        "last": (f"Option<{kind}>", f"Returns the one of the {holds.plural} that was pushed first.", "let mut result = None;\n" + walk.format(f"if {v} {{\n        result = Some(value);\n    }}") + "result", lambda a: literal(next((n for n in a if holds(n)), None), f"Option<{kind}>")),
        "contains": ("bool", f"Returns `true` if any value {holds.clause}.", walk.format(f"if {v} {{\n        return true;\n    }}") + "false", lambda a: literal(any(map(holds, a)), "bool")),
        "reverse": (f"Vec<{kind}>", f"Returns all values from the top down, each {change.participle}.", "let mut result = Vec::new();\n" + walk.format(f"result.push({m});") + "result", lambda a: literal([change(n) for n in reversed(a)], f"Vec<{kind}>")),
    }[extra]
    method = {"sum": draw.style("total", "sum"), "count": "count_" + holds.slug, "last": "lowest", "contains": "has_" + holds.slug, "reverse": draw.style("to_vec", "listed")}[extra]
    push = draw.style(f"let next = self.head.take();\nself.head = Some(Box::new({node} {{ value, next }}));", f"let old = std::mem::take(&mut self.head);\nself.head = Some(Box::new({node} {{ value, next: old }}));")
    pop = draw.style("let top = self.head.take()?;\nself.head = top.next;\nSome(top.value)", "self.head.take().map(|top| {\n    self.head = top.next;\n    top.value\n})", "match self.head.take() {\n    None => None,\n    Some(top) => {\n        self.head = top.next;\n        Some(top.value)\n    }\n}")
    code = items(
        braced(f"struct {node}", f"value: {kind},\nnext: Option<Box<{node}>>,"),
        f"/// {draw.style('A singly linked list whose first value is the one pushed last.', 'A stack of nodes, each of which owns the next.', 'A last-in, first-out list.')}\n#[derive(Default)]\n" + braced(f"pub struct {name}", f"head: Option<Box<{node}>>,"),
        braced(
            f"impl {name}",
            braced("pub fn new() -> Self", draw.style("Self { head: None }", f"{name} {{ head: None }}", "Self::default()")),
            f"/// {draw.style('Pushes a value onto the top.', 'Adds a value to the front.')}\n" + braced(f"pub fn push(&mut self, value: {kind})", push),
            f"/// {draw.style('Removes and returns the top value.', 'Removes the value that was pushed last and returns it.')}\n" + braced(f"pub fn pop(&mut self) -> Option<{kind}>", pop),
            f"/// {said}\n" + braced(f"pub fn {method}(&self) -> {returns}", body),
        ),
    )
    values = numbers(draw, 4, 12, 40)
    fill = f"let mut list = {name}::new(); " + " ".join(f"list.push({n});" for n in values)
    return Items(code, [
        Case("list.pop()", f"Some({values[-1]})", fill), Case(f"list.{method}()", compute(values), fill), Case(f"list.{method}()", compute(values[:2]), f"{fill} list.pop(); list.pop();"),
        Case(f"{name}::new().pop()", "None"), Case("list.pop()", f"Some({values[-2]})", f"{fill} list.pop();"),
    ])


@family(tier=4)
def search_tree(draw: Draw) -> Items:
    kind = draw.choose(*KINDS)
    holds, change = draw.integer_predicate(kind), draw.integer_mapping(kind)
    smaller = draw.choose(True, False)
    sign = "<" if smaller else ">"
    name, node = draw.style(("Tree", "Node"), ("SearchTree", "Branch"), ("Sorted", "Entry"), ("Index", "Knot"))
    extra = draw.choose("depth", "sum", "listed", "count")
    link = f"Option<Box<{node}>>"
    returns, said, call, helper, compute = {
        "depth": ("usize", "Returns the number of levels.", "depth(&self.root)", braced(f"fn depth(link: &{link}) -> usize", "match link {\n    None => 0,\n    Some(node) => 1 + depth(&node.left).max(depth(&node.right)),\n}"), None),
        "sum": (kind, f"Returns the sum of all values, each {change.participle}.", "sum(&self.root)", braced(f"fn sum(link: &{link}) -> {kind}", f"let Some(node) = link else {{\n    return 0;\n}};\nlet value = node.value;\nsum(&node.left) + sum(&node.right) + ({change.on('value')})"), lambda v: sum(map(change, set(v)))),
        "count": ("usize", f"Counts the {holds.plural} among the values.", "count(&self.root)", braced(f"fn count(link: &{link}) -> usize", f"match link {{\n    None => 0,\n    Some(node) => {{\n        let value = node.value;\n        let own = if {holds.on('value')} {{ 1 }} else {{ 0 }};\n        own + count(&node.left) + count(&node.right)\n    }}\n}}"), lambda v: sum(map(holds, set(v)))),
        "listed": (f"Vec<{kind}>", f"Returns all values from left to right, each {change.participle}.", "{\n    let mut result = Vec::new();\n    list(&self.root, &mut result);\n    result\n}", braced(f"fn list(link: &{link}, result: &mut Vec<{kind}>)", f"if let Some(node) = link {{\n    let value = node.value;\n    list(&node.left, result);\n    result.push({change.on('value')});\n    list(&node.right, result);\n}}"), lambda v: [change(n) for n in sorted(set(v), reverse=not smaller)]),
    }[extra]
    if extra == "listed":
        call = textwrap.dedent(call[2:-2])
    method = {"depth": draw.style("depth", "height", "levels"), "sum": "total", "count": "count_" + holds.slug, "listed": draw.style("in_order", "to_vec")}[extra]
    insert = draw.style(
        f"let mut link = &mut self.root;\nwhile let Some(node) = link {{\n    if value == node.value {{\n        return false;\n    }}\n    link = if value {sign} node.value {{ &mut node.left }} else {{ &mut node.right }};\n}}\n*link = Some(Box::new({node} {{ value, left: None, right: None }}));\ntrue",
        f"fn add(link: &mut {link}, value: {kind}) -> bool {{\n    match link {{\n        None => {{\n            *link = Some(Box::new({node} {{ value, left: None, right: None }}));\n            true\n        }}\n        Some(node) if value == node.value => false,\n        Some(node) if value {sign} node.value => add(&mut node.left, value),\n        Some(node) => add(&mut node.right, value),\n    }}\n}}\nadd(&mut self.root, value)",
    )
    contains = f"let mut link = &self.root;\nwhile let Some(node) = link {{\n    if node.value == value {{\n        return true;\n    }}\n    link = if value {sign} node.value {{ &node.left }} else {{ &node.right }};\n}}\nfalse"
    code = items(
        braced(f"struct {node}", f"value: {kind},\nleft: {link},\nright: {link},"), helper,
        f"/// {draw.style('A binary search tree', 'A binary tree of values', 'An unbalanced search tree')} with {'smaller' if smaller else 'larger'} values on the left.\n#[derive(Default)]\n" + braced(f"pub struct {name}", f"root: {link},"),
        braced(
            f"impl {name}", braced("pub fn new() -> Self", draw.style("Self::default()", f"{name} {{ root: None }}")),
            "/// Inserts a value and returns `true` if it was not present before.\n" + braced(f"pub fn insert(&mut self, value: {kind}) -> bool", insert), braced(f"pub fn contains(&self, value: {kind}) -> bool", contains),
            f"/// {said}\n" + braced(f"pub fn {method}(&self) -> {returns}", call),
        ),
    )
    values = numbers(draw, 6, 12, 40)

    def depth(numbers: list[int]) -> int:
        root, *rest = numbers or [0]
        return 1 + max(depth([n for n in rest if n < root]), depth([n for n in rest if n > root])) if numbers else 0

    compute = compute or depth

    def fill(size):
        return f"let mut tree = {name}::new(); for value in {values[:size]} {{ tree.insert(value); }}"

    return Items(code, [*(Case(f"tree.{method}()", literal(compute(values[:size]), returns), fill(size)) for size in (1, 3, 6)), Case(f"tree.contains({values[2]})", "true", fill(4)), Case("tree.contains(50)", "false", fill(6)), Case(f"tree.insert({values[1]})", "false", fill(3))])


@family(tier=3)
def copy_on_write(draw: Draw) -> Items:
    name, field, verb = draw.choose(("Document", "lines", "edit"), ("Playlist", "songs", "add_song"), ("Snapshot", "values", "record"), ("Palette", "colors", "paint"), ("Route", "stops", "extend"), ("Inventory", "parts", "stock"), ("History", "moves", "play"))
    kind = draw.choose(*KINDS)
    change, holds = draw.integer_mapping(kind), draw.integer_predicate(kind)
    pointer = draw.choose("Rc", "Arc")
    path = {"Rc": "std::rc::Rc", "Arc": "std::sync::Arc"}[pointer]
    update = draw.choose("push", "map", "retain")
    parameters, call, body, compute, said = {
        "push": (f", value: {kind}", lambda n: f"({n})", f"{pointer}::make_mut(&mut self.{field}).push({change.on('value')});", lambda v, n: [*v, change(n)], f"Appends `value`, {change.participle}"),
        "map": ("", lambda n: "()", f"for each in {pointer}::make_mut(&mut self.{field}) {{\n    let value = *each;\n    *each = {change.on('value')};\n}}", lambda v, n: [change(x) for x in v], f"Replaces every number with itself {change.participle}"),
        "retain": ("", lambda n: "()", f"{pointer}::make_mut(&mut self.{field}).retain(|&value| {holds.on('value')});", lambda v, n: [x for x in v if holds(x)], f"Keeps only the {holds.plural}"),
    }[update]
    verb = draw.style(verb, "change", "update")
    code = items(
        f"use {path};",
        f"/// {draw.style('Clones are cheap because they share their numbers until one of them changes.', 'Shares its contents with its clones.', 'Copies its contents only when they are modified.')}\n#[derive(Debug, Clone, PartialEq)]\n" + braced(f"pub struct {name}", f"{field}: {pointer}<Vec<{kind}>>,"),
        braced(
            f"impl {name}", braced(f"pub fn new({field}: Vec<{kind}>) -> Self", f"{name} {{ {field}: {pointer}::new({field}) }}"),
            f"/// {said}{draw.style('', ' without affecting any clones', ', in this instance only')}.\n" + braced(f"pub fn {verb}(&mut self{parameters})", body),
            f"/// {draw.style('Returns the contents as a slice.', 'Returns the numbers.')}\n" + braced(f"pub fn {field}(&self) -> &[{kind}]", f"&self.{field}"),
            "/// Returns `true` if both refer to the same numbers in memory.\n" + braced("pub fn shares_with(&self, other: &Self) -> bool", f"{pointer}::ptr_eq(&self.{field}, &other.{field})"),
        ),
    )
    values, n = numbers(draw, 4, 10, 40), draw.arguments.randint(10, 30)
    begin = f"let mut one = {name}::new(vec!{values}); let two = one.clone();"
    changed = literal(compute(values, n), f"Vec<{kind}>")
    return Items(code, [Case("one.shares_with(&two)", "true", begin.replace("mut ", "")), Case("one.shares_with(&two)", "false", f"{begin} one.{verb}{call(n)};"), Case(f"one.{field}().to_vec()", changed, f"{begin} one.{verb}{call(n)};"), Case(f"two.{field}().to_vec()", f"vec!{values}", f"{begin} one.{verb}{call(n)};")])
