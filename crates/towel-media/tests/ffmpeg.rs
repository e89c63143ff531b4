//! Real packets between a session and ffmpeg over loopback: every codec, plain and protected, both
//! ways; and G.722 held against ffmpeg's bit for bit.
//!
//! Where ffmpeg is not installed the tests say so and pass, unless `TOWEL_REQUIRE_PEERS=1`.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use towel_media::audio::{Detector, Player, Recorder, Silence, Sink, Source, Tone};
use towel_media::codec::{Codec, Decoder, Encoder, g722};
use towel_media::session::{Channel, Config, Keys, Outbox, Session, Stream};
use towel_media::srtp::{CryptoLine, Suite};
use towel_media::{Instant, Random};

fn ffmpeg() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("ffmpeg")).find(|p| p.is_file());
    if found.is_none() {
        let required = std::env::var("TOWEL_REQUIRE_PEERS").is_ok_and(|v| v == "1");
        assert!(!required, "ffmpeg is not installed and TOWEL_REQUIRE_PEERS=1");
        eprintln!("skipped: ffmpeg is not installed");
    }
    found
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two sockets side by side, RTP on the even port (RFC 3550 section 11).
fn sockets() -> [UdpSocket; 2] {
    for _ in 0..200 {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port();
        if !port.is_multiple_of(2) || port == u16::MAX {
            continue;
        }
        if let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1)) {
            return [rtp, rtcp];
        }
    }
    panic!("no two ports side by side")
}

const KEY: [u8; 30] = [42; 30];

fn stream(codec: Codec, remote: SocketAddr, protected: bool) -> Stream {
    let number = match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::G722 => 9,
        Codec::Opus => 97,
    };
    let line = CryptoLine::new(1, Suite::AesCm128HmacSha1_80, &KEY);
    let keys = protected.then(|| Keys { ours: line.clone(), theirs: line });
    Stream { keys, ..Stream::of(codec, number, remote) }
}

/// The key as ffmpeg takes it.
fn key() -> String {
    let line = CryptoLine::new(1, Suite::AesCm128HmacSha1_80, &KEY).value();
    line.split("inline:").nth(1).unwrap().to_owned()
}

