//! The client port as a whole: threads, places, and an orderly end. On loopback, on a port that the system picks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use jangada_server::front::{Front, Serves, Shared};
use jangada_server::handle::Handle;
use jangada_server::limits::Limits;
use jangada_server::status::StatusBoard;

use crate::core::{self, Core};

/// A client port with two threads, over a store.
fn open(limits: Limits) -> (Front, SocketAddr) {
    let (handle, inbox) = Handle::new(64, StatusBoard::new(core::status()));
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(core::serve(inbox, Arc::new(Mutex::new(Core::new()))));
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new(Shared::new(handle, limits, address.to_string()));
    (Front::start(vec![(listener, Serves::Everything)], 2, &shared).unwrap(), address)
}

fn ask(stream: &mut TcpStream, line: &str, reply: &str) {
    stream.write_all(line.as_bytes()).unwrap();
    let mut received = vec![0; reply.len()];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(received.escape_ascii().to_string(), reply.as_bytes().escape_ascii().to_string());
}

#[test]
fn connections_on_all_threads_see_one_store() {
    let (front, address) = open(Limits::default());
    let mut clients: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        ask(client, "INCR visits\r\n", &format!(":{}\r\n", number + 1));
    }
    front.stop();
    for mut client in clients {
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
    assert!(TcpStream::connect(address).is_err(), "a stopped server does not listen");
}

/// They are not printed one by one, as an older system did: `/metrics` says how many came and what they asked.
#[test]
fn every_connection_and_every_command_is_counted() {
    let (front, address) = open(Limits::default());
    for _ in 0..3 {
        let mut client = TcpStream::connect(address).unwrap();
        ask(&mut client, "INCR visits\r\nPING\r\n", "");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
    }
    let mut reader = TcpStream::connect(address).unwrap();
    reader.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    reader.read_to_string(&mut page).unwrap();
    for line in [
        "jangada_connections_total 4",
        "jangada_commands_total{command=\"incr\"} 3",
        "jangada_commands_total{command=\"ping\"} 3",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line} is missing:\n{page}");
    }
    front.stop();
}

#[test]
fn too_many_connections_of_one_address_are_turned_away() {
    let (front, address) = open(Limits { connections_per_address: 2, ..Limits::default() });
    let mut first = TcpStream::connect(address).unwrap();
    let mut second = TcpStream::connect(address).unwrap();
    ask(&mut first, "PING\r\n", "+PONG\r\n");
    ask(&mut second, "PING\r\n", "+PONG\r\n");
    let mut told = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "-ERR max number of clients reached\r\n");
    // A place is free again as soon as the server has seen the end of a connection.
    drop(first);
    loop {
        let mut next = TcpStream::connect(address).unwrap();
        next.write_all(b"PING\r\n").unwrap();
        let mut first_byte = [0];
        if next.read_exact(&mut first_byte).is_ok() && first_byte == *b"+" {
            break;
        }
    }
    front.stop();
}

#[test]
fn stopping_with_nobody_there_is_quick() {
    let (front, _) = open(Limits::default());
    front.stop();
}
