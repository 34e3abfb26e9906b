// Problems of the compile rate: every function is one. Its prompt is what stands before its body, from the end of the
// function before; its body is a reference that compiles. Each problem stands alone, imports and types included.

/// Adds two numbers, or says that they overflow.
fn checked_sum(a: i32, b: i32) -> Option<i32> {
    a.checked_add(b)
}

/// The greatest common divisor, by Euclid's algorithm.
fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Whether a number is prime.
fn is_prime(number: u32) -> bool {
    number > 1 && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| number % divisor != 0)
}

/// The first `count` Fibonacci numbers.
fn fibonacci(count: usize) -> Vec<u64> {
    let (mut a, mut b) = (0, 1);
    (0..count)
        .map(|_| {
            let found = a;
            (a, b) = (b, a + b);
            found
        })
        .collect()
}

/// The digits of a number in base ten, the most significant first.
fn digits(number: u32) -> Vec<u32> {
    number.to_string().chars().filter_map(|digit| digit.to_digit(10)).collect()
}

/// Raises a base to a power modulo a number.
fn power_modulo(base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let (mut result, mut square) = (1 % modulus, base % modulus);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result = result * square % modulus;
        }
        square = square * square % modulus;
        exponent /= 2;
    }
    result
}

/// The mean of some values; None if there are none.
fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// The median of some values; None if there are none.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The sum of the even numbers.
fn sum_of_even(values: &[i64]) -> i64 {
    values.iter().filter(|value| *value % 2 == 0).sum()
}

/// The largest value and where it first stands.
fn position_of_largest(values: &[i32]) -> Option<(usize, i32)> {
    let largest = *values.iter().max()?;
    values.iter().position(|value| *value == largest).map(|index| (index, largest))
}

/// The values without repetitions, in the order of their first occurrence.
fn without_repetitions(values: &[i32]) -> Vec<i32> {
    let mut seen = std::collections::HashSet::new();
    values.iter().copied().filter(|value| seen.insert(*value)).collect()
}

use std::collections::HashMap;

/// How often each word occurs.
fn count_words(text: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    counts
}

/// The longer of two texts; the first if they are equally long.
fn longer<'a>(first: &'a str, second: &'a str) -> &'a str {
    if second.len() > first.len() { second } else { first }
}

/// The first word of a text, or the empty text.
fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or("")
}

/// The text with its words in the opposite order.
fn reverse_words(text: &str) -> String {
    text.split_whitespace().rev().collect::<Vec<_>>().join(" ")
}

/// Whether a text reads the same in both directions, letters alone and without regard to case.
fn is_palindrome(text: &str) -> bool {
    let letters: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    letters.iter().eq(letters.iter().rev())
}

/// Every letter moved on by `shift` places in the alphabet; everything else stays.
fn caesar_cipher(text: &str, shift: u8) -> String {
    text.chars()
        .map(|character| match character {
            'a'..='z' => ((character as u8 - b'a' + shift % 26) % 26 + b'a') as char,
            'A'..='Z' => ((character as u8 - b'A' + shift % 26) % 26 + b'A') as char,
            other => other,
        })
        .collect()
}

/// Runs of equal characters as the character and its count, "aaab" as "a3b1".
fn run_lengths(text: &str) -> String {
    let mut result = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let mut count = 1;
        while characters.next_if_eq(&character).is_some() {
            count += 1;
        }
        result.push_str(&format!("{character}{count}"));
    }
    result
}

/// The text with the first letter of every word in upper case.
fn title_case(text: &str) -> String {
    let capital = |word: &str| {
        let mut characters = word.chars();
        characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
    };
    text.split(' ').map(capital).collect::<Vec<String>>().join(" ")
}

/// Whether two texts consist of the same letters.
fn are_anagrams(first: &str, second: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(first) == sorted(second)
}

/// The longest text that all of them begin with.
fn common_prefix(texts: &[&str]) -> String {
    let Some(first) = texts.first() else { return String::new() };
    first
        .chars()
        .enumerate()
        .take_while(|(index, character)| texts.iter().all(|text| text.chars().nth(*index) == Some(*character)))
        .map(|(_, character)| character)
        .collect()
}

/// The number that a text of zeros and ones stands for.
fn parse_binary(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 2).ok()
}

