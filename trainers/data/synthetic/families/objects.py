"""Trait objects: visitors, strategies and collections of boxes."""

import itertools

from trainers.data.synthetic.families.traits import SUBJECTS, linear
from trainers.data.synthetic.family import Case, Draw, Items, family
from trainers.data.synthetic.literals import literal
from trainers.data.synthetic.pieces import quotient
from trainers.data.synthetic.writing import braced, items


@family(tier=4)
def boxed_objects(draw: Draw) -> Items:
    trait, method, ((first, its), (second, other), (third, _)) = draw.choose(*SUBJECTS)
    kind = draw.choose("i32", "i64", "u32", "u64")
    rate, base, rate2, fixed, bound = draw.integer(2, 9), draw.integer(0, 12), draw.integer(2, 9), draw.integer(5, 60), draw.integer(10, 30)
    n, m = draw.arguments.randint(3, 9), draw.arguments.randint(1, 9)
    returns, name, told, forms, compute = draw.choose(
        (kind, draw.style(f"total_{method}", f"sum_of_{method}"), f"Returns the total {method} of all items.", [
            f"all.iter().map(|each| each.{method}()).sum()", f"let mut total = 0;\nfor each in all {{\n    total += each.{method}();\n}}\ntotal",
            f"all.iter().fold(0, |total, each| total + each.{method}())"], sum),
        (f"Option<{kind}>", f"largest_{method}", f"Returns the largest {method}, or `None` if the slice is empty.", [
            f"all.iter().map(|each| each.{method}()).max()",
            f"let mut best = None;\nfor each in all {{\n    best = best.max(Some(each.{method}()));\n}}\nbest"], lambda v: max(v, default=None)),
        ("usize", draw.style("count_above", "how_many_above"), f"Counts the items whose {method} is greater than {bound}.", [
            f"all.iter().filter(|each| each.{method}() > {bound}).count()",
            f"let mut count = 0;\nfor each in all {{\n    if each.{method}() > {bound} {{\n        count += 1;\n    }}\n}}\ncount"], lambda v: sum(x > bound for x in v)),
        (f"Vec<{kind}>", draw.style(f"sorted_by_{method}", f"ordered_{method}"), f"Returns the {method} of every item, sorted in ascending order.", [
            f"let mut result: Vec<{kind}> = all.iter().map(|each| each.{method}()).collect();\nresult.sort();\nresult",
            f"let mut result = Vec::new();\nfor each in all {{\n    result.push(each.{method}());\n}}\nresult.sort_unstable();\nresult"], sorted),
    )
    pieces = {f"{first} {{ {its}: {n} }}": n * rate + base, f"{second} {{ {other}: {m} }}": m * rate2, third: fixed}
    bodies = ((first, linear(rate, base, its)), (second, f"{rate2} * self.{other}"), (third, str(fixed)))
    code = items(
        f"/// {draw.style('Something with a', 'A type that has a', 'Anything with a')} {method}.\n" + braced(f"pub trait {trait}", f"fn {method}(&self) -> {kind};"),
        braced(f"pub struct {first}", f"pub {its}: {kind},"),
        braced(f"pub struct {second}", f"pub {other}: {kind},"),
        f"/// Has a constant {method}{draw.style('', f' of {fixed}')}.\npub struct {third};",
        *[braced(f"impl {trait} for {each}", braced(f"fn {method}(&self) -> {kind}", body)) for each, body in bodies],
        f"/// {told}\n" + braced(f"pub fn {name}(all: &[Box<dyn {trait}>]) -> {returns}", draw.style(*forms)),
    )
    listed = list(pieces)
    cases = []
    for chosen in ([], listed, listed[:1], listed[1:], [listed[2], listed[0], listed[2]]):
        boxed = ", ".join(f"Box::new({each})" for each in chosen)
        cases.append(Case(f"{name}(&all)", literal(compute([pieces[each] for each in chosen]), returns), f"let all: Vec<Box<dyn {trait}>> = vec![{boxed}];"))
    return Items(code, [*cases, Case(f"{listed[0]}.{method}()", str(pieces[listed[0]]))])


