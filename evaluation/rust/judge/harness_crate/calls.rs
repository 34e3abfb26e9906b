//! Calls of the candidate's process from the process of the tests. Only its answers are used, and they are checked.

use crate::checks::{end, End};
use crate::serving::{LONGEST_ANSWER, PANICKED, RETURNED, TOO_LONG};
use crate::wire::{Decode, Encode, Input, Update};
use std::io::{BufReader, Read, Write};
use std::panic::{panic_any, resume_unwind};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

struct Candidate {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

static CANDIDATE: Mutex<Option<Candidate>> = Mutex::new(None);

/// Starts the candidate's process, before this one is confined. Its first message is why it cannot confine itself.
pub fn start(program: &str, number: u32) {
    let mut process = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process for the candidate");
    let questions = process.stdin.take().expect("its input");
    let answers = BufReader::new(process.stdout.take().expect("its output"));
    let mut candidate = Candidate { process, questions, answers };
    match candidate.receive() {
        Some(reason) if reason.is_empty() => candidate.send(&number.to_le_bytes()),
        Some(reason) => end(End::Unconfined(String::from_utf8_lossy(&reason).into_owned())),
        None => candidate.died(),
    }
    *CANDIDATE.lock().unwrap_or_else(PoisonError::into_inner) = Some(candidate);
}

impl Candidate {
    fn send(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("arguments of less than 4 GiB").to_le_bytes();
        if self.questions.write_all(&[&length, bytes].concat()).is_err() {
            self.died();
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.answers.read_exact(&mut length).ok()?;
        let length = u32::from_le_bytes(length);
        if length > LONGEST_ANSWER {
            end(End::Garbled);
        }
        // Memory is allocated for received bytes only, not for the announced length.
        let mut bytes = Vec::new();
        (&mut self.answers).take(length.into()).read_to_end(&mut bytes).ok()?;
        (bytes.len() == length as usize).then_some(bytes)
    }

    fn died(&mut self) -> ! {
        use std::os::unix::process::ExitStatusExt;
        let status = self.process.wait().expect("a child to wait for");
        end(End::Died(status.signal().map_or(status.code().unwrap_or(0), |signal| -signal)))
    }
}

/// One call of a function of the candidate.
pub struct Call(Vec<u8>);

impl Call {
    /// A call of the function with this number.
    pub fn new(function: u32) -> Call {
        Call(function.to_le_bytes().to_vec())
    }

    /// Adds the next argument.
    pub fn put<T: Encode + ?Sized>(&mut self, argument: &T) {
        argument.encode(&mut self.0);
    }

    /// Makes the call. A panic of the candidate becomes a panic here, with the same message.
    pub fn ask(self) -> Returned {
        let answer = {
            let mut connection = CANDIDATE.lock().unwrap_or_else(PoisonError::into_inner);
            let candidate = connection.as_mut().expect("a candidate that was started");
            candidate.send(&self.0);
            candidate.receive().unwrap_or_else(|| candidate.died())
        };
        let mut input = Input::new(answer);
        match u8::decode(&mut input) {
            Some(RETURNED) => Returned(input),
            Some(PANICKED) => match believed(Option::<(bool, String)>::decode(&mut input)) {
                Some((true, literal)) => resume_unwind(Box::new(&*literal.leak())),
                Some((false, text)) => resume_unwind(Box::new(text)),
                None => panic_any(()),
            },
            Some(TOO_LONG) => end(End::TooLong),
            _ => end(End::Garbled),
        }
    }
}

/// The answer to a call.
pub struct Returned(Input);

impl Returned {
    /// The result.
    pub fn get<T: Decode>(&mut self) -> T {
        believed(T::decode(&mut self.0))
    }

    /// The next value behind a `&mut` parameter.
    pub fn update<T: Update + ?Sized>(&mut self, place: &mut T) {
        believed(place.update(&mut self.0));
    }
}

fn believed<T>(value: Option<T>) -> T {
    value.unwrap_or_else(|| end(End::Garbled))
}