/// The Roman numeral of a number.
fn roman_numeral(mut number: u32) -> String {
    let symbols = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
        (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")];
    let mut numeral = String::new();
    for (value, symbol) in symbols {
        while number >= value {
            numeral.push_str(symbol);
            number -= value;
        }
    }
    numeral
}

use std::num::ParseIntError;

/// The sum of the numbers in a text, one per line.
fn sum_of_lines(text: &str) -> Result<i64, ParseIntError> {
    text.lines().map(|line| line.trim().parse::<i64>()).sum()
}

/// Name and value of a setting written as "name = value".
fn parse_setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    Some((name.trim(), value.trim()))
}

#[derive(Debug, PartialEq)]
enum ParseError {
    Empty,
    Invalid(String),
}

/// The age in a text, with the reason if there is none.
fn parse_age(text: &str) -> Result<u8, ParseError> {
    if text.is_empty() {
        return Err(ParseError::Empty);
    }
    text.parse().map_err(|_| ParseError::Invalid(text.to_string()))
}

/// The quotient of two numbers, or a message.
fn divide(dividend: f64, divisor: f64) -> Result<f64, String> {
    if divisor == 0.0 { Err(String::from("division by zero")) } else { Ok(dividend / divisor) }
}

use std::error::Error;

/// The number in a text, whatever goes wrong as a boxed error.
fn read_number(text: &str) -> Result<i32, Box<dyn Error>> {
    let number: i32 = text.trim().parse()?;
    Ok(number)
}

/// All numbers, or None if any text is not one.
fn all_numbers(texts: &[&str]) -> Option<Vec<i32>> {
    texts.iter().map(|text| text.parse().ok()).collect()
}

/// The values that are there.
fn flatten_options(values: Vec<Option<String>>) -> Vec<String> {
    values.into_iter().flatten().collect()
}

#[derive(Debug, Clone, PartialEq)]
struct Point {
    x: f64,
    y: f64,
}

/// How far two points are apart.
fn distance(from: &Point, to: &Point) -> f64 {
    (from.x - to.x).hypot(from.y - to.y)
}

#[derive(Clone, Copy)]
struct Rectangle {
    width: u32,
    height: u32,
}

/// The rectangle with the largest area.
fn largest_rectangle(rectangles: &[Rectangle]) -> Option<Rectangle> {
    rectangles.iter().copied().max_by_key(|each| each.width * each.height)
}

struct Account {
    owner: String,
    balance: i64,
}

/// Moves an amount between accounts; false if there is not enough.
fn transfer(from: &mut Account, to: &mut Account, amount: i64) -> bool {
    if amount < 0 || from.balance < amount {
        return false;
    }
    from.balance -= amount;
    to.balance += amount;
    true
}

struct Person {
    name: String,
    age: u32,
}

/// The names of all who are of age, sorted.
fn names_of_adults(people: &[Person]) -> Vec<String> {
    let mut names: Vec<String> = people.iter().filter(|each| each.age >= 18).map(|each| each.name.clone()).collect();
    names.sort();
    names
}

struct Employee {
    name: String,
    department: String,
    salary: u32,
}

/// The employees' names by their department.
fn names_by_department(employees: &[Employee]) -> std::collections::BTreeMap<&str, Vec<&str>> {
    let mut found = std::collections::BTreeMap::new();
    for employee in employees {
        found.entry(employee.department.as_str()).or_insert_with(Vec::new).push(employee.name.as_str());
    }
    found
}

enum Shape {
    Circle { radius: f64 },
    Rectangle { width: f64, height: f64 },
    Triangle { base: f64, height: f64 },
}

/// The area of a shape.
fn area(shape: &Shape) -> f64 {
    match shape {
        Shape::Circle { radius } => std::f64::consts::PI * radius * radius,
        Shape::Rectangle { width, height } => width * height,
        Shape::Triangle { base, height } => base * height / 2.0,
    }
}

enum Expression {
    Number(i64),
    Sum(Box<Expression>, Box<Expression>),
    Product(Box<Expression>, Box<Expression>),
    Negative(Box<Expression>),
}

/// The value of an expression.
fn evaluate(expression: &Expression) -> i64 {
    match expression {
        Expression::Number(value) => *value,
        Expression::Sum(left, right) => evaluate(left) + evaluate(right),
        Expression::Product(left, right) => evaluate(left) * evaluate(right),
        Expression::Negative(inner) => -evaluate(inner),
    }
}

