//! Frames from lines.
//!
//! ```text
//! 3a02            the limits, each one of a few, and how the stream is cut into pieces
//! 01 Hello        two hexadecimal digits are the first byte: FIN, the reserved bits and the opcode
//! 00u there       letters behind them are how the frame is written, see `frame`
//! 80# 21 e2 82    with `#` the payload is hexadecimal too
//! ```

/// What a reader is made with, and how its stream ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) max_bytes: usize,
    pub(super) max_fragments: usize,
    pub(super) control_frames: u32,
    pub(super) takes_binary: bool,
    /// The stream ends in an error.
    pub(super) fails: bool,
}

pub(super) struct Script {
    pub(super) setup: Setup,
    pub(super) stream: Vec<u8>,
    cut: u8,
}

impl Script {
    pub(super) fn read(data: &[u8]) -> Self {
        let mut lines = data.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let choice = |n: usize| first.get(n).map_or(0, |byte| hex(*byte));
        let setup = Setup {
            max_bytes: [125, 0, 1, 5, 20, 126, 200, 65_536, 70_000][usize::from(choice(0)) % 9],
            max_fragments: [8, 0, 1, 2, 3][usize::from(choice(1)) % 5],
            control_frames: [100, 0, 1, 3][usize::from(choice(2)) % 4],
            takes_binary: choice(3) & 1 != 0,
            fails: choice(3) & 2 != 0,
        };
        let mut stream = Vec::new();
        for line in lines.take(64) {
            frame(line, &mut stream);
        }
        Self { setup, stream, cut: choice(4) }
    }

    /// The sizes of the pieces, without end.
    pub(super) fn pieces(&self) -> impl Iterator<Item = usize> {
        let cut = usize::from(self.cut);
        (0_usize..).map(move |n| match cut {
            0 => usize::MAX,
            1 => 1,
            // A large stream is not read byte by byte.
            _ => 1 + n * 7 % cut + if n > 200 { 1_000 } else { 0 },
        })
    }
}

/// | letter | the frame |
/// | --- | --- |
/// | `u` | has no mask |
/// | `m` | has a mask that changes nothing |
/// | `w` | has its length in two bytes |
/// | `l` | has its length in eight bytes |
/// | `h` | says that it is much longer than it is |
/// | `x` | says that its length has the highest bit |
/// | `*` | has its payload 100 times over, each once more |
/// | `#` | has its payload in hexadecimal |
/// | `!` | is no frame: the payload are the bytes |
fn frame(line: &[u8], stream: &mut Vec<u8>) {
    let (letters, payload) = match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[][..]),
    };
    let Some((&[high, low], letters)) = letters.split_first_chunk() else { return };
    let has = |letter| letters.contains(&letter);
    let mut payload = if has(b'#') { from_hex(payload) } else { payload.to_vec() };
    for _ in letters.iter().filter(|letter| **letter == b'*').take(2) {
        if payload.len() <= 1_000 {
            payload = payload.repeat(100);
        }
    }
    if has(b'!') {
        stream.extend_from_slice(&payload);
        return;
    }
    stream.push(hex(high) << 4 | hex(low));
    let mask_bit = if has(b'u') { 0 } else { 0x80 };
    let len = payload.len() as u64;
    let said = match (has(b'x'), has(b'h')) {
        (true, _) => len | 1 << 63,
        (_, true) => len + (1 << 40),
        (false, false) => len,
    };
    if said > 0xffff || has(b'l') {
        stream.push(mask_bit | 127);
        stream.extend_from_slice(&said.to_be_bytes());
    } else if said > 125 || has(b'w') {
        stream.push(mask_bit | 126);
        stream.extend_from_slice(&(said as u16).to_be_bytes());
    } else {
        stream.push(mask_bit | said as u8);
    }
    if mask_bit != 0 {
        let mask = if has(b'm') { [0; 4] } else { [0x37, 0xfa, 0x21, 0x3d ^ low] };
        stream.extend_from_slice(&mask);
        stream.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        stream.extend_from_slice(&payload);
    }
}

/// What is no digit counts as its lowest bits.
fn hex(byte: u8) -> u8 {
    match byte {
        b'a'..=b'f' => byte - b'a' + 10,
        other => other & 0x0f,
    }
}

fn from_hex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = text.iter().filter(|byte| **byte != b' ').map(|byte| hex(*byte)).collect();
    digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect()
}