/// Drives a session in real time until `done`, at most half a minute.
fn drive(
    session: &mut Session,
    sockets: &[UdpSocket; 2],
    source: &mut dyn Source,
    mut done: impl FnMut(&[i16], Instant) -> bool,
) {
    let begun = std::time::Instant::now();
    let now = || Instant(begun.elapsed().as_micros() as u64);
    let rate = session.rate() as usize;
    let (mut out, mut played) = (Outbox::new(), 0);
    let mut bytes = [0; 2000];
    sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    while now() < Instant(30_000_000) {
        for (socket, channel) in sockets.iter().zip([Channel::Rtp, Channel::Rtcp]) {
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                session.receive(now(), channel, from, &mut bytes[..length], &mut out);
            }
        }
        session.poll(now(), source, &mut out);
        for (channel, to, packet) in out.packets() {
            let _ = sockets[usize::from(channel == Channel::Rtcp)].send_to(packet, to);
        }
        out.clear();
        while played < now().0 / 20_000 {
            played += 1;
            let mut frame = vec![0; rate / 50];
            session.play(now(), &mut frame);
            if done(&frame, now()) {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("30 s are over: {:?}", session.stats());
}

fn config() -> Config {
    Config { rate: 16_000, cname: "towel".into(), seed: 42, ..Config::default() }
}

/// How ffmpeg makes what the codec needs.
fn encoding(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::Pcmu => &["-ar", "8000", "-c:a", "pcm_mulaw"],
        Codec::Pcma => &["-ar", "8000", "-c:a", "pcm_alaw"],
        Codec::G722 => &["-ar", "16000", "-c:a", "g722"],
        Codec::Opus => &["-ar", "48000", "-c:a", "libopus", "-b:a", "32k", "-payload_type", "97"],
    }
}

fn hears(codec: Codec, protected: bool) {
    let Some(ffmpeg) = ffmpeg() else { return };
    let sockets = sockets();
    let port = sockets[0].local_addr().unwrap().port();
    let mut command = Command::new(ffmpeg);
    command.args(["-nostdin", "-loglevel", "error", "-re", "-f", "lavfi"]);
    command.args(["-i", "sine=frequency=520:sample_rate=48000", "-t", "20", "-ac", "1"]);
    command.args(encoding(codec));
    if protected {
        command.args(["-srtp_out_suite", "AES_CM_128_HMAC_SHA1_80", "-srtp_out_params", &key()]);
    }
    let scheme = if protected { "srtp" } else { "rtp" };
    command.args(["-f", "rtp", &format!("{scheme}://127.0.0.1:{port}?pkt_size=172")]);
    let _running = Running(command.stdout(Stdio::null()).spawn().unwrap());
    // Where ffmpeg sends from is not known before: symmetric RTP finds it.
    let remote = "127.0.0.1:9".parse().unwrap();
    let mut session = Session::new(config(), stream(codec, remote, protected), Instant(0)).unwrap();
    let mut detector = Detector::new(16_000, 520.0);
    drive(&mut session, &sockets, &mut Silence, |frame, _| {
        detector.hear(frame);
        detector.heard().longest >= Duration::from_secs(2)
    });
    let stats = session.stats();
    assert_eq!((stats.counts.unauthentic, stats.counts.undecodable), (0, 0), "{stats:?}");
    assert_ne!(stats.remote, remote);
}

#[test]
fn it_hears_pcmu() {
    hears(Codec::Pcmu, false);
}

#[test]
fn it_hears_pcma_protected() {
    hears(Codec::Pcma, true);
}

#[test]
fn it_hears_g722() {
    hears(Codec::G722, false);
}

#[test]
fn it_hears_opus() {
    hears(Codec::Opus, false);
}

fn is_heard(codec: Codec, protected: bool) {
    let Some(ffmpeg) = ffmpeg() else { return };
    // ffmpeg takes this port and the next one.
    let port = sockets()[0].local_addr().unwrap().port();
    let folder = std::env::temp_dir().join(format!("towel-media-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let number = stream(codec, "127.0.0.1:9".parse().unwrap(), false).codecs[0].send;
    let name = match codec {
        Codec::Opus => "opus/48000/2".to_owned(),
        codec => format!("{}/8000", codec.name()),
    };
    let (profile, crypto) = match protected {
        true => {
            let line = CryptoLine::new(1, Suite::AesCm128HmacSha1_80, &KEY).value();
            ("RTP/SAVP", format!("a=crypto:{line}\r\n"))
        }
        false => ("RTP/AVP", String::new()),
    };
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} {profile} {number}\r\na=rtpmap:{number} {name}\r\n{crypto}"
    );
    std::fs::write(folder.join("in.sdp"), sdp).unwrap();
    let mut command = Command::new(ffmpeg);
    command.current_dir(&folder).args(["-nostdin", "-loglevel", "error", "-y"]);
    command.args(["-protocol_whitelist", "file,udp,rtp,srtp,crypto", "-i", "in.sdp"]);
    command.args(["-t", "3", "-ac", "1", "-ar", "16000", "out.wav"]);
    let mut running = Running(command.stdout(Stdio::null()).spawn().unwrap());
    let sockets = sockets();
    let remote = SocketAddr::from(([127, 0, 0, 1], port));
    let mut session = Session::new(config(), stream(codec, remote, protected), Instant(0)).unwrap();
    let mut tone = Tone::new(16_000, &[520.0], -15.0);
    drive(&mut session, &sockets, &mut tone, |_, _| running.0.try_wait().unwrap().is_some());
    let file = std::fs::File::open(folder.join("out.wav")).unwrap();
    let mut heard = vec![0; 16_000 * 3];
    let count = Player::new(std::io::BufReader::new(file), 16_000, false).unwrap().fill(&mut heard);
    let mut detector = Detector::new(16_000, 520.0);
    detector.hear(&heard[..count]);
    let heard = detector.heard();
    assert!(heard.longest >= Duration::from_millis(2000), "{heard:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn its_pcmu_is_heard_protected() {
    is_heard(Codec::Pcmu, true);
}

#[test]
fn its_pcma_is_heard() {
    is_heard(Codec::Pcma, false);
}

#[test]
fn its_g722_is_heard() {
    is_heard(Codec::G722, false);
}

#[test]
fn its_opus_is_heard() {
    is_heard(Codec::Opus, false);
}

/// Has ffmpeg make one file of another.
fn convert(input: &[u8], from: &[&str], to: &[&str]) -> Option<Vec<u8>> {
    let ffmpeg = ffmpeg()?;
    let name = format!("towel-media-{}-{:?}", std::process::id(), std::thread::current().id());
    let folder = std::env::temp_dir().join(name.replace(['(', ')'], ""));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("in"), input).unwrap();
    let mut command = Command::new(ffmpeg);
    command.current_dir(&folder).args(["-nostdin", "-loglevel", "error", "-y"]);
    let status = command.args(from).args(["-i", "in"]).args(to).arg("out").status().unwrap();
    assert!(status.success());
    let out = std::fs::read(folder.join("out")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    Some(out)
}

#[test]
fn g722_is_the_same_bit_for_bit() {
    // Tones, noise and silence.
    let mut random = Random::new(5);
    let mut samples = vec![0i16; 48_000];
    Tone::new(16_000, &[440.0, 3100.0, 5200.0], -12.0).fill(&mut samples[..16_000]);
    samples[16_000..32_000].iter_mut().for_each(|s| *s = (random.bits() >> 50) as i16 - 8192);
    let raw: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let pcm = ["-f", "s16le", "-ar", "16000", "-ac", "1"];
    let Some(theirs) = convert(&raw, &pcm, &["-c:a", "g722", "-f", "g722"]) else { return };
    let mut ours = Vec::new();
    g722::Encoder::default().encode(&samples, &mut ours);
    assert_eq!(ours.len(), 24_000);
    let same = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
    assert_eq!(same, ours.len(), "encoder: {same} of {}", ours.len());
    // Noise as bytes reaches all codes.
    let bytes: Vec<u8> = (0..24_000).map(|_| random.bits() as u8).chain(theirs).collect();
    let raw = ["-f", "s16le"];
    let Some(theirs) = convert(&bytes, &["-f", "g722"], &raw) else { return };
    let theirs: Vec<i16> =
        theirs.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b)).collect();
    let mut ours = Vec::new();
    g722::Decoder::default().decode(&bytes, &mut ours);
    assert_eq!(ours.len(), theirs.len());
    let same = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
    assert_eq!(same, ours.len(), "decoder: {same} of {}", ours.len());
}