enum Tree {
    Leaf,
    Node(Box<Tree>, i32, Box<Tree>),
}

/// The tree with a value added, smaller values to the left.
fn insert(tree: Tree, value: i32) -> Tree {
    match tree {
        Tree::Leaf => Tree::Node(Box::new(Tree::Leaf), value, Box::new(Tree::Leaf)),
        Tree::Node(left, here, right) if value < here => Tree::Node(Box::new(insert(*left, value)), here, right),
        Tree::Node(left, here, right) => Tree::Node(left, here, Box::new(insert(*right, value))),
    }
}

enum BinaryTree<T> {
    Empty,
    Node(Box<BinaryTree<T>>, T, Box<BinaryTree<T>>),
}

/// How many levels a tree has.
fn depth<T>(tree: &BinaryTree<T>) -> usize {
    match tree {
        BinaryTree::Empty => 0,
        BinaryTree::Node(left, _, right) => 1 + depth(left).max(depth(right)),
    }
}

struct ListNode {
    value: i32,
    next: Option<Box<ListNode>>,
}

/// The list in the opposite order.
fn reverse_list(mut head: Option<Box<ListNode>>) -> Option<Box<ListNode>> {
    let mut reversed = None;
    while let Some(mut node) = head {
        head = node.next.take();
        node.next = reversed;
        reversed = Some(node);
    }
    reversed
}

enum List {
    Cons(i32, Box<List>),
    Nil,
}

/// The values of a list, from its head.
fn to_vector(list: &List) -> Vec<i32> {
    let (mut values, mut rest) = (Vec::new(), list);
    while let List::Cons(value, next) = rest {
        values.push(*value);
        rest = next;
    }
    values
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Light {
    Red,
    Yellow,
    Green,
}

/// The light that follows.
fn next_light(light: Light) -> Light {
    match light {
        Light::Red => Light::Green,
        Light::Green => Light::Yellow,
        Light::Yellow => Light::Red,
    }
}

trait Animal {
    fn name(&self) -> String;
    fn legs(&self) -> u32;
}

/// The legs of all animals together.
fn total_legs(animals: &[Box<dyn Animal>]) -> u32 {
    animals.iter().map(|animal| animal.legs()).sum()
}

trait Describe {
    fn describe(&self) -> String;
}

/// The descriptions of all, one per line.
fn describe_all<T: Describe>(items: &[T]) -> String {
    items.iter().map(T::describe).collect::<Vec<_>>().join("\n")
}

trait Area {
    fn area(&self) -> f64;
}

/// The one with the larger area.
fn larger<'a>(first: &'a dyn Area, second: &'a dyn Area) -> &'a dyn Area {
    if second.area() > first.area() { second } else { first }
}

use std::fmt::Display;

/// The items between brackets, with commas between them.
fn bracketed<T: Display>(items: &[T]) -> String {
    format!("[{}]", items.iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", "))
}

/// The smallest and the largest item.
fn extremes<T: Ord + Copy>(items: &[T]) -> Option<(T, T)> {
    Some((*items.iter().min()?, *items.iter().max()?))
}

/// Both values, exchanged.
fn exchanged<A, B>(pair: (A, B)) -> (B, A) {
    (pair.1, pair.0)
}

/// The items that fulfil a condition, and those that do not.
fn partition_by<T, F>(items: Vec<T>, condition: F) -> (Vec<T>, Vec<T>)
where
    F: Fn(&T) -> bool,
{
    items.into_iter().partition(|item| condition(item))
}

/// The largest item by a key.
fn largest_by<T, K: Ord>(items: &[T], key: impl Fn(&T) -> K) -> Option<&T> {
    items.iter().max_by_key(|item| key(item))
}

use std::ops::Add;

/// The sum of all items, from a start.
fn total<T: Add<Output = T> + Copy>(items: &[T], start: T) -> T {
    items.iter().fold(start, |sum, item| sum + *item)
}

/// Calls a function so many times, each time on what it returned.
fn repeat<T>(function: impl Fn(T) -> T, times: usize, start: T) -> T {
    (0..times).fold(start, |value, _| function(value))
}

