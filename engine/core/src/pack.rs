//! Numbers and texts as few bytes: variable-length integers, seven bits a byte, the lowest first.
//!
//! What is read here was written here. Bytes that were not make a reader panic; the host turns that into an error.

/// Bytes being written.
#[derive(Default)]
pub struct Writer {
    pub data: Vec<u8>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    pub fn byte(&mut self, byte: u8) {
        self.data.push(byte);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    /// Eight bytes, little-endian.
    pub fn fixed(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    pub fn unsigned(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.data.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.data.push(number as u8);
    }

    pub fn signed(&mut self, number: i64) {
        self.unsigned(((number << 1) ^ (number >> 63)) as u64);
    }

    pub fn wide(&mut self, number: i128) {
        let mut zigzag = ((number << 1) ^ (number >> 127)) as u128;
        while zigzag >= 0x80 {
            self.data.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        self.data.push(zigzag as u8);
    }

    pub fn length(&mut self, length: usize) {
        self.unsigned(length as u64);
    }

    pub fn double(&mut self, number: f64) {
        self.fixed(number.to_bits());
    }

    pub fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes(text.as_bytes());
    }

    /// What `write` writes, behind its length; where that lies.
    pub fn section(&mut self, write: impl FnOnce(&mut Writer)) -> std::ops::Range<usize> {
        let mut inner = Writer::new();
        write(&mut inner);
        self.copy(&inner.data)
    }

    /// Bytes behind their length; where they lie.
    pub fn copy(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        self.length(bytes.len());
        let start = self.data.len();
        self.bytes(bytes);
        start..self.data.len()
    }
}

/// Bytes being read.
#[derive(Clone)]
pub struct Reader<'a> {
    pub data: &'a [u8],
    pub at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8]) -> Reader<'a> {
        Reader { data, at: 0 }
    }

    pub fn byte(&mut self) -> u8 {
        let byte = self.data[self.at];
        self.at += 1;
        byte
    }

    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let bytes = &self.data[self.at..self.at + count];
        self.at += count;
        bytes
    }

    pub fn fixed(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes(8).try_into().expect("eight bytes"))
    }

    pub fn unsigned(&mut self) -> u64 {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    pub fn signed(&mut self) -> i64 {
        let zigzag = self.unsigned();
        (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
    }

    pub fn wide(&mut self) -> i128 {
        let mut zigzag: u128 = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte();
            zigzag |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return (zigzag >> 1) as i128 ^ -((zigzag & 1) as i128);
            }
            shift += 7;
        }
    }

    pub fn length(&mut self) -> usize {
        self.unsigned() as usize
    }

    pub fn double(&mut self) -> f64 {
        f64::from_bits(self.fixed())
    }

    pub fn text(&mut self) -> &'a str {
        let length = self.length();
        std::str::from_utf8(self.bytes(length)).expect("a packed text is UTF-8")
    }

    /// Where the section that stands next begins and ends; reading goes on behind it.
    pub fn section(&mut self) -> std::ops::Range<usize> {
        let length = self.length();
        let start = self.at;
        self.at += length;
        start..self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, -1, 63, 64, -64, -65, 127, 128, i64::MAX, i64::MIN];
        let mut writer = Writer::new();
        for number in numbers {
            writer.signed(number);
            writer.wide(i128::from(number) * 1_000_003);
            writer.unsigned(number as u64);
        }
        let mut reader = Reader::new(&writer.data);
        for number in numbers {
            assert_eq!(reader.signed(), number);
            assert_eq!(reader.wide(), i128::from(number) * 1_000_003);
            assert_eq!(reader.unsigned(), number as u64);
        }
        assert_eq!(reader.at, writer.data.len());
    }

    #[test]
    fn small_numbers_take_one_byte() {
        let mut writer = Writer::new();
        writer.signed(-64);
        writer.unsigned(127);
        writer.wide(63);
        assert_eq!(writer.data.len(), 3);
    }
}
