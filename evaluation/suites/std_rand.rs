// The part of the crate rand 0.4 that published tests use, from the standard library alone. Always the same numbers.
#[allow(dead_code)]
mod rand {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<u64> = Cell::new(0);
    }

    /// SplitMix64.
    fn next() -> u64 {
        STATE.with(|state| {
            state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
            let mut bits = state.get();
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bits ^ (bits >> 31)
        })
    }

    pub trait Number: Copy {
        fn of_bits(bits: u64) -> Self;
        fn within(low: Self, high: Self, bits: u64) -> Self;
    }

    macro_rules! numbers {
        ($($kind:ty)*) => {
            $(
                impl Number for $kind {
                    fn of_bits(bits: u64) -> $kind {
                        bits as $kind
                    }
                    fn within(low: $kind, high: $kind, bits: u64) -> $kind {
                        assert!(low < high, "a range must not be empty");
                        (low as i128 + (bits as i128) % (high as i128 - low as i128)) as $kind
                    }
                }
            )*
        };
    }
    numbers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

    pub struct ThreadRng;

    pub fn thread_rng() -> ThreadRng {
        ThreadRng
    }

    pub fn random<T: Number>() -> T {
        T::of_bits(next())
    }

    pub trait Rng {
        fn gen_range<T: Number>(&mut self, low: T, high: T) -> T {
            T::within(low, high, next())
        }
        fn r#gen<T: Number>(&mut self) -> T {
            T::of_bits(next())
        }
    }

    impl Rng for ThreadRng {}
}