/// A function that adds a number.
fn adder(amount: i32) -> impl Fn(i32) -> i32 {
    move |value| value + amount
}

/// One function that does first one, then the other.
fn compose<A, B, C>(first: impl Fn(A) -> B, second: impl Fn(B) -> C) -> impl Fn(A) -> C {
    move |value| second(first(value))
}

/// A counter: every call gives the next number, from 1.
fn counter() -> impl FnMut() -> u32 {
    let mut count = 0;
    move || {
        count += 1;
        count
    }
}

/// A function for the sign of a calculation, if it is known.
fn operation(sign: char) -> Option<Box<dyn Fn(f64, f64) -> f64>> {
    match sign {
        '+' => Some(Box::new(|a, b| a + b)),
        '-' => Some(Box::new(|a, b| a - b)),
        '*' => Some(Box::new(|a, b| a * b)),
        '/' => Some(Box::new(|a, b| a / b)),
        _ => None,
    }
}

/// All functions' results for one value.
fn apply_all(functions: &[fn(i32) -> i32], value: i32) -> Vec<i32> {
    functions.iter().map(|function| function(value)).collect()
}

/// Adds a line to a text in place.
fn add_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Doubles every number in place.
fn double_all(values: &mut [i32]) {
    for value in values.iter_mut() {
        *value *= 2;
    }
}

/// Removes and returns the odd numbers.
fn take_odd(values: &mut Vec<i32>) -> Vec<i32> {
    let (odd, even): (Vec<i32>, Vec<i32>) = values.drain(..).partition(|value| value % 2 != 0);
    *values = even;
    odd
}

/// A reference to the entry with a name, to change it; made with 0 if it is missing.
fn entry_of<'a>(scores: &'a mut std::collections::HashMap<String, i32>, name: &str) -> &'a mut i32 {
    scores.entry(name.to_string()).or_insert(0)
}

/// The first and the last item, to be changed both.
fn ends(items: &mut [i32]) -> Option<(&mut i32, &mut i32)> {
    match items {
        [first, .., last] => Some((first, last)),
        _ => None,
    }
}

/// The text, in upper case only if it was not.
fn shouted(text: std::borrow::Cow<'_, str>) -> std::borrow::Cow<'_, str> {
    if text.chars().any(char::is_lowercase) { text.to_uppercase().into() } else { text }
}

/// The longest line of a text, with its number from 1.
fn longest_line(text: &str) -> Option<(usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line)).max_by_key(|(_, line)| line.len())
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

/// The next word, which lives as long as the text; None at the end.
fn next_word<'a>(parser: &mut Parser<'a>) -> Option<&'a str> {
    let rest = parser.text[parser.position..].trim_start();
    let start = parser.text.len() - rest.len();
    let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
    parser.position = start + length;
    if length == 0 { None } else { Some(&rest[..length]) }
}

/// The part of a text between two markers.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found)
}

use std::rc::Rc;

/// Two owners of one text.
fn shared(text: String) -> (Rc<String>, Rc<String>) {
    let first = Rc::new(text);
    (Rc::clone(&first), first)
}

use std::cell::RefCell;

/// Adds to a shared list; returns its new length.
fn push_shared(list: &std::rc::Rc<RefCell<Vec<i32>>>, value: i32) -> usize {
    let mut values = list.borrow_mut();
    values.push(value);
    values.len()
}

use std::cell::Cell;

/// Counts a visit and returns the number so far.
fn visit(visits: &Cell<u32>) -> u32 {
    visits.set(visits.get() + 1);
    visits.get()
}

use std::sync::{Arc, Mutex};

/// Counts to `count` in each of some threads, together.
fn count_in_threads(threads: usize, count: usize) -> usize {
    let total = Arc::new(Mutex::new(0));
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            let total = Arc::clone(&total);
            std::thread::spawn(move || {
                for _ in 0..count {
                    *total.lock().unwrap() += 1;
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    let found = *total.lock().unwrap();
    found
}

use std::sync::mpsc;

/// The squares of some numbers, calculated in another thread.
fn squares_from_thread(numbers: Vec<u64>) -> Vec<u64> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for number in numbers {
            sender.send(number * number).unwrap();
        }
    });
    receiver.iter().collect()
}

