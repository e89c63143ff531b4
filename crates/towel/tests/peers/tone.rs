//! Tones in WAV files: made for a phone to speak, and looked for in what the other one heard.

use std::{fs, path::Path};

/// Samples a second of everything here: what G.711 carries.
pub(crate) const RATE: u32 = 8000;

/// Writes a tone of `hertz`, long enough for any call of these tests.
pub(crate) fn write(path: &Path, hertz: f64) {
    let samples = (0..RATE * 30).map(|n| {
        let phase = f64::from(n) / f64::from(RATE) * hertz * std::f64::consts::TAU;
        (phase.sin() * 12000.0) as i16
    });
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let size = data.len() as u32;
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(size + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16u32.to_le_bytes());
    for short in [1u16, 1] {
        wav.extend_from_slice(&short.to_le_bytes());
    }
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&(RATE * 2).to_le_bytes());
    for short in [2u16, 16] {
        wav.extend_from_slice(&short.to_le_bytes());
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&size.to_le_bytes());
    wav.extend_from_slice(&data);
    fs::write(path, wav).unwrap();
}

/// For how many seconds of the recording the tone of `hertz` is what is heard.
pub(crate) fn seconds_of(path: &Path, hertz: f64) -> f64 {
    let wav = fs::read(path).unwrap();
    let samples: Vec<f64> = wav
        .get(44..)
        .unwrap_or_default()
        .chunks_exact(2)
        .map(|s| f64::from(i16::from_le_bytes([s[0], s[1]])))
        .collect();
    let window = RATE as usize / 10;
    let heard = samples.chunks_exact(window).filter(|chunk| {
        let energy: f64 = chunk.iter().map(|s| s * s).sum::<f64>() / window as f64;
        // A pure tone has all of its energy at its own frequency: power = amplitude² / 2.
        energy > 1e5 && power_at(chunk, hertz) > 0.7 * energy
    });
    heard.count() as f64 / 10.0
}

/// The mean power at one frequency (Goertzel's way).
fn power_at(chunk: &[f64], hertz: f64) -> f64 {
    let w = hertz / f64::from(RATE) * std::f64::consts::TAU;
    let (mut a, mut b) = (0.0, 0.0);
    for s in chunk {
        (a, b) = (s + 2.0 * w.cos() * a - b, a);
    }
    let n = chunk.len() as f64;
    2.0 * (a * a + b * b - 2.0 * w.cos() * a * b) / (n * n)
}

#[test]
fn a_tone_is_told_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tone.wav");
    write(&path, 440.0);
    assert!(seconds_of(&path, 440.0) > 29.0);
    assert!(seconds_of(&path, 1000.0) < 0.1);
}