#[test]
fn g711_is_the_same_bit_for_bit() {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let raw: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let pcm = ["-f", "s16le", "-ar", "8000", "-ac", "1"];
    for (codec, name, format) in
        [(Codec::Pcmu, "pcm_mulaw", "mulaw"), (Codec::Pcma, "pcm_alaw", "alaw")]
    {
        let Some(theirs) = convert(&raw, &pcm, &["-c:a", name, "-f", format]) else { return };
        let mut ours = Vec::new();
        for part in samples.chunks(160) {
            Encoder::new(codec, 8000).unwrap().encode(part, &mut ours).unwrap();
        }
        // ffmpeg takes the nearest level. G.711 has its own borders where the step doubles.
        let (mut decoded, mut other) = (Vec::new(), Vec::new());
        for (bytes, out) in [(&ours, &mut decoded), (&theirs, &mut other)] {
            let mut decoder = Decoder::new(codec, 8000).unwrap();
            bytes.chunks(160).for_each(|part| decoder.decode(part, out).unwrap());
        }
        for ((sample, a), b) in samples.iter().zip(&decoded).zip(&other) {
            let error = |x: i16| (i32::from(x) - i32::from(*sample)).abs();
            assert!(error(*a) <= error(*b) + 16 + error(0) / 60, "{codec:?} {sample}: {a} {b}");
        }
        let all: Vec<u8> = (0..=255).collect();
        let raw = ["-f", "s16le"];
        let from = ["-f", format, "-ar", "8000"];
        let Some(theirs) = convert(&all, &from, &raw) else { return };
        let mut ours = Vec::new();
        Decoder::new(codec, 8000).unwrap().decode(&all, &mut ours).unwrap();
        let ours: Vec<u8> = ours.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(ours, theirs, "{codec:?}");
    }
}

/// What a recorder writes, ffmpeg reads.
#[test]
fn its_wav_file_is_read() {
    let mut file = std::io::Cursor::new(Vec::new());
    let mut recorder = Recorder::new(&mut file, 8000, 1 << 20).unwrap();
    recorder.take(&[1, -2, 300]);
    recorder.finish().unwrap();
    let Some(raw) = convert(&file.into_inner(), &[], &["-f", "s16le"]) else { return };
    assert_eq!(raw, [1, 0, 0xfe, 0xff, 44, 1]);
}
