//! How shards could meet threads, and what each way costs: prototypes around the real core, on as
//! many cores as there are. What comes of them is what [`crate::model`] reckons with.
//!
//! Times are run times of threads, so that whoever else is at work on the machine is left out, and
//! the least of some rounds.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};
use towel_core::hash::{Hasher, Key};
use towel_core::io::Now;
use towel_core::registrar::{Registrar, Settings};

use crate::rig::Rig;
use crate::scale::{self, FIRST, thread_time};
use crate::work::{Bench, Work};

/// Nanoseconds by what was measured.
pub type Costs = BTreeMap<String, f64>;

/// Rounds of each, of which the least counts.
const ROUNDS: usize = 5;

/// Measures everything.
///
/// # Errors
/// If the system or the server does something else than it should.
pub fn measure(told: &mut dyn FnMut(&str, f64)) -> Result<Costs, String> {
    let mut costs = Costs::new();
    let mut note = |name: &str, value: f64| {
        told(name, value);
        costs.insert(name.into(), value);
    };
    note("lock, nobody else wants it", least(lock_alone));
    for (name, depth) in [("full", 64), ("alone", 1)] {
        let (mut least_from, mut least_to, mut wait) = (f64::MAX, f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            let (from, to, took) = hand_over(depth)?;
            (least_from, least_to) = (least_from.min(from), least_to.min(to));
            wait = wait.min(took);
        }
        note(&format!("hand-over, {name}: who gives"), least_from);
        note(&format!("hand-over, {name}: who takes"), least_to);
        note(&format!("hand-over, {name}: until it is there"), wait);
    }
    for (name, threads, shards, any) in [
        ("call, 1 thread with a shard", 1, 1, false),
        ("call, 2 threads with a shard each", 2, 2, false),
        ("call, 2 threads, 1 shard under a lock", 2, 1, true),
        ("call, 2 threads, any of 2 shards under locks", 2, 2, true),
        ("call, 2 threads, any of 8 shards under locks", 2, 8, true),
        ("call, 2 threads, any of 32 shards under locks", 2, 32, true),
    ] {
        let (mut cost, mut rate) = (f64::MAX, 0f64);
        for _ in 0..ROUNDS {
            let (each, a_second) = calls(threads, shards, any)?;
            (cost, rate) = (cost.min(each), rate.max(a_second));
        }
        note(name, cost);
        note(&format!("{name}: a second"), rate);
    }
    for (name, stripes, readers, writer) in [
        ("look-up, 1 reader, no lock", 0, 1, false),
        ("look-up, 1 reader, 64 stripes", 64, 1, false),
        ("look-up, 2 readers, 1 lock", 1, 2, false),
        ("look-up, 2 readers, 64 stripes", 64, 2, false),
        ("look-up, 1 reader and 1 writer, 1 lock", 1, 1, true),
        ("look-up, 1 reader and 1 writer, 64 stripes", 64, 1, true),
    ] {
        note(name, least(|| look_ups(stripes, readers, writer)));
    }
    for (name, steered, text) in [
        ("datagram, by the flow: response", false, RESPONSE),
        ("datagram, by the filter: response", true, RESPONSE),
        ("datagram, by the flow: request", false, REQUEST),
        ("datagram, by the filter: request", true, REQUEST),
    ] {
        let mut cost = f64::MAX;
        for _ in 0..ROUNDS {
            cost = cost.min(steer(steered, text)?);
        }
        note(name, cost);
    }
    Ok(costs)
}

fn least(mut measure: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| measure()).fold(f64::MAX, f64::min)
}

fn each(took: Duration, count: u64) -> f64 {
    took.as_nanos() as f64 / count.max(1) as f64
}

fn lock_alone() -> f64 {
    const COUNT: u64 = 5_000_000;
    let lock = Mutex::new(0u64);
    let began = thread_time();
    for n in 0..COUNT {
        *std::hint::black_box(&lock).lock().unwrap_or_else(PoisonError::into_inner) += n;
    }
    each(thread_time().saturating_sub(began), COUNT)
}

/// A way from one shard to another: what is handed over, and a bell for a shard that sleeps.
struct Post {
    queue: Mutex<Vec<(Instant, Vec<u8>)>>,
    /// Buffers on their way back.
    empty: Mutex<Vec<Vec<u8>>>,
    rung: AtomicBool,
    bell: EventFd,
}