/// The sum of a slice, its halves added in two threads.
fn parallel_sum(values: &[i64]) -> i64 {
    let (left, right) = values.split_at(values.len() / 2);
    std::thread::scope(|scope| {
        let left = scope.spawn(|| left.iter().sum::<i64>());
        right.iter().sum::<i64>() + left.join().unwrap()
    })
}

/// Where a value stands in a sorted slice.
fn binary_search(values: &[i32], wanted: i32) -> Option<usize> {
    let (mut low, mut high) = (0, values.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match values[middle].cmp(&wanted) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// Sorts a vector by insertion.
fn insertion_sort(values: &mut Vec<i32>) {
    for end in 1..values.len() {
        let mut place = end;
        while place > 0 && values[place - 1] > values[place] {
            values.swap(place - 1, place);
            place -= 1;
        }
    }
}

/// The sorted values, by quicksort.
fn quicksort<T: PartialOrd + Clone>(values: &[T]) -> Vec<T> {
    let Some((pivot, rest)) = values.split_first() else { return Vec::new() };
    let (smaller, larger): (Vec<T>, Vec<T>) = rest.iter().cloned().partition(|value| value < pivot);
    [quicksort(&smaller), vec![pivot.clone()], quicksort(&larger)].concat()
}

/// Two sorted slices as one sorted vector.
fn merge(left: &[i32], right: &[i32]) -> Vec<i32> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut merged = Vec::new();
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a <= b => left.next(),
            (Some(_), None) => left.next(),
            _ => right.next(),
        };
        match next {
            Some(value) => merged.push(*value),
            None => return merged,
        }
    }
}

/// A matrix with rows and columns exchanged.
fn transpose(matrix: &[Vec<i32>]) -> Vec<Vec<i32>> {
    let columns = matrix.first().map_or(0, Vec::len);
    (0..columns).map(|column| matrix.iter().map(|row| row[column]).collect()).collect()
}

/// The product of two matrices of two rows and two columns.
fn multiply(a: [[i64; 2]; 2], b: [[i64; 2]; 2]) -> [[i64; 2]; 2] {
    let mut product = [[0; 2]; 2];
    for (row, column, inner) in (0..8).map(|index| (index / 4, index / 2 % 2, index % 2)) {
        product[row][column] += a[row][inner] * b[inner][column];
    }
    product
}

/// Whether the brackets of a text, round, square and curly, are closed in order.
fn balanced(text: &str) -> bool {
    let mut open = Vec::new();
    for character in text.chars() {
        match character {
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(character) => return false,
            _ => {}
        }
    }
    open.is_empty()
}

/// The value of an expression in reverse Polish notation.
fn reverse_polish(tokens: &[&str]) -> Option<i64> {
    let mut stack: Vec<i64> = Vec::new();
    for token in tokens {
        let value = match *token {
            "+" | "-" | "*" => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                match *token {
                    "+" => left + right,
                    "-" => left - right,
                    _ => left * right,
                }
            }
            number => number.parse().ok()?,
        };
        stack.push(value);
    }
    stack.pop().filter(|_| stack.is_empty())
}

use std::collections::VecDeque;

/// The fewest steps between two places of a graph, given by its neighbours.
fn shortest_path(neighbours: &[Vec<usize>], from: usize, to: usize) -> Option<usize> {
    let mut seen = vec![false; neighbours.len()];
    let mut queue = VecDeque::from([(from, 0)]);
    while let Some((place, steps)) = queue.pop_front() {
        if place == to {
            return Some(steps);
        }
        if !std::mem::replace(&mut seen[place], true) {
            queue.extend(neighbours[place].iter().map(|next| (*next, steps + 1)));
        }
    }
    None
}

use std::collections::BinaryHeap;

/// The `count` largest values, the largest first.
fn largest_values(values: &[i32], count: usize) -> Vec<i32> {
    let mut heap: BinaryHeap<i32> = values.iter().copied().collect();
    std::iter::from_fn(|| heap.pop()).take(count).collect()
}

use std::collections::BTreeSet;

/// What both sets hold, in order.
fn in_both(first: &BTreeSet<String>, second: &BTreeSet<String>) -> Vec<String> {
    first.intersection(second).cloned().collect()
}

/// The map with keys and values exchanged.
fn inverted(map: std::collections::HashMap<String, u32>) -> std::collections::HashMap<u32, String> {
    map.into_iter().map(|(key, value)| (value, key)).collect()
}

