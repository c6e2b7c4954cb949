//! A finished segment of an app's log: lines in blocks, texts apart from what is known of them, and an index over both.
//!
//! Texts are plain lines, so a search runs over them and nothing else; times and origins are columns beside them. The
//! index says of each block which lines, times and origins are in it, so that most blocks are never read. Pure: whoever
//! writes the file compresses texts and columns and tells where they went.
//! Invariant: decoding takes any bytes and never panics; what makes no sense ends the block.

use super::{Filter, Record, Source, Stream, View};
use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Texts of one block, about: a quarter of a MiB fits a processor's cache and compresses as well as more.
pub const BLOCK_BYTES: usize = 256 * 1024;
/// The format's number.
pub const VERSION: u32 = 1;

/// What the lines of one origin share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    source: Source,
    process: String,
    instance: String,
    release: u32,
    stream: Stream,
    continued: bool,
}

/// A block, as the index knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Where its compressed texts begin in the file.
    pub at: u64,
    /// How long they are.
    pub text_bytes: u32,
    /// Where its compressed columns begin.
    pub columns_at: u64,
    /// How long they are.
    pub columns_bytes: u32,
    /// Bytes of texts before compression.
    pub text_plain: u32,
    /// Bytes of columns before compression.
    pub columns_plain: u32,
    /// The number of its first line.
    pub first: u64,
    /// How many lines.
    pub lines: u32,
    /// The earliest time in it.
    pub from: Timestamp,
    /// The latest.
    pub to: Timestamp,
    /// Which of the index's kinds are in it.
    pub kinds: Vec<u32>,
}

/// What is known of a segment without reading its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// [`VERSION`].
    pub version: u32,
    /// The number of the first line.
    pub first: u64,
    /// Origins, in the order in which they appeared.
    pub kinds: Vec<Kind>,
    /// Blocks in order.
    pub blocks: Vec<Block>,
    /// How far the spools had been stored at its end, as the store writes it.
    pub marks: String,
}

/// A block's bytes before compression.
#[derive(Debug, Default)]
pub struct Raw {
    /// One line per record.
    pub texts: Vec<u8>,
    /// Times and kinds.
    pub columns: Vec<u8>,
}

/// Gathers lines into blocks.
#[derive(Debug)]
pub struct Builder {
    index: Index,
    block: Block,
    raw: Raw,
    last: i64,
    next: u64,
}

impl Kind {
    fn of(view: &View<'_>) -> Kind {
        Kind {
            source: view.source,
            process: view.process.to_owned(),
            instance: view.instance.to_owned(),
            release: view.release,
            stream: view.stream,
            continued: view.continued,
        }
    }

    fn is(&self, view: &View<'_>) -> bool {
        self.instance == view.instance
            && self.process == view.process
            && self.release == view.release
            && (self.source, self.stream, self.continued) == (view.source, view.stream, view.continued)
    }
}

impl Builder {
    /// Begins with the number of the first line.
    pub fn new(first: u64) -> Builder {
        Builder {
            index: Index { version: VERSION, first, ..Index::default() },
            block: Block { first, ..Block::default() },
            raw: Raw::default(),
            last: 0,
            next: first,
        }
    }

    /// Adds a line. True: the block is full and wants to be taken.
    pub fn push(&mut self, view: &View<'_>) -> bool {
        let kinds = &mut self.index.kinds;
        // Newest first: most lines come from where the last one came from.
        let kind = kinds.iter().rposition(|k| k.is(view)).unwrap_or_else(|| {
            kinds.push(Kind::of(view));
            kinds.len() - 1
        });
        let kind = u32::try_from(kind).unwrap_or(u32::MAX);
        let block = &mut self.block;
        if !block.kinds.contains(&kind) {
            block.kinds.push(kind);
        }
        block.from = if block.lines == 0 { view.time } else { block.from.min(view.time) };
        block.to = if block.lines == 0 { view.time } else { block.to.max(view.time) };
        block.lines += 1;
        self.next += 1;
        let step = view.time.0.wrapping_sub(self.last);
        self.last = view.time.0;
        // Signs to the lowest bit: a step back stays short.
        push_number(&mut self.raw.columns, (step.wrapping_shl(1) ^ (step >> 63)).cast_unsigned());
        push_number(&mut self.raw.columns, u64::from(kind));
        let text = view.text.bytes().map(|b| if b == b'\n' { b' ' } else { b });
        self.raw.texts.extend(text);
        self.raw.texts.push(b'\n');
        self.raw.texts.len() >= BLOCK_BYTES
    }

    /// The block as far as it is; `None` without lines. [`Builder::placed`] follows.
    pub fn take(&mut self) -> Option<Raw> {
        if self.block.lines == 0 { None } else { Some(std::mem::take(&mut self.raw)) }
    }