/// A message of the size that is usual.
const MESSAGE: usize = 700;
/// What may wait to be taken; beyond it the giver waits here, where a server would throw away.
const BOUND: usize = 1024;

/// Hands messages over, `depth` at a time as they are read from a socket; with one at a time the
/// taker sleeps before each. What a message costs who gives and who takes it, and how long it is on
/// its way.
fn hand_over(depth: usize) -> Result<(f64, f64, f64), String> {
    let count: u64 = if depth == 1 { 3_000 } else { 200_000 };
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    let bell = EventFd::from_value_and_flags(0, flags).map_err(|e| e.to_string())?;
    let (queue, empty) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let post = Arc::new(Post { queue, empty, rung: AtomicBool::new(false), bell });
    let theirs = Arc::clone(&post);
    let taker = std::thread::spawn(move || take(&theirs, count));
    let message = [7u8; MESSAGE];
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    let mut spent = Duration::ZERO;
    let mut given = 0;
    while given < count {
        let began = thread_time();
        if buffers.is_empty() {
            buffers.append(&mut post.empty.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let mut waiting = 0;
        for _ in 0..depth.min((count - given) as usize) {
            let mut buffer = buffers.pop().unwrap_or_default();
            buffer.clear();
            buffer.extend_from_slice(std::hint::black_box(&message));
            let mut queue = post.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.push((Instant::now(), buffer));
            waiting = queue.len();
            given += 1;
        }
        if !post.rung.swap(true, Ordering::AcqRel) {
            let _ = post.bell.write(1);
        }
        spent += thread_time().saturating_sub(began);
        // Out of the count: what a server does meanwhile, or while there is no room.
        if depth == 1 || waiting > BOUND {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    let (taken, late) = taker.join().map_err(|_| "the taker failed")?;
    Ok((each(spent, count), each(taken, count), late.as_nanos() as f64))
}

/// Takes so many; the run time of it, and the median of how long they were on their way.
fn take(post: &Post, count: u64) -> (Duration, Duration) {
    let (mut batch, mut late) = (Vec::new(), Vec::with_capacity(count as usize));
    let mut spare = Vec::new();
    let mut sum = 0u64;
    let began = thread_time();
    while (late.len() as u64) < count {
        let mut ready = [PollFd::new(post.bell.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(1000u16)).is_err() {
            continue;
        }
        let _ = post.bell.read();
        post.rung.store(false, Ordering::Release);
        std::mem::swap(&mut batch, &mut *post.queue.lock().unwrap_or_else(PoisonError::into_inner));
        for (given, bytes) in batch.drain(..) {
            late.push(given.elapsed());
            // Whoever handles it reads it.
            sum += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            spare.push(bytes);
        }
        post.empty.lock().unwrap_or_else(PoisonError::into_inner).append(&mut spare);
    }
    std::hint::black_box(sum);
    let spent = thread_time().saturating_sub(began);
    late.sort_unstable();
    (spent, late.get(late.len() / 2).copied().unwrap_or_default())
}

/// Calls of so many threads through so many shards, each under a lock that is taken for each
/// message: of a shard of one's own, or of any. What a call costs, the phones' part included, and how
/// many there were a second.
fn calls(threads: usize, shards: usize, any: bool) -> Result<(f64, f64), String> {
    const CALLS: u32 = 8_000;
    let mut all = Vec::new();
    for _ in 0..shards {
        let (bench, _) = scale::ready(scale::Axis::Live, 0, false)?;
        all.push(Mutex::new(bench.into_server()?));
    }
    let (all, clock, start) = (Arc::new(all), Instant::now(), Arc::new(Barrier::new(threads)));
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (all, start) = (Arc::clone(&all), Arc::clone(&start));
            std::thread::spawn(move || -> Result<(Duration, Duration), String> {
                let rig = Rig::shared(all, clock);
                let mut bench = Bench::on(rig, Work::Call, 1000, FIRST);
                bench.skip(thread as u32 * 1_000_000);
                let mut mixed = thread as u64 + 1;
                let mut spent = Duration::ZERO;
                let mut wall = Duration::ZERO;
                start.wait();
                for turn in 0..2 {
                    let (began, at) = (thread_time(), Instant::now());
                    for _ in 0..CALLS {
                        mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let shard = if any { (mixed >> 33) as usize % shards } else { thread };
                        bench.rig().set_shard(shard);
                        bench.unit()?;
                    }
                    // The first turn warms up.
                    if turn == 1 {
                        (spent, wall) = (thread_time().saturating_sub(began), at.elapsed());
                    }
                }
                Ok((spent, wall))
            })
        })
        .collect();
    let (mut spent, mut wall) = (Duration::ZERO, Duration::ZERO);
    for worker in workers {
        let (own, took) = worker.join().map_err(|_| "a worker failed")??;
        spent += own;
        wall = wall.max(took);
    }
    let count = threads as u64 * u64::from(CALLS);
    Ok((each(spent, count), count as f64 / wall.as_secs_f64()))
}

/// How many addresses of record the look-ups are among.
const AORS: usize = 100_000;

/// Look-ups of bindings that are shared by threads under locks for reading, so many stripes of
/// them, or none where there are no stripes; perhaps beside somebody who registers all the time.
fn look_ups(stripes: usize, readers: usize, writer: bool) -> f64 {
    const COUNT: u64 = 400_000;
    let now = Now { unix: 1_800_000_000, ..Now::default() };
    let Ok(template) = scale::template() else { return f64::NAN };
    let mut out = towel_core::io::Outbox::new();
    let mut tables: Vec<Registrar> =
        (0..stripes.max(1)).map(|_| Registrar::new(Settings::default(), Key(1, 2))).collect();
    let records: Vec<_> =
        (FIRST..FIRST + AORS).map(|user| scale::of_user(&template, user)).collect();
    let place = |aor: &[u8], of: usize| Hasher::new(Key(3, 4)).bytes(aor).finish() as usize % of;
    for record in &records {
        let of = tables.len();
        if let Some(table) = tables.get_mut(place(&record.key, of)) {
            table.load(record, now, &mut out);
            out.clear();
        }
    }
    let look = |table: &Registrar, aor: &[u8]| {
        table.location(aor).lookup(aor, now.unix).map(|binding| binding.uri.len()).sum::<usize>()
    };
    let aor = |n: u64| {
        let at = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        records.get(at as usize % AORS).map_or(&b""[..], |record| &record.key)
    };
    if let (0, Some(table)) = (stripes, tables.first()) {
        let began = thread_time();
        let found: usize = (0..COUNT).map(|n| look(table, aor(n))).sum();
        std::hint::black_box(found);
        return each(thread_time().saturating_sub(began), COUNT);
    }
    let tables: Vec<RwLock<Registrar>> = tables.into_iter().map(RwLock::new).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if writer {
            scope.spawn(|| {
                let mut out = towel_core::io::Outbox::new();
                for record in records.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let table = tables.get(place(&record.key, tables.len()));
                    let Some(table) = table else { return };
                    table
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .load(record, now, &mut out);
                    out.clear();
                    // What a REGISTER takes besides.
                    let until = Instant::now() + Duration::from_micros(5);
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        let all: Vec<_> = (0..readers as u64)
            .map(|reader| {
                let (tables, aor, look) = (&tables, &aor, &look);
                scope.spawn(move || {
                    let began = thread_time();
                    let mut found = 0;
                    for n in 0..COUNT {
                        let aor = aor(n * 2 + reader);
                        if let Some(table) = tables.get(place(aor, tables.len())) {
                            found +=
                                look(&table.read().unwrap_or_else(PoisonError::into_inner), aor);
                        }
                    }
                    std::hint::black_box(found);
                    each(thread_time().saturating_sub(began), COUNT)
                })
            })
            .collect();
        let mut sum = 0.0;
        for one in all {
            sum += one.join().unwrap_or(f64::NAN);
        }
        stop.store(true, Ordering::Relaxed);
        sum / readers as f64
    })
}

const RESPONSE: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKSabcdefghijklmnop\
    qrstuvwxy;rport=5060\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKother\r\n";
const REQUEST: &str = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;\
    branch=z9hG4bKSabcdefghijklmnopqrstuvwxy;rport=5060\r\nMax-Forwards: 70\r\n";

/// A filter of classic BPF, which wants no privilege: of a datagram that is a response, what stands
/// behind the first magic cookie says which socket it is for. All else goes by its addresses.
///
/// The cookie is looked for in the first octets at every place, for a filter knows no loops.
fn filter() -> Vec<libc::sock_filter> {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_OCTET_BY_X: u16 = 0x50;
    const SET_X: u16 = 0x01;
    const JUMP: u16 = 0x05;
    const JUMP_EQUAL: u16 = 0x15;
    const SUBTRACT: u16 = 0x14;
    const RETURN: u16 = 0x06;
    const RETURN_A: u16 = 0x16;
    const FROM: u32 = 24;
    const TO: u32 = 160;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = vec![
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_EQUAL, 1, 0, u32::from_be_bytes(*b"SIP/")),
        step(RETURN, 0, 0, u32::MAX),
    ];
    for place in FROM..TO {
        let left = (TO - place - 1) * 4 + 1;
        program.extend([
            step(LOAD_WORD, 0, 0, place),
            step(JUMP_EQUAL, 0, 2, u32::from_be_bytes(*b"z9hG")),
            step(SET_X, 0, 0, place),
            step(JUMP, 0, 0, left),
        ]);
    }
    program.extend([
        step(RETURN, 0, 0, u32::MAX),
        step(LOAD_OCTET_BY_X, 0, 0, 7),
        step(SUBTRACT, 0, 0, u32::from(b'a')),
        step(RETURN_A, 0, 0, 0),
    ]);
    program
}

/// Two sockets at one address.
fn group(steered: bool) -> Result<[UdpSocket; 2], String> {
    let make = |at: std::net::SocketAddr| -> std::io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        socket.set_reuse_port(true)?;
        socket.bind(&at.into())?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    let first = make(crate::rig::address(0)).map_err(|e| e.to_string())?;
    let at = first.local_addr().map_err(|e| e.to_string())?;
    let second = make(at).map_err(|e| e.to_string())?;
    if steered {
        let mut program = filter();
        let program = libc::sock_fprog {
            len: u16::try_from(program.len()).map_err(|e| e.to_string())?,
            filter: program.as_mut_ptr(),
        };
        setsockopt(&first, sockopt::AttachReusePortCbpf, &program).map_err(|e| e.to_string())?;
    }
    Ok([first, second])
}

/// What it costs to send a datagram to two sockets at one address, and to take it out there. Over
/// the loopback the sender is charged for the filter as well.
fn steer(steered: bool, text: &str) -> Result<f64, String> {
    const COUNT: u64 = 20_000;
    let sockets = group(steered)?;
    let to = sockets[0].local_addr().map_err(|e| e.to_string())?;
    let from = UdpSocket::bind(crate::rig::address(0)).map_err(|e| e.to_string())?;
    from.connect(to).map_err(|e| e.to_string())?;
    let texts = ["a", "b"].map(|shard| text.replacen("z9hG4bKS", &format!("z9hG4bK{shard}"), 1));
    let mut buffer = [0; 2000];
    let mut got = [0u64; 2];
    let began = thread_time();
    for n in 0..COUNT as usize {
        let which = n % 2;
        if let Some(text) = texts.get(which) {
            from.send(text.as_bytes()).map_err(|e| e.to_string())?;
        }
        for at in [which, 1 - which] {
            if let (Some(socket), Some(got)) = (sockets.get(at), got.get_mut(at))
                && let Ok(length) = socket.recv(&mut buffer)
            {
                *got += 1;
                let wrong = steered && text.starts_with("SIP/") && at != which;
                if wrong || length != text.len() {
                    return Err("a datagram came to the wrong socket".into());
                }
                break;
            }
        }
    }
    let took = thread_time().saturating_sub(began);
    if got.iter().sum::<u64>() != COUNT {
        return Err(format!("of {COUNT} datagrams {got:?} came"));
    }
    Ok(each(took, COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_comes_to_the_socket_that_its_branch_names() {
        // It fails where one comes to another.
        steer(true, RESPONSE).unwrap();
        steer(true, REQUEST).unwrap();
        steer(true, &RESPONSE.replace("200 OK", "183 A long reason phrase, as some write it"))
            .unwrap();
    }

    #[test]
    fn everything_handed_over_arrives() {
        hand_over(64).unwrap();
    }

    #[test]
    fn calls_go_through_any_shard() {
        calls(2, 3, true).unwrap();
    }
}