/// Pairs of neighbours and their differences.
fn differences(values: &[i32]) -> Vec<i32> {
    values.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The mean of every `size` values after one another.
fn moving_average(values: &[f64], size: usize) -> Vec<f64> {
    if size == 0 {
        return Vec::new();
    }
    values.windows(size).map(|window| window.iter().sum::<f64>() / size as f64).collect()
}

/// The scalar product of two slices; None if they differ in length.
fn scalar_product(a: &[f64], b: &[f64]) -> Option<f64> {
    (a.len() == b.len()).then(|| a.iter().zip(b).map(|(x, y)| x * y).sum())
}

/// Parts of so many items, the last one perhaps shorter.
fn chunked<T: Clone>(items: &[T], size: usize) -> Vec<Vec<T>> {
    items.chunks(size.max(1)).map(<[T]>::to_vec).collect()
}

/// The words of a text with their lengths, the longest first.
fn words_by_length(text: &str) -> Vec<(&str, usize)> {
    let mut words: Vec<(&str, usize)> = text.split_whitespace().map(|word| (word, word.len())).collect();
    words.sort_by(|a, b| b.1.cmp(&a.1));
    words
}

/// The bytes as hexadecimal digits.
fn to_hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many bits are set.
fn count_bits(bytes: &[u8]) -> u32 {
    bytes.iter().map(|byte| byte.count_ones()).sum()
}

/// Red, green and blue of a colour written as "#rrggbb".
fn parse_colour(text: &str) -> Option<(u8, u8, u8)> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let part = |index: usize| u8::from_str_radix(&digits[index..index + 2], 16).ok();
    Some((part(0)?, part(2)?, part(4)?))
}

/// The temperature in degrees Fahrenheit.
fn to_fahrenheit(celsius: f64) -> f64 {
    celsius * 9.0 / 5.0 + 32.0
}

/// The number of days of a month; None if there is no such month.
fn days_in_month(year: u32, month: u32) -> Option<u32> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap { 29 } else { 28 }),
        _ => None,
    }
}

/// The seconds as hours, minutes and seconds, "01:02:03".
fn clock_time(seconds: u32) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What FizzBuzz says to a number.
fn fizz_buzz(number: u32) -> String {
    match (number % 3, number % 5) {
        (0, 0) => "FizzBuzz".to_string(),
        (0, _) => "Fizz".to_string(),
        (_, 0) => "Buzz".to_string(),
        _ => number.to_string(),
    }
}

/// How many steps a number needs to 1: half if it is even, three times and one more if not.
fn collatz_steps(mut number: u64) -> u32 {
    let mut steps = 0;
    while number > 1 {
        number = if number % 2 == 0 { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}

/// All primes up to a limit, by the sieve of Eratosthenes.
fn sieve(limit: usize) -> Vec<usize> {
    let mut is_prime = vec![true; limit + 1];
    (2..=limit)
        .filter(|&number| {
            if is_prime[number] {
                (number * number..=limit).step_by(number).for_each(|multiple| is_prime[multiple] = false);
            }
            is_prime[number]
        })
        .collect()
}

struct Stack<T> {
    items: Vec<T>,
}

/// Takes the top of a stack; None if it is empty.
fn pop<T>(stack: &mut Stack<T>) -> Option<T> {
    stack.items.pop()
}

trait Visitor {
    fn visit(&mut self, value: i32);
}

/// Shows every value to a visitor, the nested ones too.
fn visit_all(values: &[Vec<i32>], visitor: &mut dyn Visitor) {
    values.iter().flatten().for_each(|value| visitor.visit(*value));
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// The version in a text such as "1.20.3".
fn parse_version(text: &str) -> Option<Version> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    let version = Version { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
    parts.next().is_none().then_some(version)
}

/// The newest of some versions, cloned.
fn newest<V: Ord + Clone>(versions: &[V]) -> Option<V> {
    versions.iter().max().cloned()
}

/// The items of an iterator in pairs; a last single one is left out.
fn pairs<I: Iterator>(mut items: I) -> Vec<(I::Item, I::Item)> {
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

/// A text repeated with a separator between.
fn repeated(text: &str, times: usize, separator: &str) -> String {
    vec![text; times].join(separator)
}