    /// The block that was taken went to these places; lengths are those in the file.
    pub fn placed(&mut self, raw: &Raw, texts: (u64, usize), columns: (u64, usize)) {
        let fits = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let next = Block { first: self.next, ..Block::default() };
        let mut block = std::mem::replace(&mut self.block, next);
        (block.at, block.text_bytes, block.text_plain) = (texts.0, fits(texts.1), fits(raw.texts.len()));
        (block.columns_at, block.columns_bytes, block.columns_plain) =
            (columns.0, fits(columns.1), fits(raw.columns.len()));
        self.index.blocks.push(block);
        self.last = 0;
    }

    /// The index, with what the store says of its spools.
    pub fn finish(mut self, marks: String) -> Index {
        self.index.marks = marks;
        self.index
    }
}

impl Index {
    /// The number after the last line.
    pub fn next(&self) -> u64 {
        self.blocks.last().map_or(self.first, |b| b.first.saturating_add(u64::from(b.lines)))
    }

    /// Whether a block can hold a wanted line.
    pub fn may_hold(&self, block: &Block, filter: &Filter) -> bool {
        filter.overlaps(block.from, block.to)
            && filter
                .after
                .is_none_or(|after| block.first.saturating_add(u64::from(block.lines)) > after.saturating_add(1))
            && self.kinds_of(block).any(|k| filter.origin(k.source, &k.process, &k.instance))
    }

    /// How many lines of a block are wanted, where the index alone can tell.
    pub fn count(&self, block: &Block, filter: &Filter) -> Option<u32> {
        let all =
            filter.by_origin_only() && self.kinds_of(block).all(|k| filter.origin(k.source, &k.process, &k.instance));
        if all { Some(block.lines) } else { None }
    }

    /// The lines of a block with their numbers.
    pub fn views<'a>(&'a self, block: &Block, texts: &'a [u8], columns: &'a [u8]) -> Views<'a> {
        Views { index: self, id: block.first, left: block.lines, texts, columns, time: 0 }
    }

    fn kinds_of<'a>(&'a self, block: &'a Block) -> impl Iterator<Item = &'a Kind> {
        block.kinds.iter().filter_map(|k| self.kinds.get(usize::try_from(*k).ok()?))
    }
}

/// Lines of a block.
#[derive(Debug)]
pub struct Views<'a> {
    index: &'a Index,
    id: u64,
    left: u32,
    texts: &'a [u8],
    columns: &'a [u8],
    time: i64,
}

impl<'a> Iterator for Views<'a> {
    type Item = (u64, View<'a>);

    fn next(&mut self) -> Option<(u64, View<'a>)> {
        self.left = self.left.checked_sub(1)?;
        let step = take_number(&mut self.columns)?;
        let kind = usize::try_from(take_number(&mut self.columns)?).ok()?;
        self.time = self.time.wrapping_add((step >> 1).cast_signed() ^ -(step & 1).cast_signed());
        let kind = self.index.kinds.get(kind)?;
        let end = line_end(self.texts)?;
        let (text, rest) = self.texts.split_at_checked(end)?;
        self.texts = rest.get(1..)?;
        let id = self.id;
        self.id = id.saturating_add(1);
        let view = View {
            time: Timestamp(self.time),
            source: kind.source,
            process: &kind.process,
            instance: &kind.instance,
            release: kind.release,
            stream: kind.stream,
            continued: kind.continued,
            text: String::from_utf8_lossy(text),
        };
        Some((id, view))
    }
}

impl View<'_> {
    /// The same, owned, with its number.
    pub fn numbered(&self, id: u64) -> Record {
        Record { id, ..self.to_record() }
    }
}

