//! Attempts what the sandbox promises to prevent; `self_test.py` compiles it and observes it from outside.
//! Prints `denied: ...` if an attempt fails and `ESCAPED: ...` if it succeeds.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{env, fs, thread};

extern "C" {
    fn fork() -> i32;
    fn setsid() -> i32;
    fn getuid() -> u32;
    fn kill(process: i32, signal: i32) -> i32;
}

fn report<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) {
    match result {
        Ok(_) => println!("ESCAPED: {what}"),
        Err(error) => println!("denied: {what}: {error}"),
    }
}

fn sleep() -> ! {
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let target = arguments.get(2).map_or("", |text| text.as_str());
    match arguments[1].as_str() {
        "read" => report("reading a file", fs::read(target)),
        "list" => report("listing a directory", fs::read_dir(target)),
        "write" => report("writing a file", fs::write(target, "written by the probe")),
        "tcp" => report("a TCP connection", TcpStream::connect(target)),
        "udp" => report(
            "a UDP packet",
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", target)),
        ),
        "unix" => report("a socket of another process", UnixStream::connect(target)),
        "environment" => report("reading a variable", env::var(target)),
        "signal" => match unsafe { kill(target.parse().unwrap(), 0) } {
            0 => println!("ESCAPED: reaching another process"),
            _ => println!("denied: {}", std::io::Error::last_os_error()),
        },
        "root" => match unsafe { getuid() } {
            0 => println!("ESCAPED: running as root"),
            user => println!("denied: running as user {user}"),
        },
        "loop" => loop {
            std::hint::black_box(0);
        },
        "sleep" => sleep(),
        "memory" => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            loop {
                kept.push(vec![1; 16 << 20]);
            }
        }
        "file" => {
            let mut file = fs::File::create("large").unwrap();
            let block = vec![1; 1 << 20];
            for _ in 0..10_240 {
                if let Err(error) = file.write_all(&block) {
                    println!("denied: {error}");
                    return;
                }
            }
            println!("ESCAPED: a file of 10 GiB");
        }
        "files" => {
            for number in 0..target.parse().unwrap() {
                if let Err(error) = fs::write(format!("file{number}"), vec![1; 1 << 20]) {
                    println!("denied: file {number}: {error}");
                    return;
                }
            }
            sleep(); // where the directory is measured from outside, the end comes a moment later
        }
        "output" => loop {
            let _ = std::io::stdout().write_all(&[b'x'; 4096]);
        },
        "threads" => {
            let limit: usize = target.parse().unwrap();
            for number in 0..limit {
                if let Err(error) = thread::Builder::new().spawn(|| sleep()) {
                    println!("denied: thread {number}: {error}");
                    return;
                }
            }
            println!("ESCAPED: {limit} threads");
        }
        "processes" => {
            for number in 0..target.parse().unwrap() {
                match unsafe { fork() } {
                    0 => sleep(),
                    -1 => {
                        println!("denied: process {number}: {}", std::io::Error::last_os_error());
                        return;
                    }
                    _ => {}
                }
            }
            println!("ESCAPED: {target} processes");
        }
        "forkbomb" => loop {
            unsafe { fork() };
        },
        "orphan" => {
            match unsafe { fork() } {
                0 => {
                    unsafe { setsid() };
                    unsafe { fork() };
                    sleep();
                }
                _ => println!("started a session of its own"),
            }
        }
        other => panic!("no such attempt: {other}"),
    }
}
