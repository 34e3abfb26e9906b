// The crate md5 0.7 as published tests use it, from the standard library alone (RFC 1321).
#[allow(dead_code)]
mod md5 {
    use std::fmt;

    pub struct Digest(pub [u8; 16]);

    impl fmt::LowerHex for Digest {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|byte| write!(formatter, "{:02x}", byte))
        }
    }

    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

    pub fn compute<T: AsRef<[u8]>>(data: T) -> Digest {
        let mut message = data.as_ref().to_vec();
        let bits = (message.len() as u64).wrapping_mul(8);
        message.push(0x80);
        while message.len() % 64 != 56 {
            message.push(0);
        }
        message.extend_from_slice(&bits.to_le_bytes());

        let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        for chunk in message.chunks(64) {
            let words: Vec<u32> =
                chunk.chunks(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
            let [mut a, mut b, mut c, mut d] = state;
            for step in 0..64 {
                let (mixed, word) = match step / 16 {
                    0 => ((b & c) | (!b & d), step),
                    1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
                    2 => (b ^ c ^ d, (3 * step + 5) % 16),
                    _ => (c ^ (b | !d), (7 * step) % 16),
                };
                let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
                let sum = a.wrapping_add(mixed).wrapping_add(constant).wrapping_add(words[word]);
                a = d;
                d = c;
                c = b;
                b = b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4]));
            }
            for (total, part) in state.iter_mut().zip([a, b, c, d].iter()) {
                *total = total.wrapping_add(*part);
            }
        }
        let mut digest = [0; 16];
        for (bytes, word) in digest.chunks_mut(4).zip(state.iter()) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Digest(digest)
    }
}