@family(tier=4)
def expression_visitor(draw: Draw) -> Items:
    kind = draw.choose("i32", "i64")
    operations = {
        "Add": ("a + b", lambda a, b: a + b, "+"), "Sub": ("a - b", lambda a, b: a - b, "-"), "Mul": ("a * b", lambda a, b: a * b, "*"),
        "Max": ("a.max(b)", max, "^"), "Min": ("a.min(b)", min, "_"), "Mean": ("(a + b) / 2", lambda a, b: quotient(a + b, 2), "~"),
    }
    one, two = draw.choose(*itertools.combinations(operations, 2))
    other, returns, leaf, inner, compute_leaf, compute = draw.choose(
        ("Depth", "usize", "1", "1 + a.max(b)", lambda n: 1, lambda a, b, sign: 1 + max(a, b)), ("Leaves", "usize", "1", "a + b", lambda n: 1, lambda a, b, sign: a + b),
        ("Nodes", "usize", "1", "1 + a + b", lambda n: 1, lambda a, b, sign: 1 + a + b), ("Largest", kind, "number", "a.max(b)", lambda n: n, lambda a, b, sign: max(a, b)),
        ("Show", "String", "number.to_string()", None, str, lambda a, b, sign: f"({a} {sign} {b})"), ("Polish", "String", "number.to_string()", "", str, lambda a, b, sign: f"{sign} {a} {b}"),
    )
    tree, number = draw.style(("Expr", "Number"), ("Node", "Leaf"), ("Term", "Value"), ("Formula", "Constant"))
    visitor, accept = draw.style("Visitor", "Fold", "Walker", "Reader"), draw.style("accept", "walk", "visit", "apply")
    evaluate = draw.style("Evaluate", "Compute", "Calculator", "Eval")

    def bodies(name: str) -> str:
        sign = operations[name][2]
        return inner or (f'format!("({{}} {sign} {{}})", a, b)' if inner is None else f'format!("{sign} {{}} {{}}", a, b)')

    def implement(name: str, output: str, of_leaf: str, of_one: str, of_two: str) -> str:
        unused = "_number" if of_leaf == "1" else "number"
        pair = f"&self, a: {output}, b: {output}"
        return braced(f"impl {visitor} for {name}", f"type Output = {output};", braced(f"fn number(&self, {unused}: {kind}) -> {output}", of_leaf), braced(f"fn {one.lower()}({pair}) -> {output}", of_one), braced(f"fn {two.lower()}({pair}) -> {output}", of_two))

    arms = "".join(f"\n    {tree}::{each}(a, b) => visitor.{each.lower()}(a.{accept}(visitor), b.{accept}(visitor))," for each in (one, two))
    pair = "&self, a: Self::Output, b: Self::Output"
    code = items(
        f"/// {draw.style('A formula as a tree.', 'A tree of arithmetic operations.', 'An arithmetic expression.')}\n"
        + braced(f"pub enum {tree}", f"{number}({kind}),\n{one}(Box<{tree}>, Box<{tree}>),\n{two}(Box<{tree}>, Box<{tree}>),"),
        f"/// {draw.style('Computes a result for every node from the results of its children.', 'Defines what to do at every kind of node.')}\n"
        + braced(f"pub trait {visitor}", "type Output;", f"fn number(&self, number: {kind}) -> Self::Output;", f"fn {one.lower()}({pair}) -> Self::Output;", f"fn {two.lower()}({pair}) -> Self::Output;"),
        braced(f"impl {tree}", "/// Passes every node to the `visitor`, children first, and returns the final result.\n" + braced(f"pub fn {accept}<V: {visitor}>(&self, visitor: &V) -> V::Output", f"match self {{\n    {tree}::{number}(number) => visitor.number(*number),{arms}\n}}")),
        f"/// Computes the value of an expression.\npub struct {evaluate};",
        implement(evaluate, kind, "number", operations[one][0], operations[two][0]),
        f"pub struct {other};",
        implement(other, returns, leaf, bodies(one), bodies(two)),
    )
    pick = draw.arguments

    def grow(depth: int) -> tuple[str, int, object]:
        if depth == 0:
            n = pick.randint(0, 12)
            return f"{tree}::{number}({n})", n, compute_leaf(n)
        name = pick.choice((one, two))
        (left, a, x), (right, b, y) = grow(depth - 1), grow(pick.randint(0, depth - 1))
        return f"{tree}::{name}(Box::new({left}), Box::new({right}))", operations[name][1](a, b), compute(x, y, operations[name][2])

    cases = []
    for depth in (0, 1, 2):
        written, value, figure = grow(depth)
        cases += [Case(f"{written}.{accept}(&{evaluate})", str(value)), Case(f"{written}.{accept}(&{other})", literal(figure, "&str" if returns == "String" else returns))]
    return Items(code, cases)


