//! The process of a candidate: calls the candidate's functions on request and returns their results.
//!
//! A question is the number of a function and its arguments; an answer is `RETURNED` with the result and the values
//! behind `&mut` parameters, `PANICKED` with the message, or `TOO_LONG` if that would be more than `LONGEST_ANSWER`.
//! Each is preceded by its length as u32.

use crate::confinement;
use crate::wire::{Decode, Encode, Input};
use std::any::Any;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};

pub const RETURNED: u8 = 0;
pub const PANICKED: u8 = 1;
pub const TOO_LONG: u8 = 2;
pub const LONGEST_ANSWER: u32 = 256 << 20; // bytes

/// The arguments of a call.
pub struct Question(Input);

impl Question {
    /// The next argument.
    pub fn get<T: Decode>(&mut self) -> T {
        T::decode(&mut self.0).expect("arguments of the signature's types")
    }
}

/// The answer to a call.
pub struct Answer(Vec<u8>);

impl Answer {
    /// The result, then each value behind a `&mut` parameter.
    pub fn put<T: Encode + ?Sized>(&mut self, value: &T) {
        value.encode(&mut self.0);
    }
}

/// Main of the process: serves calls until the channel closes. Each candidate has a function that calls its functions
/// by number.
pub fn serve(candidates: &[fn(u32, &mut Question, &mut Answer)]) {
    confinement::end_with_parent();
    let channel = confinement::own_channel(true);
    let (mut questions, mut answers) = (BufReader::new(channel.input.expect("questions")), channel.output);
    if let Err(error) = confinement::confine() {
        send(&mut answers, error.to_string().as_bytes());
        return;
    }
    send(&mut answers, b"");
    let Some(number) = receive(&mut questions) else { return };
    let candidate = candidates[u32::decode(&mut Input::new(number)).expect("a number") as usize];
    while let Some(bytes) = receive(&mut questions) {
        let mut question = Question(Input::new(bytes));
        let function = question.get();
        let mut answer = Answer(vec![RETURNED]);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| candidate(function, &mut question, &mut answer))) {
            answer.0 = vec![PANICKED];
            message(&*payload).encode(&mut answer.0);
            std::mem::forget(payload); // to drop it would run code of the candidate
        }
        if answer.0.len() > LONGEST_ANSWER as usize {
            answer.0 = vec![TOO_LONG];
        }
        send(&mut answers, &answer.0);
    }
}

/// The message of a panic, and whether it is a literal; None for another payload.
fn message(payload: &(dyn Any + Send)) -> Option<(bool, &str)> {
    let literal = payload.downcast_ref::<&str>().map(|text| (true, *text));
    literal.or_else(|| payload.downcast_ref::<String>().map(|text| (false, text.as_str())))
}

fn receive(questions: &mut BufReader<File>) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    questions.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    questions.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn send(answers: &mut File, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("an answer of less than 4 GiB").to_le_bytes();
    answers.write_all(&[&length, bytes].concat()).expect("somebody who reads");
}