/// Where the first line ends. By words of eight bytes, as most time of a reader goes into it.
fn line_end(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        // Zero where a byte is a newline.
        let word = u64::from_le_bytes(*word) ^ (LOW * u64::from(b'\n'));
        let found = word.wrapping_sub(LOW) & !word & (LOW << 7);
        if found != 0 {
            return Some(n * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|b| *b == b'\n').map(|at| words.len() * 8 + at)
}

/// Seven bits a byte, lowest first; the highest bit says that more come.
fn push_number(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let low = u8::try_from(n & 0x7f).unwrap_or(0);
        n >>= 7;
        if n == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let mut records = Vec::new();
        for n in 0..20_000_i64 {
            let mut r = Record::platform(
                Timestamp(1_714_150_712_943_253 + n * 977 - (n % 7) * 5000),
                format!("line {n} of it"),
            );
            if n % 3 > 0 {
                (r.source, r.process, r.instance) = (Source::App, "web".into(), format!("web.{}", n % 3));
                (r.release, r.continued) = (u32::try_from(n / 4000).unwrap(), n % 11 == 0);
                r.stream = if n % 2 == 0 { Stream::Out } else { Stream::Err };
            }
            if n % 100 == 0 {
                r.text =
                    ["", "\t", "ünï\u{0}code \u{1b}[31m", "x".repeat(9000).as_str()][(n / 100 % 4) as usize].into();
            }
            records.push(r);
        }
        records[17].time = Timestamp(0);
        records[18].time = Timestamp(i64::MAX);
        records[19].time = Timestamp(-5);
        records
    }

    fn build(records: &[Record], first: u64) -> (Index, Vec<Raw>) {
        let (mut builder, mut raws, mut at) = (Builder::new(first), Vec::new(), 0);
        let mut place = |builder: &mut Builder| {
            if let Some(raw) = builder.take() {
                builder.placed(&raw, (at, raw.texts.len()), (at + 7, raw.columns.len()));
                at += 1000;
                raws.push(raw);
            }
        };
        for record in records {
            if builder.push(&record.view()) {
                place(&mut builder);
            }
        }
        place(&mut builder);
        place(&mut builder);
        (builder.finish("m".into()), raws)
    }

    fn read(index: &Index, raws: &[Raw]) -> Vec<Record> {
        let blocks = index.blocks.iter().zip(raws);
        blocks.flat_map(|(b, raw)| index.views(b, &raw.texts, &raw.columns)).map(|(id, v)| v.numbered(id)).collect()
    }

    #[test]
    fn lines_come_back_with_their_numbers() {
        let records = records();
        let (index, raws) = build(&records, 100);
        assert!(index.blocks.len() > 1 && index.next() == 20_100, "{}", index.blocks.len());
        let want: Vec<Record> = (100..).zip(records).map(|(id, r)| Record { id, ..r }).collect();
        assert_eq!(read(&index, &raws), want);
        let text = serde_json::to_string(&index).unwrap();
        assert_eq!(serde_json::from_str::<Index>(&text).unwrap(), index);
    }

    #[test]
    fn the_index_passes_over_what_cannot_match_and_nothing_else() {
        let (index, raws) = build(&records(), 0);
        let all = Filter::default();
        let filters = [
            all.clone(),
            Filter { processes: vec!["web.1".into()], ..all.clone() },
            Filter { processes: vec!["none".into()], ..all.clone() },
            Filter { sources: vec![Source::Router], ..all.clone() },
            Filter { since: Some(Timestamp(1_714_150_715_000_000)), ..all.clone() },
            Filter { until: Some(Timestamp(1_714_150_713_000_000)), ..all.clone() },
            Filter { after: Some(19_990), ..all.clone() },
            Filter { after: Some(99_999), ..all.clone() },
        ];
        for filter in filters {
            for (block, raw) in index.blocks.iter().zip(&raws) {
                let taken = index.views(block, &raw.texts, &raw.columns).filter(|(id, v)| filter.takes(*id, v)).count();
                assert!(taken == 0 || index.may_hold(block, &filter), "{filter:?}");
                assert!(index.count(block, &filter).is_none_or(|n| n as usize == taken), "{filter:?}");
            }
        }
        let none = Filter { processes: vec!["none".into()], ..all.clone() };
        assert!(!index.blocks.iter().any(|b| index.may_hold(b, &none)));
        assert_eq!(index.count(&index.blocks[0], &all), Some(index.blocks[0].lines));
    }

    #[test]
    fn damage_ends_a_block_and_nothing_more() {
        let (index, raws) = build(&records()[..50], 0);
        let block = &index.blocks[0];
        for cut in 0..raws[0].columns.len() {
            assert!(index.views(block, &raws[0].texts, &raws[0].columns[..cut]).count() < 50);
        }
        for cut in (0..raws[0].texts.len()).step_by(13) {
            assert!(index.views(block, &raws[0].texts[..cut], &raws[0].columns).count() < 50);
        }
        assert_eq!(index.views(block, &raws[0].texts, &[0xff; 999]).count(), 0);
    }

    #[test]
    fn numbers_and_line_ends() {
        for n in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, n);
            assert_eq!(take_number(&mut bytes.as_slice()), Some(n));
        }
        for length in 0..40 {
            for filler in [b'x', 0, 0x0b, 0x8a, 0xff, 9] {
                let mut bytes = vec![filler; length];
                assert_eq!(line_end(&bytes), None);
                bytes.extend_from_slice(b"\nabc\nabcdefgh");
                assert_eq!(line_end(&bytes), Some(length));
            }
        }
    }
}