@family(tier=3)
def strategy_objects(draw: Draw) -> Items:
    trait, method, holder, amount, first, second = draw.choose(
        ("Discount", "reduce", "Checkout", "price", "Percent", "Voucher"), ("Scoring", "score", "Match", "goals", "PerGoal", "Bonus"), ("Routing", "cost", "Trip", "distance", "ByRoad", "ByTrain"),
        ("Growth", "grow", "Colony", "size", "Doubling", "Feeding"), ("Tariff", "bill", "Meter", "usage", "Night", "Day"), ("Damage", "hit", "Fight", "strength", "Sword", "Bow"), ("Fee", "charge", "Account", "amount", "Relative", "Flat"),
    )
    kind = draw.choose("i32", "i64")
    one, two = draw.integer_mapping(kind), draw.integer_mapping(kind)
    change, run = draw.style("set", "switch", "replace", "use_other"), draw.style("run", "result", "compute", "outcome")
    field = draw.style("strategy", "rule", "how", "policy")
    code = items(
        f"/// {draw.style('A strategy that can be replaced at run time.', f'Defines how the {amount} is processed.', 'An interchangeable rule.')}\n" + braced(f"pub trait {trait}", f"fn {method}(&self, {amount}: {kind}) -> {kind};"),
        *[f"/// Returns the {amount} {mapping.participle}.\npub struct {name};\n\n" + braced(f"impl {trait} for {name}", braced(f"fn {method}(&self, {amount}: {kind}) -> {kind}", mapping.on(amount))) for name, mapping in ((first, one), (second, two))],
        f"/// {draw.style('Applies', 'Uses', 'Holds')} a rule that can be replaced.\n" + braced(f"pub struct {holder}", f"{amount}: {kind},\n{field}: Box<dyn {trait}>,"),
        braced(
            f"impl {holder}",
            braced(f"pub fn new({amount}: {kind}, {field}: Box<dyn {trait}>) -> Self", draw.style(f"Self {{ {amount}, {field} }}", f"{holder} {{ {amount}, {field} }}")),
            "/// Replaces the rule.\n" + braced(f"pub fn {change}(&mut self, {field}: Box<dyn {trait}>)", f"self.{field} = {field};"),
            f"/// Applies the rule to the {amount} and returns the result.\n" + braced(f"pub fn {run}(&self) -> {kind}", f"self.{field}.{method}(self.{amount})"),
        ),
    )
    n, m = draw.arguments.randint(3, 30), draw.arguments.randint(31, 70)
    setup = f"let mut held = {holder}::new({n}, Box::new({second}));"
    return Items(code, [
        Case(f"{holder}::new({n}, Box::new({first})).{run}()", str(one(n))), Case(f"{holder}::new({m}, Box::new({second})).{run}()", str(two(m))),
        Case(f"{first}.{method}({m})", str(one(m))), Case(f"held.{run}()", str(one(n)), f"{setup} held.{change}(Box::new({first}));"), Case(f"{second}.{method}(1)", str(two(1))),
    ])
