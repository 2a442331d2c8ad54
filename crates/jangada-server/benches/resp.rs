//! What reading a command costs: a pipelined `SET` of 256 bytes, as redis-benchmark sends it.
//!
//! `cargo bench -p jangada-server --bench resp`

#![allow(missing_docs, reason = "criterion's macros write functions without any")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jangada_server::limits::Limits;
use jangada_server::resp::commands::Spec;
use jangada_server::resp::parser::{Parser, Step};

fn parse(criterion: &mut Criterion) {
    let value = "v".repeat(256);
    let one = format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$256\r\n{value}\r\n");
    let stream = one.repeat(64).into_bytes();
    let mut group = criterion.benchmark_group("resp");
    group.throughput(Throughput::Elements(64));
    group.bench_function("parse 64 SETs", |bencher| {
        let mut parser = Parser::new(&Limits::default());
        bencher.iter(|| {
            let mut rest = black_box(&stream[..]);
            while let Ok(Some(Step::Array { consumed })) = parser.step(rest) {
                black_box(parser.arguments(rest).len());
                rest = &rest[consumed..];
            }
            assert!(rest.is_empty());
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("find a command", |bencher| {
        bencher.iter(|| Spec::find(black_box(b"SET")).is_some());
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
